// SPDX-License-Identifier: GPL-2.0
//! The attribute sets that are nests in a [`State`](crate::State).

use std::net::IpAddr;

use crate::attributes::{attributes, nest};
use crate::types::{DeviceName, IpFlags, OwnerType, Time, UdpFlags};
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
nest!(Linger "linger" LINGER in one line: linger);

fn linger(linger: &Linger) -> String {
    let onoff = linger.onoff.map_or("not saved".to_owned(), |on| on.human());
    match linger.time {
        Some(time) => format!("{onoff}, {time}"),
        None => onoff,
    }
}

attributes! {
    /// `SO_TIMESTAMPING`.
    pub struct Timestamping, TIMESTAMPING;
    fields {
        /// `SOF_TIMESTAMPING_*` flags.
        1 flags "flags" State: u32 as hex;
        /// Index of the PTP hardware clock.
        2 bind_phc "bind-phc" State: i32;
        /// It was set by `SO_TIMESTAMPING_NEW`.
        3 new "new" State: bool;
    }
    kept {}
}
nest!(Timestamping "timestamping" TIMESTAMPING);

attributes! {
    /// `SO_TXTIME`.
    pub struct Txtime, TXTIME;
    fields {
        /// Clock of the transmit times.
        1 clockid "clockid" State: i32;
        /// `SOF_TXTIME_*` flags.
        2 flags "flags" State: u32 as hex;
    }
    kept {}
}
nest!(Txtime "txtime" TXTIME);

attributes! {
    /// Owner of an open file, who gets signals (`F_SETOWN_EX`, `F_SETSIG`).
    pub struct Owner, OWNER;
    fields {
        /// Whom `id` names.
        1 type_ "type" State: OwnerType;
        /// Number in the PID namespace of the requester, 0 if there is none.
        2 id "id" State: u32;
        /// Signal of `F_SETSIG`, 0 for `SIGIO`.
        3 signum "signum" State: u32;
    }
    kept {}
}
nest!(Owner "owner" OWNER in one line: owner);

fn owner(owner: &Owner) -> String {
    let type_ = owner.type_.map_or("?", OwnerType::name);
    let id = owner.id.map_or("?".to_owned(), |id| id.to_string());
    match owner.signum {
        None | Some(0) => format!("{type_} {id}"),
        Some(signum) => format!("{type_} {id}, signal {signum}"),
    }
}

attributes! {
    /// State of level `SOL_IP`.
    pub struct Ip, IP;
    fields {
        /// Boolean options.
        1 flags "flags" State: IpFlags;
        /// Which bits of `flags` were saved.
        2 flags_mask "flags-mask" State: IpFlags as mask;
        /// `IP_TOS`.
        3 tos "tos" State: u32 as hex;
        /// `IP_TTL`, -1 if the default of the namespace applies.
        4 ttl "ttl" State: i32 as or_default;
        /// `IP_MINTTL`.
        5 min_ttl "min-ttl" State: u32;
        /// `IP_OPTIONS`, absent if there are none.
        6 options "options" Place: Vec<u8>;
        /// `IP_MTU_DISCOVER`.
        7 mtu_discover "mtu-discover" State: u32 as mtu_discover;
        /// `IP_MULTICAST_TTL`.
        8 multicast_ttl "multicast-ttl" State: u32;
        /// Device of `IP_MULTICAST_IF`. The empty name means that there is none.
        9 multicast_ifname "multicast-ifname" State: DeviceName;
        /// Source address of `IP_MULTICAST_IF`.
        10 multicast_addr "multicast-addr" Place: IpAddr;
        /// Device of `IP_UNICAST_IF`. The empty name means that there is none.
        11 unicast_ifname "unicast-ifname" State: DeviceName;
        /// `IP_LOCAL_PORT_RANGE`, low in the lower half, high in the upper half.
        12 local_port_range "local-port-range" State: u32 as port_range;
    }
    kept {}
}
nest!(Ip "ip" IP);

attributes! {
    /// State of level `SOL_UDP`.
    pub struct Udp, UDP;
    fields {
        /// Boolean options.
        1 flags "flags" State: UdpFlags;
        /// Which bits of `flags` were saved.
        2 flags_mask "flags-mask" State: UdpFlags as mask;
        /// `UDP_ENCAP`.
        3 encap "encap" State: u32 as encap;
        /// `UDP_SEGMENT`, in bytes.
        4 segment "segment" State: u32;
    }
    kept {}
}
nest!(Udp "udp" UDP);

attributes! {
    /// Membership in a multicast group.
    pub struct Membership, MEMBERSHIP;
    fields {
        /// Address of the group.
        1 group "group" State: IpAddr;
        /// Device that the group is heard on.
        2 ifname "ifname" State: DeviceName;
        /// Address that named the device when the group was joined. Absent if none did.
        3 address "address" Place: IpAddr;
        /// `source` lists whom not to hear, as opposed to whom to hear.
        4 exclude "exclude" State: bool;
        /// Addresses of the source filter.
        5 source "source" Place list: IpAddr;
    }
    kept {}
}
nest!(Membership "membership" MEMBERSHIP in one line: membership);

/// Somebody who is a member without a filter, as most are, hears all sources.
fn membership(membership: &Membership) -> String {
    let group = membership.group.map_or("?".to_owned(), |one| one.human());
    let device = membership.ifname.map_or("?".to_owned(), |one| one.human());
    let by = membership.address.map(|address| format!(" by {address}"));
    let by = by.unwrap_or_default();
    let sources: Vec<_> = membership.source.iter().map(Value::human).collect();
    let filter = match (membership.exclude, sources.join(",")) {
        (Some(true), none) if none.is_empty() => String::new(),
        (Some(true), sources) => format!(", exclude {sources}"),
        (Some(false), none) if none.is_empty() => ", include nobody".to_owned(),
        (Some(false), sources) => format!(", include {sources}"),
        (None, sources) => format!(", mode not saved {sources}"),
    };
    format!("{group} dev {device}{by}{filter}")
}
