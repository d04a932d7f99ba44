// SPDX-License-Identifier: GPL-2.0

//! Use of a copy that shows options of level `SOL_SOCKET`.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use libc::SOL_SOCKET;

use super::{HERE, bound, control, copy_with, round_trip, sys};
use crate::cases::queue::traffic::asking_for_stamps;
use crate::cr;
use crate::places::{OTHER, PEER};
use crate::runner::Test;
use crate::sys::filter::{self, Instruction};

const SO_RCVMARK: i32 = 75;
const SO_RCVPRIORITY: i32 = 82;
/// `SOF_TIMESTAMPING_RX_SOFTWARE` and `SOF_TIMESTAMPING_SOFTWARE`.
const RX_SOFTWARE: i32 = 0x18;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("usage::socket::mark", mark),
        Test::new("usage::socket::rcvmark", || {
            received(SO_RCVMARK, libc::SO_MARK)
        }),
        Test::new("usage::socket::rcvpriority", || {
            received(SO_RCVPRIORITY, libc::SO_PRIORITY)
        }),
        Test::new("usage::socket::rxq_ovfl", rxq_ovfl),
        Test::new("usage::socket::peek_off", peek_off),
        Test::new("usage::socket::timestamping_old", || timestamping(37)),
        Test::new("usage::socket::timestamping_new", || timestamping(65)),
        Test::new("usage::socket::stamp", stamp),
        Test::new("usage::socket::filter", takes_by_filter),
        Test::new("usage::socket::lock_filter", lock_filter),
        Test::new("usage::socket::no_check", no_check),
        Test::new("usage::socket::zerocopy", zerocopy),
    ]
}

/// Datagrams of the copy have its mark.
fn mark() -> Result<()> {
    let peer = UdpSocket::bind(PEER)?;
    sys::set_int(&peer, SOL_SOCKET, SO_RCVMARK, 1)?;
    let copy = copy_with(SOL_SOCKET, libc::SO_MARK, 0x1234)?;
    copy.send_to(b"x", PEER)?;
    let found = control(&peer, SOL_SOCKET, libc::SO_MARK)?;
    let expected = 0x1234_u32.to_ne_bytes().to_vec();
    ensure!(found == Some(expected), "control message {found:?}");
    Ok(())
}

/// The copy is told what a datagram has by an option of its sender.
fn received(option: i32, of_sender: i32) -> Result<()> {
    let copy = copy_with(SOL_SOCKET, option, 1)?;
    let peer = UdpSocket::bind(PEER)?;
    sys::set_int(&peer, SOL_SOCKET, of_sender, 5)?;
    peer.send_to(b"x", HERE)?;
    let found = control(&copy, SOL_SOCKET, of_sender)?;
    let expected = 5_u32.to_ne_bytes().to_vec();
    ensure!(found == Some(expected), "control message {found:?}");
    Ok(())
}

/// The copy is told that datagrams were lost for want of room.
fn rxq_ovfl() -> Result<()> {
    const SO_RXQ_OVFL: i32 = 40;
    let original = bound()?;
    sys::set_int(&original, SOL_SOCKET, libc::SO_RCVBUF, 4096)?;
    sys::set_int(&original, SOL_SOCKET, SO_RXQ_OVFL, 1)?;
    let copy = round_trip(original)?;
    let peer = UdpSocket::bind(PEER)?;
    for _ in 0..200 {
        peer.send_to(&[0; 100], HERE)?;
    }
    while sys::receive(&copy, libc::MSG_DONTWAIT).is_ok() {}
    peer.send_to(b"after", HERE)?;
    let found = control(&copy, SOL_SOCKET, SO_RXQ_OVFL)?;
    ensure!(found.is_some(), "no control message");
    Ok(())
}

/// The first look begins behind the first bytes.
fn peek_off() -> Result<()> {
    let copy = copy_with(SOL_SOCKET, libc::SO_PEEK_OFF, 2)?;
    UdpSocket::bind(PEER)?.send_to(b"abcdef", HERE)?;
    let (payload, _) = sys::receive(&copy, libc::MSG_PEEK)?;
    ensure!(payload == b"cdef", "peeked {payload:?}");
    Ok(())
}

/// Datagrams have their time of arrival. The kernel begins to take the time only
/// when somebody asks for it, and not at once.
fn timestamping(option: i32) -> Result<()> {
    let copy = copy_with(SOL_SOCKET, option, RX_SOFTWARE)?;
    let peer = UdpSocket::bind((OTHER, 0))?;
    let found = soon(|| {
        peer.send_to(b"x", HERE)?;
        control(&copy, SOL_SOCKET, option)
    })?;
    // Three times of two numbers, the first of which is by software.
    ensure!(
        found.len() == 48 && found[..16] != [0; 16],
        "time stamps {found:?}"
    );
    Ok(())
}

/// What SIOCGSTAMP says depends on whether something was received, and on whether something had
/// asked for time stamps before that: a time, the time of the call, or that there is none.
fn stamp() -> Result<()> {
    let none = std::io::Error::from_raw_os_error(libc::ENOENT).kind();
    // As long as there is this one, the kernel takes the time of all that arrives.
    let _asking = asking_for_stamps()?;

    for asked in [
        None,
        Some(0),
        Some(libc::SO_TIMESTAMP),
        Some(libc::SO_RXQ_OVFL),
    ] {
        for received in [false, true] {
            let original = bound()?;
            match asked {
                // Asks, and finds nothing.
                Some(0) => drop(sys::stamp(&original)),
                Some(option) => sys::set_int(&original, SOL_SOCKET, option, 1)?,
                None => {}
            }
            if received {
                UdpSocket::bind(PEER)?.send_to(b"x", HERE)?;
                sys::receive(&original, 0)?;
            }
            let held = original.try_clone()?;
            let mut client = cr::client()?;
            let dump = cr::dump(&mut client, &original)?;
            drop(original);
            let before = sys::stamp(&held);
            drop(held);
            let copy = cr::restore(&mut client, &dump)?;
            let after = sys::stamp(&copy);
            let what = format!("{asked:?}, received: {received}: {before:?} and {after:?}");
            match (before, after) {
                (Err(before), Err(after)) => {
                    // With the option, a time goes to recvmsg and nowhere else.
                    ensure!(!received || asked == Some(libc::SO_TIMESTAMP), "{what}");
                    ensure!(before.kind() == none && after.kind() == none, "{what}");
                }
                (Ok(before), Ok(after)) => {
                    ensure!(received, "{what}");
                    // Without a stamp it is the time of the call, and kept.
                    ensure!(before == after || asked.is_none(), "{what}");
                    ensure!(sys::stamp(&copy)? == after, "{what}");
                }
                _ => bail!("{what}"),
            }
        }
    }
    Ok(())
}

/// Tries until there is something, for a while.
fn soon<T>(mut attempt: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        if let Some(found) = attempt()? {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    bail!("nothing came")
}

/// The copy takes what its filter takes, and is not deaf without it.
fn takes_by_filter() -> Result<()> {
    let peer = UdpSocket::bind(PEER)?;
    // 8 bytes of them are the header.
    for (taken, expected) in [
        (0, None),
        (8 + 3, Some(&b"abc"[..])),
        (u32::MAX, Some(b"abcdef")),
    ] {
        let original = bound()?;
        let program = [Instruction::NOTHING, Instruction::taking(taken)];
        filter::attach(&original, libc::SO_ATTACH_FILTER, &program)?;
        let copy = round_trip(original)?;
        peer.send_to(b"abcdef", HERE)?;
        let payload = sys::receive(&copy, libc::MSG_DONTWAIT).ok();
        let payload = payload.map(|(payload, _)| payload);
        ensure!(
            payload.as_deref() == expected,
            "of a filter that takes {taken} bytes: {payload:?}"
        );
        sys::set_int(&copy, SOL_SOCKET, libc::SO_DETACH_FILTER, 0)?;
        peer.send_to(b"abcdef", HERE)?;
        let (payload, _) = sys::receive(&copy, 0)?;
        ensure!(payload == b"abcdef", "without the filter: {payload:?}");
    }
    Ok(())
}

/// Nobody gives the copy a filter any more.
fn lock_filter() -> Result<()> {
    const SO_LOCK_FILTER: i32 = 44;
    let copy = copy_with(SOL_SOCKET, SO_LOCK_FILTER, 1)?;
    let error = filter::attach(&copy, libc::SO_ATTACH_FILTER, &[Instruction::taking(0)])
        .err()
        .context("not locked")?;
    ensure!(error.raw_os_error() == Some(libc::EPERM), "{error}");
    Ok(())
}

/// Datagrams of the copy have no checksum.
fn no_check() -> Result<()> {
    const SO_NO_CHECK: i32 = 11;
    let _peer = UdpSocket::bind(PEER)?;
    // Sees headers.
    let raw = sys::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_UDP)?;
    let checksum = |socket: &UdpSocket| -> Result<Vec<u8>> {
        socket.send_to(b"x", PEER)?;
        let (packet, _) = sys::receive(&raw, 0)?;
        Ok(packet.get(20 + 6..20 + 8).context("short")?.to_vec())
    };
    let copy = copy_with(SOL_SOCKET, SO_NO_CHECK, 1)?;
    let found = checksum(&copy)?;
    ensure!(found == [0, 0], "checksum {found:02x?}");
    sys::set_int(&copy, SOL_SOCKET, SO_NO_CHECK, 0)?;
    ensure!(checksum(&copy)? != [0, 0], "never a checksum");
    Ok(())
}

/// The copy is told when what it sent is its own again.
fn zerocopy() -> Result<()> {
    const SO_ZEROCOPY: i32 = 60;
    const MSG_ZEROCOPY: i32 = 0x400_0000;
    let peer = UdpSocket::bind(PEER)?;
    let copy = copy_with(SOL_SOCKET, SO_ZEROCOPY, 1)?;
    sys::connect(&copy, PEER)?;
    sys::send(&copy, &[7; 1000], MSG_ZEROCOPY)?;
    let (payload, _) = sys::receive(&peer, 0)?;
    ensure!(payload == [7; 1000], "another datagram");
    let queue = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    soon(|| Ok(sys::receive(&copy, queue).ok())).context("no word of it")?;
    Ok(())
}
