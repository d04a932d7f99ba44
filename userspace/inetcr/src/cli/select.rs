// SPDX-License-Identifier: GPL-2.0
//! Which sockets of the machine a command is about: the same words for each.

use std::collections::HashSet;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::ArgGroup;
use inetcr::{Client, Image, Losses, Record, Scope, Selection, Selector, Snapshot, State, Target};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::filter::FilterArgs;
use super::limit::FileLimit;
use super::say::say;
use super::{netns, pass_on_warning, processes, progress, text};

const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;

/// No such process.
const ESRCH: i32 = 3;

/// What selects sockets, for the group that each command makes of it.
pub(super) const SELECTORS: [&str; 5] = ["inode", "fd", "pid", "tree", "all"];

/// What an image has no use for: that, and how the machine is asked.
pub(super) const OF_MACHINE: [&str; 9] = {
    let [inode, fd, pid, tree, all] = SELECTORS;
    let how = ["skip_refused", "allow_lost", "netns", "no_queue"];
    let [skip_refused, allow_lost, netns, no_queue] = how;
    [
        inode,
        fd,
        pid,
        tree,
        all,
        skip_refused,
        allow_lost,
        netns,
        no_queue,
    ]
};

// No comment for the help: it would become that of the command.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(group = ArgGroup::new("one").args(["inode", "fd"]))]
pub(super) struct Select {
    /// Process that --fd belongs to; without --fd, all sockets of IPv4 and IPv6 that it has open.
    #[arg(long, value_name = "PID", conflicts_with = "inode")]
    pid: Option<i32>,

    /// File descriptor of the socket. Without --pid, one that the shell passes on: `3<&5`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    fd: Option<RawFd>,

    /// Inode number of the socket, as `ss -e` and the links in /proc/PID/fd show it.
    #[arg(long, value_name = "INO")]
    inode: Option<u64>,

    /// All sockets of IPv4 and IPv6 that a process and its descendants have open, each once.
    #[arg(long, value_name = "PID", conflicts_with_all = ["one", "pid"])]
    tree: Option<i32>,

    /// All bound IPv4 UDP sockets of the network namespace.
    #[arg(long, conflicts_with_all = ["one", "pid", "tree"])]
    all: bool,

    /// Cookie (SO_COOKIE) that the socket must have, so that it is no other by mistake.
    #[arg(long, requires = "one")]
    cookie: Option<u64>,

    #[command(flatten)]
    pub(super) filter: FilterArgs,

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

    /// Leave out the datagrams and errors that wait in the socket, and a corked datagram. To dump
    /// them takes CAP_NET_RAW.
    #[arg(long)]
    no_queue: bool,
}

/// What has become of the sockets that were selected.
#[derive(Default)]
pub(super) struct Outcome {
    dumped: usize,
    refused: usize,
    /// Those may be left out.
    skips: bool,
    seen: Seen,
}

/// Which sockets there were already in a process and its descendants. The inode number and the
/// cookie tell which one it is.
#[derive(Default)]
struct Seen {
    dumped: HashSet<(u64, Option<u64>)>,
    /// These may be dumped as those of another process, if this one has closed them meanwhile.
    refused: HashSet<(u64, Option<u64>)>,
}

impl Seen {
    /// Whether it is not dumped yet, and new among those that were `met` in its process. What is
    /// only met may never be dumped, as its process may end before that.
    fn is_wanted(&self, met: &mut HashSet<(u64, Option<u64>)>, record: &Record) -> bool {
        let Some(which) = which(socket_of(record)) else {
            // Nothing tells those apart.
            return true;
        };
        !self.dumped.contains(&which) && met.insert(which)
    }
}

impl Outcome {
    /// It is an error that some were refused, unless they may be left out. It says what became of
    /// the others.
    pub(super) fn is_whole(&self, others: &str) -> anyhow::Result<()> {
        let (refused, count) = (self.refused, self.dumped + self.refused);
        if refused == 0 || self.skips {
            return Ok(());
        }
        bail!("{refused} of {count} sockets refused{others}: --skip-refused leaves them out")
    }
}

/// Takes a socket.
pub(super) type Each<'a> = dyn FnMut(Snapshot) -> anyhow::Result<()> + 'a;

impl Select {
    /// Dumps the sockets one by one, and names those that are refused. They are as an image has
    /// them: what waits in them is there or is not mentioned.
    pub(super) fn each(&self, each: &mut Each<'_>) -> anyhow::Result<Outcome> {
        self.look(&mut |snapshot| each(self.as_asked(snapshot)))
    }

    /// Without what waits in it, if that is left out.
    pub(super) fn as_asked(&self, socket: Snapshot) -> Snapshot {
        if self.no_queue {
            Snapshot::new(socket.state, Vec::new(), None)
        } else {
            socket
        }
    }

    /// All of them.
    pub(super) fn image(&self) -> anyhow::Result<(Image, Outcome)> {
        let mut image = Image::default();
        let outcome = self.each(&mut |socket| {
            image.sockets.push(socket);
            Ok(())
        })?;
        Ok((image, outcome))
    }

    /// As [`each`](Self::each), but with --no-queue it is said of each whether something waits.
    pub(super) fn look(&self, each: &mut Each<'_>) -> anyhow::Result<Outcome> {
        // Each process takes a descriptor.
        FileLimit::raise()?;
        let processes = match (self.pid, self.tree) {
            (Some(pid), _) => vec![(pid, open_process(pid)?)],
            (None, Some(pid)) => processes::tree(pid)?,
            (None, None) => Vec::new(),
        };
        if let Some(name) = &self.netns {
            netns::enter(name)?;
        }
        let mut client = Client::new()?;
        client.allow_lost(self.allow_lost.unwrap_or_default());
        let pidfd = processes.first().map(|(_, pidfd)| pidfd.as_fd());
        let selector = match (self.inode, self.fd, pidfd) {
            (Some(inode), ..) => Selector::Inode(inode),
            (None, Some(fd), Some(pidfd)) => Selector::Pidfd { pidfd, fd },
            (None, Some(fd), None) => Selector::Fd(fd),
            (None, None, _) => return self.many(&mut client, &processes, each),
        };
        let cookie = self.cookie;
        let target = Target { selector, cookie };
        let snapshot = if self.no_queue {
            client.dump(target)?.into()
        } else {
            client.snapshot(target)?
        };
        pass_on_warning(client.warning());
        say_lost(&snapshot);
        each(snapshot)?;
        Ok(Outcome {
            dumped: 1,
            ..Outcome::default()
        })
    }

    /// It is an error that there is no socket at all: whoever dumps them for an image may end them
    /// next, and this cannot be what was meant. It says what became of the others.
    pub(super) fn is_any(&self, outcome: &Outcome, others: &str) -> anyhow::Result<()> {
        if outcome.dumped > 0 {
            return Ok(());
        }
        if outcome.refused > 0 {
            bail!("{others}: all sockets are refused");
        }
        let as_asked = if self.filter.is_any() {
            " as --state, --local, --peer, --port or --device has it"
        } else {
            ""
        };
        let who = match (self.pid, self.tree) {
            (Some(pid), _) => format!(
                "process {pid} has no socket of IPv4 or IPv6 open{as_asked}: --tree looks at its \
                 descendants, too"
            ),
            (None, Some(pid)) => format!(
                "process {pid} and its descendants have no socket of IPv4 or IPv6 open{as_asked}"
            ),
            (None, None) => format!(
                "no IPv4 UDP socket is bound in this network namespace{as_asked}: --netns looks \
                 into another one"
            ),
        };
        bail!("{others}: {who}")
    }

    fn many(
        &self,
        client: &mut Client,
        processes: &[(i32, OwnedFd)],
        each: &mut Each<'_>,
    ) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome {
            skips: self.skip_refused,
            ..Outcome::default()
        };
        if processes.is_empty() {
            self.scope(client, Scope::Namespace, None, &mut outcome, each)?;
        }
        for (pid, pidfd) in processes {
            let scope = Scope::Process(pidfd.as_fd());
            match self.scope(client, scope, Some(*pid), &mut outcome, each) {
                Err(error) if self.tree.is_some() && is_gone(&error, pidfd)? => {}
                Err(error) if error.is::<inetcr::Error>() => {
                    return Err(error.context(format!("process {pid}")));
                }
                other => other?,
            }
        }
        Ok(outcome)
    }

    fn scope(
        &self,
        client: &mut Client,
        scope: Scope<'_>,
        pid: Option<i32>,
        outcome: &mut Outcome,
        each: &mut Each<'_>,
    ) -> anyhow::Result<()> {
        let selection = Selection {
            local_port: self.filter.port(),
            filter: self.filter.filter(),
            ..scope.into()
        };
        // Seen to before what waits is dumped.
        let mut met = HashSet::new();
        let mut is_wanted = |seen: &Seen, record: &Record| {
            may_be_of_internet(record, scope)
                // What a process has from its parent was there.
                && (self.tree.is_none() || seen.is_wanted(&mut met, record))
        };
        let mut is_elsewhere = false;
        let mut take = |outcome: &mut Outcome, record: Record<Snapshot>| match record {
            Record::Dumped(snapshot) => {
                outcome.dumped += 1;
                outcome.seen.dumped.extend(which(&snapshot));
                say_lost(&snapshot);
                each(snapshot)
            }
            Record::Refused(refused) => {
                let which = which(&refused.socket).filter(|_| self.tree.is_some());
                if which.is_some_and(|which| !outcome.seen.refused.insert(which)) {
                    return Ok(());
                }
                outcome.refused += 1;
                is_elsewhere |= refused.socket.cookie.is_none();
                let process = pid.map(|pid| format!("pid:{pid} ")).unwrap_or_default();
                say(format_args!("refused: {process}{refused}"));
                Ok(())
            }
        };
        if self.no_queue {
            let mut records = client.dump_many(selection)?;
            records.retain(|record| is_wanted(&outcome.seen, record));
            for record in records {
                let record = match record {
                    Record::Dumped(state) => Record::Dumped(state.into()),
                    Record::Refused(refused) => Record::Refused(refused),
                };
                take(outcome, record)?;
            }
        } else {
            let mut snapshots = client.snapshots(selection)?;
            snapshots.retain(|record| is_wanted(&outcome.seen, record));
            let bar = progress::bar("dump", snapshots.len());
            for record in snapshots {
                bar.inc(1);
                bar.suspend(|| take(outcome, record?))?;
            }
        }
        if let Some(pid) = pid
            && self.netns.is_none()
            && is_elsewhere
        {
            say(format_args!(
                "--netns /proc/{pid}/ns/net looks into the namespace of process {pid}"
            ));
        }
        pass_on_warning(client.warning());
        Ok(())
    }
}

fn socket_of(record: &Record) -> &State {
    match record {
        Record::Dumped(state) => state,
        Record::Refused(refused) => &refused.socket,
    }
}

/// What tells which socket it is.
fn which(socket: &State) -> Option<(u64, Option<u64>)> {
    socket.inode.map(|inode| (inode, socket.cookie))
}

/// Whether it is of IPv4 or IPv6, as far as is known. A process has others as well, such as those
/// that lead its output to the journal, and nobody asks for these.
fn may_be_of_internet(record: &Record, scope: Scope<'_>) -> bool {
    let (Record::Refused(refused), Scope::Process(pidfd)) = (record, scope) else {
        return true;
    };
    let socket = &refused.socket;
    // The kernel does not tell this of sockets of other network namespaces; they do themselves.
    let kind = || kind_of(pidfd, socket.sock_fd?).ok();
    let family = socket
        .sock_family
        .or_else(|| kind().map(|(family, ..)| family));
    family.is_none_or(|family| family == AF_INET || family == AF_INET6)
}

/// Family, type and protocol of a socket of a process.
pub(super) fn kind_of(pidfd: BorrowedFd<'_>, fd: u32) -> anyhow::Result<(u32, u32, u32)> {
    let fd = pidfd_getfd(pidfd, RawFd::try_from(fd)?, PidfdGetfdFlags::empty())?;
    let protocol = sockopt::socket_protocol(&fd)?;
    Ok((
        sockopt::socket_domain(&fd)?.as_raw().into(),
        sockopt::socket_type(&fd)?.as_raw(),
        protocol.map_or(0, |protocol| protocol.as_raw().get()),
    ))
}

/// Whether the process came to its end meanwhile: it has no sockets any more. The kernel says the
/// same of one whose main thread alone has ended, and the others have sockets.
fn is_gone(error: &anyhow::Error, pidfd: &OwnedFd) -> anyhow::Result<bool> {
    let error = error.downcast_ref::<inetcr::Error>();
    if error.and_then(inetcr::Error::errno) != Some(ESRCH) {
        return Ok(false);
    }
    // Between the two, a process gives back its memory and closes its files.
    ends_within(pidfd, Duration::from_secs(1))
}

/// Whether a process, with all its threads, ends in this time.
pub(super) fn ends_within(pidfd: &OwnedFd, time: Duration) -> anyhow::Result<bool> {
    let mut ended = [PollFd::new(pidfd, PollFlags::IN)];
    let timeout = Timespec::try_from(time)?;
    loop {
        match poll(&mut ended, Some(&timeout)) {
            Ok(count) => return Ok(count > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) fn say_lost(snapshot: &Snapshot) {
    if let Some(lost) = text::lost(snapshot) {
        say(format_args!("{}: {lost}", snapshot.identity()));
    }
}

pub(super) fn open_process(pid: i32) -> anyhow::Result<OwnedFd> {
    let pid_type = Pid::from_raw(pid).filter(|_| pid > 0);
    let pid_type = pid_type.with_context(|| format!("{pid} is no process"))?;
    pidfd_open(pid_type, PidfdFlags::empty()).with_context(|| format!("process {pid}"))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::UnixDatagram;
    use std::process::{Command, Stdio};

    use inetcr::{KernelError, Refused};

    use super::*;

    #[test]
    fn sockets_that_are_not_of_the_internet_are_not_refused() {
        let me = open_process(i32::try_from(std::process::id()).unwrap()).unwrap();
        let of = |sock_family, fd: Option<RawFd>| {
            let socket = State {
                sock_family,
                sock_fd: fd.map(|fd| u32::try_from(fd).unwrap()),
                ..State::default()
            };
            let error = KernelError::new("dump", 95);
            let record = Record::Refused(Box::new(Refused { socket, error }));
            may_be_of_internet(&record, Scope::Process(me.as_fd()))
        };
        let of_unix = Some(1);
        assert!(!of(of_unix, None));
        assert!(of(Some(AF_INET), None) && of(Some(AF_INET6), None) && of(None, None));
        // Where the kernel does not tell.
        let unix = UnixDatagram::unbound().unwrap();
        assert!(!of(None, Some(unix.as_raw_fd())));
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(of(None, Some(udp.as_raw_fd())) && of(None, Some(tcp.as_raw_fd())));
    }

    #[test]
    fn a_socket_that_several_processes_have_is_dumped_once() {
        let of = |inode, cookie| State {
            inode,
            cookie,
            ..State::default()
        };
        let is_wanted = |seen: &Seen, met: &mut HashSet<_>, inode, cookie| {
            seen.is_wanted(met, &Record::Dumped(of(inode, cookie)))
        };
        let mut seen = Seen::default();
        // A process that has ended before any was dumped, and its child.
        for mut met in [HashSet::new(), HashSet::new()] {
            let mut is_wanted = |inode, cookie| is_wanted(&seen, &mut met, inode, cookie);
            assert!(is_wanted(Some(1), Some(7)));
            assert!(!is_wanted(Some(1), Some(7)));
            assert!(is_wanted(Some(1), Some(8)) && is_wanted(Some(2), Some(7)));
            assert!(is_wanted(None, None) && is_wanted(None, None));
        }
        seen.dumped.extend(which(&of(Some(1), Some(7))));
        let mut met = HashSet::new();
        assert!(!is_wanted(&seen, &mut met, Some(1), Some(7)));
        assert!(is_wanted(&seen, &mut met, Some(1), Some(8)));
    }

    #[test]
    fn no_socket_is_no_image() {
        use clap::Parser as _;

        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            select: Select,
        }

        let said = |args: &str, refused| {
            let args = ["inetcr"].into_iter().chain(args.split(' '));
            let select = Line::parse_from(args).select;
            let outcome = |dumped| Outcome {
                dumped,
                refused,
                skips: true,
                ..Outcome::default()
            };
            select.is_any(&outcome(1), "nothing").unwrap();
            format!("{}", select.is_any(&outcome(0), "nothing").unwrap_err())
        };
        for (args, words) in [
            (
                "--pid 7",
                "nothing: process 7 has no socket of IPv4 or IPv6 open: --tree ",
            ),
            ("--pid 7 --port 5", " open as --state, "),
            (
                "--tree 7",
                "nothing: process 7 and its descendants have no ",
            ),
            ("--all --port 5", " --port or --device has it: --netns "),
        ] {
            let said = said(args, 0);
            assert!(said.contains(words), "{said}");
        }
        assert_eq!(said("--all", 3), "nothing: all sockets are refused");
    }

    #[test]
    fn a_process_that_lives_is_not_gone() {
        let error = |errno| inetcr::Error::from(KernelError::new("dump", errno)).into();
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pidfd = open_process(i32::try_from(child.id()).unwrap()).unwrap();
        // As of one whose main thread alone is gone.
        assert!(!is_gone(&error(ESRCH), &pidfd).unwrap());
        drop(child.stdin.take());
        assert!(is_gone(&error(ESRCH), &pidfd).unwrap());
        // Also if nobody asks how.
        assert!(is_gone(&error(ESRCH), &pidfd).unwrap());
        assert!(!is_gone(&error(1), &pidfd).unwrap());
        child.wait().unwrap();
    }
}
