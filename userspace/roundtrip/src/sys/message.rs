// SPDX-License-Identifier: GPL-2.0

//! Sending and receiving.

use std::io;
use std::os::fd::AsRawFd;

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

/// What `recvmsg(2)` brings: the payload, and level, type and data of each
/// control message.
pub type Received = (Vec<u8>, Vec<(i32, i32, Vec<u8>)>);

/// `recvmsg(2)` with flags.
pub fn receive(fd: &impl AsRawFd, flags: i32) -> io::Result<Received> {
    let mut payload = vec![0_u8; 65_536];
    // 64-bit words, for the alignment of cmsghdr.
    let mut control = [0_u64; 64];
    let mut vector = libc::iovec {
        iov_base: payload.as_mut_ptr().cast(),
        iov_len: payload.len(),
    };
    // SAFETY: all zeroes is a valid msghdr; some libraries give it padding.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control);
    // SAFETY: every pointer of the header is valid for its length.
    let got = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags) };
    let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
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
    Ok((payload, messages))
}
