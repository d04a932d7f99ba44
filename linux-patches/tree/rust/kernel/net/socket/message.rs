// SPDX-License-Identifier: GPL-2.0

//! Sending.

use crate::{
    bindings,
    error::to_result,
    prelude::*, //
};

use core::{
    mem::MaybeUninit,
    net::SocketAddr,
    ptr, //
};

use super::{
    address::RawAddress,
    Socket, //
};

/// The header of a control message, as bytes in their order: there is no padding in it.
const CMSG_HDRLEN: usize = size_of::<bindings::cmsghdr>();

static_assert!(CMSG_HDRLEN == size_of::<usize>() + 2 * size_of::<c_int>());

/// The size that control messages are aligned to.
const CMSG_ALIGN: usize = size_of::<usize>();

/// Control data of a message, as `sendmsg(2)` takes it.
///
/// # Invariants
///
/// `words` has control messages, each with a right length and padded with zeroes to whole words.
pub struct ControlData {
    words: KVec<usize>,
}

impl ControlData {
    /// No control data.
    pub const fn new() -> Self {
        // INVARIANT: There is none.
        Self { words: KVec::new() }
    }

    /// Appends a control message.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and `EMSGSIZE` if it is too long for a length.
    pub fn push(&mut self, level: i32, type_: i32, data: &[u8]) -> Result {
        let len = CMSG_HDRLEN.checked_add(data.len()).ok_or(EMSGSIZE)?;
        let words = len.div_ceil(CMSG_ALIGN);
        let (len, level, type_) = (len.to_ne_bytes(), level.to_ne_bytes(), type_.to_ne_bytes());
        let parts: [&[u8]; 4] = [&len, &level, &type_, data];
        let mut bytes = parts.into_iter().flatten();

        self.words.reserve(words, GFP_KERNEL)?;
        // INVARIANT: The header has the length of header and data, which follow as a whole: there
        // is room for all words.
        for _ in 0..words {
            let mut word = [0; CMSG_ALIGN];
            for (to, from) in word.iter_mut().zip(&mut bytes) {
                *to = *from;
            }
            self.words.push(usize::from_ne_bytes(word), GFP_KERNEL)?;
        }
        Ok(())
    }
}

impl Default for ControlData {
    fn default() -> Self {
        Self::new()
    }
}

impl Socket {
    /// The flags that [`Self::sendmsg`] takes.
    const SEND_FLAGS: u32 = bindings::MSG_CONFIRM
        | bindings::MSG_DONTROUTE
        | bindings::MSG_DONTWAIT
        | bindings::MSG_MORE;

    /// Sends a message as `sendmsg(2)` does, to an address or to the peer, and returns how many
    /// bytes of the payload were sent.
    ///
    /// The payload is copied.
    ///
    /// # Errors
    ///
    /// Those of `sendmsg(2)`, and `EINVAL` for other flags than `MSG_CONFIRM`, `MSG_DONTROUTE`,
    /// `MSG_DONTWAIT` and `MSG_MORE`: with some the socket would go on using the payload.
    pub fn sendmsg(
        &self,
        to: Option<&SocketAddr>,
        mut control: ControlData,
        payload: &[u8],
        flags: u32,
    ) -> Result<usize> {
        if flags & !Self::SEND_FLAGS != 0 {
            return Err(EINVAL);
        }
        // A length that is sent is an `int`.
        if c_int::try_from(payload.len()).is_err() {
            return Err(EMSGSIZE);
        }

        let mut address = to.map(RawAddress::from);
        let mut vec = bindings::kvec {
            iov_base: payload.as_ptr().cast_mut().cast(),
            iov_len: payload.len(),
        };
        let mut msg = MaybeUninit::<bindings::msghdr>::zeroed();
        let msg = msg.as_mut_ptr();

        // SAFETY: A `struct msghdr` may be all zeroes: pointers and a function pointer that are not
        // set, and bits that say that the control data are not in user space. This writes to some
        // of its fields. By the type invariants, the control data are as many words as their length
        // says.
        unsafe {
            if let Some(address) = &mut address {
                (*msg).msg_name = address.as_mut_ptr().cast();
                (*msg).msg_namelen = address.len();
            }
            (*msg).__bindgen_anon_1.msg_control = match control.words.is_empty() {
                true => ptr::null_mut(),
                false => control.words.as_mut_ptr().cast(),
            };
            (*msg).msg_controllen = size_of_val(control.words.as_slice());
            (*msg).msg_flags = flags;
        }

        // SAFETY: By the type invariants, the socket is valid. So are the message, with all that it
        // points to, and the vector, until the function returns. It does not write to the payload,
        // and without `MSG_ZEROCOPY` and `MSG_SPLICE_PAGES` nobody keeps a pointer to it. It asks
        // the security module.
        let sent =
            unsafe { bindings::kernel_sendmsg(self.as_ptr(), msg, &raw mut vec, 1, payload.len()) };
        to_result(sent)?;
        // CAST: It is not negative.
        Ok(sent as usize)
    }
}
