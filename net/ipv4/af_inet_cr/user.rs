// SPDX-License-Identifier: GPL-2.0

//! The user that a socket belongs to.
//!
//! It is whom rules of routing and `SO_REUSEPORT` groups look at, so that it is the first thing
//! that a new socket gets.

#![forbid(unsafe_code)]

use crate::{
    attr,
    live::Live,
    refusal::Refusal, //
};

use kernel::{
    cred::Credential,
    net::{
        netlink::{
            AttrWriter,
            Request, //
        },
        sock::Sock,
        socket::Socket, //
    },
    prelude::*, //
};

/// Writes the user into a message, unless it has no number where the requester is.
///
/// Also in a dump the credentials are those of the requester, whoever reads on.
pub(crate) fn put(sock: &Sock, msg: &AttrWriter) -> Result {
    match Credential::current().uid_of(sock.user()) {
        Some(uid) => msg.put_u32(attr::UID, uid),
        None => Ok(()),
    }
}

/// The user that a socket is to belong to, if it was saved.
pub(crate) struct User(Option<u32>);

impl User {
    /// Reads what is in a message.
    pub(crate) fn parse(request: &Request<'_>) -> Result<User> {
        let uid = request.attr(attr::UID).map(|attr| attr.as_u32());

        Ok(User(uid.transpose()?))
    }

    /// Makes a new socket that of the user.
    pub(crate) fn restore(&self, socket: &mut Socket) -> Result<(), Refusal> {
        match self.0 {
            Some(uid) => socket.set_user(uid).map_err(refused),
            None => Ok(()),
        }
    }

    /// Says that a socket in use is another user's.
    ///
    /// `fchown(2)` gives it away, for which the requester needs nobody. It locks the inode, as the
    /// close of a netlink socket does before it takes the lock that this request is handled with.
    pub(crate) fn amend(&self, live: &Live<'_>) -> Result<(), Refusal> {
        let is_theirs = |uid| Credential::current().uid_of(live.file().user()) == Some(uid);

        match self.0 {
            Some(uid) if !is_theirs(uid) => {
                let refusal = Refusal::new(EOPNOTSUPP, "is set by fchown(2) alone");
                Err(refusal.about("the user").at(attr::UID))
            }
            _ => Ok(()),
        }
    }
}

/// Says why a socket cannot belong to the user.
fn refused(errno: Error) -> Refusal {
    let reason = match errno {
        EINVAL => "there is no such user here",
        _ => "a socket of another user needs CAP_SETUID",
    };
    Refusal::new(errno, reason).at(attr::UID)
}
