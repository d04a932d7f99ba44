// SPDX-License-Identifier: GPL-2.0

//! Whether b4, by which series are sent, takes the commits: it is let prepare them and write the
//! mails, of which none leaves this machine.

use super::{
    Finding,
    Patch,
    World, //
};
use crate::series::git::good;
use anyhow::{
    Context,
    Result,
    ensure, //
};
use fs_err as fs;
use std::path::Path;

/// What b4 must not find missing.
const FLIGHT: [&str; 2] = ["needs-editing", "misplaced-body"];

pub(super) fn check(world: &World<'_>, patch: &Patch) -> Result<Finding> {
    if !patch.is_cover() {
        return Ok(Finding::Nothing);
    }
    let work = tempfile::tempdir()?;
    let clone = work.path().join("clone");
    let from = world
        .git
        .dir()
        .to_str()
        .context("a path that is not text")?;
    let to = clone.to_str().context("a path that is not text")?;
    world
        .git
        .run(&["clone", "--quiet", "--branch=series", from, to])?;
    let cover = work.path().join("cover");
    // b4 wants somebody to send it to.
    fs::write(
        &cover,
        format!("{}\n\nTo: netdev@vger.kernel.org\n", patch.message.trim()),
    )?;
    match send(world, work.path(), &clone, &cover) {
        Ok(problems) => Ok(Finding::of(true, &problems)),
        Err(error) => Ok(Finding::Red(format!("{error:#}"))),
    }
}

/// Says what is wrong with the mails.
fn send(world: &World<'_>, work: &Path, clone: &Path, cover: &Path) -> Result<Vec<String>> {
    let who = world.git.who();
    let git = |words: &[&str]| good(who.git(clone, 0).args(words));
    let run = |words: &[&str]| -> Result<String> {
        let mut b4 = who.program(&world.b4, clone, 0);
        for name in ["HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            b4.env(name, work);
        }
        b4.env("EDITOR", format!("cp {}", cover.display()));
        // Without interaction and network.
        let output = b4.args(["-n", "--offline-mode"]).args(words).output()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        ensure!(output.status.success(), "b4 {}: {text}", words.join(" "));
        Ok(text)
    };
    for (key, value) in [
        ("user.name", "af_inet_cr"),
        ("user.email", "af_inet_cr@localhost"),
    ] {
        git(&["config", key, value])?;
    }
    run(&["prep", "--enroll", "base"])?;
    run(&["prep", "--edit-cover"])?;
    run(&["prep", "--set-prefixes", "net-next"])?;
    let info = run(&["prep", "--show-info"])?;
    let mut problems: Vec<_> = info
        .lines()
        .filter(|line| FLIGHT.iter().any(|name| *line == format!("{name}: True")))
        .map(|line| format!("b4 prep says {line}"))
        .collect();
    let out = work.join("mails");
    let mails = out.to_str().context("a path that is not text")?;
    let said = run(&["send", "--no-sign", "-o", mails])?;

    // The mails have to lead to where the commits lead.
    let mut paths: Vec<_> = fs::read_dir(&out)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    paths.sort();
    if paths.len() != world.count + 1 {
        problems.push(format!("b4 send makes {} mails: {said}", paths.len()));
    }
    git(&["checkout", "--quiet", "--detach", "base"])?;
    for path in paths.iter().skip(1) {
        git(&["am", "--quiet", path.to_str().context("not text")?])?;
    }
    let ours = world.git.bytes(&["rev-parse", "series^{tree}"])?;
    if git(&["rev-parse", "HEAD^{tree}"])? != ours {
        problems.push("the mails of b4 do not lead to the tree of the series".to_owned());
    }
    Ok(problems)
}
