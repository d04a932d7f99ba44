// SPDX-License-Identifier: GPL-2.0

//! What a kernel says when something is wrong with it.
//!
//! A complaint anywhere on the console makes a run red, whatever the tests say. The patterns are
//! those that syzkaller, libbpf's CI and the kernel's own test robots look for.

mod races;

use ktap::strip_printk;

/// How many lines of the console are taken for one complaint, if its end is not marked.
const EXCERPT: usize = 40;

/// The same for the sanitisers, which end their long reports by a line of `=`.
const EXCERPT_RULED: usize = 150;

/// What a stack trace of arm64 begins with.
const TRACE_ARM64: &str = "Call trace:";

/// How a pattern is found in a message (the line without its time).
enum Find {
    /// The message begins with this.
    Start(&'static str),
    /// It is somewhere in the message.
    Part(&'static str),
    /// Both are in the message, in this order.
    Parts(&'static str, &'static str),
}

use Find::{
    Part,
    Parts,
    Start, //
};

/// What to look for, and what a person calls it. The first that fits gives the name, so what is
/// special stands before what is general.
const PATTERNS: &[(Find, &str)] = &[
    (Part("Kernel panic - not syncing"), "kernel panic"),
    (Part("rust_kernel: panicked"), "Rust panic"),
    (Part("kernel BUG at"), "BUG"),
    (Part("KASAN: "), "KASAN"),
    (Part("UBSAN: "), "UBSAN"),
    (Part("KCSAN: "), "KCSAN"),
    (Part("KMSAN: "), "KMSAN"),
    (Part("KFENCE: "), "KFENCE"),
    (
        Part("possible circular locking dependency"),
        "lockdep: circular locking",
    ),
    (
        Part("possible recursive locking"),
        "lockdep: recursive locking",
    ),
    (
        Part("irq lock inversion dependency"),
        "lockdep: lock inversion",
    ),
    (Part("lock order detected"), "lockdep: unsafe lock order"),
    (
        Part("inconsistent lock state"),
        "lockdep: inconsistent lock state",
    ),
    (Part("bad unlock balance"), "lockdep: bad unlock balance"),
    (Part("bad contention detected"), "lockdep: bad contention"),
    (Part("held lock freed"), "lockdep: held lock freed"),
    (
        Part("lock held when returning to user space"),
        "lockdep: lock held on return",
    ),
    (Part("still has locks held"), "lockdep: locks held on exit"),
    (Part("Nested lock was not taken"), "lockdep: nested lock"),
    (
        Part("Invalid wait context"),
        "lockdep: invalid wait context",
    ),
    (Part("suspicious RCU usage"), "suspicious RCU usage"),
    (
        Part("Illegal context switch in RCU"),
        "sleep in an RCU section",
    ),
    (
        Part("sleeping function called from invalid context"),
        "sleep in atomic context",
    ),
    (Part("scheduling while atomic"), "sleep in atomic context"),
    (Part("soft lockup"), "soft lockup"),
    (Part("hard LOCKUP"), "hard lockup"),
    (Part("Hard LOCKUP"), "hard lockup"),
    (Part("workqueue lockup"), "workqueue lockup"),
    (Parts("INFO: task ", "blocked for more than"), "hung task"),
    (Parts("rcu", "self-detected stall"), "RCU stall"),
    (Parts("rcu", "detected stalls on CPUs"), "RCU stall"),
    (Parts("rcu", "detected expedited stalls"), "RCU stall"),
    (Parts("rcu", "kthread starved"), "RCU stall"),
    (Parts("kmemleak", "new suspected memory leak"), "kmemleak"),
    (Part("unreferenced object 0x"), "kmemleak"),
    (Part("refcount_t: "), "reference count"),
    (Start("ref_tracker: "), "reference tracker"),
    (Part("leaked reference."), "reference tracker"),
    (
        Part("unregister_netdevice: waiting for"),
        "device reference leaked",
    ),
    (Part("detected buffer overflow"), "FORTIFY"),
    (Start("list_add corruption"), "list corruption"),
    (Start("list_del corruption"), "list corruption"),
    (Start("BUG "), "slab corruption"),
    (Part("BUG: "), "BUG"),
    (Start("Oops"), "oops"),
    (Part("Oops: "), "oops"),
    (Start("general protection fault"), "oops"),
    // Of arm64, which says `Internal error: ` next, with the words above or others.
    (Start("Unable to handle kernel"), "oops"),
    (Start("Internal error: "), "oops"),
    // Of s390, behind words for each kind of exception.
    (Parts(" ilc:", " [#"), "oops"),
    (Start("double fault"), "oops"),
    (Start("divide error:"), "oops"),
    (Start("invalid opcode:"), "oops"),
    (Start("WARNING: "), "WARNING"),
    (Part("[ cut here ]"), "WARNING"),
    (Start("Out of memory: "), "out of memory"),
    (Part("page allocation failure"), "page allocation failure"),
    (Start("Call Trace:"), "stack trace"),
    (Start(TRACE_ARM64), "stack trace"),
];

/// A message that looks like a complaint and is none, with the reason why it may be passed over.
struct Allowed {
    /// What is in one of the lines just before a stack trace, or in the line itself.
    part: &'static str,
    /// Why it does not count.
    reason: &'static str,
}

/// Kept short: each entry is a place where a real complaint could hide.
const ALLOWED: &[Allowed] = &[
    Allowed {
        part: "FAULT_INJECTION: forcing a failure",
        reason: "a test asked for this failure; the kernel shows where it happened",
    },
    // SO_ATTACH_FILTER takes the memory for its program so.
    Allowed {
        part: "roundtrip: vmalloc error: ",
        reason: "the consequence of a failure that a test asked for",
    },
    Allowed {
        part: "ref_tracker: memory allocation failure, unreliable refcount tracker",
        reason: "the consequence of a failure that a test asked for; references are still counted",
    },
];

/// One complaint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// What a person calls it.
    pub kind: &'static str,
    /// The file of the results where it is.
    pub file: &'static str,
    /// The line where it begins, from 1.
    pub line: usize,
    /// The console from there, until the complaint ends.
    pub excerpt: Vec<String>,
}

/// Looks through a whole console or log, kept as `file` in the results. Gives the complaints, and
/// why others were passed over.
pub fn scan(console: &str, file: &'static str) -> (Vec<Complaint>, Vec<String>) {
    let lines: Vec<&str> = console.lines().collect();
    let mut complaints = Vec::new();
    let mut passed = Vec::new();
    let mut next = 0;
    while let Some(line) = lines.get(next) {
        let Some(kind) = kind(strip_printk(line)) else {
            next += 1;
            continue;
        };
        if let Some(entry) = ALLOWED.iter().find(|entry| line.contains(entry.part)) {
            passed.push(format!(
                "line {}: {}: {}",
                next + 1,
                entry.part,
                entry.reason
            ));
            next += 1;
            continue;
        }
        let report = &lines[next..];
        let excerpt = &report[..length(report, kind)];
        if let Some(reason) = races::excuse(excerpt) {
            passed.push(format!(
                "line {}: {}: {reason}",
                next + 1,
                strip_printk(line)
            ));
            // What another processor says in the middle of it counts.
            next += 1;
            continue;
        }
        // The line that says so comes a little before the trace.
        let around = &lines[next.saturating_sub(6)..next];
        match ALLOWED
            .iter()
            .find(|entry| around.iter().any(|line| line.contains(entry.part)))
        {
            Some(entry) if kind == "stack trace" => {
                passed.push(format!(
                    "line {}: {}: {}",
                    next + 1,
                    entry.part,
                    entry.reason
                ));
            }
            _ => complaints.push(Complaint {
                kind: name(excerpt, kind),
                file,
                line: next + 1,
                excerpt: excerpt.iter().map(|&line| line.to_owned()).collect(),
            }),
        }
        next += excerpt.len();
    }
    (complaints, passed)
}

fn kind(message: &str) -> Option<&'static str> {
    let message = message.trim_start();
    PATTERNS
        .iter()
        .find(|(find, _)| find.matches(message))
        .map(|&(_, kind)| kind)
}

/// `[ cut here ]` and `WARNING` do not say much; the lines below them may.
fn name(excerpt: &[&str], first: &'static str) -> &'static str {
    if first != "WARNING" {
        return first;
    }
    let below = excerpt
        .iter()
        .take(4)
        .filter_map(|line| kind(strip_printk(line)));
    below
        .into_iter()
        .find(|&kind| kind != "WARNING")
        .unwrap_or(first)
}

/// How many lines belong to the complaint that begins the slice.
fn length(lines: &[&str], kind: &str) -> usize {
    if ["KASAN", "UBSAN", "KCSAN", "KMSAN", "KFENCE"].contains(&kind) {
        let ruled = lines.iter().take(EXCERPT_RULED);
        let end = ruled.skip(1).position(|line| {
            let message = strip_printk(line);
            message.starts_with("=====") || message.starts_with("---[ end trace")
        });
        if let Some(end) = end {
            return end + 2;
        }
    }
    let most = lines.len().min(EXCERPT);
    // Nothing marks the end of one of arm64, but each of its calls is set in.
    if strip_printk(lines[0]).starts_with(TRACE_ARM64) {
        let calls = lines[1..most].iter();
        let set_in = calls.take_while(|line| strip_printk(line).starts_with(' '));
        return 1 + set_in.count();
    }
    for (index, line) in lines[..most].iter().enumerate() {
        let message = strip_printk(line);
        if message.contains("---[ end trace") || message.contains("---[ end Kernel panic") {
            return index + 1;
        }
        // The end of a trace that has no marker.
        if index > 0 && message.starts_with(" </TASK>") {
            return index + 1;
        }
    }
    most
}

impl Find {
    fn matches(&self, message: &str) -> bool {
        match self {
            Start(start) => message.starts_with(start),
            Part(part) => message.contains(part),
            Parts(first, second) => message
                .split_once(first)
                .is_some_and(|(_, rest)| rest.contains(second)),
        }
    }
}

#[cfg(test)]
mod tests;
