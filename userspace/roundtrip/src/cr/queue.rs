// SPDX-License-Identifier: GPL-2.0

//! A socket with the datagrams that wait in it, and the transaction that brings both back.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, bail, ensure};
use inetcr::{Client, CorkHeader, DatagramHeader, Error, RawAttr, Restored, Selector, Target};

use super::{AMEND, Dump, QUEUE, RESTORE, attr, dump_by};

/// A part of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Begin = 1,
    Queue = 2,
    Commit = 3,
    Abort = 4,
}

impl Part {
    pub const ALL: [Self; 4] = [Self::Begin, Self::Queue, Self::Commit, Self::Abort];

    /// The attributes of this part.
    pub fn of(self, attrs: &[RawAttr]) -> Vec<RawAttr> {
        let part = RawAttr::u32(attr::TRANSACTION, self as u32);
        [attrs, &[part]].concat()
    }

    /// Sends a part that hands out nothing.
    pub fn send(self, client: &mut Client, attrs: &[RawAttr]) -> Result<Vec<RawAttr>, Error> {
        client.raw(RESTORE, &self.of(attrs))
    }

    /// Sends a part about a socket that exists.
    pub fn amend(self, client: &mut Client, attrs: &[RawAttr]) -> Result<Vec<RawAttr>, Error> {
        client.raw(AMEND, &self.of(attrs))
    }

    /// Ends the transaction with the socket.
    pub fn commit(client: &mut Client) -> Result<Restored, Error> {
        client.restore_attrs(&Self::Commit.of(&[]))
    }
}

/// A dumped socket with what waited in it.
#[derive(Clone, Debug)]
pub struct Queued {
    pub dump: Dump,
    /// Datagrams and payloads, as QUEUE gave them.
    pub queue: Vec<RawAttr>,
}

impl Queued {
    /// Dumps a socket of this process.
    pub fn of(client: &mut Client, fd: &impl AsRawFd) -> Result<Self> {
        Self::by(client, Selector::Fd(fd.as_raw_fd()).into())
    }

    /// Dumps by any selector.
    pub fn by(client: &mut Client, target: Target<'_>) -> Result<Self> {
        let dump = dump_by(client, target).context("DUMP")?;
        let messages = client.raw_multipart(QUEUE, &target.to_attrs());
        let queue = messages.context("QUEUE")?.concat();
        let queued = Self { dump, queue };
        // The client library must know all that the kernel says.
        let of_library = client.contents(target)?;
        if let (Some(ours), Some(theirs)) = (queued.cork()?, of_library.corked) {
            let attrs = sorted(theirs.header.to_attrs());
            ensure!(
                sorted(ours.0.0.clone()) == attrs && ours.1 == theirs.payload,
                "the client library changes the cork: {ours:02x?}, {theirs:02x?}"
            );
        }
        for (ours, theirs) in queued.datagrams()?.iter().zip(&of_library.queue) {
            let attrs = sorted(theirs.header.to_attrs());
            ensure!(
                sorted(ours.0.0.clone()) == attrs && ours.1 == theirs.payload,
                "the client library changes a datagram: {ours:02x?}, {theirs:02x?}"
            );
        }
        Ok(queued)
    }

    /// What QUEUE gave: the attributes and the payload of each datagram.
    pub fn datagrams(&self) -> Result<Vec<(Dump, Vec<u8>)>> {
        datagrams(&self.queue)
    }

    /// What QUEUE gave of the corked datagram: the attributes and the payload.
    pub fn cork(&self) -> Result<Option<(Dump, Vec<u8>)>> {
        cork(&self.queue)
    }

    /// Brings the socket back.
    pub fn restore(&self, client: &mut Client) -> Result<UdpSocket> {
        let made = Part::Begin.send(client, &self.dump.0).context("begin")?;
        let made = Dump(made);
        ensure!(
            made.0.len() == 2 && made.get(attr::SOCK_FD).is_none(),
            "begin answers {made:?}"
        );
        for attrs in carrying(&self.queue, 60_000) {
            let answer = Part::Queue.send(client, attrs).context("queue")?;
            ensure!(answer.is_empty(), "queue answers {answer:?}");
        }
        let copy = Part::commit(client).context("commit")?;
        ensure!(
            made.uint(attr::INODE) == Some(copy.inode)
                && made.uint(attr::COOKIE) == Some(copy.cookie),
            "commit hands out another socket than begin made"
        );
        Ok(copy.fd.into())
    }
}

/// Splits attributes into messages of so many bytes at most.
pub fn carrying(attrs: &[RawAttr], room: usize) -> Vec<&[RawAttr]> {
    let mut messages = Vec::new();
    let (mut start, mut len) = (0, 0);
    for (at, attr) in attrs.iter().enumerate() {
        let more = 4 + attr.payload.len().next_multiple_of(4);
        if at > start && len + more > room {
            messages.push(&attrs[start..at]);
            (start, len) = (at, 0);
        }
        len += more;
    }
    if start < attrs.len() {
        messages.push(&attrs[start..]);
    }
    messages
}

/// The attributes and the payload of each datagram in some attributes. The pieces of payload fill
/// the datagrams in their order. Those of the corked one are left out, with all behind them.
pub fn datagrams(attrs: &[RawAttr]) -> Result<Vec<(Dump, Vec<u8>)>> {
    let end = attrs.iter().position(|attr| attr.number() == attr::CORK);
    let attrs = &attrs[..end.unwrap_or(attrs.len())];
    let mut found = Vec::new();
    let mut pieces = Vec::new();
    for attr in attrs {
        match attr.number() {
            attr::DATAGRAM => found.push(Dump(attr.children()?)),
            attr::PAYLOAD => pieces.push(attr.payload.as_slice()),
            other => bail!("attribute {other} does not belong to a queue"),
        }
    }
    let mut pieces = pieces.into_iter();
    let fill = |datagram: Dump| -> Result<_> {
        DatagramHeader::from_attrs(&datagram.0).context("decoding a datagram")?;
        let len = usize::try_from(datagram.u32(1).context("no length")?)?;
        let mut payload = Vec::new();
        while payload.len() < len {
            payload.extend_from_slice(pieces.next().context("a payload that is too short")?);
        }
        ensure!(payload.len() == len, "{} of {len} bytes", payload.len());
        Ok((datagram, payload))
    };
    let found = found.into_iter().map(fill).collect::<Result<Vec<_>>>()?;
    ensure!(pieces.next().is_none(), "more payload than datagrams");
    Ok(found)
}

/// The attributes and the payload of the corked datagram, which is the last in some attributes.
pub fn cork(attrs: &[RawAttr]) -> Result<Option<(Dump, Vec<u8>)>> {
    let mut attrs = attrs.iter().skip_while(|attr| attr.number() != attr::CORK);
    let Some(cork) = attrs.next() else {
        return Ok(None);
    };
    let cork = Dump(cork.children()?);
    CorkHeader::from_attrs(&cork.0).context("decoding the cork")?;
    let mut payload = Vec::new();
    for attr in attrs {
        ensure!(
            attr.number() == attr::PAYLOAD,
            "attribute {} behind the cork",
            attr.number()
        );
        payload.extend_from_slice(&attr.payload);
    }
    let len = cork.u32(1).context("no length")?;
    ensure!(
        u32::try_from(payload.len()) == Ok(len),
        "{} of {len} bytes",
        payload.len()
    );
    Ok(Some((cork, payload)))
}

fn sorted(mut attrs: Vec<RawAttr>) -> Vec<RawAttr> {
    attrs.sort_by_key(RawAttr::number);
    attrs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_as_much_as_there_is_room_for() {
        let attr = |len: usize| RawAttr::new(1, vec![0; len]);
        let lengths = |attrs: &[RawAttr], room| -> Vec<usize> {
            carrying(attrs, room).iter().map(|one| one.len()).collect()
        };
        let attrs = [
            attr(6),
            attr(6),
            attr(0),
            attr(40),
            attr(0),
            attr(8),
            attr(8),
        ];
        assert_eq!(lengths(&attrs, 24), [2, 1, 1, 2, 1]);
        assert_eq!(lengths(&attrs, 1000), [7]);
        assert_eq!(lengths(&attrs, 0), [1; 7]);
        assert_eq!(lengths(&attrs[..1], 24), [1]);
    }
}
