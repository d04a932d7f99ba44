// SPDX-License-Identifier: GPL-2.0

//! Checkpoint and restore of IPv4 sockets.
//!
//! A generic netlink family: commands write the state of a socket and what waits in it into
//! messages, make an equal socket from such messages, or apply them to a socket. The interface is
//! described by [`af_inet_cr.yaml`](srctree/Documentation/netlink/specs/af_inet_cr.yaml), and what
//! it promises by [`af_inet_cr.rst`](srctree/Documentation/networking/af_inet_cr.rst).
//!
//! What a socket is made of:
//!
//! - `options.rs`, the option table; `codec.rs`, how each shape of option is read, written, checked
//!   and set, with `buffer.rs`, `device.rs` and `time.rs` for those that are not straightforward;
//!   `policy.rs`, the policies that follow from the table.
//! - `address.rs`, the addresses; `user.rs`, whose it is; `file.rs`, the open file; `filter.rs`,
//!   the classic filter; `reuseport.rs`, that of a group of sockets; `membership.rs`, the multicast
//!   groups.
//! - `protocol.rs`, the kinds of sockets, and `uncovered.rs`, what they can have that is not
//!   carried; `loss.rs`, what of that may be left out.
//! - `datagram.rs`, the datagrams that wait to be received; `errqueue.rs`, what makes one of them
//!   an error; `cork.rs`, the one that waits to be sent.
//! - `map.rs`, the devices and addresses that have others in their places where it is restored.
//!
//! What is done with it: `select.rs` finds a socket; `dump.rs`, `many.rs` for many sockets at once,
//! `queue.rs`, `restore.rs`, and `amend.rs` with `live.rs` are the commands; the last two bring
//! datagrams by `transaction.rs` with `assembly.rs`, and `amend.rs` by `staging.rs`, too;
//! `refusal.rs` is why they fail. `attr.rs` has the numbers of the attributes, `consts.rs` those of
//! socket options. Only `internals.rs` has unsafe code.

use kernel::{
    module::this_module,
    net::netlink::{
        Family,
        Operation,
        Registration, //
    },
    prelude::*,
    uapi, //
};

mod address;
mod amend;
mod assembly;
mod attr;
mod buffer;
mod codec;
mod consts;
mod cork;
mod datagram;
mod device;
mod dump;
mod errqueue;
mod file;
mod filter;
mod internals;
mod live;
mod loss;
mod many;
mod map;
mod membership;
mod options;
mod policy;
mod protocol;
mod queue;
mod refusal;
mod restore;
mod reuseport;
mod select;
mod staging;
mod time;
mod transaction;
mod uncovered;
mod user;

/// The operations, sorted by command.
static OPERATIONS: [Operation<transaction::Transaction>; 5] = [
    Operation::doit::<dump::Dump>(),
    Operation::dumpit::<many::DumpMany>(),
    Operation::doit::<restore::Restore>(),
    Operation::doit::<amend::Amend>(),
    Operation::dumpit::<queue::Queue>(),
];

/// The family.
static FAMILY: Family = Family::const_new(
    this_module::<LocalModule>(),
    uapi::AF_INET_CR_FAMILY_NAME,
    uapi::AF_INET_CR_FAMILY_VERSION,
    &[],
)
.with_operations(&OPERATIONS);

module! {
    type: AfInetCr,
    name: "af_inet_cr",
    authors: ["The af_inet_cr authors"],
    description: "Checkpoint and restore of IPv4 sockets",
    license: "GPL",
}

/// The subsystem, which is the registration of its family.
struct AfInetCr {
    _registration: Registration,
}

impl kernel::Module for AfInetCr {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(AfInetCr {
            _registration: FAMILY.register()?,
        })
    }
}
