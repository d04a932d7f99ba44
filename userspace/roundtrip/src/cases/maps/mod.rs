// SPDX-License-Identifier: GPL-2.0

//! Sockets that are restored where devices and addresses are others (`MAP`).
//!
//! A copy is compared with a socket that plain calls have made there, as the original was made in
//! the place that it comes from.

mod faults;
mod places;
mod refusals;
mod waiting;

use std::net::{Ipv4Addr, UdpSocket};

use anyhow::{Context, Result, ensure};
use inetcr::{Client, RawAttr};

use crate::cr::{self, Dump, attr};
use crate::observe::{observe, same};
use crate::runner::Test;
use crate::sys::link;

pub fn tests() -> Vec<Test> {
    [
        places::tests(),
        waiting::tests(),
        refusals::tests(),
        faults::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Numbers inside `MAP`.
const DEVICE: u16 = 1;
const TO_DEVICE: u16 = 2;
const ADDR: u16 = 3;
const TO_ADDR: u16 = 4;

fn name(number: u16, name: &str) -> RawAttr {
    RawAttr::new(number, [name.as_bytes(), &[0]].concat())
}

/// A map of a device.
pub fn device(from: &str, to: &str) -> RawAttr {
    RawAttr::nested(attr::MAP, &[name(DEVICE, from), name(TO_DEVICE, to)])
}

/// A map of an address.
fn address(from: Ipv4Addr, to: Ipv4Addr) -> RawAttr {
    let pair = [(ADDR, from), (TO_ADDR, to)].map(|one| RawAttr::new(one.0, one.1.octets()));
    RawAttr::nested(attr::MAP, &pair)
}

/// With these maps behind what a dump has.
fn mapped(dump: &Dump, maps: &[RawAttr]) -> Dump {
    Dump([dump.0.as_slice(), maps].concat())
}

/// A device with an address, and an address in its network.
#[derive(Clone, Copy)]
struct Place {
    device: &'static str,
    addr: Ipv4Addr,
    other: Ipv4Addr,
}

const OLD: Place = Place {
    device: "old0",
    addr: Ipv4Addr::new(10, 8, 1, 1),
    other: Ipv4Addr::new(10, 8, 1, 2),
};
const NEW: Place = Place {
    device: "new0",
    addr: Ipv4Addr::new(10, 8, 2, 1),
    other: Ipv4Addr::new(10, 8, 2, 2),
};

impl Place {
    /// Makes the device, which leads nowhere.
    fn add(&self) -> Result<()> {
        link::add_dummy(self.device)?;
        Ok(link::address(self.device, self.addr)?)
    }
}

/// The maps from one place to the other, in no order.
fn maps(from: Place, to: Place) -> Vec<RawAttr> {
    vec![
        address(from.other, to.other),
        device(from.device, to.device),
        address(from.addr, to.addr),
    ]
}

/// Restores a socket of a place, which is gone, in another one, and compares it with one that was
/// made there.
fn moves(make: fn(Place) -> Result<UdpSocket>) -> Result<()> {
    let mut client = cr::client()?;
    OLD.add()?;
    let original = make(OLD).context("the original")?;
    let seen = observe(&original);
    let dump = cr::dump(&mut client, &original)?;
    drop(original);
    link::remove(OLD.device)?;
    NEW.add()?;
    let model = make(NEW).context("the model")?;
    let expected = observe(&model);
    let dump_of_model = cr::dump(&mut client, &model)?;
    drop(model);
    ensure!(dump_of_model != dump, "both places are one");
    if let Ok(copy) = cr::restore(&mut client, &dump) {
        // Where the place is not told of, nothing has to be there.
        same("without maps", &seen, &observe(&copy))?;
    }
    let copy = restored(&mut client, &mapped(&dump, &maps(OLD, NEW)))?;
    same("model != copy", &expected, &observe(&copy))?;
    cr::same_dump(&dump_of_model, &cr::dump(&mut client, &copy)?)?;
    drop(copy);
    link::remove(NEW.device)?;
    Ok(())
}

fn restored(client: &mut Client, dump: &Dump) -> Result<UdpSocket> {
    cr::restore(client, dump).context("restore with maps")
}
