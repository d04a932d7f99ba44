// SPDX-License-Identifier: GPL-2.0
//! Devices and addresses that have others in their places where a socket is restored.

use std::net::IpAddr;

use crate::attr::RawAttr;
use crate::attributes::{attributes, nest};
use crate::snapshot::Snapshot;
use crate::state::MAP as MAP_NUMBER;
use crate::types::DeviceName;
use crate::value::Value as _;

attributes! {
    /// Another device or address in the place of a dumped one: one pair of the two.
    pub struct Map, MAP;
    fields {
        /// Dumped name of a device.
        1 device "device" Place: DeviceName;
        /// Name of the device to use.
        2 to_device "to-device" Place: DeviceName;
        /// Dumped address.
        3 addr "addr" Place: IpAddr;
        /// Address to use.
        4 to_addr "to-addr" Place: IpAddr;
    }
    kept {}
}
nest!(Map "map" MAP);

/// Most maps of one request, `maps-max` of the specification.
pub const MAPS_MAX: usize = 64;

/// What is called otherwise where sockets are restored. One set will do for all sockets of a
/// process: what nothing is to be replaced by is left alone.
///
/// ```
/// use inetcr::Maps;
///
/// let mut maps = Maps::default();
/// maps.add_device("eth0".parse().unwrap(), "veth7".parse().unwrap()).unwrap();
/// maps.add_address([10, 0, 0, 1].into(), [10, 1, 0, 1].into()).unwrap();
/// assert_eq!(maps.to_attrs().len(), 2);
/// assert!(maps.add_address([10, 0, 0, 1].into(), [10, 2, 0, 1].into()).is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maps {
    devices: Vec<(DeviceName, DeviceName)>,
    addresses: Vec<(IpAddr, IpAddr)>,
}

/// Why there cannot be such a map.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// An empty name.
    #[error("an empty name is no device")]
    NoDevice,
    /// The wildcard, a group, the limited broadcast, or one of IPv6.
    #[error("{0} is not an IPv4 address that a host can have")]
    NoHost(IpAddr),
    /// There is such a map already.
    #[error("{0} has a map already")]
    Twice(String),
    /// There are too many.
    #[error("more than {MAPS_MAX} maps")]
    TooMany,
}

impl Maps {
    /// Another device in the place of one.
    pub fn add_device(&mut self, from: DeviceName, to: DeviceName) -> Result<(), MapError> {
        if [from, to].iter().any(|name| name.as_c_str().is_empty()) {
            return Err(MapError::NoDevice);
        }
        if self.devices.iter().any(|one| one.0 == from) {
            return Err(MapError::Twice(from.to_string()));
        }
        self.has_room()?;
        self.devices.push((from, to));
        Ok(())
    }

    /// Another address in the place of one.
    pub fn add_address(&mut self, from: IpAddr, to: IpAddr) -> Result<(), MapError> {
        for addr in [from, to] {
            let is_broadcast = |addr| matches!(addr, IpAddr::V4(v4) if v4.is_broadcast());
            if addr.is_ipv6() || addr.is_unspecified() || addr.is_multicast() || is_broadcast(addr)
            {
                return Err(MapError::NoHost(addr));
            }
        }
        if self.addresses.iter().any(|one| one.0 == from) {
            return Err(MapError::Twice(from.to_string()));
        }
        self.has_room()?;
        self.addresses.push((from, to));
        Ok(())
    }

    fn has_room(&self) -> Result<(), MapError> {
        if self.devices.len() + self.addresses.len() < MAPS_MAX {
            return Ok(());
        }
        Err(MapError::TooMany)
    }

    /// The attributes of a request that has these maps.
    pub fn to_attrs(&self) -> Vec<RawAttr> {
        let devices = self.devices.iter().map(|(from, to)| Map {
            device: Some(*from),
            to_device: Some(*to),
            ..Map::default()
        });
        let addresses = self.addresses.iter().map(|(from, to)| Map {
            addr: Some(*from),
            to_addr: Some(*to),
            ..Map::default()
        });
        let all = devices.chain(addresses);
        all.map(|map| map.encode(MAP_NUMBER)).collect()
    }

    /// What the kernel makes of a socket with these maps.
    #[must_use]
    pub fn applied_to(&self, snapshot: &Snapshot) -> Snapshot {
        let mut new = snapshot.clone();
        let state = &mut new.state;
        self.device(&mut state.sockopt_bindtodevice);
        for addr in [
            &mut state.local_addr,
            &mut state.peer_addr,
            &mut state.source_addr,
        ] {
            self.address(addr.as_mut());
        }
        if let Some(ip) = &mut state.ip {
            self.device(&mut ip.multicast_ifname);
            self.device(&mut ip.unicast_ifname);
            self.address(ip.multicast_addr.as_mut());
        }
        for membership in &mut state.membership {
            self.device(&mut membership.ifname);
            self.address(membership.address.as_mut());
            for source in &mut membership.source {
                self.address(Some(source));
            }
        }
        for datagram in &mut new.queue {
            let header = &mut datagram.header;
            self.device(&mut header.pktinfo_ifname);
            for addr in [
                &mut header.source_addr,
                &mut header.dest_addr,
                &mut header.pktinfo_addr,
                &mut header.error_addr,
            ] {
                self.address(addr.as_mut());
            }
        }
        if let Some(cork) = &mut new.corked {
            self.device(&mut cork.header.ifname);
            self.address(cork.header.dest_addr.as_mut());
            self.address(cork.header.source_addr.as_mut());
        }
        new
    }

    fn device(&self, name: &mut Option<DeviceName>) {
        let found = self.devices.iter().find(|one| Some(one.0) == *name);
        *name = found.map(|one| one.1).or(*name);
    }

    fn address(&self, addr: Option<&mut IpAddr>) {
        if let Some(addr) = addr
            && let Some((_, to)) = self.addresses.iter().find(|one| one.0 == *addr)
        {
            *addr = *to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cork, CorkHeader, Datagram, DatagramHeader, Ip, Membership, State};

    fn device(name: &str) -> DeviceName {
        name.parse().unwrap()
    }

    fn addr(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    /// A socket that has a device and an address wherever it can have one.
    fn everywhere(name: &str, last: u8) -> Snapshot {
        let (name, addr) = (Some(device(name)), Some(addr(last)));
        let state = State {
            sockopt_bindtodevice: name,
            local_addr: addr,
            peer_addr: addr,
            source_addr: addr,
            ip: Some(Ip {
                multicast_ifname: name,
                unicast_ifname: name,
                multicast_addr: addr,
                ..Ip::default()
            }),
            membership: vec![Membership {
                group: Some(IpAddr::from([224, 1, 2, 3])),
                ifname: name,
                address: addr,
                exclude: Some(false),
                source: addr.into_iter().collect(),
            }],
            ..State::default()
        };
        let datagram = Datagram {
            header: DatagramHeader {
                source_addr: addr,
                dest_addr: addr,
                pktinfo_addr: addr,
                pktinfo_ifname: name,
                error_addr: addr,
                ..DatagramHeader::default()
            },
            payload: Vec::new(),
        };
        let cork = Cork {
            header: CorkHeader {
                dest_addr: addr,
                source_addr: addr,
                ifname: name,
                ..CorkHeader::default()
            },
            payload: Vec::new(),
        };
        Snapshot::new(state, vec![datagram], Some(cork))
    }

    /// A value that goes into its own place again is replaced once.
    #[test]
    fn all_names_and_addresses_are_replaced_once() {
        let mut maps = Maps::default();
        maps.add_device(device("a"), device("b")).unwrap();
        maps.add_device(device("b"), device("a")).unwrap();
        maps.add_address(addr(1), addr(2)).unwrap();
        maps.add_address(addr(2), addr(3)).unwrap();
        assert_eq!(maps.applied_to(&everywhere("a", 1)), everywhere("b", 2));
        assert_eq!(maps.applied_to(&everywhere("b", 2)), everywhere("a", 3));
        assert_eq!(maps.applied_to(&everywhere("c", 4)), everywhere("c", 4));
        let nowhere = Snapshot::default();
        assert_eq!(maps.applied_to(&nowhere), nowhere);
    }

    #[test]
    fn what_is_no_map_is_refused() {
        let mut maps = Maps::default();
        let none = device("");
        for (from, to) in [(none, device("a")), (device("a"), none)] {
            assert_eq!(maps.add_device(from, to), Err(MapError::NoDevice));
        }
        for wrong in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::1"] {
            let wrong: IpAddr = wrong.parse().unwrap();
            assert_eq!(
                maps.add_address(wrong, addr(1)),
                Err(MapError::NoHost(wrong))
            );
            assert_eq!(
                maps.add_address(addr(1), wrong),
                Err(MapError::NoHost(wrong))
            );
        }
        assert_eq!(maps, Maps::default());
        for last in 0..64 {
            maps.add_address(addr(last), addr(1)).unwrap();
        }
        let twice = maps.add_address(addr(3), addr(1)).unwrap_err();
        assert_eq!(twice.to_string(), "10.0.0.3 has a map already");
        let more = maps.add_device(device("a"), device("b"));
        assert_eq!(more, Err(MapError::TooMany));
    }
}
