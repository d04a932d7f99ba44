// SPDX-License-Identifier: GPL-2.0

//! The figures that the README shows.

use super::Figures;
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
const DOCUMENT: &str = "README.md";
const NAME: &str = "bench";

/// What is shown: in words, the case, and the case of plain calls.
const ROWS: [(&str, &str, &str); 17] = [
    (
        "a socket of another process is dumped, in its full state",
        "dump from another process: full state, bound",
        "dump by system calls from another process: full state, bound",
    ),
    (
        "of 10,000 in a namespace, each",
        "dump of the namespace: per socket of 10,000",
        "dump by system calls: full state",
    ),
    (
        "of 1,000,000, each; the plain call is `sock_diag`, which tells less",
        "dump of the namespace: per socket of 1,000,000, 65,536 slots",
        "sock_diag: per socket of 1,000,000, 65,536 slots",
    ),
    (
        "a socket is found by pidfd and descriptor",
        "find by pidfd and fd: 1 sockets",
        "",
    ),
    (
        "with 10,000 sockets in that process",
        "find by pidfd and fd: 10,000 sockets",
        "",
    ),
    (
        "the last of these by its inode number",
        "find by inode: 10,000 sockets",
        "",
    ),
    (
        "a bound socket is made and closed, with five options off their default; the calls are CRIU's",
        "restore and close: five options, bound",
        "as CRIU and close: five options, bound",
    ),
    (
        "with the options of the RFC",
        "restore and close: the options of the RFC, bound",
        "by system calls and close: the options of the RFC, bound",
    ),
    (
        "with nearly every option off its default",
        "restore and close: full state, bound",
        "by system calls and close: full state, bound",
    ),
    (
        "of 10,000 that stay, each",
        "restore: full state, bound, per socket of 10,000",
        "by system calls: full state, bound, per socket of 10,000",
    ),
    (
        "a datagram of 100 bytes is dumped (received)",
        "queue: per datagram of 100 bytes",
        "recvmsg: 100 bytes",
    ),
    (
        "of 1,400 bytes",
        "queue: per datagram of 1,400 bytes",
        "recvmsg: 1,400 bytes",
    ),
    (
        "a datagram of 100 bytes is restored (sent over loopback)",
        "restore of a queue: per datagram of 100 bytes",
        "send over loopback: 100 bytes",
    ),
    (
        "of 1,400 bytes",
        "restore of a queue: per datagram of 1,400 bytes",
        "send over loopback: 1,400 bytes",
    ),
    ("a request that is refused", "request that is refused", ""),
    (
        "a socket is dumped; in the last column by the family in plain C of `bench --c`",
        "dump in Rust: full state",
        "dump in C: full state",
    ),
    (
        "a bound socket is made and closed, with the options of the RFC; likewise",
        "restore and close in Rust: the options of the RFC, bound",
        "restore and close in C: the options of the RFC, bound",
    ),
];

/// Writes the table into the README.
pub fn update(ctx: &Ctx, figures: &Figures) -> Result<()> {
    measured::update(ctx, DOCUMENT, NAME, &table(figures)?)
}

/// The table.
fn table(figures: &Figures) -> Result<String> {
    let of = |case: &str| {
        let figure = figures.get(case).with_context(|| format!("no {case:?}"))?;
        Ok::<_, anyhow::Error>(thousands(*figure))
    };
    let mut table = String::from("| | this | plain calls |\n|---|---:|---:|\n");
    for (words, ours, plain) in ROWS {
        let plain = match plain {
            "" => String::new(),
            plain => of(plain)?,
        };
        writeln!(table, "| {words} | {} | {plain} |", of(ours)?)?;
    }
    Ok(table)
}

/// A number as people read it.
pub fn thousands(number: u64) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", thousands(number / 1000), number % 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(1_234_056), "1,234,056");
    }

    /// Nobody writes a figure by hand.
    #[test]
    fn the_readme_has_the_figures_of_the_repository() {
        let figures = include_str!("../../../userspace/bench/figures.json");
        let figures: Figures = serde_json::from_str(figures).unwrap();
        let table = table(&figures).unwrap();
        let readme = include_str!("../../../README.md");
        assert!(measured::has(readme, NAME, &table));
    }
}
