// SPDX-License-Identifier: GPL-2.0
//! The command line.
#![expect(
    clippy::doc_markdown,
    reason = "these comments are the help, which is no Markdown"
)]

mod amend;
mod criu_hook;
mod diff;
mod dump;
mod files;
mod filter;
mod generate;
mod handover;
mod limit;
mod netns;
mod place;
mod processes;
mod program;
mod progress;
mod restore;
mod say;
mod select;
mod show;
mod text;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use inetcr::ImageError;

pub(crate) use say::say;
pub(crate) use text::printable;

/// Checkpoints and restores IPv4 sockets.
///
/// A dump is the whole state of a socket: type, addresses, options, buffer sizes, and what waits in
/// it: datagrams, errors, a corked datagram. A socket that is made from it answers every question as
/// the dumped one did. What cannot be carried is refused, unless it is allowed to be lost.
///
/// Where the kernel is asked (not by show FILE, diff FILE OTHER, verify --offline and handover), it
/// needs CONFIG_AF_INET_CR, the user CAP_NET_ADMIN in the user namespace that owns the network
/// namespace, and CAP_NET_RAW there for datagrams.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, after_help = EXIT_STATUS, after_long_help = long_help())]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Show(show::Args),
    Dump(dump::Args),
    Diff(diff::Args),
    Verify(verify::Args),
    Restore(restore::Args),
    Handover(handover::Args),
    Amend(amend::Args),
    CriuHook(criu_hook::Args),
    Completions(generate::Completions),
    Man(generate::Man),
}

/// What the help has behind the commands, and the manual page.
fn long_help() -> String {
    format!("{EXAMPLES}\n\n{EXIT_STATUS}")
}

const EXIT_STATUS: &str = "\
Exit status:
    0  done (diff: no difference)
    1  failed, refused by the kernel, or done in part (diff: a difference)
    2  wrong usage (diff: anything that went wrong)
    3  the file is no image, or one that is damaged or too new
    4  this kernel has no family af-inet-cr
  126  COMMAND cannot be run
  127  there is no COMMAND of this name
Once restore or handover has run COMMAND, the status is that of COMMAND.";

const EXAMPLES: &str = "\
Examples:
  See the bound sockets of a network namespace, those on one port, those of a process in full:
      inetcr show --all
      inetcr show --all --netns blue --local 10.0.0.0/8:53
      inetcr show --pid 1234 --extended
  Save a socket (descriptor 5 of process 1234), and start another program with a socket that
  equals it as descriptor 3, when the old one is gone:
      kill -STOP 1234
      inetcr dump --pid 1234 --fd 5 -o socket.image && kill -KILL 1234
      inetcr restore socket.image -- ./server
  Copy a socket into another network namespace, or to another host:
      inetcr dump --inode 98765 | ip netns exec blue inetcr restore - -- ./server
      inetcr dump --inode 98765 | ssh host inetcr restore - -- ./server
  Move all sockets of a process to another program, which gets them as descriptors 3, 4, ...:
      kill -STOP 1234
      inetcr dump --pid 1234 -o sockets.image && kill -KILL 1234
      inetcr restore sockets.image -- ./server
  Replace a program by its next version on the same host, and lose nothing that waits:
      inetcr handover --pid 1234 --stop -- ./server
  Look at what an image has, change it, and see in what it differs from a socket:
      inetcr show --json socket.image > socket.json    # readable by whom the umask lets
      inetcr diff socket.json --pid 1234 --fd 5
  Complete a socket that another tool has restored (descriptor 5 of process 1234):
      inetcr amend socket.image --pid 1234 --fd 5
  Save a socket without its eBPF filter, and restore it so:
      inetcr dump --pid 1234 --fd 5 --allow-lost ebpf-filter -o socket.image
      inetcr restore socket.image --allow-lost ebpf-filter -- ./server
  Restore where the device and the address are others:
      inetcr restore socket.image --map-device eth0=veth7 --map-address 10.0.0.1=10.1.0.1 -- ./server";

impl Cli {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Show(args) => args.run(),
            Command::Dump(args) => args.run(),
            Command::Diff(args) => return args.run(),
            Command::Verify(args) => args.run(),
            Command::Restore(args) => args.run(),
            Command::Handover(args) => args.run(),
            Command::Amend(args) => args.run(),
            Command::CriuHook(args) => args.run(),
            Command::Completions(args) => args.run(),
            Command::Man(args) => args.run(),
        }?;
        Ok(ExitCode::SUCCESS)
    }

    /// Whether it prints for people, who may have seen enough before all is printed.
    pub(crate) fn may_be_unread(&self) -> bool {
        matches!(
            self.command,
            Command::Show(_) | Command::Diff(_) | Command::Completions(_)
        )
    }

    /// The exit status of an error of this command.
    pub(crate) fn status_of(&self) -> fn(&anyhow::Error) -> u8 {
        match self.command {
            Command::Diff(_) => |_| 2,
            _ => status,
        }
    }
}

/// What is wrong with the command line and takes more than that to be seen.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct WrongUsage(String);

/// The exit status of an error.
fn status(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if let Some(cause) = cause.downcast_ref::<program::CannotRun>() {
            return cause.status();
        }
        if cause.is::<WrongUsage>() {
            return 2;
        }
        match cause.downcast_ref() {
            Some(
                ImageError::Read(_)
                | ImageError::Output(_)
                | ImageError::Write(_)
                | ImageError::TooMuch(..),
            ) => return 1,
            Some(_) => return 3,
            None => {}
        }
        if let Some(inetcr::Error::NoFamily) = cause.downcast_ref() {
            return 4;
        }
    }
    1
}

/// Passes on what the kernel remarked on a request that it granted.
fn pass_on_warning(warning: Option<&str>) {
    if let Some(warning) = warning {
        say(format_args!("the kernel warns: {warning}"));
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    fn parse(command: &str, args: &str) -> bool {
        let args = ["inetcr", command]
            .into_iter()
            .chain(args.split_whitespace());
        Cli::try_parse_from(args).is_ok()
    }

    /// The words that select sockets are the same for each command that has them.
    #[test]
    fn a_selector_is_needed_and_one_is_enough() {
        for (command, before) in [("dump", ""), ("show", ""), ("diff", "file ")] {
            let parse = |args: &str| parse(command, &format!("{before}{args}"));
            assert!(parse("--fd 3"));
            assert!(parse("--inode 77 --cookie 5 --json"));
            assert!(parse("--pid 1 --fd 3 --no-queue"));
            assert!(!parse(""));
            assert!(!parse("--inode 77 --fd 3"));
            assert!(!parse("--inode 77 --pid 1"));
            assert!(!parse("--fd -3"));
            assert!(parse("--pid 1"));
            assert!(parse("--all"));
            assert!(parse("--tree 1"));
            assert!(parse("--pid 1 --port 53 --skip-refused --netns blue"));
            assert!(parse("--all --port 53 --no-queue --json"));
            assert!(parse("--inode 77 --netns /proc/1/ns/net"));
            for one in ["--pid 1", "--inode 77", "--fd 3", "--pid 1 --fd 3"] {
                assert!(!parse(&format!("--all {one}")), "{one}");
                assert!(!parse(&format!("--tree 1 {one}")), "{one}");
            }
            for many in [
                "--port 53",
                "--skip-refused",
                "--local :53",
                "--peer 10.0.0.0/8",
                "--state unconn",
                "--device lo",
            ] {
                assert!(!parse(many), "{many}");
                assert!(parse(&format!("--all {many}")), "{many}");
                for one in ["--inode 77", "--fd 3", "--pid 1 --fd 3"] {
                    assert!(!parse(&format!("{one} {many}")), "{one} {many}");
                }
            }
            assert!(!parse("--pid 1 --cookie 5"));
            assert!(!parse("--all --cookie 5"));
            assert!(!parse("--all --port 65536"));
            assert!(!parse("--all --local :65536"));
            assert!(!parse("--all --state listening"));
            assert!(!parse("--netns blue"));
        }
    }

    #[test]
    fn an_image_takes_the_place_of_a_selector() {
        assert!(parse("show", "file"));
        assert!(parse("show", "- --local :53 --json"));
        assert!(!parse("show", "file --all"));
        assert!(!parse("show", "file --pid 1"));
        assert!(!parse("show", "file --netns blue"));
        assert!(!parse("show", "file --no-queue"));
        assert!(parse("diff", "file file"));
        assert!(!parse("diff", "file file --all"));
        assert!(!parse("diff", "--all"));
        assert!(!parse("dump", "file"));
        assert!(parse("dump", "--all -o file --no-compress"));
        assert!(!parse("dump", "--all --json --no-compress"));
    }

    #[test]
    fn what_is_amended_is_named_by_a_descriptor() {
        assert!(parse("amend", "file --fd 3"));
        assert!(parse(
            "amend",
            "- --pid 1 --fd 3 --cookie 5 --netns blue --allow-lost xattr --json"
        ));
        assert!(!parse("amend", "file"));
        assert!(!parse("amend", "--fd 3"));
        assert!(!parse("amend", "file --pid 1"));
        assert!(!parse("amend", "file --inode 77"));
    }

    #[test]
    fn criu_tells_its_scripts_by_the_environment() {
        assert!(parse("criu-hook", ""));
        assert!(parse("criu-hook", "--strict --allow-lost xattr"));
        assert!(!parse("criu-hook", "post-dump"));
    }

    #[test]
    fn sockets_are_given_to_a_program() {
        for command in ["restore file", "handover --pid 1"] {
            let (command, before) = command.split_once(' ').unwrap();
            let parse = |args: &str| parse(command, &format!("{before} {args}"));
            assert!(parse("-- ./server --option"));
            assert!(parse("--name dns --name admin -- ./server"));
            assert!(parse("--at 0 -- ./server"));
            assert!(!parse(""));
            assert!(!parse("--at 0"));
            assert!(!parse("--at 0 --name dns -- ./server"));
            assert!(!parse("--name a:b -- ./server"));
        }
        assert!(parse(
            "handover",
            "--pid 1 --fd 3 --fd 5 --stop --signal INT -- a"
        ));
        for wrong in [
            "--fd 3 -- a",
            "--pid 1 --signal INT -- a",
            "--pid 1 --stop --signal STOP -- a",
        ] {
            assert!(!parse("handover", wrong), "{wrong}");
        }
        assert!(parse("verify", "file --offline --json"));
        for of_kernel in ["--as-caller", "--map-device a=b", "--allow-lost xattr"] {
            assert!(parse("verify", &format!("file {of_kernel}")));
            assert!(!parse("verify", &format!("file --offline {of_kernel}")));
        }
        assert!(!parse("verify", "file -- ./server"));
    }

    #[test]
    fn an_error_has_the_status_of_its_kind() {
        use anyhow::Context as _;

        let of = |error: anyhow::Error| status(&Err::<(), _>(error).context("words").unwrap_err());
        assert_eq!(of(anyhow::anyhow!("anything")), 1);
        assert_eq!(of(ImageError::Truncated.into()), 3);
        assert_eq!(of(inetcr::Error::NoFamily.into()), 4);
        let io = std::io::Error::from_raw_os_error(5);
        assert_eq!(of(ImageError::Read(io).into()), 1);
        assert_eq!(of(ImageError::TooLarge("it is", 1).into()), 3);
        assert_eq!(of(ImageError::TooMuch("it is", 1).into()), 1);
    }
}
