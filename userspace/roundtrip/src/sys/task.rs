// SPDX-License-Identifier: GPL-2.0

//! Processes, their descriptors and their privileges.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::AtomicU32;
use std::time::Duration;
use std::{ptr, slice};

use super::check;

/// Number of `CAP_SETUID`.
pub const CAP_SETUID: u32 = 7;
/// Number of `CAP_NET_BIND_SERVICE`.
pub const CAP_NET_BIND_SERVICE: u32 = 10;
/// Number of `CAP_NET_ADMIN`.
pub const CAP_NET_ADMIN: u32 = 12;
/// Number of `CAP_NET_RAW`.
pub const CAP_NET_RAW: u32 = 13;
/// Number of `CAP_SYS_PTRACE`.
pub const CAP_SYS_PTRACE: u32 = 19;

/// A child process that is killed and reaped when this is dropped.
pub struct Child {
    pid: libc::pid_t,
    pidfd: OwnedFd,
    status: Option<i32>,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Exited(i32),
    Killed(i32),
    /// Still running when the time was up.
    Running,
}

/// `fork(2)`; `body` runs in the child and gives its exit code.
///
/// The child leads a process group of its own and dies with its parent. It
/// never returns from here and runs no destructor but those of `body`.
pub fn fork(body: impl FnOnce() -> i32) -> io::Result<Child> {
    // The child waits until its parent has all that it opens for it: else a test that counts the
    // files of the machine may begin with one too few.
    let (mut reader, mut writer) = io::pipe()?;
    // SAFETY: the caller has one thread, so that no lock is held by another.
    let pid = check(unsafe { libc::fork() })?;
    if pid == 0 {
        // SAFETY: no pointers.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::setpgid(0, 0);
        }
        drop(writer);
        // To its end: the parent's side is gone then.
        let may_go = reader
            .read_to_end(&mut Vec::new())
            .is_ok_and(|read| read == 1);
        drop(reader);
        let body = || {
            if may_go {
                crate::cover::of_child(body)
            } else {
                101
            }
        };
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(101);
        // SAFETY: leaves without running the parent's exit handlers.
        unsafe { libc::_exit(code) }
    }
    drop(reader);
    let pidfd = pidfd_open(pid)?;
    writer.write_all(&[0])?;
    drop(writer);
    Ok(Child {
        pid,
        pidfd,
        status: None,
    })
}

/// Lets the calling process, which [`fork`] has made, go on when its parent has ended.
pub fn outlive_parent() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0, 0, 0, 0) })?;
    Ok(())
}

/// Memory that is shared with the children of the caller: numbers that are 0.
pub fn shared(count: usize) -> io::Result<&'static [AtomicU32]> {
    let len = count * size_of::<AtomicU32>();
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: maps new memory at no place that was asked for.
    let place = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, -1, 0) };
    if place == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the memory is zeros, as long as this, aligned to a page, and never unmapped.
    Ok(unsafe { slice::from_raw_parts(place.cast(), count) })
}

/// Runs `body` in a child, which tells on stderr why it fails, and waits for it.
///
/// A test that takes too long is ended by the runner.
pub fn run_in_child(body: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut child = fork(|| match body() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error:#}");
            1
        }
    })?;
    let end = child.wait(Duration::from_secs(600))?;
    anyhow::ensure!(end == End::Exited(0), "the child: {end:?}");
    Ok(())
}

impl Child {
    pub fn pidfd(&self) -> &OwnedFd {
        &self.pidfd
    }

    pub fn pid(&self) -> libc::pid_t {
        self.pid
    }

    /// Has it go on when this is dropped.
    pub fn leave(mut self) {
        self.status = Some(0);
    }

    /// Waits until the child ends or the time is up.
    pub fn wait(&mut self, time: Duration) -> io::Result<End> {
        if self.status.is_none() && super::socket::readable(&self.pidfd, time)? {
            let mut status = 0;
            // SAFETY: the kernel writes one int.
            check(unsafe { libc::waitpid(self.pid, &raw mut status, 0) })?;
            self.status = Some(status);
        }
        Ok(match self.status {
            None => End::Running,
            Some(status) if libc::WIFEXITED(status) => End::Exited(libc::WEXITSTATUS(status)),
            Some(status) => End::Killed(libc::WTERMSIG(status)),
        })
    }

    /// Kills the child's whole process group.
    pub fn kill(&mut self) {
        // SAFETY: no pointers. The group is the child's own, see fork().
        unsafe {
            libc::kill(-self.pid, libc::SIGKILL);
            libc::kill(self.pid, libc::SIGKILL);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.status.is_none() {
            self.kill();
            // A child that cannot die (a hung kernel) must not stop the runner.
            let _ = self.wait(Duration::from_secs(2));
        }
    }
}

/// Leaves a process behind that has copies of all descriptors, for as long as the process `who`
/// lives. It neither dies with the caller nor belongs to its process group.
pub fn outlive_until_end_of(who: u32) -> io::Result<()> {
    let who = pidfd_open(who.cast_signed())?;
    // SAFETY: the caller has one thread, so that no lock is held by another.
    let pid = check(unsafe { libc::fork() })?;
    if pid == 0 {
        let _ = super::socket::readable(&who, Duration::from_secs(600));
        // SAFETY: leaves without running a destructor.
        unsafe { libc::_exit(0) }
    }
    // Here and not in the child, which may not have run yet when the caller's group is killed.
    // SAFETY: no pointers.
    check(unsafe { libc::setpgid(pid, pid) })?;
    Ok(())
}

/// Takes a child into the process group of the caller.
pub fn join_group(child: libc::pid_t) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::setpgid(child, libc::getpgrp()) })?;
    Ok(())
}

/// Ends the calling thread, and no other one of its process.
pub fn end_thread() -> ! {
    // SAFETY: no pointers. Of a thread that does not return, nothing is freed.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    unreachable!("exit(2) has returned")
}

/// The number of the calling thread.
pub fn thread_id() -> u32 {
    // SAFETY: no pointers.
    unsafe { libc::gettid() }.cast_unsigned()
}

/// Kills the process that started this one.
pub fn kill_parent() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::kill(libc::getppid(), libc::SIGKILL) })?;
    Ok(())
}

/// `pidfd_open(2)`.
pub fn pidfd_open(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = check(i32::try_from(fd).unwrap_or(-1))?;
    // SAFETY: the kernel just made the descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An anonymous file.
pub fn memfd() -> io::Result<std::fs::File> {
    // SAFETY: a constant C string.
    let fd = check(unsafe { libc::memfd_create(c"output".as_ptr(), libc::MFD_CLOEXEC) })?;
    // SAFETY: the kernel just made the descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
}

/// `dup2(2)`.
pub fn dup_onto(fd: &impl AsRawFd, target: RawFd) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::dup2(fd.as_raw_fd(), target) })?;
    Ok(())
}

/// Closes all descriptors but those of input, output and errors, whoever owns them: for a child that
/// neither uses nor drops what its parent had open.
pub fn close_all_but_standard() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::close_range(3, libc::c_uint::MAX, 0) })?;
    Ok(())
}

/// Owns a descriptor that the kernel installed for this process.
pub fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: the caller has it from a reply of the kernel, nobody owns it yet.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Limits the number of descriptors.
pub fn limit_files(count: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: count,
        rlim_max: count,
    };
    // SAFETY: one rlimit.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(())
}

/// Allows ptrace of the process to its equals, again.
pub fn set_dumpable() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) })?;
    Ok(())
}

/// Allows ptrace of the process to nobody without `CAP_SYS_PTRACE`.
pub fn set_undumpable() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })?;
    Ok(())
}

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

/// Drops capabilities from the effective and the permitted set.
pub fn drop_capabilities(capabilities: &[u32]) -> io::Result<()> {
    let mut header = CapHeader {
        version: 0x2008_0522,
        pid: 0,
    };
    // effective, permitted, inheritable of the low and of the high half.
    let mut data = [0_u32; 6];
    // SAFETY: version 3 reads and writes two triples.
    check(
        i32::try_from(unsafe {
            libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr())
        })
        .unwrap_or(-1),
    )?;
    for capability in capabilities {
        let half = if *capability < 32 { 0 } else { 3 };
        let bit = 1_u32 << (capability % 32);
        data[half] &= !bit;
        data[half + 1] &= !bit;
    }
    // SAFETY: as above.
    check(
        i32::try_from(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) })
            .unwrap_or(-1),
    )?;
    Ok(())
}

/// `fchown(2)`, of the user only.
pub fn give_to(fd: &impl AsRawFd, user: u32) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::fchown(fd.as_raw_fd(), user, u32::MAX) })?;
    Ok(())
}

/// Has files, and sockets, of the calling thread made as another user.
pub fn set_file_system_user(id: u32) -> io::Result<()> {
    // SAFETY: no pointers. The call tells nothing but the user of before.
    unsafe { libc::setfsuid(id) };
    // SAFETY: as above.
    let now = unsafe { libc::setfsuid(u32::MAX) };
    if now.cast_unsigned() == id {
        Ok(())
    } else {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

/// Changes all user and group identifiers, and forgets other groups.
pub fn become_user(id: u32) -> io::Result<()> {
    // SAFETY: no pointers but a null one with length 0.
    unsafe {
        check(libc::setgroups(0, std::ptr::null()))?;
        check(libc::setresgid(id, id, id))?;
        check(libc::setresuid(id, id, id))?;
    }
    Ok(())
}

/// Keeps the calling thread on the processor that it is on.
pub fn stay_on_one_processor() -> io::Result<()> {
    // SAFETY: all zeroes is an empty set, and the number is that of a processor.
    let set = unsafe {
        let processor = check(libc::sched_getcpu())?;
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(usize::try_from(processor).unwrap_or_default(), &mut set);
        set
    };
    // SAFETY: one set of that size.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) })?;
    Ok(())
}

/// The number that the next descriptor gets.
pub fn lowest_free_descriptor() -> io::Result<RawFd> {
    let file = memfd()?;
    Ok(file.as_raw_fd())
}

/// `pidfd_getfd(2)`.
pub fn take_descriptor(pidfd: &impl AsRawFd, fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) };
    let fd = check(i32::try_from(fd).unwrap_or(-1))?;
    // SAFETY: the kernel just made the descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
