// SPDX-License-Identifier: GPL-2.0

//! How long a socket waits.

use crate::{
    bindings,
    prelude::*,
    task::MAX_SCHEDULE_TIMEOUT, //
};

/// The number of nanoseconds in a second.
const NSEC_PER_SEC: i64 = 1_000_000_000;

/// A jiffy is `HZ_TO_NSEC_NUM / HZ_TO_NSEC_DEN` nanoseconds, exactly.
///
/// (`HZ` itself is no help: bindgen takes the one of user space, which is always 100.)
const NUM: u32 = bindings::HZ_TO_NSEC_NUM;
const DEN: u32 = bindings::HZ_TO_NSEC_DEN;

/// The number of jiffies in a second.
const JIFFIES_PER_SEC: u32 = 1_000_000_000 / NUM * DEN;

// What is computed below stays in 32 bits, and the second is a whole number of jiffies.
const _: () = {
    build_assert!(1_000_000_000 % NUM == 0);
    build_assert!(DEN <= 4);
};

/// A timeout of a socket, in jiffies.
///
/// # Examples
///
/// ```
/// use kernel::net::sock::Timeout;
///
/// let tick = Timeout::from_jiffies(1);
/// assert!(Timeout::from_nanos(1) == Some(tick));
/// assert!(Timeout::from_nanos(tick.as_nanos()) == Some(tick));
///
/// assert!(Timeout::INFINITE.as_nanos() == -1);
/// assert!(Timeout::from_nanos(-1) == Some(Timeout::INFINITE));
/// assert!(Timeout::from_nanos(-2).is_none());
/// ```
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Timeout(c_long);

impl Timeout {
    /// Waits as long as it takes.
    pub const INFINITE: Self = Self(MAX_SCHEDULE_TIMEOUT);

    /// Makes a timeout out of what a field of `struct sock` has.
    #[inline]
    pub const fn from_jiffies(jiffies: c_long) -> Self {
        Self(jiffies)
    }

    /// Returns what goes into a field of `struct sock`.
    #[inline]
    pub const fn as_jiffies(self) -> c_long {
        self.0
    }

    /// Tells whether this is [`Self::INFINITE`].
    #[inline]
    pub const fn is_infinite(self) -> bool {
        self.0 == MAX_SCHEDULE_TIMEOUT
    }

    /// Returns the timeout in nanoseconds, rounded down, -1 if it is infinite.
    ///
    /// [`Self::from_nanos`] gets the same timeout out of this again, whatever `HZ` is.
    pub const fn as_nanos(self) -> i64 {
        if self.is_infinite() {
            return -1;
        }
        if self.0 < 0 {
            // No option sets this, and waiting takes it for no wait.
            return 0;
        }

        // Each side of the division fits: a second is at most 2^31 jiffies.
        let secs = self.0 / JIFFIES_PER_SEC as c_long;
        let rest = (self.0 % JIFFIES_PER_SEC as c_long) as u32;

        // `rest` is less than a second: the product is less than `NSEC_PER_SEC * DEN`.
        let nanos = (rest * NUM / DEN) as i64;

        (secs as i64)
            .saturating_mul(NSEC_PER_SEC)
            .saturating_add(nanos)
    }

    /// Makes a timeout out of nanoseconds, rounded up, or out of -1, which is infinite.
    ///
    /// Returns [`None`] if the number is less than that. What is too long for the kernel is
    /// infinite.
    pub fn from_nanos(nanos: i64) -> Option<Self> {
        if nanos == -1 {
            return Some(Self::INFINITE);
        }
        if nanos < 0 {
            return None;
        }

        // 32-bit machines do not divide 64-bit numbers, thus the function.
        // SAFETY: FFI call, there are no requirements on the number.
        let time = unsafe { bindings::ns_to_timespec64(nanos) };

        // CAST: Not negative, and less than a second. This makes the product below less than
        // `NSEC_PER_SEC * DEN`.
        let rest = (time.tv_nsec as u32 * DEN).div_ceil(NUM);
        let jiffies = time
            .tv_sec
            .saturating_mul(i64::from(JIFFIES_PER_SEC))
            .saturating_add(i64::from(rest));

        Some(c_long::try_from(jiffies).map_or(Self::INFINITE, Self))
    }
}
