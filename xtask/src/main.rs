// SPDX-License-Identifier: GPL-2.0

//! The build driver of `af_inet_cr`: from nothing to a tested kernel.
//!
//! `cargo make <command>` starts `cargo xtask <command>`. Each command is a module of its own; this
//! file only reads the command line.

mod arch;
mod bench;
mod build;
mod builds;
mod checks;
mod ci;
mod clean;
mod complaints;
mod config;
mod cover;
mod criu;
mod ctx;
mod demo;
mod doctor;
mod exec;
mod fetch;
mod files;
mod flavour;
mod fuzz;
mod gdb;
mod image;
mod inputs;
mod kselftest;
mod kunit;
mod lint;
mod lock;
mod manifest;
mod measured;
mod needs;
mod options;
mod pin;
mod refresh;
mod report;
mod run;
mod rust_analyzer;
mod selftest;
mod series;
mod setup;
mod shell;
mod sources;
mod spec;
mod tools;
mod tree;
mod ui;
mod uml;
mod userspace;
mod verdict;
mod version;
mod vm;
mod vm_test;

use clap::{
    Parser,
    Subcommand, //
};
use std::process::ExitCode;

/// Patch, build, boot and test a Linux kernel with `af_inet_cr`.
///
/// Begin with `cargo xtask demo`: it fetches what is missing, builds the kernel and restores a
/// socket in front of you. `cargo xtask doctor` says what this machine lacks.
///
/// Exit status: 0 done; 1 something was checked and found wrong; 2 the kernel complained or died;
/// 3 a deadline passed or the VM was lost; 4 the command could not do its work.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    max_term_width = 100
)]
struct Cli {
    #[command(flatten)]
    global: ctx::Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring every prerequisite (on Debian, as root); quick when all is there.
    Setup,
    /// List every prerequisite: found, needed, and what brings it.
    Doctor,
    /// Get the kernel sources into the cache and print where they are.
    Fetch,
    /// Apply the patches and the new files to the working tree and print where it is.
    Tree(tree::Args),
    /// Configure the kernel, check that every requested option held, print the .config's path.
    Config(config::Args),
    /// Build the kernel and print the path of its image.
    Build(build::Args),
    Builds(builds::Args),
    /// Build the kernel, boot it in a VM and restore a socket in front of you.
    Demo(demo::Args),
    /// Build the kernel, boot it in a VM and run the tests in it.
    VmTest(vm_test::Args),
    /// Build the kernel as a program of the host (User Mode Linux) and run the tests in it.
    Kunit(uml::Args),
    /// Build the kernel, boot it in a VM and send it hostile messages.
    Fuzz(fuzz::Args),
    /// Build the kernel, boot it in a VM and run the selftest of the series as the kernel's own are.
    Kselftest(kselftest::Args),
    /// Build the kernel, and see in a VM what CRIU brings back of sockets, alone and with our hook.
    Criu(criu::Args),
    /// Make an image that boots without a checkout, by QEMU alone.
    Image(image::Args),
    /// Build the kernel, boot it in a VM and see which lines of ours the tests reach in it.
    Cover(cover::Args),
    /// Count the instructions that checkpoint and restore take, beside those of plain system calls.
    Bench(bench::Args),
    /// Make the series of patches for netdev out of the manifest, and check it.
    Series(series::Args),
    Shell(shell::Args),
    Run(run::Args),
    Gdb(gdb::Args),
    /// Check that guests which warn, panic, hang or lie come out red, and that `run`, `shell`, and
    /// `vm-test` with its most usual switches do what they say.
    Selftest(selftest::Args),
    /// Take what was edited in the working tree over into linux-patches/ and net/.
    Refresh(refresh::Args),
    RustAnalyzer(rust_analyzer::Args),
    /// Make the uAPI header from the YNL specification.
    Spec,
    /// Check what is ours: format, clippy, warnings, sparse, specification.
    Lint(lint::Args),
    /// Run everything that has to pass before a change lands.
    Ci(ci::Args),
    /// Remove what was built.
    Clean(clean::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap would exit with 2, which means something else here.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 4 } else { 0 });
        }
    };
    let run = || {
        let ctx = ctx::Ctx::new(&cli.global)?;
        match cli.command {
            Command::Setup => setup::run(&ctx),
            Command::Doctor => Ok(doctor::run(&ctx)),
            Command::Fetch => fetch::run(&ctx),
            Command::Tree(args) => tree::run(&ctx, &args),
            Command::Config(args) => config::run(&ctx, &args),
            Command::Build(args) => build::run(&ctx, &args),
            Command::Builds(args) => builds::run(&ctx, &args),
            Command::Demo(args) => demo::run(&ctx, &args),
            Command::VmTest(args) => vm_test::run(&ctx, &args),
            Command::Kunit(args) => uml::run(&ctx, &args),
            Command::Fuzz(args) => fuzz::run(&ctx, &args),
            Command::Kselftest(args) => kselftest::run(&ctx, &args),
            Command::Criu(args) => criu::run(&ctx, &args),
            Command::Image(args) => image::run(&ctx, &args),
            Command::Cover(args) => cover::run(&ctx, &args),
            Command::Bench(args) => bench::run(&ctx, &args),
            Command::Series(args) => series::run(&ctx, &args),
            Command::Shell(args) => shell::run(&ctx, &args),
            Command::Run(args) => run::run(&ctx, &args),
            Command::Gdb(args) => gdb::run(&ctx, &args),
            Command::Selftest(args) => selftest::run(&ctx, &args),
            Command::Refresh(args) => refresh::run(&ctx, &args),
            Command::RustAnalyzer(args) => rust_analyzer::run(&ctx, &args),
            Command::Spec => spec::run(&ctx),
            Command::Lint(args) => lint::run(&ctx, &args),
            Command::Ci(args) => ci::run(&ctx, &args),
            Command::Clean(args) => clean::run(&ctx, &args),
        }
    };
    run().unwrap_or_else(|error: anyhow::Error| {
        ui::error(&error);
        ExitCode::from(4)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn every_command_is_a_task_of_cargo_make() {
        let text = include_str!("../../Makefile.toml");
        let tasks: toml::Table = toml::from_str(text).unwrap();
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let line = tasks["tasks"]
                .get(name)
                .map(|task| task["args"].to_string());
            let wanted = format!("[\"xtask\", \"{name}\", \"${{@}}\"]");
            assert_eq!(line, Some(wanted), "the task {name}");
        }
    }

    /// The words behind `cargo xtask` of each line of a text that is such a command; `#` and what
    /// is behind it is for the reader.
    fn commands(text: &str) -> Vec<Vec<String>> {
        let lines = text.lines().map(str::trim_start);
        let commands = lines.filter_map(|line| {
            let starts = ["cargo xtask ", "cargo make "];
            starts.iter().find_map(|start| line.strip_prefix(start))
        });
        commands.map(|words| shlex::split(words).unwrap()).collect()
    }

    fn must_parse(words: &[String], place: &str) {
        let program = ["cargo xtask".to_owned()];
        if let Err(error) = Cli::try_parse_from(program.iter().chain(words)) {
            panic!("{place}: {words:?}: {error}");
        }
    }

    #[test]
    fn the_examples_of_the_help_are_right() {
        let mut with_examples = Vec::new();
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let Some(help) = command.get_after_help() else {
                continue;
            };
            let examples = commands(&help.to_string());
            assert!(!examples.is_empty(), "{name}: {help}");
            for words in examples {
                assert_eq!(words[0], name);
                must_parse(&words, name);
            }
            with_examples.push(name.to_owned());
        }
        for name in ["fuzz", "gdb", "image", "run", "shell", "vm-test"] {
            assert!(with_examples.iter().any(|with| with == name), "{name}");
        }
    }

    #[test]
    fn the_commands_of_the_documentation_are_right() {
        for (name, text) in [
            ("README.md", include_str!("../../README.md")),
            ("CONTRIBUTING.md", include_str!("../../CONTRIBUTING.md")),
        ] {
            let blocks = text.split("```").skip(1).step_by(2);
            let examples: Vec<_> = blocks.flat_map(commands).collect();
            assert!(!examples.is_empty(), "{name}");
            for words in examples {
                must_parse(&words, name);
            }
        }
    }
}
