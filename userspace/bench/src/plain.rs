// SPDX-License-Identifier: GPL-2.0

//! What sending and receiving takes, to the instruction: the least of many calls, which meets no timer
//! and finds memory at hand. It is the same in a kernel without the family, which adds nothing there.

use anyhow::Result;

use crate::cases::{PORT, cases, udp};
use crate::sys;

/// How many calls one is the least of.
const CALLS: usize = 2_000;

cases! {
    /// All, which need no family.
    ALL:
    "sendto: the least of 100 bytes" => least(100, Call::Send, false);
    "recvfrom: the least of 100 bytes" => least(100, Call::Receive, false);
    "sendto: the least of 1,400 bytes, connected" => least(1_400, Call::Send, true);
    "recvfrom: the least of 1,400 bytes, connected" => least(1_400, Call::Receive, true);
}

#[derive(Clone, Copy)]
enum Call {
    Send,
    Receive,
}

/// What a call takes at the least, of a socket and one that sends to it, which may be connected.
fn least(len: usize, call: Call, connected: bool) -> Result<u64> {
    let (to, from) = (udp()?, udp()?);
    sys::bind(&to, PORT)?;
    if connected {
        sys::bind(&from, PORT + 1)?;
        sys::connect(&to, PORT + 1)?;
        sys::connect(&from, PORT)?;
    }
    let (payload, mut buffer) = (vec![7; len], vec![0; len]);
    let mut least = u64::MAX;
    for _ in 0..CALLS {
        let start = sys::instructions();
        if connected {
            sys::send(&from, &payload, 0)?;
        } else {
            sys::send_to(&from, &payload, PORT)?;
        }
        let sent = sys::instructions();
        sys::receive(&to, &mut buffer, libc::MSG_DONTWAIT)?;
        let received = sys::instructions();
        least = least.min(match call {
            Call::Send => sent - start,
            Call::Receive => received - sent,
        });
    }
    Ok(least)
}
