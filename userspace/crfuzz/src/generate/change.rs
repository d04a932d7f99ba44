// SPDX-License-Identifier: GPL-2.0

//! Changes a case that is there already, in one place.

use crate::attrs::{self, NESTED, Place};
use crate::case::{Case, MANY, SOCKETS};
use crate::grammar::MESSAGE;
use crate::rng::Rng;

use super::values::ADDRESSES;
use super::{Generator, LONG, Stock, TOGETHER};

impl Generator<'_> {
    /// Changes one thing in a case.
    pub fn change_case(&self, rng: &mut Rng, case: &mut Case, stock: &Stock) {
        let steps = case.0.len();
        let nth = rng.below(steps);
        let Some(step) = case.0.get_mut(nth) else {
            return;
        };
        match rng.below(20) {
            0 => {
                let request = self.request(rng);
                let at = rng.below(step.requests.len() + 1);
                if step.requests.len() < TOGETHER {
                    step.requests.insert(at, request);
                }
            }
            1 if step.requests.len() > 1 => {
                step.requests.remove(rng.below(step.requests.len()));
            }
            2 if steps > 1 => {
                case.0.remove(nth);
            }
            3 if steps < 8 => {
                if let Some(other) = stock.cases.get(rng.below(stock.cases.len())) {
                    case.0.extend(other.0.iter().take(4).cloned());
                }
            }
            4 if steps > 1 => {
                let other = rng.below(steps);
                case.0.swap(nth, other);
            }
            5 if step.requests.len() < TOGETHER => {
                if let Some(request) = step.requests.get(rng.below(step.requests.len())) {
                    step.requests.push(request.clone());
                }
            }
            _ => {
                let which = rng.below(step.requests.len());
                if let Some(request) = step.requests.get_mut(which) {
                    self.change(rng, &mut request.attrs, stock);
                }
            }
        }
    }

    /// What is wrong outside of the attributes.
    pub fn disturb(rng: &mut Rng, case: &mut Case) {
        let nth = rng.below(case.0.len());
        let Some(step) = case.0.get_mut(nth) else {
            return;
        };
        let which = rng.below(step.requests.len());
        let request = step.requests.get_mut(which);
        match (rng.below(8), request) {
            (0, Some(request)) => {
                let bits = rng.word().to_le_bytes();
                request.flags = u16::from_le_bytes([bits[0], bits[1]]);
            }
            (1, Some(request)) => request.flags ^= MANY,
            (2, Some(request)) => {
                let number = rng.word().to_le_bytes()[0];
                request.command = if rng.chance(1, 2) { number % 6 } else { number };
            }
            (3, Some(request)) => {
                let near = i16::try_from(rng.between(-24, 24)).unwrap_or_default();
                request.lie = rng
                    .pick(&[near, near, i16::MAX, i16::MIN])
                    .unwrap_or_default();
            }
            (4, _) => {
                step.tail.resize(rng.below(40), 0);
                for byte in &mut step.tail {
                    *byte = rng.word().to_le_bytes()[0];
                }
            }
            (5, _) => step.parts = Some(rng.below(3)),
            (6, _) => step.via = rng.below(SOCKETS),
            (_, Some(request)) => {
                // Bytes, whatever they mean.
                for _ in 0..=rng.below(4) {
                    let at = rng.below(request.attrs.len());
                    if let Some(byte) = request.attrs.get_mut(at) {
                        *byte = rng.word().to_le_bytes()[0];
                    }
                }
                if rng.chance(1, 3) {
                    request.attrs.truncate(rng.below(request.attrs.len()));
                }
            }
            (_, None) => {}
        }
    }

    /// Changes one thing in the attributes of a message.
    // Each kind of change is a few lines.
    #[expect(clippy::too_many_lines)]
    pub fn change(&self, rng: &mut Rng, attrs: &mut Vec<u8>, stock: &Stock) {
        let (nth, down) = (rng.next(), rng.word());
        let mut depth = 0;
        let place = attrs::choose(
            self.grammar,
            attrs,
            |count| {
                let nth = usize::try_from(nth.rotate_left(depth * 20) >> 12).unwrap_or_default();
                depth += 1;
                nth % count.max(1)
            },
            || down % 8 != 0,
        );
        let Some(place) = place else {
            let nth = rng.below(1 << 16);
            if let Some(attribute) = self.grammar.nth(MESSAGE, nth) {
                self.add(rng, MESSAGE, attribute.number, attrs);
            }
            return;
        };
        let found = place.found;
        let known = place
            .set
            .and_then(|set| self.grammar.attribute(set, found.number()));
        match rng.below(32) {
            0..14 => {
                let mut payload = Vec::new();
                match (place.set, known) {
                    (Some(set), Some(attribute)) => {
                        self.value(rng, set, attribute, &mut payload);
                    }
                    _ => payload.extend(rng.word().to_ne_bytes()),
                }
                attrs::replace(attrs, &place, &payload);
            }
            14..16 => nudge(rng, attrs, &place),
            16..19 => attrs::remove(attrs, &place),
            19 => {
                let twice = attrs::whole(attrs, found).to_vec();
                attrs::insert(attrs, &place, &twice);
            }
            20..25 => {
                // One more, in the same set or in the nest itself.
                let nest = place.nest(self.grammar).filter(|_| rng.chance(2, 3));
                let nth = rng.below(1 << 16);
                let set = nest.or(place.set);
                let attribute = set.and_then(|set| Some((set, self.grammar.nth(set, nth)?)));
                let mut new = Vec::new();
                if let Some((set, attribute)) = attribute {
                    self.add(rng, set, attribute.number, &mut new);
                }
                if nest.is_some() {
                    attrs::append(attrs, &place, &new);
                } else {
                    attrs::insert(attrs, &place, &new);
                }
            }
            25 => {
                // Another number, or another flag.
                let kind = match rng.below(4) {
                    0 => found.kind ^ NESTED,
                    1 => found.kind ^ 0x4000,
                    2 => found.kind ^ (1 << rng.below(8)),
                    _ => u16::try_from(rng.below(1 << 16)).unwrap_or_default(),
                };
                attrs::set_kind(attrs, found, kind);
            }
            26 => {
                let len = u16::try_from(found.len + attrs::HEADER).unwrap_or(u16::MAX);
                let near = u16::try_from(rng.below(9)).unwrap_or_default();
                let lies = [
                    len.wrapping_add(near),
                    len.wrapping_sub(near),
                    near,
                    u16::MAX,
                ];
                attrs::set_len(attrs, found, rng.pick(&lies).unwrap_or_default());
            }
            27 => {
                // Shorter or longer than it should be.
                let payload = attrs.get(found.payload()..found.end()).unwrap_or_default();
                let mut payload = payload.to_vec();
                let len = match rng.below(3) {
                    0 => rng.below(payload.len() + 1),
                    1 => payload.len() + 1 + rng.below(5),
                    _ => rng.below(48),
                };
                payload.resize(len, 0);
                attrs::replace(attrs, &place, &payload);
            }
            28 => {
                // Into a nest, its own or any other.
                let inside = attrs::whole(attrs, found).to_vec();
                let mut new = Vec::new();
                let kind = if rng.chance(1, 2) {
                    found.kind | NESTED
                } else {
                    self.datagram | NESTED
                };
                attrs::put(&mut new, kind, |out| out.extend(inside));
                attrs::remove(attrs, &place);
                attrs.extend(new);
            }
            29 => {
                // Out of a nest.
                let payload = attrs.get(found.payload()..found.end()).unwrap_or_default();
                let payload = payload.to_vec();
                attrs::remove(attrs, &place);
                attrs.truncate(attrs.len() / 4 * 4);
                attrs.extend(payload);
            }
            30 => {
                // A part of another socket.
                let nth = rng.below(stock.sockets.len());
                if let Some(other) = stock.sockets.get(nth) {
                    let count = attrs::all(other).count();
                    if let Some(one) = attrs::all(other).nth(rng.below(count)) {
                        let new = attrs::whole(other, one);
                        match attrs::get(attrs, one.number()) {
                            Some(mine) if rng.chance(9, 10) => {
                                let payload = &other[one.payload()..one.end()];
                                attrs::replace(attrs, &Place::top(mine), payload);
                            }
                            _ => attrs.extend(new),
                        }
                    }
                }
            }
            _ => {
                self.move_away(rng, attrs);
                if rng.chance(1, 2)
                    && let Some(found) = attrs::get(attrs, self.local_addr)
                    && let Some(address) = rng.pick(ADDRESSES)
                {
                    attrs::replace(attrs, &Place::top(found), &address);
                }
            }
        }
        if attrs.len() > LONG && rng.chance(9, 10) {
            attrs.truncate(LONG);
        }
    }
}

/// One more or less, or another bit.
fn nudge(rng: &mut Rng, attrs: &mut [u8], place: &Place) {
    let found = place.found;
    let Some(payload) = attrs.get_mut(found.payload()..found.end()) else {
        return;
    };
    let at = rng.below(payload.len());
    if let Some(byte) = payload.get_mut(at) {
        *byte = match rng.below(3) {
            0 => byte.wrapping_add(1),
            1 => byte.wrapping_sub(1),
            _ => *byte ^ (1 << rng.below(8)),
        };
    }
}
