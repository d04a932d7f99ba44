// SPDX-License-Identifier: GPL-2.0

//! Which socket a request is about.

#![forbid(unsafe_code)]

use crate::{
    attr,
    refusal::Refusal, //
};

use kernel::{
    net::{
        netlink::{
            Policy,
            Request, //
        },
        socket::{
            is_pidfd,
            Sock,
            SocketFile, //
        },
        Net, //
    },
    prelude::*, //
};

/// The policy of the attributes that select a socket, and of no others.
pub(crate) static POLICY: [Policy; attr::COOKIE as usize + 1] = {
    let mut table = [Policy::rejected(); attr::COOKIE as usize + 1];
    table[attr::INODE as usize] = Policy::uint();
    table[attr::SOCK_FD as usize] = Policy::u32();
    table[attr::PIDFD as usize] = Policy::u32();
    table[attr::COOKIE as usize] = Policy::uint();
    table
};

/// Why a socket is refused that is not there, or not there for the requester.
const NOT_FOUND: &str = "no such socket in this network namespace";

/// How a request says which socket it is about.
#[derive(Clone, Copy)]
enum Selector {
    /// By inode number.
    Inode(u64),
    /// By a descriptor of the requester.
    Fd(u32),
    /// By a process, and a descriptor there.
    PidFd(u32, u32),
}

impl Selector {
    /// Reads the selector of a request, of which there must be one.
    fn parse(request: &Request<'_>) -> Result<Selector, Refusal> {
        let number = |ty| -> Result<_, Refusal> {
            Ok(request.attr(ty).map(|attr| attr.as_u32()).transpose()?)
        };
        let inode = request
            .attr(attr::INODE)
            .map(|attr| attr.as_uint())
            .transpose()?;
        let fd = number(attr::SOCK_FD)?;
        let pidfd = number(attr::PIDFD)?;
        let second = |attr| {
            Err(Refusal::new(EINVAL, "the socket is selected in more than one way").at(attr))
        };

        match (inode, pidfd, fd) {
            (Some(inode), None, None) => Ok(Selector::Inode(inode)),
            (None, None, Some(fd)) => Ok(Selector::Fd(fd)),
            (None, Some(pidfd), Some(fd)) => Ok(Selector::PidFd(pidfd, fd)),
            (None, Some(_), None) => Err(Refusal::missing(
                attr::SOCK_FD,
                "no descriptor of the process is named",
            )),
            (None, None, None) => Err(Refusal::missing(attr::INODE, "no socket is selected")),
            (Some(_), Some(_), _) => second(attr::PIDFD),
            (Some(_), None, Some(_)) => second(attr::SOCK_FD),
        }
    }

    /// The attribute to blame if the socket is not found.
    fn attr(self) -> u16 {
        match self {
            Selector::Inode(_) => attr::INODE,
            Selector::Fd(_) | Selector::PidFd(..) => attr::SOCK_FD,
        }
    }

    /// Finds the socket, in whatever namespace.
    fn find(self, request: &Request<'_>) -> Result<SocketFile, Refusal> {
        let refused = |errno: Error, attr: u16| {
            Refusal::new(
                errno,
                match errno {
                    EBADF => "not an open descriptor",
                    ENOTSOCK => "not a socket",
                    E2BIG => "too many open files to search, use pidfd and sock-fd",
                    _ => "",
                },
            )
            .at(attr)
        };

        match self {
            // Sockets that are closed have the number 0.
            Selector::Inode(0) => Err(self.not_found()),
            // Each of them would go over all sockets.
            Selector::Inode(_) if !request.is_last() => Err(Refusal::new(
                EBUSY,
                "of several requests only the last may look for an inode number",
            )
            .at(attr::INODE)),
            Selector::Inode(inode) => {
                SocketFile::find_ino(request.net(), inode).map_err(|errno| match errno {
                    ENOENT => self.not_found(),
                    errno => refused(errno, attr::INODE),
                })
            }
            Selector::Fd(fd) => {
                SocketFile::from_fd(fd).map_err(|errno| refused(errno, attr::SOCK_FD))
            }
            Selector::PidFd(pidfd, fd) => {
                SocketFile::from_pidfd(pidfd, fd).map_err(|errno| match errno {
                    EBADF if !is_pidfd(pidfd) => pidfd_refused(EBADF),
                    EBUSY | EPERM | ESRCH => pidfd_refused(errno),
                    errno => refused(errno, attr::SOCK_FD),
                })
            }
        }
    }

    /// The refusal of a socket that is not there, or not there for the requester.
    fn not_found(self) -> Refusal {
        Refusal::new(ENOENT, NOT_FOUND).at(self.attr())
    }
}

/// The refusal of a process.
pub(crate) fn pidfd_refused(errno: Error) -> Refusal {
    let reason = match errno {
        EBADF => "not an open pidfd",
        EBUSY => "the process is in an execve",
        EPERM => "not allowed to attach to the process",
        EACCES => "only the requester can read on about a process",
        ESRCH => "the process or its main thread is gone",
        _ => "",
    };
    Refusal::new(errno, reason).at(attr::PIDFD)
}

/// Refuses a socket of another network namespace than the request's, as if it was not there, and
/// one of the kernel.
pub(crate) fn permit(sock: &Sock, net: &Net) -> Result<(), Refusal> {
    if !sock.is_in_net(net) {
        return Err(Refusal::new(ENOENT, NOT_FOUND));
    }
    if sock.is_kernel() {
        return Err(Refusal::new(EOPNOTSUPP, "the socket belongs to the kernel"));
    }
    Ok(())
}

/// Finds the socket that a request is about, to use its file.
///
/// Who has got it from another process is asked for as `pidfd_getfd(2)` does.
pub(crate) fn select_to_use(request: &Request<'_>) -> Result<SocketFile, Refusal> {
    let file = select(request)?;

    if request.attr(attr::PIDFD).is_some() {
        file.security_file_receive().map_err(|errno| {
            Refusal::new(errno, "the security module refuses the file").at(attr::SOCK_FD)
        })?;
    }
    Ok(file)
}

/// Finds the socket that a request is about.
///
/// A socket of another network namespace than the request's is not found, by whatever it is
/// selected: the privilege of the requester is one in its namespace only. Sockets of the kernel are
/// refused.
pub(crate) fn select(request: &Request<'_>) -> Result<SocketFile, Refusal> {
    let selector = Selector::parse(request)?;
    let socket = selector.find(request)?;

    permit(&socket, request.net()).map_err(|refusal| refusal.at(selector.attr()))?;
    if let Some(cookie) = request.attr(attr::COOKIE) {
        if cookie.as_uint()? != socket.cookie() {
            return Err(Refusal::new(ESTALE, "the socket has another cookie").at(attr::COOKIE));
        }
    }
    Ok(socket)
}
