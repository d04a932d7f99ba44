// SPDX-License-Identifier: GPL-2.0

//! `series --branch`: the commits as a branch of the git tree that `--linux` names.
//!
//! Nothing of that tree is touched but the new branch: the commits are made in an index of their
//! own, and no file is checked out.

use super::git::{
    Git,
    good, //
};
use anyhow::{
    Context,
    Result,
    bail, //
};
use std::{
    fmt::Write as _,
    io::Write as _,
    path::Path,
    process::{
        Command,
        Stdio, //
    },
};

/// Makes the branch `name` upon `base` of the repository `linux`.
pub(super) fn make(git: &Git, linux: &Path, base: &str, name: &str) -> Result<()> {
    let work = tempfile::tempdir()?;
    let run = |number: usize, args: &[&str]| {
        let mut git = git.who().git(linux, number);
        git.env("GIT_INDEX_FILE", work.path().join("index"))
            .args(args);
        git
    };
    let text = |command: &mut Command| -> Result<String> {
        Ok(String::from_utf8(good(command)?)?.trim().to_owned())
    };
    let full = format!("refs/heads/{name}");
    good(&mut run(0, &["check-ref-format", &full]))
        .with_context(|| format!("{name} is no name for a branch"))?;
    if run(0, &["rev-parse", "--quiet", "--verify", &full])
        .output()?
        .status
        .success()
    {
        bail!(
            "{} has a branch {name} already: delete it first, or take another name",
            linux.display()
        );
    }
    // The contents of the files, by the names that they have on both sides.
    let from = git.dir().to_str().context("a path that is not text")?;
    good(&mut run(
        0,
        &["fetch", "--quiet", "--no-write-fetch-head", from, "series"],
    ))?;
    good(&mut run(0, &["read-tree", base]))?;
    let mut parent = base.to_owned();
    for (number, commit) in git.commits("base", "series")?.iter().enumerate() {
        let mut list = String::new();
        for change in git.changes(commit)? {
            let (mode, content) = match &change.after {
                Some(content) => (change.mode.as_str(), content.as_str()),
                None => ("0", "0000000000000000000000000000000000000000"),
            };
            writeln!(list, "{mode} {content}\t{}", change.path)?;
        }
        feed(&mut run(0, &["update-index", "--index-info"]), &list)?;
        let tree = text(&mut run(0, &["write-tree"]))?;
        let message = git.bytes(&["show", "--no-patch", "--format=%B", commit])?;
        let file = work.path().join("message");
        fs_err::write(&file, message)?;
        let mut make = run(number + 1, &["commit-tree", &tree, "-p", &parent, "-F"]);
        parent = text(make.arg(&file))?;
    }
    // With the empty old value, a branch that has come meanwhile is left alone.
    good(&mut run(0, &["update-ref", &full, &parent, ""])).map(drop)
}

/// Runs a command that reads `input`.
fn feed(command: &mut Command, input: &str) -> Result<()> {
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    if !child.wait()?.success() {
        bail!("{command:?} failed");
    }
    Ok(())
}
