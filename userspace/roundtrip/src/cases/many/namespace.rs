// SPDX-License-Identifier: GPL-2.0

//! The bound sockets of a network namespace.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};

use anyhow::{Context, Result, ensure};
use inetcr::{Client, Record, Scope};

use super::{
    all_dumped, at, bound, dump_many, inode, inodes_of_table, is_dumped, on, on_one_port, one_each,
    with_inode,
};
use crate::cr::{self, Dump, Expected, attr};
use crate::observe::{observe, same};
use crate::places::{OTHER, PLACES};
use crate::runner::{Test, skip};
use crate::sys::{link, namespace, socket, task};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("many::namespace::in_every_place", in_every_place),
        Test::new("many::namespace::no_others", no_others),
        Test::new("many::namespace::none_of_the_kernel", none_of_the_kernel),
        Test::new("many::namespace::shared_port", shared_port),
        Test::new("many::namespace::one_port", one_port).slow(),
        Test::new("many::namespace::many_ports", many_ports).slow(),
        Test::new("many::namespace::each_has_its_own", each_has_its_own),
        Test::new("many::namespace::table_of_its_own", table_of_its_own),
        Test::new("many::namespace::by_the_library", by_the_library),
    ]
}

/// The messages about all of them, which are those that the table has.
fn all(client: &mut Client) -> Result<Vec<Dump>> {
    let records = dump_many(client, &[])?;
    let inodes = records.iter().map(inode);
    let mut inodes = inodes.collect::<Result<Vec<_>>>()?;
    inodes.sort_unstable();
    let expected = inodes_of_table()?;
    ensure!(inodes == expected, "{inodes:?}, but bound are {expected:?}");
    for record in &records {
        ensure!(record.get(attr::SOCK_FD).is_none(), "has a descriptor");
    }
    Ok(records)
}

/// Wherever a socket can be, it is there if it has a port; looking does not change it.
fn in_every_place() -> Result<()> {
    let mut client = cr::client()?;
    for place in PLACES {
        let socket = socket::udp()?;
        (place.go)(&socket).context(place.name)?;
        let before = observe(&socket);
        let records = all(&mut client).context(place.name)?;
        same(place.name, &before, &observe(&socket))?;
        let is_bound = socket::name(&socket)?.port() != 0;
        let sockets = is_bound.then_some(socket);
        all_dumped(&mut client, &records, &sockets).context(place.name)?;
    }
    Ok(())
}

/// Neither those without a port nor those of another kind, on the same port or not.
fn no_others() -> Result<()> {
    let mut client = cr::client()?;
    fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647")?;
    let unbound = socket::udp()?;
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 7000))?;
    let ping = socket::socket(libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP)?;
    socket::bind(&ping, "127.0.0.1:7000".parse()?)?;
    let raw = socket::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_UDP)?;
    socket::bind(&raw, "127.0.0.1:0".parse()?)?;
    // They share the table. One that is for both families has the port for itself.
    let of_ipv6 = [
        UdpSocket::bind("[::1]:7000")?,
        UdpSocket::bind("[::]:7001")?,
    ];
    ensure!(all(&mut client)?.is_empty(), "somebody is there");
    let sockets = [bound(7000)?, bound(7002)?];
    let records = all(&mut client)?;
    all_dumped(&mut client, &records, &sockets)?;
    drop((unbound, tcp, ping, raw, of_ipv6));
    Ok(())
}

/// A socket of the kernel, on the port of a tunnel, is left out, and is refused by itself.
fn none_of_the_kernel() -> Result<()> {
    const TUNNEL: u16 = 4789;
    let mut client = cr::client()?;
    match link::add_vxlan("vxlan0", TUNNEL) {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            return skip("CONFIG_VXLAN");
        }
        other => other.context("making a tunnel")?,
    }
    link::up("vxlan0")?;
    let of_kernel = inodes_of_table()?;
    ensure!(of_kernel.len() == 1, "the kernel has {of_kernel:?}");
    let sockets = [bound(7000)?, bound(7002)?];
    let records = dump_many(&mut client, &[])?;
    all_dumped(&mut client, &records, &sockets)?;
    for selection in [on(TUNNEL), with_inode(of_kernel[0])] {
        let found = dump_many(&mut client, &[selection])?;
        ensure!(found.is_empty(), "{found:?}");
    }
    let by_itself = cr::dump_by(&mut client, inetcr::Selector::Inode(of_kernel[0]).into());
    cr::refused(by_itself, Expected::errno(&[libc::ENOENT]))?;
    // When the tunnel is gone, its port is to be had.
    link::remove("vxlan0")?;
    let successor = at(Ipv4Addr::UNSPECIFIED, TUNNEL)?;
    let records = dump_many(&mut client, &[on(TUNNEL)])?;
    all_dumped(&mut client, &records, &[successor])
}

/// Sockets that have one port and one address, by either option.
fn shared_port() -> Result<()> {
    let mut client = cr::client()?;
    let mut sockets = Vec::new();
    for (option, port) in [(libc::SO_REUSEPORT, 7000), (libc::SO_REUSEADDR, 7001)] {
        for _ in 0..40 {
            let socket = socket::udp()?;
            socket::set_int(&socket, libc::SOL_SOCKET, option, 1)?;
            socket::bind(&socket, SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
            sockets.push(socket);
        }
    }
    // A peer moves one to another place among those of the port.
    socket::connect(&sockets[20], "127.0.0.1:9".parse()?)?;
    let records = all(&mut client)?;
    all_dumped(&mut client, &records, &sockets)
}

const MANY: u32 = 3000;

/// Room for the descriptors.
fn room_for_many() -> Result<()> {
    Ok(task::limit_files(u64::from(MANY) + 200)?)
}

/// Each is there once; some of them are compared.
fn each_once(sockets: &[UdpSocket]) -> Result<Vec<Dump>> {
    let mut client = cr::client()?;
    let records = all(&mut client)?;
    let found = one_each(&records, sockets)?;
    for (record, socket) in found.iter().zip(sockets).step_by(101) {
        is_dumped(&mut client, record, socket)?;
    }
    Ok(records)
}

/// Their order is that of their cookies, by which the place of a dump is found again.
fn one_port() -> Result<()> {
    room_for_many()?;
    let sockets = on_one_port(MANY)?;
    let records = each_once(&sockets)?;
    let cookies: Vec<_> = records.iter().map(|one| one.uint(attr::COOKIE)).collect();
    ensure!(cookies.is_sorted(), "the order is another one");
    Ok(())
}

fn many_ports() -> Result<()> {
    room_for_many()?;
    let ports = (10_000..).take(MANY as usize);
    let sockets: Vec<_> = ports.map(bound).collect::<Result<_>>()?;
    each_once(&sockets)?;
    Ok(())
}

/// It is the namespace of the netlink socket that counts, not the one that the caller is in.
fn each_has_its_own() -> Result<()> {
    let here = [bound(7000)?, bound(7001)?];
    let mut client = cr::client()?;
    namespace::new_network()?;
    let there = [bound(7000)?, at(OTHER, 7000)?, bound(7002)?];
    let mut other = cr::client()?;
    let records = dump_many(&mut client, &[])?;
    all_dumped(&mut client, &records, &here)?;
    let records = dump_many(&mut other, &[])?;
    all_dumped(&mut other, &records, &there)
}

/// A namespace can have a table of its own, with another number of slots.
fn table_of_its_own() -> Result<()> {
    let setting = "/proc/sys/net/ipv4/udp_child_hash_entries";
    if !fs::exists(setting)? {
        return skip("net.ipv4.udp_child_hash_entries");
    }
    fs::write(setting, "128")?;
    let mut client = cr::client()?;
    let ports = || (7000..7300).map(bound).collect::<Result<Vec<_>>>();
    let here = ports()?;
    namespace::new_network()?;
    // Negative if it is the table of all.
    let slots = fs::read_to_string("/proc/sys/net/ipv4/udp_hash_entries")?;
    let slots: i32 = slots.trim().parse()?;
    ensure!(slots > 0, "the namespace has no table of its own: {slots}");
    let there = ports()?;
    // More in one slot.
    let on_one_port = on_one_port(100)?;
    let records = dump_many(&mut cr::client()?, &[])?;
    one_each(&records, there.iter().chain(&on_one_port))?;
    one_each(&dump_many(&mut client, &[])?, &here)?;
    Ok(())
}

/// The library says of each what it says of one by itself.
fn by_the_library() -> Result<()> {
    let mut client = cr::client()?;
    let sockets = [bound(7000)?, bound(7001)?, bound(7002)?];
    let records = client.dump_many(Scope::Namespace)?;
    ensure!(records.len() == sockets.len(), "{records:?}");
    for socket in &sockets {
        let state = client.dump(inetcr::Selector::Inode(socket::inode(socket)?))?;
        ensure!(records.contains(&Record::Dumped(state)), "{records:?}");
    }
    Ok(())
}
