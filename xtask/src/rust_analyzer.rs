// SPDX-License-Identifier: GPL-2.0

//! `rust-analyzer`: what an editor has to know of the kernel.

mod check;
mod project;
mod root;

use crate::{
    build,
    config,
    ctx::Ctx,
    exec,
    fetch,
    files,
    flavour::{
        self,
        Flavour, //
    },
    needs::Group,
    setup,
    tools::Toolchain,
    tree,
    ui::Step, //
};
use anyhow::{
    Context,
    Result, //
};
use fs_err as fs;
use std::{
    path::{
        Path,
        PathBuf, //
    },
    process::ExitCode, //
};

/// What rust-analyzer looks for, in the directory that an editor opens.
const PROJECT: &str = "rust-project.json";

/// The root of the kernel's crate for editors; nothing takes it for a file of the kernel.
const ROOT: &str = ".rust-analyzer.rs";

/// The root of the subsystem, in its folder.
const CRATE_ROOT: &str = "af_inet_cr.rs";

/// Writes rust-project.json, so that an editor opened here knows the kernel's Rust.
///
/// It is what the kernel's `make rust-analyzer` writes, with the files of ours being those in this
/// checkout and not the copies in the kernel tree, and without crates that the subsystem does not
/// use. rust-analyzer (of Rust 1.95, or as new) then takes it in place of Cargo.toml; the setting
/// `rust-analyzer.linkedProjects` with "Cargo.toml" and "rust-project.json" loads both.
#[derive(clap::Args)]
pub struct Args {
    /// Which configuration of the kernel.
    #[arg(long, default_value = flavour::DEFAULT)]
    flavour: Flavour,
    /// See whether rust-analyzer knows what is in each file of ours, and finds a mistake there.
    #[arg(long)]
    check: bool,
}

/// Folders with the Rust of ours.
struct Ours {
    /// What is below `rust/kernel` of the kernel.
    kernel: PathBuf,
    subsystem: PathBuf,
}

impl Ours {
    fn in_dir(dir: &Path) -> Self {
        Self {
            kernel: dir.join("linux-patches/tree/rust/kernel"),
            subsystem: dir.join("net/ipv4/af_inet_cr"),
        }
    }
}

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    if args.check {
        setup::require(ctx, &[Group::Editor])?;
    }
    // The macros are run, and the bindings read.
    build::kernel(ctx, &args.flavour)?;
    let _lock = fetch::lock(ctx)?;
    let kernel = Kernel::look(ctx, &args.flavour)?;
    kernel.write(&Ours::in_dir(&ctx.repo), ROOT, &ctx.repo(PROJECT))?;
    println!("{}", ctx.repo(PROJECT).display());
    if args.check {
        return check::run(ctx, &kernel);
    }
    Ok(ExitCode::SUCCESS)
}

/// The kernel as its own `make rust-analyzer` describes it.
struct Kernel {
    /// `rust/kernel` in its tree.
    source: PathBuf,
    project: serde_json::Value,
}

impl Kernel {
    /// To be called under [`fetch::lock`].
    fn look(ctx: &Ctx, flavour: &Flavour) -> Result<Self> {
        let tree = tree::prepare(ctx, false)?;
        let dir = config::build_dir(ctx, &tree, flavour.name());
        let step = Step::new("make rust-analyzer");
        let mut make = Toolchain::find_for(ctx, flavour.arch())?.make(ctx, &tree.dir, &dir);
        make.arg("rust-analyzer");
        exec::logged(&mut make, &exec::log_path(ctx, "rust-analyzer"), &step, 0)?;
        step.done("");
        let text = fs::read_to_string(dir.join(PROJECT))?;
        Ok(Self {
            source: tree.dir.join("rust/kernel"),
            project: serde_json::from_str(&text).context("what `make rust-analyzer` wrote")?,
        })
    }

    /// Writes the project with the files of ours where they are, and its root of the kernel's
    /// crate beside the kernel's, under a name.
    fn write(&self, ours: &Ours, root: &str, to: &Path) -> Result<()> {
        let text = root::text(&self.source, &ours.kernel)?;
        let root = self.source.join(root);
        files::write_if_changed(&root, text.as_bytes())?;
        let project = project::with_ours(self.project.clone(), &root, ours)?;
        let text = serde_json::to_string_pretty(&project)? + "\n";
        files::write_if_changed(to, text.as_bytes())?;
        Ok(())
    }
}
