// SPDX-License-Identifier: GPL-2.0

//! Errors, and time stamps of what was sent, that wait in the error queue of a UDP socket
//! (`MSG_ERRQUEUE`).
//!
//! C header: [`include/linux/errqueue.h`](srctree/include/linux/errqueue.h)

use crate::{
    alloc::{
        allocator::KVmalloc,
        Flags,
        Vec, //
    },
    bindings,
    error::to_result,
    net::Net,
    num::casts::u32_as_usize,
    prelude::*, //
};

use core::{
    marker::PhantomData,
    net::{
        Ipv4Addr,
        SocketAddrV4, //
    },
    ops::Deref,
    ptr::{
        self,
        NonNull, //
    },
};

use super::{
    datagram::{
        append,
        consume, //
    },
    DatagramInfo,
    IpOptions,
    LockedSocket,
    NewDatagram,
    SockFlag, //
};

/// Who has made an error, `SO_EE_ORIGIN_*`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ErrorOrigin {
    /// This machine: what was sent was too long, for instance.
    Local,
    /// A message of ICMP.
    Icmp,
    /// Nobody: it is a time stamp of what was sent.
    Timestamping,
    /// Nobody: it says which `MSG_ZEROCOPY` sends are complete.
    Zerocopy,
}

impl ErrorOrigin {
    const ALL: [Self; 4] = [Self::Local, Self::Icmp, Self::Timestamping, Self::Zerocopy];

    /// Returns the origin with a number, if it is one of IPv4 UDP sockets that is known here.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|origin| u32::from(origin.number()) == number)
    }

    /// Returns the number.
    pub const fn number(self) -> u8 {
        // CAST: Small numbers.
        match self {
            Self::Local => bindings::SO_EE_ORIGIN_LOCAL as u8,
            Self::Icmp => bindings::SO_EE_ORIGIN_ICMP as u8,
            Self::Timestamping => bindings::SO_EE_ORIGIN_TIMESTAMPING as u8,
            Self::Zerocopy => bindings::SO_EE_ORIGIN_ZEROCOPY as u8,
        }
    }
}

/// What makes a datagram an error, `struct sock_extended_err` and where it was sent to.
#[derive(Clone, Copy, PartialEq)]
pub struct ErrorInfo {
    /// Who has made it.
    pub origin: ErrorOrigin,
    /// The error number.
    pub errno: u32,
    /// The type of the ICMP message.
    pub type_: u8,
    /// The code of the ICMP message, or `SO_EE_CODE_ZEROCOPY_COPIED`.
    pub code: u8,
    /// An MTU, the kind of a time stamp (`SCM_TSTAMP_*`), or the first `MSG_ZEROCOPY` send.
    pub info: u32,
    /// The number of what a time stamp is about, or the last `MSG_ZEROCOPY` send.
    pub data: u32,
    /// Where in the payload the extensions of the ICMP message are (`IP_RECVERR_RFC4884`).
    pub rfc4884_len: u16,
    /// What is wrong with them, `SO_EE_RFC4884_FLAG_*`.
    pub rfc4884_flags: u8,
    /// Where what failed was sent to, which `recvmsg(2)` reports as the name.
    pub dest: SocketAddrV4,
}

impl ErrorInfo {
    /// The largest error number. Those from here on mean something to the return of system calls,
    /// and the number of an ICMP error becomes the pending error of the socket.
    pub const MAX_ERRNO: u32 = bindings::ERESTARTSYS - 1;

    /// No address and no port.
    const NOWHERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

    /// Tells whether the kernel makes such an error, of such a datagram.
    ///
    /// Readers of the queue rely on it: what they look at differs by the origin.
    pub fn is_possible(&self, datagram: &DatagramInfo) -> bool {
        let of_icmp = (self.type_, self.rfc4884_len, self.rfc4884_flags) != (0, 0, 0);
        let is_stamped = datagram.tstamp != 0 || datagram.hwtstamp != 0;
        let is_bare = datagram.len == 0 && !is_stamped && datagram.ifindex == 0;

        self.errno <= Self::MAX_ERRNO
            && datagram.len <= NewError::MAX_LEN
            && match self.origin {
                ErrorOrigin::Local => is_bare && !of_icmp && self.code == 0 && self.data == 0,
                ErrorOrigin::Icmp => self.data == 0,
                ErrorOrigin::Timestamping => {
                    !of_icmp
                        && self.code == 0
                        && self.errno == bindings::ENOMSG
                        && self.info <= bindings::SCM_TSTAMP_COMPLETION
                        && self.dest == Self::NOWHERE
                }
                ErrorOrigin::Zerocopy => {
                    is_bare
                        && !of_icmp
                        && u32::from(self.code) <= bindings::SO_EE_CODE_ZEROCOPY_COPIED
                        && self.errno == 0
                        && self.dest == Self::NOWHERE
                }
            }
    }

    /// Writes all but the address into the control block of an skb.
    ///
    /// # Safety
    ///
    /// `skb` must be valid, and nobody else may have access to its control block.
    pub unsafe fn write(&self, skb: *mut bindings::sk_buff) {
        // SAFETY: The caller says that the skb is valid and its control block ours to write to. The
        // block is aligned to eight bytes and large enough, see `__skb_complete_tx_timestamp`.
        unsafe {
            let serr = (&raw mut (*skb).cb).cast::<bindings::sock_exterr_skb>();

            (*serr).ee.ee_errno = self.errno;
            (*serr).ee.ee_origin = self.origin.number();
            (*serr).ee.ee_type = self.type_;
            (*serr).ee.ee_code = self.code;
            (*serr).ee.ee_pad = 0;
            (*serr).ee.ee_info = self.info;
            match self.origin {
                ErrorOrigin::Icmp => {
                    (*serr).ee.__bindgen_anon_1.ee_rfc4884 = bindings::sock_ee_data_rfc4884 {
                        len: self.rfc4884_len,
                        flags: self.rfc4884_flags,
                        reserved: 0,
                    }
                }
                _ => (*serr).ee.__bindgen_anon_1.ee_data = self.data,
            }
            (*serr).port = self.dest.port().to_be();
        }
    }
}

/// Reads bytes of a packet, from an offset that may be that of a header before the data.
///
/// # Safety
///
/// `skb` must be valid, and what is in front of its data must not change.
unsafe fn read_at(skb: *const bindings::sk_buff, offset: c_int, to: &mut [u8]) -> Result {
    // SAFETY: The caller says that the skb is valid.
    // CAST: There are not more than 64 KiB before the data.
    if offset < -(unsafe { bindings::skb_headroom(skb) } as c_int) {
        return Err(EFAULT);
    }
    let len = c_int::try_from(to.len()).map_err(|_| EFAULT)?;
    // SAFETY: The caller says that the skb is valid, and there are `len` bytes to write to. The
    // function checks the end, and the beginning is in the headroom or behind it.
    to_result(unsafe { bindings::skb_copy_bits(skb, offset, to.as_mut_ptr().cast(), len) })
}

/// Reads what a reader of the error queue would be told.
///
/// Fails with the name of what cannot be told by the two types.
///
/// # Safety
///
/// `skb` must be valid, and must have been in the error queue of a UDP socket, with `serr` as its
/// control block, and `tstamp`.
unsafe fn read(
    skb: *mut bindings::sk_buff,
    serr: &bindings::sock_exterr_skb,
    tstamp: i64,
) -> Result<(DatagramInfo, ErrorInfo), &'static str> {
    const UNKNOWN: &str = "an error of an unknown kind";

    // CAST: A small number.
    const HWTSTAMP_NETDEV: u8 = bindings::SKBTX_HW_TSTAMP_NETDEV as u8;

    let (ee, port) = (serr.ee, u16::from_be(serr.port));
    // SAFETY: The control block begins with a `struct inet_skb_parm`, of which the beginning is
    // read as a `struct in_pktinfo` (`ipv4_pktinfo_prepare`). Both are numbers, and aligned to less
    // than what they are in.
    let (optlen, frag_max_size, pktinfo) = unsafe {
        let parm = (&raw const serr.header).cast::<bindings::inet_skb_parm>();

        (
            (*parm).opt.optlen,
            (*parm).frag_max_size,
            *parm.cast::<bindings::in_pktinfo>(),
        )
    };
    // SAFETY: The caller says that the skb is valid. What it shares with another one, which may be
    // on its way still, is read by volatile reads.
    let (tx_flags, hwtstamp, len) = unsafe {
        let shinfo = bindings::skb_shinfo(skb);
        let hwtstamps = bindings::skb_hwtstamps(skb);

        (
            (&raw const (*shinfo).tx_flags).read_volatile(),
            (&raw const (*hwtstamps).__bindgen_anon_1.hwtstamp).read_volatile(),
            (*skb).len,
        )
    };

    match u32::from(ee.ee_origin) {
        bindings::SO_EE_ORIGIN_ICMP6 => return Err("an error of IPv6"),
        bindings::SO_EE_ORIGIN_TXTIME => return Err("an error of SO_TXTIME"),
        _ => {}
    }
    let origin = ErrorOrigin::from_number(ee.ee_origin.into()).ok_or(UNKNOWN)?;
    // SAFETY: As above.
    if unsafe { bindings::skb_wifi_acked_valid(skb) } {
        return Err("a Wi-Fi status");
    }
    // A pointer, which only the driver can read.
    if tx_flags & HWTSTAMP_NETDEV != 0 && hwtstamp != 0 {
        return Err("a time stamp that the driver keeps");
    }

    let mut error = ErrorInfo {
        origin,
        errno: ee.ee_errno,
        type_: ee.ee_type,
        code: ee.ee_code,
        info: ee.ee_info,
        data: 0,
        rfc4884_len: 0,
        rfc4884_flags: 0,
        dest: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port),
    };
    let mut datagram = DatagramInfo {
        len,
        tstamp,
        hwtstamp,
        ..DatagramInfo::NOTHING
    };
    // SAFETY: As above.
    let network = unsafe { bindings::skb_network_offset(skb) };
    // SAFETY: As above. What is in front of the data was written before the skb was queued. (Memory
    // that was spliced into the payload may change, which is why only C code copies from it.)
    let read_at = |offset: c_int, to: &mut [u8]| unsafe { read_at(skb, offset, to) };

    // Where `ipv4_datagram_support_addr` says so.
    if matches!(origin, ErrorOrigin::Local | ErrorOrigin::Icmp) {
        let mut addr = [0; 4];
        let offset = network.saturating_add(serr.addr_offset.into());

        read_at(offset, &mut addr).map_err(|_| UNKNOWN)?;
        error.dest.set_ip(addr.into());
    }
    match origin {
        ErrorOrigin::Icmp => {
            // SAFETY: Both are integers.
            let rfc4884 = unsafe { ee.__bindgen_anon_1.ee_rfc4884 };

            error.rfc4884_len = rfc4884.len;
            error.rfc4884_flags = rfc4884.flags;
            if rfc4884.reserved != 0 {
                return Err(UNKNOWN);
            }
        }
        // SAFETY: As above.
        _ => error.data = unsafe { ee.__bindgen_anon_1.ee_data },
    }

    // What `ipv4_datagram_support_cmsg` has told of the packet.
    let is_stamp = origin == ErrorOrigin::Timestamping;
    if origin == ErrorOrigin::Icmp || is_stamp && pktinfo.ipi_ifindex != 0 {
        // SAFETY: As above.
        if !unsafe { bindings::skb_transport_header_was_set(skb) } {
            return Err(UNKNOWN);
        }
        // SAFETY: As above.
        let transport = unsafe { bindings::skb_transport_offset(skb) };
        let mut iph = [0; size_of::<bindings::iphdr>()];
        read_at(network, &mut iph).map_err(|_| UNKNOWN)?;
        let [_, tos, _, _, _, _, _, _, ttl, _, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = iph;

        datagram.tos = tos;
        datagram.ttl = ttl;
        datagram.source.set_ip([s0, s1, s2, s3].into());
        datagram.dest.set_ip([d0, d1, d2, d3].into());
        datagram.ifindex = pktinfo.ipi_ifindex.unsigned_abs();
        let mut csum = 0;
        // SAFETY: As above.
        if unsafe { bindings::skb_csum_complete(skb, &raw mut csum) } {
            datagram.csum = Some(csum);
        }

        if is_stamp {
            let mut ports = [0; 4];
            read_at(transport, &mut ports).map_err(|_| UNKNOWN)?;
            let [_, _, high, low] = ports;

            datagram.dest.set_port(u16::from_be_bytes([high, low]));
        } else {
            let mut options = [0; IpOptions::MAX];
            let options = options.get_mut(..usize::from(optlen)).ok_or(UNKNOWN)?;
            // CAST: 20.
            let offset = network.saturating_add(iph.len() as c_int);

            read_at(offset, options).map_err(|_| UNKNOWN)?;
            datagram.options = IpOptions::from_bytes(options).ok_or(UNKNOWN)?;
            datagram.spec_dst = Ipv4Addr::from_bits(u32::from_be(pktinfo.ipi_spec_dst.s_addr));
            datagram.frag_max_size = frag_max_size;
            // They are in the payload, see `ip_icmp_error`.
            if transport != 0 {
                return Err(UNKNOWN);
            }
        }
    }

    match ee.ee_pad == 0 && error.is_possible(&datagram) {
        true => Ok((datagram, error)),
        false => Err(UNKNOWN),
    }
}

/// An error that is, or was, in the error queue of a UDP socket of IPv4.
///
/// This is a reference: the error stays where it is, and whoever reads from the socket gets it.
///
/// # Invariants
///
/// `skb` is valid, and we have a reference to it. It was in the error queue of a UDP socket, with
/// `serr` as its control block, and `tstamp`, and the socket is valid as long as the lifetime `'a`:
/// the memory of the skb is charged to that until the last reference is gone.
pub struct QueuedError<'a> {
    skb: NonNull<bindings::sk_buff>,
    // Copies, as they belong to the reader of the error once that is out of the queue.
    serr: bindings::sock_exterr_skb,
    tstamp: i64,
    _socket: PhantomData<&'a bindings::socket>,
}

/// The errors that wait to be received from a socket, the oldest first.
///
/// They are not to be kept long: their memory is the socket's.
pub struct QueuedErrors<'a> {
    errors: Vec<QueuedError<'a>, KVmalloc>,
    awaits_zerocopy: bool,
}

impl<'a> QueuedErrors<'a> {
    /// Tells whether there is a `MSG_ZEROCOPY` send that is not complete.
    ///
    /// What will be told of it will come to this socket and to no other.
    pub fn awaits_zerocopy(&self) -> bool {
        self.awaits_zerocopy
    }
}

impl<'a> Deref for QueuedErrors<'a> {
    type Target = [QueuedError<'a>];

    fn deref(&self) -> &Self::Target {
        &self.errors
    }
}

impl<'a> LockedSocket<'a> {
    /// Returns the errors that wait to be received, as of one moment.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the socket is not an ordinary UDP socket of IPv4, and `ENOMEM`.
    pub fn errors(&self) -> Result<QueuedErrors<'a>> {
        self.udp().filter(|udp| udp.is_plain()).ok_or(EOPNOTSUPP)?;
        let options = self.options_memory();
        // SAFETY: By the type invariants of `Sock`, the pointer is valid. The length is read as
        // `skb_queue_len_lockless()` does.
        let len = unsafe { (&raw const (*self.as_ptr()).sk_error_queue.qlen).read_volatile() };
        // What comes after this was counted has not come yet.
        let mut errors = Vec::with_capacity(u32_as_usize(len), GFP_KERNEL_ACCOUNT)?;

        let charged = || usize::try_from(self.sk_omem_alloc()).unwrap_or(0);
        // No interrupts meanwhile: what the errors are is read later.
        let add_all = |queue| {
            // SAFETY: The queue is the error queue, and locked. The control block of an skb in it
            // is a `struct sock_exterr_skb`, to which it is large enough and aligned.
            unsafe {
                for_each(queue, |skb| {
                    let serr = (&raw const (*skb).cb).cast::<bindings::sock_exterr_skb>();
                    if errors.len() < errors.capacity() {
                        // INVARIANT: The reference was just taken, the control block and the time
                        // stamp are those of the skb in the queue, and the socket is valid for the
                        // lifetime, by the invariants of `self`.
                        let error = QueuedError {
                            skb: NonNull::new_unchecked(bindings::skb_get(skb)),
                            serr: serr.read(),
                            tstamp: (*skb).__bindgen_anon_2.tstamp,
                            _socket: PhantomData,
                        };
                        // There is room.
                        let _ = errors.push_within_capacity(error);
                    }
                });
            }
            charged()
        };
        let charged = match len {
            0 => charged(),
            _ => self.with_error_queue(add_all),
        };

        // Each send that is not complete has memory for what will be told of it, from its begin
        // (`msg_zerocopy_alloc`) to its place in the queue.
        let queued = errors
            .iter()
            .map(QueuedError::options_memory)
            .fold(options, usize::saturating_add);
        let uses_zerocopy = self.flag(SockFlag::ZEROCOPY) || self.zckey() != 0;
        Ok(QueuedErrors {
            errors,
            awaits_zerocopy: uses_zerocopy && charged != queued,
        })
    }

    /// Runs a function with the error queue locked.
    fn with_error_queue<R>(&self, run: impl FnOnce(*mut bindings::sk_buff_head) -> R) -> R {
        // SAFETY: By the type invariants of `Sock`, the pointer is valid, so that pointing to a
        // field is in bounds.
        let queue = unsafe { &raw mut (*self.as_ptr()).sk_error_queue };

        // Errors come by interrupts, too.
        // SAFETY: The queue of a socket is initialized.
        unsafe { bindings::spin_lock_irq_disable(&raw mut (*queue).lock) };
        let result = run(queue);
        // SAFETY: The lock was taken above.
        unsafe { bindings::spin_unlock_irq_enable(&raw mut (*queue).lock) };
        result
    }

    /// Returns how much memory of options and of BPF programs is charged to the socket.
    fn options_memory(&self) -> usize {
        let others = self.filter_memory().saturating_add(self.storage_memory());

        self.memberships()
            .map(|membership| membership.memory())
            .fold(others, usize::saturating_add)
    }

    /// Returns how much memory of the socket the data takes that BPF programs keep with it.
    fn storage_memory(&self) -> usize {
        #[cfg(CONFIG_BPF_SYSCALL)]
        {
            let _guard = crate::sync::rcu::read_lock();

            // SAFETY: By the type invariants of `Sock`, the pointer is valid. What it points to is
            // freed by RCU (`bpf_local_storage_free()`). The number is one that programs may change
            // meanwhile.
            unsafe {
                let storage = (&raw const (*self.as_ptr()).sk_bpf_storage).read_volatile();

                if !storage.is_null() {
                    // CAST: What is charged is an `int`.
                    return (&raw const (*storage).mem_charge).read_volatile() as usize;
                }
            }
        }
        0
    }
}

/// Calls a function for each skb of a queue.
///
/// # Safety
///
/// `queue` must be a valid queue, and its lock must be held.
unsafe fn for_each(
    queue: *mut bindings::sk_buff_head,
    mut run: impl FnMut(*mut bindings::sk_buff),
) {
    // SAFETY: The caller says that the queue is valid and locked.
    let mut next = unsafe { (*queue).__bindgen_anon_1.__bindgen_anon_1.next };

    // The head of the list stands for its end.
    while !ptr::eq(next, queue.cast()) {
        run(next);
        // SAFETY: An skb in a locked queue is valid.
        next = unsafe { (*next).__bindgen_anon_1.__bindgen_anon_1.next };
    }
}

impl QueuedError<'_> {
    /// Returns what its reader is told: of it as of a datagram, and what makes it an error.
    ///
    /// Fails with the name of what it is, if it is none of those that are known here.
    pub fn info(&self) -> Result<(DatagramInfo, ErrorInfo), &'static str> {
        // SAFETY: By the type invariants.
        unsafe { read(self.skb.as_ptr(), &self.serr, self.tstamp) }
    }

    /// Returns the length of the payload.
    pub fn payload_len(&self) -> u32 {
        // SAFETY: By the type invariants, the skb is valid. Nobody changes its length.
        unsafe { (*self.skb.as_ptr()).len }
    }

    /// Returns how much memory it takes that is charged to the socket as that of its options is.
    fn options_memory(&self) -> usize {
        match self.serr.ee.ee_origin == ErrorOrigin::Zerocopy.number() {
            // SAFETY: By the type invariants, the skb is valid. Nobody writes to the field of one
            // that was queued.
            true => u32_as_usize(unsafe { (*self.skb.as_ptr()).truesize }),
            false => 0,
        }
    }

    /// Appends the payload to a vector.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the payload is not in memory, and `ENOMEM`; the vector is as it was then.
    pub fn append_to(&self, to: &mut Vec<u8, KVmalloc>, flags: Flags) -> Result {
        // SAFETY: By the type invariants, the skb is valid.
        unsafe { append(self.skb.as_ptr(), 0, self.payload_len(), to, flags) }
    }
}

impl Drop for QueuedError<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, we have a reference, which is given back, and the socket
        // that the memory is charged to is valid.
        unsafe { consume(self.skb) };
    }
}

/// An error that is in no queue yet, and gets its payload bit by bit.
///
/// # Invariants
///
/// The skb of the datagram is as one that is about to be put into the error queue of a UDP socket,
/// with what readers look at in its control block and in front of its data.
pub struct NewError(NewDatagram);

impl NewError {
    /// The longest payload: time stamps come with all of the packet, which may have the headers of
    /// the link, and of tunnels, in front of what IP has made.
    pub const MAX_LEN: u32 = NewDatagram::MAX_LEN + 1024;

    /// Makes an error without its payload, as [`NewDatagram::new`].
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is [no such error](ErrorInfo::is_possible), or if it is about
    /// `MSG_ZEROCOPY`: what tells of that is made when it is sent. `ENOBUFS`.
    pub fn new(
        net: &Net,
        datagram: &DatagramInfo,
        error: &ErrorInfo,
        flags: Flags,
    ) -> Result<NewError> {
        if error.origin == ErrorOrigin::Zerocopy || !error.is_possible(datagram) {
            return Err(EINVAL);
        }
        let new = NewDatagram::with_headers(net, datagram, flags)?;
        let skb = new.as_ptr();

        // SAFETY: The skb is ours, with an IP header and a UDP header in front of its data. Of the
        // control block, the beginning is written, and the rest is zero.
        unsafe {
            error.write(skb);

            if error.origin != ErrorOrigin::Timestamping {
                // No reader looks at the UDP header of these: its place is good for the address.
                // `IP_RECVORIGDSTADDR` tells a port by the beginning of the payload.
                let (iph, uh) = (bindings::ip_hdr(skb), bindings::udp_hdr(skb));
                let serr = (&raw mut (*skb).cb).cast::<bindings::sock_exterr_skb>();

                // CAST: At most 60.
                (*serr).addr_offset = (uh.addr() - iph.addr()) as u16;
                uh.cast::<[u8; 4]>().write(error.dest.ip().octets());
                bindings::skb_reset_transport_header(skb);
            }
        }
        // INVARIANT: The control block has all that `ip_recv_error` looks at, and the address is
        // where it says.
        Ok(NewError(new))
    }

    /// Appends to the payload.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` if it would become too long. Nothing is appended then.
    pub fn fill(&mut self, bytes: &[u8]) -> Result {
        self.0.fill(bytes)
    }

    /// Tells whether all of the payload is there.
    pub fn is_complete(&self) -> bool {
        self.0.is_complete()
    }

    /// Returns how much memory it takes, which a receive buffer has to have room for.
    pub fn truesize(&self) -> u32 {
        self.0.truesize()
    }

    /// Returns the skb, which belongs to the caller from here on.
    ///
    /// # Errors
    ///
    /// `EINVAL` if not all of the payload is there.
    pub fn into_raw(self) -> Result<*mut bindings::sk_buff> {
        self.0.into_raw()
    }
}
