// SPDX-License-Identifier: GPL-2.0

//! `series`: what netdev takes, made from the manifest.
//!
//! The commits are made in a git repository that holds only the files which the patches edit, as
//! they are in the pinned sources. A blob has the same name there as in Linux itself, so
//! `git am -3` can find its way.

mod git;

use crate::{
    build, config,
    ctx::{
        Ctx,
        Flavour, //
    },
    fetch,
    manifest::{
        self,
        Commit,
        Present, //
    },
    needs::Group,
    setup,
    tools::{
        self,
        Toolchain, //
    },
    tree,
    ui::{
        self,
        Step, //
    },
};
use anyhow::{
    Context,
    Result,
    bail,
    ensure, //
};
use fs_err as fs;
use git::Git;
use std::{
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        ExitCode, //
    },
};

#[derive(clap::Args)]
pub struct Args {
    /// Where the patches go; patches of an earlier run in it are removed.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Run checkpatch.pl --strict on each patch.
    #[arg(long)]
    check: bool,
    /// Build the kernel after each commit.
    #[arg(long)]
    build_each: bool,
    /// Begin --build-each with this commit, counted from 1.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "build_each")]
    from: usize,
    /// Sign off, as the person that git is configured for. Without it there is no sign-off: the
    /// person who sends the series signs.
    #[arg(long)]
    signoff: bool,
}

/// netdev takes no more at once.
const MOST: usize = 15;

/// What checkpatch may say. Who sends the series signs it; MAINTAINERS has its own, last commit.
const IGNORED: &str = "MISSING_SIGN_OFF,NO_AUTHOR_SIGN_OFF,FILE_PATH_CHANGES";

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    let groups: &[Group] = if args.check {
        &[Group::Build, Group::Lint]
    } else {
        &[Group::Build]
    };
    setup::require(ctx, groups)?;
    let _lock = fetch::lock(ctx)?;
    let out = match &args.out {
        Some(dir) => std::path::absolute(dir)?,
        None => ctx.target.join("series"),
    };
    let patches = make(ctx, &out, args.signoff)?;
    for patch in &patches {
        println!("{}", patch.display());
    }
    let mut good = true;
    if args.check {
        good &= check(ctx, &patches)?;
    }
    if args.build_each {
        build_each(ctx, args.from)?;
    }
    Ok(ExitCode::from(u8::from(!good)))
}

/// Makes the patches in `out`. To be called under [`fetch::lock`].
pub fn make(ctx: &Ctx, out: &Path, signoff: bool) -> Result<Vec<PathBuf>> {
    let source = fetch::source(ctx)?;
    let (manifest, present) = manifest::load(ctx)?;
    let present = present.of(&manifest.commits);
    ensure!(
        !manifest.commits.is_empty(),
        "linux-patches/series.toml has no commits"
    );
    let step = Step::new(&format!(
        "make the series of {} commits",
        manifest.commits.len()
    ));
    let scratch = tree::scratch(ctx, &source.dir, &tree::touched(ctx, &manifest.commits)?)?;
    let git = Git::new(ctx, scratch.path(), signoff)?;
    git.run(&["init", "--quiet", "--initial-branch=series"])?;
    git.run(&["add", "--all", "--force"])?;
    git.run(&["commit", "--quiet", "--allow-empty", "--message=base"])?;
    git.run(&["tag", "base"])?;
    for (number, commit) in manifest.commits.iter().enumerate() {
        change(ctx, scratch.path(), commit, &present)?;
        let message = message(ctx, &commit.message)?;
        git.commit(number + 1, &message)
            .with_context(|| format!("cannot commit {}", commit.id))?;
    }
    // The series must lead to what is built and tested.
    for (path, (content, _)) in tree::wanted(ctx, &source.dir, &manifest.commits, &present)? {
        ensure!(
            fs::read(scratch.path().join(&path))? == content,
            "the commits do not lead to the {path} of the working tree"
        );
    }
    let patches = git.format(ctx, &manifest, out)?;
    if manifest.commits.len() > MOST {
        ui::warning(&format!(
            "{} commits: netdev takes {MOST}",
            manifest.commits.len()
        ));
    }
    step.done(&ui::short(&ctx.repo, out));
    Ok(patches)
}

/// Applies what belongs to one commit.
fn change(ctx: &Ctx, dir: &Path, commit: &Commit, present: &Present) -> Result<()> {
    for name in &commit.patches {
        tree::apply(ctx, dir, name)?;
    }
    for name in &commit.files {
        let to = dir.join(name);
        fs::create_dir_all(to.parent().context("no parent directory")?)?;
        fs::copy(
            present
                .files
                .get(name)
                .context("a file of the manifest is gone")?,
            to,
        )?;
    }
    Ok(())
}

fn message(ctx: &Ctx, name: &str) -> Result<String> {
    let text = fs::read_to_string(ctx.repo("linux-patches").join(name))?;
    if let Err(problem) = check_message(&text) {
        bail!("linux-patches/{name}: {problem}");
    }
    Ok(text)
}

/// The form of a message: a subject, a blank line, a body; and nobody's signature.
fn check_message(text: &str) -> Result<(), &'static str> {
    let mut lines = text.lines();
    if lines.next().unwrap_or_default().trim().is_empty() {
        return Err("the first line must be the subject");
    }
    if !lines.next().unwrap_or_default().is_empty() || lines.next().is_none() {
        return Err("after the subject come a blank line and the body");
    }
    if text.lines().any(|line| line.starts_with("Signed-off-by:")) {
        return Err("the person who sends the series signs off (--signoff), not the message");
    }
    Ok(())
}

/// checkpatch on every patch. Says whether all are clean.
pub fn check(ctx: &Ctx, patches: &[PathBuf]) -> Result<bool> {
    let tree = tree::prepare(ctx, false)?;
    let step = Step::new("checkpatch.pl --strict");
    let mut good = 0;
    for patch in patches
        .iter()
        .filter(|path| !path.to_string_lossy().contains("/0000-"))
    {
        let mut perl = Command::new("perl");
        perl.current_dir(&tree.dir).env("LC_ALL", "C.UTF-8");
        perl.args([
            "scripts/checkpatch.pl",
            "--strict",
            "--show-types",
            "--no-summary",
            "--quiet",
        ]);
        perl.args(["--color=never", "--ignore", IGNORED]);
        if tools::which("codespell").is_some() {
            perl.arg("--codespell");
        }
        let output = perl.arg(patch).output().context("cannot run perl")?;
        if output.status.success() {
            good += 1;
        } else {
            let text = String::from_utf8_lossy(&output.stdout);
            eprintln!("{}:\n{}", ui::short(&ctx.repo, patch), text.trim_end());
        }
    }
    let all = patches
        .iter()
        .filter(|path| !path.to_string_lossy().contains("/0000-"))
        .count();
    step.done(&format!("{good} of {all} patches are clean"));
    Ok(good == all)
}

/// Builds the kernel of the default flavour after each commit, in a tree and a build directory of
/// its own.
fn build_each(ctx: &Ctx, from: usize) -> Result<()> {
    let tools = Toolchain::find(ctx)?;
    let (manifest, present) = manifest::load(ctx)?;
    ensure!(
        (1..=manifest.commits.len()).contains(&from),
        "--from: the series has {} commits",
        manifest.commits.len()
    );
    for count in from..=manifest.commits.len() {
        let commits = &manifest.commits[..count];
        let id = &commits[count - 1].id;
        ui::note(&format!(
            "commit {count} of {}: {id}",
            manifest.commits.len()
        ));
        let tree = tree::prepare_commits(ctx, commits, &present)?;
        let build = config::build_dir(ctx, &tree, "series");
        config::make(ctx, &tools, &tree, &build, Flavour::Default)?;
        build::make(ctx, &tools, &tree.dir, &build, "series", &[build::IMAGE])
            .with_context(|| format!("the series does not build at {id}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_a_form() {
        assert!(check_message("a: b\n\nWhy.\n").is_ok());
        for wrong in [
            "",
            "\na\n",
            "a: b\n",
            "a: b\nWhy.\n",
            "a\n\nb\n\nSigned-off-by: X <x>\n",
        ] {
            assert!(check_message(wrong).is_err(), "{wrong:?}");
        }
    }
}
