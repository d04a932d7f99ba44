// SPDX-License-Identifier: GPL-2.0

//! `inetcr criu-hook` without CRIU: processes in its stead, that it would have dumped and restored.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Result, ensure};

use super::process::{FIRST, has, has_opened, holder_that, open};
use crate::places::PORT;
use crate::runner::Test;
use crate::sys::task::{self, Child};
use crate::sys::{namespace, signal};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("criu_hook::completes", completes).slow(),
        Test::new("criu_hook::needs_its_dump", needs_its_dump).slow(),
        Test::new("criu_hook::takes_no_other_socket", takes_no_other_socket).slow(),
    ]
}

/// A directory of images.
struct Images(PathBuf);

impl Images {
    fn new() -> Result<Self> {
        let dir = PathBuf::from(format!("/tmp/images-{}", std::process::id()));
        fs::create_dir(&dir)?;
        fs::write(dir.join("inventory.img"), "one dump")?;
        Ok(Self(dir))
    }

    /// Runs the hook as CRIU does.
    fn hook(&self, action: &str, root: &Child) -> Result<Output> {
        Ok(Command::new("inetcr")
            .args(["criu-hook", "--strict"])
            .env("CRTOOLS_SCRIPT_ACTION", action)
            .env("CRTOOLS_IMAGE_DIR", &self.0)
            .env("CRTOOLS_INIT_PID", root.pid().to_string())
            .output()?)
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The first process of a PID namespace, with a socket: before the dump it has all, CRIU only
/// binds it.
fn container(by_criu: bool, port: u16) -> Result<Child> {
    let start = || {
        holder_that(|| {
            if !by_criu {
                return open(FIRST, port);
            }
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?;
            Ok(task::dup_onto(&socket, FIRST)?)
        })
    };
    let child = namespace::in_new_pid(start)??;
    has_opened(child.pid(), FIRST)?;
    Ok(child)
}

fn succeeds(output: &Output) -> Result<()> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", output.status);
    Ok(())
}

fn fails_with(output: &Output, words: &str) -> Result<()> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "{}: {said}", output.status);
    ensure!(said.contains(words), "{said}");
    Ok(())
}

/// A dump, as CRIU has it: frozen, and then gone.
fn dumped(images: &Images, port: u16) -> Result<()> {
    let process = container(false, port)?;
    signal::send(process.pid(), libc::SIGSTOP)?;
    succeeds(&images.hook("post-dump", &process)?)?;
    has(process.pid(), FIRST, true, Some(1)).map(drop)
}

fn completes() -> Result<()> {
    let images = Images::new()?;
    dumped(&images, PORT)?;
    let process = container(true, PORT)?;
    // What is not ours to do.
    for action in ["pre-restore", "setup-namespaces", "pre-resume"] {
        succeeds(&images.hook(action, &process)?)?;
    }
    has(process.pid(), FIRST, false, None)?;
    // Twice, and nothing comes twice.
    for _ in 0..2 {
        succeeds(&images.hook("post-restore", &process)?)?;
        has(process.pid(), FIRST, true, Some(1))?;
    }
    Ok(())
}

fn needs_its_dump() -> Result<()> {
    const WORDS: &str = "there are no images of this checkpoint's sockets";
    let images = Images::new()?;
    let process = container(true, PORT + 1)?;
    fails_with(&images.hook("post-restore", &process)?, WORDS)?;
    dumped(&images, PORT)?;
    succeeds(&images.hook("post-restore", &container(true, PORT)?)?)?;
    // Another dump has come into the directory.
    fs::write(images.0.join("inventory.img"), "another dump")?;
    let output = images.hook("post-restore", &process)?;
    fails_with(&output, WORDS)?;
    has(process.pid(), FIRST, false, None).map(drop)
}

/// What has the number of the socket is another one.
fn takes_no_other_socket() -> Result<()> {
    let images = Images::new()?;
    dumped(&images, PORT)?;
    let process = container(true, PORT + 1)?;
    fails_with(&images.hook("post-restore", &process)?, "ESTALE")?;
    has(process.pid(), FIRST, false, None).map(drop)
}
