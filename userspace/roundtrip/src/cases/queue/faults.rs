// SPDX-License-Identifier: GPL-2.0

//! Every allocation of a request fails once, as in `faults`: of QUEUE while its answer is asked for
//! and while it is read, and of each part of a transaction.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, ensure};
use inetcr::{Client, RawAttr};

use super::traffic::{HERE, holding, payload, peer_with};
use super::{drain, same_messages, seen};
use crate::cases::errqueue::errors_of_each_kind;
use crate::cases::faults::{Fault, each, each_allocation_of_step, is_want_of_memory};
use crate::cr::{self, Dump, Part, QUEUE, Queued, RESTORE, attr};
use crate::observe::same;
use crate::rawnl::RawNetlink;
use crate::runner::Test;
use crate::sys::socket::{self, Message};
use crate::sys::task;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("queue::faults::request", || of_queue(0)).slow(),
        Test::new("queue::faults::first_part", || of_queue(1)).slow(),
        Test::new("queue::faults::later_part", || of_queue(5)).slow(),
        Test::new("queue::faults::begin", || of_part(Part::Begin)).slow(),
        Test::new("queue::faults::queue", || of_part(Part::Queue)).slow(),
        Test::new("queue::faults::commit", || of_part(Part::Commit)).slow(),
    ]
}

/// A socket with a small datagram, one of several pieces, an empty one, and one with options, and
/// with errors of each kind.
fn original() -> Result<UdpSocket> {
    let socket = holding(&[b"small", &payload(1, 40_000), b""])?;
    errors_of_each_kind(&socket)?;
    let peer = peer_with(libc::SOL_IP, libc::IP_OPTIONS, &[7, 7, 4, 0, 0, 0, 0, 0])?;
    peer.send_to(b"options", HERE)?;
    Ok(socket)
}

/// The error number of what was sent and answered, if it is an error.
fn errno<T>(result: Result<T>) -> Result<Result<T, i32>> {
    match result {
        Ok(answer) => Ok(Ok(answer)),
        Err(error) => {
            let errno = error.downcast::<io::Error>()?.raw_os_error();
            Ok(Err(errno.context("no error of a system call")?))
        }
    }
}

/// Of a dump, one of the system calls that it takes: sending, or receiving a part.
fn of_queue(faulty: usize) -> Result<()> {
    let original = original()?;
    let expected = Queued::of(&mut cr::client()?, &original)?.datagrams()?;
    let before = seen(&original);
    let fd = original.as_raw_fd().cast_unsigned();
    let request = [RawAttr::u32(attr::SOCK_FD, fd)];
    each_allocation_of_step(faulty, (QUEUE, &request), |answer| {
        if let Ok(messages) = answer {
            let found = cr::datagrams(&messages.concat())?;
            ensure!(found == expected, "{found:02x?} != {expected:02x?}");
        }
        Ok(())
    })?;
    same("the dumps changed the socket", &before, &seen(&original))
}

/// Of a part of a transaction: it is refused, and with it the whole transaction.
fn of_part(faulty: Part) -> Result<()> {
    let original = original()?;
    let mut client = cr::client()?;
    let queued = Queued::of(&mut client, &original)?;
    let expected = drain(&original)?;
    drop(original);
    let mut fault = Fault::open()?;
    each(|nth| {
        restore_with(&client, &queued, &expected, |raw, part, attrs| {
            let armed = part == faulty;
            if armed {
                fault.arm(nth)?;
            }
            let sent = raw.send(RESTORE, attrs);
            let injected = armed && fault.disarm()?;
            Ok((sent, injected))
        })
    })
}

/// Sends all parts of a transaction, each by a function that says whether an allocation failed.
fn restore_with(
    client: &Client,
    queued: &Queued,
    expected: &[Message],
    mut try_part: impl FnMut(&mut RawNetlink, Part, &[u8]) -> Result<(io::Result<()>, bool)>,
) -> Result<bool> {
    let mut raw = RawNetlink::open(client)?;
    let mut any = false;
    for part in [Part::Begin, Part::Queue, Part::Commit] {
        let attrs = match part {
            Part::Begin => queued.dump.0.as_slice(),
            Part::Queue => queued.queue.as_slice(),
            _ => &[],
        };
        let attrs = RawAttr::encode_all(&part.of(attrs));
        let (sent, injected) = try_part(&mut raw, part, &attrs)?;
        any |= injected;
        let answer = match sent {
            Ok(()) => raw.answer(),
            Err(error) => Err(error.into()),
        };
        let reply = match errno(answer)? {
            Ok(reply) => reply,
            Err(errno) => {
                ensure!(injected, "{part:?}: error {errno} without a failure");
                ensure!(is_want_of_memory(RESTORE, errno), "{part:?}: error {errno}");
                // What was done and told stays, also if the acknowledgment is not.
                match raw.reply_without_answer()? {
                    Some(reply) => reply,
                    None => return Ok(any),
                }
            }
        };
        if part == Part::Commit {
            let fd = Dump(reply).u32(attr::SOCK_FD).context("no descriptor")?;
            let copy = UdpSocket::from(task::adopt(fd.cast_signed()));
            same_messages(expected, &drain(&copy)?)?;
            ensure!(socket::name(&copy)? == HERE, "bound elsewhere");
        }
    }
    Ok(any)
}
