// SPDX-License-Identifier: GPL-2.0
//! The state of a socket, row by row.

use std::net::{IpAddr, SocketAddr};

use crate::attributes::attributes;
use crate::cork::CORK as CORK_SET;
use crate::datagram::DATAGRAM as DATAGRAM_SET;
use crate::map::MAP as MAP_SET;
use crate::nests::{Ip, Linger, Membership, Owner, Timestamping, Txtime, Udp};
use crate::record::REPORT as REPORT_SET;
use crate::table::Kind;
use crate::types::{
    BindLocks, DeviceName, FileFlags, Losses, Shutdown, SockState, SockoptFlags, Time, Timestamp,
};

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
        /// Boolean options of level `SOL_SOCKET` that have no attribute of their own.
        35 sockopt_flags "sockopt-flags" State: SockoptFlags;
        /// Which bits of `sockopt_flags` were saved.
        36 sockopt_flags_mask "sockopt-flags-mask" State: SockoptFlags as mask;
        /// `SO_MARK`.
        37 sockopt_mark "sockopt-mark" State: u32 as hex;
        /// `SO_TIMESTAMPING`.
        38 sockopt_timestamping "sockopt-timestamping" State: Timestamping;
        /// `SO_PEEK_OFF`, -1 if it is off.
        39 sockopt_peek_off "sockopt-peek-off" State: i32 as or_off;
        /// `SO_BUSY_POLL`, in microseconds.
        40 sockopt_busy_poll "sockopt-busy-poll" State: u32;
        /// `SO_BUSY_POLL_BUDGET`, in packets.
        41 sockopt_busy_poll_budget "sockopt-busy-poll-budget" State: u32;
        /// `SO_MAX_PACING_RATE`, in bytes per second, all ones without limit.
        42 sockopt_max_pacing_rate "sockopt-max-pacing-rate" State: u64 as rate;
        /// `SO_INCOMING_CPU`, -1 if none.
        43 sockopt_incoming_cpu "sockopt-incoming-cpu" State: i32 as or_none;
        /// `SO_TXTIME`, absent if it is off.
        44 sockopt_txtime "sockopt-txtime" Place: Txtime;
        /// Classic BPF filter of `SO_ATTACH_FILTER`, an array of `struct sock_filter`. Absent if
        /// there is none.
        45 sockopt_filter "sockopt-filter" Place: Vec<u8>;
        /// Directions that were shut down.
        46 shutdown "shutdown" State: Shutdown;
        /// Pending error, which `SO_ERROR` would return and clear.
        47 error "error" State: u32;
        /// Pending soft error.
        48 soft_error "soft-error" State: u32;
        /// Time stamp of the last datagram, in nanoseconds of the wall clock, minus one second if
        /// there was none yet. Absent if nobody has asked for time stamps.
        49 stamp "stamp" State: i64 as stamp;
        /// Next identifier of `SOF_TIMESTAMPING_OPT_ID`.
        50 tskey "tskey" State: u32;
        /// Next identifier of `MSG_ZEROCOPY`.
        51 zckey "zckey" State: u32;
        /// Count of dropped datagrams, which `SO_RXQ_OVFL` and `SO_MEMINFO` report.
        52 drops "drops" State: u32;
        /// User that the socket belongs to, by the number in the user namespace of the requester.
        53 uid "uid" State: u32;
        /// Owner of the open file (`F_SETOWN_EX`, `F_SETSIG`). Absent if it has never had one.
        54 owner "owner" Place: Owner;
        /// Identifier of the control group that the socket belongs to. Identity: a new socket belongs
        /// to that of the caller.
        55 cgroup "cgroup" Identity: u64;
        /// Place in the `SO_REUSEPORT` group, which is the order in which the sockets of a group are
        /// to be restored. Identity: ignored when it is restored. Absent if it is in no group.
        56 reuseport_index "reuseport-index" Identity: u32;
        /// Classic BPF program of `SO_ATTACH_REUSEPORT_CBPF`, an array of `struct sock_filter`.
        /// Absent if the group that shares the port has none.
        57 reuseport_filter "reuseport-filter" Place: Vec<u8>;
        /// State of level `SOL_IP`.
        58 ip "ip" State: Ip;
        /// State of level `SOL_UDP`.
        59 udp "udp" State: Udp;
        /// Multicast groups, in the order in which they were joined.
        60 membership "membership" Place list: Membership;
        /// What the original has and this state does not carry, absent if there is nothing. It is
        /// restored only if that is allowed ([`Client::allow_lost`](crate::Client::allow_lost)).
        64 lost "lost" Place: Losses;
        /// Rate that the socket is paced at, in bytes per second, all ones without limit.
        69 pacing_rate "pacing-rate" State: u64 as rate;
        /// Number of datagrams that wait to be received, absent if there are none. With it, a state
        /// is restored as a [`Snapshot`](crate::Snapshot) only, so that none is lost by mistake.
        70 queue_len "queue-len" Place: u32;
        /// The same of the errors and time stamps that wait in the error queue.
        72 error_queue_len "error-queue-len" Place: u32;
        /// Length of the payload of the corked datagram, absent if there is none. It comes back
        /// as `queue_len` does.
        73 cork_len "cork-len" Place: u32;
    }
    kept {
        12 "sockopt-passcred" Kind::Unused;
        23 "pidfd" Kind::U32;
        61 "datagram" Kind::Nest("datagram", DATAGRAM_SET);
        62 "payload" Kind::Binary;
        63 "cork" Kind::Nest("cork", CORK_SET);
        65 "allow-lost" Kind::Flags("loss");
        66 "transaction" Kind::Enum("transaction");
        67 "report" Kind::Nest("report", REPORT_SET);
        68 "map" Kind::Nest("map", MAP_SET);
        71 "filter-inode" Kind::Uint;
    }
}

/// Number of a field that requests have, too.
pub(crate) const LOCAL_PORT: u16 = 28;

/// Numbers of what is part of messages and of no [`State`].
pub(crate) const PIDFD: u16 = 23;
pub(crate) const DATAGRAM: u16 = 61;
pub(crate) const PAYLOAD: u16 = 62;
pub(crate) const CORK: u16 = 63;
pub(crate) const ALLOW_LOST: u16 = 65;
pub(crate) const TRANSACTION: u16 = 66;
pub(crate) const REPORT: u16 = 67;
pub(crate) const MAP: u16 = 68;
pub(crate) const FILTER_INODE: u16 = 71;

impl State {
    /// The same state without what says which socket it is. The copy of a socket has the same
    /// state as the socket but for this.
    #[must_use]
    pub fn without_identity(&self) -> Self {
        Self {
            inode: None,
            sock_fd: None,
            cookie: None,
            cgroup: None,
            reuseport_index: None,
            ..self.clone()
        }
    }

    /// Nothing but which socket it is, and of what kind.
    pub(crate) fn which(&self) -> Self {
        Self {
            inode: self.inode,
            sock_fd: self.sock_fd,
            cookie: self.cookie,
            sock_family: self.sock_family,
            sock_type: self.sock_type,
            sock_protocol: self.sock_protocol,
            ..Self::default()
        }
    }

    /// What says which socket it is, as far as it is known: `fd:3 ino:1041 cookie:1`.
    ///
    /// ```
    /// let state = inetcr::State { inode: Some(1041), cookie: Some(1), ..Default::default() };
    /// assert_eq!(state.identity(), "ino:1041 cookie:1");
    /// ```
    pub fn identity(&self) -> String {
        let all = [
            ("fd", self.sock_fd.map(u64::from)),
            ("ino", self.inode),
            ("cookie", self.cookie),
        ];
        let known = all
            .iter()
            .filter_map(|(name, value)| Some(format!("{name}:{}", (*value)?)));
        known.collect::<Vec<_>>().join(" ")
    }

    /// Whether the socket holds more than its state: datagrams, errors, or a corked datagram.
    pub fn has_contents(&self) -> bool {
        self.queue_len.is_some() || self.error_queue_len.is_some() || self.cork_len.is_some()
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
