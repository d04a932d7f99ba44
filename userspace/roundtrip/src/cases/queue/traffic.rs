// SPDX-License-Identifier: GPL-2.0

//! Who receives, who sends, and what.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use libc::{SOL_IP, SOL_SOCKET, SOL_UDP};

use crate::cr::{self, attr};
use crate::places::{PEER, PORT};
use crate::sys::socket;

pub const HERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, PORT);

pub const SO_TIMESTAMP: i32 = 29;
pub const SO_TIMESTAMPNS: i32 = 35;
pub const SO_TIMESTAMPING: i32 = 37;
pub const SO_TIMESTAMP_NEW: i32 = 63;
pub const SO_TIMESTAMPNS_NEW: i32 = 64;
pub const SO_TIMESTAMPING_NEW: i32 = 65;
pub const SO_RXQ_OVFL: i32 = 40;
pub const SO_RCVMARK: i32 = 75;
pub const SO_RCVPRIORITY: i32 = 82;
pub const IP_CHECKSUM: i32 = 23;
pub const IP_RECVFRAGSIZE: i32 = 25;
const IP_PASSSEC: i32 = 18;
/// `SOF_TIMESTAMPING_RX_SOFTWARE` and `SOF_TIMESTAMPING_SOFTWARE`.
pub const RX_SOFTWARE: i32 = 0x18;
/// `SOF_TIMESTAMPING_RX_HARDWARE` and `SOF_TIMESTAMPING_RAW_HARDWARE`.
pub const RX_HARDWARE: i32 = 0x44;

/// Everything that a reader can be told of a datagram. One can be told of time in other forms, but
/// in one at a time, and of the label where a security module has given it one.
const TELLING: &[(i32, i32, i32)] = &[
    (SOL_SOCKET, SO_TIMESTAMPNS, 1),
    (SOL_SOCKET, SO_TIMESTAMPING, RX_SOFTWARE),
    (SOL_SOCKET, SO_RXQ_OVFL, 1),
    (SOL_SOCKET, SO_RCVMARK, 1),
    (SOL_SOCKET, SO_RCVPRIORITY, 1),
    (SOL_IP, libc::IP_PKTINFO, 1),
    (SOL_IP, libc::IP_RECVTTL, 1),
    (SOL_IP, libc::IP_RECVTOS, 1),
    (SOL_IP, libc::IP_RECVOPTS, 1),
    (SOL_IP, libc::IP_RETOPTS, 1),
    (SOL_IP, libc::IP_RECVORIGDSTADDR, 1),
    (SOL_IP, IP_RECVFRAGSIZE, 1),
    (SOL_IP, IP_CHECKSUM, 1),
    (SOL_IP, IP_PASSSEC, 1),
];

/// Has a reader told everything. What is said of time is left out where it is a matter of when the
/// reader asks.
pub fn tell(socket: &UdpSocket, with_time: bool) -> Result<()> {
    let is_time = |option| matches!(option, SO_TIMESTAMPNS | SO_TIMESTAMPING);
    for (level, option, value) in TELLING {
        if with_time || !is_time(*option) {
            let set = socket::set_int(socket, *level, *option, *value);
            set.with_context(|| format!("option {option} of level {level}"))?;
        }
    }
    Ok(())
}

/// A socket on all addresses whose reader is told everything.
pub fn receiver() -> Result<UdpSocket> {
    let receiver = socket::udp()?;
    tell(&receiver, true)?;
    when_stamped()?;
    socket::bind(&receiver, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT))?;
    Ok(receiver)
}

/// A bound socket with these datagrams of the peer.
pub fn holding(payloads: &[&[u8]]) -> Result<UdpSocket> {
    let socket = socket::udp()?;
    socket::bind(&socket, HERE)?;
    let peer = peer()?;
    for payload in payloads {
        peer.send_to(payload, HERE)?;
    }
    Ok(socket)
}

/// The one that sends.
pub fn peer() -> Result<UdpSocket> {
    Ok(UdpSocket::bind(PEER)?)
}

/// Waits until datagrams are stamped when they arrive. The kernel begins with it a while after
/// somebody asked; until then they are stamped when they are read.
pub fn when_stamped() -> Result<()> {
    asking_for_stamps().map(drop)
}

/// The same, with a socket that has this stay so.
pub fn asking_for_stamps() -> Result<UdpSocket> {
    let probe = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket::set_int(&probe, SOL_SOCKET, SO_TIMESTAMPNS, 1)?;
    let here = probe.local_addr()?;
    let start = Instant::now();
    loop {
        probe.send_to(b"x", here)?;
        let sent = SystemTime::now().duration_since(UNIX_EPOCH)?;
        std::thread::sleep(Duration::from_millis(3));
        let (_, messages) = socket::receive(&probe, 0)?;
        let stamp = messages.iter().find(|one| one.1 == SO_TIMESTAMPNS);
        let (seconds, nanos) = stamp
            .and_then(|(_, _, data)| data.split_at_checked(8))
            .context("no time stamp")?;
        let seconds = u64::from_ne_bytes(seconds.try_into()?);
        let nanos = u64::from_ne_bytes(nanos.try_into()?);
        let stamp = Duration::from_secs(seconds) + Duration::from_nanos(nanos);
        if stamp < sent + Duration::from_millis(2) {
            return Ok(probe);
        }
        let waited = start.elapsed();
        ensure!(waited < Duration::from_secs(5), "never stamped on arrival");
    }
}

/// Waits until so many datagrams are in a socket.
pub fn until_queued(socket: &UdpSocket, count: u32) -> Result<()> {
    let mut client = cr::client()?;
    let start = Instant::now();
    loop {
        let found = cr::dump(&mut client, socket)?.u32(attr::QUEUE_LEN);
        if found.unwrap_or(0) >= count {
            return Ok(());
        }
        let waited = start.elapsed();
        ensure!(
            waited < Duration::from_secs(10),
            "{found:?} of {count} came"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A payload that differs from place to place and from number to number.
pub fn payload(number: usize, len: usize) -> Vec<u8> {
    let byte = |at: usize| u8::try_from((at * 7 + at / 251 + number * 31) % 256);
    (0..len).map(|at| byte(at).unwrap_or_default()).collect()
}

/// Who sends with an option of its own.
pub fn peer_with(level: i32, option: i32, value: &[u8]) -> Result<UdpSocket> {
    let peer = peer()?;
    socket::set(&peer, level, option, value)?;
    Ok(peer)
}

/// Who sends what is longer than a segment in one train.
pub fn train(segment: i32) -> Result<UdpSocket> {
    peer_with(SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes())
}

/// How a checksum is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    Right,
    Wrong,
    None,
}

/// Sends a datagram of which each byte of the UDP header was chosen. It is not checked before
/// somebody has a reason to, while the loopback device vouches for those of other sockets.
pub fn send_raw(from_port: u16, checksum: Checksum, payload: &[u8]) -> Result<()> {
    let raw = socket::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_UDP)?;
    let raw = UdpSocket::from(raw);
    let len = u16::try_from(8 + payload.len())?;
    let header = |sum: u16| [from_port, PORT, len, sum].map(u16::to_be_bytes).concat();
    let loopback = Ipv4Addr::LOCALHOST.octets();
    let protocol = [[0, 17], len.to_be_bytes()].concat();
    let pseudo = [&loopback[..], &loopback, &protocol].concat();
    let right = ones_complement(&[&pseudo[..], &header(0), payload].concat());
    let sum = match checksum {
        Checksum::Right => right,
        Checksum::Wrong => right ^ 0x5555,
        Checksum::None => 0,
    };
    raw.send_to(&[&header(sum), payload].concat(), HERE)?;
    Ok(())
}

/// The checksum of the internet protocols.
fn ones_complement(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| {
        let [high, low] = [pair[0], pair.get(1).copied().unwrap_or(0)];
        u32::from(u16::from_be_bytes([high, low]))
    });
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    match !u16::try_from(sum).unwrap_or(u16::MAX) {
        0 => u16::MAX,
        sum => sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_the_rfc() {
        // RFC 1071, section 3.
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(ones_complement(&bytes), !0xddf2);
        assert_eq!(ones_complement(&[0xff]), 0x00ff);
    }
}
