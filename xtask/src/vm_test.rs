// SPDX-License-Identifier: GPL-2.0

//! `vm-test`: the tests, in a guest that runs the kernel.

pub mod screen;
pub mod suite;

use crate::{
    ctx::Ctx,
    kunit, lint,
    report::Folder,
    spec,
    userspace::{
        self,
        Programs, //
    },
    verdict::{
        self,
        InKernel,
        Outcome,
        Verdict, //
    },
    vm::{
        self,
        Job,
        Kernel,
        Machine,
        Root,
        accel::{
            self,
            Accel, //
        },
        deadlines::Deadlines,
        guest::Record,
        run::Run, //
    },
};
use anyhow::{
    Context,
    Result,
    bail,
    ensure, //
};
use screen::Screen;
use std::{
    num::NonZero,
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        ExitCode, //
    },
    time::{
        Duration,
        Instant, //
    },
};

/// What the help ends with.
const EXAMPLES: &str = "\
Examples:
  cargo xtask vm-test --quick           # a sample, after a small change
  cargo xtask vm-test --filter 'options::priority::*'
  cargo xtask vm-test --no-build --until-fail --filter selectors::batch
  cargo xtask vm-test --flavour debug   # with KASAN, kmemleak and others";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
// Each is a switch of the command line.
#[expect(clippy::struct_excessive_bools)]
pub struct Args {
    #[command(flatten)]
    kernel: vm::AnyChoice,
    /// Only tests whose name matches this pattern (with * and ?), or one of several if it is
    /// repeated; those in the kernel are named `kunit::SUITE::CASE`.
    #[arg(long, short = 't', value_name = "GLOB")]
    filter: Vec<String>,
    /// Of those in userspace, only every eighth, and none that takes long: the answer to a small
    /// change.
    #[arg(long)]
    quick: bool,
    /// Print the names of the tests that run in userspace, which are the same for each kernel, and
    /// do nothing.
    #[arg(
        long,
        conflicts_with_all = ["repeat", "until_fail", "require_kvm", "dry_run", "keep", "results"],
        conflicts_with_all = ["flavour", "arch", "image", "extra"]
    )]
    list: bool,
    /// Run all of it this many times, each in a fresh guest; stops at the first that fails
    /// [default: 1].
    #[arg(long, value_name = "N")]
    repeat: Option<NonZero<usize>>,
    /// Run again and again until one fails (or --repeat is reached, if given).
    #[arg(long)]
    until_fail: bool,
    /// Fail where KVM cannot be used, instead of emulating.
    #[arg(long)]
    require_kvm: bool,
    /// Print the command line of QEMU and do not start it; the files that it names are made.
    #[arg(long, conflicts_with_all = ["repeat", "until_fail"])]
    dry_run: bool,
    /// Keep the results folder for ever; without it the last 20 of runs that passed are kept, and
    /// the last 20 of others. With --until-fail, only that of the run that fails.
    #[arg(long, conflicts_with = "results")]
    keep: bool,
    /// Put the results here, where they are kept, and not below target/results.
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// More arguments for the program of the tests (see `roundtrip --help`).
    #[arg(last = true)]
    extra: Vec<String>,
}

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    let from = Instant::now();
    let flavour = args.kernel.flavour()?;
    ensure!(
        args.extra.is_empty() || !only_in_kernel(args),
        "the arguments behind -- are for the tests in userspace, and --filter leaves none of these"
    );
    ensure!(
        !args.quick || !only_in_kernel(args),
        "--quick is about the tests in userspace, and --filter leaves none of these"
    );
    if args.require_kvm {
        accel::may_be_required(flavour.arch())?;
    }
    if args.list || (!args.filter.is_empty() && !only_in_kernel(args)) {
        let names = names(&vm::programs(ctx, args.kernel.no_build)?, args);
        // Otherwise that is said with what it is of the kernel.
        if args.kernel.no_build && (args.list || names.is_err()) {
            userspace::warn(ctx)?;
        }
        let names = names?;
        if args.list {
            print!("{names}");
            return Ok(ExitCode::SUCCESS);
        }
    }
    let (kernel, programs, root) = args.kernel.parts(ctx, &flavour)?;
    let mut build = Some(from.elapsed());

    let accel = accel::choose(ctx, &kernel, &flavour, args.require_kvm)?;
    let most = match args.repeat {
        Some(repeat) => repeat.get(),
        None if args.until_fail => usize::MAX,
        None => 1,
    };
    let mut outcome = Outcome::Passed;
    for turn in 1..=most {
        if most > 1 {
            println!("# run {turn}");
        }
        outcome = once(ctx, args, &kernel, &programs, &root, accel, build.take())?;
        if outcome != Outcome::Passed {
            break;
        }
    }
    Ok(outcome.into())
}

/// The names of the tests that run in userspace. They do not depend on the kernel, so the host can
/// say them; that there is none is better said now than after a build and a boot.
fn names(programs: &Programs, args: &Args) -> Result<String> {
    // An image has one, too, which may be of another machine.
    let program = programs.get("roundtrip").context(
        "the names of the tests are asked of a program of this machine, also for a guest with an \
         image: `cargo xtask vm-test --list` builds it",
    )?;
    let mut command = Command::new(program);
    command.arg("--list").args(selection(args));
    let output = command.output().context("cannot run roundtrip")?;
    if !output.status.success() {
        ensure!(
            output.status.code() == Some(NO_TEST),
            "roundtrip cannot say which tests there are ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        bail!("{}", no_test(args));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// What `roundtrip` exits with if none of its tests is wanted.
const NO_TEST: i32 = 4;

/// Why there is none.
fn no_test(args: &Args) -> &'static str {
    if only_in_kernel(args) {
        "--list has the tests in userspace only: `cargo xtask kunit` runs those in the kernel, and \
         says their names"
    } else if args.quick {
        "none of the tests in userspace that --quick leaves has a name like this: leave out --quick"
    } else if args
        .filter
        .iter()
        .any(|filter| filter.starts_with("leaks::"))
    {
        "leaks::* look at what the tests before them have left, and are behind those of any --filter: \
         give that of the others, and `-- --jobs 1` has each say what it left"
    } else {
        "no test in userspace has a name like this: --list without --filter has them all; those in \
         the kernel are 'kunit::SUITE::CASE'"
    }
}

/// One guest from start to verdict.
fn once(
    ctx: &Ctx,
    args: &Args,
    kernel: &Kernel,
    programs: &Programs,
    root: &Root,
    accel: Accel,
    build: Option<Duration>,
) -> Result<Outcome> {
    let flavour = args.kernel.flavour()?;
    let what = format!("vm-test-{flavour}");
    let folder = Folder::new(ctx, &what, args.results.as_deref(), args.keep)?;
    let deadlines = Deadlines::new(accel, &flavour);
    let mut machine = Machine::new(kernel, programs, &flavour, accel)?.on(root.clone());
    machine
        .parameters
        .extend(kunit::PARAMETERS.map(str::to_owned));
    let job = if only_in_kernel(args) {
        Job::new(Path::new("/bin/true"), Vec::<String>::new())
    } else {
        let mut words: Vec<_> = selection(args).map(str::to_owned).collect();
        words.extend(args.extra.iter().cloned());
        job(ctx, words, kernel, programs, root)?
    };
    let mut run = Run::new(ctx, folder, kernel, &machine, deadlines, &job)?;
    if args.dry_run {
        println!("{}", run.by_hand());
        return Ok(Outcome::Passed);
    }
    if let Some(build) = build {
        run.times.add("build", build);
    }

    let mut screen = Screen::new(&run.folder, &flavour, accel)?;
    let record = run.go("tests", &mut |way, line| screen.take(way, line))?;
    screen.end();
    let ran_tests = !only_in_kernel(args);
    let tests = ran_tests.then(|| screen.parser.finish());

    let in_kernel = in_kernel(ctx, args, kernel, &record)?;
    let verdict = verdict::judge(&record, tests, in_kernel);
    let summary = run.finish(&verdict, &record)?;
    say(&verdict, &summary);
    if args.until_fail && verdict.outcome == Outcome::Passed {
        run.folder.let_go()?;
    }
    Ok(verdict.outcome)
}

/// The results, last of all the line that counts.
pub fn say(verdict: &Verdict, summary: &str) {
    let in_kernel = verdict
        .tests
        .iter()
        .filter(|case| case.name.starts_with("kunit::"))
        .count();
    println!();
    if in_kernel > 0 {
        println!("of these in the kernel (KUnit, doctests): {in_kernel}");
    }
    print!("{summary}");
    println!("{}", verdict.totals);
}

/// Which tests the program is to run.
fn selection(args: &Args) -> impl Iterator<Item = &str> {
    let quick = args.quick.then_some("--quick");
    quick.into_iter().chain(filter(&args.filter))
}

fn filter(globs: &[String]) -> impl Iterator<Item = &str> {
    globs.iter().flat_map(|glob| ["--filter", glob])
}

fn only_in_kernel(args: &Args) -> bool {
    let mut filters = args.filter.iter();
    !args.filter.is_empty() && filters.all(|filter| filter.starts_with("kunit::"))
}

/// `roundtrip`, with these arguments.
fn job(
    ctx: &Ctx,
    words: Vec<String>,
    kernel: &Kernel,
    programs: &Programs,
    root: &Root,
) -> Result<Job> {
    let mut job = Job::new(programs.get("roundtrip")?, words);
    let set = |name: &str, value: String| (name.to_owned(), value);
    job.environment = vec![
        set("PATH", programs.path()),
        set("RUST_BACKTRACE", "1".to_owned()),
    ];
    // What these need is on this machine only: the tests that miss them are skipped.
    if *root == Root::Host {
        let file = |name: &str, path: &Path| set(name, path.display().to_string());
        let tests = programs.get(userspace::TOOL_TESTS)?;
        job.environment.push(file("INETCR_TESTS", tests));
        // With --no-build the tree may be gone: it is not brought back for some tests.
        if let Some(tree) = kernel.tree() {
            job.environment.extend([
                file("YNL_PYTHON", &lint::python(ctx)),
                file("YNL", &tree.join("tools/net/ynl/pyynl")),
                file("YNL_SPEC", &tree.join(spec::SPEC)),
            ]);
        }
    }
    job.kmemleak = kernel.has("DEBUG_KMEMLEAK")?;
    Ok(job)
}

fn in_kernel(ctx: &Ctx, args: &Args, kernel: &Kernel, record: &Record) -> Result<InKernel> {
    if !kernel.has("KUNIT")? {
        return Ok(InKernel::Without);
    }
    let ours = kunit::Ours::find(ctx)?;
    let report = kunit::read(record.log(), &ours, &args.filter);
    Ok(report.map_or(InKernel::Silent, InKernel::Ran))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn parsed(words: &str) -> Result<Args, clap::Error> {
        let words = std::iter::once("vm-test").chain(words.split_whitespace());
        Command::try_parse_from(words).map(|command| command.args)
    }

    #[test]
    fn what_would_be_passed_over_in_silence_is_refused() {
        for words in [
            "--list --repeat 2",
            "--list --until-fail",
            "--list --results x",
            "--list --image",
            "--list --flavour debug",
            "--list --arch arm64",
            "--list --dry-run",
            "--list --keep",
            "--list -- --jobs 1",
            "--keep --results x",
        ] {
            assert!(parsed(words).is_err(), "{words}");
        }
        assert!(parsed("--list --quick --filter a::* --no-build").is_ok());
        let dir = tempfile::tempdir().unwrap();
        let ctx = Ctx::in_dir(dir.path()).unwrap();
        let refusal = |words| run(&ctx, &parsed(words).unwrap()).unwrap_err().to_string();
        let error = refusal("--filter kunit::* -- --jobs 1");
        assert!(error.contains("behind --"), "{error}");
        let error = refusal("--filter kunit::* --quick");
        assert!(error.contains("--quick"), "{error}");
    }

    #[test]
    fn who_only_has_an_image_is_told_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = Ctx::in_dir(dir.path()).unwrap();
        let args = parsed("--image --no-build --filter a").unwrap();
        let error = run(&ctx, &args).unwrap_err().to_string();
        assert!(
            error.contains("`cargo xtask vm-test --list` builds"),
            "{error}"
        );
    }

    #[test]
    fn that_there_is_no_test_has_its_reason() {
        let why = |words| no_test(&parsed(words).unwrap());
        assert!(why("--list --filter kunit::*").contains("cargo xtask kunit"));
        assert!(why("--filter leaks::machine").contains("--jobs 1"));
        assert!(why("--quick --filter a").contains("--quick leaves"));
        assert!(why("--filter a --filter kunit::*").contains("no test in userspace"));
    }
}
