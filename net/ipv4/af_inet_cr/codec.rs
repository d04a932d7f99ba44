// SPDX-License-Identifier: GPL-2.0

//! How options get from a socket into a message, and from a message into a socket.

#![forbid(unsafe_code)]

use crate::{
    attr,
    buffer,
    consts::{
        SO_TIMESTAMPNS_NEW,
        SO_TIMESTAMPNS_OLD,
        SO_TIMESTAMP_NEW,
        SO_TIMESTAMP_OLD, //
    },
    device,
    options::{
        Access,
        Shape,
        SocketOption,
        LINGER_POLICY, //
    },
    refusal::Refusal,
    time, //
};

use kernel::{
    net::{
        netlink::{
            Attribute,
            GenlMsg,
            Request, //
        },
        sock::{
            Sock,
            SockFlag,
            Timeout, //
        },
        socket::Socket,
        Net, //
    },
    prelude::*,
    uapi, //
};

/// `SO_REUSEADDR` of a socket that shares its address whatever the others want.
///
/// Only the kernel and `TCP_REPAIR` set it, and `setsockopt()` makes 1 of it.
const SK_FORCE_REUSE: u32 = 2;

/// The value of an option, as the socket has it.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Value {
    /// A number, a boolean, an index or a mode.
    Int(u32),
    /// A time.
    Time(Timeout),
    /// Whether a close waits, and for how long it would, in seconds or without limit.
    Linger(bool, Timeout),
}

impl SocketOption {
    /// Reads the option of a socket, once.
    pub(crate) fn read(&self, sock: &Sock) -> Value {
        match self.shape {
            Shape::Flag(flag) => Value::Int(sock.flag(flag).into()),
            Shape::Int(get, _, _) => Value::Int(get(sock)),
            Shape::Time(get) => Value::Time(get(sock)),
            Shape::Linger => Value::Linger(sock.flag(SockFlag::LINGER), sock.lingertime()),
            Shape::Device => Value::Int(sock.bound_dev_if()),
            Shape::Timestamp => Value::Int(timestamp_mode(sock)),
            Shape::Size(which) => Value::Int(buffer::size(sock, which).unsigned_abs()),
            Shape::SizeLock(which) => Value::Int(buffer::is_locked(sock, which).into()),
        }
    }

    /// Writes a value into a message.
    pub(crate) fn put(&self, value: Value, net: &Net, msg: &mut GenlMsg) -> Result<(), Refusal> {
        let too_long = || Refusal::new(EOVERFLOW, "is too long for a message").about(self.name);

        match (&self.shape, value) {
            (Shape::Device, Value::Int(ifindex)) => device::put(ifindex, net, msg)?,
            (_, Value::Int(value)) => {
                if self.attr == attr::SOCKOPT_REUSEADDR && value == SK_FORCE_REUSE {
                    return Err(force_reuse());
                }
                msg.put_u32(self.attr, value)?;
            }
            (_, Value::Time(time)) => {
                msg.put_sint(self.attr, time::to_nanos(time).ok_or_else(too_long)?)?;
            }
            (_, Value::Linger(on, time)) => {
                let time = time::to_nanos(time).ok_or_else(too_long)?;

                msg.nest(self.attr, |nest| {
                    nest.put_u32(attr::linger::ONOFF, on.into())?;
                    nest.put_sint(attr::linger::TIME, time)
                })?;
            }
        }
        Ok(())
    }

    /// Reads the value in a message, if it has one.
    ///
    /// What passes can be set, but for privileges.
    pub(crate) fn parse(&self, request: &Request<'_>) -> Result<Option<Value>, Refusal> {
        if let Shape::Device = self.shape {
            return Ok(device::parse(request)?.map(Value::Int));
        }
        let Some(attr) = request.attr(self.attr) else {
            return Ok(None);
        };
        let range = || {
            Refusal::new(ERANGE, "is out of range")
                .about(self.name)
                .at(self.attr)
        };

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
            Shape::Size(_) => {
                let value = attr.as_u32()?;
                if value == 0 || c_int::try_from(value).is_err() {
                    return Err(range());
                }
                Value::Int(value)
            }
            Shape::Time(_) => Value::Time(time::from_nanos(attr.as_sint()?).ok_or_else(range)?),
            Shape::Linger => parse_linger(&attr, range)?,
            Shape::Flag(_) | Shape::SizeLock(_) | Shape::Timestamp | Shape::Device => {
                Value::Int(attr.as_u32()?)
            }
        };
        Ok(Some(value))
    }

    /// Gives a new socket the value, unless it has it.
    ///
    /// What a new socket has anyway needs no privilege, and asks nobody.
    pub(crate) fn restore(&self, value: Value, socket: &mut Socket) -> Result<(), Refusal> {
        if self.access == Access::Get || self.read(socket) == value {
            return Ok(());
        }
        let result = match (&self.shape, value) {
            (Shape::Size(which), Value::Int(size)) => {
                return buffer::restore(*which, size, socket)
                    .map_err(|refusal| refusal.about(self.name).at(self.attr));
            }
            (Shape::SizeLock(which), Value::Int(on)) => buffer::set_locked(*which, on != 0, socket),
            (Shape::Timestamp, Value::Int(mode)) => {
                let (optname, on) = timestamp_option(mode);
                socket.setsockopt_int(self.level, optname, on)
            }
            // The same bits: `setsockopt()` has an `int` also for what is unsigned.
            (_, Value::Int(value)) => {
                socket.setsockopt(self.level, self.optname, &value.to_ne_bytes())
            }
            (_, Value::Time(time)) => {
                socket.setsockopt(self.level, self.optname, &time::timeval(time)?)
            }
            (_, Value::Linger(on, time)) => {
                // Switching it off keeps the time.
                socket
                    .setsockopt(self.level, self.optname, &time::linger(true, time)?)
                    .and_then(|()| match on {
                        true => Ok(()),
                        false => {
                            socket.setsockopt(self.level, self.optname, &time::linger(false, time)?)
                        }
                    })
            }
        };
        result.map_err(|errno| {
            Refusal::new(errno, "cannot be set")
                .about(self.name)
                .at(self.attr)
        })
    }

    /// Refuses a socket that has not got the value.
    ///
    /// A program of the cgroup may have changed what was set.
    pub(crate) fn verify(&self, value: Value, sock: &Sock) -> Result<(), Refusal> {
        if self.read(sock) == value {
            return Ok(());
        }
        Err(Refusal::new(EPERM, "became another value")
            .about(self.name)
            .at(self.attr))
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

/// Reads `AF_INET_CR_ATTR_SOCKOPT_LINGER`.
fn parse_linger(attr: &Attribute<'_>, range: impl Fn() -> Refusal) -> Result<Value, Refusal> {
    let nest = attr.nested(&LINGER_POLICY)?;

    if let Some(repeated) = nest.first_repeated() {
        return Err(Refusal::new(EINVAL, "an attribute is repeated").inside(
            attr.type_(),
            repeated.type_(),
            &LINGER_POLICY,
        ));
    }
    let required = |ty| {
        nest.get(ty).ok_or(
            Refusal::new(EINVAL, "SO_LINGER is a switch and a time")
                .missing_inside(attr.type_(), ty),
        )
    };
    let on = required(attr::linger::ONOFF)?.as_u32()?;
    let time = required(attr::linger::TIME)?.as_sint()?;

    // `struct linger` has whole seconds.
    let time = time::from_nanos_in_secs(time)
        .ok_or_else(|| range().inside(attr.type_(), attr::linger::TIME, &LINGER_POLICY))?;
    Ok(Value::Linger(on != 0, time))
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
