// SPDX-License-Identifier: GPL-2.0

//! A plugin of QEMU (TCG) that counts where a guest spends its instructions while the program in
//! it measures: between one `rdtsc` of its and the next.
//!
//! It writes a line for each block of code, its address and how many instructions were executed in
//! it, into the file that its argument `out` names.
//!
//! The interface is that of `qemu/qemu-plugin.h`, version 1.
#![expect(unsafe_code, reason = "the interface of QEMU is that of C")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::slice;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The version of the interface, which QEMU looks for.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = 1;

/// `QEMU_PLUGIN_CB_NO_REGS`
const NO_REGS: c_int = 0;

/// The processors know addresses below this in programs, and others in the kernel.
const PROGRAMS: u64 = 1 << 47;

const RDTSC: [u8; 2] = [0x0f, 0x31];

#[allow(non_camel_case_types)]
type qemu_plugin_tb = c_void;
#[allow(non_camel_case_types)]
type qemu_plugin_insn = c_void;

unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(
        id: u64,
        cb: unsafe extern "C" fn(u64, *mut qemu_plugin_tb),
    );
    fn qemu_plugin_register_vcpu_tb_exec_cb(
        tb: *mut qemu_plugin_tb,
        cb: unsafe extern "C" fn(c_uint, *mut c_void),
        flags: c_int,
        userdata: *mut c_void,
    );
    fn qemu_plugin_register_vcpu_insn_exec_cb(
        insn: *mut qemu_plugin_insn,
        cb: unsafe extern "C" fn(c_uint, *mut c_void),
        flags: c_int,
        userdata: *mut c_void,
    );
    fn qemu_plugin_register_atexit_cb(
        id: u64,
        cb: unsafe extern "C" fn(u64, *mut c_void),
        userdata: *mut c_void,
    );
    fn qemu_plugin_tb_n_insns(tb: *const qemu_plugin_tb) -> usize;
    fn qemu_plugin_tb_vaddr(tb: *const qemu_plugin_tb) -> u64;
    fn qemu_plugin_tb_get_insn(tb: *const qemu_plugin_tb, index: usize) -> *mut qemu_plugin_insn;
    fn qemu_plugin_insn_data(insn: *const qemu_plugin_insn) -> *const c_void;
    fn qemu_plugin_insn_size(insn: *const qemu_plugin_insn) -> usize;
}

/// A block of code, which may be translated more than once.
struct Block {
    addr: u64,
    len: u64,
    instructions: AtomicU64,
}

static BLOCKS: Mutex<Vec<&Block>> = Mutex::new(Vec::new());
static OUT: Mutex<Option<File>> = Mutex::new(None);
static MEASURES: AtomicBool = AtomicBool::new(false);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What QEMU calls first.
///
/// # Safety
///
/// To be called by QEMU.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    _info: *const c_void,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    // SAFETY: QEMU gives so many strings.
    let arguments =
        unsafe { slice::from_raw_parts(arguments, usize::try_from(count).unwrap_or(0)) };
    let out = arguments.iter().find_map(|argument| {
        // SAFETY: QEMU gives strings.
        let text = unsafe { CStr::from_ptr(*argument) }.to_str().ok()?;
        text.strip_prefix("out=")
    });
    let Some(Ok(file)) = out.map(File::create) else {
        eprintln!("counter: it wants out=FILE, which can be written");
        return 1;
    };
    *lock(&OUT) = Some(file);
    // SAFETY: the functions have these types, and stay.
    unsafe {
        qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
        qemu_plugin_register_atexit_cb(id, ended, std::ptr::null_mut());
    }
    0
}

unsafe extern "C" fn translated(_id: u64, tb: *mut qemu_plugin_tb) {
    // SAFETY: QEMU gives a block, which has so many instructions, with so many bytes each.
    unsafe {
        let (addr, count) = (qemu_plugin_tb_vaddr(tb), qemu_plugin_tb_n_insns(tb));
        let block: &Block = Box::leak(Box::new(Block {
            addr,
            len: u64::try_from(count).unwrap_or(0),
            instructions: AtomicU64::new(0),
        }));
        lock(&BLOCKS).push(block);
        let place = std::ptr::from_ref(block).cast_mut().cast();
        qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, NO_REGS, place);
        if addr >= PROGRAMS {
            return;
        }
        for index in 0..count {
            let insn = qemu_plugin_tb_get_insn(tb, index);
            let bytes = slice::from_raw_parts(
                qemu_plugin_insn_data(insn).cast::<u8>(),
                qemu_plugin_insn_size(insn),
            );
            if bytes == RDTSC {
                qemu_plugin_register_vcpu_insn_exec_cb(insn, marked, NO_REGS, std::ptr::null_mut());
            }
        }
    }
}

unsafe extern "C" fn executed(_vcpu: c_uint, block: *mut c_void) {
    // SAFETY: it was registered with a block, which stays.
    let block = unsafe { &*block.cast::<Block>() };
    if MEASURES.load(Ordering::Relaxed) {
        block.instructions.fetch_add(block.len, Ordering::Relaxed);
    }
}

unsafe extern "C" fn marked(_vcpu: c_uint, _userdata: *mut c_void) {
    MEASURES.fetch_xor(true, Ordering::Relaxed);
}

unsafe extern "C" fn ended(_id: u64, _userdata: *mut c_void) {
    let Some(file) = lock(&OUT).take() else {
        return;
    };
    let mut out = BufWriter::new(file);
    for block in lock(&BLOCKS).iter() {
        let count = block.instructions.load(Ordering::Relaxed);
        if count != 0 && writeln!(out, "{:x} {count}", block.addr).is_err() {
            eprintln!("counter: what was counted cannot be written");
            return;
        }
    }
}
