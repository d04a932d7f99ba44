// SPDX-License-Identifier: GPL-2.0

//! The suite's own test: what is broken comes out red.

mod runner;

use std::net::Ipv4Addr;

use anyhow::{Context, Result, bail, ensure};

use super::Random;
use crate::cr::{self, attr};
use crate::groups::{SOURCES, member};
use crate::observe::observe;
use crate::options::{Set, remove_devices, rows, socket_with};
use crate::places::{PLACES, place};
use crate::runner::Test;
use crate::sys::socket;

pub fn tests(random: Random) -> Vec<Test> {
    let mut tests = runner::tests();
    tests.extend([
        Test::new("selfcheck::lost_option", lost_option).slow(),
        Test::new("selfcheck::lost_address", lost_address),
        Test::new("selfcheck::lost_membership", lost_membership),
        Test::new("selfcheck::observe_sees_options", observe_sees_options),
        Test::new("selfcheck::names", move || names(random)),
    ]);
    tests
}

/// An attribute, or a bit of one, that gets lost on the way is missed: for each
/// option, in one of its values at least.
fn lost_option() -> Result<()> {
    let mut client = cr::client()?;
    for row in rows() {
        let mut missed = false;
        for case in row.cases.iter().filter(|case| !case.set.is_of_all()) {
            let Ok(original) = socket_with(row, case) else {
                continue;
            };
            let mut gone = cr::checkpoint(&mut client, original)
                .with_context(|| format!("{} {}", row.name, case.name))?;
            gone.dump = row.lost_from(gone.dump);
            missed = cr::resurrect(&mut client, &gone).is_err();
            remove_devices();
            if missed {
                break;
            }
        }
        ensure!(missed, "nobody misses {}", row.name);
    }
    Ok(())
}

/// The same of what says where a socket is, as far as plain calls see it. The source address of one
/// that is not connected shows by use only (`forgotten::source_address`).
fn lost_address() -> Result<()> {
    let mut client = cr::client()?;
    for (name, number) in [
        ("addr_port", attr::LOCAL_ADDR),
        ("addr_port", attr::LOCAL_PORT),
        ("addr_port", attr::BIND_LOCKS),
        ("addr_zero", attr::BIND_LOCKS),
        ("connected_addr_port", attr::PEER_ADDR),
        ("connected_addr_port", attr::PEER_PORT),
        ("connected_addr_port", attr::SOCK_STATE),
        ("shut_both", attr::SHUTDOWN),
        ("connected_shut_send", attr::SHUTDOWN),
    ] {
        let original = socket::udp()?;
        let Some(place) = place(name) else {
            bail!("no place {name}");
        };
        (place.go)(&original)?;
        let mut gone = cr::checkpoint(&mut client, original)?;
        gone.dump = gone.dump.without(number);
        ensure!(
            cr::resurrect(&mut client, &gone).is_err(),
            "nobody misses attribute {number} of {name}"
        );
    }
    Ok(())
}

/// And of memberships: one of them, or what is in it.
fn lost_membership() -> Result<()> {
    let mut client = cr::client()?;
    let [first, second] = [1, 2].map(|last| member(Ipv4Addr::new(224, 1, 1, last)));
    let second = second.without(SOURCES);
    let lossy = [
        ("a membership", vec![first.attribute()]),
        ("the other one", vec![second.attribute()]),
        ("all of them", Vec::new()),
        (
            "the sources",
            vec![first.attribute(), member(second.group).attribute()],
        ),
        (
            "the mode",
            vec![first.attribute(), second.only(SOURCES).attribute()],
        ),
    ];
    for (what, left) in lossy {
        let original = socket::udp()?;
        first.join(&original)?;
        second.join(&original)?;
        let mut gone = cr::checkpoint(&mut client, original)?;
        gone.dump = gone.dump.with_all(attr::MEMBERSHIP, left);
        ensure!(
            cr::resurrect(&mut client, &gone).is_err(),
            "nobody misses {what}"
        );
    }
    Ok(())
}

/// The plain calls alone see each option, but for those that no call reads: not
/// only the family.
fn observe_sees_options() -> Result<()> {
    let fresh = observe(&socket::udp()?);
    for row in rows().filter(|row| row.seen) {
        let mut seen = false;
        for case in row.cases {
            if matches!(case.set, Set::Nothing) || case.set.is_of_all() {
                continue;
            }
            if let Ok(socket) = socket_with(row, case) {
                seen = !fresh.difference(&observe(&socket)).is_empty();
            }
            remove_devices();
            if seen {
                break;
            }
        }
        ensure!(seen, "observe() does not see {}", row.name);
    }
    Ok(())
}

/// No two tests, rows or places have one name.
fn names(random: Random) -> Result<()> {
    let mut names: Vec<String> = super::all(random)
        .into_iter()
        .map(|test| test.name)
        .collect();
    names.extend(PLACES.iter().map(|place| format!("place {}", place.name)));
    names.sort_unstable();
    for pair in names.windows(2) {
        ensure!(pair[0] != pair[1], "two times {}", pair[0]);
    }
    Ok(())
}
