// SPDX-License-Identifier: GPL-2.0
//! Reads a run line by line.

use std::time::Duration;

use crate::{Line, Report, ResultLine, Status, Test, classify};

/// Diagnostics kept for one test; what is beyond is in the log.
const DIAGNOSTICS: usize = 200;

/// What a line meant to the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A level announced how many tests it has. Level 0 is the outermost.
    Plan {
        /// How deep it is nested.
        level: usize,
        /// How many tests.
        count: usize,
    },
    /// A test ended.
    Result {
        /// How deep it is nested.
        level: usize,
        /// Its name, as printed.
        name: String,
        /// How it ended.
        status: Status,
        /// Whether it has no tests below it.
        leaf: bool,
    },
    /// A test began.
    Started,
    /// How long the next one to end took.
    Took,
    /// Anything else.
    Text,
}

#[derive(Debug, Default)]
struct Level {
    indent: usize,
    name: Option<String>,
    plan: Option<usize>,
    tests: Vec<Test>,
    diagnostics: Vec<String>,
    took: Option<Duration>,
}

/// Reads KTAP as it arrives.
#[derive(Debug, Default)]
pub struct Parser {
    levels: Vec<Level>,
    /// Tests that said that they begin, and have no result yet.
    running: Vec<String>,
    problems: Vec<String>,
}

impl Parser {
    /// Begins a run of which nothing has been read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one line, without its prefix if it comes from a kernel console (see
    /// [`strip_printk`](crate::strip_printk)).
    pub fn feed(&mut self, line: &str) -> Event {
        let (indent, line) = classify(line);
        match line {
            Line::Version => self.version(indent),
            Line::Plan(count) => return self.plan(indent, count),
            Line::Subtest(name) => {
                if let Some(level) = self.levels.last_mut()
                    && level.indent == indent
                {
                    level.name = Some(name.to_owned());
                }
            }
            Line::Started(name) => {
                self.running.push(name.to_owned());
                return Event::Started;
            }
            Line::Took(time) => {
                if let Some(level) = self.levels.last_mut() {
                    level.took = Some(time);
                }
                return Event::Took;
            }
            Line::Result(result) => return self.result(indent, &result),
            Line::Bail(reason) => self.problem(format!("the run gave up: {reason}")),
            Line::Diagnostic(text) | Line::Other(text) => self.diagnostic(text),
        }
        Event::Text
    }

    /// Whether the outermost level has had as many results as its plan announced.
    pub fn is_complete(&self) -> bool {
        self.levels.len() == 1
            && self
                .levels
                .iter()
                .all(|level| level.plan == Some(level.tests.len()))
    }

    /// Ends the run and judges it.
    pub fn finish(mut self) -> Report {
        while self.levels.len() > 1 {
            self.abandon();
        }
        for name in std::mem::take(&mut self.running) {
            self.problem(format!("{name} has begun and not ended"));
        }
        let Some(root) = self.levels.pop() else {
            let problems = with(self.problems, "no test output: no line `KTAP version 1`");
            return Report {
                problems,
                ..Report::default()
            };
        };
        let problems = match (root.plan, root.tests.len()) {
            (None, _) => with(self.problems, "no plan: no line `1..N`"),
            (Some(0), 0) => with(self.problems, "no test ran"),
            (Some(plan), ran) if plan != ran => with(
                self.problems,
                &format!("the plan says {plan} tests, {ran} ended"),
            ),
            _ => self.problems,
        };
        Report {
            tests: root.tests,
            plan: root.plan,
            problems,
        }
    }

    fn version(&mut self, indent: usize) {
        match self.levels.last() {
            Some(top) if indent <= top.indent => {
                self.problem("a second `KTAP version 1` within one run".to_owned());
            }
            _ => self.levels.push(Level {
                indent,
                ..Level::default()
            }),
        }
    }

    fn plan(&mut self, indent: usize, count: usize) -> Event {
        let level = self.levels.len().saturating_sub(1);
        let Some(top) = self.levels.last_mut().filter(|top| top.indent == indent) else {
            self.problem(format!(
                "a plan (1..{count}) without `KTAP version 1` before it"
            ));
            return Event::Text;
        };
        if top.plan.is_some() {
            self.problem(format!("a second plan (1..{count})"));
        } else {
            top.plan = Some(count);
        }
        Event::Plan { level, count }
    }

    fn result(&mut self, indent: usize, result: &ResultLine<'_>) -> Event {
        let mut children = Vec::new();
        let mut diagnostics = Vec::new();
        self.running.retain(|name| name != result.name);
        while self.levels.len() > 2
            && self
                .levels
                .iter()
                .nth_back(1)
                .is_some_and(|l| l.indent > indent)
        {
            self.abandon();
        }
        if self.levels.len() > 1
            && let Some(below) = self.levels.pop_if(|top| top.indent > indent)
        {
            self.close(&below, result);
            children = below.tests;
            diagnostics = below.diagnostics;
        }
        let level = self.levels.len().saturating_sub(1);
        let Some(top) = self.levels.last_mut().filter(|top| top.indent == indent) else {
            self.problem(format!("the result of {} outside of any run", result.name));
            return Event::Text;
        };
        diagnostics.append(&mut top.diagnostics);
        let expected = top.tests.len().saturating_add(1);
        let leaf = children.is_empty();
        top.tests.push(Test {
            name: result.name.to_owned(),
            status: result.status,
            reason: result.reason.to_owned(),
            took: top.took.take(),
            diagnostics,
            children,
        });
        if result.number != Some(expected) {
            let found = result.number.map_or("none".to_owned(), |n| n.to_string());
            self.problem(format!(
                "{} has number {found}, not {expected}",
                result.name
            ));
        }
        Event::Result {
            level,
            name: result.name.to_owned(),
            status: result.status,
            leaf,
        }
    }

    /// Ends the innermost level, which has no result that sums it up.
    fn abandon(&mut self) {
        let Some(open) = self.levels.pop() else {
            return;
        };
        let name = open.name.unwrap_or_else(|| "a test".to_owned());
        self.problem(format!("the output stops within {name}"));
        if let Some(parent) = self.levels.last_mut() {
            parent.tests.push(Test {
                name,
                status: Status::Failed,
                reason: "did not end".to_owned(),
                took: None,
                diagnostics: open.diagnostics,
                children: open.tests,
            });
        }
    }

    /// Checks a level against the result that sums it up.
    fn close(&mut self, below: &Level, summary: &ResultLine<'_>) {
        let name = summary.name;
        let ran = below.tests.len();
        if let Some(plan) = below.plan
            && plan != ran
        {
            self.problem(format!("{name}: the plan says {plan} tests, {ran} ended"));
        }
        if ran == 0 && summary.status != Status::Skipped {
            self.problem(format!("{name}: no test ran"));
        }
        let failed = below.tests.iter().any(|test| test.status == Status::Failed);
        match (summary.status, failed) {
            (Status::Passed | Status::Skipped, true) => {
                self.problem(format!("{name} is ok, but a test below it is not"));
            }
            (Status::Failed, false) if ran > 0 => {
                self.problem(format!("{name} is not ok, though every test below it is"));
            }
            _ => {}
        }
    }

    fn diagnostic(&mut self, text: &str) {
        if let Some(top) = self.levels.last_mut()
            && !text.is_empty()
            && top.diagnostics.len() < DIAGNOSTICS
        {
            top.diagnostics.push(text.to_owned());
        }
    }

    fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }
}

fn with(mut problems: Vec<String>, problem: &str) -> Vec<String> {
    problems.push(problem.to_owned());
    problems
}
