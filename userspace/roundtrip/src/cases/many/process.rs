// SPDX-License-Identifier: GPL-2.0

//! The sockets that a process has open, descriptor by descriptor.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use inetcr::{Client, Record, Scope};

use super::others::sockets;
use super::reading::{Reading, SMALL};
use super::{
    bound, descriptors_in, descriptors_of, dump_many, is_dumped, is_refused, me, of, report,
};
use crate::cr::{self, Dump, attr};
use crate::places::place;
use crate::runner::Test;
use crate::sys::{namespace, socket, task};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("many::process::every_kind", every_kind),
        Test::new("many::process::open_twice", open_twice),
        Test::new("many::process::far_apart", far_apart),
        Test::new("many::process::moved", moved),
        Test::new("many::process::another", another),
        Test::new("many::process::without_any", without_any),
        Test::new("many::process::of_other_namespaces", of_other_namespaces),
        Test::new("many::process::by_the_library", by_the_library),
    ]
}

/// The messages about this process, one for each of its descriptors of a socket, in their order.
fn mine(client: &mut Client) -> Result<Vec<Dump>> {
    let me = me()?;
    let records = dump_many(client, &[of(&me)])?;
    let (found, expected) = (descriptors_in(&records)?, descriptors_of("self")?);
    ensure!(found == expected, "{found:?}, but open are {expected:?}");
    Ok(records)
}

/// Fails unless each is dumped that is dumped by itself, and each other one is refused as it is by
/// itself. Gives how many there are of both.
fn as_by_themselves(client: &mut Client, records: &[Dump]) -> Result<(usize, usize)> {
    let mut counts = (0, 0);
    for record in records {
        let fd = record.u32(attr::SOCK_FD).context("no descriptor")?;
        let fd = i32::try_from(fd)?;
        let kind = (record.u32(attr::SOCK_FAMILY), record.u32(attr::SOCK_TYPE));
        if report(record).is_none() {
            is_dumped(client, record, &fd)?;
            counts.0 += 1;
        } else {
            is_refused(client, record, &fd).with_context(|| format!("{kind:?}"))?;
            counts.1 += 1;
        }
    }
    Ok(counts)
}

/// Between files that are no sockets, one of each kind, those that are carried bound and not.
fn every_kind() -> Result<()> {
    let mut client = cr::client()?;
    std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647")?;
    let mut carried = Vec::new();
    let mut kept: Vec<OwnedFd> = Vec::new();
    for name in ["unbound", "any_port", "autobound_disconnected", "shut_both"] {
        let socket = socket::udp()?;
        (place(name).context("no such place")?.go)(&socket)?;
        carried.push(socket);
        let (reader, writer) = std::io::pipe()?;
        kept.extend([
            reader.into(),
            writer.into(),
            File::open("/dev/null")?.into(),
        ]);
    }
    // That it goes when the process becomes another program does not count.
    socket::fcntl(&carried[1], libc::F_SETFD, 0)?;
    for (family, kind, protocol) in [
        (libc::AF_INET, libc::SOCK_STREAM, 0),
        (libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP),
        (libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP),
        (libc::AF_INET6, libc::SOCK_DGRAM, 0),
        (libc::AF_UNIX, libc::SOCK_STREAM, 0),
        (libc::AF_UNIX, libc::SOCK_DGRAM, 0),
        (libc::AF_NETLINK, libc::SOCK_RAW, 0),
        (libc::AF_PACKET, libc::SOCK_DGRAM, 0),
    ] {
        let socket = socket::socket(family, kind, protocol);
        kept.push(socket.with_context(|| format!("a socket of family {family}"))?);
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 7300))?;
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, 7300))?;
    let records = mine(&mut client)?;
    let counts = as_by_themselves(&mut client, &records)?;
    // With the listener, the stream, and the netlink socket that asks.
    ensure!(counts == (4, 11), "{counts:?} dumped and refused");
    drop((carried, kept, listener, stream));
    Ok(())
}

/// One that is open twice is there twice, and is one.
fn open_twice() -> Result<()> {
    let mut client = cr::client()?;
    let first = bound(7000)?;
    let between = socket::udp()?;
    let second = first.try_clone()?;
    task::dup_onto(&first, 90)?;
    let third = task::adopt(90);
    let records = mine(&mut client)?;
    let cookie = socket::cookie(&first)?;
    let same = records
        .iter()
        .filter(|record| record.uint(attr::COOKIE) == Some(cookie));
    let fds: Vec<_> = same.map(|record| record.u32(attr::SOCK_FD)).collect();
    let expected = [first.as_raw_fd(), second.as_raw_fd(), third.as_raw_fd()];
    let expected = expected.map(|fd| Some(fd.cast_unsigned()));
    ensure!(fds == expected, "{fds:?}, not {expected:?}");
    as_by_themselves(&mut client, &records)?;
    drop(between);
    Ok(())
}

/// Far behind many other files, and at the highest descriptor that there can be.
fn far_apart() -> Result<()> {
    let mut client = cr::client()?;
    task::limit_files(4096)?;
    let sockets = [bound(7000)?, bound(7001)?, bound(7002)?];
    let file = File::open("/dev/null")?;
    let files: Vec<_> = (0..700)
        .map(|_| file.try_clone())
        .collect::<Result<_, _>>()?;
    let mut kept = Vec::new();
    for (socket, target) in sockets.iter().zip([800, 2000, 4095]) {
        task::dup_onto(socket, target)?;
        kept.push(task::adopt(target));
    }
    let records = mine(&mut client)?;
    as_by_themselves(&mut client, &records)?;
    drop(files);
    Ok(())
}

/// A process that is not frozen: a socket that it moves to a lower descriptor meanwhile is missing,
/// and one that it moves to a higher one is there twice.
fn moved() -> Result<()> {
    let me = me()?;
    let low = File::open("/dev/null")?;
    let mut sockets = sockets()?;
    let mut reading = Reading::begin(&[of(&me)], SMALL)?;
    ensure!(reading.part()?, "one part is not enough for this test");
    let (first, last) = (sockets.remove(0), sockets.pop().context("no socket")?);
    let cookies = [&first, &last].map(socket::cookie);
    // In the place of the file, which it closes.
    let low = low.into_raw_fd();
    task::dup_onto(&last, low)?;
    drop(last);
    task::dup_onto(&first, 900)?;
    drop(first);
    let moved = [low, 900].map(task::adopt);
    let records = reading.whole()?;
    for (cookie, expected) in cookies.into_iter().zip([2, 0]) {
        let cookie = Some(cookie?);
        let records = records.iter();
        let found = records.filter(|record| record.uint(attr::COOKIE) == cookie);
        let found = found.count();
        ensure!(found == expected, "there {found} times, not {expected}");
    }
    drop(moved);
    Ok(())
}

/// A child with sockets of its own, which says when it has them and waits.
fn child_with<S>(make: impl FnOnce() -> Result<S>) -> Result<task::Child> {
    let (mut reader, mut writer) = std::io::pipe()?;
    let child = task::fork(move || {
        let work = || -> Result<()> {
            let sockets = make()?;
            writer.write_all(&[0])?;
            std::thread::sleep(Duration::from_secs(600));
            drop(sockets);
            Ok(())
        };
        i32::from(work().is_err())
    })?;
    reader.read_exact(&mut [0]).context("the child failed")?;
    Ok(child)
}

/// Sockets of which this process has no descriptor.
fn another() -> Result<()> {
    let mut client = cr::client()?;
    let child = child_with(|| {
        let sockets = [bound(7000)?, socket::udp()?];
        let twice = sockets[0].try_clone()?;
        let of_unix = socket::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0)?;
        Ok((sockets, twice, of_unix))
    })?;
    let records = dump_many(&mut client, &[of(child.pidfd())])?;
    let expected = descriptors_of(&child.pid().to_string())?;
    let found = descriptors_in(&records)?;
    ensure!(found == expected, "{found:?}, but open are {expected:?}");
    let mut dumped = 0;
    for record in records.iter().filter(|record| report(record).is_none()) {
        let selector = inetcr::Selector::Pidfd {
            pidfd: child.pidfd().as_fd(),
            fd: i32::try_from(record.u32(attr::SOCK_FD).context("no descriptor")?)?,
        };
        cr::same_dump(record, &cr::dump_by(&mut client, selector.into())?)?;
        dumped += 1;
    }
    ensure!(dumped == 3, "{dumped} dumped");
    Ok(())
}

fn without_any() -> Result<()> {
    let child = child_with(|| {
        // But for the pipe, which is needed to say so.
        for (fd, _) in descriptors_of("self")? {
            drop(task::adopt(fd.cast_signed()));
        }
        Ok(())
    })?;
    let records = dump_many(&mut cr::client()?, &[of(child.pidfd())])?;
    ensure!(records.is_empty(), "{records:?}");
    Ok(())
}

/// Of these no more is told than `/proc/PID/fd` tells.
fn of_other_namespaces() -> Result<()> {
    let mut sockets: Vec<OwnedFd> = vec![bound(7000)?.into(), socket::udp()?.into()];
    sockets.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 7000))?.into());
    sockets.push(socket::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0)?);
    namespace::new_network()?;
    let here = bound(7000)?;
    let mut client = cr::client()?;
    let records = mine(&mut client)?;
    for socket in &sockets {
        let fd = socket.as_raw_fd().cast_unsigned();
        let record = records
            .iter()
            .find(|record| record.u32(attr::SOCK_FD) == Some(fd));
        let record = record.context("not there")?;
        let (errno, words) = report(record).context("not refused")?;
        ensure!(
            errno == libc::ENOENT && words.contains("no such socket"),
            "{errno}: {words}"
        );
        let mut numbers: Vec<_> = record.0.iter().map(inetcr::RawAttr::number).collect();
        numbers.sort_unstable();
        let expected = [attr::INODE, attr::SOCK_FD, attr::REPORT];
        ensure!(numbers == expected, "attributes {numbers:?}");
    }
    let cookie = Some(socket::cookie(&here)?);
    let record = records
        .iter()
        .find(|record| record.uint(attr::COOKIE) == cookie);
    is_dumped(&mut client, record.context("not there")?, &here)
}

/// The library has each of them, with the descriptor, and the same words.
fn by_the_library() -> Result<()> {
    let mut client = cr::client()?;
    let sockets = [bound(7000)?, socket::udp()?];
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 7300))?;
    let raw = mine(&mut client)?;
    let me = me()?;
    let records = client.dump_many(Scope::Process(me.as_fd()))?;
    let mut places = Vec::new();
    for record in &records {
        let (socket, words) = match record {
            Record::Dumped(state) => (state, None),
            Record::Refused(refused) => (&refused.socket, refused.error.message.clone()),
        };
        let which = (socket.sock_fd, socket.inode, socket.cookie);
        places.push((which, words));
    }
    let expected: Vec<_> = raw
        .iter()
        .map(|one| {
            let which = (
                one.u32(attr::SOCK_FD),
                one.uint(attr::INODE),
                one.uint(attr::COOKIE),
            );
            (which, report(one).map(|(_, words)| words))
        })
        .collect();
    ensure!(places == expected, "{places:?}, not {expected:?}");
    let states = records
        .iter()
        .filter(|one| matches!(one, Record::Dumped(_)));
    ensure!(states.count() == 2, "{records:?}");
    drop((sockets, tcp));
    Ok(())
}
