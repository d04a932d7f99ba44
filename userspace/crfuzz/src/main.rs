// SPDX-License-Identifier: GPL-2.0

//! A fuzzer of the `af-inet-cr` generic netlink family.
//!
//! It knows what messages look like from the family's specification, changes them in all ways that
//! may hurt, and keeps those that reach code of the kernel that none before has reached (KCOV). It
//! looks at the answers, too: see [`judge`]. It is meant for a VM (`cargo xtask fuzz`), as root.

mod attrs;
mod case;
mod cover;
mod generate;
mod grammar;
mod judge;
mod live;
mod race;
mod rng;
mod session;
mod slab;
mod sys;
mod text;
mod wire;
mod worker;
mod zoo;

use std::fs;
use std::io::{Stdout, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow, bail};
use clap::Parser;
use ktap::Writer;

use case::Case;
use grammar::Grammar;
use session::Sabotage;
use worker::{Board, Orders, Part, Role, Word, Worker};

/// The cases that earlier runs have found.
const CORPUS: &str = include_str!("../corpus.jsonl");

/// How often it is said how far it is.
const PROGRESS: Duration = Duration::from_secs(5);

/// How long a case may take, on a machine that is not slow.
const DEADLINE: Duration = Duration::from_secs(10);

/// Sends hostile messages and prints KTAP.
///
/// Exit status: 0 nothing found, 1 something is wrong, 4 it could not run.
#[derive(Parser)]
struct Arguments {
    /// How many messages.
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    messages: u64,
    /// How long at most: 90s, 10m, 2h.
    #[arg(long, value_name = "TIME")]
    time: Option<humantime::Duration>,
    /// What messages are made from; by the clock, if it is not given.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many send at once as root, and as root of a user namespace.
    #[arg(long, value_name = "N", default_value_t = 1)]
    workers: u64,
    /// Cases to begin with besides those in the repository.
    #[arg(long, value_name = "FILE")]
    corpus: Option<PathBuf>,
    /// Send the cases in a file, show the answers, and do nothing else.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Print each case before it is sent, from this one on: to find the one that kills the machine.
    #[arg(long, value_name = "CASE")]
    trace: Option<u64>,
    /// Multiply the deadlines, for a slow machine.
    #[arg(long, env = "INETCR_TIME_SCALE", default_value_t = 1)]
    time_scale: u32,
    /// Go on after what is wrong, if these words are in it; for what is known already.
    #[arg(long, value_name = "WORDS")]
    known: Vec<String>,
    /// Do something wrong once in so many times, which has to be noticed.
    #[arg(long, value_name = "N", hide = true)]
    sabotage: Option<u64>,
    /// What that is.
    #[arg(long, value_enum, default_value = "answers", hide = true)]
    sabotage_by: Sabotage,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("crfuzz: {error:#}");
            ExitCode::from(4)
        }
    }
}

/// Reads cases, one in a line. What is in front of the array is not looked at.
fn cases(grammar: &Grammar, text: &str) -> Result<Vec<Case>> {
    let lines = text.lines().enumerate().filter_map(|(number, line)| {
        let begin = line.find('[')?;
        (!line.starts_with("//")).then(|| {
            let case = text::read(grammar, &line[begin..]);
            case.with_context(|| format!("line {}", number + 1))
        })
    });
    lines.collect()
}

fn run(arguments: &Arguments) -> Result<bool> {
    let grammar = Grammar::load()?;
    let mut corpus = cases(&grammar, CORPUS).context("the corpus")?;
    let read = |path: &PathBuf| -> Result<Vec<Case>> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        cases(&grammar, &text).with_context(|| path.display().to_string())
    };
    if let Some(path) = &arguments.corpus {
        corpus.extend(read(path)?);
    }
    // Without the family there is nothing to do.
    inetcr::Client::new().with_context(|| format!("the family {}", grammar.family))?;
    let mut writer = Writer::new(std::io::stdout());
    if let Some(path) = &arguments.replay {
        let cases = read(path)?;
        writer.begin(1)?;
        let name = format!("replay of {} cases", cases.len());
        let result =
            Worker::new(&grammar, Role::Root, None).and_then(|mut worker| worker.replay(&cases));
        match &result {
            Ok(()) => writer.ok(&name)?,
            Err(error) => writer.not_ok(&name, &format!("{error:#}"))?,
        }
        return Ok(result.is_ok());
    }
    Fuzzer::start(arguments, &grammar, &corpus, writer)?.watch()
}

/// Those that send.
struct Fuzzer {
    writer: Writer<Stdout>,
    workers: Vec<Sender>,
    started: Instant,
    deadline: Duration,
    said: Instant,
    messages: u64,
    seed: u64,
    /// How many of them found something wrong.
    wrong: u64,
    /// What of the kernel's memory was in use before.
    memory: Option<slab::Objects>,
}

/// One of them.
struct Sender {
    pid: u32,
    role: Role,
    seed: u64,
    board: Board,
    /// When it last came to another case, and to which.
    moved: (Instant, u64),
    /// How it ended.
    end: Option<i32>,
}

impl Fuzzer {
    fn start(
        arguments: &Arguments,
        grammar: &Grammar,
        corpus: &[Case],
        mut writer: Writer<Stdout>,
    ) -> Result<Self> {
        let jobs = arguments.workers.clamp(1, 64);
        // Shares of the messages, in sixteenths. There is less to find for who may do nothing.
        let mut roles = Vec::new();
        for _ in 0..jobs {
            roles.push((Role::Root, 9));
            roles.push((Role::UserNamespace, 6));
        }
        roles.push((Role::Nobody, 1));
        let clock = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let seed = arguments.seed.unwrap_or(clock.as_secs());
        let memory = slab::objects();
        writer.begin(roles.len() + usize::from(memory.is_some()))?;
        let led = kcov::is_there();
        writer.diagnostic(&format!(
            "seed {seed}, {} cases to begin with, {}",
            corpus.len(),
            if led {
                "led by what is reached (KCOV)"
            } else {
                "led by what the kernel says: it has no KCOV (CONFIG_KCOV, debugfs)"
            }
        ))?;
        let words = sys::shared(Board::LEN * roles.len())?;
        let set = kcov::Set::new()?;
        let started = Instant::now();
        let mut workers = Vec::new();
        for (number, (role, share)) in (0_u64..).zip(roles) {
            let share = if role == Role::Nobody {
                share * jobs
            } else {
                share
            };
            let messages = arguments.messages / (16 * jobs) * share;
            let orders = Orders {
                role,
                seed: seed.wrapping_mul(1000).wrapping_add(number),
                messages: messages.max(1),
                // Who may do nothing is done soon, and would only take the processors of others.
                until: arguments.time.and_then(|time| {
                    let part = if role == Role::Nobody { 8 } else { 1 };
                    started.checked_add(*time / part)
                }),
                trace: arguments.trace,
                sabotage: arguments.sabotage.map(|each| (arguments.sabotage_by, each)),
                known: arguments.known.clone(),
                scale: arguments.time_scale.max(1),
            };
            let at = usize::try_from(number)? * Board::LEN;
            let board = Board::new(&words[at..at + Board::LEN], set);
            workers.push(Sender {
                pid: spawn(grammar, corpus, &orders, board)?,
                role,
                seed: orders.seed,
                board,
                moved: (started, 0),
                end: None,
            });
        }
        Ok(Self {
            writer,
            workers,
            started,
            deadline: DEADLINE * arguments.time_scale.max(1),
            said: started,
            messages: 0,
            seed,
            wrong: 0,
            memory,
        })
    }

    /// Until all of them have ended.
    fn watch(mut self) -> Result<bool> {
        while self.workers.iter().any(|one| one.end.is_none()) {
            std::thread::sleep(Duration::from_millis(100));
            for at in 0..self.workers.len() {
                self.wrong += u64::from(!self.look_at(at)?);
            }
            if self.said.elapsed() >= PROGRESS {
                self.say();
            }
        }
        if let Some(before) = &self.memory {
            let name = "memory of the kernel";
            // Namespaces end when their time has come.
            match slab::none_left(before, self.deadline) {
                Ok(()) => self.writer.ok(name)?,
                Err(wrong) => {
                    self.wrong += 1;
                    self.writer.not_ok(name, &wrong)?;
                }
            }
        }
        self.say();
        let (user, system) = sys::times_of_children();
        let line = format!(
            "processor time: {} s in the fuzzer, {} s in the kernel",
            user.as_secs(),
            system.as_secs()
        );
        self.writer.diagnostic(&line)?;
        let parts = Part::ALL.map(|(part, name)| {
            let all = self.workers.iter().map(|one| one.board.spent(part));
            format!("{} s {name}", all.sum::<Duration>().as_secs())
        });
        self.writer.diagnostic(&parts.join(", "))?;
        Ok(self.wrong == 0)
    }

    fn look_at(&mut self, at: usize) -> Result<bool> {
        let one = &mut self.workers[at];
        if one.end.is_some() {
            return Ok(true);
        }
        let name = format!("{} (seed {})", one.role.name(), one.seed);
        if let Some(status) = sys::ended(one.pid, false)? {
            one.end = Some(status);
            match status {
                0 => self.writer.ok(&name)?,
                1 => self.writer.not_ok(&name, "see above")?,
                4 => bail!("{name}: it could not run"),
                _ => self
                    .writer
                    .not_ok(&name, &format!("ended with status {status}"))?,
            }
            return Ok(status == 0);
        }
        let cases = one.board.get(Word::Cases);
        if cases != one.moved.1 {
            one.moved = (Instant::now(), cases);
        } else if one.moved.0.elapsed() > self.deadline {
            // Where it hangs; on the console.
            let _ = fs::write("/proc/sysrq-trigger", "w");
            let _ = fs::write("/proc/sysrq-trigger", "l");
            let _ = sys::kill(one.pid);
            one.end = Some(1);
            let text = format!(
                "case {} does not end: the same seed with --trace {} shows it",
                cases + 1,
                cases + 1
            );
            self.writer.not_ok(&name, &text)?;
            return Ok(false);
        }
        Ok(true)
    }

    /// How far it is.
    fn say(&mut self) {
        let sum = |word| {
            self.workers
                .iter()
                .map(|one| one.board.get(word))
                .sum::<u64>()
        };
        let messages = sum(Word::Messages);
        let since = self.said.elapsed().as_millis().max(1);
        let rate = u128::from(messages - self.messages) * 1000 / since;
        let line = format!(
            "{} s: {messages} messages ({} of them checks), {rate}/s; {} cases, {} done; \
             {} places reached, {} kept; {} copies compared ({} not); \
             {} amendments done, with {} values, {} refused; {} overruns",
            self.started.elapsed().as_secs(),
            sum(Word::Checks),
            sum(Word::Cases),
            sum(Word::Done),
            sum(Word::Places),
            sum(Word::Kept),
            sum(Word::Compared),
            sum(Word::NotCompared),
            sum(Word::Amended),
            sum(Word::Applied),
            sum(Word::Unamended),
            sum(Word::Overruns),
        );
        worker::say(&line);
        // For the record, which has to be right also if the machine dies.
        let counts = serde_json::json!({
            "seed": self.seed,
            "workers": self.workers.len(),
            "seconds": self.started.elapsed().as_secs(),
            "messages": messages,
            "checks": sum(Word::Checks),
            "cases": sum(Word::Cases),
            "done": sum(Word::Done),
            "places": sum(Word::Places),
            "kept": sum(Word::Kept),
            "led_by_kcov": kcov::is_there(),
            "wrong": self.wrong,
        });
        worker::say(&format!("counts {counts}"));
        self.said = Instant::now();
        self.messages = messages;
    }
}

/// Starts one, as the first process of its PID namespace: so that no owner of a socket can be
/// anybody else, and no signal ends it.
fn spawn(grammar: &Grammar, corpus: &[Case], orders: &Orders, board: Board) -> Result<u32> {
    std::io::stdout().flush()?;
    let child = || {
        let init = sys::pidfd(1).ok();
        let begin = || -> Result<u32> {
            if orders.role == Role::UserNamespace {
                sys::new_user_namespace().context("a user namespace")?;
            }
            sys::unshare(libc::CLONE_NEWPID).context("a PID namespace")?;
            let work = || work(grammar, corpus, orders, board, init);
            sys::fork(work).map_err(|error| anyhow!(error))
        };
        let ended = begin().and_then(|pid| Ok(sys::ended(pid, true)?.unwrap_or(4)));
        ended.unwrap_or_else(|error| {
            eprintln!("crfuzz: {}: {error:#}", orders.role.name());
            4
        })
    };
    sys::fork(child).context("a worker")
}

/// All that one does; gives its exit status.
fn work(
    grammar: &Grammar,
    corpus: &[Case],
    orders: &Orders,
    board: Board,
    init: Option<OwnedFd>,
) -> i32 {
    let mut worker = match Worker::new(grammar, orders.role, init) {
        Ok(worker) => worker,
        Err(error) => {
            eprintln!("crfuzz: {}: {error:#}", orders.role.name());
            return 4;
        }
    };
    match worker.run(orders, corpus, board) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_is_read_and_small() {
        let grammar = Grammar::load().unwrap();
        let corpus = cases(&grammar, CORPUS).unwrap();
        let lines = CORPUS.lines().filter(|line| !line.starts_with("//"));
        assert_eq!(corpus.len(), lines.count());
        assert!(CORPUS.len() < 200 * 1024);
        assert!(
            cases(&grammar, "# repro [{\"send\":[]}]\n\nword\n")
                .unwrap()
                .len()
                == 1
        );
    }
}
