// SPDX-License-Identifier: GPL-2.0

//! The bound UDP sockets of a network namespace.

use crate::{
    bindings,
    error::to_result,
    net::Net,
    prelude::*,
    sync::aref::ARef, //
};

use core::ptr::{
    self,
    NonNull, //
};

use super::Sock;

/// How many sockets to take from the hash table at once.
const BATCH: usize = 16;

/// A place in a walk over the bound UDP sockets of a network namespace: between two of them.
#[derive(Clone, Copy)]
pub struct BoundPlace(bindings::udp_sock_walk);

impl BoundPlace {
    /// The place in front of all sockets.
    pub fn all() -> Self {
        Self(bindings::udp_sock_walk {
            slot: 0,
            last: u32::MAX,
            ino: 0,
            cookie: 0,
        })
    }

    /// The place in front of those that have an inode number.
    pub(super) fn with_ino(ino: u64) -> Self {
        let mut place = Self::all();
        place.0.ino = ino;
        place
    }

    /// The place in front of those on a port, and of some others.
    pub fn on_port(net: &Net, port: u16) -> Self {
        let mut place = Self::all();

        // SAFETY: The namespace is valid, and so is its hash table.
        let slot = unsafe {
            let mask = (*(*net.as_ptr()).ipv4.udp_table).mask;
            bindings::udp_hashfn(net.as_ptr(), port.into(), mask)
        };
        (place.0.slot, place.0.last) = (slot, slot);
        place
    }
}

/// A walk over the bound UDP sockets of a network namespace, of IPv4 and IPv6 alike, but for those
/// of the kernel.
///
/// Sockets may come and go meanwhile. One that is bound to one port all the while is met once, also
/// by a walk that goes on, at another time, at the place where this one has stopped.
///
/// # Invariants
///
/// The first `len` of `batch` are pointers to full sockets with a reference to each, but for those
/// before `next`.
pub struct BoundSockets<'a> {
    net: &'a Net,
    place: BoundPlace,
    batch: [*mut bindings::sock; BATCH],
    next: usize,
    len: usize,
}

impl<'a> BoundSockets<'a> {
    /// Walks on from a place.
    pub fn walk(net: &'a Net, place: BoundPlace) -> Self {
        // INVARIANT: There are none in the batch.
        Self {
            net,
            place,
            batch: [ptr::null_mut(); BATCH],
            next: 0,
            len: 0,
        }
    }

    /// Returns the next socket, and the place behind it.
    ///
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `EINTR` if the calling task is killed.
    // This is no iterator as it can fail.
    pub fn next(&mut self) -> Result<Option<(ARef<Sock>, BoundPlace)>> {
        if self.next == self.len && !self.fill()? {
            return Ok(None);
        }
        Ok(self.take().map(|sock| {
            self.place.0.cookie = sock.cookie();
            (sock, self.place)
        }))
    }

    /// Gets more sockets, and tells whether there were any.
    fn fill(&mut self) -> Result<bool> {
        // What was not filled up has come to the end of the slot.
        if self.len != 0 && self.len < BATCH {
            self.place.0.slot += 1;
            self.place.0.cookie = 0;
        }
        // INVARIANT: There are none until the function has returned.
        (self.next, self.len) = (0, 0);

        // SAFETY: The namespace is valid, and there is room for as many pointers. The function
        // sleeps, which is all right here.
        let got = unsafe {
            bindings::udp_sock_walk(
                self.net.as_ptr(),
                &raw mut self.place.0,
                self.batch.as_mut_ptr(),
                BATCH as u32,
            )
        };
        to_result(got)?;

        // INVARIANT: The function has returned so many full sockets with a reference to each.
        // CAST: Not negative, and no more than there is room for.
        self.len = got as usize;
        Ok(self.len != 0)
    }

    /// Takes a socket out of the batch, if there is any left.
    fn take(&mut self) -> Option<ARef<Sock>> {
        let left = self.batch.get(..self.len)?;
        let sk = NonNull::new(*left.get(self.next)?)?;

        // INVARIANT: The reference is given away with the socket.
        self.next += 1;
        // SAFETY: By the type invariants, this is a full socket with a reference to it, which is
        // not used any more here. The cast is fine because of `repr(transparent)`.
        Some(unsafe { ARef::from_raw(sk.cast()) })
    }
}

impl Drop for BoundSockets<'_> {
    fn drop(&mut self) {
        while let Some(sock) = self.take() {
            drop(sock);
        }
    }
}
