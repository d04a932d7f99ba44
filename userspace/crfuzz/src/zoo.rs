// SPDX-License-Identifier: GPL-2.0

//! The sockets that messages are about: one of each kind, made by plain calls.
//!
//! What a kernel does not have is left out without a word; that a number is of nobody is fine.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};

use crate::live::{FIRST_PIDFD, FIRST_PORT, FIRST_SOCKET, SOCKETS};
use crate::race;
use crate::sys;

const LOCAL: [u8; 4] = [127, 0, 0, 1];
const GROUP: [u8; 4] = [239, 1, 2, 3];

/// From `linux/in.h`, `linux/udp.h` and `asm/socket.h`; not all of it is in libc.
const IP_RECVERR: i32 = 11;
const IP_MULTICAST_ALL: i32 = 49;
const SO_ATTACH_REUSEPORT_CBPF: i32 = 51;
const SO_TIMESTAMPING: i32 = 37;
const SO_COOKIE: i32 = 57;
const UDP_CORK: i32 = 1;

/// All of them, and what is open for them.
#[derive(Debug)]
pub struct Zoo {
    /// By their numbers.
    sockets: Vec<Option<Known>>,
    /// One of another network namespace, which is behind the others.
    foreign: Option<Known>,
    /// A child that has the same sockets open, and its pidfd.
    child: Option<(u32, OwnedFd)>,
    /// Other pidfds, and what is none.
    _others: Vec<OwnedFd>,
}

#[derive(Debug)]
struct Known {
    _fd: OwnedFd,
    inode: u64,
    cookie: u64,
}

/// How many there are in this network namespace, at the most.
const OWN: u32 = SOCKETS - 1;

impl Zoo {
    /// Makes them in this network namespace; `foreign` is a socket of another one, and `init` the
    /// first process.
    pub fn new(foreign: Option<OwnedFd>, init: Option<OwnedFd>) -> Result<Self> {
        let gone = sys::fork(|| 0)?;
        let pidfds = [
            sys::pidfd(std::process::id()),
            // The place of the child.
            Err(io::ErrorKind::NotFound.into()),
            sys::pidfd(gone),
            File::open("/dev/null").map(OwnedFd::from),
            init.ok_or_else(|| io::ErrorKind::NotFound.into()),
        ];
        sys::ended(gone, true)?;
        let mut others = Vec::new();
        for (number, fd) in (FIRST_PIDFD..).zip(pidfds) {
            if let Ok(fd) = fd {
                others.push(sys::move_to(&fd, number).context("a pidfd")?);
            }
        }
        let foreign = foreign.map(|fd| known(&fd, FIRST_SOCKET + OWN));
        let mut zoo = Self {
            sockets: Vec::new(),
            foreign: foreign.transpose()?,
            child: None,
            _others: others,
        };
        zoo.renew(None)?;
        Ok(zoo)
    }

    /// Makes them anew: what amends them changes them, and much of that for ever. With a seed, the
    /// child uses them by system calls from now on.
    pub fn renew(&mut self, seed: Option<u64>) -> Result<()> {
        self.end_child();
        // The numbers have to be free.
        self.sockets.clear();
        for (number, fd) in (FIRST_SOCKET..FIRST_SOCKET + OWN).zip(sockets()) {
            self.sockets
                .push(fd.ok().map(|fd| known(&fd, number)).transpose()?);
        }
        // It ends with this process, and must not keep netlink sockets from being closed.
        let child = sys::fork(|| {
            let _ = sys::close_range(3, FIRST_SOCKET - 1);
            match seed {
                None => sys::pause(),
                Some(seed) => race::race(seed),
            }
        })?;
        let fd = sys::pidfd(child)?;
        let fd = sys::move_to(&fd, FIRST_PIDFD + 1).context("a pidfd")?;
        self.child = Some((child, fd));
        Ok(())
    }

    /// Ends the child, and with it what it has open.
    fn end_child(&mut self) {
        // Who became nobody may not, and need not: it ends with this process.
        if let Some((child, _fd)) = self.child.take()
            && sys::kill(child).is_ok()
        {
            let _ = sys::ended(child, true);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sockets.iter().flatten().count()
    }

    /// The inode number of a socket, or some other number.
    pub fn inode(&self, nth: usize) -> u64 {
        self.known(nth).map_or(0x00c0_ffee, |one| one.inode)
    }

    /// The cookie of a socket, or some other number.
    pub fn cookie(&self, nth: usize) -> u64 {
        self.known(nth).map_or(0x00c0_ffee, |one| one.cookie)
    }

    fn known(&self, nth: usize) -> Option<&Known> {
        if u32::try_from(nth) == Ok(OWN) {
            return self.foreign.as_ref();
        }
        self.sockets.get(nth)?.as_ref()
    }
}

impl Drop for Zoo {
    fn drop(&mut self) {
        self.end_child();
    }
}

fn known(fd: &OwnedFd, number: u32) -> Result<Known> {
    let fd = sys::move_to(fd, number).context("a socket")?;
    let link = std::fs::read_link(format!("/proc/self/fd/{number}"))?;
    let link = link.to_string_lossy();
    let inode = link.split(['[', ']']).nth(1);
    Ok(Known {
        inode: inode.and_then(|text| text.parse().ok()).unwrap_or_default(),
        cookie: sys::get_long(&fd, libc::SOL_SOCKET, SO_COOKIE).unwrap_or_default(),
        _fd: fd,
    })
}

/// A socket of UDP, and what is done with it. What fails is left out.
fn udp(with: impl FnOnce(&OwnedFd) -> io::Result<()>) -> io::Result<OwnedFd> {
    let fd = sys::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let _ = with(&fd);
    Ok(fd)
}

fn set(fd: &OwnedFd, level: i32, options: &[(i32, i32)]) {
    for &(name, value) in options {
        let _ = sys::set_int(fd, level, name, value);
    }
}

/// A program that keeps what begins with a letter.
fn program() -> [libc::sock_filter; 4] {
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    [
        step(0x30, 0, 0, 8),
        step(0x35, 0, 1, 0x61),
        step(0x06, 0, 0, 0xffff),
        step(0x06, 0, 0, 0),
    ]
}

// One behind the other.
#[expect(clippy::too_many_lines)]
fn sockets() -> Vec<io::Result<OwnedFd>> {
    let port = |nth: u16| FIRST_PORT + nth;
    let mut all = vec![
        // Nothing at all.
        udp(|_| Ok(())),
        // Bound, with many options.
        udp(|fd| {
            set(
                fd,
                libc::SOL_SOCKET,
                &[
                    (libc::SO_BROADCAST, 1),
                    (libc::SO_PRIORITY, 5),
                    (libc::SO_MARK, 7),
                    (libc::SO_RCVBUF, 100_000),
                    (libc::SO_SNDBUF, 50_000),
                    (libc::SO_RCVLOWAT, 3),
                    (libc::SO_TIMESTAMP, 1),
                    (libc::SO_RXQ_OVFL, 1),
                    (libc::SO_ZEROCOPY, 1),
                    (libc::SO_PEEK_OFF, 2),
                    (libc::SO_BUSY_POLL, 50),
                ],
            );
            set(
                fd,
                libc::IPPROTO_IP,
                &[
                    (libc::IP_TOS, 0x10),
                    (libc::IP_TTL, 33),
                    (libc::IP_PKTINFO, 1),
                    (libc::IP_RECVTOS, 1),
                    (libc::IP_FREEBIND, 1),
                    (libc::IP_TRANSPARENT, 1),
                    (libc::IP_MTU_DISCOVER, 3),
                    (libc::IP_MULTICAST_TTL, 9),
                ],
            );
            set(
                fd,
                libc::SOL_UDP,
                &[(libc::UDP_SEGMENT, 500), (libc::UDP_GRO, 1)],
            );
            let linger = libc::linger {
                l_onoff: 1,
                l_linger: 7,
            };
            let _ = sys::set_option(fd, libc::SOL_SOCKET, libc::SO_LINGER, &linger);
            sys::bind(fd, LOCAL, port(1))
        }),
    ];
    // Two that are connected, one of them with a queue.
    let queued = udp(|fd| {
        set(fd, libc::SOL_SOCKET, &[(libc::SO_TIMESTAMPNS, 1)]);
        set(
            fd,
            libc::IPPROTO_IP,
            &[(libc::IP_RECVTTL, 1), (libc::IP_RECVORIGDSTADDR, 1)],
        );
        sys::bind(fd, LOCAL, port(2))
    });
    all.push(udp(|fd| {
        sys::bind(fd, [127, 0, 0, 2], port(3))?;
        sys::connect(fd, LOCAL, port(2))?;
        sys::send(fd, b"")?;
        sys::send(fd, b"a datagram")?;
        sys::send(fd, &[7; 3000])
    }));
    if let Ok(fd) = &queued {
        let _ = sys::connect(fd, [127, 0, 0, 2], port(3));
    }
    all.push(queued);
    // Corked, and corked with nothing.
    for bytes in [b"corked".as_slice(), b""] {
        all.push(udp(|fd| {
            set(fd, libc::SOL_UDP, &[(UDP_CORK, 1)]);
            sys::connect(fd, LOCAL, port(1))?;
            sys::send(fd, bytes)
        }));
    }
    // Groups.
    all.push(udp(|fd| {
        set(fd, libc::IPPROTO_IP, &[(IP_MULTICAST_ALL, 0)]);
        sys::join(fd, GROUP, None)?;
        sys::join(fd, [239, 1, 2, 4], Some(LOCAL))?;
        sys::join(fd, [239, 1, 2, 4], Some([127, 0, 0, 9]))?;
        sys::bind(fd, GROUP, port(4))
    }));
    all.push(udp(|fd| {
        sys::set_filter(fd, libc::SO_ATTACH_FILTER, &mut program())?;
        set(fd, libc::SOL_SOCKET, &[(libc::SO_LOCK_FILTER, 1)]);
        sys::bind(fd, [0; 4], port(5))
    }));
    // Two that share a port.
    for _ in 0..2 {
        all.push(udp(|fd| {
            set(fd, libc::SOL_SOCKET, &[(libc::SO_REUSEPORT, 1)]);
            sys::bind(fd, LOCAL, port(6))?;
            sys::set_filter(fd, SO_ATTACH_REUSEPORT_CBPF, &mut program())
        }));
    }
    // Errors, of ICMP and of its own, and time stamps.
    all.push(udp(|fd| {
        set(fd, libc::IPPROTO_IP, &[(IP_RECVERR, 1)]);
        sys::bind(fd, LOCAL, port(7))?;
        for _ in 0..3 {
            let _ = sys::send_to(fd, b"to nobody", LOCAL, port(15));
        }
        let _ = sys::send_to(fd, &vec![0; 65_507], LOCAL, port(15));
        Ok(())
    }));
    all.push(udp(|fd| {
        set(
            fd,
            libc::SOL_SOCKET,
            &[(SO_TIMESTAMPING, 0x2 | 0x10 | 0x100 | 0x80)],
        );
        sys::send_to(fd, b"when", LOCAL, port(1))
    }));
    all.push(udp(|fd| {
        sys::connect(fd, LOCAL, port(14))?;
        let _ = sys::send(fd, b"to nobody");
        Ok(())
    }));
    // Shut down, and disconnected.
    for how in [libc::SHUT_RD, libc::SHUT_RDWR] {
        all.push(udp(|fd| {
            sys::connect(fd, LOCAL, port(1))?;
            sys::shutdown(fd, how)
        }));
    }
    // For ESP, and what is left of it.
    for encap in [2, 0] {
        all.push(udp(|fd| {
            set(
                fd,
                libc::SOL_UDP,
                &[(libc::UDP_GRO, 1), (libc::UDP_ENCAP, 2)],
            );
            sys::set_int(fd, libc::SOL_UDP, libc::UDP_ENCAP, encap)
        }));
    }
    // What is refused, and what is no socket.
    for (family, kind, protocol) in [
        (libc::AF_INET, libc::SOCK_STREAM, 0),
        (libc::AF_INET, libc::SOCK_RAW, 17),
        (libc::AF_INET, libc::SOCK_DGRAM, 1),
        (libc::AF_INET, libc::SOCK_DGRAM, 136),
        (libc::AF_INET6, libc::SOCK_DGRAM, 0),
        (libc::AF_UNIX, libc::SOCK_DGRAM, 0),
        (libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_GENERIC),
        (libc::AF_PACKET, libc::SOCK_DGRAM, 0),
    ] {
        all.push(sys::socket(family, kind, protocol));
    }
    all.push(File::open("/dev/null").map(OwnedFd::from));
    all
}
