// SPDX-License-Identifier: GPL-2.0

//! Sockets that the family does not carry: refused by name, never half-dumped.
//!
//! A row goes away when the family learns to carry what it makes.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use inetcr::{Client, Selector};

use crate::cr::{self, Dump, Expected};
use crate::places::PORT;
use crate::runner::{Test, skip};
use crate::sys::storage::{self, SocketMap};
use crate::sys::{filter, link, socket};

/// A state that is not carried: name, a word of the message, and how it is made.
type State = (&'static str, &'static str, fn(&UdpSocket) -> io::Result<()>);

const STATES: &[State] = &[
    ("ebpf_filter", "eBPF", |s| {
        filter::attach_ebpf(s, libc::SO_ATTACH_BPF).map_err(|error| match error.raw_os_error() {
            Some(libc::ENOSYS) => io::Error::from_raw_os_error(libc::ENOPROTOOPT),
            _ => error,
        })
    }),
    ("multicast_device_gone", "IP_MULTICAST_IF", |s| {
        link::add_dummy("gone0")?;
        let index = link::index("gone0")?.to_ne_bytes();
        let mreq = [[0; 4], [0; 4], index].concat();
        socket::set(s, libc::SOL_IP, libc::IP_MULTICAST_IF, &mreq)?;
        link::remove("gone0")
    }),
    ("unicast_device_gone", "IP_UNICAST_IF", |s| {
        link::add_dummy("gone0")?;
        let index = link::index("gone0")?.to_be_bytes();
        socket::set(s, libc::SOL_IP, libc::IP_UNICAST_IF, &index)?;
        link::remove("gone0")
    }),
    ("xfrm_policy", "XFRM", |s| {
        // A struct xfrm_userpolicy_info: IPv4, what goes out, allowed.
        let mut policy = [0; 168];
        policy[40] = 2;
        policy[160] = 1;
        // A kernel that has the option and no key manager says otherwise.
        socket::set(s, libc::SOL_IP, 17, &policy)
            .map_err(|_| io::Error::from_raw_os_error(libc::ENOPROTOOPT))
    }),
    ("appending", "file flag", |s| {
        socket::fcntl(s, libc::F_SETFL, libc::O_APPEND).map(drop)
    }),
    ("without_access_time", "file flag", |s| {
        socket::fcntl(s, libc::F_SETFL, libc::O_NOATIME).map(drop)
    }),
    ("extended_attribute", "extended attribute", |s| {
        socket::set_attribute(s, c"user.test", b"value")
    }),
];

/// A map of BPF that has the socket: name, and what the refusal calls it.
const MAPS: &[(&str, &str, SocketMap)] = &[
    ("sockmap", "a BPF sockmap", SocketMap::Sockmap),
    (
        "reuseport_sockarray",
        "a BPF map or another user in the kernel",
        SocketMap::ReuseportSockarray,
    ),
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
    for (name, word, make) in STATES {
        tests.push(Test::new(format!("refusals::state::{name}"), || {
            let socket = socket::udp()?;
            make_state(name, &socket, *make)?;
            refused(&socket, word)
        }));
    }
    for (name, word, map) in MAPS {
        tests.push(Test::new(format!("refusals::state::{name}"), || {
            in_a_map(name, word, *map)
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
    tests
}

/// Refused as long as the map has it, and dumped as before when it is out again.
fn in_a_map(name: &str, word: &str, map: SocketMap) -> Result<()> {
    let socket = socket::udp()?;
    socket::set_int(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    socket::bind(&socket, SocketAddrV4::new(Ipv4Addr::LOCALHOST, PORT))?;
    let mut client = cr::client()?;
    let plain = cr::dump(&mut client, &socket)?;
    let map = match storage::map_with(map, &socket) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL)) => {
            return skip(&format!("a BPF map for the state {name}"));
        }
        other => other.with_context(|| format!("setting up {name}"))?,
    };
    refused(&socket, word)?;
    drop(map);
    cr::same_dump(&plain, &again(&mut client, &socket)?)
}

/// Dumps a socket that a map has just let go, which the kernel does a moment after the map was
/// closed.
fn again(client: &mut Client, socket: &UdpSocket) -> Result<Dump> {
    let start = Instant::now();
    loop {
        match cr::dump_by(client, Selector::Fd(socket.as_raw_fd()).into()) {
            Ok(dump) => return Ok(dump),
            Err(error) if start.elapsed() > Duration::from_secs(5) => {
                return Err(error).context("refused without the map");
            }
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
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
