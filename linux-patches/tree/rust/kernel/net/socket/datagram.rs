// SPDX-License-Identifier: GPL-2.0

//! Datagrams that wait in the receive queue of a UDP socket.

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
    page::PAGE_SIZE,
    prelude::*, //
};

use core::{
    mem::ManuallyDrop,
    net::{
        Ipv4Addr,
        SocketAddrV4, //
    },
    ptr::{
        self,
        NonNull, //
    },
};

use super::{
    IpOptions,
    LockedSocket,
    UdpSock, //
};

/// The size of an IP header without options.
const IP_HDRLEN: usize = size_of::<bindings::iphdr>();

/// The size of a UDP header.
const UDP_HDRLEN: usize = size_of::<bindings::udphdr>();

/// The kind of a train of datagrams.
// CAST: A bit of what is unsigned where it is used.
const SKB_GSO_UDP_L4: c_uint = bindings::SKB_GSO_UDP_L4 as c_uint;

/// What a socket knows of a datagram beside its payload, and `recvmsg(2)` can report.
#[derive(Clone, Copy, PartialEq)]
pub struct DatagramInfo {
    /// The length of the payload.
    pub len: u32,
    /// Who has sent it.
    pub source: SocketAddrV4,
    /// Where it was sent to, by its headers (`IP_RECVORIGDSTADDR`).
    pub dest: SocketAddrV4,
    /// Time to live (`IP_RECVTTL`).
    pub ttl: u8,
    /// Type of service (`IP_RECVTOS`).
    pub tos: u8,
    /// The options of the IP header (`IP_RECVOPTS`, `IP_RETOPTS`).
    pub options: IpOptions,
    /// The index of the device that it came from, if `IP_PKTINFO` was on (`ipi_ifindex`).
    pub ifindex: u32,
    /// The local address to answer it from, if `IP_PKTINFO` was on (`ipi_spec_dst`).
    pub spec_dst: Ipv4Addr,
    /// When it came, in nanoseconds of the wall clock, or 0 (`SO_TIMESTAMP`).
    pub tstamp: i64,
    /// When it came, by the clock of the device, or 0 (`SO_TIMESTAMPING`).
    pub hwtstamp: i64,
    /// The size of the largest fragment of it, or 0 (`IP_RECVFRAGSIZE`).
    pub frag_max_size: u16,
    /// The size of the datagrams that this is a train of, or 0 (`UDP_GRO`).
    pub gso_size: u16,
    /// Its mark (`SO_RCVMARK`).
    pub mark: u32,
    /// Its priority (`SO_RCVPRIORITY`).
    pub priority: u32,
    /// How many datagrams the socket had dropped before (`SO_RXQ_OVFL`).
    pub dropcount: u32,
    /// The sum of all of it, if it is known (`IP_CHECKSUM`).
    pub csum: Option<u32>,
    /// Whether `MSG_PEEK` has shown it.
    pub peeked: bool,
}

impl DatagramInfo {
    /// An empty datagram from nowhere to nowhere.
    pub const NOTHING: DatagramInfo = DatagramInfo {
        len: 0,
        source: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
        dest: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
        ttl: 0,
        tos: 0,
        options: IpOptions::NONE,
        ifindex: 0,
        spec_dst: Ipv4Addr::UNSPECIFIED,
        tstamp: 0,
        hwtstamp: 0,
        frag_max_size: 0,
        gso_size: 0,
        mark: 0,
        priority: 0,
        dropcount: 0,
        csum: None,
        peeked: false,
    };
}

/// A datagram that is, or was, in the receive queue of a UDP socket of IPv4.
///
/// This is a reference, as `MSG_PEEK` takes one: the datagram stays where it is, and whoever reads
/// from the socket gets it.
///
/// # Invariants
///
/// `skb` is valid, and we have a reference to it. It was in the queue, with an IPv4 header and the
/// UDP header at their places in the linear part, and `data` and `len` for the payload.
pub struct Datagram {
    skb: NonNull<bindings::sk_buff>,
    // A copy, as a reader who wants one makes one up (`__sock_recv_timestamp`).
    tstamp: i64,
}

// SAFETY: Whoever has a reference may look at an skb, and drop the reference.
unsafe impl Send for Datagram {}

/// Datagrams, of which there may be very many.
pub type Datagrams = Vec<Datagram, KVmalloc>;

impl LockedSocket<'_> {
    /// Returns the datagrams that wait to be received, the oldest first, as of one moment.
    ///
    /// They are not to be kept: who reads from the socket believes to have the last reference soon,
    /// and their memory is charged to nobody once they were received.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the socket is not an ordinary UDP socket of IPv4, or was one of IPv6 when a
    /// datagram came (`IPV6_ADDRFORM`), and `ENOMEM`.
    pub fn datagrams(&self) -> Result<Datagrams> {
        let udp = self.udp().filter(|udp| udp.is_plain()).ok_or(EOPNOTSUPP)?;
        // What comes after this was counted has not come yet.
        let mut datagrams = Datagrams::with_capacity(u32_as_usize(udp.queue_len()), GFP_KERNEL)?;

        udp.with_queues(|queues| {
            queues.into_iter().try_for_each(|queue| {
                // SAFETY: The queue is one of an ordinary UDP socket, and locked.
                unsafe { take_references(queue, &mut datagrams) }
            })
        })?;
        Ok(datagrams)
    }
}

impl UdpSock {
    /// Returns how many datagrams wait to be received.
    pub fn queue_len(&self) -> u32 {
        // SAFETY: The queues are valid and locked.
        self.with_queues(|queues| unsafe { queues.map(|queue| (*queue).qlen) })
            .iter()
            .fold(0, |sum, len| sum.wrapping_add(*len))
    }

    /// Runs a function with both queues locked: the one of the reader, which has the older
    /// datagrams, and the one that receives.
    ///
    /// What a CPU has received and not yet put there (`udp_prod_queue`) is still on its way.
    fn with_queues<R>(&self, run: impl FnOnce([*mut bindings::sk_buff_head; 2]) -> R) -> R {
        let up = self.as_ptr();
        // SAFETY: By the type invariants, the pointer is valid, so that pointing to fields is in
        // bounds.
        let (reader, receive) = unsafe {
            (
                &raw mut (*up).reader_queue,
                &raw mut (*up).inet.sk.sk_receive_queue,
            )
        };

        // The order is that of `__skb_recv_udp`.
        // SAFETY: By the type invariants, both are initialized.
        unsafe {
            bindings::spin_lock_bh(&raw mut (*reader).lock);
            bindings::spin_lock(&raw mut (*receive).lock);
        }
        let result = run([reader, receive]);
        // SAFETY: The locks were taken above.
        unsafe {
            bindings::spin_unlock(&raw mut (*receive).lock);
            bindings::spin_unlock_bh(&raw mut (*reader).lock);
        }
        result
    }
}

/// Takes a reference to each datagram of a queue, as far as there is room for them.
///
/// Fails with `EOPNOTSUPP` if one is not of IPv4.
///
/// # Safety
///
/// `queue` must be a queue of a UDP socket, and its lock must be held.
unsafe fn take_references(queue: *mut bindings::sk_buff_head, datagrams: &mut Datagrams) -> Result {
    // SAFETY: The caller says that the queue is valid and locked.
    let mut next = unsafe { (*queue).__bindgen_anon_1.__bindgen_anon_1.next };

    // The head of the list stands for its end.
    while !ptr::eq(next, queue.cast()) {
        // SAFETY: An skb in a locked queue is valid.
        if u32::from(unsafe { bindings::skb_protocol_of(next) }) != bindings::ETH_P_IP {
            return Err(EOPNOTSUPP);
        }
        // SAFETY: As above.
        let skb = unsafe { bindings::skb_get(next) };
        // INVARIANT: The reference was just taken. UDP has put an skb of IPv4 into the queue, with
        // both headers pulled.
        let datagram = Datagram {
            skb: NonNull::new(skb).ok_or(EINVAL)?,
            // SAFETY: As above. It may be written to by `MSG_PEEK`.
            tstamp: unsafe { (&raw const (*next).__bindgen_anon_2.tstamp).read_volatile() },
        };
        if datagrams.push_within_capacity(datagram).is_err() {
            break;
        }
        // SAFETY: As above.
        next = unsafe { (*next).__bindgen_anon_1.__bindgen_anon_1.next };
    }
    Ok(())
}

impl Datagram {
    /// Returns the length of the payload.
    pub fn payload_len(&self) -> u32 {
        // SAFETY: By the type invariants, the skb is valid. Nobody changes its payload.
        unsafe { (*self.skb.as_ptr()).len }
    }

    /// Tells whether the checksum is right, so that `recv(2)` will not drop the datagram.
    pub fn is_intact(&self) -> bool {
        let skb = self.skb.as_ptr();

        // SAFETY: By the type invariants, the skb is valid. The second function may note its result
        // in the skb, which it only does if nobody else has a reference.
        unsafe {
            bindings::skb_csum_unnecessary(skb) || bindings::__skb_checksum_complete(skb) == 0
        }
    }

    /// Returns all but the payload.
    pub fn info(&self) -> DatagramInfo {
        let skb = self.skb.as_ptr();
        let (mut mark, mut priority, mut csum, mut peeked) = (0, 0, 0, false);

        // SAFETY: By the type invariants, the skb is valid and has both headers. The control block
        // is that of a datagram in a queue: `struct inet_skb_parm`, the beginning of which
        // `ipv4_pktinfo_prepare` has made a `struct in_pktinfo`, and `struct sock_skb_cb` at its
        // end. It is aligned to eight bytes.
        unsafe {
            let (iph, uh) = (bindings::ip_hdr(skb), bindings::udp_hdr(skb));
            let parm = (&raw const (*skb).cb).cast::<bindings::inet_skb_parm>();
            let pktinfo = (&raw const (*skb).cb).cast::<bindings::in_pktinfo>();
            let addrs = (*iph).__bindgen_anon_1.addrs;
            let addr = |be: bindings::__be32| Ipv4Addr::from_bits(u32::from_be(be));
            let shinfo = bindings::skb_shinfo(skb);

            bindings::skb_marks(skb, &raw mut mark, &raw mut priority, &raw mut peeked);
            let is_complete = bindings::skb_csum_complete(skb, &raw mut csum);
            // The header has passed `ip_rcv_core`, but for one that a BPF program of a route has
            // put before the packet after that, with any length.
            let optlen = (usize::from((*iph).ihl()) * 4).saturating_sub(IP_HDRLEN);
            let options = core::slice::from_raw_parts(
                iph.cast::<u8>().add(IP_HDRLEN),
                optlen.min((*parm).opt.optlen.into()),
            );

            DatagramInfo {
                len: self.payload_len(),
                source: SocketAddrV4::new(addr(addrs.saddr), u16::from_be((*uh).source)),
                dest: SocketAddrV4::new(addr(addrs.daddr), u16::from_be((*uh).dest)),
                ttl: (*iph).ttl,
                tos: (*iph).tos,
                options: IpOptions::from_bytes(options).unwrap_or_default(),
                ifindex: (*pktinfo).ipi_ifindex.unsigned_abs(),
                spec_dst: addr((*pktinfo).ipi_spec_dst.s_addr),
                tstamp: self.tstamp,
                hwtstamp: match (*shinfo).tx_flags & bindings::SKBTX_HW_TSTAMP_NETDEV as u8 {
                    0 => (*bindings::skb_hwtstamps(skb)).__bindgen_anon_1.hwtstamp,
                    // It is for the driver to say.
                    _ => 0,
                },
                frag_max_size: (*parm).frag_max_size,
                gso_size: match (*shinfo).gso_type & SKB_GSO_UDP_L4 {
                    0 => 0,
                    _ => (*shinfo).gso_size,
                },
                mark,
                priority,
                dropcount: (*bindings::SOCK_SKB_CB(skb)).dropcount,
                csum: is_complete.then_some(csum),
                peeked,
            }
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

impl Drop for Datagram {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, we have a reference, which is given back.
        unsafe { consume(self.skb) };
    }
}

/// Drops a reference to a packet that has done what it was for.
///
/// # Safety
///
/// The caller must have the reference, and give it away.
pub(super) unsafe fn consume(skb: NonNull<bindings::sk_buff>) {
    let reason = bindings::skb_drop_reason_SKB_CONSUMED;

    // SAFETY: The caller promises just this.
    unsafe { bindings::sk_skb_reason_drop(ptr::null_mut(), skb.as_ptr(), reason) };
}

/// Appends `len` bytes of what is in a packet, from an offset on, to a vector.
///
/// On failure the vector is as it was: `ENOMEM`, or `EFAULT` if there is not as much.
///
/// # Safety
///
/// `skb` must be valid.
pub(super) unsafe fn append(
    skb: *const bindings::sk_buff,
    offset: u32,
    len: u32,
    to: &mut Vec<u8, KVmalloc>,
    flags: Flags,
) -> Result {
    let count = u32_as_usize(len);
    let offset = c_int::try_from(offset).map_err(|_| EFAULT)?;
    let len = c_int::try_from(len).map_err(|_| EFAULT)?;

    to.reserve(count, flags)?;
    let spare = to.spare_capacity_mut().as_mut_ptr();

    // SAFETY: The caller says that the skb is valid, and there is room for `len` bytes more.
    to_result(unsafe { bindings::skb_copy_bits(skb, offset, spare.cast(), len) })?;

    // SAFETY: There was room for so many, which have been written.
    unsafe { to.inc_len(count) };
    Ok(())
}

impl DatagramInfo {
    /// Tells whether the sender has given it a security label, which is an IP option
    /// (`IPOPT_CIPSO`).
    pub fn has_label(&self) -> bool {
        label(self.options.as_bytes()).is_some()
    }

    /// Tells whether its security label, if it has one, is as long as it says.
    ///
    /// Who reads it takes the lengths for granted, as `cipso_v4_validate` has looked at them when
    /// the datagram arrived, and looks at the first tag only (`cipso_v4_getattr`).
    pub fn is_label_whole(&self) -> bool {
        /// Those in the header of the option.
        const HEADER: usize = 6;
        /// Tags that are read, `CIPSO_V4_TAG_*`. Others are passed over.
        const BITMAP: u8 = 1;
        const ENUM: u8 = 2;
        const RANGE: u8 = 5;
        const LOCAL: u8 = 128;

        let Some(label) = label(self.options.as_bytes()) else {
            return true;
        };
        let &[_, len, _, _, _, _, tag, tag_len, ..] = label else {
            return false;
        };
        let (len, tag_len) = (usize::from(len), usize::from(tag_len));
        let is_read_well = match tag {
            BITMAP => tag_len >= 4,
            // Their categories are numbers of two bytes.
            ENUM | RANGE => tag_len >= 4 && tag_len % 2 == 0,
            LOCAL => tag_len >= 6,
            _ => tag_len >= 1,
        };

        is_read_well && HEADER + tag_len <= len && len <= label.len()
    }
}

/// Returns the security label among IP options, and what is behind it.
///
/// Goes over them as `cipso_v4_optptr` does, who looks for it: further than `__ip_options_compile`,
/// which ends at an option of one byte.
fn label(mut options: &[u8]) -> Option<&[u8]> {
    // CAST: Small numbers.
    const END: u8 = bindings::IPOPT_END as u8;
    const NOOP: u8 = bindings::IPOPT_NOOP as u8;
    const CIPSO: u8 = bindings::IPOPT_CIPSO as u8;

    loop {
        options = match *options {
            [NOOP, ref rest @ ..] => rest,
            [] | [END, ..] => return None,
            [CIPSO, ..] => return Some(options),
            [_, len, ..] if len >= 1 => options.get(usize::from(len)..).unwrap_or_default(),
            _ => return None,
        };
    }
}

/// A datagram that is in no queue yet, and gets its payload bit by bit.
///
/// # Invariants
///
/// `skb` is valid and ours. It is as one that UDP is about to put into the queue of a socket, with
/// the two headers and room for the whole payload, of which the first `filled` bytes are there. The
/// others are not initialized.
pub struct NewDatagram {
    skb: NonNull<bindings::sk_buff>,
    len: u32,
    filled: u32,
    dropcount: u32,
}

// SAFETY: The skb is ours, and bound to no task.
unsafe impl Send for NewDatagram {}

impl NewDatagram {
    /// The longest payload: a train of datagrams may have more than one datagram.
    pub const MAX_LEN: u32 = u16::MAX as u32;

    /// The longest payload that is put beside the headers as a whole. What fills pages of a longer
    /// one gets pages, so that it takes no more memory than the one that arrived.
    const MAX_LINEAR: usize = 3 * 4096;

    /// Makes a datagram without its payload.
    ///
    /// It is charged to no socket yet: who keeps more of them than the one that is under way wants
    /// the memory to be charged to the caller (`GFP_KERNEL_ACCOUNT`).
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` if the payload is too long, `ENOBUFS`.
    pub fn new(net: &Net, info: &DatagramInfo, flags: Flags) -> Result<NewDatagram> {
        match info.len > Self::MAX_LEN {
            true => Err(EMSGSIZE),
            false => Self::with_headers(net, info, flags),
        }
    }

    /// Makes a datagram without its payload, which may be somewhat longer than that of any.
    ///
    /// # Errors
    ///
    /// `ENOBUFS`.
    pub(super) fn with_headers(
        net: &Net,
        info: &DatagramInfo,
        flags: Flags,
    ) -> Result<NewDatagram> {
        let (len, options) = (u32_as_usize(info.len), info.options.as_bytes());
        let ip_len = IP_HDRLEN + options.len().next_multiple_of(4);
        let headers = ip_len + UDP_HDRLEN;
        let paged = match len > Self::MAX_LINEAR {
            true => len - len % PAGE_SIZE,
            false => 0,
        };
        let linear = headers + len - paged;

        let mut errno = 0;
        // SAFETY: FFI call. `errno` may be written to. Without `order` there is enough for the
        // longest payload in `MAX_SKB_FRAGS` pages.
        let skb = unsafe {
            bindings::alloc_skb_with_frags(
                linear,
                paged,
                bindings::PAGE_ALLOC_COSTLY_ORDER as c_int,
                &raw mut errno,
                flags.as_raw(),
            )
        };
        let Some(skb) = NonNull::new(skb) else {
            return Err(ENOBUFS);
        };
        // INVARIANT: The skb is ours. The rest is done below, and it is dropped if that fails.
        let datagram = NewDatagram {
            skb,
            len: info.len,
            filled: 0,
            dropcount: info.dropcount,
        };
        let skb = skb.as_ptr();

        // SAFETY: The skb is new and has room for `linear` bytes, of which the headers get zeroed,
        // and pages for `paged` more. The control block is large enough and aligned for what UDP
        // has there.
        unsafe {
            // CAST: Both are less than twice `MAX_LEN`.
            ptr::write_bytes(
                bindings::skb_put(skb, linear as u32).cast::<u8>(),
                0,
                headers,
            );
            (*skb).data_len = paged as u32;
            (*skb).len += paged as u32;
            (*skb).__bindgen_anon_2.tstamp = info.tstamp;
            bindings::skb_set_protocol(skb, bindings::ETH_P_IP as u16);
            bindings::skb_reset_network_header(skb);
            // CAST: At most 60.
            bindings::skb_set_transport_header(skb, ip_len as c_int);
            bindings::skb_set_marks(skb, info.mark, info.priority, info.peeked);
            match info.csum {
                Some(csum) => bindings::skb_set_csum_complete(skb, csum),
                None => bindings::skb_set_csum_unnecessary(skb),
            }

            let shinfo = bindings::skb_shinfo(skb);
            (*bindings::skb_hwtstamps(skb)).__bindgen_anon_1.hwtstamp = info.hwtstamp;
            if info.gso_size != 0 {
                (*shinfo).gso_type = SKB_GSO_UDP_L4;
                (*shinfo).gso_size = info.gso_size;
                // CAST: Not more than the length.
                (*shinfo).gso_segs = info.len.div_ceil(info.gso_size.into()) as u16;
            }

            let uh = bindings::udp_hdr(skb);
            (*uh).source = info.source.port().to_be();
            (*uh).dest = info.dest.port().to_be();
            // CAST: What is longer than a header can say is no single datagram.
            (*uh).len = (info.len.saturating_add(UDP_HDRLEN as u32) as u16).to_be();

            let iph = bindings::ip_hdr(skb);
            (*iph).set_version(4);
            // CAST: At most 15.
            (*iph).set_ihl((ip_len / 4) as u8);
            (*iph).tos = info.tos;
            (*iph).ttl = info.ttl;
            (*iph).protocol = bindings::IPPROTO_UDP as u8;
            (*iph).__bindgen_anon_1.addrs.saddr = info.source.ip().to_bits().to_be();
            (*iph).__bindgen_anon_1.addrs.daddr = info.dest.ip().to_bits().to_be();
        }
        datagram.set_options(net, info);

        // SAFETY: As above. The payload is what follows the headers.
        unsafe {
            let pktinfo = (&raw mut (*skb).cb).cast::<bindings::in_pktinfo>();
            // CAST: An index, as `recvmsg(2)` reports it.
            (*pktinfo).ipi_ifindex = info.ifindex as c_int;
            (*pktinfo).ipi_spec_dst.s_addr = info.spec_dst.to_bits().to_be();
            // CAST: At most 68.
            bindings::skb_pull(skb, headers as u32);
        }
        Ok(datagram)
    }

    /// Writes the IP options into the header, and what they say into the control block.
    fn set_options(&self, net: &Net, info: &DatagramInfo) {
        let skb = self.skb.as_ptr();
        let options = info.options.as_bytes();
        // CAST: At most 40.
        let optlen = options.len().next_multiple_of(4) as u8;

        // SAFETY: By the type invariants, the skb is ours. `new` has zeroed the headers, with room
        // for the options rounded up. The control block is large enough for what IP has there. Of
        // an skb without device and route, the options of a security label must not be compiled;
        // those are left out.
        unsafe {
            (&raw mut (*skb).cb).write_bytes(0, 1);
            let parm = (&raw mut (*skb).cb).cast::<bindings::inet_skb_parm>();
            (*parm).frag_max_size = info.frag_max_size;
            if options.is_empty() {
                return;
            }

            let to = bindings::ip_hdr(skb).cast::<u8>().add(IP_HDRLEN);
            to.copy_from_nonoverlapping(options.as_ptr(), options.len());
            (*parm).opt.optlen = optlen;
            let opt = &raw mut (*parm).opt;
            if label(options).is_none()
                && bindings::__ip_options_compile(net.as_ptr(), opt, skb, ptr::null_mut()) == 0
            {
                // This was not the first time: what it has noted down in the options a second
                // time, as a router would, is taken back.
                to.copy_from_nonoverlapping(options.as_ptr(), options.len());
            } else {
                // What was filled up on its way fails the second time, and then has nothing that
                // `IP_RETOPTS` could echo. `IP_RECVOPTS` shows the bytes.
                opt.write_bytes(0, 1);
                (*parm).opt.optlen = optlen;
                to.copy_from_nonoverlapping(options.as_ptr(), options.len());
            }
        }
    }

    /// Appends to the payload.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` if it would become too long. Nothing is appended then.
    pub fn fill(&mut self, bytes: &[u8]) -> Result {
        let len = u32::try_from(bytes.len()).map_err(|_| EMSGSIZE)?;
        let filled = self.filled.checked_add(len).ok_or(EMSGSIZE)?;

        if filled > self.len {
            return Err(EMSGSIZE);
        }
        // CAST: Both are at most `MAX_LEN`.
        let (offset, len) = (self.filled as c_int, len as c_int);
        // SAFETY: By the type invariants, the skb is ours and has room for the payload.
        to_result(unsafe {
            bindings::skb_store_bits(self.skb.as_ptr(), offset, bytes.as_ptr().cast(), len)
        })?;
        self.filled = filled;
        Ok(())
    }

    /// Tells whether all of the payload is there.
    pub fn is_complete(&self) -> bool {
        self.filled == self.len
    }

    /// Returns the skb.
    pub(super) fn as_ptr(&self) -> *mut bindings::sk_buff {
        self.skb.as_ptr()
    }

    /// Returns how much memory it takes, which a receive buffer has to have room for.
    pub fn truesize(&self) -> u32 {
        // SAFETY: By the type invariants, the skb is ours.
        unsafe { (*self.skb.as_ptr()).truesize }
    }

    /// Returns how many datagrams the socket had dropped before this one.
    pub fn dropcount(&self) -> u32 {
        self.dropcount
    }

    /// Returns the skb, which belongs to the caller from here on.
    ///
    /// # Errors
    ///
    /// `EINVAL` if not all of the payload is there: nobody must get to read the rest.
    pub fn into_raw(self) -> Result<*mut bindings::sk_buff> {
        match self.is_complete() {
            true => Ok(ManuallyDrop::new(self).skb.as_ptr()),
            false => Err(EINVAL),
        }
    }
}

impl Drop for NewDatagram {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, the skb is ours.
        unsafe { consume(self.skb) };
    }
}
