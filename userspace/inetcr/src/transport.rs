// SPDX-License-Identifier: GPL-2.0
//! The generic netlink socket: sends a request, collects its answers.

use netlink_packet_core::{
    DecodeError as PacketError, Emitable, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, ParseableParametrized,
};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC};
use nix::errno::Errno;
use nix::libc;

use crate::answer::Reader;
use crate::attr::RawAttr;
use crate::error::Error;
use crate::table::FAMILY;

/// A generic netlink message with attributes that nobody has looked at.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    command: u8,
    version: u8,
    pub(crate) attributes: Vec<u8>,
}

impl GenlFamily for Body {
    fn family_name() -> &'static str {
        FAMILY
    }
    fn command(&self) -> u8 {
        self.command
    }
    fn version(&self) -> u8 {
        self.version
    }
}

impl Emitable for Body {
    fn buffer_len(&self) -> usize {
        self.attributes.len()
    }
    fn emit(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.attributes);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Body {
    fn parse_with_param(bytes: &[u8], header: GenlHeader) -> Result<Self, PacketError> {
        Ok(Self {
            command: header.cmd,
            version: header.version,
            attributes: bytes.to_vec(),
        })
    }
}

/// What to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) family_id: u16,
    pub(crate) version: u8,
    pub(crate) command: u8,
    /// Name of the command, for messages.
    pub(crate) name: &'static str,
    /// Any number of messages answer it.
    pub(crate) multipart: bool,
    /// The bytes of the attributes.
    pub(crate) attributes: &'a [u8],
}

/// The kernel's answers to one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// The attributes of each message.
    pub(crate) messages: Vec<Vec<RawAttr>>,
    /// What the kernel remarks although it has done what was asked.
    pub(crate) warning: Option<String>,
}

/// The largest part of a long answer that the kernel makes.
const RECEIVE_LEN: usize = 32 * 1024;

/// Room for answers that wait to be received. That of a socket which is a member of thousands of
/// groups is one message, and takes more than sockets have by default.
const RECEIVE_BUFFER: libc::c_int = 1 << 20;

/// A socket of generic netlink.
#[derive(Debug)]
pub(crate) struct Transport {
    socket: Socket,
    sequence: u32,
}

impl Transport {
    pub(crate) fn new() -> Result<Self, Error> {
        let mut socket = Socket::new(NETLINK_GENERIC).map_err(Error::io("netlink socket"))?;
        socket
            .bind_auto()
            .and_then(|_| socket.connect(&SocketAddr::new(0, 0)))
            .map_err(Error::io("netlink socket address"))?;
        // Errors come with words and attributes, and without a copy of the request; a dump
        // request is checked as strictly as any other.
        socket
            .set_ext_ack(true)
            .and_then(|()| socket.set_cap_ack(true))
            .and_then(|()| socket.set_netlink_get_strict_chk(true))
            .and_then(|()| socket.set_rx_buf_sz(RECEIVE_BUFFER))
            .map_err(Error::io("netlink socket option"))?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Sends a request and waits until the kernel has done with it.
    pub(crate) fn exchange(&mut self, request: &Request<'_>) -> Result<Answer, Error> {
        let mut messages = Vec::new();
        let warning = self.exchange_each(request, |attrs| {
            messages.push(attrs);
            Ok(())
        })?;
        Ok(Answer { messages, warning })
    }

    /// The same, but hands over the attributes of each message as it comes. Gives what the kernel
    /// remarks although it has done what was asked.
    pub(crate) fn exchange_each(
        &mut self,
        request: &Request<'_>,
        each: impl FnMut(Vec<RawAttr>) -> Result<(), Error>,
    ) -> Result<Option<String>, Error> {
        self.sequence = self.sequence.wrapping_add(1);
        let bytes = serialize(request, self.sequence);
        retry(|| self.socket.send(&bytes, 0)).map_err(Error::io("netlink send"))?;

        let mut reader = Reader::new(request, &bytes, self.sequence, each);
        loop {
            if let Some(end) = reader.read(&self.receive()?) {
                return end;
            }
        }
    }

    /// Receives one datagram, however long it is.
    fn receive(&self) -> Result<Vec<u8>, Error> {
        let peek = libc::MSG_PEEK | libc::MSG_TRUNC;
        let length = retry(|| self.socket.recv(&mut &mut [0u8; 0][..], peek))
            .map_err(Error::io("netlink receive"))?;
        // The kernel makes the parts of a long answer as large as what it is read into.
        let mut datagram = Vec::with_capacity(length.max(RECEIVE_LEN));
        retry(|| self.socket.recv(&mut datagram, 0)).map_err(Error::io("netlink receive"))?;
        Ok(datagram)
    }
}

/// A whole message.
fn serialize(request: &Request<'_>, sequence: u32) -> Vec<u8> {
    let mut message = GenlMessage::from_payload(Body {
        command: request.command,
        version: request.version,
        attributes: request.attributes.to_vec(),
    });
    message.set_resolved_family_id(request.family_id);
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK;
    if request.multipart {
        header.flags |= NLM_F_DUMP;
    }
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Repeats a system call that a signal has interrupted.
fn retry<T>(mut call: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    loop {
        match call() {
            Err(error) if error.raw_os_error() == Some(Errno::EINTR as i32) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request to restore, byte by byte.
    #[test]
    #[cfg(target_endian = "little")]
    fn golden_request() {
        let attrs = [
            RawAttr::u32(6, 1),
            RawAttr::string(5, c"lo"),
            RawAttr::be16(28, 0x1234),
            RawAttr::nested(10, &[RawAttr::u32(1, 1), RawAttr::sint(2, 5_000_000_000)]),
        ];
        let attributes = RawAttr::encode_all(&attrs);
        let request = Request {
            family_id: 0x21,
            version: 1,
            command: 2,
            name: "restore",
            multipart: false,
            attributes: &attributes,
        };
        #[rustfmt::skip]
        let golden = [
            // nlmsghdr: length, type, REQUEST | ACK, sequence, port; genlmsghdr: command, version.
            68, 0, 0, 0, 0x21, 0, 5, 0, 7, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0,
            // sockopt-broadcast = 1
            8, 0, 6, 0, 1, 0, 0, 0,
            // sockopt-bindtodevice = "lo"
            7, 0, 5, 0, b'l', b'o', 0, 0,
            // local-port = 0x1234, in network byte order
            6, 0, 28, 0, 0x12, 0x34, 0, 0,
            // sockopt-linger, a nest
            24, 0, 10, 0x80,
            // onoff = 1
            8, 0, 1, 0, 1, 0, 0, 0,
            // time = 5 s, in 8 bytes
            12, 0, 2, 0, 0x00, 0xf2, 0x05, 0x2a, 1, 0, 0, 0,
        ];
        assert_eq!(serialize(&request, 7), golden);
    }
}
