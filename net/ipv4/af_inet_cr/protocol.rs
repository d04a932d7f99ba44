// SPDX-License-Identifier: GPL-2.0

//! Which kinds of sockets there are, and which of them are carried.

#![forbid(unsafe_code)]

use crate::{
    attr,
    consts::{
        AF_INET,
        AF_INET6,
        IPPROTO_ICMP,
        IPPROTO_MPTCP,
        IPPROTO_TCP,
        IPPROTO_UDP,
        SOCK_DGRAM,
        SOCK_RAW,
        SOCK_SEQPACKET,
        SOCK_STREAM, //
    },
    refusal::Refusal,
    uncovered::{
        self,
        Level, //
    },
};

use kernel::{
    net::sock::Sock,
    prelude::*, //
};

/// A kind of socket that is carried.
pub(crate) struct Protocol {
    /// `sk_family`, `AF_*`.
    pub(crate) family: c_int,
    /// `sk_type`, `SOCK_*`.
    pub(crate) type_: c_int,
    /// `sk_protocol`, `IPPROTO_*`.
    pub(crate) protocol: c_int,
    /// What such a socket can have, and is not carried, level by level.
    pub(crate) uncovered: &'static [&'static Level],
}

/// UDP over IPv4.
static UDP: Protocol = Protocol {
    family: AF_INET,
    type_: SOCK_DGRAM,
    protocol: IPPROTO_UDP,
    // The nearest first, which have the better name: a sockmap and an encapsulation are also users
    // in the kernel.
    uncovered: &[&uncovered::UDP, &uncovered::IP, &uncovered::SOCKET],
};

/// What a row says about the kind of socket that it describes.
enum Verdict {
    /// Such sockets are carried.
    Carried(&'static Protocol),
    /// Such sockets are called this and are not carried; the attribute is the one that says so.
    Refused(&'static str, u16),
}

use Verdict::{
    Carried,
    Refused, //
};

/// Family, type and protocol of sockets, [`None`] for any, and the verdict. The first row that fits
/// counts.
type Row = (Option<c_int>, Option<c_int>, Option<c_int>, Verdict);

/// All kinds of sockets.
#[rustfmt::skip]
static KINDS: &[Row] = &[
    (Some(AF_INET), Some(SOCK_DGRAM), Some(IPPROTO_UDP), Carried(&UDP)),
    (Some(AF_INET), Some(SOCK_DGRAM), Some(IPPROTO_ICMP),
        Refused("protocol IPPROTO_ICMP (ping)", attr::SOCK_PROTOCOL)),
    (Some(AF_INET), Some(SOCK_DGRAM), None, Refused("this protocol", attr::SOCK_PROTOCOL)),
    (Some(AF_INET), Some(SOCK_STREAM), Some(IPPROTO_TCP),
        Refused("type SOCK_STREAM (TCP)", attr::SOCK_TYPE)),
    (Some(AF_INET), Some(SOCK_STREAM), Some(IPPROTO_MPTCP),
        Refused("protocol IPPROTO_MPTCP", attr::SOCK_PROTOCOL)),
    (Some(AF_INET), Some(SOCK_STREAM), None, Refused("type SOCK_STREAM", attr::SOCK_TYPE)),
    (Some(AF_INET), Some(SOCK_RAW), None, Refused("type SOCK_RAW", attr::SOCK_TYPE)),
    (Some(AF_INET), Some(SOCK_SEQPACKET), None, Refused("type SOCK_SEQPACKET", attr::SOCK_TYPE)),
    (Some(AF_INET), None, None, Refused("this type", attr::SOCK_TYPE)),
    (Some(AF_INET6), None, None, Refused("family AF_INET6", attr::SOCK_FAMILY)),
    (None, None, None, Refused("this address family", attr::SOCK_FAMILY)),
];

impl Protocol {
    /// Returns what there is to know about a kind of socket, or refuses it by name.
    ///
    /// Nothing but what is named here ever reaches `__sock_create()`, which makes another family of
    /// some types.
    pub(crate) fn find(
        family: u32,
        type_: u32,
        protocol: u32,
    ) -> Result<&'static Protocol, Refusal> {
        let fits = |wanted: Option<c_int>, value: u32| {
            wanted.is_none_or(|wanted| u32::try_from(wanted) == Ok(value))
        };

        let row = KINDS
            .iter()
            .find(|row| fits(row.0, family) && fits(row.1, type_) && fits(row.2, protocol));

        match row {
            Some((_, _, _, Carried(protocol))) => Ok(protocol),
            Some((_, _, _, Refused(name, attr))) => {
                Err(Refusal::new(EOPNOTSUPP, "is not carried yet")
                    .about(name)
                    .at(*attr))
            }
            // The last row fits all.
            None => Err(Refusal::from(EOPNOTSUPP)),
        }
    }

    /// Returns the kind of a socket, or refuses it by name.
    pub(crate) fn of(sock: &Sock) -> Result<&'static Protocol, Refusal> {
        Protocol::find(
            sock.family().into(),
            sock.type_().into(),
            sock.protocol().into(),
        )
    }
}

#[cfg(CONFIG_AF_INET_CR_KUNIT_TEST)]
#[kernel::macros::kunit_tests(af_inet_cr_protocol)]
mod tests {
    use super::*;

    /// The error number for a kind of socket, or 0 if it is carried.
    fn errno(family: c_int, type_: c_int, protocol: c_int) -> c_int {
        match Protocol::find(family as u32, type_ as u32, protocol as u32) {
            Ok(_) => 0,
            Err(refusal) => refusal.errno().to_errno(),
        }
    }

    #[test]
    fn only_udp() {
        let unsupported = EOPNOTSUPP.to_errno();

        assert_eq!(errno(AF_INET, SOCK_DGRAM, IPPROTO_UDP), 0);
        assert_eq!(errno(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), unsupported);
        // The protocol must be named.
        assert_eq!(errno(AF_INET, SOCK_DGRAM, 0), unsupported);
        assert_eq!(errno(AF_INET, SOCK_RAW, IPPROTO_UDP), unsupported);
        assert_eq!(errno(AF_INET, SOCK_STREAM, IPPROTO_TCP), unsupported);
        assert_eq!(errno(AF_INET, SOCK_STREAM, IPPROTO_MPTCP), unsupported);
        assert_eq!(errno(AF_INET6, SOCK_DGRAM, IPPROTO_UDP), unsupported);
        // SOCK_PACKET, which `__sock_create()` would make an AF_PACKET socket of.
        assert_eq!(errno(AF_INET, 10, IPPROTO_UDP), unsupported);
        assert_eq!(errno(-1, -1, -1), unsupported);
    }

    #[test]
    fn the_last_row_fits_all() {
        assert!(matches!(
            KINDS.last(),
            Some((None, None, None, Refused(..)))
        ));
    }
}
