// SPDX-License-Identifier: GPL-2.0

//! Debian as a root file system: packages by mmdebstrap, what is ours on top, ext4 by mke2fs. Nothing
//! is mounted, and nobody has to be root where there are user namespaces.

use super::{
    layout::{
        LABEL,
        ROOT_UUID, //
    },
    recipe::{
        Debian,
        File, //
    },
};
use crate::{
    ctx::Ctx,
    exec,
    fetch::{
        self,
        Suite, //
    },
    files,
    ui::{
        self,
        Step, //
    },
};
use anyhow::{
    Context,
    Result,
    ensure, //
};
use fs_err as fs;
use std::{
    collections::BTreeMap,
    path::{
        Path,
        PathBuf, //
    },
    process::Command,
};

/// About how many lines mmdebstrap prints.
const LINES: u64 = 12;

/// Debian as it is without us.
pub struct Base {
    pub suite: String,
    /// All files.
    tar: PathBuf,
}

/// Gets the packages, or takes what an earlier run got (but `fresh`).
pub fn base(ctx: &Ctx, debian: &Debian, fresh: bool) -> Result<Base> {
    can_be_root()?;
    let suite = fetch::suite()?;
    let key = files::sha256(format!("{suite:?} {debian:?}").as_bytes());
    let tar = ctx
        .cache("download")
        .join(format!("debian-{}.tar", &key[..16]));
    if fresh || !tar.exists() {
        bootstrap(ctx, debian, &suite, &tar)?;
    } else {
        ui::note("Debian's packages as an earlier run got them; --fresh gets them anew");
    }
    Ok(Base {
        suite: suite.name,
        tar,
    })
}

fn bootstrap(ctx: &Ctx, debian: &Debian, suite: &Suite, tar: &Path) -> Result<()> {
    let step = Step::bar(&format!("get Debian {}", suite.name), LINES);
    let work = files::temporary(&ctx.cache("download"))?;
    let file = |name: &str, text: String| -> Result<PathBuf> {
        let path = work.path().join(name);
        fs::write(&path, text)?;
        Ok(path)
    };
    // Proxies, certificates, and what else the way to the mirror needs.
    let way = exec::output("apt-config", &["dump", "Acquire"]).unwrap_or_default();
    let way = file("apt.conf", way)?;
    let sources = file("debian.list", suite.sources.join("\n") + "\n")?;
    let made = work.path().join("debian.tar");

    let mut mmdebstrap = Command::new("mmdebstrap");
    mmdebstrap
        .args(["--variant=minbase", "--format=tar"])
        .arg(format!("--include={}", debian.packages.join(",")))
        .arg(format!("--aptopt={}", way.display()));
    for pattern in &debian.without {
        mmdebstrap.arg(format!("--dpkgopt=path-exclude={pattern}"));
    }
    for command in &debian.commands {
        let command = shlex::try_quote(command)?;
        mmdebstrap.arg(format!("--customize-hook=chroot \"$1\" sh -euc {command}"));
    }
    mmdebstrap.arg(&suite.name).arg(&made).arg(sources);
    exec::logged(
        &mut mmdebstrap,
        &exec::log_path(ctx, "image-debian"),
        &step,
        LINES,
    )?;
    fs::rename(made, tar)?;
    step.done("");
    Ok(())
}

/// What makes the file system. Files of ours get the owner, and leave the modes of directories that
/// Debian has alone. The kernel makes what is in `/dev`. A shell that a
/// signal ends does nothing at its end, if it does not trap that too.
const SCRIPT: &str = r#"
umask 022
mkdir root
trap 'rm -rf root' EXIT
trap 'exit 130' INT TERM HUP
tar --extract --file="$1" --directory=root --numeric-owner --exclude='./dev/*'
cp -R files/. root/
mke2fs -q -t ext4 -d root -L "$2" -U "$3" -m 1 \
    -O ^metadata_csum_seed,^orphan_file \
    -E "hash_seed=$3,root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0" "$4" "$5"
"#;

impl Base {
    /// The version of each package.
    pub fn packages(&self) -> Result<BTreeMap<String, String>> {
        let tar = self.tar.to_str().context("the cache's name is not text")?;
        let status = exec::output("tar", &["-xOf", tar, "./var/lib/dpkg/status"]);
        let packages = packages(&status.unwrap_or_default());
        ensure!(
            !packages.is_empty(),
            "{tar} has no list of packages: run with --fresh"
        );
        Ok(packages)
    }

    /// Makes the file system, of `size` MiB, in the folder `work`; gives its image.
    pub fn with(
        &self,
        ctx: &Ctx,
        ours: &BTreeMap<String, File>,
        size: u64,
        work: &Path,
    ) -> Result<PathBuf> {
        let step = Step::new("make the root file system");
        for (path, file) in ours {
            let path = work.join("files").join(path.trim_start_matches('/'));
            files::write_atomic_mode(&path, &file.content, file.mode() & 0o777)?;
        }
        let image = work.join("root.ext4");
        let mut command = exec::as_root();
        command
            .args(["sh", "-euc", SCRIPT, "sh"])
            .arg(&self.tar)
            .args([LABEL, ROOT_UUID])
            .arg(&image)
            .arg(format!("{size}M"))
            .current_dir(work)
            .env("PATH", path_with_sbin());
        exec::logged(&mut command, &exec::log_path(ctx, "image-root"), &step, 0)?;
        step.done("");
        Ok(image)
    }
}

/// Whether [`exec::as_root`] can do so, as mmdebstrap has to; it does not say what is missing.
fn can_be_root() -> Result<()> {
    let tried = exec::as_root()
        .arg("true")
        .output()
        .context("cannot run unshare")?;
    ensure!(
        tried.status.success(),
        "this user cannot give files to other users: {}\n  It takes user namespaces, and a range of \
         ids in /etc/subuid and in /etc/subgid: as root,\n  \
         usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER",
        String::from_utf8_lossy(&tried.stderr).trim()
    );
    Ok(())
}

/// PATH with what Debian keeps for root only.
pub fn path_with_sbin() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/sbin:/sbin")
}

/// Reads dpkg's list of what is installed.
fn packages(status: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut name = "";
    for line in status.lines() {
        if let Some(package) = line.strip_prefix("Package: ") {
            name = package;
        } else if let Some(version) = line.strip_prefix("Version: ") {
            found.insert(name.to_owned(), version.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_where_the_script_is_interrupted() -> Result<()> {
        let dir = tempfile::tempdir()?;
        for signal in ["INT", "TERM", "HUP"] {
            let tar = format!("tar() {{ kill -s {signal} $$; }}");
            // What is ignored from the start, as `nohup` does it, cannot be trapped.
            let status = Command::new("env")
                .args(["--default-signal=INT,TERM,HUP", "sh"])
                .args(["-euc", &format!("{tar}\n{SCRIPT}"), "sh", "root.tar"])
                .current_dir(dir.path())
                .status()?;
            assert_eq!(status.code(), Some(130), "{signal}");
            assert!(!dir.path().join("root").exists(), "{signal}");
        }
        Ok(())
    }

    #[test]
    fn dpkgs_list_is_read() {
        let status = "\
            Package: a\nStatus: install ok installed\nVersion: 1:2-3\n\n\
            Package: b\nDepends: a\n Version: no\nVersion: 4\n";
        let found = packages(status);
        assert_eq!(found.len(), 2);
        assert_eq!((&*found["a"], &*found["b"]), ("1:2-3", "4"));
    }
}
