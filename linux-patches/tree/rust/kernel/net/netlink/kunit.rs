// SPDX-License-Identifier: GPL-2.0

//! KUnit tests of messages, and of a family that is talked to through netlink sockets.

use super::*;
use crate::{
    num::casts::u32_as_usize,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};
use core::convert::Infallible;

mod dump;

const CMD_ECHO: u8 = 1;
const CMD_FAIL: u8 = 2;
const CMD_BARE: u8 = 200;

const A_U32: u16 = 1;
const A_UINT: u16 = 2;
const A_SINT: u16 = 3;
const A_PORT: u16 = 4;
const A_NAME: u16 = 5;
const A_BYTES: u16 = 6;
const A_FLAG: u16 = 7;
const A_NEST: u16 = 8;
const A_RESERVED: u16 = 9;

const N_S32: u16 = 1;

static NEST_POLICY: [Policy; 2] = [Policy::rejected(), Policy::s32()];

const POLICY: &[Policy] = &[
    Policy::rejected(),
    Policy::u32(),
    Policy::uint(),
    Policy::sint(),
    Policy::be16(),
    Policy::nul_string(15),
    Policy::binary_max(6),
    Policy::binary_max(1),
    Policy::nested(&NEST_POLICY),
    Policy::rejected(),
];

/// How many [`Kept`] there are.
static KEPT: Atomic<i32> = Atomic::new(0);

/// What the family keeps for each netlink socket: how often [`Bare`] was asked for.
struct Kept(Atomic<i32>);

impl SockPriv for Kept {
    fn new() -> impl PinInit<Self, Infallible> {
        KEPT.fetch_add(1, Relaxed);
        Kept(Atomic::new(0))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        KEPT.fetch_sub(1, Relaxed);
    }
}

/// How often [`Bare`] may be asked for.
const BARE_MAX: i32 = 4;

/// Returns the attributes that came, in the order in which they came.
struct Echo;

impl DoOperation for Echo {
    const CMD: u8 = CMD_ECHO;
    const FLAGS: OpFlags = OpFlags::UNS_ADMIN_PERM;
    const POLICY: &'static [Policy] = POLICY;

    type SockPriv = Kept;

    fn doit(request: &DoRequest<'_, Kept>) -> Result {
        let right_request = *request.net() == *kernel::net::Net::init_net()
            && request.capable(Capability::NET_RAW)
            && request.capable_in_init_ns(Capability::MAC_ADMIN);
        if !right_request {
            return Err(EBADMSG);
        }

        let reply = request.reply(GENLMSG_DEFAULT_SIZE)?;
        for attr in request.attrs() {
            // Of repeated attributes, the last one is returned.
            let ty = attr.type_();
            let last = request.attr(ty).ok_or(EBADMSG)?;

            match ty {
                A_U32 => reply.put_u32(ty, last.as_u32()?)?,
                A_UINT => reply.put_uint(ty, last.as_uint()?)?,
                A_SINT => reply.put_sint(ty, last.as_sint()?)?,
                A_PORT => reply.put_be16(ty, last.as_be16()?)?,
                A_NAME => reply.put_string(ty, last.as_str()?)?,
                A_BYTES => reply.put_bytes(ty, last.as_bytes())?,
                A_FLAG => reply.put_flag(ty)?,
                A_NEST => reply.nest(ty, |nest| {
                    last.nested(&NEST_POLICY)?
                        .iter()
                        .try_for_each(|attr| nest.put_s32(attr.type_(), attr.as_s32()?))
                })?,
                _ => return Err(EBADMSG),
            }
        }
        reply.send()
    }
}

/// Fails in several ways.
struct Fail;

impl DoOperation for Fail {
    const CMD: u8 = CMD_FAIL;
    const FLAGS: OpFlags = OpFlags::NONE;
    const POLICY: &'static [Policy] = POLICY;

    type SockPriv = Kept;

    fn doit(request: &DoRequest<'_, Kept>) -> Result {
        // A reply that is not sent leaves nothing behind.
        let reply = request.reply(GENLMSG_DEFAULT_SIZE)?;
        reply.put_u32(A_U32, 1)?;

        let extack = request.extack();
        if let Some(attr) = request.attributes().first_repeated(&[]) {
            extack.message(c"repeated");
            extack.bad_attr(&attr);
            return Err(EEXIST);
        }
        let Some(attr) = request.attr(A_U32) else {
            extack.missing(A_U32);
            return Err(EINVAL);
        };
        if let Some(nest) = request.attr(A_NEST) {
            if nest.nested(&NEST_POLICY)?.get(N_S32).is_none() {
                extack.missing_in(&nest, N_S32);
                return Err(ENODATA);
            }
        }
        extack.message_fmt(fmt!("not {:#x}, {:0100}", attr.as_u32()?, 0));
        extack.bad_attr(&attr);
        Err(ERANGE)
    }
}

/// Accepts no attributes, and returns none.
struct Bare;

impl DoOperation for Bare {
    const CMD: u8 = CMD_BARE;
    const FLAGS: OpFlags = OpFlags::UNS_ADMIN_PERM;
    const POLICY: &'static [Policy] = &[Policy::rejected()];

    type SockPriv = Kept;

    fn doit(request: &DoRequest<'_, Kept>) -> Result {
        if request.attrs().next().is_some()
            || request.attr(0).is_some()
            || request.attr(1).is_some()
        {
            return Err(EBADMSG);
        }
        if request.sock_priv()?.0.fetch_add(1, Relaxed) >= BARE_MAX {
            return Err(EOVERFLOW);
        }
        Ok(())
    }
}

static OPERATIONS: [Operation<Kept>; 4] = [
    Operation::doit::<Echo>(),
    Operation::doit::<Fail>(),
    Operation::dumpit::<dump::Count>(),
    Operation::doit::<Bare>(),
];

static FAMILY: Family = Family::const_new(
    kernel::module::this_module::<crate::LocalModule>(),
    b"rust-kunit\0",
    3,
    &[],
)
.with_operations(&OPERATIONS);

/// A request being made: the attributes that go behind the headers.
fn message(cmd: u8) -> Result<GenlMsg> {
    Ok(NetlinkSkBuff::new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL)?.genlmsg_put(0, 7, &FAMILY, cmd)?)
}

impl GenlMsg {
    /// Returns the bytes of the message.
    fn bytes(&self) -> &[u8] {
        let skb = self.skb.skb.as_ptr();
        // SAFETY: A netlink message is linear, so that its `len` bytes are at `data`; what was put
        // there is initialised.
        unsafe { core::slice::from_raw_parts((*skb).data, u32_as_usize((*skb).len)) }
    }
}

/// Returns the attributes behind the headers of a generic netlink message.
fn attributes(bytes: &[u8]) -> Attributes<'_> {
    let stream = bytes.get(NLMSG_HDRLEN + GENL_HDRLEN..).unwrap_or_default();
    // SAFETY: The tests pass messages that the kernel has made, at aligned addresses.
    unsafe { Attributes::from_validated(stream, &[]) }
}

/// A netlink socket in the kernel.
struct Socket(NonNull<bindings::socket>);

impl Socket {
    /// Opens a socket that wants all that there is to know about errors.
    fn new() -> Result<Socket> {
        let mut socket = core::ptr::null_mut();

        // SAFETY: The initial namespace and the place for the result are valid.
        to_result(unsafe {
            bindings::sock_create_kern(
                &raw mut bindings::init_net,
                bindings::AF_NETLINK as c_int,
                bindings::sock_type_SOCK_RAW as c_int,
                bindings::NETLINK_GENERIC as c_int,
                &raw mut socket,
            )
        })?;
        let socket = Socket(NonNull::new(socket).ok_or(EINVAL)?);

        let mut on: c_int = 1;
        let mut optval = bindings::sockptr_t {
            __bindgen_anon_1: bindings::sockptr_t__bindgen_ty_1 {
                kernel: (&raw mut on).cast(),
            },
            ..pin_init::zeroed()
        };
        optval.set_is_kernel(true);
        // SAFETY: The socket is valid, and so are its operations.
        let setsockopt = unsafe { (*(*socket.0.as_ptr()).ops).setsockopt }.ok_or(EINVAL)?;
        // SAFETY: The socket is valid, and `optval` refers to an `int`.
        to_result(unsafe {
            setsockopt(
                socket.0.as_ptr(),
                bindings::SOL_NETLINK as c_int,
                bindings::NETLINK_EXT_ACK as c_int,
                optval,
                size_of::<c_int>() as u32,
            )
        })?;
        Ok(socket)
    }

    /// Sends a request, which is handled before this returns.
    fn send(&self, mut bytes: KVec<u8>) -> Result {
        let mut to = bindings::sockaddr_nl {
            nl_family: bindings::AF_NETLINK as u16,
            ..pin_init::zeroed()
        };
        let mut header = bindings::msghdr {
            msg_name: (&raw mut to).cast(),
            msg_namelen: size_of_val(&to) as c_int,
            ..Default::default()
        };
        let mut vec = bindings::kvec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: bytes.len(),
        };

        // SAFETY: All pointers are valid during the call.
        to_result(unsafe {
            bindings::kernel_sendmsg(self.0.as_ptr(), &mut header, &mut vec, 1, bytes.len())
        })
    }

    /// Receives a message that is there.
    fn receive<'a>(&self, buffer: &'a mut Buffer) -> Result<&'a [u8]> {
        self.receive_into(&mut buffer.0)
    }

    /// Receives what is there, one or more messages, into any buffer.
    fn receive_into<'a>(&self, buffer: &'a mut [u8]) -> Result<&'a [u8]> {
        let mut header = bindings::msghdr::default();
        let mut vec = bindings::kvec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        };

        // SAFETY: All pointers are valid during the call.
        let len = unsafe {
            bindings::kernel_recvmsg(
                self.0.as_ptr(),
                &mut header,
                &mut vec,
                1,
                buffer.len(),
                bindings::MSG_DONTWAIT as c_int,
            )
        };
        to_result(len)?;
        buffer.get(..len as usize).ok_or(EMSGSIZE)
    }

    /// Receives an error, or an acknowledgment.
    fn outcome<'a>(&self, buffer: &'a mut Buffer) -> Result<Outcome<'a>> {
        let bytes = self.receive(buffer)?;

        let nlmsg_type = (bindings::NLMSG_ERROR as u16).to_ne_bytes();
        if bytes.get(4..6) != Some(&nlmsg_type[..]) {
            return Err(EBADMSG);
        }
        // What was asked is repeated behind the error, but for the payload of what succeeded.
        let error = field(bytes, NLMSG_HDRLEN)? as i32;
        let asked = if error == 0 {
            NLMSG_HDRLEN
        } else {
            u32_as_usize(field(bytes, NLMSG_HDRLEN + 4)?)
        };
        let stream = bytes
            .get(NLMSG_HDRLEN + 4 + asked.next_multiple_of(4)..)
            .unwrap_or_default();

        Ok(Outcome {
            error,
            // SAFETY: The kernel has made this stream, at an aligned address.
            more: unsafe { Attributes::from_validated(stream, &[]) },
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // SAFETY: The socket is owned, and not used any more.
        unsafe { bindings::sock_release(self.0.as_ptr()) };
    }
}

/// What a message is received into.
#[repr(C, align(8))]
struct Buffer([u8; 1024]);

/// What the kernel says about a request (`struct nlmsgerr`).
struct Outcome<'a> {
    error: i32,
    more: Attributes<'a>,
}

impl Outcome<'_> {
    fn message(&self) -> Result<&CStr> {
        self.more
            .get(bindings::nlmsgerr_attrs_NLMSGERR_ATTR_MSG as u16)
            .ok_or(ENODATA)?
            .as_str()
    }

    fn number(&self, ty: u32) -> Result<u32> {
        self.more.get(ty as u16).ok_or(ENODATA)?.as_u32()
    }

    fn offset(&self) -> Result<u32> {
        self.number(bindings::nlmsgerr_attrs_NLMSGERR_ATTR_OFFS)
    }

    fn missing(&self) -> Result<u32> {
        self.number(bindings::nlmsgerr_attrs_NLMSGERR_ATTR_MISS_TYPE)
    }

    fn missing_in(&self) -> Result<u32> {
        self.number(bindings::nlmsgerr_attrs_NLMSGERR_ATTR_MISS_NEST)
    }
}

/// Returns the `u32` at `offset`.
fn field(bytes: &[u8], offset: usize) -> Result<u32> {
    let bytes = bytes.get(offset..).ok_or(EBADMSG)?;
    Ok(u32::from_ne_bytes(*bytes.first_chunk().ok_or(EBADMSG)?))
}

/// Returns the `u16` at `offset`.
fn short_field(bytes: &[u8], offset: usize) -> Result<u16> {
    let bytes = bytes.get(offset..).ok_or(EBADMSG)?;
    Ok(u16::from_ne_bytes(*bytes.first_chunk().ok_or(EBADMSG)?))
}

/// Makes a request of `msg`, followed by `tail`.
fn request(msg: &GenlMsg, tail: &[u8]) -> Result<KVec<u8>> {
    request_with(bindings::NLM_F_ACK, msg, tail)
}

/// Makes a request with these flags.
fn request_with(flags: u32, msg: &GenlMsg, tail: &[u8]) -> Result<KVec<u8>> {
    let mut bytes = KVec::new();
    bytes.extend_from_slice(msg.bytes(), GFP_KERNEL)?;
    bytes.extend_from_slice(tail, GFP_KERNEL)?;

    let len = bytes.len() as u32;
    let flags = (bindings::NLM_F_REQUEST | flags) as u16;
    for (to, from) in bytes.iter_mut().zip(len.to_ne_bytes()) {
        *to = from;
    }
    for (to, from) in bytes.iter_mut().skip(6).zip(flags.to_ne_bytes()) {
        *to = from;
    }
    Ok(bytes)
}

/// Runs `test` while the family is registered.
fn with_family(test: impl FnOnce(&Socket) -> Result) -> Result {
    let _registration = FAMILY.register()?;
    test(&Socket::new()?)
}

/// Puts one attribute of each type into a message.
fn put_all(msg: &AttrWriter) -> Result {
    msg.put_u32(A_U32, 0x8000_0001)?;
    msg.put_uint(A_UINT, 1 << 40)?;
    msg.put_sint(A_SINT, -1)?;
    msg.put_be16(A_PORT, 0x1234)?;
    msg.put_string(A_NAME, c"eth0")?;
    msg.put_bytes(A_BYTES, b"\x01\x02\x03\x04\x05\x06")?;
    msg.put_flag(A_FLAG)?;
    msg.nest(A_NEST, |nest| nest.put_s32(N_S32, i32::MIN))
}

#[macros::kunit_tests(rust_netlink_messages)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_all_types() -> Result {
        let msg = message(CMD_ECHO)?;
        put_all(&msg)?;
        let sent = attributes(msg.bytes());
        let get = |ty| sent.get(ty).ok_or(ENODATA);

        assert_eq!(get(A_U32)?.as_u32()?, 0x8000_0001);
        assert_eq!(get(A_UINT)?.as_bytes().len(), 8);
        assert_eq!(get(A_UINT)?.as_uint()?, 1 << 40);
        assert_eq!(get(A_SINT)?.as_bytes().len(), 4);
        assert_eq!(get(A_SINT)?.as_sint()?, -1);
        assert_eq!(get(A_PORT)?.as_bytes(), [0x12, 0x34]);
        assert_eq!(get(A_NAME)?.as_bytes(), *b"eth0\0");
        assert_eq!(get(A_BYTES)?.as_bytes(), [1, 2, 3, 4, 5, 6]);
        assert!(get(A_FLAG)?.as_bytes().is_empty());
        let nest = get(A_NEST)?.nested(&NEST_POLICY)?;
        assert_eq!(nest.get(N_S32).ok_or(ENODATA)?.as_s32()?, i32::MIN);
        Ok(())
    }

    #[test]
    fn numbers_take_as_little_as_they_can() -> Result {
        let msg = message(CMD_ECHO)?;
        for (value, len) in [
            (0, 4),
            (u64::from(u32::MAX), 4),
            (1 << 32, 8),
            (u64::MAX, 8),
        ] {
            msg.put_uint(A_UINT, value)?;
            let attr = attributes(msg.bytes()).get(A_UINT).ok_or(ENODATA)?;
            assert_eq!((attr.as_uint()?, attr.as_bytes().len()), (value, len));
        }
        for (value, len) in [
            (0, 4),
            (i64::from(i32::MIN), 4),
            (i64::from(i32::MAX), 4),
            (i64::from(i32::MIN) - 1, 8),
            (i64::from(i32::MAX) + 1, 8),
            (i64::MIN, 8),
        ] {
            msg.put_sint(A_SINT, value)?;
            let attr = attributes(msg.bytes()).get(A_SINT).ok_or(ENODATA)?;
            assert_eq!((attr.as_sint()?, attr.as_bytes().len()), (value, len));
        }
        Ok(())
    }

    #[test]
    fn several_at_once() -> Result {
        let (one, other) = (message(CMD_ECHO)?, message(CMD_ECHO)?);
        one.put_u32(A_U32, 0x8000_0001)?;
        one.put_u32(A_UINT, 7)?;
        other.put_u32s(&[])?;
        other.put_u32s(&[U32Attr::new(A_U32, 0x8000_0001), U32Attr::new(A_UINT, 7)])?;
        assert_eq!(one.bytes(), other.bytes());
        Ok(())
    }

    #[test]
    fn padding_is_zero() -> Result {
        let msg = message(CMD_ECHO)?;
        // What was there before is taken back, but stays in the memory.
        let result: Result = msg.nest(A_NEST, |nest| {
            nest.put_bytes(A_BYTES, &[0xff; 32])?;
            Err(ENOENT)
        });
        assert_eq!(result, Err(ENOENT));

        for bytes in [&b"\x01"[..], b"\x01\x02", b"\x01\x02\x03"] {
            msg.put_bytes(A_BYTES, bytes)?;
            let mut padded = [0; 4];
            for (to, from) in padded.iter_mut().zip(bytes) {
                *to = *from;
            }
            assert!(msg.bytes().ends_with(&padded));
        }
        Ok(())
    }

    #[test]
    fn no_room() -> Result {
        let msg = NetlinkSkBuff::new(0, GFP_KERNEL)?.genlmsg_put(0, 0, &FAMILY, CMD_ECHO)?;
        // An allocation may be larger than what was asked for.
        while msg.put_flag(A_FLAG).is_ok() {}

        let len = msg.bytes().len();
        assert_eq!(msg.put_u32(A_U32, 1), Err(EMSGSIZE));
        assert_eq!(msg.put_u32s(&[U32Attr::new(A_U32, 1)]), Err(EMSGSIZE));
        assert_eq!(msg.put_bytes(A_BYTES, &[]), Err(EMSGSIZE));
        assert_eq!(msg.nest(A_NEST, |_| Ok(())), Err(EMSGSIZE));
        assert_eq!(msg.bytes().len(), len);
        Ok(())
    }

    #[test]
    fn failed_nests_leave_nothing() -> Result {
        let msg = message(CMD_ECHO)?;
        msg.put_flag(A_FLAG)?;
        let len = msg.bytes().len();

        let result: Result = msg.nest(A_NEST, |nest| {
            nest.put_u32(N_S32, 1)?;
            nest.nest(A_NEST, |nest| nest.put_u32(N_S32, 2))?;
            Err(ENOENT)
        });
        assert_eq!(result, Err(ENOENT));
        assert_eq!(msg.bytes().len(), len);

        // The inner one fails, the outer one goes on.
        msg.nest(A_NEST, |nest| {
            let _: Result = nest.nest(A_NEST, |_| Err(ENOENT));
            nest.put_s32(N_S32, 3)
        })?;
        let nest = attributes(msg.bytes()).get(A_NEST).ok_or(ENODATA)?;
        let nest = nest.nested(&NEST_POLICY)?;
        assert_eq!(nest.get(N_S32).ok_or(ENODATA)?.as_s32()?, 3);
        Ok(())
    }

    #[test]
    fn nests_are_not_truncated() -> Result {
        let skb = NetlinkSkBuff::new(128 * 1024, GFP_KERNEL)?;
        let msg = skb.genlmsg_put(0, 0, &FAMILY, CMD_ECHO)?;
        let chunk = KVec::from_elem(0u8, 16384 - NLA_HDRLEN, GFP_KERNEL)?;
        let len = msg.bytes().len();

        // The header of the nest is too much for the fourth one.
        let fill = |n: usize| {
            msg.nest(A_NEST, |nest| {
                (0..n).try_for_each(|_| nest.put_bytes(A_BYTES, &chunk))
            })
        };
        assert_eq!(fill(4), Err(EMSGSIZE));
        fill(3)?;
        assert_eq!(msg.bytes().len(), len + NLA_HDRLEN + 3 * 16384);

        // The same for a single attribute.
        let chunk = KVec::from_elem(0u8, 65536 - NLA_HDRLEN, GFP_KERNEL)?;
        assert_eq!(msg.put_bytes(A_BYTES, &chunk), Err(EMSGSIZE));
        Ok(())
    }
}

#[macros::kunit_tests(rust_netlink_family)]
mod family_tests {
    use super::*;

    #[test]
    fn operations() -> Result {
        with_family(|socket| {
            let mut buffer = Buffer([0; 1024]);

            // What goes in comes out.
            let msg = message(CMD_ECHO)?;
            put_all(&msg)?;
            let sent = request(&msg, &[])?;
            socket.send(request(&msg, &[])?)?;
            let received = socket.receive(&mut buffer)?;
            assert_eq!(received.len(), sent.len());
            // Type and sequence number are those of the request.
            assert_eq!(received[4..6], sent[4..6]);
            assert_eq!(received[8..12], 7u32.to_ne_bytes());
            assert_eq!(received[16], CMD_ECHO);
            // The version of the family.
            assert_eq!(received[17], 3);
            assert!(received[20..] == sent[20..]);
            assert_eq!(socket.outcome(&mut buffer)?.error, 0);

            // The last one of repeated attributes counts.
            let msg = message(CMD_ECHO)?;
            msg.put_u32(A_U32, 1)?;
            msg.put_u32(A_U32, 2)?;
            socket.send(request(&msg, &[])?)?;
            let received = attributes(socket.receive(&mut buffer)?);
            let values = received.iter().map(|attr| attr.as_u32());
            assert!(values.eq([Ok(2), Ok(2)]));
            assert_eq!(socket.outcome(&mut buffer)?.error, 0);

            // No attributes at all.
            let msg = message(CMD_BARE)?;
            socket.send(request(&msg, &[])?)?;
            assert_eq!(socket.outcome(&mut buffer)?.error, 0);

            // No such command.
            let msg = message(CMD_BARE - 1)?;
            socket.send(request(&msg, &[])?)?;
            let error = EOPNOTSUPP.to_errno();
            assert_eq!(socket.outcome(&mut buffer)?.error, error);

            assert_eq!(socket.receive(&mut buffer), Err(EAGAIN));
            Ok(())
        })
    }

    #[test]
    fn validation_is_strict() -> Result {
        with_family(|socket| {
            let mut buffer = Buffer([0; 1024]);
            let einval = EINVAL.to_errno();

            // An unknown attribute.
            let msg = message(CMD_ECHO)?;
            msg.put_u32(A_U32, 1)?;
            msg.put_u32(A_RESERVED + 1, 1)?;
            socket.send(request(&msg, &[])?)?;
            let outcome = socket.outcome(&mut buffer)?;
            assert_eq!((outcome.error, outcome.offset()?), (einval, 28));

            // One that is refused.
            let msg = message(CMD_ECHO)?;
            msg.put_flag(A_RESERVED)?;
            socket.send(request(&msg, &[])?)?;
            let outcome = socket.outcome(&mut buffer)?;
            assert_eq!((outcome.error, outcome.offset()?), (einval, 20));

            // Too long, too short, and the wrong flag.
            for payload in [&[0; 8][..], &[0; 2], &[]] {
                let msg = message(CMD_ECHO)?;
                msg.put_bytes(A_U32, payload)?;
                socket.send(request(&msg, &[])?)?;
                assert_eq!(socket.outcome(&mut buffer)?.error, einval);
            }
            let msg = message(CMD_ECHO)?;
            msg.nest(A_U32, |nest| nest.put_flag(0))?;
            socket.send(request(&msg, &[])?)?;
            assert_eq!(socket.outcome(&mut buffer)?.error, einval);

            // A nest without its flag, and one with an unknown attribute.
            let msg = message(CMD_ECHO)?;
            msg.put_bytes(A_NEST, &[])?;
            socket.send(request(&msg, &[])?)?;
            assert_eq!(socket.outcome(&mut buffer)?.error, einval);
            let msg = message(CMD_ECHO)?;
            msg.nest(A_NEST, |nest| nest.put_s32(N_S32 + 1, 0))?;
            socket.send(request(&msg, &[])?)?;
            let outcome = socket.outcome(&mut buffer)?;
            assert_eq!((outcome.error, outcome.offset()?), (einval, 24));

            // Bytes behind the last attribute.
            let msg = message(CMD_ECHO)?;
            msg.put_u32(A_U32, 1)?;
            socket.send(request(&msg, &[0; 4])?)?;
            assert_eq!(socket.outcome(&mut buffer)?.error, einval);

            // Any attribute where none is known.
            let msg = message(CMD_BARE)?;
            msg.put_flag(A_FLAG)?;
            socket.send(request(&msg, &[])?)?;
            assert_eq!(socket.outcome(&mut buffer)?.error, einval);

            assert_eq!(socket.receive(&mut buffer), Err(EAGAIN));
            Ok(())
        })
    }

    #[test]
    fn refusals_say_why() -> Result {
        with_family(|socket| {
            let mut buffer = Buffer([0; 1024]);

            // Missing.
            let msg = message(CMD_FAIL)?;
            socket.send(request(&msg, &[])?)?;
            let outcome = socket.outcome(&mut buffer)?;
            assert_eq!(outcome.error, EINVAL.to_errno());
            assert_eq!(outcome.missing()?, u32::from(A_U32));
            assert!(outcome.missing_in().is_err());

            // Missing in a nest.
            let msg = message(CMD_FAIL)?;
            msg.put_u32(A_U32, 1)?;
            msg.nest(A_NEST, |_| Ok::<(), Error>(()))?;
            socket.send(request(&msg, &[])?)?;
            let outcome = socket.outcome(&mut buffer)?;
            assert_eq!(outcome.error, ENODATA.to_errno());
            assert_eq!(outcome.missing()?, u32::from(N_S32));
            assert_eq!(outcome.missing_in()?, 28);

            // Repeated.
            let msg = message(CMD_FAIL)?;
            msg.put_u32(A_U32, 1)?;
            msg.put_flag(A_FLAG)?;
            msg.put_u32(A_U32, 1)?;
            socket.send(request(&msg, &[])?)?;
            let outcome = socket.outcome(&mut buffer)?;
            assert_eq!(outcome.error, EEXIST.to_errno());
            assert_eq!(outcome.message()?, c"repeated");
            assert_eq!(outcome.offset()?, 32);

            // Formatted, and cut off.
            let msg = message(CMD_FAIL)?;
            msg.put_u32(A_U32, 0xabc)?;
            socket.send(request(&msg, &[])?)?;
            let outcome = socket.outcome(&mut buffer)?;
            assert_eq!(outcome.error, ERANGE.to_errno());
            assert_eq!(outcome.message()?.count_bytes(), 79);
            assert!(outcome.message()?.to_bytes().starts_with(b"not 0xabc, 000"));
            assert_eq!(outcome.offset()?, 20);

            assert_eq!(socket.receive(&mut buffer), Err(EAGAIN));
            Ok(())
        })
    }

    #[test]
    fn keeps_something_for_each_socket() -> Result {
        with_family(|first| {
            let second = Socket::new()?;
            let ask = |socket: &Socket| -> Result<c_int> {
                socket.send(request(&message(CMD_BARE)?, &[])?)?;
                Ok(socket.outcome(&mut Buffer([0; 1024]))?.error)
            };

            for _ in 0..BARE_MAX {
                assert_eq!(ask(first)?, 0);
            }
            assert_eq!(ask(first)?, EOVERFLOW.to_errno());
            assert_eq!(KEPT.load(Relaxed), 1);
            assert_eq!(ask(&second)?, 0);
            assert_eq!(KEPT.load(Relaxed), 2);
            drop(second);
            assert_eq!(KEPT.load(Relaxed), 1);
            Ok(())
        })?;
        assert_eq!(KEPT.load(Relaxed), 0);
        Ok(())
    }

    #[test]
    fn replies_to_the_dead() -> Result {
        with_family(|socket| {
            // The reply finds no receiver: it must be freed once, and once only.
            let mut info: bindings::genl_info = pin_init::zeroed();
            let mut genlhdr: bindings::genlmsghdr = pin_init::zeroed();
            let mut nlhdr: bindings::nlmsghdr = pin_init::zeroed();
            nlhdr.nlmsg_len = NLMSG_HDRLEN as u32;
            info.snd_portid = u32::MAX;
            info.family = FAMILY.as_raw();
            info.nlhdr = &raw const nlhdr;
            info.genlhdr = &raw mut genlhdr;
            #[cfg(CONFIG_NET_NS)]
            {
                info._net.net = &raw mut bindings::init_net;
            }

            let msg = message(CMD_BARE)?;
            let skb = msg.skb.skb.as_ptr();
            // SAFETY: `info` has all that a reply needs, and lives longer than the request.
            let request = unsafe { Request::from_raw(skb, &mut info, Bare::POLICY) };
            let reply = request.reply(GENLMSG_DEFAULT_SIZE)?;
            reply.put_u32(A_U32, 1)?;
            assert_eq!(reply.send(), Err(ECONNREFUSED));

            assert_eq!(socket.receive(&mut Buffer([0; 1024])), Err(EAGAIN));
            Ok(())
        })
    }

    #[test]
    fn order_of_operations() {
        struct OpenFail;

        impl DoOperation for OpenFail {
            const CMD: u8 = CMD_FAIL;
            const FLAGS: OpFlags = OpFlags::UNS_ADMIN_PERM;
            const POLICY: &'static [Policy] = POLICY;

            type SockPriv = Kept;

            fn doit(_: &DoRequest<'_, Kept>) -> Result {
                Ok(())
            }
        }

        let echo = Operation::doit::<Echo>();
        let fail = Operation::doit::<Fail>();
        let count = Operation::dumpit::<dump::Count>();

        assert!(echo.may_precede(&fail) && echo.may_precede(&count));
        assert!(!fail.may_precede(&echo) && !count.may_precede(&echo));
        // The dump comes last, and each is there once.
        assert!(fail.may_precede(&count) && !count.may_precede(&fail));
        assert!(!fail.may_precede(&fail) && !count.may_precede(&count));
        // Both have the same flags.
        assert!(!Operation::doit::<OpenFail>().may_precede(&count));
    }

    #[test]
    fn registered_once() -> Result {
        let first = FAMILY.register()?;
        assert_eq!(FAMILY.register().err(), Some(EEXIST));
        drop(first);
        drop(FAMILY.register()?);
        Ok(())
    }
}
