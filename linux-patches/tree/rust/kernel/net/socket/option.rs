// SPDX-License-Identifier: GPL-2.0

//! Reading options of a locked socket.
//!
//! `getsockopt(2)` itself is no use there: it runs cgroup-BPF programs, which takes the lock again
//! and may change the value. The functions below it take no lock, but for some options.

use crate::{
    bindings,
    error::to_result,
    prelude::*, //
};

use core::mem::size_of;

use super::LockedSocket;

/// The size of the options read here.
const INT_SIZE: c_int = size_of::<c_int>() as c_int;

/// Tells whether `sk_getsockopt` reads this option into an integer, takes no lock, and changes
/// nothing.
fn is_plain_socket_option(optname: u32) -> bool {
    matches!(
        optname,
        bindings::SO_DEBUG
            | bindings::SO_REUSEADDR
            | bindings::SO_TYPE
            | bindings::SO_DONTROUTE
            | bindings::SO_BROADCAST
            | bindings::SO_SNDBUF
            | bindings::SO_RCVBUF
            | bindings::SO_KEEPALIVE
            | bindings::SO_OOBINLINE
            | bindings::SO_NO_CHECK
            | bindings::SO_PRIORITY
            | bindings::SO_REUSEPORT
            | bindings::SO_RCVLOWAT
            | bindings::SO_SNDLOWAT
            | bindings::SO_TIMESTAMP_OLD
            | bindings::SO_TIMESTAMPNS_OLD
            | bindings::SO_TIMESTAMP_NEW
            | bindings::SO_TIMESTAMPNS_NEW
            | bindings::SO_ACCEPTCONN
            | bindings::SO_MARK
            | bindings::SO_PROTOCOL
            | bindings::SO_DOMAIN
            | bindings::SO_RXQ_OVFL
            | bindings::SO_WIFI_STATUS
            | bindings::SO_PEEK_OFF
            | bindings::SO_NOFCS
            | bindings::SO_LOCK_FILTER
            | bindings::SO_SELECT_ERR_QUEUE
            | bindings::SO_BUSY_POLL
            | bindings::SO_INCOMING_CPU
            | bindings::SO_ZEROCOPY
            | bindings::SO_BINDTOIFINDEX
            | bindings::SO_PREFER_BUSY_POLL
            | bindings::SO_BUF_LOCK
            | bindings::SO_RESERVE_MEM
            | bindings::SO_TXREHASH
            | bindings::SO_RCVMARK
            | bindings::SO_RCVPRIORITY
    )
}

/// Tells whether `do_ip_getsockopt` reads this option into an integer, takes no lock, and changes
/// nothing.
fn is_plain_ip_option(optname: u32) -> bool {
    matches!(
        optname,
        bindings::IP_TOS
            | bindings::IP_TTL
            | bindings::IP_HDRINCL
            | bindings::IP_ROUTER_ALERT
            | bindings::IP_RECVOPTS
            | bindings::IP_RETOPTS
            | bindings::IP_PKTINFO
            | bindings::IP_MTU_DISCOVER
            | bindings::IP_RECVERR
            | bindings::IP_RECVTTL
            | bindings::IP_RECVTOS
            | bindings::IP_FREEBIND
            | bindings::IP_PASSSEC
            | bindings::IP_TRANSPARENT
            | bindings::IP_RECVORIGDSTADDR
            | bindings::IP_MINTTL
            | bindings::IP_NODEFRAG
            | bindings::IP_CHECKSUM
            | bindings::IP_BIND_ADDRESS_NO_PORT
            | bindings::IP_RECVFRAGSIZE
            | bindings::IP_RECVERR_RFC4884
            | bindings::IP_MULTICAST_TTL
            | bindings::IP_MULTICAST_LOOP
            | bindings::IP_MULTICAST_ALL
            | bindings::IP_UNICAST_IF
            | bindings::IP_LOCAL_PORT_RANGE
    )
}

impl LockedSocket<'_> {
    /// Reads an option that is an integer.
    ///
    /// The levels are `SOL_SOCKET`, `SOL_IP` and `SOL_UDP`. The security module is not asked; see
    /// [`security_getsockopt`](Self::security_getsockopt).
    ///
    /// # Errors
    ///
    /// `EINVAL` for an option that is not an integer, whose reading changes something, or takes
    /// the lock that is already held. `ENOPROTOOPT` if the socket or the kernel does not have the
    /// option.
    pub fn getsockopt_int(&self, level: i32, optname: i32) -> Result<i32> {
        let name = u32::try_from(optname).map_err(|_| EINVAL)?;

        match u32::try_from(level).map_err(|_| EINVAL)? {
            bindings::SOL_SOCKET if is_plain_socket_option(name) => {
                self.read_int(|sk, value, len| {
                    // SAFETY: The socket is valid, and so is its `sk_socket`, since it is open. The
                    // buffers are as large as `len` says, and the option takes no lock.
                    unsafe { bindings::sk_getsockopt(sk, level, optname, value, len) }
                })
            }
            bindings::SOL_IP if is_plain_ip_option(name) => {
                self.inet().ok_or(ENOPROTOOPT)?;
                self.read_int(|sk, value, len| {
                    // SAFETY: The socket is valid, and an IP one. The buffers are as large as `len`
                    // says, and the option takes no lock.
                    unsafe { bindings::do_ip_getsockopt(sk, level, optname, value, len) }
                })
            }
            bindings::SOL_UDP => self.read_udp_int(level, optname),
            _ => Err(EINVAL),
        }
    }

    /// Reads an integer by a function that takes a buffer and its length.
    fn read_int(
        &self,
        read: impl FnOnce(*mut bindings::sock, bindings::sockptr_t, bindings::sockptr_t) -> c_int,
    ) -> Result<i32> {
        let mut value: c_int = 0;
        let mut len = INT_SIZE;

        // SAFETY: This makes a structure of the pointer.
        let value_ptr = unsafe { bindings::KERNEL_SOCKPTR((&raw mut value).cast()) };
        // SAFETY: This makes a structure of the pointer.
        let len_ptr = unsafe { bindings::KERNEL_SOCKPTR((&raw mut len).cast()) };

        to_result(read(self.as_ptr(), value_ptr, len_ptr))?;

        // The integer is whole, or it is not an integer.
        if len == INT_SIZE {
            Ok(value)
        } else {
            Err(EINVAL)
        }
    }

    /// Reads an integer by `udp_lib_getsockopt`, whose options are all of this kind.
    fn read_udp_int(&self, level: c_int, optname: c_int) -> Result<i32> {
        self.udp().ok_or(ENOPROTOOPT)?;

        let mut value: c_int = 0;
        let kvec = bindings::kvec {
            iov_base: (&raw mut value).cast(),
            iov_len: size_of::<c_int>(),
        };
        let mut opt = bindings::sockopt {
            optlen: INT_SIZE,
            ..Default::default()
        };

        // SAFETY: `kvec` and what it points to outlive the iterator.
        unsafe {
            bindings::iov_iter_kvec(
                &raw mut opt.iter_out,
                bindings::ITER_DEST,
                &raw const kvec,
                1,
                size_of::<c_int>(),
            );
        }

        // SAFETY: By the type invariants, the socket is valid, and it is a UDP one, as was just
        // checked. The iterator was just made.
        to_result(unsafe {
            bindings::udp_lib_getsockopt(self.as_ptr(), level, optname, &raw mut opt)
        })?;

        if opt.optlen == INT_SIZE {
            Ok(value)
        } else {
            Err(EINVAL)
        }
    }
}
