// SPDX-License-Identifier: GPL-2.0

//! Sending and receiving.

use std::io;
use std::net::SocketAddrV4;
use std::os::fd::AsRawFd;

use super::socket::{NOTHING, address, sockaddr};
use super::socklen;

/// `send(2)` with flags.
pub fn send(fd: &impl AsRawFd, payload: &[u8], flags: i32) -> io::Result<usize> {
    // SAFETY: the kernel reads `payload.len()` bytes.
    let sent = unsafe {
        libc::send(
            fd.as_raw_fd(),
            payload.as_ptr().cast(),
            payload.len(),
            flags,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// `sendto(2)` from a netlink socket to the kernel.
pub fn send_to_kernel(fd: &impl AsRawFd, payload: &[u8]) -> io::Result<usize> {
    // SAFETY: all zeroes is a valid sockaddr_nl; the address of the kernel is 0.
    let mut to: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    to.nl_family = libc::sa_family_t::try_from(libc::AF_NETLINK).unwrap_or_default();
    // SAFETY: the kernel reads `payload.len()` bytes, and a sockaddr_nl.
    let sent = unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            payload.as_ptr().cast(),
            payload.len(),
            0,
            (&raw const to).cast(),
            socklen::<libc::sockaddr_nl>(),
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// `sendto(2)` with flags.
pub fn send_to(
    fd: &impl AsRawFd,
    payload: &[u8],
    flags: i32,
    to: SocketAddrV4,
) -> io::Result<usize> {
    let to = sockaddr(to);
    // SAFETY: the kernel reads `payload.len()` bytes, and a sockaddr_in.
    let sent = unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            payload.as_ptr().cast(),
            payload.len(),
            flags,
            (&raw const to).cast(),
            socklen::<libc::sockaddr_in>(),
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// `sendmsg(2)` with control messages and flags, to an address or to the peer.
pub fn send_message(
    fd: &impl AsRawFd,
    to: Option<SocketAddrV4>,
    control: &[Control],
    payload: &[u8],
    flags: i32,
) -> io::Result<usize> {
    // 64-bit words, for the alignment of cmsghdr.
    let mut words = Vec::<u64>::new();
    for (level, kind, data) in control {
        let len = 16 + data.len();
        let kind = [level.to_ne_bytes(), kind.to_ne_bytes()].concat();
        let mut bytes = [&len.to_ne_bytes(), kind.as_slice(), data].concat();
        bytes.resize(len.next_multiple_of(8), 0);
        let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().expect("whole words"));
        words.extend(bytes.chunks(8).map(word));
    }
    let mut name = to.map_or(NOTHING, sockaddr);
    let mut vector = libc::iovec {
        iov_base: payload.as_ptr().cast_mut().cast(),
        iov_len: payload.len(),
    };
    // SAFETY: all zeroes is a valid msghdr; some libraries give it padding.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    if to.is_some() {
        header.msg_name = (&raw mut name).cast();
        header.msg_namelen = socklen::<libc::sockaddr_in>();
    }
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    if !words.is_empty() {
        header.msg_control = words.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(words.as_slice());
    }
    // SAFETY: every pointer of the header is valid for its length, and is only read.
    let sent = unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const header, flags) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// `recv(2)` into a buffer, and nothing but that.
pub fn receive_into(fd: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most `buffer.len()` bytes.
    let got = unsafe { libc::recv(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    usize::try_from(got).map_err(|_| io::Error::last_os_error())
}

/// Level, type and data of a control message.
pub type Control = (i32, i32, Vec<u8>);

/// What `recvmsg(2)` brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub payload: Vec<u8>,
    /// Who sent it, if that is an IPv4 address.
    pub from: Option<SocketAddrV4>,
    /// `msg_flags`.
    pub flags: i32,
    pub control: Vec<Control>,
}

/// The payload and the control messages.
pub type Received = (Vec<u8>, Vec<Control>);

/// `recvmsg(2)` with flags.
pub fn receive(fd: &impl AsRawFd, flags: i32) -> io::Result<Received> {
    let message = receive_message(fd, flags, 65_536)?;
    Ok((message.payload, message.control))
}

/// `recvmsg(2)` with flags, into a buffer of `room` bytes.
pub fn receive_message(fd: &impl AsRawFd, flags: i32, room: usize) -> io::Result<Message> {
    let mut payload = vec![0_u8; room];
    // 64-bit words, for the alignment of cmsghdr.
    let mut control = [0_u64; 128];
    let mut name = NOTHING;
    let mut vector = libc::iovec {
        iov_base: payload.as_mut_ptr().cast(),
        iov_len: payload.len(),
    };
    // SAFETY: all zeroes is a valid msghdr; some libraries give it padding.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = socklen::<libc::sockaddr_in>();
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control);
    // SAFETY: every pointer of the header is valid for its length.
    let got = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags) };
    let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
    // With MSG_TRUNC it says how long the message would be.
    payload.truncate(got);

    let mut messages = Vec::new();
    // SAFETY: the kernel filled the control buffer, the macros stay inside of
    // msg_controllen.
    unsafe {
        let mut cmsg = libc::CMSG_FIRSTHDR(&raw const header);
        while !cmsg.is_null() {
            let len = (*cmsg).cmsg_len - libc::CMSG_LEN(0) as usize;
            let data = std::slice::from_raw_parts(libc::CMSG_DATA(cmsg), len);
            messages.push(((*cmsg).cmsg_level, (*cmsg).cmsg_type, data.to_vec()));
            cmsg = libc::CMSG_NXTHDR(&raw const header, cmsg);
        }
    }
    Ok(Message {
        payload,
        from: (i32::from(name.sin_family) == libc::AF_INET).then(|| address(name)),
        flags: header.msg_flags,
        control: messages,
    })
}
