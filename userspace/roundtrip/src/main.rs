// SPDX-License-Identifier: GPL-2.0

//! Round-trip tests of the `af-inet-cr` generic netlink family.
//!
//! Sockets are dumped, restored and compared. What counts is what plain system
//! calls say of original and copy, never the family alone. The program is meant
//! for a VM (`cargo xtask vm-test`, or by hand in `cargo xtask shell`), as root.

mod cases;
mod cover;
mod cr;
mod groups;
mod leaks;
mod observe;
mod options;
mod places;
mod rawnl;
mod runner;
mod sys;

use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use runner::{Runner, Test};
use wildmatch::WildMatch;

/// Dumps and restores sockets and prints KTAP.
///
/// Exit status: 0 all passed, 1 a test failed, 4 the tests could not run.
#[derive(Parser)]
// Each is a switch of the command line.
#[expect(clippy::struct_excessive_bools)]
struct Arguments {
    /// Print the names of the tests and do nothing.
    #[arg(long)]
    list: bool,
    /// Run only tests whose name matches a pattern with * and ?; may be repeated.
    #[arg(long, value_name = "GLOB")]
    filter: Vec<String>,
    /// Run only every eighth test, and none that takes long.
    #[arg(long)]
    quick: bool,
    /// Have those fail whose name matches, to see that this is noticed.
    #[arg(long, value_name = "GLOB", hide = true)]
    sabotage: Option<String>,
    /// Multiply the times of all tests, for a slow machine.
    #[arg(long, env = "INETCR_TIME_SCALE", default_value_t = 1)]
    time_scale: u32,
    /// How many tests run side by side; as many as there are processors, if it is not given.
    #[arg(long, value_name = "N")]
    jobs: Option<NonZero<usize>>,
    /// Let tests print as they run, one at a time, and take as long as they want.
    #[arg(long)]
    live: bool,
    /// Run the tests of CRIU, with this program, and no others.
    #[arg(long, value_name = "PROGRAM")]
    criu: Option<PathBuf>,
    /// Say at the end what was reached of the kernel's code (KCOV).
    #[arg(long)]
    cover: bool,
    #[command(flatten)]
    random: cases::Random,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut tests = match &arguments.criu {
        Some(program) => cases::criu::tests(program),
        None => cases::all(arguments.random),
    };
    if arguments.quick {
        tests = runner::sample(tests);
    }
    if !arguments.filter.is_empty() {
        tests.retain(|test| {
            let mut filters = arguments.filter.iter();
            filters.any(|pattern| WildMatch::new(pattern).matches(&test.name))
        });
    }
    if let Some(pattern) = &arguments.sabotage {
        let pattern = WildMatch::new(pattern);
        let fail = |test: Test| {
            if pattern.matches(&test.name) {
                test.failing()
            } else {
                test
            }
        };
        tests = tests.into_iter().map(fail).collect();
    }
    if tests.is_empty() {
        eprintln!("roundtrip: no test matches");
        return ExitCode::from(4);
    }
    if arguments.list {
        for test in &tests {
            println!("{}", test.name);
        }
        println!("{}", runner::MACHINE);
        println!("{}", runner::NAMESPACES);
        return ExitCode::SUCCESS;
    }
    if let Err(error) = inetcr::Client::new() {
        eprintln!("roundtrip: {error}");
        return ExitCode::from(4);
    }
    let scale = arguments.time_scale.max(1);
    let jobs = if arguments.live {
        1
    } else {
        let processors = std::thread::available_parallelism;
        arguments
            .jobs
            .map_or_else(|| processors().map_or(1, NonZero::get), NonZero::get)
    };
    let runner = Runner {
        jobs,
        scale,
        patience: leaks::PATIENCE * scale,
        live: arguments.live,
    };
    match run(&runner, &tests, arguments.cover) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("roundtrip: {error:#}");
            ExitCode::from(4)
        }
    }
}

/// Runs the tests, and says whether all passed.
fn run(runner: &Runner, tests: &[Test], cover: bool) -> anyhow::Result<bool> {
    if cover {
        cover::begin()?;
    }
    let passed = runner.run(tests, std::io::stdout())?;
    cover::end(std::io::stdout().lock())?;
    Ok(passed)
}
