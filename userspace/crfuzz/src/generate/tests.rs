// SPDX-License-Identifier: GPL-2.0

//! What kinds of cases there are.

use std::collections::BTreeSet;

use super::*;
use crate::attrs::NESTED;
use crate::grammar::{Kind, SetId};

/// Notes each attribute of a known set, and whether its length is one that the kernel takes.
fn note(
    grammar: &Grammar,
    set: SetId,
    bytes: &[u8],
    seen: &mut BTreeSet<(String, String)>,
) -> bool {
    let mut good = true;
    let mut walk = attrs::all(bytes);
    for found in walk.by_ref() {
        let Some(one) = grammar.attribute(set, found.number()) else {
            continue;
        };
        seen.insert((grammar.set_name(set).to_owned(), one.name.clone()));
        good &= match &one.kind {
            Kind::Be16 => found.len == 2,
            Kind::Number { .. } | Kind::Enum(_) | Kind::Flags(_) => found.len == 4,
            Kind::Long { .. } => found.len == 4 || found.len == 8,
            Kind::Nest(inside) => {
                let payload = &bytes[found.payload()..found.end()];
                found.kind & NESTED != 0 && note(grammar, *inside, payload, seen)
            }
            Kind::Text { .. } | Kind::Bytes { .. } | Kind::Address | Kind::Unused => true,
        };
    }
    good && walk.place() >= bytes.len()
}

#[test]
fn all_of_the_specification_is_made_and_well_formed() {
    let grammar = Grammar::load().unwrap();
    let generator = Generator::new(&grammar).unwrap();
    let mut rng = Rng::new(5);
    let mut seen = BTreeSet::new();
    for _ in 0..20_000 {
        let request = generator.request(&mut rng);
        assert!(note(&grammar, MESSAGE, &request.attrs, &mut seen));
        assert!(grammar.operation(request.command).is_some());
    }
    // All that a request can have, and all that is in a nest of it.
    let mut wanted = BTreeSet::new();
    let mut sets = vec![];
    for operation in &grammar.operations {
        let numbers = operation.single.iter().chain(&operation.many).flatten();
        for &number in numbers {
            let one = grammar.attribute(MESSAGE, number).unwrap();
            wanted.insert((grammar.set_name(MESSAGE).to_owned(), one.name.clone()));
            sets.extend(grammar.nested(MESSAGE, number));
        }
    }
    for set in sets {
        for one in grammar.attributes(set) {
            wanted.insert((grammar.set_name(set).to_owned(), one.name.clone()));
        }
    }
    let missing: Vec<_> = wanted.difference(&seen).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(wanted.len() > 120, "{}", wanted.len());
}

#[test]
fn every_attribute_comes_by_a_change_too() {
    let grammar = Grammar::load().unwrap();
    let generator = Generator::new(&grammar).unwrap();
    let mut rng = Rng::new(6);
    let mut seen = BTreeSet::new();
    let stock = Stock::default();
    for _ in 0..20_000 {
        let mut request = generator.request(&mut rng);
        for _ in 0..3 {
            generator.change(&mut rng, &mut request.attrs, &stock);
        }
        note(&grammar, MESSAGE, &request.attrs, &mut seen);
    }
    for one in grammar.attributes(MESSAGE) {
        let key = ("socket".to_owned(), one.name.clone());
        assert!(seen.contains(&key), "{key:?}");
    }
}

#[test]
fn sockets_that_are_there_are_amended() {
    let grammar = Grammar::load().unwrap();
    let generator = Generator::new(&grammar).unwrap();
    let mut rng = Rng::new(7);
    let mut socket = Vec::new();
    generator.kind_of_socket(&mut rng, &mut socket);
    attrs::put(&mut socket, generator.device, |out| out.extend(b"lo\0"));
    attrs::put(&mut socket, generator.local_addr, |out| {
        out.extend([127, 0, 0, 1]);
    });
    let stock = Stock {
        cases: generator.about_all(),
        sockets: vec![socket],
        numbers: vec![live::FIRST_SOCKET],
        queues: vec![Vec::new()],
    };
    let (mut all, mut devices, mut addresses, mut lost) = (0, 0, 0, 0);
    for _ in 0..4000 {
        let case = generator.case(&mut rng, &[&stock]);
        let request = case.0.last().and_then(|step| step.requests.last());
        let Some(request) = request.filter(|one| one.command == generator.amend) else {
            continue;
        };
        let word = |number| {
            let found = attrs::get(&request.attrs, number)?;
            Some(attrs::word(&request.attrs, found.payload()))
        };
        let open = live::FIRST_SOCKET..live::FIRST_SOCKET + live::SOCKETS;
        let more = attrs::all(&request.attrs).count() > 2;
        all += u32::from(more && word(generator.fd).is_some_and(|fd| open.contains(&fd)));
        lost += u32::from(word(generator.lost).is_some());
        let set = grammar.nested(MESSAGE, generator.map).unwrap();
        let device = grammar.number(set, "device").unwrap();
        let maps = attrs::all(&request.attrs).filter(|one| one.number() == generator.map);
        let kinds: Vec<_> = maps
            .filter_map(|map| attrs::walk(&request.attrs, map.payload(), map.end()).next())
            .map(|first| first.number() == device)
            .collect();
        devices += u32::from(kinds == [true]);
        addresses += u32::from(kinds == [false]);
    }
    assert!(all > 400, "{all}");
    assert!(devices > 20 && addresses > 20, "{devices} and {addresses}");
    assert!(lost > 20, "{lost}");
}

#[test]
fn a_seed_makes_the_same_cases() {
    let grammar = Grammar::load().unwrap();
    let generator = Generator::new(&grammar).unwrap();
    let stock = Stock {
        cases: generator.about_all(),
        ..Stock::default()
    };
    let run = |seed| {
        let mut rng = Rng::new(seed);
        let cases = (0..500).map(|_| generator.case(&mut rng, &[&stock]));
        cases.collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
