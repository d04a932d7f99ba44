// SPDX-License-Identifier: GPL-2.0

//! Runs each test in a process and a network namespace of its own, several side by side.

mod one;
mod pool;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::leaks::{self, Counters, Namespaces};
use pool::Message;
pub use pool::SILENCE;

/// A test.
pub struct Test {
    /// `area::name`.
    pub name: String,
    /// What it does.
    run: Box<dyn Fn() -> Result<()>>,
    /// How long it may take, before it is scaled for a slow machine.
    time: Duration,
    /// Whether no other may run at the same time.
    alone: bool,
}

impl Test {
    pub fn new(name: impl Into<String>, run: impl Fn() -> Result<()> + 'static) -> Self {
        Self {
            name: name.into(),
            run: Box::new(run),
            time: Duration::from_secs(10),
            alone: false,
        }
    }

    /// Gives it this much time.
    pub fn within(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// Gives it more time, and lets it start before others.
    pub fn slow(mut self) -> Self {
        self.time = Duration::from_secs(60);
        self
    }

    /// Runs it when no other runs: what it changes or measures is the whole machine's, or it has to
    /// meet a moment that it would miss next to others.
    pub fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Has it fail where it would pass, to see that this is noticed.
    pub fn failing(mut self) -> Self {
        let run = self.run;
        self.run = Box::new(move || {
            run()?;
            bail!("it passes, but was told to fail")
        });
        self
    }
}

/// A part of the tests that is run in seconds, and has some of each area.
pub fn sample(mut tests: Vec<Test>) -> Vec<Test> {
    const ONE_IN: usize = 8;

    let time = Test::new("", || Ok(())).time;
    tests.retain(|test| !test.alone && test.time <= time);
    tests.into_iter().step_by(ONE_IN).collect()
}

/// The error of a test that cannot run here, for want of a kernel feature.
#[derive(Debug)]
pub struct Skip(pub String);

impl std::fmt::Display for Skip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the kernel has no {}", self.0)
    }
}

impl std::error::Error for Skip {}

/// Ends the test as skipped: the kernel lacks `feature`.
pub fn skip<T>(feature: &str) -> Result<T> {
    Err(Skip(feature.into()).into())
}

/// The tests that look at what all others have left.
pub const MACHINE: &str = "leaks::machine";
pub const NAMESPACES: &str = "leaks::network_namespaces";

/// What became of a test, with its output.
#[derive(Debug, Serialize, Deserialize)]
pub enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
    TimedOut(Duration, String),
}

/// How a run is to be done.
pub struct Runner {
    /// How many tests run side by side.
    pub jobs: usize,
    /// Times are multiplied by this.
    pub scale: u32,
    /// Output goes to the terminal as it comes, tests are not limited in time.
    pub live: bool,
    /// How long counters may take to come back.
    pub patience: Duration,
}

impl Runner {
    /// Runs the tests, and says whether all passed.
    pub fn run(&self, tests: &[Test], out: impl Write) -> Result<bool> {
        let mut ktap = ktap::Writer::new(out);
        let mut machine = Counters::machine();
        let namespaces = Namespaces::open();
        let namespaces = namespaces.map(|all| (all.count(), all));
        // What was there before may have gone meanwhile.
        machine.lower_to(&Counters::machine());
        ktap.begin(tests.len() + 1 + usize::from(namespaces.is_some()))?;

        let (alone, mut together): (Vec<_>, _) =
            tests.iter().partition(|test| test.alone || self.jobs == 1);
        // What takes long must not be what all wait for at the end.
        together.sort_by_key(|test| std::cmp::Reverse(test.time));
        self.phase(&together, self.jobs, &mut ktap)?;
        self.phase(&alone, 1, &mut ktap)?;

        match Counters::grown_since(Counters::machine, &machine, self.patience) {
            None => ktap.ok(MACHINE)?,
            Some(grown) => {
                ktap.not_ok(MACHINE, &format!("{grown}\n--jobs 1 says by which test"))?;
            }
        }
        if let Some((before, namespaces)) = namespaces {
            if namespaces.fall_to(before, leaks::LONG_PATIENCE) {
                ktap.ok(NAMESPACES)?;
            } else {
                let now = namespaces.count();
                ktap.not_ok(
                    NAMESPACES,
                    &format!("{before} before all tests, {now} after"),
                )?;
            }
        }
        Ok(!ktap.has_failed())
    }

    /// Runs some of the tests, and reports each of them, whatever happens.
    fn phase<W: Write>(
        &self,
        tests: &[&Test],
        jobs: usize,
        ktap: &mut ktap::Writer<W>,
    ) -> Result<()> {
        let mut left: BTreeMap<usize, &str> = (0..tests.len())
            .map(|index| (index, "no worker was left to run it"))
            .collect();
        pool::run(self, tests, jobs, |message| {
            match message {
                // Who waits for this run takes long silence for its end.
                None => ktap.diagnostic("Still running")?,
                Some(Message::Started(index)) => {
                    left.insert(index, "the worker that ran it is gone");
                    ktap.started(&tests[index].name)?;
                }
                Some(Message::Ended(index, outcome, took)) => {
                    left.remove(&index);
                    ktap.took(took)?;
                    report(ktap, &tests[index].name, &outcome)?;
                }
            }
            Ok(())
        })?;
        for (index, why) in left {
            ktap.not_ok(&tests[index].name, why)?;
        }
        Ok(())
    }
}

/// Prints what became of a test.
fn report<W: Write>(ktap: &mut ktap::Writer<W>, name: &str, outcome: &Outcome) -> Result<()> {
    match outcome {
        Outcome::Passed => ktap.ok(name)?,
        Outcome::Failed(output) => ktap.not_ok(name, output)?,
        Outcome::Skipped(reason) => ktap.skip(name, reason)?,
        Outcome::TimedOut(time, output) => {
            ktap.diagnostic(output)?;
            ktap.timeout(name, &format!("{} s", time.as_secs()))?;
        }
    }
    Ok(())
}
