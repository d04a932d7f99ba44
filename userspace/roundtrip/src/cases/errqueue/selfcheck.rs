// SPDX-License-Identifier: GPL-2.0

//! The suite's own test: what gets lost on the way is missed, or refused.

use anyhow::{Result, ensure};
use inetcr::RawAttr;

use super::kinds::made;
use crate::cases::queue::{drain, same_messages};
use crate::cr::{self, Queued, attr};
use crate::runner::Test;

pub fn tests() -> Vec<Test> {
    vec![Test::new("errqueue::selfcheck::lost", lost)]
}

/// Each attribute of each kind of errors, but for those of what is not told here: the name of a
/// device has its number beside it, and the number its name; and a time that nobody here asked for
/// may be there because somebody else did.
fn lost() -> Result<()> {
    let mut client = cr::client()?;
    for name in [
        "port_unreachable",
        "with_options",
        "with_extension",
        "with_bad_extension",
        "bad_parameter",
        "too_long_here",
        "sent_and_scheduled",
        "sent_time_only",
        "zerocopy_together",
        "stamped_on_arrival",
    ] {
        let original = made(name)?;
        let queued = Queued::of(&mut client, &original)?;
        let expected = drain(&original)?;
        drop(original);
        let mut numbers = Vec::new();
        for (datagram, _) in queued.datagrams()? {
            numbers.extend(datagram.0.iter().map(RawAttr::number));
        }
        numbers.sort_unstable();
        numbers.dedup();
        let device = [attr::datagram::IFNAME, attr::datagram::IFINDEX];
        numbers.retain(|number| !device.contains(number));
        if !name.starts_with("sent") && !name.starts_with("stamped") {
            numbers.retain(|number| *number != attr::datagram::TSTAMP);
        }
        let mut seen = 0;
        for number in &numbers {
            let mut spoiled = queued.clone();
            for one in &mut spoiled.queue {
                if one.number() == attr::DATAGRAM {
                    let mut inside = one.children()?;
                    inside.retain(|one| one.number() != *number);
                    *one = RawAttr::nested(attr::DATAGRAM, &inside);
                }
            }
            let Ok(copy) = spoiled.restore(&mut client) else {
                continue;
            };
            let missed =
                drain(&copy).map_or(true, |found| same_messages(&expected, &found).is_err());
            ensure!(missed, "nobody misses the attribute {number} of {name}");
            seen += 1;
        }
        ensure!(seen > 0, "no attribute of {name} can be left out");
    }
    Ok(())
}
