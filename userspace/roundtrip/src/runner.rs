// SPDX-License-Identifier: GPL-2.0

//! Runs each test in a process and a network namespace of its own.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::leaks::{Counters, Namespaces};
use crate::sys::errno_name;
use crate::sys::namespace::{self, Network};
use crate::sys::task::{self, End};

/// A test.
pub struct Test {
    /// `area::name`.
    pub name: String,
    /// What it does.
    run: Box<dyn Fn() -> Result<()>>,
    /// How long it may take, before it is scaled for a slow machine.
    time: Duration,
}

impl Test {
    pub fn new(name: impl Into<String>, run: impl Fn() -> Result<()> + 'static) -> Self {
        Self {
            name: name.into(),
            run: Box::new(run),
            time: Duration::from_secs(10),
        }
    }

    /// Gives it this much time.
    pub fn within(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// Gives it more time.
    pub fn slow(mut self) -> Self {
        self.time = Duration::from_secs(60);
        self
    }
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

/// Not 0, so that a test that just exits has not passed.
const PASSED: i32 = 42;
const FAILED: i32 = 1;
const SKIPPED: i32 = 4;

/// The test that looks at what all others have left.
pub const NAMESPACES: &str = "leaks::network_namespaces";

/// What became of a test, with its output.
#[derive(Debug)]
pub enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
    TimedOut(Duration, String),
}

/// How a run is to be done.
pub struct Runner {
    /// Times are multiplied by this.
    pub scale: u32,
    /// Output goes to the terminal as it comes, tests are not limited in time.
    pub live: bool,
    /// Each test is followed by a line that says how long it took.
    pub times: bool,
    /// How long counters may take to come back.
    pub patience: Duration,
}

/// A test whose process is gone. What it left in the kernel is still to be
/// looked at, which is better done later: RCU takes its time.
struct Ended {
    outcome: Outcome,
    network: Network,
    before: Counters,
    took: Duration,
}

impl Runner {
    /// Runs the tests, and says whether all passed.
    pub fn run(&self, tests: &[Test]) -> Result<bool> {
        let mut ktap = ktap::Writer::new(io::stdout());
        let home = Network::current()?;
        let namespaces = Namespaces::open();
        let before = namespaces.as_ref().map(Namespaces::count);
        ktap.begin(tests.len() + usize::from(before.is_some()))?;
        let mut last: Option<(&Test, Ended)> = None;
        for test in tests {
            let ended = self.start(test)?;
            if let Some((test, ended)) = last.replace((test, ended)) {
                self.report(&mut ktap, test, ended)?;
            }
        }
        if let Some((test, ended)) = last {
            self.report(&mut ktap, test, ended)?;
        }
        home.enter()?;
        if let (Some(namespaces), Some(before)) = (namespaces, before) {
            if namespaces.fall_to(before) {
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

    /// Prints what became of a test.
    fn report<W: Write>(
        &self,
        ktap: &mut ktap::Writer<W>,
        test: &Test,
        ended: Ended,
    ) -> Result<()> {
        let took = ended.took;
        match self.settle(ended)? {
            Outcome::Passed => ktap.ok(&test.name)?,
            Outcome::Failed(output) => ktap.not_ok(&test.name, &output)?,
            Outcome::Skipped(reason) => ktap.skip(&test.name, &reason)?,
            Outcome::TimedOut(time, output) => {
                ktap.diagnostic(&output)?;
                ktap.timeout(&test.name, &format!("{} s", time.as_secs()))?;
            }
        }
        if self.times {
            ktap.diagnostic(&format!("took {} ms", took.as_millis()))?;
        }
        Ok(())
    }

    /// Runs one test.
    pub fn one(&self, test: &Test) -> Result<Outcome> {
        let home = Network::current()?;
        let ended = self.start(test)?;
        home.enter()?;
        self.settle(ended)
    }

    /// Runs one test, and leaves the caller in its network namespace.
    fn start(&self, test: &Test) -> Result<Ended> {
        let start = Instant::now();
        namespace::new_network().context("making a network namespace")?;
        let network = Network::current()?;
        let before = Counters::network();
        let outcome = self.process(test)?;
        Ok(Ended {
            outcome,
            network,
            before,
            took: start.elapsed(),
        })
    }

    /// Looks at what a test has left in its network namespace.
    fn settle(&self, ended: Ended) -> Result<Outcome> {
        if !matches!(ended.outcome, Outcome::Passed) {
            return Ok(ended.outcome);
        }
        let here = Network::current()?;
        ended.network.enter()?;
        let leaked = Counters::grown_since(Counters::network, &ended.before, self.patience);
        here.enter()?;
        Ok(match leaked {
            None => Outcome::Passed,
            Some(leaked) => Outcome::Failed(format!("leaked: {leaked}")),
        })
    }

    /// Runs the test's process.
    fn process(&self, test: &Test) -> Result<Outcome> {
        let mut output = task::memfd().context("memfd_create")?;
        let time = test.time * self.scale;
        let before = Counters::outside();
        let mut child = task::fork(|| self.child(test, &output)).context("fork")?;
        let end = if self.live {
            child.wait(Duration::from_secs(24 * 3600))?
        } else {
            child.wait(time)?
        };
        // Whatever the test started goes with it.
        child.kill();
        drop(child);
        let mut printed = read(&mut output)?;
        if let Some(grown) = Counters::grown_since(Counters::outside, &before, self.patience) {
            printed.push_str("leaked, seen from outside: ");
            printed.push_str(&grown);
            return Ok(Outcome::Failed(printed));
        }
        Ok(match end {
            End::Exited(PASSED) => Outcome::Passed,
            End::Exited(SKIPPED) => {
                Outcome::Skipped(printed.lines().last().unwrap_or("").to_string())
            }
            End::Exited(_) => Outcome::Failed(printed),
            End::Killed(signal) => Outcome::Failed(format!("{printed}killed by signal {signal}")),
            End::Running => Outcome::TimedOut(time, printed),
        })
    }

    /// The test's process.
    fn child(&self, test: &Test, output: &File) -> i32 {
        if !self.live && (task::dup_onto(output, 1).is_err() || task::dup_onto(output, 2).is_err())
        {
            return FAILED;
        }
        let before = Counters::files();
        let result = (test.run)();
        let leaked = Counters::grown_since(Counters::files, &before, self.patience);
        let code = match (result, leaked) {
            (Ok(()), None) => PASSED,
            (Ok(()), Some(leaked)) => {
                eprintln!("leaked: {leaked}");
                FAILED
            }
            (Err(error), _) => {
                if let Some(skip) = error.downcast_ref::<Skip>() {
                    eprintln!("{skip}");
                    SKIPPED
                } else {
                    report(&error);
                    FAILED
                }
            }
        };
        let _ = io::stderr().flush();
        code
    }
}

/// Prints an error with what led to it.
fn report(error: &anyhow::Error) {
    eprintln!("{error:#}");
    let errno = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error());
    if let Some(errno) = errno {
        eprintln!("({})", errno_name(errno));
    }
}

fn read(output: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    output.seek(SeekFrom::Start(0))?;
    output.take(64 * 1024).read_to_end(&mut bytes)?;
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}
