// SPDX-License-Identifier: GPL-2.0

//! What is called otherwise where a socket is restored: devices, and addresses.
//!
//! A message is read as if it had the other name or address all along. Thus what is checked,
//! restored and compared is the socket of the new place, and nothing behind the parsing knows.

#![forbid(unsafe_code)]

use crate::{
    address,
    attr::{
        self,
        map, //
    },
    codec,
    device,
    policy,
    refusal::Refusal, //
};

use kernel::{
    net::{
        netlink::{
            Attribute,
            Capability,
            Policy,
            Request, //
        },
        Net, //
    },
    num::casts::u32_as_usize,
    prelude::*,
    str::CString,
    uapi, //
};

use core::net::{
    IpAddr,
    Ipv4Addr, //
};

/// The most maps that a request can have: all of them are looked at for each name and address of a
/// message, while nobody else gets anything from generic netlink.
const MAX: usize = u32_as_usize(uapi::AF_INET_CR_MAPS_MAX);

/// What is in `AF_INET_CR_ATTR_MAP`.
pub(crate) static POLICY: [Policy; map::TO_ADDR as usize + 1] = {
    let mut table = [Policy::rejected(); map::TO_ADDR as usize + 1];
    table[map::DEVICE as usize] = policy::ifname();
    table[map::TO_DEVICE as usize] = policy::ifname();
    table[map::ADDR as usize] = policy::addr();
    table[map::TO_ADDR as usize] = policy::addr();
    table
};

/// The maps of a request, and of the transaction that it begins.
pub(crate) struct Maps {
    /// Dumped names of devices, and the indices of the devices that take their places.
    devices: KVec<(CString, u32)>,
    /// Dumped addresses, and those that take their places.
    addrs: KVec<(Ipv4Addr, Ipv4Addr)>,
}

impl Maps {
    /// Reads the maps of a request.
    pub(crate) fn parse(request: &Request<'_>) -> Result<Maps, Refusal> {
        let mut maps = Maps {
            devices: KVec::new(),
            addrs: KVec::new(),
        };
        if request.attr(attr::MAP).is_none() {
            return Ok(maps);
        }
        let all = request.attrs().filter(|attr| attr.type_() == attr::MAP);

        for (nth, attr) in all.enumerate() {
            let added = match nth {
                MAX.. => Err(Refusal::new(E2BIG, "too many maps").at(attr::MAP)),
                _ => maps.add(&attr, request.net()),
            };
            added.map_err(|refusal| refusal.of_list(nth))?;
        }
        Ok(maps)
    }

    /// Reads a map.
    fn add(&mut self, attr: &Attribute<'_>, net: &Net) -> Result<(), Refusal> {
        let nest = codec::open_nest(attr, &POLICY, &[])?;
        let get = |ty| nest.get(ty);

        match (
            get(map::DEVICE),
            get(map::TO_DEVICE),
            get(map::ADDR),
            get(map::TO_ADDR),
        ) {
            (Some(from), Some(to), None, None) => self.add_device(&from, &to, net),
            (None, None, Some(from), Some(to)) => self.add_addr(&from, &to),
            _ => Err(Refusal::new(
                EINVAL,
                "a map is a device and another one, or an address and another one",
            )
            .at(attr::MAP)),
        }
    }

    /// Reads a map of a device.
    fn add_device(
        &mut self,
        from: &Attribute<'_>,
        to: &Attribute<'_>,
        net: &Net,
    ) -> Result<(), Refusal> {
        let name = device::name(from).map_err(|refusal| inside(from, refusal))?;
        let to_name = device::name(to).map_err(|refusal| inside(to, refusal))?;

        if name.is_empty() {
            return Err(wrong(from, EINVAL, "an empty name is no device"));
        }
        if self.find_device(name).is_some() {
            return Err(wrong(from, EINVAL, "the device has a map already"));
        }
        let ifindex = net
            .device_index(to_name)
            .ok_or_else(|| wrong(to, ENODEV, NO_DEVICE))?;
        Ok(self
            .devices
            .push((CString::try_from(name)?, ifindex), GFP_KERNEL)?)
    }

    /// Reads a map of an address.
    fn add_addr(&mut self, from: &Attribute<'_>, to: &Attribute<'_>) -> Result<(), Refusal> {
        let key = of_a_host(from)?;

        if self.find_addr(key).is_some() {
            return Err(wrong(from, EINVAL, "the address has a map already"));
        }
        Ok(self.addrs.push((key, of_a_host(to)?), GFP_KERNEL)?)
    }

    /// Returns the index of the device in the place of another one, if there is such a map.
    fn find_device(&self, name: &CStr) -> Option<u32> {
        let found = self
            .devices
            .iter()
            .find(|(from, _)| from.to_bytes() == name.to_bytes());
        found.map(|(_, ifindex)| *ifindex)
    }

    /// Returns the address in the place of another one, if there is such a map.
    fn find_addr(&self, addr: Ipv4Addr) -> Option<Ipv4Addr> {
        let found = self.addrs.iter().find(|(from, _)| *from == addr);
        found.map(|(_, to)| *to)
    }
}

/// Why a name is refused.
const NO_DEVICE: &str = "no device has this name";

/// Refuses a map because of one of its attributes.
fn wrong(attr: &Attribute<'_>, errno: Error, reason: &'static str) -> Refusal {
    inside(attr, Refusal::new(errno, reason))
}

/// Says which attribute of a map is refused.
fn inside(attr: &Attribute<'_>, refusal: Refusal) -> Refusal {
    refusal.inside(attr::MAP, attr.type_(), &POLICY)
}

/// Reads an address that a host can have.
///
/// A socket that gets another group, or loses its address, is another socket.
fn of_a_host(attr: &Attribute<'_>) -> Result<Ipv4Addr, Refusal> {
    let addr = address::parse_v4(attr).map_err(|refusal| inside(attr, refusal))?;

    match addr.is_unspecified() || addr.is_multicast() || addr.is_broadcast() {
        true => Err(wrong(attr, EINVAL, "not an address that a host can have")),
        false => Ok(addr),
    }
}

/// Where a socket is restored.
#[derive(Clone, Copy)]
pub(crate) struct Destination<'a> {
    /// The request.
    request: &'a Request<'a>,
    /// The network namespace.
    net: &'a Net,
    /// What is called otherwise there.
    maps: &'a Maps,
}

impl<'a> Destination<'a> {
    /// The network namespace of a request.
    pub(crate) fn new(request: &'a Request<'a>, maps: &'a Maps) -> Destination<'a> {
        Destination {
            request,
            net: request.net(),
            maps,
        }
    }

    /// Returns the network namespace.
    pub(crate) fn net(&self) -> &'a Net {
        self.net
    }

    /// Tells whether the requester may say what security label a datagram has.
    pub(crate) fn may_label(&self) -> bool {
        self.request.capable_in_init_ns(Capability::MAC_ADMIN)
    }

    /// Returns the index of the device that a message names.
    pub(crate) fn device(&self, name: &CStr) -> Result<u32, Refusal> {
        self.maps
            .find_device(name)
            .or_else(|| self.net.device_index(name))
            .ok_or(Refusal::new(ENODEV, NO_DEVICE))
    }

    /// Returns the index of the device that an attribute names.
    pub(crate) fn device_of(&self, attr: &Attribute<'_>) -> Result<u32, Refusal> {
        self.device(device::name(attr)?)
    }

    /// Reads an IPv4 address in an attribute.
    pub(crate) fn v4(&self, attr: &Attribute<'_>) -> Result<Ipv4Addr, Refusal> {
        let addr = address::parse_v4(attr)?;
        Ok(self.maps.find_addr(addr).unwrap_or(addr))
    }

    /// Reads an address in an attribute of the message.
    pub(crate) fn addr(&self, attr: &Attribute<'_>) -> Result<IpAddr, Refusal> {
        match self.v4(attr) {
            Ok(addr) => Ok(addr.into()),
            Err(refusal) => Err(refusal.at(attr.type_())),
        }
    }
}
