// SPDX-License-Identifier: GPL-2.0

//! Control groups, as far as it takes to freeze processes, and to know who is where and uses how
//! much memory.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where they are.
const ROOT: &str = "/sys/fs/cgroup";

/// A control group, which is removed when this is dropped.
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes a control group.
    pub fn new(name: &str) -> io::Result<Self> {
        let place = Path::new(ROOT).join(name);
        fs::create_dir(&place)?;
        Ok(Self(place))
    }

    /// Makes a control group that counts memory, if the kernel can do that.
    pub fn with_memory(name: &str) -> io::Result<Self> {
        let root = Path::new(ROOT);
        if fs::read_to_string(root.join("cgroup.controllers"))?.contains("memory") {
            fs::write(root.join("cgroup.subtree_control"), "+memory")?;
        }
        Self::new(name)
    }

    /// Moves the calling process there, until this is dropped at the latest.
    pub fn enter(&self) -> io::Result<()> {
        // That is what 0 means.
        self.take(0)
    }

    /// The identifier, which is an inode number on machines of 64 bits.
    pub fn id(&self) -> io::Result<u64> {
        Ok(fs::metadata(&self.0)?.ino())
    }

    /// How many bytes are charged to it, if the kernel counts that ([`Self::with_memory`]).
    pub fn memory(&self) -> io::Result<Option<u64>> {
        match fs::read_to_string(self.0.join("memory.current")) {
            Ok(text) => text.trim().parse().map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Moves a process there.
    pub fn take(&self, pid: libc::pid_t) -> io::Result<()> {
        fs::write(self.0.join("cgroup.procs"), pid.to_string())
    }

    /// Freezes the processes, and waits until they do nothing any more.
    pub fn freeze(&self) -> io::Result<()> {
        fs::write(self.0.join("cgroup.freeze"), "1")?;
        let start = Instant::now();
        while !fs::read_to_string(self.0.join("cgroup.events"))?.contains("frozen 1") {
            if start.elapsed() > Duration::from_secs(10) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if fs::remove_dir(&self.0).is_err() {
            // It may be this process that is in there.
            let _ = fs::write(Path::new(ROOT).join("cgroup.procs"), "0");
            let _ = fs::remove_dir(&self.0);
        }
    }
}
