// SPDX-License-Identifier: GPL-2.0

//! Operations of a generic netlink family.
//!
//! C header: [`include/net/genetlink.h`](srctree/include/net/genetlink.h)

use crate::{
    bindings,
    error::from_result,
    prelude::*, //
};

use super::{
    dump::DumpAdapter,
    policy,
    DoRequest,
    DumpOperation,
    Family,
    Policy,
    Request, //
};

use core::{
    convert::Infallible,
    marker::PhantomData, //
};

/// What a family keeps for each netlink socket that it is asked by.
///
/// It is made when an operation first [asks for it](DoRequest::sock_priv), and dropped with the
/// netlink socket, or when the family is unregistered.
///
/// A family that keeps nothing has `()`.
pub trait SockPriv: Send + Sync + Sized {
    /// Makes one.
    fn new() -> impl PinInit<Self, Infallible>;
}

impl SockPriv for () {
    fn new() -> impl PinInit<Self, Infallible> {
        pin_init::init_zeroed()
    }
}

/// Who may ask for an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OpFlags(u8);

impl OpFlags {
    /// Everybody.
    pub const NONE: OpFlags = OpFlags(0);

    /// Who has `CAP_NET_ADMIN` in the user namespace that owns the request's network namespace.
    pub const UNS_ADMIN_PERM: OpFlags = OpFlags(bindings::GENL_UNS_ADMIN_PERM as u8);
}

/// A command of a generic netlink family that answers a single request.
pub trait DoOperation {
    /// The number of the command.
    const CMD: u8;

    /// Who may ask for it. The core checks it before the attributes.
    const FLAGS: OpFlags;

    /// What the attributes of a request must look like.
    ///
    /// See [`Policy`] for what makes a valid table. A command without attributes has
    /// `&[Policy::rejected()]`.
    const POLICY: &'static [Policy];

    /// What the family keeps for each netlink socket.
    type SockPriv: SockPriv;

    /// Handles a request.
    ///
    /// Runs in the context of the task that sent the request, and may sleep. It may run several
    /// times in parallel, but keeps every generic netlink family from being registered and
    /// unregistered in the meantime: it must not wait for long.
    fn doit(request: &DoRequest<'_, Self::SockPriv>) -> Result;
}

/// An entry of a family's table of operations (`struct genl_split_ops`).
///
/// # Invariants
///
/// Exactly one of `GENL_CMD_CAP_DO` and `GENL_CMD_CAP_DUMP` is set, and the members of the union
/// are those that belong to it. The policy is a valid table that is never freed, `maxattr` is the
/// number of its last entry, and validation is strict. The handlers are only called for a family
/// that keeps a `P` for each netlink socket.
#[repr(transparent)]
pub struct Operation<P: SockPriv = ()>(bindings::genl_split_ops, PhantomData<P>);

// SAFETY: An `Operation` is never changed, and holds nothing but functions that may be called from
// any thread, and static policies.
unsafe impl<P: SockPriv> Send for Operation<P> {}

// SAFETY: As for `Send`.
unsafe impl<P: SockPriv> Sync for Operation<P> {}

impl<P: SockPriv> Operation<P> {
    /// The operation that answers single requests by `T`.
    ///
    /// Intended to be used from const context only. Will panic if the policy is not a valid table.
    pub const fn doit<T: DoOperation<SockPriv = P>>() -> Operation<P> {
        // INVARIANT: `policy::max_type()` panics if the table is not valid. `validate` is zero,
        // which means strict. `Family::with_operations()` ties operations and family together.
        let op = bindings::genl_split_ops {
            __bindgen_anon_1: bindings::genl_split_ops__bindgen_ty_1 {
                __bindgen_anon_1: bindings::genl_split_ops__bindgen_ty_1__bindgen_ty_1 {
                    pre_doit: None,
                    doit: Some(DoAdapter::<T>::doit_callback),
                    post_doit: None,
                },
            },
            policy: policy::as_ptr(T::POLICY),
            maxattr: policy::max_type(T::POLICY) as u32,
            cmd: T::CMD,
            internal_flags: 0,
            flags: T::FLAGS.0 | bindings::GENL_CMD_CAP_DO as u8,
            validate: 0,
        };
        Operation(op, PhantomData)
    }

    /// The operation that answers requests for a dump (`NLM_F_DUMP`) by `T`.
    ///
    /// Intended to be used from const context only. Will panic if the policy is not a valid table.
    pub const fn dumpit<T: DumpOperation>() -> Operation<P> {
        // INVARIANT: As in `doit()`.
        let op = bindings::genl_split_ops {
            __bindgen_anon_1: bindings::genl_split_ops__bindgen_ty_1 {
                __bindgen_anon_2: bindings::genl_split_ops__bindgen_ty_1__bindgen_ty_2 {
                    start: Some(DumpAdapter::<T>::start_callback),
                    dumpit: Some(DumpAdapter::<T>::dumpit_callback),
                    done: Some(DumpAdapter::<T>::done_callback),
                },
            },
            policy: policy::as_ptr(T::POLICY),
            maxattr: policy::max_type(T::POLICY) as u32,
            cmd: T::CMD,
            internal_flags: 0,
            flags: T::FLAGS.0 | bindings::GENL_CMD_CAP_DUMP as u8,
            validate: 0,
        };
        Operation(op, PhantomData)
    }

    /// Returns whether `next` may stand behind this one in a table (`genl_validate_ops()`).
    ///
    /// Commands go up. One command may have two entries, which are open to the same requesters: the
    /// one for single requests, and behind it the one for dumps.
    pub(super) const fn may_precede(&self, next: &Self) -> bool {
        const CAP_DO: u8 = bindings::GENL_CMD_CAP_DO as u8;
        const CAP_DUMP: u8 = bindings::GENL_CMD_CAP_DUMP as u8;

        let (a, b) = (&self.0, &next.0);
        a.cmd < b.cmd
            || a.cmd == b.cmd
                && a.flags & CAP_DO != 0
                && b.flags & CAP_DUMP != 0
                && (a.flags ^ b.flags) & !(CAP_DO | CAP_DUMP) == 0
    }
}

/// The C side of a [`DoOperation`].
struct DoAdapter<T: DoOperation>(PhantomData<T>);

impl<T: DoOperation> DoAdapter<T> {
    /// # Safety
    ///
    /// Must only be called by the generic netlink core, as `doit` of a `struct genl_split_ops` that
    /// [`Operation::doit`] has made for the same `T`.
    unsafe extern "C" fn doit_callback(
        skb: *mut bindings::sk_buff,
        info: *mut bindings::genl_info,
    ) -> c_int {
        from_result(|| {
            // SAFETY: The core passes the received message and what it has parsed from it, valid
            // for the duration of this call, and after strict validation with the policy that
            // `Operation::doit()` has put into the entry, of a family that keeps what `T` says.
            let request = unsafe { DoRequest::new(Request::from_raw(skb, info, T::POLICY)) };

            T::doit(&request).map(|()| 0)
        })
    }
}

/// The C side of a [`SockPriv`].
struct PrivAdapter<P: SockPriv>(PhantomData<P>);

impl<P: SockPriv> PrivAdapter<P> {
    /// # Safety
    ///
    /// `slot` must be valid for writes of a `P`, and aligned for it.
    unsafe extern "C" fn init_callback(slot: *mut c_void) {
        // SAFETY: The caller promises that the slot can hold a `P`, which is not moved from there.
        unsafe { pin_init::raw_init(slot.cast(), P::new()) };
    }

    /// # Safety
    ///
    /// `slot` must hold a `P` that is not used any more.
    unsafe extern "C" fn destroy_callback(slot: *mut c_void) {
        // SAFETY: The caller promises just this.
        unsafe { core::ptr::drop_in_place(slot.cast::<P>()) };
    }
}

impl Family {
    /// Gives the family its table of operations.
    ///
    /// The table is sorted by command. The dump of a command stands behind its single request, and
    /// both have the same [`OpFlags`].
    ///
    /// Intended to be used from const context only. Will panic if the table is not like that, has
    /// an operation twice, or has more than 255 entries.
    pub const fn with_operations<P: SockPriv>(self, operations: &'static [Operation<P>]) -> Family {
        // What `kzalloc()` returns is aligned to no more.
        const { assert!(align_of::<P>() <= bindings::ARCH_KMALLOC_MINALIGN) };

        let n_split_ops = operations.len() as u8;
        if n_split_ops as usize != operations.len() {
            panic!("too many operations");
        }
        let mut i = 1;
        while i < operations.len() {
            if !operations[i - 1].may_precede(&operations[i]) {
                panic!("operations are not in order");
            }
            i += 1;
        }

        let family = self.inner.get();
        // SAFETY: `family` is valid and initialised, and nobody else has access to it.
        unsafe {
            // CAST: `Operation` is a transparent wrapper of `struct genl_split_ops`.
            (*family).split_ops = operations.as_ptr().cast();
            (*family).n_split_ops = n_split_ops;
            // Without a size there are none.
            (*family).sock_priv_size = size_of::<P>();
            (*family).sock_priv_init = Some(PrivAdapter::<P>::init_callback);
            (*family).sock_priv_destroy = Some(PrivAdapter::<P>::destroy_callback);
        }
        self
    }
}
