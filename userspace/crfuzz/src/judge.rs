// SPDX-License-Identifier: GPL-2.0

//! What has to hold, whatever is sent. These are the rules, and what is excused by them.
//!
//! - Each message that asks for an answer gets it, before the call that sends it returns (this one
//!   is in `session.rs`).
//! - Answers are well-formed, and a refusal says why in words.
//! - Who has no privilege gets nothing.
//! - A socket that was restored can be dumped, and restored from that again, and is the same then,
//!   along with all that waits in it.
//! - A socket that was amended is what the message says, but for what was reported, and after a
//!   refusal it is what it was: see [`amended`].
//! - No descriptor stays behind, and no socket, and not much of the kernel's memory.
//! - Much of what is sent is done: a kernel that refuses all is not a good one.

pub mod amended;
mod state;

use std::fs;
use std::time::{Duration, Instant};

use crate::live;
use crate::session::{Answer, Counts};
use crate::slab::Objects;
use crate::sys;

/// What is wrong.
pub type Wrong = String;

/// From which error number on they are those that the kernel keeps to itself.
const INTERNAL: i32 = 512;

/// The end of an answer.
pub fn ended(answer: &Answer, powerless: bool) -> Result<(), Wrong> {
    if answer.errno == 0 {
        if powerless && answer.known {
            return Err(format!("command {} did what nobody asked", answer.command));
        }
        return Ok(());
    }
    if !(1..4096).contains(&answer.errno) {
        return Err(format!("the error number {}", answer.errno));
    }
    if answer.known && answer.errno >= INTERNAL {
        return Err(format!(
            "the error number {}, which is internal",
            answer.errno
        ));
    }
    let silent = match answer.errno {
        libc::ENOMEM | libc::ENOBUFS => true,
        // Who lacks the one privilege that all of it needs learns no more.
        libc::EPERM => powerless,
        // Another dump is not over yet.
        libc::EBUSY => answer.many,
        _ => false,
    };
    if answer.known && answer.words.is_none() && !silent {
        return Err(format!(
            "command {} is refused without a word: errno {} (message {})",
            answer.command, answer.errno, answer.sequence
        ));
    }
    Ok(())
}

/// A message of an answer before its end.
pub fn told(answer: &Answer, powerless: bool) -> Result<(), Wrong> {
    if powerless {
        return Err(format!(
            "command {} told something to nobody",
            answer.command
        ));
    }
    Ok(())
}

/// Whether it is no fault of the kernel that what it dumped cannot be restored: the address is
/// taken, or the memory for the queue is.
pub fn may_be_refused(errno: i32) -> bool {
    [libc::EADDRINUSE, libc::ENOMEM, libc::ENOBUFS].contains(&errno)
}

/// What a socket was dumped to, and what its copy was: state, and all that waits. An empty state is
/// one that could not be dumped.
pub fn same(
    state: &[u8],
    queue: &[Vec<u8>],
    other: &[u8],
    other_queue: &[Vec<u8>],
) -> Result<(), Wrong> {
    if state != other || queue != other_queue {
        return Err("a socket is another one after a dump and a restore".to_owned());
    }
    Ok(())
}

/// What there has to be, of a thousand messages that are no checks. About half of what there is
/// with many seeds, so that a kernel, or a change of this program, that has most of it refused is
/// noticed.
const FLOORS: [Floor; 5] = [
    Floor("messages were done", |counts| counts.done, 40),
    Floor("copies were compared", |counts| counts.compared, 4),
    Floor("amendments were done", |counts| counts.amended, 8),
    Floor("values were amended", |counts| counts.applied, 200),
    Floor("amendments were refused", |counts| counts.unamended, 6),
];

/// From how many messages on that can be said.
const MANY: u64 = 4000;

/// What is counted, how, and how much of it there has to be.
struct Floor(&'static str, fn(&Counts) -> u64, u64);

/// The whole of a run, of one who may do all.
pub fn enough(counts: &Counts) -> Result<(), Wrong> {
    let cases = counts.messages - counts.checks;
    if cases < MANY {
        return Ok(());
    }
    for Floor(what, count, least) in FLOORS {
        let count = count(counts);
        if count < cases * least / 1000 {
            return Err(format!(
                "of {cases} messages, only {count} {what}: {least} of 1000 are to be expected"
            ));
        }
    }
    Ok(())
}

/// The descriptors that are open, but for those that have their places.
pub fn open() -> Vec<u32> {
    let all = 0..live::FIRST_NETLINK;
    all.filter(|fd| sys::borrow(*fd).is_some()).collect()
}

/// No descriptor stays behind: only those of before are open.
pub fn none_open(before: &[u32]) -> Result<(), Wrong> {
    match open().iter().find(|fd| !before.contains(fd)) {
        None => Ok(()),
        Some(fd) => Err(format!("the descriptor {fd} is left behind")),
    }
}

/// The sockets of the namespace, by protocol.
pub fn counters() -> Vec<(String, u64)> {
    let text = fs::read_to_string("/proc/thread-self/net/sockstat").unwrap_or_default();
    let mut counters = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let protocol = words.next().unwrap_or_default();
        while let (Some(key), Some(value)) = (words.next(), words.next()) {
            // What else there is, is of the whole machine, or counted in advance.
            if matches!(key, "inuse" | "used")
                && let Ok(value) = value.parse()
            {
                counters.push((format!("{protocol} {key}"), value));
            }
        }
    }
    counters
}

/// No socket stays behind: compares counters with those of before, which may take a while to fall.
pub fn none_left(before: &[(String, u64)], patience: Duration) -> Result<(), Wrong> {
    let start = Instant::now();
    loop {
        let now = counters();
        let grown: Vec<_> = now
            .iter()
            .zip(before)
            .filter(|(now, before)| now.1 > before.1)
            .map(|(now, before)| format!("{}: {} before, {} now", now.0, before.1, now.1))
            .collect();
        if grown.is_empty() {
            return Ok(());
        }
        if start.elapsed() > patience {
            return Err(format!("sockets are left behind: {}", grown.join(", ")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How many objects of a cache may be in use after a run that were not before. What the kernel makes
/// when it does something for the first time, and keeps, is less than half of that.
const KEPT_BY_THE_KERNEL: u64 = 200;

/// No memory stays behind, as far as that can be said without kmemleak: what is left once in some
/// thousand messages shows in a long run, what is left once does not.
pub fn no_memory(before: &Objects, now: &Objects) -> Result<(), Wrong> {
    let grown = now.iter().filter_map(|(cache, now)| {
        let before = before.get(cache).copied().unwrap_or_default();
        (*now > before + KEPT_BY_THE_KERNEL)
            .then(|| format!("{cache}: {before} objects before, {now} now"))
    });
    let grown: Vec<_> = grown.collect();
    if grown.is_empty() {
        return Ok(());
    }
    Err(format!("memory is left behind: {}", grown.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_grows_is_found() {
        let objects = |count| Objects::from([("kmalloc-32".to_owned(), count)]);
        assert_eq!(no_memory(&objects(600), &objects(653)), Ok(()));
        assert_eq!(no_memory(&objects(600), &objects(500)), Ok(()));
        let wrong = no_memory(&objects(600), &objects(1600)).unwrap_err();
        assert!(wrong.contains("kmalloc-32: 600 objects before, 1600 now"));
    }

    #[test]
    fn who_refuses_all_is_found() {
        let mut counts = Counts {
            messages: 9000,
            checks: 1000,
            done: 4000,
            compared: 400,
            amended: 800,
            applied: 4000,
            unamended: 400,
            ..Counts::default()
        };
        assert_eq!(enough(&counts), Ok(()));
        counts.amended = 7;
        assert!(enough(&counts).unwrap_err().contains("amendments"));
        counts.messages = 3000;
        assert_eq!(enough(&counts), Ok(()));
        assert!(
            enough(&Counts {
                messages: 9000,
                ..Counts::default()
            })
            .is_err()
        );
    }
}
