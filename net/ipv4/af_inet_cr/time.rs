// SPDX-License-Identifier: GPL-2.0

//! Times, which a message has in nanoseconds, a socket in jiffies, and `setsockopt()` in seconds.
//!
//! What a kernel dumps it restores without a difference, whatever its `HZ`. A kernel with another
//! `HZ` rounds up, as `setsockopt()` does.

#![forbid(unsafe_code)]

use crate::internals::HZ;

use kernel::{
    net::sock::Timeout,
    prelude::*, //
};

/// Microseconds in a second.
const USEC_PER_SEC: c_long = 1_000_000;

/// Returns a time in nanoseconds, as a message has it; -1 is without limit.
///
/// Returns [`None`] for what is longer than a message can say (292 years), and for what is
/// negative: both would come back as something else.
pub(crate) fn to_nanos(time: Timeout) -> Option<i64> {
    let nanos = time.as_nanos();

    (time.as_jiffies() >= 0 && nanos != i64::MAX).then_some(nanos)
}

/// Returns the time that a message has.
///
/// Returns [`None`] for what is negative, and for what is rounded up to more than a message can
/// say: no dump could have that.
pub(crate) fn from_nanos(nanos: i64) -> Option<Timeout> {
    Timeout::from_nanos(nanos).filter(|&time| to_nanos(time).is_some())
}

/// Returns the time that a message has, if it is in whole seconds, and `struct linger` can have it.
pub(crate) fn from_nanos_in_secs(nanos: i64) -> Option<Timeout> {
    let time = Timeout::from_nanos(nanos)?;

    (linger_secs(time, HZ).is_some() && to_nanos(time) == Some(nanos)).then_some(time)
}

/// Returns a `struct __kernel_sock_timeval` that `sock_set_timeout()` makes the time of.
pub(crate) fn timeval(time: Timeout) -> Result<[u8; 16]> {
    let (secs, usecs) = timeval_secs(time, HZ).ok_or(ERANGE)?;

    // CAST: A `long` has at most 64 bits.
    Ok(concat(
        (secs as i64).to_ne_bytes(),
        (usecs as i64).to_ne_bytes(),
    ))
}

/// Returns a `struct linger` that `SO_LINGER` makes the time of.
pub(crate) fn linger(on: bool, time: Timeout) -> Result<[u8; 8]> {
    let secs = linger_secs(time, HZ).ok_or(ERANGE)?;

    Ok(concat(c_int::from(on).to_ne_bytes(), secs.to_ne_bytes()))
}

/// Returns seconds and microseconds that `sock_set_timeout()` makes the time of.
///
/// They are not what `sock_get_timeout()` returns: that one rounds down to a microsecond, and where
/// a jiffy is not a whole number of them (`HZ` = 300), `sock_set_timeout()` makes more of it.
fn timeval_secs(time: Timeout, hz: c_long) -> Option<(c_long, c_long)> {
    if time.is_infinite() {
        return Some((0, 0));
    }
    match time.as_jiffies() {
        // Two zeroes mean infinite; what is negative does not wait.
        0 => Some((-1, 0)),
        jiffies if jiffies > 0 => Some((
            jiffies.checked_div(hz)?,
            jiffies
                .checked_rem(hz)?
                .checked_mul(USEC_PER_SEC.checked_div(hz)?)?,
        )),
        _ => None,
    }
}

/// Returns the seconds that `SO_LINGER` makes the time of.
fn linger_secs(time: Timeout, hz: c_long) -> Option<c_int> {
    if time.is_infinite() {
        // So is all that is negative.
        return Some(-1);
    }
    let jiffies = time.as_jiffies();
    let whole = jiffies >= 0 && jiffies.checked_rem(hz)? == 0;

    whole.then(|| c_int::try_from(jiffies.checked_div(hz)?).ok())?
}

/// Puts one number behind the other.
pub(crate) fn concat<const N: usize, const M: usize>(first: [u8; N], second: [u8; N]) -> [u8; M] {
    let mut bytes = [0; M];
    let both = Iterator::chain(first.into_iter(), second);

    for (to, from) in bytes.iter_mut().zip(both) {
        *to = from;
    }
    bytes
}

#[cfg(CONFIG_AF_INET_CR_KUNIT_TEST)]
#[kernel::macros::kunit_tests(af_inet_cr_time)]
mod tests {
    use super::*;

    /// Every `HZ` that a kernel can have on some architecture.
    const ALL_HZ: [c_long; 9] = [24, 48, 100, 128, 250, 256, 300, 1000, 1024];

    /// What `sock_set_timeout()` does.
    fn set_timeout((secs, usecs): (c_long, c_long), hz: c_long) -> Timeout {
        let tick = USEC_PER_SEC / hz;

        Timeout::from_jiffies(match (secs, usecs) {
            (0, 0) => return Timeout::INFINITE,
            (secs, _) if secs < 0 => 0,
            (secs, usecs) => secs * hz + (usecs + tick - 1) / tick,
        })
    }

    /// What `SO_LINGER` does.
    fn set_linger(secs: c_int, hz: c_long) -> Timeout {
        match c_long::try_from(secs) {
            Ok(secs) if secs >= 0 => Timeout::from_jiffies(secs * hz),
            _ => Timeout::INFINITE,
        }
    }

    #[test]
    fn so_rcvtimeo_makes_the_same_time() {
        for hz in ALL_HZ {
            let days = [hz * 86_400, hz * 86_400 - 1, hz * 2_000_000 + 1];

            for jiffies in Iterator::chain(0..3 * hz, days) {
                let time = Timeout::from_jiffies(jiffies);
                let secs = timeval_secs(time, hz);

                assert!(secs.is_some_and(|(_, usecs)| (0..USEC_PER_SEC).contains(&usecs)));
                assert!(secs.map(|secs| set_timeout(secs, hz)) == Some(time));
            }
            assert_eq!(timeval_secs(Timeout::INFINITE, hz), Some((0, 0)));
            assert_eq!(timeval_secs(Timeout::from_jiffies(-1), hz), None);
        }
        // 1 / 300 s is not a whole number of microseconds.
        assert_eq!(
            timeval_secs(Timeout::from_jiffies(299), 300),
            Some((0, 299 * 3_333))
        );
    }

    #[test]
    fn so_linger_makes_the_same_time() {
        for hz in ALL_HZ {
            for secs in [0, 1, 59, 86_400] {
                let time = Timeout::from_jiffies(secs * hz);
                let same = linger_secs(time, hz).map(|secs| set_linger(secs, hz));

                assert!(same == Some(time));
                assert_eq!(linger_secs(Timeout::from_jiffies(secs * hz + 1), hz), None);
            }
            assert_eq!(linger_secs(Timeout::INFINITE, hz), Some(-1));
            assert_eq!(linger_secs(Timeout::from_jiffies(-hz), hz), None);
        }
    }

    #[test]
    fn messages_keep_the_time() {
        for jiffies in [0, 1, HZ - 1, HZ, HZ + 1, 86_400 * HZ] {
            let time = Timeout::from_jiffies(jiffies);

            assert!(to_nanos(time).and_then(from_nanos) == Some(time));
        }
        assert_eq!(to_nanos(Timeout::INFINITE), Some(-1));
        assert!(from_nanos(-1) == Some(Timeout::INFINITE));
        assert!(from_nanos(-2).is_none());
        assert_eq!(to_nanos(Timeout::from_jiffies(-1)), None);
        // Up, never to "do not wait".
        assert!(from_nanos(1) == Some(Timeout::from_jiffies(1)));
    }

    #[test]
    #[cfg(CONFIG_64BIT)]
    fn messages_have_292_years() {
        assert_eq!(to_nanos(Timeout::from_jiffies(c_long::MAX - 1)), None);
        assert!(from_nanos(i64::MAX).is_none());
        assert!(from_nanos(i64::MAX - 1).is_none());
        assert!(from_nanos(i64::MAX - 1_000_000_000).is_some());
    }

    #[test]
    fn linger_has_whole_seconds() {
        let sec = 1_000_000_000;

        assert!(from_nanos_in_secs(0) == Some(Timeout::from_jiffies(0)));
        assert!(from_nanos_in_secs(5 * sec) == Some(Timeout::from_jiffies(5 * HZ)));
        assert!(from_nanos_in_secs(-1) == Some(Timeout::INFINITE));
        for nanos in [1, sec - 1, sec + 1, -2, -sec] {
            assert!(from_nanos_in_secs(nanos).is_none());
        }
    }
}
