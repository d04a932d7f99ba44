// SPDX-License-Identifier: GPL-2.0

//! KUnit tests of dumps.

use super::*;

use core::{
    num::NonZeroU32,
    sync::atomic::{
        AtomicUsize,
        Ordering, //
    },
};

/// How many numbers are counted.
const A_COUNT: u16 = A_U32;

/// How many bytes each message has beside its number.
const A_SIZE: u16 = A_UINT;

/// The room that is asked for with the first number, which has none of these bytes then.
const A_RESERVE: u16 = A_SINT;

/// Fails instead of this number.
const A_FAIL: u16 = A_PORT;

/// Begins another generation with each batch.
const A_CHANGE: u16 = A_FLAG;

/// The number in a message.
const A_NUMBER: u16 = A_U32;

/// How many states there are.
static STATES: AtomicUsize = AtomicUsize::new(0);

/// Counts.
pub(super) struct Count;

/// Where the count is.
pub(super) struct State {
    next: u32,
    count: u32,
    filling: KVec<u8>,
    reserve: Option<usize>,
    fail: Option<u32>,
    change: bool,
    generation: NonZeroU32,
}

impl Drop for State {
    fn drop(&mut self) {
        STATES.fetch_sub(1, Ordering::Relaxed);
    }
}

impl DumpOperation for Count {
    const CMD: u8 = CMD_FAIL;
    const FLAGS: OpFlags = OpFlags::NONE;
    const POLICY: &'static [Policy] = POLICY;
    type State = State;

    fn start(request: &Request<'_>) -> Result<State> {
        let right_request = *request.net() == *kernel::net::Net::init_net()
            && request.capable(Capability::NET_RAW)
            && request.is_last();
        if !right_request {
            return Err(EBADMSG);
        }

        let size = match request.attr(A_SIZE) {
            Some(attr) => attr.as_uint()? as usize,
            None => 0,
        };
        let Some(count) = request.attr(A_COUNT) else {
            request.extack().missing(A_COUNT);
            return Err(EINVAL);
        };
        let count = count.as_u32()?;
        let filling = KVec::from_elem(0, size, GFP_KERNEL)?;
        let reserve = request.attr(A_RESERVE).map(|attr| attr.as_sint());
        let reserve = reserve.transpose()?.map(|size| size as usize);
        let fail = request.attr(A_FAIL).map(|attr| attr.as_be16());
        let fail = fail.transpose()?.map(u32::from);

        STATES.fetch_add(1, Ordering::Relaxed);
        Ok(State {
            next: 0,
            count,
            filling,
            reserve,
            fail,
            change: request.attr(A_CHANGE).is_some(),
            generation: NonZeroU32::MIN,
        })
    }

    fn dumpit(state: &mut State, batch: &mut Batch<'_>) -> Result {
        if *batch.net() != *kernel::net::Net::init_net() || !batch.is_empty() {
            return Err(EBADMSG);
        }
        batch.set_generation(state.generation);
        if state.change {
            state.generation = state.generation.saturating_add(1);
        }

        while state.next < state.count {
            let number = state.next;

            if state.fail == Some(number) {
                // What fails leaves nothing.
                let failed: Result = batch.put(|msg| {
                    msg.put_u32(A_NUMBER, number)?;
                    Err(EDOM)
                });
                batch.extack().message_fmt(fmt!("not {number}"));
                return failed;
            }
            let filling: &[u8] = match (number, state.reserve) {
                // There are only others behind a batch that is not empty.
                (0, Some(size)) => {
                    batch.reserve(size);
                    &[]
                }
                _ => &state.filling,
            };
            batch.put(|msg| {
                msg.put_u32(A_NUMBER, number)?;
                msg.nest(A_NEST, |nest| nest.put_bytes(A_BYTES, filling))
            })?;
            if batch.is_empty() {
                return Err(EBADMSG);
            }
            state.next = number + 1;
        }
        Ok(())
    }
}

/// What was read of a dump.
#[derive(Default, Debug, PartialEq)]
struct Seen {
    /// How many numbers came, from 0 on in their order.
    numbers: u32,
    /// How many of them have `NLM_F_DUMP_INTR`.
    interrupted: u32,
    /// How often was read.
    reads: u32,
    /// The outcome, once it has come.
    done: Option<i32>,
    /// Whether it has the message of the failure at 3.
    says_why: bool,
}

impl Seen {
    /// Reads once.
    fn read(&mut self, socket: &Socket, buffer: &mut [u8]) -> Result {
        let mut bytes = socket.receive_into(buffer)?;
        self.reads += 1;

        while let Some(header) = bytes.first_chunk::<NLMSG_HDRLEN>() {
            let len = u32_as_usize(field(header, 0)?);
            let (message, rest) = bytes.split_at_checked(len).ok_or(EMSGSIZE)?;
            bytes = rest;

            let flags = u32::from(short_field(header, 6)?);
            if self.done.is_some() || flags & bindings::NLM_F_MULTI == 0 || field(header, 8)? != 7 {
                return Err(EBADMSG);
            }
            if u32::from(short_field(header, 4)?) == bindings::NLMSG_DONE {
                self.done = Some(field(message, NLMSG_HDRLEN)? as i32);
                if flags & bindings::NLM_F_ACK_TLVS != 0 {
                    let stream = message.get(NLMSG_HDRLEN + 4..).unwrap_or_default();
                    // SAFETY: The kernel has made this stream, at an aligned address.
                    let more = unsafe { Attributes::from_validated(stream, &[]) };
                    let text = more.get(bindings::nlmsgerr_attrs_NLMSGERR_ATTR_MSG as u16);
                    self.says_why = text.ok_or(ENODATA)?.as_str()? == c"not 3";
                }
                continue;
            }
            if flags & bindings::NLM_F_DUMP_INTR != 0 {
                self.interrupted += 1;
            }
            if message.get(NLMSG_HDRLEN) != Some(&CMD_FAIL)
                || attributes(message).get(A_NUMBER).ok_or(ENODATA)?.as_u32()? != self.numbers
            {
                return Err(EBADMSG);
            }
            self.numbers += 1;
        }
        Ok(())
    }

    /// Reads to the end, with a buffer of `size` bytes.
    fn read_all(socket: &Socket, size: usize) -> Result<Seen> {
        let mut seen = Seen::default();
        let mut buffer = KVec::from_elem(0, size, GFP_KERNEL)?;

        while seen.done.is_none() {
            seen.read(socket, &mut buffer)?;
        }
        Ok(seen)
    }
}

/// Begins to count.
fn start(socket: &Socket, count: u32, fill: impl FnOnce(&AttrWriter) -> Result) -> Result {
    let msg = message(CMD_FAIL)?;
    msg.put_u32(A_COUNT, count)?;
    fill(&msg)?;
    socket.send(request_with(bindings::NLM_F_DUMP, &msg, &[])?)
}

/// The number of states that there are.
fn states() -> usize {
    STATES.load(Ordering::Relaxed)
}

#[macros::kunit_tests(rust_netlink_dump)]
mod tests {
    use super::*;

    /// The size of the buffer that batches are read into. Those to come will be as large.
    const SIZE: usize = 16 * 1024;

    #[test]
    fn all_once_and_in_order() -> Result {
        with_family(|socket| {
            for count in [0, 1, 10_000] {
                start(socket, count, |_| Ok(()))?;
                let seen = Seen::read_all(socket, SIZE)?;

                assert_eq!((seen.numbers, seen.done), (count, Some(0)));
                assert_eq!(seen.interrupted, 0);
                // 36 bytes each: they do not fit into one batch.
                assert!((seen.reads > 10) == (count == 10_000));
                assert_eq!(states(), 0);
            }
            // Nothing follows.
            assert_eq!(socket.receive(&mut Buffer([0; 1024])), Err(EAGAIN));

            // Other lengths end elsewhere in a batch.
            for size in 0..64 {
                start(socket, 1_000, |msg| msg.put_uint(A_SIZE, size))?;
                let seen = Seen::read_all(socket, SIZE)?;
                assert_eq!((seen.numbers, seen.done), (1_000, Some(0)));
            }
            Ok(())
        })
    }

    #[test]
    fn one_at_a_time() -> Result {
        with_family(|socket| {
            let mut buffer = Buffer([0; 1024]);

            start(socket, 10_000, |_| Ok(()))?;
            assert_eq!(states(), 1);
            start(socket, 1, |_| Ok(()))?;
            assert_eq!(states(), 1);

            // The refusal is between the batches.
            let mut seen = Seen::default();
            let mut bytes = KVec::from_elem(0, SIZE, GFP_KERNEL)?;
            seen.read(socket, &mut bytes)?;
            assert_eq!(socket.outcome(&mut buffer)?.error, EBUSY.to_errno());
            while seen.done.is_none() {
                seen.read(socket, &mut bytes)?;
            }
            assert_eq!((seen.numbers, seen.done), (10_000, Some(0)));
            Ok(())
        })
    }

    #[test]
    fn refused_at_the_start() -> Result {
        with_family(|socket| {
            let mut buffer = Buffer([0; 1024]);

            let msg = message(CMD_FAIL)?;
            socket.send(request_with(bindings::NLM_F_DUMP, &msg, &[])?)?;
            let outcome = socket.outcome(&mut buffer)?;
            assert_eq!(outcome.error, EINVAL.to_errno());
            assert_eq!(outcome.missing()?, u32::from(A_COUNT));

            // Validation is strict.
            start(socket, 1, |msg| msg.put_flag(A_RESERVED))?;
            let outcome = socket.outcome(&mut buffer)?;
            assert_eq!(outcome.error, EINVAL.to_errno());
            assert_eq!(outcome.offset()?, 28);

            // There is no dump of this one.
            let msg = message(CMD_ECHO)?;
            socket.send(request_with(bindings::NLM_F_DUMP, &msg, &[])?)?;
            assert_eq!(socket.outcome(&mut buffer)?.error, EOPNOTSUPP.to_errno());

            assert_eq!(states(), 0);
            assert_eq!(socket.receive(&mut buffer), Err(EAGAIN));
            Ok(())
        })
    }

    #[test]
    fn failures_end_it() -> Result {
        with_family(|socket| {
            start(socket, 10, |msg| msg.put_be16(A_FAIL, 3))?;
            let seen = Seen::read_all(socket, SIZE)?;
            assert_eq!((seen.numbers, seen.done), (3, Some(EDOM.to_errno())));
            assert!(seen.says_why);
            assert_eq!(states(), 0);

            // In another batch than the first.
            start(socket, 10_000, |msg| msg.put_be16(A_FAIL, 9_000))?;
            let seen = Seen::read_all(socket, SIZE)?;
            assert_eq!((seen.numbers, seen.done), (9_000, Some(EDOM.to_errno())));
            assert_eq!(states(), 0);
            Ok(())
        })
    }

    #[test]
    fn room() -> Result {
        with_family(|socket| {
            let size = |msg: &AttrWriter| msg.put_uint(A_SIZE, 50_000);

            // No batch is ever as large as that ...
            start(socket, 3, size)?;
            let seen = Seen::read_all(socket, SIZE)?;
            assert_eq!((seen.numbers, seen.done), (0, Some(EMSGSIZE.to_errno())));

            // ... unless it is asked for: the number, the headers of two attributes, the bytes.
            start(socket, 3, |msg| {
                size(msg)?;
                msg.put_sint(A_RESERVE, 8 + 4 + 4 + 50_000 - 1)
            })?;
            let seen = Seen::read_all(socket, 64 * 1024)?;
            assert_eq!((seen.numbers, seen.done), (1, Some(EMSGSIZE.to_errno())));

            start(socket, 3, |msg| {
                size(msg)?;
                msg.put_sint(A_RESERVE, 8 + 4 + 4 + 50_000)
            })?;
            let seen = Seen::read_all(socket, 64 * 1024)?;
            assert_eq!((seen.numbers, seen.done), (3, Some(0)));
            assert_eq!(states(), 0);
            Ok(())
        })
    }

    #[test]
    fn interruptions_are_told() -> Result {
        with_family(|socket| {
            start(socket, 2_000, |msg| msg.put_flag(A_CHANGE))?;
            let seen = Seen::read_all(socket, SIZE)?;

            assert_eq!((seen.numbers, seen.done), (2_000, Some(0)));
            // The first message of each batch but the first, though one that did not fit was about
            // to have it. The last batch may have none.
            assert!(seen.reads > 2);
            assert!(seen.interrupted == seen.reads - 1 || seen.interrupted == seen.reads - 2);
            Ok(())
        })
    }

    #[test]
    fn closing_ends_it() -> Result {
        with_family(|_| {
            for reads in 0..3 {
                let socket = Socket::new()?;
                start(&socket, 10_000, |_| Ok(()))?;

                let mut seen = Seen::default();
                let mut buffer = KVec::from_elem(0, 4096, GFP_KERNEL)?;
                for _ in 0..reads {
                    seen.read(&socket, &mut buffer)?;
                }
                assert_eq!(states(), 1);
                drop(socket);
                assert_eq!(states(), 0);
            }
            Ok(())
        })
    }
}
