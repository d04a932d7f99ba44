// SPDX-License-Identifier: GPL-2.0
//! In what two states differ.

use std::fmt;
use std::net::IpAddr;

use crate::state::{SOCKET, State};
use crate::table::{AttributeInfo, Role};

/// One attribute in which two states differ.
///
/// ```
/// use inetcr::{State, Time};
///
/// let left = State { sockopt_rcvtimeo: Some(Time::INFINITE), ..State::default() };
/// let right = State { sockopt_rcvtimeo: Some(Time::ZERO), ..State::default() };
/// let differences = left.differences(&right);
/// assert_eq!(differences[0].to_string(), "sockopt-rcvtimeo: infinite, 0s");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which attribute.
    pub attribute: &'static AttributeInfo,
    /// The value in the one state, `None` if it has none.
    pub left: Option<String>,
    /// The value in the other state.
    pub right: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "absent".to_owned());
        let (left, right) = (side(&self.left), side(&self.right));
        write!(f, "{}: {left}, {right}", self.attribute.name)
    }
}

impl State {
    /// All attributes in which two states differ, except for the identity of the sockets. An
    /// address or a port of zeroes is as good as none.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let (left, right) = (self.places().to_attrs(), other.places().to_attrs());
        let bytes = |attrs: &[crate::RawAttr], number| {
            attrs.iter().find(|attr| attr.number() == number).cloned()
        };
        let differs = |row: &&AttributeInfo| bytes(&left, row.number) != bytes(&right, row.number);
        SOCKET
            .iter()
            .filter(|row| matches!(row.role, Role::Place | Role::State))
            .filter(differs)
            .map(|row| Difference {
                attribute: row,
                left: self.value_of(row),
                right: other.value_of(row),
            })
            .collect()
    }

    /// What a restored socket has otherwise than the state that it was made of: the differences
    /// between that state and a dump of the socket, without what the state leaves open.
    pub fn unmet_by(&self, restored: &Self) -> Vec<Difference> {
        let mut differences = self.differences(restored);
        differences.retain(|one| one.left.is_some() || one.attribute.role == Role::Place);
        differences
    }

    /// The same state without zeroes as addresses and ports.
    fn places(&self) -> Self {
        let specified = |address: Option<IpAddr>| address.filter(|one| !one.is_unspecified());
        Self {
            local_addr: specified(self.local_addr),
            peer_addr: specified(self.peer_addr),
            source_addr: specified(self.source_addr),
            local_port: self.local_port.filter(|port| *port != 0),
            peer_port: self.peer_port.filter(|port| *port != 0),
            ..self.clone()
        }
    }

    fn value_of(&self, row: &AttributeInfo) -> Option<String> {
        let mut values = self.describe().into_iter();
        values
            .find(|(one, _)| one.number == row.number)
            .map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Time;

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
}
