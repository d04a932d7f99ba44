// SPDX-License-Identifier: GPL-2.0

//! A netlink socket of which each step is under control: for tests of what
//! happens between sending and receiving.

use std::io;
use std::os::fd::OwnedFd;

use anyhow::{Result, bail};
use inetcr::{Client, RawAttr};

use crate::sys::socket;

/// A socket of generic netlink.
pub fn netlink_socket() -> io::Result<OwnedFd> {
    socket::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_GENERIC)
}

const NLMSG_ERROR: u16 = 2;
const HEADER: usize = 16;
const GENL_HEADER: usize = 4;

/// The socket.
pub struct RawNetlink {
    fd: OwnedFd,
    family: u16,
    version: u8,
    sequence: u32,
}

impl RawNetlink {
    /// Opens one. The client knows the number of the family.
    pub fn open(client: &Client) -> Result<Self> {
        Self::new(client, netlink_socket()?)
    }

    /// Uses one that somebody opened.
    pub fn new(client: &Client, fd: OwnedFd) -> Result<Self> {
        Ok(Self {
            fd,
            family: client.family_id(),
            version: u8::try_from(client.family_version())?,
            sequence: 0,
        })
    }

    /// Makes room for a few replies only.
    pub fn shrink_receive_buffer(&self) -> io::Result<()> {
        socket::set_int(&self.fd, libc::SOL_SOCKET, libc::SO_RCVBUF, 0)
    }

    /// Sends a request. It is done when this returns.
    pub fn send(&mut self, command: u8, attributes: &[u8]) -> io::Result<()> {
        self.sequence += 1;
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK;
        let len = u32::try_from(HEADER + GENL_HEADER + attributes.len()).unwrap_or(u32::MAX);
        let mut message = len.to_ne_bytes().to_vec();
        message.extend(self.family.to_ne_bytes());
        message.extend(u16::try_from(flags).unwrap_or_default().to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend([0; 4]); // our port, which the kernel knows
        message.extend([command, self.version, 0, 0]);
        message.extend(attributes);
        socket::send(&self.fd, &message, 0).map(drop)
    }

    /// The answer to the last request: its attributes, or the error.
    pub fn answer(&mut self) -> Result<Vec<RawAttr>> {
        let mut attributes = Vec::new();
        loop {
            let (bytes, _) = socket::receive(&self.fd, libc::MSG_DONTWAIT)?;
            let mut rest = bytes.as_slice();
            while let Some((header, _)) = rest.split_at_checked(HEADER) {
                let word = |at: usize| -> u32 {
                    let bytes = header.get(at..at + 4).and_then(|b| b.try_into().ok());
                    bytes.map_or(0, u32::from_ne_bytes)
                };
                let len = word(0) as usize;
                let kind = u16::from_ne_bytes([header[4], header[5]]);
                let Some(body) = rest.get(HEADER..len) else {
                    bail!("a message that is cut off");
                };
                if word(8) == self.sequence {
                    if kind == NLMSG_ERROR {
                        let code = body.get(..4).and_then(|b| b.try_into().ok());
                        return match code.map(i32::from_ne_bytes) {
                            Some(0) => Ok(attributes),
                            Some(code) => Err(io::Error::from_raw_os_error(-code).into()),
                            None => bail!("a message that is cut off"),
                        };
                    }
                    attributes = RawAttr::decode_all(body.get(GENL_HEADER..).unwrap_or_default())?;
                }
                rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }

    /// Throws away what was not read.
    pub fn drain(&mut self) {
        // An overrun is reported as an error in between.
        for _ in 0..1000 {
            if let Err(error) = socket::receive(&self.fd, libc::MSG_DONTWAIT)
                && error.raw_os_error() == Some(libc::EAGAIN)
            {
                break;
            }
        }
    }
}
