// SPDX-License-Identifier: GPL-2.0

//! The addresses of a socket, and how it came by them.

#![forbid(unsafe_code)]

use crate::{
    attr,
    consts::{
        IP_BIND_ADDRESS_NO_PORT,
        SOL_IP,
        SOL_SOCKET,
        SO_BINDTOIFINDEX,
        SO_BROADCAST, //
    },
    filter::Filter,
    internals,
    live::Live,
    map::Destination,
    refusal::Refusal, //
};

use kernel::{
    net::{
        netlink::{
            AttrWriter,
            Attribute,
            Request, //
        },
        sock::{
            Sock,
            SockFlag, //
        },
        socket::Socket, //
    },
    prelude::*,
    uapi, //
};

use core::net::{
    IpAddr,
    Ipv4Addr,
    SocketAddr, //
};

/// `TCP_ESTABLISHED`: the socket is connected.
pub(crate) const ESTABLISHED: u32 = uapi::af_inet_cr_sock_state_AF_INET_CR_SOCK_STATE_ESTABLISHED;

/// `TCP_CLOSE`: the socket is not connected.
pub(crate) const CLOSE: u32 = uapi::af_inet_cr_sock_state_AF_INET_CR_SOCK_STATE_CLOSE;

/// The address was chosen by `bind()`.
const LOCK_ADDR: u32 = uapi::af_inet_cr_bind_lock_AF_INET_CR_BIND_LOCK_ADDR;

/// The port was chosen by `bind()`.
const LOCK_PORT: u32 = uapi::af_inet_cr_bind_lock_AF_INET_CR_BIND_LOCK_PORT;

/// All of the above.
pub(crate) const LOCKS: u32 = LOCK_ADDR | LOCK_PORT;

/// Whether a socket has a port, to which somebody can send.
pub(crate) fn has_port(sock: &Sock) -> bool {
    sock.inet().is_some_and(|inet| inet.num() != 0)
}

/// The addresses of a socket, its state, and what of them was chosen by its owner.
///
/// What is [`None`] is not there. [`restore`](Self::restore) makes a socket that has exactly these.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Addresses {
    /// The local address (`inet_rcv_saddr`), unless it is the wildcard.
    local_addr: Option<IpAddr>,
    /// The local port (`inet_num`).
    local_port: Option<u16>,
    /// The peer (`inet_daddr` and `inet_dport`), if the socket is connected.
    peer: Option<SocketAddr>,
    /// The source address (`inet_saddr`), if it is another one than the local address.
    ///
    /// A socket that is bound to a multicast or broadcast address gets one when it is connected,
    /// and keeps it when it is disconnected.
    source: Option<IpAddr>,
    /// Which of local address and port a disconnect keeps (`sk_userlocks`), or [`None`] for "not
    /// saved".
    locks: Option<u32>,
}

impl Addresses {
    /// Reads the addresses of a socket, whose lock the caller holds.
    pub(crate) fn read(sock: &Sock) -> Result<Addresses, Refusal> {
        let inet = sock.inet().ok_or(EOPNOTSUPP)?;
        let connected = match u32::from(sock.state()) {
            ESTABLISHED => true,
            CLOSE => false,
            _ => return Err(Refusal::new(EOPNOTSUPP, "the state is not carried yet")),
        };
        let (local, source, port) = (inet.rcv_saddr(), inet.saddr(), inet.num());

        if inet.sport() != port {
            return Err(Refusal::new(
                EOPNOTSUPP,
                "the socket sends from another port than its own",
            ));
        }

        Ok(Addresses {
            local_addr: specified(local.into()),
            local_port: (port != 0).then_some(port),
            peer: connected.then(|| SocketAddr::new(inet.daddr().into(), inet.dport())),
            source: specified(source.into()).filter(|_| source != local),
            locks: Some(internals::bind_locks(sock)),
        })
    }

    /// Reads the addresses in a message.
    pub(crate) fn parse(
        request: &Request<'_>,
        there: &Destination<'_>,
        state: u32,
    ) -> Result<Addresses, Refusal> {
        let port = |ty| -> Result<_, Refusal> {
            Ok(request.attr(ty).map(|attr| attr.as_be16()).transpose()?)
        };
        let addr = |ty| request.attr(ty).map(|attr| there.addr(&attr)).transpose();

        let addresses = Addresses {
            local_addr: addr(attr::LOCAL_ADDR)?.and_then(specified),
            local_port: port(attr::LOCAL_PORT)?.filter(|port| *port != 0),
            peer: match (addr(attr::PEER_ADDR)?, port(attr::PEER_PORT)?) {
                (Some(addr), Some(port)) => Some(SocketAddr::new(addr, port)),
                (None, None) => None,
                (None, Some(_)) => {
                    return Err(Refusal::missing(attr::PEER_ADDR, "no address of the peer"))
                }
                (Some(_), None) => {
                    return Err(Refusal::missing(attr::PEER_PORT, "no port of the peer"))
                }
            },
            source: addr(attr::SOURCE_ADDR)?,
            locks: parse_locks(request)?,
        };
        addresses.check(state)?;
        Ok(addresses)
    }

    /// Whether the socket is connected, or was once, which takes connecting the new one.
    pub(crate) fn is_connected(&self) -> bool {
        self.peer.is_some() || self.source.is_some()
    }

    /// Whether the socket has a port, so that datagrams find it.
    pub(crate) fn can_be_sent_to(&self) -> bool {
        self.local_port.is_some()
    }

    /// Refuses addresses that no socket in `state` can have.
    fn check(&self, state: u32) -> Result<(), Refusal> {
        let locks = self.locks.unwrap_or(0);

        if state == ESTABLISHED {
            if self.peer.is_none() {
                return Err(Refusal::missing(
                    attr::PEER_ADDR,
                    "connected, without a peer",
                ));
            }
            // It may be without a local address: the device may have none, or none for groups.
            if self.local_port.is_none() {
                return Err(Refusal::missing(
                    attr::LOCAL_PORT,
                    "connected, without a local port",
                ));
            }
        } else if self.peer.is_some() {
            return Err(Refusal::new(EINVAL, "a peer, but not connected").at(attr::PEER_ADDR));
        } else if self.local_addr.is_some() && self.locks.is_some_and(|it| it & LOCK_ADDR == 0) {
            // A disconnect would have taken it.
            return Err(Refusal::new(EINVAL, "an address that nobody chose").at(attr::BIND_LOCKS));
        }
        if self.local_addr.is_none() && self.source.is_some() {
            return Err(
                Refusal::new(EINVAL, "a source address without a local one").at(attr::SOURCE_ADDR)
            );
        }
        // An address may be locked that is not there: `bind()` takes back the address when it
        // cannot get the port, but not the lock.
        if locks & LOCK_PORT != 0 && self.local_port.is_none() {
            return Err(Refusal::new(EINVAL, "no port to lock").at(attr::BIND_LOCKS));
        }
        Ok(())
    }

    /// Writes the addresses into a message.
    pub(crate) fn put(&self, msg: &AttrWriter) -> Result {
        if let Some(addr) = self.local_addr {
            put_addr(msg, attr::LOCAL_ADDR, addr)?;
        }
        if let Some(port) = self.local_port {
            msg.put_be16(attr::LOCAL_PORT, port)?;
        }
        if let Some(peer) = self.peer {
            put_addr(msg, attr::PEER_ADDR, peer.ip())?;
            msg.put_be16(attr::PEER_PORT, peer.port())?;
        }
        if let Some(addr) = self.source {
            put_addr(msg, attr::SOURCE_ADDR, addr)?;
        }
        if let Some(locks) = self.locks {
            msg.put_u32(attr::BIND_LOCKS, locks)?;
        }
        Ok(())
    }

    /// Gives a new socket these addresses.
    ///
    /// `bind()` and `connect()` do it, with all that they check. Only the locks are written by
    /// hand: what was bound by the kernel must be named to `bind()` here, which takes it for the
    /// owner's choice.
    ///
    /// Everybody can send to the socket once it is bound, so that the filter comes before that. If
    /// the socket is to stay `closed`, another filter is in its place that keeps everything out.
    pub(crate) fn restore(
        &self,
        socket: &mut Socket,
        filter: &Filter,
        closed: bool,
    ) -> Result<(), Refusal> {
        // Nothing of a stranger may get in between `bind()` and `connect()`, nor while the socket
        // is bound to no device.
        if closed || self.is_connected() {
            socket.reject_all()?;
        } else {
            filter.restore(socket)?;
        }

        let addr = self.local_addr.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let result = match (self.local_addr, self.local_port) {
            (None, None) => Ok(()),
            (_, Some(port)) => socket.bind(&SocketAddr::new(addr, port)),
            // An address without a port is what is left after a disconnect from a port that the
            // kernel chose.
            (Some(_), None) => bind_no_port(socket, addr),
        };
        result.map_err(|errno| {
            let (reason, attr) = match errno {
                EADDRNOTAVAIL => (
                    "the local address is not one of this place",
                    attr::LOCAL_ADDR,
                ),
                EADDRINUSE => ("another socket has the local port", attr::LOCAL_PORT),
                EACCES => (
                    "may not bind there: CAP_NET_BIND_SERVICE for low ports, or a security module",
                    attr::LOCAL_PORT,
                ),
                _ => (
                    "cannot bind to the local address and port",
                    attr::LOCAL_PORT,
                ),
            };
            Refusal::new(errno, reason).at(attr)
        })?;

        match (self.peer, self.source) {
            (Some(peer), source) => {
                connect_from(source, socket, &peer)
                    .map_err(|errno| Refusal::new(errno, "cannot connect").at(attr::PEER_ADDR))?;
            }
            (None, Some(source)) => adopt_source(socket, source).map_err(|errno| {
                Refusal::new(errno, "cannot send from the source address").at(attr::SOURCE_ADDR)
            })?,
            (None, None) => {}
        }
        if self.is_connected() {
            socket.settle();
            // What ICMP has told of what others have sent from the address: no filter keeps it out.
            internals::forget_errors(socket);
            if !closed {
                filter.replace(socket)?;
            }
        }
        if let Some(locks) = self.locks {
            internals::set_bind_locks(&socket.lock(), locks);
        }
        Ok(())
    }

    /// Refuses a socket that has not got these addresses.
    ///
    /// A program of the cgroup may have changed what was bound or connected to, and the source
    /// address may not be one of this place.
    pub(crate) fn verify(&self, sock: &Sock) -> Result<(), Refusal> {
        match self.difference(&Addresses::read(sock)?) {
            None => Ok(()),
            Some((name, attr)) => Err(Refusal::new(EADDRNOTAVAIL, "became another one")
                .about(name)
                .at(attr)),
        }
    }

    /// Refuses a socket that is not in this state with these addresses, but for the locks.
    pub(crate) fn expect(&self, state: u32, sock: &Sock) -> Result<(), Refusal> {
        let difference = match u32::from(sock.state()) == state {
            true => self.difference(&Addresses::read(sock)?),
            false => Some(("the state", attr::SOCK_STATE)),
        };
        match difference {
            None => Ok(()),
            Some((name, attr)) => Err(Refusal::new(ESTALE, "of the socket is another one")
                .about(name)
                .at(attr)),
        }
    }

    /// Returns what of these is another one in `actual`, but for the locks.
    fn difference(&self, actual: &Addresses) -> Option<(&'static str, u16)> {
        // Of a connected socket, it is the local address if it is no other.
        let source = |it: &Addresses| match it.peer {
            Some(_) => it.source.or(it.local_addr),
            None => it.source,
        };

        if actual.local_addr != self.local_addr {
            Some(("the local address", attr::LOCAL_ADDR))
        } else if actual.local_port != self.local_port {
            Some(("the local port", attr::LOCAL_PORT))
        } else if actual.peer != self.peer {
            Some(("the peer", attr::PEER_ADDR))
        } else if source(actual) != source(self) {
            Some(("the source address", attr::SOURCE_ADDR))
        } else {
            None
        }
    }
}

/// Reads which of the local address and port were chosen by the owner, in a message.
pub(crate) fn parse_locks(request: &Request<'_>) -> Result<Option<u32>> {
    request
        .attr(attr::BIND_LOCKS)
        .map(|attr| attr.as_u32())
        .transpose()
}

/// Sets which of the local address and port of a socket in use were chosen by its owner, unless
/// they are.
pub(crate) fn amend_locks(locks: u32, live: &Live<'_>) -> Result<(), Refusal> {
    if internals::bind_locks(live) == locks {
        return Ok(());
    }
    let sock = live.locked().map_err(|errno| {
        Refusal::new(errno, "cannot be set")
            .about("a bind lock")
            .at(attr::BIND_LOCKS)
    })?;
    let wanted = Addresses {
        locks: Some(locks),
        ..Addresses::read(&sock).map_err(|refusal| refusal.at(attr::BIND_LOCKS))?
    };

    // It may have got other addresses since the message was checked.
    wanted
        .check(sock.state().into())
        .map_err(|refusal| refusal.at(attr::BIND_LOCKS))?;
    internals::set_bind_locks(&sock, locks);
    Ok(())
}

/// Binds a socket to an address and to no port.
fn bind_no_port(socket: &Socket, addr: IpAddr) -> Result {
    socket.setsockopt_int(SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1)?;
    socket.bind(&SocketAddr::new(addr, 0))?;
    socket.setsockopt_int(SOL_IP, IP_BIND_ADDRESS_NO_PORT, 0)
}

/// Gives a socket that is not connected the source address that an earlier connection left.
///
/// It connects the socket to that address for a moment.
fn adopt_source(socket: &mut Socket, source: IpAddr) -> Result {
    /// Nothing is sent to it.
    const PORT: u16 = 9;

    let device = socket.bound_dev_if();

    connect_from(Some(source), socket, &SocketAddr::new(source, PORT))?;
    socket.disconnect()?;
    // The socket is not bound to the device any more.
    if device != 0 {
        socket.setsockopt(SOL_SOCKET, SO_BINDTOIFINDEX, &device.to_ne_bytes())?;
    }
    Ok(())
}

/// Connects a socket to its peer, with the source address of an earlier connection if it has one.
///
/// What `bind()` has made its source address stays that.
fn connect_from(source: Option<IpAddr>, socket: &mut Socket, peer: &SocketAddr) -> Result {
    let is_free = socket
        .inet()
        .is_some_and(|inet| inet.saddr().is_unspecified());

    if let Some(IpAddr::V4(source)) = source.filter(|_| is_free) {
        internals::set_source(socket, source)?;
        if connect(socket, peer).is_ok() {
            return Ok(());
        }
        // If that was in the way, the socket gets another one, which is refused in the end.
        internals::set_source(socket, Ipv4Addr::UNSPECIFIED)?;
    }
    connect(socket, peer)
}

/// Connects a socket to its peer.
///
/// A socket that was connected to a broadcast address may have lost `SO_BROADCAST` since.
fn connect(socket: &Socket, peer: &SocketAddr) -> Result {
    match socket.connect(peer) {
        Err(EACCES) if !socket.flag(SockFlag::BROADCAST) => {
            socket.setsockopt_int(SOL_SOCKET, SO_BROADCAST, 1)?;
            let result = socket.connect(peer);
            socket.setsockopt_int(SOL_SOCKET, SO_BROADCAST, 0)?;
            result
        }
        result => result,
    }
}

/// Returns an address unless it is the wildcard.
fn specified(addr: IpAddr) -> Option<IpAddr> {
    (!addr.is_unspecified()).then_some(addr)
}

/// Reads an IPv4 address in an attribute.
pub(crate) fn parse_v4(attr: &Attribute<'_>) -> Result<Ipv4Addr, Refusal> {
    match <[u8; 4]>::try_from(attr.as_bytes()) {
        Ok(octets) => Ok(octets.into()),
        Err(_) => Err(Refusal::new(EINVAL, "an IPv4 address has 4 bytes")),
    }
}

/// Writes an address into a message.
fn put_addr(msg: &AttrWriter, ty: u16, addr: IpAddr) -> Result {
    match addr {
        IpAddr::V4(addr) => msg.put_bytes(ty, &addr.octets()),
        IpAddr::V6(addr) => msg.put_bytes(ty, &addr.octets()),
    }
}
