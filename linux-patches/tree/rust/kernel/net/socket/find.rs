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
    /// Finds a bound UDP socket of a network namespace by its inode number, wherever it is open.
    ///
    /// The kernel's own sockets are never found. What the calling task may do with what is found is
    /// for the caller to decide.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is none, `EINTR` if the calling task is killed.
    pub fn find_bound_ino(net: &Net, ino: u64) -> Result<Self> {
        // A socket that is not open has the number 0.
        match ino {
            0 => Err(ENOENT),
            ino => Wanted { net, ino }.in_udp_hash()?.ok_or(ENOENT),
        }
    }

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
        match Self::find_bound_ino(net, ino) {
            Err(ENOENT) if ino != 0 => Wanted { net, ino }.in_tasks()?.ok_or(ENOENT),
            result => result,
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
    fn in_batch(&self, task: &Task, mut fd: u32, budget: &mut Budget) -> Result<Batch> {
        for _ in 0..BATCH {
            let from = fd;
            // SAFETY: The task is valid, since there is a reference to it.
            let file = unsafe { bindings::fget_task_next(task.as_ptr(), &raw mut fd) };
            budget.spend(1 + fd.saturating_sub(from) / EMPTY)?;
            let Some(file) = NonNull::new(file) else {
                return Ok(Batch::End);
            };

            // SAFETY: `fget_task_next` has returned a valid file with a reference to it.
            if let Ok(file) = unsafe { SocketFile::from_raw(file) } {
                if self.is_it(&file) {
                    return Ok(Batch::Found(file));
                }
            }

            let Some(next) = fd.checked_add(1) else {
                return Ok(Batch::End);
            };
            fd = next;
        }

        Ok(Batch::More(fd))
    }

    /// Tells whether this is the socket that is looked for.
    fn is_it(&self, sock: &Sock) -> bool {
        sock.ino() == self.ino && sock.is_in_net(self.net) && !sock.is_kernel()
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
/// There is no task if it has just gone, or if it is a thread with the files of its process.
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
    let skip = unsafe { bindings::task_shares_files(task.as_ptr()) };

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
