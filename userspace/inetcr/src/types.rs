// SPDX-License-Identifier: GPL-2.0
//! Values that need a type of their own.

mod device;
mod named;
mod time;

pub use device::DeviceName;
pub use named::{
    BindLocks, ErrorOrigin, FileFlags, IpFlags, Losses, OwnerType, Shutdown, SockState,
    SockoptFlags, Timestamp, Transaction, UdpFlags,
};
pub use time::Time;
