// SPDX-License-Identifier: GPL-2.0

//! `series compare`: what has changed since an older version, for the reviewers who know that one.

use super::{
    Series,
    git::Git,
    mail, //
};
use crate::{
    ctx::Ctx,
    fetch,
    tree, //
};
use anyhow::{
    Context,
    Result,
    bail, //
};
use fs_err as fs;
use std::{
    collections::BTreeSet,
    path::{
        Path,
        PathBuf, //
    },
    process::ExitCode, //
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The directory of the older version, as `series` has made it (target/series/v1, say).
    pub older: PathBuf,
    /// That of the newer one; without it, what `series` makes now.
    pub newer: Option<PathBuf>,
}

pub(super) fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    print!("{}", compare(ctx, args)?);
    Ok(ExitCode::SUCCESS)
}

/// The range-diff.
pub(super) fn compare(ctx: &Ctx, args: &Args) -> Result<String> {
    let older = mail::find(&args.older)?;
    let source = fetch::source(ctx)?;
    let now = tempfile::tempdir()?;
    let newer = if let Some(dir) = &args.newer {
        mail::find(dir)?
    } else {
        let series = Series::make(ctx, &source, false)?;
        mail::write(&series.git, &series.letter(ctx)?, now.path())?;
        mail::find(now.path())?
    };
    let mut touched = BTreeSet::new();
    for patch in older.iter().chain(&newer) {
        let text = String::from_utf8_lossy(&fs::read(patch)?).into_owned();
        touched.extend(edited(&text).map(str::to_owned));
    }
    let scratch = tree::scratch(ctx, &source.dir, &touched)?;
    let git = Git::new(scratch, super::Who::new(ctx, false)?)?;
    for (name, patches) in [("older", &older), ("newer", &newer)] {
        git.run(&["checkout", "--quiet", "-b", name, "base"])?;
        for patch in patches {
            apply(&git, patch)?;
        }
    }
    git.text(&[
        "range-diff",
        "--no-color",
        "--diff-algorithm=histogram",
        "base..older",
        "base..newer",
    ])
    .map(|text| text + "\n")
}

fn apply(git: &Git, patch: &Path) -> Result<()> {
    let full = patch.canonicalize()?;
    let name = full.to_str().context("a path that is not text")?;
    let output = git.try_run(&["am", "--quiet", "--3way", name])?;
    if output.status.success() {
        return Ok(());
    }
    bail!(
        "{} does not apply to these sources; was it made for another kernel (--linux)?\n  {}",
        patch.display(),
        String::from_utf8_lossy(&output.stderr)
            .trim()
            .replace('\n', "\n  ")
    )
}

/// The files that a patch edits, and does not add.
fn edited(patch: &str) -> impl Iterator<Item = &str> {
    let lines = patch.lines().zip(patch.lines().skip(1));
    lines.filter_map(|(old, new)| {
        let old = old.strip_prefix("--- a/")?;
        new.starts_with("+++ ").then_some(old)
    })
}
