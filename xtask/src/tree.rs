// SPDX-License-Identifier: GPL-2.0

//! `tree`: the working tree: the sources with the patches applied and the new files in place.
//!
//! It is kept in the cache and only ever brought up to date, file by file, so that make rebuilds
//! what changed and nothing else.

mod update;

use crate::{
    ctx::Ctx,
    fetch::{
        self,
        Source, //
    },
    files,
    manifest::{
        self,
        Commit,
        Present, //
    },
    pin,
    ui::{
        self,
        Step, //
    },
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
        BTreeSet, //
    },
    path::{
        Path,
        PathBuf, //
    },
    process::ExitCode,
};
use update::{
    Files,
    read,
    read_record,
    update, //
};
use xshell::cmd;

#[derive(clap::Args)]
pub struct Args {
    /// Throw away what was edited in the working tree.
    #[arg(long)]
    reset: bool,
    /// Write the hashes of the files that the patches edit into linux-patches/pin.toml.
    #[arg(long)]
    update_pin: bool,
}

/// The working tree, up to date.
pub struct Tree {
    pub dir: PathBuf,
    pub source: Source,
    /// The Kconfig files that are ours or edited, together: the others never change.
    pub kconfig: String,
    /// Tells one state of all files that are ours or edited from another.
    pub digest: String,
    /// Whether it has what somebody edited in it, and what no commit of this repository has.
    pub edited: bool,
}

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    let _lock = fetch::lock(ctx)?;
    if args.update_pin {
        ensure!(
            ctx.linux.is_none(),
            "--update-pin reads the pinned sources: leave out --linux"
        );
        let source = fetch::source(ctx)?;
        let (manifest, _) = manifest::load(ctx)?;
        let paths = touched(ctx, &manifest.commits)?;
        let changed = pin::update(ctx, &source.dir, paths.into_iter())?;
        ui::note(if changed {
            "pin.toml: updated"
        } else {
            "pin.toml: no change"
        });
    }
    let tree = prepare(ctx, args.reset)?;
    println!("{}", tree.dir.display());
    Ok(ExitCode::SUCCESS)
}

/// Where the working tree of these sources is.
pub fn place(ctx: &Ctx, source: &Source) -> PathBuf {
    ctx.cache("tree").join(&source.key)
}

/// Brings the working tree up to date. To be called under [`fetch::lock`].
pub fn prepare(ctx: &Ctx, reset: bool) -> Result<Tree> {
    let (manifest, present) = manifest::load(ctx)?;
    let source = fetch::source(ctx)?;
    let dir = place(ctx, &source);
    bring(ctx, source, dir, &manifest.commits, &present, reset)
}

/// A tree as it is after some first commits of the series. It is not the one that is worked in: to
/// go through the commits there would have all of the kernel built anew.
pub fn prepare_commits(ctx: &Ctx, commits: &[Commit], present: &Present) -> Result<Tree> {
    let source = fetch::source(ctx)?;
    let dir = ctx.cache("tree").join(format!("{}-series", source.key));
    bring(ctx, source, dir, commits, &present.of(commits), false)
}

fn bring(
    ctx: &Ctx,
    source: Source,
    dir: PathBuf,
    commits: &[Commit],
    present: &Present,
    reset: bool,
) -> Result<Tree> {
    let (from, record) = (&source.dir, dir.with_extension("owned"));
    if !dir.exists() {
        let step = Step::new("make the working tree");
        let sh = &ctx.sh;
        let _ = fs::remove_file(&record);
        // A copy, not hard links: an editor that writes in place would change the sources too.
        files::make_dir_atomic(&dir, |new| {
            Ok(cmd!(sh, "cp -a --reflink=auto {from}/. {new}")
                .quiet()
                .run()?)
        })?;
        step.done("");
    }
    let pin = pin::load(ctx)?;
    if touched(ctx, commits)?
        .iter()
        .any(|path| !pin.blobs.contains_key(path))
    {
        ui::warning(
            "patches edit files that pin.toml does not list: `cargo xtask tree --update-pin`",
        );
    }
    let step = Step::new("bring the working tree up to date");
    let wanted = wanted(ctx, &source.dir, commits, present)?;
    let owned = read_record(&record)?;
    if source.key.starts_with("dir-") {
        files::sync(from, &dir, |path| {
            !owned.contains_key(path) && !wanted.contains_key(path)
        })?;
    }
    let report = update(&source.dir, &dir, &wanted, &owned, &record, reset)?;
    step.done(&format!("{} files changed", report.changed));
    for path in &report.kept {
        ui::warning(&format!(
            "{path} was edited in the working tree and is used as it is there \
             (`cargo xtask refresh` takes the edit over, `cargo xtask tree --reset` drops it)"
        ));
    }
    let mut kconfig = String::new();
    let mut all = Vec::new();
    for path in wanted.keys() {
        let content = fs::read(dir.join(path))?;
        all.push(format!("{path} {}", files::sha256(&content)));
        if path.contains("Kconfig") {
            kconfig += &String::from_utf8_lossy(&content);
        }
    }
    Ok(Tree {
        dir,
        source,
        kconfig,
        digest: files::sha256(all.join("\n").as_bytes()),
        edited: !report.kept.is_empty(),
    })
}

/// The files that the patches edit.
pub fn touched(ctx: &Ctx, commits: &[Commit]) -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for name in commits.iter().flat_map(|commit| &commit.patches) {
        let patch = fs::read_to_string(ctx.repo("linux-patches").join(name))?;
        all.extend(manifest::touched(name, &patch)?);
    }
    Ok(all)
}

/// All that the project changes in the kernel, computed from the unpatched sources every time.
pub fn wanted(ctx: &Ctx, source: &Path, commits: &[Commit], present: &Present) -> Result<Files> {
    let scratch = scratch(ctx, source, &touched(ctx, commits)?)?;
    for name in commits.iter().flat_map(|commit| &commit.patches) {
        apply(ctx, scratch.path(), name)?;
    }
    let mut wanted = Files::new();
    for path in files::list(scratch.path())? {
        let name = path.to_string_lossy().into_owned();
        wanted.insert(name, read(&scratch.path().join(path))?);
    }
    for (name, from) in &present.files {
        ensure!(
            !source.join(name).exists(),
            "{} is a new file, but this kernel has {name} already: edit it by a patch",
            from.display()
        );
        wanted.insert(name.clone(), read(from)?);
    }
    Ok(wanted)
}

/// A directory for work that is gone afterwards.
pub fn scratch_dir(ctx: &Ctx) -> Result<files::Temporary> {
    files::temporary(&ctx.cache)
}

/// A directory with copies of just these files of the sources.
pub fn scratch(ctx: &Ctx, source: &Path, paths: &BTreeSet<String>) -> Result<files::Temporary> {
    let scratch = scratch_dir(ctx)?;
    for path in paths {
        let to = scratch.path().join(path);
        fs::create_dir_all(to.parent().context("no parent directory")?)?;
        fs::copy(source.join(path), to)
            .with_context(|| format!("a patch edits {path}, which this kernel does not have"))?;
    }
    Ok(scratch)
}

/// Applies one patch of the manifest to `dir`, wholly or not at all.
pub fn apply(ctx: &Ctx, dir: &Path, name: &str) -> Result<()> {
    let patch = ctx.repo("linux-patches").join(name);
    let git = |reject: &[&str]| {
        let _env = ctx
            .sh
            .push_env("GIT_CEILING_DIRECTORIES", dir.parent().unwrap_or(dir));
        let sh = &ctx.sh;
        cmd!(
            sh,
            "git -C {dir} apply --whitespace=nowarn {reject...} {patch}"
        )
        .quiet()
        .ignore_status()
        .env("LC_ALL", "C")
        .output()
    };
    let output = git(&[])?;
    if output.status.success() {
        return Ok(());
    }
    git(&["--reject"])?;
    let mut rejects = Vec::new();
    let keep = ctx.target.join("logs/rejects");
    fs::create_dir_all(&keep)?;
    for path in files::list(dir)? {
        if path.extension().is_some_and(|end| end == "rej") {
            let to = keep.join(path.to_string_lossy().replace('/', "-"));
            fs::copy(dir.join(path), &to)?;
            rejects.push(to.display().to_string());
        }
    }
    bail!(
        "linux-patches/{name} does not apply:\n  {}\n  rejects: {}",
        String::from_utf8_lossy(&output.stderr)
            .trim()
            .replace('\n', "\n  "),
        if rejects.is_empty() {
            "none".to_owned()
        } else {
            rejects.join(", ")
        }
    )
}
