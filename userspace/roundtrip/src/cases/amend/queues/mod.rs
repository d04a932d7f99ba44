// SPDX-License-Identifier: GPL-2.0

//! What waited in a donor comes to a socket that exists, behind what waits there.

mod bounds;
mod ends;
mod faults;
mod in_use;
mod privileges;

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};

use anyhow::{Context, Result, ensure};
use inetcr::{Amended, Client, Error, Image, RawAttr, Selector};

use super::{bound, request};
use crate::cases::errqueue::kinds;
use crate::cases::maps::device;
use crate::cases::queue::traffic::{HERE, SO_RXQ_OVFL, holding, payload, peer, receiver};
use crate::cases::queue::{arrivals, drain, same_messages, seen};
use crate::cases::selectors::child_with;
use crate::cr::{self, Dump, Part, Queued, attr, carrying, same_dump};
use crate::observe::same;
use crate::places::{OTHER, PEER};
use crate::runner::Test;
use crate::sys::socket::{self, Message};
use crate::sys::task;

pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for name in arrivals::names() {
        let path = format!("amend::queues::arrivals::{name}");
        tests.push(Test::new(path, || comes(arrivals::received(name)?)));
    }
    for name in kinds::names() {
        let path = format!("amend::queues::kinds::{name}");
        tests.push(Test::new(path, || comes(kinds::made(name)?)));
    }
    tests.extend([
        Test::new("amend::queues::told_of_drops", told_of_drops),
        Test::new("amend::queues::behind_what_waits", behind_what_waits),
        Test::new("amend::queues::errors_behind_errors", errors_behind_errors),
        Test::new(
            "amend::queues::nothing_but_the_queue",
            nothing_but_the_queue,
        ),
        Test::new("amend::queues::without_a_queue", without_a_queue),
        Test::new("amend::queues::messages_of_any_size", any_size),
        Test::new("amend::queues::maps", maps),
        Test::new("amend::queues::other_process", other_process),
        Test::new("amend::queues::by_the_library", by_the_library),
        Test::new("amend::queues::selfcheck", selfcheck),
    ]);
    tests.extend(ends::tests());
    tests.extend(bounds::tests());
    tests.extend(in_use::tests());
    tests.extend(privileges::tests());
    tests.extend(faults::tests());
    tests
}

/// What a donor was that is gone, or that somebody has read.
struct Donor {
    queued: Queued,
    /// What its reader got.
    expected: Vec<Message>,
}

impl Donor {
    /// Dumps a socket, and reads it.
    fn of(client: &mut Client, original: &UdpSocket) -> Result<Self> {
        let queued = Queued::of(client, original)?;
        let expected = drain(original)?;
        Ok(Self { queued, expected })
    }

    /// A donor with these datagrams.
    fn holding(client: &mut Client, payloads: &[&[u8]]) -> Result<Self> {
        Self::of(client, &holding(payloads)?)
    }

    /// Begins a transaction about a socket. The state must be applied.
    fn begin(&self, client: &mut Client, target: &impl AsRawFd) -> Result<()> {
        let attrs = request(&self.queued.dump, target);
        let answer = Part::Begin.amend(client, &attrs.0).context("begin")?;
        let amended = Amended::from_attrs(&answer)?;
        ensure!(amended.failed.is_empty(), "{:?}", amended.failed);
        ensure!(
            amended.inode == socket::inode(target)? && amended.cookie == socket::cookie(target)?,
            "begin is about another socket"
        );
        Ok(())
    }

    /// Begins a transaction, and sends what waited.
    fn almost(&self, client: &mut Client, target: &impl AsRawFd) -> Result<()> {
        self.begin(client, target)?;
        for attrs in carrying(&self.queued.queue, 60_000) {
            let answer = Part::Queue.amend(client, attrs).context("queue")?;
            ensure!(answer.is_empty(), "queue answers {answer:?}");
        }
        Ok(())
    }

    /// Gives a socket all of it.
    fn give(&self, client: &mut Client, target: &impl AsRawFd) -> Result<()> {
        self.almost(client, target)?;
        let amended = commit(client).context("commit")?;
        ensure!(amended.failed.is_empty(), "{:?}", amended.failed);
        ensure!(
            amended.inode == socket::inode(target)? && amended.cookie == socket::cookie(target)?,
            "commit is about another socket"
        );
        Ok(())
    }
}

/// Ends a transaction.
fn commit(client: &mut Client) -> Result<Amended, Error> {
    Amended::from_attrs(&Part::Commit.amend(client, &[])?)
}

/// Fails unless nothing waits in a socket.
fn is_empty(socket: &UdpSocket) -> Result<()> {
    let found = drain(socket)?;
    ensure!(found.is_empty(), "there is {found:02x?}");
    Ok(())
}

/// A socket at a place, by plain calls.
fn placed(name: SocketAddrV4, peer: Option<SocketAddrV4>, dump: &Dump) -> Result<UdpSocket> {
    let target = socket::udp()?;
    socket::bind(&target, name)?;
    if let Some(peer) = peer {
        let broadcast = i32::from(dump.u32(6) == Some(1));
        socket::set_int(&target, libc::SOL_SOCKET, libc::SO_BROADCAST, broadcast)?;
        socket::connect(&target, peer)?;
    }
    Ok(target)
}

/// All of a donor, its options and what waits in it, comes to a socket that is at its place.
fn comes(original: UdpSocket) -> Result<()> {
    let mut client = cr::client()?;
    let before = seen(&original);
    let (name, peer) = (socket::name(&original)?, socket::peer(&original).ok());
    let donor = Donor::of(&mut client, &original)?;
    ensure!(!donor.expected.is_empty(), "nothing waits");
    drop(original);

    let target = placed(name, peer, &donor.queued.dump)?;
    donor.give(&mut client, &target)?;
    same("donor != amended", &before, &seen(&target))?;
    let again = Queued::of(&mut client, &target)?;
    same_dump(&donor.queued.dump, &again.dump)?;
    let (found, expected) = (again.datagrams()?, donor.queued.datagrams()?);
    ensure!(found == expected, "{found:02x?}\nnot {expected:02x?}");
    same_messages(&donor.expected, &drain(&target)?)
}

/// A datagram that came after others were dropped says how many they were.
fn told_of_drops() -> Result<()> {
    let mut client = cr::client()?;
    let original = receiver()?;
    socket::set_int(&original, libc::SOL_SOCKET, libc::SO_RCVBUF, 4096)?;
    let peer = peer()?;
    for number in 0..50 {
        peer.send_to(&payload(number, 100), HERE)?;
    }
    ensure!(!drain(&original)?.is_empty(), "nothing fits");
    for number in 0..2 {
        peer.send_to(&payload(number, 10), HERE)?;
    }
    let donor = Donor::of(&mut client, &original)?;
    drop((original, peer));
    let counts = |messages: &[Message]| -> Vec<_> {
        let control = messages.iter().flat_map(|message| &message.control);
        let counts = control.filter(|one| (one.0, one.1) == (libc::SOL_SOCKET, SO_RXQ_OVFL));
        counts.map(|one| one.2.clone()).collect()
    };
    ensure!(counts(&donor.expected).len() == 2, "nobody was told");
    let target = receiver()?;
    donor.give(&mut client, &target)?;
    let found = drain(&target)?;
    ensure!(
        counts(&found) == counts(&donor.expected),
        "{:?}, not {:?}",
        counts(&found),
        counts(&donor.expected)
    );
    same_messages(&donor.expected, &found)
}

/// What waits in the socket comes first, then what is restored, then what arrives later.
fn behind_what_waits() -> Result<()> {
    let mut client = cr::client()?;
    let donor = Donor::holding(&mut client, &[b"three", b"", b"five"])?;
    let target = bound()?;
    let peer = peer()?;
    peer.send_to(b"one", HERE)?;
    donor.begin(&mut client, &target)?;
    peer.send_to(b"two", HERE)?;
    Part::Queue.amend(&mut client, &donor.queued.queue)?;
    let amended = commit(&mut client)?;
    ensure!(amended.failed.is_empty(), "{:?}", amended.failed);
    peer.send_to(b"six", HERE)?;
    let found: Vec<_> = drain(&target)?.into_iter().map(|one| one.payload).collect();
    let expected: [&[u8]; 6] = [b"one", b"two", b"three", b"", b"five", b"six"];
    ensure!(found == expected, "{found:?}");
    Ok(())
}

/// The same of errors, and what is of `MSG_ZEROCOPY` is not put in front.
fn errors_behind_errors() -> Result<()> {
    let mut client = cr::client()?;
    let original = kinds::made("mixed")?;
    let donor = Donor::of(&mut client, &original)?;
    drop(original);
    let target = kinds::made("host_unreachable")?;
    let first = Queued::of(&mut client, &target)?.datagrams()?;
    ensure!(first.len() == 1, "{first:?}");
    let state = donor.queued.dump.clone();
    // The pending error of the target is newer.
    let donor = Donor {
        queued: Queued {
            dump: state.without(47).without(48),
            ..donor.queued
        },
        ..donor
    };
    donor.give(&mut client, &target)?;
    let found = Queued::of(&mut client, &target)?.datagrams()?;
    let expected = [first, donor.queued.datagrams()?].concat();
    ensure!(found == expected, "{found:02x?}\nnot {expected:02x?}");
    let messages = drain(&target)?;
    same_messages(&donor.expected, messages.get(1..).context("nothing")?)
}

/// The state may be left out.
fn nothing_but_the_queue() -> Result<()> {
    let mut client = cr::client()?;
    let mut donor = Donor::holding(&mut client, &[b"one", b"two"])?;
    donor.queued.dump = Dump(Vec::new());
    let target = bound()?;
    let before = seen(&target);
    donor.give(&mut client, &target)?;
    same_messages(&donor.expected, &drain(&target)?)?;
    same("before != after", &before, &seen(&target))
}

/// And so may the queue: what is begun applies the state, and reports as ever.
fn without_a_queue() -> Result<()> {
    let mut client = cr::client()?;
    let original = bound()?;
    socket::set_int(&original, libc::SOL_IP, libc::IP_TTL, 9)?;
    let dump = cr::dump(&mut client, &original)?;
    drop(original);
    let target = bound()?;
    let lengths = [attr::QUEUE_LEN, attr::ERROR_QUEUE_LEN, attr::CORK_LEN];
    let said = lengths
        .into_iter()
        .fold(dump, |dump, number| dump.with(RawAttr::u32(number, 1)));
    let answer = Part::Begin.amend(&mut client, &request(&said, &target).0)?;
    let failed = Amended::from_attrs(&answer)?.failed;
    let places: Vec<_> = failed.iter().map(inetcr::Failure::place).collect();
    ensure!(
        places == ["cork-len"] && failed[0].error.errno == libc::EOPNOTSUPP,
        "{failed:?}"
    );
    let amended = commit(&mut client)?;
    ensure!(amended.failed.is_empty(), "{:?}", amended.failed);
    ensure!(target.ttl()? == 9, "the state was not applied");
    is_empty(&target)
}

/// Pieces of payload and messages can be of any size, if they are in order.
fn any_size() -> Result<()> {
    let mut client = cr::client()?;
    let payloads = [payload(1, 40_000), Vec::new(), payload(2, 100)];
    let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    let donor = Donor::holding(&mut client, &payloads)?;
    let target = bound()?;
    for (piece, room) in [(16_384, 150_000), (16_383, 17_000), (1000, 0), (7, 30_000)] {
        let mut attrs = Vec::new();
        for (datagram, payload) in donor.queued.datagrams()? {
            attrs.push(RawAttr::nested(attr::DATAGRAM, &datagram.0));
            let pieces = payload.chunks(piece);
            attrs.extend(pieces.map(|piece| RawAttr::new(attr::PAYLOAD, piece)));
        }
        donor.begin(&mut client, &target)?;
        for message in carrying(&attrs, room) {
            Part::Queue.amend(&mut client, message)?;
        }
        commit(&mut client)?;
        same_messages(&donor.expected, &drain(&target)?)
            .with_context(|| format!("pieces of {piece}, messages of {room}"))?;
    }
    Ok(())
}

/// The maps of the beginning hold for the datagrams.
fn maps() -> Result<()> {
    let mut client = cr::client()?;
    let original = receiver()?;
    UdpSocket::bind((OTHER, 7002))?.send_to(b"mapped", HERE)?;
    let donor = Donor::of(&mut client, &original)?;
    drop(original);
    let queue = donor.queued.queue.clone();
    let mut renamed = Vec::new();
    for attr in queue {
        if attr.number() == attr::DATAGRAM {
            let inside = Dump(attr.children()?);
            let name = RawAttr::string(attr::datagram::IFNAME, c"gone0");
            renamed.push(RawAttr::nested(attr::DATAGRAM, &inside.with(name).0));
        } else {
            renamed.push(attr);
        }
    }
    let target = receiver()?;
    let there = Ipv4Addr::new(127, 0, 0, 9);
    let addrs = [(3, OTHER), (4, there)].map(|(number, addr)| RawAttr::new(number, addr.octets()));
    let addr = RawAttr::nested(attr::MAP, &addrs);
    let mut begin = request(&Dump(Vec::new()), &target);
    begin.0.extend([device("gone0", "lo"), addr]);
    Part::Begin.amend(&mut client, &begin.0)?;
    Part::Queue.amend(&mut client, &renamed)?;
    commit(&mut client)?;
    let found = drain(&target)?;
    let mut expected = donor.expected;
    expected[0].from = Some(SocketAddrV4::new(there, 7002));
    same_messages(&expected, &found)
}

/// A socket of another process, by its pidfd.
fn other_process() -> Result<()> {
    let mut client = cr::client()?;
    let donor = Donor::holding(&mut client, &[b"theirs", &payload(1, 30_000)])?;
    let (child, fd, inode) = child_with(bound, || Ok(()))?;
    let selector = Selector::Pidfd {
        pidfd: child.pidfd().as_fd(),
        fd,
    };
    let mut begin = donor.queued.dump.clone();
    begin = begin.without(attr::INODE).without(attr::COOKIE);
    begin.0.extend(inetcr::Target::from(selector).to_attrs());
    Part::Begin.amend(&mut client, &begin.0)?;
    for attrs in carrying(&donor.queued.queue, 60_000) {
        Part::Queue.amend(&mut client, attrs)?;
    }
    let amended = commit(&mut client)?;
    ensure!(
        amended.failed.is_empty() && amended.inode == inode,
        "{amended:?}"
    );
    let theirs = UdpSocket::from(task::take_descriptor(child.pidfd(), fd)?);
    same_messages(&donor.expected, &drain(&theirs)?)
}

/// What people use: by way of a file, in one call.
fn by_the_library() -> Result<()> {
    let mut client = cr::client()?;
    let original = kinds::made("with_datagrams")?;
    socket::set_int(&original, libc::SOL_UDP, 1, 1)?;
    // The error of a datagram before is told to the next one.
    if original.send_to(b"corked", PEER).is_err() {
        original.send_to(b"corked", PEER)?;
    }
    let snapshot = client.snapshot(Selector::Fd(original.as_raw_fd()))?;
    let expected = drain(&original)?;
    let name = socket::name(&original)?;
    drop(original);
    let text = Image::new([snapshot]).to_json()?;
    let mut snapshot = Image::from_json(&text)?.sockets.remove(0);
    let target = placed(name, None, &Dump(Vec::new()))?;
    let selector = || Selector::Fd(target.as_raw_fd());
    let amended = client.amend_snapshot(selector(), &snapshot)?;
    let failed: Vec<_> = amended.failed.iter().map(inetcr::Failure::place).collect();
    ensure!(failed == ["cork-len"], "{failed:?}");
    let again = client.snapshot(selector())?;
    // All but the corked one.
    (snapshot.corked, snapshot.state.cork_len) = (None, None);
    let unmet = snapshot.unmet_by(&again);
    ensure!(unmet.is_empty(), "{unmet:?}");
    same_messages(&expected, &drain(&target)?)?;

    // A failure in the middle leaves nothing, and the library's netlink socket as it was.
    let mut damaged = snapshot.clone();
    damaged.queue[3].payload.pop();
    let result = client.amend_snapshot(selector(), &damaged);
    cr::refused(result, cr::Expected::errno(&[libc::EINVAL]))?;
    is_empty(&target)?;
    let amended = client.amend_snapshot(selector(), &snapshot)?;
    ensure!(amended.failed.is_empty(), "{:?}", amended.failed);
    same_messages(&expected, &drain(&target)?)
}

/// The suite's own test: a datagram that gets lost on the way is missed, and so is its place or a
/// byte of it.
fn selfcheck() -> Result<()> {
    let mut client = cr::client()?;
    let donor = Donor::holding(&mut client, &[b"one", b"two"])?;
    let spoil: [fn(&mut Vec<RawAttr>); 3] = [
        |queue| queue.truncate(2),
        |queue| queue.rotate_left(2),
        |queue| queue[1].payload[0] ^= 1,
    ];
    for spoil in spoil {
        let mut queued = donor.queued.clone();
        spoil(&mut queued.queue);
        let expected = donor.expected.clone();
        let target = bound()?;
        let spoiled = Donor { queued, expected };
        spoiled.give(&mut client, &target)?;
        ensure!(
            same_messages(&spoiled.expected, &drain(&target)?).is_err(),
            "nobody misses it"
        );
    }
    Ok(())
}
