// SPDX-License-Identifier: GPL-2.0

//! THE membership table: what is joined, by which call, with which filter.

use std::net::Ipv4Addr;

use super::{HERE, NOBODY, group};
use crate::groups::{By, Member, ON_LOOPBACK, SOURCES, member};

/// Memberships in the order in which a socket gets them, and a name.
pub type Case = (&'static str, &'static [Member]);

/// As many sources as `igmp_max_msf` allows.
pub const TEN: &[Ipv4Addr] = &{
    let mut sources = [NOBODY; 10];
    let mut at = 0_u32;
    while at < 10 {
        sources[at as usize] = Ipv4Addr::from_bits(NOBODY.to_bits() + 100 - at);
        at += 1;
    }
    sources
};

/// As many groups as `igmp_max_memberships` allows, each with a filter.
pub const TWENTY: &[Member] = &{
    let mut members = [member(group(1)).without(TEN); 20];
    let mut at = 0_u32;
    while at < 20 {
        members[at as usize].group = Ipv4Addr::from_bits(group(100).to_bits() - at);
        at += 1;
    }
    members
};

/// Each of them is a test.
pub const CASES: &[Case] = &[
    ("by_address", &[member(group(1))]),
    ("by_index", &[member(group(1)).by(By::Index)]),
    ("by_both", &[member(group(1)).by(By::IndexAnd(NOBODY))]),
    ("by_route", &[member(group(1)).on("dummy0", By::Route)]),
    ("by_new_option", &[member(group(1)).by(By::New)]),
    ("on_dummy", &[member(group(1)).on("dummy0", By::Index)]),
    (
        "on_dummy_by_address",
        &[member(group(1)).on("dummy0", By::Address(HERE))],
    ),
    (
        "several",
        &[member(group(3)), member(group(1)), member(group(2))],
    ),
    (
        "on_two_devices",
        &[member(group(1)).on("dummy0", By::Index), member(group(1))],
    ),
    (
        "on_two_devices_with_filters",
        &[
            member(group(1)).only(SOURCES),
            member(group(1)).on("dummy0", By::New).without(SOURCES),
        ],
    ),
    // Of all machines, which everybody is a member of anyway, and the last one.
    (
        "least_and_largest",
        &[
            member(Ipv4Addr::new(224, 0, 0, 1)),
            member(Ipv4Addr::new(239, 255, 255, 255)),
        ],
    ),
    ("exclude", &[member(group(1)).without(SOURCES)]),
    ("include", &[member(group(1)).only(SOURCES)]),
    (
        "exclude_by_index",
        &[member(group(1)).by(By::Index).without(SOURCES)],
    ),
    (
        "include_by_index",
        &[member(group(1)).by(By::Index).only(SOURCES)],
    ),
    (
        "exclude_by_new_option",
        &[member(group(1)).by(By::New).without(SOURCES)],
    ),
    (
        "include_by_new_option",
        &[member(group(1)).by(By::New).only(SOURCES)],
    ),
    (
        "exclude_at_once",
        &[member(group(1))
            .by(By::FilterOf(Ipv4Addr::LOCALHOST))
            .without(SOURCES)],
    ),
    (
        "include_at_once",
        &[member(group(1))
            .by(By::FilterOf(Ipv4Addr::LOCALHOST))
            .only(SOURCES)],
    ),
    (
        "exclude_at_once_by_new_option",
        &[member(group(1)).by(By::NewFilter).without(SOURCES)],
    ),
    (
        "include_at_once_by_new_option",
        &[member(group(1)).by(By::NewFilter).only(SOURCES)],
    ),
    ("ten_excluded", &[member(group(1)).without(TEN)]),
    ("ten_included", &[member(group(1)).by(By::New).only(TEN)]),
    ("twenty", TWENTY),
    ("of_every_kind", ON_LOOPBACK),
];
