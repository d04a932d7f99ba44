// SPDX-License-Identifier: GPL-2.0

//! Sockets: the calls that `std::net` leaves out.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::AtomicU32;
use std::time::Duration;

pub use super::message::{
    Control, Message, receive, receive_into, receive_message, send, send_message, send_to,
    send_to_kernel,
};
use super::{check, socklen};

/// `recv(2)` of a number, right into memory that is shared.
pub fn recv_into(fd: &impl AsRawFd, number: &AtomicU32) -> io::Result<()> {
    // SAFETY: the memory is as long as this, and may change at any time.
    let len = unsafe {
        let place = number.as_ptr().cast();
        libc::recv(fd.as_raw_fd(), place, size_of::<AtomicU32>(), 0)
    };
    match usize::try_from(len) {
        Err(_) => Err(io::Error::last_os_error()),
        Ok(len) if len < size_of::<AtomicU32>() => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(_) => Ok(()),
    }
}

/// `socket(2)`, close-on-exec.
pub fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = check(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) })?;
    // SAFETY: the kernel just made the descriptor, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A UDP/IPv4 socket that nothing was done to.
pub fn udp() -> io::Result<UdpSocket> {
    Ok(socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?.into())
}

/// `getsockopt(2)` with a buffer of `len` zeroes, cut to what was returned.
pub fn get(fd: &impl AsRawFd, level: i32, name: i32, len: usize) -> io::Result<Vec<u8>> {
    ask(fd, level, name, vec![0; len])
}

/// The same with a buffer in which there is something that the option reads.
pub fn ask(fd: &impl AsRawFd, level: i32, name: i32, mut buffer: Vec<u8>) -> io::Result<Vec<u8>> {
    let len = buffer.len();
    let mut got = libc::socklen_t::try_from(len).expect("small buffer");
    // SAFETY: buffer and length belong together and outlive the call.
    check(unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level,
            name,
            buffer.as_mut_ptr().cast(),
            &raw mut got,
        )
    })?;
    // SO_GET_FILTER answers a count that may exceed the buffer.
    if got as usize <= len {
        buffer.truncate(got as usize);
    } else {
        buffer = got.to_ne_bytes().to_vec();
    }
    Ok(buffer)
}

/// An option of type `int`.
pub fn get_int(fd: &impl AsRawFd, level: i32, name: i32) -> io::Result<i32> {
    let value = get(fd, level, name, 4)?;
    let value: [u8; 4] = value
        .try_into()
        .map_err(|_| io::Error::other("the option is not an int"))?;
    Ok(i32::from_ne_bytes(value))
}

/// `setsockopt(2)`.
pub fn set(fd: &impl AsRawFd, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    let len = libc::socklen_t::try_from(value.len()).expect("small value");
    // SAFETY: the kernel reads `len` bytes of `value`.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value.as_ptr().cast(), len) })?;
    Ok(())
}

/// Sets an option of type `int`.
pub fn set_int(fd: &impl AsRawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    set(fd, level, name, &value.to_ne_bytes())
}

/// Sets an option that takes two 64-bit numbers (`SO_RCVTIMEO_NEW`).
pub fn set_timeval(
    fd: &impl AsRawFd,
    name: i32,
    seconds: i64,
    microseconds: i64,
) -> io::Result<()> {
    let value = [seconds.to_ne_bytes(), microseconds.to_ne_bytes()].concat();
    set(fd, libc::SOL_SOCKET, name, &value)
}

/// Sets an option that takes two ints (`SO_LINGER`).
pub fn set_pair(fd: &impl AsRawFd, name: i32, first: i32, second: i32) -> io::Result<()> {
    let value = [first.to_ne_bytes(), second.to_ne_bytes()].concat();
    set(fd, libc::SOL_SOCKET, name, &value)
}

pub(super) fn sockaddr(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::sa_family_t::try_from(libc::AF_INET).expect("small constant"),
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(address.ip().octets()),
        },
        sin_zero: [0; 8],
    }
}

pub(super) fn address(raw: libc::sockaddr_in) -> SocketAddrV4 {
    SocketAddrV4::new(
        Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes()),
        u16::from_be(raw.sin_port),
    )
}

pub(super) const NOTHING: libc::sockaddr_in = libc::sockaddr_in {
    sin_family: 0,
    sin_port: 0,
    sin_addr: libc::in_addr { s_addr: 0 },
    sin_zero: [0; 8],
};

/// `bind(2)`.
pub fn bind(fd: &impl AsRawFd, to: SocketAddrV4) -> io::Result<()> {
    let raw = sockaddr(to);
    // SAFETY: `raw` is a sockaddr_in of the given length.
    check(unsafe {
        libc::bind(
            fd.as_raw_fd(),
            (&raw const raw).cast(),
            socklen::<libc::sockaddr_in>(),
        )
    })?;
    Ok(())
}

/// `connect(2)`.
pub fn connect(fd: &impl AsRawFd, to: SocketAddrV4) -> io::Result<()> {
    connect_raw(fd, &sockaddr(to))
}

/// `connect(2)` to `AF_UNSPEC`, which ends the association.
pub fn disconnect(fd: &impl AsRawFd) -> io::Result<()> {
    connect_raw(fd, &NOTHING)
}

fn connect_raw(fd: &impl AsRawFd, raw: &libc::sockaddr_in) -> io::Result<()> {
    // SAFETY: `raw` is a sockaddr_in of the given length.
    check(unsafe {
        libc::connect(
            fd.as_raw_fd(),
            std::ptr::from_ref(raw).cast(),
            socklen::<libc::sockaddr_in>(),
        )
    })?;
    Ok(())
}

/// `getsockname(2)`.
pub fn name(fd: &impl AsRawFd) -> io::Result<SocketAddrV4> {
    let mut raw = NOTHING;
    let mut len = socklen::<libc::sockaddr_in>();
    // SAFETY: the kernel writes at most `len` bytes into `raw`.
    check(unsafe { libc::getsockname(fd.as_raw_fd(), (&raw mut raw).cast(), &raw mut len) })?;
    Ok(address(raw))
}

/// `getpeername(2)`.
pub fn peer(fd: &impl AsRawFd) -> io::Result<SocketAddrV4> {
    let mut raw = NOTHING;
    let mut len = socklen::<libc::sockaddr_in>();
    // SAFETY: the kernel writes at most `len` bytes into `raw`.
    check(unsafe { libc::getpeername(fd.as_raw_fd(), (&raw mut raw).cast(), &raw mut len) })?;
    Ok(address(raw))
}

/// `listen(2)`.
pub fn listen(fd: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::listen(fd.as_raw_fd(), 1) })?;
    Ok(())
}

/// `shutdown(2)`.
pub fn shutdown(fd: &impl AsRawFd, how: i32) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::shutdown(fd.as_raw_fd(), how) })?;
    Ok(())
}

/// Whether something can be read within `wait`.
pub fn readable(fd: &impl AsRawFd, wait: Duration) -> io::Result<bool> {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one pollfd.
    let ready = check(unsafe { libc::poll(&raw mut poll, 1, wait) })?;
    Ok(ready > 0 && poll.revents & libc::POLLIN != 0)
}

/// What `poll(2)` says of a socket now, but for room to write.
pub fn events(fd: &impl AsRawFd) -> io::Result<i16> {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN | libc::POLLPRI | libc::POLLRDHUP,
        revents: 0,
    };
    // SAFETY: one pollfd.
    check(unsafe { libc::poll(&raw mut poll, 1, 0) })?;
    Ok(poll.revents)
}

/// `fcntl(2)` without a pointer.
pub fn fcntl(fd: &impl AsRawFd, command: i32, argument: i32) -> io::Result<i32> {
    // SAFETY: the commands used here take an int.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), command, argument) })
}

/// `ioctl(2)` that answers an int.
pub fn ioctl_int(fd: &impl AsRawFd, request: u64) -> io::Result<i32> {
    let mut value: libc::c_int = 0;
    // SAFETY: the requests used here write one int.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut value) })?;
    Ok(value)
}

/// The time stamp of the last datagram, in seconds and nanoseconds (`SIOCGSTAMPNS`). Time stamps are
/// taken from then on.
pub fn stamp(fd: &impl AsRawFd) -> io::Result<[i64; 2]> {
    const SIOCGSTAMPNS: libc::c_ulong = 0x8907;
    let mut time = [0; 2];
    // SAFETY: the kernel writes two words of 64 bits.
    let request = SIOCGSTAMPNS as _;
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut time) })?;
    Ok(time)
}

fn stat(fd: &impl AsRawFd) -> io::Result<libc::stat> {
    // SAFETY: all zeroes is a valid stat.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one stat.
    check(unsafe { libc::fstat(fd.as_raw_fd(), &raw mut stat) })?;
    Ok(stat)
}

/// Inode number of an open file, the one in `socket:[N]`.
pub fn inode(fd: &impl AsRawFd) -> io::Result<u64> {
    Ok(stat(fd)?.st_ino)
}

/// The user that an open file belongs to.
pub fn user(fd: &impl AsRawFd) -> io::Result<u32> {
    Ok(stat(fd)?.st_uid)
}

/// `SO_COOKIE`.
pub fn cookie(fd: &impl AsRawFd) -> io::Result<u64> {
    let value = get(fd, libc::SOL_SOCKET, libc::SO_COOKIE, 8)?;
    let value: [u8; 8] = value
        .try_into()
        .map_err(|_| io::Error::other("short cookie"))?;
    Ok(u64::from_ne_bytes(value))
}

/// `fsetxattr(2)`.
pub fn set_attribute(fd: &impl AsRawFd, name: &std::ffi::CStr, value: &[u8]) -> io::Result<()> {
    // SAFETY: a C string, and a value of the given length.
    check(unsafe {
        libc::fsetxattr(
            fd.as_raw_fd(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    })?;
    Ok(())
}
