// SPDX-License-Identifier: GPL-2.0

//! What the reader sees. Everything here goes to stderr: stdout is for results.

use indicatif::{
    ProgressBar,
    ProgressStyle, //
};
use std::{
    cell::Cell,
    io::IsTerminal as _,
    path::Path,
    time::{
        Duration,
        Instant, //
    },
};

/// How often a long step says that it still lives, where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(30);

/// One line of information.
pub fn note(text: &str) {
    eprintln!("   {text}");
}

/// Something the reader should know though it stops nothing.
pub fn warning(text: &str) {
    eprintln!("warning: {text}");
}

/// The end of a command that could not do its work: the cause, then the causes of the cause.
pub fn error(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}

/// A duration as a person says it.
pub fn seconds(time: Duration) -> String {
    let all = time.as_secs();
    if all >= 60 {
        format!("{} min {:02} s", all / 60, all % 60)
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

/// A path as the reader types it from the checkout.
pub fn short(repo: &Path, path: &Path) -> String {
    path.strip_prefix(repo)
        .unwrap_or(path)
        .display()
        .to_string()
}

/// A step of a command: a bar or a spinner on a terminal, plain lines elsewhere; its time is
/// printed when it is done.
pub struct Step {
    what: String,
    started: Instant,
    said: Cell<Instant>,
    bar: Option<ProgressBar>,
    finished: bool,
}

impl Step {
    /// A step of unknown length.
    pub fn new(what: &str) -> Self {
        Self::with(
            what,
            ProgressBar::new_spinner(),
            "{spinner} {prefix} [{elapsed}] {wide_msg}",
        )
    }

    /// A step of about `length` parts.
    pub fn bar(what: &str, length: u64) -> Self {
        Self::with(
            what,
            ProgressBar::new(length),
            "{spinner} {prefix} [{elapsed}] {bar:30} {percent:>3}% {wide_msg}",
        )
    }

    fn with(what: &str, bar: ProgressBar, style: &str) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template(style);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(what.to_owned());
            bar.enable_steady_tick(Duration::from_millis(200));
            Some(bar)
        } else {
            eprintln!(" - {what}");
            None
        };
        Self {
            what: what.to_owned(),
            started: Instant::now(),
            said: Cell::new(Instant::now()),
            bar,
            finished: false,
        }
    }

    /// How far the step is, of the length given to [`Step::bar`], and what it does just now.
    pub fn at(&self, position: u64, length: u64, message: &str) {
        if let Some(bar) = &self.bar {
            // More came than was expected: the length was only a guess.
            if position > bar.length().unwrap_or(0) {
                bar.set_length(position);
            }
            bar.set_position(position);
            bar.set_message(message.to_owned());
        } else if self.said.get().elapsed() >= PLAIN_INTERVAL {
            self.said.set(Instant::now());
            let part = (position * 100).checked_div(length).unwrap_or(0).min(100);
            eprintln!("   {} {part}% {message}", seconds(self.started.elapsed()));
        }
    }

    /// Ends the step; `result` says what came of it (may be empty). Gives the time it took.
    pub fn done(mut self, result: &str) -> Duration {
        self.finished = true;
        let time = self.started.elapsed();
        self.line("ok", result);
        time
    }

    fn line(&self, mark: &str, result: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let colon = if result.is_empty() { "" } else { ": " };
        let time = seconds(self.started.elapsed());
        eprintln!(" {mark} {}{colon}{result} ({time})", self.what);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.finished {
            self.line("--", "failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        assert_eq!(seconds(Duration::from_millis(3456)), "3.5 s");
        assert_eq!(seconds(Duration::from_secs(391)), "6 min 31 s");
    }
}
