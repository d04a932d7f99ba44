// SPDX-License-Identifier: GPL-2.0

//! Commands for `run`, and what must come of each.

use anyhow::Result;
use std::{
    env,
    process::Command, //
};

/// A command and what it deserves.
pub struct Case {
    pub name: &'static str,
    command: &'static [&'static str],
    status: i32,
    /// All of the standard output.
    output: &'static str,
    /// What must be in the standard error.
    says: &'static str,
}

pub const CASES: &[Case] = &[
    Case {
        name: "run: its status, and its output to the byte",
        command: &[
            "--",
            "/bin/sh",
            "-c",
            "echo a\nprintf '\\r\\\\ b'; sleep 99 & exit 7",
        ],
        status: 7,
        output: "a\n\r\\ b",
        says: "exit status 7",
    },
    Case {
        name: "run: errors beside the output",
        command: &["--", "/bin/sh", "-c", "echo out; echo err >&2; kill -9 $$"],
        status: 137,
        output: "out\n",
        says: "err",
    },
    Case {
        name: "run: a kernel that complains",
        command: &[
            "--",
            "/bin/sh",
            "-c",
            "echo out; echo '<4>WARNING: net/core/x.c:1 at f+0x1/0x2, CPU#0: sh/1' > /dev/kmsg",
        ],
        status: 2,
        output: "out\n",
        says: "] WARNING: net/core/x.c:1",
    },
    Case {
        name: "run: a command that does not end",
        command: &["--timeout", "1", "--", "/bin/sleep", "99"],
        status: 3,
        output: "",
        says: "longer than --timeout",
    },
    Case {
        name: "run: a command that is not there",
        command: &["--", "no-such-command"],
        status: 4,
        output: "",
        says: "cannot start \"no-such-command\"",
    },
];

/// Runs the command as a person would; gives what is not as the case wants it.
pub fn wrong(case: &Case) -> Result<Vec<String>> {
    let mut run = Command::new(env::current_exe()?);
    run.args(["run", "--no-build"]).args(case.command);
    let output = run.output()?;
    let mut wrong = Vec::new();
    if output.status.code() != Some(case.status) {
        wrong.push(format!("{}, not {}", output.status, case.status));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    if said != case.output {
        wrong.push(format!("the output is {said:?}, not {:?}", case.output));
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    if !errors.contains(case.says) {
        wrong.push(format!("nothing says {:?}: {errors:?}", case.says));
    }
    Ok(wrong)
}
