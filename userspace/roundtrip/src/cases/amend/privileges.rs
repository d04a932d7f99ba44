// SPDX-License-Identifier: GPL-2.0

//! Who may amend what.

use std::net::UdpSocket;
use std::os::fd::AsFd;

use anyhow::{Context, Result, ensure};
use inetcr::{Error, RawAttr, Selector};

use super::{amend, bound, is_amended, request};
use crate::cases::refusals::privileges::{in_turns, in_user_namespace};
use crate::cases::selectors::child_with;
use crate::cr::{self, AMEND, Dump, Expected, attr};
use crate::observe::{observe, same};
use crate::options::{apply, rows, socket_with};
use crate::runner::Test;
use crate::sys::{namespace, socket, task};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("amend::privileges::other_process", other_process),
        Test::new("amend::privileges::not_to_attach", not_to_attach),
        Test::new("amend::privileges::no_net_admin", no_net_admin),
        Test::new("amend::privileges::user_namespace", user_namespace).slow(),
        Test::new("amend::privileges::buffers", || in_user_namespace(buffers)),
        Test::new("amend::privileges::larger_buffers", larger_buffers),
    ]
}

/// A request about a socket of another process.
fn of_another(dump: &Dump, child: &task::Child, fd: i32) -> Dump {
    let selector = Selector::Pidfd {
        pidfd: child.pidfd().as_fd(),
        fd,
    };
    let mut request = dump.clone().without(attr::INODE).without(attr::COOKIE);
    request.0.extend(inetcr::Target::from(selector).to_attrs());
    request
}

/// By pidfd, signals tell the descriptor of the other process.
fn other_process() -> Result<()> {
    let mut client = cr::client()?;
    let donor = bound()?;
    socket::set_int(&donor, libc::SOL_IP, libc::IP_TTL, 9)?;
    socket::fcntl(&donor, libc::F_SETFL, libc::O_NONBLOCK | libc::O_ASYNC)?;
    let donor = cr::checkpoint(&mut client, donor)?;
    let (child, fd, inode) = child_with(bound, || Ok(()))?;
    let amended = client.amend_attrs(&of_another(&donor.dump, &child, fd).0)?;
    ensure!(amended.failed.is_empty(), "{:?}", amended.failed);
    ensure!(amended.inode == inode, "another socket");
    let theirs = UdpSocket::from(task::take_descriptor(child.pidfd(), fd)?);
    is_amended(&mut client, &donor, &theirs)
}

/// Without the right to attach to the process.
fn not_to_attach() -> Result<()> {
    let mut client = cr::client()?;
    let dump = cr::dump(&mut client, &bound()?)?;
    let dump = dump.with(RawAttr::u32(6, 1));
    let user = || task::become_user(65_534).map_err(Into::into);
    let (child, fd, _) = child_with(bound, user)?;
    let theirs = UdpSocket::from(task::take_descriptor(child.pidfd(), fd)?);
    task::drop_capabilities(&[task::CAP_SYS_PTRACE])?;
    let before = observe(&theirs);
    let expected = Expected::errno(&[libc::EPERM]).attribute(attr::PIDFD);
    let request = of_another(&dump, &child, fd);
    cr::refused(client.raw(AMEND, &request.0), expected)?;
    same("it was amended", &before, &observe(&theirs))
}

fn no_net_admin() -> Result<()> {
    let target = bound()?;
    let mut early = cr::client()?;
    let dump = cr::dump(&mut early, &target)?.with(RawAttr::u32(6, 1));
    task::drop_capabilities(&[task::CAP_NET_ADMIN])?;
    let before = observe(&target);
    for mut client in [early, cr::client()?] {
        let errno = amend(&mut client, &dump, &target)
            .err()
            .as_ref()
            .and_then(Error::errno);
        ensure!(errno == Some(libc::EPERM), "error {errno:?}");
    }
    same("it was amended", &before, &observe(&target))
}

/// Each value of each option, by the root of a user namespace: what setsockopt refuses there is
/// reported for that option, with the same error, and all else is applied.
fn user_namespace() -> Result<()> {
    let mut client = cr::client()?;
    let mut donors = Vec::new();
    for row in rows() {
        for case in row.cases {
            if !case.set.is_of_all() && !case.set.is_of_other_device() {
                let donor = socket_with(row, case)?;
                let seen = observe(&donor);
                donors.push((row, case, cr::dump(&mut client, &donor)?, seen));
            }
        }
    }
    in_user_namespace(|| {
        let mut client = cr::client()?;
        let mut refused = 0;
        for (row, case, dump, seen) in &donors {
            let name = || format!("{} {}", row.name, case.name);
            let target = socket::udp()?;
            let plain = observe(&target);
            let amended = amend(&mut client, dump, &target).with_context(name)?;
            let ours = socket::udp()?;
            let Err(error) = apply(&ours, row, case) else {
                ensure!(
                    amended.failed.is_empty(),
                    "{}: {:?}",
                    name(),
                    amended.failed
                );
                same(&name(), &observe(&ours), &observe(&target))?;
                continue;
            };
            let path = |failed: &inetcr::Failure| {
                let path = failed.error.attribute.as_ref();
                path.is_some_and(|path| path.numbers() == row.path)
            };
            let errno = error.raw_os_error().unwrap_or_default();
            ensure!(
                amended
                    .failed
                    .iter()
                    .any(|failed| path(failed) && failed.error.errno == errno),
                "{}: {:?}",
                name(),
                amended.failed
            );
            let gained = *seen == observe(&target) && *seen != plain;
            ensure!(!gained, "{}: set all the same", name());
            refused += 1;
        }
        ensure!(refused >= 5, "setsockopt refuses only {refused} of them");
        Ok(())
    })
}

/// No size beyond what setsockopt gives, odd or not.
fn buffers() -> Result<()> {
    let mut client = cr::client()?;
    for (number, option, sysctl) in [
        (attr::RCVBUF, libc::SO_RCVBUF, "rmem_max"),
        (attr::SNDBUF, libc::SO_SNDBUF, "wmem_max"),
    ] {
        let path = format!("/proc/sys/net/core/{sysctl}");
        let limit: u32 = std::fs::read_to_string(path)?.trim().parse()?;
        for (size, fits) in [
            (2 * limit - 2, true),
            (2 * limit - 1, true),
            (2 * limit, true),
            (2 * limit + 1, false),
            (2 * limit + 2, false),
            (1 << 30, false),
        ] {
            let target = socket::udp()?;
            let dump = Dump(vec![RawAttr::u32(number, size)]);
            let amended = client.amend_attrs(&request(&dump, &target).0)?;
            let found = socket::get_int(&target, libc::SOL_SOCKET, option)?.unsigned_abs();
            if fits {
                ensure!(
                    amended.failed.is_empty() && found == size,
                    "{size}: {found}"
                );
                continue;
            }
            let [failed] = amended.failed.as_slice() else {
                anyhow::bail!("{size}: {:?}", amended.failed);
            };
            ensure!(failed.error.errno == libc::EPERM, "{size}: {failed}");
            let new = socket::get_int(&socket::udp()?, libc::SOL_SOCKET, option)?.unsigned_abs();
            ensure!(found == new, "{size} became {found}");
        }
    }
    Ok(())
}

/// A buffer that somebody with more rights has made larger than the limit stays as it is when
/// another size is refused, and is never smaller than either when it is granted.
fn larger_buffers() -> Result<()> {
    const BUFFERS: [(u16, i32, i32); 2] = [
        (attr::RCVBUF, libc::SO_RCVBUF, libc::SO_RCVBUFFORCE),
        (attr::SNDBUF, libc::SO_SNDBUF, libc::SO_SNDBUFFORCE),
    ];
    const LARGE: i32 = 1 << 28;

    for (number, option, forced) in BUFFERS {
        let make = || {
            task::become_user(65_534)?;
            namespace::new_user_and_network()?;
            task::set_dumpable()?;
            Ok(socket::udp()?)
        };
        let enlarge = |theirs| {
            let theirs = UdpSocket::from(theirs);
            socket::set_int(&theirs, libc::SOL_SOCKET, forced, LARGE / 2)?;
            // It is nobody's choice.
            socket::set_int(&theirs, libc::SOL_SOCKET, SO_BUF_LOCK, 0)?;
            Ok(())
        };
        in_turns(make, enlarge, |target| {
            let mut client = cr::client()?;
            let before = observe(&target);
            for size in [LARGE + 1, LARGE + 2, LARGE - 1, LARGE - 2, 1] {
                let dump = Dump(vec![RawAttr::u32(number, size.unsigned_abs())]);
                let failed = client.amend_attrs(&request(&dump, &target).0)?.failed;
                let [failed] = failed.as_slice() else {
                    anyhow::bail!("option {option}, size {size}: {failed:?}");
                };
                let expected = if size == 1 { libc::ERANGE } else { libc::EPERM };
                ensure!(failed.error.errno == expected, "{size}: {failed}");
                same("it was changed", &before, &observe(&target))?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// `linux/socket.h`
const SO_BUF_LOCK: i32 = 72;
