// SPDX-License-Identifier: GPL-2.0

//! Every allocation of a request fails once, as in `faults`: of QUEUE while its answer is asked for
//! and while it is read, and of each part of a transaction.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use anyhow::{Result, ensure};
use inetcr::RawAttr;

use super::traffic::{HERE, holding, payload, peer_with};
use super::{drain, same_messages, seen};
use crate::cases::errqueue::errors_of_each_kind;
use crate::cases::faults::{each_allocation_of_part, each_allocation_of_step};
use crate::cr::{self, Part, QUEUE, Queued, attr};
use crate::observe::same;
use crate::runner::Test;
use crate::sys::socket::{self};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("queue::faults::request", || of_queue(0)).slow(),
        Test::new("queue::faults::first_part", || of_queue(1)).slow(),
        Test::new("queue::faults::later_part", || of_queue(5)).slow(),
        Test::new("queue::faults::begin", || of_part(Part::Begin)).slow(),
        Test::new("queue::faults::queue", || of_part(Part::Queue)).slow(),
        Test::new("queue::faults::commit", || of_part(Part::Commit)).slow(),
    ]
}

/// A socket with a small datagram, one of several pieces, an empty one, and one with options, and
/// with errors of each kind.
fn original() -> Result<UdpSocket> {
    let socket = holding(&[b"small", &payload(1, 40_000), b""])?;
    errors_of_each_kind(&socket)?;
    let peer = peer_with(libc::SOL_IP, libc::IP_OPTIONS, &[7, 7, 4, 0, 0, 0, 0, 0])?;
    peer.send_to(b"options", HERE)?;
    Ok(socket)
}

/// Of a dump, one of the system calls that it takes: sending, or receiving a part.
fn of_queue(faulty: usize) -> Result<()> {
    let original = original()?;
    let expected = Queued::of(&mut cr::client()?, &original)?.datagrams()?;
    let before = seen(&original);
    let fd = original.as_raw_fd().cast_unsigned();
    let request = [RawAttr::u32(attr::SOCK_FD, fd)];
    each_allocation_of_step(faulty, (QUEUE, &request), |answer| {
        if let Ok(messages) = answer {
            let found = cr::datagrams(&messages.concat())?;
            ensure!(found == expected, "{found:02x?} != {expected:02x?}");
        }
        Ok(())
    })?;
    same("the dumps changed the socket", &before, &seen(&original))
}

/// Of a part of a transaction.
fn of_part(faulty: Part) -> Result<()> {
    let original = original()?;
    let queued = Queued::of(&mut cr::client()?, &original)?;
    let expected = drain(&original)?;
    drop(original);
    each_allocation_of_part(&queued, faulty, |copy| {
        same_messages(&expected, &drain(&copy)?)?;
        ensure!(socket::name(&copy)? == HERE, "bound elsewhere");
        Ok(())
    })
}
