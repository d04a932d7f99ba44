// SPDX-License-Identifier: GPL-2.0

//! Finding an open socket by its inode number.
//!
//! There is no index of these. Bound UDP sockets are in a hash table, where the number is cached;
//! all others are reached from the processes that have them open, and only from these.

use crate::{
    bindings,
    net::Net,
    pid_namespace::PidNamespace,
    prelude::*,
    sync::{
        aref::ARef,
        rcu, //
    },
    task::{
        Pid,
        Task, //
    },
};

use core::ptr::NonNull;

use super::{
    BoundFilter,
    BoundPlace,
    BoundSockets,
    Sock,
    SocketFile, //
};

/// How many tasks and files to look at. This takes some tens of milliseconds.
const LIMIT: u32 = 1 << 18;

/// How many empty places of a file table to pass over at the price of one file.
const EMPTY: u32 = 64;

/// How many files of a task to look at until others get a chance.
const BATCH: u32 = 256;

/// The access to a task that allows to see its files, as for `/proc/PID/fd`. Tasks that may not be
/// seen are nothing to report, since nobody has asked for them.
const ACCESS: c_uint = bindings::PTRACE_MODE_READ_FSCREDS | bindings::PTRACE_MODE_NOAUDIT;

impl SocketFile {
    /// Finds an open socket of a network namespace by its inode number.
    ///
    /// Bound UDP sockets are found wherever they are open. Others are looked for in the file tables
    /// of the tasks in the calling task's PID namespace that the calling task may `ptrace` for
    /// reading: what is in flight over a Unix socket, for one, is not found. This takes time in
    /// proportion to the number of tasks and their files. [`SocketFile::from_pidfd`] takes none.
    ///
    /// A bound socket may well belong to a process that the calling task has no access to: what it
    /// may do with what is found is for the caller to decide, going by the namespace's user
    /// namespace for one. The kernel's own sockets are never found. Inode numbers are not unique;
    /// if there are several sockets with this one, any of them is found.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is none, `E2BIG` if there are too many tasks and files to look at, `EINTR`
    /// if the calling task is killed.
    pub fn find_ino(net: &Net, ino: u64) -> Result<Self> {
        // A socket that is not open has the number 0.
        if ino == 0 {
            return Err(ENOENT);
        }
        let wanted = Wanted { net, ino };

        match wanted.in_udp_hash()? {
            Some(file) => Ok(file),
            None => wanted.in_tasks()?.ok_or(ENOENT),
        }
    }
}

/// What is looked for.
struct Wanted<'a> {
    net: &'a Net,
    ino: u64,
}

impl Wanted<'_> {
    /// Looks among the bound UDP sockets.
    fn in_udp_hash(&self) -> Result<Option<SocketFile>> {
        let inos = [self.ino];
        let filter = BoundFilter {
            inos: &inos,
            ..BoundFilter::default()
        };
        let mut sockets = BoundSockets::walk(self.net, filter, BoundPlace::start());

        while let Some((sock, _)) = sockets.next_sock()? {
            // It may be closed by now, or not be an open file yet.
            if let Ok(file) = SocketFile::from_sock(&sock) {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    /// Looks among the open files of the tasks that the calling task may see.
    fn in_tasks(&self) -> Result<Option<SocketFile>> {
        let current = current!();
        let Some(namespace) = current.active_pid_ns() else {
            return Ok(None);
        };
        let mut budget = Budget(LIMIT);
        let mut next = 1;

        while let Some((pid, task)) = task_from(next, namespace) {
            if let Some(task) = task {
                if let Some(file) = self.in_task(&task, &mut budget)? {
                    return Ok(Some(file));
                }
            }

            budget.spend(1)?;
            pause()?;
            // It is not less than what was asked for, and so this comes to an end.
            let Some(after) = pid.max(next).checked_add(1) else {
                break;
            };
            next = after;
        }

        Ok(None)
    }

    /// Looks among the open files of a task.
    fn in_task(&self, task: &Task, budget: &mut Budget) -> Result<Option<SocketFile>> {
        let mut next = 0;

        loop {
            // The task may become one that must not be seen, so ask for each batch.
            if !may_see_files(task) {
                return Ok(None);
            }

            next = match self.in_batch(task, next, budget)? {
                Batch::Found(file) => return Ok(Some(file)),
                Batch::More(fd) => fd,
                Batch::End => return Ok(None),
            };
            pause()?;
        }
    }

    /// Looks among some open files of a task, from a descriptor on.
    fn in_batch(&self, task: &Task, fd: u32, budget: &mut Budget) -> Result<Batch> {
        let mut places = 0;
        let mut look = Look {
            wanted: self,
            left: BATCH,
            next: fd,
            cost: 0,
            found: None,
        };

        // SAFETY: The task is valid, since there is a reference to it. The callback gets `look`,
        // which nobody else uses meanwhile, and the number of places may be written.
        let stopped = unsafe {
            bindings::task_iterate_fd(
                task.as_ptr(),
                fd,
                Some(Look::at_file),
                (&raw mut look).cast(),
                &raw mut places,
            )
        };

        if let Some(file) = look.found {
            // SAFETY: The callback has taken a reference to a valid file.
            return Ok(Batch::Found(unsafe { SocketFile::from_raw(file) }?));
        }
        budget.spend(look.cost)?;
        if stopped != 0 {
            return Ok(Batch::More(look.next));
        }
        // The places behind the last file were passed over.
        budget.spend(places.saturating_sub(look.next) / EMPTY)?;
        Ok(Batch::End)
    }

    /// Tells whether this is the socket that is looked for.
    fn is_it(&self, sock: &Sock) -> bool {
        sock.ino() == self.ino && sock.is_in_net(self.net) && !sock.is_kernel()
    }
}

/// A look at some files of a task. No reference is taken to one that is not wanted.
struct Look<'a> {
    wanted: &'a Wanted<'a>,
    /// How many files may still be looked at.
    left: u32,
    /// The descriptor behind the last one.
    next: u32,
    /// What was spent.
    cost: u32,
    /// With a reference.
    found: Option<NonNull<bindings::file>>,
}

impl Look<'_> {
    /// Looks at a file, and tells whether to stop behind it.
    ///
    /// # Safety
    ///
    /// `look` must be a pointer to a [`Look`] that nobody else uses, and `file` a valid file that
    /// stays open until this returns.
    unsafe extern "C" fn at_file(look: *const c_void, file: *mut bindings::file, fd: u32) -> c_int {
        // SAFETY: The caller gives us the only pointer to it.
        let look = unsafe { &mut *look.cast_mut().cast::<Self>() };

        look.cost += 1 + fd.saturating_sub(look.next) / EMPTY;
        // Descriptors are not negative as a `c_int`.
        look.next = fd + 1;
        look.left -= 1;

        // SAFETY: The file is valid.
        let socket = unsafe { bindings::sock_from_file(file) };
        if !socket.is_null() {
            // SAFETY: An open file keeps its socket, and that its `struct sock`, which is a full
            // one: the field is cleared when the last reference to the file is dropped
            // (`__sock_release`).
            let sk = unsafe { (&raw const (*socket).sk).read_volatile() };
            // SAFETY: As above, if it is there.
            if !sk.is_null() && look.wanted.is_it(unsafe { Sock::from_raw(sk) }) {
                // SAFETY: The file is open, and so has a reference that stays meanwhile.
                look.found = NonNull::new(unsafe { bindings::get_file(file) });
            }
        }

        c_int::from(look.left == 0 || look.found.is_some())
    }
}

/// What has come of looking at some files.
enum Batch {
    /// This is it.
    Found(SocketFile),
    /// It was not among these, and there may be more from this descriptor on.
    More(u32),
    /// It was not among these, and there are no more.
    End,
}

/// How many tasks and files may still be looked at.
struct Budget(u32);

impl Budget {
    /// Spends some.
    ///
    /// # Errors
    ///
    /// `E2BIG` if there are not enough left.
    fn spend(&mut self, cost: u32) -> Result {
        self.0 = self.0.checked_sub(cost).ok_or(E2BIG)?;
        Ok(())
    }
}

/// Tells whether the calling task may see the open files of `task`, as in `/proc/PID/fd`.
///
/// As there, `task` may become another program right after this. `exec_update_lock` would prevent
/// that, but who has it may keep it for as long as yet another task likes, and here others wait.
fn may_see_files(task: &Task) -> bool {
    // SAFETY: The task is valid, since there is a reference to it.
    unsafe { bindings::ptrace_may_access(task.as_ptr(), ACCESS) }
}

/// Returns the lowest PID in `namespace` that is not less than `pid`, and its task.
///
/// There is no task if it has just gone, or if it has no files of its own: a thread with those of
/// its process, or a kernel thread.
fn task_from(pid: Pid, namespace: &PidNamespace) -> Option<(Pid, Option<ARef<Task>>)> {
    let _rcu = rcu::read_lock();

    // SAFETY: The namespace is valid, and the RCU read lock is held, which keeps what is found.
    let found = NonNull::new(unsafe { bindings::find_ge_pid(pid, namespace.as_ptr()) })?;
    // SAFETY: The RCU read lock is held, and the namespace is valid.
    let pid = unsafe { bindings::pid_nr_ns(found.as_ptr(), namespace.as_ptr()) };
    // SAFETY: The RCU read lock is held.
    let task = unsafe { bindings::get_pid_task(found.as_ptr(), bindings::pid_type_PIDTYPE_PID) };
    let Some(task) = NonNull::new(task) else {
        return Some((pid, None));
    };

    // SAFETY: `get_pid_task` has returned a valid task with a reference to it. The cast is fine
    // because of `repr(transparent)`.
    let owned: ARef<Task> = unsafe { ARef::from_raw(task.cast()) };
    // SAFETY: The task is valid, and the RCU read lock is held, which keeps its leader.
    let skip = unsafe { bindings::task_has_no_own_files(task.as_ptr()) };

    Some((pid, (!skip).then_some(owned)))
}

/// Lets others run.
///
/// # Errors
///
/// `EINTR` if the calling task is killed.
pub(super) fn pause() -> Result {
    // SAFETY: FFI call. Looking for a socket may sleep.
    unsafe { bindings::cond_resched() };

    // SAFETY: The current task is valid.
    if unsafe { bindings::fatal_signal_pending(Task::current_raw()) } != 0 {
        return Err(EINTR);
    }
    Ok(())
}
