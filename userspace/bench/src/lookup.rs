// SPDX-License-Identifier: GPL-2.0

//! What it takes to find a socket. The request has the wrong cookie, so that it ends as soon as the
//! socket is found; it is one that is not bound, as those that are bound are in a hash table.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Result, ensure};
use inetcr::RawAttr;

use crate::cases::{number, udp};
use crate::count;
use crate::netlink::{Family, error};
use crate::sys::{self, Child};

/// Among what the socket is looked for.
#[derive(Clone, Copy)]
pub enum Among {
    /// So many sockets that a process has open, of which it is the last.
    Sockets(usize),
    /// So many processes, each with the three files that it is started with; the last has it.
    Processes(usize),
}

/// A process with the socket, and what has to stay while it is looked for.
struct Owner {
    pidfd: OwnedFd,
    fd: u32,
    inode: u64,
    _sockets: Vec<OwnedFd>,
    _children: Vec<Child>,
}

impl Owner {
    fn new(among: Among) -> Result<Self> {
        let mut children = Vec::new();
        let mut sockets = Vec::new();
        match among {
            Among::Sockets(count) => {
                for _ in 1..count {
                    sockets.push(udp()?);
                }
            }
            Among::Processes(count) => {
                for _ in 1..count {
                    children.push(Child::start()?);
                }
            }
        }
        let socket = udp()?;
        let (fd, inode) = (socket.as_raw_fd().cast_unsigned(), sys::inode(&socket)?);
        let process = match among {
            Among::Sockets(_) => {
                sockets.push(socket);
                sys::own_pid()
            }
            // It is closed here.
            Among::Processes(_) => {
                let child = Child::start()?;
                let pid = child.pid();
                children.push(child);
                pid
            }
        };
        sys::let_others_sleep();
        Ok(Self {
            pidfd: sys::pidfd(process)?,
            fd,
            inode,
            _sockets: sockets,
            _children: children,
        })
    }
}

pub fn by_pidfd(among: Among) -> Result<u64> {
    let owner = Owner::new(among)?;
    find(&[
        RawAttr::u32(number::PIDFD, owner.pidfd.as_raw_fd().cast_unsigned()),
        RawAttr::u32(number::SOCK_FD, owner.fd),
    ])
}

pub fn by_inode(among: Among) -> Result<u64> {
    let owner = Owner::new(among)?;
    find(&[RawAttr::uint(number::INODE, owner.inode)])
}

fn find(which: &[RawAttr]) -> Result<u64> {
    let mut family = Family::new()?;
    let attrs = [which, &[RawAttr::uint(number::COOKIE, u64::MAX)]].concat();
    let message = family.request(number::DUMP, &attrs)?;
    count(10, || {
        let error = error(family.answer(&message)?);
        ensure!(error == Some(-libc::ESTALE), "not found: {error:?}");
        Ok(())
    })
}
