// SPDX-License-Identifier: GPL-2.0

//! The guests, and what must come of each.

use crate::verdict::Outcome;

/// What a guest does.
pub enum Guest {
    /// Runs this script as its tests.
    Runs(&'static str),
    /// Runs this script as its tests, which then says nothing more.
    Hangs(&'static str),
    /// Starts this program as its tests.
    Starts(&'static str),
    /// Has this as its first process.
    HasInit(&'static str),
    /// Has this as its first process, which starts no tests.
    HangsInInit(&'static str),
}

/// A guest and the verdict that it deserves.
pub struct Case {
    pub name: &'static str,
    pub guest: Guest,
    pub outcome: Outcome,
    /// What must be among the reasons.
    pub says: &'static str,
}

use Guest::{
    Hangs,
    HangsInInit,
    HasInit,
    Runs,
    Starts, //
};

/// Has the kernel's log say what KCSAN says of a race in a function.
macro_rules! race {
    ($function:literal) => {
        concat!(
            "for line in ===== 'BUG: KCSAN: data-race in f / ",
            $function,
            "' 'write to 0xff11000000000000 of 4 bytes by task 1 on cpu 0:' ' f+0x1/0x2' '' \
             'read to 0xff11000000000000 of 4 bytes by task 2 on cpu 1:' ' ",
            $function,
            "+0x1/0x2' '' 'Reported by Kernel Concurrency Sanitizer on:' =====; \
             do echo \"<3>$line\" > /dev/kmsg; done; "
        )
    };
}

/// The slow ones first, so that they do not end up alone.
pub const CASES: &[Case] = &[
    Case {
        name: "hangs before it starts its tests",
        // As the first process it never ends and reports nothing.
        guest: HangsInInit("/usr/bin/yes"),
        outcome: Outcome::Lost,
        says: "did not start its job in time",
    },
    Case {
        name: "hangs in a test",
        guest: Hangs("echo KTAP version 1; echo 1..2; echo ok 1 a; sleep 1000"),
        outcome: Outcome::Lost,
        says: "silent for too long",
    },
    Case {
        name: "hangs in one of two tests",
        guest: Hangs(
            "echo KTAP version 1; echo 1..2; echo '# Started: a'; echo '# Started: b'; \
             echo ok 1 b; sleep 1000",
        ),
        outcome: Outcome::Lost,
        says: "a has begun and not ended",
    },
    Case {
        name: "passes",
        guest: Runs("echo KTAP version 1; echo 1..2; echo ok 1 a; echo 'ok 2 b # SKIP no x'"),
        outcome: Outcome::Passed,
        says: "",
    },
    Case {
        name: "fails a test",
        guest: Runs("echo KTAP version 1; echo 1..2; echo not ok 1 broken; echo ok 2 b; exit 1"),
        outcome: Outcome::Failed,
        says: "broken",
    },
    Case {
        name: "fails a test and exits with 0",
        guest: Runs("echo KTAP version 1; echo 1..1; echo not ok 1 broken; exit 0"),
        outcome: Outcome::Failed,
        says: "broken",
    },
    Case {
        name: "passes all and exits with 1",
        guest: Runs("echo KTAP version 1; echo 1..1; echo ok 1 a; exit 1"),
        outcome: Outcome::Failed,
        says: "exit status is 1, though none failed",
    },
    Case {
        name: "prints ok without a plan",
        guest: Runs("echo KTAP version 1; echo ok 1 a"),
        outcome: Outcome::Failed,
        says: "no plan",
    },
    Case {
        name: "prints ok and no KTAP",
        guest: Runs("echo all is well; echo ok 1 a"),
        outcome: Outcome::Failed,
        says: "no test output",
    },
    Case {
        name: "loses answers while it is fuzzed",
        guest: Runs("exec crfuzz --messages 3000 --seed 1 --sabotage 20"),
        outcome: Outcome::Failed,
        says: "root (seed 1000)",
    },
    Case {
        name: "says nothing of what was not amended",
        guest: Runs("exec crfuzz --messages 3000 --seed 1 --sabotage 1 --sabotage-by reports"),
        outcome: Outcome::Failed,
        says: "root (seed 1000)",
    },
    Case {
        name: "amends a socket and says that it did not",
        guest: Runs("exec crfuzz --messages 3000 --seed 1 --sabotage 1 --sabotage-by refusals"),
        outcome: Outcome::Failed,
        says: "root (seed 1000)",
    },
    Case {
        name: "runs fewer tests than planned",
        guest: Runs("echo KTAP version 1; echo 1..3; echo ok 1 a; echo ok 2 b"),
        outcome: Outcome::Failed,
        says: "the plan says 3 tests, 2 ended",
    },
    Case {
        name: "runs no test",
        guest: Runs("echo KTAP version 1; echo 1..0"),
        outcome: Outcome::Failed,
        says: "no test ran",
    },
    Case {
        name: "says nothing",
        guest: Runs("exit 0"),
        outcome: Outcome::Failed,
        says: "no test output",
    },
    Case {
        name: "skips every test",
        guest: Runs("echo KTAP version 1; echo 1..1; echo 'ok 1 a # SKIP no family'"),
        outcome: Outcome::Failed,
        says: "every test was skipped",
    },
    Case {
        name: "is killed after its last ok",
        guest: Runs("echo KTAP version 1; echo 1..1; echo ok 1 a; kill -SEGV $$"),
        outcome: Outcome::Failed,
        says: "signal 11",
    },
    Case {
        name: "passes while the kernel warns",
        guest: Runs(
            "echo KTAP version 1; echo 1..1; \
             echo '<4>WARNING: net/core/x.c:1 at f+0x1/0x2, CPU#0: sh/1' > /dev/kmsg; echo ok 1 a",
        ),
        outcome: Outcome::Kernel,
        says: "WARNING",
    },
    Case {
        name: "passes while the kernel prints a trace",
        guest: Runs(
            "echo KTAP version 1; echo 1..1; echo l > /proc/sysrq-trigger; echo ok 1 a; sleep 1",
        ),
        outcome: Outcome::Kernel,
        says: "stack trace",
    },
    Case {
        name: "passes while the kernel finds a data race of ours",
        guest: Runs(concat!(
            "echo KTAP version 1; echo 1..1; ",
            race!("_RNvNtCs8_10af_inet_cr4dump4dump"),
            "echo ok 1 a"
        )),
        outcome: Outcome::Kernel,
        says: "KCSAN",
    },
    Case {
        name: "passes while the kernel finds a data race of its own",
        guest: Runs(concat!(
            "echo KTAP version 1; echo 1..1; ",
            race!("tick_sched_do_timer"),
            "echo ok 1 a"
        )),
        outcome: Outcome::Passed,
        says: "",
    },
    Case {
        name: "panics",
        guest: Runs("echo KTAP version 1; echo 1..1; echo c > /proc/sysrq-trigger; echo ok 1 a"),
        outcome: Outcome::Kernel,
        says: "kernel panic",
    },
    Case {
        name: "panics in one of two tests",
        guest: Runs(
            "echo KTAP version 1; echo 1..2; echo '# Started: a'; echo '# Started: b'; \
             echo ok 1 b; echo c > /proc/sysrq-trigger; echo ok 2 a",
        ),
        outcome: Outcome::Kernel,
        says: "a has begun and not ended",
    },
    Case {
        name: "panics after its last ok",
        guest: Runs("echo KTAP version 1; echo 1..1; echo ok 1 a; echo c > /proc/sysrq-trigger"),
        outcome: Outcome::Kernel,
        says: "kernel panic",
    },
    Case {
        name: "cannot find its first process",
        guest: HasInit("/no/such/init"),
        outcome: Outcome::Kernel,
        says: "kernel panic",
    },
    Case {
        name: "taints the kernel without a word",
        guest: Runs(
            "echo KTAP version 1; echo 1..1; echo 512 > /proc/sys/kernel/tainted; echo ok 1 a",
        ),
        outcome: Outcome::Kernel,
        says: "the kernel is tainted",
    },
    Case {
        name: "powers off without a status",
        guest: Runs(
            "echo KTAP version 1; echo 1..1; echo ok 1 a; echo o > /proc/sysrq-trigger; sleep 9",
        ),
        outcome: Outcome::Lost,
        says: "ended before its work was done",
    },
    Case {
        name: "reboots without a status",
        guest: Runs("echo KTAP version 1; echo 1..1; echo ok 1 a; echo b > /proc/sysrq-trigger"),
        outcome: Outcome::Lost,
        says: "ended before its work was done",
    },
    Case {
        name: "has no tests to start",
        guest: Starts("/no/such/program"),
        outcome: Outcome::Infrastructure,
        says: "cannot start",
    },
    Case {
        name: "says that it cannot run its tests",
        guest: Runs("echo no such family >&2; exit 4"),
        outcome: Outcome::Infrastructure,
        says: "could not be run",
    },
];
