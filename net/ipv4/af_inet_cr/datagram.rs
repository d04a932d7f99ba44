// SPDX-License-Identifier: GPL-2.0

//! A queued datagram, without its payload. (What makes one an error: `errqueue.rs`.)

#![forbid(unsafe_code)]

use crate::{
    attr::{
        self,
        datagram, //
    },
    codec::{
        self,
        Table, //
    },
    errqueue,
    map::Destination,
    policy,
    refusal::Refusal, //
};

use kernel::{
    net::{
        netlink::{
            AttrWriter,
            Attribute,
            Policy, //
        },
        socket::{
            DatagramInfo,
            ErrorInfo,
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

/// The number of policies of what is in `AF_INET_CR_ATTR_DATAGRAM`.
const LEN: usize = datagram::ERROR_PORT as usize + 1;

/// What is in `AF_INET_CR_ATTR_DATAGRAM`.
pub(crate) static POLICY: [Policy; LEN] = {
    let mut table = [Policy::rejected(); LEN];
    table[datagram::LEN as usize] = Policy::u32();
    table[datagram::SOURCE_ADDR as usize] = policy::addr();
    table[datagram::SOURCE_PORT as usize] = Policy::be16();
    table[datagram::DEST_ADDR as usize] = policy::addr();
    table[datagram::DEST_PORT as usize] = Policy::be16();
    table[datagram::PKTINFO_ADDR as usize] = policy::addr();
    table[datagram::PKTINFO_IFNAME as usize] = policy::ifname();
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
    table[datagram::ERROR_ORIGIN as usize] = Policy::u32();
    table[datagram::ERROR_ERRNO as usize] = Policy::u32_range(0, ErrorInfo::MAX_ERRNO as i16);
    table[datagram::ERROR_TYPE as usize] = Policy::u32_range(0, u8::MAX as i16);
    table[datagram::ERROR_CODE as usize] = Policy::u32_range(0, u8::MAX as i16);
    table[datagram::ERROR_INFO as usize] = Policy::u32();
    table[datagram::ERROR_DATA as usize] = Policy::u32();
    table[datagram::ERROR_RFC4884_LEN as usize] = Policy::u32();
    table[datagram::ERROR_RFC4884_FLAGS as usize] = Policy::u32_range(0, u8::MAX as i16);
    table[datagram::ERROR_ADDR as usize] = policy::addr();
    table[datagram::ERROR_PORT as usize] = Policy::be16();
    table
};

/// Refuses a socket because its queues could not be read.
pub(crate) fn unusual(errno: Error) -> Refusal {
    match errno {
        EOPNOTSUPP => Refusal::new(errno, "the queue is not that of an ordinary UDP socket"),
        errno => errno.into(),
    }
}

/// What a queue has: a datagram, or an error of one.
#[derive(Clone, Copy)]
pub(crate) struct Item {
    /// The datagram.
    pub(crate) datagram: DatagramInfo,
    /// What makes it an error, if it is one.
    pub(crate) error: Option<ErrorInfo>,
}

/// Writes what a socket knows of a datagram into a message.
///
/// What is zero on most of them is left out then.
pub(crate) fn put(item: &Item, net: &Net, msg: &AttrWriter) -> Result {
    let info = &item.datagram;

    msg.nest(attr::DATAGRAM, |nest| {
        nest.put_u32(datagram::LEN, info.len)?;
        match &item.error {
            Some(error) => errqueue::put(error, info, nest)?,
            None => {
                put_addresses(info, nest)?;
                nest.put_be16(datagram::SOURCE_PORT, info.source.port())?;
                nest.put_be16(datagram::DEST_PORT, info.dest.port())?;
            }
        }
        put_others(info, net, nest)
    })
}

/// Writes what every IP header has.
pub(crate) fn put_addresses(info: &DatagramInfo, nest: &AttrWriter) -> Result {
    nest.put_bytes(datagram::SOURCE_ADDR, &info.source.ip().octets())?;
    nest.put_bytes(datagram::DEST_ADDR, &info.dest.ip().octets())?;
    nest.put_u32(datagram::TTL, info.ttl.into())?;
    nest.put_u32(datagram::TOS, info.tos.into())
}

/// Writes what only some datagrams have.
fn put_others(info: &DatagramInfo, net: &Net, nest: &AttrWriter) -> Result {
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
    put_numbers(
        nest,
        &[
            (datagram::PKTINFO_IFINDEX, info.ifindex),
            (datagram::FRAG_MAX_SIZE, info.frag_max_size.into()),
            (datagram::GSO_SIZE, info.gso_size.into()),
            (datagram::MARK, info.mark),
            (datagram::PRIORITY, info.priority),
            (datagram::DROPCOUNT, info.dropcount),
            (datagram::PEEKED, info.peeked.into()),
        ],
    )?;
    match info.csum {
        Some(csum) => nest.put_u32(datagram::CSUM, csum),
        None => Ok(()),
    }
}

/// Writes those numbers that are not 0.
pub(crate) fn put_numbers(nest: &AttrWriter, numbers: &[(u16, u32)]) -> Result {
    numbers
        .iter()
        .filter(|(_, value)| *value != 0)
        .try_for_each(|(ty, value)| nest.put_u32(*ty, *value))
}

/// Reads what a socket is to know of a datagram.
pub(crate) fn parse(attr: &Attribute<'_>, there: &Destination<'_>) -> Result<Item, Refusal> {
    let mut fields = Fields {
        attr,
        there,
        nest: Table::EMPTY,
    };
    fields.nest.fill(attr, &POLICY, &[])?;

    let error = errqueue::parse(&fields)?;
    let options = match fields.nest.get(datagram::OPTIONS) {
        Some(attr) => attr.as_bytes(),
        None => &[],
    };
    if options.len() % 4 != 0 {
        return Err(fields.wrong(EINVAL, datagram::OPTIONS, "not whole words of IP options"));
    }

    if error.is_none() {
        const WHOLE: &str = "a datagram has addresses, ports, a ttl and a tos";

        for ty in [
            datagram::SOURCE_ADDR,
            datagram::SOURCE_PORT,
            datagram::DEST_ADDR,
            datagram::DEST_PORT,
            datagram::TTL,
            datagram::TOS,
        ] {
            fields.required(ty, WHOLE)?;
        }
    }
    let info = DatagramInfo {
        len: fields
            .required(datagram::LEN, "a datagram has a length")?
            .as_u32()?,
        source: fields.endpoint(datagram::SOURCE_ADDR, datagram::SOURCE_PORT)?,
        dest: fields.endpoint(datagram::DEST_ADDR, datagram::DEST_PORT)?,
        // CAST: The policy has a byte for both.
        ttl: fields.number(datagram::TTL)? as u8,
        tos: fields.number(datagram::TOS)? as u8,
        options: IpOptions::from_bytes(options).ok_or(EINVAL)?,
        ifindex: fields.device()?,
        spec_dst: fields.addr(datagram::PKTINFO_ADDR)?,
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
    };
    if info.has_label() && !there.may_label() {
        const LABEL: &str = "a security label needs CAP_MAC_ADMIN in the initial user namespace";
        return Err(fields.wrong(EPERM, datagram::OPTIONS, LABEL));
    }
    if !info.is_label_whole() {
        return Err(fields.wrong(
            EINVAL,
            datagram::OPTIONS,
            "a security label that is cut off",
        ));
    }
    if let Some(error) = &error {
        errqueue::check(error, &info, &fields)?;
    }
    Ok(Item {
        datagram: info,
        error,
    })
}

/// The attributes of a datagram in a message.
pub(crate) struct Fields<'a> {
    /// The attribute that holds them.
    attr: &'a Attribute<'a>,
    /// Where the datagram is restored.
    there: &'a Destination<'a>,
    /// They, by their number.
    nest: Table<'a, LEN>,
}

impl<'a> Fields<'a> {
    /// Refuses the datagram because of one of them.
    pub(crate) fn wrong(&self, errno: Error, ty: u16, reason: &'static str) -> Refusal {
        Refusal::new(errno, reason).inside(attr::DATAGRAM, ty, &POLICY)
    }

    /// Returns the types of all that there are, in the order in which they were sent.
    pub(crate) fn types(&self) -> Result<impl Iterator<Item = u16> + 'a> {
        let nest = self.attr.nested(&POLICY)?;

        Ok(nest.iter().map(|attr| attr.type_()))
    }

    /// Tells whether there is one.
    pub(crate) fn has(&self, ty: u16) -> bool {
        self.nest.get(ty).is_some()
    }

    /// Returns one that must be there.
    pub(crate) fn required(&self, ty: u16, reason: &'static str) -> Result<Attribute<'a>, Refusal> {
        codec::required(self.attr, &self.nest, ty, reason)
    }

    /// Reads an address that is that of nobody if it is not there.
    fn addr(&self, ty: u16) -> Result<Ipv4Addr, Refusal> {
        match self.nest.get(ty) {
            Some(attr) => self
                .there
                .v4(&attr)
                .map_err(|refusal| refusal.inside(attr::DATAGRAM, ty, &POLICY)),
            None => Ok(Ipv4Addr::UNSPECIFIED),
        }
    }

    /// Reads an address and a port; what is not there is 0.
    pub(crate) fn endpoint(&self, addr: u16, port: u16) -> Result<SocketAddrV4, Refusal> {
        let port = self.nest.get(port).map_or(Ok(0), |attr| attr.as_be16())?;

        Ok(SocketAddrV4::new(self.addr(addr)?, port))
    }

    /// Reads a number that is 0 if it is not there.
    pub(crate) fn number(&self, ty: u16) -> Result<u32, Refusal> {
        Ok(self.nest.get(ty).map_or(Ok(0), |attr| attr.as_u32())?)
    }

    /// Reads a size, which is at least `min`, or 0 if it is not there.
    pub(crate) fn size(&self, ty: u16, min: u16) -> Result<u16, Refusal> {
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
    fn device(&self) -> Result<u32, Refusal> {
        let Some(name) = self.nest.get(datagram::PKTINFO_IFNAME) else {
            let ifindex = self.number(datagram::PKTINFO_IFINDEX)?;
            return match c_int::try_from(ifindex) {
                Ok(_) => Ok(ifindex),
                Err(_) => Err(self.wrong(ERANGE, datagram::PKTINFO_IFINDEX, "is out of range")),
            };
        };
        self.there
            .device_of(&name)
            .map_err(|refusal| refusal.inside(attr::DATAGRAM, datagram::PKTINFO_IFNAME, &POLICY))
    }
}
