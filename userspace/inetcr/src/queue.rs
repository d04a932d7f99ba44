// SPDX-License-Identifier: GPL-2.0
//! Dumps and restores the datagrams and errors that wait in a socket, and the datagram that is corked.

use crate::attr::RawAttr;
use crate::client::{Client, Restored, Target, restored};
use crate::cork::{Cork, CorkHeader};
use crate::datagram::{Datagram, DatagramHeader, missing};
use crate::error::{DecodeError, Error};
use crate::map::Maps;
use crate::snapshot::Snapshot;
use crate::state::{CORK, DATAGRAM, PAYLOAD, TRANSACTION};
use crate::table::{Command, SOCKET};
use crate::types::Transaction;
use crate::value::Value as _;

/// Largest piece of payload in one attribute, `payload-max` of the specification.
pub const PAYLOAD_MAX: usize = 16384;
/// Bytes of attributes in one message of a transaction, as many as a socket takes without a change
/// of its send buffer.
const MESSAGE_LEN: usize = 64 * 1024;

/// What a socket holds beside its state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The datagrams that wait to be received, the oldest first.
    pub queue: Vec<Datagram>,
    /// The datagram that is corked, if there is one.
    pub corked: Option<Cork>,
}

impl Client {
    /// The errors that wait in a socket, then the datagrams, each the oldest first. They stay
    /// there.
    pub fn queue<'a>(&mut self, target: impl Into<Target<'a>>) -> Result<Vec<Datagram>, Error> {
        Ok(self.contents(target)?.queue)
    }

    /// The datagrams that wait in a socket, and the one that is corked. They stay there.
    pub fn contents<'a>(&mut self, target: impl Into<Target<'a>>) -> Result<Contents, Error> {
        let messages = self.raw_multipart(Command::Queue.number(), &target.into().to_attrs())?;
        Ok(assemble(&messages)?)
    }

    /// Dumps a socket with the datagrams that wait in it, and the one that is corked.
    pub fn snapshot<'a>(&mut self, target: impl Into<Target<'a>>) -> Result<Snapshot, Error> {
        let Target { selector, cookie } = target.into();
        let state = self.dump(Target { selector, cookie })?;
        if !state.has_contents() {
            return Ok(state.into());
        }
        // A descriptor may name another socket by now.
        let cookie = state.cookie.or(cookie);
        let Contents { queue, corked } = self.contents(Target { selector, cookie })?;
        Ok(Snapshot::new(state, queue, corked))
    }

    /// Makes a new socket of a dumped one, with the datagrams that waited in it, and the one that
    /// was corked.
    pub fn restore_snapshot(&mut self, snapshot: &Snapshot) -> Result<Restored, Error> {
        self.restore_snapshot_with(snapshot, &Maps::default())
    }

    /// The same in another place, see [`Maps`].
    pub fn restore_snapshot_with(
        &mut self,
        snapshot: &Snapshot,
        maps: &Maps,
    ) -> Result<Restored, Error> {
        let attrs = [snapshot.state.to_attrs(), maps.to_attrs()].concat();
        let attrs = self.allowing(attrs);
        if snapshot.queue.is_empty() && snapshot.corked.is_none() {
            return self.restore_attrs(&attrs);
        }
        let corked = snapshot.corked.as_ref();
        let [_, last] = self.transact(Command::Restore, attrs, &snapshot.queue, corked)?;
        restored(&last)
    }

    /// Sends all parts of a transaction, of which `begin` is the first. Returns the answers to that
    /// and to the last.
    pub(crate) fn transact(
        &mut self,
        command: Command,
        begin: Vec<RawAttr>,
        queue: &[Datagram],
        corked: Option<&Cork>,
    ) -> Result<[Vec<RawAttr>; 2], Error> {
        let result = self.all_parts(command, begin, queue, corked);
        if result.is_err() {
            // Most errors end it, but not one of the way to the kernel. If there is none any more,
            // that is what is wanted.
            let _ = self.part(command, Transaction::Abort, Vec::new());
        }
        result
    }

    fn all_parts(
        &mut self,
        command: Command,
        begin: Vec<RawAttr>,
        queue: &[Datagram],
        corked: Option<&Cork>,
    ) -> Result<[Vec<RawAttr>; 2], Error> {
        let first = self.part(command, Transaction::Begin, begin)?;
        let warning = self.warning.take();
        for attrs in messages(queue, corked) {
            self.part(command, Transaction::Queue, attrs)?;
        }
        let last = self.part(command, Transaction::Commit, Vec::new())?;
        self.warning = self.warning.take().or(warning);
        Ok([first, last])
    }

    fn part(
        &mut self,
        command: Command,
        part: Transaction,
        mut attrs: Vec<RawAttr>,
    ) -> Result<Vec<RawAttr>, Error> {
        attrs.push(part.encode(TRANSACTION));
        self.raw(command.number(), &attrs)
    }
}

/// A datagram that is being put together.
struct Item {
    header: Header,
    payload: Vec<u8>,
}

enum Header {
    Datagram(DatagramHeader),
    Cork(CorkHeader),
}

impl Item {
    fn new(header: Header) -> Self {
        let payload = Vec::new();
        Self { header, payload }
    }

    fn missing(&self) -> Option<usize> {
        let len = match &self.header {
            Header::Datagram(header) => header.len,
            Header::Cork(header) => header.len,
        };
        missing(len, &self.payload)
    }
}

/// Puts datagrams together from the messages that the kernel made of them: the payloads fill them
/// in their order. The corked one is the last.
fn assemble(messages: &[Vec<RawAttr>]) -> Result<Contents, DecodeError> {
    let mut items = Vec::<Item>::new();
    let mut whole = 0;
    for attr in messages.iter().flatten() {
        let refuse = |reason| DecodeError::attribute(SOCKET, attr.number(), reason);
        let is_cork = |item: &Item| matches!(item.header, Header::Cork(_));
        match attr.number() {
            DATAGRAM | CORK if items.last().is_some_and(is_cork) => {
                return Err(refuse("comes behind the corked datagram".to_owned()));
            }
            DATAGRAM => {
                let header = DatagramHeader::decode(&attr.payload).map_err(refuse)?;
                items.push(Item::new(Header::Datagram(header)));
            }
            CORK => {
                let header = CorkHeader::decode(&attr.payload).map_err(refuse)?;
                items.push(Item::new(Header::Cork(header)));
            }
            PAYLOAD => {
                let rest = items.get_mut(whole..).unwrap_or_default();
                let filled = rest.iter().take_while(|one| one.missing() == Some(0));
                let filled = filled.count();
                let item = rest.get_mut(filled).filter(|one| {
                    let missing = one.missing().unwrap_or(0);
                    missing >= attr.payload.len()
                });
                let no_place = || refuse("does not fit the datagrams before it".to_owned());
                let item = item.ok_or_else(no_place)?;
                item.payload.extend_from_slice(&attr.payload);
                whole += filled;
            }
            _ => return Err(refuse("does not belong to a queue".to_owned())),
        }
    }
    if items.iter().any(|item| item.missing() != Some(0)) {
        let text = "a datagram whose payload is not there".to_owned();
        return Err(DecodeError::Message(text));
    }
    let mut contents = Contents::default();
    for Item { header, payload } in items {
        match header {
            Header::Datagram(header) => contents.queue.push(Datagram { header, payload }),
            Header::Cork(header) => contents.corked = Some(Cork { header, payload }),
        }
    }
    Ok(contents)
}

/// The messages that bring datagrams back, each with as much as it can have.
fn messages<'a>(
    queue: &'a [Datagram],
    corked: Option<&'a Cork>,
) -> impl Iterator<Item = Vec<RawAttr>> + 'a {
    let queue = queue
        .iter()
        .map(|one| (one.header.encode(DATAGRAM), &one.payload));
    let corked = corked.map(|one| (one.header.encode(CORK), &one.payload));
    let mut attrs = queue.chain(corked).flat_map(attributes).peekable();
    std::iter::from_fn(move || {
        let mut message = Vec::new();
        let mut room = MESSAGE_LEN;
        while let Some(attr) = attrs.next_if(|attr| attr.wire_len() <= room) {
            room -= attr.wire_len();
            message.push(attr);
        }
        Some(message).filter(|message| !message.is_empty())
    })
}

fn attributes((header, payload): (RawAttr, &Vec<u8>)) -> impl Iterator<Item = RawAttr> + '_ {
    let pieces = payload.chunks(PAYLOAD_MAX);
    let pieces = pieces.map(|piece| RawAttr::new(PAYLOAD, piece));
    std::iter::once(header).chain(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(len: usize) -> Datagram {
        let header = DatagramHeader {
            len: u32::try_from(len).ok(),
            ttl: Some(64),
            ..DatagramHeader::default()
        };
        Datagram {
            header,
            payload: (0..=u8::MAX).cycle().take(len).collect(),
        }
    }

    fn cork(len: usize) -> Cork {
        let header = CorkHeader {
            len: u32::try_from(len).ok(),
            dest_port: Some(53),
            ..CorkHeader::default()
        };
        Cork {
            header,
            payload: (0..=u8::MAX).rev().cycle().take(len).collect(),
        }
    }

    #[test]
    fn datagrams_of_any_size_go_through_messages_unchanged() {
        for lengths in [
            &[][..],
            &[0],
            &[1, 0, 0, 5],
            &[65507, 16384, 16385],
            &[1472; 300],
        ] {
            let queue: Vec<_> = lengths.iter().map(|len| datagram(*len)).collect();
            for corked in [None, Some(cork(0)), Some(cork(65507))] {
                let messages: Vec<_> = messages(&queue, corked.as_ref()).collect();
                for message in &messages {
                    let len = RawAttr::encode_all(message).len();
                    assert!(len <= MESSAGE_LEN, "{len} bytes");
                }
                let queue = queue.clone();
                let contents = Contents { queue, corked };
                assert_eq!(assemble(&messages).unwrap(), contents);
            }
        }
    }

    #[test]
    fn payloads_may_come_behind_all_datagrams() {
        let queue: Vec<_> = [0, 3, 0, 20_000, 1].map(datagram).into();
        let corked = Some(cork(7));
        let mut messages: Vec<_> = messages(&queue, corked.as_ref()).collect();
        for message in &mut messages {
            message.sort_by_key(|attr| attr.number() == PAYLOAD);
        }
        let contents = Contents { queue, corked };
        assert_eq!(assemble(&messages).unwrap(), contents);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let header = |len| datagram(len).header.encode(DATAGRAM);
        let corked = |len| cork(len).header.encode(CORK);
        let payload = |len: usize| RawAttr::new(PAYLOAD, vec![0; len]);
        for (attrs, word) in [
            (vec![payload(1)], "does not fit"),
            (vec![header(2), payload(3)], "does not fit"),
            (vec![header(0), payload(1)], "does not fit"),
            (vec![header(1), header(1), payload(2)], "does not fit"),
            (vec![header(1)], "not there"),
            (vec![header(2), payload(1)], "not there"),
            (vec![header(1), header(1), payload(1)], "not there"),
            (vec![RawAttr::nested(DATAGRAM, &[])], "not there"),
            (vec![corked(1)], "not there"),
            (vec![corked(0), header(0)], "behind"),
            (vec![corked(0), corked(0)], "behind"),
            (vec![RawAttr::u32(1, 1)], "(inode) does not belong"),
            (
                vec![RawAttr::nested(DATAGRAM, &[RawAttr::u32(21, 3)])],
                "(error-origin) is 3",
            ),
        ] {
            let error = assemble(&[attrs]).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
