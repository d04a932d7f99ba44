// SPDX-License-Identifier: GPL-2.0

//! What checkpoint and restore cost, in instructions of the machine, beside the plain system calls
//! that do as much of it as they can.
//!
//! It is the first process of a machine that runs nothing else, and whose clock counts instructions
//! (`qemu -icount`): `cargo xtask bench` makes that machine. Of each case it prints a line, `bench
//! NAME INSTRUCTIONS`; of one alone if `BENCH_CASE` names it (what a kernel does not know of its
//! command line, init gets).

mod cases;
mod netlink;
mod options;
mod sys;

use anyhow::Result;

/// How often each case is measured. The least counts: timers and the allocator add to the others.
const ROUNDS: usize = 9;

fn main() {
    if let Err(error) = sys::prepare().map_err(Into::into).and_then(|()| run()) {
        println!("error {error:#}");
    }
    sys::end();
}

fn run() -> Result<()> {
    let only = std::env::var("BENCH_CASE").ok();
    for case in cases::ALL {
        if only.as_ref().is_some_and(|only| only != case.name) {
            continue;
        }
        let instructions = (case.run)()?;
        println!("bench {} {instructions}", case.name);
    }
    println!("done");
    Ok(())
}

/// How many instructions something takes that is done `times` times, for one of them.
fn count(times: u64, mut work: impl FnMut() -> Result<()>) -> Result<u64> {
    let mut least = u64::MAX;
    // Caches of the allocator are filled.
    work()?;
    for _ in 0..ROUNDS {
        let start = sys::instructions();
        for _ in 0..times {
            work()?;
        }
        least = least.min(sys::instructions() - start);
    }
    Ok(least / times)
}
