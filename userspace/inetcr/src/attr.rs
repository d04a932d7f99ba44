// SPDX-License-Identifier: GPL-2.0
//! Netlink attributes as bytes: what goes over the wire, valid or not.

use std::ffi::CStr;

use crate::error::DecodeError;

/// The attribute holds attributes.
pub const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE_MASK: u16 = 0x3fff;
const HEADER_LEN: usize = 4;

/// One netlink attribute, uninterpreted.
///
/// A [`RawAttr`] can be anything that fits on the wire, also what the kernel has to refuse: that is
/// what tests are made of.
///
/// ```
/// use inetcr::RawAttr;
///
/// let attrs = [RawAttr::u32(6, 1), RawAttr::nested(10, &[RawAttr::u32(1, 0)])];
/// let bytes = RawAttr::encode_all(&attrs);
/// assert_eq!(bytes.len(), 8 + 12);
/// assert_eq!(RawAttr::decode_all(&bytes).unwrap(), attrs);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawAttr {
    /// Number and flag bits (`NLA_F_NESTED` is 0x8000), as in `nla_type`.
    pub kind: u16,
    /// What follows the header, without padding.
    pub payload: Vec<u8>,
    /// What `nla_len` says, where that is not the truth.
    claimed_len: Option<u16>,
}

impl RawAttr {
    /// An attribute of any bytes.
    pub fn new(kind: u16, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            kind,
            payload: payload.into(),
            claimed_len: None,
        }
    }

    /// An attribute of type `u32`.
    pub fn u32(kind: u16, value: u32) -> Self {
        Self::new(kind, value.to_ne_bytes())
    }

    /// An attribute of type `s32`.
    pub fn s32(kind: u16, value: i32) -> Self {
        Self::new(kind, value.to_ne_bytes())
    }

    /// An attribute of type `uint`: 4 bytes if the value fits, else 8.
    pub fn uint(kind: u16, value: u64) -> Self {
        match u32::try_from(value) {
            Ok(short) => Self::new(kind, short.to_ne_bytes()),
            Err(_) => Self::new(kind, value.to_ne_bytes()),
        }
    }

    /// An attribute of type `sint`: 4 bytes if the value fits, else 8.
    pub fn sint(kind: u16, value: i64) -> Self {
        match i32::try_from(value) {
            Ok(short) => Self::new(kind, short.to_ne_bytes()),
            Err(_) => Self::new(kind, value.to_ne_bytes()),
        }
    }

    /// An attribute of type `u16` in network byte order.
    pub fn be16(kind: u16, value: u16) -> Self {
        Self::new(kind, value.to_be_bytes())
    }

    /// An attribute of type `string`, with its NUL.
    pub fn string(kind: u16, value: &CStr) -> Self {
        Self::new(kind, value.to_bytes_with_nul())
    }

    /// A nest of attributes. Sets the nested flag, which the kernel insists on.
    pub fn nested(kind: u16, attrs: &[RawAttr]) -> Self {
        Self::new(kind | NLA_F_NESTED, Self::encode_all(attrs))
    }

    /// Makes the header claim another length than the true one (which counts the header's four
    /// bytes), so that the message is malformed.
    #[must_use]
    pub fn claiming_len(mut self, nla_len: u16) -> Self {
        self.claimed_len = Some(nla_len);
        self
    }

    /// Number of the attribute, without flag bits.
    pub fn number(&self) -> u16 {
        self.kind & NLA_TYPE_MASK
    }

    /// Whether the header has the nested flag.
    pub fn is_nested(&self) -> bool {
        self.kind & NLA_F_NESTED != 0
    }

    /// Appends the attribute to a message, with the padding that aligns what follows it.
    ///
    /// A payload that is too long for `nla_len` claims the longest that there is.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let true_len = u16::try_from(HEADER_LEN + self.payload.len()).unwrap_or(u16::MAX);
        let len = self.claimed_len.unwrap_or(true_len);
        out.extend_from_slice(&len.to_ne_bytes());
        out.extend_from_slice(&self.kind.to_ne_bytes());
        out.extend_from_slice(&self.payload);
        out.resize(out.len().next_multiple_of(4), 0);
    }

    /// How many bytes [`encode`](Self::encode) appends.
    pub(crate) fn wire_len(&self) -> usize {
        HEADER_LEN + self.payload.len().next_multiple_of(4)
    }

    /// The bytes of several attributes, one after the other.
    pub fn encode_all(attrs: &[RawAttr]) -> Vec<u8> {
        let mut out = Vec::new();
        for attr in attrs {
            attr.encode(&mut out);
        }
        out
    }

    /// Takes a message's attributes apart.
    pub fn decode_all(bytes: &[u8]) -> Result<Vec<Self>, DecodeError> {
        let attrs =
            walk(bytes).map(|found| found.map(|(_, kind, payload)| Self::new(kind, payload)));
        attrs.collect()
    }

    /// Takes the attributes of this nest apart.
    pub fn children(&self) -> Result<Vec<Self>, DecodeError> {
        Self::decode_all(&self.payload)
    }
}

/// Walks over attributes: where each one begins, its type with flags, its payload. Ends with an
/// error where the bytes are not attributes any more.
pub(crate) fn walk(bytes: &[u8]) -> impl Iterator<Item = Result<(usize, u16, &[u8]), DecodeError>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let start = at;
        let Some((len, kind, payload)) = split_first(rest) else {
            at = bytes.len();
            return Some(Err(DecodeError::Malformed { offset: start }));
        };
        at = start.saturating_add(len.next_multiple_of(4));
        Some(Ok((start, kind, payload)))
    })
}

fn split_first(bytes: &[u8]) -> Option<(usize, u16, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (kind, _) = rest.split_first_chunk::<2>()?;
    let len = usize::from(u16::from_ne_bytes(*len));
    let payload = bytes.get(HEADER_LEN..len)?;
    Some((len, u16::from_ne_bytes(*kind), payload))
}

/// The number in an attribute's type.
pub(crate) const fn number(kind: u16) -> u16 {
    kind & NLA_TYPE_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uint_and_sint_take_four_bytes_where_they_can() {
        assert_eq!(RawAttr::uint(1, u64::from(u32::MAX)).payload.len(), 4);
        assert_eq!(RawAttr::uint(1, 1 << 32).payload.len(), 8);
        assert_eq!(RawAttr::sint(1, -1).payload, (-1i32).to_ne_bytes());
        assert_eq!(RawAttr::sint(1, i64::from(i32::MIN) - 1).payload.len(), 8);
    }

    #[test]
    fn what_is_not_an_attribute_is_an_error_with_its_place() {
        let mut bytes = RawAttr::encode_all(&[RawAttr::u32(1, 1)]);
        bytes.extend_from_slice(&[0xff, 0xff, 0, 0]);
        let error = RawAttr::decode_all(&bytes).unwrap_err();
        assert_eq!(error, DecodeError::Malformed { offset: 8 });
        assert!(RawAttr::decode_all(&[1, 0]).is_err());
        assert!(RawAttr::decode_all(&[3, 0, 0, 0]).is_err());
    }

    #[test]
    fn the_claimed_length_is_what_is_sent() {
        let bytes = RawAttr::encode_all(&[RawAttr::u32(1, 1).claiming_len(0xffff)]);
        assert_eq!(bytes[..2], 0xffffu16.to_ne_bytes());
        assert_eq!(bytes.len(), 8);
    }
}
