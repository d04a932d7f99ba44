// SPDX-License-Identifier: GPL-2.0

//! Whether the command that is printed boots the image to its shell.

use crate::{
    ui::Step,
    vm::line::Line, //
};
use anyhow::{
    Context,
    Result,
    bail, //
};
use std::{
    io::{
        Read,
        Write as _, //
    },
    process::{
        Command,
        ExitCode,
        Stdio, //
    },
};

/// How long the guest may live, in seconds.
const LIFE: &str = "180";

/// The end of the shell's prompt.
const PROMPT: &str = "[af_inet_cr image] ~ # ";

/// What is typed there, and what has to come of it, on lines of their own.
const TYPED: &str = "inetcr show --fd 0; exit 7\n";
const ANSWERS: [&str; 2] = ["not a socket", "vminit: exit 7"];

/// Boots, waits for the prompt, types, and reads until the guest is gone.
pub fn run(boot: &Line) -> Result<ExitCode> {
    let mut command = Command::new("timeout");
    command.args(["--foreground", "--kill-after=5", LIFE]);
    let mut child = command
        .args(boot.words())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start QEMU: `cargo xtask doctor` says what is missing")?;
    let (Some(mut stdin), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) else {
        bail!("no pipes");
    };
    let step = Step::new("boot the image");
    let mut said = String::new();
    let booted = read_until(&mut stdout, &mut said, Some(PROMPT))?;
    if booted {
        stdin.write_all(TYPED.as_bytes())?;
    }
    step.done(if booted { "a prompt" } else { "no prompt" });
    read_until(&mut stdout, &mut said, None)?;
    child.wait()?;

    let mut failed = u8::from(!booted);
    for answer in ANSWERS {
        if !said.lines().any(|line| line.contains(answer)) {
            println!("nothing says {answer:?}");
            failed += 1;
        }
    }
    if failed > 0 {
        println!("{said}");
    }
    println!(
        "{} passed, {failed} failed",
        ANSWERS.len() + 1 - usize::from(failed)
    );
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// Reads until `end` is there, or to the end; gives whether it is there.
fn read_until(from: &mut impl Read, said: &mut String, end: Option<&str>) -> Result<bool> {
    let mut piece = [0; 4096];
    loop {
        if end.is_some_and(|end| said.contains(end)) {
            return Ok(true);
        }
        let length = from.read(&mut piece)?;
        if length == 0 {
            return Ok(false);
        }
        said.push_str(&String::from_utf8_lossy(&piece[..length]));
    }
}
