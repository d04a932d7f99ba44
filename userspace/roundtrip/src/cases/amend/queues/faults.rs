// SPDX-License-Identifier: GPL-2.0

//! Every allocation of each part fails once: nothing is in the socket then, or it is told what is
//! not, and what is brought again is there once.

use std::net::UdpSocket;

use anyhow::{Context, Result, ensure};
use inetcr::{Amended, Client, Failure, RawAttr};

use super::{Donor, is_empty};
use crate::cases::amend::faults::ROUNDS;
use crate::cases::amend::{bound, request};
use crate::cases::errqueue::errors_of_each_kind;
use crate::cases::faults::{Fault, each, is_want_of_memory};
use crate::cases::queue::traffic::{HERE, holding, payload, peer_with};
use crate::cases::queue::{drain, same_messages};
use crate::cr::{self, AMEND, Part};
use crate::rawnl::RawNetlink;
use crate::runner::Test;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("amend::queues::faults::begin", || of_part(Part::Begin)).slow(),
        Test::new("amend::queues::faults::queue", || of_part(Part::Queue)).slow(),
        Test::new("amend::queues::faults::commit", || of_part(Part::Commit)).slow(),
    ]
}

/// A small datagram, one of several pieces, an empty one, and one with options, and errors of each
/// kind.
fn donor(client: &mut Client) -> Result<Donor> {
    let original = holding(&[b"small", &payload(1, 40_000), b""])?;
    errors_of_each_kind(&original)?;
    let peer = peer_with(libc::SOL_IP, libc::IP_OPTIONS, &[7, 7, 4, 0, 0, 0, 0, 0])?;
    peer.send_to(b"options", HERE)?;
    Donor::of(client, &original)
}

fn of_part(faulty: Part) -> Result<()> {
    let mut client = cr::client()?;
    let donor = donor(&mut client)?;
    let mut fault = Fault::open()?;
    let (mut refused, mut reported) = (0, 0);
    // The first part may have nothing to report: what this state needs is allocated before. Of the
    // last one a single allocation is reported, whose number shifts by what caches of the kernel
    // hold: it can slip through.
    for _ in 0..ROUNDS {
        let round = each_allocation(&mut client, &donor, faulty, &mut fault)?;
        refused += round.0;
        reported += round.1;
        if faulty != Part::Commit || reported > 0 {
            break;
        }
    }
    println!("{refused} refused, {reported} reported");
    ensure!(refused > 0, "none was refused");
    ensure!(faulty != Part::Commit || reported > 0, "none was reported");
    Ok(())
}

/// Makes each allocation of a part fail once, and returns how many parts were refused, and how many
/// failures reported.
fn each_allocation(
    client: &mut Client,
    donor: &Donor,
    faulty: Part,
    fault: &mut Fault,
) -> Result<(u32, u32)> {
    let (mut refused, mut reported) = (0, 0);
    each(|nth| {
        let target = bound()?;
        let mut raw = RawNetlink::open(client)?;
        let (injected, begun, end) = send(&mut raw, donor, &target, |raw, part, bytes| {
            let armed = part == faulty;
            if armed {
                fault.arm(nth)?;
            }
            let sent = raw.send(AMEND, bytes);
            Ok((sent, armed && fault.disarm()?))
        })?;
        let found = drain(&target)?;
        match end {
            // The errors come first, here as there.
            Some(amended) if !amended.failed.is_empty() => {
                ensure!(injected, "without a failure: {:?}", amended.failed);
                let index = amended.failed[0].index.context("which one?")?;
                let count = usize::try_from(index)?;
                same_messages(&donor.expected[..count], &found)?;
                reported += 1;
            }
            // What is told of a datagram takes options.
            Some(_) if !begun.is_empty() => {
                ensure!(injected, "without a failure: {begun:?}");
                ensure!(found.len() == donor.expected.len(), "{found:02x?}");
                reported += 1;
            }
            Some(_) => same_messages(&donor.expected, &found)?,
            // The answer itself may have failed when all was done.
            None if faulty == Part::Commit && !found.is_empty() => {
                same_messages(&donor.expected, &found)?;
            }
            None => {
                ensure!(injected && found.is_empty(), "{found:02x?}");
                refused += 1;
            }
        }
        drop(raw);
        donor.give(client, &target)?;
        same_messages(&donor.expected, &drain(&target)?).context("again")?;
        is_empty(&target)?;
        Ok(injected)
    })?;
    Ok((refused, reported))
}

/// Sends all parts, each by a function that says whether an allocation failed. Gives whether one
/// did, what the first part reports, and the answer to the last part, if it got there.
fn send(
    raw: &mut RawNetlink,
    donor: &Donor,
    target: &UdpSocket,
    mut try_part: impl FnMut(&mut RawNetlink, Part, &[u8]) -> Result<(std::io::Result<()>, bool)>,
) -> Result<(bool, Vec<Failure>, Option<Amended>)> {
    let (mut any, mut begun) = (false, Vec::new());
    for part in [Part::Begin, Part::Queue, Part::Commit] {
        let attrs = match part {
            Part::Begin => request(&donor.queued.dump, target).0,
            Part::Queue => donor.queued.queue.clone(),
            _ => Vec::new(),
        };
        let (sent, injected) = try_part(raw, part, &RawAttr::encode_all(&part.of(&attrs)))?;
        any |= injected;
        let answer = match sent {
            Ok(()) => raw.answer(),
            Err(error) => Err(error.into()),
        };
        let reply = match answer {
            Ok(reply) => reply,
            Err(error) => {
                ensure!(injected, "{part:?}: without a failure: {error:#}");
                let errno = error.downcast::<std::io::Error>()?.raw_os_error();
                ensure!(
                    errno.is_some_and(|errno| is_want_of_memory(AMEND, errno)),
                    "{part:?}: {errno:?}"
                );
                // What was done and told stays, also if the acknowledgment is not.
                match raw.reply_without_answer()? {
                    Some(reply) => reply,
                    None => return Ok((any, begun, None)),
                }
            }
        };
        match part {
            Part::Begin => begun = Amended::from_attrs(&reply)?.failed,
            Part::Commit => return Ok((any, begun, Some(Amended::from_attrs(&reply)?))),
            _ => {}
        }
    }
    Ok((any, begun, None))
}
