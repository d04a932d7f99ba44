// SPDX-License-Identifier: GPL-2.0
//! The image as records: how they are written.

use std::io::{self, BufWriter, Write};

use serde::Serialize;
use sha2::Digest as _;

use super::records::{End, Header, LINE_MAX, Seen, VERSION};
use super::{Compression, FORMAT, ImageError, MEMORY_MAX};
use crate::snapshot::Snapshot;
use crate::state::State;

/// What zstd calls level 3 is its usual one.
const LEVEL: i32 = 3;

#[derive(Serialize)]
struct SocketLine<'a> {
    socket: &'a State,
}

#[derive(Serialize)]
struct EndLine {
    end: End,
}

enum Output<W: Write> {
    Plain(BufWriter<W>),
    Zstd(zstd::Encoder<'static, BufWriter<W>>),
}

impl<W: Write> Output<W> {
    fn new(writer: W, compression: Compression) -> io::Result<Self> {
        let writer = BufWriter::new(writer);
        Ok(match compression {
            Compression::None => Self::Plain(writer),
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(writer, LEVEL)?;
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(writer) => writer.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<W> {
        let writer = match self {
            Self::Plain(writer) => writer,
            Self::Zstd(encoder) => encoder.finish()?,
        };
        writer.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

/// Writes an image socket by socket.
///
/// What was written is an image only when [`finish`](Self::finish) has returned: before, its end is
/// missing, and readers say so.
///
/// ```
/// use inetcr::{Compression, ImageReader, ImageWriter, State};
///
/// let mut writer = ImageWriter::new(Vec::new(), Compression::None)?;
/// for inode in [1, 2, 3] {
///     writer.add(&State { inode: Some(inode), ..State::default() }.into())?;
/// }
/// let file = writer.finish()?;
///
/// let mut inodes = Vec::new();
/// for socket in ImageReader::new(file.as_slice())? {
///     inodes.extend(socket?.inode);
/// }
/// assert_eq!(inodes, [1, 2, 3]);
/// assert!(ImageReader::new(&file[..file.len() - 1])?.any(|socket| socket.is_err()));
/// # Ok::<(), inetcr::ImageError>(())
/// ```
pub struct ImageWriter<W: Write> {
    output: Output<W>,
    seen: Seen,
    /// How much memory a reader that keeps all has left.
    room: usize,
}

impl<W: Write> ImageWriter<W> {
    /// Begins an image.
    pub fn new(writer: W, compression: Compression) -> Result<Self, ImageError> {
        let output = Output::new(writer, compression).map_err(ImageError::Output)?;
        let mut writer = Self {
            output,
            seen: Seen::default(),
            room: MEMORY_MAX,
        };
        writer.line(&Header {
            format: FORMAT.to_owned(),
            version: VERSION,
        })?;
        Ok(writer)
    }

    /// Adds a socket.
    pub fn add(&mut self, socket: &Snapshot) -> Result<(), ImageError> {
        // What could not be read again is not written.
        let room = self.room.checked_sub(socket.memory());
        self.room = room.ok_or(ImageError::TooMuch("all sockets together are", MEMORY_MAX))?;
        self.line(&SocketLine {
            socket: &socket.state,
        })?;
        self.seen.sockets += 1;
        for datagram in &socket.queue {
            self.line(datagram)?;
            self.seen.datagrams += 1;
        }
        if let Some(cork) = &socket.corked {
            self.line(cork)?;
            self.seen.datagrams += 1;
        }
        Ok(())
    }

    /// Writes the end. Returns what was written to, with all of it.
    pub fn finish(mut self) -> Result<W, ImageError> {
        let end = self.seen.end();
        self.line(&EndLine { end })?;
        self.output.finish().map_err(ImageError::Output)
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), ImageError> {
        let mut text = serde_json::to_vec(line).map_err(ImageError::Write)?;
        text.push(b'\n');
        if text.len() > LINE_MAX {
            return Err(ImageError::TooMuch("a record is", LINE_MAX));
        }
        self.seen.hash.update(&text);
        self.output.write_all(&text).map_err(ImageError::Output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_nobody_reads_is_not_written() {
        let mut writer = ImageWriter::new(Vec::new(), Compression::None).unwrap();
        let state = State {
            sockopt_filter: Some(vec![0; LINE_MAX / 2]),
            ..State::default()
        };
        let error = writer.add(&state.into()).unwrap_err();
        assert!(matches!(error, ImageError::TooMuch(_, LINE_MAX)), "{error}");
    }

    #[test]
    fn more_than_a_reader_keeps_is_not_written() {
        let mut writer = ImageWriter::new(Vec::new(), Compression::None).unwrap();
        let socket = Snapshot::default();
        writer.room = 2 * socket.memory();
        writer.add(&socket).unwrap();
        writer.add(&socket).unwrap();
        let error = writer.add(&socket).unwrap_err();
        assert!(matches!(error, ImageError::TooMuch(..)), "{error}");
    }
}
