// SPDX-License-Identifier: GPL-2.0

//! One test for each row and case of the option table.

use std::net::UdpSocket;

use anyhow::{Context, Result, ensure};
use inetcr::RawAttr;

use crate::cr::{self, Dump, attr};
use crate::options::{Case, Row, Set, TABLE, Wire, socket_with};
use crate::runner::Test;
use crate::sys::socket;

pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for row in TABLE {
        for case in row.cases {
            tests.push(Test::new(
                format!("options::{}::{}", row.name, case.name),
                || one(row, case),
            ));
        }
    }
    tests.push(Test::new("options::all_together", all_together));
    tests.push(Test::new("options::absent_is_left_alone", absent));
    tests
}

/// An option that a socket has comes back, and is dumped as it should be.
fn one(row: &Row, case: &Case) -> Result<()> {
    let original = socket_with(row, case)?;
    let mut client = cr::client()?;
    let gone = cr::checkpoint(&mut client, original)?;
    let copy = cr::resurrect(&mut client, &gone)?;
    on_the_wire(row, case, &gone.dump, &copy)
}

/// The dump says what the encoding rules of the family say.
fn on_the_wire(row: &Row, case: &Case, dump: &Dump, copy: &UdpSocket) -> Result<()> {
    let found = dump.0.iter().find(|a| a.number() == row.attribute);
    let expected = match case.wire {
        Wire::Any => {
            ensure!(found.is_some(), "attribute {} is absent", row.attribute);
            return Ok(());
        }
        Wire::Absent => None,
        Wire::U32(value) => Some(RawAttr::u32(row.attribute, value)),
        Wire::AsOption => {
            let value = socket::get_int(copy, libc::SOL_SOCKET, row.number)?;
            Some(RawAttr::u32(row.attribute, value.cast_unsigned()))
        }
        Wire::Sint(value) => Some(RawAttr::sint(row.attribute, value)),
        Wire::Linger(on, time) => Some(RawAttr::nested(
            row.attribute,
            &[RawAttr::u32(1, on), RawAttr::sint(2, time)],
        )),
        Wire::Name(name) => Some(RawAttr::new(
            row.attribute,
            [name.as_bytes(), &[0]].concat(),
        )),
    };
    ensure!(
        found.map(|a| &a.payload) == expected.as_ref().map(|a| &a.payload),
        "dumped as {:02x?}, expected {:02x?}",
        found.map(|a| &a.payload),
        expected.map(|a| a.payload)
    );
    if let Set::DeviceGone = case.set {
        ensure!(
            dump.u32(attr::BOUND_IFINDEX).is_some(),
            "no index of the device that is gone"
        );
    }
    Ok(())
}

/// The last case of each row, on one socket.
fn all_together() -> Result<()> {
    let original = socket::udp()?;
    for row in TABLE {
        let case = row
            .cases
            .iter()
            .rfind(|case| !matches!(case.set, Set::Default(..) | Set::DeviceGone))
            .context("a row without cases")?;
        crate::options::apply(&original, row, case)
            .with_context(|| format!("{} {}", row.name, case.name))?;
    }
    cr::round_trip(&mut cr::client()?, original)?;
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
