// SPDX-License-Identifier: GPL-2.0

//! What getsockopt(2) says is one thing, what the socket does is another.

mod devices;
mod ip;
mod multicast;
mod reuseport;
mod socket;
mod udp;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use libc::SOL_SOCKET;

use crate::cr::{self, Expected};
use crate::places::{BROADCAST, OTHER, PEER, PORT};
use crate::runner::Test;
use crate::sys::{socket as sys, task};

pub fn tests() -> Vec<Test> {
    let mut tests = vec![
        Test::new("usage::send_receive", send_receive),
        Test::new("usage::rcvtimeo_times_out", rcvtimeo),
        Test::new("usage::rcvtimeo_does_not_wait", rcvtimeo_zero),
        Test::new("usage::rcvtimeo_waits", rcvtimeo_infinite),
        Test::new("usage::linger_closes_at_once", linger),
        Test::new("usage::nonblock", nonblock),
        Test::new("usage::broadcast", broadcast),
        Test::new("usage::priority", priority),
        Test::new("usage::reuseaddr", reuseaddr),
        Test::new("usage::no_longer_shared", no_longer_shared),
        Test::new("usage::rcvbuf", rcvbuf),
        Test::new("usage::inherited", inherited),
    ];
    for (name, option) in [
        ("none", None),
        ("us_old", Some(29)),
        ("ns_old", Some(35)),
        ("us_new", Some(63)),
        ("ns_new", Some(64)),
    ] {
        tests.push(Test::new(format!("usage::timestamp::{name}"), move || {
            timestamp(option)
        }));
    }
    tests.extend(devices::tests());
    tests.extend(socket::tests());
    tests.extend(reuseport::tests());
    tests.extend(ip::tests());
    tests.extend(multicast::tests());
    tests.extend(udp::tests());
    tests
}

/// Where the sockets of these tests are.
const HERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, PORT);

fn bound() -> Result<UdpSocket> {
    let socket = sys::udp()?;
    sys::bind(&socket, HERE)?;
    Ok(socket)
}

fn round_trip(original: UdpSocket) -> Result<UdpSocket> {
    cr::round_trip(&mut cr::client()?, original)
}

/// A bound socket with an option that is an int, sent round.
fn copy_with(level: i32, number: i32, value: i32) -> Result<UdpSocket> {
    let original = bound()?;
    sys::set_int(&original, level, number, value)?;
    round_trip(original)
}

/// Data of a control message.
fn control(fd: &UdpSocket, level: i32, kind: i32) -> Result<Option<Vec<u8>>> {
    let (_, messages) = sys::receive(fd, 0)?;
    let found = messages
        .into_iter()
        .find(|message| (message.0, message.1) == (level, kind));
    Ok(found.map(|(_, _, data)| data))
}

/// Fails unless a call would have to wait, and says how long it took to say so.
fn would_block<T>(call: impl FnOnce() -> std::io::Result<T>) -> Result<Duration> {
    let start = Instant::now();
    match call() {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(start.elapsed()),
        Err(error) => Err(error).context("not EAGAIN"),
        Ok(_) => bail!("there was nothing to wait for"),
    }
}

fn send_receive() -> Result<()> {
    let peer = UdpSocket::bind(PEER)?;
    let copy = round_trip(bound()?)?;
    let mut buffer = [0; 2048];
    for len in [0, 1, 1000, 2048] {
        peer.send_to(&vec![7; len], HERE)?;
        let (got, from) = copy.recv_from(&mut buffer)?;
        ensure!(got == len && from == PEER.into(), "{got} bytes from {from}");
        copy.send_to(&buffer[..len], PEER)?;
        let (got, from) = peer.recv_from(&mut buffer)?;
        ensure!(got == len && from == HERE.into(), "{got} bytes from {from}");
    }
    Ok(())
}

fn rcvtimeo() -> Result<()> {
    let original = bound()?;
    sys::set_timeval(&original, 66, 0, 30_000)?;
    let copy = round_trip(original)?;
    let waited = would_block(|| copy.recv(&mut [0; 8]))?;
    ensure_waited(waited)
}

/// Fails unless it was a wait of 30 ms. The kernel counts ticks, of which some come late and at once
/// on a busy machine: what was set while they lacked ends too early by the clock.
fn ensure_waited(waited: Duration) -> Result<()> {
    ensure!(
        waited >= Duration::from_millis(15) && waited < Duration::from_secs(3),
        "waited {waited:?} instead of 30 ms"
    );
    Ok(())
}

fn rcvtimeo_zero() -> Result<()> {
    let original = bound()?;
    sys::set_timeval(&original, 66, -1, 0)?;
    let copy = round_trip(original)?;
    would_block(|| copy.recv(&mut [0; 8]))?;
    Ok(())
}

/// A timeout that reads {0, 0}, like the one before, but waits.
fn rcvtimeo_infinite() -> Result<()> {
    let copy = round_trip(bound()?)?;
    let mut sender = task::fork(|| {
        std::thread::sleep(Duration::from_millis(40));
        let peer = UdpSocket::bind(PEER);
        i32::from(peer.and_then(|peer| peer.send_to(b"late", HERE)).is_err())
    })?;
    let mut buffer = [0; 8];
    let len = copy.recv(&mut buffer).context("did not wait")?;
    ensure!(buffer[..len] == *b"late", "received something else");
    sender.wait(Duration::from_secs(5))?;
    Ok(())
}

/// UDP does not linger, whatever `SO_LINGER` says.
fn linger() -> Result<()> {
    let original = bound()?;
    sys::set_pair(&original, libc::SO_LINGER, 1, 30)?;
    let copy = round_trip(original)?;
    let start = Instant::now();
    drop(copy);
    ensure!(
        start.elapsed() < Duration::from_secs(5),
        "close took {:?}",
        start.elapsed()
    );
    bound().context("the port is not free")?;
    Ok(())
}

fn nonblock() -> Result<()> {
    let original = bound()?;
    original.set_nonblocking(true)?;
    let copy = round_trip(original)?;
    would_block(|| copy.recv(&mut [0; 8]))?;
    copy.set_nonblocking(false)?;
    // And off again.
    sys::set_timeval(&copy, 66, 0, 30_000)?;
    let copy = round_trip(copy)?;
    let waited = would_block(|| copy.recv(&mut [0; 8]))?;
    ensure_waited(waited)
}

fn broadcast() -> Result<()> {
    let to = SocketAddrV4::new(BROADCAST, 7001);
    let copy = round_trip(sys::udp()?)?;
    let error = copy.send_to(b"x", to).err().context("permitted")?;
    ensure!(error.raw_os_error() == Some(libc::EACCES), "{error}");

    let original = sys::udp()?;
    sys::set_int(&original, SOL_SOCKET, libc::SO_BROADCAST, 1)?;
    let listener = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 7001))?;
    let copy = round_trip(original)?;
    copy.send_to(b"all", to)?;
    ensure!(
        sys::readable(&listener, Duration::from_secs(2))?,
        "nothing was heard"
    );
    Ok(())
}

/// Datagrams of the copy have its priority.
fn priority() -> Result<()> {
    const SO_RCVPRIORITY: i32 = 82;
    let peer = UdpSocket::bind(PEER)?;
    sys::set_int(&peer, SOL_SOCKET, SO_RCVPRIORITY, 1)?;
    let original = sys::udp()?;
    sys::set_int(&original, SOL_SOCKET, libc::SO_PRIORITY, 0x1234)?;
    let copy = round_trip(original)?;
    copy.send_to(b"x", PEER)?;
    let (_, messages) = sys::receive(&peer, 0)?;
    let expected = (
        SOL_SOCKET,
        libc::SO_PRIORITY,
        0x1234_u32.to_ne_bytes().to_vec(),
    );
    ensure!(messages.contains(&expected), "{messages:?}");
    Ok(())
}

/// Two sockets on one port, if both want it, and only then.
fn reuseaddr() -> Result<()> {
    let mut client = cr::client()?;
    let original = sys::udp()?;
    sys::set_int(&original, SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    sys::bind(&original, HERE)?;
    let dump = cr::dump(&mut client, &original)?;
    let copy = cr::restore(&mut client, &dump).context("beside the original")?;
    ensure!(sys::name(&copy)? == HERE, "bound elsewhere");
    drop(original);
    // Others can join the copy if they want it, too.
    ensure!(bound().is_err(), "joined without SO_REUSEADDR");
    let other = sys::udp()?;
    sys::set_int(&other, SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    sys::bind(&other, HERE).context("joining the copy")?;
    Ok(())
}

/// Sockets that share a port by `SO_REUSEADDR`, of which one has switched that off since, cannot come
/// back as they are. With the option on they do, and it can be switched off again.
fn no_longer_shared() -> Result<()> {
    let mut client = cr::client()?;
    let shared = || -> Result<UdpSocket> {
        let socket = sys::udp()?;
        sys::set_int(&socket, SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        sys::bind(&socket, HERE)?;
        Ok(socket)
    };
    let (one, other) = (shared()?, shared()?);
    let dump = cr::dump(&mut client, &one)?;
    let with_it = cr::dump(&mut client, &other)?;
    sys::set_int(&other, SOL_SOCKET, libc::SO_REUSEADDR, 0)?;
    let without = cr::dump(&mut client, &other)?;
    drop((one, other));
    for (first, second) in [(&dump, &without), (&without, &dump)] {
        let _first = cr::restore(&mut client, first)?;
        let expected = Expected::errno(&[libc::EADDRINUSE]);
        cr::restore_refused(&mut client, second, expected)?;
    }
    let _one = cr::restore(&mut client, &dump)?;
    let other = cr::restore(&mut client, &with_it)?;
    sys::set_int(&other, SOL_SOCKET, libc::SO_REUSEADDR, 0)?;
    cr::same_dump(&without, &cr::dump(&mut client, &other)?)?;
    Ok(())
}

/// How many datagrams fit before the first is dropped.
fn fit(socket: &UdpSocket) -> Result<usize> {
    let peer = sys::udp()?;
    for _ in 0..200 {
        peer.send_to(&[0; 100], HERE)?;
    }
    let mut count = 0;
    while sys::receive(socket, libc::MSG_DONTWAIT).is_ok() {
        count += 1;
    }
    Ok(count)
}

fn rcvbuf() -> Result<()> {
    let make = || -> Result<UdpSocket> {
        let socket = bound()?;
        sys::set_int(&socket, SOL_SOCKET, libc::SO_RCVBUF, 6000)?;
        Ok(socket)
    };
    let expected = fit(&make()?)?;
    let copy = round_trip(make()?)?;
    let found = fit(&copy)?;
    ensure!(
        found == expected && found < 200,
        "{expected} datagrams fit into the original, {found} into the copy"
    );
    Ok(())
}

/// Each of the modes makes its own control message.
fn timestamp(option: Option<i32>) -> Result<()> {
    let original = bound()?;
    if let Some(option) = option {
        sys::set_int(&original, SOL_SOCKET, option, 1)?;
    }
    let copy = round_trip(original)?;
    let peer = UdpSocket::bind((OTHER, 0))?;
    peer.send_to(b"x", HERE)?;
    let (_, messages) = sys::receive(&copy, 0)?;
    let kinds: Vec<_> = messages.iter().map(|(_, kind, _)| *kind).collect();
    ensure!(
        kinds == option.into_iter().collect::<Vec<_>>(),
        "control messages {kinds:?}"
    );
    Ok(())
}

/// The copy is an ordinary descriptor: it can be duplicated, inherited and
/// closed in any order.
fn inherited() -> Result<()> {
    let peer = UdpSocket::bind(PEER)?;
    let copy = round_trip(bound()?)?;
    let second = copy.try_clone()?;
    drop(copy);
    let mut child = task::fork(|| i32::from(second.send_to(b"child", PEER).is_err()))?;
    let end = child.wait(Duration::from_secs(5))?;
    ensure!(end == task::End::Exited(0), "{end:?}");
    drop(second);
    let mut buffer = [0; 8];
    let (len, from) = peer.recv_from(&mut buffer)?;
    ensure!(
        buffer[..len] == *b"child" && from == HERE.into(),
        "heard {from}"
    );
    bound().context("the port is not free")?;
    Ok(())
}
