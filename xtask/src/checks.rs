// SPDX-License-Identifier: GPL-2.0

//! What a command that checks something has found, told as it is found.

use ktap::Totals;
use std::process::ExitCode;

#[derive(Default)]
pub struct Checks {
    pub totals: Totals,
}

impl Checks {
    /// Tells whether one thing was good; `why` says why not, in lines.
    pub fn say(&mut self, what: &str, good: bool, why: &str) {
        if good {
            self.totals.passed += 1;
            println!("ok {what}");
            return;
        }
        self.totals.failed += 1;
        println!("not ok {what}");
        for line in why.lines() {
            println!("  # {line}");
        }
    }

    /// Tells the sums, and what the command ends with.
    pub fn end(&self) -> ExitCode {
        println!("{}", self.totals);
        ExitCode::from(u8::from(self.totals.failed > 0 || self.totals.passed == 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_seen_to_be_good_is() {
        let mut checks = Checks::default();
        assert_eq!(checks.end(), ExitCode::from(1));
        checks.say("one", true, "");
        assert_eq!(checks.end(), ExitCode::SUCCESS);
        checks.say("two", false, "because");
        assert_eq!(checks.end(), ExitCode::from(1));
        assert_eq!(checks.totals.to_string(), "1 passed, 1 failed");
    }
}
