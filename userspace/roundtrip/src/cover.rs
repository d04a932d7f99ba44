// SPDX-License-Identifier: GPL-2.0

//! What the tests reach of the kernel's code, by KCOV: for `cargo xtask cover`.
//!
//! It is noted of the first thread of every process that the suite forks, the tests among them; what
//! programs reach that a test starts, or a second thread, is not seen.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use kcov::{Set, Trace};

use crate::sys::task;

/// What each line begins with that says what was reached.
const LINE: &str = "# reached";

/// How many places go into one line.
const IN_LINE: usize = 16;

/// How long what the kernel writes down for one process can become.
const WORDS: usize = 512 * 1024;

/// What is shared by all processes.
struct Reached {
    places: Set,
    /// How many processes have reached more than can be written down.
    full: &'static AtomicU32,
}

static REACHED: OnceLock<Reached> = OnceLock::new();

/// Has what is forked from now on tell what it reaches.
pub fn begin() -> Result<()> {
    ensure!(
        kcov::is_there(),
        "the kernel does not tell what is reached (CONFIG_KCOV, debugfs)"
    );
    let full = task::shared(1)?.first().context("no memory")?;
    let places = Set::new()?;
    // There is one beginning.
    let _ = REACHED.set(Reached { places, full });
    Ok(())
}

/// Runs what a child does, and notes what it reaches.
pub fn of_child<R>(body: impl FnOnce() -> R) -> R {
    let Some(reached) = REACHED.get() else {
        return body();
    };
    // A child may have given away what it takes to ask.
    let trace = Trace::start(WORDS).ok();
    let result = body();
    if let Some(trace) = trace {
        for place in trace.places() {
            reached.places.add(place);
        }
        let full = u32::from(trace.is_full());
        reached.full.fetch_add(full, Ordering::Relaxed);
    }
    result
}

/// Says what was reached, in lines that are diagnostics of KTAP.
pub fn end(mut out: impl Write) -> io::Result<()> {
    let Some(reached) = REACHED.get() else {
        return Ok(());
    };
    let places: Vec<_> = reached.places.places().collect();
    for some in places.chunks(IN_LINE) {
        write!(out, "{LINE}")?;
        for place in some {
            write!(out, " {place:x}")?;
        }
        writeln!(out)?;
    }
    let full = reached.full.load(Ordering::Relaxed);
    if full > 0 {
        writeln!(
            out,
            "# {full} processes reached more than could be written down"
        )?;
    }
    Ok(())
}
