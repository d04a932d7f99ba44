// SPDX-License-Identifier: GPL-2.0

//! Selectors that name no socket, or more than one.

use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::Result;
use inetcr::RawAttr;

use super::selectors::{bound, refused};
use crate::cr::{self, Expected, attr};
use crate::runner::Test;
use crate::sys::{socket, task};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("selectors::none", none),
        Test::new("selectors::two", two),
        Test::new("selectors::pidfd_alone", pidfd_alone),
        Test::new("selectors::cookie_alone", cookie_alone),
        Test::new("selectors::bad_fd", bad_fd),
        Test::new("selectors::bad_pidfd", bad_pidfd),
        Test::new("selectors::not_a_socket", not_a_socket),
        Test::new("selectors::path_descriptor", path_descriptor),
        Test::new("selectors::dead_process", dead_process),
        Test::new("selectors::inode_of_nothing", inode_of_nothing),
        Test::new("selectors::inode_of_closed", inode_of_closed),
    ]
}

fn none() -> Result<()> {
    refused(&mut cr::client()?, &[], Expected::errno(&[libc::EINVAL]))
}

fn two() -> Result<()> {
    let socket = bound()?;
    let me = task::pidfd_open(std::process::id().cast_signed())?;
    let fd = RawAttr::u32(attr::SOCK_FD, socket.as_raw_fd().cast_unsigned());
    let pidfd = RawAttr::u32(attr::PIDFD, me.as_raw_fd().cast_unsigned());
    let inode = RawAttr::uint(attr::INODE, socket::inode(&socket)?);
    let expected = Expected::errno(&[libc::EINVAL]);
    let mut client = cr::client()?;
    refused(&mut client, &[inode.clone(), fd.clone()], expected)?;
    refused(&mut client, &[inode.clone(), pidfd.clone()], expected)?;
    refused(&mut client, &[inode, fd, pidfd], expected)
}

fn pidfd_alone() -> Result<()> {
    let me = task::pidfd_open(std::process::id().cast_signed())?;
    let pidfd = RawAttr::u32(attr::PIDFD, me.as_raw_fd().cast_unsigned());
    let expected = Expected::errno(&[libc::EINVAL]).attribute(attr::SOCK_FD);
    refused(&mut cr::client()?, &[pidfd], expected)
}

fn cookie_alone() -> Result<()> {
    let socket = bound()?;
    let cookie = RawAttr::uint(attr::COOKIE, socket::cookie(&socket)?);
    refused(
        &mut cr::client()?,
        &[cookie],
        Expected::errno(&[libc::EINVAL]),
    )
}

fn bad_fd() -> Result<()> {
    let mut client = cr::client()?;
    let me = task::pidfd_open(std::process::id().cast_signed())?;
    let expected = Expected::errno(&[libc::EBADF]).attribute(attr::SOCK_FD);
    for fd in [1000, i32::MAX.cast_unsigned(), 1 << 31, u32::MAX] {
        let fd = RawAttr::u32(attr::SOCK_FD, fd);
        refused(&mut client, std::slice::from_ref(&fd), expected)?;
        let pidfd = RawAttr::u32(attr::PIDFD, me.as_raw_fd().cast_unsigned());
        refused(&mut client, &[fd, pidfd], expected)?;
    }
    Ok(())
}

fn bad_pidfd() -> Result<()> {
    let mut client = cr::client()?;
    let socket = bound()?;
    let fd = RawAttr::u32(attr::SOCK_FD, socket.as_raw_fd().cast_unsigned());
    let expected = Expected::errno(&[libc::EBADF]).attribute(attr::PIDFD);
    // Not open, and open but no pidfd.
    for pidfd in [1000, u32::MAX, socket.as_raw_fd().cast_unsigned()] {
        let pidfd = RawAttr::u32(attr::PIDFD, pidfd);
        refused(&mut client, &[pidfd, fd.clone()], expected)?;
    }
    Ok(())
}

fn not_a_socket() -> Result<()> {
    let file = std::fs::File::open("/proc/self/status")?;
    let fd = RawAttr::u32(attr::SOCK_FD, file.as_raw_fd().cast_unsigned());
    let expected = Expected::errno(&[libc::ENOTSOCK]).attribute(attr::SOCK_FD);
    refused(&mut cr::client()?, &[fd], expected)
}

/// A descriptor of `O_PATH` gives no access to what it names.
fn path_descriptor() -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::File::options()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open("/proc/self/status")?;
    let fd = RawAttr::u32(attr::SOCK_FD, file.as_raw_fd().cast_unsigned());
    let expected = Expected::errno(&[libc::EBADF, libc::ENOTSOCK]).attribute(attr::SOCK_FD);
    refused(&mut cr::client()?, &[fd], expected)
}

fn dead_process() -> Result<()> {
    let mut child = task::fork(|| 0)?;
    let pidfd = child.pidfd().try_clone()?;
    child.wait(Duration::from_secs(5))?;
    let attrs = [
        RawAttr::u32(attr::PIDFD, pidfd.as_raw_fd().cast_unsigned()),
        RawAttr::u32(attr::SOCK_FD, 0),
    ];
    let expected = Expected::errno(&[libc::ESRCH]).attribute(attr::PIDFD);
    refused(&mut cr::client()?, &attrs, expected)
}

fn inode_of_nothing() -> Result<()> {
    let mut client = cr::client()?;
    let expected = Expected::errno(&[libc::ENOENT]).attribute(attr::INODE);
    let file = socket::inode(&std::fs::File::open("/proc/self/status")?)?;
    for inode in [0, 1, file, u64::from(u32::MAX), u64::MAX] {
        refused(&mut client, &[RawAttr::uint(attr::INODE, inode)], expected)?;
    }
    Ok(())
}

fn inode_of_closed() -> Result<()> {
    let mut client = cr::client()?;
    let expected = Expected::errno(&[libc::ENOENT]).attribute(attr::INODE);
    for socket in [bound()?, socket::udp()?] {
        let inode = socket::inode(&socket)?;
        drop(socket);
        refused(&mut client, &[RawAttr::uint(attr::INODE, inode)], expected)?;
    }
    Ok(())
}
