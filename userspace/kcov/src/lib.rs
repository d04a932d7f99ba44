// SPDX-License-Identifier: GPL-2.0

//! Which code of the kernel a thread reaches, by KCOV (`Documentation/dev-tools/kcov.rst`), and sets
//! of such places that processes share.

#![expect(
    unsafe_code,
    reason = "requests of a device, and memory that is shared"
)]

use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::iter;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};

/// The device.
const DEVICE: &str = "/sys/kernel/debug/kcov";

/// `KCOV_INIT_TRACE`, `KCOV_ENABLE` and `KCOV_TRACE_PC` of `linux/kcov.h`.
const INIT_TRACE: libc::Ioctl = 0x8008_6301;
const ENABLE: libc::Ioctl = 0x6364;
const TRACE_PC: libc::c_ulong = 0;

/// Whether the kernel can tell (`CONFIG_KCOV`), and lets itself be asked (debugfs).
pub fn is_there() -> bool {
    Path::new(DEVICE).exists()
}

/// What the kernel writes down of one thread: the number of places in the first word, and each of
/// them behind it.
pub struct Trace(&'static [AtomicU64]);

impl Trace {
    /// Has the kernel write down what the calling thread reaches, until it ends, into so many words
    /// (which have to be whole pages).
    ///
    /// Children and other threads have to ask for themselves.
    pub fn start(words: usize) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(DEVICE)?;
        // SAFETY: The request takes a number.
        check(unsafe { libc::ioctl(file.as_raw_fd(), INIT_TRACE, words) })?;
        let area = map(words, libc::MAP_SHARED, file.as_raw_fd())?;
        // SAFETY: The request takes a number.
        check(unsafe { libc::ioctl(file.as_raw_fd(), ENABLE, TRACE_PC) })?;
        // The memory, which is never unmapped, keeps what the descriptor stands for.
        Ok(Self(area))
    }

    /// Forgets what was written down.
    pub fn forget(&self) {
        self.0[0].store(0, Ordering::Relaxed);
    }

    fn count(&self) -> usize {
        usize::try_from(self.0[0].load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// Whether there was no room for more: what was reached later is lost.
    pub fn is_full(&self) -> bool {
        self.count() >= self.0.len() - 1
    }

    /// The places that were reached, some of them many times: where a call of the tracer returns to.
    pub fn places(&self) -> impl Iterator<Item = u64> {
        let places = self.0.iter().skip(1).take(self.count());
        places.map(|place| place.load(Ordering::Relaxed))
    }
}

/// Code of the kernel is told apart by these bits of its address: its image is shorter.
const BITS: usize = 26;

/// Where the image of the kernel is (`__START_KERNEL_map` of x86-64).
const BASE: u64 = 0xffff_ffff_8000_0000;

/// A set of places, shared with the children of who has made it.
#[derive(Debug, Clone, Copy)]
pub struct Set(&'static [AtomicU64]);

impl Set {
    /// One with nothing in it. It is never freed.
    pub fn new() -> io::Result<Self> {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        map((1 << BITS) / 64, flags, -1).map(Self)
    }

    /// Adds a place; says whether it is new.
    pub fn add(&self, place: u64) -> bool {
        let place = place & ((1 << BITS) - 1);
        let (word, bit) = (place / 64, 1 << (place % 64));
        let word = usize::try_from(word).ok().and_then(|word| self.0.get(word));
        word.is_some_and(|word| {
            // Most are there, and to look disturbs no other processor.
            word.load(Ordering::Relaxed) & bit == 0
                && word.fetch_or(bit, Ordering::Relaxed) & bit == 0
        })
    }

    /// The places in it, in their order.
    pub fn places(&self) -> impl Iterator<Item = u64> {
        (BASE..).step_by(64).zip(self.0).flat_map(|(first, word)| {
            let mut left = word.load(Ordering::Relaxed);
            iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(first + u64::from(bit))
            })
        })
    }
}

fn check(ret: c_int) -> io::Result<c_int> {
    if ret < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}

/// Maps so many words, which are 0.
fn map(words: usize, flags: c_int, fd: c_int) -> io::Result<&'static [AtomicU64]> {
    let len = words * size_of::<AtomicU64>();
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: Maps memory at no place that was asked for.
    let place = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, fd, 0) };
    if place == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: The memory is as long as this, aligned to a page, and never unmapped.
    Ok(unsafe { slice::from_raw_parts(place.cast(), words) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_new_once() {
        let set = Set::new().unwrap();
        let places = [
            0xffff_ffff_8100_0001,
            0xffff_ffff_8100_0040,
            0xffff_ffff_83ff_ffff,
        ];
        for place in places {
            assert!(set.add(place));
            assert!(!set.add(place));
        }
        assert!(set.add(0xffff_ffff_8100_0002));
        let all: Vec<_> = set.places().collect();
        assert_eq!(
            all,
            [places[0], 0xffff_ffff_8100_0002, places[1], places[2]]
        );
    }
}
