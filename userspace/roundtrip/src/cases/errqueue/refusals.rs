// SPDX-License-Identifier: GPL-2.0

//! Errors that are not carried, and messages about errors that no kernel makes.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use inetcr::{Client, DATAGRAM, RawAttr};
use libc::SOL_SOCKET;

use super::kinds::made;
use super::making::{NOBODY, errors_of};
use crate::cases::queue::drain;
use crate::cases::queue::ends::port_is_free;
use crate::cr::attr::datagram as number;
use crate::cr::{self, Dump, Expected, Part, Queued, attr};
use crate::places::{PEER, PORT};
use crate::runner::{Test, skip};
use crate::sys::{link, socket};

pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for (name, run) in [
        ("of_ipv6", of_ipv6 as fn() -> Result<()>),
        ("of_txtime", of_txtime),
        ("without_transaction", without_transaction),
        ("missing", missing),
        ("of_another_origin", of_another_origin),
        ("impossible", impossible),
        ("ranges", ranges),
        ("no_room", no_room),
        ("no_room_for_zerocopy", no_room_for_zerocopy),
    ] {
        tests.push(Test::new(format!("errqueue::refusals::{name}"), run).slow());
    }
    tests
}

/// A transaction with an error of each shape to spoil.
struct Good {
    client: Client,
    dump: Dump,
    /// A name, the error, and which of its attributes it must have.
    errors: Vec<(&'static str, Dump, &'static [u16])>,
}

impl Good {
    fn new() -> Result<Self> {
        let mut client = cr::client()?;
        let mut errors = Vec::new();
        let mut dump = None;
        for (name, must) in [
            ("host_unreachable", &[1, 2, 4, 11, 12, 29, 30][..]),
            ("too_long_here", &[1, 29, 30]),
            ("sent_time_only", &[1, 22]),
            ("sent_told_of_device", &[1, 2, 4, 5, 11, 12, 22]),
            ("zerocopy_once", &[1]),
        ] {
            let original = made(name)?;
            let queued = Queued::of(&mut client, &original)?;
            let error = errors_of(&queued.queue)?.into_iter().next();
            let error = error.context("no error")?;
            // Nothing but what it is.
            let error = match name {
                "too_long_here" | "zerocopy_once" => error,
                _ => error.with(RawAttr::u32(number::LEN, 0)),
            };
            errors.push((name, error, must));
            dump = Some(queued.dump);
        }
        Ok(Self {
            client,
            dump: dump.context("no dump")?,
            errors,
        })
    }

    fn send(&mut self, error: &Dump) -> Result<Vec<RawAttr>, inetcr::Error> {
        Part::Begin.send(&mut self.client, &self.dump.0)?;
        let nest = RawAttr::nested(attr::DATAGRAM, &error.0);
        let result = Part::Queue.send(&mut self.client, &[nest]);
        let _ = Part::Abort.send(&mut self.client, &[]);
        result
    }

    fn taken(&mut self, error: &Dump) -> Result<()> {
        self.send(error)?;
        port_is_free()
    }

    fn bad(&mut self, error: &Dump, errno: &[i32], blamed: u16) -> Result<()> {
        let paths = [&[attr::DATAGRAM, blamed][..]];
        let expected = Expected::errno(errno).paths(&paths);
        cr::refused(self.send(error), expected)?;
        port_is_free()
    }
}

/// An error of version 6 of ICMP, in the queue of a socket that was one of IPv6 when it came.
fn of_ipv6() -> Result<()> {
    const IPV6_ADDRFORM: i32 = 1;
    const IPV6_RECVERR: i32 = 25;
    let original = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, PORT))?;
    socket::set_int(&original, libc::IPPROTO_IPV6, IPV6_RECVERR, 1)?;
    original.send_to(b"six", (Ipv6Addr::LOCALHOST, NOBODY))?;
    for _ in 0..1000 {
        if socket::events(&original)? & libc::POLLERR != 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    socket::get_int(&original, SOL_SOCKET, libc::SO_ERROR)?;
    original.connect((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), PEER.port()))?;
    socket::set_int(&original, libc::IPPROTO_IPV6, IPV6_ADDRFORM, libc::AF_INET)?;
    let mut client = cr::client()?;
    let expected = Expected::errno(&[libc::EOPNOTSUPP]).word("IPv6");
    cr::dump_refused(&mut client, &original, expected)?;
    // When it was read, nothing is in the way.
    drain(&original)?;
    cr::dump(&mut client, &original)?;
    Ok(())
}

/// What a device tells of a datagram whose time of `SO_TXTIME` is over.
fn of_txtime() -> Result<()> {
    const REPORT_ERRORS: i32 = 2; // SOF_TXTIME_REPORT_ERRORS
    const NEAR: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);
    const FAR: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 7, 0, 2), 7003);
    link::add_dummy("dummy0")?;
    match link::send_at_times("dummy0") {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
            return skip("CONFIG_NET_SCH_ETF");
        }
        made => made?,
    }
    link::address("dummy0", NEAR)?;

    let original = socket::udp()?;
    socket::set_pair(&original, libc::SO_TXTIME, libc::CLOCK_TAI, REPORT_ERRORS)?;
    // Who sends it may be told, or not, that it is dropped.
    let long_ago = (SOL_SOCKET, libc::SCM_TXTIME, 1_u64.to_ne_bytes().to_vec());
    let _ = socket::send_message(&original, Some(FAR), &[long_ago], b"late", 0);
    socket::get_int(&original, SOL_SOCKET, libc::SO_ERROR)?;
    let mut client = cr::client()?;
    let expected = Expected::errno(&[libc::EOPNOTSUPP]).word("SO_TXTIME");
    cr::dump_refused(&mut client, &original, expected)?;
    // When it was read, nothing is in the way.
    let told = drain(&original)?;
    ensure!(told.len() == 1, "{told:?}");
    cr::dump(&mut client, &original)?;
    Ok(())
}

/// No error is lost by mistake.
fn without_transaction() -> Result<()> {
    let mut client = cr::client()?;
    let queued = Queued::of(&mut client, &made("host_unreachable")?)?;
    let expected = Expected::errno(&[libc::EINVAL]).attribute(attr::ERROR_QUEUE_LEN);
    cr::restore_refused(&mut client, &queued.dump, expected)?;
    let copy = cr::restore(&mut client, &queued.dump.without(attr::ERROR_QUEUE_LEN))?;
    socket::get_int(&copy, SOL_SOCKET, libc::SO_ERROR)?;
    ensure!(drain(&copy)?.is_empty(), "something waits");
    Ok(())
}

/// What an error of each origin must have; and all that is spoiled below is good.
fn missing() -> Result<()> {
    let mut good = Good::new()?;
    for (name, error, must) in good.errors.clone() {
        good.taken(&error).context(name)?;
        for number in must {
            let error = error.clone().without(*number);
            good.bad(&error, &[libc::EINVAL], *number)
                .with_context(|| format!("{name} without {number}"))?;
        }
        // It is no datagram, which has more to it.
        let error = error.clone().without(number::ERROR_ORIGIN);
        let refused = good.send(&error).is_err();
        ensure!(refused, "{name} without origin is taken");
        port_is_free()?;
    }
    Ok(())
}

/// What an error of each origin can have, and nothing else of what there is.
fn of_another_origin() -> Result<()> {
    let icmp: &[u16] = &[
        2, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 19, 22, 23, 24, 25, 27, 28, 29, 30,
    ];
    let sent: &[u16] = &[2, 4, 5, 7, 8, 9, 10, 11, 12, 19, 22, 25, 26];
    // The name of a device makes it one that tells of the packet.
    let sent_alone: &[u16] = &[7, 8, 9, 10, 22, 25, 26];
    let mut good = Good::new()?;
    for (name, error, _) in good.errors.clone() {
        let can = match name {
            "host_unreachable" => icmp,
            "too_long_here" => &[22, 25, 29, 30],
            "sent_time_only" => sent_alone,
            "sent_told_of_device" => sent,
            _ => &[24, 25, 26],
        };
        let always = [number::LEN, number::ERROR_ORIGIN];
        let others = DATAGRAM.iter().filter(|row| !can.contains(&row.number));
        for row in others.filter(|row| !always.contains(&row.number)) {
            let attr = match row.number {
                2 | 4 | 6 | 29 => RawAttr::new(row.number, [127, 0, 0, 1]),
                3 | 5 | 30 => RawAttr::be16(row.number, 7),
                7 => RawAttr::string(7, c"lo"),
                9 | 10 => RawAttr::sint(row.number, 1),
                13 => RawAttr::new(13, [1, 1, 1, 0]),
                _ => RawAttr::u32(row.number, 1),
            };
            let error = error.clone().with(attr);
            good.bad(&error, &[libc::EINVAL], row.number)
                .with_context(|| format!("{name} with {}", row.name))?;
        }
    }
    Ok(())
}

/// Numbers that do not go together.
fn impossible() -> Result<()> {
    let mut good = Good::new()?;
    for (name, spoiled, values) in [
        ("too_long_here", number::LEN, &[1, 100][..]),
        ("zerocopy_once", number::LEN, &[1, 100]),
        ("zerocopy_once", number::ERROR_CODE, &[2, 255]),
        ("sent_time_only", number::ERROR_ERRNO, &[0, 41, 43, 511]),
        ("sent_time_only", number::ERROR_INFO, &[4, 255, u32::MAX]),
        ("sent_told_of_device", number::ERROR_ERRNO, &[0, 22]),
    ] {
        let errors = good.errors.clone();
        let (_, error, _) = errors.iter().find(|one| one.0 == name).context("kind")?;
        for value in values {
            let error = error.clone().with(RawAttr::u32(spoiled, *value));
            good.bad(&error, &[libc::EINVAL], number::ERROR_ORIGIN)
                .with_context(|| format!("{name}: {spoiled} is {value}"))?;
        }
    }
    Ok(())
}

/// Numbers that no error has.
fn ranges() -> Result<()> {
    let mut good = Good::new()?;
    let range = &[libc::ERANGE, libc::EINVAL, libc::EOPNOTSUPP][..];
    for (_, error, _) in good.errors.clone() {
        for (spoiled, values) in [
            (number::ERROR_ORIGIN, &[0, 3, 6, 7, 255, 258, u32::MAX][..]),
            (number::ERROR_ERRNO, &[512, 4096, u32::MAX]),
            (number::ERROR_TYPE, &[256, u32::MAX]),
            (number::ERROR_CODE, &[256, u32::MAX]),
            (number::ERROR_RFC4884_LEN, &[0x1_0000, u32::MAX]),
            (number::ERROR_RFC4884_FLAGS, &[256, u32::MAX]),
        ] {
            for value in values {
                let error = error.clone().with(RawAttr::u32(spoiled, *value));
                good.bad(&error, range, spoiled)
                    .with_context(|| format!("{spoiled} is {value}"))?;
            }
        }
    }
    let errors = good.errors.clone();
    for (_, error, _) in errors.iter().filter(|one| one.0 != "too_long_here") {
        for len in [65_535 + 1025, 0x7fff_ffff, u32::MAX] {
            let error = error.clone().with(RawAttr::u32(number::LEN, len));
            good.bad(&error, &[libc::ERANGE], number::LEN)?;
        }
    }
    Ok(())
}

const NO_ROOM: &[i32] = &[libc::ENOBUFS];

/// As many errors as somebody wants to send.
fn endless(name: &str) -> Result<()> {
    let mut good = Good::new()?;
    let errors = good.errors.clone();
    let (_, error, _) = errors.iter().find(|one| one.0 == name).context("kind")?;
    let message = vec![RawAttr::nested(attr::DATAGRAM, &error.0); 100];
    Part::Begin.send(&mut good.client, &good.dump.0)?;
    for _ in 0..100 {
        if let Err(error) = Part::Queue.send(&mut good.client, &message) {
            cr::refused::<()>(Err(error), Expected::errno(NO_ROOM))?;
            return port_is_free();
        }
    }
    anyhow::bail!("10000 errors were taken")
}

fn no_room() -> Result<()> {
    endless("host_unreachable")?;
    endless("sent_time_only")?;
    endless("too_long_here")
}

fn no_room_for_zerocopy() -> Result<()> {
    endless("zerocopy_once")
}
