// SPDX-License-Identifier: GPL-2.0

//! `series rebase`: the series on another kernel, as far as it goes.

use super::{
    Form, Series, Who,
    git::Git,
    mail::{
        self,
        Letter, //
    },
};
use crate::{
    ctx::Ctx,
    exec, fetch, files,
    manifest::Manifest,
    tree,
    ui::{
        self,
        Step, //
    },
};
use anyhow::{
    Context,
    Result,
    ensure, //
};
use fs_err as fs;
use std::{
    collections::BTreeSet,
    fmt::Write as _,
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
pub(super) struct Args {
    /// The other kernel: a git tree, of which HEAD is taken, or an unpacked one. It is only read.
    tree: PathBuf,
    /// Where the patches that apply go, and the report (default: target/series/rebased).
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
}

/// The other kernel.
pub(super) struct Onto {
    dir: PathBuf,
    /// The commit, of a git tree.
    commit: Option<String>,
}

/// How far it went.
pub(super) struct Rebased {
    /// Of all patches.
    subjects: Vec<String>,
    pub conflict: Option<Conflict>,
}

/// The patch that does not apply: nothing behind it was tried.
pub(super) struct Conflict {
    index: usize,
    /// Each file, and what is wrong with it.
    files: Vec<String>,
}

pub(super) fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    let out = match &args.out {
        Some(dir) => std::path::absolute(dir)?,
        None => ctx.target.join("series/rebased"),
    };
    let rebased = rebase(ctx, &Onto::new(&args.tree)?, &args.form, &out)?;
    let report = rebased.report();
    files::write_atomic(&out.join("report.txt"), report.as_bytes())?;
    print!("{report}");
    println!("\n{}", ui::short(&ctx.repo, &out));
    Ok(ExitCode::from(u8::from(rebased.conflict.is_some())))
}

impl Onto {
    pub(super) fn new(dir: &Path) -> Result<Self> {
        let dir = fs::canonicalize(dir)?;
        ensure!(
            dir.join("Kbuild").exists() && dir.join("rust/kernel").exists(),
            "{} is not a Linux tree with Rust",
            dir.display()
        );
        let commit = if dir.join(".git").exists() {
            let words = ["-C", dir.to_str().context("a path that is not text")?];
            let head = exec::output("git", &[&words[..], &["rev-parse", "HEAD"]].concat());
            Some(head.with_context(|| format!("{} has no commit", dir.display()))?)
        } else {
            None
        };
        Ok(Self { dir, commit })
    }

    /// A file as the other kernel has it.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let Some(commit) = &self.commit else {
            let path = self.dir.join(path);
            return Ok(path.exists().then(|| fs::read(path)).transpose()?);
        };
        let output = Command::new("git")
            .arg("-C")
            .arg(&self.dir)
            .args(["cat-file", "blob", &format!("{commit}:{path}")])
            .output()?;
        Ok(output.status.success().then_some(output.stdout))
    }

    fn base(&self) -> String {
        if let Some(commit) = &self.commit {
            return format!("base-commit: {commit}");
        }
        let makefile = fs::read_to_string(self.dir.join("Makefile")).unwrap_or_default();
        let value = |name: &str| {
            let line = makefile.lines().find_map(|line| line.strip_prefix(name));
            let value = line.and_then(|rest| rest.trim_start().strip_prefix('='));
            value.map_or("?", str::trim).to_owned()
        };
        let [version, level, sub] = ["VERSION", "PATCHLEVEL", "SUBLEVEL"].map(value);
        format!("base: Linux {version}.{level}.{sub}")
    }
}

/// Applies one patch after the other, and stops at the first that does not apply.
pub(super) fn rebase(ctx: &Ctx, onto: &Onto, form: &Form, out: &Path) -> Result<Rebased> {
    let source = fetch::source(ctx)?;
    let made = Series::make(ctx, &source, form.signoff)?;
    let letter = made.letter(ctx)?;
    let work = tempfile::tempdir()?;
    let mails = mail::write(&made.git, &letter, work.path())?;
    let mails: Vec<_> = mails.iter().filter(|path| !mail::is_cover(path)).collect();
    let manifest = made.manifest;
    let paths = paths(ctx, &manifest)?;

    let step = Step::bar("apply the patches", mails.len() as u64);
    let scratch = tree::scratch_dir(ctx)?;
    for path in &paths {
        if let Some(content) = onto.read(path)? {
            files::write_atomic(&scratch.path().join(path), &content)?;
        }
    }
    let git = Git::new(scratch, Who::new(ctx, false)?)?;
    // What the patches were made for: with it, git can merge and not only apply.
    let from = made.git.dir().to_str().context("a path that is not text")?;
    git.run(&["fetch", "--quiet", from, "base"])?;
    let kept = out.join("conflicts");
    if kept.exists() {
        fs::remove_dir_all(&kept)?;
    }
    let mut conflict = None;
    for (index, mail) in mails.iter().enumerate() {
        step.at(index as u64, mails.len() as u64, "");
        let path = mail.to_str().context("a path that is not text")?;
        let output = git.try_run(&["am", "--quiet", "--3way", path])?;
        if !output.status.success() {
            conflict = Some(Conflict {
                index,
                files: conflicting(&git, &String::from_utf8_lossy(&output.stderr), &kept)?,
            });
            git.run(&["am", "--abort"])?;
            break;
        }
    }
    let rebased = Rebased {
        subjects: subjects(ctx, &manifest)?,
        conflict,
    };
    let applied = rebased.applied();
    step.done(&format!("{applied} of {}", mails.len()));
    // Patches of an earlier run must not look like those of this one, also where there are none.
    let letter = Letter {
        base: onto.base(),
        ..letter
    };
    form.write(ctx, &git, letter, out)?;
    Ok(rebased)
}

impl Rebased {
    fn applied(&self) -> usize {
        self.conflict
            .as_ref()
            .map_or(self.subjects.len(), |conflict| conflict.index)
    }

    /// What a person reads: each patch, and what came of it.
    pub(super) fn report(&self) -> String {
        let mut text = String::new();
        for (index, subject) in self.subjects.iter().enumerate() {
            let conflict = self.conflict.as_ref().filter(|one| one.index == index);
            let word = match (conflict, index < self.applied()) {
                (Some(_), _) => "CONFLICT",
                (None, true) => "applies",
                (None, false) => "not tried",
            };
            let _ = writeln!(text, "{word:9}  {:04}  {subject}", index + 1);
            for file in conflict.iter().flat_map(|one| &one.files) {
                let _ = writeln!(text, "                 {file}");
            }
        }
        let (applied, all) = (self.applied(), self.subjects.len());
        let _ = writeln!(text, "\n{applied} of {all} patches apply");
        text
    }
}

/// Names the files that kept a patch from applying, and what is wrong with each. Those in which git
/// has marked the places are put into `kept`.
fn conflicting(git: &Git, said: &str, kept: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for line in git.text(&["status", "--porcelain"])?.lines() {
        let (code, path) = line.split_at_checked(3).unwrap_or_default();
        let what = match code.trim_end() {
            "UU" => "changed on both sides",
            "AA" => "added on both sides",
            "DU" => "is not there, or was removed",
            "UD" => "changed there, removed here",
            _ => continue,
        };
        let content = fs::read(git.dir().join(path)).unwrap_or_default();
        let marks = String::from_utf8_lossy(&content);
        let places = marks.lines().filter(|line| line.starts_with("<<<<<<< "));
        let places = match places.count() {
            0 => String::new(),
            count => format!(", {count}x, see {}", kept.join(path).display()),
        };
        if !places.is_empty() {
            files::write_atomic(&kept.join(path), &content)?;
        }
        found.push(format!("{path}: {what}{places}"));
    }
    // git could not even try to merge.
    if found.is_empty() {
        let errors = said.lines().filter_map(|line| line.strip_prefix("error: "));
        found.extend(errors.map(str::to_owned));
    }
    ensure!(!found.is_empty(), "git am failed: {}", said.trim());
    Ok(found)
}

/// All that the series edits or adds: what the other kernel has of it matters.
fn paths(ctx: &Ctx, manifest: &Manifest) -> Result<BTreeSet<String>> {
    let mut paths = tree::touched(ctx, &manifest.commits)?;
    paths.extend(
        manifest
            .commits
            .iter()
            .flat_map(|commit| commit.files.clone()),
    );
    Ok(paths)
}

fn subjects(ctx: &Ctx, manifest: &Manifest) -> Result<Vec<String>> {
    let commits = manifest.commits.iter();
    commits
        .map(|commit| {
            let text = super::message(ctx, &commit.message)?;
            Ok(text.lines().next().unwrap_or_default().to_owned())
        })
        .collect()
}
