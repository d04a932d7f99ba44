// SPDX-License-Identifier: GPL-2.0

//! What only checkpoint and restore may do to a socket.
//!
//! This is the only file of the subsystem with `unsafe` code, and with access to the bindings of C.
//! What writes to a socket takes it as `&mut Socket`: such a socket is new, was not handed out as a
//! file, and is used by nobody else; and it takes its lock. None of these functions belongs into a
//! general abstraction, as it would break the socket of somebody who has not all of its state.

use kernel::{
    bindings,
    net::socket::{
        Sock,
        Socket, //
    },
    prelude::*,
    uapi, //
};

/// The number of jiffies in a second.
///
/// (`HZ` of the bindings is that of user space.)
pub(crate) const HZ: c_long =
    (1_000_000_000 * bindings::HZ_TO_NSEC_DEN as i64 / bindings::HZ_TO_NSEC_NUM as i64) as c_long;

/// `AF_INET`
pub(crate) const AF_INET: c_int = bindings::AF_INET as c_int;

/// `AF_INET6`
pub(crate) const AF_INET6: c_int = bindings::AF_INET6 as c_int;

/// `SOCK_STREAM`
pub(crate) const SOCK_STREAM: c_int = bindings::sock_type_SOCK_STREAM as c_int;

/// `SOCK_DGRAM`
pub(crate) const SOCK_DGRAM: c_int = bindings::sock_type_SOCK_DGRAM as c_int;

/// `SOCK_SEQPACKET`
pub(crate) const SOCK_SEQPACKET: c_int = bindings::sock_type_SOCK_SEQPACKET as c_int;

/// `SOCK_RAW`
pub(crate) const SOCK_RAW: c_int = bindings::sock_type_SOCK_RAW as c_int;

/// How far the bits of `sk_userlocks` for address and port are from those of the interface.
const BIND_LOCK_SHIFT: u32 = 2;

/// The bits of `sk_userlocks` for address and port.
const BIND_LOCKS: u8 = (bindings::SOCK_BINDADDR_LOCK | bindings::SOCK_BINDPORT_LOCK) as u8;

static_assert!(
    bindings::SOCK_BINDADDR_LOCK
        == uapi::af_inet_cr_bind_lock_AF_INET_CR_BIND_LOCK_ADDR << BIND_LOCK_SHIFT
);
static_assert!(
    bindings::SOCK_BINDPORT_LOCK
        == uapi::af_inet_cr_bind_lock_AF_INET_CR_BIND_LOCK_PORT << BIND_LOCK_SHIFT
);

/// Returns which of the local address and port a disconnect keeps, in the bits of the interface.
///
/// Of `sk_userlocks`, which no option shows.
pub(crate) fn bind_locks(sock: &Sock) -> u32 {
    u32::from(sock.userlocks() & BIND_LOCKS) >> BIND_LOCK_SHIFT
}

/// Sets which of the local address and port a disconnect keeps, in the bits of the interface.
///
/// `__inet_bind()` sets both for what is named to it; `inet_autobind()` and `connect()` set none.
/// `__udp_disconnect()` looks at them. They make no difference before that, so that any combination
/// can be set on a socket that has an address and a port to keep.
pub(crate) fn set_bind_locks(socket: &mut Socket, locks: u32) {
    let sock = socket.lock();
    let sk = sock.as_ptr();
    // CAST: The shift is undone, and the mask has bits of a byte only.
    let locks = ((locks << BIND_LOCK_SHIFT) & u32::from(BIND_LOCKS)) as u8;

    // SAFETY: `sk` is valid as long as `sock`, which holds its lock; every writer of
    // `sk_userlocks` takes it.
    unsafe { (*sk).sk_userlocks = ((*sk).sk_userlocks & !BIND_LOCKS) | locks };
}

/// Sets the size of the receive buffer by one byte beside what it is.
///
/// `__sock_set_rcvbuf()` doubles its argument and cannot make an odd size. Its bounds hold here as
/// the caller has made it set the even sizes on both sides. Mirrors what it writes, and what
/// `udp_lib_setsockopt()` writes behind it.
pub(crate) fn set_odd_rcvbuf(socket: &mut Socket, size: c_int) {
    let sock = socket.lock();
    let sk = sock.as_ptr();

    if sock.rcvbuf().abs_diff(size) != 1 {
        return;
    }
    // Readers do not take the lock.
    // SAFETY: `sk` is valid as long as `sock`, which holds its lock.
    unsafe { (&raw mut (*sk).sk_rcvbuf).write_volatile(size) };

    if sock.udp().is_some() {
        let up = sk.cast::<bindings::udp_sock>();

        // SAFETY: As above. `sk` is a UDP socket, so that it is the beginning of a `udp_sock`.
        unsafe { (&raw mut (*up).forward_threshold).write_volatile(size >> 2) };
    }
}

/// Sets the size of the send buffer by one byte beside what it is.
///
/// As [`set_odd_rcvbuf`]. Mirrors `SO_SNDBUF` of `sk_setsockopt()`. Its `sk_write_space()` has
/// nobody to wake up.
pub(crate) fn set_odd_sndbuf(socket: &mut Socket, size: c_int) {
    let sock = socket.lock();
    let sk = sock.as_ptr();

    if sock.sndbuf().abs_diff(size) != 1 {
        return;
    }
    // Readers do not take the lock.
    // SAFETY: `sk` is valid as long as `sock`, which holds its lock.
    unsafe { (&raw mut (*sk).sk_sndbuf).write_volatile(size) };
}

/// Forgets the datagrams that the socket has dropped so far.
///
/// They were those that the filter kept out before the socket was connected.
pub(crate) fn forget_drops(socket: &mut Socket) {
    let sock = socket.lock();

    // SAFETY: The pointer is valid as long as `sock`. The counters are atomic.
    unsafe { bindings::sk_drops_reset(sock.as_ptr()) };
}

/// Returns what `SO_BUSY_POLL` is on a new socket.
///
/// Mirrors `sock_init_data_uid()`: it is `net.core.busy_read`.
pub(crate) fn fresh_busy_poll() -> u32 {
    #[cfg(CONFIG_NET_RX_BUSY_POLL)]
    // SAFETY: The sysctl is a plain integer that may change at any time.
    return unsafe { (&raw const bindings::sysctl_net_busy_read).read_volatile() };

    #[cfg(not(CONFIG_NET_RX_BUSY_POLL))]
    0
}

/// Returns what `IP_MTU_DISCOVER` is on a new socket.
///
/// Mirrors `inet_create()`: `net.ipv4.ip_no_pmtu_disc` of the namespace decides.
pub(crate) fn fresh_pmtudisc(sock: &Sock) -> u8 {
    let off = sock.net().is_some_and(|net| {
        let net = net.as_ptr();

        // SAFETY: The namespace is valid as long as `sock`, and the sysctl is a plain integer that
        // may change at any time.
        unsafe { (&raw const (*net).ipv4.sysctl_ip_no_pmtu_disc).read_volatile() != 0 }
    });

    if off {
        bindings::IP_PMTUDISC_DONT as u8
    } else {
        bindings::IP_PMTUDISC_WANT as u8
    }
}
