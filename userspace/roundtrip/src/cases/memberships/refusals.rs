// SPDX-License-Identifier: GPL-2.0

//! Memberships that cannot be dumped, or restored.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use inetcr::{Client, RawAttr};

use super::table::{TEN, TWENTY};
use super::{NOBODY, dummy, group, socket_in};
use crate::cr::{self, Dump, Expected, attr, attr::membership};
use crate::groups::{By, Member, SOURCES, member};
use crate::rawnl::{RawNetlink, netlink_socket};
use crate::runner::Test;
use crate::sys::{link, multicast, socket};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("memberships::refusals::device_gone", device_gone),
        Test::new("memberships::refusals::unknown_device", unknown_device),
        Test::new(
            "memberships::refusals::device_is_missing",
            device_is_missing,
        ),
        Test::new("memberships::refusals::no_group", no_group),
        Test::new("memberships::refusals::incomplete", incomplete),
        Test::new("memberships::refusals::same_group", same_group),
        Test::new("memberships::refusals::too_many_groups", too_many_groups),
        Test::new("memberships::refusals::most_groups", most_groups).slow(),
        Test::new("memberships::refusals::long_message", long_message),
        Test::new("memberships::refusals::too_many_sources", too_many_sources),
        Test::new("memberships::refusals::limits_here", limits_here),
        Test::new("memberships::refusals::one_of_many", one_of_many),
    ]
}

/// A dump of a socket in one group, to spoil it.
fn good(client: &mut Client) -> Result<Dump> {
    let original = socket_in(&[member(group(1)).without(SOURCES)])?;
    cr::dump(client, &original)
}

/// A dump with these memberships instead.
fn with(dump: &Dump, members: &[Member]) -> Dump {
    let nests = members.iter().map(Member::attribute).collect();
    dump.clone().with_all(attr::MEMBERSHIP, nests)
}

/// Fails unless a restore is refused and left no membership behind.
fn refused(client: &mut Client, dump: &Dump, expected: Expected<'_>) -> Result<()> {
    let before = multicast::joined();
    cr::restore_refused(client, dump, expected)?;
    let after = multicast::joined();
    ensure!(after == before, "{before:?} joined before, {after:?} after");
    Ok(())
}

/// No name is left that could be dumped.
fn device_gone() -> Result<()> {
    dummy()?;
    let original = socket_in(&[member(group(1)), member(group(1)).on("dummy0", By::Index)])?;
    let gone = multicast::Device::of("dummy0")?;
    link::remove("dummy0")?;
    let mut client = cr::client()?;
    let expected = Expected::errno(&[libc::EOPNOTSUPP]);
    let word = "a multicast membership names a device that is gone";
    cr::dump_refused(&mut client, &original, expected.word(word))?;
    // Who leaves it can be dumped again.
    multicast::leave(&original, group(1), gone)?;
    let copy = cr::round_trip(&mut client, original)?;
    multicast::leave(&copy, group(1), multicast::LOOPBACK)?;
    Ok(())
}

fn unknown_device() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    for name in [c"nothing0", c""] {
        let name = RawAttr::string(membership::IFNAME, name);
        let bad = dump.clone().with_at(&[attr::MEMBERSHIP], name);
        let paths = [&[attr::MEMBERSHIP, membership::IFNAME][..]];
        refused(
            &mut client,
            &bad,
            Expected::errno(&[libc::ENODEV]).paths(&paths),
        )?;
    }
    Ok(())
}

/// The device of the original is not here any more; neither dump nor restore keeps it.
fn device_is_missing() -> Result<()> {
    dummy()?;
    let mut client = cr::client()?;
    let original = socket_in(&[member(group(1)).on("dummy0", By::Index)])?;
    let dump = cr::dump(&mut client, &original)?;
    drop(original);
    drop(cr::restore(&mut client, &dump)?);
    link::remove("dummy0")?;
    let paths = [&[attr::MEMBERSHIP, membership::IFNAME][..]];
    refused(
        &mut client,
        &dump,
        Expected::errno(&[libc::ENODEV]).paths(&paths),
    )
}

fn no_group() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    for address in [
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::BROADCAST,
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::new(223, 255, 255, 255),
        Ipv4Addr::new(240, 0, 0, 0),
    ] {
        let bad = with(&dump, &[member(address)]);
        let paths = [&[attr::MEMBERSHIP, membership::GROUP][..]];
        let expected = Expected::errno(&[libc::EINVAL]).paths(&paths);
        refused(&mut client, &bad, expected).with_context(|| address.to_string())?;
    }
    Ok(())
}

/// What no membership can be without is named; the others can be left out.
fn incomplete() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    let needed = [membership::GROUP, membership::IFNAME, membership::EXCLUDE];
    for number in needed {
        let path = [attr::MEMBERSHIP, number];
        let bad = dump.clone().without_at(&path);
        let paths = [path.as_slice()];
        let expected = Expected::errno(&[libc::EINVAL]).paths(&paths);
        refused(&mut client, &bad, expected).with_context(|| format!("without {number}"))?;
    }
    let empty = RawAttr::nested(attr::MEMBERSHIP, &[]);
    let expected = Expected::errno(&[libc::EINVAL]).attribute(attr::MEMBERSHIP);
    refused(&mut client, &dump.clone().with(empty), expected).context("an empty one")?;
    for number in [membership::ADDRESS, membership::SOURCE] {
        let good = dump.clone().without_at(&[attr::MEMBERSHIP, number]);
        let copy = cr::restore(&mut client, &good)?;
        cr::same_dump(&good, &cr::dump(&mut client, &copy)?)?;
    }
    Ok(())
}

/// A group that is joined twice on a device, by whatever address.
fn same_group() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    for second in [
        By::Address(Ipv4Addr::LOCALHOST),
        By::Index,
        By::IndexAnd(NOBODY),
    ] {
        let bad = with(&dump, &[member(group(1)), member(group(1)).by(second)]);
        let expected = Expected::errno(&[libc::EADDRINUSE]).attribute(attr::MEMBERSHIP);
        refused(&mut client, &bad, expected.word("IP_ADD_MEMBERSHIP"))?;
    }
    Ok(())
}

fn too_many_groups() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    let bad = with(&dump, &[TWENTY, &[member(group(200))]].concat());
    let expected = Expected::errno(&[libc::ENOBUFS]).attribute(attr::MEMBERSHIP);
    for word in ["IP_ADD_MEMBERSHIP", "igmp_max_memberships"] {
        refused(&mut client, &bad, expected.word(word))?;
    }
    Ok(())
}

/// The most memberships that are carried.
const MOST: u32 = 4096;

/// A membership of one of very many groups.
fn one_of_very_many(nth: u32) -> Member {
    member(Ipv4Addr::from_bits(0xe800_0000 + nth))
}

/// No more are carried than a restore can look at in a moment, however many a socket may have here.
fn most_groups() -> Result<()> {
    std::fs::write("/proc/sys/net/ipv4/igmp_max_memberships", "5000")?;
    std::fs::write("/proc/sys/net/core/optmem_max", "1000000")?;
    let all: Vec<Member> = (0..=MOST).map(one_of_very_many).collect();
    let (one_more, most) = all.split_last().context("none")?;
    let mut client = cr::client()?;

    let original = socket_in(most)?;
    let dump = cr::dump(&mut client, &original)?;
    one_more.join(&original)?;
    let expected = Expected::errno(&[libc::E2BIG]);
    cr::dump_refused(&mut client, &original, expected.word("4096"))?;
    drop(original);

    let bad = with(&dump, &all);
    refused(&mut client, &bad, expected.attribute(attr::MEMBERSHIP))?;
    let copy = cr::restore(&mut client, &dump)?;
    cr::same_dump(&dump, &cr::dump(&mut client, &copy)?)
}

/// A request can be much longer than the usual buffer of who sends it, by `SO_SNDBUF`.
fn long_message() -> Result<()> {
    let mut client = cr::client()?;
    let dump = with(&good(&mut client)?, &[]);
    let many = (0..70_000).map(|nth| one_of_very_many(nth).attribute());
    let request: Vec<RawAttr> = dump.0.into_iter().chain(many).collect();

    let fd = netlink_socket()?;
    socket::set_int(&fd, libc::SOL_SOCKET, libc::SO_SNDBUF, 2 << 20)?;
    // The request is not sent back.
    socket::set_int(&fd, libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, 1)?;
    let mut raw = RawNetlink::new(&client, fd)?;
    raw.send(cr::RESTORE, &RawAttr::encode_all(&request))?;
    let refusal = raw.answer().err().context("restored")?;
    let errno = refusal
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::raw_os_error);
    ensure!(errno == Some(libc::E2BIG), "{refusal:#}");
    Ok(())
}

fn too_many_sources() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    for exclude in [true, false] {
        let ten = Member {
            exclude,
            ..member(group(1)).without(TEN)
        };
        let one_more = RawAttr::new(membership::SOURCE, [192, 0, 2, 200]);
        let bad = with(&dump, &[ten]).adding_at(&[attr::MEMBERSHIP], one_more);
        let expected = Expected::errno(&[libc::ENOBUFS]).attribute(attr::MEMBERSHIP);
        for word in ["MCAST_MSFILTER", "igmp_max_msf"] {
            refused(&mut client, &bad, expected.word(word))?;
        }
    }
    Ok(())
}

/// What the original was allowed to have is too much where the limits are others. The refusal says
/// which one it is.
fn limits_here() -> Result<()> {
    let mut client = cr::client()?;
    let original = socket_in(&[member(group(1)).without(SOURCES), member(group(2))])?;
    let dump = cr::dump(&mut client, &original)?;
    drop(original);
    let expected = Expected::errno(&[libc::ENOBUFS]).attribute(attr::MEMBERSHIP);
    for (name, limit) in [("igmp_max_memberships", "1"), ("igmp_max_msf", "2")] {
        let path = format!("/proc/sys/net/ipv4/{name}");
        let old = std::fs::read_to_string(&path)?;
        std::fs::write(&path, limit)?;
        refused(&mut client, &dump, expected.word(name)).context(name)?;
        std::fs::write(&path, old.trim())?;
    }
    drop(cr::restore(&mut client, &dump)?);
    Ok(())
}

/// All or nothing: the others are not joined if one of them cannot be.
fn one_of_many() -> Result<()> {
    let mut client = cr::client()?;
    let dump = good(&mut client)?;
    let unknown = member(group(2)).on("nothing0", By::Index);
    for members in [
        [unknown, member(group(1)), member(group(3))],
        [member(group(1)), unknown, member(group(3))],
        [member(group(1)), member(group(3)), unknown],
    ] {
        let paths = [&[attr::MEMBERSHIP, membership::IFNAME][..]];
        let expected = Expected::errno(&[libc::ENODEV]).paths(&paths);
        refused(&mut client, &with(&dump, &members), expected)?;
    }
    Ok(())
}
