// SPDX-License-Identifier: GPL-2.0

//! The runner's own test.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ktap::Status;

use crate::leaks::{self, Counters, Namespaces};
use crate::runner::{MACHINE, NAMESPACES, Outcome, Runner, SILENCE, Test, skip};
use crate::sys::namespace::Network;
use crate::sys::task::End;
use crate::sys::{namespace, socket, task};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("selfcheck::runner", runner).slow(),
        Test::new("selfcheck::side_by_side", side_by_side)
            .slow()
            .alone(),
        Test::new("selfcheck::leak_of_many", leak_of_many).alone(),
        Test::new("selfcheck::first_look", first_look).alone(),
        Test::new("selfcheck::leak_of_namespace", leak_of_namespace),
        Test::new("selfcheck::long_silence", long_silence).alone(),
    ]
}

type Body = fn() -> Result<()>;
type Verdict = fn(&Outcome) -> bool;

/// Tests that fail, panic, leak, hang, die and skip are told from those that
/// pass.
fn runner() -> Result<()> {
    let expected: &[(&str, Body, Verdict)] = &[
        ("passes", || Ok(()), |o| matches!(o, Outcome::Passed)),
        (
            "fails",
            || bail!("as it should"),
            |o| matches!(o, Outcome::Failed(text) if text.contains("as it should")),
        ),
        (
            "panics",
            || panic!("as it should"),
            |o| matches!(o, Outcome::Failed(text) if text.contains("as it should")),
        ),
        (
            "leaks a socket",
            || {
                std::mem::forget(socket::udp()?);
                Ok(())
            },
            |o| matches!(o, Outcome::Failed(text) if text.contains("open files")),
        ),
        (
            "leaks a file",
            || {
                std::mem::forget(std::fs::File::open("/proc/self/status")?);
                Ok(())
            },
            |o| matches!(o, Outcome::Failed(text) if text.contains("open files")),
        ),
        (
            "hangs",
            || {
                std::thread::sleep(Duration::from_secs(600));
                Ok(())
            },
            |o| matches!(o, Outcome::TimedOut(..)),
        ),
        (
            "dies",
            || {
                std::process::abort();
            },
            |o| matches!(o, Outcome::Failed(text) if text.contains("signal 6")),
        ),
        (
            "exits",
            || std::process::exit(0),
            |o| matches!(o, Outcome::Failed(_)),
        ),
        (
            "skips",
            || skip("feature"),
            |o| matches!(o, Outcome::Skipped(text) if text.contains("feature")),
        ),
        (
            "leaves a child",
            || {
                std::mem::forget(task::fork(|| {
                    std::thread::sleep(Duration::from_secs(600));
                    0
                })?);
                Ok(())
            },
            |o| matches!(o, Outcome::Failed(_)),
        ),
        (
            "leaves a socket in its namespace",
            || {
                // As if the kernel kept it: a process that the runner does not
                // know has it.
                let _socket = socket::udp()?;
                task::outlive_until_end_of(std::os::unix::process::parent_id())?;
                Ok(())
            },
            |o| matches!(o, Outcome::Failed(text) if text.contains("leaked")),
        ),
    ];
    let runner = runner_of(1, IMPATIENT);
    for (name, body, is_right) in expected {
        let mut test = Test::new(*name, body);
        if *name == "hangs" {
            test = test.within(SOON);
        }
        let outcome = runner.one(&test)?;
        ensure!(
            is_right(&outcome),
            "a test that {name} came out as {outcome:?}"
        );
    }
    Ok(())
}

/// What hangs is given this long, times the scale.
const SOON: Duration = Duration::from_millis(10);

/// How slow this machine may be: a runner here does not know. What is to end by itself has time enough
/// on the slowest, where a panic takes its seconds to print.
const SCALE: u32 = 12;

/// Where something is left behind it is soon seen; where nothing is, there is time for it to go.
const IMPATIENT: Duration = Duration::from_millis(50);
const PATIENT: Duration = leaks::PATIENCE.saturating_mul(SCALE);

fn runner_of(jobs: usize, patience: Duration) -> Runner {
    Runner {
        jobs,
        scale: SCALE,
        live: false,
        patience,
    }
}

/// What two workers print, and what it comes to.
fn printed_by_two(tests: &[Test], patience: Duration) -> Result<(String, ktap::Report)> {
    let mut printed = Vec::new();
    let all_passed = runner_of(2, patience).run(tests, &mut printed)?;
    let printed = String::from_utf8(printed)?;
    let mut parser = ktap::Parser::new();
    for line in printed.lines() {
        parser.feed(line);
    }
    let report = parser.finish();
    let has_failed = report.totals().failed > 0;
    ensure!(all_passed != has_failed, "{all_passed}, but: {printed}");
    Ok((printed, report))
}

/// Of tests that run side by side each has its own result, also if one takes its worker with it; and
/// one that has to be alone is.
fn side_by_side() -> Result<()> {
    let tests = [
        Test::new("takes_its_worker_along", || {
            task::kill_parent()?;
            Ok(())
        }),
        Test::new("alone", || Ok(())).alone(),
        Test::new("fails", || bail!("as it should")),
        Test::new("hangs", || {
            loop {
                std::thread::sleep(Duration::from_secs(600));
            }
        })
        .within(SOON),
        Test::new("dies", || std::process::abort()),
        Test::new("skips", || skip("feature")),
        Test::new("passes", || Ok(())),
    ];
    let (printed, report) = printed_by_two(&tests, PATIENT)?;
    ensure!(report.problems.is_empty(), "{:?}", report.problems);
    let mut found: Vec<_> = report
        .tests
        .iter()
        .map(|test| (test.name.as_str(), test.status))
        .collect();
    found.sort_by_key(|(name, _)| *name);
    let expected = [
        ("alone", Status::Passed),
        ("dies", Status::Failed),
        ("fails", Status::Failed),
        ("hangs", Status::Failed),
        (MACHINE, Status::Passed),
        (NAMESPACES, Status::Passed),
        ("passes", Status::Passed),
        ("skips", Status::Skipped),
        ("takes_its_worker_along", Status::Failed),
    ];
    ensure!(found == expected, "{printed}");
    for told in ["# as it should", "# TIMEOUT 0 s", "signal 6", "is gone"] {
        ensure!(printed.contains(told), "nothing of {told:?}: {printed}");
    }
    // The others have all ended before.
    let (before, _) = printed
        .split_once("# Started: alone")
        .context("the one that is alone does not begin")?;
    let ended = before.lines().filter(|line| line.contains("ok ")).count();
    ensure!(ended == tests.len() - 1, "not alone: {printed}");
    Ok(())
}

/// A file that something keeps open is nobody's while tests run side by side, but is seen.
fn leak_of_many() -> Result<()> {
    let me = std::process::id();
    let leaks = move || {
        let _file = task::memfd()?;
        // Else it has the namespace of the test, too.
        Network::of(me.try_into()?)?.enter()?;
        task::outlive_until_end_of(me)?;
        Ok(())
    };
    let (printed, report) = printed_by_two(&[Test::new("leaks", leaks)], IMPATIENT)?;
    let failed: Vec<_> = report
        .tests
        .iter()
        .filter(|test| test.status == Status::Failed)
        .map(|test| test.name.as_str())
        .collect();
    ensure!(failed == [MACHINE], "{printed}");
    ensure!(printed.contains("files of the system"), "{printed}");
    Ok(())
}

/// What a child counts first has in it what its parent opens for it.
fn first_look() -> Result<()> {
    for turn in 0..50 {
        let grown = || {
            let first = Counters::machine();
            std::thread::sleep(Duration::from_millis(2));
            let grown = Counters::grown_since(Counters::machine, &first, Duration::ZERO);
            i32::from(grown.is_some())
        };
        let end = task::fork(grown)?.wait(PATIENT)?;
        ensure!(end == End::Exited(0), "{turn}: {end:?}");
    }
    Ok(())
}

/// Namespaces are counted as they are: neither those that the counting makes and drops are in it, nor
/// is one missed that is too many.
fn leak_of_namespace() -> Result<()> {
    // With an account of its own, on which nobody else has any.
    namespace::new_user_and_network()?;
    let all = Namespaces::open().context("the limit cannot be changed")?;
    let count = all.count();
    ensure!(count == 1, "{count} where there is 1");
    let patience = leaks::LONG_PATIENCE;
    ensure!(all.fall_to(1, patience), "what was counted does not go");
    ensure!(!all.fall_to(0, IMPATIENT), "one too many is not seen");
    Ok(())
}

/// A test that takes its time is not silent, as who waits for the run would give it up.
fn long_silence() -> Result<()> {
    let sleeps = || {
        std::thread::sleep(SILENCE + Duration::from_millis(100));
        Ok(())
    };
    let (printed, _) = printed_by_two(&[Test::new("sleeps", sleeps)], PATIENT)?;
    ensure!(printed.contains("# Still running"), "{printed}");
    Ok(())
}
