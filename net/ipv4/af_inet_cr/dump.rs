// SPDX-License-Identifier: GPL-2.0

//! `AF_INET_CR_CMD_DUMP`: a socket as a message.

#![forbid(unsafe_code)]

use crate::{
    address::{
        self,
        Addresses, //
    },
    attr,
    codec,
    filter,
    membership,
    protocol::Protocol,
    refusal::{
        self,
        Refusal, //
    },
    select,
    transaction::Transaction, //
};

use kernel::{
    fs::file::flags,
    net::{
        netlink::{
            AttrWriter,
            DoOperation,
            DoRequest,
            OpFlags,
            Policy,
            Request,
            GENLMSG_DEFAULT_SIZE, //
        },
        socket::{
            LockedSocket,
            SocketFile,
            UdpSock, //
        },
        Net, //
    },
    prelude::*,
    uapi, //
};

/// The operation.
pub(crate) struct Dump;

impl DoOperation for Dump {
    // CAST: A small number.
    const CMD: u8 = uapi::AF_INET_CR_CMD_DUMP as u8;
    const FLAGS: OpFlags = OpFlags::UNS_ADMIN_PERM;
    const POLICY: &'static [Policy] = &select::POLICY;

    type SockPriv = Transaction;

    fn doit(request: &DoRequest<'_, Transaction>) -> Result {
        dump(request).map_err(|refusal| refusal.tell(request))
    }
}

/// Answers a request.
fn dump(request: &Request<'_>) -> Result<(), Refusal> {
    refusal::repeated(request)?;

    let file = select::select(request)?;
    let protocol = Protocol::of(&file)?;

    let sock = lock(request, &file)?;
    permit(protocol, &sock)?;
    for level in protocol.uncovered {
        level.check(&file, &sock)?;
    }

    if !request.is_last() && membership::are_many(&sock) {
        return Err(Refusal::new(
            EBUSY,
            "of several requests only the last may be about a member of so many groups",
        ));
    }

    let room = GENLMSG_DEFAULT_SIZE
        .saturating_add(filter::room(&sock)?)
        .saturating_add(membership::room(&sock));
    let reply = request.reply(room)?;
    put(&file, &sock, request.net(), &reply)?;
    drop(sock);
    Ok(reply.send()?)
}

/// Takes the lock of a socket, but does not wait for a sender that sleeps with it.
pub(crate) fn lock<'a>(
    request: &Request<'_>,
    file: &'a SocketFile,
) -> Result<LockedSocket<'a>, Refusal> {
    let sock = match request.is_last() {
        true => file.lock_soon(),
        false => file.try_lock(),
    };
    let sock = sock.map_err(|errno| match errno {
        EBUSY => Refusal::new(EBUSY, "a sender keeps the socket locked, freeze its owner"),
        errno => errno.into(),
    })?;
    match sock.is_dead() {
        true => Err(Refusal::new(ENOENT, "the socket is being closed")),
        false => Ok(sock),
    }
}

/// Writes a socket into a message.
///
/// All of it is read with the socket's lock held. The lock keeps away `bind()`, `connect()`, and
/// what else takes it; the options that are set without it are each read once.
fn put(
    file: &SocketFile,
    sock: &LockedSocket<'_>,
    net: &Net,
    msg: &AttrWriter,
) -> Result<(), Refusal> {
    msg.put_uint(attr::INODE, sock.ino())?;
    msg.put_uint(attr::COOKIE, sock.cookie())?;
    msg.put_u32(attr::SOCK_STATE, sock.state().into())?;
    msg.put_u32(
        attr::FILE_FLAGS,
        match file.file_flags() & flags::O_NONBLOCK {
            0 => 0,
            _ => uapi::af_inet_cr_file_flag_AF_INET_CR_FILE_FLAG_NONBLOCK,
        },
    )?;
    Addresses::read(sock)?.put(msg)?;
    filter::put(sock, msg)?;
    membership::put(sock, net, msg)?;
    match sock.udp().map_or(0, UdpSock::queue_len) {
        0 => {}
        len => msg.put_u32(attr::QUEUE_LEN, len)?,
    }
    codec::put_options(sock, net, msg)
}

/// Asks the security module whether the requester may see the socket, as the calls that show it
/// would.
pub(crate) fn permit(protocol: &Protocol, sock: &LockedSocket<'_>) -> Result<(), Refusal> {
    let refused = |errno| Refusal::new(errno, "the security module refuses the addresses");

    for level in protocol.uncovered {
        level.permit(sock)?;
    }
    sock.security_getsockname().map_err(refused)?;
    if u32::from(sock.state()) == address::ESTABLISHED {
        sock.security_getpeername().map_err(refused)?;
    }
    Ok(())
}
