// SPDX-License-Identifier: GPL-2.0

//! What a socket can have, and a dump does not carry yet.
//!
//! A dump is never in part: a socket with any of this is refused, and told by name. A piece of
//! state that becomes carried loses its row here, and gets one in the option table.
//!
//! Traces of the past that traffic leaves, and that nobody set, are no reason to refuse a socket:
//! the number of dropped datagrams, the time stamp of the last one that was received
//! (`SIOCGSTAMP`), the CPU and the queue that it came from, the identification of the next IP
//! header, and the hash for the choice of a path. Nor is whose the socket is (its user, control
//! group and security label): a restored socket is the restorer's.

#![forbid(unsafe_code)]

use crate::{
    address::ESTABLISHED,
    consts::{
        IP_TOS,
        SOL_IP,
        SOL_SOCKET,
        SOL_UDP,
        SO_TYPE,
        UDP_CORK, //
    },
    internals,
    refusal::Refusal, //
};

use kernel::{
    fs::file::flags,
    net::{
        sock::{
            InetFlag,
            InetSock,
            Sock,
            SockFlag,
            UdpFlag,
            UdpSock, //
        },
        socket::{
            LockedSocket,
            SocketFile, //
        },
    },
    prelude::*, //
};

/// What is not carried of the options of one level, and of the state that belongs there.
pub(crate) struct Level {
    /// The level.
    level: c_int,
    /// The option by which the security module is asked for the whole level.
    probe: c_int,
    /// The pieces of state, by name, and whether a socket has them. Options are there if they are
    /// not as on a new socket.
    rows: &'static [(&'static str, Check)],
}

/// Whether a socket has a piece of state.
enum Check {
    /// Looks at the open file.
    File(fn(&SocketFile) -> bool),
    /// Looks at what sockets of all kinds have.
    Sock(fn(&Sock) -> bool),
    /// Looks at what sockets of IP have.
    Inet(fn(&InetSock) -> bool),
    /// Looks at what sockets of UDP have.
    Udp(fn(&UdpSock) -> bool),
    /// Looks at a flag of sockets of all kinds.
    SockFlag(SockFlag),
    /// Looks at a flag of sockets of IP.
    InetFlag(InetFlag),
    /// Looks at a flag of sockets of UDP.
    UdpFlag(UdpFlag),
}

/// Sockets of all kinds.
#[rustfmt::skip]
pub(crate) static SOCKET: Level = Level {
    level: SOL_SOCKET,
    probe: SO_TYPE,
    rows: &[
        ("SO_BUSY_POLL", Check::Sock(|sock| {
            sock.busy_poll_usec() != internals::fresh_busy_poll()
        })),
        ("SO_BUSY_POLL_BUDGET", Check::Sock(|sock| sock.busy_poll_budget() != 0)),
        // Each datagram to a connected socket overwrites it.
        ("SO_INCOMING_CPU", Check::Sock(|sock| {
            sock.incoming_cpu() != -1 && u32::from(sock.state()) != ESTABLISHED
        })),
        ("SO_LOCK_FILTER", Check::SockFlag(SockFlag::FILTER_LOCKED)),
        ("SO_MARK", Check::Sock(|sock| sock.mark() != 0)),
        ("SO_MAX_PACING_RATE", Check::Sock(|sock| sock.max_pacing_rate() != usize::MAX)),
        ("SO_NOFCS", Check::SockFlag(SockFlag::NOFCS)),
        ("SO_NO_CHECK", Check::Sock(Sock::no_check_tx)),
        ("SO_PEEK_OFF", Check::Sock(|sock| sock.peek_off() != -1)),
        ("SO_PREFER_BUSY_POLL", Check::Sock(Sock::prefer_busy_poll)),
        ("SO_RCVMARK", Check::SockFlag(SockFlag::RCVMARK)),
        ("SO_RCVPRIORITY", Check::SockFlag(SockFlag::RCVPRIORITY)),
        ("SO_RESERVE_MEM", Check::Sock(|sock| sock.reserved_mem() != 0)),
        ("SO_REUSEPORT", Check::Sock(Sock::reuseport)),
        ("SO_RXQ_OVFL", Check::SockFlag(SockFlag::RXQ_OVFL)),
        ("SO_SELECT_ERR_QUEUE", Check::SockFlag(SockFlag::SELECT_ERR_QUEUE)),
        ("SO_TIMESTAMPING", Check::Sock(|sock| sock.tsflags() != 0)),
        ("SO_TXTIME", Check::SockFlag(SockFlag::TXTIME)),
        ("SO_WIFI_STATUS", Check::SockFlag(SockFlag::WIFI_STATUS)),
        ("SO_ZEROCOPY", Check::SockFlag(SockFlag::ZEROCOPY)),
        ("O_ASYNC", Check::File(|file| file.file_flags() & flags::O_ASYNC != 0)),
        ("F_SETOWN or F_SETSIG", Check::File(SocketFile::has_owner)),
        ("a file flag other than O_NONBLOCK", Check::File(|file| {
            file.file_flags() & (flags::O_APPEND | flags::O_DIRECT | flags::O_NOATIME) != 0
        })),
        ("shutdown()", Check::Sock(|sock| sock.shutdown() != 0)),
        ("a pending error", Check::Sock(|sock| sock.err() != 0 || sock.err_soft() != 0)),
        ("a queued datagram", Check::Sock(Sock::has_receive_queue)),
        ("a queued error or time stamp", Check::Sock(Sock::has_error_queue)),
        (CORK, Check::Sock(Sock::has_write_queue)),
        ("a filter", Check::Sock(Sock::has_filter)),
        ("a SO_REUSEPORT group or program", Check::Sock(Sock::has_reuseport_group)),
        ("an XFRM policy", Check::Sock(Sock::has_xfrm_policy)),
        ("a BPF map or another user in the kernel", Check::Sock(Sock::has_user_data)),
        ("BPF storage", Check::Sock(Sock::has_bpf_storage)),
        ("no_check_rx", Check::Sock(Sock::no_check_rx)),
        ("SOCK_MEMALLOC", Check::SockFlag(SockFlag::MEMALLOC)),
    ],
};

/// Sockets of IP.
#[rustfmt::skip]
pub(crate) static IP: Level = Level {
    level: SOL_IP,
    probe: IP_TOS,
    rows: &[
        ("IP_BIND_ADDRESS_NO_PORT", Check::InetFlag(InetFlag::BIND_ADDRESS_NO_PORT)),
        ("IP_CHECKSUM", Check::InetFlag(InetFlag::CHECKSUM)),
        ("IP_FREEBIND", Check::InetFlag(InetFlag::FREEBIND)),
        ("IP_HDRINCL", Check::InetFlag(InetFlag::HDRINCL)),
        ("IP_LOCAL_PORT_RANGE", Check::Inet(|inet| inet.local_port_range() != 0)),
        ("IP_MINTTL", Check::Inet(|inet| inet.min_ttl() != 0)),
        ("IP_MTU_DISCOVER", Check::Inet(|inet| {
            inet.pmtudisc() != internals::fresh_pmtudisc(inet)
        })),
        ("IP_MULTICAST_ALL", Check::Inet(|inet| !inet.inet_flag(InetFlag::MC_ALL))),
        ("IP_MULTICAST_IF", Check::Inet(|inet| {
            inet.mc_index() != 0 || !inet.mc_addr().is_unspecified()
        })),
        ("IP_MULTICAST_LOOP", Check::Inet(|inet| !inet.inet_flag(InetFlag::MC_LOOP))),
        ("IP_MULTICAST_TTL", Check::Inet(|inet| inet.mc_ttl() != 1)),
        ("IP_NODEFRAG", Check::InetFlag(InetFlag::NODEFRAG)),
        ("IP_OPTIONS", Check::Inet(InetSock::has_ip_options)),
        ("IP_PASSSEC", Check::InetFlag(InetFlag::PASSSEC)),
        ("IP_PKTINFO", Check::InetFlag(InetFlag::PKTINFO)),
        ("IP_RECVERR", Check::InetFlag(InetFlag::RECVERR)),
        ("IP_RECVERR_RFC4884", Check::InetFlag(InetFlag::RECVERR_RFC4884)),
        ("IP_RECVFRAGSIZE", Check::InetFlag(InetFlag::RECVFRAGSIZE)),
        ("IP_RECVOPTS", Check::InetFlag(InetFlag::RECVOPTS)),
        ("IP_RECVORIGDSTADDR", Check::InetFlag(InetFlag::ORIGDSTADDR)),
        ("IP_RECVTOS", Check::InetFlag(InetFlag::TOS)),
        ("IP_RECVTTL", Check::InetFlag(InetFlag::TTL)),
        ("IP_RETOPTS", Check::InetFlag(InetFlag::RETOPTS)),
        ("IP_TOS", Check::Inet(|inet| inet.tos() != 0)),
        ("IP_TRANSPARENT", Check::InetFlag(InetFlag::TRANSPARENT)),
        // The option does not tell an unset one from the default.
        ("IP_TTL", Check::Inet(|inet| inet.ttl() != -1)),
        ("IP_UNICAST_IF", Check::Inet(|inet| inet.uc_index() != 0)),
        ("a multicast membership", Check::Inet(InetSock::has_memberships)),
    ],
};

/// Sockets of UDP.
#[rustfmt::skip]
pub(crate) static UDP: Level = Level {
    level: SOL_UDP,
    probe: UDP_CORK,
    rows: &[
        ("a BPF sockmap", Check::Udp(|udp| !udp.is_plain())),
        ("UDP_CORK", Check::UdpFlag(UdpFlag::CORK)),
        ("UDP_ENCAP", Check::Udp(|udp| udp.encap_type() != 0 || udp.has_encap())),
        ("UDP_GRO", Check::UdpFlag(UdpFlag::GRO_ENABLED)),
        ("UDP_NO_CHECK6_RX", Check::UdpFlag(UdpFlag::NO_CHECK6_RX)),
        ("UDP_NO_CHECK6_TX", Check::UdpFlag(UdpFlag::NO_CHECK6_TX)),
        ("UDP_SEGMENT", Check::Udp(|udp| udp.gso_size() != 0)),
        ("UDP_FLAGS_ACCEPT_FRAGLIST", Check::UdpFlag(UdpFlag::ACCEPT_FRAGLIST)),
        (CORK, Check::Udp(UdpSock::has_pending)),
        ("a queued datagram", Check::Udp(UdpSock::has_reader_queue)),
    ],
};

/// The name of what `UDP_CORK` and `MSG_MORE` leave.
const CORK: &str = "a corked datagram (UDP_CORK or MSG_MORE)";

impl Level {
    /// Asks the security module whether the requester may read the options of this level.
    ///
    /// `getsockopt()` asks for each option; all are asked for at once here.
    pub(crate) fn permit(&self, sock: &LockedSocket<'_>) -> Result<(), Refusal> {
        sock.security_getsockopt(self.level, self.probe)
            .map_err(|errno| Refusal::new(errno, "the security module refuses the options"))
    }

    /// Refuses a socket with state that is not carried.
    pub(crate) fn check(&self, file: &SocketFile, sock: &LockedSocket<'_>) -> Result<(), Refusal> {
        let (inet, udp) = (sock.inet(), sock.udp());

        for (name, check) in self.rows {
            let has = match *check {
                Check::File(has) => has(file),
                Check::Sock(has) => has(sock),
                Check::Inet(has) => inet.is_some_and(has),
                Check::Udp(has) => udp.is_some_and(has),
                Check::SockFlag(flag) => sock.flag(flag),
                Check::InetFlag(flag) => inet.is_some_and(|inet| inet.inet_flag(flag)),
                Check::UdpFlag(flag) => udp.is_some_and(|udp| udp.udp_flag(flag)),
            };
            if has {
                return Err(Refusal::new(EOPNOTSUPP, "is set and not carried yet").about(name));
            }
        }
        Ok(())
    }
}

#[cfg(CONFIG_AF_INET_CR_KUNIT_TEST)]
#[kernel::macros::kunit_tests(af_inet_cr_uncovered)]
mod tests {
    use super::*;
    use crate::options::OPTIONS;

    const LEVELS: [&Level; 3] = [&SOCKET, &IP, &UDP];

    #[test]
    fn no_option_is_carried_and_refused() {
        for level in LEVELS {
            for (name, _) in level.rows {
                assert!(!OPTIONS.iter().any(|option| option.name == *name));
            }
        }
    }

    #[test]
    fn no_name_is_twice_in_a_level() {
        for level in LEVELS {
            for (index, (name, _)) in level.rows.iter().enumerate() {
                assert!(!level
                    .rows
                    .iter()
                    .take(index)
                    .any(|(other, _)| other == name));
            }
        }
    }

    #[test]
    fn a_refusal_fits_into_a_message() {
        for level in LEVELS {
            for (name, _) in level.rows {
                assert!(name.len() + " is set and not carried yet".len() < 80);
            }
        }
    }
}
