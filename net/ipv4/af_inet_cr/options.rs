// SPDX-License-Identifier: GPL-2.0

//! The option table.
//!
//! One row for each option that is carried. The rows drive the dump, the restore, and the policy of
//! the restore; an option is added by adding a row. What an option with a new shape takes is a
//! variant of [`Shape`], and its arms here and in `codec.rs`.
//!
//! The options of `SOL_SOCKET` are attributes of the message, those of the other levels are in a
//! [`Nest`] each. Most of the boolean ones of a level share an attribute, one bit each, and the
//! attribute behind it says which of the bits were saved.

#![forbid(unsafe_code)]

use crate::{
    codec::Value,
    consts::{
        SOL_IP,
        SOL_SOCKET,
        SOL_UDP, //
    },
    internals,
    live::Settable,
    policy, //
};

use kernel::{
    net::{
        netlink::Policy,
        sock::{
            EncapHandler,
            InetFlag,
            InetSock,
            IpOptions,
            Sock,
            SockFlag,
            Timeout,
            UdpFlag,
            UdpSock, //
        },
        socket::{
            ErrorInfo,
            LockedSocket, //
        },
    },
    prelude::*,
    uapi, //
};

/// What can be done with an option.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Access {
    /// It is dumped, and what a message says about it is used otherwise.
    Get,
    /// It is dumped and restored.
    Both,
    /// It is dumped and restored, and traffic may change it at any time.
    Volatile,
}

/// When an option is restored. The table is sorted by it.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub(crate) enum Phase {
    /// By making the socket.
    Create,
    /// What `bind()` and `connect()` look at, and devices, which must go with the one that the
    /// socket is bound to.
    BeforeBind,
    /// The device that the socket is bound to, and what must hold for the first datagram.
    BoundDevice,
    /// What must not stand in the way of `bind()` and `connect()`.
    AfterConnect,
    /// Sizes of buffers.
    Buffers,
    /// Whether the sizes are the owner's choice, which setting them changes.
    BufferLocks,
    /// What depends on the sizes of buffers or on other options, or only on itself.
    Limits,
    /// What would stand in the way of all that is done before. These are numbers.
    Last,
    /// The count of drops, with those that were kept out until then, and who is told of it.
    Opened,
    /// Whether the filter can be changed, which it is until the socket is handed out.
    FilterLock,
}

/// One of the two buffers of a socket.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Buffer {
    /// The receive buffer.
    Receive,
    /// The send buffer.
    Send,
}

impl Buffer {
    /// The option that sets its size up to the limit for everybody, and the one without the limit.
    pub(crate) const fn setters(self) -> (c_int, c_int) {
        // CAST: Small numbers.
        match self {
            Buffer::Receive => (uapi::SO_RCVBUF as c_int, uapi::SO_RCVBUFFORCE as c_int),
            Buffer::Send => (uapi::SO_SNDBUF as c_int, uapi::SO_SNDBUFFORCE as c_int),
        }
    }

    /// Why a size is refused to users without privilege.
    pub(crate) const fn limit(self) -> &'static str {
        match self {
            Buffer::Receive => {
                "above 2 * rmem_max needs CAP_NET_ADMIN in the initial user namespace"
            }
            Buffer::Send => "above 2 * wmem_max needs CAP_NET_ADMIN in the initial user namespace",
        }
    }

    /// Its bit of `SO_BUF_LOCK`.
    pub(crate) const fn lock(self) -> u32 {
        match self {
            Buffer::Receive => uapi::SOCK_RCVBUF_LOCK,
            Buffer::Send => uapi::SOCK_SNDBUF_LOCK,
        }
    }
}

/// What an option looks like in the socket, in a message, and to `setsockopt()`.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// A boolean that the function reads.
    Bool(fn(&Sock) -> bool),
    /// A boolean in `sk_flags`.
    Flag(SockFlag),
    /// A boolean in `inet_flags`.
    InetFlag(InetFlag),
    /// A boolean in `udp_flags`.
    UdpFlag(UdpFlag),
    /// A boolean in `sk_flags` that the function sets, for good.
    FlagOnce(SockFlag, fn(&mut dyn Settable) -> Result),
    /// A boolean of a UDP socket that the first function reads, and that the second sets, for good.
    Once(fn(&UdpSock) -> bool, fn(&mut dyn Settable) -> Result),
    /// An integer that the function reads, between these two.
    Int(fn(&Sock) -> u32, u32, u32),
    /// An integer that the function reads, one of these.
    OneOf(fn(&Sock) -> u32, &'static [u32]),
    /// A signed integer that the function reads, between these two.
    Signed(fn(&Sock) -> i32, i32, i32),
    /// An unsigned `long` that the function reads.
    Long(fn(&Sock) -> usize),
    /// An unsigned `long` that the first function reads, and that no option but the second function
    /// sets.
    LongField(fn(&Sock) -> usize, fn(&LockedSocket<'_>, usize) -> Result),
    /// A number that the first function reads, and that no option but the second function sets.
    Field(fn(&Sock) -> u32, fn(&LockedSocket<'_>, u32), u32),
    /// A time in jiffies that the function reads.
    Time(fn(&Sock) -> Timeout),
    /// `struct linger`.
    Linger,
    /// `sk_bound_dev_if`: the name of a device, or the index where it has gone.
    Device,
    /// `uc_index`: the name of a device.
    UnicastDevice,
    /// `mc_index` and `mc_addr`: the name of a device, and an address.
    MulticastDevice,
    /// Which of the four options for time stamps is on.
    Timestamp,
    /// `struct so_timestamping`.
    Timestamping,
    /// `struct sock_txtime`, if it is on, which cannot be undone.
    Txtime,
    /// The size of a buffer, exactly.
    Size(Buffer),
    /// Whether the size of a buffer is the owner's choice.
    SizeLock(Buffer),
    /// The options of an IP header.
    IpOptions,
    /// The directions that are shut down.
    Shutdown,
    /// The time stamp of the last datagram, if there was one or one is asked for.
    Stamp,
}

/// The header of an attribute.
const NLA_HDRLEN: usize = size_of::<uapi::nlattr>();

impl Shape {
    /// How much room a number takes in a message.
    pub(crate) const NUMBER: usize = NLA_HDRLEN + 4;

    /// How much room one of 64 bits takes, and the name of a device.
    pub(crate) const LONG: usize = NLA_HDRLEN + 8;
    pub(crate) const NAME: usize = NLA_HDRLEN + uapi::IFNAMSIZ as usize;

    /// How much room an option of this shape takes at the most.
    const fn room(self) -> usize {
        match self {
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
            | Shape::Timestamp
            | Shape::Size(_)
            | Shape::SizeLock(_)
            | Shape::Shutdown => Self::NUMBER,
            Shape::Long(_) | Shape::LongField(..) | Shape::Time(_) | Shape::Stamp => Self::LONG,
            Shape::Device | Shape::UnicastDevice => Self::NAME,
            Shape::MulticastDevice => Self::NAME + Self::NUMBER,
            Shape::Linger => NLA_HDRLEN + Self::NUMBER + Self::LONG,
            Shape::Timestamping => NLA_HDRLEN + 3 * Self::NUMBER,
            Shape::Txtime => NLA_HDRLEN + 2 * Self::NUMBER,
            Shape::IpOptions => NLA_HDRLEN + IpOptions::MAX,
        }
    }
}

/// How a message has an option.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    /// As a bit of the attribute that those of a level share.
    Bit,
    /// As a number, in an attribute of its own.
    Number,
    /// As something else, or not always.
    Other,
}

/// Where a message has the options of a level.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Nest {
    /// `SOL_SOCKET`: in no nest.
    None,
    /// `SOL_IP`: in `AF_INET_CR_ATTR_IP`.
    Ip,
    /// `SOL_UDP`: in `AF_INET_CR_ATTR_UDP`.
    Udp,
}

impl Nest {
    /// All of them.
    pub(crate) const ALL: [Nest; 3] = [Nest::None, Nest::Ip, Nest::Udp];

    /// The level of the options.
    pub(crate) const fn level(self) -> c_int {
        match self {
            Nest::None => SOL_SOCKET,
            Nest::Ip => SOL_IP,
            Nest::Udp => SOL_UDP,
        }
    }

    /// The options of the level that a message has in a form, in the order of the table.
    pub(crate) fn options(self, form: Form) -> &'static [&'static SocketOption] {
        macro_rules! rows {
            ($nest:expr, $form:expr) => {{
                static ROWS: [&SocketOption; $nest.count($form)] = $nest.rows($form);
                &ROWS
            }};
        }

        match (self, form) {
            (Nest::None, Form::Bit) => rows!(Nest::None, Form::Bit),
            (Nest::None, Form::Number) => rows!(Nest::None, Form::Number),
            (Nest::None, Form::Other) => rows!(Nest::None, Form::Other),
            (Nest::Ip, Form::Bit) => rows!(Nest::Ip, Form::Bit),
            (Nest::Ip, Form::Number) => rows!(Nest::Ip, Form::Number),
            (Nest::Ip, Form::Other) => rows!(Nest::Ip, Form::Other),
            (Nest::Udp, Form::Bit) => rows!(Nest::Udp, Form::Bit),
            (Nest::Udp, Form::Number) => rows!(Nest::Udp, Form::Number),
            (Nest::Udp, Form::Other) => rows!(Nest::Udp, Form::Other),
        }
    }

    /// How much room in a message the options of the level take at the most.
    pub(crate) const fn room(self) -> usize {
        let (mut i, mut room) = (0, 0);

        while i < COUNT {
            // CAST: The numbers of the levels.
            if OPTIONS[i].nest as u8 == self as u8 && OPTIONS[i].bit == 0 {
                room += OPTIONS[i].shape.room();
            }
            i += 1;
        }
        // The header of the nest, and the bits with which of them were saved.
        room + NLA_HDRLEN + 2 * Shape::NUMBER
    }

    /// Whether an option is one of the level, and in a message in that form.
    const fn has(self, form: Form, option: &SocketOption) -> bool {
        // CAST: The numbers of the variants.
        option.nest as u8 == self as u8 && option.form() as u8 == form as u8
    }

    /// How many such options there are.
    const fn count(self, form: Form) -> usize {
        let (mut i, mut count) = (0, 0);

        while i < COUNT {
            // CAST: 0 or 1.
            count += self.has(form, &OPTIONS[i]) as usize;
            i += 1;
        }
        count
    }

    /// The rows of such options.
    const fn rows<const N: usize>(self, form: Form) -> [&'static SocketOption; N] {
        let mut rows = [&OPTIONS[0]; N];
        let (mut i, mut count) = (0, 0);

        while i < COUNT {
            if self.has(form, &OPTIONS[i]) {
                rows[count] = &OPTIONS[i];
                count += 1;
            }
            i += 1;
        }
        rows
    }
}

/// An option of a socket.
pub(crate) struct SocketOption {
    /// Its level.
    pub(crate) nest: Nest,
    /// The attribute that carries it.
    pub(crate) attr: u16,
    /// Its bit in the attribute, or 0 if the attribute carries nothing else.
    pub(crate) bit: u32,
    /// Its name, for users.
    pub(crate) name: &'static str,
    /// Its number, which sets it.
    pub(crate) optname: c_int,
    /// What can be done with it.
    pub(crate) access: Access,
    /// When it is restored.
    pub(crate) phase: Phase,
    /// What it looks like.
    pub(crate) shape: Shape,
}

/// The largest value of what the kernel has in an `int`.
const INT_MAX: u32 = c_int::MAX as u32;

/// The largest value of a byte.
const U8_MAX: u32 = u8::MAX as u32;

/// The largest value of two bytes.
const U16_MAX: u32 = u16::MAX as u32;

/// `UDP_ENCAP` of a socket whose ESP packets XFRM takes.
pub(crate) const ESP: Value<'static> = Value::Int(uapi::UDP_ENCAP_ESPINUDP);

/// The encapsulations that user space can choose. All others are of parts of the kernel.
pub(crate) const ENCAPS: &[u32] = &[0, uapi::UDP_ENCAP_ESPINUDP, uapi::UDP_ENCAP_L2TPINUDP];

/// Makes a row of an option that has an attribute to itself.
const fn row(
    nest: Nest,
    attr: u32,
    name: &'static str,
    optname: u32,
    access: Access,
    phase: Phase,
    shape: Shape,
) -> SocketOption {
    // CAST: Attributes have 14 bits, and options are small numbers.
    SocketOption {
        nest,
        attr: attr as u16,
        bit: 0,
        name,
        optname: optname as c_int,
        access,
        phase,
        shape,
    }
}

/// Makes a row of an attribute of the message.
const fn socket(
    attr: u32,
    name: &'static str,
    optname: u32,
    access: Access,
    phase: Phase,
    shape: Shape,
) -> SocketOption {
    row(Nest::None, attr, name, optname, access, phase, shape)
}

/// Makes a row of a bit of `AF_INET_CR_ATTR_SOCKOPT_FLAGS`.
const fn socket_flag(
    bit: u32,
    name: &'static str,
    optname: u32,
    phase: Phase,
    shape: Shape,
) -> SocketOption {
    let attr = uapi::AF_INET_CR_ATTR_SOCKOPT_FLAGS;

    SocketOption {
        bit,
        ..row(Nest::None, attr, name, optname, Both, phase, shape)
    }
}

/// Makes a row of an attribute in `AF_INET_CR_ATTR_IP`.
const fn ip(
    attr: u32,
    name: &'static str,
    optname: u32,
    phase: Phase,
    shape: Shape,
) -> SocketOption {
    row(Nest::Ip, attr, name, optname, Both, phase, shape)
}

/// Makes a row of a bit of `AF_INET_CR_A_IP_FLAGS`.
const fn ip_flag(
    bit: u32,
    name: &'static str,
    optname: u32,
    phase: Phase,
    flag: InetFlag,
) -> SocketOption {
    SocketOption {
        bit,
        ..ip(
            uapi::AF_INET_CR_A_IP_FLAGS,
            name,
            optname,
            phase,
            Shape::InetFlag(flag),
        )
    }
}

/// Makes a row of an attribute in `AF_INET_CR_ATTR_UDP`.
const fn udp(attr: u32, name: &'static str, optname: u32, shape: Shape) -> SocketOption {
    row(Nest::Udp, attr, name, optname, Both, AfterConnect, shape)
}

/// Makes a row of a bit of `AF_INET_CR_A_UDP_FLAGS`.
const fn udp_flag(
    bit: u32,
    name: &'static str,
    optname: u32,
    phase: Phase,
    flag: UdpFlag,
) -> SocketOption {
    let attr = uapi::AF_INET_CR_A_UDP_FLAGS;
    let shape = Shape::UdpFlag(flag);

    SocketOption {
        bit,
        ..row(Nest::Udp, attr, name, optname, Both, phase, shape)
    }
}

/// Makes a row of a bit of `AF_INET_CR_A_UDP_FLAGS` that `UDP_ENCAP` leaves behind.
const fn udp_trace(
    bit: u32,
    name: &'static str,
    get: fn(&UdpSock) -> bool,
    set: fn(&mut dyn Settable) -> Result,
) -> SocketOption {
    let attr = uapi::AF_INET_CR_A_UDP_FLAGS;
    let shape = Shape::Once(get, set);

    SocketOption {
        bit,
        ..row(Nest::Udp, attr, name, 0, Both, BeforeBind, shape)
    }
}

/// Sets `UDP_ENCAP`.
fn set_encap(socket: &dyn Settable, encap: u32) -> Result {
    // CAST: Small numbers.
    socket.setsockopt_int(SOL_UDP, uapi::UDP_ENCAP as c_int, encap as c_int)
}

/// Sets `UDP_ENCAP` back.
fn set_encap_back(socket: &dyn Settable, encap: u32) -> Result {
    // CAST: A small number.
    socket.set_back(SOL_UDP, uapi::UDP_ENCAP as c_int, &encap.to_ne_bytes())
}

/// Reads `UDP_ENCAP` of a socket that is to get a handler of XFRM, or refuses it.
fn encap_for_xfrm(sock: &Sock) -> Result<u32> {
    let encap = encap(sock);

    if !cfg!(CONFIG_XFRM) {
        return Err(ENOPROTOOPT);
    }
    // It would lose that, and there is no way back.
    if !ENCAPS.contains(&encap) || of_udp(sock, UdpSock::has_foreign_encap) {
        return Err(EOPNOTSUPP);
    }
    Ok(encap)
}

/// Has XFRM take ESP packets, as `UDP_ENCAP` does also when it is set to 0.
fn set_encap_rcv(socket: &mut dyn Settable) -> Result {
    match encap_for_xfrm(socket)? {
        0 => set_encap(socket, 0),
        encap => set_encap(socket, 0).and_then(|()| set_encap_back(socket, encap)),
    }
}

/// Has XFRM merge ESP packets, as `UDP_ENCAP` and `UDP_GRO` do together.
fn set_gro_receive(socket: &mut dyn Settable) -> Result {
    let encap = encap_for_xfrm(socket)?;
    let gro = of_udp(socket, |udp| udp.udp_flag(UdpFlag::GRO_ENABLED));

    // In this order no datagrams are merged meanwhile. Both options are put back whatever fails.
    set_encap(socket, uapi::UDP_ENCAP_ESPINUDP)?;
    // CAST: Small numbers.
    let result = socket.setsockopt_int(SOL_UDP, uapi::UDP_GRO as c_int, 1);
    let gro_back = socket.set_back(
        SOL_UDP,
        uapi::UDP_GRO as c_int,
        &c_int::from(gro).to_ne_bytes(),
    );

    result.and(gro_back).and(set_encap_back(socket, encap))
}

/// Reads `UDP_ENCAP`.
fn encap(sock: &Sock) -> u32 {
    of_udp(sock, |udp| udp.encap_type().into())
}

/// Reads a number of an IP socket.
fn of_ip<T: Default>(sock: &Sock, read: fn(&InetSock) -> T) -> T {
    sock.inet().map(read).unwrap_or_default()
}

/// Reads a number of a UDP socket.
fn of_udp<T: Default>(sock: &Sock, read: fn(&UdpSock) -> T) -> T {
    sock.udp().map(read).unwrap_or_default()
}

// A restore goes by the phases.
static_assert!({
    let mut i = 1;

    while i < COUNT && OPTIONS[i - 1].phase as u8 <= OPTIONS[i].phase as u8 {
        i += 1;
    }
    i == COUNT
});

use Access::*;
use Phase::*;
use Shape::*;

/// All options that are carried, in the order in which they are restored.
#[rustfmt::skip]
pub(crate) static OPTIONS: &[SocketOption] = &[
    socket(uapi::AF_INET_CR_ATTR_SOCK_FAMILY, "SO_DOMAIN", uapi::SO_DOMAIN,
        Get, Create, Int(|sock| sock.family().into(), 0, u32::MAX)),
    socket(uapi::AF_INET_CR_ATTR_SOCK_TYPE, "SO_TYPE", uapi::SO_TYPE,
        Get, Create, Int(|sock| sock.type_().into(), 0, u32::MAX)),
    socket(uapi::AF_INET_CR_ATTR_SOCK_PROTOCOL, "SO_PROTOCOL", uapi::SO_PROTOCOL,
        Get, Create, Int(|sock| sock.protocol().into(), 0, u32::MAX)),

    // Whether an address is in use, and which addresses are allowed.
    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_REUSEADDR, "SO_REUSEADDR", uapi::SO_REUSEADDR,
        Both, BeforeBind, Int(|sock| sock.reuse().into(), 0, 2)),
    socket_flag(uapi::af_inet_cr_sockopt_flag_AF_INET_CR_SOCKOPT_FLAG_REUSEPORT,
        "SO_REUSEPORT", uapi::SO_REUSEPORT, BeforeBind, Bool(Sock::reuseport)),
    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_BROADCAST, "SO_BROADCAST", uapi::SO_BROADCAST,
        Both, BeforeBind, Flag(SockFlag::BROADCAST)),
    ip_flag(uapi::af_inet_cr_ip_flag_AF_INET_CR_IP_FLAG_FREEBIND,
        "IP_FREEBIND", uapi::IP_FREEBIND, BeforeBind, InetFlag::FREEBIND),
    ip_flag(uapi::af_inet_cr_ip_flag_AF_INET_CR_IP_FLAG_TRANSPARENT,
        "IP_TRANSPARENT", uapi::IP_TRANSPARENT, BeforeBind, InetFlag::TRANSPARENT),
    // Which groups are heard of which nobody here is a member.
    ip_flag(uapi::af_inet_cr_ip_flag_AF_INET_CR_IP_FLAG_MULTICAST_ALL,
        "IP_MULTICAST_ALL", uapi::IP_MULTICAST_ALL, BeforeBind, InetFlag::MC_ALL),
    // What the route to a peer depends on.
    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_MARK, "SO_MARK", uapi::SO_MARK,
        Both, BeforeBind, Int(Sock::mark, 0, u32::MAX)),
    ip(uapi::AF_INET_CR_A_IP_TOS, "IP_TOS", uapi::IP_TOS,
        BeforeBind, Int(|sock| of_ip(sock, |inet| inet.tos().into()), 0, U8_MAX)),
    ip(uapi::AF_INET_CR_A_IP_UNICAST_IFNAME, "IP_UNICAST_IF", uapi::IP_UNICAST_IF,
        BeforeBind, UnicastDevice),
    ip(uapi::AF_INET_CR_A_IP_MULTICAST_IFNAME, "IP_MULTICAST_IF", uapi::IP_MULTICAST_IF,
        BeforeBind, MulticastDevice),
    // UDP_ENCAP and UDP_GRO leave them behind, whatever they are set to later. To get them takes
    // an encapsulation for a moment, which nobody may hear.
    udp_trace(uapi::af_inet_cr_udp_flag_AF_INET_CR_UDP_FLAG_ENCAP_RCV,
        "encap_rcv of UDP_ENCAP",
        |udp| udp.encap_rcv() == EncapHandler::Xfrm, set_encap_rcv),
    udp_trace(uapi::af_inet_cr_udp_flag_AF_INET_CR_UDP_FLAG_GRO_RECEIVE,
        "gro_receive of UDP_ENCAP",
        |udp| udp.gro_receive() == EncapHandler::Xfrm, set_gro_receive),

    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_BINDTODEVICE, "SO_BINDTODEVICE", uapi::SO_BINDTOIFINDEX,
        Both, BoundDevice, Device),
    // It may name a clock of the device. The other options for time stamps share a flag with it.
    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_TIMESTAMPING, "SO_TIMESTAMPING",
        uapi::SO_TIMESTAMPING_OLD, Both, BoundDevice, Timestamping),
    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_TIMESTAMP, "SO_TIMESTAMP", uapi::SO_TIMESTAMP_OLD,
        Both, BoundDevice, Timestamp),
    socket_flag(uapi::af_inet_cr_sockopt_flag_AF_INET_CR_SOCKOPT_FLAG_TIMESTAMP,
        "SOCK_TIMESTAMP", 0, BoundDevice, FlagOnce(SockFlag::TIMESTAMP, |socket| {
            socket.lock().map(|sock| internals::enable_timestamp(&sock))
        })),
    // What is noted of a datagram or an error when it comes, for who receives it later, and which
    // errors are.
    ip_flag(uapi::af_inet_cr_ip_flag_AF_INET_CR_IP_FLAG_PKTINFO,
        "IP_PKTINFO", uapi::IP_PKTINFO, BoundDevice, InetFlag::PKTINFO),
    ip_flag(uapi::af_inet_cr_ip_flag_AF_INET_CR_IP_FLAG_RECVERR,
        "IP_RECVERR", uapi::IP_RECVERR, BoundDevice, InetFlag::RECVERR),
    ip_flag(uapi::af_inet_cr_ip_flag_AF_INET_CR_IP_FLAG_RECVERR_RFC4884,
        "IP_RECVERR_RFC4884", uapi::IP_RECVERR_RFC4884, BoundDevice, InetFlag::RECVERR_RFC4884),
    ip_flag(uapi::af_inet_cr_ip_flag_AF_INET_CR_IP_FLAG_CHECKSUM,
        "IP_CHECKSUM", uapi::IP_CHECKSUM, BoundDevice, InetFlag::CHECKSUM),
    ip(uapi::AF_INET_CR_A_IP_MTU_DISCOVER, "IP_MTU_DISCOVER", uapi::IP_MTU_DISCOVER,
        BoundDevice, Int(|sock| of_ip(sock, |inet| inet.pmtudisc().into()),
            0, uapi::IP_PMTUDISC_OMIT)),

    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_DEBUG, "SO_DEBUG", uapi::SO_DEBUG,
        Both, AfterConnect, Flag(SockFlag::DBG)),
    // It may have been set on a socket that could not have been connected with it.
    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_DONTROUTE, "SO_DONTROUTE", uapi::SO_DONTROUTE,
        Both, AfterConnect, Flag(SockFlag::LOCALROUTE)),
    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_KEEPALIVE, "SO_KEEPALIVE", uapi::SO_KEEPALIVE,
        Both, AfterConnect, Flag(SockFlag::KEEPOPEN)),
    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_OOBINLINE, "SO_OOBINLINE", uapi::SO_OOBINLINE,
        Both, AfterConnect, Flag(SockFlag::URGINLINE)),
    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_LINGER, "SO_LINGER", uapi::SO_LINGER,
        Both, AfterConnect, Linger),
    // IP_TOS sets the priority, too: it goes before this.
    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_PRIORITY, "SO_PRIORITY", uapi::SO_PRIORITY,
        Both, AfterConnect, Int(Sock::priority, 0, u32::MAX)),
    socket_flag(uapi::af_inet_cr_sockopt_flag_AF_INET_CR_SOCKOPT_FLAG_NO_CHECK,
        "SO_NO_CHECK", uapi::SO_NO_CHECK, AfterConnect, Bool(Sock::no_check_tx)),
    socket_flag(uapi::af_inet_cr_sockopt_flag_AF_INET_CR_SOCKOPT_FLAG_WIFI_STATUS,
        "SO_WIFI_STATUS", uapi::SO_WIFI_STATUS, AfterConnect, Flag(SockFlag::WIFI_STATUS)),
    socket_flag(uapi::af_inet_cr_sockopt_flag_AF_INET_CR_SOCKOPT_FLAG_NOFCS,
        "SO_NOFCS", uapi::SO_NOFCS, AfterConnect, Flag(SockFlag::NOFCS)),
    socket_flag(uapi::af_inet_cr_sockopt_flag_AF_INET_CR_SOCKOPT_FLAG_SELECT_ERR_QUEUE,
        "SO_SELECT_ERR_QUEUE", uapi::SO_SELECT_ERR_QUEUE,
        AfterConnect, Flag(SockFlag::SELECT_ERR_QUEUE)),
    socket_flag(uapi::af_inet_cr_sockopt_flag_AF_INET_CR_SOCKOPT_FLAG_ZEROCOPY,
        "SO_ZEROCOPY", uapi::SO_ZEROCOPY, AfterConnect, Flag(SockFlag::ZEROCOPY)),
    socket_flag(uapi::af_inet_cr_sockopt_flag_AF_INET_CR_SOCKOPT_FLAG_PREFER_BUSY_POLL,
        "SO_PREFER_BUSY_POLL", uapi::SO_PREFER_BUSY_POLL,
        AfterConnect, Bool(Sock::prefer_busy_poll)),
    socket_flag(uapi::af_inet_cr_sockopt_flag_AF_INET_CR_SOCKOPT_FLAG_RCVMARK,
        "SO_RCVMARK", uapi::SO_RCVMARK, AfterConnect, Flag(SockFlag::RCVMARK)),
    socket_flag(uapi::af_inet_cr_sockopt_flag_AF_INET_CR_SOCKOPT_FLAG_RCVPRIORITY,
        "SO_RCVPRIORITY", uapi::SO_RCVPRIORITY, AfterConnect, Flag(SockFlag::RCVPRIORITY)),
    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_BUSY_POLL, "SO_BUSY_POLL", uapi::SO_BUSY_POLL,
        Both, AfterConnect, Int(Sock::busy_poll_usec, 0, INT_MAX)),
    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_BUSY_POLL_BUDGET, "SO_BUSY_POLL_BUDGET",
        uapi::SO_BUSY_POLL_BUDGET,
        Both, AfterConnect, Int(|sock| sock.busy_poll_budget().into(), 0, U16_MAX)),
    // The option lowers the rate that goes with it, but does not raise it.
    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_MAX_PACING_RATE, "SO_MAX_PACING_RATE",
        uapi::SO_MAX_PACING_RATE, Both, AfterConnect, Long(Sock::max_pacing_rate)),
    socket(uapi::AF_INET_CR_ATTR_PACING_RATE, "the pacing rate", 0,
        Both, AfterConnect, LongField(Sock::pacing_rate, internals::set_pacing_rate)),
    // Each datagram to a connected socket overwrites it.
    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_INCOMING_CPU, "SO_INCOMING_CPU", uapi::SO_INCOMING_CPU,
        Volatile, AfterConnect, Signed(Sock::incoming_cpu, i32::MIN, i32::MAX)),
    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_TXTIME, "SO_TXTIME", uapi::SO_TXTIME,
        Both, AfterConnect, Txtime),

    ip_flag(uapi::af_inet_cr_ip_flag_AF_INET_CR_IP_FLAG_RECVOPTS,
        "IP_RECVOPTS", uapi::IP_RECVOPTS, AfterConnect, InetFlag::RECVOPTS),
    ip_flag(uapi::af_inet_cr_ip_flag_AF_INET_CR_IP_FLAG_RETOPTS,
        "IP_RETOPTS", uapi::IP_RETOPTS, AfterConnect, InetFlag::RETOPTS),
    ip_flag(uapi::af_inet_cr_ip_flag_AF_INET_CR_IP_FLAG_RECVTTL,
        "IP_RECVTTL", uapi::IP_RECVTTL, AfterConnect, InetFlag::TTL),
    ip_flag(uapi::af_inet_cr_ip_flag_AF_INET_CR_IP_FLAG_RECVTOS,
        "IP_RECVTOS", uapi::IP_RECVTOS, AfterConnect, InetFlag::TOS),
    ip_flag(uapi::af_inet_cr_ip_flag_AF_INET_CR_IP_FLAG_PASSSEC,
        "IP_PASSSEC", uapi::IP_PASSSEC, AfterConnect, InetFlag::PASSSEC),
    ip_flag(uapi::af_inet_cr_ip_flag_AF_INET_CR_IP_FLAG_RECVORIGDSTADDR,
        "IP_RECVORIGDSTADDR", uapi::IP_RECVORIGDSTADDR, AfterConnect, InetFlag::ORIGDSTADDR),
    ip_flag(uapi::af_inet_cr_ip_flag_AF_INET_CR_IP_FLAG_BIND_ADDRESS_NO_PORT,
        "IP_BIND_ADDRESS_NO_PORT", uapi::IP_BIND_ADDRESS_NO_PORT,
        AfterConnect, InetFlag::BIND_ADDRESS_NO_PORT),
    ip_flag(uapi::af_inet_cr_ip_flag_AF_INET_CR_IP_FLAG_RECVFRAGSIZE,
        "IP_RECVFRAGSIZE", uapi::IP_RECVFRAGSIZE, AfterConnect, InetFlag::RECVFRAGSIZE),
    ip_flag(uapi::af_inet_cr_ip_flag_AF_INET_CR_IP_FLAG_MULTICAST_LOOP,
        "IP_MULTICAST_LOOP", uapi::IP_MULTICAST_LOOP, AfterConnect, InetFlag::MC_LOOP),
    ip(uapi::AF_INET_CR_A_IP_TTL, "IP_TTL", uapi::IP_TTL,
        AfterConnect, Signed(|sock| of_ip(sock, |inet| inet.ttl().into()), -1, 255)),
    ip(uapi::AF_INET_CR_A_IP_MIN_TTL, "IP_MINTTL", uapi::IP_MINTTL,
        AfterConnect, Int(|sock| of_ip(sock, |inet| inet.min_ttl().into()), 0, U8_MAX)),
    ip(uapi::AF_INET_CR_A_IP_OPTIONS, "IP_OPTIONS", uapi::IP_OPTIONS, AfterConnect, IpOptions),
    ip(uapi::AF_INET_CR_A_IP_MULTICAST_TTL, "IP_MULTICAST_TTL", uapi::IP_MULTICAST_TTL,
        AfterConnect, Int(|sock| of_ip(sock, |inet| inet.mc_ttl().into()), 0, U8_MAX)),
    ip(uapi::AF_INET_CR_A_IP_LOCAL_PORT_RANGE, "IP_LOCAL_PORT_RANGE", uapi::IP_LOCAL_PORT_RANGE,
        AfterConnect, Int(|sock| of_ip(sock, InetSock::local_port_range), 0, u32::MAX)),

    udp_flag(uapi::af_inet_cr_udp_flag_AF_INET_CR_UDP_FLAG_NO_CHECK6_TX,
        "UDP_NO_CHECK6_TX", uapi::UDP_NO_CHECK6_TX, AfterConnect, UdpFlag::NO_CHECK6_TX),
    udp_flag(uapi::af_inet_cr_udp_flag_AF_INET_CR_UDP_FLAG_NO_CHECK6_RX,
        "UDP_NO_CHECK6_RX", uapi::UDP_NO_CHECK6_RX, AfterConnect, UdpFlag::NO_CHECK6_RX),
    udp(uapi::AF_INET_CR_A_UDP_ENCAP, "UDP_ENCAP", uapi::UDP_ENCAP, OneOf(encap, ENCAPS)),
    // For ESP the two leave something behind if both are on, thus the old value of this one goes
    // first (see `amend.rs`), and the new one comes last.
    udp_flag(uapi::af_inet_cr_udp_flag_AF_INET_CR_UDP_FLAG_GRO,
        "UDP_GRO", uapi::UDP_GRO, AfterConnect, UdpFlag::GRO_ENABLED),
    udp(uapi::AF_INET_CR_A_UDP_SEGMENT, "UDP_SEGMENT", uapi::UDP_SEGMENT,
        Int(|sock| of_udp(sock, |udp| udp.gso_size().into()), 0, U16_MAX)),

    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_SNDBUF, "SO_SNDBUF", uapi::SO_SNDBUF,
        Both, Buffers, Size(Buffer::Send)),
    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_RCVBUF, "SO_RCVBUF", uapi::SO_RCVBUF,
        Both, Buffers, Size(Buffer::Receive)),
    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_SNDBUF_ULOCK, "SO_BUF_LOCK", uapi::SO_BUF_LOCK,
        Both, BufferLocks, SizeLock(Buffer::Send)),
    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_RCVBUF_ULOCK, "SO_BUF_LOCK", uapi::SO_BUF_LOCK,
        Both, BufferLocks, SizeLock(Buffer::Receive)),

    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_RCVLOWAT, "SO_RCVLOWAT", uapi::SO_RCVLOWAT,
        Both, Limits, Int(|sock| sock.rcvlowat().unsigned_abs(), 1, INT_MAX)),
    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_PEEK_OFF, "SO_PEEK_OFF", uapi::SO_PEEK_OFF,
        Both, Limits, Signed(Sock::peek_off, i32::MIN, i32::MAX)),
    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_RCVTIMEO, "SO_RCVTIMEO", uapi::SO_RCVTIMEO_NEW,
        Both, Limits, Time(Sock::rcvtimeo)),
    socket(uapi::AF_INET_CR_ATTR_SOCKOPT_SNDTIMEO, "SO_SNDTIMEO", uapi::SO_SNDTIMEO_NEW,
        Both, Limits, Time(Sock::sndtimeo)),
    socket(uapi::AF_INET_CR_ATTR_STAMP, "SIOCGSTAMP", 0, Both, Limits, Stamp),
    // SO_TIMESTAMPING starts to count anew.
    socket(uapi::AF_INET_CR_ATTR_TSKEY, "SOF_TIMESTAMPING_OPT_ID", 0,
        Both, Limits, Field(Sock::tskey, internals::set_tskey, u32::MAX)),
    socket(uapi::AF_INET_CR_ATTR_ZCKEY, "MSG_ZEROCOPY", 0,
        Both, Limits, Field(Sock::zckey, internals::set_zckey, u32::MAX)),
    // What comes from the network changes them, and counts for more.
    socket(uapi::AF_INET_CR_ATTR_ERROR, "SO_ERROR", 0, Volatile, Limits,
        Field(|sock| sock.err().unsigned_abs(), internals::set_err, ErrorInfo::MAX_ERRNO)),
    socket(uapi::AF_INET_CR_ATTR_SOFT_ERROR, "a soft error", 0, Volatile, Limits,
        Field(|sock| sock.err_soft().unsigned_abs(), internals::set_err_soft,
            ErrorInfo::MAX_ERRNO)),

    udp_flag(uapi::af_inet_cr_udp_flag_AF_INET_CR_UDP_FLAG_CORK,
        "UDP_CORK", uapi::UDP_CORK, Last, UdpFlag::CORK),
    socket(uapi::AF_INET_CR_ATTR_SHUTDOWN, "shutdown()", 0, Both, Last, Shutdown),
    socket(uapi::AF_INET_CR_ATTR_DROPS, "the count of drops", 0,
        Volatile, Opened, Field(Sock::drops, internals::set_drops, u32::MAX)),
    // Nobody is told of another count.
    socket_flag(uapi::af_inet_cr_sockopt_flag_AF_INET_CR_SOCKOPT_FLAG_RXQ_OVFL,
        "SO_RXQ_OVFL", uapi::SO_RXQ_OVFL, Opened, Flag(SockFlag::RXQ_OVFL)),
    socket_flag(uapi::af_inet_cr_sockopt_flag_AF_INET_CR_SOCKOPT_FLAG_LOCK_FILTER,
        "SO_LOCK_FILTER", uapi::SO_LOCK_FILTER, FilterLock, Flag(SockFlag::FILTER_LOCKED)),
];

/// The number of options.
pub(crate) const COUNT: usize = OPTIONS.len();

impl SocketOption {
    /// Whether it is `UDP_GRO`.
    pub(crate) fn is_udp_gro(&self) -> bool {
        // CAST: A small number.
        self.nest == Nest::Udp && self.optname == uapi::UDP_GRO as c_int
    }

    /// Whether it is `UDP_ENCAP`.
    pub(crate) fn is_udp_encap(&self) -> bool {
        // CAST: A small number.
        self.nest == Nest::Udp && self.optname == uapi::UDP_ENCAP as c_int
    }

    /// Whether XFRM begins to merge the ESP packets of a socket when this is set, as the socket has
    /// the other one of `UDP_ENCAP` and `UDP_GRO`. It never stops to.
    pub(crate) fn begins_to_merge(&self, value: Value<'_>, sock: &Sock) -> bool {
        let has_the_other = if self.is_udp_gro() {
            value == Value::Int(1) && Value::Int(encap(sock)) == ESP
        } else {
            self.is_udp_encap()
                && value == ESP
                && of_udp(sock, |udp| udp.udp_flag(UdpFlag::GRO_ENABLED))
        };

        cfg!(CONFIG_XFRM)
            && has_the_other
            && of_udp(sock, |udp| udp.gro_receive() != EncapHandler::Xfrm)
    }

    /// How a message has it.
    const fn form(&self) -> Form {
        match self.bit {
            // There is nothing else that takes as little.
            0 if self.shape.room() == Shape::NUMBER => Form::Number,
            0 => Form::Other,
            _ => Form::Bit,
        }
    }

    /// The policy of the attribute, unless the option shares it.
    ///
    /// It is the one that the YNL specification says. What it cannot say, or what depends on the
    /// kernel, `codec.rs` checks.
    pub(crate) const fn policy(&self) -> Policy {
        match self.shape {
            Bool(_) | Flag(_) | InetFlag(_) | UdpFlag(_) | FlagOnce(..) | Once(..)
            | SizeLock(_) => Policy::u32_range(0, 1),
            // CAST: The limit was checked.
            Int(_, min, max) if max <= i16::MAX as u32 => Policy::u32_range(min as i16, max as i16),
            Int(..) | OneOf(..) | Size(_) | Field(..) => Policy::u32(),
            Signed(..) => Policy::s32(),
            Long(_) | LongField(..) => Policy::uint(),
            Time(_) | Stamp => Policy::sint(),
            Linger => Policy::nested(&policy::LINGER),
            Timestamping => Policy::nested(&policy::TIMESTAMPING),
            Txtime => Policy::nested(&policy::TXTIME),
            Device | UnicastDevice | MulticastDevice => policy::ifname(),
            Timestamp => Policy::u32_range(
                0,
                uapi::af_inet_cr_timestamp_AF_INET_CR_TIMESTAMP_NS_NEW as i16,
            ),
            // CAST: A small number.
            IpOptions => Policy::binary_max(kernel::net::sock::IpOptions::MAX as u16),
            Shutdown => Policy::u32_mask(
                uapi::af_inet_cr_shutdown_AF_INET_CR_SHUTDOWN_RCV
                    | uapi::af_inet_cr_shutdown_AF_INET_CR_SHUTDOWN_SEND,
            ),
        }
    }
}

#[cfg(CONFIG_AF_INET_CR_KUNIT_TEST)]
#[kernel::macros::kunit_tests(af_inet_cr_options)]
mod tests {
    use super::*;
    use crate::attr;

    /// The attributes of the RFC that are no options: identity, and the state.
    const NO_OPTIONS: [u16; 3] = [attr::INODE, attr::SOCK_STATE, attr::SOCK_FD];

    /// `SO_PASSCRED`, which no socket of IP has. The number stays unused.
    const PASSCRED: u16 = uapi::AF_INET_CR_ATTR_SOCKOPT_PASSCRED as u16;

    /// The last attribute of the RFC.
    // CAST: A small number.
    const LAST: u16 = uapi::AF_INET_CR_ATTR_SOCKOPT_RCVBUF_ULOCK as u16;

    /// All pairs of rows.
    fn pairs() -> impl Iterator<Item = (&'static SocketOption, &'static SocketOption)> {
        OPTIONS
            .iter()
            .enumerate()
            .flat_map(|(index, row)| OPTIONS.iter().take(index).map(move |other| (row, other)))
    }

    #[test]
    fn the_rfc_is_carried() {
        for number in 1..=LAST {
            let rows = OPTIONS
                .iter()
                .filter(|row| row.nest == Nest::None && row.attr == number)
                .count();
            let named = NO_OPTIONS.contains(&number) || number == PASSCRED;

            assert_eq!(rows, usize::from(!named));
        }
    }

    #[test]
    fn the_numbers_are_those_of_the_rfc() {
        assert_eq!(attr::INODE, 1);
        assert_eq!(attr::SOCK_FD, 4);
        assert_eq!(attr::SOCKOPT_BINDTODEVICE, 5);
        assert_eq!(PASSCRED, 12);
        assert_eq!(attr::SOCKOPT_REUSEADDR, 18);
        assert_eq!(LAST, 22);
    }

    #[test]
    fn each_attribute_or_bit_has_one_row() {
        for (row, other) in pairs() {
            if (row.nest, row.attr) == (other.nest, other.attr) {
                assert!(row.bit != 0 && other.bit != 0);
                assert!(row.bit & other.bit == 0);
            }
        }
        for row in OPTIONS {
            assert!(row.bit == 0 || row.bit.is_power_of_two());
        }
    }

    #[test]
    fn the_bits_of_a_level_share_one_attribute() {
        for (row, other) in pairs() {
            if row.bit != 0 && other.bit != 0 && row.nest == other.nest {
                assert_eq!(row.attr, other.attr);
            }
        }
    }

    #[test]
    fn each_option_has_one_row() {
        for (row, other) in pairs() {
            // Two bits of one option.
            let two = matches!(row.shape, SizeLock(_));
            let same = row.optname != 0 && (row.nest, row.optname) == (other.nest, other.optname);

            assert!(two || !same);
        }
    }

    #[test]
    fn what_makes_the_socket_is_not_set() {
        for row in OPTIONS {
            assert!((row.phase == Create) == (row.access == Get));
        }
    }

    #[test]
    fn each_buffer_has_its_own_bit() {
        assert_eq!(Buffer::Send.lock() & Buffer::Receive.lock(), 0);
        assert!(Buffer::Send.setters() != Buffer::Receive.setters());
    }
}
