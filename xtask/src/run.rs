// SPDX-License-Identifier: GPL-2.0

//! `run`: one command in a VM.

use crate::{
    ctx::Ctx,
    report::Folder,
    ui,
    verdict::{
        self,
        Outcome, //
    },
    vm::{
        self,
        Job,
        Machine,
        accel,
        deadlines::{
            Deadlines,
            Limit, //
        },
        guest::{
            End,
            Outputs, //
        },
        run::Run, //
    },
};
use anyhow::{
    Context,
    Result,
    bail, //
};
use std::{
    path::Path,
    process::ExitCode,
    time::Duration, //
};

/// What the help ends with.
const EXAMPLES: &str = "\
Examples:
  cargo xtask run -- inetcr show --all
  cargo xtask run --no-build --timeout 10 -- sh -c 'dmesg | tail'
  cargo xtask run --arch s390 -- uname -m";

/// Runs a command in a VM that runs the kernel.
///
/// The guest has the root of this machine, read-only under a layer that takes what is written and
/// is gone afterwards, and the command runs in the directory that you are in. With --image, or
/// --arch of another architecture, it has the files of the small image alone, and the command runs
/// in /tmp.
///
/// The programs of this repository are on PATH. The command runs as root and reads nothing
/// (`cargo xtask shell` is for what wants a terminal). What it writes comes out here as it comes,
/// and the first 16 MiB of it are among the results as well (`output.log`). What it leaves running
/// is ended with it.
///
/// The exit status is that of the command, above 128 the signal that ended it. But it is 2 if the
/// kernel complained or died, 3 if the guest was lost or --timeout has passed, 4 if the command
/// could not be started, each with the reason on standard error.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    kernel: vm::AnyChoice,
    /// How long the command may take [default: without an end].
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    let (program, arguments) = args.command.split_first().context("no command")?;
    let flavour = args.kernel.flavour()?;
    let (kernel, programs, root) = args.kernel.parts(ctx, &flavour)?;
    let accel = accel::choose(ctx, &kernel, &flavour, false)?;
    let machine = Machine::new(&kernel, &programs, &flavour, accel)?
        .without_kunit()
        .on(root);
    let mut deadlines = Deadlines::new(accel, &flavour);
    deadlines.idle = Duration::MAX;
    deadlines.run = Duration::MAX;
    deadlines.job = args.timeout.map_or(Duration::MAX, Duration::from_secs);

    let mut job = Job::new(Path::new(program), arguments);
    job.environment = vec![("PATH".to_owned(), programs.path())];
    job.dir = machine.host_dir()?;
    job.end_rest = true;
    job.kmemleak = kernel.has("DEBUG_KMEMLEAK")?;
    let folder = Folder::new(ctx, "run", None, false)?;
    let mut run = Run::new(ctx, folder, &kernel, &machine, deadlines, &job)?;
    run.outputs = Outputs::Through(run.folder.log("output.log")?);
    let record = run.go("command", &mut |_, _| ())?;

    let verdict = verdict::judge_command(&record);
    let summary = run.finish(&verdict, &record)?;
    let folder = ui::short(&ctx.repo, &run.folder.path);
    let (code, what) = match verdict.command {
        Some(status) if verdict.outcome <= Outcome::Failed => (
            ExitCode::from(verdict.status()),
            format!("exit status {status}"),
        ),
        None if verdict.complaints.is_empty() && record.facts.no_start.is_some() => {
            let why = record.facts.no_start.unwrap_or_default();
            bail!("the guest cannot start {why}");
        }
        None if verdict.complaints.is_empty() && record.end == End::Deadline(Limit::Job) => (
            verdict.outcome.into(),
            "the command took longer than --timeout".to_owned(),
        ),
        _ => {
            eprint!("{summary}");
            return Ok(verdict.outcome.into());
        }
    };
    ui::note(&format!("{what}; {}; results: {folder}", run.times));
    Ok(code)
}
