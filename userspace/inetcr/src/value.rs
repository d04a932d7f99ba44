// SPDX-License-Identifier: GPL-2.0
//! How the value of an attribute looks on the wire, in JSON and to people.

use std::net::IpAddr;

use serde_json::Value as Json;

use crate::attr::RawAttr;
use crate::attributes::Described;
use crate::human;
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

    /// The attributes of a nest that is read attribute by attribute.
    fn inside(&self) -> Vec<Described> {
        Vec::new()
    }
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

fn signed_json(json: &Json) -> Result<i64, String> {
    json.as_i64()
        .ok_or_else(|| format!("{json} is not a number of 64 bits"))
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

impl Value for i32 {
    const KIND: Kind = Kind::S32;

    fn encode(&self, number: u16) -> RawAttr {
        RawAttr::s32(number, *self)
    }
    fn decode(payload: &[u8]) -> Result<Self, String> {
        exact(payload).map(Self::from_ne_bytes)
    }
    fn to_json(&self) -> Result<Json, String> {
        Ok(Json::from(*self))
    }
    fn from_json(json: Json) -> Result<Self, String> {
        let value = signed_json(&json)?;
        Self::try_from(value).map_err(|_| format!("{value} does not fit in 32 bits"))
    }
    fn human(&self) -> String {
        self.to_string()
    }
}

impl Value for i64 {
    const KIND: Kind = Kind::Sint;

    fn encode(&self, number: u16) -> RawAttr {
        RawAttr::sint(number, *self)
    }
    fn decode(payload: &[u8]) -> Result<Self, String> {
        sint(payload)
    }
    fn to_json(&self) -> Result<Json, String> {
        Ok(Json::from(*self))
    }
    fn from_json(json: Json) -> Result<Self, String> {
        signed_json(&json)
    }
    fn human(&self) -> String {
        self.to_string()
    }
}

/// Any bytes. In JSON they are text of hexadecimal digits, as the kernel's own YNL client prints
/// what it has no hint for.
impl Value for Vec<u8> {
    const KIND: Kind = Kind::Binary;

    fn encode(&self, number: u16) -> RawAttr {
        RawAttr::new(number, self.as_slice())
    }
    fn decode(payload: &[u8]) -> Result<Self, String> {
        Ok(payload.to_vec())
    }
    fn to_json(&self) -> Result<Json, String> {
        Ok(Json::from(human::digits(self)))
    }
    fn from_json(json: Json) -> Result<Self, String> {
        json.as_str()
            .and_then(bytes_of_digits)
            .ok_or_else(|| format!("{json} is not a text of pairs of hexadecimal digits"))
    }
    fn human(&self) -> String {
        human::bytes(self)
    }
}

fn bytes_of_digits(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<char> = text.chars().collect();
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => {
            let byte = high.to_digit(16)? * 16 + low.to_digit(16)?;
            u8::try_from(byte).ok()
        }
        _ => None,
    });
    pairs.collect()
}

/// Text, with a NUL at its end on the wire.
impl Value for String {
    const KIND: Kind = Kind::String;

    fn encode(&self, number: u16) -> RawAttr {
        RawAttr::new(number, [self.as_bytes(), &[0]].concat())
    }
    fn decode(payload: &[u8]) -> Result<Self, String> {
        let text = payload.strip_suffix(&[0]).unwrap_or(payload);
        String::from_utf8(text.to_vec()).map_err(|_| "is no text".to_owned())
    }
    fn to_json(&self) -> Result<Json, String> {
        Ok(Json::from(self.as_str()))
    }
    fn from_json(json: Json) -> Result<Self, String> {
        match json {
            Json::String(text) => Ok(text),
            other => Err(format!("{other} is no text")),
        }
    }
    fn human(&self) -> String {
        self.clone()
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
