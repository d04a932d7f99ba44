// SPDX-License-Identifier: GPL-2.0

//! `bench`: what checkpoint and restore cost, in instructions of the guest.
//!
//! QEMU counts them (`-icount`), whatever else the host does, so that they are the same again. The
//! machine is as plain as it can be: one processor of a fixed kind, an initramfs with one program
//! and nothing from the host.

mod beside_c;
mod goals;
mod off;
mod page;
mod plot;
mod profile;
mod readme;

use crate::{
    arch::Arch,
    build::{
        self,
        Kernel, //
    },
    ctx::Ctx,
    exec,
    flavour::Flavour,
    image::archive::{
        self,
        Entry, //
    },
    needs::Group,
    pin,
    report::{
        Folder,
        Log, //
    },
    setup,
    tools::Toolchain,
    ui::{
        self,
        Step, //
    },
    userspace::{
        self,
        Programs, //
    },
};
use anyhow::{
    Context,
    Result,
    bail, //
};
use fs_err as fs;
use std::{
    collections::BTreeMap,
    io::{
        BufRead as _,
        BufReader, //
    },
    path::Path,
    process::{
        Command,
        ExitCode,
        Stdio, //
    },
};

/// The figures that are expected, in the repository.
const FIGURES: &str = "userspace/bench/figures.json";

/// By how much a case may be dearer, in percent.
const MORE: u64 = 2;

/// What allocates much and keeps it: it goes by what the allocator has at hand, thus by where the
/// machine has its memory. (With an initramfs of another size, 3,750 become 3,900.)
const KEEPS: &str = "restore of a queue";

/// The same for what [`KEEPS`].
const MORE_IF_IT_KEEPS: u64 = 5;

const QEMU: &str = "qemu-system-x86_64";

/// How long the machine may live, in seconds.
const LIFE: u64 = 1800;

#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools)]
pub struct Args {
    /// Fail if a case has become more than 2% dearer than the figures in the repository (5% if it
    /// restores queues).
    #[arg(long)]
    check: bool,
    /// Write the figures into the repository.
    #[arg(long, conflicts_with = "check")]
    update: bool,
    /// Tell in which functions of the kernel this case spends its instructions.
    #[arg(long, value_name = "CASE", conflicts_with_all = ["check", "update"])]
    profile: Option<String>,
    /// Also count what takes a machine with more memory and some minutes: 1,000,000 sockets.
    #[arg(long, conflicts_with = "profile")]
    large: bool,
    /// Also count the family in C that is there for that, beside the one in Rust, in a kernel that
    /// loads it as a module.
    #[arg(long, conflicts_with = "profile")]
    c: bool,
    /// Also count sending and receiving in a kernel without the family, and fail if they do not take
    /// the same there.
    #[arg(long, conflicts_with = "profile")]
    off: bool,
}

/// What is written into the folder of the run: for people, and for programs.
const PAGE: &str = "bench.html";
const RESULTS: &str = "figures.json";

/// What the names of the cases have that are counted by `--large` only. The program knows it, too.
const LARGE: &str = "1,000,000";

/// How much memory the machine has, in MiB; with so many sockets, of which each takes 2.7 KiB.
const MEMORY: &str = "1024";
const MEMORY_LARGE: &str = "6144";

/// Instructions by the name of the case.
type Figures = BTreeMap<String, u64>;

/// Which cases a machine counts.
#[derive(Clone, Copy)]
enum Cases<'a> {
    /// All but the large ones.
    Usual,
    Large,
    /// This one.
    One(&'a str),
    /// Those of the family in C and their like in Rust, or this one of them.
    BesideC(Option<&'a str>),
    /// Those that need no family.
    Plain,
}

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    setup::require(ctx, &[Group::Build, Group::Vm])?;
    let kernel = build::kernel(ctx, &Flavour::plain()?)?;
    let step = Step::new("build bench");
    let programs = userspace::build_static(&ctx.repo, &["bench"], Arch::OWN)?;
    step.done("");
    let folder = Folder::new(ctx, "bench", None, false)?;
    let known = known(ctx)?;
    if let Some(case) = &args.profile {
        tell(ctx, &kernel, &programs, &folder, case, &known)?;
        ui::note(&format!("results: {}", folder.path.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let initramfs = folder.file("initramfs");
    self::initramfs(&programs, &[], &initramfs)?;
    let machine = |cases| machine(&kernel.image, &initramfs, cases);
    let mut log = folder.log("console.log")?;
    let mut counted = count(machine(Cases::Usual), &mut log, &known)?;
    if args.large {
        counted.extend(count(machine(Cases::Large), &mut log, &known)?);
    }
    let mut wrong = Vec::new();
    if args.off {
        let figures = counted.iter().cloned().collect();
        wrong.extend(off::run(ctx, &initramfs, &mut log, &figures)?);
    }
    fs::remove_file(&initramfs)?;
    let beside_c = if args.c {
        let (more, found) = beside_c::run(ctx, &programs, &folder, &mut log, &known)?;
        counted.extend(more);
        Some(found)
    } else {
        None
    };
    let mut figures: Figures = counted.iter().cloned().collect();
    if let Some(found) = &beside_c {
        beside_c::print(&figures, found);
    }
    let text = serde_json::to_string_pretty(&figures)? + "\n";
    fs::write(folder.file(RESULTS), &text)?;
    fs::write(
        folder.file(PAGE),
        page::page(&counted, &known, &facts(ctx, &kernel)?, beside_c.as_ref())?,
    )?;
    ui::note(&format!("page: {}", folder.file(PAGE).display()));

    let skipped =
        |case: &str| (!args.large && case.contains(LARGE)) || (!args.c && beside_c::has(case));
    if args.update {
        let kept = known.iter().filter(|(case, _)| skipped(case));
        figures.extend(kept.map(|(case, figure)| (case.clone(), *figure)));
        let text = serde_json::to_string_pretty(&figures)? + "\n";
        fs::write(ctx.repo(FIGURES), &text)?;
        ui::note(&format!("{FIGURES}: written"));
        readme::update(ctx, &figures)?;
        goals::update(ctx, &figures)?;
        plot::update(ctx, &figures)?;
    }
    if !args.check && !args.off {
        return Ok(ExitCode::SUCCESS);
    }
    if args.check {
        let mut known = known;
        known.retain(|case, _| !skipped(case));
        wrong.extend(dearer(&known, &figures));
    }
    for line in &wrong {
        println!("{line}");
    }
    println!(
        "{} passed, {} failed",
        figures.len().saturating_sub(wrong.len()),
        wrong.len()
    );
    Ok(ExitCode::from(u8::from(!wrong.is_empty())))
}

/// Tells in which functions a case spends its instructions.
fn tell(
    ctx: &Ctx,
    kernel: &Kernel,
    programs: &Programs,
    folder: &Folder,
    case: &str,
    known: &Figures,
) -> Result<()> {
    if !known.contains_key(case) {
        let names: Vec<_> = known.keys().map(String::as_str).collect();
        bail!(
            "there is no case {case:?}; there are:\n  {}",
            names.join("\n  ")
        );
    }
    if beside_c::has(case) {
        return beside_c::profile(ctx, programs, folder, case, known);
    }
    let initramfs = folder.file("initramfs");
    self::initramfs(programs, &[], &initramfs)?;
    profile::run(ctx, kernel, &initramfs, folder, case, known)?;
    Ok(fs::remove_file(&initramfs)?)
}

/// Writes what the machine begins with. The program is the first process, and beside it there are
/// these files only.
fn initramfs(programs: &Programs, files: &[(&str, Vec<u8>)], path: &Path) -> Result<()> {
    let program = Entry::File {
        content: fs::read(programs.get("bench")?)?,
        program: true,
    };
    let files = files.iter().map(|(name, content)| {
        let file = Entry::File {
            content: content.clone(),
            program: false,
        };
        (*name, file)
    });
    let entries: Vec<_> = std::iter::once(("init", program)).chain(files).collect();
    let entries = entries.iter().map(|(name, entry)| (*name, entry));
    archive::write(fs::File::create(path)?, entries)?;
    Ok(())
}

/// What a reader of the page is told of the run.
fn facts(ctx: &Ctx, kernel: &Kernel) -> Result<Vec<(&'static str, String)>> {
    let machine = machine(Path::new("KERNEL"), Path::new("INITRAMFS"), Cases::Usual);
    let words = machine.get_args().map(|word| word.to_string_lossy());
    Ok(vec![
        ("commit", kernel.commit()),
        ("kernel", format!("Linux {}", pin::load(ctx)?.version)),
        ("compilers", Toolchain::find(ctx)?.fingerprint()),
        (
            "machine",
            words
                .skip_while(|word| word != QEMU)
                .collect::<Vec<_>>()
                .join(" "),
        ),
    ])
}

fn known(ctx: &Ctx) -> Result<Figures> {
    let path = ctx.repo(FIGURES);
    if !path.exists() {
        return Ok(Figures::new());
    }
    serde_json::from_str(&fs::read_to_string(&path)?).with_context(|| path.display().to_string())
}

/// The machine that counts these cases.
fn machine(kernel: &Path, initramfs: &Path, cases: Cases<'_>) -> Command {
    let (memory, which) = match cases {
        Cases::Usual => (MEMORY, String::new()),
        Cases::Large => (MEMORY_LARGE, " BENCH_LARGE=1".to_owned()),
        Cases::One(case) => (
            if case.contains(LARGE) {
                MEMORY_LARGE
            } else {
                MEMORY
            },
            format!(" BENCH_CASE=\"{case}\""),
        ),
        Cases::BesideC(None) => (MEMORY, " BENCH_C=1".to_owned()),
        Cases::Plain => (MEMORY, " BENCH_PLAIN=1".to_owned()),
        Cases::BesideC(Some(case)) => (MEMORY, format!(" BENCH_C=1 BENCH_CASE=\"{case}\"")),
    };
    let mut command = exec::within(LIFE, QEMU);
    command.args(["-accel", "tcg", "-icount", "shift=0,sleep=off"]);
    command.args(["-cpu", "qemu64", "-smp", "1", "-m", memory, "-nodefaults"]);
    command.args(["-display", "none", "-serial", "stdio", "-no-reboot"]);
    command.arg("-kernel").arg(kernel);
    command.arg("-initrd").arg(initramfs);
    command.arg("-append").arg(format!(
        "console=ttyS0 loglevel=4 panic=-1 oops=panic nokaslr kunit.enable=0{which}"
    ));
    command
}

/// Runs the machine, and prints each figure as it comes.
fn count(machine: Command, log: &mut Log, known: &Figures) -> Result<Vec<(String, u64)>> {
    count_with(machine, log, known, |_| ())
}

/// The same, and gives away what else the machine says, line by line.
fn count_with(
    mut machine: Command,
    log: &mut Log,
    known: &Figures,
    mut other: impl FnMut(&str),
) -> Result<Vec<(String, u64)>> {
    let step = Step::new("count instructions (QEMU, TCG with -icount)");
    let mut child = machine
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start QEMU: `cargo xtask doctor` says what is missing")?;
    let mut figures = Vec::new();
    let mut done = false;
    let output = child.stdout.take().context("no output")?;
    let mut lines = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line?;
        let line = line.trim_end();
        log.line(line);
        if let Some((name, number)) = line
            .strip_prefix("bench ")
            .and_then(|line| line.rsplit_once(' '))
        {
            let number: u64 = number.parse().with_context(|| line.to_owned())?;
            let was = known.get(name).filter(|was| **was != number);
            let was = was.map_or(String::new(), |was| format!("  (was {was})"));
            println!("{number:>12}  {name}{was}");
            figures.push((name.to_owned(), number));
        } else if line == "done" {
            done = true;
        } else if !line.is_empty() {
            other(line);
            lines.push(line.to_owned());
        }
    }
    child.wait()?;
    if !done || figures.is_empty() {
        let last: Vec<_> = lines.iter().rev().take(15).rev().cloned().collect();
        bail!("the machine did not come to its end:\n{}", last.join("\n"));
    }
    step.done(&format!("{} cases", figures.len()));
    Ok(figures)
}

/// What has become dearer, or is not there.
fn dearer(known: &Figures, figures: &Figures) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, number) in figures {
        let more = if name.starts_with(KEEPS) {
            MORE_IF_IT_KEEPS
        } else {
            MORE
        };
        match known.get(name) {
            None => wrong.push(format!("{name}: not in {FIGURES} (--update writes it)")),
            Some(was) if number * 100 > was * (100 + more) => {
                wrong.push(format!("{name}: {number}, was {was}"));
            }
            Some(_) => {}
        }
    }
    for name in known.keys().filter(|name| !figures.contains_key(*name)) {
        wrong.push(format!("{name}: not counted any more"));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dearer_is_told() {
        let of = |pairs: &[(&str, u64)]| -> Figures {
            pairs
                .iter()
                .map(|(name, number)| ((*name).to_owned(), *number))
                .collect()
        };
        let known = of(&[
            ("dump", 1000),
            ("restore", 1000),
            ("queue", 1000),
            ("restore of a queue: a", 1000),
            ("restore of a queue: b", 1000),
        ]);
        let now = of(&[
            ("dump", 1020),
            ("restore", 1021),
            ("new", 1),
            ("restore of a queue: a", 1050),
            ("restore of a queue: b", 1051),
        ]);
        let wrong = dearer(&known, &now);
        assert_eq!(wrong.len(), 4, "{wrong:?}");
        assert!(wrong.iter().any(|line| line.contains("queue: b")));
        assert!(wrong.iter().any(|line| line.starts_with("restore")));
        assert!(wrong.iter().any(|line| line.starts_with("new")));
        assert!(wrong.iter().any(|line| line.starts_with("queue")));
    }
}
