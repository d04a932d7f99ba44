// SPDX-License-Identifier: GPL-2.0

//! How a transaction ends, other than with a socket: nothing is left of it.

use anyhow::{Context, Result, ensure};
use inetcr::{Client, RawAttr};

use super::traffic::{HERE, holding};
use super::transaction::{almost_done, commit};
use super::{drain, same_messages};
use crate::cr::{self, Expected, Part, Queued, attr};
use crate::runner::Test;
use crate::sys::socket::{self, Message};
use crate::sys::task;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("queue::ends::abort", abort),
        Test::new("queue::ends::netlink_closed", netlink_closed),
        Test::new("queue::ends::begun_twice", begun_twice),
        Test::new("queue::ends::not_begun", not_begun),
        Test::new("queue::ends::with_an_error", ends_with_an_error),
        Test::new("queue::ends::no_descriptor_left", no_descriptor_left),
    ]
}

/// A socket with two datagrams that was dumped and closed, and what its reader would have got.
pub fn gone(client: &mut Client) -> Result<(Queued, Vec<Message>)> {
    let original = holding(&[b"one", b"two"])?;
    let queued = Queued::of(client, &original)?;
    let expected = drain(&original)?;
    Ok((queued, expected))
}

/// Fails unless somebody can have the port.
pub fn port_is_free() -> Result<()> {
    socket::bind(&socket::udp()?, HERE).context("the port is not free")
}

/// Given up at each point: nothing is left, and the next one can begin.
fn abort() -> Result<()> {
    let mut client = cr::client()?;
    let (queued, expected) = gone(&mut client)?;
    for sent in 0..=queued.queue.len() {
        Part::Begin.send(&mut client, &queued.dump.0)?;
        for attr in queued.queue.iter().take(sent) {
            Part::Queue.send(&mut client, std::slice::from_ref(attr))?;
        }
        let answer = Part::Abort.send(&mut client, &[])?;
        ensure!(answer.is_empty(), "abort answers {answer:?}");
        port_is_free()?;
    }
    let copy = queued.restore(&mut client)?;
    same_messages(&expected, &drain(&copy)?)
}

/// Given up without a word.
fn netlink_closed() -> Result<()> {
    let (queued, _) = gone(&mut cr::client()?)?;
    for sent in 0..=queued.queue.len() {
        let mut client = cr::client()?;
        Part::Begin.send(&mut client, &queued.dump.0)?;
        for attr in queued.queue.iter().take(sent) {
            Part::Queue.send(&mut client, std::slice::from_ref(attr))?;
        }
        drop(client);
        port_is_free()?;
    }
    Ok(())
}

/// One at a time: the second begin is refused, and the first transaction goes on.
fn begun_twice() -> Result<()> {
    let mut client = cr::client()?;
    let (queued, expected) = gone(&mut client)?;
    let other = cr::dump(&mut client, &socket::udp()?)?;
    Part::Begin.send(&mut client, &queued.dump.0)?;
    for dump in [&queued.dump, &other] {
        let again = Part::Begin.send(&mut client, &dump.0);
        let expected = Expected::errno(&[libc::EBUSY]).attribute(attr::TRANSACTION);
        cr::refused(again, expected)?;
    }
    Part::Queue.send(&mut client, &queued.queue)?;
    let copy = commit(&mut client)?;
    same_messages(&expected, &drain(&copy)?)
}

/// No part but the first can be the first, also when there was a transaction before.
fn not_begun() -> Result<()> {
    let mut client = cr::client()?;
    let (queued, _) = gone(&mut client)?;
    for _ in 0..2 {
        for part in [Part::Queue, Part::Commit, Part::Abort] {
            let attrs: &[RawAttr] = if part == Part::Queue {
                &queued.queue
            } else {
                &[]
            };
            let expected = Expected::errno(&[libc::EINVAL, libc::ENOENT]);
            let result = client.restore_attrs(&part.of(attrs));
            cr::refused(result, expected).with_context(|| format!("{part:?}"))?;
        }
        drop(queued.restore(&mut client)?);
    }
    Ok(())
}

/// An error of a part ends it, and leaves nothing.
fn ends_with_an_error() -> Result<()> {
    let mut client = cr::client()?;
    let (queued, _) = gone(&mut client)?;
    let bad_queue = Part::Queue.of(&[RawAttr::new(attr::PAYLOAD, [0])]);
    let bad_commit = Part::Commit.of(&queued.queue);
    for bad in [bad_queue, bad_commit] {
        Part::Begin.send(&mut client, &queued.dump.0)?;
        let expected = Expected::errno(&[libc::EINVAL]);
        cr::refused(client.restore_attrs(&bad), expected)?;
        port_is_free()?;
        let expected = Expected::errno(&[libc::EINVAL, libc::ENOENT]);
        cr::refused(Part::commit(&mut client), expected)?;
    }
    Ok(())
}

/// There is no room for the descriptor: the transaction ends, and nothing is left.
fn no_descriptor_left() -> Result<()> {
    let mut client = cr::client()?;
    let (queued, _) = gone(&mut client)?;
    almost_done(&mut client, &queued)?;
    let next = u64::try_from(task::lowest_free_descriptor()?)?;
    task::limit_files(next)?;
    let result = Part::commit(&mut client);
    task::limit_files(next + 8).context("a higher limit again")?;
    cr::refused(result, Expected::errno(&[libc::EMFILE]))?;
    port_is_free()
}
