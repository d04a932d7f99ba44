// SPDX-License-Identifier: GPL-2.0

//! Files that are never half-written, and the hashes that name them.

use crate::{
    exec,
    ui, //
};
use anyhow::{
    Context,
    Result,
    ensure, //
};
use clap::builder::{
    PathBufValueParser,
    TypedValueParser, //
};
use fs_err as fs;
use sha1::Sha1;
use sha2::{
    Digest,
    Sha256, //
};
use std::{
    collections::HashSet,
    fmt::Write as _,
    fs::File,
    io::{
        ErrorKind,
        Read as _,
        Write as _, //
    },
    os::unix::fs::PermissionsExt as _,
    path::{
        Path,
        PathBuf, //
    },
};
use tempfile::TempDir;

/// Replaces `path` by `content` in one step: a reader sees the old or the new, never a part.
///
/// The old inode is left alone, so that other hard links to it keep what they had.
pub fn write_atomic(path: &Path, content: &[u8]) -> Result<()> {
    write_atomic_mode(path, content, 0o644)
}

/// [`write_atomic`] with the file's permissions.
pub fn write_atomic_mode(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let dir = path.parent().context("no parent directory")?;
    fs::create_dir_all(dir)?;
    let mut file = tempfile::Builder::new()
        .prefix(".tmp-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))
        .tempfile_in(dir)
        .with_context(|| format!("cannot write in {}", dir.display()))?;
    file.write_all(content)?;
    file.persist(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

/// Like [`write_atomic`], but leaves a file alone that has this content already, so that make
/// sees no change, and leaves a script executable. Says whether it wrote.
pub fn write_if_changed(path: &Path, content: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(false);
    }
    let old = fs::metadata(path).map(|data| data.permissions().mode() & 0o777);
    write_atomic_mode(path, content, old.unwrap_or(0o644))?;
    Ok(true)
}

/// Makes the directory `path` by filling a temporary one beside it and renaming that.
///
/// An interrupted run leaves only what [`temporary`] is for.
pub fn make_dir_atomic(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let parent = path.parent().context("no parent directory")?;
    let temporary = temporary(parent)?;
    let inner = temporary.path().join("dir");
    fs::create_dir(&inner)?;
    fill(&inner)?;
    fs::rename(&inner, path)?;
    Ok(())
}

/// What the names of temporary directories begin with.
const TEMPORARY: &str = ".tmp-";

/// A directory for work, which goes with the value.
pub struct Temporary {
    dir: TempDir,
    /// Says that it is in use, also to a process that does not see this one: the cache may be
    /// mounted into a container. The kernel lets go of it when the process ends, however it ends.
    _lock: File,
}

impl Temporary {
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Makes a directory for work in `dir`. Those that killed runs have left there go now: nothing reads
/// them.
pub fn temporary(dir: &Path) -> Result<Temporary> {
    fs::create_dir_all(dir)?;
    // A new one is not taken for one that was left before it has its own lock.
    let _others = locked(dir)?;
    if let Err(error) = remove_left(dir) {
        ui::warning(&format!("{error:#}"));
    }
    let dir = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .tempdir_in(dir)
        .with_context(|| format!("cannot write in {}", dir.display()))?;
    Ok(Temporary {
        _lock: locked(dir.path())?,
        dir,
    })
}

/// Removes what [`temporary`] has made in `dir` for processes that have ended.
pub fn sweep(dir: &Path) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    let _others = locked(dir)?;
    remove_left(dir)
}

fn remove_left(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        let is_temporary = entry.file_name().to_string_lossy().starts_with(TEMPORARY);
        let is_free = || File::open(&path).is_ok_and(|dir| dir.try_lock().is_ok());
        // Its owner may have removed it just now.
        if is_temporary && path.is_dir() && is_free() && path.exists() {
            remove_dir_all(&path)?;
        }
    }
    Ok(())
}

/// The lock of a directory, which others wait for. A file system may have none for directories, as
/// NFS: there nobody gets one, and so nothing is taken for something that was left.
fn locked(dir: &Path) -> Result<File> {
    let file = File::open(dir).with_context(|| format!("cannot open {}", dir.display()))?;
    let _ = file.lock();
    Ok(file)
}

/// Removes a directory with all that is in it, also what belongs to other users of a user
/// namespace: a root file system that was not finished.
pub fn remove_dir_all(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
        result => return Ok(result?),
    }
    let output = exec::as_root()
        .args(["rm", "-rf", "--"])
        .arg(dir)
        .output()
        .context("cannot run unshare")?;
    ensure!(
        output.status.success(),
        "cannot remove {}: {}",
        dir.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// A file as an argument of the command line: that there is none is said at once, and not after a
/// build.
pub fn named() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| {
        let is_file = fs::File::open(&path)?.metadata()?.is_file();
        ensure!(is_file, "{} is not a file", path.display());
        Ok(fs::canonicalize(path)?)
    })
}

/// All regular files under `dir`, as paths relative to it, sorted.
pub fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if !dir.exists() {
        return Ok(found);
    }
    for entry in walkdir::WalkDir::new(dir).sort_by_file_name() {
        let entry = entry?;
        if !entry.file_type().is_dir() {
            found.push(entry.path().strip_prefix(dir)?.to_path_buf());
        }
    }
    Ok(found)
}

/// Makes `to` hold what `from` holds; the paths that `wanted` refuses are left as they are. Copies only
/// what differs in size or time, and removes what is gone. Gives the number of changes.
pub fn sync(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) -> Result<u64> {
    let mut changes = 0;
    let mut seen = HashSet::new();
    let walk = walkdir::WalkDir::new(from)
        .into_iter()
        .filter_entry(|entry| {
            let path = entry.path().strip_prefix(from).unwrap_or(entry.path());
            wanted(&path.to_string_lossy())
        });
    for entry in walk {
        let entry = entry?;
        let path = entry.path().strip_prefix(from)?;
        let target = to.join(path);
        seen.insert(target.clone());
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target)?;
        } else if entry.file_type().is_symlink() {
            let points = fs::read_link(entry.path())?;
            if fs::read_link(&target).ok().as_ref() != Some(&points) {
                let _ = fs::remove_file(&target);
                fs::os::unix::fs::symlink(points, &target)?;
                changes += 1;
            }
        } else {
            let new = entry.metadata()?;
            let same = fs::symlink_metadata(&target).is_ok_and(|old| {
                old.len() == new.len() && old.modified().ok() == new.modified().ok()
            });
            if !same {
                let _ = fs::remove_file(&target);
                fs::copy(entry.path(), &target)?;
                fs::File::options()
                    .write(true)
                    .open(&target)?
                    .set_modified(new.modified()?)?;
                changes += 1;
            }
        }
    }
    for entry in walkdir::WalkDir::new(to).contents_first(true) {
        let entry = entry?;
        let path = entry.path().strip_prefix(to)?;
        if !seen.contains(entry.path()) && entry.path() != to && wanted(&path.to_string_lossy()) {
            if entry.file_type().is_dir() {
                fs::remove_dir(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
            changes += 1;
        }
    }
    Ok(changes)
}

/// The SHA-256 of a file, in hexadecimal.
pub fn sha256_file(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let mut file = fs::File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            length => hash.update(&buffer[..length]),
        }
    }
    Ok(hex(&hash.finalize()))
}

/// The SHA-256 of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The name that git gives to a file of this content.
pub fn blob_hash(content: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", content.len()));
    hash.update(content);
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blob_hash_is_gits() {
        // `git hash-object --stdin` of the empty file and of "hello\n".
        assert_eq!(blob_hash(b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(
            blob_hash(b"hello\n"),
            "ce013625030ba8dba906f756967f9e9ca394464a"
        );
    }

    #[test]
    fn a_script_stays_executable() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("a.py");
        write_atomic_mode(&path, b"old", 0o755)?;
        assert!(write_if_changed(&path, b"new")?);
        assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o755);
        Ok(())
    }

    #[test]
    fn writing_leaves_other_links_and_unchanged_files_alone() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let (path, link) = (dir.path().join("a"), dir.path().join("b"));
        assert!(write_if_changed(&path, b"old")?);
        fs::hard_link(&path, &link)?;
        assert!(!write_if_changed(&path, b"old")?);
        assert!(write_if_changed(&path, b"new")?);
        assert_eq!(fs::read(&path)?, b"new");
        assert_eq!(fs::read(&link)?, b"old");
        Ok(())
    }

    #[test]
    fn sync_copies_changes_and_removes_what_is_gone() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("a"))?;
        fs::write(from.join("a/x"), "1")?;
        fs::write(from.join("skip.o"), "1")?;
        let wanted = |path: &str| !path.ends_with(".o");
        assert_eq!(sync(&from, &to, wanted)?, 1);
        assert_eq!(sync(&from, &to, wanted)?, 0);
        fs::remove_dir_all(from.join("a"))?;
        fs::write(from.join("y"), "22")?;
        assert_eq!(sync(&from, &to, wanted)?, 3);
        assert_eq!(list(&to)?, [PathBuf::from("y")]);
        Ok(())
    }

    #[test]
    fn what_killed_runs_have_left_goes_before_something_new_comes() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let left = dir.path().join(".tmp-abc");
        let others = [".tmpabc", "abc"].map(|name| dir.path().join(name));
        let file = dir.path().join(".tmp-file");
        fs::create_dir_all(left.join("dir/inner"))?;
        others.iter().try_for_each(fs::create_dir)?;
        fs::write(&file, "")?;
        let mine = temporary(dir.path())?;
        let also_mine = temporary(dir.path())?;
        assert!(!left.exists());
        assert!(others.iter().all(|other| other.exists()) && file.exists());
        assert!(mine.path().exists() && also_mine.path().exists());
        let gone = mine.path().to_owned();
        drop(mine);
        assert!(!gone.exists());
        Ok(())
    }

    #[test]
    fn a_directory_that_failed_to_fill_does_not_appear() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("made");
        assert!(make_dir_atomic(&path, |_| anyhow::bail!("no")).is_err());
        assert!(!path.exists());
        make_dir_atomic(&path, |new| Ok(fs::write(new.join("x"), "y")?))?;
        assert_eq!(list(&path)?, [PathBuf::from("x")]);
        assert_eq!(fs::read_dir(dir.path())?.count(), 1);
        Ok(())
    }
}
