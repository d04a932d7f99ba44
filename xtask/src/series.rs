// SPDX-License-Identifier: GPL-2.0

//! `series`: what netdev takes, made from the manifest.
//!
//! The commits are made in a git repository that holds only the files which the patches edit, as
//! they are in the pinned sources. A blob has the same name there as in Linux itself, so
//! `git am -3` can find its way.

mod branch;
mod check;
mod compare;
mod git;
mod mail;
mod rebase;
#[cfg(test)]
mod tests;

use crate::{
    ctx::Ctx,
    fetch::{
        self,
        Source, //
    },
    manifest::{
        self,
        Commit,
        Manifest,
        Present, //
    },
    needs::Group,
    pin, setup, tree,
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
use git::{
    Git,
    Who, //
};
use mail::{
    Letter,
    Recipients, //
};
use std::{
    os::unix::fs::PermissionsExt as _,
    path::{
        Path,
        PathBuf, //
    },
    process::ExitCode, //
};

/// Make the series of patches for netdev out of the manifest, check it, compare and move it.
///
/// Without a further word: make the patches. What is made twice is the same, byte for byte.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    form: Form,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Check each patch as netdev's own checks do: one table, and a log for each red cell.
    Check(check::Args),
    /// Show what has changed since an older version, patch by patch (git range-diff).
    Compare(compare::Args),
    /// Put the series onto another kernel, as far as it goes.
    Rebase(rebase::Args),
}

/// Where the patches go.
#[derive(clap::Args)]
struct Place {
    /// Where the patches go (default: target/series/vN); patches of an earlier run in it are
    /// removed.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Also make a branch of this name, on HEAD of the git tree that --linux names.
    #[arg(long, value_name = "NAME", requires = "linux")]
    branch: Option<String>,
}

/// In which form the patches are made.
#[derive(clap::Args)]
struct Form {
    /// Which version of the series this is.
    #[arg(short = 'v', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    reroll_count: u32,
    /// Ask for comments, not to be applied: RFC in front of the subject prefix.
    #[arg(long)]
    rfc: bool,
    /// Address the patches to whom `get_maintainer.pl` of the tree names, each once. Takes minutes.
    #[arg(long)]
    to_cc: bool,
    /// Sign off, as the person that git is configured for. Without it there is no sign-off: the
    /// person who sends the series signs.
    #[arg(long)]
    signoff: bool,
}

/// The commits, in a repository of their own.
struct Series {
    git: Git,
    manifest: Manifest,
    /// What it is made for, as its last line says.
    base: String,
}

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    // virtme-ng's environment has what the kernel's own programs import.
    let groups: &[Group] = match &args.action {
        Some(Action::Check(_)) => &[Group::Build, Group::Vm, Group::Lint],
        _ => &[Group::Build],
    };
    setup::require(ctx, groups)?;
    let _lock = fetch::lock(ctx)?;
    match &args.action {
        None => {
            for patch in write(ctx, &args.place, &args.form)? {
                println!("{}", patch.display());
            }
            Ok(ExitCode::SUCCESS)
        }
        Some(Action::Check(args)) => check::run(ctx, args),
        Some(Action::Compare(args)) => compare::run(ctx, args),
        Some(Action::Rebase(args)) => rebase::run(ctx, args),
    }
}

/// Makes the patches. To be called under [`fetch::lock`].
fn write(ctx: &Ctx, place: &Place, form: &Form) -> Result<Vec<PathBuf>> {
    let out = match &place.out {
        Some(dir) => std::path::absolute(dir)?,
        None => ctx.target.join(format!("series/v{}", form.reroll_count)),
    };
    let source = fetch::source(ctx)?;
    let series = Series::make(ctx, &source, form.signoff)?;
    let letter = series.letter(ctx)?;
    let patches = form.write(ctx, &series.git, letter, &out)?;
    if let Some(name) = &place.branch {
        let linux = ctx.linux.as_ref().context("--branch needs --linux")?;
        let base = source
            .commit
            .context("--branch needs a git tree as --linux, and this one is not")?;
        branch::make(&series.git, linux, &base, name)?;
        ui::note(&format!("branch {name} in {}", linux.display()));
    }
    Ok(patches)
}

impl Form {
    /// Writes the commits of `git` as patches.
    fn write(&self, ctx: &Ctx, git: &Git, mut letter: Letter, out: &Path) -> Result<Vec<PathBuf>> {
        letter.version = self.reroll_count;
        if self.rfc {
            letter.prefix = format!("RFC {}", letter.prefix);
        }
        let patches = mail::write(git, &letter, out)?;
        // Of a rebase there may be none but the cover letter.
        if !self.to_cc || patches.iter().all(|path| mail::is_cover(path)) {
            return Ok(patches);
        }
        // The MAINTAINERS of the series, not of the sources.
        let tree = tree::prepare(ctx, false)?;
        letter.recipients = mail::recipients(&tree.dir, &patches)?;
        mail::write(git, &letter, out)
    }
}

impl Series {
    /// Makes the commits. To be called under [`fetch::lock`].
    fn make(ctx: &Ctx, source: &Source, signoff: bool) -> Result<Self> {
        let (manifest, present) = manifest::load(ctx)?;
        let present = present.of(&manifest.commits);
        ensure!(
            !manifest.commits.is_empty(),
            "linux-patches/series.toml has no commits"
        );
        let count = manifest.commits.len();
        let step = Step::new(&format!("make the series of {count} commits"));
        let touched = tree::touched(ctx, &manifest.commits)?;
        let scratch = tree::scratch(ctx, &source.dir, &touched)?;
        let git = Git::new(scratch, Who::new(ctx, signoff)?)?;
        for (number, commit) in manifest.commits.iter().enumerate() {
            change(ctx, git.dir(), commit, &present)?;
            let message = message(ctx, &commit.message)?;
            git.commit(number + 1, &message, manifest.assisted_by.as_deref())
                .with_context(|| format!("cannot commit {}", commit.id))?;
        }
        // The series must lead to what is built and tested.
        for (path, (content, mode)) in tree::wanted(ctx, &source.dir, &manifest.commits, &present)?
        {
            let made = git.dir().join(&path);
            let bits = fs::metadata(&made)?.permissions().mode();
            ensure!(
                fs::read(&made)? == content && (bits ^ mode) & 0o100 == 0,
                "the commits do not lead to the {path} of the working tree"
            );
        }
        step.done("");
        let base = base(ctx, source)?;
        Ok(Self {
            git,
            manifest,
            base,
        })
    }

    /// A first version, addressed to nobody.
    fn letter(&self, ctx: &Ctx) -> Result<Letter> {
        Ok(Letter {
            prefix: self.manifest.prefix.clone(),
            version: 1,
            cover: message(ctx, &self.manifest.cover)?,
            recipients: Recipients::default(),
            base: self.base.clone(),
        })
    }
}

/// What the series is made for. A commit is named only if it is one that others have, too; of
/// Debian's package there is none.
fn base(ctx: &Ctx, source: &Source) -> Result<String> {
    let pin = pin::load(ctx)?;
    Ok(match &source.commit {
        Some(commit) => format!("base-commit: {commit}"),
        None if ctx.linux.is_some() => format!("base: a tree like Linux {}", pin.version),
        None => format!(
            "base: Linux {}, as in Debian's {} {}",
            pin.version, pin.package.name, pin.package.version
        ),
    })
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

/// The form of a message: a subject, a blank line, a body; and no tags that are made.
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
    if text.lines().any(|line| line.starts_with("Assisted-by:")) {
        return Err("series.toml says by what the series was assisted, not the message");
    }
    Ok(())
}
