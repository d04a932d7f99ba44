// SPDX-License-Identifier: GPL-2.0

//! Dumps: requests to a generic netlink family that are answered with any number of messages.
//!
//! C headers: [`include/net/genetlink.h`](srctree/include/net/genetlink.h) and
//! [`include/linux/netlink.h`](srctree/include/linux/netlink.h)

use crate::{
    bindings,
    cred::Credential,
    error::from_result,
    net::Net,
    prelude::*,
    sync::aref::ARef, //
};

use super::{
    AttrWriter,
    ExtAck,
    OpFlags,
    Policy,
    Request,
    GENL_HDRLEN,
    NLMSG_HDRLEN, //
};

use core::{
    marker::PhantomData,
    num::NonZeroU32,
    ptr::NonNull, //
};

/// A command of a generic netlink family that answers a request with any number of messages.
///
/// The core asks for them batch by batch, as the reader makes room in the receive buffer of its
/// socket, which may take as long as the reader likes. What has to be known until the last batch is
/// the [`State`](Self::State).
///
/// # Examples
///
/// A dump of the powers of two below a limit.
///
/// ```
/// use kernel::{
///     net::netlink::{
///         Batch,
///         DumpOperation,
///         OpFlags,
///         Operation,
///         Policy,
///         Request, //
///     },
///     prelude::*, //
/// };
///
/// const POWERS_CMD_GET: u8 = 1;
///
/// const POWERS_A_LIMIT: u16 = 1;
/// const POWERS_A_POWER: u16 = 2;
///
/// struct GetPowers;
///
/// struct State {
///     limit: u64,
///     next: Option<u64>,
/// }
///
/// impl DumpOperation for GetPowers {
///     const CMD: u8 = POWERS_CMD_GET;
///     const FLAGS: OpFlags = OpFlags::NONE;
///     const POLICY: &'static [Policy] = &[
///         Policy::rejected(),
///         Policy::uint(),     // POWERS_A_LIMIT
///     ];
///     type State = State;
///
///     fn start(request: &Request<'_>) -> Result<State> {
///         Ok(State {
///             limit: request.attr(POWERS_A_LIMIT).ok_or(EINVAL)?.as_uint()?,
///             next: Some(1),
///         })
///     }
///
///     fn dumpit(state: &mut State, batch: &mut Batch<'_>) -> Result {
///         while let Some(power) = state.next.filter(|power| *power < state.limit) {
///             // If it does not fit, it is the first one of the next batch.
///             batch.put(|msg| msg.put_uint(POWERS_A_POWER, power))?;
///             state.next = power.checked_mul(2);
///         }
///         Ok(())
///     }
/// }
///
/// static OPERATIONS: [Operation; 1] = [Operation::dumpit::<GetPowers>()];
/// ```
pub trait DumpOperation {
    /// The number of the command. It may be that of a [`DoOperation`](super::DoOperation), too.
    const CMD: u8;

    /// Who may ask for it. The core checks it before the attributes, and not again for each batch.
    const FLAGS: OpFlags;

    /// What the attributes of a request must look like.
    ///
    /// See [`Policy`] for what makes a valid table. A command without attributes has
    /// `&[Policy::rejected()]`.
    const POLICY: &'static [Policy];

    /// What is kept from [`start`](Self::start) until the dump ends, and is dropped then.
    ///
    /// A dump ends when all of it was read, after an error, or when the netlink socket is closed.
    /// What the state holds is thus held for as long as the reader likes.
    type State: Send + 'static;

    /// Begins a dump.
    ///
    /// Runs in the context of the task that sent the request, and may sleep. What the requester may
    /// do by its capabilities, and what the numbers of descriptors and processes mean, must be
    /// found out here. An error is the reply to the request, and nothing else is called then.
    ///
    /// As `doit` of a single request, it must not wait for long.
    fn start(request: &Request<'_>) -> Result<Self::State>;

    /// Puts messages into a batch, one for each call of [`Batch::put`].
    ///
    /// Returns success when there are no more. When one does not fit, `put` fails with `EMSGSIZE`:
    /// returning this error asks to be called again with another batch, as long as there is any
    /// message in this one. So `state` must tell about messages that were put, and no others. Any
    /// other error, and `EMSGSIZE` with an empty batch, ends the dump and is reported behind the
    /// messages that there are.
    ///
    /// Runs in the context of whoever reads from the netlink socket, the first time in that of the
    /// sender, and may sleep. In any case the current task acts with the credentials that the
    /// sender had, so that security modules which look at these are asked about it and not about
    /// the reader; but all else is the reader's: descriptors, memory, namespaces, the credentials
    /// that it is seen with (`real_cred`), and what it is a child of. The family may have been
    /// unregistered in the meantime; the module stays.
    fn dumpit(state: &mut Self::State, batch: &mut Batch<'_>) -> Result;
}

/// Messages of a dump, as many as fit.
///
/// # Invariants
///
/// `skb` is what the core wants to have messages in, and `cb` belongs to it, from after a
/// successful start of the dump until its end. Both are valid for the lifetime `'a`, and used by
/// nobody else.
pub struct Batch<'a> {
    skb: NonNull<bindings::sk_buff>,
    cb: NonNull<bindings::netlink_callback>,
    _p: PhantomData<&'a mut bindings::netlink_callback>,
}

impl<'a> Batch<'a> {
    /// Puts a message into the batch that holds the attributes which `fill` puts.
    ///
    /// The message has the command and the sequence number of the request.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` if the batch has no room for the message, and whatever `fill` returns. Nothing of
    /// the message is left in the batch then.
    pub fn put<R, E: From<Error>>(
        &mut self,
        fill: impl FnOnce(&AttrWriter) -> Result<R, E>,
    ) -> Result<R, E> {
        let skb = self.skb.as_ptr();
        let info = self.info();

        // SAFETY: By the type invariants `skb` and `info` are valid, and so are the family and the
        // header that `info` points to.
        let hdr = unsafe {
            bindings::genlmsg_put(
                skb,
                (*info).snd_portid,
                (*info).snd_seq,
                (*info).family,
                bindings::NLM_F_MULTI as c_int,
                (*(*info).genlhdr).cmd,
            )
        };
        if hdr.is_null() {
            return Err(EMSGSIZE.into());
        }

        // SAFETY: By the type invariants `skb` is valid, and nobody else has it. An skb of netlink
        // is linear. It ends with the message that was just begun.
        let result = fill(unsafe { AttrWriter::from_ref(&self.skb) });

        match result {
            // SAFETY: `hdr` is still the header of the last message in `skb`, as a writer takes
            // nothing back that was put before; and by the type invariants `cb` is valid. That the
            // dump was interrupted is noted with the next message, which must not be taken back.
            Ok(_) => unsafe {
                bindings::genl_dump_check_consistent(self.cb.as_ptr(), hdr);
                bindings::genlmsg_end(skb, hdr);
            },
            // SAFETY: As above.
            Err(_) => unsafe { bindings::genlmsg_cancel(skb, hdr) },
        }
        result
    }

    /// Returns whether there is no message in the batch.
    ///
    /// What does not fit into an empty batch will never fit, unless room is
    /// [reserved](Self::reserve).
    pub fn is_empty(&self) -> bool {
        // SAFETY: By the type invariants `skb` is valid.
        unsafe { (*self.skb.as_ptr()).len == 0 }
    }

    /// Asks for later batches that have room for a message with `size` bytes of attributes.
    ///
    /// A batch is one piece of memory, and the dump cannot go on while there is none as large as
    /// that. The reader has to provide as large a buffer; without this, the one that it has used
    /// before is enough, or a page.
    pub fn reserve(&mut self, size: usize) {
        let size = size.saturating_add(NLMSG_HDRLEN + GENL_HDRLEN);
        // The core takes it as an `int`.
        let size = c_int::try_from(size).unwrap_or(c_int::MAX).unsigned_abs();
        let cb = self.cb.as_ptr();

        // SAFETY: By the type invariants `cb` is valid, and used by nobody else.
        unsafe { (*cb).min_dump_alloc = size.max((*cb).min_dump_alloc) };
    }

    /// Says as of which generation of the data the messages are that are put from now on.
    ///
    /// If it is another one than that of the messages before, the reader is told that the dump was
    /// interrupted, and is not consistent (`NLM_F_DUMP_INTR`).
    pub fn set_generation(&mut self, generation: NonZeroU32) {
        // SAFETY: By the type invariants `cb` is valid, and used by nobody else.
        unsafe { (*self.cb.as_ptr()).seq = generation.get() }
    }

    /// Returns the network namespace of the netlink socket that the request was sent from.
    pub fn net(&self) -> &'a Net {
        // SAFETY: By the type invariants `info` is valid. The namespace is that of a netlink socket
        // of a user, which keeps a reference to it, and is being read from.
        unsafe { Net::from_raw(bindings::genl_info_net(self.info())) }
    }

    /// Returns where to say more about an error than its number can.
    pub fn extack(&self) -> ExtAck<'_> {
        let cb = self.cb.as_ptr();

        // SAFETY: By the type invariants `cb` is valid. While messages are asked for, `extack` is
        // that of this batch. The dump keeps a reference to the request, whose header is `nlh`.
        unsafe { ExtAck::from_raw((*cb).extack, (*cb).nlh) }
    }

    /// Returns what the core knows about the request.
    fn info(&self) -> *mut bindings::genl_info {
        // SAFETY: By the type invariants `cb` is that of a dump that has been started.
        unsafe { info(self.cb.as_ptr()) }
    }
}

/// Returns what the core knows about the request for a dump (`genl_info_dump()`).
///
/// # Safety
///
/// `cb` must be what the core passes to an operation of a generic netlink family.
unsafe fn info(cb: *mut bindings::netlink_callback) -> *mut bindings::genl_info {
    // SAFETY: By the safety requirements `data` is what `genl_start()` has put there.
    unsafe { &raw mut (*(*cb).data.cast::<bindings::genl_dumpit_info>()).info }
}

/// What is kept from the start of a dump until its end.
struct Running<S> {
    /// Those of the sender of the request.
    cred: ARef<Credential>,
    state: S,
}

/// Returns where the pointer to what is kept of a dump is kept.
///
/// # Safety
///
/// `cb` must be valid.
unsafe fn kept<S>(cb: *mut bindings::netlink_callback) -> *mut *mut Running<S> {
    static_assert!(size_of::<*mut c_void>() <= bindings::NETLINK_CTX_SIZE as usize);
    static_assert!(
        align_of::<*mut c_void>() <= align_of::<bindings::netlink_callback__bindgen_ty_1>()
    );

    // SAFETY: By the safety requirements. The operations of a family may use `ctx` as they like,
    // and a pointer fits there.
    unsafe { (&raw mut (*cb).__bindgen_anon_1).cast() }
}

/// The C side of a [`DumpOperation`].
///
/// The core calls `start_callback` once. If that succeeds, it calls `dumpit_callback` any number of
/// times, from any thread, but one after the other (`nl_cb_mutex`), and in the end `done_callback`
/// once: when the dump is complete or has failed, or when the socket is closed. If `start_callback`
/// fails, none of the others is called.
pub(super) struct DumpAdapter<T: DumpOperation>(PhantomData<T>);

impl<T: DumpOperation> DumpAdapter<T> {
    /// # Safety
    ///
    /// Must only be called by the generic netlink core, as `start` of a `struct genl_split_ops`
    /// that [`Operation::dumpit`](super::Operation::dumpit) has made for the same `T`.
    pub(super) unsafe extern "C" fn start_callback(cb: *mut bindings::netlink_callback) -> c_int {
        from_result(|| {
            // SAFETY: The core passes the received message and what it has parsed from it, valid
            // for the duration of this call, and after strict validation with the policy that
            // `Operation::dumpit()` has put into the entry.
            let request = unsafe { Request::from_raw((*cb).skb, info(cb), T::POLICY) };

            let running = KBox::new(
                Running {
                    cred: Credential::current(),
                    state: T::start(&request)?,
                },
                GFP_KERNEL,
            )?;
            // SAFETY: The core passes a valid pointer.
            unsafe { kept::<T::State>(cb).write(KBox::into_raw(running)) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// As for [`start_callback`](Self::start_callback), as `dumpit`.
    pub(super) unsafe extern "C" fn dumpit_callback(
        skb: *mut bindings::sk_buff,
        cb: *mut bindings::netlink_callback,
    ) -> c_int {
        from_result(|| {
            // SAFETY: The core has called `start_callback()` with success and `done_callback()` not
            // yet, so that the pointer is to what that has kept, and calls this one at a time, so
            // that nobody else uses it.
            let running = unsafe { &mut *kept::<T::State>(cb).read() };
            // INVARIANT: The core passes pointers that are valid for the duration of this call.
            let mut batch = Batch {
                // SAFETY: As above.
                skb: unsafe { NonNull::new_unchecked(skb) },
                // SAFETY: As above.
                cb: unsafe { NonNull::new_unchecked(cb) },
                _p: PhantomData,
            };

            let state = &mut running.state;
            running
                .cred
                .run(|| T::dumpit(state, &mut batch))
                .map(|()| 0)
        })
    }

    /// # Safety
    ///
    /// As for [`start_callback`](Self::start_callback), as `done`.
    pub(super) unsafe extern "C" fn done_callback(cb: *mut bindings::netlink_callback) -> c_int {
        // SAFETY: The core has called `start_callback()` with success, which has put the pointer of
        // a `KBox` there, and calls this once, as the last.
        drop(unsafe { KBox::from_raw(kept::<T::State>(cb).read()) });
        0
    }
}
