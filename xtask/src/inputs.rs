// SPDX-License-Identifier: GPL-2.0

//! What of the checkout something was built from, so that `--no-build` can say what has changed
//! since.
//!
//! Only the checkout is looked at, which takes some hundredths of a second: not what was edited in
//! the kernel's working tree, and not the sources that `--linux` names.

use crate::{
    files,
    flavour::{
        self,
        Flavour, //
    },
    manifest,
    ui, //
};
use anyhow::{
    Context,
    Result, //
};
use fs_err as fs;
use std::{
    collections::BTreeMap,
    io,
    path::{
        Path,
        PathBuf, //
    },
};

/// The file, beside what was built.
pub const FILE: &str = "inputs.json";

/// What all kernels are built from.
const KERNEL: [&str; 5] = [
    "linux-patches/edits",
    "linux-patches/pin.toml",
    "linux-patches/series.toml",
    "linux-patches/tree",
    "net",
];

/// What the programs for the guest are built from.
const PROGRAMS: [&str; 4] = [
    "Cargo.lock",
    "Cargo.toml",
    // `crfuzz` has it in it.
    "linux-patches/tree/Documentation/netlink/specs/af_inet_cr.yaml",
    "userspace",
];

/// What is among all that and no part of it: the selftest, which runs as it is, and the target of
/// cargo-fuzz, which has a workspace of its own and builds in it.
const NO_PART: [&str; 2] = ["linux-patches/tree/tools", "userspace/inetcr/fuzz"];

/// What the names of texts end with, from which nothing is built.
const TEXTS: [&str; 2] = [".md", ".rst"];

/// Files by their paths in the checkout, with their hashes.
#[derive(Debug, PartialEq, Eq)]
pub struct Inputs(BTreeMap<String, String>);

impl Inputs {
    /// Of a kernel.
    pub fn of_kernel(repo: &Path, flavour: &Flavour) -> Result<Self> {
        let mut inputs = Self::of(repo, &KERNEL.map(|path| repo.join(path)))?;
        let dir = flavour::dir()?;
        let fragments = flavour.fragments().into_iter();
        let fragments: Vec<_> = fragments
            .chain([flavour::SUBJECT.to_owned()])
            .map(|name| flavour::fragment(&dir, &name))
            .collect();
        inputs.0.extend(Self::of(repo, &fragments)?.0);
        Ok(inputs)
    }

    /// Of the programs for the guest.
    pub fn of_programs(repo: &Path) -> Result<Self> {
        Self::of(repo, &PROGRAMS.map(|path| repo.join(path)))
    }

    /// Of an image that is made by this recipe.
    pub fn of_image(repo: &Path, recipe: &str) -> Result<Self> {
        let mut inputs = Self::of_programs(repo)?;
        inputs.0.extend(Self::of(repo, &[repo.join(recipe)])?.0);
        Ok(inputs)
    }

    /// Of these files, and all in these folders.
    fn of(repo: &Path, places: &[PathBuf]) -> Result<Self> {
        let mut all = BTreeMap::new();
        let no_part = NO_PART.map(|path| repo.join(path));
        for place in places {
            let walk = walkdir::WalkDir::new(place).into_iter();
            for entry in walk.filter_entry(|entry| !no_part.iter().any(|no| no == entry.path())) {
                let Some(entry) = there(entry.map_err(io::Error::from))? else {
                    continue;
                };
                let path = entry.path();
                let name = path.strip_prefix(repo).unwrap_or(path).to_string_lossy();
                let is_input = !entry.file_type().is_dir()
                    && !manifest::is_junk(&name)
                    && !TEXTS.iter().any(|end| name.ends_with(end));
                if is_input && let Some(content) = there(fs::read(path))? {
                    all.insert(name.into_owned(), files::sha256(&content));
                }
            }
        }
        Ok(Self(all))
    }

    /// Notes them in a file.
    pub fn write(&self, to: &Path) -> Result<()> {
        files::write_if_changed(to, serde_json::to_string(&self.0)?.as_bytes())?;
        Ok(())
    }

    /// Says what is not as it was noted when something was built, if it was.
    pub fn warn(&self, noted: &Path, what: &str) -> Result<()> {
        if noted.exists()
            && let Some(changed) = self.changed(&Self::read(noted)?)
        {
            ui::warning(&format!(
                "--no-build takes {what} from before a change of {changed}"
            ));
        }
        Ok(())
    }

    fn read(noted: &Path) -> Result<Self> {
        let text = fs::read_to_string(noted)?;
        let files = serde_json::from_str(&text).with_context(|| noted.display().to_string())?;
        Ok(Self(files))
    }

    /// The first file that is another one than before, is new or is gone, and how many more.
    fn changed(&self, before: &Self) -> Option<String> {
        let is_other = |path: &&String| self.0.get(*path) != before.0.get(*path);
        let gone = before.0.keys().filter(|path| !self.0.contains_key(*path));
        let mut changed = self.0.keys().chain(gone).filter(is_other);
        let first = changed.next()?;
        Some(match changed.count() {
            0 => first.clone(),
            more => format!("{first} and {more} more"),
        })
    }
}

/// What was found, if it is there: an editor may take it away while others are looked at.
fn there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_is_named() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let dir = dir.path();
        let write = |name: &str, text: &str| fs::write(dir.join(name), text);
        fs::create_dir_all(dir.join(NO_PART[1]))?;
        write("Cargo.toml", "a")?;
        write("userspace/a.rs", "a")?;
        let noted = dir.join(FILE);
        Inputs::of_programs(dir)?.write(&noted)?;
        let before = Inputs::read(&noted)?;
        let names: Vec<_> = before.0.keys().map(String::as_str).collect();
        assert_eq!(names, ["Cargo.toml", "userspace/a.rs"]);
        let changed = || Ok::<_, anyhow::Error>(Inputs::of_programs(dir)?.changed(&before));

        // What nothing is built from, and what is written as it was.
        write("userspace/a.rs~", "a")?;
        write("userspace/#a.rs#", "a")?;
        fs::create_dir(dir.join("userspace/.idea"))?;
        write("userspace/.idea/a.xml", "a")?;
        // One that is gone when it is read.
        fs::os::unix::fs::symlink("gone", dir.join("userspace/b.rs"))?;
        write("userspace/README.md", "a")?;
        write("userspace/inetcr/fuzz/Cargo.lock", "a")?;
        write("userspace/a.rs", "a")?;
        assert_eq!(changed()?, None);
        write("userspace/a.rs", "b")?;
        assert_eq!(changed()?.as_deref(), Some("userspace/a.rs"));
        fs::remove_file(dir.join("userspace/b.rs"))?;
        write("userspace/b.rs", "b")?;
        fs::remove_file(dir.join("Cargo.toml"))?;
        assert_eq!(changed()?.as_deref(), Some("userspace/a.rs and 2 more"));
        Ok(())
    }

    #[test]
    fn a_kernel_is_built_from_sources_and_fragments() -> Result<()> {
        let repo = crate::ctx::checkout()?;
        let inputs = Inputs::of_kernel(&repo, &Flavour::named("debug")?)?;
        for path in [
            "images/af_inet_cr.config",
            "images/base.config",
            "images/debug.config",
            "linux-patches/series.toml",
            "net/ipv4/af_inet_cr/options.rs",
        ] {
            assert!(inputs.0.contains_key(path), "{path}");
        }
        assert!(!inputs.0.contains_key("images/race.config"));
        for path in [
            "linux-patches/tree/Documentation/networking/af_inet_cr.rst",
            "linux-patches/tree/tools/testing/selftests/net/af_inet_cr.py",
        ] {
            assert!(
                repo.join(path).exists() && !inputs.0.contains_key(path),
                "{path}"
            );
        }
        Ok(())
    }

    #[test]
    fn an_image_is_made_from_programs_and_a_recipe() -> Result<()> {
        let repo = crate::ctx::checkout()?;
        let of_recipe = "images/initramfs.toml";
        let inputs = Inputs::of_image(&repo, of_recipe)?;
        // Each name is of something.
        for path in PROGRAMS.iter().chain([&of_recipe]) {
            let mut names = inputs.0.keys();
            assert!(names.any(|name| name.starts_with(path)), "{path}");
        }
        Ok(())
    }
}
