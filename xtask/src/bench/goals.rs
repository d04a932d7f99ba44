// SPDX-License-Identifier: GPL-2.0

//! What an operation is to cost at most, and what it does, as `docs/cost.md` shows it.
//!
//! `bench --check` does not look at this: it compares with what the operation did cost.

use super::{
    Figures,
    readme::thousands, //
};
use crate::{
    ctx::Ctx,
    measured, //
};
use anyhow::{
    Context,
    Result, //
};
use std::fmt::Write as _;

/// Where the table is, and its name.
const DOCUMENT: &str = "docs/cost.md";
const NAME: &str = "goals";

/// What an operation costs.
enum Cost {
    /// That of a case.
    Of(&'static str),
    /// That of each of so many by which one case has more than another.
    Each(&'static str, &'static str, u64),
}

/// What it is to cost at most.
enum Most {
    Instructions(u64),
    /// So many hundredths of a case.
    Hundredths(u64, &'static str),
}

use Cost::{Each, Of};
use Most::{Hundredths, Instructions};

/// The goals, in words and in figures.
const GOALS: [(&str, Cost, Most); 17] = [
    (
        "a socket is dumped with the options of the RFC",
        Of("dump: the options of the RFC"),
        Instructions(7_500),
    ),
    (
        "in its full state, of another process: a quarter of the plain calls",
        Of("dump from another process: full state, bound"),
        Hundredths(
            25,
            "dump by system calls from another process: full state, bound",
        ),
    ),
    (
        "of 10,000 in a namespace, each",
        Of("dump of the namespace: per socket of 10,000"),
        Instructions(5_000),
    ),
    (
        "of 1,000,000, each, as of 1,000",
        Of("dump of the namespace: per socket of 1,000,000, 65,536 slots"),
        Hundredths(101, "dump of the namespace: per socket of 1,000"),
    ),
    (
        "a socket is made with five options off their default: half of CRIU's calls",
        Of("restore and close: five options, bound"),
        Hundredths(50, "as CRIU and close: five options, bound"),
    ),
    (
        "with nearly every option off its default: 0.8 of the plain calls",
        Of("restore and close: full state, bound"),
        Hundredths(80, "by system calls and close: full state, bound"),
    ),
    (
        "a datagram of 100 bytes is dumped: 1.3 times `recvmsg`",
        Of("queue: per datagram of 100 bytes"),
        Hundredths(130, "recvmsg: 100 bytes"),
    ),
    (
        "of 1,400 bytes",
        Of("queue: per datagram of 1,400 bytes"),
        Hundredths(130, "recvmsg: 1,400 bytes"),
    ),
    (
        "of 60,000 bytes",
        Of("queue: per datagram of 60,000 bytes"),
        Hundredths(130, "recvmsg: 60,000 bytes"),
    ),
    (
        "a datagram of 100 bytes is restored: its arrival over loopback",
        Of("restore of a queue: per datagram of 100 bytes"),
        Hundredths(100, "send over loopback: 100 bytes"),
    ),
    (
        "of 1,400 bytes",
        Of("restore of a queue: per datagram of 1,400 bytes"),
        Hundredths(100, "send over loopback: 1,400 bytes"),
    ),
    (
        "of 60,000 bytes",
        Of("restore of a queue: per datagram of 60,000 bytes"),
        Hundredths(100, "send over loopback: 60,000 bytes"),
    ),
    (
        "a socket is found by pidfd and descriptor, with 10,000 in the process as with one",
        Of("find by pidfd and fd: 10,000 sockets"),
        Hundredths(101, "find by pidfd and fd: 1 sockets"),
    ),
    (
        "with 1,000 processes as with one",
        Of("find by pidfd and fd: 1,000 processes"),
        Hundredths(101, "find by pidfd and fd: 1 processes"),
    ),
    (
        "by its inode number, each open file",
        Each(
            "find by inode: 10,000 sockets",
            "find by inode: 1,000 sockets",
            9_000,
        ),
        Instructions(100),
    ),
    (
        "a socket is dumped: 1.05 times the family in C",
        Of("dump in Rust: full state"),
        Hundredths(105, "dump in C: full state"),
    ),
    (
        "made with the options of the RFC: likewise",
        Of("restore and close in Rust: the options of the RFC, bound"),
        Hundredths(105, "restore and close in C: the options of the RFC, bound"),
    ),
];

/// Writes the table into the document.
pub fn update(ctx: &Ctx, figures: &Figures) -> Result<()> {
    measured::update(ctx, DOCUMENT, NAME, &table(figures)?)
}

/// The table.
fn table(figures: &Figures) -> Result<String> {
    let of = |case: &str| {
        let figure = figures.get(case).with_context(|| format!("no {case:?}"))?;
        Ok::<_, anyhow::Error>(*figure)
    };
    let mut table = String::from("| | at most | is | |\n|---|---:|---:|---|\n");
    for (words, cost, most) in &GOALS {
        let is = match cost {
            Of(case) => of(case)?,
            Each(more, less, by) => of(more)?.saturating_sub(of(less)?) / by,
        };
        let most = match most {
            Instructions(most) => *most,
            Hundredths(hundredths, case) => of(case)? * hundredths / 100,
        };
        let (is_met, is, most) = (is <= most, thousands(is), thousands(most));
        let is_met = if is_met { "met" } else { "not met" };
        writeln!(table, "| {words} | {most} | {is} | {is_met} |")?;
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_the_figures_of_the_repository() {
        let figures = include_str!("../../../userspace/bench/figures.json");
        let figures: Figures = serde_json::from_str(figures).unwrap();
        let table = table(&figures).unwrap();
        assert!(measured::has(
            include_str!("../../../docs/cost.md"),
            NAME,
            &table
        ));
    }
}
