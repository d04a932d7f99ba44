// SPDX-License-Identifier: GPL-2.0

//! Round-trip tests of the `af-inet-cr` generic netlink family.
//!
//! Sockets are dumped, restored and compared. What counts is what plain system
//! calls say of original and copy, never the family alone. The program is meant
//! for a VM (`cargo xtask vm-test`, or by hand in `cargo xtask shell`), as root.

mod cases;
mod cr;
mod glob;
mod groups;
mod leaks;
mod observe;
mod options;
mod places;
mod rawnl;
mod runner;
mod sys;

use std::process::ExitCode;

use clap::Parser;
use runner::Runner;

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
    /// Print KTAP, which is what is done anyway.
    #[arg(long)]
    ktap: bool,
    /// Multiply the times of all tests, for a slow machine.
    #[arg(long, env = "ROUNDTRIP_TIME_SCALE", default_value_t = 1)]
    time_scale: u32,
    /// Let tests print as they run, and take as long as they want.
    #[arg(long)]
    live: bool,
    /// Say how long each test took.
    #[arg(long)]
    times: bool,
    #[command(flatten)]
    random: cases::Random,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut tests = cases::all(arguments.random);
    if !arguments.filter.is_empty() {
        tests.retain(|test| {
            let mut filters = arguments.filter.iter();
            filters.any(|pattern| glob::matches(pattern, &test.name))
        });
    }
    if arguments.list {
        for test in &tests {
            println!("{}", test.name);
        }
        println!("{}", runner::NAMESPACES);
        return ExitCode::SUCCESS;
    }
    if tests.is_empty() {
        eprintln!("roundtrip: no test matches");
        return ExitCode::from(4);
    }
    if let Err(error) = inetcr::Client::new() {
        eprintln!("roundtrip: {error}");
        return ExitCode::from(4);
    }
    let scale = arguments.time_scale.max(1);
    let runner = Runner {
        scale,
        patience: leaks::PATIENCE * scale,
        live: arguments.live,
        times: arguments.times,
    };
    match runner.run(&tests) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("roundtrip: {error:#}");
            ExitCode::from(4)
        }
    }
}
