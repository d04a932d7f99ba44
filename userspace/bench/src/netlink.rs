// SPDX-License-Identifier: GPL-2.0

//! Requests that are made before anything is counted, and answers that are not looked at while it
//! is.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result, ensure};
use inetcr::{Client, RawAttr};

use crate::sys;

/// `NLM_F_REQUEST`, and `NLM_F_DUMP`
const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;

const SOCK_DIAG_BY_FAMILY: u16 = 20;

/// Generic netlink's own family, which knows the numbers of the others (`CTRL_*`).
const CONTROL: u16 = 16;
const GETFAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER: usize = 16;
const GENL_HEADER: usize = 4;

/// A netlink socket of the family.
pub struct Family {
    socket: OwnedFd,
    id: u16,
    version: u8,
    buffer: Vec<u8>,
}

/// A request.
pub struct Message(Vec<u8>);

impl Family {
    pub fn new() -> Result<Self> {
        let client = Client::new()?;
        Ok(Self {
            socket: sys::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_GENERIC)?,
            id: client.family_id(),
            version: u8::try_from(client.family_version())?,
            buffer: vec![0; 1 << 17],
        })
    }

    /// The same of the family in C, which is a module.
    pub fn in_c() -> Result<Self> {
        let mut family = Self {
            id: CONTROL,
            ..Self::new()?
        };
        let name = RawAttr::string(FAMILY_NAME, c"af-inet-cr-c");
        let request = family.request(GETFAMILY, &[name])?;
        let attrs = family.attrs(&request)?;
        let id = attrs.iter().find(|attr| attr.number() == FAMILY_ID);
        let id = id.context("no number")?.payload.as_slice().try_into()?;
        family.id = u16::from_ne_bytes(id);
        Ok(family)
    }

    /// The socket of `sock_diag`, which is none of generic netlink.
    pub fn sock_diag() -> Result<Self> {
        Ok(Self {
            socket: sys::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_SOCK_DIAG)?,
            id: SOCK_DIAG_BY_FAMILY,
            version: 0,
            buffer: vec![0; 1 << 17],
        })
    }

    /// Asks `sock_diag` for all that it tells of the UDP sockets of the namespace.
    pub fn udp_sockets(&self) -> Result<Message> {
        // struct inet_diag_req_v2: which sockets, with all extensions, in every state; any address.
        let mut request = vec![2, 17, 0xff, 0, 0xff, 0xff, 0xff, 0xff];
        request.resize(56, 0);
        self.bytes(DUMP, &request)
    }

    /// Asks `sock_diag` for all that it tells of the UDP socket with this port of 127.0.0.1.
    pub fn udp_socket(&self, port: u16) -> Result<Message> {
        // As above, and struct inet_diag_sockid. That a packet for the socket is meant, and not one
        // of it, is so for historical reasons: the second address is the local one.
        let mut request = vec![2, 17, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0, 0];
        request.extend(port.to_be_bytes());
        request.resize(28, 0);
        request.extend([127, 0, 0, 1]);
        request.resize(44, 0);
        // The device that the socket is bound to, lo, and any cookie.
        request.extend(1u32.to_ne_bytes());
        request.resize(56, 0xff);
        self.bytes(0, &request)
    }

    fn message(&self, command: u8, flags: u16, attrs: &[RawAttr]) -> Result<Message> {
        let mut bytes = vec![command, self.version, 0, 0];
        bytes.extend(RawAttr::encode_all(attrs));
        self.bytes(flags, &bytes)
    }

    fn bytes(&self, flags: u16, payload: &[u8]) -> Result<Message> {
        let len = u32::try_from(HEADER + payload.len())?;
        let mut bytes = Vec::new();
        bytes.extend(len.to_ne_bytes());
        bytes.extend(self.id.to_ne_bytes());
        bytes.extend((REQUEST | flags).to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(payload);
        Ok(Message(bytes))
    }

    /// A request that has one answer.
    pub fn request(&self, command: u8, attrs: &[RawAttr]) -> Result<Message> {
        self.message(command, 0, attrs)
    }

    /// A request that is answered by any number of messages.
    pub fn multipart(&self, command: u8, attrs: &[RawAttr]) -> Result<Message> {
        self.message(command, DUMP, attrs)
    }

    /// Sends a request, and receives its answer.
    pub fn answer(&mut self, message: &Message) -> Result<&[u8]> {
        sys::send(&self.socket, &message.0, 0)?;
        let len = sys::receive(&self.socket, &mut self.buffer, 0)?;
        Ok(&self.buffer[..len])
    }

    /// The same, where the answer has to be one that is no error.
    pub fn done(&mut self, message: &Message) -> Result<()> {
        let answer = self.answer(message)?;
        ensure!(kind(answer) != NLMSG_ERROR, "refused: {:?}", &answer[..20]);
        Ok(())
    }

    /// Sends a request that has no answer unless it fails.
    pub fn silent(&mut self, message: &Message) -> Result<()> {
        sys::send(&self.socket, &message.0, 0)?;
        Ok(())
    }

    /// Sends a request, and receives all of its answer; gives how many bytes it has.
    pub fn all(&mut self, message: &Message) -> Result<usize> {
        self.each(message, |_| Ok(()))
    }

    /// The same, and does something before each part is received.
    pub fn each(
        &mut self,
        message: &Message,
        mut before: impl FnMut(&OwnedFd) -> Result<()>,
    ) -> Result<usize> {
        sys::send(&self.socket, &message.0, 0)?;
        let mut all = 0;
        loop {
            before(&self.socket)?;
            let len = sys::receive(&self.socket, &mut self.buffer, 0)?;
            all += len;
            // The end has a message to itself, or comes behind others.
            let mut rest = &self.buffer[..len];
            while rest.len() >= HEADER {
                match kind(rest) {
                    NLMSG_DONE => return Ok(all),
                    NLMSG_ERROR => anyhow::bail!("refused: {:?}", &rest[..20]),
                    _ => {}
                }
                let len = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
                rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }

    /// The attributes of an answer.
    pub fn attrs(&mut self, message: &Message) -> Result<Vec<RawAttr>> {
        let answer = self.answer(message)?;
        ensure!(kind(answer) != NLMSG_ERROR, "refused: {:?}", &answer[..20]);
        Ok(RawAttr::decode_all(&answer[HEADER + GENL_HEADER..])?)
    }
}

/// The error that an answer is.
pub fn error(answer: &[u8]) -> Option<i32> {
    let number = answer.get(HEADER..HEADER + 4)?.try_into().ok()?;
    (kind(answer) == NLMSG_ERROR).then(|| i32::from_ne_bytes(number))
}

/// The attributes of all messages of an answer.
pub fn all_attrs(command: u8, attrs: &[RawAttr]) -> Result<Vec<RawAttr>> {
    let messages = Client::new()?.raw_multipart(command, attrs)?;
    Ok(messages.concat())
}

fn kind(message: &[u8]) -> u16 {
    u16::from_ne_bytes([message[4], message[5]])
}
