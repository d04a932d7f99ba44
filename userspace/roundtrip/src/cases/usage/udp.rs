// SPDX-License-Identifier: GPL-2.0

//! Use of a copy that shows options of level `SOL_UDP`.

use std::net::UdpSocket;

use anyhow::{Context, Result, ensure};
use libc::SOL_UDP;

use super::{HERE, bound, copy_with, round_trip, sys, would_block};
use crate::places::PEER;
use crate::runner::Test;

const UDP_CORK: i32 = 1;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("usage::udp::segment", segment),
        Test::new("usage::udp::gro", gro),
        Test::new("usage::udp::cork", cork),
        Test::new("usage::udp::cork_taken_back", cork_taken_back),
    ]
}

/// What is sent at once arrives in pieces.
fn segment() -> Result<()> {
    let peer = UdpSocket::bind(PEER)?;
    let copy = copy_with(SOL_UDP, libc::UDP_SEGMENT, 1000)?;
    copy.send_to(&[7; 2500], PEER)?;
    for expected in [1000, 1000, 500] {
        let (payload, _) = sys::receive(&peer, libc::MSG_DONTWAIT)?;
        ensure!(payload.len() == expected, "{} bytes", payload.len());
    }
    peer.set_nonblocking(true)?;
    would_block(|| peer.recv(&mut [0; 8])).context("more than was sent")?;
    Ok(())
}

/// What was sent in pieces arrives at once, with the size of a piece.
fn gro() -> Result<()> {
    let copy = copy_with(SOL_UDP, libc::UDP_GRO, 1)?;
    let peer = UdpSocket::bind(PEER)?;
    sys::set_int(&peer, SOL_UDP, libc::UDP_SEGMENT, 1000)?;
    peer.send_to(&[7; 3000], HERE)?;
    let (payload, messages) = sys::receive(&copy, 0)?;
    let expected = (SOL_UDP, libc::UDP_GRO, 1000_i32.to_ne_bytes().to_vec());
    ensure!(
        payload.len() == 3000 && messages == [expected],
        "{} bytes, {messages:?}",
        payload.len()
    );
    Ok(())
}

/// What is sent waits until the cork is taken out, and is one datagram then.
fn cork() -> Result<()> {
    let peer = UdpSocket::bind(PEER)?;
    peer.set_nonblocking(true)?;
    let original = bound()?;
    sys::connect(&original, PEER)?;
    sys::set_int(&original, SOL_UDP, UDP_CORK, 1)?;
    let copy = round_trip(original)?;
    sys::send(&copy, b"one", 0)?;
    sys::send(&copy, b"two", 0)?;
    would_block(|| peer.recv(&mut [0; 8])).context("sent at once")?;
    sys::set_int(&copy, SOL_UDP, UDP_CORK, 0)?;
    let (payload, _) = sys::receive(&peer, 0)?;
    ensure!(payload == b"onetwo", "received {payload:?}");
    Ok(())
}

/// Without the cork, all is as it was.
fn cork_taken_back() -> Result<()> {
    let peer = UdpSocket::bind(PEER)?;
    let copy = copy_with(SOL_UDP, UDP_CORK, 1)?;
    sys::set_int(&copy, SOL_UDP, UDP_CORK, 0)?;
    let copy = round_trip(copy)?;
    copy.send_to(b"one", PEER)?;
    let (payload, _) = sys::receive(&peer, 0)?;
    ensure!(payload == b"one", "received {payload:?}");
    Ok(())
}
