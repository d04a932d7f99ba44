// SPDX-License-Identifier: GPL-2.0
//! The file system of the guest: the host's, with a layer over it that takes every write.

use rustix::{
    fs::{
        Access,
        Mode,
        access, //
    },
    io::{
        Errno,
        Result, //
    },
    mount::{
        MountFlags,
        mount,
        mount_move, //
    },
};
use std::ffi::CStr;

/// Type, place, options, and whether a process may expect it to be there.
const MOUNTS: [(&str, &str, Option<&CStr>, bool); 9] = [
    ("proc", "/proc", None, true),
    ("sysfs", "/sys", None, true),
    ("devtmpfs", "/dev", None, true),
    ("devpts", "/dev/pts", Some(c"mode=620,ptmxmode=666"), false),
    ("tmpfs", "/dev/shm", None, false),
    ("tmpfs", "/run", None, true),
    ("debugfs", "/sys/kernel/debug", None, false),
    ("securityfs", "/sys/kernel/security", None, false),
    ("cgroup2", "/sys/fs/cgroup", None, false),
];

/// Mounts everything; gives what went wrong with those that matter.
pub fn all() -> Vec<String> {
    let mut problems = Vec::new();
    let read_only = access("/", Access::WRITE_OK) == Err(Errno::ROFS);
    if let Err(error) = read_only.then(writable_root).transpose() {
        problems.push(format!("the root stays read-only: {error}"));
    }
    for (kind, place, options, needed) in MOUNTS {
        if place.starts_with("/dev/") {
            // Only in devtmpfs can it be made; anywhere else it is there or cannot be.
            make_dir(place);
        }
        match mount(kind, place, kind, MountFlags::NOSUID, options) {
            // The kernel itself has mounted /dev.
            Ok(()) | Err(Errno::BUSY) => {}
            Err(error) if needed => problems.push(format!("mount {kind} on {place}: {error}")),
            Err(_) => {}
        }
    }
    for (target, link) in [
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
    ] {
        let _ = std::os::unix::fs::symlink(target, link);
    }
    problems
}

/// Puts a layer of memory over the root and makes that the root. A tmpfs on `/tmp` would be
/// simpler, but would hide a checkout that is there.
fn writable_root() -> Result<()> {
    mount("tmpfs", "/run", "tmpfs", MountFlags::NOSUID, None)?;
    for place in ["/run/upper", "/run/work", "/run/root"] {
        make_dir(place);
    }
    let options = c"lowerdir=/,upperdir=/run/upper,workdir=/run/work";
    mount(
        "overlay",
        "/run/root",
        "overlay",
        MountFlags::empty(),
        Some(options),
    )?;
    rustix::process::chdir("/run/root")?;
    mount_move(".", "/")?;
    rustix::process::chroot(".")?;
    rustix::process::chdir("/")
}

fn make_dir(place: &str) {
    let _ = rustix::fs::mkdir(place, Mode::from_raw_mode(0o755));
}
