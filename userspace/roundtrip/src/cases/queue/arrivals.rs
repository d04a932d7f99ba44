// SPDX-License-Identifier: GPL-2.0

//! Datagrams of every kind, received from the original and from the copy: payload, sender, flags
//! and control messages are the same to the byte.

use std::net::{Ipv4Addr, UdpSocket};

use anyhow::{Context, Result, ensure};
use inetcr::RawAttr;
use libc::{SOL_IP, SOL_SOCKET, SOL_UDP};

use super::traffic::{
    Checksum, HERE, IP_CHECKSUM, IP_RECVFRAGSIZE, RX_HARDWARE, RX_SOFTWARE, SO_RXQ_OVFL,
    SO_TIMESTAMP, SO_TIMESTAMP_NEW, SO_TIMESTAMPING, SO_TIMESTAMPING_NEW, SO_TIMESTAMPNS,
    SO_TIMESTAMPNS_NEW, payload, peer, peer_with, receiver, send_raw, tell, train,
};
use super::{comes_back, drain, queue_memory, same_messages};
use crate::cr::{self, Queued, attr};
use crate::places::{BROADCAST, GROUP, OTHER, PEER, PORT};
use crate::runner::Test;
use crate::sys::filter::{self, Instruction};
use crate::sys::{link, socket};

/// A kind of datagrams.
struct Arrival {
    name: &'static str,
    /// What is done to the receiver, and what is sent to it.
    go: fn(&UdpSocket) -> Result<()>,
    /// How many messages that makes.
    count: usize,
    /// Level and type of a control message that one of them comes with.
    told: Option<(i32, i32)>,
}

macro_rules! arrivals {
    ($($name:ident $count:literal $($told:expr)? => $go:expr;)*) => {
        &[$(Arrival {
            name: stringify!($name),
            go: $go,
            count: $count,
            told: [$($told,)?].first().copied(),
        },)*]
    };
}

/// Record route and a time stamp, with room for two addresses each.
const RECORD_ROUTE: &[u8] = &[7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const TIME_STAMPS: &[u8] = &[68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0];

const ARRIVALS: &[Arrival] = arrivals! {
    empty 1 => |_| sizes(&[0]);
    one_byte 1 => |_| sizes(&[1]);
    one_frame 1 => |_| sizes(&[1472]);
    largest 1 (SOL_SOCKET, SO_TIMESTAMPNS) => |_| sizes(&[65_507]);
    several 6 (SOL_SOCKET, SO_TIMESTAMPING) => |_| sizes(&[5, 0, 3000, 0, 0, 1]);
    stamp_of_microseconds 2 (SOL_SOCKET, SO_TIMESTAMP) => |receiver| {
        stamped(receiver, SO_TIMESTAMP, 1)
    };
    new_stamp_of_microseconds 2 (SOL_SOCKET, SO_TIMESTAMP_NEW) => |receiver| {
        stamped(receiver, SO_TIMESTAMP_NEW, 1)
    };
    new_stamp_of_nanoseconds 2 (SOL_SOCKET, SO_TIMESTAMPNS_NEW) => |receiver| {
        stamped(receiver, SO_TIMESTAMPNS_NEW, 1)
    };
    new_stamps 2 (SOL_SOCKET, SO_TIMESTAMPING_NEW) => |receiver| {
        stamped(receiver, SO_TIMESTAMPING_NEW, RX_SOFTWARE)
    };
    many 100 => |_| sizes(&[100; 100]);
    from_two_sources 6 => |_| {
        let peers = [peer()?, UdpSocket::bind((OTHER, 7002))?];
        for number in 0..6 {
            peers[number % 2].send_to(&payload(number, 10), HERE)?;
        }
        Ok(())
    };
    to_another_address 1 (SOL_IP, libc::IP_RECVORIGDSTADDR) => |_| {
        peer()?.send_to(b"other", (OTHER, PORT))?;
        Ok(())
    };
    time_to_live 1 (SOL_IP, libc::IP_TTL) => |_| with(SOL_IP, libc::IP_TTL, &9_i32.to_ne_bytes());
    type_of_service 1 (SOL_IP, libc::IP_TOS) => |_| with(SOL_IP, libc::IP_TOS, &0x2a_i32.to_ne_bytes());
    mark 1 (SOL_SOCKET, libc::SO_MARK) => |_| with(SOL_SOCKET, libc::SO_MARK, &[1, 2, 3, 0x84]);
    priority 1 (SOL_SOCKET, libc::SO_PRIORITY) => |_| {
        with(SOL_SOCKET, libc::SO_PRIORITY, &0x107_i32.to_ne_bytes())
    };
    record_route 1 (SOL_IP, libc::IP_RETOPTS) => |_| with(SOL_IP, libc::IP_OPTIONS, RECORD_ROUTE);
    option_with_times 1 (SOL_IP, libc::IP_RECVOPTS) => |_| {
        with(SOL_IP, libc::IP_OPTIONS, TIME_STAMPS)
    };
    option_of_nothing 1 (SOL_IP, libc::IP_RECVOPTS) => |_| {
        with(SOL_IP, libc::IP_OPTIONS, &[1, 1, 1, 0])
    };
    fragments 2 (SOL_IP, IP_RECVFRAGSIZE) => |_| {
        link::set_mtu("lo", 1500)?;
        sizes(&[5000, 20_000])
    };
    trains 3 (SOL_UDP, libc::UDP_GRO) => |receiver| {
        socket::set_int(receiver, SOL_UDP, libc::UDP_GRO, 1)?;
        let train = train(1000)?;
        train.send_to(&payload(1, 3500), HERE)?;
        train.send_to(&payload(2, 400), HERE)?;
        train.send_to(&payload(3, 60_000), HERE)?;
        Ok(())
    };
    train_in_pieces 4 => |_| {
        train(1000)?.send_to(&payload(1, 3500), HERE)?;
        Ok(())
    };
    multicast 1 (SOL_IP, libc::IP_PKTINFO) => |receiver| {
        link::add_dummy("dummy0")?;
        link::address("dummy0", Ipv4Addr::new(10, 7, 0, 1))?;
        receiver.join_multicast_v4(&GROUP, &Ipv4Addr::new(10, 7, 0, 1))?;
        let sender = socket::udp()?;
        socket::set(&sender, SOL_IP, libc::IP_MULTICAST_IF, &[10, 7, 0, 1])?;
        sender.send_to(b"group", (GROUP, PORT))?;
        Ok(())
    };
    broadcast 1 (SOL_IP, libc::IP_PKTINFO) => |_| {
        let sender = peer_with(SOL_SOCKET, libc::SO_BROADCAST, &1_i32.to_ne_bytes())?;
        sender.send_to(b"all", (BROADCAST, PORT))?;
        Ok(())
    };
    connected 2 => |receiver| {
        let peer = peer()?;
        socket::connect(receiver, PEER)?;
        peer.send_to(b"one", HERE)?;
        peer.send_to(b"two", HERE)?;
        Ok(())
    };
    strangers_before_connect 3 => |receiver| {
        let stranger = UdpSocket::bind((OTHER, 7002))?;
        stranger.send_to(b"stranger", HERE)?;
        let peer = peer()?;
        peer.send_to(b"peer", HERE)?;
        socket::connect(receiver, PEER)?;
        stranger.send_to(b"too late", HERE)?;
        peer.send_to(b"peer again", HERE)?;
        Ok(())
    };
    // What a filter has cut stays so, and it is not asked again.
    cut_by_a_filter 1 => |receiver| {
        filter::attach(receiver, libc::SO_ATTACH_FILTER, &[Instruction::taking(8 + 3)])?;
        sizes(&[100])?;
        filter::attach(receiver, libc::SO_ATTACH_FILTER, &[Instruction::taking(0)])?;
        Ok(())
    };
    locked_filter 1 => |receiver| {
        const SO_LOCK_FILTER: i32 = 44;
        filter::attach(receiver, libc::SO_ATTACH_FILTER, &[Instruction::taking(100)])?;
        socket::set_int(receiver, SOL_SOCKET, SO_LOCK_FILTER, 1)?;
        sizes(&[50])
    };
    checksum 1 (SOL_IP, IP_CHECKSUM) => |receiver| {
        // With a filter, it is looked at on arrival.
        filter::attach(receiver, libc::SO_ATTACH_FILTER, &[Instruction::taking(u32::MAX)])?;
        send_raw(7001, Checksum::Right, &payload(1, 501))
    };
    checksum_of_a_short_one 1 (SOL_IP, IP_CHECKSUM) => |_| {
        send_raw(7001, Checksum::Right, b"short")
    };
    unchecked 1 => |_| send_raw(7001, Checksum::None, &payload(1, 500));
    not_yet_checked 1 => |receiver| {
        socket::set_int(receiver, SOL_IP, IP_CHECKSUM, 0)?;
        send_raw(7001, Checksum::Right, &payload(1, 500))
    };
    from_port_zero 1 => |_| send_raw(0, Checksum::Right, b"no port");
};

pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for arrival in ARRIVALS {
        tests.push(Test::new(
            format!("queue::arrivals::{}", arrival.name),
            || arrives(arrival),
        ));
    }
    for len in [0, 1, 1472, 5000, 17_000, 65_507] {
        tests.push(Test::new(format!("queue::arrivals::full::{len}"), move || full(len)).slow());
    }
    tests.push(Test::new("queue::arrivals::told_of_drops", told_of_drops));
    tests.push(Test::new("queue::arrivals::told_later", told_later));
    tests.push(Test::new("queue::arrivals::told_nothing", told_nothing));
    tests.push(Test::new(
        "queue::arrivals::told_by_hardware",
        told_by_hardware,
    ));
    tests.push(Test::new("queue::arrivals::not_verified", not_verified));
    tests.push(Test::new("queue::arrivals::shut_down", shut_down));
    tests.push(Test::new("queue::arrivals::twice", twice));
    tests
}

/// The peer sends datagrams of these sizes.
fn sizes(sizes: &[usize]) -> Result<()> {
    let peer = peer()?;
    for (number, len) in sizes.iter().enumerate() {
        peer.send_to(&payload(number, *len), HERE)?;
    }
    Ok(())
}

/// The peer sends two to a receiver that is told of time in another form.
fn stamped(receiver: &UdpSocket, option: i32, value: i32) -> Result<()> {
    socket::set_int(receiver, SOL_SOCKET, option, value)?;
    sizes(&[10, 0])
}

/// The peer sends a datagram with an option of its own.
fn with(level: i32, option: i32, value: &[u8]) -> Result<()> {
    peer_with(level, option, value)?.send_to(b"with an option", HERE)?;
    Ok(())
}

/// A receiver that a kind of datagrams was sent to.
pub fn received(name: &str) -> Result<UdpSocket> {
    let arrival = ARRIVALS.iter().find(|arrival| arrival.name == name);
    let arrival = arrival.context("no such kind")?;
    let receiver = receiver()?;
    (arrival.go)(&receiver)?;
    Ok(receiver)
}

/// The names of all kinds.
pub fn names() -> impl Iterator<Item = &'static str> {
    ARRIVALS.iter().map(|arrival| arrival.name)
}

fn arrives(arrival: &Arrival) -> Result<()> {
    let original = receiver()?;
    (arrival.go)(&original).context("setting up")?;
    let (_copy, messages) = comes_back(original)?;
    ensure!(
        messages.len() == arrival.count,
        "{} messages, not {}",
        messages.len(),
        arrival.count
    );
    if let Some((level, kind)) = arrival.told {
        let mut control = messages.iter().flat_map(|message| &message.control);
        ensure!(
            control.any(|one| (one.0, one.1) == (level, kind)),
            "nobody was told what this is about: {messages:02x?}"
        );
    }
    Ok(())
}

/// As much as the receive buffer takes, of datagrams of one size.
fn full(len: usize) -> Result<()> {
    let original = receiver()?;
    let peer = peer()?;
    let mut before = 0;
    for number in 0..10_000 {
        peer.send_to(&payload(number, len), HERE)?;
        let memory = queue_memory(&original)?;
        if memory == before {
            break;
        }
        before = memory;
    }
    let mut client = cr::client()?;
    let queued = Queued::of(&mut client, &original)?;
    let expected = drain(&original)?;
    ensure!(expected.len() > 1, "only {} fit", expected.len());
    drop(original);
    let copy = queued.restore(&mut client)?;
    same_messages(&expected, &drain(&copy)?)
}

/// A datagram that came after others were dropped says how many they were.
fn told_of_drops() -> Result<()> {
    let original = receiver()?;
    socket::set_int(&original, SOL_SOCKET, libc::SO_RCVBUF, 4096)?;
    sizes(&[100; 200])?;
    ensure!(!drain(&original)?.is_empty(), "nothing fits");
    sizes(&[10, 20])?;
    let mut client = cr::client()?;
    let queued = Queued::of(&mut client, &original)?;
    let expected = drain(&original)?;
    let mut control = expected.iter().flat_map(|message| &message.control);
    ensure!(
        control.any(|one| (one.0, one.1) == (SOL_SOCKET, SO_RXQ_OVFL)),
        "nobody was told: {expected:02x?}"
    );
    let dropped = drops(&original)?;
    ensure!(dropped > 0, "nothing was dropped");
    drop(original);
    let copy = queued.restore(&mut client)?;
    // What was kept out while the transaction was open does not count.
    let found = drops(&copy)?;
    ensure!(found == dropped, "{dropped} dropped, the copy says {found}");
    same_messages(&expected, &drain(&copy)?)
}

/// The count of drops, by `SO_MEMINFO`.
fn drops(socket: &UdpSocket) -> Result<u32> {
    const SO_MEMINFO: i32 = 55;
    const SK_MEMINFO_DROPS: usize = 8;

    let info = socket::get(socket, SOL_SOCKET, SO_MEMINFO, 36)?;
    let drops = info.get(SK_MEMINFO_DROPS * 4..).unwrap_or_default();
    Ok(u32::from_ne_bytes(drops.try_into()?))
}

/// A reader that asked for nothing when the datagram came, and does so before it reads.
fn told_later() -> Result<()> {
    let original = socket::udp()?;
    socket::bind(&original, HERE)?;
    with(SOL_IP, libc::IP_OPTIONS, RECORD_ROUTE)?;
    tell(&original, false)?;
    let (_, messages) = comes_back(original)?;
    ensure!(messages.len() == 1, "{} messages", messages.len());
    let original = socket::udp()?;
    socket::bind(&original, HERE)?;
    with(SOL_SOCKET, libc::SO_MARK, &5_i32.to_ne_bytes())?;
    let mut client = cr::client()?;
    let queued = Queued::of(&mut client, &original)?;
    let ask = |socket: &UdpSocket| -> Result<_> {
        tell(socket, false)?;
        drain(socket)
    };
    let expected = ask(&original)?;
    drop(original);
    let copy = queued.restore(&mut client)?;
    same_messages(&expected, &ask(&copy)?)
}

/// A reader that asks for nothing is told nothing, of whatever datagram.
fn told_nothing() -> Result<()> {
    let original = socket::udp()?;
    socket::bind(&original, HERE)?;
    with(SOL_IP, libc::IP_OPTIONS, TIME_STAMPS)?;
    sizes(&[0, 5])?;
    let (_, messages) = comes_back(original)?;
    ensure!(
        messages.len() == 3 && messages.iter().all(|one| one.control.is_empty()),
        "{messages:02x?}"
    );
    Ok(())
}

/// The time by the clock of a device, which none here has: a message says that a datagram has it.
fn told_by_hardware() -> Result<()> {
    const SECONDS: i64 = 1_700_000_000;
    const NANOS: i64 = 123_456_789;

    let mut client = cr::client()?;
    let original = socket::udp()?;
    socket::bind(&original, HERE)?;
    sizes(&[10])?;
    let mut queued = Queued::of(&mut client, &original)?;
    drop(original);
    let (header, _) = queued.datagrams()?.remove(0);
    let stamp = RawAttr::sint(attr::datagram::HWTSTAMP, SECONDS * 1_000_000_000 + NANOS);
    queued.queue[0] = RawAttr::nested(attr::DATAGRAM, &header.with(stamp).0);

    // Also a copy of a copy has it.
    let copy = queued.restore(&mut client)?;
    let of_copy = Queued::of(&mut client, &copy)?;
    drop(copy);
    ensure!(
        of_copy.datagrams()? == queued.datagrams()?,
        "{of_copy:02x?}, not {queued:02x?}"
    );
    for option in [SO_TIMESTAMPING, SO_TIMESTAMPING_NEW] {
        let copy = of_copy.restore(&mut client)?;
        socket::set_int(&copy, SOL_SOCKET, option, RX_HARDWARE)?;
        // Software, nothing since long, and hardware: seconds and nanoseconds of each.
        let told = [0, 0, 0, 0, SECONDS, NANOS].map(i64::to_ne_bytes).concat();
        let messages = drain(&copy)?;
        ensure!(
            messages.len() == 1 && messages[0].control == [(SOL_SOCKET, option, told)],
            "{messages:02x?}"
        );
    }
    Ok(())
}

/// One whose checksum nobody has looked at is looked at when it is dumped. So the copy need not be,
/// and a reader that takes a part of it is not told the sum of the whole.
fn not_verified() -> Result<()> {
    let original = socket::udp()?;
    socket::bind(&original, HERE)?;
    socket::set_int(&original, SOL_IP, IP_CHECKSUM, 1)?;
    send_raw(7001, Checksum::Right, &payload(1, 500))?;
    let mut client = cr::client()?;
    let queued = Queued::of(&mut client, &original)?;
    let mut expected = socket::receive_message(&original, libc::MSG_DONTWAIT, 100)?;
    drop(original);
    let is_sum = |one: &(i32, i32, Vec<u8>)| (one.0, one.1) == (SOL_IP, IP_CHECKSUM);
    ensure!(expected.control.iter().any(is_sum), "{expected:02x?}");
    expected.control.retain(|one| !is_sum(one));
    let copy = queued.restore(&mut client)?;
    let found = socket::receive_message(&copy, libc::MSG_DONTWAIT, 100)?;
    same_messages(&[expected], &[found])
}

/// What waited when receiving was shut down can still be received, and nothing after it.
fn shut_down() -> Result<()> {
    let original = receiver()?;
    let peer = peer()?;
    socket::connect(&original, PEER)?;
    // Who has to wait for something shall not do it for ever.
    socket::set_timeval(&original, 66, 0, 20_000)?;
    peer.send_to(b"one", HERE)?;
    socket::shutdown(&original, libc::SHUT_RD)?;
    let read = |socket: &UdpSocket| -> Result<_> {
        let once = || socket::receive_message(socket, 0, 100);
        Ok(vec![once()?, once()?])
    };
    let (copy, expected) = super::round(&mut cr::client()?, original, read)?;
    ensure!(
        expected[0].payload == b"one" && expected[1].payload.is_empty(),
        "{expected:02x?}"
    );
    same_messages(&expected, &read(&copy)?)
}

/// A copy of a copy.
fn twice() -> Result<()> {
    let mut client = cr::client()?;
    let original = receiver()?;
    link::set_mtu("lo", 1500)?;
    sizes(&[5000, 0, 7])?;
    with(SOL_IP, libc::IP_OPTIONS, RECORD_ROUTE)?;
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
