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
    typed: &'static str,
    /// What the terminal has to show. It shows what is typed, too, so that this is not in it.
    answers: &'static [&'static str],
    status: i32,
}

pub const CASES: &[Case] = &[
    Case {
        name: "shell: a prompt, the programs on PATH, the size of the terminal, and an end by exit",
        typed: "inetcr show --fd 0; echo $((6 * 7)) on $(tty); stty size; exit\n",
        answers: &["not a socket", "42 on /dev/", "41 97"],
        status: 0,
    },
    Case {
        name: "shell: a kernel that dies",
        typed: "echo c > /proc/sysrq-trigger\n",
        answers: &["Kernel panic", "the kernel complained: kernel panic"],
        status: 2,
    },
];

/// The size that the terminal is given: none that one has by itself.
const SIZE: &str = "stty rows 41 cols 97";

/// How long it may take to get somewhere.
const PATIENCE: Duration = Duration::from_secs(120);

/// The beginning of the prompt.
const PROMPT: &str = "[af_inet_cr VM]";

/// Runs it, with the results of `shell` in a folder; gives what is not as it has to be.
pub fn wrong(case: &Case, folder: &Folder, results: &Path) -> Result<Vec<String>> {
    let folder = Folder {
        path: folder.path.join(case.name.replace(' ', "-")),
    };
    fs::create_dir_all(&folder.path)?;
    let program = env::current_exe()?;
    let line = shlex::try_join([
        program.to_str().context("a path that is not UTF-8")?,
        "shell",
        "--no-build",
    ])?;
    let line = format!("{SIZE}; exec {line}");
    // It gives the command a terminal, and this program its other end.
    let mut script = Command::new("script");
    script.args([
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
    if !terminal.shows(PROMPT, PATIENCE)? {
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
