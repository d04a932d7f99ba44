// SPDX-License-Identifier: GPL-2.0
//! `inetcr show`.

use std::path::PathBuf;

use clap::ArgGroup;
use inetcr::Snapshot;

use super::select::{OF_MACHINE, Outcome, SELECTORS, Select};
use super::{files, text};

/// Show sockets, of an image or of the machine.
///
/// With FILE, it asks the kernel nothing, and works on any machine, for any user. Without, it shows
/// the sockets that `inetcr dump` would write with the same options.
///
/// There is a line for each, with the columns of ss(8): Recv-Q has the bytes that wait to be received,
/// Send-Q those that are corked, and `?` is for what an image without its datagrams does not tell. --extended adds a line for each option and each datagram, and
/// leaves out what nearly every socket has alike; --json has all.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("socket").required(true).multiple(true).args(SOURCES))]
pub(crate) struct Args {
    /// Image that `inetcr dump` wrote, `-` for the standard input.
    #[arg(value_name = "FILE", conflicts_with_all = OF_MACHINE)]
    image: Option<PathBuf>,

    #[command(flatten)]
    select: Select,

    /// Show the options and what waits, too.
    #[arg(short, long)]
    extended: bool,

    /// Print a JSON document instead of a table.
    #[arg(long, conflicts_with = "extended")]
    json: bool,
}

/// What the group of the command line has.
const SOURCES: [&str; 6] = {
    let [a, b, c, d, e] = SELECTORS;
    ["image", a, b, c, d, e]
};

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        if self.json {
            return self.print_json();
        }
        let mut table = text::Table::new(self.extended);
        let mut add = |socket: Snapshot| table.add(&socket);
        let outcome = match &self.image {
            Some(path) => {
                files::each(path, &mut |socket| {
                    if self.select.filter.matches(&socket) {
                        add(socket)?;
                    }
                    Ok(())
                })?;
                Outcome::default()
            }
            None => self.select.look(&mut add)?,
        };
        table.finish()?;
        outcome.is_whole("")
    }

    fn print_json(&self) -> anyhow::Result<()> {
        let (image, outcome) = match &self.image {
            Some(path) => (self.select.filter.read(path)?, Outcome::default()),
            None => self.select.image()?,
        };
        text::print(&image.to_json()?)?;
        outcome.is_whole("")
    }
}
