// SPDX-License-Identifier: GPL-2.0

//! Multicast groups of IPv4.
//!
//! C header: [`include/linux/igmp.h`](srctree/include/linux/igmp.h)

use crate::{
    bindings,
    error::to_result,
    prelude::*, //
};

use core::{
    marker::PhantomData,
    mem::offset_of,
    net::Ipv4Addr,
    ptr::NonNull,
    slice, //
};

use super::{
    LockedSocket,
    Sock,
    Socket,
    SocketFile, //
};

/// A group that a socket is a member of (`struct ip_mc_socklist`).
///
/// # Invariants
///
/// `entry` is an entry of the list of a socket whose lock is held for the lifetime `'a`.
#[derive(Copy, Clone)]
pub struct Membership<'a> {
    entry: NonNull<bindings::ip_mc_socklist>,
    _borrow: PhantomData<&'a bindings::ip_mc_socklist>,
}

impl<'a> Membership<'a> {
    /// Returns the entry.
    fn entry(&self) -> &'a bindings::ip_mc_socklist {
        // SAFETY: By the type invariants, the entry is valid. It is changed by who has the lock,
        // and nobody else has it.
        unsafe { self.entry.as_ref() }
    }

    /// Returns the group.
    pub fn group(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::from_be(self.entry().multi.imr_multiaddr.s_addr))
    }

    /// Returns the address that named the device when the group was joined, if one did.
    pub fn address(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::from_be(self.entry().multi.imr_address.s_addr))
    }

    /// Returns the index of the device, which may have gone.
    pub fn ifindex(&self) -> u32 {
        self.entry().multi.imr_ifindex.unsigned_abs()
    }

    /// Tells whether [`Self::sources`] are those not to hear, as opposed to those to hear.
    pub fn is_exclude(&self) -> bool {
        self.entry().sfmode == bindings::MCAST_EXCLUDE
    }

    /// Returns the sources of the filter.
    pub fn sources(&self) -> impl ExactSizeIterator<Item = Ipv4Addr> + 'a {
        let addrs = match NonNull::new(self.entry().sflist) {
            None => &[][..],
            Some(list) => {
                // SAFETY: The list belongs to the entry, and is replaced by who has the lock only.
                // There are `sl_count` addresses in it.
                unsafe {
                    slice::from_raw_parts(
                        (&raw const (*list.as_ptr()).sl_addr).cast::<u32>(),
                        (*list.as_ptr()).sl_count as usize,
                    )
                }
            }
        };
        addrs
            .iter()
            .map(|addr| Ipv4Addr::from_bits(u32::from_be(*addr)))
    }

    /// Returns how much memory of the socket it takes, as `ip_mc_leave_group` gives it back.
    pub(super) fn memory(&self) -> usize {
        const FILTER: usize = offset_of!(bindings::ip_sf_socklist, sl_addr);

        let of_filter = match NonNull::new(self.entry().sflist) {
            None => 0,
            // SAFETY: As in `sources`.
            Some(list) => unsafe { (*list.as_ptr()).sl_max as usize }
                .saturating_mul(size_of::<bindings::__be32>())
                .saturating_add(FILTER),
        };
        of_filter.saturating_add(size_of::<bindings::ip_mc_socklist>())
    }
}

/// The groups that a socket is a member of, the one that was joined last comes first.
#[derive(Clone)]
pub struct Memberships<'a> {
    next: *mut bindings::ip_mc_socklist,
    _borrow: PhantomData<&'a bindings::ip_mc_socklist>,
}

impl<'a> Iterator for Memberships<'a> {
    type Item = Membership<'a>;

    fn next(&mut self) -> Option<Membership<'a>> {
        // INVARIANT: The first one comes from the socket, and each other one from an entry.
        let membership = Membership {
            entry: NonNull::new(self.next)?,
            _borrow: PhantomData,
        };

        self.next = membership.entry().next_rcu;
        Some(membership)
    }
}

impl LockedSocket<'_> {
    /// Returns the groups that the socket is a member of, the one that was joined last comes first.
    pub fn memberships(&self) -> Memberships<'_> {
        let next = match self.inet() {
            // SAFETY: By the type invariants, the socket is valid. Who joins or leaves a group has
            // its lock, as the calling task has. Only a socket that has lost its file leaves all
            // groups without it (`ip_mc_drop_socket`), and this one is open.
            Some(inet) => unsafe { (&raw const (*inet.as_ptr()).mc_list).read_volatile() },
            None => core::ptr::null_mut(),
        };

        Memberships {
            next,
            _borrow: PhantomData,
        }
    }
}

impl Socket {
    /// Sets which sources of a group are heard, as `MCAST_MSFILTER` does; or that none is, which
    /// that option takes for leaving the group, but others leave behind.
    ///
    /// The socket must be a member of the group by the device with the index `ifindex`. The
    /// security module is not asked, nor is a cgroup-BPF program; see
    /// [`Self::security_setsockopt`].
    ///
    /// # Errors
    ///
    /// `ENOBUFS` if there are more sources than `net.ipv4.igmp_max_msf` allows, `EINVAL` if the
    /// socket is not a member, `ENODEV` if the device is gone.
    pub fn set_source_filter(
        &mut self,
        group: Ipv4Addr,
        ifindex: u32,
        exclude: bool,
        sources: &[Ipv4Addr],
    ) -> Result {
        let filter = SourceFilter::new(self, group, ifindex, exclude, sources)?;

        filter.set(|| Ok(self.lock()))
    }
}

impl SocketFile {
    /// Sets which sources of a group are heard, as [`Socket::set_source_filter`].
    ///
    /// # Errors
    ///
    /// Those of [`Socket::set_source_filter`], and of [`Self::lock_soon`].
    pub fn set_source_filter(
        &self,
        group: Ipv4Addr,
        ifindex: u32,
        exclude: bool,
        sources: &[Ipv4Addr],
    ) -> Result {
        let filter = SourceFilter::new(self, group, ifindex, exclude, sources)?;

        filter.set(|| self.lock_soon())
    }
}

/// Where `struct ip_msfilter` has its mode.
const MODE: usize = 2;

/// Which sources of a group are heard, as C functions take it.
struct SourceFilter {
    /// `struct ip_msfilter`, which consists of numbers of this size.
    filter: KVec<u32>,
    ifindex: c_int,
}

impl SourceFilter {
    /// Makes one for a socket.
    fn new(
        sock: &Sock,
        group: Ipv4Addr,
        ifindex: u32,
        exclude: bool,
        sources: &[Ipv4Addr],
    ) -> Result<SourceFilter> {
        sock.inet().ok_or(EOPNOTSUPP)?;
        let ifindex = c_int::try_from(ifindex).map_err(|_| ENODEV)?;
        let numsrc = u32::try_from(sources.len()).map_err(|_| ENOBUFS)?;
        let net = sock.net().ok_or(EINVAL)?.as_ptr();

        // SAFETY: The namespace is valid as long as the socket. The sysctl is a plain integer that
        // may change at any time.
        let max = unsafe { (&raw const (*net).ipv4.sysctl_igmp_max_msf).read_volatile() };
        if c_int::try_from(numsrc).map_err(|_| ENOBUFS)? > max {
            return Err(ENOBUFS);
        }
        let mode = match exclude {
            true => bindings::MCAST_EXCLUDE,
            false => bindings::MCAST_INCLUDE,
        };

        // The device is named by its index, and not by the address that could stand here.
        let head = [group.to_bits().to_be(), 0, mode, numsrc];
        let mut filter = KVec::with_capacity(head.len() + sources.len(), GFP_KERNEL)?;
        filter.extend_from_slice(&head, GFP_KERNEL)?;
        for source in sources {
            filter.push(source.to_bits().to_be(), GFP_KERNEL)?;
        }
        Ok(SourceFilter { filter, ifindex })
    }

    /// Sets it, of the socket that the function locks.
    fn set<'a>(mut self, lock: impl FnOnce() -> Result<LockedSocket<'a>>) -> Result {
        let [group, _, mode, numsrc] = *self.filter.first_chunk().ok_or(EINVAL)?;

        // SAFETY: FFI call. Who has a socket may sleep.
        unsafe { bindings::rtnl_lock() };
        let result = lock().and_then(|sk| {
            let hears_nobody = numsrc == 0 && mode == bindings::MCAST_INCLUDE;
            if hears_nobody {
                // Asked for this, `ip_mc_msfilter()` leaves the group. What changes the mode below
                // wants no list of sources, so that there has to be the filter without one first.
                *self.filter.get_mut(MODE).ok_or(EINVAL)? = bindings::MCAST_EXCLUDE;
            }
            // SAFETY: The socket is valid and locked, and so is RTNL, in this order; it is an IP
            // one, as `new()` has checked of it. The filter has as many sources as it says.
            to_result(unsafe {
                bindings::ip_mc_msfilter(sk.as_ptr(), self.filter.as_mut_ptr().cast(), self.ifindex)
            })?;
            if !hears_nobody {
                return Ok(());
            }
            let mut none = bindings::ip_mreq_source {
                imr_multiaddr: group,
                ..pin_init::zeroed()
            };
            // A source that is not there is not to be heard any more: this cannot be done, but
            // changes which kind of sources are listed before it says so.
            // CAST: A small number.
            // SAFETY: The socket and RTNL are locked as before.
            let result = to_result(unsafe {
                bindings::ip_mc_source(0, mode as c_int, sk.as_ptr(), &raw mut none, self.ifindex)
            });
            match result {
                Err(EADDRNOTAVAIL) => Ok(()),
                result => result,
            }
        });
        // SAFETY: RTNL was locked above.
        unsafe { bindings::rtnl_unlock() };

        result
    }
}
