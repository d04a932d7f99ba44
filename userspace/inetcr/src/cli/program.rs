// SPDX-License-Identifier: GPL-2.0
//! The program that is given sockets: what `restore` and `handover` have in common.

use std::env;
use std::ffi::OsString;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{anyhow, bail};
use command_fds::{CommandFdExt as _, FdMapping};

/// The first descriptor of the socket-activation protocol.
const LISTEN_FDS_START: RawFd = 3;

/// What that protocol has in the environment. The last came with systemd 258, and is about the
/// process that the others were meant for.
const VARIABLES: [&str; 4] = [
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
];

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Program {
    /// Descriptor of the first socket, instead of the socket-activation protocol.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..0x10_0000))]
    at: Option<RawFd>,

    /// Name of the sockets in LISTEN_FDNAMES. Once for all, or once for each in their order.
    #[arg(long, default_value = "inetcr", conflicts_with = "at", value_parser = listen_name)]
    name: Vec<String>,

    /// Program to run with the sockets, and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// The program cannot be run.
#[derive(Debug, thiserror::Error)]
#[error("cannot run {}: {error}", .program.display())]
pub(crate) struct CannotRun {
    program: OsString,
    error: std::io::Error,
}

impl CannotRun {
    /// The exit status that env(1) and shells have for it.
    pub(crate) fn status(&self) -> u8 {
        match self.error.kind() {
            std::io::ErrorKind::NotFound => 127,
            _ => 126,
        }
    }
}

/// A name in `LISTEN_FDNAMES`: the protocol puts colons between names.
fn listen_name(name: &str) -> Result<String, String> {
    if name.len() > 255 || name.contains(|c: char| c == ':' || c.is_control()) {
        return Err("a name has at most 255 bytes and no colon".to_owned());
    }
    Ok(name.to_owned())
}

impl Program {
    /// Becomes the program. Returns only if that fails.
    pub(super) fn exec(&self, sockets: Vec<OwnedFd>) -> anyhow::Result<()> {
        let Some((program, arguments)) = self.command.split_first() else {
            bail!("no program is named");
        };
        let first = self.at.unwrap_or(LISTEN_FDS_START);
        let mut command = Command::new(program);
        command.args(arguments);
        // What this program was given itself is not for the next.
        for variable in VARIABLES {
            command.env_remove(variable);
        }
        if self.at.is_none() {
            command
                .env("LISTEN_FDS", sockets.len().to_string())
                .env("LISTEN_PID", std::process::id().to_string())
                .env("LISTEN_FDNAMES", self.names(sockets.len())?);
        }
        let mappings = sockets.into_iter().zip(first..);
        let mappings = mappings.map(|(parent_fd, child_fd)| FdMapping {
            parent_fd,
            child_fd,
        });
        command
            .fd_mappings(mappings.collect())
            .map_err(|_| anyhow!("two sockets for one descriptor"))?;
        let error = command.exec();
        let program = program.clone();
        Err(CannotRun { program, error }.into())
    }

    /// Sees that there is such a program, before anything is done.
    pub(super) fn find(&self) -> Result<(), CannotRun> {
        let Some(program) = self.command.first() else {
            return Ok(());
        };
        let is_program = |path: &Path| {
            let found = path.metadata();
            found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        let is_path = program.as_encoded_bytes().contains(&b'/');
        let dirs = env::var_os("PATH").unwrap_or_default();
        let mut found = env::split_paths(&dirs).map(|dir| dir.join(program));
        if (is_path && is_program(Path::new(program)))
            || (!is_path && found.any(|path| is_program(&path)))
        {
            return Ok(());
        }
        Err(CannotRun {
            program: program.clone(),
            error: std::io::ErrorKind::NotFound.into(),
        })
    }

    /// Sees that there is a name for each socket, before anything is done.
    pub(super) fn names(&self, count: usize) -> anyhow::Result<String> {
        match self.name.as_slice() {
            [all] => Ok(vec![all.as_str(); count].join(":")),
            each if each.len() == count => Ok(each.join(":")),
            each => bail!("--name: {} names for {count} sockets", each.len()),
        }
    }
}
