// SPDX-License-Identifier: GPL-2.0
//! Tells the forms of images apart, by what is in them.

use std::io::{BufRead, BufReader, Cursor, Read};
use std::vec;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::document::DOCUMENT_MAX;
use super::records::{self, Records, input_error, read_line};
use super::{FORMAT, ImageError, document};
use crate::snapshot::Snapshot;

/// What a zstd frame begins with.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The window that a frame may ask for, 8 MiB: zstd never takes more at the levels up to 19.
const WINDOW_LOG_MAX: u32 = 23;

/// Reads the sockets of an image of either form, one after the other.
///
/// Records take no more memory than the largest socket among them, whatever the file has. The last
/// socket is no sign that the file is whole: that is so when `None` has come. An error ends it.
///
/// See [`ImageWriter`](crate::ImageWriter) for an example.
pub struct ImageReader<'a>(Form<'a>);

enum Form<'a> {
    Document(vec::IntoIter<Snapshot>),
    Records(Box<Records<Box<dyn BufRead + 'a>>>),
}

/// What the first line of records has, of any version. That of a document has no version, as
/// the line ends before, or has the sockets.
#[derive(Deserialize)]
struct FirstLine {
    format: String,
    version: u32,
    sockets: Option<IgnoredAny>,
}

impl<'a> ImageReader<'a> {
    /// Reads as far as it takes to tell that it is an image. A document is read as a whole.
    pub fn new(mut reader: impl Read + 'a) -> Result<Self, ImageError> {
        let mut begin = Vec::new();
        let mut magic = reader.by_ref().take(4);
        magic.read_to_end(&mut begin).map_err(input_error)?;
        let is_compressed = begin == ZSTD_MAGIC;
        let all = BufReader::new(Cursor::new(begin).chain(reader));
        if !is_compressed {
            return Self::of_text(Box::new(all), true);
        }
        let mut decoder = zstd::Decoder::with_buffer(all).map_err(input_error)?;
        let limited = decoder.window_log_max(WINDOW_LOG_MAX);
        limited.map_err(input_error)?;
        Self::of_text(Box::new(BufReader::new(decoder)), false)
    }

    fn of_text(
        mut reader: Box<dyn BufRead + 'a>,
        may_be_document: bool,
    ) -> Result<Self, ImageError> {
        let line = read_line(&mut reader)?;
        match serde_json::from_slice::<FirstLine>(&line) {
            Ok(first) if first.sockets.is_none() && first.version >= records::VERSION => {
                if first.format != FORMAT {
                    return Err(ImageError::Format(first.format));
                }
                if first.version != records::VERSION {
                    return Err(ImageError::Version {
                        found: first.version,
                        newest: records::VERSION,
                    });
                }
                let records = Records::new(&line, reader)?;
                Ok(Self(Form::Records(Box::new(records))))
            }
            _ if may_be_document => Self::of_document(line, reader),
            // One of a few bytes that unpacks to gigabytes is nothing that anybody wrote.
            _ => Err(ImageError::NoRecords),
        }
    }

    fn of_document(begin: Vec<u8>, reader: impl Read) -> Result<Self, ImageError> {
        let mut text = begin;
        let most = u64::try_from(DOCUMENT_MAX + 1).unwrap_or(u64::MAX);
        let mut rest = reader.take(most);
        rest.read_to_end(&mut text).map_err(input_error)?;
        if text.len() > DOCUMENT_MAX {
            return Err(ImageError::TooLarge("the document is", DOCUMENT_MAX));
        }
        let text = String::from_utf8(text).map_err(|_| ImageError::NoText)?;
        let image = document::read(&text)?;
        Ok(Self(Form::Document(image.sockets.into_iter())))
    }

    /// Says that all sockets are kept: an image that takes too much memory is an error then.
    pub(super) fn keep_all(&mut self) {
        if let Form::Records(records) = &mut self.0 {
            records.keep_all();
        }
    }
}

impl Iterator for ImageReader<'_> {
    type Item = Result<Snapshot, ImageError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Form::Document(sockets) => sockets.next().map(Ok),
            Form::Records(records) => records.next_socket().transpose(),
        }
    }
}
