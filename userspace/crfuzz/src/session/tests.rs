// SPDX-License-Identifier: GPL-2.0

//! What is said of a kernel that answers as it is told.

use std::collections::VecDeque;

use super::answer::{NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_DONE, NLMSG_ERROR, NLMSGERR_ATTR_MSG};
use super::*;
use crate::case::ORDINARY;

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
fn verdict(flags: u16, powerless: bool, answers: Vec<(u16, u16, Vec<u8>)>) -> Result<(), Wrong> {
    let grammar = Grammar::load().unwrap();
    let family = Family { id: 30, version: 1 };
    let mock = Mock {
        script: [answers].into(),
        ..Mock::default()
    };
    let mut session = Session::new(&grammar, family, mock, powerless).unwrap();
    session.send(&Case::single(1, flags, Vec::new()), None)
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
    let mut session = Session::new(&grammar, family, mock, false).unwrap();
    session
        .send(&Case::single(2, ORDINARY, Vec::new()), None)
        .unwrap();
    let found = session.settle(1).unwrap_err();
    assert!(found.contains("cannot be dumped: errno 95"), "{found}");
}
