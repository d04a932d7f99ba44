// SPDX-License-Identifier: GPL-2.0

//! Devices that a socket sends by, for one that is bound to a device already: tools that restore
//! `SO_BINDTODEVICE` leave one like that.

use std::net::{Ipv4Addr, UdpSocket};

use anyhow::{Result, ensure};
use inetcr::{Error, Failure};

use super::{HERE, amend, amend_all, given};
use crate::cases::faults::give_group_program;
use crate::cr::{self, Dump, Expected, attr, same_dump};
use crate::observe::{observe, same};
use crate::runner::Test;
use crate::sys::{link, multicast, socket, task};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("amend::devices::the_same", || of_a_bound("lo", "lo")),
        Test::new("amend::devices::another", || of_a_bound("dummy0", "lo")),
        Test::new("amend::devices::bound_to_another", || {
            of_a_bound("dummy0", "dummy0")
        }),
        Test::new("amend::devices::stays_bound", stays_bound),
        Test::new("amend::devices::no_net_raw", no_net_raw),
        Test::new("amend::devices::grouped", grouped),
        Test::new("amend::devices::with_a_program", with_a_program),
        Test::new(
            "amend::devices::leaves_with_a_program",
            leaves_with_a_program,
        ),
        Test::new("amend::devices::no_address", no_address),
    ]
}

pub fn bind_to(socket: &UdpSocket, device: &str) -> Result<()> {
    let name = device.as_bytes();
    Ok(socket::set(
        socket,
        libc::SOL_SOCKET,
        libc::SO_BINDTODEVICE,
        name,
    )?)
}

/// A socket that sends by a device.
pub fn sending_by(device: &str) -> Result<UdpSocket> {
    let socket = socket::udp()?;
    let index = link::index(device)?;
    let any = Ipv4Addr::UNSPECIFIED;
    socket::set(
        &socket,
        libc::SOL_IP,
        libc::IP_UNICAST_IF,
        &index.to_be_bytes(),
    )?;
    socket::set(
        &socket,
        libc::SOL_IP,
        libc::IP_MULTICAST_IF,
        &multicast::mreqn(any, any, index),
    )?;
    Ok(socket)
}

/// The donor was bound after that, and the target is.
fn of_a_bound(sends_by: &str, bound_to: &str) -> Result<()> {
    link::add_dummy("dummy0")?;
    let donor = sending_by(sends_by)?;
    bind_to(&donor, bound_to)?;
    given(donor, || {
        let target = socket::udp()?;
        bind_to(&target, "lo")?;
        Ok(target)
    })?;
    Ok(())
}

/// What the options alone say of a socket that sends by the device.
fn options_of(device: &str) -> Result<Dump> {
    let dump = cr::dump(&mut cr::client()?, &sending_by(device)?)?;
    Ok(Dump(dump.all(attr::IP)))
}

fn stays_bound() -> Result<()> {
    link::add_dummy("dummy0")?;
    let part = options_of("dummy0")?;
    let expected = sending_by("dummy0")?;
    bind_to(&expected, "lo")?;
    let target = socket::udp()?;
    bind_to(&target, "lo")?;
    amend_all(&mut cr::client()?, &part, &target)?;
    same("not bound any more", &observe(&expected), &observe(&target))
}

/// Who may not undo what a socket is bound to is told so.
fn no_net_raw() -> Result<()> {
    let part = options_of("lo")?;
    let target = socket::udp()?;
    bind_to(&target, "lo")?;
    task::drop_capabilities(&[task::CAP_NET_RAW])?;
    let failed = amend(&mut cr::client()?, &part, &target)?.failed;
    let [failed] = failed.as_slice() else {
        anyhow::bail!("{failed:?}");
    };
    ensure!(failed.error.errno == libc::EPERM, "{failed}");
    let words = failed.error.message.as_deref().unwrap_or_default();
    ensure!(words.contains("IP_UNICAST_IF"), "{words}");
    let name = socket::get(&target, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, 16)?;
    ensure!(name == b"lo\0", "bound to {name:02x?}");
    Ok(())
}

/// A socket that shares its port, and is bound to a device.
fn sharing() -> Result<UdpSocket> {
    let socket = socket::udp()?;
    socket::set_int(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    bind_to(&socket, "lo")?;
    socket::bind(&socket, HERE)?;
    Ok(socket)
}

/// Says that these have failed as they would take the socket out of its group.
fn would_leave(failed: &[Failure]) -> Result<()> {
    ensure!(!failed.is_empty(), "it was bound anew");
    for failed in failed {
        let words = failed.error.message.as_deref().unwrap_or_default();
        ensure!(failed.error.errno == libc::EBUSY, "{failed}");
        ensure!(words.contains("SO_REUSEPORT group"), "{failed}");
    }
    Ok(())
}

/// Who is bound to a device anew leaves the group of those that share the port, and comes into no
/// other one.
fn grouped() -> Result<()> {
    link::add_dummy("dummy0")?;
    let part = options_of("dummy0")?;
    let (target, other) = (sharing()?, sharing()?);
    let mut client = cr::client()?;
    let before = cr::dump(&mut client, &target)?;
    let place = before.all(attr::REUSEPORT_INDEX);
    ensure!(!place.is_empty(), "in no group");

    let failed = amend(&mut client, &part, &target)?.failed;
    would_leave(&failed)?;
    let after = cr::dump(&mut client, &target)?;
    same_dump(&before, &after)?;
    ensure!(
        after.all(attr::REUSEPORT_INDEX) == place,
        "not in its place"
    );

    // One that is alone there has nothing to leave.
    drop(other);
    amend_all(&mut client, &part, &target)
}

/// Who is alone in the group does not leave it if the same request brings its program.
fn with_a_program() -> Result<()> {
    let mut client = cr::client()?;
    let donor = sending_by("lo")?;
    give_group_program(&donor)?;
    bind_to(&donor, "lo")?;
    socket::bind(&donor, HERE)?;
    let dump = cr::dump(&mut client, &donor)?;
    let program = dump.all(attr::REUSEPORT_FILTER);
    ensure!(!program.is_empty(), "no program");
    drop(donor);

    let target = sharing()?;
    would_leave(&amend(&mut client, &dump, &target)?.failed)?;
    let after = cr::dump(&mut client, &target)?;
    ensure!(after.all(attr::REUSEPORT_FILTER) == program, "{after:?}");
    Ok(())
}

/// Who leaves the group for the device that it is bound to is told that there is no program.
fn leaves_with_a_program() -> Result<()> {
    link::add_dummy("dummy0")?;
    let mut client = cr::client()?;
    let donor = socket::udp()?;
    give_group_program(&donor)?;
    bind_to(&donor, "dummy0")?;
    socket::bind(&donor, HERE)?;
    let dump = cr::dump(&mut client, &donor)?;
    drop(donor);

    let target = sharing()?;
    let mut failed = amend(&mut client, &dump, &target)?.failed;
    let (Some(one), true) = (failed.pop(), failed.is_empty()) else {
        anyhow::bail!("not one, but {failed:?}");
    };
    let expected = Expected::errno(&[libc::EINVAL]).attribute(attr::REUSEPORT_FILTER);
    cr::refused::<()>(Err(Error::Kernel(one.error.into())), expected)?;
    Ok(())
}

/// Who has a program but no address leaves nothing.
fn no_address() -> Result<()> {
    let target = socket::udp()?;
    give_group_program(&target)?;
    bind_to(&target, "lo")?;
    let mut client = cr::client()?;
    let program = cr::dump(&mut client, &target)?.all(attr::REUSEPORT_FILTER);
    ensure!(!program.is_empty(), "no program");
    amend_all(&mut client, &options_of("lo")?, &target)?;
    let after = cr::dump(&mut client, &target)?;
    ensure!(after.all(attr::REUSEPORT_FILTER) == program, "{after:?}");
    Ok(())
}
