// SPDX-License-Identifier: GPL-2.0

//! The suite's own test: what gets lost on the way is missed.

use anyhow::{Result, ensure};
use inetcr::{Client, RawAttr};

use super::arrivals::received;
use super::{drain, same_messages};
use crate::cr::{self, Queued, attr};
use crate::runner::Test;
use crate::sys::socket::Message;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("queue::selfcheck::lost_attribute", lost_attribute),
        Test::new("queue::selfcheck::lost_datagram", lost_datagram),
    ]
}

/// Datagrams of a kind, dumped and gone, and what their reader got.
fn gone(client: &mut Client, name: &str) -> Result<(Queued, Vec<Message>)> {
    let original = received(name)?;
    Ok((Queued::of(client, &original)?, drain(&original)?))
}

/// An attribute that gets lost on the way is missed.
fn lost_attribute() -> Result<()> {
    let mut client = cr::client()?;
    for (name, lost) in [
        ("several", &[6][..]),
        ("several", &[7, 8]),
        ("several", &[9]),
        ("option_with_times", &[13]),
        ("fragments", &[14]),
        ("trains", &[15]),
        ("mark", &[16]),
        ("priority", &[17]),
        ("checksum", &[19]),
    ] {
        let (mut queued, expected) = gone(&mut client, name)?;
        for attr in &mut queued.queue {
            if attr.number() == attr::DATAGRAM {
                let mut inside = attr.children()?;
                inside.retain(|one| !lost.contains(&one.number()));
                *attr = RawAttr::nested(attr::DATAGRAM, &inside);
            }
        }
        let copy = queued.restore(&mut client)?;
        ensure!(
            same_messages(&expected, &drain(&copy)?).is_err(),
            "nobody misses the attributes {lost:?} of {name}"
        );
    }
    Ok(())
}

/// And so is a datagram, its place or a byte of it.
fn lost_datagram() -> Result<()> {
    let mut client = cr::client()?;
    let spoil: [fn(&mut Vec<RawAttr>); 3] = [
        |queue| queue.truncate(2),
        |queue| queue.rotate_left(2),
        |queue| queue[1].payload[0] ^= 1,
    ];
    for spoil in spoil {
        let (mut queued, expected) = gone(&mut client, "from_two_sources")?;
        spoil(&mut queued.queue);
        let copy = queued.restore(&mut client)?;
        ensure!(
            same_messages(&expected, &drain(&copy)?).is_err(),
            "nobody misses it"
        );
    }
    Ok(())
}
