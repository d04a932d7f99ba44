// SPDX-License-Identifier: GPL-2.0

//! The option table.
//!
//! One row for each option that is carried. The rows drive the dump, the restore, the policy of the
//! restore, and the tests; an option is added by adding a row. What an option with a new shape
//! takes is a variant of [`Shape`], and its arms in `codec.rs`.
//!
//! The options of a level that have an attribute in a nest will be a table like this one, which a
//! row of this table holds; boolean options that share an attribute, one bit each, will be rows
//! with the same attribute and a shape that names the bit.

#![forbid(unsafe_code)]

use crate::{
    attr,
    consts::SOL_SOCKET, //
};

use kernel::{
    net::{
        netlink::Policy,
        sock::{
            Sock,
            SockFlag,
            Timeout, //
        },
    },
    prelude::*,
    uapi, //
};

/// What can be done with an option.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Access {
    /// It is dumped, and what a message says about it is used otherwise.
    Get,
    /// It is dumped and restored.
    Both,
}

/// When an option is restored. The table is sorted by it.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub(crate) enum Phase {
    /// By making the socket.
    Create,
    /// What `bind()` and `connect()` look at, or must hold for the first datagram.
    BeforeBind,
    /// The device that the socket is bound to, which those of the phase before may depend on.
    BoundDevice,
    /// What must not stand in the way of `bind()` and `connect()`.
    AfterConnect,
    /// Sizes of buffers.
    Buffers,
    /// Whether the sizes are the owner's choice, which setting them changes.
    BufferLocks,
    /// What depends on the sizes of buffers, or only on itself.
    Limits,
}

/// One of the two buffers of a socket.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Buffer {
    /// The receive buffer.
    Receive,
    /// The send buffer.
    Send,
}

impl Buffer {
    /// The option that sets its size up to the limit for everybody, and the one without the limit.
    pub(crate) const fn setters(self) -> (c_int, c_int) {
        // CAST: Small numbers.
        match self {
            Buffer::Receive => (uapi::SO_RCVBUF as c_int, uapi::SO_RCVBUFFORCE as c_int),
            Buffer::Send => (uapi::SO_SNDBUF as c_int, uapi::SO_SNDBUFFORCE as c_int),
        }
    }

    /// Why a size is refused to users without privilege.
    pub(crate) const fn limit(self) -> &'static str {
        match self {
            Buffer::Receive => {
                "above 2 * rmem_max needs CAP_NET_ADMIN in the initial user namespace"
            }
            Buffer::Send => "above 2 * wmem_max needs CAP_NET_ADMIN in the initial user namespace",
        }
    }

    /// Its bit of `SO_BUF_LOCK`.
    pub(crate) const fn lock(self) -> u32 {
        match self {
            Buffer::Receive => uapi::SOCK_RCVBUF_LOCK,
            Buffer::Send => uapi::SOCK_SNDBUF_LOCK,
        }
    }
}

/// What an option looks like in the socket, in a message, and to `setsockopt()`.
pub(crate) enum Shape {
    /// A boolean in `sk_flags`.
    Flag(SockFlag),
    /// An integer that the function reads, between these two.
    Int(fn(&Sock) -> u32, u32, u32),
    /// A time in jiffies that the function reads.
    Time(fn(&Sock) -> Timeout),
    /// `struct linger`.
    Linger,
    /// `sk_bound_dev_if`: the name of a device, or the index where it has gone.
    Device,
    /// Which of the four options for time stamps is on.
    Timestamp,
    /// The size of a buffer, exactly.
    Size(Buffer),
    /// Whether the size of a buffer is the owner's choice.
    SizeLock(Buffer),
}

/// An option of a socket.
pub(crate) struct SocketOption {
    /// The attribute that carries it.
    pub(crate) attr: u16,
    /// Its name, for users.
    pub(crate) name: &'static str,
    /// Its level.
    pub(crate) level: c_int,
    /// Its number, which sets it.
    pub(crate) optname: c_int,
    /// What can be done with it.
    pub(crate) access: Access,
    /// When it is restored.
    pub(crate) phase: Phase,
    /// What it looks like.
    pub(crate) shape: Shape,
}

/// The largest value of what the kernel has in an `int`.
const INT_MAX: u32 = c_int::MAX as u32;

/// Makes a row of level `SOL_SOCKET`.
const fn row(
    attr: u32,
    name: &'static str,
    optname: u32,
    access: Access,
    phase: Phase,
    shape: Shape,
) -> SocketOption {
    // CAST: Attributes have 14 bits, and options are small numbers.
    SocketOption {
        attr: attr as u16,
        name,
        level: SOL_SOCKET,
        optname: optname as c_int,
        access,
        phase,
        shape,
    }
}

use Access::*;
use Phase::*;
use Shape::*;

/// All options that are carried, in the order in which they are restored.
#[rustfmt::skip]
pub(crate) static OPTIONS: &[SocketOption] = &[
    row(uapi::AF_INET_CR_ATTR_SOCK_FAMILY, "SO_DOMAIN", uapi::SO_DOMAIN,
        Get, Create, Int(|sock| sock.family().into(), 0, u32::MAX)),
    row(uapi::AF_INET_CR_ATTR_SOCK_TYPE, "SO_TYPE", uapi::SO_TYPE,
        Get, Create, Int(|sock| sock.type_().into(), 0, u32::MAX)),
    row(uapi::AF_INET_CR_ATTR_SOCK_PROTOCOL, "SO_PROTOCOL", uapi::SO_PROTOCOL,
        Get, Create, Int(|sock| sock.protocol().into(), 0, u32::MAX)),

    // Whether an address is in use, and which addresses are allowed.
    row(uapi::AF_INET_CR_ATTR_SOCKOPT_REUSEADDR, "SO_REUSEADDR", uapi::SO_REUSEADDR,
        Both, BeforeBind, Int(|sock| sock.reuse().into(), 0, 2)),
    row(uapi::AF_INET_CR_ATTR_SOCKOPT_BROADCAST, "SO_BROADCAST", uapi::SO_BROADCAST,
        Both, BeforeBind, Flag(SockFlag::BROADCAST)),
    // The first datagram must have a time stamp.
    row(uapi::AF_INET_CR_ATTR_SOCKOPT_TIMESTAMP, "SO_TIMESTAMP", uapi::SO_TIMESTAMP_OLD,
        Both, BeforeBind, Timestamp),

    row(uapi::AF_INET_CR_ATTR_SOCKOPT_BINDTODEVICE, "SO_BINDTODEVICE", uapi::SO_BINDTOIFINDEX,
        Both, BoundDevice, Device),

    row(uapi::AF_INET_CR_ATTR_SOCKOPT_DEBUG, "SO_DEBUG", uapi::SO_DEBUG,
        Both, AfterConnect, Flag(SockFlag::DBG)),
    // It may have been set on a socket that could not have been connected with it.
    row(uapi::AF_INET_CR_ATTR_SOCKOPT_DONTROUTE, "SO_DONTROUTE", uapi::SO_DONTROUTE,
        Both, AfterConnect, Flag(SockFlag::LOCALROUTE)),
    row(uapi::AF_INET_CR_ATTR_SOCKOPT_KEEPALIVE, "SO_KEEPALIVE", uapi::SO_KEEPALIVE,
        Both, AfterConnect, Flag(SockFlag::KEEPOPEN)),
    row(uapi::AF_INET_CR_ATTR_SOCKOPT_OOBINLINE, "SO_OOBINLINE", uapi::SO_OOBINLINE,
        Both, AfterConnect, Flag(SockFlag::URGINLINE)),
    row(uapi::AF_INET_CR_ATTR_SOCKOPT_LINGER, "SO_LINGER", uapi::SO_LINGER,
        Both, AfterConnect, Linger),
    // IP_TOS sets the priority, too: it goes before this.
    row(uapi::AF_INET_CR_ATTR_SOCKOPT_PRIORITY, "SO_PRIORITY", uapi::SO_PRIORITY,
        Both, AfterConnect, Int(Sock::priority, 0, u32::MAX)),

    row(uapi::AF_INET_CR_ATTR_SOCKOPT_SNDBUF, "SO_SNDBUF", uapi::SO_SNDBUF,
        Both, Buffers, Size(Buffer::Send)),
    row(uapi::AF_INET_CR_ATTR_SOCKOPT_RCVBUF, "SO_RCVBUF", uapi::SO_RCVBUF,
        Both, Buffers, Size(Buffer::Receive)),
    row(uapi::AF_INET_CR_ATTR_SOCKOPT_SNDBUF_ULOCK, "SO_BUF_LOCK", uapi::SO_BUF_LOCK,
        Both, BufferLocks, SizeLock(Buffer::Send)),
    row(uapi::AF_INET_CR_ATTR_SOCKOPT_RCVBUF_ULOCK, "SO_BUF_LOCK", uapi::SO_BUF_LOCK,
        Both, BufferLocks, SizeLock(Buffer::Receive)),

    row(uapi::AF_INET_CR_ATTR_SOCKOPT_RCVLOWAT, "SO_RCVLOWAT", uapi::SO_RCVLOWAT,
        Both, Limits, Int(|sock| sock.rcvlowat().unsigned_abs(), 1, INT_MAX)),
    row(uapi::AF_INET_CR_ATTR_SOCKOPT_RCVTIMEO, "SO_RCVTIMEO", uapi::SO_RCVTIMEO_NEW,
        Both, Limits, Time(Sock::rcvtimeo)),
    row(uapi::AF_INET_CR_ATTR_SOCKOPT_SNDTIMEO, "SO_SNDTIMEO", uapi::SO_SNDTIMEO_NEW,
        Both, Limits, Time(Sock::sndtimeo)),
];

/// The number of options.
pub(crate) const COUNT: usize = OPTIONS.len();

/// The policies of what is in `AF_INET_CR_ATTR_SOCKOPT_LINGER`.
pub(crate) static LINGER_POLICY: [Policy; 3] = {
    let mut table = [Policy::rejected(); 3];
    table[attr::linger::ONOFF as usize] = Policy::u32_range(0, 1);
    table[attr::linger::TIME as usize] = Policy::sint();
    table
};

impl SocketOption {
    /// The policy of the attribute.
    ///
    /// It is the one that the YNL specification says. What it cannot say, or what depends on the
    /// kernel, `codec.rs` checks.
    pub(crate) const fn policy(&self) -> Policy {
        match self.shape {
            Flag(_) | SizeLock(_) => Policy::u32_range(0, 1),
            // CAST: The limit was checked.
            Int(_, min, max) if max <= i16::MAX as u32 => Policy::u32_range(min as i16, max as i16),
            Int(..) | Size(_) => Policy::u32(),
            Time(_) => Policy::sint(),
            Linger => Policy::nested(&LINGER_POLICY),
            Device => Policy::nul_string(15),
            Timestamp => Policy::u32_range(
                0,
                uapi::af_inet_cr_timestamp_AF_INET_CR_TIMESTAMP_NS_NEW as i16,
            ),
        }
    }
}

#[cfg(CONFIG_AF_INET_CR_KUNIT_TEST)]
#[kernel::macros::kunit_tests(af_inet_cr_options)]
mod tests {
    use super::*;

    /// The attributes of the RFC that are no options: identity, and the state.
    const NO_OPTIONS: [u16; 3] = [attr::INODE, attr::SOCK_STATE, attr::SOCK_FD];

    /// `SO_PASSCRED`, which no socket of IP has. The number stays unused.
    const PASSCRED: u16 = uapi::AF_INET_CR_ATTR_SOCKOPT_PASSCRED as u16;

    #[test]
    fn the_rfc_is_carried() {
        for number in 1..=attr::SOCKOPT_RCVBUF_ULOCK {
            let rows = OPTIONS.iter().filter(|row| row.attr == number).count();
            let named = NO_OPTIONS.contains(&number) || number == PASSCRED;

            assert_eq!(rows, usize::from(!named));
        }
    }

    #[test]
    fn the_numbers_are_those_of_the_rfc() {
        assert_eq!(attr::INODE, 1);
        assert_eq!(attr::SOCK_STATE, 2);
        assert_eq!(attr::SOCK_TYPE, 3);
        assert_eq!(attr::SOCK_FD, 4);
        assert_eq!(attr::SOCKOPT_BINDTODEVICE, 5);
        assert_eq!(PASSCRED, 12);
        assert_eq!(attr::SOCKOPT_RCVBUF_ULOCK, 22);
        assert_eq!(attr::PIDFD, 23);
        assert_eq!(attr::COOKIE, 24);
    }

    #[test]
    fn each_attribute_has_one_row() {
        for (index, row) in OPTIONS.iter().enumerate() {
            assert!(!OPTIONS
                .iter()
                .take(index)
                .any(|other| other.attr == row.attr));
        }
    }

    #[test]
    fn each_option_has_one_row() {
        for (index, row) in OPTIONS.iter().enumerate() {
            // Two bits of one option.
            let bit = matches!(row.shape, SizeLock(_));

            assert!(
                bit || !OPTIONS
                    .iter()
                    .take(index)
                    .any(|other| (other.level, other.optname) == (row.level, row.optname))
            );
        }
    }

    #[test]
    fn rows_are_in_the_order_of_restore() {
        assert!(OPTIONS.is_sorted_by(|a, b| a.phase <= b.phase));
    }

    #[test]
    fn what_makes_the_socket_is_not_set() {
        for row in OPTIONS {
            assert!((row.phase == Create) == (row.access == Get));
        }
    }

    #[test]
    fn each_buffer_has_its_own_bit() {
        assert_eq!(Buffer::Send.lock() & Buffer::Receive.lock(), 0);
        assert!(Buffer::Send.setters() != Buffer::Receive.setters());
    }
}
