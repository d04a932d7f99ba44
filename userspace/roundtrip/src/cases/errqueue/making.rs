// SPDX-License-Identifier: GPL-2.0

//! Who makes errors, and how: by sending where nobody is, and by ICMP of one's own.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use inetcr::{RawAttr, Selector};
use libc::{SOL_IP, SOL_SOCKET};

use crate::cases::queue::traffic::{HERE, SO_TIMESTAMPING, payload, tell};
use crate::cr::{self, attr};
use crate::places::PORT;
use crate::sys::{link, socket};

/// A port on which nobody is.
pub const NOBODY: u16 = 7009;

pub const SO_ZEROCOPY: i32 = 60;
pub const IP_RECVERR_RFC4884: i32 = 26;
pub const MSG_ZEROCOPY: i32 = 0x400_0000;

/// `SOF_TIMESTAMPING_*`
pub const TX_SOFTWARE: i32 = 1 << 1;
pub const SOFTWARE: i32 = 1 << 4;
pub const RAW_HARDWARE: i32 = 1 << 6;
pub const OPT_ID: i32 = 1 << 7;
pub const TX_SCHED: i32 = 1 << 8;
pub const OPT_CMSG: i32 = 1 << 10;
pub const OPT_TSONLY: i32 = 1 << 11;

/// A bound socket that keeps errors, and whose reader is told everything that does not depend on
/// when it asks.
pub fn sender() -> Result<UdpSocket> {
    let sender = socket::udp()?;
    tell(&sender, false)?;
    socket::set_int(&sender, SOL_IP, libc::IP_RECVERR, 1)?;
    socket::bind(&sender, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT))?;
    Ok(sender)
}

/// How many errors a socket has, by the family itself: no plain call counts them.
pub fn waiting(of: &UdpSocket) -> Result<u32> {
    let mut client = cr::client()?;
    let dump = cr::dump_by(&mut client, Selector::Fd(of.as_raw_fd()).into())?;
    Ok(dump.u32(attr::ERROR_QUEUE_LEN).unwrap_or(0))
}

/// Waits until a socket has so many errors.
pub fn until(of: &UdpSocket, count: u32) -> Result<()> {
    let start = Instant::now();
    loop {
        match waiting(of)? {
            found if found >= count => return Ok(()),
            found if start.elapsed() > Duration::from_secs(5) => {
                bail!("{found} errors, not {count}")
            }
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Sends where nobody is, which is not told at once: an error of the datagram before may be.
pub fn to_nobody(from: &UdpSocket, addr: Ipv4Addr, len: usize) -> Result<()> {
    let before = waiting(from)?;
    let to = SocketAddrV4::new(addr, NOBODY);
    if from.send_to(&payload(len, len), to).is_err() {
        from.send_to(&payload(len, len), to)?;
    }
    until(from, before + 1)
}

/// Has time stamps of what is sent made.
pub fn stamped(sender: &UdpSocket, flags: i32) -> Result<()> {
    Ok(socket::set_int(sender, SOL_SOCKET, SO_TIMESTAMPING, flags)?)
}

/// An ICMP message, but for its checksum.
#[derive(Clone)]
pub struct Icmp {
    pub kind: u8,
    pub code: u8,
    /// What is behind the checksum.
    pub rest: [u8; 4],
    /// What it quotes of the datagram.
    pub quoted: Vec<u8>,
    /// What is behind the datagram.
    pub extensions: Vec<u8>,
}

/// Where the datagram that it quotes was sent to.
pub const QUOTED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 9, 8, 7), 53);

impl Icmp {
    /// Quotes so many bytes that the socket is to have sent.
    pub fn new(kind: u8, code: u8, rest: [u8; 4], len: usize) -> Self {
        let total = u16::try_from(len + 28).unwrap_or(u16::MAX);
        let mut quoted = vec![0x45, 0];
        quoted.extend(total.to_be_bytes());
        quoted.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
        quoted.extend(HERE.ip().octets());
        quoted.extend(QUOTED.ip().octets());
        for word in [PORT, QUOTED.port(), total - 20, 0] {
            quoted.extend(word.to_be_bytes());
        }
        quoted.extend(payload(3, len));
        Self {
            kind,
            code,
            rest,
            quoted,
            extensions: Vec::new(),
        }
    }

    /// About what was sent to another address.
    pub fn about(mut self, dest: SocketAddrV4) -> Self {
        self.quoted[16..20].copy_from_slice(&dest.ip().octets());
        self.quoted[22..24].copy_from_slice(&dest.port().to_be_bytes());
        self
    }

    /// With extensions (RFC 4884) behind the 128 bytes that are quoted then.
    pub fn extended(mut self, extensions: &[u8]) -> Self {
        self.quoted.resize(128, 0);
        self.rest[1] = 128 / 4;
        self.extensions = extensions.to_vec();
        self
    }

    /// A socket that sends what is made here.
    pub fn socket() -> io::Result<UdpSocket> {
        let raw = socket::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)?;
        Ok(UdpSocket::from(raw))
    }

    /// The message with its checksum.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut message = vec![self.kind, self.code, 0, 0];
        message.extend(self.rest);
        message.extend(&self.quoted);
        message.extend(&self.extensions);
        let sum = checksum(&message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
        message
    }

    /// Sends it to the socket, by a socket that something is done to before.
    pub fn send(&self, prepare: impl FnOnce(&UdpSocket) -> Result<()>) -> Result<()> {
        let raw = Self::socket()?;
        prepare(&raw)?;
        raw.send_to(&self.to_bytes(), SocketAddrV4::new(*HERE.ip(), 0))?;
        Ok(())
    }

    /// Sends it, and waits until the socket has it.
    pub fn tell(&self, socket: &UdpSocket) -> Result<()> {
        let before = waiting(socket)?;
        self.send(|_| Ok(()))?;
        until(socket, before + 1)
    }
}

/// An extension with its checksum: one object of class 1 with a word.
pub fn extension() -> Vec<u8> {
    let mut bytes = vec![0x20, 0, 0, 0, 0, 8, 1, 1, 0xca, 0xfe, 0x10, 0x01];
    let sum = checksum(&bytes).to_be_bytes();
    bytes[2..4].copy_from_slice(&sum);
    bytes
}

/// The checksum of the internet protocols.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| {
        let [high, low] = [pair[0], pair.get(1).copied().unwrap_or(0)];
        u32::from(u16::from_be_bytes([high, low]))
    });
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

/// Sends what is longer than a packet can be on its way.
pub fn too_long(sender: &UdpSocket) -> Result<()> {
    const DO: i32 = 2;
    link::set_mtu("lo", 1500)?;
    socket::set_int(sender, SOL_IP, libc::IP_MTU_DISCOVER, DO)?;
    let before = waiting(sender)?;
    let sent = sender.send_to(&payload(1, 3000), (Ipv4Addr::LOCALHOST, NOBODY));
    let errno = sent.err().and_then(|error| error.raw_os_error());
    ensure!(errno == Some(libc::EMSGSIZE), "{errno:?}");
    until(sender, before + 1)
}

/// Sends by `MSG_ZEROCOPY`, and waits until the sends are told to be complete.
pub fn zerocopy(sender: &UdpSocket, to: &UdpSocket, count: u32) -> Result<()> {
    socket::set_int(sender, SOL_SOCKET, SO_ZEROCOPY, 1)?;
    let to = to.local_addr()?;
    for _ in 0..count {
        send_zerocopy(sender, to, &payload(1, 1000))?;
    }
    until_complete(sender)
}

/// Sends once by `MSG_ZEROCOPY`.
pub fn send_zerocopy(sender: &UdpSocket, to: SocketAddr, bytes: &[u8]) -> Result<()> {
    let SocketAddr::V4(to) = to else {
        bail!("not an address of IPv4");
    };
    // An error of the datagram before may be told first.
    if socket::send_to(sender, bytes, MSG_ZEROCOPY, to).is_err() {
        socket::send_to(sender, bytes, MSG_ZEROCOPY, to).context("MSG_ZEROCOPY")?;
    }
    Ok(())
}

/// Waits until no send is on its way: until then a dump is refused.
pub fn until_complete(sender: &UdpSocket) -> Result<()> {
    let mut client = cr::client()?;
    let start = Instant::now();
    loop {
        match cr::dump_by(&mut client, Selector::Fd(sender.as_raw_fd()).into()) {
            Ok(_) => return Ok(()),
            Err(error) if start.elapsed() > Duration::from_secs(5) => {
                return Err(error).context("never complete");
            }
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Has a socket that is bound get one error of each kind.
pub fn errors_of_each_kind(socket: &UdpSocket) -> Result<()> {
    let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket::set_int(socket, SOL_IP, libc::IP_RECVERR, 1)?;
    stamped(socket, TX_SOFTWARE | SOFTWARE | OPT_ID | OPT_CMSG)?;
    socket.send_to(b"stamped", peer.local_addr()?)?;
    stamped(socket, SOFTWARE)?;
    Icmp::new(3, 1, [0; 4], 20).tell(socket)?;
    zerocopy(socket, &peer, 1)?;
    too_long(socket)?;
    link::set_mtu("lo", 65_536)?;
    ensure!(waiting(socket)? == 4, "{} errors", waiting(socket)?);
    Ok(())
}

/// The attributes of the errors in an answer of QUEUE.
pub fn errors_of(queue: &[RawAttr]) -> Result<Vec<cr::Dump>> {
    let all = cr::datagrams(queue)?.into_iter().map(|one| one.0);
    Ok(all
        .filter(|one| one.get(attr::datagram::ERROR_ORIGIN).is_some())
        .collect())
}
