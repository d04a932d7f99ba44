//! `demo`: a socket is dumped, closed and restored in front of the reader.

use crate::{
    ctx::{
        Ctx,
        Flavour, //
    },
    report::{
        self,
        Folder,
        Times, //
    },
    ui::Step,
    verdict::{
        self,
        InKernel,
        Outcome, //
    },
    vm::{
        self, Job, Machine, accel,
        deadlines::Deadlines,
        guest::{
            self,
            Way, //
        },
    },
};
use anyhow::Result;
use fs_err as fs;
use std::{
    io::Write as _,
    process::ExitCode,
    time::Instant, //
};

#[derive(clap::Args)]
pub struct Args {
    /// Which configuration of the kernel.
    #[arg(long, default_value_t, value_enum)]
    flavour: Flavour,
    /// Take the kernel and the programs as the last build left them.
    #[arg(long)]
    no_build: bool,
}

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    let mut times = Times::default();
    let from = Instant::now();
    let (kernel, programs) = vm::parts(ctx, args.flavour, args.no_build)?;
    times.add("build", from.elapsed());

    let accel = accel::choose(ctx, &kernel.image, false)?;
    let mut machine = Machine::new(&kernel.image, programs.get("vminit")?, args.flavour, accel);
    machine.parameters.push("kunit.enable=0".to_owned());
    let folder = Folder::new(ctx, "demo", None, false)?;
    let mut job = Job::new(programs.get("demo")?, Vec::<String>::new());
    job.environment = vec![("PATH".to_owned(), programs.path())];
    job.write(&folder.file("job"))?;
    let line = machine.line(ctx, &folder.file("job"))?;
    fs::write(folder.file("qemu.txt"), format!("{line}\n"))?;

    let mut log = folder.log("demo.log")?;
    let mut boot = Some(Step::new(&format!("boot the kernel ({})", accel.name())));
    let deadlines = Deadlines::new(accel, args.flavour);
    let record = guest::run(line, deadlines, &mut |way, line| {
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
    times.add("boot", record.boot);
    times.add("demo", record.job);
    times.add(
        "checks",
        record
            .total
            .saturating_sub(record.boot)
            .saturating_sub(record.job),
    );
    let verdict = verdict::judge(&record, None, InKernel::Without);
    folder.finish(&verdict, &record, &times)?;
    println!();
    if verdict.outcome == Outcome::Passed {
        println!("times: {times}");
    } else {
        print!(
            "{}",
            report::summary(&verdict, &record, &times, &folder.path)
        );
    }
    Ok(verdict.outcome.into())
}
