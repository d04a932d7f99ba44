// SPDX-License-Identifier: GPL-2.0

//! System calls, as they are.
#![expect(unsafe_code, reason = "system calls and the clock of the processor")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Instructions since the machine was started. With `-icount shift=0` each takes a nanosecond, and
/// the time stamp counter of QEMU counts these.
pub fn instructions() -> u64 {
    // SAFETY: every x86-64 processor has it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

fn check(result: i64) -> io::Result<i64> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn mount(kind: &CStr, at: &CStr) -> io::Result<()> {
    // SAFETY: C strings, and no data.
    check(i64::from(unsafe {
        libc::mkdir(at.as_ptr(), 0o755);
        libc::mount(
            kind.as_ptr(),
            at.as_ptr(),
            kind.as_ptr(),
            0,
            std::ptr::null(),
        )
    }))?;
    Ok(())
}

/// Makes of a machine that was just started one on which sockets can be measured.
pub fn prepare() -> io::Result<()> {
    mount(c"proc", c"/proc")?;
    let limit = libc::rlimit {
        rlim_cur: 1 << 20,
        rlim_max: 1 << 20,
    };
    // SAFETY: one rlimit.
    check(i64::from(unsafe {
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit)
    }))?;
    for (sysctl, value) in [
        ("net/core/rmem_max", "8388608"),
        ("net/core/rmem_default", "4194304"),
        ("net/ipv4/ip_local_port_range", "1024 65000"),
    ] {
        std::fs::write(format!("/proc/sys/{sysctl}"), value)?;
    }
    up(b"lo")
}

/// Loads a module, and makes it known where the kernel tells of itself (`/sys`).
pub fn load_module(path: &str) -> io::Result<()> {
    mount(c"sysfs", c"/sys")?;
    let file = std::fs::File::open(path)?;
    // SAFETY: the kernel reads a string.
    check(unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) })?;
    Ok(())
}

/// `SIOCSIFFLAGS`
fn up(name: &[u8]) -> io::Result<()> {
    let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    // SAFETY: it consists of integers and pointers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP).unwrap_or_default();
    // SAFETY: one ifreq.
    check(i64::from(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request)
    }))?;
    Ok(())
}

/// Enters a new network namespace, which has a hash table of so many slots for its UDP sockets.
/// Gives the one that was left.
pub fn new_net(slots: u32) -> io::Result<OwnedFd> {
    let home = std::fs::File::open("/proc/self/ns/net")?;
    let sysctl = "/proc/sys/net/ipv4/udp_child_hash_entries";
    std::fs::write(sysctl, slots.to_string())?;
    // SAFETY: no pointers.
    check(i64::from(unsafe { libc::unshare(libc::CLONE_NEWNET) }))?;
    up(b"lo")?;
    Ok(home.into())
}

/// Enters a network namespace.
pub fn enter(net: &OwnedFd) -> io::Result<()> {
    // SAFETY: no pointers.
    check(i64::from(unsafe {
        libc::setns(net.as_raw_fd(), libc::CLONE_NEWNET)
    }))?;
    Ok(())
}

/// Another process, which sleeps until this is dropped.
pub struct Child(libc::pid_t);

impl Child {
    pub fn start() -> io::Result<Self> {
        // SAFETY: this process has one thread, and the child makes system calls only.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            loop {
                // SAFETY: no pointers.
                unsafe { libc::pause() };
            }
        }
        check(i64::from(pid))?;
        Ok(Self(pid))
    }

    pub fn pid(&self) -> i32 {
        self.0
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: no pointers. It is a child that was not waited for.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

/// Has children come to where they sleep, and the kernel do what it has put off.
pub fn let_others_sleep() {
    std::thread::sleep(std::time::Duration::from_secs(1));
}

pub fn own_pid() -> i32 {
    std::process::id().cast_signed()
}

pub fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    Ok(adopt(u32::try_from(fd).unwrap_or_default()))
}

/// A descriptor of another process, here (`pidfd_getfd(2)`).
pub fn fetch(pidfd: &OwnedFd, fd: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) })?;
    Ok(adopt(u32::try_from(fd).unwrap_or_default()))
}

/// The number by which `/proc/PID/fd` knows a socket.
pub fn inode(fd: &OwnedFd) -> io::Result<u64> {
    // SAFETY: it consists of integers.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one stat.
    check(i64::from(unsafe {
        libc::fstat(fd.as_raw_fd(), &raw mut stat)
    }))?;
    Ok(stat.st_ino)
}

/// How many bytes of memory a socket is charged for that wait in it (`SO_MEMINFO`).
pub fn charged(fd: &OwnedFd) -> u64 {
    let mut info = [0; 36];
    get(fd, libc::SOL_SOCKET, SO_MEMINFO, &mut info);
    u32::from_ne_bytes([info[0], info[1], info[2], info[3]]).into()
}

const SO_MEMINFO: i32 = 55;

/// Switches the machine off, or starts it again, which QEMU is told to take for the same.
pub fn end() -> ! {
    // SAFETY: no pointers. Nothing has to be written before.
    unsafe {
        libc::reboot(libc::RB_AUTOBOOT);
        libc::_exit(0)
    }
}

pub fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(family, kind, protocol) };
    check(i64::from(fd))?;
    // SAFETY: the kernel just made it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Owns a descriptor that the kernel has made for this process.
pub fn adopt(fd: u32) -> OwnedFd {
    // SAFETY: it is from an answer of the kernel, and nobody owns it yet.
    unsafe { OwnedFd::from_raw_fd(fd.cast_signed()) }
}

pub fn send(fd: &OwnedFd, bytes: &[u8], flags: i32) -> io::Result<()> {
    // SAFETY: the kernel reads the bytes.
    check(unsafe { libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) } as i64)?;
    Ok(())
}

/// `sendto(2)` to a port of 127.0.0.1.
pub fn send_to(fd: &OwnedFd, bytes: &[u8], port: u16) -> io::Result<()> {
    let to = localhost(port);
    // SAFETY: the kernel reads the bytes, and one sockaddr_in.
    check(unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            0,
            (&raw const to).cast(),
            ADDR_LEN,
        )
    } as i64)?;
    Ok(())
}

pub fn receive(fd: &OwnedFd, buffer: &mut [u8], flags: i32) -> io::Result<usize> {
    // SAFETY: the kernel writes into the buffer.
    let len = check(unsafe {
        libc::recv(
            fd.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            flags,
        )
    } as i64)?;
    Ok(usize::try_from(len).unwrap_or_default())
}

/// `getsockopt(2)`; an option that the socket has not got is an error, which costs as much.
pub fn get(fd: &OwnedFd, level: i32, option: i32, buffer: &mut [u8]) {
    let mut len = libc::socklen_t::try_from(buffer.len()).unwrap_or_default();
    // SAFETY: the kernel writes no more into the buffer than its length.
    unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level,
            option,
            buffer.as_mut_ptr().cast(),
            &raw mut len,
        );
    }
}

pub fn set(fd: &OwnedFd, level: i32, option: i32, value: &[u8]) -> io::Result<()> {
    let len = libc::socklen_t::try_from(value.len()).unwrap_or_default();
    // SAFETY: the kernel reads the value.
    check(i64::from(unsafe {
        libc::setsockopt(fd.as_raw_fd(), level, option, value.as_ptr().cast(), len)
    }))?;
    Ok(())
}

/// The address 127.0.0.1 with a port.
fn localhost(port: u16) -> libc::sockaddr_in {
    address(1, port)
}

/// An address of this machine, of which there are many, with a port.
fn address(host: u32, port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: 2,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr {
            s_addr: (0x7f00_0000 + host).to_be(),
        },
        sin_zero: [0; 8],
    }
}

/// The size of `struct sockaddr_in`.
const ADDR_LEN: libc::socklen_t = 16;

pub fn bind(fd: &OwnedFd, port: u16) -> io::Result<()> {
    bind_at(fd, 1, port)
}

/// Binds to one of the many addresses of this machine.
pub fn bind_at(fd: &OwnedFd, host: u32, port: u16) -> io::Result<()> {
    let address = address(host, port);
    // SAFETY: one sockaddr_in.
    check(i64::from(unsafe {
        libc::bind(fd.as_raw_fd(), (&raw const address).cast(), ADDR_LEN)
    }))?;
    Ok(())
}

pub fn connect(fd: &OwnedFd, port: u16) -> io::Result<()> {
    let address = localhost(port);
    // SAFETY: one sockaddr_in.
    check(i64::from(unsafe {
        libc::connect(fd.as_raw_fd(), (&raw const address).cast(), ADDR_LEN)
    }))?;
    Ok(())
}

/// What CRIU asks beside the options: both names, the flags and the owner of the file.
pub fn names(fd: &OwnedFd) {
    let mut address = localhost(0);
    let mut len = ADDR_LEN;
    let mut owner = [0_i32; 2];
    let raw = fd.as_raw_fd();
    // SAFETY: the kernel writes one sockaddr_in, and one f_owner_ex.
    unsafe {
        libc::getsockname(raw, (&raw mut address).cast(), &raw mut len);
        libc::getpeername(raw, (&raw mut address).cast(), &raw mut len);
        libc::fcntl(raw, libc::F_GETFL);
        libc::fcntl(raw, F_GETOWN_EX, owner.as_mut_ptr());
        libc::fcntl(raw, F_GETSIG);
    }
}

/// As many calls as CRIU makes for the file of a socket that it makes: four times `fcntl(2)`, of which
/// these stand for its own, and `getpid(2)`.
pub fn file_as_criu(fd: &OwnedFd) -> io::Result<()> {
    let raw = fd.as_raw_fd();
    // SAFETY: these take integers.
    unsafe {
        check(i64::from(libc::fcntl(raw, libc::F_SETFL, libc::O_RDWR)))?;
        check(i64::from(libc::fcntl(raw, libc::F_GETFL)))?;
        check(i64::from(libc::fcntl(raw, libc::F_GETFD)))?;
        check(i64::from(libc::fcntl(raw, libc::F_SETFD, 0)))?;
        libc::getpid();
    }
    Ok(())
}

const F_GETOWN_EX: i32 = 16;
const F_GETSIG: i32 = 11;

/// `recvmsg(2)` with room for control messages.
pub fn receive_message(
    fd: &OwnedFd,
    buffer: &mut [u8],
    control: &mut [u8],
    flags: i32,
) -> io::Result<()> {
    let mut name = localhost(0);
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: it consists of integers and pointers.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = (&raw mut name).cast();
    message.msg_namelen = ADDR_LEN;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = control.len();
    // SAFETY: all that the message points to is there, and as long as it says.
    check(unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, flags) } as i64)?;
    Ok(())
}
