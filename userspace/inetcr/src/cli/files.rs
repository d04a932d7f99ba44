// SPDX-License-Identifier: GPL-2.0
//! Image files on disk and in pipes.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use inetcr::{Image, ImageReader};
use tempfile::NamedTempFile;

use super::select::Each;

/// What an image is read from, and its name for people.
fn open(path: &Path) -> anyhow::Result<(Box<dyn Read>, String)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin().lock()), "standard input".to_owned()));
    }
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
    Ok((Box::new(file), name))
}

/// Reads an image, `-` for the standard input.
pub(super) fn read(path: &Path) -> anyhow::Result<Image> {
    let (reader, name) = open(path)?;
    Image::read(reader).context(name)
}

/// Reads the sockets of an image one by one.
pub(super) fn each(path: &Path, each: &mut Each<'_>) -> anyhow::Result<()> {
    let (reader, name) = open(path)?;
    for socket in ImageReader::new(reader).context(name.clone())? {
        each(socket.context(name.clone())?)?;
    }
    Ok(())
}

/// Where an image is written to. A file is another one's name until the image is whole, and then
/// takes its place; it is readable by its owner only, as it has what others have sent.
pub(super) enum Output {
    Stdout(io::Stdout),
    /// No regular file, such as a pipe.
    Other(File),
    File(NamedTempFile, PathBuf),
}

impl Output {
    /// `-` is the standard output, which must not be a terminal for what is no text.
    pub(super) fn create(path: &Path, is_text: bool) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            let stdout = io::stdout();
            if !is_text && stdout.is_terminal() {
                bail!(
                    "an image is nothing for a terminal: -o FILE writes it, --json prints it as \
                     text, `inetcr show` shows it"
                );
            }
            return Ok(Self::Stdout(stdout));
        }
        Self::create_file(path).with_context(|| format!("cannot write {}", path.display()))
    }

    fn create_file(path: &Path) -> io::Result<Self> {
        // What a link points to is written, and not the link.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if fs::metadata(&target).is_ok_and(|found| !found.is_file()) {
            let file = File::options().write(true).open(&target)?;
            return Ok(Self::Other(file));
        }
        let dir = target.parent().filter(|dir| *dir != Path::new(""));
        let file = NamedTempFile::new_in(dir.unwrap_or(Path::new(".")))?;
        Ok(Self::File(file, target))
    }

    /// Keeps what was written.
    pub(super) fn keep(mut self) -> anyhow::Result<()> {
        self.flush()?;
        if let Self::File(file, target) = self {
            let what = || format!("cannot write {}", target.display());
            file.as_file().sync_all().with_context(what)?;
            file.persist(&target).with_context(what)?;
        }
        Ok(())
    }

    /// What becomes of an image that does not become whole.
    pub(super) fn without_end(&self) -> &'static str {
        match self {
            Self::File(..) => "no image is written",
            Self::Stdout(_) | Self::Other(_) => "the image has no end",
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(to) => to.write(bytes),
            Self::Other(to) => to.write(bytes),
            Self::File(to, _) => to.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(to) => to.flush(),
            Self::Other(to) => to.flush(),
            Self::File(to, _) => to.flush(),
        }
    }
}
