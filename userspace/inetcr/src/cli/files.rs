// SPDX-License-Identifier: GPL-2.0
//! Image files on disk and in pipes.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use inetcr::Image;

/// More than an image can have by far. Keeps a wrong file from filling the memory.
const MAX_LEN: u64 = 1 << 30;

/// Reads an image, `-` for the standard input.
pub(crate) fn read(path: &Path) -> anyhow::Result<Image> {
    let name = path.display();
    if path == Path::new("-") {
        return parse(io::stdin().lock()).context("standard input");
    }
    let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
    parse(file).with_context(|| name.to_string())
}

fn parse(reader: impl Read) -> anyhow::Result<Image> {
    let mut text = String::new();
    reader.take(MAX_LEN + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_LEN {
        bail!("not an image of af-inet-cr: it is larger than {MAX_LEN} bytes");
    }
    Ok(Image::from_json(&text)?)
}

/// Writes an image, `-` for the standard output.
pub(crate) fn write(path: &Path, image: &Image) -> anyhow::Result<()> {
    let text = image.to_json()?;
    if path == Path::new("-") {
        return super::text::print(&text);
    }
    File::create(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}
