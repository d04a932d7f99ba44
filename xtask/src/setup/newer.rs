// SPDX-License-Identifier: GPL-2.0

//! Programs of a newer Debian than the machine's, unpacked into the cache with all that they depend
//! on. Nothing of the machine changes.

use super::run_apt;
use crate::{
    ctx::Ctx,
    exec,
    fetch,
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

pub fn bring(ctx: &Ctx, newer: &Newer) -> Result<()> {
    let step = Step::new(&format!("get {} of Debian {SUITES}", newer.name));
    let place = (newer.place)(ctx);
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    files::make_dir_atomic(&place, |dir| {
        let apt = dir.join("apt");
        download(ctx, &apt, newer, &step).with_context(|| {
            format!(
                "cannot get {} of Debian {SUITES}; {}",
                newer.name, newer.otherwise
            )
        })?;
        let archives = apt.join("cache/archives");
        let mut packages = files::list(&archives)?;
        packages.retain(|file| file.extension().is_some_and(|end| end == "deb"));
        let mut list = String::new();
        for package in packages {
            let package = archives.join(package);
            let mut unpack = Command::new("dpkg-deb");
            unpack.arg("--extract").arg(&package).arg(dir);
            exec::logged(&mut unpack, &exec::log_path(ctx, "setup-apt"), &step, 0)?;
            list += &name_and_version(&package)?;
            list.push('\n');
        }
        fs::write(dir.join(Newer::LIST), list)?;
        fs::remove_dir_all(apt)?;
        let start = newer.program_in(dir);
        fs::create_dir_all(start.with_file_name(""))?;
        if newer.arch == Newer::OWN {
            fs::write(&start, script(newer.program))?;
        } else {
            fs::copy(dir.join(newer.program), &start)?;
        }
        Ok(fs::set_permissions(start, Permissions::from_mode(0o755))?)
    })?;
    step.done("");
    Ok(())
}

/// What a package says that it is.
fn name_and_version(package: &Path) -> Result<String> {
    let file = package.to_string_lossy();
    let words = ["--show", "--showformat=${Package} ${Version}", &*file];
    exec::output("dpkg-deb", &words).with_context(|| format!("{file} is no package"))
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
fn download(ctx: &Ctx, apt: &Path, newer: &Newer, step: &Step) -> Result<()> {
    let arch = newer.arch;
    let mirror = fetch::mirror()?;
    for dir in [
        "sources",
        "preferences",
        "state/lists/partial",
        "cache/archives/partial",
    ] {
        fs::create_dir_all(apt.join(dir))?;
    }
    fs::write(apt.join("state/status"), "")?;
    let keys = Path::new(fetch::KEYRING)
        .exists()
        .then(|| format!("Signed-By: {}\n", fetch::KEYRING));
    fs::write(
        apt.join("sources/newer.sources"),
        format!(
            "Types: deb\nURIs: {mirror}\nSuites: {SUITES}\nComponents: main\n\
             Architectures: {arch}\nTargets: Packages\n{}",
            keys.unwrap_or_default()
        ),
    )?;
    let config = apt.join("apt.conf");
    fs::write(&config, configuration(apt, arch))?;
    let config = config
        .to_str()
        .context("the cache has a name that is not text")?;
    run_apt(ctx, &["-c", config, "update"], step)?;
    let install = [
        "-c",
        config,
        "install",
        "--yes",
        "--download-only",
        "--no-install-recommends",
        newer.package,
    ];
    run_apt(ctx, &install, step)
}

/// What apt is told. Of the machine's configuration, which it reads before, the ways to a mirror
/// (proxies, certificates) are to count, and not what it would rather have installed there, where it
/// keeps its files, or what it runs after an update.
fn configuration(apt: &Path, arch: &str) -> String {
    let apt = apt.display();
    format!(
        "#clear APT::Update;
#clear APT::Default-Release;
#clear APT::Architectures;
APT::Architecture \"{arch}\";
APT::Install-Suggests \"false\";
// The user that apt would become may not have a way to the cache.
APT::Sandbox::User \"root\";
Dir::Etc::SourceList \"/dev/null\";
Dir::Etc::SourceParts \"{apt}/sources\";
Dir::Etc::Preferences \"/dev/null\";
Dir::Etc::PreferencesParts \"{apt}/preferences\";
Dir::State \"{apt}/state\";
Dir::State::Lists \"lists\";
Dir::State::Status \"{apt}/state/status\";
Dir::Cache \"{apt}/cache\";
Dir::Cache::Archives \"archives\";
Dir::Cache::PkgCache \"\";
Dir::Cache::SrcPkgCache \"\";
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools;

    #[test]
    fn the_machine_has_no_say_in_what_is_brought() {
        if tools::which("apt-config").is_none() {
            return; // Not Debian: nothing is brought there.
        }
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let machine = file(
            "machine",
            "APT::Default-Release \"stable\";
APT::Install-Suggests \"true\";
APT::Update::Post-Invoke { \"false\"; };
Acquire::http::Proxy \"http://proxy.example\";
Dir::Cache::Archives \"/srv/archives\";
Dir::Cache::PkgCache \"/srv/pkgcache\";
Dir::Etc::Preferences \"/srv/preferences\";
Dir::Etc::PreferencesParts \"/srv/preferences.d\";
Dir::Etc::Parts \"/dev/null\";
Dir::State::Lists \"/srv/lists\";
",
        );
        let ours = file("ours", &configuration(Path::new("/apt"), "arm64"));
        let mut dump = Command::new("apt-config");
        dump.arg("-c").arg(ours).arg("dump");
        let output = dump.env("APT_CONFIG", machine).output().unwrap();
        let all = String::from_utf8(output.stdout).unwrap();
        let said = |name: &str| {
            let start = format!("{name} \"");
            let line = all.lines().find_map(|line| line.strip_prefix(&start));
            line.map(|rest| rest.trim_end_matches("\";"))
        };
        assert_eq!(said("Acquire::http::Proxy"), Some("http://proxy.example"));
        assert_eq!(said("APT::Architecture"), Some("arm64"));
        assert_eq!(said("APT::Install-Suggests"), Some("false"));
        assert_eq!(said("Dir::Cache::archives"), Some("archives"));
        assert_eq!(said("Dir::Etc::preferences"), Some("/dev/null"));
        for gone in ["stable", "Post-Invoke", "/srv"] {
            assert!(!all.contains(gone), "{gone} in {all}");
        }
    }
}
