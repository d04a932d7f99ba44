// SPDX-License-Identifier: GPL-2.0

//! What a row of the option table is, and how an option is set.

mod table;

use std::fs;
use std::io;
use std::net::UdpSocket;

use anyhow::{Context, Result};
use libc::SOL_SOCKET;

use crate::sys::{link, namespace::Network, socket};
pub use table::TABLE;

/// What the dump says of an option, by the family's encoding rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Not there.
    Absent,
    U32(u32),
    /// Nanoseconds; -1 without limit.
    Sint(i64),
    /// Nest: on, nanoseconds.
    Linger(u32, i64),
    Name(&'static str),
    /// There, with the value that `getsockopt(2)` reads.
    AsOption,
    /// There, with a value that the test does not predict.
    Any,
}

/// One way of setting an option, and how it is to be dumped.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub set: Set,
    pub wire: Wire,
}

/// How an option is set.
#[derive(Clone, Copy)]
pub enum Set {
    /// Left as it is.
    Nothing,
    /// An int of `SOL_SOCKET`, by the row's number.
    Int(i32),
    /// As before, by another number.
    IntOf(i32, i32),
    /// Seconds and microseconds.
    Time(i64, i64),
    /// On, seconds.
    Pair(i32, i32),
    /// On and seconds, then off.
    PairThenOff(i32, i32),
    /// A dummy device of that name, made for it.
    Device(&'static str),
    /// A device that exists.
    Existing(&'static str),
    /// A dummy device that is gone again.
    DeviceGone,
    /// The default for new sockets, by the name of a sysctl: the socket is made
    /// while it has this value.
    Default(&'static str, i32),
}

/// An option.
pub struct Row {
    /// As in `SO_NAME`, lower case.
    pub name: &'static str,
    /// Number of its attribute.
    pub attribute: u16,
    /// Number at level `SOL_SOCKET`.
    pub number: i32,
    pub cases: &'static [Case],
}

/// A sysctl that has another value until this is dropped.
pub struct Sysctl {
    path: String,
    old: String,
    home: Network,
}

impl Sysctl {
    /// Sets `net.core.NAME`, which only the first network namespace may.
    pub fn core(name: &str, value: i32) -> Result<Self> {
        let home = Network::of(1)?;
        let path = format!("/proc/sys/net/core/{name}");
        let here = Network::current()?;
        home.enter()?;
        let old = fs::read_to_string(&path).with_context(|| path.clone())?;
        let written = fs::write(&path, value.to_string());
        here.enter()?;
        written?;
        Ok(Self { path, old, home })
    }
}

impl Drop for Sysctl {
    fn drop(&mut self) {
        let Ok(here) = Network::current() else {
            return;
        };
        let _ = self.home.enter();
        let _ = fs::write(&self.path, self.old.trim());
        let _ = here.enter();
    }
}

/// A socket with the option set. It is not bound.
pub fn socket_with(row: &Row, case: &Case) -> Result<UdpSocket> {
    if let Set::Default(sysctl, value) = case.set {
        let _guard = Sysctl::core(sysctl, value)?;
        return Ok(socket::udp()?);
    }
    let fd = socket::udp()?;
    apply(&fd, row, case).with_context(|| format!("setting {} to {}", row.name, case.name))?;
    Ok(fd)
}

/// Sets the option on a socket; a default for new sockets is left alone.
pub fn apply(fd: &UdpSocket, row: &Row, case: &Case) -> io::Result<()> {
    match case.set {
        Set::Nothing | Set::Default(..) => Ok(()),
        Set::Int(value) => socket::set_int(fd, SOL_SOCKET, row.number, value),
        Set::IntOf(number, value) => socket::set_int(fd, SOL_SOCKET, number, value),
        Set::Time(seconds, microseconds) => {
            socket::set_timeval(fd, row.number, seconds, microseconds)
        }
        Set::Pair(on, seconds) => socket::set_pair(fd, row.number, on, seconds),
        Set::PairThenOff(on, seconds) => {
            socket::set_pair(fd, row.number, on, seconds)?;
            socket::set_pair(fd, row.number, 0, 0)
        }
        Set::Device(name) => {
            link::add_dummy(name)?;
            socket::set(fd, SOL_SOCKET, row.number, name.as_bytes())
        }
        Set::Existing(name) => socket::set(fd, SOL_SOCKET, row.number, name.as_bytes()),
        Set::DeviceGone => {
            link::add_dummy("gone0")?;
            socket::set(fd, SOL_SOCKET, row.number, b"gone0")?;
            link::remove("gone0")
        }
    }
}
