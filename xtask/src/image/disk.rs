// SPDX-License-Identifier: GPL-2.0

//! The disk image: Debian with the patched kernel, for QEMU on BIOS or UEFI.
//!
//! mmdebstrap brings the packages, mke2fs makes the root, GRUB starts the kernel: each of them as it
//! is in Debian, and none of them needs root, a loop device or a mount of this machine's.
//!
//! Others do all of it at once, and take more. Of Debian 12, the oldest that this is to run on,
//! mkosi (14) has to be root, and attaches the image to a loop device; systemd-repart (252) takes one
//! to make the file systems. libguestfs needs neither, as it works in an appliance, which is one more
//! guest of QEMU: that has to boot first, and is slow without KVM, which nothing here needs.

mod boot;
mod check;
mod debian;
mod grub;
mod layout;
mod recipe;

use super::{
    KVM,
    manifest::{
        self,
        Content,
        Manifest, //
    },
};
use crate::{
    build::{
        self,
        Kernel, //
    },
    ctx::Ctx,
    exec, files,
    flavour::Flavour,
    needs::Group,
    setup,
    ui::{
        self,
        Step, //
    },
    userspace,
};
use anyhow::{
    Context,
    Result, //
};
use boot::Firmware;
use debian::Base;
use fs_err as fs;
use grub::Grub;
use layout::Layout;
use recipe::{
    File,
    Recipe, //
};
use std::{
    collections::BTreeMap,
    io::{
        Read as _,
        Seek as _,
        SeekFrom,
        Write as _, //
    },
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        ExitCode, //
    },
};

/// The flavour of the kernel.
const FLAVOUR: &str = "disk";

/// The recipe, in the checkout.
const RECIPE: &str = "images/disk.toml";

/// UEFI for QEMU, as Debian has it.
pub const OVMF: &str = "/usr/share/ovmf/OVMF.fd";

/// Where GRUB's modules are.
pub use grub::MODULES;

/// The image, in its folder.
const DISK: &str = "disk.qcow2";

/// Where root is at home, in the image.
const HOME: &str = "/root";

/// What lets in by ssh, beside it.
const KEY: &str = "ssh-key";

/// What the line is for that logs in.
const SSH: &str = "ssh";

/// What somebody has to know who was given it.
const NOTES: [&str; 3] = [
    KVM,
    boot::OVMF_ELSEWHERE,
    "a copy of ssh-key that others can read is refused by ssh: chmod 600 ssh-key",
];

/// Of this machine, what the lines that are printed lead to ssh from.
const PORT: u16 = 2222;

#[derive(clap::Args)]
pub struct Args {
    /// Take the kernel as the last build left it, but not the programs.
    #[arg(long)]
    no_build: bool,
    /// Get Debian's packages anew, and not as they were when the image was first made.
    #[arg(long)]
    fresh: bool,
    /// Boot a copy of it on BIOS and on UEFI as the manifest says, and check that one can log in, that
    /// it is what the manifest says, and that the tests pass in it.
    #[arg(long)]
    check: bool,
}

/// An image that was made.
struct Image {
    disk: PathBuf,
    key: PathBuf,
    /// The kernel in it.
    kernel: Kernel,
}

impl Image {
    /// Where its files are, and what is told about it.
    fn dir(&self) -> &Path {
        self.disk.parent().unwrap_or(Path::new("/"))
    }
}

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    let flavour = Flavour::named(FLAVOUR)?;
    let image = make(ctx, &flavour, args)?;
    ui::note("on BIOS, on UEFI, and how to log in:");
    for (_, line) in lines(&image.disk, &image.key, &flavour) {
        println!("{line}");
    }
    for note in NOTES {
        ui::note(note);
    }
    if args.check {
        return check::run(ctx, &image, &flavour);
    }
    Ok(ExitCode::SUCCESS)
}

fn make(ctx: &Ctx, flavour: &Flavour, args: &Args) -> Result<Image> {
    setup::require(ctx, &[Group::Build, Group::Vm, Group::Disk])?;
    let recipe = Recipe::read(&ctx.repo(RECIPE))?;
    // It fails first if it fails: the network may not be there.
    let base = debian::base(ctx, &recipe.debian, args.fresh)?;
    let kernel = if args.no_build {
        build::latest(ctx, flavour)?
    } else {
        build::kernel(ctx, flavour)?
    };
    let step = Step::new("build the programs for the image");
    let built = userspace::build_static(&ctx.repo, &recipe.programs, flavour.arch())?;
    step.done("");

    let dir = ctx.target.join("images").join(FLAVOUR);
    fs::create_dir_all(&dir)?;
    let image = Image {
        disk: dir.join(DISK),
        key: key(&dir)?,
        kernel,
    };
    let mut ours = recipe.files(&built)?;
    let mut add = |path: &str, file: &Path, from| -> Result<()> {
        let content = fs::read(file)?;
        let file = File {
            content,
            program: false,
            from,
        };
        ours.insert(path.to_owned(), file);
        Ok(())
    };
    add("/boot/bzImage", &image.kernel.loaded(), "the kernel")?;
    add(
        "/boot/config",
        &image.kernel.config,
        "the kernel's configuration",
    )?;
    add(
        "/boot/sources.json",
        &image.kernel.sources_file(),
        "what the kernel was made from",
    )?;
    let public = image.key.with_extension("pub");
    add(&format!("{HOME}/.ssh/authorized_keys"), &public, KEY)?;

    let work = files::temporary(&dir)?;
    let layout = Layout::new(recipe.size);
    let root = base.with(ctx, &ours, recipe.size, work.path())?;
    let grub = Grub::make(ctx, &layout, work.path())?;
    put_together(ctx, &layout, &grub, &root, work.path(), &image.disk)?;

    files::write_if_changed(&dir.join("config"), &fs::read(&image.kernel.config)?)?;
    let mut manifest = manifest(ctx, flavour, &image, &base, &ours)?;
    manifest.loaders = grub.loaders()?;
    manifest.write(&dir)?;
    ui::note(&format!(
        "{} MiB: {}",
        fs::metadata(&image.disk)?.len() >> 20,
        ui::short(&ctx.repo, &dir)
    ));
    Ok(image)
}

/// The key for ssh, which is made once.
fn key(dir: &Path) -> Result<PathBuf> {
    let key = dir.join(KEY);
    if !key.exists() {
        let path = key
            .to_str()
            .context("the folder has a name that is no text")?;
        let words = [
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            "af_inet_cr image",
            "-f",
            path,
        ];
        exec::output("ssh-keygen", &words).with_context(|| format!("cannot make {path}"))?;
    }
    Ok(key)
}

/// Makes the disk out of its parts.
fn put_together(
    ctx: &Ctx,
    layout: &Layout,
    grub: &Grub,
    root: &Path,
    work: &Path,
    to: &Path,
) -> Result<()> {
    let step = Step::new("put the disk together");
    let log = exec::log_path(ctx, "image-disk");
    let raw = work.join("disk.raw");
    let mut disk = fs::File::create(&raw)?;
    disk.set_len(layout.disk())?;
    let script = work.join("table");
    fs::write(&script, layout.script())?;
    let mut sfdisk = Command::new("sh");
    sfdisk
        .args(["-c", "exec sfdisk --quiet \"$1\" < \"$2\"", "sh"])
        .args([&raw, &script])
        .env("PATH", debian::path_with_sbin());
    exec::logged(&mut sfdisk, &log, &step, 0)?;

    disk.write_all(&grub.boot)?;
    disk.seek(SeekFrom::Start(layout.bios.offset()))?;
    disk.write_all(&grub.core)?;
    for (part, file) in [(layout.efi, grub.efi.as_path()), (layout.root, root)] {
        copy_sparse(file, &mut disk, part.offset())?;
    }
    drop(disk);
    let made = work.join(DISK);
    let mut convert = Command::new("qemu-img");
    convert
        .args(["convert", "-c", "-O", "qcow2"])
        .args([&raw, &made]);
    exec::logged(&mut convert, &log, &step, 0)?;
    fs::rename(made, to)?;
    step.done("");
    Ok(())
}

/// Copies a file into another, which is empty there, and leaves out what is empty in it.
fn copy_sparse(from: &Path, to: &mut fs::File, offset: u64) -> Result<()> {
    let mut from = fs::File::open(from)?;
    let mut block = vec![0; 1 << 16];
    let mut at = offset;
    loop {
        let length = from.read(&mut block)?;
        if length == 0 {
            return Ok(());
        }
        if block[..length].iter().any(|byte| *byte != 0) {
            to.seek(SeekFrom::Start(at))?;
            to.write_all(&block[..length])?;
        }
        at += length as u64;
    }
}

/// The commands that boot an image, and then the one that logs in.
fn lines(disk: &Path, key: &Path, flavour: &Flavour) -> [(&'static str, String); 3] {
    let [bios, uefi] = Firmware::ALL.map(|firmware| {
        let line = firmware.line(disk, flavour.memory(), PORT);
        (firmware.name(), line.to_string())
    });
    let ssh = boot::ssh(key, PORT);
    let ssh = shlex::try_join(ssh.iter().map(String::as_str)).unwrap_or_else(|_| ssh.join(" "));
    [bios, uefi, (SSH, ssh)]
}

/// What is in the image, and what it was made from.
fn manifest(
    ctx: &Ctx,
    flavour: &Flavour,
    image: &Image,
    base: &Base,
    ours: &BTreeMap<String, File>,
) -> Result<Manifest> {
    let kernel = manifest::Kernel::new(flavour, &image.kernel)?;
    let mut manifest = Manifest::new(&ctx.repo, kernel);
    manifest.content = ours
        .iter()
        .map(|(path, file)| Content::new(path, file.mode(), &file.content, file.from))
        .collect();
    manifest.debian = Some(manifest::Debian {
        suite: base.suite.clone(),
        packages: base.packages()?,
    });
    for file in [
        &image.disk,
        &image.key,
        &image.disk.with_file_name("config"),
    ] {
        manifest.add_file(file)?;
    }
    let lines = lines(Path::new(DISK), Path::new(KEY), flavour);
    manifest.boot = lines.map(|(name, line)| (name.to_owned(), line)).into();
    manifest.notes.extend(NOTES.map(str::to_owned));
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_is_left_out_and_the_rest_is_where_it_belongs() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let mut content = vec![0; 200_000];
        content[150_000] = 7;
        fs::write(&from, &content)?;
        // Where the source is empty, what was there stays: it is a hole.
        fs::write(&to, vec![1; 300_000])?;
        let mut file = fs::OpenOptions::new().write(true).open(&to)?;
        copy_sparse(&from, &mut file, 1000)?;
        let written = fs::read(&to)?;
        assert_eq!(written.len(), 300_000);
        assert_eq!(written[151_000], 7);
        assert_eq!(written[1000], 1);
        assert_eq!(written[150_999], 0);
        assert_eq!(written[201_000], 1);
        Ok(())
    }
}
