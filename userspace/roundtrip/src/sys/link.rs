// SPDX-License-Identifier: GPL-2.0

//! Network devices, by the old ioctls and as little rtnetlink as is needed.

use std::ffi::{CString, c_char};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::{fs, io};

use super::{check, socket};

fn request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: all zeroes is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= libc::IFNAMSIZ {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = char_of(from);
    }
    Ok(request)
}

/// A byte as C has it: with a sign on some architectures, and without one on others.
fn char_of(byte: u8) -> c_char {
    c_char::from_ne_bytes([byte])
}

/// An address for the old ioctls.
fn address_of(address: Ipv4Addr) -> libc::sockaddr {
    let [a, b, c, d] = address.octets();
    libc::sockaddr {
        sa_family: libc::sa_family_t::try_from(libc::AF_INET).expect("small constant"),
        sa_data: [0, 0, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0].map(char_of),
    }
}

fn ioctl(number: libc::c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
    let fd = socket::udp()?;
    // SAFETY: every request used here reads and writes one ifreq, and what that points to, which
    // lives longer.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), number, std::ptr::from_mut(request)) })?;
    Ok(())
}

/// Brings a device up.
pub fn up(name: &str) -> io::Result<()> {
    change_flags(name, |flags| flags | libc::IFF_UP)
}

/// Takes a device down.
pub fn down(name: &str) -> io::Result<()> {
    change_flags(name, |flags| flags & !libc::IFF_UP)
}

/// Adds a device with an address whose neighbours never answer: what is sent to one is kept until
/// the device is gone.
pub fn add_silent(name: &str, address_: Ipv4Addr) -> io::Result<()> {
    add_dummy(name)?;
    // It asks for its neighbours, once a second, and does not give up after the usual three.
    change_flags(name, |flags| flags & !libc::IFF_NOARP)?;
    address(name, address_)?;
    let solicit = format!("/proc/sys/net/ipv4/neigh/{name}/mcast_solicit");
    fs::write(solicit, "20")
}

fn change_flags(name: &str, change: fn(i32) -> i32) -> io::Result<()> {
    let mut request = request(name)?;
    ioctl(libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: the call before has filled this member.
    let flags = i32::from(unsafe { request.ifr_ifru.ifru_flags });
    let flags = libc::c_short::try_from(change(flags)).expect("16 bits");
    request.ifr_ifru.ifru_flags = flags;
    ioctl(libc::SIOCSIFFLAGS, &mut request)
}

/// Gives a device another name.
pub fn rename(name: &str, new: &str) -> io::Result<()> {
    let to = request(new)?;
    let mut request = request(name)?;
    request.ifr_ifru.ifru_newname = to.ifr_name;
    ioctl(libc::SIOCSIFNAME, &mut request)
}

/// Sets the largest packet of a device.
pub fn set_mtu(name: &str, mtu: i32) -> io::Result<()> {
    let mut request = request(name)?;
    request.ifr_ifru.ifru_mtu = mtu;
    ioctl(libc::SIOCSIFMTU, &mut request)
}

/// What a device does on behalf of the stack: the commands of ethtool that switch it.
#[derive(Clone, Copy)]
pub enum Offload {
    /// Cutting what TCP sends (`ETHTOOL_STSO`).
    Tso = 0x1f,
    /// Merging what is received (`ETHTOOL_SGRO`).
    Gro = 0x2c,
}

/// Switches an offload of a device.
pub fn set_offload(name: &str, offload: Offload, on: bool) -> io::Result<()> {
    let mut request = request(name)?;
    let mut value = [offload as u32, u32::from(on)]; // struct ethtool_value
    request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
    ioctl(libc::SIOCETHTOOL, &mut request)
}

/// The names of all devices.
pub fn names() -> io::Result<Vec<String>> {
    let table = std::fs::read_to_string("/proc/thread-self/net/dev")?;
    let names = table.lines().filter_map(|line| line.split_once(':'));
    Ok(names.map(|(name, _)| name.trim().to_owned()).collect())
}

/// Index of a device.
pub fn index(name: &str) -> io::Result<u32> {
    let name = CString::new(name)?;
    // SAFETY: a C string.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// Gives a device an address of a /24 network, and brings it up.
pub fn address(name: &str, address: Ipv4Addr) -> io::Result<()> {
    for (number, value) in [
        (libc::SIOCSIFADDR, address),
        (libc::SIOCSIFNETMASK, Ipv4Addr::new(255, 255, 255, 0)),
    ] {
        let mut request = request(name)?;
        request.ifr_ifru.ifru_addr = address_of(value);
        ioctl(number, &mut request)?;
    }
    up(name)
}

fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len() + 4).expect("small attribute");
    let mut bytes = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Sends one rtnetlink request and waits for its acknowledgement.
fn rtnetlink(kind: u16, flags: i32, body: &[u8]) -> io::Result<()> {
    let fd = socket::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?;
    let flags = u16::try_from(flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK).expect("flags");
    let len = u32::try_from(body.len() + 16).expect("small message");
    let mut message = len.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]); // sequence number and port
    message.extend(body);

    socket::send_to_kernel(&fd, &message)?;
    let (reply, _) = socket::receive(&fd, 0)?;
    let error = reply
        .get(16..20)
        .and_then(|bytes| bytes.try_into().ok())
        .map(i32::from_ne_bytes);
    match error {
        Some(0) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(-error)),
        None => Err(io::Error::other("short acknowledgement")),
    }
}

const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;

const IFLA_INFO_DATA: u16 = 2;
const IFLA_NET_NS_FD: u16 = 28;
const VETH_INFO_PEER: u16 = 1;

/// Makes two devices, each the other end of the other. The second one is in another network
/// namespace.
pub fn add_veth(name: &str, peer: &str, there: &impl AsRawFd) -> io::Result<()> {
    let mut far = vec![0_u8; 16]; // struct ifinfomsg
    far.extend(attribute(IFLA_IFNAME, &[peer.as_bytes(), &[0]].concat()));
    let there = there.as_raw_fd().to_ne_bytes();
    far.extend(attribute(IFLA_NET_NS_FD, &there));
    let kind = attribute(IFLA_INFO_KIND, b"veth\0");
    let data = attribute(IFLA_INFO_DATA, &attribute(VETH_INFO_PEER, &far));
    add(name, &[kind, data].concat())
}

/// Makes a dummy device.
pub fn add_dummy(name: &str) -> io::Result<()> {
    add(name, &attribute(IFLA_INFO_KIND, b"dummy\0"))
}

/// Makes the end of a tunnel (VXLAN). While it is up, the kernel has a UDP socket on the port.
/// `EOPNOTSUPP` where the kernel has no such devices.
pub fn add_vxlan(name: &str, port: u16) -> io::Result<()> {
    const IFLA_VXLAN_ID: u16 = 1;
    const IFLA_VXLAN_PORT: u16 = 15;

    let kind = attribute(IFLA_INFO_KIND, b"vxlan\0");
    let id = attribute(IFLA_VXLAN_ID, &7_u32.to_ne_bytes());
    let port = attribute(IFLA_VXLAN_PORT, &port.to_be_bytes());
    let data = attribute(IFLA_INFO_DATA, &[id, port].concat());
    add(name, &[kind, data].concat())
}

/// Makes a device of some kind.
fn add(name: &str, info: &[u8]) -> io::Result<()> {
    let mut body = vec![0_u8; 16]; // struct ifinfomsg
    body.extend(attribute(IFLA_IFNAME, &[name.as_bytes(), &[0]].concat()));
    body.extend(attribute(IFLA_LINKINFO, info));
    rtnetlink(libc::RTM_NEWLINK, NEW, &body)
}

/// Has what is longer than a packet cut before a device gets it.
pub fn cut_for(name: &str) -> io::Result<()> {
    const IFLA_GSO_MAX_SEGS: u16 = 40;

    let mut body = vec![0_u8; 16]; // struct ifinfomsg
    body[4..8].copy_from_slice(&index(name)?.to_ne_bytes());
    body.extend(attribute(IFLA_GSO_MAX_SEGS, &1_u32.to_ne_bytes()));
    rtnetlink(libc::RTM_NEWLINK, 0, &body)
}

/// Removes a device, waiting until nobody refers to it any more.
pub fn remove(name: &str) -> io::Result<()> {
    let mut body = vec![0_u8; 16]; // struct ifinfomsg
    let index = index(name)?;
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    rtnetlink(libc::RTM_DELLINK, 0, &body)
}

/// What a plug does with the packets of a device, `TCQ_PLUG_*`.
#[derive(Clone, Copy)]
pub enum Plug {
    /// Keeps them.
    Buffer = 0,
    /// Sends those that it has, and keeps none.
    ReleaseIndefinite = 2,
}

/// Gives a device a plug (`sch_plug`), which keeps packets from now on, at most so many bytes.
pub fn add_plug(name: &str, limit: u32) -> io::Result<()> {
    let options = [0, limit].map(u32::to_ne_bytes).concat();
    qdisc(name, NEW, "plug", &options)
}

/// Changes what the plug of a device does.
pub fn plug(name: &str, action: Plug) -> io::Result<()> {
    let options = [action as u32, 0].map(u32::to_ne_bytes).concat();
    qdisc(name, 0, "plug", &options)
}

/// Has a device send each packet at its time (`sch_etf`), by the clock that all must agree on.
/// `ENOENT` where the kernel has no such discipline.
pub fn send_at_times(name: &str) -> io::Result<()> {
    const TCA_ETF_PARMS: u16 = 1;

    let parameters = [0, libc::CLOCK_TAI, 0].map(i32::to_ne_bytes).concat();
    qdisc(name, NEW, "etf", &attribute(TCA_ETF_PARMS, &parameters))
}

/// Flags of a request for something that is not there yet.
const NEW: i32 = libc::NLM_F_CREATE | libc::NLM_F_EXCL;

/// Makes or changes the queueing discipline of a device.
fn qdisc(name: &str, flags: i32, kind: &str, options: &[u8]) -> io::Result<()> {
    const TC_H_ROOT: u32 = u32::MAX;
    const HANDLE: u32 = 1 << 16;
    const TCA_KIND: u16 = 1;
    const TCA_OPTIONS: u16 = 2;

    let mut body = vec![0_u8; 4]; // struct tcmsg
    for word in [index(name)?, HANDLE, TC_H_ROOT, 0] {
        body.extend(word.to_ne_bytes());
    }
    body.extend(attribute(TCA_KIND, &[kind.as_bytes(), &[0]].concat()));
    body.extend(attribute(TCA_OPTIONS, options));
    rtnetlink(libc::RTM_NEWQDISC, flags, &body)
}

/// Routes everything that has no other route by a gateway.
pub fn default_route(gateway: Ipv4Addr) -> io::Result<()> {
    const RTF_UP: u16 = 1;
    const RTF_GATEWAY: u16 = 2;
    let socket = socket::udp()?;
    // SAFETY: all zeroes is a valid rtentry.
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    route.rt_dst = address_of(Ipv4Addr::UNSPECIFIED);
    route.rt_genmask = address_of(Ipv4Addr::UNSPECIFIED);
    route.rt_gateway = address_of(gateway);
    route.rt_flags = RTF_UP | RTF_GATEWAY;
    // SAFETY: the kernel reads one rtentry.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCADDRT, &raw const route) })?;
    Ok(())
}
