// SPDX-License-Identifier: GPL-2.0

//! A queued datagram, without its payload.

#![forbid(unsafe_code)]

use crate::{
    address,
    attr::{
        self,
        datagram, //
    },
    codec,
    policy,
    refusal::Refusal, //
};

use kernel::{
    net::{
        netlink::{
            AttrWriter,
            Attribute,
            Attributes,
            Policy, //
        },
        socket::{
            DatagramInfo,
            IpOptions, //
        },
        Net, //
    },
    prelude::*, //
};

use core::net::{
    Ipv4Addr,
    SocketAddrV4, //
};

/// What is in `AF_INET_CR_ATTR_DATAGRAM`.
pub(crate) static POLICY: [Policy; datagram::PEEKED as usize + 1] = {
    let mut table = [Policy::rejected(); datagram::PEEKED as usize + 1];
    table[datagram::LEN as usize] = Policy::u32();
    table[datagram::SOURCE_ADDR as usize] = policy::addr();
    table[datagram::SOURCE_PORT as usize] = Policy::be16();
    table[datagram::DEST_ADDR as usize] = policy::addr();
    table[datagram::DEST_PORT as usize] = Policy::be16();
    table[datagram::PKTINFO_ADDR as usize] = policy::addr();
    table[datagram::PKTINFO_IFNAME as usize] = Policy::nul_string(15);
    table[datagram::PKTINFO_IFINDEX as usize] = Policy::u32();
    table[datagram::TSTAMP as usize] = Policy::sint();
    table[datagram::HWTSTAMP as usize] = Policy::sint();
    table[datagram::TTL as usize] = Policy::u32_range(0, u8::MAX as i16);
    table[datagram::TOS as usize] = Policy::u32_range(0, u8::MAX as i16);
    // CAST: 40.
    table[datagram::OPTIONS as usize] = Policy::binary_max(IpOptions::MAX as u16);
    table[datagram::FRAG_MAX_SIZE as usize] = Policy::u32();
    table[datagram::GSO_SIZE as usize] = Policy::u32();
    table[datagram::MARK as usize] = Policy::u32();
    table[datagram::PRIORITY as usize] = Policy::u32();
    table[datagram::DROPCOUNT as usize] = Policy::u32();
    table[datagram::CSUM as usize] = Policy::u32();
    table[datagram::PEEKED as usize] = Policy::u32_range(0, 1);
    table
};

/// Writes what a socket knows of a datagram into a message.
///
/// What is zero on most of them is left out then.
pub(crate) fn put(info: &DatagramInfo, net: &Net, msg: &AttrWriter) -> Result {
    msg.nest(attr::DATAGRAM, |nest| {
        nest.put_u32(datagram::LEN, info.len)?;
        nest.put_bytes(datagram::SOURCE_ADDR, &info.source.ip().octets())?;
        nest.put_be16(datagram::SOURCE_PORT, info.source.port())?;
        nest.put_bytes(datagram::DEST_ADDR, &info.dest.ip().octets())?;
        nest.put_be16(datagram::DEST_PORT, info.dest.port())?;
        nest.put_u32(datagram::TTL, info.ttl.into())?;
        nest.put_u32(datagram::TOS, info.tos.into())?;

        if !info.spec_dst.is_unspecified() {
            nest.put_bytes(datagram::PKTINFO_ADDR, &info.spec_dst.octets())?;
        }
        if info.ifindex != 0 {
            // Of one that is gone, the index is all that is left.
            if let Ok(name) = net.device_name(info.ifindex) {
                nest.put_string(datagram::PKTINFO_IFNAME, name.as_c_str())?;
            }
        }
        if !info.options.as_bytes().is_empty() {
            nest.put_bytes(datagram::OPTIONS, info.options.as_bytes())?;
        }
        for (ty, value) in [
            (datagram::TSTAMP, info.tstamp),
            (datagram::HWTSTAMP, info.hwtstamp),
        ] {
            if value != 0 {
                nest.put_sint(ty, value)?;
            }
        }
        for (ty, value) in [
            (datagram::PKTINFO_IFINDEX, info.ifindex),
            (datagram::FRAG_MAX_SIZE, info.frag_max_size.into()),
            (datagram::GSO_SIZE, info.gso_size.into()),
            (datagram::MARK, info.mark),
            (datagram::PRIORITY, info.priority),
            (datagram::DROPCOUNT, info.dropcount),
            (datagram::PEEKED, info.peeked.into()),
        ] {
            if value != 0 {
                nest.put_u32(ty, value)?;
            }
        }
        match info.csum {
            Some(csum) => nest.put_u32(datagram::CSUM, csum),
            None => Ok(()),
        }
    })
}

/// Reads what a socket is to know of a datagram.
pub(crate) fn parse(attr: &Attribute<'_>, net: &Net) -> Result<DatagramInfo, Refusal> {
    let fields = Fields {
        attr,
        nest: codec::open_nest(attr, &POLICY, &[])?,
    };
    let options = match fields.nest.get(datagram::OPTIONS) {
        Some(attr) => attr.as_bytes(),
        None => &[],
    };
    if options.len() % 4 != 0 {
        return Err(fields.wrong(EINVAL, datagram::OPTIONS, "not whole words of IP options"));
    }

    Ok(DatagramInfo {
        len: fields.required(datagram::LEN)?.as_u32()?,
        source: SocketAddrV4::new(
            fields.addr(&fields.required(datagram::SOURCE_ADDR)?)?,
            fields.required(datagram::SOURCE_PORT)?.as_be16()?,
        ),
        dest: SocketAddrV4::new(
            fields.addr(&fields.required(datagram::DEST_ADDR)?)?,
            fields.required(datagram::DEST_PORT)?.as_be16()?,
        ),
        // CAST: The policy has a byte for both.
        ttl: fields.required(datagram::TTL)?.as_u32()? as u8,
        tos: fields.required(datagram::TOS)?.as_u32()? as u8,
        options: IpOptions::from_bytes(options).ok_or(EINVAL)?,
        ifindex: fields.device(net)?,
        spec_dst: match fields.nest.get(datagram::PKTINFO_ADDR) {
            Some(attr) => fields.addr(&attr)?,
            None => Ipv4Addr::UNSPECIFIED,
        },
        tstamp: fields.time(datagram::TSTAMP)?,
        hwtstamp: fields.time(datagram::HWTSTAMP)?,
        frag_max_size: fields.size(datagram::FRAG_MAX_SIZE, 0)?,
        gso_size: fields.size(datagram::GSO_SIZE, 1)?,
        mark: fields.number(datagram::MARK)?,
        priority: fields.number(datagram::PRIORITY)?,
        dropcount: fields.number(datagram::DROPCOUNT)?,
        csum: match fields.nest.get(datagram::CSUM) {
            Some(attr) => Some(attr.as_u32()?),
            None => None,
        },
        peeked: fields.number(datagram::PEEKED)? != 0,
    })
}

/// The attributes of a datagram in a message.
struct Fields<'a> {
    /// The attribute that holds them.
    attr: &'a Attribute<'a>,
    /// They.
    nest: Attributes<'a>,
}

impl<'a> Fields<'a> {
    /// Refuses the datagram because of one of them.
    fn wrong(&self, errno: Error, ty: u16, reason: &'static str) -> Refusal {
        Refusal::new(errno, reason).inside(attr::DATAGRAM, ty, &POLICY)
    }

    /// Returns one that must be there.
    fn required(&self, ty: u16) -> Result<Attribute<'a>, Refusal> {
        const WHOLE: &str = "a datagram has a length, addresses, ports, a ttl and a tos";

        codec::required(self.attr, &self.nest, ty, WHOLE)
    }

    /// Reads an address.
    fn addr(&self, attr: &Attribute<'_>) -> Result<Ipv4Addr, Refusal> {
        address::parse_v4(attr)
            .map_err(|refusal| refusal.inside(attr::DATAGRAM, attr.type_(), &POLICY))
    }

    /// Reads a number that is 0 if it is not there.
    fn number(&self, ty: u16) -> Result<u32, Refusal> {
        Ok(self.nest.get(ty).map_or(Ok(0), |attr| attr.as_u32())?)
    }

    /// Reads a size, which is at least `min`, or 0 if it is not there.
    fn size(&self, ty: u16, min: u16) -> Result<u16, Refusal> {
        let Some(attr) = self.nest.get(ty) else {
            return Ok(0);
        };
        match u16::try_from(attr.as_u32()?) {
            Ok(size) if size >= min => Ok(size),
            _ => Err(self.wrong(ERANGE, ty, "is out of range")),
        }
    }

    /// Reads a time that is 0 if it is not there.
    fn time(&self, ty: u16) -> Result<i64, Refusal> {
        Ok(self.nest.get(ty).map_or(Ok(0), |attr| attr.as_sint())?)
    }

    /// Reads which device `IP_PKTINFO` is to report.
    fn device(&self, net: &Net) -> Result<u32, Refusal> {
        let Some(name) = self.nest.get(datagram::PKTINFO_IFNAME) else {
            let ifindex = self.number(datagram::PKTINFO_IFINDEX)?;
            return match c_int::try_from(ifindex) {
                Ok(_) => Ok(ifindex),
                Err(_) => Err(self.wrong(ERANGE, datagram::PKTINFO_IFINDEX, "is out of range")),
            };
        };
        net.device_index(name.as_str()?)
            .ok_or_else(|| self.wrong(ENODEV, datagram::PKTINFO_IFNAME, "no device has this name"))
    }
}
