// SPDX-License-Identifier: GPL-2.0
//! Reads `NLMSG_ERROR` with its extended acknowledgement.

use crate::attr::{self, RawAttr};
use crate::error::{KernelError, Policy};
use crate::table::{self, AttributeInfo, AttributePath, Kind, SOCKET};

/// Bytes in front of a message's attributes: `struct nlmsghdr` and `struct genlmsghdr`.
pub(crate) const HEADERS_LEN: usize = 20;
const NLMSG_HEADER_LEN: usize = 16;

const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;

const NLMSGERR_ATTR_MSG: u16 = 1;
const NLMSGERR_ATTR_OFFS: u16 = 2;
const NLMSGERR_ATTR_POLICY: u16 = 4;
const NLMSGERR_ATTR_MISS_TYPE: u16 = 5;
const NLMSGERR_ATTR_MISS_NEST: u16 = 6;

/// The attributes behind the copy of the request in an `NLMSG_ERROR`. `payload` begins with that
/// copy, which is only its header if `flags` say so. What cannot be read is left out: the error
/// itself is worth more than its decoration.
pub(crate) fn attributes(flags: u16, payload: &[u8]) -> Vec<RawAttr> {
    if flags & NLM_F_ACK_TLVS == 0 {
        return Vec::new();
    }
    let copied = if flags & NLM_F_CAPPED != 0 {
        Some(NLMSG_HEADER_LEN)
    } else {
        number(payload.get(..4)).map(|len| (len as usize).next_multiple_of(4))
    };
    let found = copied.and_then(|copied| payload.get(copied..));
    every(found.unwrap_or_default())
}

/// The attributes behind the error number in an `NLMSG_DONE`, as far as they can be read.
pub(crate) fn every(bytes: &[u8]) -> Vec<RawAttr> {
    attr::walk(bytes)
        .map_while(Result::ok)
        .map(|(_, kind, payload)| RawAttr::new(kind, payload))
        .collect()
}

/// The words in an extended acknowledgement, if there are any.
pub(crate) fn message(attrs: &[RawAttr]) -> Option<String> {
    let text = find(attrs, NLMSGERR_ATTR_MSG)?;
    let text = text.strip_suffix(&[0]).unwrap_or(text);
    let text = String::from_utf8_lossy(text).into_owned();
    Some(text).filter(|text| !text.is_empty())
}

/// Puts together what the kernel says about `request`, a whole message.
pub(crate) fn kernel_error(
    command: &'static str,
    errno: i32,
    attrs: &[RawAttr],
    request: &[u8],
) -> KernelError {
    let offset = number(find(attrs, NLMSGERR_ATTR_OFFS));
    let missing = number(find(attrs, NLMSGERR_ATTR_MISS_TYPE)).and_then(|number| {
        let nest = number_of(attrs, NLMSGERR_ATTR_MISS_NEST);
        let mut path = match nest {
            Some(offset) => path_at(request, offset)?.numbers().to_vec(),
            None => Vec::new(),
        };
        path.push(u16::try_from(number).ok()?);
        Some(AttributePath::new(&path))
    });
    KernelError {
        command,
        errno,
        message: message(attrs),
        attribute: offset.and_then(|offset| path_at(request, offset)),
        offset,
        missing,
        policy: find(attrs, NLMSGERR_ATTR_POLICY).map(policy),
    }
}

fn find(attrs: &[RawAttr], number: u16) -> Option<&[u8]> {
    let attr = attrs.iter().find(|attr| attr.number() == number)?;
    Some(&attr.payload)
}

fn number(payload: Option<&[u8]>) -> Option<u32> {
    payload?.try_into().ok().map(u32::from_ne_bytes)
}

fn number_of(attrs: &[RawAttr], kind: u16) -> Option<u32> {
    number(find(attrs, kind))
}

/// The attribute of a message that is at an offset from the message's begin.
fn path_at(request: &[u8], offset: u32) -> Option<AttributePath> {
    let offset = usize::try_from(offset).ok()?.checked_sub(HEADERS_LEN)?;
    let mut path = Vec::new();
    descend(request.get(HEADERS_LEN..)?, offset, SOCKET, &mut path)
        .then(|| AttributePath::new(&path))
}

fn descend(
    bytes: &[u8],
    offset: usize,
    set: &'static [AttributeInfo],
    path: &mut Vec<u16>,
) -> bool {
    for (start, kind, payload) in attr::walk(bytes).map_while(Result::ok) {
        let number = attr::number(kind);
        let data = start + 4;
        if offset == start {
            path.push(number);
            return true;
        }
        if (data..data + payload.len()).contains(&offset) {
            path.push(number);
            let row = table::lookup(set, number);
            let Some(Kind::Nest(_, children)) = row.map(|row| row.kind) else {
                return true;
            };
            // An offset between the attributes of a nest is still one of the nest.
            descend(payload, offset - data, children, path);
            return true;
        }
    }
    false
}

/// Reads `NLMSGERR_ATTR_POLICY`.
fn policy(payload: &[u8]) -> Policy {
    const MIN_VALUE_S: u16 = 2;
    const MAX_VALUE_S: u16 = 3;
    const MIN_VALUE_U: u16 = 4;
    const MAX_VALUE_U: u16 = 5;
    const MIN_LENGTH: u16 = 6;
    const MAX_LENGTH: u16 = 7;
    const MASK: u16 = 12;

    let attrs = RawAttr::decode_all(payload).unwrap_or_default();
    let wide = |kind| Some(u64::from_ne_bytes(find(&attrs, kind)?.try_into().ok()?));
    let unsigned = |kind| wide(kind).map(i128::from);
    let signed = |kind| wide(kind).map(|value| i128::from(value.cast_signed()));
    let least = unsigned(MIN_VALUE_U).or_else(|| signed(MIN_VALUE_S));
    let greatest = unsigned(MAX_VALUE_U).or_else(|| signed(MAX_VALUE_S));
    let longest = number_of(&attrs, MAX_LENGTH);
    Policy {
        range: least.zip(greatest),
        length: longest.map(|longest| (number_of(&attrs, MIN_LENGTH).unwrap_or(0), longest)),
        mask: wide(MASK),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request whose attributes begin behind two empty headers.
    fn request(attrs: &[RawAttr]) -> Vec<u8> {
        [vec![0; HEADERS_LEN], RawAttr::encode_all(attrs)].concat()
    }

    fn with_tlvs(copied: &[u8], tlvs: &[RawAttr]) -> Vec<u8> {
        [copied.to_vec(), RawAttr::encode_all(tlvs)].concat()
    }

    #[test]
    fn words_and_the_offending_attribute_in_its_nest() {
        let linger = RawAttr::nested(10, &[RawAttr::u32(1, 1), RawAttr::sint(2, -5)]);
        let request = request(&[RawAttr::u32(6, 1), linger]);
        let tlvs = [
            RawAttr::string(NLMSGERR_ATTR_MSG, c"time below -1"),
            // Two headers, broadcast, header of linger, onoff.
            RawAttr::u32(NLMSGERR_ATTR_OFFS, 20 + 8 + 4 + 8),
        ];
        let error = kernel_error("restore", 22, &tlvs, &request);
        assert_eq!(
            error.to_string(),
            "restore: EINVAL: time below -1 (attribute sockopt-linger.time)"
        );
    }

    #[test]
    fn what_is_missing_and_what_is_valid() {
        let request = request(&[RawAttr::nested(10, &[])]);
        let tlvs = [
            RawAttr::u32(NLMSGERR_ATTR_MISS_TYPE, 2),
            RawAttr::u32(NLMSGERR_ATTR_MISS_NEST, 20),
        ];
        let error = kernel_error("restore", 22, &tlvs, &request);
        let text = "restore: EINVAL: Invalid argument (missing sockopt-linger.time)";
        assert_eq!(error.to_string(), text);

        let policy = [
            RawAttr::u32(1, 4),
            RawAttr::new(4, 0u64.to_ne_bytes()),
            RawAttr::new(5, 1u64.to_ne_bytes()),
        ];
        let tlvs = [
            RawAttr::string(NLMSGERR_ATTR_MSG, c"integer out of range"),
            RawAttr::nested(NLMSGERR_ATTR_POLICY, &policy),
        ];
        let error = kernel_error("restore", 34, &tlvs, &request);
        let text = "restore: ERANGE: integer out of range (valid: 0 to 1)";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn an_offset_that_names_nothing_is_passed_on_as_it_is() {
        let error = kernel_error(
            "dump",
            22,
            &[RawAttr::u32(NLMSGERR_ATTR_OFFS, 99)],
            &[0; 20],
        );
        assert_eq!(
            error.to_string(),
            "dump: EINVAL: Invalid argument (at byte 99)"
        );
    }

    #[test]
    fn the_copied_request_is_skipped_whether_it_is_whole_or_not() {
        let tlvs = [RawAttr::string(NLMSGERR_ATTR_MSG, c"why")];
        let capped = with_tlvs(&[0; 16], &tlvs);
        assert_eq!(attributes(NLM_F_CAPPED | NLM_F_ACK_TLVS, &capped), tlvs);
        assert_eq!(attributes(NLM_F_CAPPED, &capped), []);

        let mut copied = vec![0; 24];
        copied[..4].copy_from_slice(&22u32.to_ne_bytes());
        let whole = with_tlvs(&copied, &tlvs);
        assert_eq!(attributes(NLM_F_ACK_TLVS, &whole), tlvs);
        assert_eq!(attributes(NLM_F_ACK_TLVS, &whole[..2]), []);
    }
}
