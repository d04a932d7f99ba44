// SPDX-License-Identifier: GPL-2.0

//! `image`: what boots without a checkout, by QEMU alone.
//!
//! Recipes in `images/` say what is in them. The small image is an initramfs. It is also a root for
//! the guests of other commands (`--image`), which add what the guest is to do in a second archive.
//! The other one is a disk ([`disk`]).

pub mod archive;
mod check;
pub mod disk;
mod elsewhere;
mod manifest;
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
    inputs::{
        self,
        Inputs, //
    },
    setup,
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
use manifest::{
    Content,
    Manifest, //
};
use recipe::{
    BIN,
    Host,
    Item,
    Recipe, //
};
use std::{
    collections::BTreeMap,
    path::{
        Path,
        PathBuf, //
    },
    process::ExitCode,
};

/// The recipe, in the checkout.
const RECIPE: &str = "images/initramfs.toml";

/// What is said of lines that boot an image of this machine's architecture: they do without.
const KVM: &str = "-accel kvm makes it fast where there is KVM";

/// What the lines of the manifest boot it to.
const SHELL: &str = "shell";
const TESTS: &str = "tests";

/// What the kernel is told for the tests.
const SUITE: &str = "vminit.job=/etc/suite.job";

/// What the host has a guest do, in the archive that is added.
pub const JOB: &str = "/etc/host.job";

/// What the help ends with.
const EXAMPLES: &str = "\
Examples:
  cargo xtask image initramfs --check
  cargo xtask image initramfs --arch arm64
  cargo xtask image disk";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
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
    /// the tests, tells their results there, and powers off. `cargo xtask vm-test --image` runs them
    /// by a job of its own and judges them as always; `shell --image` and `run --image` do there
    /// what they do elsewhere.
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
    /// Boot a copy of it as the manifest says, and check that its shell answers and that it is what
    /// the manifest says.
    #[arg(long)]
    check: bool,
    /// The same, and then boot it to its tests and judge them.
    #[arg(long)]
    check_tests: bool,
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
        &[],
    )?;
    println!("{boot}");
    if let Some(note) = note(&flavour) {
        ui::note(note);
    }
    if args.check || args.check_tests {
        return check::run(ctx, &image, &flavour, args.check_tests);
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

impl Image {
    /// Where its files are, and what is told about it.
    pub fn dir(&self) -> PathBuf {
        self.initramfs.with_file_name("")
    }

    /// The file that says what of the checkout it was made from, beside the kernel.
    fn inputs_file(&self) -> PathBuf {
        self.initramfs.with_extension(inputs::FILE)
    }
}

/// Builds what is in it and makes the image, or takes the kernel of the last build.
pub fn make(ctx: &Ctx, flavour: &Flavour, old_kernel: bool) -> Result<Image> {
    flavour.must_boot()?;
    let arch = flavour.arch();
    setup::require(ctx, &arch.image_groups())?;
    let kernel = if old_kernel {
        build::latest(ctx, flavour)?
    } else {
        build::kernel(ctx, flavour)?
    };
    let inputs = Inputs::of_image(&ctx.repo, RECIPE)?;
    let recipe = Recipe::read(&ctx.repo(RECIPE))?;
    let step = Step::new("build the programs for the image");
    let built = userspace::build_static(&ctx.repo, &recipe.programs, arch)?;
    step.done("");

    let cross = arch.cross().map(|cross| cross.busybox);
    let root = cross.map_or_else(|| PathBuf::from("/"), |busybox| (busybox.place)(ctx));
    let package = |path: &Path| match cross {
        None => package_of(path),
        Some(busybox) => Some(format!("{} {}", busybox.package, busybox.version(ctx)?)),
    };
    let host = Host {
        root: &root,
        is_static: &exec::is_static,
        package: &package,
    };
    let items = recipe.items(&built, &host)?;
    let entries = items
        .iter()
        .map(|(path, item)| (path.as_str(), &item.entry));
    let content = archive::write(Vec::new(), entries)?;

    let dir = dir(ctx, flavour);
    let image = place(&dir, arch, &recipe);
    kernel.copy(&image.kernel)?;
    files::write_if_changed(&image.initramfs, &content)?;
    manifest(ctx, flavour, &image, &items)?.write(&dir)?;
    inputs.write(&image.inputs_file())?;
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
    let dir = dir(ctx, flavour);
    let image = place(&dir, flavour.arch(), &Recipe::read(&ctx.repo(RECIPE))?);
    ensure!(
        image.initramfs.exists(),
        "no image at {}: run without --no-build",
        dir.display()
    );
    let kernel = Inputs::of_kernel(&ctx.repo, flavour)?;
    kernel.warn(&image.kernel.inputs_file(), "the kernel")?;
    let others = Inputs::of_image(&ctx.repo, RECIPE)?;
    others.warn(&image.inputs_file(), "the image")?;
    Ok(image)
}

/// Where the small image of a flavour is: not beside the disk image, which has a flavour, too.
fn dir(ctx: &Ctx, flavour: &Flavour) -> PathBuf {
    ctx.target.join("images/initramfs").join(flavour.name())
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

/// What somebody has to know who was given it.
fn note(flavour: &Flavour) -> Option<&'static str> {
    (flavour.arch() == Arch::OWN).then_some(KVM)
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

/// The package of Debian that a file of this machine is of, with its version.
fn package_of(path: &Path) -> Option<String> {
    let path = path.to_str()?;
    // Where `/bin` is `/usr/bin`, a package may name its files by either.
    let found = [path.to_owned(), format!("/usr{path}")]
        .iter()
        .find_map(|path| exec::output("dpkg-query", &["--search", path]))?;
    let (package, _) = found.split_once(':')?;
    let format = "--showformat=${Package} ${Version}";
    exec::output("dpkg-query", &["--show", format, package])
}

/// What is in the image, and what it was made from.
fn manifest(
    ctx: &Ctx,
    flavour: &Flavour,
    image: &Image,
    items: &BTreeMap<String, Item>,
) -> Result<Manifest> {
    let kernel = manifest::Kernel::new(flavour, &image.kernel)?;
    let mut manifest = Manifest::new(&ctx.repo, kernel);
    manifest.content = items
        .iter()
        .map(
            |(
                path,
                Item {
                    entry,
                    from,
                    package,
                },
            )| Content {
                package: package.clone(),
                ..Content::new(path, entry.mode(), entry.content(), from)
            },
        )
        .collect();
    let kernel = &image.kernel;
    for file in [&kernel.image, &kernel.config, &kernel.sources_file()] {
        manifest.add_file(file)?;
    }
    manifest.add_file(&image.initramfs)?;
    for (what, parameters) in [(SHELL, &[][..]), (TESTS, &[SUITE])] {
        let line = vm::boot_line(
            flavour.arch(),
            Path::new(flavour.arch().build().image),
            Path::new(vm::INITRAMFS),
            flavour.memory(),
            parameters,
        )?;
        manifest.boot.insert(what.to_owned(), line.to_string());
    }
    manifest.notes.extend(note(flavour).map(str::to_owned));
    Ok(manifest)
}
