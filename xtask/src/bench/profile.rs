// SPDX-License-Identifier: GPL-2.0

//! Where a case spends its instructions, by the functions of the kernel.

use super::{
    Cases,
    count,
    known,
    machine, //
};
use crate::{
    build::Kernel,
    ctx::Ctx,
    report::Folder,
    tools::Toolchain,
    ui,
    userspace, //
};
use anyhow::{
    Context,
    Result,
    bail, //
};
use fs_err as fs;
use std::{
    collections::BTreeMap,
    path::Path,
    process::{
        Command,
        ExitCode, //
    },
};

/// Functions that take less than one in so many instructions are not told.
const LEAST: u64 = 400;

/// Runs the case with a plugin that counts, and prints the functions.
pub fn run(
    ctx: &Ctx,
    kernel: &Kernel,
    initramfs: &Path,
    folder: &Folder,
    case: &str,
) -> Result<ExitCode> {
    let known = known(ctx)?;
    if !known.contains_key(case) {
        let names: Vec<_> = known.keys().map(String::as_str).collect();
        bail!(
            "there is no case {case:?}; there are:\n  {}",
            names.join("\n  ")
        );
    }
    let plugin = userspace::build_library(ctx, "counter")?;
    let blocks = folder.file("blocks");
    let mut machine = machine(&kernel.image, initramfs, Cases::One(case));
    machine.arg("-plugin");
    machine.arg(format!("{},out={}", plugin.display(), blocks.display()));
    let figures = count(machine, &mut folder.log("console.log")?, &known)?;
    fs::remove_file(initramfs)?;
    let (_, each) = figures.first().context("the case was not run")?;

    let llvm = Toolchain::find(ctx)?.llvm;
    let functions = functions(&format!("llvm-nm{llvm}"), &kernel.image)?;
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for line in fs::read_to_string(&blocks)?.lines() {
        let (addr, count) = line.split_once(' ').context("half a line")?;
        let addr = u64::from_str_radix(addr, 16)?;
        let function = functions.range(..=addr).next_back();
        let function = function.map_or("(programs)", |(_, name)| name);
        *counts.entry(function).or_default() += count.parse::<u64>()?;
    }
    let all: u64 = counts.values().sum();
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (function, count) in counts.iter().filter(|(_, count)| count * LEAST > all) {
        println!(
            "{:>9} {:>5.1}%  {function}",
            each * count / all,
            100.0 * share(*count, all)
        );
    }
    ui::note(&format!("results: {}", folder.path.display()));
    Ok(ExitCode::SUCCESS)
}

/// One number as a part of another one.
#[expect(clippy::cast_precision_loss, reason = "it is for people")]
fn share(part: u64, all: u64) -> f64 {
    part as f64 / all as f64
}

/// The functions of a kernel, by their addresses.
fn functions(nm: &str, kernel: &Path) -> Result<BTreeMap<u64, String>> {
    let output = Command::new(nm).args(["-n", "-C"]).arg(kernel).output();
    let output = output.with_context(|| format!("cannot run {nm}"))?;
    let mut functions = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let mut words = line.splitn(3, ' ');
        let (Some(addr), Some(kind), Some(name)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        if matches!(kind, "t" | "T" | "w" | "W") {
            functions.insert(u64::from_str_radix(addr, 16)?, name.to_owned());
        }
    }
    Ok(functions)
}
