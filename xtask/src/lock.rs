// SPDX-License-Identifier: GPL-2.0

//! One run at a time, where two would harm each other.

use crate::ui;
use anyhow::{
    Context,
    Result, //
};
use fs_err as fs;
use std::{
    fs::{
        File,
        TryLockError, //
    },
    io::{
        Read as _,
        Seek as _,
        Write as _, //
    },
    path::Path,
};

/// A lock file that is held. The kernel lets go of it when the process ends, however it ends.
#[must_use]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock, waiting (aloud) for the run that has it. `why` is what others are told.
    pub fn take(path: &Path, why: &str) -> Result<Self> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .with_context(|| format!("cannot open the lock {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder)?;
                ui::note(&format!("waiting for another run: {}", holder.trim()));
                file.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{why} (process {})", std::process::id())?;
        Ok(Self { file })
    }

    /// Lets the programs that are started from now on hold the lock too: if this process is
    /// killed, the next run waits until they have ended.
    pub fn with_children(self) -> Result<Self> {
        rustix::io::fcntl_setfd(&self.file, rustix::io::FdFlags::empty())?;
        Ok(self)
    }
}
