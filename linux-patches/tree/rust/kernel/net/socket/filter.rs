// SPDX-License-Identifier: GPL-2.0

//! Classic filters.
//!
//! C header: [`include/linux/filter.h`](srctree/include/linux/filter.h)

use crate::{
    bindings,
    error::to_result,
    prelude::*, //
};

use super::Socket;

/// An instruction of a classic filter, `struct sock_filter`.
#[derive(Copy, Clone)]
#[repr(transparent)]
pub struct FilterInsn(bindings::sock_filter);

impl FilterInsn {
    /// Makes an instruction. Whether it makes sense is found out when it is attached.
    #[inline]
    pub const fn new(code: u16, jt: u8, jf: u8, k: u32) -> Self {
        Self(bindings::sock_filter { code, jt, jf, k })
    }

    /// Makes an instruction that lets `len` bytes of the packet through; none at all if `len` is 0.
    #[inline]
    pub const fn ret(len: u32) -> Self {
        // CAST: The code fits.
        Self::new((bindings::BPF_RET | bindings::BPF_K) as u16, 0, 0, len)
    }
}

impl Socket {
    /// Attaches a classic filter, in place of the one that there may be.
    ///
    /// The program is checked and accounted as by `SO_ATTACH_FILTER`, which takes it from user
    /// memory only. But nobody is asked whether the calling task may do this: no security module,
    /// and no cgroup-BPF program. So this is for filters of the kernel itself; one that a task
    /// brings along needs those checks before.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is not a valid filter, `ENOMEM` if it is too large, `EPERM` if there is one
    /// that is locked, `EOPNOTSUPP` for TCP, where filters need a privilege.
    pub fn attach_filter(&mut self, filter: &[FilterInsn]) -> Result {
        if self.is_tcp() {
            return Err(EOPNOTSUPP);
        }
        let program = bindings::sock_fprog_kern {
            len: u16::try_from(filter.len()).map_err(|_| EINVAL)?,
            // The program is only read.
            // CAST: `FilterInsn` is `repr(transparent)`.
            filter: filter.as_ptr().cast_mut().cast(),
        };
        let sk = self.lock();

        // SAFETY: The socket is valid and locked. The program has as many instructions as it says.
        to_result(unsafe { bindings::sk_attach_filter_kern(&raw const program, sk.as_ptr()) })
    }

    /// Attaches a filter that no packet passes.
    ///
    /// A packet is matched with a socket first, and filtered some time later, both in one RCU read
    /// section. So what was on its way before this was called still arrives, and what is on its way
    /// when the filter is detached may get in, unless a grace period is waited for.
    ///
    /// # Errors
    ///
    /// Those of [`Self::attach_filter`].
    pub fn reject_all(&mut self) -> Result {
        self.attach_filter(&[FilterInsn::ret(0)])
    }

    /// Detaches the filter.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is none, `EPERM` if it is locked.
    pub fn detach_filter(&mut self) -> Result {
        let sk = self.lock();

        // SAFETY: The socket is valid and locked.
        to_result(unsafe { bindings::sk_detach_filter(sk.as_ptr()) })
    }
}
