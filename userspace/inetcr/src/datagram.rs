// SPDX-License-Identifier: GPL-2.0
//! A queued datagram, or an error of one: what is known of it, and its payload.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use crate::attributes::{attributes, nest};
use crate::human;
use crate::types::{DeviceName, ErrorOrigin};
use crate::value::Value;

attributes! {
    /// All of a queued datagram but its payload.
    pub struct DatagramHeader, DATAGRAM;
    fields {
        /// Length of the payload in bytes.
        1 len "len" State: u32;
        /// Address of the sender.
        2 source_addr "source-addr" State: IpAddr;
        /// Port of the sender.
        3 source_port "source-port" State: u16;
        /// Address in the IP header.
        4 dest_addr "dest-addr" State: IpAddr;
        /// Port in the UDP header.
        5 dest_port "dest-port" State: u16;
        /// Local address that `IP_PKTINFO` reports.
        6 pktinfo_addr "pktinfo-addr" Place: IpAddr;
        /// Device that `IP_PKTINFO` reports. Absent if it reports none, or one that is gone.
        7 pktinfo_ifname "pktinfo-ifname" Place: DeviceName;
        /// Interface index that `IP_PKTINFO` reports. The name counts, if there is one.
        8 pktinfo_ifindex "pktinfo-ifindex" Place: u32;
        /// Time of arrival in nanoseconds of the wall clock. Absent if nobody asked for it then.
        9 tstamp "tstamp" Place: i64 as stamp;
        /// Time of arrival by the clock of the device, in nanoseconds.
        10 hwtstamp "hwtstamp" Place: i64 as stamp;
        /// Time to live.
        11 ttl "ttl" State: u32;
        /// Type of service.
        12 tos "tos" State: u32 as hex;
        /// IP options, as `IP_RECVOPTS` reports them.
        13 options "options" Place: Vec<u8>;
        /// Size that `IP_RECVFRAGSIZE` reports.
        14 frag_max_size "frag-max-size" Place: u32;
        /// Size that `UDP_GRO` reports.
        15 gso_size "gso-size" Place: u32;
        /// Mark that `SO_RCVMARK` reports.
        16 mark "mark" Place: u32 as hex;
        /// Priority that `SO_RCVPRIORITY` reports.
        17 priority "priority" Place: u32;
        /// Count that `SO_RXQ_OVFL` reports.
        18 dropcount "dropcount" Place: u32;
        /// Checksum that `IP_CHECKSUM` reports.
        19 csum "csum" Place: u32 as hex;
        /// The datagram was seen by `MSG_PEEK`.
        20 peeked "peeked" Place: bool;
        /// It is one of the error queue, and this has put it there.
        21 error_origin "error-origin" Place: ErrorOrigin;
        /// Error number.
        22 error_errno "error-errno" Place: u32;
        /// Type of the ICMP message.
        23 error_type "error-type" Place: u32;
        /// Code of the ICMP message, or 1 if what was sent by `MSG_ZEROCOPY` was copied.
        24 error_code "error-code" Place: u32;
        /// An MTU or a pointer of ICMP, the kind of a time stamp, or the first completed send.
        25 error_info "error-info" Place: u32;
        /// The number of a time stamp, or the last completed send.
        26 error_data "error-data" Place: u32;
        /// Where in the payload the extensions of the ICMP message are.
        27 error_rfc4884_len "error-rfc4884-len" Place: u32;
        /// What is wrong with the extensions.
        28 error_rfc4884_flags "error-rfc4884-flags" Place: u32 as hex;
        /// Address that what failed was sent to.
        29 error_addr "error-addr" Place: IpAddr;
        /// Port that what failed was sent to.
        30 error_port "error-port" Place: u16;
    }
    kept {}
}
nest!(DatagramHeader "datagram" DATAGRAM in one line: one_line);

/// From where to where and how long, then what else there is, by name.
fn one_line(header: &DatagramHeader) -> String {
    let source = endpoint(header.source_addr, header.source_port);
    let dest = endpoint(header.dest_addr, header.dest_port);
    let name = endpoint(header.error_addr, header.error_port);
    let mut words = vec![match header.error_origin {
        None => format!("{source} -> {dest}"),
        Some(origin @ (ErrorOrigin::Local | ErrorOrigin::Icmp)) => {
            format!("{} error of {name}", origin.name())
        }
        Some(origin) => origin.name().to_owned(),
    }];
    for row in header.describe() {
        let (name, value) = (row.name(), row.value);
        match name.as_str() {
            "len" => words.push(format!("{value} bytes")),
            "error-origin" | "error-addr" | "error-port" => {}
            "source-addr" | "source-port" | "dest-addr" | "dest-port"
                if header.error_origin.is_none() => {}
            "peeked" if value == "on" => words.push(name),
            _ => words.push(format!("{name} {value}")),
        }
    }
    words.join(", ")
}

/// An address and a port, as far as they are known.
pub(crate) fn endpoint(addr: Option<IpAddr>, port: Option<u16>) -> String {
    let addr = addr.map_or("?".to_owned(), |addr| addr.to_string());
    let port = port.map_or("?".to_owned(), |port| port.to_string());
    format!("{addr}:{port}")
}

impl fmt::Display for DatagramHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(self))
    }
}

/// A queued datagram.
///
/// ```
/// use inetcr::{Datagram, DatagramHeader};
///
/// let header = DatagramHeader { len: Some(2), ttl: Some(64), ..DatagramHeader::default() };
/// let datagram = Datagram { header, payload: b"hi".to_vec() };
/// let json = serde_json::to_string(&datagram).unwrap();
/// assert_eq!(json, r#"{"datagram":{"len":2,"ttl":64},"payload":"6869"}"#);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Datagram {
    /// All but the payload.
    #[serde(rename = "datagram")]
    pub header: DatagramHeader,
    /// The payload. [`DatagramHeader::len`] says how long it is.
    #[serde(with = "digits")]
    pub payload: Vec<u8>,
}

impl Datagram {
    /// Whether it is one of the error queue.
    pub fn is_error(&self) -> bool {
        self.header.error_origin.is_some()
    }

    /// How much memory it takes.
    pub(crate) fn memory(&self) -> usize {
        let options = self.header.options.as_ref().map_or(0, Vec::len);
        size_of::<Self>() + self.payload.len() + options
    }

    /// As [`missing`].
    pub(crate) fn missing(&self) -> Option<usize> {
        missing(self.header.len, &self.payload)
    }
}

/// How much of a payload is missing, 0 if it is there; `None` if it is longer than the header says,
/// or if that says nothing.
pub(crate) fn missing(len: Option<u32>, payload: &[u8]) -> Option<usize> {
    let len = usize::try_from(len?).ok()?;
    len.checked_sub(payload.len())
}

/// Bytes in JSON, as everywhere in an image.
pub(crate) mod digits {
    use super::{Deserialize as _, Deserializer, Serializer, Value as _, de, human, ser};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        ser::Serializer::serialize_str(to, &human::digits(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let json = serde_json::Value::deserialize(from)?;
        Vec::from_json(json).map_err(de::Error::custom)
    }
}
