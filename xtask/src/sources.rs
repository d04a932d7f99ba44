// SPDX-License-Identifier: GPL-2.0

//! What a kernel was made from. It is noted once, beside the kernel when that is built, as the checkout
//! may be another one when somebody wants to know.

use crate::{
    ctx::Ctx,
    exec,
    pin,
    tree::Tree, //
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
use std::path::{
    Path,
    PathBuf, //
};

/// The file, beside a kernel.
pub const FILE: &str = "sources.json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    /// What the kernel calls itself (`uname -r`).
    pub release: String,
    pub linux: Linux,
    /// The hash of all files that are ours or edited, as they were in the tree.
    pub changes_sha256: String,
    /// The commit of this repository that they are of; `-dirty` if that is not all.
    pub commit: Option<String>,
}

/// What was patched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Linux {
    /// A package of Debian.
    Pinned {
        package: String,
        version: String,
        tarball_sha256: String,
    },
    /// What `--linux` named, and which commit that was if it is a git tree.
    Given {
        dir: PathBuf,
        commit: Option<String>,
    },
}

impl Sources {
    /// Of the kernel in a build directory, which was built from a tree, and that from a commit.
    pub fn of(ctx: &Ctx, tree: &Tree, build: &Path, commit: Option<String>) -> Result<Self> {
        let release = fs::read_to_string(build.join("include/config/kernel.release"))?;
        let linux = if let Some(dir) = &ctx.linux {
            let commit = tree.source.commit.as_deref();
            Linux::Given {
                dir: dir.clone(),
                commit: commit.map(|commit| described(dir, commit)),
            }
        } else {
            let package = pin::load(ctx)?.package;
            Linux::Pinned {
                package: package.name,
                version: package.version,
                tarball_sha256: package.tarball_sha256,
            }
        };
        Ok(Self {
            release: release.trim().to_owned(),
            linux,
            changes_sha256: tree.digest.clone(),
            commit: commit.map(|commit| {
                if tree.edited && !commit.ends_with(exec::DIRTY) {
                    commit + exec::DIRTY
                } else {
                    commit
                }
            }),
        })
    }

    /// What is noted in a file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).context("run without --no-build")?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    pub fn text(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// A commit as git describes it: by the tag before it, if there is one.
fn described(dir: &Path, commit: &str) -> String {
    let dir = dir.to_string_lossy();
    let how = ["--always", "--long", "--abbrev=40"];
    let words = [&["-C", &*dir, "describe"], &how[..], &[commit]].concat();
    exec::output("git", &words).unwrap_or_else(|| commit.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fetch::Source,
        files, //
    };

    #[test]
    fn a_tree_that_was_edited_is_of_no_clean_commit() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let ctx = Ctx::in_dir(dir.path())?;
        let release = dir.path().join("include/config/kernel.release");
        files::write_atomic(&release, b"7\n")?;
        for (edited, before, after) in [
            (false, "ab", "ab"),
            (false, "ab-dirty", "ab-dirty"),
            (true, "ab", "ab-dirty"),
            (true, "ab-dirty", "ab-dirty"),
        ] {
            let tree = Tree {
                dir: PathBuf::new(),
                source: Source {
                    dir: PathBuf::new(),
                    key: String::new(),
                    commit: None,
                },
                kconfig: String::new(),
                digest: String::new(),
                edited,
            };
            let sources = Sources::of(&ctx, &tree, dir.path(), Some(before.to_owned()))?;
            assert_eq!(sources.commit.as_deref(), Some(after));
        }
        Ok(())
    }

    #[test]
    fn what_is_noted_is_read() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join(FILE);
        let error = Sources::read(&file).unwrap_err();
        assert!(error.to_string().contains("--no-build"), "{error:#}");
        let all = [
            Linux::Pinned {
                package: "linux-source".to_owned(),
                version: "1".to_owned(),
                tarball_sha256: "ab".to_owned(),
            },
            Linux::Given {
                dir: PathBuf::from("/linux"),
                commit: None,
            },
        ];
        for linux in all {
            let sources = Sources {
                release: "7".to_owned(),
                linux,
                changes_sha256: "cd".to_owned(),
                commit: Some("ef".to_owned()),
            };
            fs::write(&file, sources.text()?)?;
            assert_eq!(Sources::read(&file)?, sources);
        }
        Ok(())
    }

    #[test]
    fn a_commit_is_described_by_its_tag() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().to_string_lossy();
        let git = |words: &[&str]| {
            let identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
            let words = [&["-C", &path], &identity[..], words].concat();
            exec::output("git", &words).context("git")
        };
        git(&["init", "--quiet"])?;
        git(&["commit", "--quiet", "--allow-empty", "--message=a"])?;
        let commit = git(&["rev-parse", "HEAD"])?;
        assert_eq!(described(dir.path(), &commit), commit);
        git(&["tag", "--annotate", "--message=b", "v7.3"])?;
        assert_eq!(described(dir.path(), &commit), format!("v7.3-0-g{commit}"));
        Ok(())
    }
}
