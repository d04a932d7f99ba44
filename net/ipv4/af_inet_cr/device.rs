// SPDX-License-Identifier: GPL-2.0

//! The devices that a socket is bound to, or sends by.
//!
//! A socket has the index of a device, which means nothing in another namespace or after a reboot,
//! hence a message has the name. A device that has gone leaves nothing but its index.

#![forbid(unsafe_code)]

use crate::{
    address,
    attr,
    codec::Levels,
    consts::{
        SOL_SOCKET,
        SO_BINDTOIFINDEX, //
    },
    live::Settable,
    options::Nest,
    refusal::Refusal,
    reuseport, //
};

use kernel::{
    net::{
        netlink::{
            AttrWriter,
            Attribute, //
        },
        sock::Sock,
        Net, //
    },
    prelude::*, //
};

use core::net::Ipv4Addr;

/// Returns the index of the device for unicast packets, 0 if any.
pub(crate) fn unicast(sock: &Sock) -> u32 {
    sock.inet().map_or(0, |inet| inet.uc_index().unsigned_abs())
}

/// Returns the index of the device for multicast packets, 0 if any, and their source address.
pub(crate) fn multicast(sock: &Sock) -> (u32, Ipv4Addr) {
    sock.inet().map_or((0, Ipv4Addr::UNSPECIFIED), |inet| {
        (inet.mc_index().unsigned_abs(), inet.mc_addr())
    })
}

/// Returns a `struct ip_mreqn`: a group, an address of a device, and the index of the device.
pub(crate) fn mreqn(group: Ipv4Addr, addr: Ipv4Addr, ifindex: u32) -> [u8; 12] {
    let [g, h, i, j] = group.octets();
    let [a, b, c, d] = addr.octets();
    let [k, l, m, n] = ifindex.to_ne_bytes();

    [g, h, i, j, a, b, c, d, k, l, m, n]
}

/// Returns a `struct in_pktinfo`: the index of a device, a source address, and a third part that
/// nobody looks at who sends.
pub(crate) fn pktinfo(ifindex: u32, source: Ipv4Addr) -> [u8; 12] {
    let [k, l, m, n] = ifindex.to_ne_bytes();
    let [a, b, c, d] = source.octets();

    [k, l, m, n, a, b, c, d, 0, 0, 0, 0]
}

/// Writes the device that a socket is bound to: its name, or its index where it has gone.
///
/// The empty name says that it is bound to none.
pub(crate) fn put_bound(ifindex: u32, net: &Net, msg: &AttrWriter) -> Result {
    match put_name(attr::SOCKOPT_BINDTODEVICE, ifindex, net, msg) {
        Err(ENODEV) => msg.put_u32(attr::BOUND_IFINDEX, ifindex),
        result => result,
    }
}

/// Writes the name of a device, which is empty where there is none.
///
/// No option can name a device that has gone, so that such a socket is not carried.
pub(crate) fn put(ty: u16, ifindex: u32, net: &Net, msg: &AttrWriter) -> Result<(), Refusal> {
    put_name(ty, ifindex, net, msg).map_err(|errno| match errno {
        ENODEV => Refusal::new(EOPNOTSUPP, "names a device that is gone"),
        errno => errno.into(),
    })
}

/// Writes the name of a device, which is empty where there is none.
fn put_name(ty: u16, ifindex: u32, net: &Net, msg: &AttrWriter) -> Result {
    if ifindex == 0 {
        return msg.put_string(ty, c"");
    }
    msg.put_string(ty, net.device_name(ifindex)?.as_c_str())
}

/// Reads the name of a device, as an index, which is 0 where there is none.
pub(crate) fn parse(levels: &Levels<'_>, nest: Nest, ty: u16) -> Result<Option<u32>, Refusal> {
    let Some(attr) = levels.get(nest, ty) else {
        return Ok(None);
    };
    name(&attr)
        .and_then(|name| match name.is_empty() {
            true => Ok(Some(0)),
            false => levels.there().device(name).map(Some),
        })
        .map_err(|refusal| nest.blame(refusal, ty))
}

/// Reads the name of a device in an attribute.
///
/// The policies let pass a name with something behind its end.
pub(crate) fn name<'a>(attr: &Attribute<'a>) -> Result<&'a CStr, Refusal> {
    attr.as_str()
        .map_err(|errno| Refusal::new(errno, "not the name of a device"))
}

/// Reads the device that a socket is to be bound to, as an index.
pub(crate) fn parse_bound(levels: &Levels<'_>) -> Result<Option<u32>, Refusal> {
    let name = parse(levels, Nest::None, attr::SOCKOPT_BINDTODEVICE)?;
    let Some(index) = levels.get(Nest::None, attr::BOUND_IFINDEX) else {
        return Ok(name);
    };
    let refuse = |errno, reason| Err(Refusal::new(errno, reason).at(attr::BOUND_IFINDEX));

    if name.is_some() {
        return refuse(EINVAL, "a device by name and by index");
    }
    let index = index.as_u32()?;
    if index == 0 || c_int::try_from(index).is_err() {
        return refuse(ERANGE, "no device can have this index");
    }
    // It would be bound to something else than it was.
    if levels.there().net().device_name(index).is_ok() {
        return refuse(EEXIST, "a device has the index of the one that has gone");
    }
    Ok(Some(index))
}

/// Sets the device that a socket sends by, though the socket may be bound to one.
///
/// Then the kernel takes no other device, and for unicast not even that one. But a socket has both
/// if it was bound afterwards, so it is for a moment not bound, which needs `CAP_NET_RAW`.
pub(crate) fn set(
    socket: &dyn Settable,
    level: c_int,
    optname: c_int,
    value: &[u8],
) -> Result<(), Refusal> {
    let cannot = |errno| Refusal::new(errno, "cannot be set");

    match socket.setsockopt(level, optname, value) {
        Err(EINVAL) if socket.bound_dev_if() != 0 => {
            let ifindex = socket.bound_dev_if();

            // That would take it out of the group, for good, if it is bound to an address.
            if address::has_port(socket) && reuseport::is_shared(socket) {
                return Err(Refusal::new(
                    EBUSY,
                    "would take it out of its SO_REUSEPORT group",
                ));
            }
            socket
                .setsockopt_int(SOL_SOCKET, SO_BINDTOIFINDEX, 0)
                .map_err(cannot)?;
            let result = socket.setsockopt(level, optname, value);

            socket
                .set_back(SOL_SOCKET, SO_BINDTOIFINDEX, &ifindex.to_ne_bytes())
                .and(result)
                .map_err(cannot)
        }
        result => result.map_err(cannot),
    }
}

#[cfg(CONFIG_AF_INET_CR_KUNIT_TEST)]
#[kernel::macros::kunit_tests(af_inet_cr_device)]
mod tests {
    use super::*;

    #[test]
    fn a_request_for_multicast_has_its_parts_in_order() {
        let index = 0x0102_0304_u32.to_ne_bytes();
        let group = Ipv4Addr::new(224, 1, 2, 3);
        let mreqn = mreqn(group, Ipv4Addr::new(10, 11, 12, 13), 0x0102_0304);

        assert_eq!(mreqn[..4], [224, 1, 2, 3]);
        assert_eq!(mreqn[4..8], [10, 11, 12, 13]);
        assert_eq!(mreqn[8..], index);
    }
}
