// SPDX-License-Identifier: GPL-2.0

//! Membership in multicast groups: the options that have a structure each.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use libc::SOL_IP;

use super::{link, socket};

const IP_MSFILTER: i32 = 41;
const MCAST_JOIN_GROUP: i32 = 42;
const MCAST_BLOCK_SOURCE: i32 = 43;
const MCAST_JOIN_SOURCE_GROUP: i32 = 46;
const MCAST_MSFILTER: i32 = 48;

/// `MCAST_EXCLUDE` and `MCAST_INCLUDE`.
const fn mode(exclude: bool) -> u32 {
    if exclude { 0 } else { 1 }
}

/// More sources than a socket can have without a change of `igmp_max_msf`.
const ROOM: usize = 16;

/// A device, by a name of its own or by its address.
#[derive(Clone, Copy)]
pub enum Device {
    Index(u32),
    Address(Ipv4Addr),
}

impl Device {
    /// The device of that name, by its index.
    pub fn of(name: &str) -> io::Result<Self> {
        link::index(name).map(Self::Index)
    }
}

/// The loopback device, by its address.
pub const LOOPBACK: Device = Device::Address(Ipv4Addr::LOCALHOST);

/// Which sources of a group a socket hears: all but these, or these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub exclude: bool,
    pub sources: Vec<Ipv4Addr>,
}

/// `struct ip_mreqn`: group, address, index.
pub fn mreqn(group: Ipv4Addr, address: Ipv4Addr, index: u32) -> Vec<u8> {
    let addresses = [group.octets(), address.octets()].concat();
    [addresses, index.to_ne_bytes().to_vec()].concat()
}

/// `struct ip_mreq`, or with an index `struct ip_mreqn`.
fn request(group: Ipv4Addr, device: Device) -> Vec<u8> {
    match device {
        Device::Index(index) => mreqn(group, Ipv4Addr::UNSPECIFIED, index),
        Device::Address(address) => [group.octets(), address.octets()].concat(),
    }
}

/// `IP_ADD_MEMBERSHIP`.
pub fn join(fd: &impl AsRawFd, group: Ipv4Addr, device: Device) -> io::Result<()> {
    let request = request(group, device);
    socket::set(fd, SOL_IP, libc::IP_ADD_MEMBERSHIP, &request)
}

/// `IP_DROP_MEMBERSHIP`.
pub fn leave(fd: &impl AsRawFd, group: Ipv4Addr, device: Device) -> io::Result<()> {
    let request = request(group, device);
    socket::set(fd, SOL_IP, libc::IP_DROP_MEMBERSHIP, &request)
}

/// `MCAST_JOIN_GROUP`.
pub fn join_by_index(fd: &impl AsRawFd, group: Ipv4Addr, index: u32) -> io::Result<()> {
    let request = [index_and_padding(index), storage(group)].concat();
    socket::set(fd, SOL_IP, MCAST_JOIN_GROUP, &request)
}

/// One more source that is not heard (`IP_BLOCK_SOURCE`, `MCAST_BLOCK_SOURCE`), or one that is
/// (`IP_ADD_SOURCE_MEMBERSHIP`, `MCAST_JOIN_SOURCE_GROUP`), which also joins the group.
pub fn add_source(
    fd: &impl AsRawFd,
    group: Ipv4Addr,
    device: Device,
    exclude: bool,
    source: Ipv4Addr,
) -> io::Result<()> {
    match device {
        Device::Address(address) => {
            let option = if exclude {
                libc::IP_BLOCK_SOURCE
            } else {
                libc::IP_ADD_SOURCE_MEMBERSHIP
            };
            of_source(fd, option, group, address, source)
        }
        Device::Index(index) => {
            let option = if exclude {
                MCAST_BLOCK_SOURCE
            } else {
                MCAST_JOIN_SOURCE_GROUP
            };
            let addresses = [storage(group), storage(source)].concat();
            let request = [index_and_padding(index), addresses].concat();
            socket::set(fd, SOL_IP, option, &request)
        }
    }
}

/// An option that takes a `struct ip_mreq_source`.
pub fn of_source(
    fd: &impl AsRawFd,
    option: i32,
    group: Ipv4Addr,
    address: Ipv4Addr,
    source: Ipv4Addr,
) -> io::Result<()> {
    let request = [group, address, source].map(|one| one.octets()).concat();
    socket::set(fd, SOL_IP, option, &request)
}

/// Sets the whole filter: `IP_MSFILTER` by address, `MCAST_MSFILTER` by index.
pub fn set_filter(
    fd: &impl AsRawFd,
    group: Ipv4Addr,
    device: Device,
    filter: &Filter,
) -> io::Result<()> {
    let (option, mut request) = head(group, device, filter.exclude, filter.sources.len());
    for source in &filter.sources {
        match device {
            Device::Address(_) => request.extend(source.octets()),
            Device::Index(_) => request.extend(storage(*source)),
        }
    }
    socket::set(fd, SOL_IP, option, &request)
}

/// Reads the whole filter, by the same options. Who is not a member gets an error.
pub fn filter(fd: &impl AsRawFd, group: Ipv4Addr, device: Device) -> io::Result<Filter> {
    let (option, mut request) = head(group, device, true, ROOM);
    // Where mode and number are, and each source with its address in it.
    let (mode, first, len, at) = match device {
        Device::Address(_) => (8, 16, 4, 0),
        Device::Index(_) => (136, 144, 128, 4),
    };
    request.resize(first + ROOM * len, 0);
    let answer = socket::ask(fd, SOL_IP, option, request)?;
    let bytes = |from: usize| -> io::Result<[u8; 4]> {
        let bytes = answer.get(from..from + 4).and_then(|b| b.try_into().ok());
        bytes.ok_or_else(|| io::Error::other("a filter that is cut off"))
    };
    let count = u32::from_ne_bytes(bytes(mode + 4)?) as usize;
    if count > ROOM {
        return Err(io::Error::other("more sources than there is room for"));
    }
    let sources = (0..count).map(|n| bytes(first + n * len + at).map(Ipv4Addr::from));
    Ok(Filter {
        exclude: bytes(mode)? == [0; 4],
        sources: sources.collect::<io::Result<_>>()?,
    })
}

/// `struct ip_msfilter` or `struct group_filter`, without sources, and the option.
fn head(group: Ipv4Addr, device: Device, exclude: bool, count: usize) -> (i32, Vec<u8>) {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let end = [mode(exclude).to_ne_bytes(), count.to_ne_bytes()].concat();
    match device {
        Device::Address(_) => (IP_MSFILTER, [request(group, device), end].concat()),
        Device::Index(index) => {
            let begin = [index_and_padding(index), storage(group)].concat();
            (MCAST_MSFILTER, [begin, end].concat())
        }
    }
}

/// The index of a device, in front of a `struct sockaddr_storage`.
fn index_and_padding(index: u32) -> Vec<u8> {
    [index.to_ne_bytes(), [0; 4]].concat()
}

/// A `struct sockaddr_storage` of an address without a port.
fn storage(address: Ipv4Addr) -> Vec<u8> {
    let mut bytes = vec![0; 128];
    let family = libc::sa_family_t::try_from(libc::AF_INET).expect("small constant");
    bytes[..2].copy_from_slice(&family.to_ne_bytes());
    bytes[4..8].copy_from_slice(&address.octets());
    bytes
}

/// A group that a device of this network namespace is a member of: the device's name and index,
/// the group.
pub type Joined = (String, u32, Ipv4Addr);

/// What `/proc/net/igmp` lists.
pub fn joined() -> Vec<Joined> {
    let table = std::fs::read_to_string("/proc/thread-self/net/igmp").unwrap_or_default();
    let mut device = (String::new(), 0);
    let mut joined = Vec::new();
    for line in table.lines().skip(1) {
        let mut words = line.split_whitespace();
        let (Some(first), second) = (words.next(), words.next()) else {
            continue;
        };
        // A line of a device begins with its index, one of a group is indented.
        if line.starts_with(|first: char| first.is_ascii_digit()) {
            let name = second.unwrap_or_default().trim_end_matches(':');
            device = (name.to_owned(), first.parse().unwrap_or_default());
        } else if let Ok(group) = u32::from_str_radix(first, 16) {
            let group = Ipv4Addr::from(group.to_ne_bytes());
            joined.push((device.0.clone(), device.1, group));
        }
    }
    joined
}
