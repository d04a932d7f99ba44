// SPDX-License-Identifier: GPL-2.0
//! The state of a socket, row by row.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value as Json;

use crate::attr::RawAttr;
use crate::attributes::attributes;
use crate::table::Kind;
use crate::types::{BindLocks, DeviceName, FileFlags, SockState, Time, Timestamp};
use crate::value::Value;

attributes! {
    /// `SO_LINGER`.
    pub struct Linger, LINGER;
    fields {
        /// Whether close(2) waits.
        1 onoff "onoff" State: bool;
        /// How long it waits. The socket keeps it while `onoff` is off.
        2 time "time" State: Time;
    }
    kept {}
}

attributes! {
    /// The state of a socket, as `DUMP` returns it and `RESTORE` takes it.
    ///
    /// A field that is `None` was not saved, and is left alone when the state is restored; an
    /// address or a port that is `None` is one that the socket does not have.
    ///
    /// In JSON the fields have their names in the specification, the values look as the kernel's
    /// own YNL client has them.
    ///
    /// ```
    /// use inetcr::{State, Time};
    ///
    /// let json = r#"{ "sock-type": 2, "local-addr": "127.0.0.1", "sockopt-rcvtimeo": -1 }"#;
    /// let state: State = serde_json::from_str(json).unwrap();
    /// assert_eq!(state.sock_type, Some(2));
    /// assert_eq!(state.sockopt_rcvtimeo, Some(Time::INFINITE));
    /// assert_eq!(State::from_attrs(&state.to_attrs()).unwrap(), state);
    /// ```
    pub struct State, SOCKET;
    fields {
        /// Inode number of the socket. Identity: ignored when it is restored.
        1 inode "inode" Identity: u64;
        /// State, `sk_state` in the kernel.
        2 sock_state "sock-state" State: SockState;
        /// Type, `SOCK_DGRAM` (2) for UDP.
        3 sock_type "sock-type" State: u32;
        /// File descriptor. Identity: ignored when it is restored.
        4 sock_fd "sock-fd" Identity: u32;
        /// `SO_BINDTODEVICE`. The empty name means that the socket is bound to no device.
        5 sockopt_bindtodevice "sockopt-bindtodevice" State: DeviceName;
        /// `SO_BROADCAST`.
        6 sockopt_broadcast "sockopt-broadcast" State: bool;
        /// `SO_DEBUG`.
        7 sockopt_debug "sockopt-debug" State: bool;
        /// `SO_DONTROUTE`.
        8 sockopt_dontroute "sockopt-dontroute" State: bool;
        /// `SO_KEEPALIVE`.
        9 sockopt_keepalive "sockopt-keepalive" State: bool;
        /// `SO_LINGER`.
        10 sockopt_linger "sockopt-linger" State: Linger;
        /// `SO_OOBINLINE`.
        11 sockopt_oobinline "sockopt-oobinline" State: bool;
        /// `SO_PRIORITY`.
        13 sockopt_priority "sockopt-priority" State: u32;
        /// `SO_RCVLOWAT`, in bytes.
        14 sockopt_rcvlowat "sockopt-rcvlowat" State: u32;
        /// `SO_RCVTIMEO`.
        15 sockopt_rcvtimeo "sockopt-rcvtimeo" State: Time;
        /// `SO_SNDTIMEO`.
        16 sockopt_sndtimeo "sockopt-sndtimeo" State: Time;
        /// Size of the receive buffer exactly, what `getsockopt(SO_RCVBUF)` returns.
        17 sockopt_rcvbuf "sockopt-rcvbuf" State: u32;
        /// `SO_REUSEADDR`, 0 to 2.
        18 sockopt_reuseaddr "sockopt-reuseaddr" State: u32;
        /// Size of the send buffer exactly, what `getsockopt(SO_SNDBUF)` returns.
        19 sockopt_sndbuf "sockopt-sndbuf" State: u32;
        /// `SO_TIMESTAMP` and its relatives.
        20 sockopt_timestamp "sockopt-timestamp" State: Timestamp;
        /// The send buffer was set by its owner.
        21 sockopt_sndbuf_ulock "sockopt-sndbuf-ulock" State: bool;
        /// The receive buffer was set by its owner.
        22 sockopt_rcvbuf_ulock "sockopt-rcvbuf-ulock" State: bool;
        /// `SO_COOKIE`. Identity: ignored when it is restored.
        24 cookie "cookie" Identity: u64;
        /// Address family, `AF_INET` (2).
        25 sock_family "sock-family" State: u32;
        /// Protocol, `IPPROTO_UDP` (17).
        26 sock_protocol "sock-protocol" State: u32;
        /// Local address, the one that getsockname(2) returns.
        27 local_addr "local-addr" Place: IpAddr;
        /// Local port.
        28 local_port "local-port" Place: u16;
        /// Address of the peer.
        29 peer_addr "peer-addr" Place: IpAddr;
        /// Port of the peer.
        30 peer_port "peer-port" Place: u16;
        /// Address that the socket sends from, where it is not the local address.
        31 source_addr "source-addr" Place: IpAddr;
        /// What was chosen by bind(2) and not by the kernel.
        32 bind_locks "bind-locks" State: BindLocks;
        /// Index of the device that the socket is bound to, where there is no such device.
        33 bound_ifindex "bound-ifindex" Place: u32;
        /// Status flags of the open file.
        34 file_flags "file-flags" State: FileFlags;
    }
    kept {
        12 "sockopt-passcred" Kind::Unused;
        23 "pidfd" Kind::U32;
        35 "sockopt-flags" Kind::Flags("sockopt-flag");
        36 "sockopt-flags-mask" Kind::Flags("sockopt-flag");
        37 "sockopt-mark" Kind::U32;
        38 "sockopt-timestamping" Kind::Nest("timestamping", &[]);
        39 "sockopt-peek-off" Kind::S32;
        40 "sockopt-busy-poll" Kind::U32;
        41 "sockopt-busy-poll-budget" Kind::U32;
        42 "sockopt-max-pacing-rate" Kind::Uint;
        43 "sockopt-incoming-cpu" Kind::S32;
        44 "sockopt-txtime" Kind::Nest("txtime", &[]);
        45 "sockopt-filter" Kind::Binary;
        46 "shutdown" Kind::Flags("shutdown");
        47 "error" Kind::U32;
        48 "soft-error" Kind::U32;
        49 "stamp" Kind::Sint;
        50 "tskey" Kind::U32;
        51 "zckey" Kind::U32;
        52 "drops" Kind::U32;
        53 "uid" Kind::U32;
        54 "owner" Kind::Nest("owner", &[]);
        55 "cgroup" Kind::Uint;
        56 "reuseport-group" Kind::Uint;
        57 "reuseport-filter" Kind::Binary;
        58 "ip" Kind::Nest("ip", &[]);
        59 "udp" Kind::Nest("udp", &[]);
        60 "membership" Kind::Nest("membership", &[]);
        61 "datagram" Kind::Nest("datagram", &[]);
        62 "payload" Kind::Binary;
        63 "cork" Kind::Nest("cork", &[]);
        64 "lost" Kind::Flags("loss");
        65 "allow-lost" Kind::Flags("loss");
        66 "transaction" Kind::Enum("transaction");
        67 "report" Kind::Nest("report", &[]);
        68 "map" Kind::Nest("map", &[]);
    }
}

/// Number of `pidfd`, which is part of a request and of no [`State`].
pub(crate) const PIDFD: u16 = 23;

impl State {
    /// The same state without what says which socket it is. The copy of a socket has the same
    /// state as the socket but for this.
    #[must_use]
    pub fn without_identity(&self) -> Self {
        Self {
            inode: None,
            sock_fd: None,
            cookie: None,
            ..self.clone()
        }
    }

    /// Address and port that the socket is bound to; what it does not have is 0.
    pub fn local(&self) -> Option<SocketAddr> {
        endpoint(self.local_addr, self.local_port)
    }

    /// Address and port of the peer.
    pub fn peer(&self) -> Option<SocketAddr> {
        endpoint(self.peer_addr, self.peer_port)
    }
}

fn endpoint(address: Option<IpAddr>, port: Option<u16>) -> Option<SocketAddr> {
    if address.is_none() && port.is_none() {
        return None;
    }
    let any = IpAddr::from([0; 4]);
    Some(SocketAddr::new(
        address.unwrap_or(any),
        port.unwrap_or_default(),
    ))
}

impl Value for Linger {
    const KIND: Kind = Kind::Nest("linger", LINGER);

    fn encode(&self, number: u16) -> RawAttr {
        RawAttr::nested(number, &self.to_attrs())
    }
    fn decode(payload: &[u8]) -> Result<Self, String> {
        RawAttr::decode_all(payload)
            .and_then(|attrs| Self::from_attrs(&attrs))
            .map_err(|error| format!("holds something wrong: {error}"))
    }
    fn to_json(&self) -> Result<Json, String> {
        serde_json::to_value(self).map_err(|error| error.to_string())
    }
    fn from_json(json: Json) -> Result<Self, String> {
        serde_json::from_value(json).map_err(|error| error.to_string())
    }
    fn human(&self) -> String {
        let onoff = self.onoff.map_or("not saved".to_owned(), |on| on.human());
        match self.time {
            Some(time) => format!("{onoff}, {time}"),
            None => onoff,
        }
    }
}
