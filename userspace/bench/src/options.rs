// SPDX-License-Identifier: GPL-2.0

//! The options of a socket: what plain system calls have to read, and what makes it differ from a
//! new one.

use std::os::fd::OwnedFd;

use crate::sys;

/// An option: its level, its number, how long it is at the most, and a value that a new socket has
/// not got, for those that can be set.
struct Option(i32, i32, usize, std::option::Option<&'static [u8]>);

const ON: std::option::Option<&[u8]> = Some(&[1, 0, 0, 0]);
const OFF: std::option::Option<&[u8]> = Some(&[0, 0, 0, 0]);
const SOCKET: i32 = libc::SOL_SOCKET;
const IP: i32 = libc::SOL_IP;
const UDP: i32 = libc::SOL_UDP;

/// A second and a half, as `struct __kernel_sock_timeval`.
const TIME: std::option::Option<&[u8]> = Some(&[1, 0, 0, 0, 0, 0, 0, 0, 32, 161, 7, 0, 0, 0, 0, 0]);

/// The table of the RFC of 2007: that of `SOL_SOCKET`, but for `SO_PASSCRED`, which no IP socket has.
const RFC: &[Option] = &[
    Option(SOCKET, 1, 4, ON),                               // SO_DEBUG
    Option(SOCKET, 2, 4, ON),                               // SO_REUSEADDR
    Option(SOCKET, 3, 4, None),                             // SO_TYPE
    Option(SOCKET, 5, 4, ON),                               // SO_DONTROUTE
    Option(SOCKET, 6, 4, ON),                               // SO_BROADCAST
    Option(SOCKET, 7, 4, Some(&[0, 128, 0, 0])),            // SO_SNDBUF
    Option(SOCKET, 8, 4, Some(&[0, 128, 0, 0])),            // SO_RCVBUF
    Option(SOCKET, 9, 4, ON),                               // SO_KEEPALIVE
    Option(SOCKET, 10, 4, ON),                              // SO_OOBINLINE
    Option(SOCKET, 12, 4, Some(&[5, 0, 0, 0])),             // SO_PRIORITY
    Option(SOCKET, 13, 8, Some(&[1, 0, 0, 0, 7, 0, 0, 0])), // SO_LINGER
    Option(SOCKET, 18, 4, Some(&[7, 0, 0, 0])),             // SO_RCVLOWAT
    Option(SOCKET, 25, 16, Some(b"lo\0")),                  // SO_BINDTODEVICE
    Option(SOCKET, 29, 4, ON),                              // SO_TIMESTAMP
    Option(SOCKET, 66, 16, TIME),                           // SO_RCVTIMEO
    Option(SOCKET, 67, 16, TIME),                           // SO_SNDTIMEO
    Option(SOCKET, 72, 4, None),                            // SO_BUF_LOCK
];

/// The others.
const OTHERS: &[Option] = &[
    Option(SOCKET, 11, 4, ON),                               // SO_NO_CHECK
    Option(SOCKET, 15, 4, ON),                               // SO_REUSEPORT
    Option(SOCKET, 26, 64, None),                            // SO_GET_FILTER
    Option(SOCKET, 36, 4, Some(&[5, 0, 0, 0])),              // SO_MARK
    Option(SOCKET, 37, 8, Some(&[16, 0, 0, 0, 0, 0, 0, 0])), // SO_TIMESTAMPING
    Option(SOCKET, 38, 4, None),                             // SO_PROTOCOL
    Option(SOCKET, 39, 4, None),                             // SO_DOMAIN
    Option(SOCKET, 40, 4, ON),                               // SO_RXQ_OVFL
    Option(SOCKET, 41, 4, ON),                               // SO_WIFI_STATUS
    Option(SOCKET, 42, 4, OFF),                              // SO_PEEK_OFF
    Option(SOCKET, 43, 4, ON),                               // SO_NOFCS
    Option(SOCKET, 44, 4, None),                             // SO_LOCK_FILTER
    Option(SOCKET, 45, 4, ON),                               // SO_SELECT_ERR_QUEUE
    Option(SOCKET, 46, 4, Some(&[50, 0, 0, 0])),             // SO_BUSY_POLL
    Option(SOCKET, 47, 8, Some(&[0, 0, 16, 0, 0, 0, 0, 0])), // SO_MAX_PACING_RATE
    Option(SOCKET, 49, 4, OFF),                              // SO_INCOMING_CPU
    Option(SOCKET, 55, 36, None),                            // SO_MEMINFO
    Option(SOCKET, 57, 8, None),                             // SO_COOKIE
    Option(SOCKET, 60, 4, ON),                               // SO_ZEROCOPY
    Option(SOCKET, 61, 8, Some(&[1, 0, 0, 0, 0, 0, 0, 0])),  // SO_TXTIME
    Option(SOCKET, 69, 4, ON),                               // SO_PREFER_BUSY_POLL
    Option(SOCKET, 70, 4, Some(&[16, 0, 0, 0])),             // SO_BUSY_POLL_BUDGET
    Option(SOCKET, 75, 4, ON),                               // SO_RCVMARK
    Option(SOCKET, 82, 4, ON),                               // SO_RCVPRIORITY
    Option(IP, 1, 4, Some(&[16, 0, 0, 0])),                  // IP_TOS
    Option(IP, 2, 4, Some(&[9, 0, 0, 0])),                   // IP_TTL
    Option(IP, 4, 40, Some(&[7, 7, 4, 0, 0, 0, 0, 0])),      // IP_OPTIONS
    Option(IP, 6, 4, ON),                                    // IP_RECVOPTS
    Option(IP, 7, 4, ON),                                    // IP_RETOPTS
    Option(IP, 8, 4, ON),                                    // IP_PKTINFO
    Option(IP, 10, 4, Some(&[2, 0, 0, 0])),                  // IP_MTU_DISCOVER
    Option(IP, 11, 4, ON),                                   // IP_RECVERR
    Option(IP, 12, 4, ON),                                   // IP_RECVTTL
    Option(IP, 13, 4, ON),                                   // IP_RECVTOS
    Option(IP, 15, 4, ON),                                   // IP_FREEBIND
    Option(IP, 18, 4, ON),                                   // IP_PASSSEC
    Option(IP, 19, 4, ON),                                   // IP_TRANSPARENT
    Option(IP, 20, 4, ON),                                   // IP_RECVORIGDSTADDR
    Option(IP, 21, 4, Some(&[3, 0, 0, 0])),                  // IP_MINTTL
    Option(IP, 23, 4, ON),                                   // IP_CHECKSUM
    Option(IP, 24, 4, ON),                                   // IP_BIND_ADDRESS_NO_PORT
    Option(IP, 25, 4, ON),                                   // IP_RECVFRAGSIZE
    Option(IP, 26, 4, ON),                                   // IP_RECVERR_RFC4884
    Option(IP, 32, 4, None),                                 // IP_MULTICAST_IF
    Option(IP, 33, 4, Some(&[5, 0, 0, 0])),                  // IP_MULTICAST_TTL
    Option(IP, 34, 4, OFF),                                  // IP_MULTICAST_LOOP
    Option(IP, 49, 4, OFF),                                  // IP_MULTICAST_ALL
    Option(IP, 50, 4, None),                                 // IP_UNICAST_IF
    Option(IP, 51, 4, Some(&[0, 8, 0, 16])),                 // IP_LOCAL_PORT_RANGE
    Option(UDP, 1, 4, None),                                 // UDP_CORK
    Option(UDP, 100, 4, None),                               // UDP_ENCAP
    Option(UDP, 101, 4, ON),                                 // UDP_NO_CHECK6_TX
    Option(UDP, 102, 4, ON),                                 // UDP_NO_CHECK6_RX
    Option(UDP, 103, 4, Some(&[100, 0, 0, 0])),              // UDP_SEGMENT
    Option(UDP, 104, 4, ON),                                 // UDP_GRO
];

/// Five that are often set, of those that CRIU knows.
const FIVE: &[Option] = &[
    Option(SOCKET, 6, 4, ON),                   // SO_BROADCAST
    Option(SOCKET, 12, 4, Some(&[5, 0, 0, 0])), // SO_PRIORITY
    Option(SOCKET, 18, 4, Some(&[7, 0, 0, 0])), // SO_RCVLOWAT
    Option(SOCKET, 66, 16, TIME),               // SO_RCVTIMEO
    Option(IP, 2, 4, Some(&[9, 0, 0, 0])),      // IP_TTL
];

/// What CRIU 4.2 sets of a socket with these: before it is bound, ...
const CRIU_BEFORE_BIND: &[Option] = &[
    Option(SOCKET, 2, 4, ON),  // SO_REUSEADDR
    Option(SOCKET, 15, 4, ON), // SO_REUSEPORT
];

/// ... and then, whatever it has already.
const CRIU_THEN: &[Option] = &[
    Option(IP, 2, 4, Some(&[9, 0, 0, 0])),       // IP_TTL
    Option(SOCKET, 32, 4, Some(&[0, 64, 3, 0])), // SO_SNDBUFFORCE
    Option(SOCKET, 33, 4, Some(&[0, 64, 3, 0])), // SO_RCVBUFFORCE
    Option(SOCKET, 72, 4, OFF),                  // SO_BUF_LOCK
    Option(SOCKET, 12, 4, Some(&[5, 0, 0, 0])),  // SO_PRIORITY
    Option(SOCKET, 18, 4, Some(&[7, 0, 0, 0])),  // SO_RCVLOWAT
    Option(SOCKET, 67, 16, TIME),                // SO_SNDTIMEO
    Option(SOCKET, 66, 16, TIME),                // SO_RCVTIMEO
    Option(SOCKET, 2, 4, OFF),                   // SO_REUSEADDR
    Option(SOCKET, 15, 4, OFF),                  // SO_REUSEPORT
    Option(SOCKET, 6, 4, ON),                    // SO_BROADCAST
    Option(SOCKET, 9, 4, OFF),                   // SO_KEEPALIVE
];

/// Which options.
#[derive(Clone, Copy, PartialEq)]
pub enum Which {
    None,
    Five,
    Rfc,
    All,
}

impl Which {
    fn options(self) -> impl Iterator<Item = &'static Option> {
        let (some, others) = match self {
            Self::None => (&[][..], &[][..]),
            Self::Five => (FIVE, &[][..]),
            Self::Rfc => (RFC, &[][..]),
            Self::All => (RFC, OTHERS),
        };
        some.iter().chain(others)
    }

    /// Reads them by `getsockopt(2)`.
    pub fn get(self, fd: &OwnedFd) {
        let mut buffer = [0; 64];
        for Option(level, option, len, _) in self.options() {
            sys::get(fd, *level, *option, &mut buffer[..*len]);
        }
    }

    /// Sets those that can be set by `setsockopt(2)`.
    pub fn set(self, fd: &OwnedFd) -> std::io::Result<()> {
        set(self.options(), fd)
    }
}

/// Makes a bound socket with [`Which::Five`] by the calls that CRIU makes.
pub fn as_criu(port: u16) -> std::io::Result<OwnedFd> {
    let socket = sys::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    set(CRIU_BEFORE_BIND, &socket)?;
    sys::bind(&socket, port)?;
    sys::file_as_criu(&socket)?;
    set(CRIU_THEN, &socket)?;
    Ok(socket)
}

fn set<'a>(options: impl IntoIterator<Item = &'a Option>, fd: &OwnedFd) -> std::io::Result<()> {
    for Option(level, option, _, value) in options {
        if let Some(value) = value {
            sys::set(fd, *level, *option, value).map_err(|error| {
                std::io::Error::new(error.kind(), format!("option {level} {option}: {error}"))
            })?;
        }
    }
    Ok(())
}
