// SPDX-License-Identifier: GPL-2.0

//! State that is easily forgotten: a socket with it comes back with it or is
//! refused, one of both. That it comes back without is what must not be.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use anyhow::{Context, Result, ensure};
use libc::SOL_SOCKET;

use crate::cr::{self, Expected, Gone};
use crate::observe::same;
use crate::places::{GROUP, PEER, PORT};
use crate::runner::Test;
use crate::sys::{link, socket};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("lost::extended_attribute", extended_attribute),
        Test::new("lost::incoming_cpu", incoming_cpu),
        Test::new("lost::incoming_cpu_of_traffic", incoming_cpu_of_traffic),
        Test::new("lost::source_address", source_address),
        Test::new("lost::sysctl_of_pmtu_discovery", sysctl_of_pmtu_discovery),
        Test::new("lost::pacing_rate", pacing_rate),
        Test::new("lost::device_after_connect", device_after_connect),
    ]
}

/// Dumps and closes a socket, unless the kernel refuses it by name.
fn unless_refused(original: UdpSocket) -> Result<Option<Gone>> {
    let mut client = cr::client()?;
    match cr::checkpoint(&mut client, original) {
        Ok(gone) => Ok(Some(gone)),
        Err(error) => {
            let refusal = error.downcast::<inetcr::Error>()?;
            let expected = Expected::errno(&[libc::EOPNOTSUPP]);
            cr::refused::<()>(Err(refusal), expected)?;
            Ok(None)
        }
    }
}

/// `user.*` attributes of the socket's inode.
fn extended_attribute() -> Result<()> {
    const NAME: &std::ffi::CStr = c"user.bpf_test";
    let original = socket::udp()?;
    socket::set_attribute(&original, NAME, b"value").context("fsetxattr")?;
    let Some(gone) = unless_refused(original)? else {
        return Ok(());
    };
    let copy = cr::resurrect(&mut cr::client()?, &gone)?;
    let value = socket::get_attribute(&copy, NAME).context("fgetxattr")?;
    ensure!(value == b"value", "the attribute is {value:?}");
    Ok(())
}

const SO_INCOMING_CPU: i32 = 49;

/// Of a connected socket, where datagrams overwrite it.
fn incoming_cpu() -> Result<()> {
    let original = socket::udp()?;
    socket::connect(&original, PEER)?;
    socket::set_int(&original, SOL_SOCKET, SO_INCOMING_CPU, 0)?;
    let Some(gone) = unless_refused(original)? else {
        return Ok(());
    };
    let copy = cr::resurrect(&mut cr::client()?, &gone)?;
    let value = socket::get_int(&copy, SOL_SOCKET, SO_INCOMING_CPU)?;
    ensure!(value == 0, "SO_INCOMING_CPU is {value}");
    Ok(())
}

/// A socket that was connected once and received something: nobody set an
/// option, so that nothing stands in the way of a dump.
fn incoming_cpu_of_traffic() -> Result<()> {
    let peer = UdpSocket::bind(PEER)?;
    let original = socket::udp()?;
    socket::bind(&original, SocketAddrV4::new(Ipv4Addr::LOCALHOST, PORT))?;
    socket::connect(&original, PEER)?;
    peer.send_to(b"x", (Ipv4Addr::LOCALHOST, PORT))?;
    socket::receive(&original, 0)?;
    let copy = cr::round_trip(&mut cr::client()?, original)?;
    socket::disconnect(&copy)?;
    cr::round_trip(&mut cr::client()?, copy)?;
    Ok(())
}

/// A socket that is bound to a group and was connected goes on sending from the
/// address that it was connected from.
fn source_address() -> Result<()> {
    let here = Ipv4Addr::new(10, 7, 0, 1);
    link::add_dummy("dummy0")?;
    link::address("dummy0", here)?;
    let peer = UdpSocket::bind(PEER)?;
    let original = socket::udp()?;
    socket::bind(&original, SocketAddrV4::new(GROUP, PORT))?;
    socket::connect(&original, SocketAddrV4::new(here, 9))?;
    socket::disconnect(&original)?;
    let source = |socket: &UdpSocket| -> Result<_> {
        socket.send_to(b"x", PEER)?;
        Ok(peer.recv_from(&mut [0; 8])?.1)
    };
    let expected = source(&original)?;
    ensure!(expected.ip() == here, "the original sends from {expected}");
    let Some(gone) = unless_refused(original)? else {
        return Ok(());
    };
    let copy = cr::resurrect(&mut cr::client()?, &gone)?;
    let found = source(&copy)?;
    ensure!(
        found == expected,
        "the original sends from {expected}, the copy from {found}"
    );
    Ok(())
}

/// `IP_MTU_DISCOVER` of a new socket depends on a sysctl, which can be another
/// one where the socket comes back.
fn sysctl_of_pmtu_discovery() -> Result<()> {
    const SYSCTL: &str = "/proc/sys/net/ipv4/ip_no_pmtu_disc";
    for (there, here) in [("1", "0"), ("0", "1")] {
        fs::write(SYSCTL, there)?;
        let original = socket::udp()?;
        let gone = unless_refused(original)?;
        fs::write(SYSCTL, here)?;
        let Some(gone) = gone else {
            continue;
        };
        let mut client = cr::client()?;
        match cr::restore(&mut client, &gone.dump) {
            Ok(copy) => same(
                "original != copy",
                &gone.seen,
                &crate::observe::observe(&copy),
            )?,
            Err(error) => {
                let expected = Expected::errno(&[libc::EPERM, libc::EOPNOTSUPP]);
                cr::refused::<()>(Err(error), expected)?;
            }
        }
    }
    Ok(())
}

/// Taking `SO_MAX_PACING_RATE` back does not end the pacing.
fn pacing_rate() -> Result<()> {
    const SO_MAX_PACING_RATE: i32 = 47;
    let original = socket::udp()?;
    let set = |rate: u64| {
        socket::set(
            &original,
            SOL_SOCKET,
            SO_MAX_PACING_RATE,
            &rate.to_ne_bytes(),
        )
    };
    set(1_000_000)?;
    set(u64::MAX)?;
    // No option reads what is left: it can only be refused.
    ensure!(
        unless_refused(original)?.is_none(),
        "a socket that is paced for ever was dumped as one that is not"
    );
    Ok(())
}

/// Bound to a device that does not lead to the peer, after it was connected:
/// nothing can be sent any more. It comes back so, or not at all.
fn device_after_connect() -> Result<()> {
    link::add_dummy("dummy0")?;
    let original = socket::udp()?;
    socket::bind(&original, SocketAddrV4::new(Ipv4Addr::LOCALHOST, PORT))?;
    socket::connect(&original, PEER)?;
    socket::set(&original, SOL_SOCKET, libc::SO_BINDTODEVICE, b"dummy0")?;
    let Some(gone) = unless_refused(original)? else {
        return Ok(());
    };
    let mut client = cr::client()?;
    match cr::restore(&mut client, &gone.dump) {
        Ok(copy) => same(
            "original != copy",
            &gone.seen,
            &crate::observe::observe(&copy),
        ),
        Err(error) => {
            let expected = Expected::errno(&[libc::ENETUNREACH, libc::EINVAL, libc::ENODEV]);
            cr::refused::<()>(Err(error), expected.attribute(cr::attr::PEER_ADDR)).map(drop)
        }
    }
}
