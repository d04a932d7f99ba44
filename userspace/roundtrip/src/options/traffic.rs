// SPDX-License-Identifier: GPL-2.0

//! Options of level `SOL_SOCKET` about what goes through the socket: marks,
//! rates, queues, clocks.

use libc::SOL_SOCKET;

use super::{Row, Set, Wire, case};

const SO_TIMESTAMPING_OLD: i32 = 37;
const SO_TIMESTAMPING_NEW: i32 = 65;
/// `SOF_TIMESTAMPING_RX_SOFTWARE` and `SOF_TIMESTAMPING_SOFTWARE`.
const RX_SOFTWARE: i32 = 0x18;
/// Every flag, but for the clock of a device that a socket is bound to.
const ALL_STAMPS: i32 = 0x7_ffff & !(1 << 15);

pub const TABLE: &[Row] = &[
    Row::new(
        "mark",
        &[37],
        SOL_SOCKET,
        libc::SO_MARK,
        &[
            case("default", Set::Nothing, Wire::U32(0)),
            case("some", Set::Int(0x1234), Wire::U32(0x1234)),
            case("all_ones", Set::Int(-1), Wire::U32(u32::MAX)),
        ],
    ),
    // The old option and the new one share their flags, and a flag with
    // SO_TIMESTAMP.
    Row::new(
        "timestamping",
        &[38],
        SOL_SOCKET,
        SO_TIMESTAMPING_OLD,
        &[
            case("default", Set::Nothing, Wire::Timestamping(0, 0, 0)),
            case(
                "everything",
                Set::Int(ALL_STAMPS),
                Wire::Timestamping(ALL_STAMPS.cast_unsigned(), 0, 0),
            ),
            case(
                "new",
                Set::IntOf(SO_TIMESTAMPING_NEW, RX_SOFTWARE),
                Wire::Timestamping(0x18, 0, 1),
            ),
            // Off, and the next SO_TIMESTAMP decides which one it is.
            case(
                "new_and_off",
                Set::IntOf(SO_TIMESTAMPING_NEW, 0),
                Wire::Timestamping(0, 0, 1),
            ),
            // A clock without its flag is not taken over.
            case(
                "clock_without_flag",
                Set::Pair(RX_SOFTWARE, 5),
                Wire::Timestamping(0x18, 0, 0),
            ),
            case(
                "rx_software",
                Set::Int(RX_SOFTWARE),
                Wire::Timestamping(0x18, 0, 0),
            ),
        ],
    ),
    Row::new(
        "peek_off",
        &[39],
        SOL_SOCKET,
        libc::SO_PEEK_OFF,
        &[
            case("off", Set::Nothing, Wire::S32(-1)),
            case("off_again", Set::Int(-1), Wire::S32(-1)),
            case("begin", Set::Int(0), Wire::S32(0)),
            case("behind", Set::Int(5), Wire::S32(5)),
            // As good as off, but read back.
            case("below_off", Set::Int(-5), Wire::S32(-5)),
            case("least", Set::Int(i32::MIN), Wire::S32(i32::MIN)),
            case("largest", Set::Int(i32::MAX), Wire::S32(i32::MAX)),
        ],
    ),
    Row::new(
        "busy_poll",
        &[40],
        SOL_SOCKET,
        libc::SO_BUSY_POLL,
        &[
            case("default", Set::Nothing, Wire::AsOption),
            case("off", Set::Int(0), Wire::U32(0)),
            case("some", Set::Int(50), Wire::U32(50)),
            case(
                "other_default",
                Set::Default("busy_read", 70),
                Wire::U32(70),
            ),
            case("longest", Set::Int(i32::MAX), Wire::U32(0x7fff_ffff)),
        ],
    ),
    Row::new(
        "busy_poll_budget",
        &[41],
        SOL_SOCKET,
        70,
        &[
            case("default", Set::Nothing, Wire::U32(0)),
            case("some", Set::Int(64), Wire::U32(64)),
            case("largest", Set::Int(0xffff), Wire::U32(0xffff)),
        ],
    )
    .unseen(),
    Row::new(
        "max_pacing_rate",
        &[42],
        SOL_SOCKET,
        libc::SO_MAX_PACING_RATE,
        &[
            case("default", Set::Nothing, Wire::Uint(u64::MAX)),
            case("zero", Set::Wide(0), Wire::Uint(0)),
            case("short", Set::Int(1_000_000), Wire::Uint(1_000_000)),
            case("short_unlimited", Set::Int(-1), Wire::Uint(u64::MAX)),
            case("wide", Set::Wide(1 << 40), Wire::Uint(1 << 40)),
            case("32_ones", Set::Wide(0xffff_ffff), Wire::Uint(0xffff_ffff)),
            case(
                "taken_back",
                Set::WideThen(1000, u64::MAX),
                Wire::Uint(u64::MAX),
            ),
            case("largest", Set::Wide(u64::MAX - 1), Wire::Uint(u64::MAX - 1)),
        ],
    ),
    // What the option before leaves behind: no call reads it.
    Row::new(
        "pacing_rate",
        &[69],
        SOL_SOCKET,
        libc::SO_MAX_PACING_RATE,
        &[
            case("default", Set::Nothing, Wire::Uint(u64::MAX)),
            case("as_the_limit", Set::Wide(1 << 40), Wire::Uint(1 << 40)),
            case(
                "below_the_limit",
                Set::WideThen(1000, 2000),
                Wire::Uint(1000),
            ),
            case("zero_for_ever", Set::WideThen(0, u64::MAX), Wire::Uint(0)),
            case(
                "taken_back",
                Set::WideThen(1000, u64::MAX),
                Wire::Uint(1000),
            ),
        ],
    )
    .unseen(),
    Row::new(
        "incoming_cpu",
        &[43],
        SOL_SOCKET,
        libc::SO_INCOMING_CPU,
        &[
            case("default", Set::Nothing, Wire::S32(-1)),
            case("first", Set::Int(0), Wire::S32(0)),
            case("none_again", Set::Int(-1), Wire::S32(-1)),
            // Nobody looks whether there is such a CPU.
            case("beyond_all", Set::Int(i32::MAX), Wire::S32(i32::MAX)),
            case("negative", Set::Int(i32::MIN), Wire::S32(i32::MIN)),
            case("second", Set::Int(1), Wire::S32(1)),
        ],
    ),
    Row::new(
        "filter",
        &[45],
        SOL_SOCKET,
        libc::SO_ATTACH_FILTER,
        &[
            case("none", Set::Nothing, Wire::Absent),
            case("nothing", Set::Filter(1, 0), Wire::Filter(1, 0)),
            case("longest", Set::Filter(4096, 100), Wire::Filter(4096, 100)),
            case(
                "everything",
                Set::Filter(2, u32::MAX),
                Wire::Filter(2, u32::MAX),
            ),
        ],
    ),
    // Once on, it cannot be switched off. Clock and flags.
    Row::new(
        "txtime",
        &[44],
        SOL_SOCKET,
        libc::SO_TXTIME,
        &[
            case("off", Set::Nothing, Wire::Absent),
            // Reads like the one before.
            case(
                "realtime",
                Set::Pair(libc::CLOCK_REALTIME, 0),
                Wire::Txtime(0, 0),
            ),
            case("tai", Set::Pair(libc::CLOCK_TAI, 3), Wire::Txtime(11, 3)),
            case(
                "monotonic",
                Set::Pair(libc::CLOCK_MONOTONIC, 2),
                Wire::Txtime(1, 2),
            ),
        ],
    ),
];
