// SPDX-License-Identifier: GPL-2.0

//! The sizes of the buffers of a socket.
//!
//! `setsockopt()` doubles the size that it gets, and keeps it between a minimum and, without
//! privilege, a limit (`net.core.rmem_max`, `net.core.wmem_max`). A message has the exact size,
//! which may be odd, as the size of a new socket is a sysctl. All bounds and privileges are those
//! of `setsockopt()` here, too: only between two sizes that it has set, an odd one is written by
//! hand.

#![forbid(unsafe_code)]

use crate::{
    consts::{
        SOL_SOCKET,
        SO_BUF_LOCK, //
    },
    internals,
    live::Settable,
    options::Buffer,
    refusal::Refusal, //
};

use kernel::{
    net::sock::Sock,
    prelude::*,
    uapi, //
};

/// Returns the size of a buffer.
pub(crate) fn size(sock: &Sock, which: Buffer) -> c_int {
    match which {
        Buffer::Receive => sock.rcvbuf(),
        Buffer::Send => sock.sndbuf(),
    }
}

/// Returns whether the size of a buffer is the owner's choice.
pub(crate) fn is_locked(sock: &Sock, which: Buffer) -> bool {
    u32::from(sock.userlocks()) & which.lock() != 0
}

/// Sets whether the size of a buffer is the owner's choice.
pub(crate) fn set_locked(which: Buffer, locked: bool, socket: &dyn Settable) -> Result {
    socket.setsockopt(SOL_SOCKET, SO_BUF_LOCK, &locks(which, locked, socket))
}

/// The value of `SO_BUF_LOCK` with which the size of a buffer is the owner's choice, or is not.
fn locks(which: Buffer, locked: bool, socket: &dyn Settable) -> [u8; 4] {
    let old = u32::from(socket.userlocks()) & (uapi::SOCK_SNDBUF_LOCK | uapi::SOCK_RCVBUF_LOCK);
    let new = match locked {
        true => old | which.lock(),
        false => old & !which.lock(),
    };
    new.to_ne_bytes()
}

/// Gives a buffer of a socket this size, exactly.
///
/// Whether the size is the owner's choice stays as it is. What is not allowed is refused before
/// anything is changed: it may be a socket in use.
pub(crate) fn restore(
    which: Buffer,
    wanted: u32,
    socket: &mut dyn Settable,
) -> Result<(), Refusal> {
    let locked = is_locked(socket, which);
    let wanted = c_int::try_from(wanted).map_err(|_| ERANGE)?;

    if wanted < internals::min_buffer(which) {
        return Err(Refusal::new(ERANGE, "is below the minimum of this kernel"));
    }
    let result = match wanted % 2 {
        0 => set_even(which, wanted, socket),
        _ => set_odd(which, wanted, socket),
    };
    if is_locked(socket, which) != locked {
        socket.set_back(SOL_SOCKET, SO_BUF_LOCK, &locks(which, locked, socket))?;
    }
    result
}

/// Sets a size that `setsockopt()` cannot set.
fn set_odd(which: Buffer, wanted: c_int, socket: &mut dyn Settable) -> Result<(), Refusal> {
    let above = wanted
        .checked_add(1)
        .ok_or(Refusal::new(ERANGE, "is out of range"))?;

    // Both neighbours must be allowed; the larger one is refused first.
    set_even(which, above, socket)?;
    set_even(which, wanted & !1, socket)?;
    match which {
        Buffer::Receive => internals::set_odd_rcvbuf(&socket.lock()?, wanted),
        Buffer::Send => internals::set_odd_sndbuf(&socket.lock()?, wanted),
    }
    Ok(())
}

/// Sets a size that `setsockopt()` can set.
fn set_even(which: Buffer, wanted: c_int, socket: &dyn Settable) -> Result<(), Refusal> {
    let (limited, forced) = which.setters();
    let half = wanted / 2;

    // Above the limit, the option for everybody would cut the size.
    let result = match half.unsigned_abs() <= internals::max_buffer(which) {
        true => socket.setsockopt_int(SOL_SOCKET, limited, half),
        false => socket.setsockopt_int(SOL_SOCKET, forced, half),
    };
    match result {
        Ok(()) if size(socket, which) == wanted => Ok(()),
        Ok(()) => Err(Refusal::new(EPERM, "became another value")),
        Err(EPERM) => Err(Refusal::new(EPERM, which.limit())),
        Err(errno) => Err(Refusal::new(errno, "cannot be set")),
    }
}
