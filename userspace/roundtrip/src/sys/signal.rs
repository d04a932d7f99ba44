// SPDX-License-Identifier: GPL-2.0

//! Signals, and who gets those of a socket.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use super::{check, socket};

const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;
const F_SETOWN_EX: i32 = 15;
const F_GETOWN_EX: i32 = 16;

/// `F_OWNER_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerType {
    Thread = 0,
    Process = 1,
    Group = 2,
}

/// `struct f_owner_ex`.
#[repr(C)]
struct OwnerEx {
    kind: i32,
    pid: i32,
}

/// Sets the owner of a socket.
pub fn set_owner(fd: &impl AsRawFd, kind: OwnerType, pid: i32) -> io::Result<()> {
    let kind = kind as i32;
    let owner = OwnerEx { kind, pid };
    // SAFETY: the kernel reads one f_owner_ex.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), F_SETOWN_EX, &raw const owner) })?;
    Ok(())
}

/// The owner of a socket, as a type (`F_OWNER_*`) and a number.
pub fn owner(fd: &impl AsRawFd) -> io::Result<(i32, i32)> {
    let mut owner = OwnerEx { kind: 0, pid: 0 };
    // SAFETY: the kernel writes one f_owner_ex.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), F_GETOWN_EX, &raw mut owner) })?;
    Ok((owner.kind, owner.pid))
}

/// Chooses the signal that the owner gets.
pub fn set_signal(fd: &impl AsRawFd, signum: i32) -> io::Result<()> {
    socket::fcntl(fd, F_SETSIG, signum).map(drop)
}

/// The signal that the owner gets.
pub fn signal(fd: &impl AsRawFd) -> io::Result<i32> {
    socket::fcntl(fd, F_GETSIG, 0)
}

/// `kill(2)`.
pub fn send(pid: i32, signum: i32) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::kill(pid, signum) })?;
    Ok(())
}

/// The process group of the caller.
pub fn group() -> i32 {
    // SAFETY: no pointers.
    unsafe { libc::getpgrp() }
}

fn set(signum: i32) -> libc::sigset_t {
    // SAFETY: all zeroes is a set, which is made empty, and the number is one of a signal.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signum);
        set
    }
}

/// Keeps a signal from being delivered, so that it can be waited for.
pub fn block(signum: i32) -> io::Result<()> {
    let set = set(signum);
    // SAFETY: one set, and no place for the old one.
    check(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) })?;
    Ok(())
}

/// Waits for a blocked signal of a socket, and tells by which descriptor it came (`si_fd`).
pub fn wait(signum: i32, time: Duration) -> io::Result<Option<RawFd>> {
    let set = set(signum);
    // SAFETY: all zeroes is a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let time = libc::timespec {
        tv_sec: libc::time_t::try_from(time.as_secs()).map_err(io::Error::other)?,
        tv_nsec: libc::c_long::from(time.subsec_nanos().cast_signed()),
    };
    // SAFETY: one set, one siginfo_t to fill, and one timespec.
    match check(unsafe { libc::sigtimedwait(&raw const set, &raw mut info, &raw const time) }) {
        Ok(_) => {}
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => return Ok(None),
        Err(error) => return Err(error),
    }
    // SAFETY: si_band and behind it si_fd are 16 bytes from the start.
    let fd = unsafe { (&raw const info).cast::<i32>().add(6).read() };
    Ok(Some(fd))
}
