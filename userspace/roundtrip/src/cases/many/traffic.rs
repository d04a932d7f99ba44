// SPDX-License-Identifier: GPL-2.0

//! Sockets that come and go while an answer is read: those that stay are there, once.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result, ensure};
use inetcr::{Record, Scope, Selection};

use super::reading::{Reading, SMALL};
use super::{at, bound, descriptors_in, dump_many, inode, me, nth_address, of, report};
use crate::cases::lifetime::while_another;
use crate::cr::{self, Dump};
use crate::runner::Test;
use crate::sys::{socket, task};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("many::traffic::one_port", || come_and_go(on_one)),
        Test::new("many::traffic::many_ports", || come_and_go(on_many)),
        Test::new("many::traffic::half_goes::one_port", || half_goes(on_one)),
        Test::new("many::traffic::half_goes::many_ports", || {
            half_goes(on_many)
        }),
        Test::new("many::traffic::all_go", all_go),
        Test::new("many::traffic::at_once", at_once).slow(),
        Test::new("many::traffic::two_readers", two_readers).slow(),
        Test::new("many::traffic::descriptors", descriptors),
        Test::new("many::traffic::snapshots", snapshots).slow(),
    ]
}

/// Where a socket is made.
type Make = fn(u16) -> Result<UdpSocket>;

fn on_one(number: u16) -> Result<UdpSocket> {
    at(nth_address(number.into()), 7000)
}

fn on_many(number: u16) -> Result<UdpSocket> {
    bound(10_000 + number)
}

const COUNT: u16 = 200;

/// How often each inode number is there.
fn counts_of<'a>(records: impl IntoIterator<Item = &'a Dump>) -> Result<BTreeMap<u64, usize>> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(inode(record)?).or_default() += 1;
    }
    Ok(counts)
}

/// Fails unless those that stay are there once, whole, and no other one twice.
fn each_that_stays_once(records: &[Dump], stay: &[UdpSocket]) -> Result<()> {
    let counts = counts_of(records)?;
    let twice = counts.iter().find(|(_, count)| **count != 1);
    ensure!(twice.is_none(), "there twice: {twice:?}");
    let refused = records.iter().filter(|record| report(record).is_some());
    let refused = counts_of(refused)?;
    for (place, socket) in stay.iter().enumerate() {
        let inode = socket::inode(socket)?;
        ensure!(counts.contains_key(&inode), "{place} is not there");
        // One that is being closed may be.
        ensure!(!refused.contains_key(&inode), "{place} is refused");
    }
    Ok(())
}

/// One goes and one comes with each part that is read.
fn come_and_go(make: Make) -> Result<()> {
    let (mut stay, mut go) = (Vec::new(), Vec::new());
    for number in 0..COUNT {
        let socket = make(number)?;
        if number % 2 == 0 {
            stay.push(socket);
        } else {
            go.push(socket);
        }
    }
    let mut reading = Reading::begin(&[], SMALL)?;
    let mut numbers = COUNT..;
    let mut come = Vec::new();
    while reading.part()? {
        go.pop();
        let number = numbers.next().context("no number is left")?;
        come.push(make(number)?);
    }
    ensure!(come.len() > 10, "{} parts", come.len());
    each_that_stays_once(&reading.whole()?, &stay)
}

/// Every other one goes, or those between: in one of both cases the one at which the answer has
/// stopped is among them.
fn half_goes(make: Make) -> Result<()> {
    for rest in 0..2 {
        let mut sockets = Vec::new();
        for number in 0..COUNT {
            sockets.push((number, make(number)?));
        }
        let mut reading = Reading::begin(&[], SMALL)?;
        reading.part()?;
        sockets.retain(|(number, _)| number % 2 == rest);
        let stay: Vec<_> = sockets.into_iter().map(|(_, socket)| socket).collect();
        each_that_stays_once(&reading.whole()?, &stay)?;
    }
    Ok(())
}

/// And then there is nothing more to read but the part that was made before.
fn all_go() -> Result<()> {
    let sockets: Vec<_> = (0..COUNT).map(on_one).collect::<Result<_>>()?;
    let mut reading = Reading::begin(&[], SMALL)?;
    reading.part()?;
    drop(sockets);
    let records = reading.whole()?;
    ensure!(
        records.len() < usize::from(COUNT),
        "those that are gone are there"
    );
    each_that_stays_once(&records, &[])
}

/// Others come and go on another processor.
fn at_once() -> Result<()> {
    let mut client = cr::client()?;
    let mut stay: Vec<_> = (0..20).map(on_one).collect::<Result<_>>()?;
    stay.extend((0..20).map(on_many).collect::<Result<Vec<_>>>()?);
    let next = AtomicU16::new(0);
    while_another(
        || {
            let number = 100 + next.fetch_add(1, Ordering::Relaxed) % 1000;
            let _ = (on_one(number), on_many(number));
        },
        || {
            for _ in 0..40 {
                each_that_stays_once(&dump_many(&mut client, &[])?, &stay)?;
            }
            Ok(())
        },
    )
}

/// Two netlink sockets, each with an answer of its own.
fn two_readers() -> Result<()> {
    let stay: Vec<_> = (0..60).map(on_one).collect::<Result<_>>()?;
    let read = || -> Result<()> {
        for _ in 0..20 {
            each_that_stays_once(&Reading::begin(&[], SMALL)?.whole()?, &stay)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(read);
        read()?;
        other
            .join()
            .map_err(|_| anyhow::anyhow!("the thread panicked"))?
    })
}

/// Descriptors that are closed, used again for another socket or a file, and new ones.
fn descriptors() -> Result<()> {
    let mut sockets: Vec<_> = (0..120).map(|_| socket::udp()).collect::<Result<_, _>>()?;
    let file = std::fs::File::open("/dev/null")?;
    let me = me()?;
    let mut reading = Reading::begin(&[of(&me)], SMALL)?;
    let mut step = 0;
    let (mut gone, mut new) = (Vec::new(), Vec::new());
    while reading.part()? {
        // From the end and from the beginning: what was read already, and what was not.
        for place in [2 * step + 1, sockets.len() - 1 - step] {
            let socket = sockets.get(place).context("too many parts")?;
            gone.push(socket.as_raw_fd().cast_unsigned());
            if step % 2 == 0 {
                task::dup_onto(&file, socket.as_raw_fd())?;
            } else {
                task::dup_onto(&socket::udp()?, socket.as_raw_fd())?;
            }
        }
        new.push(socket::udp()?);
        step += 1;
    }
    let records = reading.whole()?;
    let found = descriptors_in(&records)?;
    ensure!(
        found.is_sorted_by(|left, right| left.0 < right.0),
        "not in their order: {found:?}"
    );
    sockets.retain(|socket| !gone.contains(&socket.as_raw_fd().cast_unsigned()));
    ensure!(sockets.len() > 60, "{} are left", sockets.len());
    for socket in &sockets {
        let which = (socket.as_raw_fd().cast_unsigned(), socket::inode(socket)?);
        ensure!(found.contains(&which), "{which:?} is not in {found:?}");
    }
    Ok(())
}

/// One that is gone before the datagrams that wait in it were dumped is refused, and no more.
fn snapshots() -> Result<()> {
    let stay = bound(7000)?;
    let peer = bound(7001)?;
    peer.send_to(b"stays", (Ipv4Addr::LOCALHOST, 7000))?;
    let mut client = cr::client()?;
    let me = me()?;
    let cookie = Some(socket::cookie(&stay)?);
    while_another(
        || {
            for port in 7100..7110 {
                if let Ok(socket) = bound(port) {
                    let _ = peer.send_to(b"goes", (Ipv4Addr::LOCALHOST, port));
                    drop(socket);
                }
            }
        },
        || {
            for round in 0..60 {
                let scope = match round % 2 {
                    0 => Scope::Namespace,
                    _ => Scope::Process(me.as_fd()),
                };
                let records = client.snapshot_many(Selection::from(scope))?;
                let found = records.iter().find_map(|record| match record {
                    Record::Dumped(snapshot) if snapshot.cookie == cookie => Some(snapshot),
                    _ => None,
                });
                let found = found.context("the one that stays is not there")?;
                ensure!(
                    found.queue.len() == 1 && found.queue[0].payload == b"stays",
                    "{found:?}"
                );
                for record in &records {
                    if let Record::Refused(refused) = record {
                        let errno = refused.error.errno;
                        let is_gone = [libc::ENOENT, libc::ESTALE, libc::EBADF, libc::ENOTSOCK];
                        // The netlink socket, which is none of UDP, and one that is being closed.
                        let is_other = errno == libc::EOPNOTSUPP || errno == libc::EBUSY;
                        ensure!(is_gone.contains(&errno) || is_other, "{refused}");
                    }
                }
            }
            Ok(())
        },
    )
}
