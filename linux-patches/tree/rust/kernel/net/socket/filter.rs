// SPDX-License-Identifier: GPL-2.0

//! Classic filters.
//!
//! C header: [`include/linux/filter.h`](srctree/include/linux/filter.h)

use crate::{
    bindings,
    error::to_result,
    prelude::*,
    transmute::AsBytes, //
};

use core::{
    ptr::NonNull,
    slice, //
};

use super::{
    LockedSocket,
    Socket, //
};

/// An instruction of a classic filter, `struct sock_filter`.
#[derive(Copy, Clone)]
#[repr(transparent)]
pub struct FilterInsn(bindings::sock_filter);

// SAFETY: The two bytes and the numbers of two and of four bytes of a `struct sock_filter` leave no
// gap between them.
unsafe impl AsBytes for FilterInsn {}

impl FilterInsn {
    /// The size of an instruction.
    pub const SIZE: usize = size_of::<bindings::sock_filter>();

    /// The most instructions that a filter can have (`BPF_MAXINSNS`).
    pub const MAX: usize = bindings::BPF_MAXINSNS as usize;

    /// Makes an instruction from its bytes, which are those of a `struct sock_filter`.
    #[inline]
    pub const fn from_ne_bytes(bytes: [u8; Self::SIZE]) -> Self {
        let [code_0, code_1, jt, jf, k_0, k_1, k_2, k_3] = bytes;

        Self::new(
            u16::from_ne_bytes([code_0, code_1]),
            jt,
            jf,
            u32::from_ne_bytes([k_0, k_1, k_2, k_3]),
        )
    }

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

impl LockedSocket<'_> {
    /// Returns the classic filter that is attached, if there is one (`SO_GET_FILTER`).
    ///
    /// # Errors
    ///
    /// `EACCES` if it is an eBPF program, which cannot be had back.
    pub fn filter(&self) -> Result<Option<&[FilterInsn]>> {
        // SAFETY: By the type invariants, the socket is valid and locked: without the lock the
        // filter is neither replaced nor detached.
        let filter = unsafe { (&raw const (*self.as_ptr()).sk_filter).read_volatile() };
        let Some(filter) = NonNull::new(filter) else {
            return Ok(None);
        };

        // SAFETY: A filter that is attached is valid, and so is its program.
        let original = unsafe { (*(*filter.as_ptr()).prog).orig_prog };
        // Classic programs keep the instructions that they were made of.
        let original = NonNull::new(original).ok_or(EACCES)?;
        // SAFETY: They are freed with the program, and never changed.
        let (insns, len) = unsafe { ((*original.as_ptr()).filter, (*original.as_ptr()).len) };
        if insns.is_null() {
            return Err(EACCES);
        }

        // SAFETY: There are `len` instructions, which stay as long as the lock is held, and it is
        // as long as `self` is borrowed.
        // CAST: `FilterInsn` is `repr(transparent)`.
        Ok(Some(unsafe {
            slice::from_raw_parts(insns.cast_const().cast(), usize::from(len))
        }))
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
    /// A packet is matched with a socket first, and filtered some time later. What is on its way
    /// when the filter is detached may get in, unless [`Self::settle`] is called before.
    ///
    /// # Errors
    ///
    /// Those of [`Self::attach_filter`].
    pub fn reject_all(&mut self) -> Result {
        self.attach_filter(&[FilterInsn::ret(0)])
    }

    /// Waits until each packet that was matched with the socket before has been filtered and
    /// queued, or dropped.
    ///
    /// Both happen in one RCU read section. This waits for an expedited grace period: some tens of
    /// microseconds, and an interrupt for each CPU.
    pub fn settle(&self) {
        // SAFETY: FFI call. Who has a `Socket` may sleep, as making one does.
        unsafe { bindings::synchronize_rcu_expedited() };
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
