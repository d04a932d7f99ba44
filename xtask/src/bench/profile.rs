// SPDX-License-Identifier: GPL-2.0

//! Where a case spends its instructions, by the functions of the kernel.

use super::{
    Cases,
    Figures,
    count_with,
    machine, //
};
use crate::{
    build::Kernel,
    ctx::Ctx,
    report::Folder,
    tools::Toolchain,
    userspace, //
};
use anyhow::{
    Context,
    Result, //
};
use fs_err as fs;
use std::{
    collections::BTreeMap,
    path::Path,
    process::Command, //
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
    known: &Figures,
) -> Result<()> {
    let plugin = userspace::build_library(ctx, "counter")?;
    let tools = Toolchain::find(ctx)?;
    let machine = machine(&kernel.image, initramfs, Cases::One(case));
    spent(&tools, &plugin, machine, kernel, folder, known)?.print();
    Ok(())
}

/// A function of the kernel, or of a module.
pub struct Function {
    pub name: String,
    pub is_in_module: bool,
}

/// Where a case has spent its instructions.
pub struct Spent {
    /// How many it takes.
    pub each: u64,
    /// By address.
    all: BTreeMap<u64, Function>,
    /// What was executed while it was measured, by the address of the function.
    counts: Vec<(Option<u64>, u64)>,
}

/// Runs a machine, which counts one case, with the plugin.
pub fn spent(
    tools: &Toolchain,
    plugin: &Path,
    mut machine: Command,
    kernel: &Kernel,
    folder: &Folder,
    known: &Figures,
) -> Result<Spent> {
    let blocks = folder.file("blocks");
    machine.arg("-plugin");
    machine.arg(format!("{},out={}", plugin.display(), blocks.display()));
    let mut all = functions(&tools.tool("llvm-nm"), &kernel.image)?;
    let mut log = folder.log("console-profile.log")?;
    let figures = count_with(machine, &mut log, known, |line| {
        all.extend(in_module(line));
    })?;
    let (_, each) = figures.first().context("the case was not run")?;

    let mut counts: BTreeMap<Option<u64>, u64> = BTreeMap::new();
    for line in fs::read_to_string(&blocks)?.lines() {
        let (addr, count) = line.split_once(' ').context("half a line")?;
        let addr = u64::from_str_radix(addr, 16)?;
        let function = all.range(..=addr).next_back().map(|(addr, _)| *addr);
        *counts.entry(function).or_default() += count.parse::<u64>()?;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    Ok(Spent {
        each: *each,
        all,
        counts,
    })
}

impl Spent {
    fn sum(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }

    /// The functions and the instructions in each, for one time; the dearest first.
    pub fn functions(&self) -> Vec<(&Function, u64)> {
        let sum = self.sum();
        let counts = self.counts.iter();
        let functions = counts
            .filter_map(|(addr, count)| Some((self.all.get(&(*addr)?)?, self.each * count / sum)));
        functions.collect()
    }

    /// Prints those that take the most.
    pub fn print(&self) {
        let sum = self.sum();
        for (addr, count) in self.counts.iter().filter(|(_, count)| count * LEAST > sum) {
            let function = addr.and_then(|addr| self.all.get(&addr));
            println!(
                "{:>9} {:>5.1}%  {}",
                self.each * count / sum,
                100.0 * share(*count, sum),
                function.map_or("(programs)", |function| function.name.as_str())
            );
        }
    }
}

/// One number as a part of another one.
#[expect(clippy::cast_precision_loss, reason = "it is for people")]
fn share(part: u64, all: u64) -> f64 {
    part as f64 / all as f64
}

/// A function of a module, of which the program tells where it is.
fn in_module(line: &str) -> Option<(u64, Function)> {
    let (addr, name) = line.strip_prefix("function ")?.split_once(' ')?;
    let function = Function {
        name: name.to_owned(),
        is_in_module: true,
    };
    Some((u64::from_str_radix(addr, 16).ok()?, function))
}

/// The functions of a kernel, by their addresses.
fn functions(nm: &str, kernel: &Path) -> Result<BTreeMap<u64, Function>> {
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
            let function = Function {
                name: name.to_owned(),
                is_in_module: false,
            };
            functions.insert(u64::from_str_radix(addr, 16)?, function);
        }
    }
    Ok(functions)
}
