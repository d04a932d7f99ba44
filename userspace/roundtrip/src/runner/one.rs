// SPDX-License-Identifier: GPL-2.0

//! One test, from its process to what it left in the kernel.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Outcome, Runner, Skip, Test};
use crate::leaks::Counters;
use crate::sys::errno_name;
use crate::sys::namespace::{self, Network};
use crate::sys::task::{self, End};

/// Not 0, so that a test that just exits has not passed.
const PASSED: i32 = 42;
const FAILED: i32 = 1;
const SKIPPED: i32 = 4;

/// A test whose process is gone. What it left in the kernel is still to be
/// looked at.
pub struct Ended {
    pub took: Duration,
    outcome: Outcome,
    network: Network,
    before: Counters,
}

impl Runner {
    /// Runs one test.
    pub fn one(&self, test: &Test) -> Result<Outcome> {
        let home = Network::current()?;
        let ended = self.start(test, false)?;
        home.enter()?;
        self.settle(ended)
    }

    /// Runs one test, and leaves the caller in its network namespace. If it is `alone`, what the
    /// whole machine has more of is its doing.
    pub(super) fn start(&self, test: &Test, alone: bool) -> Result<Ended> {
        let start = Instant::now();
        namespace::new_network().context("making a network namespace")?;
        let network = Network::current()?;
        let before = Counters::network();
        let outcome = self.process(test, alone)?;
        Ok(Ended {
            took: start.elapsed(),
            outcome,
            network,
            before,
        })
    }

    /// Looks at what a test has left in its network namespace.
    pub(super) fn settle(&self, ended: Ended) -> Result<Outcome> {
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
    fn process(&self, test: &Test, alone: bool) -> Result<Outcome> {
        let mut output = task::memfd().context("memfd_create")?;
        let time = test.time * self.scale;
        let outside = if alone {
            Counters::outside
        } else {
            Counters::children
        };
        let before = outside();
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
        if let Some(grown) = Counters::grown_since(outside, &before, self.patience) {
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
        // What the test leaves running must not keep the runner's pipes open.
        if task::close_all_but_standard().is_err() {
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
