// SPDX-License-Identifier: GPL-2.0

//! Every allocation of a dump of many sockets fails once, as in `cases::faults`: while it is asked
//! for and while it is read.

use std::net::UdpSocket;

use anyhow::{Result, ensure};

use super::{dump_many, me, of, on, on_one_port};
use crate::cases::faults::each_allocation_of_step;
use crate::cr::{self, DUMP, Dump};
use crate::groups::ON_LOOPBACK;
use crate::observe::{observe, same};
use crate::places::PEER;
use crate::runner::Test;
use crate::sys::filter::{self, Instruction};
use crate::sys::socket;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("many::faults::namespace::request", || of_step(0, false)).slow(),
        Test::new("many::faults::namespace::first_part", || of_step(1, false)).slow(),
        Test::new("many::faults::namespace::later_part", || of_step(3, false)).slow(),
        Test::new("many::faults::process::request", || of_step(0, true)).slow(),
        Test::new("many::faults::process::first_part", || of_step(1, true)).slow(),
    ]
}

/// Plain ones, some with what takes memory to be told of, and some that are refused.
fn originals() -> Result<Vec<UdpSocket>> {
    let sockets = on_one_port(24)?;
    for socket in sockets.iter().step_by(5) {
        let program = [Instruction::taking(u32::MAX); 40];
        filter::attach(socket, libc::SO_ATTACH_FILTER, &program)?;
        for member in ON_LOOPBACK.iter().filter(|one| !one.sources.is_empty()) {
            member.join(socket)?;
        }
    }
    for socket in sockets.iter().skip(1).step_by(7) {
        socket::connect(socket, PEER)?;
        socket::send(socket, b"x", libc::MSG_MORE)?;
    }
    Ok(sockets)
}

/// Either all that there is without a failure, or an error that says so.
fn of_step(faulty: usize, process: bool) -> Result<()> {
    let sockets = originals()?;
    let before: Vec<_> = sockets.iter().map(observe).collect();
    let me = me()?;
    let mut selection = vec![on(7000)];
    if process {
        selection.push(of(&me));
    }
    let expected = dump_many(&mut cr::client()?, &selection)?;
    ensure!(expected.len() == sockets.len(), "{}", expected.len());
    each_allocation_of_step(faulty, (DUMP, &selection), |answer| {
        if let Ok(messages) = answer {
            let found: Vec<_> = messages.into_iter().map(Dump).collect();
            ensure!(found == expected, "{found:?} != {expected:?}");
        }
        Ok(())
    })?;
    for (before, socket) in before.iter().zip(&sockets) {
        same("the dumps changed a socket", before, &observe(socket))?;
    }
    Ok(())
}
