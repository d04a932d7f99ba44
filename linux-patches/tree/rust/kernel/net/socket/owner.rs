// SPDX-License-Identifier: GPL-2.0

//! Who is told by a signal that something happens to a socket (`F_SETOWN`, `F_SETSIG`, `O_ASYNC`).

use crate::{
    bindings,
    cred::Credential,
    error::to_result,
    fs::file::flags,
    pid_namespace::PidNamespace,
    prelude::*,
    sync::{
        aref::ARef,
        rcu, //
    },
};

use core::ptr::{
    self,
    NonNull, //
};

use super::{
    process::PidRef,
    SocketFile, //
};

/// What kind of owner it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OwnerType {
    /// A thread (`F_OWNER_TID`).
    Thread,
    /// A process (`F_OWNER_PID`).
    Process,
    /// A process group (`F_OWNER_PGRP`).
    Group,
}

impl OwnerType {
    /// All of them.
    const ALL: [Self; 3] = [Self::Thread, Self::Process, Self::Group];

    /// Returns the type of its number.
    const fn pid_type(self) -> bindings::pid_type {
        match self {
            Self::Thread => bindings::pid_type_PIDTYPE_PID,
            Self::Process => bindings::pid_type_PIDTYPE_TGID,
            Self::Group => bindings::pid_type_PIDTYPE_PGID,
        }
    }
}

/// The number of an owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OwnerId {
    /// There is none, or it is gone.
    None,
    /// It has this number in the PID namespace.
    Number(u32),
    /// It has no number in the PID namespace.
    Hidden,
}

/// Who is told (`struct fown_struct`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    /// What kind of owner.
    pub type_: OwnerType,
    /// Which one.
    pub id: OwnerId,
    /// The signal that was chosen (`F_SETSIG`), 0 for `SIGIO`.
    pub signum: u32,
}

/// Who is to be told.
pub struct NewOwner {
    type_: OwnerType,
    pid: Option<PidRef>,
    signum: c_int,
    /// In whose name signals are sent.
    cred: ARef<Credential>,
}

impl NewOwner {
    /// Makes an owner of a number in the PID namespace of the calling task, or of nobody if it is
    /// 0. It gets signals in the name of the calling task.
    ///
    /// # Errors
    ///
    /// `ESRCH` if there is no such task or group, `EINVAL` if there is no such signal.
    /// (`F_SETOWN_EX` takes the number of a task for a group that there is not; nobody is told.)
    pub fn find(type_: OwnerType, id: u32, signum: u32) -> Result<Self> {
        if signum > bindings::_NSIG {
            return Err(EINVAL);
        }
        let pid = match id {
            0 => None,
            id => {
                let pid = PidRef::find(id).ok_or(ESRCH)?;
                let _rcu = rcu::read_lock();

                // SAFETY: The pid is valid, since there is a reference to it. The task is not
                // looked at.
                if unsafe { bindings::pid_task(pid.as_ptr(), type_.pid_type()) }.is_null() {
                    return Err(ESRCH);
                }
                Some(pid)
            }
        };
        Ok(Self {
            type_,
            pid,
            // CAST: A small number.
            signum: signum as c_int,
            cred: Credential::current(),
        })
    }
}

impl SocketFile {
    /// Returns who is told, by its number in a PID namespace, if anybody has ever asked for that.
    pub fn owner(&self, namespace: &PidNamespace) -> Option<Owner> {
        // SAFETY: The file is valid, since there is a reference to it. The volatile read is the one
        // of `file_f_owner`.
        let owner = unsafe { (&raw const (*self.file().as_ptr()).f_owner).read_volatile() };
        let owner = NonNull::new(owner)?.as_ptr();

        // SAFETY: Once there is an owner, it stays until the file is freed.
        unsafe { bindings::read_lock_irq(&raw mut (*owner).lock) };
        let rcu = rcu::read_lock();
        // SAFETY: The lock is held, which protects these.
        let (pid, pid_type) = unsafe { ((*owner).pid, (*owner).pid_type) };
        // SAFETY: The owner has a reference to the pid as long as the lock is held, or it is null,
        // which both functions take.
        let (has_task, nr) = unsafe {
            (
                !bindings::pid_task(pid, pid_type).is_null(),
                bindings::pid_nr_ns(pid, namespace.as_ptr()),
            )
        };
        drop(rcu);
        // SAFETY: The lock was taken above.
        unsafe { bindings::read_unlock_irq(&raw mut (*owner).lock) };

        // SAFETY: The owner is still valid. This is set without the lock everywhere.
        let signum = unsafe { (&raw const (*owner).signum).read_volatile() };

        Some(Owner {
            type_: OwnerType::ALL
                .into_iter()
                .find(|type_| type_.pid_type() == pid_type)?,
            id: match (has_task, u32::try_from(nr)) {
                (false, _) => OwnerId::None,
                (true, Ok(0) | Err(_)) => OwnerId::Hidden,
                (true, Ok(nr)) => OwnerId::Number(nr),
            },
            signum: u32::try_from(signum).unwrap_or(0),
        })
    }

    /// Sets who is told, as `F_SETOWN_EX` and `F_SETSIG` do.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn set_owner(&self, owner: &NewOwner) -> Result {
        let file = self.file().as_ptr();
        let pid = owner.pid.as_ref().map_or(ptr::null_mut(), PidRef::as_ptr);

        // SAFETY: The file is valid, since there is a reference to it, and the pid is null or
        // valid. The owner is there when the first function has succeeded, and stays.
        owner.cred.run(|| unsafe {
            to_result(bindings::file_f_owner_allocate(file))?;
            bindings::__f_setown(file, pid, owner.type_.pid_type(), 1);
            (&raw mut (*(*file).f_owner).signum).write_volatile(owner.signum);
            Ok(())
        })
    }

    /// Asks for signals, or for no more, as `O_ASYNC` does. They will tell the descriptor.
    ///
    /// May sleep: this takes the socket lock.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn set_async(&self, fd: u32, on: bool) -> Result {
        let file = self.file().as_ptr();
        // CAST: Descriptors are not negative as a `c_int`. It is told, and not used.
        let fd = fd as c_int;

        // SAFETY: The file is valid, and so are its operations. Those of sockets have this one.
        let fasync = unsafe { (*(*file).f_op).fasync }.ok_or(EOPNOTSUPP)?;
        // SAFETY: This is how `setfl()` calls it, without a lock.
        to_result(unsafe { fasync(fd, file, on.into()) })?;

        // It does not tell that there was no memory.
        match self.file_flags() & flags::O_ASYNC {
            0 if on => Err(ENOMEM),
            _ => Ok(()),
        }
    }
}
