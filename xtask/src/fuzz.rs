// SPDX-License-Identifier: GPL-2.0

//! `fuzz`: hostile messages, in a guest that runs the kernel.

use crate::{
    ctx::Ctx,
    files,
    flavour::{
        self,
        Flavour, //
    },
    pin,
    report::{
        self,
        Folder,
        Log, //
    },
    ui,
    userspace::Programs,
    verdict::{
        self,
        InKernel, //
    },
    vm::{
        self,
        Job,
        Kernel,
        Machine,
        accel::{
            self,
            Accel, //
        },
        deadlines::Deadlines,
        guest::Way,
        run::Run, //
    },
    vm_test::screen::Screen,
};
use anyhow::{
    Context,
    Result, //
};
use fs_err as fs;
use serde::Serialize;
use serde_json::Value;
use std::{
    io::Write as _,
    path::{
        Path,
        PathBuf, //
    },
    process::ExitCode,
    time::{
        Duration,
        Instant, //
    },
};

/// The cases that every run begins with, in the repository.
const CORPUS: &str = "userspace/crfuzz/corpus.jsonl";

/// The record of a run, in the folder of its results.
const RECORD: &str = "fuzz.json";

/// The cases that a run is given by `--corpus` or `--replay`, there too: what is named may be in a
/// folder that goes before the guest reads it, or in this one.
const GIVEN: &str = "given.jsonl";

/// How many messages there are if nothing else is said.
const MESSAGES: u64 = 200_000;

/// How long a guest may live. It is the fuzzer that says when it ends, and that it still lives.
const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// What the help ends with.
const EXAMPLES: &str = "\
Examples:
  cargo xtask fuzz --messages 10000
  cargo xtask fuzz --flavour debug --time 1h    # led by coverage
  cargo xtask fuzz --seed 7 -- --trace 100      # a run again, from case 100 on shown";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Which configuration of the kernel: `debug` finds more, and has KCOV.
    #[arg(long, default_value = flavour::DEFAULT)]
    flavour: Flavour,
    /// How many messages [default: 200000, or without an end if --time is given].
    #[arg(long, value_name = "N")]
    messages: Option<u64>,
    /// How long at most: 90s, 10m, 2h.
    #[arg(long, value_name = "TIME")]
    time: Option<humantime::Duration>,
    /// What the messages are made from, to have the same again; by the clock, if it is not given.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many send at once as root, and as root of a user namespace.
    #[arg(long, value_name = "N", default_value_t = 1)]
    workers: u64,
    /// Cases to begin with besides those in the repository (`corpus.jsonl` of an earlier run).
    #[arg(long, value_name = "FILE", value_parser = files::named())]
    corpus: Option<PathBuf>,
    /// Add the cases that reach something new to those in the repository.
    #[arg(long)]
    keep_corpus: bool,
    /// Send the cases in a file (`repro.jsonl` of an earlier run), show the answers, and stop.
    #[arg(
        long,
        value_name = "FILE",
        value_parser = files::named(),
        conflicts_with_all = ["messages", "time", "seed", "workers", "corpus", "keep_corpus"]
    )]
    replay: Option<PathBuf>,
    /// Without kmemleak, whose stacks beside those of KASAN take half of the time (`debug`): what
    /// leaks is only found if the caches of the kernel hold many objects more at the end.
    #[arg(long)]
    no_kmemleak: bool,
    /// Take the kernel and the programs as the last build left them.
    #[arg(long)]
    no_build: bool,
    /// Put the results here and not below target/results.
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// More arguments for the program (see `crfuzz --help`).
    #[arg(last = true)]
    extra: Vec<String>,
}

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    let from = Instant::now();
    let given = Given::read(args)?;
    let (kernel, programs) = vm::parts(ctx, &args.flavour, args.no_build)?;
    let build = from.elapsed();

    let accel = accel::choose(ctx, &kernel, &args.flavour, false)?;
    let what = format!("fuzz-{}", args.flavour);
    let version = pin::load(ctx)?.version;
    let folder = Folder::new(ctx, &what, args.results.as_deref(), false)?;
    // Those of an earlier run, in a folder that is used again.
    for name in [RECORD, GIVEN] {
        let _ = fs::remove_file(folder.file(name));
    }
    let mut deadlines = Deadlines::new(accel, &args.flavour);
    deadlines.run = LIFE;
    let mut machine = Machine::new(&kernel, &programs, &args.flavour, accel)?.without_kunit();
    if args.no_kmemleak {
        machine.parameters.push("kmemleak=off".to_owned());
    }
    let given = given.map(|given| given.write(&folder)).transpose()?;
    let job = job(args, given, &kernel, &programs)?;
    let mut run = Run::new(ctx, folder, &kernel, &machine, deadlines, &job)?;
    run.times.add("build", build);

    let mut found = Found::new(&run.folder, &args.flavour, accel)?;
    let record = run.go("fuzzing", &mut |way, line| found.take(way, line))?;
    found.screen.end();
    if args.keep_corpus {
        keep(&ctx.repo(CORPUS), &found.kept)?;
    }

    let verdict = verdict::judge(
        &record,
        Some(found.screen.parser.finish()),
        InKernel::Without,
    );
    let mut last = None;
    if let Some(counts) = &found.counts {
        let fuzzed = Fuzzed {
            version: &version,
            commit: kernel.commit(),
            flavour: args.flavour.name(),
            kmemleak: job.kmemleak,
            when: report::now().join(" "),
            outcome: verdict.word(),
            complaints: verdict.complaints.len(),
            counts,
        };
        let text = serde_json::to_string_pretty(&fuzzed)?;
        fs::write(run.folder.file(RECORD), format!("{text}\n"))?;
        last = Some(fuzzed.line());
    }
    println!();
    print!("{}", run.finish(&verdict, &record)?);
    if let Some(line) = last {
        println!("{line}");
    }
    if found.wrong {
        ui::note(&format!(
            "to see it again: cargo xtask fuzz --flavour {} --replay {}",
            args.flavour,
            run.folder.file("repro.jsonl").display()
        ));
    }
    println!("{}", verdict.totals);
    Ok(verdict.outcome.into())
}

/// The file of `--corpus` or `--replay`, of which there can be one.
struct Given {
    option: &'static str,
    cases: Vec<u8>,
}

impl Given {
    fn read(args: &Args) -> Result<Option<Self>> {
        let files = [("--corpus", &args.corpus), ("--replay", &args.replay)];
        let given = files
            .into_iter()
            .find_map(|(option, file)| Some((option, file.as_ref()?)));
        given
            .map(|(option, file)| {
                let cases = fs::read(file)?;
                Ok(Self { option, cases })
            })
            .transpose()
    }

    /// Puts it into the folder of the run, and gives what the program is told. The guest has the
    /// host's root, read-only.
    fn write(self, folder: &Folder) -> Result<[String; 2]> {
        let file = folder.file(GIVEN);
        fs::write(&file, self.cases)?;
        let file = file.to_str().context("a path that is not UTF-8")?;
        Ok([self.option.to_owned(), file.to_owned()])
    }
}

fn job(
    args: &Args,
    given: Option<[String; 2]>,
    kernel: &Kernel,
    programs: &Programs,
) -> Result<Job> {
    let mut arguments = Vec::new();
    let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    match (args.messages, args.time) {
        (Some(messages), _) => add("--messages", messages.to_string()),
        (None, None) => add("--messages", MESSAGES.to_string()),
        (None, Some(_)) => {}
    }
    if let Some(time) = args.time {
        add("--time", time.to_string());
    }
    if let Some(seed) = args.seed {
        add("--seed", seed.to_string());
    }
    add("--workers", args.workers.to_string());
    arguments.extend(given.into_iter().flatten());
    arguments.extend(args.extra.iter().cloned());
    let mut job = Job::new(programs.get("crfuzz")?, arguments);
    let set = |name: &str, value: String| (name.to_owned(), value);
    job.environment = vec![
        set("PATH", programs.path()),
        set("RUST_BACKTRACE", "1".to_owned()),
    ];
    job.kmemleak = kernel.has("DEBUG_KMEMLEAK")? && !args.no_kmemleak;
    Ok(job)
}

/// The record of a run ([`RECORD`]), by which runs can be added up.
#[derive(Serialize)]
struct Fuzzed<'a> {
    /// The kernel: Linux, the commit it was built from, the flavour, and whether kmemleak was on.
    version: &'a str,
    commit: String,
    flavour: &'a str,
    kmemleak: bool,
    /// When it ended.
    when: String,
    outcome: &'static str,
    /// What the kernel complained of.
    complaints: usize,
    /// What the fuzzer says, the last time that it did.
    #[serde(flatten)]
    counts: &'a serde_json::Map<String, Value>,
}

impl Fuzzed<'_> {
    /// The same for a person.
    fn line(&self) -> String {
        let count = |name| self.counts.get(name).unwrap_or(&Value::Null);
        format!(
            "fuzzed: {} messages in {} s by seed {}, {} places reached; Linux {}, flavour {}{}, \
             commit {}; {} findings, {} complaints",
            count("messages"),
            count("seconds"),
            count("seed"),
            count("places"),
            self.version,
            self.flavour,
            if self.kmemleak { " with kmemleak" } else { "" },
            self.commit,
            count("wrong"),
            self.complaints,
        )
    }
}

/// What comes out of the guest.
struct Found {
    screen: Screen,
    /// Cases that reach something new.
    corpus: Log,
    kept: Vec<String>,
    /// Cases that led to something that is wrong.
    repro: Log,
    wrong: bool,
    /// How far the fuzzer was when it last said so.
    counts: Option<serde_json::Map<String, Value>>,
}

impl Found {
    fn new(folder: &Folder, flavour: &Flavour, accel: Accel) -> Result<Self> {
        Ok(Self {
            screen: Screen::new(folder, flavour, accel)?,
            corpus: folder.log("corpus.jsonl")?,
            kept: Vec::new(),
            repro: folder.log("repro.jsonl")?,
            wrong: false,
            counts: None,
        })
    }

    fn take(&mut self, way: Way, line: &str) {
        if way != Way::Output {
            self.screen.take(way, line);
        } else if let Some(case) = line.strip_prefix("# corpus ") {
            self.corpus.line(case);
            self.kept.push(case.to_owned());
        } else if let Some(case) = line.strip_prefix("# repro ") {
            self.repro.line(case);
            self.wrong = true;
        } else if let Some(counts) = line.strip_prefix("# counts ") {
            self.counts = serde_json::from_str(counts).ok().or(self.counts.take());
        } else {
            self.screen.take(way, line);
        }
    }
}

/// Adds cases to a corpus.
fn keep(path: &Path, cases: &[String]) -> Result<()> {
    let mut file = fs::OpenOptions::new().append(true).open(path)?;
    for case in cases {
        writeln!(file, "{case}")?;
    }
    ui::note(&format!("{} cases more in {CORPUS}", cases.len()));
    Ok(())
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

    fn parsed(words: &[&str]) -> Result<Args, clap::Error> {
        let words = [&["fuzz"], words].concat();
        Command::try_parse_from(words).map(|command| command.args)
    }

    #[test]
    fn what_cannot_be_is_refused_before_a_build() {
        let error = |words: &[&str]| parsed(words).err().unwrap().to_string();
        assert!(error(&["--time", "soon"]).contains("--time"));
        for option in ["--replay", "--corpus"] {
            assert!(error(&[option, "no-such-file"]).contains("no-such-file"));
            assert!(error(&[option, "src"]).contains("src is not a file"));
        }
        // What the guest is told is what it takes.
        let time = parsed(&["--time", "90m"]).unwrap().time.unwrap();
        assert_eq!(time.as_secs(), 5400);
        assert_eq!(time.to_string().parse(), Ok(time));
    }

    #[test]
    fn what_is_given_outlives_the_folder_that_it_is_in() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let ctx = Ctx::in_dir(dir.path())?;
        let results = dir.path().join("results");
        let folder = || Folder::new(&ctx, "fuzz", Some(&results), false);
        for (option, name) in [
            ("--replay", "repro.jsonl"),
            ("--corpus", "corpus.jsonl"),
            ("--replay", GIVEN),
        ] {
            let file = folder()?.file(name);
            fs::write(&file, name)?;
            let given = Given::read(&parsed(&[option, file.to_str().unwrap()])?)?;
            fs::remove_dir_all(&results)?;
            let folder = folder()?;
            let words = given.unwrap().write(&folder)?;
            // It opens the logs of the run.
            Found::new(&folder, &Flavour::named(flavour::DEFAULT)?, Accel::Kvm)?;
            assert_eq!(words[0], option);
            assert_eq!(fs::read_to_string(&words[1])?, name);
        }
        assert!(Given::read(&parsed(&[])?)?.is_none());
        Ok(())
    }

    #[test]
    fn what_a_replay_would_pass_over_is_refused() {
        // Any file will do.
        let file = "Cargo.toml";
        let parsed = |more: &[&str]| parsed(&[&["--replay", file], more].concat());
        let args = parsed(&["--no-build", "--no-kmemleak"]).unwrap();
        assert_eq!((args.workers, args.messages), (1, None));
        for more in [
            &["--messages", "9"][..],
            &["--time", "1h"],
            &["--seed", "1"],
            &["--workers", "1"],
            &["--corpus", file],
            &["--keep-corpus"],
        ] {
            assert!(parsed(more).is_err(), "{more:?}");
        }
    }
}
