// SPDX-License-Identifier: GPL-2.0

//! Processes that CRIU checkpoints and restores, by itself and with `inetcr criu-hook`.
//!
//! They are run where CRIU is, see `cargo xtask criu`, and say what it brings back of a socket: a
//! line for each item, for the table of the README.

mod hook;
mod items;
mod process;
pub mod script;
mod service;
mod table;

use std::fmt;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::runner::Test;
use crate::sys::task::{self, Child};
use crate::sys::{signal, socket};

/// The tests, with this CRIU.
pub fn tests(program: &Path) -> Vec<Test> {
    // What a plug has held back while CRIU works comes at once, to every device on the way. It is of
    // the whole machine, and cannot be seen from other network namespaces.
    let _ = fs::write("/proc/sys/net/core/netdev_max_backlog", "100000");
    let program = program.to_owned();
    let mut tests = Vec::new();
    for (name, run) in [
        (
            "same_network",
            service::in_the_same_network as fn(&Path) -> Result<()>,
        ),
        ("another_network", service::in_another_network),
        ("by_criu_alone", service::by_criu_alone),
        ("shared", hook::shared),
        ("twice", hook::twice),
        ("another_dump", hook::another_dump),
        ("not_at_the_dump", hook::not_at_the_dump),
        ("other_sockets", hook::other_sockets),
        ("strict", hook::strict),
        ("table", table::table),
    ] {
        let program = program.clone();
        let test = Test::new(format!("criu::{name}"), move || run(&program));
        tests.push(test.slow().alone());
    }
    tests
}

/// How long CRIU may take for a process, which it does in a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// CRIU did not come to an end.
#[derive(Debug)]
struct Stuck(String);

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "criu {} has not ended after {PATIENCE:?}", self.0)
    }
}

impl std::error::Error for Stuck {}

/// CRIU, with a directory for its images.
struct Criu<'a> {
    program: &'a Path,
    dir: PathBuf,
    /// The action script, if there is one.
    hook: Option<PathBuf>,
}

impl<'a> Criu<'a> {
    /// By itself.
    fn alone(program: &'a Path) -> Result<Self> {
        // A file system that CRIU can have its files on, and that is gone with the machine.
        let dir = PathBuf::from(format!("/run/criu-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir)?;
        Ok(Self {
            program,
            dir,
            hook: None,
        })
    }

    /// With the hook, as a user has it.
    fn hooked(program: &'a Path, options: &str) -> Result<Self> {
        let mut criu = Self::alone(program)?;
        let script = criu.dir.join("hook");
        fs::write(
            &script,
            format!("#!/bin/sh\nexec inetcr criu-hook {options}\n"),
        )?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        criu.hook = Some(script);
        Ok(criu)
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Result<()> {
        let mut criu = Command::new(self.program);
        // The processes belong to the session of the test.
        criu.args([
            command,
            "--shell-job",
            "-v4",
            "--log-file",
            command,
            "--images-dir",
        ]);
        criu.arg(&self.dir).args(arguments);
        if let Some(script) = &self.hook {
            criu.arg("--action-script").arg(script);
        }
        // In a file: who is left of a restore that has failed would keep a pipe open.
        let said = fs::File::create(self.dir.join("said"))?;
        criu.stdin(Stdio::null());
        criu.stdout(said.try_clone()?).stderr(said);
        let mut criu = criu.spawn().context("starting CRIU")?;
        let pidfd = task::pidfd_open(criu.id().cast_signed())?;
        let ended = socket::readable(&pidfd, PATIENCE)?;
        if !ended {
            criu.kill()?;
        }
        let status = criu.wait()?;
        if !status.success() {
            let errors = self.errors(command);
            println!("{}", self.end_of_log(command));
            // That it has failed is the last that matters.
            let failed = errors.iter().any(|error| error.ends_with("FAILED."));
            ensure!(ended || failed, Stuck(command.to_owned()));
            bail!("{} {}", errors.join("; "), self.log("said").trim());
        }
        Ok(())
    }

    /// Dumps a process and its descendants, which ends them.
    fn dump(&self, pid: i32, arguments: &[&str]) -> Result<()> {
        let pid = pid.to_string();
        self.run("dump", &[&["--tree", &pid], arguments].concat())
    }

    /// Restores them.
    fn restore(&self, arguments: &[&str]) -> Result<Restored> {
        let file = self.dir.join("pid");
        let _ = fs::remove_file(&file);
        let name = file.display().to_string();
        let pidfile = ["--restore-detached", "--pidfile", &name];
        self.run("restore", &[&pidfile[..], arguments].concat())?;
        let pid = fs::read_to_string(file)?.trim().parse()?;
        let pidfd = task::pidfd_open(pid).context("what was restored has ended")?;
        Ok(Restored { pid, pidfd })
    }

    /// Dumps a child of the caller, and restores it.
    fn round_trip(&self, child: &mut Child) -> Result<Restored> {
        self.dump(child.pid(), &[]).context("dump")?;
        child.wait(Duration::from_secs(5))?;
        self.restore(&[]).context("restore")
    }

    fn log(&self, command: &str) -> String {
        fs::read_to_string(self.dir.join(command)).unwrap_or_default()
    }

    /// What led to an error.
    fn end_of_log(&self, command: &str) -> String {
        const LINES: usize = 40;
        let log = self.log(command);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    /// What CRIU calls an error, without when and where.
    fn errors(&self, command: &str) -> Vec<String> {
        let log = self.log(command);
        let errors = log.lines().filter_map(|line| line.split_once("Error "));
        let words = errors.filter_map(|(_, text)| text.split_once("): "));
        words.map(|(_, text)| text.to_owned()).collect()
    }

    /// What the hook has said.
    fn said(&self, command: &str) -> Vec<String> {
        let log = self.log(command);
        let lines = log.lines().filter_map(|line| line.strip_prefix("inetcr: "));
        lines.map(str::to_owned).collect()
    }
}

impl Drop for Criu<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A process that CRIU has restored. It is ended with this.
struct Restored {
    pid: i32,
    pidfd: OwnedFd,
}

impl Drop for Restored {
    fn drop(&mut self) {
        let _ = signal::send(self.pid, libc::SIGKILL);
        // It is nobody's child here.
        let _ = socket::readable(&self.pidfd, Duration::from_secs(5));
    }
}

/// Fails unless a list has a line with these words.
fn says(lines: &[String], words: &str) -> Result<()> {
    let is_there = lines.iter().any(|line| line.contains(words));
    ensure!(is_there, "nothing about {words:?} in {lines:#?}");
    Ok(())
}
