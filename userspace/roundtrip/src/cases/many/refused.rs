// SPDX-License-Identifier: GPL-2.0

//! Sockets that are refused by themselves are told of, and do not keep the others from being dumped.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use inetcr::{Client, RawAttr};

use super::{
    bound, dump_many, is_dumped, is_refused, me, of, on, one_each, report, tells_who_it_is,
    without_netlink,
};
use crate::cases::lifetime::{TO_SLEEP, while_sender_sleeps, without_room};
use crate::cr::{self, attr};
use crate::observe::{observe, same};
use crate::runner::Test;
use crate::sys::socket;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("many::refused::among_others", among_others),
        Test::new("many::refused::all_of_them", all_of_them),
        Test::new("many::refused::locked_by_a_sender", locked_by_a_sender).slow(),
    ]
}

/// Gives a socket what is not carried, whatever else will be.
fn spoil(socket: &UdpSocket) -> Result<()> {
    Ok(socket::set_attribute(socket, c"user.test", b"value")?)
}

/// Every third one, so that they are first, last and in between, in several parts of the answer.
fn among_others() -> Result<()> {
    let mut client = cr::client()?;
    let sockets: Vec<_> = (7100..7130).map(bound).collect::<Result<_>>()?;
    for socket in sockets.iter().step_by(3) {
        spoil(socket)?;
    }
    let before: Vec<_> = sockets.iter().map(observe).collect();
    let me = me()?;
    for selection in [vec![], vec![of(&me)]] {
        let records = without_netlink(dump_many(&mut client, &selection)?);
        let found = one_each(&records, &sockets)?;
        for (place, (record, socket)) in found.into_iter().zip(&sockets).enumerate() {
            if place % 3 == 0 {
                is_refused(&mut client, record, socket)?;
            } else {
                is_dumped(&mut client, record, socket)?;
            }
        }
    }
    for (before, socket) in before.iter().zip(&sockets) {
        same("the dumps changed a socket", before, &observe(socket))?;
    }
    Ok(())
}

/// So many that their messages fill more than a part.
fn all_of_them() -> Result<()> {
    let mut client = cr::client()?;
    let sockets: Vec<_> = (7100..7300).map(bound).collect::<Result<_>>()?;
    for socket in &sockets {
        spoil(socket)?;
    }
    let records = dump_many(&mut client, &[])?;
    let found = one_each(&records, &sockets)?;
    for (record, socket) in found.into_iter().zip(&sockets).step_by(40) {
        is_refused(&mut client, record, socket)?;
    }
    ensure!(records.iter().all(|record| report(record).is_some()));
    Ok(())
}

/// A sender that waits for room in the buffer while it keeps the socket locked: the answer does not
/// wait until it is done, nor do the others in it miss anything.
fn locked_by_a_sender() -> Result<()> {
    let locked = without_room()?;
    let free = [bound(7000)?, bound(7002)?];
    let me = me()?;
    let of_process = vec![of(&me), on(socket::name(&locked)?.port())];
    let mut client = cr::client()?;
    let others = while_sender_sleeps(&locked, |client| {
        told_in_time(client, &locked, &[vec![], of_process])?;
        dump_many(client, &[]).map_err(Into::into)
    })?;
    let found = one_each(&others, free.iter().chain([&locked]))?;
    for (record, socket) in found.into_iter().zip(&free) {
        is_dumped(&mut client, record, socket)?;
    }
    Ok(())
}

/// Until the sender sleeps, the socket is refused for what is under way, or is not refused.
fn told_in_time(
    client: &mut Client,
    locked: &UdpSocket,
    selections: &[Vec<RawAttr>],
) -> Result<()> {
    let inode = socket::inode(locked)?;
    for selection in selections {
        let start = Instant::now();
        loop {
            let records = dump_many(client, selection)?;
            let record = records
                .iter()
                .find(|record| record.uint(attr::INODE) == Some(inode));
            let record = record.context("not there")?;
            match report(record) {
                Some((libc::EBUSY, words)) => {
                    ensure!(words.contains("keeps the socket locked"), "{words}");
                    tells_who_it_is(record, locked)?;
                    break;
                }
                other => ensure!(start.elapsed() < TO_SLEEP, "{other:?}"),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}
