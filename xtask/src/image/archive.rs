// SPDX-License-Identifier: GPL-2.0

//! Archives that the kernel unpacks into its first root (cpio, newc). The same content gives the
//! same bytes.

use anyhow::{
    Context,
    Result, //
};
use cpio::newc::{
    self,
    Builder, //
};
use std::io::Write;

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Directory,
    /// A program, or a file that is not one.
    File {
        content: Vec<u8>,
        program: bool,
    },
    /// A symbolic link, and where it leads.
    Link(String),
}

impl Entry {
    pub fn mode(&self) -> u32 {
        match self {
            Self::Directory => 0o040_755,
            Self::File { program: true, .. } => 0o100_755,
            Self::File { program: false, .. } => 0o100_644,
            Self::Link(_) => 0o120_777,
        }
    }

    pub fn content(&self) -> &[u8] {
        match self {
            Self::Directory => &[],
            Self::File { content, .. } => content,
            Self::Link(target) => target.as_bytes(),
        }
    }
}

/// Writes an archive; a directory has to come before what is in it.
pub fn write<'a, W: Write>(
    to: W,
    entries: impl IntoIterator<Item = (&'a str, &'a Entry)>,
) -> Result<W> {
    let mut to = to;
    for (number, (path, entry)) in (1..).zip(entries) {
        let content = entry.content();
        let size = u32::try_from(content.len()).with_context(|| format!("{path} is too big"))?;
        let name = path.trim_start_matches('/');
        let mut file = Builder::new(name)
            .ino(number)
            .mode(entry.mode())
            .write(to, size);
        file.write_all(content)?;
        to = file.finish()?;
    }
    Ok(newc::trailer(to)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() -> Result<()> {
        let file = Entry::File {
            content: b"abc".to_vec(),
            program: true,
        };
        let link = Entry::Link("a/file".to_owned());
        let all = [
            ("/a", &Entry::Directory),
            ("/a/file", &file),
            ("/init", &link),
        ];
        let archive = write(Vec::new(), all)?;
        assert_eq!(archive, write(Vec::new(), all)?);
        let mut rest = archive.as_slice();
        let mut found = Vec::new();
        loop {
            let reader = newc::Reader::new(rest)?;
            if reader.entry().is_trailer() {
                break;
            }
            let (name, mode) = (reader.entry().name().to_owned(), reader.entry().mode());
            let mut content = Vec::new();
            rest = reader.to_writer(&mut content)?;
            found.push((name, mode, content));
        }
        let expected = [
            ("a".to_owned(), 0o040_755, b"".to_vec()),
            ("a/file".to_owned(), 0o100_755, b"abc".to_vec()),
            ("init".to_owned(), 0o120_777, b"a/file".to_vec()),
        ];
        assert_eq!(found, expected);
        Ok(())
    }
}
