// SPDX-License-Identifier: GPL-2.0

//! What goes into the disk image: `images/disk.toml`, read.

use crate::{
    image::recipe::is_from_root,
    userspace::Programs, //
};
use anyhow::{
    Context,
    Result,
    ensure, //
};
use fs_err as fs;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::Path, //
};

/// Where the programs of this repository are.
const BIN: &str = "/usr/local/bin";

/// The least that Debian and our programs fit into, in MiB.
const LEAST: u64 = 512;

/// The recipe as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Of the root file system, in MiB.
    pub size: u64,
    /// Programs of this repository.
    pub programs: Vec<String>,
    pub debian: Debian,
    text: BTreeMap<String, String>,
}

/// What is taken of Debian.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Debian {
    pub packages: Vec<String>,
    /// Patterns of paths that are left out.
    pub without: Vec<String>,
    /// Shell commands in the new root.
    pub commands: Vec<String>,
}

/// A file of ours in the image.
#[derive(Debug, PartialEq, Eq)]
pub struct File {
    pub content: Vec<u8>,
    pub program: bool,
    /// What it was made from.
    pub from: &'static str,
}

impl File {
    pub fn mode(&self) -> u32 {
        if self.program { 0o100_755 } else { 0o100_644 }
    }
}

impl Recipe {
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&fs::read_to_string(path)?).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        let recipe: Self = toml::from_str(text)?;
        ensure!(
            recipe.size >= LEAST,
            "size = {}: it is in MiB, and less than {LEAST} is too small",
            recipe.size
        );
        // They are joined by commas for mmdebstrap.
        let odd = |name: &&String| name.is_empty() || name.contains([',', ' ']);
        let odd = recipe.debian.packages.iter().find(odd);
        ensure!(odd.is_none(), "{odd:?} is not the name of a package");
        for pattern in &recipe.debian.without {
            ensure!(
                is_from_root(pattern),
                "{pattern:?} is not a pattern of paths from the root"
            );
        }
        Ok(recipe)
    }

    /// Our files by their paths; `built` are our programs.
    pub fn files(&self, built: &Programs) -> Result<BTreeMap<String, File>> {
        let mut files = BTreeMap::new();
        for name in &self.programs {
            let file = File {
                content: fs::read(built.get(name)?)?,
                program: true,
                from: "this repository",
            };
            files.insert(format!("{BIN}/{name}"), file);
        }
        for (path, text) in &self.text {
            ensure!(is_from_root(path), "{path:?} is not a path from the root");
            let file = File {
                content: text.clone().into_bytes(),
                program: false,
                from: "the recipe",
            };
            let old = files.insert(path.clone(), file);
            ensure!(old.is_none(), "{path} is there twice");
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::disk::layout::LABEL;

    fn ours() -> String {
        let images = crate::flavour::dir().unwrap();
        fs::read_to_string(images.join("disk.toml")).unwrap()
    }

    #[test]
    fn ours_can_be_made() {
        let recipe = Recipe::parse(&ours()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        for name in &recipe.programs {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let programs = Programs::in_dir(dir.path(), &recipe.programs);
        let files = recipe.files(&programs).unwrap();
        assert!(files["/usr/local/bin/inetcr"].program);
        let text = |path: &str| String::from_utf8(files[path].content.clone()).unwrap();
        // What the image is put together with, and what is in it, name the same root.
        assert!(text("/boot/grub/grub.cfg").contains(&format!("root=PARTLABEL={LABEL} ")));
        assert!(text("/etc/fstab").contains(&format!("LABEL={LABEL} / ext4 ")));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |from: &str, to: &str| {
            let text = ours().replacen(from, to, 1);
            assert_ne!(text, ours(), "{from} is not in the recipe");
            let files = Recipe::parse(&text).and_then(|mut recipe| {
                recipe.programs.clear();
                recipe.files(&Programs::in_dir(Path::new("/"), &[]))
            });
            format!("{:#}", files.unwrap_err())
        };
        assert!(error("size = 2048", "size = 2").contains("size = 2: it is in MiB"));
        assert!(error("size =", "sizes =").contains("sizes"));
        assert!(error("\"udev\"", "\"udev,dbus\"").contains("udev,dbus"));
        assert!(error("\"/usr/share/doc/*", "\"usr/share/doc/*").contains("a pattern of paths"));
        assert!(error("\"/etc/fstab", "\"etc/fstab").contains("\"etc/fstab\" is not a path"));
    }
}
