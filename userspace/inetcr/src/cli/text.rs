// SPDX-License-Identifier: GPL-2.0
//! Output for people.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;

use inetcr::table::Role;
use inetcr::{Described, Snapshot, State};

/// Prints to the standard output.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// How much of a text is printed. A file that is wrong can have megabytes where a name should be.
const PRINTED_MAX: usize = 2000;

/// Without what a terminal obeys, or what shows text otherwise than it is: words of a file that is
/// wrong can be part of it.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == PRINTED_MAX {
            printable.push_str(" ...");
            break;
        }
        // Zero width, direction, other invisible formats, and the mark of a byte order.
        let is_format = matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}'
        );
        if character.is_control() || is_format {
            printable.extend(character.escape_unicode());
        } else {
            printable.push(character);
        }
    }
    printable
}

/// A table of sockets with the columns of ss(8).
pub(crate) struct Table {
    extended: bool,
    rows: Vec<(Cells, String)>,
    /// Bytes of what they have below them.
    kept: usize,
    /// Of the columns, once the first rows are printed.
    widths: Option<[usize; COLUMNS.len()]>,
}

type Cells = [String; COLUMNS.len()];

const COLUMNS: [&str; 7] = [
    "Netid",
    "State",
    "Recv-Q",
    "Send-Q",
    "Local Address:Port",
    "Peer Address:Port",
    "Socket",
];

/// How many rows are kept to see how wide the columns are. A file may have more than there is memory
/// for.
const KEPT: usize = 10_000;
/// Nor more than this of what is below them.
const KEPT_BYTES: usize = 4 << 20;

impl Table {
    /// With the options and datagrams of each socket, if it is extended.
    pub(crate) fn new(extended: bool) -> Self {
        Self {
            extended,
            rows: Vec::new(),
            kept: 0,
            widths: None,
        }
    }

    pub(crate) fn add(&mut self, socket: &Snapshot) -> anyhow::Result<()> {
        let cells = [
            netid(socket),
            state_name(socket).to_owned(),
            waiting(socket).map_or("?".to_owned(), |bytes| bytes.to_string()),
            socket.cork_len.unwrap_or_default().to_string(),
            endpoint(socket.local()),
            endpoint(socket.peer()),
            socket.identity(),
        ];
        let details = if self.extended {
            details(socket)
        } else {
            String::new()
        };
        self.kept += details.len();
        self.rows.push((cells, details));
        if !self.is_full() {
            return Ok(());
        }
        print(&self.take_text())
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= KEPT || self.kept >= KEPT_BYTES
    }

    /// Prints what was not printed.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        print(&self.take_text())
    }

    /// The rows so far, and the head before the first.
    fn take_text(&mut self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|(cells, _)| cells[column].len());
            cells.chain([COLUMNS[column].len()]).max().unwrap_or(0)
        };
        let is_first = self.widths.is_none();
        let widths = *(self.widths).get_or_insert_with(|| std::array::from_fn(width));
        let line = |cells: [&str; COLUMNS.len()]| {
            let cells = cells.iter().zip(widths);
            let cells: Vec<_> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            cells.join(" ").trim_end().to_owned() + "\n"
        };
        self.kept = 0;
        let mut text = String::new();
        if is_first {
            text.push_str(&line(COLUMNS));
        }
        for (cells, details) in self.rows.drain(..) {
            text.push_str(&line(cells.each_ref().map(String::as_str)));
            text.push_str(&details);
        }
        text
    }
}

/// Bytes that wait to be received, if it is known what waits.
fn waiting(socket: &Snapshot) -> Option<usize> {
    if socket.queue.is_empty() && socket.queue_len.is_some() {
        return None;
    }
    let datagrams = socket.queue.iter().filter(|one| !one.is_error());
    Some(datagrams.map(|one| one.payload.len()).sum())
}

/// A line for each attribute, but for those of the table and for those of which nearly every socket
/// has the same value, and for each datagram.
fn details(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    let rows = snapshot.describe().into_iter();
    let rows = rows.filter(|row| !in_table(row));
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

/// The socket in one line, in the order of the table.
pub(crate) fn headline(state: &State) -> String {
    let line = format!(
        "{} {} {} {} {}",
        netid(state),
        state_name(state),
        endpoint(state.local()),
        endpoint(state.peer()),
        state.identity()
    );
    line.trim_end().to_owned()
}

/// What ss(8) calls it, or the numbers of family, type and protocol.
fn netid(state: &State) -> String {
    let numbers = [state.sock_family, state.sock_type, state.sock_protocol];
    if numbers == [Some(2), Some(2), Some(17)] {
        return "udp".to_owned();
    }
    let number = |number: Option<u32>| number.map_or("?".to_owned(), |number| number.to_string());
    numbers.map(number).join("/")
}

fn state_name(state: &State) -> &'static str {
    match state.sock_state {
        Some(inetcr::SockState::Established) => "ESTAB",
        Some(inetcr::SockState::Close) => "UNCONN",
        None => "?",
    }
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

/// Whether the table has it.
fn in_table(row: &Described) -> bool {
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

    #[test]
    fn text_of_a_file_is_neither_obeyed_nor_endless() {
        assert_eq!(
            printable("a\u{1b}\u{202e}b \u{e9}"),
            "a\\u{1b}\\u{202e}b \u{e9}"
        );
        assert_eq!(printable(&"x".repeat(5000)).len(), PRINTED_MAX + 4);
    }

    fn shown(json: &str) -> String {
        details(&serde_json::from_str(json).unwrap())
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
            "udp": {
                "flags": ["cork"],
                "flags-mask": [
                    "cork", "no-check6-tx", "no-check6-rx", "gro", "encap-rcv", "gro-receive"
                ]
            }
        }"#;
        let expected = "    sockopt-mark         0x10
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
        let expected = "    sockopt-mark  0x10
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
        let expected = "    queue-len  2
    datagram   10.0.0.1:53 -> 10.0.0.2:4000, 2 bytes, tstamp 1.500000000 s, ttl 64, tos 0x10, peeked
    datagram   ?:? -> ?:?, 0 bytes
";
        assert_eq!(shown(json), expected);
    }

    #[test]
    fn each_socket_is_a_line_of_the_table() {
        let json = r#"{"format":"af-inet-cr","version":3,"sockets":[
            {"sock-family":2,"sock-protocol":17,"sock-type":2,"sock-fd":3,"inode":1,
             "sock-state":"close","local-addr":"10.0.0.1","local-port":53,
             "queue-len":2,"error-queue-len":1,"queue":[
                {"datagram":{"len":1,"error-origin":"icmp"},"payload":"61"},
                {"datagram":{"len":2},"payload":"6161"},{"datagram":{"len":1},"payload":"61"}]},
            {"sock-family":2,"sock-protocol":17,"sock-type":2,"sock-state":"established",
             "local-addr":"10.0.0.1","local-port":5,"peer-addr":"10.0.0.2","peer-port":53,
             "error":111,"cork-len":1,"corked":{"cork":{"len":1},"payload":"61"}},
            {"queue-len":2}]}"#;
        let expected = "\
Netid State  Recv-Q Send-Q Local Address:Port Peer Address:Port Socket
udp   UNCONN 3      0      10.0.0.1:53        *:*               fd:3 ino:1
udp   ESTAB  0      1      10.0.0.1:5         10.0.0.2:53
?/?/? ?      ?      0      *:*                *:*
";
        let table = |extended| {
            let image = inetcr::Image::from_json(json).unwrap();
            let mut table = Table::new(extended);
            image.sockets.iter().for_each(|one| table.add(one).unwrap());
            let text = table.take_text();
            assert_eq!(table.take_text(), "");
            text
        };
        assert_eq!(table(false), expected);
        let extended = table(true);
        assert!(
            extended.contains("10.0.0.2:53\n    error     111\n    cork-len  1\n"),
            "{extended}"
        );
        let none = Table::new(false).take_text();
        assert_eq!(none.lines().count(), 1);
    }

    #[test]
    fn no_more_text_is_kept_than_it_takes_to_see_how_wide_it_is() {
        let socket: Snapshot =
            serde_json::from_str(r#"{ "ip": { "options": "01010101" } }"#).unwrap();
        let mut table = Table::new(true);
        table.add(&socket).unwrap();
        assert!(table.kept > 0 && !table.is_full());
        table.kept = KEPT_BYTES;
        assert!(table.is_full());
        table.take_text();
        assert!(!table.is_full());
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
        let expected = "    cork-len  2
    corked    10.0.0.1 -> 10.0.0.2:53, 2 bytes, ttl 5, mark 0x10, confirm, ifname eth0, fragsize 1500
";
        assert_eq!(shown(json), expected);
    }

    #[test]
    fn what_is_in_the_table_has_no_line() {
        let json = r#"{
            "inode": 4242, "cookie": 7, "sock-family": 2, "sock-type": 2, "sock-protocol": 17,
            "sock-state": "close", "local-addr": "127.0.0.1", "local-port": 4000,
            "sockopt-broadcast": 1, "sockopt-linger": { "onoff": 0, "time": 5000000000 },
            "sockopt-rcvtimeo": -1, "sockopt-rcvbuf": 212992, "bind-locks": ["addr", "port"]
        }"#;
        let expected = "    sockopt-broadcast  on
    sockopt-linger     off, 5s
    sockopt-rcvtimeo   infinite
    sockopt-rcvbuf     212992 bytes
    bind-locks         addr,port
";
        assert_eq!(shown(json), expected);
    }
}
