// SPDX-License-Identifier: GPL-2.0

//! Options of level `SOL_SOCKET` that the socket itself uses.

use libc::SOL_SOCKET;

use super::{Row, Set, Wire, boolean, case};

/// Cases of the two timeouts.
macro_rules! timeout {
    () => {
        &[
            case("infinite", Set::Nothing, Wire::Sint(-1)),
            case("infinite_again", Set::Time(0, 0), Wire::Sint(-1)),
            case("do_not_wait", Set::Time(-1, 0), Wire::Sint(0)),
            // One tick of the clock, whatever CONFIG_HZ is.
            case("one_tick", Set::Time(0, 1), Wire::Any),
            case("one_second", Set::Time(1, 0), Wire::Sint(1_000_000_000)),
            case("fraction", Set::Time(3, 999_999), Wire::Any),
            case(
                "a_century",
                Set::Time(3_155_760_000, 0),
                Wire::Sint(3_155_760_000_000_000_000),
            ),
            // Where the kernel takes it for infinite.
            case("end_of_time", Set::Time(i64::MAX, 0), Wire::Sint(-1)),
        ]
    };
}

/// Cases of the two buffers.
macro_rules! buffer {
    ($sysctl:literal, $force:literal) => {
        &[
            case("default", Set::Nothing, Wire::AsOption),
            case("smallest", Set::Int(0), Wire::AsOption),
            case("page", Set::Int(4096), Wire::U32(8192)),
            case("odd_half", Set::Int(5001), Wire::U32(10_002)),
            // Clamped by the sysctl.
            case("largest", Set::Int(i32::MAX), Wire::AsOption),
            case("forced", Set::IntOf($force, 1 << 29), Wire::U32(1 << 30)),
            case(
                "forced_to_the_end",
                Set::IntOf($force, i32::MAX),
                Wire::U32(0x7fff_fffe),
            ),
            // setsockopt cannot give an odd size, the default of new sockets can.
            case(
                "odd_default",
                Set::Default($sysctl, 212_993),
                Wire::U32(212_993),
            ),
        ]
    };
}

pub const TABLE: &[Row] = &[
    Row::new(
        "bindtodevice",
        &[5],
        SOL_SOCKET,
        libc::SO_BINDTODEVICE,
        &[
            case("none", Set::Nothing, Wire::Name("")),
            case("loopback", Set::Existing("lo"), Wire::Name("lo")),
            case("dummy", Set::Device("dummy0"), Wire::Name("dummy0")),
            case(
                "longest_name",
                Set::Device("fifteen-letters"),
                Wire::Name("fifteen-letters"),
            ),
            case("gone", Set::DeviceGone, Wire::Absent),
        ],
    ),
    Row::new(
        "broadcast",
        &[6],
        SOL_SOCKET,
        libc::SO_BROADCAST,
        boolean!(),
    ),
    Row::new("debug", &[7], SOL_SOCKET, libc::SO_DEBUG, boolean!()),
    Row::new(
        "dontroute",
        &[8],
        SOL_SOCKET,
        libc::SO_DONTROUTE,
        boolean!(),
    ),
    Row::new(
        "keepalive",
        &[9],
        SOL_SOCKET,
        libc::SO_KEEPALIVE,
        boolean!(),
    ),
    Row::new(
        "linger",
        &[10],
        SOL_SOCKET,
        libc::SO_LINGER,
        &[
            case("default", Set::Nothing, Wire::Linger(0, 0)),
            case("on_zero", Set::Pair(1, 0), Wire::Linger(1, 0)),
            case("on", Set::Pair(1, 5), Wire::Linger(1, 5_000_000_000)),
            case(
                "off_keeps_the_time",
                Set::PairThenOff(1, 7),
                Wire::Linger(0, 7_000_000_000),
            ),
            case(
                "huge",
                Set::Pair(1, i32::MAX),
                Wire::Linger(1, 2_147_483_647_000_000_000),
            ),
            case(
                "negative_is_infinite",
                Set::Pair(1, -1),
                Wire::Linger(1, -1),
            ),
            case("off_infinite", Set::PairThenOff(1, -1), Wire::Linger(0, -1)),
        ],
    ),
    Row::new(
        "oobinline",
        &[11],
        SOL_SOCKET,
        libc::SO_OOBINLINE,
        boolean!(),
    ),
    Row::new(
        "priority",
        &[13],
        SOL_SOCKET,
        libc::SO_PRIORITY,
        &[
            case("default", Set::Nothing, Wire::U32(0)),
            case("free", Set::Int(6), Wire::U32(6)),
            case("privileged", Set::Int(7), Wire::U32(7)),
            case("largest", Set::Int(i32::MAX), Wire::U32(0x7fff_ffff)),
            case("all_ones", Set::Int(-1), Wire::U32(u32::MAX)),
        ],
    ),
    Row::new(
        "rcvlowat",
        &[14],
        SOL_SOCKET,
        libc::SO_RCVLOWAT,
        &[
            case("default", Set::Nothing, Wire::U32(1)),
            case("zero_is_one", Set::Int(0), Wire::U32(1)),
            case("some", Set::Int(1000), Wire::U32(1000)),
            case("above_the_buffer", Set::Int(1 << 30), Wire::U32(1 << 30)),
            case("negative_is_largest", Set::Int(-1), Wire::U32(0x7fff_ffff)),
        ],
    ),
    Row::new("rcvtimeo", &[15], SOL_SOCKET, 66, timeout!()),
    Row::new("sndtimeo", &[16], SOL_SOCKET, 67, timeout!()),
    Row::new(
        "rcvbuf",
        &[17],
        SOL_SOCKET,
        libc::SO_RCVBUF,
        buffer!("rmem_default", 33),
    ),
    Row::new(
        "reuseaddr",
        &[18],
        SOL_SOCKET,
        libc::SO_REUSEADDR,
        boolean!(),
    ),
    Row::new(
        "sndbuf",
        &[19],
        SOL_SOCKET,
        libc::SO_SNDBUF,
        buffer!("wmem_default", 32),
    ),
    Row::new(
        "timestamp",
        &[20],
        SOL_SOCKET,
        29,
        &[
            case("off", Set::Nothing, Wire::U32(0)),
            case("us_old", Set::IntOf(29, 1), Wire::U32(1)),
            case("us_new", Set::IntOf(63, 1), Wire::U32(2)),
            case("ns_old", Set::IntOf(35, 1), Wire::U32(3)),
            case("ns_new", Set::IntOf(64, 1), Wire::U32(4)),
        ],
    ),
    Row::new(
        "sndbuf_ulock",
        &[21],
        SOL_SOCKET,
        72,
        &[
            case("default", Set::Nothing, Wire::U32(0)),
            case("alone", Set::Int(1), Wire::U32(1)),
            case("both", Set::Int(3), Wire::U32(1)),
            case("with_a_size", Set::IntOf(7, 3000), Wire::U32(1)),
        ],
    ),
    Row::new(
        "rcvbuf_ulock",
        &[22],
        SOL_SOCKET,
        72,
        &[
            case("default", Set::Nothing, Wire::U32(0)),
            case("alone", Set::Int(2), Wire::U32(1)),
            case("both", Set::Int(3), Wire::U32(1)),
            case("with_a_size", Set::IntOf(8, 3000), Wire::U32(1)),
        ],
    ),
];
