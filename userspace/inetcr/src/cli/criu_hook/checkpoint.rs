// SPDX-License-Identifier: GPL-2.0
//! What CRIU says of a checkpoint, and where the images of its sockets are.

use std::collections::{BTreeMap, HashSet};
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

use crate::cli::processes;

/// What CRIU tells its scripts.
const IMAGE_DIR: &str = "CRTOOLS_IMAGE_DIR";
const INIT_PID: &str = "CRTOOLS_INIT_PID";

/// An image of CRIU that each dump has, and that is another one in each: there is an identifier of
/// the run in it.
const INVENTORY: &str = "inventory.img";

/// A checkpoint.
pub(super) struct Checkpoint {
    /// Where the images of CRIU are.
    pub(super) images: PathBuf,
    /// The first process, as this program knows it.
    root: i32,
}

/// A process of the checkpoint.
pub(super) struct Task {
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
}

impl Checkpoint {
    pub(super) fn of_environment() -> anyhow::Result<Self> {
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
    pub(super) fn dir(&self) -> anyhow::Result<PathBuf> {
        let inventory = self.images.join(INVENTORY);
        let bytes = match fs::read(&inventory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
                "CRIU has no {INVENTORY} in its directory: images that are streamed can have none of \
                 sockets beside them"
            ),
            bytes => bytes.with_context(|| inventory.display().to_string())?,
        };
        if !has_run_id(&bytes) {
            bail!(
                "{INVENTORY} does not tell this dump from others (dump_criu_run_id): that takes a newer \
                 CRIU; 4.2.1 will do"
            );
        }
        let digest = Sha256::digest(bytes);
        let first = digest.first_chunk().copied().unwrap_or_default();
        let id = u64::from_be_bytes(first);
        Ok(self.images.join(format!("inetcr-{id:016x}")))
    }

    /// All its processes, by their numbers in the PID namespace that the first one is in: those are
    /// the same after a restore.
    pub(super) fn tree(&self) -> anyhow::Result<BTreeMap<i32, Task>> {
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

/// Whether a UUID is in an inventory: CRIU writes one as the identifier of the run
/// (`dump_criu_run_id`), and nothing else there looks like it.
fn has_run_id(inventory: &[u8]) -> bool {
    const DASHES: [usize; 4] = [8, 13, 18, 23];
    const LEN: usize = 36;

    inventory.windows(LEN).any(|text| {
        let mut bytes = text.iter().enumerate();
        bytes.all(|(at, byte)| {
            if DASHES.contains(&at) {
                *byte == b'-'
            } else {
                byte.is_ascii_hexdigit()
            }
        })
    })
}

/// The file with the sockets of a process.
pub(super) fn file_name(number: i32) -> String {
    format!("{number}.img")
}

/// The files of a checkpoint, by the numbers of their processes.
pub(super) fn files_of(dir: &Path) -> anyhow::Result<BTreeMap<i32, PathBuf>> {
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

/// To which sockets it was already brought what waited in the originals, by this hook, if it is an
/// action script twice. They are noted beside the images, as nothing about a socket tells that.
pub(super) struct Completed {
    path: PathBuf,
    known: HashSet<String>,
}

impl Completed {
    /// Those of this boot: after another one, other sockets may have the same numbers.
    pub(super) fn read(dir: &Path) -> anyhow::Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let path = dir.join(format!("completed-{}", boot.trim()));
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text.with_context(|| path.display().to_string())?,
        };
        let known = text.split_inclusive('\n').map(str::to_owned).collect();
        Ok(Self { path, known })
    }

    /// Whether a socket is noted.
    pub(super) fn has(&self, inode: u64, cookie: u64) -> bool {
        self.known.contains(&line(inode, cookie))
    }

    /// Notes a socket. If that fails, this run knows it all the same.
    pub(super) fn add(&mut self, inode: u64, cookie: u64) -> anyhow::Result<()> {
        let line = line(inode, cookie);
        let file = File::options().create(true).append(true).open(&self.path);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        self.known.insert(line);
        written.with_context(|| self.path.display().to_string())
    }
}

/// The note of a socket. Only with its end it is one: the disk may have been full.
fn line(inode: u64, cookie: u64) -> String {
    format!("{inode} {cookie}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_told_by_its_identifier() {
        assert!(has_run_id(
            b"\x08\x01R$0f7b1c1e-6f4f-4f5e-9b1e-2f2f6f0a7c11\x58\x00"
        ));
        assert!(!has_run_id(b"\x08\x01\x18\x00"));
        assert!(!has_run_id(b"0f7b1c1e-6f4f-4f5e-9b1e-2f2f6f0a7c1"));
        assert!(!has_run_id(b"0f7b1c1e-6f4f-4f5e-9b1e+2f2f6f0a7c11"));
    }

    #[test]
    fn a_socket_that_is_noted_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let mut completed = Completed::read(dir.path()).unwrap();
        assert!(!completed.has(1, 2));
        completed.add(1, 2).unwrap();
        completed.add(1, 34).unwrap();
        let again = Completed::read(dir.path()).unwrap();
        // Also to another run of this program; and it is no image.
        for completed in [&completed, &again] {
            assert!(completed.has(1, 2) && completed.has(1, 34));
            assert!(!completed.has(1, 3));
        }
        assert!(files_of(dir.path()).unwrap().is_empty());
    }

    #[test]
    fn a_note_that_cannot_be_written_is_known_to_this_run() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone");
        let mut completed = Completed::read(&gone).unwrap();
        let error = completed.add(1, 2).unwrap_err();
        assert!(
            format!("{error:#}").contains("gone/completed-"),
            "{error:#}"
        );
        assert!(completed.has(1, 2));
        assert!(!Completed::read(&gone).unwrap().has(1, 2));
    }
}
