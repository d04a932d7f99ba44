// SPDX-License-Identifier: GPL-2.0

//! Every allocation of a request with maps fails once, as in `faults`.

use std::net::UdpSocket;

use anyhow::Result;

use super::places::{bound, bound_device, multicast_device, unicast_device, with};
use super::{NEW, OLD, mapped, maps};
use crate::cases::amend::each_allocation_of_amend;
use crate::cases::faults::{Looks, each_allocation_of_restore};
use crate::cr::{self, Dump};
use crate::runner::Test;
use crate::sys::link;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("maps::faults::restore", restore).slow(),
        Test::new("maps::faults::amend", amend).slow(),
    ]
}

/// The dump of a socket whose place is gone, with the maps to another one, and how a socket looks
/// that plain calls have made there.
fn moved() -> Result<(Dump, Looks)> {
    let mut client = cr::client()?;
    let steps = [unicast_device, multicast_device, bound_device, bound];
    OLD.add()?;
    let dump = cr::dump(&mut client, &with(OLD, &steps)?)?;
    link::remove(OLD.device)?;
    NEW.add()?;
    let looks = Looks::of(&mut client, &with(NEW, &steps)?)?;
    Ok((mapped(&dump, &maps(OLD, NEW)), looks))
}

fn restore() -> Result<()> {
    let (request, expected) = moved()?;
    each_allocation_of_restore(&request, &expected)
}

/// The socket is where the map says, and has nothing else yet.
fn amend() -> Result<()> {
    let make = || -> Result<UdpSocket> { with(NEW, &[bound]) };
    let (request, expected) = moved()?;
    // Options that need memory are tried in `amend::faults`.
    each_allocation_of_amend(&request, &expected, make)?;
    Ok(())
}
