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
        if lacks_capability(&error) {
            eprintln!(
                "inetcr: it takes CAP_NET_ADMIN in the user namespace of the network namespace"
            );
        }
    }
    ExitCode::FAILURE
}

/// Generic netlink itself refuses who lacks the capability, and says nothing to it.
fn lacks_capability(error: &anyhow::Error) -> bool {
    let mut chain = error.chain();
    let refusal = chain.find_map(|cause| cause.downcast_ref::<inetcr::Error>()?.kernel());
    refusal.is_some_and(|refusal| refusal.errno_name() == "EPERM" && refusal.message.is_none())
}
