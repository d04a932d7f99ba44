// SPDX-License-Identifier: GPL-2.0

//! What checkpoint and restore cost, in instructions of the machine, beside the plain system calls
//! that do as much of it as they can.
//!
//! It is the first process of a machine that runs nothing else, and whose clock counts instructions
//! (`qemu -icount`): `cargo xtask bench` makes that machine. Of each case it prints a line, `bench
//! NAME INSTRUCTIONS`; of one alone if `BENCH_CASE` names it, of those that need much memory if there
//! is `BENCH_LARGE`, of those of the family in C if there is `BENCH_C`, and of those that need no
//! family if there is `BENCH_PLAIN` (what a kernel does not know of its command line, init gets).

mod another;
mod beside_c;
mod cases;
mod lookup;
mod many;
mod netlink;
mod options;
mod plain;
mod sys;

use anyhow::Result;

/// How often each case is measured. The least counts: timers and the allocator add to the others.
const ROUNDS: usize = 9;

/// What the names of the cases have that need much memory. What starts the machine knows it, too.
const LARGE: &str = "1,000,000";

fn main() {
    if let Err(error) = sys::prepare().map_err(Into::into).and_then(|()| run()) {
        println!("error {error:#}");
    }
    sys::end();
}

fn run() -> Result<()> {
    let only = std::env::var("BENCH_CASE").ok();
    let is_asked_for = |what| std::env::var_os(what).is_some();
    let large = is_asked_for("BENCH_LARGE");
    let cases = if is_asked_for("BENCH_C") {
        beside_c::prepare()?;
        vec![beside_c::CASES]
    } else if is_asked_for("BENCH_PLAIN") {
        vec![plain::ALL]
    } else {
        vec![cases::ALL, plain::ALL]
    };
    for case in cases.concat() {
        let wanted = match &only {
            Some(only) => only == case.name,
            None => case.name.contains(LARGE) == large,
        };
        if !wanted {
            continue;
        }
        let instructions = (case.run)()?;
        println!("bench {} {instructions}", case.name);
    }
    println!("done");
    Ok(())
}

/// How many instructions something takes that is done `times` times, for one of them.
fn count(times: u64, work: impl FnMut() -> Result<()>) -> Result<u64> {
    count_rounds(ROUNDS, times, work)
}

/// The same, in so many rounds.
fn count_rounds(rounds: usize, times: u64, mut work: impl FnMut() -> Result<()>) -> Result<u64> {
    let mut least = u64::MAX;
    // Caches of the allocator are filled, which is little of what is worth one round only.
    if rounds > 1 {
        work()?;
    }
    for _ in 0..rounds {
        let start = sys::instructions();
        for _ in 0..times {
            work()?;
        }
        least = least.min(sys::instructions() - start);
    }
    Ok(least / times)
}
