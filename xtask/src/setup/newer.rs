// SPDX-License-Identifier: GPL-2.0

//! Programs of a newer Debian than the machine's, unpacked into the cache with all that they depend
//! on. Nothing of the machine changes.

use super::run_apt;
use crate::{
    ctx::Ctx,
    exec,
    files,
    needs::Newer,
    ui::Step, //
};
use anyhow::{
    Context,
    Result, //
};
use fs_err as fs;
use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command, //
};

/// Where to look.
const SUITES: &str = "testing unstable";

/// By which keys these are signed, if the machine has them where Debian puts them.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

pub fn bring(ctx: &Ctx, newer: &Newer) -> Result<()> {
    let step = Step::new(&format!("get {} of Debian {SUITES}", newer.name));
    let place = (newer.place)(ctx);
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    files::make_dir_atomic(&place, |dir| {
        let apt = dir.join("apt");
        fetch(ctx, &apt, newer.name, &step)?;
        let archives = apt.join("cache/archives");
        let mut packages = files::list(&archives)?;
        packages.retain(|file| file.extension().is_some_and(|end| end == "deb"));
        for package in packages {
            let mut unpack = Command::new("dpkg-deb");
            unpack.arg("--extract").arg(archives.join(package)).arg(dir);
            exec::logged(&mut unpack, &exec::log_path(ctx, "setup-apt"), &step, 0)?;
        }
        fs::remove_dir_all(apt)?;
        let start = newer.program_in(dir);
        fs::create_dir_all(start.with_file_name(""))?;
        fs::write(&start, script(newer.program))?;
        Ok(fs::set_permissions(start, Permissions::from_mode(0o755))?)
    })?;
    step.done("");
    Ok(())
}

/// Starts a program with its own C library and not with the machine's.
fn script(program: &str) -> String {
    format!(
        "#!/bin/sh
root=$(dirname \"$(dirname \"$(readlink -f \"$0\")\")\")
exec \"$root/usr/lib64/ld-linux-x86-64.so.2\" --library-path \"$root/usr/lib/x86_64-linux-gnu\" \\
    \"$root/{program}\" \"$@\"
"
    )
}

/// Has apt download a package and all that it depends on, as to a machine that has nothing, by lists
/// and into a cache of its own in `apt`.
fn fetch(ctx: &Ctx, apt: &Path, package: &str, step: &Step) -> Result<()> {
    let mut known = mirror();
    if known.is_none() {
        run_apt(ctx, &["update"], step)?;
        known = mirror();
    }
    let mirror = known.context("apt knows no mirror of Debian")?;
    for dir in ["etc", "state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(apt.join(dir))?;
    }
    fs::write(apt.join("state/status"), "")?;
    let keys = Path::new(KEYS)
        .exists()
        .then(|| format!("Signed-By: {KEYS}\n"));
    fs::write(
        apt.join("etc/newer.sources"),
        format!(
            "Types: deb\nURIs: {mirror}\nSuites: {SUITES}\nComponents: main\nTargets: Packages\n{}",
            keys.unwrap_or_default()
        ),
    )?;
    let at = |option: &str, path: &str| format!("{option}={}", apt.join(path).display());
    let options = [
        "Dir::Etc::SourceList=/dev/null".to_owned(),
        at("Dir::Etc::SourceParts", "etc/"),
        at("Dir::State", "state"),
        at("Dir::State::Status", "state/status"),
        at("Dir::Cache", "cache"),
        // The user that apt would become may not have a way to the cache.
        "APT::Sandbox::User=root".to_owned(),
    ];
    let options: Vec<_> = options.iter().flat_map(|option| ["-o", option]).collect();
    run_apt(ctx, &[&options[..], &["update"]].concat(), step)?;
    let install = [
        "install",
        "--yes",
        "--download-only",
        "--no-install-recommends",
        package,
    ];
    run_apt(ctx, &[&options[..], &install].concat(), step)
}

/// Where the machine has Debian from.
fn mirror() -> Option<String> {
    let format = "$(ORIGIN) $(LABEL) $(COMPONENT) $(REPO_URI)";
    let known = exec::output(
        "apt-get",
        &["indextargets", "--format", format, "Created-By: Packages"],
    )?;
    let mut uris = known
        .lines()
        .filter_map(|line| line.strip_prefix("Debian Debian main "));
    uris.next().map(str::to_owned)
}
