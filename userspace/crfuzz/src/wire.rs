// SPDX-License-Identifier: GPL-2.0

//! The way to the kernel: netlink sockets, or in tests something that answers as it is told.

use std::io;
use std::os::fd::OwnedFd;

use crate::case::SOCKETS;
use crate::live;
use crate::sys::{self, Receiver};

/// The socket for what is asked to check an answer, besides those that cases use.
pub const CHECKS: usize = SOCKETS;

/// How many messages are received by one call, and how long each can be.
const TOGETHER: usize = 32;
const LONGEST: usize = 160 * 1024;

/// Room for the answers to many messages that are sent together.
const ROOM: i32 = 8 << 20;

/// From `linux/netlink.h`.
const NETLINK_CAP_ACK: i32 = 10;
const NETLINK_EXT_ACK: i32 = 11;
const NETLINK_GET_STRICT_CHK: i32 = 12;

/// Carries messages.
pub trait Wire {
    /// Sends messages; their work is done when this returns.
    fn send(&mut self, via: usize, bytes: &[u8]) -> io::Result<()>;

    /// Receives parts of the answers, without waiting, up to so many.
    fn receive(
        &mut self,
        via: usize,
        most: usize,
        part: &mut dyn FnMut(&[u8]),
    ) -> io::Result<usize>;

    /// Throws a socket away, and takes a new one.
    fn reopen(&mut self, via: usize) -> io::Result<()>;
}

/// Sockets of generic netlink.
pub struct Netlink {
    fds: Vec<Option<OwnedFd>>,
    receiver: Receiver,
}

impl Netlink {
    /// Opens all of them.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            fds: (0..=CHECKS)
                .map(|via| open(via).map(Some))
                .collect::<io::Result<_>>()?,
            receiver: Receiver::new(TOGETHER, LONGEST),
        })
    }
}

fn open(via: usize) -> io::Result<OwnedFd> {
    let fd = sys::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_GENERIC)?;
    sys::set_int(&fd, libc::SOL_NETLINK, NETLINK_EXT_ACK, 1)?;
    // One with the requests in the answers, one without.
    sys::set_int(&fd, libc::SOL_NETLINK, NETLINK_CAP_ACK, i32::from(via != 1))?;
    sys::set_int(
        &fd,
        libc::SOL_NETLINK,
        NETLINK_GET_STRICT_CHK,
        i32::from(via != 1),
    )?;
    // Needs a privilege; with less room some answers get lost, which is noticed.
    let _ = sys::set_int(&fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, ROOM);
    // Where it does not change which number is the lowest that is free.
    let number = u32::try_from(via).unwrap_or_default();
    sys::move_to(&fd, live::FIRST_NETLINK + number)
}

impl Wire for Netlink {
    fn send(&mut self, via: usize, bytes: &[u8]) -> io::Result<()> {
        let Some(Some(fd)) = self.fds.get(via) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        sys::send(fd, bytes)
    }

    fn receive(
        &mut self,
        via: usize,
        most: usize,
        part: &mut dyn FnMut(&[u8]),
    ) -> io::Result<usize> {
        let Some(Some(fd)) = self.fds.get(via) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let got = self.receiver.receive(fd, most)?;
        (0..got).for_each(|nth| part(self.receiver.message(nth)));
        Ok(got)
    }

    fn reopen(&mut self, via: usize) -> io::Result<()> {
        let place = self.fds.get_mut(via).ok_or(io::ErrorKind::NotFound)?;
        // The number has to be free for the next.
        *place = None;
        *place = Some(open(via)?);
        Ok(())
    }
}
