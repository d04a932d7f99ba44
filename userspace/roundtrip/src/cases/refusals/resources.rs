// SPDX-License-Identifier: GPL-2.0

//! When there is no room: for a descriptor, for the reply.

use std::os::fd::AsRawFd;

use anyhow::{Context, Result, ensure};
use inetcr::RawAttr;

use crate::cr::{self, DUMP, Expected, RESTORE, attr};
use crate::rawnl::RawNetlink;
use crate::runner::Test;
use crate::sys::{socket, task};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("refusals::resource::descriptors", descriptors),
        Test::new("refusals::resource::descriptor_number", descriptor_number),
        Test::new("refusals::resource::receiver_full", receiver_full),
        Test::new("refusals::resource::receiver_gone", receiver_gone),
    ]
}

/// The table of descriptors is full: EMFILE, and nothing was made.
fn descriptors() -> Result<()> {
    let mut client = cr::client()?;
    let original = socket::udp()?;
    socket::bind(&original, "127.0.0.1:7000".parse()?)?;
    let dump = cr::dump(&mut client, &original)?;
    drop(original);
    // The highest number in use is below this one.
    let next = task::lowest_free_descriptor()?;
    task::limit_files(u64::try_from(next)?)?;
    let expected = Expected::errno(&[libc::EMFILE]);
    cr::refused(cr::restore(&mut client, &dump), expected)?;
    // The port is free, so that no socket has it.
    task::limit_files(u64::try_from(next)? + 8)?;
    let copy = cr::restore(&mut client, &dump).context("with room again")?;
    ensure!(
        socket::name(&copy)?.port() == 7000,
        "the copy has another port"
    );
    Ok(())
}

/// The lowest free number is taken, as by socket(2).
fn descriptor_number() -> Result<()> {
    let mut client = cr::client()?;
    let dump = cr::dump(&mut client, &socket::udp()?)?;
    let expected = task::lowest_free_descriptor()?;
    let copy = cr::restore(&mut client, &dump)?;
    ensure!(
        copy.as_raw_fd() == expected,
        "descriptor {}, expected {expected}",
        copy.as_raw_fd()
    );
    Ok(())
}

/// The requester does not read: the reply cannot be delivered, so that nothing
/// may be left of a restore.
fn receiver_full() -> Result<()> {
    let mut client = cr::client()?;
    let original = socket::udp()?;
    let dump = cr::dump(&mut client, &original)?;
    let mut raw = RawNetlink::open(&client)?;
    raw.shrink_receive_buffer()?;
    let fd = RawAttr::u32(attr::SOCK_FD, original.as_raw_fd().cast_unsigned());
    let fill = RawAttr::encode_all(&[fd]);
    for _ in 0..200 {
        raw.send(DUMP, &fill)?;
    }
    let files = cr::open_files();
    let restore = RawAttr::encode_all(&dump.0);
    for _ in 0..20 {
        raw.send(RESTORE, &restore)?;
    }
    ensure!(
        cr::open_files() == files,
        "{} descriptors that nobody was told of",
        cr::open_files() - files
    );
    // With room again, it works again.
    raw.drain();
    raw.send(RESTORE, &restore)?;
    let made = raw.answer()?;
    let fd = cr::Dump(made)
        .u32(attr::SOCK_FD)
        .context("no descriptor in the answer")?;
    drop(task::adopt(fd.cast_signed()));
    Ok(())
}

/// The requester is gone before the reply: closing the socket at once leaves
/// nothing, whichever comes first.
fn receiver_gone() -> Result<()> {
    let client = cr::client()?;
    let original = socket::udp()?;
    let fd = RawAttr::u32(attr::SOCK_FD, original.as_raw_fd().cast_unsigned());
    let fill = RawAttr::encode_all(&[fd]);
    for _ in 0..50 {
        let mut raw = RawNetlink::open(&client)?;
        raw.send(DUMP, &fill)?;
    }
    Ok(())
}
