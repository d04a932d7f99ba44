// SPDX-License-Identifier: GPL-2.0
//! Images: states of sockets in a file.

use serde::{Deserialize, Serialize};

use crate::state::State;

/// What the field `format` of an image says.
const FORMAT: &str = "af-inet-cr";
/// The version of images that this library writes, and the newest that it reads.
const VERSION: u32 = 1;

/// States of sockets, as they are written to a file: JSON that says what it is.
///
/// ```
/// use inetcr::{Image, State};
///
/// let state = State { sock_type: Some(2), ..State::default() };
/// let text = Image::new(vec![state.clone()]).to_json().unwrap();
/// assert_eq!(Image::from_json(&text).unwrap().sockets, [state]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    format: String,
    version: u32,
    /// The sockets, in the order in which they were dumped.
    pub sockets: Vec<State>,
}

/// Only what says which format a file has.
#[derive(Deserialize)]
struct Header {
    format: String,
    version: u32,
}

/// Why something is no image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The text does not say that it is an image.
    #[error("not an image of af-inet-cr: {0}")]
    Header(serde_json::Error),
    /// The text says that it is something else.
    #[error("not an image of af-inet-cr: its format is {0:?}")]
    Format(String),
    /// The image is newer than the library.
    #[error("the image has version {0}, this program reads up to version {VERSION}")]
    Version(u32),
    /// The image's content is wrong.
    #[error("the image is damaged: {0}")]
    Content(serde_json::Error),
    /// A state cannot be written.
    #[error("cannot write the image: {0}")]
    Write(serde_json::Error),
}

impl Image {
    /// An image of these sockets.
    pub fn new(sockets: Vec<State>) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            sockets,
        }
    }

    /// The image as text, with a newline at its end.
    pub fn to_json(&self) -> Result<String, ImageError> {
        let mut text = serde_json::to_string_pretty(self).map_err(ImageError::Write)?;
        text.push('\n');
        Ok(text)
    }

    /// Reads an image.
    pub fn from_json(text: &str) -> Result<Self, ImageError> {
        let header: Header = serde_json::from_str(text).map_err(ImageError::Header)?;
        if header.format != FORMAT {
            return Err(ImageError::Format(header.format));
        }
        if !(1..=VERSION).contains(&header.version) {
            return Err(ImageError::Version(header.version));
        }
        serde_json::from_str(text).map_err(ImageError::Content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Image::from_json(text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_image_is_refused_with_the_reason() {
        assert!(refusal("{}").starts_with("not an image of af-inet-cr"));
        assert!(refusal(r#"{"format":"ova","version":1}"#).contains("\"ova\""));
        let newer = r#"{"format":"af-inet-cr","version":2,"novelty":[]}"#;
        assert!(refusal(newer).contains("version 2"));
        let unknown = r#"{"format":"af-inet-cr","version":1,"sockets":[{"sockopt-new":1}]}"#;
        assert!(refusal(unknown).contains("sockopt-new"));
        let twice = r#"{"format":"af-inet-cr","version":1,"sockets":[{"inode":1,"inode":2}]}"#;
        assert!(refusal(twice).contains("duplicate"));
    }
}
