// SPDX-License-Identifier: GPL-2.0

//! `shell`: a shell in a VM, for a person.

use crate::{
    arch::Arch,
    complaints,
    ctx::Ctx,
    report::Folder,
    ui,
    userspace::Programs,
    verdict::Outcome,
    vm::{
        self,
        Job,
        Machine,
        Root,
        accel,
        facts::Facts,
        line::{
            End,
            Line, //
        },
        qemu, //
    },
};
use anyhow::{
    Context,
    Result,
    bail, //
};
use fs_err as fs;
use std::{
    env,
    io::IsTerminal as _,
    path::Path,
    process::ExitCode, //
};

/// What the folder of the run has of a guest: what was on the terminal, and what `vminit` reports.
const CONSOLE: &str = "console.log";
const CONTROL: &str = "vminit.log";

/// What the help ends with.
const EXAMPLES: &str = "\
Examples:
  cargo xtask shell --flavour debug     # with KASAN, lockdep and others
  cargo xtask shell --image             # with the files of the small image
  cargo xtask shell --arch arm64        # emulated, with these files, too";

/// A shell in a VM that runs the kernel, with the programs of this repository on PATH.
///
/// All keys are the guest's, Ctrl-C too, but for Ctrl-A, which is QEMU's: Ctrl-A x ends a guest that
/// hangs, Ctrl-A b and then a key is SysRq (s390 has Ctrl-O and a key for that), Ctrl-A Ctrl-A is
/// Ctrl-A itself, and Ctrl-A h tells what else there is. `exit` powers off.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    kernel: vm::AnyChoice,
}

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    need_terminal()?;
    let flavour = args.kernel.flavour()?;
    let (kernel, programs, root) = args.kernel.parts(ctx, &flavour)?;
    let accel = accel::choose(ctx, &kernel, &flavour, false)?;
    let machine = Machine::new(&kernel, &programs, &flavour, accel)?
        .without_kunit()
        .on(root);
    let folder = Folder::new(ctx, "shell", None, false)?;
    let line = line(ctx, machine, &programs, &folder)?;
    enter(&line, &folder, kernel.arch)
}

/// Refuses to go on without a person.
pub fn need_terminal() -> Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!("a shell needs a terminal; for a program in the guest see `cargo xtask run`");
    }
    Ok(())
}

/// The command line of QEMU for a machine with a shell on this terminal.
pub fn line(ctx: &Ctx, mut machine: Machine, programs: &Programs, folder: &Folder) -> Result<Line> {
    // Warnings and worse; what else the kernel says is in dmesg.
    machine.loglevel = 5;
    let mut job = match machine.root {
        Root::Host => {
            let start = folder.file("bashrc");
            fs::write(&start, start_file(programs))?;
            Job::new(
                Path::new("/usr/bin/setsid"),
                [
                    "--ctty",
                    "/bin/bash",
                    "--rcfile",
                    start.to_str().context("a path that is not UTF-8")?,
                ],
            )
        }
        Root::Image(_) => Job::new(Path::new("/bin/setsid"), ["-c", "/bin/sh", "-l"]),
    };
    job.console = true;
    job.dir = machine.host_dir()?;
    let term = env::var("TERM").unwrap_or_else(|_| "linux".to_owned());
    let (rows, columns) = size();
    let set = |name: &str, value: String| (name.to_owned(), value);
    job.environment = vec![
        set("TERM", term),
        set("LINES", rows.to_string()),
        set("COLUMNS", columns.to_string()),
    ];

    let mut line = machine.line(ctx, &job, folder)?;
    line.add_console("console", End::Terminal(Some(&folder.file(CONSOLE))));
    line.add_port("inetcr.ctl", "ctl", End::File(&folder.file(CONTROL)));
    Ok(line)
}

/// Gives the terminal to the machine until it ends, and says how it did.
pub fn enter(line: &Line, folder: &Folder, arch: Arch) -> Result<ExitCode> {
    fs::write(folder.file("qemu.txt"), format!("{line}\n"))?;
    ui::note("what you write is gone afterwards. `exit` powers off.");
    ui::note(&format!(
        "Ctrl-A x ends it, {} then a key is SysRq, Ctrl-A Ctrl-A is Ctrl-A itself.",
        arch.guest()?.sysrq
    ));
    let status = qemu::command(line).status().context("cannot start QEMU")?;
    let _ = fs::remove_file(folder.file(vm::INITRAMFS));
    // Of a machine that was not started there is nothing.
    let said = |name: &str| {
        let said = fs::read(folder.file(name)).unwrap_or_default();
        String::from_utf8_lossy(&said).into_owned()
    };
    let mut facts = Facts::default();
    for line in said(CONTROL).lines() {
        facts.feed(line);
    }
    let (outcome, why) = judge(&facts, &said(CONSOLE));
    for line in why {
        ui::note(&line);
    }
    Ok(match outcome {
        Outcome::Passed if !status.success() => Outcome::Lost.into(),
        outcome => outcome.into(),
    })
}

/// What came of a guest, and why. What the shell ended with is for nobody to judge.
fn judge(facts: &Facts, console: &str) -> (Outcome, Vec<String>) {
    if let Some(what) = &facts.no_start {
        let why = format!("the guest cannot start {what}");
        return (Outcome::Infrastructure, vec![why]);
    }
    // What a person has on the terminal may look like a complaint: it counts if there is no more.
    let (log, file) = if facts.done {
        (facts.log.as_str(), CONTROL)
    } else {
        (console, CONSOLE)
    };
    let (complaints, _) = complaints::scan(log, file);
    let mut why: Vec<_> = complaints
        .iter()
        .map(|complaint| format!("the kernel complained: {}", complaint.kind))
        .collect();
    if !facts.done {
        why.push("the guest ended before its shell did".to_owned());
    }
    let outcome = match (complaints.is_empty(), facts.done) {
        (false, _) => Outcome::Kernel,
        (true, false) => Outcome::Lost,
        (true, true) => Outcome::Passed,
    };
    (outcome, why)
}

/// What bash reads at its start. The serial line does not know the size of the terminal.
fn start_file(programs: &Programs) -> String {
    let (rows, columns) = size();
    format!(
        "export PATH='{}'\nPS1='[af_inet_cr VM] \\w \\$ '\nstty rows {rows} cols {columns}\n",
        programs.path()
    )
}

/// Rows and columns of the terminal. One that does not know them says 0.
fn size() -> (u16, u16) {
    let size = rustix::termios::tcgetwinsize(std::io::stdin());
    let size = size.map(|size| (size.ws_row, size.ws_col));
    size.ok()
        .filter(|(rows, columns)| *rows > 0 && *columns > 0)
        .unwrap_or((24, 80))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_comes_to_what_it_says_at_its_end() {
        let outcome = |lines: &[&str], console: &str| {
            let mut facts = Facts::default();
            for line in lines {
                facts.feed(line);
            }
            judge(&facts, console).0
        };
        let panic = "[    4.2] Kernel panic - not syncing: sysrq triggered crash\n";
        let ended = ["start 0.9", "exit 130", "done 9.5"];
        assert_eq!(outcome(&ended, ""), Outcome::Passed);
        // Somebody reads an old log there.
        assert_eq!(outcome(&ended, panic), Outcome::Passed);
        let complains = "log [    4.2] WARNING: net/core/x.c:1 at f+0x1/0x2, CPU#0: sh/1";
        let ended = ["start 0.9", "exit 0", complains, "done 9.5"];
        assert_eq!(outcome(&ended, ""), Outcome::Kernel);
        assert_eq!(outcome(&["start 0.9"], panic), Outcome::Kernel);
        assert_eq!(outcome(&["start 0.9"], "# reboot -f\n"), Outcome::Lost);
        let ended = ["no-start \"/bin/bash\": No such file", "done 9.5"];
        assert_eq!(outcome(&ended, ""), Outcome::Infrastructure);
    }
}
