// SPDX-License-Identifier: GPL-2.0

//! What the dump says of an option, by the family's encoding rules.

use std::net::UdpSocket;

use anyhow::{Result, ensure};
use inetcr::RawAttr;

use super::set::program;
use super::{Row, sys};
use crate::cr::Dump;
use crate::sys::filter::Instruction;

/// What the dump says of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Not there.
    Absent,
    U32(u32),
    S32(i32),
    /// 4 or 8 bytes.
    Uint(u64),
    /// Nanoseconds; -1 without limit.
    Sint(i64),
    /// Nest: on, nanoseconds.
    Linger(u32, i64),
    /// Nest: flags, clock, whether the option is the new one.
    Timestamping(u32, i32, u32),
    /// Nest: clock, flags.
    Txtime(i32, u32),
    Name(&'static str),
    /// Not there, or zeroes, if it is none.
    Address([u8; 4]),
    Bytes(&'static [u8]),
    /// A filter of so many instructions that takes so many bytes of a datagram.
    Filter(usize, u32),
    /// There, with the value that `getsockopt(2)` reads.
    AsOption,
    /// There, with a value that the test does not predict.
    Any,
}

impl Wire {
    /// Fails unless a dump says this of an option. The copy is there to be asked
    /// for the value.
    pub fn check(self, row: &Row, dump: &Dump, copy: &UdpSocket) -> Result<()> {
        let mut found = row.found_in(dump);
        // The number of an attribute is no part of its payload.
        let payload = |attr: RawAttr| Some(attr.payload);
        let expected = match self {
            Self::Any => {
                ensure!(found.is_some(), "attribute {:?} is absent", row.path);
                return Ok(());
            }
            Self::Absent => None,
            Self::U32(value) => payload(RawAttr::u32(0, value)),
            Self::S32(value) => payload(RawAttr::s32(0, value)),
            Self::Uint(value) => payload(RawAttr::uint(0, value)),
            Self::Sint(value) => payload(RawAttr::sint(0, value)),
            Self::Linger(on, time) => payload(RawAttr::nested(
                0,
                &[RawAttr::u32(1, on), RawAttr::sint(2, time)],
            )),
            Self::Timestamping(flags, clock, new) => payload(RawAttr::nested(
                0,
                &[
                    RawAttr::u32(1, flags),
                    RawAttr::s32(2, clock),
                    RawAttr::u32(3, new),
                ],
            )),
            Self::Txtime(clock, flags) => payload(RawAttr::nested(
                0,
                &[RawAttr::s32(1, clock), RawAttr::u32(2, flags)],
            )),
            Self::Name(name) => Some([name.as_bytes(), &[0]].concat()),
            Self::Address(address) => {
                found = found.or(Some(vec![0; 4]));
                Some(address.to_vec())
            }
            Self::Bytes(bytes) => Some(bytes.to_vec()),
            Self::Filter(len, taken) => {
                let program = program(len, taken).into_iter();
                Some(program.flat_map(Instruction::bytes).collect())
            }
            Self::AsOption => {
                let value = sys::get_int(copy, row.level, row.number)?;
                payload(RawAttr::s32(0, value))
            }
        };
        ensure!(
            found == expected,
            "dumped as {found:02x?}, expected {expected:02x?}"
        );
        Ok(())
    }
}
