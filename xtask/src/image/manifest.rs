// SPDX-License-Identifier: GPL-2.0

//! `manifest.json`: how an image is booted, what is in it, and what it was made from. One form for all
//! images, which is read again to see whether it is true.

use crate::{
    build,
    checks::Checks,
    exec,
    files,
    flavour::Flavour,
    sources::Sources, //
};
use anyhow::{
    Context,
    Result, //
};
use fs_err as fs;
use serde::{
    Deserialize,
    Serialize, //
};
use std::{
    collections::{
        BTreeMap,
        BTreeSet, //
    },
    path::Path,
};

/// The file, beside an image.
const FILE: &str = "manifest.json";

#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// What a person types in the folder of the image, wherever that is, by what for.
    pub boot: BTreeMap<String, String>,
    /// What else that person has to know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The hashes of the files beside it.
    pub files: BTreeMap<String, String>,
    /// What is in it, but for what Debian's packages brought.
    pub content: Vec<Content>,
    /// What starts it and is not in its root, if it is a disk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loaders: Vec<Loader>,
    /// Debian's packages with their versions, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debian: Option<Debian>,
    pub kernel: Kernel,
    /// The commit of this repository that the programs of it are of.
    pub programs: Option<String>,
}

/// A file in an image, a link or a directory.
#[derive(Debug, Serialize, Deserialize)]
pub struct Content {
    pub path: String,
    pub mode: String,
    pub size: usize,
    pub sha256: String,
    pub from: String,
    /// The package of Debian that it is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
}

/// A part of the boot loader. The hash of the disk says that it is there.
#[derive(Debug, Serialize, Deserialize)]
pub struct Loader {
    /// Where on the disk it is.
    pub place: String,
    pub size: usize,
    pub sha256: String,
    /// The package of Debian that it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Debian {
    pub suite: String,
    pub packages: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Kernel {
    pub flavour: String,
    pub arch: String,
    #[serde(flatten)]
    pub sources: Sources,
}

/// The start of the modes of files.
const REGULAR: &str = "100";

impl Content {
    pub fn new(path: &str, mode: u32, content: &[u8], from: &str) -> Self {
        Self {
            path: path.to_owned(),
            mode: format!("{mode:06o}"),
            size: content.len(),
            sha256: files::sha256(content),
            from: from.to_owned(),
            package: None,
        }
    }
}

impl Loader {
    pub fn new(place: &str, content: &[u8], package: Option<String>) -> Self {
        Self {
            place: place.to_owned(),
            size: content.len(),
            sha256: files::sha256(content),
            package,
        }
    }
}

impl Kernel {
    pub fn new(flavour: &Flavour, kernel: &build::Kernel) -> Result<Self> {
        Ok(Self {
            flavour: flavour.name().to_owned(),
            arch: flavour.arch().name().to_owned(),
            sources: kernel.sources()?,
        })
    }
}

impl Manifest {
    /// One that says nothing yet of what the image is made of.
    pub fn new(repo: &Path, kernel: Kernel) -> Self {
        Self {
            boot: BTreeMap::new(),
            notes: Vec::new(),
            files: BTreeMap::new(),
            content: Vec::new(),
            loaders: Vec::new(),
            debian: None,
            kernel,
            programs: exec::commit(repo),
        }
    }

    /// Notes the hash of a file beside it.
    pub fn add_file(&mut self, path: &Path) -> Result<()> {
        let name = path.file_name().context("no file")?.to_string_lossy();
        let hash = files::sha256_file(path)?;
        self.files.insert(name.into_owned(), hash);
        Ok(())
    }

    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        serde_json::from_str(&fs::read_to_string(&path)?)
            .with_context(|| path.display().to_string())
    }

    pub fn write(&self, dir: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        files::write_if_changed(&dir.join(FILE), text.as_bytes())?;
        Ok(())
    }

    /// Checks that the files beside it are what it says.
    pub fn check_files(&self, dir: &Path, checks: &mut Checks) {
        let wrong: Vec<_> = self
            .files
            .iter()
            .filter_map(|(name, hash)| match files::sha256_file(&dir.join(name)) {
                Ok(found) if found == *hash => None,
                Ok(found) => Some(format!("{name} is {found}, the manifest says {hash}")),
                Err(error) => Some(error.to_string()),
            })
            .collect();
        let good = wrong.is_empty() && !self.files.is_empty();
        checks.say(
            "the files beside the manifest are what it says",
            good,
            &wrong.join("\n"),
        );
    }

    /// What makes a shell in a guest say which kernel it has, and which files.
    pub fn question(&self) -> String {
        let files = self.files_in_it().map(|file| file.path.as_str());
        let files: Vec<_> = files.collect();
        format!("uname -r; sha256sum {}", files.join(" "))
    }

    /// Checks what a guest has said to the [`question`](Self::question).
    pub fn check_answer(&self, name: &str, said: &str, checks: &mut Checks) {
        let lines: Vec<_> = said.lines().map(str::trim_end).collect();
        let release = &self.kernel.sources.release;
        checks.say(
            &format!("{name}: the kernel is the manifest's"),
            lines.contains(&release.as_str()),
            &format!("no line is {release:?}:\n{said}"),
        );
        let wrong: Vec<_> = self
            .files_in_it()
            .map(|file| format!("{}  {}", file.sha256, file.path))
            .filter(|line| !lines.contains(&line.as_str()))
            .collect();
        checks.say(
            &format!("{name}: the files in it are the manifest's"),
            wrong.is_empty(),
            &format!("no line is\n{}\nin\n{said}", wrong.join("\n")),
        );
    }

    /// Checks that a folder in a guest has the files that are named and no other, by what `find`
    /// has said of it there.
    pub fn check_folder(&self, name: &str, folder: &str, said: &str, checks: &mut Checks) {
        let found: BTreeSet<_> = said.lines().collect();
        let named: BTreeSet<_> = self
            .files_in_it()
            .map(|file| file.path.as_str())
            .filter(|path| Path::new(path).starts_with(folder))
            .collect();
        checks.say(
            &format!("{name}: no file in {folder} is left out of the manifest"),
            found == named,
            &format!("in the guest {found:?},\nin the manifest {named:?}"),
        );
    }

    fn files_in_it(&self) -> impl Iterator<Item = &Content> {
        let all = self.content.iter();
        all.filter(|file| file.mode.starts_with(REGULAR))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::sources::Linux;

    /// Of a folder with one file, and of an image with two entries.
    pub fn manifest(dir: &Path) -> Manifest {
        let kernel = Kernel {
            flavour: "default".to_owned(),
            arch: "x86_64".to_owned(),
            sources: Sources {
                release: "7.3.4".to_owned(),
                linux: Linux::Given {
                    dir: dir.to_owned(),
                    commit: None,
                },
                changes_sha256: String::new(),
                commit: None,
            },
        };
        let mut manifest = Manifest::new(dir, kernel);
        let file = dir.join("disk");
        fs::write(&file, "1").unwrap();
        manifest.add_file(&file).unwrap();
        manifest.content = vec![
            Content::new("/bin", 0o040_755, b"", "the recipe"),
            Content::new("/bin/a", 0o100_755, b"a", "this repository"),
        ];
        manifest
    }

    /// How many checks were good, and how many were not.
    fn counts(check: impl FnOnce(&mut Checks)) -> (usize, usize) {
        let mut checks = Checks::default();
        check(&mut checks);
        (checks.totals.passed, checks.totals.failed)
    }

    #[test]
    fn other_files_beside_it_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        manifest(dir).write(dir).unwrap();
        let read = Manifest::read(dir).unwrap();
        assert_eq!(counts(|checks| read.check_files(dir, checks)), (1, 0));
        fs::write(dir.join("disk"), "2").unwrap();
        assert_eq!(counts(|checks| read.check_files(dir, checks)), (0, 1));
        fs::remove_file(dir.join("disk")).unwrap();
        assert_eq!(counts(|checks| read.check_files(dir, checks)), (0, 1));
    }

    #[test]
    fn a_file_that_is_not_named_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = manifest(dir.path());
        let found = |said| counts(|checks| manifest.check_folder("it", "/bin", said, checks));
        assert_eq!(found("/bin/a\n"), (1, 0));
        assert_eq!(found("/bin/a\n/bin/b\n"), (0, 1));
        assert_eq!(found(""), (0, 1));
    }

    #[test]
    fn another_kernel_and_other_files_in_it_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = manifest(dir.path());
        assert_eq!(manifest.question(), "uname -r; sha256sum /bin/a");
        let a = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
        let answer = |said: &str| counts(|checks| manifest.check_answer("it", said, checks));
        assert_eq!(answer(&format!("7.3.4\r\n{a}  /bin/a\r\n")), (2, 0));
        assert_eq!(answer(&format!("7.3.5\n{a}  /bin/a\n")), (1, 1));
        assert_eq!(answer(&format!("7.3.4\n{a}  /bin/b\n")), (1, 1));
        assert_eq!(answer("7.3.4\nsha256sum: /bin/a: no such file\n"), (1, 1));
        assert_eq!(answer(""), (0, 2));
    }
}
