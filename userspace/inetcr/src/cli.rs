// SPDX-License-Identifier: GPL-2.0
//! The command line.
#![expect(
    clippy::doc_markdown,
    reason = "these comments are the help, which is no Markdown"
)]

mod amend;
mod dump;
mod files;
mod netns;
mod restore;
mod show;
mod text;

use clap::{Parser, Subcommand};

/// Checkpoints and restores IPv4 sockets.
///
/// A dump is the whole state of a socket: type, addresses, options, buffer sizes, and what waits in
/// it: datagrams, errors, a corked datagram. A socket that is made from it answers every question as
/// the dumped one did. What cannot be carried is refused, unless it is allowed to be lost.
///
/// The kernel needs CONFIG_AF_INET_CR, the user CAP_NET_ADMIN in the user namespace that owns the
/// network namespace, and CAP_NET_RAW there for datagrams.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, after_help = EXIT_STATUS, after_long_help = LONG_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Dump(dump::Args),
    Show(show::Args),
    Restore(restore::Args),
    Amend(amend::Args),
}

const EXIT_STATUS: &str = "Exit status: 0 done, 1 failed or refused by the kernel, 2 wrong usage.";

const LONG_HELP: &str = "\
Examples:
  See what a socket looks like (descriptor 5 of process 1234):
      inetcr dump --pid 1234 --fd 5
  Save it, and start another program with a socket that equals it as descriptor 3:
      inetcr dump --pid 1234 --fd 5 -o socket.json
      inetcr restore socket.json -- ./server
  Copy a socket into another network namespace:
      inetcr dump --inode 98765 --json | ip netns exec blue inetcr restore - -- ./server
  See all bound sockets of a network namespace, or those on one port:
      inetcr dump --all --netns blue
      inetcr dump --all --netns blue --port 53
  Move all sockets of a process to another program, which gets them as descriptors 3, 4, ...:
      inetcr dump --pid 1234 -o sockets.json
      inetcr restore sockets.json -- ./server
  Complete a socket that another tool has restored (descriptor 5 of process 1234):
      inetcr amend socket.json --pid 1234 --fd 5
  Save a socket without its eBPF filter, and restore it so:
      inetcr dump --pid 1234 --fd 5 --allow-lost ebpf-filter -o socket.json
      inetcr restore socket.json --allow-lost ebpf-filter -- ./server
  Restore where the device and the address are others:
      inetcr restore socket.json --map-device eth0=veth7 --map-address 10.0.0.1=10.1.0.1

Exit status: 0 done, 1 failed or refused by the kernel, 2 wrong usage.";

impl Cli {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Dump(args) => args.run(),
            Command::Show(args) => args.run(),
            Command::Restore(args) => args.run(),
            Command::Amend(args) => args.run(),
        }
    }
}

/// Passes on what the kernel remarked on a request that it granted.
fn pass_on_warning(client: &inetcr::Client) {
    if let Some(warning) = client.warning() {
        eprintln!("inetcr: the kernel warns: {warning}");
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

    fn parse(args: &str) -> bool {
        let args = ["inetcr", "dump"]
            .into_iter()
            .chain(args.split_whitespace());
        Cli::try_parse_from(args).is_ok()
    }

    #[test]
    fn a_selector_is_needed_and_one_is_enough() {
        assert!(parse("--fd 3"));
        assert!(parse("--inode 77 --cookie 5 --json"));
        assert!(parse("--pid 1 --fd 3 -o file"));
        assert!(!parse(""));
        assert!(!parse("--inode 77 --fd 3"));
        assert!(!parse("--inode 77 --pid 1"));
        assert!(!parse("--fd -3"));
    }

    #[test]
    fn many_are_those_of_a_process_or_of_the_namespace() {
        assert!(parse("--pid 1"));
        assert!(parse("--all"));
        assert!(parse(
            "--pid 1 --port 53 --skip-refused --netns blue -o file"
        ));
        assert!(parse("--all --port 53 --no-queue --json"));
        assert!(parse("--inode 77 --netns /proc/1/ns/net"));
        for one in ["--pid 1", "--inode 77", "--fd 3", "--pid 1 --fd 3"] {
            assert!(!parse(&format!("--all {one}")), "{one}");
        }
        for many in ["--port 53", "--skip-refused"] {
            assert!(!parse(many), "{many}");
            for one in ["--inode 77", "--fd 3", "--pid 1 --fd 3"] {
                assert!(!parse(&format!("{one} {many}")), "{one} {many}");
            }
        }
        assert!(!parse("--pid 1 --cookie 5"));
        assert!(!parse("--all --cookie 5"));
        assert!(!parse("--all --port 65536"));
        assert!(!parse("--netns blue"));
    }

    #[test]
    fn what_is_amended_is_named_by_a_descriptor() {
        let parse = |args: &str| {
            let args = ["inetcr", "amend"]
                .into_iter()
                .chain(args.split_whitespace());
            Cli::try_parse_from(args).is_ok()
        };
        assert!(parse("file --fd 3"));
        assert!(parse("- --pid 1 --fd 3 --cookie 5 --netns blue --json"));
        assert!(!parse("file"));
        assert!(!parse("--fd 3"));
        assert!(!parse("file --pid 1"));
        assert!(!parse("file --inode 77"));
    }
}
