// SPDX-License-Identifier: GPL-2.0

//! What the kernel counts, before and after a test.
//!
//! A test that leaves more behind than it found has failed, whatever it says
//! itself. Some of the counters fall late (RCU, work queues), so that a
//! difference only counts if it stays.

use std::fs;
use std::time::{Duration, Instant};

/// How long a counter may take to come back.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// The same on the slowest machine, for what does not know how slow this one is.
pub const LONG_PATIENCE: Duration = PATIENCE.saturating_mul(12);

/// One number that must not change, and its name.
type Counter = (String, i64);

/// The counters of one moment.
#[derive(Debug, PartialEq, Eq)]
pub struct Counters(Vec<Counter>);

impl Counters {
    /// Those of the caller's network namespace and of its own files.
    pub fn inside() -> Self {
        let mut counters = Self::network();
        counters.0.extend(Self::files().0);
        counters
    }

    /// Those of the caller's network namespace.
    ///
    /// A socket that the kernel keeps although its file was closed shows here.
    pub fn network() -> Self {
        let mut counters = sockstat();
        counters.retain(|(name, _)| !OF_ALL_NAMESPACES.contains(&name.as_str()));
        let bound = fs::read_to_string("/proc/thread-self/net/udp").unwrap_or_default();
        counters.push((
            "bound UDP sockets".into(),
            i64::try_from(bound.lines().count()).unwrap_or(-1),
        ));
        Self(counters)
    }

    /// Those of the caller's own files.
    pub fn files() -> Self {
        let files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        Self(vec![(
            "open files".into(),
            i64::try_from(files).unwrap_or(-1),
        )])
    }

    /// Those of the whole machine, which say nothing of one test while others run.
    pub fn machine() -> Self {
        let mut counters = sockstat();
        counters.retain(|(name, _)| OF_ALL_NAMESPACES.contains(&name.as_str()));
        counters.push((
            "files of the system".into(),
            first_number("/proc/sys/fs/file-nr"),
        ));
        Self(counters)
    }

    /// The caller's children, to be compared when the test's process is gone.
    pub fn children() -> Self {
        let path = format!("/proc/self/task/{}/children", std::process::id());
        let text = fs::read_to_string(path).unwrap_or_default();
        let children = text.split_whitespace().count();
        Self(vec![(
            "children".into(),
            i64::try_from(children).unwrap_or(-1),
        )])
    }

    /// All that is outside of a test that runs alone.
    pub fn outside() -> Self {
        let mut counters = Self::machine();
        counters.0.extend(Self::children().0);
        counters
    }

    /// Takes the lower of both numbers, where something that was counted before has gone late.
    pub fn lower_to(&mut self, now: &Self) {
        for (mine, now) in self.0.iter_mut().zip(&now.0) {
            mine.1 = mine.1.min(now.1);
        }
    }

    /// What is more than `before`, if it still is after a while.
    pub fn grown_since(read: fn() -> Self, before: &Self, patience: Duration) -> Option<String> {
        let start = Instant::now();
        let mut pause = Duration::from_micros(200);
        let mut is_over = false;
        loop {
            let now = read();
            if now
                .0
                .iter()
                .zip(&before.0)
                .all(|(now, before)| now.1 <= before.1)
            {
                return None;
            }
            // Not what was read before a long pause of this process.
            if is_over {
                return Some(now.difference(before));
            }
            is_over = start.elapsed() > patience;
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(1));
        }
    }

    fn difference(&self, before: &Self) -> String {
        self.0
            .iter()
            .zip(&before.0)
            .filter(|(now, before)| now.1 > before.1)
            .map(|(now, before)| format!("{}: {} before, {} after", now.0, before.1, now.1))
            .collect::<Vec<_>>()
            .join("; ")
    }
}

/// What `/proc/net/sockstat` has of the whole machine.
const OF_ALL_NAMESPACES: [&str; 2] = ["TCP orphan", "TCP alloc"];

/// `/proc/net/sockstat`.
fn sockstat() -> Vec<Counter> {
    let text = fs::read_to_string("/proc/thread-self/net/sockstat").unwrap_or_default();
    let mut counters = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some(protocol) = words.next() else {
            continue;
        };
        let protocol = protocol.trim_end_matches(':');
        while let (Some(key), Some(value)) = (words.next(), words.next()) {
            // Memory is counted per CPU and in advance.
            if !matches!(key, "mem" | "memory") {
                counters.push((
                    format!("{protocol} {key}"),
                    value.parse().unwrap_or_default(),
                ));
            }
        }
    }
    counters
}

fn first_number(path: &str) -> i64 {
    fs::read_to_string(path)
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(-1)
}

const MAX_NAMESPACES: &str = "/proc/sys/user/max_net_namespaces";

/// More than this many are not counted.
const MOST: u32 = 4096;

/// Counts network namespaces by the kernel's own account of them.
///
/// The kernel shows only the limit. So the limit is lowered until a new
/// namespace is refused.
pub struct Namespaces {
    limit: String,
}

impl Namespaces {
    /// `None` where the limit cannot be changed.
    pub fn open() -> Option<Self> {
        let limit = fs::read_to_string(MAX_NAMESPACES).ok()?;
        fs::write(MAX_NAMESPACES, limit.trim()).ok()?;
        Some(Self { limit })
    }

    /// How many exist. From below: each that can be made is one too many until it is gone.
    pub fn count(&self) -> u32 {
        let count = (0..MOST).find(|count| Self::room_below(count + 1));
        self.restore_limit();
        count.unwrap_or(MOST)
    }

    /// Waits until there are no more than `count`.
    pub fn fall_to(&self, count: u32, patience: Duration) -> bool {
        let start = Instant::now();
        let mut fallen = Self::room_below(count + 1);
        while !fallen && start.elapsed() < patience {
            std::thread::sleep(Duration::from_millis(20));
            fallen = Self::room_below(count + 1);
        }
        self.restore_limit();
        fallen
    }

    fn restore_limit(&self) {
        let _ = fs::write(MAX_NAMESPACES, self.limit.trim());
    }

    /// Whether one more can be made with this limit.
    fn room_below(limit: u32) -> bool {
        if fs::write(MAX_NAMESPACES, limit.to_string()).is_err() {
            return false;
        }
        let child = crate::sys::task::fork(|| i32::from(crate::sys::namespace::try_new().is_err()));
        let Ok(mut child) = child else {
            return false;
        };
        matches!(
            child.wait(Duration::from_secs(10)),
            Ok(crate::sys::task::End::Exited(0))
        )
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        self.restore_limit();
    }
}
