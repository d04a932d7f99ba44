// SPDX-License-Identifier: GPL-2.0

//! Sockets that some process has open.

use crate::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    fs::{
        file::flags,
        File, //
    },
    prelude::*,
    sync::aref::ARef, //
};

use core::{
    ops::Deref,
    ptr::{
        self,
        NonNull, //
    },
};

use super::{
    LockedSocket,
    Sock, //
};

/// Tells whether a descriptor of the calling task is an open pidfd.
///
/// After [`SocketFile::from_pidfd`] has failed by `EBADF` this tells which of the two descriptors
/// is to blame.
pub fn is_pidfd(pidfd: u32) -> bool {
    let mut flags = 0;

    // SAFETY: FFI call, there are no requirements on the descriptor, and the flags may be written.
    let Ok(pid) = from_err_ptr(unsafe { bindings::pidfd_get_pid(pidfd, &raw mut flags) }) else {
        return false;
    };
    // SAFETY: `pidfd_get_pid` has returned a reference, and it is not used any more.
    unsafe { bindings::put_pid(pid) };

    true
}

/// An open socket.
///
/// It keeps the socket from being closed: until it is dropped, `sk_socket` and the operations of
/// the socket stay what they are.
///
/// # Invariants
///
/// `socket` is the socket of `file`, and `sk` is the `struct sock` of `socket`.
pub struct SocketFile {
    file: ARef<File>,
    socket: NonNull<bindings::socket>,
    sk: NonNull<bindings::sock>,
}

// SAFETY: The reference to a file may be dropped by any task.
unsafe impl Send for SocketFile {}

// SAFETY: Threads that share an open file call all of this in parallel: what reads fields reads
// each at once; what changes the file takes its locks (`f_lock`, that of `f_owner`); options and
// the shutdown go through the functions of the system calls, and the rest through the socket lock.
unsafe impl Sync for SocketFile {}

impl SocketFile {
    /// Takes an open file, if it is a socket.
    ///
    /// # Errors
    ///
    /// `ENOTSOCK` if it is not a socket.
    pub fn from_file(file: ARef<File>) -> Result<Self> {
        // SAFETY: The file is valid, since there is a reference to it.
        let socket = unsafe { bindings::sock_from_file(file.as_ptr()) };
        let socket = NonNull::new(socket).ok_or(ENOTSOCK)?;

        // SAFETY: The file of a socket has a reference to it, which is dropped when the last
        // reference to the file is. Only then the field is cleared (`__sock_release`).
        let sk = unsafe { (&raw const (*socket.as_ptr()).sk).read_volatile() };
        let sk = NonNull::new(sk).ok_or(ENOTSOCK)?;

        // INVARIANT: Just looked up.
        Ok(Self { file, socket, sk })
    }

    /// Takes a reference to a file, which may be one of another process.
    ///
    /// # Errors
    ///
    /// `ENOTSOCK` if it is not a socket. The reference is dropped then.
    ///
    /// # Safety
    ///
    /// `file` must be a valid file, and the caller gives away a reference to it.
    pub(super) unsafe fn from_raw(file: NonNull<bindings::file>) -> Result<Self> {
        // INVARIANT: Files of other processes, and the calling task itself, may be in a call that
        // has done `fdget_pos` without the `f_pos_lock` mutex. If this is a socket, there is no
        // position to care about (`stream_open` in `sock_alloc_file`). If it is none, then the
        // file is dropped right here, and nobody sees it as a `File`.
        // SAFETY: The caller gives us a reference to a valid file. The cast is fine because of
        // `repr(transparent)`.
        Self::from_file(unsafe { ARef::from_raw(file.cast()) })
    }

    /// Gets a UDP socket that some process has open.
    ///
    /// # Errors
    ///
    /// `ENOENT` if none has it open (yet, or any more), or if it is another kind of socket: not all
    /// of them tell when they are closed.
    pub fn from_sock(sock: &Sock) -> Result<Self> {
        sock.udp().ok_or(ENOENT)?;
        let sk = sock.as_ptr();
        // SAFETY: The socket is valid.
        let lock = unsafe { &raw mut (*sk).sk_callback_lock };

        // SAFETY: The lock is valid.
        unsafe { bindings::read_lock_bh(lock) };

        // SAFETY: The socket is valid.
        let socket = unsafe { (*sk).sk_socket };
        let file = if socket.is_null() {
            ptr::null_mut()
        } else {
            // The file may be about to go, so that there is no reference to be had.
            // SAFETY: While `sk_callback_lock` is held, the socket does not lose its `struct
            // socket` (`sock_orphan`). A UDP socket does so when it is closed (`udp_lib_close`),
            // which is before both that and the file are freed (`sock_close`). The file is set when
            // it is complete (`sock_alloc_file`).
            unsafe { bindings::get_file_active(&raw mut (*socket).file) }
        };

        // SAFETY: The lock was taken above.
        unsafe { bindings::read_unlock_bh(lock) };

        let file = NonNull::new(file).ok_or(ENOENT)?;
        // SAFETY: `get_file_active` has returned a valid file with a reference to it.
        unsafe { Self::from_raw(file) }
    }

    /// Gets a socket by a file descriptor of the calling task.
    ///
    /// # Errors
    ///
    /// `EBADF` if the descriptor is not open, `ENOTSOCK` if it is not a socket.
    pub fn from_fd(fd: u32) -> Result<Self> {
        // SAFETY: FFI call, there are no requirements on the descriptor.
        let file = NonNull::new(unsafe { bindings::fget(fd) }).ok_or(EBADF)?;

        // SAFETY: `fget` has returned a valid file with a reference to it.
        unsafe { Self::from_raw(file) }
    }

    /// Gets a socket by a file descriptor of another process.
    ///
    /// The calling task must be able to attach to the process by `ptrace`, as for
    /// `pidfd_getfd(2)`. Who does more with the file than to read its state has to ask
    /// [`Self::security_file_receive`], too. This does not wait for a process that is about
    /// to become another program.
    ///
    /// # Errors
    ///
    /// `EBADF` if one of the descriptors is not open or `pidfd` is not a pidfd, `ESRCH` if the
    /// process is gone, `EPERM` if the caller may not attach to it, `ENOTSOCK` if the descriptor is
    /// not a socket, `EBUSY` if the process is in an `execve(2)`.
    pub fn from_pidfd(pidfd: u32, fd: u32) -> Result<Self> {
        // Descriptors are not negative.
        let pidfd = c_int::try_from(pidfd).map_err(|_| EBADF)?;
        let fd = c_int::try_from(fd).map_err(|_| EBADF)?;

        // SAFETY: FFI call, there are no requirements on the descriptors.
        let file = from_err_ptr(unsafe { bindings::pidfd_get_file(pidfd, fd, true) })?;
        let file = NonNull::new(file).ok_or(EBADF)?;

        // SAFETY: `pidfd_get_file` has returned a valid file with a reference to it.
        unsafe { Self::from_raw(file) }
    }

    /// Asks the security module whether the calling task may get the file from another process.
    pub fn security_file_receive(&self) -> Result {
        // SAFETY: The file is valid, since there is a reference to it.
        to_result(unsafe { bindings::security_file_receive(self.file.as_ptr()) })
    }

    /// Returns the fields of the socket.
    #[inline]
    pub fn sock(&self) -> &Sock {
        // SAFETY: By the type invariants, this is the `struct sock` of an open socket, which has a
        // reference to it. A `struct socket` only ever has a full one.
        unsafe { Sock::from_raw(self.sk.as_ptr()) }
    }

    /// Returns the file.
    #[inline]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives away the reference to the file.
    #[inline]
    pub fn into_file(self) -> ARef<File> {
        self.file
    }

    /// Tells whether there are other references to the file: some process may have it open, or get
    /// it in a message.
    ///
    /// The answer is final if it is no, unless the socket can be [found](Self::from_sock)
    /// otherwise.
    #[inline]
    pub fn is_shared(&self) -> bool {
        // SAFETY: The file is valid, since there is a reference to it.
        unsafe { bindings::file_is_shared(self.file.as_ptr()) }
    }

    /// Returns the flags of the file: `O_NONBLOCK` for instance.
    #[inline]
    pub fn file_flags(&self) -> u32 {
        self.file.flags()
    }

    /// Sets whether calls wait, as `O_NONBLOCK` and `FIONBIO` do.
    pub fn set_nonblock(&self, on: bool) {
        let file = self.file.as_ptr();

        // SAFETY: The file is valid, since there is a reference to it. Its flags are written with
        // its lock held, as `ioctl_fionbio` does, and read without it everywhere.
        unsafe {
            bindings::spin_lock(&raw mut (*file).f_lock);
            let flags = (&raw const (*file).f_flags).read();
            let flags = match on {
                true => flags | flags::O_NONBLOCK,
                false => flags & !flags::O_NONBLOCK,
            };
            (&raw mut (*file).f_flags).write_volatile(flags);
            bindings::spin_unlock(&raw mut (*file).f_lock);
        }
    }

    /// Asks the security module whether the calling task may set flags of the file (`F_SETFL`) or
    /// its owner (`F_SETOWN`), as `fcntl(2)` does.
    ///
    /// For what is set otherwise. It is told `cmd`, and the flags as they are.
    pub fn security_fcntl(&self, cmd: u32) -> Result {
        // CAST: A wider type.
        let flags = self.file_flags() as c_ulong;

        // SAFETY: The file is valid, since there is a reference to it.
        to_result(unsafe { bindings::security_file_fcntl(self.file.as_ptr(), cmd, flags) })
    }

    /// Tells whether the socket has `user.*` extended attributes (`fsetxattr(2)`).
    #[inline]
    pub fn has_user_xattr(&self) -> bool {
        // SAFETY: By the type invariants, the socket is valid and has a file.
        unsafe { bindings::sock_has_user_xattr(self.as_ptr()) }
    }

    /// Takes the socket lock unless another task has it.
    ///
    /// Whoever has the lock may sleep with it, for as long as the network likes.
    ///
    /// # Errors
    ///
    /// `EBUSY` if another task has the lock.
    pub fn try_lock(&self) -> Result<LockedSocket<'_>> {
        // SAFETY: By the type invariants, `socket` and `sk` belong to each other, and the reference
        // to the file keeps them for as long as `self` is borrowed.
        unsafe { LockedSocket::try_lock(self.socket, self.sk, 1) }
    }

    /// Takes the socket lock, but waits for no more than a few jiffies.
    ///
    /// # Errors
    ///
    /// `EBUSY` if another task has the lock all the time, `EINTR` if the calling task is killed.
    pub fn lock_soon(&self) -> Result<LockedSocket<'_>> {
        // SAFETY: As in `try_lock`.
        unsafe { LockedSocket::try_lock(self.socket, self.sk, LockedSocket::TRIES) }
    }

    /// Returns the pointer to the `struct socket`.
    #[inline]
    pub fn as_ptr(&self) -> *mut bindings::socket {
        self.socket.as_ptr()
    }
}

// Make the methods of `Sock` available.
impl Deref for SocketFile {
    type Target = Sock;

    #[inline]
    fn deref(&self) -> &Sock {
        self.sock()
    }
}
