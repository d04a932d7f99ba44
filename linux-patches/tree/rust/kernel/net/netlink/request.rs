// SPDX-License-Identifier: GPL-2.0

//! Requests to a generic netlink family, and the answers to them.
//!
//! C headers: [`include/net/genetlink.h`](srctree/include/net/genetlink.h) and
//! [`include/linux/netlink.h`](srctree/include/linux/netlink.h)

use crate::{
    alloc::AllocError,
    bindings,
    cred::Credential,
    error::{
        from_err_ptr,
        to_result, //
    },
    fmt::{
        self,
        Write, //
    },
    net::Net,
    num::casts::u32_as_usize,
    prelude::*, //
};

use super::{
    Attribute,
    Attributes,
    GenlMsg,
    NetlinkSkBuff,
    Policy,
    SockPriv,
    GENL_HDRLEN,
    NLMSG_ALIGNTO,
    NLMSG_HDRLEN, //
};

use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ops::Deref,
    ptr::NonNull, //
};

/// The room for a formatted message, with the NUL behind it.
const NETLINK_MAX_FMTMSG_LEN: usize = bindings::NETLINK_MAX_FMTMSG_LEN as usize;

/// A capability that a requester may have (`CAP_*`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Capability(c_int);

impl Capability {
    /// Administration of a mandatory security module.
    pub const MAC_ADMIN: Capability = Capability(bindings::CAP_MAC_ADMIN as c_int);

    /// Raw access to the network.
    pub const NET_RAW: Capability = Capability(bindings::CAP_NET_RAW as c_int);
}

/// A request to a generic netlink family (`struct sk_buff` and `struct genl_info`).
///
/// # Invariants
///
/// - `skb` is the received message, and `info` what the generic netlink core has made of it. Both
///   are valid, and do not change but for `info.extack` and what it points to, for the lifetime
///   `'a`.
/// - `message` is the whole message, beginning at `info.nlhdr`.
/// - `info.attrs` has as many entries as the table of policies if that is more than one.
pub struct Request<'a> {
    skb: NonNull<bindings::sk_buff>,
    info: NonNull<bindings::genl_info>,
    message: &'a [u8],
    attributes: Attributes<'a>,
}

impl<'a> Request<'a> {
    /// Creates a request from what the generic netlink core passes to a handler.
    ///
    /// # Safety
    ///
    /// For the lifetime `'a`, `skb` and `info` must be what the core passes to the `doit` or, by
    /// way of the `struct netlink_callback`, to the `start` of an operation without user header,
    /// whose messages it has validated strictly with `policies`.
    pub(super) unsafe fn from_raw(
        skb: *mut bindings::sk_buff,
        info: *mut bindings::genl_info,
        policies: &'static [Policy],
    ) -> Request<'a> {
        // SAFETY: By the safety requirements `info` is valid, and its `nlhdr` is that of a message
        // which the core has received.
        let message = unsafe { message((*info).nlhdr) };
        let stream = message
            .get(NLMSG_HDRLEN + GENL_HDRLEN..)
            .unwrap_or_default();

        // INVARIANT: By the safety requirements, and `genl_family_rcv_msg_attrs_parse()`.
        Request {
            // SAFETY: By the safety requirements `skb` is valid.
            skb: unsafe { NonNull::new_unchecked(skb) },
            // SAFETY: By the safety requirements `info` is valid.
            info: unsafe { NonNull::new_unchecked(info) },
            message,
            // SAFETY: By the safety requirements it has been validated. Messages begin at multiples
            // of `NLMSG_ALIGNTO`, and the length of the headers is one.
            attributes: unsafe { Attributes::from_validated(stream, policies) },
        }
    }

    /// Returns the attribute of type `ty`.
    ///
    /// If it is repeated, the last one counts, as everywhere in netlink; see
    /// [`Attributes::first_repeated`].
    pub fn attr(&self, ty: u16) -> Option<Attribute<'a>> {
        let index = usize::from(ty);

        // Without attributes that could be accepted, the core makes no table.
        if index == 0 || index >= self.attributes.policies().len() {
            return None;
        }
        // SAFETY: By the type invariants there are as many entries as policies, of which there is
        // more than one.
        let nla = unsafe { *(*self.info.as_ptr()).attrs.add(index) };

        if nla.is_null() {
            return None;
        }
        self.attributes.at(nla)
    }

    /// Returns all attributes.
    pub fn attributes(&self) -> Attributes<'a> {
        self.attributes
    }

    /// Returns the attributes in the order in which they were sent.
    pub fn attrs(&self) -> super::AttributeIter<'a> {
        self.attributes.iter()
    }

    /// Returns the network namespace of the netlink socket that the request was sent from.
    pub fn net(&self) -> &'a Net {
        // SAFETY: By the type invariants `info` is valid. The namespace is that of a netlink socket
        // of a user, which keeps a reference to it until the request has been handled.
        unsafe { Net::from_raw(bindings::genl_info_net(self.info.as_ptr())) }
    }

    /// Returns whether the requester has `capability` in the user namespace that owns the network
    /// namespace of the request.
    ///
    /// Both who opened the netlink socket and who sent the request must have it; only the sender
    /// if it has named the kernel as the destination.
    pub fn capable(&self, capability: Capability) -> bool {
        // SAFETY: By the type invariants the namespace is valid; its owner never changes, and is
        // valid as long as the namespace is.
        let user_ns = unsafe { (*self.net().as_ptr()).user_ns };

        // SAFETY: By the type invariants `skb` was received from a netlink socket.
        unsafe { bindings::netlink_ns_capable(self.skb.as_ptr(), user_ns, capability.0) }
    }

    /// Returns whether the requester has `capability` in the initial user namespace, as
    /// [`Self::capable`] does.
    pub fn capable_in_init_ns(&self, capability: Capability) -> bool {
        // SAFETY: By the type invariants `skb` was received from a netlink socket.
        unsafe { bindings::netlink_capable(self.skb.as_ptr(), capability.0) }
    }

    /// Returns whether who opened the netlink socket had the rights that the sender of the request
    /// has ([`Credential::has_rights_of`]).
    ///
    /// For handlers that act with the rights of the calling task, by a system call for instance:
    /// the opener may have got somebody with more of them to write to the socket. Who names the
    /// kernel as the destination knows what it writes to, and is not compared.
    pub fn opener_has_rights_of_sender(&self) -> bool {
        let sender = Credential::current();

        // SAFETY: By the type invariants `skb` was received from a netlink socket, so that it has
        // the parameters of one in its control block. The socket is that of the sender, who is in a
        // call that has a reference to its file.
        let opener = unsafe { bindings::netlink_skb_opener_cred(self.skb.as_ptr()) };
        // Mostly it is the same task.
        if opener.is_null() || core::ptr::eq(opener, sender.as_ptr()) {
            return true;
        }
        // SAFETY: As above, the file is open until the request is handled. It has a reference to
        // its credentials, and never gets others.
        unsafe { Credential::from_ptr(opener) }.has_rights_of(&sender)
    }

    /// Returns where to say more about the outcome than an error number can.
    pub fn extack(&self) -> ExtAck<'a> {
        // INVARIANT: By the type invariants of `Request`; a null pointer becomes `None`.
        ExtAck {
            // SAFETY: By the type invariants `info` is valid.
            extack: NonNull::new(unsafe { (*self.info.as_ptr()).extack }),
            message: self.message,
        }
    }

    /// Returns whether no other request follows in what was sent at once.
    ///
    /// Many can be sent at once, and the core keeps a lock until all of them are handled. Who may
    /// take long over a request does so only for the last one.
    pub fn is_last(&self) -> bool {
        // SAFETY: By the type invariants `skb` is valid. It begins with this request, as
        // `netlink_rcv_skb()` pulls each one when it has been handled.
        let len = u32_as_usize(unsafe { (*self.skb.as_ptr()).len });

        self.message.len().next_multiple_of(NLMSG_ALIGNTO) >= len
    }

    /// Begins a reply with room for `size` bytes of attributes.
    ///
    /// The reply has the command and the sequence number of the request. (What a dump says goes
    /// into its [`Batch`](super::Batch)es.)
    pub fn reply(&self, size: usize) -> Result<Reply<'a>> {
        let skb = NetlinkSkBuff::new(size, GFP_KERNEL)?;

        // SAFETY: `skb` is an empty message, and by the type invariants `info` is valid, with the
        // family and the header that a reply is made from.
        let hdr = unsafe { bindings::genlmsg_iput(skb.skb.as_ptr(), self.info.as_ptr()) };
        let hdr = NonNull::new(hdr).ok_or(AllocError)?;

        // INVARIANT: `hdr` is the header that was just put into `skb`.
        let msg = GenlMsg { skb, hdr };

        // INVARIANT: By the type invariants of `Request`.
        Ok(Reply {
            msg,
            info: self.info,
            _p: PhantomData,
        })
    }
}

/// A single request, which is answered at once.
///
/// All that a [`Request`] has is there, too.
///
/// # Invariants
///
/// The family of the request keeps a `P` for each netlink socket.
pub struct DoRequest<'a, P = ()> {
    request: Request<'a>,
    _p: PhantomData<P>,
}

impl<'a, P: SockPriv> DoRequest<'a, P> {
    /// Makes a single request of a request.
    ///
    /// # Safety
    ///
    /// The family must keep a `P` for each netlink socket.
    pub(super) unsafe fn new(request: Request<'a>) -> Self {
        // INVARIANT: The caller promises just this.
        DoRequest {
            request,
            _p: PhantomData,
        }
    }

    /// Returns what the family keeps for the netlink socket that the request was sent from.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is none yet, and none can be made.
    pub fn sock_priv(&self) -> Result<Pin<&P>> {
        // The core makes none without a size.
        const { assert!(size_of::<P>() != 0) };

        // SAFETY: By the type invariants, the family keeps a `P` for each netlink socket.
        let slot = unsafe { self.request.sock_priv_slot() }?;

        // SAFETY: By the type invariants, the family has made a `P` there. It goes when the netlink
        // socket is closed or the family is unregistered, neither of which happens before the
        // request is handled. Nobody moves it.
        Ok(unsafe { Pin::new_unchecked(&*slot.cast::<P>()) })
    }
}

impl Request<'_> {
    /// Returns where the family keeps what it keeps for the netlink socket.
    ///
    /// It is no part of [`DoRequest::sock_priv`], which is compiled for each family: a module could
    /// not call the C function, which is not exported.
    ///
    /// # Safety
    ///
    /// The family must keep something for each netlink socket.
    #[inline(never)]
    unsafe fn sock_priv_slot(&self) -> Result<*mut c_void> {
        // SAFETY: By the type invariants, `skb` was received from a netlink socket, so that this is
        // what its control block holds.
        let sk = unsafe {
            (*(&raw const (*self.skb.as_ptr()).cb).cast::<bindings::netlink_skb_parms>()).sk
        };

        // SAFETY: By the type invariants, `info` is valid, and so is its family, which is
        // registered while it handles requests. The netlink socket is open for as long. The caller
        // says that the family keeps something.
        from_err_ptr(unsafe {
            bindings::genl_sk_priv_get((*self.info.as_ptr()).family.cast_mut(), sk)
        })
    }
}

impl<'a, P> Deref for DoRequest<'a, P> {
    type Target = Request<'a>;

    fn deref(&self) -> &Request<'a> {
        &self.request
    }
}

/// A reply to a request being constructed.
///
/// It is dropped without a trace unless it is sent.
///
/// # Invariants
///
/// `info` is valid for the lifetime `'a`.
pub struct Reply<'a> {
    msg: GenlMsg,
    info: NonNull<bindings::genl_info>,
    _p: PhantomData<&'a bindings::genl_info>,
}

impl Reply<'_> {
    /// Sends the reply to where the request came from.
    ///
    /// # Errors
    ///
    /// The reply is gone, whether this succeeds or not. It fails if the requester has closed its
    /// socket (`ECONNREFUSED`), or has no room for the reply in its receive buffer (`EAGAIN`).
    pub fn send(self) -> Result {
        let msg = ManuallyDrop::new(self.msg);

        // SAFETY: `hdr` is the header in `skb` by the type invariants of `GenlMsg`, and `info` is
        // valid by those of `Reply`. `genlmsg_reply()` takes over the `skb` even when it fails,
        // which is why `msg` is not dropped.
        unsafe {
            bindings::genlmsg_end(msg.skb.skb.as_ptr(), msg.hdr.as_ptr());
            to_result(bindings::genlmsg_reply(
                msg.skb.skb.as_ptr(),
                self.info.as_ptr(),
            ))
        }
    }
}

impl Deref for Reply<'_> {
    type Target = GenlMsg;

    fn deref(&self) -> &GenlMsg {
        &self.msg
    }
}

/// What the requester is told about the outcome of a request beyond an error number
/// (`struct netlink_ext_ack`).
///
/// A requester that has not asked for it (`NETLINK_EXT_ACK`) sees nothing of it.
///
/// # Invariants
///
/// - `extack`, if there is one, is valid for the lifetime `'a`, and used by one thread only.
/// - `message` is the message that is being answered.
#[derive(Clone, Copy)]
pub struct ExtAck<'a> {
    extack: Option<NonNull<bindings::netlink_ext_ack>>,
    message: &'a [u8],
}

/// Returns the bytes of a received message.
///
/// # Safety
///
/// For the lifetime `'a`, `nlhdr` must be the header of a message that the core has received.
unsafe fn message<'a>(nlhdr: *const bindings::nlmsghdr) -> &'a [u8] {
    // SAFETY: By the safety requirements the header is valid.
    let len = u32_as_usize(unsafe { (*nlhdr).nlmsg_len });

    // SAFETY: `netlink_rcv_skb()` has checked that there are `nlmsg_len` bytes from `nlhdr` on, and
    // an skb of netlink is linear. Nobody writes to them any more.
    unsafe { core::slice::from_raw_parts(nlhdr.cast::<u8>(), len) }
}

impl<'a> ExtAck<'a> {
    /// Creates what tells the requester more about a part of a dump.
    ///
    /// # Safety
    ///
    /// For the lifetime `'a`, `extack` must be null or valid and used by this thread only, and
    /// `nlhdr` must be the header of a message that the core has received.
    pub(super) unsafe fn from_raw(
        extack: *mut bindings::netlink_ext_ack,
        nlhdr: *const bindings::nlmsghdr,
    ) -> ExtAck<'a> {
        // INVARIANT: By the safety requirements.
        ExtAck {
            extack: NonNull::new(extack),
            // SAFETY: By the safety requirements.
            message: unsafe { message(nlhdr) },
        }
    }

    /// Sets the message (`NL_SET_ERR_MSG()`).
    pub fn message(&self, message: &'static CStr) {
        // SAFETY: The string is NUL-terminated.
        unsafe { bindings::do_trace_netlink_extack(message.as_char_ptr()) };

        if let Some(extack) = self.extack {
            // SAFETY: By the type invariants `extack` is valid. The string is valid for ever, or,
            // if it belongs to a module, at least until the family has been unregistered, which
            // waits for the acknowledgment of this request, or the end of the dump, which keeps a
            // reference to the module.
            unsafe { (*extack.as_ptr())._msg = message.as_char_ptr() };
        }
    }

    /// Sets a formatted message (`NL_SET_ERR_MSG_FMT()`).
    ///
    /// What does not fit into 79 bytes is cut off.
    pub fn message_fmt(&self, args: fmt::Arguments<'_>) {
        let Some(extack) = self.extack else {
            return;
        };
        let extack = extack.as_ptr();

        // What is formatted may come here again, and so writes to a buffer of its own.
        let mut text = [0; NETLINK_MAX_FMTMSG_LEN];
        // An error means that the end was cut off.
        let _ = Truncated::new(&mut text).write_fmt(args);

        // SAFETY: By the type invariants `extack` is valid, and nobody has a reference to its
        // buffer, which is as long as `text`. `Truncated` has put a NUL into it, and `_msg` may
        // point to it, as both live in the same structure.
        unsafe {
            let message = (&raw mut (*extack)._msg_buf).cast::<c_char>();

            message
                .cast::<u8>()
                .copy_from_nonoverlapping(text.as_ptr(), text.len());
            bindings::do_trace_netlink_extack(message);
            (*extack)._msg = message;
        }
    }

    /// Tells the requester which attribute is to blame (`NL_SET_BAD_ATTR()`).
    ///
    /// Does nothing if the attribute is not one of the request.
    pub fn bad_attr(&self, attr: &Attribute<'_>) {
        if let (Some(extack), Some(nla)) = (self.extack, self.own(attr)) {
            // SAFETY: By the type invariants `extack` is valid. The attribute is in the request,
            // which outlives it.
            unsafe {
                (*extack.as_ptr()).bad_attr = nla;
                (*extack.as_ptr()).policy = core::ptr::null();
            }
        }
    }

    /// Tells the requester which attribute is missing (`NL_SET_ERR_ATTR_MISS()`).
    pub fn missing(&self, ty: u16) {
        self.set_missing(core::ptr::null(), ty);
    }

    /// Tells the requester which attribute is missing in a nest.
    ///
    /// Does nothing if the nest is not one of the request.
    pub fn missing_in(&self, nest: &Attribute<'_>, ty: u16) {
        if let Some(nla) = self.own(nest) {
            self.set_missing(nla, ty);
        }
    }

    /// Sets which attribute is missing, and in which nest, or null for none.
    ///
    /// `nest` must be null or an attribute of the request.
    fn set_missing(&self, nest: *const bindings::nlattr, ty: u16) {
        if let Some(extack) = self.extack {
            // SAFETY: By the type invariants `extack` is valid. The nest is in the request, which
            // outlives it.
            unsafe {
                (*extack.as_ptr()).miss_nest = nest;
                (*extack.as_ptr()).miss_type = ty;
            }
        }
    }

    /// Returns the address of `attr` if it is an attribute of the request.
    fn own(&self, attr: &Attribute<'_>) -> Option<*const bindings::nlattr> {
        let nla = attr.as_ptr();

        self.message
            .as_ptr_range()
            .contains(&nla.cast())
            .then_some(nla)
    }
}

/// A NUL-terminated string in a buffer, cut off where the buffer ends.
///
/// # Invariants
///
/// If the buffer is not empty, `used` is less than its length, and the byte at `used` is a NUL.
struct Truncated<'a> {
    buffer: &'a mut [u8],
    used: usize,
}

impl<'a> Truncated<'a> {
    /// Makes an empty string in `buffer`.
    fn new(buffer: &'a mut [u8]) -> Truncated<'a> {
        if let Some(first) = buffer.first_mut() {
            *first = 0;
        }
        // INVARIANT: The first byte of a buffer that is not empty is a NUL.
        Truncated { buffer, used: 0 }
    }
}

impl Write for Truncated<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let free = self.buffer.get_mut(self.used..).unwrap_or_default();
        let room = free.len().saturating_sub(1);

        // Cut between characters only.
        let mut len = s.len().min(room);
        while !s.is_char_boundary(len) {
            len -= 1;
        }

        for (to, from) in free.iter_mut().zip(s.bytes().take(len)) {
            *to = from;
        }
        if let Some(end) = free.get_mut(len) {
            *end = 0;
        }
        // INVARIANT: A NUL was written behind the `len` bytes, within the buffer.
        self.used += len;

        if len == s.len() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}

#[cfg(CONFIG_RUST_NETLINK_KUNIT_TEST)]
#[macros::kunit_tests(rust_netlink_extack)]
mod tests {
    use super::*;

    /// Formats into a buffer of `N` bytes, and returns what is in it.
    fn truncated<const N: usize>(args: fmt::Arguments<'_>) -> ([u8; N], bool) {
        let mut buffer = [b'#'; N];
        let complete = Truncated::new(&mut buffer).write_fmt(args).is_ok();
        (buffer, complete)
    }

    #[test]
    fn truncation() {
        assert_eq!(truncated(fmt!("")), (*b"\0###", true));
        assert_eq!(truncated(fmt!("{}", 12)), (*b"12\0#", true));
        assert_eq!(truncated(fmt!("{}{}", 1, 23)), (*b"123\0", true));
        assert_eq!(truncated(fmt!("{}", 1234)), (*b"123\0", false));
        // Nothing follows what was cut off.
        assert_eq!(truncated(fmt!("{}{}", 1234, 5)), (*b"123\0", false));
        assert_eq!(truncated(fmt!("{}{}{}", 1, "", 2)), (*b"12\0#", true));
        // Characters are not cut in two: this one has two bytes.
        assert_eq!(truncated(fmt!("ab{}", "\u{e9}")), (*b"ab\0#", false));
        assert_eq!(truncated(fmt!("a{}", "\u{e9}")), (*b"a\xc3\xa9\0", true));
        // Buffers without room.
        assert_eq!(truncated(fmt!("a")), (*b"\0", false));
        assert_eq!(truncated(fmt!("")), (*b"\0", true));
        assert_eq!(truncated(fmt!("a")), ([], false));
        assert_eq!(truncated(fmt!("")), ([], true));
    }

    /// Returns the message in `extack`.
    fn message(extack: &bindings::netlink_ext_ack) -> &CStr {
        // SAFETY: The tests set a message before.
        unsafe { CStr::from_char_ptr(extack._msg) }
    }

    #[test]
    fn messages() {
        let mut raw: bindings::netlink_ext_ack = pin_init::zeroed();
        let extack = ExtAck {
            extack: NonNull::new(&raw mut raw),
            message: &[],
        };

        extack.message(c"plain");
        assert_eq!(message(&raw), c"plain");

        extack.message_fmt(fmt!("port {} of {}", 80, "eth0"));
        assert_eq!(message(&raw), c"port 80 of eth0");
        assert!(core::ptr::eq(raw._msg, (&raw const raw._msg_buf).cast()));

        extack.message_fmt(fmt!("{:>100}", "right"));
        assert_eq!(message(&raw).count_bytes(), 79);
        assert!(message(&raw).to_bytes().iter().all(|b| *b == b' '));

        // A shorter one leaves nothing of the longer one.
        extack.message_fmt(fmt!("x"));
        assert_eq!(message(&raw), c"x");
    }

    #[test]
    fn attributes() -> Result {
        #[repr(align(4))]
        struct Aligned([u8; 16]);

        let mut bytes = Aligned([0; 16]);
        bytes.0[0..2].copy_from_slice(&8u16.to_ne_bytes());
        bytes.0[2..4].copy_from_slice(&1u16.to_ne_bytes());
        bytes.0[8..10].copy_from_slice(&8u16.to_ne_bytes());
        bytes.0[10..12].copy_from_slice(&2u16.to_ne_bytes());
        // SAFETY: The stream is aligned, and consists of two attributes.
        let attributes = unsafe { Attributes::from_validated(&bytes.0, &[]) };
        let first = attributes.get(1).ok_or(EINVAL)?;
        let second = attributes.get(2).ok_or(EINVAL)?;

        let mut raw: bindings::netlink_ext_ack = pin_init::zeroed();
        // The message has the second attribute only.
        let extack = ExtAck {
            extack: NonNull::new(&raw mut raw),
            message: &bytes.0[8..],
        };

        extack.bad_attr(&first);
        assert!(raw.bad_attr.is_null());
        extack.bad_attr(&second);
        assert!(core::ptr::eq(raw.bad_attr, second.as_ptr()));

        extack.missing_in(&first, 7);
        assert_eq!(raw.miss_type, 0);
        extack.missing_in(&second, 7);
        assert_eq!(raw.miss_type, 7);
        assert!(core::ptr::eq(raw.miss_nest, second.as_ptr()));
        extack.missing(8);
        assert_eq!(raw.miss_type, 8);
        assert!(raw.miss_nest.is_null());

        // Nobody asked.
        let extack = ExtAck {
            extack: None,
            message: &bytes.0,
        };
        extack.message(c"plain");
        extack.message_fmt(fmt!("{}", 1));
        extack.bad_attr(&first);
        extack.missing(1);
        extack.missing_in(&first, 1);
        Ok(())
    }
}
