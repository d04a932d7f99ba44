// SPDX-License-Identifier: GPL-2.0

//! Use of a copy that shows how it sends to groups and hears them.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libc::{SOL_IP, SOL_SOCKET};

use super::{control, round_trip, sys};
use crate::places::{GROUP, PORT};
use crate::runner::Test;
use crate::sys::link;

/// Address of the device that groups are reached by.
const HERE: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);
const THERE: SocketAddrV4 = SocketAddrV4::new(GROUP, PORT);
const SOON: Duration = Duration::from_secs(2);
const NEVER: Duration = Duration::from_millis(50);

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("usage::multicast::by_address", || {
            sends_by(|_| Ok(HERE.octets().to_vec()))
        }),
        Test::new("usage::multicast::by_index", || {
            sends_by(|index| Ok([[0; 4], [0; 4], index.to_ne_bytes()].concat()))
        }),
        Test::new("usage::multicast::ttl", ttl),
        Test::new("usage::multicast::loop", looped),
        Test::new("usage::multicast::all", all),
    ]
}

/// A device, and who listens to the group on it.
fn listener() -> Result<UdpSocket> {
    link::add_dummy("dummy0")?;
    link::address("dummy0", HERE)?;
    let listener = sys::udp()?;
    sys::set_int(&listener, SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    sys::bind(&listener, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT))?;
    listener.join_multicast_v4(&GROUP, &HERE)?;
    Ok(listener)
}

/// A sender to the group by that device.
fn sender() -> Result<UdpSocket> {
    let socket = sys::udp()?;
    sys::set(&socket, SOL_IP, libc::IP_MULTICAST_IF, &HERE.octets())?;
    Ok(socket)
}

/// There is no other way to the group than by `IP_MULTICAST_IF`.
fn sends_by(value: fn(u32) -> Result<Vec<u8>>) -> Result<()> {
    let listener = listener()?;
    let original = sys::udp()?;
    ensure!(original.send_to(b"x", THERE).is_err(), "another way");
    let original = sys::udp()?;
    let value = value(link::index("dummy0")?)?;
    sys::set(&original, SOL_IP, libc::IP_MULTICAST_IF, &value)?;
    let copy = round_trip(original)?;
    copy.send_to(b"x", THERE)?;
    ensure!(sys::readable(&listener, SOON)?, "nothing was heard");
    let (_, from) = listener.recv_from(&mut [0; 8])?;
    ensure!(from.ip() == HERE, "sent from {from}");
    Ok(())
}

fn ttl() -> Result<()> {
    let listener = listener()?;
    sys::set_int(&listener, SOL_IP, libc::IP_RECVTTL, 1)?;
    let original = sender()?;
    sys::set_int(&original, SOL_IP, libc::IP_MULTICAST_TTL, 5)?;
    // Of another kind of datagrams.
    sys::set_int(&original, SOL_IP, libc::IP_TTL, 9)?;
    let copy = round_trip(original)?;
    copy.send_to(b"x", THERE)?;
    let found = control(&listener, SOL_IP, libc::IP_TTL)?.context("no TTL")?;
    ensure!(found == 5_i32.to_ne_bytes(), "TTL {found:?}");
    Ok(())
}

/// Whether the own machine hears what is sent to a group.
fn looped() -> Result<()> {
    let listener = listener()?;
    let original = sender()?;
    sys::set_int(&original, SOL_IP, libc::IP_MULTICAST_LOOP, 0)?;
    let copy = round_trip(original)?;
    copy.send_to(b"x", THERE)?;
    ensure!(!sys::readable(&listener, NEVER)?, "heard");
    sys::set_int(&copy, SOL_IP, libc::IP_MULTICAST_LOOP, 1)?;
    let copy = round_trip(copy)?;
    copy.send_to(b"x", THERE)?;
    ensure!(sys::readable(&listener, SOON)?, "not heard");
    Ok(())
}

/// Whether a socket hears groups that others are members of.
fn all() -> Result<()> {
    let member = listener()?;
    let sender = sender()?;
    for (value, heard) in [(0, false), (1, true)] {
        let original = sys::udp()?;
        sys::set_int(&original, SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        sys::set_int(&original, SOL_IP, libc::IP_MULTICAST_ALL, value)?;
        sys::bind(&original, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT))?;
        let copy = round_trip(original)?;
        sender.send_to(b"x", THERE)?;
        let wait = if heard { SOON } else { NEVER };
        ensure!(
            sys::readable(&copy, wait)? == heard,
            "IP_MULTICAST_ALL {value}: heard {}",
            !heard
        );
    }
    drop(member);
    Ok(())
}
