// SPDX-License-Identifier: GPL-2.0

//! Who may read what others have sent to a socket, and who may put it there: `CAP_NET_RAW` is
//! needed besides, of whoever opened the netlink socket and of whoever sends.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, ensure};
use inetcr::{Client, RawAttr, Selector};

use super::comes_back;
use super::ends::{gone, port_is_free};
use super::traffic::{HERE, holding, payload, peer, receiver};
use crate::cases::refusals::privileges::{in_user_namespace, with_one_of_another};
use crate::cr::{self, Expected, Part, QUEUE, Queued, RESTORE, attr};
use crate::observe::{observe, same};
use crate::runner::Test;
use crate::sys::{namespace, socket, task};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("queue::privilege::no_net_raw", no_net_raw),
        Test::new("queue::privilege::no_net_admin", no_net_admin),
        Test::new("queue::privilege::dropped_later", dropped_later),
        Test::new("queue::privilege::opened_by_another", opened_by_another),
        Test::new("queue::privilege::user_namespace_works", || {
            in_user_namespace(works_there)
        }),
        Test::new("queue::privilege::user_namespace_other_net", || {
            in_user_namespace(other_net)
        }),
    ]
}

/// The attributes of each part, as somebody who may would send them.
fn parts(queued: &Queued) -> Vec<(Part, Vec<RawAttr>)> {
    let attrs = |part| match part {
        Part::Begin => queued.dump.0.as_slice(),
        Part::Queue => queued.queue.as_slice(),
        Part::Commit | Part::Abort => &[],
    };
    Part::ALL.map(|part| (part, part.of(attrs(part)))).into()
}

/// Fails unless nothing of it is permitted, with words if somebody is to say them.
fn nothing_permitted(
    client: &mut Client,
    original: &UdpSocket,
    queued: &Queued,
    with_words: bool,
) -> Result<()> {
    let before = observe(original);
    let files = cr::open_files();
    let check = |error: Option<inetcr::Error>| -> Result<()> {
        let error = error.context("permitted")?;
        if with_words {
            let expected = Expected::errno(&[libc::EPERM]).word("CAP_NET_RAW");
            cr::refused::<()>(Err(error), expected)?;
        } else {
            ensure!(error.errno() == Some(libc::EPERM), "{error}");
        }
        Ok(())
    };
    let target = Selector::Fd(original.as_raw_fd()).into();
    let selector = inetcr::Target::to_attrs(&target);
    check(client.raw_multipart(QUEUE, &selector).err()).context("QUEUE")?;
    for (part, attrs) in parts(queued) {
        let error = client.restore_attrs(&attrs).err();
        check(error).with_context(|| format!("{part:?}"))?;
    }
    ensure!(cr::open_files() == files, "the refusal left a descriptor");
    same(
        "the refusal changed the socket",
        &before,
        &observe(original),
    )
}

/// A socket with a datagram, and its dump.
fn dumped() -> Result<(UdpSocket, Queued)> {
    let original = holding(&[b"secret"])?;
    let queued = Queued::of(&mut cr::client()?, &original)?;
    Ok((original, queued))
}

/// The rest is permitted: that there is a queue is no secret.
fn no_net_raw() -> Result<()> {
    let (original, queued) = dumped()?;
    task::drop_capabilities(&[task::CAP_NET_RAW])?;
    let mut client = cr::client()?;
    nothing_permitted(&mut client, &original, &queued, true)?;
    let dump = cr::dump(&mut client, &original)?;
    cr::same_dump(&queued.dump, &dump)?;
    drop(original);
    drop(cr::restore(&mut client, &dump.without(attr::QUEUE_LEN))?);
    Ok(())
}

fn no_net_admin() -> Result<()> {
    let (original, queued) = dumped()?;
    task::drop_capabilities(&[task::CAP_NET_ADMIN])?;
    nothing_permitted(&mut cr::client()?, &original, &queued, false)
}

/// Every part asks again.
fn dropped_later() -> Result<()> {
    let mut clients = [cr::client()?, cr::client()?, cr::client()?];
    let (queued, _) = gone(&mut clients[0])?;
    let original = UdpSocket::bind("127.0.0.1:7100")?;
    peer()?.send_to(b"secret", "127.0.0.1:7100")?;
    Part::Begin.send(&mut clients[0], &queued.dump.0)?;
    task::drop_capabilities(&[task::CAP_NET_RAW])?;
    nothing_permitted(&mut clients[1], &original, &queued, true)?;
    let expected = Expected::errno(&[libc::EPERM]).word("CAP_NET_RAW");
    let result = Part::Queue.send(&mut clients[0], &queued.queue);
    cr::refused(result, expected)?;
    // Refused or gone, it hands out nothing.
    let files = cr::open_files();
    ensure!(Part::commit(&mut clients[0]).is_err(), "committed");
    ensure!(cr::open_files() == files, "the refusal left a descriptor");
    drop(clients);
    port_is_free()
}

/// A privileged process that is led to write into a netlink socket of another does no harm.
fn opened_by_another() -> Result<()> {
    let (original, queued) = dumped()?;
    let client = cr::client()?;
    let prepare = || Ok(task::drop_capabilities(&[task::CAP_NET_RAW])?);
    with_one_of_another(&client, prepare, |raw| {
        let files = cr::open_files();
        let target = inetcr::Target::from(Selector::Fd(original.as_raw_fd()));
        raw.send_multipart(QUEUE, &RawAttr::encode_all(&target.to_attrs()))?;
        let answer = raw.parts()?;
        ensure!(answer == Err(libc::EPERM), "QUEUE: {answer:?}");
        for (part, attrs) in parts(&queued) {
            raw.send(RESTORE, &RawAttr::encode_all(&attrs))?;
            let Err(error) = raw.answer() else {
                anyhow::bail!("{part:?} is permitted");
            };
            let errno = error.downcast::<std::io::Error>()?.raw_os_error();
            ensure!(errno == Some(libc::EPERM), "{part:?}: {errno:?}");
        }
        ensure!(cr::open_files() == files, "the refusal left a descriptor");
        Ok(())
    })
}

/// Root of a user namespace may, in a network namespace of its own.
fn works_there() -> Result<()> {
    let original = receiver()?;
    peer()?.send_to(b"one", HERE)?;
    peer()?.send_to(&payload(1, 50_000), HERE)?;
    let (_, messages) = comes_back(original)?;
    ensure!(messages.len() == 2, "{} messages", messages.len());
    Ok(())
}

/// Root of a user namespace may not in a network namespace that is not its own.
fn other_net() -> Result<()> {
    let (original, queued) = dumped()?;
    task::run_in_child(|| {
        namespace::new_user()?;
        nothing_permitted(&mut cr::client()?, &original, &queued, false)
    })?;
    let (payload, _) = socket::receive(&original, libc::MSG_DONTWAIT)?;
    ensure!(payload == b"secret", "the datagram is another one");
    Ok(())
}
