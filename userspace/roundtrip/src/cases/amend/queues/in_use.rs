// SPDX-License-Identifier: GPL-2.0

//! A socket that others use while datagrams come to it: who waits is woken, and nothing is lost,
//! there twice, or in another order.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use inetcr::RawAttr;

use super::{Donor, commit, is_empty};
use crate::cases::amend::{bound, request};
use crate::cases::errqueue::kinds;
use crate::cases::lifetime::{while_sender_sleeps, without_room};
use crate::cases::queue::traffic::{HERE, holding, payload};
use crate::cr::{self, Dump, Expected, Part, attr};
use crate::runner::Test;
use crate::sys::socket;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("amend::queues::in_use::wakes_a_reader", wakes_a_reader),
        Test::new("amend::queues::in_use::wakes_poll", wakes_poll),
        Test::new("amend::queues::in_use::locked_by_a_sender", locked),
        Test::new("amend::queues::in_use::flooded", flooded).slow(),
        Test::new("amend::queues::in_use::several_at_once", several).slow(),
    ]
}

/// Until somebody sleeps.
const A_WHILE: Duration = Duration::from_millis(50);

/// Who sleeps in `recvmsg(2)` gets the datagram.
fn wakes_a_reader() -> Result<()> {
    let mut client = cr::client()?;
    let donor = Donor::holding(&mut client, &[b"wake up"])?;
    let target = bound()?;
    donor.almost(&mut client, &target)?;
    target.set_read_timeout(Some(Duration::from_secs(10)))?;
    let message = std::thread::scope(|scope| {
        let reader = scope.spawn(|| socket::receive_message(&target, 0, 100));
        std::thread::sleep(A_WHILE);
        let early = reader.is_finished();
        let done = commit(&mut client);
        let message = reader.join().map_err(|_| anyhow::anyhow!("a panic"))?;
        ensure!(!early, "it got something before the end: {message:?}");
        ensure!(done?.failed.is_empty(), "reported");
        message.context("nobody was woken")
    })?;
    ensure!(message == donor.expected[0], "{message:?}");
    Ok(())
}

/// Who sleeps in `poll(2)` is told what there is: datagrams, errors, completed sends.
fn wakes_poll() -> Result<()> {
    type Original = fn() -> Result<UdpSocket>;

    let mut client = cr::client()?;
    let sockets: [(Original, i16); 3] = [
        (|| holding(&[b"x"]), libc::POLLIN),
        (|| kinds::made("too_long_here"), libc::POLLERR),
        (|| kinds::made("zerocopy_once"), libc::POLLERR),
    ];
    for (original, expected) in sockets {
        let mut donor = Donor::of(&mut client, &original()?)?;
        // Its pending error would be one, too.
        donor.queued.dump = Dump(Vec::new());
        let target = bound()?;
        donor.almost(&mut client, &target)?;
        let waited = std::thread::scope(|scope| {
            let waits = scope.spawn(|| socket::readable(&target, Duration::from_secs(10)));
            std::thread::sleep(A_WHILE);
            ensure!(!waits.is_finished(), "it was woken before");
            commit(&mut client)?;
            let start = Instant::now();
            let result = waits.join().map_err(|_| anyhow::anyhow!("a panic"))?;
            result.context("poll")?;
            Ok(start.elapsed())
        })?;
        ensure!(waited < Duration::from_secs(5), "nobody was woken");
        let events = socket::events(&target)?;
        ensure!(events & expected != 0, "poll says {events:#x}");
        let found = super::drain(&target)?;
        super::same_messages(&donor.expected, &found)?;
    }
    Ok(())
}

/// A sender that waits with the lock: nothing is queued, and the transaction is over.
fn locked() -> Result<()> {
    let mut client = cr::client()?;
    let mut donor = Donor::holding(&mut client, &[b"one"])?;
    donor.queued.dump = Dump(Vec::new());
    let target = without_room()?;
    donor.almost(&mut client, &target)?;
    while_sender_sleeps(&target, |_| {
        let expected = Expected::errno(&[libc::EBUSY]).word("freeze");
        cr::refused(commit(&mut client), expected)
    })?;
    cr::refused(commit(&mut client), Expected::errno(&[libc::ENOENT]))?;
    is_empty(&target)?;
    donor.give(&mut client, &target)?;
    super::same_messages(&donor.expected, &super::drain(&target)?)
}

/// Reads a socket until it is told to stop and nothing waits.
fn read_all(socket: &UdpSocket, stop: &AtomicBool) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    loop {
        let last = stop.load(Ordering::Acquire);
        match socket::receive(socket, libc::MSG_DONTWAIT) {
            Ok((payload, _)) => found.push(payload),
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {
                if last {
                    return Ok(found);
                }
                std::thread::yield_now();
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// What a restored datagram of these tests begins with.
const OURS: u8 = 0xa5;

/// The payloads of a donor, which say which ones they are.
fn numbered(client: &mut inetcr::Client, count: u8, len: usize) -> Result<Donor> {
    let payloads: Vec<_> = (0..count)
        .map(|number| [vec![OURS, number], payload(number.into(), len)].concat())
        .collect();
    let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    let mut donor = Donor::holding(client, &payloads)?;
    donor.queued.dump = Dump(Vec::new());
    Ok(donor)
}

/// Others send and read all the time. What is not reported to be missing gets to the reader once,
/// whole, and in order.
fn flooded() -> Result<()> {
    const ROUNDS: usize = 100;

    let mut client = cr::client()?;
    let donor = numbered(&mut client, 30, 500)?;
    let target = bound()?;
    let large = RawAttr::u32(attr::RCVBUF, 400_000);
    let stop = AtomicBool::new(false);
    let (queued, found) = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| -> Result<u64> {
                    let socket = UdpSocket::bind(("127.0.0.1", 0))?;
                    let mut count = 0;
                    while !stop.load(Ordering::Relaxed) {
                        socket.send_to(&[1; 100], HERE)?;
                        count += 1;
                    }
                    Ok(count)
                })
            })
            .collect();
        let reader = scope.spawn(|| read_all(&target, &stop));
        let work = || -> Result<usize> {
            let mut queued = 0;
            let begin = request(&Dump(vec![large]), &target);
            for _ in 0..ROUNDS {
                Part::Begin.amend(&mut client, &begin.0)?;
                Part::Queue.amend(&mut client, &donor.queued.queue)?;
                let failed = commit(&mut client)?.failed;
                queued += match failed.as_slice() {
                    [] => donor.expected.len(),
                    [one] if one.error.errno == libc::ENOBUFS => {
                        usize::try_from(one.index.context("which one?")?)?
                    }
                    _ => anyhow::bail!("{failed:?}"),
                };
            }
            Ok(queued)
        };
        let queued = work();
        stop.store(true, Ordering::Release);
        let mut sent = 0;
        for sender in senders {
            sent += sender.join().map_err(|_| anyhow::anyhow!("a panic"))??;
        }
        let found = reader.join().map_err(|_| anyhow::anyhow!("a panic"))??;
        ensure!(sent > 0, "nobody sends");
        Ok((queued?, found))
    })?;
    let ours: Vec<_> = found.iter().filter(|one| one[0] == OURS).collect();
    println!("{queued} queued, {} others", found.len() - ours.len());
    ensure!(ours.len() == queued, "{} of {queued} were read", ours.len());
    ensure!(found.len() > ours.len(), "nothing else came");
    // Each round begins with the first.
    let mut next = 0;
    for one in ours {
        let at = usize::from(one[1]);
        ensure!(at == next || at == 0, "{at} behind {next}");
        ensure!(**one == donor.expected[at].payload, "{at} is another one");
        next = (at + 1) % donor.expected.len();
    }
    ensure!(queued > 0, "none was queued");
    Ok(())
}

/// Several transactions of several netlink sockets about one socket: each is whole and in its
/// order.
fn several() -> Result<()> {
    let mut client = cr::client()?;
    let donor = numbered(&mut client, 20, 50)?;
    let target = bound()?;
    let stop = AtomicBool::new(false);
    // All of it has room.
    socket::set_int(&target, libc::SOL_SOCKET, libc::SO_RCVBUF, 400_000)?;
    let rounds = 8;
    let found = std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_all(&target, &stop));
        let writers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    let mut client = cr::client()?;
                    let mut done = 0;
                    while done < rounds {
                        match donor.give(&mut client, &target) {
                            Ok(()) => done += 1,
                            // The other ones have the lock, too.
                            Err(error) if format!("{error:#}").contains("EBUSY") => {
                                client = cr::client()?;
                            }
                            Err(error) => return Err(error),
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        let mut result = Ok(());
        for writer in writers {
            let done = writer.join().map_err(|_| anyhow::anyhow!("a panic"))?;
            result = result.and(done);
        }
        stop.store(true, Ordering::Release);
        let found = reader.join().map_err(|_| anyhow::anyhow!("a panic"))??;
        result.map(|()| found)
    })?;
    // The lock is kept meanwhile: they are not mixed.
    let numbers: Vec<_> = found.iter().map(|one| one[1]).collect();
    let one: Vec<_> = (0..20).collect();
    let expected: Vec<u8> = one.repeat(3 * rounds);
    ensure!(
        numbers == expected,
        "{} messages: {numbers:?}",
        numbers.len()
    );
    Ok(())
}
