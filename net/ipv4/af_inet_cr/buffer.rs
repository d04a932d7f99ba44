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
    let old = u32::from(socket.userlocks()) & (uapi::SOCK_SNDBUF_LOCK | uapi::SOCK_RCVBUF_LOCK);
    let new = match locked {
        true => old | which.lock(),
        false => old & !which.lock(),
    };
    socket.setsockopt(SOL_SOCKET, SO_BUF_LOCK, &new.to_ne_bytes())
}

/// Gives a buffer of a socket this size, exactly.
///
/// Whether the size is the owner's choice stays as it is.
pub(crate) fn restore(
    which: Buffer,
    wanted: u32,
    socket: &mut dyn Settable,
) -> Result<(), Refusal> {
    let locked = is_locked(socket, which);
    let wanted = c_int::try_from(wanted).map_err(|_| ERANGE)?;

    if wanted % 2 == 0 {
        set_even(which, wanted, socket)?;
    } else {
        // Both neighbours must be allowed.
        let above = wanted
            .checked_add(1)
            .ok_or(Refusal::new(ERANGE, "is out of range"))?;

        set_even(which, wanted & !1, socket)?;
        set_even(which, above, socket)?;
        match which {
            Buffer::Receive => internals::set_odd_rcvbuf(&socket.lock()?, wanted),
            Buffer::Send => internals::set_odd_sndbuf(&socket.lock()?, wanted),
        }
    }
    if is_locked(socket, which) != locked {
        set_locked(which, locked, socket)?;
    }
    Ok(())
}

/// Sets a size that `setsockopt()` can set.
fn set_even(which: Buffer, wanted: c_int, socket: &dyn Settable) -> Result<(), Refusal> {
    let (limited, forced) = which.setters();
    let cannot = |errno| Refusal::new(errno, "cannot be set");

    socket
        .setsockopt_int(SOL_SOCKET, limited, wanted / 2)
        .map_err(cannot)?;

    // Below the limit, which a size above it was cut to.
    if size(socket, which) < wanted {
        socket
            .setsockopt_int(SOL_SOCKET, forced, wanted / 2)
            .map_err(|errno| match errno {
                EPERM => Refusal::new(EPERM, which.limit()),
                errno => cannot(errno),
            })?;
    }
    match size(socket, which) {
        actual if actual == wanted => Ok(()),
        actual if actual > wanted => {
            Err(Refusal::new(ERANGE, "is below the minimum of this kernel"))
        }
        _ => Err(Refusal::new(EPERM, "became another value")),
    }
}
