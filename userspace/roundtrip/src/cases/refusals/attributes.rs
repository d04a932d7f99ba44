// SPDX-License-Identifier: GPL-2.0

//! Attributes that are wrong. The whole table goes through each kind of mistake,
//! nests included, so that a new attribute is tried without a word here.

use anyhow::{Context, Result, ensure};
use inetcr::table::{AttributeInfo, AttributePath, Kind, Role, SOCKET};
use inetcr::{Client, RawAttr};

use super::messages::good;
use crate::cr::{self, DUMP, Dump, Expected, attr};
use crate::runner::Test;
use crate::sys::socket;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("refusals::message::short", short),
        Test::new("refusals::message::long", long),
        Test::new("refusals::message::repeated", repeated),
        Test::new("refusals::message::flags_and_mask", flags_and_mask),
        Test::new("refusals::message::unknown", unknown),
    ]
}

/// An attribute that RESTORE takes: its path, and its row.
type Taken = (Vec<u16>, &'static AttributeInfo);

/// Every attribute that RESTORE takes, those in nests included.
fn taken() -> Vec<Taken> {
    let mut found = Vec::new();
    add(SOCKET, &[], &mut found);
    found
}

fn add(table: &'static [AttributeInfo], nests: &[u16], found: &mut Vec<Taken>) {
    for row in table.iter().filter(|row| row.role != Role::Other) {
        let path = [nests, &[row.number]].concat();
        found.push((path.clone(), row));
        if let Kind::Nest(_, inside) = row.kind {
            add(inside, &path, found);
        }
    }
}

/// Lengths that are too short for an attribute.
pub fn too_short(kind: Kind) -> &'static [usize] {
    match kind {
        Kind::Be16 => &[0, 1],
        Kind::Nest(..) => &[1, 3],
        // An empty name is a name, of no device; no bytes are some bytes.
        Kind::Device | Kind::Binary => &[],
        _ => &[0, 3],
    }
}

/// Lengths that are too long for an attribute.
pub fn too_long(kind: Kind) -> &'static [usize] {
    match kind {
        Kind::Be16 => &[3, 4, 8],
        Kind::U32 | Kind::S32 | Kind::Bool | Kind::Enum(_) | Kind::Flags(_) => &[5, 8],
        Kind::Uint | Kind::Sint => &[5, 12, 16],
        Kind::Device => &[17, 40],
        // IP options have up to 40, a filter 8 for each instruction.
        Kind::Binary => &[41, 100],
        Kind::Nest(..) => &[],
        _ => &[5, 16, 17, 40],
    }
}

/// An attribute of some bytes, with the flag of a nest if it is one.
fn attribute(number: u16, kind: Kind, payload: Vec<u8>) -> RawAttr {
    match kind {
        Kind::Nest(..) => RawAttr::new(number | inetcr::NLA_F_NESTED, payload),
        _ => RawAttr::new(number, payload),
    }
}

/// Puts some bytes into the place of an attribute, and sees that they are
/// refused and that it is blamed.
fn spoil(client: &mut Client, dump: &Dump, (path, row): &Taken, len: usize) -> Result<()> {
    let Some((number, nests)) = path.split_last() else {
        return Ok(());
    };
    let bad = attribute(*number, row.kind, vec![1; len]);
    let dump = dump.clone().with_at(nests, bad);
    let paths = [path.as_slice()];
    let expected = Expected::errno(&[libc::EINVAL, libc::ERANGE]).paths(&paths);
    cr::restore_refused(client, &dump, expected).with_context(|| format!("{path:?}: {len} bytes"))
}

/// Every attribute, cut by a byte and to nothing.
fn short() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    for taken in taken() {
        for len in too_short(taken.1.kind) {
            spoil(&mut client, &dump, &taken, *len)?;
        }
    }
    // A name without its NUL is longer than the longest.
    let bad = RawAttr::new(attr::BINDTODEVICE, Vec::new());
    let expected =
        Expected::errno(&[libc::EINVAL, libc::ERANGE, libc::ENODEV]).attribute(attr::BINDTODEVICE);
    cr::restore_refused(&mut client, &dump.with(bad), expected)
}

/// Every attribute, longer than it can be.
fn long() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    for taken in taken() {
        for len in too_long(taken.1.kind) {
            spoil(&mut client, &dump, &taken, *len)?;
        }
    }
    Ok(())
}

/// Every attribute twice, but for those that may come several times.
fn repeated() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    let mut tried = 0;
    for (path, row) in taken() {
        let (Some((number, nests)), Some(payload)) = (path.split_last(), dump.at(&path)) else {
            continue;
        };
        if row.list {
            continue;
        }
        tried += u32::from(path.starts_with(&[attr::MEMBERSHIP]));
        let again = attribute(*number, row.kind, payload);
        let twice = dump.clone().adding_at(nests, again);
        let paths = [path.as_slice()];
        let expected = Expected::errno(&[libc::EINVAL]).paths(&paths);
        cr::restore_refused(&mut client, &twice, expected)
            .with_context(|| format!("attribute {path:?}"))?;
    }
    ensure!(tried == 4, "{tried} attributes of a membership, not 4");
    // In a request of DUMP, too.
    let socket = socket::udp()?;
    let fd = RawAttr::u32(
        attr::SOCK_FD,
        std::os::fd::AsRawFd::as_raw_fd(&socket).cast_unsigned(),
    );
    let expected = Expected::errno(&[libc::EINVAL]).attribute(attr::SOCK_FD);
    cr::refused(client.raw(DUMP, &[fd.clone(), fd]), expected)?;
    Ok(())
}

/// Flags say nothing without the mask that says which of them were saved, and
/// none that is not in it, or has no name, can be on.
fn flags_and_mask() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    let taken = taken();
    let mut tried = 0;
    for (path, row) in &taken {
        let (Kind::Flags(_), Some((number, nests))) = (row.kind, path.split_last()) else {
            continue;
        };
        let mask = [nests, &[number + 1]].concat();
        let name = AttributePath::new(&mask);
        if !name.name().is_some_and(|name| name.ends_with("flags-mask")) {
            continue;
        }
        let both = |flags, mask| {
            let dump = dump.clone().with_at(nests, RawAttr::u32(*number, flags));
            dump.with_at(nests, RawAttr::u32(number + 1, mask))
        };
        let bad = [
            ("without its mask", dump.clone().without_at(&mask)),
            ("a mask without flags", dump.clone().without_at(path)),
            ("a bit without its mask", both(1, 0)),
            ("a bit without its mask", both(3, 2)),
            ("an unknown bit", both(1 << 31, 1 << 31)),
            ("an unknown bit, off", both(0, 1 << 31)),
            ("an unknown bit, not saved", both(1 << 31, 0)),
        ];
        let paths = [path.as_slice(), mask.as_slice()];
        for (what, bad) in bad {
            let expected = Expected::errno(&[libc::EINVAL, libc::ERANGE]).paths(&paths);
            cr::restore_refused(&mut client, &bad, expected)
                .with_context(|| format!("{path:?}: {what}"))?;
        }
        // Nothing of them was saved.
        drop(cr::restore(&mut client, &both(0, 0))?);
        tried += 1;
    }
    ensure!(tried == 3, "{tried} attributes have a mask, not 3");
    Ok(())
}

fn unknown() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    let mut sets = vec![(Vec::new(), SOCKET)];
    for (path, row) in taken() {
        if let Kind::Nest(_, inside) = row.kind {
            sets.push((path, inside));
        }
    }
    for (nests, table) in &sets {
        let last = table.iter().map(|row| row.number).max().unwrap_or_default();
        for number in [0, last + 1, 100, 1000, 0x3fff] {
            let path = [nests.as_slice(), &[number]].concat();
            let bad = dump.clone().adding_at(nests, RawAttr::u32(number, 0));
            let paths = [path.as_slice()];
            let expected = Expected::errno(&[libc::EINVAL]).paths(&paths);
            cr::restore_refused(&mut client, &bad, expected)
                .with_context(|| format!("attribute {path:?}"))?;
        }
    }
    // A nest without its flag, and a number with it.
    for (nest, _) in sets.iter().filter(|(nest, _)| !nest.is_empty()) {
        let bad = RawAttr::new(nest[0], dump.at(nest).unwrap_or_default());
        let expected = Expected::errno(&[libc::EINVAL]).attribute(nest[0]);
        cr::restore_refused(&mut client, &dump.clone().with(bad), expected)
            .with_context(|| format!("nest {nest:?} without its flag"))?;
    }
    let bad = dump.with(RawAttr::new(
        attr::DEBUG | inetcr::NLA_F_NESTED,
        0_u32.to_ne_bytes(),
    ));
    let expected = Expected::errno(&[libc::EINVAL]).attribute(attr::DEBUG);
    cr::restore_refused(&mut client, &bad, expected)
}
