// SPDX-License-Identifier: GPL-2.0

//! The files that are ours, with what was reached of them, as a page.

use super::{
    Lines,
    Share, //
};
use anyhow::Result;
use askama::Template;
use fs_err as fs;
use std::path::Path;

#[derive(Template)]
#[template(path = "cover.html")]
struct Page {
    all: Share,
    files: Vec<File>,
}

struct File {
    path: String,
    share: Share,
    lines: Vec<Line>,
}

struct Line {
    number: u32,
    /// Whether it was reached; nothing of lines at which no block of code begins.
    class: &'static str,
    text: String,
}

/// Writes it, with the files below `root`.
pub fn page(lines: &Lines, root: &Path) -> Result<String> {
    let mut files = Vec::new();
    for ((path, share), found) in lines.files().zip(lines.0.values()) {
        let text = fs::read_to_string(root.join(path))?;
        let lines = (1..).zip(text.lines()).map(|(number, text)| Line {
            number,
            class: match found.get(&number) {
                Some(true) => "good",
                Some(false) => "bad",
                None => "",
            },
            text: text.to_owned(),
        });
        files.push(File {
            path: path.to_owned(),
            share,
            lines: lines.collect(),
        });
    }
    let all = files.iter().map(|file| file.share).sum();
    Ok(Page { all, files }.render()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn lines_are_marked_and_nothing_is_markup() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.rs"), "fn a() {\n    b::<u8>();\n}\n").unwrap();
        let found = BTreeMap::from([(1, true), (2, false)]);
        let lines = Lines(BTreeMap::from([("a.rs".to_owned(), found)]));
        let page = page(&lines, dir.path()).unwrap();
        assert!(page.contains("1 of 2"));
        assert!(page.contains("class=\"good\"") && page.contains("fn a() {"));
        assert!(page.contains("class=\"bad\"") && !page.contains("<u8>"));
    }
}
