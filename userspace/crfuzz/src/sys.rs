// SPDX-License-Identifier: GPL-2.0

//! System calls that the standard library does not offer; the only place with `unsafe`.

#![allow(unsafe_code)]

use std::ffi::c_int;
use std::fs;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::slice;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

fn check(ret: c_int) -> io::Result<c_int> {
    if ret < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}

fn len_of<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or_default()
}

/// A new socket, closed by `execve(2)`.
pub fn socket(family: c_int, kind: c_int, protocol: c_int) -> io::Result<OwnedFd> {
    // SAFETY: Takes numbers only.
    let fd = check(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) })?;
    // SAFETY: The descriptor is new and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets an option to a value without pointers in it.
pub fn set_option<T: Copy>(fd: impl AsFd, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    let fd = fd.as_fd();
    let value = ptr::from_ref(value).cast();
    // SAFETY: The value is there for the call, and as long as is said.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value, len_of::<T>()) })?;
    Ok(())
}

/// Sets an option to a number.
pub fn set_int(fd: impl AsFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    set_option(fd, level, name, &value)
}

/// Changes something of a socket that was not asked for: to see that this is noticed.
pub fn meddle(fd: u32) -> io::Result<()> {
    let fd = c_int::try_from(fd).unwrap_or(-1);
    // SAFETY: Takes numbers only.
    let fd = check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) })?;
    // SAFETY: The descriptor is new and belongs to nobody else.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // No message is likely to have this.
    set_int(&fd, libc::SOL_SOCKET, libc::SO_RCVLOWAT, 4321)
}

/// Attaches a classic program.
pub fn set_filter(fd: &OwnedFd, name: c_int, program: &mut [libc::sock_filter]) -> io::Result<()> {
    let value = libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap_or_default(),
        filter: program.as_mut_ptr(),
    };
    set_option(fd, libc::SOL_SOCKET, name, &value)
}

/// Reads an option of 64 bits.
pub fn get_long(fd: &OwnedFd, level: c_int, name: c_int) -> io::Result<u64> {
    let (mut value, mut len) = (0_u64, len_of::<u64>());
    let place = ptr::from_mut(&mut value).cast();
    // SAFETY: There is room for as many bytes as is said.
    check(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, place, &raw mut len) })?;
    Ok(value)
}

fn ipv4(address: [u8; 4], port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: u16::try_from(libc::AF_INET).unwrap_or_default(),
        sin_port: port.to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(address),
        },
        sin_zero: [0; 8],
    }
}

/// Binds to an address.
pub fn bind(fd: &OwnedFd, address: [u8; 4], port: u16) -> io::Result<()> {
    let address = ipv4(address, port);
    let place = ptr::from_ref(&address).cast();
    // SAFETY: The address is there for the call, and as long as is said.
    check(unsafe { libc::bind(fd.as_raw_fd(), place, len_of::<libc::sockaddr_in>()) })?;
    Ok(())
}

/// Connects to an address.
pub fn connect(fd: impl AsFd, address: [u8; 4], port: u16) -> io::Result<()> {
    let fd = fd.as_fd();
    let address = ipv4(address, port);
    let place = ptr::from_ref(&address).cast();
    // SAFETY: The address is there for the call, and as long as is said.
    check(unsafe { libc::connect(fd.as_raw_fd(), place, len_of::<libc::sockaddr_in>()) })?;
    Ok(())
}

/// Takes the peer away.
pub fn disconnect(fd: impl AsFd) -> io::Result<()> {
    let fd = fd.as_fd();
    // SAFETY: All zeros are a good value, and that of AF_UNSPEC.
    let address: libc::sockaddr_in = unsafe { mem::zeroed() };
    let place = ptr::from_ref(&address).cast();
    // SAFETY: The address is there for the call, and as long as is said.
    check(unsafe { libc::connect(fd.as_raw_fd(), place, len_of::<libc::sockaddr_in>()) })?;
    Ok(())
}

/// Sends to an address.
pub fn send_to(fd: &OwnedFd, bytes: &[u8], address: [u8; 4], port: u16) -> io::Result<()> {
    send_with(fd, bytes, Some((address, port)), libc::MSG_DONTWAIT)
}

/// Sends by a socket that is connected, or that needs no address.
pub fn send(fd: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    send_with(fd, bytes, None, 0)
}

/// Sends, to an address if there is one.
pub fn send_with(
    fd: impl AsFd,
    bytes: &[u8],
    to: Option<([u8; 4], u16)>,
    flags: c_int,
) -> io::Result<()> {
    let fd = fd.as_fd();
    let address = to.map(|(address, port)| ipv4(address, port));
    let (place, len) = match &address {
        Some(address) => (ptr::from_ref(address), len_of::<libc::sockaddr_in>()),
        None => (ptr::null(), 0),
    };
    // SAFETY: Bytes and address are there for the call, and as long as is said.
    let sent = unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            flags,
            place.cast(),
            len,
        )
    };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Receives something that is there, and throws it away.
pub fn receive(fd: impl AsFd, flags: c_int) -> io::Result<()> {
    let mut bytes = [0_u8; 256];
    let flags = flags | libc::MSG_DONTWAIT;
    let place = bytes.as_mut_ptr().cast();
    // SAFETY: There is room for as many bytes as is said.
    let got = unsafe { libc::recv(fd.as_fd().as_raw_fd(), place, bytes.len(), flags) };
    if got < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A descriptor by its number, if it is open.
pub fn borrow<'a>(fd: u32) -> Option<BorrowedFd<'a>> {
    let fd = RawFd::try_from(fd).ok()?;
    // SAFETY: Takes numbers only.
    check(unsafe { libc::fcntl(fd, libc::F_GETFD) }).ok()?;
    // SAFETY: It is open. Only the sockets that messages are about are borrowed so, by a process
    // that never closes them.
    Some(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Shuts directions down.
pub fn shutdown(fd: impl AsFd, how: c_int) -> io::Result<()> {
    let fd = fd.as_fd();
    // SAFETY: Takes numbers only.
    check(unsafe { libc::shutdown(fd.as_raw_fd(), how) }).map(drop)
}

/// Joins a multicast group, of one source if there is one.
pub fn join(fd: &OwnedFd, group: [u8; 4], source: Option<[u8; 4]>) -> io::Result<()> {
    let of = |address| libc::in_addr {
        s_addr: u32::from_ne_bytes(address),
    };
    let device = [127, 0, 0, 1];
    match source {
        None => {
            let request = libc::ip_mreqn {
                imr_multiaddr: of(group),
                imr_address: of([0; 4]),
                imr_ifindex: 1,
            };
            set_option(fd, libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP, &request)
        }
        Some(source) => {
            let request = libc::ip_mreq_source {
                imr_multiaddr: of(group),
                imr_interface: of(device),
                imr_sourceaddr: of(source),
            };
            set_option(
                fd,
                libc::IPPROTO_IP,
                libc::IP_ADD_SOURCE_MEMBERSHIP,
                &request,
            )
        }
    }
}

/// Gives a descriptor another number.
pub fn move_to(fd: &OwnedFd, number: u32) -> io::Result<OwnedFd> {
    let number = c_int::try_from(number).unwrap_or(c_int::MAX);
    // SAFETY: Takes numbers only. Nothing of this program has the number, see `live.rs`.
    let fd = check(unsafe { libc::dup3(fd.as_raw_fd(), number, libc::O_CLOEXEC) })?;
    // SAFETY: The descriptor is new and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes over a descriptor that the kernel has handed out.
pub fn take(fd: u32) -> Option<OwnedFd> {
    let fd = RawFd::try_from(fd).ok()?;
    // SAFETY: Takes numbers only.
    check(unsafe { libc::fcntl(fd, libc::F_GETFD) }).ok()?;
    // SAFETY: It is open, and the kernel gave it to us: nobody else has it.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Closes descriptors that nothing of this program has.
pub fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: Takes numbers only.
    let ret = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    check(c_int::try_from(ret).unwrap_or(-1)).map(drop)
}

/// The lowest number that no descriptor has.
pub fn lowest_free() -> io::Result<RawFd> {
    // SAFETY: Takes numbers only.
    let fd = check(unsafe { libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 0) })?;
    // SAFETY: The descriptor was made just now.
    unsafe { libc::close(fd) };
    Ok(fd)
}

/// A pidfd.
pub fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: Takes numbers only.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = check(c_int::try_from(fd).unwrap_or(-1))?;
    // SAFETY: The descriptor is new and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Leaves namespaces for new ones.
pub fn unshare(flags: c_int) -> io::Result<()> {
    // SAFETY: The program has one thread, and these flags are of namespaces only.
    check(unsafe { libc::unshare(flags) }).map(drop)
}

/// Runs a function in a child, whose exit status it gives.
pub fn fork(child: impl FnOnce() -> c_int) -> io::Result<u32> {
    // SAFETY: The program has one thread, so that the child finds no lock held.
    let pid = check(unsafe { libc::fork() })?;
    if pid == 0 {
        let status = child();
        // SAFETY: Ends this process.
        unsafe { libc::_exit(status) };
    }
    Ok(u32::try_from(pid).unwrap_or_default())
}

/// Has the kernel end this process with its parent.
pub fn end_with_parent() {
    // SAFETY: Takes numbers only.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// How long this process goes on before others of its priority are let in, at most; nothing for
/// what is usual. Children have the same.
pub fn set_slice(slice: Option<Duration>) -> io::Result<()> {
    let slice = slice.unwrap_or_default().as_nanos();
    let attr = libc::sched_attr {
        size: u32::try_from(size_of::<libc::sched_attr>()).unwrap_or_default(),
        sched_policy: u32::try_from(libc::SCHED_OTHER).unwrap_or_default(),
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        // Of this policy, that is the slice (since 6.12).
        sched_runtime: u64::try_from(slice).unwrap_or(u64::MAX),
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: The attributes are there for the call, and as long as they say.
    let ret = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, ptr::from_ref(&attr), 0) };
    check(c_int::try_from(ret).unwrap_or(-1))?;
    Ok(())
}

/// Waits until the parent ends.
pub fn pause() -> ! {
    end_with_parent();
    loop {
        // SAFETY: Takes nothing.
        unsafe { libc::pause() };
    }
}

/// How a child ended, if it has: an exit status, or 128 and the signal.
pub fn ended(pid: u32, wait: bool) -> io::Result<Option<c_int>> {
    let mut status = 0;
    let flags = if wait { 0 } else { libc::WNOHANG };
    let pid = c_int::try_from(pid).unwrap_or_default();
    // SAFETY: There is room for the status.
    let found = check(unsafe { libc::waitpid(pid, &raw mut status, flags) })?;
    Ok((found != 0).then(|| {
        if libc::WIFEXITED(status) {
            libc::WEXITSTATUS(status)
        } else {
            128 + libc::WTERMSIG(status)
        }
    }))
}

/// The time that children which have ended spent in programs, and in the kernel.
pub fn times_of_children() -> (Duration, Duration) {
    // SAFETY: All zeros are a good value.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: There is room for the answer.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    let time = |time: libc::timeval| {
        let micros = time.tv_sec * 1_000_000 + time.tv_usec;
        Duration::from_micros(u64::try_from(micros).unwrap_or_default())
    };
    (time(usage.ru_utime), time(usage.ru_stime))
}

/// Kills a child, if this process may.
pub fn kill(pid: u32) -> io::Result<()> {
    match c_int::try_from(pid) {
        // SAFETY: Takes numbers only.
        Ok(pid) if pid > 0 => check(unsafe { libc::kill(pid, libc::SIGKILL) }).map(drop),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Has this process ignore the signals that sockets can send.
pub fn ignore_signals() {
    for signal in
        (1..=64).filter(|one| ![libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD].contains(one))
    {
        // Those of errors in the program still kill it.
        if ![
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGABRT,
            libc::SIGILL,
            libc::SIGFPE,
        ]
        .contains(&signal)
        {
            // SAFETY: No handler is installed.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
    }
}

/// Becomes nobody.
pub fn become_nobody() -> io::Result<()> {
    const NOBODY: libc::uid_t = 65_534;
    // SAFETY: Takes numbers only.
    unsafe {
        check(libc::setgroups(0, ptr::null()))?;
        check(libc::setresgid(NOBODY, NOBODY, NOBODY))?;
        check(libc::setresuid(NOBODY, NOBODY, NOBODY))?;
    }
    Ok(())
}

/// Becomes root of a new user namespace, and of new network namespaces in it.
pub fn new_user_namespace() -> io::Result<()> {
    unshare(libc::CLONE_NEWUSER)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", "0 0 1")?;
    fs::write("/proc/self/gid_map", "0 0 1")
}

/// Switches the loopback device of the namespace on.
pub fn loopback_up() -> io::Result<()> {
    let fd = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    // SAFETY: All zeros are a good value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    request.ifr_name[0] = libc::c_char::try_from(b'l').unwrap_or_default();
    request.ifr_name[1] = libc::c_char::try_from(b'o').unwrap_or_default();
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or(0);
    // SAFETY: The request is of the type that this call takes.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) }).map(drop)
}

/// Memory that is shared with children, as numbers.
pub fn shared(words: usize) -> io::Result<&'static [AtomicU64]> {
    let len = words * size_of::<u64>();
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: Maps new memory at no place that was asked for.
    let place = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, -1, 0) };
    if place == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: The memory is zeros, as long as this, aligned to a page, and never unmapped.
    Ok(unsafe { slice::from_raw_parts(place.cast(), words) })
}

/// Buffers for several messages that are received by one call.
pub struct Receiver {
    bytes: Vec<u8>,
    each: usize,
    headers: Vec<libc::mmsghdr>,
    // What the headers point to.
    _places: Vec<libc::iovec>,
}

impl Receiver {
    /// So many messages, each of so many bytes.
    pub fn new(count: usize, each: usize) -> Self {
        let mut bytes = vec![0_u8; count * each];
        let mut places: Vec<_> = bytes
            .chunks_mut(each)
            .map(|chunk| libc::iovec {
                iov_base: chunk.as_mut_ptr().cast(),
                iov_len: each,
            })
            .collect();
        let headers = places
            .iter_mut()
            .map(|place| {
                // SAFETY: All zeros are a good value.
                let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
                header.msg_hdr.msg_iov = ptr::from_mut(place);
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        Self {
            bytes,
            each,
            headers,
            _places: places,
        }
    }

    /// Receives up to `most` messages that are there, and says how many it got.
    pub fn receive(&mut self, fd: &OwnedFd, most: usize) -> io::Result<usize> {
        let most = libc::c_uint::try_from(most.min(self.headers.len())).unwrap_or_default();
        let (fd, flags) = (fd.as_raw_fd(), libc::MSG_DONTWAIT);
        let headers = self.headers.as_mut_ptr();
        // SAFETY: Each header points to a buffer of its own, which lives as long as they do.
        let got = check(unsafe { libc::recvmmsg(fd, headers, most, flags, ptr::null_mut()) })?;
        Ok(usize::try_from(got).unwrap_or_default())
    }

    /// One of the messages that were received.
    pub fn message(&self, nth: usize) -> &[u8] {
        let len = self.headers.get(nth).map_or(0, |header| header.msg_len);
        let from = nth * self.each;
        let to = from + usize::try_from(len).unwrap_or_default().min(self.each);
        self.bytes.get(from..to).unwrap_or_default()
    }
}
