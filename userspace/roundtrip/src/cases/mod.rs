// SPDX-License-Identifier: GPL-2.0

//! The tests.

mod addresses;
mod faults;
mod lifetime;
mod lost;
mod memberships;
mod not_found;
mod options;
mod queue;
mod random;
mod refusals;
mod selectors;
mod selfcheck;
mod shutdown;
mod tools;
mod usage;

use std::io;
use std::net::{Ipv4Addr, UdpSocket};

use crate::runner::Test;
use crate::sys::task::{self, Child};
pub use random::Random;

/// Every test, in the order in which they run.
pub fn all(random: Random) -> Vec<Test> {
    [
        selfcheck::tests(random),
        options::tests(),
        addresses::tests(),
        memberships::tests(),
        random::tests(random),
        selectors::tests(),
        not_found::tests(),
        usage::tests(),
        shutdown::tests(),
        lost::tests(),
        queue::tests(),
        refusals::tests(),
        lifetime::tests(),
        tools::tests(),
        faults::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Sends to an address as fast as it can, from a socket that `sender` makes, until it is dropped.
///
/// It has whatever descriptors are open when it begins.
fn flood<E>(
    to: (Ipv4Addr, u16),
    sender: impl FnOnce() -> Result<UdpSocket, E>,
) -> io::Result<Child> {
    task::fork(|| {
        let Ok(sender) = sender() else {
            return 1;
        };
        loop {
            let _ = sender.send_to(b"let me in", to);
        }
    })
}

/// [`flood`] of the port by a stranger on this machine.
fn flood_by_a_stranger(port: u16) -> io::Result<Child> {
    let localhost = Ipv4Addr::LOCALHOST;
    flood((localhost, port), || UdpSocket::bind((localhost, 0)))
}
