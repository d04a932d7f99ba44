// SPDX-License-Identifier: GPL-2.0

//! Whether a run was good, from everything that is known of it.
//!
//! One place decides, for the tests and for the harness's own test of itself alike.

use crate::{
    complaints::{
        self,
        Complaint, //
    },
    vm::guest::{
        End,
        Record, //
    },
};
use ktap::{
    Report,
    Status,
    Totals, //
};
use std::{
    process::ExitCode,
    time::Duration, //
};

/// The worst that happened; the number is the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Everything passed.
    Passed = 0,
    /// A test failed, or the tests did not run as they said they would.
    Failed = 1,
    /// The kernel complained or died.
    Kernel = 2,
    /// A deadline passed, or the VM was lost.
    Lost = 3,
    /// The tests could not be run at all.
    Infrastructure = 4,
}

impl Outcome {
    /// As a word in a report.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "a test failed",
            Self::Kernel => "the kernel complained or died",
            Self::Lost => "a deadline passed or the VM was lost",
            Self::Infrastructure => "the tests could not be run",
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome as u8)
    }
}

/// A run, judged.
#[derive(Debug)]
pub struct Verdict {
    /// What it comes to.
    pub outcome: Outcome,
    /// How many tests.
    pub totals: Totals,
    /// Full names of the tests that failed.
    pub failed: Vec<String>,
    /// Each test: its full name and how it ended.
    pub tests: Vec<Case>,
    /// What the kernel complained of on its console.
    pub complaints: Vec<Complaint>,
    /// What looked like a complaint and why it does not count.
    pub passed_over: Vec<String>,
    /// Everything else that is wrong, each a sentence.
    pub problems: Vec<String>,
    /// The exit status of the command, where that is the answer and not for us to judge (`run`).
    pub command: Option<i32>,
}

/// One test.
#[derive(Debug)]
pub struct Case {
    /// Its full name.
    pub name: String,
    /// How it ended.
    pub status: Status,
    /// How long it took, if that is known.
    pub took: Option<Duration>,
    /// Its directive's reason, and what it printed.
    pub text: Vec<String>,
}

/// The name under which a run that is bad though no test failed is counted.
pub const RUN_ITSELF: &str = "vm::kernel-and-guest";

/// What the tests in the kernel came to.
#[derive(Debug)]
pub enum InKernel {
    /// The kernel has none, or they are not asked for.
    Without,
    /// It should have run them and printed nothing.
    Silent,
    /// Their results.
    Ran(Report),
}

/// Judges a run by the guest's record, the job's tests, and the tests in the kernel. `job` is
/// nothing if the job was not meant to run any.
pub fn judge(record: &Record, job: Option<Report>, kernel: InKernel) -> Verdict {
    judge_all(record, record.facts.exit, job, kernel)
}

/// Judges the run of one command. Its exit status is the answer: any but 0 is a failure of the
/// command, and no more is read out of it.
pub fn judge_command(record: &Record) -> Verdict {
    let mut verdict = judge_all(record, None, None, InKernel::Without);
    verdict.command = record.facts.exit;
    let text = match verdict.command {
        None | Some(0) => return verdict,
        Some(code @ 129..) => format!("the command was ended by signal {}", code - 128),
        Some(code) => format!("the command's exit status is {code}"),
    };
    verdict.problem(Outcome::Failed, &text);
    verdict.count_run();
    verdict
}

/// `exit` is the job's exit status as far as it is to be judged.
fn judge_all(record: &Record, exit: Option<i32>, job: Option<Report>, kernel: InKernel) -> Verdict {
    let (mut complaints, mut passed_over) = complaints::scan(&record.console, "console.log");
    // The same again as a rule; but the console can lose characters, and the log can be cut off.
    let (in_log, passed_in_log) = complaints::scan(&record.facts.log, "dmesg.log");
    if in_log.len() > complaints.len() {
        (complaints, passed_over) = (in_log, passed_in_log);
    }
    let mut verdict = Verdict {
        outcome: Outcome::Passed,
        totals: Totals::default(),
        failed: Vec::new(),
        tests: Vec::new(),
        complaints,
        passed_over,
        problems: Vec::new(),
        command: None,
    };
    let booted = record.facts.started.is_some();
    let asked = job.is_some();
    let any_tests = asked || !matches!(kernel, InKernel::Without);
    match kernel {
        InKernel::Silent if booted => {
            verdict.problem(
                Outcome::Failed,
                "KUnit is on in this kernel, but ran nothing",
            );
        }
        // A guest that did not get so far has no say in it.
        InKernel::Silent | InKernel::Without => {}
        InKernel::Ran(report) => verdict.add(&report, "kunit::"),
    }
    if let Some(report) = job.filter(|_| booted) {
        verdict.add(&report, "");
    }
    verdict.exit_status(record, exit, asked);
    if any_tests && booted && verdict.totals.passed == 0 && verdict.outcome == Outcome::Passed {
        let skipped = verdict.totals.skipped > 0;
        let text = if skipped {
            "every test was skipped"
        } else {
            "no test ran"
        };
        verdict.problem(Outcome::Failed, text);
    }
    if verdict.totals.failed > 0 {
        verdict.raise(Outcome::Failed);
    }
    match record.end {
        End::Done => {}
        End::Lost => verdict.problem(Outcome::Lost, "the VM ended before its work was done"),
        End::Deadline(limit) => verdict.problem(Outcome::Lost, &limit.to_string()),
    }
    // The kernel's word beats everything.
    for complaint in record.facts.complaints() {
        verdict.problems.push(complaint);
        verdict.outcome = Outcome::Kernel;
    }
    if !verdict.complaints.is_empty() {
        verdict.outcome = Outcome::Kernel;
    }
    verdict.count_run();
    verdict
}

impl Verdict {
    /// What it comes to, as a word in a report.
    pub fn word(&self) -> &'static str {
        match (self.outcome, self.command) {
            (Outcome::Failed, Some(_)) => "the command failed",
            (outcome, _) => outcome.word(),
        }
    }

    /// What xtask exits with: the command's own status, if that is the worst there is.
    pub fn status(&self) -> u8 {
        match self.command {
            Some(status) if self.outcome <= Outcome::Failed => {
                u8::try_from(status).unwrap_or(u8::MAX)
            }
            _ => self.outcome as u8,
        }
    }

    /// Counts a run that is bad though no test failed: the numbers alone must not look like
    /// success.
    fn count_run(&mut self) {
        if self.outcome != Outcome::Passed && self.totals.failed == 0 {
            self.totals.failed = 1;
            self.failed.push(RUN_ITSELF.to_owned());
        }
    }

    fn add(&mut self, report: &Report, prefix: &str) {
        self.totals.add(report.totals());
        for (name, test) in report.leaves() {
            let name = format!("{prefix}{name}");
            if test.status == Status::Failed {
                self.failed.push(name.clone());
            }
            let mut text = test.diagnostics.clone();
            if !test.reason.is_empty() {
                text.insert(0, test.reason.clone());
            }
            self.tests.push(Case {
                name,
                status: test.status,
                took: test.took,
                text,
            });
        }
        for problem in &report.problems {
            let place = if prefix.is_empty() {
                "the tests"
            } else {
                "the tests in the kernel"
            };
            self.problem(Outcome::Failed, &format!("{place}: {problem}"));
        }
    }

    fn exit_status(&mut self, record: &Record, exit: Option<i32>, asked: bool) {
        if let Some(why) = &record.facts.no_start {
            self.problem(
                Outcome::Infrastructure,
                &format!("the guest cannot start {why}"),
            );
        }
        let failed = self.totals.failed > 0 || self.outcome != Outcome::Passed;
        match exit {
            Some(0) | None => {}
            Some(1) if failed => {}
            Some(1) if asked => {
                self.problem(
                    Outcome::Failed,
                    "the tests' exit status is 1, though none failed",
                );
            }
            Some(4) => {
                self.problem(
                    Outcome::Infrastructure,
                    "the tests could not be run (exit status 4)",
                );
            }
            Some(code @ 128..) => {
                let text = format!("the job was ended by signal {}", code.saturating_sub(128));
                self.problem(Outcome::Failed, &text);
            }
            Some(code) => {
                self.problem(Outcome::Failed, &format!("the job's exit status is {code}"));
            }
        }
    }

    fn problem(&mut self, outcome: Outcome, text: &str) {
        self.problems.push(text.to_owned());
        self.raise(outcome);
    }

    fn raise(&mut self, outcome: Outcome) {
        self.outcome = self.outcome.max(outcome);
    }
}

#[cfg(test)]
mod tests;
