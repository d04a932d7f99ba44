// SPDX-License-Identifier: GPL-2.0

//! A guest as somebody has it who types a command that boots it: all that is known of it is its
//! console, which is that person's terminal.

use crate::{
    checks::Checks,
    complaints,
    report::Folder,
    ui,
    vm::{
        line::Line,
        qemu, //
    },
};
use anyhow::{
    Context,
    Result, //
};
use fs_err as fs;
use std::{
    io::Write as _,
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Child,
        ChildStdin,
        Command,
        ExitStatus,
        Stdio, //
    },
    thread,
    time::{
        Duration,
        Instant, //
    },
};

/// How often is looked whether something has come to pass.
const PAUSE: Duration = Duration::from_millis(100);

pub struct Terminal {
    command: Child,
    keyboard: ChildStdin,
    console: PathBuf,
    started: Instant,
}

impl Terminal {
    /// Starts QEMU in a directory.
    pub fn boot(line: &Line, dir: &Path, folder: &Folder) -> Result<Self> {
        fs::write(folder.file("qemu.txt"), format!("{line}\n"))?;
        Self::start(qemu::command(line).current_dir(dir), folder)
    }

    /// Starts a command; what the console shows is kept in the folder of the run.
    pub fn start(command: &mut Command, folder: &Folder) -> Result<Self> {
        let console = folder.file("console.log");
        let file = fs::File::create(&console)?.into_file();
        let mut command = command
            .stdin(Stdio::piped())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| {
                let program = command.get_program().display();
                format!("cannot start {program}: `cargo xtask doctor` says what is missing")
            })?;
        let keyboard = command.stdin.take().context("no pipe")?;
        Ok(Self {
            command,
            keyboard,
            console,
            started: Instant::now(),
        })
    }

    pub fn types(&mut self, text: &str) -> Result<()> {
        Ok(self.keyboard.write_all(text.as_bytes())?)
    }

    /// Waits until the console shows something; see [`wait`](Self::wait).
    pub fn shows(&mut self, text: &str, limit: Duration) -> Result<bool> {
        self.wait(limit, |terminal| Ok(terminal.console()?.contains(text)))
    }

    /// Waits until something is so, or the guest has ended, or the time is over; says whether it is
    /// so.
    pub fn wait(
        &mut self,
        limit: Duration,
        mut is_so: impl FnMut(&mut Self) -> Result<bool>,
    ) -> Result<bool> {
        let from = Instant::now();
        loop {
            // Before the last look, so that nothing is missed that came at the end.
            let is_last = from.elapsed() > limit || self.has_ended()?;
            if is_so(self)? {
                return Ok(true);
            }
            if is_last {
                return Ok(false);
            }
            thread::sleep(PAUSE);
        }
    }

    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.status()?.is_some())
    }

    /// What the command has ended with, if it has.
    pub fn status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.command.try_wait()?)
    }

    /// All that the console has shown.
    pub fn console(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.console)?).into_owned())
    }

    /// The end of that.
    pub fn last_words(&self) -> Result<String> {
        let console = self.console()?;
        let lines: Vec<_> = console.lines().collect();
        let last = lines.len().saturating_sub(15);
        Ok(format!(
            "after {}\n{}",
            ui::seconds(self.started.elapsed()),
            lines[last..].join("\n")
        ))
    }

    /// Checks that the kernel has not complained on the console.
    pub fn check_complaints(&self, name: &str, checks: &mut Checks) -> Result<()> {
        let (found, _) = complaints::scan(&self.console()?, "console.log");
        let kinds: Vec<_> = found.iter().map(|complaint| complaint.kind).collect();
        let quiet = format!("{name}: the kernel does not complain");
        checks.say(&quiet, kinds.is_empty(), &kinds.join("\n"));
        Ok(())
    }

    /// Follows tests on the console until the guest has ended, and counts them.
    pub fn check_tests(
        &mut self,
        name: &str,
        limit: Duration,
        folder: &Folder,
        checks: &mut Checks,
    ) -> Result<()> {
        let mut log = folder.log("ktap.log")?;
        let mut parser = ktap::Parser::new();
        // What is before them is none of theirs.
        let (mut begun, mut seen) = (false, 0);
        let ended = self.wait(limit, |terminal| {
            let ended = terminal.has_ended()?;
            let console = terminal.console()?;
            let whole = console.rfind('\n').map_or(0, |end| end + 1);
            for line in console[seen..whole].lines() {
                begun |= matches!(ktap::classify(line), (0, ktap::Line::Version));
                if !begun {
                    continue;
                }
                log.line(line);
                // Others speak on the console, too.
                let shown = match parser.feed(line) {
                    ktap::Event::Started | ktap::Event::Took => false,
                    ktap::Event::Text => line.trim_start().starts_with('#'),
                    ktap::Event::Plan { .. } | ktap::Event::Result { .. } => true,
                };
                if shown {
                    println!("{line}");
                }
            }
            seen = whole;
            Ok(ended)
        })?;
        let report = parser.finish();
        checks.totals.add(report.totals());
        let problems = report.problems.join("\n");
        checks.say(
            &format!("{name}: the tests pass"),
            report.is_green(),
            &problems,
        );
        checks.say(
            &format!("{name}: powers off after the tests"),
            ended,
            &self.last_words()?,
        );
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.command.kill();
        let _ = self.command.wait();
    }
}
