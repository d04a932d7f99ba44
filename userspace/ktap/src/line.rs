// SPDX-License-Identifier: GPL-2.0
//! What one line of KTAP is.

use std::time::Duration;

use crate::Status;

/// One line, classified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line<'a> {
    /// `KTAP version 1` (or `TAP version 13`, which the kernel's older tests print).
    Version,
    /// `1..N`.
    Plan(usize),
    /// `# Subtest: name`, the name of the level that it opens.
    Subtest(&'a str),
    /// `# Started: name`: a test has begun, others may end before it does.
    Started(&'a str),
    /// `# Took: N ms`: how long the test took whose result comes next.
    Took(Duration),
    /// `ok` or `not ok`.
    Result(ResultLine<'a>),
    /// `Bail out!`: the run gave up.
    Bail(&'a str),
    /// Any other line that starts with `#`.
    Diagnostic(&'a str),
    /// Not KTAP: output of the program under test or a kernel message.
    Other(&'a str),
}

/// An `ok` or `not ok` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultLine<'a> {
    /// The test's number within its level, from 1; `None` if it was left out or is no number.
    pub number: Option<usize>,
    /// The name, without the number and the directive.
    pub name: &'a str,
    /// What `ok`, `not ok` and the directive say together.
    pub status: Status,
    /// What stands after the directive, such as the reason of a skip.
    pub reason: &'a str,
}

/// Says what a line is, and how far it is indented.
pub fn classify(line: &str) -> (usize, Line<'_>) {
    let text = line.trim_end();
    let body = text.trim_start_matches(' ');
    let indent = text.len().saturating_sub(body.len());
    (indent, classify_body(body))
}

fn classify_body(body: &str) -> Line<'_> {
    if matches!(body, "KTAP version 1" | "TAP version 13" | "TAP version 14") {
        return Line::Version;
    }
    if let Some(count) = plan(body) {
        return Line::Plan(count);
    }
    if let Some(rest) = word(body, "not ok") {
        return Line::Result(result(rest, false));
    }
    if let Some(rest) = word(body, "ok") {
        return Line::Result(result(rest, true));
    }
    if let Some(rest) = body.strip_prefix("Bail out!") {
        return Line::Bail(rest.trim());
    }
    match body.strip_prefix('#') {
        Some(rest) => {
            let rest = rest.trim();
            if let Some(name) = rest.strip_prefix("Subtest:") {
                Line::Subtest(name.trim())
            } else if let Some(name) = rest.strip_prefix("Started:") {
                Line::Started(name.trim())
            } else if let Some(time) = rest.strip_prefix("Took:").and_then(milliseconds) {
                Line::Took(time)
            } else {
                Line::Diagnostic(rest)
            }
        }
        None => Line::Other(body),
    }
}

fn milliseconds(text: &str) -> Option<Duration> {
    let number = text.trim().strip_suffix(" ms")?;
    number.parse().ok().map(Duration::from_millis)
}

/// Removes what `printk` puts before a message: level, time, and caller.
pub fn strip_printk(line: &str) -> &str {
    let mut rest = line.trim_end_matches(['\r', '\n']);
    if let Some(after) = rest.strip_prefix('<')
        && let Some((level, message)) = after.split_once('>')
        && !level.is_empty()
        && level.bytes().all(|b| b.is_ascii_digit())
    {
        rest = message;
    }
    let mut stripped = false;
    while let Some(after) = rest.strip_prefix('[')
        && let Some((stamp, message)) = after.split_once(']')
        && is_stamp(stamp)
    {
        rest = message;
        stripped = true;
    }
    if stripped {
        rest.strip_prefix(' ').unwrap_or(rest)
    } else {
        rest
    }
}

/// A time (`    0.749691`), or a caller (`    T1`, `    C0`).
fn is_stamp(stamp: &str) -> bool {
    let body = stamp.trim_start();
    let digits = body.strip_prefix(['T', 'C']).unwrap_or(body);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

fn plan(body: &str) -> Option<usize> {
    let rest = body.strip_prefix("1..")?;
    let count = rest.split(' ').next()?;
    count.parse().ok()
}

/// What follows `prefix`, if it stands alone as a word.
fn word<'a>(body: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = body.strip_prefix(prefix)?;
    if rest.is_empty() {
        Some(rest)
    } else {
        rest.strip_prefix(' ')
    }
}

fn result(rest: &str, ok: bool) -> ResultLine<'_> {
    let rest = rest.trim_start();
    let (head, tail) = rest.split_once(' ').unwrap_or((rest, ""));
    let (number, rest) = match head.parse() {
        Ok(number) => (Some(number), tail),
        Err(_) => (None, rest),
    };
    let (name, comment) = match rest.split_once("# ") {
        Some((name, comment)) if name.is_empty() || name.ends_with(' ') => (name, comment.trim()),
        _ => (rest, ""),
    };
    let name = name.trim();
    let name = name.strip_prefix("- ").unwrap_or(name);
    let (directive, reason) = comment.split_once(' ').unwrap_or((comment, ""));
    let upper = directive.to_ascii_uppercase();
    let (status, reason) = match (upper.as_str(), ok) {
        ("SKIP", true) => (Status::Skipped, reason),
        ("XFAIL" | "TODO", _) => (Status::ExpectedFailure, reason),
        ("TIMEOUT" | "ERROR", _) | (_, false) => (Status::Failed, comment),
        (_, true) => (Status::Passed, comment),
    };
    ResultLine {
        number,
        name,
        status,
        reason: reason.trim(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> ResultLine<'_> {
        match classify(line).1 {
            Line::Result(result) => result,
            other => panic!("{line:?} is {other:?}"),
        }
    }

    #[test]
    fn results_and_directives() {
        let cases = [
            ("ok 1 a::b", Some(1), "a::b", Status::Passed, ""),
            ("not ok 12 a", Some(12), "a", Status::Failed, ""),
            (
                "ok 2 a # SKIP no device",
                Some(2),
                "a",
                Status::Skipped,
                "no device",
            ),
            ("ok 2 - a # skip", Some(2), "a", Status::Skipped, ""),
            (
                "not ok 3 a # XFAIL known",
                Some(3),
                "a",
                Status::ExpectedFailure,
                "known",
            ),
            (
                "not ok 4 a # TIMEOUT 45 s",
                Some(4),
                "a",
                Status::Failed,
                "TIMEOUT 45 s",
            ),
            (
                "ok 5 a # ERROR no module",
                Some(5),
                "a",
                Status::Failed,
                "ERROR no module",
            ),
            (
                "not ok 6 a # SKIP lies",
                Some(6),
                "a",
                Status::Failed,
                "SKIP lies",
            ),
            ("ok name", None, "name", Status::Passed, ""),
            ("ok 7", Some(7), "", Status::Passed, ""),
            ("ok 8 a#b", Some(8), "a#b", Status::Passed, ""),
            (
                "ok 9 a # took 3 ms",
                Some(9),
                "a",
                Status::Passed,
                "took 3 ms",
            ),
        ];
        for (line, number, name, status, reason) in cases {
            assert_eq!(
                parsed(line),
                ResultLine {
                    number,
                    name,
                    status,
                    reason
                },
                "{line}"
            );
        }
    }

    #[test]
    fn other_lines() {
        assert_eq!(classify("KTAP version 1"), (0, Line::Version));
        assert_eq!(classify("    1..3\r"), (4, Line::Plan(3)));
        assert_eq!(classify("1..0 # SKIP all"), (0, Line::Plan(0)));
        assert_eq!(
            classify("  # Subtest: rust_netlink"),
            (2, Line::Subtest("rust_netlink"))
        );
        assert_eq!(classify("# Started: a::b"), (0, Line::Started("a::b")));
        assert_eq!(classify("# hello"), (0, Line::Diagnostic("hello")));
        assert_eq!(classify("okay"), (0, Line::Other("okay")));
        assert_eq!(classify("not okay"), (0, Line::Other("not okay")));
        assert_eq!(classify("1..x"), (0, Line::Other("1..x")));
        assert_eq!(
            classify("Bail out! no family"),
            (0, Line::Bail("no family"))
        );
    }

    #[test]
    fn printk_prefixes() {
        assert_eq!(strip_printk("[    0.749832]     1..1"), "    1..1");
        assert_eq!(
            strip_printk("[    0.1][    T1] KTAP version 1"),
            "KTAP version 1"
        );
        assert_eq!(strip_printk("<6>[    0.1] ok 1 a"), "ok 1 a");
        assert_eq!(strip_printk("[abc] d"), "[abc] d");
        assert_eq!(strip_printk("ok 1 a"), "ok 1 a");
        assert_eq!(strip_printk(""), "");
    }
}
