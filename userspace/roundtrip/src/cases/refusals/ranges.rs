// SPDX-License-Identifier: GPL-2.0

//! Values that no socket has, each in a message that is good otherwise.

use anyhow::Result;
use inetcr::RawAttr;

use super::messages::good;
use crate::cr::{self, Expected, attr};
use crate::runner::Test;

pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for (name, path, value, errno) in RANGES {
        tests.push(Test::new(
            format!("refusals::range::{name}::{:#x}", value.0),
            || out_of_range(path, value, errno),
        ));
    }
    tests
}

/// Numbers that no socket has: name, path of the attribute, value and how many bytes it has,
/// errors.
pub type Range = (&'static str, &'static [u16], (i128, usize), &'static [i32]);

const RANGE: &[i32] = &[libc::ERANGE];
const INVALID: &[i32] = &[libc::EINVAL, libc::ERANGE];

pub const RANGES: &[Range] = &[
    ("sock_state", &[attr::SOCK_STATE], (0, 4), INVALID),
    ("sock_state", &[attr::SOCK_STATE], (2, 4), INVALID),
    ("sock_state", &[attr::SOCK_STATE], (8, 4), INVALID),
    ("sock_state", &[attr::SOCK_STATE], (10, 4), INVALID),
    ("sock_state", &[attr::SOCK_STATE], (0xffff_ffff, 4), INVALID),
    ("sock_type", &[attr::SOCK_TYPE], (0, 4), KIND),
    ("sock_type", &[attr::SOCK_TYPE], (1, 4), KIND),
    ("sock_type", &[attr::SOCK_TYPE], (3, 4), KIND),
    // SOCK_PACKET, which is another family in disguise, and SOCK_NONBLOCK.
    ("sock_type", &[attr::SOCK_TYPE], (10, 4), KIND),
    ("sock_type", &[attr::SOCK_TYPE], (0x802, 4), KIND),
    ("sock_type", &[attr::SOCK_TYPE], (0xffff_ffff, 4), KIND),
    ("sock_family", &[attr::SOCK_FAMILY], (0, 4), KIND),
    ("sock_family", &[attr::SOCK_FAMILY], (10, 4), KIND),
    ("sock_family", &[attr::SOCK_FAMILY], (0xffff_ffff, 4), KIND),
    ("sock_protocol", &[attr::SOCK_PROTOCOL], (0, 4), KIND),
    ("sock_protocol", &[attr::SOCK_PROTOCOL], (1, 4), KIND),
    ("sock_protocol", &[attr::SOCK_PROTOCOL], (6, 4), KIND),
    ("sock_protocol", &[attr::SOCK_PROTOCOL], (136, 4), KIND),
    ("sock_protocol", &[attr::SOCK_PROTOCOL], (0x1_0011, 4), KIND),
    (
        "sock_protocol",
        &[attr::SOCK_PROTOCOL],
        (0xffff_ffff, 4),
        KIND,
    ),
    // Numbers that the kernel has for itself, which its paths do not expect there: EIOCBQUEUED.
    ("error", &[47], (512, 4), RANGE),
    ("error", &[47], (529, 4), RANGE),
    ("error", &[47], (0xffff_ffff, 4), RANGE),
    ("soft_error", &[48], (512, 4), RANGE),
    ("soft_error", &[48], (529, 4), RANGE),
    ("broadcast", &[6], (2, 4), RANGE),
    ("debug", &[7], (2, 4), RANGE),
    ("dontroute", &[8], (0xffff_ffff, 4), RANGE),
    ("keepalive", &[9], (2, 4), RANGE),
    ("oobinline", &[11], (2, 4), RANGE),
    ("rcvlowat", &[14], (0, 4), INVALID),
    ("rcvlowat", &[14], (0x8000_0000, 4), INVALID),
    ("rcvlowat", &[14], (0xffff_ffff, 4), INVALID),
    ("rcvtimeo", &[attr::RCVTIMEO], (-2, 4), INVALID),
    (
        "rcvtimeo",
        &[attr::RCVTIMEO],
        (-0x8000_0000_0000_0000, 8),
        INVALID,
    ),
    ("sndtimeo", &[attr::SNDTIMEO], (-2, 8), INVALID),
    (
        "sndtimeo",
        &[attr::SNDTIMEO],
        (-0x8000_0000_0000_0000, 8),
        INVALID,
    ),
    ("rcvbuf", &[attr::RCVBUF], (0, 4), INVALID),
    ("rcvbuf", &[attr::RCVBUF], (1, 4), INVALID),
    ("rcvbuf", &[attr::RCVBUF], (0x7fff_ffff, 4), INVALID),
    ("rcvbuf", &[attr::RCVBUF], (0x8000_0000, 4), INVALID),
    ("rcvbuf", &[attr::RCVBUF], (0xffff_ffff, 4), INVALID),
    ("sndbuf", &[attr::SNDBUF], (0, 4), INVALID),
    ("sndbuf", &[attr::SNDBUF], (1, 4), INVALID),
    ("sndbuf", &[attr::SNDBUF], (0x7fff_ffff, 4), INVALID),
    ("sndbuf", &[attr::SNDBUF], (0x8000_0000, 4), INVALID),
    ("sndbuf", &[attr::SNDBUF], (0xffff_ffff, 4), INVALID),
    // What only TCP_REPAIR sets, no UDP socket has.
    ("reuseaddr", &[attr::REUSEADDR], (2, 4), KIND),
    ("reuseaddr", &[attr::REUSEADDR], (3, 4), RANGE),
    ("timestamp", &[20], (5, 4), RANGE),
    ("timestamp", &[20], (0xffff_ffff, 4), RANGE),
    ("sndbuf_ulock", &[21], (2, 4), RANGE),
    ("rcvbuf_ulock", &[22], (2, 4), RANGE),
    ("bind_locks", &[attr::BIND_LOCKS], (4, 4), INVALID),
    ("bind_locks", &[attr::BIND_LOCKS], (0xffff_ffff, 4), INVALID),
    (
        "bound_ifindex",
        &[attr::BOUND_IFINDEX],
        (0x8000_0000, 4),
        IFINDEX,
    ),
    (
        "bound_ifindex",
        &[attr::BOUND_IFINDEX],
        (0xffff_ffff, 4),
        IFINDEX,
    ),
    ("file_flags", &[attr::FILE_FLAGS], (4, 4), INVALID),
    ("file_flags", &[attr::FILE_FLAGS], (0xffff_ffff, 4), INVALID),
    ("busy_poll", &[40], (0x8000_0000, 4), INVALID),
    ("busy_poll", &[40], (0xffff_ffff, 4), INVALID),
    ("busy_poll_budget", &[41], (0x1_0000, 4), INVALID),
    ("busy_poll_budget", &[41], (0xffff_ffff, 4), INVALID),
    ("timestamping_new", &[38, 3], (2, 4), RANGE),
    ("ip_tos", &[58, 3], (256, 4), RANGE),
    ("ip_tos", &[58, 3], (0xffff_ffff, 4), RANGE),
    ("ip_ttl", &[58, 4], (0, 4), INVALID),
    ("ip_ttl", &[58, 4], (256, 4), INVALID),
    ("ip_ttl", &[58, 4], (-2, 4), INVALID),
    ("ip_ttl", &[58, 4], (-0x8000_0000, 4), INVALID),
    ("ip_minttl", &[58, 5], (256, 4), RANGE),
    ("ip_mtu_discover", &[58, 7], (6, 4), RANGE),
    ("ip_mtu_discover", &[58, 7], (0xffff_ffff, 4), RANGE),
    ("ip_multicast_ttl", &[58, 8], (256, 4), RANGE),
    // Low above high.
    ("ip_local_port_range", &[58, 12], (0x0001_0002, 4), INVALID),
    ("ip_local_port_range", &[58, 12], (0xfffe_ffff, 4), INVALID),
    ("udp_encap", &[59, 3], (1, 4), ENCAP),
    ("udp_encap", &[59, 3], (4, 4), ENCAP),
    ("udp_encap", &[59, 3], (0xffff_ffff, 4), ENCAP),
    ("udp_segment", &[59, 4], (0x1_0000, 4), RANGE),
    ("udp_segment", &[59, 4], (0xffff_ffff, 4), RANGE),
    ("membership_exclude", &[60, 4], (2, 4), RANGE),
    ("membership_exclude", &[60, 4], (0xffff_ffff, 4), RANGE),
];

const KIND: &[i32] = &[
    libc::EINVAL,
    libc::ERANGE,
    libc::EOPNOTSUPP,
    libc::EAFNOSUPPORT,
    libc::ESOCKTNOSUPPORT,
    libc::EPROTONOSUPPORT,
];
const ENCAP: &[i32] = &[
    libc::EINVAL,
    libc::ERANGE,
    libc::EOPNOTSUPP,
    libc::ENOPROTOOPT,
];
const IFINDEX: &[i32] = &[libc::EINVAL, libc::ERANGE, libc::ENODEV];

/// An attribute with such a number.
pub fn number_of(number: u16, &(value, len): &(i128, usize)) -> RawAttr {
    let mut bytes = value.to_le_bytes()[..len].to_vec();
    if cfg!(target_endian = "big") {
        bytes.reverse();
    }
    RawAttr::new(number, bytes)
}

fn out_of_range(path: &[u16], value: &(i128, usize), errno: &[i32]) -> Result<()> {
    let Some((number, nests)) = path.split_last() else {
        return Ok(());
    };
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    let dump = dump.with_at(nests, number_of(*number, value));
    let paths = [path];
    cr::restore_refused(&mut client, &dump, Expected::errno(errno).paths(&paths))
}
