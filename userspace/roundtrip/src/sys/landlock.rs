// SPDX-License-Identifier: GPL-2.0

//! Landlock, by its system calls: no library knows its rights for UDP yet.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::check;
use super::task::adopt;

/// What a process may do on which ports only.
#[derive(Clone, Copy)]
pub enum Right {
    /// Binding UDP sockets to them (`LANDLOCK_ACCESS_NET_BIND_UDP`).
    BindUdp = 1 << 2,
    /// Connecting UDP sockets and sending to them (`LANDLOCK_ACCESS_NET_CONNECT_SEND_UDP`).
    ConnectSendUdp = 1 << 3,
}

/// Turns the result of a system call into a [`Result`](io::Result).
fn syscall(ret: libc::c_long) -> io::Result<libc::c_int> {
    check(i32::try_from(ret).expect("small result"))
}

impl Right {
    /// The errors where the kernel has no Landlock, or that no such rights.
    pub const LACKS: [i32; 4] = [libc::ENOSYS, libc::EOPNOTSUPP, libc::EINVAL, libc::E2BIG];
}

/// Leaves the calling thread these rights alone of those that there are for UDP.
pub fn restrict(rights: &[(Right, u16)]) -> io::Result<()> {
    const LANDLOCK_RULE_NET_PORT: libc::c_int = 2;

    // struct landlock_ruleset_attr, as far as it is needed.
    let handled: [u64; 2] = [0, Right::BindUdp as u64 | Right::ConnectSendUdp as u64];
    // SAFETY: the structure, of that size.
    let ruleset = syscall(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            handled.as_ptr(),
            size_of_val(&handled),
            0,
        )
    })?;
    let ruleset: OwnedFd = adopt(ruleset);
    for &(right, port) in rights {
        // struct landlock_net_port_attr
        let rule = [right as u64, u64::from(port)];
        // SAFETY: the structure that this kind of rule has.
        syscall(unsafe {
            libc::syscall(
                libc::SYS_landlock_add_rule,
                ruleset.as_raw_fd(),
                LANDLOCK_RULE_NET_PORT,
                rule.as_ptr(),
                0,
            )
        })?;
    }
    // SAFETY: no pointers.
    syscall(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) })?;
    Ok(())
}
