// SPDX-License-Identifier: GPL-2.0
//! `inetcr dump`.

use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::path::PathBuf;

use anyhow::{Context as _, anyhow, bail};
use clap::ArgGroup;
use inetcr::{
    Client, Image, Losses, Record, Refused, Scope, Selection, Selector, Snapshot, State, Target,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::{files, netns, pass_on_warning, text};

/// Dump a socket, or many.
///
/// The datagrams that wait in it are dumped, too, and one that is corked, for which the kernel wants
/// CAP_NET_RAW besides. They stay in the socket.
///
/// One socket is found by its inode number, as `ss -e` and the links in /proc/PID/fd show it, or
/// by a file descriptor of a process. To look into another process needs the right to attach to
/// it, as for a debugger. Without --pid, --fd is a descriptor that the shell passes on:
/// `inetcr dump --fd 3 3<&5`.
///
/// Many are found by --pid without --fd, which are all sockets that the process has open, or by
/// --all, which are all bound IPv4 UDP sockets of the network namespace. Those that cannot be
/// dumped, such as one of TCP, are named on the standard error, and the exit status is 1 if there
/// is any. The table shows the others nevertheless, but no image is written, as nobody would see
/// from it that it is not the whole. With --skip-refused it is written with the others, and the
/// exit status is 0.
#[derive(Debug, clap::Args)]
#[command(
    group = ArgGroup::new("socket").required(true).multiple(true).args(["inode", "fd", "pid", "all"]),
    group = ArgGroup::new("one").args(["inode", "fd"]),
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(crate) struct Args {
    /// Process that --fd belongs to; without --fd, all sockets that it has open.
    #[arg(long, value_name = "PID", conflicts_with = "inode")]
    pid: Option<i32>,

    /// File descriptor of the socket.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    fd: Option<RawFd>,

    /// Inode number of the socket.
    #[arg(long, value_name = "INO")]
    inode: Option<u64>,

    /// All bound IPv4 UDP sockets of the network namespace.
    #[arg(long, conflicts_with_all = ["one", "pid"])]
    all: bool,

    /// Cookie (SO_COOKIE) that the socket must have, so that no other is dumped by mistake.
    #[arg(long, requires = "one")]
    cookie: Option<u64>,

    /// Of many sockets, only those on this local port.
    #[arg(long, value_name = "PORT", conflicts_with = "one")]
    port: Option<u16>,

    /// Of many sockets, leave out those that cannot be dumped.
    #[arg(long, conflicts_with = "one")]
    skip_refused: bool,

    /// Parts that may be left out of a socket that has them, with commas between: ebpf-filter,
    /// ebpf-reuseport, bpf-storage, xfrm-policy, xattr, owner. Without it, such a socket is
    /// refused. What was lost is said, and kept in the image.
    #[arg(long, value_name = "LOSS,...")]
    allow_lost: Option<Losses>,

    /// Network namespace to look into: a name that `ip netns` knows, or a path such as
    /// /proc/PID/ns/net.
    #[arg(long, value_name = "NAME|PATH")]
    netns: Option<PathBuf>,

    /// Leave out the datagrams and errors that wait in the socket, and a corked datagram: the
    /// restored socket begins without.
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
        let pidfd = self.pid.map(open_process).transpose()?;
        if let Some(name) = &self.netns {
            netns::enter(name)?;
        }
        let mut client = Client::new()?;
        client.allow_lost(self.allow_lost.unwrap_or_default());
        let selector = match (self.inode, self.fd, &pidfd) {
            (Some(inode), ..) => Selector::Inode(inode),
            (None, Some(fd), Some(pidfd)) => Selector::Pidfd {
                pidfd: pidfd.as_fd(),
                fd,
            },
            (None, Some(fd), None) => Selector::Fd(fd),
            (None, None, Some(pidfd)) => {
                return self.dump_many(&mut client, Scope::Process(pidfd.as_fd()));
            }
            (None, None, None) if self.all => {
                return self.dump_many(&mut client, Scope::Namespace);
            }
            (None, None, None) => return Err(anyhow!("no socket is named")),
        };
        let snapshot = self.dump(&mut client, selector)?;
        pass_on_warning(&client);
        self.put_out(&Image::new([snapshot]))
    }

    fn dump(&self, client: &mut Client, selector: Selector<'_>) -> anyhow::Result<Snapshot> {
        let target = Target {
            selector,
            cookie: self.cookie,
        };
        Ok(if self.no_queue {
            without_queue(client.dump(target)?)
        } else {
            client.snapshot(target)?
        })
    }

    fn dump_many(&self, client: &mut Client, scope: Scope<'_>) -> anyhow::Result<()> {
        let selection = Selection {
            local_port: self.port,
            ..scope.into()
        };
        let (sockets, refused) = if self.no_queue {
            let (states, refused) = sort_out(client.dump_many(selection)?);
            let sockets = states.into_iter().map(without_queue).collect();
            (sockets, refused)
        } else {
            sort_out(client.snapshot_many(selection)?)
        };
        pass_on_warning(client);
        self.name_refused(&refused);
        let count = sockets.len() + refused.len();
        let is_image = self.json || self.output.is_some();
        let is_whole = refused.is_empty() || self.skip_refused;
        if is_whole || !is_image {
            self.put_out(&Image::new(sockets))?;
        }
        if !is_whole {
            let nothing = if is_image {
                ", no image is written"
            } else {
                ""
            };
            let refused = refused.len();
            bail!("{refused} of {count} sockets refused{nothing}: --skip-refused leaves them out");
        }
        Ok(())
    }

    fn name_refused(&self, refused: &[Refused]) {
        let process = self.pid.map(|pid| format!("pid:{pid} "));
        let process = process.unwrap_or_default();
        for one in refused {
            eprintln!("inetcr: refused: {process}{one}");
        }
        let elsewhere = |one: &Refused| one.socket.cookie.is_none();
        if let Some(pid) = self.pid
            && self.netns.is_none()
            && refused.iter().any(elsewhere)
        {
            eprintln!(
                "inetcr: --netns /proc/{pid}/ns/net looks into the namespace of process {pid}"
            );
        }
    }

    fn put_out(&self, image: &Image) -> anyhow::Result<()> {
        for socket in &image.sockets {
            if let Some(lost) = text::lost(socket) {
                eprintln!("inetcr: {}: {lost}", socket.identity());
            }
        }
        match &self.output {
            Some(path) => files::write(path, image)?,
            None if !self.json => return text::print(&text::sockets(image)),
            None => {}
        }
        if self.json {
            text::print(&image.to_json()?)?;
        }
        Ok(())
    }
}

/// What was dumped, and what was refused.
fn sort_out<T>(records: Vec<Record<T>>) -> (Vec<T>, Vec<Refused>) {
    let (mut dumped, mut refused) = (Vec::new(), Vec::new());
    for record in records {
        match record {
            Record::Dumped(one) => dumped.push(one),
            Record::Refused(one) => refused.push(*one),
        }
    }
    (dumped, refused)
}

fn without_queue(state: State) -> Snapshot {
    Snapshot::new(state, Vec::new(), None)
}

pub(super) fn open_process(pid: i32) -> anyhow::Result<OwnedFd> {
    let pid_type = Pid::from_raw(pid).with_context(|| format!("{pid} is no process"))?;
    pidfd_open(pid_type, PidfdFlags::empty()).with_context(|| format!("process {pid}"))
}
