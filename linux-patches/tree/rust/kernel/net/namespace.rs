// SPDX-License-Identifier: GPL-2.0

//! Network namespaces.
//!
//! C headers: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h) and
//! [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use crate::{
    bindings,
    prelude::*,
    sync::{
        aref::AlwaysRefCounted,
        rcu, //
    },
    types::Opaque, //
};

use core::ptr::NonNull;

/// The size of an [`InterfaceName`], with its NUL.
const IFNAMSIZ: usize = bindings::IFNAMSIZ as usize;

/// A network namespace.
///
/// Wraps the kernel's `struct net`. Two references are equal when they name the same namespace.
///
/// # Invariants
///
/// The namespace is initialised. While a shared reference to it exists, its reference count
/// (`net->ns`, see `get_net()`) is not zero.
///
/// # Examples
///
/// ```
/// use kernel::{
///     net::Net,
///     sync::aref::ARef, //
/// };
///
/// let net = Net::init_net();
///
/// // Loopback is the first device of each namespace.
/// assert_eq!(net.device_name(1)?.as_c_str(), c"lo");
/// assert_eq!(net.device_index(c"lo"), Some(1));
///
/// assert_eq!(net.device_name(u32::MAX).err(), Some(ENODEV));
/// assert_eq!(net.device_index(c"no such device"), None);
///
/// // Holds a reference for as long as `owned` lives.
/// let owned: ARef<Net> = net.into();
/// assert!(*owned == *net);
/// # Ok::<(), Error>(())
/// ```
#[repr(transparent)]
pub struct Net {
    inner: Opaque<bindings::net>,
}

// SAFETY: `put_net()` may be called from any thread: what it has to do in process context it
// defers to a work queue.
unsafe impl Send for Net {}

// SAFETY: All that can be done with a shared reference is synchronised by the C side.
unsafe impl Sync for Net {}

impl Net {
    /// Returns the initial network namespace.
    #[inline]
    pub fn init_net() -> &'static Net {
        // SAFETY: `init_net` is never freed, and its reference count never becomes zero.
        unsafe { Self::from_raw(&raw mut bindings::init_net) }
    }

    /// Creates a reference to a [`Net`] from a pointer.
    ///
    /// # Safety
    ///
    /// `ptr` must point to an initialised namespace whose reference count (`get_net()`, not the
    /// `passive` one) stays above zero for the whole lifetime `'a`.
    #[inline]
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::net) -> &'a Net {
        // INVARIANT: Guaranteed by the safety requirements.
        // SAFETY: The safety requirements make the dereference valid, and `Net` is a transparent
        // wrapper of `struct net`.
        unsafe { &*ptr.cast() }
    }

    /// Returns a raw pointer to the C structure.
    #[inline]
    pub fn as_ptr(&self) -> *mut bindings::net {
        self.inner.get()
    }

    /// Returns the name of the network device whose index is `ifindex` in this namespace.
    ///
    /// The name is the one of this moment; the device may be renamed, or go, at any time.
    ///
    /// # Errors
    ///
    /// `ENODEV` if this namespace has no such device.
    pub fn device_name(&self, ifindex: u32) -> Result<InterfaceName> {
        // An index is a positive `int` everywhere in the kernel.
        let ifindex = c_int::try_from(ifindex).map_err(|_| ENODEV)?;
        let mut name = [0; IFNAMSIZ];

        let _guard = rcu::read_lock();

        // SAFETY: By the type invariants the namespace is valid, and the RCU read lock is held.
        let dev = unsafe { bindings::dev_get_by_index_rcu(self.as_ptr(), ifindex) };
        let dev = NonNull::new(dev).ok_or(ENODEV)?;

        // SAFETY: `dev` was found under the RCU read lock, which is still held, so that it has not
        // been freed. `netdev_copy_name()` writes at most `IFNAMSIZ` bytes, and deals with a
        // concurrent change of the name.
        unsafe { bindings::netdev_copy_name(dev.as_ptr(), name.as_mut_ptr()) };

        // INVARIANT: `netdev_copy_name()` copies by `strscpy()`, which puts a NUL into `name`.
        Ok(InterfaceName(name))
    }

    /// Returns the index of the network device that is called `name` in this namespace.
    ///
    /// An alternative name (`ip link property add ... altname`) finds its device, too. No reference
    /// to the device is kept: it may be renamed, or go, at any time.
    pub fn device_index(&self, name: &CStr) -> Option<u32> {
        let _guard = rcu::read_lock();

        // SAFETY: By the type invariants the namespace is valid, `name` is NUL-terminated, and the
        // RCU read lock is held.
        let dev = unsafe { bindings::dev_get_by_name_rcu(self.as_ptr(), name.as_char_ptr()) };
        let dev = NonNull::new(dev)?;

        // A device gets another index when it moves to another namespace, hence the volatile read.
        // SAFETY: `dev` was found under the RCU read lock, which is still held, so that it has not
        // been freed.
        let ifindex = unsafe { (&raw const (*dev.as_ptr()).ifindex).read_volatile() };

        u32::try_from(ifindex).ok()
    }
}

// SAFETY: `struct net` is reference-counted by `get_net()` and `put_net()`.
unsafe impl AlwaysRefCounted for Net {
    #[inline]
    fn inc_ref(&self) {
        // SAFETY: By the type invariants the reference count is not zero.
        unsafe { bindings::get_net(self.as_ptr()) };
    }

    #[inline]
    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The safety requirements say that the caller gives up a reference of its own.
        unsafe { bindings::put_net(obj.cast().as_ptr()) };
    }
}

impl PartialEq for Net {
    /// Mirrors `net_eq()`.
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}

impl Eq for Net {}

/// The name of a network device.
///
/// # Invariants
///
/// There is a NUL among the bytes.
#[derive(Clone, Copy)]
pub struct InterfaceName([u8; IFNAMSIZ]);

impl InterfaceName {
    /// Returns the name as a C string.
    pub fn as_c_str(&self) -> &CStr {
        // By the type invariants this does not fail.
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }
}
