// SPDX-License-Identifier: GPL-2.0

//! Attributes as bytes, in which single ones are found and changed.
//!
//! Messages stay bytes all the time: a tree of them would have to be built and taken apart for each
//! of millions. Only what is to be read by a person becomes text, see [`crate::text`].

use crate::grammar::{Grammar, MESSAGE, SetId};

/// What is in front of the payload of an attribute: its length and its type.
pub const HEADER: usize = 4;

/// The bit of a type which says that it is a nest.
pub const NESTED: u16 = 0x8000;

/// The bits of a type that are no part of its number.
pub const FLAGS: u16 = 0xc000;

/// How deep nests can be.
const DEPTH: usize = 3;

/// An attribute among some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where its header is.
    pub at: usize,
    /// The type, with its flags.
    pub kind: u16,
    /// The length of the payload.
    pub len: usize,
}

impl Found {
    /// The number.
    pub fn number(self) -> u16 {
        self.kind & !FLAGS
    }

    /// Where the payload begins.
    pub fn payload(self) -> usize {
        self.at + HEADER
    }

    /// Where the payload ends.
    pub fn end(self) -> usize {
        self.payload() + self.len
    }
}

/// The attributes in a range of bytes, up to the first that is malformed.
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Goes over the attributes from one place to another.
pub fn walk(bytes: &[u8], from: usize, to: usize) -> Walk<'_> {
    Walk {
        bytes: bytes.get(..to).unwrap_or(bytes),
        at: from,
    }
}

/// Goes over the attributes of a message.
pub fn all(bytes: &[u8]) -> Walk<'_> {
    walk(bytes, 0, bytes.len())
}

impl Walk<'_> {
    /// Where the next attribute would be.
    pub fn place(&self) -> usize {
        self.at
    }
}

impl Iterator for Walk<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        let header = self.bytes.get(self.at..)?.first_chunk::<HEADER>()?;
        let len = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let found = Found {
            at: self.at,
            kind: u16::from_ne_bytes([header[2], header[3]]),
            len: len.checked_sub(HEADER)?,
        };
        if found.end() > self.bytes.len() {
            return None;
        }
        self.at = found.end().next_multiple_of(4);
        Some(found)
    }
}

/// The 32 bits at a place, 0 behind the end.
pub fn word(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk);
    found.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

/// Appends an attribute with a payload that a function writes.
pub fn put(out: &mut Vec<u8>, kind: u16, payload: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend([0; HEADER]);
    payload(out);
    close(out, at, kind);
}

/// Writes the header of an attribute whose payload ends at the end of the bytes, and pads it.
fn close(out: &mut Vec<u8>, at: usize, kind: u16) {
    let len = u16::try_from(out.len() - at).unwrap_or(u16::MAX);
    out[at..at + 2].copy_from_slice(&len.to_ne_bytes());
    out[at + 2..at + HEADER].copy_from_slice(&kind.to_ne_bytes());
    out.resize(out.len().next_multiple_of(4), 0);
}

/// An attribute somewhere in a message, maybe in a nest.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The set that its number is of, if that is known.
    pub set: Option<SetId>,
    /// The headers of the nests that it is in, the outermost first.
    parents: [usize; DEPTH],
    /// How many there are.
    depth: usize,
    /// The attribute.
    pub found: Found,
}

impl Place {
    /// An attribute of a message itself.
    pub fn top(found: Found) -> Self {
        Self {
            set: Some(MESSAGE),
            parents: [0; DEPTH],
            depth: 0,
            found,
        }
    }

    /// An attribute in this nest.
    fn inside(mut self, set: Option<SetId>, found: Found) -> Option<Self> {
        *self.parents.get_mut(self.depth)? = self.found.at;
        self.depth += 1;
        self.set = set;
        self.found = found;
        Some(self)
    }

    /// The set of what is in it, if it is a nest.
    pub fn nest(&self, grammar: &Grammar) -> Option<SetId> {
        grammar.nested(self.set?, self.found.number())
    }
}

/// Chooses an attribute: the one with this number in a range, counted again from the start if there
/// are fewer. `down` says for a nest whether one inside is chosen, and which.
pub fn choose(
    grammar: &Grammar,
    bytes: &[u8],
    mut number: impl FnMut(usize) -> usize,
    mut down: impl FnMut() -> bool,
) -> Option<Place> {
    let count = all(bytes).count();
    let found = all(bytes).nth(number(count))?;
    let mut place = Place::top(found);
    while let Some(set) = place.nest(grammar) {
        if !down() {
            break;
        }
        let inside = walk(bytes, place.found.payload(), place.found.end());
        let count = inside.clone().count();
        let Some(below) = inside.clone().nth(number(count)) else {
            break;
        };
        let Some(below) = place.inside(Some(set), below) else {
            break;
        };
        place = below;
    }
    Some(place)
}

/// Replaces bytes, and mends the lengths of the nests around them and of the attribute itself.
///
/// `from` and `to` are in the attribute or just behind it; if they are in its payload, it is its
/// own length that changes, too.
fn splice(bytes: &mut Vec<u8>, place: &Place, from: usize, to: usize, new: &[u8]) {
    let to = to.min(bytes.len());
    let from = from.min(to);
    let (old, grown) = (to - from, new.len());
    bytes.splice(from..to, new.iter().copied());
    for &parent in &place.parents[..place.depth] {
        lengthen(bytes, parent, old, grown);
    }
}

/// Changes a length in a header.
fn lengthen(bytes: &mut [u8], header: usize, old: usize, grown: usize) {
    if let Some(field) = bytes.get_mut(header..header + 2) {
        let len = usize::from(u16::from_ne_bytes([field[0], field[1]]));
        let len = (len + grown).saturating_sub(old);
        let len = u16::try_from(len).unwrap_or(u16::MAX);
        field.copy_from_slice(&len.to_ne_bytes());
    }
}

/// Gives an attribute another payload.
pub fn replace(bytes: &mut Vec<u8>, place: &Place, payload: &[u8]) {
    let found = place.found;
    let mut padded = payload.to_vec();
    padded.resize(payload.len().next_multiple_of(4), 0);
    splice(
        bytes,
        place,
        found.payload(),
        found.end().next_multiple_of(4),
        &padded,
    );
    let len = u16::try_from(HEADER + payload.len()).unwrap_or(u16::MAX);
    set_len(bytes, found, len);
}

/// Takes an attribute out.
pub fn remove(bytes: &mut Vec<u8>, place: &Place) {
    let found = place.found;
    splice(bytes, place, found.at, found.end().next_multiple_of(4), &[]);
}

/// Puts attributes in front of one.
pub fn insert(bytes: &mut Vec<u8>, place: &Place, new: &[u8]) {
    splice(bytes, place, place.found.at, place.found.at, new);
}

/// The bytes of an attribute, with padding.
pub fn whole(bytes: &[u8], found: Found) -> &[u8] {
    let end = found.end().next_multiple_of(4).min(bytes.len());
    bytes.get(found.at..end).unwrap_or_default()
}

/// Puts attributes at the end of a nest.
pub fn append(bytes: &mut Vec<u8>, nest: &Place, new: &[u8]) {
    let found = nest.found;
    let payload = bytes.get(found.payload()..found.end()).unwrap_or_default();
    let mut payload = payload.to_vec();
    payload.resize(payload.len().next_multiple_of(4), 0);
    payload.extend_from_slice(new);
    replace(bytes, nest, &payload);
}

/// Lies about a length.
pub fn set_len(bytes: &mut [u8], found: Found, len: u16) {
    if let Some(field) = bytes.get_mut(found.at..found.at + 2) {
        field.copy_from_slice(&len.to_ne_bytes());
    }
}

/// Gives an attribute another type.
pub fn set_kind(bytes: &mut [u8], found: Found, kind: u16) {
    if let Some(field) = bytes.get_mut(found.at + 2..found.at + HEADER) {
        field.copy_from_slice(&kind.to_ne_bytes());
    }
}

/// Removes all attributes of a message with one of these numbers.
pub fn without(bytes: &[u8], numbers: &[u16]) -> Vec<u8> {
    let kept = all(bytes).filter(|found| !numbers.contains(&found.number()));
    kept.flat_map(|found| whole(bytes, found))
        .copied()
        .collect()
}

/// Removes some attributes of a message, from one to before another.
pub fn without_range(bytes: &[u8], begin: usize, end: usize) -> Vec<u8> {
    let mut walk = all(bytes);
    let mut kept = Vec::with_capacity(bytes.len());
    for (nth, found) in walk.by_ref().enumerate() {
        if !(begin..end).contains(&nth) {
            kept.extend_from_slice(whole(bytes, found));
        }
    }
    kept.extend_from_slice(bytes.get(walk.place()..).unwrap_or_default());
    kept
}

/// The attribute of a message with this number, if there is one.
pub fn get(bytes: &[u8], number: u16) -> Option<Found> {
    all(bytes).find(|found| found.number() == number)
}

/// Tells a function of each attribute of a message and of its nests, with the set that it is of.
pub fn each(grammar: &Grammar, bytes: &[u8], mut told: impl FnMut(SetId, Found)) {
    let mut left = vec![(MESSAGE, 0, bytes.len())];
    while let Some((set, from, to)) = left.pop() {
        for found in walk(bytes, from, to) {
            told(set, found);
            if let Some(inside) = grammar.nested(set, found.number()) {
                left.push((inside, found.payload(), found.end()));
            }
        }
    }
}

/// Sets an attribute of a message that is a number of 32 bits, or appends it.
pub fn set_word(bytes: &mut Vec<u8>, number: u16, value: u32) {
    let value = value.to_ne_bytes();
    match get(bytes, number) {
        Some(found) => replace(bytes, &Place::top(found), &value),
        None => put(bytes, number, |out| out.extend(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(grammar: &Grammar) -> Vec<u8> {
        let number = |name| grammar.number(MESSAGE, name).unwrap();
        let mut bytes = Vec::new();
        put(&mut bytes, number("sockopt-mark"), |out| out.extend([1; 4]));
        put(&mut bytes, number("ip") | NESTED, |out| {
            put(out, 3, |out| out.extend([2; 4]));
            put(out, 6, |out| out.extend([3; 5]));
        });
        put(&mut bytes, number("cookie"), |out| out.extend([4; 8]));
        bytes
    }

    fn inner(grammar: &Grammar, bytes: &[u8], path: [usize; 2]) -> Place {
        let mut path = path.into_iter();
        choose(grammar, bytes, |_| path.next().unwrap(), || true).unwrap()
    }

    #[test]
    fn a_change_in_a_nest_mends_the_lengths() {
        let grammar = Grammar::load().unwrap();
        let mut bytes = sample(&grammar);
        let place = inner(&grammar, &bytes, [1, 1]);
        assert_eq!((place.found.kind, place.found.len), (6, 5));
        replace(&mut bytes, &place, &[9; 13]);
        let lens: Vec<_> = all(&bytes).map(|found| found.len).collect();
        assert_eq!(lens, [4, 8 + 4 + 16, 8]);
        let place = inner(&grammar, &bytes, [1, 1]);
        assert_eq!(place.found.len, 13);
        remove(&mut bytes, &place);
        let lens: Vec<_> = all(&bytes).map(|found| found.len).collect();
        assert_eq!(lens, [4, 8, 8]);
        let nest = Place::top(all(&bytes).nth(1).unwrap());
        append(&mut bytes, &nest, &[4, 0, 1, 0]);
        let lens: Vec<_> = all(&bytes).map(|found| found.len).collect();
        assert_eq!(lens, [4, 12, 8]);
    }

    #[test]
    fn some_are_taken_out() {
        let grammar = Grammar::load().unwrap();
        let mut bytes = sample(&grammar);
        bytes.extend([1, 2]);
        let kinds = |bytes: &[u8]| all(bytes).map(|one| one.len).collect::<Vec<_>>();
        let less = without_range(&bytes, 1, 2);
        assert_eq!(kinds(&less), [4, 8]);
        assert!(less.ends_with(&[1, 2]));
        assert!(kinds(&without_range(&bytes, 0, 9)).is_empty());
        assert_eq!(without_range(&bytes, 1, 1), bytes);
        let cookie = grammar.number(MESSAGE, "cookie").unwrap();
        assert_eq!(kinds(&without(&bytes, &[cookie])), [4, 20]);
    }

    #[test]
    fn what_is_malformed_ends_the_walk() {
        let grammar = Grammar::load().unwrap();
        let mut bytes = sample(&grammar);
        let second = all(&bytes).nth(1).unwrap();
        for len in [0, 3, 200, u16::MAX] {
            set_len(&mut bytes, second, len);
            assert_eq!(all(&bytes).count(), 1, "{len}");
        }
        assert_eq!(all(&[4, 0, 1]).count(), 0);
    }
}
