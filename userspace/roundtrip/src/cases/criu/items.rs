// SPDX-License-Identifier: GPL-2.0

//! What a socket can have that a new one has not: an item each, on a socket of its own.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, Result};
use inetcr::{Client, Selector, Snapshot};
use libc::{SOL_IP, SOL_SOCKET};

use crate::cases::errqueue;
use crate::cr::{self, Dump};
use crate::groups::member;
use crate::observe::{Observation, observe};
use crate::options::{self, Case, Row, Set, rows};
use crate::places::{BROADCAST, GROUP, OTHER, PORT, shut};
use crate::sys::filter::{self, Instruction};
use crate::sys::signal::{self, OwnerType};
use crate::sys::{link, socket, task};

const UDP_CORK: i32 = 1;
const IP_FREEBIND: i32 = 15;
const IP_TRANSPARENT: i32 = 19;

/// An address that is nowhere.
const NOWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);

/// What is known of a socket.
pub struct Seen {
    pub plain: Observation,
    pub snapshot: Snapshot,
    dump: Dump,
}

impl Seen {
    pub fn of(client: &mut Client, socket: &UdpSocket) -> Result<Self> {
        let plain = observe(socket);
        let selector = Selector::Fd(socket.as_raw_fd());
        Ok(Self {
            plain,
            snapshot: client.snapshot(selector)?,
            dump: cr::dump(client, socket)?,
        })
    }
}

/// An item.
pub struct Item {
    /// As the manual pages call it.
    pub name: String,
    /// Has a socket have it that is bound there.
    make: Box<dyn Fn(SocketAddrV4) -> Result<UdpSocket>>,
    /// What a socket has of it.
    pub value: Box<dyn Fn(&Seen) -> String>,
}

impl Item {
    fn new(
        name: &str,
        make: impl Fn(SocketAddrV4) -> Result<UdpSocket> + 'static,
        value: impl Fn(&Snapshot) -> String + 'static,
    ) -> Self {
        Self {
            name: name.to_owned(),
            make: Box::new(make),
            value: Box::new(move |seen| value(&seen.snapshot)),
        }
    }

    /// A socket with it, of its own port.
    pub fn make(&self, index: usize) -> Result<UdpSocket> {
        let port = 20_000 + u16::try_from(index)?;
        let here = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        (self.make)(here).with_context(|| self.name.clone())
    }
}

/// All that CRIU does not refuse.
pub fn all() -> Result<Vec<Item>> {
    let mut items = Vec::new();
    let mut client = cr::client()?;
    for row in rows().filter(|row| row.name != "udp_cork") {
        items.push(option(row, off_default(&mut client, row)?));
    }
    items.extend(others());
    Ok(items)
}

fn option(row: &'static Row, case: &'static Case) -> Item {
    Item {
        name: manual_name(row),
        make: Box::new(move |here| {
            let socket = socket::udp()?;
            options::apply(&socket, row, case)?;
            socket::bind(&socket, here)?;
            Ok(socket)
        }),
        value: Box::new(move |seen| format!("{:?}", row.found_in(&seen.dump))),
    }
}

/// `SO_NAME`, `IP_NAME`, `UDP_NAME`, but where one option is several rows, or has another name.
fn manual_name(row: &Row) -> String {
    match row.name {
        "filter" => "SO_ATTACH_FILTER".to_owned(),
        "pacing_rate" => "pacing rate that an earlier SO_MAX_PACING_RATE has left".to_owned(),
        "sndbuf_ulock" => "SO_BUF_LOCK (SNDBUF)".to_owned(),
        "rcvbuf_ulock" => "SO_BUF_LOCK (RCVBUF)".to_owned(),
        "ip_multicast_if_address" => "IP_MULTICAST_IF (ADDRESS)".to_owned(),
        name if row.level == SOL_SOCKET => format!("SO_{}", name.to_uppercase()),
        name => name.to_uppercase(),
    }
}

/// A way of setting an option that makes it another one than that of a new socket.
fn off_default(client: &mut Client, row: &'static Row) -> Result<&'static Case> {
    let default = row.found_in(&cr::dump(client, &socket::udp()?)?);
    for case in row.cases.iter().rev() {
        if matches!(case.set, Set::Default(..) | Set::DeviceGone) {
            continue;
        }
        let socket = options::socket_with(row, case)?;
        if row.found_in(&cr::dump(client, &socket)?) != default {
            return Ok(case);
        }
    }
    anyhow::bail!("{} has no case that is not its default", row.name)
}

fn debug(value: &dyn std::fmt::Debug) -> String {
    format!("{value:?}")
}

/// What is no option, or is set by more than a value.
fn others() -> Vec<Item> {
    let mut items = of_queues();
    items.extend(of_addresses());
    items.extend(of_owners());
    items
}

fn of_queues() -> Vec<Item> {
    vec![
        Item::new(
            "membership of a group, with a filter of sources",
            |here| {
                let socket = UdpSocket::bind(here)?;
                member(GROUP).without(&[OTHER]).join(&socket)?;
                Ok(socket)
            },
            |seen| debug(&seen.membership),
        ),
        Item::new(
            "datagrams that wait to be received",
            |here| {
                let (socket, peer) = (UdpSocket::bind(here)?, UdpSocket::bind((OTHER, 0))?);
                for datagram in [&b"one"[..], b"", &[7; 3000]] {
                    peer.send_to(datagram, here)?;
                }
                Ok(socket)
            },
            |seen| debug(&seen.queue),
        ),
        Item::new(
            "errors that wait to be received",
            |_| {
                // What is made of them is about this port.
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, PORT))?;
                errqueue::errors_of_each_kind(&socket)?;
                Ok(socket)
            },
            |seen| debug(&seen.queue),
        ),
        Item::new(
            "error that the next call returns (SO_ERROR)",
            |here| {
                let socket = UdpSocket::bind(here)?;
                socket.connect((Ipv4Addr::LOCALHOST, 9))?;
                socket.send(b"anybody there?")?;
                while socket::events(&socket)? & libc::POLLERR == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(socket)
            },
            |seen| debug(&seen.error),
        ),
    ]
}

fn of_addresses() -> Vec<Item> {
    vec![
        Item::new(
            "whether address and port were chosen by the kernel",
            |here| {
                let socket = socket::udp()?;
                socket.connect(here)?;
                Ok(socket)
            },
            |seen| debug(&seen.bind_locks),
        ),
        Item::new(
            "peer",
            |here| {
                let socket = UdpSocket::bind(here)?;
                socket.connect((OTHER, 9))?;
                Ok(socket)
            },
            |seen| debug(&seen.peer()),
        ),
        Item::new(
            "shutdown(2) of a socket that is connected",
            |here| {
                let socket = UdpSocket::bind(here)?;
                socket.connect((OTHER, 9))?;
                shut(&socket, libc::SHUT_RD)?;
                Ok(socket)
            },
            |seen| debug(&seen.shutdown),
        ),
        Item::new(
            "shutdown(2) of a socket that is not bound",
            |_| {
                let socket = socket::udp()?;
                shut(&socket, libc::SHUT_RD)?;
                Ok(socket)
            },
            |seen| debug(&seen.shutdown),
        ),
        Item::new(
            "program of a group (SO_ATTACH_REUSEPORT_CBPF)",
            |here| {
                let socket = socket::udp()?;
                socket::set_int(&socket, SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
                socket::bind(&socket, here)?;
                let program = [Instruction::taking(0)];
                filter::attach(&socket, libc::SO_ATTACH_REUSEPORT_CBPF, &program)?;
                Ok(socket)
            },
            |seen| debug(&seen.reuseport_filter),
        ),
    ]
}

fn of_owners() -> Vec<Item> {
    vec![
        Item::new(
            "user that it belongs to",
            |here| {
                let socket = UdpSocket::bind(here)?;
                task::give_to(&socket, 1000)?;
                Ok(socket)
            },
            |seen| debug(&seen.uid),
        ),
        Item::new(
            "owner and signal (F_SETOWN, F_SETSIG)",
            |here| {
                let socket = UdpSocket::bind(here)?;
                signal::set_owner(&socket, OwnerType::Process, 1)?;
                signal::set_signal(&socket, libc::SIGUSR1)?;
                Ok(socket)
            },
            |seen| debug(&seen.owner),
        ),
        Item::new(
            "flags of the file (O_NONBLOCK)",
            |here| {
                let socket = UdpSocket::bind(here)?;
                socket.set_nonblocking(true)?;
                Ok(socket)
            },
            |seen| debug(&seen.file_flags),
        ),
    ]
}

/// A socket that CRIU does not take, with a name for what it has.
type Refused = (&'static str, fn() -> Result<UdpSocket>);

/// What CRIU does not take: no script of it is run, or not in time.
pub fn refused() -> Vec<Refused> {
    vec![
        ("UDP_CORK, without a datagram", || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket::set_int(&socket, libc::SOL_UDP, UDP_CORK, 1)?;
            Ok(socket)
        }),
        ("datagram that is corked", || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.connect((OTHER, 9))?;
            socket::set_int(&socket, libc::SOL_UDP, UDP_CORK, 1)?;
            socket.send(b"half of it")?;
            Ok(socket)
        }),
        ("address of another machine, by IP_FREEBIND", || {
            bound_nowhere(IP_FREEBIND)
        }),
        ("address of another machine, by IP_TRANSPARENT", || {
            bound_nowhere(IP_TRANSPARENT)
        }),
        ("peer that is a broadcast address", || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket::set_int(&socket, SOL_SOCKET, libc::SO_BROADCAST, 1)?;
            socket.connect((BROADCAST, 9))?;
            Ok(socket)
        }),
        ("eBPF filter (SO_ATTACH_BPF)", || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            filter::attach_ebpf(&socket, libc::SO_ATTACH_BPF)?;
            Ok(socket)
        }),
    ]
}

fn bound_nowhere(option: i32) -> Result<UdpSocket> {
    let socket = socket::udp()?;
    socket::set_int(&socket, SOL_IP, option, 1)?;
    socket::bind(&socket, SocketAddrV4::new(NOWHERE, 9))?;
    Ok(socket)
}

/// Undoes what items have done to the network.
pub fn clean() {
    let _ = link::set_mtu("lo", 65_536);
    options::remove_devices();
}
