// SPDX-License-Identifier: GPL-2.0
//! Output for people.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;

use inetcr::table::Role;
use inetcr::{Described, Image, Snapshot, State};

/// Prints to the standard output.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// All sockets of an image, with an empty line between two.
pub(crate) fn sockets(image: &Image) -> String {
    let sockets: Vec<_> = image.sockets.iter().map(socket).collect();
    sockets.join("\n")
}

/// One socket: a line that says which it is, then a line for each of the other attributes, but
/// for those of which nearly every socket has the same value, and for each datagram.
fn socket(snapshot: &Snapshot) -> String {
    let mut text = headline(snapshot);
    text.push('\n');
    let rows = snapshot.describe().into_iter();
    let rows = rows.filter(|row| !in_headline(row));
    let rows = rows.map(|row| (row.name(), row.value));
    let rows = rows.filter(|(name, value)| !USUAL.contains(&(name.as_str(), value.as_str())));
    let queue = snapshot.queue.iter();
    let queue = queue.map(|datagram| ("datagram".to_owned(), datagram.header.to_string()));
    let cork = snapshot.corked.iter();
    let cork = cork.map(|cork| ("corked".to_owned(), cork.header.to_string()));
    let rows: Vec<_> = rows.chain(queue).chain(cork).collect();
    let width = rows.iter().map(|(name, _)| name.len()).max();
    for (name, value) in rows {
        let width = width.unwrap_or_default();
        let unit = unit(&name);
        // Writing to a string does not fail.
        let _ = writeln!(text, "    {name:width$}  {value}{unit}");
    }
    text
}

/// The socket in one line, in the order in which ss(8) has it.
pub(crate) fn headline(state: &State) -> String {
    let number = |number: Option<u32>| number.map_or("?".to_owned(), |number| number.to_string());
    let protocol = match (state.sock_family, state.sock_protocol) {
        (Some(2), Some(17)) => "udp".to_owned(),
        (family, protocol) => format!("family {} protocol {}", number(family), number(protocol)),
    };
    let kind = match state.sock_type {
        Some(2) => "dgram".to_owned(),
        kind => format!("type {}", number(kind)),
    };
    let sock_state = state.sock_state.map_or("?", |state| match state {
        inetcr::SockState::Established => "ESTAB",
        inetcr::SockState::Close => "UNCONN",
    });
    let line = format!(
        "{protocol} {kind} {sock_state} {} {} {}",
        endpoint(state.local()),
        endpoint(state.peer()),
        state.identity()
    );
    line.trim_end().to_owned()
}

/// What a dump has lost of a socket, if it has lost anything.
pub(crate) fn lost(state: &State) -> Option<String> {
    let rows = state.describe();
    let lost = rows.iter().find(|row| row.name() == "lost")?;
    Some(format!("lost: {}", lost.value))
}

fn endpoint(address: Option<SocketAddr>) -> String {
    address.map_or("*:*".to_owned(), |address| address.to_string())
}

/// Whether [`headline`] has it.
fn in_headline(row: &Described) -> bool {
    let named = [
        "sock-family",
        "sock-protocol",
        "sock-type",
        "sock-state",
        "local-addr",
        "local-port",
        "peer-addr",
        "peer-port",
    ];
    row.outermost()
        .is_some_and(|row| row.role == Role::Identity || named.contains(&row.name))
}

/// Values that are not worth a line: a new socket has them, and hardly any program changes them.
const USUAL: &[(&str, &str)] = &[
    ("sockopt-flags", "none"),
    ("sockopt-flags-mask", "all"),
    ("sockopt-mark", "0x0"),
    ("sockopt-timestamping.flags", "0x0"),
    ("sockopt-timestamping.bind-phc", "0"),
    ("sockopt-timestamping.new", "off"),
    ("sockopt-peek-off", "off"),
    ("sockopt-busy-poll", "0"),
    ("sockopt-busy-poll-budget", "0"),
    ("sockopt-max-pacing-rate", "unlimited"),
    ("sockopt-incoming-cpu", "none"),
    ("shutdown", "none"),
    ("error", "0"),
    ("soft-error", "0"),
    ("stamp", "none yet"),
    ("tskey", "0"),
    ("zckey", "0"),
    ("drops", "0"),
    ("ip.flags", "multicast-loop,multicast-all"),
    ("ip.flags-mask", "all"),
    ("ip.tos", "0x0"),
    ("ip.ttl", "default"),
    ("ip.min-ttl", "0"),
    ("ip.mtu-discover", "want"),
    ("ip.multicast-ttl", "1"),
    ("ip.multicast-ifname", "none"),
    ("ip.multicast-addr", "0.0.0.0"),
    ("ip.unicast-ifname", "none"),
    ("ip.local-port-range", "default"),
    ("udp.flags", "none"),
    ("udp.flags-mask", "all"),
    ("udp.encap", "none"),
    ("udp.segment", "0"),
    ("pacing-rate", "unlimited"),
];

fn unit(name: &str) -> &'static str {
    match name {
        "sockopt-rcvbuf" | "sockopt-sndbuf" => " bytes",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(json: &str) -> String {
        let snapshot: Snapshot = serde_json::from_str(json).unwrap();
        sockets(&Image::new([snapshot]))
    }

    #[test]
    fn what_is_usual_is_left_out_and_nests_have_a_line_for_each_attribute() {
        let json = r#"{
            "sockopt-flags": [], "sockopt-mark": 16, "sockopt-peek-off": -1,
            "sockopt-max-pacing-rate": 18446744073709551615,
            "ip": {
                "flags": ["pktinfo", "recvttl"], "flags-mask": ["pktinfo", "recvttl"],
                "tos": 16, "ttl": -1, "mtu-discover": 2, "options": "01010101",
                "multicast-ifname": "", "local-port-range": 2097184000
            },
            "udp": { "flags": ["cork"], "flags-mask": ["cork", "no-check6-tx", "no-check6-rx", "gro"] }
        }"#;
        let expected = "\
family ? protocol ? type ? ? *:* *:*
    sockopt-mark         0x10
    ip.flags             pktinfo,recvttl
    ip.flags-mask        pktinfo,recvttl
    ip.tos               0x10
    ip.options           01010101
    ip.mtu-discover      do
    ip.local-port-range  32000 to 32000
    udp.flags            cork
";
        assert_eq!(shown(json), expected);
    }

    #[test]
    fn memberships_have_a_line_each() {
        let json = r#"{
            "sockopt-mark": 16,
            "membership": [
                { "group": "224.1.1.1", "ifname": "lo", "exclude": 1,
                  "source": ["10.0.0.1", "10.0.0.2"] },
                { "group": "224.1.1.2", "ifname": "eth0", "address": "10.0.0.3", "exclude": 0,
                  "source": ["10.0.0.1"] },
                { "group": "224.1.1.3", "ifname": "lo", "exclude": 1 }
            ]
        }"#;
        let expected = "\
family ? protocol ? type ? ? *:* *:*
    sockopt-mark  0x10
    membership    224.1.1.1 dev lo, exclude 10.0.0.1,10.0.0.2
    membership    224.1.1.2 dev eth0 by 10.0.0.3, include 10.0.0.1
    membership    224.1.1.3 dev lo
";
        assert_eq!(shown(json), expected);
    }

    #[test]
    fn datagrams_have_a_line_each() {
        let json = r#"{
            "queue-len": 2,
            "queue": [
                { "datagram": { "len": 2, "source-addr": "10.0.0.1", "source-port": 53,
                    "dest-addr": "10.0.0.2", "dest-port": 4000, "tstamp": 1500000000,
                    "ttl": 64, "tos": 16, "peeked": 1 }, "payload": "6869" },
                { "datagram": { "len": 0 }, "payload": "" }
            ]
        }"#;
        let expected = "\
family ? protocol ? type ? ? *:* *:*
    queue-len  2
    datagram   10.0.0.1:53 -> 10.0.0.2:4000, 2 bytes, tstamp 1.500000000 s, ttl 64, tos 0x10, peeked
    datagram   ?:? -> ?:?, 0 bytes
";
        assert_eq!(shown(json), expected);
    }

    #[test]
    fn of_many_each_is_one_by_itself() {
        let json = r#"{"format":"af-inet-cr","version":1,"sockets":[
            {"sock-family":2,"sock-protocol":17,"sock-type":2,"sock-fd":3,"inode":1},
            {"sock-family":2,"sock-protocol":17,"sock-type":2,"sock-fd":7,"error":111}]}"#;
        let expected = "\
udp dgram ? *:* *:* fd:3 ino:1

udp dgram ? *:* *:* fd:7
    error  111
";
        assert_eq!(sockets(&Image::from_json(json).unwrap()), expected);
        assert_eq!(sockets(&Image::new(Vec::<State>::new())), "");
    }

    #[test]
    fn a_corked_datagram_has_a_line() {
        let json = r#"{
            "cork-len": 2,
            "corked": { "cork": { "len": 2, "dest-addr": "10.0.0.2", "dest-port": 53,
                "source-addr": "10.0.0.1", "ttl": 5, "tos": 0, "mark": 16, "priority": 0,
                "confirm": 1, "ifname": "eth0", "gateway": 0, "fragsize": 1500 },
                "payload": "6869" }
        }"#;
        let expected = "\
family ? protocol ? type ? ? *:* *:*
    cork-len  2
    corked    10.0.0.1 -> 10.0.0.2:53, 2 bytes, ttl 5, mark 0x10, confirm, ifname eth0, fragsize 1500
";
        assert_eq!(shown(json), expected);
    }

    #[test]
    fn a_socket_is_one_line_and_a_table() {
        let json = r#"{
            "inode": 4242, "cookie": 7, "sock-family": 2, "sock-type": 2, "sock-protocol": 17,
            "sock-state": "close", "local-addr": "127.0.0.1", "local-port": 4000,
            "sockopt-broadcast": 1, "sockopt-linger": { "onoff": 0, "time": 5000000000 },
            "sockopt-rcvtimeo": -1, "sockopt-rcvbuf": 212992, "bind-locks": ["addr", "port"]
        }"#;
        let expected = "\
udp dgram UNCONN 127.0.0.1:4000 *:* ino:4242 cookie:7
    sockopt-broadcast  on
    sockopt-linger     off, 5s
    sockopt-rcvtimeo   infinite
    sockopt-rcvbuf     212992 bytes
    bind-locks         addr,port
";
        assert_eq!(shown(json), expected);
    }
}
