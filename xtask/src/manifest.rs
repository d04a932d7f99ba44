// SPDX-License-Identifier: GPL-2.0

//! `linux-patches/series.toml`: which commit everything belongs to.

use crate::{
    ctx::Ctx,
    files,
    ui, //
};
use anyhow::{
    Context,
    Result,
    bail, //
};
use fs_err as fs;
use serde::Deserialize;
use std::{
    collections::{
        BTreeMap,
        BTreeSet, //
    },
    path::PathBuf,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    pub cover: String,
    pub prefix: String,
    /// What `Assisted-by` says of each commit.
    pub assisted_by: Option<String>,
    #[serde(default, rename = "commit")]
    pub commits: Vec<Commit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    pub id: String,
    pub message: String,
    #[serde(default)]
    pub patches: Vec<String>,
    #[serde(default)]
    pub files: Vec<String>,
}

/// What there is in the repository for the manifest to claim.
#[derive(Default)]
pub struct Present {
    /// Kernel path of each new file, and where it is.
    pub files: BTreeMap<String, PathBuf>,
    /// Patches, as the manifest names them.
    pub patches: BTreeSet<String>,
    /// Messages, as the manifest names them.
    pub messages: BTreeSet<String>,
}

impl Present {
    /// Only what these commits claim.
    pub fn of(&self, commits: &[Commit]) -> Self {
        let claimed = commits.iter().flat_map(|commit| &commit.files);
        let files = claimed.filter_map(|name| self.files.get_key_value(name));
        Self {
            files: files
                .map(|(name, path)| (name.clone(), path.clone()))
                .collect(),
            ..Self::default()
        }
    }
}

fn present(ctx: &Ctx) -> Result<Present> {
    let mut found = BTreeMap::new();
    for (dir, prefix) in [("net", "net/"), ("linux-patches/tree", "")] {
        let dir = ctx.repo(dir);
        for path in files::list(&dir)? {
            let name = path.to_string_lossy();
            if is_junk(&name) {
                continue;
            }
            if let Some(other) = found.insert(format!("{prefix}{name}"), dir.join(&path)) {
                bail!(
                    "{prefix}{name} is in net/ and in {}: remove one",
                    other.display()
                );
            }
        }
    }
    let names = |folder: &str| -> Result<BTreeSet<String>> {
        let list = files::list(&ctx.repo("linux-patches").join(folder))?;
        let names = list.iter().map(|path| path.to_string_lossy());
        Ok(names
            .filter(|name| !is_junk(name))
            .map(|name| format!("{folder}/{name}"))
            .collect())
    };
    Ok(Present {
        files: found,
        patches: names("edits")?,
        messages: names("messages")?,
    })
}

/// What editors and tools leave behind: never part of the series.
pub fn is_junk(name: &str) -> bool {
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    folder.split('/').any(|folder| folder.starts_with('.'))
        || file.starts_with('.') && !matches!(file, ".gitignore" | ".kunitconfig")
        || file.starts_with('#') && file.ends_with('#')
        || file.ends_with('~')
        || [".rej", ".orig", ".swp", ".pyc"]
            .iter()
            .any(|end| file.ends_with(end))
}

pub fn load(ctx: &Ctx) -> Result<(Manifest, Present)> {
    let path = ctx.repo("linux-patches/series.toml");
    let manifest: Manifest = toml::from_str(&fs::read_to_string(&path)?)
        .with_context(|| format!("{} is not a manifest", path.display()))?;
    let present = present(ctx)?;
    let (wrong, unclaimed) = problems(&manifest, &present);
    if wrong.is_empty() && ctx.allow_unclaimed {
        if let Some(first) = unclaimed.first() {
            let more = unclaimed.len() - 1;
            ui::warning(&format!("{first} yet (and {more} more like it)"));
        }
    } else if !wrong.is_empty() || !unclaimed.is_empty() {
        bail!(
            "the manifest and the files disagree:\n  {}\n  Correct linux-patches/series.toml \
             (--allow-unclaimed builds with files that belong to no commit yet).",
            [wrong, unclaimed].concat().join("\n  ")
        );
    }
    Ok((manifest, present))
}

/// All that is wrong with the manifest, so that one run tells everything; and, apart, what
/// belongs to no commit.
fn problems(manifest: &Manifest, present: &Present) -> (Vec<String>, Vec<String>) {
    let mut wrong = Vec::new();
    let mut unclaimed = Vec::new();
    let files = manifest
        .commits
        .iter()
        .flat_map(|c| c.files.iter().map(move |f| (f, &c.id)));
    claims(
        "file",
        files,
        &present.files.keys().cloned().collect(),
        &mut wrong,
        &mut unclaimed,
    );
    let patches = manifest
        .commits
        .iter()
        .flat_map(|c| c.patches.iter().map(move |p| (p, &c.id)));
    claims(
        "patch",
        patches,
        &present.patches,
        &mut wrong,
        &mut unclaimed,
    );
    let mut messages = present.messages.clone();
    messages.remove(&manifest.cover);
    let claimed = manifest.commits.iter().map(|c| (&c.message, &c.id));
    claims("message", claimed, &messages, &mut wrong, &mut unclaimed);

    let mut ids = BTreeSet::new();
    for commit in &manifest.commits {
        if !ids.insert(&commit.id) {
            wrong.push(format!("two commits have the id {}", commit.id));
        }
        if commit.patches.is_empty() && commit.files.is_empty() {
            wrong.push(format!("commit {} changes nothing", commit.id));
        }
    }
    (wrong, unclaimed)
}

fn claims<'a>(
    what: &str,
    claimed: impl Iterator<Item = (&'a String, &'a String)>,
    present: &BTreeSet<String>,
    wrong: &mut Vec<String>,
    unclaimed: &mut Vec<String>,
) {
    let mut owner = BTreeMap::new();
    for (name, id) in claimed {
        if let Some(other) = owner.insert(name, id) {
            wrong.push(format!("{what} {name} is claimed by {other} and by {id}"));
        }
        if !present.contains(name) {
            wrong.push(format!("{what} {name} of commit {id} does not exist"));
        }
    }
    for name in present {
        if !owner.contains_key(name) {
            unclaimed.push(format!("{what} {name} belongs to no commit"));
        }
    }
}

/// The existing kernel files that a patch edits.
///
/// An edit neither adds nor removes a file: new files are real files in the repository.
pub fn touched(name: &str, patch: &str) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    let mut lines = patch.lines().peekable();
    while let Some(line) = lines.next() {
        // The pair of headers, not a removed line that happens to begin with "-- ".
        let (Some(old), Some(new)) = (
            line.strip_prefix("--- "),
            lines.peek().and_then(|next| next.strip_prefix("+++ ")),
        ) else {
            continue;
        };
        let strip = |text: &str, side: &str| {
            let text = text.split('\t').next().unwrap_or(text).trim_end();
            text.strip_prefix(side).map(str::to_owned)
        };
        match (strip(old, "a/"), strip(new, "b/")) {
            (Some(old), Some(new)) if old == new => paths.push(new),
            _ => bail!(
                "{name} adds, removes or renames a file ({old} -> {new}); \
                 a new file belongs in linux-patches/tree/ or net/"
            ),
        }
    }
    if paths.is_empty() {
        bail!("{name} holds no diff");
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> (Manifest, Present) {
        let manifest = toml::from_str(
            r#"
            cover = "messages/0000.md"
            prefix = "PATCH"
            [[commit]]
            id = "0001-a"
            message = "messages/0001.md"
            patches = ["edits/0001.patch"]
            files = ["net/a.rs"]
            "#,
        );
        let present = Present {
            files: [("net/a.rs".to_owned(), PathBuf::new())].into(),
            patches: ["edits/0001.patch".to_owned()].into(),
            messages: ["messages/0000.md", "messages/0001.md"]
                .map(str::to_owned)
                .into(),
        };
        (manifest.unwrap(), present)
    }

    #[test]
    fn what_agrees_is_accepted() {
        let (manifest, present) = example();
        assert_eq!(problems(&manifest, &present), (vec![], vec![]));
    }

    #[test]
    fn unclaimed_missing_and_doubled_are_named() {
        let (mut manifest, mut present) = example();
        present.files.insert("net/b.rs".to_owned(), PathBuf::new());
        present.patches.clear();
        manifest.commits.push(Commit {
            id: "0001-a".to_owned(),
            message: "messages/0001.md".to_owned(),
            patches: vec![],
            files: vec!["net/a.rs".to_owned()],
        });
        let (wrong, unclaimed) = problems(&manifest, &present);
        let wrong = [wrong, unclaimed].concat().join("\n");
        for part in [
            "file net/a.rs is claimed by 0001-a and by 0001-a",
            "file net/b.rs belongs to no commit",
            "patch edits/0001.patch of commit 0001-a does not exist",
            "message messages/0001.md is claimed by",
            "two commits have the id 0001-a",
        ] {
            assert!(wrong.contains(part), "{part} not in:\n{wrong}");
        }
    }

    #[test]
    fn a_patch_only_edits() {
        let edit = "--- a/net/x.c\n+++ b/net/x.c\n@@ -1 +1 @@\n--- a\n+b\n";
        assert_eq!(touched("p", edit).unwrap(), ["net/x.c"]);
        let new = "--- /dev/null\n+++ b/net/x.c\n@@ -0,0 +1 @@\n+b\n";
        assert!(touched("p", new).is_err());
        assert!(touched("p", "words\n").is_err());
    }
}
