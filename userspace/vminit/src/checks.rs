// SPDX-License-Identifier: GPL-2.0
//! What is looked at when the job is over.

use crate::{
    job::Job,
    ports::Report, //
};
use std::{
    fs,
    thread,
    time::Duration, //
};

const KMEMLEAK: &str = "/sys/kernel/debug/kmemleak";

/// An object counts as leaked only when it is older than 5 s (`MSECS_MIN_AGE` of the kernel).
const KMEMLEAK_AGE: Duration = Duration::from_millis(5_300);

/// How long the kernel may take to free what it frees late (RCU, work queues).
const PATIENCE: Duration = Duration::from_secs(5);

/// Numbers of the kernel that must be the same before and after.
#[derive(Debug, PartialEq, Eq)]
pub struct Counters {
    /// `/proc/sys/kernel/tainted`.
    pub taint: String,
    /// Sockets in use, as `/proc/net/sockstat` counts them.
    pub sockets: u64,
}

impl Counters {
    /// Reads them in a guest where nothing has begun yet.
    pub fn settled() -> Self {
        let mut now = Self::read();
        // The socket that switched the loopback device on is freed a little after its end, and
        // counted as one of those before it would hide one that leaked.
        for _ in 0..30 {
            if now.sockets == 0 {
                break;
            }
            thread::sleep(Duration::from_millis(10));
            now = Self::read();
        }
        now
    }

    /// Reads them now.
    pub fn read() -> Self {
        let taint = fs::read_to_string("/proc/sys/kernel/tainted").unwrap_or_default();
        let sockstat = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
        let sockets = sockstat
            .lines()
            .find_map(|line| line.strip_prefix("sockets: used "))
            .and_then(|number| number.trim().parse().ok())
            .unwrap_or_default();
        Self {
            taint: taint.trim().to_owned(),
            sockets,
        }
    }
}

/// Compares with the numbers of before and looks for leaked memory.
pub fn after(before: &Counters, job: &Job, report: &mut Report) {
    let step = Duration::from_millis(100);
    let mut waited = Duration::ZERO;
    let mut now = Counters::read();
    while now.sockets > before.sockets && waited < PATIENCE && !job.console {
        thread::sleep(step);
        waited = waited.saturating_add(step);
        now = Counters::read();
    }
    report.say("sockets", &format!("{} {}", before.sockets, now.sockets));
    if job.kmemleak && fs::exists(KMEMLEAK).unwrap_or(false) {
        kmemleak(report);
    }
    report.say("taint-after", &Counters::read().taint);
}

/// Scans twice: the first scan only notes what an object holds, and what the second still finds
/// alone, unchanged and old enough is leaked.
fn kmemleak(report: &mut Report) {
    for pause in [Duration::ZERO, KMEMLEAK_AGE] {
        thread::sleep(pause);
        if let Err(error) = fs::write(KMEMLEAK, "scan") {
            report.say("kmemleak", &format!("cannot scan: {error}"));
            return;
        }
    }
    match fs::read_to_string(KMEMLEAK) {
        Ok(found) if found.trim().is_empty() => report.say("kmemleak-clean", ""),
        Ok(found) => found
            .lines()
            .take(200)
            .for_each(|line| report.say("kmemleak", line)),
        Err(error) => report.say("kmemleak", &format!("cannot read: {error}")),
    }
}
