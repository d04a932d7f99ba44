// SPDX-License-Identifier: GPL-2.0

//! The user that a socket belongs to: who has made it, unless `fchown(2)` has given it away.

use crate::{
    bindings,
    prelude::*,
    task::Kuid, //
};

use super::{
    Sock,
    Socket, //
};

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
        /// What is no user (`INVALID_UID`).
        const INVALID: bindings::uid_t = bindings::uid_t::MAX;

        // SAFETY: The user namespace of the calling task is valid.
        let user = unsafe { bindings::make_kuid(bindings::current_user_ns(), uid) };
        if user.val == INVALID {
            return Err(EINVAL);
        }
        if Kuid::from_raw(user) == self.user() {
            return Ok(());
        }
        // Not `ns_capable_setid()`: that allows what SafeSetID would refuse in `setfsuid(2)`.
        // SAFETY: The user namespace of the calling task is valid.
        if !unsafe { bindings::ns_capable(bindings::current_user_ns(), CAP_SETUID) } {
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
