// SPDX-License-Identifier: GPL-2.0
//! The image as records: what they are, and how they are read.

use std::io::{self, BufRead, Read as _};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{ImageError, MEMORY_MAX};
use crate::cork::{Cork, CorkHeader};
use crate::datagram::{Datagram, DatagramHeader, digits};
use crate::human;
use crate::snapshot::Snapshot;
use crate::state::State;

/// The version of records that this library writes and reads. The first has the number behind those
/// of documents, so that no number means two things.
pub(super) const VERSION: u32 = 4;

/// Length of a line. The longest that a socket can lead to are those of its state, with a filter and
/// thousands of memberships, and of a datagram of 64 KiB, in hexadecimal digits.
pub(super) const LINE_MAX: usize = 4 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) format: String,
    pub(super) version: u32,
}

/// What the last line says of all others.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    sockets: u64,
    datagrams: u64,
    sha256: String,
}

/// Any line but the first: a socket, a datagram or the corked one of the socket before it, or the
/// end.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    socket: Option<State>,
    datagram: Option<DatagramHeader>,
    cork: Option<CorkHeader>,
    payload: Option<Payload>,
    end: Option<End>,
}

#[derive(Deserialize)]
struct Payload(#[serde(with = "digits")] Vec<u8>);

enum Record {
    Socket(Box<State>),
    Datagram(Datagram),
    Cork(Cork),
    End(End),
}

impl Line {
    fn record(self) -> Option<Record> {
        let Self {
            socket,
            datagram,
            cork,
            payload,
            end,
        } = self;
        let payload = payload.map(|payload| payload.0);
        Some(match (socket, datagram, cork, payload, end) {
            (Some(state), None, None, None, None) => Record::Socket(Box::new(state)),
            (None, Some(header), None, Some(payload), None) => {
                Record::Datagram(Datagram { header, payload })
            }
            (None, None, Some(header), Some(payload), None) => {
                Record::Cork(Cork { header, payload })
            }
            (None, None, None, None, Some(end)) => Record::End(end),
            _ => return None,
        })
    }
}

/// What has been written or read so far.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) sockets: u64,
    pub(super) datagrams: u64,
    pub(super) hash: Sha256,
}

impl Seen {
    pub(super) fn end(&self) -> End {
        End {
            sockets: self.sockets,
            datagrams: self.datagrams,
            sha256: human::digits(&self.hash.clone().finalize()),
        }
    }
}

/// Reads the records of an image.
pub(super) struct Records<R> {
    reader: R,
    seen: Seen,
    line: u64,
    /// The socket whose record was read last.
    next: Option<Box<State>>,
    /// Nothing comes any more.
    ended: bool,
    /// How much memory is left, of how much.
    room: usize,
    limit: usize,
    keeps_all: bool,
}

impl<R: BufRead> Records<R> {
    /// The rest of an image of which the first line was read.
    pub(super) fn new(header: &[u8], reader: R) -> Result<Self, ImageError> {
        let mut records = Self {
            reader,
            seen: Seen::default(),
            line: 1,
            next: None,
            ended: false,
            room: MEMORY_MAX,
            limit: MEMORY_MAX,
            keeps_all: false,
        };
        let Header { .. } = serde_json::from_slice(header).map_err(|e| records.flaw(&e))?;
        records.seen.hash.update(header);
        Ok(records)
    }

    /// All sockets are kept by the caller: together they must not take more than one may.
    pub(super) fn keep_all(&mut self) {
        self.keeps_all = true;
    }

    /// The next socket; none behind the last.
    pub(super) fn next_socket(&mut self) -> Result<Option<Snapshot>, ImageError> {
        if self.ended {
            return Ok(None);
        }
        // Whatever goes wrong, nothing is read behind it.
        let socket = self.read_socket();
        self.ended |= socket.is_err();
        socket
    }

    fn read_socket(&mut self) -> Result<Option<Snapshot>, ImageError> {
        if !self.keeps_all {
            self.room = self.limit;
        }
        let state = match self.next.take() {
            Some(state) => state,
            None if self.ended => return Ok(None),
            None => match self.record()? {
                Record::Socket(state) => state,
                Record::End(end) => return self.check(&end).map(|()| None),
                _ => return Err(self.flaw(&"a datagram of no socket")),
            },
        };
        let mut socket = Snapshot::from(*state);
        self.take(socket.memory())?;
        self.seen.sockets += 1;
        loop {
            match self.record()? {
                Record::Socket(state) => {
                    self.next = Some(state);
                    break;
                }
                Record::End(end) => {
                    self.check(&end)?;
                    break;
                }
                _ if socket.corked.is_some() => {
                    return Err(self.flaw(&"it comes behind the corked datagram"));
                }
                Record::Datagram(datagram) => {
                    self.take(datagram.memory())?;
                    socket.queue.push(datagram);
                }
                Record::Cork(cork) => {
                    let before = socket.memory();
                    socket.corked = Some(cork);
                    self.take(socket.memory() - before)?;
                }
            }
            self.seen.datagrams += 1;
        }
        match socket.flaw() {
            None => Ok(Some(socket)),
            Some(flaw) => {
                let number = usize::try_from(self.seen.sockets).unwrap_or(usize::MAX);
                Err(ImageError::Queue(number, flaw))
            }
        }
    }

    /// Reads a line. All but the last count for the checksum.
    fn record(&mut self) -> Result<Record, ImageError> {
        self.line += 1;
        let line = read_line(&mut self.reader)?;
        if line.len() > LINE_MAX {
            return Err(ImageError::TooLarge("a record is", LINE_MAX));
        }
        if line.last() != Some(&b'\n') {
            return Err(ImageError::Truncated);
        }
        let parsed: Line = serde_json::from_slice(&line).map_err(|error| self.flaw(&error))?;
        let record = parsed
            .record()
            .ok_or_else(|| self.flaw(&"it is no record"))?;
        if !matches!(record, Record::End(_)) {
            self.seen.hash.update(&line);
        }
        Ok(record)
    }

    /// Compares what was read with what the last line says, and sees that it is the last.
    fn check(&mut self, end: &End) -> Result<(), ImageError> {
        self.ended = true;
        let seen = self.seen.end();
        if end.sha256 != seen.sha256 {
            return Err(ImageError::Checksum);
        }
        if *end != seen {
            return Err(self.flaw(&"it counts otherwise"));
        }
        if !self.reader.fill_buf().map_err(input_error)?.is_empty() {
            return Err(self.flaw(&"something comes behind it"));
        }
        Ok(())
    }

    fn take(&mut self, memory: usize) -> Result<(), ImageError> {
        let left = self.room.checked_sub(memory);
        let what = if self.keeps_all {
            "it is"
        } else {
            "a socket is"
        };
        self.room = left.ok_or(ImageError::TooLarge(what, self.limit))?;
        Ok(())
    }

    fn flaw(&self, reason: &impl ToString) -> ImageError {
        ImageError::Record {
            line: self.line,
            reason: reason.to_string(),
        }
    }
}

/// A line with its newline, if there is one, or more than a line may have.
pub(super) fn read_line(reader: &mut impl BufRead) -> Result<Vec<u8>, ImageError> {
    let mut line = Vec::new();
    let most = u64::try_from(LINE_MAX + 1).unwrap_or(u64::MAX);
    let mut reader = reader.take(most);
    reader.read_until(b'\n', &mut line).map_err(input_error)?;
    Ok(line)
}

/// What the system says is about the file; else it is what the file has.
pub(super) fn input_error(error: io::Error) -> ImageError {
    if error.raw_os_error().is_some() {
        ImageError::Read(error)
    } else if error.kind() == io::ErrorKind::UnexpectedEof {
        ImageError::Truncated
    } else {
        ImageError::Compressed(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Compression, ImageWriter};

    /// An image of sockets with a datagram of so many bytes each.
    fn image(lens: &[usize]) -> Vec<u8> {
        let mut writer = ImageWriter::new(Vec::new(), Compression::None).unwrap();
        for &len in lens {
            let header = DatagramHeader {
                len: u32::try_from(len).ok(),
                ..DatagramHeader::default()
            };
            let payload = vec![0; len];
            let queue = vec![Datagram { header, payload }];
            writer
                .add(&Snapshot::new(State::default(), queue, None))
                .unwrap();
        }
        writer.finish().unwrap()
    }

    fn read(file: &[u8], limit: usize, keeps_all: bool) -> Result<usize, ImageError> {
        let mut rest = file;
        let header = read_line(&mut rest)?;
        let mut records = Records::new(&header, rest)?;
        (records.room, records.limit, records.keeps_all) = (limit, limit, keeps_all);
        let mut count = 0;
        while records.next_socket()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn memory_is_for_one_socket_or_for_all_that_are_kept() {
        let file = image(&[40_000, 10, 50_000]);
        assert_eq!(read(&file, 60_000, false).unwrap(), 3);
        assert_eq!(read(&file, 110_000, true).unwrap(), 3);
        for (limit, keeps_all) in [(60_000, true), (40_000, false)] {
            let error = read(&file, limit, keeps_all).unwrap_err();
            assert!(matches!(error, ImageError::TooLarge(_, _)), "{error}");
        }
    }

    #[test]
    fn options_and_a_corked_datagram_take_memory_too() {
        let options = Some(vec![0; 50_000]);
        let ip = crate::Ip {
            options: options.clone(),
            ..crate::Ip::default()
        };
        let state = State {
            ip: Some(ip),
            ..State::default()
        };
        let cork = |options, payload: Vec<u8>| {
            let header = CorkHeader {
                len: u32::try_from(payload.len()).ok(),
                options,
                ..CorkHeader::default()
            };
            let cork = Cork { header, payload };
            Snapshot::new(State::default(), Vec::new(), Some(cork))
        };
        for socket in [
            state.into(),
            cork(options, Vec::new()),
            cork(None, vec![0; 50_000]),
        ] {
            let mut writer = ImageWriter::new(Vec::new(), Compression::None).unwrap();
            writer.add(&socket).unwrap();
            let file = writer.finish().unwrap();
            assert_eq!(read(&file, 60_000, false).unwrap(), 1);
            let error = read(&file, 40_000, false).unwrap_err();
            assert!(matches!(error, ImageError::TooLarge(_, _)), "{error}");
        }
    }

    #[test]
    fn nothing_is_read_behind_an_error() {
        let mut file = image(&[1, 2]);
        let place = file.windows(5).position(|five| five == b"\"len\"");
        file[place.unwrap() + 1] = b'L';
        let mut rest = file.as_slice();
        let header = read_line(&mut rest).unwrap();
        let mut records = Records::new(&header, rest).unwrap();
        assert!(records.next_socket().is_err());
        assert_eq!(records.next_socket().unwrap(), None);
    }
}
