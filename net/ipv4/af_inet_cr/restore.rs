// SPDX-License-Identifier: GPL-2.0

//! `AF_INET_CR_CMD_RESTORE`: a socket from a message.
//!
//! All or nothing: what a message says is checked before anything is made, the new socket is seen
//! by nobody but this code until the reply is on its way, and an error drops it.

#![forbid(unsafe_code)]

use crate::{
    address::{
        self,
        Addresses, //
    },
    attr,
    codec::{
        Levels,
        Value, //
    },
    cork,
    datagram,
    file::{
        self,
        File, //
    },
    filter::{
        self,
        Filter, //
    },
    loss,
    map::{
        self,
        Destination,
        Maps, //
    },
    membership::Membership,
    options::{
        Nest,
        Phase,
        Shape,
        SocketOption,
        COUNT,
        OPTIONS, //
    },
    policy,
    protocol::Protocol,
    refusal::{
        self,
        Refusal, //
    },
    reuseport::Program,
    transaction::{
        self,
        Command,
        Transaction, //
    },
    user::User, //
};

use kernel::{
    fs::file::{
        flags,
        FileDescriptorReservation, //
    },
    net::{
        netlink::{
            AttrWriter,
            DoOperation,
            DoRequest,
            OpFlags,
            Policy,
            Request, //
        },
        socket::Socket,
        Net, //
    },
    prelude::*,
    uapi, //
};

/// The highest number of an attribute that a request may have.
pub(crate) const LAST: usize = {
    let last = policy::last(Nest::None);
    let others = [
        attr::FILE_FLAGS,
        attr::TRANSACTION,
        attr::ERROR_QUEUE_LEN,
        attr::CORK_LEN,
    ];
    let mut max = last;
    let mut i = 0;

    while i < others.len() {
        if others[i] as usize > max {
            max = others[i] as usize;
        }
        i += 1;
    }
    max
};

/// The policy: that of the option table, and of what is no option.
pub(crate) static POLICY: [Policy; LAST + 1] = {
    let mut table = policy::of_options::<{ LAST + 1 }>(Nest::None);

    table[attr::INODE as usize] = Policy::uint();
    table[attr::SOCK_FD as usize] = Policy::u32();
    table[attr::COOKIE as usize] = Policy::uint();
    table[attr::CGROUP as usize] = Policy::uint();
    table[attr::REUSEPORT_INDEX as usize] = Policy::u32();
    // CAST: Small numbers.
    table[attr::SOCK_STATE as usize] =
        Policy::u32_range(address::ESTABLISHED as i16, address::CLOSE as i16);
    table[attr::SOCKOPT_FILTER as usize] = filter::policy();
    table[attr::REUSEPORT_FILTER as usize] = filter::policy();
    table[attr::FILE_FLAGS as usize] = file::policy();
    table[attr::UID as usize] = Policy::u32();
    table[attr::OWNER as usize] = Policy::nested(&file::OWNER);
    table[attr::LOCAL_ADDR as usize] = policy::addr();
    table[attr::LOCAL_PORT as usize] = Policy::be16();
    table[attr::PEER_ADDR as usize] = policy::addr();
    table[attr::PEER_PORT as usize] = Policy::be16();
    table[attr::SOURCE_ADDR as usize] = policy::addr();
    table[attr::BIND_LOCKS as usize] = Policy::u32_mask(address::LOCKS);
    table[attr::BOUND_IFINDEX as usize] = Policy::u32();
    table[attr::IP as usize] = Policy::nested(Nest::Ip.policies());
    table[attr::UDP as usize] = Policy::nested(Nest::Udp.policies());
    table[attr::MEMBERSHIP as usize] = Policy::nested(&policy::MEMBERSHIP);
    table[attr::DATAGRAM as usize] = Policy::nested(&datagram::POLICY);
    table[attr::PAYLOAD as usize] = Policy::binary_max(uapi::AF_INET_CR_PAYLOAD_MAX as u16);
    table[attr::CORK as usize] = Policy::nested(&cork::POLICY);
    table[attr::LOST as usize] = loss::policy();
    table[attr::ALLOW_LOST as usize] = loss::policy();
    table[attr::MAP as usize] = Policy::nested(&map::POLICY);
    table[attr::TRANSACTION as usize] = transaction::policy();
    table[attr::QUEUE_LEN as usize] = Policy::u32();
    table[attr::ERROR_QUEUE_LEN as usize] = Policy::u32();
    table[attr::CORK_LEN as usize] = Policy::u32();
    table
};

/// The operation.
pub(crate) struct Restore;

impl DoOperation for Restore {
    // CAST: A small number.
    const CMD: u8 = uapi::AF_INET_CR_CMD_RESTORE as u8;
    const FLAGS: OpFlags = OpFlags::UNS_ADMIN_PERM;
    const POLICY: &'static [Policy] = &POLICY;

    type SockPriv = Transaction;

    fn doit(request: &DoRequest<'_, Transaction>) -> Result {
        restore(request).map_err(|refusal| refusal.tell(request))
    }
}

/// Answers a request.
fn restore(request: &DoRequest<'_, Transaction>) -> Result<(), Refusal> {
    refusal::admit(request)?;

    match request.attr(attr::TRANSACTION) {
        Some(part) => transaction::part(request, &part, Command::Restore),
        None => {
            for ty in [attr::QUEUE_LEN, attr::ERROR_QUEUE_LEN] {
                let len = request.attr(ty).map_or(Ok(0), |attr| attr.as_u32())?;
                if len != 0 {
                    return Err(Refusal::new(
                        EINVAL,
                        "queued datagrams are restored by a transaction",
                    )
                    .at(ty));
                }
            }
            if request.attr(attr::CORK_LEN).is_some() {
                return Err(
                    Refusal::new(EINVAL, "a corked datagram is restored by a transaction")
                        .at(attr::CORK_LEN),
                );
            }
            make(request, &Maps::parse(request)?, false)?.hand_out(request)
        }
    }
}

/// Makes the socket of a request, which has these maps.
///
/// If it shall be `closed`, packets are kept out until it is handed out.
pub(crate) fn make(request: &Request<'_>, maps: &Maps, closed: bool) -> Result<Restored, Refusal> {
    let image = Image::parse(request, Destination::new(request, maps))?;

    if !request.is_last() && image.takes_long() {
        return Err(Refusal::new(
            EBUSY,
            "of several requests only the last may connect, or be a member of groups",
        ));
    }
    image.make(request.net(), closed)
}

/// A restored socket that was not handed out yet.
pub(crate) struct Restored {
    /// The socket.
    socket: Socket,
    /// What the open file is to be like.
    file: File,
    /// The filter that is to take the place of the one that keeps packets out, if one does.
    closed: Option<Filter>,
    /// The options that stand in the way of what is done before, and their values.
    last: KVec<(&'static SocketOption, Value<'static>)>,
}

impl Restored {
    /// How much room in a message it takes to say which socket it is, and its descriptor. A larger
    /// one would be copied into one that is as small.
    pub(crate) const REPLY: usize = 2 * Shape::LONG + Shape::NUMBER;

    /// Returns the socket.
    pub(crate) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Writes which socket it is into a message.
    pub(crate) fn put_identity(&self, msg: &AttrWriter) -> Result {
        msg.put_uint(attr::INODE, self.socket.ino())?;
        msg.put_uint(attr::COOKIE, self.socket.cookie())
    }

    /// Sets the last options, and lets packets in.
    fn open(&mut self) -> Result<(), Refusal> {
        for phase in [Phase::Last, Phase::Opened, Phase::FilterLock] {
            if phase == Phase::Opened {
                if let Some(filter) = self.closed.take() {
                    filter.replace(&mut self.socket)?;
                }
            }
            for (option, value) in self.last.iter().filter(|(it, _)| it.phase == phase) {
                option.restore(*value, &mut self.socket)?;
                option.verify(*value, &self.socket)?;
            }
        }
        Ok(())
    }

    /// Gives the socket to the requester.
    pub(crate) fn hand_out(mut self, request: &Request<'_>) -> Result<(), Refusal> {
        let fd = FileDescriptorReservation::get_unused_fd_flags(flags::O_CLOEXEC)
            .map_err(|errno| Refusal::new(errno, "no file descriptor is free"))?;
        self.open()?;

        let reply = request.reply(Self::REPLY)?;
        self.put_identity(&reply)?;
        reply.put_u32(attr::SOCK_FD, fd.reserved_fd())?;

        let file = self.file.open(self.socket, fd.reserved_fd())?;

        // The requester cannot use the descriptor before this call returns, but its threads could:
        // nothing may fail once there is something behind it.
        reply.send()?;
        fd.fd_install(file.into_file());
        Ok(())
    }
}

/// What a message says about a socket.
struct Image<'a> {
    /// What kind of socket it is.
    protocol: &'static Protocol,
    /// The user that it is to belong to.
    user: User,
    /// What the open file is to be like.
    file: File,
    /// Addresses and ports.
    addresses: Addresses,
    /// The classic filter.
    filter: Filter,
    /// The program of the group that shares the port.
    reuseport: Program,
    /// The multicast groups.
    memberships: KVVec<Membership>,
    /// The options that were saved, in the order of their table, and their values.
    options: KVec<(&'static SocketOption, Value<'a>)>,
}

impl<'a> Image<'a> {
    /// Reads a message, and refuses all that can be refused without a socket.
    ///
    /// It needs more of the stack than what comes after it.
    #[inline(never)]
    fn parse(request: &'a Request<'a>, there: Destination<'a>) -> Result<Image<'a>, Refusal> {
        for ty in [attr::DATAGRAM, attr::PAYLOAD, attr::CORK] {
            if request.attr(ty).is_some() {
                return Err(Refusal::new(EINVAL, "does not belong to this request").at(ty));
            }
        }

        loss::check(request)?;

        let required = |ty, reason| -> Result<u32, Refusal> {
            let attr = request.attr(ty).ok_or(Refusal::missing(ty, reason))?;
            Ok(attr.as_u32()?)
        };
        let protocol = Protocol::find(
            required(attr::SOCK_FAMILY, "no address family")?,
            required(attr::SOCK_TYPE, "no type")?,
            required(attr::SOCK_PROTOCOL, "no protocol")?,
        )?;

        let state = required(attr::SOCK_STATE, "no state")?;
        if state != address::ESTABLISHED && state != address::CLOSE {
            return Err(Refusal::new(EINVAL, "no socket is in this state").at(attr::SOCK_STATE));
        }

        let levels = Levels::open(request, there)?;
        let mut options = KVec::with_capacity(COUNT, GFP_KERNEL)?;
        for option in OPTIONS {
            if let Some(value) = option.parse(&levels)? {
                // There is room for all.
                options
                    .push_within_capacity((option, value))
                    .map_err(|_| ENOMEM)?;
            }
        }

        Ok(Image {
            protocol,
            user: User::parse(request)?,
            file: File::parse(request)?,
            addresses: Addresses::parse(request, &there, state)?,
            filter: Filter::parse(request)?,
            reuseport: Program::parse(request)?,
            memberships: Membership::parse_all(request, &there)?,
            options,
        })
    }

    /// Whether making the socket waits for others.
    fn takes_long(&self) -> bool {
        self.addresses.is_connected() || !self.memberships.is_empty()
    }

    /// Makes the socket, all but its last options.
    fn make(self, net: &Net, closed: bool) -> Result<Restored, Refusal> {
        let Protocol {
            family,
            type_,
            protocol,
            ..
        } = *self.protocol;
        let mut socket = Socket::create(net, family, type_, protocol)
            .map_err(|errno| Refusal::new(errno, "cannot make a socket"))?;

        self.user.restore(&mut socket)?;

        // The table is sorted by phase.
        let until = |phase| {
            self.options
                .partition_point(|(option, _)| option.phase < phase)
        };
        let (now, last) = self
            .options
            .split_at_checked(until(Phase::Last))
            .unwrap_or_default();
        let (before, after) = now
            .split_at_checked(until(Phase::AfterConnect))
            .unwrap_or_default();

        for (option, value) in before {
            option.restore(*value, &mut socket)?;
        }
        // Once it is bound, it hears no source that the original did not.
        for (nth, membership) in self.memberships.iter().enumerate() {
            membership
                .restore(&mut socket)
                .map_err(|refusal| refusal.of_list(nth))?;
        }
        let closed = closed && self.addresses.can_be_sent_to();
        self.addresses.restore(&mut socket, &self.filter, closed)?;
        self.reuseport.restore(&mut socket)?;
        for (option, value) in after {
            option.restore(*value, &mut socket)?;
        }

        let locked = socket.lock();
        self.addresses.verify(&locked)?;
        self.reuseport.verify(&locked)?;
        for (option, value) in now {
            option.verify(*value, &locked)?;
        }
        drop(locked);

        let mut numbers = KVec::with_capacity(last.len(), GFP_KERNEL)?;
        for (option, value) in last {
            // There are no others.
            if let Value::Int(value) = value {
                numbers.push((*option, Value::Int(*value)), GFP_KERNEL)?;
            }
        }
        Ok(Restored {
            socket,
            file: self.file,
            closed: closed.then_some(self.filter),
            last: numbers,
        })
    }
}
