// SPDX-License-Identifier: GPL-2.0

//! Many sockets in one answer: each of them once, as a dump of it alone has it, or with the reason
//! why there is none.

mod faults;
mod filters;
mod namespace;
pub mod others;
mod privileges;
mod process;
mod reading;
mod refused;
mod requests;
mod restored;
mod room;
mod traffic;

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, bail, ensure};
use inetcr::{Client, Error, RawAttr, Selector};

use crate::cr::{self, DUMP, Dump, attr};
use crate::runner::Test;
use crate::sys::{errno_name, socket, task};

pub fn tests() -> Vec<Test> {
    [
        namespace::tests(),
        filters::tests(),
        process::tests(),
        refused::tests(),
        requests::tests(),
        reading::tests(),
        room::tests(),
        traffic::tests(),
        others::tests(),
        privileges::tests(),
        restored::tests(),
        faults::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The messages about many sockets.
fn dump_many(client: &mut Client, selection: &[RawAttr]) -> Result<Vec<Dump>, Error> {
    let messages = client.raw_multipart(DUMP, selection)?;
    Ok(messages.into_iter().map(Dump).collect())
}

/// Selects the sockets of a process.
fn of(pidfd: &impl AsRawFd) -> RawAttr {
    RawAttr::u32(attr::PIDFD, pidfd.as_raw_fd().cast_unsigned())
}

/// Selects the sockets on a port.
fn on(port: u16) -> RawAttr {
    RawAttr::be16(attr::LOCAL_PORT, port)
}

/// Selects a socket by its inode number.
fn with_inode(inode: u64) -> RawAttr {
    RawAttr::uint(attr::FILTER_INODE, inode)
}

/// A pidfd of this process.
fn me() -> Result<OwnedFd> {
    Ok(task::pidfd_open(std::process::id().cast_signed())?)
}

/// The same without those of netlink, which a process needs to ask for its own.
fn without_netlink(mut records: Vec<Dump>) -> Vec<Dump> {
    let netlink = Some(libc::AF_NETLINK.cast_unsigned());
    records.retain(|record| record.u32(attr::SOCK_FAMILY) != netlink);
    records
}

/// A socket on a port of this machine.
fn bound(port: u16) -> Result<UdpSocket> {
    at(Ipv4Addr::LOCALHOST, port)
}

/// A socket somewhere.
fn at(address: Ipv4Addr, port: u16) -> Result<UdpSocket> {
    let socket = socket::udp()?;
    let address = SocketAddrV4::new(address, port);
    socket::bind(&socket, address).with_context(|| address.to_string())?;
    Ok(socket)
}

/// So many sockets on one port, each at another address.
fn on_one_port(count: u32) -> Result<Vec<UdpSocket>> {
    (0..count).map(|n| at(nth_address(n), 7000)).collect()
}

/// One of the many addresses of the loopback device.
fn nth_address(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 1).to_bits() + n)
}

/// The inode numbers of all bound IPv4 UDP sockets of the network namespace, in their order, as
/// `/proc/net/udp` has them.
fn inodes_of_table() -> Result<Vec<u64>> {
    let table = fs::read_to_string("/proc/thread-self/net/udp")?;
    let rows = table.lines().skip(1);
    let inode = |row: &str| -> Result<u64> {
        let inode = row.split_whitespace().nth(9).context("a short row")?;
        Ok(inode.parse()?)
    };
    let mut inodes = rows.map(inode).collect::<Result<Vec<_>>>()?;
    inodes.sort_unstable();
    Ok(inodes)
}

/// The descriptors of sockets of a process, in their order, with the inode numbers, as
/// `/proc/PID/fd` has them.
fn descriptors_of(pid: &str) -> Result<Vec<(u32, u64)>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        // What was used to read the folder is gone.
        let Ok(link) = fs::read_link(entry.path()) else {
            continue;
        };
        let link = link.to_string_lossy();
        let inode = link.strip_prefix("socket:[");
        if let Some(inode) = inode.and_then(|rest| rest.strip_suffix(']')) {
            let fd = entry.file_name().to_string_lossy().parse()?;
            found.insert(fd, inode.parse()?);
        }
    }
    Ok(found.into_iter().collect())
}

/// The descriptors with the inode numbers that are in messages.
fn descriptors_in(records: &[Dump]) -> Result<Vec<(u32, u64)>> {
    let both = |record: &Dump| {
        let fd = record.u32(attr::SOCK_FD).context("no descriptor")?;
        Ok((fd, inode(record)?))
    };
    records.iter().map(both).collect()
}

fn inode(record: &Dump) -> Result<u64> {
    record.uint(attr::INODE).context("no inode number")
}

/// Error number and words of a message without a state.
fn report(record: &Dump) -> Option<(i32, String)> {
    let errno = record.u32_at(&[attr::REPORT, attr::report::ERRNO])?;
    let words = record.at(&[attr::REPORT, attr::report::MSG]);
    let words = String::from_utf8_lossy(&words.unwrap_or_default()).into_owned();
    Some((errno.cast_signed(), words.trim_end_matches('\0').to_owned()))
}

/// Fails unless a message is all that a dump of the socket, which this process has open, has.
fn is_dumped(client: &mut Client, record: &Dump, socket: &impl AsRawFd) -> Result<()> {
    ensure!(report(record).is_none(), "refused: {:?}", report(record));
    cr::check_identity(record, socket)?;
    cr::same_dump(record, &cr::dump(client, socket)?)
}

/// Fails unless a message tells what a dump of the socket is refused for, and nothing of its state.
fn is_refused(client: &mut Client, record: &Dump, socket: &impl AsRawFd) -> Result<()> {
    let error = match cr::dump_by(client, Selector::Fd(socket.as_raw_fd()).into()) {
        Ok(_) => bail!("not refused by itself"),
        Err(Error::Kernel(error)) => error,
        Err(other) => return Err(other.into()),
    };
    let (errno, words) = report(record).context("no report")?;
    ensure!(
        errno == error.errno && Some(&words) == error.message.as_ref() && !words.is_empty(),
        "refused with {} ({words}), by itself with {error}",
        errno_name(errno)
    );
    tells_who_it_is(record, socket)
}

/// Fails unless a message tells which socket it is about, why there is no more, and no more.
fn tells_who_it_is(record: &Dump, socket: &impl AsRawFd) -> Result<()> {
    let mut numbers: Vec<_> = record.0.iter().map(RawAttr::number).collect();
    numbers.retain(|number| *number != attr::SOCK_FD);
    numbers.sort_unstable();
    let expected = [
        attr::INODE,
        attr::SOCK_TYPE,
        attr::COOKIE,
        attr::SOCK_FAMILY,
        attr::SOCK_PROTOCOL,
        attr::REPORT,
    ];
    ensure!(numbers == expected, "attributes {numbers:?}");
    cr::check_identity(&record.clone().without(attr::REPORT), socket)
}

/// Fails unless there is one message for each of the sockets, and no other. Gives those in the
/// order of the sockets.
fn one_each<'r, 's, S: AsRawFd + 's>(
    records: &'r [Dump],
    sockets: impl IntoIterator<Item = &'s S>,
) -> Result<Vec<&'r Dump>> {
    let mut by_inode = BTreeMap::new();
    for record in records {
        let inode = inode(record)?;
        let earlier = by_inode.insert(inode, record);
        ensure!(earlier.is_none(), "socket {inode} is there twice");
    }
    let mut found = Vec::new();
    for (place, socket) in sockets.into_iter().enumerate() {
        let record = by_inode.remove(&socket::inode(socket)?);
        found.push(record.with_context(|| format!("socket {place} is not there"))?);
    }
    ensure!(by_inode.is_empty(), "others are there: {by_inode:?}");
    Ok(found)
}

/// The same, and fails unless all of them are dumped.
fn all_dumped<'s, S: AsRawFd + 's>(
    client: &mut Client,
    records: &[Dump],
    sockets: impl IntoIterator<Item = &'s S> + Clone,
) -> Result<()> {
    let found = one_each(records, sockets.clone())?;
    for (record, socket) in found.into_iter().zip(sockets) {
        is_dumped(client, record, socket)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(socket: &UdpSocket) -> Dump {
        let get = |option| socket::get_int(socket, libc::SOL_SOCKET, option).unwrap();
        Dump(vec![
            RawAttr::uint(attr::INODE, socket::inode(socket).unwrap()),
            RawAttr::u32(attr::SOCK_TYPE, get(libc::SO_TYPE).cast_unsigned()),
            RawAttr::uint(attr::COOKIE, socket::cookie(socket).unwrap()),
            RawAttr::u32(attr::SOCK_FAMILY, get(libc::SO_DOMAIN).cast_unsigned()),
            RawAttr::u32(attr::SOCK_PROTOCOL, get(libc::SO_PROTOCOL).cast_unsigned()),
        ])
    }

    #[test]
    fn one_that_is_missing_or_twice_or_another_is_seen() {
        let sockets = [0; 3].map(|_| socket::udp().unwrap());
        let [first, second, third] = [0, 1, 2].map(|at| message(&sockets[at]));
        let check = |records: &[&Dump]| -> String {
            let records: Vec<_> = records.iter().map(|one| (*one).clone()).collect();
            let result = one_each(&records, &sockets[..2]).map(|found| found.len());
            result.map_or_else(|error| error.to_string(), |count| count.to_string())
        };
        assert_eq!(check(&[&second, &first]), "2");
        assert_eq!(check(&[&first]), "socket 1 is not there");
        assert!(check(&[&first, &second, &first]).ends_with("is there twice"));
        assert!(check(&[&first, &second, &third]).starts_with("others are there"));
    }

    #[test]
    fn a_refusal_tells_who_it_is_and_nothing_more() {
        let socket = socket::udp().unwrap();
        let words = RawAttr::string(attr::report::MSG, c"why");
        let inside = [RawAttr::u32(attr::report::ERRNO, 95), words];
        let told = message(&socket).with(RawAttr::nested(attr::REPORT, &inside));
        assert_eq!(report(&told), Some((95, "why".into())));
        assert_eq!(report(&message(&socket)), None);
        tells_who_it_is(&told, &socket).unwrap();
        let more = told.clone().with(RawAttr::u32(attr::SOCK_STATE, 7));
        assert!(tells_who_it_is(&more, &socket).is_err());
        for number in [attr::COOKIE, attr::SOCK_PROTOCOL] {
            assert!(tells_who_it_is(&told.clone().without(number), &socket).is_err());
        }
        let other = socket::udp().unwrap();
        assert!(tells_who_it_is(&told, &other).is_err());
    }

    /// What the answers are compared with.
    #[test]
    fn proc_knows_the_sockets() {
        let socket = at(Ipv4Addr::LOCALHOST, 0).unwrap();
        let inode = socket::inode(&socket).unwrap();
        assert!(inodes_of_table().unwrap().contains(&inode));
        let fd = socket.as_raw_fd().cast_unsigned();
        let mine = descriptors_of("self").unwrap();
        assert!(mine.contains(&(fd, inode)) && mine.is_sorted());
        drop(socket);
        assert!(!inodes_of_table().unwrap().contains(&inode));
    }
}
