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
    ensure!(
        !kernel.has("AF_INET_CR")?,
        "the kernel of the flavour {FLAVOUR} has the family: what is counted in it says nothing"
    );
    let counted = count(
        machine(&kernel.image, initramfs, Cases::Plain),
        log,
        figures,
    )?;
    ensure!(!counted.is_empty(), "nothing was counted");
    Ok(differing(figures, &counted))
}

/// What takes another number of instructions without the family, in words.
fn differing(on: &Figures, off: &[(String, u64)]) -> Vec<String> {
    let differs = |(name, off): &(String, u64)| match on.get(name) {
        Some(on) if on == off => None,
        on => Some(format!(
            "{name}: {off} without AF_INET_CR, {} with it",
            on.map_or("not counted".to_owned(), u64::to_string)
        )),
    };
    off.iter().filter_map(differs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_instruction_more_is_told() {
        let on: Figures = [("sendto", 4532), ("recvfrom", 901)]
            .map(|(name, figure)| (name.to_owned(), figure))
            .into();
        let off = |sendto| [("sendto".to_owned(), sendto), ("recvfrom".to_owned(), 901)];
        assert_eq!(differing(&on, &off(4532)), Vec::<String>::new());
        let told = differing(&on, &off(4531));
        assert_eq!(told, ["sendto: 4531 without AF_INET_CR, 4532 with it"]);
    }
}
