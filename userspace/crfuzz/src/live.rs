// SPDX-License-Identifier: GPL-2.0

//! Names of what is there to be found, so that messages mean it.
//!
//! Descriptors and ports are the same in each run. Inode numbers and cookies are not, so that
//! messages have a place holder until they are sent.

/// The first descriptor of the netlink sockets, of the sockets, and of the pidfds.
pub const FIRST_NETLINK: u32 = 90;
pub const FIRST_SOCKET: u32 = 100;
pub const FIRST_PIDFD: u32 = 160;

/// How many there are of each, at most.
pub const SOCKETS: u32 = 32;
pub const PIDFDS: u32 = 5;

/// The first of the ports that sockets are bound to.
pub const FIRST_PORT: u16 = 7000;

/// The upper half of a place holder.
const MARK: u64 = 0x6372_6675_0000_0000;

/// The place holder for the inode number or the cookie of a socket.
pub fn holder(socket: u32) -> u64 {
    MARK | u64::from(socket)
}

/// The socket that a place holder is for.
pub fn held(value: u64) -> Option<usize> {
    let socket = value ^ MARK;
    (socket < u64::from(SOCKETS)).then(|| usize::try_from(socket).unwrap_or_default())
}
