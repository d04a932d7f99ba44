// SPDX-License-Identifier: GPL-2.0

//! Requests that are refused as a whole: nothing is done.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, ensure};
use inetcr::RawAttr;
use inetcr::table::{Role, SOCKET};

use super::{HERE, bound, refused, request};
use crate::cases::refusals::ranges::{RANGES, number_of};
use crate::cr::{self, AMEND, Dump, Expected, attr};
use crate::observe::{observe, same};
use crate::places::{OTHER, PEER, PLACES, PORT};
use crate::rawnl::RawNetlink;
use crate::runner::Test;
use crate::sys::{namespace, socket, task};

/// A change, so that it is seen if anything is done.
const CHANGE: (u16, u32) = (6, 1);

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("amend::refusals::selectors", selectors),
        Test::new("amend::refusals::cookie", cookie),
        Test::new("amend::refusals::other_namespace", other_namespace),
        Test::new("amend::refusals::other_kind", other_kind),
        Test::new("amend::refusals::other_place", other_place),
        Test::new("amend::refusals::other_addresses", other_addresses),
        Test::new("amend::refusals::bad_values", bad_values),
        Test::new("amend::refusals::bad_content", bad_content),
        Test::new("amend::refusals::not_of_amend", not_of_amend),
        Test::new("amend::refusals::not_the_last", not_the_last),
    ]
}

fn change() -> RawAttr {
    RawAttr::u32(CHANGE.0, CHANGE.1)
}

/// A dump of a socket on the port, with something to do.
fn good() -> Result<Dump> {
    let dump = cr::dump(&mut cr::client()?, &bound()?)?;
    Ok(dump.with(change()))
}

/// By a descriptor, and nothing else.
fn selectors() -> Result<()> {
    let mut client = cr::client()?;
    let good = good()?;
    let target = bound()?;
    let good = request(&good, &target);
    let inode = RawAttr::uint(attr::INODE, socket::inode(&target)?);
    let me = task::pidfd_open(std::process::id().cast_signed())?;
    let pidfd = RawAttr::u32(attr::PIDFD, me.as_raw_fd().cast_unsigned());
    let number = |number, fd: i32| RawAttr::u32(number, fd.cast_unsigned());

    let invalid = Expected::errno(&[libc::EINVAL]);
    let blamed = |number| invalid.attribute(number);
    for (request, expected) in [
        (good.clone().with(inode.clone()), blamed(attr::INODE)),
        (
            good.clone().without(attr::SOCK_FD).with(inode),
            blamed(attr::INODE),
        ),
        (good.clone().without(attr::SOCK_FD), blamed(attr::SOCK_FD)),
        (
            good.clone().without(attr::SOCK_FD).with(pidfd),
            blamed(attr::SOCK_FD),
        ),
        (
            good.clone().with(number(attr::PIDFD, target.as_raw_fd())),
            Expected::errno(&[libc::EBADF]).attribute(attr::PIDFD),
        ),
        (
            good.clone().with(number(attr::SOCK_FD, 999)),
            Expected::errno(&[libc::EBADF]).attribute(attr::SOCK_FD),
        ),
        (
            good.with(number(attr::SOCK_FD, me.as_raw_fd())),
            Expected::errno(&[libc::ENOTSOCK]).attribute(attr::SOCK_FD),
        ),
    ] {
        refused(&mut client, &request, &target, expected)?;
    }
    Ok(())
}

/// The cookie is that of the socket to amend: the one of the dump is another one.
fn cookie() -> Result<()> {
    let mut client = cr::client()?;
    let donor = good()?;
    let target = bound()?;
    let good = request(&donor, &target);
    let cookie = |cookie| RawAttr::uint(attr::COOKIE, cookie);
    let expected = Expected::errno(&[libc::ESTALE]).attribute(attr::COOKIE);
    let of_donor = donor.uint(attr::COOKIE).context("no cookie")?;
    for wrong in [of_donor, 0, u64::MAX] {
        let request = good.clone().with(cookie(wrong));
        refused(&mut client, &request, &target, expected)?;
    }
    client.amend_attrs(&good.with(cookie(socket::cookie(&target)?)).0)?;
    Ok(())
}

fn other_namespace() -> Result<()> {
    let good = good()?;
    let target = bound()?;
    let me = task::pidfd_open(std::process::id().cast_signed())?;
    let pidfd = RawAttr::u32(attr::PIDFD, me.as_raw_fd().cast_unsigned());
    namespace::new_network()?;
    let mut client = cr::client()?;
    let good = request(&good, &target);
    let expected = Expected::errno(&[libc::ENOENT]).attribute(attr::SOCK_FD);
    refused(&mut client, &good, &target, expected)?;
    refused(&mut client, &good.with(pidfd), &target, expected)
}

/// A socket of another kind, and a message about one.
fn other_kind() -> Result<()> {
    let mut client = cr::client()?;
    let good = good()?;
    for (family, kind, number) in [
        (libc::AF_INET, libc::SOCK_STREAM, attr::SOCK_TYPE),
        (libc::AF_INET6, libc::SOCK_DGRAM, attr::SOCK_FAMILY),
    ] {
        let target = UdpSocket::from(socket::socket(family, kind, 0)?);
        let expected = Expected::errno(&[libc::EOPNOTSUPP]);
        refused(&mut client, &request(&good, &target), &target, expected)
            .with_context(|| format!("attribute {number}"))?;
    }
    let target = bound()?;
    let good = request(&good, &target);
    let expected = Expected::errno(&[libc::ESTALE]);
    for (number, value) in [
        (attr::SOCK_FAMILY, libc::AF_INET6),
        (attr::SOCK_TYPE, libc::SOCK_STREAM),
        (attr::SOCK_PROTOCOL, libc::IPPROTO_TCP),
    ] {
        let bad = good
            .clone()
            .with(RawAttr::u32(number, value.cast_unsigned()));
        refused(&mut client, &bad, &target, expected.attribute(number))?;
    }
    Ok(())
}

/// A dump of a socket in each place, for one in any other place.
fn other_place() -> Result<()> {
    let mut client = cr::client()?;
    let mut tried = 0;
    for from in PLACES {
        let donor = socket::udp()?;
        (from.go)(&donor)?;
        let dump = cr::dump(&mut client, &donor)?.with(change());
        drop(donor);
        for to in ["unbound", "any_port", "addr_port", "connected_addr_port"] {
            let target = socket::udp()?;
            (crate::places::place(to).context("no such place")?.go)(&target)?;
            let now = cr::dump(&mut client, &target)?;
            let same_place = [2, 27, 28, 29, 30, 31]
                .iter()
                .all(|number| now.get(*number) == dump.get(*number));
            if same_place {
                continue;
            }
            let expected = Expected::errno(&[libc::ESTALE]).word("is another one");
            refused(&mut client, &request(&dump, &target), &target, expected)
                .with_context(|| format!("{} for {to}", from.name))?;
            tried += 1;
        }
    }
    ensure!(tried > 100, "only {tried} were refused");
    Ok(())
}

/// Each address by itself.
fn other_addresses() -> Result<()> {
    let mut client = cr::client()?;
    let target = bound()?;
    socket::connect(&target, PEER)?;
    let good = request(&cr::dump(&mut client, &target)?, &target).with(change());
    let addr = |number, addr: Ipv4Addr| RawAttr::new(number, addr.octets());
    let port = |number, port: u16| RawAttr::new(number, port.to_be_bytes());
    let expected = Expected::errno(&[libc::ESTALE]).word("is another one");
    for (bad, blamed) in [
        (addr(attr::LOCAL_ADDR, OTHER), attr::LOCAL_ADDR),
        (port(attr::LOCAL_PORT, PORT + 7), attr::LOCAL_PORT),
        (addr(attr::PEER_ADDR, OTHER), attr::PEER_ADDR),
        (port(attr::PEER_PORT, 1), attr::PEER_ADDR),
        (addr(attr::SOURCE_ADDR, OTHER), attr::SOURCE_ADDR),
    ] {
        let request = good.clone().with(bad);
        refused(&mut client, &request, &target, expected.attribute(blamed))?;
    }
    // Addresses without the state: nobody knows whether one that is left out is one.
    let request = good.clone().without(attr::SOCK_STATE);
    let invalid = Expected::errno(&[libc::EINVAL]).attribute(attr::SOCK_STATE);
    refused(&mut client, &request, &target, invalid)?;
    let mut nowhere = good;
    for number in [
        attr::BIND_LOCKS,
        attr::LOCAL_ADDR,
        attr::LOCAL_PORT,
        attr::PEER_ADDR,
        attr::PEER_PORT,
    ] {
        nowhere = nowhere.without(number);
    }
    let closed = nowhere.with(RawAttr::u32(attr::SOCK_STATE, 7));
    refused(&mut client, &closed, &target, expected)?;
    client.amend_attrs(&closed.without(attr::SOCK_STATE).0)?;
    ensure!(socket::name(&target)? == HERE, "it was moved");
    Ok(())
}

/// Values that no socket has, each in a message that is good otherwise. What is known only when it is
/// set, as the least size of a buffer, is reported; there is little of that.
fn bad_values() -> Result<()> {
    let mut client = cr::client()?;
    let good = good()?;
    let target = bound()?;
    let good = request(&good, &target);
    let mut reported = Vec::new();
    for (name, path, value, errno) in RANGES {
        let Some((number, nests)) = path.split_last() else {
            continue;
        };
        let name = format!("{name} {:#x}", value.0);
        let bad = good.clone().with_at(nests, number_of(*number, value));
        // Another kind is just another one.
        let errno = [*errno, &[libc::ESTALE]].concat();
        let before = observe(&target);
        match client.amend_attrs(&bad.0) {
            Ok(amended) => {
                let [failed] = amended.failed.as_slice() else {
                    anyhow::bail!("{name}: {:?}", amended.failed);
                };
                let found = failed.error.attribute.as_ref();
                ensure!(
                    found.is_some_and(|found| found.numbers() == *path)
                        && errno.contains(&failed.error.errno),
                    "{name}: {failed}"
                );
                reported.push(name);
            }
            Err(error) => {
                let paths = [*path];
                let expected = Expected::errno(&errno).paths(&paths);
                cr::refused(Err::<(), _>(error), expected).with_context(|| name.clone())?;
                same(&name, &before, &observe(&target))?;
            }
        }
    }
    let known_when_set = [
        "rcvbuf 0x1",
        "rcvbuf 0x7fffffff",
        "sndbuf 0x1",
        "sndbuf 0x7fffffff",
        "ip_ttl 0x0",
        "ip_local_port_range 0x10002",
        "ip_local_port_range 0xfffeffff",
    ];
    ensure!(
        reported == known_when_set,
        "reported, and not refused: {reported:?}"
    );
    Ok(())
}

/// Content that is wrong in another way.
fn bad_content() -> Result<()> {
    let mut client = cr::client()?;
    let good = good()?;
    let target = bound()?;
    let good = request(&good, &target);
    let owner =
        [(1, 1), (2, 0x7fff_fffe), (3, 0)].map(|(number, value)| RawAttr::u32(number, value));
    let nobody = RawAttr::nested(attr::OWNER, &owner);
    let invalid = Expected::errno(&[libc::EINVAL]);
    for (bad, expected) in [
        (
            RawAttr::new(attr::FILTER, [0; 7]),
            invalid.attribute(attr::FILTER),
        ),
        (
            RawAttr::new(attr::FILTER, []),
            invalid.attribute(attr::FILTER),
        ),
        (
            RawAttr::string(attr::BINDTODEVICE, c"nothing0"),
            Expected::errno(&[libc::ENODEV]).attribute(attr::BINDTODEVICE),
        ),
        (
            nobody,
            Expected::errno(&[libc::ESRCH]).attribute(attr::OWNER),
        ),
        // Locks of what the socket does not have are refused with the rest of its place.
        (
            RawAttr::u32(attr::SOCK_STATE, 1),
            invalid.attribute(attr::PEER_ADDR),
        ),
    ] {
        refused(&mut client, &good.clone().with(bad), &target, expected)?;
    }
    let mut twice = good;
    twice.0.push(change());
    refused(&mut client, &twice, &target, invalid.attribute(CHANGE.0))
}

/// What other requests have, and other parts of a transaction. What those have themselves:
/// `queues::ends`.
fn not_of_amend() -> Result<()> {
    let mut client = cr::client()?;
    let good = good()?;
    let target = bound()?;
    let good = request(&good, &target);
    let others = SOCKET.iter().filter(|row| row.role == Role::Other);
    let taken = [attr::PIDFD, attr::ALLOW_LOST];
    for row in others.filter(|row| !taken.contains(&row.number)) {
        let bad = good.clone().with(RawAttr::u32(row.number, 0));
        let errno = [libc::EINVAL, libc::EOPNOTSUPP, libc::ERANGE];
        let expected = Expected::errno(&errno).attribute(row.number);
        refused(&mut client, &bad, &target, expected).context(row.name)?;
    }
    Ok(())
}

/// Of several requests that are sent at once, only the last may amend.
fn not_the_last() -> Result<()> {
    let client = cr::client()?;
    let good = good()?;
    let target = bound()?;
    let good = request(&good, &target);
    let mut raw = RawNetlink::open(&client)?;
    raw.ask_for_words()?;
    let before = observe(&target);
    let fd = vec![RawAttr::u32(
        attr::SOCK_FD,
        target.as_raw_fd().cast_unsigned(),
    )];
    let answers = raw.send_together(AMEND, &[good.0, fd])?;
    let [Err(first), Ok(_)] = answers.as_slice() else {
        anyhow::bail!("{answers:?}");
    };
    ensure!(
        first.errno == libc::EBUSY && first.message.contains("only the last"),
        "{first:?}"
    );
    same("it was amended", &before, &observe(&target))
}
