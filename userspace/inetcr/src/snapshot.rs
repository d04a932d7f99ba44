// SPDX-License-Identifier: GPL-2.0
//! A socket with all that it holds.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::cork::Cork;
use crate::datagram::{Datagram, DatagramHeader, missing};
use crate::diff::Difference;
use crate::human;
use crate::nests::Membership;
use crate::state::State;
use crate::table::{self, SOCKET};
use crate::value::Value as _;

/// The state of a socket, the datagrams and errors that wait in it, and the datagram that is corked.
///
/// It can be used as the [`State`] that it has. In JSON it looks like one, with the datagrams as
/// `queue` and `corked` behind the attributes.
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
    /// The corked datagram, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corked: Option<Cork>,
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
            corked: None,
        }
    }
}

impl Snapshot {
    /// A state with the datagrams that go with it.
    ///
    /// They are not counted by the state, which is of another moment: some may have come or gone.
    pub fn new(mut state: State, queue: Vec<Datagram>, corked: Option<Cork>) -> Self {
        let [datagrams, errors] = counts(&queue);
        state.queue_len = Some(datagrams).filter(|len| *len > 0);
        state.error_queue_len = Some(errors).filter(|len| *len > 0);
        state.cork_len = corked.as_ref().and_then(|cork| cork.header.len);
        Self {
            state,
            queue,
            corked,
        }
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
        if let Some(place) = self.queue.iter().position(|one| !whole(one)) {
            return Some(format!("the payload of datagram[{place}] is not len bytes"));
        }
        let cork = self.corked.as_ref()?;
        let len = cork.header.len;
        if missing(len, &cork.payload) != Some(0) {
            return Some("the payload of the corked datagram is not len bytes".to_owned());
        }
        let other = len != self.state.cork_len;
        other.then(|| "cork-len is not the len of the corked datagram".to_owned())
    }

    /// How much memory it takes.
    pub(crate) fn memory(&self) -> usize {
        let state = &self.state;
        let options = state.ip.as_ref().map(|ip| &ip.options);
        let corked = self.corked.as_ref();
        let corked_options = corked.map(|one| &one.header.options);
        let bytes = [&state.sockopt_filter, &state.reuseport_filter].into_iter();
        let bytes = bytes.chain(options).chain(corked_options).flatten();
        let bytes = bytes.map(Vec::len);
        let sources = |one: &Membership| size_of_val(one.source.as_slice());
        let memberships = state.membership.iter();
        let memberships = memberships.map(|one| size_of::<Membership>() + sources(one));
        let queue = self.queue.iter().map(Datagram::memory);
        let corked = corked.map_or(0, |one| one.payload.len());
        let all = bytes.chain(memberships).chain(queue);
        size_of::<Self>() + corked + all.sum::<usize>()
    }

    /// All in which two snapshots differ, except for the identity of the sockets.
    ///
    /// ```
    /// use inetcr::{Datagram, DatagramHeader, Snapshot, State};
    ///
    /// let header = DatagramHeader { len: Some(1), ..DatagramHeader::default() };
    /// let datagram = |payload: &[u8]| Datagram { header: header.clone(), payload: payload.into() };
    /// let socket = |payload| Snapshot::new(State::default(), vec![datagram(payload)], None);
    /// let differences = socket(b"a").differences(&socket(b"b"));
    /// assert_eq!(differences[0].to_string(), "payload[0]: 61, 62");
    /// ```
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let mut differences = self.state.differences(&other.state);
        let len = self.queue.len().max(other.queue.len());
        differences.extend((0..len).filter_map(|place| {
            let (left, right) = (self.queue.get(place), other.queue.get(place));
            difference(place, left, right)
        }));
        let corks = (self.corked.as_ref(), other.corked.as_ref());
        differences.extend(difference_of_corks(corks.0, corks.1));
        differences
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
                    differences.extend(difference(place, Some(datagram), found.next()));
                }
            }
        }
        if let Some(cork) = &self.corked {
            let restored = restored.corked.as_ref().map(|one| Cork {
                header: one.header.as_saved_by(&cork.header),
                payload: one.payload.clone(),
            });
            let saved = Cork {
                header: cork.header.as_saved_by(&cork.header),
                payload: cork.payload.clone(),
            };
            differences.extend(difference_of_corks(Some(&saved), restored.as_ref()));
        }
        differences
    }
}

/// How many datagrams and how many errors there are.
fn counts(queue: &[Datagram]) -> [u32; 2] {
    let errors = queue.iter().filter(|one| one.is_error()).count();
    [queue.len() - errors, errors].map(|count| u32::try_from(count).unwrap_or(u32::MAX))
}

/// In what two corked datagrams differ: in what is known of them, else in the payload.
fn difference_of_corks(left: Option<&Cork>, right: Option<&Cork>) -> Option<Difference> {
    if left == right {
        return None;
    }
    let header = |one: Option<&Cork>| one.map(|one| one.header.clone());
    let same_header = header(left) == header(right);
    let show = |one: &Cork| {
        if same_header {
            human::bytes(&one.payload)
        } else {
            one.header.human()
        }
    };
    Some(Difference {
        attribute: table::by_name(SOCKET, if same_header { "payload" } else { "cork" })?,
        name: "corked".to_owned(),
        left: left.map(show),
        right: right.map(show),
    })
}

/// In what two datagrams differ: in what is known of them, else in the payload.
fn difference(
    place: usize,
    left: Option<&Datagram>,
    right: Option<&Datagram>,
) -> Option<Difference> {
    let header = |one: Option<&Datagram>| one.map(|one| as_seen(&one.header));
    let same_header = header(left) == header(right);
    let payload = |one: Option<&Datagram>| one.map(|one| one.payload.clone());
    if same_header && payload(left) == payload(right) {
        return None;
    }
    let (name, show): (_, fn(&Datagram) -> String) = if same_header {
        ("payload", |one| human::bytes(&one.payload))
    } else {
        ("datagram", |one| one.header.human())
    };
    Some(Difference {
        attribute: table::by_name(SOCKET, name)?,
        name: format!("{name}[{place}]"),
        left: left.map(show),
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
        Snapshot::new(State::default(), queue, None)
    }

    #[test]
    fn the_corked_datagram_is_compared_but_for_what_was_not_saved() {
        use crate::cork::CorkHeader;

        let cork = |header: CorkHeader| {
            let payload = b"ab".to_vec();
            let len = Some(2);
            let header = CorkHeader { len, ..header };
            Snapshot::new(State::default(), Vec::new(), Some(Cork { header, payload }))
        };
        let by = |name: &str| CorkHeader {
            tos: Some(4),
            ifname: name.parse().ok(),
            fragsize: Some(1500),
            ..CorkHeader::default()
        };
        let image = cork(by("eth0"));
        assert_eq!(image.state.cork_len, Some(2));
        assert_eq!(image.flaw(), None);
        let other_mtu = CorkHeader {
            fragsize: Some(9000),
            ..by("eth0")
        };
        assert_eq!(image.unmet_by(&cork(other_mtu)), []);
        assert_eq!(image.unmet_by(&cork(by("lo"))).len(), 1);
        let anywhere = CorkHeader {
            ifname: None,
            ..by("eth0")
        };
        assert_eq!(cork(anywhere).unmet_by(&cork(by("lo"))), []);
        let mut changed = image.clone();
        if let Some(cork) = &mut changed.corked {
            cork.payload = b"ac".to_vec();
        }
        let unmet = image.unmet_by(&changed);
        assert_eq!(unmet[0].to_string(), "corked: 6162, 6163");
        let none = Snapshot::new(State::default(), Vec::new(), None);
        // That there is none, and how long it would be.
        assert_eq!(image.unmet_by(&none).len(), 2);
        changed.corked = None;
        changed.state.cork_len = None;
        assert_eq!(changed, none);
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
