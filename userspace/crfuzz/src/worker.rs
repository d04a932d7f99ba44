// SPDX-License-Identifier: GPL-2.0

//! A process that sends cases until it has sent enough, as somebody with certain rights.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::attrs;
use crate::case::Case;
use crate::cover::{self, Cover};
use crate::generate::{Generator, Stock};
use crate::grammar::Grammar;
use crate::judge::{Family, Judge, Wrong, left_behind};
use crate::live;
use crate::rng::Rng;
use crate::sys;
use crate::text;
use crate::wire::Netlink;
use crate::zoo::Zoo;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Root, in a network namespace of its own.
    Root,
    /// Root of a user namespace, likewise.
    UserNamespace,
    /// Somebody without any right, for whom nothing must be done.
    Nobody,
}

impl Role {
    /// The name, which is that of a test.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::UserNamespace => "root of a user namespace",
            Self::Nobody => "nobody",
        }
    }
}

/// After how many cases the descriptors are looked at, and the counters of the namespace.
const LOOK_AT_FDS: u64 = 64;
const LOOK_AT_COUNTERS: u64 = 8192;

/// How often a case is sent again to find out what of it is needed.
const TRIALS: usize = 100;

/// Cases that reach something new are kept up to this number; then each takes the place of one
/// that was found by chance, not of one from the repository.
const KEPT: usize = 4000;

/// Where a worker says how far it is.
#[derive(Clone, Copy)]
pub struct Board {
    words: &'static [AtomicU64],
    set: &'static [AtomicU64],
}

/// The words of a board.
#[derive(Clone, Copy)]
pub enum Word {
    Cases,
    Messages,
    Done,
    Compared,
    NotCompared,
    Overruns,
    Kept,
    /// Places that this worker was the first of all to reach.
    Places,
}

impl Board {
    /// How many words there are.
    pub const LEN: usize = 8;

    /// In shared memory, with a set of places that all of them share.
    pub fn new(words: &'static [AtomicU64], set: &'static [AtomicU64]) -> Self {
        Self { words, set }
    }

    /// A word.
    pub fn get(self, word: Word) -> u64 {
        self.words[word as usize].load(Ordering::Relaxed)
    }

    fn put(self, word: Word, value: u64) {
        self.words[word as usize].store(value, Ordering::Relaxed);
    }
}

/// What a worker is to do.
#[derive(Clone)]
pub struct Orders {
    pub role: Role,
    pub seed: u64,
    /// How many messages, and until when.
    pub messages: u64,
    pub until: Option<Instant>,
    /// From which case on each is printed before it is sent.
    pub trace: Option<u64>,
    pub sabotage: Option<u64>,
    /// What is passed over if it is wrong, by words in it.
    pub known: Vec<String>,
    /// How slow the machine is.
    pub scale: u32,
}

/// A worker.
pub struct Worker<'g> {
    grammar: &'g Grammar,
    generator: Generator<'g>,
    judge: Judge<'g, Netlink>,
    zoo: Zoo,
    cover: Option<Cover>,
    role: Role,
}

impl<'g> Worker<'g> {
    /// Becomes who it is to be, in namespaces of its own. `init` is a pidfd of the first process.
    pub fn new(grammar: &'g Grammar, role: Role, init: Option<OwnedFd>) -> Result<Self> {
        sys::end_with_parent();
        sys::ignore_signals();
        // Before the rights to open it are gone.
        let cover = Cover::open().ok();
        let family = {
            let client = inetcr::Client::new().context("the family")?;
            Family {
                id: client.family_id(),
                version: u8::try_from(client.family_version())?,
            }
        };
        sys::unshare(libc::CLONE_NEWNET).context("a network namespace")?;
        let foreign = sys::socket(libc::AF_INET, libc::SOCK_DGRAM, 0).ok();
        sys::unshare(libc::CLONE_NEWNET).context("a network namespace")?;
        sys::loopback_up().context("the loopback device")?;
        let zoo = Zoo::new(foreign, init)?;
        let wire = Netlink::open().context("netlink sockets")?;
        if role == Role::Nobody {
            // The first netlink sockets are those of somebody with rights, which must not help.
            sys::become_nobody().context("other users")?;
        }
        let judge = Judge::new(grammar, family, wire, role == Role::Nobody)?;
        Ok(Self {
            grammar,
            generator: Generator::new(grammar)?,
            judge,
            zoo,
            cover,
            role,
        })
    }

    /// Sends cases one after the other and shows what comes of each.
    pub fn replay(&mut self, cases: &[Case]) -> Result<()> {
        self.judge.keep = true;
        for case in cases {
            println!("# {}", text::write(self.grammar, case));
            let wrong = self.judge.send(case, Some(&self.zoo));
            for answer in &self.judge.shown {
                let words = answer.words.as_deref().unwrap_or_default();
                println!("#   errno {} {words}", answer.errno);
                for attrs in &answer.messages {
                    println!("#     {}", text::attributes(self.grammar, attrs));
                }
            }
            if let Err(wrong) = wrong.and_then(|()| self.judge.settle(1)) {
                bail!("{wrong}");
            }
        }
        Ok(())
    }

    /// Sends cases until there are enough. The error is what is wrong.
    pub fn run(&mut self, orders: &Orders, corpus: &[Case], board: Board) -> Result<(), Wrong> {
        let mut rng = Rng::new(orders.seed);
        self.judge.sabotage = orders.sabotage;
        let mut stock = self.stock(&mut rng)?;
        stock.cases.extend(corpus.iter().cloned());
        let fixed = stock.cases.len();
        let free = sys::lowest_free().map_err(|error| error.to_string())?;
        let counters = counters();
        let mut recent = VecDeque::new();
        let mut number = 0_u64;
        loop {
            let case = match usize::try_from(number)
                .ok()
                .and_then(|at| stock.cases.get(at))
            {
                // What is known first.
                Some(case) if number < u64::try_from(fixed).unwrap_or_default() => case.clone(),
                _ => self.generator.case(&mut rng, &[&stock]),
            };
            number += 1;
            if orders.trace.is_some_and(|from| from <= number) {
                say(&format!(
                    "case {number} {}",
                    text::write(self.grammar, &case)
                ));
            }
            let result = self.one(&case, board, &mut stock, fixed, &mut rng);
            if recent.len() >= usize::try_from(LOOK_AT_FDS).unwrap_or_default() {
                recent.pop_front();
            }
            recent.push_back(case);
            self.report(board, number);
            let result = result.and_then(|()| {
                if number.is_multiple_of(LOOK_AT_FDS)
                    && let Some(now) = left_behind(free).map_err(|error| error.to_string())?
                {
                    return Err(format!(
                        "descriptors are left behind: {free} was free, now {now}"
                    ));
                }
                if number.is_multiple_of(LOOK_AT_COUNTERS) {
                    compare(&counters, Duration::from_secs(3) * orders.scale)?;
                }
                Ok(())
            });
            if let Err(wrong) = result {
                if !orders.known.iter().any(|words| wrong.contains(words)) {
                    self.confess(&wrong, number, &recent);
                    return Err(wrong);
                }
                self.judge.start_anew().map_err(|error| error.to_string())?;
            }
            let late =
                number.is_multiple_of(32) && orders.until.is_some_and(|at| Instant::now() >= at);
            if late || self.judge.counts.messages >= orders.messages {
                break;
            }
        }
        compare(&counters, Duration::from_secs(5) * orders.scale)
    }

    /// One case, and what comes of it.
    fn one(
        &mut self,
        case: &Case,
        board: Board,
        stock: &mut Stock,
        fixed: usize,
        rng: &mut Rng,
    ) -> Result<(), Wrong> {
        if let Some(cover) = &self.cover {
            cover.start();
        }
        self.judge.send(case, Some(&self.zoo))?;
        let new = self.cover.as_mut().map(Cover::take).unwrap_or_default();
        // Of many that were restored at once, some.
        let most = if case.len() < 4 { 1 } else { rng.below(2) };
        self.judge.settle(most)?;
        if new.is_empty() {
            return Ok(());
        }
        let first = cover::share(board.set, &new);
        board.put(Word::Places, board.get(Word::Places) + first);
        if stock.cases.contains(case) {
            return Ok(());
        }
        let case = self.shorten(case.clone(), &new)?;
        if first > 0 {
            say(&format!("corpus {}", text::write(self.grammar, &case)));
        }
        if stock.cases.len() < KEPT {
            stock.cases.push(case);
        } else {
            let at = fixed + rng.below(stock.cases.len() - fixed);
            if let Some(place) = stock.cases.get_mut(at) {
                *place = case;
            }
        }
        board.put(Word::Kept, board.get(Word::Kept) + 1);
        Ok(())
    }

    /// Takes out of a case what it does not need to reach some places.
    fn shorten(&mut self, mut case: Case, places: &[u64]) -> Result<Case, Wrong> {
        let mut trials = 0;
        // Whole steps, then messages, then attributes, from the end.
        for step in (0..case.0.len()).rev() {
            let mut less = case.clone();
            less.0.remove(step);
            self.try_less(&mut case, less, places, &mut trials)?;
        }
        for step in 0..case.0.len() {
            for request in (0..case.0[step].requests.len()).rev() {
                let mut less = case.clone();
                less.0[step].requests.remove(request);
                self.try_less(&mut case, less, places, &mut trials)?;
            }
        }
        for step in 0..case.0.len() {
            for request in 0..case.0[step].requests.len() {
                // Many at once, then fewer.
                let mut part = attrs::all(&case.0[step].requests[request].attrs).count() / 2;
                while part > 0 {
                    let mut end = attrs::all(&case.0[step].requests[request].attrs).count();
                    while end > 0 {
                        let begin = end.saturating_sub(part);
                        let mut less = case.clone();
                        let attrs = &mut less.0[step].requests[request].attrs;
                        *attrs = attrs::without_range(attrs, begin, end);
                        self.try_less(&mut case, less, places, &mut trials)?;
                        end = begin;
                    }
                    part /= 2;
                }
            }
        }
        Ok(case)
    }

    fn try_less(
        &mut self,
        case: &mut Case,
        less: Case,
        places: &[u64],
        trials: &mut usize,
    ) -> Result<(), Wrong> {
        if less.len() == 0 || *trials >= TRIALS {
            return Ok(());
        }
        *trials += 1;
        let Some(cover) = &self.cover else {
            return Ok(());
        };
        cover.start();
        let sent = self.judge.send(&less, Some(&self.zoo));
        let enough = self.cover.as_ref().is_some_and(|cover| cover.has(places));
        if let Err(wrong) = sent.and_then(|()| self.judge.settle(1)) {
            say(&format!("repro {}", text::write(self.grammar, &less)));
            return Err(wrong);
        }
        if enough {
            *case = less;
        }
        Ok(())
    }

    /// What there is to begin with: requests about each socket, and the answers, restored.
    fn stock(&mut self, rng: &mut Rng) -> Result<Stock, Wrong> {
        let mut stock = Stock {
            cases: self.generator.about_all(),
            ..Stock::default()
        };
        if self.role == Role::Nobody {
            return Ok(stock);
        }
        let numbers = ["inode", "cookie", "sock-fd"].map(|name| {
            let number = self.grammar.number(crate::grammar::MESSAGE, name);
            number.unwrap_or_default()
        });
        for fd in live::FIRST_SOCKET..live::FIRST_SOCKET + live::SOCKETS {
            let (state, queue) = self.judge.state(fd)?;
            if let Some(attrs) = state.messages.first() {
                stock.sockets.push(attrs::without(attrs, &numbers));
                stock.queues.push(queue);
            }
        }
        if stock.sockets.len() < 8 {
            return Err(format!(
                "of {} sockets only {} can be dumped",
                self.zoo.len(),
                stock.sockets.len()
            ));
        }
        for (socket, queue) in stock.sockets.iter().zip(&stock.queues) {
            stock.cases.push(self.generator.copy(rng, socket, queue));
        }
        Ok(stock)
    }

    fn report(&self, board: Board, number: u64) {
        let counts = self.judge.counts;
        board.put(Word::Cases, number);
        board.put(Word::Messages, counts.messages);
        board.put(Word::Done, counts.done);
        board.put(Word::Compared, counts.compared);
        board.put(Word::NotCompared, counts.not_compared);
        board.put(Word::Overruns, counts.overruns);
    }

    /// Prints what led to something that is wrong, the last of it at the end.
    fn confess(&self, wrong: &str, number: u64, recent: &VecDeque<Case>) {
        for line in wrong.lines() {
            say(&format!(
                "wrong ({}, case {number}): {line}",
                self.role.name()
            ));
        }
        for case in recent {
            say(&format!("repro {}", text::write(self.grammar, case)));
        }
    }
}

/// Prints a line while no other process does: a long one leaves the guest in pieces.
pub fn say(line: &str) {
    // Whatever file; who opens it anew has a lock of its own.
    let turn = fs::File::open("/dev/null").and_then(|file| file.lock().map(|()| file));
    let _ = io::stdout().write_all(format!("# {line}\n").as_bytes());
    drop(turn);
}

/// The sockets of the namespace, by protocol.
fn counters() -> Vec<(String, u64)> {
    let text = fs::read_to_string("/proc/thread-self/net/sockstat").unwrap_or_default();
    let mut counters = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let protocol = words.next().unwrap_or_default();
        while let (Some(key), Some(value)) = (words.next(), words.next()) {
            // What else there is, is of the whole machine, or counted in advance.
            if matches!(key, "inuse" | "used")
                && let Ok(value) = value.parse()
            {
                counters.push((format!("{protocol} {key}"), value));
            }
        }
    }
    counters
}

/// Compares counters with those of before, which may take a while to fall.
fn compare(before: &[(String, u64)], patience: Duration) -> Result<(), Wrong> {
    let start = Instant::now();
    loop {
        let now = counters();
        let grown: Vec<_> = now
            .iter()
            .zip(before)
            .filter(|(now, before)| now.1 > before.1)
            .map(|(now, before)| format!("{}: {} before, {} now", now.0, before.1, now.1))
            .collect();
        if grown.is_empty() {
            return Ok(());
        }
        if start.elapsed() > patience {
            return Err(format!("sockets are left behind: {}", grown.join(", ")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
