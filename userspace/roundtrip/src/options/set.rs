// SPDX-License-Identifier: GPL-2.0

//! How an option is set.

use std::fs;
use std::io;
use std::net::UdpSocket;

use anyhow::{Context, Result};

use super::{Case, Row};
use crate::sys::filter::{self, Instruction};
use crate::sys::{link, namespace::Network, socket};

/// How an option is set.
#[derive(Clone, Copy)]
pub enum Set {
    /// Left as it is.
    Nothing,
    /// An int, by the row's number.
    Int(i32),
    /// As before, by another number.
    IntOf(i32, i32),
    /// Seconds and microseconds.
    Time(i64, i64),
    /// Two ints.
    Pair(i32, i32),
    /// On and seconds, then off.
    PairThenOff(i32, i32),
    /// 64 bits.
    Wide(u64),
    /// 64 bits, then others.
    WideThen(u64, u64),
    /// Any bytes.
    Bytes(&'static [u8]),
    /// Any bytes, then others.
    BytesThen(&'static [u8], &'static [u8]),
    /// A dummy device of that name, made for it.
    Device(&'static str),
    /// A device that exists.
    Existing(&'static str),
    /// A dummy device that is gone again.
    DeviceGone,
    /// Index of a device in network byte order: of `lo` or of a dummy.
    Index(&'static str),
    /// `struct ip_mreqn`: an address, and the index of a device.
    Mreqn([u8; 4], &'static str),
    /// A filter of so many instructions that takes so many bytes of a datagram.
    Filter(usize, u32),
    /// The default for new sockets, by the name of a sysctl: the socket is made
    /// while it has this value.
    Default(&'static str, i32),
}

impl Set {
    /// Whether it is set for every new socket of the machine, those of other tests among them.
    pub fn is_of_all(self) -> bool {
        matches!(self, Self::Default(..))
    }

    /// Whether another device than the loopback gets involved.
    pub fn is_of_other_device(self) -> bool {
        match self {
            Self::Device(_) | Self::DeviceGone => true,
            Self::Index(name) | Self::Mreqn(_, name) => name != "lo",
            _ => false,
        }
    }
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

/// A filter of so many instructions that takes so many bytes of a datagram.
pub fn program(len: usize, taken: u32) -> Vec<Instruction> {
    let mut program = vec![Instruction::NOTHING; len - 1];
    program.push(Instruction::taking(taken));
    program
}

/// Index of a device, which is made if it does not exist.
fn device(name: &str) -> io::Result<u32> {
    if link::index(name).is_err() {
        link::add_dummy(name)?;
    }
    link::index(name)
}

/// Sets the option on a socket; a default for new sockets is left alone.
pub fn apply(fd: &UdpSocket, row: &Row, case: &Case) -> io::Result<()> {
    let set = |bytes: &[u8]| socket::set(fd, row.level, row.number, bytes);
    match case.set {
        Set::Nothing | Set::Default(..) => Ok(()),
        Set::Int(value) => set(&value.to_ne_bytes()),
        Set::IntOf(number, value) => socket::set_int(fd, row.level, number, value),
        Set::Time(seconds, microseconds) => {
            socket::set_timeval(fd, row.number, seconds, microseconds)
        }
        Set::Pair(first, second) => socket::set_pair(fd, row.number, first, second),
        Set::PairThenOff(on, seconds) => {
            socket::set_pair(fd, row.number, on, seconds)?;
            socket::set_pair(fd, row.number, 0, 0)
        }
        Set::Wide(value) => set(&value.to_ne_bytes()),
        Set::WideThen(first, second) => {
            set(&first.to_ne_bytes())?;
            set(&second.to_ne_bytes())
        }
        Set::Bytes(bytes) => set(bytes),
        Set::BytesThen(first, second) => {
            set(first)?;
            set(second)
        }
        Set::Device(name) => {
            device(name)?;
            set(name.as_bytes())
        }
        Set::Existing(name) => set(name.as_bytes()),
        Set::DeviceGone => {
            device("gone0")?;
            set(b"gone0")?;
            link::remove("gone0")
        }
        Set::Filter(len, taken) => filter::attach(fd, row.number, &program(len, taken)),
        Set::Index(name) => set(&device(name)?.to_be_bytes()),
        Set::Mreqn(address, name) => {
            let index = device(name)?.to_ne_bytes();
            set(&[[0; 4], address, index].concat())
        }
    }
}
