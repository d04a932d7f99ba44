// SPDX-License-Identifier: GPL-2.0

//! What came of each row.

use crate::ui;
use ktap::Totals;
use std::{
    fmt::Write as _,
    process::ExitCode,
    time::Duration, //
};

/// What came of a row.
#[derive(Debug)]
pub enum Outcome {
    /// What was built has no warning.
    Clean(String),
    /// It was clean, and nothing has changed since.
    Unchanged(String),
    /// Warnings about what is ours.
    Warnings(Vec<String>),
    Failed(String),
    /// It cannot be built here, and why.
    Impossible(String),
}

impl Outcome {
    /// In a word or two, for the table.
    fn short(&self) -> String {
        match self {
            Self::Clean(_) => "clean".to_owned(),
            Self::Unchanged(_) => "clean, and unchanged since".to_owned(),
            Self::Warnings(all) => format!("{} WARNINGS", all.len()),
            Self::Failed(_) => "FAILED".to_owned(),
            Self::Impossible(_) => "not possible".to_owned(),
        }
    }

    /// What was built, of what is good.
    fn built(&self) -> &str {
        match self {
            Self::Clean(built) | Self::Unchanged(built) => built,
            Self::Warnings(_) | Self::Failed(_) | Self::Impossible(_) => "",
        }
    }

    /// What there is to say beside, in lines.
    fn details(&self) -> String {
        match self {
            Self::Clean(_) | Self::Unchanged(_) => String::new(),
            Self::Warnings(all) => all.join("\n"),
            Self::Failed(text) | Self::Impossible(text) => text.clone(),
        }
    }
}

/// The rows in their order.
#[derive(Default)]
pub struct Table {
    rows: Vec<(String, Outcome, Duration)>,
}

impl Table {
    pub fn add(&mut self, name: &str, outcome: Outcome, time: Duration) {
        ui::note(&format!("{name}: {}", outcome.short()));
        self.rows.push((name.to_owned(), outcome, time));
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, outcome, time) in &self.rows {
            let (short, time) = (outcome.short(), ui::seconds(*time));
            let line = format!("{name:14} {short:28} {time:>12}  {}", outcome.built());
            let _ = writeln!(text, "{}", line.trim_end());
        }
        for (name, outcome, _) in &self.rows {
            let details = outcome.details();
            let lines = details.lines().filter(|line| !line.trim().is_empty());
            let lines: Vec<_> = lines.collect();
            if !lines.is_empty() {
                let _ = writeln!(text, "\n{name}: {}", lines.join("\n  "));
            }
        }
        text
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for (_, outcome, _) in &self.rows {
            *match outcome {
                Outcome::Clean(_) | Outcome::Unchanged(_) => &mut totals.passed,
                Outcome::Warnings(_) | Outcome::Failed(_) => &mut totals.failed,
                Outcome::Impossible(_) => &mut totals.skipped,
            } += 1;
        }
        totals
    }

    /// Prints all of it, and gives what the command ends with.
    pub fn print(&self) -> ExitCode {
        let totals = self.totals();
        println!("\n{}\n{totals}", self.text());
        // A table in which nothing was built proves nothing.
        ExitCode::from(u8::from(totals.failed > 0 || totals.passed == 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(outcomes: Vec<Outcome>) -> Table {
        let mut table = Table::default();
        for outcome in outcomes {
            table.add("a", outcome, Duration::from_secs(1));
        }
        table
    }

    #[test]
    fn what_was_not_built_is_not_good() {
        let skipped = || Outcome::Impossible("no gcc".to_owned());
        assert_eq!(table(vec![skipped()]).print(), ExitCode::from(1));
        let both = table(vec![Outcome::Unchanged("rust/".to_owned()), skipped()]);
        assert_eq!(both.print(), ExitCode::SUCCESS);
        assert_eq!(both.totals().to_string(), "1 passed, 0 failed, 1 skipped");
        assert!(both.text().contains("a: no gcc"), "{}", both.text());
        assert!(both.text().contains("  rust/\n"), "{}", both.text());
    }

    #[test]
    fn a_warning_is_red() {
        let red = table(vec![
            Outcome::Clean("vmlinux".to_owned()),
            Outcome::Warnings(vec!["x.rs:1:1: warning: one".to_owned(), "two".to_owned()]),
        ]);
        assert_eq!(red.print(), ExitCode::from(1));
        assert_eq!(red.totals().to_string(), "1 passed, 1 failed");
        assert!(red.text().contains("2 WARNINGS"));
        assert!(red.text().ends_with("a: x.rs:1:1: warning: one\n  two\n"));
    }
}
