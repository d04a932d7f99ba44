// SPDX-License-Identifier: GPL-2.0

//! What is asked of the original and of the copy.

use std::io;
use std::net::UdpSocket;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use libc::{SOL_IP, SOL_SOCKET, SOL_UDP};

use super::world::{World, address_of};
use crate::cases::queue::HERE;
use crate::cases::queue::traffic::IP_CHECKSUM;
use crate::observe::{Observation, observe};
use crate::places::PEER;
use crate::sys::socket::{self, Message};

/// What is asked, and what the answer is.
type Answer = (&'static str, String);

/// Everything that the calls of a program get from the socket, one after the other, as it uses it
/// up.
pub struct Answers(Vec<Answer>);

/// What is seen of a socket, but for the memory of its queues, which depends on how they were
/// filled, and for what it has dropped, which is a trace of the past.
pub fn seen(socket: &UdpSocket) -> Observation {
    observe(socket).without(&[
        "/proc/net/udp queues",
        "/proc/net/udp drops",
        "SO_MEMINFO",
        "TIOCOUTQ",
    ])
}

impl Answers {
    /// Asks.
    pub fn of(world: &World, socket: &UdpSocket) -> Result<Self> {
        let mut probe = Probe {
            world,
            socket,
            begin: SystemTime::now().duration_since(UNIX_EPOCH)?,
            has_port: socket::name(socket)?.port() != 0,
            answers: Vec::new(),
        };
        probe.read()?;
        let stamp = socket::stamp(socket).map(|[secs, nanos]| {
            let time = Duration::from_secs(secs.cast_unsigned());
            probe.when(time + Duration::from_nanos(nanos.cast_unsigned()))
        });
        probe.note("SIOCGSTAMPNS", stamp);
        probe.send()?;
        probe.be_sent_to()?;
        probe.share()?;
        probe.move_on();
        Ok(Self(probe.answers))
    }

    /// Fails unless the copy gives the same answers.
    pub fn same(&self, copy: &Self) -> Result<()> {
        for (number, (left, right)) in self.0.iter().zip(&copy.0).enumerate() {
            ensure!(
                left == right,
                "answer {number}, {}: {} != {}",
                left.0,
                left.1,
                right.1
            );
        }
        ensure!(self.0.len() == copy.0.len(), "not as many answers");
        Ok(())
    }
}

struct Probe<'a> {
    world: &'a World,
    socket: &'a UdpSocket,
    /// What has a later time got it from the asking.
    begin: Duration,
    /// Whether it has a port, and will not be given any by chance.
    has_port: bool,
    answers: Vec<Answer>,
}

impl Probe<'_> {
    fn note(&mut self, what: &'static str, answer: io::Result<impl ToString>) {
        let answer = match answer {
            Ok(answer) => answer.to_string(),
            Err(error) => error.to_string(),
        };
        self.answers.push((what, answer));
    }

    /// Reads what waits: looks twice at the first bytes, then takes what fits into small buffers
    /// and large ones.
    fn read(&mut self) -> Result<()> {
        for room in [2, 2, 70_000] {
            self.receive("MSG_PEEK", libc::MSG_PEEK, room);
        }
        self.note("poll", socket::events(self.socket));
        self.receive(
            "MSG_ERRQUEUE | MSG_PEEK",
            libc::MSG_ERRQUEUE | libc::MSG_PEEK,
            70_000,
        );
        self.take_error();
        self.receive("recv", 0, 3);
        self.read_all(true)
    }

    fn read_all(&mut self, with_payload: bool) -> Result<()> {
        let all = |probe: &mut Self, what, flags| -> Result<()> {
            // Errors are told in between.
            for _ in 0..1000 {
                let message = probe.message(flags, 70_000);
                let end = message.as_ref().err().and_then(io::Error::raw_os_error);
                let told = message.map(|message| probe.told(&message, with_payload));
                probe.note(what, told);
                if end == Some(libc::EAGAIN) {
                    return Ok(());
                }
            }
            anyhow::bail!("{what} does not end")
        };
        all(self, "MSG_ERRQUEUE", libc::MSG_ERRQUEUE)?;
        all(self, "recv", 0)?;
        self.take_error();
        Ok(())
    }

    fn take_error(&mut self) {
        let error = socket::get_int(self.socket, SOL_SOCKET, libc::SO_ERROR);
        self.note("SO_ERROR", error);
    }

    fn message(&self, flags: i32, room: usize) -> io::Result<Message> {
        socket::receive_message(self.socket, flags | libc::MSG_DONTWAIT, room)
    }

    fn receive(&mut self, what: &'static str, flags: i32, room: usize) {
        let message = self.message(flags, room);
        let told = message.map(|message| self.told(&message, true));
        self.note(what, told);
    }

    /// Lets go what is corked, and sends something else.
    fn send(&mut self) -> Result<()> {
        const UDP_CORK: i32 = 1;
        self.world.got()?;
        let more = socket::send(self.socket, b"more", libc::MSG_MORE | libc::MSG_DONTWAIT);
        self.note("MSG_MORE", more);
        let uncorked = socket::set_int(self.socket, SOL_UDP, UDP_CORK, 0);
        self.note("UDP_CORK", uncorked.map(|()| "off"));
        self.arrived()?;
        for to in [None, Some(PEER)] {
            let sent = socket::send_message(self.socket, to, &[], b"probe", libc::MSG_DONTWAIT);
            self.note("send", sent);
            self.arrived()?;
        }
        // Of a packet that it sent itself, the header has a number that no other packet has.
        self.read_all(false)
    }

    /// What has arrived at the peers.
    fn arrived(&mut self) -> Result<()> {
        for mut message in self.world.got()? {
            if !self.has_port {
                message.from = None;
            }
            let told = self.told(&message, true);
            self.note("at the peer", Ok(told));
        }
        Ok(())
    }

    /// Gets something of its peers.
    fn be_sent_to(&mut self) -> Result<()> {
        if self.has_port && self.world.is_alone() {
            // Nothing need be there to send to, such as an address that is not there.
            let sent = self.world.hello(address_of(self.socket)?);
            self.note("hello", sent.map(|()| "sent").map_err(io::Error::other));
            self.read_all(true)?;
        }
        Ok(())
    }

    /// Whether others may bind where it is. If there are others, it depends on who was there first.
    fn share(&mut self) -> Result<()> {
        if !self.has_port || !self.world.is_alone() {
            return Ok(());
        }
        for (what, option) in [
            ("SO_REUSEPORT of another", libc::SO_REUSEPORT),
            ("SO_REUSEADDR of another", libc::SO_REUSEADDR),
        ] {
            let other = socket::udp()?;
            socket::set_int(&other, SOL_SOCKET, option, 1)?;
            let bound = socket::bind(&other, socket::name(self.socket)?);
            self.note(what, bound.map(|()| "bound"));
        }
        Ok(())
    }

    /// Goes elsewhere.
    fn move_on(&mut self) {
        let left = socket::disconnect(self.socket).map(|()| "disconnected");
        self.note("connect to nobody", left);
        if self.has_port {
            self.note("getsockname", socket::name(self.socket));
            let again = socket::bind(self.socket, HERE).map(|()| "bound");
            let is_bound = again.is_ok();
            self.note("bind", again);
            if is_bound {
                let connected = socket::connect(self.socket, PEER).map(|()| "connected");
                self.note("connect", connected);
            }
        }
    }

    /// A time of seconds and a part of them, which is so many nanoseconds.
    fn time(&self, bytes: &[u8], part: u64) -> String {
        let number = |at: usize| {
            let bytes = bytes.get(at..at + 8).and_then(|one| one.try_into().ok());
            bytes.map_or(0, u64::from_ne_bytes)
        };
        self.when(Duration::from_secs(number(0)) + Duration::from_nanos(number(8) * part))
    }

    /// A time in words.
    fn when(&self, time: Duration) -> String {
        if time >= self.begin {
            "now".into()
        } else {
            format!("{time:?}")
        }
    }

    /// A message in words.
    fn told(&self, message: &Message, with_payload: bool) -> String {
        let Message {
            payload,
            from,
            flags,
            control,
        } = message;
        let sum = payload
            .iter()
            .fold(0_u32, |sum, byte| sum.wrapping_mul(31) + u32::from(*byte));
        let sum = if with_payload { sum } else { 0 };
        let control: Vec<_> = control
            .iter()
            .map(|(level, kind, data)| self.told_control(*level, *kind, data))
            .collect();
        let len = payload.len();
        format!("{len} bytes ({sum:x}) of {from:?}, flags {flags:#x}, {control:?}")
    }

    fn told_control(&self, level: i32, kind: i32, data: &[u8]) -> String {
        const TIME_STAMP: u8 = 68;
        let data = match (level, kind) {
            (SOL_SOCKET, 29 | 63) => self.time(data, 1000),
            (SOL_SOCKET, 35 | 64) => self.time(data, 1),
            (SOL_SOCKET, 37 | 65) => {
                let times: Vec<_> = data.chunks(16).map(|one| self.time(one, 1)).collect();
                format!("{times:?}")
            }
            // Filled in on the way.
            (SOL_IP, libc::IP_RECVOPTS | libc::IP_RETOPTS) if data.first() == Some(&TIME_STAMP) => {
                "a time stamp".into()
            }
            // The same sum has many forms in 32 bits, which depend on the pieces that were added.
            (SOL_IP, IP_CHECKSUM) => {
                let bytes = <[u8; 4]>::try_from(data).unwrap_or_default();
                format!("{}", u32::from_ne_bytes(bytes) % 0xffff)
            }
            _ => format!("{data:02x?}"),
        };
        format!("{level} {kind}: {data}")
    }
}
