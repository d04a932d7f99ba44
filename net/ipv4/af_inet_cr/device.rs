// SPDX-License-Identifier: GPL-2.0

//! The device that a socket is bound to.
//!
//! A socket has the index of a device, which means nothing in another namespace or after a reboot,
//! hence a message has the name. A device that has gone leaves nothing but its index.

#![forbid(unsafe_code)]

use crate::{
    attr,
    refusal::Refusal, //
};

use kernel::{
    net::{
        netlink::{
            GenlMsg,
            Request, //
        },
        Net, //
    },
    prelude::*, //
};

/// Writes the device that a socket is bound to: its name, or its index where it has gone.
///
/// The empty name says that it is bound to none.
pub(crate) fn put(ifindex: u32, net: &Net, msg: &mut GenlMsg) -> Result {
    if ifindex == 0 {
        return msg.put_string(attr::SOCKOPT_BINDTODEVICE, c"");
    }
    match net.device_name(ifindex) {
        Ok(name) => msg.put_string(attr::SOCKOPT_BINDTODEVICE, name.as_c_str()),
        Err(ENODEV) => msg.put_u32(attr::BOUND_IFINDEX, ifindex),
        Err(errno) => Err(errno),
    }
}

/// Reads the device that a socket is to be bound to, as an index.
pub(crate) fn parse(request: &Request<'_>) -> Result<Option<u32>, Refusal> {
    let name = request.attr(attr::SOCKOPT_BINDTODEVICE);
    let index = request.attr(attr::BOUND_IFINDEX);

    let ifindex = match (name, index) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(
                Refusal::new(EINVAL, "a device by name and by index").at(attr::BOUND_IFINDEX)
            )
        }
        (Some(name), None) => match name.as_str()? {
            name if name.is_empty() => 0,
            name => request.net().device_index(name).ok_or(
                Refusal::new(ENODEV, "no device has this name").at(attr::SOCKOPT_BINDTODEVICE),
            )?,
        },
        (None, Some(index)) => {
            let index = index.as_u32()?;

            if index == 0 || c_int::try_from(index).is_err() {
                return Err(
                    Refusal::new(ERANGE, "no device can have this index").at(attr::BOUND_IFINDEX)
                );
            }
            // It would be bound to something else than it was.
            if request.net().device_name(index).is_ok() {
                return Err(Refusal::new(
                    EEXIST,
                    "a device has the index of the one that has gone",
                )
                .at(attr::BOUND_IFINDEX));
            }
            index
        }
    };
    Ok(Some(ifindex))
}
