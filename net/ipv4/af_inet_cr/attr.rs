// SPDX-License-Identifier: GPL-2.0

//! The numbers of the interface.
//!
//! They come from the YNL specification by way of the generated header
//! [`include/uapi/linux/af_inet_cr.h`](srctree/include/uapi/linux/af_inet_cr.h); here they only get
//! the type that attributes have.

#![forbid(unsafe_code)]

use kernel::{
    macros::paste,
    uapi, //
};

/// Declares constants of the type `u16` with the values of the same constants in [`uapi`].
macro_rules! attributes {
    ($prefix:ident: $($name:ident),* $(,)?) => {
        $(paste! {
            // CAST: The type of an attribute has 14 bits, and the generator counts up from 1.
            #[doc = concat!("`", stringify!([<$prefix $name>]), "`")]
            pub(crate) const $name: u16 = uapi::[<$prefix $name>] as u16;
        })*
    };
}

attributes! {
    AF_INET_CR_ATTR_:
    INODE,
    SOCK_STATE,
    SOCK_TYPE,
    SOCK_FD,
    SOCKOPT_BINDTODEVICE,
    SOCKOPT_REUSEADDR,
    SOCKOPT_FILTER,
    SOCKOPT_FLAGS,
    PIDFD,
    COOKIE,
    SOCK_FAMILY,
    SOCK_PROTOCOL,
    LOCAL_ADDR,
    LOCAL_PORT,
    PEER_ADDR,
    PEER_PORT,
    SOURCE_ADDR,
    BIND_LOCKS,
    BOUND_IFINDEX,
    FILE_FLAGS,
    UID,
    OWNER,
    CGROUP,
    REUSEPORT_INDEX,
    REUSEPORT_FILTER,
    IP,
    UDP,
    MEMBERSHIP,
    DATAGRAM,
    PAYLOAD,
    CORK,
    LOST,
    ALLOW_LOST,
    TRANSACTION,
    REPORT,
    MAP,
    QUEUE_LEN,
    FILTER_INODE,
    ERROR_QUEUE_LEN,
    CORK_LEN,
}

/// Declares a module with the numbers inside of a nest.
macro_rules! nest {
    ($(#[$meta:meta])* $module:ident $prefix:ident: $($name:ident),* $(,)?) => {
        $(#[$meta])*
        pub(crate) mod $module {
            use super::{
                paste,
                uapi, //
            };

            attributes! { $prefix: $($name),* }
        }
    };
}

nest! {
    /// The numbers inside `AF_INET_CR_ATTR_SOCKOPT_LINGER`.
    linger AF_INET_CR_A_LINGER_: ONOFF, TIME
}

nest! {
    /// The numbers inside `AF_INET_CR_ATTR_SOCKOPT_TIMESTAMPING`.
    timestamping AF_INET_CR_A_TIMESTAMPING_: FLAGS, BIND_PHC, NEW
}

nest! {
    /// The numbers inside `AF_INET_CR_ATTR_SOCKOPT_TXTIME`.
    txtime AF_INET_CR_A_TXTIME_: CLOCKID, FLAGS
}

nest! {
    /// The numbers inside `AF_INET_CR_ATTR_IP` that are not those of a row of the option table.
    ip AF_INET_CR_A_IP_: MULTICAST_ADDR, FLAGS
}

nest! {
    /// The number inside `AF_INET_CR_ATTR_UDP` that is that of many rows.
    udp AF_INET_CR_A_UDP_: FLAGS
}

nest! {
    /// The numbers inside `AF_INET_CR_ATTR_MEMBERSHIP`.
    membership AF_INET_CR_A_MEMBERSHIP_: GROUP, IFNAME, ADDRESS, EXCLUDE, SOURCE
}

nest! {
    /// The numbers inside `AF_INET_CR_ATTR_DATAGRAM`.
    datagram AF_INET_CR_A_DATAGRAM_: LEN, SOURCE_ADDR, SOURCE_PORT, DEST_ADDR, DEST_PORT,
    PKTINFO_ADDR, PKTINFO_IFNAME, PKTINFO_IFINDEX, TSTAMP, HWTSTAMP, TTL, TOS, OPTIONS,
    FRAG_MAX_SIZE, GSO_SIZE, MARK, PRIORITY, DROPCOUNT, CSUM, PEEKED, ERROR_ORIGIN, ERROR_ERRNO,
    ERROR_TYPE, ERROR_CODE, ERROR_INFO, ERROR_DATA, ERROR_RFC4884_LEN, ERROR_RFC4884_FLAGS,
    ERROR_ADDR, ERROR_PORT
}

nest! {
    /// The numbers inside `AF_INET_CR_ATTR_OWNER`.
    owner AF_INET_CR_A_OWNER_: TYPE, ID, SIGNUM
}

nest! {
    /// The numbers inside `AF_INET_CR_ATTR_REPORT`.
    report AF_INET_CR_A_REPORT_: ATTR, ERRNO, MSG, NEST, INDEX, BIT
}

nest! {
    /// The numbers inside `AF_INET_CR_ATTR_MAP`.
    map AF_INET_CR_A_MAP_: DEVICE, TO_DEVICE, ADDR, TO_ADDR
}

nest! {
    /// The numbers inside `AF_INET_CR_ATTR_CORK`.
    cork AF_INET_CR_A_CORK_: LEN, DEST_ADDR, DEST_PORT, SOURCE_ADDR, TTL, TOS, MARK, PRIORITY,
    OPTIONS, GSO_SIZE, TXTIME, TIMESTAMPING, TSKEY, CONFIRM, IFNAME, GATEWAY, FRAGSIZE
}
