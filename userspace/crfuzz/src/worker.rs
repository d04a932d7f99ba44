// SPDX-License-Identifier: GPL-2.0

//! A process that sends cases until it has sent enough, as somebody with certain rights.

use std::fs;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kcov::Set;

use crate::attrs;
use crate::case::Case;
use crate::cover::Cover;
use crate::generate::{Generator, Stock};
use crate::grammar::Grammar;
use crate::judge::{self, Wrong};
use crate::live;
use crate::rng::Rng;
use crate::session::{Family, Sabotage, Session};
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

/// After how many cases the descriptors are looked at. (The counters of the namespace are when the
/// sockets are new.)
const LOOK_AT_FDS: u64 = 64;

/// After how many cases there are new sockets, and how many of these cases come while nobody else
/// uses the sockets. A repro has all cases since the sockets were new.
const CYCLE: u64 = 512;
const QUIET: u64 = 448;

/// How long a worker goes on while nobody else uses its sockets. Where processors are emulated, to
/// let another in throws away much of what they have translated and looked up; a slice is usually
/// shorter than many a message takes there.
const SLICE: Duration = Duration::from_millis(100);

/// How often a case is sent again to find out what of it is needed: for code that was reached, and
/// for words alone, which are found sooner.
const TRIALS: usize = 100;
const TRIALS_FOR_WORDS: usize = 24;

/// Cases that reach something new are kept up to this number; then each takes the place of one
/// that was found by chance, not of one from the repository.
const KEPT: usize = 4000;

/// Where a worker says how far it is.
#[derive(Clone, Copy)]
pub struct Board {
    words: &'static [AtomicU64],
    set: Set,
}

/// The words of a board.
#[derive(Clone, Copy)]
pub enum Word {
    Cases,
    Messages,
    Done,
    Checks,
    Compared,
    NotCompared,
    Amended,
    Applied,
    Unamended,
    Overruns,
    Kept,
    /// Places that this worker was the first of all to reach.
    Places,
    /// Microseconds that are spent, by [`Part`].
    Spent,
}

/// What a worker spends its time with.
#[derive(Clone, Copy)]
pub enum Part {
    Making,
    Sending,
    Comparing,
    Learning,
    Looking,
    Renewing,
}

impl Part {
    /// All of them.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Making, "making cases"),
        (Self::Sending, "sending them"),
        (Self::Comparing, "comparing copies"),
        (Self::Learning, "learning from them"),
        (Self::Looking, "looking for what is left"),
        (Self::Renewing, "renewing the sockets"),
    ];
}

impl Board {
    /// How many words there are.
    pub const LEN: usize = Word::Spent as usize + Part::ALL.len();

    /// In shared memory, with a set of places that all of them share.
    pub fn new(words: &'static [AtomicU64], set: Set) -> Self {
        Self { words, set }
    }

    /// A word.
    pub fn get(self, word: Word) -> u64 {
        self.words[word as usize].load(Ordering::Relaxed)
    }

    /// The time that was spent with something.
    pub fn spent(self, part: Part) -> Duration {
        let at = Word::Spent as usize + part as usize;
        Duration::from_micros(self.words[at].load(Ordering::Relaxed))
    }

    /// Notes that time was spent with something, since a moment, and gives the next moment.
    fn spend(self, part: Part, since: Instant) -> Instant {
        let now = Instant::now();
        let micros = u64::try_from((now - since).as_micros()).unwrap_or_default();
        self.words[Word::Spent as usize + part as usize].fetch_add(micros, Ordering::Relaxed);
        now
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
    pub sabotage: Option<(Sabotage, u64)>,
    /// What is passed over if it is wrong, by words in it.
    pub known: Vec<String>,
    /// How slow the machine is.
    pub scale: u32,
}

/// A worker.
pub struct Worker<'g> {
    grammar: &'g Grammar,
    generator: Generator<'g>,
    session: Session<'g, Netlink>,
    zoo: Zoo,
    cover: Cover,
    role: Role,
    /// What was sent since the sockets were new.
    recent: Vec<Case>,
}

impl<'g> Worker<'g> {
    /// Becomes who it is to be, in namespaces of its own. `init` is a pidfd of the first process.
    pub fn new(grammar: &'g Grammar, role: Role, init: Option<OwnedFd>) -> Result<Self> {
        sys::end_with_parent();
        sys::ignore_signals();
        sys::set_slice(Some(SLICE)).context("a slice of time")?;
        // Before the rights to open it are gone.
        let cover = Cover::open().context("a set of places")?;
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
        let session = Session::new(grammar, family, wire, role == Role::Nobody)?;
        Ok(Self {
            grammar,
            generator: Generator::new(grammar)?,
            session,
            zoo,
            cover,
            role,
            recent: Vec::new(),
        })
    }

    /// Sends cases one after the other and shows what comes of each.
    pub fn replay(&mut self, cases: &[Case]) -> Result<()> {
        self.session.keep = true;
        for case in cases {
            println!("# {}", text::write(self.grammar, case));
            let wrong = self.session.send(case, Some(&self.zoo));
            for answer in &self.session.shown {
                let words = answer.words.as_deref().unwrap_or_default();
                println!("#   errno {} {words}", answer.errno);
                for attrs in &answer.messages {
                    println!("#     {}", text::attributes(self.grammar, attrs));
                }
            }
            if let Err(wrong) = wrong.and_then(|()| self.session.settle(1)) {
                bail!("{wrong}");
            }
        }
        Ok(())
    }

    /// Sends cases until there are enough. The error is what is wrong.
    pub fn run(&mut self, orders: &Orders, corpus: &[Case], board: Board) -> Result<(), Wrong> {
        let mut rng = Rng::new(orders.seed);
        self.session.sabotage = orders.sabotage;
        let mut stock = self.stock(&mut rng)?;
        stock.cases.extend(corpus.iter().cloned());
        let fixed = stock.cases.len();
        let open = judge::open();
        let counters = judge::counters();
        for number in 1.. {
            let moment = Instant::now();
            let next = (number % CYCLE == 0).then_some(false);
            let next = next.or((number % CYCLE == QUIET).then_some(true));
            if let Some(raced) = next.filter(|_| self.role != Role::Nobody) {
                let result = self.renew(raced, rng.next()).and_then(|()| {
                    // With a race, they come and go.
                    let patience = Duration::from_secs(3) * orders.scale;
                    if raced {
                        Ok(())
                    } else {
                        judge::none_left(&counters, patience)
                    }
                });
                if let Err(wrong) = result {
                    self.confess(&wrong, number);
                    return Err(wrong);
                }
                self.recent.clear();
            }
            let moment = board.spend(Part::Renewing, moment);
            // What is known first.
            let known = usize::try_from(number).map_or(usize::MAX, |number| number - 1);
            let case = match stock.cases.get(known).filter(|_| known < fixed) {
                Some(case) => case.clone(),
                None => self.generator.case(&mut rng, &[&stock]),
            };
            if orders.trace.is_some_and(|from| from <= number) {
                let case = text::write(self.grammar, &case);
                say(&format!("case {number} {case}"));
            }
            board.spend(Part::Making, moment);
            let result = self.one(&case, board, &mut stock, fixed, &mut rng);
            self.report(board, number);
            let moment = Instant::now();
            let result = result.and_then(|()| {
                if number.is_multiple_of(LOOK_AT_FDS) {
                    judge::none_open(&open)?;
                }
                Ok(())
            });
            board.spend(Part::Looking, moment);
            if let Err(wrong) = result {
                if !orders.known.iter().any(|words| wrong.contains(words)) {
                    self.confess(&wrong, number);
                    return Err(wrong);
                }
                let anew = self.session.start_anew();
                anew.map_err(|error| error.to_string())?;
            }
            let late =
                number.is_multiple_of(32) && orders.until.is_some_and(|at| Instant::now() >= at);
            if late || self.session.counts.messages >= orders.messages {
                break;
            }
        }
        let end = if self.role == Role::Nobody {
            Ok(())
        } else {
            // Nobody may use them any more.
            self.renew(false, 0)
                .and_then(|()| judge::enough(&self.session.counts))
        };
        let end =
            end.and_then(|()| judge::none_left(&counters, Duration::from_secs(5) * orders.scale));
        if let Err(wrong) = &end {
            self.confess(wrong, 0);
        }
        end
    }

    /// Has new sockets to send messages about, that somebody uses meanwhile or that nobody does.
    fn renew(&mut self, raced: bool, seed: u64) -> Result<(), Wrong> {
        self.session.raced = raced;
        // A race needs to be let in anywhere, and often.
        let slice = sys::set_slice((!raced).then_some(SLICE));
        slice.map_err(|error| format!("no slice of time: {error}"))?;
        let result = self.zoo.renew(raced.then_some(seed));
        result.map_err(|error| format!("the sockets cannot be made anew: {error:#}"))
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
        let moment = Instant::now();
        self.recent.push(case.clone());
        self.cover.start();
        self.session.send(case, Some(&self.zoo))?;
        let moment = board.spend(Part::Sending, moment);
        let new = self.cover.take(&self.session.marks);
        // Of many that were restored at once, some.
        let most = if case.len() < 4 { 1 } else { rng.below(2) };
        let moment = board.spend(Part::Learning, moment);
        self.session.settle(most)?;
        let moment = board.spend(Part::Comparing, moment);
        // What comes of a race does not come again.
        if new.is_empty() || self.session.raced {
            return Ok(());
        }
        let first = new.iter().filter(|&&place| board.set.add(place)).count();
        let first = u64::try_from(first).unwrap_or_default();
        board.put(Word::Places, board.get(Word::Places) + first);
        if stock.cases.contains(case) {
            return Ok(());
        }
        let case = self.shorten(case.clone(), &new)?;
        board.spend(Part::Learning, moment);
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
        let most = if self.cover.is_by_code() {
            TRIALS
        } else {
            TRIALS_FOR_WORDS
        };
        if less.len() == 0 || *trials >= most {
            return Ok(());
        }
        *trials += 1;
        self.recent.push(less.clone());
        self.cover.start();
        let sent = self.session.send(&less, Some(&self.zoo));
        let enough = self.cover.has(places, &self.session.marks);
        sent.and_then(|()| self.session.settle(1))?;
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
        let identity = self.grammar.identity().map_err(|error| error.to_string())?;
        for fd in live::FIRST_SOCKET..live::FIRST_SOCKET + live::SOCKETS {
            let (state, queue) = self.session.state(fd)?;
            if let Some(attrs) = state.messages.first() {
                stock.sockets.push(attrs::without(attrs, &identity));
                stock.numbers.push(fd);
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
        for (nth, socket) in stock.sockets.iter().enumerate() {
            let generator = &self.generator;
            stock
                .cases
                .push(generator.copy(rng, socket, &stock.queues[nth]));
            let amended = generator.amend_as_dumped(stock.numbers[nth], socket);
            stock.cases.push(amended);
            if !stock.queues[nth].is_empty() {
                stock.cases.push(generator.bring(rng, &stock.queues[nth]));
            }
        }
        Ok(stock)
    }

    fn report(&self, board: Board, number: u64) {
        let counts = self.session.counts;
        board.put(Word::Cases, number);
        board.put(Word::Messages, counts.messages);
        board.put(Word::Done, counts.done);
        board.put(Word::Checks, counts.checks);
        board.put(Word::Compared, counts.compared);
        board.put(Word::Amended, counts.amended);
        board.put(Word::Applied, counts.applied);
        board.put(Word::Unamended, counts.unamended);
        board.put(Word::NotCompared, counts.not_compared);
        board.put(Word::Overruns, counts.overruns);
    }

    /// Prints what led to something that is wrong, the last of it at the end.
    fn confess(&self, wrong: &str, number: u64) {
        for line in wrong.lines() {
            say(&format!(
                "wrong ({}, case {number}): {line}",
                self.role.name()
            ));
        }
        for case in &self.recent {
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
