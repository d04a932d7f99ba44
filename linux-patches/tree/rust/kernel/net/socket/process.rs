// SPDX-License-Identifier: GPL-2.0

//! The sockets that a process has open.

use crate::{
    bindings,
    error::from_err_ptr,
    prelude::*,
    sync::aref::ARef,
    task::Task, //
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
/// The calling task, or whose credentials it has taken, must be able to attach to the process by
/// `ptrace`, each time that it gets a socket from it. `security_file_receive` is not asked, because
/// no file is put into a table; who does that has to ask.
pub struct ProcessSockets(PidRef);

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
        Ok(Self(PidRef(NonNull::new(pid).ok_or(EBADF)?)))
    }

    /// Returns a number that changes when the process becomes another program, with which the
    /// descriptors that are close-on-exec have gone.
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
        let task =
            unsafe { bindings::get_pid_task(self.0.as_ptr(), bindings::pid_type_PIDTYPE_PID) };
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
    /// `EPERM` if the process must not be attached to, `EBUSY` if it is in an `execve(2)`, `ESRCH`
    /// if it is gone, `EINTR` if the calling task is killed.
    pub fn next_from(&self, mut fd: u32) -> Result<Option<(u32, SocketFile)>> {
        loop {
            match self.in_batch(&mut fd)? {
                Batch::Found(file) => return Ok(Some((fd, file))),
                Batch::More => pause()?,
                Batch::End => return Ok(None),
            }
        }
    }

    /// Looks at some files from a descriptor on, and moves it on to what was found.
    fn in_batch(&self, fd: &mut u32) -> Result<Batch> {
        let task = self.task()?;
        let _access = Access::get(&task)?;

        for _ in 0..BATCH {
            // SAFETY: The task is valid, since there is a reference to it.
            let file = unsafe { bindings::fget_task_next(task.as_ptr(), &raw mut *fd) };
            let Some(file) = NonNull::new(file) else {
                // A process that has come to its end has no table.
                // SAFETY: The task is valid. The pointer is not followed.
                let table = unsafe { (&raw const (*task.as_ptr()).files).read_volatile() };
                return match table.is_null() {
                    true => Err(ESRCH),
                    false => Ok(Batch::End),
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
/// The `exec_update_lock` of the task is held for reading.
struct Access<'a>(&'a Task);

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
        let access = Self(task);

        // SAFETY: The task is valid.
        match unsafe { bindings::ptrace_may_access(task.as_ptr(), ACCESS) } {
            true => Ok(access),
            false => Err(EPERM),
        }
    }
}

impl Drop for Access<'_> {
    fn drop(&mut self) {
        // SAFETY: As in `get`. By the type invariants, the lock is held.
        unsafe { bindings::up_read(&raw mut (*(*self.0.as_ptr()).signal).exec_update_lock) };
    }
}
