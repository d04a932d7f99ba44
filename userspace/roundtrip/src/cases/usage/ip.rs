// SPDX-License-Identifier: GPL-2.0

//! Use of a copy that shows options of level `SOL_IP`.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libc::SOL_IP;

use super::{HERE, bound, control, copy_with, round_trip, sys};
use crate::places::{PEER, PORT};
use crate::runner::Test;
use crate::sys::link;

const NOTHING: &[u8] = &[1, 1, 1, 1];

/// An option of the receiver, and the control message that it brings.
const MESSAGES: &[(&str, i32, i32)] = &[
    ("pktinfo", libc::IP_PKTINFO, libc::IP_PKTINFO),
    ("recvttl", libc::IP_RECVTTL, libc::IP_TTL),
    ("recvtos", libc::IP_RECVTOS, libc::IP_TOS),
    ("recvopts", libc::IP_RECVOPTS, libc::IP_RECVOPTS),
    ("retopts", libc::IP_RETOPTS, libc::IP_RETOPTS),
    (
        "recvorigdstaddr",
        libc::IP_RECVORIGDSTADDR,
        libc::IP_RECVORIGDSTADDR,
    ),
];

pub fn tests() -> Vec<Test> {
    let mut tests = vec![
        Test::new("usage::ip::tos", tos),
        Test::new("usage::ip::ttl", ttl),
        Test::new("usage::ip::ttl_of_the_namespace", ttl_of_the_namespace),
        Test::new("usage::ip::options", options),
        Test::new("usage::ip::recverr", recverr),
        Test::new("usage::ip::mtu_discover", mtu_discover),
        Test::new("usage::ip::freebind", || nonlocal(libc::IP_FREEBIND)),
        Test::new("usage::ip::transparent", || nonlocal(libc::IP_TRANSPARENT)),
        Test::new("usage::ip::bind_address_no_port", bind_address_no_port),
        Test::new("usage::ip::local_port_range", local_port_range),
        Test::new("usage::ip::unicast_if", unicast_if),
    ];
    for (name, option, kind) in MESSAGES {
        tests.push(Test::new(format!("usage::ip::{name}"), || {
            message(*option, *kind)
        }));
    }
    tests
}

/// A receiver that is told something of each datagram.
fn peer_with(option: i32) -> Result<UdpSocket> {
    let peer = UdpSocket::bind(PEER)?;
    sys::set_int(&peer, SOL_IP, option, 1)?;
    Ok(peer)
}

fn tos() -> Result<()> {
    let peer = peer_with(libc::IP_RECVTOS)?;
    let copy = copy_with(SOL_IP, libc::IP_TOS, 0x10)?;
    copy.send_to(b"x", PEER)?;
    let found = control(&peer, SOL_IP, libc::IP_TOS)?;
    ensure!(found == Some(vec![0x10]), "TOS {found:?}");
    Ok(())
}

/// What the peer sees as TTL of what a socket sends.
fn ttl_of(socket: &UdpSocket, peer: &UdpSocket) -> Result<i32> {
    socket.send_to(b"x", PEER)?;
    let ttl = control(peer, SOL_IP, libc::IP_TTL)?.context("no TTL")?;
    let ttl: Result<[u8; 4], _> = ttl.try_into();
    Ok(i32::from_ne_bytes(ttl.ok().context("no number")?))
}

fn ttl() -> Result<()> {
    let peer = peer_with(libc::IP_RECVTTL)?;
    let copy = copy_with(SOL_IP, libc::IP_TTL, 7)?;
    let found = ttl_of(&copy, &peer)?;
    ensure!(found == 7, "TTL {found}");
    Ok(())
}

/// A TTL that was never set follows the namespace, one that was set does not,
/// although both read alike.
fn ttl_of_the_namespace() -> Result<()> {
    const SYSCTL: &str = "/proc/sys/net/ipv4/ip_default_ttl";
    let peer = peer_with(libc::IP_RECVTTL)?;
    fs::write(SYSCTL, "64")?;
    let unset = round_trip(sys::udp()?)?;
    let set = copy_with(SOL_IP, libc::IP_TTL, 64)?;
    fs::write(SYSCTL, "33")?;
    let found = (ttl_of(&unset, &peer)?, ttl_of(&set, &peer)?);
    ensure!(found == (33, 64), "TTL {found:?}");
    Ok(())
}

/// Datagrams of the copy have its IP options.
fn options() -> Result<()> {
    let peer = peer_with(libc::IP_RECVOPTS)?;
    let original = bound()?;
    sys::set(&original, SOL_IP, libc::IP_OPTIONS, NOTHING)?;
    let copy = round_trip(original)?;
    copy.send_to(b"x", PEER)?;
    let found = control(&peer, SOL_IP, libc::IP_RECVOPTS)?;
    ensure!(found.as_deref() == Some(NOTHING), "options {found:?}");
    Ok(())
}

/// The copy is told by a control message.
fn message(option: i32, kind: i32) -> Result<()> {
    let copy = copy_with(SOL_IP, option, 1)?;
    let peer = UdpSocket::bind(PEER)?;
    sys::set(&peer, SOL_IP, libc::IP_OPTIONS, NOTHING)?;
    peer.send_to(b"x", HERE)?;
    let (_, messages) = sys::receive(&copy, 0)?;
    let kinds: Vec<_> = messages.iter().map(|(_, kind, _)| *kind).collect();
    ensure!(kinds == [kind], "control messages {kinds:?}");
    Ok(())
}

/// The copy learns that nobody is there, although it is not connected.
fn recverr() -> Result<()> {
    let copy = copy_with(SOL_IP, libc::IP_RECVERR, 1)?;
    copy.set_read_timeout(Some(Duration::from_secs(2)))?;
    copy.send_to(b"x", PEER)?;
    let error = copy.recv(&mut [0; 8]).err().context("received something")?;
    ensure!(error.raw_os_error() == Some(libc::ECONNREFUSED), "{error}");
    let (_, messages) = sys::receive(&copy, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT)?;
    let kinds: Vec<_> = messages.iter().map(|(_, kind, _)| *kind).collect();
    ensure!(kinds.contains(&libc::IP_RECVERR), "messages {kinds:?}");
    Ok(())
}

/// Whether what is longer than a packet of the device is sent in pieces.
fn mtu_discover() -> Result<()> {
    link::add_dummy("dummy0")?;
    link::address("dummy0", Ipv4Addr::new(10, 7, 0, 1))?;
    let far = SocketAddrV4::new(Ipv4Addr::new(10, 7, 0, 2), 9);
    for (mode, expected) in [
        (libc::IP_PMTUDISC_DONT, None),
        (libc::IP_PMTUDISC_DO, Some(libc::EMSGSIZE)),
        (libc::IP_PMTUDISC_PROBE, Some(libc::EMSGSIZE)),
    ] {
        let original = sys::udp()?;
        sys::set_int(&original, SOL_IP, libc::IP_MTU_DISCOVER, mode)?;
        let copy = round_trip(original)?;
        let error = copy.send_to(&[0; 3000], far).err();
        let error = error.and_then(|error| error.raw_os_error());
        ensure!(error == expected, "mode {mode}: error {error:?}");
    }
    Ok(())
}

/// Bound to an address that nobody has here, and able to do so.
fn nonlocal(option: i32) -> Result<()> {
    let nobody = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 7), PORT);
    let original = sys::udp()?;
    sys::set_int(&original, SOL_IP, option, 1)?;
    let copy = round_trip(original)?;
    sys::bind(&copy, nobody).context("bind of the copy")?;
    let copy = round_trip(copy)?;
    ensure!(sys::name(&copy)? == nobody, "bound elsewhere");
    Ok(())
}

/// The port is chosen when the copy is connected, and not before.
fn bind_address_no_port() -> Result<()> {
    let original = sys::udp()?;
    sys::set_int(&original, SOL_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
    let copy = round_trip(original)?;
    sys::bind(&copy, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    ensure!(sys::name(&copy)?.port() == 0, "has a port");
    sys::connect(&copy, PEER)?;
    ensure!(sys::name(&copy)?.port() != 0, "has no port");
    Ok(())
}

/// The port that the copy gets when it sends is one of its range.
fn local_port_range() -> Result<()> {
    const IP_LOCAL_PORT_RANGE: i32 = 51;
    let original = sys::udp()?;
    let (low, high) = (40_000_u16, 40_003_u16);
    let range = u32::from(high) << 16 | u32::from(low);
    sys::set(&original, SOL_IP, IP_LOCAL_PORT_RANGE, &range.to_ne_bytes())?;
    let copy = round_trip(original)?;
    copy.send_to(b"x", PEER)?;
    let port = sys::name(&copy)?.port();
    ensure!((low..=high).contains(&port), "port {port}");
    Ok(())
}

/// Only by its device there is a way to the far end.
fn unicast_if() -> Result<()> {
    link::add_dummy("dummy0")?;
    link::address("dummy0", Ipv4Addr::new(10, 7, 0, 1))?;
    let far = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 9);
    let original = sys::udp()?;
    let error = original.send_to(b"x", far).err().context("a way")?;
    ensure!(error.raw_os_error() == Some(libc::ENETUNREACH), "{error}");
    let original = sys::udp()?;
    let index = link::index("dummy0")?.to_be_bytes();
    sys::set(&original, SOL_IP, libc::IP_UNICAST_IF, &index)?;
    let copy = round_trip(original)?;
    copy.send_to(b"x", far).context("by its device")?;
    Ok(())
}
