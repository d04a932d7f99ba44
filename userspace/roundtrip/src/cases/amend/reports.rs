// SPDX-License-Identifier: GPL-2.0

//! What cannot be applied is reported, and keeps nothing else from being applied.

use std::net::UdpSocket;

use anyhow::{Context, Result, ensure};
use inetcr::{Amended, Client, RawAttr};

use super::{HERE, amend, bound};
use crate::cr::{self, Dump, attr};
use crate::groups::{By, SOURCES, member};
use crate::observe::observe;
use crate::places::{GROUP, PEER};
use crate::runner::Test;
use crate::sys::filter::{self, Instruction};
use crate::sys::{link, multicast, socket};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("amend::reports::locked_filter", locked_filter),
        Test::new("amend::reports::bad_filter_is_not_locked", bad_filter),
        Test::new("amend::reports::program_without_group", no_group),
        Test::new("amend::reports::shutdown", shutdown),
        Test::new("amend::reports::bind_locks", bind_locks),
        Test::new("amend::reports::identity", identity),
        Test::new("amend::reports::contents", contents),
        Test::new("amend::reports::memberships", memberships),
        Test::new("amend::reports::filter_of_a_new_member", filter_of_new),
        Test::new("amend::reports::bits", bits),
        Test::new("amend::reports::again", again),
    ]
}

/// Changes that are always possible, first and last in the order of a restore.
fn with_changes(dump: Dump) -> Dump {
    let ttl = RawAttr::new(4, 9_i32.to_ne_bytes());
    dump.with(RawAttr::u32(6, 1))
        .with_at(&[attr::IP], ttl)
        .with(RawAttr::u32(14, 7))
}

/// Fails unless the changes were made.
fn is_changed(fd: &UdpSocket) -> Result<()> {
    for (level, option, value) in [
        (libc::SOL_SOCKET, libc::SO_BROADCAST, 1),
        (libc::SOL_IP, libc::IP_TTL, 9),
        (libc::SOL_SOCKET, libc::SO_RCVLOWAT, 7),
    ] {
        let found = socket::get_int(fd, level, option)?;
        ensure!(found == value, "option {option} is {found}");
    }
    Ok(())
}

/// Amends, and sees that just this is reported, in this order, and that all else was applied.
fn reported(
    client: &mut Client,
    dump: Dump,
    fd: &UdpSocket,
    expected: &[(&str, i32)],
) -> Result<Amended> {
    let amended = amend(client, &with_changes(dump), fd)?;
    let found: Vec<_> = amended
        .failed
        .iter()
        .map(|failed| (failed.place(), failed.error.errno))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(place, errno)| ((*place).to_owned(), *errno))
        .collect();
    ensure!(found == expected, "{:?}", amended.failed);
    for failed in &amended.failed {
        ensure!(failed.error.message.is_some(), "no words: {failed}");
    }
    is_changed(fd)?;
    Ok(amended)
}

fn empty() -> Dump {
    Dump(Vec::new())
}

fn program(taken: u32) -> RawAttr {
    RawAttr::new(attr::FILTER, Instruction::taking(taken).bytes())
}

fn lock(on: u32) -> Vec<RawAttr> {
    vec![RawAttr::u32(35, on << 6), RawAttr::u32(36, 1 << 6)]
}

/// A filter that is locked stays, and the lock.
fn locked_filter() -> Result<()> {
    let mut client = cr::client()?;
    let target = bound()?;
    filter::attach(&target, libc::SO_ATTACH_FILTER, &[Instruction::taking(3)])?;
    socket::set_int(&target, libc::SOL_SOCKET, libc::SO_LOCK_FILTER, 1)?;
    let other = Dump([vec![program(4)], lock(1)].concat());
    let denied = [("sockopt-filter", libc::EPERM)];
    reported(&mut client, other, &target, &denied)?;
    let dump = cr::dump(&mut client, &target)?;
    ensure!(
        dump.get(attr::FILTER) == Some(&program(3).payload[..]),
        "replaced"
    );

    let open = Dump([vec![program(3)], lock(0)].concat());
    let denied = [("sockopt-flags.lock-filter", libc::EPERM)];
    reported(&mut client, open, &target, &denied)?;
    reported(
        &mut client,
        Dump([vec![program(3)], lock(1)].concat()),
        &target,
        &[],
    )?;
    Ok(())
}

/// A filter that cannot be attached is not locked out for good.
fn bad_filter() -> Result<()> {
    let mut client = cr::client()?;
    let target = bound()?;
    // No instruction that returns.
    let bad = RawAttr::new(attr::FILTER, Instruction::NOTHING.bytes());
    let dump = Dump([vec![bad], lock(1)].concat());
    let expected = [
        ("sockopt-filter", libc::EINVAL),
        ("sockopt-flags.lock-filter", libc::ECANCELED),
    ];
    reported(&mut client, dump, &target, &expected)?;
    let locked = socket::get_int(&target, libc::SOL_SOCKET, libc::SO_LOCK_FILTER)?;
    ensure!(locked == 0, "it is locked");
    reported(
        &mut client,
        Dump([vec![program(3)], lock(1)].concat()),
        &target,
        &[],
    )?;
    let locked = socket::get_int(&target, libc::SOL_SOCKET, libc::SO_LOCK_FILTER)?;
    ensure!(locked == 1, "it is not locked");
    Ok(())
}

/// A socket that was bound without `SO_REUSEPORT` is in no group.
fn no_group() -> Result<()> {
    let program = RawAttr::new(attr::REUSEPORT_FILTER, Instruction::taking(0).bytes());
    let expected = [("reuseport-filter", libc::EINVAL)];
    reported(
        &mut cr::client()?,
        empty().with(program),
        &bound()?,
        &expected,
    )?;
    Ok(())
}

/// What is shut down stays so.
fn shutdown() -> Result<()> {
    let mut client = cr::client()?;
    let target = bound()?;
    socket::connect(&target, PEER)?;
    socket::shutdown(&target, libc::SHUT_RD)?;
    let shut = |how| empty().with(RawAttr::u32(attr::SHUTDOWN, how));
    for open in [0, 2] {
        let expected = [("shutdown", libc::EOPNOTSUPP)];
        reported(&mut client, shut(open), &target, &expected)?;
        let found = cr::dump(&mut client, &target)?.u32(attr::SHUTDOWN);
        ensure!(found == Some(1), "shut down are {found:?}");
    }
    reported(&mut client, shut(3), &target, &[])?;
    ensure!(target.send(b"x").is_err(), "it sends");
    Ok(())
}

/// What says which socket it is is not of the state.
fn identity() -> Result<()> {
    let mut client = cr::client()?;
    let identity = empty()
        .with(RawAttr::uint(attr::CGROUP, u64::MAX))
        .with(RawAttr::u32(attr::REUSEPORT_INDEX, u32::MAX));
    let target = bound()?;
    let before = cr::dump(&mut client, &target)?;
    reported(&mut client, identity, &target, &[])?;
    let after = cr::dump(&mut client, &target)?;
    for number in [attr::CGROUP, attr::REUSEPORT_INDEX] {
        ensure!(after.get(number) == before.get(number), "{after:?}");
    }
    Ok(())
}

/// Locks of what is not there.
fn bind_locks() -> Result<()> {
    let mut client = cr::client()?;
    let locks = |locks| empty().with(RawAttr::u32(attr::BIND_LOCKS, locks));
    let wrong = [("bind-locks", libc::EINVAL)];
    reported(&mut client, locks(2), &socket::udp()?, &wrong)?;
    // Not connected, its address must have been chosen.
    let target = bound()?;
    reported(&mut client, locks(2), &target, &wrong)?;
    socket::connect(&target, PEER)?;
    reported(&mut client, locks(2), &target, &[])?;
    socket::disconnect(&target)?;
    let name = socket::name(&target)?;
    ensure!(
        name.ip().is_unspecified() && name.port() == HERE.port(),
        "it is at {name}"
    );
    Ok(())
}

/// Datagrams are not put into a socket without a transaction.
fn contents() -> Result<()> {
    let mut client = cr::client()?;
    let donor = bound()?;
    UdpSocket::bind(PEER)?.send_to(b"x", HERE)?;
    ensure!(
        socket::readable(&donor, std::time::Duration::from_secs(5))?,
        "nothing came"
    );
    socket::set_int(&donor, libc::SOL_UDP, 1, 1)?;
    donor.send_to(b"corked", PEER)?;
    let dump = cr::dump(&mut client, &donor)?;
    drop(donor);
    let target = bound()?;
    let dump = dump.with(RawAttr::u32(attr::ERROR_QUEUE_LEN, 1));
    let expected = [
        ("queue-len", libc::EOPNOTSUPP),
        ("error-queue-len", libc::EOPNOTSUPP),
        ("cork-len", libc::EOPNOTSUPP),
    ];
    reported(&mut client, dump, &target, &expected)?;
    let none = empty()
        .with(RawAttr::u32(attr::QUEUE_LEN, 0))
        .with(RawAttr::u32(attr::ERROR_QUEUE_LEN, 0));
    reported(&mut client, none, &target, &[])?;
    Ok(())
}

/// Which one of several has failed is told.
fn memberships() -> Result<()> {
    let mut client = cr::client()?;
    link::add_dummy("dummy0")?;
    let group = |last| std::net::Ipv4Addr::new(224, 1, 1, last);
    let mut all: Vec<_> = (1..=22).map(|last| member(group(last))).collect();
    all[3] = member(group(4)).by(By::Index);
    let target = bound()?;
    // By the address of the device.
    member(group(4)).join(&target)?;
    let attrs: Vec<_> = all.iter().map(crate::groups::Member::attribute).collect();
    let limit = "/proc/sys/net/ipv4/igmp_max_memberships";
    std::fs::write(limit, "20")?;
    let expected = [
        ("membership[3]", libc::EADDRINUSE),
        ("membership[20]", libc::ENOBUFS),
        ("membership[21]", libc::ENOBUFS),
    ];
    reported(&mut client, Dump(attrs), &target, &expected)?;
    for joined in &all[..20] {
        multicast::filter(&target, joined.group, multicast::LOOPBACK)
            .with_context(|| format!("no member of {}", joined.group))?;
    }
    Ok(())
}

/// A filter that is too long: the group is not joined, in which all sources would be heard. Who was
/// a member before stays one, with the filter of before.
fn filter_of_new() -> Result<()> {
    let mut client = cr::client()?;
    let expected = [("membership[0]", libc::ENOBUFS)];
    let only = || Dump(vec![member(GROUP).only(SOURCES).attribute()]);
    let members = |target: &UdpSocket| -> Result<_> {
        Ok(cr::dump(&mut cr::client()?, target)?.all(attr::MEMBERSHIP))
    };
    std::fs::write("/proc/sys/net/ipv4/igmp_max_msf", "1")?;
    let target = bound()?;
    reported(&mut client, only(), &target, &expected)?;
    ensure!(members(&target)?.is_empty(), "the group was joined");

    let target = bound_elsewhere()?;
    member(GROUP).only(&SOURCES[..1]).join(&target)?;
    let before = members(&target)?;
    reported(&mut client, only(), &target, &expected)?;
    ensure!(members(&target)? == before, "another filter");
    Ok(())
}

fn bound_elsewhere() -> Result<UdpSocket> {
    Ok(UdpSocket::bind(("127.0.0.1", 0))?)
}

/// Options that share an attribute are told apart.
fn bits() -> Result<()> {
    let mut client = cr::client()?;
    let target = bound()?;
    // Of an IPv4 socket, no packet has a label without a security module, but that is no reason.
    let flags = |bits| {
        empty()
            .with_at(&[attr::IP], RawAttr::u32(1, bits))
            .with_at(&[attr::IP], RawAttr::u32(2, bits))
    };
    reported(&mut client, flags(0x3 | 1 << 5), &target, &[])?;
    for (option, value) in [(libc::IP_RECVTOS, 1), (6, 1), (libc::IP_PKTINFO, 0)] {
        let found = socket::get_int(&target, libc::SOL_IP, option)?;
        ensure!(found == value, "option {option} is {found}");
    }
    Ok(())
}

/// What has failed is tried again by the same request, and what has not is left alone.
fn again() -> Result<()> {
    let mut client = cr::client()?;
    let target = bound()?;
    let other = socket::udp()?;
    socket::set_int(&other, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    let program = RawAttr::new(attr::REUSEPORT_FILTER, Instruction::taking(0).bytes());
    let expected = [("reuseport-filter", libc::EINVAL)];
    for _ in 0..3 {
        reported(
            &mut client,
            empty().with(program.clone()),
            &target,
            &expected,
        )?;
    }
    let seen = observe(&target);
    reported(&mut client, empty(), &target, &[])?;
    crate::observe::same("again", &seen, &observe(&target))
}
