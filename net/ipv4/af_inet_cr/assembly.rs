// SPDX-License-Identifier: GPL-2.0

//! Datagrams and errors, put together from the messages of a transaction.
//!
//! Where they go when they are complete is for the transaction to say: into a new socket at once
//! (`transaction.rs`), or into one that exists when all of them have come (`staging.rs`).

#![forbid(unsafe_code)]

use crate::{
    attr,
    datagram::{
        self,
        Item, //
    },
    internals,
    map::Destination,
    refusal::Refusal, //
};

use kernel::{
    alloc::Flags,
    net::{
        netlink::{
            Attribute,
            Request, //
        },
        socket::{
            ErrorInfo,
            ErrorOrigin,
            LockedNewSocket,
            LockedSocket,
            NewDatagram,
            NewError, //
        },
        Net, //
    },
    num::casts::u32_as_usize,
    prelude::*, //
};

/// What is to wait in a socket.
pub(crate) enum Waiting {
    /// A datagram.
    Datagram(NewDatagram),
    /// An error, or a time stamp.
    Error(NewError),
    /// What tells of completed `MSG_ZEROCOPY` sends.
    Zerocopy(ErrorInfo),
}

impl Waiting {
    /// Makes one without its payload.
    fn new(item: &Item, net: &Net, flags: Flags) -> Result<Waiting> {
        let info = &item.datagram;

        match &item.error {
            None => NewDatagram::new(net, info, flags).map(Waiting::Datagram),
            Some(error) if error.origin == ErrorOrigin::Zerocopy => Ok(Waiting::Zerocopy(*error)),
            Some(error) => NewError::new(net, info, error, flags).map(Waiting::Error),
        }
    }

    /// Appends to its payload.
    fn fill(&mut self, bytes: &[u8]) -> Result {
        match self {
            Waiting::Datagram(datagram) => datagram.fill(bytes),
            Waiting::Error(error) => error.fill(bytes),
            Waiting::Zerocopy(_) => Err(EMSGSIZE),
        }
    }

    /// Tells whether all of its payload is there.
    fn is_complete(&self) -> bool {
        match self {
            Waiting::Datagram(datagram) => datagram.is_complete(),
            Waiting::Error(error) => error.is_complete(),
            Waiting::Zerocopy(_) => true,
        }
    }

    /// Returns how much memory it takes in a socket.
    pub(crate) fn memory(&self) -> usize {
        match self {
            Waiting::Datagram(datagram) => u32_as_usize(datagram.truesize()),
            Waiting::Error(error) => u32_as_usize(error.truesize()),
            Waiting::Zerocopy(_) => internals::ZEROCOPY_MEMORY,
        }
    }

    /// Puts it into its queue of a new socket, of which `errors` have been put into that of errors.
    pub(crate) fn enqueue(self, sock: &LockedNewSocket<'_>, errors: &mut usize) -> Result {
        let place = *errors;

        match self {
            Waiting::Datagram(datagram) => return internals::enqueue(sock, datagram),
            Waiting::Error(error) => internals::enqueue_error_at(sock, error, place)?,
            Waiting::Zerocopy(error) => internals::enqueue_zerocopy_at(sock, &error, place)?,
        }
        *errors = place.saturating_add(1);
        Ok(())
    }

    /// Puts it behind all that waits in a socket that others may use.
    pub(crate) fn append(self, sock: &LockedSocket<'_>) -> Result {
        match self {
            Waiting::Datagram(datagram) => internals::enqueue(sock, datagram),
            Waiting::Error(error) => internals::enqueue_error(sock, error),
            Waiting::Zerocopy(error) => internals::enqueue_zerocopy(sock, &error),
        }
    }
}

/// Refuses what does not go into its queue.
pub(crate) fn not_queued(errno: Error) -> Refusal {
    match errno {
        ENOMEM => Refusal::new(ENOBUFS, "the receive buffer has no room for it"),
        ENOSPC => Refusal::new(ENOBUFS, "net.core.optmem_max has no room for it"),
        errno => Refusal::new(errno, "cannot be queued"),
    }
}

/// Calls a function for each attribute of a request that is about what waits, in their order.
pub(crate) fn for_each(
    request: &Request<'_>,
    mut run: impl FnMut(&Attribute<'_>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let (mut datagrams, mut payloads, mut corks) = (0, 0, 0);

    for attr in request.attrs() {
        let nth = match attr.type_() {
            attr::DATAGRAM => &mut datagrams,
            attr::PAYLOAD => &mut payloads,
            attr::CORK => &mut corks,
            _ => continue,
        };
        run(&attr).map_err(|refusal| refusal.of_list(*nth))?;
        *nth += 1;
    }
    Ok(())
}

/// The datagram that does not have all of its payload yet, if there is one.
pub(crate) struct Assembly(Option<Waiting>);

impl Assembly {
    /// Begins with none.
    pub(crate) const fn new() -> Assembly {
        Assembly(None)
    }

    /// Tells whether none lacks anything.
    pub(crate) fn is_complete(&self) -> bool {
        self.0.is_none()
    }

    /// Takes the beginning of a datagram, or a piece of its payload, and returns the datagram when
    /// it is complete. What is allocated has these flags.
    pub(crate) fn take(
        &mut self,
        attr: &Attribute<'_>,
        there: &Destination<'_>,
        flags: Flags,
    ) -> Result<Option<Waiting>, Refusal> {
        let wrong = |reason| Err(Refusal::new(EINVAL, reason).at(attr.type_()));

        let new = match (attr.type_(), self.0.take()) {
            (attr::DATAGRAM, Some(_)) => return wrong("the one before is not complete"),
            (attr::DATAGRAM, None) => {
                let item = datagram::parse(attr, there)?;
                Waiting::new(&item, there.net(), flags).map_err(|errno| match errno {
                    EMSGSIZE => Refusal::new(ERANGE, "longer than a datagram can be").inside(
                        attr::DATAGRAM,
                        attr::datagram::LEN,
                        &datagram::POLICY,
                    ),
                    errno => errno.into(),
                })?
            }
            (_, None) => return wrong("a payload without a datagram"),
            (_, Some(mut waiting)) => match waiting.fill(attr.as_bytes()) {
                Ok(()) => waiting,
                Err(_) => return wrong("more payload than the datagram has"),
            },
        };
        if new.is_complete() {
            return Ok(Some(new));
        }
        self.0 = Some(new);
        Ok(None)
    }
}
