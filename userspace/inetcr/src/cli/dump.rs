// SPDX-License-Identifier: GPL-2.0
//! `inetcr dump`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::ArgGroup;
use inetcr::{Compression, Image, ImageWriter, Snapshot};

use super::files::Output;
use super::select::{SELECTORS, Select};

/// Write an image of a socket, or of many.
///
/// The datagrams that wait in it are dumped, too, and one that is corked, for which the kernel wants
/// CAP_NET_RAW besides. They stay in the socket.
///
/// One socket is found by --inode, or by --fd as a descriptor of a process. To look into another
/// process needs the right to attach to it, as for a debugger. Many are those that a process has
/// open (--pid without --fd), or it and its descendants (--tree), of IPv4 and IPv6, or that are bound
/// in the network namespace (--all); --state, --local, --peer, --port and --device say which of these.
///
/// Those that cannot be dumped, such as one of TCP, are named on the standard error. If there is
/// any, no image is written, as nobody would see from it that it is not the whole, and the exit
/// status is 1. With --skip-refused the image has the others, and the exit status is 0. An image of
/// no socket at all is not written either.
///
/// The image is of records, with a checksum and compressed. It can be sent on while it is written: a
/// reader refuses it if its end is missing. --json writes a document that people can edit. All commands
/// read both.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("socket").required(true).multiple(true).args(SELECTORS))]
pub(crate) struct Args {
    #[command(flatten)]
    select: Select,

    /// Write the image to this file, which its owner alone can read; `-` is the standard output. A
    /// link to a file is refused. A file that the shell makes (`> FILE`) can be read by whom the
    /// umask lets.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,

    /// Write a JSON document instead of records.
    #[arg(long)]
    json: bool,

    /// Do not compress the records: they are lines of text then.
    #[arg(long, conflicts_with = "json")]
    no_compress: bool,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut sink = self.sink()?;
        let outcome = self.select.each(&mut |snapshot| sink.add(snapshot))?;
        outcome.is_whole(&format!(", {}", sink.without_end()))?;
        self.select.is_any(&outcome, sink.without_end())?;
        sink.finish(&self.output)
    }

    fn sink(&self) -> anyhow::Result<Sink> {
        if self.json {
            return Ok(Sink::Document(Image::default()));
        }
        let compression = if self.no_compress {
            Compression::None
        } else {
            Compression::Zstd
        };
        let output = Output::create(&self.output, self.no_compress)?;
        let without_end = output.without_end();
        let writer = ImageWriter::new(output, compression)?;
        Ok(Sink::Records(Box::new(writer), without_end))
    }
}

/// What takes the sockets. A document is made when all are there.
enum Sink {
    Document(Image),
    Records(Box<ImageWriter<Output>>, &'static str),
}

impl Sink {
    fn add(&mut self, snapshot: Snapshot) -> anyhow::Result<()> {
        match self {
            Self::Document(image) => image.sockets.push(snapshot),
            Self::Records(writer, _) => writer.add(&snapshot)?,
        }
        Ok(())
    }

    fn without_end(&self) -> &'static str {
        match self {
            Self::Document(_) => "no image is written",
            Self::Records(_, without_end) => without_end,
        }
    }

    fn finish(self, path: &Path) -> anyhow::Result<()> {
        let output = match self {
            Self::Document(image) => {
                let mut output = Output::create(path, true)?;
                output.write_all(image.to_json()?.as_bytes())?;
                output
            }
            Self::Records(writer, _) => writer.finish()?,
        };
        output.keep()
    }
}
