// SPDX-License-Identifier: GPL-2.0

//! UDP sockets, `struct udp_sock`.
//!
//! C header: [`include/linux/udp.h`](srctree/include/linux/udp.h)

use crate::{
    bindings,
    prelude::*,
    types::Opaque, //
};

use core::{
    ops::Deref,
    ptr, //
};

use super::{
    field_getters,
    flag_numbers,
    InetSock, //
};

flag_numbers! {
    /// A flag of a UDP socket, `UDP_FLAGS_*`.
    pub struct UdpFlag;

    /// `UDP_CORK`.
    CORK = UDP_FLAGS_CORK;
    /// `UDP_NO_CHECK6_TX`.
    NO_CHECK6_TX = UDP_FLAGS_NO_CHECK6_TX;
    /// `UDP_NO_CHECK6_RX`.
    NO_CHECK6_RX = UDP_FLAGS_NO_CHECK6_RX;
    /// `UDP_GRO`.
    GRO_ENABLED = UDP_FLAGS_GRO_ENABLED;
    /// Lists of fragments are accepted as they are.
    ACCEPT_FRAGLIST = UDP_FLAGS_ACCEPT_FRAGLIST;
}

/// Who in the kernel handles the packets of a UDP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncapHandler {
    /// Nobody: they are for user space.
    None,
    /// XFRM, for ESP in UDP over IPv4.
    Xfrm,
    /// Another part of the kernel, or XFRM over IPv6.
    Other,
}

/// The type of `encap_rcv`.
#[cfg(CONFIG_XFRM)]
type EncapRcv = unsafe extern "C" fn(*mut bindings::sock, *mut bindings::sk_buff) -> c_int;

/// The type of `gro_receive`.
#[cfg(CONFIG_XFRM)]
type GroReceive = unsafe extern "C" fn(
    *mut bindings::sock,
    *mut bindings::list_head,
    *mut bindings::sk_buff,
) -> *mut bindings::sk_buff;

/// The kernel's `struct udp_sock`, a UDP socket of IPv4 or IPv6.
///
/// # Invariants
///
/// `self` is an [`InetSock`], with all that this promises, and a `struct udp_sock`.
#[repr(transparent)]
pub struct UdpSock(Opaque<bindings::udp_sock>);

// SAFETY: As for `Sock`.
unsafe impl Send for UdpSock {}

// SAFETY: As for `Sock`.
unsafe impl Sync for UdpSock {}

impl UdpSock {
    /// Takes an IP socket for a UDP one.
    ///
    /// # Safety
    ///
    /// `inet` must be a `struct udp_sock`.
    #[inline]
    pub(super) unsafe fn from_inet(inet: &InetSock) -> &Self {
        // INVARIANT: The caller promises just this, and the lifetime is the same.
        // SAFETY: The caller promises that this is a `struct udp_sock`, of which
        // `struct inet_sock` is the first member.
        unsafe { &*inet.as_ptr().cast() }
    }

    /// Returns the pointer to the `struct udp_sock`.
    #[inline]
    pub fn as_ptr(&self) -> *mut bindings::udp_sock {
        self.0.get()
    }

    field_getters! {
        /// Returns the kind of encapsulation, 0 if none (`UDP_ENCAP`).
        pub fn encap_type() -> u8 = encap_type;
        /// Returns the size of the datagrams that what is sent gets cut into, 0 if it is not
        /// (`UDP_SEGMENT`).
        pub fn gso_size() -> u16 = gso_size;

        /// Returns `udp_flags`.
        fn udp_flags() -> c_ulong = udp_flags;
        /// Returns `pending`: 0 or the family of the corked datagram.
        pub(in crate::net) fn pending() -> c_int = pending;
    }

    /// Tells whether a flag is set, as `udp_test_bit` does.
    #[inline]
    pub fn udp_flag(&self, flag: UdpFlag) -> bool {
        flag.is_set(self.udp_flags())
    }

    /// Returns who in the kernel takes what arrives for this socket (`encap_rcv`).
    ///
    /// It is called only while [`encap_type`](Self::encap_type) is not 0. But a socket that has one
    /// gets no merged datagrams, either way (`udp_unexpected_gso()`).
    #[inline]
    pub fn encap_rcv(&self) -> EncapHandler {
        // SAFETY: By the type invariants, the pointer is valid for reads of this field. The
        // volatile read corresponds to `READ_ONCE`.
        match unsafe { (&raw const (*self.as_ptr()).encap_rcv).read_volatile() } {
            None => EncapHandler::None,
            #[cfg(CONFIG_XFRM)]
            Some(rcv) if ptr::fn_addr_eq(rcv, bindings::xfrm4_udp_encap_rcv as EncapRcv) => {
                EncapHandler::Xfrm
            }
            Some(_) => EncapHandler::Other,
        }
    }

    /// Returns who in the kernel merges what arrives for this socket (`gro_receive`), whatever
    /// [`encap_type`](Self::encap_type) is.
    #[inline]
    pub fn gro_receive(&self) -> EncapHandler {
        // SAFETY: As in `encap_rcv`.
        match unsafe { (&raw const (*self.as_ptr()).gro_receive).read_volatile() } {
            None => EncapHandler::None,
            #[cfg(CONFIG_XFRM)]
            Some(rcv) if ptr::fn_addr_eq(rcv, bindings::xfrm4_gro_udp_encap_rcv as GroReceive) => {
                EncapHandler::Xfrm
            }
            Some(_) => EncapHandler::Other,
        }
    }

    /// Tells whether some part of the kernel other than XFRM, which user space chooses by
    /// `UDP_ENCAP`, has taken this socket for an encapsulation of its own.
    #[inline]
    pub fn has_foreign_encap(&self) -> bool {
        let up = self.as_ptr();

        self.encap_rcv() == EncapHandler::Other
            || self.gro_receive() == EncapHandler::Other
            // SAFETY: As in `encap_rcv`.
            || unsafe {
                (&raw const (*up).encap_err_rcv).read_volatile().is_some()
                    || (&raw const (*up).encap_err_lookup)
                        .read_volatile()
                        .is_some()
                    || (&raw const (*up).encap_destroy).read_volatile().is_some()
            }
    }

    /// Tells whether the operations are those of an ordinary IPv4 UDP socket.
    ///
    /// A socket in a BPF sockmap has others, and so has one of IPv6.
    #[inline]
    pub fn is_plain(&self) -> bool {
        ptr::eq(self.sk_prot(), &raw const bindings::udp_prot)
    }
}

// Make the methods of `InetSock` available.
impl Deref for UdpSock {
    type Target = InetSock;

    #[inline]
    fn deref(&self) -> &InetSock {
        // SAFETY: By the type invariants, this is an `InetSock`: `struct inet_sock` is the first
        // member of `struct udp_sock`, and the lifetime is the same.
        unsafe { &*self.as_ptr().cast() }
    }
}
