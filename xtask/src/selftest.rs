// SPDX-License-Identifier: GPL-2.0

//! `selftest`: the harness's own test. Guests that warn, panic, hang and lie must come out red,
//! each with its own exit status, and a good one green. So must what a person types: `run`,
//! `shell`, and `vm-test` with its most usual switches.

mod cases;
mod commands;
mod shell;

use crate::{
    ctx::Ctx,
    flavour::Flavour,
    image,
    report::Folder,
    ui,
    userspace::Programs,
    verdict::{
        self,
        InKernel,
        Verdict, //
    },
    vm::{
        self,
        Job,
        Kernel,
        Machine,
        accel,
        deadlines::Deadlines,
        guest::Way,
        run::Run, //
    },
};
use anyhow::{
    Context,
    Result, //
};
use cases::{
    CASES,
    Case,
    Guest, //
};
use fs_err as fs;
use std::{
    collections::VecDeque,
    path::{
        Path,
        PathBuf, //
    },
    process::ExitCode,
    sync::{
        Mutex,
        mpsc::channel, //
    },
    thread,
    time::{
        Duration,
        Instant, //
    },
};

/// How long is waited for a guest that is silent on purpose, if it is not slow.
const SILENCE: Duration = Duration::from_secs(4);

#[derive(clap::Args)]
pub struct Args {
    /// Take the kernel, the programs and the small image as the last build left them; the image is
    /// that of `cargo xtask image initramfs`.
    #[arg(long)]
    no_build: bool,
    /// Only cases whose name contains this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
}

/// A case that is ready to run.
struct Ready {
    case: &'static Case,
    run: Run,
}

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    let flavour = Flavour::plain()?;
    let (kernel, programs) = vm::parts(ctx, &flavour, args.no_build)?;
    if !args.no_build {
        image::make(ctx, &flavour, true)?;
    }
    let accel = accel::choose(ctx, &kernel, &flavour, false)?;
    let mut machine = Machine::new(&kernel, &programs, &flavour, accel)?.without_kunit();
    machine.cpus = 1;
    let deadlines = Deadlines::new(accel, &flavour);

    let folder = Folder::new(ctx, "selftest", None, false)?;
    let mut ready = VecDeque::new();
    for case in CASES.iter().filter(|case| case.name.contains(&args.filter)) {
        ready.push_back(prepare(
            ctx,
            case,
            &kernel,
            &machine,
            &programs,
            deadlines,
            &folder.path,
        )?);
    }
    let commands = commands::CASES
        .iter()
        .filter(|case| case.name.contains(&args.filter));
    let shells = shell::CASES
        .iter()
        .filter(|case| case.name.contains(&args.filter));
    let from = Instant::now();
    let guests = ready.len();
    let all = guests + commands.clone().count() + shells.clone().count();
    let results = folder.path.join("commands");
    println!("KTAP version 1\n1..{all}");
    let mut failed = run_all(ready, ctx.jobs)?;
    let mut numbers = guests + 1..;
    for (case, number) in commands.zip(&mut numbers) {
        failed += report(number, case.name, &commands::wrong(case, &results)?);
    }
    for (case, number) in shells.zip(&mut numbers) {
        failed += report(number, case.name, &shell::wrong(case, &folder, &results)?);
    }
    ui::note(&format!("{all} cases in {}", ui::seconds(from.elapsed())));
    ui::note(&format!("results: {}", folder.path.display()));
    println!("{} passed, {failed} failed", all.saturating_sub(failed));
    // No guest at all proves nothing.
    Ok(if failed == 0 && all > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn prepare(
    ctx: &Ctx,
    case: &'static Case,
    kernel: &Kernel,
    machine: &Machine,
    programs: &Programs,
    deadlines: Deadlines,
    results: &Path,
) -> Result<Ready> {
    let folder = results.join(case.name.replace(' ', "-"));
    fs::create_dir_all(&folder)?;
    let mut machine = machine.clone();
    let mut job = match case.guest {
        Guest::Runs(script) | Guest::Hangs(script) => {
            Job::new(Path::new("/bin/sh"), ["-c", script])
        }
        Guest::Starts(program) => Job::new(Path::new(program), Vec::<String>::new()),
        Guest::HasInit(init) | Guest::HangsInInit(init) => {
            machine.init = PathBuf::from(init);
            Job::new(Path::new("/bin/true"), Vec::<String>::new())
        }
    };
    job.environment = vec![("PATH".to_owned(), programs.path())];
    let folder = Folder { path: folder };
    let deadlines = limits(case, deadlines);
    let run = Run::new(ctx, folder, kernel, &machine, deadlines, &job)?;
    Ok(Ready { case, run })
}

/// How long a case may take: all but those that are silent on purpose have something to say, and
/// may take their time for it.
fn limits(case: &Case, mut deadlines: Deadlines) -> Deadlines {
    let silence = SILENCE * deadlines.factor;
    match case.guest {
        Guest::Hangs(_) => deadlines.idle = silence,
        Guest::HangsInInit(_) => deadlines.boot = silence * 2,
        Guest::Runs(_) | Guest::Starts(_) | Guest::HasInit(_) => {}
    }
    deadlines
}

/// Runs the guests, as many at a time as there are jobs; gives how many came out wrong.
fn run_all(ready: VecDeque<Ready>, jobs: usize) -> Result<usize> {
    let all = ready.len();
    let queue = Mutex::new(ready);
    let (sender, receiver) = channel();
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, 8) {
            let sender = sender.clone();
            let queue = &queue;
            scope.spawn(move || {
                loop {
                    let next = queue.lock().ok().and_then(|mut queue| queue.pop_front());
                    let Some(Ready { case, run }) = next else {
                        return;
                    };
                    if sender.send((case, judge(run))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut failed = 0;
        for number in 1..=all {
            let (case, verdict) = receiver.recv().context("a guest's thread died")?;
            failed += report(number, case.name, &wrong(case, &verdict?));
        }
        Ok(failed)
    })
}

/// Prints what came of a case; gives 1 if that is wrong.
fn report(number: usize, name: &str, wrong: &[String]) -> usize {
    let ok = if wrong.is_empty() { "ok" } else { "not ok" };
    for line in wrong {
        println!("# {line}");
    }
    println!("{ok} {number} {name}");
    usize::from(!wrong.is_empty())
}

/// The same way that `vm-test` goes.
fn judge(mut run: Run) -> Result<Verdict> {
    let mut parser = ktap::Parser::new();
    let record = run.go("job", &mut |way, line| {
        if way == Way::Output {
            parser.feed(line);
        }
    })?;
    let verdict = verdict::judge(&record, Some(parser.finish()), InKernel::Without);
    run.finish(&verdict, &record)?;
    Ok(verdict)
}

/// What is not as the case wants it.
fn wrong(case: &Case, verdict: &Verdict) -> Vec<String> {
    let mut wrong = Vec::new();
    if verdict.outcome != case.outcome {
        wrong.push(format!(
            "exit status {}, not {}",
            verdict.outcome as u8, case.outcome as u8
        ));
    }
    let said = verdict.problems.iter().map(String::as_str);
    let kinds = verdict.complaints.iter().map(|complaint| complaint.kind);
    let failed = verdict.failed.iter().map(String::as_str);
    let mut all = said.chain(kinds).chain(failed);
    if !case.says.is_empty() && !all.any(|text| text.contains(case.says)) {
        wrong.push(format!(
            "nothing says {:?}: {:?}",
            case.says, verdict.problems
        ));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_silent_on_purpose_has_less_time() {
        let usual = Deadlines::new(accel::Accel::Tcg, &Flavour::plain().unwrap());
        for case in CASES {
            let limits = limits(case, usual);
            let less = limits.idle < usual.idle || limits.boot < usual.boot;
            assert_eq!(less, case.name.starts_with("hangs "), "{}", case.name);
        }
    }
}
