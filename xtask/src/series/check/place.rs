// SPDX-License-Identifier: GPL-2.0

//! Whether new files are where others find them: in MAINTAINERS, and in the lists of the selftests.

use super::{
    File,
    Finding,
    Patch,
    World, //
};
use anyhow::{
    Context,
    Result, //
};
use std::collections::BTreeSet;
use wildmatch::WildMatch;

/// Whether somebody maintains each new file when all patches are applied, and each pattern that is
/// added to MAINTAINERS has a file.
pub(super) fn maintainers(world: &World<'_>, patch: &Patch) -> Result<Finding> {
    let new: Vec<_> = patch.files.iter().filter(|file| file.is_new()).collect();
    let edited = patch.files.iter().find(|file| file.path == "MAINTAINERS");
    if new.is_empty() && edited.is_none() {
        return Ok(Finding::Nothing);
    }
    let last = world.last("MAINTAINERS").context("no MAINTAINERS")?;
    let patterns = entries(&last);
    let mut problems: Vec<_> = new
        .iter()
        .filter(|file| !patterns.iter().any(|one| covers(one, &file.path)))
        .map(|file| format!("{}: no entry of MAINTAINERS has it", file.path))
        .collect();
    if let Some(edited) = edited {
        let before = text(edited.before.as_ref());
        let before: BTreeSet<_> = entries(&before).into_iter().collect();
        for pattern in patterns.iter().filter(|one| !before.contains(*one)) {
            let name = pattern.trim_end_matches('/');
            // A pattern with a star is for what may come.
            if !name.contains('*') && !world.tree.join(name).exists() && world.last(name).is_none()
            {
                problems.push(format!("MAINTAINERS names {pattern}, which is not there"));
            }
        }
    }
    Ok(Finding::of(true, &problems))
}

/// The patterns of all entries but the one that has everything.
fn entries(maintainers: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = false;
    for line in maintainers.lines() {
        match line.strip_prefix("F:\t") {
            Some(pattern) if !rest => found.push(pattern),
            _ if line.get(1..2) != Some(":") => rest = line == "THE REST",
            _ => {}
        }
    }
    found
}

/// Whether a pattern of MAINTAINERS has a file: a directory has all that is below it, and a star
/// does not cross a slash.
fn covers(pattern: &str, path: &str) -> bool {
    let below = pattern.ends_with('/');
    let mut path = path.split('/');
    for part in pattern.trim_end_matches('/').split('/') {
        if !path
            .next()
            .is_some_and(|name| WildMatch::new(part).matches(name))
        {
            return false;
        }
    }
    path.next().is_some() == below
}

/// Whether a selftest is in its Makefile, runs, and is ignored where it is built; whether options
/// are sorted.
pub(super) fn selftest(world: &World<'_>, patch: &Patch) -> Result<Finding> {
    let ours =
        |file: &&File| file.path.starts_with("tools/testing/selftests/") && file.after.is_some();
    let mut problems = Vec::new();
    let mut any = false;
    for file in patch.files.iter().filter(ours) {
        any = true;
        let (dir, name) = file
            .path
            .rsplit_once('/')
            .context("a path without folder")?;
        let beside = |name: &str| world.last(&format!("{dir}/{name}")).unwrap_or_default();
        if name == "config" {
            problems.extend(unsorted(
                &text(file.before.as_ref()),
                &text(file.after.as_ref()),
            ));
        } else if file.is_new() {
            problems.extend(unlisted(
                file,
                name,
                &beside("Makefile"),
                &beside(".gitignore"),
            ));
        }
    }
    Ok(Finding::of(any, &problems))
}

fn unlisted(file: &File, name: &str, makefile: &str, ignored: &str) -> Vec<String> {
    let path = &file.path;
    let mut problems = Vec::new();
    let (stem, end) = name.rsplit_once('.').unwrap_or((name, ""));
    let listed = match end {
        "c" => stem,
        "sh" | "py" => name,
        _ => return problems,
    };
    let mut words = makefile.split_whitespace();
    if !words.any(|word| word.trim_start_matches("./") == listed) {
        problems.push(format!("{path}: its Makefile does not list {listed}"));
    }
    if end == "c"
        && !ignored
            .lines()
            .any(|line| line.trim_start_matches('/') == stem)
    {
        problems.push(format!("{path}: .gitignore does not list {stem}"));
    }
    if end != "c" && !file.executable {
        problems.push(format!("{path}: is not executable"));
    }
    problems
}

/// The options that are new in a fragment and not in the place that the order gives.
fn unsorted(before: &str, after: &str) -> Vec<String> {
    let name = |line: &str| line.split('=').next().unwrap_or_default().to_owned();
    let names: Vec<_> = after.lines().map(name).collect();
    let old: Vec<_> = before.lines().map(name).collect();
    let wrong = |index: &usize| {
        let name = &names[*index];
        let before = index.checked_sub(1).and_then(|index| names.get(index));
        let after = names.get(index + 1);
        !old.contains(name)
            && (before.is_some_and(|before| before > name)
                || after.is_some_and(|after| after < name))
    };
    (0..names.len())
        .filter(wrong)
        .map(|index| format!("config: {} is not where the alphabet puts it", names[index]))
        .collect()
}

impl File {
    fn is_new(&self) -> bool {
        self.before.is_none() && self.after.is_some()
    }
}

fn text(content: Option<&Vec<u8>>) -> String {
    content.map_or_else(String::new, |bytes| {
        String::from_utf8_lossy(bytes).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_maintainers() {
        let text =
            "List\n\nNET\nM:\tA <a@x>\nF:\tnet/\nF:\trust/*/net.rs\n\nTHE REST\nF:\t*\nF:\t*/\n";
        assert_eq!(entries(text), ["net/", "rust/*/net.rs"]);
        for (pattern, path, covered) in [
            ("net/", "net/a.c", true),
            ("net/", "net/ipv4/a.c", true),
            ("net/", "network/a.c", false),
            ("net/*", "net/a.c", true),
            ("net/*", "net/ipv4/a.c", false),
            ("rust/*/net.rs", "rust/kernel/net.rs", true),
            ("net/a.c", "net/a.c", true),
            ("net/a.c", "net/a.c/b", false),
        ] {
            assert_eq!(covers(pattern, path), covered, "{pattern} {path}");
        }
    }

    #[test]
    fn selftests_are_listed_and_run() {
        let file = |path: &str, executable| File {
            path: path.to_owned(),
            executable,
            before: None,
            after: Some(Vec::new()),
        };
        let makefile = "TEST_PROGS := \\\n\ta.py \\\n\nTEST_GEN_PROGS := b\n";
        assert!(unlisted(&file("x/a.py", true), "a.py", makefile, "").is_empty());
        assert_eq!(
            unlisted(&file("x/a.py", false), "a.py", makefile, "").len(),
            1
        );
        assert_eq!(
            unlisted(&file("x/c.py", true), "c.py", makefile, "").len(),
            1
        );
        assert!(unlisted(&file("x/b.c", false), "b.c", makefile, "/b\n").is_empty());
        assert_eq!(
            unlisted(&file("x/b.c", false), "b.c", makefile, "").len(),
            1
        );
    }

    #[test]
    fn options_are_sorted() {
        let before = "CONFIG_B=y\nCONFIG_A=y\n";
        assert!(unsorted(before, "CONFIG_AA=m\nCONFIG_B=y\nCONFIG_A=y\n").is_empty());
        assert_eq!(
            unsorted(before, "CONFIG_C=m\nCONFIG_B=y\nCONFIG_A=y\n").len(),
            1
        );
    }
}
