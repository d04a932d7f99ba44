// SPDX-License-Identifier: GPL-2.0
//! `inetcr amend`.

use std::fmt::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{chown, fchown};
use std::path::PathBuf;

use anyhow::bail;
use inetcr::table::AttributePath;
use inetcr::{Amended, Client, Failure, Losses, Selector, Snapshot, Target};
use rustix::net::sockopt;
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};
use serde_json::json;

use super::say::say;
use super::{files, netns, pass_on_warning, select, text};

/// The attribute that the user is in.
const UID: u16 = 53;

/// Apply an image to a socket that exists.
///
/// The socket has to be of the same kind, with the same addresses, as the one in the image. All
/// else that the image has is applied to it, option by option, unless the socket has it already:
/// what another tool has not restored comes back. What the image does not have stays as it is.
///
/// Datagrams and errors of the image come behind those that wait in the socket; a corked datagram
/// is not put into a socket that exists (`inetcr dump --no-queue` leaves all of them out of the
/// image). If one has no place, nothing behind it is queued. A socket of another user than that of
/// the image is given to that user, as by chown(1).
///
/// This is not atomic, and the owner of the socket should be frozen. What cannot be applied is
/// named, and the exit status is 1; everything else was applied. If the image is refused as a
/// whole, nothing was queued, and if it has no datagrams, nothing was applied.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Image of one socket that `inetcr dump` wrote, `-` for the standard input.
    #[arg(value_name = "FILE")]
    image: PathBuf,

    /// Process that --fd belongs to. Without it, --fd is a descriptor that the shell passes on:
    /// `inetcr amend socket.json --fd 3 3<&5`.
    #[arg(long, value_name = "PID")]
    pid: Option<i32>,

    /// File descriptor of the socket.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    fd: RawFd,

    /// Cookie (SO_COOKIE) that the socket must have, so that no other is amended by mistake.
    #[arg(long)]
    cookie: Option<u64>,

    /// Network namespace of the socket: a name that `ip netns` knows, or a path such as
    /// /proc/PID/ns/net.
    #[arg(long, value_name = "NAME|PATH")]
    netns: Option<PathBuf>,

    /// Apply the image although the dump has lost these parts of the socket, with commas between:
    /// see `inetcr dump --help`. They are left as they are.
    #[arg(long, value_name = "LOSS,...")]
    allow_lost: Option<Losses>,

    /// Print what could not be applied as JSON instead of lines.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let image = files::read(&self.image)?;
        let [socket] = image.sockets.as_slice() else {
            let count = image.sockets.len();
            bail!("the image has {count} sockets, and one is needed");
        };
        let pidfd = self.pid.map(select::open_process).transpose()?;
        if let Some(name) = &self.netns {
            netns::enter(name)?;
        }
        let selector = match &pidfd {
            Some(pidfd) => Selector::Pidfd {
                pidfd: pidfd.as_fd(),
                fd: self.fd,
            },
            None => Selector::Fd(self.fd),
        };
        let mut client = Client::new()?;
        client.allow_lost(self.allow_lost.unwrap_or_default());
        let target = Target {
            selector,
            cookie: self.cookie,
        };
        let amended = apply(&mut client, target, socket)?;
        if self.json {
            text::print(&report_json(&amended)?)?;
        } else {
            text::print(&report(&amended))?;
        }
        match amended.failed.len() {
            0 => Ok(()),
            1 => bail!("1 part of the image was not applied"),
            count => bail!("{count} parts of the image were not applied"),
        }
    }
}

/// Applies what an image has of a socket to one that exists.
pub(super) fn apply(
    client: &mut Client,
    target: Target<'_>,
    socket: &Snapshot,
) -> anyhow::Result<Amended> {
    let mut amended = client.amend_snapshot(target, socket)?;
    if let Some(uid) = socket.uid {
        give_to(uid, target.selector, &mut amended);
    }
    pass_on_warning(client.warning());
    Ok(amended)
}

/// Gives the socket to the user of the image, if it is said not to be theirs.
fn give_to(uid: u32, selector: Selector<'_>, amended: &mut Amended) {
    let user = AttributePath::new(&[UID]);
    let is_about_it = |failure: &Failure| failure.error.attribute.as_ref() == Some(&user);
    if !amended.failed.iter().any(is_about_it) {
        return;
    }
    let given = match selector {
        Selector::Pidfd { pidfd, fd } => descriptor_of(pidfd, fd, amended.cookie)
            .and_then(|socket| Ok(fchown(socket, Some(uid), None)?)),
        Selector::Fd(fd) => {
            chown(format!("/proc/self/fd/{fd}"), Some(uid), None).map_err(Into::into)
        }
        // Nothing is amended by that.
        Selector::Inode(_) => return,
    };
    match given {
        Ok(()) => amended.failed.retain(|failure| !is_about_it(failure)),
        Err(error) => say(format_args!("fchown to user {uid}: {error:#}")),
    }
}

/// A descriptor of the socket that was amended, which another process has by that number.
///
/// That process may have put another file there since, such as one that it must not own.
fn descriptor_of(pidfd: BorrowedFd<'_>, fd: RawFd, cookie: u64) -> anyhow::Result<OwnedFd> {
    let found = pidfd_getfd(pidfd, fd, PidfdGetfdFlags::empty())?;
    // What is no socket has none.
    if sockopt::socket_cookie(&found) != Ok(cookie) {
        bail!("descriptor {fd} of the process is no longer the socket that was amended");
    }
    Ok(found)
}

fn report(amended: &Amended) -> String {
    let mut report = String::new();
    for failure in &amended.failed {
        // Writing to a string does not fail.
        let _ = writeln!(report, "not applied: {failure}");
    }
    let but = if amended.failed.is_empty() {
        ""
    } else {
        ", but for that"
    };
    let Amended { inode, cookie, .. } = amended;
    report + &format!("ino:{inode} cookie:{cookie} amended{but}\n")
}

fn report_json(amended: &Amended) -> anyhow::Result<String> {
    let failure = |failure: &Failure| {
        json!({
            "what": failure.place(),
            "errno": failure.error.errno,
            "error": failure.error.errno_name(),
            "msg": failure.error.reason(),
        })
    };
    let failed: Vec<_> = amended.failed.iter().map(failure).collect();
    let report = json!({
        "inode": amended.inode,
        "cookie": amended.cookie,
        "failed": failed,
    });
    Ok(serde_json::to_string_pretty(&report)? + "\n")
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;

    use inetcr::KernelError;
    use rustix::process::geteuid;

    use super::*;

    /// What is left to say after the descriptor of a process, here this one, is found to be that
    /// of a socket whose user is another one.
    fn failed_after(fd: &impl AsRawFd, cookie: u64) -> usize {
        let pidfd = select::open_process(std::process::id().try_into().unwrap()).unwrap();
        let selector = Selector::Pidfd {
            pidfd: pidfd.as_fd(),
            fd: fd.as_raw_fd(),
        };
        let mut error = KernelError::new("amend", 1);
        error.attribute = Some(AttributePath::new(&[UID]));
        let mut amended = Amended {
            inode: 1,
            cookie,
            failed: vec![Failure {
                error,
                index: None,
                bit: None,
            }],
        };
        give_to(geteuid().as_raw(), selector, &mut amended);
        amended.failed.len()
    }

    #[test]
    fn nothing_but_the_socket_is_given_away() {
        let socket = || UdpSocket::bind("127.0.0.1:0").unwrap();
        let (socket, other) = (socket(), socket());
        let cookie = sockopt::socket_cookie(&socket).unwrap();
        assert_eq!(failed_after(&socket, cookie), 0);
        assert_eq!(failed_after(&other, cookie), 1);
        assert_eq!(failed_after(&tempfile::tempfile().unwrap(), cookie), 1);
    }
}
