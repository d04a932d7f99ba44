// SPDX-License-Identifier: GPL-2.0

//! Who may put datagrams into a socket that exists: `CAP_NET_RAW` is needed besides, for each part.

use anyhow::{Context, Result, ensure};

use super::{Donor, comes, commit, is_empty};
use crate::cases::amend::{bound, request};
use crate::cases::queue::arrivals;
use crate::cases::refusals::privileges::{in_user_namespace, with_one_of_another};
use crate::cr::{self, AMEND, Expected, Part};
use crate::observe::{observe, same};
use crate::runner::Test;
use crate::sys::task;
use inetcr::RawAttr;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("amend::queues::privileges::no_net_raw", no_net_raw),
        Test::new("amend::queues::privileges::dropped_later", dropped_later),
        Test::new("amend::queues::privileges::opened_by_another", by_another),
        Test::new("amend::queues::privileges::user_namespace", || {
            in_user_namespace(|| comes(arrivals::received("several")?))
        }),
    ]
}

const DENIED: &[i32] = &[libc::EPERM];

/// Nothing is done without it, not even the state is applied.
fn no_net_raw() -> Result<()> {
    let mut client = cr::client()?;
    let mut donor = Donor::holding(&mut client, &[b"secret"])?;
    donor.queued.dump = donor.queued.dump.with(RawAttr::u32(6, 1));
    let target = bound()?;
    let before = observe(&target);
    task::drop_capabilities(&[task::CAP_NET_RAW])?;
    for mut client in [client, cr::client()?] {
        for part in Part::ALL {
            let attrs = match part {
                Part::Begin => request(&donor.queued.dump, &target).0,
                Part::Queue => donor.queued.queue.clone(),
                _ => Vec::new(),
            };
            let expected = Expected::errno(DENIED).word("CAP_NET_RAW");
            let result = part.amend(&mut client, &attrs);
            cr::refused(result, expected).with_context(|| format!("{part:?}"))?;
        }
        same("it was amended", &before, &observe(&target))?;
        // Without datagrams, it may.
        client.amend_attrs(&request(&donor.queued.dump, &target).0)?;
        ensure!(target.broadcast()?, "it was not amended");
        target.set_broadcast(false)?;
    }
    is_empty(&target)
}

/// Every part asks again.
fn dropped_later() -> Result<()> {
    let mut clients = [cr::client()?, cr::client()?];
    let donor = Donor::holding(&mut clients[0], &[b"secret"])?;
    let target = bound()?;
    for client in &mut clients {
        donor.almost(client, &target)?;
    }
    task::drop_capabilities(&[task::CAP_NET_RAW])?;
    let expected = Expected::errno(DENIED).word("CAP_NET_RAW");
    let [first, second] = &mut clients;
    cr::refused(commit(first), expected)?;
    cr::refused(Part::Queue.amend(second, &donor.queued.queue), expected)?;
    is_empty(&target)
}

/// A privileged process that is led to write into a netlink socket of another does no harm.
fn by_another() -> Result<()> {
    let mut client = cr::client()?;
    let donor = Donor::holding(&mut client, &[b"secret"])?;
    let target = bound()?;
    let prepare = || Ok(task::drop_capabilities(&[task::CAP_NET_RAW])?);
    with_one_of_another(&client, prepare, |raw| {
        for part in Part::ALL {
            let attrs = match part {
                Part::Begin => request(&donor.queued.dump, &target).0,
                Part::Queue => donor.queued.queue.clone(),
                _ => Vec::new(),
            };
            raw.send(AMEND, &RawAttr::encode_all(&part.of(&attrs)))?;
            let Err(error) = raw.answer() else {
                anyhow::bail!("{part:?} is permitted");
            };
            let errno = error.downcast::<std::io::Error>()?.raw_os_error();
            ensure!(errno == Some(libc::EPERM), "{part:?}: {errno:?}");
        }
        Ok(())
    })?;
    is_empty(&target)
}
