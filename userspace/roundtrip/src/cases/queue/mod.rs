// SPDX-License-Identifier: GPL-2.0

//! Datagrams that wait to be received come back as they are.

pub mod arrivals;
mod devices;
pub mod ends;
mod faults;
pub mod parts;
mod peeks;
mod privileges;
mod refusals;
mod selfcheck;
pub mod traffic;
mod transaction;

use std::net::UdpSocket;

use anyhow::{Context, Result, ensure};
use inetcr::Client;

use crate::cr::{self, Dump, Queued, attr};
use crate::observe::{Observation, observe, same};
use crate::runner::Test;
use crate::sys::socket::{self, Message};
pub use ends::port_is_free;
pub use refusals::{Good, piece};
pub use traffic::{HERE, payload, tell};

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

/// Receives all that waits: the errors, which an ordinary call would be told of first, and then
/// the datagrams.
pub fn drain(socket: &UdpSocket) -> Result<Vec<Message>> {
    let mut messages = drain_errors(socket)?;
    while let Some(message) = receive_waiting(socket, 0)? {
        messages.push(message);
    }
    Ok(messages)
}

/// Receives all errors that wait.
pub fn drain_errors(socket: &UdpSocket) -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    while let Some(message) = receive_waiting(socket, libc::MSG_ERRQUEUE)? {
        messages.push(message);
    }
    Ok(messages)
}

fn receive_waiting(socket: &UdpSocket, flags: i32) -> Result<Option<Message>> {
    // A time stamp comes with the whole packet, and the header of the link.
    match socket::receive_message(socket, flags | libc::MSG_DONTWAIT, 70_000) {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Ok(None),
        Err(error) => Err(error).context("receiving what waits"),
    }
}

/// Fails unless a reader got the same, in the same order.
pub fn same_messages(original: &[Message], copy: &[Message]) -> Result<()> {
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
pub fn seen(socket: &UdpSocket) -> Observation {
    observe(socket).without(&[QUEUES])
}

const QUEUES: &str = "/proc/net/udp queues";

/// Bytes of memory that the receive queue takes, as `/proc/net/udp` has it.
pub fn queue_memory(socket: &UdpSocket) -> Result<usize> {
    let seen = observe(socket);
    let row = seen.get(QUEUES).context("not bound")?;
    let (_, received) = row.split_once(':').context("no two numbers")?;
    Ok(usize::from_str_radix(received, 16)?)
}

/// Takes a socket round, with what waits in it, and hands the copy over with what it is expected
/// to give its reader.
///
/// The original is read by `read` after it was dumped: a dump takes nothing away.
pub fn round(
    client: &mut Client,
    original: UdpSocket,
    read: impl Fn(&UdpSocket) -> Result<Vec<Message>>,
) -> Result<(UdpSocket, Vec<Message>)> {
    let before = seen(&original);
    let queued = Queued::of(client, &original)?;
    same("the dump changed the original", &before, &seen(&original))?;
    let datagrams = queued.datagrams()?;
    let errors = datagrams.iter().filter(|one| is_error(&one.0)).count();
    for (number, found) in [
        (attr::QUEUE_LEN, datagrams.len() - errors),
        (attr::ERROR_QUEUE_LEN, errors),
    ] {
        let count = queued.dump.u32(number).unwrap_or(0);
        ensure!(
            usize::try_from(count)? == found,
            "attribute {number} is {count}, and there are {found}"
        );
    }
    let behind = datagrams.iter().skip(errors);
    ensure!(
        behind.map(|one| is_error(&one.0)).all(|error| !error),
        "errors behind datagrams"
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

/// Whether a dumped datagram is an error.
fn is_error(datagram: &Dump) -> bool {
    datagram.get(attr::datagram::ERROR_ORIGIN).is_some()
}

/// Takes a socket round, and sees that both give their readers the same. Gives that, and the copy.
pub fn comes_back(original: UdpSocket) -> Result<(UdpSocket, Vec<Message>)> {
    let (copy, expected) = round(&mut cr::client()?, original, drain)?;
    same_messages(&expected, &drain(&copy)?)?;
    Ok((copy, expected))
}
