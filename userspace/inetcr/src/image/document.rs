// SPDX-License-Identifier: GPL-2.0
//! The image as one JSON document, for people who look and edit.
//!
//! It has no checksum: whoever changes it could not know the new one.

use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{FORMAT, Image, ImageError, MEMORY_MAX};
use crate::datagram::Datagram;
use crate::snapshot::Snapshot;

/// Bytes of a document. In memory it is some times larger.
pub(super) const DOCUMENT_MAX: usize = 256 << 20;

/// The newest version of documents that this library writes and reads.
const VERSION: u32 = 3;
/// The version that has neither errors in its queues nor corked datagrams nor losses. It is written
/// where there is none, for those who read no other.
const WITHOUT_ERRORS: u32 = 2;
/// The version that has no queues either.
const WITHOUT_QUEUES: u32 = 1;

#[derive(Serialize)]
struct Written<'a> {
    format: &'a str,
    version: u32,
    sockets: &'a [Snapshot],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "format")]
    _format: String,
    #[serde(rename = "version")]
    _version: u32,
    sockets: Sockets,
}

/// The sockets, or none if they take more memory than an image may.
struct Sockets(Option<Vec<Snapshot>>);

impl<'de> Deserialize<'de> for Sockets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Limited(MEMORY_MAX))
    }
}

/// Takes sockets as long as there is memory: `{}` in the text is a hundred times larger there.
struct Limited(usize);

impl<'de> Visitor<'de> for Limited {
    type Value = Sockets;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of sockets")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Sockets, A::Error> {
        let mut sockets = Vec::new();
        while let Some(socket) = seq.next_element::<Snapshot>()? {
            let Some(room) = self.0.checked_sub(socket.memory()) else {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(Sockets(None));
            };
            self.0 = room;
            sockets.push(socket);
        }
        Ok(Sockets(Some(sockets)))
    }
}

/// Only what says which format a file has.
#[derive(Deserialize)]
struct Header {
    format: String,
    version: u32,
}

fn version(sockets: &[Snapshot]) -> u32 {
    let queues = |one: &Snapshot| one.queue_len.is_some() || !one.queue.is_empty();
    let news = |one: &Snapshot| {
        one.lost.is_some()
            || one.error_queue_len.is_some()
            || one.queue.iter().any(Datagram::is_error)
            || one.cork_len.is_some()
            || one.corked.is_some()
    };
    if sockets.iter().any(news) {
        VERSION
    } else if sockets.iter().any(queues) {
        WITHOUT_ERRORS
    } else {
        WITHOUT_QUEUES
    }
}

pub(super) fn write(sockets: &[Snapshot]) -> Result<String, ImageError> {
    let document = Written {
        format: FORMAT,
        version: version(sockets),
        sockets,
    };
    let mut text = serde_json::to_string_pretty(&document).map_err(ImageError::Write)?;
    text.push('\n');
    let memory: usize = sockets.iter().map(Snapshot::memory).sum();
    if text.len() > DOCUMENT_MAX {
        return Err(ImageError::TooMuch("the document is", DOCUMENT_MAX));
    }
    if memory > MEMORY_MAX {
        return Err(ImageError::TooMuch("all sockets together are", MEMORY_MAX));
    }
    Ok(text)
}

pub(super) fn read(text: &str) -> Result<Image, ImageError> {
    let header: Header = serde_json::from_str(text).map_err(ImageError::Header)?;
    if header.format != FORMAT {
        return Err(ImageError::Format(header.format));
    }
    if !(1..=VERSION).contains(&header.version) {
        return Err(ImageError::Version {
            found: header.version,
            newest: VERSION,
        });
    }
    let Document { sockets, .. } = serde_json::from_str(text).map_err(ImageError::Content)?;
    let sockets = sockets.0.ok_or(ImageError::TooLarge("it is", MEMORY_MAX))?;
    for (number, socket) in (1..).zip(&sockets) {
        if let Some(flaw) = socket.flaw() {
            return Err(ImageError::Queue(number, flaw));
        }
    }
    Ok(Image { sockets })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::State;

    fn refusal(text: &str) -> String {
        Image::from_json(text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_image_is_refused_with_the_reason() {
        assert!(refusal("{}").starts_with("not an image of af-inet-cr"));
        assert!(refusal(r#"{"format":"ova","version":1}"#).contains("\"ova\""));
        let newer = r#"{"format":"af-inet-cr","version":4,"novelty":[]}"#;
        assert!(refusal(newer).contains("version 4"));
        let unknown = r#"{"format":"af-inet-cr","version":1,"sockets":[{"sockopt-new":1}]}"#;
        assert!(refusal(unknown).contains("sockopt-new"));
        let twice = r#"{"format":"af-inet-cr","version":1,"sockets":[{"inode":1,"inode":2}]}"#;
        assert!(refusal(twice).contains("duplicate"));
    }

    #[test]
    fn small_text_that_takes_much_memory_is_refused() {
        let sockets = |room: usize| {
            let mut json = serde_json::Deserializer::from_str("[{},{},{}]");
            json.deserialize_seq(Limited(room)).unwrap().0
        };
        let one = Snapshot::default().memory();
        assert_eq!(sockets(3 * one).unwrap().len(), 3);
        assert_eq!(sockets(3 * one - 1), None);
    }

    /// A socket with these members.
    fn socket(members: &str) -> String {
        format!(r#"{{"format":"af-inet-cr","version":2,"sockets":[{{{members}}}]}}"#)
    }

    #[test]
    fn a_queue_has_as_many_datagrams_as_it_says_and_each_its_length() {
        let good = r#""queue-len":2,"queue":[
            {"datagram":{"len":0},"payload":""},{"datagram":{"len":1},"payload":"61"}]"#;
        let image = Image::from_json(&socket(good)).unwrap();
        assert_eq!(image.sockets[0].queue[1].payload, b"a");
        assert_eq!(version(&image.sockets), 2);
        assert_eq!(Image::new(image.sockets.clone()), image);
        for (from, to, word) in [
            ("\"queue-len\":2", "\"queue-len\":3", "queue-len is 3"),
            ("\"queue-len\":2,", "", "queue-len is 0"),
            ("\"61\"", "\"6162\"", "datagram[1]"),
            ("\"61\"", "\"6\"", "hexadecimal"),
            ("{\"len\":0}", "{}", "datagram[0]"),
            ("{\"len\":0}", "{\"length\":0}", "length"),
            ("\"payload\":\"\"", "\"payload\":\"\",\"more\":1", "more"),
            ("\"queue\"", "\"queues\"", "queues"),
            ("\"queue\"", "\"queue\":[],\"queue\"", "duplicate"),
        ] {
            let text = socket(&good.replace(from, to));
            let refusal = refusal(&text);
            assert!(refusal.contains(word), "{text}: {refusal}");
        }
    }

    #[test]
    fn errors_are_counted_by_themselves_and_take_a_version_that_has_them() {
        let good = r#""queue-len":1,"error-queue-len":1,"queue":[
            {"datagram":{"len":1,"error-origin":"icmp","error-errno":111},"payload":"61"},
            {"datagram":{"len":0},"payload":""}]"#;
        let image = Image::from_json(&socket(good)).unwrap();
        assert_eq!(version(&image.sockets), 3);
        assert!(image.sockets[0].queue[0].is_error());
        for (from, to, word) in [
            (
                "\"error-queue-len\":1",
                "\"error-queue-len\":2",
                "error-queue-len is 2",
            ),
            ("\"error-queue-len\":1,", "", "error-queue-len is 0"),
            ("\"icmp\"", "\"icmp6\"", "icmp6"),
            (
                ",\"error-errno\":111",
                ",\"error-errnos\":111",
                "error-errnos",
            ),
        ] {
            let text = socket(&good.replace(from, to));
            let refusal = refusal(&text);
            assert!(refusal.contains(word), "{text}: {refusal}");
        }
    }

    #[test]
    fn an_image_without_queues_is_one_that_earlier_versions_read() {
        let state = |queue_len| State {
            queue_len,
            ..State::default()
        };
        let written = |states: &[State]| version(&Image::new(states.to_vec()).sockets);
        assert_eq!(written(&[state(None)]), 1);
        assert_eq!(written(&[state(None), state(Some(1))]), 2);
        let earlier = socket("\"inode\":1").replace('2', "1");
        let image = Image::from_json(&earlier).unwrap();
        assert_eq!(image.sockets[0].queue, []);
        let corked = State {
            cork_len: Some(0),
            ..State::default()
        };
        assert_eq!(written(&[state(Some(1)), corked]), 3);
    }

    #[test]
    fn a_corked_datagram_has_the_length_that_it_says() {
        let good = r#""cork-len":1,"corked":{"cork":{"len":1},"payload":"61"}"#;
        let text = |members: &str| socket(members).replace("\"version\":2", "\"version\":3");
        let image = Image::from_json(&text(good)).unwrap();
        assert_eq!(Image::new(image.sockets.clone()), image);
        for (from, to, word) in [
            ("\"cork-len\":1", "\"cork-len\":2", "cork-len"),
            ("\"cork-len\":1,", "", "cork-len"),
            ("\"61\"", "\"6162\"", "corked"),
            ("{\"len\":1}", "{}", "corked"),
            ("{\"len\":1}", "{\"length\":1}", "length"),
        ] {
            let refusal = refusal(&text(&good.replace(from, to)));
            assert!(refusal.contains(word), "{refusal}");
        }
    }
}
