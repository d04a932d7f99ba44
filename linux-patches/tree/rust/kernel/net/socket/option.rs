// SPDX-License-Identifier: GPL-2.0

//! What system calls do to a socket, new or open: setting options, and shutting it down.

use crate::{
    bindings,
    error::to_result,
    prelude::*, //
};

use super::{
    Socket,
    SocketFile, //
};

/// Sets an option as `setsockopt(2)` does.
///
/// # Safety
///
/// `socket` must be valid.
unsafe fn setsockopt(
    socket: *mut bindings::socket,
    level: i32,
    optname: i32,
    value: &[u8],
) -> Result {
    let len = c_int::try_from(value.len()).map_err(|_| EINVAL)?;

    // Nothing writes to the value of an option that is to be set.
    // SAFETY: This makes a structure of the pointer.
    let value = unsafe { bindings::KERNEL_SOCKPTR(value.as_ptr().cast_mut().cast()) };

    // SAFETY: The caller says that the socket is valid. The value has `len` bytes.
    to_result(unsafe { bindings::do_sock_setsockopt(socket, false, level, optname, value, len) })
}

/// Asks the security module whether the calling task may set an option.
///
/// # Safety
///
/// `socket` must be valid.
unsafe fn security_setsockopt(socket: *mut bindings::socket, level: i32, optname: i32) -> Result {
    // SAFETY: The caller says that the socket is valid.
    to_result(unsafe { bindings::security_socket_setsockopt(socket, level, optname) })
}

/// Shuts down one or both directions as `shutdown(2)` does.
///
/// # Safety
///
/// `socket` must be valid.
unsafe fn shutdown(socket: *mut bindings::socket, how: i32) -> Result {
    // SAFETY: The caller says that the socket is valid. The function asks the security module.
    to_result(unsafe { bindings::__sys_shutdown_sock(socket, how) })
}

impl Socket {
    /// Sets an option as `setsockopt(2)` does.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub fn setsockopt(&self, level: i32, optname: i32, value: &[u8]) -> Result {
        // SAFETY: By the type invariants, the socket is valid.
        unsafe { setsockopt(self.as_ptr(), level, optname, value) }
    }

    /// Sets an option that is an integer, as `setsockopt(2)` does.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    #[inline]
    pub fn setsockopt_int(&self, level: i32, optname: i32, value: i32) -> Result {
        self.setsockopt(level, optname, &value.to_ne_bytes())
    }

    /// Asks the security module whether the calling task may set an option, as `setsockopt(2)`
    /// does.
    ///
    /// For what is set otherwise; [`Self::setsockopt`] asks by itself.
    pub fn security_setsockopt(&self, level: i32, optname: i32) -> Result {
        // SAFETY: By the type invariants, the socket is valid.
        unsafe { security_setsockopt(self.as_ptr(), level, optname) }
    }

    /// Shuts down one or both directions as `shutdown(2)` does; `how` is `SHUT_*` of it.
    ///
    /// # Errors
    ///
    /// Those of `shutdown(2)`. A datagram socket that is not connected gets shut down all the same
    /// when this returns `ENOTCONN`.
    pub fn shutdown(&self, how: i32) -> Result {
        // SAFETY: By the type invariants, the socket is valid.
        unsafe { shutdown(self.as_ptr(), how) }
    }
}

impl SocketFile {
    /// Sets an option as `setsockopt(2)` does.
    ///
    /// Most options wait for the socket lock, as long as another task has it: who has taken it
    /// ([`Self::try_lock`]) releases it before.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub fn setsockopt(&self, level: i32, optname: i32, value: &[u8]) -> Result {
        // SAFETY: By the type invariants, the socket is valid.
        unsafe { setsockopt(self.as_ptr(), level, optname, value) }
    }

    /// Asks the security module whether the calling task may set an option, as `setsockopt(2)`
    /// does.
    ///
    /// For what is set otherwise; [`Self::setsockopt`] asks by itself.
    pub fn security_setsockopt(&self, level: i32, optname: i32) -> Result {
        // SAFETY: By the type invariants, the socket is valid.
        unsafe { security_setsockopt(self.as_ptr(), level, optname) }
    }

    /// Shuts down one or both directions as `shutdown(2)` does; `how` is `SHUT_*` of it. This takes
    /// the socket lock, as [`Self::setsockopt`].
    ///
    /// # Errors
    ///
    /// Those of `shutdown(2)`. A datagram socket that is not connected gets shut down all the same
    /// when this returns `ENOTCONN`.
    pub fn shutdown(&self, how: i32) -> Result {
        // SAFETY: By the type invariants, the socket is valid.
        unsafe { shutdown(self.as_ptr(), how) }
    }
}
