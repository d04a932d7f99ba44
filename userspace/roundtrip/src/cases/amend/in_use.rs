// SPDX-License-Identifier: GPL-2.0

//! A socket that others use while it is amended.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use inetcr::{RawAttr, UdpFlags};

use super::devices::{bind_to, sending_by};
use super::{HERE, amend, amend_all, bound, donor_of_all, is_amended, refused, request};
use crate::cases::encap::{ESP, UDP, UDP_ENCAP, after, said_by};
use crate::cases::lifetime::{while_another, while_sender_sleeps, without_room};
use crate::cr::{self, Expected, attr};
use crate::groups::{SOURCES, member};
use crate::observe::{observe, same};
use crate::places::{GROUP, PEER};
use crate::runner::{Test, skip};
use crate::sys::filter::{self, Instruction};
use crate::sys::{link, multicast, socket};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("amend::in_use::by_all", by_all).slow(),
        Test::new("amend::in_use::moved", moved).slow(),
        Test::new("amend::in_use::locked_by_a_sender", locked_by_a_sender),
        Test::new("amend::in_use::not_by_half", not_by_half).slow(),
        Test::new("amend::in_use::not_merging", not_merging),
        Test::new("amend::in_use::keeps_what_waits", keeps_what_waits),
    ]
}

/// What others do to the socket meanwhile, each in a thread of its own.
const DOINGS: &[fn(&UdpSocket)] = &[
    |fd| {
        let _ = fd.send_to(b"datagram", HERE);
        let _ = fd.send_to(b"refused", PEER);
    },
    |fd| {
        let _ = socket::receive(fd, libc::MSG_DONTWAIT);
        let _ = socket::receive(fd, libc::MSG_DONTWAIT | libc::MSG_ERRQUEUE);
    },
    |fd| {
        for on in [1, 0] {
            let _ = socket::set_int(fd, libc::SOL_SOCKET, libc::SO_BROADCAST, on);
            let _ = socket::set_int(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, 5000 << on);
            let _ = socket::set_int(fd, libc::SOL_IP, libc::IP_RECVERR, on);
            let _ = socket::set_int(fd, libc::SOL_UDP, 1, on);
        }
    },
    |fd| {
        let _ = multicast::join(fd, GROUP, multicast::LOOPBACK);
        let _ = multicast::leave(fd, GROUP, multicast::LOOPBACK);
    },
    |fd| {
        let _ = filter::attach(fd, libc::SO_ATTACH_FILTER, &[Instruction::taking(9)]);
        let _ = socket::set_int(fd, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, 0);
    },
    |fd| {
        let _ = socket::send_to(fd, b"more", libc::MSG_MORE | libc::MSG_DONTWAIT, HERE);
        let _ = socket::send_to(fd, b"all", libc::MSG_DONTWAIT, HERE);
    },
];

/// Does all of that to a socket while a body runs.
fn while_used<R>(fd: &UdpSocket, doings: &[fn(&UdpSocket)], body: impl FnOnce() -> R) -> Result<R> {
    let stop = AtomicBool::new(false);
    let rounds: Vec<_> = doings.iter().map(|_| AtomicU32::new(0)).collect();
    let result = std::thread::scope(|scope| {
        for (doing, rounds) in doings.iter().zip(&rounds) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    doing(fd);
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let result = body();
        stop.store(true, Ordering::Relaxed);
        result
    });
    let idle = rounds
        .iter()
        .position(|one| one.load(Ordering::Relaxed) == 0);
    ensure!(idle.is_none(), "nobody did {idle:?}");
    Ok(result)
}

/// Whatever is reported meanwhile: the socket and the kernel are whole, and the next request, when
/// nobody else uses the socket, has its way.
fn by_all() -> Result<()> {
    const LOCK_FILTER: u32 = 1 << 6;

    let mut client = cr::client()?;
    let donor = donor_of_all()?;
    socket::bind(&donor, HERE)?;
    let dump = cr::dump(&mut client, &donor)?;
    drop(donor);
    // Not locked, so that others attach filters all the time.
    let flags = dump.u32(35).context("no flags")? & !LOCK_FILTER;
    let dump = dump.with(RawAttr::u32(35, flags));
    let target = bound()?;
    let (mut applied, mut reports) = (0, 0);
    while_used(&target, DOINGS, || -> Result<()> {
        let end = Instant::now() + Duration::from_secs(4);
        while Instant::now() < end {
            match amend(&mut client, &dump, &target) {
                Ok(amended) => {
                    applied += 1;
                    reports += amended.failed.len();
                }
                Err(error) => {
                    let errno = error.errno();
                    ensure!(errno == Some(libc::EBUSY), "{error}");
                }
            }
        }
        Ok(())
    })??;
    println!("{applied} requests, {reports} reports");
    ensure!(applied > 0, "none was applied");

    amend_all(&mut client, &dump, &target)?;
    let again = cr::dump(&mut client, &target)?;
    for number in [
        attr::FILTER,
        attr::IP,
        attr::RCVBUF,
        attr::SNDBUF,
        attr::BIND_LOCKS,
        35,
    ] {
        ensure!(
            again.all(number) == dump.all(number),
            "{number}: {:02x?}",
            again.all(number)
        );
    }
    let members = again.all(attr::MEMBERSHIP);
    for member in dump.all(attr::MEMBERSHIP) {
        ensure!(members.contains(&member), "not {member:02x?}");
    }
    Ok(())
}

/// A socket that moves is refused, or amended where it is: its locks are never those of a place
/// that it has left.
fn moved() -> Result<()> {
    let mut client = cr::client()?;
    let donor = socket::udp()?;
    socket::connect(&donor, PEER)?;
    let dump = cr::dump(&mut client, &donor)?;
    let target = socket::udp()?;
    drop(donor);
    let moves: &[fn(&UdpSocket)] = &[|fd| {
        let _ = socket::connect(fd, PEER);
        let _ = socket::disconnect(fd);
    }];
    let locks = cr::Dump(vec![RawAttr::u32(attr::BIND_LOCKS, 2)]);
    let (mut good, mut bad) = (0, 0);
    while_used(&target, moves, || -> Result<()> {
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            for dump in [&dump, &locks] {
                match amend(&mut client, dump, &target) {
                    Ok(amended) if amended.failed.is_empty() => good += 1,
                    Ok(amended) => {
                        // Or the lock could not be had for ten milliseconds.
                        let expected = amended.failed.iter().all(|failure| {
                            failure.place() == "bind-locks" || failure.error.errno == libc::EBUSY
                        });
                        ensure!(expected, "{:?}", amended.failed);
                        bad += 1;
                    }
                    Err(error) => {
                        let errno = error.errno().unwrap_or_default();
                        let expected = [libc::ESTALE, libc::EBUSY, libc::EINVAL];
                        ensure!(expected.contains(&errno), "{error}");
                        bad += 1;
                    }
                }
                // What a lock may be about is there.
                let now = cr::dump(&mut client, &target);
                if let Ok(now) = now {
                    let locked = now.u32(attr::BIND_LOCKS).unwrap_or_default() & 2 != 0;
                    ensure!(
                        !locked || now.get(attr::LOCAL_PORT).is_some(),
                        "no port to lock"
                    );
                }
            }
        }
        Ok(())
    })??;
    println!("{good} applied, {bad} not");
    ensure!(good > 0 && bad > 0, "{good} applied, {bad} not");
    Ok(())
}

/// A sender that waits for room in the buffer while it keeps the socket locked: nothing is done,
/// and the answer does not wait until the sender is done.
fn locked_by_a_sender() -> Result<()> {
    let target = without_room()?;
    let dump = cr::dump(&mut cr::client()?, &target)?.with(RawAttr::u32(6, 1));
    while_sender_sleeps(&target, |client| {
        let expected = Expected::errno(&[libc::EBUSY]).word("freeze");
        cr::refused(client.raw(cr::AMEND, &request(&dump, &target).0), expected)
    })?;
    let broadcast = socket::get_int(&target, libc::SOL_SOCKET, libc::SO_BROADCAST)?;
    ensure!(broadcast == 0, "it was amended");
    Ok(())
}

/// A device to send by is set while the socket is not bound to another one. It is bound again
/// afterwards, though a sender may have locked it meanwhile, for longer than a request waits.
fn not_by_half() -> Result<()> {
    const SO_BINDTOIFINDEX: i32 = 62;
    const LONGER_THAN_A_REQUEST_WAITS: [i64; 2] = [0, 15_000]; // struct timeval

    let target = without_room()?;
    bind_to(&target, "silent0")?;
    let timeout = LONGER_THAN_A_REQUEST_WAITS.map(i64::to_ne_bytes).concat();
    socket::set(&target, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &timeout)?;
    let mut client = cr::client()?;
    let mut dump = cr::dump(&mut client, &sending_by("lo")?)?;
    dump.0.retain(|one| one.number() == attr::IP);
    let bound = || socket::get_int(&target, libc::SOL_SOCKET, SO_BINDTOIFINDEX);
    let before = bound()?;
    let sender = || drop(socket::send(&target, &[0; 1000], libc::MSG_MORE));
    let (applied, not) = while_another(sender, || {
        let (mut applied, mut not) = (0, 0);
        // How long a round takes depends on who gets the lock.
        let end = Instant::now() + Duration::from_secs(4);
        while Instant::now() < end {
            match amend(&mut client, &dump, &target) {
                Ok(amended) if amended.failed.is_empty() => applied += 1,
                Ok(_) => not += 1,
                Err(error) => {
                    ensure!(error.errno() == Some(libc::EBUSY), "{error}");
                    not += 1;
                }
            }
            ensure!(
                bound()? == before,
                "not bound, {applied} applied, {not} not"
            );
            let none = [0_u8; 4];
            socket::set(&target, libc::SOL_IP, libc::IP_UNICAST_IF, &none)?;
        }
        Ok((applied, not))
    })?;
    // What waits there keeps its socket.
    link::remove("silent0")?;
    println!("{applied} applied, {not} not");
    ensure!(not > 0, "the sender was never in the way");
    Ok(())
}

/// `UDP_ENCAP` for ESP is not set while `UDP_GRO` is on that was to be off, here because its owner
/// has switched it on again: the two leave behind that ESP packets are merged, for ever.
fn not_merging() -> Result<()> {
    let mut client = cr::client()?;
    let donor = after(&[(UDP_ENCAP, ESP)])?;
    if said_by(&cr::dump(&mut client, &donor)?)?.1 == 0 {
        return skip("CONFIG_XFRM");
    }
    // They come between the two, and take their time.
    fs::write("/proc/sys/net/ipv4/igmp_max_memberships", "400")?;
    for number in 0..400_u32 {
        let group = Ipv4Addr::from_bits(GROUP.to_bits() + number);
        multicast::join(&donor, group, multicast::LOOPBACK)?;
    }
    let mut dump = cr::dump(&mut client, &donor)?;
    dump.0
        .retain(|one| [UDP, attr::MEMBERSHIP].contains(&one.number()));
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        let target = bound()?;
        let merge = || {
            let _ = socket::set_int(&target, libc::SOL_UDP, libc::UDP_GRO, 1);
            // The request wants the lock as well.
            std::thread::sleep(Duration::from_micros(100));
        };
        let amended = match while_another(merge, || Ok(amend(&mut client, &dump, &target)))? {
            Err(error) if error.errno() == Some(libc::EBUSY) => continue,
            other => other?,
        };
        let errnos: Vec<_> = (amended.failed.iter())
            .map(|failure| failure.error.errno)
            .collect();
        if errnos.contains(&libc::ECANCELED) {
            let (flags, _) = said_by(&cr::dump(&mut client, &target)?)?;
            let merges = flags.contains(UdpFlags::GRO_RECEIVE);
            ensure!(!merges, "ESP packets are merged");
            return Ok(());
        }
    }
    bail!("nothing was cancelled");
}

/// What waits in the socket stays, in front of what comes later: datagrams, errors and a corked
/// datagram.
fn keeps_what_waits() -> Result<()> {
    let mut client = cr::client()?;
    let donor = bound()?;
    // As the target will.
    UdpSocket::bind(("127.0.0.1", 0))?.send_to(b"received", HERE)?;
    socket::receive(&donor, libc::MSG_DONTWAIT)?;
    member(GROUP).only(SOURCES).join(&donor)?;
    filter::attach(&donor, libc::SO_ATTACH_FILTER, &[Instruction::taking(11)])?;
    socket::set_int(&donor, libc::SOL_SOCKET, libc::SO_RCVBUF, 100_000)?;
    socket::set_int(&donor, libc::SOL_IP, libc::IP_RECVERR, 1)?;
    let donor = cr::checkpoint(&mut client, donor)?;

    let target = bound()?;
    let peer = UdpSocket::bind(("127.0.0.1", 0))?;
    peer.send_to(b"before", HERE)?;
    socket::send_to(&target, b"corked, ", libc::MSG_MORE, socket::name(&peer)?)?;
    amend_all(&mut client, &donor.dump, &target)?;
    peer.send_to(b"behind", HERE)?;
    socket::send_to(&target, b"sent", 0, socket::name(&peer)?)?;

    let (first, _) = socket::receive(&target, libc::MSG_DONTWAIT)?;
    let (second, _) = socket::receive(&target, libc::MSG_DONTWAIT)?;
    ensure!(
        first == b"before" && second == b"beh",
        "{first:?}, {second:?}"
    );
    let (sent, _) = socket::receive(&peer, libc::MSG_DONTWAIT)?;
    ensure!(sent == b"corked, sent", "{sent:?}");
    is_amended(&mut client, &donor, &target)?;

    // One that is refused leaves all of it, too.
    let before = observe(&target);
    let stale = request(&donor.dump, &target).with(RawAttr::u32(attr::SOCK_TYPE, 1));
    refused(
        &mut client,
        &stale,
        &target,
        Expected::errno(&[libc::ESTALE]),
    )?;
    same("the refusal changed it", &before, &observe(&target))
}
