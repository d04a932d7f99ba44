// SPDX-License-Identifier: GPL-2.0

//! How a transaction about a socket that exists ends, and what is no part of it: whatever was not
//! committed is not in the socket, and can be brought again.

use std::net::UdpSocket;

use anyhow::{Context, Result, ensure};
use inetcr::table::{Role, SOCKET};
use inetcr::{Amended, RawAttr};

use super::{Donor, commit, is_empty};
use crate::cases::amend::{bound, request};
use crate::cases::queue::parts::may_have;
use crate::cases::queue::traffic::HERE;
use crate::cases::queue::{drain, piece, port_is_free, same_messages};
use crate::cr::{self, AMEND, Dump, Expected, Part, attr};
use crate::rawnl::RawNetlink;
use crate::runner::Test;
use crate::sys::socket;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("amend::queues::ends::abort", abort),
        Test::new("amend::queues::ends::netlink_closed", netlink_closed),
        Test::new("amend::queues::ends::with_an_error", with_an_error),
        Test::new("amend::queues::ends::begun_twice", begun_twice),
        Test::new("amend::queues::ends::not_begun", not_begun),
        Test::new("amend::queues::ends::other_command", other_command),
        Test::new("amend::queues::ends::of_another_part", of_another_part),
        Test::new("amend::queues::ends::corked", corked),
        Test::new("amend::queues::ends::bad_begin", bad_begin),
        Test::new("amend::queues::ends::incomplete", incomplete),
        Test::new("amend::queues::ends::sent_together", sent_together),
        Test::new("amend::queues::ends::socket_closed", socket_closed),
    ]
}

const GONE: &[i32] = &[libc::EINVAL, libc::ENOENT];

fn donor(client: &mut inetcr::Client) -> Result<Donor> {
    let mut donor = Donor::holding(client, &[b"one", b"two"])?;
    // So that it is seen what begin has done.
    donor.queued.dump = donor.queued.dump.with(RawAttr::u32(6, 1));
    Ok(donor)
}

/// Given up at each point: nothing is in the socket but the state, and the next one can begin.
fn abort() -> Result<()> {
    let mut client = cr::client()?;
    let donor = donor(&mut client)?;
    let target = bound()?;
    for sent in 0..=donor.queued.queue.len() {
        donor.begin(&mut client, &target)?;
        for attr in donor.queued.queue.iter().take(sent) {
            Part::Queue.amend(&mut client, std::slice::from_ref(attr))?;
        }
        is_empty(&target)?;
        let answer = Part::Abort.amend(&mut client, &[])?;
        ensure!(answer.is_empty(), "abort answers {answer:?}");
        is_empty(&target)?;
        ensure!(target.broadcast()?, "the state is gone");
        cr::refused(commit(&mut client), Expected::errno(GONE))?;
    }
    donor.give(&mut client, &target)?;
    same_messages(&donor.expected, &drain(&target)?)
}

/// Given up without a word.
fn netlink_closed() -> Result<()> {
    let donor = donor(&mut cr::client()?)?;
    let target = bound()?;
    for sent in 0..=donor.queued.queue.len() {
        let mut client = cr::client()?;
        donor.begin(&mut client, &target)?;
        for attr in donor.queued.queue.iter().take(sent) {
            Part::Queue.amend(&mut client, std::slice::from_ref(attr))?;
        }
        drop(client);
        is_empty(&target)?;
    }
    // It is not kept open.
    drop(target);
    port_is_free()
}

/// An error of a part ends it, and leaves nothing: what is tried again is there once.
fn with_an_error() -> Result<()> {
    let mut client = cr::client()?;
    let donor = donor(&mut client)?;
    let target = bound()?;
    let [queue, commits] = [Part::Queue, Part::Commit];
    for (part, bad) in [
        (queue, vec![piece(1)]),
        (queue, [donor.queued.queue.clone(), vec![piece(1)]].concat()),
        (commits, donor.queued.queue.clone()),
        (Part::Abort, donor.queued.queue.clone()),
    ] {
        donor.almost(&mut client, &target)?;
        let result = part.amend(&mut client, &bad);
        cr::refused(result, Expected::errno(&[libc::EINVAL]))
            .with_context(|| format!("{part:?}"))?;
        cr::refused(commit(&mut client), Expected::errno(GONE))?;
        is_empty(&target)?;
    }
    donor.give(&mut client, &target)?;
    same_messages(&donor.expected, &drain(&target)?)
}

/// One at a time: the second begin is refused, and the first transaction goes on.
fn begun_twice() -> Result<()> {
    let mut client = cr::client()?;
    let donor = donor(&mut client)?;
    let target = bound()?;
    let other = UdpSocket::bind(("127.0.0.1", 0))?;
    let expected = Expected::errno(&[libc::EBUSY]).attribute(attr::TRANSACTION);
    donor.begin(&mut client, &target)?;
    for socket in [&target, &other] {
        let begin = request(&Dump(Vec::new()), socket);
        cr::refused(Part::Begin.amend(&mut client, &begin.0), expected)?;
    }
    let unbound = cr::dump(&mut client, &socket::udp()?)?;
    cr::refused(Part::Begin.send(&mut client, &unbound.0), expected)?;
    Part::Queue.amend(&mut client, &donor.queued.queue)?;
    commit(&mut client)?;
    is_empty(&other)?;
    same_messages(&donor.expected, &drain(&target)?)
}

/// No part but the first can be the first, also when there was a transaction before.
fn not_begun() -> Result<()> {
    let mut client = cr::client()?;
    let donor = donor(&mut client)?;
    let target = bound()?;
    for _ in 0..2 {
        for part in [Part::Queue, Part::Commit, Part::Abort] {
            let attrs: &[RawAttr] = match part {
                Part::Queue => &donor.queued.queue,
                _ => &[],
            };
            let expected = Expected::errno(&[libc::ENOENT]).attribute(attr::TRANSACTION);
            let result = part.amend(&mut client, attrs);
            cr::refused(result, expected).with_context(|| format!("{part:?}"))?;
        }
        donor.give(&mut client, &target)?;
        same_messages(&donor.expected, &drain(&target)?)?;
    }
    Ok(())
}

/// A part of the other command is no part of it, as a second beginning is none.
fn other_command() -> Result<()> {
    let mut client = cr::client()?;
    let donor = donor(&mut client)?;
    let expected = Expected::errno(&[libc::EINVAL])
        .attribute(attr::TRANSACTION)
        .word("other command");
    let others = [Part::Queue, Part::Commit, Part::Abort];

    let target = bound()?;
    donor.begin(&mut client, &target)?;
    for part in others {
        let files = cr::open_files();
        let result = client.restore_attrs(&part.of(&[]));
        cr::refused(result, expected).with_context(|| format!("restore: {part:?}"))?;
        ensure!(cr::open_files() == files, "a descriptor");
    }
    Part::Queue.amend(&mut client, &donor.queued.queue)?;
    cr::refused(Part::commit(&mut client), expected)?;
    commit(&mut client)?;
    same_messages(&donor.expected, &drain(&target)?)?;
    drop(target);

    Part::Begin.send(&mut client, &donor.queued.dump.0)?;
    for part in others {
        let result = part.amend(&mut client, &[]);
        cr::refused(result, expected).with_context(|| format!("amend: {part:?}"))?;
    }
    Part::Queue.send(&mut client, &donor.queued.queue)?;
    cr::refused(commit(&mut client), expected)?;
    let copy = UdpSocket::from(Part::commit(&mut client)?.fd);
    same_messages(&donor.expected, &drain(&copy)?)
}

/// Each part has its own attributes: the later ones do not even name the socket.
fn of_another_part() -> Result<()> {
    let mut client = cr::client()?;
    let donor = donor(&mut client)?;
    let target = bound()?;
    let errno = [libc::EINVAL, libc::ERANGE, libc::EOPNOTSUPP];
    for part in [Part::Queue, Part::Commit, Part::Abort] {
        for row in SOCKET.iter().filter(|row| !may_have(part, row.number)) {
            donor.begin(&mut client, &target)?;
            let value = match row.role {
                // Those are wider.
                Role::Identity if row.number != attr::SOCK_FD => RawAttr::uint(row.number, 0),
                _ => RawAttr::u32(row.number, 0),
            };
            let result = part.amend(&mut client, &[value]);
            let expected = Expected::errno(&errno).attribute(row.number);
            cr::refused(result, expected).with_context(|| format!("{} in {part:?}", row.name))?;
            // What the policy refuses has not ended it.
            let _ = Part::Abort.amend(&mut client, &[]);
        }
    }
    is_empty(&target)
}

/// A corked datagram is malformed in any request to amend, which is no part of the transaction.
fn corked() -> Result<()> {
    let mut client = cr::client()?;
    let donor = donor(&mut client)?;
    let target = bound()?;
    let cork = RawAttr::nested(attr::CORK, &[RawAttr::u32(1, 0)]);
    let expected = Expected::errno(&[libc::EINVAL]).attribute(attr::CORK);
    donor.almost(&mut client, &target)?;
    for part in Part::ALL {
        let result = part.amend(&mut client, std::slice::from_ref(&cork));
        cr::refused(result, expected).with_context(|| format!("{part:?}"))?;
    }
    commit(&mut client)?;
    same_messages(&donor.expected, &drain(&target)?)
}

/// What an amendment refuses, a begin refuses, and then there is no transaction. Datagrams come
/// later.
fn bad_begin() -> Result<()> {
    let mut client = cr::client()?;
    let donor = donor(&mut client)?;
    let target = bound()?;
    let good = request(&donor.queued.dump, &target);
    let datagram = donor.queued.queue.first().context("no datagram")?.clone();
    for (bad, errno) in [
        (datagram, libc::EINVAL),
        (piece(3), libc::EINVAL),
        (RawAttr::u32(attr::SOCK_TYPE, 1), libc::ESTALE),
        (RawAttr::u32(attr::SOCK_FD, 999), libc::EBADF),
        (
            RawAttr::string(attr::BINDTODEVICE, c"nothing0"),
            libc::ENODEV,
        ),
        (RawAttr::uint(attr::INODE, 1), libc::EINVAL),
    ] {
        let errno = [errno];
        let expected = Expected::errno(&errno).attribute(bad.number());
        let begin = good.clone().with(bad);
        cr::refused(Part::Begin.amend(&mut client, &begin.0), expected)?;
        cr::refused(commit(&mut client), Expected::errno(GONE))?;
        ensure!(!target.broadcast()?, "it was amended");
        // Without a transaction, it is the same.
        cr::refused(client.raw(AMEND, &begin.0), expected)?;
        ensure!(!target.broadcast()?, "it was amended");
    }
    Ok(())
}

/// A payload that is not there at the end.
fn incomplete() -> Result<()> {
    let mut client = cr::client()?;
    let donor = donor(&mut client)?;
    let target = bound()?;
    let attrs = &donor.queued.queue;
    donor.begin(&mut client, &target)?;
    Part::Queue.amend(&mut client, attrs)?;
    Part::Queue.amend(&mut client, &attrs[..1])?;
    let expected = Expected::errno(&[libc::EINVAL]).word("complete");
    cr::refused(commit(&mut client), expected)?;
    is_empty(&target)
}

/// The beginning waits for locks: it is the last of what is sent at once. All other parts may be
/// sent together.
fn sent_together() -> Result<()> {
    let client = cr::client()?;
    let donor = donor(&mut cr::client()?)?;
    let target = bound()?;
    let mut raw = RawNetlink::open(&client)?;
    raw.ask_for_words()?;
    let parts = [
        Part::Begin.of(&request(&donor.queued.dump, &target).0),
        Part::Queue.of(&donor.queued.queue),
        Part::Commit.of(&[]),
    ];
    let answers = raw.send_together(AMEND, &parts)?;
    let errors: Vec<_> = answers
        .iter()
        .map(|answer| answer.as_ref().err().map(|refusal| refusal.errno))
        .collect();
    let gone = Some(libc::ENOENT);
    ensure!(errors == [Some(libc::EBUSY), gone, gone], "{errors:?}");
    ensure!(!target.broadcast()?, "it was amended");
    is_empty(&target)?;

    let [begin, rest @ ..] = parts;
    raw.send(AMEND, &RawAttr::encode_all(&begin))?;
    raw.answer()?;
    let answers = raw.send_together(AMEND, &rest)?;
    let answers: Result<Vec<_>, _> = answers.into_iter().collect();
    let answers = answers.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    let amended = Amended::from_attrs(answers.last().context("no answer")?)?;
    ensure!(amended.failed.is_empty(), "{:?}", amended.failed);
    same_messages(&donor.expected, &drain(&target)?)
}

/// When nobody else has it open, the transaction has, and its port, until it finds out.
fn socket_closed() -> Result<()> {
    let mut client = cr::client()?;
    let donor = donor(&mut client)?;
    let expected = Expected::errno(&[libc::ENOENT]).word("closed");
    for part in [Part::Queue, Part::Commit] {
        let target = bound()?;
        let other = target.try_clone()?;
        donor.almost(&mut client, &target)?;
        drop(target);
        // There is another descriptor.
        Part::Queue.amend(&mut client, &[])?;
        drop(other);
        let taken = socket::bind(&socket::udp()?, HERE).err();
        let taken = taken.and_then(|error| error.raw_os_error());
        ensure!(taken == Some(libc::EADDRINUSE), "bind: {taken:?}");
        cr::refused(part.amend(&mut client, &[]), expected).with_context(|| format!("{part:?}"))?;
        port_is_free()?;
        cr::refused(commit(&mut client), Expected::errno(GONE))?;
    }
    // Given up, it is closed, too.
    for by_abort in [true, false] {
        let target = bound()?;
        donor.almost(&mut client, &target)?;
        drop(target);
        if by_abort {
            Part::Abort.amend(&mut client, &[])?;
        } else {
            client = cr::client()?;
        }
        port_is_free()?;
    }
    Ok(())
}
