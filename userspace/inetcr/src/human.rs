// SPDX-License-Identifier: GPL-2.0
//! How people read values whose type does not say it.

use std::fmt::Write as _;

use bitflags::Flags;

use crate::flags;

/// Bytes as hexadecimal digits.
pub(crate) fn digits(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Bytes, of many only the first ones.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    match bytes.get(..16) {
        Some(first) if bytes.len() > 40 => format!("{}... ({} bytes)", digits(first), bytes.len()),
        _ => digits(bytes),
    }
}

/// Numbers that are made of bits.
pub(crate) fn hex(value: u32) -> String {
    format!("{value:#x}")
}

/// Which flags were saved.
pub(crate) fn mask<F: Flags<Bits = u32> + Copy>(saved: F) -> String {
    match flags::names(saved) {
        _ if saved.is_all() => "all".to_owned(),
        names if names.is_empty() => "none".to_owned(),
        names => names.join(","),
    }
}

/// A rate of which all ones are without limit.
pub(crate) fn rate(value: u64) -> String {
    match value {
        u64::MAX => "unlimited".to_owned(),
        value => format!("{value} bytes/s"),
    }
}

/// A number that is off below zero.
pub(crate) fn or_off(value: i32) -> String {
    minus_one(value, "off")
}

/// A number that names nothing below zero.
pub(crate) fn or_none(value: i32) -> String {
    minus_one(value, "none")
}

/// A number in the place of which the network namespace has one.
pub(crate) fn or_default(value: i32) -> String {
    minus_one(value, "default")
}

fn minus_one(value: i32, word: &str) -> String {
    match value {
        -1 => word.to_owned(),
        value => value.to_string(),
    }
}

/// `IP_MTU_DISCOVER`, by the names of its values.
pub(crate) fn mtu_discover(value: u32) -> String {
    let word = match value {
        0 => "dont",
        1 => "want",
        2 => "do",
        3 => "probe",
        4 => "interface",
        5 => "omit",
        other => return other.to_string(),
    };
    word.to_owned()
}

/// `UDP_ENCAP`, by the names of its values.
pub(crate) fn encap(value: u32) -> String {
    match value {
        0 => "none".to_owned(),
        2 => "esp".to_owned(),
        3 => "l2tp".to_owned(),
        other => other.to_string(),
    }
}

/// Low in the lower half, high in the upper half; zero leaves it to the network namespace.
pub(crate) fn port_range(value: u32) -> String {
    let port = |number: u32| match number {
        0 => "default".to_owned(),
        number => number.to_string(),
    };
    match (value & 0xffff, value >> 16) {
        (0, 0) => "default".to_owned(),
        (low, high) => format!("{} to {}", port(low), port(high)),
    }
}

/// A time of the wall clock; before its begin if there was none yet.
pub(crate) fn stamp(nanos: i64) -> String {
    const SECOND: i64 = 1_000_000_000;
    if nanos == -SECOND {
        return "none yet".to_owned();
    }
    let (seconds, rest) = (nanos.div_euclid(SECOND), nanos.rem_euclid(SECOND));
    format!("{seconds}.{rest:09} s")
}
