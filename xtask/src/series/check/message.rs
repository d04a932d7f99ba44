// SPDX-License-Identifier: GPL-2.0

//! What can be wrong with a message.

use super::{
    Finding,
    Patch,
    World, //
};
use anyhow::Result;
use fs_err as fs;

/// netdev takes no more patches at once.
const MOST: usize = 15;

/// How wide a message may be (Documentation/process/submitting-patches.rst).
const WIDTH: usize = 75;

/// Tools that everybody has are not named by `Assisted-by`.
const BASIC: [&str; 5] = ["git", "gcc", "clang", "make", "vim"];

/// Subject, width and body; of the series, that it is no longer than netdev takes.
pub(super) fn form(world: &World<'_>, patch: &Patch) -> Result<Finding> {
    let mail = fs::read_to_string(&patch.mail)?;
    let mut problems = shape(&patch.message, patch.is_cover());
    let subject = mail
        .lines()
        .find_map(|line| line.strip_prefix("Subject: ["));
    let brackets = subject.and_then(|rest| rest.split(']').next());
    if !brackets.is_some_and(|text| {
        let mut words = text.split(' ');
        words.any(|word| word == "PATCH") && words.any(|word| word == "net-next" || word == "net")
    }) {
        problems.push("the subject does not name the tree: [PATCH net-next]".to_owned());
    }
    if patch.is_cover() && world.count > MOST {
        problems.push(format!("{} patches: netdev takes {MOST}", world.count));
    }
    if !patch.is_cover() {
        let paths: Vec<_> = patch.files.iter().map(|file| file.path.as_str()).collect();
        problems.extend(prefix(patch.subject(), &paths));
    }
    Ok(Finding::of(true, &problems))
}

/// What is wrong with the shape of a message.
fn shape(message: &str, is_cover: bool) -> Vec<String> {
    let mut problems = Vec::new();
    let (subject, rest) = message.split_once('\n').unwrap_or((message, ""));
    if subject.ends_with('.') {
        problems.push("the subject ends with a full stop".to_owned());
    }
    if !is_cover && !subject.contains(": ") {
        problems.push("the subject has no prefix: `area: what it does`".to_owned());
    }
    let body = rest.lines().filter(|line| tag(line).is_none());
    if !rest.starts_with('\n') || body.clone().all(|line| line.trim().is_empty()) {
        problems.push("after the subject come a blank line and a body".to_owned());
    }
    for (number, line) in message.lines().enumerate() {
        // A link is not broken.
        if line.chars().count() > WIDTH && line.trim().contains(' ') {
            problems.push(format!(
                "line {} is {} characters wide, and not {WIDTH}: {line}",
                number + 1,
                line.chars().count()
            ));
        }
    }
    problems
}

/// The words of the prefix have to be found in the names of the files.
fn prefix(subject: &str, paths: &[&str]) -> Vec<String> {
    let Some((prefix, _)) = subject.rsplit_once(": ") else {
        return Vec::new();
    };
    prefix
        .split(": ")
        .filter(|word| {
            let word = word.to_lowercase();
            !paths.iter().any(|path| path.to_lowercase().contains(&word))
        })
        .map(|word| format!("no file of the patch has to do with the prefix `{word}:`"))
        .collect()
}

/// Nobody's signature, and what the patch was assisted by.
// As all checks.
#[expect(clippy::unnecessary_wraps)]
pub(super) fn tags(world: &World<'_>, patch: &Patch) -> Result<Finding> {
    let assisted = world.assisted && !patch.is_cover();
    Ok(Finding::of(true, &wrong_tags(&patch.message, assisted)))
}

fn wrong_tags(message: &str, assisted: bool) -> Vec<String> {
    let mut problems = Vec::new();
    let mut found = false;
    for (name, value) in message.lines().filter_map(tag) {
        match name {
            "Signed-off-by" | "Co-developed-by" => {
                problems.push(format!("{name}: {value}: nobody has given this"));
            }
            "Assisted-by" => {
                found = true;
                let mut words = value.split(' ');
                if words.next() != Some("LLM") || words.any(|word| word.contains(['<', '@', ','])) {
                    problems.push(format!(
                        "`Assisted-by: {value}` has not the form `Assisted-by: LLM [TOOL]...` \
                         (Documentation/process/coding-assistants.rst)"
                    ));
                }
                if let Some(tool) = BASIC
                    .iter()
                    .find(|tool| value.split(' ').any(|w| w == **tool))
                {
                    problems.push(format!("Assisted-by names {tool}, which everybody uses"));
                }
            }
            _ => {}
        }
    }
    if assisted && !found {
        problems.push(
            "no Assisted-by, which Documentation/process/coding-assistants.rst asks for".to_owned(),
        );
    }
    problems
}

/// Reads a tag such as `Reviewed-by: somebody`.
fn tag(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(": ")?;
    let first = name.starts_with(|first: char| first.is_ascii_uppercase());
    (first && name.ends_with("-by")).then_some((name, value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_a_shape() {
        let wide = format!("net: a\n\n{} b\n", "x".repeat(74));
        let link = format!("net: a\n\nhttps://{}\n", "x".repeat(80));
        for (good, message) in [
            (true, "net: add a\n\nWhy.\n"),
            (true, &link),
            (false, "net: add a\n\nAssisted-by: LLM\n"),
            (false, "net: add a\nWhy.\n"),
            (false, "net: add a.\n\nWhy.\n"),
            (false, "add a\n\nWhy.\n"),
            (false, &wide),
        ] {
            assert_eq!(shape(message, false).is_empty(), good, "{message:?}");
        }
    }

    #[test]
    fn a_prefix_is_of_what_is_touched() {
        let paths = ["net/core/filter.c", "rust/kernel/net/mod.rs"];
        assert!(prefix("net: filter: add a", &paths).is_empty());
        assert_eq!(prefix("drm: add a", &paths).len(), 1);
    }

    #[test]
    fn tags_are_those_that_the_rule_asks_for() {
        let with = |tag: &str| format!("net: a\n\nWhy.\n\n{tag}\n");
        for (good, tag) in [
            (true, "Assisted-by: LLM"),
            (true, "Assisted-by: LLM coccinelle sparse"),
            (false, "Assisted-by: LLM git"),
            (false, "Assisted-by: somebody"),
            (false, "Assisted-by: LLM <llm@x.org>"),
            (false, "Reviewed-by: A <a@x.org>"),
            (false, "Assisted-by: LLM\nSigned-off-by: A <a@x.org>"),
        ] {
            assert_eq!(wrong_tags(&with(tag), true).is_empty(), good, "{tag:?}");
        }
        assert!(wrong_tags("net: a\n\nWhy.\n", false).is_empty());
    }
}
