// SPDX-License-Identifier: GPL-2.0

//! A socket that another process has open, dumped: here, and by the plain calls that a checkpointer
//! makes.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::Result;
use inetcr::RawAttr;

use crate::cases::{PORT, number, with};
use crate::count;
use crate::netlink::Family;
use crate::options::Which;
use crate::sys::{self, Child};

/// The process, and what its socket is called there.
struct Another {
    pidfd: OwnedFd,
    fd: u32,
    _child: Child,
}

impl Another {
    fn new() -> Result<Self> {
        let socket = with(Which::All)?;
        sys::bind(&socket, PORT)?;
        // It keeps what is closed here.
        let child = Child::start()?;
        sys::let_others_sleep();
        Ok(Self {
            pidfd: sys::pidfd(child.pid())?,
            fd: socket.as_raw_fd().cast_unsigned(),
            _child: child,
        })
    }
}

pub fn dump() -> Result<u64> {
    let another = Another::new()?;
    let mut family = Family::new()?;
    let message = family.request(
        number::DUMP,
        &[
            RawAttr::u32(number::PIDFD, another.pidfd.as_raw_fd().cast_unsigned()),
            RawAttr::u32(number::SOCK_FD, another.fd),
        ],
    )?;
    count(100, || family.done(&message))
}

/// The descriptor is fetched, all that can be asked is asked, `sock_diag` tells the rest.
pub fn dump_by_calls() -> Result<u64> {
    let another = Another::new()?;
    let mut diag = Family::sock_diag()?;
    let message = diag.udp_socket(PORT)?;
    count(100, || {
        let socket = sys::fetch(&another.pidfd, another.fd)?;
        Which::All.get(&socket);
        sys::names(&socket);
        sys::inode(&socket)?;
        diag.done(&message)
    })
}
