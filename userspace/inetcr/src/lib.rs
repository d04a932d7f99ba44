// SPDX-License-Identifier: GPL-2.0
//! Checkpoints and restores IPv4 sockets with the netlink family `af-inet-cr`.
//!
//! [`Client::snapshot`] asks the kernel for the [`State`] of a socket, the [`Datagram`]s that wait
//! in it and the one that is corked, [`Client::restore_snapshot`] has it make an equal socket from
//! such a [`Snapshot`]. An [`Image`] keeps them in a file; [`ImageWriter`] and [`ImageReader`] write
//! and read it socket by socket. [`Client::snapshots`] is about all sockets of a process or of a
//! network namespace, of which a [`Filter`] says which are wanted. A [`Restorer`] brings those of an
//! image back and compares them. [`Client::amend_snapshot`] applies a snapshot to a socket that
//! exists.
//!
//! ```no_run
//! use std::fs::File;
//!
//! use inetcr::{Client, Compression, Image, Selector};
//!
//! let mut client = Client::new()?;
//! let snapshot = client.snapshot(Selector::Inode(123456))?;
//! let file = File::create("socket.image")?;
//! Image::new([snapshot]).write(file, Compression::Zstd)?;
//!
//! let image = Image::read(File::open("socket.image")?)?;
//! let restored = client.restore_snapshot(&image.sockets[0])?;
//! println!("inode {} is back as {:?}", 123456, restored.fd);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing is lost on the way: an attribute or a value that the library does not know is an error
//! that names it, and a [`Snapshot`] goes through messages and JSON unchanged. What the kernel says
//! when it refuses something arrives whole, as a [`KernelError`].
//!
//! # The netlink crates
//!
//! The library stands on `netlink-sys` (the socket), `netlink-packet-core` and
//! `netlink-packet-generic` (the headers) of the rust-netlink project. Compared in the autumn of
//! 2026:
//!
//! * rust-netlink 0.9/0.5: all three released in August 2026; a plain socket, 12 crates in all. It
//!   leaves the extended acknowledgement as bytes (a change that parses it was closed as stale in
//!   August 2026): one module here.
//! * neli 0.7: parses extended acknowledgements. But its router starts a thread for each socket,
//!   which does not go with programs that fork and change namespaces, and it brings 36 crates.
//! * netlink-bindings 0.3: made from YNL specifications, but as a crate of 240,000 lines for the
//!   families of mainline, without ours. Its socket receives 8 KiB and no more, and its readers
//!   skip attributes that they do not know, which have to be refused here.

mod amend;
mod answer;
mod attr;
mod attributes;
mod client;
mod cork;
mod datagram;
mod diff;
mod error;
mod extack;
mod field;
mod filter;
mod flags;
mod human;
mod image;
mod many;
mod map;
mod nests;
mod queue;
mod record;
mod restorer;
mod snapshot;
mod state;
pub mod table;
mod transport;
mod types;
mod value;

pub use amend::{Amended, Failure};
pub use attr::{NLA_F_NESTED, RawAttr};
pub use attributes::Described;
pub use client::{Client, Restored, Selector, Target};
pub use cork::{CORK, Cork, CorkHeader};
pub use datagram::{DATAGRAM, Datagram, DatagramHeader};
pub use diff::Difference;
pub use error::{DecodeError, Error, KernelError, Policy};
pub use filter::{Endpoint, Filter};
pub use image::{Compression, Image, ImageError, ImageReader, ImageWriter};
pub use many::{Scope, Selection, Snapshots};
pub use map::{MAP, MAPS_MAX, Map, MapError, Maps};
pub use nests::{
    IP, Ip, LINGER, Linger, MEMBERSHIP, Membership, OWNER, Owner, TIMESTAMPING, TXTIME,
    Timestamping, Txtime, UDP, Udp,
};
pub use queue::{Contents, PAYLOAD_MAX};
pub use record::{REPORT, Record, Refused, Report};
pub use restorer::{Checked, NotRestored, Restorer};
pub use snapshot::Snapshot;
pub use state::State;
pub use types::{
    BindLocks, DeviceName, ErrorOrigin, FileFlags, IpFlags, Losses, OwnerType, Shutdown, SockState,
    SockoptFlags, Time, Timestamp, Transaction, UdpFlags,
};
