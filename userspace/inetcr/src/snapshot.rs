// SPDX-License-Identifier: GPL-2.0
//! A socket with all that it holds.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::datagram::{Datagram, DatagramHeader};
use crate::diff::Difference;
use crate::human;
use crate::state::State;
use crate::table::{self, SOCKET};
use crate::value::Value as _;

/// The state of a socket and the datagrams and errors that wait in it.
///
/// It can be used as the [`State`] that it has. In JSON it looks like one, with the datagrams as
/// `queue` behind the attributes.
//
// Each half refuses what it does not know: this structure what neither of both has taken. A test
// sees that nothing is dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// The state.
    #[serde(flatten)]
    pub state: State,
    /// The errors, then the datagrams, each the oldest first. ([`Datagram::is_error`] tells which
    /// is what.)
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queue: Vec<Datagram>,
}

impl Deref for Snapshot {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl From<State> for Snapshot {
    fn from(state: State) -> Self {
        Self {
            state,
            queue: Vec::new(),
        }
    }
}

impl Snapshot {
    /// A state with the datagrams that go with it.
    ///
    /// They are not counted by the state, which is of another moment: some may have come or gone.
    pub fn new(mut state: State, queue: Vec<Datagram>) -> Self {
        let [datagrams, errors] = counts(&queue);
        state.queue_len = Some(datagrams).filter(|len| *len > 0);
        state.error_queue_len = Some(errors).filter(|len| *len > 0);
        Self { state, queue }
    }

    /// What is wrong with the datagrams, if anything is: how many they are and how long.
    pub(crate) fn flaw(&self) -> Option<String> {
        let said = [
            ("queue-len", self.state.queue_len),
            ("error-queue-len", self.state.error_queue_len),
        ];
        for ((name, said), count) in said.iter().zip(counts(&self.queue)) {
            let said = said.unwrap_or(0);
            if !self.queue.is_empty() && count != said {
                return Some(format!("{name} is {said}, and there are {count}"));
            }
        }
        let whole = |datagram: &Datagram| datagram.missing() == Some(0);
        let place = self.queue.iter().position(|one| !whole(one))?;
        Some(format!("the payload of datagram[{place}] is not len bytes"))
    }

    /// What a restored socket has otherwise than this snapshot, see [`State::unmet_by`]. What
    /// arrived behind its datagrams is no difference.
    pub fn unmet_by(&self, restored: &Self) -> Vec<Difference> {
        let mut differences = self.state.unmet_by(&restored.state);
        differences.retain(|one| !matches!(one.attribute.name, "queue-len" | "error-queue-len"));
        for errors in [true, false] {
            let is_one = |one: &&Datagram| one.is_error() == errors;
            let mut found = restored.queue.iter().filter(is_one);
            for (place, datagram) in self.queue.iter().enumerate() {
                if datagram.is_error() == errors {
                    differences.extend(difference(place, datagram, found.next()));
                }
            }
        }
        differences
    }
}

/// How many datagrams and how many errors there are.
fn counts(queue: &[Datagram]) -> [u32; 2] {
    let errors = queue.iter().filter(|one| one.is_error()).count();
    [queue.len() - errors, errors].map(|count| u32::try_from(count).unwrap_or(u32::MAX))
}

/// In what a restored datagram differs: in what is known of it, else in the payload.
fn difference(place: usize, left: &Datagram, right: Option<&Datagram>) -> Option<Difference> {
    let same_header = right.is_some_and(|right| as_seen(&left.header) == as_seen(&right.header));
    let (name, show): (_, fn(&Datagram) -> String) = if same_header {
        ("payload", |one| human::bytes(&one.payload))
    } else {
        ("datagram", |one| one.header.human())
    };
    if same_header && right.is_some_and(|right| left.payload == right.payload) {
        return None;
    }
    Some(Difference {
        attribute: table::by_name(SOCKET, name)?,
        name: format!("{name}[{place}]"),
        left: Some(show(left)),
        right: right.map(show),
    })
}

/// Without the index of a device that has a name: here it may have another one.
fn as_seen(header: &DatagramHeader) -> DatagramHeader {
    let named = header.pktinfo_ifname.is_some();
    DatagramHeader {
        pktinfo_ifindex: header.pktinfo_ifindex.filter(|_| !named),
        ..header.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(payload: &[u8]) -> Datagram {
        let header = DatagramHeader {
            len: u32::try_from(payload.len()).ok(),
            pktinfo_ifname: "lo".parse().ok(),
            pktinfo_ifindex: Some(1),
            ..DatagramHeader::default()
        };
        Datagram {
            header,
            payload: payload.to_vec(),
        }
    }

    fn snapshot(payloads: &[&[u8]]) -> Snapshot {
        let queue = payloads.iter().map(|payload| datagram(payload)).collect();
        Snapshot::new(State::default(), queue)
    }

    #[test]
    fn datagrams_are_compared_in_their_order_and_later_ones_are_no_difference() {
        let image = snapshot(&[b"a", b"bc"]);
        let text = |other: &Snapshot| -> Vec<_> {
            let unmet = image.unmet_by(other);
            unmet.iter().map(ToString::to_string).collect()
        };
        assert_eq!(text(&image), [""; 0]);
        assert_eq!(text(&snapshot(&[b"a", b"bc", b"later"])), [""; 0]);
        assert_eq!(text(&snapshot(&[b"x", b"bc"])), ["payload[0]: 61, 78"]);
        let lost = text(&snapshot(&[b"a"]));
        assert_eq!(lost.len(), 1);
        assert!(lost[0].starts_with("datagram[1]: ?:? -> ?:?, 2 bytes, "));
        assert!(lost[0].ends_with(", absent"), "{lost:?}");
        assert_eq!(text(&snapshot(&[b"bc", b"a"])).len(), 2);
    }

    #[test]
    fn the_index_counts_only_where_there_is_no_name() {
        let image = snapshot(&[b"a"]);
        let mut other = image.clone();
        other.queue[0].header.pktinfo_ifindex = Some(7);
        assert_eq!(image.unmet_by(&other), []);
        other.queue[0].header.pktinfo_ifname = None;
        assert_eq!(image.unmet_by(&other).len(), 1);
    }
}
