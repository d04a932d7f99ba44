// SPDX-License-Identifier: GPL-2.0

//! `AF_INET_CR_CMD_DUMP`: a socket as a message. (Of many sockets at once: `many.rs`.)

#![forbid(unsafe_code)]

use crate::{
    address::{
        self,
        Addresses, //
    },
    attr,
    codec,
    cork::Corked,
    errqueue,
    file,
    filter,
    live::{
        self,
        Patience, //
    },
    loss::{
        self,
        Losses, //
    },
    membership,
    options::{
        Nest,
        Shape, //
    },
    protocol::Protocol,
    refusal::{
        self,
        Refusal, //
    },
    reuseport::Program,
    select,
    transaction::Transaction,
    user, //
};

use kernel::{
    net::{
        netlink::{
            AttrWriter,
            DoOperation,
            DoRequest,
            OpFlags,
            Policy,
            Request, //
        },
        socket::{
            LockedSocket,
            SocketFile,
            UdpSock, //
        },
        Net, //
    },
    pid_namespace::PidNamespace,
    prelude::*,
    uapi, //
};

/// The policy.
static POLICY: [Policy; attr::ALLOW_LOST as usize + 1] = {
    let mut table = [Policy::rejected(); attr::ALLOW_LOST as usize + 1];
    let mut i = 0;

    while i < select::POLICY.len() {
        table[i] = select::POLICY[i];
        i += 1;
    }
    table[attr::ALLOW_LOST as usize] = loss::policy();
    table
};

/// The operation.
pub(crate) struct Dump;

impl DoOperation for Dump {
    // CAST: A small number.
    const CMD: u8 = uapi::AF_INET_CR_CMD_DUMP as u8;
    const FLAGS: OpFlags = OpFlags::UNS_ADMIN_PERM;
    const POLICY: &'static [Policy] = &POLICY;

    type SockPriv = Transaction;

    fn doit(request: &DoRequest<'_, Transaction>) -> Result {
        dump(request).map_err(|refusal| refusal.tell(request))
    }
}

/// Answers a request.
fn dump(request: &Request<'_>) -> Result<(), Refusal> {
    refusal::admit(request)?;

    let file = select::select(request)?;
    let mut patience = match request.is_last() {
        true => Patience::some(),
        false => Patience::none(),
    };
    let socket = Dumpable::find(&file, &mut patience, Losses::allowed_by(request)?)?;

    if !request.is_last() && membership::are_many(&socket.sock) {
        return Err(Refusal::new(
            EBUSY,
            "of several requests only the last may be about a member of so many groups",
        ));
    }

    let reply = request.reply(Dumpable::PLAIN.saturating_add(socket.more_room()?))?;
    let current = current!();
    let pid_ns = current.active_pid_ns().ok_or(ESRCH)?;
    socket.put(request.net(), pid_ns, &reply)?;
    drop(socket);
    Ok(reply.send()?)
}

/// Takes the lock of a socket, but does not wait long for a sender that sleeps with it.
pub(crate) fn lock<'a>(
    file: &'a SocketFile,
    patience: &mut Patience,
) -> Result<LockedSocket<'a>, Refusal> {
    let sock = patience.lock(file).map_err(live::lock_refused)?;
    match sock.is_dead() {
        true => Err(Refusal::new(ENOENT, "the socket is being closed")),
        false => Ok(sock),
    }
}

/// A locked socket that can be dumped, by the requester.
pub(crate) struct Dumpable<'a> {
    file: &'a SocketFile,
    sock: LockedSocket<'a>,
    reuseport: Program,
    losses: Losses,
}

impl<'a> Dumpable<'a> {
    /// How much room in a message a socket may take without a program or a membership.
    pub(crate) const PLAIN: usize = {
        // The inode, the cookie, the control group, which socket and descriptor, the user, the
        // flags of the file, its owner, the state, the addresses, the place in a group, the
        // lengths of queues, and what is lost.
        let others = 3 * Shape::LONG + 23 * Shape::NUMBER;

        others + Nest::None.room() + Nest::Ip.room() + Nest::Udp.room()
    };

    /// Locks a socket, or refuses it for what it is, or has and must not lose.
    pub(crate) fn find(
        file: &'a SocketFile,
        patience: &mut Patience,
        mut losses: Losses,
    ) -> Result<Dumpable<'a>, Refusal> {
        let protocol = Protocol::of(file)?;
        let sock = lock(file, patience)?;

        permit(protocol, &sock)?;
        for level in protocol.uncovered {
            level.check(file, &sock, &mut losses)?;
        }
        filter::check(&sock, &mut losses)?;
        membership::check(&sock)?;
        let reuseport = Program::of(&sock, &mut losses)?;
        Ok(Dumpable {
            file,
            sock,
            reuseport,
            losses,
        })
    }

    /// Returns how much room in a message the socket takes beside what every socket has, which is
    /// [`Self::PLAIN`] at the most.
    pub(crate) fn more_room(&self) -> Result<usize, Refusal> {
        Ok(filter::room(&self.sock)
            .saturating_add(self.reuseport.room())
            .saturating_add(membership::room(&self.sock)))
    }

    /// Writes the socket into a message.
    ///
    /// All of it is read with the socket's lock held. The lock keeps away `bind()`, `connect()`,
    /// and what else takes it; the options that are set without it are each read once.
    pub(crate) fn put(
        &self,
        net: &Net,
        pid_ns: &PidNamespace,
        msg: &AttrWriter,
    ) -> Result<(), Refusal> {
        let Dumpable {
            file,
            sock,
            reuseport,
            losses,
        } = self;
        let mut losses = *losses;

        msg.put_uint(attr::INODE, sock.ino())?;
        msg.put_uint(attr::COOKIE, sock.cookie())?;
        msg.put_u32(attr::SOCK_STATE, sock.state().into())?;
        user::put(sock, msg)?;
        file::put(file, pid_ns, &mut losses, msg)?;
        if let Some(cgroup) = sock.cgroup_id() {
            msg.put_uint(attr::CGROUP, cgroup)?;
        }
        Addresses::read(sock)?.put(msg)?;
        filter::put(sock, msg)?;
        reuseport.put(sock, msg)?;
        membership::put(sock, net, msg)?;
        match sock.udp().map_or(0, UdpSock::queue_len) {
            0 => {}
            len => msg.put_u32(attr::QUEUE_LEN, len)?,
        }
        match errqueue::read(sock)?.len() {
            0 => {}
            // CAST: The length of a queue is a `u32`.
            len => msg.put_u32(attr::ERROR_QUEUE_LEN, len as u32)?,
        }
        if let Some(cork) = Corked::read(sock, net)? {
            msg.put_u32(attr::CORK_LEN, cork.len())?;
        }
        codec::put_options(sock, net, msg)?;
        Ok(losses.put(msg)?)
    }
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
