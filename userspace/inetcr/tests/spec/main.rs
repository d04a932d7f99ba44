// SPDX-License-Identifier: GPL-2.0
//! The library's table, the YNL specification and the UAPI header say the same.

mod schema;

use std::os::fd::AsFd as _;

use inetcr::table::{AttributeInfo, Command, FAMILY, FAMILY_VERSION, Kind, Role, SOCKET, lookup};
use inetcr::{
    BindLocks, CORK, DATAGRAM, ErrorOrigin, FileFlags, IP, IpFlags, LINGER, Losses, MAP, MAPS_MAX,
    MEMBERSHIP, OWNER, OwnerType, REPORT, Scope, Selection, Shutdown, SockState, SockoptFlags,
    TIMESTAMPING, TXTIME, Timestamp, Transaction, UDP, UdpFlags,
};

use schema::{Exchange, Spec, header, kind_of, spec};

fn compare(set: &str, table: &'static [AttributeInfo]) {
    let spec = spec();
    let attributes = spec.set(set);
    assert_eq!(attributes.len(), table.len(), "rows of {set}");
    for (number, attribute) in attributes {
        let row = lookup(table, number);
        let row = row.unwrap_or_else(|| panic!("{set}: no row for {}", attribute.name));
        assert_eq!(row.name, attribute.name, "{set} {number}");
        let kind = match row.kind {
            Kind::Nest(name, _) => format!("Nest({name:?})"),
            kind => format!("{kind:?}"),
        };
        assert_eq!(kind, kind_of(attribute), "{set} {}", attribute.name);
        if row.role != Role::Other {
            assert_eq!(row.list, attribute.multi_attr, "{set} {}", row.name);
        }
    }
}

#[test]
fn the_tables_have_the_rows_of_the_specification() {
    compare("socket", SOCKET);
    compare("linger", LINGER);
    compare("timestamping", TIMESTAMPING);
    compare("txtime", TXTIME);
    compare("owner", OWNER);
    compare("ip", IP);
    compare("udp", UDP);
    compare("membership", MEMBERSHIP);
    compare("datagram", DATAGRAM);
    compare("report", REPORT);
    compare("cork", CORK);
    compare("map", MAP);
}

/// Values and names of flags.
fn bits<F: bitflags::Flags<Bits = u32>>() -> Vec<(u32, String)> {
    let flags = F::FLAGS.iter();
    let name = |name: &str| name.to_lowercase().replace('_', "-");
    flags
        .map(|flag| (flag.value().bits(), name(flag.name())))
        .collect()
}

#[test]
fn names_and_numbers_of_values_are_those_of_the_specification() {
    let spec = spec();
    let states: Vec<_> = SockState::ALL
        .iter()
        .map(|one| (one.number(), one.name()))
        .collect();
    assert_eq!(states, spec.entries("sock-state"));
    let stamps: Vec<_> = Timestamp::ALL
        .iter()
        .map(|one| (one.number(), one.name()))
        .collect();
    assert_eq!(stamps, spec.entries("timestamp"));
    let owners: Vec<_> = OwnerType::ALL
        .iter()
        .map(|one| (one.number(), one.name()))
        .collect();
    assert_eq!(owners, spec.entries("owner-type"));
    let parts: Vec<_> = Transaction::ALL
        .iter()
        .map(|one| (one.number(), one.name()))
        .collect();
    assert_eq!(parts, spec.entries("transaction"));
    let origins: Vec<_> = ErrorOrigin::ALL
        .iter()
        .map(|one| (one.number(), one.name()))
        .collect();
    assert_eq!(origins, spec.entries("error-origin"));

    let named = |name| {
        let entries = spec.entries(name).into_iter();
        entries
            .map(|(bit, name)| (bit, name.to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(bits::<BindLocks>(), named("bind-lock"));
    assert_eq!(bits::<FileFlags>(), named("file-flag"));
    assert_eq!(bits::<SockoptFlags>(), named("sockopt-flag"));
    assert_eq!(bits::<IpFlags>(), named("ip-flag"));
    assert_eq!(bits::<UdpFlags>(), named("udp-flag"));
    assert_eq!(bits::<Shutdown>(), named("shutdown"));
    assert_eq!(bits::<Losses>(), named("loss"));
}

#[test]
fn the_commands_are_those_of_the_specification() {
    let spec = spec();
    assert_eq!(spec.name, FAMILY);
    let mut number = 0;
    let listed: Vec<_> = spec
        .operations
        .list
        .iter()
        .map(|operation| {
            number = operation.value.unwrap_or(number + 1);
            (number, operation.name.as_str())
        })
        .collect();
    let ours: Vec<_> = Command::ALL
        .iter()
        .map(|one| (one.number(), one.name()))
        .collect();
    assert_eq!(ours, listed);
}

/// A nest that is carried is carried whole, so that nothing in it is refused as unknown.
#[test]
fn a_carried_nest_has_all_rows_of_its_set() {
    let carried = SOCKET.iter().filter(|row| row.role != Role::Other);
    for row in carried {
        if let Kind::Nest(set, children) = row.kind {
            compare(set, children);
        }
    }
}

/// What a command takes and answers.
fn exchange<'a>(spec: &'a Spec, command: &str) -> &'a Exchange {
    let mut operations = spec.operations.list.iter();
    let operation = operations.find(|operation| operation.name == command);
    let exchange = operation.and_then(|operation| operation.exchange.as_ref());
    exchange.expect("an exchange")
}

/// The same of a request that is answered by any number of messages.
fn of_many<'a>(spec: &'a Spec, command: &str) -> &'a Exchange {
    let mut operations = spec.operations.list.iter();
    let operation = operations.find(|operation| operation.name == command);
    let exchange = operation.and_then(|operation| operation.dump.as_ref());
    exchange.expect("an answer of many messages")
}

/// What a dump may hold is a field of `State`, and what a restore takes too, but for the parts of a
/// transaction, in which goes what `queue` answers.
#[test]
fn a_state_carries_all_that_the_commands_exchange() {
    let spec = spec();
    let carried = |name: &str| {
        let row = SOCKET.iter().find(|row| row.name == name);
        row.is_some_and(|row| row.role != Role::Other)
    };
    let exchange = |command| exchange(&spec, command);
    let queue = &of_many(&spec, "queue").reply.attributes;
    assert_eq!(queue, &["datagram", "payload", "cork"]);
    let of_requests = ["transaction", "map", "allow-lost"];
    let in_a_part = |name: &String| of_requests.contains(&name.as_str()) || queue.contains(name);
    let dump = &exchange("dump").reply.attributes;
    let restore = &exchange("restore").request.attributes;
    let answer = &exchange("restore").reply.attributes;
    for name in dump.iter().chain(restore).chain(answer) {
        assert_ne!(carried(name), in_a_part(name), "{name}");
    }
    for name in queue {
        assert!(restore.contains(name), "restore does not take {name}");
    }
    for name in dump {
        assert!(
            restore.contains(name),
            "restore does not take {name}, which dump gives"
        );
    }
}

/// What a dump and a queue give, an amendment takes, but for the number of another socket, and for
/// what is corked.
#[test]
fn an_amendment_takes_what_a_dump_gives() {
    let spec = spec();
    let names = |command| exchange(&spec, command);
    let restore = &names("restore").request.attributes;
    let mut expected: Vec<_> = restore.clone();
    expected.retain(|name| !["inode", "cork"].contains(&name.as_str()));
    let at = expected.iter().position(|name| name == "sock-fd").unwrap();
    expected.insert(at + 1, "pidfd".to_owned());
    assert_eq!(names("amend").request.attributes, expected);
    assert_eq!(
        names("amend").reply.attributes,
        ["inode", "cookie", "report"]
    );
}

/// A dump of many sockets says of each what a dump of it says, or why there is none.
#[test]
fn a_dump_of_many_is_one_of_each() {
    let spec = spec();
    let (one, many) = (exchange(&spec, "dump"), of_many(&spec, "dump"));
    let more = ["sock-fd".to_owned(), "report".to_owned()];
    let expected = [one.reply.attributes.as_slice(), &more].concat();
    assert_eq!(many.reply.attributes, expected);

    let file = std::fs::File::open("/dev/null").unwrap();
    let selection = Selection {
        local_port: Some(1),
        inodes: vec![1],
        ..Scope::Process(file.as_fd()).into()
    };
    let attrs = selection.to_attrs();
    let names = attrs.iter().map(|attr| lookup(SOCKET, attr.number()));
    let names: Vec<_> = names.flatten().map(|row| row.name).collect();
    // What the client allows to be lost, it says in each request.
    let requested = many.request.attributes.iter();
    let requested: Vec<_> = requested.filter(|name| *name != "allow-lost").collect();
    assert_eq!(names, requested);
}

#[test]
fn the_header_has_the_numbers_of_the_specification() {
    let (spec, header) = (spec(), header());
    let constant = |prefix: &str, name: &str| {
        let name = format!("AF_INET_CR_{prefix}_{name}")
            .to_uppercase()
            .replace('-', "_");
        *header
            .get(&name)
            .unwrap_or_else(|| panic!("the header has no {name}"))
    };
    for set in &spec.attribute_sets {
        for (number, attribute) in spec.set(&set.name) {
            let prefix = match set.name.as_str() {
                "socket" => "attr".to_owned(),
                name => format!("a_{name}"),
            };
            assert_eq!(constant(&prefix, &attribute.name), u32::from(number));
        }
    }
    for definition in spec
        .definitions
        .iter()
        .filter(|one| !one.entries.is_empty())
    {
        for (value, name) in spec.entries(&definition.name) {
            assert_eq!(constant(&definition.name, name), value);
        }
    }
    for command in Command::ALL {
        assert_eq!(constant("cmd", command.name()), u32::from(command.number()));
    }
    assert_eq!(constant("family", "version"), u32::from(FAMILY_VERSION));
    assert_eq!(constant("maps", "max"), u32::try_from(MAPS_MAX).unwrap());
}
