// SPDX-License-Identifier: GPL-2.0

//! Errors and time stamps of every kind, read from the original and from the copy: payload, name,
//! flags and control messages are the same to the byte.

use std::net::{Ipv4Addr, UdpSocket};

use anyhow::{Context, Result, ensure};
use libc::{SOL_IP, SOL_SOCKET};

use super::making::{
    IP_RECVERR_RFC4884, Icmp, NOBODY, OPT_CMSG, OPT_ID, OPT_TSONLY, QUOTED, RAW_HARDWARE, SOFTWARE,
    TX_SCHED, TX_SOFTWARE, extension, sender, stamped, to_nobody, too_long, until, waiting,
    zerocopy,
};
use crate::cases::queue::traffic::{
    HERE, IP_CHECKSUM, IP_RECVFRAGSIZE, SO_TIMESTAMPING, SO_TIMESTAMPNS, payload, peer, tell,
    when_stamped,
};
use crate::cases::queue::{comes_back, drain, drain_errors, round, same_messages};
use crate::cr::{self, Queued};
use crate::places::{OTHER, PEER};
use crate::runner::Test;
use crate::sys::socket::{self, Message};
use crate::sys::{link, namespace};

/// `IP_RECVERR`, which everything in the error queue comes with.
const RECVERR: (i32, i32) = (SOL_IP, libc::IP_RECVERR);
const STAMPS: (i32, i32) = (SOL_SOCKET, SO_TIMESTAMPING);
const SO_TIMESTAMPING_NEW: i32 = 65;

/// A kind of errors.
struct Kind {
    name: &'static str,
    /// What is done to the socket, and what makes the errors.
    go: fn(&UdpSocket) -> Result<()>,
    /// How many errors that makes.
    count: usize,
    /// Level and type of a control message that one of them comes with.
    told: (i32, i32),
}

macro_rules! kinds {
    ($($name:ident $count:literal $told:expr => $go:expr;)*) => {
        &[$(Kind { name: stringify!($name), go: $go, count: $count, told: $told },)*]
    };
}

const KINDS: &[Kind] = kinds! {
    port_unreachable 1 RECVERR => |s| to_nobody(s, Ipv4Addr::LOCALHOST, 9);
    port_unreachable_empty 1 RECVERR => |s| to_nobody(s, Ipv4Addr::LOCALHOST, 0);
    port_unreachable_long 1 RECVERR => |s| to_nobody(s, Ipv4Addr::LOCALHOST, 5000);
    port_unreachable_connected 2 RECVERR => |s| {
        socket::connect(s, format!("127.0.0.1:{NOBODY}").parse()?)?;
        s.send(b"one")?;
        until(s, 1)?;
        // The error of the first is told to the second.
        ensure!(s.send(b"two").is_err(), "sent");
        s.send(b"two")?;
        until(s, 2)
    };
    from_several 5 RECVERR => |s| {
        for (number, addr) in [OTHER, Ipv4Addr::LOCALHOST].iter().cycle().take(5).enumerate() {
            to_nobody(s, *addr, number * 100)?;
        }
        Ok(())
    };
    told_of_device 1 (SOL_IP, libc::IP_PKTINFO) => |s| to_nobody(s, OTHER, 9);
    told_of_time_to_live 1 (SOL_IP, libc::IP_TTL) => |s| to_nobody(s, OTHER, 9);
    told_of_type_of_service 1 (SOL_IP, libc::IP_TOS) => |s| to_nobody(s, OTHER, 9);
    told_of_destination 1 (SOL_IP, libc::IP_ORIGDSTADDR) => |s| to_nobody(s, OTHER, 9);
    told_of_checksum 1 (SOL_IP, IP_CHECKSUM) => |s| icmp(s, &Icmp::new(3, 3, [0; 4], 20));
    host_unreachable 1 RECVERR => |s| icmp(s, &Icmp::new(3, 1, [0; 4], 0));
    prohibited 1 RECVERR => |s| icmp(s, &Icmp::new(3, 13, [0; 4], 500));
    too_long_there 1 RECVERR => |s| icmp(s, &Icmp::new(3, 4, [0, 0, 3, 0xe8], 100));
    time_exceeded 1 RECVERR => |s| icmp(s, &Icmp::new(11, 0, [0; 4], 1));
    bad_parameter 1 RECVERR => |s| icmp(s, &Icmp::new(12, 0, [9, 0, 0, 0], 2));
    with_extension 1 RECVERR => |s| {
        socket::set_int(s, SOL_IP, IP_RECVERR_RFC4884, 1)?;
        icmp(s, &Icmp::new(11, 0, [0; 4], 20).extended(&extension()))
    };
    with_bad_extension 1 RECVERR => |s| {
        socket::set_int(s, SOL_IP, IP_RECVERR_RFC4884, 1)?;
        let mut extension = extension();
        extension[9] ^= 1;
        icmp(s, &Icmp::new(3, 3, [0; 4], 20).extended(&extension))
    };
    extension_not_asked_for 1 RECVERR => |s| {
        icmp(s, &Icmp::new(11, 0, [0; 4], 20).extended(&extension()))
    };
    with_options 1 (SOL_IP, libc::IP_RECVOPTS) => |s| {
        by(s, &Icmp::new(3, 1, [0; 4], 20), |raw| {
            let options = [7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            Ok(socket::set(raw, SOL_IP, libc::IP_OPTIONS, &options)?)
        })
    };
    with_options_to_echo 1 (SOL_IP, libc::IP_RETOPTS) => |s| {
        by(s, &Icmp::new(3, 1, [0; 4], 20), |raw| {
            let options = [68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            Ok(socket::set(raw, SOL_IP, libc::IP_OPTIONS, &options)?)
        })
    };
    from_another_address 1 RECVERR => |s| {
        by(s, &Icmp::new(3, 1, [0; 4], 20), |raw| Ok(socket::bind(raw, "127.0.0.5:0".parse()?)?))
    };
    with_another_tos_and_ttl 1 RECVERR => |s| {
        by(s, &Icmp::new(3, 1, [0; 4], 20), |raw| {
            socket::set_int(raw, SOL_IP, libc::IP_TOS, 0x2a)?;
            Ok(socket::set_int(raw, SOL_IP, libc::IP_TTL, 9)?)
        })
    };
    in_fragments 1 (SOL_IP, IP_RECVFRAGSIZE) => |s| {
        link::set_mtu("lo", 1500)?;
        icmp(s, &Icmp::new(3, 1, [0; 4], 5000))
    };
    largest 1 RECVERR => |s| icmp(s, &Icmp::new(3, 1, [0; 4], 65_535 - 20 - 8 - 28));
    stamped_on_arrival 1 STAMPS => |s| {
        const RX: i32 = 0x18;
        socket::set_int(s, SOL_SOCKET, SO_TIMESTAMPNS, 1)?;
        stamped(s, RX)?;
        when_stamped()?;
        icmp(s, &Icmp::new(3, 1, [0; 4], 10))
    };
    too_long_here 1 RECVERR => too_long;
    too_long_twice 2 RECVERR => |s| {
        too_long(s)?;
        too_long(s)
    };
    sent 1 STAMPS => |s| send(s, TX_SOFTWARE | SOFTWARE, &[20]);
    sent_empty 1 STAMPS => |s| send(s, TX_SOFTWARE | SOFTWARE, &[0]);
    sent_many 20 STAMPS => |s| send(s, TX_SOFTWARE | SOFTWARE | OPT_ID, &[50; 20]);
    sent_largest 1 STAMPS => |s| {
        link::set_mtu("lo", 70_000)?;
        send(s, TX_SOFTWARE | SOFTWARE, &[65_507])
    };
    sent_in_fragments 1 STAMPS => |s| {
        link::set_mtu("lo", 1500)?;
        send(s, TX_SOFTWARE | SOFTWARE | OPT_CMSG, &[5000])
    };
    sent_and_scheduled 4 STAMPS => |s| {
        send(s, TX_SOFTWARE | TX_SCHED | SOFTWARE | OPT_ID | OPT_CMSG, &[10, 20])
    };
    sent_told_of_device 1 (SOL_IP, libc::IP_PKTINFO) => |s| {
        send(s, TX_SOFTWARE | SOFTWARE | OPT_CMSG, &[20])
    };
    sent_told_of_destination 1 (SOL_IP, libc::IP_ORIGDSTADDR) => |s| {
        socket::set_int(s, SOL_IP, libc::IP_TOS, 0x2a)?;
        send(s, TX_SOFTWARE | SOFTWARE | OPT_CMSG, &[20])
    };
    sent_device_not_asked_for 1 STAMPS => |s| send(s, TX_SOFTWARE | SOFTWARE, &[20]);
    sent_time_only 2 STAMPS => |s| {
        send(s, TX_SOFTWARE | SOFTWARE | OPT_TSONLY | OPT_ID | OPT_CMSG, &[20, 5])
    };
    sent_with_options 1 STAMPS => |s| {
        socket::set(s, SOL_IP, libc::IP_OPTIONS, &[7, 7, 4, 0, 0, 0, 0, 0])?;
        send(s, TX_SOFTWARE | SOFTWARE | OPT_CMSG, &[20])
    };
    sent_by_a_train 1 STAMPS => |s| {
        socket::set_int(s, libc::SOL_UDP, libc::UDP_SEGMENT, 1000)?;
        send(s, TX_SOFTWARE | SOFTWARE | OPT_CMSG, &[20_000])
    };
    sent_not_reported 1 RECVERR => |s| {
        send(s, TX_SOFTWARE | SOFTWARE, &[20])?;
        stamped(s, RAW_HARDWARE)
    };
    sent_new 1 (SOL_SOCKET, SO_TIMESTAMPING_NEW) => |s| {
        socket::set_int(s, SOL_SOCKET, SO_TIMESTAMPING_NEW, TX_SOFTWARE | SOFTWARE)?;
        let _peer = peer()?;
        s.send_to(b"new", PEER)?;
        until(s, 1)
    };
    // Errors are not kept, and those that were are thrown away; time stamps stay.
    sent_without_errors 1 STAMPS => |s| {
        too_long(s)?;
        send(s, TX_SOFTWARE | SOFTWARE, &[20])?;
        socket::set_int(s, SOL_IP, libc::IP_RECVERR, 0)?;
        Ok(())
    };
    zerocopy_once 1 RECVERR => |s| zerocopy(s, &peer()?, 1);
    zerocopy_together 1 RECVERR => |s| zerocopy(s, &peer()?, 5);
    zerocopy_apart 3 RECVERR => |s| {
        zerocopy(s, &peer()?, 2)?;
        icmp(s, &Icmp::new(3, 1, [0; 4], 20))?;
        zerocopy(s, &peer()?, 3)
    };
    mixed 5 STAMPS => |s| {
        send(s, TX_SOFTWARE | SOFTWARE | OPT_CMSG, &[20])?;
        stamped(s, SOFTWARE)?;
        to_nobody(s, OTHER, 10)?;
        too_long(s)?;
        zerocopy(s, &peer()?, 2)?;
        icmp(s, &Icmp::new(3, 13, [0; 4], 500))
    };
    with_datagrams 2 RECVERR => |s| {
        let peer = peer()?;
        peer.send_to(b"one", HERE)?;
        to_nobody(s, OTHER, 10)?;
        peer.send_to(&payload(2, 3000), HERE)?;
        too_long(s)?;
        peer.send_to(b"", HERE)?;
        Ok(())
    };
};

pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for kind in KINDS {
        tests.push(Test::new(format!("errqueue::kinds::{}", kind.name), || {
            comes(kind)
        }));
    }
    for (name, run) in [
        ("told_nothing", told_nothing as fn() -> Result<()>),
        ("told_later", told_later),
        ("pending_error", pending_error),
        ("poll", poll),
        ("cut", cut),
        ("goes_on", goes_on),
        ("twice", twice),
        ("elsewhere", elsewhere),
        ("by_the_library", by_the_library),
    ] {
        tests.push(Test::new(format!("errqueue::{name}"), run));
    }
    tests.push(Test::new("errqueue::full", full).slow());
    tests
}

/// Sends an ICMP message, and waits for it.
fn icmp(socket: &UdpSocket, icmp: &Icmp) -> Result<()> {
    icmp.tell(socket)
}

/// The same by a socket that something was done to.
fn by(
    socket: &UdpSocket,
    icmp: &Icmp,
    prepare: impl FnOnce(&UdpSocket) -> Result<()>,
) -> Result<()> {
    let before = waiting(socket)?;
    icmp.send(prepare)?;
    until(socket, before + 1)
}

/// Sends datagrams of these sizes to the peer, which are stamped.
fn send(sender: &UdpSocket, flags: i32, sizes: &[usize]) -> Result<()> {
    let _peer = peer()?;
    stamped(sender, flags)?;
    for (number, len) in sizes.iter().enumerate() {
        let before = waiting(sender)?;
        sender.send_to(&payload(number, *len), PEER)?;
        until(sender, before + 1)?;
    }
    Ok(())
}

/// A socket with errors of a kind.
pub fn made(name: &str) -> Result<UdpSocket> {
    let kind = KINDS.iter().find(|kind| kind.name == name);
    let sender = sender()?;
    (kind.context("no such kind")?.go)(&sender)?;
    Ok(sender)
}

/// The names of all kinds.
pub fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.name)
}

fn has(messages: &[Message], told: (i32, i32)) -> bool {
    let mut control = messages.iter().flat_map(|message| &message.control);
    control.any(|one| (one.0, one.1) == told)
}

fn comes(kind: &Kind) -> Result<()> {
    let original = made(kind.name).context("setting up")?;
    let (_copy, messages) = comes_back(original)?;
    let flags = messages.iter().map(|message| message.flags);
    let errors = flags.filter(|flags| flags & libc::MSG_ERRQUEUE != 0);
    ensure!(
        errors.count() == kind.count,
        "not {} errors: {messages:02x?}",
        kind.count
    );
    ensure!(
        has(&messages, kind.told),
        "nobody was told what this is about: {messages:02x?}"
    );
    Ok(())
}

/// A reader that asks for nothing is told of the error itself, and of nothing else.
fn told_nothing() -> Result<()> {
    let original = socket::udp()?;
    socket::bind(&original, HERE)?;
    super::errors_of_each_kind(&original)?;
    stamped(&original, 0)?;
    let (_, messages) = comes_back(original)?;
    ensure!(messages.len() == 4, "{messages:02x?}");
    for message in &messages {
        ensure!(
            message.control.len() == 1 && has(std::slice::from_ref(message), RECVERR),
            "{message:02x?}"
        );
    }
    Ok(())
}

/// A reader that asks for everything only after the socket came back.
fn told_later() -> Result<()> {
    let original = socket::udp()?;
    socket::bind(&original, HERE)?;
    super::errors_of_each_kind(&original)?;
    let ask = |socket: &UdpSocket| -> Result<_> {
        tell(socket, false)?;
        stamped(socket, SOFTWARE | OPT_CMSG)?;
        drain(socket)
    };
    let mut client = cr::client()?;
    let queued = Queued::of(&mut client, &original)?;
    let expected = ask(&original)?;
    ensure!(
        has(&expected, (SOL_IP, libc::IP_PKTINFO)),
        "{expected:02x?}"
    );
    drop(original);
    let copy = queued.restore(&mut client)?;
    same_messages(&expected, &ask(&copy)?)
}

/// The pending error is that of the next ICMP error in the queue, and none after the last.
fn pending_error() -> Result<()> {
    let read = |socket: &UdpSocket| -> Result<Vec<Message>> {
        let mut messages = Vec::new();
        for _ in 0..4 {
            let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
            let mut message = socket::receive_message(socket, flags, 1000)?;
            // What an ordinary call is told, which forgets it.
            let plain = socket::receive_message(socket, libc::MSG_DONTWAIT, 1000);
            let errno = plain.err().and_then(|error| error.raw_os_error());
            message.flags = errno.unwrap_or_default();
            messages.push(message);
        }
        Ok(messages)
    };
    let original = sender()?;
    icmp(&original, &Icmp::new(3, 3, [0; 4], 20))?;
    icmp(&original, &Icmp::new(3, 1, [0; 4], 20))?;
    too_long(&original)?;
    icmp(&original, &Icmp::new(12, 0, [0; 4], 20))?;
    let (copy, expected) = round(&mut cr::client()?, original, read)?;
    let errors: Vec<_> = expected.iter().map(|one| one.flags).collect();
    ensure!(
        errors == [libc::EHOSTUNREACH, libc::EAGAIN, libc::EPROTO, libc::EAGAIN],
        "{errors:?}"
    );
    same_messages(&expected, &read(&copy)?)?;
    drop(copy);
    link::set_mtu("lo", 65_536)?;
    // One whose pending error was taken already has none.
    let original = made("host_unreachable")?;
    socket::get_int(&original, SOL_SOCKET, libc::SO_ERROR)?;
    let (copy, _) = round(&mut cr::client()?, original, drain)?;
    let pending = socket::get_int(&copy, SOL_SOCKET, libc::SO_ERROR)?;
    ensure!(pending == 0, "pending error {pending}");
    ensure!(drain_errors(&copy)?.len() == 1, "the error is gone");
    Ok(())
}

/// `POLLERR`, and `POLLPRI` if `SO_SELECT_ERR_QUEUE` is on, until all was read.
fn poll() -> Result<()> {
    const SO_SELECT_ERR_QUEUE: i32 = 45;
    for (select, events) in [(0, libc::POLLERR), (1, libc::POLLERR | libc::POLLPRI)] {
        for name in ["too_long_here", "sent", "zerocopy_once"] {
            let original = made(name)?;
            socket::set_int(&original, SOL_SOCKET, SO_SELECT_ERR_QUEUE, select)?;
            let (copy, _) = round(&mut cr::client()?, original, drain)?;
            let found = socket::events(&copy)?;
            ensure!(found == events, "{name}: {found:#x}");
            drain_errors(&copy)?;
            let found = socket::events(&copy)?;
            ensure!(found == 0, "{name}: {found:#x} when all was read");
            link::set_mtu("lo", 65_536)?;
        }
    }
    Ok(())
}

/// A reader with too little room.
fn cut() -> Result<()> {
    let read = |socket: &UdpSocket| -> Result<_> {
        let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
        Ok(vec![
            socket::receive_message(socket, flags, 3)?,
            socket::receive_message(socket, flags | libc::MSG_TRUNC, 3)?,
        ])
    };
    let original = sender()?;
    send(&original, TX_SOFTWARE | SOFTWARE, &[20])?;
    icmp(&original, &Icmp::new(3, 1, [0; 4], 20))?;
    let (copy, expected) = round(&mut cr::client()?, original, read)?;
    ensure!(
        expected.iter().all(|one| one.flags & libc::MSG_TRUNC != 0),
        "{expected:02x?}"
    );
    same_messages(&expected, &read(&copy)?)
}

/// The copy gets errors of its own behind those that it has, numbered on, and a completed send is
/// told together with the one before it.
fn goes_on() -> Result<()> {
    let work = |socket: &UdpSocket| -> Result<Vec<Message>> {
        icmp(socket, &Icmp::new(3, 3, [0; 4], 30))?;
        zerocopy(socket, &peer()?, 2)?;
        zerocopy(socket, &peer()?, 1)?;
        drain(socket)
    };
    let original = sender()?;
    zerocopy(&original, &peer()?, 2)?;
    let mut client = cr::client()?;
    let queued = Queued::of(&mut client, &original)?;
    let expected = work(&original)?;
    drop(original);
    ensure!(expected.len() == 3, "{expected:02x?}");
    let copy = queued.restore(&mut client)?;
    same_messages(&expected, &work(&copy)?)?;
    drop(copy);

    let original = sender()?;
    zerocopy(&original, &peer()?, 2)?;
    let queued = Queued::of(&mut client, &original)?;
    drop(original);
    let copy = queued.restore(&mut client)?;
    zerocopy(&copy, &peer()?, 1)?;
    let found = drain(&copy)?;
    ensure!(found.len() == 1, "{found:02x?}");
    // ee_info and ee_data: 0 to 2.
    let told = &found[0].control[0].2;
    let expected = [0, 2].map(u32::to_ne_bytes).concat();
    ensure!(told[8..16] == expected, "{told:02x?}");
    Ok(())
}

/// A copy of a copy.
fn twice() -> Result<()> {
    let mut client = cr::client()?;
    let original = made("mixed")?;
    let mut queued = Queued::of(&mut client, &original)?;
    let expected = drain(&original)?;
    drop(original);
    for _ in 0..2 {
        let copy = queued.restore(&mut client)?;
        queued = Queued::of(&mut client, &copy)?;
    }
    let copy = queued.restore(&mut client)?;
    same_messages(&expected, &drain(&copy)?)
}

/// In another network namespace, with a device that has the name of the original's.
fn elsewhere() -> Result<()> {
    let original = made("mixed")?;
    let queued = Queued::of(&mut cr::client()?, &original)?;
    let expected = drain(&original)?;
    namespace::new_network()?;
    let copy = queued.restore(&mut cr::client()?)?;
    same_messages(&expected, &drain(&copy)?)?;
    drop((original, copy));
    Ok(())
}

/// What people use: the whole in two calls, by way of a file.
fn by_the_library() -> Result<()> {
    use inetcr::{Image, Selector};
    use std::os::fd::AsRawFd as _;

    let mut client = cr::client()?;
    let original = made("with_datagrams")?;
    let snapshot = client.snapshot(Selector::Fd(original.as_raw_fd()))?;
    let expected = drain(&original)?;
    drop(original);
    ensure!(
        (snapshot.error_queue_len, snapshot.queue_len) == (Some(2), Some(3)),
        "{snapshot:02x?}"
    );
    let text = Image::new([snapshot]).to_json()?;
    let snapshot = &Image::from_json(&text)?.sockets[0];
    let copy = UdpSocket::from(client.restore_snapshot(snapshot)?.fd);
    let again = client.snapshot(Selector::Fd(copy.as_raw_fd()))?;
    let unmet = snapshot.unmet_by(&again);
    ensure!(unmet.is_empty(), "{unmet:?}");
    same_messages(&expected, &drain(&copy)?)
}

/// As many errors as the receive buffer takes beside some datagrams.
fn full() -> Result<()> {
    let original = sender()?;
    socket::set_int(&original, SOL_SOCKET, libc::SO_RCVBUF, 20_000)?;
    let peer = peer()?;
    for number in 0..5 {
        peer.send_to(&payload(number, 100), HERE)?;
    }
    let error = Icmp::new(3, 1, [0; 4], 300);
    let mut before = None;
    for _ in 0..1000 {
        error.send(|_| Ok(()))?;
        let now = Some(waiting(&original)?);
        if now == before {
            break;
        }
        before = now;
    }
    let (_copy, messages) = comes_back(original)?;
    let is_error = |one: &&Message| one.flags & libc::MSG_ERRQUEUE != 0;
    let errors = messages.iter().filter(is_error).count();
    ensure!(
        errors > 3 && messages.len() == errors + 5,
        "{errors} errors of {}",
        messages.len()
    );
    ensure!(messages[0].from == Some(QUOTED), "{:?}", messages[0].from);
    Ok(())
}
