// SPDX-License-Identifier: GPL-2.0

//! git, as `series` uses it.

use super::message;
use crate::{
    ctx::Ctx,
    exec,
    files,
    manifest::Manifest,
    ui, //
};
use anyhow::{
    Context,
    Result,
    ensure, //
};
use fs_err as fs;
use std::{
    path::{
        Path,
        PathBuf, //
    },
    process::Command,
};

/// git in the scratch repository, deaf to the user's configuration: the result depends on nothing
/// but the files.
pub(super) struct Git {
    dir: PathBuf,
    name: String,
    email: String,
    signoff: bool,
}

impl Git {
    pub(super) fn new(ctx: &Ctx, dir: &Path, signoff: bool) -> Result<Self> {
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
            dir: dir.to_owned(),
            name,
            email,
            signoff,
        })
    }

    fn command(&self, number: usize) -> Command {
        // A second apart, so that mail programs keep the order.
        let date = format!("{} +0000", 1_767_225_600 + number);
        let mut git = Command::new("git");
        git.current_dir(&self.dir)
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

    pub(super) fn run(&self, args: &[&str]) -> Result<()> {
        check_output(self.command(0).args(args))
    }

    pub(super) fn commit(&self, number: usize, message: &str) -> Result<()> {
        self.run(&["add", "--all", "--force"])?;
        let file = self.dir.join(".git/message");
        fs::write(&file, message)?;
        let mut git = self.command(number);
        git.args([
            "commit",
            "--quiet",
            "--cleanup=whitespace",
            "--file=.git/message",
        ]);
        if self.signoff {
            git.arg("--signoff");
        }
        check_output(&mut git)
    }

    pub(super) fn format(
        &self,
        ctx: &Ctx,
        manifest: &Manifest,
        out: &Path,
    ) -> Result<Vec<PathBuf>> {
        let new = self.dir.join(".git/series");
        let prefix = format!("--subject-prefix={}", manifest.prefix);
        let mut args = vec![
            "format-patch",
            "--quiet",
            "--zero-commit",
            "--full-index",
            "--no-signature",
            "--no-renames",
            "--diff-algorithm=histogram",
            "--numbered",
            &prefix,
            "--output-directory=.git/series",
        ];
        let cover = ctx.repo("linux-patches").join(&manifest.cover);
        if cover.exists() {
            let text = message(ctx, &manifest.cover)?;
            self.run(&["config", "branch.series.description", &text])?;
            args.extend(["--cover-letter", "--cover-from-description=subject"]);
        } else {
            ui::warning(&format!(
                "there is no linux-patches/{}: no cover letter",
                manifest.cover
            ));
        }
        args.push("base");
        self.run(&args)?;

        fs::create_dir_all(out)?;
        for old in files::list(out)? {
            if is_patch(&old.to_string_lossy()) {
                fs::remove_file(out.join(old))?;
            }
        }
        let mut patches = Vec::new();
        for patch in files::list(&new)? {
            let to = out.join(&patch);
            files::write_atomic(&to, &fs::read(new.join(patch))?)?;
            patches.push(to);
        }
        Ok(patches)
    }
}

/// Whether this is the name of a file that `git format-patch` makes.
fn is_patch(name: &str) -> bool {
    name.len() > 11
        && name.bytes().take(4).all(|byte| byte.is_ascii_digit())
        && name[4..].starts_with('-')
        && name.ends_with(".patch")
}

fn check_output(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}", text.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_patches_are_taken_for_patches() {
        assert!(is_patch("0001-rust-netlink.patch"));
        assert!(!is_patch("0001.patch"));
        assert!(!is_patch("notes-0001-x.patch"));
        assert!(!is_patch("0001-x.txt"));
    }
}
