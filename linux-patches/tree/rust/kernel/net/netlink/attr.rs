// SPDX-License-Identifier: GPL-2.0

//! Netlink attributes of a received message.
//!
//! C header: [`include/net/netlink.h`](srctree/include/net/netlink.h)

use crate::{
    bindings,
    error::to_result,
    prelude::*, //
};

use super::{
    policy,
    Policy,
    MAX_POLICIES,
    NLA_HDRLEN, //
};

use core::iter::FusedIterator;

/// The alignment of attributes in a message.
const NLA_ALIGNTO: usize = bindings::NLA_ALIGNTO as usize;

/// The part of `nla_type` that is the type of the attribute (`NLA_TYPE_MASK`).
const NLA_TYPE_MASK: u16 = !(bindings::NLA_F_NESTED | bindings::NLA_F_NET_BYTEORDER) as u16;

/// Set in `nla_type` if the payload is a stream of attributes.
const NLA_F_NESTED: u16 = bindings::NLA_F_NESTED as u16;

/// Strict validation, as generic netlink does it for new families (`NL_VALIDATE_STRICT`).
const NL_VALIDATE_STRICT: bindings::netlink_validation =
    bindings::netlink_validation_NL_VALIDATE_TRAILING
        | bindings::netlink_validation_NL_VALIDATE_MAXTYPE
        | bindings::netlink_validation_NL_VALIDATE_UNSPEC
        | bindings::netlink_validation_NL_VALIDATE_STRICT_ATTRS
        | bindings::netlink_validation_NL_VALIDATE_NESTED;

/// An attribute of a received message (`struct nlattr`).
///
/// It has passed the policy of the operation that the message asks for. Of this, [`nested`] takes
/// that there is nothing wrong in the nest. The other getters rely on nothing but the bounds of the
/// attribute, and fail with `EINVAL` where the payload is not what they return: a mistake in a
/// policy is an error seen by the requester, not a read of something else.
///
/// [`nested`]: Self::nested
///
/// # Invariants
///
/// - `nla` is the header and the payload of the attribute, without the padding behind it. It is
///   aligned to `NLA_ALIGNTO`, and at least `NLA_HDRLEN` long.
/// - `policy` is one that the attribute has passed, if it is known.
#[derive(Clone, Copy)]
pub struct Attribute<'a> {
    nla: &'a [u8],
    policy: Option<&'static Policy>,
}

impl<'a> Attribute<'a> {
    /// Splits `stream` behind its first attribute (`nla_ok()` and `nla_next()`).
    ///
    /// Returns [`None`] if the stream does not begin with a whole attribute. `stream` must be
    /// aligned to `NLA_ALIGNTO`, and have passed strict validation with `policies`, if there are
    /// any.
    #[inline]
    fn split_first(
        stream: &'a [u8],
        policies: &'static [Policy],
    ) -> Option<(Attribute<'a>, &'a [u8])> {
        let [len_0, len_1, ..] = *stream.first_chunk::<NLA_HDRLEN>()?;
        let len = usize::from(u16::from_ne_bytes([len_0, len_1]));

        if len < NLA_HDRLEN {
            return None;
        }
        let nla = stream.get(..len)?;
        // The last attribute need not be padded. No overflow: `len` is at most `u16::MAX`.
        let rest = stream
            .get(len.next_multiple_of(NLA_ALIGNTO)..)
            .unwrap_or_default();

        // INVARIANT: `nla` has the length that its header says, which is not below `NLA_HDRLEN`.
        let mut attr = Attribute { nla, policy: None };
        // INVARIANT: The caller has had it validated.
        attr.policy = policies.get(usize::from(attr.type_()));
        Some((attr, rest))
    }

    /// Returns the address of the attribute's header.
    pub(super) fn as_ptr(&self) -> *const bindings::nlattr {
        self.nla.as_ptr().cast()
    }

    /// Returns the type of the attribute, with its flags (`nla_type`).
    #[inline]
    fn nla_type(&self) -> u16 {
        match *self.nla {
            [_, _, type_0, type_1, ..] => u16::from_ne_bytes([type_0, type_1]),
            // By the type invariants there is always a header.
            _ => 0,
        }
    }

    /// Returns the type of the attribute.
    #[inline]
    pub fn type_(&self) -> u16 {
        self.nla_type() & NLA_TYPE_MASK
    }

    /// Returns whether the attributes in this one are known to have passed these policies.
    fn has_passed(&self, policies: &'static [Policy]) -> bool {
        self.policy.is_some_and(|policy| policy.is_nested(policies))
    }

    /// Returns whether the attribute is marked as one that holds attributes.
    #[inline]
    pub fn is_nested(&self) -> bool {
        self.nla_type() & NLA_F_NESTED != 0
    }

    /// Returns the payload.
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        // By the type invariants there is always a header.
        self.nla.get(NLA_HDRLEN..).unwrap_or_default()
    }

    /// Returns the payload if it is not nested and has exactly `N` bytes.
    #[inline]
    fn fixed<const N: usize>(&self) -> Result<[u8; N]> {
        if self.is_nested() {
            return Err(EINVAL);
        }
        self.as_bytes().try_into().map_err(|_| EINVAL)
    }

    /// Returns the value of a [`Policy::u32`].
    #[inline]
    pub fn as_u32(&self) -> Result<u32> {
        self.fixed().map(u32::from_ne_bytes)
    }

    /// Returns the value of a [`Policy::s32`].
    #[inline]
    pub fn as_s32(&self) -> Result<i32> {
        self.fixed().map(i32::from_ne_bytes)
    }

    /// Returns the value of a [`Policy::uint`], which the sender wrote with 32 or with 64 bits.
    #[inline]
    pub fn as_uint(&self) -> Result<u64> {
        self.as_u32()
            .map(u64::from)
            .or_else(|_| self.fixed().map(u64::from_ne_bytes))
    }

    /// Returns the value of a [`Policy::sint`], which the sender wrote with 32 or with 64 bits.
    #[inline]
    pub fn as_sint(&self) -> Result<i64> {
        self.as_s32()
            .map(i64::from)
            .or_else(|_| self.fixed().map(i64::from_ne_bytes))
    }

    /// Returns the value of a [`Policy::be16`] in the byte order of the machine.
    #[inline]
    pub fn as_be16(&self) -> Result<u16> {
        self.fixed().map(u16::from_be_bytes)
    }

    /// Returns the value of a [`Policy::nul_string`].
    ///
    /// Fails if there is no NUL, or anything but NULs behind the first one.
    pub fn as_str(&self) -> Result<&'a CStr> {
        let bytes = self.as_bytes();
        let string = CStr::from_bytes_until_nul(bytes).map_err(|_| EINVAL)?;

        if self.is_nested() || bytes.iter().skip(string.count_bytes()).any(|b| *b != 0) {
            return Err(EINVAL);
        }
        Ok(string)
    }

    /// Returns the attributes in a [`Policy::nested`].
    ///
    /// They are validated against `policies` here, unless the policy of the operation has done so.
    pub fn nested(&self, policies: &'static [Policy]) -> Result<Attributes<'a>> {
        if !self.is_nested() || policies.is_empty() || policies.len() > MAX_POLICIES {
            return Err(EINVAL);
        }
        let stream = self.as_bytes();

        if self.has_passed(policies) {
            // INVARIANT: Strict validation has gone into the nest.
            return Ok(Attributes { stream, policies });
        }

        // SAFETY: By the type invariants the payload is aligned for `struct nlattr`, and it is
        // readable for its length, which fits into an `int` as it does into a `u16`. `policies` has
        // `policies.len()` valid entries, and the last one is that of the highest type. A null
        // pointer for the extended acknowledgment is allowed.
        to_result(unsafe {
            bindings::__nla_validate(
                stream.as_ptr().cast(),
                stream.len() as c_int,
                (policies.len() - 1) as c_int,
                policy::as_ptr(policies),
                NL_VALIDATE_STRICT,
                core::ptr::null_mut(),
            )
        })?;

        // INVARIANT: Strict validation accepts a stream only if it consists of whole attributes
        // whose types are below `policies.len()`.
        Ok(Attributes { stream, policies })
    }
}

/// The attributes of a received message, or of a nest in it.
///
/// # Invariants
///
/// `stream` is aligned to `NLA_ALIGNTO`. It is a sequence of whole attributes whose types are below
/// [`MAX_POLICIES`], and which have passed strict validation with `policies` if there are any.
#[derive(Clone, Copy)]
pub struct Attributes<'a> {
    stream: &'a [u8],
    policies: &'static [Policy],
}

impl<'a> Attributes<'a> {
    /// Takes a stream of attributes as valid.
    ///
    /// # Safety
    ///
    /// `stream` must be aligned to `NLA_ALIGNTO`, and have passed strict validation with
    /// `policies`, of which there must be at most [`MAX_POLICIES`]. Without any, `stream` must be a
    /// sequence of whole attributes whose types are below that.
    pub(super) unsafe fn from_validated(
        stream: &'a [u8],
        policies: &'static [Policy],
    ) -> Attributes<'a> {
        // INVARIANT: By the safety requirements.
        Attributes { stream, policies }
    }

    /// Returns the table of policies that they have passed.
    #[inline]
    pub(super) fn policies(&self) -> &'static [Policy] {
        self.policies
    }

    /// Returns the attribute whose header is at `ptr`, if it is one of these.
    #[inline]
    pub(super) fn at(&self, ptr: *const bindings::nlattr) -> Option<Attribute<'a>> {
        let offset = ptr.addr().checked_sub(self.stream.as_ptr().addr())?;

        if offset % NLA_ALIGNTO != 0 {
            return None;
        }
        Some(Attribute::split_first(self.stream.get(offset..)?, self.policies)?.0)
    }

    /// Returns the attributes in the order in which they were sent.
    pub fn iter(&self) -> AttributeIter<'a> {
        AttributeIter {
            rest: self.stream,
            policies: self.policies,
        }
    }

    /// Returns the attribute of type `ty`.
    ///
    /// If it is repeated, the last one counts, as everywhere in netlink.
    pub fn get(&self, ty: u16) -> Option<Attribute<'a>> {
        self.iter().filter(|attr| attr.type_() == ty).last()
    }

    /// Returns the first attribute that has the type of an earlier one, but for those whose type is
    /// in `lists`, which may be repeated (`multi-attr` in a YNL specification).
    ///
    /// The kernel's parser keeps the last of repeated attributes without a word. Who wants to have
    /// every other attribute at most once must look for it. Nests are not looked into.
    pub fn first_repeated(&self, lists: &[u16]) -> Option<Attribute<'a>> {
        // A bit for each type. There is always a word: by the type invariants the types are below
        // `MAX_POLICIES`.
        let mut seen = [0u64; MAX_POLICIES.div_ceil(64)];

        self.iter().find(|attr| {
            let ty = attr.type_();
            let Some(seen) = seen.get_mut(usize::from(ty / 64)) else {
                return false;
            };
            let bit = 1 << (ty % 64);
            let repeated = *seen & bit != 0;

            *seen |= bit;
            repeated && !lists.contains(&ty)
        })
    }
}

impl<'a> IntoIterator for Attributes<'a> {
    type Item = Attribute<'a>;
    type IntoIter = AttributeIter<'a>;

    fn into_iter(self) -> AttributeIter<'a> {
        self.iter()
    }
}

/// An iterator over [`Attributes`] in the order in which they were sent.
#[derive(Clone)]
pub struct AttributeIter<'a> {
    rest: &'a [u8],
    policies: &'static [Policy],
}

impl<'a> Iterator for AttributeIter<'a> {
    type Item = Attribute<'a>;

    #[inline]
    fn next(&mut self) -> Option<Attribute<'a>> {
        let (attr, rest) = Attribute::split_first(self.rest, self.policies)?;
        self.rest = rest;
        Some(attr)
    }
}

impl FusedIterator for AttributeIter<'_> {}

#[cfg(CONFIG_RUST_NETLINK_KUNIT_TEST)]
#[macros::kunit_tests(rust_netlink_attr)]
mod tests {
    use super::*;

    /// A stream of attributes, or of what pretends to be one.
    #[repr(C, align(8))]
    struct Stream {
        bytes: [u8; 256],
        len: usize,
    }

    impl Stream {
        fn new() -> Stream {
            Stream {
                bytes: [0; 256],
                len: 0,
            }
        }

        /// Appends bytes, and nothing if there is no room.
        fn raw(mut self, bytes: &[u8]) -> Stream {
            let end = self.len + bytes.len();
            if let Some(room) = self.bytes.get_mut(self.len..end) {
                room.copy_from_slice(bytes);
                self.len = end;
            }
            self
        }

        /// Appends an attribute and the padding behind it.
        fn attr(self, nla_type: u16, payload: &[u8]) -> Stream {
            let padding = payload.len().next_multiple_of(NLA_ALIGNTO) - payload.len();
            self.unpadded(nla_type, payload)
                .raw(&[0; NLA_ALIGNTO][..padding])
        }

        /// Appends an attribute.
        fn unpadded(self, nla_type: u16, payload: &[u8]) -> Stream {
            self.raw(&((NLA_HDRLEN + payload.len()) as u16).to_ne_bytes())
                .raw(&nla_type.to_ne_bytes())
                .raw(payload)
        }

        fn as_bytes(&self) -> &[u8] {
            &self.bytes[..self.len]
        }

        /// Returns the stream without validation, which only types and alignment need.
        fn attributes(&self) -> Attributes<'_> {
            // SAFETY: `bytes` comes first in a structure that is sufficiently aligned, and the
            // tests stay below `MAX_POLICIES`.
            unsafe { Attributes::from_validated(self.as_bytes(), &[]) }
        }

        /// Returns the first attribute.
        fn first(&self) -> Result<Attribute<'_>> {
            self.attributes().iter().next().ok_or(EINVAL)
        }
    }

    /// Returns whether strict validation with `policies` accepts an attribute of the type 1.
    fn accepts(policies: &'static [Policy], nla_flags: u16, payload: &[u8]) -> bool {
        let inner = Stream::new().attr(1 | nla_flags, payload);
        let outer = Stream::new().attr(1 | NLA_F_NESTED, inner.as_bytes());

        outer
            .first()
            .is_ok_and(|nest| nest.nested(policies).is_ok())
    }

    #[test]
    fn fixed_lengths() -> Result {
        for len in 0..=16 {
            let stream = Stream::new().attr(1, &[0x5a; 16][..len]);
            let attr = stream.first()?;

            assert_eq!(attr.as_bytes().len(), len);
            assert_eq!(attr.as_be16().is_ok(), len == 2);
            assert_eq!(attr.as_u32().is_ok(), len == 4);
            assert_eq!(attr.as_s32().is_ok(), len == 4);
            assert_eq!(attr.as_uint().is_ok(), len == 4 || len == 8);
            assert_eq!(attr.as_sint().is_ok(), len == 4 || len == 8);
            // There is no NUL.
            assert!(attr.as_str().is_err());
            // It is not marked as a nest.
            assert!(attr.nested(&NUMBERS).is_err());
        }
        Ok(())
    }

    #[test]
    fn values() -> Result {
        let value = 0x0123_4567_89ab_cdef_u64;
        // The payload of the first attribute is not aligned to 8 bytes, that of the third is.
        let stream = Stream::new()
            .attr(1, &value.to_ne_bytes())
            .attr(2, &[])
            .attr(3, &value.to_ne_bytes());
        let attributes = stream.attributes();
        assert_eq!(attributes.get(1).ok_or(EINVAL)?.as_uint()?, value);
        assert_eq!(attributes.get(3).ok_or(EINVAL)?.as_uint()?, value);
        assert!(attributes.get(2).ok_or(EINVAL)?.as_bytes().is_empty());

        let stream = Stream::new().attr(1, &(-2i32).to_ne_bytes());
        assert_eq!(stream.first()?.as_s32()?, -2);
        assert_eq!(stream.first()?.as_sint()?, -2);
        assert_eq!(stream.first()?.as_u32()?, u32::MAX - 1);
        assert_eq!(stream.first()?.as_uint()?, u64::from(u32::MAX - 1));

        let stream = Stream::new().attr(1, &i64::MIN.to_ne_bytes());
        assert_eq!(stream.first()?.as_sint()?, i64::MIN);

        let stream = Stream::new().attr(1, &[0x12, 0x34]);
        assert_eq!(stream.first()?.as_be16()?, 0x1234);
        Ok(())
    }

    #[test]
    fn type_has_no_flags() -> Result {
        let stream = Stream::new()
            .attr(7 | NLA_F_NESTED, &[0; 4])
            .attr(8 | bindings::NLA_F_NET_BYTEORDER as u16, &[0; 4]);
        let nest = stream.first()?;

        assert_eq!(nest.type_(), 7);
        assert!(nest.is_nested());
        // A nest is no number, and no string.
        assert!(nest.as_u32().is_err());
        assert!(nest.as_str().is_err());

        let number = stream.attributes().get(8).ok_or(EINVAL)?;
        assert!(!number.is_nested());
        assert!(number.as_u32().is_ok());
        Ok(())
    }

    #[test]
    fn strings() -> Result {
        let good: [&[u8]; 3] = [b"eth0\0", b"eth0\0\0\0\0", b"\0"];
        for bytes in good {
            let stream = Stream::new().attr(1, bytes);
            let string = stream.first()?.as_str()?;
            assert_eq!(string.to_bytes(), &b"eth0"[..string.count_bytes()]);
        }

        let bad: [&[u8]; 4] = [b"", b"eth0", b"eth0\0x", b"\0eth0"];
        for bytes in bad {
            let stream = Stream::new().attr(1, bytes);
            assert!(stream.first()?.as_str().is_err());
        }

        // The NUL behind the attribute is not its own.
        let stream = Stream::new().unpadded(1, b"eth").raw(b"\0");
        assert!(stream.first()?.as_str().is_err());
        Ok(())
    }

    #[test]
    fn malformed_streams() {
        // Nothing, less than a header, a length below that of a header, and beyond the end.
        assert!(Stream::new().first().is_err());
        assert!(Stream::new().raw(&[4, 0, 1]).first().is_err());
        for len in 0..4u16 {
            let stream = Stream::new()
                .raw(&len.to_ne_bytes())
                .raw(&1u16.to_ne_bytes())
                .raw(&[0; 8]);
            assert!(stream.first().is_err());
        }
        for len in [13u16, 16, 0x7fff, 0xffff] {
            let stream = Stream::new()
                .raw(&len.to_ne_bytes())
                .raw(&1u16.to_ne_bytes())
                .raw(&[0; 8]);
            assert!(stream.first().is_err());
        }

        // The iterator ends at the first such thing, for good.
        let stream = Stream::new().attr(1, &[0; 4]).raw(&[0; 8]);
        let mut iter = stream.attributes().iter();
        assert_eq!(iter.next().map(|attr| attr.type_()), Some(1));
        assert!(iter.next().is_none());
        assert!(iter.next().is_none());

        // The last attribute need not be padded.
        let stream = Stream::new().attr(1, &[0; 4]).unpadded(2, &[0; 5]);
        let lens = stream.attributes().iter().map(|attr| attr.as_bytes().len());
        assert!(lens.eq([4, 5]));
    }

    #[test]
    fn order_and_repetition() -> Result {
        let last = (MAX_POLICIES - 1) as u16;
        let stream = Stream::new()
            .attr(last, &[1])
            .attr(64, &[2])
            .attr(1, &[3])
            .attr(63, &[4]);
        let attributes = stream.attributes();
        assert!(attributes
            .iter()
            .map(|attr| attr.type_())
            .eq([last, 64, 1, 63]));
        assert!(attributes.first_repeated(&[]).is_none());
        assert!(attributes.get(2).is_none());

        let stream = stream.attr(64 | NLA_F_NESTED, &[5]).attr(last, &[6]);
        let attributes = stream.attributes();
        // The first one that is one too many, not the one before it.
        assert_eq!(
            attributes.first_repeated(&[]).ok_or(EINVAL)?.as_bytes(),
            [5]
        );
        // The last one counts.
        assert_eq!(attributes.get(last).ok_or(EINVAL)?.as_bytes(), [6]);
        assert_eq!(attributes.get(1).ok_or(EINVAL)?.as_bytes(), [3]);

        let stream = Stream::new().attr(last, &[]).attr(last, &[]);
        assert!(stream.attributes().first_repeated(&[]).is_some());

        // No two types are taken for the same one.
        let stream = (1..64).fold(Stream::new(), |stream, ty| stream.attr(ty, &[]));
        assert_eq!(stream.attributes().iter().count(), 63);
        assert!(stream.attributes().first_repeated(&[]).is_none());
        let stream = (MAX_POLICIES as u16 - 63..MAX_POLICIES as u16)
            .fold(Stream::new(), |stream, ty| stream.attr(ty, &[]));
        assert!(stream.attributes().first_repeated(&[]).is_none());
        let stream = stream.attr(last, &[]);
        assert!(stream.attributes().first_repeated(&[]).is_some());

        assert!(Stream::new().attributes().first_repeated(&[]).is_none());
        Ok(())
    }

    #[test]
    fn lists_may_be_repeated() -> Result {
        let lists = [65, 3, MAX_POLICIES as u16, u16::MAX];
        let stream = Stream::new()
            .attr(65, &[1])
            .attr(3, &[2])
            .attr(65, &[3])
            .attr(3, &[4]);
        let attributes = stream.attributes();
        assert!(attributes.first_repeated(&lists).is_none());
        assert_eq!(
            attributes.first_repeated(&[]).ok_or(EINVAL)?.as_bytes(),
            [3]
        );

        // One with the same bit in another word is none of them.
        let stream = stream.attr(1, &[5]).attr(65, &[6]).attr(1, &[7]);
        let repeated = stream.attributes().first_repeated(&lists);
        assert_eq!(repeated.ok_or(EINVAL)?.as_bytes(), [7]);
        Ok(())
    }

    #[test]
    fn by_address() -> Result {
        let stream = Stream::new().attr(1, &[0; 4]).attr(2, &[7; 4]);
        let other = Stream::new().attr(1, &[0; 4]);
        let attributes = stream.attributes();
        let second = attributes.get(2).ok_or(EINVAL)?;

        let found = attributes.at(second.as_ptr()).ok_or(EINVAL)?;
        assert_eq!(found.as_bytes(), [7; 4]);
        // Neither what is elsewhere, nor what is between attributes.
        assert!(attributes.at(other.first()?.as_ptr()).is_none());
        assert!(attributes.at(core::ptr::null()).is_none());
        assert!(attributes
            .at(second.as_ptr().wrapping_byte_add(1))
            .is_none());
        assert!(attributes
            .at(second.as_ptr().wrapping_byte_add(8))
            .is_none());
        Ok(())
    }

    static NUMBERS: [Policy; 3] = [Policy::rejected(), Policy::u32(), Policy::u32()];

    /// What the policy of an operation has validated is not validated again.
    #[test]
    fn nests_once() -> Result {
        static OUTER: [Policy; 2] = [Policy::rejected(), Policy::nested(&NUMBERS)];
        static OTHER: [Policy; 3] = NUMBERS;

        let inner = Stream::new().attr(2, &1u32.to_ne_bytes());
        let stream = Stream::new().attr(1 | NLA_F_NESTED, inner.as_bytes());
        // SAFETY: The stream is aligned, and would pass.
        let outer = unsafe { Attributes::from_validated(stream.as_bytes(), &OUTER) };
        let nest = outer.get(1).ok_or(EINVAL)?;

        assert!(nest.has_passed(&NUMBERS));
        assert!(!nest.has_passed(&NUMBERS[..2]));
        assert!(!nest.has_passed(&OTHER));
        assert!(!stream.first()?.has_passed(&NUMBERS));
        assert!(!nest
            .nested(&NUMBERS)?
            .get(2)
            .ok_or(EINVAL)?
            .has_passed(&NUMBERS));
        // What is not known to have passed is validated.
        assert!(nest.nested(&NUMBERS[..2]).is_err());
        assert!(nest.nested(&OTHER).is_ok());
        Ok(())
    }

    #[test]
    fn nests() -> Result {
        let inner = Stream::new()
            .attr(2, &1u32.to_ne_bytes())
            .attr(1, &2u32.to_ne_bytes())
            .attr(2, &3u32.to_ne_bytes());
        let stream = Stream::new().attr(5 | NLA_F_NESTED, inner.as_bytes());
        let nest = stream.first()?;

        let attributes = nest.nested(&NUMBERS)?;
        assert_eq!(attributes.get(1).ok_or(EINVAL)?.as_u32()?, 2);
        assert_eq!(attributes.get(2).ok_or(EINVAL)?.as_u32()?, 3);
        assert_eq!(attributes.first_repeated(&[]).ok_or(EINVAL)?.as_u32()?, 3);
        assert!(attributes
            .into_iter()
            .map(|attr| attr.type_())
            .eq([2, 1, 2]));

        // The table does not know the type 2, or is no table.
        assert!(nest.nested(&NUMBERS[..2]).is_err());
        assert!(nest.nested(&[]).is_err());

        // The flag is missing.
        let stream = Stream::new().attr(5, inner.as_bytes());
        assert!(stream.first()?.nested(&NUMBERS).is_err());

        // Wrong length, the type 0, bytes behind the last attribute.
        let wrong = [
            Stream::new().attr(1, &[0; 8]),
            Stream::new().attr(0, &[0; 4]),
            Stream::new().attr(1, &[0; 4]).raw(&[0; 4]),
            Stream::new().raw(&[0; 3]),
        ];
        for inner in &wrong {
            let stream = Stream::new().attr(5 | NLA_F_NESTED, inner.as_bytes());
            assert!(stream.first()?.nested(&NUMBERS).is_err());
        }

        // Nothing at all is fine.
        let stream = Stream::new().attr(5 | NLA_F_NESTED, &[]);
        assert!(stream.first()?.nested(&NUMBERS)?.iter().next().is_none());
        Ok(())
    }

    #[test]
    fn policies_mean_what_they_say() {
        /// Checks which lengths from 0 to 20 the policy of type 1 accepts.
        fn lengths(policies: &'static [Policy], expected: impl Fn(usize) -> bool) -> bool {
            (0..=20).all(|len| accepts(policies, 0, &[0; 20][..len]) == expected(len))
        }

        macro_rules! table {
            ($policy:expr) => {{
                static TABLE: [Policy; 2] = [Policy::rejected(), $policy];
                &TABLE
            }};
        }

        assert!(lengths(table!(Policy::rejected()), |_| false));
        assert!(lengths(table!(Policy::u32()), |len| len == 4));
        assert!(lengths(table!(Policy::s32()), |len| len == 4));
        assert!(lengths(table!(Policy::uint()), |len| len == 4 || len == 8));
        assert!(lengths(table!(Policy::sint()), |len| len == 4 || len == 8));
        assert!(lengths(table!(Policy::be16()), |len| len == 2));
        assert!(lengths(table!(Policy::binary_max(5)), |len| len <= 5));

        let policies = table!(Policy::nul_string(4));
        assert!(accepts(policies, 0, b"eth0\0"));
        assert!(accepts(policies, 0, b"\0"));
        assert!(!accepts(policies, 0, b"eth0"));
        assert!(!accepts(policies, 0, b"eth01\0"));
        assert!(!accepts(policies, 0, b""));

        let policies = table!(Policy::u32_range(1, 3));
        for value in [0, 1, 2, 3, 4, 0x1_0001, u32::MAX] {
            let expected = (1..=3).contains(&value);
            assert_eq!(accepts(policies, 0, &value.to_ne_bytes()), expected);
        }

        let policies = table!(Policy::u32_mask(0x8000_0001));
        for (value, expected) in [
            (0u32, true),
            (1, true),
            (0x8000_0001, true),
            (2, false),
            (u32::MAX, false),
        ] {
            assert_eq!(accepts(policies, 0, &value.to_ne_bytes()), expected);
        }

        // The flag must be there if, and only if, the policy says so.
        let policies = table!(Policy::nested(&NUMBERS));
        assert!(accepts(policies, NLA_F_NESTED, &[]));
        assert!(!accepts(policies, 0, &[]));
        assert!(!accepts(table!(Policy::u32()), NLA_F_NESTED, &[0; 4]));

        // What is in the nest is validated, too.
        let good = Stream::new().attr(2, &[0; 4]);
        assert!(accepts(policies, NLA_F_NESTED, good.as_bytes()));
        let bad = Stream::new().attr(2, &[0; 5]);
        assert!(!accepts(policies, NLA_F_NESTED, bad.as_bytes()));
        let unknown = Stream::new().attr(3, &[0; 4]);
        assert!(!accepts(policies, NLA_F_NESTED, unknown.as_bytes()));
    }
}
