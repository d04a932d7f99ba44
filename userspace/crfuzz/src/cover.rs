// SPDX-License-Identifier: GPL-2.0

//! Which of the kernel's code was reached, by KCOV, or else by what the kernel says.

use std::io;

use kcov::{Set, Trace};

/// How long what the kernel writes down for one case can become; more is lost.
const WORDS: usize = 256 * 1024;

/// What was reached so far.
pub struct Cover {
    /// Nothing without KCOV.
    trace: Option<Trace>,
    seen: Set,
}

impl Cover {
    /// Has the kernel write down what this thread reaches, if it can.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            trace: Trace::start(WORDS).ok(),
            seen: Set::new()?,
        })
    }

    /// Whether the kernel tells of its code.
    pub fn is_by_code(&self) -> bool {
        self.trace.is_some()
    }

    /// Forgets what was written down.
    pub fn start(&self) {
        if let Some(trace) = &self.trace {
            trace.forget();
        }
    }

    /// The places that were reached since then, some of them many times, and what was said.
    fn places(&self, marks: &[u64]) -> impl Iterator<Item = u64> {
        let traced = self.trace.iter().flat_map(Trace::places);
        traced.chain(marks.iter().copied())
    }

    /// Takes note of the places, and of what was said; gives what is new.
    pub fn take(&self, marks: &[u64]) -> Vec<u64> {
        let places = self.places(marks);
        places.filter(|&place| self.seen.add(place)).collect()
    }

    /// Whether all of these places were reached.
    pub fn has(&self, wanted: &[u64], marks: &[u64]) -> bool {
        let mut left = wanted.to_vec();
        for place in self.places(marks) {
            left.retain(|one| *one != place);
            if left.is_empty() {
                return true;
            }
        }
        left.is_empty()
    }
}
