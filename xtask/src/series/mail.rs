// SPDX-License-Identifier: GPL-2.0

//! The commits as what is sent: files of `git format-patch`, and who gets them.

use super::git::Git;
use crate::{
    files,
    ui::Step, //
};
use anyhow::{
    Context,
    Result,
    ensure, //
};
use fs_err as fs;
use std::{
    collections::BTreeSet,
    path::{
        Path,
        PathBuf, //
    },
    process::Command,
};

/// What the mails say beside the commits.
pub(super) struct Letter {
    /// What stands in the brackets of each subject.
    pub prefix: String,
    pub version: u32,
    pub cover: String,
    pub recipients: Recipients,
    /// The last line of the cover letter: what the series is made for.
    pub base: String,
}

/// Who gets the mails.
#[derive(Default, Debug, PartialEq, Eq)]
pub(super) struct Recipients {
    pub to: Vec<String>,
    pub cc: Vec<String>,
}

/// The files in their order, the cover letter first.
pub(super) fn write(git: &Git, letter: &Letter, out: &Path) -> Result<Vec<PathBuf>> {
    let new = git.dir().join(".git/mails");
    if new.exists() {
        fs::remove_dir_all(&new)?;
    }
    let mut args = [
        "format-patch",
        "--quiet",
        "--zero-commit",
        "--full-index",
        "--no-signature",
        "--no-renames",
        "--diff-algorithm=histogram",
        "--numbered",
        "--cover-letter",
        "--cover-from-description=subject",
        "--output-directory=.git/mails",
    ]
    .map(str::to_owned)
    .to_vec();
    args.push(format!("--subject-prefix={}", letter.prefix));
    if letter.version > 1 {
        args.push(format!("--reroll-count={}", letter.version));
    }
    let to = letter.recipients.to.iter().map(|one| format!("--to={one}"));
    let cc = letter.recipients.cc.iter().map(|one| format!("--cc={one}"));
    args.extend(to.chain(cc));
    args.push("base".to_owned());
    git.run(&["config", "branch.series.description", &letter.cover])?;
    git.run(&args.iter().map(String::as_str).collect::<Vec<_>>())?;

    fs::create_dir_all(out)?;
    for old in files::list(out)? {
        if is_patch(&old.to_string_lossy()) {
            fs::remove_file(out.join(old))?;
        }
    }
    let mut patches = Vec::new();
    for patch in files::list(&new)? {
        let mut mail = fs::read(new.join(&patch))?;
        if patches.is_empty() {
            mail.truncate(mail.trim_ascii_end().len());
            mail.extend(format!("\n\n{}\n", letter.base).bytes());
        }
        let to = out.join(&patch);
        files::write_atomic(&to, &mail)?;
        patches.push(to);
    }
    Ok(patches)
}

/// Whether this is the name of a file that `git format-patch` makes.
pub(super) fn is_patch(name: &str) -> bool {
    let name = match name.strip_prefix('v').and_then(|rest| rest.split_once('-')) {
        Some((version, rest)) if version.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => name,
    };
    name.len() > 11
        && name.bytes().take(4).all(|byte| byte.is_ascii_digit())
        && name[4..].starts_with('-')
        && name.ends_with(".patch")
}

/// The patches that are in a directory, without the cover letter.
pub(super) fn find(dir: &Path) -> Result<Vec<PathBuf>> {
    ensure!(dir.is_dir(), "{} is not a directory", dir.display());
    let names = files::list(dir)?.into_iter();
    let patches: Vec<_> = names
        .filter(|name| is_patch(&name.to_string_lossy()) && !is_cover(name))
        .map(|name| dir.join(name))
        .collect();
    ensure!(
        !patches.is_empty(),
        "{} has no files of git format-patch",
        dir.display()
    );
    Ok(patches)
}

/// Whether this is the cover letter.
pub(super) fn is_cover(path: &Path) -> bool {
    path.to_string_lossy().ends_with("0000-cover-letter.patch")
}

/// Whom the tree's `get_maintainer.pl` names for the patches: maintainers get them, reviewers and
/// lists get copies.
pub(super) fn recipients(tree: &Path, patches: &[PathBuf]) -> Result<Recipients> {
    let step = Step::new("get_maintainer.pl");
    let mut perl = Command::new("perl");
    perl.current_dir(tree).env("LC_ALL", "C.UTF-8");
    perl.arg("scripts/get_maintainer.pl");
    perl.args(["--no-git", "--no-git-fallback", "--rolestats"]);
    perl.args(patches.iter().filter(|path| !is_cover(path)));
    let output = perl.output().context("cannot run perl")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "get_maintainer.pl: {errors}");
    let found = read(&String::from_utf8_lossy(&output.stdout));
    ensure!(
        !found.to.is_empty(),
        "get_maintainer.pl names nobody: {errors}"
    );
    step.done(&format!("{} and {}", found.to.len(), found.cc.len()));
    Ok(found)
}

/// Reads `Name <address> (role:section)` and `list (open list:section)`, one a line.
fn read(text: &str) -> Recipients {
    let mut found = Recipients::default();
    let mut seen = BTreeSet::new();
    // Who is a maintainer of one part and reviews another is a maintainer.
    for maintainers in [true, false] {
        for line in text.lines() {
            let split = match line.split_once("> (") {
                Some((who, role)) => Some((format!("{who}>"), role)),
                None => line
                    .split_once(" (")
                    .map(|(who, role)| (who.to_owned(), role)),
            };
            let Some((who, role)) = split else { continue };
            let is_maintainer = role.starts_with("maintainer") || role.starts_with("supporter");
            let address = who.rsplit('<').next().unwrap_or(&who);
            let address = address.trim_end_matches('>').to_lowercase();
            if is_maintainer == maintainers && seen.insert(address) {
                let list = if maintainers {
                    &mut found.to
                } else {
                    &mut found.cc
                };
                list.push(who);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_patches_are_taken_for_patches() {
        assert!(is_patch("0001-rust-netlink.patch"));
        assert!(is_patch("v12-0001-rust-netlink.patch"));
        assert!(!is_patch("0001.patch"));
        assert!(!is_patch("notes-0001-x.patch"));
        assert!(!is_patch("very-0001-long.patch"));
        assert!(!is_patch("0001-x.txt"));
    }

    #[test]
    fn each_recipient_is_there_once() {
        let text = "\
A <a@x.org> (reviewer:RUST)
\"B Ö\" <b@x.org> (maintainer:NETWORKING [GENERAL])
A <A@x.org> (maintainer:YNL)
netdev@vger (open list:NETWORKING [GENERAL])
C <c@x.org> (reviewer:RUST)
netdev@vger (open list:YNL (some))
";
        let found = read(text);
        assert_eq!(found.to, ["\"B Ö\" <b@x.org>", "A <A@x.org>"]);
        assert_eq!(found.cc, ["netdev@vger", "C <c@x.org>"]);
    }
}
