// SPDX-License-Identifier: GPL-2.0
//! Names of devices.

use std::ffi::CStr;
use std::fmt;
use std::str::FromStr;

use serde_json::Value as Json;

use crate::attr::RawAttr;
use crate::table::Kind;
use crate::value::Value;

/// Name of a network device: up to 15 bytes that need not be UTF-8. No bytes mean no device.
///
/// As text, bytes that are not printable ASCII or UTF-8 are written `\xNN`, and a backslash `\\`.
///
/// ```
/// use inetcr::DeviceName;
///
/// let name: DeviceName = "eth0".parse().unwrap();
/// assert_eq!(name.as_c_str(), c"eth0");
/// assert!("sixteencharacter".parse::<DeviceName>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceName(
    /// Invariant: has a NUL, and nothing but NULs behind it.
    [u8; 16],
);

impl DeviceName {
    /// The name in some bytes, `None` if it is too long or holds a NUL.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut name = [0; 16];
        if bytes.len() > 15 || bytes.contains(&0) {
            return None;
        }
        name.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self(name))
    }

    /// The name with its NUL.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.as_c_str().to_bytes().utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '\\' => f.write_str("\\\\")?,
                    plain if !plain.is_control() => write!(f, "{plain}")?,
                    control => {
                        let mut utf8 = [0; 4];
                        for byte in control.encode_utf8(&mut utf8).bytes() {
                            write!(f, "\\x{byte:02x}")?;
                        }
                    }
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceName({self})")
    }
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no name of a device");
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((&first, after)) = rest.split_first() {
            rest = after;
            if first != b'\\' {
                bytes.push(first);
            } else if let Some(after) = rest.strip_prefix(b"\\") {
                bytes.push(b'\\');
                rest = after;
            } else {
                let hex = rest
                    .strip_prefix(b"x")
                    .and_then(|hex| hex.split_at_checked(2));
                let (digits, after) = hex.ok_or_else(wrong)?;
                bytes.push(hex_byte(digits).ok_or_else(wrong)?);
                rest = after;
            }
        }
        Self::from_bytes(&bytes).ok_or_else(wrong)
    }
}

impl Value for DeviceName {
    const KIND: Kind = Kind::Device;

    fn encode(&self, number: u16) -> RawAttr {
        RawAttr::string(number, self.as_c_str())
    }
    fn decode(payload: &[u8]) -> Result<Self, String> {
        let name = payload.strip_suffix(&[0]).unwrap_or(payload);
        Self::from_bytes(name).ok_or_else(|| "is no name of a device".to_owned())
    }
    fn to_json(&self) -> Result<Json, String> {
        Ok(Json::from(self.to_string()))
    }
    fn from_json(json: Json) -> Result<Self, String> {
        let text = json.as_str().ok_or_else(|| format!("{json} is no text"))?;
        text.parse()
    }
    fn human(&self) -> String {
        if self.as_c_str().is_empty() {
            return "none".to_owned();
        }
        self.to_string()
    }
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let mut byte = 0u8;
    for &digit in digits {
        let digit = char::from(digit).to_digit(16)?;
        byte = byte
            .checked_mul(16)?
            .checked_add(u8::try_from(digit).ok()?)?;
    }
    Some(byte)
}
