// SPDX-License-Identifier: GPL-2.0

//! git, as `series` uses it.

use crate::{
    ctx::Ctx,
    exec,
    files::Temporary, //
};
use anyhow::{
    Context,
    Result,
    ensure, //
};
use fs_err as fs;
use std::{
    ffi::OsStr,
    path::Path,
    process::{
        Command,
        Output, //
    },
};

/// A repository that holds only the files which a series touches, and is gone when this is. git is
/// deaf to the user's configuration there: the result depends on nothing but the files.
pub(super) struct Git {
    dir: Temporary,
    who: Who,
}

/// In whose name the commits are.
#[derive(Clone)]
pub(super) struct Who {
    name: String,
    email: String,
    signoff: bool,
}

/// A file as a commit leaves it.
pub(super) struct Change {
    pub path: String,
    /// git's six digits.
    pub mode: String,
    /// What git calls the content before, if there was some.
    pub before: Option<String>,
    /// And after; nothing if the commit removes the file.
    pub after: Option<String>,
}

impl Who {
    /// Nobody; or, to sign off, the person that git is configured for.
    pub(super) fn new(ctx: &Ctx, signoff: bool) -> Result<Self> {
        let mut name = "af_inet_cr".to_owned();
        let mut email = "af_inet_cr@localhost".to_owned();
        if signoff {
            let ask = |key| {
                let repo = ctx.repo.to_str()?;
                exec::output("git", &["-C", repo, "config", key]).filter(|text| !text.is_empty())
            };
            let hint = "--signoff needs your name: git config user.name and user.email";
            name = ask("user.name").context(hint)?;
            email = ask("user.email").context(hint)?;
        }
        Ok(Self {
            name,
            email,
            signoff,
        })
    }

    /// git in `dir`, for the commit of this number.
    pub(super) fn git(&self, dir: &Path, number: usize) -> Command {
        self.program("git", dir, number)
    }

    /// A program that runs git.
    pub(super) fn program(&self, program: impl AsRef<OsStr>, dir: &Path, number: usize) -> Command {
        // A second apart, so that mail programs keep the order.
        let date = format!("{} +0000", 1_767_225_600 + number);
        let mut git = Command::new(program);
        git.current_dir(dir)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("LC_ALL", "C")
            .env("TZ", "UTC");
        for role in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{role}_NAME"), &self.name)
                .env(format!("GIT_{role}_EMAIL"), &self.email)
                .env(format!("GIT_{role}_DATE"), &date);
        }
        for name in [
            "GIT_DIR",
            "GIT_WORK_TREE",
            "GIT_INDEX_FILE",
            "GIT_CONFIG_PARAMETERS",
        ] {
            git.env_remove(name);
        }
        git
    }
}

impl Git {
    /// A repository of what is in `dir`, which becomes the commit `base`.
    pub(super) fn new(dir: Temporary, who: Who) -> Result<Self> {
        let git = Self { dir, who };
        git.run(&["init", "--quiet", "--initial-branch=series"])?;
        git.commit(0, "base", None)?;
        git.run(&["tag", "base"])?;
        Ok(git)
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn who(&self) -> &Who {
        &self.who
    }

    /// Runs git; what it says is left to the caller.
    pub(super) fn try_run(&self, args: &[&str]) -> Result<Output> {
        Ok(self.who.git(self.dir(), 0).args(args).output()?)
    }

    pub(super) fn run(&self, args: &[&str]) -> Result<()> {
        good(self.who.git(self.dir(), 0).args(args)).map(drop)
    }

    /// What git prints, as it is.
    pub(super) fn bytes(&self, args: &[&str]) -> Result<Vec<u8>> {
        good(self.who.git(self.dir(), 0).args(args))
    }

    /// What git prints, as text without a line break at its end.
    pub(super) fn text(&self, args: &[&str]) -> Result<String> {
        let bytes = self.bytes(args)?;
        Ok(String::from_utf8(bytes)?.trim_end().to_owned())
    }

    /// Commits all that is there; the tag says by what it was assisted.
    pub(super) fn commit(
        &self,
        number: usize,
        message: &str,
        assisted_by: Option<&str>,
    ) -> Result<()> {
        self.run(&["add", "--all", "--force"])?;
        fs::write(self.dir().join(".git/message"), message)?;
        if let Some(by) = assisted_by {
            let tag = format!("--trailer=Assisted-by: {by}");
            let words = ["interpret-trailers", "--in-place", "--no-divider"];
            self.run(&[&words[..], &[&tag, ".git/message"]].concat())?;
        }
        let mut git = self.who.git(self.dir(), number);
        git.args(["commit", "--quiet", "--allow-empty"]);
        git.args(["--cleanup=whitespace", "--file=.git/message"]);
        if self.who.signoff && number > 0 {
            git.arg("--signoff");
        }
        good(&mut git).map(drop)
    }

    /// The commits from `from` to `to`, the oldest first.
    pub(super) fn commits(&self, from: &str, to: &str) -> Result<Vec<String>> {
        let list = self.text(&["rev-list", "--reverse", &format!("{from}..{to}")])?;
        Ok(list.lines().map(str::to_owned).collect())
    }

    /// What a commit changes.
    pub(super) fn changes(&self, commit: &str) -> Result<Vec<Change>> {
        let list = self.text(&[
            "diff-tree",
            "-r",
            "--no-commit-id",
            "--no-renames",
            "--full-index",
            commit,
        ])?;
        let name = |text: &str| (!text.bytes().all(|byte| byte == b'0')).then(|| text.to_owned());
        list.lines()
            .map(|line| {
                let (data, path) = line.split_once('\t').context("not a line of diff-tree")?;
                let words: Vec<_> = data.split(' ').collect();
                let [_, mode, before, after, _] = words[..] else {
                    anyhow::bail!("not a line of diff-tree: {line}");
                };
                Ok(Change {
                    path: path.to_owned(),
                    mode: mode.to_owned(),
                    before: name(before),
                    after: name(after),
                })
            })
            .collect()
    }
}

/// Runs a command that must not fail; gives what it prints.
pub(super) fn good(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}", text.trim());
    Ok(output.stdout)
}
