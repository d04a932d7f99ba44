// SPDX-License-Identifier: GPL-2.0

//! A restore in several messages: the socket, its datagrams, and the end.
//!
//! The half-built socket belongs to the netlink socket of the requester and goes with it. It is
//! bound and connected, so that nobody takes its port, but a filter keeps packets out until the
//! datagrams are in: nothing overtakes them.

#![forbid(unsafe_code)]

use crate::{
    attr,
    cork::{
        self,
        NewCork, //
    },
    datagram::{
        self,
        Item, //
    },
    internals,
    map::{
        Destination,
        Maps, //
    },
    refusal::Refusal,
    restore::{
        self,
        Restored, //
    }, //
};

use kernel::{
    net::{
        netlink::{
            Attribute,
            Capability,
            DoRequest,
            Policy,
            Request,
            SockPriv,
            GENLMSG_DEFAULT_SIZE, //
        },
        socket::{
            ErrorInfo,
            ErrorOrigin,
            NewDatagram,
            NewError,
            Socket, //
        },
        Net, //
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

/// The transaction of a netlink socket, if it has one.
#[pin_data]
pub(crate) struct Transaction {
    #[pin]
    open: Mutex<Option<HalfBuilt>>,
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
    /// The datagram that does not have all of its payload yet.
    datagram: Option<Pending>,
    /// How many errors the socket has been given.
    errors: usize,
    /// The corked datagram, which comes behind the others.
    cork: Option<NewCork>,
    /// How long it has to be, if the first part says that there is one.
    cork_len: Option<u32>,
}

/// What is about to be put into a queue.
enum Pending {
    /// A datagram.
    Datagram(NewDatagram),
    /// An error, or a time stamp.
    Error(NewError),
    /// What tells of completed `MSG_ZEROCOPY` sends.
    Zerocopy(ErrorInfo),
}

impl Pending {
    /// Makes one without its payload.
    fn new(item: &Item, net: &Net) -> Result<Pending> {
        match &item.error {
            None => NewDatagram::new(net, &item.datagram).map(Pending::Datagram),
            Some(error) if error.origin == ErrorOrigin::Zerocopy => Ok(Pending::Zerocopy(*error)),
            Some(error) => NewError::new(net, &item.datagram, error).map(Pending::Error),
        }
    }

    /// Appends to its payload.
    fn fill(&mut self, bytes: &[u8]) -> Result {
        match self {
            Pending::Datagram(datagram) => datagram.fill(bytes),
            Pending::Error(error) => error.fill(bytes),
            Pending::Zerocopy(_) => Err(EMSGSIZE),
        }
    }

    /// Tells whether all of its payload is there.
    fn is_complete(&self) -> bool {
        match self {
            Pending::Datagram(datagram) => datagram.is_complete(),
            Pending::Error(error) => error.is_complete(),
            Pending::Zerocopy(_) => true,
        }
    }

    /// Puts it into its queue, of which `errors` have been put into that of errors.
    fn enqueue(self, socket: &mut Socket, errors: &mut usize) -> Result {
        let place = *errors;

        match self {
            Pending::Datagram(datagram) => return internals::enqueue(socket, datagram),
            Pending::Error(error) => internals::enqueue_error(socket, error, place)?,
            Pending::Zerocopy(error) => internals::enqueue_zerocopy(socket, &error, place)?,
        }
        *errors = place.saturating_add(1);
        Ok(())
    }
}

/// Answers a request that is part of a transaction.
pub(crate) fn part(
    request: &DoRequest<'_, Transaction>,
    part: &Attribute<'_>,
) -> Result<(), Refusal> {
    if !request.capable(Capability::NET_RAW) {
        return Err(Refusal::new(EPERM, "datagrams need CAP_NET_RAW").at(attr::TRANSACTION));
    }
    let transaction = request.sock_priv()?;
    let mut open = transaction.open.lock();
    let part = part.as_u32()?;

    if part == BEGIN {
        if open.is_some() {
            return Err(
                Refusal::new(EBUSY, "the netlink socket has a transaction already")
                    .at(attr::TRANSACTION),
            );
        }
        *open = Some(begin(request)?);
        return Ok(());
    }

    // Whatever goes wrong from here on is the end of it.
    let half = open.take().ok_or(
        Refusal::new(ENOENT, "the netlink socket has no transaction").at(attr::TRANSACTION),
    )?;
    match part {
        QUEUE => *open = Some(half.queue(request)?),
        COMMIT => half.commit(request)?,
        ABORT => only(request, &[attr::TRANSACTION])?,
        _ => return Err(Refusal::new(EINVAL, "no such part").at(attr::TRANSACTION)),
    }
    Ok(())
}

/// Makes the socket, and tells the requester which one it is.
fn begin(request: &Request<'_>) -> Result<HalfBuilt, Refusal> {
    let cork_len = match request.attr(attr::CORK_LEN) {
        Some(len) => Some(len.as_u32()?),
        None => None,
    };
    let maps = Maps::parse(request)?;
    let restored = restore::make(request, &maps, true)?;

    let reply = request.reply(GENLMSG_DEFAULT_SIZE)?;
    restored.put_identity(&reply)?;
    reply.send()?;
    Ok(HalfBuilt {
        restored,
        maps,
        datagram: None,
        errors: 0,
        cork: None,
        cork_len,
    })
}

impl HalfBuilt {
    /// Puts the datagrams and errors of a request into the socket.
    fn queue(mut self, request: &Request<'_>) -> Result<HalfBuilt, Refusal> {
        only(
            request,
            &[attr::TRANSACTION, attr::DATAGRAM, attr::PAYLOAD, attr::CORK],
        )?;

        let (mut datagrams, mut payloads, mut corks) = (0, 0, 0);
        for attr in request.attrs() {
            let nth = match attr.type_() {
                attr::DATAGRAM => &mut datagrams,
                attr::PAYLOAD => &mut payloads,
                attr::CORK => &mut corks,
                _ => continue,
            };
            self.take(&attr, request)
                .map_err(|refusal| refusal.of_list(*nth))?;
            *nth += 1;
        }
        Ok(self)
    }

    /// Takes the beginning of a datagram, or a piece of its payload.
    fn take(&mut self, attr: &Attribute<'_>, request: &Request<'_>) -> Result<(), Refusal> {
        if attr.type_() == attr::CORK || self.cork.is_some() {
            return self.take_cork(attr, request);
        }
        let pending = self.datagram.take();
        let wrong = |reason| Err(Refusal::new(EINVAL, reason).at(attr.type_()));

        let new = match (attr.type_(), pending) {
            (attr::DATAGRAM, Some(_)) => return wrong("the one before is not complete"),
            (attr::DATAGRAM, None) => {
                let item = datagram::parse(attr, &Destination::new(request, &self.maps))?;
                Pending::new(&item, request.net()).map_err(|errno| match errno {
                    EMSGSIZE => Refusal::new(ERANGE, "longer than a datagram can be").inside(
                        attr::DATAGRAM,
                        attr::datagram::LEN,
                        &datagram::POLICY,
                    ),
                    errno => errno.into(),
                })?
            }
            (_, None) => return wrong("a payload without a datagram"),
            (_, Some(mut pending)) => match pending.fill(attr.as_bytes()) {
                Ok(()) => pending,
                Err(_) => return wrong("more payload than the datagram has"),
            },
        };
        if !new.is_complete() {
            self.datagram = Some(new);
            return Ok(());
        }
        new.enqueue(self.restored.socket(), &mut self.errors)
            .map_err(|errno| {
                let refusal = match errno {
                    ENOMEM => Refusal::new(ENOBUFS, "the receive buffer has no room for it"),
                    ENOSPC => Refusal::new(ENOBUFS, "net.core.optmem_max has no room for it"),
                    errno => Refusal::new(errno, "cannot be queued"),
                };
                refusal.at(attr.type_())
            })
    }

    /// Takes the corked datagram, or a piece of its payload.
    fn take_cork(&mut self, attr: &Attribute<'_>, request: &Request<'_>) -> Result<(), Refusal> {
        let wrong = |reason| Err(Refusal::new(EINVAL, reason).at(attr.type_()));

        match (attr.type_(), &mut self.cork) {
            (attr::CORK, Some(_)) => wrong("there is a corked datagram already"),
            (attr::CORK, None) if self.datagram.is_some() => {
                wrong("the one before is not complete")
            }
            (attr::CORK, None) => {
                let there = Destination::new(request, &self.maps);
                let cork = NewCork::parse(attr, &there)?;
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

    /// Hands out the socket.
    fn commit(mut self, request: &Request<'_>) -> Result<(), Refusal> {
        only(request, &[attr::TRANSACTION])?;
        let incomplete = |reason| Err(Refusal::new(EINVAL, reason).at(attr::TRANSACTION));

        if self.datagram.is_some() {
            return incomplete("the last datagram is not complete");
        }
        match &self.cork {
            Some(cork) if cork.is_complete() => {
                cork.restore(self.restored.socket(), self.errors)?
            }
            Some(_) => return incomplete("the corked datagram is not complete"),
            None if self.cork_len.is_some() => {
                return incomplete("the corked datagram has not come");
            }
            None => {}
        }
        self.restored.hand_out(request)
    }
}

/// Refuses a request with attributes that do not belong to its part of the transaction.
fn only(request: &Request<'_>, allowed: &[u16]) -> Result<(), Refusal> {
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
