// SPDX-License-Identifier: GPL-2.0

//! Corked datagrams that are not carried, that nobody has, and that would not be the same.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd as _;

use anyhow::{Context, Result, ensure};
use inetcr::table::{Kind, Role};
use inetcr::{CORK, Client, PAYLOAD_MAX, RawAttr, Selector, Target};
use libc::{SOL_IP, SOL_SOCKET};

use super::begun::behind_a_gateway;
use super::{Begin, Style, dumped, receiver, restored};
use crate::cases::queue::{HERE, drain, piece, port_is_free};
use crate::cases::refusals::attributes::{too_long, too_short};
use crate::cr::{self, Dump, Expected, Part, QUEUE, Queued, attr};
use crate::places::{BROADCAST, GROUP, PEER};
use crate::runner::Test;
use crate::sys::{link, namespace, socket, task};

pub fn tests() -> Vec<Test> {
    let mut tests = vec![
        Test::new("cork::refusals::zerocopy", zerocopy),
        Test::new("cork::refusals::without_a_port", without_a_port),
        Test::new("cork::refusals::device_gone", device_gone),
        Test::new("cork::refusals::options_of_another", options_of_another),
        Test::new("cork::refusals::route_of_another", route_of_another),
        Test::new(
            "cork::refusals::to_port_zero_of_the_peer",
            to_port_zero_of_the_peer,
        ),
        Test::new("cork::refusals::not_to_be_cut", not_to_be_cut),
        Test::new("cork::refusals::without_a_transaction", alone),
        Test::new("cork::refusals::has_not_come", has_not_come),
        Test::new("cork::refusals::another_length", another_length),
        Test::new("cork::refusals::every_attribute_is_taken", every_attribute),
        Test::new("cork::refusals::wrong_length", wrong_length),
        Test::new("cork::refusals::repeated", repeated),
        Test::new("cork::refusals::missing", missing),
        Test::new("cork::refusals::unknown", unknown),
        Test::new("cork::refusals::payloads", payloads),
        Test::new("cork::refusals::order", order),
        Test::new("cork::refusals::incomplete", incomplete),
        Test::new("cork::refusals::no_such_device", no_such_device),
        Test::new("cork::refusals::another_source", another_source),
        Test::new("cork::refusals::another_device", another_device),
        Test::new("cork::refusals::another_mtu", another_mtu),
        Test::new("cork::refusals::no_gateway", no_gateway),
        Test::new("cork::refusals::no_route", no_route),
        Test::new("cork::refusals::nowhere_bound", nowhere_bound),
        Test::new("cork::refusals::to_port_zero", to_port_zero),
        Test::new("cork::refusals::too_long", too_long_to_send),
        Test::new("cork::refusals::time_without_a_clock", time_without_a_clock),
        Test::new(
            "cork::refusals::number_without_a_stamp",
            number_without_a_stamp,
        ),
        Test::new("cork::refusals::wrong_options", wrong_options),
        Test::new("cork::refusals::no_net_raw", no_net_raw),
    ];
    for (name, number, value) in RANGES {
        tests.push(Test::new(
            format!("cork::refusals::range::{name}::{value:#x}"),
            || out_of_range(*number, *value),
        ));
    }
    tests
}

const INVALID: &[i32] = &[libc::EINVAL, libc::ERANGE];

/// Numbers that no corked datagram has.
const RANGES: &[(&str, u16, u32)] = &[
    ("len", 1, 65_528),
    ("len", 1, u32::MAX),
    ("ttl", 5, 0),
    ("ttl", 5, 256),
    ("tos", 6, 256),
    ("gso_size", 10, 0),
    ("gso_size", 10, 0x1_0000),
    ("timestamping", 12, 0x10),
    ("timestamping", 12, 0x200),
    ("confirm", 14, 2),
    ("gateway", attr::cork::GATEWAY, 2),
];

/// The memory of the payload is its owner's, who waits to be told that it is free.
fn zerocopy() -> Result<()> {
    let original = socket::udp()?;
    socket::bind(&original, HERE)?;
    socket::set_int(&original, SOL_SOCKET, libc::SO_ZEROCOPY, 1)?;
    let flags = libc::MSG_MORE | libc::MSG_ZEROCOPY;
    socket::send_message(&original, Some(PEER), &[], &[7; 4096], flags)?;
    not_dumped(&original, "MSG_ZEROCOPY")?;
    let ordinary = Begin::plain();
    drop(original);
    dumped(&mut cr::client()?, &ordinary.make(Style::Flag)?)?;
    Ok(())
}

fn not_dumped(original: &UdpSocket, word: &str) -> Result<()> {
    let mut client = cr::client()?;
    let expected = Expected::errno(&[libc::EOPNOTSUPP]).word(word);
    cr::dump_refused(&mut client, original, expected)?;
    let target = Target::from(Selector::Fd(original.as_raw_fd()));
    let result = client.raw_multipart(QUEUE, &target.to_attrs());
    cr::refused(result, expected)?;
    Ok(())
}

/// It would go out from port 0, or get another one, as its owner goes on.
fn without_a_port() -> Result<()> {
    let original = socket::udp()?;
    socket::connect(&original, PEER)?;
    socket::send(&original, b"begun", libc::MSG_MORE)?;
    socket::disconnect(&original)?;
    not_dumped(&original, "port")
}

fn device_gone() -> Result<()> {
    link::add_dummy("dummy0")?;
    link::address("dummy0", Ipv4Addr::new(10, 7, 0, 1))?;
    let original = socket::udp()?;
    let to = SocketAddrV4::new(Ipv4Addr::new(10, 7, 0, 2), 7001);
    socket::bind(&original, HERE_OF_ALL)?;
    socket::send_message(&original, Some(to), &[], b"begun", libc::MSG_MORE)?;
    link::remove("dummy0")?;
    not_dumped(&original, "gone")
}

/// The options were compiled for the first destination, and the second is what is known.
fn options_of_another() -> Result<()> {
    let begin = Begin {
        before: |socket| {
            socket::bind(socket, HERE)?;
            Ok(socket::set(
                socket,
                SOL_IP,
                libc::IP_OPTIONS,
                &[1, 1, 1, 0],
            )?)
        },
        ..Begin::plain()
    };
    let original = begin.make(Style::Flag)?;
    dumped(&mut cr::client()?, &original)?;
    let other = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 9), 7009);
    socket::connect(&original, other)?;
    not_dumped(&original, "connect()")
}

/// The route is the one to the group, with its TTL, though the packet goes to the peer.
fn route_of_another() -> Result<()> {
    let original = Begin {
        to: Some(SocketAddrV4::new(GROUP, PEER.port())),
        ..Begin::plain()
    }
    .make(Style::Flag)?;
    dumped(&mut cr::client()?, &original)?;
    // Nothing keeps it from being carried if it is the same kind of route.
    socket::connect(&original, SocketAddrV4::new(GROUP, 7009))?;
    dumped(&mut cr::client()?, &original)?;
    socket::connect(&original, PEER)?;
    not_dumped(&original, "connect()")?;
    let broadcast = SocketAddrV4::new(BROADCAST, PEER.port());
    socket::set_int(&original, SOL_SOCKET, libc::SO_BROADCAST, 1)?;
    socket::connect(&original, broadcast)?;
    not_dumped(&original, "connect()")
}

/// Which only who is connected to it can send to.
fn to_port_zero_of_the_peer() -> Result<()> {
    const PEER_ZERO: SocketAddrV4 = SocketAddrV4::new(*PEER.ip(), 0);
    let mut client = cr::client()?;
    let receiver = receiver()?;
    let begin = Begin {
        before: |socket| {
            socket::bind(socket, HERE)?;
            Ok(socket::connect(socket, PEER_ZERO)?)
        },
        to: None,
        ..Begin::plain()
    };
    let original = begin.make(Style::Flag)?;
    let queued = dumped(&mut client, &original)?;
    socket::disconnect(&original)?;
    not_dumped(&original, "port 0")?;
    drop(original);
    drop(restored(&mut client, &queued, &receiver)?);
    Ok(())
}

/// What may not be cut any more, and is too long for that.
fn not_to_be_cut() -> Result<()> {
    link::set_mtu("lo", 1500)?;
    let mut good = Good::of(&Begin {
        sizes: &[3000],
        after: |socket| {
            const DO: i32 = 2;
            Ok(socket::set_int(socket, SOL_IP, libc::IP_MTU_DISCOVER, DO)?)
        },
        ..Begin::plain()
    })?;
    let cork = good.cork.clone();
    good.not_made(&cork, Expected::errno(&[libc::EMSGSIZE]).word("begun"))
}

const HERE_OF_ALL: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 7000);

/// A socket with a corked datagram to spoil, which was dumped and closed.
struct Good {
    client: Client,
    queued: Queued,
    /// It has every attribute.
    cork: Dump,
    payload: Vec<u8>,
}

impl Good {
    fn new() -> Result<Self> {
        Self::of(&Begin::plain())
    }

    fn of(begin: &Begin) -> Result<Self> {
        let mut client = cr::client()?;
        let original = begin.make(Style::Option)?;
        let queued = Queued::of(&mut client, &original)?;
        let (cork, payload) = queued.cork()?.context("no cork")?;
        Ok(Self {
            client,
            queued,
            cork,
            payload,
        })
    }

    /// The attributes of a part with this one.
    fn with(&self, cork: &Dump) -> Vec<RawAttr> {
        let mut attrs = vec![RawAttr::nested(attr::CORK, &cork.0)];
        let pieces = self.payload.chunks(PAYLOAD_MAX);
        attrs.extend(pieces.map(|piece| RawAttr::new(attr::PAYLOAD, piece)));
        attrs
    }

    fn begin(&mut self) -> Result<()> {
        Part::Begin.send(&mut self.client, &self.queued.dump.0)?;
        Ok(())
    }

    /// Sends attributes, and sees that they are refused and that nothing is left.
    fn refused(&mut self, attrs: &[RawAttr], expected: Expected<'_>) -> Result<()> {
        let files = cr::open_files();
        self.begin()?;
        let result = Part::Queue.send(&mut self.client, attrs);
        cr::refused(result, expected)?;
        ensure!(cr::open_files() == files, "the refusal left a descriptor");
        // What the policy refuses is no part of the transaction, and did not end it.
        let _ = Part::Abort.send(&mut self.client, &[]);
        port_is_free()
    }

    /// The same of a datagram whose attribute of a number is to blame.
    fn bad(&mut self, cork: &Dump, errno: &[i32], number: u16) -> Result<()> {
        let paths = [&[attr::CORK, number][..]];
        let attrs = self.with(cork);
        self.refused(&attrs, Expected::errno(errno).paths(&paths))
    }

    /// Sees that a datagram is taken and cannot be made in the end, and that nothing is left.
    fn not_made(&mut self, cork: &Dump, expected: Expected<'_>) -> Result<()> {
        let files = cr::open_files();
        self.begin()?;
        let attrs = self.with(cork);
        Part::Queue.send(&mut self.client, &attrs)?;
        cr::refused(Part::commit(&mut self.client), expected)?;
        ensure!(cr::open_files() == files, "the refusal left a descriptor");
        port_is_free()
    }

    /// Sees that a datagram is made.
    fn made(&mut self, cork: &Dump) -> Result<UdpSocket> {
        self.begin()?;
        let attrs = self.with(cork);
        Part::Queue.send(&mut self.client, &attrs)?;
        Ok(Part::commit(&mut self.client)?.fd.into())
    }
}

/// It needs a transaction.
fn alone() -> Result<()> {
    let mut good = Good::new()?;
    let expected = Expected::errno(&[libc::EINVAL]).attribute(attr::CORK_LEN);
    cr::restore_refused(&mut good.client, &good.queued.dump, expected)?;
    let without = good.queued.dump.clone().without(attr::CORK_LEN);
    let cork = RawAttr::nested(attr::CORK, &good.cork.0);
    let expected = Expected::errno(&[libc::EINVAL]).attribute(attr::CORK);
    cr::restore_refused(
        &mut good.client,
        &without.clone().with(cork.clone()),
        expected,
    )?;
    let result = Part::Begin.send(&mut good.client, &without.clone().with(cork).0);
    cr::refused(result, expected)?;
    // Who wants to lose it leaves it out.
    drop(cr::restore(&mut good.client, &without)?);
    Ok(())
}

/// The first part says that there is one.
fn has_not_come() -> Result<()> {
    let mut good = Good::new()?;
    good.begin()?;
    let expected = Expected::errno(&[libc::EINVAL]).word("not come");
    cr::refused(Part::commit(&mut good.client), expected)?;
    port_is_free()
}

/// The first part says how long it is. Or nothing.
fn another_length() -> Result<()> {
    let mut good = Good::new()?;
    let cork = good.cork.clone().with(RawAttr::u32(1, 4));
    good.bad(&cork, &[libc::EINVAL], 1)?;
    good.queued.dump = good.queued.dump.without(attr::CORK_LEN);
    let cork = good.cork.clone();
    let receiver = receiver()?;
    let copy = good.made(&cork)?;
    ensure!(Style::Option.finish(&copy).is_none(), "not sent");
    ensure!(drain(&receiver)?.len() == 1, "not received");
    Ok(())
}

/// All that a corked datagram can have comes back: so what is spoiled below was good.
fn every_attribute() -> Result<()> {
    let mut good = Good::new()?;
    socket_with_stamps(&mut good)?;
    let mut cork = good.cork.clone();
    for row in CORK.iter().filter(|row| row.role != Role::Other) {
        if cork.get(row.number).is_none() {
            cork.0.push(match row.kind {
                Kind::Binary => RawAttr::new(row.number, [1, 1, 1, 0]),
                Kind::Uint => RawAttr::uint(row.number, 12_345_678_901),
                _ if row.name == "gso-size" => RawAttr::u32(row.number, 1000),
                _ => RawAttr::u32(row.number, 1),
            });
        }
    }
    let copy = good.made(&cork)?;
    let again = Queued::of(&mut good.client, &copy)?;
    let (found, payload) = again.cork()?.context("no cork")?;
    for attr in &cork.0 {
        ensure!(
            found.get(attr.number()) == Some(attr.payload.as_slice()),
            "attribute {} came back as {:02x?}, not {:02x?}",
            attr.number(),
            found.get(attr.number()),
            attr.payload
        );
    }
    ensure!(
        found.0.len() == cork.0.len() && payload == good.payload,
        "{found:02x?}"
    );
    Ok(())
}

/// Lets the socket that is made have what time stamps and times need.
fn socket_with_stamps(good: &mut Good) -> Result<()> {
    let original = socket::udp()?;
    socket::set_int(&original, SOL_SOCKET, SO_TIMESTAMPING, 0x890)?;
    socket::set_pair(&original, libc::SO_TXTIME, libc::CLOCK_MONOTONIC, 0)?;
    let dump = cr::dump(&mut good.client, &original)?;
    for number in [attr::TIMESTAMPING, attr::TXTIME] {
        for attr in dump.all(number) {
            good.queued.dump = good.queued.dump.clone().with(attr);
        }
    }
    Ok(())
}

const SO_TIMESTAMPING: i32 = 37;

fn wrong_length() -> Result<()> {
    let mut good = Good::new()?;
    for row in CORK.iter().filter(|row| row.role != Role::Other) {
        for len in too_short(row.kind).iter().chain(too_long(row.kind)) {
            let bad = RawAttr::new(row.number, vec![1; *len]);
            let cork = good.cork.clone().with(bad);
            good.bad(&cork, INVALID, row.number)
                .with_context(|| format!("{}: {len} bytes", row.name))?;
        }
    }
    Ok(())
}

fn repeated() -> Result<()> {
    let mut good = Good::new()?;
    for attr in good.cork.clone().0 {
        let mut cork = good.cork.clone();
        let number = attr.number();
        cork.0.push(attr);
        good.bad(&cork, &[libc::EINVAL], number)
            .with_context(|| format!("attribute {number}"))?;
    }
    Ok(())
}

/// What every corked datagram has. What else was dumped of it can be left out.
fn missing() -> Result<()> {
    let mut good = Good::new()?;
    for attr in good.cork.clone().0 {
        let number = attr.number();
        let cork = good.cork.clone().without(number);
        let result = if [1, 2, 3, 4, 6, 7, 8].contains(&number) {
            good.bad(&cork, &[libc::EINVAL], number)
        } else {
            good.made(&cork).map(drop)
        };
        result.with_context(|| format!("without attribute {number}"))?;
    }
    Ok(())
}

/// What there is not, a nest without its flag, and lengths that lie.
fn unknown() -> Result<()> {
    let mut good = Good::new()?;
    let last = CORK.iter().map(|row| row.number).max();
    for number in [0, last.unwrap_or_default() + 1, 1000, 0x3fff] {
        let mut cork = good.cork.clone();
        cork.0.push(RawAttr::u32(number, 0));
        good.bad(&cork, &[libc::EINVAL], number)
            .with_context(|| format!("attribute {number}"))?;
    }
    let nest = RawAttr::encode_all(&good.cork.0);
    let expected = Expected::errno(&[libc::EINVAL]).attribute(attr::CORK);
    good.refused(&[RawAttr::new(attr::CORK, nest)], expected)?;
    for claimed in [0, 3, 9, 1000, u16::MAX] {
        let mut cork = good.cork.clone();
        cork.0.push(RawAttr::u32(14, 1).claiming_len(claimed));
        let nest = RawAttr::nested(attr::CORK, &cork.0);
        good.refused(&[nest], Expected::errno(&[libc::EINVAL]))
            .with_context(|| format!("nla_len {claimed}"))?;
    }
    Ok(())
}

fn out_of_range(number: u16, value: u32) -> Result<()> {
    let mut good = Good::new()?;
    let cork = good.cork.clone().with(RawAttr::u32(number, value));
    good.bad(&cork, INVALID, number)
}

/// Pieces that do not fit.
fn payloads() -> Result<()> {
    let mut good = Good::new()?;
    let cork = RawAttr::nested(attr::CORK, &good.cork.0);
    for (what, attrs) in [
        ("no datagram", vec![piece(5)]),
        ("before it", vec![piece(5), cork.clone()]),
        ("more than the length", vec![cork.clone(), piece(6)]),
        (
            "more in a second piece",
            vec![cork.clone(), piece(5), piece(1)],
        ),
        ("too large", vec![cork.clone(), piece(PAYLOAD_MAX + 1)]),
    ] {
        let expected = Expected::errno(INVALID).attribute(attr::PAYLOAD);
        good.refused(&attrs, expected).context(what)?;
    }
    Ok(())
}

/// There is one, and nothing comes behind it.
fn order() -> Result<()> {
    let mut good = Good::new()?;
    let mut client = cr::client()?;
    let other = UdpSocket::bind("127.0.0.1:7100")?;
    other.send_to(b"one", "127.0.0.1:7100")?;
    let datagram = Queued::of(&mut client, &other)?.queue;
    let cork = RawAttr::nested(attr::CORK, &good.cork.0);
    let whole = vec![cork.clone(), piece(5)];
    for (what, number, attrs) in [
        ("twice", attr::CORK, vec![cork.clone(), cork.clone()]),
        (
            "behind it",
            attr::DATAGRAM,
            [whole.as_slice(), datagram.as_slice()].concat(),
        ),
        (
            "in it",
            attr::DATAGRAM,
            vec![cork.clone(), datagram[0].clone()],
        ),
        (
            "in another",
            attr::CORK,
            vec![datagram[0].clone(), cork.clone()],
        ),
    ] {
        let expected = Expected::errno(&[libc::EINVAL]).attribute(number);
        good.refused(&attrs, expected).context(what)?;
    }
    for later in [whole.clone(), datagram.clone(), vec![cork], vec![piece(1)]] {
        good.begin()?;
        Part::Queue.send(&mut good.client, &whole)?;
        let expected = Expected::errno(&[libc::EINVAL]);
        cr::refused(Part::Queue.send(&mut good.client, &later), expected)?;
        port_is_free()?;
    }
    // In front of it is where they belong.
    good.begin()?;
    Part::Queue.send(&mut good.client, &[datagram, whole].concat())?;
    Part::commit(&mut good.client)?;
    Ok(())
}

fn incomplete() -> Result<()> {
    let mut good = Good::new()?;
    let cork = RawAttr::nested(attr::CORK, &good.cork.0);
    for attrs in [vec![cork.clone()], vec![cork, piece(4)]] {
        good.begin()?;
        Part::Queue.send(&mut good.client, &attrs)?;
        let expected = Expected::errno(&[libc::EINVAL]).word("not complete");
        cr::refused(Part::commit(&mut good.client), expected)?;
        port_is_free()?;
    }
    Ok(())
}

const IFNAME: u16 = 15;

fn no_such_device() -> Result<()> {
    let mut good = Good::new()?;
    let cork = good.cork.clone();
    let cork = cork.with(RawAttr::string(IFNAME, c"nothing0"));
    good.bad(&cork, &[libc::ENODEV], IFNAME)
}

/// One that is not here: it would come from another one.
fn another_source() -> Result<()> {
    let mut good = Good::new()?;
    let cork = good.cork.clone();
    let cork = cork.with(RawAttr::new(4, [10, 9, 8, 7]));
    let expected = Expected::errno(&[libc::EADDRNOTAVAIL]).word("another address");
    good.not_made(&cork, expected)
}

/// One that does not lead there.
fn another_device() -> Result<()> {
    link::add_dummy("dummy0")?;
    link::address("dummy0", Ipv4Addr::new(10, 7, 0, 1))?;
    let mut good = Good::new()?;
    let cork = good.cork.clone();
    let cork = cork.with(RawAttr::string(IFNAME, c"dummy0"));
    let expected = Expected::errno(&[libc::ENETUNREACH]).word("another device");
    good.not_made(&cork, expected)
}

/// Its fragments would be others.
fn another_mtu() -> Result<()> {
    link::set_mtu("lo", 1500)?;
    for sizes in [&[1473][..], &[60_000]] {
        let begin = Begin {
            sizes,
            ..Begin::plain()
        };
        let mut good = Good::of(&begin)?;
        let cork = good.cork.clone();
        let expected = Expected::errno(&[libc::EMSGSIZE]).word("MTU");
        link::set_mtu("lo", 1400)?;
        good.not_made(&cork, expected)?;
        link::set_mtu("lo", 9000)?;
        good.not_made(&cork, expected)?;
        link::set_mtu("lo", 1500)?;
        let anyhow = cork.clone().without(17);
        link::set_mtu("lo", 1400)?;
        drop(good.made(&anyhow)?);
        link::set_mtu("lo", 1500)?;
        drop(good.made(&cork)?);
    }
    Ok(())
}

/// It went to a gateway, and now would not.
fn no_gateway() -> Result<()> {
    let mut good = Good::new()?;
    let cork = good.cork.clone().with(RawAttr::u32(attr::cork::GATEWAY, 1));
    let expected = Expected::errno(&[libc::ENETUNREACH]).word("gateway");
    good.not_made(&cork, expected)
}

fn no_route() -> Result<()> {
    let receiver = receiver()?;
    behind_a_gateway()?;
    let original = Begin {
        before: |socket| Ok(socket::bind(socket, HERE_OF_ALL)?),
        to: Some(SocketAddrV4::new(Ipv4Addr::new(10, 99, 0, 1), 7001)),
        ..Begin::plain()
    };
    let original = original.make(Style::Flag)?;
    let mut client = cr::client()?;
    let queued = dumped(&mut client, &original)?;
    drop(original);
    drop(restored(&mut client, &queued, &receiver)?);
    namespace::new_network()?;
    let mut client = cr::client()?;
    link::add_dummy("dummy0")?;
    let almost = |client: &mut Client| -> Result<()> {
        Part::Begin.send(client, &queued.dump.0)?;
        Part::Queue.send(client, &queued.queue)?;
        Ok(())
    };
    almost(&mut client)?;
    let expected = Expected::errno(&[libc::ENETUNREACH]).word("route");
    cr::refused(Part::commit(&mut client), expected)?;
    port_is_free()
}

/// To begin one, a socket needs a port.
fn nowhere_bound() -> Result<()> {
    let mut good = Good::new()?;
    let dump = cr::dump(&mut good.client, &socket::udp()?)?;
    good.queued.dump = dump;
    let cork = good.cork.clone();
    let expected = Expected::errno(&[libc::EINVAL]).word("port");
    good.not_made(&cork, expected)
}

fn to_port_zero() -> Result<()> {
    let mut good = Good::new()?;
    let cork = good.cork.clone().with(RawAttr::new(3, [0, 0]));
    good.not_made(&cork, Expected::errno(&[libc::EINVAL]))
}

/// Longer than what IP takes.
fn too_long_to_send() -> Result<()> {
    let mut good = Good::new()?;
    good.queued.dump = good.queued.dump.without(attr::CORK_LEN);
    good.payload = vec![7; 65_508];
    let cork = good.cork.clone().with(RawAttr::u32(1, 65_508));
    good.not_made(&cork, Expected::errno(&[libc::EMSGSIZE]))
}

fn time_without_a_clock() -> Result<()> {
    let mut good = Good::new()?;
    let cork = good.cork.clone().with(RawAttr::uint(11, 5));
    good.not_made(&cork, Expected::errno(&[libc::EINVAL]))
}

/// The kernel would give it none.
fn number_without_a_stamp() -> Result<()> {
    let mut good = Good::new()?;
    let cork = good.cork.clone().with(RawAttr::u32(13, 5));
    let expected = Expected::errno(&[libc::EPERM]).word("another one");
    good.not_made(&cork, expected)
}

fn wrong_options() -> Result<()> {
    let mut good = Good::new()?;
    let cork = good.cork.clone();
    good.bad(&cork.clone().with(RawAttr::new(9, [1])), &[libc::EINVAL], 9)?;
    let cork = cork.with(RawAttr::new(9, [7, 200, 4, 0]));
    good.not_made(&cork, Expected::errno(&[libc::EINVAL]))?;
    Ok(())
}

/// That there is one, and how long it is, is no secret.
fn no_net_raw() -> Result<()> {
    let original = Begin::plain().make(Style::Option)?;
    let queued = Queued::of(&mut cr::client()?, &original)?;
    task::drop_capabilities(&[task::CAP_NET_RAW])?;
    let mut client = cr::client()?;
    let expected = Expected::errno(&[libc::EPERM]).word("CAP_NET_RAW");
    let target = Target::from(Selector::Fd(original.as_raw_fd()));
    let result = client.raw_multipart(QUEUE, &target.to_attrs());
    cr::refused(result, expected)?;
    let dump = cr::dump(&mut client, &original)?;
    cr::same_dump(&queued.dump, &dump)?;
    drop(original);
    let result = Part::Begin.send(&mut client, &queued.dump.0);
    cr::refused(result, expected)?;
    drop(cr::restore(&mut client, &dump.without(attr::CORK_LEN))?);
    Ok(())
}
