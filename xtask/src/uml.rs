// SPDX-License-Identifier: GPL-2.0

//! `kunit`: the tests in the kernel, without a machine: User Mode Linux is the kernel as a program.

use crate::{
    build,
    ctx::Ctx,
    exec,
    flavour::Flavour,
    kunit,
    report::{
        self,
        About,
        Folder,
        Times, //
    },
    ui,
    verdict::{
        self,
        InKernel, //
    },
    vm::{
        accel::Accel,
        deadlines::{
            Deadlines,
            Limit, //
        },
        facts::Facts,
        guest::{
            End,
            Record, //
        },
    },
    vm_test, //
};
use anyhow::{
    Context,
    Result, //
};
use fs_err as fs;
use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    process::{
        Command,
        ExitCode,
        Stdio, //
    },
    time::{
        Duration,
        Instant, //
    },
};

/// The flavour of the kernel.
const FLAVOUR: &str = "uml";

/// What `timeout` exits with if it lives too long.
const TOO_LONG: i32 = 124;

/// What the kernel says last, if it was told to stop.
const STOPPED: &str = "reboot: System halted";

#[derive(clap::Args)]
pub struct Args {
    /// Only tests whose name, `kunit::SUITE::CASE`, matches this pattern (with * and ?); may be
    /// repeated.
    #[arg(long, short = 't', value_name = "GLOB")]
    filter: Vec<String>,
    /// Take the kernel as the last build left it.
    #[arg(long)]
    no_build: bool,
    /// Keep the results folder for ever; without it the last 20 of runs that passed are kept, and
    /// the last 20 of others.
    #[arg(long)]
    keep: bool,
}

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    let flavour = Flavour::named(FLAVOUR)?;
    let mut times = Times::default();
    let kernel = if args.no_build {
        build::latest(ctx, &flavour)?
    } else {
        let from = Instant::now();
        let kernel = build::kernel(ctx, &flavour)?;
        times.add("build", from.elapsed());
        kernel
    };

    let folder = Folder::new(ctx, "kunit", None, args.keep)?;
    fs::copy(&kernel.config, folder.file("config"))?;
    // The copy of an image is no program otherwise.
    fs::set_permissions(&kernel.image, Permissions::from_mode(0o755))?;
    // It is not emulated, so it has as long as a guest with KVM.
    let life = Deadlines::new(Accel::Kvm, &flavour).run;
    let mut command = exec::within(life.as_secs(), &kernel.image);
    command.args(["mem=256M", "kunit_shutdown=halt"]);
    command.args(kunit::PARAMETERS);
    let record = live(&mut command)?;
    times.add("tests", record.total);

    let ours = kunit::Ours::find(ctx)?;
    let report = kunit::read(record.log(), &ours, &args.filter);
    let in_kernel = report.map_or(InKernel::Silent, InKernel::Ran);
    let verdict = verdict::judge(&record, None, in_kernel);
    let about = About {
        what: report::typed(),
        when: format!("{} UTC", report::now().join(" ")),
        facts: vec![
            ("flavour", flavour.name().to_owned()),
            ("machine", "User Mode Linux".to_owned()),
            ("commit", kernel.commit()),
            ("command line", exec::describe(&command)),
        ],
        config: fs::read_to_string(&kernel.config)?,
    };
    folder.finish(&verdict, &record, &times, &about)?;
    for case in &verdict.tests {
        ui::note(&format!("{:?} {}", case.status, case.name));
    }
    vm_test::say(
        &verdict,
        &report::summary(&verdict, &record, &times, &folder.path),
    );
    Ok(verdict.outcome.into())
}

/// Lets it live, and tells of it as of any guest. Its messages come on standard output; on the other
/// is what it says of this machine before it begins.
fn live(command: &mut Command) -> Result<Record> {
    let from = Instant::now();
    let output = command
        .stdin(Stdio::null())
        .output()
        .context("cannot run timeout")?;
    let console = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    let end = if output.status.code() == Some(TOO_LONG) {
        End::Deadline(Limit::Run)
    } else if console.lines().any(|line| line.ends_with(STOPPED)) {
        End::Done
    } else {
        End::Lost
    };
    let facts = Facts {
        started: Some(String::new()),
        ..Facts::default()
    };
    Ok(Record {
        end,
        facts,
        console,
        qemu: String::from_utf8_lossy(&output.stderr).into_owned(),
        boot: Duration::ZERO,
        job: Duration::ZERO,
        total: from.elapsed(),
    })
}
