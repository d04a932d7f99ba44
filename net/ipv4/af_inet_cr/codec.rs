// SPDX-License-Identifier: GPL-2.0

//! How options get from a socket into a message, and from a message into a socket.

#![forbid(unsafe_code)]

use crate::{
    attr,
    buffer,
    consts::{
        SHUT_RD,
        SHUT_RDWR,
        SHUT_WR,
        SO_TIMESTAMPING_NEW,
        SO_TIMESTAMPING_OLD,
        SO_TIMESTAMPNS_NEW,
        SO_TIMESTAMPNS_OLD,
        SO_TIMESTAMP_NEW,
        SO_TIMESTAMP_OLD, //
    },
    device,
    internals,
    live::Settable,
    map::Destination,
    options::{
        Access,
        Form,
        Nest,
        Shape,
        SocketOption, //
    },
    policy,
    refusal::Refusal,
    time, //
};

use kernel::{
    net::{
        netlink::{
            AttrWriter,
            Attribute,
            Policy,
            Request,
            U32Attr, //
        },
        sock::{
            InetSock,
            IpOptions,
            Sock,
            SockFlag,
            Timeout,
            UdpSock, //
        },
        Net, //
    },
    prelude::*,
    uapi, //
};

use core::net::Ipv4Addr;

/// `SO_REUSEADDR` of a socket that shares its address whatever the others want.
///
/// Only the kernel and `TCP_REPAIR` set it, and `setsockopt()` makes 1 of it.
const SK_FORCE_REUSE: u32 = 2;

/// `SOF_TIMESTAMPING_BIND_PHC`: the clock of the device that has the number counts.
const BIND_PHC: u32 = uapi::SOF_TIMESTAMPING_BIND_PHC;

/// The time stamp of a socket that has received nothing, `SK_DEFAULT_STAMP`.
const NO_STAMP: i64 = -1_000_000_000;

/// The value of an option, as the socket has it.
///
/// There is one for each option of a message: it is kept small.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    /// A number (also a signed one, by its bits), a boolean, an index or a mode.
    Int(u32),
    /// A number that has the size of a pointer.
    Long(usize),
    /// A time.
    Time(Timeout),
    /// Whether a close waits, and for how long it would, in seconds or without limit.
    Linger(bool, Timeout),
    /// The index of a device, and an address.
    Multicast(u32, Ipv4Addr),
    /// Flags, the number of a clock of the device, and whether the new structures are asked for.
    Timestamping(u32, i32, bool),
    /// A clock and flags, if it is on.
    Txtime(Option<(i32, u32)>),
    /// Bytes in the message.
    Bytes(&'a [u8]),
    /// The time stamp of the last datagram in nanoseconds, or [`NO_STAMP`].
    Stamp(i64),
}

/// The attributes of a request, level by level.
pub(crate) struct Levels<'a> {
    request: &'a Request<'a>,
    /// Where the socket is restored.
    there: Destination<'a>,
    /// Those of the nests, by their number. They are looked for many times.
    ip: Table<'a, { policy::IP_LEN }>,
    udp: Table<'a, { policy::UDP_LEN }>,
    /// Those with bits, by the number of the level. They are looked at for each bit.
    bits: [Result<Option<Bits>, Refusal>; Nest::ALL.len()],
}

/// The bits of a level, and which of them were saved.
#[derive(Clone, Copy)]
struct Bits {
    bits: u32,
    saved: u32,
}

/// The attributes of a nest, by their number.
pub(crate) struct Table<'a, const N: usize>([Option<Attribute<'a>>; N]);

impl<'a, const N: usize> Table<'a, N> {
    /// That of a nest that is not there.
    pub(crate) const EMPTY: Self = Table([None; N]);

    /// As [`open_nest`], in the place of an empty one. A large one is not copied by this.
    pub(crate) fn fill(
        &mut self,
        nest: &Attribute<'a>,
        policies: &'static [Policy; N],
        lists: &[u16],
    ) -> Result<(), Refusal> {
        for attr in nest.nested(policies)? {
            let ty = attr.type_();
            // The policies let no others pass.
            let Some(entry) = self.0.get_mut(usize::from(ty)) else {
                continue;
            };
            if entry.is_some() && !lists.contains(&ty) {
                return Err(Refusal::new(EINVAL, "an attribute is repeated").inside(
                    nest.type_(),
                    ty,
                    policies,
                ));
            }
            *entry = Some(attr);
        }
        Ok(())
    }

    /// Returns an attribute.
    #[inline]
    pub(crate) fn get(&self, ty: u16) -> Option<Attribute<'a>> {
        *self.0.get(usize::from(ty))?
    }
}

impl<'a> Levels<'a> {
    /// Opens the nests of a request.
    pub(crate) fn open(
        request: &'a Request<'a>,
        there: Destination<'a>,
    ) -> Result<Levels<'a>, Refusal> {
        let mut levels = Levels {
            request,
            there,
            ip: Self::table(request, attr::IP, &policy::IP)?,
            udp: Self::table(request, attr::UDP, &policy::UDP)?,
            bits: [const { Ok(None) }; Nest::ALL.len()],
        };
        levels.bits = Nest::ALL.map(|nest| levels.read_bits(nest));
        Ok(levels)
    }

    /// Opens a nest of a request.
    fn table<const N: usize>(
        request: &Request<'a>,
        ty: u16,
        policies: &'static [Policy; N],
    ) -> Result<Table<'a, N>, Refusal> {
        match request.attr(ty) {
            Some(attr) => open_nest(&attr, policies, &[]),
            None => Ok(Table::EMPTY),
        }
    }

    /// Reads the bits of a level.
    fn read_bits(&self, nest: Nest) -> Result<Option<Bits>, Refusal> {
        let ty = nest.bits();
        let bits = self.get(nest, ty);
        let saved = self.get(nest, saved_attr(ty));

        match (bits, saved) {
            (None, None) => Ok(None),
            (Some(bits), Some(saved)) => Ok(Some(Bits {
                bits: bits.as_u32()?,
                saved: saved.as_u32()?,
            })),
            (Some(_), None) => {
                Err(nest.missing(saved_attr(ty), "bits without which of them were saved"))
            }
            (None, Some(_)) => Err(nest.missing(ty, "which bits were saved without the bits")),
        }
    }

    /// Returns the bits of a level.
    #[inline]
    fn bits(&self, nest: Nest) -> &Result<Option<Bits>, Refusal> {
        // CAST: The number of the level.
        self.bits.get(nest as usize).unwrap_or(&Ok(None))
    }

    /// Returns an attribute of a level.
    pub(crate) fn get(&self, nest: Nest, ty: u16) -> Option<Attribute<'a>> {
        match nest {
            Nest::None => self.request.attr(ty),
            Nest::Ip => self.ip.get(ty),
            Nest::Udp => self.udp.get(ty),
        }
    }

    /// Returns where the socket is restored.
    pub(crate) fn there(&self) -> &Destination<'a> {
        &self.there
    }
}

impl Nest {
    /// Says that an attribute of this level is to blame for a refusal.
    pub(crate) fn blame(self, refusal: Refusal, ty: u16) -> Refusal {
        match self.attr() {
            None => refusal.at(ty),
            Some(nest) => refusal.inside(nest, ty, self.policies()),
        }
    }

    /// Refuses because an attribute of this level is not there.
    fn missing(self, ty: u16, reason: &'static str) -> Refusal {
        match self.attr() {
            None => Refusal::missing(ty, reason),
            Some(nest) => Refusal::new(EINVAL, reason).missing_inside(nest, ty),
        }
    }
}

/// Writes all options of a socket into a message, each of which is read once.
pub(crate) fn put_options(sock: &Sock, net: &Net, msg: &AttrWriter) -> Result<(), Refusal> {
    for nest in Nest::ALL {
        match nest.attr() {
            None => put_level(nest, sock, net, msg)?,
            Some(attr) => msg.nest(attr, |msg| put_level(nest, sock, net, msg))?,
        }
    }
    Ok(())
}

/// Writes the options of a level into a message.
fn put_level(nest: Nest, sock: &Sock, net: &Net, msg: &AttrWriter) -> Result<(), Refusal> {
    // As many as the message gets at once.
    const SOME: usize = 16;

    // Found out once for all of them.
    let (inet, udp) = (sock.inet(), sock.udp());
    let number = |option: &SocketOption| option.plain_number(sock, || inet, || udp);

    for options in nest.options(Form::Number).chunks(SOME) {
        let mut attrs = [U32Attr::new(0, 0); SOME];

        for (attr, option) in attrs.iter_mut().zip(options) {
            let value = number(option).ok_or(EINVAL)?;

            if value == SK_FORCE_REUSE && option.attr == attr::SOCKOPT_REUSEADDR {
                return Err(force_reuse());
            }
            *attr = U32Attr::new(option.attr, value);
        }
        msg.put_u32s(attrs.get(..options.len()).unwrap_or_default())?;
    }

    for option in nest.options(Form::Other) {
        option.put_other(sock, net, msg)?;
    }

    let (mut bits, mut saved) = (0, 0);

    for option in nest.options(Form::Bit) {
        saved |= option.bit;
        if number(option) == Some(1) {
            bits |= option.bit;
        }
    }
    let bits_attr = nest.bits();

    Ok(msg.put_u32s(&[
        U32Attr::new(bits_attr, bits),
        U32Attr::new(saved_attr(bits_attr), saved),
    ])?)
}

static_assert!(
    uapi::AF_INET_CR_ATTR_SOCKOPT_FLAGS_MASK == uapi::AF_INET_CR_ATTR_SOCKOPT_FLAGS + 1
        && uapi::AF_INET_CR_A_IP_FLAGS_MASK == uapi::AF_INET_CR_A_IP_FLAGS + 1
        && uapi::AF_INET_CR_A_UDP_FLAGS_MASK == uapi::AF_INET_CR_A_UDP_FLAGS + 1
);

/// The attribute that says which bits of another one were saved.
const fn saved_attr(bits_attr: u16) -> u16 {
    bits_attr.wrapping_add(1)
}

impl SocketOption {
    /// Reads the option of a socket, if it is a number: most of them are.
    #[inline]
    fn number(&self, sock: &Sock) -> Option<u32> {
        match self.shape {
            Shape::Device => Some(sock.bound_dev_if()),
            Shape::UnicastDevice => Some(device::unicast(sock)),
            _ => self.plain_number(sock, || sock.inet(), || sock.udp()),
        }
    }

    /// Reads the option of a socket, if it is a number that a message has as it is.
    #[inline(always)]
    fn plain_number<'a>(
        &self,
        sock: &Sock,
        inet: impl FnOnce() -> Option<&'a InetSock>,
        udp: impl FnOnce() -> Option<&'a UdpSock>,
    ) -> Option<u32> {
        Some(match self.shape {
            Shape::Bool(get) => get(sock).into(),
            Shape::Flag(flag) | Shape::FlagOnce(flag, _) => sock.flag(flag).into(),
            Shape::InetFlag(flag) => inet().is_some_and(|inet| inet.inet_flag(flag)).into(),
            Shape::UdpFlag(flag) => udp().is_some_and(|udp| udp.udp_flag(flag)).into(),
            Shape::Once(get, _) => udp().is_some_and(get).into(),
            Shape::Int(get, _, _) | Shape::OneOf(get, _) | Shape::Field(get, _, _) => get(sock),
            // CAST: The same bits.
            Shape::Signed(get, _, _) => get(sock) as u32,
            Shape::Timestamp => timestamp_mode(sock),
            Shape::Size(which) => buffer::size(sock, which).unsigned_abs(),
            Shape::SizeLock(which) => buffer::is_locked(sock, which).into(),
            Shape::Shutdown => sock.shutdown().into(),
            Shape::Device
            | Shape::UnicastDevice
            | Shape::Long(_)
            | Shape::LongField(..)
            | Shape::Time(_)
            | Shape::Linger
            | Shape::MulticastDevice
            | Shape::Timestamping
            | Shape::Txtime
            | Shape::IpOptions
            | Shape::Stamp => return None,
        })
    }

    /// Reads the option of a socket, also one that is no number.
    fn other(&self, sock: &Sock) -> Value<'static> {
        match self.shape {
            Shape::Long(get) | Shape::LongField(get, _) => Value::Long(get(sock)),
            Shape::Time(get) => Value::Time(get(sock)),
            Shape::Linger => Value::Linger(sock.flag(SockFlag::LINGER), sock.lingertime()),
            Shape::MulticastDevice => {
                let (index, addr) = device::multicast(sock);
                Value::Multicast(index, addr)
            }
            Shape::Timestamping => timestamping(sock),
            Shape::Txtime => Value::Txtime(
                sock.flag(SockFlag::TXTIME)
                    .then(|| (sock.clockid().into(), sock.txtime_flags())),
            ),
            Shape::Stamp => Value::Stamp(sock.stamp()),
            // They have no value that could be held.
            Shape::IpOptions => Value::Bytes(&[]),
            Shape::Bool(_)
            | Shape::Flag(_)
            | Shape::InetFlag(_)
            | Shape::UdpFlag(_)
            | Shape::FlagOnce(..)
            | Shape::Once(..)
            | Shape::Int(..)
            | Shape::OneOf(..)
            | Shape::Field(..)
            | Shape::Signed(..)
            | Shape::Device
            | Shape::UnicastDevice
            | Shape::Timestamp
            | Shape::Size(_)
            | Shape::SizeLock(_)
            | Shape::Shutdown => Value::Int(self.number(sock).unwrap_or(0)),
        }
    }

    /// Tells whether a socket has this value.
    #[inline]
    pub(crate) fn is(&self, value: Value<'_>, sock: &Sock) -> Result<bool> {
        match value {
            Value::Int(value) => Ok(self.number(sock) == Some(value)),
            value => self.is_other(value, sock),
        }
    }

    /// Tells whether a socket has this value, which is no number.
    ///
    /// It is kept out of the loops over all options, most of which are numbers.
    #[inline(never)]
    fn is_other(&self, value: Value<'_>, sock: &Sock) -> Result<bool> {
        match value {
            Value::Bytes(bytes) => Ok(ip_options(sock)?.as_bytes() == bytes),
            value => Ok(self.other(sock) == value),
        }
    }

    /// Writes the option of a socket, which is no plain number, into a message.
    fn put_other(&self, sock: &Sock, net: &Net, msg: &AttrWriter) -> Result<(), Refusal> {
        let too_long = || Refusal::new(EOVERFLOW, "is too long for a message").about(self.name);

        match self.shape {
            Shape::IpOptions => return Ok(put_ip_options(self.attr, sock, msg)?),
            Shape::Device => return Ok(device::put_bound(sock.bound_dev_if(), net, msg)?),
            Shape::UnicastDevice => {
                return device::put(self.attr, device::unicast(sock), net, msg)
                    .map_err(|refusal| refusal.about(self.name));
            }
            _ => {}
        }
        match self.other(sock) {
            // CAST: All bits set is no limit, however many there are.
            Value::Long(usize::MAX) => msg.put_uint(self.attr, u64::MAX)?,
            Value::Long(value) => msg.put_uint(self.attr, value as u64)?,
            Value::Time(time) => {
                msg.put_sint(self.attr, time::to_nanos(time).ok_or_else(too_long)?)?;
            }
            Value::Linger(on, time) => {
                let time = time::to_nanos(time).ok_or_else(too_long)?;

                msg.nest(self.attr, |nest| {
                    nest.put_u32(attr::linger::ONOFF, on.into())?;
                    nest.put_sint(attr::linger::TIME, time)
                })?;
            }
            Value::Multicast(ifindex, addr) => {
                device::put(self.attr, ifindex, net, msg)
                    .map_err(|refusal| refusal.about(self.name))?;
                msg.put_bytes(attr::ip::MULTICAST_ADDR, &addr.octets())?;
            }
            Value::Timestamping(flags, phc, new) => msg.nest(self.attr, |nest| {
                nest.put_u32(attr::timestamping::FLAGS, flags)?;
                nest.put_s32(attr::timestamping::BIND_PHC, phc)?;
                nest.put_u32(attr::timestamping::NEW, new.into())
            })?,
            Value::Stamp(NO_STAMP) if !sock.flag(SockFlag::TIMESTAMP) => {}
            Value::Stamp(nanos) => msg.put_sint(self.attr, nanos)?,
            Value::Txtime(Some((clock, flags))) => msg.nest(self.attr, |nest| {
                nest.put_s32(attr::txtime::CLOCKID, clock)?;
                nest.put_u32(attr::txtime::FLAGS, flags)
            })?,
            Value::Txtime(None) | Value::Bytes(_) | Value::Int(_) => {}
        }
        Ok(())
    }

    /// Says that the option's attribute is to blame for a refusal.
    pub(crate) fn blame(&self, refusal: Refusal) -> Refusal {
        self.nest.blame(refusal, self.attr).of_bit(self.bit)
    }

    /// Refuses a value that the option cannot have.
    fn out_of_range(&self) -> Refusal {
        self.blame(Refusal::new(ERANGE, "is out of range").about(self.name))
    }

    /// Refuses to take back what has no way back.
    fn cannot_be_undone(&self) -> Refusal {
        self.blame(Refusal::new(EOPNOTSUPP, "cannot be undone").about(self.name))
    }

    /// Reads the value in a message, if it has one.
    ///
    /// What passes can be set, but for privileges.
    #[inline]
    pub(crate) fn parse<'a>(&self, levels: &Levels<'a>) -> Result<Option<Value<'a>>, Refusal> {
        match self.bit {
            0 => self.parse_attr(levels),
            _ => self.parse_bit(levels),
        }
    }

    /// Reads the value of an option that has an attribute to itself.
    #[inline(never)]
    fn parse_attr<'a>(&self, levels: &Levels<'a>) -> Result<Option<Value<'a>>, Refusal> {
        match self.shape {
            Shape::Device => return Ok(device::parse_bound(levels)?.map(Value::Int)),
            Shape::UnicastDevice => {
                return Ok(device::parse(levels, self.nest, self.attr)?.map(Value::Int));
            }
            Shape::MulticastDevice => return self.parse_multicast(levels),
            _ => {}
        }
        let Some(attr) = levels.get(self.nest, self.attr) else {
            return Ok(None);
        };
        let range = || self.out_of_range();

        let value = match self.shape {
            Shape::Int(_, min, max) => {
                let value = attr.as_u32()?;
                if self.attr == attr::SOCKOPT_REUSEADDR && value == SK_FORCE_REUSE {
                    return Err(force_reuse());
                }
                if !(min..=max).contains(&value) {
                    return Err(range());
                }
                Value::Int(value)
            }
            Shape::OneOf(_, values) => {
                let value = attr.as_u32()?;
                if !values.contains(&value) {
                    return Err(range());
                }
                Value::Int(value)
            }
            Shape::Signed(_, min, max) => {
                let value = attr.as_s32()?;
                if !(min..=max).contains(&value) {
                    return Err(range());
                }
                // CAST: The same bits.
                Value::Int(value as u32)
            }
            Shape::Field(_, _, max) => {
                let value = attr.as_u32()?;
                if value > max {
                    return Err(range());
                }
                Value::Int(value)
            }
            Shape::Long(_) | Shape::LongField(..) => Value::Long(match attr.as_uint()? {
                u64::MAX => usize::MAX,
                value => usize::try_from(value).map_err(|_| range())?,
            }),
            Shape::Size(_) => {
                let value = attr.as_u32()?;
                if value == 0 || c_int::try_from(value).is_err() {
                    return Err(range());
                }
                Value::Int(value)
            }
            Shape::Time(_) => Value::Time(time::from_nanos(attr.as_sint()?).ok_or_else(range)?),
            Shape::Stamp => Value::Stamp(attr.as_sint()?),
            Shape::Linger => parse_linger(&attr, range)?,
            Shape::Timestamping => parse_timestamping(&attr)?,
            Shape::Txtime => parse_txtime(&attr)?,
            Shape::IpOptions => Value::Bytes(attr.as_bytes()),
            _ => Value::Int(attr.as_u32()?),
        };
        Ok(Some(value))
    }

    /// Reads one of the bits in an attribute, if it was saved.
    fn parse_bit(&self, levels: &Levels<'_>) -> Result<Option<Value<'static>>, Refusal> {
        let (bits, saved) = match levels.bits(self.nest) {
            Ok(Some(Bits { bits, saved })) => (bits, saved),
            Ok(None) => return Ok(None),
            Err(refusal) => return Err(*refusal),
        };
        if bits & !saved != 0 {
            return Err(self.blame(Refusal::new(EINVAL, "a bit that was not saved")));
        }
        let is_set = bits & self.bit != 0;
        Ok((saved & self.bit != 0).then(|| Value::Int(is_set.into())))
    }

    /// Reads the device and the address of `IP_MULTICAST_IF`.
    fn parse_multicast(&self, levels: &Levels<'_>) -> Result<Option<Value<'static>>, Refusal> {
        let ifindex = device::parse(levels, self.nest, self.attr)?;
        let addr = levels.get(self.nest, attr::ip::MULTICAST_ADDR);
        let addr = match addr {
            Some(addr) => match levels.there().v4(&addr) {
                Ok(addr) => Some(addr),
                Err(refusal) => {
                    return Err(self.nest.blame(refusal, attr::ip::MULTICAST_ADDR));
                }
            },
            None => None,
        };

        match (ifindex, addr) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(self
                .nest
                .missing(self.attr, "a multicast address without its device")),
            (Some(0), Some(addr)) if !addr.is_unspecified() => Err(self.nest.blame(
                Refusal::new(EINVAL, "a multicast address without its device"),
                attr::ip::MULTICAST_ADDR,
            )),
            (Some(ifindex), addr) => Ok(Some(Value::Multicast(
                ifindex,
                addr.unwrap_or(Ipv4Addr::UNSPECIFIED),
            ))),
        }
    }

    /// Gives a socket the value, unless it has it.
    ///
    /// What a new socket has anyway needs no privilege, and asks nobody.
    #[inline]
    pub(crate) fn restore(
        &self,
        value: Value<'_>,
        socket: &mut dyn Settable,
    ) -> Result<(), Refusal> {
        match self.access == Access::Get || self.is(value, socket)? {
            true => Ok(()),
            false => self.set(value, socket),
        }
    }

    /// Gives a socket the value.
    #[inline(never)]
    fn set(&self, value: Value<'_>, socket: &mut dyn Settable) -> Result<(), Refusal> {
        let level = self.nest.level();

        let result = match (self.shape, value) {
            (Shape::Size(which), Value::Int(size)) => {
                return buffer::restore(which, size, socket)
                    .map_err(|refusal| self.blame(refusal.about(self.name)));
            }
            (Shape::SizeLock(which), Value::Int(on)) => buffer::set_locked(which, on != 0, socket),
            (Shape::Field(_, set, _), Value::Int(value)) => {
                socket.lock().map(|sock| set(&sock, value))
            }
            (Shape::LongField(_, set), Value::Long(value)) => {
                socket.lock().and_then(|sock| set(&sock, value))
            }
            (Shape::Shutdown, Value::Int(how)) if u32::from(Sock::shutdown(socket)) & !how != 0 => {
                return Err(self.cannot_be_undone());
            }
            (Shape::FlagOnce(..) | Shape::Once(..), Value::Int(0)) => {
                return Err(self.cannot_be_undone());
            }
            (Shape::FlagOnce(_, set) | Shape::Once(_, set), Value::Int(_)) => set(socket),
            (Shape::Shutdown, Value::Int(how)) => shutdown(how, socket),
            (Shape::Timestamp, Value::Int(mode)) => {
                let (optname, on) = timestamp_option(mode);
                socket.setsockopt_int(level, optname, on)
            }
            // In network order.
            (Shape::UnicastDevice, Value::Int(ifindex)) => {
                return device::set(socket, level, self.optname, &ifindex.to_be_bytes())
                    .map_err(|refusal| self.blame(refusal.about(self.name)));
            }
            // The same bits: `setsockopt()` has an `int` also for what is unsigned.
            (_, Value::Int(value)) => socket.setsockopt(level, self.optname, &value.to_ne_bytes()),
            (_, Value::Long(value)) => socket.setsockopt(level, self.optname, &value.to_ne_bytes()),
            (_, Value::Time(time)) => socket.setsockopt(level, self.optname, &time::timeval(time)?),
            (_, Value::Linger(on, time)) => {
                // Switching it off keeps the time.
                socket
                    .setsockopt(level, self.optname, &time::linger(true, time)?)
                    .and_then(|()| match on {
                        true => Ok(()),
                        false => socket.set_back(level, self.optname, &time::linger(false, time)?),
                    })
            }
            (_, Value::Multicast(ifindex, addr)) => {
                // The group is not looked at.
                let mreqn = device::mreqn(Ipv4Addr::UNSPECIFIED, addr, ifindex);
                return device::set(socket, level, self.optname, &mreqn)
                    .map_err(|refusal| self.blame(refusal.about(self.name)));
            }
            (_, Value::Timestamping(flags, phc, new)) => {
                let optname = match new {
                    true => SO_TIMESTAMPING_NEW,
                    false => SO_TIMESTAMPING_OLD,
                };
                // `struct so_timestamping`
                let bytes = |flags: u32| -> [u8; 8] {
                    time::concat(flags.to_ne_bytes(), phc.to_ne_bytes())
                };

                // The number stays when the flag goes.
                match phc != socket.bind_phc() && flags & BIND_PHC == 0 {
                    true => socket
                        .setsockopt(level, optname, &bytes(flags | BIND_PHC))
                        .and_then(|()| socket.set_back(level, optname, &bytes(flags))),
                    false => socket.setsockopt(level, optname, &bytes(flags)),
                }
            }
            (_, Value::Stamp(nanos)) => {
                socket.lock().map(|sock| internals::set_stamp(&sock, nanos))
            }
            // It cannot be switched off, and is not on in a new socket.
            (_, Value::Txtime(None)) => Ok(()),
            (_, Value::Txtime(Some((clock, flags)))) => {
                // `struct sock_txtime`
                let bytes: [u8; 8] = time::concat(clock.to_ne_bytes(), flags.to_ne_bytes());
                socket.setsockopt(level, self.optname, &bytes)
            }
            (_, Value::Bytes(bytes)) => socket.setsockopt(level, self.optname, bytes),
        };
        result.map_err(|errno| self.blame(Refusal::new(errno, "cannot be set").about(self.name)))
    }

    /// Refuses a socket that has not got the value.
    ///
    /// A program of the cgroup may have changed what was set.
    #[inline]
    pub(crate) fn verify(&self, value: Value<'_>, sock: &Sock) -> Result<(), Refusal> {
        if self.access == Access::Volatile || self.is(value, sock)? {
            return Ok(());
        }
        Err(self.blame(Refusal::new(EPERM, "became another value").about(self.name)))
    }
}

/// The refusal of [`SK_FORCE_REUSE`].
const fn force_reuse() -> Refusal {
    Refusal::new(EOPNOTSUPP, "2 belongs to the kernel and to TCP_REPAIR")
        .about("SO_REUSEADDR")
        .at(attr::SOCKOPT_REUSEADDR)
}

/// The state of the options for time stamps, which share two flags.
///
/// Mirrors `SO_TIMESTAMP_OLD` and its relatives in `sk_getsockopt()`.
fn timestamp_mode(sock: &Sock) -> u32 {
    let flag = |flag| sock.flag(flag);

    match (
        flag(SockFlag::RCVTSTAMP),
        flag(SockFlag::RCVTSTAMPNS),
        flag(SockFlag::TSTAMP_NEW),
    ) {
        (false, _, _) => uapi::af_inet_cr_timestamp_AF_INET_CR_TIMESTAMP_OFF,
        (true, false, false) => uapi::af_inet_cr_timestamp_AF_INET_CR_TIMESTAMP_US_OLD,
        (true, false, true) => uapi::af_inet_cr_timestamp_AF_INET_CR_TIMESTAMP_US_NEW,
        (true, true, false) => uapi::af_inet_cr_timestamp_AF_INET_CR_TIMESTAMP_NS_OLD,
        (true, true, true) => uapi::af_inet_cr_timestamp_AF_INET_CR_TIMESTAMP_NS_NEW,
    }
}

/// The option that brings a socket into this state, and its value.
fn timestamp_option(mode: u32) -> (c_int, c_int) {
    match mode {
        uapi::af_inet_cr_timestamp_AF_INET_CR_TIMESTAMP_US_OLD => (SO_TIMESTAMP_OLD, 1),
        uapi::af_inet_cr_timestamp_AF_INET_CR_TIMESTAMP_US_NEW => (SO_TIMESTAMP_NEW, 1),
        uapi::af_inet_cr_timestamp_AF_INET_CR_TIMESTAMP_NS_OLD => (SO_TIMESTAMPNS_OLD, 1),
        uapi::af_inet_cr_timestamp_AF_INET_CR_TIMESTAMP_NS_NEW => (SO_TIMESTAMPNS_NEW, 1),
        // Any of them switches all off.
        _ => (SO_TIMESTAMP_OLD, 0),
    }
}

/// The state of `SO_TIMESTAMPING`.
fn timestamping(sock: &Sock) -> Value<'static> {
    Value::Timestamping(
        sock.tsflags(),
        sock.bind_phc(),
        sock.flag(SockFlag::TSTAMP_NEW),
    )
}

/// The options of the IP header of what a socket sends.
fn ip_options(sock: &Sock) -> Result<IpOptions> {
    match sock.inet() {
        Some(inet) => inet.ip_options(),
        None => Ok(IpOptions::default()),
    }
}

/// Writes the options of the IP header into a message, if there are any.
fn put_ip_options(ty: u16, sock: &Sock, msg: &AttrWriter) -> Result {
    let options = ip_options(sock)?;

    match options.as_bytes() {
        [] => Ok(()),
        bytes => msg.put_bytes(ty, bytes),
    }
}

/// Shuts down the directions that a message names.
fn shutdown(how: u32, socket: &dyn Settable) -> Result {
    const RCV: u32 = uapi::af_inet_cr_shutdown_AF_INET_CR_SHUTDOWN_RCV;
    const SEND: u32 = uapi::af_inet_cr_shutdown_AF_INET_CR_SHUTDOWN_SEND;

    let how = match (how & RCV != 0, how & SEND != 0) {
        (true, true) => SHUT_RDWR,
        (true, false) => SHUT_RD,
        (false, true) => SHUT_WR,
        (false, false) => return Ok(()),
    };
    match socket.shutdown(how) {
        // It is done before this is said.
        Err(ENOTCONN) => Ok(()),
        result => result,
    }
}

/// Opens a nest in which no attribute is repeated but those in `lists`, of which the last counts.
pub(crate) fn open_nest<'a, const N: usize>(
    nest: &Attribute<'a>,
    policies: &'static [Policy; N],
    lists: &[u16],
) -> Result<Table<'a, N>, Refusal> {
    let mut table = Table::EMPTY;

    table.fill(nest, policies, lists)?;
    Ok(table)
}

/// Returns an attribute that a nest must have.
pub(crate) fn required<'a, const N: usize>(
    attr: &Attribute<'a>,
    nest: &Table<'a, N>,
    ty: u16,
    reason: &'static str,
) -> Result<Attribute<'a>, Refusal> {
    nest.get(ty)
        .ok_or(Refusal::new(EINVAL, reason).missing_inside(attr.type_(), ty))
}

/// Reads `AF_INET_CR_ATTR_SOCKOPT_LINGER`.
fn parse_linger(
    attr: &Attribute<'_>,
    range: impl Fn() -> Refusal,
) -> Result<Value<'static>, Refusal> {
    let nest = open_nest(attr, &policy::LINGER, &[])?;
    let required = |ty| required(attr, &nest, ty, "SO_LINGER is a switch and a time");

    let on = required(attr::linger::ONOFF)?.as_u32()?;
    let time = required(attr::linger::TIME)?.as_sint()?;

    // `struct linger` has whole seconds.
    let time = time::from_nanos_in_secs(time)
        .ok_or_else(|| range().inside(attr.type_(), attr::linger::TIME, &policy::LINGER))?;
    Ok(Value::Linger(on != 0, time))
}

/// Reads `AF_INET_CR_ATTR_SOCKOPT_TIMESTAMPING`.
fn parse_timestamping(attr: &Attribute<'_>) -> Result<Value<'static>, Refusal> {
    let nest = open_nest(attr, &policy::TIMESTAMPING, &[])?;
    let required = |ty| required(attr, &nest, ty, "SO_TIMESTAMPING has three parts");

    Ok(Value::Timestamping(
        required(attr::timestamping::FLAGS)?.as_u32()?,
        required(attr::timestamping::BIND_PHC)?.as_s32()?,
        required(attr::timestamping::NEW)?.as_u32()? != 0,
    ))
}

/// Reads `AF_INET_CR_ATTR_SOCKOPT_TXTIME`.
fn parse_txtime(attr: &Attribute<'_>) -> Result<Value<'static>, Refusal> {
    let nest = open_nest(attr, &policy::TXTIME, &[])?;
    let required = |ty| required(attr, &nest, ty, "SO_TXTIME is a clock and flags");

    Ok(Value::Txtime(Some((
        required(attr::txtime::CLOCKID)?.as_s32()?,
        required(attr::txtime::FLAGS)?.as_u32()?,
    ))))
}

#[cfg(CONFIG_AF_INET_CR_KUNIT_TEST)]
#[kernel::macros::kunit_tests(af_inet_cr_codec)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_of_time_stamps_has_an_option() {
        let last = uapi::af_inet_cr_timestamp_AF_INET_CR_TIMESTAMP_NS_NEW;

        for mode in 1..=last {
            let option = timestamp_option(mode);

            assert_eq!(option.1, 1);
            assert!((1..mode).all(|other| timestamp_option(other) != option));
        }
        assert_eq!(timestamp_option(0).1, 0);
    }
}
