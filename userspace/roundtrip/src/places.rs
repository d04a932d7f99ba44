// SPDX-License-Identifier: GPL-2.0

//! Where a socket can be: the address cases, one row each.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use crate::sys::socket;

/// An address case.
pub struct Place {
    pub name: &'static str,
    /// Takes a new socket there.
    pub go: fn(&UdpSocket) -> io::Result<()>,
}

/// A port for tests; each test has a network namespace to itself.
pub const PORT: u16 = 7000;
/// Port of whoever the socket talks to.
pub const PEER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7001);
/// A group that the socket is bound to without being a member.
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 9, 8, 7);
/// A broadcast address of the loopback device.
pub const BROADCAST: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 255);
/// Another local address.
pub const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);

const fn any(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)
}

const fn local(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

/// `shutdown(2)`, which also works on a socket that is not connected, and says
/// that it does not.
pub fn shut(socket: &UdpSocket, how: i32) -> io::Result<()> {
    match socket::shutdown(socket, how) {
        Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => Ok(()),
        other => other,
    }
}

macro_rules! places {
    ($($name:ident = $go:expr;)*) => {
        &[$(Place { name: stringify!($name), go: $go },)*]
    };
}

pub const PLACES: &[Place] = places! {
    unbound = |_| Ok(());
    autobound_by_send = |s| s.send_to(b"x", PEER).map(drop);
    autobound_by_connect = |s| socket::connect(s, PEER);
    any_port = |s| socket::bind(s, any(PORT));
    any_zero = |s| socket::bind(s, any(0));
    addr_port = |s| socket::bind(s, local(PORT));
    addr_zero = |s| socket::bind(s, local(0));
    other_addr = |s| socket::bind(s, SocketAddrV4::new(OTHER, PORT));
    privileged_port = |s| socket::bind(s, local(53));
    highest_port = |s| socket::bind(s, local(u16::MAX));
    broadcast = |s| socket::bind(s, SocketAddrV4::new(BROADCAST, PORT));
    all_ones = |s| socket::bind(s, SocketAddrV4::new(Ipv4Addr::BROADCAST, PORT));
    multicast = |s| socket::bind(s, SocketAddrV4::new(GROUP, PORT));
    // An address, but no port yet.
    addr_without_port = |s| {
        const IP_BIND_ADDRESS_NO_PORT: i32 = 24;
        socket::set_int(s, libc::SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1)?;
        socket::bind(s, local(0))?;
        socket::set_int(s, libc::SOL_IP, IP_BIND_ADDRESS_NO_PORT, 0)
    };
    // The address stays, because bind chose it, the port goes.
    addr_after_disconnect = |s| {
        socket::bind(s, local(0))?;
        socket::connect(s, PEER)?;
        socket::disconnect(s)
    };
    // It goes, too, if a second bind(2) fails, but not that it was chosen.
    addr_taken_back = |s| {
        const IP_BIND_ADDRESS_NO_PORT: i32 = 24;
        let other = socket::udp()?;
        socket::bind(&other, local(PORT))?;
        socket::set_int(s, libc::SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1)?;
        socket::bind(s, local(0))?;
        socket::set_int(s, libc::SOL_IP, IP_BIND_ADDRESS_NO_PORT, 0)?;
        match socket::bind(s, local(PORT)) {
            Err(error) if error.raw_os_error() == Some(libc::EADDRINUSE) => Ok(()),
            Err(error) => Err(error),
            Ok(()) => Err(io::Error::other("two sockets have one port")),
        }
    };
    connected_any_port = |s| {
        socket::bind(s, any(PORT))?;
        socket::connect(s, PEER)
    };
    connected_any_zero = |s| {
        socket::bind(s, any(0))?;
        socket::connect(s, PEER)
    };
    connected_addr_port = |s| {
        socket::bind(s, local(PORT))?;
        socket::connect(s, PEER)
    };
    connected_addr_zero = |s| {
        socket::bind(s, local(0))?;
        socket::connect(s, PEER)
    };
    connected_other_addr = |s| {
        socket::bind(s, SocketAddrV4::new(OTHER, PORT))?;
        socket::connect(s, PEER)
    };
    connected_to_itself = |s| {
        socket::bind(s, local(PORT))?;
        socket::connect(s, local(PORT))
    };
    connected_to_any = |s| socket::connect(s, any(7001));
    // Which getpeername does not show.
    connected_to_port_zero = |s| socket::connect(s, local(0));
    connected_to_broadcast = |s| {
        socket::set_int(s, libc::SOL_SOCKET, libc::SO_BROADCAST, 1)?;
        socket::connect(s, SocketAddrV4::new(BROADCAST, 7001))
    };
    // The permission was given back: connect must come before that.
    connected_to_broadcast_no_more = |s| {
        socket::set_int(s, libc::SOL_SOCKET, libc::SO_BROADCAST, 1)?;
        socket::connect(s, SocketAddrV4::new(BROADCAST, 7001))?;
        socket::set_int(s, libc::SOL_SOCKET, libc::SO_BROADCAST, 0)
    };
    // The device has no address that reaches as far as a group: the socket is connected without one.
    connected_without_address = |s| {
        socket::set(s, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, b"lo")?;
        socket::connect(s, SocketAddrV4::new(GROUP, PEER.port()))
    };
    // Sends from another address than the one it is bound to.
    multicast_connected = |s| {
        socket::bind(s, SocketAddrV4::new(GROUP, PORT))?;
        socket::connect(s, PEER)
    };
    // And goes on to do so.
    multicast_disconnected = |s| {
        socket::bind(s, SocketAddrV4::new(GROUP, PORT))?;
        socket::connect(s, PEER)?;
        socket::disconnect(s)
    };
    broadcast_connected = |s| {
        socket::bind(s, SocketAddrV4::new(BROADCAST, PORT))?;
        socket::connect(s, PEER)
    };
    broadcast_disconnected = |s| {
        socket::bind(s, SocketAddrV4::new(BROADCAST, PORT))?;
        socket::connect(s, SocketAddrV4::new(OTHER, 7002))?;
        socket::disconnect(s)
    };
    all_ones_disconnected = |s| {
        socket::bind(s, SocketAddrV4::new(Ipv4Addr::BROADCAST, PORT))?;
        socket::connect(s, PEER)?;
        socket::disconnect(s)
    };
    reconnected = |s| {
        socket::connect(s, SocketAddrV4::new(OTHER, 7002))?;
        socket::connect(s, PEER)
    };
    autobound_disconnected = |s| {
        socket::connect(s, PEER)?;
        socket::disconnect(s)
    };
    any_port_disconnected = |s| {
        socket::bind(s, any(PORT))?;
        socket::connect(s, PEER)?;
        socket::disconnect(s)
    };
    addr_port_disconnected = |s| {
        socket::bind(s, local(PORT))?;
        socket::connect(s, PEER)?;
        socket::disconnect(s)
    };
    shut_rcv = |s| shut(s, libc::SHUT_RD);
    shut_send = |s| shut(s, libc::SHUT_WR);
    shut_both = |s| shut(s, libc::SHUT_RDWR);
    addr_port_shut_both = |s| {
        socket::bind(s, local(PORT))?;
        shut(s, libc::SHUT_RDWR)
    };
    connected_shut_rcv = |s| {
        socket::connect(s, PEER)?;
        socket::shutdown(s, libc::SHUT_RD)
    };
    connected_shut_send = |s| {
        socket::bind(s, local(PORT))?;
        socket::connect(s, PEER)?;
        socket::shutdown(s, libc::SHUT_WR)
    };
    connected_shut_both = |s| {
        socket::connect(s, PEER)?;
        socket::shutdown(s, libc::SHUT_RDWR)
    };
    // Which does not open it again.
    shut_and_disconnected = |s| {
        socket::connect(s, PEER)?;
        socket::shutdown(s, libc::SHUT_RDWR)?;
        socket::disconnect(s)
    };
};

/// The place of that name.
pub fn place(name: &str) -> Option<&'static Place> {
    PLACES.iter().find(|place| place.name == name)
}
