// SPDX-License-Identifier: GPL-2.0

//! `UDP_ENCAP` leaves more behind than its value: set to 0 or to ESP, it has XFRM take ESP packets
//! whenever it is not 0, and with `UDP_GRO` it has XFRM merge them. Nothing takes that back.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use anyhow::{Context, Result, ensure};
use inetcr::{RawAttr, UdpFlags};
use libc::{SOL_UDP, UDP_GRO};

use crate::cr::{self, Dump};
use crate::places::PEER;
use crate::runner::Test;
use crate::sys::socket;

const UDP_ENCAP: i32 = 100;
const ESP: i32 = 2;
const L2TP: i32 = 3;

/// Number of the nest with the options of `SOL_UDP`, and of those in it.
const UDP: u16 = 59;
const FLAGS: u16 = 1;
const FLAGS_MASK: u16 = 2;
const ENCAP: u16 = 3;

/// What a history is made of.
const STEPS: [(i32, i32); 5] = [
    (UDP_ENCAP, 0),
    (UDP_ENCAP, ESP),
    (UDP_ENCAP, L2TP),
    (UDP_GRO, 0),
    (UDP_GRO, 1),
];

pub fn tests() -> Vec<Test> {
    let mut tests: Vec<_> = (0..=4)
        .map(|len| Test::new(format!("encap::histories::{len}"), move || histories(len)))
        .collect();
    tests.extend([
        Test::new("encap::can_be_seen", can_be_seen),
        Test::new("encap::amend::taken_back", taken_back),
        Test::new("encap::amend::left_behind", left_behind),
        Test::new("encap::amend::not_undone", not_undone),
    ]);
    tests
}

/// Whether the kernel has XFRM.
fn has_xfrm() -> Result<bool> {
    Ok(socket::set_int(&socket::udp()?, SOL_UDP, UDP_ENCAP, ESP).is_ok())
}

/// A socket after a history. Without XFRM there is no ESP.
fn after(history: &[(i32, i32)]) -> Result<UdpSocket> {
    let socket = socket::udp()?;
    for &(option, value) in history {
        match socket::set_int(&socket, SOL_UDP, option, value) {
            Err(error) if value == ESP && error.raw_os_error() == Some(libc::ENOPROTOOPT) => {}
            other => other.with_context(|| format!("option {option} to {value}"))?,
        }
    }
    Ok(socket)
}

/// What is left behind makes a difference to what is received, so that the histories show it.
fn can_be_seen() -> Result<()> {
    let new = taken_by(&after(&[])?)?;
    let other = taken_by(&after(&[(UDP_ENCAP, 0)])?)?;
    ensure!((new != other) == has_xfrm()?, "{new:?}, {other:?}");
    Ok(())
}

/// Every history of so many steps: the copy takes what a socket of the same history takes, as it is
/// and when it is told to do it later.
fn histories(len: usize) -> Result<()> {
    let mut client = cr::client()?;
    for number in 0..STEPS.len().pow(len.try_into()?) {
        let digit = |at: usize| number / STEPS.len().pow(u32::try_from(at).unwrap_or(0));
        let history: Vec<_> = (0..len).map(|at| STEPS[digit(at) % STEPS.len()]).collect();
        let mut work = || -> Result<()> {
            let twin = taken_by(&after(&history)?)?;
            let copy = cr::round_trip(&mut client, after(&history)?)?;
            let found = taken_by(&copy)?;
            ensure!(found == twin, "received {found:?}, a twin {twin:?}");
            Ok(())
        };
        work().with_context(|| format!("{history:?}"))?;
    }
    Ok(())
}

/// Which of three datagrams a socket receives: what could be an ESP packet, a keepalive, another.
/// As it is, and as L2TP.
fn taken_by(fd: &UdpSocket) -> Result<Vec<Vec<u8>>> {
    const DATAGRAMS: [&[u8]; 3] = [&[0x77; 40], &[0xff], &[0; 40]];
    let mut taken = Vec::new();
    socket::bind(fd, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    fd.set_nonblocking(true)?;
    let to = fd.local_addr()?;
    let peer = UdpSocket::bind(PEER)?;
    for round in 0..2 {
        for datagram in DATAGRAMS {
            peer.send_to(datagram, to)?;
        }
        let mut buffer = [0; 64];
        while let Ok(len) = fd.recv(&mut buffer) {
            taken.push(buffer[..len].to_vec());
        }
        ensure!(
            taken.last().is_some_and(|last| last == DATAGRAMS[2]),
            "an ordinary datagram was not received"
        );
        taken.push(vec![round]);
        socket::set_int(fd, SOL_UDP, UDP_ENCAP, L2TP)?;
    }
    Ok(taken)
}

/// A message about `UDP_ENCAP` alone.
fn encap(value: u32) -> Dump {
    Dump(Vec::new()).with_at(&[UDP], RawAttr::u32(ENCAP, value))
}

/// A message about one of the bits alone.
fn bit(bit: UdpFlags, on: bool) -> Dump {
    let set = if on { bit.bits() } else { 0 };
    Dump(Vec::new())
        .with_at(&[UDP], RawAttr::u32(FLAGS, set))
        .with_at(&[UDP], RawAttr::u32(FLAGS_MASK, bit.bits()))
}

/// A socket that was amended to an encapsulation and back is one that can be dumped, and its copy
/// has all of that history.
fn taken_back() -> Result<()> {
    let mut client = cr::client()?;
    let target = socket::udp()?;
    for value in [3, 0] {
        let amended = super::amend::amend(&mut client, &encap(value), &target)?;
        ensure!(amended.failed.is_empty(), "{:?}", amended.failed);
    }
    let flags = flags_of(&cr::dump(&mut client, &target)?)?;
    ensure!(
        flags.contains(UdpFlags::ENCAP_RCV) == has_xfrm()?,
        "{flags:?}"
    );
    cr::round_trip(&mut client, target)?;
    Ok(())
}

fn flags_of(dump: &Dump) -> Result<UdpFlags> {
    let flags = dump.u32_at(&[UDP, FLAGS]).context("no flags")?;
    UdpFlags::from_bits(flags).context("bits that are none")
}

/// Each of the two can be given to a socket, and changes nothing else. A kernel without XFRM
/// reports that it has not got it.
fn left_behind() -> Result<()> {
    let mut client = cr::client()?;
    for (of, history) in [
        (UdpFlags::ENCAP_RCV, &[][..]),
        (UdpFlags::ENCAP_RCV, &[(UDP_ENCAP, L2TP)]),
        (UdpFlags::GRO_RECEIVE, &[]),
        (UdpFlags::GRO_RECEIVE, &[(UDP_ENCAP, L2TP), (UDP_GRO, 1)]),
    ] {
        let target = after(history)?;
        let before = cr::dump(&mut client, &target)?;
        let amended = super::amend::amend(&mut client, &bit(of, true), &target)?;
        let after = cr::dump(&mut client, &target)?;
        let encaps = [&before, &after].map(|dump| dump.u32_at(&[UDP, ENCAP]));
        ensure!(encaps[0] == encaps[1], "UDP_ENCAP: {encaps:?}");
        let (before, after) = (flags_of(&before)?, flags_of(&after)?);
        if has_xfrm()? {
            ensure!(amended.failed.is_empty(), "{:?}", amended.failed);
            // XFRM that merges takes, too.
            let expected = before | of | UdpFlags::ENCAP_RCV;
            ensure!(after == expected, "{after:?}, not {expected:?}");
        } else {
            let [failed] = &amended.failed[..] else {
                anyhow::bail!("{:?}", amended.failed);
            };
            ensure!(failed.error.errno == libc::ENOPROTOOPT, "{failed}");
            ensure!(after == before, "{after:?}, not {before:?}");
        }
    }
    Ok(())
}

/// What has no way back is reported.
fn not_undone() -> Result<()> {
    let mut client = cr::client()?;
    if !has_xfrm()? {
        return crate::runner::skip("ESP in UDP (CONFIG_XFRM)");
    }
    let target = after(&[(UDP_GRO, 1), (UDP_ENCAP, ESP)])?;
    for (of, place) in [
        (UdpFlags::ENCAP_RCV, "udp.flags.encap-rcv"),
        (UdpFlags::GRO_RECEIVE, "udp.flags.gro-receive"),
    ] {
        let amended = super::amend::amend(&mut client, &bit(of, false), &target)?;
        let [failed] = &amended.failed[..] else {
            anyhow::bail!("{:?}", amended.failed);
        };
        let found = (failed.place(), failed.error.errno);
        ensure!(found == (place.to_owned(), libc::EOPNOTSUPP), "{found:?}");
        ensure!(
            flags_of(&cr::dump(&mut client, &target)?)?.contains(of),
            "undone"
        );
    }
    Ok(())
}
