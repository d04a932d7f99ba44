// SPDX-License-Identifier: GPL-2.0

//! Programs that look at datagrams.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::{check, socket, socklen};

/// One instruction of classic BPF, as `struct sock_filter` has it.
#[derive(Clone, Copy)]
pub struct Instruction {
    pub code: u16,
    pub k: u32,
}

impl Instruction {
    /// Returns a number: how much of a datagram is taken.
    pub const fn taking(k: u32) -> Self {
        Self { code: 0x06, k } // BPF_RET | BPF_K
    }

    /// Loads a number, which leads to nothing.
    pub const NOTHING: Self = Self { code: 0, k: 0 }; // BPF_LD | BPF_IMM

    /// Loads the first byte of a datagram.
    pub const FIRST_BYTE: Self = Self { code: 0x30, k: 0 }; // BPF_LD | BPF_B | BPF_ABS

    /// Load a number that is 0 or the length of the longest datagram, by chance.
    pub const ALL_OR_NOTHING: [Self; 2] = [
        // BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_RANDOM
        Self {
            code: 0x20,
            k: 0xffff_f038,
        },
        // BPF_ALU | BPF_AND | BPF_K
        Self {
            code: 0x54,
            k: 0x1_0000,
        },
    ];

    /// Returns what was loaded.
    pub const RETURN_IT: Self = Self { code: 0x16, k: 0 }; // BPF_RET | BPF_A

    /// The instruction in memory.
    pub fn bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..2].copy_from_slice(&self.code.to_ne_bytes());
        bytes[4..].copy_from_slice(&self.k.to_ne_bytes());
        bytes
    }
}

/// Attaches a classic program: `SO_ATTACH_FILTER` or `SO_ATTACH_REUSEPORT_CBPF`.
pub fn attach(fd: &impl AsRawFd, option: i32, program: &[Instruction]) -> io::Result<()> {
    let mut program: Vec<_> = program
        .iter()
        .map(|one| libc::sock_filter {
            code: one.code,
            jt: 0,
            jf: 0,
            k: one.k,
        })
        .collect();
    let program = libc::sock_fprog {
        len: libc::c_ushort::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the kernel reads one sock_fprog and the program it points to.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const program).cast(),
            socklen::<libc::sock_fprog>(),
        )
    })?;
    Ok(())
}

/// The part of `union bpf_attr` that loads a program.
#[repr(C)]
struct ProgramLoad {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log: [u32; 2],
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
}

/// Attaches an eBPF program that takes everything: `SO_ATTACH_BPF` or `SO_ATTACH_REUSEPORT_EBPF`.
/// `ENOSYS` where the kernel has none.
pub fn attach_ebpf(fd: &impl AsRawFd, option: i32) -> io::Result<()> {
    const BPF_PROG_LOAD: i32 = 5;
    const BPF_PROG_TYPE_SOCKET_FILTER: u32 = 1;
    // r0 = -1; exit.
    let program: [[u8; 8]; 2] = [
        [0xb7, 0, 0, 0, 255, 255, 255, 255],
        [0x95, 0, 0, 0, 0, 0, 0, 0],
    ];
    let load = ProgramLoad {
        kind: BPF_PROG_TYPE_SOCKET_FILTER,
        count: 2,
        instructions: program.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log: [0; 2],
        log_buffer: 0,
        kernel_version: 0,
        flags: 0,
    };
    // SAFETY: the kernel reads the attributes and what they point to.
    let loaded = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_LOAD,
            &raw const load,
            size_of::<ProgramLoad>(),
        )
    };
    let loaded = check(i32::try_from(loaded).unwrap_or(-1))?;
    // SAFETY: the kernel just made the descriptor.
    let loaded = unsafe { OwnedFd::from_raw_fd(loaded) };
    socket::set_int(fd, libc::SOL_SOCKET, option, loaded.as_raw_fd())
}
