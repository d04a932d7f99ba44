// SPDX-License-Identifier: GPL-2.0

//! What the network tells of while a corked datagram is restored, and what a try to send it that
//! fails leaves behind: nothing that the original would not have.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use anyhow::{Context, Result, ensure};
use libc::{SOL_IP, SOL_SOCKET};

use super::begun::pktinfo;
use super::{Begin, Style, dumped, receiver, restored};
use crate::cases::errqueue::making::Icmp;
use crate::cases::queue::{HERE, drain, same_messages};
use crate::cr::{self, Part, Queued};
use crate::places::PEER;
use crate::runner::Test;
use crate::sys::{link, socket};

pub fn tests() -> Vec<Test> {
    let mut tests = vec![Test::new(
        "cork::meanwhile::too_long_for_another_route",
        too_long_for_another_route,
    )];
    for (name, known) in [("before", true), ("meanwhile", false)] {
        tests.push(Test::new(
            format!("cork::meanwhile::smaller_mtu_on_the_way::{name}"),
            move || smaller_mtu_on_the_way(known),
        ));
    }
    for (name, before, during) in ERRORS {
        tests.push(Test::new(
            format!("cork::meanwhile::error_pending::{name}"),
            || error_pending(*before, *during),
        ));
    }
    tests
}

/// The code of an ICMP message, and the error that it makes pending on a connected socket.
type Error = (u8, i32);

const PROTOCOL: Error = (2, libc::ENOPROTOOPT);
const PORT: Error = (3, libc::ECONNREFUSED);

/// What the original has, and what comes for the copy before it is handed out.
const ERRORS: &[(&str, Option<Error>, Option<Error>)] = &[
    ("none", None, None),
    ("before", Some(PROTOCOL), None),
    ("meanwhile", None, Some(PORT)),
    ("both", Some(PROTOCOL), Some(PORT)),
];

/// To send fails with a pending error, but a restore does not, and the owner of the copy gets it:
/// the newest, as the original would have.
fn error_pending(before: Option<Error>, during: Option<Error>) -> Result<()> {
    let mut client = cr::client()?;
    let receiver = receiver()?;
    let begin = Begin {
        before: |socket| {
            socket::bind(socket, HERE)?;
            Ok(socket::connect(socket, PEER)?)
        },
        to: None,
        ..Begin::plain()
    };
    let tell = |error: Option<Error>| -> Result<()> {
        error.map_or(Ok(()), |(code, _)| {
            Icmp::new(3, code, [0; 4], 20).about(PEER).send(|_| Ok(()))
        })
    };
    let pending = |socket: &UdpSocket| socket::get_int(socket, SOL_SOCKET, libc::SO_ERROR);

    for style in Style::ALL {
        let in_peace = begin.make(style)?;
        ensure!(style.finish(&in_peace).is_none(), "not sent");
        drop(in_peace);
        let expected = drain(&receiver)?;

        let original = begin.make(style)?;
        tell(before)?;
        let queued = Queued::of(&mut client, &original)?;
        let found = pending(&original)?;
        ensure!(found == before.map_or(0, |(_, errno)| errno), "{found}");
        drop(original);

        Part::Begin.send(&mut client, &queued.dump.0)?;
        Part::Queue.send(&mut client, &queued.queue)?;
        tell(during)?;
        let copy = UdpSocket::from(Part::commit(&mut client).context("commit")?.fd);
        let wanted = during.or(before).map_or(0, |(_, errno)| errno);
        let found = pending(&copy)?;
        ensure!(found == wanted, "SO_ERROR is {found}, not {wanted}");
        ensure!(style.finish(&copy).is_none(), "the copy does not send");
        same_messages(&expected, &drain(&receiver)?)?;
    }
    Ok(())
}

/// A router tells of a smaller MTU, before the datagram is begun or before it is restored: the route
/// to the peer becomes one of its own, which leads to no gateway all the same.
fn smaller_mtu_on_the_way(known: bool) -> Result<()> {
    let mut client = cr::client()?;
    let receiver = receiver()?;
    let tell = || {
        let too_long = Icmp::new(3, 4, [0, 0, 2, 88], 20);
        too_long.about(PEER).send(|_| Ok(()))
    };
    let mut original = Begin::plain().make(Style::Flag)?;
    if known {
        tell()?;
        drop(original);
        original = Begin::plain().make(Style::Flag)?;
    }
    let queued = dumped(&mut client, &original)?;
    if !known {
        tell()?;
    }
    drop(original);
    let copy = queued.restore(&mut client)?;
    ensure!(Style::Flag.finish(&copy).is_none(), "not sent");
    let found = drain(&receiver)?;
    ensure!(found.len() == 1, "{} messages", found.len());
    Ok(())
}

/// The route that the socket has by itself takes less than the one that its owner has named: to try
/// it makes an error that the original does not have.
fn too_long_for_another_route() -> Result<()> {
    const DO: i32 = 2;
    // The route of the first one is taken, if none is named.
    for (name, addr) in [("dummy1", 9), ("dummy0", 1)] {
        link::add_dummy(name)?;
        link::address(name, Ipv4Addr::new(10, 7, 0, addr))?;
    }
    link::set_mtu("dummy0", 9000)?;
    let device = i32::try_from(link::index("dummy0")?)?;
    let mut client = cr::client()?;
    let receiver = receiver()?;
    let begin = Begin {
        before: |socket| {
            socket::set_int(socket, SOL_IP, libc::IP_MTU_DISCOVER, DO)?;
            socket::set_int(socket, SOL_IP, libc::IP_RECVERR, 1)?;
            let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, HERE.port());
            Ok(socket::bind(socket, any)?)
        },
        to: Some(SocketAddrV4::new(Ipv4Addr::new(10, 7, 0, 2), 7001)),
        sizes: &[5000],
        ..Begin::with(
            SOL_IP,
            libc::IP_PKTINFO,
            &pktinfo(device, Ipv4Addr::UNSPECIFIED),
        )
    };
    let original = begin.make(Style::Option)?;
    let queued = dumped(&mut client, &original)?;
    drop(original);
    let copy = restored(&mut client, &queued, &receiver)?;
    ensure!(Style::Option.finish(&copy).is_none(), "not sent");

    let other = Begin {
        control: Vec::new(),
        ..begin
    };
    let refused = other.make(Style::Option);
    ensure!(refused.is_err(), "there is no other route");
    Ok(())
}
