// SPDX-License-Identifier: GPL-2.0

//! Addresses in the form that the C side takes.

use crate::{
    bindings,
    prelude::*, //
};

use core::{
    mem::size_of,
    net::SocketAddr, //
};

use super::consts;

/// A socket address in the form that the C side takes.
///
/// # Invariants
///
/// The first `len` bytes of `storage` are a `struct sockaddr` of some family.
pub(super) struct RawAddress {
    storage: bindings::__kernel_sockaddr_storage,
    len: c_int,
}

impl RawAddress {
    /// Returns the address of no family, which undoes a connection.
    pub(super) fn unspecified() -> Self {
        Self::new(bindings::sockaddr {
            sa_family: consts::AF_UNSPEC,
            ..pin_init::zeroed()
        })
    }

    /// Copies an address.
    ///
    /// `T` is one of the address structures.
    fn new<T: Copy>(address: T) -> Self {
        build_assert!(size_of::<T>() <= size_of::<bindings::__kernel_sockaddr_storage>());
        build_assert!(align_of::<T>() <= align_of::<bindings::__kernel_sockaddr_storage>());

        let mut storage: bindings::__kernel_sockaddr_storage = pin_init::zeroed();
        // SAFETY: The storage is large enough and aligned, as was just checked, and it is ours.
        unsafe { (&raw mut storage).cast::<T>().write(address) };

        // INVARIANT: The caller says that `T` is an address structure.
        // CAST: The structures have some tens of bytes.
        Self {
            storage,
            len: size_of::<T>() as c_int,
        }
    }

    /// Returns the pointer to the address.
    ///
    /// The C side may change what it points to, as cgroup-BPF programs do.
    pub(super) fn as_mut_ptr(&mut self) -> *mut bindings::__kernel_sockaddr_storage {
        &raw mut self.storage
    }

    /// Returns the number of bytes that count.
    pub(super) fn len(&self) -> c_int {
        self.len
    }
}

impl From<&SocketAddr> for RawAddress {
    fn from(address: &SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => Self::new(bindings::sockaddr_in {
                sin_family: consts::AF_INET,
                sin_port: v4.port().to_be(),
                sin_addr: bindings::in_addr {
                    s_addr: v4.ip().to_bits().to_be(),
                },
                ..pin_init::zeroed()
            }),
            SocketAddr::V6(v6) => Self::new(bindings::sockaddr_in6 {
                sin6_family: consts::AF_INET6,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo().to_be(),
                sin6_addr: bindings::in6_addr {
                    in6_u: bindings::in6_addr__bindgen_ty_1 {
                        u6_addr8: v6.ip().octets(),
                    },
                },
                sin6_scope_id: v6.scope_id(),
            }),
        }
    }
}
