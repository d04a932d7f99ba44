// SPDX-License-Identifier: GPL-2.0

//! What is no map, and what is not there.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use anyhow::{Context, Result, ensure};
use inetcr::RawAttr;
use libc::{SOL_IP, SOL_SOCKET};

use super::{ADDR, DEVICE, NEW, OLD, TO_ADDR, TO_DEVICE, address, device, mapped, name};
use crate::cr::{self, Expected, attr};
use crate::groups::{By, member};
use crate::places::{GROUP, PORT};
use crate::runner::Test;
use crate::sys::{link, socket, task};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("maps::refusals::no_map", no_map),
        Test::new("maps::refusals::repeated", repeated),
        Test::new("maps::refusals::too_many", too_many),
        Test::new("maps::refusals::other_commands", other_commands),
        Test::new("maps::refusals::address_elsewhere", address_elsewhere),
        Test::new("maps::refusals::port_in_use", port_in_use),
        Test::new("maps::refusals::device_gone", device_gone),
        Test::new("maps::refusals::privileged_port", privileged_port),
    ]
}

const MAP: u16 = attr::MAP;

/// Attributes that are no map, what is to blame, and a word of the message.
fn wrong_maps() -> Vec<(Vec<RawAttr>, i32, &'static [u16], &'static str)> {
    const WHOLE: &str = "a map is a device and another one, or an address and another one";
    let addr = |number, addr: [u8; 4]| RawAttr::new(number, addr);
    let (here, there) = ([127, 0, 0, 1], [127, 0, 0, 2]);
    let incomplete = [
        vec![],
        vec![name(DEVICE, "lo")],
        vec![name(TO_DEVICE, "lo")],
        vec![addr(ADDR, here)],
        vec![addr(TO_ADDR, here)],
        vec![name(DEVICE, "a"), addr(TO_ADDR, here)],
        vec![addr(ADDR, here), name(TO_DEVICE, "lo")],
        vec![name(DEVICE, "a"), name(TO_DEVICE, "lo"), addr(ADDR, here)],
        vec![
            name(DEVICE, "a"),
            name(TO_DEVICE, "lo"),
            addr(ADDR, here),
            addr(TO_ADDR, there),
        ],
    ];
    let mut rows = Vec::new();
    for nest in incomplete {
        rows.push((nest, libc::EINVAL, &[MAP][..], WHOLE));
    }
    let einval = libc::EINVAL;
    rows.extend([
        (
            vec![name(DEVICE, ""), name(TO_DEVICE, "lo")],
            einval,
            &[MAP, DEVICE][..],
            "empty",
        ),
        (
            vec![name(DEVICE, "a"), name(TO_DEVICE, "")],
            libc::ENODEV,
            &[MAP, TO_DEVICE],
            "no device",
        ),
        (
            vec![name(DEVICE, "lo"), name(TO_DEVICE, "nobody0")],
            libc::ENODEV,
            &[MAP, TO_DEVICE],
            "no device has this name",
        ),
        (
            vec![name(DEVICE, "a"), name(DEVICE, "b"), name(TO_DEVICE, "lo")],
            einval,
            &[MAP, DEVICE],
            "repeated",
        ),
        (
            vec![addr(ADDR, here), addr(TO_ADDR, here), addr(TO_ADDR, there)],
            einval,
            &[MAP, TO_ADDR],
            "repeated",
        ),
    ]);
    for len in [0, 3, 5, 16] {
        let bytes = vec![1; len];
        rows.push((
            vec![RawAttr::new(ADDR, bytes.clone()), addr(TO_ADDR, here)],
            einval,
            &[MAP, ADDR],
            "4 bytes",
        ));
        rows.push((
            vec![addr(ADDR, there), RawAttr::new(TO_ADDR, bytes)],
            einval,
            &[MAP, TO_ADDR],
            "4 bytes",
        ));
    }
    for of_nobody in [[0; 4], [224, 0, 0, 9], [239, 255, 255, 255], [255; 4]] {
        rows.push((
            vec![addr(ADDR, of_nobody), addr(TO_ADDR, here)],
            einval,
            &[MAP, ADDR],
            "a host",
        ));
        rows.push((
            vec![addr(ADDR, here), addr(TO_ADDR, of_nobody)],
            einval,
            &[MAP, TO_ADDR],
            "a host",
        ));
    }
    rows
}

/// Each is refused, also behind one that is good, and used or not.
fn no_map() -> Result<()> {
    let mut client = cr::client()?;
    let original = UdpSocket::bind((Ipv4Addr::LOCALHOST, PORT))?;
    let dump = cr::dump(&mut client, &original)?;
    drop(original);
    let good = address(Ipv4Addr::new(10, 1, 1, 1), Ipv4Addr::new(10, 1, 1, 2));
    for (nest, errno, path, word) in wrong_maps() {
        let wrong = RawAttr::nested(MAP, &nest);
        let (errno, paths) = ([errno], [path]);
        let expected = Expected::errno(&errno).paths(&paths).word(word);
        for maps in [vec![wrong.clone()], vec![good.clone(), wrong.clone()]] {
            let dump = mapped(&dump, &maps);
            cr::restore_refused(&mut client, &dump, expected)
                .with_context(|| format!("{nest:02x?}"))?;
        }
    }
    // What generic netlink sees by itself.
    let long = name(DEVICE, "sixteencharacter");
    for (wrong, errno) in [
        (RawAttr::new(MAP, []), libc::EINVAL),
        (RawAttr::nested(MAP, &[RawAttr::u32(5, 1)]), libc::EINVAL),
        (
            RawAttr::nested(MAP, &[RawAttr::new(ADDR, [1; 17])]),
            libc::ERANGE,
        ),
        (
            RawAttr::nested(MAP, &[long, name(TO_DEVICE, "lo")]),
            libc::EINVAL,
        ),
        (
            RawAttr::nested(MAP, &[RawAttr::new(DEVICE, *b"lo")]),
            libc::EINVAL,
        ),
    ] {
        let dump = mapped(&dump, std::slice::from_ref(&wrong));
        cr::restore_refused(&mut client, &dump, Expected::errno(&[errno]))
            .with_context(|| format!("{wrong:02x?}"))?;
    }
    Ok(())
}

/// Two maps of one device or address, whatever they map it to.
fn repeated() -> Result<()> {
    let mut client = cr::client()?;
    let original = socket::udp()?;
    let dump = cr::dump(&mut client, &original)?;
    let at = |last| Ipv4Addr::new(10, 1, 1, last);
    for (maps, path) in [
        ([device("a", "lo"), device("a", "lo")], [MAP, DEVICE]),
        ([address(at(1), at(2)), address(at(1), at(3))], [MAP, ADDR]),
    ] {
        let paths = [path.as_slice()];
        let expected = Expected::errno(&[libc::EINVAL])
            .paths(&paths)
            .word("already");
        let dump = mapped(&dump, &maps);
        let error = cr::refused(cr::restore(&mut client, &dump), expected)?;
        // The second one is to blame: it is behind all else.
        let len = 20 + RawAttr::encode_all(&dump.0[..dump.0.len() - 1]).len();
        let offset = usize::try_from(error.offset.context("no offset")?)?;
        ensure!(
            offset > len,
            "byte {offset} is to blame, the second is at {len}"
        );
    }
    Ok(())
}

/// As many as there may be, and one more.
fn too_many() -> Result<()> {
    let mut client = cr::client()?;
    let original = UdpSocket::bind((Ipv4Addr::LOCALHOST, PORT))?;
    let dump = cr::dump(&mut client, &original)?;
    drop(original);
    let mut maps: Vec<_> = (0..63)
        .map(|last| address(Ipv4Addr::new(10, 1, 1, last), Ipv4Addr::new(10, 1, 2, 1)))
        .collect();
    maps.push(address(Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 9)));
    let copy = cr::restore(&mut client, &mapped(&dump, &maps))?;
    let there = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 9), PORT);
    ensure!(socket::name(&copy)? == there, "the last one does not count");
    drop(copy);
    maps.push(device("a", "lo"));
    let expected = Expected::errno(&[libc::E2BIG]).attribute(MAP);
    cr::restore_refused(&mut client, &mapped(&dump, &maps), expected)
}

/// No other command has maps.
fn other_commands() -> Result<()> {
    let mut client = cr::client()?;
    let map = device("a", "lo");
    for command in [cr::DUMP, cr::QUEUE] {
        let attrs = [RawAttr::u32(attr::SOCK_FD, 0), map.clone()];
        let result = client.raw_multipart(command, &attrs);
        cr::refused(result, Expected::errno(&[libc::EINVAL]))?;
    }
    let attrs = [RawAttr::u32(attr::SOCK_FD, 0), map];
    cr::refused(
        client.raw(cr::DUMP, &attrs),
        Expected::errno(&[libc::EINVAL]),
    )?;
    Ok(())
}

/// An address that no device here has, dumped or in the place of the dumped one.
fn address_elsewhere() -> Result<()> {
    let mut client = cr::client()?;
    OLD.add()?;
    let original = UdpSocket::bind((OLD.addr, PORT))?;
    let dump = cr::dump(&mut client, &original)?;
    drop(original);
    let expected = Expected::errno(&[libc::EADDRNOTAVAIL])
        .paths(&[&[attr::LOCAL_ADDR]])
        .word("local address");
    let elsewhere = mapped(&dump, &[address(OLD.addr, NEW.addr)]);
    cr::restore_refused(&mut client, &elsewhere, expected)?;
    link::remove(OLD.device)?;
    cr::restore_refused(&mut client, &dump, expected)
}

/// A port that somebody has at the new address.
fn port_in_use() -> Result<()> {
    let mut client = cr::client()?;
    let original = UdpSocket::bind((Ipv4Addr::LOCALHOST, PORT))?;
    let dump = cr::dump(&mut client, &original)?;
    let expected = Expected::errno(&[libc::EADDRINUSE])
        .paths(&[&[attr::LOCAL_PORT]])
        .word("another socket has the local port");
    cr::restore_refused(&mut client, &dump, expected)?;
    let other = Ipv4Addr::new(127, 0, 0, 9);
    let map = [address(Ipv4Addr::LOCALHOST, other)];
    drop(cr::restore(&mut client, &mapped(&dump, &map))?);
    let _other = UdpSocket::bind((other, PORT))?;
    cr::restore_refused(&mut client, &mapped(&dump, &map), expected)
}

/// Each attribute with a device that is not here says so.
fn device_gone() -> Result<()> {
    let mut client = cr::client()?;
    OLD.add()?;
    let index = link::index(OLD.device)?;
    let mut dumps = Vec::new();
    let mut dumped = |path, set: &dyn Fn(&UdpSocket) -> std::io::Result<()>| -> Result<()> {
        let socket = socket::udp()?;
        set(&socket)?;
        dumps.push((path, cr::dump(&mut client, &socket)?));
        Ok(())
    };
    dumped(&[attr::BINDTODEVICE][..], &|socket| {
        let name = OLD.device.as_bytes();
        socket::set(socket, SOL_SOCKET, libc::SO_BINDTODEVICE, name)
    })?;
    dumped(&[attr::IP, 9], &|socket| {
        let mreqn = [[0; 4], [0; 4], index.to_ne_bytes()].concat();
        socket::set(socket, SOL_IP, libc::IP_MULTICAST_IF, &mreqn)
    })?;
    dumped(&[attr::IP, 11], &|socket| {
        socket::set(socket, SOL_IP, libc::IP_UNICAST_IF, &index.to_be_bytes())
    })?;
    dumped(&[attr::MEMBERSHIP, attr::membership::IFNAME], &|socket| {
        member(GROUP).on(OLD.device, By::Index).join(socket)
    })?;
    link::remove(OLD.device)?;
    for (path, dump) in dumps {
        let paths = [path];
        let expected = Expected::errno(&[libc::ENODEV])
            .paths(&paths)
            .word("no device has this name");
        cr::restore_refused(&mut client, &dump, expected)?;
        drop(cr::restore(
            &mut client,
            &mapped(&dump, &[device(OLD.device, "lo")]),
        )?);
    }
    Ok(())
}

/// A low port without the right to it.
fn privileged_port() -> Result<()> {
    let mut client = cr::client()?;
    let original = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53))?;
    let dump = cr::dump(&mut client, &original)?;
    drop(original);
    task::drop_capabilities(&[task::CAP_NET_BIND_SERVICE])?;
    let expected = Expected::errno(&[libc::EACCES])
        .paths(&[&[attr::LOCAL_PORT]])
        .word("CAP_NET_BIND_SERVICE");
    let map = [address(Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 9))];
    for dump in [mapped(&dump, &map), dump] {
        cr::restore_refused(&mut client, &dump, expected)?;
    }
    Ok(())
}
