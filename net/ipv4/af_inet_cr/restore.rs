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
    filter::{
        self,
        Filter, //
    },
    membership::Membership,
    options::{
        Nest,
        Phase,
        COUNT,
        OPTIONS, //
    },
    policy,
    protocol::Protocol,
    refusal::{
        self,
        Refusal, //
    },
};

use kernel::{
    fs::file::{
        flags,
        FileDescriptorReservation, //
    },
    net::{
        netlink::{
            DoOperation,
            OpFlags,
            Policy,
            Request,
            GENLMSG_DEFAULT_SIZE, //
        },
        socket::Socket,
        Net, //
    },
    prelude::*,
    uapi, //
};

/// The bit of `AF_INET_CR_ATTR_FILE_FLAGS` for `O_NONBLOCK`.
const NONBLOCK: u32 = uapi::af_inet_cr_file_flag_AF_INET_CR_FILE_FLAG_NONBLOCK;

/// The bit of `AF_INET_CR_ATTR_FILE_FLAGS` for `O_ASYNC`.
const ASYNC: u32 = uapi::af_inet_cr_file_flag_AF_INET_CR_FILE_FLAG_ASYNC;

/// The highest number of an attribute that a request may have.
const LAST: usize = {
    let last = policy::last(Nest::None);
    let others = [attr::FILE_FLAGS, attr::IP, attr::UDP, attr::MEMBERSHIP];
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
    // CAST: Small numbers.
    table[attr::SOCK_STATE as usize] =
        Policy::u32_range(address::ESTABLISHED as i16, address::CLOSE as i16);
    table[attr::SOCKOPT_FILTER as usize] = filter::policy();
    table[attr::FILE_FLAGS as usize] = Policy::u32_mask(NONBLOCK | ASYNC);
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
    table
};

/// The operation.
pub(crate) struct Restore;

impl DoOperation for Restore {
    // CAST: A small number.
    const CMD: u8 = uapi::AF_INET_CR_CMD_RESTORE as u8;
    const FLAGS: OpFlags = OpFlags::UNS_ADMIN_PERM;
    const POLICY: &'static [Policy] = &POLICY;

    fn doit(request: &Request<'_>) -> Result {
        restore(request).map_err(|refusal| refusal.tell(request))
    }
}

/// Answers a request.
fn restore(request: &Request<'_>) -> Result<(), Refusal> {
    let image = Image::parse(request)?;

    if !request.is_last() && image.takes_long() {
        return Err(Refusal::new(
            EBUSY,
            "of several requests only the last may connect, or be a member of groups",
        ));
    }

    let fd = FileDescriptorReservation::get_unused_fd_flags(flags::O_CLOEXEC)
        .map_err(|errno| Refusal::new(errno, "no file descriptor is free"))?;
    let socket = image.make(request.net())?;

    let reply = request.reply(GENLMSG_DEFAULT_SIZE)?;
    reply.put_uint(attr::INODE, socket.ino())?;
    reply.put_u32(attr::SOCK_FD, fd.reserved_fd())?;
    reply.put_uint(attr::COOKIE, socket.cookie())?;

    let file = socket.into_file(image.file_flags)?;

    // The requester cannot use the descriptor before this call returns, but its threads could:
    // nothing may fail once there is something behind it.
    reply.send()?;
    fd.fd_install(file);
    Ok(())
}

/// What a message says about a socket.
struct Image<'a> {
    /// What kind of socket it is.
    protocol: &'static Protocol,
    /// The flags of the open file (`O_*`).
    file_flags: u32,
    /// Addresses and ports.
    addresses: Addresses,
    /// The classic filter.
    filter: Filter,
    /// The multicast groups.
    memberships: KVec<Membership>,
    /// The options, in the order of their table; [`None`] for those that were not saved.
    values: KVec<Option<Value<'a>>>,
}

impl<'a> Image<'a> {
    /// Reads a message, and refuses all that can be refused without a socket.
    ///
    /// It needs more of the stack than what comes after it.
    #[inline(never)]
    fn parse(request: &'a Request<'a>) -> Result<Image<'a>, Refusal> {
        refusal::repeated(request)?;

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

        let file_flags = match request.attr(attr::FILE_FLAGS) {
            Some(attr) => attr.as_u32()?,
            None => 0,
        };
        if file_flags & !NONBLOCK != 0 {
            return Err(Refusal::new(EOPNOTSUPP, "is not carried yet")
                .about("O_ASYNC")
                .at(attr::FILE_FLAGS));
        }

        let levels = Levels::open(request)?;
        let mut values = KVec::with_capacity(COUNT, GFP_KERNEL)?;
        for option in OPTIONS {
            values.push(option.parse(&levels)?, GFP_KERNEL)?;
        }

        Ok(Image {
            protocol,
            file_flags: match file_flags & NONBLOCK {
                0 => 0,
                _ => flags::O_NONBLOCK,
            },
            addresses: Addresses::parse(request, state)?,
            filter: Filter::parse(request)?,
            memberships: Membership::parse_all(request)?,
            values,
        })
    }

    /// Whether making the socket waits for others.
    fn takes_long(&self) -> bool {
        self.addresses.is_connected() || !self.memberships.is_empty()
    }

    /// Makes the socket.
    fn make(&self, net: &Net) -> Result<Socket, Refusal> {
        let Protocol {
            family,
            type_,
            protocol,
            ..
        } = *self.protocol;
        let mut socket = Socket::create(net, family, type_, protocol)
            .map_err(|errno| Refusal::new(errno, "cannot make a socket"))?;

        let saved_options = || {
            OPTIONS
                .iter()
                .zip(&self.values)
                .filter_map(|(option, value)| Some((option, (*value)?)))
        };

        // The table is sorted by phase.
        let mut saved = saved_options().peekable();
        while let Some((option, value)) =
            saved.next_if(|(option, _)| option.phase < Phase::AfterConnect)
        {
            option.restore(value, &mut socket)?;
        }
        // Once it is bound, it hears no source that the original did not.
        for (nth, membership) in self.memberships.iter().enumerate() {
            membership
                .restore(&mut socket)
                .map_err(|refusal| refusal.of_list(nth))?;
        }
        self.addresses.restore(&mut socket, &self.filter)?;
        for (option, value) in saved {
            option.restore(value, &mut socket)?;
        }

        let locked = socket.lock();
        self.addresses.verify(&locked)?;
        for (option, value) in saved_options() {
            option.verify(value, &locked)?;
        }
        drop(locked);

        Ok(socket)
    }
}
