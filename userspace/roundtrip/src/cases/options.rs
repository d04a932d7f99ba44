// SPDX-License-Identifier: GPL-2.0

//! One test for each row and case of the option table.

use anyhow::{Context, Result, ensure};
use inetcr::table::{AttributeInfo, AttributePath, Kind, Role, SOCKET};
use inetcr::{IpFlags, SockoptFlags, UdpFlags};

use crate::cr::{self, Dump, attr};
use crate::options::{Case, Row, Set, apply, rows, socket_with};
use crate::runner::Test;
use crate::sys::socket;

pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for row in rows() {
        for case in row.cases {
            let test = Test::new(format!("options::{}::{}", row.name, case.name), || {
                one(row, case)
            });
            tests.push(if case.set.is_of_all() {
                test.alone()
            } else {
                test
            });
        }
    }
    tests.push(Test::new("options::all_together", all_together));
    tests.push(Test::new(
        "options::everything_is_saved",
        everything_is_saved,
    ));
    tests.push(Test::new("options::absent_is_left_alone", absent));
    tests
}

/// An option that a socket has comes back, and is dumped as it should be.
fn one(row: &Row, case: &Case) -> Result<()> {
    let original = socket_with(row, case)?;
    let mut client = cr::client()?;
    let gone = cr::checkpoint(&mut client, original)?;
    let copy = cr::resurrect(&mut client, &gone)?;
    case.wire.check(row, &gone.dump, &copy)?;
    if let Set::DeviceGone = case.set {
        ensure!(
            gone.dump.u32(attr::BOUND_IFINDEX).is_some(),
            "no index of the device that is gone"
        );
    }
    Ok(())
}

/// The last case of each row, on one socket.
fn all_together() -> Result<()> {
    let original = socket::udp()?;
    for row in rows() {
        let case = row
            .cases
            .iter()
            .rfind(|case| !matches!(case.set, Set::Default(..) | Set::DeviceGone))
            .context("a row without cases")?;
        apply(&original, row, case).with_context(|| format!("{} {}", row.name, case.name))?;
    }
    cr::round_trip(&mut cr::client()?, original)?;
    Ok(())
}

/// What is not a place is in every dump, and so is every bit of the flags: "off"
/// and "not saved" differ.
fn everything_is_saved() -> Result<()> {
    let mut client = cr::client()?;
    let dump = cr::dump(&mut client, &socket::udp()?)?;
    // There was no datagram.
    let not_there = ["stamp"];
    let table = SOCKET.iter().filter(|row| !not_there.contains(&row.name));
    all_present(&dump, table, &[])?;
    for (path, bits) in [
        (&[36][..], SockoptFlags::all().bits()),
        (&[58, 2], IpFlags::all().bits()),
        (&[59, 2], UdpFlags::all().bits()),
    ] {
        let saved = dump.u32_at(path);
        ensure!(saved == Some(bits), "{path:?}: {saved:02x?}, not {bits:#x}");
    }
    Ok(())
}

fn all_present(
    dump: &Dump,
    table: impl Iterator<Item = &'static AttributeInfo>,
    nests: &[u16],
) -> Result<()> {
    for row in table.filter(|row| row.role == Role::State) {
        let path = [nests, &[row.number]].concat();
        let name = AttributePath::new(&path);
        ensure!(dump.at(&path).is_some(), "{name} is not saved");
        if let Kind::Nest(_, inside) = row.kind {
            all_present(dump, inside.iter(), &path)?;
        }
    }
    Ok(())
}

/// Only what makes it a UDP socket: everything else is as in a new socket.
fn absent() -> Result<()> {
    let mut client = cr::client()?;
    let new = socket::udp()?;
    let mut dump = cr::dump(&mut client, &new)?;
    let needed = [
        attr::SOCK_FAMILY,
        attr::SOCK_TYPE,
        attr::SOCK_PROTOCOL,
        attr::SOCK_STATE,
    ];
    dump.0.retain(|a| needed.contains(&a.number()));
    let copy = cr::restore(&mut client, &dump)?;
    crate::observe::same(
        "new socket != copy",
        &crate::observe::observe(&new),
        &crate::observe::observe(&copy),
    )
}
