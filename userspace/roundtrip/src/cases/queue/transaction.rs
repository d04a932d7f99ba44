// SPDX-License-Identifier: GPL-2.0

//! The transaction that brings a socket with a queue back, and what others see of it.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use anyhow::{Context, Result, ensure};
use inetcr::{Client, RawAttr};

use super::ends::{gone, port_is_free};
use super::traffic::{HERE, holding, payload, peer, receiver};
use super::{drain, same_messages, seen};
use crate::cases::{flood_by_a_stranger, is_flooded};
use crate::cr::{self, Dump, Expected, Part, Queued, RESTORE, attr};
use crate::groups::member;
use crate::observe::same;
use crate::places::{GROUP, PEER, PORT};
use crate::rawnl::RawNetlink;
use crate::runner::Test;
use crate::sys::socket::{self};
use crate::sys::{namespace, task};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("queue::transaction::closed_to_others", closed_to_others),
        Test::new("queue::transaction::shared_port", shared_port),
        Test::new("queue::transaction::flood", flood).slow().alone(),
        Test::new("queue::transaction::messages_of_any_size", any_size).slow(),
        Test::new("queue::transaction::sent_together", sent_together),
        Test::new("queue::transaction::without_a_queue", without_a_queue),
        Test::new("queue::transaction::two_at_once", two_at_once),
        Test::new("queue::transaction::other_requests_between", others_between),
        Test::new("queue::transaction::in_another_thread", in_another_thread),
        Test::new("queue::transaction::by_a_child", by_a_child),
        Test::new(
            "queue::transaction::in_another_namespace",
            in_another_namespace,
        ),
        Test::new("queue::transaction::by_the_library", by_the_library),
    ]
}

/// Begins a transaction and sends its datagrams.
pub fn almost_done(client: &mut Client, queued: &Queued) -> Result<()> {
    Part::Begin.send(client, &queued.dump.0).context("begin")?;
    Part::Queue.send(client, &queued.queue).context("queue")?;
    Ok(())
}

pub fn commit(client: &mut Client) -> Result<UdpSocket> {
    Ok(Part::commit(client).context("commit")?.fd.into())
}

/// The port is taken from the begin on, and nothing gets in before the end: not before the
/// datagrams, not between them. What comes later is behind them.
fn closed_to_others() -> Result<()> {
    let mut client = cr::client()?;
    let (queued, mut expected) = gone(&mut client)?;
    let peer = peer()?;
    socket::connect(&peer, HERE)?;
    let send = |word: &[u8]| peer.send(word);
    Part::Begin.send(&mut client, &queued.dump.0)?;
    send(b"after begin")?;
    let taken = socket::bind(&socket::udp()?, HERE).err();
    let taken = taken.and_then(|error| error.raw_os_error());
    ensure!(taken == Some(libc::EADDRINUSE), "bind: {taken:?}");
    for attr in &queued.queue {
        Part::Queue.send(&mut client, std::slice::from_ref(attr))?;
        send(b"after a piece")?;
    }
    let copy = commit(&mut client)?;
    // Nobody was told that there is no such port.
    send(b"after commit").context("a peer is told of the transaction")?;
    let found = drain(&copy)?;
    let last = found.last().context("nothing waits")?;
    ensure!(last.payload == b"after commit", "{found:?}");
    expected.push(last.clone());
    same_messages(&expected, &found)
}

/// Of sockets that share a port by `SO_REUSEADDR`, the one that was bound last gets what is sent to
/// one host: that of the transaction while it is open, which drops it, and the copy after `commit`.
/// What is sent to a group is for all of them.
fn shared_port() -> Result<()> {
    let mut client = cr::client()?;
    let shared = || -> Result<UdpSocket> {
        let socket = socket::udp()?;
        socket::set_int(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        member(GROUP).join(&socket)?;
        socket::bind(&socket, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT))?;
        Ok(socket)
    };
    let original = shared()?;
    let peer = peer()?;
    peer.send_to(b"waits", HERE)?;
    let sibling = shared()?;
    let hears = |payload: &[u8], expected: &[&[u8]]| -> Result<()> {
        peer.send_to(payload, HERE)?;
        peer.send_to(b"all", (GROUP, PORT))?;
        let heard: Vec<_> = drain(&sibling)?
            .into_iter()
            .map(|one| one.payload)
            .collect();
        ensure!(heard == expected, "{heard:?}, not {expected:?}");
        Ok(())
    };
    let queued = Queued::of(&mut client, &original)?;
    drop(original);
    hears(b"alone", &[b"alone", b"all"])?;
    Part::Begin.send(&mut client, &queued.dump.0)?;
    hears(b"begun", &[b"all"])?;
    Part::Abort.send(&mut client, &[])?;
    hears(b"aborted", &[b"aborted", b"all"])?;
    almost_done(&mut client, &queued)?;
    hears(b"begun", &[b"all"])?;
    let copy = commit(&mut client)?;
    hears(b"later", &[b"all"])?;
    let found: Vec<_> = drain(&copy)?.into_iter().map(|one| one.payload).collect();
    let expected: [&[u8]; 3] = [b"waits", b"later", b"all"];
    ensure!(found == expected, "{found:?}, not {expected:?}");
    Ok(())
}

/// A connected socket comes back with its queue, again and again, while a stranger sends what he
/// can: nothing of it gets in.
fn flood() -> Result<()> {
    let mut client = cr::client()?;
    let peer = peer()?;
    let mut current = socket::udp()?;
    socket::bind(&current, HERE)?;
    socket::connect(&current, PEER)?;
    let _flood = flood_by_a_stranger()?;
    for round in 0..20 {
        let sent: Vec<_> = (0..3).map(|number| payload(round + number, 100)).collect();
        for payload in &sent {
            peer.send_to(payload, HERE)?;
        }
        let queued = Queued::of(&mut client, &current)?;
        drop(current);
        current = queued.restore(&mut client)?;
        let found: Vec<_> = drain(&current)?
            .into_iter()
            .map(|one| one.payload)
            .collect();
        ensure!(
            found == sent,
            "{} messages, not {}",
            found.len(),
            sent.len()
        );
    }
    drop(current);
    is_flooded()
}

/// Pieces of payload and messages can be of any size, if they are in order.
fn any_size() -> Result<()> {
    let mut client = cr::client()?;
    let payloads = [payload(1, 40_000), Vec::new(), payload(2, 100)];
    let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    let original = holding(&payloads)?;
    let queued = Queued::of(&mut client, &original)?;
    let expected = drain(&original)?;
    drop(original);
    for (piece, room) in [
        (16_384, 150_000),
        (16_384, 17_000),
        (16_383, 60_000),
        (1000, 0),
        (7, 30_000),
    ] {
        let mut attrs = Vec::new();
        for (datagram, payload) in queued.datagrams()? {
            attrs.push(RawAttr::nested(attr::DATAGRAM, &datagram.0));
            let pieces = payload.chunks(piece);
            attrs.extend(pieces.map(|piece| RawAttr::new(attr::PAYLOAD, piece)));
        }
        let mut restore = || -> Result<UdpSocket> {
            Part::Begin.send(&mut client, &queued.dump.0)?;
            for message in cr::carrying(&attrs, room) {
                Part::Queue.send(&mut client, message)?;
            }
            commit(&mut client)
        };
        let copy = restore().with_context(|| format!("pieces of {piece}, messages of {room}"))?;
        same_messages(&expected, &drain(&copy)?)?;
    }
    Ok(())
}

/// All parts in one sendmsg(2).
fn sent_together() -> Result<()> {
    let mut client = cr::client()?;
    let (queued, expected) = gone(&mut client)?;
    let mut raw = RawNetlink::open(&client)?;
    raw.ask_for_words()?;
    let parts = [
        Part::Begin.of(&queued.dump.0),
        Part::Queue.of(&queued.queue),
        Part::Commit.of(&[]),
    ];
    let answers = raw.send_together(RESTORE, &parts)?;
    let answers: Result<Vec<_>, _> = answers.into_iter().collect();
    let answers = answers.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    let last = Dump(answers.last().context("no answer")?.clone());
    let fd = last.u32(attr::SOCK_FD).context("no descriptor")?;
    let copy = UdpSocket::from(task::adopt(fd.cast_signed()));
    same_messages(&expected, &drain(&copy)?)
}

/// A transaction is as good for a socket that has no queue: it can be connected, or a member of
/// groups, as any.
fn without_a_queue() -> Result<()> {
    let mut client = cr::client()?;
    let original = socket::udp()?;
    socket::bind(&original, HERE)?;
    member(GROUP).join(&original)?;
    socket::connect(&original, PEER)?;
    let before = seen(&original);
    let dump = cr::dump(&mut client, &original)?;
    drop(original);
    Part::Begin.send(&mut client, &dump.0)?;
    let copy = commit(&mut client)?;
    same("original != copy", &before, &seen(&copy))?;
    let peer = peer()?;
    peer.send_to(b"open again", HERE)?;
    let (payload, _) = socket::receive(&copy, libc::MSG_DONTWAIT)?;
    ensure!(payload == b"open again", "another datagram");
    Ok(())
}

/// Each netlink socket has its own.
fn two_at_once() -> Result<()> {
    let mut clients = [cr::client()?, cr::client()?];
    let mut sockets = Vec::new();
    for (client, port) in clients.iter_mut().zip([7100, 7200]) {
        let original = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?;
        peer()?.send_to(&port.to_ne_bytes(), (Ipv4Addr::LOCALHOST, port))?;
        sockets.push((Queued::of(client, &original)?, drain(&original)?));
    }
    for (client, (queued, _)) in clients.iter_mut().zip(&sockets) {
        almost_done(client, queued)?;
    }
    for (client, (_, expected)) in clients.iter_mut().zip(&sockets) {
        let copy = commit(client)?;
        same_messages(expected, &drain(&copy)?)?;
    }
    Ok(())
}

/// Dumps and plain restores on the same netlink socket do not touch it.
fn others_between() -> Result<()> {
    let mut client = cr::client()?;
    let (queued, expected) = gone(&mut client)?;
    Part::Begin.send(&mut client, &queued.dump.0)?;
    let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 7100))?;
    peer()?.send_to(b"other", (Ipv4Addr::LOCALHOST, 7100))?;
    let dump = Queued::of(&mut client, &other)?.dump;
    drop(other);
    let other = dump.without(attr::QUEUE_LEN);
    drop(cr::restore(&mut client, &other)?);
    Part::Queue.send(&mut client, &queued.queue)?;
    drop(cr::restore(&mut client, &other)?);
    let copy = commit(&mut client)?;
    same_messages(&expected, &drain(&copy)?)
}

/// It belongs to the netlink socket, not to the thread.
fn in_another_thread() -> Result<()> {
    let mut client = cr::client()?;
    let (queued, expected) = gone(&mut client)?;
    Part::Begin.send(&mut client, &queued.dump.0)?;
    let in_thread = |work: &mut (dyn FnMut() -> Result<Option<UdpSocket>> + Send)| {
        std::thread::scope(|scope| {
            let thread = scope.spawn(work);
            thread.join().map_err(|_| anyhow::anyhow!("a panic"))?
        })
    };
    in_thread(&mut || {
        Part::Queue.send(&mut client, &queued.queue)?;
        Ok(None)
    })?;
    let copy = in_thread(&mut || commit(&mut client).map(Some))?;
    same_messages(&expected, &drain(&copy.context("no socket")?)?)
}

/// A process that has the netlink socket from its parent ends what that has begun: the descriptor
/// is its own.
fn by_a_child() -> Result<()> {
    let mut client = cr::client()?;
    let (queued, expected) = gone(&mut client)?;
    almost_done(&mut client, &queued)?;
    let files = cr::open_files();
    task::run_in_child(|| {
        let copy = commit(&mut client)?;
        same_messages(&expected, &drain(&copy)?)
    })?;
    ensure!(cr::open_files() <= files, "a descriptor of the child");
    port_is_free()
}

/// Where the netlink socket is, the copy is, with a device that has the name of the original's.
fn in_another_namespace() -> Result<()> {
    let original = receiver()?;
    peer()?.send_to(b"moved", HERE)?;
    let queued = Queued::of(&mut cr::client()?, &original)?;
    let expected = drain(&original)?;
    ensure!(expected.len() == 1, "{} messages", expected.len());
    namespace::new_network()?;
    let copy = queued.restore(&mut cr::client()?)?;
    same_messages(&expected, &drain(&copy)?)?;
    drop((original, copy));
    Ok(())
}

/// What people use: the whole in two calls.
fn by_the_library() -> Result<()> {
    use inetcr::{Image, Selector};
    use std::os::fd::AsRawFd as _;

    let mut client = cr::client()?;
    let original = receiver()?;
    for (number, len) in [0, 65_507, 3, 20_000, 40_000].into_iter().enumerate() {
        peer()?.send_to(&payload(number, len), HERE)?;
    }
    let snapshot = client.snapshot(Selector::Fd(original.as_raw_fd()))?;
    let expected = drain(&original)?;
    drop(original);
    let text = Image::new([snapshot]).to_json()?;
    let image = Image::from_json(&text)?;
    let snapshot = &image.sockets[0];
    let copy = UdpSocket::from(client.restore_snapshot(snapshot)?.fd);
    let again = client.snapshot(Selector::Fd(copy.as_raw_fd()))?;
    let unmet = snapshot.unmet_by(&again);
    ensure!(unmet.is_empty(), "{unmet:?}");
    // The state alone is not enough of it.
    let expected_of_state = Expected::errno(&[libc::EINVAL]).attribute(attr::QUEUE_LEN);
    cr::refused(client.restore(snapshot), expected_of_state)?;
    // A failure in the middle leaves the library's netlink socket as it was.
    let mut damaged = snapshot.clone();
    damaged.queue[1].payload.pop();
    same_messages(&expected, &drain(&copy)?)?;
    drop(copy);
    let result = client.restore_snapshot(&damaged);
    cr::refused(result, Expected::errno(&[libc::EINVAL]))?;
    port_is_free()?;
    drop(client.restore_snapshot(snapshot)?);
    Ok(())
}
