// SPDX-License-Identifier: GPL-2.0

//! Messages that are no part of a transaction, and parts of another one.

use std::os::fd::AsRawFd;

use anyhow::{Context, Result, ensure};
use inetcr::RawAttr;
use inetcr::table::{Role, SOCKET};

use super::ends::{gone, port_is_free};
use super::refusals::{Good, INVALID, piece};
use super::traffic::{HERE, holding};
use super::{drain, same_messages};
use crate::cr::{self, Dump, Expected, Part, QUEUE, attr};
use crate::rawnl::RawNetlink;
use crate::runner::Test;
use crate::sys::socket;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("queue::parts::of_another_part", of_another_part),
        Test::new("queue::parts::no_part", no_part),
        Test::new("queue::parts::without_transaction", without_transaction),
        Test::new("queue::parts::bad_begin", bad_begin),
        Test::new("queue::parts::not_by_do", not_by_do),
        Test::new("queue::parts::many_dumps_at_once", many_dumps_at_once),
    ]
}

/// Whether a part behind the first may have an attribute.
pub fn may_have(part: Part, number: u16) -> bool {
    match number {
        attr::TRANSACTION => true,
        attr::DATAGRAM | attr::PAYLOAD => part == Part::Queue,
        _ => false,
    }
}

/// Each part has its own attributes.
fn of_another_part() -> Result<()> {
    let mut good = Good::new()?;
    let errno = [libc::EINVAL, libc::ERANGE, libc::EOPNOTSUPP];
    for part in [Part::Queue, Part::Commit, Part::Abort] {
        let rows = SOCKET.iter().filter(|row| row.role != Role::Identity);
        for row in rows.filter(|row| !may_have(part, row.number)) {
            Part::Begin.send(&mut good.client, &good.dump.0)?;
            let bad = part.of(&[RawAttr::u32(row.number, 0)]);
            let expected = Expected::errno(&errno).attribute(row.number);
            cr::refused(good.client.restore_attrs(&bad), expected)
                .with_context(|| format!("{} in {part:?}", row.name))?;
            // Whether a refused abort ends it nobody has promised.
            let _ = Part::Abort.send(&mut good.client, &[]);
        }
    }
    let datagram = good.of_len(0);
    for attr in [datagram, piece(3)] {
        let bad = [good.dump.0.as_slice(), std::slice::from_ref(&attr)].concat();
        let expected = Expected::errno(&[libc::EINVAL]).attribute(attr.number());
        cr::refused(Part::Begin.send(&mut good.client, &bad), expected)?;
        port_is_free()?;
    }
    Ok(())
}

/// Numbers that are no part of a transaction, and two of them.
fn no_part() -> Result<()> {
    let mut good = Good::new()?;
    for number in [0, 5, 0x101, u32::MAX] {
        let bad = good
            .dump
            .clone()
            .with(RawAttr::u32(attr::TRANSACTION, number));
        let expected = Expected::errno(INVALID).attribute(attr::TRANSACTION);
        cr::restore_refused(&mut good.client, &bad, expected)?;
    }
    let twice = Part::Commit.of(&Part::Begin.of(&good.dump.0));
    let expected = Expected::errno(&[libc::EINVAL]).attribute(attr::TRANSACTION);
    cr::restore_refused(&mut good.client, &Dump(twice), expected)?;
    port_is_free()
}

/// A dump that says that datagrams wait is no plain restore, so that none is lost by mistake.
fn without_transaction() -> Result<()> {
    let mut client = cr::client()?;
    let (queued, _) = gone(&mut client)?;
    let expected = Expected::errno(&[libc::EINVAL]).attribute(attr::QUEUE_LEN);
    cr::restore_refused(&mut client, &queued.dump, expected)?;
    let without = queued.dump.without(attr::QUEUE_LEN);
    for attr in queued.queue.iter().take(2) {
        let bad = Dump([without.0.as_slice(), std::slice::from_ref(attr)].concat());
        let expected = Expected::errno(&[libc::EINVAL]).attribute(attr.number());
        cr::restore_refused(&mut client, &bad, expected)?;
    }
    // Whoever wants it so.
    let copy = cr::restore(&mut client, &without)?;
    ensure!(drain(&copy)?.is_empty(), "something waits");
    Ok(())
}

/// What a plain restore refuses, a begin refuses, and then there is no transaction.
fn bad_begin() -> Result<()> {
    let mut client = cr::client()?;
    let (queued, expected) = gone(&mut client)?;
    let bad = [
        (attr::SOCK_TYPE, RawAttr::u32(attr::SOCK_TYPE, 1)),
        (
            attr::BINDTODEVICE,
            RawAttr::string(attr::BINDTODEVICE, c"nothing0"),
        ),
        (
            attr::LOCAL_ADDR,
            RawAttr::new(attr::LOCAL_ADDR, [192, 0, 2, 1]),
        ),
    ];
    for (number, attr) in bad {
        let bad = queued.dump.clone().with(attr);
        let errno = [
            libc::EINVAL,
            libc::EOPNOTSUPP,
            libc::ESOCKTNOSUPPORT,
            libc::ENODEV,
            libc::EADDRNOTAVAIL,
        ];
        let expected = Expected::errno(&errno).attribute(number);
        cr::refused(Part::Begin.send(&mut client, &bad.0), expected)?;
        let expected = Expected::errno(&[libc::EINVAL, libc::ENOENT]);
        cr::refused(Part::commit(&mut client), expected)?;
    }
    let blocker = socket::udp()?;
    socket::bind(&blocker, HERE)?;
    let in_use = Expected::errno(&[libc::EADDRINUSE]).attribute(attr::LOCAL_PORT);
    cr::refused(Part::Begin.send(&mut client, &queued.dump.0), in_use)?;
    drop(blocker);
    let copy = queued.restore(&mut client)?;
    same_messages(&expected, &drain(&copy)?)
}

/// QUEUE has an answer of many messages, and no other.
fn not_by_do() -> Result<()> {
    let mut client = cr::client()?;
    let original = holding(&[b"one"])?;
    let fd = RawAttr::u32(attr::SOCK_FD, original.as_raw_fd().cast_unsigned());
    let errno = match client.raw(QUEUE, &[fd]) {
        Ok(attrs) => anyhow::bail!("answered {attrs:?}"),
        Err(error) => error.errno(),
    };
    ensure!(errno == Some(libc::EOPNOTSUPP), "{errno:?}");
    Ok(())
}

/// Each dump goes over a whole queue, so that only one of what is sent at once is answered.
fn many_dumps_at_once() -> Result<()> {
    let client = cr::client()?;
    let original = holding(&[b"one"])?;
    let fd = RawAttr::u32(attr::SOCK_FD, original.as_raw_fd().cast_unsigned());
    let requests = [vec![fd.clone()], vec![fd.clone()], vec![fd]];
    let mut raw = RawNetlink::open(&client)?;
    let answers = raw.send_together_with(QUEUE, &requests, libc::NLM_F_DUMP)?;
    let errors: Vec<_> = answers
        .iter()
        .map(|answer| answer.as_ref().err().map(|refusal| refusal.errno))
        .collect();
    let busy = Some(libc::EBUSY);
    ensure!(errors == [busy, busy, None], "{errors:?}");
    Ok(())
}
