// SPDX-License-Identifier: GPL-2.0

//! Which of the kernel's code was reached, by KCOV.

use std::io;
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
    area: &'static [AtomicU64],
    seen: Vec<u64>,
    /// How many places there are in it.
    pub count: u64,
}

/// Where a place is in a set.
fn index(place: u64) -> (usize, u64) {
    let place = place & ((1 << BITS) - 1);
    let word = usize::try_from(place / 64).unwrap_or_default();
    (word, 1 << (place % 64))
}

impl Cover {
    /// Has the kernel write down what this thread reaches.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            area: sys::kcov(AREA)?,
            seen: vec![0; WORDS],
            count: 0,
        })
    }

    /// Forgets what was written down.
    pub fn start(&self) {
        self.area[0].store(0, Ordering::Relaxed);
    }

    /// The places that were reached since then, some of them many times.
    fn places(&self) -> impl Iterator<Item = u64> {
        let count = self.area[0].load(Ordering::Relaxed);
        let count = usize::try_from(count).unwrap_or_default().min(AREA - 1);
        let places = self.area[1..=count].iter();
        places.map(|place| place.load(Ordering::Relaxed))
    }

    /// Takes note of the places; gives those that are new.
    pub fn take(&mut self) -> Vec<u64> {
        let mut new = Vec::new();
        let count = self.area[0].load(Ordering::Relaxed);
        let count = usize::try_from(count).unwrap_or_default().min(AREA - 1);
        for place in &self.area[1..=count] {
            let place = place.load(Ordering::Relaxed);
            let (word, bit) = index(place);
            if self.seen[word] & bit == 0 {
                self.seen[word] |= bit;
                new.push(place);
            }
        }
        self.count += u64::try_from(new.len()).unwrap_or_default();
        new
    }

    /// Whether all of these places were reached.
    pub fn has(&self, wanted: &[u64]) -> bool {
        let mut left = wanted.to_vec();
        for place in self.places() {
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
