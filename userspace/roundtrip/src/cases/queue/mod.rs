// SPDX-License-Identifier: GPL-2.0

//! Datagrams that wait to be received come back as they are.

mod arrivals;
mod devices;
mod ends;
mod faults;
mod parts;
mod peeks;
mod privileges;
mod refusals;
mod selfcheck;
mod traffic;
mod transaction;

use std::net::UdpSocket;

use anyhow::{Context, Result, ensure};
use inetcr::Client;

use crate::cr::{self, Queued, attr};
use crate::observe::{Observation, observe, same};
use crate::runner::Test;
use crate::sys::socket::{self, Message};

pub fn tests() -> Vec<Test> {
    [
        selfcheck::tests(),
        arrivals::tests(),
        devices::tests(),
        peeks::tests(),
        transaction::tests(),
        ends::tests(),
        parts::tests(),
        refusals::tests(),
        privileges::tests(),
        faults::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Receives all that waits.
fn drain(socket: &UdpSocket) -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    loop {
        match socket::receive_message(socket, libc::MSG_DONTWAIT, 65_536) {
            Ok(message) => messages.push(message),
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => return Ok(messages),
            Err(error) => return Err(error).context("receiving what waits"),
        }
    }
}

/// Fails unless a reader got the same, in the same order.
fn same_messages(original: &[Message], copy: &[Message]) -> Result<()> {
    for (place, (left, right)) in original.iter().zip(copy).enumerate() {
        ensure!(
            left == right,
            "message {place}: from the original {}\n from the copy {}",
            told(left),
            told(right)
        );
    }
    ensure!(
        original.len() == copy.len(),
        "{} messages from the original, {} from the copy",
        original.len(),
        copy.len()
    );
    Ok(())
}

/// A message in words, a long payload cut.
fn told(message: &Message) -> String {
    let len = message.payload.len();
    let begin = &message.payload[..len.min(16)];
    let Message {
        from,
        flags,
        control,
        ..
    } = message;
    format!("{len} bytes {begin:02x?} of {from:?}, flags {flags:#x}, control {control:02x?}")
}

/// What is seen of a socket, but for the memory that its queue takes, which depends on how the
/// datagrams came to be there.
fn seen(socket: &UdpSocket) -> Observation {
    observe(socket).without(&[QUEUES])
}

const QUEUES: &str = "/proc/net/udp queues";

/// Bytes of memory that the receive queue takes, as `/proc/net/udp` has it.
fn queue_memory(socket: &UdpSocket) -> Result<usize> {
    let seen = observe(socket);
    let row = seen.get(QUEUES).context("not bound")?;
    let (_, received) = row.split_once(':').context("no two numbers")?;
    Ok(usize::from_str_radix(received, 16)?)
}

/// Takes a socket round, with what waits in it, and hands the copy over with what it is expected
/// to give its reader.
///
/// The original is read by `read` after it was dumped: a dump takes nothing away.
fn round(
    client: &mut Client,
    original: UdpSocket,
    read: impl Fn(&UdpSocket) -> Result<Vec<Message>>,
) -> Result<(UdpSocket, Vec<Message>)> {
    let before = seen(&original);
    let queued = Queued::of(client, &original)?;
    same("the dump changed the original", &before, &seen(&original))?;
    let datagrams = queued.datagrams()?;
    let count = queued.dump.u32(attr::QUEUE_LEN).unwrap_or(0);
    ensure!(
        usize::try_from(count)? == datagrams.len(),
        "queue-len is {count}, and there are {}",
        datagrams.len()
    );
    let again = Queued::of(client, &original)?.datagrams()?;
    ensure!(again == datagrams, "another dump has other datagrams");
    let expected = read(&original)?;
    drop(original);

    let copy = queued.restore(client)?;
    same("original != copy", &before, &seen(&copy))?;
    let bytes: usize = datagrams.iter().map(|(_, payload)| payload.len()).sum();
    let memory = queue_memory(&copy)?;
    ensure!(
        memory >= bytes,
        "{memory} bytes of memory hold {bytes} bytes of payload"
    );
    let of_copy = Queued::of(client, &copy)?;
    cr::same_dump(&queued.dump, &of_copy.dump)?;
    ensure!(
        of_copy.datagrams()? == datagrams,
        "the copy's datagrams are {:02x?}, not {datagrams:02x?}",
        of_copy.datagrams()?
    );
    Ok((copy, expected))
}

/// Takes a socket round, and sees that both give their readers the same. Gives that, and the copy.
fn comes_back(original: UdpSocket) -> Result<(UdpSocket, Vec<Message>)> {
    let (copy, expected) = round(&mut cr::client()?, original, drain)?;
    same_messages(&expected, &drain(&copy)?)?;
    Ok((copy, expected))
}
