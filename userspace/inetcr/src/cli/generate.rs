// SPDX-License-Identifier: GPL-2.0
//! `inetcr completions` and `inetcr man`: made of the command line's own definition.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, text};

/// Print completions for a shell.
///
/// For bash: `inetcr completions bash > /etc/bash_completion.d/inetcr`.
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "inetcr", &mut script);
        text::print(&String::from_utf8(script)?)
    }
}

/// Write the manual pages.
///
/// One is of inetcr, and there is one for each command, such as inetcr-dump(1):
/// `inetcr man /usr/local/share/man/man1`.
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// Directory to write them to.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

impl Man {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let command = Cli::command().disable_help_subcommand(true);
        clap_mangen::generate_to(command, &self.dir)
            .with_context(|| format!("cannot write to {}", self.dir.display()))
    }
}
