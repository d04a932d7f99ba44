// SPDX-License-Identifier: GPL-2.0

//! Time stamps of corked datagrams that go out: who has asked for them gets them, with their
//! number.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libc::SOL_SOCKET;

use super::{dumped, receiver, restored};
use crate::cases::queue::{HERE, drain};
use crate::cr::{self, Queued};
use crate::places::PEER;
use crate::runner::Test;
use crate::sys::socket;

const SO_TIMESTAMPING: i32 = 37;
const SCM_TS_OPT_ID: i32 = 81;
/// `SOF_TIMESTAMPING_TX_SOFTWARE`, `SOF_TIMESTAMPING_SOFTWARE`.
const STAMPED: i32 = 0x12;
/// `SOF_TIMESTAMPING_OPT_ID`, `SOF_TIMESTAMPING_OPT_TSONLY`.
const NUMBERED: i32 = 0x880;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("cork::stamps::numbered", || {
            stamped(STAMPED | NUMBERED, &[])
        }),
        Test::new("cork::stamps::not_numbered", || stamped(STAMPED, &[])),
        Test::new("cork::stamps::of_the_message", || {
            let flags = 2_u32.to_ne_bytes().to_vec();
            // The socket only wants to be told.
            stamped(0x10 | NUMBERED, &[(SOL_SOCKET, SO_TIMESTAMPING, flags)])
        }),
        Test::new("cork::stamps::number_of_the_message", || {
            let number = 77_u32.to_ne_bytes().to_vec();
            stamped(STAMPED | NUMBERED, &[(SOL_SOCKET, SCM_TS_OPT_ID, number)])
        }),
        Test::new("cork::stamps::not_of_the_message", || {
            let flags = 0_u32.to_ne_bytes().to_vec();
            stamped(STAMPED | NUMBERED, &[(SOL_SOCKET, SO_TIMESTAMPING, flags)])
        }),
    ]
}

/// Errors that come with control messages: kind, origin, number.
fn told(socket: &UdpSocket) -> Vec<(i32, i32, Vec<u8>)> {
    let mut found = Vec::new();
    // The stamp comes when the datagram has left, which is at once on this device.
    std::thread::sleep(Duration::from_millis(20));
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    while let Ok(message) = socket::receive_message(socket, flags, 2000) {
        for (level, kind, data) in message.control {
            // The number is in struct sock_extended_err, and a time is another each time.
            let is_error = (level, kind) == (libc::SOL_IP, libc::IP_RECVERR);
            let data = if is_error { data } else { Vec::new() };
            found.push((level, kind, data));
        }
    }
    found
}

/// Sends some datagrams, which are numbered, and begins one.
fn begun(flags: i32, control: &[socket::Control]) -> Result<UdpSocket> {
    let socket = socket::udp()?;
    socket::bind(&socket, HERE)?;
    socket::set_int(&socket, SOL_SOCKET, SO_TIMESTAMPING, flags)?;
    for _ in 0..3 {
        socket.send_to(b"earlier", PEER)?;
    }
    told(&socket);
    socket::send_message(&socket, Some(PEER), control, b"begun", libc::MSG_MORE)?;
    Ok(socket)
}

/// What is told when it has gone out, and the next one.
fn end(socket: &UdpSocket) -> Result<Vec<(i32, i32, Vec<u8>)>> {
    ensure!(finish_to(socket, PEER)?, "not sent");
    let mut found = told(socket);
    socket.send_to(b"later", PEER)?;
    found.extend(told(socket));
    Ok(found)
}

/// Adds to a datagram, and lets it out. Both say where to, as a socket that is not connected has to
/// when the datagram is not there.
fn finish_to(socket: &UdpSocket, to: std::net::SocketAddrV4) -> Result<bool> {
    socket::send_message(socket, Some(to), &[], b" and more", libc::MSG_MORE)?;
    Ok(socket::send_message(socket, Some(to), &[], b"", 0)? == 0)
}

fn stamped(flags: i32, control: &[socket::Control]) -> Result<()> {
    let mut client = cr::client()?;
    let receiver = receiver()?;
    let expected = end(&begun(flags, control)?)?;
    ensure!(
        flags & 2 == 0 || !expected.is_empty(),
        "nobody was told of anything"
    );
    drain(&receiver)?;

    let original = begun(flags, control)?;
    drain(&receiver)?;
    let queued: Queued = dumped(&mut client, &original)?;
    drop(original);
    let copy = restored(&mut client, &queued, &receiver).context("the copy")?;
    let found = end(&copy)?;
    ensure!(found == expected, "{found:02x?}, not {expected:02x?}");
    Ok(())
}
