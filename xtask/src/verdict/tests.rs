// SPDX-License-Identifier: GPL-2.0

use super::*;
use crate::vm::{
    deadlines::Limit,
    facts::Facts, //
};
use std::time::Duration;

/// A guest that did all that it was asked to.
fn record(lines: &[&str]) -> Record {
    let mut facts = Facts::default();
    for line in lines {
        facts.feed(line);
    }
    Record {
        end: if facts.done { End::Done } else { End::Lost },
        facts,
        console: "[    0.100000] Linux version 7.3.4\n".to_owned(),
        qemu: String::new(),
        boot: Duration::ZERO,
        job: Duration::ZERO,
        total: Duration::ZERO,
    }
}

const GOOD: [&str; 5] = [
    "taint-before 0",
    "start 1",
    "exit 0",
    "taint-after 0",
    "done 2",
];

#[expect(clippy::unnecessary_wraps)] // as `judge` takes it
fn report(text: &str) -> Option<Report> {
    let mut parser = ktap::Parser::new();
    for line in text.lines() {
        parser.feed(line);
    }
    Some(parser.finish())
}

fn outcome(record: &Record, text: &str) -> Outcome {
    judge(record, report(text), InKernel::Without).outcome
}

const ONE: &str = "KTAP version 1\n1..1\nok 1 a\n";

#[test]
fn good_is_green() {
    let verdict = judge(&record(&GOOD), report(ONE), InKernel::Without);
    assert_eq!(verdict.outcome, Outcome::Passed);
    assert_eq!(verdict.totals.to_string(), "1 passed, 0 failed");
}

#[test]
fn failures_and_lies_are_red() {
    let good = record(&GOOD);
    for text in [
        "",
        "KTAP version 1\n1..0\n",
        "KTAP version 1\n1..2\nok 1 a\n",
        "KTAP version 1\nok 1 a\n",
        "KTAP version 1\n1..1\nnot ok 1 a\n",
    ] {
        assert_eq!(outcome(&good, text), Outcome::Failed, "{text:?}");
    }
    let one = record(&["taint-before 0", "start 1", "exit 1", "done 2"]);
    assert_eq!(outcome(&one, ONE), Outcome::Failed);
    let killed = record(&["taint-before 0", "start 1", "exit 139", "done 2"]);
    assert_eq!(outcome(&killed, ONE), Outcome::Failed);
}

#[test]
fn the_kernel_beats_everything() {
    let mut complained = record(&GOOD);
    complained
        .console
        .push_str("[    1.0] WARNING: net/x.c:1 at f, CPU#0: a/1\n");
    assert_eq!(outcome(&complained, ONE), Outcome::Kernel);
    let tainted = record(&[
        "taint-before 0",
        "start 1",
        "exit 0",
        "taint-after 512",
        "done 2",
    ]);
    assert_eq!(outcome(&tainted, ONE), Outcome::Kernel);
    let mut panicked = record(&["start 1"]);
    panicked
        .console
        .push_str("[    1.0] Kernel panic - not syncing: x\n");
    assert_eq!(outcome(&panicked, ""), Outcome::Kernel);
}

#[test]
fn the_lost_and_the_late() {
    assert_eq!(outcome(&record(&["start 1"]), ONE), Outcome::Lost);
    assert_eq!(outcome(&record(&[]), ""), Outcome::Lost);
    let mut late = record(&["start 1"]);
    late.end = End::Deadline(Limit::Idle);
    assert_eq!(
        outcome(&late, "KTAP version 1\n1..2\nok 1 a\n"),
        Outcome::Lost
    );
}

#[test]
fn what_could_not_run_is_not_a_failed_test() {
    let absent = record(&["no-start /x: not found", "done 2"]);
    assert_eq!(outcome(&absent, ""), Outcome::Infrastructure);
    let refused = record(&["start 1", "exit 4", "done 2"]);
    assert_eq!(outcome(&refused, ""), Outcome::Infrastructure);
}

#[test]
fn a_command_has_the_word_and_the_status() {
    let of = |lines: &[&str]| judge_command(&record(lines));
    let ended = |exit: &str| of(&["taint-before 0", "start 1", exit, "taint-after 0", "done 2"]);
    let good = ended("exit 0");
    assert_eq!((good.outcome, good.status()), (Outcome::Passed, 0));
    for (exit, status, says) in [
        ("exit 1", 1, "exit status is 1"),
        ("exit 4", 4, "exit status is 4"),
        ("exit 137", 137, "signal 9"),
    ] {
        let bad = ended(exit);
        assert_eq!((bad.outcome, bad.status()), (Outcome::Failed, status));
        assert_eq!(bad.word(), "the command failed");
        assert_eq!(bad.failed, [RUN_ITSELF]);
        assert!(bad.problems[0].contains(says), "{:?}", bad.problems);
    }
    let tainted = of(&["start 1", "exit 7", "taint-after 512", "done 2"]);
    assert_eq!((tainted.outcome, tainted.status()), (Outcome::Kernel, 2));
    let lost = of(&["start 1"]);
    assert_eq!((lost.outcome, lost.status()), (Outcome::Lost, 3));
}

#[test]
fn tests_in_the_kernel_count() {
    let good = record(&GOOD);
    let ran = InKernel::Ran(report("KTAP version 1\n1..1\nok 1 x\n").unwrap());
    let verdict = judge(&good, report(ONE), ran);
    assert_eq!(verdict.totals.to_string(), "2 passed, 0 failed");
    assert_eq!(verdict.tests[0].name, "kunit::x");
    assert_eq!(
        judge(&good, report(ONE), InKernel::Silent).outcome,
        Outcome::Failed
    );
}
