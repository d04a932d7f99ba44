// SPDX-License-Identifier: GPL-2.0
//! How the value of an attribute looks on the wire, in JSON and to people.

use std::net::IpAddr;

use bitflags::Flags;
use serde_json::Value as Json;

use crate::attr::RawAttr;
use crate::table::Kind;

/// A value of an attribute. The Rust type decides the type on the wire.
pub(crate) trait Value: Sized {
    /// Type of the attribute.
    const KIND: Kind;

    fn encode(&self, number: u16) -> RawAttr;
    /// The error is what is wrong with the payload.
    fn decode(payload: &[u8]) -> Result<Self, String>;
    fn to_json(&self) -> Result<Json, String>;
    fn from_json(json: Json) -> Result<Self, String>;
    fn human(&self) -> String;
}

/// An integer of exactly its size.
pub(crate) fn exact<const N: usize>(payload: &[u8]) -> Result<[u8; N], String> {
    payload
        .try_into()
        .map_err(|_| format!("has {} bytes instead of {N}", payload.len()))
}

/// An unsigned integer of 4 or 8 bytes.
fn uint(payload: &[u8]) -> Result<u64, String> {
    match payload.len() {
        4 => Ok(u32::from_ne_bytes(exact(payload)?).into()),
        8 => Ok(u64::from_ne_bytes(exact(payload)?)),
        len => Err(format!("has {len} bytes instead of 4 or 8")),
    }
}

/// A signed integer of 4 or 8 bytes.
pub(crate) fn sint(payload: &[u8]) -> Result<i64, String> {
    match payload.len() {
        4 => Ok(i32::from_ne_bytes(exact(payload)?).into()),
        8 => Ok(i64::from_ne_bytes(exact(payload)?)),
        len => Err(format!("has {len} bytes instead of 4 or 8")),
    }
}

fn unsigned_json(json: &Json) -> Result<u64, String> {
    json.as_u64()
        .ok_or_else(|| format!("{json} is not an unsigned number"))
}

impl Value for u64 {
    const KIND: Kind = Kind::Uint;

    fn encode(&self, number: u16) -> RawAttr {
        RawAttr::uint(number, *self)
    }
    fn decode(payload: &[u8]) -> Result<Self, String> {
        uint(payload)
    }
    fn to_json(&self) -> Result<Json, String> {
        Ok(Json::from(*self))
    }
    fn from_json(json: Json) -> Result<Self, String> {
        unsigned_json(&json)
    }
    fn human(&self) -> String {
        self.to_string()
    }
}

impl Value for u32 {
    const KIND: Kind = Kind::U32;

    fn encode(&self, number: u16) -> RawAttr {
        RawAttr::u32(number, *self)
    }
    fn decode(payload: &[u8]) -> Result<Self, String> {
        exact(payload).map(Self::from_ne_bytes)
    }
    fn to_json(&self) -> Result<Json, String> {
        Ok(Json::from(*self))
    }
    fn from_json(json: Json) -> Result<Self, String> {
        let value = unsigned_json(&json)?;
        Self::try_from(value).map_err(|_| format!("{value} does not fit in 32 bits"))
    }
    fn human(&self) -> String {
        self.to_string()
    }
}

/// Every 16-bit attribute of the family is a port.
impl Value for u16 {
    const KIND: Kind = Kind::Be16;

    fn encode(&self, number: u16) -> RawAttr {
        RawAttr::be16(number, *self)
    }
    fn decode(payload: &[u8]) -> Result<Self, String> {
        exact(payload).map(Self::from_be_bytes)
    }
    fn to_json(&self) -> Result<Json, String> {
        Ok(Json::from(*self))
    }
    fn from_json(json: Json) -> Result<Self, String> {
        let value = unsigned_json(&json)?;
        Self::try_from(value).map_err(|_| format!("{value} does not fit in 16 bits"))
    }
    fn human(&self) -> String {
        self.to_string()
    }
}

/// `u32` 0 or 1, in JSON too: that is what the kernel's own YNL client prints and takes.
impl Value for bool {
    const KIND: Kind = Kind::Bool;

    fn encode(&self, number: u16) -> RawAttr {
        RawAttr::u32(number, (*self).into())
    }
    fn decode(payload: &[u8]) -> Result<Self, String> {
        match u32::decode(payload)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(format!("is {other}, which is neither 0 nor 1")),
        }
    }
    fn to_json(&self) -> Result<Json, String> {
        Ok(Json::from(u32::from(*self)))
    }
    fn from_json(json: Json) -> Result<Self, String> {
        match (json.as_bool(), json.as_u64()) {
            (Some(value), _) => Ok(value),
            (_, Some(0)) => Ok(false),
            (_, Some(1)) => Ok(true),
            _ => Err(format!("{json} is neither 0 nor 1")),
        }
    }
    fn human(&self) -> String {
        if *self { "on" } else { "off" }.to_owned()
    }
}

impl Value for IpAddr {
    const KIND: Kind = Kind::Address;

    fn encode(&self, number: u16) -> RawAttr {
        match self {
            Self::V4(address) => RawAttr::new(number, address.octets()),
            Self::V6(address) => RawAttr::new(number, address.octets()),
        }
    }
    fn decode(payload: &[u8]) -> Result<Self, String> {
        match payload.len() {
            4 => Ok(exact::<4>(payload)?.into()),
            16 => Ok(exact::<16>(payload)?.into()),
            len => Err(format!("has {len} bytes instead of 4 or 16")),
        }
    }
    fn to_json(&self) -> Result<Json, String> {
        Ok(Json::from(self.to_string()))
    }
    fn from_json(json: Json) -> Result<Self, String> {
        json.as_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| format!("{json} is not an address"))
    }
    fn human(&self) -> String {
        self.to_string()
    }
}

/// Name of a flag in the specification.
fn flag_name(constant: &str) -> String {
    constant.to_ascii_lowercase().replace('_', "-")
}

/// Names of the flags that are set.
pub(crate) fn flag_names<F: Flags<Bits = u32> + Copy>(flags: F) -> Vec<String> {
    flags
        .iter_names()
        .map(|(name, _)| flag_name(name))
        .collect()
}

/// The bits of a flags attribute. A bit that has no name is an error: nothing is dropped silently.
pub(crate) fn decode_flags<F: Flags<Bits = u32>>(payload: &[u8]) -> Result<F, String> {
    let bits = u32::decode(payload)?;
    F::from_bits(bits).ok_or_else(|| {
        let unknown = bits & !F::all().bits();
        format!("has the bits {unknown:#x}, which this version does not know")
    })
}

/// A list of names, as the kernel's own YNL client has it.
pub(crate) fn flags_to_json<F: Flags<Bits = u32> + Copy>(flags: F) -> Result<Json, String> {
    if flags.contains_unknown_bits() {
        return Err(format!("bits {:#x} have no names", flags.bits()));
    }
    Ok(Json::from(flag_names(flags)))
}

pub(crate) fn flags_from_json<F: Flags<Bits = u32>>(json: &Json) -> Result<F, String> {
    let names = json
        .as_array()
        .ok_or_else(|| format!("{json} is not a list of names"))?;
    let mut flags = F::empty();
    for name in names {
        let flag = F::FLAGS
            .iter()
            .find(|flag| Some(flag_name(flag.name()).as_str()) == name.as_str())
            .ok_or_else(|| format!("{name} is not one of the names {}", all_names::<F>()))?;
        flags.insert(F::from_bits_retain(flag.value().bits()));
    }
    Ok(flags)
}

fn all_names<F: Flags<Bits = u32>>() -> String {
    let names: Vec<_> = F::FLAGS.iter().map(|flag| flag_name(flag.name())).collect();
    names.join(", ")
}

/// For `#[serde(with)]` on the optional fields of an attribute set.
pub(crate) mod optional {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de, ser};

    use super::{Json, Value};

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(crate) fn serialize<T: Value, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => {
                let json = value.to_json().map_err(ser::Error::custom)?;
                json.serialize(serializer)
            }
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, T: Value, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        let json = Json::deserialize(deserializer)?;
        T::from_json(json).map(Some).map_err(de::Error::custom)
    }
}
