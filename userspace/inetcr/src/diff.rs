// SPDX-License-Identifier: GPL-2.0
//! In what two states differ.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use bitflags::Flags;

use crate::attributes::Described;
use crate::nests::{Ip, Membership, Udp};
use crate::state::State;
use crate::table::{AttributeInfo, Role};

/// One attribute in which two states differ.
///
/// ```
/// use inetcr::{Ip, State, Time};
///
/// let left = State { sockopt_rcvtimeo: Some(Time::INFINITE), ..State::default() };
/// let right = State { sockopt_rcvtimeo: Some(Time::ZERO), ..State::default() };
/// let differences = left.differences(&right);
/// assert_eq!(differences[0].to_string(), "sockopt-rcvtimeo: infinite, 0s");
///
/// let tos = |tos| State { ip: Some(Ip { tos, ..Ip::default() }), ..State::default() };
/// let differences = tos(Some(16)).differences(&tos(None));
/// assert_eq!(differences[0].to_string(), "ip.tos: 0x10, absent");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which attribute.
    pub attribute: &'static AttributeInfo,
    /// Its name, behind those of the nests that it is in, with its place where it may come several
    /// times.
    pub name: String,
    /// The value in the one state, `None` if it has none.
    pub left: Option<String>,
    /// The value in the other state.
    pub right: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "absent".to_owned());
        let (left, right) = (side(&self.left), side(&self.right));
        write!(f, "{}: {left}, {right}", self.name)
    }
}

impl State {
    /// All attributes in which two states differ, except for the identity of the sockets. An
    /// address or a port of zeroes is as good as none.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let (left, right) = (self.places(), other.places());
        let (left_rows, right_rows) = (left.describe(), right.describe());
        let by_name = |rows: &[Described]| -> HashMap<_, _> {
            let rows = rows.iter().cloned();
            rows.map(|row| (row.name_and_place(), row)).collect()
        };
        let (mut lefts, mut rights) = (by_name(&left_rows), by_name(&right_rows));
        let mut differences = Vec::new();
        for row in left_rows.iter().chain(&right_rows) {
            let Some(attribute) = row.attribute() else {
                continue;
            };
            let name = row.name_and_place();
            // Taken once, whichever side it comes from first.
            let (left, right) = (lefts.remove(&name), rights.remove(&name));
            let wire = |row: &Option<Described>| row.as_ref().map(|row| row.wire.clone());
            if wire(&left) != wire(&right) && attribute.role != Role::Identity {
                differences.push(Difference {
                    attribute,
                    name,
                    left: left.map(|row| row.value),
                    right: right.map(|row| row.value),
                });
            }
        }
        differences
    }

    /// What a restored socket has otherwise than the state that it was made of: the differences
    /// between that state and a dump of the socket, without what the state leaves open.
    pub fn unmet_by(&self, restored: &Self) -> Vec<Difference> {
        let mut differences = self.differences(&restored.with_masks_of(self));
        differences.retain(|one| one.left.is_some() || one.attribute.role == Role::Place);
        // The copy does not have what the image has lost, and does not lose it again.
        differences.retain(|one| one.attribute.name != "lost");
        differences
    }

    /// The same state without zeroes as addresses and ports, and without nests in which nothing
    /// was saved.
    fn places(&self) -> Self {
        let with_place = |one: Membership| Membership {
            address: specified(one.address),
            ..one
        };
        Self {
            local_addr: specified(self.local_addr),
            peer_addr: specified(self.peer_addr),
            source_addr: specified(self.source_addr),
            local_port: self.local_port.filter(|port| *port != 0),
            peer_port: self.peer_port.filter(|port| *port != 0),
            sockopt_timestamping: saved(self.sockopt_timestamping.clone()),
            ip: saved(self.ip.clone().map(|ip| Ip {
                multicast_addr: specified(ip.multicast_addr),
                ..ip
            })),
            udp: saved(self.udp.clone()),
            membership: self.membership.iter().cloned().map(with_place).collect(),
            ..self.clone()
        }
    }

    /// The same state with no more flags than another one has saved.
    fn with_masks_of(&self, image: &Self) -> Self {
        let mut state = self.clone();
        let flags = (&mut state.sockopt_flags, &mut state.sockopt_flags_mask);
        limit(flags, image.sockopt_flags_mask);
        if let (
            Some(Ip {
                flags, flags_mask, ..
            }),
            Some(image),
        ) = (&mut state.ip, &image.ip)
        {
            limit((flags, flags_mask), image.flags_mask);
        }
        if let (
            Some(Udp {
                flags, flags_mask, ..
            }),
            Some(image),
        ) = (&mut state.udp, &image.udp)
        {
            limit((flags, flags_mask), image.flags_mask);
        }
        state
    }
}

/// An address that is one.
fn specified(address: Option<IpAddr>) -> Option<IpAddr> {
    address.filter(|one| !one.is_unspecified())
}

/// A nest in which there is something.
fn saved<T: Default + PartialEq>(nest: Option<T>) -> Option<T> {
    nest.filter(|nest| *nest != T::default())
}

/// Takes out flags, and what is known of them, that are not in a mask.
fn limit<F: Flags + Copy>((flags, mask): (&mut Option<F>, &mut Option<F>), to: Option<F>) {
    if let Some(to) = to {
        for set in [flags, mask] {
            *set = set.map(|set| set.intersection(to));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Losses;
    use crate::types::{Time, UdpFlags};

    #[test]
    fn identity_is_no_difference_and_what_was_not_saved_is_not_unmet() {
        let image = State {
            inode: Some(1),
            sock_type: Some(2),
            ..State::default()
        };
        let restored = State {
            inode: Some(2),
            sock_type: Some(2),
            sockopt_sndtimeo: Some(Time::INFINITE),
            ..State::default()
        };
        assert_eq!(image.differences(&restored).len(), 1);
        assert_eq!(image.unmet_by(&restored), []);

        let anywhere = State {
            local_addr: Some([0; 4].into()),
            ..image.clone()
        };
        assert_eq!(anywhere.unmet_by(&restored), []);
        let elsewhere = State {
            local_port: Some(5),
            ..restored
        };
        assert_eq!(image.unmet_by(&elsewhere)[0].attribute.name, "local-port");
    }

    #[test]
    fn what_was_lost_is_a_difference_and_not_unmet() {
        let lost = State {
            lost: Some(Losses::XATTR),
            ..State::default()
        };
        assert_eq!(lost.unmet_by(&State::default()), []);
        let differences = lost.differences(&State::default());
        assert_eq!(differences[0].to_string(), "lost: xattr, absent");
    }

    #[test]
    fn a_flag_that_was_not_saved_is_not_unmet() {
        let state = |flags, mask| State {
            udp: Some(Udp {
                flags: Some(flags),
                flags_mask: Some(mask),
                ..Udp::default()
            }),
            ..State::default()
        };
        let image = state(UdpFlags::CORK, UdpFlags::CORK);
        assert_eq!(image.unmet_by(&state(UdpFlags::all(), UdpFlags::all())), []);
        let unmet = image.unmet_by(&state(UdpFlags::GRO, UdpFlags::all()));
        assert_eq!(unmet.len(), 1);
        assert_eq!(unmet[0].to_string(), "udp.flags: cork, none");
    }

    #[test]
    fn what_was_absent_is_unmet_if_that_is_a_value() {
        let state = |options| State {
            ip: Some(Ip {
                options,
                ..Ip::default()
            }),
            ..State::default()
        };
        let unmet = state(None).unmet_by(&state(Some(vec![1, 1])));
        assert_eq!(unmet[0].to_string(), "ip.options: absent, 0101");
    }

    #[test]
    fn the_order_of_a_list_counts() {
        let one = |last| Membership {
            group: Some([224, 1, 1, last].into()),
            ifname: "lo".parse().ok(),
            exclude: Some(true),
            ..Membership::default()
        };
        let state = |membership| State {
            membership,
            ..State::default()
        };
        let image = state(vec![one(1), one(2)]);
        assert_eq!(image.unmet_by(&image.clone()), []);
        let text = |other: Vec<Membership>| -> Vec<_> {
            let unmet = image.unmet_by(&state(other));
            unmet.iter().map(ToString::to_string).collect()
        };
        let lost = ["membership[1]: 224.1.1.2 dev lo, absent"];
        assert_eq!(text(vec![one(1)]), lost);
        let swapped = [
            "membership[0]: 224.1.1.1 dev lo, 224.1.1.2 dev lo",
            "membership[1]: 224.1.1.2 dev lo, 224.1.1.1 dev lo",
        ];
        assert_eq!(text(vec![one(2), one(1)]), swapped);
        // What the copy has and the socket had not.
        let more = ["membership[2]: absent, 224.1.1.3 dev lo"];
        assert_eq!(text(vec![one(1), one(2), one(3)]), more);
        let by_nobody = Membership {
            address: Some([0; 4].into()),
            ..one(2)
        };
        assert_eq!(text(vec![one(1), by_nobody]), [""; 0]);
    }
}
