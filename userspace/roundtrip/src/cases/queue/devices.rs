// SPDX-License-Identifier: GPL-2.0

//! Datagrams that came by a device, from another network namespace: the device that a reader is
//! told of is known by its name.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use anyhow::{Context, Result, bail, ensure};
use libc::{SOL_IP, SOL_UDP};

use super::traffic::{payload, receiver, until_queued};
use super::{comes_back, drain};
use crate::cr::{self, Expected, Part, Queued, attr};
use crate::places::PORT;
use crate::runner::Test;
use crate::sys::{link, namespace, socket};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("queue::devices::by_veth", by_veth),
        Test::new("queue::devices::merged", merged),
        Test::new("queue::devices::gone", device_gone),
        Test::new("queue::devices::renumbered", renumbered),
    ]
}

const NEAR: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 2);

/// A socket with what was sent from another network namespace by a device of this one, and that
/// namespace, with which the device goes.
fn received_by_veth() -> Result<(UdpSocket, namespace::Network)> {
    let receiver = receiver()?;
    let there = send_by_veth(&receiver, 3, |sender| {
        for number in 0..3 {
            sender.send_to(&payload(number, 2000), (NEAR, PORT))?;
        }
        Ok(())
    })?;
    Ok((receiver, there))
}

/// Has something sent from another network namespace, and waits until the receiver
/// has so many datagrams of it.
fn send_by_veth(
    receiver: &UdpSocket,
    count: u32,
    send: impl Fn(&UdpSocket) -> Result<()>,
) -> Result<namespace::Network> {
    let here = namespace::Network::current()?;
    namespace::new_network()?;
    let there = namespace::Network::current()?;
    here.enter()?;
    link::add_veth("veth0", "veth1", &there)?;
    link::address("veth0", NEAR)?;
    there.enter()?;
    link::address("veth1", FAR)?;
    let sender = UdpSocket::bind((FAR, 7003))?;
    send(&sender)?;
    drop(sender);
    here.enter()?;
    until_queued(receiver, count)?;
    Ok(there)
}

fn by_veth() -> Result<()> {
    let (original, _there) = received_by_veth()?;
    let (copy, messages) = comes_back(original)?;
    let from = SocketAddrV4::new(FAR, 7003);
    ensure!(
        messages.len() == 3 && messages.iter().all(|one| one.from == Some(from)),
        "{messages:02x?}"
    );
    drop(copy);
    link::remove("veth0")?;
    Ok(())
}

/// Datagrams that the device had received one by one and merged to one: in the copy it is one, too.
fn merged() -> Result<()> {
    let original = receiver()?;
    socket::set_int(&original, SOL_UDP, libc::UDP_GRO, 1)?;
    let here = namespace::Network::current()?;
    let _there = send_by_veth(&original, 1, |sender| {
        let there = namespace::Network::current()?;
        here.enter()?;
        link::set_offload("veth0", link::Offload::Gro, true)?;
        there.enter()?;
        // One that cuts what TCP sends would hand it over as it is.
        link::set_offload("veth1", link::Offload::Tso, false)?;
        link::cut_for("veth1")?;
        socket::set_int(sender, SOL_UDP, libc::UDP_SEGMENT, 1000)?;
        sender.send_to(&payload(1, 9500), (NEAR, PORT))?;
        Ok(())
    })?;
    let (copy, messages) = comes_back(original)?;
    let [message] = &messages[..] else {
        bail!("{} messages, not one: nothing was merged", messages.len());
    };
    let told = (SOL_UDP, libc::UDP_GRO, 1000_i32.to_ne_bytes().to_vec());
    ensure!(message.payload == payload(1, 9500), "another payload");
    ensure!(message.control.contains(&told), "{:02x?}", message.control);
    drop(copy);
    link::remove("veth0")?;
    Ok(())
}

/// What came by a device that is gone is told of it by its number alone.
fn device_gone() -> Result<()> {
    let (original, _there) = received_by_veth()?;
    let mut client = cr::client()?;
    let named = Queued::of(&mut client, &original)?;
    link::remove("veth0")?;
    let (copy, _) = comes_back(original)?;
    drop(copy);
    // Dumped when it was there, it has to be there.
    Part::Begin.send(&mut client, &named.dump.0)?;
    let expected = Expected::errno(&[libc::ENODEV]).paths(&[&[attr::DATAGRAM, 7]]);
    let result = Part::Queue.send(&mut client, &named.queue);
    cr::refused(result, expected)?;
    Ok(())
}

/// A device with that name and another number takes its place.
fn renumbered() -> Result<()> {
    let (original, _there) = received_by_veth()?;
    let mut client = cr::client()?;
    let queued = Queued::of(&mut client, &original)?;
    let before = link::index("veth0")?;
    let expected = drain(&original)?;
    drop(original);
    link::remove("veth0")?;
    link::add_dummy("veth0")?;
    let after = link::index("veth0")?;
    ensure!(before != after, "the number is used again");
    let copy = queued.restore(&mut client)?;
    let found = drain(&copy)?;
    drop(copy);
    link::remove("veth0")?;
    ensure!(found.len() == expected.len(), "{} messages", found.len());
    for message in found {
        let mut control = message.control.iter();
        let info = control.find(|one| (one.0, one.1) == (SOL_IP, libc::IP_PKTINFO));
        let index = info.context("no IP_PKTINFO")?.2[..4].to_vec();
        ensure!(index == after.to_ne_bytes(), "told of device {index:?}");
    }
    Ok(())
}
