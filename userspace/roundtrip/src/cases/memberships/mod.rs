// SPDX-License-Identifier: GPL-2.0

//! Membership in multicast groups.

mod refusals;
mod table;
mod usage;

use std::net::{Ipv4Addr, UdpSocket};

use anyhow::{Context, Result, ensure};
use libc::SOL_SOCKET;

use crate::cr::{self, Dump, attr};
use crate::groups::{By, Member, ON_LOOPBACK, SOURCES, member};
use crate::places::PLACES;
use crate::runner::Test;
use crate::sys::{link, multicast, socket};
pub use table::CASES;

/// Address of the dummy device.
const HERE: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);
/// Behind it, according to the route.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 2);
/// An address of nobody.
const NOBODY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

const fn group(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(224, 1, 1, last)
}

pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for (name, members) in CASES {
        tests.push(Test::new(format!("memberships::{name}"), || one(members)));
    }
    tests.push(Test::new("memberships::left_again", left_again));
    tests.push(Test::new("memberships::unblocked", unblocked));
    tests.push(Test::new("memberships::hears_nobody", hears_nobody));
    tests.push(Test::new("memberships::everywhere", everywhere).slow());
    tests.push(Test::new("memberships::bound_to_device", bound_to_device));
    tests.push(Test::new("memberships::twice", twice));
    tests.extend(usage::tests());
    tests.extend(refusals::tests());
    tests
}

/// A device besides the loopback, by which groups are reached.
pub fn dummy() -> Result<()> {
    link::add_dummy("dummy0")?;
    link::address("dummy0", HERE)?;
    link::default_route(GATEWAY)?;
    Ok(())
}

/// A socket that is a member.
pub fn socket_in(members: &[Member]) -> Result<UdpSocket> {
    let socket = socket::udp()?;
    for member in members {
        let group = member.group;
        member
            .join(&socket)
            .with_context(|| format!("joining {group}"))?;
    }
    Ok(socket)
}

/// Fails unless a dump has these memberships, in this order.
fn check_dump(dump: &Dump, members: &[Member]) -> Result<()> {
    let expected: Vec<_> = members.iter().map(Member::attribute).collect();
    let found = dump.all(attr::MEMBERSHIP);
    ensure!(
        found == expected,
        "dumped as {found:02x?}, expected {expected:02x?}"
    );
    Ok(())
}

/// Fails unless the calls that joined the groups see them with their filters.
pub fn check_filters(socket: &UdpSocket, members: &[Member]) -> Result<()> {
    for member in members {
        let (group, expected) = (member.group, member.filter());
        for device in [member.named()?, multicast::Device::of(member.device)?] {
            let found = multicast::filter(socket, group, device)
                .with_context(|| format!("no member of {group}"))?;
            ensure!(found == expected, "{group}: {found:?}, not {expected:?}");
        }
    }
    Ok(())
}

fn one(members: &[Member]) -> Result<()> {
    dummy()?;
    let mut client = cr::client()?;
    let original = socket_in(members)?;
    check_filters(&original, members).context("the original")?;
    let gone = cr::checkpoint(&mut client, original)?;
    check_dump(&gone.dump, members)?;
    let copy = cr::resurrect(&mut client, &gone)?;
    check_filters(&copy, members).context("the copy")
}

/// What was left is not joined again, and the others stay in their order.
fn left_again() -> Result<()> {
    let mut client = cr::client()?;
    let members = [4, 2, 3, 1].map(|last| member(group(last)));
    let original = socket_in(&members)?;
    multicast::leave(&original, group(2), multicast::LOOPBACK)?;
    let left = [members[0], members[2], members[3]];
    let gone = cr::checkpoint(&mut client, original)?;
    check_dump(&gone.dump, &left)?;
    let copy = cr::resurrect(&mut client, &gone)?;
    for member in left {
        multicast::leave(&copy, member.group, multicast::LOOPBACK)?;
    }
    let copy = cr::checkpoint(&mut client, copy)?;
    check_dump(&copy.dump, &[])
}

/// A filter that was there once and is empty now.
fn unblocked() -> Result<()> {
    let mut client = cr::client()?;
    let member = member(group(1));
    let original = socket_in(&[member.without(SOURCES)])?;
    for source in SOURCES {
        let option = libc::IP_UNBLOCK_SOURCE;
        let lo = Ipv4Addr::LOCALHOST;
        multicast::of_source(&original, option, member.group, lo, *source)?;
    }
    let gone = cr::checkpoint(&mut client, original)?;
    check_dump(&gone.dump, &[member])?;
    let copy = cr::resurrect(&mut client, &gone)?;
    check_filters(&copy, &[member])
}

/// A member that hears no source: a failing call leaves one behind, and no option makes one.
fn hears_nobody() -> Result<()> {
    let mut client = cr::client()?;
    let nobody = member(group(1)).only(&[]);
    let original = socket_in(&[nobody])?;
    check_filters(&original, &[nobody])?;
    let copy = cr::round_trip(&mut client, original)?;
    check_filters(&copy, &[nobody])
}

/// A member at each place: bound, connected, shut down.
fn everywhere() -> Result<()> {
    let mut client = cr::client()?;
    let members = [member(group(2)).without(SOURCES), member(group(1))];
    for place in PLACES {
        let mut work = || -> Result<()> {
            let original = socket_in(&members[..1])?;
            (place.go)(&original)?;
            members[1].join(&original)?;
            let copy = cr::round_trip(&mut client, original)?;
            check_filters(&copy, &members)
        };
        work().context(place.name)?;
    }
    Ok(())
}

/// Bound to a device, also to another one than that of the group.
fn bound_to_device() -> Result<()> {
    dummy()?;
    let mut client = cr::client()?;
    let members = [
        member(group(1)),
        member(group(1)).on("dummy0", By::Address(HERE)),
    ];
    for device in ["lo", "dummy0"] {
        let original = socket_in(&members)?;
        socket::set(
            &original,
            SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            device.as_bytes(),
        )?;
        let copy = cr::round_trip(&mut client, original)?;
        check_filters(&copy, &members).context(device)?;
    }
    Ok(())
}

/// A copy of a copy.
fn twice() -> Result<()> {
    let mut client = cr::client()?;
    let mut current = socket_in(ON_LOOPBACK)?;
    for _ in 0..3 {
        current = cr::round_trip(&mut client, current)?;
        check_filters(&current, ON_LOOPBACK)?;
    }
    Ok(())
}
