// SPDX-License-Identifier: GPL-2.0

//! Version numbers as programs print them.

use std::fmt;

/// Compared number by number; what is missing counts as 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version([u32; 3]);

impl Version {
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self([major, minor, patch])
    }

    /// The first thing in `text` that looks like a version: a word with a digit, a dot, a digit.
    pub fn find(text: &str) -> Option<Self> {
        text.split(|c: char| !c.is_ascii_digit() && c != '.')
            .find(|word| {
                word.starts_with(|c: char| c.is_ascii_digit())
                    && word.trim_end_matches('.').contains('.')
            })
            .and_then(Self::parse)
    }

    fn parse(word: &str) -> Option<Self> {
        let mut numbers = [0; 3];
        let parts = word.trim_end_matches('.').split('.');
        for (number, part) in numbers.iter_mut().zip(parts) {
            *number = part.parse().ok()?;
        }
        Some(Self(numbers))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_print() {
        for (text, expected) in [
            ("rustc 1.96.0 (3f0f9f2a6 2026-05-26)", (1, 96, 0)),
            ("Debian clang version 19.1.7 (3~deb12u1)", (19, 1, 7)),
            ("bindgen 0.73.2", (0, 73, 2)),
            (
                "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)",
                (7, 2, 22),
            ),
            ("v1.24", (1, 24, 0)),
            ("GNU Make 4.3\nBuilt for x86_64-pc-linux-gnu", (4, 3, 0)),
            ("flex 2.6.4.", (2, 6, 4)),
        ] {
            let (a, b, c) = expected;
            assert_eq!(Version::find(text), Some(Version::new(a, b, c)), "{text}");
        }
        assert_eq!(Version::find("no number 7 here."), None);
        assert!(Version::new(1, 9, 0) < Version::new(1, 85, 0));
    }
}
