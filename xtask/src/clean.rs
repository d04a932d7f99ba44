// SPDX-License-Identifier: GPL-2.0

//! `clean`: remove what was built.

use crate::{
    ctx::Ctx,
    files,
    lock::Lock,
    report,
    ui::Step, //
};
use anyhow::Result;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    /// Also remove what came from the network: the sources of the kernel, Debian's packages, and
    /// the tools that are of no package of this machine (bindgen, virtme-ng, sparse and others).
    #[arg(long)]
    all: bool,
}

/// What is made in the cache, and what came from the network there.
const BUILT: [&str; 3] = ["build", "tree", "vm"];
const FETCHED: [&str; 3] = ["src", "download", "tools"];

/// What this driver makes in cargo's target directory, beside the results. --no-build would go on
/// with it.
const MADE: [&str; 4] = ["kernel", "images", "series", "logs"];

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    {
        let _lock = Lock::take(&ctx.cache("lock/build"), "clean")?;
        files::sweep(&ctx.cache)?;
        for name in BUILT {
            remove(&ctx.cache(name))?;
        }
        for name in FETCHED {
            if args.all {
                remove(&ctx.cache(name))?;
            } else {
                files::sweep(&ctx.cache(name))?;
            }
        }
        for name in MADE {
            remove(&ctx.target.join(name))?;
        }
    }
    let step = Step::new(&format!("remove the runs in {}", ctx.results.display()));
    let kept = report::remove_all(&ctx.results)?;
    step.done(&match kept {
        0 => String::new(),
        kept => format!("but for {kept} made with --keep or still in use"),
    });
    Ok(ExitCode::SUCCESS)
}

fn remove(dir: &std::path::Path) -> Result<()> {
    if dir.exists() {
        let step = Step::new(&format!("remove {}", dir.display()));
        files::remove_dir_all(dir)?;
        step.done("");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fs_err as fs;

    #[test]
    fn what_killed_runs_have_left_goes_and_what_was_fetched_stays() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let ctx = Ctx::in_dir(dir.path())?;
        for name in ["", "src/", "download/"] {
            fs::create_dir_all(ctx.cache(format!("{name}.tmp-abc/dir")))?;
        }
        fs::create_dir(ctx.cache("src/some"))?;
        run(&ctx, &Args { all: false })?;
        let left =
            ["", "src", "download"].map(|name| fs::read_dir(ctx.cache(name)).unwrap().count());
        // The lock is in the cache, too.
        assert_eq!(left, [3, 1, 0]);
        Ok(())
    }

    #[test]
    fn what_was_built_goes_and_what_is_kept_stays() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let ctx = Ctx::in_dir(dir.path())?;
        // No process has a number above 4194304.
        let kept = ctx.results.join("20260101-000000-vm-test-4194305");
        let parent = std::os::unix::process::parent_id();
        let in_use = ctx.results.join(format!("20260103-000000-run-{parent}"));
        let all = [
            ctx.target.join("kernel/default"),
            ctx.target.join("debug"),
            ctx.cache("build/some"),
            ctx.cache("src/some"),
            ctx.results.join("20260102-000000-run-4194305"),
            kept.clone(),
            in_use.clone(),
        ];
        for dir in &all {
            fs::create_dir_all(dir)?;
        }
        fs::write(kept.join(report::KEEP), "")?;
        run(&ctx, &Args { all: false })?;
        let left = all.each_ref().map(|dir| dir.exists());
        assert_eq!(left, [false, true, false, true, false, true, true]);
        run(&ctx, &Args { all: true })?;
        let left = all.each_ref().map(|dir| dir.exists());
        assert_eq!(left, [false, true, false, false, false, true, true]);
        // Without anything that is kept or in use, nothing is left.
        fs::remove_dir(in_use)?;
        fs::remove_file(kept.join(report::KEEP))?;
        run(&ctx, &Args { all: false })?;
        assert!(!ctx.results.exists());
        Ok(())
    }
}
