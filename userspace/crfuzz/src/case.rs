// SPDX-License-Identifier: GPL-2.0

//! What is done at once: some messages, sent one after the other or together.

/// `NLM_F_REQUEST` and `NLM_F_ACK`, which an ordinary request has.
pub const ORDINARY: u16 = 0x5;

/// `NLM_F_DUMP`.
pub const MANY: u16 = 0x300;

/// How many netlink sockets there are.
pub const SOCKETS: usize = 2;

/// Some steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Case(pub Vec<Step>);

/// Messages that are sent by one call, and how the answers are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Which of the netlink sockets.
    pub via: usize,
    /// The messages.
    pub requests: Vec<Request>,
    /// What is behind the last of them.
    pub tail: Vec<u8>,
    /// How many parts of the answer are read; all, if it is not said.
    pub parts: Option<usize>,
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The operation.
    pub command: u8,
    /// `NLM_F_*`.
    pub flags: u16,
    /// Added to the true length of the message.
    pub lie: i16,
    /// The attributes.
    pub attrs: Vec<u8>,
}

impl Case {
    /// A case of one message.
    pub fn single(command: u8, flags: u16, attrs: Vec<u8>) -> Self {
        Self(vec![Step::new(vec![Request::new(command, flags, attrs)])])
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|step| step.requests.len()).sum()
    }
}

impl Step {
    /// Messages through the first socket, and all of their answers.
    pub fn new(requests: Vec<Request>) -> Self {
        Self {
            requests,
            ..Self::default()
        }
    }
}

impl Request {
    /// A message with its true length.
    pub fn new(command: u8, flags: u16, attrs: Vec<u8>) -> Self {
        Self {
            command,
            flags,
            lie: 0,
            attrs,
        }
    }
}
