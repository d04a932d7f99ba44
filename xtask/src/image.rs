// SPDX-License-Identifier: GPL-2.0

//! `image`: what boots without a checkout, by QEMU alone.
//!
//! Recipes in `images/` say what is in them. The small image is an initramfs. It is also a root for
//! the guests of other commands (`--image`), which add what the guest is to do in a second archive.
//! The other one is a disk ([`disk`]).

pub mod archive;
mod check;
pub mod disk;
mod recipe;

use crate::{
    arch::Arch,
    build,
    ctx::Ctx,
    exec, files,
    flavour::{
        self,
        Flavour, //
    },
    needs::Group,
    pin, setup,
    tools::Toolchain,
    ui::{
        self,
        Step, //
    },
    userspace::{
        self,
        Programs, //
    },
    vm::{
        self,
        Job,
        Kernel, //
    },
};
use anyhow::{
    Result,
    ensure, //
};
use archive::Entry;
use fs_err as fs;
use recipe::{
    BIN,
    Item,
    Recipe, //
};
use serde_json::{
    Value,
    json, //
};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{
        Path,
        PathBuf, //
    },
    process::ExitCode,
};

/// The recipe, in the checkout.
const RECIPE: &str = "images/initramfs.toml";

/// What the host has a guest do, in the archive that is added.
pub const JOB: &str = "/etc/host.job";

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Make the small image, and print the command that boots it.
    ///
    /// It is a kernel and an initramfs with static programs: `inetcr`, the tests, a shell. A
    /// manifest beside them says what is in it and what it was made from. It boots to a shell on
    /// the serial console; with `vminit.job=/etc/suite.job` on the kernel's command line it runs
    /// the tests and powers off. `cargo xtask vm-test --image` does that and judges them, `shell
    /// --image` and `run --image` do there what they do elsewhere.
    Initramfs(Initramfs),
    /// Make the disk image of Debian, and print the commands that boot it.
    ///
    /// A qcow2 with the kernel, `inetcr`, the tests, iproute2 and ssh, which QEMU boots on BIOS or
    /// UEFI without anything else. The console is the serial port, where root is logged in; ssh lets
    /// in by the key beside the image. A manifest says what is in it and what it was made from.
    Disk(disk::Args),
}

#[derive(clap::Args)]
struct Initramfs {
    #[command(flatten)]
    kernel: flavour::Choice,
    /// Take the kernel as the last build left it, but not the programs.
    #[arg(long)]
    no_build: bool,
    /// Boot it by the command that is printed, and check that its shell answers.
    #[arg(long)]
    check: bool,
}

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    let args = match &args.what {
        What::Initramfs(args) => args,
        What::Disk(args) => return disk::run(ctx, args),
    };
    let flavour = args.kernel.flavour()?;
    let image = make(ctx, &flavour, args.no_build)?;
    let boot = vm::boot_line(
        flavour.arch(),
        &image.kernel.image,
        &image.initramfs,
        flavour.memory(),
    )?;
    println!("{boot}");
    if args.check {
        return check::run(&boot);
    }
    Ok(ExitCode::SUCCESS)
}

/// An image that was made.
pub struct Image {
    /// The kernel, beside the initramfs.
    pub kernel: Kernel,
    pub initramfs: PathBuf,
    /// The programs by their paths in the image.
    pub programs: Programs,
}

/// Builds what is in it and makes the image, or takes the kernel of the last build.
pub fn make(ctx: &Ctx, flavour: &Flavour, old_kernel: bool) -> Result<Image> {
    flavour.must_boot()?;
    let arch = flavour.arch();
    setup::require(ctx, &arch.groups(&[Group::Build, Group::Vm]))?;
    let kernel = if old_kernel {
        build::latest(ctx, flavour)?
    } else {
        build::kernel(ctx, flavour)?
    };
    let recipe = Recipe::read(&ctx.repo(RECIPE))?;
    let step = Step::new("build the programs for the image");
    let built = userspace::build_static(&ctx.repo, &recipe.programs, arch)?;
    step.done("");

    let readelf = format!("llvm-readelf{}", Toolchain::find(ctx)?.llvm);
    let is_static = |path: &Path| {
        let headers = exec::output(&readelf, &["-l", &path.to_string_lossy()]);
        headers.is_some_and(|headers| !headers.contains("INTERP"))
    };
    let root = match arch.cross() {
        None => PathBuf::from("/"),
        Some(cross) => (cross.busybox.place)(ctx),
    };
    let items = recipe.items(&built, &root, &is_static)?;
    let entries = items
        .iter()
        .map(|(path, item)| (path.as_str(), &item.entry));
    let content = archive::write(Vec::new(), entries)?;

    let dir = ctx.target.join("images").join(flavour.name());
    let image = place(&dir, arch, &recipe);
    files::write_if_changed(&image.kernel.image, &fs::read(&kernel.image)?)?;
    files::write_if_changed(&image.kernel.config, &fs::read(&kernel.config)?)?;
    files::write_if_changed(&image.initramfs, &content)?;
    let manifest = manifest(ctx, flavour, &image, &items)?;
    files::write_if_changed(&dir.join("manifest.json"), manifest.as_bytes())?;
    ui::note(&format!(
        "{} files, {} KiB: {}",
        items.len(),
        content.len() / 1024,
        ui::short(&ctx.repo, &dir)
    ));
    Ok(image)
}

/// The image as it was made last.
pub fn latest(ctx: &Ctx, flavour: &Flavour) -> Result<Image> {
    flavour.must_boot()?;
    let dir = ctx.target.join("images").join(flavour.name());
    let image = place(&dir, flavour.arch(), &Recipe::read(&ctx.repo(RECIPE))?);
    ensure!(
        image.initramfs.exists(),
        "no image at {}: run without --no-build",
        dir.display()
    );
    Ok(image)
}

fn place(dir: &Path, arch: Arch, recipe: &Recipe) -> Image {
    let kernel = Kernel {
        image: dir.join(arch.build().image),
        config: dir.join("config"),
        arch,
    };
    Image {
        programs: Programs::in_dir(Path::new(BIN), &recipe.programs),
        initramfs: dir.join(vm::INITRAMFS),
        kernel,
    }
}

/// The archive that tells the guest what to do, behind the image, as one file.
pub fn with_job(image: &Path, job: &Job, to: &Path) -> Result<()> {
    let entry = Entry::File {
        content: job.text()?.into_bytes(),
        program: false,
    };
    fs::copy(image, to)?;
    let file = fs::OpenOptions::new().append(true).open(to)?;
    archive::write(file, [(JOB, &entry)])?;
    Ok(())
}

/// What is in the image, and what it was made from.
fn manifest(
    ctx: &Ctx,
    flavour: &Flavour,
    image: &Image,
    items: &BTreeMap<String, Item>,
) -> Result<String> {
    let entries: Vec<_> = items
        .iter()
        .map(|(path, item)| {
            json!({
                "path": path,
                "mode": format!("{:06o}", item.entry.mode()),
                "size": item.entry.content().len(),
                "sha256": files::sha256(item.entry.content()),
                "from": item.from,
            })
        })
        .collect();
    let boot = vm::boot_line(
        flavour.arch(),
        Path::new(flavour.arch().build().image),
        Path::new(vm::INITRAMFS),
        flavour.memory(),
    )?;
    let manifest = json!({
        "initramfs": {
            "sha256": files::sha256_file(&image.initramfs)?,
            "entries": entries,
        },
        "kernel": kernel_facts(flavour, &image.kernel.image, &image.kernel.config)?,
        "sources": sources(ctx)?,
        // In the folder of the image, wherever that is.
        "boot": boot.to_string(),
    });
    Ok(serde_json::to_string_pretty(&manifest)? + "\n")
}

/// Which kernel is in an image, for its manifest.
fn kernel_facts(flavour: &Flavour, image: &Path, config: &Path) -> Result<Value> {
    Ok(json!({
        "flavour": flavour.name(),
        "arch": flavour.arch().name(),
        "sha256": files::sha256_file(image)?,
        "config_sha256": files::sha256_file(config)?,
    }))
}

/// What an image was made from, for its manifest.
fn sources(ctx: &Ctx) -> Result<Value> {
    let linux = match &ctx.linux {
        Some(dir) => dir.display().to_string(),
        None => pin::load(ctx)?.package.tarball_sha256,
    };
    Ok(json!({
        "linux": linux,
        "ours_sha256": ours(ctx)?,
        "commit": exec::commit(&ctx.repo),
    }))
}

/// The hash of all that is done to the kernel.
fn ours(ctx: &Ctx) -> Result<String> {
    let mut all = String::new();
    for dir in ["linux-patches", "net"] {
        for path in files::list(&ctx.repo(dir))? {
            let hash = files::sha256(&fs::read(ctx.repo(dir).join(&path))?);
            writeln!(all, "{hash}  {dir}/{}", path.display())?;
        }
    }
    Ok(files::sha256(all.as_bytes()))
}
