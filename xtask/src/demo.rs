// SPDX-License-Identifier: GPL-2.0

//! `demo`: a socket is dumped, closed and restored in front of the reader.

use crate::{
    ctx::Ctx,
    report::Folder,
    ui::Step,
    verdict::{
        self,
        InKernel,
        Outcome, //
    },
    vm::{
        self,
        Job,
        Machine,
        accel,
        deadlines::Deadlines,
        guest::Way,
        run::Run, //
    },
};
use anyhow::Result;
use std::{
    io::Write as _,
    process::ExitCode,
    time::Instant, //
};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    kernel: vm::Choice,
}

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    let from = Instant::now();
    let (kernel, programs) = vm::parts(ctx, &args.kernel.flavour, args.kernel.no_build)?;
    let build = from.elapsed();

    let accel = accel::choose(ctx, &kernel, &args.kernel.flavour, false)?;
    let machine = Machine::new(&kernel, &programs, &args.kernel.flavour, accel)?.without_kunit();
    let mut job = Job::new(programs.get("demo")?, Vec::<String>::new());
    job.environment = vec![("PATH".to_owned(), programs.path())];
    let folder = Folder::new(ctx, "demo", None, false)?;
    let deadlines = Deadlines::new(accel, &args.kernel.flavour);
    let mut run = Run::new(ctx, folder, &kernel, &machine, deadlines, &job)?;
    run.times.add("build", build);

    let mut log = run.folder.log("demo.log")?;
    let mut boot = Some(Step::new(&format!("boot the kernel ({})", accel.name())));
    let record = run.go("demo", &mut |way, line| {
        if way == Way::Console || line.starts_with("log [") {
            return;
        }
        if way == Way::Output || line.starts_with("start ") {
            boot.take().map(|step| step.done(""));
        }
        log.line(line);
        if way != Way::Control {
            println!("{line}");
            let _ = std::io::stdout().flush();
        }
    })?;
    let verdict = verdict::judge(&record, None, InKernel::Without);
    let summary = run.finish(&verdict, &record)?;
    println!();
    if verdict.outcome == Outcome::Passed {
        println!("times: {}", run.times);
    } else {
        print!("{summary}");
    }
    Ok(verdict.outcome.into())
}
