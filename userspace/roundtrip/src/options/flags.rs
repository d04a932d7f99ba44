// SPDX-License-Identifier: GPL-2.0

//! Options that are on or off, of all levels: one bit each of an attribute.

use libc::{SOL_IP, SOL_SOCKET, SOL_UDP};

use super::{Case, Row, Set, Wire, boolean, case};

/// Cases of an option that takes 0 and 1 only.
const STRICT: &[Case] = &[
    case("default", Set::Nothing, Wire::U32(0)),
    case("off_again", Set::Int(0), Wire::U32(0)),
    case("on", Set::Int(1), Wire::U32(1)),
];

/// Cases of an option that is on by default.
const ON: &[Case] = &[
    case("default", Set::Nothing, Wire::U32(1)),
    case("on_again", Set::Int(1), Wire::U32(1)),
    case("off", Set::Int(0), Wire::U32(0)),
];

/// The others.
const PLAIN: &[Case] = boolean!();

const fn flag(
    name: &'static str,
    (path, level): (&'static [u16], i32),
    bit: u32,
    number: i32,
    cases: &'static [Case],
) -> Row {
    let mut row = Row::new(name, path, level, number, cases);
    row.bit = Some(1 << bit);
    row
}

const SOCKET: (&[u16], i32) = (&[35], SOL_SOCKET);
const IP: (&[u16], i32) = (&[58, 1], SOL_IP);
const UDP: (&[u16], i32) = (&[59, 1], SOL_UDP);

pub const TABLE: &[Row] = &[
    flag("no_check", SOCKET, 0, 11, PLAIN),
    flag("reuseport", SOCKET, 1, 15, PLAIN),
    flag("rxq_ovfl", SOCKET, 2, 40, PLAIN),
    flag("wifi_status", SOCKET, 3, 41, PLAIN),
    flag("nofcs", SOCKET, 4, 43, PLAIN),
    flag("select_err_queue", SOCKET, 5, 45, PLAIN),
    // Once on, it cannot be switched off.
    flag("lock_filter", SOCKET, 6, 44, PLAIN),
    flag("zerocopy", SOCKET, 7, 60, STRICT),
    flag("prefer_busy_poll", SOCKET, 8, 69, PLAIN),
    flag("rcvmark", SOCKET, 9, 75, PLAIN),
    flag("rcvpriority", SOCKET, 10, 82, PLAIN),
    flag("ip_recvopts", IP, 0, 6, PLAIN),
    flag("ip_retopts", IP, 1, 7, PLAIN),
    flag("ip_pktinfo", IP, 2, 8, PLAIN),
    flag("ip_recverr", IP, 3, 11, PLAIN),
    flag("ip_recvttl", IP, 4, 12, PLAIN),
    flag("ip_recvtos", IP, 5, 13, PLAIN),
    flag("ip_freebind", IP, 6, 15, PLAIN),
    flag("ip_passsec", IP, 7, 18, PLAIN),
    flag("ip_transparent", IP, 8, 19, PLAIN),
    flag("ip_recvorigdstaddr", IP, 9, 20, PLAIN),
    flag("ip_checksum", IP, 10, 23, PLAIN),
    flag("ip_bind_address_no_port", IP, 11, 24, PLAIN),
    flag("ip_recvfragsize", IP, 12, 25, PLAIN),
    flag("ip_recverr_rfc4884", IP, 13, 26, STRICT),
    flag("ip_multicast_loop", IP, 14, 34, ON),
    flag("ip_multicast_all", IP, 15, 49, ON),
    flag("udp_cork", UDP, 0, 1, PLAIN),
    flag("udp_no_check6_tx", UDP, 1, 101, PLAIN),
    flag("udp_no_check6_rx", UDP, 2, 102, PLAIN),
    flag("udp_gro", UDP, 3, 104, PLAIN),
];
