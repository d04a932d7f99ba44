// SPDX-License-Identifier: GPL-2.0

//! `refresh`: what a developer edited in the working tree goes back into `linux-patches/` and
//! `net/`: the reverse of `tree`.

use crate::{
    ctx::Ctx,
    fetch,
    files,
    manifest::{
        self,
        Commit,
        Manifest, //
    },
    tree,
    ui, //
};
use anyhow::{
    Context,
    Result,
    bail,
    ensure, //
};
use fs_err as fs;
use std::{
    collections::{
        BTreeMap,
        BTreeSet, //
    },
    os::unix::fs::PermissionsExt as _,
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        ExitCode, //
    },
};

#[derive(clap::Args)]
pub struct Args {
    /// The commit whose patch takes the edits of existing kernel files: the beginning of its id,
    /// such as 0003.
    commit: String,
    /// Kernel files that no patch edits yet and this one shall; new files are taken by themselves.
    files: Vec<String>,
}

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    let _lock = fetch::lock(ctx)?;
    take_over(ctx, args)?;
    // Both sides are the same now, from where the next edit starts.
    tree::prepare(ctx, false)?;
    Ok(ExitCode::SUCCESS)
}

fn take_over(ctx: &Ctx, args: &Args) -> Result<()> {
    // First the other way round: what changed in the repository since goes into the tree, and what
    // was edited on both sides stops here. What differs afterwards was edited in the tree.
    let tree = tree::prepare(ctx, false)?;
    let (source, dir) = (tree.source, tree.dir);
    let (manifest, present) = manifest::load(ctx)?;
    let commit = find(&manifest, &args.commit)?;

    // Whole files of ours: they are simply copied back.
    for (name, path) in &present.files {
        let edited = fs::read(dir.join(name))?;
        if files::write_if_changed(path, &edited)? {
            ui::note(&format!("{}: taken over", ui::short(&ctx.repo, path)));
        }
    }
    take_new_files(ctx, &source.dir, &dir, &present.files)?;

    // What is edited of the kernel's own files.
    let mut touched = tree::touched(ctx, &manifest.commits)?;
    for file in &args.files {
        ensure!(
            source.dir.join(file).exists(),
            "the kernel has no file {file}"
        );
        touched.insert(file.clone());
    }
    let name = commit.patches.first().with_context(|| {
        format!(
            "{} has no patch: add `patches = [\"edits/{}.patch\"]` first",
            commit.id, commit.id
        )
    })?;
    ensure!(
        commit.patches.len() == 1,
        "{} has several patches; edit them by hand",
        commit.id
    );
    let new = fold(ctx, &source.dir, &dir, &manifest, name, &touched)?;
    let path = ctx.repo("linux-patches").join(name);
    let old = fs::read(&path)?;
    if new == old {
        ui::note("no edits of the kernel's own files");
        return Ok(());
    }
    files::write_atomic(&path, &new)?;
    // The whole series must still lead to what is in the working tree; if not, nothing happened.
    let result = verify(ctx, &source.dir, &dir, &manifest, &touched);
    if result.is_err() {
        files::write_atomic(&path, &old)?;
    }
    result.with_context(|| format!("linux-patches/{name} is left as it was"))?;
    ui::note(&format!("linux-patches/{name}: refreshed"));
    if !args.files.is_empty() {
        ui::note("`cargo xtask tree --update-pin` notes the files that are edited now");
    }
    Ok(())
}

fn find<'a>(manifest: &'a Manifest, id: &str) -> Result<&'a Commit> {
    let mut found = manifest
        .commits
        .iter()
        .filter(|commit| commit.id.starts_with(id));
    match (found.next(), found.next()) {
        (Some(commit), None) => Ok(commit),
        (None, _) => {
            let ids: Vec<_> = manifest
                .commits
                .iter()
                .map(|commit| commit.id.as_str())
                .collect();
            bail!("no commit begins with {id}; there are: {}", ids.join(", "))
        }
        _ => bail!("several commits begin with {id}"),
    }
}

/// Files in the working tree that neither the kernel nor the repository has.
fn take_new_files(
    ctx: &Ctx,
    source: &Path,
    dir: &Path,
    present: &BTreeMap<String, PathBuf>,
) -> Result<()> {
    // Only beside files of ours and in directories that the kernel does not have.
    let mut places: BTreeSet<_> = present
        .keys()
        .filter_map(|name| Path::new(name).parent())
        .collect();
    places.insert(Path::new("net/ipv4/af_inet_cr"));
    for place in places {
        for entry in fs::read_dir(dir.join(place)).into_iter().flatten() {
            let entry = entry?;
            let name = place.join(entry.file_name()).to_string_lossy().into_owned();
            let new = !present.contains_key(&name) && !source.join(&name).exists();
            if !new || !entry.file_type()?.is_file() || manifest::is_junk(&name) {
                continue;
            }
            let to = if name.starts_with("net/") {
                ctx.repo(&name)
            } else {
                ctx.repo("linux-patches/tree").join(&name)
            };
            let mode = entry.metadata()?.permissions().mode() & 0o777;
            files::write_atomic_mode(&to, &fs::read(entry.path())?, mode)?;
            ui::note(&format!(
                "{}: new; name it in linux-patches/series.toml",
                ui::short(&ctx.repo, &to)
            ));
        }
    }
    Ok(())
}

/// The patch `name` with the edits of the working tree added to it.
fn fold(
    ctx: &Ctx,
    source: &Path,
    dir: &Path,
    manifest: &Manifest,
    name: &str,
    touched: &BTreeSet<String>,
) -> Result<Vec<u8>> {
    // Three states side by side: before the patch, after it, and after the whole series.
    let before = tree::scratch(ctx, source, touched)?;
    let after = tree::scratch(ctx, source, touched)?;
    let full = tree::scratch(ctx, source, touched)?;
    let mut reached = false;
    for patch in manifest.commits.iter().flat_map(|commit| &commit.patches) {
        if !reached {
            tree::apply(ctx, after.path(), patch)?;
            if patch == name {
                reached = true;
            } else {
                tree::apply(ctx, before.path(), patch)?;
            }
        }
        tree::apply(ctx, full.path(), patch)?;
    }
    for file in touched {
        // The developer's edit, carried to where this patch ends.
        let merged = Command::new("git")
            .args(["merge-file", "--stdout", "--quiet"])
            .args([
                after.path().join(file),
                full.path().join(file),
                dir.join(file),
            ])
            .output()?;
        ensure!(
            merged.status.success(),
            "the edit of {file} collides with what later patches do there: put it into one of those"
        );
        fs::write(after.path().join(file), merged.stdout)?;
    }
    diff(before.path(), after.path())
}

/// The difference of two directories, as a patch to apply with -p1.
fn diff(before: &Path, after: &Path) -> Result<Vec<u8>> {
    let work = tempfile::tempdir()?;
    for (from, to) in [(before, "a"), (after, "b")] {
        fs::create_dir_all(work.path().join(to))?;
        files::sync(from, &work.path().join(to), |_| true)?;
    }
    let output = Command::new("git")
        .current_dir(work.path())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .args([
            "diff",
            "--no-index",
            "--no-prefix",
            "--no-color",
            "--no-ext-diff",
        ])
        .args([
            "--no-renames",
            "--full-index",
            "--diff-algorithm=histogram",
            "a",
            "b",
        ])
        .output()?;
    // 1 says that there are differences.
    ensure!(
        matches!(output.status.code(), Some(0 | 1)),
        "git diff failed"
    );
    Ok(output.stdout)
}

fn verify(
    ctx: &Ctx,
    source: &Path,
    dir: &Path,
    manifest: &Manifest,
    touched: &BTreeSet<String>,
) -> Result<()> {
    let scratch = tree::scratch(ctx, source, touched)?;
    for patch in manifest.commits.iter().flat_map(|commit| &commit.patches) {
        tree::apply(ctx, scratch.path(), patch)?;
    }
    for file in touched {
        ensure!(
            fs::read(scratch.path().join(file))? == fs::read(dir.join(file))?,
            "the patches would not lead to the edited {file}"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_becomes_a_patch_of_edits() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let (before, after) = (dir.path().join("x"), dir.path().join("y"));
        for (side, text) in [(&before, "one\n"), (&after, "two\n")] {
            fs::create_dir_all(side.join("net"))?;
            fs::write(side.join("net/f.c"), text)?;
            fs::write(side.join("same.c"), "same\n")?;
        }
        let patch = String::from_utf8(diff(&before, &after)?)?;
        assert_eq!(manifest::touched("p", &patch)?, ["net/f.c"]);
        assert!(patch.contains("-one\n+two\n"));
        Ok(())
    }
}
