// SPDX-License-Identifier: GPL-2.0
//! `inetcr show`.

use std::path::PathBuf;

use super::{files, text};

/// Show what is in an image.
///
/// Reads a file and asks the kernel nothing: works on any machine, for any user. The table leaves
/// out what nearly every socket has alike; --json has all.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Image that `inetcr dump` wrote, `-` for the standard input.
    #[arg(value_name = "FILE")]
    image: PathBuf,

    /// Print the image, which is JSON, instead of a table.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let image = files::read(&self.image)?;
        if self.json {
            return text::print(&image.to_json()?);
        }
        text::print(&text::sockets(&image))
    }
}
