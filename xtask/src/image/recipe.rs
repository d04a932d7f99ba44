// SPDX-License-Identifier: GPL-2.0

//! What goes into the small image: `images/initramfs.toml`, read.

use super::archive::Entry;
use crate::userspace::Programs;
use anyhow::{
    Context,
    Result,
    ensure, //
};
use fs_err as fs;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{
        Path,
        PathBuf, //
    },
};

/// Where the programs of this repository are, in an image.
pub const BIN: &str = "/bin";

/// What an entry is made from that is written there.
const RECIPE: &str = "the recipe";

/// The recipe as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Programs of this repository.
    pub programs: Vec<String>,
    directories: Vec<String>,
    files: BTreeMap<String, PathBuf>,
    links: BTreeMap<String, String>,
    names: BTreeMap<String, Vec<String>>,
    text: BTreeMap<String, String>,
}

/// An entry, and what it was made from.
pub struct Item {
    pub entry: Entry,
    pub from: String,
    /// The package of Debian that it is of, if it is of one.
    pub package: Option<String>,
}

/// The machine that an image is made on, as far as files are taken from it.
pub struct Host<'a> {
    /// Where they are taken from.
    pub root: &'a Path,
    /// Whether a program needs nothing.
    pub is_static: &'a dyn Fn(&Path) -> bool,
    /// The package of a file, with its version.
    pub package: &'a dyn Fn(&Path) -> Option<String>,
}

/// Whether it can be the path of an entry.
pub fn is_from_root(path: &str) -> bool {
    path.starts_with('/') && !path.ends_with('/') && !path.contains("/../")
}

impl Recipe {
    pub fn read(path: &Path) -> Result<Self> {
        toml::from_str(&fs::read_to_string(path)?).with_context(|| path.display().to_string())
    }

    /// All entries by their paths, and so each directory before what is in it. `built` are
    /// the programs of ours, `host` is where other files are taken from.
    pub fn items(&self, built: &Programs, host: &Host<'_>) -> Result<BTreeMap<String, Item>> {
        let mut items = BTreeMap::new();
        let mut add = |path: String, entry, from: &str, package| {
            ensure!(is_from_root(&path), "{path:?} is not a path from the root");
            let item = Item {
                entry,
                from: from.to_owned(),
                package,
            };
            ensure!(
                items.insert(path.clone(), item).is_none(),
                "{path} is there twice"
            );
            Ok(())
        };
        let program = |path: &Path| {
            let content = fs::read(path)?;
            ensure!(
                !content.starts_with(b"\x7fELF") || (host.is_static)(path),
                "{} is not a static program (on Debian busybox-static has a busybox that is)",
                path.display()
            );
            Ok(Entry::File {
                content,
                program: true,
            })
        };
        for name in &self.programs {
            let entry = program(built.get(name)?)?;
            add(format!("{BIN}/{name}"), entry, "this repository", None)?;
        }
        for (path, from) in &self.files {
            let file = host.root.join(from.strip_prefix("/").unwrap_or(from));
            let package = (host.package)(&file);
            let entry = program(&file)?;
            add(path.clone(), entry, &from.display().to_string(), package)?;
        }
        for path in &self.directories {
            add(path.clone(), Entry::Directory, RECIPE, None)?;
        }
        for (path, target) in &self.links {
            add(path.clone(), Entry::Link(target.clone()), RECIPE, None)?;
        }
        for (path, names) in &self.names {
            let (dir, program) = path.rsplit_once('/').context("a name without a path")?;
            for name in names {
                let link = Entry::Link(program.to_owned());
                add(format!("{dir}/{name}"), link, RECIPE, None)?;
            }
        }
        for (path, text) in &self.text {
            let entry = Entry::File {
                content: text.clone().into_bytes(),
                program: false,
            };
            add(path.clone(), entry, RECIPE, None)?;
        }
        let missing: Vec<_> = items
            .keys()
            .flat_map(|path| Path::new(path).ancestors().skip(1))
            .filter_map(|dir| dir.to_str().filter(|dir| *dir != "/"))
            .map(str::to_owned)
            .collect();
        for dir in missing {
            items.entry(dir).or_insert_with(|| Item {
                entry: Entry::Directory,
                from: RECIPE.to_owned(),
                package: None,
            });
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with programs that are none, and our own recipe for them.
    fn ours() -> (tempfile::TempDir, Recipe, Programs) {
        let dir = tempfile::tempdir().unwrap();
        let images = crate::flavour::dir().unwrap();
        let mut recipe = Recipe::read(&images.join("initramfs.toml")).unwrap();
        for name in &recipe.programs {
            fs::write(dir.path().join(name), "\x7fELF").unwrap();
        }
        recipe.files.clear();
        let programs = Programs::in_dir(dir.path(), &recipe.programs);
        (dir, recipe, programs)
    }

    /// All files of this machine are static, or none is.
    fn host(is_static: &dyn Fn(&Path) -> bool) -> Host<'_> {
        Host {
            root: Path::new("/"),
            is_static,
            package: &|path| Some(format!("the package of {}", path.display())),
        }
    }

    #[test]
    fn ours_can_be_made() {
        let (dir, mut recipe, programs) = ours();
        let file = dir.path().join("inetcr");
        recipe.files.insert("/bin/busybox".to_owned(), file.clone());
        let items = recipe.items(&programs, &host(&|_| true)).unwrap();
        let package = format!("the package of {}", file.display());
        assert_eq!(items["/bin/busybox"].package, Some(package));
        assert_eq!(items["/bin/inetcr"].package, None);
        let place = |path: &str| items.keys().position(|key| key == path).unwrap();
        assert!(place("/bin") < place("/bin/inetcr"));
        assert!(place("/var") < place("/var/tmp"));
        assert_eq!(items["/init"].entry, Entry::Link("/bin/vminit".to_owned()));
        assert_eq!(items["/bin/sh"].entry, Entry::Link("busybox".to_owned()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let (_dir, mut recipe, programs) = ours();
        let error = |recipe: &Recipe, is_static: bool| {
            let is_static = |_: &Path| is_static;
            let items = recipe.items(&programs, &host(&is_static));
            items.map(drop).unwrap_err().to_string()
        };
        assert!(error(&recipe, false).contains("crfuzz is not a static program"));
        recipe.links.insert("/etc/group".to_owned(), "x".to_owned());
        assert!(error(&recipe, true).contains("/etc/group is there twice"));
        recipe.links.insert("etc".to_owned(), "x".to_owned());
        assert!(error(&recipe, true).contains("not a path from the root"));
    }
}
