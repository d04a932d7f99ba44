// SPDX-License-Identifier: GPL-2.0

//! `AMEND`: what a donor had comes to a socket that exists, and that plain calls have taken to the
//! same place, as a tool does that restores no more than that.

mod devices;
mod faults;
mod in_use;
mod privileges;
mod queues;
mod refusals;
mod reports;

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, ensure};
use inetcr::{Amended, Client, Error, RawAttr};

use crate::cr::{self, AMEND, Dump, attr, same_dump};
use crate::groups::Member;
use crate::observe::{Observation, observe, same};
use crate::options::{Case, Row, apply_all, rows, socket_with};
use crate::places::{PLACES, PORT, Place};
use crate::runner::Test;
use crate::sys::filter::{self, Instruction};
use crate::sys::namespace;
use crate::sys::signal::{self, OwnerType};
use crate::sys::socket;

use super::maps::device;
use super::memberships;
pub use faults::each_allocation_of_amend;

pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for row in rows() {
        let name = format!("amend::options::{}", row.name);
        let test = Test::new(name, || option(row));
        let is_of_all = row.cases.iter().any(|case| case.set.is_of_all());
        tests.push(if is_of_all { test.alone() } else { test });
    }
    for place in PLACES
        .iter()
        .filter(|place| !ELSEWHERE.contains(&place.name))
    {
        let name = format!("amend::places::{}", place.name);
        tests.push(Test::new(name, || at_place(place)));
    }
    for (name, members) in memberships::CASES {
        let name = format!("amend::memberships::{name}");
        tests.push(Test::new(name, || member_of(members)));
    }
    tests.extend([
        Test::new("amend::all_together", all_together),
        Test::new("amend::back_to_new", back_to_new).slow(),
        Test::new("amend::with_itself", with_itself),
        Test::new("amend::other_filter_of_a_member", other_filter),
        Test::new("amend::filter_replaced", filter_replaced),
        Test::new("amend::group_program", group_program),
        Test::new("amend::file", file),
        Test::new("amend::errors", errors),
        Test::new("amend::maps", maps),
        Test::new("amend::a_part_is_enough", a_part),
    ]);
    tests.extend(devices::tests());
    tests.extend(refusals::tests());
    tests.extend(reports::tests());
    tests.extend(privileges::tests());
    tests.extend(in_use::tests());
    tests.extend(queues::tests());
    tests.extend(faults::tests());
    tests
}

/// Where the sockets are that are somewhere.
const HERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, PORT);

/// Where plain calls do not take a socket by its addresses alone.
const ELSEWHERE: &[&str] = &[
    "addr_without_port",
    "addr_after_disconnect",
    "addr_taken_back",
    "connected_to_any",
    "connected_to_port_zero",
    "connected_to_broadcast_no_more",
    "multicast_disconnected",
    "broadcast_disconnected",
    "all_ones_disconnected",
];

/// What a dump says, as a request about another socket.
pub fn request(dump: &Dump, fd: &impl AsRawFd) -> Dump {
    let fd = RawAttr::u32(attr::SOCK_FD, fd.as_raw_fd().cast_unsigned());
    let dump = dump.clone().without(attr::INODE).without(attr::COOKIE);
    dump.with(fd)
}

/// Amends a socket of this process.
pub fn amend(client: &mut Client, dump: &Dump, fd: &impl AsRawFd) -> Result<Amended, Error> {
    client.amend_attrs(&request(dump, fd).0)
}

/// Amends a socket, all of which must succeed.
fn amend_all(client: &mut Client, dump: &Dump, fd: &impl AsRawFd) -> Result<()> {
    let amended = amend(client, dump, fd).context("amend")?;
    ensure!(
        amended.inode == socket::inode(fd)? && amended.cookie == socket::cookie(fd)?,
        "the reply names another socket: {amended:?}"
    );
    ensure!(amended.failed.is_empty(), "{:?}", amended.failed);
    Ok(())
}

/// Fails unless a socket is what the donor was, by plain calls and by its dump.
fn is_amended(client: &mut Client, donor: &cr::Gone, fd: &UdpSocket) -> Result<()> {
    same("donor != amended", &donor.seen, &observe(fd))?;
    same_dump(&donor.dump, &cr::dump(client, fd)?)
}

/// A socket on the port.
fn bound() -> Result<UdpSocket> {
    Ok(UdpSocket::bind(("127.0.0.1", PORT))?)
}

/// Checkpoints a donor, and amends a socket that `target` makes.
fn given(donor: UdpSocket, target: impl FnOnce() -> Result<UdpSocket>) -> Result<UdpSocket> {
    let mut client = cr::client()?;
    let donor = cr::checkpoint(&mut client, donor)?;
    let target = target()?;
    amend_all(&mut client, &donor.dump, &target)?;
    is_amended(&mut client, &donor, &target)?;
    Ok(target)
}

/// An option that a donor has.
fn option(row: &Row) -> Result<()> {
    for case in row.cases {
        // Some cases change the namespace.
        namespace::new_network()?;
        value(row, case).context(case.name)?;
    }
    Ok(())
}

fn value(row: &Row, case: &Case) -> Result<()> {
    let mut client = cr::client()?;
    let donor = socket_with(row, case)?;
    socket::bind(&donor, HERE)?;
    let donor = cr::checkpoint(&mut client, donor)?;
    let target = bound()?;
    amend_all(&mut client, &donor.dump, &target)?;
    is_amended(&mut client, &donor, &target)?;
    case.wire.check(row, &donor.dump, &target)
}

/// Addresses that plain calls name were chosen by them. Which ones the donor had chosen is amended:
/// it shows when the socket is disconnected.
fn at_place(place: &Place) -> Result<()> {
    let mut client = cr::client()?;
    let donor = socket::udp()?;
    (place.go)(&donor)?;
    let (name, peer) = (socket::name(&donor)?, socket::peer(&donor).ok());
    let dump = cr::dump(&mut client, &donor)?;
    let seen = observe(&donor);
    socket::disconnect(&donor)?;
    let disconnected = observe(&donor);
    drop(donor);

    let target = socket::udp()?;
    if name.port() != 0 {
        socket::bind(&target, name)?;
    }
    if let Some(device) = dump.get(cr::attr::BINDTODEVICE) {
        socket::set(&target, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, device)?;
    }
    if let Some(peer) = peer {
        let broadcast = dump.u32(6) == Some(1);
        socket::set_int(
            &target,
            libc::SOL_SOCKET,
            libc::SO_BROADCAST,
            broadcast.into(),
        )?;
        socket::connect(&target, peer)?;
    }
    amend_all(&mut client, &dump, &target)?;
    same("donor != amended", &seen, &observe(&target))?;
    same_dump(&dump, &cr::dump(&mut client, &target)?)?;
    socket::disconnect(&target)?;
    same("after a disconnect", &disconnected, &observe(&target))
}

/// Groups, with their filters.
fn member_of(members: &[Member]) -> Result<()> {
    memberships::dummy()?;
    let target = given(memberships::socket_in(members)?, || Ok(socket::udp()?))?;
    memberships::check_filters(&target, members)
}

/// The last case of each row, on one donor that is a member of each kind.
fn donor_of_all() -> Result<UdpSocket> {
    let donor = socket::udp()?;
    apply_all(&donor)?;
    for member in crate::groups::ON_LOOPBACK {
        member.join(&donor)?;
    }
    Ok(donor)
}

fn all_together() -> Result<()> {
    given(donor_of_all()?, || Ok(socket::udp()?))?;
    Ok(())
}

/// What a new socket has, for one that has all else: but for what has no way back, which is
/// reported.
fn back_to_new() -> Result<()> {
    let mut client = cr::client()?;
    let dump = cr::dump(&mut client, &socket::udp()?)?;
    for row in rows() {
        for case in row.cases {
            let no_way_back = [
                "filter",
                "txtime",
                "ip_options",
                "lock_filter",
                "udp_encap",
                "timestamp",
            ];
            if case.set.is_of_all() || no_way_back.contains(&row.name) {
                continue;
            }
            let mut work = || -> Result<()> {
                let new = observe(&socket::udp()?);
                let target = socket_with(row, case)?;
                amend_all(&mut client, &dump, &target)?;
                same("new != amended", &new, &observe(&target))
            };
            work().with_context(|| format!("{} {}", row.name, case.name))?;
            crate::options::remove_devices();
        }
    }
    Ok(())
}

/// A socket's own dump changes nothing.
fn with_itself() -> Result<()> {
    let mut client = cr::client()?;
    let target = donor_of_all()?;
    socket::bind(&target, HERE)?;
    socket::connect(&target, crate::places::PEER)?;
    let (before, dump) = (observe(&target), cr::dump(&mut client, &target)?);
    for _ in 0..2 {
        amend_all(&mut client, &dump, &target)?;
        same("before != after", &before, &observe(&target))?;
        same_dump(&dump, &cr::dump(&mut client, &target)?)?;
    }
    Ok(())
}

/// A member gets the other filter, and does not join again.
fn other_filter() -> Result<()> {
    use crate::groups::{SOURCES, member};

    let group = crate::places::GROUP;
    let of = [
        member(group),
        member(group).without(SOURCES),
        member(group).only(SOURCES),
        member(group).only(&SOURCES[..1]),
        member(group).only(&[Ipv4Addr::UNSPECIFIED]),
        member(group).only(&[]),
    ];
    for (from, to) in of
        .iter()
        .flat_map(|from| of.iter().map(move |to| (from, to)))
    {
        let target = || memberships::socket_in(&[*from]);
        let target = given(memberships::socket_in(&[*to])?, target)?;
        memberships::check_filters(&target, &[*to])?;
    }
    Ok(())
}

/// A filter takes the place of another one, and is what cuts datagrams from then on. (The header
/// of UDP counts.)
fn filter_replaced() -> Result<()> {
    let donor = bound()?;
    filter::attach(&donor, libc::SO_ATTACH_FILTER, &[Instruction::taking(10)])?;
    let target = given(donor, || {
        let target = bound()?;
        filter::attach(&target, libc::SO_ATTACH_FILTER, &[Instruction::taking(0)])?;
        Ok(target)
    })?;
    let sender = UdpSocket::bind(("127.0.0.1", 0))?;
    sender.send_to(b"longer", ("127.0.0.1", PORT))?;
    let mut buffer = [0; 16];
    let len = target.recv(&mut buffer)?;
    ensure!(&buffer[..len] == b"lo", "{:?}", &buffer[..len]);
    Ok(())
}

/// The program of a group comes to a socket of a group without one.
fn group_program() -> Result<()> {
    let shared = || -> Result<UdpSocket> {
        let socket = socket::udp()?;
        socket::set_int(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
        socket::bind(&socket, HERE)?;
        Ok(socket)
    };
    let donor = shared()?;
    let program = [Instruction::FIRST_BYTE, Instruction::RETURN_IT];
    filter::attach(&donor, libc::SO_ATTACH_REUSEPORT_CBPF, &program)?;
    let mut client = cr::client()?;
    let donor = cr::checkpoint(&mut client, donor)?;
    let members = [shared()?, shared()?];
    amend_all(&mut client, &donor.dump, &members[0])?;
    // All of the group have it: by the first byte it chooses among them.
    for member in &members {
        let dump = cr::dump(&mut client, member)?;
        let found = dump.get(attr::REUSEPORT_FILTER);
        ensure!(
            found.is_some() && found == donor.dump.get(attr::REUSEPORT_FILTER),
            "the program is {found:?}"
        );
    }
    let sender = UdpSocket::bind(("127.0.0.1", 0))?;
    for (at, member) in members.iter().enumerate() {
        member.set_nonblocking(true)?;
        sender.send_to(&[u8::try_from(at)?], ("127.0.0.1", PORT))?;
        let mut buffer = [9];
        member
            .recv(&mut buffer)
            .with_context(|| format!("member {at}"))?;
        ensure!(usize::from(buffer[0]) == at, "{buffer:?}");
    }
    Ok(())
}

/// Flags and owner of the open file, on and off.
fn file() -> Result<()> {
    let plain = bound;
    let full = || -> Result<UdpSocket> {
        let socket = bound()?;
        signal::set_owner(
            &socket,
            OwnerType::Process,
            std::process::id().cast_signed(),
        )?;
        signal::set_signal(&socket, libc::SIGURG)?;
        socket::fcntl(&socket, libc::F_SETFL, libc::O_NONBLOCK | libc::O_ASYNC)?;
        Ok(socket)
    };
    let target = given(full()?, plain)?;
    drop(target);
    // Who was told once stays: the dump of a socket without an owner has none.
    let mut client = cr::client()?;
    let donor = cr::checkpoint(&mut client, plain()?)?;
    let target = full()?;
    amend_all(&mut client, &donor.dump, &target)?;
    let flags = socket::fcntl(&target, libc::F_GETFL, 0)?;
    ensure!(
        flags & (libc::O_NONBLOCK | libc::O_ASYNC) == 0,
        "the flags are {flags:#o}"
    );
    ensure!(signal::signal(&target)? == libc::SIGURG, "another signal");
    drop(target);

    // The owner is told of what comes.
    signal::block(libc::SIGURG)?;
    let target = given(full()?, plain)?;
    UdpSocket::bind(("127.0.0.1", 0))?.send_to(b"x", ("127.0.0.1", PORT))?;
    let fd = signal::wait(libc::SIGURG, std::time::Duration::from_secs(5))?;
    ensure!(fd == Some(target.as_raw_fd()), "told of {fd:?}");
    Ok(())
}

/// Pending errors are there as they were, and who waits for the socket sees it.
fn errors() -> Result<()> {
    let mut client = cr::client()?;
    let target = bound()?;
    let error = |number, errno: i32| RawAttr::u32(number, errno.cast_unsigned());
    let dump = Dump(vec![
        error(47, libc::ECONNREFUSED),
        error(48, libc::EHOSTUNREACH),
    ]);
    amend_all(&mut client, &dump, &target)?;
    let events = socket::events(&target)?;
    ensure!(events & libc::POLLERR != 0, "poll says {events:#x}");
    let dumped = cr::dump(&mut client, &target)?;
    ensure!(
        dumped.u32(48) == Some(113),
        "soft error {:?}",
        dumped.u32(48)
    );
    let found = socket::get_int(&target, libc::SOL_SOCKET, libc::SO_ERROR)?;
    ensure!(found == libc::ECONNREFUSED, "SO_ERROR is {found}");
    // The soft error is told when there is no other.
    let found = socket::get_int(&target, libc::SOL_SOCKET, libc::SO_ERROR)?;
    ensure!(found == libc::EHOSTUNREACH, "SO_ERROR is {found}");
    // What is pending counts for more: it is newer.
    amend_all(&mut client, &dump, &target)?;
    for errno in [0, libc::EPROTO] {
        amend_all(&mut client, &Dump(vec![error(47, errno)]), &target)?;
    }
    let found = socket::get_int(&target, libc::SOL_SOCKET, libc::SO_ERROR)?;
    ensure!(found == libc::ECONNREFUSED, "SO_ERROR is {found}");
    Ok(())
}

/// Devices and addresses have other names here, too.
fn maps() -> Result<()> {
    let mut client = cr::client()?;
    let target = socket::udp()?;
    let bound = RawAttr::string(attr::BINDTODEVICE, c"gone0");
    let dump = Dump(vec![bound, device("gone0", "lo")]);
    amend_all(&mut client, &dump, &target)?;
    let name = socket::get(&target, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, 16)?;
    ensure!(name == b"lo\0", "bound to {name:02x?}");
    Ok(())
}

/// Each attribute of a dump by itself: it brings what it is about, and leaves the rest alone.
fn a_part() -> Result<()> {
    let mut client = cr::client()?;
    let donor = donor_of_all()?;
    // It has received nothing, which is only told of who has asked for time stamps.
    let stamp = RawAttr::sint(49, 1_700_000_000_123_456_789);
    let dump = cr::dump(&mut client, &donor)?.without(49).with(stamp);
    let target = socket::udp()?;
    let nothing = observe(&target);
    amend_all(&mut client, &Dump(Vec::new()), &target)?;
    same("nothing was asked for", &nothing, &observe(&target))?;

    let mtu = Dump(Vec::new()).with_at(&[attr::IP], RawAttr::u32(7, 2));
    amend_all(&mut client, &mtu, &target)?;
    let difference = nothing.difference(&observe(&target));
    ensure!(
        difference == "  IP_MTU_DISCOVER: 1 != 2\n",
        "the difference is {difference:?}"
    );

    let alone = [attr::INODE, attr::COOKIE, attr::SOCK_FD];
    let with_mask = [35, 36];
    let mut wrong = Vec::new();
    for one in dump.0.iter().filter(|one| !alone.contains(&one.number())) {
        let part = match one.number() {
            36 => continue,
            35 => Dump(
                with_mask
                    .iter()
                    .flat_map(|number| dump.all(*number))
                    .collect(),
            ),
            number => Dump(dump.all(number)),
        };
        let target = socket::udp()?;
        let before = cr::dump(&mut client, &target)?;
        amend_all(&mut client, &part, &target).with_context(|| format!("{}", one.number()))?;
        let found = cr::dump(&mut client, &target)?;
        for number in 1..100 {
            let expected = match part.get(number) {
                Some(_) => &dump,
                // Options have effects of their own.
                None if EFFECTS.contains(&(one.number(), number)) => continue,
                None => &before,
            };
            if found.all(number) != expected.all(number) {
                wrong.push((one.number(), number));
            }
        }
    }
    ensure!(
        wrong.is_empty(),
        "attributes, and others that they changed: {wrong:?}"
    );
    Ok(())
}

/// Attributes that change others: time stamps have one flag for the kind of their structures, are
/// taken for good, and the last one is told from then on; `IP_TOS` sets `SO_PRIORITY`.
const EFFECTS: &[(u16, u16)] = &[(20, 38), (20, 35), (20, 49), (35, 49), (58, 13)];

/// Everything that plain calls say of a socket, but for how it differs by itself.
fn unchanged(before: &Observation, fd: &UdpSocket) -> Result<()> {
    same("it was changed", before, &observe(fd))
}

/// Sends a request of any attributes, and sees that it is refused and changes nothing.
fn refused(
    client: &mut Client,
    request: &Dump,
    fd: &UdpSocket,
    expected: cr::Expected<'_>,
) -> Result<()> {
    let before = observe(fd);
    cr::refused(client.raw(AMEND, &request.0), expected)?;
    unchanged(&before, fd)
}
