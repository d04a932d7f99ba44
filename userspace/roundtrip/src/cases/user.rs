// SPDX-License-Identifier: GPL-2.0

//! The user that a socket belongs to: who has made it, or `fchown(2)` has given it to.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, bail, ensure};
use inetcr::RawAttr;

use super::amend::amend;
use super::refusals::privileges::{in_turns, in_user_namespace};
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
        Test::new("user::two_in_user_namespace", two_users),
        Test::new("user::amended", amended),
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
    let first = || -> Result<UdpSocket> {
        task::become_user(65_534)?;
        namespace::new_user_and_network()?;
        bound()
    };
    in_turns(
        first,
        |theirs| Ok(task::give_to(&theirs, USER)?),
        |socket| {
            let dump = cr::dump(&mut cr::client()?, &socket)?;
            ensure!(dump.get(attr::UID).is_none(), "{dump:?}");
            // And the copy is that of who makes it.
            drop(socket);
            let copy = cr::restore(&mut cr::client()?, &dump)?;
            ensure!(socket::user(&copy)? == 0, "{}", socket::user(&copy)?);
            Ok(())
        },
    )
}

/// Numbers and rights are those of the user namespace of the requester: here with two users, 0, and
/// 1 who is [`USER`] outside.
fn two_users() -> Result<()> {
    let [pid] = task::shared(1)? else {
        bail!("not one number");
    };
    let first = || -> Result<UdpSocket> {
        task::become_user(65_534)?;
        namespace::new_user()?;
        pid.store(std::process::id(), Ordering::SeqCst);
        Ok(socket::udp()?)
    };
    in_turns(
        first,
        |theirs| {
            let map = format!("/proc/{}/uid_map", pid.load(Ordering::SeqCst));
            std::fs::write(map, format!("0 65534 1\n1 {USER} 1\n"))?;
            Ok(task::give_to(&theirs, USER)?)
        },
        |of_other| {
            ensure!(socket::user(&of_other)? == 1, "the map");
            namespace::new_network()?;
            let gone = cr::checkpoint(&mut cr::client()?, bound()?)?;
            ensure!(gone.dump.u32(attr::UID) == Some(0), "{:?}", gone.dump);
            let dump = |uid| gone.dump.clone().with(RawAttr::u32(attr::UID, uid));
            let copy = cr::restore(&mut cr::client()?, &dump(1))?;
            ensure!(socket::user(&copy)? == 1, "{}", socket::user(&copy)?);
            drop(copy);

            let refused = Expected::errno(&[libc::EINVAL]).attribute(attr::UID);
            cr::restore_refused(&mut cr::client()?, &dump(2), refused)?;
            task::drop_capabilities(&[task::CAP_SETUID])?;
            let refused = Expected::errno(&[libc::EPERM]).attribute(attr::UID);
            cr::restore_refused(&mut cr::client()?, &dump(1), refused)
        },
    )
}

/// What is left to `fchown(2)` is reported, unless it is so.
fn amended() -> Result<()> {
    let mut client = cr::client()?;
    let target = bound()?;
    let dump = cr::dump(&mut client, &target)?;
    for uid in [USER, u32::MAX] {
        let dump = dump.clone().with(RawAttr::u32(attr::UID, uid));
        let report = amend(&mut client, &dump, &target)?;
        let failed: Vec<_> = report
            .failed
            .iter()
            .map(|failed| failed.error.errno)
            .collect();
        ensure!(failed == [libc::EOPNOTSUPP], "{:?}", report.failed);
        ensure!(socket::user(&target)? == 0, "given away");
    }
    task::give_to(&target, USER)?;
    let dump = dump.with(RawAttr::u32(attr::UID, USER));
    let report = amend(&mut client, &dump, &target)?;
    ensure!(report.failed.is_empty(), "{:?}", report.failed);
    Ok(())
}
