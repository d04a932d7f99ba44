// SPDX-License-Identifier: GPL-2.0

//! What `inetcr criu-hook` does where that is not plain.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::process::{FIRST, SECOND, has, holder_that, open};
use super::{Criu, says};
use crate::cases::recipe::Shared;
use crate::places::PORT;
use crate::sys::task::{self, Child};
use crate::sys::{signal, socket};

/// One more descriptor of the first socket.
const AGAIN: RawFd = 62;

/// A process with one such socket.
fn process() -> Result<Child> {
    holder_that(|| open(FIRST, PORT))
}

/// Processes that share a socket, one of which has it twice, and one has another socket.
pub fn shared(program: &Path) -> Result<()> {
    let criu = Criu::hooked(program, "--strict")?;
    open(FIRST, PORT)?;
    let first = task::adopt(FIRST);
    let pid_of_child = Shared::new()?;
    let mut parent = holder_that(|| {
        task::dup_onto(&first, AGAIN)?;
        let child = holder_that(|| open(SECOND, PORT + 1))?;
        pid_of_child.set(child.pid().cast_unsigned());
        child.leave();
        Ok(())
    })?;
    drop(first);
    let child = pid_of_child.get().cast_signed();

    let restored = criu.round_trip(&mut parent)?;
    let sockets = [
        has(restored.pid, FIRST, true, 1)?,
        has(restored.pid, AGAIN, true, 1)?,
        has(child, FIRST, true, 1)?,
    ];
    for socket in &sockets {
        ensure!(
            socket::inode(socket)? == socket::inode(&sockets[0])?,
            "it is not shared any more"
        );
    }
    has(child, SECOND, true, 1)?;
    signal::send(child, libc::SIGKILL)?;
    let said = criu.said("dump");
    says(
        &said,
        &format!("process {}: sockets saved: 1", restored.pid),
    )?;
    says(&said, &format!("process {child}: sockets saved: 1"))
}

/// The hook is an action script twice: nothing comes twice.
pub fn twice(program: &Path) -> Result<()> {
    let criu = Criu::hooked(program, "--strict && inetcr criu-hook --strict")?;
    // Without exec.
    let script = criu.hook.as_ref().context("no hook")?;
    fs::write(script, fs::read_to_string(script)?.replace("exec ", ""))?;
    let restored = criu.round_trip(&mut process()?)?;
    has(restored.pid, FIRST, true, 1)?;
    says(&criu.said("restore"), "was brought back before")
}

/// A dump that lets the process run does not change its socket; and what is left of it in the
/// directory of a later one is not that one's.
pub fn another_dump(program: &Path) -> Result<()> {
    let criu = Criu::hooked(program, "--strict")?;
    let mut child = process()?;
    criu.dump(child.pid(), &["--leave-running"])?;
    let socket = has(child.pid(), FIRST, true, 1)?;
    socket.recv(&mut [0; 8])?;
    drop(socket);
    let restored = criu.round_trip(&mut child)?;
    has(restored.pid, FIRST, true, 0).map(drop)
}

/// The hook is there at the restore only.
pub fn not_at_the_dump(program: &Path) -> Result<()> {
    let words = "there are no images of this checkpoint's sockets";
    let mut criu = Criu::hooked(program, "--strict")?;
    let mut child = process()?;
    let hook = criu.hook.take();
    criu.dump(child.pid(), &[])?;
    child.wait(Duration::from_secs(5))?;
    criu.hook = hook;
    ensure!(
        criu.restore(&[]).is_err(),
        "it is restored by a strict hook"
    );
    says(&criu.said("restore"), words)?;

    let script = criu.hook.as_ref().context("no hook")?;
    fs::write(script, fs::read_to_string(script)?.replace("--strict", ""))?;
    let restored = criu.restore(&[])?;
    says(&criu.said("restore"), words)?;
    has(restored.pid, FIRST, false, 0).map(drop)
}

/// Sockets of other kinds are left to CRIU, and `inetcr dump` says of a process with such sockets
/// what it cannot dump.
pub fn other_sockets(program: &Path) -> Result<()> {
    let criu = Criu::hooked(program, "--strict")?;
    let others = (
        TcpListener::bind((Ipv4Addr::LOCALHOST, PORT))?,
        UdpSocket::bind((Ipv6Addr::LOCALHOST, PORT))?,
        UnixDatagram::pair()?,
        socket::socket(libc::AF_NETLINK, libc::SOCK_RAW, 0)?,
    );
    let mut child = process()?;
    let dump = Command::new("inetcr")
        .args(["dump", "--pid", &child.pid().to_string()])
        .output()?;
    let said = String::from_utf8(dump.stderr)?;
    // Of TCP and IPv6, and nothing of the kinds that nobody asks for.
    ensure!(said.contains("2 of 3 sockets refused"), "{said}");
    ensure!(dump.status.code() == Some(1), "{}", dump.status);

    let numbers = [others.0.as_raw_fd(), others.1.as_raw_fd()];
    drop(others);
    let restored = criu.round_trip(&mut child)?;
    has(restored.pid, FIRST, true, 1)?;
    for number in numbers {
        task::take_descriptor(&restored.pidfd, number)?;
    }
    let about_others = criu.said("dump").into_iter().chain(criu.said("restore"));
    let about_others: Vec<_> = about_others.filter(|line| line.contains("not ")).collect();
    ensure!(about_others.is_empty(), "{about_others:?}");
    Ok(())
}

/// A socket that cannot be saved is a reason to give up, or is named, or may lose that.
pub fn strict(program: &Path) -> Result<()> {
    let mut child = holder_that(|| {
        open(FIRST, PORT)?;
        let socket = task::adopt(FIRST);
        socket::set_attribute(&socket, c"user.note", b"x")?;
        std::mem::forget(socket);
        Ok(())
    })?;
    {
        let criu = Criu::hooked(program, "--strict")?;
        if criu.dump(child.pid(), &[]).is_ok() {
            bail!("it is dumped by a strict hook");
        }
        says(&criu.said("dump"), "not saved")?;
        // It goes on.
        has(child.pid(), FIRST, true, 1)?;
    }
    {
        let criu = Criu::hooked(program, "--strict --allow-lost xattr")?;
        criu.dump(child.pid(), &["--leave-running"])?;
    }
    let criu = Criu::hooked(program, "")?;
    let restored = criu.round_trip(&mut child)?;
    says(&criu.said("dump"), "not saved")?;
    has(restored.pid, FIRST, false, 0).map(drop)
}
