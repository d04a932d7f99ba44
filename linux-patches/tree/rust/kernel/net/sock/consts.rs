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

    /// The protocol that goes with the type, when a socket is made.
    IPPROTO_IP: u16 = IPPROTO_IP;
    /// ICMP.
    IPPROTO_ICMP: u16 = IPPROTO_ICMP;
    /// TCP.
    IPPROTO_TCP: u16 = IPPROTO_TCP;
    /// UDP.
    IPPROTO_UDP: u16 = IPPROTO_UDP;

    /// The state of a connected socket, also of a UDP one.
    TCP_ESTABLISHED: u8 = TCP_ESTABLISHED;
    /// The state of a socket that is not connected, also of a UDP one.
    TCP_CLOSE: u8 = TCP_CLOSE;

    /// Nothing more is received.
    RCV_SHUTDOWN: u8 = RCV_SHUTDOWN;
    /// Nothing more is sent.
    SEND_SHUTDOWN: u8 = SEND_SHUTDOWN;

    /// The user has set the size of the send buffer.
    SOCK_SNDBUF_LOCK: u8 = SOCK_SNDBUF_LOCK;
    /// The user has set the size of the receive buffer.
    SOCK_RCVBUF_LOCK: u8 = SOCK_RCVBUF_LOCK;
    /// The user has chosen the local address.
    SOCK_BINDADDR_LOCK: u8 = SOCK_BINDADDR_LOCK;
    /// The user has chosen the local port.
    SOCK_BINDPORT_LOCK: u8 = SOCK_BINDPORT_LOCK;
}
