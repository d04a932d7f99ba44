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
    SOCKOPT_RCVBUF_ULOCK,
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
}

/// The numbers inside `AF_INET_CR_ATTR_SOCKOPT_LINGER`.
pub(crate) mod linger {
    use super::{
        paste,
        uapi, //
    };

    attributes! {
        AF_INET_CR_A_LINGER_:
        ONOFF,
        TIME,
    }
}
