// SPDX-License-Identifier: GPL-2.0

//! `ci`: everything that has to pass before a change lands, one command after the other.
//!
//! Each step is a command that a person can type, run as a child, so that what passes here is
//! what the README promises. A step that prints a line `N passed, N failed` counts with these
//! numbers, any other counts as one.

use crate::{
    ctx::Ctx,
    exec,
    ui, //
};
use anyhow::{
    Context,
    Result, //
};
use std::{
    io::{
        BufRead as _,
        BufReader, //
    },
    process::{
        ExitCode,
        Stdio, //
    },
    time::{
        Duration,
        Instant, //
    },
};

/// Options of `ci`.
#[derive(clap::Args)]
pub struct Args {
    /// Also run what takes too long for every change.
    #[arg(long)]
    full: bool,
    /// List the steps and stop.
    #[arg(long)]
    list: bool,
}

/// A command of CI.
struct Step {
    /// The command line, as a person would type it.
    line: &'static str,
    /// Whether only `--full` runs it.
    full: bool,
}

const fn always(line: &'static str) -> Step {
    Step { line, full: false }
}

const fn full(line: &'static str) -> Step {
    Step { line, full: true }
}

/// In this order: what is quick to fail comes first, as far as it needs no kernel.
const STEPS: &[Step] = &[
    always("cargo xtask setup"),
    always("cargo xtask doctor"),
    always("cargo xtask lint host format spec docs"),
    always("cargo test --workspace --quiet"),
    always("cargo xtask series check --mistakes"),
    always("cargo make series-check"),
    always("cargo make demo"),
    always("cargo make vm-test"),
    always("cargo xtask kselftest"),
    always("cargo xtask selftest"),
    always("cargo xtask image initramfs --check"),
    always("cargo xtask vm-test --image --no-build --quick"),
    always("cargo xtask fuzz --messages 50000 --seed 1"),
    always("cargo make bench-check"),
    always("cargo xtask vm-test --flavour debug"),
    always("cargo xtask criu"),
    always("cargo xtask lint kernel"),
    full("cargo xtask vm-test --repeat 5"),
    full("cargo xtask vm-test --image"),
    full("cargo xtask image initramfs --no-build --check-tests"),
    full("cargo xtask vm-test --flavour distro"),
    full("cargo xtask vm-test --flavour race"),
    full("cargo xtask vm-test --arch arm64"),
    full("cargo xtask run --arch arm64 --no-build -- inetcr show --all"),
    full("cargo xtask vm-test --arch s390"),
    full("cargo xtask run --arch s390 --no-build -- inetcr show --all"),
    full("cargo xtask config --flavour debug --arch arm64"),
    full("cargo xtask kunit"),
    full("cargo xtask builds"),
    full("cargo xtask cover"),
    full("cargo xtask gdb --check"),
    full("cargo xtask rust-analyzer --check"),
    full("cargo xtask bench --check --c --off"),
    full("cargo xtask image disk --check"),
    // Without a seed, so that each time the messages are others.
    full("cargo xtask fuzz --flavour debug --no-kmemleak --messages 10000000"),
    full("cargo xtask fuzz --flavour debug --messages 300000"),
    full("cargo xtask series check --build"),
];

/// What came of one step.
struct Outcome {
    line: &'static str,
    passed: u64,
    failed: u64,
    skipped: u64,
    time: Duration,
}

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    let steps = STEPS.iter().filter(|step| args.full || !step.full);
    if args.list {
        steps.for_each(|step| println!("{}", step.line));
        return Ok(ExitCode::SUCCESS);
    }
    let mut outcomes = Vec::new();
    for step in steps {
        println!("\n=== {}", step.line);
        let outcome = run_step(ctx, step.line)?;
        println!("=== {} in {}", verdict(&outcome), ui::seconds(outcome.time));
        outcomes.push(outcome);
    }

    println!();
    for outcome in &outcomes {
        let time = ui::seconds(outcome.time);
        println!("{:6} {time:>12}  {}", verdict(outcome), outcome.line);
    }
    let sum = |count: fn(&Outcome) -> u64| outcomes.iter().map(count).sum::<u64>();
    let (passed, failed, skipped) = (
        sum(|outcome| outcome.passed),
        sum(|outcome| outcome.failed),
        sum(|outcome| outcome.skipped),
    );
    println!("\n{passed} passed, {failed} failed, {skipped} skipped");
    Ok(ExitCode::from(u8::from(failed > 0)))
}

fn verdict(outcome: &Outcome) -> &'static str {
    if outcome.failed > 0 { "FAILED" } else { "ok" }
}

/// Runs one command line, shows what it prints and adds up the counts in it.
fn run_step(ctx: &Ctx, line: &'static str) -> Result<Outcome> {
    let started = Instant::now();
    let mut words = line.split_whitespace();
    let program = words.next().context("a step without a command")?;
    // A CI that is cancelled ends this process alone. Of a task of cargo-make that reaches
    // cargo-make, and not what it has started.
    let mut child = exec::bound(program)
        .args(words)
        .current_dir(&ctx.repo)
        // Cargo's own variables of the outer call would make the inner one rebuild.
        .env_remove("CARGO_MANIFEST_DIR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{line}` does not start"))?;
    let mut counts = [0; 3];
    let mut counted = false;
    if let Some(stdout) = child.stdout.take() {
        for text in BufReader::new(stdout).split(b'\n') {
            let text = text?;
            let text = String::from_utf8_lossy(&text);
            println!("{text}");
            if let Some(found) = counts_of(&text) {
                counted = true;
                for (sum, count) in counts.iter_mut().zip(found) {
                    *sum += count;
                }
            }
        }
    }
    let success = child.wait()?.success();
    let [passed, mut failed, skipped] = counts;
    // A command may fail for a reason that is no test, and must not pass for lack of a count.
    if !success && failed == 0 {
        failed = 1;
    }
    Ok(Outcome {
        line,
        passed: if counted || !success { passed } else { 1 },
        failed,
        skipped,
        time: started.elapsed(),
    })
}

/// Reads `N passed, N failed[, N skipped]` alone on a line, or cargo's own closing line.
fn counts_of(line: &str) -> Option<[u64; 3]> {
    let line = line.trim();
    if let Some(rest) = line.strip_prefix("test result: ") {
        let (_, counts) = rest.split_once(". ")?;
        let mut counts = counts.split("; ");
        let passed = number_before(counts.next()?, "passed")?;
        let failed = number_before(counts.next()?, "failed")?;
        let ignored = number_before(counts.next()?, "ignored")?;
        return Some([passed, failed, ignored]);
    }
    let mut counts = line.split(", ");
    let passed = number_before(counts.next()?, "passed")?;
    let failed = number_before(counts.next()?, "failed")?;
    let skipped = match counts.next() {
        Some(text) => number_before(text, "skipped")?,
        None => 0,
    };
    counts.next().is_none().then_some([passed, failed, skipped])
}

/// The number in `N word`.
fn number_before(text: &str, word: &str) -> Option<u64> {
    let (number, rest) = text.split_once(' ')?;
    (rest == word).then(|| number.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_counted() {
        assert_eq!(counts_of("12 passed, 3 failed"), Some([12, 3, 0]));
        assert_eq!(
            counts_of("12 passed, 0 failed, 4 skipped"),
            Some([12, 0, 4])
        );
        assert_eq!(
            counts_of("test result: ok. 7 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out"),
            Some([7, 1, 2])
        );
    }

    #[test]
    fn other_lines_are_not() {
        for line in [
            "",
            "passed, failed",
            "a: 1 passed, 0 failed",
            "1 passed",
            "1 passed, 0 failed in 3 s",
            "1 passed, 0 failed, 0 skipped, 1 lost",
        ] {
            assert_eq!(counts_of(line), None, "{line}");
        }
    }

    #[test]
    fn steps_are_commands() {
        for step in STEPS {
            assert!(step.line.starts_with("cargo "), "{}", step.line);
        }
    }
}
