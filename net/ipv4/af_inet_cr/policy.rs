// SPDX-License-Identifier: GPL-2.0

//! The policies of what is in the nests of a message.
//!
//! Those of the options come from the option table.

#![forbid(unsafe_code)]

use crate::{
    attr,
    options::{
        Nest,
        OPTIONS, //
    },
};

use kernel::{
    net::netlink::Policy,
    uapi, //
};

/// The longest address.
const ADDR_MAX: u16 = 16;

/// An IPv4 or IPv6 address. `address.rs` checks its length.
pub(crate) const fn addr() -> Policy {
    Policy::binary_max(ADDR_MAX)
}

/// The name of a device. `IFNAMSIZ` counts the NUL behind it, a policy does not.
pub(crate) const fn ifname() -> Policy {
    // CAST: A small number.
    const MAX: u16 = uapi::IFNAMSIZ as u16 - 1;

    Policy::nul_string(MAX)
}

/// What is in `AF_INET_CR_ATTR_SOCKOPT_LINGER`.
pub(crate) static LINGER: [Policy; attr::linger::TIME as usize + 1] = {
    let mut table = [Policy::rejected(); attr::linger::TIME as usize + 1];
    table[attr::linger::ONOFF as usize] = Policy::u32_range(0, 1);
    table[attr::linger::TIME as usize] = Policy::sint();
    table
};

/// What is in `AF_INET_CR_ATTR_SOCKOPT_TIMESTAMPING`.
pub(crate) static TIMESTAMPING: [Policy; attr::timestamping::NEW as usize + 1] = {
    let mut table = [Policy::rejected(); attr::timestamping::NEW as usize + 1];
    table[attr::timestamping::FLAGS as usize] = Policy::u32();
    table[attr::timestamping::BIND_PHC as usize] = Policy::s32();
    table[attr::timestamping::NEW as usize] = Policy::u32_range(0, 1);
    table
};

/// What is in `AF_INET_CR_ATTR_SOCKOPT_TXTIME`.
pub(crate) static TXTIME: [Policy; attr::txtime::FLAGS as usize + 1] = {
    let mut table = [Policy::rejected(); attr::txtime::FLAGS as usize + 1];
    table[attr::txtime::CLOCKID as usize] = Policy::s32();
    table[attr::txtime::FLAGS as usize] = Policy::u32();
    table
};

/// What is in `AF_INET_CR_ATTR_MEMBERSHIP`.
pub(crate) static MEMBERSHIP: [Policy; attr::membership::SOURCE as usize + 1] = {
    let mut table = [Policy::rejected(); attr::membership::SOURCE as usize + 1];
    table[attr::membership::GROUP as usize] = addr();
    table[attr::membership::IFNAME as usize] = ifname();
    table[attr::membership::ADDRESS as usize] = addr();
    table[attr::membership::EXCLUDE as usize] = Policy::u32_range(0, 1);
    table[attr::membership::SOURCE as usize] = addr();
    table
};

/// The numbers of policies of the nests with options.
pub(crate) const IP_LEN: usize = last(Nest::Ip) + 1;
pub(crate) const UDP_LEN: usize = last(Nest::Udp) + 1;

/// What is in `AF_INET_CR_ATTR_IP`.
pub(crate) static IP: [Policy; IP_LEN] = {
    let mut table = of_options::<IP_LEN>(Nest::Ip);
    table[attr::ip::MULTICAST_ADDR as usize] = addr();
    table
};

/// What is in `AF_INET_CR_ATTR_UDP`.
pub(crate) static UDP: [Policy; UDP_LEN] = of_options::<UDP_LEN>(Nest::Udp);

impl Nest {
    /// The attribute that holds the options of the level, unless the message itself does.
    pub(crate) const fn attr(self) -> Option<u16> {
        match self {
            Nest::None => None,
            Nest::Ip => Some(attr::IP),
            Nest::Udp => Some(attr::UDP),
        }
    }

    /// The attribute of the level with bits. Behind it is which of them were saved.
    pub(crate) const fn bits(self) -> u16 {
        match self {
            Nest::None => attr::SOCKOPT_FLAGS,
            Nest::Ip => attr::ip::FLAGS,
            Nest::Udp => attr::udp::FLAGS,
        }
    }

    /// The policies of what is in that attribute.
    pub(crate) const fn policies(self) -> &'static [Policy] {
        match self {
            Nest::None => &[],
            Nest::Ip => &IP,
            Nest::Udp => &UDP,
        }
    }
}

/// The highest number of an attribute with an option of a level.
pub(crate) const fn last(nest: Nest) -> usize {
    let mut last = 0;
    let mut i = 0;

    while i < OPTIONS.len() {
        let row = &OPTIONS[i];
        // Behind the bits is which of them were saved.
        let attr = row.attr as usize + (row.bit != 0) as usize;

        if row.nest as u8 == nest as u8 && attr > last {
            last = attr;
        }
        i += 1;
    }
    last
}

/// The policies of the attributes with options of a level, and of no others.
pub(crate) const fn of_options<const N: usize>(nest: Nest) -> [Policy; N] {
    let mut table = [Policy::rejected(); N];
    let mut bits = 0;
    let mut bits_attr = 0;
    let mut i = 0;

    while i < OPTIONS.len() {
        let row = &OPTIONS[i];

        if row.nest as u8 == nest as u8 {
            if row.bit == 0 {
                table[row.attr as usize] = row.policy();
            } else {
                bits |= row.bit;
                bits_attr = row.attr as usize;
            }
        }
        i += 1;
    }
    if bits != 0 {
        table[bits_attr] = Policy::u32_mask(bits);
        table[bits_attr + 1] = Policy::u32_mask(bits);
    }
    table
}
