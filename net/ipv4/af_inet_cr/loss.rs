// SPDX-License-Identifier: GPL-2.0

//! What a dump may leave out, if the requester says so, and a restore then goes without.
//!
//! A loss is a part that can be given to the copy by a system call afterwards, by whoever has it
//! from elsewhere, and without which the socket is one that works: as one that never had it. All
//! else that is not carried remains a reason to refuse a socket.

#![forbid(unsafe_code)]

use crate::{
    attr,
    refusal::Refusal, //
};

use kernel::{
    macros::paste,
    net::netlink::{
        AttrWriter,
        Policy,
        Request, //
    },
    prelude::*,
    uapi, //
};

/// A part that may be lost.
pub(crate) struct Loss {
    /// Its bit.
    bit: u32,
    /// What it is called in the specification.
    name: &'static str,
    /// Why a dump that must not lose it is refused.
    pub(crate) reason: &'static str,
}

/// Declares losses.
macro_rules! losses {
    ($($(#[$meta:meta])* $name:ident = $text:literal;)*) => {
        $(paste! {
            $(#[$meta])*
            pub(crate) static $name: Loss = Loss {
                bit: uapi::[<af_inet_cr_loss_AF_INET_CR_LOSS_ $name>],
                name: $text,
                reason: concat!("is not carried: allow-lost ", $text),
            };
        })*

        /// All of them.
        static ALL: &[&Loss] = &[$(&$name),*];

        /// Their bits.
        const BITS: u32 = 0 $(| paste!(uapi::[<af_inet_cr_loss_AF_INET_CR_LOSS_ $name>]))*;
    };
}

losses! {
    /// An eBPF program as the filter.
    EBPF_FILTER = "ebpf-filter";
    /// An eBPF program that chooses among the sockets of a group.
    EBPF_REUSEPORT = "ebpf-reuseport";
    /// What BPF programs keep with the socket.
    BPF_STORAGE = "bpf-storage";
    /// An IPsec policy.
    XFRM_POLICY = "xfrm-policy";
    /// Extended attributes of users.
    XATTR = "xattr";
    /// Somebody to tell by a signal who has no number in the PID namespace of the requester.
    OWNER = "owner";
}

/// The policy of `AF_INET_CR_ATTR_LOST` and `AF_INET_CR_ATTR_ALLOW_LOST`.
pub(crate) const fn policy() -> Policy {
    Policy::u32_mask(BITS)
}

/// What may be lost, and what is.
#[derive(Clone, Copy)]
pub(crate) struct Losses {
    allowed: u32,
    lost: u32,
}

impl Losses {
    /// Nothing may be lost.
    pub(crate) const fn none() -> Losses {
        Losses {
            allowed: 0,
            lost: 0,
        }
    }

    /// Reads what a request allows.
    pub(crate) fn allowed_by(request: &Request<'_>) -> Result<Losses, Refusal> {
        Ok(Losses {
            allowed: number(request, attr::ALLOW_LOST)?,
            ..Losses::none()
        })
    }

    /// Leaves out a part of a socket, or refuses the socket for it, as it is called.
    pub(crate) fn lose(&mut self, loss: &Loss, called: &'static str) -> Result<(), Refusal> {
        if self.allowed & loss.bit == 0 {
            return Err(Refusal::new(EOPNOTSUPP, loss.reason).about(called));
        }
        self.lost |= loss.bit;
        Ok(())
    }

    /// Writes what is lost into a message, if anything is.
    pub(crate) fn put(&self, msg: &AttrWriter) -> Result {
        match self.lost {
            0 => Ok(()),
            lost => msg.put_u32(attr::LOST, lost),
        }
    }
}

/// Refuses to restore what has lost something, unless the request allows it.
///
/// Who dumps and who restores are often two, and a socket without its filter, or without its
/// policy, receives and sends what it never did.
pub(crate) fn check(request: &Request<'_>) -> Result<(), Refusal> {
    let forbidden = number(request, attr::LOST)? & !number(request, attr::ALLOW_LOST)?;

    match ALL.iter().find(|loss| forbidden & loss.bit != 0) {
        Some(loss) => Err(Refusal::new(EINVAL, loss.name)
            .about("allow-lost does not have what is lost:")
            .at(attr::LOST)),
        None => Ok(()),
    }
}

/// Reads bits, none of which are set if they are not there.
fn number(request: &Request<'_>, ty: u16) -> Result<u32> {
    request.attr(ty).map_or(Ok(0), |attr| attr.as_u32())
}

#[cfg(CONFIG_AF_INET_CR_KUNIT_TEST)]
#[kernel::macros::kunit_tests(af_inet_cr_loss)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_has_its_bit() {
        let mut bits = 0;

        for loss in ALL {
            assert!(loss.bit.is_power_of_two() && bits & loss.bit == 0);
            bits |= loss.bit;
        }
        assert_eq!(bits, BITS);
    }

    #[test]
    fn only_what_is_allowed_is_lost() {
        let mut losses = Losses {
            allowed: XATTR.bit,
            ..Losses::none()
        };

        assert!(losses.lose(&OWNER, "an owner").is_err());
        assert_eq!(losses.lost, 0);
        assert!(losses.lose(&XATTR, "an attribute").is_ok());
        assert_eq!(losses.lost, XATTR.bit);
    }
}
