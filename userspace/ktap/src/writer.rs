// SPDX-License-Identifier: GPL-2.0
//! Prints a run line by line.

use std::io::{self, Write};
use std::time::Duration;

/// Prints one level of a run. Every line is flushed, so that a reader sees it at once.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    indent: usize,
    number: usize,
    failed: bool,
}

impl<W: Write> Writer<W> {
    /// Begins to write the outermost level.
    pub fn new(out: W) -> Self {
        Self {
            out,
            indent: 0,
            number: 0,
            failed: false,
        }
    }

    /// Prints the version line and the plan: how many results will follow.
    pub fn begin(&mut self, plan: usize) -> io::Result<()> {
        self.line("KTAP version 1")?;
        self.line(&format!("1..{plan}"))
    }

    /// A test has begun, of several that run side by side. One that dies with the machine has been
    /// named.
    pub fn started(&mut self, name: &str) -> io::Result<()> {
        self.diagnostic(&format!("Started: {}", plain(name)))
    }

    /// How long the test took whose result is printed next.
    pub fn took(&mut self, time: Duration) -> io::Result<()> {
        self.diagnostic(&format!("Took: {} ms", time.as_millis()))
    }

    /// A test passed.
    pub fn ok(&mut self, name: &str) -> io::Result<()> {
        self.result("ok", name, "")
    }

    /// A test failed; `message` says how, each line as a diagnostic before the result.
    pub fn not_ok(&mut self, name: &str, message: &str) -> io::Result<()> {
        self.failed = true;
        self.diagnostic(message)?;
        self.result("not ok", name, "")
    }

    /// A test did not end in time.
    pub fn timeout(&mut self, name: &str, after: &str) -> io::Result<()> {
        self.failed = true;
        self.result("not ok", name, &format!("TIMEOUT {after}"))
    }

    /// A test was left out because the kernel lacks what `reason` names.
    pub fn skip(&mut self, name: &str, reason: &str) -> io::Result<()> {
        self.result("ok", name, &format!("SKIP {reason}"))
    }

    /// Text for a human, each line behind `# `.
    pub fn diagnostic(&mut self, text: &str) -> io::Result<()> {
        for line in text.lines() {
            self.line(&format!("# {line}"))?;
        }
        Ok(())
    }

    /// Opens a level below; `close` it with the name of the test that it makes up.
    pub fn subtests(&mut self, name: &str, plan: usize) -> io::Result<Writer<&mut W>> {
        let indent = self.indent.saturating_add(2);
        let mut below = Writer {
            out: &mut self.out,
            indent,
            number: 0,
            failed: false,
        };
        below.line("KTAP version 1")?;
        below.diagnostic(&format!("Subtest: {}", plain(name)))?;
        below.line(&format!("1..{plan}"))?;
        Ok(below)
    }

    /// Whether any test of this level failed.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    fn result(&mut self, outcome: &str, name: &str, directive: &str) -> io::Result<()> {
        self.number = self.number.saturating_add(1);
        let mut line = format!("{outcome} {} {}", self.number, plain(name));
        if !directive.is_empty() {
            line.push_str(" # ");
            line.push_str(&directive.replace('\n', " "));
        }
        self.line(&line)
    }

    /// One write per line, so that lines of several processes do not mix.
    fn line(&mut self, line: &str) -> io::Result<()> {
        let indent = self.indent;
        self.out
            .write_all(format!("{:indent$}{line}\n", "").as_bytes())?;
        self.out.flush()
    }
}

/// A name as KTAP allows it: one line, no `#`.
fn plain(name: &str) -> String {
    name.replace('#', "_").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_as_written() {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.begin(4).unwrap();
        writer.started("a::b").unwrap();
        writer.took(Duration::from_micros(12_900)).unwrap();
        writer.ok("a::b").unwrap();
        writer.not_ok("a::c", "left: 1\nright: 2").unwrap();
        writer.skip("a::d#1", "no dummy").unwrap();
        let mut below = writer.subtests("group", 1).unwrap();
        below.ok("x").unwrap();
        assert!(!below.has_failed());
        writer.ok("group").unwrap();
        assert!(writer.has_failed());
        let expected = "KTAP version 1\n1..4\n# Started: a::b\n# Took: 12 ms\nok 1 a::b\n# left: 1\n# right: 2\nnot ok 2 a::c\n\
                        ok 3 a::d_1 # SKIP no dummy\n  KTAP version 1\n  # Subtest: group\n  1..1\n  \
                        ok 1 x\nok 4 group\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
