// SPDX-License-Identifier: GPL-2.0

//! Somebody who uses the sockets while messages are about them.
//!
//! Nothing is said of what comes of it: the kernel must not mind. No call waits for long.

use std::os::fd::{BorrowedFd, OwnedFd};

use crate::live::{FIRST_PORT, FIRST_SOCKET, SOCKETS};
use crate::rng::Rng;
use crate::sys;

/// Options that are set to some number.
const OPTIONS: &[(i32, &[i32])] = &[
    (
        libc::SOL_SOCKET,
        &[
            libc::SO_BROADCAST,
            libc::SO_PRIORITY,
            libc::SO_RCVBUF,
            libc::SO_SNDBUF,
            libc::SO_RCVLOWAT,
            libc::SO_TIMESTAMP,
            libc::SO_TIMESTAMPNS,
            libc::SO_TIMESTAMPING,
            libc::SO_REUSEPORT,
            libc::SO_REUSEADDR,
            libc::SO_PEEK_OFF,
            libc::SO_MARK,
            libc::SO_ZEROCOPY,
            libc::SO_DETACH_FILTER,
            libc::SO_BINDTOIFINDEX,
        ],
    ),
    (
        libc::IPPROTO_IP,
        &[
            libc::IP_TOS,
            libc::IP_TTL,
            libc::IP_PKTINFO,
            libc::IP_RECVERR,
            libc::IP_MTU_DISCOVER,
            libc::IP_MULTICAST_TTL,
            libc::IP_MULTICAST_LOOP,
            libc::IP_OPTIONS,
        ],
    ),
    (
        libc::SOL_UDP,
        &[libc::UDP_CORK, libc::UDP_SEGMENT, libc::UDP_GRO],
    ),
];

/// Uses them until it is ended.
pub fn race(seed: u64) -> ! {
    sys::end_with_parent();
    let mut rng = Rng::new(seed);
    // Descriptors that come and go while others look through them.
    let mut own: Vec<Option<OwnedFd>> = (0..8).map(|_| None).collect();
    loop {
        let number = FIRST_SOCKET + rng.word() % SOCKETS;
        let Some(fd) = sys::borrow(number) else {
            continue;
        };
        if rng.chance(1, 8) {
            let place = rng.below(own.len());
            own[place] = match rng.below(3) {
                0 => None,
                1 => fd.try_clone_to_owned().ok(),
                _ => sys::socket(libc::AF_INET, libc::SOCK_DGRAM, 0).ok(),
            };
        }
        once(&mut rng, fd);
    }
}

/// Does something to one of them.
fn once(rng: &mut Rng, fd: BorrowedFd<'_>) {
    let near = u16::try_from(rng.below(16)).unwrap_or_default();
    let (address, port) = ([127, 0, 0, 1], FIRST_PORT + near);
    let wait = libc::MSG_DONTWAIT;
    // What fails, fails.
    let _ = match rng.below(16) {
        0..5 => {
            let len = rng.pick(&[0, 1, 10, 1000, 3000]).unwrap_or_default();
            let more = if rng.chance(1, 4) { libc::MSG_MORE } else { 0 };
            sys::send_with(fd, &vec![b'a'; len], Some((address, port)), more | wait)
        }
        5 => sys::send_with(fd, b"a datagram", None, wait),
        6..9 => sys::receive(fd, 0),
        9 => sys::receive(fd, libc::MSG_ERRQUEUE),
        10 => sys::receive(fd, libc::MSG_PEEK),
        11 => sys::connect(fd, address, port),
        12 => sys::disconnect(fd),
        13 if rng.chance(1, 16) => sys::shutdown(fd, libc::SHUT_RD),
        _ => {
            let (level, names) = rng.pick(OPTIONS).unwrap_or((libc::SOL_SOCKET, &[]));
            let name = rng.pick(names).unwrap_or_default();
            let value = rng.pick(&[0, 1, 2, 16, 5000]).unwrap_or_default();
            sys::set_int(fd, level, name, value)
        }
    };
}
