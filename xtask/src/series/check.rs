// SPDX-License-Identifier: GPL-2.0

//! `series check`: what netdev's own checks would say, patch by patch.

mod b4;
mod build;
mod message;
mod mistakes;
mod place;
mod programs;
mod table;

use super::{
    Series,
    git::Git,
    mail, //
};
use crate::{
    ctx::Ctx,
    exec,
    fetch,
    lint,
    tools::{
        self,
        Toolchain, //
    },
    tree,
    ui::Step, //
};
use anyhow::{
    Context,
    Result,
    ensure, //
};
use fs_err as fs;
use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        atomic::{
            AtomicUsize,
            Ordering, //
        },
        mpsc::channel, //
    },
    thread,
};
use table::Table;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Also build the kernel after each commit, with CLIPPY=1 W=1 C=1, and at the end the
    /// documentation. Takes an hour.
    #[arg(long)]
    build: bool,
    /// Begin --build with this commit, counted from 1.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "build")]
    from: usize,
    /// Check the checks instead: a series that has one mistake for each of them has to come out
    /// red just there.
    #[arg(long, conflicts_with = "build")]
    mistakes: bool,
}

/// What a check may look at beside the patch.
struct World<'a> {
    git: &'a Git,
    /// A tree that has the series.
    tree: PathBuf,
    rustfmt: PathBuf,
    b4: PathBuf,
    /// What the kernel's own programs are run by.
    python: PathBuf,
    /// How many patches there are.
    count: usize,
    /// Whether each commit has to say by what it was assisted.
    assisted: bool,
}

/// A patch, or the cover letter.
struct Patch {
    /// From 1; the cover letter is 0.
    number: usize,
    mail: PathBuf,
    /// With subject and tags.
    message: String,
    files: Vec<File>,
}

/// A file that a patch touches.
struct File {
    path: String,
    executable: bool,
    before: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
}

/// What a check says of a patch.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// It has nothing to do with it.
    Nothing,
    Clean,
    /// It cannot be said here, and why.
    Unable(String),
    Red(String),
}

type Check = fn(&World<'_>, &Patch) -> Result<Finding>;

/// The checks that take seconds.
const CHECKS: [(&str, Check); 10] = [
    ("form", message::form),
    ("tags", message::tags),
    ("checkpatch", programs::checkpatch),
    ("kernel-doc", programs::kernel_doc),
    ("rustfmt", programs::rustfmt),
    ("spec", programs::spec),
    ("docs", programs::docs),
    ("maintainers", place::maintainers),
    ("selftest", place::selftest),
    ("b4", b4::check),
];

pub(super) fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    if args.mistakes {
        return mistakes::run(ctx);
    }
    let source = fetch::source(ctx)?;
    let series = Series::make(ctx, &source, false)?;
    let letter = series.letter(ctx)?;
    let mails = mail::write(&series.git, &letter, &ctx.target.join("series/checked"))?;
    let world = World::new(ctx, &series.git, series.manifest.assisted_by.is_some())?;
    let patches = world.patches(&letter.cover, mails)?;
    let mut table = check(&world, &patches, ctx.jobs)?;
    if args.build {
        build::each(ctx, &patches, args.from, &mut table)?;
    }
    table.print(ctx, "series-check")
}

/// Runs the quick checks, each on several patches at a time.
fn check(world: &World<'_>, patches: &[Patch], jobs: usize) -> Result<Table> {
    let mut table = Table::new(patches.iter().map(Patch::name).collect());
    for (name, check) in CHECKS {
        let step = Step::new(name);
        let found = column(world, patches, jobs, check, &step).with_context(|| name)?;
        let red = found.iter().filter(|one| matches!(one, Finding::Red(_)));
        let red = red.count();
        step.done(&if red == 0 {
            "clean".to_owned()
        } else {
            format!("{red} RED")
        });
        table.add(name, found);
    }
    Ok(table)
}

fn column(
    world: &World<'_>,
    patches: &[Patch],
    jobs: usize,
    check: Check,
    step: &Step,
) -> Result<Vec<Finding>> {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = channel();
    let mut found: Vec<_> = patches.iter().map(|_| None).collect();
    thread::scope(|scope| {
        for _ in 0..jobs {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(patch) = patches.get(index) else {
                        return;
                    };
                    let result = check(world, patch).with_context(|| patch.name());
                    if sender.send((index, result)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (done, (index, result)) in receiver.iter().enumerate() {
            step.at(done as u64, patches.len() as u64, &patches[index].name());
            found[index] = Some(result?);
        }
        Ok(())
    })
    .and_then(|()| found.into_iter().collect::<Option<_>>().context("a panic"))
}

impl<'a> World<'a> {
    fn new(ctx: &Ctx, git: &'a Git, assisted: bool) -> Result<Self> {
        Ok(Self {
            git,
            tree: tree::prepare(ctx, false)?.dir,
            rustfmt: Toolchain::find(ctx)?.rust.rustc.with_file_name("rustfmt"),
            b4: tools::b4(ctx).join("bin/b4"),
            python: lint::python(ctx),
            count: git.commits("base", "series")?.len(),
            assisted,
        })
    }

    /// The commits as they are now, and the files that `git format-patch` has made of them.
    fn patches(&self, cover: &str, mails: Vec<PathBuf>) -> Result<Vec<Patch>> {
        let commits = self.git.commits("base", "series")?;
        ensure!(
            mails.len() == commits.len() + 1,
            "{} files of {} commits",
            mails.len(),
            commits.len()
        );
        let mut mails = mails.into_iter();
        let mut patches = vec![Patch {
            number: 0,
            mail: mails.next().context("no cover letter")?,
            message: cover.to_owned(),
            files: Vec::new(),
        }];
        for (commit, mail) in commits.iter().zip(mails) {
            let content = |name: Option<String>| {
                name.map(|name| self.git.bytes(&["cat-file", "blob", &name]))
                    .transpose()
            };
            let files = self.git.changes(commit)?.into_iter().map(|change| {
                Ok(File {
                    executable: change.mode == "100755",
                    before: content(change.before)?,
                    after: content(change.after)?,
                    path: change.path,
                })
            });
            patches.push(Patch {
                number: patches.len(),
                mail,
                message: self
                    .git
                    .text(&["show", "--no-patch", "--format=%B", commit])?,
                files: files.collect::<Result<_>>()?,
            });
        }
        Ok(patches)
    }

    /// A file as it is when all patches are applied.
    fn last(&self, path: &str) -> Option<String> {
        let ours = self.git.bytes(&["show", &format!("series:{path}")]).ok();
        let bytes = ours.or_else(|| fs::read(self.tree.join(path)).ok())?;
        String::from_utf8(bytes).ok()
    }
}

impl Patch {
    fn subject(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }

    fn name(&self) -> String {
        format!("{:04} {}", self.number, self.subject())
    }

    fn is_cover(&self) -> bool {
        self.number == 0
    }

    /// The files of one kind that are there afterwards, with their content.
    fn files<'a>(&'a self, ends: &'a [&str]) -> impl Iterator<Item = (&'a File, &'a [u8])> {
        self.files
            .iter()
            .filter(|file| ends.iter().any(|end| file.path.ends_with(end)))
            .filter_map(|file| Some((file, file.after.as_deref()?)))
    }
}

impl Finding {
    /// Clean if there is nothing to be said of a patch that the check applies to.
    fn of(applies: bool, problems: &[String]) -> Self {
        match (applies, problems.is_empty()) {
            (_, false) => Self::Red(problems.join("\n")),
            (true, true) => Self::Clean,
            (false, true) => Self::Nothing,
        }
    }
}

/// Where the log of a cell is.
fn log(ctx: &Ctx, run: &str, number: usize, check: &str) -> PathBuf {
    exec::log_path(ctx, &format!("{run}/{number:04}-{check}"))
}
