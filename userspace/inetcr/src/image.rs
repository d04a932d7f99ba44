// SPDX-License-Identifier: GPL-2.0
//! Images: sockets in a file.
//!
//! An image has one of two forms, which a reader tells apart by what is in the file:
//!
//! * Records, the form to keep and to send. Each line is a JSON object. The first says which format
//!   and version it is. Then comes a line for each socket, with its state, and behind it one for
//!   each datagram that it holds. The last says how many there were, with the SHA-256 of all lines
//!   before it, so that no part of it is missing or damaged; that finds accidents, not forgers. All
//!   of it is in a zstd frame, or is not. `zstdcat` shows what is in it.
//! * A document, the form to look at and to edit: one JSON object, without a checksum.
//!
//! Both have the same values by the same names, and nothing is lost between them. What a program
//! does not know it refuses by its name, as an older program has to do with what is newer than it.

use std::io::{Read, Write};

use crate::snapshot::Snapshot;

mod document;
mod input;
mod records;
mod writer;

pub use input::ImageReader;
pub use writer::ImageWriter;

/// What the field `format` of an image says.
const FORMAT: &str = "af-inet-cr";

/// What a socket with its datagrams, and an image that is read as a whole, may take of the memory. A
/// receive buffer of 2 GiB, which is the greatest, can have more: such a socket is not written, and
/// the reason is said.
const MEMORY_MAX: usize = 1 << 30;

/// Sockets, as they are kept in a file.
///
/// ```
/// use inetcr::{Compression, Image, State};
///
/// let state = State { sock_type: Some(2), ..State::default() };
/// let image = Image::new([state.clone()]);
/// let mut file = Vec::new();
/// image.write(&mut file, Compression::Zstd)?;
/// assert_eq!(Image::read(file.as_slice())?.sockets, [state.into()]);
///
/// // For people, and back.
/// let text = image.to_json()?;
/// assert!(text.contains("\"sock-type\": 2"));
/// assert_eq!(Image::read(text.as_bytes())?, image);
/// # Ok::<(), inetcr::ImageError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// The sockets, in the order in which they were dumped.
    pub sockets: Vec<Snapshot>,
}

/// Whether records are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// They are lines of text.
    None,
    /// They are in a zstd frame.
    Zstd,
}

/// Why something is no image, or cannot become one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// It does not say that it is an image.
    #[error("not an image of af-inet-cr: {0}")]
    Header(serde_json::Error),
    /// It is no text.
    #[error("not an image of af-inet-cr: it is neither JSON nor zstd")]
    NoText,
    /// It is compressed, and has no records.
    #[error("not an image of af-inet-cr: what is compressed has no records")]
    NoRecords,
    /// It says that it is something else.
    #[error("not an image of af-inet-cr: its format is {0:?}")]
    Format(String),
    /// The image is newer than the library.
    #[error("the image has version {found}, this program reads up to version {newest}")]
    Version {
        /// The version of the image.
        found: u32,
        /// The newest version of this form that the library reads.
        newest: u32,
    },
    /// The content of a document is wrong.
    #[error("the image is damaged: {0}")]
    Content(serde_json::Error),
    /// A record is wrong.
    #[error("the image is damaged: line {line}: {reason}")]
    Record {
        /// Which line it is, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// The datagrams of a socket are not those that it should have.
    #[error("the image is damaged: socket {0}: {1}")]
    Queue(usize, String),
    /// There is less than there was.
    #[error("the image is damaged: its end is missing")]
    Truncated,
    /// There is something else than there was.
    #[error(
        "the image is damaged: its checksum is another one (`inetcr show --json` makes an image \
         that can be edited)"
    )]
    Checksum,
    /// What it was compressed into is wrong.
    #[error("the image is damaged: {0}")]
    Compressed(std::io::Error),
    /// It would take too much memory.
    #[error("{0} larger than {1} bytes, which is the most that is read")]
    TooLarge(&'static str, usize),
    /// It would be larger than what is read.
    #[error(
        "{0} larger than {1} bytes, which no reader takes: dump fewer sockets at once, or without \
         what waits in them"
    )]
    TooMuch(&'static str, usize),
    /// It cannot be read.
    #[error("cannot read the image: {0}")]
    Read(std::io::Error),
    /// A state has no form in JSON.
    #[error("cannot write the image: {0}")]
    Write(serde_json::Error),
    /// It cannot be written.
    #[error("cannot write the image: {0}")]
    Output(std::io::Error),
}

impl Image {
    /// An image of these sockets.
    pub fn new<T: Into<Snapshot>>(sockets: impl IntoIterator<Item = T>) -> Self {
        Self {
            sockets: sockets.into_iter().map(Into::into).collect(),
        }
    }

    /// The places of the sockets in the order in which they are to be restored: those that share a
    /// port (`SO_REUSEPORT`) as the kernel has counted them, so that it counts them like that again.
    ///
    /// ```
    /// use inetcr::{Image, State};
    ///
    /// let place = |reuseport_index| State { reuseport_index, ..State::default() };
    /// let image = Image::new([Some(1), None, Some(2), Some(0)].map(place));
    /// assert_eq!(image.restore_order(), [1, 3, 0, 2]);
    /// ```
    pub fn restore_order(&self) -> Vec<usize> {
        let mut order: Vec<_> = (0..self.sockets.len()).collect();
        // The sort is stable. That groups are mixed is no matter.
        order.sort_by_key(|place| self.sockets[*place].reuseport_index);
        order
    }

    /// Reads an image of either form. [`ImageReader`] does so socket by socket.
    pub fn read(reader: impl Read) -> Result<Self, ImageError> {
        let mut reader = ImageReader::new(reader)?;
        reader.keep_all();
        let sockets = reader.collect::<Result<_, _>>()?;
        Ok(Self { sockets })
    }

    /// Writes the image as records. [`ImageWriter`] does so socket by socket.
    pub fn write(&self, writer: impl Write, compression: Compression) -> Result<(), ImageError> {
        let mut writer = ImageWriter::new(writer, compression)?;
        for socket in &self.sockets {
            writer.add(socket)?;
        }
        writer.finish()?;
        Ok(())
    }

    /// The image as a document, with a newline at its end.
    pub fn to_json(&self) -> Result<String, ImageError> {
        document::write(&self.sockets)
    }

    /// Reads a document.
    pub fn from_json(text: &str) -> Result<Self, ImageError> {
        document::read(text)
    }
}
