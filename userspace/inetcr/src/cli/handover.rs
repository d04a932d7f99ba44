// SPDX-License-Identifier: GPL-2.0
//! `inetcr handover`.

use std::fs;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, sockopt::socket_domain};
use rustix::process::{PidfdGetfdFlags, Signal, pidfd_getfd, pidfd_send_signal};

use super::program::Program;
use super::select::open_process;

/// Hand the sockets of a process over to another program.
///
/// The sockets stay what they are, with all that waits in them: COMMAND gets descriptors of the very
/// same ones (pidfd_getfd(2)), by the socket-activation protocol or, with --at, from descriptor N
/// on. Nothing is dumped, the kernel needs no support for that, and sockets of any kind can be handed
/// over: of UDP, TCP, IPv6. It takes the right to attach to the process, as for a debugger.
///
/// Without --stop, both have the sockets, and each datagram comes to one of the two. With it, the
/// process is told to end when the sockets are held, and COMMAND is run when it has ended: what
/// comes meanwhile waits for COMMAND. Nothing is lost, and nothing is refused, but what the process
/// had taken and did not answer before its end.
///
/// For another host, a reboot, or another network namespace, use `inetcr dump` and `inetcr restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Process that has the sockets.
    #[arg(long, value_name = "PID")]
    pid: i32,

    /// Descriptor of a socket there; several in the order in which COMMAND is to have them. Without
    /// it, all sockets of IPv4 and IPv6 that the process has open, in the order of the descriptors.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    fd: Vec<RawFd>,

    /// Tell the process to end, and wait until it has.
    #[arg(long)]
    stop: bool,

    /// Signal that tells it.
    #[arg(long, value_name = "SIGNAL", default_value = "TERM", requires = "stop", value_parser = signal)]
    signal: Signal,

    /// How long to wait for its end. If it has not ended then, this is an error, and the sockets
    /// are only its own again.
    #[arg(long, value_name = "SECONDS", default_value_t = 90, requires = "stop")]
    timeout: u32,

    #[command(flatten)]
    program: Program,
}

/// The signals that end servers.
fn signal(name: &str) -> Result<Signal, String> {
    Ok(match name.trim_start_matches("SIG") {
        "TERM" => Signal::TERM,
        "INT" => Signal::INT,
        "QUIT" => Signal::QUIT,
        "HUP" => Signal::HUP,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        "KILL" => Signal::KILL,
        _ => return Err("it is none of TERM, INT, QUIT, HUP, USR1, USR2, KILL".to_owned()),
    })
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let pidfd = open_process(self.pid)?;
        let sockets = self.sockets(&pidfd)?;
        self.program.names(sockets.len())?;
        if self.stop {
            // A slip of the pen must not end a service.
            self.program.find()?;
            self.stop(&pidfd)?;
        }
        self.program.exec(sockets)
    }

    /// Descriptors of its sockets.
    fn sockets(&self, pidfd: &OwnedFd) -> anyhow::Result<Vec<OwnedFd>> {
        let pid = self.pid;
        if self.fd.is_empty() {
            let mut sockets = Vec::new();
            for fd in socket_fds(pid)? {
                let socket = take(pidfd, pid, fd)?;
                if domain(&socket).is_some_and(is_internet) {
                    sockets.push(socket);
                }
            }
            if sockets.is_empty() {
                bail!("process {pid} has no socket of IPv4 or IPv6 open");
            }
            return Ok(sockets);
        }
        let one = |fd: &RawFd| {
            let socket = take(pidfd, pid, *fd)?;
            if domain(&socket).is_none() {
                bail!("descriptor {fd} of process {pid} is no socket");
            }
            Ok(socket)
        };
        self.fd.iter().map(one).collect()
    }

    /// Tells the process to end, and waits until it has.
    fn stop(&self, pidfd: &OwnedFd) -> anyhow::Result<()> {
        let pid = self.pid;
        let what = || format!("process {pid}");
        pidfd_send_signal(pidfd, self.signal).with_context(what)?;
        let mut ended = [PollFd::new(pidfd, PollFlags::IN)];
        let timeout = Timespec::try_from(Duration::from_secs(self.timeout.into()))?;
        loop {
            match poll(&mut ended, Some(&timeout)) {
                Ok(0) => bail!(
                    "process {pid} has not ended in {} s: nothing was handed over",
                    self.timeout
                ),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).with_context(what),
            }
        }
    }
}

/// The numbers of the descriptors of a process that are sockets, in their order.
fn socket_fds(pid: i32) -> anyhow::Result<Vec<RawFd>> {
    let dir = format!("/proc/{pid}/fd");
    let dir = Path::new(&dir);
    let mut fds = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        // One that was closed meanwhile has none.
        let link = fs::read_link(entry.path());
        if link.is_ok_and(|link| link.as_os_str().as_encoded_bytes().starts_with(b"socket:")) {
            fds.extend(
                entry
                    .file_name()
                    .to_str()
                    .and_then(|name| name.parse::<RawFd>().ok()),
            );
        }
    }
    fds.sort_unstable();
    Ok(fds)
}

fn take(pidfd: &OwnedFd, pid: i32, fd: RawFd) -> anyhow::Result<OwnedFd> {
    let taken = pidfd_getfd(pidfd.as_fd(), fd, PidfdGetfdFlags::empty());
    taken.map_err(|error| {
        let right = match error {
            Errno::PERM => ": it takes the right to attach to the process",
            _ => "",
        };
        anyhow!("descriptor {fd} of process {pid}: {error}{right}")
    })
}

/// The family of a socket; of anything else none.
fn domain(fd: &OwnedFd) -> Option<AddressFamily> {
    socket_domain(fd).ok()
}

fn is_internet(family: AddressFamily) -> bool {
    family == AddressFamily::INET || family == AddressFamily::INET6
}
