// SPDX-License-Identifier: GPL-2.0

//! Classic filters, and programs of groups of sockets that share a port.
//!
//! C header: [`include/linux/filter.h`](srctree/include/linux/filter.h)

use crate::{
    bindings,
    error::to_result,
    prelude::*,
    transmute::AsBytes,
    types::NotThreadSafe, //
};

use core::{
    ptr::{
        self,
        NonNull, //
    },
    slice, //
};

use super::{
    LockedSocket,
    Sock,
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

/// Returns the instructions that a classic program was made of.
///
/// # Errors
///
/// `EACCES` if it is an eBPF program, which cannot be had back.
///
/// # Safety
///
/// The program must be valid, and not be freed as long as the lifetime `'a`.
unsafe fn insns<'a>(prog: NonNull<bindings::bpf_prog>) -> Result<&'a [FilterInsn]> {
    // SAFETY: The caller says that the program is valid.
    let original = unsafe { (*prog.as_ptr()).orig_prog };
    // Classic programs keep the instructions that they were made of.
    let original = NonNull::new(original).ok_or(EACCES)?;
    // SAFETY: They are freed with the program, and never changed.
    let (insns, len) = unsafe { ((*original.as_ptr()).filter, (*original.as_ptr()).len) };
    if insns.is_null() {
        return Err(EACCES);
    }

    // SAFETY: There are `len` instructions, which the caller keeps.
    // CAST: `FilterInsn` is `repr(transparent)`.
    Ok(unsafe { slice::from_raw_parts(insns.cast_const().cast(), usize::from(len)) })
}

impl Sock {
    /// Returns a copy of the classic program that chooses among the sockets of the group which
    /// shares the port, if there is one (`SO_ATTACH_REUSEPORT_CBPF`).
    ///
    /// # Errors
    ///
    /// `EACCES` if it is an eBPF program, which cannot be had back, `EBUSY` if others keep putting
    /// longer ones in its place, `ENOMEM`.
    pub fn reuseport_filter(&self) -> Result<Option<KVec<FilterInsn>>> {
        /// How often to try. Each socket of the group can change the program.
        const TRIES: u32 = 3;

        let mut copy = KVec::new();

        for _ in 0..TRIES {
            match self.with_reuseport_filter(|insns| copy_insns(insns, &mut copy))? {
                None => return Ok(None),
                Some(Ok(())) => return Ok(Some(copy)),
                // Room for it is made without the lock.
                Some(Err(len)) => copy.reserve(len, GFP_KERNEL)?,
            }
        }
        Err(EBUSY)
    }

    /// Returns how many sockets are in the group which shares the port with this one, itself among
    /// them, and 0 if there is no group.
    pub fn reuseport_len(&self) -> usize {
        match ReuseportGroup::of(self) {
            Some(group) => group.socks().len(),
            None => 0,
        }
    }

    /// Returns the place of the socket in the group which shares the port, by which it is chosen
    /// (`reuseport_sock_index`). It changes when others leave the group.
    ///
    /// A group has at most 32768 sockets, over which this goes with the lock of all groups held.
    pub fn reuseport_index(&self) -> Option<usize> {
        let group = ReuseportGroup::of(self)?;

        group
            .socks()
            .iter()
            .position(|sk| ptr::eq(*sk, self.as_ptr()))
    }

    /// Calls a function for the classic program of the group, if there is one. It must not sleep.
    fn with_reuseport_filter<R>(&self, f: impl FnOnce(&[FilterInsn]) -> R) -> Result<Option<R>> {
        match ReuseportGroup::of(self) {
            Some(group) => Ok(group.filter()?.map(f)),
            None => Ok(None),
        }
    }
}

/// Copies instructions if there is enough room for them, and returns how much there has to be if
/// not.
fn copy_insns(insns: &[FilterInsn], copy: &mut KVec<FilterInsn>) -> Result<(), usize> {
    copy.clear();
    if copy.capacity() < insns.len() {
        return Err(insns.len());
    }
    for insn in insns {
        copy.push_within_capacity(*insn).map_err(|_| insns.len())?;
    }
    Ok(())
}

/// A group of sockets that share a port, with the lock of all such groups, which is held.
///
/// # Invariants
///
/// The group is valid, and nobody else changes its sockets and its program, as long as the lock is
/// held.
struct ReuseportGroup {
    group: NonNull<bindings::sock_reuseport>,
    _lock: ReuseportLock,
}

impl ReuseportGroup {
    /// Returns the group of a socket, if it is in one.
    fn of(sock: &Sock) -> Option<Self> {
        let read = || {
            // SAFETY: The socket is valid.
            let group = unsafe { (&raw const (*sock.as_ptr()).sk_reuseport_cb).read_volatile() };

            NonNull::new(group)
        };

        // All sockets of the system have one lock, which those without a group leave alone.
        read()?;
        let lock = ReuseportLock::take();

        // INVARIANT: Groups change, and are taken from their sockets, under the lock, and are freed
        // after that.
        Some(Self {
            group: read()?,
            _lock: lock,
        })
    }

    /// Returns the sockets, in the order in which a program of the group counts them.
    fn socks(&self) -> &[*mut bindings::sock] {
        let group = self.group.as_ptr();

        // SAFETY: By the type invariants, the group is valid, and its sockets do not change.
        let (socks, len) = unsafe { (&raw const (*group).socks, (*group).num_socks) };

        // SAFETY: So many sockets are in the array at the end of the group.
        unsafe { slice::from_raw_parts(socks.cast(), usize::from(len)) }
    }

    /// Returns the instructions of the classic program, if there is a program.
    ///
    /// # Errors
    ///
    /// `EACCES` if it is an eBPF program, which cannot be had back.
    fn filter(&self) -> Result<Option<&[FilterInsn]>> {
        // SAFETY: By the type invariants, the group is valid.
        let prog = unsafe { (&raw const (*self.group.as_ptr()).prog).read_volatile() };

        NonNull::new(prog)
            // SAFETY: By the type invariants, the program stays the one of the group, and is
            // freed after that.
            .map(|prog| unsafe { insns(prog) })
            .transpose()
    }
}

/// The lock of all groups of sockets that share a port, which is held.
struct ReuseportLock(NotThreadSafe);

impl ReuseportLock {
    /// Takes the lock.
    fn take() -> Self {
        // SAFETY: The lock is a static one. It is taken in process context.
        unsafe { bindings::spin_lock_bh(&raw mut bindings::reuseport_lock) };
        Self(NotThreadSafe)
    }
}

impl Drop for ReuseportLock {
    fn drop(&mut self) {
        // SAFETY: It was taken when this was made.
        unsafe { bindings::spin_unlock_bh(&raw mut bindings::reuseport_lock) };
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
        let prog = unsafe { (*filter.as_ptr()).prog };
        let prog = NonNull::new(prog).ok_or(EACCES)?;

        // SAFETY: It stays as long as the lock is held, and it is as long as `self` is borrowed.
        unsafe { insns(prog) }.map(Some)
    }

    /// Returns how much memory of the socket its filter takes, as `sk_filter_uncharge` gives it
    /// back.
    pub(super) fn filter_memory(&self) -> usize {
        // SAFETY: As in `filter`. One that is attached is valid, and so is its program.
        unsafe {
            let filter = (&raw const (*self.as_ptr()).sk_filter).read_volatile();

            match filter.is_null() {
                true => 0,
                false => bindings::bpf_prog_size((*(*filter).prog).len) as usize,
            }
        }
    }
}

/// Makes a program as C functions take it, valid as long as the instructions are.
fn program(filter: &[FilterInsn]) -> Result<bindings::sock_fprog_kern> {
    Ok(bindings::sock_fprog_kern {
        len: u16::try_from(filter.len()).map_err(|_| EINVAL)?,
        // The program is only read.
        // CAST: `FilterInsn` is `repr(transparent)`.
        filter: filter.as_ptr().cast_mut().cast(),
    })
}

impl LockedSocket<'_> {
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
        let program = program(filter)?;

        // SAFETY: By the type invariants, the socket is valid and locked, and what `filter()` has
        // returned is not used any more, as `self` is borrowed mutably. The program has as many
        // instructions as it says.
        to_result(unsafe { bindings::sk_attach_filter_kern(&raw const program, self.as_ptr()) })
    }

    /// Attaches a classic program that chooses among the sockets which share the port with this
    /// one, in place of the one that there may be.
    ///
    /// On a socket that is not bound, it makes the group that others join: the socket itself cannot
    /// join another one then.
    ///
    /// As by `SO_ATTACH_REUSEPORT_CBPF`, but see [`Self::attach_filter`] for who is not asked.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is not a valid program, or the socket does not share its port, `ENOMEM` if it
    /// is too large, `EPERM` if there is a filter that is locked.
    pub fn attach_reuseport_filter(&mut self, filter: &[FilterInsn]) -> Result {
        let program = program(filter)?;

        // SAFETY: By the type invariants, the socket is valid and locked. The program has as many
        // instructions as it says.
        to_result(unsafe {
            bindings::sk_reuseport_attach_filter_kern(&raw const program, self.as_ptr())
        })
    }
}

impl Socket {
    /// Attaches a classic filter, as [`LockedSocket::attach_filter`].
    ///
    /// # Errors
    ///
    /// Those of [`LockedSocket::attach_filter`].
    pub fn attach_filter(&mut self, filter: &[FilterInsn]) -> Result {
        self.lock().attach_filter(filter)
    }

    /// Attaches a program of the group that shares the port, as
    /// [`LockedSocket::attach_reuseport_filter`].
    ///
    /// # Errors
    ///
    /// Those of [`LockedSocket::attach_reuseport_filter`].
    pub fn attach_reuseport_filter(&mut self, filter: &[FilterInsn]) -> Result {
        self.lock().attach_reuseport_filter(filter)
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
