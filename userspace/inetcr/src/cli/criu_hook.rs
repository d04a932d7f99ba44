// SPDX-License-Identifier: GPL-2.0
//! `inetcr criu-hook`.

use std::collections::{BTreeMap, HashSet};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use inetcr::{
    Amended, Client, Compression, ImageWriter, Losses, Record, Scope, Selector, Snapshot, State,
};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::files::{self, Output};
use super::limit::FileLimit;
use super::{WrongUsage, amend, netns, pass_on_warning, processes, select};

/// What CRIU tells its scripts.
const ACTION: &str = "CRTOOLS_SCRIPT_ACTION";
const IMAGE_DIR: &str = "CRTOOLS_IMAGE_DIR";
const INIT_PID: &str = "CRTOOLS_INIT_PID";

/// An image of CRIU that each dump has, and that is another one in each: there is an identifier of
/// the run in it.
const INVENTORY: &str = "inventory.img";

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

    /// Parts that sockets may lose: see `inetcr dump --help`.
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
                eprintln!("inetcr: {error:#}");
                Ok(())
            }
            other => other.map(drop),
        }
    }

    /// Writes the images. Returns how much there is that could not be saved.
    fn dump(&self, checkpoint: &Checkpoint) -> anyhow::Result<usize> {
        FileLimit::raise()?;
        let tree = checkpoint.tree()?;
        // All of it becomes visible at once.
        let parent = &checkpoint.images;
        let dir = tempfile::Builder::new()
            .prefix("inetcr-")
            .tempdir_in(parent);
        let dir = dir.with_context(|| parent.display().to_string())?;
        let mut seen = HashSet::new();
        let mut problems = 0;
        for (number, task) in &tree {
            let Some(mut client) = self.client(task)? else {
                continue;
            };
            let scope = Scope::Process(task.pidfd.as_fd());
            let mut sockets = match client.snapshots(scope) {
                Ok(sockets) => sockets,
                Err(error) if is_gone(&error) => continue,
                Err(error) => return Err(error).context(format!("process {number}")),
            };
            sockets.retain(|record| is_ours(state_of(record)) && select::is_new(&mut seen, record));
            let output = Output::create(&dir.path().join(file_name(*number)), false)?;
            let mut image = ImageWriter::new(output, Compression::Zstd)?;
            let mut count = 0;
            for record in sockets {
                match record? {
                    Record::Dumped(socket) => {
                        select::say_lost(&socket);
                        image.add(&socket)?;
                        count += 1;
                    }
                    Record::Refused(refused) => {
                        eprintln!("inetcr: process {number}: not saved: {refused}");
                        problems += 1;
                    }
                }
            }
            image.finish()?.keep()?;
            pass_on_warning(client.warning());
            if count > 0 {
                eprintln!("inetcr: process {number}: sockets saved: {count}");
            }
        }
        let target = checkpoint.dir()?;
        // By this hook, if it is an action script twice.
        if target.exists() {
            fs::remove_dir_all(&target).with_context(|| target.display().to_string())?;
        }
        fs::rename(dir.path(), &target).with_context(|| target.display().to_string())?;
        // By that name there is nothing to remove any more.
        let _ = dir.keep();
        Ok(problems)
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
        let mut problems = 0;
        for (number, path) in files_of(&dir)? {
            let image = files::read(&path)?;
            if image.sockets.is_empty() {
                continue;
            }
            let client = tree.get(&number).map(|task| (self.client(task), task));
            let Some((Some(mut client), task)) = client
                .map(|(client, task)| client.map(|client| (client, task)))
                .transpose()?
            else {
                eprintln!("inetcr: process {number}: it is not restored");
                problems += image.sockets.len();
                continue;
            };
            for socket in image.sockets {
                problems += complete(&mut client, number, task, socket);
            }
        }
        Ok(problems)
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

/// What CRIU says of the checkpoint.
struct Checkpoint {
    /// Where its images are.
    images: PathBuf,
    /// The first process, as this program knows it.
    root: i32,
}

/// A process of the checkpoint.
struct Task {
    pid: i32,
    pidfd: OwnedFd,
}

impl Checkpoint {
    fn of_environment() -> anyhow::Result<Self> {
        let of = |name: &str| -> anyhow::Result<OsString> {
            env::var_os(name).with_context(|| format!("CRIU has not set {name}"))
        };
        let root = of(INIT_PID)?;
        let root = root.to_str().and_then(|pid| pid.parse().ok());
        Ok(Self {
            images: of(IMAGE_DIR)?.into(),
            root: root.with_context(|| format!("{INIT_PID} is no process"))?,
        })
    }

    /// Where the images of the sockets are: by its name, of this dump and no other, whatever else is
    /// left in the directory.
    fn dir(&self) -> anyhow::Result<PathBuf> {
        let inventory = self.images.join(INVENTORY);
        let bytes = fs::read(&inventory).with_context(|| inventory.display().to_string())?;
        let digest = Sha256::digest(bytes);
        let first = digest.first_chunk().copied().unwrap_or_default();
        let id = u64::from_be_bytes(first);
        Ok(self.images.join(format!("inetcr-{id:016x}")))
    }

    /// All its processes, by their numbers in the PID namespace that the first one is in: those are
    /// the same after a restore.
    fn tree(&self) -> anyhow::Result<BTreeMap<i32, Task>> {
        let mut tree = BTreeMap::new();
        let mut depth = None;
        // The first one comes first.
        for (pid, pidfd) in processes::tree(self.root)? {
            let Some(numbers) = processes::numbers(pid)? else {
                continue;
            };
            let depth = *depth.get_or_insert(numbers.len() - 1);
            let number = numbers.get(depth).copied();
            let number =
                number.with_context(|| format!("process {pid} is in no such namespace"))?;
            tree.insert(number, Task { pid, pidfd });
        }
        Ok(tree)
    }
}

/// The file with the sockets of a process.
fn file_name(number: i32) -> String {
    format!("{number}.img")
}

/// The files of a checkpoint, by the numbers of their processes.
fn files_of(dir: &Path) -> anyhow::Result<BTreeMap<i32, PathBuf>> {
    let what = || dir.display().to_string();
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).with_context(what)? {
        let path = entry.with_context(what)?.path();
        let number = path
            .file_stem()
            .and_then(|name| name.to_str()?.parse().ok());
        if let Some(number) = number {
            files.insert(number, path);
        }
    }
    Ok(files)
}

fn state_of(record: &Record) -> &State {
    match record {
        Record::Dumped(state) => state,
        Record::Refused(refused) => &refused.socket,
    }
}

/// Whether it is of IPv4 and UDP, as far as is known. The others are CRIU's.
fn is_ours(socket: &State) -> bool {
    let is = |found: Option<u32>, wanted| found.is_none_or(|found| found == wanted);
    is(socket.sock_family, AF_INET)
        && is(socket.sock_type, SOCK_DGRAM)
        && is(socket.sock_protocol, IPPROTO_UDP)
}

/// Whether the process came to its end: it has no sockets any more.
fn is_gone(error: &inetcr::Error) -> bool {
    error.errno() == Some(Errno::SRCH.raw_os_error())
}

/// Completes a socket. Returns how many parts of it could not be brought back.
fn complete(client: &mut Client, number: i32, task: &Task, socket: Snapshot) -> usize {
    let what = format!("process {number}: {}", socket.identity());
    match try_to_complete(client, task, socket, &what) {
        Ok(Amended { failed, .. }) => {
            for failure in &failed {
                eprintln!("inetcr: {what}: not applied: {failure}");
            }
            failed.len()
        }
        Err(error) => {
            eprintln!("inetcr: {what}: not amended: {error:#}");
            1
        }
    }
}

fn try_to_complete(
    client: &mut Client,
    task: &Task,
    mut socket: Snapshot,
    what: &str,
) -> anyhow::Result<Amended> {
    let fd = socket.sock_fd.context("the image names no descriptor")?;
    let selector = Selector::Pidfd {
        pidfd: task.pidfd.as_fd(),
        fd: RawFd::try_from(fd)?,
    };
    // CRIU brings it back, by the number in the namespace of the processes; here it is another one.
    socket.state.owner = None;
    if !socket.queue.is_empty() {
        let there = client.snapshot(selector)?;
        let saved = &socket.queue;
        if there.queue.windows(saved.len()).any(|part| part == saved) {
            eprintln!("inetcr: {what}: what waits was brought back before");
            socket = Snapshot::new(socket.state, Vec::new(), socket.corked);
        } else if !there.queue.is_empty() {
            let count = there.queue.len();
            eprintln!(
                "inetcr: {what}: in front of what waited there is what has come since: {count}"
            );
        }
    }
    amend::apply(client, selector.into(), &socket)
}
