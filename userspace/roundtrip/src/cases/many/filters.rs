// SPDX-License-Identifier: GPL-2.0

//! Only some of the sockets: those on a port, those with an inode number.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, ensure};
use inetcr::{Client, RawAttr};

use super::{
    all_dumped, at, bound, dump_many, inode, is_dumped, is_refused, me, of, on, one_each,
    with_inode,
};
use crate::cr::{self, attr};
use crate::places::OTHER;
use crate::runner::Test;
use crate::sys::socket;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("many::filters::port", port),
        Test::new("many::filters::port_of_process", port_of_process),
        Test::new("many::filters::inodes", inodes),
        Test::new("many::filters::inodes_of_process", inodes_of_process),
        Test::new("many::filters::both", both),
    ]
}

/// Fails unless just these are there, whole.
fn finds<'s>(
    client: &mut Client,
    filter: &[RawAttr],
    sockets: impl IntoIterator<Item = &'s UdpSocket> + Clone,
) -> Result<()> {
    let records = dump_many(client, filter)?;
    all_dumped(client, &records, sockets).with_context(|| format!("{filter:?}"))
}

fn finds_none(client: &mut Client, filter: &[RawAttr]) -> Result<()> {
    finds(client, filter, [])
}

/// The port that a socket is bound to, neither that of the peer nor one of the other byte order.
fn port() -> Result<()> {
    let mut client = cr::client()?;
    let twins = [bound(7000)?, at(OTHER, 7000)?];
    let swapped = [bound(7000_u16.swap_bytes())?];
    let connected = [bound(7001)?];
    socket::connect(&connected[0], "127.0.0.1:7002".parse()?)?;
    let highest = [bound(u16::MAX)?];
    finds(&mut client, &[on(7000)], &twins)?;
    finds(&mut client, &[on(7000_u16.swap_bytes())], &swapped)?;
    finds(&mut client, &[on(7001)], &connected)?;
    finds(&mut client, &[on(u16::MAX)], &highest)?;
    for port in [0, 1, 7002] {
        finds_none(&mut client, &[on(port)])?;
    }
    Ok(())
}

/// One that is not bound has none; what has no port at all is not on any.
fn port_of_process() -> Result<()> {
    let mut client = cr::client()?;
    let sockets = [bound(7000)?, bound(7001)?];
    let unbound = [socket::udp()?];
    let of_unix = socket::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0)?;
    let process = me()?;
    let me = of(&process);
    for socket in &sockets {
        let port = on(socket::name(socket)?.port());
        finds(&mut client, &[me.clone(), port], [socket])?;
    }
    finds(&mut client, &[me.clone(), on(0)], &unbound)?;
    finds_none(&mut client, &[me, on(7002)])?;
    drop(of_unix);
    Ok(())
}

fn inodes() -> Result<()> {
    let mut client = cr::client()?;
    let sockets = [bound(7000)?, bound(7001)?, at(OTHER, 7000)?, bound(7003)?];
    let unbound = socket::udp()?;
    let numbers: Vec<_> = sockets
        .iter()
        .map(socket::inode)
        .collect::<Result<_, _>>()?;
    for (socket, number) in sockets.iter().zip(&numbers) {
        finds(&mut client, &[with_inode(*number)], [socket])?;
        // Twice the same, and in eight bytes where four are enough.
        let wide = RawAttr::new(attr::FILTER_INODE, number.to_ne_bytes());
        finds(&mut client, &[wide, with_inode(*number)], [socket])?;
    }
    // In whatever order, among others that there are not.
    let some = [3, 0, 2].map(|at| &sockets[at]);
    let mut filter = [3, 0, 2].map(|at| with_inode(numbers[at])).to_vec();
    finds(&mut client, &filter, some)?;
    filter.extend([0, 1, u64::from(u32::MAX), u64::MAX].map(with_inode));
    filter.push(with_inode(numbers[0] | 1 << 32));
    finds(&mut client, &filter, some)?;
    let mut filter: Vec<_> = (1..=2000).map(|n| with_inode(n << 33)).collect();
    filter.insert(1000, with_inode(numbers[1]));
    finds(&mut client, &filter, [&sockets[1]])?;
    // None that is bound here.
    for number in [0, 1, socket::inode(&unbound)?, u64::MAX] {
        finds_none(&mut client, &[with_inode(number)])?;
    }
    Ok(())
}

/// A number stands for all descriptors of a socket, and for a socket of any kind.
fn inodes_of_process() -> Result<()> {
    let mut client = cr::client()?;
    let process = me()?;
    let me = of(&process);
    let unbound = socket::udp()?;
    let twice = unbound.try_clone()?;
    let of_unix = socket::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0)?;
    let other = bound(7000)?;
    let filter = [me.clone(), with_inode(socket::inode(&unbound)?)];
    let records = dump_many(&mut client, &filter)?;
    ensure!(records.len() == 2, "{} messages", records.len());
    for (record, socket) in records.iter().zip([&unbound, &twice]) {
        is_dumped(&mut client, record, socket)?;
        let fd = socket.as_raw_fd().cast_unsigned();
        ensure!(record.u32(attr::SOCK_FD) == Some(fd), "another descriptor");
    }
    let filter = [with_inode(socket::inode(&of_unix)?), me.clone()];
    let records = dump_many(&mut client, &filter)?;
    let found = one_each(&records, [&of_unix])?;
    is_refused(&mut client, found[0], &of_unix)?;
    finds_none(&mut client, &[me, with_inode(0)])?;
    drop(other);
    Ok(())
}

/// Those that are on the port and have the number.
fn both() -> Result<()> {
    let mut client = cr::client()?;
    let sockets = [bound(7000)?, at(OTHER, 7000)?, bound(7001)?];
    let numbers: Vec<_> = sockets
        .iter()
        .map(socket::inode)
        .collect::<Result<_, _>>()?;
    let filter = [on(7000), with_inode(numbers[1]), with_inode(numbers[2])];
    finds(&mut client, &filter, &sockets[1..2])?;
    let filter = [on(7001), with_inode(numbers[0])];
    finds_none(&mut client, &filter)?;
    let me = me()?;
    let filter = [of(&me), with_inode(numbers[2]), on(7001)];
    let records = dump_many(&mut client, &filter)?;
    ensure!(records.len() == 1 && inode(&records[0])? == numbers[2]);
    Ok(())
}
