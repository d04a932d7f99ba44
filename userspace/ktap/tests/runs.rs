// SPDX-License-Identifier: GPL-2.0
//! Whole runs: one from a real console, and those of liars.

use ktap::{Event, Parser, Report, Status, strip_printk};

fn read(text: &str) -> Report {
    let mut parser = Parser::new();
    for line in text.lines() {
        parser.feed(line);
    }
    parser.finish()
}

#[test]
fn kunit_on_a_real_console() {
    let mut parser = Parser::new();
    for line in include_str!("logs/console-kunit.log").lines() {
        parser.feed(strip_printk(line));
    }
    assert!(parser.is_complete());
    let report = parser.finish();
    assert_eq!(report.problems, Vec::<String>::new());
    let names: Vec<_> = report.leaves().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "rust_kernel_fmt::test_ptr_formatting",
            "rust_netlink::test_family_flags_bitfield",
            "rust_spinlock_irq_condvar::spinlock_irq_condvar",
        ]
    );
    assert!(report.is_green());
}

#[test]
fn events_come_as_the_lines_do() {
    let mut parser = Parser::new();
    assert_eq!(parser.feed("KTAP version 1"), Event::Text);
    assert_eq!(parser.feed("1..1"), Event::Plan { level: 0, count: 1 });
    assert_eq!(parser.feed("    KTAP version 1"), Event::Text);
    assert_eq!(parser.feed("    1..1"), Event::Plan { level: 1, count: 1 });
    let result = |level, name: &str, leaf| Event::Result {
        level,
        name: name.to_owned(),
        status: Status::Passed,
        leaf,
    };
    assert_eq!(parser.feed("    ok 1 case"), result(1, "case", true));
    assert!(!parser.is_complete());
    assert_eq!(parser.feed("ok 1 suite"), result(0, "suite", false));
    assert!(parser.is_complete());
}

#[test]
fn what_has_begun_must_end() {
    let begun = "KTAP version 1\n1..2\n# Started: a\n# Started: b\nok 1 b\n";
    let report = read(begun);
    let not_ended = "a has begun and not ended".to_owned();
    assert!(report.problems.contains(&not_ended), "{report:?}");
    assert_eq!(report.tests[0].diagnostics, Vec::<String>::new());
    let report = read(&format!("{begun}ok 2 a\n"));
    assert!(report.is_green(), "{report:?}");
}

#[test]
fn a_failed_test_keeps_what_it_said() {
    let report = read("KTAP version 1\n1..2\nok 1 a\n# left: 1\nsome output\nnot ok 2 b\n");
    assert!(!report.is_green());
    assert_eq!(report.totals().to_string(), "1 passed, 1 failed");
    assert_eq!(report.tests[1].diagnostics, ["left: 1", "some output"]);
}

#[test]
fn liars_are_found_out() {
    let cases = [
        ("", "no test output"),
        ("all is well\n", "no test output"),
        ("KTAP version 1\nok 1 a\n", "no plan"),
        ("ok 1 a\n1..1\n", "the result of a outside of any run"),
        ("KTAP version 1\n1..0\n", "no test ran"),
        (
            "KTAP version 1\n1..2\nok 1 a\n",
            "the plan says 2 tests, 1 ended",
        ),
        (
            "KTAP version 1\n1..1\nok 1 a\nok 2 b\n",
            "the plan says 1 tests, 2 ended",
        ),
        (
            "KTAP version 1\n1..2\nok 1 a\nok 1 a\n",
            "a has number 1, not 2",
        ),
        (
            "KTAP version 1\n1..1\n1..2\nok 1 a\n",
            "a second plan (1..2)",
        ),
        (
            "KTAP version 1\n1..1\nok 1 a\nKTAP version 1\n",
            "a second `KTAP version 1`",
        ),
        (
            "KTAP version 1\n1..1\nok 1 a\nBail out! oh\n",
            "the run gave up: oh",
        ),
        (
            "KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  not ok 1 a\nok 1 s\n",
            "s is ok, but a test below it is not",
        ),
        (
            "KTAP version 1\n1..1\n  KTAP version 1\n  1..2\n  ok 1 a\nok 1 s\n",
            "s: the plan says 2",
        ),
        (
            "KTAP version 1\n1..1\n  KTAP version 1\n  # Subtest: s\n  1..2\n  ok 1 a\n",
            "stops within s",
        ),
        (
            "KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n    KTAP version 1\n    1..1\nok 1 s\n",
            "stops within a test",
        ),
    ];
    for (text, problem) in cases {
        let report = read(text);
        assert!(!report.is_green(), "{text:?} is green");
        assert!(
            report.problems.iter().any(|found| found.contains(problem)),
            "{text:?}: {:?} does not say {problem:?}",
            report.problems
        );
    }
}

#[test]
fn nothing_but_skipped_tests_is_not_green() {
    assert!(!read("KTAP version 1\n1..1\nok 1 a # SKIP no family\n").is_green());
    assert!(read("KTAP version 1\n1..2\nok 1 a # SKIP no family\nok 2 b\n").is_green());
}

/// Of tests that say how long they took, each has its own time.
#[test]
fn times_belong_to_the_result_behind_them() {
    let run = "KTAP version 1\n1..3\n# Took: 1500 ms\nok 1 slow\nok 2 says nothing\n\
               # Took: long\n# Took: 3 ms\nok 3 quick\n";
    let mut parser = ktap::Parser::new();
    for line in run.lines() {
        parser.feed(line);
    }
    let report = parser.finish();
    let took: Vec<_> = report.tests.iter().map(|test| test.took).collect();
    let ms = |ms| Some(std::time::Duration::from_millis(ms));
    assert_eq!(took, [ms(1500), None, ms(3)]);
    assert_eq!(report.tests[2].diagnostics, ["Took: long"]);
}
