// SPDX-License-Identifier: GPL-2.0

//! `build`: the kernel.

use crate::{
    arch::Arch,
    config,
    ctx::Ctx,
    exec, fetch, files,
    flavour::{
        Choice,
        Flavour, //
    },
    inputs::{
        self,
        Inputs, //
    },
    needs::Group,
    setup,
    sources::{
        self,
        Sources, //
    },
    tools::Toolchain,
    tree,
    ui::{
        self,
        Step, //
    },
};
use anyhow::{
    Result,
    ensure, //
};
use fs_err as fs;
use std::{
    os::unix::ffi::OsStrExt as _,
    path::{
        Path,
        PathBuf, //
    },
    process::ExitCode,
};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    kernel: Choice,
}

/// A kernel that was built.
pub struct Kernel {
    /// The image: a copy that belongs to this checkout, so that a later build does not change it
    /// under a guest that runs.
    pub image: PathBuf,
    /// The configuration it was made with.
    pub config: PathBuf,
    pub arch: Arch,
}

impl Kernel {
    /// Whether it was built with an option (named without `CONFIG_`).
    pub fn has(&self, option: &str) -> Result<bool> {
        let wanted = format!("CONFIG_{option}=y");
        let config = fs::read_to_string(&self.config)?;
        Ok(config.lines().any(|line| line == wanted))
    }

    /// What it was made from, which may not be what is there now.
    pub fn sources(&self) -> Result<Sources> {
        Sources::read(&self.sources_file())
    }

    /// The commit of this repository that it was built from.
    pub fn commit(&self) -> String {
        let sources = self.sources().ok();
        let commit = sources.and_then(|sources| sources.commit);
        commit.unwrap_or_else(|| "unknown".to_owned())
    }

    /// The file that says so.
    pub fn sources_file(&self) -> PathBuf {
        self.image.with_file_name(sources::FILE)
    }

    /// The working tree that it was built from, if that is still there. It may have changed since.
    pub fn tree(&self) -> Option<PathBuf> {
        let tree = fs::read_to_string(self.tree_file()).ok()?;
        Some(PathBuf::from(tree)).filter(|tree| tree.is_dir())
    }

    /// The file that says where that is. It is of this machine, so that no image takes it along.
    fn tree_file(&self) -> PathBuf {
        self.image.with_file_name("tree")
    }

    /// The file that says what of the checkout it was built from.
    pub fn inputs_file(&self) -> PathBuf {
        self.image.with_file_name(inputs::FILE)
    }

    /// Copies it, with what is told about it.
    pub fn copy(&self, to: &Self) -> Result<()> {
        let sources = self.sources()?.text()?;
        files::write_if_changed(&to.image, &fs::read(&self.image)?)?;
        files::write_if_changed(&to.config, &fs::read(&self.config)?)?;
        files::write_if_changed(&to.sources_file(), sources.as_bytes())?;
        let inputs = self.inputs_file();
        if inputs.exists() {
            files::write_if_changed(&to.inputs_file(), &fs::read(inputs)?)?;
        }
        Ok(())
    }

    /// What a boot loader starts, of a kernel for that (`CONFIG_EFI_STUB`): beside the image.
    pub fn loaded(&self) -> PathBuf {
        self.image.with_file_name(BZIMAGE)
    }

    /// Puts the kernel's scripts for gdb beside the image, where gdb looks for them. In the build
    /// directory they are links into the tree.
    fn take_gdb_scripts(&self, build: &Path) -> Result<()> {
        let beside = self.image.with_file_name("");
        let mut paths = files::list(&build.join("scripts/gdb"))?;
        paths.retain(|path| path.extension().is_some_and(|end| end == "py"));
        let paths = paths.iter().map(|path| Path::new("scripts/gdb").join(path));
        for path in paths.chain([PathBuf::from("vmlinux-gdb.py")]) {
            files::write_if_changed(&beside.join(&path), &fs::read(build.join(&path))?)?;
        }
        Ok(())
    }
}

/// The kernel as the linker makes it, of every architecture.
pub const IMAGE: &str = "vmlinux";

/// What boot loaders take: compressed, and started by BIOS or UEFI.
const BZIMAGE: &str = "bzImage";

/// What makes the kernel's scripts for gdb.
const GDB_SCRIPTS: &str = "scripts_gdb";

/// What makes all that a module is built with.
const MODULES: &str = "modules";

/// About how many lines a build from nothing prints: used until there was one.
const FIRST_GUESS: u64 = 1100;

/// A goal for the kernel's Makefile, which reads this before itself (`MAKEFILES`).
///
/// `prepare` compiles Rust, one crate after the other, and all else waits for it. What has no Rust
/// needs no more than `prepare0`, and keeps the other processors busy meanwhile.
const EARLY: &str = "
# As the Makefile knows the last of the makes that it starts for itself.
ifneq ($(filter --no-print-directory,$(MAKEFLAGS)),)
.PHONY: early
early: prepare0 $(if $(ARCH),,tools/objtool)
	$(Q)$(MAKE) $(build)=kernel need-builtin=1 need-modorder=1
	$(Q)$(MAKE) $(build)=mm need-builtin=1 need-modorder=1
	$(Q)$(MAKE) $(build)=fs need-builtin=1 need-modorder=1
endif
";

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    let built = kernel(ctx, &args.kernel.flavour()?)?;
    println!("{}", built.image.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds the kernel from what is in the repository now: sources, tree, configuration, image.
/// Only one such build runs at a time on this machine.
pub fn kernel(ctx: &Ctx, flavour: &Flavour) -> Result<Kernel> {
    let arch = flavour.arch();
    setup::require(ctx, &arch.groups(&[Group::Build]))?;
    let _lock = fetch::lock(ctx)?;
    let tools = Toolchain::find_for(ctx, arch)?;
    let commit = exec::commit(&ctx.repo);
    let inputs = Inputs::of_kernel(&ctx.repo, flavour)?;
    let tree = tree::prepare(ctx, false)?;
    let build_dir = config::build_dir(ctx, &tree, flavour.name());
    config::make(ctx, &tools, &tree, &build_dir, flavour)?;

    let image = arch.build();
    let made = Kernel {
        image: build_dir.join(image.image_dir).join(image.image),
        config: build_dir.join(".config"),
        arch,
    };
    let scripts = made.has("GDB_SCRIPTS")?;
    let modules = made.has("MODULES")?;
    let loaded = made.has("EFI_STUB")?;
    let mut targets = vec![image.image];
    targets.extend(scripts.then_some(GDB_SCRIPTS));
    targets.extend(loaded.then_some(BZIMAGE));
    targets.extend(modules.then_some(MODULES));
    let for_rust = flavour.for_rust();
    targets.extend(for_rust.as_deref());
    make(ctx, &tools, &tree.dir, &build_dir, flavour.name(), &targets)?;

    let built = place(ctx, flavour);
    files::write_if_changed(&built.image, &fs::read(made.image)?)?;
    files::write_if_changed(&built.config, &fs::read(made.config)?)?;
    let sources = Sources::of(ctx, &tree, &build_dir, commit)?;
    files::write_if_changed(&built.sources_file(), sources.text()?.as_bytes())?;
    files::write_if_changed(&built.tree_file(), tree.dir.as_os_str().as_bytes())?;
    if scripts {
        built.take_gdb_scripts(&build_dir)?;
    }
    if loaded {
        let image = build_dir.join("arch/x86/boot").join(BZIMAGE);
        files::write_if_changed(&built.loaded(), &fs::read(image)?)?;
    }
    inputs.write(&built.inputs_file())?;
    Ok(built)
}

/// A module that was built.
pub struct Module {
    /// Where it is.
    pub dir: PathBuf,
    /// The build directory of its kernel.
    pub kernel: PathBuf,
}

/// Builds a module that is not part of the kernel from the sources in a folder, for a kernel that
/// was built.
pub fn module(ctx: &Ctx, flavour: &Flavour, source: &Path) -> Result<Module> {
    let _lock = fetch::lock(ctx)?;
    let tools = Toolchain::find(ctx)?;
    let tree = tree::prepare(ctx, false)?;
    let kernel = config::build_dir(ctx, &tree, flavour.name());
    let dir = place(ctx, flavour).image.with_file_name("module");
    fs::create_dir_all(&dir)?;
    let step = Step::new("build the module");
    let mut make = tools.make(ctx, &tree.dir, &kernel);
    make.arg(format!("M={}", source.display()));
    make.arg(format!("MO={}", dir.display()));
    let log = exec::log_path(ctx, &format!("build-{flavour}-module"));
    exec::logged(&mut make, &log, &step, 0)?;
    step.done("");
    Ok(Module { dir, kernel })
}

/// The kernel of the last build.
pub fn latest(ctx: &Ctx, flavour: &Flavour) -> Result<Kernel> {
    let built = place(ctx, flavour);
    ensure!(
        built.image.exists(),
        "no kernel at {}: run without --no-build",
        built.image.display()
    );
    Inputs::of_kernel(&ctx.repo, flavour)?.warn(&built.inputs_file(), "the kernel")?;
    Ok(built)
}

/// Where a kernel is put.
fn place(ctx: &Ctx, flavour: &Flavour) -> Kernel {
    let arch = flavour.arch();
    let out = ctx.target.join("kernel").join(flavour.name());
    Kernel {
        image: out.join(arch.build().image),
        config: out.join("config"),
        arch,
    }
}

/// What is there while make works in a build directory, and afterwards if it was killed.
const MARKER: &str = ".building";

/// Whether a build directory has all of a kernel, and nothing that a killed make has left.
pub fn is_whole(build: &Path) -> bool {
    build.join(IMAGE).exists() && !build.join(MARKER).exists()
}

/// Runs make in a build directory, with a bar; `name` is that of the log.
pub fn make(
    ctx: &Ctx,
    tools: &Toolchain,
    tree: &Path,
    build: &Path,
    name: &str,
    targets: &[&str],
) -> Result<PathBuf> {
    let marker = build.join(MARKER);
    let counted = build.join(".lines");
    if marker.exists() {
        let step = Step::new("clean up after an interrupted build");
        let removed = remove_unfinished(build)?;
        step.done(&format!("{removed} files removed"));
    }
    let full = targets.contains(&tools.arch.build().image) && !build.join(IMAGE).exists();
    // What was said before is not what this one says.
    for log in logs(ctx, name) {
        let _ = fs::remove_file(log);
    }
    fs::write(&marker, "")?;
    let prepared = if full {
        early(ctx, tools, tree, build, name, targets)
    } else {
        Ok(())
    };
    let what = format!("build the kernel ({name})");
    let [_, log] = logs(ctx, name);
    let result = prepared.and_then(|()| {
        let (step, expected) = if full {
            let count = fs::read_to_string(&counted)
                .ok()
                .and_then(|text| text.trim().parse().ok());
            let count = count.unwrap_or(FIRST_GUESS);
            (Step::bar(&what, count), count)
        } else {
            (Step::new(&what), 0)
        };
        let mut make = tools.make(ctx, tree, build);
        let lines = exec::logged(make.args(targets), &log, &step, expected)?;
        Ok((lines, step))
    });
    // Also when it failed: make has ended by itself and cleaned up what it was at.
    fs::remove_file(&marker)?;
    let (lines, step) = result?;
    if full {
        fs::write(&counted, format!("{lines}\n"))?;
    }
    step.done(&format!("log {}", ui::short(&ctx.repo, &log)));
    Ok(log)
}

/// Compiles Rust, and beside it what needs none ([`EARLY`]).
fn early(
    ctx: &Ctx,
    tools: &Toolchain,
    tree: &Path,
    build: &Path,
    name: &str,
    words: &[&str],
) -> Result<()> {
    let rules = build.join(".early.mk");
    fs::write(&rules, EARLY)?;
    let mut make = tools.make(ctx, tree, build);
    make.env("MAKEFILES", &rules);
    make.args(words.iter().filter(|word| word.contains('=')));
    make.args(["early", "prepare"]);
    let step = Step::new(&format!("build the kernel's part in Rust ({name})"));
    let [log, _] = logs(ctx, name);
    exec::logged(&mut make, &log, &step, 0)?;
    step.done(&format!("log {}", ui::short(&ctx.repo, &log)));
    Ok(())
}

/// Where the output of [`make`] is: of what comes early, if something does, and of all else.
fn logs(ctx: &Ctx, name: &str) -> [PathBuf; 2] {
    [format!("build-{name}-early"), format!("build-{name}")].map(|log| exec::log_path(ctx, &log))
}

/// All that the last [`make`] of this name has said.
pub fn said(ctx: &Ctx, name: &str) -> String {
    logs(ctx, name)
        .iter()
        .filter_map(|log| fs::read_to_string(log).ok())
        .collect()
}

/// Removes what a killed make may have left half-written. kbuild writes `.X.cmd` after `X` is
/// complete; a target without such a file, or newer than it, was not.
fn remove_unfinished(build: &Path) -> Result<usize> {
    let mut removed = 0;
    for path in files::list(build)? {
        let path = build.join(path);
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
            continue;
        };
        let name = name.to_string_lossy();
        let time = |path: &Path| fs::symlink_metadata(path)?.modified();
        let made = time(&dir.join(format!(".{name}.cmd")));
        // Not .rmeta: those come with an .o, which is what make knows.
        let object = [".o", ".a", ".so"].iter().any(|end| name.ends_with(end));
        let unfinished = match made {
            Ok(made) => time(&path)? > made,
            Err(_) => object,
        };
        if unfinished {
            fs::remove_file(&path)?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{
        Duration,
        SystemTime, //
    };

    #[test]
    fn the_tree_of_a_kernel_is_known_as_long_as_it_is_there() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let kernel = Kernel {
            image: dir.path().join(IMAGE),
            config: dir.path().join("config"),
            arch: Arch::OWN,
        };
        assert_eq!(kernel.tree(), None);
        let tree = dir.path().join("some");
        fs::write(kernel.tree_file(), tree.as_os_str().as_bytes())?;
        assert_eq!(kernel.tree(), None);
        fs::create_dir(&tree)?;
        assert_eq!(kernel.tree(), Some(tree));
        Ok(())
    }

    #[test]
    fn only_what_make_did_not_finish_is_removed() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let now = SystemTime::now();
        for (name, age) in [
            ("done.o", 9),
            (".done.o.cmd", 8),
            ("half.o", 1),
            (".half.o.cmd", 5),
            ("first.o", 1),
            ("generated.h", 1),
        ] {
            let file = fs::File::create(dir.path().join(name))?;
            file.set_modified(now - Duration::from_secs(age))?;
        }
        assert_eq!(remove_unfinished(dir.path())?, 2);
        let left = files::list(dir.path())?;
        let left: Vec<_> = left.iter().map(|path| path.to_string_lossy()).collect();
        assert_eq!(
            left,
            [".done.o.cmd", ".half.o.cmd", "done.o", "generated.h"]
        );
        Ok(())
    }
}
