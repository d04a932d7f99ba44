// SPDX-License-Identifier: GPL-2.0
//! `inetcr dump`.

use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::ArgGroup;
use inetcr::{Client, Image, Selector, Snapshot, Target};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::{files, pass_on_warning, text};

/// Dump a socket.
///
/// The datagrams that wait in it are dumped, too, for which the kernel wants CAP_NET_RAW besides.
/// They stay in the socket.
///
/// The socket is found by its inode number, as `ss -e` and the links in /proc/PID/fd show it, or
/// by a file descriptor of a process. To look into another process needs the right to attach to
/// it, as for a debugger. Without --pid, --fd is a descriptor that the shell passes on:
/// `inetcr dump --fd 3 3<&5`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("socket").required(true).args(["inode", "fd"]))]
pub(crate) struct Args {
    /// Process that --fd belongs to.
    #[arg(long, value_name = "PID", requires = "fd")]
    pid: Option<i32>,

    /// File descriptor of the socket.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    fd: Option<RawFd>,

    /// Inode number of the socket.
    #[arg(long, value_name = "INO", conflicts_with = "pid")]
    inode: Option<u64>,

    /// Cookie (SO_COOKIE) that the socket must have, so that no other is dumped by mistake.
    #[arg(long)]
    cookie: Option<u64>,

    /// Leave out the datagrams that wait in the socket: the restored one begins without.
    #[arg(long)]
    no_queue: bool,

    /// Print the image, which is JSON, instead of a table.
    #[arg(long)]
    json: bool,

    /// Write the image to this file, `-` for the standard output, and print no table.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let image = Image::new([self.dump()?]);
        match &self.output {
            Some(path) => files::write(path, &image)?,
            None if !self.json => return text::print(&text::sockets(&image)),
            None => {}
        }
        if self.json {
            text::print(&image.to_json()?)?;
        }
        Ok(())
    }

    fn dump(&self) -> anyhow::Result<Snapshot> {
        let pidfd = self.pid.map(open_process).transpose()?;
        let selector = match (self.inode, self.fd, &pidfd) {
            (Some(inode), ..) => Selector::Inode(inode),
            (None, Some(fd), Some(pidfd)) => Selector::Pidfd {
                pidfd: pidfd.as_fd(),
                fd,
            },
            (None, Some(fd), None) => Selector::Fd(fd),
            (None, None, _) => return Err(anyhow!("no socket is named")),
        };
        let target = Target {
            selector,
            cookie: self.cookie,
        };
        let mut client = Client::new()?;
        let snapshot = if self.no_queue {
            Snapshot::new(client.dump(target)?, Vec::new())
        } else {
            client.snapshot(target)?
        };
        pass_on_warning(&client);
        Ok(snapshot)
    }
}

fn open_process(pid: i32) -> anyhow::Result<OwnedFd> {
    let pid_type = Pid::from_raw(pid).with_context(|| format!("{pid} is no process"))?;
    pidfd_open(pid_type, PidfdFlags::empty()).with_context(|| format!("process {pid}"))
}
