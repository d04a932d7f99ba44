// SPDX-License-Identifier: GPL-2.0

//! What waits in a socket, to be received or to be sent, is told of as if it had come and gone by
//! the devices and addresses of the new place.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use inetcr::{Client, RawAttr};
use libc::SOL_UDP;

use super::{NEW, OLD, Place, mapped, maps};
use crate::cases::queue::traffic::until_queued;
use crate::cases::queue::{drain, payload, same_messages, tell};
use crate::cr::{self, Expected, Part, Queued, attr};
use crate::places::PORT;
use crate::runner::Test;
use crate::sys::socket::Message;
use crate::sys::{link, namespace, socket};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("maps::queue::by_veth", || {
            waits(received, |socket, _| drain(socket))
        }),
        Test::new("maps::queue::error", || {
            waits(undelivered, |socket, _| drain(socket))
        }),
        Test::new("maps::queue::parts", parts),
        Test::new("maps::cork::by_veth", || waits(corked, let_go)),
        Test::new("maps::cork::not_mapped", cork_not_mapped),
    ]
}

const SOON: Duration = Duration::from_secs(5);

/// Of level `SOL_IP`.
const IP_CHECKSUM: i32 = 23;

/// A device to another network namespace, with the address of the other end.
struct Road {
    place: Place,
    near: namespace::Network,
    far: namespace::Network,
}

impl Road {
    fn build(place: Place) -> Result<Self> {
        let near = namespace::Network::current()?;
        namespace::new_network()?;
        let far = namespace::Network::current()?;
        near.enter()?;
        link::add_veth(place.device, "far0", &far)?;
        link::address(place.device, place.addr)?;
        far.enter()?;
        link::address("far0", place.other)?;
        near.enter()?;
        Ok(Self { place, near, far })
    }

    /// At the other end.
    fn far<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        self.far.enter()?;
        let result = act();
        self.near.enter()?;
        result
    }

    fn remove(&self) -> Result<()> {
        Ok(link::remove(self.place.device)?)
    }
}

fn at(addr: Ipv4Addr, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(addr, port)
}

/// A socket whose reader is told everything of some datagrams: by the device, one of the machine
/// itself, and one of the broadcast.
fn received(road: &Road) -> Result<UdpSocket> {
    let place = road.place;
    let socket = socket::udp()?;
    tell(&socket, false)?;
    socket::bind(&socket, at(Ipv4Addr::UNSPECIFIED, PORT))?;
    road.far(|| {
        let sender = UdpSocket::bind((place.other, 7003))?;
        for number in 0..3 {
            sender.send_to(&payload(number, 2000), (place.addr, PORT))?;
        }
        Ok(())
    })?;
    until_queued(&socket, 3)?;
    UdpSocket::bind((place.addr, 7004))?.send_to(b"of this machine", (place.addr, PORT))?;
    Ok(socket)
}

/// A connected socket with the error of a datagram that nobody has received.
fn undelivered(road: &Road) -> Result<UdpSocket> {
    let place = road.place;
    let socket = socket::udp()?;
    tell(&socket, false)?;
    // That of a packet is of its addresses, too, and comes as it was.
    socket::set_int(&socket, libc::SOL_IP, IP_CHECKSUM, 0)?;
    socket::set_int(&socket, libc::SOL_IP, libc::IP_RECVERR, 1)?;
    socket::bind(&socket, at(place.addr, PORT))?;
    socket.connect((place.other, 7005))?;
    socket.send(b"is somebody there")?;
    let start = std::time::Instant::now();
    while socket::events(&socket)? & libc::POLLERR == 0 {
        ensure!(start.elapsed() < SOON, "no error comes back");
        std::thread::sleep(Duration::from_millis(5));
    }
    // The pending error is that of the queue, and not of this place.
    socket::get_int(&socket, libc::SOL_SOCKET, libc::SO_ERROR)?;
    Ok(socket)
}

/// The same with the checksums of `IP_CHECKSUM` in 16 bits: that of another packet with the same
/// bytes may be added up otherwise.
fn folded(mut messages: Vec<Message>) -> Vec<Message> {
    const IP_CHECKSUM: i32 = 23;

    for message in &mut messages {
        for (level, kind, bytes) in &mut message.control {
            if (*level, *kind) == (libc::SOL_IP, IP_CHECKSUM)
                && let Some(sum) = bytes.first_chunk().copied().map(u32::from_ne_bytes)
            {
                let sum = (sum & 0xffff) + (sum >> 16);
                let sum = (sum & 0xffff) + (sum >> 16);
                *bytes = sum.to_ne_bytes().to_vec();
            }
        }
    }
    messages
}

/// A corked datagram to the other end.
fn corked(road: &Road) -> Result<UdpSocket> {
    let place = road.place;
    let socket = socket::udp()?;
    socket::bind(&socket, at(place.addr, PORT))?;
    socket::set_int(&socket, SOL_UDP, 1, 1)?;
    for number in 0..2 {
        socket.send_to(&payload(number, 300), (place.other, 7001))?;
    }
    Ok(socket)
}

/// What arrives when the datagram is let go.
fn let_go(socket: &UdpSocket, road: &Road) -> Result<Vec<Message>> {
    let receiver = road.far(|| {
        let receiver = socket::udp()?;
        tell(&receiver, false)?;
        socket::bind(&receiver, at(road.place.other, 7001))?;
        Ok(receiver)
    })?;
    socket::set_int(socket, SOL_UDP, 1, 0)?;
    ensure!(socket::readable(&receiver, SOON)?, "nothing arrives");
    drain(&receiver)
}

/// With these maps in the message of `begin`.
fn with_maps(queued: &Queued, maps: &[RawAttr]) -> Queued {
    Queued {
        dump: mapped(&queued.dump, maps),
        queue: queued.queue.clone(),
    }
}

/// What comes of a socket at the end of another road is what comes of one that was there from the
/// beginning.
fn waits(
    make: fn(&Road) -> Result<UdpSocket>,
    read: fn(&UdpSocket, &Road) -> Result<Vec<Message>>,
) -> Result<()> {
    let mut client = cr::client()?;
    let old = Road::build(OLD)?;
    let original = make(&old).context("the original")?;
    let queued = Queued::of(&mut client, &original)?;
    let of_old = read(&original, &old)?;
    drop(original);
    old.remove()?;

    let new = Road::build(NEW)?;
    let model = make(&new).context("the model")?;
    let expected = read(&model, &new)?;
    drop(model);
    ensure!(
        !expected.is_empty() && of_old != expected,
        "the places make no difference"
    );
    let copy = with_maps(&queued, &maps(OLD, NEW)).restore(&mut client)?;
    same_messages(&folded(expected), &folded(read(&copy, &new)?))?;
    new.remove()
}

/// The maps of the first part hold for all, one by one, and no other part can have any.
fn parts() -> Result<()> {
    let mut client = cr::client()?;
    let old = Road::build(OLD)?;
    let original = received(&old)?;
    let queued = Queued::of(&mut client, &original)?;
    drop(original);
    old.remove()?;
    let new = Road::build(NEW)?;
    let expected = drain(&received(&new)?)?;

    let all = maps(OLD, NEW);
    let first = mapped(&queued.dump, &all);
    let begin = |client: &mut Client| Part::Begin.send(client, &first.0);
    let refusal = Expected::errno(&[libc::EINVAL])
        .attribute(attr::MAP)
        .word("does not belong");
    for part in [Part::Queue, Part::Commit, Part::Abort] {
        begin(&mut client)?;
        cr::refused(part.send(&mut client, &all), refusal)?;
        // And that is the end of it.
        let expected = Expected::errno(&[libc::ENOENT]);
        cr::refused(Part::Abort.send(&mut client, &[]), expected)?;
    }
    begin(&mut client)?;
    for attr in &queued.queue {
        Part::Queue.send(&mut client, std::slice::from_ref(attr))?;
    }
    let copy = UdpSocket::from(Part::commit(&mut client)?.fd);
    same_messages(&expected, &drain(&copy)?)?;
    drop(copy);

    // Those of one transaction are not those of the next one.
    Part::Begin.send(&mut client, &queued.dump.0)?;
    let gone = Expected::errno(&[libc::ENODEV]).paths(&[&[attr::DATAGRAM, 7]]);
    cr::refused(Part::Queue.send(&mut client, &queued.queue), gone)?;
    new.remove()
}

/// Without a map of the device, there is no way for the datagram to go out; without one of the
/// address, there is no socket.
fn cork_not_mapped() -> Result<()> {
    let mut client = cr::client()?;
    let old = Road::build(OLD)?;
    let original = corked(&old)?;
    let queued = Queued::of(&mut client, &original)?;
    drop(original);
    old.remove()?;
    let new = Road::build(NEW)?;
    let [other, device, addr] = maps(OLD, NEW).try_into().expect("three maps");
    let without_device = mapped(&queued.dump, &[other.clone(), addr]);
    Part::Begin.send(&mut client, &without_device.0)?;
    let expected = Expected::errno(&[libc::ENODEV]).paths(&[&[attr::CORK, 15]]);
    cr::refused(Part::Queue.send(&mut client, &queued.queue), expected)?;
    let without_address = mapped(&queued.dump, &[other, device]);
    let expected = Expected::errno(&[libc::EADDRNOTAVAIL]).attribute(attr::LOCAL_ADDR);
    cr::refused(Part::Begin.send(&mut client, &without_address.0), expected)?;
    new.remove()
}
