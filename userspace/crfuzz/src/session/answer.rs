// SPDX-License-Identifier: GPL-2.0

//! Answers, as they come from the kernel.

use crate::attrs;
use crate::judge::{self, Wrong};

use super::{GENL, HEADER, Numbers};

pub const NLMSG_ERROR: u16 = 2;
pub const NLMSG_DONE: u16 = 3;
pub const NLM_F_CAPPED: u16 = 0x100;
pub const NLM_F_ACK_TLVS: u16 = 0x200;
pub const NLMSGERR_ATTR_MSG: u16 = 1;

/// The answer to a message.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub sequence: u32,
    pub command: u8,
    /// Whether it can be answered by many messages.
    pub many: bool,
    /// Whether there has to be an end of the answer.
    pub asked: bool,
    /// Whether the kernel looks at it at all, and finds an operation for it.
    pub known: bool,
    /// The error number at the end.
    pub errno: i32,
    /// The words there.
    pub words: Option<String>,
    /// The attributes of the messages before the end, where they are kept.
    pub messages: Vec<Vec<u8>>,
}

/// Reads the answers to what is pending.
pub struct Reader<'a> {
    pub pending: &'a mut Vec<Answer>,
    /// The descriptors that are handed out.
    pub fds: &'a mut Vec<u32>,
    /// Answers that have ended, if they are kept.
    pub shown: &'a mut Vec<Answer>,
    /// What has been said, see [`Reader::note`].
    pub marks: &'a mut Vec<u64>,
    pub family: u16,
    pub numbers: Numbers,
    pub powerless: bool,
    pub keep: bool,
    pub done: u64,
}

impl Reader<'_> {
    /// A part, which has one or more messages.
    pub fn part(&mut self, mut bytes: &[u8]) -> Result<(), Wrong> {
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
                    self.note(answer.command, text);
                    answer.words = Some(if self.keep {
                        String::from_utf8_lossy(text).into_owned()
                    } else {
                        String::new()
                    });
                }
            }
            self.done += u64::from(answer.errno == 0);
            judge::ended(&answer, self.powerless)?;
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
        judge::told(answer, self.powerless)?;
        if self.keep {
            answer.messages.push(attrs.to_vec());
        }
        let command = answer.command;
        // What is said of an attribute is something to reach, too.
        let report = self.numbers.report;
        for found in attrs::all(attrs).filter(|one| one.number() == report) {
            self.note(command, &attrs[found.payload()..found.end()]);
        }
        Ok(())
    }

    /// Notes what is said, by a number: something new that is said is a new place that is reached,
    /// for kernels that do not tell which code that is.
    fn note(&mut self, command: u8, said: &[u8]) {
        self.marks.push(hash(said) ^ u64::from(command));
    }
}

/// A number for some bytes: FNV-1a.
pub fn hash(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The lower half is what is looked at.
    hash ^ (hash >> 32)
}
