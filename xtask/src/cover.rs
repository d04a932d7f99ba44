// SPDX-License-Identifier: GPL-2.0

//! `cover`: which lines of ours the tests reach in the kernel, by KCOV.

mod code;
mod page;

use crate::{
    ctx::Ctx,
    flavour::Flavour,
    report::Folder,
    ui::Step,
    verdict::Outcome,
    vm::{
        self,
        Kernel, //
    },
    vm_test::suite::Suite, //
};
use anyhow::{
    Context,
    Result, //
};
use code::Lines;
use fs_err as fs;
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::Path,
    process::ExitCode, //
};

/// The flavour of the kernel.
const FLAVOUR: &str = "cover";

/// What the lines begin with in which the tests say what was reached.
const LINE: &str = "# reached ";

/// What is written into the folder of the run: for people, and for what reads LCOV's files.
const PAGE: &str = "cover.html";
const LCOV: &str = "lcov.info";

/// What the help ends with.
const EXAMPLES: &str = "\
Examples:
  cargo xtask cover
  cargo xtask cover --no-build --filter 'options::*'";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Take the kernel and the programs as the last build left them.
    #[arg(long)]
    no_build: bool,
    /// Only what tests reach whose name matches this pattern (with * and ?).
    #[arg(long, short = 't', value_name = "GLOB")]
    filter: Vec<String>,
}

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    let flavour = Flavour::named(FLAVOUR)?;
    let (kernel, programs) = vm::parts(ctx, &flavour, args.no_build)?;
    // Before the tests, which take long.
    let root = kernel.tree().with_context(|| {
        let kernel = kernel.image.display();
        format!("the sources of {kernel} are not there any more: run without --no-build")
    })?;
    let suite = Suite {
        name: FLAVOUR,
        flavour: &flavour,
        kernel: &kernel,
        programs: &programs,
        words: vec!["--cover".to_owned()],
        filter: &args.filter,
        line: LINE,
    };
    let mut said = Vec::new();
    let ran = suite.run(ctx, &mut |places| said.push(places.to_owned()))?;
    let lines = look_up(&said.join(" "), &kernel, &root, ran.folder());
    // The results are written also if that did not work.
    let verdict = ran.finish()?;
    let Some(lines) = lines? else {
        println!("no test has said what it reached");
        println!("{}", verdict.totals);
        return Ok(match verdict.outcome {
            Outcome::Passed => Outcome::Infrastructure.into(),
            outcome => outcome.into(),
        });
    };
    println!("\n{}", lines.table());
    println!("{}", verdict.totals);
    Ok(verdict.outcome.into())
}

/// Writes which lines were reached, by what the tests have said, if they have.
fn look_up(said: &str, kernel: &Kernel, root: &Path, folder: &Folder) -> Result<Option<Lines>> {
    let reached = places(said)?;
    if reached.is_empty() {
        return Ok(None);
    }
    let step = Step::new("look up the lines that were reached");
    let lines = Lines::of(&kernel.image, &reached)?;
    fs::write(folder.file(PAGE), page::page(&lines, root)?)?;
    fs::write(folder.file(LCOV), lines.lcov(root))?;
    step.done(&folder.file(PAGE).display().to_string());
    Ok(Some(lines))
}

/// The places, as the tests have written them.
fn places(said: &str) -> Result<BTreeSet<u64>> {
    let words = said.split_whitespace();
    let places = words.map(|word| u64::from_str_radix(word, 16).context("no place in the kernel"));
    places.collect()
}

/// So many of so many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Share {
    reached: usize,
    all: usize,
}

impl Share {
    fn percent(self) -> String {
        let tenths = self.reached * 1000 / self.all.max(1);
        format!("{}.{} %", tenths / 10, tenths % 10)
    }
}

impl std::iter::Sum for Share {
    fn sum<I: Iterator<Item = Self>>(shares: I) -> Self {
        shares.fold(Self::default(), |sum, share| Self {
            reached: sum.reached + share.reached,
            all: sum.all + share.all,
        })
    }
}

impl Lines {
    /// Each file, and how much of it was reached.
    fn files(&self) -> impl Iterator<Item = (&str, Share)> {
        self.0.iter().map(|(file, lines)| {
            let reached = lines.values().filter(|reached| **reached).count();
            let all = lines.len();
            (file.as_str(), Share { reached, all })
        })
    }

    /// For the terminal: a line for each file, and one for all.
    fn table(&self) -> String {
        let width = self.0.keys().map(String::len).max().unwrap_or_default();
        let all: Share = self.files().map(|(_, share)| share).sum();
        let mut table = String::new();
        for (file, share) in self.files().chain([("all", all)]) {
            let (Share { reached, all }, percent) = (share, share.percent());
            // Writing to a string does not fail.
            let _ = writeln!(table, "{file:width$} {reached:5} of {all:5} {percent:>8}");
        }
        table
    }

    /// As LCOV writes it, with paths below `root`.
    fn lcov(&self, root: &Path) -> String {
        let mut text = String::new();
        for ((file, share), lines) in self.files().zip(self.0.values()) {
            // Writing to a string does not fail.
            let _ = writeln!(text, "SF:{}", root.join(file).display());
            for (line, reached) in lines {
                let _ = writeln!(text, "DA:{line},{}", u8::from(*reached));
            }
            let (Share { reached, all }, end) = (share, "end_of_record");
            let _ = writeln!(text, "LH:{reached}\nLF:{all}\n{end}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn what_tests_say_is_read() {
        let places = places(" ffffffff81000010 ffffffff81000010 \n ffffffff82000000").unwrap();
        let expected = BTreeSet::from([0xffff_ffff_8100_0010, 0xffff_ffff_8200_0000]);
        assert_eq!(places, expected);
        assert!(super::places("what").is_err());
    }

    #[test]
    fn files_are_summed_up() {
        let lines = Lines(BTreeMap::from([
            ("a.rs".to_owned(), BTreeMap::from([(3, true), (5, false)])),
            ("bb.rs".to_owned(), BTreeMap::from([(7, true)])),
        ]));
        let expected = "\
a.rs      1 of     2   50.0 %
bb.rs     1 of     1  100.0 %
all       2 of     3   66.6 %
";
        assert_eq!(lines.table(), expected);
        let expected = "\
SF:/tree/a.rs
DA:3,1
DA:5,0
LH:1
LF:2
end_of_record
SF:/tree/bb.rs
DA:7,1
LH:1
LF:1
end_of_record
";
        assert_eq!(lines.lcov(Path::new("/tree")), expected);
    }
}
