// SPDX-License-Identifier: GPL-2.0

//! Bringing the files of the working tree up to date, one by one, without touching what has not
//! changed and without losing what somebody edited there.

use crate::files;
use anyhow::{
    Context,
    Result,
    bail, //
};
use fs_err as fs;
use std::{
    collections::{
        BTreeMap,
        BTreeSet, //
    },
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

/// A file as it shall be: its content and its permissions.
pub type Files = BTreeMap<String, (Vec<u8>, u32)>;
/// Paths that are ours in the working tree, with the hash of what was put there (two while an
/// update is under way).
pub type Owned = BTreeMap<String, BTreeSet<String>>;

/// A file with its permissions.
pub(super) fn read(path: &Path) -> Result<(Vec<u8>, u32)> {
    let executable = fs::metadata(path)?.permissions().mode() & 0o100 != 0;
    Ok((fs::read(path)?, if executable { 0o755 } else { 0o644 }))
}

pub(super) struct Report {
    pub changed: usize,
    /// Files that someone edited in the working tree, and that were left so.
    pub kept: Vec<String>,
}

/// Makes the files of `wanted`, and those that were ours before, what they shall be in `tree`.
pub(super) fn update(
    source: &Path,
    tree: &Path,
    wanted: &Files,
    owned: &Owned,
    record: &Path,
    reset: bool,
) -> Result<Report> {
    let mut report = Report {
        changed: 0,
        kept: Vec::new(),
    };
    let mut writes = Vec::new();
    let mut conflicts = Vec::new();
    // What was put there, and what is being put there: an interrupted update is no edit.
    let mut under_way = owned.clone();
    let mut finished = Owned::new();
    let paths: BTreeSet<_> = wanted.keys().chain(owned.keys()).collect();
    for path in paths {
        let pristine = read(&source.join(path)).ok();
        let target = wanted.get(path).cloned().or_else(|| pristine.clone());
        let current = read(&tree.join(path)).ok();
        let new = hash(target.as_ref());
        if wanted.contains_key(path) {
            finished
                .entry(path.clone())
                .or_default()
                .insert(new.clone());
        }
        if current == target {
            continue;
        }
        let found = hash(current.as_ref());
        let before = owned.get(path).cloned();
        let before = before.unwrap_or_else(|| [hash(pristine.as_ref())].into());
        let edited = current.is_some() && !before.contains(&found);
        if edited && !reset {
            if before.contains(&new) {
                report.kept.push(path.clone());
            } else {
                conflicts.push(path.as_str());
            }
            continue;
        }
        under_way
            .entry(path.clone())
            .or_default()
            .extend([new, found]);
        writes.push((path, target));
    }
    if !conflicts.is_empty() {
        bail!(
            "edited in the working tree {} and changed in the repository too:\n  {}\n  \
             Take your edit away, or drop it with `cargo xtask tree --reset`.",
            tree.display(),
            conflicts.join("\n  ")
        );
    }
    if !writes.is_empty() {
        write_record(record, &under_way)?;
    }
    for (path, target) in writes {
        report.changed += 1;
        let at = tree.join(path);
        if let Some((content, mode)) = target {
            // Also what goes back to the original is written anew: make looks at the time.
            files::write_atomic_mode(&at, &content, mode)?;
        } else {
            fs::remove_file(&at)?;
            // And the directories that are empty now.
            for dir in at.ancestors().skip(1).take_while(|dir| *dir != tree) {
                if fs::remove_dir(dir).is_err() {
                    break;
                }
            }
        }
    }
    write_record(record, &finished)?;
    Ok(report)
}

fn hash(file: Option<&(Vec<u8>, u32)>) -> String {
    file.map_or_else(
        || "none".to_owned(),
        |(content, _)| files::blob_hash(content),
    )
}

pub(super) fn read_record(path: &Path) -> Result<Owned> {
    let mut owned = Owned::new();
    if path.exists() {
        for line in fs::read_to_string(path)?.lines() {
            let (hash, name) = line
                .split_once(' ')
                .context("the record of the tree is damaged")?;
            owned
                .entry(name.to_owned())
                .or_default()
                .insert(hash.to_owned());
        }
    }
    Ok(owned)
}

fn write_record(path: &Path, owned: &Owned) -> Result<()> {
    let lines = owned
        .iter()
        .flat_map(|(name, hashes)| hashes.iter().map(move |hash| format!("{hash} {name}\n")));
    files::write_if_changed(path, lines.collect::<String>().as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    struct Place {
        dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let place = Self {
                dir: tempfile::tempdir().unwrap(),
            };
            for side in ["source", "tree"] {
                fs::create_dir_all(place.path(side)).unwrap();
                fs::write(place.path(side).join("old.c"), "pristine").unwrap();
            }
            place
        }
        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }
        fn update(&self, wanted: &[(&str, &str)], reset: bool) -> Result<Report> {
            let wanted = wanted
                .iter()
                .map(|(path, text)| ((*path).to_owned(), (text.as_bytes().to_vec(), 0o644)))
                .collect();
            let record = self.path("record");
            let owned = read_record(&record)?;
            update(
                &self.path("source"),
                &self.path("tree"),
                &wanted,
                &owned,
                &record,
                reset,
            )
        }
        fn read(&self, name: &str) -> Option<String> {
            fs::read_to_string(self.path("tree").join(name)).ok()
        }
    }

    #[test]
    fn only_what_changed_is_written_and_what_goes_is_put_back() -> Result<()> {
        let place = Place::new();
        let both = [("net/new/a.rs", "new"), ("old.c", "patched")];
        assert_eq!(place.update(&both, false)?.changed, 2);
        assert_eq!(place.update(&both, false)?.changed, 0);
        assert_eq!(place.read("old.c").as_deref(), Some("patched"));
        assert_eq!(place.update(&[], false)?.changed, 2);
        assert_eq!(place.read("old.c").as_deref(), Some("pristine"));
        assert!(!place.path("tree/net").exists());
        Ok(())
    }

    #[test]
    fn an_edit_in_the_tree_is_kept_until_it_collides() -> Result<()> {
        let place = Place::new();
        place.update(&[("old.c", "patched")], false)?;
        fs::write(place.path("tree/old.c"), "edited")?;
        assert_eq!(
            place.update(&[("old.c", "patched")], false)?.kept,
            ["old.c"]
        );
        assert!(place.update(&[("old.c", "patched again")], false).is_err());
        assert_eq!(place.read("old.c").as_deref(), Some("edited"));
        place.update(&[("old.c", "patched again")], true)?;
        assert_eq!(place.read("old.c").as_deref(), Some("patched again"));
        Ok(())
    }

    #[test]
    fn an_interrupted_update_is_no_edit() -> Result<()> {
        let place = Place::new();
        place.update(&[("old.c", "one")], false)?;
        // As if the run that wrote "two" had died before it wrote the final record.
        let (one, two) = (files::blob_hash(b"one"), files::blob_hash(b"two"));
        fs::write(place.path("record"), format!("{one} old.c\n{two} old.c\n"))?;
        fs::write(place.path("tree/old.c"), "two")?;
        assert_eq!(place.update(&[("old.c", "three")], false)?.changed, 1);
        assert_eq!(place.read("old.c").as_deref(), Some("three"));
        Ok(())
    }
}
