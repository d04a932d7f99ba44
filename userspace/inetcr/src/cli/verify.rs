// SPDX-License-Identifier: GPL-2.0
//! `inetcr verify`.

use std::fmt;

use anyhow::bail;
use inetcr::{Snapshot, State};
use serde::Serialize;
use serde_json::json;

use super::limit::FileLimit;
use super::place::Place;
use super::say::say;
use super::text;

/// Check that an image is whole, and that it can be restored here.
///
/// The image is read to its end, with its checksum if it is of records. Then each of its sockets is restored, dumped
/// again, compared with the image and closed. Those that cannot be restored are named, and the exit
/// status is 1.
///
/// For the moment of the test the sockets are there: what is sent to their addresses comes to them,
/// and is lost. Where clients send already, use --offline.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,

    /// Only check the image, and ask the kernel nothing. Works on any machine, for any user.
    #[arg(long, conflicts_with_all = ["map_device", "map_address", "as_caller", "allow_lost"])]
    offline: bool,

    /// Print what was found as JSON.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        if self.offline {
            let mut found = Found::default();
            self.place.each(&mut |socket| {
                found.add(&socket);
                Ok(())
            })?;
            return text::print(&if self.json {
                serde_json::to_string_pretty(&found)? + "\n"
            } else {
                found.to_string()
            });
        }
        FileLimit::raise()?;
        let image = self.place.read()?;
        if !self.json {
            let mut found = Found::default();
            image.sockets.iter().for_each(|socket| found.add(socket));
            text::print(&found.to_string())?;
        }
        let mut failed = Vec::new();
        let copies = self.place.restore(&image, |error| {
            say(text::printable(&format!("{error:#}")));
            failed.push(format!("{error:#}"));
            Ok(())
        })?;
        let count = image.sockets.len();
        if self.json {
            let states = copies.iter().map(|copy| &copy.state);
            text::print(&report_json(states, &failed)?)?;
        } else if failed.is_empty() {
            text::print(&format!(
                "{} restored, equal to the image\n",
                sockets(count)
            ))?;
        }
        match failed.len() {
            0 => Ok(()),
            wrong => bail!("{wrong} of {} cannot be restored here", sockets(count)),
        }
    }
}

/// What an image has that is whole.
#[derive(Default, Serialize)]
struct Found {
    sockets: usize,
    datagrams: usize,
}

impl Found {
    fn add(&mut self, socket: &Snapshot) {
        self.sockets += 1;
        self.datagrams += socket.queue.len() + usize::from(socket.corked.is_some());
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sockets, datagrams) = (sockets(self.sockets), self.datagrams);
        let plural = if datagrams == 1 { "" } else { "s" };
        writeln!(
            f,
            "the image is whole: {sockets}, {datagrams} datagram{plural}"
        )
    }
}

fn sockets(count: usize) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} socket{plural}")
}

fn report_json<'a>(
    states: impl Iterator<Item = &'a State>,
    failed: &[String],
) -> anyhow::Result<String> {
    let restored: Vec<_> = states.map(State::without_identity).collect();
    let report = json!({ "restored": restored, "failed": failed });
    Ok(serde_json::to_string_pretty(&report)? + "\n")
}
