// SPDX-License-Identifier: GPL-2.0

//! Sockets as the network layer sees them: `struct sock`.
//!
//! The types here read fields, nothing more: whoever has a reference to a [`Sock`] may look at it,
//! even after the socket's file is closed. What goes through the socket's operations needs the
//! open file; see [`SocketFile`] and [`Socket`].
//!
//! Each getter reads its field once. Most of the fields are written with the socket lock held, and
//! only a [`LockedSocket`] reads several of them as of one moment. Some are written without it,
//! `sk_priority` and the timeouts for instance; those may change between two reads even then.
//!
//! C header: [`include/net/sock.h`](srctree/include/net/sock.h)
//!
//! [`LockedSocket`]: super::socket::LockedSocket
//! [`Socket`]: super::socket::Socket
//! [`SocketFile`]: super::socket::SocketFile

use crate::{
    bindings,
    prelude::*,
    sync::aref::AlwaysRefCounted,
    types::Opaque, //
};

use core::{
    mem::offset_of,
    ptr::{
        self,
        NonNull, //
    },
};

use super::Net;

pub mod consts;
mod inet;
mod timeout;
mod udp;

pub use self::{
    inet::{
        InetFlag,
        InetSock,
        IpOptions, //
    },
    timeout::Timeout,
    udp::{
        EncapHandler,
        UdpFlag,
        UdpSock, //
    },
};

// bindgen does not understand all of C, and then fields are not where the bindings say. So compare
// with what the C compiler says: the sizes, and a field near the end of each structure.
static_assert!(size_of::<bindings::sock>() == bindings::SIZEOF_SOCK);
static_assert!(size_of::<bindings::inet_sock>() == bindings::SIZEOF_INET_SOCK);
static_assert!(size_of::<bindings::udp_sock>() == bindings::SIZEOF_UDP_SOCK);
static_assert!(offset_of!(bindings::sock, sk_ino) == bindings::OFFSETOF_SOCK_INO);
static_assert!(offset_of!(bindings::inet_sock, mc_list) == bindings::OFFSETOF_INET_MC_LIST);
static_assert!(offset_of!(bindings::udp_sock, reader_queue) == bindings::OFFSETOF_UDP_READER_QUEUE);

/// Makes getters, each of which reads one field by `READ_ONCE`.
///
/// For the methods of a type whose `as_ptr()` points to the C structure of the field, and whose
/// invariants say that the structure is valid as long as `self` is.
macro_rules! field_getters {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident() -> $type:ty = $($field:tt).+;)*) => {$(
        $(#[$meta])*
        #[inline]
        $vis fn $name(&self) -> $type {
            // SAFETY: By the type invariants, the pointer is valid for reads of this field as long
            // as `self` exists. Nothing but integers and pointers are read, for which every value
            // is valid. The field may change meanwhile, thus the volatile read: it is what
            // `READ_ONCE` does. Its counterpart, `atomic_load`, has no fields of 8 and 16 bits
            // without a sign, of which there are many here.
            unsafe { (&raw const (*self.as_ptr()).$($field).+).read_volatile() }
        }
    )*};
}

/// Makes getters, each of which tells whether a pointer field is set, by `READ_ONCE`.
///
/// The conditions are those of [`field_getters!`].
macro_rules! pointer_getters {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident() = $($field:tt).+;)*) => {$(
        $(#[$meta])*
        #[inline]
        $vis fn $name(&self) -> bool {
            // SAFETY: By the type invariants, the pointer is valid for reads of this field as long
            // as `self` exists. What the field points to is not looked at. The volatile read
            // corresponds to `rcu_access_pointer`.
            !unsafe { (&raw const (*self.as_ptr()).$($field).+).read_volatile() }.is_null()
        }
    )*};
}

/// Makes a type for the numbers of flags that are kept in one `unsigned long`.
macro_rules! flag_numbers {
    (
        $(#[$meta:meta])* $vis:vis struct $name:ident;
        $($(#[$flag_meta:meta])* $flag:ident = $number:ident;)*
    ) => {
        $(#[$meta])*
        #[derive(Copy, Clone, PartialEq, Eq)]
        $vis struct $name(u32);

        impl $name {
            $(
                $(#[$flag_meta])*
                pub const $flag: Self = {
                    let number = $crate::bindings::$number;
                    build_assert!(number < $crate::ffi::c_ulong::BITS);
                    Self(number)
                };
            )*

            /// Tells whether the flag is set in `flags`, as `test_bit` does.
            #[inline]
            fn is_set(self, flags: $crate::ffi::c_ulong) -> bool {
                flags & (1 << self.0) != 0
            }
        }
    };
}

use {
    field_getters,
    flag_numbers, //
};

flag_numbers! {
    /// A flag of a socket, `enum sock_flags`.
    pub struct SockFlag;

    /// The socket is closed, it has no file any more.
    DEAD = sock_flags_SOCK_DEAD;
    /// `SO_OOBINLINE`.
    URGINLINE = sock_flags_SOCK_URGINLINE;
    /// `SO_KEEPALIVE`.
    KEEPOPEN = sock_flags_SOCK_KEEPOPEN;
    /// `SO_LINGER` is on.
    LINGER = sock_flags_SOCK_LINGER;
    /// `SO_BROADCAST`.
    BROADCAST = sock_flags_SOCK_BROADCAST;
    /// Receive time stamps are wanted, for `SIOCGSTAMP` or another reason.
    TIMESTAMP = sock_flags_SOCK_TIMESTAMP;
    /// `SO_DEBUG`.
    DBG = sock_flags_SOCK_DBG;
    /// One of `SO_TIMESTAMP` and `SO_TIMESTAMPNS` is on.
    RCVTSTAMP = sock_flags_SOCK_RCVTSTAMP;
    /// The time stamps are in nanoseconds, `SO_TIMESTAMPNS`.
    RCVTSTAMPNS = sock_flags_SOCK_RCVTSTAMPNS;
    /// `SO_DONTROUTE`.
    LOCALROUTE = sock_flags_SOCK_LOCALROUTE;
    /// The socket may use the memory reserves.
    MEMALLOC = sock_flags_SOCK_MEMALLOC;
    /// `SO_RXQ_OVFL`.
    RXQ_OVFL = sock_flags_SOCK_RXQ_OVFL;
    /// `SO_ZEROCOPY`.
    ZEROCOPY = sock_flags_SOCK_ZEROCOPY;
    /// `SO_WIFI_STATUS`.
    WIFI_STATUS = sock_flags_SOCK_WIFI_STATUS;
    /// `SO_NOFCS`.
    NOFCS = sock_flags_SOCK_NOFCS;
    /// `SO_LOCK_FILTER`.
    FILTER_LOCKED = sock_flags_SOCK_FILTER_LOCKED;
    /// `SO_SELECT_ERR_QUEUE`.
    SELECT_ERR_QUEUE = sock_flags_SOCK_SELECT_ERR_QUEUE;
    /// `SO_TXTIME`.
    TXTIME = sock_flags_SOCK_TXTIME;
    /// The time stamps are those of the `_NEW` options.
    TSTAMP_NEW = sock_flags_SOCK_TSTAMP_NEW;
    /// `SO_RCVMARK`.
    RCVMARK = sock_flags_SOCK_RCVMARK;
    /// `SO_RCVPRIORITY`.
    RCVPRIORITY = sock_flags_SOCK_RCVPRIORITY;
}

/// The kernel's `struct sock`.
///
/// # Invariants
///
/// `self` is a full socket, not a request or a time-wait socket, whose reference count `sk_refcnt`
/// is positive as long as the reference exists.
#[repr(transparent)]
pub struct Sock(Opaque<bindings::sock>);

// SAFETY: A socket may be released by any task.
unsafe impl Send for Sock {}

// SAFETY: The methods of `Sock` read single fields of integer or pointer type, as other CPUs do
// without a lock, or call functions that are made to be called in parallel.
unsafe impl Sync for Sock {}

// SAFETY: By the type invariants, a `Sock` is a full socket. Each of these has a reference count,
// and `sock_put` frees it only when the count gets to zero.
unsafe impl AlwaysRefCounted for Sock {
    #[inline]
    fn inc_ref(&self) {
        // SAFETY: The existence of a shared reference means that the reference count is positive.
        unsafe { bindings::sock_hold(self.as_ptr()) };
    }

    #[inline]
    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller gives us a reference, so that we may drop it. The cast is fine because
        // of `repr(transparent)`.
        unsafe { bindings::sock_put(obj.cast().as_ptr()) };
    }
}

impl Sock {
    /// Makes a reference out of a pointer to a `struct sock`.
    ///
    /// # Safety
    ///
    /// `sk` must point to a full socket, whose reference count stays positive for the lifetime
    /// `'a`.
    #[inline]
    pub unsafe fn from_raw<'a>(sk: *mut bindings::sock) -> &'a Self {
        // INVARIANT: The caller promises just this.
        // SAFETY: The caller promises that the pointer is valid for `'a`. The cast is fine because
        // of `repr(transparent)`.
        unsafe { &*sk.cast() }
    }

    /// Returns the pointer to the `struct sock`.
    #[inline]
    pub fn as_ptr(&self) -> *mut bindings::sock {
        self.0.get()
    }

    field_getters! {
        /// Returns the address family, `AF_INET` for instance (`SO_DOMAIN`).
        pub fn family() -> u16 = __sk_common.skc_family;
        /// Returns the state, `TCP_CLOSE` or `TCP_ESTABLISHED` for instance, which are the states
        /// of UDP sockets as well.
        pub fn state() -> u8 = __sk_common.skc_state;
        /// Returns the type, `SOCK_DGRAM` for instance (`SO_TYPE`).
        pub fn type_() -> u16 = sk_type;
        /// Returns the protocol, `IPPROTO_UDP` for instance (`SO_PROTOCOL`).
        pub fn protocol() -> u16 = sk_protocol;
        /// Returns which directions are shut down, as bits: `RCV_SHUTDOWN` and `SEND_SHUTDOWN`.
        pub fn shutdown() -> u8 = sk_shutdown;
        /// Returns what the user has set explicitly: `SOCK_RCVBUF_LOCK`, `SOCK_BINDPORT_LOCK` and
        /// others.
        pub fn userlocks() -> u8 = sk_userlocks;
        /// Returns the priority of packets sent (`SO_PRIORITY`).
        pub fn priority() -> u32 = sk_priority;
        /// Returns the mark of packets sent (`SO_MARK`).
        pub fn mark() -> u32 = sk_mark;
        /// Returns how much must have been received to wake up a reader (`SO_RCVLOWAT`).
        pub fn rcvlowat() -> i32 = sk_rcvlowat;
        /// Returns the size of the receive buffer, as is (`SO_RCVBUF`).
        pub fn rcvbuf() -> i32 = sk_rcvbuf;
        /// Returns the size of the send buffer, as is (`SO_SNDBUF`).
        pub fn sndbuf() -> i32 = sk_sndbuf;
        /// Returns where `MSG_PEEK` starts to read, negative if this is not used (`SO_PEEK_OFF`).
        pub fn peek_off() -> i32 = sk_peek_off;
        /// Returns the flags of `SO_TIMESTAMPING`.
        pub fn tsflags() -> u32 = sk_tsflags;
        /// Returns the clock that `SO_TIMESTAMPING` is bound to.
        pub fn bind_phc() -> i32 = sk_bind_phc;
        /// Returns the pending error, positive, or 0. Reading does not clear it, unlike `SO_ERROR`.
        pub fn err() -> i32 = sk_err;
        /// Returns the pending error that is not fatal, positive, or 0. Reading does not clear it.
        pub fn err_soft() -> i32 = sk_err_soft;
        /// Returns the CPU whose packets the socket prefers, or which it last received on
        /// (`SO_INCOMING_CPU`).
        pub fn incoming_cpu() -> i32 = __sk_common.__bindgen_anon_7.skc_incoming_cpu;
        /// Returns the highest rate to send at, in bytes per second (`SO_MAX_PACING_RATE`).
        /// All bits set is no limit.
        pub fn max_pacing_rate() -> usize = sk_max_pacing_rate;
        /// Returns the rate to send at, in bytes per second. All bits set is no limit.
        ///
        /// `SO_MAX_PACING_RATE` lowers it and does not raise it again.
        pub fn pacing_rate() -> usize = sk_pacing_rate;
        /// Returns the clock of `SO_TXTIME`, which means something if [`SockFlag::TXTIME`] is set.
        pub fn clockid() -> u8 = sk_clockid;
        /// Returns the inode number, as in `/proc/net/udp` and sock_diag, 0 if the socket is
        /// closed.
        ///
        /// The number is not unique: it is 32 bits wide, and other files share the counter. The
        /// [cookie](Self::cookie) is unique.
        pub fn ino() -> u64 = sk_ino;

        /// Returns the user that the socket belongs to, by its number in the kernel.
        pub(super) fn sk_uid() -> bindings::uid_t = sk_uid.val;
        /// Returns `sk_tskey`.
        fn sk_tskey() -> c_int = sk_tskey.counter;
        /// Returns `sk_zckey`.
        fn sk_zckey() -> c_int = sk_zckey.counter;
        /// Returns how much memory is charged to the socket beside what is sent and received.
        pub(super) fn sk_omem_alloc() -> c_int = sk_omem_alloc.counter;
        /// Returns `sk_flags`.
        fn sk_flags() -> c_ulong = __sk_common.__bindgen_anon_5.skc_flags;
        /// Returns `sk_bound_dev_if`, which is not negative.
        fn sk_bound_dev_if() -> c_int = __sk_common.skc_bound_dev_if;
        /// Returns `sk_rcvtimeo`.
        fn sk_rcvtimeo() -> c_long = sk_rcvtimeo;
        /// Returns `sk_sndtimeo`.
        fn sk_sndtimeo() -> c_long = sk_sndtimeo;
        /// Returns `sk_lingertime`.
        fn sk_lingertime() -> c_ulong = sk_lingertime;
        /// Returns `sk_prot`.
        fn sk_prot() -> *mut bindings::proto = __sk_common.skc_prot;
    }

    #[cfg(CONFIG_NET_RX_BUSY_POLL)]
    field_getters! {
        /// Returns how long to poll the device, in microseconds (`SO_BUSY_POLL`).
        pub fn busy_poll_usec() -> u32 = sk_ll_usec;
        /// Returns how many packets to poll for at once (`SO_BUSY_POLL_BUDGET`).
        pub fn busy_poll_budget() -> u16 = sk_busy_poll_budget;
        /// Returns `sk_prefer_busy_poll`.
        fn sk_prefer_busy_poll() -> u8 = sk_prefer_busy_poll;
    }

    pointer_getters! {
        /// Tells whether some part of the kernel uses the socket for itself: a tunnel, a BPF map.
        pub fn has_user_data() = sk_user_data;
    }

    #[cfg(CONFIG_BPF_SYSCALL)]
    pointer_getters! {
        /// Tells whether BPF programs keep data with the socket.
        pub fn has_bpf_storage() = sk_bpf_storage;
    }

    /// Tells whether there is something in the write queue: a corked datagram, if the socket is a
    /// UDP one.
    #[inline]
    pub fn has_write_queue(&self) -> bool {
        // SAFETY: By the type invariants, the pointer is valid, so that pointing to a field is in
        // bounds.
        let queue = unsafe { &raw const (*self.as_ptr()).sk_write_queue };
        // SAFETY: By the type invariants, the queue is valid, and initialized because the socket
        // is. The volatile read is the one of `skb_queue_empty_lockless`.
        let next =
            unsafe { (&raw const (*queue).__bindgen_anon_1.__bindgen_anon_1.next).read_volatile() };

        !ptr::eq(next.cast_const().cast(), queue)
    }

    /// Tells whether a flag is set, as `sock_flag` does.
    #[inline]
    pub fn flag(&self, flag: SockFlag) -> bool {
        flag.is_set(self.sk_flags())
    }

    /// Tells whether the socket is closed.
    ///
    /// For a UDP socket the answer is final if it is no, and the socket is locked, see
    /// `udp_destroy_sock`. Other protocols close without the lock.
    #[inline]
    pub fn is_dead(&self) -> bool {
        self.flag(SockFlag::DEAD)
    }

    /// Tells whether this is a socket of the kernel itself, of a tunnel for instance.
    #[inline]
    pub fn is_kernel(&self) -> bool {
        // SAFETY: By the type invariants, the pointer is valid. The bit is set before the socket
        // is known to anybody, and never again.
        unsafe { bindings::sock::sk_kern_sock_raw(self.as_ptr()) != 0 }
    }

    /// Returns whether the address may be used again, 0, 1 or 2 (`SO_REUSEADDR`).
    #[inline]
    pub fn reuse(&self) -> u8 {
        // SAFETY: By the type invariants, the pointer is valid. The byte that has the bits is read
        // without the lock by the C code as well (`SO_REUSEADDR` in `sk_getsockopt`).
        unsafe { bindings::sock_common::skc_reuse_raw(&raw const (*self.as_ptr()).__sk_common) }
    }

    /// Tells whether the port may be shared (`SO_REUSEPORT`).
    #[inline]
    pub fn reuseport(&self) -> bool {
        // SAFETY: By the type invariants, the pointer is valid. The byte that has the bit is read
        // without the lock by the C code as well (`SO_REUSEPORT` in `sk_getsockopt`).
        unsafe {
            bindings::sock_common::skc_reuseport_raw(&raw const (*self.as_ptr()).__sk_common) != 0
        }
    }

    /// Tells whether packets are sent without a checksum (`SO_NO_CHECK`).
    #[inline]
    pub fn no_check_tx(&self) -> bool {
        // SAFETY: By the type invariants, the pointer is valid. The byte that has the bit is read
        // without the lock by the C code as well (`SO_NO_CHECK` in `sk_getsockopt`).
        unsafe { bindings::sock::sk_no_check_tx_raw(self.as_ptr()) != 0 }
    }

    /// Tells whether the checksum of received packets is not looked at. No option sets this.
    #[inline]
    pub fn no_check_rx(&self) -> bool {
        // SAFETY: As in `no_check_tx`.
        unsafe { bindings::sock::sk_no_check_rx_raw(self.as_ptr()) != 0 }
    }

    /// Returns the number of the next time stamp that is asked for
    /// (`SOF_TIMESTAMPING_OPT_ID`).
    #[inline]
    pub fn tskey(&self) -> u32 {
        // CAST: The same bits: it is a counter that wraps around.
        self.sk_tskey() as u32
    }

    /// Returns the number of the next `MSG_ZEROCOPY` send.
    #[inline]
    pub fn zckey(&self) -> u32 {
        // CAST: The same bits: it is a counter that wraps around.
        self.sk_zckey() as u32
    }

    /// Returns the flags of `SO_TXTIME`, `SOF_TXTIME_*`, which mean something if
    /// [`SockFlag::TXTIME`] is set.
    #[inline]
    pub fn txtime_flags(&self) -> u32 {
        let sk = self.as_ptr();
        // SAFETY: By the type invariants, the pointer is valid. The byte that has the bits is read
        // without the lock by the C code as well (`SO_TXTIME` in `sk_getsockopt`).
        let (deadline, report) = unsafe {
            (
                bindings::sock::sk_txtime_deadline_mode_raw(sk) != 0,
                bindings::sock::sk_txtime_report_errors_raw(sk) != 0,
            )
        };
        let flag = |on, flag| if on { flag } else { 0 };

        flag(deadline, bindings::txtime_flags_SOF_TXTIME_DEADLINE_MODE)
            | flag(report, bindings::txtime_flags_SOF_TXTIME_REPORT_ERRORS)
    }

    /// Returns the index of the device that the socket is bound to, 0 if none (`SO_BINDTODEVICE`).
    #[inline]
    pub fn bound_dev_if(&self) -> u32 {
        // CAST: It is not negative.
        self.sk_bound_dev_if() as u32
    }

    /// Returns how long to wait for something to receive (`SO_RCVTIMEO_NEW`).
    #[inline]
    pub fn rcvtimeo(&self) -> Timeout {
        Timeout::from_jiffies(self.sk_rcvtimeo())
    }

    /// Returns how long to wait for space to send (`SO_SNDTIMEO_NEW`).
    #[inline]
    pub fn sndtimeo(&self) -> Timeout {
        Timeout::from_jiffies(self.sk_sndtimeo())
    }

    /// Returns how long `close` may wait, which it does if [`SockFlag::LINGER`] is set
    /// (`SO_LINGER`).
    #[inline]
    pub fn lingertime(&self) -> Timeout {
        // What does not fit is more than the infinite, `MAX_SCHEDULE_TIMEOUT`.
        Timeout::from_jiffies(c_long::try_from(self.sk_lingertime()).unwrap_or(c_long::MAX))
    }

    /// Returns the time stamp of the packet received last, in nanoseconds (`SIOCGSTAMP`). It is
    /// minus one second if there was no packet yet, and 0 if it had no time stamp.
    #[inline]
    pub fn stamp(&self) -> i64 {
        // SAFETY: By the type invariants, the pointer is valid.
        unsafe { bindings::sock_read_timestamp(self.as_ptr()) }
    }

    /// Returns how many packets were dropped.
    #[inline]
    pub fn drops(&self) -> u32 {
        // CAST: The same bits: it is a counter that wraps around.
        // SAFETY: By the type invariants, the pointer is valid.
        unsafe { bindings::sk_drops_read(self.as_ptr()) as u32 }
    }

    /// Returns the socket's unique number, which it gets when first asked (`SO_COOKIE`).
    #[inline]
    pub fn cookie(&self) -> u64 {
        // SAFETY: By the type invariants, the pointer is valid.
        unsafe { bindings::sock_gen_cookie(self.as_ptr()) }
    }

    /// Returns the identifier of the control group that the socket belongs to, if sockets have one
    /// (`CONFIG_SOCK_CGROUP_DATA`): that of its maker as of then, which may be removed by now.
    #[inline]
    pub fn cgroup_id(&self) -> Option<u64> {
        // SAFETY: By the type invariants, the pointer is valid. A socket has a reference to its
        // control group from when it is made until it is freed.
        match unsafe { bindings::sk_cgroup_id(self.as_ptr()) } {
            0 => None,
            id => Some(id),
        }
    }

    /// Tells whether the socket is one of `net`.
    #[inline]
    pub fn is_in_net(&self, net: &Net) -> bool {
        // SAFETY: By the type invariants, the pointer is valid.
        ptr::eq(unsafe { bindings::sock_net(self.as_ptr()) }, net.as_ptr())
    }

    /// Returns the network namespace.
    ///
    /// A socket of the kernel may outlive its namespace, so there is none for those.
    #[inline]
    pub fn net(&self) -> Option<&Net> {
        // SAFETY: By the type invariants, the pointer is valid. The bit is changed only from 0 to
        // 1, with a reference (`sk_net_refcnt_upgrade`).
        let counted = unsafe {
            bindings::sock_common::skc_net_refcnt_raw(&raw const (*self.as_ptr()).__sk_common) != 0
        };
        if !counted {
            return None;
        }

        // SAFETY: By the type invariants, the pointer is valid, and a socket has a namespace.
        let net = unsafe { bindings::sock_net(self.as_ptr()) };
        // SAFETY: A socket with `sk_net_refcnt` has a reference to its namespace, which it drops
        // when its own reference count is zero (`__sk_destruct`).
        Some(unsafe { Net::from_raw(net) })
    }

    /// Tells whether it has an IPsec policy of its own (`IP_XFRM_POLICY`).
    #[cfg(CONFIG_XFRM)]
    #[inline]
    pub fn has_xfrm_policy(&self) -> bool {
        // SAFETY: By the type invariants, the pointer is valid for reads of the two pointers, which
        // are not followed. The volatile read corresponds to `rcu_access_pointer`.
        let policies = unsafe { (&raw const (*self.as_ptr()).sk_policy).read_volatile() };
        policies.iter().any(|policy| !policy.is_null())
    }

    /// Tells whether it has an IPsec policy of its own (`IP_XFRM_POLICY`).
    #[cfg(not(CONFIG_XFRM))]
    #[inline]
    pub fn has_xfrm_policy(&self) -> bool {
        false
    }

    /// Tells whether BPF programs keep data with the socket.
    #[cfg(not(CONFIG_BPF_SYSCALL))]
    #[inline]
    pub fn has_bpf_storage(&self) -> bool {
        false
    }

    /// Returns how long to poll the device, in microseconds (`SO_BUSY_POLL`).
    #[cfg(not(CONFIG_NET_RX_BUSY_POLL))]
    #[inline]
    pub fn busy_poll_usec(&self) -> u32 {
        0
    }

    /// Returns how many packets to poll for at once (`SO_BUSY_POLL_BUDGET`).
    #[cfg(not(CONFIG_NET_RX_BUSY_POLL))]
    #[inline]
    pub fn busy_poll_budget(&self) -> u16 {
        0
    }

    /// Tells whether to poll rather than to wait for interrupts (`SO_PREFER_BUSY_POLL`).
    #[inline]
    pub fn prefer_busy_poll(&self) -> bool {
        #[cfg(CONFIG_NET_RX_BUSY_POLL)]
        return self.sk_prefer_busy_poll() != 0;

        #[cfg(not(CONFIG_NET_RX_BUSY_POLL))]
        false
    }

    /// Returns the socket as an IP one, if it is that: IPv4 or IPv6.
    #[inline]
    pub fn inet(&self) -> Option<&InetSock> {
        if !matches!(self.family(), consts::AF_INET | consts::AF_INET6) {
            return None;
        }

        // SAFETY: A socket of one of these families is a `struct inet_sock`, see `sk_is_inet`.
        // `IPV6_ADDRFORM` changes the one family into the other.
        Some(unsafe { InetSock::from_sock(self) })
    }

    /// Tells whether this is a TCP socket, as `sk_is_tcp` does.
    #[inline]
    pub fn is_tcp(&self) -> bool {
        self.inet().is_some()
            && self.type_() == consts::SOCK_STREAM
            && self.protocol() == consts::IPPROTO_TCP
    }

    /// Returns the socket as a UDP one, if it is that.
    #[inline]
    pub fn udp(&self) -> Option<&UdpSock> {
        let inet = self.inet()?;
        if self.type_() != consts::SOCK_DGRAM || self.protocol() != consts::IPPROTO_UDP {
            return None;
        }

        // SAFETY: An IP socket of this type and protocol is a `struct udp_sock`, see `sk_is_udp`.
        Some(unsafe { UdpSock::from_inet(inet) })
    }
}

impl PartialEq for Sock {
    /// Tells whether the two are the same socket.
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self, other)
    }
}

impl Eq for Sock {}
