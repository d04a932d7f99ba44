// SPDX-License-Identifier: GPL-2.0

//! Sockets that others use, and what can be done to them as to new ones.

#![forbid(unsafe_code)]

use crate::refusal::Refusal;

use kernel::{
    net::{
        sock::Sock,
        socket::{
            LockedSocket,
            Socket,
            SocketFile, //
        },
    },
    prelude::*, //
};

use core::{
    cell::Cell,
    net::Ipv4Addr,
    ops::Deref, //
};

/// Whether a socket is waited for that a sender has locked.
pub(crate) struct Patience(Cell<bool>);

impl Patience {
    /// Waits until one has to be waited for in vain, and for no other from then on.
    pub(crate) const fn some() -> Patience {
        Patience(Cell::new(true))
    }

    /// Does not wait.
    pub(crate) const fn none() -> Patience {
        Patience(Cell::new(false))
    }

    /// Takes the lock of a socket, but does not wait long for a sender that sleeps with it.
    pub(crate) fn lock<'a>(&self, file: &'a SocketFile) -> Result<LockedSocket<'a>> {
        match file.try_lock() {
            Err(EBUSY) if self.0.get() => {
                let sock = file.lock_soon();
                self.0.set(sock.is_ok());
                sock
            }
            result => result,
        }
    }
}

/// The refusal of a socket whose lock cannot be had.
pub(crate) fn lock_refused(errno: Error) -> Refusal {
    match errno {
        EBUSY => Refusal::new(EBUSY, "a sender keeps the socket locked, freeze its owner"),
        errno => errno.into(),
    }
}

/// A socket that options are written to: a new one, or one that others use.
pub(crate) trait Settable: Deref<Target = Sock> {
    /// Sets an option as `setsockopt(2)` does.
    fn setsockopt(&self, level: c_int, optname: c_int, value: &[u8]) -> Result;

    /// Sets an option that is an integer, as `setsockopt(2)` does.
    fn setsockopt_int(&self, level: c_int, optname: c_int, value: c_int) -> Result {
        self.setsockopt(level, optname, &value.to_ne_bytes())
    }

    /// Sets an option that must not stay as another call has left it, be it what it was, or the
    /// second half of something.
    fn set_back(&self, level: c_int, optname: c_int, value: &[u8]) -> Result;

    /// Asks the security module whether the requester may set an option.
    fn security_setsockopt(&self, level: c_int, optname: c_int) -> Result;

    /// Shuts down directions as `shutdown(2)` does.
    fn shutdown(&self, how: c_int) -> Result;

    /// Sets which sources of a group are heard.
    fn set_source_filter(
        &mut self,
        group: Ipv4Addr,
        ifindex: u32,
        exclude: bool,
        sources: &[Ipv4Addr],
    ) -> Result;

    /// Takes the socket lock.
    fn lock(&mut self) -> Result<LockedSocket<'_>>;
}

impl Settable for Socket {
    fn setsockopt(&self, level: c_int, optname: c_int, value: &[u8]) -> Result {
        self.setsockopt(level, optname, value)
    }

    fn set_back(&self, level: c_int, optname: c_int, value: &[u8]) -> Result {
        self.setsockopt(level, optname, value)
    }

    fn security_setsockopt(&self, level: c_int, optname: c_int) -> Result {
        self.security_setsockopt(level, optname)
    }

    fn shutdown(&self, how: c_int) -> Result {
        self.shutdown(how)
    }

    fn set_source_filter(
        &mut self,
        group: Ipv4Addr,
        ifindex: u32,
        exclude: bool,
        sources: &[Ipv4Addr],
    ) -> Result {
        self.set_source_filter(group, ifindex, exclude, sources)
    }

    fn lock(&mut self) -> Result<LockedSocket<'_>> {
        Ok(self.lock())
    }
}

/// A socket that others use.
///
/// What the kernel does by a system call takes the lock by itself, and waits for it without limit:
/// a sender that fills a corked datagram sleeps with it until there is room. So it is looked before
/// each call whether the lock can be had, and refused with `EBUSY` if not. That leaves the moment
/// in between, in which a sender of an owner that is not frozen may fall asleep; then the call
/// waits like `setsockopt(2)`. So does what has to be put back once it was changed.
pub(crate) struct Live<'a> {
    file: &'a SocketFile,
    patience: Patience,
}

impl<'a> Live<'a> {
    /// Takes an open socket.
    pub(crate) fn new(file: &'a SocketFile) -> Live<'a> {
        Live {
            file,
            patience: Patience::some(),
        }
    }

    /// Returns the open socket.
    pub(crate) fn file(&self) -> &'a SocketFile {
        self.file
    }

    /// Takes the lock, or returns `EBUSY`.
    pub(crate) fn locked(&self) -> Result<LockedSocket<'a>> {
        self.patience.lock(self.file)
    }

    /// Returns `EBUSY` if the lock cannot be had.
    pub(crate) fn wait(&self) -> Result {
        self.locked().map(drop)
    }
}

impl Deref for Live<'_> {
    type Target = Sock;

    fn deref(&self) -> &Sock {
        self.file
    }
}

impl Settable for Live<'_> {
    fn setsockopt(&self, level: c_int, optname: c_int, value: &[u8]) -> Result {
        self.wait()?;
        self.file.setsockopt(level, optname, value)
    }

    fn set_back(&self, level: c_int, optname: c_int, value: &[u8]) -> Result {
        self.file.setsockopt(level, optname, value)
    }

    fn security_setsockopt(&self, level: c_int, optname: c_int) -> Result {
        self.file.security_setsockopt(level, optname)
    }

    fn shutdown(&self, how: c_int) -> Result {
        self.wait()?;
        self.file.shutdown(how)
    }

    fn set_source_filter(
        &mut self,
        group: Ipv4Addr,
        ifindex: u32,
        exclude: bool,
        sources: &[Ipv4Addr],
    ) -> Result {
        self.wait()?;
        self.file
            .set_source_filter(group, ifindex, exclude, sources)
    }

    fn lock(&mut self) -> Result<LockedSocket<'_>> {
        self.locked()
    }
}
