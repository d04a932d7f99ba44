// SPDX-License-Identifier: GPL-2.0

//! Whether gdb stops where a socket is being dumped, and knows what it sees there.

use super::gdb;
use crate::{
    checks::Checks,
    exec,
    report::Folder,
    ui::{
        self,
        Step, //
    },
};
use anyhow::{
    Context,
    Result, //
};
use fs_err as fs;
use std::{
    path::Path,
    process::{
        ExitCode,
        Stdio, //
    },
    time::Duration,
};

/// Where a socket is dumped.
const BREAK: &str = "af_inet_cr::dump::dump";

/// What gdb does there.
const SCRIPT: &str = include_str!("check.gdb");

/// What has to come of it, and the words of gdb or of the guest's program that show it.
const CHECKS: [(&str, &str); 8] = [
    (
        "the kernel stands at its start",
        "Temporary breakpoint 1, start_kernel",
    ),
    (
        "it stops where a socket is dumped",
        "Breakpoint 2, af_inet_cr::dump::dump",
    ),
    (
        "gdb knows the line of the source",
        "net/ipv4/af_inet_cr/dump.rs:",
    ),
    ("and how it came there", "genl_rcv_msg (skb="),
    ("and what it is given, as Rust has it", "message: &[u8] ["),
    ("the kernel's own scripts work", "vminit.job="),
    ("gdb shows what a KVec has in it", "devices: Vec of 0"),
    (
        "the guest goes on to its end",
        "The socket was dumped, closed and restored",
    ),
];

/// Runs gdb with a file to begin with and the script; `output` is what the guest's program writes,
/// and `life` is how long all may take.
pub fn run(start: &Path, output: &Path, folder: &Folder, life: Duration) -> Result<ExitCode> {
    let script = folder.file("check.gdb");
    fs::write(&script, SCRIPT)?;
    let log = folder.file("gdb.log");
    let file = fs::File::create(&log)?.into_file();
    let step = Step::new("stop where a socket is dumped");
    let gdb = gdb(start, &[BREAK], Some(&script));
    let mut command = exec::within(life.as_secs(), gdb.get_program());
    command
        .args(gdb.get_args())
        .env_remove("LD_LIBRARY_PATH")
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    command.status().context("cannot start gdb")?;
    step.done("");

    let said = fs::read_to_string(&log)? + &fs::read_to_string(output)?;
    let mut checks = Checks::default();
    for (name, words) in CHECKS {
        let why = format!("nothing says {words:?}: see {}", log.display());
        checks.say(name, said.contains(words), &why);
    }
    ui::note(&format!("results: {}", folder.path.display()));
    Ok(checks.end())
}
