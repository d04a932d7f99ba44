// SPDX-License-Identifier: GPL-2.0

//! Every allocation of a request that has to do with a corked datagram fails once.

use std::os::fd::AsRawFd as _;

use anyhow::{Result, ensure};
use inetcr::RawAttr;
use libc::{SOL_IP, SOL_SOCKET};

use super::{Begin, Style, receiver, seen};
use crate::cases::faults::{Fault, each, each_allocation_of_part, errno, is_want_of_memory};
use crate::cases::queue::{HERE, drain, same_messages};
use crate::cr::{self, DUMP, Dump, Part, QUEUE, Queued, attr};
use crate::observe::same;
use crate::rawnl::RawNetlink;
use crate::runner::Test;
use crate::sys::{link, socket};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("cork::faults::dump", of_dump).slow(),
        Test::new("cork::faults::queue", of_queue).slow(),
        Test::new("cork::faults::part", || of_part(Part::Queue)).slow(),
        Test::new("cork::faults::commit", || of_part(Part::Commit)).slow(),
    ]
}

/// One of several packets, with options.
fn begin() -> Begin {
    let mut begin = Begin::with(SOL_IP, libc::IP_RETOPTS, &[7, 7, 4, 0, 0, 0, 0, 0]);
    let mark = 5_i32.to_ne_bytes().to_vec();
    begin.control.push((SOL_SOCKET, libc::SO_MARK, mark));
    Begin {
        sizes: &[100, 5000],
        ..begin
    }
}

fn of_dump() -> Result<()> {
    let original = begin().make(Style::Option)?;
    let client = cr::client()?;
    let before = seen(&original);
    let fd = original.as_raw_fd().cast_unsigned();
    let request = RawAttr::encode_all(&[RawAttr::u32(attr::SOCK_FD, fd)]);
    let mut fault = Fault::open()?;
    each(|nth| {
        let mut raw = RawNetlink::open(&client)?;
        fault.arm(nth)?;
        let sent = raw.send(DUMP, &request);
        let injected = fault.disarm()?;
        let answer = match sent {
            Ok(()) => raw.answer(),
            Err(error) => Err(error.into()),
        };
        match errno(answer)? {
            Ok(answer) => ensure!(Dump(answer).u32(attr::CORK_LEN) == Some(5100), "no cork"),
            Err(errno) => ensure!(injected && is_want_of_memory(DUMP, errno), "error {errno}"),
        }
        Ok(injected)
    })?;
    same("the dumps changed the socket", &before, &seen(&original))
}

/// Of the request, which copies the datagram.
fn of_queue() -> Result<()> {
    let original = begin().make(Style::Option)?;
    let client = cr::client()?;
    let expected = Queued::of(&mut cr::client()?, &original)?.cork()?;
    let before = seen(&original);
    let fd = original.as_raw_fd().cast_unsigned();
    let request = RawAttr::encode_all(&[RawAttr::u32(attr::SOCK_FD, fd)]);
    let mut fault = Fault::open()?;
    each(|nth| {
        let mut raw = RawNetlink::open(&client)?;
        fault.arm(nth)?;
        let sent = raw.send_multipart(QUEUE, &request);
        let injected = fault.disarm()?;
        let answer = match sent {
            Ok(()) => raw.parts()?,
            Err(error) => Err(error.raw_os_error().unwrap_or_default()),
        };
        match answer {
            Ok(messages) => {
                let found = cr::cork(&messages.concat())?;
                ensure!(found == expected, "{found:02x?} != {expected:02x?}");
            }
            Err(errno) => {
                ensure!(injected && is_want_of_memory(QUEUE, errno), "error {errno}");
            }
        }
        Ok(injected)
    })?;
    same("the dumps changed the socket", &before, &seen(&original))
}

/// Of a part of a transaction.
fn of_part(faulty: Part) -> Result<()> {
    link::set_mtu("lo", 1500)?;
    let receiver = receiver()?;
    let begin = begin();
    ensure!(
        Style::Option.finish(&begin.make(Style::Option)?).is_none(),
        "not sent"
    );
    let expected = drain(&receiver)?;
    ensure!(expected.len() == 1, "{} messages", expected.len());
    let original = begin.make(Style::Option)?;
    let queued = Queued::of(&mut cr::client()?, &original)?;
    drop(original);
    each_allocation_of_part(&queued, faulty, |copy| {
        ensure!(socket::name(&copy)? == HERE, "bound elsewhere");
        ensure!(Style::Option.finish(&copy).is_none(), "not sent");
        same_messages(&expected, &drain(&receiver)?)
    })?;
    ensure!(drain(&receiver)?.is_empty(), "more than one was sent");
    Ok(())
}
