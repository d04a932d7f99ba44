// SPDX-License-Identifier: GPL-2.0

//! Datagrams that are corked: begun (`UDP_CORK`, `MSG_MORE`), and not sent yet.

use crate::{
    alloc::{
        allocator::KVmalloc,
        Flags,
        Vec, //
    },
    bindings,
    prelude::*, //
};

use core::{
    iter,
    mem::{
        offset_of,
        MaybeUninit, //
    },
    net::{
        Ipv4Addr,
        SocketAddrV4, //
    },
    ptr, //
};

use super::{
    consts,
    datagram::append,
    InetSock,
    IpOptions,
    LockedSocket, //
};

/// The size of a UDP header.
const UDP_HDRLEN: u32 = size_of::<bindings::udphdr>() as u32;

/// What is known of a corked datagram beside its payload.
///
/// It is what `sendmsg(2)` has settled when the datagram was begun: what is added to it, or set as
/// an option, makes no difference to that.
#[derive(Clone, Copy, PartialEq)]
pub struct Cork {
    /// The length of the payload so far.
    pub len: u32,
    /// Where it goes to.
    pub dest: SocketAddrV4,
    /// Where it comes from.
    pub source: Ipv4Addr,
    /// The options of the IP header, as they were set.
    pub options: IpOptions,
    /// Time to live, or 0 if it is the socket's when the datagram goes out.
    pub ttl: u8,
    /// Type of service.
    pub tos: u8,
    /// Its mark.
    pub mark: u32,
    /// Its priority.
    pub priority: u32,
    /// The size of the datagrams that it gets cut into (`UDP_SEGMENT`), or 0.
    pub gso_size: u16,
    /// When it is to be sent, by the clock of `SO_TXTIME`, or 0.
    pub txtime: u64,
    /// The time stamps that are asked for, `SOF_TIMESTAMPING_TX_*`.
    pub timestamping: u32,
    /// The number of these time stamps.
    pub tskey: u32,
    /// Whether sending it confirms that the neighbour is there (`MSG_CONFIRM`).
    pub confirm: bool,
    /// The size of the largest packet that its route takes.
    pub fragsize: u32,
    /// The index of the device that it goes out by; of one that was gone, this is no device.
    pub ifindex: u32,
    /// Whether it goes to a gateway.
    pub gateway: bool,
    /// Whether `connect()` has changed where it goes to, which has left it a route or options for
    /// another address.
    pub astray: bool,
    /// Whether it is to be transformed (IPsec).
    pub xfrm: bool,
    /// Whether its owner is to be told when the memory of the payload is free (`MSG_ZEROCOPY`).
    pub zerocopy: bool,
}

/// The time stamps that can be asked for: as the skb has them, and as `SO_TIMESTAMPING` does.
const STAMPS: [(u32, u32); 4] = [
    (
        bindings::SKBTX_HW_TSTAMP_NOBPF,
        bindings::SOF_TIMESTAMPING_TX_HARDWARE,
    ),
    (
        bindings::SKBTX_SW_TSTAMP,
        bindings::SOF_TIMESTAMPING_TX_SOFTWARE,
    ),
    (
        bindings::SKBTX_SCHED_TSTAMP,
        bindings::SOF_TIMESTAMPING_TX_SCHED,
    ),
    (
        bindings::SKBTX_COMPLETION_TSTAMP,
        bindings::SOF_TIMESTAMPING_TX_COMPLETION,
    ),
];

impl Cork {
    /// The flags of [`Cork::timestamping`].
    pub const TIMESTAMPING: u32 = STAMPS[0].1 | STAMPS[1].1 | STAMPS[2].1 | STAMPS[3].1;
}

impl LockedSocket<'_> {
    /// Returns what is known of the corked datagram, if there is one.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the socket is not an ordinary UDP socket of IPv4, or the datagram is one of
    /// another kind.
    pub fn cork(&self) -> Result<Option<Cork>> {
        let udp = self.udp().filter(|udp| udp.is_plain()).ok_or(EOPNOTSUPP)?;

        match udp.pending() {
            0 if !self.has_write_queue() => Ok(None),
            pending if pending == c_int::from(consts::AF_INET) => self.pending_cork(udp).map(Some),
            _ => Err(EOPNOTSUPP),
        }
    }

    /// Returns what is known of the corked datagram of IPv4 that there is.
    fn pending_cork(&self, inet: &InetSock) -> Result<Cork> {
        let first = self.write_queue().next().ok_or(EOPNOTSUPP)?;
        let cork = {
            let inet = inet.as_ptr();
            // SAFETY: By the type invariants, the pointer is valid, so that pointing to a field is
            // in bounds.
            unsafe { &raw const (*inet).cork }
        };

        // SAFETY: The socket is an ordinary UDP one of IPv4 with a corked datagram: `ip_setup_cork`
        // and `udp_sendmsg` have filled all of these fields, and those of the flow are the ones of
        // IPv4. They are only written with the socket lock held, which we have by the type
        // invariants, and so is the queue. The route is valid, as the cork has a reference to it,
        // and one of IPv4. The options are valid if the flag says that there are some.
        let (cork, tx_flags) = unsafe {
            let (base, flow) = (&raw const (*cork).base, &raw const (*cork).fl.u.ip4);
            let shinfo = bindings::skb_shinfo(first);
            let dst = (*base).dst;
            if dst.is_null() {
                return Err(EOPNOTSUPP);
            }
            let addr = |be: bindings::__be32| Ipv4Addr::from_bits(u32::from_be(be));
            let port = u16::from_be((*flow).uli.ports.dport);
            let daddr = (*flow).daddr;
            // The first address on the way, and the one that it was begun for. Without options,
            // nobody has noted that.
            let (hop, begun_for) = match (*base).flags & bindings::IPCORK_OPT {
                0 => (daddr, daddr),
                _ if (*(*base).opt).srr != 0 => ((*(*base).opt).faddr, (*base).addr),
                _ => (daddr, (*base).addr),
            };

            let cork = Cork {
                len: 0,
                dest: SocketAddrV4::new(addr(daddr), port),
                source: addr((*flow).saddr),
                options: match (*base).flags & bindings::IPCORK_OPT {
                    0 => IpOptions::default(),
                    _ => options((*base).opt),
                },
                ttl: (*base).ttl,
                tos: u8::try_from((*base).tos).map_err(|_| EOPNOTSUPP)?,
                mark: (*base).mark,
                priority: (*base).priority,
                gso_size: (*base).gso_size,
                txtime: (*base).transmit_time,
                timestamping: 0,
                tskey: (*shinfo).tskey,
                confirm: bindings::skb_get_dst_pending_confirm(first),
                fragsize: (*base).fragsize,
                ifindex: bindings::dst_ifindex(dst).unsigned_abs(),
                gateway: bindings::dst_has_gateway(dst),
                astray: begun_for != daddr
                    || !bindings::dst_is_for(dst, self.as_ptr(), (*base).mark, hop),
                xfrm: !bindings::dst_xfrm(dst).is_null(),
                zerocopy: self
                    .write_queue()
                    .any(|skb| !bindings::skb_zcopy(skb).is_null()),
            };
            (cork, u32::from((*shinfo).tx_flags))
        };

        let (mut known, mut timestamping) = (0, 0);
        for (tx_flag, flag) in STAMPS {
            known |= tx_flag;
            if tx_flags & tx_flag != 0 {
                timestamping |= flag;
            }
        }
        // A program has asked for others.
        if tx_flags & !known != 0 {
            return Err(EOPNOTSUPP);
        }
        let len = self
            .cork_pieces()
            .try_fold(0_u32, |sum, (_, _, len)| sum.checked_add(len))
            .ok_or(EOPNOTSUPP)?;

        Ok(Cork {
            len,
            timestamping,
            ..cork
        })
    }

    /// Appends the payload of the corked datagram to a vector.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` as [`Self::cork`], and `ENOMEM`; a part may have been appended then.
    pub fn append_cork_to(&self, to: &mut Vec<u8, KVmalloc>, flags: Flags) -> Result {
        self.udp().filter(|udp| udp.is_plain()).ok_or(EOPNOTSUPP)?;

        for (skb, offset, len) in self.cork_pieces() {
            // SAFETY: The skb is in the queue, so that it is valid, and nobody changes it without
            // the socket lock.
            unsafe { append(skb, offset, len, to, flags) }?;
        }
        Ok(())
    }

    /// The payload of a corked datagram: what it is in, where it begins there, and how long it is.
    ///
    /// Each skb is to be a fragment, with room for the headers in front: those of IPsec and of IP,
    /// and in the first of them that of UDP.
    fn cork_pieces(&self) -> impl Iterator<Item = (*mut bindings::sk_buff, u32, u32)> + '_ {
        self.write_queue().enumerate().map(|(nth, skb)| {
            let header = match nth {
                0 => UDP_HDRLEN,
                _ => 0,
            };
            // SAFETY: The skb is in the queue, so that it is valid, and nobody changes it without
            // the socket lock. `__ip_append_data` has set where its transport header is.
            let (offset, len) = unsafe { (bindings::skb_transport_offset(skb), (*skb).len) };
            let offset = offset.unsigned_abs().saturating_add(header).min(len);

            (skb, offset, len.saturating_sub(offset))
        })
    }

    /// What is in the write queue of a UDP socket, which only changes with the socket lock held.
    fn write_queue(&self) -> impl Iterator<Item = *mut bindings::sk_buff> + '_ {
        let sk = self.as_ptr();
        // SAFETY: By the type invariants, the pointer is valid, so that pointing to a field is in
        // bounds.
        let queue = unsafe { &raw mut (*sk).sk_write_queue };
        let next = move |skb: *mut bindings::sk_buff| {
            // The head of the list stands for its end.
            (!ptr::eq(skb, queue.cast())).then_some(skb)
        };

        // SAFETY: The queue is valid, and the lock that we have by the type invariants is what
        // guards it, as this is called for UDP sockets only.
        let first = next(unsafe { (*queue).__bindgen_anon_1.__bindgen_anon_1.next });
        iter::successors(first, move |skb| {
            // SAFETY: As above. An skb in the queue is valid, and so is what it points to.
            next(unsafe { (**skb).__bindgen_anon_1.__bindgen_anon_1.next })
        })
    }
}

/// Returns IP options as they were set, before they were compiled.
///
/// # Safety
///
/// `opt` must point to compiled options, which do not change meanwhile.
unsafe fn options(opt: *const bindings::ip_options) -> IpOptions {
    /// The options with what follows them in C.
    #[repr(C)]
    struct Compiled {
        opt: bindings::ip_options,
        data: [u8; IpOptions::MAX],
    }
    static_assert!(offset_of!(Compiled, data) == size_of::<bindings::ip_options>());

    let mut copy = MaybeUninit::<Compiled>::zeroed();
    let to = copy.as_mut_ptr().cast::<bindings::ip_options>();

    // SAFETY: The caller says that `opt` is valid, which has `optlen` bytes of data, 40 at most.
    // There is as much room in the copy. Undoing changes nothing but these bytes: what it looks for
    // is where compiling has found it.
    let len = unsafe {
        let len = usize::from((*opt).optlen).min(IpOptions::MAX);
        ptr::copy_nonoverlapping(
            opt.cast::<u8>(),
            to.cast::<u8>(),
            size_of::<bindings::ip_options>() + len,
        );
        bindings::ip_options_undo(to);
        len
    };
    // SAFETY: Numbers may be zero.
    let Compiled { data, .. } = unsafe { copy.assume_init() };
    data.get(..len)
        .and_then(IpOptions::from_bytes)
        .unwrap_or_default()
}
