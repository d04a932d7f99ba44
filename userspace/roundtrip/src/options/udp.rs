// SPDX-License-Identifier: GPL-2.0

//! Options of level `SOL_UDP` that are more than on or off.

use libc::SOL_UDP;

use super::{Row, Set, Wire, case};

pub const TABLE: &[Row] = &[
    // What it leaves behind, and ESP, which takes XFRM: cases/encap.rs.
    Row::new(
        "udp_encap",
        &[59, 3],
        SOL_UDP,
        100,
        &[
            case("none", Set::Nothing, Wire::U32(0)),
            case("l2tp", Set::Int(3), Wire::U32(3)),
        ],
    ),
    Row::new(
        "udp_segment",
        &[59, 4],
        SOL_UDP,
        libc::UDP_SEGMENT,
        &[
            case("default", Set::Nothing, Wire::U32(0)),
            case("off_again", Set::Int(0), Wire::U32(0)),
            case("one_byte", Set::Int(1), Wire::U32(1)),
            case("largest", Set::Int(0xffff), Wire::U32(0xffff)),
            case("some", Set::Int(1000), Wire::U32(1000)),
        ],
    ),
];
