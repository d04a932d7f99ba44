// SPDX-License-Identifier: GPL-2.0

//! A netlink socket of which each step is under control: for tests of what
//! happens between sending and receiving, and of several requests at once.

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
const NLMSG_DONE: u16 = 3;
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLMSGERR_ATTR_OFFS: u16 = 2;
const HEADER: usize = 16;
const GENL_HEADER: usize = 4;

/// What the kernel answers: attributes, or why it does not.
pub type Answer = Result<Vec<RawAttr>, Refusal>;

/// A refusal, with what it was told beside the number.
#[derive(Debug)]
pub struct Refusal {
    pub errno: i32,
    /// The words, if there are any.
    pub message: String,
    /// Number of the attribute that is to blame, without the nests that it is in.
    pub attribute: Option<u16>,
}

impl Refusal {
    /// Reads what is behind the header of an error: the number, the request, attributes.
    fn new(errno: i32, body: &[u8]) -> Result<Self> {
        let request = body.get(4..).unwrap_or_default();
        let told = request.get((word(request, 0) as usize).next_multiple_of(4)..);
        let mut refusal = Self {
            errno,
            message: String::new(),
            attribute: None,
        };
        for attr in RawAttr::decode_all(told.unwrap_or_default())? {
            match attr.number() {
                NLMSGERR_ATTR_MSG => {
                    let text = String::from_utf8_lossy(&attr.payload);
                    text.trim_end_matches('\0').clone_into(&mut refusal.message);
                }
                NLMSGERR_ATTR_OFFS => {
                    let header = request.get(word(&attr.payload, 0) as usize..);
                    // Length and type.
                    let kind = half(header.unwrap_or_default(), 2);
                    refusal.attribute = Some(kind & 0x3fff);
                }
                _ => {}
            }
        }
        Ok(refusal)
    }
}

/// The 32 bits that are somewhere in a message, 0 behind its end.
fn word(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
    bytes.map_or(0, u32::from_ne_bytes)
}

/// The same with 16 bits.
fn half(bytes: &[u8], at: usize) -> u16 {
    let bytes = bytes.get(at..at + 2).and_then(|b| b.try_into().ok());
    bytes.map_or(0, u16::from_ne_bytes)
}

/// The messages in some bytes: number, type, and what is behind the header of each.
fn split(bytes: &[u8]) -> Result<Vec<(u32, u16, &[u8])>> {
    let (mut messages, mut rest) = (Vec::new(), bytes);
    while let Some((header, _)) = rest.split_at_checked(HEADER) {
        let len = word(header, 0) as usize;
        let kind = half(header, 4);
        let Some(body) = rest.get(HEADER..len) else {
            bail!("a message that is cut off");
        };
        messages.push((word(header, 8), kind, body));
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(messages)
}

/// The socket.
pub struct RawNetlink {
    fd: OwnedFd,
    family: u16,
    version: u8,
    sequence: u32,
    names_the_kernel: bool,
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
            names_the_kernel: false,
        })
    }

    /// Has each call name the kernel as the destination, as it is anyway.
    pub fn name_the_kernel(&mut self) {
        self.names_the_kernel = true;
    }

    /// Makes room for a few replies only.
    pub fn shrink_receive_buffer(&self) -> io::Result<()> {
        socket::set_int(&self.fd, libc::SOL_SOCKET, libc::SO_RCVBUF, 0)
    }

    /// Asks for words with refusals.
    pub fn ask_for_words(&self) -> io::Result<()> {
        socket::set_int(&self.fd, libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, 1)
    }

    /// Sends a request. It is done when this returns.
    pub fn send(&mut self, command: u8, attributes: &[u8]) -> io::Result<()> {
        let message = self.message(command, attributes, 0);
        socket::send(&self.fd, &message, 0).map(drop)
    }

    /// Sends a request that is answered by any number of messages. What of them there is no room
    /// for yet is made when others have been read.
    pub fn send_multipart(&mut self, command: u8, attributes: &[u8]) -> io::Result<()> {
        let message = self.message(command, attributes, libc::NLM_F_DUMP);
        socket::send(&self.fd, &message, 0).map(drop)
    }

    /// One part of such an answer, into a buffer of so many bytes: the attributes of each message,
    /// and the error number if the answer ends with it, 0 for a good end.
    pub fn part(&mut self, room: usize) -> Result<(Vec<Vec<RawAttr>>, Option<i32>)> {
        let mut buffer = vec![0; room];
        let len = self.receive_part(&mut buffer)?;
        Self::read_part(&buffer[..len])
    }

    /// Only the system call that receives a part.
    pub fn receive_part(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        socket::receive_into(&self.fd, buffer)
    }

    /// What is in a part.
    pub fn read_part(bytes: &[u8]) -> Result<(Vec<Vec<RawAttr>>, Option<i32>)> {
        let (mut messages, mut end) = (Vec::new(), None);
        for (_, kind, body) in split(bytes)? {
            match kind {
                NLMSG_ERROR | NLMSG_DONE => end = Some(-word(body, 0).cast_signed()),
                _ => messages.push(RawAttr::decode_all(
                    body.get(GENL_HEADER..).unwrap_or_default(),
                )?),
            }
        }
        Ok((messages, end))
    }

    /// Whether a message in a part says that the answer is about something else from there on.
    pub fn is_interrupted(mut bytes: &[u8]) -> bool {
        while bytes.len() >= HEADER {
            let flags = i32::from(half(bytes, 6));
            if flags & libc::NLM_F_DUMP_INTR != 0 {
                return true;
            }
            let len = (word(bytes, 0) as usize).max(HEADER);
            bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        false
    }

    /// All the parts of such an answer, or the error number at its end.
    pub fn parts(&mut self) -> Result<Result<Vec<Vec<RawAttr>>, i32>> {
        let mut all = Vec::new();
        loop {
            let (messages, end) = self.part(65_536)?;
            all.extend(messages);
            match end {
                None => {}
                Some(0) => return Ok(Ok(all)),
                Some(errno) => return Ok(Err(errno)),
            }
        }
    }

    /// Sends requests of one command at once, and gives the answer to each.
    pub fn send_together(&mut self, command: u8, requests: &[Vec<RawAttr>]) -> Result<Vec<Answer>> {
        self.send_together_with(command, requests, 0)
    }

    /// The same with flags, such as `NLM_F_DUMP`.
    pub fn send_together_with(
        &mut self,
        command: u8,
        requests: &[Vec<RawAttr>],
        flags: i32,
    ) -> Result<Vec<Answer>> {
        let first = self.sequence + 1;
        let mut batch = Vec::new();
        for attributes in requests {
            batch.extend(self.message(command, &RawAttr::encode_all(attributes), flags));
        }
        if self.names_the_kernel {
            socket::send_to_kernel(&self.fd, &batch)?;
        } else {
            socket::send(&self.fd, &batch, 0)?;
        }
        (first..=self.sequence)
            .map(|one| self.answer_to(one))
            .collect()
    }

    /// A request with the next number. Attributes are padded, so that another one can follow.
    fn message(&mut self, command: u8, attributes: &[u8], flags: i32) -> Vec<u8> {
        self.sequence += 1;
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK | flags;
        let len = u32::try_from(HEADER + GENL_HEADER + attributes.len()).unwrap_or(u32::MAX);
        let mut message = len.to_ne_bytes().to_vec();
        message.extend(self.family.to_ne_bytes());
        message.extend(u16::try_from(flags).unwrap_or_default().to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend([0; 4]); // our port, which the kernel knows
        message.extend([command, self.version, 0, 0]);
        message.extend(attributes);
        message
    }

    /// The answer to the last request: its attributes, or the error.
    pub fn answer(&mut self) -> Result<Vec<RawAttr>> {
        match self.answer_to(self.sequence)? {
            Ok(attributes) => Ok(attributes),
            Err(refusal) => Err(io::Error::from_raw_os_error(refusal.errno).into()),
        }
    }

    /// The answer to a request; those to earlier ones are lost.
    fn answer_to(&mut self, sequence: u32) -> Result<Answer> {
        let mut attributes = Vec::new();
        loop {
            let (bytes, _) = socket::receive(&self.fd, libc::MSG_DONTWAIT)?;
            for (number, kind, body) in split(&bytes)? {
                if number != sequence {
                    continue;
                }
                // A dump ends with the second.
                if kind == NLMSG_ERROR || kind == NLMSG_DONE {
                    return Ok(match word(body, 0).cast_signed() {
                        0 => Ok(attributes),
                        code => Err(Refusal::new(-code, body)?),
                    });
                }
                attributes = RawAttr::decode_all(body.get(GENL_HEADER..).unwrap_or_default())?;
            }
        }
    }

    /// The reply to the last request, if only its acknowledgment was lost.
    ///
    /// The kernel says by `ENOBUFS` that something was lost, before what was not.
    pub fn reply_without_answer(&self) -> Result<Option<Vec<RawAttr>>> {
        let mut reply = None;
        while let Ok((bytes, _)) = socket::receive(&self.fd, libc::MSG_DONTWAIT) {
            if word(&bytes, 8) == self.sequence && half(&bytes, 4) == self.family {
                let attributes = bytes.get(HEADER + GENL_HEADER..).unwrap_or_default();
                reply = Some(RawAttr::decode_all(attributes)?);
            }
        }
        Ok(reply)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whichever_message_says_that_it_was_interrupted() {
        let message = |flags: u16, body: usize| {
            let mut bytes = vec![0; HEADER + body];
            let len = u32::try_from(bytes.len()).unwrap();
            bytes[..4].copy_from_slice(&len.to_ne_bytes());
            bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let part = |flags: [u16; 3]| {
            [
                message(flags[0], 5),
                message(flags[1], 8),
                message(flags[2], 4),
            ]
        };
        assert!(!RawNetlink::is_interrupted(&part([2, 2, 2]).concat()));
        for flags in [[0x12, 2, 2], [2, 0x12, 2], [2, 2, 0x12]] {
            assert!(RawNetlink::is_interrupted(&part(flags).concat()));
        }
        assert!(!RawNetlink::is_interrupted(&[0; 40]));
        assert!(!RawNetlink::is_interrupted(&[]));
    }
}
