// SPDX-License-Identifier: GPL-2.0

//! Corked datagrams of every kind: what arrives of the copy is what arrives of the original, to the
//! byte, with the same sender, headers and control messages.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd as _;

use anyhow::{Context, Result, ensure};
use inetcr::{Image, Selector};
use libc::{SOL_IP, SOL_SOCKET, SOL_UDP};

use super::{Begin, Style, UDP_CORK, dumped, goes_out, receiver, restored};
use crate::cases::queue::{HERE, drain, payload, same_messages};
use crate::cases::refusals::privileges::in_user_namespace;
use crate::cr::{self, Part, Queued, attr};
use crate::places::{BROADCAST, GROUP, OTHER, PEER, PORT};
use crate::runner::Test;
use crate::sys::socket::Message;
use crate::sys::{link, namespace, socket};

/// A kind of corked datagram: how many messages arrive, and level and type of a control message
/// that one of them comes with.
type Kind = (
    &'static str,
    usize,
    Option<(i32, i32)>,
    fn() -> Result<Begin>,
);

const SO_RCVMARK: (i32, i32) = (SOL_SOCKET, libc::SO_MARK);
const SO_RCVPRIORITY: (i32, i32) = (SOL_SOCKET, libc::SO_PRIORITY);
const TOS: (i32, i32) = (SOL_IP, libc::IP_TOS);
const TTL: (i32, i32) = (SOL_IP, libc::IP_TTL);
const RECORD_ROUTE: &[u8] = &[7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const NO_OPERATION: &[u8] = &[1, 1, 1, 0];

/// What a socket does with an option before it begins.
macro_rules! option {
    ($level:expr, $name:expr, $value:expr) => {
        |socket| {
            socket::bind(socket, HERE)?;
            Ok(socket::set(socket, $level, $name, $value)?)
        }
    };
}

const fn sized(sizes: &'static [usize]) -> Begin {
    Begin {
        before: |socket| Ok(socket::bind(socket, HERE)?),
        to: Some(PEER),
        control: Vec::new(),
        flags: 0,
        sizes,
        after: |_| Ok(()),
    }
}

/// As [`sized`], over a device that takes packets of 1500 bytes.
fn cut(sizes: &'static [usize]) -> Result<Begin> {
    link::set_mtu("lo", 1500)?;
    Ok(sized(sizes))
}

#[rustfmt::skip]
const KINDS: &[Kind] = &[
    ("empty", 1, None, || Ok(sized(&[0]))),
    ("one_byte", 1, None, || Ok(sized(&[1]))),
    ("pieces", 1, None, || Ok(sized(&[5, 0, 100, 1]))),
    ("large", 1, None, || Ok(sized(&[65_000]))),
    ("large_in_pieces", 1, None, || Ok(sized(&[30_000, 35_000, 7]))),
    ("one_packet", 1, None, || cut(&[1472])),
    ("nearly_two_packets", 1, None, || cut(&[1470])),
    ("two_packets", 1, None, || cut(&[1473])),
    ("packets", 1, None, || cut(&[5000])),
    ("packets_in_pieces", 1, None, || cut(&[1000, 1000, 3000, 1, 0, 2000])),
    ("packets_byte_by_byte", 1, None, || cut(&[1470, 1, 1, 1, 1, 1, 1, 1])),
    ("many_packets", 1, None, || cut(&[60_000])),
    ("smaller_buffer_later", 1, None, || Ok(Begin {
        after: |socket| Ok(socket::set_int(socket, SOL_SOCKET, libc::SO_SNDBUF, 1)?),
        ..cut(&[60_000])?
    })),
    // Each packet has room of its own for all that one send brings at once.
    ("many_sends_in_a_small_buffer", 1, None, || {
        link::set_mtu("lo", 9000)?;
        Ok(Begin {
            before: |socket| {
                socket::bind(socket, HERE)?;
                Ok(socket::set_int(socket, SOL_SOCKET, libc::SO_SNDBUF, 20_000)?)
            },
            ..sized(&[1000; 60])
        })
    }),
    ("connected", 1, None, || Ok(Begin {
        before: |socket| {
            socket::bind(socket, HERE)?;
            Ok(socket::connect(socket, PEER)?)
        },
        to: None,
        ..sized(&[5])
    })),
    ("connected_and_named", 1, Some(TTL), || Ok(Begin {
        before: |socket| {
            socket::bind(socket, HERE)?;
            Ok(socket::connect(socket, PEER)?)
        },
        ..Begin::with_int(SOL_IP, libc::IP_TTL, 11)
    })),
    ("connected_elsewhere", 1, None, || Ok(Begin {
        before: |socket| {
            socket::bind(socket, HERE)?;
            Ok(socket::connect(socket, SocketAddrV4::new(OTHER, 7002))?)
        },
        ..sized(&[5])
    })),
    ("connected_later", 1, None, || Ok(Begin {
        to: Some(SocketAddrV4::new(OTHER, 7002)),
        after: |socket| Ok(socket::connect(socket, PEER)?),
        ..sized(&[5])
    })),
    ("disconnected_later", 1, None, || Ok(Begin {
        before: |socket| {
            socket::bind(socket, HERE)?;
            Ok(socket::connect(socket, PEER)?)
        },
        to: None,
        after: |socket| Ok(socket::disconnect(socket)?),
        ..sized(&[5])
    })),
    ("from_anywhere", 1, None, || Ok(Begin {
        before: |socket| Ok(socket::bind(socket, any())?),
        to: Some(SocketAddrV4::new(OTHER, PEER.port())),
        ..sized(&[5])
    })),
    ("to_itself", 1, None, || Ok(Begin {
        before: |socket| Ok(socket::bind(socket, any())?),
        to: Some(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PEER.port())),
        ..sized(&[5])
    })),
    ("ttl", 1, Some(TTL), || Ok(Begin::with_int(SOL_IP, libc::IP_TTL, 9))),
    ("ttl_of_the_socket", 1, Some(TTL), || Ok(Begin {
        before: option!(SOL_IP, libc::IP_TTL, &7_i32.to_ne_bytes()),
        ..sized(&[5])
    })),
    // Which is asked when it goes out.
    ("ttl_of_the_socket_later", 1, Some(TTL), || Ok(Begin {
        after: |socket| Ok(socket::set_int(socket, SOL_IP, libc::IP_TTL, 8)?),
        ..sized(&[5])
    })),
    ("tos", 1, Some(TOS), || Ok(Begin::with_int(SOL_IP, libc::IP_TOS, 0x2a))),
    ("tos_of_the_socket", 1, Some(TOS), || Ok(Begin {
        before: option!(SOL_IP, libc::IP_TOS, &0x10_i32.to_ne_bytes()),
        ..sized(&[5])
    })),
    // Which is asked when it is begun.
    ("tos_before", 1, Some(TOS), || Ok(Begin {
        before: option!(SOL_IP, libc::IP_TOS, &0x10_i32.to_ne_bytes()),
        after: |socket| Ok(socket::set_int(socket, SOL_IP, libc::IP_TOS, 0x08)?),
        ..sized(&[5])
    })),
    ("tos_none_before", 1, Some(TOS), || Ok(Begin {
        after: |socket| Ok(socket::set_int(socket, SOL_IP, libc::IP_TOS, 0x08)?),
        ..sized(&[5])
    })),
    ("priority", 1, Some(SO_RCVPRIORITY), || {
        Ok(Begin::with_int(SOL_SOCKET, libc::SO_PRIORITY, 0x107))
    }),
    ("priority_before", 1, Some(SO_RCVPRIORITY), || Ok(Begin {
        before: option!(SOL_SOCKET, libc::SO_PRIORITY, &5_i32.to_ne_bytes()),
        after: |socket| Ok(socket::set_int(socket, SOL_SOCKET, libc::SO_PRIORITY, 2)?),
        ..sized(&[5])
    })),
    ("priority_with_tos", 1, Some(SO_RCVPRIORITY), || {
        let mut begin = Begin::with_int(SOL_IP, libc::IP_TOS, 0x10);
        let priority = 3_i32.to_ne_bytes().to_vec();
        begin.control.push((SOL_SOCKET, libc::SO_PRIORITY, priority));
        Ok(begin)
    }),
    ("mark", 1, Some(SO_RCVMARK), || {
        Ok(Begin::with(SOL_SOCKET, libc::SO_MARK, &[1, 2, 3, 0x84]))
    }),
    ("mark_before", 1, Some(SO_RCVMARK), || Ok(Begin {
        before: option!(SOL_SOCKET, libc::SO_MARK, &7_i32.to_ne_bytes()),
        after: |socket| Ok(socket::set_int(socket, SOL_SOCKET, libc::SO_MARK, 0)?),
        ..sized(&[5])
    })),
    ("options", 1, Some((SOL_IP, libc::IP_RECVOPTS)), || {
        Ok(Begin::with(SOL_IP, libc::IP_RETOPTS, RECORD_ROUTE))
    }),
    ("options_of_the_socket", 1, Some((SOL_IP, libc::IP_RECVOPTS)), || Ok(Begin {
        before: option!(SOL_IP, libc::IP_OPTIONS, RECORD_ROUTE),
        ..sized(&[5])
    })),
    ("options_before", 1, Some((SOL_IP, libc::IP_RECVOPTS)), || Ok(Begin {
        before: option!(SOL_IP, libc::IP_OPTIONS, RECORD_ROUTE),
        after: |socket| Ok(socket::set(socket, SOL_IP, libc::IP_OPTIONS, NO_OPERATION)?),
        ..sized(&[5])
    })),
    ("options_taken_back", 1, Some((SOL_IP, libc::IP_RECVOPTS)), || Ok(Begin {
        before: option!(SOL_IP, libc::IP_OPTIONS, NO_OPERATION),
        after: |socket| Ok(socket::set(socket, SOL_IP, libc::IP_OPTIONS, &[])?),
        ..sized(&[5])
    })),
    ("options_none_before", 1, None, || Ok(Begin {
        after: |socket| Ok(socket::set(socket, SOL_IP, libc::IP_OPTIONS, RECORD_ROUTE)?),
        ..sized(&[5])
    })),
    ("options_cut", 1, Some((SOL_IP, libc::IP_RECVOPTS)), || {
        link::set_mtu("lo", 1500)?;
        Ok(Begin {
            sizes: &[3000, 2000],
            ..Begin::with(SOL_IP, libc::IP_RETOPTS, RECORD_ROUTE)
        })
    }),
    ("source", 1, None, || Ok(Begin {
        before: |socket| Ok(socket::bind(socket, any())?),
        ..Begin::with(SOL_IP, libc::IP_PKTINFO, &pktinfo(0, Ipv4Addr::new(127, 0, 0, 9)))
    })),
    ("source_and_device", 1, None, || Ok(Begin {
        before: |socket| Ok(socket::bind(socket, any())?),
        to: Some(SocketAddrV4::new(GROUP, PEER.port())),
        ..Begin::with(SOL_IP, libc::IP_PKTINFO, &pktinfo(1, Ipv4Addr::new(127, 0, 0, 9)))
    })),
    ("multicast", 1, Some((SOL_IP, libc::IP_PKTINFO)), || Ok(Begin {
        before: |socket| {
            socket::bind(socket, any())?;
            socket::set(socket, SOL_IP, libc::IP_MULTICAST_IF, &[127, 0, 0, 1])?;
            Ok(socket::set_int(socket, SOL_IP, libc::IP_MULTICAST_TTL, 3)?)
        },
        to: Some(SocketAddrV4::new(GROUP, PEER.port())),
        ..sized(&[5])
    })),
    // By a device that is not the socket's any more.
    ("multicast_before", 1, Some((SOL_IP, libc::IP_PKTINFO)), || {
        link::add_dummy("dummy0")?;
        link::address("dummy0", Ipv4Addr::new(10, 7, 0, 1))?;
        Ok(Begin {
            before: |socket| {
                socket::bind(socket, any())?;
                Ok(socket::set(socket, SOL_IP, libc::IP_MULTICAST_IF, &[127, 0, 0, 1])?)
            },
            to: Some(SocketAddrV4::new(GROUP, PEER.port())),
            after: |socket| {
                Ok(socket::set(socket, SOL_IP, libc::IP_MULTICAST_IF, &[10, 7, 0, 1])?)
            },
            ..sized(&[5])
        })
    }),
    ("broadcast", 1, None, || Ok(Begin {
        before: option!(SOL_SOCKET, libc::SO_BROADCAST, &1_i32.to_ne_bytes()),
        to: Some(SocketAddrV4::new(BROADCAST, PEER.port())),
        ..sized(&[5])
    })),
    ("broadcast_no_more", 1, None, || Ok(Begin {
        before: option!(SOL_SOCKET, libc::SO_BROADCAST, &1_i32.to_ne_bytes()),
        to: Some(SocketAddrV4::new(BROADCAST, PEER.port())),
        after: |socket| Ok(socket::set_int(socket, SOL_SOCKET, libc::SO_BROADCAST, 0)?),
        ..sized(&[5])
    })),
    ("bound_to_a_device", 1, None, || Ok(Begin {
        before: option!(SOL_SOCKET, libc::SO_BINDTODEVICE, b"lo"),
        ..sized(&[5])
    })),
    ("segments", 4, None, || Ok(Begin {
        before: option!(SOL_UDP, libc::UDP_SEGMENT, &1000_i32.to_ne_bytes()),
        ..sized(&[2500, 1000])
    })),
    ("segments_of_a_message", 4, None, || Ok(Begin {
        sizes: &[2500, 1000],
        ..Begin::with(SOL_UDP, libc::UDP_SEGMENT, &1000_u16.to_ne_bytes())
    })),
    ("segments_before", 4, None, || Ok(Begin {
        before: option!(SOL_UDP, libc::UDP_SEGMENT, &1000_i32.to_ne_bytes()),
        after: |socket| Ok(socket::set_int(socket, SOL_UDP, libc::UDP_SEGMENT, 0)?),
        ..sized(&[2500, 1000])
    })),
    ("segments_none_before", 1, None, || Ok(Begin {
        after: |socket| Ok(socket::set_int(socket, SOL_UDP, libc::UDP_SEGMENT, 1000)?),
        ..sized(&[2500, 1000])
    })),
    ("confirming", 1, None, || Ok(Begin { flags: libc::MSG_CONFIRM, ..sized(&[5]) })),
    ("without_a_gateway", 1, None, || Ok(Begin { flags: libc::MSG_DONTROUTE, ..sized(&[5]) })),
    ("at_a_time", 1, None, || Ok(Begin {
        before: |socket| {
            socket::bind(socket, HERE)?;
            let (clock, flags) = (libc::CLOCK_MONOTONIC, 0);
            Ok(socket::set_pair(socket, libc::SO_TXTIME, clock, flags)?)
        },
        ..Begin::with(SOL_SOCKET, libc::SCM_TXTIME, &12_345_678_901_u64.to_ne_bytes())
    })),
    ("unchecked", 1, None, || Ok(Begin {
        before: option!(SOL_SOCKET, libc::SO_NO_CHECK, &1_i32.to_ne_bytes()),
        ..sized(&[5])
    })),
    ("shut_down", 1, None, || Ok(Begin {
        before: |socket| {
            socket::bind(socket, HERE)?;
            Ok(socket::connect(socket, PEER)?)
        },
        to: None,
        after: |socket| Ok(socket::shutdown(socket, libc::SHUT_RDWR)?),
        ..sized(&[5])
    })),
    ("everything", 1, Some((SOL_IP, libc::IP_RECVOPTS)), || {
        link::set_mtu("lo", 1500)?;
        let mut begin = Begin::with_int(SOL_IP, libc::IP_TTL, 9);
        for (level, kind, data) in [
            (SOL_IP, libc::IP_TOS, &0x2a_i32.to_ne_bytes()[..]),
            (SOL_SOCKET, libc::SO_PRIORITY, &0x103_i32.to_ne_bytes()),
            (SOL_SOCKET, libc::SO_MARK, &[1, 2, 3, 4]),
            (SOL_IP, libc::IP_RETOPTS, RECORD_ROUTE),
            (SOL_IP, libc::IP_PKTINFO, &pktinfo(1, Ipv4Addr::new(127, 0, 0, 9))),
        ] {
            begin.control.push((level, kind, data.to_vec()));
        }
        Ok(Begin {
            before: |socket| Ok(socket::bind(socket, any())?),
            to: Some(SocketAddrV4::new(GROUP, PEER.port())),
            flags: libc::MSG_CONFIRM,
            sizes: &[100, 4000, 20_000],
            ..begin
        })
    }),
];

const fn any() -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT)
}

/// A `struct in_pktinfo`.
pub fn pktinfo(device: i32, source: Ipv4Addr) -> Vec<u8> {
    [device.to_ne_bytes(), source.octets(), [0; 4]].concat()
}

pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for (name, count, told, begin) in KINDS {
        tests.push(Test::new(format!("cork::begun::{name}"), move || {
            let begin = begin()?;
            for style in Style::ALL {
                let messages = goes_out(&begin, style).with_context(|| format!("{style:?}"))?;
                arrived(&messages, *count, *told).with_context(|| format!("{style:?}"))?;
            }
            Ok(())
        }));
    }
    tests.push(Test::new("cork::begun::largest", largest));
    tests.push(Test::new("cork::begun::with_a_queue", with_a_queue));
    tests.push(Test::new("cork::begun::twice", twice));
    tests.push(Test::new("cork::begun::by_the_library", by_the_library));
    tests.push(Test::new("cork::begun::direct", direct));
    tests.push(Test::new("cork::begun::to_a_gateway", to_a_gateway));
    tests.push(Test::new("cork::begun::elsewhere", elsewhere));
    tests.push(Test::new(
        "cork::begun::for_somebody_else",
        for_somebody_else,
    ));
    tests.push(Test::new("cork::begun::not_sent", not_sent));
    tests.push(Test::new("cork::begun::root_of_a_namespace", || {
        in_user_namespace(root_of_a_namespace)
    }));
    tests
}

fn arrived(messages: &[Message], count: usize, told: Option<(i32, i32)>) -> Result<()> {
    // What shutting down keeps from being added does not matter here.
    ensure!(
        messages.len() == count,
        "{} messages, not {count}",
        messages.len()
    );
    let mut control = messages.iter().flat_map(|message| &message.control);
    ensure!(
        told.is_none_or(|told| control.any(|one| (one.0, one.1) == told)),
        "nobody was told what this is about: {messages:02x?}"
    );
    Ok(())
}

/// To which nothing can be added.
fn largest() -> Result<()> {
    for style in [Style::Option, Style::Mixed] {
        let messages = goes_out(&sized(&[65_507]), style)?;
        ensure!(messages[0].payload.len() == 65_507, "cut");
    }
    Ok(())
}

/// What waits to be received, and what waits to be sent.
fn with_a_queue() -> Result<()> {
    let mut client = cr::client()?;
    let receiver = receiver()?;
    let original = sized(&[40_000]).make(Style::Option)?;
    for payload in [b"one".to_vec(), Vec::new(), vec![7; 30_000]] {
        receiver.send_to(&payload, HERE)?;
    }
    let queued = dumped(&mut client, &original)?;
    ensure!(queued.datagrams()?.len() == 3, "{:?}", queued.datagrams()?);
    let expected = drain(&original)?;
    drop(original);
    let copy = restored(&mut client, &queued, &receiver)?;
    same_messages(&expected, &drain(&copy)?)?;
    ensure!(Style::Option.finish(&copy).is_none(), "not uncorked");
    let found = drain(&receiver)?;
    ensure!(
        found.len() == 1 && found[0].payload.len() == 40_000,
        "{} messages",
        found.len()
    );
    Ok(())
}

/// A copy of a copy, to which more is added each time.
fn twice() -> Result<()> {
    let mut client = cr::client()?;
    let receiver = receiver()?;
    link::set_mtu("lo", 1500)?;
    let mut current = sized(&[1000]).make(Style::Flag)?;
    let mut expected = payload(0, 1000);
    for number in 0..4 {
        let queued = dumped(&mut client, &current)?;
        drop(current);
        current = restored(&mut client, &queued, &receiver)?;
        let more = payload(number, 1200);
        socket::send(&current, &more, libc::MSG_MORE)?;
        expected.extend(more);
    }
    socket::send(&current, b"", 0)?;
    let found = drain(&receiver)?;
    ensure!(
        found.len() == 1 && found[0].payload == expected,
        "{} messages",
        found.len()
    );
    Ok(())
}

/// What people use, by way of an image.
fn by_the_library() -> Result<()> {
    let mut client = cr::client()?;
    let receiver = receiver()?;
    let original = sized(&[30_000, 10_000]).make(Style::Option)?;
    receiver.send_to(b"waits", HERE)?;
    let snapshot = client.snapshot(Selector::Fd(original.as_raw_fd()))?;
    drop(original);
    let text = Image::new([snapshot]).to_json()?;
    let image = Image::from_json(&text)?;
    let snapshot = &image.sockets[0];
    let copy = UdpSocket::from(client.restore_snapshot(snapshot)?.fd);
    let again = client.snapshot(Selector::Fd(copy.as_raw_fd()))?;
    let unmet = snapshot.unmet_by(&again);
    ensure!(unmet.is_empty(), "{unmet:?}");
    socket::set_int(&copy, SOL_UDP, UDP_CORK, 0)?;
    let found = drain(&receiver)?;
    ensure!(
        found.len() == 1 && found[0].payload.len() == 40_000,
        "{} messages",
        found.len()
    );
    Ok(())
}

/// Around the gateway, as the first call has asked for, by a device that it named.
fn direct() -> Result<()> {
    let mut client = cr::client()?;
    let receiver = receiver()?;
    behind_a_gateway()?;
    let control = [(
        SOL_IP,
        libc::IP_PKTINFO,
        pktinfo(link::index("dummy0")?.cast_signed(), Ipv4Addr::UNSPECIFIED),
    )];
    let original = socket::udp()?;
    socket::bind(&original, any())?;
    let flags = libc::MSG_MORE | libc::MSG_DONTROUTE;
    socket::send_message(&original, Some(FAR), &control, b"direct", flags)?;
    let queued = dumped(&mut client, &original)?;
    let (cork, _) = queued.cork()?.context("no cork")?;
    ensure!(
        cork.u32(attr::cork::GATEWAY) == Some(0),
        "by a gateway: {cork:?}"
    );
    drop(original);
    drop(restored(&mut client, &queued, &receiver)?);
    Ok(())
}

const FAR: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 99, 0, 1), 7001);

/// Makes a device with a gateway to everywhere behind it.
pub fn behind_a_gateway() -> Result<()> {
    link::add_dummy("dummy0")?;
    link::address("dummy0", Ipv4Addr::new(10, 7, 0, 1))?;
    Ok(link::default_route(Ipv4Addr::new(10, 7, 0, 2))?)
}

/// To a gateway. Where there is none, the datagram does not come back.
fn to_a_gateway() -> Result<()> {
    let mut client = cr::client()?;
    let receiver = receiver()?;
    behind_a_gateway()?;
    let original = Begin {
        before: |socket| Ok(socket::bind(socket, any())?),
        to: Some(FAR),
        ..sized(&[5])
    }
    .make(Style::Option)?;
    let queued = dumped(&mut client, &original)?;
    let (cork, _) = queued.cork()?.context("no cork")?;
    ensure!(
        cork.u32(attr::cork::GATEWAY) == Some(1),
        "by no gateway: {cork:?}"
    );
    drop(original);
    drop(restored(&mut client, &queued, &receiver)?);
    Ok(())
}

/// In another network namespace, with another MTU: it makes no difference to a small datagram.
fn elsewhere() -> Result<()> {
    let original = sized(&[1000]).make(Style::Flag)?;
    let queued = dumped(&mut cr::client()?, &original)?;
    namespace::new_network()?;
    link::set_mtu("lo", 1500)?;
    let receiver = receiver()?;
    let copy = queued.restore(&mut cr::client()?)?;
    ensure!(Style::Flag.finish(&copy).is_none(), "not sent");
    let found = drain(&receiver)?;
    ensure!(found.len() == 1, "{} messages", found.len());
    ensure!(
        found[0].payload.starts_with(&payload(0, 1000)),
        "another payload"
    );
    Ok(())
}

/// Of a connected socket, whose peer gets what is sent later: `udp_sendmsg()` sends it to where the
/// corked datagram went if it has a route, which the original has not.
fn for_somebody_else() -> Result<()> {
    const ELSEWHERE: SocketAddrV4 = SocketAddrV4::new(OTHER, 7002);
    let mut client = cr::client()?;
    let receivers = [receiver()?, socket::udp()?];
    socket::bind(&receivers[1], ELSEWHERE)?;
    let begin = Begin {
        before: |socket| {
            socket::bind(socket, HERE)?;
            Ok(socket::connect(socket, PEER)?)
        },
        to: Some(ELSEWHERE),
        // Forgets the route.
        after: |socket| Ok(socket::set_int(socket, SOL_SOCKET, libc::SO_DONTROUTE, 0)?),
        ..Begin::plain()
    };
    let original = begin.make(Style::Mixed)?;
    let queued = dumped(&mut client, &original)?;
    let arrives = |socket: &UdpSocket| -> Result<_> {
        ensure!(Style::Mixed.finish(socket).is_none(), "not uncorked");
        socket::send(socket, b"next", 0)?;
        let [peer, other] = receivers.each_ref().map(drain);
        let payload = |message: Message| message.payload;
        let peer: Vec<_> = peer?.into_iter().map(payload).collect();
        let other: Vec<_> = other?.into_iter().map(payload).collect();
        Ok((peer, other))
    };
    let expected = (vec![b"next".to_vec()], vec![payload(0, 5)]);
    let of_original = arrives(&original)?;
    ensure!(of_original == expected, "of the original: {of_original:?}");
    drop(original);
    let copy = restored(&mut client, &queued, &receivers[0])?;
    let of_copy = arrives(&copy)?;
    ensure!(of_copy == expected, "of the copy: {of_copy:?}");
    Ok(())
}

/// A copy that is closed, or a transaction that is given up, sends nothing.
fn not_sent() -> Result<()> {
    let mut client = cr::client()?;
    let receiver = receiver()?;
    let original = sized(&[5]).make(Style::Option)?;
    let queued = dumped(&mut client, &original)?;
    drop(original);
    drop(restored(&mut client, &queued, &receiver)?);
    Part::Begin.send(&mut client, &queued.dump.0)?;
    Part::Queue.send(&mut client, &queued.queue)?;
    Part::Abort.send(&mut client, &[])?;
    Part::Begin.send(&mut client, &queued.dump.0)?;
    Part::Queue.send(&mut client, &queued.queue)?;
    drop(client);
    let found = drain(&receiver)?;
    ensure!(found.is_empty(), "{found:?}");
    Ok(())
}

/// Root of a user namespace may, in a network namespace of its own.
fn root_of_a_namespace() -> Result<()> {
    let mut begin = Begin::with(SOL_SOCKET, libc::SO_MARK, &[1, 2, 3, 4]);
    let priority = 0x107_i32.to_ne_bytes().to_vec();
    begin
        .control
        .push((SOL_SOCKET, libc::SO_PRIORITY, priority));
    let messages = goes_out(&begin, Style::Option)?;
    arrived(&messages, 1, Some(SO_RCVMARK))?;
    let original = begin.make(Style::Flag)?;
    let mut client = cr::client()?;
    let queued = Queued::of(&mut client, &original)?;
    ensure!(queued.dump.u32(attr::CORK_LEN) == Some(5), "no cork");
    Ok(())
}
