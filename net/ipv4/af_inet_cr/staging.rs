// SPDX-License-Identifier: GPL-2.0

//! An amendment in several messages: the state, then datagrams and errors, which come to the socket
//! with the last message.
//!
//! Until then they are kept apart, so that who fails or gives up half-way can begin again: nothing
//! of it is in the socket, and nothing will be there twice.

#![forbid(unsafe_code)]

use crate::{
    amend,
    assembly::{
        self,
        Assembly,
        Waiting, //
    },
    attr,
    dump,
    live::Patience,
    map::{
        Destination,
        Maps, //
    },
    refusal::Refusal,
    transaction, //
};

use kernel::{
    net::{
        netlink::{
            Attribute,
            Request,
            GENLMSG_DEFAULT_SIZE, //
        },
        sock::UdpSock,
        socket::SocketFile, //
    },
    prelude::*, //
};

/// What is to come to a socket that exists.
///
/// It is charged to who sends it, until somebody receives it.
pub(crate) struct Staged {
    /// The socket, which is open as long as this is.
    file: SocketFile,
    /// The maps of the first part, which hold for all.
    maps: Maps,
    /// The datagram that is not complete.
    assembly: Assembly,
    /// Those that are, in their order.
    items: KVVec<Waiting>,
    /// How much memory these will take in the socket.
    memory: usize,
}

impl Staged {
    /// Applies the state that the first part has.
    pub(crate) fn begin(request: &Request<'_>) -> Result<Staged, Refusal> {
        let (file, maps) = amend::apply(request, true)?;

        Ok(Staged {
            file,
            maps,
            assembly: Assembly::new(),
            items: KVVec::new(),
            memory: 0,
        })
    }

    /// Refuses a socket that nobody else has open any more.
    fn check_open(&self) -> Result<(), Refusal> {
        match self.file.is_shared() {
            true => Ok(()),
            false => Err(Refusal::new(ENOENT, "the socket was closed")),
        }
    }

    /// Takes the datagrams and errors of a request.
    pub(crate) fn queue(&mut self, request: &Request<'_>) -> Result<(), Refusal> {
        transaction::only(request, &[attr::TRANSACTION, attr::DATAGRAM, attr::PAYLOAD])?;
        self.check_open()?;

        assembly::for_each(request, |attr| self.take(attr, request))
    }

    /// Takes the beginning of a datagram, or a piece of its payload.
    fn take(&mut self, attr: &Attribute<'_>, request: &Request<'_>) -> Result<(), Refusal> {
        let there = Destination::new(request, &self.maps);
        let Some(item) = self.assembly.take(attr, &there, GFP_KERNEL_ACCOUNT)? else {
            return Ok(());
        };
        let memory = self.memory.saturating_add(item.memory());
        let room = usize::try_from(self.file.rcvbuf()).unwrap_or(0);

        // One alone may be larger, as for a socket in which nothing waits.
        if memory > room && !self.items.is_empty() {
            return Err(assembly::not_queued(ENOMEM).at(attr.type_()));
        }
        self.items.push(item, GFP_KERNEL_ACCOUNT)?;
        self.memory = memory;
        Ok(())
    }

    /// Puts all of it into the socket, and tells what is not there.
    ///
    /// Once something is, nothing fails but the reply itself.
    pub(crate) fn commit(self, request: &Request<'_>) -> Result<(), Refusal> {
        transaction::only(request, &[attr::TRANSACTION])?;
        if !self.assembly.is_complete() {
            return Err(transaction::incomplete("the last datagram is not complete"));
        }
        self.check_open()?;
        amend::permit(&self.file)?;

        // There is room for a report.
        let reply = request.reply(GENLMSG_DEFAULT_SIZE.saturating_add(Refusal::ROOM))?;
        amend::put_identity(&self.file, &reply)?;

        // At most one of what is sent at once waits for the lock, as the first part is the last
        // there.
        let sock = dump::lock(&self.file, &mut Patience::some())?;
        if sock.has_user_data() || !sock.udp().is_some_and(UdpSock::is_plain) {
            return Err(Refusal::new(
                EOPNOTSUPP,
                "a part of the kernel receives from the socket",
            ));
        }
        for (nth, item) in self.items.into_iter().enumerate() {
            if let Err(errno) = item.append(&sock) {
                // What is behind it would take its place.
                let refusal = assembly::not_queued(errno).about(NOTHING_BEHIND);
                refusal.at(attr::DATAGRAM).of_list(nth).report(&reply)?;
                break;
            }
        }
        drop(sock);
        Ok(reply.send()?)
    }
}

/// What is said in front of why something is not in its queue.
const NOTHING_BEHIND: &str = "from this one on nothing was queued:";

#[cfg(CONFIG_AF_INET_CR_KUNIT_TEST)]
#[kernel::macros::kunit_tests(af_inet_cr_staging)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_room() {
        let longest = "net.core.optmem_max has no room for it";

        assert!(NOTHING_BEHIND.len() + 1 + longest.len() <= Refusal::WORDS);
    }
}
