// SPDX-License-Identifier: GPL-2.0

//! Every allocation of a request fails once: it is refused and has done nothing, or it tells what
//! it has not done.

use std::net::UdpSocket;

use anyhow::{Context, Result, bail, ensure};
use inetcr::{Amended, RawAttr};

use super::{HERE, request};
use crate::cases::faults::{
    Fault, Looks, each, give_group_program, give_owner, is_want_of_memory, join_groups,
};
use crate::cr::{self, AMEND, Dump};
use crate::options::apply_all;
use crate::rawnl::RawNetlink;
use crate::runner::Test;
use crate::sys::socket;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("amend::faults", || {
            faults(
                || Ok(socket::udp()?),
                |donor| {
                    apply_all(donor)?;
                    join_groups(donor)
                },
            )
        })
        .slow(),
        Test::new("amend::faults::owner", || {
            faults(|| Ok(socket::udp()?), give_owner)
        })
        .slow(),
        Test::new("amend::faults::group_program", || {
            faults(sharing, give_group_program)
        })
        .slow(),
    ]
}

/// A socket that shares its port, and the program of nobody.
fn sharing() -> Result<UdpSocket> {
    let socket = socket::udp()?;
    socket::set_int(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    socket::bind(&socket, HERE)?;
    Ok(socket)
}

/// How often the allocations are gone through until a failure was reported.
pub const ROUNDS: u32 = 5;

/// Amends sockets with what one of them is given.
fn faults(make: fn() -> Result<UdpSocket>, give: fn(&UdpSocket) -> Result<()>) -> Result<()> {
    let donor = make()?;
    give(&donor)?;
    let looks = Looks::of(&mut cr::client()?, &donor)?;
    drop(donor);
    // The numbers of the few that are reported shift by what caches of the kernel hold.
    for _ in 0..ROUNDS {
        if each_allocation_of_amend(&looks.dump, &looks, make)? > 0 {
            return Ok(());
        }
    }
    bail!("none was reported")
}

/// Makes each allocation of an amendment fail, and tells how many failures were reported. The
/// sockets that `make` makes are to become as expected.
pub fn each_allocation_of_amend(
    dump: &Dump,
    expected: &Looks,
    make: fn() -> Result<UdpSocket>,
) -> Result<u32> {
    let client = cr::client()?;
    let mut library = cr::client()?;
    let mut raw = RawNetlink::open(&client)?;
    let new = Looks::of(&mut library, &make()?)?;
    let mut fault = Fault::open()?;
    let (mut refused, mut reported) = (0, 0);
    each(|nth| {
        let target = make()?;
        let bytes = RawAttr::encode_all(&request(dump, &target).0);
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
        let now = Looks::of(&mut library, &target)?;
        match answer.map(|answer| Amended::from_attrs(&answer)) {
            Some(Ok(amended)) if amended.failed.is_empty() => {
                expected.same_members(&format!("allocation {nth}: donor != amended"), &now)?;
            }
            Some(Ok(amended)) => {
                ensure!(injected, "without a failure: {:?}", amended.failed);
                let mut what = amended.failed.iter();
                ensure!(
                    what.all(|failed| failed.error.attribute.is_some()),
                    "{:?}",
                    amended.failed
                );
                ensure!(
                    expected.same_members("", &now).is_err(),
                    "reported, but done: {:?}",
                    amended.failed
                );
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
            None if expected.same_members("", &now).is_ok() => {}
            None => new.same_members("refused, but done in part", &now)?,
        }
        // The same request brings what is missing.
        let amended = library.amend_attrs(&request(dump, &target).0);
        let amended = amended.context("again")?;
        ensure!(amended.failed.is_empty(), "again: {:?}", amended.failed);
        expected.same_members(
            "again: donor != amended",
            &Looks::of(&mut library, &target)?,
        )?;
        Ok(injected)
    })?;
    println!("{refused} refused, {reported} reported in part");
    ensure!(refused > 0, "none was refused");
    Ok(reported)
}
