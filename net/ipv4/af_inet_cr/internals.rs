// SPDX-License-Identifier: GPL-2.0

//! What only checkpoint and restore may do to a socket.
//!
//! This is the only file of the subsystem with `unsafe` code, and with access to the bindings of C.
//! What writes to a socket takes it in one of three ways:
//!
//! - as a [`LockedSocket`], whose lock the caller holds, where it is right for a socket that others
//!   use meanwhile: what is written is a number that the C code, too, writes under the lock at the
//!   most, and any value of it is one that the socket can have; what is queued, the C code queues;
//! - as `&mut Socket` where it is not: such a socket is new, was not handed out as a file, and is
//!   used by nobody else. These functions take its lock;
//! - as a [`LockedNewSocket`], which is new, too, and whose lock the caller holds for several of
//!   these functions.
//!
//! None of them belongs into a general abstraction, as it would break the socket of somebody who
//! has not all of its state.

use crate::options::Buffer;

use kernel::{
    bindings,
    error::to_result,
    net::socket::{
        ErrorInfo,
        ErrorOrigin,
        LockedNewSocket,
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
    time::{
        delay::fsleep,
        Delta, //
    },
    uapi, //
};

use core::net::Ipv4Addr;

/// The number of jiffies in a second.
///
/// (`HZ` of the bindings is that of user space.)
pub(crate) const HZ: c_long =
    (1_000_000_000 * bindings::HZ_TO_NSEC_DEN as i64 / bindings::HZ_TO_NSEC_NUM as i64) as c_long;

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

/// Sets the address that a socket sends from, before it is connected.
///
/// As an earlier connection leaves it: `connect()` only sends from it if it is one of this place,
/// and keeps it. Sockets are not found by it.
pub(crate) fn set_source(socket: &mut Socket, addr: Ipv4Addr) -> Result {
    let sock = socket.lock();
    let inet = sock.inet().ok_or(EOPNOTSUPP)?.as_ptr();

    // SAFETY: The pointer is valid as long as `sock`, which holds its lock, as every writer does.
    unsafe { (*inet).inet_saddr = addr.to_bits().to_be() };
    Ok(())
}

/// The smallest size of a buffer that `setsockopt()` sets.
pub(crate) const fn min_buffer(which: Buffer) -> c_int {
    // CAST: A few thousand.
    match which {
        Buffer::Receive => bindings::SOCK_MIN_RCVBUF as c_int,
        Buffer::Send => bindings::SOCK_MIN_SNDBUF as c_int,
    }
}

/// The largest argument that `setsockopt()` takes for the size of a buffer without privilege.
pub(crate) fn max_buffer(which: Buffer) -> u32 {
    // SAFETY: The sysctls are plain integers, which may change at any time, thus the volatile read.
    unsafe {
        match which {
            Buffer::Receive => (&raw const bindings::sysctl_rmem_max).read_volatile(),
            Buffer::Send => (&raw const bindings::sysctl_wmem_max).read_volatile(),
        }
    }
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
    if sock.sndbuf().abs_diff(size) == 1 {
        set_sndbuf(sock, size);
    }
}

/// Does something with a new socket whose send buffer has room for any datagram meanwhile.
///
/// What comes in one send takes up more than what has come in many, and the owner may have made the
/// buffer smaller since. Nobody else sends from the socket, so that the limit is passed by one
/// datagram at the most.
pub(crate) fn with_room_to_send<R>(socket: &mut Socket, f: impl FnOnce(&mut Socket) -> R) -> R {
    /// `__ip_append_data()` takes it twice.
    const ROOM: c_int = c_int::MAX / 2;

    let size = socket.sndbuf();

    set_sndbuf(&socket.lock(), ROOM);
    let result = f(socket);
    set_sndbuf(&socket.lock(), size);
    result
}

/// Sets the size of the send buffer, and wakes up nobody.
fn set_sndbuf(sock: &LockedSocket<'_>, size: c_int) {
    // Readers do not take the lock.
    // SAFETY: `sock` is valid and holds its lock.
    unsafe { (&raw mut (*sock.as_ptr()).sk_sndbuf).write_volatile(size) };
}

/// Forgets the datagrams that the socket has dropped so far.
///
/// They were those that the filter kept out before the socket was connected.
pub(crate) fn forget_drops(socket: &mut Socket) {
    set_drops(&socket.lock(), 0);
}

/// Sets how many datagrams the socket has dropped so far.
///
/// `SO_RXQ_OVFL` and `SO_MEMINFO` tell it. What is dropped at the same time is counted or is not.
pub(crate) fn set_drops(sock: &LockedSocket<'_>, drops: u32) {
    // CAST: The same bits: it is a counter that wraps around.
    // SAFETY: The pointer is valid as long as `sock`. The counters are atomic.
    unsafe {
        bindings::sk_drops_reset(sock.as_ptr());
        bindings::sk_drops_add(sock.as_ptr(), drops as c_int);
    }
}

/// Sets the rate that packets are paced to now, which is at most that of `SO_MAX_PACING_RATE`.
///
/// That option lowers it with the maximum, but does not raise it. Mirrors `sk_setsockopt()`.
/// Fails with `ERANGE` if it is above the maximum.
pub(crate) fn set_pacing_rate(sock: &LockedSocket<'_>, rate: usize) -> Result {
    if rate > sock.max_pacing_rate() {
        return Err(ERANGE);
    }
    // Readers do not take the lock.
    // SAFETY: The pointer is valid as long as `sock`, which holds its lock, as every writer does.
    unsafe { (&raw mut (*sock.as_ptr()).sk_pacing_rate).write_volatile(rate) };
    Ok(())
}

/// Sets the number of the next time stamp that is asked for (`SOF_TIMESTAMPING_OPT_ID`).
///
/// `SO_TIMESTAMPING` starts to count at 0 when it gets the flag. What is sent at the same time has
/// a number from before or from after this, as when it gets the flag.
pub(crate) fn set_tskey(sock: &LockedSocket<'_>, key: u32) {
    // CAST: The same bits: it is a counter that wraps around.
    // SAFETY: The pointer is valid as long as `sock`, and so is one to the counter, which is an
    // `atomic_t`.
    unsafe { Atomic::from_ptr(&raw mut (*sock.as_ptr()).sk_tskey.counter) }
        .store(key as c_int, Relaxed);
}

/// Sets the number of the next `MSG_ZEROCOPY` send.
///
/// The completions that the error queue reports have these numbers. `msg_zerocopy_realloc()` joins
/// a send with the one before by comparing the numbers, and only counts with them.
pub(crate) fn set_zckey(sock: &LockedSocket<'_>, key: u32) {
    // CAST: The same bits: it is a counter that wraps around.
    // SAFETY: The pointer is valid as long as `sock`, and so is one to the counter, which is an
    // `atomic_t`.
    unsafe { Atomic::from_ptr(&raw mut (*sock.as_ptr()).sk_zckey.counter) }
        .store(key as c_int, Relaxed);
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

/// Forgets the errors that wait to be received, and the pending one.
pub(crate) fn forget_errors(socket: &mut Socket) {
    let sock = socket.lock();

    // SAFETY: The pointer is valid as long as `sock`, and so is the queue, which the function locks
    // itself. All that is in there is an error, with the control block of one.
    unsafe { bindings::skb_errqueue_purge(&raw mut (*sock.as_ptr()).sk_error_queue) };
    pending_error(&sock).xchg(0, Relaxed);
}

/// The pending error of a socket.
fn pending_error<'a>(sock: &'a LockedSocket<'_>) -> &'a Atomic<c_int> {
    // SAFETY: The pointer is valid as long as `sock`, and so is one to a field. It is an aligned
    // `int`, which others read, write and exchange without the lock, each at once.
    unsafe { Atomic::from_ptr(&raw mut (*sock.as_ptr()).sk_err) }
}

/// Sets the pending error that is not fatal.
///
/// The last one counts, and nobody is woken: `udp_err()` and its like write it so. It is only what
/// a time-out of TCP returns; UDP keeps and clears it.
pub(crate) fn set_err_soft(sock: &LockedSocket<'_>, errno: u32) {
    // CAST: A small number.
    // SAFETY: The pointer is valid as long as `sock`. The field is read and written without the
    // lock everywhere.
    unsafe { (&raw mut (*sock.as_ptr()).sk_err_soft).write_volatile(errno as c_int) };
}

/// Has the time stamps of datagrams taken, as `sock_gettstamp()` does.
pub(crate) fn enable_timestamp(sock: &LockedSocket<'_>) {
    // SAFETY: The pointer is valid as long as `sock`, which holds its lock.
    unsafe {
        bindings::sock_enable_timestamp(sock.as_ptr(), bindings::sock_flags_SOCK_TIMESTAMP);
    }
}

/// Sets the time stamp of the last datagram, in nanoseconds, as `sock_recv_cmsgs()` does.
pub(crate) fn set_stamp(sock: &LockedSocket<'_>, nanos: i64) {
    // SAFETY: The pointer is valid as long as `sock`, which holds its lock.
    unsafe { bindings::sock_write_timestamp(sock.as_ptr(), nanos) };
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

/// Forgets the route to the peer, which the next send finds anew.
///
/// As after an option that routes go by: `udp_sendmsg()` takes a route that it has for that of the
/// flow in `inet->cork`.
pub(crate) fn forget_route(socket: &mut Socket) {
    let sock = socket.lock();

    // SAFETY: The pointer is valid as long as `sock`. The route is exchanged atomically, and its
    // readers take a reference under RCU.
    unsafe { bindings::sk_dst_reset(sock.as_ptr()) };
}

/// Puts a datagram behind those that wait to be received.
///
/// It is charged to the receive buffer, and there must be room, as for one that arrives: mirrors
/// the end of `udp_queue_rcv_one_skb()`. Fails with `ENOMEM` if the buffer is full, and with
/// `ENOBUFS` if there is no memory. Datagrams are in the order of the calls.
///
/// Others may receive meanwhile, and may have the datagram before this returns.
pub(crate) fn enqueue(sock: &LockedSocket<'_>, datagram: NewDatagram) -> Result {
    let (sk, dropcount) = (sock.as_ptr(), datagram.dropcount());

    if sock.has_user_data() || !sock.udp().is_some_and(UdpSock::is_plain) {
        return Err(EOPNOTSUPP);
    }
    // What a datagram is given when it is put into the queue is 0, or the count of drops. That does
    // not get as far as this meanwhile.
    let not_yet = match sock.drops().wrapping_add(1 << 31) {
        0 => 1,
        count => count,
    };
    let skb = datagram.into_raw()?;
    // SAFETY: `sk` is an ordinary UDP socket, valid as long as `sock`. The skb is ours, with the
    // headers, the checksum state and the control block that readers look at; it has no device and
    // no route, which UDP drops before this. The function wants bottom halves to be off. It takes
    // one of the two references that there are then, unless it fails. (The one that we keep makes a
    // reader take it for one that is being peeked at.)
    let result = to_result(unsafe {
        (*bindings::SOCK_SKB_CB(skb)).dropcount = not_yet;
        bindings::skb_get(skb);
        bindings::local_bh_disable();
        let err = bindings::__udp_enqueue_schedule_skb(sk, skb);
        bindings::local_bh_enable();
        err
    });
    let result = match result {
        // SAFETY: The function has taken the skb, of which we have a reference, and which had this
        // count before. No system call makes the socket another one while it is locked.
        // (`sock_map_update_elem`, by a BPF program that looks for the socket of a packet, takes
        // the spinlock, but does not look whether somebody owns the socket. Who puts one into a
        // sockmap at this moment has its verdict see a datagram that somebody else has, too, as a
        // packet tap might.)
        Ok(()) => unsafe { set_dropcount(sk, skb, not_yet, dropcount) },
        Err(errno) => {
            // SAFETY: The function has failed, so that this reference is ours, too.
            unsafe { consume(skb) };
            Err(errno)
        }
    };
    // SAFETY: The reference is ours, and the skb is not used any more.
    unsafe { consume(skb) };
    result
}

/// Sees what has become of a datagram, and says how many were dropped before it.
///
/// `__udp_enqueue_schedule_skb()` leaves it to another CPU to put it into the queue, if that is
/// about to put others there, and frees what there is no memory for, without a word. It can only be
/// told by its own count of drops.
///
/// # Safety
///
/// `sk` must be an ordinary UDP socket, of which no part of the kernel receives, and must remain
/// one (but for a sockmap that a BPF program puts it into). The function must have taken the skb
/// for this socket, with the count `not_yet`, and the caller must have a reference to the skb.
unsafe fn set_dropcount(
    sk: *mut bindings::sock,
    skb: *mut bindings::sk_buff,
    not_yet: u32,
    dropcount: u32,
) -> Result {
    loop {
        // This is asked first: with no other reference, nobody puts it anywhere any more. That it
        // was put into the queue before the other reference was dropped is seen below, where the
        // lock is taken after that.
        // SAFETY: The caller has a reference to the skb.
        let is_alone = !unsafe { bindings::skb_shared(skb) };

        // SAFETY: The socket is valid, and so is its queue. The skb is valid by the reference of
        // the caller, and so is its control block, wherever it is: on its way, in a queue, with
        // readers, or with nobody. The count there is written with the lock held when the skb is
        // put into the queue, and only read from then on, by `recvmsg(2)`, without the lock. So a
        // reader at this moment gets the one or the other; both are counts that it may be told.
        let is_queued = unsafe {
            let queue = &raw mut (*sk).sk_receive_queue;
            let field = &raw mut (*bindings::SOCK_SKB_CB(skb)).dropcount;

            bindings::spin_lock_bh(&raw mut (*queue).lock);
            let is_queued = field.read_volatile() != not_yet;
            if is_queued {
                field.write_volatile(dropcount);
            }
            bindings::spin_unlock_bh(&raw mut (*queue).lock);
            is_queued
        };
        match (is_queued, is_alone) {
            (true, _) => return Ok(()),
            (false, true) => return Err(ENOBUFS),
            // The other CPU is at it, with its bottom halves off.
            (false, false) => fsleep(PAUSE),
        }
    }
}

/// How long another CPU takes to put a datagram into a queue, about.
const PAUSE: Delta = Delta::from_micros(20);

/// Drops a reference to an skb that has done what it was for.
///
/// # Safety
///
/// The caller must have the reference, and give it away.
unsafe fn consume(skb: *mut bindings::sk_buff) {
    let reason = bindings::skb_drop_reason_SKB_CONSUMED;

    // SAFETY: The caller promises just this.
    unsafe { bindings::sk_skb_reason_drop(core::ptr::null_mut(), skb, reason) };
}

/// Puts an error behind those that wait to be received.
///
/// It is charged to the receive buffer, and there must be room: `sock_queue_err_skb()` does it,
/// which does not touch the pending error (that has an attribute of its own). Fails with `ENOMEM`
/// if the buffer is full.
pub(crate) fn enqueue_error(sock: &LockedSocket<'_>, error: NewError) -> Result {
    // Others may have taken it out already.
    add_error(sock, error).map(|_| ())
}

/// Puts an error into the error queue of a new socket, behind the `place` errors that were put
/// there before, as [`enqueue_error`].
pub(crate) fn enqueue_error_at(
    sock: &LockedNewSocket<'_>,
    error: NewError,
    place: usize,
) -> Result {
    let skb = add_error(sock, error)?;

    // SAFETY: The skb is in the queue of errors: nobody but this code knows the socket who could
    // take it out.
    unsafe { set_place(&raw mut (*sock.as_ptr()).sk_error_queue, skb, place) };
    Ok(())
}

/// Puts an error into the error queue, and returns what was put there.
fn add_error(sock: &LockedSocket<'_>, error: NewError) -> Result<*mut bindings::sk_buff> {
    if !sock.udp().is_some_and(UdpSock::is_plain) {
        return Err(EOPNOTSUPP);
    }
    let skb = error.into_raw()?;
    // SAFETY: The socket is an ordinary UDP socket, valid as long as `sock`. The skb is ours, with
    // all that `ip_recv_error()` looks at.
    match to_result(unsafe { bindings::sock_queue_err_skb(sock.as_ptr(), skb) }) {
        Ok(()) => Ok(skb),
        Err(errno) => {
            // SAFETY: The skb is still ours, as it was not queued.
            unsafe { consume(skb) };
            Err(errno)
        }
    }
}

/// How much memory of a socket it takes to tell of completed `MSG_ZEROCOPY` sends, about
/// (`SKB_TRUESIZE(0)`).
pub(crate) const ZEROCOPY_MEMORY: usize =
    size_of::<bindings::sk_buff>() + size_of::<bindings::skb_shared_info>();

/// Tells of completed `MSG_ZEROCOPY` sends, behind the errors that wait to be received.
///
/// Mirrors `msg_zerocopy_alloc()` and `__msg_zerocopy_callback()`: it is charged as an option.
/// Fails with `ENOSPC` if there is no room for it, or no memory.
pub(crate) fn enqueue_zerocopy(sock: &LockedSocket<'_>, error: &ErrorInfo) -> Result {
    // Others may have taken it out already.
    add_zerocopy(sock, error).map(|_| ())
}

/// Tells of completed `MSG_ZEROCOPY` sends in the error queue of a new socket, behind the `place`
/// errors that were put there before, as [`enqueue_zerocopy`].
pub(crate) fn enqueue_zerocopy_at(
    sock: &LockedNewSocket<'_>,
    error: &ErrorInfo,
    place: usize,
) -> Result {
    let skb = add_zerocopy(sock, error)?;

    // SAFETY: As in `enqueue_error_at`.
    unsafe { set_place(&raw mut (*sock.as_ptr()).sk_error_queue, skb, place) };
    Ok(())
}

/// Tells of completed `MSG_ZEROCOPY` sends in the error queue, and returns what was put there.
fn add_zerocopy(sock: &LockedSocket<'_>, error: &ErrorInfo) -> Result<*mut bindings::sk_buff> {
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
    // SAFETY: The socket is valid, and so is its queue. The second function is called with the lock
    // and without.
    unsafe {
        bindings::skb_queue_tail(&raw mut (*sk).sk_error_queue, skb);
        bindings::sk_error_report(sk);
    }
    Ok(skb)
}

/// Moves what was put at the end of an error queue to its place.
///
/// What was there before it, beyond that place, has arrived meanwhile: a filter keeps datagrams out
/// of a socket, but not what ICMP tells of the ones that were sent from its address. There is
/// little of that, so that the place is looked for from the end.
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
        // SAFETY: The skb is in no queue any more, so that it is ours.
        unsafe { consume(skb) };
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
