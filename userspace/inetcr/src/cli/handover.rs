// SPDX-License-Identifier: GPL-2.0
//! `inetcr handover`.

use std::fmt;
use std::fs;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::ValueEnum;
use clap::builder::PossibleValue;
use rustix::io::Errno;
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};
use rustix::process::{PidfdGetfdFlags, Signal, pidfd_getfd, pidfd_send_signal};

use super::limit::FileLimit;
use super::program::Program;
use super::select::{ends_within, open_process};

/// Hand the sockets of a process over to another program.
///
/// The sockets stay what they are, with all that waits in them: COMMAND gets descriptors of the very
/// same ones (pidfd_getfd(2)), by the socket-activation protocol or, with --at, from descriptor N
/// on. Nothing is dumped, the kernel needs no support for that, and sockets of any kind can be handed
/// over: of UDP, TCP, IPv6. It takes the right to attach to the process, as for a debugger.
///
/// Without --stop, both have the sockets, and each datagram comes to one of the two. With it, the
/// process is told to end when the sockets are held, and COMMAND is run when it has ended: what
/// comes meanwhile waits for COMMAND, as far as the receive buffers and backlogs have room. What the
/// process had taken and did not answer before its end is lost. COMMAND is looked for before the
/// process is told.
///
/// Some things are up to the process. Its children may have the sockets, too, and are not told to
/// end. One that calls shutdown(2) at its end ends the sockets for COMMAND as well. O_NONBLOCK is of
/// the socket, and stays as it was.
///
/// For another host, a reboot, or another network namespace, use `inetcr dump` and `inetcr restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Process that has the sockets.
    #[arg(long, value_name = "PID")]
    pid: i32,

    /// Descriptor of a socket there; several in the order in which COMMAND is to have them. Without
    /// it, all sockets of IPv4 and IPv6 to which clients come, those for datagrams and those that
    /// listen, in the order of the descriptors.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    fd: Vec<RawFd>,

    /// Tell the process to end, and wait until it has. One that is stopped goes on for that. If
    /// inetcr is interrupted while it waits, COMMAND is not run, and the process ends all the same.
    #[arg(long)]
    stop: bool,

    /// Signal that tells it.
    #[arg(long, value_name = "SIGNAL", default_value_t = SignalName::Term, requires = "stop")]
    signal: SignalName,

    /// How long to wait for its end. If it has not ended then, COMMAND is not run, and the exit
    /// status is 1. The process was told to end all the same.
    #[arg(long, value_name = "SECONDS", default_value_t = 90, requires = "stop")]
    timeout: u32,

    #[command(flatten)]
    program: Program,
}

/// The signals that end servers, by their names without SIG.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "UPPER")]
enum SignalName {
    #[value(alias = "SIGTERM")]
    Term,
    #[value(alias = "SIGINT")]
    Int,
    #[value(alias = "SIGQUIT")]
    Quit,
    #[value(alias = "SIGHUP")]
    Hup,
    #[value(alias = "SIGUSR1")]
    Usr1,
    #[value(alias = "SIGUSR2")]
    Usr2,
    #[value(alias = "SIGKILL")]
    Kill,
}

impl SignalName {
    fn number(self) -> Signal {
        match self {
            Self::Term => Signal::TERM,
            Self::Int => Signal::INT,
            Self::Quit => Signal::QUIT,
            Self::Hup => Signal::HUP,
            Self::Usr1 => Signal::USR1,
            Self::Usr2 => Signal::USR2,
            Self::Kill => Signal::KILL,
        }
    }
}

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.to_possible_value();
        f.write_str(name.as_ref().map_or("", PossibleValue::get_name))
    }
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let limit = FileLimit::raise()?;
        let pidfd = open_process(self.pid)?;
        let sockets = self.sockets(&pidfd)?;
        // What can go wrong goes wrong before the process is told to end.
        let program = self.program.prepare(sockets, limit)?;
        if self.stop {
            self.stop(&pidfd)?;
        }
        program.exec()
    }

    /// Descriptors of its sockets.
    fn sockets(&self, pidfd: &OwnedFd) -> anyhow::Result<Vec<OwnedFd>> {
        let pid = self.pid;
        if self.fd.is_empty() {
            let mut sockets = Vec::new();
            for fd in socket_fds(pid)? {
                match pidfd_getfd(pidfd.as_fd(), fd, PidfdGetfdFlags::empty()) {
                    Ok(socket) if is_served(&socket) => sockets.push(socket),
                    // It was closed meanwhile.
                    Ok(_) | Err(Errno::BADF) => {}
                    Err(error) => return Err(not_taken(pid, fd, error)),
                }
            }
            if sockets.is_empty() {
                bail!(
                    "process {pid} has no socket of IPv4 or IPv6 open that takes datagrams or \
                     connections: --fd names any other"
                );
            }
            return Ok(sockets);
        }
        let one = |fd: &RawFd| {
            let taken = pidfd_getfd(pidfd.as_fd(), *fd, PidfdGetfdFlags::empty());
            let socket = taken.map_err(|error| not_taken(pid, *fd, error))?;
            if socket_domain(&socket).is_err() {
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
        pidfd_send_signal(pidfd, self.signal.number()).with_context(what)?;
        // One that is stopped takes the signal when it goes on. If it has ended, there is no need.
        let _ = pidfd_send_signal(pidfd, Signal::CONT);
        let time = Duration::from_secs(self.timeout.into());
        if !ends_within(pidfd, time).with_context(what)? {
            bail!(
                "process {pid} has not ended in {} s: nothing was handed over. It was told to \
                 end (SIG{}) and may still do so, and its sockets end with it",
                self.timeout,
                self.signal
            );
        }
        Ok(())
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

fn not_taken(pid: i32, fd: RawFd, error: Errno) -> anyhow::Error {
    let right = match error {
        Errno::PERM => ": it takes the right to attach to the process",
        _ => "",
    };
    anyhow!("descriptor {fd} of process {pid}: {error}{right}")
}

/// Whether clients come to it: a socket of the internet for datagrams, or one that listens.
fn is_served(fd: &OwnedFd) -> bool {
    let family = socket_domain(fd);
    let is_internet = family == Ok(AddressFamily::INET) || family == Ok(AddressFamily::INET6);
    is_internet && (socket_type(fd) == Ok(SocketType::DGRAM) || socket_acceptconn(fd) == Ok(true))
}
