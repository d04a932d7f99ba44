// SPDX-License-Identifier: GPL-2.0

//! Who may see the sockets of a namespace, and who those of a process: it is decided by the one that
//! asks, not by the one that reads.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use inetcr::{Client, RawAttr};

use super::others::{Other, sockets};
use super::reading::{Reading, SMALL};
use super::{all_dumped, bound, dump_many, is_dumped, me, of, on, with_inode, without_netlink};
use crate::cases::refusals::privileges::{in_user_namespace, with_one_of_another};
use crate::cr::{self, DUMP, Expected, attr};
use crate::runner::Test;
use crate::sys::{namespace, socket, task};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("many::privilege::no_net_admin", no_net_admin),
        Test::new("many::privilege::dropped_later", dropped_later),
        Test::new("many::privilege::opened_by_another", opened_by_another),
        Test::new("many::privilege::hidden_process", hidden_process),
        Test::new("many::privilege::undumpable_process", undumpable_process),
        Test::new("many::privilege::user_namespace_works", || {
            in_user_namespace(works_there)
        }),
        Test::new("many::privilege::user_namespace_other_net", || {
            in_user_namespace(other_net)
        }),
        Test::new("many::privilege::user_namespace_other_process", || {
            let outside = me()?;
            in_user_namespace(|| other_process(&outside))
        }),
        Test::new("many::privilege::read_by_another", read_by_another),
        Test::new(
            "many::privilege::process_read_by_another",
            process_read_by_another,
        ),
        Test::new("many::privilege::read_by_itself_later", read_later),
    ]
}

/// Fails unless neither is permitted. Generic netlink itself says it, without words.
fn neither(client: &mut Client) -> Result<()> {
    let me = me()?;
    for selection in [vec![], vec![of(&me)], vec![on(7000), with_inode(1)]] {
        let error = dump_many(client, &selection).err().context("permitted")?;
        ensure!(error.errno() == Some(libc::EPERM), "{error}");
    }
    Ok(())
}

fn no_net_admin() -> Result<()> {
    let socket = bound(7000)?;
    task::drop_capabilities(&[task::CAP_NET_ADMIN])?;
    neither(&mut cr::client()?)?;
    drop(socket);
    Ok(())
}

/// The netlink socket was opened with it, the request is sent without.
fn dropped_later() -> Result<()> {
    let socket = bound(7000)?;
    let mut client = cr::client()?;
    task::drop_capabilities(&[task::CAP_NET_ADMIN])?;
    neither(&mut client)?;
    drop(socket);
    Ok(())
}

/// A privileged process that is led to write into the netlink socket of another does no harm.
fn opened_by_another() -> Result<()> {
    let socket = bound(7000)?;
    let me = me()?;
    let prepare = || Ok(task::drop_capabilities(&[task::CAP_NET_ADMIN])?);
    with_one_of_another(&cr::client()?, prepare, |raw| {
        for selection in [vec![], vec![of(&me)]] {
            raw.send_multipart(DUMP, &RawAttr::encode_all(&selection))?;
            let answer = raw.parts()?;
            ensure!(answer == Err(libc::EPERM), "{answer:?}");
        }
        Ok(())
    })?;
    drop(socket);
    Ok(())
}

/// Fails unless a process is refused, and the requester's own is not.
fn not_that_process(pidfd: &impl AsRawFd) -> Result<()> {
    let mut client = cr::client()?;
    let expected = Expected::errno(&[libc::EPERM])
        .attribute(attr::PIDFD)
        .word("attach");
    // Also if it has none that would be wanted.
    for filter in [vec![], vec![on(1)], vec![with_inode(0)]] {
        let selection = [vec![of(pidfd)], filter].concat();
        cr::refused(dump_many(&mut client, &selection), expected)?;
    }
    let me = me()?;
    dump_many(&mut client, &[of(&me)]).context("the own process")?;
    Ok(())
}

/// Without `CAP_SYS_PTRACE`, another user's process is not looked into. What is bound is in the
/// namespace's table.
fn hidden_process() -> Result<()> {
    let other = Other::new(
        || {
            let sockets = vec![bound(7000)?, socket::udp()?];
            task::become_user(65_534)?;
            Ok(sockets)
        },
        || Ok(()),
    )?;
    task::drop_capabilities(&[task::CAP_SYS_PTRACE])?;
    not_that_process(other.child.pidfd())?;
    let records = dump_many(&mut cr::client()?, &[])?;
    ensure!(records.len() == 1, "{records:?}");
    Ok(())
}

/// Nor is one of the same user that does not want it.
fn undumpable_process() -> Result<()> {
    let make = || {
        task::set_undumpable()?;
        sockets()
    };
    let other = Other::new(make, || Ok(()))?;
    let selection = [of(other.child.pidfd())];
    dump_many(&mut cr::client()?, &selection).context("with CAP_SYS_PTRACE")?;
    task::drop_capabilities(&[task::CAP_SYS_PTRACE])?;
    not_that_process(other.child.pidfd())
}

/// Root of a user namespace may, in a network namespace of its own.
fn works_there() -> Result<()> {
    let mut client = cr::client()?;
    let sockets = [bound(7000)?, bound(7001)?];
    let records = dump_many(&mut client, &[])?;
    all_dumped(&mut client, &records, &sockets)?;
    let me = me()?;
    let records = without_netlink(dump_many(&mut client, &[of(&me)])?);
    all_dumped(&mut client, &records, &sockets)
}

/// And not in one that is not its own.
fn other_net() -> Result<()> {
    let socket = bound(7000)?;
    task::run_in_child(|| {
        namespace::new_user()?;
        neither(&mut cr::client()?)
    })?;
    drop(socket);
    Ok(())
}

/// Nor a process outside.
fn other_process(outside: &OwnedFd) -> Result<()> {
    not_that_process(outside)
}

/// Somebody who may ask hands the netlink socket to somebody who may not: that one reads what was
/// asked for, no less.
fn read_by_another() -> Result<()> {
    let mut client = cr::client()?;
    let bound: Vec<_> = (7100..7160).map(bound).collect::<Result<_>>()?;
    let expected = dump_many(&mut client, &[])?;
    let mut reading = Reading::begin(&[], SMALL)?;
    ensure!(reading.part()?, "one part is not enough for this test");
    task::run_in_child(|| {
        task::become_user(65_534)?;
        let may = dump_many(&mut cr::client()?, &[]).is_ok();
        ensure!(!may, "the reader may ask, too");
        // The numbers are those of who has asked, also here, where there is no user.
        namespace::new_user()?;
        let records = reading.whole()?;
        ensure!(records == expected, "{records:?} != {expected:?}");
        Ok(())
    })?;
    drop(bound);
    Ok(())
}

/// Whether a process may be looked into is a matter of who looks: the answer about it can be read by
/// the requester only, as long as it is who it was.
fn process_read_by_another() -> Result<()> {
    let other = Other::new(sockets, || Ok(()))?;
    let selection = [of(other.child.pidfd())];
    let ends = |reading: &mut Reading| {
        reading.rest()?;
        let end = reading.end;
        ensure!(end == Some(libc::EACCES), "ends with {end:?}");
        Ok(())
    };

    let mut reading = Reading::begin(&selection, SMALL)?;
    ensure!(reading.part()?, "one part is not enough for this test");
    task::run_in_child(|| ends(&mut reading)).context("a child")?;
    task::run_in_child(|| {
        let mut reading = Reading::begin(&selection, SMALL)?;
        ensure!(reading.part()?, "one part is not enough for this test");
        task::drop_capabilities(&[task::CAP_NET_ADMIN])?;
        ends(&mut reading)
    })
    .context("other credentials")
}

/// What the requester was allowed to is not asked again for each part, but for the process.
fn read_later() -> Result<()> {
    let mut client = cr::client()?;
    let bound: Vec<_> = (7100..7160).map(bound).collect::<Result<_>>()?;
    let mut reading = Reading::begin(&[], SMALL)?;
    ensure!(reading.part()?, "one part is not enough for this test");
    let expected = dump_many(&mut client, &[])?;
    task::drop_capabilities(&[task::CAP_NET_ADMIN])?;
    let records = reading.whole()?;
    ensure!(records == expected, "{records:?} != {expected:?}");
    let error = is_dumped(&mut client, &records[0], &bound[0]).err();
    ensure!(error.is_some(), "may still ask");
    Ok(())
}
