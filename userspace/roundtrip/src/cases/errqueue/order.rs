// SPDX-License-Identifier: GPL-2.0

//! What comes while a socket is restored comes behind what it had.

use std::net::UdpSocket;

use anyhow::{Result, ensure};
use libc::{SOL_IP, SOL_SOCKET};

use super::making::{Icmp, sender, zerocopy};
use crate::cases::queue::traffic::{HERE, peer};
use crate::cases::queue::{drain, same_messages};
use crate::cr::{self, Part, Queued};
use crate::runner::Test;
use crate::sys::socket;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("errqueue::order::arrives_meanwhile", arrives_meanwhile),
        Test::new("errqueue::order::behind_datagrams", behind_datagrams),
        Test::new("errqueue::order::nothing_kept", nothing_kept),
    ]
}

fn error(number: u8) -> Icmp {
    Icmp::new(3, number, [0; 4], usize::from(number) + 10)
}

/// A socket with three errors, among them one of `MSG_ZEROCOPY`, and one datagram.
fn original() -> Result<UdpSocket> {
    let original = sender()?;
    error(0).tell(&original)?;
    zerocopy(&original, &peer()?, 2)?;
    error(1).tell(&original)?;
    peer()?.send_to(b"one", HERE)?;
    Ok(original)
}

/// ICMP is let in when a filter keeps datagrams out: what comes at any point of a transaction is
/// behind what was there before, and what came last is the pending error.
fn arrives_meanwhile() -> Result<()> {
    let mut client = cr::client()?;
    let original = original()?;
    let queued = Queued::of(&mut client, &original)?;
    let mut expected = drain(&original)?;
    for code in [10, 9] {
        error(code).tell(&original)?;
    }
    let late = drain(&original)?;
    ensure!(expected.len() == 4 && late.len() == 2, "{expected:02x?}");
    expected.splice(3..3, late);
    drop(original);

    for first in 0..=queued.queue.len() {
        for second in first..=queued.queue.len() {
            Part::Begin.send(&mut client, &queued.dump.0)?;
            for at in 0..=queued.queue.len() {
                if at == first {
                    error(10).send(|_| Ok(()))?;
                }
                if at == second {
                    error(9).send(|_| Ok(()))?;
                }
                if let Some(attr) = queued.queue.get(at) {
                    Part::Queue.send(&mut client, std::slice::from_ref(attr))?;
                }
            }
            let copy = UdpSocket::from(Part::commit(&mut client)?.fd);
            let pending = socket::get_int(&copy, SOL_SOCKET, libc::SO_ERROR)?;
            ensure!(pending == libc::ENETUNREACH, "SO_ERROR is {pending}");
            same_messages(&expected, &drain(&copy)?)?;
        }
    }
    Ok(())
}

/// Errors may come behind datagrams in a transaction: each has its queue.
fn behind_datagrams() -> Result<()> {
    let mut client = cr::client()?;
    let original = original()?;
    let mut queued = Queued::of(&mut client, &original)?;
    let expected = drain(&original)?;
    drop(original);
    // The datagram and its payload are the last two.
    queued.queue.rotate_right(2);
    let copy = queued.restore(&mut client)?;
    same_messages(&expected, &drain(&copy)?)
}

/// What throws away the errors of the original throws away those of the copy, and no more.
fn nothing_kept() -> Result<()> {
    let mut client = cr::client()?;
    let original = original()?;
    let queued = Queued::of(&mut client, &original)?;
    let ask = |socket: &UdpSocket| -> Result<_> {
        socket::set_int(socket, SOL_IP, libc::IP_RECVERR, 0)?;
        socket::get_int(socket, SOL_SOCKET, libc::SO_ERROR)?;
        drain(socket)
    };
    let expected = ask(&original)?;
    ensure!(expected.len() == 2, "{expected:02x?}");
    drop(original);
    let copy = queued.restore(&mut client)?;
    same_messages(&expected, &ask(&copy)?)
}
