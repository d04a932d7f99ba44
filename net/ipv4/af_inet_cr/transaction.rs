// SPDX-License-Identifier: GPL-2.0

//! What takes several messages: a socket, its datagrams, and the end.
//!
//! A restore makes the socket with the first message. The half-built socket belongs to the netlink
//! socket of the requester and goes with it. It is bound and connected, so that nobody takes its
//! port, but a filter keeps packets out until the datagrams are in: nothing overtakes them.
//!
//! An amendment is about a socket that exists, see `staging.rs`.

#![forbid(unsafe_code)]

use crate::{
    assembly::{
        self,
        Assembly, //
    },
    attr,
    cork::{
        self,
        NewCork, //
    },
    map::{
        Destination,
        Maps, //
    },
    refusal::Refusal,
    restore::{
        self,
        Restored, //
    },
    staging::Staged, //
};

use kernel::{
    net::{
        netlink::{
            Attribute,
            Capability,
            DoRequest,
            Policy,
            Request,
            SockPriv, //
        },
        socket::LockedNewSocket, //
    },
    new_mutex,
    prelude::*,
    sync::Mutex,
    uapi, //
};

use core::convert::Infallible;

/// The first part.
const BEGIN: u32 = uapi::af_inet_cr_transaction_AF_INET_CR_TRANSACTION_BEGIN;

/// A part with datagrams.
const QUEUE: u32 = uapi::af_inet_cr_transaction_AF_INET_CR_TRANSACTION_QUEUE;

/// The last part.
const COMMIT: u32 = uapi::af_inet_cr_transaction_AF_INET_CR_TRANSACTION_COMMIT;

/// The last part, if there is to be no socket.
const ABORT: u32 = uapi::af_inet_cr_transaction_AF_INET_CR_TRANSACTION_ABORT;

/// The policy of `AF_INET_CR_ATTR_TRANSACTION`.
pub(crate) const fn policy() -> Policy {
    // CAST: Small numbers.
    Policy::u32_range(BEGIN as i16, ABORT as i16)
}

/// The commands that can take several messages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// `AF_INET_CR_CMD_RESTORE`
    Restore,
    /// `AF_INET_CR_CMD_AMEND`
    Amend,
}

/// What the parts so far have come to.
enum Begun {
    /// A new socket. In a box, as it is larger than the other.
    Restore(KBox<HalfBuilt>),
    /// What is to come to a socket that exists.
    Amend(Staged),
}

impl Begun {
    /// Returns the command of its parts.
    fn command(&self) -> Command {
        match self {
            Begun::Restore(_) => Command::Restore,
            Begun::Amend(_) => Command::Amend,
        }
    }

    /// Takes datagrams and errors.
    fn queue(&mut self, request: &Request<'_>) -> Result<(), Refusal> {
        match self {
            Begun::Restore(half) => half.queue(request),
            Begun::Amend(staged) => staged.queue(request),
        }
    }

    /// Ends it, as wanted.
    fn commit(self, request: &Request<'_>) -> Result<(), Refusal> {
        match self {
            Begun::Restore(half) => KBox::into_inner(half).commit(request),
            Begun::Amend(staged) => staged.commit(request),
        }
    }
}

/// The transaction of a netlink socket, if it has one.
#[pin_data]
pub(crate) struct Transaction {
    #[pin]
    open: Mutex<Option<Begun>>,
}

impl SockPriv for Transaction {
    fn new() -> impl PinInit<Self, Infallible> {
        pin_init!(Transaction {
            open <- new_mutex!(None),
        })
    }
}

/// A socket that does not have all of its datagrams yet.
struct HalfBuilt {
    /// The socket.
    restored: Restored,
    /// The maps of the first part, which hold for all.
    maps: Maps,
    /// What comes into it.
    incoming: Incoming,
}

/// How far the datagrams and errors of a new socket have come.
struct Incoming {
    /// The datagram that is not complete.
    assembly: Assembly,
    /// How many errors the socket has been given.
    errors: usize,
    /// The corked datagram, which comes behind the others.
    cork: Option<NewCork>,
    /// How long it has to be, if the first part says that there is one.
    cork_len: Option<u32>,
}

/// Answers a request that is part of a transaction.
pub(crate) fn part(
    request: &DoRequest<'_, Transaction>,
    part: &Attribute<'_>,
    command: Command,
) -> Result<(), Refusal> {
    let refuse = |errno, reason| Err(Refusal::new(errno, reason).at(attr::TRANSACTION));

    if !request.capable(Capability::NET_RAW) {
        return refuse(EPERM, "datagrams need CAP_NET_RAW");
    }
    let transaction = request.sock_priv()?;
    let mut open = transaction.open.lock();
    let part = part.as_u32()?;

    if part == BEGIN {
        if open.is_some() {
            return refuse(EBUSY, "the netlink socket has a transaction already");
        }
        *open = Some(match command {
            Command::Restore => Begun::Restore(begin(request)?),
            Command::Amend => Begun::Amend(Staged::begin(request)?),
        });
        return Ok(());
    }

    let mut begun = match open.take() {
        None => return refuse(ENOENT, "the netlink socket has no transaction"),
        // It is no part of this one, as another first part is none.
        Some(begun) if begun.command() != command => {
            *open = Some(begun);
            return refuse(EINVAL, "the transaction was begun by the other command");
        }
        Some(begun) => begun,
    };
    // Whatever goes wrong from here on is the end of it.
    match part {
        QUEUE => {
            begun.queue(request)?;
            *open = Some(begun);
        }
        COMMIT => begun.commit(request)?,
        ABORT => only(request, &[attr::TRANSACTION])?,
        _ => return refuse(EINVAL, "no such part"),
    }
    Ok(())
}

/// Makes the socket, and tells the requester which one it is.
fn begin(request: &Request<'_>) -> Result<KBox<HalfBuilt>, Refusal> {
    let cork_len = match request.attr(attr::CORK_LEN) {
        Some(len) => Some(len.as_u32()?),
        None => None,
    };
    let maps = Maps::parse(request)?;
    let restored = restore::make(request, &maps, true)?;

    let half = HalfBuilt {
        restored,
        maps,
        incoming: Incoming {
            assembly: Assembly::new(),
            errors: 0,
            cork: None,
            cork_len,
        },
    };
    let half = KBox::new(half, GFP_KERNEL_ACCOUNT)?;

    let reply = request.reply(Restored::REPLY)?;
    half.restored.put_identity(&reply)?;
    reply.send()?;
    Ok(half)
}

impl HalfBuilt {
    /// Puts the datagrams and errors of a request into the socket.
    fn queue(&mut self, request: &Request<'_>) -> Result<(), Refusal> {
        only(
            request,
            &[attr::TRANSACTION, attr::DATAGRAM, attr::PAYLOAD, attr::CORK],
        )?;

        let there = Destination::new(request, &self.maps);
        let incoming = &mut self.incoming;
        // Nobody waits for it: no process has the socket.
        let sock = self.restored.socket().lock_new();
        assembly::for_each(request, |attr| incoming.take(attr, &there, &sock))
    }

    /// Hands out the socket.
    fn commit(mut self, request: &Request<'_>) -> Result<(), Refusal> {
        only(request, &[attr::TRANSACTION])?;

        let Incoming {
            assembly,
            errors,
            cork,
            cork_len,
        } = self.incoming;
        if !assembly.is_complete() {
            return Err(incomplete("the last datagram is not complete"));
        }
        match cork {
            Some(cork) if cork.is_complete() => cork.restore(self.restored.socket(), errors)?,
            Some(_) => return Err(incomplete("the corked datagram is not complete")),
            None if cork_len.is_some() => {
                return Err(incomplete("the corked datagram has not come"));
            }
            None => {}
        }
        self.restored.hand_out(request)
    }
}

impl Incoming {
    /// Takes the beginning of a datagram, or a piece of its payload.
    fn take(
        &mut self,
        attr: &Attribute<'_>,
        there: &Destination<'_>,
        sock: &LockedNewSocket<'_>,
    ) -> Result<(), Refusal> {
        if attr.type_() == attr::CORK || self.cork.is_some() {
            return self.take_cork(attr, there);
        }
        match self.assembly.take(attr, there, GFP_KERNEL)? {
            Some(item) => item
                .enqueue(sock, &mut self.errors)
                .map_err(|errno| assembly::not_queued(errno).at(attr.type_())),
            None => Ok(()),
        }
    }

    /// Takes the corked datagram, or a piece of its payload.
    fn take_cork(&mut self, attr: &Attribute<'_>, there: &Destination<'_>) -> Result<(), Refusal> {
        let wrong = |reason| Err(Refusal::new(EINVAL, reason).at(attr.type_()));

        match (attr.type_(), &mut self.cork) {
            (attr::CORK, Some(_)) => wrong("there is a corked datagram already"),
            (attr::CORK, None) if !self.assembly.is_complete() => {
                wrong("the one before is not complete")
            }
            (attr::CORK, None) => {
                let cork = NewCork::parse(attr, there)?;
                if self.cork_len.is_some_and(|len| len != cork.len()) {
                    return Err(
                        Refusal::new(EINVAL, "not as long as the first part says").inside(
                            attr::CORK,
                            attr::cork::LEN,
                            &cork::POLICY,
                        ),
                    );
                }
                self.cork = Some(cork);
                Ok(())
            }
            (attr::PAYLOAD, Some(cork)) => match cork.fill(attr.as_bytes()) {
                Err(EMSGSIZE) => wrong("more payload than the corked datagram has"),
                result => Ok(result?),
            },
            _ => wrong("nothing comes behind the corked datagram"),
        }
    }
}

/// Refuses to end a transaction that lacks something.
pub(crate) fn incomplete(reason: &'static str) -> Refusal {
    Refusal::new(EINVAL, reason).at(attr::TRANSACTION)
}

/// Refuses a request with attributes that do not belong to its part of the transaction.
pub(crate) fn only(request: &Request<'_>, allowed: &[u16]) -> Result<(), Refusal> {
    match request
        .attrs()
        .find(|attr| !allowed.contains(&attr.type_()))
    {
        Some(attr) => Err(
            Refusal::new(EINVAL, "does not belong to this part of the transaction")
                .at(attr.type_()),
        ),
        None => Ok(()),
    }
}
