// SPDX-License-Identifier: GPL-2.0

//! The programs that run in the guest.

use crate::{
    arch::Arch,
    ctx::Ctx,
    exec,
    inputs::{
        self,
        Inputs, //
    },
    ui::Step, //
};
use anyhow::{
    Context,
    Result,
    bail, //
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        Stdio, //
    },
};

/// Packages with programs for the guest.
const PACKAGES: [&str; 6] = [
    "crfuzz",
    "demo",
    "inetcr",
    "nameserver",
    "roundtrip",
    "vminit",
];

/// The tests of the tool that need the family, as a program; cargo puts a hash behind its name.
pub const TOOL_TESTS: &str = "kernel";

/// Where each program is, by its name.
pub struct Programs(BTreeMap<String, PathBuf>);

/// The part of cargo's messages that says where a program was put.
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    executable: Option<PathBuf>,
    #[serde(default)]
    target: Target,
}

#[derive(Default, Deserialize)]
struct Target {
    name: String,
}

/// How they are built, in `Cargo.toml`; also the folder of `target` that they are in.
const PROFILE: &str = "guest";

/// Builds them, all by one call: the tests of the tool would have the dependencies built again, with
/// the features that these tests need.
pub fn build(repo: &Path) -> Result<Programs> {
    let inputs = Inputs::of_programs(repo)?;
    let mut command = exec::cargo(repo);
    command
        .args(["build", "--profile", PROFILE, "--quiet"])
        .args(["--bins", "--test", TOOL_TESTS])
        .arg("--message-format=json-render-diagnostics");
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    let programs = Programs(executables(command)?);
    inputs.write(&programs.get("vminit")?.with_file_name(inputs::FILE))?;
    Ok(programs)
}

/// Builds programs that need nothing around them.
pub fn build_static(repo: &Path, packages: &[impl AsRef<str>], arch: Arch) -> Result<Programs> {
    let guest = arch.guest()?;
    let mut command = exec::cargo(repo);
    command
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        // With it, the flags are not for what runs on the host while this is built.
        .args(["build", "--release", "--quiet", "--target", guest.target])
        .arg("--message-format=json-render-diagnostics");
    if let Some(cross) = guest.cross {
        let target = guest.target.replace('-', "_");
        let linker = format!("CARGO_TARGET_{}_LINKER", target.to_uppercase());
        command.env(linker, cross.linker);
        command.env(format!("CC_{target}"), cross.linker);
    }
    for package in packages {
        command.args(["--package", package.as_ref()]);
    }
    Ok(Programs(executables(command)?))
}

/// Builds a library that a program of the host loads.
pub fn build_library(ctx: &Ctx, package: &str) -> Result<PathBuf> {
    let step = Step::new(&format!("build {package}"));
    let mut command = exec::cargo(&ctx.repo);
    command.args(["build", "--release", "--quiet", "--package", package]);
    executables(command)?;
    step.done("");
    Ok(ctx.target.join(format!("release/lib{package}.so")))
}

/// What cargo builds, by the names of the targets.
fn executables(mut cargo: Command) -> Result<BTreeMap<String, PathBuf>> {
    // Errors and warnings go to the terminal as cargo writes them.
    let output = cargo
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        bail!("cargo could not build the programs for the guest: see above");
    }
    let mut programs = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Ok(Message {
            executable: Some(path),
            target,
        }) = serde_json::from_str(line)
        {
            programs.insert(target.name, path);
        }
    }
    Ok(programs)
}

/// Says what has changed since they were built, if they are those of an earlier build.
pub fn warn(ctx: &Ctx) -> Result<()> {
    let noted = ctx.target.join(PROFILE).join(inputs::FILE);
    Inputs::of_programs(&ctx.repo)?.warn(&noted, "the programs of the guest")
}

/// Those of an earlier build.
pub fn built(ctx: &Ctx) -> Programs {
    let dir = ctx.target.join(PROFILE);
    let names = PACKAGES.iter().copied();
    let paths = names.map(|name| (name.to_owned(), dir.join(name)));
    let mut programs: BTreeMap<_, _> = paths.filter(|(_, path)| path.exists()).collect();
    if let Some(tests) = newest_tests(&dir.join("deps")) {
        programs.insert(TOOL_TESTS.to_owned(), tests);
    }
    Programs(programs)
}

/// The tests of the tool that were built last.
fn newest_tests(dir: &Path) -> Option<PathBuf> {
    let entries = fs_err::read_dir(dir).ok()?.flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.strip_prefix(TOOL_TESTS)
                .and_then(|rest| rest.strip_prefix('-'))
                .is_some_and(|hash| !hash.contains('.'))
        })
        .max_by_key(|path| path.metadata().and_then(|data| data.modified()).ok())
}

impl Programs {
    /// Programs that all are in one folder.
    pub fn in_dir(dir: &Path, names: &[String]) -> Self {
        let paths = names.iter().map(|name| (name.clone(), dir.join(name)));
        Self(paths.collect())
    }

    /// Where the program is.
    pub fn get(&self, name: &str) -> Result<&PathBuf> {
        self.0.get(name).with_context(|| {
            let known: Vec<_> = self.0.keys().map(String::as_str).collect();
            format!("no program {name} among {known:?}: run without --no-build")
        })
    }

    /// PATH in the guest: our programs before the host's.
    pub fn path(&self) -> String {
        let dir = self.0.get("vminit").and_then(|path| path.parent());
        let ours = dir.map(|dir| dir.display().to_string()).unwrap_or_default();
        format!("{ours}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    }
}
