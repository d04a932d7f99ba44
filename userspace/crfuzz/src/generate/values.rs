// SPDX-License-Identifier: GPL-2.0

//! Values of attributes: good ones, those at the edges of what is good, and of what something is to
//! be expected where the specification has no more than a range.

use crate::attrs::{self, NESTED};
use crate::grammar::{Attribute, Kind, MESSAGE, SetId};
use crate::live;
use crate::rng::Rng;

use super::{Generator, LONG};

/// Numbers at which something changes in many programs.
const EDGES: &[u32] = &[
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    16,
    31,
    32,
    40,
    41,
    63,
    64,
    127,
    128,
    255,
    256,
    511,
    512,
    1023,
    1024,
    1472,
    1500,
    2304,
    4096,
    4608,
    16384,
    32767,
    32768,
    65507,
    65508,
    65535,
    65536,
    212_992,
    425_984,
    0x00ff_ffff,
    0x7fff_fffe,
    0x7fff_ffff,
    0x8000_0000,
    0x8000_0001,
    0xffff_fffe,
    0xffff_ffff,
];

/// Times and rates, likewise.
const LONG_EDGES: &[i64] = &[
    0,
    1,
    -1,
    -2,
    999,
    1000,
    999_999_999,
    1_000_000_000,
    -1_000_000_000,
    4_000_000,
    3_999_999,
    1_795_492_494_000_000_000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    9_223_372_036_000_000_000,
    9_223_372_036_854_775_806,
    i64::MAX,
    i64::MIN,
    i64::MIN + 1,
];

/// Values that go far, where the specification has no more than a range. By set and attribute.
const USUAL: &[(&str, &str, &[u32])] = &[
    ("socket", "sock-family", &[2, 2, 2, 2, 2, 2, 2, 10, 1]),
    ("socket", "sock-type", &[2, 2, 2, 2, 2, 2, 2, 1, 3]),
    (
        "socket",
        "sock-protocol",
        &[17, 17, 17, 17, 17, 17, 17, 6, 0, 136],
    ),
    (
        "socket",
        "sockopt-rcvbuf",
        &[212_992, 2304, 4608, 65_536, 425_984],
    ),
    (
        "socket",
        "sockopt-sndbuf",
        &[212_992, 4608, 65_536, 425_984],
    ),
    ("socket", "error", &[0, 111, 101, 113, 90, 511, 512]),
    ("socket", "soft-error", &[0, 111, 101, 113, 511, 512]),
    ("socket", "bound-ifindex", &[1, 2, 99, 1_000_000]),
    ("socket", "queue-len", &[0, 1, 3]),
    ("socket", "error-queue-len", &[0, 1, 3]),
    ("socket", "cork-len", &[0, 1, 5, 1000]),
    ("socket", "sockopt-busy-poll", &[0, 50]),
    ("owner", "id", &[0, 1, 2, 3, 100, 0x7fff_ffff]),
    ("owner", "signum", &[0, 9, 10, 29, 64, 65]),
    (
        "timestamping",
        "flags",
        &[0, 0x1, 0x18, 0x7f, 0x80, 0x800, 0x7ff, 0x3ffff, 0x10000],
    ),
    ("txtime", "clockid", &[0, 1, 11, 7]),
    ("txtime", "flags", &[0, 1, 2, 3, 4]),
    (
        "ip",
        "local-port-range",
        &[0, 0x2000_1000, 0x1000_2000, 0xffff_0001, 0x1b58_1b58],
    ),
    ("udp", "encap", &[0, 1, 2, 3, 6, 7]),
    ("udp", "segment", &[0, 1, 500, 1472, 65535]),
    (
        "datagram",
        "len",
        &[0, 1, 4, 5, 28, 100, 1000, 16_384, 65_507, 65_508],
    ),
    ("datagram", "error-origin", &[1, 2, 4, 5]),
    ("datagram", "error-info", &[0, 1, 2, 1400]),
    (
        "cork",
        "len",
        &[0, 1, 4, 5, 100, 1000, 16_384, 65_507, 65_508],
    ),
    ("cork", "timestamping", &[0, 2, 0x3, 0x100, 0x200]),
    ("cork", "fragsize", &[0, 65_535, 65_536, 1500]),
];

/// Addresses.
pub const ADDRESSES: &[[u8; 4]] = &[
    [127, 0, 0, 1],
    [127, 0, 0, 1],
    [127, 0, 0, 1],
    [127, 0, 0, 2],
    [127, 1, 2, 3],
    [0, 0, 0, 0],
    [127, 255, 255, 255],
    [224, 0, 0, 1],
    [239, 1, 2, 3],
    [239, 1, 2, 4],
    [232, 1, 2, 3],
    [255, 255, 255, 255],
    [10, 0, 0, 1],
    [192, 0, 2, 7],
];

/// Names of devices.
const NAMES: &[&[u8]] = &[
    b"lo\0",
    b"lo\0",
    b"lo\0",
    b"\0",
    b"",
    b"lo",
    b"eth0\0",
    b"none-such\0",
    b"exactly15bytes!\0",
    b"exactly-16bytes!\0",
    b"l\0o\0",
    b"a/b\0",
    b"..\0",
    b"%d\0",
    b"\xff\xfe\0",
];

/// Classic programs: accept all, accept some, drop all, read, jump, and what is refused.
const PROGRAMS: &[&[u64]] = &[
    &[0xffff_ffff_0000_0006],
    &[0x0000_0000_0000_0006],
    &[0x0000_0010_0000_0006],
    &[
        0x0000_0000_0000_0030,
        0x0000_0061_0001_0015,
        0xffff_ffff_0000_0006,
        6,
    ],
    &[0xffff_f000_0000_0028, 0x0000_0000_0000_0016],
    &[
        0x0000_0000_0000_0030,
        0x0000_0000_0000_0007,
        0x0000_0000_0000_0087,
        0x16,
    ],
    &[0x0000_0000_0000_0002, 0x0000_0000_0000_0060, 0x16],
    &[0x0000_0000_0000_0060, 0x16],
    &[0x0000_0000_0000_0034, 0x16],
    &[0x0000_00ff_0000_0005, 6],
    &[0xffff_f024_0000_0020, 0x16],
];

impl Generator<'_> {
    /// Appends an attribute with a value that is mostly good.
    pub fn add(&self, rng: &mut Rng, set: SetId, number: u16, out: &mut Vec<u8>) {
        let Some(attribute) = self.grammar.attribute(set, number) else {
            return;
        };
        let flag = match attribute.kind {
            Kind::Nest(_) => NESTED,
            _ => 0,
        };
        attrs::put(out, number | flag, |out| {
            self.value(rng, set, attribute, out);
        });
    }

    /// Writes a value of an attribute, mostly a good one.
    pub(super) fn value(
        &self,
        rng: &mut Rng,
        set: SetId,
        attribute: &Attribute,
        out: &mut Vec<u8>,
    ) {
        if set == MESSAGE && rng.chance(7, 8) && self.live_value(rng, attribute.number, out) {
            return;
        }
        match &attribute.kind {
            Kind::Be16 => out.extend(port(rng).to_be_bytes()),
            Kind::Number { low, high } => {
                let set = self.grammar.set_name(set);
                let usual = USUAL
                    .iter()
                    .find(|row| (row.0, row.1) == (set, &attribute.name));
                let value = match usual {
                    Some((.., values)) if rng.chance(9, 10) => rng.pick(values).unwrap_or_default(),
                    _ => number(rng, *low, *high),
                };
                out.extend(value.to_ne_bytes());
            }
            Kind::Enum(values) => {
                let good = rng.pick(values).unwrap_or_default();
                let value = if rng.chance(9, 10) {
                    good
                } else {
                    number(rng, 0, 8)
                };
                out.extend(value.to_ne_bytes());
            }
            Kind::Flags(mask) => {
                let value = match rng.below(10) {
                    0 => rng.word(),
                    1 => *mask,
                    2 => 0,
                    3..6 => (1 << rng.below(32)) & mask,
                    _ => rng.word() & mask,
                };
                out.extend(value.to_ne_bytes());
            }
            Kind::Long { signed } => {
                let value = match rng.below(4) {
                    0 => rng.next().cast_signed() >> rng.below(64),
                    1 => rng.between(0, 20) * 1_000_000_000,
                    _ => rng.pick(LONG_EDGES).unwrap_or_default(),
                };
                // As short as it can be, as the kernel writes it, or not.
                let short = i32::try_from(value).map(i32::to_ne_bytes);
                let short = if *signed {
                    short.ok()
                } else {
                    u32::try_from(value).map(u32::to_ne_bytes).ok()
                };
                match short {
                    Some(short) if rng.chance(3, 4) => out.extend(short),
                    _ => out.extend(value.to_ne_bytes()),
                }
            }
            Kind::Text { .. } => out.extend_from_slice(rng.pick(NAMES).unwrap_or_default()),
            Kind::Bytes { max } => self.bytes(rng, *max, attribute.number, out),
            Kind::Address => match rng.below(16) {
                0 => out.resize(out.len() + 16, rng.word().to_le_bytes()[0]),
                1 => out.extend(rng.word().to_ne_bytes()),
                2 => out.resize(out.len() + rng.below(18), 127),
                _ => out.extend(rng.pick(ADDRESSES).unwrap_or_default()),
            },
            Kind::Nest(inside) => {
                let all = self.grammar.attributes(*inside).count();
                // Often all of it: many nests are only good when they are complete.
                let of = rng.pick(&[1, 1, 2, 4]).unwrap_or(1);
                let twice = rng.chance(1, 30);
                for nth in 0..all {
                    let Some(one) = self.grammar.nth(*inside, nth) else {
                        continue;
                    };
                    if rng.chance(1, of) {
                        let times = if one.list {
                            rng.below(4)
                        } else {
                            1 + usize::from(twice)
                        };
                        for _ in 0..times {
                            self.add(rng, *inside, one.number, out);
                        }
                    }
                }
            }
            Kind::Unused => {}
        }
    }

    /// Writes the number of something that is there.
    fn live_value(&self, rng: &mut Rng, number: u16, out: &mut Vec<u8>) -> bool {
        let socket = rng.word() % live::SOCKETS;
        let is_inode = |number| {
            let attribute = self.grammar.attribute(MESSAGE, number);
            attribute.is_some_and(|one| one.name == "filter-inode")
        };
        if number == self.inode || number == self.cookie || is_inode(number) {
            out.extend(live::holder(socket).to_ne_bytes());
        } else if number == self.fd {
            out.extend((live::FIRST_SOCKET + socket).to_ne_bytes());
        } else if number == self.pidfd {
            let pidfd = live::FIRST_PIDFD + rng.word() % live::PIDFDS;
            out.extend(pidfd.to_ne_bytes());
        } else {
            return false;
        }
        true
    }

    fn bytes(&self, rng: &mut Rng, max: usize, number: u16, out: &mut Vec<u8>) {
        if max >= 8192 && number != self.payload {
            // A program.
            let program = rng.pick(PROGRAMS).unwrap_or_default();
            let mut program = program.to_vec();
            if rng.chance(1, 4) {
                let at = rng.below(program.len());
                program[at] ^= 1 << rng.below(64);
            }
            out.extend(program.iter().flat_map(|one| one.to_ne_bytes()));
            return;
        }
        let edges = [
            0,
            1,
            3,
            4,
            5,
            8,
            20,
            28,
            39,
            40,
            41,
            100,
            1000,
            max,
            max + 1,
        ];
        let mut len = rng.pick(&edges).unwrap_or_default();
        if len > LONG && rng.chance(7, 8) {
            len = rng.below(64);
        }
        match rng.below(3) {
            // IP options: none of them, an end, a record of the route.
            0 if (8..=41).contains(&len) => {
                let begin = out.len();
                out.extend([7, 7, 4, 0, 0, 0, 0, 0]);
                out.resize(begin + len, 1);
            }
            _ => out.resize(out.len() + len, rng.word().to_le_bytes()[0]),
        }
    }
}

/// A number that is mostly in its range, and often at the edge of it.
fn number(rng: &mut Rng, low: i64, high: i64) -> u32 {
    let bits = |value: i64| {
        let bytes = value.to_le_bytes();
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    };
    match rng.below(12) {
        0..4 => bits(rng.between(low, high.min(low.saturating_add(1 << 32)))),
        4 | 5 => bits(low),
        6 | 7 => bits(high),
        8 => bits(low - 1),
        9 => bits(high + 1),
        _ => rng.pick(EDGES).unwrap_or_default(),
    }
}

/// A port: of a socket that is there, of nobody, none.
fn port(rng: &mut Rng) -> u16 {
    let near = u16::try_from(rng.below(16)).unwrap_or_default();
    match rng.below(6) {
        0 => 0,
        1 | 2 => live::FIRST_PORT + near,
        3 => rng
            .pick(&[1, 53, 80, 1023, 1024, 32768, 60999, 65535])
            .unwrap_or_default(),
        _ => u16::try_from(rng.below(1 << 16)).unwrap_or_default(),
    }
}
