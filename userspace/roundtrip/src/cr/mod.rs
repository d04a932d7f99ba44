// SPDX-License-Identifier: GPL-2.0

//! The family, as the tests use it: messages as lists of attributes, so that a
//! test can also send what no sane program would.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, ensure};
use inetcr::{Client, Error, Selector, State, Target};

use crate::observe::{Observation, observe, same};
use crate::sys::socket;

mod dump;
mod queue;
mod refusal;

pub use dump::{Dump, same_dump};
pub use queue::{Part, Queued, carrying, cork, datagrams};
pub use refusal::{Expected, dump_refused, refused, restore_refused};

pub const DUMP: u8 = 1;
pub const RESTORE: u8 = 2;
pub const AMEND: u8 = 3;
pub const QUEUE: u8 = 4;

/// Numbers of attributes.
pub mod attr {
    pub const INODE: u16 = 1;
    pub const SOCK_STATE: u16 = 2;
    pub const SOCK_TYPE: u16 = 3;
    pub const SOCK_FD: u16 = 4;
    pub const BINDTODEVICE: u16 = 5;
    pub const DEBUG: u16 = 7;
    pub const LINGER: u16 = 10;
    pub const RCVTIMEO: u16 = 15;
    pub const SNDTIMEO: u16 = 16;
    pub const RCVBUF: u16 = 17;
    pub const REUSEADDR: u16 = 18;
    pub const SNDBUF: u16 = 19;
    pub const PIDFD: u16 = 23;
    pub const COOKIE: u16 = 24;
    pub const SOCK_FAMILY: u16 = 25;
    pub const SOCK_PROTOCOL: u16 = 26;
    pub const LOCAL_ADDR: u16 = 27;
    pub const LOCAL_PORT: u16 = 28;
    pub const PEER_ADDR: u16 = 29;
    pub const PEER_PORT: u16 = 30;
    pub const SOURCE_ADDR: u16 = 31;
    pub const BIND_LOCKS: u16 = 32;
    pub const BOUND_IFINDEX: u16 = 33;
    pub const FILE_FLAGS: u16 = 34;
    pub const SOCKOPT_FLAGS: u16 = 35;
    pub const SOCKOPT_FLAGS_MASK: u16 = 36;
    pub const TIMESTAMPING: u16 = 38;
    pub const TXTIME: u16 = 44;
    pub const FILTER: u16 = 45;
    pub const SHUTDOWN: u16 = 46;
    pub const DROPS: u16 = 52;
    pub const UID: u16 = 53;
    pub const OWNER: u16 = 54;
    pub const CGROUP: u16 = 55;
    pub const REUSEPORT_INDEX: u16 = 56;
    pub const REUSEPORT_FILTER: u16 = 57;
    pub const IP: u16 = 58;
    pub const MEMBERSHIP: u16 = 60;
    pub const DATAGRAM: u16 = 61;
    pub const PAYLOAD: u16 = 62;
    pub const CORK: u16 = 63;
    pub const LOST: u16 = 64;
    pub const ALLOW_LOST: u16 = 65;
    pub const TRANSACTION: u16 = 66;
    pub const REPORT: u16 = 67;
    pub const MAP: u16 = 68;
    pub const QUEUE_LEN: u16 = 70;
    pub const FILTER_INODE: u16 = 71;
    pub const ERROR_QUEUE_LEN: u16 = 72;
    pub const CORK_LEN: u16 = 73;

    /// Inside `DATAGRAM`.
    pub mod datagram {
        pub const LEN: u16 = 1;
        pub const IFNAME: u16 = 7;
        pub const IFINDEX: u16 = 8;
        pub const TSTAMP: u16 = 9;
        pub const HWTSTAMP: u16 = 10;
        pub const OPTIONS: u16 = 13;
        pub const ERROR_ORIGIN: u16 = 21;
        pub const ERROR_ERRNO: u16 = 22;
        pub const ERROR_TYPE: u16 = 23;
        pub const ERROR_CODE: u16 = 24;
        pub const ERROR_INFO: u16 = 25;
        pub const ERROR_DATA: u16 = 26;
        pub const ERROR_RFC4884_LEN: u16 = 27;
        pub const ERROR_RFC4884_FLAGS: u16 = 28;
        pub const ERROR_ADDR: u16 = 29;
        pub const ERROR_PORT: u16 = 30;
    }

    /// Inside `CORK`.
    pub mod cork {
        pub const GATEWAY: u16 = 16;
        pub const FRAGSIZE: u16 = 17;
    }

    /// Inside `REPORT`.
    pub mod report {
        pub const ERRNO: u16 = 2;
        pub const MSG: u16 = 3;
    }

    /// Inside `MEMBERSHIP`.
    pub mod membership {
        pub const GROUP: u16 = 1;
        pub const IFNAME: u16 = 2;
        pub const ADDRESS: u16 = 3;
        pub const EXCLUDE: u16 = 4;
        pub const SOURCE: u16 = 5;
    }
}

/// Opens a connection to the family in the current network namespace.
pub fn client() -> Result<Client> {
    Client::new().context("connecting to the family")
}

/// Dumps a socket of this process.
pub fn dump(client: &mut Client, fd: &impl AsRawFd) -> Result<Dump> {
    Ok(dump_by(client, Selector::Fd(fd.as_raw_fd()).into())?)
}

/// Dumps by any selector.
pub fn dump_by(client: &mut Client, target: Target<'_>) -> Result<Dump, Error> {
    client.raw(DUMP, &target.to_attrs()).map(Dump)
}

/// Restores a socket.
pub fn restore(client: &mut Client, dump: &Dump) -> Result<UdpSocket, Error> {
    Ok(client.restore_attrs(&dump.0)?.fd.into())
}

/// Checks what every dump has to say of its socket, by plain calls.
pub fn check_identity(dump: &Dump, fd: &impl AsRawFd) -> Result<()> {
    let inode = socket::inode(fd)?;
    ensure!(
        dump.uint(attr::INODE) == Some(inode),
        "inode is {:?}, not {inode}",
        dump.uint(attr::INODE)
    );
    let cookie = socket::cookie(fd)?;
    ensure!(
        dump.uint(attr::COOKIE) == Some(cookie),
        "cookie is {:?}, not {cookie}",
        dump.uint(attr::COOKIE)
    );
    for (number, option) in [
        (attr::SOCK_FAMILY, libc::SO_DOMAIN),
        (attr::SOCK_TYPE, libc::SO_TYPE),
        (attr::SOCK_PROTOCOL, libc::SO_PROTOCOL),
    ] {
        let plain = socket::get_int(fd, libc::SOL_SOCKET, option)?;
        ensure!(
            dump.u32(number) == Some(plain.cast_unsigned()),
            "attribute {number} is {:?}, not {plain}",
            dump.u32(number)
        );
    }
    // The client library must know all that the kernel says.
    let state = State::from_attrs(&dump.0).context("decoding the dump")?;
    same_dump(dump, &Dump(state.to_attrs())).context("the client library changes the dump")?;
    Ok(())
}

/// What is left of a socket that was dumped and closed.
pub struct Gone {
    pub dump: Dump,
    pub seen: Observation,
    inode: u64,
    cookie: u64,
}

/// Dumps a socket, sees that this did not change it, and closes it.
pub fn checkpoint(client: &mut Client, original: UdpSocket) -> Result<Gone> {
    let seen = observe(&original);
    let dump = dump(client, &original).context("dump of the original")?;
    check_identity(&dump, &original)?;
    same("the dump changed the original", &seen, &observe(&original))?;
    let gone = Gone {
        dump,
        seen,
        inode: socket::inode(&original)?,
        cookie: socket::cookie(&original)?,
    };
    drop(original);
    Ok(gone)
}

/// Restores a socket and compares it with what is known of the original.
pub fn resurrect(client: &mut Client, gone: &Gone) -> Result<UdpSocket> {
    let restored = client.restore_attrs(&gone.dump.0).context("restore")?;
    let copy = UdpSocket::from(restored.fd);
    ensure!(
        socket::fcntl(&copy, libc::F_GETFD, 0)? == libc::FD_CLOEXEC,
        "the copy is not close-on-exec"
    );
    ensure!(
        socket::cookie(&copy)? != gone.cookie,
        "original and copy have one cookie"
    );
    ensure!(
        restored.cookie == socket::cookie(&copy)? && restored.inode == socket::inode(&copy)?,
        "the reply of restore names another socket (inode {}, was {})",
        restored.inode,
        gone.inode
    );
    let error = socket::get_int(&copy, libc::SOL_SOCKET, libc::SO_ERROR)?;
    ensure!(error == 0, "the copy has a pending error {error}");
    same("original != copy", &gone.seen, &observe(&copy))?;
    let again = dump(client, &copy).context("dump of the copy")?;
    same_dump(&gone.dump, &again)?;
    Ok(copy)
}

/// The whole round trip: dump, close, restore, compare. Gives the copy.
pub fn round_trip(client: &mut Client, original: UdpSocket) -> Result<UdpSocket> {
    let gone = checkpoint(client, original)?;
    resurrect(client, &gone)
}

/// Number of descriptors of this process.
pub fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
