// SPDX-License-Identifier: GPL-2.0

//! Processes that are checkpointed, and what their sockets have.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use anyhow::{Result, ensure};
use inetcr::{Losses, Selector};

use crate::cases::recipe::Shared;
use crate::cr;
use crate::places::OTHER;
use crate::sys::socket;
use crate::sys::task::{self, Child, End};

const IP_RECVTTL: i32 = 12;

/// Descriptors of sockets of processes.
pub const FIRST: RawFd = 60;
pub const SECOND: RawFd = 61;

/// A socket with an option that CRIU does not know, and a datagram. Its descriptor is left open.
pub fn open(at: RawFd, port: u16) -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?;
    socket::set_int(&socket, libc::SOL_IP, IP_RECVTTL, 1)?;
    UdpSocket::bind((OTHER, 0))?.send_to(b"one", (Ipv4Addr::LOCALHOST, port))?;
    Ok(task::dup_onto(&socket, at)?)
}

/// Fails unless a descriptor is of a socket with the option, if that is `known`, and so many
/// datagrams.
pub fn has(pid: i32, number: RawFd, known: bool, datagrams: usize) -> Result<UdpSocket> {
    let pidfd = task::pidfd_open(pid)?;
    let socket = UdpSocket::from(task::take_descriptor(&pidfd, number)?);
    let option = socket::get_int(&socket, libc::SOL_IP, IP_RECVTTL)?;
    ensure!(option == i32::from(known), "IP_RECVTTL is {option}");
    let mut client = cr::client()?;
    // One of them has this.
    client.allow_lost(Losses::XATTR);
    let queue = client.snapshot(Selector::Fd(socket.as_raw_fd()))?.queue;
    ensure!(queue.len() == datagrams, "not {datagrams}: {queue:?}");
    Ok(socket)
}

/// A process that has what the caller has open, but for its standard files, and does nothing any
/// more.
pub fn holder() -> Result<Child> {
    holder_that(|| Ok(()))
}

/// The same, which has done something before.
pub fn holder_that(prepare: impl FnOnce() -> Result<()>) -> Result<Child> {
    let is_idle = Shared::new()?;
    let mut child = task::fork(|| {
        // CRIU, which starts it anew, comes to its end.
        let prepared = task::outlive_parent().map_err(Into::into);
        if let Err(error) = prepared.and_then(|()| prepare()) {
            eprintln!("{error:#}");
            return 1;
        }
        match idle(&is_idle) {
            Ok(never) => match never {},
            Err(_) => 1,
        }
    })?;
    while is_idle.get() == 0 {
        let end = child.wait(Duration::from_millis(1))?;
        ensure!(end == End::Running, "it came to an end: {end:?}");
    }
    Ok(child)
}

fn idle(is_idle: &Shared) -> std::io::Result<std::convert::Infallible> {
    let null = fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    for standard in 0..3 {
        task::dup_onto(&null, standard)?;
    }
    drop(null);
    is_idle.set(1);
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}
