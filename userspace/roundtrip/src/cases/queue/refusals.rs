// SPDX-License-Identifier: GPL-2.0

//! Datagrams that no socket has, and too much of everything.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use inetcr::table::{Kind, Role};
use inetcr::{Client, DATAGRAM, PAYLOAD_MAX, RawAttr};

use super::ends::port_is_free;
use super::traffic::{holding, payload};
use super::{drain, same_messages};
use crate::cases::refusals::attributes::{too_long, too_short};
use crate::cases::refusals::privileges::in_user_namespace;
use crate::cr::{self, Dump, Expected, Part, Queued, attr};
use crate::places::{PEER, PORT};
use crate::runner::Test;
use crate::sys::socket;

pub fn tests() -> Vec<Test> {
    let mut tests = vec![
        Test::new("queue::refusals::every_attribute_is_taken", every_attribute),
        Test::new("queue::refusals::wrong_length", wrong_length),
        Test::new("queue::refusals::repeated", repeated),
        Test::new("queue::refusals::missing", missing),
        Test::new("queue::refusals::unknown", unknown),
        Test::new("queue::refusals::payloads", payloads),
        Test::new("queue::refusals::incomplete", incomplete),
        Test::new("queue::refusals::options_of_ip", options_of_ip),
        Test::new("queue::refusals::label", || in_user_namespace(label)),
        Test::new("queue::refusals::of_ipv6", of_ipv6),
        Test::new("queue::refusals::no_room", no_room),
        Test::new("queue::refusals::no_room_any_more", no_room_any_more),
        Test::new("queue::refusals::endless", endless).slow(),
    ];
    for (name, number, value, errno) in RANGES {
        tests.push(Test::new(
            format!("queue::refusals::range::{name}::{value:#x}"),
            || out_of_range(*number, *value, errno),
        ));
    }
    tests
}

const RANGE: &[i32] = &[libc::ERANGE];
pub const INVALID: &[i32] = &[libc::EINVAL, libc::ERANGE];

/// Numbers that no datagram has.
const RANGES: &[(&str, u16, u32, &[i32])] = &[
    ("len", 1, 0x1_0000, INVALID),
    ("len", 1, 0x7fff_ffff, INVALID),
    ("len", 1, u32::MAX, INVALID),
    ("pktinfo_ifindex", 8, 0x8000_0000, INVALID),
    ("pktinfo_ifindex", 8, u32::MAX, INVALID),
    ("ttl", 11, 256, RANGE),
    ("ttl", 11, u32::MAX, RANGE),
    ("tos", 12, 256, RANGE),
    ("tos", 12, u32::MAX, RANGE),
    ("frag_max_size", 14, 0x1_0000, RANGE),
    ("gso_size", 15, 0, RANGE),
    ("gso_size", 15, 0x1_0000, RANGE),
    ("peeked", 20, 2, RANGE),
];

/// A transaction with a datagram to spoil.
pub struct Good {
    pub client: Client,
    pub dump: Dump,
    /// A datagram that has every attribute, of three bytes.
    datagram: Dump,
}

impl Good {
    pub fn new() -> Result<Self> {
        let mut client = cr::client()?;
        let original = holding(&[b"one"])?;
        socket::set_int(&original, libc::SOL_UDP, libc::UDP_GRO, 1)?;
        let queued = Queued::of(&mut client, &original)?;
        let (mut datagram, _) = queued.datagrams()?.remove(0);
        let no_error = |number| number < attr::datagram::ERROR_ORIGIN;
        for row in DATAGRAM.iter().filter(|row| no_error(row.number)) {
            if datagram.get(row.number).is_none() {
                datagram.0.push(match row.kind {
                    Kind::Address => RawAttr::new(row.number, [127, 0, 0, 1]),
                    Kind::Device => RawAttr::string(row.number, c"lo"),
                    Kind::Sint => RawAttr::sint(row.number, 1_700_000_000_123_456_789),
                    Kind::Binary => RawAttr::new(row.number, [1, 1, 1, 0]),
                    _ => RawAttr::u32(row.number, 1),
                });
            }
        }
        Ok(Self {
            client,
            dump: queued.dump,
            datagram,
        })
    }

    /// Sends attributes as datagrams, and sees that they are refused and that nothing is left.
    fn refused(&mut self, attrs: &[RawAttr], expected: Expected<'_>) -> Result<()> {
        let files = cr::open_files();
        Part::Begin.send(&mut self.client, &self.dump.0)?;
        let result = Part::Queue.send(&mut self.client, attrs);
        cr::refused(result, expected)?;
        ensure!(cr::open_files() == files, "the refusal left a descriptor");
        // What the policy refuses is no part of the transaction, and did not end it.
        let _ = Part::Abort.send(&mut self.client, &[]);
        port_is_free()
    }

    /// The same of a datagram whose attribute of a number is to blame.
    fn bad(&mut self, datagram: &Dump, errno: &[i32], number: u16) -> Result<()> {
        let attrs = [RawAttr::nested(attr::DATAGRAM, &datagram.0), piece(3)];
        let paths = [&[attr::DATAGRAM, number][..]];
        self.refused(&attrs, Expected::errno(errno).paths(&paths))
    }

    /// A datagram of so many bytes, which is no train: those have a least length.
    pub fn of_len(&self, len: u32) -> RawAttr {
        let datagram = self.datagram.clone().without(15);
        let datagram = datagram.with(RawAttr::u32(1, len));
        RawAttr::nested(attr::DATAGRAM, &datagram.0)
    }
}

/// A piece of payload of so many bytes.
pub fn piece(len: usize) -> RawAttr {
    RawAttr::new(attr::PAYLOAD, vec![b'x'; len])
}

/// All that a datagram can have comes back: so what is spoiled below was good.
fn every_attribute() -> Result<()> {
    let Good {
        mut client,
        dump,
        datagram,
    } = Good::new()?;
    let queue = vec![RawAttr::nested(attr::DATAGRAM, &datagram.0), piece(3)];
    let queued = Queued { dump, queue };
    let copy = queued.restore(&mut client)?;
    let again = Queued::of(&mut client, &copy)?.datagrams()?;
    ensure!(again.len() == 1, "{} datagrams", again.len());
    for attr in &datagram.0 {
        let found = again[0].0.get(attr.number());
        ensure!(
            found == Some(attr.payload.as_slice()),
            "attribute {} came back as {found:02x?}, not {:02x?}",
            attr.number(),
            attr.payload
        );
    }
    Ok(())
}

fn wrong_length() -> Result<()> {
    let mut good = Good::new()?;
    for row in DATAGRAM.iter().filter(|row| row.role != Role::Other) {
        for len in too_short(row.kind).iter().chain(too_long(row.kind)) {
            let bad = RawAttr::new(row.number, vec![1; *len]);
            let datagram = good.datagram.clone().with(bad);
            good.bad(&datagram, INVALID, row.number)
                .with_context(|| format!("{}: {len} bytes", row.name))?;
        }
    }
    Ok(())
}

fn repeated() -> Result<()> {
    let mut good = Good::new()?;
    for attr in good.datagram.clone().0 {
        let mut datagram = good.datagram.clone();
        let number = attr.number();
        datagram.0.push(attr);
        good.bad(&datagram, &[libc::EINVAL], number)
            .with_context(|| format!("attribute {number}"))?;
    }
    Ok(())
}

/// What every datagram has: length, addresses, ports, time to live, type of service.
fn missing() -> Result<()> {
    let mut good = Good::new()?;
    for number in [1, 2, 3, 4, 5, 11, 12] {
        let datagram = good.datagram.clone().without(number);
        good.bad(&datagram, &[libc::EINVAL], number)
            .with_context(|| format!("without attribute {number}"))?;
    }
    Ok(())
}

/// What there is not, what belongs to errors, and a nest without its flag.
fn unknown() -> Result<()> {
    let mut good = Good::new()?;
    let last = DATAGRAM.iter().map(|row| row.number).max();
    for number in [0, 21, 22, 26, last.unwrap_or_default() + 1, 1000, 0x3fff] {
        let mut datagram = good.datagram.clone();
        datagram.0.push(RawAttr::u32(number, 0));
        let errno = [libc::EINVAL, libc::EOPNOTSUPP];
        good.bad(&datagram, &errno, number)
            .with_context(|| format!("attribute {number}"))?;
    }
    let nest = RawAttr::encode_all(&good.datagram.0);
    let expected = Expected::errno(&[libc::EINVAL]).attribute(attr::DATAGRAM);
    good.refused(&[RawAttr::new(attr::DATAGRAM, nest), piece(3)], expected)?;
    // Lengths that are lies.
    for claimed in [0, 3, 9, 1000, u16::MAX] {
        let mut datagram = good.datagram.clone();
        datagram.0.push(RawAttr::u32(20, 1).claiming_len(claimed));
        let nest = RawAttr::nested(attr::DATAGRAM, &datagram.0);
        good.refused(&[nest, piece(3)], Expected::errno(&[libc::EINVAL]))
            .with_context(|| format!("nla_len {claimed}"))?;
    }
    Ok(())
}

fn out_of_range(number: u16, value: u32, errno: &[i32]) -> Result<()> {
    let mut good = Good::new()?;
    // The name of a device counts more than its number.
    let datagram = good.datagram.clone().without(7);
    let datagram = datagram.with(RawAttr::u32(number, value));
    good.bad(&datagram, errno, number)
}

/// Pieces that do not fit the datagrams before them.
fn payloads() -> Result<()> {
    let mut good = Good::new()?;
    let [none, three, many] = [0, 3, 40_000].map(|len| good.of_len(len));
    for (what, attrs) in [
        ("no datagram", vec![piece(3)]),
        ("more than the length", vec![three.clone(), piece(4)]),
        (
            "more in a second piece",
            vec![three.clone(), piece(3), piece(1)],
        ),
        ("of an empty datagram", vec![none.clone(), piece(1)]),
        (
            "of two datagrams",
            vec![none, three.clone(), piece(3), piece(3)],
        ),
        ("too large", vec![many, piece(PAYLOAD_MAX + 1)]),
    ] {
        let expected = Expected::errno(INVALID).attribute(attr::PAYLOAD);
        good.refused(&attrs, expected).context(what)?;
    }
    Ok(())
}

/// A payload that is not there at the end.
fn incomplete() -> Result<()> {
    let mut good = Good::new()?;
    let three = good.of_len(3);
    // There is never more than one that is not complete.
    let expected = Expected::errno(INVALID).attribute(attr::DATAGRAM);
    good.refused(&[three.clone(), three.clone(), piece(3)], expected)?;
    for attrs in [
        vec![three.clone()],
        vec![three.clone(), piece(2)],
        vec![three.clone(), piece(3), three.clone()],
    ] {
        Part::Begin.send(&mut good.client, &good.dump.0)?;
        Part::Queue.send(&mut good.client, &attrs)?;
        let expected = Expected::errno(&[libc::EINVAL]);
        cr::refused(Part::commit(&mut good.client), expected)?;
        port_is_free()?;
    }
    Ok(())
}

/// What security label a datagram has is not for the root of a user namespace to say.
fn label() -> Result<()> {
    let mut good = Good::new()?;
    for options in [
        &[134, 12, 0, 0, 0, 3, 128, 6, 1, 2, 3, 4][..],
        &[1, 1, 134, 10, 0, 0, 0, 3, 128, 4, 1, 2],
        // Behind an option that no router would have let through.
        &[7, 1, 134, 10, 0, 0, 0, 3, 128, 4, 1, 2],
    ] {
        let datagram = good.datagram.clone().with(RawAttr::new(13, options));
        let attrs = [RawAttr::nested(attr::DATAGRAM, &datagram.0), piece(3)];
        let paths = [&[attr::DATAGRAM, 13][..]];
        let expected = Expected::errno(&[libc::EPERM]).word("CAP_MAC_ADMIN");
        good.refused(&attrs, expected.paths(&paths))?;
    }
    // Behind the end there is none.
    let datagram = good.datagram.clone().with(RawAttr::new(13, [0, 134, 2, 0]));
    let queue = vec![RawAttr::nested(attr::DATAGRAM, &datagram.0), piece(3)];
    let dump = good.dump.clone();
    Queued { dump, queue }.restore(&mut good.client)?;
    Ok(())
}

/// IP options are whole words. What they are nobody looks at, as they came through the network:
/// some that routers filled up would not be valid again, and a security label is not told by one.
/// But such a label is as long as it says: who reads it takes that for granted.
fn options_of_ip() -> Result<()> {
    let mut good = Good::new()?;
    for options in [
        &[68][..],
        &[134, 4, 0, 0],
        &[134, 1, 0, 0, 0, 1, 1, 255],
        &[134, 8, 0, 0, 0, 1, 1, 4],
        &[134, 12, 0, 0, 0, 1, 128, 4, 1, 2, 3, 4],
        &[134, 12, 0, 0, 0, 1, 1, 7, 1, 2, 3, 4],
        &[134, 11, 0, 0, 0, 1, 2, 5, 0, 0, 1, 0],
        &[134, 16, 0, 0, 0, 1, 1, 6, 1, 2, 3, 4],
    ] {
        let datagram = good.datagram.clone().with(RawAttr::new(13, options));
        good.bad(&datagram, &[libc::EINVAL], 13)
            .with_context(|| format!("{options:?}"))?;
    }

    let full_route = [7, 10, 8, 127, 0, 0, 1, 0, 0, 0, 0, 0];
    let full_stamps = [68, 8, 9, 0xf0, 1, 2, 3, 4];
    // A time may look like a label, and is echoed.
    let time = [68, 8, 9, 0, 4, 116, 134, 134];
    let label = [134, 12, 0, 0, 0, 1, 128, 6, 1, 2, 3, 4];
    for options in [
        &[131, 7, 4, 127][..],
        &[7, 200, 4, 0],
        &full_route,
        &full_stamps,
        &time,
        &label,
    ] {
        let datagram = good.datagram.clone().with(RawAttr::new(13, options));
        let queue = vec![RawAttr::nested(attr::DATAGRAM, &datagram.0), piece(3)];
        let dump = good.dump.clone();
        let copy = Queued { dump, queue }.restore(&mut good.client)?;
        let again = Queued::of(&mut good.client, &copy)?.datagrams()?;
        let (found, _) = again.first().context("no datagram")?;
        ensure!(found.get(13) == Some(options), "{options:?}: {found:02x?}");
        socket::set_int(&copy, libc::SOL_IP, libc::IP_RETOPTS, 1)?;
        let messages = drain(&copy)?;
        ensure!(messages.len() == 1, "{options:?}: {messages:02x?}");
        if options == time {
            let told = messages.iter().flat_map(|message| &message.control);
            let echo: Vec<_> = told.filter(|one| one.1 == libc::IP_RETOPTS).collect();
            ensure!(echo.len() == 1 && echo[0].2 == time, "{echo:02x?}");
        }
    }
    Ok(())
}

/// A socket that was one of IPv6 when a datagram came, and is one of IPv4 now.
fn of_ipv6() -> Result<()> {
    const IPV6_ADDRFORM: i32 = 1;
    let original = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, PORT))?;
    let sender = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0))?;
    sender.send_to(b"six", (Ipv6Addr::LOCALHOST, PORT))?;
    ensure!(
        socket::readable(&original, Duration::from_secs(1))?,
        "nothing arrived"
    );
    original.connect((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), PEER.port()))?;
    socket::set_int(&original, libc::IPPROTO_IPV6, IPV6_ADDRFORM, libc::AF_INET)?;
    let mut client = cr::client()?;
    let Err(error) = Queued::of(&mut client, &original) else {
        bail!("a datagram of IPv6 was dumped");
    };
    let errno = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<inetcr::Error>()?.errno());
    ensure!(errno == Some(libc::EOPNOTSUPP), "{error:#}");
    ensure!(format!("{error:#}").contains("QUEUE"), "{error:#}");
    Ok(())
}

const NO_ROOM: &[i32] = &[libc::ENOBUFS, libc::ENOMEM];

/// More than the receive buffer of the image takes.
fn no_room() -> Result<()> {
    let mut client = cr::client()?;
    let payloads: Vec<_> = (0..20).map(|number| payload(number, 1000)).collect();
    let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    let original = holding(&payloads)?;
    let queued = Queued::of(&mut client, &original)?;
    let expected = drain(&original)?;
    drop(original);
    let small = queued.dump.clone().with(RawAttr::u32(attr::RCVBUF, 4096));
    Part::Begin.send(&mut client, &small.0)?;
    let result = Part::Queue.send(&mut client, &queued.queue);
    cr::refused(result, Expected::errno(NO_ROOM))?;
    port_is_free()?;
    let copy = queued.restore(&mut client)?;
    same_messages(&expected, &drain(&copy)?)
}

/// The owner made the buffer smaller than what was in it already. All of it comes back, or nothing.
fn no_room_any_more() -> Result<()> {
    let mut client = cr::client()?;
    let original = holding(&[&payload(1, 10_000), &payload(2, 10_000)])?;
    socket::set_int(&original, libc::SOL_SOCKET, libc::SO_RCVBUF, 1)?;
    let queued = Queued::of(&mut client, &original)?;
    let expected = drain(&original)?;
    drop(original);
    match queued.restore(&mut client) {
        Ok(copy) => same_messages(&expected, &drain(&copy)?),
        Err(error) => {
            let refusal = error.downcast::<inetcr::Error>()?;
            cr::refused::<()>(Err(refusal), Expected::errno(NO_ROOM))?;
            port_is_free()
        }
    }
}

/// As many empty datagrams as somebody wants to send: they take memory, too.
fn endless() -> Result<()> {
    let mut good = Good::new()?;
    Part::Begin.send(&mut good.client, &good.dump.0)?;
    let message = vec![good.of_len(0); 250];
    for _ in 0..40 {
        if let Err(error) = Part::Queue.send(&mut good.client, &message) {
            cr::refused::<()>(Err(error), Expected::errno(NO_ROOM))?;
            return port_is_free();
        }
    }
    anyhow::bail!("10000 datagrams were taken")
}
