// SPDX-License-Identifier: GPL-2.0

//! `kselftest`: the selftest of the series, run as the kernel's own are: by make, in a guest that
//! runs the kernel, from the tree that the series makes and with nothing else of this repository.

use crate::{
    ctx::Ctx,
    fetch,
    report::Folder,
    tools, tree,
    verdict::{
        self,
        InKernel, //
    },
    vm::{
        self,
        Job,
        Machine,
        accel,
        deadlines::Deadlines,
        guest::Way,
        run::Run, //
    },
    vm_test::screen::Screen,
};
use anyhow::Result;
use std::{
    path::Path,
    process::ExitCode, //
};

/// The selftest, in the tree.
pub const TEST: &str = "tools/testing/selftests/net/af_inet_cr.py";

/// What make does not print: that a run begins, and of how many tests.
const HEADER: [&str; 2] = ["KTAP version 1", "1..1"];

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    kernel: vm::Choice,
}

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    let (kernel, programs) = vm::parts(ctx, &args.kernel.flavour, args.kernel.no_build)?;
    let tree = {
        let _lock = fetch::lock(ctx)?;
        tree::prepare(ctx, false)?.dir
    };
    let accel = accel::choose(ctx, &kernel, &args.kernel.flavour, false)?;
    let machine = Machine::new(&kernel, &programs, &args.kernel.flavour, accel)?.without_kunit();
    // The runner opens its standard output again, which a port of virtio does not allow.
    let script = "set -o pipefail; \"$@\" | cat".to_owned();
    let shell = ["-c".to_owned(), script, "bash".to_owned()];
    let mut job = Job::new(Path::new("/bin/bash"), shell.into_iter().chain(make(&tree)));
    // The kernel's netlink library needs Python modules that Debian's Python may not have.
    let python = tools::virtme_ng(ctx).join("bin");
    let path = format!("{}:{}", python.display(), programs.path());
    job.environment = vec![("PATH".to_owned(), path)];
    job.kmemleak = kernel.has("DEBUG_KMEMLEAK")?;

    let folder = Folder::new(
        ctx,
        &format!("kselftest-{}", args.kernel.flavour),
        None,
        false,
    )?;
    let deadlines = Deadlines::new(accel, &args.kernel.flavour);
    let mut run = Run::new(ctx, folder, &kernel, &machine, deadlines, &job)?;
    let mut screen = Screen::new(&run.folder, &args.kernel.flavour, accel)?;
    for line in HEADER {
        screen.parser.feed(line);
    }
    let record = run.go("tests", &mut |way, line| match way {
        Way::Output => screen.take(way, &nested(line)),
        _ => screen.take(way, line),
    })?;
    screen.end();
    let verdict = verdict::judge(&record, Some(screen.parser.finish()), InKernel::Without);
    let summary = run.finish(&verdict, &record)?;
    print!("\n{summary}");
    println!("{}", verdict.totals);
    Ok(verdict.outcome.into())
}

/// make, for this one test of its directory, with nothing to compile.
fn make(tree: &Path) -> Vec<String> {
    let (dir, name) = TEST.rsplit_once('/').unwrap_or_default();
    let (root, target) = dir.split_once("/selftests/").unwrap_or_default();
    vec![
        "make".to_owned(),
        "--no-print-directory".to_owned(),
        "-C".to_owned(),
        tree.join(root).join("selftests").display().to_string(),
        format!("TARGETS={target}"),
        format!("TEST_PROGS={name}"),
        "TEST_GEN_PROGS=".to_owned(),
        "TEST_GEN_FILES=".to_owned(),
        "run_tests".to_owned(),
    ]
}

/// A line in the form of nested KTAP: kselftest puts a `#` before all that a test says, its
/// results among it.
fn nested(line: &str) -> String {
    match line.strip_prefix("# ") {
        Some(inner) => format!("  {inner}"),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_test_of_its_directory_is_run() {
        let words = make(Path::new("/tree"));
        assert!(words.contains(&"/tree/tools/testing/selftests".to_owned()));
        assert!(words.contains(&"TARGETS=net".to_owned()));
        assert!(words.contains(&"TEST_PROGS=af_inet_cr.py".to_owned()));
    }

    #[test]
    fn the_cases_inside_a_test_are_counted() {
        let count = |last: &str| {
            let mut parser = ktap::Parser::new();
            for line in HEADER {
                parser.feed(line);
            }
            let lines = [
                "# timeout set to 3600",
                "# selftests: net: a.py",
                "# TAP version 13",
                "# 1..2",
                "# ok 1 a.one",
                last,
                "# # Totals: pass:1 fail:1 xfail:0 xpass:0 skip:0 error:0",
                "ok 1 selftests: net: a.py",
            ];
            for line in lines {
                parser.feed(&nested(line));
            }
            parser.finish()
        };
        assert!(count("# ok 2 a.two").is_green());
        assert_eq!(count("# ok 2 a.two").totals().passed, 2);
        // make and the runner say ok, and do not hide it.
        assert!(!count("# not ok 2 a.two").is_green());
        assert!(!count("# nothing").is_green());
    }
}
