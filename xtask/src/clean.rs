// SPDX-License-Identifier: GPL-2.0

//! `clean`: remove what was built.

use crate::{
    ctx::Ctx,
    lock::Lock,
    ui, //
};
use anyhow::Result;
use fs_err as fs;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    /// Also remove the downloaded sources and the tools (bindgen, virtme-ng).
    #[arg(long)]
    all: bool,
}

/// What a build makes; anything else in the cache came from the network.
const BUILT: [&str; 4] = ["build", "tree", "ccache", "vm"];

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    {
        let _lock = Lock::take(&ctx.cache("lock/build"), "clean")?;
        for name in BUILT {
            remove(&ctx.cache(name))?;
        }
        if args.all {
            for name in ["src", "download", "tools"] {
                remove(&ctx.cache(name))?;
            }
        }
    }
    remove(&ctx.results)?;
    Ok(ExitCode::SUCCESS)
}

fn remove(dir: &std::path::Path) -> Result<()> {
    if dir.exists() {
        let step = ui::Step::new(&format!("remove {}", dir.display()));
        fs::remove_dir_all(dir)?;
        step.done("");
    }
    Ok(())
}
