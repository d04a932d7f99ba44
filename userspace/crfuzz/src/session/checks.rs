// SPDX-License-Identifier: GPL-2.0

//! What is asked beyond the cases, to have judged what came of them: how a socket was before and
//! after it was amended, and whether one that was restored can be restored again.

use std::os::fd::{AsRawFd as _, OwnedFd};

use crate::attrs;
use crate::case::{MANY, ORDINARY, Request, Step};
use crate::judge::amended::Amended;
use crate::judge::{self, Wrong};
use crate::sys;
use crate::wire::{CHECKS, Wire};

use super::{Answer, NLM_F_ACK, NLM_F_REQUEST, Sabotage, Session, is_due};

/// A socket that is to be amended.
pub(super) struct Watched {
    /// What selects it.
    which: Vec<u8>,
    /// The attributes of the request.
    request: Vec<u8>,
    /// What was dumped of it before.
    before: Vec<u8>,
}

impl<W: Wire> Session<'_, W> {
    /// The socket that a step amends, as it is before, if what comes of it can be said: if only the
    /// last message changes it, and all is read that is said of it.
    pub(super) fn watched(&mut self, step: &Step) -> Result<Option<Watched>, Wrong> {
        let numbers = self.numbers;
        let Some(last) = step.requests.last() else {
            return Ok(None);
        };
        let as_it_is = last.command == numbers.amend
            && last.flags & (MANY | NLM_F_REQUEST | NLM_F_ACK) == NLM_F_REQUEST | NLM_F_ACK
            && step.tail.is_empty()
            && step.requests.iter().all(|one| one.lie == 0)
            && step.parts.is_none();
        // A transaction comes to its end with another message, or never.
        let in_parts = attrs::get(&last.attrs, numbers.transaction).is_some();
        if self.raced || self.powerless || step.via == CHECKS || !as_it_is || in_parts {
            return Ok(None);
        }
        let mut which = Vec::new();
        for number in [numbers.fd, numbers.pidfd] {
            if let Some(found) = attrs::get(&last.attrs, number)
                && found.len == 4
            {
                let value = attrs::word(&last.attrs, found.payload());
                attrs::set_word(&mut which, number, value);
            }
        }
        let dump = self.ask(numbers.dump, ORDINARY, which.clone())?;
        let first = dump.messages.into_iter().next();
        let before = first.filter(|_| dump.errno == 0);
        Ok(before.map(|before| Watched {
            which,
            request: last.attrs.clone(),
            before,
        }))
    }

    /// Looks again at a socket that was amended, or was not.
    pub(super) fn look_again(&mut self, watched: &Watched, answer: Answer) -> Result<(), Wrong> {
        let done = answer.errno == 0;
        let counts = self.counts;
        let due = |what, count| is_due(self.sabotage, what, count + 1);
        if (done && due(Sabotage::Others, counts.amended))
            || (!done && due(Sabotage::Refusals, counts.unamended))
        {
            let fd = attrs::get(&watched.which, self.numbers.fd);
            let fd = fd.map_or(0, |found| attrs::word(&watched.which, found.payload()));
            sys::meddle(fd).map_err(|error| error.to_string())?;
        }
        let mut told = answer.messages.into_iter().next().unwrap_or_default();
        if due(Sabotage::Reports, counts.amended) {
            told = attrs::without(&told, &[self.numbers.report]);
        }
        let dump = self.ask(self.numbers.dump, ORDINARY, watched.which.clone())?;
        // SO_REUSEPORT may go, and then the socket cannot be dumped.
        let words = dump.words.as_deref().unwrap_or_default();
        if done && words.contains("SO_REUSEPORT was switched off") {
            return Ok(());
        }
        let Some(after) = dump.messages.first().filter(|_| dump.errno == 0) else {
            return Err(format!(
                "a socket was amended (errno {}) and cannot be dumped any more: errno {}, {:?}",
                answer.errno, dump.errno, dump.words
            ));
        };
        let applied = self.rules.judge(Amended {
            request: &watched.request,
            errno: answer.errno,
            answer: &told,
            before: &watched.before,
            after,
        });
        let applied = applied.map_err(|wrong| {
            let text = |attrs: &[u8]| crate::text::attributes(self.grammar, attrs);
            format!(
                "{wrong}\nrequest {}\nanswer {}\nbefore {}\nafter {}",
                text(&watched.request),
                text(&told),
                text(&watched.before),
                text(after)
            )
        })?;
        if done {
            self.counts.amended += 1;
            self.counts.applied += u64::try_from(applied.len()).unwrap_or_default();
            // To have changed a value is something to reach, too.
            for (key, changed) in applied {
                let place = u64::from(key.bit) << 32 | u64::from(key.nest) << 16;
                self.mark(place | u64::from(key.attr) | u64::from(changed) << 15);
            }
        } else {
            self.counts.unamended += 1;
        }
        Ok(())
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
    pub(super) fn compare(&mut self, fd: OwnedFd) -> Result<(), Wrong> {
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
            if judge::may_be_refused(again.errno) {
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
        if is_due(self.sabotage, Sabotage::Copies, self.counts.compared + 1) {
            sys::meddle(fd).map_err(|error| error.to_string())?;
        }
        let (second, second_queue) = self.state(fd)?;
        drop(owned);
        let before = attrs::without(attrs, &self.identity);
        let after = second
            .messages
            .first()
            .map(|attrs| attrs::without(attrs, &self.identity));
        let after = after.as_deref().unwrap_or_default();
        judge::same(&before, &queue, after, &second_queue).map_err(|wrong| {
            let text = |attrs: &[u8]| crate::text::attributes(self.grammar, attrs);
            let list = |queue: &[Vec<u8>]| queue.iter().map(|one| text(one)).collect::<Vec<_>>();
            format!(
                "{wrong} (errno {}, {:?}):\n{}\n{}\n{:?}\n{:?}",
                second.errno,
                second.words,
                text(&before),
                text(after),
                list(&queue),
                list(&second_queue),
            )
        })?;
        self.counts.compared += 1;
        Ok(())
    }
}
