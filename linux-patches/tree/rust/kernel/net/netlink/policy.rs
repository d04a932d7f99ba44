// SPDX-License-Identifier: GPL-2.0

//! Validation policies for netlink attributes.
//!
//! C header: [`include/net/netlink.h`](srctree/include/net/netlink.h)

use crate::bindings;

/// The largest number of entries a table of policies may have.
///
/// It bounds the attribute types that can reach an operation, and with them what it takes to look
/// for repeated ones.
pub const MAX_POLICIES: usize = 512;

/// What one type of attribute must look like (`struct nla_policy`).
///
/// A table of policies is a plain slice, indexed by attribute type. Its first entry belongs to the
/// type 0, which no message may use, and must be [`Policy::rejected`]. A type at or beyond the end
/// of the table is unknown, and rejected. Validation is always strict: unknown attributes, other
/// lengths than the policy's, trailing bytes, and a missing or unexpected `NLA_F_NESTED` fail the
/// request before its handler is called.
///
/// # Invariants
///
/// - The type is one of `enum { NLA_UNSPEC, ... }` up to `NLA_TYPE_MAX` (`validate_nla()` has a
///   `BUG_ON()` for anything else).
/// - The member of the union that the type and the validation type select is initialised; a pointer
///   there is null or points to an object that is never freed and never changes.
/// - The length of an `NLA_NESTED` is the number of its table's last entry.
///
/// # Examples
///
/// ```
/// use kernel::net::netlink::Policy;
///
/// static ENDPOINT: [Policy; 3] = [
///     Policy::rejected(),
///     Policy::binary_max(16), // 1: address
///     Policy::be16(),         // 2: port
/// ];
///
/// static POLICY: [Policy; 4] = [
///     Policy::rejected(),
///     Policy::nul_string(15),      // 1: name
///     Policy::u32_range(0, 2),     // 2: mode
///     Policy::nested(&ENDPOINT),   // 3: endpoint
/// ];
/// # assert_eq!(POLICY.len(), 4);
/// ```
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Policy(bindings::nla_policy);

// SAFETY: By the type invariants a `Policy` is plain data, and what it points to never changes.
unsafe impl Send for Policy {}

// SAFETY: As for `Send`.
unsafe impl Sync for Policy {}

impl Policy {
    /// A policy of the given type that checks nothing beyond the type, but a length.
    const fn new(nla_type: u32, len: u16) -> Policy {
        assert!(nla_type < bindings::__NLA_TYPE_MAX);

        // INVARIANT: The type was checked above, and the validation type is `NLA_VALIDATE_NONE`.
        // Of the types that look at the union then, `NLA_REJECT` and `NLA_NESTED` take a null
        // pointer.
        Policy(bindings::nla_policy {
            // CAST: `NLA_TYPE_MAX` fits.
            type_: nla_type as u8,
            len,
            ..pin_init::zeroed()
        })
    }

    /// The same policy with another validation type and its data.
    ///
    /// # Safety
    ///
    /// `data` must have been initialised by the member that the type of this policy and
    /// `validation_type` select together. If that is a pointer, it must be valid for ever.
    const unsafe fn with(
        mut self,
        validation_type: bindings::nla_policy_validation,
        data: bindings::nla_policy__bindgen_ty_1,
    ) -> Policy {
        // CAST: `enum nla_policy_validation` has fewer than 256 values.
        self.0.validation_type = validation_type as u8;
        // INVARIANT: By the safety requirements.
        self.0.__bindgen_anon_1 = data;
        self
    }

    /// The same policy with a range that its value must lie in.
    const fn with_range(self, min: i16, max: i16) -> Policy {
        assert!(min <= max);

        let data = bindings::nla_policy__bindgen_ty_1 {
            __bindgen_anon_1: bindings::nla_policy__bindgen_ty_1__bindgen_ty_1 { min, max },
        };

        // SAFETY: `NLA_VALIDATE_RANGE` selects `min` and `max`.
        unsafe { self.with(bindings::nla_policy_validation_NLA_VALIDATE_RANGE, data) }
    }

    /// No such attribute is accepted.
    pub const fn rejected() -> Policy {
        Self::new(bindings::NLA_REJECT, 0)
    }

    /// A 32-bit number.
    pub const fn u32() -> Policy {
        Self::new(bindings::NLA_U32, 0)
    }

    /// A signed 32-bit number.
    pub const fn s32() -> Policy {
        Self::new(bindings::NLA_S32, 0)
    }

    /// A number of 32 or 64 bits, as the sender likes.
    pub const fn uint() -> Policy {
        Self::new(bindings::NLA_UINT, 0)
    }

    /// A signed number of 32 or 64 bits, as the sender likes.
    pub const fn sint() -> Policy {
        Self::new(bindings::NLA_SINT, 0)
    }

    /// A 16-bit number in network byte order.
    pub const fn be16() -> Policy {
        Self::new(bindings::NLA_BE16, 0)
    }

    /// A 32-bit number from `min` to `max`.
    ///
    /// Fails the build if `min` is negative or above `max`. (The kernel keeps both as `s16`.)
    pub const fn u32_range(min: i16, max: i16) -> Policy {
        assert!(min >= 0);
        Self::u32().with_range(min, max)
    }

    /// A 32-bit number that has no bits but those of `mask`.
    pub const fn u32_mask(mask: u32) -> Policy {
        let data = bindings::nla_policy__bindgen_ty_1 { mask };

        // SAFETY: `NLA_VALIDATE_MASK` selects `mask`.
        unsafe { Self::u32().with(bindings::nla_policy_validation_NLA_VALIDATE_MASK, data) }
    }

    /// At most `max` bytes.
    ///
    /// Fails the build if `max` is zero, which the kernel takes for "any number of bytes".
    pub const fn binary_max(max: u16) -> Policy {
        assert!(max > 0);
        Self::new(bindings::NLA_BINARY, max)
    }

    /// A string that ends in a NUL, and has at most `max_without_nul` bytes before it.
    ///
    /// Fails the build if `max_without_nul` is zero, which the kernel takes for "any number of
    /// bytes".
    pub const fn nul_string(max_without_nul: u16) -> Policy {
        assert!(max_without_nul > 0);
        Self::new(bindings::NLA_NUL_STRING, max_without_nul)
    }

    /// An attribute that holds attributes, which must follow the table `policies`.
    ///
    /// Fails the build if `policies` is not a valid table; see [`Policy`].
    pub const fn nested(policies: &'static [Policy]) -> Policy {
        // INVARIANT: The length is the number of the last entry.
        let policy = Self::new(bindings::NLA_NESTED, max_type(policies));
        let data = bindings::nla_policy__bindgen_ty_1 {
            nested_policy: as_ptr(policies),
        };

        // SAFETY: `NLA_NESTED` selects `nested_policy`, which is static.
        unsafe { policy.with(bindings::nla_policy_validation_NLA_VALIDATE_NONE, data) }
    }

    /// Returns whether this is the policy of attributes that follow just this table.
    pub(super) fn is_nested(&self, policies: &'static [Policy]) -> bool {
        let is_nested = self.0.type_ == bindings::NLA_NESTED as u8;

        is_nested
            && usize::from(self.0.len) + 1 == policies.len()
            // SAFETY: `NLA_NESTED` selects `nested_policy`.
            && core::ptr::eq(unsafe { self.0.__bindgen_anon_1.nested_policy }, as_ptr(policies))
    }
}

/// Returns the highest attribute type that a table of policies knows (`maxattr`).
///
/// Intended for const context only. Panics if it is not a valid table; see [`Policy`].
pub(super) const fn max_type(policies: &[Policy]) -> u16 {
    if policies.is_empty() {
        panic!("a table of policies needs an entry for the type 0");
    }
    if policies.len() > MAX_POLICIES {
        panic!("too many policies");
    }
    if policies[0].0.type_ as u32 != bindings::NLA_REJECT {
        panic!("the attribute type 0 must be rejected");
    }
    // CAST: The length is between 1 and `MAX_POLICIES`.
    (policies.len() - 1) as u16
}

/// Returns a table of policies as the C code wants it.
pub(super) const fn as_ptr(policies: &[Policy]) -> *const bindings::nla_policy {
    // CAST: `Policy` is a transparent wrapper of `struct nla_policy`.
    policies.as_ptr().cast()
}

#[cfg(CONFIG_RUST_NETLINK_KUNIT_TEST)]
#[macros::kunit_tests(rust_netlink_policy)]
mod tests {
    use super::*;

    /// Checks everything but the union.
    fn has(policy: &Policy, nla_type: u32, validation: u32, len: u16) -> bool {
        u32::from(policy.0.type_) == nla_type
            && u32::from(policy.0.validation_type) == validation
            && policy.0.len == len
    }

    #[test]
    fn plain_types() {
        let none = bindings::nla_policy_validation_NLA_VALIDATE_NONE;

        // `{ .type = NLA_x }`
        assert!(has(&Policy::rejected(), bindings::NLA_REJECT, none, 0));
        assert!(has(&Policy::u32(), bindings::NLA_U32, none, 0));
        assert!(has(&Policy::s32(), bindings::NLA_S32, none, 0));
        assert!(has(&Policy::uint(), bindings::NLA_UINT, none, 0));
        assert!(has(&Policy::sint(), bindings::NLA_SINT, none, 0));
        assert!(has(&Policy::be16(), bindings::NLA_BE16, none, 0));
        // `{ .type = NLA_x, .len = n }`
        assert!(has(
            &Policy::nul_string(15),
            bindings::NLA_NUL_STRING,
            none,
            15
        ));
        assert!(has(
            &Policy::binary_max(16384),
            bindings::NLA_BINARY,
            none,
            16384
        ));
    }

    #[test]
    fn rejected_has_no_strict_start() {
        let data = Policy::rejected().0.__bindgen_anon_1;
        // SAFETY: `Policy::rejected()` has zeroes in the whole union.
        let (start, message) = unsafe { (data.strict_start_type, data.reject_message) };
        assert_eq!(start, 0);
        assert!(message.is_null());
    }

    #[test]
    fn ranges_and_masks() {
        let range = bindings::nla_policy_validation_NLA_VALIDATE_RANGE;
        let mask = bindings::nla_policy_validation_NLA_VALIDATE_MASK;

        // `NLA_POLICY_RANGE(NLA_U32, 1, 7)`
        let policy = Policy::u32_range(1, 7);
        assert!(has(&policy, bindings::NLA_U32, range, 0));
        // SAFETY: The constructor sets this member.
        let limits = unsafe { policy.0.__bindgen_anon_1.__bindgen_anon_1 };
        assert_eq!((limits.min, limits.max), (1, 7));

        // `NLA_POLICY_MASK(NLA_U32, 0x8000_0001)`
        let policy = Policy::u32_mask(0x8000_0001);
        assert!(has(&policy, bindings::NLA_U32, mask, 0));
        // SAFETY: The constructor sets this member.
        assert_eq!(unsafe { policy.0.__bindgen_anon_1.mask }, 0x8000_0001);
    }

    #[test]
    fn nested() {
        static INNER: [Policy; 3] = [Policy::rejected(), Policy::u32(), Policy::uint()];

        // `NLA_POLICY_NESTED(INNER)`
        let policy = Policy::nested(&INNER);
        let none = bindings::nla_policy_validation_NLA_VALIDATE_NONE;
        assert!(has(&policy, bindings::NLA_NESTED, none, 2));
        // SAFETY: The constructor sets this member.
        let stored = unsafe { policy.0.__bindgen_anon_1.nested_policy };
        assert!(core::ptr::eq(stored, as_ptr(&INNER)));

        // Nothing is accepted inside.
        static NOTHING: [Policy; 1] = [Policy::rejected()];
        assert!(has(
            &Policy::nested(&NOTHING),
            bindings::NLA_NESTED,
            none,
            0
        ));
    }
}
