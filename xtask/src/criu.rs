// SPDX-License-Identifier: GPL-2.0

//! `criu`: what CRIU brings back of sockets, by itself and with `inetcr criu-hook`, in a guest.

mod table;

use crate::{
    ctx::Ctx,
    flavour::Flavour,
    needs::{
        CRIU,
        Group, //
    },
    setup,
    tools,
    verdict::Outcome,
    vm,
    vm_test::suite::Suite, //
};
use anyhow::Result;
use std::process::ExitCode;
use table::Table;

/// The flavour of the kernel.
const FLAVOUR: &str = "criu";

/// What each line of the table begins with, in what the tests print.
const LINE: &str = "table: ";

#[derive(clap::Args)]
pub struct Args {
    /// Take the kernel and the programs as the last build left them.
    #[arg(long)]
    no_build: bool,
    /// Only tests whose name matches this pattern (with * and ?): `criu::another_network`.
    #[arg(long, short = 't', value_name = "GLOB", conflicts_with = "update")]
    filter: Vec<String>,
    /// Write what was found of each item into the repository, and its documents.
    #[arg(long)]
    update: bool,
}

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    setup::require(ctx, &[Group::Criu])?;
    let flavour = Flavour::named(FLAVOUR)?;
    let (kernel, programs) = vm::parts(ctx, &flavour, args.no_build)?;
    let criu = CRIU.program_in(&tools::criu(ctx));
    // What CRIU says is worth reading as it comes.
    let words = ["--live", "--criu", &criu.display().to_string()].map(str::to_owned);
    let suite = Suite {
        name: FLAVOUR,
        flavour: &flavour,
        kernel: &kernel,
        programs: &programs,
        words: words.into(),
        filter: &args.filter,
        line: LINE,
    };
    let mut found = Table::default();
    let verdict = suite.run(ctx, &mut |row| found.add(row))?.finish()?;
    if args.update && verdict.outcome == Outcome::Passed {
        found.write(ctx)?;
    }
    let changed = if args.filter.is_empty() && !args.update {
        found.changes(&Table::known(ctx)?)
    } else {
        Vec::new()
    };
    for line in &changed {
        println!("{line}");
    }
    println!("{}", verdict.totals);
    Ok(match verdict.outcome {
        Outcome::Passed if !changed.is_empty() => Outcome::Failed.into(),
        outcome => outcome.into(),
    })
}
