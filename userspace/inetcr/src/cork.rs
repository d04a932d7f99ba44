// SPDX-License-Identifier: GPL-2.0
//! A corked datagram: what is known of it, and its payload so far.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::attributes::{attributes, nest};
use crate::datagram::{digits, endpoint};
use crate::types::DeviceName;

attributes! {
    /// All of a corked datagram but its payload: what its first sendmsg(2) has settled.
    pub struct CorkHeader, CORK;
    fields {
        /// Length of the payload so far, in bytes.
        1 len "len" State: u32;
        /// Address that it goes to.
        2 dest_addr "dest-addr" State: IpAddr;
        /// Port that it goes to.
        3 dest_port "dest-port" State: u16;
        /// Address that it comes from.
        4 source_addr "source-addr" State: IpAddr;
        /// Time to live. Absent if it is that of the socket when the datagram goes out.
        5 ttl "ttl" Place: u32;
        /// Type of service.
        6 tos "tos" State: u32 as hex;
        /// Mark.
        7 mark "mark" State: u32 as hex;
        /// Priority.
        8 priority "priority" State: u32;
        /// IP options.
        9 options "options" Place: Vec<u8>;
        /// Size of the datagrams that it is cut into (`UDP_SEGMENT`).
        10 gso_size "gso-size" Place: u32;
        /// Time to send it at, by the clock of `SO_TXTIME`.
        11 txtime "txtime" Place: u64;
        /// Time stamps that are asked for, `SOF_TIMESTAMPING_TX_*`.
        12 timestamping "timestamping" Place: u32 as hex;
        /// Number of these time stamps.
        13 tskey "tskey" Place: u32;
        /// Sending it confirms that the neighbour is there (`MSG_CONFIRM`).
        14 confirm "confirm" Place: bool;
        /// Device that it goes out by. Any, if this was not saved.
        15 ifname "ifname" State: DeviceName;
        /// It goes to a gateway. Anywhere, if this was not saved.
        16 gateway "gateway" State: bool;
        /// Size of the largest packet that can go out. Any, if this was not saved.
        17 fragsize "fragsize" State: u32;
    }
    kept {}
}
nest!(CorkHeader "cork" CORK in one line: one_line);

/// From where to where and how long, then what else there is, by name.
fn one_line(header: &CorkHeader) -> String {
    let source = header.source_addr;
    let source = source.map_or("?".to_owned(), |addr| addr.to_string());
    let dest = endpoint(header.dest_addr, header.dest_port);
    let mut words = vec![format!("{source} -> {dest}")];
    for row in header.describe() {
        let (name, value) = (row.name(), row.value);
        match (name.as_str(), value.as_str()) {
            ("len", len) => words.push(format!("{len} bytes")),
            ("source-addr" | "dest-addr" | "dest-port", _)
            | ("gateway", "off")
            | ("mark" | "tos", "0x0")
            | ("priority", "0") => {}
            ("confirm" | "gateway", "on") => words.push(name),
            _ => words.push(format!("{name} {value}")),
        }
    }
    words.join(", ")
}

impl fmt::Display for CorkHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(self))
    }
}

/// A corked datagram.
///
/// ```
/// use inetcr::{Cork, CorkHeader};
///
/// let header = CorkHeader { len: Some(2), dest_port: Some(53), ..CorkHeader::default() };
/// let cork = Cork { header, payload: b"hi".to_vec() };
/// let json = serde_json::to_string(&cork).unwrap();
/// assert_eq!(json, r#"{"cork":{"len":2,"dest-port":53},"payload":"6869"}"#);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cork {
    /// All but the payload.
    #[serde(rename = "cork")]
    pub header: CorkHeader,
    /// The payload so far. [`CorkHeader::len`] says how long it is.
    #[serde(with = "digits")]
    pub payload: Vec<u8>,
}

impl CorkHeader {
    /// The same without what does not have to be equal in a datagram that was made of an image:
    /// what that has not saved, and the size of packets, which the kernel compares where it counts.
    pub(crate) fn as_saved_by(&self, image: &Self) -> Self {
        Self {
            ifname: self.ifname.filter(|_| image.ifname.is_some()),
            gateway: self.gateway.filter(|_| image.gateway.is_some()),
            fragsize: None,
            ..self.clone()
        }
    }
}
