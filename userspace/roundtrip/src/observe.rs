// SPDX-License-Identifier: GPL-2.0

//! Everything that plain system calls say of a socket.
//!
//! This is what original and copy are compared by. It lists every option of
//! the levels that an IPv4 UDP socket has, also those that the family does not
//! carry: they must be those of a new socket then.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::AsRawFd;

use anyhow::{Result, bail};

use crate::sys::multicast::{self, Device};
use crate::sys::{errno_name, signal, socket};

/// How many bytes `getsockopt(2)` is asked for.
struct Option_ {
    level: i32,
    number: i32,
    name: &'static str,
    len: usize,
}

macro_rules! options {
    ($($level:ident { $($number:literal $name:ident $len:literal,)* })*) => {
        &[$($(Option_ {
            level: libc::$level,
            number: $number,
            name: stringify!($name),
            len: $len,
        },)*)*]
    };
}

/// All that can be read without changing the socket.
///
/// Left out: `SO_ERROR` (reading clears it), `SO_COOKIE` (identity),
/// `SO_PEERPIDFD` (opens a descriptor), `SO_INCOMING_NAPI_ID` (of the last
/// packet), `IP_MTU` (of a cached route: it is there or not, and comes back with
/// the next datagram) and the options of netfilter, which are not the socket's.
/// The multicast source filters need a group, see [`memberships`].
const OPTIONS: &[Option_] = options! {
    SOL_SOCKET {
        1 SO_DEBUG 4,
        2 SO_REUSEADDR 4,
        3 SO_TYPE 4,
        5 SO_DONTROUTE 4,
        6 SO_BROADCAST 4,
        7 SO_SNDBUF 4,
        8 SO_RCVBUF 4,
        9 SO_KEEPALIVE 4,
        10 SO_OOBINLINE 4,
        11 SO_NO_CHECK 4,
        12 SO_PRIORITY 4,
        13 SO_LINGER 8,
        14 SO_BSDCOMPAT 4,
        15 SO_REUSEPORT 4,
        16 SO_PASSCRED 4,
        17 SO_PEERCRED 12,
        18 SO_RCVLOWAT 4,
        19 SO_SNDLOWAT 4,
        20 SO_RCVTIMEO_OLD 16,
        21 SO_SNDTIMEO_OLD 16,
        25 SO_BINDTODEVICE 16,
        26 SO_GET_FILTER 0,
        28 SO_PEERNAME 16,
        29 SO_TIMESTAMP_OLD 4,
        30 SO_ACCEPTCONN 4,
        31 SO_PEERSEC 64,
        34 SO_PASSSEC 4,
        35 SO_TIMESTAMPNS_OLD 4,
        36 SO_MARK 4,
        37 SO_TIMESTAMPING_OLD 8,
        38 SO_PROTOCOL 4,
        39 SO_DOMAIN 4,
        40 SO_RXQ_OVFL 4,
        41 SO_WIFI_STATUS 4,
        42 SO_PEEK_OFF 4,
        43 SO_NOFCS 4,
        44 SO_LOCK_FILTER 4,
        45 SO_SELECT_ERR_QUEUE 4,
        46 SO_BUSY_POLL 4,
        47 SO_MAX_PACING_RATE 8,
        48 SO_BPF_EXTENSIONS 4,
        49 SO_INCOMING_CPU 4,
        55 SO_MEMINFO 36,
        59 SO_PEERGROUPS 64,
        60 SO_ZEROCOPY 4,
        61 SO_TXTIME 8,
        62 SO_BINDTOIFINDEX 4,
        63 SO_TIMESTAMP_NEW 4,
        64 SO_TIMESTAMPNS_NEW 4,
        65 SO_TIMESTAMPING_NEW 8,
        66 SO_RCVTIMEO_NEW 16,
        67 SO_SNDTIMEO_NEW 16,
        69 SO_PREFER_BUSY_POLL 4,
        71 SO_NETNS_COOKIE 8,
        72 SO_BUF_LOCK 4,
        73 SO_RESERVE_MEM 4,
        74 SO_TXREHASH 4,
        75 SO_RCVMARK 4,
        76 SO_PASSPIDFD 4,
        82 SO_RCVPRIORITY 4,
        83 SO_PASSRIGHTS 4,
    }
    SOL_IP {
        1 IP_TOS 4,
        2 IP_TTL 4,
        3 IP_HDRINCL 4,
        4 IP_OPTIONS 40,
        5 IP_ROUTER_ALERT 4,
        6 IP_RECVOPTS 4,
        7 IP_RETOPTS 4,
        8 IP_PKTINFO 4,
        9 IP_PKTOPTIONS 64,
        10 IP_MTU_DISCOVER 4,
        11 IP_RECVERR 4,
        12 IP_RECVTTL 4,
        13 IP_RECVTOS 4,
        15 IP_FREEBIND 4,
        18 IP_PASSSEC 4,
        19 IP_TRANSPARENT 4,
        20 IP_RECVORIGDSTADDR 4,
        21 IP_MINTTL 4,
        22 IP_NODEFRAG 4,
        23 IP_CHECKSUM 4,
        24 IP_BIND_ADDRESS_NO_PORT 4,
        25 IP_RECVFRAGSIZE 4,
        26 IP_RECVERR_RFC4884 4,
        32 IP_MULTICAST_IF 4,
        33 IP_MULTICAST_TTL 4,
        34 IP_MULTICAST_LOOP 4,
        49 IP_MULTICAST_ALL 4,
        50 IP_UNICAST_IF 4,
        51 IP_LOCAL_PORT_RANGE 4,
        52 IP_PROTOCOL 4,
    }
    SOL_UDP {
        1 UDP_CORK 4,
        100 UDP_ENCAP 4,
        101 UDP_NO_CHECK6_TX 4,
        102 UDP_NO_CHECK6_RX 4,
        103 UDP_SEGMENT 4,
        104 UDP_GRO 4,
    }
};

/// Of `SO_MEMINFO`: which numbers belong to the socket for good, as opposed to
/// what is queued or set aside at the moment.
const MEMINFO_KEPT: [usize; 4] = [1, 3, 5, 8];

/// What was seen, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation(BTreeMap<String, String>);

fn answer(result: io::Result<Vec<u8>>) -> String {
    match result {
        Ok(bytes) if bytes.len() == 4 => bytes
            .try_into()
            .map_or_else(|_| String::new(), |b| i32::from_ne_bytes(b).to_string()),
        Ok(bytes) => bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }),
        Err(error) => errno_name(error.raw_os_error().unwrap_or_default()),
    }
}

fn address(result: io::Result<SocketAddrV4>) -> String {
    match result {
        Ok(address) => address.to_string(),
        Err(error) => errno_name(error.raw_os_error().unwrap_or_default()),
    }
}

fn number(result: io::Result<i32>) -> String {
    match result {
        Ok(number) => number.to_string(),
        Err(error) => errno_name(error.raw_os_error().unwrap_or_default()),
    }
}

/// Looks at a socket.
pub fn observe(fd: &impl AsRawFd) -> Observation {
    let mut seen = BTreeMap::new();
    for option in OPTIONS {
        let mut value = socket::get(fd, option.level, option.number, option.len);
        if option.name == "SO_MEMINFO" {
            value = value.map(|bytes| {
                MEMINFO_KEPT
                    .iter()
                    .flat_map(|at| bytes.chunks(4).nth(*at).unwrap_or_default().to_vec())
                    .collect()
            });
        }
        // The peer's name is a struct with a port, which getpeername tells better.
        if option.name != "SO_PEERNAME" {
            seen.insert(option.name.into(), answer(value));
        }
    }
    seen.insert("getsockname".into(), address(socket::name(fd)));
    seen.insert("getpeername".into(), address(socket::peer(fd)));
    seen.insert(
        "F_GETFL".into(),
        number(socket::fcntl(fd, libc::F_GETFL, 0)),
    );
    seen.insert(
        "F_GETOWN_EX".into(),
        signal::owner(fd).map_or_else(|error| format!("{error}"), |owner| format!("{owner:?}")),
    );
    seen.insert(
        "fstat user".into(),
        socket::user(fd).map_or_else(|error| format!("{error}"), |user| format!("{user}")),
    );
    seen.insert("F_GETSIG".into(), number(signal::signal(fd)));
    seen.insert(
        "FIONREAD".into(),
        number(socket::ioctl_int(fd, libc::FIONREAD)),
    );
    seen.insert(
        "TIOCOUTQ".into(),
        number(socket::ioctl_int(fd, libc::TIOCOUTQ)),
    );
    // Shows what was shut down, too.
    seen.insert("poll".into(), number(socket::events(fd).map(i32::from)));
    for (name, value) in table_row(fd) {
        seen.insert(format!("/proc/net/udp {name}"), value);
    }
    seen.extend(memberships(fd));
    Observation(seen)
}

/// The multicast groups that a socket is a member of, with their filters. No
/// call lists them, so that it is asked for each one that somebody is a member of.
fn memberships(fd: &impl AsRawFd) -> Vec<(String, String)> {
    let mut seen = Vec::new();
    for (device, index, group) in multicast::joined() {
        if let Ok(filter) = multicast::filter(fd, group, Device::Index(index)) {
            seen.push((
                format!("member of {group} on {device}"),
                format!("{filter:?}"),
            ));
        }
    }
    seen
}

/// What `/proc/net/udp` has of the socket: nothing if it is not bound.
fn table_row(fd: &impl AsRawFd) -> Vec<(&'static str, String)> {
    let Ok(inode) = socket::inode(fd) else {
        return Vec::new();
    };
    let inode = inode.to_string();
    let table = std::fs::read_to_string("/proc/thread-self/net/udp").unwrap_or_default();
    let row: Option<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|words| words.get(9) == Some(&inode.as_str()));
    let Some(row) = row else {
        return Vec::new();
    };
    [
        (1, "local"),
        (2, "remote"),
        (3, "state"),
        (4, "queues"),
        (7, "uid"),
        (10, "references"),
        (12, "drops"),
    ]
    .iter()
    .filter_map(|(at, name)| Some((*name, (*row.get(*at)?).to_string())))
    .collect()
}

impl Observation {
    /// Without what is seen under some names.
    #[must_use]
    pub fn without(mut self, names: &[&str]) -> Self {
        self.0.retain(|name, _| !names.contains(&name.as_str()));
        self
    }

    /// What is seen under a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Where two sockets differ, one line each; empty if nowhere.
    pub fn difference(&self, other: &Self) -> String {
        let mut text = String::new();
        let names: std::collections::BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        for name in names {
            let (left, right) = (self.0.get(name), other.0.get(name));
            if left != right {
                let none = "(none)".to_string();
                let _ = writeln!(
                    text,
                    "  {name}: {} != {}",
                    left.unwrap_or(&none),
                    right.unwrap_or(&none)
                );
            }
        }
        text
    }
}

/// Fails unless both are the same.
pub fn same(what: &str, original: &Observation, copy: &Observation) -> Result<()> {
    let difference = original.difference(copy);
    if difference.is_empty() {
        Ok(())
    } else {
        bail!("{what}:\n{difference}")
    }
}
