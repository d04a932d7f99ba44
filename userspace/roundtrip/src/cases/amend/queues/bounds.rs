// SPDX-License-Identifier: GPL-2.0

//! What has no place in the socket is told of, and what is kept before that has bounds.

use std::net::UdpSocket;

use anyhow::{Context, Result, ensure};
use inetcr::{Failure, RawAttr};

use super::{Donor, commit, is_empty};
use crate::cases::amend::{bound, request};
use crate::cases::errqueue::kinds;
use crate::cases::errqueue::making::errors_of;
use crate::cases::queue::traffic::{HERE, payload, peer};
use crate::cases::queue::{Good, drain, piece, queue_memory, same_messages};
use crate::cr::{self, Dump, Expected, Part, Queued, attr};
use crate::runner::Test;
use crate::sys::socket;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("amend::queues::bounds::full", full),
        Test::new("amend::queues::bounds::full_of_errors", full_of_errors),
        Test::new("amend::queues::bounds::optmem_max", optmem_max),
        Test::new("amend::queues::bounds::staged", staged).slow(),
        Test::new("amend::queues::bounds::one_is_larger", one_is_larger),
    ]
}

const NO_ROOM: &[i32] = &[libc::ENOBUFS];

/// A socket with a small buffer.
fn small() -> Result<UdpSocket> {
    let target = bound()?;
    socket::set_int(&target, libc::SOL_SOCKET, libc::SO_RCVBUF, 10_000)?;
    Ok(target)
}

/// What the last part reports, which must be one datagram, and why.
fn only(failed: &[Failure]) -> Result<usize> {
    let [failed] = failed else {
        anyhow::bail!("{failed:?}");
    };
    let index = failed.index.context("which one?")?;
    ensure!(
        failed.place() == format!("datagram[{index}]") && failed.error.errno == libc::ENOBUFS,
        "{failed}"
    );
    let words = failed.error.message.clone().unwrap_or_default();
    ensure!(words.contains("nothing was queued"), "{words}");
    Ok(usize::try_from(index)?)
}

/// Something waits already, so that there is not room for all: the first ones are there, and the
/// others can be brought when there is.
fn full() -> Result<()> {
    let mut client = cr::client()?;
    let payloads: Vec<_> = (0..8).map(|number| payload(number, 900)).collect();
    let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    let mut donor = Donor::holding(&mut client, &payloads)?;
    donor.queued.dump = Dump(Vec::new());
    let target = small()?;
    let before = queue_memory(&target)?;
    let peer = peer()?;
    for number in 0..4 {
        peer.send_to(&payload(100 + number, 900), HERE)?;
    }
    ensure!(queue_memory(&target)? > before, "nothing waits");
    // In several messages: the number is one over all of them.
    donor.begin(&mut client, &target)?;
    for attrs in donor.queued.queue.chunks(6) {
        Part::Queue.amend(&mut client, attrs)?;
    }
    let index = only(&commit(&mut client)?.failed)?;
    ensure!(0 < index && index < 8, "{index} were queued");
    let found = drain(&target)?;
    same_messages(&donor.expected[..index], &found[4..])?;

    // Each has a payload of one piece.
    let rest = donor.queued.queue.split_off(2 * index);
    donor.queued.queue = rest;
    donor.expected.drain(..index);
    donor.give(&mut client, &target)?;
    same_messages(&donor.expected, &drain(&target)?)
}

/// Errors are charged as well, and datagrams behind one that is not there are not, either.
fn full_of_errors() -> Result<()> {
    let mut client = cr::client()?;
    let original = kinds::made("with_datagrams")?;
    let mut donor = Donor::of(&mut client, &original)?;
    drop(original);
    donor.queued.dump = Dump(Vec::new());
    let target = small()?;
    let peer = peer()?;
    let mut before = 0;
    loop {
        peer.send_to(&payload(1, 400), HERE)?;
        match queue_memory(&target)? {
            now if now == before => break,
            now => before = now,
        }
    }
    let waited = Queued::of(&mut client, &target)?.datagrams()?.len();
    donor.almost(&mut client, &target)?;
    // An error may take less than a datagram.
    let index = only(&commit(&mut client)?.failed)?;
    ensure!(index < 2, "{index} were queued");
    let found = drain(&target)?;
    ensure!(found.len() == waited + index, "{} of {waited}", found.len());
    Ok(())
}

/// What tells of `MSG_ZEROCOPY` takes memory of its own kind.
fn optmem_max() -> Result<()> {
    let mut client = cr::client()?;
    let original = kinds::made("zerocopy_once")?;
    let mut donor = Donor::of(&mut client, &original)?;
    drop(original);
    donor.queued.dump = Dump(Vec::new());
    let [error] = donor.queued.queue.as_slice() else {
        anyhow::bail!("{:?}", donor.queued.queue);
    };
    donor.queued.queue = vec![error.clone(); 60];
    std::fs::write("/proc/sys/net/core/optmem_max", "20000")?;
    let target = bound()?;
    donor.almost(&mut client, &target)?;
    let failed = commit(&mut client)?.failed;
    let index = only(&failed)?;
    ensure!(0 < index && index < 60, "{index} were queued");
    let words = failed[0].error.message.clone().unwrap_or_default();
    ensure!(words.contains("optmem_max"), "{words}");
    let found = drain(&target)?;
    ensure!(found.len() == index, "{} of {index}", found.len());
    Ok(())
}

/// As many as somebody wants to send, of each kind: they are kept up to the size of the receive
/// buffer, and none of them is in the socket.
fn staged() -> Result<()> {
    let mut good = Good::new()?;
    let mut kinds_of = vec![(good.of_len(0), Vec::new())];
    kinds_of.push((good.of_len(10_000), vec![piece(10_000)]));
    for name in ["too_long_here", "sent_time_only", "zerocopy_once"] {
        let original = kinds::made(name)?;
        let queued = Queued::of(&mut good.client, &original)?;
        let error = errors_of(&queued.queue)?.into_iter().next();
        let error = error.context("no error")?;
        kinds_of.push((RawAttr::nested(attr::DATAGRAM, &error.0), Vec::new()));
    }
    let target = small()?;
    let room = socket::get_int(&target, libc::SOL_SOCKET, libc::SO_RCVBUF)?;
    let begin = request(&Dump(Vec::new()), &target);
    for (header, payload) in kinds_of {
        let one = [vec![header], payload].concat();
        Part::Begin.amend(&mut good.client, &begin.0)?;
        let mut count = 0;
        let error = loop {
            match Part::Queue.amend(&mut good.client, &one) {
                Ok(_) => count += 1,
                Err(error) => break error,
            }
            // No kind takes less than a buffer and its description.
            ensure!(count * 256 <= room, "{count} were taken");
        };
        cr::refused::<()>(Err(error), Expected::errno(NO_ROOM).word("receive buffer"))?;
        ensure!(count > 0, "none was taken");
        is_empty(&target)?;
        let ended = Expected::errno(&[libc::ENOENT]);
        cr::refused(commit(&mut good.client), ended)?;
    }
    Ok(())
}

/// As an empty socket takes one datagram whatever its size, one alone may be larger.
fn one_is_larger() -> Result<()> {
    let mut client = cr::client()?;
    let mut donor = Donor::holding(&mut client, &[&payload(1, 50_000)])?;
    donor.queued.dump = Dump(Vec::new());
    let target = small()?;
    donor.give(&mut client, &target)?;
    same_messages(&donor.expected, &drain(&target)?)?;
    // But not two.
    donor.queued.queue = [donor.queued.queue.clone(), donor.queued.queue.clone()].concat();
    let result = donor.almost(&mut client, &target);
    let error = result.err().context("taken")?;
    ensure!(format!("{error:#}").contains("ENOBUFS"), "{error:#}");
    is_empty(&target)
}
