// SPDX-License-Identifier: GPL-2.0

//! Cases that amend sockets which are there, and what restores have in common with them: maps, and
//! losses.

use crate::attrs::{self, Found};
use crate::case::{Case, ORDINARY, Request, Step};
use crate::grammar::{Kind, MESSAGE};
use crate::live;
use crate::rng::Rng;

use super::{Generator, Stock, TOGETHER};

/// A device and an address that are only there by a map. They are as long as what takes their
/// place.
const DEVICE: [&[u8]; 2] = [b"e7\0", b"lo\0"];
const ADDRESS: [[u8; 4]; 2] = [[10, 9, 8, 7], [127, 0, 0, 1]];

impl Generator<'_> {
    /// One or a few sockets that are amended.
    pub(super) fn amended(&self, rng: &mut Rng, stock: &Stock) -> Case {
        let count = if rng.chance(7, 8) {
            1
        } else {
            2 + rng.below(4)
        };
        let steps = (0..count).map(|_| {
            let mut requests = vec![self.amendment(rng, stock)];
            // Only the last of several is done.
            while rng.chance(1, 12) && requests.len() < TOGETHER {
                let other = if rng.chance(1, 2) {
                    self.amendment(rng, stock)
                } else {
                    self.request(rng)
                };
                requests.insert(0, other);
            }
            Step::new(requests)
        });
        Case(steps.collect())
    }

    /// A message that amends a socket: by a part of what it is itself, or what another one is.
    fn amendment(&self, rng: &mut Rng, stock: &Stock) -> Request {
        let mut attrs = Vec::new();
        let nth = rng.below(stock.sockets.len());
        let Some(own) = stock.sockets.get(nth) else {
            return self.request(rng);
        };
        self.target(rng, stock.numbers.get(nth).copied(), &mut attrs);
        let list = self.grammar.operation(self.amend);
        let list = list.and_then(|one| one.single.as_deref());
        let list = list.unwrap_or_default();
        match rng.below(8) {
            0..3 => self.few(rng, list, &mut attrs),
            3 | 4 => attrs.extend_from_slice(own),
            which => {
                let other = rng.below(stock.sockets.len());
                let other = stock.sockets.get(other).unwrap_or(own);
                // With the addresses it would be refused at once, most of the time.
                let place = self.place();
                if which < 7 || rng.chance(7, 8) {
                    attrs.extend(attrs::without(other, &place));
                } else {
                    attrs.extend_from_slice(other);
                }
            }
        }
        if rng.chance(1, 3) {
            self.thin_out(rng, &mut attrs);
        }
        if rng.chance(1, 5) {
            self.elsewhere(rng, &mut attrs);
        }
        if rng.chance(1, 12) {
            self.losses(rng, &mut attrs);
        }
        if rng.chance(1, 2) {
            for _ in 0..=rng.below(3) {
                self.change(rng, &mut attrs, stock);
            }
        }
        Request::new(self.amend, ORDINARY, attrs)
    }

    /// A socket with what was dumped of it, or of another one.
    pub fn amend_as_dumped(&self, number: u32, socket: &[u8]) -> Case {
        let mut attrs = Vec::new();
        attrs::set_word(&mut attrs, self.fd, number);
        attrs.extend_from_slice(socket);
        Case::single(self.amend, ORDINARY, attrs)
    }

    /// Which socket is amended: this one, or any.
    pub(super) fn target(&self, rng: &mut Rng, number: Option<u32>, attrs: &mut Vec<u8>) {
        let mut word = |number, value: u32| {
            attrs::put(attrs, number, |out| out.extend(value.to_ne_bytes()));
        };
        if rng.chance(1, 4) {
            // This process, or the child, which has the same sockets; seldom another one.
            let which = if rng.chance(7, 8) { 2 } else { live::PIDFDS };
            word(self.pidfd, live::FIRST_PIDFD + rng.word() % which);
        }
        let any = live::FIRST_SOCKET + rng.word() % live::SOCKETS;
        let number = number.filter(|_| !rng.chance(1, 16)).unwrap_or(any);
        word(self.fd, number);
        if rng.chance(1, 12) {
            let mut socket = number.wrapping_sub(live::FIRST_SOCKET);
            if rng.chance(1, 6) {
                socket = rng.word() % live::SOCKETS;
            }
            attrs::put(attrs, self.cookie, |out| {
                out.extend(live::holder(socket).to_ne_bytes());
            });
        }
    }

    /// A few attributes of a list that neither select a socket nor have to be complete.
    pub(super) fn few(&self, rng: &mut Rng, list: &[u16], attrs: &mut Vec<u8>) {
        let mut place = self.place().to_vec();
        place.extend([self.inode, self.fd, self.pidfd, self.cookie]);
        place.extend([self.transaction, self.datagram, self.payload, self.cork]);
        for _ in 0..=rng.below(3) {
            let Some(number) = rng.pick(list) else {
                break;
            };
            let rare = place.contains(&number) && !rng.chance(1, 24);
            if !rare && attrs::get(attrs, number).is_none() {
                self.add(rng, MESSAGE, number, attrs);
            }
        }
    }

    /// The state and all addresses.
    fn place(&self) -> [u16; 6] {
        [
            self.state,
            self.local_addr,
            self.local_port,
            self.peer[0],
            self.peer[1],
            self.source_addr,
        ]
    }

    /// Takes out some of the attributes, but for what selects a socket and what is needed with it.
    fn thin_out(&self, rng: &mut Rng, attrs: &mut Vec<u8>) {
        let place = self.place();
        let numbers: Vec<_> = attrs::all(attrs).map(Found::number).collect();
        // What goes together goes together.
        let without_place = rng.chance(1, 2);
        let gone: Vec<_> = numbers
            .into_iter()
            .filter(|number| {
                if place.contains(number) {
                    without_place
                } else {
                    ![self.fd, self.pidfd].contains(number) && rng.chance(1, 2)
                }
            })
            .collect();
        *attrs = attrs::without(attrs, &gone);
    }

    /// Has devices or addresses, or both, in the places of others.
    pub(super) fn elsewhere(&self, rng: &mut Rng, attrs: &mut Vec<u8>) {
        let which = 1 + rng.below(3);
        let (devices, addresses) = (which & 1 != 0, which & 2 != 0);
        if devices && attrs::get(attrs, self.device).is_none() && rng.chance(1, 2) {
            attrs::put(attrs, self.device, |out| out.extend(DEVICE[0]));
        }
        let mut places = Vec::new();
        attrs::each(self.grammar, attrs, |set, found| {
            let kind = self.grammar.attribute(set, found.number());
            let payload = attrs.get(found.payload()..found.end()).unwrap_or_default();
            match kind.map(|one| &one.kind) {
                Some(Kind::Text { .. }) if devices && payload == DEVICE[1] => {
                    places.push((found, DEVICE[0].to_vec()));
                }
                Some(Kind::Address) if addresses && payload == ADDRESS[1] => {
                    places.push((found, ADDRESS[0].to_vec()));
                }
                _ => {}
            }
        });
        for (found, name) in places {
            if rng.chance(7, 8)
                && let Some(place) = attrs.get_mut(found.payload()..found.end())
            {
                place.copy_from_slice(&name);
            }
        }
        let Some(inside) = self.grammar.nested(MESSAGE, self.map) else {
            return;
        };
        // In the order of the specification: a device, the other one, an address, the other one.
        let numbers: Vec<_> = self.grammar.attributes(inside).collect();
        let numbers: Vec<_> = numbers.iter().map(|one| one.number).collect();
        let mut map = |pair: usize, names: [&[u8]; 2]| {
            attrs::put(attrs, self.map | attrs::NESTED, |out| {
                for (number, name) in numbers.iter().skip(2 * pair).zip(names) {
                    attrs::put(out, *number, |out| out.extend_from_slice(name));
                }
            });
        };
        if devices {
            map(0, DEVICE);
        }
        if addresses {
            map(1, [&ADDRESS[0], &ADDRESS[1]]);
        }
        if rng.chance(1, 8) {
            self.add(rng, MESSAGE, self.map, attrs);
        }
    }

    /// Something that was lost, which is allowed, or not.
    fn losses(&self, rng: &mut Rng, attrs: &mut Vec<u8>) {
        let lost = rng.word() & rng.word() & 0x7f;
        let allowed = match rng.below(4) {
            0 => rng.word() & 0x7f,
            1 => 0x7f,
            _ => lost,
        };
        attrs::set_word(attrs, self.lost, lost);
        attrs::set_word(attrs, self.allow_lost, allowed);
    }
}
