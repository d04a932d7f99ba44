// SPDX-License-Identifier: GPL-2.0

//! `shell`: a shell in a VM, for a person.

use crate::{
    ctx::Ctx,
    exec,
    report::Folder,
    ui,
    userspace::Programs,
    vm::{
        self,
        Job,
        Machine,
        Root,
        accel,
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

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    kernel: vm::AnyChoice,
}

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    need_terminal()?;
    let flavour = args.kernel.flavour()?;
    let (kernel, programs, root) = args.kernel.parts(ctx, &flavour)?;
    let accel = accel::choose(ctx, &kernel, false)?;
    let machine = Machine::new(&kernel, &programs, &flavour, accel)?
        .without_kunit()
        .on(root);
    let folder = Folder::new(ctx, "shell", None, false)?;
    let line = line(ctx, machine, &programs, &folder)?;
    enter(&line, &folder)
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
    job.environment = vec![("TERM".to_owned(), term)];

    let mut line = machine.line(ctx, &job, folder)?;
    line.add_console("console", End::Terminal);
    line.add_port("inetcr.ctl", "ctl", End::File(&folder.file("vminit.log")));
    Ok(line)
}

/// Gives the terminal to the machine until it ends.
pub fn enter(line: &Line, folder: &Folder) -> Result<ExitCode> {
    fs::write(folder.file("qemu.txt"), format!("{line}\n"))?;
    ui::note("what you write is gone afterwards. `exit` powers off.");
    let status = qemu::command(line).status().context("cannot start QEMU")?;
    let _ = fs::remove_file(folder.file(vm::INITRAMFS));
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(3)
    })
}

/// What bash reads at its start. The serial line does not know the size of the terminal.
fn start_file(programs: &Programs) -> String {
    let size = exec::output("stty", &["size"]).unwrap_or_default();
    let size = size.trim().split_once(' ').unwrap_or(("24", "80"));
    format!(
        "export PATH='{}'\nPS1='[af_inet_cr VM] \\w \\$ '\nstty rows {} cols {}\n",
        programs.path(),
        size.0,
        size.1
    )
}
