// SPDX-License-Identifier: GPL-2.0

//! What a socket can have, and a dump does not carry yet.
//!
//! A dump is never in part: a socket with any of this is refused, and told by name. A piece of
//! state that becomes carried loses its row here, and gets one in the option table. What may be
//! lost is left out if the requester allows it. (What of the error queue is not carried is known
//! by `errqueue.rs`.)
//!
//! Traces of the past that traffic leaves, and that nobody set, are no reason to refuse a socket:
//! the queue that the last datagram came from, the identification of the next IP header, and the
//! hash for the choice of a path. Nor are its control group and security label: those of a restored
//! socket are the restorer's.

#![forbid(unsafe_code)]

use crate::{
    consts::{
        IP_TOS,
        SOL_IP,
        SOL_SOCKET,
        SOL_UDP,
        SO_TYPE,
        UDP_CORK, //
    },
    loss::{
        self,
        Loss,
        Losses, //
    },
    options::ENCAPS,
    refusal::Refusal, //
};

use kernel::{
    fs::file::flags,
    net::{
        sock::{
            InetFlag,
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

/// Why a socket with state that must not be lost is refused.
const NOT_CARRIED: &str = "is set and not carried";

/// What is not carried of the options of one level, and of the state that belongs there.
pub(crate) struct Level {
    /// The level.
    level: c_int,
    /// The option by which the security module is asked for the whole level.
    probe: c_int,
    /// The pieces of state, by name, whether a socket has them, and whether it may lose them.
    /// Options are there if they are not as on a new socket.
    rows: &'static [(&'static str, Check, MayLose)],
}

/// The loss that a piece of state is, if it may be lost.
type MayLose = Option<&'static Loss>;

/// Whether a socket has a piece of state.
enum Check {
    /// Looks at the open file.
    File(fn(&SocketFile) -> bool),
    /// Looks at what sockets of all kinds have.
    Sock(fn(&Sock) -> bool),
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
        ("a file flag other than O_NONBLOCK and O_ASYNC", Check::File(|file| {
            file.file_flags() & (flags::O_APPEND | flags::O_DIRECT | flags::O_NOATIME) != 0
        }), None),
        ("a user.* extended attribute", Check::File(SocketFile::has_user_xattr),
            Some(&loss::XATTR)),
        ("an XFRM policy", Check::Sock(Sock::has_xfrm_policy), Some(&loss::XFRM_POLICY)),
        ("a BPF map or another user in the kernel", Check::Sock(Sock::has_user_data), None),
        ("BPF storage", Check::Sock(Sock::has_bpf_storage), Some(&loss::BPF_STORAGE)),
        ("no_check_rx", Check::Sock(Sock::no_check_rx), None),
        ("SOCK_MEMALLOC", Check::SockFlag(SockFlag::MEMALLOC), None),
    ],
};

/// Sockets of IP.
#[rustfmt::skip]
pub(crate) static IP: Level = Level {
    level: SOL_IP,
    probe: IP_TOS,
    rows: &[
        ("IP_HDRINCL", Check::InetFlag(InetFlag::HDRINCL), None),
        ("IP_NODEFRAG", Check::InetFlag(InetFlag::NODEFRAG), None),
        ("IP_ROUTER_ALERT", Check::InetFlag(InetFlag::RTALERT), None),
    ],
};

/// Sockets of UDP.
#[rustfmt::skip]
pub(crate) static UDP: Level = Level {
    level: SOL_UDP,
    probe: UDP_CORK,
    rows: &[
        ("a BPF sockmap", Check::Udp(|udp| !udp.is_plain()), None),
        ("UDP_ENCAP of the kernel", Check::Udp(|udp| {
            !ENCAPS.contains(&udp.encap_type().into()) || udp.has_foreign_encap()
        }), None),
        ("UDP_FLAGS_ACCEPT_FRAGLIST", Check::UdpFlag(UdpFlag::ACCEPT_FRAGLIST), None),
    ],
};

impl Level {
    /// Asks the security module whether the requester may read the options of this level.
    ///
    /// `getsockopt()` asks for each option; all are asked for at once here.
    pub(crate) fn permit(&self, sock: &LockedSocket<'_>) -> Result<(), Refusal> {
        sock.security_getsockopt(self.level, self.probe)
            .map_err(|errno| Refusal::new(errno, "the security module refuses the options"))
    }

    /// Refuses a socket with state that is not carried and must not be lost.
    pub(crate) fn check(
        &self,
        file: &SocketFile,
        sock: &LockedSocket<'_>,
        losses: &mut Losses,
    ) -> Result<(), Refusal> {
        let (inet, udp) = (sock.inet(), sock.udp());

        for (name, check, may_lose) in self.rows {
            let has = match *check {
                Check::File(has) => has(file),
                Check::Sock(has) => has(sock),
                Check::Udp(has) => udp.is_some_and(has),
                Check::SockFlag(flag) => sock.flag(flag),
                Check::InetFlag(flag) => inet.is_some_and(|inet| inet.inet_flag(flag)),
                Check::UdpFlag(flag) => udp.is_some_and(|udp| udp.udp_flag(flag)),
            };
            if !has {
                continue;
            }
            match may_lose {
                Some(loss) => losses.lose(loss, name)?,
                None => return Err(Refusal::new(EOPNOTSUPP, NOT_CARRIED).about(name)),
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
            for (name, ..) in level.rows {
                assert!(!OPTIONS.iter().any(|option| option.name == *name));
            }
        }
    }

    #[test]
    fn no_name_is_twice_in_a_level() {
        for level in LEVELS {
            for (index, (name, ..)) in level.rows.iter().enumerate() {
                assert!(!level
                    .rows
                    .iter()
                    .take(index)
                    .any(|(other, ..)| other == name));
            }
        }
    }

    #[test]
    fn a_refusal_fits_into_a_message() {
        for level in LEVELS {
            for (name, _, may_lose) in level.rows {
                let reason = match may_lose {
                    Some(loss) => loss.reason,
                    None => NOT_CARRIED,
                };
                assert!(name.len() + 1 + reason.len() < 80);
            }
        }
    }
}
