// SPDX-License-Identifier: GPL-2.0

//! `shell`, as a person has it at a terminal.

use crate::{
    ctx,
    report::Folder,
    ui,
    vm::terminal::Terminal, //
};
use anyhow::{
    Context,
    Result, //
};
use fs_err as fs;
use std::{
    env,
    path::Path,
    process::Command,
    time::{
        Duration,
        Instant, //
    },
};

/// A shell, what is typed there, and what has to come of it.
pub struct Case {
    pub name: &'static str,
    /// The words behind `cargo xtask shell`.
    options: &'static [&'static str],
    /// The beginning of the prompt.
    prompt: &'static str,
    typed: &'static str,
    /// What the terminal has to show. It shows what is typed, too, so that this is not in it.
    answers: &'static [&'static str],
    status: i32,
}

pub const CASES: &[Case] = &[
    Case {
        name: "shell: a prompt, the programs on PATH, the size of the terminal, and an end by exit",
        options: &["--no-build"],
        prompt: "[af_inet_cr VM]",
        typed: LOOK_AROUND,
        answers: FOUND,
        status: 0,
    },
    Case {
        name: "shell: in the small image",
        options: &["--no-build", "--image"],
        prompt: "[af_inet_cr image]",
        typed: LOOK_AROUND,
        answers: FOUND,
        status: 0,
    },
    Case {
        name: "shell: an end by Ctrl-A x",
        options: &["--no-build"],
        prompt: "[af_inet_cr VM]",
        typed: "\u{1}x",
        answers: &["QEMU: Terminated", "the guest ended before its shell did"],
        status: 3,
    },
    Case {
        name: "shell: a kernel that dies, by SysRq",
        options: &["--no-build"],
        prompt: "[af_inet_cr VM]",
        typed: "\u{1}bc",
        answers: &["Kernel panic", "the kernel complained: kernel panic"],
        status: 2,
    },
];

/// What is typed to see where one is; the programs are to know how slow the guest is.
const LOOK_AROUND: &str = "inetcr show --fd 0; stty size; \
    grep -q INETCR_TIME_SCALE /proc/$$/environ && echo $((6 * 7)) on $(tty); exit\n";
const FOUND: &[&str] = &["not a socket", "41 97", "42 on /dev/"];

/// The size that the terminal is given: none that one has by itself.
const SIZE: &str = "stty rows 41 cols 97";

/// How long it may take to get somewhere.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs it, with the results of `shell` in a folder; gives what is not as it has to be.
pub fn wrong(case: &Case, folder: &Folder, results: &Path) -> Result<Vec<String>> {
    let folder = Folder {
        path: folder.path.join(case.name.replace(' ', "-")),
    };
    fs::create_dir_all(&folder.path)?;
    let program = env::current_exe()?;
    let program = program.to_str().context("a path that is not UTF-8")?;
    let words = [program, "shell"].into_iter();
    let line = shlex::try_join(words.chain(case.options.iter().copied()))?;
    let line = format!("{SIZE}; exec {line}");
    // It gives the command a terminal, and this program its other end. If that ends first, the
    // command goes by SIGHUP, which nohup has had ignored.
    let mut script = Command::new("env");
    script.args([
        "--default-signal=HUP",
        "script",
        "--quiet",
        "--flush",
        "--return",
        "--command",
        &line,
        "/dev/null",
    ]);
    script.env(ctx::RESULTS, results);
    let from = Instant::now();
    let mut terminal = Terminal::start(&mut script, &folder)?;
    if !terminal.shows(case.prompt, PATIENCE)? {
        return Ok(vec![format!("no prompt {}", terminal.last_words()?)]);
    }
    let time = ui::seconds(from.elapsed());
    ui::note(&format!("shell: a prompt after {time}"));
    terminal.types(case.typed)?;
    let mut wrong = Vec::new();
    terminal.wait(PATIENCE, Terminal::has_ended)?;
    match terminal.status()? {
        Some(status) if status.code() == Some(case.status) => {}
        Some(status) => wrong.push(format!("{status}, not {}", case.status)),
        None => wrong.push(format!("it does not end {}", terminal.last_words()?)),
    }
    let said = terminal.console()?;
    for answer in case.answers {
        if !said.contains(answer) {
            wrong.push(format!("nothing says {answer:?}: {said:?}"));
        }
    }
    Ok(wrong)
}
