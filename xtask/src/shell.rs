// SPDX-License-Identifier: GPL-2.0

//! `shell`: a shell in a VM, for a person.

use crate::{
    ctx::Ctx,
    exec,
    flavour::{
        self,
        Flavour, //
    },
    report::Folder,
    ui,
    userspace::Programs,
    vm::{
        self,
        Job,
        Machine,
        accel,
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
    /// Which configuration of the kernel.
    #[arg(long, default_value = flavour::DEFAULT)]
    flavour: Flavour,
    /// Take the kernel and the programs as the last build left them.
    #[arg(long)]
    no_build: bool,
    /// Let a debugger connect to the kernel on port 1234; the guest waits for it to say `continue`.
    #[arg(long)]
    gdb: bool,
}

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    if !std::io::stdin().is_terminal() {
        bail!("a shell needs a terminal; for a program in the guest see `cargo xtask vm-test`");
    }
    let (kernel, programs) = vm::parts(ctx, &args.flavour, args.no_build)?;
    let accel = accel::choose(ctx, &kernel.image, false)?;
    let mut machine = Machine::new(&kernel, &programs, &args.flavour, accel)?.without_kunit();
    // Warnings and worse; what else the kernel says is in dmesg.
    machine.loglevel = 5;
    if args.gdb {
        machine.parameters.push("nokaslr".to_owned());
    }
    let folder = Folder::new(ctx, "shell", None, false)?;
    let start = folder.file("bashrc");
    fs::write(&start, start_file(ctx, &programs))?;
    let arguments = ["--ctty", "--wait", "/bin/bash", "--rcfile"].map(str::to_owned);
    let arguments = arguments.into_iter().chain([start.display().to_string()]);
    let mut job = Job::new(Path::new("/usr/bin/setsid"), arguments);
    job.console = true;
    let term = env::var("TERM").unwrap_or_else(|_| "linux".to_owned());
    job.environment = vec![("TERM".to_owned(), term)];
    job.write(&folder.file("job"))?;

    let mut line = machine.line(ctx, &folder.file("job"))?;
    line.add_terminal("inetcr.ctl", &folder.file("vminit.log"));
    if args.gdb {
        line.add("-s", None);
        line.add("-S", None);
        ui::note(&format!(
            "gdb {} -ex 'target remote :1234'",
            kernel.image.display()
        ));
    }
    fs::write(folder.file("qemu.txt"), format!("{line}\n"))?;
    ui::note("the root is this machine's; what you write is gone afterwards. `exit` powers off.");
    let status = qemu::command(&line).status().context("cannot start QEMU")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(3)
    })
}

/// What bash reads at its start. The serial line does not know the size of the terminal.
fn start_file(ctx: &Ctx, programs: &Programs) -> String {
    let size = exec::output("stty", &["size"]).unwrap_or_default();
    let size = size.trim().split_once(' ').unwrap_or(("24", "80"));
    format!(
        "export PATH='{}'\nPS1='[af_inet_cr VM] \\w \\$ '\nstty rows {} cols {}\ncd '{}'\n",
        programs.path(),
        size.0,
        size.1,
        ctx.repo.display()
    )
}
