// SPDX-License-Identifier: GPL-2.0

//! New sockets.

use crate::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    fs::File,
    net::Net,
    prelude::*,
    sync::aref::ARef, //
};

use core::{
    mem::ManuallyDrop,
    net::SocketAddr,
    ops::Deref,
    ptr::{
        self,
        NonNull, //
    },
};

use super::{
    address::RawAddress,
    LockedSocket,
    Sock, //
};

/// A new socket, which is no process's yet.
///
/// It is made in the name of the calling task, and what is done to it is allowed or refused as if
/// that task did it by system calls: security modules, capabilities and cgroup-BPF programs have
/// their say. Some of it may be seen from outside, though: a bound socket receives packets, and
/// sock_diag lists it.
///
/// Dropping it closes it.
///
/// # Invariants
///
/// `socket` is an open socket without a file, `sk` is its `struct sock`, and both are ours.
pub struct Socket {
    socket: NonNull<bindings::socket>,
    sk: NonNull<bindings::sock>,
}

// SAFETY: A socket may be used and closed by any task.
unsafe impl Send for Socket {}

impl Socket {
    /// Makes a socket as `socket(2)` does, in the network namespace `net`.
    ///
    /// It keeps the namespace alive, unlike sockets that the kernel makes for itself. If the family
    /// or the protocol is in a module that is not there, the module gets loaded: who cannot wait
    /// for that asks for what is built in.
    ///
    /// # Errors
    ///
    /// Those of `socket(2)`, and `EAFNOSUPPORT` if the kernel would make one of another family, as
    /// it does for `SOCK_PACKET`.
    pub fn create(net: &Net, family: i32, type_: i32, protocol: i32) -> Result<Self> {
        let mut socket = ptr::null_mut();

        // SAFETY: The namespace is valid, and `socket` may be written to.
        to_result(unsafe {
            bindings::__sock_create(net.as_ptr(), family, type_, protocol, &raw mut socket, 0)
        })?;
        let socket = NonNull::new(socket).ok_or(EINVAL)?;

        // SAFETY: `__sock_create` has returned a valid socket, which nobody else knows.
        let Some(sk) = NonNull::new(unsafe { (*socket.as_ptr()).sk }) else {
            // SAFETY: The socket is valid, it is ours, and it is not used any more.
            unsafe { bindings::sock_release(socket.as_ptr()) };
            return Err(EINVAL);
        };

        // INVARIANT: The socket is new, and it is ours.
        let socket = Self { socket, sk };
        if i32::from(socket.family()) != family {
            return Err(EAFNOSUPPORT);
        }

        Ok(socket)
    }

    /// Returns the fields of the socket.
    #[inline]
    pub fn sock(&self) -> &Sock {
        // SAFETY: By the type invariants, this is the `struct sock` of an open socket, which has a
        // reference to it. A `struct socket` only ever has a full one.
        unsafe { Sock::from_raw(self.sk.as_ptr()) }
    }

    /// Binds the socket to a local address as `bind(2)` does.
    ///
    /// # Errors
    ///
    /// Those of `bind(2)`.
    pub fn bind(&self, address: &SocketAddr) -> Result {
        let mut address = RawAddress::from(address);
        let len = address.len();

        // SAFETY: By the type invariants, the socket is valid, and so are the `len` bytes of the
        // address, which may be changed. The function asks the security module.
        to_result(unsafe { bindings::__sys_bind_socket(self.as_ptr(), address.as_mut_ptr(), len) })
    }

    /// Connects the socket to a peer as `connect(2)` does, without waiting for it.
    ///
    /// # Errors
    ///
    /// Those of `connect(2)`, and `EINPROGRESS` where it would wait.
    pub fn connect(&self, address: &SocketAddr) -> Result {
        self.connect_raw(RawAddress::from(address))
    }

    /// Undoes [`Self::connect`].
    ///
    /// # Errors
    ///
    /// Those of `connect(2)`.
    pub fn disconnect(&self) -> Result {
        self.connect_raw(RawAddress::unspecified())
    }

    /// Connects the socket.
    fn connect_raw(&self, mut address: RawAddress) -> Result {
        let len = address.len();
        // CAST: The flag is a small number.
        let flags = bindings::O_NONBLOCK as c_int;

        // SAFETY: By the type invariants, the socket is valid, and so are the `len` bytes of the
        // address, which may be changed. The function asks the security module.
        to_result(unsafe {
            bindings::connect_socket(self.as_ptr(), address.as_mut_ptr(), len, flags)
        })
    }

    /// Takes the socket lock.
    ///
    /// Since no process has the socket, nobody sleeps with the lock.
    pub fn lock(&mut self) -> LockedSocket<'_> {
        // SAFETY: By the type invariants, `sk` belongs to `socket`, and both are valid as long as
        // `self` is borrowed. Since it is borrowed mutably, there is no other guard.
        unsafe { LockedSocket::lock(self.socket, self.sk) }
    }

    /// As [`Self::lock`], for what may be done to a new socket only.
    pub fn lock_new(&mut self) -> LockedNewSocket<'_> {
        // INVARIANT: By the type invariants, no process has the socket.
        LockedNewSocket(self.lock())
    }

    /// Makes the socket an open file.
    ///
    /// Of the flags, `O_NONBLOCK` counts. `O_CLOEXEC` is not one of the file but of the descriptor:
    /// [`FileDescriptorReservation`] takes it, and then the file.
    ///
    /// # Errors
    ///
    /// `ENOMEM` or `ENFILE`. The socket is closed then.
    ///
    /// [`FileDescriptorReservation`]: crate::fs::file::FileDescriptorReservation
    pub fn into_file(self, flags: u32) -> Result<ARef<File>> {
        let socket = ManuallyDrop::new(self);
        // CAST: The flag is a small number.
        let flags = (flags & bindings::O_NONBLOCK) as c_int;

        // SAFETY: By the type invariants, the socket is valid and has no file. It is given away:
        // the file owns it from here on, and the function closes it if there is none.
        let file = from_err_ptr(unsafe {
            bindings::sock_alloc_file(socket.as_ptr(), flags, ptr::null())
        })?;
        let file = NonNull::new(file).ok_or(ENOMEM)?;

        // INVARIANT: Nobody else has the file, so there are no calls to `fdget_pos`.
        // SAFETY: The function has returned a valid file with a reference to it. The cast is fine
        // because of `repr(transparent)`.
        Ok(unsafe { ARef::from_raw(file.cast()) })
    }

    /// Returns the pointer to the `struct socket`.
    #[inline]
    pub fn as_ptr(&self) -> *mut bindings::socket {
        self.socket.as_ptr()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, the socket is valid, it has no file, and it is ours.
        unsafe { bindings::sock_release(self.as_ptr()) };
    }
}

// Make the methods of `Sock` available.
impl Deref for Socket {
    type Target = Sock;

    #[inline]
    fn deref(&self) -> &Sock {
        self.sock()
    }
}

/// A new socket whose lock is held.
///
/// # Invariants
///
/// No process has the socket: what is put into one of its queues stays there.
#[must_use = "the lock is released at once if this is not used"]
pub struct LockedNewSocket<'a>(LockedSocket<'a>);

impl<'a> Deref for LockedNewSocket<'a> {
    type Target = LockedSocket<'a>;

    #[inline]
    fn deref(&self) -> &LockedSocket<'a> {
        &self.0
    }
}
