// SPDX-License-Identifier: GPL-2.0

//! What a message says of a socket, taken apart into single values that can be compared.
//!
//! A request and a dump say the same in several ways: numbers are short or long, bits come with a
//! mask or are one of many, what is nothing is left out, and maps have other names. Here, each value
//! has one form.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;

use crate::attrs::{self, Found};
use crate::grammar::{Grammar, Kind, MESSAGE, SetId};

/// Which value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The nest that the attribute is in, 0 for none.
    pub nest: u16,
    pub attr: u16,
    /// The bit of the attribute, where each is an option.
    pub bit: u32,
}

/// The values of a message.
pub type Values = BTreeMap<Key, Vec<u8>>;

/// A multicast group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The address of the group, and the device.
    pub key: [Vec<u8>; 2],
    /// The address of the device, whether the sources are those not to hear, and the sources.
    pub rest: (Vec<u8>, Vec<u8>, Vec<Vec<u8>>),
}

/// All of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub values: Values,
    pub groups: Vec<Group>,
}

/// Names in the places of others.
#[derive(Debug, Default)]
struct Maps(Vec<(Vec<u8>, Vec<u8>)>);

impl Maps {
    fn get(&self, name: &[u8]) -> Vec<u8> {
        let found = self.0.iter().find(|(from, _)| from == name);
        found.map_or(name, |(_, to)| to).to_vec()
    }
}

/// Takes messages apart.
#[derive(Debug)]
pub struct Reading<'g> {
    grammar: &'g Grammar,
    map: u16,
    membership: u16,
    /// Attributes with bits, and those that say which of the bits count.
    masks: Vec<(Key, Key)>,
    /// The address of a multicast device, which goes with its name.
    multicast: [Key; 2],
    source: Key,
    local: Key,
    options: Key,
    /// What is as good as not there if it is nothing but zeros.
    zeros: Vec<Key>,
}

impl<'g> Reading<'g> {
    pub fn new(grammar: &'g Grammar) -> Result<Self> {
        let key = |path| key(grammar, path);
        let mut masks = Vec::new();
        let levels = grammar
            .attributes(MESSAGE)
            .filter_map(|one| match one.kind {
                Kind::Nest(set) => Some((one.number, set)),
                _ => None,
            });
        for (nest, set) in levels.chain([(0, MESSAGE)]) {
            for one in grammar.attributes(set) {
                let mask = format!("{}-mask", one.name);
                if let Ok(mask) = grammar.number(set, &mask) {
                    let key = |attr| Key { nest, attr, bit: 0 };
                    masks.push((key(one.number), key(mask)));
                }
            }
        }
        Ok(Self {
            grammar,
            map: grammar.number(MESSAGE, "map")?,
            membership: grammar.number(MESSAGE, "membership")?,
            masks,
            multicast: [key("ip.multicast-ifname")?, key("ip.multicast-addr")?],
            source: key("source-addr")?,
            local: key("local-addr")?,
            options: key("ip.options")?,
            zeros: vec![key("local-addr")?, key("local-port")?],
        })
    }

    /// Takes a message apart, in which the maps have been followed.
    pub fn state(&self, bytes: &[u8]) -> State {
        let maps = self.maps(bytes);
        let mut state = State::default();
        for found in attrs::all(bytes) {
            let nest = found.number();
            match self.grammar.nested(MESSAGE, nest) {
                _ if nest == self.map => {}
                Some(set) if nest == self.membership => {
                    state.groups.push(self.group(bytes, set, found, &maps));
                }
                Some(set) => {
                    for found in attrs::walk(bytes, found.payload(), found.end()) {
                        let value = self.value(bytes, set, found, &maps);
                        let attr = found.number();
                        state.values.insert(Key { nest, attr, bit: 0 }, value);
                    }
                }
                None => {
                    let value = self.value(bytes, MESSAGE, found, &maps);
                    let attr = nest;
                    let key = Key {
                        nest: 0,
                        attr,
                        bit: 0,
                    };
                    state.values.insert(key, value);
                }
            }
        }
        self.settle(&mut state.values);
        state
    }

    /// Takes a dump apart, which is of all that a socket has.
    pub fn dump(&self, bytes: &[u8]) -> State {
        let mut state = self.state(bytes);
        // Who wants none says so.
        state.values.entry(self.options).or_default();
        state
    }

    /// Brings into one form what one value alone does not tell.
    fn settle(&self, values: &mut Values) {
        for (bits, mask) in &self.masks {
            let (Some(bits_value), Some(mask)) = (values.remove(bits), values.remove(mask)) else {
                continue;
            };
            let (set, mask) = (attrs::word(&bits_value, 0), attrs::word(&mask, 0));
            for bit in (0..32).map(|nth| 1 << nth).filter(|bit| mask & bit != 0) {
                values.insert(Key { bit, ..*bits }, vec![u8::from(set & bit != 0)]);
            }
        }
        let [name, address] = self.multicast;
        if values.contains_key(&name) {
            values.entry(address).or_insert_with(|| vec![0; 4]);
        }
        let is_zero = |value: &Vec<u8>| value.iter().all(|byte| *byte == 0);
        for key in &self.zeros {
            if values.get(key).is_some_and(is_zero) {
                values.remove(key);
            }
        }
        // Where it is no other one, a dump has none.
        if values.get(&self.source) == values.get(&self.local) {
            values.remove(&self.source);
        }
    }

    fn maps(&self, bytes: &[u8]) -> Maps {
        let all = attrs::all(bytes).filter(|one| one.number() == self.map);
        let pairs = all.filter_map(|map| {
            // A pair of devices, or a pair of addresses.
            let mut inside: Vec<_> = attrs::walk(bytes, map.payload(), map.end()).collect();
            inside.sort_by_key(|one| one.number());
            let set = self.grammar.nested(MESSAGE, self.map)?;
            let [from, to] = inside.as_slice() else {
                return None;
            };
            let value = |found: &Found| self.value(bytes, set, *found, &Maps::default());
            Some((value(from), value(to)))
        });
        Maps(pairs.collect())
    }

    fn value(&self, bytes: &[u8], set: SetId, found: Found, maps: &Maps) -> Vec<u8> {
        let payload = bytes.get(found.payload()..found.end()).unwrap_or_default();
        let kind = self.grammar.attribute(set, found.number());
        match kind.map(|one| &one.kind) {
            Some(Kind::Text { .. }) => {
                let end = payload.iter().position(|byte| *byte == 0);
                maps.get(
                    payload
                        .get(..end.unwrap_or(payload.len()))
                        .unwrap_or_default(),
                )
            }
            Some(Kind::Address) => maps.get(payload),
            Some(Kind::Long { signed }) => {
                let value = match <[u8; 8]>::try_from(payload) {
                    Ok(long) => i64::from_ne_bytes(long),
                    Err(_) if *signed => i64::from(attrs::word(payload, 0).cast_signed()),
                    Err(_) => i64::from(attrs::word(payload, 0)),
                };
                value.to_ne_bytes().to_vec()
            }
            _ => payload.to_vec(),
        }
    }

    fn group(&self, bytes: &[u8], set: SetId, nest: Found, maps: &Maps) -> Group {
        let mut group = Group {
            key: Default::default(),
            rest: (vec![0; 4], Vec::new(), Vec::new()),
        };
        for found in attrs::walk(bytes, nest.payload(), nest.end()) {
            let name = self.grammar.attribute(set, found.number());
            let value = self.value(bytes, set, found, maps);
            match name.map(|one| one.name.as_str()) {
                Some("group") => group.key[0] = value,
                Some("ifname") => group.key[1] = value,
                Some("address") => group.rest.0 = value,
                Some("exclude") => group.rest.1 = value,
                Some("source") => group.rest.2.push(value),
                _ => {}
            }
        }
        group
    }

    /// What a value is called.
    pub fn name(&self, key: Key) -> String {
        let of = |set, number| {
            let known = self.grammar.attribute(set, number);
            known.map_or_else(|| format!("#{number}"), |one| one.name.clone())
        };
        let set = self.grammar.nested(MESSAGE, key.nest);
        let mut name = match set {
            Some(set) => format!("{}.{}", of(MESSAGE, key.nest), of(set, key.attr)),
            None => of(MESSAGE, key.attr),
        };
        if key.bit != 0 {
            let _ = write!(name, " bit {:#x}", key.bit);
        }
        name
    }
}

/// The key of an attribute that is called `name` or `nest.name`, or of a bit of it (`name bit 0x1`).
pub fn key(grammar: &Grammar, path: &str) -> Result<Key> {
    let (path, bit) = match path.split_once(" bit 0x") {
        Some((path, bit)) => (path, u32::from_str_radix(bit, 16)?),
        None => (path, 0),
    };
    let (nest, set, name) = match path.split_once('.') {
        Some((nest, name)) => {
            let nest = grammar.number(MESSAGE, nest)?;
            (nest, grammar.nested(MESSAGE, nest).unwrap_or(MESSAGE), name)
        }
        None => (0, MESSAGE, path),
    };
    let attr = grammar.number(set, name)?;
    Ok(Key { nest, attr, bit })
}
