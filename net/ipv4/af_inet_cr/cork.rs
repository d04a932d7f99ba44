// SPDX-License-Identifier: GPL-2.0

//! The corked datagram of a socket: begun by its owner (`UDP_CORK`, `MSG_MORE`), and not sent yet.
//!
//! It is made anew by sending it from the new socket as its owner did, so that the route, security
//! modules and capabilities are asked again. What that makes is compared with what was dumped: on
//! the wire, the datagram is the same, or the socket is not restored.

#![forbid(unsafe_code)]

use crate::{
    address,
    attr::{
        self,
        cork, //
    },
    codec::{
        self,
        Table, //
    },
    consts::{
        IP_PKTINFO,
        IP_RETOPTS,
        IP_TOS,
        IP_TTL,
        SOL_IP,
        SOL_SOCKET,
        SOL_UDP,
        SO_BROADCAST,
        SO_MARK,
        SO_PRIORITY,
        SO_TIMESTAMPING_OLD,
        SO_TXTIME,
        UDP_SEGMENT, //
    },
    device,
    internals,
    map::Destination,
    policy,
    refusal::Refusal, //
};

use kernel::{
    net::{
        netlink::{
            AttrWriter,
            Attribute,
            Policy, //
        },
        sock::{
            IpOptions,
            Sock,
            SockFlag, //
        },
        socket::{
            ControlData,
            Cork,
            LockedSocket,
            Socket, //
        },
        InterfaceName,
        Net, //
    },
    num::casts::u32_as_usize,
    prelude::*,
    uapi, //
};

use core::net::{
    Ipv4Addr,
    SocketAddr,
    SocketAddrV4, //
};

/// The longest payload that a header can say.
const MAX_LEN: u32 = u16::MAX as u32 - UDP_HDRLEN;

/// The size of a UDP header.
const UDP_HDRLEN: u32 = 8;

/// The size of an IP header without options.
const IP_HDRLEN: u32 = 20;

/// The number of policies of what is in `AF_INET_CR_ATTR_CORK`.
const LEN: usize = cork::FRAGSIZE as usize + 1;

/// What is in `AF_INET_CR_ATTR_CORK`.
pub(crate) static POLICY: [Policy; LEN] = {
    let mut table = [Policy::rejected(); LEN];
    table[cork::LEN as usize] = Policy::u32();
    table[cork::DEST_ADDR as usize] = policy::addr();
    table[cork::DEST_PORT as usize] = Policy::be16();
    table[cork::SOURCE_ADDR as usize] = policy::addr();
    table[cork::TTL as usize] = Policy::u32_range(1, u8::MAX as i16);
    table[cork::TOS as usize] = Policy::u32_range(0, u8::MAX as i16);
    table[cork::MARK as usize] = Policy::u32();
    table[cork::PRIORITY as usize] = Policy::u32();
    // CAST: 40.
    table[cork::OPTIONS as usize] = Policy::binary_max(IpOptions::MAX as u16);
    table[cork::GSO_SIZE as usize] = Policy::u32();
    table[cork::TXTIME as usize] = Policy::uint();
    table[cork::TIMESTAMPING as usize] = Policy::u32_mask(Cork::TIMESTAMPING);
    table[cork::TSKEY as usize] = Policy::u32();
    table[cork::CONFIRM as usize] = Policy::u32_range(0, 1);
    table[cork::IFNAME as usize] = policy::ifname();
    table[cork::GATEWAY as usize] = Policy::u32_range(0, 1);
    table[cork::FRAGSIZE as usize] = Policy::u32();
    table
};

/// A corked datagram that can be carried.
pub(crate) struct Corked {
    /// All but the payload.
    info: Cork,
    /// The device that it goes out by.
    device: InterfaceName,
}

impl Corked {
    /// Reads the corked datagram of a socket, if it has one, or refuses it by name.
    pub(crate) fn read(sock: &LockedSocket<'_>, net: &Net) -> Result<Option<Corked>, Refusal> {
        let refuse = |name| Err(Refusal::new(EOPNOTSUPP, "is not carried yet").about(name));

        let info = match sock.cork() {
            Ok(Some(info)) => info,
            Ok(None) => return Ok(None),
            Err(EOPNOTSUPP) => return refuse("this kind of corked datagram"),
            Err(errno) => return Err(errno.into()),
        };
        if info.zerocopy {
            // Nobody else could be told that the memory is free.
            return refuse("a corked datagram of MSG_ZEROCOPY");
        }
        if info.xfrm {
            return refuse("a corked datagram that goes out by IPsec");
        }
        if !address::has_port(sock) {
            // A disconnect has taken the port. To send anything takes one.
            return refuse("a corked datagram of a socket without a port");
        }
        let Ok(device) = net.device_name(info.ifindex) else {
            return refuse("a corked datagram to a device that is gone");
        };
        if info.astray {
            return refuse("a corked datagram that connect() has given another address");
        }
        if info.dest.port() == 0 && !is_connected_to(sock, info.dest) {
            // To send to it by name is an error.
            return refuse("a corked datagram to port 0");
        }
        Ok(Some(Corked { info, device }))
    }

    /// Returns the length of the payload.
    pub(crate) fn len(&self) -> u32 {
        self.info.len
    }

    /// Copies the payload.
    pub(crate) fn payload(&self, sock: &LockedSocket<'_>) -> Result<KVVec<u8>> {
        let mut payload = KVVec::with_capacity(u32_as_usize(self.len()), GFP_KERNEL_ACCOUNT)?;

        sock.append_cork_to(&mut payload, GFP_KERNEL_ACCOUNT)?;
        Ok(payload)
    }

    /// Writes all but the payload into a message.
    ///
    /// What is zero on most of them is left out then.
    pub(crate) fn put(&self, msg: &AttrWriter) -> Result {
        let info = &self.info;

        msg.nest(attr::CORK, |nest| {
            nest.put_u32(cork::LEN, info.len)?;
            nest.put_bytes(cork::DEST_ADDR, &info.dest.ip().octets())?;
            nest.put_be16(cork::DEST_PORT, info.dest.port())?;
            nest.put_bytes(cork::SOURCE_ADDR, &info.source.octets())?;
            nest.put_u32(cork::TOS, info.tos.into())?;
            nest.put_u32(cork::MARK, info.mark)?;
            nest.put_u32(cork::PRIORITY, info.priority)?;

            if !info.options.as_bytes().is_empty() {
                nest.put_bytes(cork::OPTIONS, info.options.as_bytes())?;
            }
            if info.txtime != 0 {
                nest.put_uint(cork::TXTIME, info.txtime)?;
            }
            for (ty, value) in [
                (cork::TTL, info.ttl.into()),
                (cork::GSO_SIZE, info.gso_size.into()),
                (cork::TIMESTAMPING, info.timestamping),
                (cork::TSKEY, info.tskey),
                (cork::CONFIRM, info.confirm.into()),
            ] {
                if value != 0 {
                    nest.put_u32(ty, value)?;
                }
            }
            nest.put_string(cork::IFNAME, self.device.as_c_str())?;
            nest.put_u32(cork::GATEWAY, info.gateway.into())?;
            nest.put_u32(cork::FRAGSIZE, info.fragsize)
        })
    }
}

/// A corked datagram that is to be made, and gets its payload bit by bit.
pub(crate) struct NewCork {
    /// What it is to be. Where it goes out does not count.
    info: Cork,
    /// The index of the device that it has to go out by, if that was saved.
    ifindex: Option<u32>,
    /// Whether it has to go to a gateway, if that was saved.
    gateway: Option<bool>,
    /// The size of the largest packet, if that was saved.
    fragsize: Option<u32>,
    /// The payload so far.
    payload: KVVec<u8>,
}

/// How it is said where a datagram comes from and goes out.
#[derive(Clone, Copy)]
struct Way {
    /// Whether the source address is named.
    source: bool,
    /// Whether the device is named.
    device: bool,
    /// Whether gateways are ruled out.
    direct: bool,
}

/// All ways, those that say least first.
///
/// The socket does not know which of this was said when the original was begun, only what came of
/// it. Whatever comes to the same is as good.
#[rustfmt::skip]
const WAYS: [Way; 6] = [
    Way { source: false, device: false, direct: false },
    Way { source: true, device: false, direct: false },
    Way { source: true, device: true, direct: false },
    Way { source: false, device: false, direct: true },
    Way { source: true, device: false, direct: true },
    Way { source: true, device: true, direct: true },
];

/// How often each way is tried. A try fails with an error that comes from the network meanwhile.
const TRIES: usize = 3;

/// What refusals of [`NewCork::restore`] are about.
const SUBJECT: &str = "the corked datagram";

impl NewCork {
    /// Reads what is to be known of a corked datagram.
    pub(crate) fn parse(attr: &Attribute<'_>, there: &Destination<'_>) -> Result<NewCork, Refusal> {
        let fields = Fields {
            attr,
            there,
            nest: codec::open_nest(attr, &POLICY, &[])?,
        };
        let options = match fields.nest.get(cork::OPTIONS) {
            Some(attr) => attr.as_bytes(),
            None => &[],
        };
        if options.len() % 4 != 0 {
            return Err(fields.wrong(EINVAL, cork::OPTIONS, "not whole words of IP options"));
        }
        let len = fields.required(cork::LEN)?.as_u32()?;
        if len > MAX_LEN {
            return Err(fields.wrong(ERANGE, cork::LEN, "longer than a datagram can be"));
        }
        let gso_size = match fields.nest.get(cork::GSO_SIZE) {
            None => 0,
            Some(attr) => match u16::try_from(attr.as_u32()?) {
                Ok(size) if size != 0 => size,
                _ => return Err(fields.wrong(ERANGE, cork::GSO_SIZE, "is out of range")),
            },
        };

        Ok(NewCork {
            info: Cork {
                len,
                dest: SocketAddrV4::new(
                    fields.addr(cork::DEST_ADDR)?,
                    fields.required(cork::DEST_PORT)?.as_be16()?,
                ),
                source: fields.addr(cork::SOURCE_ADDR)?,
                options: IpOptions::from_bytes(options).ok_or(EINVAL)?,
                // CAST: The policy has a byte for both.
                ttl: fields.number(cork::TTL)? as u8,
                tos: fields.required(cork::TOS)?.as_u32()? as u8,
                mark: fields.required(cork::MARK)?.as_u32()?,
                priority: fields.required(cork::PRIORITY)?.as_u32()?,
                gso_size,
                txtime: fields
                    .nest
                    .get(cork::TXTIME)
                    .map_or(Ok(0), |attr| attr.as_uint())?,
                timestamping: fields.number(cork::TIMESTAMPING)?,
                tskey: fields.number(cork::TSKEY)?,
                confirm: fields.number(cork::CONFIRM)? != 0,
                fragsize: 0,
                ifindex: 0,
                gateway: false,
                astray: false,
                xfrm: false,
                zerocopy: false,
            },
            ifindex: match fields.nest.get(cork::IFNAME) {
                None => None,
                Some(name) => Some(
                    there
                        .device_of(&name)
                        .map_err(|refusal| refusal.inside(attr::CORK, cork::IFNAME, &POLICY))?,
                ),
            },
            gateway: fields.saved(cork::GATEWAY)?.map(|gateway| gateway != 0),
            fragsize: fields.saved(cork::FRAGSIZE)?,
            payload: KVVec::new(),
        })
    }

    /// Returns the length of the whole payload.
    pub(crate) fn len(&self) -> u32 {
        self.info.len
    }

    /// Appends to the payload.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` if it would become too long, and `ENOMEM`.
    pub(crate) fn fill(&mut self, bytes: &[u8]) -> Result {
        let missing = u32_as_usize(self.len()).saturating_sub(self.payload.len());

        if bytes.len() > missing {
            return Err(EMSGSIZE);
        }
        Ok(self.payload.extend_from_slice(bytes, GFP_KERNEL_ACCOUNT)?)
    }

    /// Tells whether all of the payload is there.
    pub(crate) fn is_complete(&self) -> bool {
        self.payload.len() == u32_as_usize(self.len())
    }

    /// Makes the corked datagram of a new socket, which has its addresses and all options but for
    /// those that stand in the way of sending, and `errors` in its error queue.
    pub(crate) fn restore(&self, socket: &mut Socket, errors: usize) -> Result<(), Refusal> {
        if !address::has_port(socket) {
            // It would get one.
            return Err(Refusal::new(EINVAL, "needs a socket with a port").about(SUBJECT));
        }
        let tskey = socket.tskey();
        // To send fails with it.
        let mut pending = internals::take_err(socket);
        let result =
            internals::with_room_to_send(socket, |socket| self.try_ways(socket, &mut pending));

        // If there is a newer one, that stays.
        internals::set_err(&socket.lock(), pending);
        // Sending it may have counted, as it did when the original was begun.
        internals::set_tskey(&socket.lock(), tskey);
        // One of the ways may have had another MTU.
        internals::forget_local_errors(socket, errors);
        if !self.is_of_the_connection(socket) {
            // connect() has found the route to the peer. With it, the next send would go where this
            // one does, though to somebody else.
            internals::forget_route(socket);
        }
        result
    }

    /// Sends the datagram, and if that goes another way than the original would, tries others.
    fn try_ways(&self, socket: &mut Socket, pending: &mut u32) -> Result<(), Refusal> {
        let mut refusal = None;

        for way in WAYS {
            if way.device && self.ifindex.is_none() || way.direct && self.gateway != Some(false) {
                continue;
            }
            let Err(other) = self
                .try_way(way, socket, pending)
                .and_then(|()| self.verify(socket))
            else {
                return Ok(());
            };
            // No other way is better then.
            if is_want_of_memory(other.errno()) {
                return Err(other);
            }
            // Another way may not be open at all. What was said of the first tells most.
            refusal.get_or_insert(other);
            internals::flush_cork(socket);
        }
        Err(refusal.unwrap_or(EINVAL.into()))
    }

    /// Sends the datagram one way.
    ///
    /// If an error has come from the network that failed it, this is noted as `pending`.
    fn try_way(&self, way: Way, socket: &mut Socket, pending: &mut u32) -> Result<(), Refusal> {
        let mut result = self.send(way, socket);

        for _ in 1..TRIES {
            // The network tells of other things than a want of memory.
            let Some(errno) = result.err().filter(|errno| !is_want_of_memory(*errno)) else {
                break;
            };
            result = self.send(way, socket);
            // What the network tells of is told once. What is wrong with the way fails again.
            if result != Err(errno) {
                *pending = errno.to_errno().unsigned_abs();
            }
        }
        result.map_err(|errno| {
            let reason = match errno {
                ENETUNREACH | EHOSTUNREACH => "has no route",
                _ => "cannot be begun",
            };
            Refusal::new(errno, reason).about(SUBJECT)
        })
    }

    /// Sends the datagram.
    fn send(&self, way: Way, socket: &mut Socket) -> Result {
        let mut flags = uapi::MSG_MORE | uapi::MSG_DONTWAIT;

        if self.info.confirm {
            flags |= uapi::MSG_CONFIRM;
        }
        if way.direct {
            flags |= uapi::MSG_DONTROUTE;
        }
        if self.info.timestamping != 0 {
            internals::set_tskey(&socket.lock(), self.info.tskey);
        }

        // As `connect()` needs it, of which a socket may have lost it since.
        let mut sent = self.sendmsg(way, flags, socket);
        if sent == Err(EACCES) && !socket.flag(SockFlag::BROADCAST) {
            socket.setsockopt_int(SOL_SOCKET, SO_BROADCAST, 1)?;
            sent = self.sendmsg(way, flags, socket);
            socket.setsockopt_int(SOL_SOCKET, SO_BROADCAST, 0)?;
        }
        sent.map(drop)
    }

    /// Whether what `connect()` has noted where the datagram is noted, too, is the same.
    fn is_of_the_connection(&self, sock: &Sock) -> bool {
        is_connected_to(sock, self.info.dest)
            && sock
                .inet()
                .is_some_and(|inet| inet.saddr() == self.info.source)
    }

    /// Sends the datagram by a system call.
    fn sendmsg(&self, way: Way, flags: u32, socket: &Socket) -> Result<usize> {
        let dest = SocketAddr::from(self.info.dest);
        // What has no address and no control data takes the route of the socket.
        let to = (!is_connected_to(socket, self.info.dest)).then_some(&dest);

        socket.sendmsg(to, self.control(way, socket)?, &self.payload, flags)
    }

    /// The control data that tell what is otherwise than the socket has it.
    fn control(&self, way: Way, socket: &Socket) -> Result<ControlData> {
        let (info, mut control) = (&self.info, ControlData::new());
        let inet = socket.inet().ok_or(EINVAL)?;
        let udp = socket.udp().ok_or(EINVAL)?;

        if info.ttl != 0 {
            control.push(SOL_IP, IP_TTL, &u32::from(info.ttl).to_ne_bytes())?;
        }
        // It changes the priority.
        let tos = info.tos != inet.tos();
        if tos {
            control.push(SOL_IP, IP_TOS, &u32::from(info.tos).to_ne_bytes())?;
        }
        if tos || info.priority != socket.priority() {
            control.push(SOL_SOCKET, SO_PRIORITY, &info.priority.to_ne_bytes())?;
        }
        if info.mark != socket.mark() {
            control.push(SOL_SOCKET, SO_MARK, &info.mark.to_ne_bytes())?;
        }
        if info.options != inet.ip_options()? {
            control.push(SOL_IP, IP_RETOPTS, info.options.as_bytes())?;
        }
        if info.gso_size != udp.gso_size() {
            control.push(SOL_UDP, UDP_SEGMENT, &info.gso_size.to_ne_bytes())?;
        }
        if info.txtime != 0 {
            control.push(SOL_SOCKET, SO_TXTIME, &info.txtime.to_ne_bytes())?;
        }
        if info.timestamping != socket.tsflags() & Cork::TIMESTAMPING {
            let flags = info.timestamping.to_ne_bytes();
            control.push(SOL_SOCKET, SO_TIMESTAMPING_OLD, &flags)?;
        }
        if way.source || way.device {
            let ifindex = self.ifindex.filter(|_| way.device).unwrap_or(0);
            let pktinfo = device::pktinfo(ifindex, info.source);
            control.push(SOL_IP, IP_PKTINFO, &pktinfo)?;
        }
        Ok(control)
    }

    /// Refuses a datagram that is not what it should be.
    fn verify(&self, socket: &mut Socket) -> Result<(), Refusal> {
        let refuse = |errno, reason| Refusal::new(errno, reason).about(SUBJECT);
        let made = match socket.lock().cork() {
            Ok(Some(made)) => made,
            _ => return Err(refuse(EINVAL, "is not there")),
        };

        if made.source != self.info.source {
            let reason = "would come from another address";
            return Err(refuse(EADDRNOTAVAIL, reason));
        }
        if self.ifindex.is_some_and(|it| it != made.ifindex) {
            return Err(refuse(ENETUNREACH, "would go out by another device"));
        }
        if self.gateway.is_some_and(|it| it != made.gateway) {
            let reason = match made.gateway {
                true => "would go to a gateway",
                false => "would not go to a gateway",
            };
            return Err(refuse(ENETUNREACH, reason));
        }
        if self.is_cut_otherwise(&made) {
            let reason = "would be cut at another size: the MTU is another";
            return Err(refuse(EMSGSIZE, reason));
        }
        // A program of the cgroup may have another destination for it, and the clock of its time
        // may be that of another boot.
        let wanted = Cork {
            fragsize: made.fragsize,
            ifindex: made.ifindex,
            gateway: made.gateway,
            ..self.info
        };
        match made == wanted {
            true => Ok(()),
            false => Err(refuse(EPERM, "became another one")),
        }
    }

    /// Tells whether packets of another size make a difference to the datagram.
    fn is_cut_otherwise(&self, made: &Cork) -> bool {
        let Some(fragsize) = self.fragsize.filter(|it| *it != made.fragsize) else {
            return false;
        };
        let (info, options) = (&self.info, self.info.options.as_bytes().len());
        let payload = match info.gso_size {
            0 => info.len,
            size => size.into(),
        };
        // CAST: At most 40.
        let headers = IP_HDRLEN + UDP_HDRLEN + options as u32;

        payload.saturating_add(headers) > fragsize.min(made.fragsize)
    }
}

/// Tells whether something failed because there is no memory.
fn is_want_of_memory(errno: Error) -> bool {
    matches!(errno, ENOMEM | ENOBUFS | EAGAIN)
}

/// Tells whether a socket is connected to an address.
///
/// Also if that has no port, which has no other name then.
fn is_connected_to(sock: &Sock, peer: SocketAddrV4) -> bool {
    u32::from(sock.state()) == address::ESTABLISHED
        && sock
            .inet()
            .is_some_and(|inet| SocketAddrV4::new(inet.daddr(), inet.dport()) == peer)
}

/// The attributes of a corked datagram in a message.
struct Fields<'a> {
    /// The attribute that holds them.
    attr: &'a Attribute<'a>,
    /// Where the datagram is restored.
    there: &'a Destination<'a>,
    /// They, by their number.
    nest: Table<'a, LEN>,
}

impl<'a> Fields<'a> {
    /// Refuses the datagram because of one of them.
    fn wrong(&self, errno: Error, ty: u16, reason: &'static str) -> Refusal {
        Refusal::new(errno, reason).inside(attr::CORK, ty, &POLICY)
    }

    /// Returns one that must be there.
    fn required(&self, ty: u16) -> Result<Attribute<'a>, Refusal> {
        const WHOLE: &str =
            "a corked datagram has a length, addresses, a port, tos, mark and priority";

        codec::required(self.attr, &self.nest, ty, WHOLE)
    }

    /// Reads an address.
    fn addr(&self, ty: u16) -> Result<Ipv4Addr, Refusal> {
        self.there
            .v4(&self.required(ty)?)
            .map_err(|refusal| refusal.inside(attr::CORK, ty, &POLICY))
    }

    /// Reads a number, if it was saved.
    fn saved(&self, ty: u16) -> Result<Option<u32>, Refusal> {
        Ok(self.nest.get(ty).map(|attr| attr.as_u32()).transpose()?)
    }

    /// Reads a number that is 0 if it is not there.
    fn number(&self, ty: u16) -> Result<u32, Refusal> {
        Ok(self.saved(ty)?.unwrap_or(0))
    }
}
