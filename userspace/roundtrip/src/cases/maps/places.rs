// SPDX-License-Identifier: GPL-2.0

//! All that a socket can have of a device and of an address.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use inetcr::{IpFlags, RawAttr};
use libc::{SOL_IP, SOL_SOCKET};

use super::{NEW, OLD, Place, address, device, mapped, maps, moves, name, restored};
use crate::cr::{self, Dump, Expected, attr};
use crate::observe::{observe, same};
use crate::places::{GROUP, PORT};
use crate::runner::Test;
use crate::sys::multicast::{self, Device, Filter};
use crate::sys::{link, namespace, socket};

/// How a socket is made in a place.
type Make = fn(Place) -> Result<UdpSocket>;

/// What of a place a socket has, by name.
const PARTS: &[(&str, Make)] = &[
    ("bound_device", |place| with(place, &[bound_device])),
    ("unicast_device", |place| with(place, &[unicast_device])),
    ("multicast_device", |place| with(place, &[multicast_device])),
    ("multicast_address", |place| {
        with(place, &[multicast_address])
    }),
    ("membership", |place| with(place, &[member])),
    ("local_address", |place| with(place, &[bound])),
    ("address_without_port", |place| with(place, &[address_only])),
    ("peer", |place| with(place, &[bound, connected])),
    ("peer_elsewhere", |place| with(place, &[connected])),
    ("source_address", |place| {
        with(place, &[to_a_group, connected])
    }),
    ("source_of_before", |place| {
        with(place, &[to_a_group, connected, disconnected])
    }),
    ("all", |place| {
        let devices = [unicast_device, multicast_device, bound_device];
        with(place, &[&devices[..], &[member, bound, connected]].concat())
    }),
];

pub fn tests() -> Vec<Test> {
    let parts = PARTS.iter().map(|(name, make)| {
        let make = *make;
        Test::new(format!("maps::{name}"), move || moves(make))
    });
    let others = [
        Test::new("maps::renamed", renamed),
        Test::new("maps::exchanged", exchanged),
        Test::new("maps::once", once),
        Test::new("maps::unused", unused),
        Test::new("maps::other_namespace", other_namespace),
        Test::new("maps::by_hand", by_hand),
        Test::new("maps::by_an_option_of_the_restorer", by_an_option),
        Test::new("maps::left_out", left_out),
    ];
    parts.chain(others).collect()
}

/// What is done to a socket that is made in a place.
pub type Step = fn(&UdpSocket, Place) -> Result<()>;

pub fn with(place: Place, steps: &[Step]) -> Result<UdpSocket> {
    let socket = socket::udp()?;
    for step in steps {
        step(&socket, place)?;
    }
    Ok(socket)
}

pub fn bound_device(socket: &UdpSocket, place: Place) -> Result<()> {
    let name = place.device.as_bytes();
    Ok(socket::set(
        socket,
        SOL_SOCKET,
        libc::SO_BINDTODEVICE,
        name,
    )?)
}

pub fn unicast_device(socket: &UdpSocket, place: Place) -> Result<()> {
    const IP_UNICAST_IF: i32 = 50;
    let index = link::index(place.device)?.to_be_bytes();
    Ok(socket::set(socket, SOL_IP, IP_UNICAST_IF, &index)?)
}

/// By its index, with an address.
pub fn multicast_device(socket: &UdpSocket, place: Place) -> Result<()> {
    let index = link::index(place.device)?;
    let request = multicast::mreqn(Ipv4Addr::UNSPECIFIED, place.addr, index);
    Ok(socket::set(
        socket,
        SOL_IP,
        libc::IP_MULTICAST_IF,
        &request,
    )?)
}

/// By its address.
fn multicast_address(socket: &UdpSocket, place: Place) -> Result<()> {
    let address = place.addr.octets();
    Ok(socket::set(
        socket,
        SOL_IP,
        libc::IP_MULTICAST_IF,
        &address,
    )?)
}

/// A member by the address of the device, who hears the device itself and somebody behind it, and
/// of another group by the index.
fn member(socket: &UdpSocket, place: Place) -> Result<()> {
    let by_address = Device::Address(place.addr);
    for source in [place.addr, place.other] {
        multicast::add_source(socket, GROUP, by_address, false, source)?;
    }
    let by_index = Device::of(place.device)?;
    Ok(multicast::join(
        socket,
        Ipv4Addr::new(224, 9, 8, 8),
        by_index,
    )?)
}

pub fn bound(socket: &UdpSocket, place: Place) -> Result<()> {
    Ok(socket::bind(socket, SocketAddrV4::new(place.addr, PORT))?)
}

fn address_only(socket: &UdpSocket, place: Place) -> Result<()> {
    const IP_BIND_ADDRESS_NO_PORT: i32 = 24;
    socket::set_int(socket, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1)?;
    Ok(socket::bind(socket, SocketAddrV4::new(place.addr, 0))?)
}

fn to_a_group(socket: &UdpSocket, _: Place) -> Result<()> {
    Ok(socket::bind(socket, SocketAddrV4::new(GROUP, PORT))?)
}

/// To the machine itself.
fn connected(socket: &UdpSocket, place: Place) -> Result<()> {
    // One of the port that is the same each time.
    if socket::name(socket)?.port() == 0 {
        socket::bind(socket, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT))?;
        return Ok(socket::connect(
            socket,
            SocketAddrV4::new(place.other, 7001),
        )?);
    }
    Ok(socket::connect(
        socket,
        SocketAddrV4::new(place.addr, 7001),
    )?)
}

fn disconnected(socket: &UdpSocket, _: Place) -> Result<()> {
    Ok(socket::disconnect(socket)?)
}

/// A device that has another name by now.
fn renamed() -> Result<()> {
    let mut client = cr::client()?;
    OLD.add()?;
    let original = with(OLD, &[bound_device, member, bound])?;
    let dump = cr::dump(&mut client, &original)?;
    drop(original);
    link::rename(OLD.device, "renamed0")?;
    let expected = Expected::errno(&[libc::ENODEV]).word("no device has this name");
    cr::restore_refused(&mut client, &dump, expected.attribute(attr::BINDTODEVICE))?;
    let copy = restored(&mut client, &mapped(&dump, &[device("old0", "renamed0")]))?;
    let bound_to = socket::get(&copy, SOL_SOCKET, libc::SO_BINDTODEVICE, 16)?;
    ensure!(bound_to == b"renamed0\0", "bound to {bound_to:?}");
    let heard = multicast::filter(&copy, GROUP, Device::of("renamed0")?)?;
    let sources = vec![OLD.addr, OLD.other];
    let exclude = false;
    ensure!(heard == Filter { exclude, sources }, "hears {heard:?}");
    drop(copy);
    Ok(link::remove("renamed0")?)
}

/// Two devices and two addresses, each in the place of the other.
fn exchanged() -> Result<()> {
    let mut client = cr::client()?;
    OLD.add()?;
    NEW.add()?;
    let of_both = |one: Place, other: Place| -> Result<UdpSocket> {
        let socket = with(one, &[bound_device, member, bound])?;
        socket::connect(&socket, SocketAddrV4::new(one.other, 7001))?;
        // What it is a member of on another device, it does not hear. The membership stays.
        let by_index = Device::of(other.device)?;
        multicast::join(&socket, Ipv4Addr::new(224, 9, 8, 9), by_index)?;
        Ok(socket)
    };
    let model = of_both(NEW, OLD)?;
    let expected = observe(&model);
    drop(model);
    let original = of_both(OLD, NEW)?;
    let dump = cr::dump(&mut client, &original)?;
    drop(original);
    let all = [maps(OLD, NEW), maps(NEW, OLD)].concat();
    let copy = restored(&mut client, &mapped(&dump, &all))?;
    same("model != copy", &expected, &observe(&copy))?;
    drop(copy);
    link::remove(OLD.device)?;
    Ok(link::remove(NEW.device)?)
}

/// What took the place of another one is replaced by nothing.
fn once() -> Result<()> {
    let mut client = cr::client()?;
    let at = |last| Ipv4Addr::new(127, 0, 0, last);
    let original = UdpSocket::bind((at(1), PORT))?;
    let dump = cr::dump(&mut client, &original)?;
    drop(original);
    let chain = [
        address(at(2), at(3)),
        address(at(1), at(2)),
        address(at(3), at(4)),
    ];
    let copy = restored(&mut client, &mapped(&dump, &chain))?;
    ensure!(socket::name(&copy)? == SocketAddrV4::new(at(2), PORT));
    Ok(())
}

/// Maps that nothing is to be replaced by change nothing: one set is good for all sockets.
fn unused() -> Result<()> {
    let mut client = cr::client()?;
    NEW.add()?;
    let original = UdpSocket::bind((Ipv4Addr::LOCALHOST, PORT))?;
    let mut gone = cr::checkpoint(&mut client, original)?;
    let dump = gone.dump.clone();
    gone.dump = mapped(&dump, &maps(OLD, NEW));
    let copy = UdpSocket::from(client.restore_attrs(&gone.dump.0)?.fd);
    same("original != copy", &gone.seen, &observe(&copy))?;
    cr::same_dump(&dump, &cr::dump(&mut client, &copy)?)?;
    // Not even one that is asked for by part of its value.
    let near = [
        address(Ipv4Addr::new(127, 0, 0, 11), NEW.addr),
        device("l", "new0"),
    ];
    drop(copy);
    let copy = restored(&mut client, &mapped(&dump, &near))?;
    same("original != copy", &gone.seen, &observe(&copy))?;
    drop(copy);
    Ok(link::remove(NEW.device)?)
}

/// In another network namespace, by the other end of another pair of devices: who sends to the
/// copy there is heard, and gets the answer of the address that it has sent to.
fn other_namespace() -> Result<()> {
    let mut client = cr::client()?;
    OLD.add()?;
    let original = with(OLD, &[bound_device, bound])?;
    let dump = cr::dump(&mut client, &original)?;
    drop(original);
    link::remove(OLD.device)?;

    let far = namespace::Network::current()?;
    namespace::new_network()?;
    let mut client = cr::client()?;
    link::add_veth(NEW.device, "far0", &far)?;
    link::address(NEW.device, NEW.addr)?;
    let copy = restored(&mut client, &mapped(&dump, &maps(OLD, NEW)))?;
    far.enter()?;
    link::address("far0", NEW.other)?;
    let peer = UdpSocket::bind((NEW.other, 7001))?;
    peer.connect((NEW.addr, PORT))?;
    peer.send(b"request")?;
    let soon = Duration::from_secs(5);
    ensure!(socket::readable(&copy, soon)?, "nothing arrives");
    let mut buffer = [0; 16];
    let (len, from) = copy.recv_from(&mut buffer)?;
    ensure!(buffer[..len] == *b"request", "{:?} arrives", &buffer[..len]);
    copy.send_to(b"answer", from)?;
    ensure!(socket::readable(&peer, soon)?, "no answer");
    let len = peer.recv(&mut buffer)?;
    ensure!(
        buffer[..len] == *b"answer",
        "{:?} is the answer",
        &buffer[..len]
    );
    drop(copy);
    Ok(link::remove("far0")?)
}

/// What needs no map: an attribute that is left out is left alone, and an address that is not here
/// can be had by those options that allow it, as by `bind(2)`.
fn by_hand() -> Result<()> {
    let mut client = cr::client()?;
    OLD.add()?;
    let plain = with(OLD, &[bound_device, bound])?;
    let dump = cr::dump(&mut client, &plain)?;
    drop(plain);
    let mut free = Vec::new();
    for option in [libc::IP_FREEBIND, libc::IP_TRANSPARENT] {
        let socket = socket::udp()?;
        socket::set_int(&socket, SOL_IP, option, 1)?;
        bound(&socket, OLD)?;
        free.push(cr::checkpoint(&mut client, socket)?);
    }
    link::remove(OLD.device)?;
    let there = SocketAddrV4::new(OLD.addr, PORT);
    for gone in &free {
        let copy = cr::resurrect(&mut client, gone)?;
        ensure!(socket::name(&copy)? == there, "not bound to {there}");
    }
    let less = dump.without(attr::BINDTODEVICE).without(attr::LOCAL_ADDR);
    let copy = restored(&mut client, &less)?;
    let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT);
    ensure!(socket::name(&copy)? == any, "not bound to {any}");
    let bound_to = socket::get(&copy, SOL_SOCKET, libc::SO_BINDTODEVICE, 16)?;
    ensure!(bound_to.is_empty(), "bound to {bound_to:?}");
    Ok(())
}

/// The restorer allows the address that is not here by an option that the original did not have.
/// Who wants the original takes it back then, and is left with the address.
fn by_an_option() -> Result<()> {
    const FLAGS: u16 = 1;

    let mut client = cr::client()?;
    OLD.add()?;
    let dump = cr::dump(&mut client, &with(OLD, &[bound])?)?;
    link::remove(OLD.device)?;
    let expected = Expected::errno(&[libc::EADDRNOTAVAIL]).attribute(attr::LOCAL_ADDR);
    cr::restore_refused(&mut client, &dump, expected)?;
    let there = SocketAddrV4::new(OLD.addr, PORT);
    for (flag, option) in [
        (IpFlags::FREEBIND, libc::IP_FREEBIND),
        (IpFlags::TRANSPARENT, libc::IP_TRANSPARENT),
    ] {
        let flags = dump.u32_at(&[attr::IP, FLAGS]).context("no flags")?;
        ensure!(flags & flag.bits() == 0, "the original has {flag:?}");
        let flags = RawAttr::u32(FLAGS, flags | flag.bits());
        let allowed = dump.clone().with_at(&[attr::IP], flags);
        let copy = cr::restore(&mut client, &allowed).with_context(|| format!("{flag:?}"))?;
        ensure!(socket::name(&copy)? == there, "not bound to {there}");
        ensure!(socket::get_int(&copy, SOL_IP, option)? == 1, "no {flag:?}");
        cr::same_dump(&allowed, &cr::dump(&mut client, &copy)?)?;
        socket::set_int(&copy, SOL_IP, option, 0)?;
        cr::same_dump(&dump, &cr::dump(&mut client, &copy)?)?;
    }
    Ok(())
}

/// A dump without what it has of a device.
type WithoutDevice = fn(Dump) -> Dump;

/// Where a device is gone, what it was for is left out, and all else comes back: the copy is as one
/// that never had to do with the device.
fn left_out() -> Result<()> {
    const MULTICAST_IFNAME: u16 = 9;
    const MULTICAST_ADDR: u16 = 10;
    const UNICAST_IFNAME: u16 = 11;
    /// Each step, what it needs to be left out, and the attribute that is refused otherwise.
    const PARTS: &[(Step, WithoutDevice, &[u16])] = &[
        (
            unicast_device,
            |dump| dump.without_at(&[attr::IP, UNICAST_IFNAME]),
            &[attr::IP, UNICAST_IFNAME],
        ),
        (
            multicast_device,
            |dump| {
                let dump = dump.without_at(&[attr::IP, MULTICAST_IFNAME]);
                dump.without_at(&[attr::IP, MULTICAST_ADDR])
            },
            &[attr::IP, MULTICAST_IFNAME],
        ),
        (
            member,
            |dump| {
                let gone = name(attr::membership::IFNAME, OLD.device);
                let mut others = dump.all(attr::MEMBERSHIP);
                others.retain(|one| one.children().is_ok_and(|inner| !inner.contains(&gone)));
                dump.with_all(attr::MEMBERSHIP, others)
            },
            &[attr::MEMBERSHIP, attr::membership::IFNAME],
        ),
    ];

    let mut client = cr::client()?;
    let make = |steps: &[Step]| -> Result<UdpSocket> {
        let socket = with(OLD, steps)?;
        socket::set_int(&socket, SOL_IP, libc::IP_TTL, 9)?;
        socket::set_int(&socket, SOL_IP, libc::IP_MULTICAST_TTL, 8)?;
        multicast::join(&socket, Ipv4Addr::new(224, 9, 8, 9), multicast::LOOPBACK)?;
        socket::bind(&socket, SocketAddrV4::new(Ipv4Addr::LOCALHOST, PORT))?;
        Ok(socket)
    };
    let model = make(&[])?;
    let seen = observe(&model);
    let dump_of_model = cr::dump(&mut client, &model)?;
    drop(model);
    for (step, without, refused) in PARTS {
        OLD.add()?;
        let dump = cr::dump(&mut client, &make(&[*step])?)?;
        link::remove(OLD.device)?;
        let expected = Expected::errno(&[libc::ENODEV]);
        cr::restore_refused(&mut client, &dump, expected.paths(&[*refused]))?;
        let copy = cr::restore(&mut client, &without(dump));
        let copy = copy.with_context(|| format!("without {refused:?}"))?;
        same("model != copy", &seen, &observe(&copy))?;
        cr::same_dump(&dump_of_model, &cr::dump(&mut client, &copy)?)?;
    }

    // An address goes with the device that it is sent by: both are left out, or none.
    OLD.add()?;
    let dump = cr::dump(&mut client, &make(&[multicast_device])?)?;
    link::remove(OLD.device)?;
    let path = &[attr::IP, MULTICAST_IFNAME][..];
    let dump = dump.without_at(path);
    let expected = Expected::errno(&[libc::EINVAL]).paths(std::slice::from_ref(&path));
    cr::restore_refused(&mut client, &dump, expected.word("without its device"))
}
