// SPDX-License-Identifier: GPL-2.0

//! Our code as the compiler has laid it out: where the tracer of KCOV is called, and which lines
//! that is for.

use addr2line::Loader;
use anyhow::{
    Context,
    Result,
    anyhow,
    ensure, //
};
use fs_err as fs;
use object::{
    Object as _,
    ObjectSection as _,
    ObjectSymbol as _, //
};
use std::{
    collections::{
        BTreeMap,
        BTreeSet, //
    },
    path::Path,
};

/// What the compiler calls at the begin of each block of code.
const TRACER: &str = "__sanitizer_cov_trace_pc";

/// A call of x86-64, by the distance of what is called.
const CALL: u8 = 0xe8;
const LEN: usize = 5;

/// What is ours: where it is in the tree.
const OURS: [&str; 2] = ["net/ipv4/af_inet_cr/", "rust/kernel/net/"];

/// The modules with tests in the kernel.
const TESTS: &str = "::tests::";

/// Which lines of each file were reached. A line is in it if a block of code begins there; whether
/// the compiler has several for it, or the line is in several functions, is the same.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lines(pub BTreeMap<String, BTreeMap<u32, bool>>);

impl Lines {
    /// Looks up in a kernel (with debug information) what it is that was reached.
    pub fn of(kernel: &Path, reached: &BTreeSet<u64>) -> Result<Self> {
        let bytes = fs::read(kernel)?;
        let calls = calls(&bytes).with_context(|| kernel.display().to_string())?;
        let strays = reached.iter().filter(|&place| !calls.contains(place));
        // Or it is another kernel.
        ensure!(
            strays.clone().next().is_none(),
            "{} of {} places that were reached are none where {TRACER} is called",
            strays.count(),
            reached.len()
        );
        let debug = Loader::new(kernel).map_err(|error| anyhow!("{error}"))?;
        let mut lines = Self::default();
        for place in calls {
            if let Some((file, line)) = line(&debug, place)? {
                let lines = lines.0.entry(file).or_default();
                *lines.entry(line).or_default() |= reached.contains(&place);
            }
        }
        Ok(lines)
    }
}

/// Where calls of the tracer return to.
fn calls(kernel: &[u8]) -> Result<BTreeSet<u64>> {
    let file = object::File::parse(kernel)?;
    let tracer = file.symbols().find(|symbol| symbol.name() == Ok(TRACER));
    let tracer = tracer
        .with_context(|| format!("it has no {TRACER} (CONFIG_KCOV)"))?
        .address();
    let text = file.section_by_name(".text").context("it has no code")?;
    let found = calls_in(text.data()?, text.address(), tracer);
    ensure!(!found.is_empty(), "nothing in it calls {TRACER}");
    Ok(found)
}

/// Where calls of `called` return to, in code that is at `start`.
///
/// The bytes are not disassembled: that others look like such a call is as good as impossible.
fn calls_in(code: &[u8], start: u64, called: u64) -> BTreeSet<u64> {
    let calls = code.windows(LEN).zip(start + LEN as u64..);
    let returns = calls.filter_map(|(bytes, returns)| {
        let (&first, distance) = bytes.split_first()?;
        let distance = i32::from_le_bytes(distance.try_into().ok()?);
        let target = returns.wrapping_add_signed(distance.into());
        (first == CALL && target == called).then_some(returns)
    });
    returns.collect()
}

/// The line of ours that a call is for: the innermost, if functions are in one another.
fn line(debug: &Loader, returns: u64) -> Result<Option<(String, u32)>> {
    let failed = |error| anyhow!("debug information: {error}");
    // The call itself is before.
    let mut frames = debug.find_frames(returns - 1).map_err(failed)?;
    let mut found = None;
    while let Some(frame) = frames.next().map_err(|error| anyhow!("{error}"))? {
        let name = frame.function.map(|function| match function.demangle() {
            Ok(name) => name.into_owned(),
            Err(_) => String::new(),
        });
        if name.is_some_and(|name| name.contains(TESTS)) {
            return Ok(None);
        }
        let place = frame.location.as_ref().and_then(|location| {
            let (file, line) = (ours(location.file?)?, location.line?);
            Some((file.to_owned(), line))
        });
        found = found.or(place);
    }
    Ok(found)
}

/// A path, from the root of the tree, if it is ours.
fn ours(path: &str) -> Option<&str> {
    OURS.iter()
        .find_map(|part| path.find(part).map(|at| &path[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_where_they_return_to() {
        // From 0x1001 to 0x1010, from 0x1008 to 0x1000, and one that only begins like it.
        let code = [
            0x90, 0xe8, 0x0a, 0, 0, 0, 0x90, 0x90, 0xe8, 0xf3, 0xff, 0xff, 0xff, 0xe8, 1,
        ];
        assert_eq!(calls_in(&code, 0x1000, 0x1010), BTreeSet::from([0x1006]));
        assert_eq!(calls_in(&code, 0x1000, 0x1000), BTreeSet::from([0x100d]));
        assert_eq!(calls_in(&code, 0x1000, 0x2000), BTreeSet::new());
    }

    #[test]
    fn paths_are_those_in_the_tree() {
        let path = "/build/../tree/net/ipv4/af_inet_cr/dump.rs";
        assert_eq!(ours(path), Some("net/ipv4/af_inet_cr/dump.rs"));
        assert_eq!(ours("/build/rust/core/src/slice.rs"), None);
    }
}
