// SPDX-License-Identifier: GPL-2.0
//! Which of many sockets are wanted, by what people see of them.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

use crate::state::State;
use crate::types::{DeviceName, SockState};

/// What sockets have to have. What is `None` is not asked for.
///
/// ```
/// use inetcr::{Filter, State};
///
/// let filter = Filter { local: "10.0.0.0/8:53".parse().ok(), ..Filter::default() };
/// let at = |address: [u8; 4], port| State {
///     local_addr: Some(address.into()),
///     local_port: Some(port),
///     ..State::default()
/// };
/// assert!(filter.matches(&at([10, 1, 2, 3], 53)));
/// assert!(!filter.matches(&at([10, 1, 2, 3], 54)));
/// assert!(!filter.matches(&at([0, 0, 0, 0], 53)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Connected or not.
    pub state: Option<SockState>,
    /// Where it is bound.
    pub local: Option<Endpoint>,
    /// What it is connected to.
    pub peer: Option<Endpoint>,
    /// Device that it is bound to.
    pub device: Option<DeviceName>,
}

impl Filter {
    /// Whether a socket has all that is asked for.
    pub fn matches(&self, socket: &State) -> bool {
        let endpoint = |wanted: Option<Endpoint>, found| wanted.is_none_or(|one| one.has(found));
        self.state
            .is_none_or(|state| socket.sock_state == Some(state))
            && endpoint(self.local, socket.local())
            && endpoint(self.peer, socket.peer())
            && (self.device).is_none_or(|device| socket.sockopt_bindtodevice == Some(device))
    }
}

/// Addresses and a port, as `ss` has them in its filters: `10.0.0.1`, `10.0.0.0/8`, `10.0.0.1:53`,
/// `:53`, `*:53`. Addresses of IPv6 that have a port are in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    addresses: Option<IpNet>,
    port: Option<u16>,
}

impl Endpoint {
    /// A port of any address.
    pub fn of_port(port: u16) -> Self {
        Self {
            addresses: None,
            port: Some(port),
        }
    }

    /// The port, if there is one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    fn has(self, found: Option<SocketAddr>) -> bool {
        found.is_some_and(|found| {
            self.addresses.is_none_or(|net| net.contains(&found.ip()))
                && self.port.is_none_or(|port| port == found.port())
        })
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not ADDRESS, ADDRESS/LENGTH or either with :PORT");
        let (address, port) = split(text);
        let port = port.filter(|port| *port != "*");
        let port = port.map(str::parse).transpose().map_err(|_| wrong())?;
        let addresses = match address.trim_start_matches('[').trim_end_matches(']') {
            "" | "*" => None,
            net if net.contains('/') => Some(net.parse().map_err(|_| wrong())?),
            one => Some(one.parse::<IpAddr>().map_err(|_| wrong())?.into()),
        };
        if text.is_empty() {
            return Err(wrong());
        }
        Ok(Self { addresses, port })
    }
}

/// What is before and behind the colon of a port. In an address of IPv6 without brackets, none is.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((address, port)) if !address.contains(':') || address.starts_with('[') => {
            // In brackets, all colons are.
            if port.ends_with(']') {
                return (text, None);
            }
            (address, Some(port))
        }
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(wanted: &str, found: &str) -> bool {
        let wanted: Endpoint = wanted.parse().unwrap();
        wanted.has(found.parse().ok())
    }

    #[test]
    fn endpoints_are_read_as_ss_does() {
        for wanted in [
            "10.0.0.1",
            "10.0.0.0/8",
            "10.0.0.1:53",
            "10.0.0.0/24:53",
            ":53",
            "*:53",
            "*:*",
            "*",
            "0.0.0.0/0",
        ] {
            assert!(has(wanted, "10.0.0.1:53"), "{wanted}");
        }
        for wanted in [
            "10.0.0.2",
            "10.0.0.1:54",
            ":54",
            "11.0.0.0/8",
            "::1",
            "[::1]:53",
        ] {
            assert!(!has(wanted, "10.0.0.1:53"), "{wanted}");
        }
        assert!(has("[fe80::/10]:53", "[fe80::1]:53"));
        assert!(has("fe80::1", "[fe80::1]:53"));
        assert!(has("[fe80::1]", "[fe80::1]:53"));
        // Nowhere is not anywhere.
        assert!(!Endpoint::of_port(53).has(None));
        for wrong in [
            "",
            "x",
            "10.0.0.1:",
            "10.0.0.1:x",
            "10.0.0.0/33",
            ":65536",
            "a:b:c",
        ] {
            assert!(wrong.parse::<Endpoint>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn all_that_is_asked_for_has_to_be_there() {
        let socket = State {
            sock_state: Some(SockState::Established),
            local_port: Some(5000),
            peer_addr: Some([10, 0, 0, 1].into()),
            peer_port: Some(53),
            sockopt_bindtodevice: "lo".parse().ok(),
            ..State::default()
        };
        let filter = Filter {
            state: Some(SockState::Established),
            local: Some(Endpoint::of_port(5000)),
            peer: "10.0.0.0/8".parse().ok(),
            device: "lo".parse().ok(),
        };
        assert!(filter.matches(&socket));
        assert!(Filter::default().matches(&State::default()));
        for other in [
            Filter {
                state: Some(SockState::Close),
                ..filter
            },
            Filter {
                local: Some(Endpoint::of_port(1)),
                ..filter
            },
            Filter {
                peer: "11.0.0.0/8".parse().ok(),
                ..filter
            },
            Filter {
                device: "eth0".parse().ok(),
                ..filter
            },
        ] {
            assert!(!other.matches(&socket), "{other:?}");
        }
    }
}
