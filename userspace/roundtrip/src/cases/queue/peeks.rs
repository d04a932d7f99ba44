// SPDX-License-Identifier: GPL-2.0

//! What was looked at and not taken: by `MSG_PEEK`, and by QUEUE itself, whose answer is of one
//! moment, however long it takes to read it.

use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd};

use anyhow::{Context, Result, bail, ensure};
use inetcr::{RawAttr, Selector, Target};
use libc::SOL_SOCKET;

use super::traffic::{Checksum, HERE, holding, payload, peer, receiver, send_raw};
use super::{drain, queue_memory, round, same_messages};
use crate::cr::{self, Expected, QUEUE, Queued, attr};
use crate::observe::{observe, same};
use crate::rawnl::RawNetlink;
use crate::runner::Test;
use crate::sys::socket::{self, Message};
use crate::sys::{namespace, task};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("queue::peeks::seen_before", seen_before),
        Test::new("queue::peeks::empty_one_seen_before", empty_one_seen),
        Test::new("queue::peeks::offset", offset),
        Test::new("queue::peeks::short_reads", short_reads),
        Test::new("queue::dump::nothing_waits", nothing_waits),
        Test::new("queue::dump::selectors", selectors),
        Test::new("queue::dump::not_found", not_found),
        Test::new("queue::dump::arrives_in_between", arrives_in_between),
        Test::new("queue::dump::read_meanwhile", || meanwhile(40, 1000)),
        Test::new("queue::dump::largest_in_pieces", || meanwhile(1, 65_507)),
        Test::new("queue::dump::closed_meanwhile", closed_meanwhile),
        Test::new("queue::dump::given_up", given_up),
        Test::new("queue::dump::wrong_checksum", wrong_checksum),
        Test::new("queue::dump::read_again", read_again),
    ]
}

/// `recvmsg(2)` of so many bytes.
fn receive(socket: &UdpSocket, flags: i32, room: usize) -> Result<Message> {
    let flags = flags | libc::MSG_DONTWAIT;
    Ok(socket::receive_message(socket, flags, room)?)
}

/// Takes a socket round, and sees that a reader who goes on in some way gets the same of both.
fn goes_on(
    original: UdpSocket,
    read: impl Fn(&UdpSocket) -> Result<Vec<Message>>,
) -> Result<Vec<Message>> {
    let (copy, expected) = round(&mut cr::client()?, original, &read)?;
    same_messages(&expected, &read(&copy)?)?;
    Ok(expected)
}

/// Looked at, and still there.
fn seen_before() -> Result<()> {
    let original = receiver()?;
    peer()?.send_to(b"one", HERE)?;
    peer()?.send_to(b"two", HERE)?;
    receive(&original, libc::MSG_PEEK, 100)?;
    let messages = goes_on(original, |socket| {
        let seen = receive(socket, libc::MSG_PEEK, 100)?;
        Ok([vec![seen], drain(socket)?].concat())
    })?;
    ensure!(messages.len() == 3, "{} messages", messages.len());
    Ok(())
}

/// With `SO_PEEK_OFF`, who looks again sees what is behind an empty datagram that was seen.
fn empty_one_seen() -> Result<()> {
    for seen in [false, true] {
        let original = holding(&[b"", b"behind"])?;
        socket::set_int(&original, SOL_SOCKET, libc::SO_PEEK_OFF, 0)?;
        if seen {
            receive(&original, libc::MSG_PEEK, 100)?;
        }
        let messages = goes_on(original, |socket| {
            let first = receive(socket, libc::MSG_PEEK, 100)?;
            Ok([vec![first], drain(socket)?].concat())
        })?;
        let expected: &[u8] = if seen { b"behind" } else { b"" };
        ensure!(messages[0].payload == expected, "seen {seen}: {messages:?}");
    }
    Ok(())
}

/// Who has looked at a part looks at the rest, and then at the next one.
fn offset() -> Result<()> {
    let original = holding(&[b"0123456789", b"next"])?;
    socket::set_int(&original, SOL_SOCKET, libc::SO_PEEK_OFF, 0)?;
    receive(&original, libc::MSG_PEEK, 4)?;
    let messages = goes_on(original, |socket| {
        let look = || receive(socket, libc::MSG_PEEK, 4);
        let looks = vec![look()?, look()?, look()?];
        Ok([looks, drain(socket)?].concat())
    })?;
    let payloads: Vec<&[u8]> = messages.iter().map(|one| one.payload.as_slice()).collect();
    let expected: [&[u8]; 5] = [b"4567", b"89", b"next", b"0123456789", b"next"];
    ensure!(payloads == expected, "{payloads:?}");
    Ok(())
}

/// A buffer that is too small cuts a datagram, and says so.
fn short_reads() -> Result<()> {
    let original = holding(&[b"0123456789", b"", &payload(1, 60_000), b"end"])?;
    let messages = goes_on(original, |socket| {
        let once = |room| receive(socket, 0, room);
        Ok(vec![once(4)?, once(4)?, once(40_000)?, once(4)?])
    })?;
    let cut: Vec<_> = messages
        .iter()
        .map(|one| one.flags & libc::MSG_TRUNC != 0)
        .collect();
    ensure!(cut == [true, false, true, false], "{cut:?}");
    Ok(())
}

fn nothing_waits() -> Result<()> {
    let mut client = cr::client()?;
    for socket in [socket::udp()?, holding(&[])?] {
        let queued = Queued::of(&mut client, &socket)?;
        ensure!(queued.queue.is_empty(), "{:?}", queued.queue);
        let count = queued.dump.get(attr::QUEUE_LEN);
        ensure!(count.is_none(), "queue-len is {count:?}");
    }
    Ok(())
}

/// The socket of this process, by its descriptor.
fn by_fd(socket: &UdpSocket) -> Vec<RawAttr> {
    Target::from(Selector::Fd(socket.as_raw_fd())).to_attrs()
}

/// Every selector finds one queue.
fn selectors() -> Result<()> {
    let mut client = cr::client()?;
    let original = holding(&[b"one", b"two"])?;
    let me = task::pidfd_open(std::process::id().cast_signed())?;
    let cookie = socket::cookie(&original)?;
    let expected = Queued::of(&mut client, &original)?.datagrams()?;
    ensure!(expected.len() == 2, "{} datagrams", expected.len());
    for selector in [
        Selector::Inode(socket::inode(&original)?),
        Selector::Pidfd {
            pidfd: me.as_fd(),
            fd: original.as_raw_fd(),
        },
    ] {
        for target in [selector.into(), selector.with_cookie(cookie)] {
            let found = Queued::by(&mut client, target)?.datagrams()?;
            ensure!(found == expected, "{target:?}: {found:02x?}");
        }
    }
    Ok(())
}

/// No socket, another one, one of another kind, one of another network namespace.
fn not_found() -> Result<()> {
    let mut client = cr::client()?;
    let original = holding(&[b"one"])?;
    let mut refused = |attrs: &[RawAttr], expected: Expected<'_>| {
        cr::refused(client.raw_multipart(QUEUE, attrs), expected).map(drop)
    };
    let cookie = socket::cookie(&original)?;
    let wrong = Selector::Fd(original.as_raw_fd()).with_cookie(cookie + 1);
    let expected = Expected::errno(&[libc::ESTALE]).attribute(attr::COOKIE);
    refused(&wrong.to_attrs(), expected)?;
    refused(&[], Expected::errno(&[libc::EINVAL]))?;
    let more = [by_fd(&original), vec![RawAttr::u32(attr::DEBUG, 1)]].concat();
    let expected = Expected::errno(&[libc::EINVAL]).attribute(attr::DEBUG);
    refused(&more, expected)?;
    let fd = RawAttr::u32(attr::SOCK_FD, 1_000_000);
    refused(
        &[fd],
        Expected::errno(&[libc::EBADF]).attribute(attr::SOCK_FD),
    )?;
    let tcp = std::net::TcpListener::bind("127.0.0.1:0")?;
    let fd = RawAttr::u32(attr::SOCK_FD, tcp.as_raw_fd().cast_unsigned());
    refused(&[fd], Expected::errno(&[libc::EOPNOTSUPP]))?;

    namespace::new_network()?;
    let expected = Expected::errno(&[libc::ENOENT]).attribute(attr::SOCK_FD);
    let result = cr::client()?.raw_multipart(QUEUE, &by_fd(&original));
    cr::refused(result, expected)?;
    Ok(())
}

/// What came between DUMP and QUEUE is of the queue, and comes back with it.
fn arrives_in_between() -> Result<()> {
    let mut client = cr::client()?;
    let original = holding(&[b"before"])?;
    let dump = cr::dump(&mut client, &original)?;
    peer()?.send_to(b"in between", HERE)?;
    let later = Queued::of(&mut client, &original)?;
    let expected = drain(&original)?;
    ensure!(expected.len() == 2, "{} messages", expected.len());
    drop(original);
    let queued = Queued { dump, ..later };
    let copy = queued.restore(&mut client)?;
    same_messages(&expected, &drain(&copy)?)
}

/// Room for a part of the answer, as little as the kernel makes at once.
const LITTLE: usize = 4096;

/// Asks for a queue, so that most of the answer is still to be made.
fn first_part(original: &UdpSocket) -> Result<(RawNetlink, Vec<Vec<RawAttr>>)> {
    let mut raw = RawNetlink::open(&cr::client()?)?;
    let request = RawAttr::encode_all(&by_fd(original));
    raw.send_multipart(QUEUE, &request)?;
    let (messages, end) = raw.part(LITTLE)?;
    ensure!(end.is_none(), "the answer ends at once: {end:?}");
    Ok((raw, messages))
}

/// The rest of the answer, in parts that are as small.
fn other_parts(raw: &mut RawNetlink) -> Result<Vec<Vec<RawAttr>>> {
    let mut all = Vec::new();
    loop {
        let (messages, end) = raw.part(LITTLE)?;
        all.extend(messages);
        match end {
            None => {}
            Some(0) => return Ok(all),
            Some(errno) => bail!("the answer ends with error {errno}"),
        }
    }
}

/// Its owner reads the queue, and others arrive, while the answer is read: the answer has what
/// waited at the request.
fn meanwhile(count: usize, len: usize) -> Result<()> {
    let original = holding(&[])?;
    let peer = peer()?;
    for number in 0..count {
        peer.send_to(&payload(number, len), HERE)?;
    }
    let (mut raw, mut messages) = first_part(&original)?;
    ensure!(drain(&original)?.len() == count, "the original lost some");
    peer.send_to(b"later", HERE)?;
    messages.extend(other_parts(&mut raw)?);
    // Each has a datagram or what is left of one.
    for message in &messages {
        let of_one = message
            .iter()
            .skip(1)
            .all(|one| one.number() == attr::PAYLOAD);
        ensure!(of_one, "a message with more than one datagram: {message:?}");
    }
    let found = cr::datagrams(&messages.concat())?;
    ensure!(found.len() == count, "{} datagrams", found.len());
    for (number, (_, found)) in found.iter().enumerate() {
        ensure!(*found == payload(number, len), "datagram {number} differs");
    }
    let left = drain(&original)?;
    ensure!(left.len() == 1 && left[0].payload == b"later", "{left:?}");
    Ok(())
}

/// The socket is closed while the answer is read: that changes nothing, or ends it with an error.
fn closed_meanwhile() -> Result<()> {
    let original = holding(&[&payload(1, 60_000)])?;
    let (mut raw, mut messages) = first_part(&original)?;
    drop(original);
    match other_parts(&mut raw) {
        Ok(others) => {
            messages.extend(others);
            let found = cr::datagrams(&messages.concat())?;
            ensure!(found[0].1 == payload(1, 60_000), "another payload");
        }
        Err(error) => println!("{error:#}"),
    }
    Ok(())
}

/// The answer is never read: the runner sees that nothing is left.
fn given_up() -> Result<()> {
    let original = holding(&[&payload(1, 60_000), &payload(2, 60_000)])?;
    let before = observe(&original);
    drop(first_part(&original)?);
    same(
        "the dump changed the original",
        &before,
        &observe(&original),
    )?;
    let messages = drain(&original)?;
    ensure!(messages.len() == 2, "{} messages", messages.len());
    Ok(())
}

/// A datagram with a wrong checksum, which nobody has looked at yet: receiving would drop it, so
/// that it is no part of the answer, nor of the copy.
fn wrong_checksum() -> Result<()> {
    let mut client = cr::client()?;
    let original = holding(&[b"before"])?;
    let empty = queue_memory(&original)?;
    send_raw(7001, Checksum::Wrong, &payload(1, 500))?;
    ensure!(queue_memory(&original)? > empty, "dropped on arrival");
    send_raw(7001, Checksum::Right, &payload(2, 500))?;
    let queued = Queued::of(&mut client, &original)?;
    let payloads: Vec<_> = queued.datagrams()?.into_iter().map(|one| one.1).collect();
    let right = [b"before".to_vec(), payload(2, 500)];
    ensure!(payloads == right, "{} datagrams", payloads.len());
    let expected = drain(&original)?;
    ensure!(expected.len() == 2, "{} messages", expected.len());
    drop(original);
    let copy = queued.restore(&mut client)?;
    same_messages(&expected, &drain(&copy)?)
}

/// A queue that is read becomes shorter, and the socket one without at last.
fn read_again() -> Result<()> {
    let mut client = cr::client()?;
    let socket = holding(&[&b"x"[..]; 3])?;
    for left in (1..=3_u32).rev() {
        let dump = cr::dump(&mut client, &socket)?;
        let count = dump.u32(attr::QUEUE_LEN);
        ensure!(count == Some(left), "queue-len is {count:?}, not {left}");
        let (payload, _) = socket::receive(&socket, 0)?;
        ensure!(payload == b"x", "the datagram was changed");
    }
    cr::round_trip(&mut client, socket).context("without a queue")?;
    Ok(())
}
