// SPDX-License-Identifier: GPL-2.0

//! Finding a socket: every selector names the same one, or none.

use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use inetcr::{Client, RawAttr, Selector, Target};

use crate::cr::{self, DUMP, Dump, Expected, attr};
use crate::observe::{observe, same};
use crate::places::place;
use crate::rawnl::{Answer, RawNetlink};
use crate::runner::Test;
use crate::sys::{namespace, socket, task};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("selectors::all_agree::bound", || all_agree("addr_port")),
        Test::new("selectors::all_agree::any_port", || all_agree("any_port")),
        Test::new("selectors::all_agree::connected", || {
            all_agree("connected_any_port")
        }),
        Test::new("selectors::all_agree::unbound", || all_agree("unbound")),
        Test::new("selectors::other_process", other_process),
        Test::new("selectors::many_sockets", many_sockets),
        Test::new("selectors::cookie_is_wrong", wrong_cookie),
        Test::new("selectors::other_namespace", other_namespace),
        Test::new("selectors::hidden_process", hidden_process),
        Test::new("selectors::batch", batch),
        Test::new("selectors::batch_of_restores", batch_of_restores),
    ]
}

pub fn bound() -> Result<UdpSocket> {
    let socket = socket::udp()?;
    socket::bind(&socket, "127.0.0.1:7000".parse()?)?;
    Ok(socket)
}

/// Asks for a dump that must be refused.
pub fn refused(client: &mut Client, attrs: &[RawAttr], expected: Expected<'_>) -> Result<()> {
    let files = cr::open_files();
    cr::refused(client.raw(DUMP, attrs), expected)?;
    ensure!(cr::open_files() == files, "the refusal left a descriptor");
    Ok(())
}

/// Descriptor, pidfd with descriptor and inode, each also with the cookie, find
/// one socket and say the same of it.
fn all_agree(name: &str) -> Result<()> {
    let mut client = cr::client()?;
    let original = socket::udp()?;
    if let Some(place) = place(name) {
        (place.go)(&original)?;
    }
    let me = task::pidfd_open(std::process::id().cast_signed())?;
    let cookie = socket::cookie(&original)?;
    let before = observe(&original);
    let selectors = [
        Selector::Fd(original.as_raw_fd()),
        Selector::Pidfd {
            pidfd: me.as_fd(),
            fd: original.as_raw_fd(),
        },
        Selector::Inode(socket::inode(&original)?),
    ];
    let mut dumps: Vec<Dump> = Vec::new();
    for selector in selectors {
        dumps.push(cr::dump_by(&mut client, selector.into())?);
        dumps.push(cr::dump_by(&mut client, selector.with_cookie(cookie))?);
    }
    same("looking changed the socket", &before, &observe(&original))?;
    for dump in &dumps {
        ensure!(*dump == dumps[0], "{dump:?} != {:?}", dumps[0]);
        cr::check_identity(dump, &original)?;
    }
    Ok(())
}

/// A child with a socket, which tells its descriptor and then waits.
pub fn child_with(
    socket: impl FnOnce() -> Result<UdpSocket>,
    prepare: impl FnOnce() -> Result<()>,
) -> Result<(task::Child, i32, u64)> {
    let (reader, writer) = std::io::pipe()?;
    let mut reader = std::fs::File::from(std::os::fd::OwnedFd::from(reader));
    let child = task::fork(|| {
        let work = || -> Result<()> {
            let socket = socket()?;
            prepare()?;
            let line = format!("{} {}", socket.as_raw_fd(), socket::inode(&socket)?);
            std::io::Write::write_all(&mut &writer, line.as_bytes())?;
            std::thread::sleep(Duration::from_secs(600));
            drop(socket);
            Ok(())
        };
        i32::from(work().is_err())
    })?;
    let mut buffer = [0; 64];
    let len = std::io::Read::read(&mut reader, &mut buffer)?;
    let text = std::str::from_utf8(&buffer[..len])?;
    let mut words = text.split(' ');
    let mut number = || -> Result<u64> { Ok(words.next().unwrap_or_default().parse()?) };
    let (fd, inode) = (number()?, number()?);
    Ok((child, i32::try_from(fd)?, inode))
}

/// The socket of another process, of which this one has no descriptor.
fn other_process() -> Result<()> {
    let mut client = cr::client()?;
    for is_bound in [true, false] {
        let make = || {
            if is_bound {
                bound()
            } else {
                Ok(socket::udp()?)
            }
        };
        let (child, fd, inode) = child_with(make, || Ok(()))?;
        let by_pidfd = Selector::Pidfd {
            pidfd: child.pidfd().as_fd(),
            fd,
        };
        let by_pidfd = cr::dump_by(&mut client, by_pidfd.into())?;
        let by_inode = cr::dump_by(&mut client, Selector::Inode(inode).into())?;
        ensure!(by_pidfd == by_inode, "{by_pidfd:?} != {by_inode:?}");
        ensure!(
            by_inode.uint(attr::INODE) == Some(inode),
            "found another socket"
        );
        drop(child);
        let copy = cr::restore(&mut client, &by_inode)?;
        cr::same_dump(&by_inode, &cr::dump(&mut client, &copy)?)?;
    }
    Ok(())
}

/// Each of many sockets is found by its inode, on one port and on many.
fn many_sockets() -> Result<()> {
    let mut client = cr::client()?;
    let mut sockets = Vec::new();
    for number in 0..40_u8 {
        let socket = socket::udp()?;
        match number % 4 {
            0 => socket::bind(&socket, format!("127.0.1.{number}:7000").parse()?)?,
            1 => socket::bind(
                &socket,
                format!("127.0.1.1:{}", 7100 + u16::from(number)).parse()?,
            )?,
            2 => socket::bind(&socket, "0.0.0.0:0".parse()?)?,
            _ => {}
        }
        sockets.push(socket);
    }
    for socket in &sockets {
        let dump = cr::dump_by(&mut client, Selector::Inode(socket::inode(socket)?).into())?;
        cr::check_identity(&dump, socket)?;
    }
    Ok(())
}

fn wrong_cookie() -> Result<()> {
    let mut client = cr::client()?;
    let socket = bound()?;
    let cookie = socket::cookie(&socket)?;
    let selectors = [
        Selector::Fd(socket.as_raw_fd()),
        Selector::Inode(socket::inode(&socket)?),
    ];
    let expected = Expected::errno(&[libc::ESTALE]).attribute(attr::COOKIE);
    for selector in selectors {
        for wrong in [0, cookie + 1, cookie | 1 << 40, u64::MAX] {
            let target: Target<'_> = selector.with_cookie(wrong);
            refused(&mut client, &target.to_attrs(), expected)?;
        }
    }
    Ok(())
}

/// Of several requests in one sendmsg(2), only the last one looks for an inode number: that takes
/// long, and the others would wait. Descriptors take no time.
fn batch() -> Result<()> {
    let client = cr::client()?;
    let (bound, unbound) = (bound()?, socket::udp()?);
    let by_inode = |socket: &UdpSocket| -> Result<_> {
        Ok(vec![RawAttr::uint(attr::INODE, socket::inode(socket)?)])
    };
    let (to_bound, to_unbound) = (by_inode(&bound)?, by_inode(&unbound)?);
    let fd = |socket: &UdpSocket| socket.as_raw_fd().cast_unsigned();
    let by_fd = vec![RawAttr::u32(attr::SOCK_FD, fd(&unbound))];
    let mut raw = RawNetlink::open(&client)?;
    raw.ask_for_words()?;
    let dumped = |answer: Option<Answer>, socket: &UdpSocket| -> Result<()> {
        match answer.context("no answer")? {
            Ok(attrs) => cr::check_identity(&Dump(attrs), socket),
            Err(refusal) => bail!("{refusal:?}"),
        }
    };

    let requests = [by_fd, to_unbound.clone()];
    let mut answers = raw.send_together(DUMP, &requests)?.into_iter();
    dumped(answers.next(), &unbound).context("by descriptor, first")?;
    dumped(answers.next(), &unbound).context("the unbound one, last")?;

    let requests = [to_unbound, to_bound.clone(), to_bound];
    let mut answers = raw.send_together(DUMP, &requests)?.into_iter();
    for which in ["unbound", "bound"] {
        let Err(refusal) = answers.next().context("no answer")? else {
            bail!("the {which} one was found, and not as the last");
        };
        ensure!(
            refusal.errno == libc::EBUSY
                && refusal.attribute == Some(attr::INODE)
                && refusal.message.contains("only the last"),
            "{which}: {refusal:?}"
        );
    }
    dumped(answers.next(), &bound).context("the bound one, last")
}

/// Of several requests that are sent at once, only the last may connect a socket.
fn batch_of_restores() -> Result<()> {
    let mut client = cr::client()?;
    let original = socket::udp()?;
    (place("connected_addr_port").map(|place| place.go)).context("no such place")?(&original)?;
    let connected = cr::dump(&mut client, &original)?;
    drop(original);
    let unbound = cr::dump(&mut client, &socket::udp()?)?;
    let mut raw = RawNetlink::open(&client)?;
    raw.ask_for_words()?;
    let made = |answer: Option<Answer>, dump: &Dump| -> Result<()> {
        match answer.context("no answer")? {
            Ok(attrs) => {
                let fd = Dump(attrs).u32(attr::SOCK_FD).context("no descriptor")?;
                let copy = UdpSocket::from(task::adopt(fd.cast_signed()));
                cr::same_dump(dump, &cr::dump(&mut cr::client()?, &copy)?)
            }
            Err(refusal) => bail!("{refusal:?}"),
        }
    };

    let requests = [unbound.0.clone(), connected.0.clone()];
    let mut answers = raw.send_together(cr::RESTORE, &requests)?.into_iter();
    made(answers.next(), &unbound).context("the unbound one, first")?;
    made(answers.next(), &connected).context("the connected one, last")?;

    let requests = [connected.0.clone(), unbound.0.clone()];
    let mut answers = raw.send_together(cr::RESTORE, &requests)?.into_iter();
    let Err(refusal) = answers.next().context("no answer")? else {
        bail!("the connected one was made first");
    };
    ensure!(
        refusal.errno == libc::EBUSY && refusal.message.contains("only the last"),
        "{refusal:?}"
    );
    made(answers.next(), &unbound).context("the unbound one, last")
}

/// A socket of another network namespace is not found, by whatever selector.
fn other_namespace() -> Result<()> {
    let mut sockets = vec![bound()?, socket::udp()?];
    let here = namespace::Network::current()?;
    namespace::new_network()?;
    let mut client = cr::client()?;
    here.enter()?;
    sockets.push(socket::udp()?);
    let me = task::pidfd_open(std::process::id().cast_signed())?;
    for socket in &sockets {
        let before = observe(socket);
        let fd = RawAttr::u32(attr::SOCK_FD, socket.as_raw_fd().cast_unsigned());
        let pidfd = RawAttr::u32(attr::PIDFD, me.as_raw_fd().cast_unsigned());
        let inode = RawAttr::uint(attr::INODE, socket::inode(socket)?);
        let expected = Expected::errno(&[libc::ENOENT]);
        refused(&mut client, &[inode], expected.attribute(attr::INODE))?;
        let expected = expected.attribute(attr::SOCK_FD);
        refused(&mut client, std::slice::from_ref(&fd), expected)?;
        refused(&mut client, &[fd, pidfd], expected)?;
        same("the refusal changed the socket", &before, &observe(socket))?;
    }
    Ok(())
}

/// Without `CAP_SYS_PTRACE`, the files of another user's process are not seen:
/// by pidfd it is refused, by inode an unbound socket is not found. A bound one
/// is in the namespace's table.
fn hidden_process() -> Result<()> {
    let mut client = cr::client()?;
    let user = || task::become_user(65_534).map_err(Into::into);
    let (bound_child, bound_fd, bound_inode) = child_with(bound, user)?;
    let (child, fd, inode) = child_with(|| Ok(socket::udp()?), user)?;
    task::drop_capabilities(&[task::CAP_SYS_PTRACE])?;
    for (child, fd) in [(&bound_child, bound_fd), (&child, fd)] {
        let by_pidfd = Target::from(Selector::Pidfd {
            pidfd: child.pidfd().as_fd(),
            fd,
        });
        let expected = Expected::errno(&[libc::EPERM]).attribute(attr::PIDFD);
        refused(&mut client, &by_pidfd.to_attrs(), expected)?;
    }
    let expected = Expected::errno(&[libc::ENOENT]).attribute(attr::INODE);
    refused(&mut client, &[RawAttr::uint(attr::INODE, inode)], expected)?;
    let dump = cr::dump_by(&mut client, Selector::Inode(bound_inode).into())?;
    ensure!(
        dump.uint(attr::INODE) == Some(bound_inode),
        "found another socket"
    );
    Ok(())
}
