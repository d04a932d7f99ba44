// SPDX-License-Identifier: GPL-2.0
//! How many files this program may have open.

use std::os::fd::RawFd;

use anyhow::{Context as _, bail};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit as it was found. Sockets and processes are held by descriptors, so it is raised as far as
/// this program may; what is run after it gets the old one back.
pub(super) struct FileLimit {
    found: Rlimit,
    is_raised: bool,
}

impl FileLimit {
    pub(super) fn raise() -> anyhow::Result<Self> {
        let found = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: found.maximum,
            ..found
        };
        let is_raised = match setrlimit(Resource::Nofile, raised) {
            Ok(()) => true,
            // fs.nr_open was lowered below the hard limit, which cannot be set since then, not even
            // to what it is. If too few can be open, that is said when it is so.
            Err(Errno::PERM) => false,
            Err(error) => return Err(error).context("cannot raise the limit of open files"),
        };
        Ok(Self { found, is_raised })
    }

    pub(super) fn put_back(&self) -> anyhow::Result<()> {
        if !self.is_raised {
            return Ok(());
        }
        setrlimit(Resource::Nofile, self.found).context("cannot put back the limit of open files")
    }

    /// Sees that a program that has this limit can have the descriptors below this one.
    pub(super) fn allows(&self, end: RawFd) -> anyhow::Result<()> {
        match self.found.current {
            Some(most) if u64::try_from(end)? > most => bail!(
                "COMMAND would have descriptors up to {}, and may have {most} open: `ulimit -n {end}` \
                 lets it",
                end - 1
            ),
            _ => Ok(()),
        }
    }
}
