// SPDX-License-Identifier: GPL-2.0
//! The loopback device, which a new network namespace has switched off.

use rustix::{
    io,
    net::{
        AddressFamily,
        RecvFlags,
        SendFlags,
        SocketFlags,
        SocketType,
        connect,
        netlink::SocketAddrNetlink,
        recv,
        send,
        socket_with, //
    },
};

const RTM_NEWLINK: u16 = 16;
const REQUEST_AND_ACK: u16 = 1 | 4;
const IFF_UP: u32 = 1;

/// The first device of each namespace.
const LOOPBACK: u32 = 1;

/// Switches it on.
pub fn up() -> io::Result<()> {
    // Protocol 0 is NETLINK_ROUTE.
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?;
    connect(&socket, &SocketAddrNetlink::new(0, 0))?;
    let mut message = Vec::new();
    // struct nlmsghdr: length, type, flags, sequence, port.
    message.extend(32_u32.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(REQUEST_AND_ACK.to_ne_bytes());
    message.extend([0; 8]);
    // struct ifinfomsg: family, padding, device type; index, flags, and which of them change.
    message.extend([0; 4]);
    for word in [LOOPBACK, IFF_UP, IFF_UP] {
        message.extend(word.to_ne_bytes());
    }
    send(&socket, &message, SendFlags::empty())?;
    let mut answer = [0; 64];
    let (length, _) = recv(&socket, &mut answer, RecvFlags::empty())?;
    // struct nlmsgerr: the header again, then the error.
    let error = answer
        .get(16..20)
        .filter(|_| length >= 20)
        .and_then(|bytes| bytes.try_into().ok());
    match error.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(error) => Err(io::Errno::from_raw_os_error(error.saturating_neg())),
        None => Err(io::Errno::BADMSG),
    }
}
