// SPDX-License-Identifier: GPL-2.0

//! The process of a virtual machine.

use crate::{
    exec,
    vm::line::Line, //
};
use anyhow::{
    Context,
    Result, //
};
use std::{
    io::Read as _,
    process::{
        Child,
        Command,
        Stdio, //
    },
};

/// The process; it never outlives this value, nor the driver.
pub struct Qemu(Child);

impl Qemu {
    /// Starts it.
    pub fn start(line: &Line) -> Result<Self> {
        let child = command(line)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start QEMU: `cargo xtask doctor` says what is missing")?;
        Ok(Self(child))
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }

    /// Ends it if it lives, and gives what it said.
    pub fn end(&mut self) -> String {
        let _ = self.0.kill();
        let mut messages = String::new();
        if let Some(mut stderr) = self.0.stderr.take() {
            let _ = stderr.read_to_string(&mut messages);
        }
        let _ = self.0.wait();
        messages
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// QEMU, told to die with the process that starts it.
pub fn command(line: &Line) -> Command {
    let words = words(line);
    let mut command = Command::new(words.first().copied().unwrap_or_default());
    command.args(words.iter().skip(1));
    command
}

/// The same for a shell.
pub fn for_shell(line: &Line) -> Result<String> {
    shlex::try_join(words(line)).context("the command line of QEMU")
}

fn words(line: &Line) -> Vec<&str> {
    let mut words = exec::binding("KILL");
    words.extend(line.words());
    words
}
