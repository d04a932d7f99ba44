// SPDX-License-Identifier: GPL-2.0

//! What every command needs to know: where things are and what was asked for.

use crate::exec;
use anyhow::{
    Context,
    Result,
    ensure, //
};
use serde::Deserialize;
use std::{
    env,
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        Stdio, //
    },
};
use xshell::Shell;

/// Options of all commands.
#[derive(clap::Args)]
pub struct Global {
    /// Use this kernel (a git tree or an unpacked one) in place of the pinned source.
    #[arg(long, global = true, value_name = "DIR", env = "AF_INET_CR_LINUX")]
    linux: Option<PathBuf>,
    /// With --linux: go on though files that the patches edit differ from the pin.
    #[arg(long, global = true)]
    accept_changed: bool,
    /// Also use new kernel files that belong to no commit of linux-patches/series.toml yet.
    #[arg(long, global = true, env = "AF_INET_CR_ALLOW_UNCLAIMED")]
    allow_unclaimed: bool,
    /// Number of parallel jobs.
    #[arg(long, short, global = true, value_name = "N")]
    jobs: Option<usize>,
}

/// The variable by which a command that runs others has their results below its own, where they
/// take the place of nobody else's.
pub const RESULTS: &str = "AF_INET_CR_RESULTS";

/// Where things are.
pub struct Ctx {
    /// The shell to run commands with; its working directory is `repo`.
    pub sh: Shell,
    /// The checkout.
    pub repo: PathBuf,
    /// What outlives a checkout: sources, trees, kernel objects, tools.
    pub cache: PathBuf,
    /// Cargo's target directory.
    pub target: PathBuf,
    /// Test results, logs and other things to look at; inside `target`, if no [`RESULTS`] says
    /// otherwise.
    pub results: PathBuf,
    /// The kernel given by the user instead of the pin.
    pub linux: Option<PathBuf>,
    /// With `linux`: files that differ from the pin are no error.
    pub accept_changed: bool,
    /// Kernel files that belong to no commit are no error.
    pub allow_unclaimed: bool,
    /// Parallel jobs.
    pub jobs: usize,
}

impl Ctx {
    pub fn new(global: &Global) -> Result<Self> {
        let repo = checkout()?;
        let target = target_dir(exec::cargo(&repo))?;
        let linux = match &global.linux {
            Some(dir) if !dir.as_os_str().is_empty() => {
                Some(fs_err::canonicalize(dir).context("--linux does not name a directory")?)
            }
            _ => None,
        };
        let jobs = match global.jobs {
            Some(jobs) => jobs.max(1),
            None => std::thread::available_parallelism()?.get(),
        };
        let sh = Shell::new()?;
        sh.change_dir(&repo);
        Ok(Self {
            sh,
            cache: cache_dir()?,
            results: match env::var_os(RESULTS) {
                Some(dir) => repo.join(dir),
                None => target.join("results"),
            },
            repo,
            target,
            linux,
            accept_changed: global.accept_changed,
            allow_unclaimed: global.allow_unclaimed,
            jobs,
        })
    }

    /// For a test: with a cache and a target directory below `dir`.
    #[cfg(test)]
    pub fn in_dir(dir: &Path) -> Result<Self> {
        Ok(Self {
            sh: Shell::new()?,
            repo: checkout()?,
            cache: dir.join("cache"),
            results: dir.join("target/results"),
            target: dir.join("target"),
            linux: None,
            accept_changed: false,
            allow_unclaimed: false,
            jobs: 1,
        })
    }

    /// A path in the checkout.
    pub fn repo(&self, path: impl AsRef<Path>) -> PathBuf {
        self.repo.join(path)
    }

    /// A path in the cache.
    pub fn cache(&self, path: impl AsRef<Path>) -> PathBuf {
        self.cache.join(path)
    }
}

/// The checkout that this is run from.
pub fn checkout() -> Result<PathBuf> {
    // Set by cargo; the compile-time value serves a binary that is run by hand.
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let repo = manifest
        .parent()
        .context("xtask is not inside a checkout")?;
    Ok(repo.to_path_buf())
}

/// What of cargo's metadata is read.
#[derive(Deserialize)]
struct Metadata {
    target_directory: PathBuf,
}

/// Where cargo puts what it builds: its configuration has a say in it, of which there are several
/// files, and only cargo knows them all.
fn target_dir(mut cargo: Command) -> Result<PathBuf> {
    cargo.args(["metadata", "--no-deps", "--format-version=1"]);
    let output = cargo
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "cargo metadata does not say where cargo builds: see above"
    );
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    Ok(metadata.target_directory)
}

fn cache_dir() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").map(PathBuf::from) {
        // The specification says to ignore a relative path.
        Some(dir) if dir.is_absolute() => dir,
        _ => env::home_dir()
            .context("neither XDG_CACHE_HOME nor HOME is set: no place for the cache")?
            .join(".cache"),
    };
    Ok(base.join("af-inet-cr"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fs_err as fs;

    #[test]
    fn the_target_directory_is_what_cargo_takes_for_it() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let dir = fs::canonicalize(dir.path())?;
        let package = "[package]\nname = \"a\"\n[lib]\npath = \"a.rs\"\n[workspace]\n";
        fs::write(dir.join("Cargo.toml"), package)?;
        fs::write(dir.join("a.rs"), "")?;
        let found = |variable: Option<&str>| {
            let mut cargo = exec::cargo(&dir);
            cargo.env_remove("CARGO_TARGET_DIR");
            cargo.env_remove("CARGO_BUILD_TARGET_DIR");
            cargo.env("CARGO_HOME", &dir);
            cargo.envs(variable.map(|value| ("CARGO_TARGET_DIR", value)));
            target_dir(cargo)
        };
        assert_eq!(found(None)?, dir.join("target"));
        // As ~/.cargo/config.toml has it.
        fs::write(dir.join("config.toml"), "build.target-dir = \"/b\"\n")?;
        assert_eq!(found(None)?, Path::new("/b"));
        assert_eq!(found(Some("c"))?, dir.join("c"));
        Ok(())
    }
}
