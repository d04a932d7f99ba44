// SPDX-License-Identifier: GPL-2.0

//! Sockets that take more room than others, by a long filter.

use std::net::UdpSocket;
use std::os::fd::AsFd;

use anyhow::{Context, Result, ensure};
use inetcr::{Record, Scope, State};

use super::reading::{Reading, SMALL};
use super::{
    all_dumped, dump_many, is_dumped, me, of, on, on_one_port, one_each, report, tells_who_it_is,
};
use crate::cr;
use crate::runner::Test;
use crate::sys::filter::{self, Instruction};
use crate::sys::socket;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("many::room::first", first),
        Test::new("many::room::first_of_process", first_of_process),
        Test::new("many::room::later", || later(&[10])),
        Test::new("many::room::several", || later(&[5, 6, 7, 20, 39])),
        Test::new("many::room::last", || later(&[39])),
        Test::new("many::room::known_to_be_there", known_to_be_there),
        Test::new("many::room::by_the_library", by_the_library),
    ]
}

/// So many instructions as there can be.
const LONGEST: usize = 4096;

fn lengthen(socket: &UdpSocket, len: usize) -> Result<()> {
    let program = vec![Instruction::taking(u32::MAX); len];
    filter::attach(socket, libc::SO_ATTACH_FILTER, &program).context("attaching a filter")
}

/// Sockets on one port, in the order in which an answer has them.
fn in_order() -> Result<Vec<UdpSocket>> {
    let mut sockets = on_one_port(40)?;
    for socket in &sockets {
        // So that each has one.
        socket::cookie(socket)?;
    }
    sockets.sort_by_key(|socket| socket::cookie(socket).unwrap_or_default());
    Ok(sockets)
}

/// The first one finds no room in the first part of the answer, as nobody knew that it would need
/// it: the others are not kept from being dumped.
fn first() -> Result<()> {
    let mut client = cr::client()?;
    let sockets = in_order()?;
    lengthen(&sockets[0], LONGEST)?;
    // It may offer more, but has not read anything yet.
    for room in [SMALL, 65_536] {
        let records = Reading::begin(&[], room)?.whole()?;
        let found = one_each(&records, &sockets)?;
        let (errno, words) = report(found[0]).context("no report")?;
        ensure!(
            errno == libc::EMSGSIZE && words.contains("does not fit"),
            "{errno}: {words}"
        );
        tells_who_it_is(found[0], &sockets[0])?;
        for (record, socket) in found.into_iter().zip(&sockets).skip(1) {
            is_dumped(&mut client, record, socket)?;
        }
    }
    Ok(())
}

fn first_of_process() -> Result<()> {
    let mut client = cr::client()?;
    let sockets = on_one_port(40)?;
    lengthen(&sockets[0], LONGEST)?;
    let me = me()?;
    let records = Reading::begin(&[of(&me), on(7000)], SMALL)?.whole()?;
    let found = one_each(&records, &sockets)?;
    let refused = report(found[0]).context("no report")?;
    ensure!(refused.0 == libc::EMSGSIZE, "{refused:?}");
    for (record, socket) in found.into_iter().zip(&sockets).skip(1) {
        is_dumped(&mut client, record, socket)?;
    }
    Ok(())
}

/// Later ones get a part with as much room as they need.
fn later(places: &[usize]) -> Result<()> {
    let mut client = cr::client()?;
    let sockets = in_order()?;
    for place in places {
        lengthen(&sockets[*place], LONGEST)?;
    }
    let me = me()?;
    for selection in [vec![], vec![of(&me), on(7000)]] {
        let records = Reading::begin(&selection, 65_536)?.whole()?;
        all_dumped(&mut client, &records, &sockets)?;
    }
    Ok(())
}

/// Who has read large parts before has room for what fits into those from the beginning.
fn known_to_be_there() -> Result<()> {
    let mut client = cr::client()?;
    let sockets = in_order()?;
    lengthen(&sockets[0], LONGEST / 2)?;
    dump_many(&mut client, &[])?;
    let records = dump_many(&mut client, &[])?;
    all_dumped(&mut client, &records, &sockets)
}

/// The library asks for it again, by itself, so that nobody sees a difference.
fn by_the_library() -> Result<()> {
    let sockets = in_order()?;
    for place in [0, 20] {
        lengthen(&sockets[place], LONGEST)?;
    }
    let me = me()?;
    let of_process = Scope::Process(me.as_fd());
    for scope in [Scope::Namespace, of_process] {
        let records = cr::client()?.dump_many(scope)?;
        let states: Vec<_> = records
            .iter()
            .filter_map(|record| match record {
                Record::Dumped(state) => Some(state),
                Record::Refused(_) => None,
            })
            .collect();
        ensure!(states.len() == sockets.len(), "{} states", states.len());
        for socket in &sockets {
            let cookie = Some(socket::cookie(socket)?);
            let state = states.iter().find(|state| state.cookie == cookie);
            let state = state.context("a socket that is not there")?;
            let alone = State::from_attrs(&cr::dump(&mut cr::client()?, socket)?.0)?;
            ensure!(state.without_identity() == alone.without_identity());
        }
    }
    Ok(())
}
