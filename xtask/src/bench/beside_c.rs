// SPDX-License-Identifier: GPL-2.0

//! The family in C beside that in Rust: what Rust costs, as numbers.
//!
//! The one in C is a module that is built for this alone (`linux-patches/bench`) and loaded into a
//! kernel with modules, where both are asked for the same. The program that asks sees first that
//! they do the same.

use super::{
    Cases,
    Figures,
    count,
    initramfs,
    machine,
    profile::{
        self,
        Function,
        Spent, //
    },
    readme::thousands, //
};
use crate::{
    build,
    ctx::Ctx,
    exec,
    flavour::Flavour,
    report::{
        Folder,
        Log, //
    },
    tools::Toolchain,
    ui,
    userspace::{
        self,
        Programs, //
    },
};
use anyhow::{
    Context,
    Result, //
};
use fs_err as fs;
use std::{
    fmt::Write as _,
    path::{
        Path,
        PathBuf, //
    },
    process::Command,
};

/// The kernel that loads the module.
const FLAVOUR: &str = "bench";

/// Where the module's source is, and its name.
const SOURCE: &str = "linux-patches/bench";
const MODULE: &str = "af_inet_cr_c";

/// The object of the family in Rust, in a build directory.
const RUST_OBJECT: &str = "net/ipv4/af_inet_cr/af_inet_cr.o";

/// What the names of its functions have, and those that are tests (`CONFIG_AF_INET_CR_KUNIT_TEST`).
const RUST_NAME: &str = "af_inet_cr::";
const RUST_TESTS: &str = "::tests::";

/// What the names of cases have, of which there are two each.
pub const IN_RUST: &str = " in Rust: ";
pub const IN_C: &str = " in C: ";

/// The cases whose hottest functions are shown.
const SHOWN: [&str; 2] = ["dump in Rust: full state", "dump in C: full state"];

/// The disassembly of these, in the folder of the run.
const LISTINGS: &str = "hottest.txt";

/// Whether a case is one of those that are counted here.
pub fn has(case: &str) -> bool {
    case.contains(IN_RUST) || case.contains(IN_C)
}

/// What is in the object of a family.
pub struct Object {
    pub language: &'static str,
    /// Bytes of functions, without tests.
    pub functions: u64,
    /// Bytes of all code and constants, of data, and of what is zero at first (`llvm-size`).
    pub text: u64,
    pub data: u64,
    pub bss: u64,
}

/// The function that takes the most instructions of a case, of those of the family itself.
pub struct Hottest {
    pub case: &'static str,
    pub name: String,
    /// Instructions of one time that it is done, of so many in all.
    pub instructions: u64,
    pub of: u64,
    pub listing: String,
}

/// What is found out beside the figures.
pub struct Found {
    pub objects: Vec<Object>,
    pub hottest: Vec<Hottest>,
}

/// Both, as a kernel and a module that goes with it.
struct Built {
    kernel: build::Kernel,
    /// The objects, in Rust and in C.
    objects: [PathBuf; 2],
    initramfs: PathBuf,
}

impl Built {
    /// The machine that counts all cases, or this one.
    fn machine(&self, case: Option<&str>) -> Command {
        machine(&self.kernel.image, &self.initramfs, Cases::BesideC(case))
    }
}

fn build(ctx: &Ctx, programs: &Programs, folder: &Folder) -> Result<Built> {
    let flavour = Flavour::named(FLAVOUR)?;
    let kernel = build::kernel(ctx, &flavour)?;
    let module = build::module(ctx, &flavour, &ctx.repo(SOURCE))?;
    let initramfs = folder.file("initramfs-c");
    let name = format!("{MODULE}.ko");
    let content = fs::read(module.dir.join(&name))?;
    self::initramfs(programs, &[(&name, content)], &initramfs)?;
    Ok(Built {
        kernel,
        objects: [
            module.kernel.join(RUST_OBJECT),
            module.dir.join(format!("{MODULE}.o")),
        ],
        initramfs,
    })
}

/// Counts the cases of both, and finds out the rest.
pub fn run(
    ctx: &Ctx,
    programs: &Programs,
    folder: &Folder,
    log: &mut Log,
    known: &Figures,
) -> Result<(Vec<(String, u64)>, Found)> {
    let built = build(ctx, programs, folder)?;
    let counted = count(built.machine(None), log, known)?;
    let tools = Toolchain::find(ctx)?;
    let objects = ["Rust", "C"].into_iter().zip(&built.objects);
    let objects = objects.map(|(language, object)| sizes(&tools, language, object));
    let objects = objects.collect::<Result<Vec<_>>>()?;
    let plugin = userspace::build_library(ctx, "counter")?;
    let hottest = SHOWN.into_iter().zip(&built.objects).map(|(case, object)| {
        let machine = built.machine(Some(case));
        let spent = profile::spent(&tools, &plugin, machine, &built.kernel, folder, known)?;
        hottest(&tools, &spent, object, case)
    });
    let hottest = hottest.collect::<Result<Vec<_>>>()?;
    fs::remove_file(&built.initramfs)?;

    let mut text = String::new();
    for hottest in &hottest {
        writeln!(
            text,
            "{}: {}, {} of {} instructions\n{}",
            hottest.case, hottest.name, hottest.instructions, hottest.of, hottest.listing
        )?;
    }
    fs::write(folder.file(LISTINGS), text)?;
    Ok((counted, Found { objects, hottest }))
}

/// Tells where a case of these spends its instructions.
pub fn profile(
    ctx: &Ctx,
    programs: &Programs,
    folder: &Folder,
    case: &str,
    known: &Figures,
) -> Result<()> {
    let built = build(ctx, programs, folder)?;
    let machine = built.machine(Some(case));
    let tools = Toolchain::find(ctx)?;
    let plugin = userspace::build_library(ctx, "counter")?;
    let spent = profile::spent(&tools, &plugin, machine, &built.kernel, folder, known)?;
    spent.print();
    fs::remove_file(&built.initramfs)?;
    Ok(())
}

/// How large an object is.
fn sizes(tools: &Toolchain, language: &'static str, object: &Path) -> Result<Object> {
    let path = object.to_string_lossy();
    let run = |tool: &str, args: &[&str]| {
        let tool = tools.tool(tool);
        exec::output(&tool, args).with_context(|| format!("{tool} of {path}"))
    };
    // text data bss, under a line with their names.
    let size = run("llvm-size", &[&path])?;
    let words = size.lines().nth(1).unwrap_or_default().split_whitespace();
    let numbers: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
    let [text, data, bss, ..] = numbers[..] else {
        anyhow::bail!("llvm-size of {path} says {size:?}");
    };
    let symbols = run("llvm-nm", &["-S", "-C", "--defined-only", &path])?;
    Ok(Object {
        language,
        functions: functions(&symbols),
        text,
        data,
        bss,
    })
}

/// The bytes of all functions that are not tests, in a list of symbols with their sizes.
fn functions(symbols: &str) -> u64 {
    let sizes = symbols.lines().filter_map(|line| {
        let mut words = line.splitn(4, ' ');
        let (_, size, kind, name) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let counts = matches!(kind, "t" | "T") && !name.contains(RUST_TESTS);
        counts.then(|| u64::from_str_radix(size, 16).ok())?
    });
    sizes.sum()
}

/// The function of a family that takes the most instructions of a case.
fn hottest(tools: &Toolchain, spent: &Spent, object: &Path, case: &'static str) -> Result<Hottest> {
    let is_ours = |function: &Function| {
        if case.contains(IN_RUST) {
            function.name.contains(RUST_NAME)
        } else {
            function.is_in_module
        }
    };
    let (function, instructions) = spent
        .functions()
        .into_iter()
        .find(|(function, _)| is_ours(function))
        .with_context(|| format!("{case}: nothing is spent in the family"))?;
    let wanted = format!("--disassemble-symbols={}", function.name);
    let path = object.to_string_lossy();
    let tool = tools.tool("llvm-objdump");
    let args = ["-d", "-r", "-C", "--no-show-raw-insn", &wanted, &path];
    let listing = exec::output(&tool, &args).with_context(|| format!("{tool} of {path}"))?;
    let (_, listing) = listing
        .split_once(">:\n")
        .with_context(|| format!("{tool}: {} is not in {path}", function.name))?;
    Ok(Hottest {
        case,
        name: function.name.clone(),
        instructions,
        of: spent.each,
        listing: listing.to_owned(),
    })
}

/// A case of both.
pub struct Pair {
    pub name: String,
    pub rust: String,
    pub c: String,
    pub ratio: String,
}

/// The cases that there are of both.
pub fn pairs(figures: &Figures) -> Vec<Pair> {
    let pairs = figures.iter().filter_map(|(case, rust)| {
        let (group, name) = case.split_once(IN_RUST)?;
        let c = figures.get(&format!("{group}{IN_C}{name}"))?;
        Some(Pair {
            name: format!("{group}: {name}"),
            rust: thousands(*rust),
            c: thousands(*c),
            ratio: ratio(*rust, *c),
        })
    });
    pairs.collect()
}

#[expect(clippy::cast_precision_loss, reason = "it is for people")]
fn ratio(rust: u64, c: u64) -> String {
    format!("{:.3}", rust as f64 / c as f64)
}

/// Prints what is found out.
pub fn print(figures: &Figures, found: &Found) {
    println!("{:>9} {:>9} {:>6}", "Rust", "C", "ratio");
    for pair in pairs(figures) {
        println!(
            "{:>9} {:>9} {:>6}  {}",
            pair.rust, pair.c, pair.ratio, pair.name
        );
    }
    for object in &found.objects {
        println!(
            "object in {}: functions {} (without tests), text {}, data {}, bss {}",
            object.language,
            thousands(object.functions),
            thousands(object.text),
            thousands(object.data),
            thousands(object.bss)
        );
    }
    for hottest in &found.hottest {
        println!(
            "{}: the most in {}, {} of {}",
            hottest.case,
            hottest.name,
            thousands(hottest.instructions),
            thousands(hottest.of)
        );
    }
    ui::note(&format!(
        "their disassembly: {LISTINGS} in the folder of the run"
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_has_its_like() {
        let figures = [("dump in Rust: x", 3), ("dump in C: x", 2), ("dump: x", 1)];
        let figures = figures.map(|(case, figure)| (case.to_owned(), figure));
        let pairs = pairs(&figures.into());
        assert_eq!(pairs.len(), 1);
        assert_eq!(pairs[0].name, "dump: x");
        assert_eq!(pairs[0].ratio, "1.500");
    }

    #[test]
    fn tests_are_no_functions_of_a_family() {
        let symbols = "\
0000 0000000000000010 t af_inet_cr::dump::dump
0010 0000000000000100 t <af_inet_cr::codec::tests::it as x>::y
0020 0000000000000001 T other
0030 0000000000001000 d data
                 U extern
";
        assert_eq!(functions(symbols), 0x11);
    }
}
