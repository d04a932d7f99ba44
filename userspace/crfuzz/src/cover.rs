// SPDX-License-Identifier: GPL-2.0

//! Which of the kernel's code was reached, by KCOV, or else by what the kernel says.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys;

/// How many places the kernel can write down for one case; more are lost.
const AREA: usize = 256 * 1024;

/// Code of the kernel is told apart by these bits of its address: its image is shorter.
const BITS: usize = 26;

/// The length of a set of places.
pub const WORDS: usize = (1 << BITS) / 64;

/// What was reached so far.
pub struct Cover {
    /// Empty without KCOV.
    area: &'static [AtomicU64],
    seen: Vec<u64>,
}

/// Where a place is in a set.
fn index(place: u64) -> (usize, u64) {
    let place = place & ((1 << BITS) - 1);
    let word = usize::try_from(place / 64).unwrap_or_default();
    (word, 1 << (place % 64))
}

impl Cover {
    /// Has the kernel write down what this thread reaches, if it can.
    pub fn open() -> Self {
        Self {
            area: sys::kcov(AREA).unwrap_or_default(),
            seen: vec![0; WORDS],
        }
    }

    /// Whether the kernel tells of its code.
    pub fn is_by_code(&self) -> bool {
        !self.area.is_empty()
    }

    /// Forgets what was written down.
    pub fn start(&self) {
        if let Some(count) = self.area.first() {
            count.store(0, Ordering::Relaxed);
        }
    }

    /// The places that were reached since then, some of them many times.
    fn places(&self) -> impl Iterator<Item = u64> {
        let count = self
            .area
            .first()
            .map_or(0, |count| count.load(Ordering::Relaxed));
        let count = usize::try_from(count).unwrap_or_default();
        let places = self.area.iter().skip(1).take(count);
        places.map(|place| place.load(Ordering::Relaxed))
    }

    /// Takes note of the places, and of what was said; gives what is new.
    pub fn take(&mut self, marks: &[u64]) -> Vec<u64> {
        let mut new = Vec::new();
        let mut seen = std::mem::take(&mut self.seen);
        for place in self.places().chain(marks.iter().copied()) {
            let (word, bit) = index(place);
            if seen[word] & bit == 0 {
                seen[word] |= bit;
                new.push(place);
            }
        }
        self.seen = seen;
        new
    }

    /// Whether all of these places were reached.
    pub fn has(&self, wanted: &[u64], marks: &[u64]) -> bool {
        let mut left = wanted.to_vec();
        for place in self.places().chain(marks.iter().copied()) {
            left.retain(|one| *one != place);
            if left.is_empty() {
                return true;
            }
        }
        left.is_empty()
    }
}

/// Adds places to a set that several have; gives how many were new there.
pub fn share(set: &[AtomicU64], places: &[u64]) -> u64 {
    let new = places.iter().filter(|&&place| {
        let (word, bit) = index(place);
        let before = set
            .get(word)
            .map_or(u64::MAX, |word| word.fetch_or(bit, Ordering::Relaxed));
        before & bit == 0
    });
    u64::try_from(new.count()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_new_once() {
        let set: Vec<_> = (0..WORDS).map(|_| AtomicU64::new(0)).collect();
        let places = [
            0xffff_ffff_8100_0001,
            0xffff_ffff_8100_0040,
            0xffff_ffff_83ff_ffff,
        ];
        assert_eq!(share(&set, &places), 3);
        assert_eq!(share(&set, &places), 0);
        assert_eq!(share(&set, &[0xffff_ffff_8100_0002]), 1);
    }
}
