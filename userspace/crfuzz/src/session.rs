// SPDX-License-Identifier: GPL-2.0

//! Sends cases, reads what comes of them, and asks what [`crate::judge`] wants to know.

mod answer;
mod checks;
#[cfg(test)]
mod tests;

use std::io;

use crate::attrs;
use crate::case::{Case, MANY, SOCKETS, Step};
use crate::grammar::{Grammar, MESSAGE};
use crate::judge::Wrong;
use crate::judge::amended::Rules;
use crate::live;
use crate::sys;
use crate::wire::{CHECKS, Wire};
use crate::zoo::Zoo;

pub use answer::Answer;
use answer::Reader;

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;

/// The header of a message, and that of generic netlink behind it.
const HEADER: usize = 16;
const GENL: usize = 4;

/// What has been counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Messages that were sent.
    pub messages: u64,
    /// Of these, those that are of no case, but look at what comes of one.
    pub checks: u64,
    /// Messages of cases that were done.
    pub done: u64,
    /// Sockets that were restored and compared.
    pub compared: u64,
    /// Sockets that could not be restored twice for a good reason.
    pub not_compared: u64,
    /// Amendments that were done and looked at, and the values that they brought.
    pub amended: u64,
    pub applied: u64,
    /// Those that were refused, and looked at.
    pub unamended: u64,
    /// Answers that got lost for want of room.
    pub overruns: u64,
}

/// What can be done wrong on purpose, each of which another rule has to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sabotage {
    /// Throw answers away.
    Answers,
    /// Change copies before they are compared.
    Copies,
    /// Throw away what is reported of amendments.
    Reports,
    /// Change a socket after an amendment was refused.
    Refusals,
    /// Change what an amendment did not name.
    Others,
    /// Count nothing.
    Counts,
}

/// The family on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    pub id: u16,
    pub version: u8,
}

/// Numbers of attributes and operations that have a part here.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    inode: u16,
    cookie: u16,
    filter: u16,
    fd: u16,
    pidfd: u16,
    report: u16,
    transaction: u16,
    waiting: [u16; 3],
    dump: u8,
    restore: u8,
    queue: u8,
    amend: u8,
}

/// Sends, and has judged what comes of it.
// They are independent of each other.
#[expect(clippy::struct_excessive_bools)]
pub struct Session<'g, W> {
    grammar: &'g Grammar,
    numbers: Numbers,
    identity: Vec<u16>,
    rules: Rules<'g>,
    family: Family,
    wire: W,
    /// Whether nothing may be allowed.
    powerless: bool,
    sequence: u32,
    out: Vec<u8>,
    /// Messages without an end of their answer yet, by socket.
    pending: [Vec<Answer>; SOCKETS + 1],
    /// Whether a socket has to be replaced after the case.
    stale: [bool; SOCKETS + 1],
    /// The descriptors that the kernel has handed out.
    fds: Vec<u32>,
    /// Whether there may be some that nobody has read of.
    unread: bool,
    /// The first descriptor that is not this program's own.
    free: u32,
    pub counts: Counts,
    /// All answers are kept, to be shown.
    pub keep: bool,
    /// What came of the last case, if it is kept.
    pub shown: Vec<Answer>,
    /// What was said in the last case.
    pub marks: Vec<u64>,
    /// Whether somebody else uses the sockets, so that they may change at any time.
    pub raced: bool,
    /// What is done wrong on purpose, to see that this is noticed: once in so many times.
    pub sabotage: Option<(Sabotage, u64)>,
}

impl<'g, W: Wire> Session<'g, W> {
    /// Sends by `wire`.
    pub fn new(
        grammar: &'g Grammar,
        family: Family,
        wire: W,
        powerless: bool,
    ) -> anyhow::Result<Self> {
        let number = |name| grammar.number(MESSAGE, name);
        Ok(Self {
            grammar,
            numbers: Numbers {
                inode: number("inode")?,
                cookie: number("cookie")?,
                filter: number("filter-inode")?,
                fd: number("sock-fd")?,
                pidfd: number("pidfd")?,
                report: number("report")?,
                transaction: number("transaction")?,
                waiting: [
                    number("queue-len")?,
                    number("error-queue-len")?,
                    number("cork-len")?,
                ],
                dump: grammar.command("dump")?,
                restore: grammar.command("restore")?,
                queue: grammar.command("queue")?,
                amend: grammar.command("amend")?,
            },
            identity: grammar.identity()?,
            rules: Rules::new(grammar)?,
            family,
            wire,
            powerless,
            sequence: 0,
            out: Vec::new(),
            pending: Default::default(),
            stale: Default::default(),
            fds: Vec::new(),
            unread: false,
            free: u32::try_from(sys::lowest_free()?)?,
            counts: Counts::default(),
            keep: false,
            shown: Vec::new(),
            marks: Vec::new(),
            raced: false,
            sabotage: None,
        })
    }

    /// Does what a case says, without looking closer at what comes of it.
    pub fn send(&mut self, case: &Case, zoo: Option<&Zoo>) -> Result<(), Wrong> {
        self.shown.clear();
        self.marks.clear();
        for step in &case.0 {
            self.step(step, zoo)?;
        }
        for via in 0..SOCKETS {
            if self.stale[via] {
                self.unread |= !self.pending[via].is_empty();
                self.pending[via].clear();
                self.stale[via] = false;
                self.wire.reopen(via).map_err(|error| error.to_string())?;
            } else if !self.pending[via].is_empty() {
                self.answers(via, usize::MAX)?;
            }
        }
        Ok(())
    }

    /// Forgets what is under way, after something was wrong.
    pub fn start_anew(&mut self) -> io::Result<()> {
        for via in 0..=CHECKS {
            self.pending[via].clear();
            self.stale[via] = false;
            self.wire.reopen(via)?;
        }
        self.fds.clear();
        self.unread = false;
        sys::close_range(self.free, live::FIRST_NETLINK - 1)
    }

    /// Closes all sockets that were made, but for up to `most` that are compared before.
    pub fn settle(&mut self, most: usize) -> Result<(), Wrong> {
        let fds = std::mem::take(&mut self.fds);
        let mut owned = Vec::new();
        for fd in fds {
            let Some(fd) = sys::take(fd) else {
                return Err(format!(
                    "the descriptor {fd} that was handed out is not open"
                ));
            };
            owned.push(fd);
        }
        if std::mem::take(&mut self.unread) {
            owned.into_iter().for_each(std::mem::forget);
            return sys::close_range(self.free, live::FIRST_NETLINK - 1)
                .map_err(|error| error.to_string());
        }
        owned.truncate(if self.raced { 0 } else { most });
        // One at a time: they may keep each other from an address.
        for fd in owned.drain(..).take(1) {
            self.compare(fd)?;
        }
        Ok(())
    }

    /// Notes that something was reached.
    fn mark(&mut self, what: u64) {
        self.marks.push(answer::hash(&what.to_ne_bytes()));
    }

    fn step(&mut self, step: &Step, zoo: Option<&Zoo>) -> Result<(), Wrong> {
        let Some(watched) = self.watched(step)? else {
            return self.exchange(step, zoo);
        };
        let (keep, shown) = (self.keep, self.shown.len());
        self.keep = true;
        let result = self.exchange(step, zoo);
        self.keep = keep;
        // It is the last.
        let found = self
            .shown
            .iter()
            .rposition(|one| one.sequence == self.sequence);
        let answer = found.and_then(|at| self.shown.get(at).cloned());
        if !keep {
            self.shown.truncate(shown);
        }
        result?;
        // It may have got lost for want of room.
        answer.map_or(Ok(()), |answer| self.look_again(&watched, answer))
    }

    /// Sends the messages of a step, and reads the answers.
    fn exchange(&mut self, step: &Step, zoo: Option<&Zoo>) -> Result<(), Wrong> {
        let via = step.via;
        self.encode(step, zoo);
        if self.out.is_empty() {
            return Ok(());
        }
        self.expect(via);
        let sent = u64::try_from(step.requests.len()).unwrap_or_default();
        self.counts.messages += sent;
        if via == CHECKS {
            self.counts.checks += sent;
        }
        let ends_in_transaction = step.requests.iter().any(|request| {
            [self.numbers.restore, self.numbers.amend].contains(&request.command)
                && attrs::get(&request.attrs, self.numbers.transaction).is_some()
        });
        if ends_in_transaction {
            // Whatever is left of it goes with the socket.
            self.stale[via] = true;
        }
        match self.wire.send(via, &self.out) {
            Ok(()) => {}
            // Too long, or nothing at all: the kernel does not see it.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EMSGSIZE | libc::ENOBUFS)) => {
                self.pending[via].clear();
                self.stale[via] = true;
                return Ok(());
            }
            // What an earlier answer that got lost leaves behind.
            Err(error) => return Err(format!("sendmsg: {error}")),
        }
        match step.parts {
            None => self.answers(via, usize::MAX),
            Some(parts) => {
                // Those who read one part come back for the rest, others go.
                self.stale[via] |= parts != 1;
                self.unread |= parts != 1;
                self.answers(via, parts)
            }
        }
    }

    /// Writes the messages of a step.
    fn encode(&mut self, step: &Step, zoo: Option<&Zoo>) {
        self.out.clear();
        for request in &step.requests {
            self.sequence = self.sequence.wrapping_add(1);
            let at = self.out.len();
            let len = HEADER + GENL + request.attrs.len();
            let said = u32::try_from(len).unwrap_or(u32::MAX);
            let said = said.wrapping_add_signed(i32::from(request.lie));
            self.out.extend(said.to_ne_bytes());
            self.out.extend(self.family.id.to_ne_bytes());
            self.out.extend(request.flags.to_ne_bytes());
            self.out.extend(self.sequence.to_ne_bytes());
            self.out.extend([0; 4]);
            self.out
                .extend([request.command, self.family.version, 0, 0]);
            self.out.extend_from_slice(&request.attrs);
            if request.command != self.numbers.restore
                && let Some(zoo) = zoo
            {
                let numbers = self.numbers;
                fill_in(&mut self.out[at + HEADER + GENL..], numbers, zoo);
            }
            self.out.resize(self.out.len().next_multiple_of(4), 0);
        }
        self.out.extend_from_slice(&step.tail);
    }

    /// Notes what the kernel has to answer, going over the bytes as it does.
    fn expect(&mut self, via: usize) {
        let mut at = 0;
        while let Some(rest) = self.out.get(at..)
            && rest.len() >= HEADER
        {
            let len = attrs::word(rest, 0) as usize;
            if len < HEADER || len > rest.len() {
                break;
            }
            let half = |at| u16::from_ne_bytes([rest[at], rest[at + 1]]);
            let (kind, flags) = (half(4), half(6));
            let command = rest.get(HEADER).copied().unwrap_or_default();
            let many = flags & MANY == MANY;
            let operation = self.grammar.operation(command);
            let known = operation.is_some_and(|one| {
                let mode = if many { &one.many } else { &one.single };
                mode.is_some()
            });
            let good = len >= HEADER + GENL && kind == self.family.id && flags & NLM_F_REQUEST != 0;
            self.pending[via].push(Answer {
                sequence: attrs::word(rest, 8),
                command,
                many,
                asked: flags & NLM_F_ACK != 0 || (good && known && many),
                known: good && known,
                ..Answer::default()
            });
            at += len.next_multiple_of(4);
        }
    }

    /// Reads up to so many parts of answers, and all of them if there is no end to that.
    fn answers(&mut self, via: usize, most: usize) -> Result<(), Wrong> {
        let mut left = most;
        let mut wrong = None;
        let mut overrun = false;
        while left > 0 {
            if most == usize::MAX && self.pending[via].is_empty() {
                break;
            }
            let marks = self.marks.len();
            let (pending, fds) = (&mut self.pending[via], &mut self.fds);
            let mut reader = Reader {
                pending,
                fds,
                shown: &mut self.shown,
                marks: &mut self.marks,
                family: self.family.id,
                numbers: self.numbers,
                powerless: self.powerless,
                keep: self.keep || via == CHECKS,
                done: 0,
            };
            let throw = is_due(self.sabotage, Sabotage::Answers, self.counts.messages);
            let got = self.wire.receive(via, left, &mut |part| {
                if wrong.is_none() && !throw {
                    wrong = reader.part(part).err();
                }
            });
            if via == CHECKS {
                self.marks.truncate(marks);
            } else if self
                .sabotage
                .is_none_or(|(what, _)| what != Sabotage::Counts)
            {
                self.counts.done += reader.done;
            }
            if let Some(wrong) = wrong {
                return Err(wrong);
            }
            match got {
                Ok(got) => left = left.saturating_sub(got.max(1)),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => break,
                    Some(libc::EINTR) => {}
                    Some(libc::ENOBUFS) => overrun = true,
                    // A dump whose reader may not go on says so here.
                    _ => return Err(format!("recvmsg: {error}")),
                },
            }
        }
        if overrun {
            self.unread = true;
            self.counts.overruns += 1;
            self.pending[via].clear();
            self.stale[via] = true;
        }
        if left == 0 && most != usize::MAX {
            return Ok(());
        }
        let lacking = self.pending[via].iter().find(|answer| answer.asked);
        let result = lacking.map_or(Ok(()), |answer| {
            Err(format!(
                "no answer to a message of command {}, {} NLM_F_DUMP",
                answer.command,
                if answer.many { "with" } else { "without" }
            ))
        });
        self.pending[via].clear();
        result
    }
}

/// Whether it is time to do something wrong.
fn is_due(sabotage: Option<(Sabotage, u64)>, what: Sabotage, count: u64) -> bool {
    sabotage.is_some_and(|(which, each)| which == what && count.is_multiple_of(each))
}

/// Puts numbers in the place of their place holders.
fn fill_in(attrs: &mut [u8], numbers: Numbers, zoo: &Zoo) {
    let mut at = 0;
    while let Some(found) = attrs::walk(attrs, at, attrs.len()).next() {
        at = found.end().next_multiple_of(4);
        let number = found.number();
        let inode = number == numbers.inode || number == numbers.filter;
        let payload = attrs
            .get_mut(found.payload()..found.end())
            .unwrap_or_default();
        if (inode || number == numbers.cookie)
            && let Ok(bytes) = <[u8; 8]>::try_from(&*payload)
            && let Some(socket) = live::held(u64::from_ne_bytes(bytes))
        {
            let value = if inode {
                zoo.inode(socket)
            } else {
                zoo.cookie(socket)
            };
            payload.copy_from_slice(&value.to_ne_bytes());
        }
    }
}
