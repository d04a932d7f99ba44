// SPDX-License-Identifier: GPL-2.0

//! `AF_INET_CR_CMD_QUEUE`: what waits to be received from a socket, its errors and its datagrams,
//! and the datagram that is corked.

#![forbid(unsafe_code)]

use crate::{
    attr,
    cork::Corked,
    datagram,
    dump,
    errqueue,
    live::Patience,
    protocol::Protocol,
    refusal::{
        self,
        Refusal, //
    },
    select, //
};

use kernel::{
    net::{
        netlink::{
            AttrWriter,
            Batch,
            Capability,
            DumpOperation,
            OpFlags,
            Policy,
            Request, //
        },
        socket::{
            Datagram,
            QueuedError,
            QueuedErrors, //
        },
        Net, //
    },
    num::casts::u32_as_usize,
    prelude::*,
    uapi, //
};

/// The longest piece of payload in an attribute.
// CAST: 16 KiB.
const PIECE_MAX: usize = uapi::AF_INET_CR_PAYLOAD_MAX as usize;

/// The shortest one that a message is filled up with.
const PIECE_MIN: usize = 512;

/// The operation.
pub(crate) struct Queue;

/// The errors and datagrams of one moment, and how far the dump has come.
///
/// They are copies, charged to the requester: the reader may take any time.
pub(crate) struct State {
    /// The errors, the oldest first, then the datagrams, then the corked one, and where their
    /// payloads begin.
    ///
    /// In this order they fit into a receive buffer as they did: a datagram may take the last byte
    /// of it, an error may not.
    items: KVVec<(Item, usize)>,
    /// The payloads, one behind the other.
    payload: KVVec<u8>,
    /// The number of the next one.
    next: usize,
    /// How much of its payload was dumped already, once it was begun.
    done: Option<usize>,
}

/// A datagram, but for its payload.
enum Item {
    /// One that waits to be received, or an error.
    Datagram(datagram::Item),
    /// One that waits to be sent. There is none behind it.
    Cork(Corked),
}

impl Item {
    /// Returns the length of the payload.
    fn len(&self) -> usize {
        u32_as_usize(match self {
            Item::Datagram(item) => item.datagram.len,
            Item::Cork(cork) => cork.len(),
        })
    }

    /// Writes it into a message.
    fn put(&self, net: &Net, msg: &AttrWriter) -> Result {
        match self {
            Item::Datagram(item) => datagram::put(item, net, msg),
            Item::Cork(cork) => cork.put(msg),
        }
    }
}

impl DumpOperation for Queue {
    // CAST: A small number.
    const CMD: u8 = uapi::AF_INET_CR_CMD_QUEUE as u8;
    const FLAGS: OpFlags = OpFlags::UNS_ADMIN_PERM;
    const POLICY: &'static [Policy] = &select::POLICY;

    type State = State;

    fn start(request: &Request<'_>) -> Result<State> {
        start(request).map_err(|refusal| refusal.tell(request))
    }

    fn dumpit(state: &mut State, batch: &mut Batch<'_>) -> Result {
        let net = batch.net();

        while let Some((item, begin)) = state.items.get(state.next) {
            let payload = state.payload.get(*begin..).unwrap_or_default();
            let payload = payload.get(..item.len()).ok_or(EINVAL)?;

            let done = batch.put(|msg| put(item, payload, state.done, net, msg))?;
            if done < payload.len() {
                state.done = Some(done);
            } else {
                state.next += 1;
                state.done = None;
            }
        }
        Ok(())
    }
}

/// Copies the errors and datagrams of the socket that a request is about.
fn start(request: &Request<'_>) -> Result<State, Refusal> {
    if !request.capable(Capability::NET_RAW) {
        return Err(Refusal::new(EPERM, "datagrams need CAP_NET_RAW"));
    }
    refusal::admit(request)?;
    // One that ends with its first messages makes room for the next, and each goes over all of a
    // queue.
    if !request.is_last() {
        return Err(Refusal::new(
            EBUSY,
            "of several requests only the last may be for a queue",
        ));
    }

    let file = select::select(request)?;
    let protocol = Protocol::of(&file)?;
    let sock = dump::lock(&file, &mut Patience::some())?;
    dump::permit(protocol, &sock)?;
    sock.security_peek()
        .map_err(|errno| Refusal::new(errno, "the security module refuses the datagrams"))?;
    if sock.has_user_data() {
        return Err(Refusal::new(
            EOPNOTSUPP,
            "a part of the kernel receives from the socket",
        ));
    }
    let errors = errqueue::read(&sock)?;
    let datagrams = sock.datagrams().map_err(datagram::unusual)?;
    let cork = match Corked::read(&sock, request.net())? {
        Some(cork) => {
            let payload = cork.payload(&sock)?;
            Some((cork, payload))
        }
        None => None,
    };
    drop(sock);
    copy(errors, &datagrams, cork)
}

/// Copies errors and datagrams, but for those that `recv(2)` would drop, and puts the corked one
/// behind them.
fn copy(
    errors: QueuedErrors<'_>,
    datagrams: &[Datagram],
    cork: Option<(Corked, KVVec<u8>)>,
) -> Result<State, Refusal> {
    let add = |sum: usize, len| sum.saturating_add(u32_as_usize(len));
    let of_errors = errors.iter().map(QueuedError::payload_len);
    let of_datagrams = datagrams.iter().map(Datagram::payload_len);
    let of_cork = cork.as_ref().map_or(0, |(_, payload)| payload.len());
    let len = of_datagrams.fold(of_errors.fold(of_cork, add), add);
    let count = errors
        .len()
        .saturating_add(datagrams.len())
        .saturating_add(cork.iter().count());
    let mut state = State {
        items: KVVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?,
        payload: KVVec::with_capacity(len, GFP_KERNEL_ACCOUNT)?,
        next: 0,
        done: None,
    };

    for error in errors.iter() {
        let (datagram, info) = error.info().map_err(errqueue::not_carried)?;
        let item = Item::Datagram(datagram::Item {
            datagram,
            error: Some(info),
        });
        state.add(item, |payload| error.append_to(payload, GFP_KERNEL_ACCOUNT))?;
    }
    // Their memory is the socket's.
    drop(errors);

    for datagram in datagrams {
        // Before the sum of all of it is noted there.
        let info = datagram.info();
        if !datagram.is_intact() {
            continue;
        }
        let item = Item::Datagram(datagram::Item {
            datagram: info,
            error: None,
        });
        state.add(item, |payload| {
            datagram.append_to(payload, GFP_KERNEL_ACCOUNT)
        })?;
    }
    if let Some((cork, bytes)) = cork {
        state.add(Item::Cork(cork), |payload| {
            Ok(payload.extend_from_slice(&bytes, GFP_KERNEL_ACCOUNT)?)
        })?;
    }
    Ok(state)
}

impl State {
    /// Adds an error or a datagram, with the payload that a function appends to the others.
    fn add(
        &mut self,
        item: Item,
        append: impl FnOnce(&mut KVVec<u8>) -> Result,
    ) -> Result<(), Refusal> {
        let begin = self.payload.len();
        let end = begin.saturating_add(item.len());

        append(&mut self.payload)?;
        // The next one begins where this one says that it ends.
        if self.payload.len() != end {
            return Err(EFAULT.into());
        }
        Ok(self.items.push((item, begin), GFP_KERNEL_ACCOUNT)?)
    }
}

/// Writes an error or a datagram into a message, from where an earlier one has ended, as far as it
/// fits, and returns how far that is.
fn put(
    item: &Item,
    payload: &[u8],
    done: Option<usize>,
    net: &Net,
    msg: &AttrWriter,
) -> Result<usize> {
    if done.is_none() {
        item.put(net, msg)?;
    }
    let begin = done.unwrap_or(0);
    let rest = payload.get(begin..).unwrap_or_default();
    // Each message gets the dump on.
    if msg.room() < rest.len().min(PIECE_MIN) {
        return Err(EMSGSIZE);
    }

    let mut end = begin;
    for piece in rest.chunks(PIECE_MAX) {
        let fits = piece.len().min(msg.room());
        if fits < piece.len().min(PIECE_MIN) {
            break;
        }
        msg.put_bytes(attr::PAYLOAD, piece.get(..fits).unwrap_or_default())?;
        end = end.saturating_add(fits);
        if fits < piece.len() {
            break;
        }
    }
    Ok(end)
}
