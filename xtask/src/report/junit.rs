// SPDX-License-Identifier: GPL-2.0

//! JUnit, which CI systems read.

use crate::{
    report::Times,
    verdict::{
        Case,
        Outcome,
        Verdict, //
    },
};
use anyhow::Result;
use ktap::Status;
use quick_junit::{
    NonSuccessKind,
    Report,
    TestCase,
    TestCaseStatus,
    TestSuite, //
};

/// The run as JUnit: a suite for each area (`area::name`), and one named `vm` in which a
/// complaint of the kernel or a lost VM is an error, so that it cannot be overlooked there.
pub fn xml(verdict: &Verdict, times: &Times) -> Result<String> {
    let mut report = Report::new("af_inet_cr");
    report.set_time(times.total());
    let mut suites: Vec<TestSuite> = Vec::new();
    for case in &verdict.tests {
        let (area, name) = split(&case.name);
        let test = test_case(name, case);
        let at = suites.iter().position(|suite| suite.name.as_str() == area);
        let at = at.unwrap_or_else(|| {
            suites.push(TestSuite::new(area));
            suites.len() - 1
        });
        suites[at].add_test_case(test);
    }
    suites.push(vm(verdict));
    report.add_test_suites(suites);
    Ok(report.to_string()?)
}

/// The first part of a name is its area; of the tests in the kernel the first two.
pub fn split(name: &str) -> (&str, &str) {
    let from = if name.starts_with("kunit::") {
        "kunit::".len()
    } else {
        0
    };
    match name.get(from..).and_then(|rest| rest.find("::")) {
        Some(at) => (&name[..from + at], &name[from + at + 2..]),
        None => ("tests", name),
    }
}

fn test_case(name: &str, case: &Case) -> TestCase {
    let status = match case.status {
        Status::Passed | Status::ExpectedFailure => TestCaseStatus::success(),
        Status::Skipped => TestCaseStatus::skipped(),
        Status::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
    };
    let mut test = TestCase::new(name, with_text(status, &case.text));
    if let Some(took) = case.took {
        test.set_time(took);
    }
    if case.status != Status::Failed && !case.text.is_empty() {
        test.set_system_out(case.text.join("\n"));
    }
    test
}

fn with_text(mut status: TestCaseStatus, text: &[String]) -> TestCaseStatus {
    if let Some(first) = text.first()
        && !matches!(status, TestCaseStatus::Success { .. })
    {
        status.set_message(first.as_str());
        status.set_description(text.join("\n"));
    }
    status
}

fn vm(verdict: &Verdict) -> TestSuite {
    let mut text = Vec::new();
    for complaint in &verdict.complaints {
        text.push(format!(
            "{} ({}:{})",
            complaint.kind, complaint.file, complaint.line
        ));
        text.extend(complaint.excerpt.iter().cloned());
    }
    text.extend(verdict.problems.iter().cloned());
    // A failed test is in its own place.
    let bad = verdict.outcome > Outcome::Failed || !verdict.problems.is_empty();
    let status = if bad {
        with_text(TestCaseStatus::non_success(NonSuccessKind::Error), &text)
    } else {
        TestCaseStatus::success()
    };
    let mut suite = TestSuite::new("vm");
    suite.add_test_case(TestCase::new("kernel-and-guest", status));
    suite
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn names_are_split() {
        assert_eq!(split("options::linger::huge"), ("options", "linger::huge"));
        assert_eq!(
            split("kunit::rust_netlink::flags"),
            ("kunit::rust_netlink", "flags")
        );
        assert_eq!(split("alone"), ("tests", "alone"));
    }

    #[test]
    fn failures_and_complaints_are_in_it() {
        let case = |name: &str, status| Case {
            name: name.to_owned(),
            status,
            took: Some(Duration::from_millis(1500)),
            text: vec!["left < right".to_owned()],
        };
        let verdict = Verdict {
            outcome: Outcome::Kernel,
            totals: ktap::Totals {
                passed: 1,
                failed: 1,
                skipped: 0,
            },
            failed: vec!["a::y".to_owned()],
            tests: vec![case("a::x", Status::Passed), case("a::y", Status::Failed)],
            complaints: Vec::new(),
            passed_over: Vec::new(),
            problems: vec!["the kernel is tainted".to_owned()],
            command: None,
        };
        let xml = xml(&verdict, &Times::default()).unwrap();
        assert!(xml.contains(
            "<testsuite name=\"a\" tests=\"2\" disabled=\"0\" errors=\"0\" failures=\"1\""
        ));
        assert!(xml.contains("left &lt; right"));
        assert!(xml.contains("name=\"x\" time=\"1.500\""), "{xml}");
        assert!(xml.contains("the kernel is tainted"));
    }
}
