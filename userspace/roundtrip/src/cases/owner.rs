// SPDX-License-Identifier: GPL-2.0

//! Who is told by a signal that something happens to a socket.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use inetcr::RawAttr;

use crate::cr::{self, Dump, Expected, attr};
use crate::places::{PEER, PORT};
use crate::runner::Test;
use crate::sys::signal::{self, OwnerType};
use crate::sys::{namespace, socket, task};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("owner::process", || comes_back(OwnerType::Process, 0)),
        Test::new("owner::group", || comes_back(OwnerType::Group, 0)),
        Test::new("owner::thread", || comes_back(OwnerType::Thread, 0)),
        Test::new("owner::signal", || comes_back(OwnerType::Thread, SIGNAL)),
        Test::new("owner::signal_without_owner", signal_alone),
        Test::new("owner::gone", gone),
        Test::new("owner::gone_before_restore", gone_before_restore),
        Test::new("owner::hidden", hidden),
        Test::new("owner::async", told),
        Test::new("owner::async_off", not_told),
        Test::new("owner::wrong", wrong),
    ]
}

/// A signal that queues and says which descriptor it is about.
const SIGNAL: i32 = 40;

/// Inside `OWNER`.
const TYPE: u16 = 1;
const ID: u16 = 2;
const SIGNUM: u16 = 3;

fn bound() -> Result<UdpSocket> {
    Ok(UdpSocket::bind(("127.0.0.1", PORT))?)
}

fn me() -> i32 {
    std::process::id().cast_signed()
}

/// That owner and signal are those of the original is seen by plain calls, as all that comes back.
fn round_trip(original: UdpSocket) -> Result<UdpSocket> {
    cr::round_trip(&mut cr::client()?, original)
}

fn comes_back(kind: OwnerType, signum: i32) -> Result<()> {
    let original = bound()?;
    let id = match kind {
        OwnerType::Group => signal::group(),
        _ => me(),
    };
    signal::set_owner(&original, kind, id)?;
    signal::set_signal(&original, signum)?;
    let copy = round_trip(original)?;
    ensure!(
        signal::owner(&copy)? == (kind as i32, id) && signal::signal(&copy)? == signum,
        "the owner is {:?}",
        signal::owner(&copy)
    );
    Ok(())
}

fn signal_alone() -> Result<()> {
    let original = bound()?;
    signal::set_signal(&original, SIGNAL)?;
    round_trip(original)?;
    Ok(())
}

/// A process that exists for a while.
fn process() -> Result<(i32, task::Child)> {
    let (reader, writer) = std::io::pipe()?;
    let child = task::fork(|| {
        use std::io::Write as _;
        let _ = (&writer).write_all(&std::process::id().to_ne_bytes());
        std::thread::sleep(Duration::from_secs(100));
        0
    })?;
    let mut id = [0; 4];
    std::io::Read::read_exact(&mut &reader, &mut id)?;
    Ok((i32::from_ne_bytes(id), child))
}

/// Does something with the number of a thread that exists meanwhile.
fn with_a_thread(work: impl FnOnce(u32) -> Result<()>) -> Result<()> {
    let (id, number) = std::sync::mpsc::channel();
    let (end, ends) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _ = id.send(task::thread_id());
            let _ = ends.recv();
        });
        let result = work(number.recv()?);
        drop(end);
        result
    })
}

/// An owner that is gone is none.
fn gone() -> Result<()> {
    let original = bound()?;
    let (id, child) = process()?;
    signal::set_owner(&original, OwnerType::Process, id)?;
    drop(child);
    let copy = round_trip(original)?;
    ensure!(signal::owner(&copy)?.1 == 0, "{:?}", signal::owner(&copy));
    Ok(())
}

fn gone_before_restore() -> Result<()> {
    let original = bound()?;
    let (id, child) = process()?;
    signal::set_owner(&original, OwnerType::Process, id)?;
    let mut client = cr::client()?;
    let gone = cr::checkpoint(&mut client, original)?;
    drop(child);
    let expected = Expected::errno(&[libc::ESRCH])
        .paths(&[&[attr::OWNER, ID]])
        .word("gone");
    cr::restore_refused(&mut client, &gone.dump, expected)?;
    // The port is free.
    bound()?;
    Ok(())
}

/// An owner that the requester cannot name is told, and not forgotten.
fn hidden() -> Result<()> {
    const OWNER: u32 = 1 << 6;
    let original = bound()?;
    signal::set_owner(&original, OwnerType::Process, me())?;
    namespace::new_pid_for_children()?;
    task::run_in_child(|| {
        let expected = Expected::errno(&[libc::EOPNOTSUPP]).word("F_SETOWN");
        let mut client = cr::client()?;
        let error = cr::dump_refused(&mut client, &original, expected)?;
        ensure!(error.to_string().contains("allow-lost owner"), "{error}");
        // It is forgotten where that is allowed, and the copy has none.
        let fd = RawAttr::u32(attr::SOCK_FD, original.as_raw_fd().cast_unsigned());
        let allowed = RawAttr::u32(attr::ALLOW_LOST, OWNER);
        let dump = Dump(client.raw(cr::DUMP, &[fd, allowed.clone()])?);
        ensure!(dump.u32(attr::LOST) == Some(OWNER), "{dump:?}");
        ensure!(dump.get(attr::OWNER).is_none(), "{dump:?}");
        let lost = Expected::errno(&[libc::EINVAL]).attribute(attr::LOST);
        cr::restore_refused(&mut client, &dump, lost.word("owner"))?;
        // Two descriptors have the original: a port of its own for the copy.
        let dump = dump.without(attr::LOCAL_PORT).without(attr::LOCAL_ADDR);
        let dump = dump.without(attr::BIND_LOCKS).with(allowed);
        let copy = cr::restore(&mut client, &dump)?;
        ensure!(signal::owner(&copy)?.1 == 0, "{:?}", signal::owner(&copy));
        Ok(())
    })
}

/// The owner of the copy is told of what arrives, and by which descriptor.
fn told() -> Result<()> {
    signal::block(SIGNAL)?;
    let original = bound()?;
    signal::set_owner(&original, OwnerType::Process, me())?;
    signal::set_signal(&original, SIGNAL)?;
    socket::fcntl(&original, libc::F_SETFL, libc::O_ASYNC)?;
    let copy = round_trip(original)?;
    ensure!(
        signal::wait(SIGNAL, Duration::ZERO)?.is_none(),
        "told of nothing"
    );

    UdpSocket::bind(PEER)?.send_to(b"x", ("127.0.0.1", PORT))?;
    let fd = signal::wait(SIGNAL, Duration::from_secs(5))?;
    ensure!(fd == Some(copy.as_raw_fd()), "told of {fd:?}");

    // Nobody is told any more.
    socket::fcntl(&copy, libc::F_SETFL, 0)?;
    UdpSocket::bind(PEER)?.send_to(b"x", ("127.0.0.1", PORT))?;
    let fd = signal::wait(SIGNAL, Duration::from_millis(50))?;
    ensure!(fd.is_none(), "told although O_ASYNC is off");
    Ok(())
}

/// An owner alone does not ask for signals.
fn not_told() -> Result<()> {
    signal::block(SIGNAL)?;
    let original = bound()?;
    signal::set_owner(&original, OwnerType::Process, me())?;
    signal::set_signal(&original, SIGNAL)?;
    let copy = round_trip(original)?;
    UdpSocket::bind(PEER)?.send_to(b"x", ("127.0.0.1", PORT))?;
    ensure!(
        socket::readable(&copy, Duration::from_secs(5))?,
        "nothing came"
    );
    let fd = signal::wait(SIGNAL, Duration::from_millis(50))?;
    ensure!(fd.is_none(), "told of {fd:?}");
    Ok(())
}

fn wrong() -> Result<()> {
    let original = bound()?;
    let mut client = cr::client()?;
    let dump = cr::dump(&mut client, &original)?;
    drop(original);
    let me = me().cast_unsigned();
    let with = |members: &[(u16, u32)]| -> Dump {
        let members: Vec<_> = members
            .iter()
            .map(|(number, value)| RawAttr::u32(*number, *value))
            .collect();
        dump.clone().with(RawAttr::nested(attr::OWNER, &members))
    };

    let invalid = Expected::errno(&[libc::EINVAL, libc::ERANGE]);
    for (members, blamed) in [
        (&[][..], TYPE),
        (&[(TYPE, 1), (ID, me)], SIGNUM),
        (&[(TYPE, 1), (SIGNUM, 0)], ID),
        (&[(ID, me), (SIGNUM, 0)], TYPE),
        (&[(TYPE, 3), (ID, me), (SIGNUM, 0)], TYPE),
        (&[(TYPE, 1), (ID, me), (SIGNUM, 65)], SIGNUM),
        (&[(TYPE, 1), (ID, me), (SIGNUM, u32::MAX)], SIGNUM),
        (&[(TYPE, 1), (ID, me), (SIGNUM, 0), (ID, me)], ID),
    ] {
        let path = [attr::OWNER, blamed];
        cr::restore_refused(&mut client, &with(members), invalid.paths(&[&path]))
            .with_context(|| format!("{members:?}"))?;
    }
    let nobody = Expected::errno(&[libc::ESRCH]).paths(&[&[attr::OWNER, ID]]);
    for id in [0x7fff_fffe, u32::MAX] {
        let dump = with(&[(TYPE, 1), (ID, id), (SIGNUM, 0)]);
        cr::restore_refused(&mut client, &dump, nobody).with_context(|| format!("{id}"))?;
    }
    // A process that leads no group, and a thread that is no process.
    let (leads_none, child) = process()?;
    task::join_group(leads_none)?;
    let mut only_a_thread = |kind, id| -> Result<()> {
        let dump = with(&[(TYPE, kind), (ID, id), (SIGNUM, 0)]);
        cr::restore_refused(&mut client, &dump, nobody).with_context(|| format!("{id}"))?;
        let fine = with(&[(TYPE, 0), (ID, id), (SIGNUM, 0)]);
        cr::restore(&mut client, &fine).with_context(|| format!("{id} as a thread"))?;
        Ok(())
    };
    only_a_thread(2, leads_none.cast_unsigned())?;
    with_a_thread(|thread| only_a_thread(1, thread))?;
    drop(child);
    Ok(())
}
