// SPDX-License-Identifier: GPL-2.0

//! Who is there beside the socket.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libc::{SOL_IP, SOL_SOCKET, SOL_UDP};

use super::call::{Call, Choice, With};
use crate::cases::errqueue::making::Icmp;
use crate::cases::queue::traffic::{Checksum, payload, send_raw, tell};
use crate::cases::queue::{HERE, drain};
use crate::options::apply;
use crate::places::{GROUP, OTHER, PEER};
use crate::sys::socket::{self, Message};
use crate::sys::{multicast, namespace};

/// A network with a socket in it that has a history, and with its peers.
pub struct World {
    peers: [UdpSocket; 2],
    /// What it sends to itself arrives behind all that was sent before.
    echo: UdpSocket,
    /// Sockets that share the port.
    neighbours: Vec<UdpSocket>,
    /// What is known not to come back.
    pub known: Known,
}

/// What a history has made that is known not to come back.
#[derive(Default)]
pub struct Known {
    /// `SO_REUSEADDR` was taken back on a port that others have, too.
    pub reuseaddr_taken_back: bool,
    /// It was tried to cork a datagram to an address of its own, or from one, since `connect()`.
    pub corked_elsewhere: bool,
}

impl World {
    pub fn new() -> Result<Self> {
        namespace::new_network()?;
        let any_address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PEER.port());
        let peers = [any_address, SocketAddrV4::new(OTHER, 7002)].map(|address| -> Result<_> {
            let peer = socket::udp()?;
            // The time of its asking is not the socket's.
            tell(&peer, false)?;
            socket::set_int(&peer, SOL_SOCKET, libc::SO_RCVBUF, 1 << 20)?;
            socket::set_int(&peer, SOL_SOCKET, libc::SO_BROADCAST, 1)?;
            socket::bind(&peer, address)?;
            Ok(peer)
        });
        let [first, second] = peers;
        let peers = [first?, second?];
        let mreqn = multicast::mreqn(GROUP, Ipv4Addr::UNSPECIFIED, 1);
        socket::set(&peers[0], SOL_IP, libc::IP_ADD_MEMBERSHIP, &mreqn)?;
        let echo = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        echo.connect(echo.local_addr()?)?;
        Ok(Self {
            peers,
            echo,
            neighbours: Vec::new(),
            known: Known::default(),
        })
    }

    /// Waits until all that is on its way has arrived, and what answers it.
    ///
    /// The loopback device has one queue for each processor, and this process has one processor.
    pub fn settle(&self) -> Result<()> {
        for _ in 0..2 {
            self.echo.send(b"x")?;
            let back = socket::readable(&self.echo, Duration::from_secs(5))?;
            ensure!(back, "the loopback device brings nothing back");
            self.echo.recv(&mut [0])?;
        }
        Ok(())
    }

    /// Whether nobody else can get what is sent to the socket.
    pub fn is_alone(&self) -> bool {
        self.neighbours.is_empty()
    }

    /// What the peers have got, first of one and then of the other.
    pub fn got(&self) -> Result<Vec<Message>> {
        self.settle()?;
        let [first, second] = self.peers.each_ref().map(drain);
        Ok([first?, second?].concat())
    }

    /// Each peer sends to an address.
    pub fn hello(&self, to: SocketAddrV4) -> Result<()> {
        for peer in &self.peers {
            peer.send_to(b"hello", to).context("a peer cannot send")?;
        }
        self.settle()
    }

    /// Does a call, and waits for what comes of it. That it fails is as good as any other outcome.
    pub fn call(&mut self, socket: &UdpSocket, call: &Call) -> Result<()> {
        self.try_call(socket, call).unwrap_or_default();
        self.settle()
    }

    fn try_call(&mut self, socket: &UdpSocket, call: &Call) -> Result<()> {
        match call {
            Call::Set(choice) => self.set(socket, *choice)?,
            Call::Bind(place) => socket::bind(socket, *place)?,
            Call::Connect(peer) => {
                socket::connect(socket, *peer)?;
                self.known.corked_elsewhere = false;
            }
            Call::Disconnect => socket::disconnect(socket)?,
            Call::DetachFilter => {
                socket::set_int(socket, SOL_SOCKET, libc::SO_DETACH_FILTER, 0)?;
            }
            Call::Join(group) => group.0.join(socket)?,
            Call::Leave(group) => multicast::leave(socket, group.0.group, group.0.named()?)?,
            Call::Source(group, option, source) => {
                let here = Ipv4Addr::LOCALHOST;
                multicast::of_source(socket, *option, group.0.group, here, *source)?;
            }
            Call::Arrive(packet) => {
                let (to, control) = (address_of(socket)?, packet.with.control());
                let bytes = payload(packet.len, packet.len);
                socket::send_message(&self.peers[0], Some(to), &control, &bytes, 0)?;
            }
            Call::ArriveBroken => send_raw(PEER.port(), Checksum::Wrong, b"broken")?,
            Call::Icmp {
                kind,
                code,
                of_peer,
            } => {
                let icmp = Icmp::new(*kind, *code, [0, 0, 2, 88], 20);
                let icmp = if *of_peer { icmp.about(PEER) } else { icmp };
                icmp.send(|_| Ok(()))?;
            }
            Call::Send(to, packet, flags) => {
                let (bytes, control) = (payload(packet.len, packet.len), packet.with.control());
                let flags = flags.0 | libc::MSG_DONTWAIT;
                let corks = flags & libc::MSG_MORE != 0 || has_cork(socket)?;
                let named = to.is_some() || matches!(packet.with, With::Source(_));
                // Even if it fails.
                self.known.corked_elsewhere |= named && corks;
                socket::send_message(socket, *to, &control, &bytes, flags)?;
            }
            Call::Receive(flags, room) => {
                let flags = flags.0 | libc::MSG_DONTWAIT;
                socket::receive_message(socket, flags, *room)?;
            }
            Call::Shutdown(how) => socket::shutdown(socket, *how)?,
            Call::Stamp => drop(socket::stamp(socket)?),
            Call::TakeError => {
                socket::get_int(socket, SOL_SOCKET, libc::SO_ERROR)?;
            }
            Call::FileFlags(flags) => {
                socket::fcntl(socket, libc::F_SETFL, *flags)?;
            }
            Call::Share(by_port) => self.share(socket, *by_port)?,
        }
        Ok(())
    }

    fn set(&mut self, socket: &UdpSocket, Choice { row, case }: Choice) -> Result<()> {
        let is_set = |option| socket::get_int(socket, SOL_SOCKET, option).map(|value| value != 0);
        let before = is_set(libc::SO_REUSEADDR)?;
        apply(socket, row, case)?;
        if socket::name(socket)?.port() != 0 {
            self.known.reuseaddr_taken_back |= before && !is_set(libc::SO_REUSEADDR)?;
        }
        Ok(())
    }

    fn share(&mut self, socket: &UdpSocket, by_port: bool) -> Result<()> {
        let option = if by_port {
            libc::SO_REUSEPORT
        } else {
            libc::SO_REUSEADDR
        };
        let neighbour = socket::udp()?;
        socket::set_int(&neighbour, SOL_SOCKET, option, 1)?;
        let name = socket::name(socket)?;
        socket::bind(&neighbour, if name.port() == 0 { HERE } else { name })?;
        self.neighbours.push(neighbour);
        Ok(())
    }
}

/// Whether the next datagram is corked (`UDP_CORK`).
fn has_cork(socket: &UdpSocket) -> Result<bool> {
    const UDP_CORK: i32 = 1;
    Ok(socket::get_int(socket, SOL_UDP, UDP_CORK)? != 0)
}

/// Where others reach the socket.
pub fn address_of(socket: &UdpSocket) -> Result<SocketAddrV4> {
    let mut name = socket::name(socket)?;
    if name.ip().is_unspecified() {
        name.set_ip(Ipv4Addr::LOCALHOST);
    }
    Ok(name)
}
