// SPDX-License-Identifier: GPL-2.0
//! `inetcr`: checkpoints and restores IPv4 sockets.
//!
//! What it does is in the library of the same name; this program reads the command line and
//! prints.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let Err(error) = cli::Cli::parse().run() else {
        return ExitCode::SUCCESS;
    };
    // A reader that has seen enough, such as head(1), is told nothing.
    let unread = error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe);
    if !unread {
        eprintln!("inetcr: {error:#}");
        if let Some(hint) = hint(&error) {
            eprintln!("inetcr: {hint}");
        }
    }
    ExitCode::FAILURE
}

/// What to do about the lack of a capability.
fn hint(error: &anyhow::Error) -> Option<&'static str> {
    let mut chain = error.chain();
    let refusal = chain.find_map(|cause| cause.downcast_ref::<inetcr::Error>()?.kernel())?;
    if refusal.errno_name() != "EPERM" {
        return None;
    }
    if refusal.command == "queue" {
        return Some(
            "the datagrams that wait in it take CAP_NET_RAW, too; --no-queue leaves them out",
        );
    }
    // Generic netlink itself refuses who lacks this one, and says nothing to it.
    let unexplained = refusal.message.is_none();
    unexplained.then_some("it takes CAP_NET_ADMIN in the user namespace of the network namespace")
}
