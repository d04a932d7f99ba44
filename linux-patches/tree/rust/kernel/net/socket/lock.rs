// SPDX-License-Identifier: GPL-2.0

//! The socket lock.

use crate::{
    bindings,
    error::to_result,
    prelude::*,
    task::Task,
    time::msecs_to_jiffies,
    types::NotThreadSafe, //
};

use core::{
    marker::PhantomData,
    mem::MaybeUninit,
    ops::Deref,
    ptr::NonNull, //
};

use super::Sock;

/// How long to sleep between two tries, in milliseconds.
const PAUSE: u32 = 1;

/// A socket whose lock is held.
///
/// Meanwhile it is not bound, connected or disconnected, nothing is corked, no filter is attached
/// or detached, and no group is joined or left. But a UDP socket receives, and sends what is not
/// corked, without the lock, and many options are set without it; see [`sock`](crate::net::sock).
///
/// # Invariants
///
/// - `sk` is the `struct sock` of `socket`, and both are valid for the lifetime `'a`.
/// - The calling task has the lock of `sk` (`sk_lock.owned`).
#[must_use = "the lock is released at once if this is not used"]
pub struct LockedSocket<'a> {
    socket: NonNull<bindings::socket>,
    sk: NonNull<bindings::sock>,
    _borrow: PhantomData<&'a bindings::socket>,
    // The task that has taken the lock must release it.
    _not_send: NotThreadSafe,
}

impl LockedSocket<'_> {
    /// How often those try who can wait a little.
    pub(super) const TRIES: u32 = 10;

    /// Takes the lock, but gives up after some tries.
    ///
    /// # Errors
    ///
    /// `EBUSY` if another task has the lock all the time, `EINTR` if the calling task is killed.
    ///
    /// # Safety
    ///
    /// `sk` must be the `struct sock` of `socket`, and both must be valid as long as the returned
    /// value exists. The caller must be able to sleep.
    pub(super) unsafe fn try_lock(
        socket: NonNull<bindings::socket>,
        sk: NonNull<bindings::sock>,
        tries: u32,
    ) -> Result<Self> {
        for attempt in 1.. {
            // SAFETY: The caller says that `sk` is valid.
            if unsafe { bindings::sock_trylock(sk.as_ptr()) } {
                break;
            }
            if attempt >= tries {
                return Err(EBUSY);
            }

            // A jiffy may be ten milliseconds: there this takes longer.
            // CAST: One millisecond is a small number of jiffies.
            let pause = msecs_to_jiffies(PAUSE) as c_long;
            // SAFETY: FFI call. The caller says that it may sleep.
            unsafe { bindings::schedule_timeout_killable(pause) };

            // SAFETY: The current task is valid.
            if unsafe { bindings::fatal_signal_pending(Task::current_raw()) } != 0 {
                return Err(EINTR);
            }
        }

        // INVARIANT: The caller promises the first, and the second has just succeeded.
        Ok(Self {
            socket,
            sk,
            _borrow: PhantomData,
            _not_send: NotThreadSafe,
        })
    }

    /// Takes the lock, and waits for it.
    ///
    /// # Safety
    ///
    /// `sk` must be the `struct sock` of `socket`, and both must be valid as long as the returned
    /// value exists. The caller must be able to sleep, and not have the lock already.
    pub(super) unsafe fn lock(
        socket: NonNull<bindings::socket>,
        sk: NonNull<bindings::sock>,
    ) -> Self {
        // SAFETY: The caller says that `sk` is valid, and that it may sleep.
        unsafe { bindings::lock_sock(sk.as_ptr()) };

        // INVARIANT: The caller promises the first, and the second was just done.
        Self {
            socket,
            sk,
            _borrow: PhantomData,
            _not_send: NotThreadSafe,
        }
    }

    /// Asks the security module whether the calling task may read an option, as `getsockopt(2)`
    /// does.
    pub fn security_getsockopt(&self, level: i32, optname: i32) -> Result {
        // SAFETY: By the type invariants, the socket is valid.
        to_result(unsafe {
            bindings::security_socket_getsockopt(self.socket.as_ptr(), level, optname)
        })
    }

    /// Asks the security module whether the calling task may read the local address, as
    /// `getsockname(2)` does.
    pub fn security_getsockname(&self) -> Result {
        // SAFETY: By the type invariants, the socket is valid.
        to_result(unsafe { bindings::security_socket_getsockname(self.socket.as_ptr()) })
    }

    /// Asks the security module whether the calling task may read the address of the peer, as
    /// `getpeername(2)` does.
    pub fn security_getpeername(&self) -> Result {
        // SAFETY: By the type invariants, the socket is valid.
        to_result(unsafe { bindings::security_socket_getpeername(self.socket.as_ptr()) })
    }
}

impl LockedSocket<'_> {
    /// Asks the security module whether the calling task may receive from the socket without taking
    /// anything away, as `recvmsg(2)` with `MSG_PEEK` does.
    pub fn security_peek(&self) -> Result {
        let mut msg = MaybeUninit::<bindings::msghdr>::zeroed();
        // CAST: The flag is a small number.
        let flags = bindings::MSG_PEEK as c_int;

        // SAFETY: By the type invariants, the socket is valid. A message of zeroes has room for
        // nothing.
        to_result(unsafe {
            bindings::security_socket_recvmsg(self.socket.as_ptr(), msg.as_mut_ptr(), 0, flags)
        })
    }
}

impl Drop for LockedSocket<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, the socket is valid, and the calling task has its lock.
        unsafe { bindings::release_sock(self.sk.as_ptr()) };
    }
}

// Make the methods of `Sock` available.
impl Deref for LockedSocket<'_> {
    type Target = Sock;

    #[inline]
    fn deref(&self) -> &Sock {
        // SAFETY: By the type invariants, the `struct sock` of a valid socket is valid. A
        // `struct socket` only ever has a full one, and a reference to it.
        unsafe { Sock::from_raw(self.sk.as_ptr()) }
    }
}
