// SPDX-License-Identifier: GPL-2.0

//! Multicast groups that a socket can be a member of, one value each.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};

use inetcr::RawAttr;

use crate::cr::attr;
use crate::sys::link;
use crate::sys::multicast::{self, Device, Filter};

/// By which calls a group is joined.
#[derive(Clone, Copy)]
pub enum By {
    /// `IP_ADD_MEMBERSHIP` and its relatives, with an address of the device.
    Address(Ipv4Addr),
    /// `IP_ADD_MEMBERSHIP` with the index of the device, `MCAST_BLOCK_SOURCE` and its relatives.
    Index,
    /// The same with an address, too, which need not be the device's.
    IndexAnd(Ipv4Addr),
    /// `IP_ADD_MEMBERSHIP` with nothing, so that the route decides.
    Route,
    /// `MCAST_JOIN_GROUP` and its relatives.
    New,
    /// `IP_ADD_MEMBERSHIP`, then the filter at once by `IP_MSFILTER`.
    FilterOf(Ipv4Addr),
    /// `MCAST_JOIN_GROUP`, then the filter at once by `MCAST_MSFILTER`.
    NewFilter,
}

/// A membership.
#[derive(Clone, Copy)]
pub struct Member {
    pub group: Ipv4Addr,
    pub device: &'static str,
    pub by: By,
    pub exclude: bool,
    pub sources: &'static [Ipv4Addr],
}

/// A member by the loopback device's address who hears everybody.
pub const fn member(group: Ipv4Addr) -> Member {
    Member {
        group,
        device: "lo",
        by: By::Address(Ipv4Addr::LOCALHOST),
        exclude: true,
        sources: &[],
    }
}

impl Member {
    pub const fn on(mut self, device: &'static str, by: By) -> Self {
        self.device = device;
        self.by = by;
        self
    }

    pub const fn by(mut self, by: By) -> Self {
        self.by = by;
        self
    }

    /// Does not hear these.
    pub const fn without(mut self, sources: &'static [Ipv4Addr]) -> Self {
        self.exclude = true;
        self.sources = sources;
        self
    }

    /// Hears only these.
    pub const fn only(mut self, sources: &'static [Ipv4Addr]) -> Self {
        self.exclude = false;
        self.sources = sources;
        self
    }

    /// The device, as plain calls that join it name it.
    pub fn named(&self) -> io::Result<Device> {
        match self.by {
            By::Address(address) | By::FilterOf(address) => Ok(Device::Address(address)),
            By::Route => Ok(Device::Address(Ipv4Addr::UNSPECIFIED)),
            By::Index | By::IndexAnd(_) | By::New | By::NewFilter => Device::of(self.device),
        }
    }

    /// The filter, as plain calls read it.
    pub fn filter(&self) -> Filter {
        Filter {
            exclude: self.exclude,
            sources: self.sources.to_vec(),
        }
    }

    /// Makes a socket a member.
    pub fn join(&self, socket: &UdpSocket) -> io::Result<()> {
        let group = self.group;
        let device = self.named()?;
        match self.by {
            // Who is to hear some joins with the first of them.
            By::Address(_) | By::New if !self.exclude => {}
            By::New | By::NewFilter => {
                multicast::join_by_index(socket, group, link::index(self.device)?)?;
            }
            By::IndexAnd(address) => {
                let request = multicast::mreqn(group, address, link::index(self.device)?);
                let option = libc::IP_ADD_MEMBERSHIP;
                crate::sys::socket::set(socket, libc::SOL_IP, option, &request)?;
            }
            _ => multicast::join(socket, group, device)?,
        }
        if let By::FilterOf(_) | By::NewFilter = self.by {
            return multicast::set_filter(socket, group, device, &self.filter());
        }
        if !self.exclude && self.sources.is_empty() {
            // A source that is not there cannot be dropped, but then nobody is heard.
            multicast::join(socket, group, device)?;
            let option = libc::IP_DROP_SOURCE_MEMBERSHIP;
            let nobody = Ipv4Addr::UNSPECIFIED;
            let Device::Address(address) = device else {
                return Err(io::ErrorKind::Unsupported.into());
            };
            let dropped = multicast::of_source(socket, option, group, address, nobody);
            let Err(error) = dropped else {
                return Err(io::Error::other("a source that is not there was dropped"));
            };
            let is_expected = error.raw_os_error() == Some(libc::EADDRNOTAVAIL);
            return if is_expected { Ok(()) } else { Err(error) };
        }
        for source in self.sources {
            multicast::add_source(socket, group, device, self.exclude, *source)?;
        }
        Ok(())
    }

    /// The attribute that a dump is to have of it.
    pub fn attribute(&self) -> RawAttr {
        let mut nest = vec![
            RawAttr::new(attr::membership::GROUP, self.group.octets()),
            RawAttr::new(
                attr::membership::IFNAME,
                [self.device.as_bytes(), &[0]].concat(),
            ),
        ];
        if let By::Address(address) | By::IndexAnd(address) | By::FilterOf(address) = self.by {
            nest.push(RawAttr::new(attr::membership::ADDRESS, address.octets()));
        }
        nest.push(RawAttr::u32(attr::membership::EXCLUDE, self.exclude.into()));
        for source in self.sources {
            nest.push(RawAttr::new(attr::membership::SOURCE, source.octets()));
        }
        RawAttr::nested(attr::MEMBERSHIP, &nest)
    }
}

const fn group(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(224, 1, 1, last)
}

/// Some addresses that could send to a group, in no order.
pub const SOURCES: &[Ipv4Addr] = &[
    Ipv4Addr::new(127, 0, 0, 9),
    Ipv4Addr::new(10, 7, 0, 9),
    Ipv4Addr::new(127, 0, 0, 3),
];

/// Memberships that need no other device than the loopback, each in a group of its own.
pub const ON_LOOPBACK: &[Member] = &[
    member(group(4)),
    member(group(2)).by(By::Index),
    member(group(9)).by(By::New),
    member(group(3)).without(SOURCES),
    member(group(5)).only(SOURCES),
    member(group(1)).by(By::Index).without(SOURCES),
    member(group(8)).by(By::New).only(SOURCES),
    member(group(7)).by(By::NewFilter).only(SOURCES),
];
