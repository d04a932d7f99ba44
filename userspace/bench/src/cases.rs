// SPDX-License-Identifier: GPL-2.0

//! What is counted.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use inetcr::RawAttr;

use crate::ROUNDS;
use crate::another;
use crate::count;
use crate::lookup::{Among, by_inode, by_pidfd};
use crate::many::{FEW, MOST, made_by_calls, namespace, restores, sock_diag, waiting};
use crate::netlink::{Family, Message, all_attrs};
use crate::options::{self, Which};
use crate::sys;

/// Something that is counted.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub run: fn() -> Result<u64>,
}

macro_rules! cases {
    ($(#[$doc:meta])* $all:ident: $($name:literal => $run:expr;)*) => {
        $(#[$doc])*
        pub const $all: &[$crate::cases::Case] =
            &[$($crate::cases::Case { name: $name, run: || $run }),*];
    };
}
pub(crate) use cases;

cases! {
    /// All, in the order in which they are printed.
    ALL:
    "request that is refused" => floor(Family::new()?);
    "dump: new socket" => dump(Family::new()?, Which::None);
    "dump: the options of the RFC" => dump(Family::new()?, Which::Rfc);
    "dump: full state" => dump(Family::new()?, Which::All);
    "dump by system calls: the options of the RFC" => dump_by_calls(Which::Rfc);
    "dump by system calls: full state" => dump_by_calls(Which::All);
    "dump from another process: full state, bound" => another::dump();
    "dump by system calls from another process: full state, bound" => another::dump_by_calls();
    "socket and close" => socket_and_close(Which::None, false);
    "restore and close: new socket" => restore(Family::new()?, Which::None, false);
    "restore and close: five options, bound" => restore(Family::new()?, Which::Five, true);
    "restore and close: the options of the RFC, bound" => restore(Family::new()?, Which::Rfc, true);
    "restore and close: full state, bound" => restore(Family::new()?, Which::All, true);
    "as CRIU and close: five options, bound" => as_criu_and_close();
    "by system calls and close: the options of the RFC, bound" => socket_and_close(Which::Rfc, true);
    "by system calls and close: full state, bound" => socket_and_close(Which::All, true);
    // Before others: a file table that was large is never small again.
    "find by pidfd and fd: 1 processes" => by_pidfd(Among::Processes(1));
    "find by inode: 1 processes" => by_inode(Among::Processes(1));
    "find by pidfd and fd: 10 processes" => by_pidfd(Among::Processes(10));
    "find by inode: 10 processes" => by_inode(Among::Processes(10));
    "find by pidfd and fd: 100 processes" => by_pidfd(Among::Processes(100));
    "find by inode: 100 processes" => by_inode(Among::Processes(100));
    "find by pidfd and fd: 1,000 processes" => by_pidfd(Among::Processes(1_000));
    "find by inode: 1,000 processes" => by_inode(Among::Processes(1_000));
    "find by pidfd and fd: 1 sockets" => by_pidfd(Among::Sockets(1));
    "find by inode: 1 sockets" => by_inode(Among::Sockets(1));
    "find by pidfd and fd: 10 sockets" => by_pidfd(Among::Sockets(10));
    "find by inode: 10 sockets" => by_inode(Among::Sockets(10));
    "find by pidfd and fd: 100 sockets" => by_pidfd(Among::Sockets(100));
    "find by inode: 100 sockets" => by_inode(Among::Sockets(100));
    "find by pidfd and fd: 1,000 sockets" => by_pidfd(Among::Sockets(1_000));
    "find by inode: 1,000 sockets" => by_inode(Among::Sockets(1_000));
    "find by pidfd and fd: 10,000 sockets" => by_pidfd(Among::Sockets(10_000));
    "find by inode: 10,000 sockets" => by_inode(Among::Sockets(10_000));
    "dump of the namespace: per socket of 1,000" => namespace(FEW, 1_000);
    "dump of the namespace: per socket of 10,000" => namespace(FEW, 10_000);
    "dump of the namespace: per socket of 100,000" => namespace(FEW, 100_000);
    "dump of the namespace: per socket of 1,000, 65,536 slots" => namespace(MOST, 1_000);
    "dump of the namespace: per socket of 10,000, 65,536 slots" => namespace(MOST, 10_000);
    "dump of the namespace: per socket of 100,000, 65,536 slots" => namespace(MOST, 100_000);
    "dump of the namespace: per socket of 1,000,000, 65,536 slots" => namespace(MOST, 1_000_000);
    "restore: full state, bound, per socket of 10,000" => restores(10_000);
    "by system calls: full state, bound, per socket of 10,000" => made_by_calls(10_000);
    "sock_diag: per socket of 1,000" => sock_diag(FEW, 1_000);
    "sock_diag: per socket of 10,000" => sock_diag(FEW, 10_000);
    "sock_diag: per socket of 100,000" => sock_diag(FEW, 100_000);
    "sock_diag: per socket of 100,000, 65,536 slots" => sock_diag(MOST, 100_000);
    "sock_diag: per socket of 1,000,000, 65,536 slots" => sock_diag(MOST, 1_000_000);
    "bytes that wait in a dump of the namespace: of 1,000" => waiting(1_000);
    "bytes that wait in a dump of the namespace: of 10,000" => waiting(10_000);
    "bytes that wait in a dump of the namespace: of 100,000" => waiting(100_000);
    "queue: per datagram of 100 bytes" => queue(100, 200);
    "recvmsg: 100 bytes" => receive(100, 200);
    "queue: per datagram of 1,400 bytes" => queue(1_400, 200);
    "recvmsg: 1,400 bytes" => receive(1_400, 200);
    "queue: per datagram of 60,000 bytes" => queue(60_000, 10);
    "recvmsg: 60,000 bytes" => receive(60_000, 10);
    "restore of a queue: per datagram of 100 bytes" => requeue(100, 200);
    "send over loopback: 100 bytes" => arrive(100, 200);
    "restore of a queue: per datagram of 1,400 bytes" => requeue(1_400, 200);
    "send over loopback: 1,400 bytes" => arrive(1_400, 200);
    "restore of a queue: per datagram of 60,000 bytes" => requeue(60_000, 10);
    "send over loopback: 60,000 bytes" => arrive(60_000, 10);
}

/// Numbers of operations and attributes, as in the specification.
pub mod number {
    pub const INODE: u16 = 1;
    pub const PIDFD: u16 = 23;
    pub const COOKIE: u16 = 24;
    pub const DUMP: u8 = 1;
    pub const RESTORE: u8 = 2;
    pub const QUEUE: u8 = 4;
    pub const SOCK_FD: u16 = 4;
    pub const TRANSACTION: u16 = 66;
    pub const LOCAL_PORT: u16 = 28;
    pub const DATAGRAM: u16 = 61;
    pub const PAYLOAD: u16 = 62;
    pub const QUEUE_LEN: u16 = 70;
}

/// Where the sockets are that are somewhere.
pub const PORT: u16 = 700;

pub fn udp() -> Result<OwnedFd> {
    Ok(sys::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?)
}

pub fn with(which: Which) -> Result<OwnedFd> {
    let socket = udp()?;
    which.set(&socket)?;
    Ok(socket)
}

pub fn of(socket: &OwnedFd) -> RawAttr {
    RawAttr::u32(number::SOCK_FD, socket.as_raw_fd().cast_unsigned())
}

/// The least that a request of generic netlink takes: there is no such operation.
pub fn floor(mut family: Family) -> Result<u64> {
    let message = family.request(0xfe, &[])?;
    count(100, || {
        family.answer(&message)?;
        Ok(())
    })
}

pub fn dump(mut family: Family, which: Which) -> Result<u64> {
    let socket = with(which)?;
    let message = family.request(number::DUMP, &[of(&socket)])?;
    count(100, || family.done(&message))
}

fn dump_by_calls(which: Which) -> Result<u64> {
    let socket = with(which)?;
    count(100, || {
        which.get(&socket);
        sys::names(&socket);
        Ok(())
    })
}

/// What a dump says of a socket, as a request that makes another one. Of the options of the RFC
/// alone, and of none, no others are in it.
pub fn image(family: &mut Family, which: Which, bound: bool) -> Result<Vec<RawAttr>> {
    let socket = with(which)?;
    if bound {
        sys::bind(&socket, PORT)?;
    }
    let message = family.request(number::DUMP, &[of(&socket)])?;
    let mut attrs = family.attrs(&message)?;
    if matches!(which, Which::None | Which::Rfc) {
        // Family, type, protocol, state, addresses and which of them were chosen.
        let needed = |number| matches!(number, 2 | 3 | 25..=32);
        let rfc = |number| which == Which::Rfc && number <= 22;
        attrs.retain(|attr| needed(attr.number()) || rfc(attr.number()));
    }
    Ok(attrs)
}

/// Takes the new socket out of an answer.
pub fn restored(family: &mut Family, message: &Message) -> Result<OwnedFd> {
    let attrs = family.attrs(message)?;
    let fd = attrs.iter().find(|attr| attr.number() == number::SOCK_FD);
    let fd = fd.context("no descriptor")?.payload.as_slice().try_into()?;
    Ok(sys::adopt(u32::from_ne_bytes(fd)))
}

pub fn restore(mut family: Family, which: Which, bound: bool) -> Result<u64> {
    let attrs = image(&mut Family::new()?, which, bound)?;
    let message = family.request(number::RESTORE, &attrs)?;
    // The number is the same each time, so that the answer has not to be looked at.
    let number = restored(&mut family, &message)?.as_raw_fd().cast_unsigned();
    count(50, || {
        family.done(&message)?;
        drop(sys::adopt(number));
        Ok(())
    })
}

fn socket_and_close(which: Which, bound: bool) -> Result<u64> {
    count(50, || {
        let socket = with(which)?;
        if bound {
            sys::bind(&socket, PORT)?;
        }
        Ok(())
    })
}

fn as_criu_and_close() -> Result<u64> {
    count(50, || {
        options::as_criu(PORT)?;
        Ok(())
    })
}

/// A bound socket and one that sends to it.
fn pair() -> Result<(OwnedFd, OwnedFd)> {
    let (to, from) = (udp()?, udp()?);
    sys::bind(&to, PORT)?;
    sys::connect(&from, PORT)?;
    Ok((to, from))
}

fn fill(from: &OwnedFd, len: usize, datagrams: u64) -> Result<()> {
    let payload = vec![7; len];
    for _ in 0..datagrams {
        sys::send(from, &payload, 0)?;
    }
    Ok(())
}

/// Without what a queue of no datagrams takes.
fn queue(len: usize, datagrams: u64) -> Result<u64> {
    let (to, from) = pair()?;
    let mut family = Family::new()?;
    let message = family.multipart(number::QUEUE, &[of(&to)])?;
    let mut whole = |least: usize| {
        count(1, || {
            ensure!(family.all(&message)? > least, "datagrams are missing");
            Ok(())
        })
    };
    let empty = whole(0)?;
    fill(&from, len, datagrams)?;
    Ok((whole(len * usize::try_from(datagrams)?)? - empty) / datagrams)
}

fn receive(len: usize, datagrams: u64) -> Result<u64> {
    let (to, from) = pair()?;
    let mut buffer = vec![0; 1 << 16];
    let mut control = [0; 256];
    let mut least = u64::MAX;
    for _ in 0..ROUNDS {
        fill(&from, len, datagrams)?;
        let start = sys::instructions();
        for _ in 0..datagrams {
            sys::receive_message(&to, &mut buffer, &mut control, libc::MSG_DONTWAIT)?;
        }
        least = least.min(sys::instructions() - start);
    }
    Ok(least / datagrams)
}

fn arrive(len: usize, datagrams: u64) -> Result<u64> {
    let (to, from) = pair()?;
    let mut buffer = vec![0; 1 << 16];
    let payload = vec![7; len];
    let mut least = u64::MAX;
    for _ in 0..ROUNDS {
        let start = sys::instructions();
        for _ in 0..datagrams {
            sys::send(&from, &payload, 0)?;
        }
        least = least.min(sys::instructions() - start);
        for _ in 0..datagrams {
            sys::receive(&to, &mut buffer, libc::MSG_DONTWAIT)?;
        }
    }
    Ok(least / datagrams)
}

/// Without what a transaction of no datagrams takes.
fn requeue(len: usize, datagrams: u64) -> Result<u64> {
    let (to, from) = pair()?;
    let mut family = Family::new()?;
    let dump = family.request(number::DUMP, &[of(&to)])?;
    let state = family.attrs(&dump)?;
    ensure!(
        state.iter().all(|attr| attr.number() != number::QUEUE_LEN),
        "something waits"
    );
    fill(&from, len, datagrams)?;
    let contents = all_attrs(number::QUEUE, &[of(&to)])?;
    drop(to);
    drop(from);

    let empty = transaction(&mut family, &state, &[])?;
    Ok((transaction(&mut family, &state, &contents)? - empty) / datagrams)
}

/// A whole transaction. Its socket is closed uncounted: a datagram that arrives is not, either, thrown
/// away in the same breath.
fn transaction(family: &mut Family, state: &[RawAttr], contents: &[RawAttr]) -> Result<u64> {
    let part =
        |part, attrs: &[RawAttr]| [&[RawAttr::u32(number::TRANSACTION, part)], attrs].concat();
    let begin = family.request(number::RESTORE, &part(1, state))?;
    let commit = family.request(number::RESTORE, &part(3, &[]))?;
    // As much in a message as a socket sends at once; each datagram is whole in one.
    let mut queues = Vec::new();
    let mut some = Vec::new();
    let mut len = 0;
    for attr in contents {
        let begins = attr.number() == number::DATAGRAM;
        ensure!(begins || attr.number() == number::PAYLOAD, "something else");
        if begins && len > 32_768 {
            queues.push(family.request(number::RESTORE, &part(2, &some))?);
            some.clear();
            len = 0;
        }
        len += attr.payload.len();
        some.push(attr.clone());
    }
    if !some.is_empty() {
        queues.push(family.request(number::RESTORE, &part(2, &some))?);
    }
    let socket = |family: &mut Family| {
        family.done(&begin)?;
        for queue in &queues {
            family.silent(queue)?;
        }
        restored(family, &commit)
    };
    let number = socket(family)?.as_raw_fd().cast_unsigned();
    let mut least = u64::MAX;
    for _ in 0..ROUNDS {
        let start = sys::instructions();
        family.done(&begin)?;
        for queue in &queues {
            family.silent(queue)?;
        }
        family.done(&commit)?;
        least = least.min(sys::instructions() - start);
        drop(sys::adopt(number));
    }
    Ok(least)
}
