// SPDX-License-Identifier: GPL-2.0
//! `inetcr`: checkpoints and restores IPv4 sockets.
//!
//! What it does is in the library of the same name; this program reads the command line and
//! prints.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let status_of = cli.status_of();
    let may_be_unread = cli.may_be_unread();
    let error = match cli.run() {
        Ok(status) => return status,
        Err(error) => error,
    };
    // A reader that has seen enough, such as head(1), is told nothing.
    if !(may_be_unread && error.chain().any(is_unread)) {
        cli::say(cli::printable(&format!("{error:#}")));
        if let Some(hint) = hint(&error) {
            cli::say(hint);
        }
    }
    ExitCode::from(status_of(&error))
}

fn is_unread(cause: &(dyn std::error::Error + 'static)) -> bool {
    let io = match cause.downcast_ref() {
        Some(inetcr::ImageError::Output(error)) => Some(error),
        _ => cause.downcast_ref::<std::io::Error>(),
    };
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
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
