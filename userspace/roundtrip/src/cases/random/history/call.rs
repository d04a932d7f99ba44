// SPDX-License-Identifier: GPL-2.0

//! The calls that a history is made of.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

use libc::{SOL_IP, SOL_SOCKET, SOL_UDP};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::prop_oneof;
use proptest::sample::select;
use proptest::strategy::{Just, Strategy};

use crate::cases::errqueue::making::{MSG_ZEROCOPY, NOBODY, TX_SOFTWARE};
use crate::cases::queue::traffic::SO_TIMESTAMPING;
use crate::groups::{Member, ON_LOOPBACK, SOURCES};
use crate::options::{Case, Row, rows};
use crate::places::{BROADCAST, GROUP, OTHER, PEER, PORT};
use crate::sys::socket::Control;

/// What is done to the socket. Many fail, as they would in a program.
#[derive(Clone, Debug)]
pub enum Call {
    Set(Choice),
    Bind(SocketAddrV4),
    Connect(SocketAddrV4),
    Disconnect,
    DetachFilter,
    Join(Group),
    Leave(Group),
    /// `IP_BLOCK_SOURCE` and its relatives, by their number.
    Source(Group, i32, Ipv4Addr),
    /// Somebody sends to it.
    Arrive(Packet),
    /// Somebody sends to it what has a wrong checksum, which shows when it is read.
    ArriveBroken,
    /// A router or a host complains, of what it has sent to the peer or to somebody else.
    Icmp {
        kind: u8,
        code: u8,
        of_peer: bool,
    },
    /// It sends, to an address or to its peer.
    Send(Option<SocketAddrV4>, Packet, Flags),
    Receive(Flags, usize),
    Shutdown(i32),
    /// `SIOCGSTAMP`, which also has datagrams stamped from then on.
    Stamp,
    /// `SO_ERROR`.
    TakeError,
    /// `F_SETFL`.
    FileFlags(i32),
    /// Another socket binds where it is, if it may: by `SO_REUSEPORT` or by `SO_REUSEADDR`.
    Share(bool),
}

/// An option, and what it is set to.
#[derive(Clone, Copy)]
pub struct Choice {
    pub row: &'static Row,
    pub case: &'static Case,
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.row.name, self.case.name)
    }
}

/// A group, and how it is joined.
#[derive(Clone, Copy)]
pub struct Group(pub &'static Member);

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.group)
    }
}

/// `MSG_*`.
#[derive(Clone, Copy)]
pub struct Flags(pub i32);

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// What is sent, and with which control message.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    pub len: usize,
    pub with: With,
}

/// A control message.
#[derive(Clone, Copy, Debug)]
pub enum With {
    Nothing,
    Tos,
    Ttl,
    Options,
    Train,
    Mark,
    Priority,
    Stamp,
    Source(Ipv4Addr),
}

impl With {
    pub fn control(self) -> Vec<Control> {
        let int = |level, kind, value: i32| vec![(level, kind, value.to_ne_bytes().to_vec())];
        match self {
            Self::Nothing => Vec::new(),
            Self::Tos => int(SOL_IP, libc::IP_TOS, 0x2a),
            Self::Ttl => int(SOL_IP, libc::IP_TTL, 9),
            Self::Options => {
                let record_route = vec![7, 7, 4, 0, 0, 0, 0, 0];
                vec![(SOL_IP, libc::IP_RETOPTS, record_route)]
            }
            Self::Train => {
                let size = 700_u16.to_ne_bytes().to_vec();
                vec![(SOL_UDP, libc::UDP_SEGMENT, size)]
            }
            Self::Mark => int(SOL_SOCKET, libc::SO_MARK, 0x77),
            Self::Priority => int(SOL_SOCKET, libc::SO_PRIORITY, 5),
            Self::Stamp => int(SOL_SOCKET, SO_TIMESTAMPING, TX_SOFTWARE),
            Self::Source(address) => {
                let pktinfo = [[0; 4], address.octets(), [0; 4]].concat();
                vec![(SOL_IP, libc::IP_PKTINFO, pktinfo)]
            }
        }
    }
}

/// Options that others go by, or that traffic goes by: they are drawn more often.
const FAVOURITES: &[&str] = &[
    "reuseport",
    "reuseaddr",
    "ip_recverr",
    "udp_cork",
    "udp_segment",
    "udp_gro",
    "peek_off",
    "timestamp",
    "timestamping",
    "zerocopy",
    "filter",
    "bindtodevice",
    "ip_bind_address_no_port",
    "broadcast",
    "ip_freebind",
];

/// Options in all values that one socket can have.
fn choices(wanted: impl Fn(&Row) -> bool) -> Vec<Choice> {
    let of_row = |row: &'static Row| row.cases.iter().map(move |case| Choice { row, case });
    rows()
        .filter(|row| wanted(row))
        .flat_map(of_row)
        .filter(|choice| !choice.case.set.is_of_all())
        .collect()
}

const fn at(ip: Ipv4Addr, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(ip, port)
}

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

/// Where the socket binds to, the last of them being nobody's.
const PLACES: &[SocketAddrV4] = &[
    at(HERE, PORT),
    at(ANY, PORT),
    at(HERE, 0),
    at(ANY, 0),
    at(OTHER, PORT),
    at(GROUP, PORT),
    at(BROADCAST, PORT),
    at(Ipv4Addr::new(192, 0, 2, 9), PORT),
];

/// Where others are.
const PEERS: &[SocketAddrV4] = &[
    PEER,
    at(HERE, NOBODY),
    at(OTHER, 7002),
    at(HERE, PORT),
    at(ANY, PEER.port()),
    at(HERE, 0),
    at(BROADCAST, PEER.port()),
    at(GROUP, PEER.port()),
    at(Ipv4Addr::new(192, 0, 2, 1), 9),
];

/// Calls in their order.
#[derive(Clone)]
pub struct History(pub Vec<Call>);

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut calls = self.0.iter();
        calls.try_for_each(|call| write!(f, "\n    {call:?}"))
    }
}

/// Any history.
pub fn history() -> impl Strategy<Value = History> {
    vec(call(), 1..30).prop_map(History)
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        3 => select(PLACES).prop_map(Call::Bind),
        3 => select(PEERS).prop_map(Call::Connect),
        2 => Just(Call::Disconnect),
        4 => select(choices(|_| true)).prop_map(Call::Set),
        4 => select(choices(|row| FAVOURITES.contains(&row.name))).prop_map(Call::Set),
        1 => Just(Call::DetachFilter),
        1 => group().prop_map(Call::Join),
        1 => group().prop_map(Call::Leave),
        1 => source(),
        5 => packet().prop_map(Call::Arrive),
        1 => Just(Call::ArriveBroken),
        1 => icmp(),
        5 => send(),
        3 => receive(),
        1 => select(vec![libc::SHUT_RD, libc::SHUT_WR, libc::SHUT_RDWR]).prop_map(Call::Shutdown),
        1 => Just(Call::Stamp),
        1 => Just(Call::TakeError),
        1 => select(vec![0, libc::O_NONBLOCK, libc::O_ASYNC]).prop_map(Call::FileFlags),
        1 => any::<bool>().prop_map(Call::Share),
    ]
}

fn group() -> impl Strategy<Value = Group> {
    let all: Vec<_> = ON_LOOPBACK.iter().map(Group).collect();
    select(all)
}

fn source() -> impl Strategy<Value = Call> {
    const OPTIONS: &[i32] = &[
        libc::IP_BLOCK_SOURCE,
        libc::IP_UNBLOCK_SOURCE,
        libc::IP_ADD_SOURCE_MEMBERSHIP,
        libc::IP_DROP_SOURCE_MEMBERSHIP,
    ];
    (group(), select(OPTIONS), select(SOURCES))
        .prop_map(|(group, option, source)| Call::Source(group, option, source))
}

fn packet() -> impl Strategy<Value = Packet> {
    const WITH: &[With] = &[
        With::Nothing,
        With::Nothing,
        With::Tos,
        With::Ttl,
        With::Options,
        With::Train,
        With::Mark,
        With::Priority,
        With::Stamp,
        With::Source(OTHER),
    ];
    let len = select(vec![5_usize, 0, 1, 100, 1500, 3000, 60_000]);
    (len, select(WITH)).prop_map(|(len, with)| Packet { len, with })
}

fn icmp() -> impl Strategy<Value = Call> {
    // Unreachable: port, host, too long, forbidden. Too old. A wrong header.
    let kinds = vec![(3, 3), (3, 1), (3, 4), (3, 13), (11, 0), (12, 0)];
    (select(kinds), any::<bool>()).prop_map(|((kind, code), of_peer)| Call::Icmp {
        kind,
        code,
        of_peer,
    })
}

fn send() -> impl Strategy<Value = Call> {
    let flags = select(vec![
        0,
        0,
        libc::MSG_MORE,
        libc::MSG_MORE,
        MSG_ZEROCOPY,
        libc::MSG_CONFIRM,
        libc::MSG_DONTROUTE,
    ]);
    let to = proptest::option::of(select(PEERS));
    (to, packet(), flags).prop_map(|(to, packet, flags)| Call::Send(to, packet, Flags(flags)))
}

fn receive() -> impl Strategy<Value = Call> {
    let flags = select(vec![
        0,
        libc::MSG_PEEK,
        libc::MSG_TRUNC,
        libc::MSG_PEEK | libc::MSG_TRUNC,
        libc::MSG_ERRQUEUE,
        libc::MSG_ERRQUEUE | libc::MSG_PEEK,
    ]);
    (flags, select(vec![70_000_usize, 3, 0]))
        .prop_map(|(flags, room)| Call::Receive(Flags(flags), room))
}
