// SPDX-License-Identifier: GPL-2.0

//! Sends cases and says what is wrong with the answers.
//!
//! What has to hold, whatever is sent:
//!
//! - each message that asks for an answer gets it, before the call that sends it returns;
//! - answers are well-formed, and a refusal says why in words;
//! - a socket that was restored can be dumped, and restored from that again, and is the same then,
//!   along with all that waits in it;
//! - after a refusal there is no new descriptor;
//! - who has no privilege gets nothing.

use std::io;

use crate::attrs;
use crate::case::{Case, MANY, ORDINARY, Request, SOCKETS, Step};
use crate::grammar::{Grammar, MESSAGE};
use crate::live;
use crate::sys;
use crate::wire::{CHECKS, Wire};
use crate::zoo::Zoo;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// The header of a message, and that of generic netlink behind it.
const HEADER: usize = 16;
const GENL: usize = 4;

/// What is wrong.
pub type Wrong = String;

/// The answer to a message.
#[derive(Clone, Debug, Default)]
// They are independent of each other.
#[expect(clippy::struct_excessive_bools)]
pub struct Answer {
    sequence: u32,
    command: u8,
    /// Whether it can be answered by many messages.
    many: bool,
    /// Whether there has to be an end of the answer.
    asked: bool,
    /// Whether the kernel looks at it at all, and finds an operation for it.
    known: bool,
    /// Whether the end has come.
    ended: bool,
    /// The error number at the end.
    pub errno: i32,
    /// The words there.
    pub words: Option<String>,
    /// The attributes of the messages before the end, where they are kept.
    pub messages: Vec<Vec<u8>>,
}

/// What has been counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Messages that were sent.
    pub messages: u64,
    /// Of these, those of cases that were done.
    pub done: u64,
    /// Sockets that were restored and compared.
    pub compared: u64,
    /// Sockets that could not be restored twice for a good reason.
    pub not_compared: u64,
    /// Answers that got lost for want of room.
    pub overruns: u64,
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
    transaction: u16,
    waiting: [u16; 3],
    dump: u8,
    restore: u8,
    queue: u8,
}

/// Sends and judges.
pub struct Judge<'g, W> {
    grammar: &'g Grammar,
    numbers: Numbers,
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
    /// Answers that are to be thrown away, to see that this is noticed: each of so many.
    pub sabotage: Option<u64>,
}

impl<'g, W: Wire> Judge<'g, W> {
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
                transaction: number("transaction")?,
                waiting: [
                    number("queue-len")?,
                    number("error-queue-len")?,
                    number("cork-len")?,
                ],
                dump: grammar.command("dump")?,
                restore: grammar.command("restore")?,
                queue: grammar.command("queue")?,
            },
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
            sabotage: None,
        })
    }

    /// Does what a case says, without looking closer at what comes of it.
    pub fn send(&mut self, case: &Case, zoo: Option<&Zoo>) -> Result<(), Wrong> {
        self.shown.clear();
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
        owned.truncate(most);
        // One at a time: they may keep each other from an address.
        for fd in owned.drain(..).take(1) {
            self.compare(fd)?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step, zoo: Option<&Zoo>) -> Result<(), Wrong> {
        let via = step.via;
        self.encode(step, zoo);
        if self.out.is_empty() {
            return Ok(());
        }
        self.expect(via);
        self.counts.messages += u64::try_from(step.requests.len()).unwrap_or_default();
        let ends_in_transaction = step.requests.iter().any(|request| {
            request.command == self.numbers.restore
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
            let (pending, fds) = (&mut self.pending[via], &mut self.fds);
            let mut reader = Reader {
                pending,
                fds,
                shown: &mut self.shown,
                family: self.family.id,
                numbers: self.numbers,
                powerless: self.powerless,
                keep: self.keep || via == CHECKS,
                done: 0,
            };
            let throw = self
                .sabotage
                .is_some_and(|each| self.counts.messages.is_multiple_of(each));
            let got = self.wire.receive(via, left, &mut |part| {
                if wrong.is_none() && !throw {
                    wrong = reader.part(part).err();
                }
            });
            self.counts.done += reader.done;
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

    /// Sends one message and returns the answer, by the socket for that.
    fn ask(&mut self, command: u8, flags: u16, attrs: Vec<u8>) -> Result<Answer, Wrong> {
        let step = Step {
            via: CHECKS,
            ..Step::new(vec![Request::new(command, flags, attrs)])
        };
        let shown = std::mem::take(&mut self.shown);
        let result = self.step(&step, None);
        self.stale[CHECKS] = false;
        let mut answers = std::mem::replace(&mut self.shown, shown);
        result?;
        answers
            .pop()
            .ok_or_else(|| "an answer has no end".to_owned())
    }

    /// Asks about a descriptor.
    fn about(&mut self, command: u8, flags: u16, fd: u32) -> Result<Answer, Wrong> {
        let mut attrs = Vec::new();
        attrs::set_word(&mut attrs, self.numbers.fd, fd);
        self.ask(command, flags, attrs)
    }

    /// The state of a socket, and what waits in it.
    pub fn state(&mut self, fd: u32) -> Result<(Answer, Vec<Vec<u8>>), Wrong> {
        let state = self.about(self.numbers.dump, ORDINARY, fd)?;
        let first = state.messages.first();
        let waits = first.is_some_and(|attrs| {
            let waiting = self.numbers.waiting;
            waiting
                .iter()
                .any(|number| attrs::get(attrs, *number).is_some())
        });
        if state.errno != 0 || !waits {
            return Ok((state, Vec::new()));
        }
        let queue = self.about(self.numbers.queue, ORDINARY | MANY, fd)?;
        if queue.errno != 0 {
            return Err(format!(
                "a socket can be dumped, and its queue cannot: errno {}, {:?}",
                queue.errno, queue.words
            ));
        }
        Ok((state, queue.messages))
    }

    /// Restores a socket, in as many messages as it takes.
    fn restore(&mut self, attrs: &[u8], queue: &[Vec<u8>]) -> Result<Answer, Wrong> {
        let (command, part) = (self.numbers.restore, self.numbers.transaction);
        if queue.is_empty() {
            return self.ask(command, ORDINARY, attrs.to_vec());
        }
        let with = |attrs: &[u8], value: u32| {
            let mut attrs = attrs.to_vec();
            attrs::set_word(&mut attrs, part, value);
            attrs
        };
        let begun = self.ask(command, ORDINARY, with(attrs, 1))?;
        if begun.errno != 0 {
            return Ok(begun);
        }
        for message in queue {
            let answer = self.ask(command, ORDINARY, with(message, 2))?;
            if answer.errno != 0 {
                return Ok(answer);
            }
        }
        self.ask(command, ORDINARY, with(&[], 3))
    }

    /// Dumps a socket, restores it from that, and compares.
    fn compare(&mut self, fd: std::os::fd::OwnedFd) -> Result<(), Wrong> {
        use std::os::fd::AsRawFd as _;
        let number = u32::try_from(fd.as_raw_fd()).unwrap_or_default();
        let (state, queue) = self.state(number)?;
        let Some(attrs) = state.messages.first().filter(|_| state.errno == 0) else {
            return Err(format!(
                "a socket was restored and cannot be dumped: errno {}, {:?}",
                state.errno, state.words
            ));
        };
        drop(fd);
        let again = self.restore(attrs, &queue)?;
        if again.errno != 0 {
            // The address is taken, or the memory for the queue is.
            let excused = [libc::EADDRINUSE, libc::ENOMEM, libc::ENOBUFS];
            if excused.contains(&again.errno) {
                self.counts.not_compared += 1;
                return Ok(());
            }
            return Err(format!(
                "a socket was restored, and what it was dumped to is refused: errno {}, {:?}\n{}",
                again.errno,
                again.words,
                crate::text::attributes(self.grammar, attrs)
            ));
        }
        let Some(fd) = self.fds.pop() else {
            return Err("a socket was restored without a descriptor".to_owned());
        };
        let Some(owned) = sys::take(fd) else {
            return Err(format!(
                "the descriptor {fd} that was handed out is not open"
            ));
        };
        let (second, second_queue) = self.state(fd)?;
        drop(owned);
        let identity = [self.numbers.inode, self.numbers.cookie, self.numbers.fd];
        let before = attrs::without(attrs, &identity);
        let after = second
            .messages
            .first()
            .map(|attrs| attrs::without(attrs, &identity));
        if Some(&before) != after.as_ref() || queue != second_queue {
            let text = |attrs: &[u8]| crate::text::attributes(self.grammar, attrs);
            let list = |queue: &[Vec<u8>]| queue.iter().map(|one| text(one)).collect::<Vec<_>>();
            return Err(format!(
                "a socket is another one after a dump and a restore (errno {}, {:?}):\n{}\n{}\n\
                 {:?}\n{:?}",
                second.errno,
                second.words,
                text(&before),
                text(after.as_deref().unwrap_or_default()),
                list(&queue),
                list(&second_queue),
            ));
        }
        self.counts.compared += 1;
        Ok(())
    }
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

/// Reads the answers to what is pending.
struct Reader<'a> {
    pending: &'a mut Vec<Answer>,
    fds: &'a mut Vec<u32>,
    shown: &'a mut Vec<Answer>,
    family: u16,
    numbers: Numbers,
    powerless: bool,
    keep: bool,
    done: u64,
}

impl Reader<'_> {
    /// A part, which has one or more messages.
    fn part(&mut self, mut bytes: &[u8]) -> Result<(), Wrong> {
        while !bytes.is_empty() {
            let len = attrs::word(bytes, 0) as usize;
            if len < HEADER || len > bytes.len() {
                return Err("a malformed message in an answer".to_owned());
            }
            self.message(&bytes[..len])?;
            bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }

    fn message(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        let (kind, flags) = {
            let word = attrs::word(bytes, 4).to_ne_bytes();
            (
                u16::from_ne_bytes([word[0], word[1]]),
                u16::from_ne_bytes([word[2], word[3]]),
            )
        };
        let sequence = attrs::word(bytes, 8);
        let found = self.pending.iter().position(|one| one.sequence == sequence);
        let Some(at) = found else {
            return Err(format!(
                "an answer of type {kind} to a message that nobody sent"
            ));
        };
        let body = &bytes[HEADER..];
        if kind == NLMSG_ERROR || kind == NLMSG_DONE {
            let mut answer = self.pending.remove(at);
            answer.ended = true;
            answer.errno = attrs::word(body, 0).cast_signed().wrapping_neg();
            let told = if kind == NLMSG_DONE {
                4
            } else if flags & NLM_F_CAPPED != 0 {
                4 + HEADER
            } else {
                4 + (attrs::word(body, 4) as usize).next_multiple_of(4)
            };
            if flags & NLM_F_ACK_TLVS != 0 {
                let told = body.get(told..).unwrap_or_default();
                if let Some(words) = attrs::get(told, NLMSGERR_ATTR_MSG) {
                    let text = &told[words.payload()..words.end()];
                    let text = text.strip_suffix(&[0]).unwrap_or(text);
                    answer.words = Some(if self.keep {
                        String::from_utf8_lossy(text).into_owned()
                    } else {
                        String::new()
                    });
                }
            }
            self.judge(&answer)?;
            if self.keep {
                self.shown.push(answer);
            }
            return Ok(());
        }
        if kind != self.family {
            return Err(format!("an answer of type {kind}"));
        }
        let attrs = body.get(GENL..).ok_or("an answer that is too short")?;
        let mut walk = attrs::all(attrs);
        let mut fd = None;
        for found in walk.by_ref() {
            if found.number() == self.numbers.fd {
                fd = Some(attrs::word(attrs, found.payload()));
            }
        }
        if walk.place() < attrs.len() {
            return Err("malformed attributes in an answer".to_owned());
        }
        let answer = &mut self.pending[at];
        if answer.command == self.numbers.restore && !answer.many {
            self.fds.extend(fd);
        }
        if self.powerless {
            return Err(format!(
                "command {} told something to nobody",
                answer.command
            ));
        }
        if self.keep {
            answer.messages.push(attrs.to_vec());
        }
        Ok(())
    }

    /// What can be wrong with the end of an answer.
    fn judge(&mut self, answer: &Answer) -> Result<(), Wrong> {
        if answer.errno == 0 {
            self.done += 1;
            if self.powerless && answer.known {
                return Err(format!("command {} did what nobody asked", answer.command));
            }
            return Ok(());
        }
        if !(1..4096).contains(&answer.errno) {
            return Err(format!("the error number {}", answer.errno));
        }
        // Above 512 are those that the kernel keeps to itself.
        if answer.known && answer.errno >= 512 {
            return Err(format!(
                "the error number {}, which is internal",
                answer.errno
            ));
        }
        let silent = match answer.errno {
            libc::EPERM | libc::ENOMEM | libc::ENOBUFS => true,
            // Another dump is not over yet.
            libc::EBUSY => answer.many,
            _ => !answer.known,
        };
        if answer.words.is_none() && !silent {
            return Err(format!(
                "command {} is refused without a word: errno {} (message {})",
                answer.command, answer.errno, answer.sequence
            ));
        }
        Ok(())
    }
}

/// Whether a descriptor was left behind: the lowest free number is another one.
pub fn left_behind(free: i32) -> io::Result<Option<i32>> {
    let now = sys::lowest_free()?;
    Ok((now != free).then_some(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// A kernel that says what it is told to say.
    #[derive(Default)]
    struct Mock {
        /// For each message, what is in the answers: type, flags, and the body.
        script: VecDeque<Vec<(u16, u16, Vec<u8>)>>,
        ready: VecDeque<Vec<u8>>,
        reopened: usize,
    }

    impl Wire for Mock {
        fn send(&mut self, _via: usize, bytes: &[u8]) -> io::Result<()> {
            for (kind, flags, body) in self.script.pop_front().unwrap_or_default() {
                let mut message = Vec::new();
                let len = u32::try_from(HEADER + body.len()).unwrap();
                message.extend(len.to_ne_bytes());
                message.extend(kind.to_ne_bytes());
                message.extend(flags.to_ne_bytes());
                message.extend(&bytes[8..12]);
                message.extend([0; 4]);
                message.extend(body);
                self.ready.push_back(message);
            }
            Ok(())
        }

        fn receive(
            &mut self,
            _via: usize,
            _most: usize,
            part: &mut dyn FnMut(&[u8]),
        ) -> io::Result<usize> {
            match self.ready.pop_front() {
                Some(message) => part(&message),
                None => return Err(io::Error::from_raw_os_error(libc::EAGAIN)),
            }
            Ok(1)
        }

        fn reopen(&mut self, _via: usize) -> io::Result<()> {
            self.reopened += 1;
            Ok(())
        }
    }

    fn refusal(errno: i32, words: &str) -> (u16, u16, Vec<u8>) {
        let mut body = (-errno).to_ne_bytes().to_vec();
        body.extend([0; HEADER]);
        if !words.is_empty() {
            attrs::put(&mut body, NLMSGERR_ATTR_MSG, |out| {
                out.extend(words.bytes());
                out.push(0);
            });
        }
        (NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, body)
    }

    /// What is said of these answers to one message.
    fn verdict(
        flags: u16,
        powerless: bool,
        answers: Vec<(u16, u16, Vec<u8>)>,
    ) -> Result<(), Wrong> {
        let grammar = Grammar::load().unwrap();
        let family = Family { id: 30, version: 1 };
        let mock = Mock {
            script: [answers].into(),
            ..Mock::default()
        };
        let mut judge = Judge::new(&grammar, family, mock, powerless).unwrap();
        judge.send(&Case::single(1, flags, Vec::new()), None)
    }

    #[test]
    fn good_answers_are_good() {
        let reply = (30, 0, vec![1, 1, 0, 0]);
        assert_eq!(
            verdict(ORDINARY, false, vec![refusal(22, "no socket is selected")]),
            Ok(())
        );
        assert_eq!(
            verdict(ORDINARY, false, vec![reply.clone(), refusal(0, "")]),
            Ok(())
        );
        assert_eq!(verdict(ORDINARY, true, vec![refusal(1, "")]), Ok(()));
        let done = (NLMSG_DONE, 2, vec![0; 4]);
        assert_eq!(verdict(ORDINARY | MANY, false, vec![reply, done]), Ok(()));
        // Nobody asked.
        assert_eq!(verdict(NLM_F_REQUEST, false, vec![]), Ok(()));
    }

    #[test]
    fn wrong_answers_are_found() {
        let wrong = |flags, powerless, answers, says: &str| {
            let found = verdict(flags, powerless, answers).unwrap_err();
            assert!(found.contains(says), "{found}");
        };
        let reply = |attrs: &[u8]| (30, 0, [&[1, 1, 0, 0], attrs].concat());
        wrong(ORDINARY, false, vec![], "no answer");
        wrong(ORDINARY, false, vec![reply(&[])], "no answer");
        wrong(ORDINARY | MANY, false, vec![reply(&[])], "no answer");
        wrong(ORDINARY, false, vec![refusal(22, "")], "without a word");
        wrong(ORDINARY, false, vec![refusal(524, "x")], "internal");
        wrong(ORDINARY, false, vec![refusal(-3, "x")], "the error number");
        wrong(ORDINARY, false, vec![reply(&[9, 0, 1, 0, 0])], "malformed");
        wrong(ORDINARY, false, vec![(77, 0, vec![])], "of type 77");
        wrong(ORDINARY, true, vec![refusal(0, "")], "nobody asked");
        wrong(ORDINARY, true, vec![reply(&[])], "to nobody");
    }

    #[test]
    fn a_restored_socket_has_to_have_a_dump() {
        let grammar = Grammar::load().unwrap();
        let family = Family { id: 30, version: 1 };
        // The descriptor is one that is open.
        let fd = std::fs::File::open("/dev/null").unwrap();
        let fd = std::os::fd::IntoRawFd::into_raw_fd(fd);
        let mut attrs = vec![2, 1, 0, 0];
        attrs::put(&mut attrs, 4, |out| out.extend(fd.to_ne_bytes()));
        let mock = Mock {
            script: [
                vec![(30, 0, attrs), refusal(0, "")],
                vec![refusal(95, "an eBPF program")],
            ]
            .into(),
            ..Mock::default()
        };
        let mut judge = Judge::new(&grammar, family, mock, false).unwrap();
        judge
            .send(&Case::single(2, ORDINARY, Vec::new()), None)
            .unwrap();
        let found = judge.settle(1).unwrap_err();
        assert!(found.contains("cannot be dumped: errno 95"), "{found}");
    }
}
