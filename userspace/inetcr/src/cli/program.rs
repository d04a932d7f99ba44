// SPDX-License-Identifier: GPL-2.0
//! The program that is given sockets: what `restore` and `handover` have in common.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, anyhow, bail};
use command_fds::{CommandFdExt as _, FdMapping};
use rustix::fs::{Access, AtFlags, CWD, FileType, accessat, stat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::stdio::dup2_stderr;

use super::WrongUsage;
use super::limit::FileLimit;

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
    error: io::Error,
}

impl CannotRun {
    /// The exit status that env(1) and shells have for it.
    pub(crate) fn status(&self) -> u8 {
        match self.error.kind() {
            io::ErrorKind::NotFound => 127,
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
    /// Sees that it can be run with so many sockets, before anything is done.
    pub(super) fn check(&self, count: usize, limit: &FileLimit) -> anyhow::Result<()> {
        self.names(count)?;
        self.find()?;
        limit.allows(self.end(count)?)
    }

    /// Does all that can fail before the program is run.
    pub(super) fn prepare(
        &self,
        sockets: Vec<OwnedFd>,
        limit: FileLimit,
    ) -> anyhow::Result<Prepared> {
        let Some((program, arguments)) = self.command.split_first() else {
            bail!("no program is named");
        };
        let count = sockets.len();
        self.check(count, &limit)?;
        let mut command = Command::new(program);
        command.args(arguments);
        // What this program was given itself is not for the next.
        for variable in VARIABLES {
            command.env_remove(variable);
        }
        if self.at.is_none() {
            command
                .env("LISTEN_FDS", count.to_string())
                .env("LISTEN_PID", std::process::id().to_string())
                .env("LISTEN_FDNAMES", self.names(count)?);
        }
        // Out of the way of those that the program gets: to put them there takes no more room then.
        let end = self.end(count)?;
        let aside = |fd: OwnedFd| {
            fcntl_dupfd_cloexec(&fd, end).with_context(|| {
                format!(
                    "no descriptors are left for {count} sockets: it takes a higher `ulimit -Hn`"
                )
            })
        };
        let stderr = aside(io::stderr().as_fd().try_clone_to_owned()?)?;
        let mappings = sockets.into_iter().zip(self.first()..);
        let mappings = mappings.map(|(socket, child_fd)| {
            let parent_fd = aside(socket)?;
            Ok(FdMapping {
                parent_fd,
                child_fd,
            })
        });
        command
            .fd_mappings(mappings.collect::<anyhow::Result<_>>()?)
            .map_err(|_| anyhow!("two sockets for one descriptor"))?;
        Ok(Prepared {
            command,
            stderr,
            limit,
        })
    }

    fn first(&self) -> RawFd {
        self.at.unwrap_or(LISTEN_FDS_START)
    }

    /// Behind the last descriptor that the program gets.
    fn end(&self, count: usize) -> anyhow::Result<RawFd> {
        Ok(self.first() + RawFd::try_from(count)?)
    }

    /// Sees that there is such a program, as execvp(3) looks for it.
    fn find(&self) -> Result<(), CannotRun> {
        let Some(program) = self.command.first() else {
            return Ok(());
        };
        let mut error = Errno::NOENT;
        let dirs = if program.as_encoded_bytes().contains(&b'/') {
            OsString::new()
        } else {
            env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into())
        };
        for dir in env::split_paths(&dirs) {
            match is_program(&dir.join(program)) {
                Ok(()) => return Ok(()),
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(other) => error = other,
            }
        }
        Err(CannotRun {
            program: program.clone(),
            error: error.into(),
        })
    }

    /// A name for each socket.
    fn names(&self, count: usize) -> anyhow::Result<String> {
        match self.name.as_slice() {
            [all] => Ok(vec![all.as_str(); count].join(":")),
            each if each.len() == count => Ok(each.join(":")),
            each => {
                let words = format!("--name: {} names for {count} sockets", each.len());
                Err(WrongUsage(words).into())
            }
        }
    }
}

/// Whether this program may run it.
fn is_program(path: &Path) -> Result<(), Errno> {
    if FileType::from_raw_mode(stat(path)?.st_mode) != FileType::RegularFile {
        return Err(Errno::ACCESS);
    }
    accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
}

/// A program that has all it takes to be run.
pub(super) struct Prepared {
    command: Command,
    /// Where errors go when descriptor 2 is a socket.
    stderr: OwnedFd,
    limit: FileLimit,
}

impl Prepared {
    /// Becomes the program. Returns only if that fails.
    pub(super) fn exec(mut self) -> anyhow::Result<()> {
        self.limit.put_back()?;
        let error = self.command.exec();
        // A socket may have taken its place, and is nothing to write an error into.
        dup2_stderr(&self.stderr)?;
        let program = self.command.get_program().to_owned();
        Err(CannotRun { program, error }.into())
    }
}
