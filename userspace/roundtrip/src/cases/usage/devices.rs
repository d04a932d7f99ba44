// SPDX-License-Identifier: GPL-2.0

//! Use of a copy that needs devices to be seen.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use libc::SOL_SOCKET;

use super::{HERE, round_trip};
use crate::places::PORT;
use crate::runner::Test;
use crate::sys::{link, socket};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("usage::sndtimeo_times_out", sndtimeo),
        Test::new("usage::bindtodevice", bindtodevice),
        Test::new("usage::dontroute", dontroute),
        Test::new("usage::sndbuf", sndbuf),
    ]
}

/// A device on which every datagram waits for the answer of a neighbour that
/// does not exist.
fn silent_device() -> Result<SocketAddrV4> {
    link::add_silent("silent0", Ipv4Addr::new(10, 7, 0, 1))?;
    Ok(SocketAddrV4::new(Ipv4Addr::new(10, 7, 0, 2), 9))
}

fn sndtimeo() -> Result<()> {
    let nowhere = silent_device()?;
    let original = socket::udp()?;
    socket::set_int(&original, SOL_SOCKET, libc::SO_SNDBUF, 4096)?;
    socket::set_timeval(&original, 67, 0, 30_000)?;
    let copy = round_trip(original)?;
    for _ in 0..20 {
        let start = Instant::now();
        match copy.send_to(&[0; 1400], nowhere) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                super::ensure_waited(start.elapsed())?;
                // What waits there keeps its socket.
                link::remove("silent0")?;
                return Ok(());
            }
            Err(error) => return Err(error).context("not EAGAIN"),
        }
    }
    bail!("the send buffer was never full")
}

/// Only what comes in by its device reaches the copy.
fn bindtodevice() -> Result<()> {
    link::add_dummy("dummy0")?;
    link::address("dummy0", Ipv4Addr::new(10, 7, 0, 1))?;
    let original = socket::udp()?;
    socket::set(&original, SOL_SOCKET, libc::SO_BINDTODEVICE, b"dummy0")?;
    socket::bind(&original, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT))?;
    let copy = round_trip(original)?;

    let by_lo = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    by_lo.send_to(b"lo", HERE)?;
    // What is sent to everybody on a device is looped back as from there.
    let by_dummy = socket::udp()?;
    socket::set_int(&by_dummy, SOL_SOCKET, libc::SO_BROADCAST, 1)?;
    socket::set(&by_dummy, SOL_SOCKET, libc::SO_BINDTODEVICE, b"dummy0")?;
    by_dummy.send_to(b"dummy", SocketAddrV4::new(Ipv4Addr::BROADCAST, PORT))?;
    let (payload, _) = socket::receive(&copy, libc::MSG_DONTWAIT)?;
    ensure!(payload == b"dummy", "heard {payload:?} of lo");
    ensure!(
        socket::receive(&copy, libc::MSG_DONTWAIT).is_err(),
        "heard more than what came by its device"
    );
    drop(copy);
    link::remove("dummy0")?;
    Ok(())
}

/// Goes to neighbours only, whatever the routes say.
fn dontroute() -> Result<()> {
    link::add_dummy("dummy0")?;
    link::address("dummy0", Ipv4Addr::new(10, 7, 0, 1))?;
    link::default_route(Ipv4Addr::new(10, 7, 0, 2))?;
    let far = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 9);
    let original = socket::udp()?;
    original
        .send_to(b"x", far)
        .context("no route to begin with")?;
    drop(original);

    let original = socket::udp()?;
    socket::set_int(&original, SOL_SOCKET, libc::SO_DONTROUTE, 1)?;
    let copy = round_trip(original)?;
    let error = copy.send_to(b"x", far).err().context("was routed")?;
    ensure!(error.raw_os_error() == Some(libc::ENETUNREACH), "{error}");
    Ok(())
}

/// A datagram larger than the send buffer cannot be sent without waiting.
fn sndbuf() -> Result<()> {
    let nowhere = silent_device()?;
    let pending = |socket: &UdpSocket| -> usize {
        let mut count = 0;
        while count < 200 && socket.send_to(&[0; 500], nowhere).is_ok() {
            count += 1;
        }
        count
    };
    let make = || -> Result<UdpSocket> {
        let socket = socket::udp()?;
        socket.set_nonblocking(true)?;
        socket::set_int(&socket, SOL_SOCKET, libc::SO_SNDBUF, 6000)?;
        Ok(socket)
    };
    let original = make()?;
    let expected = pending(&original);
    let copy = round_trip(make()?)?;
    let found = pending(&copy);
    // What waits there keeps its socket.
    link::remove("silent0")?;
    ensure!(
        found == expected && found < 200,
        "{expected} datagrams fit into the original, {found} into the copy"
    );
    Ok(())
}
