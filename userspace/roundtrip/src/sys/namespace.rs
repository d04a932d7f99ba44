// SPDX-License-Identifier: GPL-2.0

//! Namespaces.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, RawFd};

use super::check;

/// Moves the caller into a new network namespace whose loopback is up.
pub fn new_network() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    super::link::up("lo")
}

/// Moves the caller into a new user namespace, as its root, and into a new
/// network namespace that belongs to it.
pub fn new_user_and_network() -> io::Result<()> {
    // SAFETY: no pointers.
    let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
    // SAFETY: no pointers.
    check(unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) })?;
    // Not dumpable after a change of user: /proc/self belongs to root then.
    super::task::set_dumpable()?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    super::link::up("lo")
}

/// Has the next child be the first one of a new PID namespace.
pub fn new_pid_for_children() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::unshare(libc::CLONE_NEWPID) })?;
    Ok(())
}

/// Runs `start`, whose first child is the first one of a new PID namespace.
pub fn in_new_pid<T>(start: impl FnOnce() -> T) -> io::Result<T> {
    let home = File::open("/proc/self/ns/pid")?;
    new_pid_for_children()?;
    let started = start();
    // SAFETY: no pointers.
    check(unsafe { libc::setns(home.as_raw_fd(), libc::CLONE_NEWPID) })?;
    Ok(started)
}

/// A network namespace that can be entered again.
pub struct Network(File);

impl Network {
    /// That of the calling thread.
    pub fn current() -> io::Result<Self> {
        File::open("/proc/thread-self/ns/net").map(Self)
    }

    /// That of a process.
    pub fn of(pid: libc::pid_t) -> io::Result<Self> {
        File::open(format!("/proc/{pid}/ns/net")).map(Self)
    }

    /// Moves the calling thread there.
    pub fn enter(&self) -> io::Result<()> {
        // SAFETY: no pointers.
        check(unsafe { libc::setns(self.0.as_raw_fd(), libc::CLONE_NEWNET) })?;
        Ok(())
    }
}

impl AsRawFd for Network {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Moves the caller into a new network namespace, to see whether that works.
pub fn try_new() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    Ok(())
}

/// Moves the caller into a new user namespace, and into nothing else.
pub fn new_user() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::unshare(libc::CLONE_NEWUSER) })?;
    Ok(())
}
