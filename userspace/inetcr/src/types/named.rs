// SPDX-License-Identifier: GPL-2.0
//! Numbers and bits that have names.

use bitflags::bitflags;
use serde_json::Value as Json;

use crate::attr::RawAttr;
use crate::table::Kind;
use crate::value::{self, Value};

macro_rules! flags {
    ($name:ident $spec:literal) => {
        impl Value for $name {
            const KIND: Kind = Kind::Flags($spec);

            fn encode(&self, number: u16) -> RawAttr {
                RawAttr::u32(number, self.bits())
            }
            fn decode(payload: &[u8]) -> Result<Self, String> {
                value::decode_flags(payload)
            }
            fn to_json(&self) -> Result<Json, String> {
                value::flags_to_json(*self)
            }
            fn from_json(json: Json) -> Result<Self, String> {
                value::flags_from_json(&json)
            }
            fn human(&self) -> String {
                if self.is_empty() {
                    return "none".to_owned();
                }
                value::flag_names(*self).join(",")
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
