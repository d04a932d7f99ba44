// SPDX-License-Identifier: GPL-2.0
//! What a job has started and left behind.

use rustix::{
    io::Errno,
    process::{
        Pid,
        Signal,
        WaitOptions,
        kill_process,
        wait, //
    },
};
use std::{
    fs, thread,
    time::{
        Duration,
        Instant, //
    },
};

/// How long a process may take to be gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ends all processes but this one, and waits until they are gone: orphans are children of the
/// first process.
pub fn end() {
    let from = Instant::now();
    while from.elapsed() < PATIENCE {
        for process in processes() {
            let _ = kill_process(process, Signal::KILL);
        }
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => thread::sleep(Duration::from_millis(10)),
            Err(_) => return,
        }
    }
}

/// All of them, the kernel's own threads too, which a signal does not touch.
fn processes() -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
        .filter(|process| *process != Pid::INIT)
        .collect()
}
