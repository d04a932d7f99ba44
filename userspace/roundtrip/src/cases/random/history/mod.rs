// SPDX-License-Identifier: GPL-2.0

//! Random histories: any calls in any order and number on a socket, which is then dumped and
//! restored, with all that waits in it. Original and copy are compared by what plain calls see, and
//! by what a program gets from them as it goes on.

mod call;
mod probe;
mod world;

use std::cell::RefCell;
use std::net::UdpSocket;

use anyhow::{Context, Error, Result, bail, ensure};
use inetcr::Client;
use proptest::test_runner::{TestCaseError, TestError};

use super::Random;
use crate::cr::{self, Dump, Queued, attr};
use crate::observe::same;
use crate::sys::{socket, task};
use call::{Call, History};
use probe::{Answers, seen};
use world::World;

/// What became of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Same,
    /// For a reason that is documented.
    Refused,
    /// It is known that this does not come back.
    Known,
}

pub fn round_trips(random: Random) -> Result<()> {
    let ends = search(random, |dump| dump)?.map_err(|error| anyhow::anyhow!("{error}"))?;
    let count = |wanted| ends.iter().filter(|end| **end == wanted).count();
    let (all, same) = (ends.len(), count(End::Same));
    println!(
        "{same} of {all} the same, {} refused, {} known",
        count(End::Refused),
        count(End::Known)
    );
    ensure!(
        same * 10 > all * 7,
        "only {same} of {all} could be compared"
    );
    Ok(())
}

/// A loss is found, and the history that shows it becomes one of the only call that it takes.
pub fn find_a_loss(random: Random) -> Result<()> {
    const PEEK_OFF: u16 = 39;
    match search(random, |dump| dump.without(PEEK_OFF))? {
        Err(TestError::Fail(reason, history)) => {
            println!("{reason}: {history:?}");
            ensure!(history.0.len() == 1, "not one call: {history:?}");
            let call = format!("{:?}", history.0[0]);
            ensure!(call.contains("peek_off"), "another call: {call}");
            Ok(())
        }
        Err(other) => bail!("{other}"),
        Ok(_) => bail!("nobody misses SO_PEEK_OFF"),
    }
}

/// Takes histories round, by dumps that are spoiled before they are restored, until one fails.
fn search(random: Random, spoil: fn(Dump) -> Dump) -> Result<Result<Vec<End>, TestError<History>>> {
    task::stay_on_one_processor()?;
    let mut runner = random.runner(random.histories);
    let ends = RefCell::new(Vec::new());
    let result = runner.run(&call::history(), |history| {
        let end = one(&history.0, spoil);
        let end = end.map_err(|error| TestCaseError::fail(format!("{error:#}")))?;
        ends.borrow_mut().push(end);
        Ok(())
    });
    Ok(result.map(|()| ends.into_inner()))
}

/// Makes the socket in a world of its own, and sends it round.
fn one(calls: &[Call], spoil: fn(Dump) -> Dump) -> Result<End> {
    let mut world = World::new()?;
    let mut client = cr::client()?;
    let original = socket::udp()?;
    for call in calls {
        world.call(&original, call)?;
    }
    round_trip(&mut client, &world, original, spoil)
}

fn round_trip(
    client: &mut Client,
    world: &World,
    original: UdpSocket,
    spoil: fn(Dump) -> Dump,
) -> Result<End> {
    let before = seen(&original);
    let dumped = Queued::of(client, &original);
    same("the dump changed the original", &before, &seen(&original))?;
    let queued = match dumped {
        Ok(queued) => queued,
        Err(error) => return documented(&error, NOT_DUMPED),
    };
    // Known: udp_sendmsg() of the original, connected and with a route, sends to where its corked
    // datagram went, or as if from there. The copy has no route before it first sends.
    let connected = queued.dump.u32(attr::SOCK_STATE) == Some(1);
    if world.known.corked_elsewhere && connected {
        return Ok(End::Known);
    }
    let expected = Answers::of(world, &original)?;
    let after = seen(&original);
    drop(original);
    world.got()?;

    let mut spoiled = queued.clone();
    spoiled.dump = spoil(spoiled.dump);
    let copy = match spoiled.restore(client) {
        Ok(copy) => copy,
        // Known: without SO_REUSEADDR it does not get a port that others have.
        Err(_) if world.known.reuseaddr_taken_back && !world.is_alone() => return Ok(End::Known),
        Err(error) => return documented(&error, NOT_RESTORED),
    };
    same("original != copy", &before, &seen(&copy))?;
    let early = world.got()?;
    ensure!(early.is_empty(), "sent by the restore: {early:02x?}");
    let again = Queued::of(client, &copy).context("dump of the copy")?;
    cr::same_dump(&queued.dump, &again.dump)?;
    let corks = (cork(&queued)?, cork(&again)?);
    ensure!(
        again.datagrams()? == queued.datagrams()? && corks.0.one == corks.1.one,
        "what waits in the copy is {:02x?}, not {:02x?}",
        again.queue,
        queued.queue
    );
    // Known: what is added is cut by the MTU that the route has now, of which ICMP may have told.
    if corks.0.fragsize != corks.1.fragsize {
        return Ok(End::Known);
    }
    expected.same(&Answers::of(world, &copy)?)?;
    same("after all", &after, &seen(&copy))?;
    Ok(End::Same)
}

/// A corked datagram: attributes and payload, and apart from them the size that it is cut to.
#[derive(Default)]
struct Corked {
    one: Option<(Dump, Vec<u8>)>,
    fragsize: Option<u32>,
}

fn cork(queued: &Queued) -> Result<Corked> {
    Ok(match queued.cork()? {
        None => Corked::default(),
        Some((cork, payload)) => Corked {
            fragsize: cork.u32(attr::cork::FRAGSIZE),
            one: Some((cork.without(attr::cork::FRAGSIZE), payload)),
        },
    })
}

/// Words of the documented reasons why a socket is not dumped.
const NOT_DUMPED: &[&str] = &[
    "names a device that is gone",
    "a corked datagram that connect() has given another address",
    "a corked datagram to port 0",
    "a corked datagram of MSG_ZEROCOPY",
    "a corked datagram to a device that is gone",
    "a corked datagram of a socket without a port",
    "a MSG_ZEROCOPY send that is not complete",
    "SO_REUSEPORT",
];

/// Words of the documented reasons why a socket is not restored.
const NOT_RESTORED: &[&str] = &[
    // A device that does not lead to the peer was chosen since.
    "cannot connect",
    // The socket was bound to a device since the datagram was begun.
    "the corked datagram has no route",
    // The memory that a datagram takes depends on how it came.
    "the receive buffer has no room for it",
    // ICMP has told of a smaller MTU since.
    "would be cut at another size",
];

/// Fails unless the kernel refused for a reason that is documented.
fn documented(error: &Error, reasons: &[&str]) -> Result<End> {
    let words = match error.downcast_ref::<inetcr::Error>() {
        Some(inetcr::Error::Kernel(refusal)) => refusal.message.clone().unwrap_or_default(),
        _ => String::new(),
    };
    if reasons.iter().any(|reason| words.contains(reason)) {
        return Ok(End::Refused);
    }
    bail!("refused: {error:#}")
}
