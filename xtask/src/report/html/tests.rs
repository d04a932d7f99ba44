// SPDX-License-Identifier: GPL-2.0

use super::*;
use crate::{
    complaints, verdict,
    vm::{
        facts::Facts,
        guest::End, //
    },
};

fn case(name: &str, status: Status, text: &str) -> Case {
    Case {
        name: name.to_owned(),
        status,
        took: Some(Duration::from_millis(1500)),
        text: text.lines().map(str::to_owned).collect(),
    }
}

/// The page of a run with these tests and this console.
fn page_of(tests: Vec<Case>, console: &str) -> String {
    page_with(&verdict_of(tests, console), &record_of(console))
}

fn verdict_of(tests: Vec<Case>, console: &str) -> Verdict {
    let (complaints, passed_over) = complaints::scan(console, "console.log");
    let failed = tests.iter().filter(|case| case.status == Status::Failed);
    let failed: Vec<_> = failed.map(|case| case.name.clone()).collect();
    Verdict {
        outcome: match (complaints.is_empty(), failed.is_empty()) {
            (false, _) => Outcome::Kernel,
            (true, false) => Outcome::Failed,
            (true, true) => Outcome::Passed,
        },
        totals: Totals {
            passed: tests.len() - failed.len(),
            failed: failed.len(),
            skipped: 0,
        },
        failed,
        tests,
        complaints,
        passed_over,
        problems: Vec::new(),
        command: None,
    }
}

fn record_of(console: &str) -> Record {
    Record {
        end: End::Done,
        facts: Facts::default(),
        console: console.to_owned(),
        qemu: String::new(),
        boot: Duration::ZERO,
        job: Duration::ZERO,
        total: Duration::ZERO,
    }
}

fn page_with(verdict: &Verdict, record: &Record) -> String {
    let mut times = Times::default();
    times.add("boot", Duration::from_secs(1));
    times.add("tests", Duration::from_secs(4));
    let about = About {
        what: "cargo xtask vm-test --filter '<i>'".to_owned(),
        when: "2026-11-24 03:54:54 UTC".to_owned(),
        facts: vec![("flavour", "debug".to_owned())],
        config: "CONFIG_NET=y\n# CONFIG_USB is not set\n".to_owned(),
    };
    page(verdict, record, &times, &about, &["ktap.log".to_owned()]).unwrap()
}

/// The order in which these stand in the page.
#[track_caller]
fn in_order(page: &str, parts: &[&str]) {
    let mut from = 0;
    for part in parts {
        let at = page[from..].find(part);
        from += at.unwrap_or_else(|| panic!("{part:?} is not there, or too early, in\n{page}"));
    }
}

#[test]
fn hostile_names_and_output_stay_text() {
    let name = "a::</td><script>alert(1)</script>\"'&\u{202e}\u{1b}[2J";
    let text = "</pre></section><img src=x onerror=alert(2)>\0";
    let page = page_of(
        vec![
            case(name, Status::Failed, text),
            case(name, Status::Passed, text),
        ],
        "[    0.1] </pre><script>alert(3)</script>\n",
    );
    assert!(!page.contains("<script"), "{page}");
    assert!(!page.contains("<img"), "{page}");
    assert!(!page.contains("<i>'"), "{page}");
    assert!(!page.contains(['\u{202e}', '\u{1b}', '\0']));
    assert!(page.contains(r"\u{202e}\u{1b}[2J"), "{page}");
    for tag in ["pre", "td", "tr", "section", "details", "table", "span"] {
        let opened =
            page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn what_failed_comes_first_with_its_output() {
    let page = page_of(
        vec![
            case("a::fine", Status::Passed, ""),
            case("b::fine", Status::Passed, ""),
            case("b::broken", Status::Failed, "left < right"),
            case("b::not_here", Status::Skipped, "needs KASAN"),
        ],
        "[    0.1] Linux version 7.3.4 (x)\n",
    );
    in_order(
        &page,
        &[
            "a test failed",
            "3 passed, 1 failed, in 5.0 s; exit status 1",
            "What is wrong",
            "<code>b::broken</code>",
            "left &#60; right",
            "Environment",
            "7.3.4 (x)",
            "slowest tests",
            "<details open>\n<summary><code>b</code>",
            "<code>broken</code>",
            "<code>fine</code>",
            "<code>not_here</code><pre>needs KASAN",
            "<details>\n<summary><code>a</code>",
            "The 1 options",
            "CONFIG_NET=y",
        ],
    );
    assert!(!page.contains("CONFIG_USB"));
}

#[test]
fn a_complaint_is_marked_in_the_console() {
    let console = "[    1.0] fine\n\
        [    2.0] BUG: KASAN: slab-use-after-free in x+0x1/0x2\n\
        [    2.1] Read of size 8\n\
        [    2.2] ==================================================================\n\
        [    3.0] fine again\n";
    let page = page_of(vec![case("a::x", Status::Passed, "")], console);
    in_order(
        &page,
        &[
            "the kernel complained or died",
            "Kernel: KASAN <a href=\"#L2\">",
            "<span id=\"L1\" data-n=\"1\">[    1.0] fine\n</span>",
            "<span id=\"L2\" data-n=\"2\" class=\"bad\">[    2.0] BUG: KASAN",
            "<span id=\"L4\" data-n=\"4\" class=\"bad\">",
            "<span id=\"L5\" data-n=\"5\">[    3.0] fine again",
        ],
    );
}

#[test]
fn a_good_run_has_nothing_wrong() {
    let page = page_of(vec![case("a::x", Status::Passed, "")], "[    1.0] fine\n");
    in_order(
        &page,
        &["class=\"good\"", "<h1>passed</h1>", "<code>x</code>"],
    );
    assert!(!page.contains("id=\"wrong\""));
    assert!(!page.contains("exit status"));
}

#[test]
fn a_command_that_failed_has_no_green_page() {
    let mut record = record_of("[    1.0] fine\n");
    for line in [
        "taint-before 0",
        "start 1",
        "exit 7",
        "taint-after 0",
        "done 2",
    ] {
        record.facts.feed(line);
    }
    let page = page_with(&verdict::judge_command(&record), &record);
    in_order(
        &page,
        &[
            "<title>the command failed: ",
            "class=\"bad\"",
            "<h1>the command failed</h1>",
            "exit status 7",
            "Run: the command&#39;s exit status is 7",
        ],
    );
    record.facts.feed("exit 0");
    let page = page_with(&verdict::judge_command(&record), &record);
    in_order(&page, &["class=\"good\"", "<h1>passed</h1>"]);
}

#[test]
fn of_a_long_console_the_complaint_is_kept() {
    let mut console = "[    1.0] fine\n".repeat(20_000);
    console.push_str("[    2.0] WARNING: CPU: 0 at x\n");
    console.push_str(&"[    3.0] fine\n".repeat(20_000));
    let page = page_of(vec![case("a::x", Status::Passed, "")], &console);
    assert!(page.contains("<span id=\"L20001\" data-n=\"20001\" class=\"bad\">"));
    assert!(page.contains("<span id=\"L40001\""));
    assert!(!page.contains("<span id=\"L10000\""));
    assert_eq!(page.matches("class=\"gap\"").count(), 2);
}

#[test]
fn of_very_many_complaints_the_first_are_shown() {
    let again = "[    2.0] WARNING: CPU: 0 at x\n[    2.1] ---[ end trace 0 ]---\n";
    let console = again.repeat(6_000);
    let page = page_of(vec![case("a::x", Status::Passed, "")], &console);
    assert_eq!(page.matches("<h3>Kernel: ").count(), COMPLAINTS);
    assert!(page.contains("complained 5950 more times: all of it is in console.log"));
    let lines = page.matches("<span id=\"L").count();
    assert_eq!(lines, 2 * ENDS);
    assert!(page.contains("<span id=\"L12000\" data-n=\"12000\" class=\"bad\">"));
}

#[test]
fn complaints_are_named_after_their_log() {
    let mut verdict = verdict_of(vec![case("a::x", Status::Passed, "")], "");
    let mut record = record_of("[    1.0] cut off\n");
    record.facts.log = "[    1.0] fine\n[    2.0] WARNING: CPU: 0 at x\n".to_owned();
    verdict.complaints = complaints::scan(&record.facts.log, "dmesg.log").0;
    verdict.outcome = Outcome::Kernel;
    let page = page_with(&verdict, &record);
    in_order(
        &page,
        &["#L2\">line 2 of dmesg.log<", "<h2><a href=\"dmesg.log\">"],
    );
    assert!(!page.to_lowercase().contains("of the console"));
}
