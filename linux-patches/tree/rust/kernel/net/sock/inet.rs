// SPDX-License-Identifier: GPL-2.0

//! IP sockets, `struct inet_sock`.
//!
//! C header: [`include/net/inet_sock.h`](srctree/include/net/inet_sock.h)

use crate::{
    bindings,
    error::to_result,
    prelude::*,
    types::Opaque, //
};

use core::{
    net::Ipv4Addr,
    ops::Deref, //
};

use super::{
    field_getters,
    flag_numbers,
    Sock, //
};

flag_numbers! {
    /// A flag of an IP socket, `INET_FLAGS_*`.
    pub struct InetFlag;

    /// `IP_PKTINFO`.
    PKTINFO = INET_FLAGS_PKTINFO;
    /// `IP_RECVTTL`.
    TTL = INET_FLAGS_TTL;
    /// `IP_RECVTOS`.
    TOS = INET_FLAGS_TOS;
    /// `IP_RECVOPTS`.
    RECVOPTS = INET_FLAGS_RECVOPTS;
    /// `IP_RETOPTS`.
    RETOPTS = INET_FLAGS_RETOPTS;
    /// `IP_PASSSEC`.
    PASSSEC = INET_FLAGS_PASSSEC;
    /// `IP_RECVORIGDSTADDR`.
    ORIGDSTADDR = INET_FLAGS_ORIGDSTADDR;
    /// `IP_CHECKSUM`.
    CHECKSUM = INET_FLAGS_CHECKSUM;
    /// `IP_RECVFRAGSIZE`.
    RECVFRAGSIZE = INET_FLAGS_RECVFRAGSIZE;
    /// `IP_RECVERR`.
    RECVERR = INET_FLAGS_RECVERR;
    /// `IP_RECVERR_RFC4884`.
    RECVERR_RFC4884 = INET_FLAGS_RECVERR_RFC4884;
    /// `IP_FREEBIND`.
    FREEBIND = INET_FLAGS_FREEBIND;
    /// `IP_HDRINCL`.
    HDRINCL = INET_FLAGS_HDRINCL;
    /// `IP_MULTICAST_LOOP`.
    MC_LOOP = INET_FLAGS_MC_LOOP;
    /// `IP_MULTICAST_ALL`.
    MC_ALL = INET_FLAGS_MC_ALL;
    /// `IP_TRANSPARENT`.
    TRANSPARENT = INET_FLAGS_TRANSPARENT;
    /// `IP_NODEFRAG`.
    NODEFRAG = INET_FLAGS_NODEFRAG;
    /// `IP_BIND_ADDRESS_NO_PORT`.
    BIND_ADDRESS_NO_PORT = INET_FLAGS_BIND_ADDRESS_NO_PORT;
    /// `IP_ROUTER_ALERT`.
    RTALERT = INET_FLAGS_RTALERT;
}

/// The kernel's `struct inet_sock`, an IPv4 or IPv6 socket.
///
/// # Invariants
///
/// `self` is a [`Sock`], with all that this promises, and a `struct inet_sock`.
#[repr(transparent)]
pub struct InetSock(Opaque<bindings::inet_sock>);

// SAFETY: As for `Sock`.
unsafe impl Send for InetSock {}

// SAFETY: As for `Sock`.
unsafe impl Sync for InetSock {}

impl InetSock {
    /// Takes a socket for an IP one.
    ///
    /// # Safety
    ///
    /// `sock` must be a `struct inet_sock`.
    #[inline]
    pub(super) unsafe fn from_sock(sock: &Sock) -> &Self {
        // INVARIANT: The caller promises just this, and the lifetime is the same.
        // SAFETY: The caller promises that this is a `struct inet_sock`, of which `struct sock` is
        // the first member.
        unsafe { &*sock.as_ptr().cast() }
    }

    /// Returns the pointer to the `struct inet_sock`.
    #[inline]
    pub fn as_ptr(&self) -> *mut bindings::inet_sock {
        self.0.get()
    }

    field_getters! {
        /// Returns the local port, 0 if none.
        pub fn num() -> u16 = sk.__sk_common.__bindgen_anon_3.__bindgen_anon_1.skc_num;
        /// Returns the type of service (`IP_TOS`).
        pub fn tos() -> u8 = tos;
        /// Returns the time to live of unicast packets, -1 if it is the namespace's (`IP_TTL`).
        pub fn ttl() -> i16 = uc_ttl;
        /// Returns the least time to live of received packets (`IP_MINTTL`).
        pub fn min_ttl() -> u8 = min_ttl;
        /// Returns the time to live of multicast packets (`IP_MULTICAST_TTL`).
        pub fn mc_ttl() -> u8 = mc_ttl;
        /// Returns how path MTU discovery is done (`IP_MTU_DISCOVER`).
        pub fn pmtudisc() -> u8 = pmtudisc;
        /// Returns the index of the device for unicast packets, 0 if any (`IP_UNICAST_IF`).
        pub fn uc_index() -> i32 = uc_index;
        /// Returns the index of the device for multicast packets, 0 if any (`IP_MULTICAST_IF`).
        pub fn mc_index() -> i32 = mc_index;
        /// Returns the range to choose a local port from, 0 if the namespace's: the highest port in
        /// the upper half, the lowest in the lower (`IP_LOCAL_PORT_RANGE`).
        pub fn local_port_range() -> u32 = local_port_range;

        /// Returns `inet_flags`.
        fn inet_flags() -> c_ulong = inet_flags;
        /// Returns `inet_rcv_saddr`, in network order.
        fn be_rcv_saddr() -> u32 = sk.__sk_common.__bindgen_anon_1.__bindgen_anon_1.skc_rcv_saddr;
        /// Returns `inet_daddr`, in network order.
        fn be_daddr() -> u32 = sk.__sk_common.__bindgen_anon_1.__bindgen_anon_1.skc_daddr;
        /// Returns `inet_dport`, in network order.
        fn be_dport() -> u16 = sk.__sk_common.__bindgen_anon_3.__bindgen_anon_1.skc_dport;
        /// Returns `inet_saddr`, in network order.
        fn be_saddr() -> u32 = inet_saddr;
        /// Returns `inet_sport`, in network order.
        fn be_sport() -> u16 = inet_sport;
        /// Returns `mc_addr`, in network order.
        fn be_mc_addr() -> u32 = mc_addr;
    }

    /// Tells whether a flag is set, as `inet_test_bit` does.
    #[inline]
    pub fn inet_flag(&self, flag: InetFlag) -> bool {
        flag.is_set(self.inet_flags())
    }

    /// Returns the local address that is received on, unspecified if any.
    #[inline]
    pub fn rcv_saddr(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::from_be(self.be_rcv_saddr()))
    }

    /// Returns the local address that is sent from, unspecified if the route decides.
    ///
    /// It differs from the one that is received on if that is a multicast or broadcast address.
    #[inline]
    pub fn saddr(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::from_be(self.be_saddr()))
    }

    /// Returns the address of the peer, unspecified if the socket is not connected.
    #[inline]
    pub fn daddr(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::from_be(self.be_daddr()))
    }

    /// Returns the port that is sent from, 0 if none.
    #[inline]
    pub fn sport(&self) -> u16 {
        u16::from_be(self.be_sport())
    }

    /// Returns the port of the peer, 0 if the socket is not connected.
    #[inline]
    pub fn dport(&self) -> u16 {
        u16::from_be(self.be_dport())
    }

    /// Returns the source address of multicast packets (`IP_MULTICAST_IF`).
    #[inline]
    pub fn mc_addr(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::from_be(self.be_mc_addr()))
    }
}

impl InetSock {
    /// Returns the options of packets sent, as they were set (`IP_OPTIONS`).
    pub fn ip_options(&self) -> Result<IpOptions> {
        let mut options = IpOptions::default();
        // CAST: A small number.
        let mut len = options.bytes.len() as c_int;
        // CAST: Small numbers.
        let (level, optname) = (bindings::SOL_IP as c_int, bindings::IP_OPTIONS as c_int);

        // SAFETY: This makes structures of the pointers.
        let (value_ptr, len_ptr) = unsafe {
            (
                bindings::KERNEL_SOCKPTR(options.bytes.as_mut_ptr().cast()),
                bindings::KERNEL_SOCKPTR((&raw mut len).cast()),
            )
        };
        // SAFETY: By the type invariants, the socket is valid, and an IP one. The buffers are as
        // large as `len` says. Of this option, the function takes no lock but RCU.
        to_result(unsafe {
            bindings::do_ip_getsockopt(self.as_ptr().cast(), level, optname, value_ptr, len_ptr)
        })?;

        options.len = usize::try_from(len).map_err(|_| EINVAL)?;
        Ok(options)
    }
}

/// The options of an IP header.
#[derive(Copy, Clone)]
pub struct IpOptions {
    bytes: [u8; IpOptions::MAX],
    len: usize,
}

impl IpOptions {
    /// The most bytes that there can be (`MAX_IPOPTLEN`).
    pub const MAX: usize = bindings::IP_OPTIONS_DATA_FIXED_SIZE as usize;

    /// No options.
    pub const NONE: Self = Self {
        bytes: [0; Self::MAX],
        len: 0,
    };

    /// Takes the options from bytes.
    ///
    /// Returns [`None`] if there are too many. Whether they are options is found out when they are
    /// set.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut options = Self {
            len: bytes.len(),
            ..Self::default()
        };

        options.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(options)
    }

    /// Returns the options as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Default for IpOptions {
    fn default() -> Self {
        Self::NONE
    }
}

impl PartialEq for IpOptions {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for IpOptions {}

// Make the methods of `Sock` available.
impl Deref for InetSock {
    type Target = Sock;

    #[inline]
    fn deref(&self) -> &Sock {
        // SAFETY: By the type invariants, this is a `Sock`: `struct sock` is the first member of
        // `struct inet_sock`.
        unsafe { Sock::from_raw(self.as_ptr().cast()) }
    }
}
