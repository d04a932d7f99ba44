// SPDX-License-Identifier: GPL-2.0

//! Random options in, the same options out: rows of the option table in random
//! order and values, with a place and memberships somewhere among them.

use std::cell::RefCell;
use std::net::UdpSocket;

use anyhow::{Context, Result, ensure};
use proptest::collection::vec;
use proptest::strategy::{Just, Strategy};
use proptest::test_runner::TestCaseError;

use super::Random;
use crate::cr;
use crate::groups::ON_LOOPBACK;
use crate::options::{Case, Row, Set, apply, remove_devices, rows};
use crate::places::{PLACES, Place};
use crate::sys::socket;

/// A row, with the case that was drawn.
type Choice = (usize, u8);

pub fn round_trips(random: Random) -> Result<()> {
    let mut runner = random.runner(random.cases);

    let rows: Vec<_> = rows().collect();
    let order = Just((0..rows.len()).collect::<Vec<_>>()).prop_shuffle();
    let values = vec(0_u8..16, rows.len());
    let place = 0..PLACES.len();
    let position = 0..=rows.len();
    let groups = vec(0..ON_LOOPBACK.len(), 0..=3);
    let strategy = (place, groups, position, order, values).prop_map(
        |(place, groups, position, order, values)| {
            let choices: Vec<Choice> = order.into_iter().zip(values).collect();
            (place, groups, position, choices)
        },
    );
    let client = RefCell::new(cr::client()?);
    let counts = RefCell::new((0_u32, 0_u32));
    runner
        .run(&strategy, |(place, groups, position, choices)| {
            let mut client = client.borrow_mut();
            let place = (&PLACES[place], groups.as_slice());
            let went = one(&mut client, &rows, place, position, &choices)
                .map_err(|error| TestCaseError::fail(format!("{error:#}")))?;
            let mut counts = counts.borrow_mut();
            counts.0 += 1;
            counts.1 += u32::from(went);
            Ok(())
        })
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let (all, went) = *counts.borrow();
    ensure!(
        went * 10 > all * 7,
        "only {went} of {all} sockets could be made"
    );
    Ok(())
}

/// Options that others can rule out.
const EXCLUSIVE: [&str; 4] = [
    "ip_unicast_if",
    "ip_multicast_if",
    "ip_multicast_if_address",
    "filter",
];

/// Makes the socket and sends it round. Says whether the kernel let it be made.
fn one(
    client: &mut inetcr::Client,
    rows: &[&Row],
    (place, groups): (&Place, &[usize]),
    position: usize,
    choices: &[Choice],
) -> Result<bool> {
    let original = socket::udp()?;
    let mut names = Vec::new();
    let mut made = true;
    for (at, (row, value)) in choices.iter().enumerate() {
        if at == position {
            made &= (place.go)(&original).is_ok();
            names.push(place.name.to_string());
            names.extend(join(&original, groups));
        }
        let row = rows[*row];
        let case = &row.cases[usize::from(*value) % row.cases.len()];
        if goes_with(row, case, place) {
            let is_set = apply(&original, row, case).is_ok();
            // The device of one option can rule out that of another, and the lock of
            // the filter a filter.
            made &= is_set || EXCLUSIVE.contains(&row.name);
            if is_set {
                names.push(format!("{}={}", row.name, case.name));
            }
        }
    }
    if position == choices.len() {
        made &= (place.go)(&original).is_ok();
        names.push(place.name.to_string());
        names.extend(join(&original, groups));
    }
    let result = if made {
        cr::round_trip(client, original)
            .map(drop)
            .with_context(|| names.join(", "))
    } else {
        Ok(())
    };
    remove_devices();
    result?;
    Ok(made)
}

/// Joins groups, each of them once, and names them.
fn join(socket: &UdpSocket, groups: &[usize]) -> Vec<String> {
    let members = groups.iter().filter_map(|group| ON_LOOPBACK.get(*group));
    let joined = members.filter(|member| member.join(socket).is_ok());
    joined.map(|member| member.group.to_string()).collect()
}

/// Whether a case can be part of a socket in that place: not what is set for all
/// new sockets at once, no other device than the peer's, and nothing by which
/// sending leaves something behind that is not carried, or fails.
fn goes_with(row: &Row, case: &Case, place: &Place) -> bool {
    const OF_SENDING: [&str; 4] = ["ip_recverr", "timestamping", "udp_cork", "udp_segment"];
    let is_in = |words: &[&str]| words.iter().any(|word| place.name.contains(word));
    match case.set {
        Set::Nothing => true,
        Set::Default(..) => false,
        set if set.is_of_other_device() => !is_in(&["connected", "autobound", "disconnect"]),
        _ => !(OF_SENDING.contains(&row.name) && is_in(&["by_send"])),
    }
}
