// SPDX-License-Identifier: GPL-2.0

//! Messages of which each attribute is right, and the whole is not.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use anyhow::{Context, Result, ensure};
use inetcr::RawAttr;

use super::messages::good;
use crate::cr::{self, Dump, Expected, attr};
use crate::places::PORT;
use crate::runner::Test;
use crate::sys::filter::Instruction;
use crate::sys::{link, socket};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("refusals::message::linger", linger),
        Test::new("refusals::message::options_of_ip", options_of_ip),
        Test::new("refusals::message::device_of_ip", device_of_ip),
        Test::new("refusals::message::device_goes_on", device_goes_on),
        Test::new("refusals::message::timestamping", timestamping),
        Test::new("refusals::message::txtime", txtime),
        Test::new("refusals::message::filter", bad_filter),
        Test::new("refusals::message::addresses", addresses),
        Test::new(
            "refusals::message::identity_is_ignored",
            identity_is_ignored,
        ),
        Test::new("refusals::message::device_is_gone", device_is_gone),
        Test::new("refusals::message::ifindex_exists", ifindex_exists),
        Test::new(
            "refusals::message::connected_by_a_device_that_is_gone",
            connected_by_a_device_that_is_gone,
        ),
    ]
}

/// The nest has rules of its own.
fn linger() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    let onoff = |value| RawAttr::u32(1, value);
    let bad: &[&[RawAttr]] = &[
        &[onoff(2)],
        &[onoff(1), onoff(1)],
        &[RawAttr::new(1, [1, 0, 0])],
        &[onoff(1), RawAttr::sint(2, -2)],
        &[onoff(1), RawAttr::sint(2, i64::MIN)],
        // setsockopt takes whole seconds.
        &[onoff(1), RawAttr::sint(2, 1)],
        &[onoff(1), RawAttr::sint(2, 0), RawAttr::u32(3, 0)],
        &[RawAttr::u32(0, 0)],
    ];
    for nest in bad {
        let bad = dump.clone().with(RawAttr::nested(attr::LINGER, nest));
        let expected = Expected::errno(&[libc::EINVAL, libc::ERANGE]).attribute(attr::LINGER);
        cr::restore_refused(&mut client, &bad, expected).with_context(|| format!("{nest:?}"))?;
    }
    Ok(())
}

/// What is no IP option, or one that ends too late.
fn options_of_ip() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    for options in [&[131, 7, 4, 127][..], &[7, 3, 3, 0], &[7, 200, 4, 0], &[68]] {
        let bad = dump.clone().with_at(&[attr::IP], RawAttr::new(6, options));
        let expected = Expected::errno(&[libc::EINVAL]).paths(&[&[attr::IP, 6]]);
        cr::restore_refused(&mut client, &bad, expected).with_context(|| format!("{options:?}"))?;
    }
    Ok(())
}

/// What is no filter: nothing, no whole instruction, one that does not end, one
/// that there is not, a jump that leads out of it, and one that is too long.
fn bad_filter() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    let end = Instruction::taking(1).bytes();
    let jump = Instruction { code: 0x05, k: 7 };
    let unknown = Instruction { code: 0xff, k: 0 };
    let bad = [
        Vec::new(),
        end[..7].to_vec(),
        Instruction::NOTHING.bytes().to_vec(),
        [unknown.bytes(), end].concat(),
        [jump.bytes(), end].concat(),
        [Instruction::NOTHING.bytes()].repeat(4096).concat(),
        [end].repeat(4097).concat(),
    ];
    for filter in bad {
        let len = filter.len();
        let bad = dump.clone().with(RawAttr::new(attr::FILTER, filter));
        let expected = Expected::errno(&[libc::EINVAL, libc::ERANGE]).attribute(attr::FILTER);
        cr::restore_refused(&mut client, &bad, expected).with_context(|| format!("{len} bytes"))?;
    }
    Ok(())
}

/// Devices that there are not, by name.
fn device_of_ip() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    for number in [9, 11] {
        let bad = dump
            .clone()
            .with_at(&[attr::IP], RawAttr::string(number, c"nothing0"));
        let paths = [&[attr::IP, number][..]];
        let expected = Expected::errno(&[libc::ENODEV]).paths(&paths);
        cr::restore_refused(&mut client, &bad, expected)?;
    }
    Ok(())
}

/// Names with something behind their end, which the policies let pass.
fn device_goes_on() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    let name = |number| RawAttr::new(number, *b"lo\0x\0");
    let expected = Expected::errno(&[libc::EINVAL]).attribute(attr::BINDTODEVICE);
    let bad = dump.clone().with(name(attr::BINDTODEVICE));
    cr::restore_refused(&mut client, &bad, expected)?;
    for number in [9, 11] {
        let bad = dump.clone().with_at(&[attr::IP], name(number));
        let paths = [&[attr::IP, number][..]];
        let expected = Expected::errno(&[libc::EINVAL]).paths(&paths);
        cr::restore_refused(&mut client, &bad, expected)?;
    }
    Ok(())
}

/// Flags that no kernel has, those that need others, and a clock, which needs a
/// device that has it.
fn timestamping() -> Result<()> {
    let mut client = cr::client()?;
    let dump = cr::dump(&mut client, &socket::udp()?)?;
    let dump = dump.with(RawAttr::string(attr::BINDTODEVICE, c"lo"));
    for flags in [1 << 31, 1 << 12, 1 << 16, 1 << 15] {
        let bad = dump
            .clone()
            .with_at(&[attr::TIMESTAMPING], RawAttr::u32(1, flags));
        let expected =
            Expected::errno(&[libc::EINVAL, libc::EOPNOTSUPP]).attribute(attr::TIMESTAMPING);
        cr::restore_refused(&mut client, &bad, expected).with_context(|| format!("{flags:#x}"))?;
    }
    Ok(())
}

/// Clocks that datagrams are not sent by, and flags that there are not.
fn txtime() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    for (clock, flags) in [(4, 0), (-1, 0), (12, 0), (1, 4), (1, u32::MAX)] {
        let nest = [RawAttr::s32(1, clock), RawAttr::u32(2, flags)];
        let bad = dump.clone().with(RawAttr::nested(attr::TXTIME, &nest));
        let expected = Expected::errno(&[libc::EINVAL, libc::ERANGE]).attribute(attr::TXTIME);
        cr::restore_refused(&mut client, &bad, expected)
            .with_context(|| format!("clock {clock}, flags {flags:#x}"))?;
    }
    Ok(())
}

/// Addresses that do not belong together.
fn addresses() -> Result<()> {
    let mut client = cr::client()?;
    let connected = good(&mut client)?;
    let unbound = cr::dump(&mut client, &socket::udp()?)?;
    let invalid = Expected::errno(&[libc::EINVAL]);
    let address = |number| RawAttr::new(number, [127, 0, 0, 1]);
    // A peer, but not connected; connected, but no local part.
    let bad = connected.clone().with(RawAttr::u32(attr::SOCK_STATE, 7));
    cr::restore_refused(&mut client, &bad, invalid.attribute(attr::PEER_ADDR))?;
    let bad = connected.clone().without(attr::LOCAL_PORT);
    cr::restore_refused(&mut client, &bad, invalid.attribute(attr::LOCAL_PORT))?;
    let bad = connected.clone().without(attr::LOCAL_ADDR);
    let sourced = bad.clone().with(address(attr::SOURCE_ADDR));
    cr::restore_refused(&mut client, &sourced, invalid.attribute(attr::SOURCE_ADDR))?;
    // There are devices without an address, but it is not one.
    let other = Expected::errno(&[libc::EADDRNOTAVAIL]).word("local address");
    cr::restore_refused(&mut client, &bad, other)?;
    // Locks of what is not there.
    for lock in 2..=3 {
        let bad = unbound.clone().with(RawAttr::u32(attr::BIND_LOCKS, lock));
        cr::restore_refused(&mut client, &bad, invalid.attribute(attr::BIND_LOCKS))?;
    }
    // An address that nobody chose, on a socket that is not connected.
    let bad = unbound.clone().with(address(attr::LOCAL_ADDR));
    cr::restore_refused(&mut client, &bad, invalid.attribute(attr::BIND_LOCKS))?;
    // Addresses of other families.
    for len in [2, 6, 8, 12, 16] {
        let bad = unbound
            .clone()
            .with(RawAttr::new(attr::LOCAL_ADDR, vec![127; len]));
        cr::restore_refused(&mut client, &bad, invalid.attribute(attr::LOCAL_ADDR))?;
    }
    let bad = unbound.clone().with(address(attr::SOURCE_ADDR));
    cr::restore_refused(&mut client, &bad, invalid.attribute(attr::SOURCE_ADDR))
}

/// Inode, cookie and descriptor of the original mean nothing to RESTORE.
fn identity_is_ignored() -> Result<()> {
    let mut client = cr::client()?;
    let original = socket::udp()?;
    socket::set_int(&original, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    socket::bind(&original, SocketAddrV4::new(Ipv4Addr::LOCALHOST, PORT))?;
    let dump = cr::dump(&mut client, &original)?;
    let variants = [
        dump.clone().without(attr::INODE).without(attr::COOKIE),
        dump.clone()
            .with(RawAttr::uint(attr::INODE, u64::MAX))
            .with(RawAttr::uint(attr::COOKIE, 0))
            .with(RawAttr::u32(attr::SOCK_FD, u32::MAX))
            .with(RawAttr::uint(attr::CGROUP, u64::MAX))
            .with(RawAttr::u32(attr::REUSEPORT_INDEX, u32::MAX)),
    ];
    for variant in variants {
        let copy = cr::restore(&mut client, &variant)?;
        let again = cr::dump(&mut client, &copy)?;
        cr::same_dump(&dump, &again)?;
        cr::check_identity(&again, &copy)?;
        // The original is in the group, too.
        let place = again.u32(attr::REUSEPORT_INDEX);
        ensure!(place == Some(1), "{place:?}");
        ensure!(
            again.get(attr::CGROUP) == dump.get(attr::CGROUP),
            "{again:?}"
        );
    }
    Ok(())
}

/// The device of the original does not exist here.
fn device_is_gone() -> Result<()> {
    let mut client = cr::client()?;
    link::add_dummy("dummy0")?;
    let original = socket::udp()?;
    socket::set(
        &original,
        libc::SOL_SOCKET,
        libc::SO_BINDTODEVICE,
        b"dummy0",
    )?;
    let dump = cr::dump(&mut client, &original)?;
    drop(original);
    let copy = cr::restore(&mut client, &dump)?;
    drop(copy);
    // Neither dump nor restore keeps it from going.
    link::remove("dummy0")?;
    let expected = Expected::errno(&[libc::ENODEV]).attribute(attr::BINDTODEVICE);
    cr::restore_refused(&mut client, &dump, expected)
}

/// There is no route to the peer over a device that is gone, or that is down.
fn connected_by_a_device_that_is_gone() -> Result<()> {
    const HERE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

    let refused = |dump: &Dump, errno: i32| {
        let expected = Expected::errno(std::slice::from_ref(&errno))
            .attribute(attr::PEER_ADDR)
            .word("cannot connect");
        cr::restore_refused(&mut cr::client()?, dump, expected)
    };
    link::add_dummy("dummy0")?;
    link::address("dummy0", HERE)?;
    let connected = || -> Result<UdpSocket> {
        let socket = socket::udp()?;
        socket::set(&socket, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, b"dummy0")?;
        socket.connect(("10.9.0.2", 9))?;
        Ok(socket)
    };
    let gone = cr::checkpoint(&mut cr::client()?, connected()?)?;
    link::down("dummy0")?;
    refused(&gone.dump, libc::ENETUNREACH).context("down")?;
    link::up("dummy0")?;

    let original = connected()?;
    link::remove("dummy0")?;
    let dump = cr::dump(&mut cr::client()?, &original)?;
    drop(original);
    ensure!(dump.u32(attr::BOUND_IFINDEX).is_some(), "no index");
    link::address("lo", HERE).context("its address")?;
    refused(&dump, libc::ENODEV).context("gone")
}

/// The number of a device that is gone belongs to another one here.
fn ifindex_exists() -> Result<()> {
    let mut client = cr::client()?;
    let dump = cr::dump(&mut client, &socket::udp()?)?;
    let bad = dump.with(RawAttr::u32(attr::BOUND_IFINDEX, link::index("lo")?));
    let expected = Expected::errno(&[libc::EEXIST, libc::EINVAL, libc::ENODEV, libc::EBUSY])
        .attribute(attr::BOUND_IFINDEX);
    cr::restore_refused(&mut client, &bad, expected)
}
