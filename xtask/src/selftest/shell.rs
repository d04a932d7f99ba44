// SPDX-License-Identifier: GPL-2.0

//! `shell`, as a person has it at a terminal.

use crate::{
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
    process::Command,
    time::{
        Duration,
        Instant, //
    },
};

/// The name of the case.
pub const NAME: &str = "shell: a prompt, the programs on PATH, and an end by exit";

/// How long it may take to get somewhere.
const PATIENCE: Duration = Duration::from_secs(120);

/// The beginning of the prompt.
const PROMPT: &str = "[af_inet_cr VM]";

/// What is typed, and what has to come of it, which is not in what is typed: the terminal shows
/// that, too.
const TYPED: &str = "inetcr show --fd 0; echo $((6 * 7)) on $(tty); exit\n";
const ANSWERS: [&str; 2] = ["not a socket", "42 on /dev/"];

/// Runs it; gives what is not as it has to be.
pub fn wrong(folder: &Folder) -> Result<Vec<String>> {
    let folder = Folder {
        path: folder.path.join("shell"),
    };
    fs::create_dir_all(&folder.path)?;
    let program = env::current_exe()?;
    let line = shlex::try_join([
        program.to_str().context("a path that is not UTF-8")?,
        "shell",
        "--no-build",
    ])?;
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
    let from = Instant::now();
    let mut terminal = Terminal::start(&mut script, &folder)?;
    if !terminal.shows(PROMPT, PATIENCE)? {
        return Ok(vec![format!("no prompt {}", terminal.last_words()?)]);
    }
    let time = ui::seconds(from.elapsed());
    ui::note(&format!("shell: a prompt after {time}"));
    terminal.types(TYPED)?;
    let mut wrong = Vec::new();
    if !terminal.wait(PATIENCE, Terminal::has_ended)? {
        wrong.push(format!("it does not end {}", terminal.last_words()?));
    }
    let said = terminal.console()?;
    for answer in ANSWERS {
        if !said.contains(answer) {
            wrong.push(format!("nothing says {answer:?}: {said:?}"));
        }
    }
    Ok(wrong)
}
