// SPDX-License-Identifier: GPL-2.0

//! The programs that run in the guest.

use crate::{
    arch::Arch,
    ctx::Ctx,
    exec,
    files,
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
use fs_err as fs;
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

/// The part of cargo's messages that says where what it has built was put: its configuration has a
/// say in that, too.
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    executable: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
    #[serde(default)]
    target: Target,
}

#[derive(Default, Deserialize)]
struct Target {
    name: String,
}

/// How they are built, in `Cargo.toml`; also the folder of `target` with what is noted of them.
const PROFILE: &str = "guest";

/// The file that says where they are: cargo may have put them elsewhere, if its configuration has a
/// `build.target`.
const PLACES: &str = "programs.json";

/// Builds them, all by one call: the tests of the tool would have the dependencies built again, with
/// the features that these tests need.
pub fn build(repo: &Path, target: &Path) -> Result<Programs> {
    let inputs = Inputs::of_programs(repo)?;
    let mut command = exec::cargo(repo);
    command
        .args(["build", "--profile", PROFILE, "--quiet"])
        .args(["--bins", "--test", TOOL_TESTS]);
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    let programs = Programs(executables(run_cargo(command)?));
    let dir = target.join(PROFILE);
    programs.write(&dir)?;
    inputs.write(&dir.join(inputs::FILE))?;
    Ok(programs)
}

/// Builds programs that need nothing around them.
pub fn build_static(repo: &Path, packages: &[impl AsRef<str>], arch: Arch) -> Result<Programs> {
    let guest = arch.guest()?;
    let mut command = exec::cargo(repo);
    command
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        // With it, the flags are not for what runs on the host while this is built.
        .args(["build", "--release", "--quiet", "--target", guest.target]);
    if let Some(cross) = guest.cross {
        let target = guest.target.replace('-', "_");
        let linker = format!("CARGO_TARGET_{}_LINKER", target.to_uppercase());
        command.env(linker, cross.linker);
        command.env(format!("CC_{target}"), cross.linker);
    }
    for package in packages {
        command.args(["--package", package.as_ref()]);
    }
    Ok(Programs(executables(run_cargo(command)?)))
}

/// Builds a library that a program of the host loads.
pub fn build_library(ctx: &Ctx, package: &str) -> Result<PathBuf> {
    let step = Step::new(&format!("build {package}"));
    let mut command = exec::cargo(&ctx.repo);
    command.args(["build", "--release", "--quiet", "--package", package]);
    let library = library(run_cargo(command)?, package)?;
    step.done("");
    Ok(library)
}

fn library(built: Vec<Message>, package: &str) -> Result<PathBuf> {
    let name = format!("lib{package}.so");
    let mut files = built.into_iter().flat_map(|message| message.filenames);
    let library = files.find(|file| file.ends_with(&name));
    library.with_context(|| format!("cargo does not say where it has put {name}"))
}

/// What can be run of what cargo has built, by the names of the targets.
fn executables(built: Vec<Message>) -> BTreeMap<String, PathBuf> {
    let built = built.into_iter();
    built
        .filter_map(|message| Some((message.target.name, message.executable?)))
        .collect()
}

/// Builds, and gives what cargo says of it.
fn run_cargo(mut cargo: Command) -> Result<Vec<Message>> {
    // Errors and warnings go to the terminal as cargo writes them.
    let output = cargo
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        bail!("cargo could not build the programs for the guest: see above");
    }
    Ok(messages(&String::from_utf8_lossy(&output.stdout)))
}

fn messages(said: &str) -> Vec<Message> {
    let lines = said.lines();
    lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// Says what has changed since they were built, if they are those of an earlier build.
pub fn warn(ctx: &Ctx) -> Result<()> {
    let noted = ctx.target.join(PROFILE).join(inputs::FILE);
    Inputs::of_programs(&ctx.repo)?.warn(&noted, "the programs of the guest")
}

/// Those of an earlier build.
pub fn built(ctx: &Ctx) -> Programs {
    let noted = fs::read(ctx.target.join(PROFILE).join(PLACES)).unwrap_or_default();
    let mut programs: BTreeMap<_, PathBuf> = serde_json::from_slice(&noted).unwrap_or_default();
    programs.retain(|_, path| path.exists());
    Programs(programs)
}

impl Programs {
    /// Programs that all are in one folder.
    pub fn in_dir(dir: &Path, names: &[String]) -> Self {
        let paths = names.iter().map(|name| (name.clone(), dir.join(name)));
        Self(paths.collect())
    }

    /// Notes in a folder where they are.
    fn write(&self, dir: &Path) -> Result<()> {
        let places = serde_json::to_string(&self.0)?;
        files::write_if_changed(&dir.join(PLACES), places.as_bytes())?;
        Ok(())
    }

    /// Where the program is.
    pub fn get(&self, name: &str) -> Result<&PathBuf> {
        self.0.get(name).with_context(|| {
            let known: Vec<_> = self.0.keys().map(String::as_str).collect();
            let which = match &known[..] {
                [] => "none of the programs for the guest was built for this machine".to_owned(),
                known => format!("no program {name} among {known:?}"),
            };
            format!("{which}: run without --no-build")
        })
    }

    /// PATH in the guest: our programs before the host's.
    pub fn path(&self) -> String {
        let dir = self.0.get("vminit").and_then(|path| path.parent());
        let ours = dir.map(|dir| dir.display().to_string()).unwrap_or_default();
        format!("{ours}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_built_is_found_where_cargo_has_put_it() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let ctx = Ctx::in_dir(dir.path())?;
        let error = built(&ctx).get("vminit").unwrap_err().to_string();
        assert!(error.contains("none of the programs"), "{error}");
        // With a `build.target` the folder of the profile is below one of that name.
        let place = |name: &str| ctx.target.join("x86_64-unknown-linux-gnu/guest").join(name);
        let said = ["vminit", "roundtrip"].map(|name| {
            let target = serde_json::json!({ "name": name });
            let file = place(name);
            serde_json::json!({ "target": target, "filenames": [file], "executable": file })
        });
        let programs = Programs(executables(messages(&format!("{}\n{}", said[0], said[1]))));
        programs.write(&ctx.target.join(PROFILE))?;
        fs::create_dir_all(place(""))?;
        fs::write(place("vminit"), "")?;
        assert_eq!(built(&ctx).get("vminit")?, &place("vminit"));
        // One that is not there any more is not named.
        assert!(built(&ctx).get("roundtrip").is_err());
        Ok(())
    }

    #[test]
    fn a_library_is_found_where_cargo_has_put_it() {
        let said = "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"counter\"},\
                    \"filenames\":[\"/t/a/release/libcounter.so\"],\"executable\":null}\n\
                    {\"reason\":\"build-finished\",\"success\":true}\n";
        let found = library(messages(said), "counter").unwrap();
        assert_eq!(found, Path::new("/t/a/release/libcounter.so"));
        assert!(library(messages(said), "other").is_err());
    }
}
