// SPDX-License-Identifier: GPL-2.0

//! Errors that are made up: whatever their attributes are, who reads them is told just that, and
//! nothing else.

use std::net::UdpSocket;

use anyhow::{Result, ensure};
use inetcr::RawAttr;
use libc::{SOL_IP, SOL_SOCKET};

use super::kinds::made;
use super::making::{OPT_CMSG, RAW_HARDWARE, SOFTWARE, errors_of, stamped};
use crate::cases::queue::traffic::{SO_TIMESTAMPING, payload, tell};
use crate::cases::queue::{drain, drain_errors};
use crate::cr::attr::datagram as number;
use crate::cr::{self, Dump, Queued, attr};
use crate::runner::Test;
use crate::sys::socket::{self, Message};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("errqueue::forged::lengths", lengths).slow(),
        Test::new("errqueue::forged::options_of_ip", options_of_ip),
        Test::new("errqueue::forged::hardware_stamps", hardware_stamps),
        Test::new("errqueue::forged::anything", anything),
    ]
}

/// Restores a socket with one error, and reads it by a reader who asks for everything.
fn read(name: &str, change: impl Fn(Dump) -> Dump, bytes: &[u8]) -> Result<(Dump, Message)> {
    let mut client = cr::client()?;
    let original = made(name)?;
    let Queued { dump, queue } = Queued::of(&mut client, &original)?;
    drop(original);
    let error = errors_of(&queue)?.remove(0);
    let len = u32::try_from(bytes.len())?;
    let error = change(error.with(RawAttr::u32(number::LEN, len)));
    let mut queue = vec![RawAttr::nested(attr::DATAGRAM, &error.0)];
    let pieces = bytes.chunks(inetcr::PAYLOAD_MAX);
    queue.extend(pieces.map(|piece| RawAttr::new(attr::PAYLOAD, piece)));
    let copy = Queued { dump, queue }.restore(&mut client)?;
    let again = errors_of(&Queued::of(&mut client, &copy)?.queue)?.remove(0);
    tell_all(&copy)?;
    let mut messages = drain_errors(&copy)?;
    ensure!(messages.len() == 1, "{messages:02x?}");
    let message = messages.remove(0);
    ensure!(message.payload == bytes, "another payload");
    Ok((again, message))
}

fn tell_all(socket: &UdpSocket) -> Result<()> {
    tell(socket, false)?;
    stamped(socket, SOFTWARE | RAW_HARDWARE | OPT_CMSG)
}

/// Payloads of every length that matters, of errors that have one.
fn lengths() -> Result<()> {
    for name in ["host_unreachable", "sent_told_of_device", "sent_time_only"] {
        for len in [
            0,
            1,
            2,
            3,
            4,
            5,
            8,
            100,
            12_288,
            12_289,
            65_535,
            65_535 + 1024,
        ] {
            let (_, message) = read(name, |error| error, &payload(1, len))?;
            let port = message.control.iter();
            let mut port = port.filter(|one| (one.0, one.1) == (SOL_IP, libc::IP_ORIGDSTADDR));
            // Where ICMP quotes less than a port, none is told.
            let told = match name {
                "host_unreachable" => len >= 4,
                "sent_told_of_device" => true,
                _ => false,
            };
            ensure!(
                port.next().is_some() == told,
                "{name}, {len}: {message:02x?}"
            );
        }
    }
    Ok(())
}

/// IP options that no kernel would have let in, as those of a datagram.
fn options_of_ip() -> Result<()> {
    for options in [
        &[7, 200, 4, 0][..],
        &[131, 7, 4, 127, 0, 0, 1, 0],
        &[131, 255, 255, 255],
        &[68, 8, 9, 0xf3, 1, 2, 3, 4],
        &[134, 12, 0, 0, 0, 1, 128, 6, 1, 2, 3, 4],
        &[0xff; 40],
        &[1; 40],
    ] {
        let change = |error: Dump| error.with(RawAttr::new(number::OPTIONS, options));
        let (again, message) = read("host_unreachable", change, b"quoted")?;
        ensure!(again.get(number::OPTIONS) == Some(options), "{again:02x?}");
        let mut control = message.control.iter();
        let told = control.find(|one| (one.0, one.1) == (SOL_IP, libc::IP_RECVOPTS));
        ensure!(told.is_some_and(|one| one.2 == options), "{message:02x?}");
    }
    Ok(())
}

/// A stamp of the device, which no device here makes.
fn hardware_stamps() -> Result<()> {
    for name in ["host_unreachable", "sent_told_of_device", "sent_time_only"] {
        let change = |error: Dump| {
            let error = error.without(9);
            error.with(RawAttr::sint(10, 1_700_000_000_123_456_789))
        };
        let (_, message) = read(name, change, b"")?;
        let mut control = message.control.iter();
        let told = control.find(|one| (one.0, one.1) == (SOL_SOCKET, SO_TIMESTAMPING));
        let bytes = told.map(|one| one.2.as_slice()).unwrap_or_default();
        let expected = [1_700_000_000_i64, 123_456_789]
            .map(i64::to_ne_bytes)
            .concat();
        ensure!(
            bytes.get(32..48) == Some(&expected[..]),
            "{name}: {message:02x?}"
        );
    }
    Ok(())
}

/// All bits of all numbers.
fn anything() -> Result<()> {
    let change = |error: Dump| {
        [
            (number::ERROR_ERRNO, 511),
            (number::ERROR_TYPE, 255),
            (number::ERROR_CODE, 255),
            (number::ERROR_INFO, u32::MAX),
            (number::ERROR_RFC4884_LEN, 0xffff),
            (number::ERROR_RFC4884_FLAGS, 0xff),
            (14, 0xffff),
            (19, u32::MAX),
        ]
        .iter()
        .fold(error, |error, (number, value)| {
            error.with(RawAttr::u32(*number, *value))
        })
        .with(RawAttr::be16(number::ERROR_PORT, 0xffff))
        .with(RawAttr::new(number::ERROR_ADDR, [255; 4]))
    };
    let (_, message) = read("host_unreachable", change, b"")?;
    ensure!(
        message.from == Some("255.255.255.255:65535".parse()?),
        "{message:02x?}"
    );
    let mut control = message.control.iter();
    let told = control.find(|one| (one.0, one.1) == (SOL_IP, libc::IP_RECVERR));
    let bytes = told.map(|one| one.2.as_slice()).unwrap_or_default();
    let expected = [511_u32.to_ne_bytes(), [2, 255, 255, 0], [255; 4]].concat();
    ensure!(bytes.get(..12) == Some(&expected[..]), "{message:02x?}");
    ensure!(
        bytes.get(12..16) == Some(&[255, 255, 255, 0]),
        "{message:02x?}"
    );

    // Any first and last send, and those that come behind it.
    for (first, last) in [(0, u32::MAX), (u32::MAX, 0), (7, 5), (u32::MAX, u32::MAX)] {
        let mut client = cr::client()?;
        let original = made("zerocopy_once")?;
        let Queued { dump, queue } = Queued::of(&mut client, &original)?;
        drop(original);
        let error = errors_of(&queue)?.remove(0);
        let error = error
            .with(RawAttr::u32(number::ERROR_INFO, first))
            .with(RawAttr::u32(number::ERROR_DATA, last));
        let queue = vec![RawAttr::nested(attr::DATAGRAM, &error.0); 3];
        let copy = Queued { dump, queue }.restore(&mut client)?;
        let peer = UdpSocket::bind("127.0.0.1:0")?;
        super::making::zerocopy(&copy, &peer, 3)?;
        tell_all(&copy)?;
        let messages = drain(&copy)?;
        let count = messages.len();
        ensure!((3..=4).contains(&count), "{count} messages");
        // What is complete later may go on counting in the last of them.
        for message in &messages[..2] {
            let mut control = message.control.iter();
            let told = control.find(|one| (one.0, one.1) == (SOL_IP, libc::IP_RECVERR));
            let bytes = told.map(|one| one.2.as_slice()).unwrap_or_default();
            let numbers = [first, last].map(u32::to_ne_bytes).concat();
            ensure!(bytes.get(8..16) == Some(&numbers[..]), "{message:02x?}");
        }
        socket::events(&copy)?;
    }
    Ok(())
}
