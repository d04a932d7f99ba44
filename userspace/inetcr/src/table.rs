// SPDX-License-Identifier: GPL-2.0
//! The attributes of the family: numbers, names and types.
//!
//! [`SOCKET`] is the library's one table. The rows of what a [`State`](crate::State) carries come
//! from the definition of [`State`](crate::State) itself, so that encoding, decoding, JSON and these names cannot
//! differ; the other rows are what messages have beside a state, and one number that stays unused.
//! A test compares all of it with the YNL specification.

use std::fmt;

pub use crate::state::SOCKET;

/// Name of the family on the wire.
pub const FAMILY: &str = "af-inet-cr";
/// Version of the family that this library speaks.
pub const FAMILY_VERSION: u8 = 1;

/// Type of an attribute's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The number is kept and means nothing.
    Unused,
    /// `u32`.
    U32,
    /// `s32`.
    S32,
    /// `uint`, 4 or 8 bytes.
    Uint,
    /// `sint`, 4 or 8 bytes.
    Sint,
    /// `u32` that is 0 or 1.
    Bool,
    /// `u16` in network byte order.
    Be16,
    /// `u32` of the named enumeration.
    Enum(&'static str),
    /// `u32` of bits of the named enumeration.
    Flags(&'static str),
    /// IPv4 or IPv6 address in network byte order.
    Address,
    /// Name of a network device.
    Device,
    /// Text.
    String,
    /// Any bytes.
    Binary,
    /// Attributes of the named set, whose table is empty if this version carries none of them.
    Nest(&'static str, &'static [AttributeInfo]),
}

/// What an attribute of a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Says which socket it is. Differs between a socket and its restored copy.
    Identity,
    /// State whose absence is a value: no address, no device.
    Place,
    /// State that is absent if it was not saved.
    State,
    /// Not part of a [`State`](crate::State).
    Other,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeInfo {
    /// Number in the UAPI header.
    pub number: u16,
    /// Name in the specification, with dashes.
    pub name: &'static str,
    /// Type of the payload.
    pub kind: Kind,
    /// What it is for.
    pub role: Role,
    /// Whether it may come several times, in an order that counts. Not said of what is not part of
    /// a [`State`](crate::State).
    pub list: bool,
}

/// The row of a number, if the table has one.
///
/// ```
/// let row = inetcr::table::lookup(inetcr::table::SOCKET, 6).unwrap();
/// assert_eq!(row.name, "sockopt-broadcast");
/// ```
pub fn lookup(table: &'static [AttributeInfo], number: u16) -> Option<&'static AttributeInfo> {
    table.iter().find(|row| row.number == number)
}

/// The row of a name, if the table has one.
pub fn by_name(table: &'static [AttributeInfo], name: &str) -> Option<&'static AttributeInfo> {
    table.iter().find(|row| row.name == name)
}

/// A command of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Dump a socket.
    Dump = 1,
    /// Make a socket from a dump.
    Restore = 2,
    /// Apply a dump to a socket.
    Amend = 3,
    /// Dump the datagrams that wait in a socket.
    Queue = 4,
}

impl Command {
    /// All commands, in order.
    pub const ALL: [Self; 4] = [Self::Dump, Self::Restore, Self::Amend, Self::Queue];

    /// Name in the specification.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dump => "dump",
            Self::Restore => "restore",
            Self::Amend => "amend",
            Self::Queue => "queue",
        }
    }

    /// Number in the UAPI header.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// An attribute that somebody talks about: its number and, where known, its name, within the nests
/// that it is in.
///
/// ```
/// use inetcr::table::AttributePath;
///
/// assert_eq!(AttributePath::new(&[10, 2]).to_string(), "sockopt-linger.time");
/// assert_eq!(AttributePath::new(&[999]).to_string(), "number 999");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributePath(Vec<u16>);

impl AttributePath {
    /// The attribute at the end of a path of numbers, outermost first.
    pub fn new(numbers: &[u16]) -> Self {
        Self(numbers.to_vec())
    }

    /// The numbers on the way to it, outermost first, itself last.
    pub fn numbers(&self) -> &[u16] {
        &self.0
    }

    /// Number of the attribute itself, in the set that it belongs to.
    pub fn number(&self) -> u16 {
        self.0.last().copied().unwrap_or(0)
    }

    /// Name of the attribute itself, without the nests around it.
    pub fn name(&self) -> Option<&'static str> {
        self.row().map(|row| row.name)
    }

    /// Type of the attribute's payload.
    pub fn kind(&self) -> Option<Kind> {
        self.row().map(|row| row.kind)
    }

    /// The row of the attribute itself, if the tables have one.
    fn row(&self) -> Option<&'static AttributeInfo> {
        let mut table = SOCKET;
        let mut last = None;
        for &number in &self.0 {
            let row = lookup(table, number);
            last = row;
            table = match row.map(|row| row.kind) {
                Some(Kind::Nest(_, children)) => children,
                _ => &[],
            };
        }
        last
    }
}

impl fmt::Display for AttributePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = SOCKET;
        for (depth, &number) in self.0.iter().enumerate() {
            if depth > 0 {
                f.write_str(".")?;
            }
            let row = lookup(table, number);
            match row {
                Some(row) => f.write_str(row.name)?,
                None => write!(f, "number {number}")?,
            }
            table = match row.map(|row| row.kind) {
                Some(Kind::Nest(_, children)) => children,
                _ => &[],
            };
        }
        Ok(())
    }
}
