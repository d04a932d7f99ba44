// SPDX-License-Identifier: GPL-2.0

//! Options of level `SOL_IP` that are more than on or off.

use libc::SOL_IP;

use super::{Row, Set, Wire, case};

pub const TABLE: &[Row] = &[
    // Changes the priority, too.
    Row::new(
        "ip_tos",
        &[58, 3],
        SOL_IP,
        libc::IP_TOS,
        &[
            case("default", Set::Nothing, Wire::U32(0)),
            case("low_delay", Set::Int(0x10), Wire::U32(0x10)),
            case("congestion_bits", Set::Int(3), Wire::U32(3)),
            case("one_byte", Set::Bytes(&[0xb8]), Wire::U32(0xb8)),
            case("eight_bits_count", Set::Int(0x1fc), Wire::U32(0xfc)),
            case("largest", Set::Int(255), Wire::U32(255)),
        ],
    ),
    // Unset, it reads as the default of the namespace.
    Row::new(
        "ip_ttl",
        &[58, 4],
        SOL_IP,
        libc::IP_TTL,
        &[
            case("unset", Set::Nothing, Wire::S32(-1)),
            case("unset_again", Set::Int(-1), Wire::S32(-1)),
            case("as_the_default", Set::Int(64), Wire::S32(64)),
            case("least", Set::Int(1), Wire::S32(1)),
            case("largest", Set::Int(255), Wire::S32(255)),
        ],
    ),
    Row::new(
        "ip_minttl",
        &[58, 5],
        SOL_IP,
        libc::IP_MINTTL,
        &[
            case("default", Set::Nothing, Wire::U32(0)),
            case("largest", Set::Int(255), Wire::U32(255)),
            case("some", Set::Int(3), Wire::U32(3)),
        ],
    ),
    Row::new(
        "ip_options",
        &[58, 6],
        SOL_IP,
        libc::IP_OPTIONS,
        &[
            case("none", Set::Nothing, Wire::Absent),
            // As good as none.
            case("empty", Set::Bytes(&[]), Wire::Absent),
            case("taken_back", Set::BytesThen(&[1; 4], &[]), Wire::Absent),
            case("padded", Set::Bytes(&[1, 1]), Wire::Bytes(&[1, 1, 0, 0])),
            case("longest", Set::Bytes(&[1; 40]), Wire::Bytes(&[1; 40])),
            // What the kernel keeps otherwise than it got it.
            case(
                "record_route",
                Set::Bytes(&[7, 7, 4, 0, 0, 0, 0, 0]),
                Wire::Bytes(&[7, 7, 4, 0, 0, 0, 0, 0]),
            ),
            case(
                "time_stamp",
                Set::Bytes(&[68, 8, 5, 0, 0, 0, 0, 0]),
                Wire::Bytes(&[68, 8, 5, 0, 0, 0, 0, 0]),
            ),
            case(
                "source_route",
                Set::Bytes(&[131, 11, 4, 127, 0, 0, 5, 127, 0, 0, 1, 0]),
                Wire::Bytes(&[131, 11, 4, 127, 0, 0, 5, 127, 0, 0, 1, 0]),
            ),
            case("nothing", Set::Bytes(&[1; 4]), Wire::Bytes(&[1; 4])),
        ],
    ),
    Row::new(
        "ip_mtu_discover",
        &[58, 7],
        SOL_IP,
        libc::IP_MTU_DISCOVER,
        &[
            case("default", Set::Nothing, Wire::AsOption),
            case("dont", Set::Int(0), Wire::U32(0)),
            case("want", Set::Int(1), Wire::U32(1)),
            case("do", Set::Int(2), Wire::U32(2)),
            case("probe", Set::Int(3), Wire::U32(3)),
            case("interface", Set::Int(4), Wire::U32(4)),
            case("omit", Set::Int(5), Wire::U32(5)),
        ],
    ),
    Row::new(
        "ip_multicast_ttl",
        &[58, 8],
        SOL_IP,
        libc::IP_MULTICAST_TTL,
        &[
            case("default", Set::Nothing, Wire::U32(1)),
            case("host", Set::Int(0), Wire::U32(0)),
            case("default_again", Set::Int(-1), Wire::U32(1)),
            case("largest", Set::Int(255), Wire::U32(255)),
            case("some", Set::Int(5), Wire::U32(5)),
        ],
    ),
    // No call reads the device, where no address was given.
    Row::new(
        "ip_multicast_if",
        &[58, 9],
        SOL_IP,
        libc::IP_MULTICAST_IF,
        &[
            case("none", Set::Nothing, Wire::Name("")),
            case("by_address", Set::Bytes(&[127, 0, 0, 1]), Wire::Name("lo")),
            case("dummy", Set::Mreqn([0; 4], "dummy0"), Wire::Name("dummy0")),
            case("by_index", Set::Mreqn([0; 4], "lo"), Wire::Name("lo")),
        ],
    ),
    Row::new(
        "ip_multicast_if_address",
        &[58, 10],
        SOL_IP,
        libc::IP_MULTICAST_IF,
        &[
            case("none", Set::Nothing, Wire::Address([0; 4])),
            case("by_index", Set::Mreqn([0; 4], "lo"), Wire::Address([0; 4])),
            case(
                "taken_back",
                Set::BytesThen(&[127, 0, 0, 1], &[0; 4]),
                Wire::Address([0; 4]),
            ),
            case(
                "by_address",
                Set::Bytes(&[127, 0, 0, 1]),
                Wire::Address([127, 0, 0, 1]),
            ),
            // With a device, nobody looks whose address it is.
            case(
                "of_somebody",
                Set::Mreqn([192, 0, 2, 1], "lo"),
                Wire::Address([192, 0, 2, 1]),
            ),
        ],
    ),
    Row::new(
        "ip_unicast_if",
        &[58, 11],
        SOL_IP,
        libc::IP_UNICAST_IF,
        &[
            case("none", Set::Nothing, Wire::Name("")),
            case("none_again", Set::Int(0), Wire::Name("")),
            case("dummy", Set::Index("dummy0"), Wire::Name("dummy0")),
            case("loopback", Set::Index("lo"), Wire::Name("lo")),
        ],
    ),
    Row::new(
        "ip_local_port_range",
        &[58, 12],
        SOL_IP,
        51,
        &[
            case("default", Set::Nothing, Wire::U32(0)),
            case("low_only", Set::Int(40_000), Wire::U32(40_000)),
            case(
                "high_only",
                Set::Int(0x9c40_0000_u32.cast_signed()),
                Wire::U32(0x9c40_0000),
            ),
            case("one_port", Set::Int(0x7d00_7d00), Wire::U32(0x7d00_7d00)),
            case("everything", Set::Int(-0xffff), Wire::U32(0xffff_0001)),
            case("all_ones", Set::Int(-1), Wire::U32(u32::MAX)),
            case("some", Set::Int(0x7d01_7d00), Wire::U32(0x7d01_7d00)),
        ],
    ),
];
