// SPDX-License-Identifier: GPL-2.0

//! Where a socket is, comes back: for each place a round trip, a disconnect and
//! a talk with the peer.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use inetcr::{Client, RawAttr};

use crate::cases::errqueue::making::{Icmp, sender, until, waiting};
use crate::cases::{flood, flood_by_a_stranger, is_flooded};
use crate::cr::{self, Dump, Expected, attr};
use crate::observe::{observe, same};
use crate::places::{GROUP, PEER, PLACES, PORT, Place, place};
use crate::runner::Test;
use crate::sys::filter::{self, Instruction};
use crate::sys::{link, socket, task};

pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for place in PLACES {
        tests.push(Test::new(format!("addresses::{}", place.name), || {
            let original = at(place)?;
            cr::round_trip(&mut cr::client()?, original)?;
            Ok(())
        }));
    }
    for place in PLACES {
        tests.push(Test::new(
            format!("addresses::disconnect::{}", place.name),
            || disconnect(place),
        ));
    }
    for place in PLACES {
        tests.push(Test::new(
            format!("addresses::talk::{}", place.name),
            || talk(place),
        ));
    }
    tests.push(Test::new("addresses::twice", twice));
    tests.push(Test::new("addresses::strangers", strangers).slow().alone());
    tests.push(
        Test::new("addresses::errors_of_strangers", errors_of_strangers)
            .slow()
            .alone(),
    );
    tests.push(
        Test::new("addresses::told_from_the_first", told_from_the_first)
            .slow()
            .alone(),
    );
    tests.push(
        Test::new("addresses::drops_go_on", drops_go_on)
            .slow()
            .alone(),
    );
    tests.push(Test::new("addresses::port_in_use", in_use));
    tests.push(Test::new("addresses::not_local", not_local));
    tests.push(Test::new("addresses::peer_unreachable", unreachable));
    tests.push(Test::new(
        "addresses::privileged_port_refused",
        privileged_port,
    ));
    tests.push(Test::new("addresses::source_differs", source_differs));
    tests.push(Test::new("addresses::autobind_after", autobind_after));
    tests
}

fn at(place: &Place) -> Result<UdpSocket> {
    let socket = socket::udp()?;
    (place.go)(&socket).with_context(|| format!("setting up {}", place.name))?;
    Ok(socket)
}

/// `connect(2)` to `AF_UNSPEC` leaves original and copy alike.
fn disconnect(place: &Place) -> Result<()> {
    let mut client = cr::client()?;
    let original = at(place)?;
    let dump = cr::dump(&mut client, &original)?;
    socket::disconnect(&original)?;
    let expected = observe(&original);
    drop(original);
    let copy = cr::restore(&mut client, &dump)?;
    socket::disconnect(&copy)?;
    same("after the disconnect", &expected, &observe(&copy))
}

/// The peer reaches the copy and is reached by it, as with the original. A
/// stranger does not reach one that is connected.
fn talk(place: &Place) -> Result<()> {
    let mut client = cr::client()?;
    let peer = UdpSocket::bind(PEER)?;
    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    peer.set_nonblocking(true)?;
    let original = at(place)?;
    let before = heard(&original, &peer, &stranger)?;
    let copy = cr::round_trip(&mut client, original)?;
    let after = heard(&copy, &peer, &stranger)?;
    ensure!(
        before == after,
        "(peer heard, peer came through, stranger came through): original {before:?}, copy {after:?}"
    );
    Ok(())
}

/// Whether the peer hears the socket, and whether the peer and a stranger come
/// through to it.
fn heard(socket: &UdpSocket, peer: &UdpSocket, stranger: &UdpSocket) -> Result<(bool, bool, bool)> {
    let mut buffer = [0; 16];
    while peer.recv(&mut buffer).is_ok() {}
    let connected = socket::peer(socket).is_ok();
    let bound = socket::name(socket)?.port() != 0;
    // Sending binds a socket, which is another state: only if it is bound.
    let heard = bound
        && match socket::peer(socket) {
            Ok(to) if to == PEER => socket.send(b"hello").is_ok() && peer.recv(&mut buffer).is_ok(),
            Ok(_) => false,
            Err(_) => socket.send_to(b"hello", PEER).is_ok() && peer.recv(&mut buffer).is_ok(),
        };
    let mut came = [false, false];
    if bound {
        let mut to = socket::name(socket)?;
        if to.ip().is_unspecified() {
            to.set_ip(Ipv4Addr::LOCALHOST);
        }
        for (came, from) in came.iter_mut().zip([peer, stranger]) {
            let _ = from.send_to(b"hi", to);
            *came = socket::receive(socket, libc::MSG_DONTWAIT).is_ok();
        }
        // A refused datagram leaves an error.
        let _ = socket::get_int(socket, libc::SOL_SOCKET, libc::SO_ERROR)?;
        if connected && socket::peer(socket)? == PEER {
            ensure!(!came[1], "a stranger reaches a connected socket");
        }
    }
    Ok((heard, came[0], came[1]))
}

/// A copy of a copy.
fn twice() -> Result<()> {
    let mut client = cr::client()?;
    let mut current = at(place("connected_addr_port").context("no such place")?)?;
    for _ in 0..3 {
        current = cr::round_trip(&mut client, current)?;
    }
    Ok(())
}

/// While a connected socket comes back, nothing of a stranger gets in, not even
/// between bind and connect.
fn strangers() -> Result<()> {
    let mut client = cr::client()?;
    let mut current = at(place("connected_addr_port").context("no such place")?)?;
    let _flood = flood_by_a_stranger()?;
    for _ in 0..30 {
        current = cr::round_trip(&mut client, current)?;
        ensure!(
            !socket::readable(&current, Duration::ZERO)?,
            "a stranger's datagram is in the queue"
        );
    }
    drop(current);
    is_flooded()
}

/// Nor does what ICMP tells of what others have sent from the address.
fn errors_of_strangers() -> Result<()> {
    let mut client = cr::client()?;
    let mut current = at(place("connected_addr_port").context("no such place")?)?;
    socket::set_int(&current, libc::SOL_IP, libc::IP_RECVERR, 1)?;
    let unreachable = Icmp::new(3, 3, [0; 4], 20).to_bytes();
    let _flood = flood((Ipv4Addr::LOCALHOST, 0), &unreachable, Icmp::socket)?;
    for _ in 0..100 {
        current = cr::round_trip(&mut client, current)?;
        ensure!(
            waiting(&current)? == 0,
            "a stranger's error is in the queue"
        );
        let pending = socket::get_int(&current, libc::SOL_SOCKET, libc::SO_ERROR)?;
        ensure!(pending == 0, "a stranger's error is pending: {pending}");
    }
    drop(current);
    // One without a peer hears of them.
    until(&sender()?, 1)
}

/// What a control message tells of the first datagram of a flood that comes to a copy.
fn first_of_copy(
    client: &mut Client,
    dump: &Dump,
    level: i32,
    kind: i32,
) -> Result<Option<Vec<u8>>> {
    let copy = cr::restore(client, dump)?;
    ensure!(
        socket::readable(&copy, Duration::from_secs(5))?,
        "nothing was sent"
    );
    let (_, control) = socket::receive(&copy, 0)?;
    let mut told = control.into_iter();
    let told = told.find(|one| (one.0, one.1) == (level, kind));
    Ok(told.map(|(_, _, data)| data))
}

/// What is told of a datagram is noted when it comes, and none comes before the copy has asked for
/// that.
fn told_from_the_first() -> Result<()> {
    let mut client = cr::client()?;
    let original = at(place("addr_port").context("no such place")?)?;
    socket::set_int(&original, libc::SOL_IP, libc::IP_PKTINFO, 1)?;
    let dump = cr::dump(&mut client, &original)?;
    drop(original);
    let localhost = Ipv4Addr::LOCALHOST.octets();
    let index = link::index("lo")?.to_ne_bytes();
    let expected = [index, localhost, localhost].concat();
    let _flood = flood_by_a_stranger()?;
    for _ in 0..30 {
        let told = first_of_copy(&mut client, &dump, libc::SOL_IP, libc::IP_PKTINFO)?;
        let told = told.context("no IP_PKTINFO")?;
        ensure!(
            told == expected,
            "IP_PKTINFO is {told:02x?}, not {expected:02x?}"
        );
    }
    Ok(())
}

/// The count of drops, which is noted of a datagram when it comes, does not begin anew.
fn drops_go_on() -> Result<()> {
    const SO_RXQ_OVFL: i32 = 40;
    const BEFORE: u32 = 100_000;
    let mut client = cr::client()?;
    let original = at(place("addr_port").context("no such place")?)?;
    socket::set_int(&original, libc::SOL_SOCKET, SO_RXQ_OVFL, 1)?;
    let [load, mask] = Instruction::ALL_OR_NOTHING;
    let filter = [load, mask, Instruction::RETURN_IT];
    filter::attach(&original, libc::SO_ATTACH_FILTER, &filter)?;
    let dump = cr::dump(&mut client, &original)?;
    drop(original);
    let dump = dump.with(RawAttr::u32(attr::DROPS, BEFORE));
    let _flood = flood_by_a_stranger()?;
    for _ in 0..300 {
        let told = first_of_copy(&mut client, &dump, libc::SOL_SOCKET, SO_RXQ_OVFL)?;
        if let Some(told) = told {
            let told = u32::from_ne_bytes(told.as_slice().try_into()?);
            ensure!(told >= BEFORE, "{told} drops after {BEFORE}");
        }
    }
    Ok(())
}

/// The original still has the port.
fn in_use() -> Result<()> {
    let mut client = cr::client()?;
    for name in ["addr_port", "any_port", "connected_addr_port"] {
        let original = at(place(name).context("no such place")?)?;
        let before = observe(&original);
        let dump = cr::dump(&mut client, &original)?;
        let expected = Expected::errno(&[libc::EADDRINUSE]).attribute(attr::LOCAL_PORT);
        cr::restore_refused(&mut client, &dump, expected).context(name)?;
        same(
            "the refusal changed the original",
            &before,
            &observe(&original),
        )?;
    }
    Ok(())
}

/// The address belongs to another machine.
fn not_local() -> Result<()> {
    let mut client = cr::client()?;
    let original = at(place("addr_port").context("no such place")?)?;
    let dump = cr::dump(&mut client, &original)?;
    drop(original);
    let dump = dump.with(RawAttr::new(attr::LOCAL_ADDR, [192, 0, 2, 1]));
    let expected = Expected::errno(&[libc::EADDRNOTAVAIL]).attribute(attr::LOCAL_ADDR);
    cr::restore_refused(&mut client, &dump, expected)
}

/// There is no route to the peer.
fn unreachable() -> Result<()> {
    let mut client = cr::client()?;
    let original = at(place("connected_addr_port").context("no such place")?)?;
    let dump = cr::dump(&mut client, &original)?;
    drop(original);
    let dump = dump.with(RawAttr::new(attr::PEER_ADDR, [192, 0, 2, 1]));
    let expected = Expected::errno(&[libc::ENETUNREACH, libc::EINVAL]).attribute(attr::PEER_ADDR);
    cr::restore_refused(&mut client, &dump, expected)
}

/// A port below 1024 needs what `bind(2)` needs.
fn privileged_port() -> Result<()> {
    let mut client = cr::client()?;
    let original = at(place("privileged_port").context("no such place")?)?;
    let dump = cr::dump(&mut client, &original)?;
    drop(original);
    task::drop_capabilities(&[task::CAP_NET_BIND_SERVICE])?;
    let expected = Expected::errno(&[libc::EACCES]).attribute(attr::LOCAL_PORT);
    cr::restore_refused(&mut client, &dump, expected)
}

/// It is that of the first connection, whatever the route to the peer gives, and has to be one of
/// this place.
fn source_differs() -> Result<()> {
    let first = Ipv4Addr::new(10, 7, 0, 1);
    link::add_dummy("dummy0")?;
    link::address("dummy0", first)?;
    let mut client = cr::client()?;
    let peer = UdpSocket::bind(PEER)?;
    let original = socket::udp()?;
    socket::bind(&original, SocketAddrV4::new(GROUP, PORT))?;
    socket::connect(&original, SocketAddrV4::new(first, PORT))?;
    socket::connect(&original, PEER)?;
    let dump = cr::dump(&mut client, &original)?;
    let source = dump.get(attr::SOURCE_ADDR);
    ensure!(source == Some(&first.octets()), "source-addr: {source:?}");
    let copy = cr::round_trip(&mut client, original)?;
    copy.send(b"x")?;
    let (_, from) = peer.recv_from(&mut [0; 4])?;
    ensure!(from.ip() == first, "sent from {from}");
    // And when it is not connected any more, though a device was chosen since that has it not.
    socket::disconnect(&copy)?;
    let lo = 1_u32.to_be_bytes();
    socket::set(&copy, libc::SOL_IP, libc::IP_UNICAST_IF, &lo)?;
    drop(cr::round_trip(&mut client, copy)?);
    // One that was bound to an address sends from that.
    let place = place("connected_addr_zero").context("no such place")?;
    let bound = cr::dump(&mut client, &at(place)?)?;
    let spoiled = bound.with(RawAttr::new(attr::SOURCE_ADDR, first.octets()));
    let expected = Expected::errno(&[libc::EADDRNOTAVAIL]).attribute(attr::SOURCE_ADDR);
    cr::restore_refused(&mut client, &spoiled, expected)?;

    link::remove("dummy0")?;
    let expected = Expected::errno(&[libc::EADDRNOTAVAIL]).attribute(attr::SOURCE_ADDR);
    cr::restore_refused(&mut client, &dump, expected)
}

/// A copy without a port gets one when it sends, from its own address.
fn autobind_after() -> Result<()> {
    let mut client = cr::client()?;
    let peer = UdpSocket::bind(PEER)?;
    for name in ["unbound", "addr_without_port", "addr_after_disconnect"] {
        let copy = cr::round_trip(&mut client, at(place(name).context("no such place")?)?)?;
        ensure!(
            socket::name(&copy)?.port() == 0,
            "{name}: the copy has a port"
        );
        copy.send_to(b"x", PEER)?;
        let mut buffer = [0; 4];
        let (_, from) = peer.recv_from(&mut buffer)?;
        let port = socket::name(&copy)?.port();
        ensure!(
            port != 0 && from == SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into(),
            "{name}: sent from {from}, bound to {port}"
        );
    }
    Ok(())
}
