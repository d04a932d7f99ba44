// SPDX-License-Identifier: GPL-2.0

//! State that is easily forgotten, and comes back.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use anyhow::{Result, ensure};
use libc::SOL_SOCKET;

use crate::cr::{self, Expected};
use crate::observe::same;
use crate::places::{GROUP, PEER, PORT};
use crate::runner::Test;
use crate::sys::{link, socket};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("forgotten::incoming_cpu", incoming_cpu),
        Test::new(
            "forgotten::incoming_cpu_of_traffic",
            incoming_cpu_of_traffic,
        ),
        Test::new("forgotten::source_address", source_address),
        Test::new(
            "forgotten::sysctl_of_pmtu_discovery",
            sysctl_of_pmtu_discovery,
        ),
        Test::new("forgotten::pending_error", pending_error),
        Test::new("forgotten::device_after_connect", || {
            after_connect(|socket| {
                socket::set(socket, SOL_SOCKET, libc::SO_BINDTODEVICE, b"dummy0")
            })
        }),
        Test::new("forgotten::unicast_device_after_connect", || {
            after_connect(|socket| {
                let index = link::index("dummy0")?.to_be_bytes();
                socket::set(socket, libc::SOL_IP, libc::IP_UNICAST_IF, &index)
            })
        }),
    ]
}

const SO_INCOMING_CPU: i32 = 49;

/// Of a connected socket, where datagrams overwrite it.
fn incoming_cpu() -> Result<()> {
    let original = socket::udp()?;
    socket::connect(&original, PEER)?;
    socket::set_int(&original, SOL_SOCKET, SO_INCOMING_CPU, 0)?;
    let copy = cr::round_trip(&mut cr::client()?, original)?;
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
    let copy = cr::round_trip(&mut cr::client()?, original)?;
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
        let mut client = cr::client()?;
        let gone = cr::checkpoint(&mut client, original)?;
        fs::write(SYSCTL, here)?;
        cr::resurrect(&mut client, &gone)?;
    }
    Ok(())
}

/// An error that nobody has asked for yet: the next call gets it.
fn pending_error() -> Result<()> {
    let original = socket::udp()?;
    socket::connect(&original, PEER)?;
    // Nobody is there: the answer is an ICMP error.
    socket::send(&original, b"x", 0)?;
    let mut tries = 0..1000;
    while tries.next().is_some() && !socket::readable(&original, Duration::from_millis(1))? {}
    let mut client = cr::client()?;
    let gone = cr::checkpoint(&mut client, original)?;
    let copy = cr::restore(&mut client, &gone.dump)?;
    cr::same_dump(&gone.dump, &cr::dump(&mut client, &copy)?)?;
    let error = socket::get_int(&copy, SOL_SOCKET, libc::SO_ERROR)?;
    ensure!(error == libc::ECONNREFUSED, "SO_ERROR is {error}");
    Ok(())
}

/// Led to a device that does not lead to the peer, after it was connected: nothing
/// can be sent any more. It comes back so, or RESTORE says that there is no route.
fn after_connect(lead: fn(&UdpSocket) -> io::Result<()>) -> Result<()> {
    link::add_dummy("dummy0")?;
    let original = socket::udp()?;
    socket::bind(&original, SocketAddrV4::new(Ipv4Addr::LOCALHOST, PORT))?;
    socket::connect(&original, PEER)?;
    lead(&original)?;
    let mut client = cr::client()?;
    let gone = cr::checkpoint(&mut client, original)?;
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
