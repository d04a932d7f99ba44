// SPDX-License-Identifier: GPL-2.0
//! The image as one JSON document, for people who look and edit.
//!
//! It has no checksum: whoever changes it could not know the new one.

use serde::{Deserialize, Serialize};

use super::{FORMAT, Image, ImageError};
use crate::datagram::Datagram;
use crate::snapshot::Snapshot;

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
    sockets: Vec<Snapshot>,
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
