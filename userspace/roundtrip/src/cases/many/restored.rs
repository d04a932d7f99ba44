// SPDX-License-Identifier: GPL-2.0

//! All sockets of a process, or of a namespace, go and come back.

use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;

use anyhow::{Context, Result, bail, ensure};
use inetcr::{RawAttr, Record, Scope, Snapshot};

use super::{bound, dump_many, me, of, on_one_port, report, without_netlink};
use crate::cr::{self, Dump, attr};
use crate::observe::{Observation, observe, same};
use crate::options::{apply, remove_devices, rows};
use crate::places::PEER;
use crate::runner::Test;
use crate::sys::namespace::new_network;
use crate::sys::socket;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("many::restored::namespace", namespace).slow(),
        Test::new("many::restored::process", process),
        Test::new("many::restored::elsewhere", elsewhere),
        Test::new("many::restored::with_what_waits", with_what_waits),
        Test::new("many::restored::open_twice", open_twice),
    ]
}

/// Sockets each of which has another option, of every so many options, and some that share a port.
fn originals(step: usize) -> Result<Vec<UdpSocket>> {
    let mut sockets = on_one_port(5)?;
    for (port, row) in (7100..).zip(rows().step_by(step)) {
        let case = row
            .cases
            .iter()
            .rfind(|case| !case.set.is_of_other_device() && !case.set.is_of_all());
        let socket = socket::udp()?;
        apply(&socket, row, case.context("a row without cases")?)?;
        let here = SocketAddrV4::new([127, 0, 0, 1].into(), port);
        socket::bind(&socket, here).context(row.name)?;
        if port % 3 == 0 {
            socket::connect(&socket, PEER).context(row.name)?;
        }
        sockets.push(socket);
    }
    Ok(sockets)
}

/// What plain calls say of each, by the address.
fn seen(sockets: &[UdpSocket]) -> Result<Vec<(SocketAddrV4, Observation)>> {
    let mut seen = Vec::new();
    for socket in sockets {
        seen.push((socket::name(socket)?, observe(socket)));
    }
    seen.sort_by_key(|(address, _)| *address);
    Ok(seen)
}

/// Fails unless the copies are as the originals were.
fn same_as_before(before: &[(SocketAddrV4, Observation)], copies: &[UdpSocket]) -> Result<()> {
    let after = seen(copies)?;
    ensure!(before.len() == after.len(), "{} copies", after.len());
    for (before, after) in before.iter().zip(&after) {
        ensure!(before.0 == after.0, "{} is at {}", before.0, after.0);
        same(&before.0.to_string(), &before.1, &after.1)?;
    }
    Ok(())
}

fn namespace() -> Result<()> {
    come_back(originals(1)?, &[], false)
}

fn process() -> Result<()> {
    let me = me()?;
    come_back(originals(3)?, &[of(&me)], true)
}

/// Each message can be restored as it is, with or without a descriptor in it.
fn come_back(sockets: Vec<UdpSocket>, selection: &[RawAttr], with_fd: bool) -> Result<()> {
    let mut client = cr::client()?;
    let before = seen(&sockets)?;
    let records = without_netlink(dump_many(&mut client, selection)?);
    drop(sockets);
    let mut copies = Vec::new();
    for record in &records {
        ensure!(report(record).is_none(), "refused: {:?}", report(record));
        ensure!(record.get(attr::SOCK_FD).is_some() == with_fd);
        copies.push(cr::restore(&mut client, record).with_context(|| format!("{record:?}"))?);
    }
    same_as_before(&before, &copies)?;
    let again = without_netlink(dump_many(&mut client, selection)?);
    ensure!(again.len() == records.len(), "{} messages", again.len());
    for record in &records {
        let copy = again.iter().find(|copy| is_there(record, copy));
        cr::same_dump(record, copy.context("not there again")?)?;
    }
    remove_devices();
    Ok(())
}

/// Whether two messages are about sockets at one address.
fn is_there(one: &Dump, other: &Dump) -> bool {
    let place = |dump: &Dump| {
        let get = |number| dump.get(number).map(<[u8]>::to_vec);
        (get(attr::LOCAL_ADDR), get(attr::LOCAL_PORT))
    };
    place(one) == place(other)
}

/// What was dumped, if nothing was refused.
fn snapshots(records: Vec<Record<Snapshot>>) -> Result<Vec<Snapshot>> {
    let snapshot = |record| match record {
        Record::Dumped(snapshot) => Ok(snapshot),
        Record::Refused(refused) => bail!("refused: {refused}"),
    };
    records.into_iter().map(snapshot).collect()
}

/// A whole namespace into a new one, by the library.
fn elsewhere() -> Result<()> {
    let sockets = on_one_port(20)?;
    let before = seen(&sockets)?;
    let dumped = snapshots(cr::client()?.snapshot_many(Scope::Namespace)?)?;
    new_network()?;
    let mut client = cr::client()?;
    let mut copies = Vec::new();
    for snapshot in &dumped {
        copies.push(UdpSocket::from(client.restore_snapshot(snapshot)?.fd));
    }
    // The originals are still there, where they were.
    let without_it = |observation: &Observation| observation.clone().without(&["SO_NETNS_COOKIE"]);
    let after = seen(&copies)?;
    ensure!(after.len() == before.len(), "{} copies", after.len());
    for (before, after) in before.iter().zip(&after) {
        ensure!(before.0 == after.0, "{} is at {}", before.0, after.0);
        same(
            &before.0.to_string(),
            &without_it(&before.1),
            &without_it(&after.1),
        )?;
    }
    drop(sockets);
    Ok(())
}

/// The datagrams of each come back to it.
fn with_what_waits() -> Result<()> {
    let mut client = cr::client()?;
    let sockets: Vec<_> = (7100..7110).map(bound).collect::<Result<_>>()?;
    let peer = bound(PEER.port())?;
    let payload = |at: usize| format!("datagram of {at}").into_bytes();
    for (at, socket) in sockets.iter().enumerate().step_by(3) {
        for _ in 0..=at {
            peer.send_to(&payload(at), socket::name(socket)?)?;
        }
    }
    drop(peer);
    let dumped = snapshots(client.snapshot_many(Scope::Namespace)?)?;
    ensure!(dumped.len() == sockets.len(), "{} sockets", dumped.len());
    drop(sockets);
    for snapshot in &dumped {
        let copy = UdpSocket::from(client.restore_snapshot(snapshot)?.fd);
        let at = usize::from(socket::name(&copy)?.port() - 7100);
        let expected = if at % 3 == 0 { at + 1 } else { 0 };
        for _ in 0..expected {
            let (got, _) = socket::receive(&copy, libc::MSG_DONTWAIT)?;
            ensure!(got == payload(at), "{got:?} of {at}");
        }
        let more = socket::receive(&copy, libc::MSG_DONTWAIT).is_ok();
        ensure!(!more, "more than {expected} datagrams of {at}");
    }
    Ok(())
}

/// Both descriptors of a socket have one snapshot.
fn open_twice() -> Result<()> {
    let mut client = cr::client()?;
    let first = bound(7000)?;
    let second = first.try_clone()?;
    bound(7001)?.send_to(b"waits", "127.0.0.1:7000")?;
    let me = me()?;
    let records = client.snapshot_many(Scope::Process(me.as_fd()))?;
    let mut found = Vec::new();
    for record in records {
        if let Record::Dumped(snapshot) = record {
            found.push(snapshot);
        }
    }
    let [one, other] = found.as_slice() else {
        bail!("{found:?}");
    };
    ensure!(one.sock_fd != other.sock_fd, "one descriptor");
    ensure!(one.queue.len() == 1, "{} datagrams", one.queue.len());
    ensure!(one.without_identity() == other.without_identity() && one.queue == other.queue);
    drop((first, second));
    Ok(())
}
