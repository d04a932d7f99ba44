// SPDX-License-Identifier: GPL-2.0

//! THE option table: every option that the family carries, and the values that
//! it is tried with.
//!
//! To test another option, add a row to the file of its kind. Each case becomes
//! a test of its own (`options::NAME::CASE`) and is drawn by the random ones.

mod flags;
mod ip;
mod set;
mod socket;
mod traffic;
mod udp;
mod wire;

use std::net::UdpSocket;

use anyhow::{Context, Result};
use inetcr::RawAttr;

use crate::cr::Dump;
use crate::sys::{link, socket as sys};
pub use set::{Set, apply};
pub use wire::Wire;

/// One way of setting an option, and how it is to be dumped.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub set: Set,
    pub wire: Wire,
}

const fn case(name: &'static str, set: Set, wire: Wire) -> Case {
    Case { name, set, wire }
}

/// An option.
pub struct Row {
    /// As in `SO_NAME`, `IP_NAME` (with `ip_`) and `UDP_NAME` (with `udp_`), lower
    /// case.
    pub name: &'static str,
    /// Where a dump has it: number of its attribute, behind those of the nests
    /// that it is in.
    pub path: &'static [u16],
    /// Which of the bits of the attribute it is, where options share one. The
    /// attribute after it has a mask of those that were saved.
    pub bit: Option<u32>,
    pub level: i32,
    /// Number at its level.
    pub number: i32,
    /// Whether plain calls tell its values apart. If not, the dump is the only
    /// witness.
    pub seen: bool,
    pub cases: &'static [Case],
}

impl Row {
    /// A row of an attribute of its own that plain calls see.
    const fn new(
        name: &'static str,
        path: &'static [u16],
        level: i32,
        number: i32,
        cases: &'static [Case],
    ) -> Self {
        Self {
            name,
            path,
            bit: None,
            level,
            number,
            seen: true,
            cases,
        }
    }

    /// An option that no plain call reads.
    const fn unseen(mut self) -> Self {
        self.seen = false;
        self
    }

    /// The nests around its attribute.
    fn nests(&self) -> &'static [u16] {
        self.path.split_last().map_or(&[], |(_, nests)| nests)
    }

    /// Number of its attribute, without the nests.
    fn attribute(&self) -> u16 {
        self.path.last().copied().unwrap_or_default()
    }

    /// What a dump has of it.
    pub fn found_in(&self, dump: &Dump) -> Option<Vec<u8>> {
        let Some(bit) = self.bit else {
            return dump.at(self.path);
        };
        let mask = [self.nests(), &[self.attribute() + 1]].concat();
        let saved = dump.u32_at(&mask)? & bit != 0;
        let on = dump.u32_at(self.path)? & bit != 0;
        saved.then(|| u32::from(on).to_ne_bytes().to_vec())
    }

    /// The dump as if the option had not been saved.
    pub fn lost_from(&self, dump: Dump) -> Dump {
        let Some(bit) = self.bit else {
            return dump.without_at(self.path);
        };
        let mut dump = dump;
        for number in [self.attribute(), self.attribute() + 1] {
            let path = [self.nests(), &[number]].concat();
            let bits = dump.u32_at(&path).unwrap_or_default() & !bit;
            dump = dump.with_at(self.nests(), RawAttr::u32(number, bits));
        }
        dump
    }
}

/// Every row. What names a device comes before what binds to another one, what
/// changes another option before that one, and what forbids one behind it.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    let tables = [ip::TABLE, udp::TABLE, traffic::TABLE, flags::TABLE];
    tables.into_iter().flatten().chain(socket::TABLE)
}

/// A socket with the option set. It is not bound.
pub fn socket_with(row: &Row, case: &Case) -> Result<UdpSocket> {
    if let Set::Default(sysctl, value) = case.set {
        let _guard = set::Sysctl::core(sysctl, value)?;
        return Ok(sys::udp()?);
    }
    let fd = sys::udp()?;
    apply(&fd, row, case).with_context(|| format!("setting {} to {}", row.name, case.name))?;
    Ok(fd)
}

/// Sets all options on a socket, each to its last case that needs no other device and is not set for
/// the whole machine.
pub fn apply_all(fd: &UdpSocket) -> Result<()> {
    for row in rows() {
        let mut cases = row.cases.iter();
        let case = cases.rfind(|case| !case.set.is_of_other_device() && !case.set.is_of_all());
        let case = case.context("a row without such a case")?;
        apply(fd, row, case).with_context(|| format!("setting {} to {}", row.name, case.name))?;
    }
    Ok(())
}

/// Removes the devices that cases have made.
pub fn remove_devices() {
    for name in ["dummy0", "fifteen-letters", "gone0"] {
        let _ = link::remove(name);
    }
}

/// Cases of an option that is on or off.
macro_rules! boolean {
    () => {
        &[
            case("default", Set::Nothing, Wire::U32(0)),
            case("on", Set::Int(1), Wire::U32(1)),
            case("off_again", Set::Int(0), Wire::U32(0)),
            case("any_int_is_on", Set::Int(i32::MIN), Wire::U32(1)),
        ]
    };
}
use boolean;
