// SPDX-License-Identifier: GPL-2.0

//! A `MSG_ZEROCOPY` send that is not complete: what will be told of it cannot be carried.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use inetcr::{Client, RawAttr, Selector, Target};
use libc::SOL_SOCKET;

use super::making::{SO_ZEROCOPY, send_zerocopy, until_complete, zerocopy};
use crate::cases::queue::comes_back;
use crate::cases::queue::traffic::{payload, peer};
use crate::cr::{self, Dump, Expected, QUEUE, attr};
use crate::places::{GROUP, PORT};
use crate::runner::{Test, skip};
use crate::sys::filter::{self, Instruction};
use crate::sys::{link, socket, storage};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("errqueue::zerocopy::on_its_way", on_its_way),
        Test::new("errqueue::zerocopy::beside_options", beside_options),
        Test::new("errqueue::zerocopy::beside_storage", beside_storage),
        Test::new("errqueue::zerocopy::switched_off", switched_off),
    ]
}

/// Fails unless DUMP and QUEUE refuse a socket by name.
fn refused(client: &mut Client, socket: &UdpSocket) -> Result<()> {
    let expected = Expected::errno(&[libc::EOPNOTSUPP]).word("MSG_ZEROCOPY");
    cr::dump_refused(client, socket, expected)?;
    let target = Target::from(Selector::Fd(socket.as_raw_fd()));
    let answer = client.raw_multipart(QUEUE, &target.to_attrs());
    cr::refused(answer, expected)?;
    Ok(())
}

const NEAR: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 2);

/// A device by which nothing gets on its way, as nobody answers who is looked for: what is sent is
/// kept until the device is gone.
fn add_dead_end() -> Result<()> {
    Ok(link::add_silent("dummy0", NEAR)?)
}

/// Sends there.
fn send_there(socket: &UdpSocket) -> Result<()> {
    send_zerocopy(socket, (FAR, 7003).into(), &payload(1, 1000))
}

/// Sends something that is kept on its way, sees that the socket is refused as long as it is there,
/// and that it is carried when all is complete.
fn kept(socket: UdpSocket) -> Result<()> {
    let mut client = cr::client()?;
    zerocopy(&socket, &peer()?, 2)?;
    for _ in 0..2 {
        add_dead_end()?;
        send_there(&socket)?;
        refused(&mut client, &socket)?;
        link::remove("dummy0")?;
        until_complete(&socket)?;
    }
    let (_copy, messages) = comes_back(socket)?;
    // From 0 to 3 altogether: what was copied and what was not is told apart.
    let told: Vec<_> = messages
        .iter()
        .map(|one| &one.control[0].2[8..16])
        .collect();
    let last = told.last().context("nothing is told")?;
    ensure!(last[4..] == 3_u32.to_ne_bytes(), "{told:02x?}");
    Ok(())
}

/// Data of BPF programs is charged to the socket as what is on its way is, and told from it.
fn beside_storage() -> Result<()> {
    const BPF_STORAGE: u32 = 1 << 2;
    let mut client = cr::client()?;
    let socket = bound()?;
    let _map = match storage::keep(&socket) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
            return skip("CONFIG_BPF_SYSCALL");
        }
        kept => kept?,
    };
    socket::set_int(&socket, SOL_SOCKET, SO_ZEROCOPY, 1)?;
    let fd = RawAttr::u32(attr::SOCK_FD, socket.as_raw_fd().cast_unsigned());
    let request = [fd, RawAttr::u32(attr::ALLOW_LOST, BPF_STORAGE)];

    let dump = client.raw(cr::DUMP, &request).map(Dump)?;
    ensure!(dump.u32(attr::LOST) == Some(BPF_STORAGE), "{dump:?}");
    add_dead_end()?;
    send_there(&socket)?;
    let expected = Expected::errno(&[libc::EOPNOTSUPP]).word("MSG_ZEROCOPY");
    cr::refused(client.raw(cr::DUMP, &request), expected)?;
    link::remove("dummy0")?;
    let start = Instant::now();
    while let Err(error) = client.raw(cr::DUMP, &request) {
        ensure!(start.elapsed() < Duration::from_secs(5), "{error}");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn bound() -> Result<UdpSocket> {
    let socket = socket::udp()?;
    socket::bind(&socket, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT))?;
    Ok(socket)
}

fn on_its_way() -> Result<()> {
    kept(bound()?)
}

/// Options take memory of the same kind.
fn beside_options() -> Result<()> {
    let socket = bound()?;
    filter::attach(
        &socket,
        libc::SO_ATTACH_FILTER,
        &[Instruction::taking(100), Instruction::taking(5)],
    )?;
    socket.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST)?;
    // IP_ADD_SOURCE_MEMBERSHIP: group, device, source.
    for last in 1..10 {
        let mreq = [[224, 1, 1, 1], [127, 0, 0, 1], [10, 0, 0, last]].concat();
        socket::set(&socket, libc::SOL_IP, 39, &mreq)?;
    }
    kept(socket)
}

/// The option is off again when the send is still on its way.
fn switched_off() -> Result<()> {
    let mut client = cr::client()?;
    let socket = bound()?;
    add_dead_end()?;
    socket::set_int(&socket, SOL_SOCKET, SO_ZEROCOPY, 1)?;
    send_there(&socket)?;
    socket::set_int(&socket, SOL_SOCKET, SO_ZEROCOPY, 0)?;
    refused(&mut client, &socket)?;
    link::remove("dummy0")?;
    until_complete(&socket)
}
