// SPDX-License-Identifier: GPL-2.0

//! What sending and receiving take in a kernel without the family: as much, to the instruction.

use super::{
    Cases,
    Figures,
    count,
    machine, //
};
use crate::{
    build,
    ctx::Ctx,
    flavour::Flavour,
    report::Log, //
};
use anyhow::{
    Result,
    ensure, //
};
use std::path::Path;

/// The kernel without the family.
const FLAVOUR: &str = "off";

/// Counts what needs no family in that kernel. Gives what differs from the figures of the other.
pub fn run(ctx: &Ctx, initramfs: &Path, log: &mut Log, figures: &Figures) -> Result<Vec<String>> {
    let kernel = build::kernel(ctx, &Flavour::named(FLAVOUR)?)?;
    let counted = count(
        machine(&kernel.image, initramfs, Cases::Plain),
        log,
        figures,
    )?;
    let differs = |(name, off): &(String, u64)| match figures.get(name) {
        Some(on) if on == off => None,
        on => Some(format!(
            "{name}: {off} without AF_INET_CR, {} with it",
            on.map_or("not counted".to_owned(), u64::to_string)
        )),
    };
    ensure!(!counted.is_empty(), "nothing was counted");
    Ok(counted.iter().filter_map(differs).collect())
}
