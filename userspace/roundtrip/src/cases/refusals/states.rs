// SPDX-License-Identifier: GPL-2.0

//! Sockets that the family does not carry: refused by name, never half-dumped.
//!
//! A row goes away when the family learns to carry what it sets.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cr::{self, Expected};
use crate::runner::{Test, skip};
use crate::sys::socket;

/// An option that is not carried: level, number, value, a word of the message.
struct Option_ {
    name: &'static str,
    level: i32,
    number: i32,
    value: i32,
}

macro_rules! not_carried {
    ($($level:ident { $($name:ident $number:literal = $value:expr,)* })*) => {
        &[$($(Option_ {
            name: stringify!($name),
            level: libc::$level,
            number: $number,
            value: $value,
        },)*)*]
    };
}

const OPTIONS: &[Option_] = not_carried! {
    SOL_SOCKET {
        SO_NO_CHECK 11 = 1,
        SO_REUSEPORT 15 = 1,
        SO_MARK 36 = 5,
        SO_TIMESTAMPING 37 = 0x18,
        SO_RXQ_OVFL 40 = 1,
        SO_WIFI_STATUS 41 = 1,
        SO_PEEK_OFF 42 = 0,
        SO_NOFCS 43 = 1,
        SO_LOCK_FILTER 44 = 1,
        SO_SELECT_ERR_QUEUE 45 = 1,
        SO_BUSY_POLL 46 = 50,
        SO_MAX_PACING_RATE 47 = 1_000_000,
        SO_INCOMING_CPU 49 = 0,
        SO_ZEROCOPY 60 = 1,
        SO_PREFER_BUSY_POLL 69 = 1,
        SO_BUSY_POLL_BUDGET 70 = 64,
        SO_RCVMARK 75 = 1,
        SO_RCVPRIORITY 82 = 1,
    }
    SOL_IP {
        IP_TOS 1 = 0x10,
        IP_TTL 2 = 7,
        IP_RECVOPTS 6 = 1,
        IP_RETOPTS 7 = 1,
        IP_PKTINFO 8 = 1,
        IP_MTU_DISCOVER 10 = 2,
        IP_RECVERR 11 = 1,
        IP_RECVTTL 12 = 1,
        IP_RECVTOS 13 = 1,
        IP_FREEBIND 15 = 1,
        IP_PASSSEC 18 = 1,
        IP_TRANSPARENT 19 = 1,
        IP_RECVORIGDSTADDR 20 = 1,
        IP_MINTTL 21 = 3,
        IP_CHECKSUM 23 = 1,
        IP_BIND_ADDRESS_NO_PORT 24 = 1,
        IP_RECVFRAGSIZE 25 = 1,
        IP_RECVERR_RFC4884 26 = 1,
        IP_MULTICAST_TTL 33 = 5,
        IP_MULTICAST_LOOP 34 = 0,
        IP_MULTICAST_ALL 49 = 0,
        IP_LOCAL_PORT_RANGE 51 = 0x7d01_7d00,
    }
    SOL_UDP {
        UDP_CORK 1 = 1,
        UDP_NO_CHECK6_TX 101 = 1,
        UDP_NO_CHECK6_RX 102 = 1,
        UDP_SEGMENT 103 = 1000,
        UDP_GRO 104 = 1,
    }
};

/// A state that no option makes: name, a word of the message, and how.
type State = (&'static str, &'static str, fn(&UdpSocket) -> io::Result<()>);

const STATES: &[State] = &[
    ("queue", "queue", |s| {
        socket::bind(s, "127.0.0.1:7000".parse().map_err(io::Error::other)?)?;
        s.send_to(b"x", (Ipv4Addr::LOCALHOST, 7000)).map(drop)
    }),
    ("msg_more", "corked", |s| {
        socket::connect(s, "127.0.0.1:7001".parse().map_err(io::Error::other)?)?;
        socket::send(s, b"x", libc::MSG_MORE).map(drop)
    }),
    ("cork_with_data", "UDP_CORK", |s| {
        socket::connect(s, "127.0.0.1:7001".parse().map_err(io::Error::other)?)?;
        socket::set_int(s, libc::SOL_UDP, 1, 1)?;
        socket::send(s, b"x", 0).map(drop)
    }),
    ("membership", "multicast", |s| {
        s.join_multicast_v4(&Ipv4Addr::new(224, 1, 1, 1), &Ipv4Addr::LOCALHOST)
    }),
    ("filter", "filter", socket::attach_filter),
    ("reuseport_bound", "SO_REUSEPORT", |s| {
        socket::set_int(s, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
        socket::bind(s, "127.0.0.1:7000".parse().map_err(io::Error::other)?)
    }),
    ("pending_error", "error", |s| {
        // Nobody is there: the answer is an ICMP error.
        socket::connect(s, "127.0.0.1:7001".parse().map_err(io::Error::other)?)?;
        socket::send(s, b"x", 0)?;
        let mut tries = 0..1000;
        while tries.next().is_some() && !socket::readable(s, Duration::from_millis(1))? {}
        Ok(())
    }),
    ("shutdown_read", "shut", |s| {
        socket::connect(s, "127.0.0.1:7001".parse().map_err(io::Error::other)?)?;
        socket::shutdown(s, libc::SHUT_RD)
    }),
    ("shutdown_write", "shut", |s| {
        socket::connect(s, "127.0.0.1:7001".parse().map_err(io::Error::other)?)?;
        socket::shutdown(s, libc::SHUT_WR)
    }),
    ("multicast_device", "IP_MULTICAST_IF", |s| {
        socket::set(s, libc::SOL_IP, 32, &[127, 0, 0, 1])
    }),
    ("unicast_device", "IP_UNICAST_IF", |s| {
        let index = crate::sys::link::index("lo")?;
        socket::set(s, libc::SOL_IP, 50, &index.to_be_bytes())
    }),
    ("ip_options", "IP_OPTIONS", |s| {
        socket::set(s, libc::SOL_IP, 4, &[1, 1, 1, 1])
    }),
    ("txtime", "SO_TXTIME", |s| {
        // CLOCK_MONOTONIC needs no privilege.
        socket::set(s, libc::SOL_SOCKET, 61, &[1, 0, 0, 0, 0, 0, 0, 0])
    }),
    ("encapsulation", "UDP_ENCAP", |s| {
        const L2TP: i32 = 3;
        socket::set_int(s, libc::SOL_UDP, 100, L2TP)
    }),
    ("owner", "own", |s| {
        let me = std::process::id().cast_signed();
        socket::fcntl(s, libc::F_SETOWN, me).map(drop)
    }),
];

/// Another kind of socket: name, a word of the message, family, type, protocol.
const KINDS: &[(&str, &str, i32, i32, i32)] = &[
    ("tcp", "type", libc::AF_INET, libc::SOCK_STREAM, 0),
    ("raw", "type", libc::AF_INET, libc::SOCK_RAW, 1),
    ("raw_udp", "type", libc::AF_INET, libc::SOCK_RAW, 17),
    ("ping", "protocol", libc::AF_INET, libc::SOCK_DGRAM, 1),
    ("inet6", "famil", libc::AF_INET6, libc::SOCK_DGRAM, 0),
    ("unix", "famil", libc::AF_UNIX, libc::SOCK_DGRAM, 0),
    ("netlink", "famil", libc::AF_NETLINK, libc::SOCK_RAW, 0),
    ("packet", "famil", libc::AF_PACKET, libc::SOCK_DGRAM, 0),
];

pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for option in OPTIONS {
        let name = option.name.to_lowercase();
        tests.push(Test::new(format!("refusals::option::{name}"), || {
            not_carried_option(option)
        }));
    }
    for (name, word, make) in STATES {
        tests.push(Test::new(format!("refusals::state::{name}"), || {
            let socket = socket::udp()?;
            make_state(name, &socket, *make)?;
            refused(&socket, word)
        }));
    }
    for (name, word, family, kind, protocol) in KINDS {
        tests.push(Test::new(format!("refusals::kind::{name}"), move || {
            std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647")?;
            match socket::socket(*family, *kind, *protocol) {
                Ok(socket) => refused(&socket, word),
                Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
                    skip(&format!("sockets of family {name}"))
                }
                Err(error) => Err(error).context("socket"),
            }
        }));
    }
    tests.push(Test::new("refusals::kind::tcp_listener", || {
        let socket: OwnedFd = socket::socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
        socket::listen(&socket)?;
        refused(&socket, "type")
    }));
    tests.push(Test::new("refusals::state::queue_read_again", queue_read));
    tests
}

fn make_state(
    name: &str,
    socket: &UdpSocket,
    make: fn(&UdpSocket) -> io::Result<()>,
) -> Result<()> {
    match make(socket) {
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {
            skip(&format!("option for the state {name}"))
        }
        other => other.with_context(|| format!("setting up {name}")),
    }
}

fn refused(fd: &impl AsRawFd, word: &str) -> Result<()> {
    let mut client = cr::client()?;
    let expected = Expected::errno(&[libc::EOPNOTSUPP]).word(word);
    cr::dump_refused(&mut client, fd, expected)?;
    Ok(())
}

fn not_carried_option(option: &Option_) -> Result<()> {
    let socket = socket::udp()?;
    match socket::set_int(&socket, option.level, option.number, option.value) {
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {
            return skip(option.name);
        }
        other => other.with_context(|| format!("setting {}", option.name))?,
    }
    refused(&socket, option.name)
}

/// A queue that was read is no obstacle any more, also what is left of it.
fn queue_read() -> Result<()> {
    let socket = socket::udp()?;
    socket::bind(&socket, "127.0.0.1:7000".parse()?)?;
    for _ in 0..3 {
        socket.send_to(b"x", (Ipv4Addr::LOCALHOST, 7000))?;
    }
    for _ in 0..3 {
        refused(&socket, "queue")?;
        let (payload, _) = socket::receive(&socket, 0)?;
        ensure!(payload == b"x", "the datagram was changed");
    }
    cr::round_trip(&mut cr::client()?, socket)?;
    Ok(())
}
