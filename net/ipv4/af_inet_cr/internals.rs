// SPDX-License-Identifier: GPL-2.0

//! What only checkpoint and restore may do to a socket.
//!
//! This is the only file of the subsystem with `unsafe` code, and with access to the bindings of C.
//! What writes to a socket takes it in one of two ways:
//!
//! - as a [`LockedSocket`], whose lock the caller holds, where it is right for a socket that others
//!   use meanwhile: what is written is a number that the C code, too, writes under the lock at the
//!   most, and any value of it is one that the socket can have;
//! - as `&mut Socket` where it is not: such a socket is new, was not handed out as a file, and is
//!   used by nobody else. These functions take its lock.
//!
//! None of them belongs into a general abstraction, as it would break the socket of somebody who
//! has not all of its state.

use kernel::{
    bindings,
    error::to_result,
    net::socket::{
        ErrorInfo,
        ErrorOrigin,
        LockedSocket,
        NewDatagram,
        NewError,
        Sock,
        Socket,
        UdpSock, //
    },
    num::casts::u32_as_usize,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
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

/// `SHUT_RD`
pub(crate) const SHUT_RD: c_int = bindings::sock_shutdown_cmd_SHUT_RD as c_int;

/// `SHUT_WR`
pub(crate) const SHUT_WR: c_int = bindings::sock_shutdown_cmd_SHUT_WR as c_int;

/// `SHUT_RDWR`
pub(crate) const SHUT_RDWR: c_int = bindings::sock_shutdown_cmd_SHUT_RDWR as c_int;

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
/// `__udp_disconnect()` looks at them, with the lock. They make no difference before that, so that
/// any combination can be set on a socket that has an address and a port to keep.
pub(crate) fn set_bind_locks(sock: &LockedSocket<'_>, locks: u32) {
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
pub(crate) fn set_odd_rcvbuf(sock: &LockedSocket<'_>, size: c_int) {
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
/// As [`set_odd_rcvbuf`]. Mirrors `SO_SNDBUF` of `sk_setsockopt()`, which has called
/// `sk_write_space()` for the even size: one byte more wakes up nobody else.
pub(crate) fn set_odd_sndbuf(sock: &LockedSocket<'_>, size: c_int) {
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

/// Sets the number of the next time stamp that is asked for (`SOF_TIMESTAMPING_OPT_ID`).
///
/// `SO_TIMESTAMPING` starts to count at 0 when it gets the flag. What is sent at the same time has
/// a number from before or from after this, as when it gets the flag.
pub(crate) fn set_tskey(sock: &LockedSocket<'_>, key: u32) {
    // CAST: The same bits: it is a counter that wraps around.
    // SAFETY: The pointer is valid as long as `sock`. The counter is atomic, and this is how it is
    // set (`atomic_set`).
    unsafe { (&raw mut (*sock.as_ptr()).sk_tskey.counter).write_volatile(key as c_int) };
}

/// Sets the number of the next `MSG_ZEROCOPY` send.
///
/// The completions that the error queue reports have these numbers. `msg_zerocopy_realloc()` joins
/// a send with the one before by comparing the numbers, and only counts with them.
pub(crate) fn set_zckey(sock: &LockedSocket<'_>, key: u32) {
    // CAST: The same bits: it is a counter that wraps around.
    // SAFETY: As in `set_tskey`.
    unsafe { (&raw mut (*sock.as_ptr()).sk_zckey.counter).write_volatile(key as c_int) };
}

/// Sets the pending error, which the next call returns and clears, as an error from the network,
/// unless that has told of a newer one.
///
/// Mirrors `udp_err()`. Who waits for the socket is told, and there is nobody if it is new. `errno`
/// is at most `MAX_ERRNO`.
pub(crate) fn set_err(sock: &LockedSocket<'_>, errno: u32) {
    // CAST: A small number.
    let set = pending_error(sock).cmpxchg(0, errno as c_int, Relaxed);

    if set.is_ok() && errno != 0 {
        // SAFETY: The pointer is valid as long as `sock`. It is called with the lock and without.
        unsafe { bindings::sk_error_report(sock.as_ptr()) };
    }
}

/// Takes the pending error out, as `sock_error()` does: what sends would fail with it.
pub(crate) fn take_err(socket: &mut Socket) -> u32 {
    pending_error(&socket.lock())
        .xchg(0, Relaxed)
        .unsigned_abs()
}

/// The pending error of a socket.
fn pending_error<'a>(sock: &'a LockedSocket<'_>) -> &'a Atomic<c_int> {
    // SAFETY: The pointer is valid as long as `sock`, and so is one to a field. It is an aligned
    // `int`, which others read, write and exchange without the lock, each at once.
    unsafe { Atomic::from_ptr(&raw mut (*sock.as_ptr()).sk_err) }
}

/// Sets the pending error that is not fatal. As [`set_err`].
pub(crate) fn set_err_soft(sock: &LockedSocket<'_>, errno: u32) {
    // CAST: A small number.
    // SAFETY: The pointer is valid as long as `sock`. The field is read and written without the
    // lock everywhere.
    unsafe { (&raw mut (*sock.as_ptr()).sk_err_soft).write_volatile(errno as c_int) };
}

/// Sets the time stamp of the last datagram, in nanoseconds, and that it is asked for.
///
/// Mirrors `sock_gettstamp()`, which switches time stamps on, and `sock_recv_cmsgs()`.
pub(crate) fn set_stamp(sock: &LockedSocket<'_>, nanos: i64) {
    let sk = sock.as_ptr();

    // SAFETY: The pointer is valid as long as `sock`, which holds its lock.
    unsafe {
        bindings::sock_enable_timestamp(sk, bindings::sock_flags_SOCK_TIMESTAMP);
        bindings::sock_write_timestamp(sk, nanos);
    }
}

/// Forgets the corked datagram.
///
/// As if it had failed when it was begun: `udp_sendmsg()` does this then.
pub(crate) fn flush_cork(socket: &mut Socket) {
    let sock = socket.lock();

    if sock.udp().is_some_and(UdpSock::is_plain) {
        // SAFETY: The pointer is valid as long as `sock`, which holds its lock. It is one of an
        // ordinary UDP socket.
        unsafe { bindings::udp_flush_pending_frames(sock.as_ptr()) };
    }
}

/// Puts a datagram behind those that wait to be received.
///
/// It is charged to the receive buffer, and there must be room, as for one that arrives: mirrors
/// the end of `udp_queue_rcv_one_skb()`. Fails with `ENOMEM` if the buffer is full.
pub(crate) fn enqueue(socket: &mut Socket, datagram: NewDatagram) -> Result {
    let sock = socket.lock();
    let (sk, dropcount) = (sock.as_ptr(), datagram.dropcount());

    if !sock.udp().is_some_and(UdpSock::is_plain) {
        return Err(EOPNOTSUPP);
    }
    let skb = datagram.into_raw();
    // SAFETY: `sk` is an ordinary UDP socket, valid as long as `sock`. The skb is ours, with the
    // headers, the checksum state and the control block that readers look at; it has no device and
    // no route, which UDP drops before this. The function wants bottom halves to be off.
    let result = to_result(unsafe {
        bindings::local_bh_disable();
        let err = bindings::__udp_enqueue_schedule_skb(sk, skb);
        bindings::local_bh_enable();
        err
    });
    if let Err(errno) = result {
        let reason = bindings::skb_drop_reason_SKB_CONSUMED;

        // SAFETY: The skb is still ours, as it was not queued.
        unsafe { bindings::sk_skb_reason_drop(core::ptr::null_mut(), skb, reason) };
        return Err(errno);
    }

    // The function frees what there is no memory for, without a word. Nothing else comes behind it:
    // the socket has no port, or a filter that keeps packets out.
    // SAFETY: The queue is valid, and locked when its end is looked at: if that is the skb, it is
    // in the queue, and not freed.
    unsafe {
        let queue = &raw mut (*sk).sk_receive_queue;

        bindings::spin_lock_bh(&raw mut (*queue).lock);
        let queued = core::ptr::eq(bindings::skb_peek_tail(queue), skb);
        if queued {
            (*bindings::SOCK_SKB_CB(skb)).dropcount = dropcount;
        }
        bindings::spin_unlock_bh(&raw mut (*queue).lock);
        match queued {
            true => Ok(()),
            false => Err(ENOBUFS),
        }
    }
}

/// Puts an error into the error queue, behind the `place` errors that were put there before.
///
/// It is charged to the receive buffer, and there must be room: `sock_queue_err_skb()` does it,
/// which does not touch the pending error (that has an attribute of its own). Fails with `ENOMEM`
/// if the buffer is full.
pub(crate) fn enqueue_error(socket: &mut Socket, error: NewError, place: usize) -> Result {
    let sock = socket.lock();
    let sk = sock.as_ptr();

    if !sock.udp().is_some_and(UdpSock::is_plain) {
        return Err(EOPNOTSUPP);
    }
    let skb = error.into_raw();
    // SAFETY: `sk` is an ordinary UDP socket, valid as long as `sock`. The skb is ours, with all
    // that `ip_recv_error()` looks at.
    if let Err(errno) = to_result(unsafe { bindings::sock_queue_err_skb(sk, skb) }) {
        let reason = bindings::skb_drop_reason_SKB_CONSUMED;

        // SAFETY: The skb is still ours, as it was not queued.
        unsafe { bindings::sk_skb_reason_drop(core::ptr::null_mut(), skb, reason) };
        return Err(errno);
    }
    // SAFETY: The skb is in the queue of errors: nobody but this code knows the socket who could
    // take it out.
    unsafe { set_place(&raw mut (*sk).sk_error_queue, skb, place) };
    Ok(())
}

/// Tells of completed `MSG_ZEROCOPY` sends in the error queue, behind the `place` errors that were
/// put there before.
///
/// Mirrors `msg_zerocopy_alloc()` and `__msg_zerocopy_callback()`: it is charged as an option.
/// Fails with `ENOSPC` if there is no room for it, or no memory.
pub(crate) fn enqueue_zerocopy(socket: &mut Socket, error: &ErrorInfo, place: usize) -> Result {
    let sock = socket.lock();
    let sk = sock.as_ptr();

    if !sock.udp().is_some_and(UdpSock::is_plain) {
        return Err(EOPNOTSUPP);
    }
    // SAFETY: `sk` is valid as long as `sock`. The skb is charged to it until it is freed, which
    // is when it leaves the queue.
    let skb = unsafe { bindings::sock_omalloc(sk, 0, bindings::GFP_KERNEL) };
    if skb.is_null() {
        return Err(ENOSPC);
    }
    // SAFETY: The skb is new and ours. Its control block is zero.
    unsafe { error.write(skb) };
    // SAFETY: The queue is valid. As in `enqueue_error`.
    unsafe {
        let queue = &raw mut (*sk).sk_error_queue;

        bindings::skb_queue_tail(queue, skb);
        set_place(queue, skb, place);
    }
    Ok(())
}

/// Moves what was put at the end of an error queue to its place.
///
/// What was there before it, beyond that place, has arrived meanwhile: a filter keeps datagrams out
/// of a socket, but not what ICMP tells of the ones that the original has sent. There is little of
/// that, so that the place is looked for from the end.
///
/// # Safety
///
/// `skb` must be in `queue`, which must be valid, and nobody may take anything out of it: it is
/// that of a socket without a file. (ICMP and `SOCK_DESTROY` find the socket, and take nothing
/// out.)
unsafe fn set_place(queue: *mut bindings::sk_buff_head, skb: *mut bindings::sk_buff, place: usize) {
    // SAFETY: The caller says that the queue is valid, and that the skb is in it. In a locked queue
    // every skb is valid. The head of the list stands for the one before the first, and for the one
    // behind the last.
    unsafe {
        bindings::spin_lock_irq_disable(&raw mut (*queue).lock);
        let strays = u32_as_usize((*queue).qlen).saturating_sub(place.saturating_add(1));
        if strays > 0 {
            // The last one that belongs in front of the skb: behind it are the strays and the skb.
            let mut before = (*queue).__bindgen_anon_1.__bindgen_anon_1.prev;

            for _ in 0..=strays {
                before = (*before).__bindgen_anon_1.__bindgen_anon_1.prev;
            }
            // If that is where it is, it is not moved.
            if !core::ptr::eq(before, skb) {
                bindings::__skb_unlink(skb, queue);
                bindings::__skb_queue_after(queue, before, skb);
            }
        }
        bindings::spin_unlock_irq_enable(&raw mut (*queue).lock);
    }
}

/// Takes the errors that this machine has made out of the error queue, behind the first `place`.
///
/// Those of attempts to send, which nobody but this code makes (`ip_local_error()`).
pub(crate) fn forget_local_errors(socket: &mut Socket, place: usize) {
    let sock = socket.lock();
    // SAFETY: The pointer is valid as long as `sock`, and so is one to a field.
    let queue = unsafe { &raw mut (*sock.as_ptr()).sk_error_queue };

    // SAFETY: The queue is valid.
    while let Some(skb) = unsafe { unlink_local_error(queue, place) } {
        let reason = bindings::skb_drop_reason_SKB_CONSUMED;

        // SAFETY: The skb is in no queue any more, so that it is ours.
        unsafe { bindings::sk_skb_reason_drop(core::ptr::null_mut(), skb, reason) };
    }
}

/// Takes the last error that this machine has made out of a queue, if it is behind the first
/// `place`.
///
/// # Safety
///
/// `queue` must be a valid queue of errors.
unsafe fn unlink_local_error(
    queue: *mut bindings::sk_buff_head,
    place: usize,
) -> Option<*mut bindings::sk_buff> {
    let mut found = None;

    // SAFETY: The caller says that the queue is valid. In a locked queue every skb is valid, and
    // the control block of one of errors is a `struct sock_exterr_skb`. No more steps are made than
    // there are skbs.
    unsafe {
        bindings::spin_lock_irq_disable(&raw mut (*queue).lock);
        let mut skb = (*queue).__bindgen_anon_1.__bindgen_anon_1.prev;

        for _ in place..u32_as_usize((*queue).qlen) {
            let serr = (&raw const (*skb).cb).cast::<bindings::sock_exterr_skb>();

            if (*serr).ee.ee_origin == ErrorOrigin::Local.number() {
                bindings::__skb_unlink(skb, queue);
                found = Some(skb);
                break;
            }
            skb = (*skb).__bindgen_anon_1.__bindgen_anon_1.prev;
        }
        bindings::spin_unlock_irq_enable(&raw mut (*queue).lock);
    }
    found
}
