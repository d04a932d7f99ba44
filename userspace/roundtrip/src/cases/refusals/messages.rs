// SPDX-License-Identifier: GPL-2.0

//! Messages that are wrong as a whole.

use std::net::UdpSocket;

use anyhow::{Context, Result, ensure};
use inetcr::table::{Role, SOCKET};
use inetcr::{Client, RawAttr};

use crate::cr::{self, DUMP, Dump, Expected, RESTORE, attr};
use crate::groups::{SOURCES, member};
use crate::places::{GROUP, place};
use crate::runner::Test;
use crate::sys::socket;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("refusals::message::not_of_restore", not_of_restore),
        Test::new("refusals::message::not_of_dump", not_of_dump),
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
    let group = member(GROUP).without(SOURCES);
    group.join(&original)?;
    let dump = cr::dump(client, &original)?;
    drop(original);
    // Good it is: it can be restored.
    let copy: UdpSocket = cr::restore(client, &dump)?;
    drop(copy);
    Ok(dump)
}

/// Attributes that later versions carry or that go with a transaction, and the unused one.
fn not_of_restore() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    // It goes with anything.
    let taken = |number| number == attr::ALLOW_LOST;
    let others = SOCKET.iter().filter(|row| row.role == Role::Other);
    for row in others.filter(|row| !taken(row.number)) {
        let bad = dump.clone().with(RawAttr::u32(row.number, 0));
        // There is no part of a transaction with this number.
        let errno = [libc::EINVAL, libc::EOPNOTSUPP, libc::ERANGE];
        let expected = Expected::errno(&errno).attribute(row.number);
        cr::restore_refused(&mut client, &bad, expected).context(row.name)?;
    }
    Ok(())
}

/// DUMP takes selectors, the cookie, and what may be lost, nothing else.
fn not_of_dump() -> Result<()> {
    let mut client = cr::client()?;
    let socket = socket::udp()?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&socket).cast_unsigned();
    let selectors = [attr::INODE, attr::SOCK_FD, attr::PIDFD, attr::COOKIE];
    let taken = [&selectors[..], &[attr::ALLOW_LOST]].concat();
    for row in SOCKET.iter().filter(|row| !taken.contains(&row.number)) {
        let attrs = [RawAttr::u32(attr::SOCK_FD, fd), RawAttr::u32(row.number, 0)];
        let expected = Expected::errno(&[libc::EINVAL, libc::EOPNOTSUPP]).attribute(row.number);
        cr::refused(client.raw(DUMP, &attrs), expected).context(row.name)?;
    }
    Ok(())
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
    for command in [0, 4, 5, 100, 255] {
        match client.raw(command, &[]) {
            Err(inetcr::Error::Kernel(error)) if error.errno == libc::EOPNOTSUPP => {}
            other => anyhow::bail!("command {command}: {other:?}"),
        }
    }
    Ok(())
}
