// SPDX-License-Identifier: GPL-2.0

//! What a copy hears of the groups that it is a member of, and how it leaves them.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libc::{SOL_IP, SOL_SOCKET};

use super::{HERE, NOBODY, dummy, group, socket_in};
use crate::cases::flood;
use crate::cr;
use crate::groups::{By, Member, member};
use crate::places::PORT;
use crate::runner::Test;
use crate::sys::{link, multicast, socket};

const SOON: Duration = Duration::from_secs(2);
const NEVER: Duration = Duration::from_millis(50);

/// Where senders of these tests are: addresses of the loopback device.
const FRIEND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const FOE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("memberships::usage::hears", hears),
        Test::new("memberships::usage::blocked", blocked),
        Test::new("memberships::usage::chosen", chosen),
        Test::new("memberships::usage::blocked_all_the_while", || {
            blocked_all_the_while(&[member(group(1)).without(&[FOE])])
        })
        .slow()
        .alone(),
        Test::new("memberships::usage::not_a_member", || {
            blocked_all_the_while(&[member(group(2))])
        })
        .slow()
        .alone(),
        Test::new("memberships::usage::filter_changes", filter_changes),
        Test::new("memberships::usage::leave", leave),
        Test::new("memberships::usage::leave_by_address", leave_by_address),
        Test::new("memberships::usage::leave_by_route", leave_by_route),
        Test::new("memberships::usage::device_list", device_list),
        Test::new("memberships::usage::only_its_device", only_its_device),
    ]
}

/// A socket that hears what is sent to its groups.
fn listener(members: &[Member]) -> Result<UdpSocket> {
    let socket = socket_in(members)?;
    socket::set_int(&socket, SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    // Not what others are members of.
    socket::set_int(&socket, SOL_IP, libc::IP_MULTICAST_ALL, 0)?;
    socket::bind(&socket, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT))?;
    Ok(socket)
}

fn copy_of(members: &[Member]) -> Result<UdpSocket> {
    cr::round_trip(&mut cr::client()?, listener(members)?)
}

/// What sends to groups from an address of the device whose address is given.
fn sender(from: Ipv4Addr, device: Ipv4Addr) -> Result<UdpSocket> {
    let sender = UdpSocket::bind((from, 0))?;
    socket::set(&sender, SOL_IP, libc::IP_MULTICAST_IF, &device.octets())?;
    Ok(sender)
}

/// Sends to a group.
fn send(from: Ipv4Addr, device: Ipv4Addr, group: Ipv4Addr) -> Result<()> {
    sender(from, device)?.send_to(b"x", (group, PORT))?;
    Ok(())
}

/// Fails unless a socket hears a sender, or does not. Others hear all the while.
fn check(socket: &UdpSocket, from: Ipv4Addr, to: Ipv4Addr, expected: bool) -> Result<()> {
    let witness = listener(&[member(to)])?;
    send(from, Ipv4Addr::LOCALHOST, to)?;
    ensure!(
        socket::readable(&witness, SOON)?,
        "nobody hears {from} in {to}"
    );
    let heard = socket::readable(socket, if expected { SOON } else { NEVER })?;
    ensure!(heard == expected, "{from} in {to}: heard {heard}");
    if heard {
        socket::receive(socket, libc::MSG_DONTWAIT)?;
    }
    Ok(())
}

fn hears() -> Result<()> {
    let copy = copy_of(&[member(group(1)), member(group(2)).by(By::Index)])?;
    check(&copy, FRIEND, group(1), true)?;
    check(&copy, FRIEND, group(2), true)?;
    check(&copy, FRIEND, group(3), false)
}

fn blocked() -> Result<()> {
    let copy = copy_of(&[member(group(1)).without(&[FOE]), member(group(2))])?;
    check(&copy, FOE, group(1), false)?;
    check(&copy, FRIEND, group(1), true)?;
    check(&copy, FOE, group(2), true)
}

fn chosen() -> Result<()> {
    let copy = copy_of(&[member(group(1)).by(By::New).only(&[NOBODY, FRIEND])])?;
    check(&copy, FRIEND, group(1), true)?;
    check(&copy, FOE, group(1), false)
}

/// What the original did not hear, a copy does not hear while it comes back either.
fn blocked_all_the_while(members: &[Member]) -> Result<()> {
    let mut client = cr::client()?;
    // Keeps the device in the group.
    let witness = listener(&[member(group(1))])?;
    let mut current = listener(members)?;
    let _flood = flood((group(1), PORT), b"let me in", || {
        sender(FOE, Ipv4Addr::LOCALHOST)
    })?;
    for _ in 0..20 {
        current = cr::round_trip(&mut client, current)?;
        ensure!(
            !socket::readable(&current, Duration::ZERO)?,
            "what was blocked is in the queue"
        );
    }
    ensure!(socket::readable(&witness, SOON)?, "nothing was sent");
    Ok(())
}

/// The filter of a copy can be changed as that of the original.
fn filter_changes() -> Result<()> {
    let lo = Ipv4Addr::LOCALHOST;
    let copy = copy_of(&[
        member(group(1)).without(&[FOE]),
        member(group(2)).only(&[FRIEND, FOE]),
    ])?;
    multicast::of_source(&copy, libc::IP_UNBLOCK_SOURCE, group(1), lo, FOE)?;
    check(&copy, FOE, group(1), true)?;
    multicast::add_source(&copy, group(1), multicast::LOOPBACK, true, FRIEND)?;
    check(&copy, FRIEND, group(1), false)?;
    let option = libc::IP_DROP_SOURCE_MEMBERSHIP;
    multicast::of_source(&copy, option, group(2), lo, FOE)?;
    check(&copy, FOE, group(2), false)?;
    check(&copy, FRIEND, group(2), true)?;
    // Without the last one, it is no member any more.
    multicast::of_source(&copy, option, group(2), lo, FRIEND)?;
    check(&copy, FRIEND, group(2), false)?;
    let left = multicast::leave(&copy, group(2), multicast::LOOPBACK);
    ensure!(left.is_err(), "still a member");
    Ok(())
}

fn leave() -> Result<()> {
    let copy = copy_of(&[member(group(1)), member(group(2)).by(By::Index)])?;
    check(&copy, FRIEND, group(1), true)?;
    multicast::leave(&copy, group(1), multicast::LOOPBACK)?;
    check(&copy, FRIEND, group(1), false)?;
    check(&copy, FRIEND, group(2), true)?;
    let again = multicast::leave(&copy, group(1), multicast::LOOPBACK);
    ensure!(again.is_err(), "left a group two times");
    multicast::leave(&copy, group(2), multicast::Device::of("lo")?)?;
    check(&copy, FRIEND, group(2), false)
}

/// The address that named the device names the membership, also when the device has it no more,
/// or never had it.
fn leave_by_address() -> Result<()> {
    dummy()?;
    let members = [
        member(group(1)).by(By::IndexAnd(NOBODY)),
        member(group(1)).on("dummy0", By::Address(HERE)),
        member(group(2)).by(By::Index),
    ];
    let copy = cr::round_trip(&mut cr::client()?, socket_in(&members)?)?;
    link::address("dummy0", Ipv4Addr::new(10, 9, 0, 1))?;
    for (address, group) in [(NOBODY, group(1)), (HERE, group(1))] {
        let device = multicast::Device::Address(address);
        multicast::leave(&copy, group, device).with_context(|| format!("by {address}"))?;
    }
    let by_nobody = multicast::Device::Address(NOBODY);
    let wrong = multicast::leave(&copy, group(2), by_nobody);
    ensure!(wrong.is_err(), "left by an address that was not given");
    Ok(())
}

/// Who joined without a device leaves without one.
fn leave_by_route() -> Result<()> {
    dummy()?;
    let member = member(group(1)).on("dummy0", By::Route);
    let copy = cr::round_trip(&mut cr::client()?, socket_in(&[member])?)?;
    Ok(multicast::leave(&copy, member.group, member.named()?)?)
}

/// The device is a member as long as the copy is.
fn device_list() -> Result<()> {
    let is_joined = |group| {
        let joined = multicast::joined();
        joined.iter().any(|one| one.0 == "lo" && one.2 == group)
    };
    let members = [member(group(1)), member(group(2)).only(&[FRIEND])];
    let mut client = cr::client()?;
    let gone = cr::checkpoint(&mut client, socket_in(&members)?)?;
    for member in members {
        ensure!(!is_joined(member.group), "joined without a socket");
    }
    let copy = cr::resurrect(&mut client, &gone)?;
    for member in members {
        ensure!(is_joined(member.group), "not joined");
    }
    drop(copy);
    for member in members {
        ensure!(!is_joined(member.group), "joined when the copy is gone");
    }
    Ok(())
}

/// A member on one device does not hear the group on another.
fn only_its_device() -> Result<()> {
    dummy()?;
    let copy = copy_of(&[member(group(1)).on("dummy0", By::Index)])?;
    check(&copy, FRIEND, group(1), false)?;
    send(HERE, HERE, group(1))?;
    ensure!(socket::readable(&copy, SOON)?, "not heard on its device");
    drop(copy);
    let copy = copy_of(&[member(group(1))])?;
    let witness = listener(&[member(group(1)).on("dummy0", By::Index)])?;
    send(HERE, HERE, group(1))?;
    ensure!(socket::readable(&witness, SOON)?, "nobody hears");
    ensure!(!socket::readable(&copy, NEVER)?, "heard on another device");
    check(&copy, FRIEND, group(1), true)
}
