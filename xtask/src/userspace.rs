//! The programs that run in the guest.

use crate::{
    ctx::Ctx,
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
    env,
    ffi::OsString,
    path::PathBuf,
    process::{
        Command,
        Stdio, //
    },
};

/// Packages with programs for the guest.
const PACKAGES: [&str; 4] = ["demo", "inetcr", "roundtrip", "vminit"];

/// Where each program is, by its name.
pub struct Programs(BTreeMap<String, PathBuf>);

/// The part of cargo's messages that says where a program was put.
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    executable: Option<PathBuf>,
}

/// Builds them; gives where they are.
pub fn build(ctx: &Ctx) -> Result<Programs> {
    let step = Step::new("build the programs for the guest");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command
        .current_dir(&ctx.repo)
        .args(["build", "--release", "--quiet"]);
    command.arg("--message-format=json-render-diagnostics");
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    // Errors and warnings go to the terminal as cargo writes them.
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        bail!("cargo could not build {}: see above", PACKAGES.join(", "));
    }
    let mut programs = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(Message {
            executable: Some(path),
        }) = serde_json::from_str(line)
        else {
            continue;
        };
        if let Some(name) = path.file_name() {
            programs.insert(name.to_string_lossy().into_owned(), path);
        }
    }
    step.done("");
    Ok(Programs(programs))
}

/// Those of an earlier build.
pub fn built(ctx: &Ctx) -> Programs {
    let dir = ctx.target.join("release");
    let names = PACKAGES.iter().copied();
    let paths = names.map(|name| (name.to_owned(), dir.join(name)));
    Programs(paths.filter(|(_, path)| path.exists()).collect())
}

impl Programs {
    /// Where the program is.
    pub fn get(&self, name: &str) -> Result<&PathBuf> {
        self.0.get(name).with_context(|| {
            let known: Vec<_> = self.0.keys().map(String::as_str).collect();
            format!("no program {name} among {known:?}: run without --no-build")
        })
    }

    /// PATH in the guest: our programs before the host's.
    pub fn path(&self) -> String {
        let dir = self.0.values().next().and_then(|path| path.parent());
        let ours = dir.map(|dir| dir.display().to_string()).unwrap_or_default();
        format!("{ours}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    }
}
