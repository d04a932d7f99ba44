// SPDX-License-Identifier: GPL-2.0

//! Commands that a person types, and what must come of each.

use crate::{
    ctx,
    exec,
    ui, //
};
use anyhow::Result;
use std::{
    env,
    path::Path,
    time::{
        Duration,
        Instant, //
    },
};

/// How long a command may take, in seconds: many times what the slowest one does.
const LIFE: u64 = 600;

/// What the standard output is to be.
enum Output {
    /// This, to the byte.
    Is(&'static str),
    /// Anything that has these in it, in this order.
    Has(&'static [&'static str]),
}

use Output::{
    Has,
    Is, //
};

/// A command and what it deserves.
pub struct Case {
    pub name: &'static str,
    /// The words behind `cargo xtask`.
    command: &'static [&'static str],
    status: i32,
    output: Output,
    /// What must be in the standard error.
    says: &'static str,
}

pub const CASES: &[Case] = &[
    Case {
        name: "run: its status, and its output to the byte",
        command: &[
            "run",
            "--no-build",
            "--",
            "/bin/sh",
            "-c",
            "echo a\nprintf '\\r\\\\ b%s' \"$0\"; sleep 99 & exit 7",
            "c\r",
        ],
        status: 7,
        output: Is("a\n\r\\ bc\r"),
        says: "exit status 7",
    },
    Case {
        name: "run: errors beside the output",
        command: &[
            "run",
            "--no-build",
            "--",
            "/bin/sh",
            "-c",
            "echo out; echo err >&2; kill -9 $$",
        ],
        status: 137,
        output: Is("out\n"),
        says: "err",
    },
    Case {
        name: "run: a kernel that complains",
        command: &[
            "run",
            "--no-build",
            "--",
            "/bin/sh",
            "-c",
            "echo out; echo '<4>WARNING: net/core/x.c:1 at f+0x1/0x2, CPU#0: sh/1' > /dev/kmsg",
        ],
        status: 2,
        output: Is("out\n"),
        says: "] WARNING: net/core/x.c:1",
    },
    Case {
        name: "run: a command that does not end",
        command: &[
            "run",
            "--no-build",
            "--timeout",
            "1",
            "--",
            "/bin/sleep",
            "99",
        ],
        status: 3,
        output: Is(""),
        says: "longer than --timeout",
    },
    Case {
        name: "run: a command that is not there",
        command: &["run", "--no-build", "--", "no-such-command"],
        status: 4,
        output: Is(""),
        says: "cannot start \"no-such-command\"",
    },
    Case {
        name: "run: in the small image",
        command: &[
            "run",
            "--no-build",
            "--image",
            "--",
            "/bin/sh",
            "-c",
            "inetcr show --fd 0 2>&1; test -e /usr || echo the files of the image; exit 5",
        ],
        status: 5,
        output: Has(&["not a socket", "the files of the image"]),
        says: "exit status 5",
    },
    Case {
        name: "vm-test: names of tests",
        command: &[
            "vm-test",
            "--no-build",
            "--list",
            "--filter",
            "recipe::without*",
            "--filter",
            "selectors::b?tch",
        ],
        status: 0,
        output: Is(
            "selectors::batch\nrecipe::without_the_plug\nleaks::machine\nleaks::network_namespaces\n",
        ),
        says: "",
    },
    Case {
        name: "vm-test: a guest that cannot have KVM",
        command: &["vm-test", "--no-build", "--require-kvm", "--arch", "s390"],
        status: 4,
        output: Is(""),
        says: "this machine has no processor of s390",
    },
    Case {
        name: "vm-test: a name that no test has",
        command: &["vm-test", "--no-build", "--filter", "no::such::test"],
        status: 4,
        output: Is(""),
        says: "no test in userspace has a name like this",
    },
    Case {
        name: "vm-test: what QEMU would be told",
        command: &["vm-test", "--no-build", "--dry-run"],
        status: 0,
        output: Has(&["qemu-system-", "vminit.job="]),
        says: "",
    },
    Case {
        name: "vm-test: some tests, twice",
        command: &[
            "vm-test",
            "--no-build",
            "--repeat",
            "2",
            "--filter",
            "selectors::batch*",
        ],
        status: 0,
        output: Has(&[
            "# run 1",
            "selectors::batch_of_restores",
            "4 passed, 0 failed",
            "# run 2",
            "4 passed, 0 failed",
        ]),
        says: "",
    },
    Case {
        name: "vm-test: a test that fails",
        command: &[
            "vm-test",
            "--no-build",
            "--until-fail",
            "--filter",
            "selectors::batch",
            "--",
            "--sabotage",
            "selectors::batch",
        ],
        status: 1,
        output: Has(&[
            "# run 1",
            "not ok 1 selectors::batch",
            "FAILED selectors::batch",
            "it passes, but was told to fail",
            "2 passed, 1 failed",
        ]),
        says: "",
    },
];

/// Runs the command as a person would, with its results in a folder; gives what is not as the case
/// wants it.
pub fn wrong(case: &Case, results: &Path) -> Result<Vec<String>> {
    let mut run = exec::within(LIFE, env::current_exe()?);
    run.args(case.command).env(ctx::RESULTS, results);
    let from = Instant::now();
    let output = run.output()?;
    let mut wrong = Vec::new();
    let time = from.elapsed();
    if time >= Duration::from_secs(LIFE) {
        wrong.push(format!("it was ended after {}", ui::seconds(time)));
    }
    if output.status.code() != Some(case.status) {
        wrong.push(format!("{}, not {}", output.status, case.status));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    match case.output {
        Is(text) if said == text => {}
        Is(text) => wrong.push(format!("the output is {said:?}, not {text:?}")),
        Has(texts) => {
            let lacking = lacking(&said, texts).map(|text| format!("no {text:?} in {said:?}"));
            wrong.extend(lacking);
        }
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    if !errors.contains(case.says) {
        wrong.push(format!("nothing says {:?}: {errors:?}", case.says));
    }
    Ok(wrong)
}

/// The first of some texts that is not behind those before it.
fn lacking<'a>(said: &str, texts: &[&'a str]) -> Option<&'a str> {
    let mut rest = said;
    texts
        .iter()
        .copied()
        .find(|text| match rest.split_once(text) {
            Some((_, behind)) => {
                rest = behind;
                false
            }
            None => true,
        })
}

#[cfg(test)]
mod tests {
    use super::lacking;

    #[test]
    fn texts_are_wanted_in_their_order() {
        assert_eq!(lacking("a b c", &["a", "c"]), None);
        assert_eq!(lacking("a b c", &["c", "a"]), Some("a"));
        assert_eq!(lacking("a b c", &["a", "a"]), Some("a"));
    }
}
