// SPDX-License-Identifier: GPL-2.0

//! What `vminit` reports.

/// The lines of the control port, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The guest's own clock when the job was started.
    pub started: Option<String>,
    /// The job's exit status; above 128 the signal that ended it.
    pub exit: Option<i32>,
    /// What went wrong within the guest before or beside the job.
    pub notes: Vec<String>,
    /// Why the job was not started.
    pub no_start: Option<String>,
    /// `/proc/sys/kernel/tainted` before the job and after it.
    pub taint: (Option<u64>, Option<u64>),
    /// Sockets in use before the job and after it.
    pub sockets: Option<(u64, u64)>,
    /// The report of kmemleak.
    pub kmemleak: Vec<String>,
    /// Whether kmemleak looked at all.
    pub kmemleak_ran: bool,
    /// The kernel's log, read in the guest: all of it if `done`.
    pub log: String,
    /// Whether the guest got to the end of its work.
    pub done: bool,
}

/// Bits of the taint flag that say nothing bad: a KUnit test was run (N).
const HARMLESS: u64 = 1 << 18;

/// Letters of the taint flags, by bit, as `Documentation/admin-guide/tainted-kernels.rst` has them.
const LETTERS: &str = "PFSRMBUDAWCIOELKXTNJ";

impl Facts {
    /// Takes one line.
    pub fn feed(&mut self, line: &str) {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        match key {
            "start" => self.started = Some(value.to_owned()),
            "exit" => self.exit = value.parse().ok(),
            "no-start" => self.no_start = Some(value.to_owned()),
            "taint-before" => self.taint.0 = value.parse().ok(),
            "taint-after" => self.taint.1 = value.parse().ok(),
            "sockets" => {
                self.sockets = value
                    .split_once(' ')
                    .and_then(|(before, after)| Some((before.parse().ok()?, after.parse().ok()?)));
            }
            "kmemleak" => {
                self.kmemleak_ran = true;
                self.kmemleak.push(value.to_owned());
            }
            "kmemleak-clean" => self.kmemleak_ran = true,
            "log" => {
                self.log.push_str(value);
                self.log.push('\n');
            }
            "note" => self.notes.push(value.to_owned()),
            "done" => self.done = true,
            _ => {}
        }
    }

    /// What the kernel's own books say that is wrong.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for (when, taint) in [("before the job", self.taint.0), ("after it", self.taint.1)] {
            if let Some(taint) = taint.filter(|taint| taint & !HARMLESS != 0) {
                complaints.push(format!(
                    "the kernel is tainted {when}: {taint} ({})",
                    letters(taint)
                ));
            }
        }
        if let Some((before, after)) = self.sockets
            && after > before
        {
            complaints.push(format!(
                "sockets in use: {before} before the job, {after} after it"
            ));
        }
        if !self.kmemleak.is_empty() {
            complaints.push(format!("kmemleak: {}", self.kmemleak.join("\n  ")));
        }
        complaints
    }
}

fn letters(taint: u64) -> String {
    let set = LETTERS
        .chars()
        .enumerate()
        .filter(|(bit, _)| taint & (1 << bit) != 0);
    set.map(|(_, letter)| letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Facts {
        let mut facts = Facts::default();
        for line in lines {
            facts.feed(line);
        }
        facts
    }

    #[test]
    fn a_good_guest() {
        let facts = read(&[
            "up 0.87",
            "taint-before 262144",
            "start 0.90",
            "exit 0",
            "sockets 3 3",
            "kmemleak-clean ",
            "taint-after 262144",
            "done 1.20",
        ]);
        assert_eq!(facts.exit, Some(0));
        assert!(facts.done && facts.kmemleak_ran);
        assert_eq!(facts.complaints(), Vec::<String>::new());
    }

    #[test]
    fn a_bad_guest() {
        let facts = read(&[
            "taint-before 0",
            "sockets 3 5",
            "kmemleak unreferenced object 0x1",
            "taint-after 512",
        ]);
        assert_eq!(
            facts.complaints(),
            [
                "the kernel is tainted after it: 512 (W)",
                "sockets in use: 3 before the job, 5 after it",
                "kmemleak: unreferenced object 0x1",
            ]
        );
        assert!(!facts.done);
    }
}
