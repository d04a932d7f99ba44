// SPDX-License-Identifier: GPL-2.0

//! The sockets that a process has open.

use crate::{
    bindings,
    cred::Credential,
    error::from_err_ptr,
    prelude::*,
    sync::aref::ARef,
    task::Task,
    types::NotThreadSafe, //
};

use core::{
    num::NonZeroU32,
    ptr::NonNull, //
};

use super::{
    find::pause,
    SocketFile, //
};

/// How many files to look at until others get a chance.
const BATCH: u32 = 256;

/// A reference to a `struct pid`.
///
/// # Invariants
///
/// The pid is valid, and there is a reference to it.
#[derive(PartialEq, Eq)]
pub(super) struct PidRef(NonNull<bindings::pid>);

// SAFETY: References to a pid may be dropped by any task.
unsafe impl Send for PidRef {}

impl PidRef {
    /// Gets the pid with a number in the PID namespace of the calling task.
    pub(super) fn find(nr: u32) -> Option<Self> {
        // SAFETY: FFI call, there are no requirements on the number.
        let pid = unsafe { bindings::find_get_pid(c_int::try_from(nr).ok()?) };

        // INVARIANT: `find_get_pid` has returned a reference.
        NonNull::new(pid).map(Self)
    }

    /// Gets the pid of the process of the calling task.
    fn of_current() -> Result<Self> {
        // SAFETY: The current task is valid.
        let pid =
            unsafe { bindings::get_task_pid(Task::current_raw(), bindings::pid_type_PIDTYPE_TGID) };

        // INVARIANT: `get_task_pid` has returned a reference.
        NonNull::new(pid).map(Self).ok_or(ESRCH)
    }

    /// Returns the pointer to the `struct pid`.
    pub(super) fn as_ptr(&self) -> *mut bindings::pid {
        self.0.as_ptr()
    }
}

impl Drop for PidRef {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, there is a reference, which is not used any more.
        unsafe { bindings::put_pid(self.0.as_ptr()) };
    }
}

/// The access to a process that allows to take its files, as for `pidfd_getfd(2)`.
const ACCESS: c_uint = bindings::PTRACE_MODE_ATTACH_REALCREDS;

/// A process whose sockets are looked at.
///
/// The calling task must be able to attach to the process by `ptrace`, each time that it gets a
/// socket from it. It must belong to the process that has made this, and not have changed its
/// credentials or become another program since: what is asked then looks at the task, and not at
/// credentials that it has taken on. `security_file_receive` is not asked, because no file is put
/// into a table; who does that has to ask.
pub struct ProcessSockets {
    process: PidRef,
    /// The process that has made this.
    requester: PidRef,
    cred: ARef<Credential>,
}

impl ProcessSockets {
    /// Takes the process that a pidfd of the calling task is of.
    ///
    /// # Errors
    ///
    /// `EBADF` if this is not an open pidfd.
    pub fn from_pidfd(pidfd: u32) -> Result<Self> {
        let mut flags = 0;

        // SAFETY: FFI call, there are no requirements on the descriptor, and the flags may be
        // written.
        let pid = from_err_ptr(unsafe { bindings::pidfd_get_pid(pidfd, &raw mut flags) })?;

        // INVARIANT: `pidfd_get_pid` has returned a reference.
        let process = PidRef(NonNull::new(pid).ok_or(EBADF)?);
        Ok(Self {
            process,
            requester: PidRef::of_current()?,
            cred: Credential::current(),
        })
    }

    /// Returns a number that changes when the process has become another program. The descriptors
    /// that are close-on-exec have gone by then, a while before.
    ///
    /// # Errors
    ///
    /// `ESRCH` if the process is gone.
    pub fn generation(&self) -> Result<NonZeroU32> {
        // SAFETY: The task is valid, since there is a reference to it. The field is read and
        // written without a lock elsewhere, too.
        let id = unsafe { (&raw const (*self.task()?.as_ptr()).self_exec_id).read_volatile() };

        // CAST: The lower bits are those that change.
        Ok(NonZeroU32::new((id as u32).wrapping_add(1)).unwrap_or(NonZeroU32::MAX))
    }

    /// Returns the task, which is another one after an `execve(2)` by a thread.
    fn task(&self) -> Result<ARef<Task>> {
        // SAFETY: The pid is valid, since there is a reference to it.
        let task = unsafe {
            bindings::get_pid_task(self.process.as_ptr(), bindings::pid_type_PIDTYPE_PID)
        };
        let task = NonNull::new(task).ok_or(ESRCH)?;

        // SAFETY: `get_pid_task` has returned a valid task with a reference to it. The cast is fine
        // because of `repr(transparent)`.
        Ok(unsafe { ARef::from_raw(task.cast()) })
    }

    /// Returns the first socket that has the descriptor `fd` or a higher one, with its descriptor.
    ///
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `EPERM` if the process must not be attached to, `EACCES` if the calling task is not the one
    /// that has made this, `EBUSY` if the process is in an `execve(2)`, `ESRCH` if it or its main
    /// thread is gone, `EINTR` if the calling task is killed.
    pub fn next_from(&self, mut fd: u32) -> Result<Option<(u32, SocketFile)>> {
        loop {
            let batch = self.in_batch(&mut fd)?;
            pause()?;

            match batch {
                Batch::Found(file) => return Ok(Some((fd, file))),
                Batch::More => {}
                Batch::End => return Ok(None),
            }
        }
    }

    /// Refuses another task than the one that has made this.
    fn check_requester(&self) -> Result {
        let current = Task::current_raw();
        // SAFETY: The current task is valid, and only itself replaces this pointer.
        let real_cred = unsafe { (*current).real_cred };

        match PidRef::of_current()? == self.requester && real_cred == self.cred.as_ptr() {
            true => Ok(()),
            false => Err(EACCES),
        }
    }

    /// Looks at some files from a descriptor on, and moves it on to what was found.
    fn in_batch(&self, fd: &mut u32) -> Result<Batch> {
        self.check_requester()?;
        let task = self.task()?;
        let _access = Access::get(&task)?;

        for _ in 0..BATCH {
            // SAFETY: The task is valid, since there is a reference to it.
            let file = unsafe { bindings::fget_task_next(task.as_ptr(), &raw mut *fd) };
            let Some(file) = NonNull::new(file) else {
                // A thread that has come to its end has no table, and neither has the main thread
                // when another one takes its place in an `execve(2)`.
                // SAFETY: The task is valid, and its signal struct, too. No pointer is followed.
                let (table, exec) = unsafe {
                    let task = task.as_ptr();
                    (
                        (&raw const (*task).files).read_volatile(),
                        (&raw const (*(*task).signal).group_exec_task).read_volatile(),
                    )
                };
                return match (table.is_null(), exec.is_null()) {
                    (true, true) => Err(ESRCH),
                    (true, false) => Err(EBUSY),
                    (false, _) => Ok(Batch::End),
                };
            };

            // SAFETY: `fget_task_next` has returned a valid file with a reference to it.
            if let Ok(file) = unsafe { SocketFile::from_raw(file) } {
                return Ok(Batch::Found(file));
            }

            match fd.checked_add(1) {
                Some(next) => *fd = next,
                None => return Ok(Batch::End),
            }
        }
        Ok(Batch::More)
    }
}

/// What has come of looking at some files.
enum Batch {
    /// A socket, with the descriptor.
    Found(SocketFile),
    /// None was a socket, but there may be more files.
    More,
    /// There are no more.
    End,
}

/// The right to take files from a process, which remains the program that it is meanwhile.
///
/// # Invariants
///
/// The `exec_update_lock` of the task is held for reading, by the calling task.
struct Access<'a>(&'a Task, NotThreadSafe);

impl<'a> Access<'a> {
    /// Gets the right, as `__pidfd_fget()` does, but does not wait for the lock: who has it may
    /// keep it for as long as yet another task likes.
    fn get(task: &'a Task) -> Result<Self> {
        // SAFETY: The task is valid, and so is its signal struct, as long as the task.
        let lock = unsafe { &raw mut (*(*task.as_ptr()).signal).exec_update_lock };

        // SAFETY: The lock is valid.
        if unsafe { bindings::down_read_trylock(lock) } == 0 {
            return Err(EBUSY);
        }
        // INVARIANT: It was just taken.
        let access = Self(task, NotThreadSafe);

        // SAFETY: The task is valid.
        if !unsafe { bindings::ptrace_may_access(task.as_ptr(), ACCESS) } {
            return Err(EPERM);
        }
        // SAFETY: The task is valid.
        let flags = unsafe { (&raw const (*task.as_ptr()).flags).read_volatile() };
        match flags & bindings::PF_EXITING {
            0 => Ok(access),
            _ => Err(ESRCH),
        }
    }
}

impl Drop for Access<'_> {
    fn drop(&mut self) {
        // SAFETY: As in `get`. By the type invariants, the lock is held.
        unsafe { bindings::up_read(&raw mut (*(*self.0.as_ptr()).signal).exec_update_lock) };
    }
}
