// SPDX-License-Identifier: GPL-2.0

//! A datagram that was begun and not sent yet (`UDP_CORK`, `MSG_MORE`) comes back as it is, and
//! goes out as it would have.

mod begun;
mod faults;
mod meanwhile;
mod refusals;
mod stamps;

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use anyhow::{Context, Result, ensure};
use inetcr::Client;
use libc::{SOL_IP, SOL_SOCKET, SOL_UDP};

use super::queue::{HERE, drain, payload, same_messages, tell};
use crate::cr::{self, Queued, attr};
use crate::observe::{Observation, observe, same};
use crate::places::{GROUP, PEER};
use crate::runner::Test;
use crate::sys::socket::{self, Control, Message};

pub fn tests() -> Vec<Test> {
    [
        begun::tests(),
        stamps::tests(),
        refusals::tests(),
        meanwhile::tests(),
        faults::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const UDP_CORK: i32 = 1;

/// A socket with a corked datagram, as it is made.
#[derive(Clone)]
struct Begin {
    /// Where it is bound to, and what else is done before.
    before: fn(&UdpSocket) -> Result<()>,
    /// Where the datagram goes to: to the peer if there is no address.
    to: Option<SocketAddrV4>,
    /// Control messages of the first call.
    control: Vec<Control>,
    /// Flags of the first call.
    flags: i32,
    /// What is sent, call by call.
    sizes: &'static [usize],
    /// What is done when it was begun.
    after: fn(&UdpSocket) -> Result<()>,
}

/// How datagrams are corked, and how they get out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// By the option, which is taken back.
    Option,
    /// By the flag, until somebody sends without it.
    Flag,
    /// By the flag, and then by the option, which takes back what was never there.
    Mixed,
}

impl Style {
    const ALL: [Self; 3] = [Self::Option, Self::Flag, Self::Mixed];

    /// Lets the datagram out. Gives the error number if that fails.
    fn finish(self, socket: &UdpSocket) -> Option<i32> {
        let result = match self {
            Self::Option | Self::Mixed => socket::set_int(socket, SOL_UDP, UDP_CORK, 0),
            Self::Flag => socket::send(socket, b"and more", libc::MSG_MORE)
                .and_then(|_| socket::send(socket, b", the end", 0))
                .map(drop),
        };
        result.err().and_then(|error| error.raw_os_error())
    }
}

impl Begin {
    /// A bound socket that sends five bytes to the peer.
    fn plain() -> Self {
        Self {
            before: |socket| Ok(socket::bind(socket, HERE)?),
            to: Some(PEER),
            control: Vec::new(),
            flags: 0,
            sizes: &[5],
            after: |_| Ok(()),
        }
    }

    /// With a control message of an `int`.
    fn with_int(level: i32, kind: i32, value: i32) -> Self {
        Self::with(level, kind, &value.to_ne_bytes())
    }

    /// With a control message.
    fn with(level: i32, kind: i32, data: &[u8]) -> Self {
        Self {
            control: vec![(level, kind, data.to_vec())],
            ..Self::plain()
        }
    }

    /// Makes the socket.
    fn make(&self, style: Style) -> Result<UdpSocket> {
        let socket = socket::udp()?;
        (self.before)(&socket).context("before")?;
        let more = if style == Style::Option {
            socket::set_int(&socket, SOL_UDP, UDP_CORK, 1)?;
            0
        } else {
            libc::MSG_MORE
        };
        for (number, size) in self.sizes.iter().enumerate() {
            let payload = payload(number, *size);
            // Of what is added, only the payload counts.
            let (to, control, flags) = match number {
                0 => (self.to, self.control.as_slice(), more | self.flags),
                _ => (None, [].as_slice(), more),
            };
            let sent = socket::send_message(&socket, to, control, &payload, flags);
            let sent = sent.with_context(|| format!("sending {size} bytes"))?;
            ensure!(sent == *size, "{sent} of {size} bytes were sent");
        }
        (self.after)(&socket).context("after")?;
        Ok(socket)
    }
}

/// The receiver, which is told everything but the time.
fn receiver() -> Result<UdpSocket> {
    let receiver = socket::udp()?;
    tell(&receiver, false)?;
    socket::set_int(&receiver, SOL_SOCKET, libc::SO_RCVBUF, 1_000_000)?;
    socket::bind(
        &receiver,
        SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PEER.port()),
    )?;
    // A member of the group on the device that there is.
    let mreqn = [GROUP.octets(), [0; 4], 1_i32.to_ne_bytes()].concat();
    socket::set(&receiver, SOL_IP, libc::IP_ADD_MEMBERSHIP, &mreqn)?;
    Ok(receiver)
}

/// What is seen of a socket, but for the memory of its queues, which depends on how they were
/// filled.
fn seen(socket: &UdpSocket) -> Observation {
    observe(socket).without(&["/proc/net/udp queues", "TIOCOUTQ"])
}

/// Dumps a socket with a corked datagram, and sees that this changes nothing.
fn dumped(client: &mut Client, original: &UdpSocket) -> Result<Queued> {
    let before = observe(original);
    let queued = Queued::of(client, original)?;
    same("the dump changed the original", &before, &observe(original))?;
    let (cork, payload) = queued.cork()?.context("QUEUE has no cork")?;
    let len = queued.dump.u32(attr::CORK_LEN).context("no cork-len")?;
    ensure!(
        cork.u32(1) == Some(len) && u32::try_from(payload.len()) == Ok(len),
        "cork-len is {len}, the cork is {cork:?}, and there are {} bytes",
        payload.len()
    );
    let again = Queued::of(client, original)?;
    ensure!(
        again.queue == queued.queue && again.dump == queued.dump,
        "another dump has another cork"
    );
    Ok(queued)
}

/// Brings a socket back, and sees that its cork is what it was, and that nothing went out.
fn restored(client: &mut Client, queued: &Queued, receiver: &UdpSocket) -> Result<UdpSocket> {
    let copy = queued.restore(client)?;
    let again = dumped(client, &copy).context("the copy")?;
    cr::same_dump(&queued.dump, &again.dump)?;
    ensure!(
        again.queue == queued.queue,
        "the cork of the copy is {:02x?}, not {:02x?}",
        again.cork()?,
        queued.cork()?
    );
    let early = drain(receiver)?;
    ensure!(early.is_empty(), "sent by the restore: {early:02x?}");
    Ok(copy)
}

/// Takes a socket round, and sees that what it sends in the end is what one sends that was left in
/// peace, and one that was dumped. Gives that.
fn goes_out(begin: &Begin, style: Style) -> Result<Vec<Message>> {
    let mut client = cr::client()?;
    let receiver = receiver()?;
    let end = |socket: &UdpSocket| -> Result<_> {
        let errno = style.finish(socket);
        Ok((errno, drain(&receiver)?))
    };
    let same_end = |what: &str, left: &(_, Vec<_>), right: &(_, Vec<_>)| {
        ensure!(left.0 == right.0, "{what}: {:?}, {:?}", left.0, right.0);
        same_messages(&left.1, &right.1).context(what.to_owned())
    };

    let in_peace = end(&begin.make(style)?)?;
    let original = begin.make(style)?;
    let before = seen(&original);
    let queued = dumped(&mut client, &original)?;
    same_end("of what was dumped", &in_peace, &end(&original)?)?;
    drop(original);

    let original = begin.make(style)?;
    let queued_again = dumped(&mut client, &original)?;
    ensure!(queued.queue == queued_again.queue, "two that are not equal");
    drop(original);
    let copy = restored(&mut client, &queued_again, &receiver)?;
    same("original != copy", &before, &seen(&copy))?;
    same_end("of the copy", &in_peace, &end(&copy)?)?;
    // And then it is as any other.
    let left = cr::dump(&mut client, &copy)?;
    ensure!(left.get(attr::CORK_LEN).is_none(), "a cork is left");
    Ok(in_peace.1)
}
