// SPDX-License-Identifier: GPL-2.0

//! Requests about many sockets that are refused.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use inetcr::table::{SOCKET, lookup};
use inetcr::{Client, NLA_F_NESTED, RawAttr};

use super::{all_dumped, bound, dump_many, me, of, on, with_inode};
use crate::cases::refusals::attributes::{too_long, too_short};
use crate::cr::{self, DUMP, Dump, Expected, attr};
use crate::rawnl::{Answer, RawNetlink};
use crate::runner::Test;
use crate::sys::{socket, task};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("many::requests::other_attributes", other_attributes),
        Test::new("many::requests::wrong_length", wrong_length),
        Test::new("many::requests::repeated", repeated),
        Test::new("many::requests::no_pidfd", no_pidfd),
        Test::new("many::requests::dead_process", dead_process),
        Test::new("many::requests::of_a_single_dump", of_a_single_dump),
        Test::new("many::requests::several_at_once", several_at_once),
    ]
}

/// What a request about many sockets takes.
const TAKEN: [u16; 4] = [
    attr::PIDFD,
    attr::LOCAL_PORT,
    attr::FILTER_INODE,
    attr::ALLOW_LOST,
];

/// Asks for what must be refused, and sees that the next one is answered.
fn refused(client: &mut Client, attrs: &[RawAttr], expected: Expected<'_>) -> Result<()> {
    let files = cr::open_files();
    cr::refused(dump_many(client, attrs), expected).with_context(|| format!("{attrs:?}"))?;
    ensure!(cr::open_files() == files, "the refusal left a descriptor");
    dump_many(client, &[]).context("behind the refusal")?;
    Ok(())
}

/// Those of other messages, and those that there are not.
fn other_attributes() -> Result<()> {
    let mut client = cr::client()?;
    let me = me()?;
    let known = SOCKET.iter().map(|row| row.number);
    let last = known.clone().max().unwrap_or_default();
    for number in known.chain([0, last + 1, 100, 1000, 0x3fff]) {
        if !TAKEN.contains(&number) {
            let expected = Expected::errno(&[libc::EINVAL]).attribute(number);
            let other = RawAttr::u32(number, 0);
            refused(&mut client, std::slice::from_ref(&other), expected)?;
            refused(&mut client, &[of(&me), other], expected)?;
        }
    }
    Ok(())
}

fn wrong_length() -> Result<()> {
    let mut client = cr::client()?;
    for number in TAKEN {
        let kind = lookup(SOCKET, number).context("no row")?.kind;
        for len in too_short(kind).iter().chain(too_long(kind)) {
            let bad = RawAttr::new(number, vec![1; *len]);
            let expected = Expected::errno(&[libc::EINVAL, libc::ERANGE]).attribute(number);
            refused(&mut client, &[bad], expected)?;
        }
        let bad = RawAttr::new(number | NLA_F_NESTED, vec![0; 4]);
        refused(&mut client, &[bad], Expected::errno(&[libc::EINVAL]))?;
    }
    // A length that is a lie.
    for claimed in [0, 3, 400, u16::MAX] {
        let bad = with_inode(1).claiming_len(claimed);
        refused(&mut client, &[bad], Expected::errno(&[libc::EINVAL]))?;
    }
    Ok(())
}

/// But for inode numbers, of which there may be many.
fn repeated() -> Result<()> {
    let mut client = cr::client()?;
    let me = me()?;
    for twice in [of(&me), on(7000)] {
        let expected = Expected::errno(&[libc::EINVAL])
            .attribute(twice.number())
            .word("repeated");
        refused(
            &mut client,
            &[twice.clone(), with_inode(1), twice],
            expected,
        )?;
    }
    Ok(())
}

/// What is not open, and what is open and no pidfd.
fn no_pidfd() -> Result<()> {
    let mut client = cr::client()?;
    let socket = bound(7000)?;
    let folder = File::open("/proc/self")?;
    let expected = Expected::errno(&[libc::EBADF])
        .attribute(attr::PIDFD)
        .word("not an open pidfd");
    let open = [socket.as_raw_fd(), folder.as_raw_fd()].map(i32::cast_unsigned);
    for number in [1000, 1 << 31, u32::MAX].into_iter().chain(open) {
        let pidfd = RawAttr::u32(attr::PIDFD, number);
        refused(&mut client, &[pidfd], expected)?;
    }
    Ok(())
}

fn dead_process() -> Result<()> {
    let mut child = task::fork(|| 0)?;
    let pidfd = child.pidfd().try_clone()?;
    child.wait(Duration::from_secs(5))?;
    let expected = Expected::errno(&[libc::ESRCH])
        .attribute(attr::PIDFD)
        .word("gone");
    refused(&mut cr::client()?, &[of(&pidfd)], expected)
}

/// One that is answered by one message takes nothing of this.
fn of_a_single_dump() -> Result<()> {
    let mut client = cr::client()?;
    let socket = bound(7000)?;
    let fd = RawAttr::u32(attr::SOCK_FD, socket.as_raw_fd().cast_unsigned());
    for other in [on(7000), with_inode(socket::inode(&socket)?)] {
        let expected = Expected::errno(&[libc::EINVAL]).attribute(other.number());
        cr::refused(client.raw(DUMP, &[fd.clone(), other]), expected)?;
    }
    Ok(())
}

/// Each goes over all sockets, so that of several that are sent at once the last one is answered.
fn several_at_once() -> Result<()> {
    let mut client = cr::client()?;
    let sockets = [bound(7000)?];
    let me = me()?;
    let of_process = vec![of(&me), on(7000)];
    for requests in [
        [vec![], vec![], vec![]],
        [of_process.clone(), vec![], of_process.clone()],
        [vec![], of_process.clone(), vec![on(7000)]],
    ] {
        let mut raw = RawNetlink::open(&client)?;
        raw.ask_for_words()?;
        let answers = raw.send_together_with(DUMP, &requests, libc::NLM_F_DUMP)?;
        let [first, second, Ok(last)] = answers.as_slice() else {
            bail!("{answers:?}");
        };
        for answer in [first, second] {
            is_put_off(answer)?;
        }
        all_dumped(&mut client, &[Dump(last.clone())], &sockets)?;
    }
    Ok(())
}

fn is_put_off(answer: &Answer) -> Result<()> {
    let Err(refusal) = answer else {
        bail!("answered {answer:?}");
    };
    ensure!(
        refusal.errno == libc::EBUSY && refusal.message.contains("only the last"),
        "{refusal:?}"
    );
    Ok(())
}
