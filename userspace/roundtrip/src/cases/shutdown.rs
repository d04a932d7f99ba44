// SPDX-License-Identifier: GPL-2.0

//! What was shut down stays so: on a socket that is connected, and on one that
//! is not.

use std::io;
use std::net::UdpSocket;

use anyhow::{Context, Result, ensure};
use inetcr::RawAttr;

use crate::cr::{self, Expected, attr};
use crate::places::{PEER, shut};
use crate::runner::Test;
use crate::sys::socket;

pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for (name, how) in [
        ("rcv", libc::SHUT_RD),
        ("send", libc::SHUT_WR),
        ("both", libc::SHUT_RDWR),
    ] {
        for (state, connected) in [("connected", true), ("unconnected", false)] {
            tests.push(Test::new(format!("shutdown::{state}::{name}"), move || {
                by_use(how, connected)
            }));
        }
    }
    tests.push(Test::new("shutdown::one_after_the_other", one_by_one));
    tests.push(Test::new("shutdown::of_nothing", of_nothing));
    tests
}

fn make(connected: bool) -> Result<UdpSocket> {
    let socket = socket::udp()?;
    if connected {
        socket::connect(&socket, PEER)?;
    }
    // Who has to wait for something shall not do it for ever.
    socket::set_timeval(&socket, 66, 0, 20_000)?;
    Ok(socket)
}

fn by_use(how: i32, connected: bool) -> Result<()> {
    let _peer = UdpSocket::bind(PEER)?;
    let mut client = cr::client()?;
    let original = make(connected)?;
    shut(&original, how)?;
    let dump = cr::dump(&mut client, &original)?;
    let bits = u32::try_from(how + 1)?;
    ensure!(
        dump.u32(attr::SHUTDOWN) == Some(bits),
        "dumped as {:?}, expected {bits}",
        dump.u32(attr::SHUTDOWN)
    );
    let copy = cr::round_trip(&mut client, original)?;
    check(&copy, bits, connected)
}

/// Whether a socket receives and sends as it should.
fn check(socket: &UdpSocket, bits: u32, connected: bool) -> Result<()> {
    let received = socket.recv(&mut [0; 8]);
    if bits & 1 != 0 {
        let len = received.context("receiving is shut down, but waits")?;
        ensure!(len == 0, "received {len} bytes");
    } else {
        errno(received, libc::EAGAIN).context("receiving is not shut down")?;
    }
    let sent = if connected {
        socket.send(b"x")
    } else {
        socket.send_to(b"x", PEER)
    };
    if bits & 2 != 0 {
        errno(sent, libc::EPIPE).context("sending is shut down")?;
    } else {
        sent.context("sending is not shut down")?;
    }
    Ok(())
}

fn errno<T>(result: io::Result<T>, expected: i32) -> Result<()> {
    let found = result.err().and_then(|error| error.raw_os_error());
    ensure!(found == Some(expected), "error {found:?}, not {expected}");
    Ok(())
}

/// A copy can be shut down further, and that is carried, too.
fn one_by_one() -> Result<()> {
    let _peer = UdpSocket::bind(PEER)?;
    let mut client = cr::client()?;
    let original = make(true)?;
    socket::shutdown(&original, libc::SHUT_RD)?;
    let copy = cr::round_trip(&mut client, original)?;
    socket::shutdown(&copy, libc::SHUT_WR)?;
    let copy = cr::round_trip(&mut client, copy)?;
    check(&copy, 3, true)
}

/// No direction, and one that there is not.
fn of_nothing() -> Result<()> {
    let mut client = cr::client()?;
    let dump = cr::dump(&mut client, &make(false)?)?;
    ensure!(
        dump.u32(attr::SHUTDOWN) == Some(0),
        "a new socket is shut down"
    );
    for bits in [4, 7, u32::MAX] {
        let bad = dump.clone().with(RawAttr::u32(attr::SHUTDOWN, bits));
        let expected = Expected::errno(&[libc::EINVAL, libc::ERANGE]).attribute(attr::SHUTDOWN);
        cr::restore_refused(&mut client, &bad, expected).with_context(|| format!("{bits:#x}"))?;
    }
    Ok(())
}
