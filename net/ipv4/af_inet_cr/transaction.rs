// SPDX-License-Identifier: GPL-2.0

//! A restore in several messages: the socket, its datagrams, and the end.
//!
//! The half-built socket belongs to the netlink socket of the requester and goes with it. It is
//! bound and connected, so that nobody takes its port, but a filter keeps packets out until the
//! datagrams are in: nothing overtakes them.

#![forbid(unsafe_code)]

use crate::{
    attr,
    datagram,
    internals,
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
        socket::NewDatagram,
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
    /// The datagram that does not have all of its payload yet.
    datagram: Option<NewDatagram>,
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
    let restored = restore::make(request, true)?;

    let reply = request.reply(GENLMSG_DEFAULT_SIZE)?;
    restored.put_identity(&reply)?;
    reply.send()?;
    Ok(HalfBuilt {
        restored,
        datagram: None,
    })
}

impl HalfBuilt {
    /// Puts the datagrams of a request into the socket.
    fn queue(mut self, request: &Request<'_>) -> Result<HalfBuilt, Refusal> {
        only(request, &[attr::TRANSACTION, attr::DATAGRAM, attr::PAYLOAD])?;

        let (mut datagrams, mut payloads) = (0, 0);
        for attr in request.attrs() {
            let nth = match attr.type_() {
                attr::DATAGRAM => &mut datagrams,
                attr::PAYLOAD => &mut payloads,
                _ => continue,
            };
            self.take(&attr, request.net())
                .map_err(|refusal| refusal.of_list(*nth))?;
            *nth += 1;
        }
        Ok(self)
    }

    /// Takes the beginning of a datagram, or a piece of its payload.
    fn take(&mut self, attr: &Attribute<'_>, net: &Net) -> Result<(), Refusal> {
        let pending = self.datagram.take();
        let wrong = |reason| Err(Refusal::new(EINVAL, reason).at(attr.type_()));

        let new = match (attr.type_(), pending) {
            (attr::DATAGRAM, Some(_)) => return wrong("the one before is not complete"),
            (attr::DATAGRAM, None) => {
                let info = datagram::parse(attr, net)?;
                NewDatagram::new(net, &info).map_err(|errno| match errno {
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
        internals::enqueue(self.restored.socket(), new).map_err(|errno| {
            let refusal = match errno {
                ENOMEM => Refusal::new(ENOBUFS, "the receive buffer has no room for it"),
                errno => Refusal::new(errno, "cannot be queued"),
            };
            refusal.at(attr.type_())
        })
    }

    /// Hands out the socket.
    fn commit(self, request: &Request<'_>) -> Result<(), Refusal> {
        only(request, &[attr::TRANSACTION])?;
        if self.datagram.is_some() {
            return Err(
                Refusal::new(EINVAL, "the last datagram is not complete").at(attr::TRANSACTION)
            );
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
