// SPDX-License-Identifier: GPL-2.0

//! The user that a socket belongs to: who has made it, or `fchown(2)` has given it to.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use inetcr::RawAttr;

use super::amend::{amend, request};
use super::refusals::privileges::in_user_namespace;
use crate::cr::{self, Dump, Expected, attr};
use crate::places::PORT;
use crate::runner::Test;
use crate::sys::{namespace, socket, task};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("user::given_away", || comes_back(bound()?)),
        Test::new("user::given_away_unbound", || comes_back(socket::udp()?)),
        Test::new("user::of_many", of_many),
        Test::new("user::of_a_group", of_a_group),
        Test::new("user::left_out", left_out),
        Test::new("user::no_such", no_such),
        Test::new("user::not_permitted", not_permitted),
        Test::new("user::hidden", hidden),
        Test::new("user::in_user_namespace", || {
            in_user_namespace(|| {
                round_trip(bound()?, 0)?;
                Ok(())
            })
        }),
        Test::new("user::amended", amended),
        Test::new("user::amended_not_permitted", amended_not_permitted),
    ]
}

const USER: u32 = 4711;

fn bound() -> Result<UdpSocket> {
    Ok(UdpSocket::bind(("127.0.0.1", PORT))?)
}

/// The table of the kernel has it where the socket is bound, and `fstat(2)` everywhere: both are
/// compared.
fn round_trip(original: UdpSocket, user: u32) -> Result<UdpSocket> {
    ensure!(socket::user(&original)? == user, "before");
    let copy = cr::round_trip(&mut cr::client()?, original)?;
    ensure!(socket::user(&copy)? == user, "{}", socket::user(&copy)?);
    Ok(copy)
}

fn comes_back(original: UdpSocket) -> Result<()> {
    let dump = cr::dump(&mut cr::client()?, &original)?;
    ensure!(dump.u32(attr::UID) == Some(0), "{dump:?}");
    task::give_to(&original, USER)?;
    let dump = cr::dump(&mut cr::client()?, &original)?;
    ensure!(dump.u32(attr::UID) == Some(USER), "{dump:?}");
    round_trip(original, USER)?;
    Ok(())
}

/// A dump of many says it in the numbers of who has asked.
fn of_many() -> Result<()> {
    let (ours, theirs) = (socket::udp()?, bound()?);
    task::give_to(&theirs, USER)?;
    let pidfd = task::pidfd_open(std::process::id().cast_signed())?;
    let request = [RawAttr::u32(attr::PIDFD, pidfd.as_raw_fd().cast_unsigned())];
    let records = cr::client()?.raw_multipart(cr::DUMP, &request)?;
    let of = |socket: &UdpSocket| -> Result<Option<u32>> {
        let inode = socket::inode(socket)?;
        let mut records = records.iter().map(|record| Dump(record.clone()));
        let found = records.find(|record| record.uint(attr::INODE) == Some(inode));
        Ok(found.context("not dumped")?.u32(attr::UID))
    };
    ensure!(of(&ours)? == Some(0), "{:?}", of(&ours)?);
    ensure!(of(&theirs)? == Some(USER), "{:?}", of(&theirs)?);
    Ok(())
}

/// A port is shared by sockets of one user.
fn of_a_group() -> Result<()> {
    let member = || -> Result<UdpSocket> {
        let socket = socket::udp()?;
        socket::set_int(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
        task::give_to(&socket, USER)?;
        socket::bind(
            &socket,
            std::net::SocketAddrV4::new([127, 0, 0, 1].into(), PORT),
        )?;
        Ok(socket)
    };
    let (first, second) = (member()?, member()?);
    let gone = cr::checkpoint(&mut cr::client()?, second)?;
    let copy = cr::restore(&mut cr::client()?, &gone.dump)?;
    ensure!(socket::user(&copy)? == USER, "{}", socket::user(&copy)?);
    drop(copy);
    // That of another user does not come in.
    let other = gone.dump.with(RawAttr::u32(attr::UID, USER + 1));
    let in_use = Expected::errno(&[libc::EADDRINUSE]);
    cr::restore_refused(&mut cr::client()?, &other, in_use)?;
    drop(first);
    Ok(())
}

/// Of a message that does not say whose it is, the copy is that of the file system user of the
/// restorer, as a socket that is made otherwise.
fn left_out() -> Result<()> {
    let mut client = cr::client()?;
    let gone = cr::checkpoint(&mut client, bound()?)?;
    let dump = gone.dump.without(attr::UID);
    task::set_file_system_user(USER)?;
    let copy = cr::restore(&mut client, &dump);
    task::set_file_system_user(0)?;
    ensure!(socket::user(&copy?)? == USER, "of another user");
    Ok(())
}

fn no_such() -> Result<()> {
    let refused = Expected::errno(&[libc::EINVAL])
        .attribute(attr::UID)
        .word("no such user");
    let dump = cr::checkpoint(&mut cr::client()?, bound()?)?.dump;
    let nobody = dump.clone().with(RawAttr::u32(attr::UID, u32::MAX));
    cr::restore_refused(&mut cr::client()?, &nobody, refused)?;
    // There is only one user in there.
    in_user_namespace(|| {
        let other = dump.clone().with(RawAttr::u32(attr::UID, 1));
        cr::restore_refused(&mut cr::client()?, &other, refused)
    })
}

/// Without the right to become another user.
fn not_permitted() -> Result<()> {
    let mut client = cr::client()?;
    let original = bound()?;
    task::give_to(&original, USER)?;
    let gone = cr::checkpoint(&mut client, original)?;
    task::drop_capabilities(&[task::CAP_SETUID])?;
    let refused = Expected::errno(&[libc::EPERM]).attribute(attr::UID);
    cr::restore_refused(&mut cr::client()?, &gone.dump, refused)?;
    // One's own needs none.
    let own = gone.dump.with(RawAttr::u32(attr::UID, 0));
    cr::restore(&mut cr::client()?, &own)?;
    Ok(())
}

/// A user without a number where the requester is, is not told.
fn hidden() -> Result<()> {
    let [fd, given] = task::shared(2)? else {
        bail!("not two numbers");
    };
    let wait = |number: &AtomicU32| {
        while number.load(Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let mut child = task::fork(|| {
        let inside = || -> Result<()> {
            task::become_user(65_534)?;
            namespace::new_user_and_network()?;
            task::set_dumpable()?;
            let socket = bound()?;
            fd.store(socket.as_raw_fd().cast_unsigned(), Ordering::SeqCst);
            wait(given);
            let dump = cr::dump(&mut cr::client()?, &socket)?;
            ensure!(dump.get(attr::UID).is_none(), "{dump:?}");
            // And the copy is that of who makes it.
            drop(socket);
            let copy = cr::restore(&mut cr::client()?, &dump)?;
            ensure!(socket::user(&copy)? == 0, "{}", socket::user(&copy)?);
            Ok(())
        };
        inside().map_or_else(
            |error| {
                eprintln!("{error:#}");
                1
            },
            |()| 0,
        )
    })?;
    wait(fd);
    let theirs = fd.load(Ordering::SeqCst).cast_signed();
    let theirs = task::take_descriptor(child.pidfd(), theirs)?;
    task::give_to(&theirs, USER)?;
    drop(theirs);
    given.store(1, Ordering::SeqCst);
    let end = child.wait(Duration::from_secs(20))?;
    ensure!(end == task::End::Exited(0), "inside: {end:?}");
    Ok(())
}

/// `fchown(2)` for a socket that exists.
fn amended() -> Result<()> {
    let mut client = cr::client()?;
    let donor = bound()?;
    task::give_to(&donor, USER)?;
    let donor = cr::checkpoint(&mut client, donor)?;
    let target = bound()?;
    let report = amend(&mut client, &donor.dump, &target)?;
    ensure!(report.failed.is_empty(), "{:?}", report.failed);
    ensure!(socket::user(&target)? == USER, "{}", socket::user(&target)?);
    Ok(())
}

fn amended_not_permitted() -> Result<()> {
    let target = bound()?;
    task::drop_capabilities(&[task::CAP_CHOWN])?;
    let mut client = cr::client()?;
    let dump = cr::dump(&mut client, &target)?;
    for (uid, errno) in [(USER, libc::EPERM), (u32::MAX, libc::EINVAL)] {
        let dump = dump.clone().with(RawAttr::u32(attr::UID, uid));
        let report = client.amend_attrs(&request(&dump, &target).0)?;
        let failed: Vec<_> = report
            .failed
            .iter()
            .map(|failed| failed.error.errno)
            .collect();
        ensure!(failed == [errno], "{:?}", report.failed);
        ensure!(socket::user(&target)? == 0, "given away");
    }
    Ok(())
}
