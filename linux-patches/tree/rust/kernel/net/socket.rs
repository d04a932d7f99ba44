// SPDX-License-Identifier: GPL-2.0

//! Sockets as processes see them: `struct socket`, and the file that goes with it.
//!
//! Four types tell who else knows a socket, and what may be done with it accordingly:
//!
//! - [`SocketFile`] is a socket that some process has open. The reference to the file keeps it from
//!   being closed. One may look at it, [lock](SocketFile::try_lock) it to do so consistently, and
//!   set options as that process could.
//! - [`Socket`] is a new one that nobody else knows. One may do to it what a process does by system
//!   calls, with the same checks, and then make it an open file.
//! - [`LockedSocket`] is either of them for as long as its lock is held.
//! - [`LockedNewSocket`] is one for which it is known that it is new: what is put into one of its
//!   queues stays there.
//!
//! The fields are the business of [`Sock`].
//!
//! # Examples
//!
//! ```
//! use core::net::{
//!     Ipv4Addr,
//!     SocketAddrV4, //
//! };
//! use kernel::net::{
//!     socket::{
//!         consts::*,
//!         Socket,
//!         SocketFile, //
//!     },
//!     Net, //
//! };
//!
//! let socket = Socket::create(
//!     Net::init_net(),
//!     AF_INET.into(),
//!     SOCK_DGRAM.into(),
//!     IPPROTO_UDP.into(),
//! )?;
//! socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0).into())?;
//!
//! // From here on others may know it. (A process would get the file, see
//! // `FileDescriptorReservation`.)
//! let file = SocketFile::from_file(socket.into_file(0)?)?;
//! let locked = file.try_lock()?;
//! assert!(locked.udp().is_some());
//! assert_eq!(file.try_lock().err(), Some(EBUSY));
//! # Ok::<(), Error>(())
//! ```
//!
//! C headers: [`include/linux/net.h`](srctree/include/linux/net.h) and
//! [`include/net/sock.h`](srctree/include/net/sock.h)

mod address;
mod bound;
mod cork;
mod datagram;
mod errqueue;
mod file;
mod filter;
mod find;
mod lock;
mod message;
mod multicast;
mod option;
mod owned;
mod owner;
mod process;
mod user;

pub use self::{
    bound::{
        BoundFilter,
        BoundPlace,
        BoundSockets, //
    },
    cork::Cork,
    datagram::{
        Datagram,
        DatagramInfo,
        Datagrams,
        NewDatagram, //
    },
    errqueue::{
        ErrorInfo,
        ErrorOrigin,
        NewError,
        QueuedError,
        QueuedErrors, //
    },
    file::{
        is_pidfd,
        SocketFile, //
    },
    filter::FilterInsn,
    lock::LockedSocket,
    message::ControlData,
    multicast::{
        Membership,
        Memberships, //
    },
    owned::{
        LockedNewSocket,
        Socket, //
    },
    owner::{
        NewOwner,
        Owner,
        OwnerId,
        OwnerType, //
    },
    process::ProcessSockets, //
};

#[doc(inline)]
pub use super::sock::{
    consts,
    InetFlag,
    InetSock,
    IpOptions,
    Sock,
    SockFlag,
    Timeout,
    UdpFlag,
    UdpSock, //
};

#[cfg(CONFIG_RUST_SOCKET_KUNIT_TEST)]
mod tests;
