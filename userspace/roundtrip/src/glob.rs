// SPDX-License-Identifier: GPL-2.0

//! Names of tests by pattern.

/// Whether `name` matches `pattern`, where `*` stands for any text and `?` for
/// one character.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut chars = pattern.chars();
    match chars.next() {
        None => name.is_empty(),
        Some('*') => (0..=name.len())
            .filter(|at| name.is_char_boundary(*at))
            .any(|at| matches(chars.as_str(), &name[at..])),
        Some(wanted) => {
            let mut rest = name.chars();
            rest.next()
                .is_some_and(|found| wanted == '?' || wanted == found)
                && matches(chars.as_str(), rest.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("options::*", "options::linger", true),
            ("*linger*", "options::linger::huge", true),
            ("linger", "options::linger", false),
            ("options::?inger", "options::linger", true),
            ("", "a", false),
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
