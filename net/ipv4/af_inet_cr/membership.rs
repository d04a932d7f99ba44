// SPDX-License-Identifier: GPL-2.0

//! The multicast groups that a socket is a member of, with their source filters.

#![forbid(unsafe_code)]

use crate::{
    attr,
    codec,
    consts::{
        IP_ADD_MEMBERSHIP,
        IP_DROP_MEMBERSHIP,
        MCAST_MSFILTER,
        SOL_IP, //
    },
    device,
    live::Settable,
    map::Destination,
    policy,
    refusal::Refusal, //
};

use kernel::{
    net::{
        netlink::{
            AttrWriter,
            Attribute,
            Request, //
        },
        socket::{
            LockedSocket,
            Membership as SocketMembership, //
        },
        Net, //
    },
    prelude::*, //
};

use core::net::Ipv4Addr;

/// The most memberships of a socket that is carried: a new one is looked for among all that are
/// there, while nobody else gets anything from generic netlink.
const MAX: usize = 4096;

/// How much room in a message a membership takes at the most, but for the sources.
const ROOM: usize = 64;

/// How much room in a message a source takes.
const SOURCE_ROOM: usize = 8;

/// Returns how much room in a message the memberships of a socket take.
pub(crate) fn room(sock: &LockedSocket<'_>) -> usize {
    sock.memberships()
        .map(|membership| {
            let sources = membership.sources().len();
            ROOM.saturating_add(sources.saturating_mul(SOURCE_ROOM))
        })
        .fold(0, usize::saturating_add)
}

/// Returns whether a socket has so many memberships that a dump of it takes long.
pub(crate) fn are_many(sock: &LockedSocket<'_>) -> bool {
    /// The default of `net.ipv4.igmp_max_memberships`.
    const USUAL: usize = 20;

    sock.memberships().nth(USUAL).is_some()
}

/// Refuses a socket with more memberships than a restore takes.
pub(crate) fn check(sock: &LockedSocket<'_>) -> Result<(), Refusal> {
    match sock.memberships().nth(MAX) {
        Some(_) => Err(too_many()),
        None => Ok(()),
    }
}

/// Writes the memberships of a socket into a message, in the order in which they were joined.
pub(crate) fn put(sock: &LockedSocket<'_>, net: &Net, msg: &AttrWriter) -> Result<(), Refusal> {
    // The list begins at the end.
    let mut all = KVec::new();
    for membership in sock.memberships() {
        all.push(membership, GFP_KERNEL)?;
    }
    for membership in all.iter().rev() {
        put_one(membership, net, msg)?;
    }
    Ok(())
}

/// Writes a membership into a message.
fn put_one(membership: &SocketMembership<'_>, net: &Net, msg: &AttrWriter) -> Result<(), Refusal> {
    let put = msg.nest(attr::MEMBERSHIP, |nest| {
        let group = membership.group().octets();

        nest.put_bytes(attr::membership::GROUP, &group)?;
        device::put(attr::membership::IFNAME, membership.ifindex(), net, nest)
            .map_err(|refusal| refusal.about("a multicast membership"))?;
        if !membership.address().is_unspecified() {
            let address = membership.address().octets();
            nest.put_bytes(attr::membership::ADDRESS, &address)?;
        }
        nest.put_u32(attr::membership::EXCLUDE, membership.is_exclude().into())?;
        for source in membership.sources() {
            nest.put_bytes(attr::membership::SOURCE, &source.octets())?;
        }
        Ok(())
    });
    put.map_err(|refusal: Refusal| match refusal.errno() {
        EMSGSIZE => Refusal::new(EMSGSIZE, "has more sources than fit into a message")
            .about("a multicast membership"),
        _ => refusal,
    })
}

/// A group that a socket is to be a member of.
pub(crate) struct Membership {
    /// The group.
    group: Ipv4Addr,
    /// The index of the device.
    ifindex: u32,
    /// The address that named the device when the group was joined, which leaving it may name
    /// again; or the wildcard.
    address: Ipv4Addr,
    /// Whether the sources are those not to hear.
    exclude: bool,
    /// The sources of the filter.
    sources: KVec<Ipv4Addr>,
}

impl Membership {
    /// Reads the memberships in a message.
    pub(crate) fn parse_all(
        request: &Request<'_>,
        there: &Destination<'_>,
    ) -> Result<KVVec<Membership>, Refusal> {
        let mut memberships = KVVec::new();

        if request.attr(attr::MEMBERSHIP).is_none() {
            return Ok(memberships);
        }
        let all = request
            .attrs()
            .filter(|attr| attr.type_() == attr::MEMBERSHIP);
        for (nth, attr) in all.enumerate() {
            let membership = match nth {
                MAX.. => Err(too_many().at(attr::MEMBERSHIP)),
                _ => Membership::parse(there, &attr),
            };
            let membership = membership.map_err(|refusal| refusal.of_list(nth))?;
            memberships.push(membership, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(memberships)
    }

    /// Reads a membership.
    fn parse(there: &Destination<'_>, attr: &Attribute<'_>) -> Result<Membership, Refusal> {
        const WHOLE: &str = "a membership is a group, a device and a mode";

        let nest = codec::open_nest(attr, &policy::MEMBERSHIP, &[attr::membership::SOURCE])?;
        let required = |ty| codec::required(attr, &nest, ty, WHOLE);
        let wrong =
            |refusal: Refusal, ty| refusal.inside(attr::MEMBERSHIP, ty, &policy::MEMBERSHIP);
        let addr = |attr: &Attribute<'_>| {
            there
                .v4(attr)
                .map_err(|refusal| wrong(refusal, attr.type_()))
        };

        let group = addr(&required(attr::membership::GROUP)?)?;
        if !group.is_multicast() {
            let refusal = Refusal::new(EINVAL, "not the address of a multicast group");
            return Err(wrong(refusal, attr::membership::GROUP));
        }
        let name = required(attr::membership::IFNAME)?;
        let ifindex = there
            .device_of(&name)
            .map_err(|refusal| wrong(refusal, attr::membership::IFNAME))?;
        let exclude = required(attr::membership::EXCLUDE)?.as_u32()? != 0;
        let address = match nest.get(attr::membership::ADDRESS) {
            Some(attr) => addr(&attr)?,
            None => Ipv4Addr::UNSPECIFIED,
        };

        let mut sources = KVec::new();
        for attr in attr.nested(&policy::MEMBERSHIP)? {
            if attr.type_() == attr::membership::SOURCE {
                sources.push(addr(&attr)?, GFP_KERNEL)?;
            }
        }

        Ok(Membership {
            group,
            ifindex,
            address,
            exclude,
            sources,
        })
    }

    /// Makes a socket a member of the group.
    pub(crate) fn restore(&self, socket: &mut dyn Settable) -> Result<(), Refusal> {
        let mreqn = device::mreqn(self.group, self.address, self.ifindex);

        socket
            .setsockopt(SOL_IP, IP_ADD_MEMBERSHIP, &mreqn)
            .map_err(cannot)?;
        // It hears all sources now.
        if self.exclude && self.sources.is_empty() {
            return Ok(());
        }
        self.set_filter(socket).inspect_err(|_| {
            // And must not do so for ever, if it is in use. If this fails, too, nothing is left.
            let _ = socket.set_back(SOL_IP, IP_DROP_MEMBERSHIP, &mreqn);
        })
    }

    /// Makes a socket in use a member of the group, or gives the member this filter.
    pub(crate) fn amend(&self, socket: &mut dyn Settable) -> Result<(), Refusal> {
        let about = |refusal: Refusal| refusal.about("a multicast membership").at(attr::MEMBERSHIP);

        match self.compare(socket)? {
            None => self.restore(socket)?,
            Some(Found {
                same_filter: false, ..
            }) => self.set_filter(socket)?,
            Some(_) => {}
        }
        match self.compare(socket)? {
            Some(Found {
                same_filter: true,
                same_address: true,
            }) => Ok(()),
            // Only who leaves the group could change it.
            Some(Found {
                same_filter: true, ..
            }) => Err(about(Refusal::new(
                EADDRINUSE,
                "was made by another address of the device",
            ))),
            _ => Err(about(Refusal::new(EPERM, "became another value"))),
        }
    }

    /// Compares this with what a socket has of the group, if it is a member.
    fn compare(&self, socket: &mut dyn Settable) -> Result<Option<Found>, Refusal> {
        let locked = socket.lock().map_err(cannot)?;
        let found = locked
            .memberships()
            .find(|it| (it.group(), it.ifindex()) == (self.group, self.ifindex));

        Ok(found.map(|found| Found {
            same_address: found.address() == self.address,
            same_filter: found.is_exclude() == self.exclude
                && found.sources().eq(self.sources.iter().copied()),
        }))
    }

    /// Gives a member of the group this filter.
    fn set_filter(&self, socket: &mut dyn Settable) -> Result<(), Refusal> {
        // The option itself has another structure in each ABI.
        socket
            .security_setsockopt(SOL_IP, MCAST_MSFILTER)
            .and_then(|()| {
                socket.set_source_filter(self.group, self.ifindex, self.exclude, &self.sources)
            })
            .map_err(|errno| {
                let reason = match errno {
                    ENOBUFS => "is above igmp_max_msf or optmem_max",
                    _ => "cannot be set",
                };
                Refusal::new(errno, reason)
                    .about("MCAST_MSFILTER")
                    .at(attr::MEMBERSHIP)
            })
    }
}

/// What a socket in use has of a group.
#[derive(Clone, Copy)]
struct Found {
    /// Whether it was joined by the same address.
    same_address: bool,
    /// Whether the same sources are heard.
    same_filter: bool,
}

/// The refusal of more than [`MAX`] memberships.
fn too_many() -> Refusal {
    Refusal::new(E2BIG, "more than 4096 multicast memberships")
}

/// The refusal of a membership that cannot be had.
fn cannot(errno: Error) -> Refusal {
    let reason = match errno {
        ENOBUFS => "is above igmp_max_memberships or optmem_max",
        _ => "cannot be set",
    };
    Refusal::new(errno, reason)
        .about("IP_ADD_MEMBERSHIP")
        .at(attr::MEMBERSHIP)
}
