// SPDX-License-Identifier: GPL-2.0

//! Every allocation of a request fails once: it is refused and has done nothing, or it tells what
//! it has not done.

use anyhow::{Result, ensure};
use inetcr::{Amended, RawAttr};

use super::{donor_of_options, request};
use crate::cases::faults::{Fault, each, is_want_of_memory, join_groups};
use crate::cr::{self, AMEND};
use crate::observe::{observe, same};
use crate::rawnl::RawNetlink;
use crate::runner::Test;
use crate::sys::socket;

pub fn tests() -> Vec<Test> {
    vec![Test::new("amend::faults", faults).slow()]
}

fn faults() -> Result<()> {
    let client = cr::client()?;
    let mut library = cr::client()?;
    let donor = donor_of_options()?;
    join_groups(&donor)?;
    let dump = cr::dump(&mut library, &donor)?;
    let seen = observe(&donor);
    drop(donor);
    let mut raw = RawNetlink::open(&client)?;
    let new = observe(&socket::udp()?);
    let mut fault = Fault::open()?;
    let (mut refused, mut reported) = (0, 0);
    each(|nth| {
        let target = socket::udp()?;
        let bytes = RawAttr::encode_all(&request(&dump, &target).0);
        fault.arm(nth)?;
        let sent = raw.send(AMEND, &bytes);
        let injected = fault.disarm()?;
        let answer = match sent {
            Ok(()) => raw.answer(),
            Err(error) => Err(error.into()),
        };
        let answer = match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                ensure!(injected, "without a failure: {error:#}");
                let errno = error.downcast::<std::io::Error>()?.raw_os_error();
                ensure!(
                    errno.is_some_and(|errno| is_want_of_memory(AMEND, errno)),
                    "error {errno:?}"
                );
                refused += 1;
                // What was done and told stays, also if the acknowledgment is not.
                raw.reply_without_answer()?
            }
        };
        raw.drain();
        let now = observe(&target);
        match answer.map(|answer| Amended::from_attrs(&answer)) {
            Some(Ok(amended)) if amended.failed.is_empty() => {
                same(&format!("allocation {nth}: donor != amended"), &seen, &now)?;
            }
            Some(Ok(amended)) => {
                ensure!(injected, "without a failure: {:?}", amended.failed);
                let mut what = amended.failed.iter();
                ensure!(
                    what.all(|failed| failed.error.attribute.is_some()),
                    "{:?}",
                    amended.failed
                );
                ensure!(now != seen, "reported, but done: {:?}", amended.failed);
                reported += 1;
                // A device that had no room for a group, which the kernel keeps secret until there
                // is a filter, has none until the socket leaves it.
                let mut errors = amended.failed.iter().map(|failed| failed.error.errno);
                if errors.any(|errno| errno == libc::ESRCH) {
                    return Ok(injected);
                }
            }
            Some(Err(error)) => return Err(error.into()),
            // Refused, or the answer itself has failed when all was done.
            None => ensure!(
                now == new || now == seen,
                "refused, but done in part:\n{}",
                new.difference(&now)
            ),
        }
        // The same request brings what is missing.
        let amended = library.amend_attrs(&request(&dump, &target).0)?;
        ensure!(amended.failed.is_empty(), "again: {:?}", amended.failed);
        same("again: donor != amended", &seen, &observe(&target))?;
        Ok(injected)
    })?;
    println!("{refused} refused, {reported} reported in part");
    ensure!(
        refused > 0 && reported > 0,
        "{refused} refused, {reported} reported"
    );
    Ok(())
}
