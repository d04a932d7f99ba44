// SPDX-License-Identifier: GPL-2.0

//! Messages that are wrong. The whole table of attributes goes through each
//! kind of mistake, so that a new attribute is tried without a word here.

use std::net::UdpSocket;

use anyhow::{Context, Result, ensure};
use inetcr::table::{Kind, SOCKET};
use inetcr::{Client, RawAttr};

use crate::cr::{self, DUMP, Dump, Expected, RESTORE, attr};
use crate::places::place;
use crate::runner::Test;
use crate::sys::socket;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("refusals::message::short", short),
        Test::new("refusals::message::long", long),
        Test::new("refusals::message::repeated", repeated),
        Test::new("refusals::message::not_of_restore", not_of_restore),
        Test::new("refusals::message::not_of_dump", not_of_dump),
        Test::new("refusals::message::unknown", unknown),
        Test::new("refusals::message::malformed", malformed),
        Test::new("refusals::message::empty", empty),
        Test::new("refusals::message::missing", missing),
        Test::new("refusals::message::commands", commands),
    ]
}

/// A good message to spoil, of a socket that has something of everything.
pub fn good(client: &mut Client) -> Result<Dump> {
    let original = socket::udp()?;
    let place = place("connected_addr_port").context("no such place")?;
    (place.go)(&original)?;
    let dump = cr::dump(client, &original)?;
    drop(original);
    // Good it is: it can be restored.
    let copy: UdpSocket = cr::restore(client, &dump)?;
    drop(copy);
    Ok(dump)
}

/// The attributes that RESTORE takes.
const TAKEN: &[u16] = &[
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 24, 25, 26, 27, 28,
    29, 30, 31, 32, 33, 34,
];

/// Every attribute, cut by a byte and to nothing.
fn short() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    for number in TAKEN {
        let lengths: &[usize] = match kind(*number)? {
            Kind::Be16 => &[0, 1],
            Kind::Nest(..) => &[1, 3],
            // An empty name is a name, of no device.
            Kind::Device => continue,
            _ => &[0, 3],
        };
        for len in lengths {
            let mut bad = RawAttr::new(*number, vec![1; *len]);
            if let Kind::Nest(..) = kind(*number)? {
                bad = RawAttr::new(*number | inetcr::NLA_F_NESTED, vec![1; *len]);
            }
            let expected = Expected::errno(&[libc::EINVAL, libc::ERANGE]).attribute(*number);
            cr::restore_refused(&mut client, &dump.clone().with(bad), expected)
                .with_context(|| format!("attribute {number} of {len} bytes"))?;
        }
    }
    // A name without its NUL is longer than the longest.
    let bad = RawAttr::new(attr::BINDTODEVICE, Vec::new());
    let expected =
        Expected::errno(&[libc::EINVAL, libc::ERANGE, libc::ENODEV]).attribute(attr::BINDTODEVICE);
    cr::restore_refused(&mut client, &dump.with(bad), expected)
}

/// Every attribute, longer than it can be.
fn long() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    for number in TAKEN {
        let lengths: &[usize] = match kind(*number)? {
            Kind::Be16 => &[3, 4, 8],
            Kind::U32 | Kind::S32 | Kind::Bool | Kind::Enum(_) | Kind::Flags(_) => &[5, 8],
            Kind::Uint | Kind::Sint => &[5, 12, 16],
            Kind::Device => &[17, 40],
            Kind::Nest(..) => continue,
            _ => &[5, 16, 17, 40],
        };
        for len in lengths {
            let bad = RawAttr::new(*number, vec![1; *len]);
            let expected = Expected::errno(&[libc::EINVAL, libc::ERANGE]).attribute(*number);
            cr::restore_refused(&mut client, &dump.clone().with(bad), expected)
                .with_context(|| format!("attribute {number} of {len} bytes"))?;
        }
    }
    Ok(())
}

fn kind(number: u16) -> Result<Kind> {
    let row = SOCKET.iter().find(|row| row.number == number);
    Ok(row.with_context(|| format!("no attribute {number}"))?.kind)
}

/// Every attribute twice.
fn repeated() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    for attribute in dump.0.clone() {
        let mut twice = dump.clone();
        twice.0.push(attribute.clone());
        let expected = Expected::errno(&[libc::EINVAL]).attribute(attribute.number());
        cr::restore_refused(&mut client, &twice, expected)
            .with_context(|| format!("attribute {}", attribute.number()))?;
    }
    // In a request of DUMP, too.
    let socket = socket::udp()?;
    let fd = RawAttr::u32(
        attr::SOCK_FD,
        std::os::fd::AsRawFd::as_raw_fd(&socket).cast_unsigned(),
    );
    let expected = Expected::errno(&[libc::EINVAL]).attribute(attr::SOCK_FD);
    cr::refused(client.raw(DUMP, &[fd.clone(), fd]), expected)?;
    Ok(())
}

/// Attributes that later versions carry, and the unused one.
fn not_of_restore() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    for row in SOCKET.iter().filter(|row| !TAKEN.contains(&row.number)) {
        let bad = dump.clone().with(RawAttr::u32(row.number, 0));
        let expected = Expected::errno(&[libc::EINVAL, libc::EOPNOTSUPP]).attribute(row.number);
        cr::restore_refused(&mut client, &bad, expected).context(row.name)?;
    }
    Ok(())
}

/// DUMP takes selectors and the cookie, nothing else.
fn not_of_dump() -> Result<()> {
    let mut client = cr::client()?;
    let socket = socket::udp()?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&socket).cast_unsigned();
    let selectors = [attr::INODE, attr::SOCK_FD, attr::PIDFD, attr::COOKIE];
    for row in SOCKET.iter().filter(|row| !selectors.contains(&row.number)) {
        let attrs = [RawAttr::u32(attr::SOCK_FD, fd), RawAttr::u32(row.number, 0)];
        let expected = Expected::errno(&[libc::EINVAL, libc::EOPNOTSUPP]).attribute(row.number);
        cr::refused(client.raw(DUMP, &attrs), expected).context(row.name)?;
    }
    Ok(())
}

fn unknown() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    for number in [0, 69, 100, 1000, 0x3fff] {
        let bad = dump.clone().with(RawAttr::u32(number, 0));
        let expected = Expected::errno(&[libc::EINVAL]).attribute(number);
        cr::restore_refused(&mut client, &bad, expected)
            .with_context(|| format!("attribute {number}"))?;
    }
    // A nest without its flag, and a number with it.
    let nest = dump.get(attr::LINGER).context("no linger")?.to_vec();
    let bad = dump.clone().with(RawAttr::new(attr::LINGER, nest));
    let expected = Expected::errno(&[libc::EINVAL]).attribute(attr::LINGER);
    cr::restore_refused(&mut client, &bad, expected)?;
    let bad = dump.with(RawAttr::new(
        attr::DEBUG | inetcr::NLA_F_NESTED,
        0_u32.to_ne_bytes(),
    ));
    let expected = Expected::errno(&[libc::EINVAL]).attribute(attr::DEBUG);
    cr::restore_refused(&mut client, &bad, expected)
}

/// Lengths in headers that are lies, and bytes that are no attributes.
fn malformed() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    let files = cr::open_files();
    for claimed in [0, 1, 3, 9, 1000, u16::MAX] {
        let mut bad = dump.clone();
        bad.0
            .push(RawAttr::u32(attr::BOUND_IFINDEX, 0).claiming_len(claimed));
        let result = client.restore_attrs(&bad.0);
        cr::refused(result, Expected::errno(&[libc::EINVAL]))
            .with_context(|| format!("nla_len {claimed}"))?;
    }
    let good = RawAttr::encode_all(&dump.0);
    for garbage in [&[0_u8][..], &[1, 2, 3], &[0xff; 64]] {
        let bytes = [&good, garbage].concat();
        let result = client.raw_bytes(RESTORE, &bytes);
        cr::refused(result, Expected::errno(&[libc::EINVAL]))
            .with_context(|| format!("{garbage:?} behind the attributes"))?;
    }
    ensure!(cr::open_files() == files, "a refusal left a descriptor");
    Ok(())
}

fn empty() -> Result<()> {
    let mut client = cr::client()?;
    cr::restore_refused(
        &mut client,
        &Dump(Vec::new()),
        Expected::errno(&[libc::EINVAL]),
    )
}

/// What no socket can be without is named.
fn missing() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    for number in [
        attr::SOCK_FAMILY,
        attr::SOCK_TYPE,
        attr::SOCK_PROTOCOL,
        attr::SOCK_STATE,
        attr::PEER_ADDR,
        attr::PEER_PORT,
    ] {
        let bad = dump.clone().without(number);
        let expected = Expected::errno(&[libc::EINVAL]).attribute(number);
        cr::restore_refused(&mut client, &bad, expected)
            .with_context(|| format!("without attribute {number}"))?;
    }
    Ok(())
}

/// Commands that are reserved or unknown.
fn commands() -> Result<()> {
    let mut client = cr::client()?;
    for command in [0, 3, 4, 5, 100, 255] {
        match client.raw(command, &[]) {
            Err(inetcr::Error::Kernel(error)) if error.errno == libc::EOPNOTSUPP => {}
            other => anyhow::bail!("command {command}: {other:?}"),
        }
    }
    Ok(())
}
