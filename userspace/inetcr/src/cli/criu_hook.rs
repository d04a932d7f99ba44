// SPDX-License-Identifier: GPL-2.0
//! `inetcr criu-hook`.

mod checkpoint;

use std::collections::HashSet;
use std::env;
use std::fs;
use std::os::fd::{AsFd as _, RawFd};
use std::path::Path;

use anyhow::{Context as _, bail};
use inetcr::{
    Amended, Client, Compression, ImageWriter, Losses, Record, Refused, Scope, Selector, Snapshot,
    State,
};
use rustix::io::Errno;

use super::files::{self, Output};
use super::limit::FileLimit;
use super::say::say;
use super::{WrongUsage, amend, netns, pass_on_warning, processes, select};
use checkpoint::{Checkpoint, Completed, Task, file_name, files_of};

/// What CRIU tells its scripts: at what point of its work it is.
const ACTION: &str = "CRTOOLS_SCRIPT_ACTION";

const AF_INET: u32 = 2;
const SOCK_DGRAM: u32 = 2;
const IPPROTO_UDP: u32 = 17;

/// Bring back what CRIU loses of IPv4 UDP sockets, as its action script.
///
/// A file that CRIU is told to run (criu dump --action-script FILE, and criu restore with the same):
///
///     #!/bin/sh
///     exec inetcr criu-hook --strict
///
/// At a dump, when all images are written and the processes are still frozen, it puts images of
/// their sockets beside those of CRIU, in a directory of its own: a file for each process, which
/// inetcr show shows. A socket that several have is in the first of them. At a restore, before the
/// processes run and the network is unlocked, it finds the sockets that CRIU has made by process and
/// descriptor, and applies to them what they lack, as inetcr amend does: options, memberships,
/// filter, what of the address was chosen, and the datagrams and errors that waited.
///
/// What cannot be saved or brought back is named, in the log of CRIU. Sockets of other kinds, and the
/// owner of a socket that gets its signals, are left to CRIU.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Have CRIU give up if anything cannot be saved or brought back: a dump fails then, and the
    /// processes go on; a restore fails, and there are none. Without it, that is only named.
    #[arg(long)]
    strict: bool,

    /// Parts that sockets may lose: see `inetcr dump --help`. What a dump has lost, a restore has to
    /// be allowed as well: without it, nothing is brought back of such a socket.
    #[arg(long, value_name = "LOSS,...")]
    allow_lost: Option<Losses>,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let Some(action) = env::var_os(ACTION) else {
            let text = format!("{ACTION} is not set: this is run by CRIU, as its --action-script");
            return Err(WrongUsage(text).into());
        };
        let act: fn(&Self, &Checkpoint) -> _ = match action.to_str() {
            Some("post-dump") => Self::dump,
            Some("post-restore") => Self::restore,
            // There is nothing to do at the others.
            _ => return Ok(()),
        };
        match act(&self, &Checkpoint::of_environment()?) {
            Ok(0) => Ok(()),
            Ok(count) if self.strict => bail!("{count} named above, and --strict asks for all"),
            Err(error) if !self.strict => {
                say(format_args!("{error:#}"));
                Ok(())
            }
            other => other.map(drop),
        }
    }

    /// Writes the images. Returns how much there is that could not be saved.
    fn dump(&self, checkpoint: &Checkpoint) -> anyhow::Result<usize> {
        FileLimit::raise()?;
        let target = checkpoint.dir()?;
        // By this hook, if it is an action script twice.
        if target.exists() {
            fs::remove_dir_all(&target).with_context(|| target.display().to_string())?;
        }
        let tree = checkpoint.tree()?;
        // All of it becomes visible at once.
        let parent = &checkpoint.images;
        let dir = tempfile::Builder::new()
            .prefix("inetcr-")
            .tempdir_in(parent);
        let dir = dir.with_context(|| parent.display().to_string())?;
        let mut sockets = Sockets::default();
        let mut problems = 0;
        for (number, task) in &tree {
            let path = dir.path().join(file_name(*number));
            if let Err(error) = self.save(*number, task, &path, &mut sockets) {
                say(format_args!("process {number}: not saved: {error:#}"));
                problems += 1;
            }
        }
        problems += sockets.say_refused();
        fs::rename(dir.path(), &target)
            .and_then(|()| files::sync_name(&target))
            .with_context(|| target.display().to_string())?;
        // By that name there is nothing to remove any more.
        let _ = dir.keep();
        Ok(problems)
    }

    /// Writes the image of a process, with the sockets that no other has.
    fn save(
        &self,
        number: i32,
        task: &Task,
        path: &Path,
        sockets: &mut Sockets,
    ) -> anyhow::Result<()> {
        let Some(mut client) = self.client(task)? else {
            return Ok(());
        };
        let of_task = match client.snapshots(Scope::Process(task.pidfd.as_fd())) {
            Err(error) if is_gone(&error) => return Ok(()),
            of_task => of_task?,
        };
        let mut image = ImageWriter::new(Output::create(path, false)?, Compression::Zstd)?;
        let mut count = 0;
        let mut here = HashSet::new();
        let mut is_new = |socket: &State| {
            let inode = socket.inode;
            inode.is_none_or(|inode| !sockets.saved.contains(&inode) && here.insert(inode))
        };
        for record in of_task {
            match record? {
                Record::Dumped(socket) if is_ours(&socket, task) && is_new(&socket) => {
                    select::say_lost(&socket);
                    image.add(&socket)?;
                    count += 1;
                }
                Record::Refused(refused) if is_ours(&refused.socket, task) => {
                    sockets.refused.push((number, refused));
                }
                _ => {}
            }
        }
        image.finish()?.keep()?;
        // Not before: what is in no image, that of another process has to have.
        sockets.saved.extend(here);
        pass_on_warning(client.warning());
        if count > 0 {
            say(format_args!("process {number}: sockets saved: {count}"));
        }
        Ok(())
    }

    /// Completes the sockets. Returns how much there is that could not be brought back.
    fn restore(&self, checkpoint: &Checkpoint) -> anyhow::Result<usize> {
        FileLimit::raise()?;
        let dir = checkpoint.dir()?;
        if !dir.exists() {
            bail!(
                "there are no images of this checkpoint's sockets: was `inetcr criu-hook` an action \
                 script of the dump, too?"
            );
        }
        let tree = checkpoint.tree()?;
        let mut completed = Completed::read(&dir)?;
        let mut problems = 0;
        let files = files_of(&dir)?;
        for (number, path) in &files {
            let count = self.complete(*number, tree.get(number), path, &mut completed);
            problems += count.unwrap_or_else(|error| {
                say(format_args!("process {number}: {error:#}"));
                1
            });
        }
        // There is one of each that lived at the dump, also if it had no sockets.
        for (number, task) in &tree {
            if !files.contains_key(number) && !processes::has_ended(task.pid)? {
                say(format_args!(
                    "process {number}: there is no image of its sockets"
                ));
                problems += 1;
            }
        }
        Ok(problems)
    }

    /// Completes the sockets of a process. Returns how much there is that could not be brought back.
    fn complete(
        &self,
        number: i32,
        task: Option<&Task>,
        path: &Path,
        completed: &mut Completed,
    ) -> anyhow::Result<usize> {
        let image = files::read(path)?;
        if image.sockets.is_empty() {
            return Ok(0);
        }
        let client = task.map(|task| self.client(task)).transpose()?.flatten();
        let (Some(task), Some(mut client)) = (task, client) else {
            say(format_args!("process {number}: it is not restored"));
            return Ok(image.sockets.len());
        };
        let sockets = image.sockets.into_iter();
        let counts = sockets.map(|socket| complete(&mut client, number, task, socket, completed));
        Ok(counts.sum())
    }

    /// A client in the network namespace of a process; none if the process has ended.
    fn client(&self, task: &Task) -> anyhow::Result<Option<Client>> {
        match netns::enter(Path::new(&format!("/proc/{}/ns/net", task.pid))) {
            Ok(()) => {}
            Err(_) if processes::has_ended(task.pid)? => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut client = Client::new()?;
        client.allow_lost(self.allow_lost.unwrap_or_default());
        Ok(Some(client))
    }
}

/// What a dump has come across.
#[derive(Default)]
struct Sockets {
    /// By inode numbers, which nobody changes while all processes are frozen.
    saved: HashSet<u64>,
    /// With the process that has it.
    refused: Vec<(i32, Box<Refused>)>,
}

impl Sockets {
    /// Takes note that a socket is saved; returns whether it was not before.
    fn saved(&mut self, socket: &State) -> bool {
        socket.inode.is_none_or(|inode| self.saved.insert(inode))
    }

    /// Names each that is in no image, and says how many these are. What is refused because a
    /// process is in another network namespace may be saved with another process.
    fn say_refused(mut self) -> usize {
        let mut count = 0;
        for (number, refused) in std::mem::take(&mut self.refused) {
            if self.saved(&refused.socket) {
                say(format_args!("process {number}: not saved: {refused}"));
                count += 1;
            }
        }
        count
    }
}

/// Whether it is of IPv4 and UDP. The others are CRIU's.
fn is_ours(socket: &State, task: &Task) -> bool {
    let known = (socket.sock_family, socket.sock_type, socket.sock_protocol);
    let kind = match known {
        (Some(family), Some(kind), Some(protocol)) => Some((family, kind, protocol)),
        // The kernel does not tell this of sockets of other network namespaces; they do themselves.
        _ => socket
            .sock_fd
            .and_then(|fd| select::kind_of(task.pidfd.as_fd(), fd).ok()),
    };
    kind.is_none_or(|kind| kind == (AF_INET, SOCK_DGRAM, IPPROTO_UDP))
}

/// Whether the process came to its end: it has no sockets any more.
fn is_gone(error: &inetcr::Error) -> bool {
    error.errno() == Some(Errno::SRCH.raw_os_error())
}

/// Completes a socket. Returns how many parts of it could not be brought back.
fn complete(
    client: &mut Client,
    number: i32,
    task: &Task,
    socket: Snapshot,
    completed: &mut Completed,
) -> usize {
    let what = format!("process {number}: {}", socket.identity());
    match try_to_complete(client, task, socket, &what, completed) {
        Ok(Amended { failed, .. }) => {
            for failure in &failed {
                say(format_args!("{what}: not applied: {failure}"));
            }
            failed.len()
        }
        Err(error) => {
            say(format_args!("{what}: not amended: {error:#}"));
            1
        }
    }
}

fn try_to_complete(
    client: &mut Client,
    task: &Task,
    mut socket: Snapshot,
    what: &str,
    completed: &mut Completed,
) -> anyhow::Result<Amended> {
    let fd = socket.sock_fd.context("the image names no descriptor")?;
    let selector = Selector::Pidfd {
        pidfd: task.pidfd.as_fd(),
        fd: RawFd::try_from(fd)?,
    };
    // CRIU brings it back, by the number in the namespace of the processes; here it is another one.
    socket.state.owner = None;
    let mut to_note = None;
    if !socket.queue.is_empty() {
        let there = client.snapshot(selector)?;
        let numbers = there.inode.zip(there.cookie);
        let (inode, cookie) = numbers.context("the socket has no numbers")?;
        if completed.has(inode, cookie) {
            say(format_args!("{what}: what waits was brought back before"));
            socket = Snapshot::new(socket.state, Vec::new(), socket.corked);
        } else {
            to_note = Some((inode, cookie));
            let count = there.queue.len();
            if count > 0 {
                say(format_args!(
                    "{what}: in front of what waited there is what has come since: {count}"
                ));
            }
        }
    }
    let amended = amend::apply(client, selector.into(), &socket)?;
    // Not before: if that has failed, nothing has come yet.
    if let Some((inode, cookie)) = to_note
        && let Err(error) = completed.add(inode, cookie)
    {
        say(format_args!(
            "{what}: what waits would come twice if this hook was run twice, as it cannot be noted \
             that it has come: {error:#}"
        ));
    }
    Ok(amended)
}
