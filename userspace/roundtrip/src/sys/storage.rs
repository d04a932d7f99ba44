// SPDX-License-Identifier: GPL-2.0

//! Maps of BPF that have to do with sockets: data that programs keep with one
//! (`BPF_MAP_TYPE_SK_STORAGE`), and sockets that a map has.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::check;

const BPF_MAP_CREATE: i32 = 0;
const BPF_MAP_UPDATE_ELEM: i32 = 2;
const BPF_BTF_LOAD: i32 = 18;

/// `bpf(2)` with a `union bpf_attr` of 32-bit words.
fn bpf(command: i32, attr: &[u32]) -> io::Result<i32> {
    // 64-bit words, for the alignment of the union.
    let bytes: Vec<u8> = attr.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let words: Vec<u64> = bytes
        .chunks(8)
        .map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_ne_bytes(word)
        })
        .collect();
    // SAFETY: the kernel reads the attributes, and what their pointers say, which outlives the
    // call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, words.as_ptr(), bytes.len()) };
    check(i32::try_from(result).unwrap_or(-1))
}

/// The two words of a pointer.
fn pointer<T: ?Sized>(to: &T) -> [u32; 2] {
    let address = std::ptr::from_ref(to).cast::<u8>().addr() as u64;
    let bytes = address.to_ne_bytes();
    [0, 4].map(|at| u32::from_ne_bytes(std::array::from_fn(|n| bytes[at + n])))
}

fn own(fd: i32) -> OwnedFd {
    // SAFETY: the kernel just made the descriptor, nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// The types of such a map, which it must have: `int`.
fn types() -> io::Result<OwnedFd> {
    const TYPE: [u32; 4] = [1, 1 << 24, 4, 1 << 24 | 32]; // name, BTF_KIND_INT, size, signed
    const MAGIC: u16 = 0xeb9f;
    let header = [24, 0, 16, 16, 5]; // offsets and lengths
    let words = header.iter().chain(&TYPE);
    let mut btf = MAGIC.to_ne_bytes().to_vec();
    btf.extend([1, 0]); // version, flags
    btf.extend(words.flat_map(|word: &u32| word.to_ne_bytes()));
    btf.extend(b"\0int\0");
    let len = u32::try_from(btf.len()).expect("small");
    let [low, high] = pointer(btf.as_slice());
    Ok(own(bpf(BPF_BTF_LOAD, &[low, high, 0, 0, len, 0, 0])?))
}

/// Makes a map from 32-bit words of its `union bpf_attr`.
fn create(attr: &[u32; 16]) -> io::Result<OwnedFd> {
    Ok(own(bpf(BPF_MAP_CREATE, attr)?))
}

/// Sets the value of a key.
fn update(map: &OwnedFd, key: i32, value: i32) -> io::Result<()> {
    let ([key_low, key_high], [value_low, value_high]) = (pointer(&key), pointer(&value));
    let number = map.as_raw_fd().cast_unsigned();
    let update = [number, 0, key_low, key_high, value_low, value_high, 0, 0];
    bpf(BPF_MAP_UPDATE_ELEM, &update)?;
    Ok(())
}

/// Keeps a number with a socket, for as long as the map is there. `ENOSYS` where the kernel has
/// no BPF.
pub fn keep(fd: &impl AsRawFd) -> io::Result<OwnedFd> {
    const SK_STORAGE: u32 = 24;
    const BPF_F_NO_PREALLOC: u32 = 1;

    let types = types()?;
    let mut attr = [0; 16];
    attr[..5].copy_from_slice(&[SK_STORAGE, 4, 4, 0, BPF_F_NO_PREALLOC]);
    // Behind the name: the types, and which of them key and value have.
    attr[12..15].copy_from_slice(&[types.as_raw_fd().cast_unsigned(), 1, 1]);
    let map = create(&attr)?;
    update(&map, fd.as_raw_fd(), 7)?;
    Ok(map)
}

/// A map that has sockets, `BPF_MAP_TYPE_*`.
#[derive(Clone, Copy)]
pub enum SocketMap {
    /// Programs redirect what sockets receive.
    Sockmap = 15,
    /// A program chooses among the sockets of a `SO_REUSEPORT` group.
    ReuseportSockarray = 20,
}

/// Makes a map that has a bound socket, for as long as the map is there. `ENOSYS` where the kernel
/// has no BPF, and `EINVAL` where it has no such map.
pub fn map_with(kind: SocketMap, fd: &impl AsRawFd) -> io::Result<OwnedFd> {
    let mut attr = [0; 16];
    attr[..4].copy_from_slice(&[kind as u32, 4, 4, 1]);
    let map = create(&attr)?;
    update(&map, 0, fd.as_raw_fd())?;
    Ok(map)
}
