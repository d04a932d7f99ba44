// SPDX-License-Identifier: GPL-2.0

//! Processes that are checkpointed, and what their sockets have.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::cr::{self, attr};
use crate::places::OTHER;
use crate::sys::socket;
use crate::sys::task::{self, Child};

const IP_RECVTTL: i32 = 12;

/// Descriptor of the socket of a process.
pub const FIRST: RawFd = 60;

/// A socket with an option that CRIU does not know, and a datagram. Its descriptor is left open.
pub fn open(at: RawFd, port: u16) -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?;
    socket::set_int(&socket, libc::SOL_IP, IP_RECVTTL, 1)?;
    UdpSocket::bind((OTHER, 0))?.send_to(b"one", (Ipv4Addr::LOCALHOST, port))?;
    Ok(task::dup_onto(&socket, at)?)
}

/// Waits until a process has a descriptor, and does nothing any more.
pub fn has_opened(pid: i32, number: RawFd) -> Result<()> {
    let (file, start) = (format!("/proc/{pid}/fd/{number}"), Instant::now());
    while fs::symlink_metadata(&file).is_err() {
        ensure!(start.elapsed() < Duration::from_secs(5), "no {file}");
        std::thread::sleep(Duration::from_millis(1));
    }
    // It closes the other one, and its standard files.
    std::thread::sleep(Duration::from_millis(50));
    Ok(())
}

/// Fails unless a descriptor is of a socket with the option, if that is `known`, and so many
/// datagrams.
pub fn has(pid: i32, number: RawFd, known: bool, datagrams: Option<u32>) -> Result<UdpSocket> {
    let pidfd = task::pidfd_open(pid)?;
    let socket = UdpSocket::from(task::take_descriptor(&pidfd, number)?);
    let option = socket::get_int(&socket, libc::SOL_IP, IP_RECVTTL)?;
    ensure!(option == i32::from(known), "IP_RECVTTL is {option}");
    let waits = cr::dump(&mut cr::client()?, &socket)?.u32(attr::QUEUE_LEN);
    ensure!(waits == datagrams, "{waits:?} datagrams, not {datagrams:?}");
    Ok(socket)
}

/// A process that has what the caller has open, but for its standard files, and that does nothing
/// after this.
pub fn holder_that(prepare: impl FnOnce() -> Result<()>) -> Result<Child> {
    Ok(task::fork(|| {
        // CRIU, which starts it anew, comes to its end.
        let prepared = task::outlive_parent().map_err(Into::into);
        if let Err(error) = prepared.and_then(|()| prepare()) {
            eprintln!("{error:#}");
            return 1;
        }
        match idle() {
            Ok(never) => match never {},
            Err(_) => 1,
        }
    })?)
}

fn idle() -> std::io::Result<std::convert::Infallible> {
    let null = fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    for standard in 0..3 {
        task::dup_onto(&null, standard)?;
    }
    drop(null);
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}
