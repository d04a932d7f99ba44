// SPDX-License-Identifier: GPL-2.0

//! Numbers of the socket interface, with the type that `setsockopt()` takes.

#![forbid(unsafe_code)]

use kernel::{
    net::sock::consts,
    prelude::*,
    uapi, //
};

pub(crate) use crate::internals::{
    SHUT_RD,
    SHUT_RDWR,
    SHUT_WR, //
};

/// Declares constants of the type [`c_int`] with the values of the same constants in [`uapi`] or
/// [`consts`].
macro_rules! numbers {
    ($from:ident: $($name:ident),* $(,)?) => {
        $(
            // CAST: A small number.
            #[doc = concat!("`", stringify!($name), "`")]
            pub(crate) const $name: c_int = $from::$name as c_int;
        )*
    };
}

numbers! { consts:
    AF_INET,
    AF_INET6,
    SOCK_DGRAM,
    SOCK_RAW,
    SOCK_SEQPACKET,
    SOCK_STREAM,
}

/// The level of the options of sockets of all kinds.
pub(crate) const SOL_SOCKET: c_int = uapi::SOL_SOCKET as c_int;

/// The level of the options of IPv4.
pub(crate) const SOL_IP: c_int = uapi::IPPROTO_IP as c_int;

/// The level of the options of UDP.
pub(crate) const SOL_UDP: c_int = uapi::IPPROTO_UDP as c_int;

numbers! { uapi:
    IPPROTO_ICMP,
    IPPROTO_MPTCP,
    IPPROTO_TCP,
    IPPROTO_UDP,
}

// Of SOL_SOCKET.
numbers! { uapi:
    SO_ATTACH_FILTER,
    SO_ATTACH_REUSEPORT_CBPF,
    SO_BINDTOIFINDEX,
    SO_BROADCAST,
    SO_BUF_LOCK,
    SO_MARK,
    SO_PRIORITY,
    SO_TIMESTAMPING_NEW,
    SO_TIMESTAMPING_OLD,
    SO_TIMESTAMPNS_NEW,
    SO_TIMESTAMPNS_OLD,
    SO_TIMESTAMP_NEW,
    SO_TIMESTAMP_OLD,
    SO_TXTIME,
    SO_TYPE,
}

// Of SOL_IP.
numbers! { uapi:
    IP_ADD_MEMBERSHIP,
    IP_DROP_MEMBERSHIP,
    IP_BIND_ADDRESS_NO_PORT,
    IP_PKTINFO,
    IP_RETOPTS,
    IP_TOS,
    IP_TTL,
    MCAST_MSFILTER,
}

// Of SOL_UDP.
numbers! { uapi:
    UDP_CORK,
    UDP_SEGMENT,
}
