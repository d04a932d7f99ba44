// SPDX-License-Identifier: GPL-2.0

//! The user that a socket belongs to: who has made it, unless `fchown(2)` has given it away.

use crate::{
    bindings,
    error::to_result,
    prelude::*,
    task::Kuid, //
};

use super::{
    Sock,
    Socket,
    SocketFile, //
};

/// Returns the user with a number in the user namespace of the calling task.
fn user(uid: u32) -> Result<bindings::kuid_t> {
    /// What is no user (`INVALID_UID`).
    const INVALID: bindings::uid_t = bindings::uid_t::MAX;

    // SAFETY: The user namespace of the calling task is valid.
    let user = unsafe { bindings::make_kuid(bindings::current_user_ns(), uid) };

    match user.val {
        INVALID => Err(EINVAL),
        _ => Ok(user),
    }
}

impl Sock {
    /// Returns the user that the socket belongs to.
    #[inline]
    pub fn user(&self) -> Kuid {
        Kuid::from_raw(bindings::kuid_t { val: self.sk_uid() })
    }
}

impl Socket {
    /// Makes the socket that of another user, who is named in the user namespace of the calling
    /// task: as if that task had been this user when it made it (`setfsuid(2)`).
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such user, `EPERM` if the task may not become another one
    /// (`CAP_SETUID`).
    pub fn set_user(&mut self, uid: u32) -> Result {
        // CAST: A small number.
        const CAP_SETUID: c_int = bindings::CAP_SETUID as c_int;

        let user = user(uid)?;
        if Kuid::from_raw(user) == self.user() {
            return Ok(());
        }
        // SAFETY: The user namespace of the calling task is valid.
        if !unsafe { bindings::ns_capable_setid(bindings::current_user_ns(), CAP_SETUID) } {
            return Err(EPERM);
        }

        // SAFETY: By the type invariants, the socket is valid, it is ours, and it has no file, by
        // which others could get at its inode. The other field is read by `READ_ONCE` everywhere
        // (`sk_uid`), and written without a lock by `sockfs_setattr`, too.
        unsafe {
            (*bindings::SOCK_INODE(self.as_ptr())).i_uid = user;
            (&raw mut (*self.sock().as_ptr()).sk_uid).write_volatile(user);
        }
        Ok(())
    }
}

impl SocketFile {
    /// Gives the socket to a user, as `fchown(2)` does.
    ///
    /// # Errors
    ///
    /// Those of `fchown(2)`.
    pub fn chown(&self, uid: u32) -> Result {
        // That nothing is said of the group.
        const SAME: bindings::gid_t = bindings::gid_t::MAX;

        user(uid)?;
        // SAFETY: The file is valid, since there is a reference to it. The function asks the
        // security module.
        to_result(unsafe { bindings::vfs_fchown(self.file().as_ptr(), uid, SAME) })
    }
}
