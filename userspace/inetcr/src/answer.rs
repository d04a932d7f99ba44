// SPDX-License-Identifier: GPL-2.0
//! Reads the answer to a request, message by message.

use netlink_packet_core::{NLM_F_DUMP_INTR, NetlinkMessage, NetlinkPayload};
use netlink_packet_generic::GenlMessage;

use crate::attr::RawAttr;
use crate::error::{DecodeError, Error};
use crate::extack;
use crate::transport::{Body, Request};

/// What becomes of the answer to one request.
pub(crate) struct Reader<'a, F> {
    request: &'a Request<'a>,
    /// The request as it was sent.
    sent: &'a [u8],
    sequence: u32,
    /// Takes the attributes of each message.
    each: F,
    /// What was wrong with a message. The others are read nevertheless: the kernel begins no other
    /// long answer before this one was read to its end.
    wrong: Option<Error>,
    /// What the answer is about has become something else meanwhile.
    interrupted: bool,
}

impl<'a, F: FnMut(Vec<RawAttr>) -> Result<(), Error>> Reader<'a, F> {
    pub(crate) fn new(request: &'a Request<'a>, sent: &'a [u8], sequence: u32, each: F) -> Self {
        Self {
            request,
            sent,
            sequence,
            each,
            wrong: None,
            interrupted: false,
        }
    }

    /// Reads the messages of a datagram. If one of them ends the answer, says how: with what the
    /// kernel remarks, if it does, or with an error.
    pub(crate) fn read(&mut self, datagram: &[u8]) -> Option<Result<Option<String>, Error>> {
        let mut rest = datagram;
        while !rest.is_empty() {
            let message = match NetlinkMessage::<GenlMessage<Body>>::deserialize(rest) {
                Ok(message) => message,
                // Where the next one begins is not known.
                Err(error) => return Some(Err(DecodeError::Message(error.to_string()).into())),
            };
            let length = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
            // Answers to an earlier request, which was given up after an error.
            if message.header.sequence_number != self.sequence {
                continue;
            }
            // The kernel says it once, with the first message of after that.
            self.interrupted |=
                self.request.multipart && message.header.flags & NLM_F_DUMP_INTR != 0;
            match message.payload {
                NetlinkPayload::InnerMessage(message) => {
                    let attrs = RawAttr::decode_all(&message.payload.attributes);
                    if let Err(error) = attrs.map_err(Error::from).and_then(&mut self.each) {
                        self.wrong.get_or_insert(error);
                    }
                }
                NetlinkPayload::Error(error) => {
                    let attrs = extack::attributes(message.header.flags, &error.header);
                    return Some(self.end(error.raw_code(), &attrs));
                }
                NetlinkPayload::Overrun(_) => {
                    let text = "the answer was overrun".into();
                    return Some(Err(DecodeError::Message(text).into()));
                }
                // Ends an answer of any number of messages, in the place of an acknowledgement.
                NetlinkPayload::Done(done) if self.request.multipart => {
                    return Some(self.end(done.code, &extack::every(&done.extended_ack)));
                }
                _ => {}
            }
        }
        None
    }

    /// The answer has ended with an error number, 0 for a good end.
    fn end(&mut self, code: i32, extack: &[RawAttr]) -> Result<Option<String>, Error> {
        let command = self.request.name;
        let errno = code.saturating_abs();
        if errno != 0 {
            return Err(extack::kernel_error(command, errno, extack, self.sent).into());
        }
        if let Some(wrong) = self.wrong.take() {
            return Err(wrong);
        }
        if self.interrupted {
            return Err(Error::Interrupted { command });
        }
        Ok(extack::message(extack))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEQUENCE: u32 = 7;
    const NLMSG_ERROR: u16 = 2;
    const NLMSG_DONE: u16 = 3;
    const FAMILY: u16 = 0x21;
    const MULTI: u16 = 2;
    const ACK_TLVS: u16 = 0x200;

    fn message(kind: u16, flags: u16, sequence: u32, body: &[&[u8]]) -> Vec<u8> {
        let body = body.concat();
        let len = u32::try_from(16 + body.len()).unwrap();
        let mut bytes = len.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// A message of the answer, with an attribute.
    fn part(flags: u16, attr: &RawAttr) -> Vec<u8> {
        let attrs = RawAttr::encode_all(std::slice::from_ref(attr));
        message(FAMILY, MULTI | flags, SEQUENCE, &[&[1, 1, 0, 0], &attrs])
    }

    fn done(flags: u16, code: i32, words: &[RawAttr]) -> Vec<u8> {
        let words = RawAttr::encode_all(words);
        let body: [&[u8]; 2] = [&code.to_ne_bytes(), &words];
        message(NLMSG_DONE, MULTI | flags, SEQUENCE, &body)
    }

    /// The numbers in the messages, and how the answer ends.
    fn read(datagrams: &[Vec<u8>]) -> (Vec<u16>, Option<Result<Option<String>, Error>>) {
        let request = Request {
            family_id: FAMILY,
            version: 1,
            command: 1,
            name: "dump",
            multipart: true,
            attributes: &[],
        };
        let mut seen = Vec::new();
        let mut reader = Reader::new(&request, &[0; 20], SEQUENCE, |attrs| {
            seen.extend(attrs.iter().map(RawAttr::number));
            if attrs.iter().any(|attr| attr.number() == 99) {
                return Err(DecodeError::Message("99".into()).into());
            }
            Ok(())
        });
        let end = datagrams.iter().find_map(|one| reader.read(one));
        (seen, end)
    }

    fn attr(number: u16) -> RawAttr {
        RawAttr::u32(number, 0)
    }

    #[test]
    fn an_answer_goes_on_until_it_is_done() {
        let earlier = message(NLMSG_DONE, MULTI, SEQUENCE - 1, &[&[0; 4]]);
        let first = [earlier, part(0, &attr(1)), part(0, &attr(2))].concat();
        let (seen, end) = read(std::slice::from_ref(&first));
        assert_eq!(seen, [1, 2]);
        assert!(end.is_none());
        let last = [part(0, &attr(3)), done(0, 0, &[])].concat();
        let (seen, end) = read(&[first, last]);
        assert_eq!(seen, [1, 2, 3]);
        assert!(matches!(end, Some(Ok(None))));
    }

    #[test]
    fn an_error_may_come_in_the_place_of_an_answer_or_behind_it() {
        let words = [RawAttr::string(1, c"the process is gone")];
        let (seen, end) = read(&[part(0, &attr(1)), done(ACK_TLVS, -3, &words)]);
        assert_eq!(seen, [1]);
        let error = end.unwrap().unwrap_err().to_string();
        assert_eq!(error, "dump: ESRCH: the process is gone");

        let body: [&[u8]; 2] = [&(-1i32).to_ne_bytes(), &[0; 16]];
        let (_, end) = read(&[message(NLMSG_ERROR, 0x100, SEQUENCE, &body)]);
        assert_eq!(end.unwrap().unwrap_err().errno(), Some(1));
    }

    /// Whichever message says it: it is the first one of after it happened.
    #[test]
    fn an_interrupted_answer_is_an_error() {
        for at in 0..3 {
            let flags = |place| if place == at { NLM_F_DUMP_INTR } else { 0 };
            let (seen, end) = read(&[
                part(flags(0), &attr(1)),
                part(flags(1), &attr(2)),
                done(flags(2), 0, &[]),
            ]);
            assert_eq!(seen, [1, 2]);
            let error = end.unwrap().unwrap_err();
            assert!(matches!(error, Error::Interrupted { command: "dump" }));
        }
        // What the kernel refuses is worse.
        let (_, end) = read(&[part(NLM_F_DUMP_INTR, &attr(1)), done(0, -3, &[])]);
        assert_eq!(end.unwrap().unwrap_err().errno(), Some(3));
    }

    /// The rest of the answer does not stay in the socket.
    #[test]
    fn what_is_wrong_is_said_at_the_end() {
        let malformed = attr(5).claiming_len(400);
        for (wrong, seen_too) in [(attr(99), true), (malformed, false)] {
            let datagrams = [part(0, &wrong), part(0, &attr(2))];
            let (_, end) = read(&datagrams);
            assert!(end.is_none());
            let (seen, end) = read(&[datagrams.concat(), done(0, 0, &[])]);
            assert_eq!(seen.contains(&99), seen_too);
            assert!(seen.contains(&2));
            assert!(matches!(end, Some(Err(Error::Decode(_)))));
        }
        let mut cut = part(0, &attr(1));
        cut.truncate(18);
        assert!(matches!(read(&[cut]).1, Some(Err(Error::Decode(_)))));
    }
}
