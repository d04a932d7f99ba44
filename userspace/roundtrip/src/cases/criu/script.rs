// SPDX-License-Identifier: GPL-2.0

//! `inetcr criu-hook` without CRIU: processes in its stead, that it would have dumped and restored.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::RawFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::process::{FIRST, SECOND, has, holder, holder_that, open};
use crate::places::PORT;
use crate::runner::Test;
use crate::sys::task::{self, Child};
use crate::sys::{namespace, signal, socket};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("criu_hook::completes", completes).slow(),
        Test::new("criu_hook::needs_its_dump", needs_its_dump).slow(),
        Test::new("criu_hook::takes_no_other_socket", takes_no_other_socket).slow(),
        Test::new("criu_hook::other_networks", other_networks).slow(),
        Test::new("criu_hook::one_of_several", one_of_several).slow(),
        Test::new("criu_hook::copied_in_part", copied_in_part).slow(),
        Test::new("criu_hook::streamed", streamed).slow(),
        Test::new("criu_hook::lost", lost).slow(),
        Test::new("criu_hook::no_room_for_an_image", no_room_for_an_image).slow(),
        Test::new("criu_hook::no_room_for_a_note", no_room_for_a_note).slow(),
    ]
}

/// What tells dumps from each other.
const RUNS: [&str; 2] = [
    "9e9e4a3e-6f4f-4f5e-9b1e-2f2f6f0a7c11",
    "2b1d4b8c-0d0f-4c57-8a6c-6f4f5e9b1e2f",
];

/// A directory of images.
struct Images(PathBuf);

impl Images {
    fn new() -> Result<Self> {
        let dir = PathBuf::from(format!("/tmp/images-{}", std::process::id()));
        fs::create_dir(&dir)?;
        fs::write(dir.join("inventory.img"), RUNS[0])?;
        Ok(Self(dir))
    }

    /// Where those of sockets are.
    fn of_sockets(&self) -> Result<PathBuf> {
        let mut files = fs::read_dir(&self.0)?.filter_map(|entry| Some(entry.ok()?.path()));
        let dir = files.find(|path| path.is_dir());
        dir.context("no images of sockets")
    }

    /// Runs the hook as CRIU does.
    fn hook(&self, action: &str, root: &Child) -> Result<Output> {
        self.hook_with(&["--strict"], action, root)
    }

    fn hook_with(&self, options: &[&str], action: &str, root: &Child) -> Result<Output> {
        let mut command = Command::new("inetcr");
        self.run(command.arg("criu-hook").args(options), action, root)
    }

    /// The same, with room for so many blocks in each file.
    fn hook_in_room(&self, blocks: u32, action: &str, root: &Child) -> Result<Output> {
        // Who writes more is told, instead of killed.
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec inetcr criu-hook --strict");
        self.run(Command::new("sh").args(["-c", &script]), action, root)
    }

    fn run(&self, command: &mut Command, action: &str, root: &Child) -> Result<Output> {
        Ok(command
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
    container_that(|| have(by_criu, FIRST, port))
}

fn container_that(prepare: impl FnOnce() -> Result<()>) -> Result<Child> {
    namespace::in_new_pid(|| holder_that(prepare))?
}

fn have(by_criu: bool, at: RawFd, port: u16) -> Result<()> {
    if !by_criu {
        return open(at, port);
    }
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?;
    Ok(task::dup_onto(&socket, at)?)
}

/// The one child of a process that lives.
fn child_of(pid: i32) -> Result<i32> {
    let line = format!("PPid:\t{pid}");
    let numbers = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| {
            let status = fs::read_to_string(format!("/proc/{number}/status"));
            status.is_ok_and(|status| {
                status.lines().any(|found| found == line) && !status.contains("State:\tZ")
            })
        });
    let numbers: Vec<i32> = numbers.collect();
    ensure!(numbers.len() == 1, "children of {pid}: {numbers:?}");
    Ok(numbers[0])
}

fn another_network() -> Result<()> {
    Ok(namespace::new_network()?)
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
    has(process.pid(), FIRST, true, 1).map(drop)
}

fn completes() -> Result<()> {
    let images = Images::new()?;
    dumped(&images, PORT)?;
    let process = container(true, PORT)?;
    // What is not ours to do.
    for action in ["pre-restore", "setup-namespaces", "pre-resume"] {
        succeeds(&images.hook(action, &process)?)?;
    }
    has(process.pid(), FIRST, false, 0)?;
    // Twice, and nothing comes twice.
    for _ in 0..2 {
        succeeds(&images.hook("post-restore", &process)?)?;
        has(process.pid(), FIRST, true, 1)?;
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
    fs::write(images.0.join("inventory.img"), RUNS[1])?;
    let output = images.hook("post-restore", &process)?;
    fails_with(&output, WORDS)?;
    has(process.pid(), FIRST, false, 0).map(drop)
}

/// What has the number of the socket is another one.
fn takes_no_other_socket() -> Result<()> {
    let images = Images::new()?;
    dumped(&images, PORT)?;
    let process = container(true, PORT + 1)?;
    fails_with(&images.hook("post-restore", &process)?, "ESTALE")?;
    has(process.pid(), FIRST, false, 0).map(drop)
}

/// A process in another network namespace has sockets of the first one: those of other kinds are
/// CRIU's, and what is saved with another process is saved.
fn other_networks() -> Result<()> {
    let images = Images::new()?;
    let others = (
        TcpListener::bind((Ipv4Addr::LOCALHOST, PORT))?,
        UnixDatagram::pair()?,
    );
    let process = container_that(|| {
        open(FIRST, PORT)?;
        holder_that(another_network)?.leave();
        Ok(())
    })?;
    succeeds(&images.hook("post-dump", &process)?)?;
    drop(process);

    // Who is there is the only one that has it.
    let process = container_that(|| {
        open(FIRST, PORT)?;
        another_network()
    })?;
    drop(others);
    fails_with(&images.hook("post-dump", &process)?, "1 named above")
}

/// What is wrong about a process is no reason to give up the others.
fn one_of_several() -> Result<()> {
    let images = Images::new()?;
    let processes = |by_criu| {
        container_that(move || {
            have(by_criu, FIRST, PORT)?;
            holder_that(|| have(by_criu, SECOND, PORT + 1))?.leave();
            Ok(())
        })
    };
    succeeds(&images.hook("post-dump", &processes(false)?)?)?;
    fs::write(images.of_sockets()?.join("1.img"), "no image")?;

    let process = processes(true)?;
    let output = images.hook_with(&[], "post-restore", &process)?;
    succeeds(&output)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(said.contains("process 1: "), "{said}");
    has(process.pid(), FIRST, false, 0)?;
    has(child_of(process.pid())?, SECOND, true, 1)?;
    fails_with(&images.hook("post-restore", &process)?, "1 named above")
}

/// The image of a process that lives is missing; one that has ended has none.
fn copied_in_part() -> Result<()> {
    let images = Images::new()?;
    let processes = |by_criu| {
        container_that(move || {
            ended()?;
            have(by_criu, FIRST, PORT)?;
            holder_that(|| have(by_criu, SECOND, PORT + 1))?.leave();
            Ok(())
        })
    };
    succeeds(&images.hook("post-dump", &processes(false)?)?)?;
    let process = processes(true)?;
    succeeds(&images.hook("post-restore", &process)?)?;
    drop(process);

    fs::remove_file(images.of_sockets()?.join("1.img"))?;
    let process = processes(true)?;
    let output = images.hook("post-restore", &process)?;
    fails_with(&output, "process 1: there is no image of its sockets")?;
    fails_with(&output, "1 named above")?;
    has(child_of(process.pid())?, SECOND, true, 1).map(drop)
}

/// A child that has ended, and that nobody has asked how.
fn ended() -> Result<()> {
    let child = task::fork(|| 0)?;
    ensure!(
        socket::readable(child.pidfd(), Duration::from_secs(5))?,
        "it runs"
    );
    child.leave();
    Ok(())
}

/// CRIU has sent its images somewhere else.
fn streamed() -> Result<()> {
    let images = Images::new()?;
    fs::remove_file(images.0.join("inventory.img"))?;
    let process = container(false, PORT)?;
    fails_with(&images.hook("post-dump", &process)?, "streamed")?;
    fs::write(images.0.join("inventory.img"), "of an old CRIU")?;
    fails_with(&images.hook("post-dump", &process)?, "newer CRIU")
}

/// What a dump was allowed to lose, a restore has to be allowed, too.
fn lost() -> Result<()> {
    const ALLOWED: [&str; 3] = ["--strict", "--allow-lost", "xattr"];
    let images = Images::new()?;
    let process = container_that(|| {
        open(FIRST, PORT)?;
        Ok(socket::set_attribute(&FIRST, c"user.note", b"x")?)
    })?;
    fails_with(&images.hook("post-dump", &process)?, "allow-lost xattr")?;
    succeeds(&images.hook_with(&ALLOWED, "post-dump", &process)?)?;
    drop(process);
    let process = container(true, PORT)?;
    fails_with(&images.hook("post-restore", &process)?, "lost: xattr")?;
    has(process.pid(), FIRST, false, 0)?;
    // What has failed is not taken for done.
    succeeds(&images.hook_with(&ALLOWED, "post-restore", &process)?)?;
    has(process.pid(), FIRST, true, 1).map(drop)
}

/// A socket is in the image of another process if there is none of the first that has it.
fn no_room_for_an_image() -> Result<()> {
    let images = Images::new()?;
    let processes = |by_criu| {
        container_that(move || {
            have(by_criu, FIRST, PORT)?;
            holder()?.leave();
            full(SECOND, PORT + 1)
        })
    };
    let process = processes(false)?;
    let output = images.hook_in_room(16, "post-dump", &process)?;
    fails_with(&output, "process 1: not saved: ")?;
    fails_with(&output, "1 named above")?;
    drop(process);
    let process = processes(true)?;
    succeeds(&images.hook_with(&[], "post-restore", &process)?)?;
    has(process.pid(), FIRST, true, 1).map(drop)
}

/// A socket with more than a small file takes.
fn full(at: RawFd, port: u16) -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?;
    // It does not become less by compression.
    let mut payload = vec![0; 60_000];
    fs::File::open("/dev/urandom")?.read_exact(&mut payload)?;
    socket.send_to(&payload, (Ipv4Addr::LOCALHOST, port))?;
    Ok(task::dup_onto(&socket, at)?)
}

/// That something is brought back is no matter of whether that can be noted.
fn no_room_for_a_note() -> Result<()> {
    let images = Images::new()?;
    dumped(&images, PORT)?;
    let process = container(true, PORT)?;
    let output = images.hook_in_room(0, "post-restore", &process)?;
    succeeds(&output)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(said.contains("completed-"), "{said}");
    has(process.pid(), FIRST, true, 1).map(drop)
}
