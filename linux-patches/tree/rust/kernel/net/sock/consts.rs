// SPDX-License-Identifier: GPL-2.0

//! Numbers that go with sockets, in the types that the getters return.
//!
//! Those of options are in [`kernel::uapi`].

use crate::{
    bindings,
    prelude::*, //
};

/// Repeats constants of the C side in another type, if they fit.
macro_rules! constants {
    ($($(#[$meta:meta])* $name:ident: $type:ty = $value:ident;)*) => {$(
        $(#[$meta])*
        pub const $name: $type = {
            // CAST: It is checked to fit.
            let value = bindings::$value as $type;
            build_assert!(value as u32 == bindings::$value);
            value
        };
    )*};
}

constants! {
    /// No address family.
    AF_UNSPEC: u16 = AF_UNSPEC;
    /// The address family of IPv4.
    AF_INET: u16 = AF_INET;
    /// The address family of IPv6.
    AF_INET6: u16 = AF_INET6;

    /// Streams.
    SOCK_STREAM: u16 = sock_type_SOCK_STREAM;
    /// Datagrams.
    SOCK_DGRAM: u16 = sock_type_SOCK_DGRAM;
    /// Raw packets.
    SOCK_RAW: u16 = sock_type_SOCK_RAW;
    /// Packets that come in order, and none of which is lost.
    SOCK_SEQPACKET: u16 = sock_type_SOCK_SEQPACKET;

    /// TCP.
    IPPROTO_TCP: u16 = IPPROTO_TCP;
    /// UDP.
    IPPROTO_UDP: u16 = IPPROTO_UDP;
}
