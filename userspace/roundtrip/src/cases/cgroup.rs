// SPDX-License-Identifier: GPL-2.0

//! The control group that a socket belongs to: that of who has made it.

use std::fs;
use std::net::UdpSocket;

use anyhow::{Context, Result, ensure};

use crate::cr::{self, attr};
use crate::places::PORT;
use crate::runner::{self, Test};
use crate::sys::cgroup::Cgroup;

pub fn tests() -> Vec<Test> {
    vec![Test::new("cgroup::of_the_restorer", of_the_restorer)]
}

/// Whether sockets of this kernel know their control group.
fn is_known() -> Result<bool> {
    let symbols = fs::read_to_string("/proc/kallsyms").context("/proc/kallsyms")?;
    Ok(symbols.contains(" cgroup_sk_alloc\n"))
}

/// A dump says where the original is; the copy is where its maker is, wherever that was.
fn of_the_restorer() -> Result<()> {
    let mut client = cr::client()?;
    if !is_known()? {
        let dump = cr::dump(&mut client, &UdpSocket::bind(("127.0.0.1", PORT))?)?;
        ensure!(dump.get(attr::CGROUP).is_none(), "{dump:?}");
        return runner::skip("control groups of sockets");
    }
    let (group, other) = (Cgroup::new("maker")?, Cgroup::new("restorer")?);
    group.enter()?;
    let original = UdpSocket::bind(("127.0.0.1", PORT))?;
    other.enter()?;
    let dump = cr::dump(&mut client, &original)?;
    ensure!(dump.uint(attr::CGROUP) == Some(group.id()?), "{dump:?}");
    drop(original);
    let copy = cr::restore(&mut client, &dump)?;
    let of_copy = cr::dump(&mut client, &copy)?.uint(attr::CGROUP);
    ensure!(of_copy == Some(other.id()?), "{of_copy:?}");
    Ok(())
}
