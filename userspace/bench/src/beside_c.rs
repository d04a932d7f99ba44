// SPDX-License-Identifier: GPL-2.0

//! The family in Rust beside the same in C, a module that is loaded for this.
//!
//! Both dump the same sockets, attribute by attribute. The one in C restores no more than the options
//! of the RFC, so that only those are restored by both.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use inetcr::RawAttr;

use crate::cases::{PORT, cases, dump, floor, image, number, of, restore, restored, with};
use crate::netlink::Family;
use crate::options::Which;
use crate::sys;

/// Where the module is, and what it is called.
const MODULE: &str = "/af_inet_cr_c.ko";
const MODULE_NAME: &str = "[af_inet_cr_c]";

cases! {
    /// What the one takes, and the other: a name with "in Rust" has one with "in C".
    CASES:
    "refused request in Rust: no such operation" => floor(Family::new()?);
    "refused request in C: no such operation" => floor(Family::in_c()?);
    "dump in Rust: new socket" => dump(Family::new()?, Which::None);
    "dump in C: new socket" => dump(Family::in_c()?, Which::None);
    "dump in Rust: the options of the RFC" => dump(Family::new()?, Which::Rfc);
    "dump in C: the options of the RFC" => dump(Family::in_c()?, Which::Rfc);
    "dump in Rust: full state" => dump(Family::new()?, Which::All);
    "dump in C: full state" => dump(Family::in_c()?, Which::All);
    "dump in Rust: per attribute of the full state" => per_attribute(Family::new);
    "dump in C: per attribute of the full state" => per_attribute(Family::in_c);
    "restore and close in Rust: new socket" => restore(Family::new()?, Which::None, false);
    "restore and close in C: new socket" => restore(Family::in_c()?, Which::None, false);
    "restore and close in Rust: the options of the RFC, bound" =>
        restore(Family::new()?, Which::Rfc, true);
    "restore and close in C: the options of the RFC, bound" =>
        restore(Family::in_c()?, Which::Rfc, true);
    "allocations in Rust: of a dump, full state" => Ok(memory_of_dump(Family::new()?)?.times);
    "allocations in C: of a dump, full state" => Ok(memory_of_dump(Family::in_c()?)?.times);
    "bytes allocated in Rust: by a dump, full state" => Ok(memory_of_dump(Family::new()?)?.bytes);
    "bytes allocated in C: by a dump, full state" => Ok(memory_of_dump(Family::in_c()?)?.bytes);
    "allocations in Rust: of a restore, the options of the RFC, bound" =>
        Ok(memory_of_restore(Family::new()?)?.times);
    "allocations in C: of a restore, the options of the RFC, bound" =>
        Ok(memory_of_restore(Family::in_c()?)?.times);
    "bytes allocated in Rust: by a restore, the options of the RFC, bound" =>
        Ok(memory_of_restore(Family::new()?)?.bytes);
    "bytes allocated in C: by a restore, the options of the RFC, bound" =>
        Ok(memory_of_restore(Family::in_c()?)?.bytes);
}

/// Loads the module, sees that it does the same, and tells where its functions are.
pub fn prepare() -> Result<()> {
    sys::load_module(MODULE).with_context(|| format!("cannot load {MODULE}"))?;
    let symbols = fs::read_to_string("/proc/kallsyms")?;
    for line in symbols.lines() {
        let mut words = line.split_whitespace();
        if let (Some(addr), Some("t" | "T"), Some(name), Some(MODULE_NAME)) =
            (words.next(), words.next(), words.next(), words.next())
        {
            println!("function {addr} {name}");
        }
    }
    for which in [Which::None, Which::Rfc, Which::All] {
        let socket = with(which)?;
        same_dump(&socket).context("a new socket")?;
        sys::bind(&socket, PORT)?;
        // A member of a group of sockets on a port is not dumped in C.
        if which != Which::All {
            same_dump(&socket).context("a bound socket")?;
        }
    }
    let (to, from) = (with(Which::None)?, with(Which::None)?);
    sys::bind(&to, PORT)?;
    sys::connect(&from, PORT)?;
    same_dump(&from).context("a connected socket")?;
    drop((to, from));
    for (which, bound) in [(Which::None, false), (Which::Rfc, true)] {
        same_restore(which, bound).context("a restored socket")?;
    }
    Ok(())
}

/// What the family in Rust, or in C, tells of a socket.
fn told(mut family: Family, socket: &OwnedFd) -> Result<Vec<RawAttr>> {
    let message = family.request(number::DUMP, &[of(socket)])?;
    family.attrs(&message)
}

/// Sees that both tell the same of a socket, in whatever order.
fn same_dump(socket: &OwnedFd) -> Result<()> {
    let rust = told(Family::new()?, socket)?;
    let c = told(Family::in_c()?, socket).context("in C")?;
    same(&rust, &c)
}

fn same(rust: &[RawAttr], c: &[RawAttr]) -> Result<()> {
    let (rust, c) = (sorted(rust)?, sorted(c)?);
    for (rust, c) in rust.iter().zip(&c) {
        ensure!(rust == c, "in Rust {rust:?}, in C {c:?}");
    }
    let (all, told) = (rust.len(), c.len());
    ensure!(all == told, "{all} attributes in Rust, {told} in C");
    Ok(())
}

/// By their numbers, in nests too. Those of a list keep their order.
fn sorted(attrs: &[RawAttr]) -> Result<Vec<RawAttr>> {
    let mut attrs = attrs
        .iter()
        .map(|attr| {
            if !attr.is_nested() {
                return Ok(attr.clone());
            }
            Ok(RawAttr::nested(attr.kind, &sorted(&attr.children()?)?))
        })
        .collect::<Result<Vec<_>>>()?;
    attrs.sort_by_key(RawAttr::number);
    Ok(attrs)
}

/// Sees that a socket that is restored in C is as one that is restored in Rust.
fn same_restore(which: Which, bound: bool) -> Result<()> {
    let attrs = image(&mut Family::new()?, which, bound)?;
    let made = |mut family: Family| {
        let message = family.request(number::RESTORE, &attrs)?;
        let socket = restored(&mut family, &message)?;
        let mut attrs = told(Family::new()?, &socket)?;
        attrs.retain(|attr| ![number::INODE, number::COOKIE].contains(&attr.number()));
        Ok::<_, anyhow::Error>(attrs)
    };
    let rust = made(Family::new()?)?;
    let c = made(Family::in_c()?).context("in C")?;
    same(&rust, &c)?;
    let is_there = |attr: &RawAttr| attr.number() == number::INODE || c.contains(attr);
    let lost = attrs.iter().find(|attr| !is_there(attr));
    ensure!(lost.is_none(), "not restored: {lost:?}");
    Ok(())
}

/// How many there are, those in nests and the nests themselves.
fn count_attributes(attrs: &[RawAttr]) -> Result<u64> {
    let mut count = 0;
    for attr in attrs {
        count += 1;
        if attr.is_nested() {
            count += count_attributes(&attr.children()?)?;
        }
    }
    Ok(count)
}

/// What a dump takes beside what every request does, for each attribute.
fn per_attribute(family: fn() -> Result<Family>) -> Result<u64> {
    let attributes = count_attributes(&told(family()?, &with(Which::All)?)?)?;
    Ok((dump(family()?, Which::All)? - floor(family()?)?) / attributes)
}

/// What the kernel has allocated from its caches: how often, and how much.
#[derive(Clone, Copy, Default)]
struct Memory {
    times: u64,
    bytes: u64,
}

impl Memory {
    /// Since the machine was started (`CONFIG_SLUB_STATS`).
    fn now() -> Result<Self> {
        let mut all = Self::default();
        for cache in fs::read_dir("/sys/kernel/slab")? {
            let cache = cache?;
            // Another name for a cache is a link.
            if cache.file_type()?.is_symlink() {
                continue;
            }
            let number = |file: &str| -> Result<u64> {
                let text = fs::read_to_string(cache.path().join(file))?;
                let first = text.split_whitespace().next().context("an empty file")?;
                Ok(first.parse()?)
            };
            let times = number("alloc_fastpath")? + number("alloc_slowpath")?;
            all.times += times;
            all.bytes += times * number("slab_size")?;
        }
        Ok(all)
    }

    /// What a call takes of it, of which so many are made that what others take does not count.
    fn of(mut call: impl FnMut() -> Result<()>) -> Result<Self> {
        const CALLS: u64 = 2_000;

        let mut whole = |calls: u64| -> Result<Self> {
            let before = Self::now()?;
            for _ in 0..calls {
                call()?;
            }
            let after = Self::now()?;
            Ok(Self {
                times: after.times - before.times,
                bytes: after.bytes - before.bytes,
            })
        };
        // The files that tell it are found for the first time.
        whole(1)?;
        let empty = whole(0)?;
        let all = whole(CALLS)?;
        let each = |all: u64, empty: u64| (all.saturating_sub(empty) + CALLS / 2) / CALLS;
        Ok(Self {
            times: each(all.times, empty.times),
            bytes: each(all.bytes, empty.bytes),
        })
    }
}

fn memory_of_dump(mut family: Family) -> Result<Memory> {
    let socket = with(Which::All)?;
    let message = family.request(number::DUMP, &[of(&socket)])?;
    Memory::of(|| family.done(&message))
}

fn memory_of_restore(mut family: Family) -> Result<Memory> {
    let attrs = image(&mut Family::new()?, Which::Rfc, true)?;
    let message = family.request(number::RESTORE, &attrs)?;
    let number = restored(&mut family, &message)?.as_raw_fd().cast_unsigned();
    Memory::of(|| {
        family.done(&message)?;
        drop(sys::adopt(number));
        Ok(())
    })
}
