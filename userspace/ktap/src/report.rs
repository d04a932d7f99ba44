// SPDX-License-Identifier: GPL-2.0
//! What a run of tests amounts to.

use std::fmt;
use std::time::Duration;

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// `ok`.
    Passed,
    /// `not ok`, or a directive that says so (`TIMEOUT`, `ERROR`).
    Failed,
    /// `ok ... # SKIP`.
    Skipped,
    /// `# XFAIL` or `# TODO`: a failure that is known and does not count.
    ExpectedFailure,
}

/// One test, with the tests below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// The name, as printed.
    pub name: String,
    /// How it ended, as printed.
    pub status: Status,
    /// What stood after the directive.
    pub reason: String,
    /// How long it took, if that was said.
    pub took: Option<Duration>,
    /// The lines printed before the result that belong to it.
    pub diagnostics: Vec<String>,
    /// The tests of the level below; a test that has some is their summary.
    pub children: Vec<Test>,
}

/// Numbers of tests; only leaves are counted, a summary of others is not a test of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Tests that passed, expected failures among them.
    pub passed: usize,
    /// Tests that failed.
    pub failed: usize,
    /// Tests that were skipped.
    pub skipped: usize,
}

/// A whole run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The tests of the top level.
    pub tests: Vec<Test>,
    /// How many the top level's plan announced.
    pub plan: Option<usize>,
    /// What is wrong with the run itself: no plan, a plan not kept, a summary that lies.
    pub problems: Vec<String>,
}

impl Report {
    /// The tests that summarise no others, each with its full name (`suite::case`).
    pub fn leaves(&self) -> Vec<(String, &Test)> {
        let mut leaves = Vec::new();
        for test in &self.tests {
            collect(test, "", &mut leaves);
        }
        leaves
    }

    /// How many passed, failed and were skipped.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for (_, test) in self.leaves() {
            totals.count(test.status);
        }
        totals
    }

    /// Whether at least one test ran, none failed, and the run kept to its plan.
    pub fn is_green(&self) -> bool {
        let totals = self.totals();
        self.problems.is_empty() && totals.failed == 0 && totals.passed > 0
    }
}

fn collect<'a>(test: &'a Test, prefix: &str, leaves: &mut Vec<(String, &'a Test)>) {
    let name = if prefix.is_empty() {
        test.name.clone()
    } else {
        format!("{prefix}::{}", test.name)
    };
    if test.children.is_empty() {
        leaves.push((name, test));
        return;
    }
    for child in &test.children {
        collect(child, &name, leaves);
    }
}

impl Totals {
    /// Counts one more test.
    pub fn count(&mut self, status: Status) {
        let number = match status {
            Status::Passed | Status::ExpectedFailure => &mut self.passed,
            Status::Failed => &mut self.failed,
            Status::Skipped => &mut self.skipped,
        };
        *number = number.saturating_add(1);
    }

    /// Adds the numbers of another run.
    pub fn add(&mut self, other: Totals) {
        self.passed = self.passed.saturating_add(other.passed);
        self.failed = self.failed.saturating_add(other.failed);
        self.skipped = self.skipped.saturating_add(other.skipped);
    }

    /// How many tests there were in all.
    pub fn all(&self) -> usize {
        self.passed
            .saturating_add(self.failed)
            .saturating_add(self.skipped)
    }
}

/// `3 passed, 0 failed`, and `, 1 skipped` if any was.
impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}
