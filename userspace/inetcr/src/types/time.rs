// SPDX-License-Identifier: GPL-2.0
//! Times.

use std::fmt;
use std::time::Duration;

use serde_json::Value as Json;

use crate::attr::RawAttr;
use crate::table::Kind;
use crate::value::{self, Value};

/// A time that something may take: nanoseconds, or without limit. Zero does not wait.
///
/// ```
/// use inetcr::Time;
/// use std::time::Duration;
///
/// let time = Time::from_duration(Duration::from_millis(1500)).unwrap();
/// assert_eq!(time.to_string(), "1.5s");
/// assert_eq!(Time::INFINITE.duration(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(
    /// Invariant: nanoseconds, or -1.
    i64,
);

impl Time {
    /// Waits without limit.
    pub const INFINITE: Self = Self(-1);
    /// Does not wait.
    pub const ZERO: Self = Self(0);

    /// A time of nanoseconds, `None` if it does not fit in 63 bits.
    pub fn from_nanos(nanos: u64) -> Option<Self> {
        i64::try_from(nanos).ok().map(Self)
    }

    /// The same from a [`Duration`].
    pub fn from_duration(duration: Duration) -> Option<Self> {
        i64::try_from(duration.as_nanos()).ok().map(Self)
    }

    /// Nanoseconds, `None` if it is without limit.
    pub fn nanos(self) -> Option<u64> {
        u64::try_from(self.0).ok()
    }

    /// The time as a [`Duration`], `None` if it is without limit.
    pub fn duration(self) -> Option<Duration> {
        self.nanos().map(Duration::from_nanos)
    }

    fn from_wire(value: i64) -> Result<Self, String> {
        if value < -1 {
            return Err(format!("is {value}, which is no time"));
        }
        Ok(Self(value))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.duration() {
            Some(Duration::ZERO) => f.write_str("0s"),
            Some(duration) => write!(f, "{duration:?}"),
            None => f.write_str("infinite"),
        }
    }
}

impl Value for Time {
    const KIND: Kind = Kind::Sint;

    fn encode(&self, number: u16) -> RawAttr {
        RawAttr::sint(number, self.0)
    }
    fn decode(payload: &[u8]) -> Result<Self, String> {
        Self::from_wire(value::sint(payload)?)
    }
    fn to_json(&self) -> Result<Json, String> {
        Ok(Json::from(self.0))
    }
    fn from_json(json: Json) -> Result<Self, String> {
        let nanos = json
            .as_i64()
            .ok_or_else(|| format!("{json} is not a count of nanoseconds, or -1"))?;
        Self::from_wire(nanos)
    }
    fn human(&self) -> String {
        self.to_string()
    }
}
