// SPDX-License-Identifier: GPL-2.0
//! Numbers and bits that have names.

use std::str::FromStr;

use bitflags::bitflags;
use serde_json::Value as Json;

use crate::attr::RawAttr;
use crate::flags;
use crate::table::Kind;
use crate::value::Value;

macro_rules! flags {
    ($name:ident $spec:literal) => {
        impl Value for $name {
            const KIND: Kind = Kind::Flags($spec);

            fn encode(&self, number: u16) -> RawAttr {
                RawAttr::u32(number, self.bits())
            }
            fn decode(payload: &[u8]) -> Result<Self, String> {
                flags::decode(payload)
            }
            fn to_json(&self) -> Result<Json, String> {
                flags::to_json(*self)
            }
            fn from_json(json: Json) -> Result<Self, String> {
                flags::from_json(&json)
            }
            fn human(&self) -> String {
                if self.is_empty() {
                    return "none".to_owned();
                }
                flags::names(*self).join(",")
            }
        }
    };
}

bitflags! {
    /// What the owner of the socket chose by bind(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct BindLocks: u32 {
        /// The local address.
        const ADDR = 1;
        /// The local port.
        const PORT = 2;
    }
}
flags!(BindLocks "bind-lock");

bitflags! {
    /// Status flags of the open file.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct FileFlags: u32 {
        /// `O_NONBLOCK`.
        const NONBLOCK = 1;
        /// `O_ASYNC`.
        const ASYNC = 2;
    }
}
flags!(FileFlags "file-flag");

bitflags! {
    /// Boolean options of level `SOL_SOCKET` that have no attribute of their own.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct SockoptFlags: u32 {
        /// `SO_NO_CHECK`.
        const NO_CHECK = 1;
        /// `SO_REUSEPORT`.
        const REUSEPORT = 1 << 1;
        /// `SO_RXQ_OVFL`.
        const RXQ_OVFL = 1 << 2;
        /// `SO_WIFI_STATUS`.
        const WIFI_STATUS = 1 << 3;
        /// `SO_NOFCS`.
        const NOFCS = 1 << 4;
        /// `SO_SELECT_ERR_QUEUE`.
        const SELECT_ERR_QUEUE = 1 << 5;
        /// `SO_LOCK_FILTER`.
        const LOCK_FILTER = 1 << 6;
        /// `SO_ZEROCOPY`.
        const ZEROCOPY = 1 << 7;
        /// `SO_PREFER_BUSY_POLL`.
        const PREFER_BUSY_POLL = 1 << 8;
        /// `SO_RCVMARK`.
        const RCVMARK = 1 << 9;
        /// `SO_RCVPRIORITY`.
        const RCVPRIORITY = 1 << 10;
        /// `SOCK_TIMESTAMP`, which nothing switches off.
        const TIMESTAMP = 1 << 11;
    }
}
flags!(SockoptFlags "sockopt-flag");

bitflags! {
    /// Boolean options of level `SOL_IP`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct IpFlags: u32 {
        /// `IP_RECVOPTS`.
        const RECVOPTS = 1;
        /// `IP_RETOPTS`.
        const RETOPTS = 1 << 1;
        /// `IP_PKTINFO`.
        const PKTINFO = 1 << 2;
        /// `IP_RECVERR`.
        const RECVERR = 1 << 3;
        /// `IP_RECVTTL`.
        const RECVTTL = 1 << 4;
        /// `IP_RECVTOS`.
        const RECVTOS = 1 << 5;
        /// `IP_FREEBIND`.
        const FREEBIND = 1 << 6;
        /// `IP_PASSSEC`.
        const PASSSEC = 1 << 7;
        /// `IP_TRANSPARENT`.
        const TRANSPARENT = 1 << 8;
        /// `IP_RECVORIGDSTADDR`.
        const RECVORIGDSTADDR = 1 << 9;
        /// `IP_CHECKSUM`.
        const CHECKSUM = 1 << 10;
        /// `IP_BIND_ADDRESS_NO_PORT`.
        const BIND_ADDRESS_NO_PORT = 1 << 11;
        /// `IP_RECVFRAGSIZE`.
        const RECVFRAGSIZE = 1 << 12;
        /// `IP_RECVERR_RFC4884`.
        const RECVERR_RFC4884 = 1 << 13;
        /// `IP_MULTICAST_LOOP`.
        const MULTICAST_LOOP = 1 << 14;
        /// `IP_MULTICAST_ALL`.
        const MULTICAST_ALL = 1 << 15;
    }
}
flags!(IpFlags "ip-flag");

bitflags! {
    /// Boolean options of level `SOL_UDP`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct UdpFlags: u32 {
        /// `UDP_CORK`.
        const CORK = 1;
        /// `UDP_NO_CHECK6_TX`.
        const NO_CHECK6_TX = 1 << 1;
        /// `UDP_NO_CHECK6_RX`.
        const NO_CHECK6_RX = 1 << 2;
        /// `UDP_GRO`.
        const GRO = 1 << 3;
        /// XFRM has its `encap_rcv` in the socket, since `UDP_ENCAP` was set to 0 or for ESP.
        const ENCAP_RCV = 1 << 4;
        /// XFRM has its `gro_receive` in the socket, since `UDP_ENCAP` was for ESP with `UDP_GRO`.
        const GRO_RECEIVE = 1 << 5;
    }
}
flags!(UdpFlags "udp-flag");

bitflags! {
    /// Directions that were shut down by shutdown(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Shutdown: u32 {
        /// Receiving.
        const RCV = 1;
        /// Sending.
        const SEND = 2;
    }
}
flags!(Shutdown "shutdown");

bitflags! {
    /// State that a socket has, that a dump cannot carry, and without which there is a socket that
    /// works.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Losses: u32 {
        /// An eBPF program as the filter.
        const EBPF_FILTER = 1;
        /// An eBPF program that chooses among the sockets on the port.
        const EBPF_REUSEPORT = 1 << 1;
        /// What BPF programs keep with the socket.
        const BPF_STORAGE = 1 << 2;
        /// An XFRM policy.
        const XFRM_POLICY = 1 << 3;
        /// Extended attributes `user.*`.
        const XATTR = 1 << 4;
        /// An owner of the open file that has no number in the PID namespace of the requester.
        const OWNER = 1 << 6;
    }
}
flags!(Losses "loss");

/// Names with commas between them.
impl FromStr for Losses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(flags::by_name).collect()
    }
}

macro_rules! enumeration {
    (
        $(#[$meta:meta])*
        $name:ident $spec:literal { $($(#[$entry_meta:meta])* $entry:ident = $value:literal $text:literal,)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$entry_meta])* $entry = $value,)* }

        impl $name {
            /// All values, in order.
            pub const ALL: &'static [Self] = &[$(Self::$entry,)*];

            /// Name in the specification.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$entry => $text,)* }
            }

            /// Number on the wire.
            pub const fn number(self) -> u32 {
                self as u32
            }
        }

        impl Value for $name {
            const KIND: Kind = Kind::Enum($spec);

            fn encode(&self, number: u16) -> RawAttr {
                RawAttr::u32(number, self.number())
            }
            fn decode(payload: &[u8]) -> Result<Self, String> {
                match u32::decode(payload)? {
                    $($value => Ok(Self::$entry),)*
                    other => Err(format!("is {other}, which this version does not know")),
                }
            }
            fn to_json(&self) -> Result<Json, String> {
                Ok(Json::from(self.name()))
            }
            fn from_json(json: Json) -> Result<Self, String> {
                match json.as_str() {
                    $(Some($text) => Ok(Self::$entry),)*
                    _ => Err(format!("{json} is not one of {}", [$($text),*].join(", "))),
                }
            }
            fn human(&self) -> String {
                self.name().to_owned()
            }
        }
    };
}

enumeration! {
    /// State of a socket, `sk_state` in the kernel.
    SockState "sock-state" {
        /// Connected to a peer.
        Established = 1 "established",
        /// Not connected.
        Close = 7 "close",
    }
}

enumeration! {
    /// Which of the options that stamp datagrams with their time of arrival is on.
    Timestamp "timestamp" {
        /// None.
        Off = 0 "off",
        /// `SO_TIMESTAMP_OLD`, microseconds.
        UsOld = 1 "us-old",
        /// `SO_TIMESTAMP_NEW`, microseconds with 64-bit seconds.
        UsNew = 2 "us-new",
        /// `SO_TIMESTAMPNS_OLD`, nanoseconds.
        NsOld = 3 "ns-old",
        /// `SO_TIMESTAMPNS_NEW`, nanoseconds with 64-bit seconds.
        NsNew = 4 "ns-new",
    }
}

enumeration! {
    /// Whom the owner of an open file names.
    OwnerType "owner-type" {
        /// A thread.
        Tid = 0 "tid",
        /// A process.
        Pid = 1 "pid",
        /// A process group.
        Pgrp = 2 "pgrp",
    }
}

enumeration! {
    /// Who has put something into the error queue, `SO_EE_ORIGIN_*`.
    ErrorOrigin "error-origin" {
        /// This machine.
        Local = 1 "local",
        /// A message of ICMP.
        Icmp = 2 "icmp",
        /// A time stamp of what was sent.
        Timestamping = 4 "timestamping",
        /// Completed `MSG_ZEROCOPY` sends.
        Zerocopy = 5 "zerocopy",
    }
}

enumeration! {
    /// Part of a restore in several messages.
    Transaction "transaction" {
        /// The message holds the socket, its queue follows.
        Begin = 1 "begin",
        /// The message holds datagrams.
        Queue = 2 "queue",
        /// The socket is complete.
        Commit = 3 "commit",
        /// The socket is forgotten.
        Abort = 4 "abort",
    }
}
