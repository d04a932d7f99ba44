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

/// Which of the bound sockets a walk is for.
#[derive(Clone, Copy, Default)]
pub struct BoundFilter<'a> {
    /// Those of this address family, 0 for all.
    pub family: u16,
    /// Those on this port, 0 for all.
    pub port: u16,
    /// Those with one of these inode numbers, in ascending order; all if there are none.
    pub inos: &'a [u64],
}

/// A place in a walk over the bound UDP sockets of a network namespace: between two of them.
#[derive(Clone, Copy)]
pub struct BoundPlace(bindings::udp_sock_walk);

impl BoundPlace {
    /// The place in front of all sockets.
    pub fn start() -> Self {
        Self(bindings::udp_sock_walk { slot: 0, cookie: 0 })
    }
}

/// A walk over the bound UDP sockets of a network namespace, of IPv4 and IPv6 alike, but for those
/// of the kernel and those that are filtered out.
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
    filter: BoundFilter<'a>,
    place: BoundPlace,
    batch: [*mut bindings::sock; BATCH],
    next: usize,
    len: usize,
}

impl<'a> BoundSockets<'a> {
    /// Walks on from a place.
    pub fn walk(net: &'a Net, filter: BoundFilter<'a>, place: BoundPlace) -> Self {
        // INVARIANT: There are none in the batch.
        Self {
            net,
            filter,
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
    pub fn next_sock(&mut self) -> Result<Option<(ARef<Sock>, BoundPlace)>> {
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

        let filter = bindings::udp_sock_filter {
            family: self.filter.family,
            port: self.filter.port,
            n_inos: u32::try_from(self.filter.inos.len()).map_err(|_| EINVAL)?,
            inos: self.filter.inos.as_ptr(),
        };

        // SAFETY: The namespace is valid, the filter has as many numbers as it says, and there is
        // room for as many pointers. The function sleeps, which is all right here.
        let got = unsafe {
            bindings::udp_sock_walk(
                self.net.as_ptr(),
                &raw mut self.place.0,
                &raw const filter,
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
