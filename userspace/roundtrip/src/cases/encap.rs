// SPDX-License-Identifier: GPL-2.0

//! `UDP_ENCAP` leaves more behind than its value: set to 0 or for ESP, it gives the socket a handler
//! of XFRM that takes ESP packets whenever it is not 0, and for ESP with `UDP_GRO` another one. That
//! one works in GRO, which nothing passes here: only dumps show it. Nothing takes either back.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, UdpSocket};

use anyhow::{Context, Result, ensure};
use inetcr::{Client, RawAttr, UdpFlags};
use libc::{SOL_UDP, UDP_GRO, UDP_SEGMENT};

use crate::cr::{self, Dump, Expected};
use crate::places::{PEER, PORT};
use crate::runner::Test;
use crate::sys::socket;

pub const UDP_ENCAP: i32 = 100;
/// Where the sockets are.
const HERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, PORT);

pub const ESP: i32 = 2;
const L2TP: i32 = 3;

/// Number of the nest with the options of `SOL_UDP`, and of those in it.
pub const UDP: u16 = 59;
const FLAGS: u16 = 1;
const FLAGS_MASK: u16 = 2;
const ENCAP: u16 = 3;

/// An option and its value.
type Step = (i32, i32);

/// What a dump says of all this: the flags, and the encapsulation.
type Said = (UdpFlags, u32);

/// What a history is made of.
const STEPS: [Step; 5] = [
    (UDP_ENCAP, 0),
    (UDP_ENCAP, ESP),
    (UDP_ENCAP, L2TP),
    (UDP_GRO, 0),
    (UDP_GRO, 1),
];

pub fn tests() -> Vec<Test> {
    let mut tests: Vec<_> = (0..=3)
        .map(|len| {
            Test::new(format!("encap::histories::{len}"), move || {
                round_trips(&all_of(len))
            })
        })
        .collect();
    tests.extend([
        Test::new("encap::histories::each_state", each_state),
        Test::new("encap::can_be_seen", can_be_seen),
        Test::new("encap::of_ipv6", of_ipv6),
        Test::new("encap::amend::any_to_any", any_to_any),
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
pub fn after(history: &[Step]) -> Result<UdpSocket> {
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

/// Every history of so many steps.
fn all_of(len: usize) -> Vec<Vec<Step>> {
    let mut all = vec![Vec::new()];
    for _ in 0..len {
        let longer = all
            .iter()
            .flat_map(|history: &Vec<Step>| STEPS.map(|step| [&history[..], &[step]].concat()));
        all = longer.collect();
    }
    all
}

/// A history for each state that there is, and what a dump says of it.
fn states(client: &mut Client) -> Result<Vec<(Vec<Step>, Said)>> {
    let mut states = Vec::new();
    for history in (0..=4).flat_map(all_of) {
        let said = said_by(&cr::dump(client, &after(&history)?)?)?;
        if !states.iter().any(|(_, other)| *other == said) {
            states.push((history, said));
        }
    }
    let count = if has_xfrm()? { 15 } else { 4 };
    ensure!(states.len() == count, "{states:?}");
    Ok(states)
}

/// Some states take four steps.
fn each_state() -> Result<()> {
    let states = states(&mut cr::client()?)?;
    let histories: Vec<_> = states.into_iter().map(|(history, _)| history).collect();
    round_trips(&histories)
}

/// The copy takes what a socket of the same history takes, as it is and when it is told to do it
/// later. Every other one is bound before.
fn round_trips(histories: &[Vec<Step>]) -> Result<()> {
    let mut client = cr::client()?;
    for (number, history) in histories.iter().enumerate() {
        let mut work = || -> Result<()> {
            let twin = taken_by(&after(history)?)?;
            let original = after(history)?;
            if number % 2 == 1 {
                socket::bind(&original, HERE)?;
            }
            let copy = cr::round_trip(&mut client, original)?;
            let found = taken_by(&copy)?;
            ensure!(found == twin, "received {found:?}, a twin {twin:?}");
            Ok(())
        };
        work().with_context(|| format!("{history:?}"))?;
    }
    Ok(())
}

/// What a socket receives of three datagrams, and of a train of them that `UDP_GRO` keeps in one
/// piece: what could be an ESP packet, a keepalive, another. As it is, and as L2TP.
fn taken_by(fd: &UdpSocket) -> Result<Vec<Vec<u8>>> {
    const DATAGRAMS: [&[u8]; 3] = [&[0x77; 40], &[0xff], &[0; 40]];
    const TRAIN: [u8; 300] = [0; 300];
    let mut taken = Vec::new();
    if fd.local_addr()?.port() == 0 {
        socket::bind(fd, HERE)?;
    }
    fd.set_nonblocking(true)?;
    let peer = UdpSocket::bind(PEER)?;
    for round in 0..2 {
        for datagram in DATAGRAMS {
            peer.send_to(datagram, HERE)?;
        }
        socket::set_int(&peer, SOL_UDP, UDP_SEGMENT, 100)?;
        peer.send_to(&TRAIN, HERE)?;
        socket::set_int(&peer, SOL_UDP, UDP_SEGMENT, 0)?;

        let mut buffer = [0; 512];
        while let Ok(len) = fd.recv(&mut buffer) {
            taken.push(buffer[..len].to_vec());
        }
        let ordinary = taken.iter().any(|payload| payload == DATAGRAMS[2]);
        ensure!(ordinary, "an ordinary datagram was not received");
        taken.push(vec![round]);
        socket::set_int(fd, SOL_UDP, UDP_ENCAP, L2TP)?;
    }
    Ok(taken)
}

pub fn said_by(dump: &Dump) -> Result<Said> {
    let flags = dump.u32_at(&[UDP, FLAGS]).context("no flags")?;
    let flags = UdpFlags::from_bits(flags).context("bits that are none")?;
    Ok((flags, dump.u32_at(&[UDP, ENCAP]).context("no encap")?))
}

/// A message that says this.
fn saying((flags, encap): Said) -> Dump {
    Dump(Vec::new())
        .with_at(&[UDP], RawAttr::u32(FLAGS, flags.bits()))
        .with_at(&[UDP], RawAttr::u32(FLAGS_MASK, UdpFlags::all().bits()))
        .with_at(&[UDP], RawAttr::u32(ENCAP, encap))
}

/// A socket in any state is amended to any other, but for what has no way back, and for what
/// `UDP_ENCAP` leaves behind on its way to 0. Just that is reported.
fn any_to_any() -> Result<()> {
    let mut client = cr::client()?;
    let states = states(&mut client)?;
    for (history, from) in &states {
        for (_, to) in &states {
            let target = after(history)?;
            let amended = super::amend::amend(&mut client, &saying(*to), &target)?;
            let mut expected = *to;
            expected.0 |= from.0 & (UdpFlags::ENCAP_RCV | UdpFlags::GRO_RECEIVE);
            if has_xfrm()? && from.1 != 0 && to.1 == 0 {
                expected.0 |= UdpFlags::ENCAP_RCV;
            }
            let found = said_by(&cr::dump(&mut client, &target)?)?;
            ensure!(found == expected, "{from:?} to {to:?}: {found:?}");
            let all_reported = (expected.0 - to.0).iter().count() == amended.failed.len();
            ensure!(all_reported, "{from:?} to {to:?}: {:?}", amended.failed);
        }
    }
    Ok(())
}

/// XFRM has another handler in a socket of IPv6, which stays when that becomes one of IPv4.
fn of_ipv6() -> Result<()> {
    const IPV6_ADDRFORM: i32 = 1;
    if !has_xfrm()? {
        return crate::runner::skip("ESP in UDP (CONFIG_XFRM)");
    }
    let mut client = cr::client()?;
    let original = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, HERE.port()))?;
    socket::set_int(&original, SOL_UDP, UDP_ENCAP, 0)?;
    original.connect((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), PEER.port()))?;
    socket::set_int(&original, libc::IPPROTO_IPV6, IPV6_ADDRFORM, libc::AF_INET)?;
    let expected = Expected::errno(&[libc::EOPNOTSUPP]).word("UDP_ENCAP of the kernel");
    cr::dump_refused(&mut client, &original, expected)?;
    // Nor is it taken away by an amendment.
    for of in [UdpFlags::ENCAP_RCV, UdpFlags::GRO_RECEIVE] {
        let amended = super::amend::amend(&mut client, &bit(of, true), &original)?;
        let [failed] = &amended.failed[..] else {
            anyhow::bail!("{:?}", amended.failed);
        };
        ensure!(failed.error.errno == libc::EOPNOTSUPP, "{failed}");
        let expected = Expected::errno(&[libc::EOPNOTSUPP]).word("UDP_ENCAP of the kernel");
        cr::dump_refused(&mut client, &original, expected)?;
    }
    // Its owner has a way out.
    socket::set_int(&original, SOL_UDP, UDP_ENCAP, 0)?;
    cr::dump(&mut client, &original)?;
    Ok(())
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
    let (flags, _) = said_by(&cr::dump(&mut client, &target)?)?;
    ensure!(
        flags.contains(UdpFlags::ENCAP_RCV) == has_xfrm()?,
        "{flags:?}"
    );
    cr::round_trip(&mut client, target)?;
    Ok(())
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
        let ((before, encap), (after, then)) = (said_by(&before)?, said_by(&after)?);
        ensure!(then == encap, "UDP_ENCAP: {then}, not {encap}");
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
            said_by(&cr::dump(&mut client, &target)?)?.0.contains(of),
            "undone"
        );
    }
    Ok(())
}
