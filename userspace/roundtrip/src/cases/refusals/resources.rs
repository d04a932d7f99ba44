// SPDX-License-Identifier: GPL-2.0

//! When there is no room: for a descriptor, for the reply, for a filter.

use std::fs;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, ensure};
use inetcr::RawAttr;
use libc::SOL_SOCKET;

use crate::cr::{self, DUMP, Expected, Part, RESTORE, attr};
use crate::rawnl::RawNetlink;
use crate::runner::Test;
use crate::sys::filter::{self, Instruction};
use crate::sys::{socket, task};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("refusals::resource::descriptors", descriptors),
        Test::new("refusals::resource::descriptor_number", descriptor_number),
        Test::new("refusals::resource::receiver_full", receiver_full),
        Test::new("refusals::resource::receiver_gone", receiver_gone),
        Test::new("refusals::resource::filter", long_filter),
        Test::new("refusals::resource::group_program", long_group_program),
        Test::new("refusals::resource::filter_at_commit", filter_at_commit),
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

/// A socket that shares its port.
fn sharing() -> Result<UdpSocket> {
    let socket = socket::udp()?;
    socket::set_int(&socket, SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    socket::bind(&socket, "127.0.0.1:7000".parse()?)?;
    Ok(socket)
}

/// Dumps a socket with a long program that an option attaches, and does something while the network
/// namespace does not allow it any more. The dump is good again behind that.
fn with_little_room(
    option: i32,
    work: impl FnOnce(&mut inetcr::Client, &cr::Dump) -> Result<()>,
) -> Result<()> {
    const OPTMEM_MAX: &str = "/proc/sys/net/core/optmem_max";

    let mut program = vec![Instruction::NOTHING; 2000];
    program.push(Instruction::taking(u32::MAX));
    let original = sharing()?;
    filter::attach(&original, option, &program)?;
    let mut client = cr::client()?;
    let dump = cr::dump(&mut client, &original)?;
    drop(original);

    let old = fs::read_to_string(OPTMEM_MAX)?;
    fs::write(OPTMEM_MAX, "8000")?;
    let attached = filter::attach(&sharing()?, option, &program);
    let errno = attached.err().and_then(|error| error.raw_os_error());
    ensure!(errno == Some(libc::ENOMEM), "attached: {errno:?}");
    work(&mut client, &dump)?;
    fs::write(OPTMEM_MAX, old.trim())?;
    cr::restore(&mut client, &dump).context("with room again")?;
    Ok(())
}

/// A refusal says which limit has no room for a program.
fn no_room_for_it() -> Expected<'static> {
    Expected::errno(&[libc::ENOMEM]).word("optmem_max")
}

fn long_filter() -> Result<()> {
    with_little_room(libc::SO_ATTACH_FILTER, |client, dump| {
        cr::restore_refused(client, dump, no_room_for_it().attribute(attr::FILTER))
    })
}

fn long_group_program() -> Result<()> {
    with_little_room(libc::SO_ATTACH_REUSEPORT_CBPF, |client, dump| {
        let expected = no_room_for_it().attribute(attr::REUSEPORT_FILTER);
        cr::restore_refused(client, dump, expected)
    })
}

/// In a transaction the filter takes the place of the one that keeps everything out, at the end.
fn filter_at_commit() -> Result<()> {
    with_little_room(libc::SO_ATTACH_FILTER, |client, dump| {
        Part::Begin.send(client, &dump.0).context("begin")?;
        let files = cr::open_files();
        cr::refused(Part::commit(client), no_room_for_it())?;
        ensure!(cr::open_files() == files, "the refusal left a descriptor");
        Ok(())
    })
}
