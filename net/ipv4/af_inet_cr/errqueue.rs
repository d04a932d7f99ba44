// SPDX-License-Identifier: GPL-2.0

//! What makes a queued datagram an error, or a time stamp of what was sent (`MSG_ERRQUEUE`).
//!
//! The origin decides which of the attributes of a datagram there are: those that a reader of the
//! error queue can be told of.

#![forbid(unsafe_code)]

use crate::{
    attr::datagram,
    datagram::{
        self as whole,
        Fields, //
    },
    refusal::Refusal, //
};

use kernel::{
    net::{
        netlink::AttrWriter,
        socket::{
            DatagramInfo,
            ErrorInfo,
            ErrorOrigin,
            LockedSocket,
            NewError,
            QueuedErrors, //
        },
    },
    prelude::*,
    uapi, //
};

static_assert!(
    ErrorOrigin::Local.number() as u32
        == uapi::af_inet_cr_error_origin_AF_INET_CR_ERROR_ORIGIN_LOCAL
);
static_assert!(
    ErrorOrigin::Icmp.number() as u32 == uapi::af_inet_cr_error_origin_AF_INET_CR_ERROR_ORIGIN_ICMP
);
static_assert!(
    ErrorOrigin::Timestamping.number() as u32
        == uapi::af_inet_cr_error_origin_AF_INET_CR_ERROR_ORIGIN_TIMESTAMPING
);
static_assert!(
    ErrorOrigin::Zerocopy.number() as u32
        == uapi::af_inet_cr_error_origin_AF_INET_CR_ERROR_ORIGIN_ZEROCOPY
);

/// Returns the errors of a socket, or refuses one that has what is not carried.
pub(crate) fn read<'a>(sock: &LockedSocket<'a>) -> Result<QueuedErrors<'a>, Refusal> {
    let errors = sock.errors().map_err(whole::unusual)?;

    if errors.awaits_zerocopy() {
        return Err(not_carried("a MSG_ZEROCOPY send that is not complete"));
    }
    for error in errors.iter() {
        error.info().map_err(not_carried)?;
    }
    Ok(errors)
}

/// Refuses a socket because of what is in its error queue.
pub(crate) fn not_carried(name: &'static str) -> Refusal {
    Refusal::new(EOPNOTSUPP, "is queued and not carried yet").about(name)
}

/// What every error has.
const ALWAYS: &[u16] = &[datagram::LEN, datagram::ERROR_ORIGIN];

/// What every IP header has.
const HEADER: &[u16] = &[
    datagram::SOURCE_ADDR,
    datagram::DEST_ADDR,
    datagram::TTL,
    datagram::TOS,
];

/// Where what failed was sent to.
const NAME: &[u16] = &[datagram::ERROR_ADDR, datagram::ERROR_PORT];

/// What only errors have, beside their origin.
const ONLY: &[u16] = &[
    datagram::ERROR_ADDR,
    datagram::ERROR_PORT,
    datagram::ERROR_ERRNO,
    datagram::ERROR_TYPE,
    datagram::ERROR_CODE,
    datagram::ERROR_INFO,
    datagram::ERROR_DATA,
    datagram::ERROR_RFC4884_LEN,
    datagram::ERROR_RFC4884_FLAGS,
];

/// What an error must have, and what else it can have.
struct Shape {
    must: [&'static [u16]; 3],
    can: &'static [u16],
}

impl Shape {
    /// The shape of errors of an origin. A time stamp tells of the packet only if it has a device.
    const fn of(origin: ErrorOrigin, has_device: bool) -> Shape {
        match (origin, has_device) {
            (ErrorOrigin::Local, _) => Shape {
                must: [ALWAYS, NAME, &[]],
                can: &[datagram::ERROR_ERRNO, datagram::ERROR_INFO],
            },
            (ErrorOrigin::Icmp, _) => Shape {
                must: [ALWAYS, NAME, HEADER],
                can: &[
                    datagram::PKTINFO_ADDR,
                    datagram::PKTINFO_IFNAME,
                    datagram::PKTINFO_IFINDEX,
                    datagram::TSTAMP,
                    datagram::HWTSTAMP,
                    datagram::OPTIONS,
                    datagram::FRAG_MAX_SIZE,
                    datagram::CSUM,
                    datagram::ERROR_ERRNO,
                    datagram::ERROR_TYPE,
                    datagram::ERROR_CODE,
                    datagram::ERROR_INFO,
                    datagram::ERROR_RFC4884_LEN,
                    datagram::ERROR_RFC4884_FLAGS,
                ],
            },
            (ErrorOrigin::Timestamping, false) => Shape {
                must: [ALWAYS, &[datagram::ERROR_ERRNO], &[]],
                can: &[
                    datagram::TSTAMP,
                    datagram::HWTSTAMP,
                    datagram::ERROR_INFO,
                    datagram::ERROR_DATA,
                ],
            },
            (ErrorOrigin::Timestamping, true) => Shape {
                must: [
                    ALWAYS,
                    HEADER,
                    &[datagram::ERROR_ERRNO, datagram::DEST_PORT],
                ],
                can: &[
                    datagram::PKTINFO_IFNAME,
                    datagram::PKTINFO_IFINDEX,
                    datagram::TSTAMP,
                    datagram::HWTSTAMP,
                    datagram::CSUM,
                    datagram::ERROR_INFO,
                    datagram::ERROR_DATA,
                ],
            },
            (ErrorOrigin::Zerocopy, _) => Shape {
                must: [ALWAYS, &[], &[]],
                can: &[
                    datagram::ERROR_CODE,
                    datagram::ERROR_INFO,
                    datagram::ERROR_DATA,
                ],
            },
        }
    }

    /// Returns all that must be there.
    fn must(&self) -> impl Iterator<Item = u16> + '_ {
        self.must.iter().flat_map(|types| types.iter().copied())
    }

    /// Tells whether it can have an attribute.
    fn has(&self, ty: u16) -> bool {
        self.can.contains(&ty) || self.must().any(|must| must == ty)
    }
}

/// Writes what a datagram has because it is an error, and those attributes of all datagrams that
/// are not left out when they are 0.
pub(crate) fn put(error: &ErrorInfo, info: &DatagramInfo, nest: &AttrWriter) -> Result {
    let shape = Shape::of(error.origin, info.ifindex != 0);

    nest.put_u32(datagram::ERROR_ORIGIN, error.origin.number().into())?;
    if shape.has(datagram::SOURCE_ADDR) {
        whole::put_addresses(info, nest)?;
    }
    if shape.has(datagram::DEST_PORT) {
        nest.put_be16(datagram::DEST_PORT, info.dest.port())?;
    }
    if shape.has(datagram::ERROR_ADDR) {
        nest.put_bytes(datagram::ERROR_ADDR, &error.dest.ip().octets())?;
        nest.put_be16(datagram::ERROR_PORT, error.dest.port())?;
    }
    whole::put_numbers(
        nest,
        &[
            (datagram::ERROR_ERRNO, error.errno),
            (datagram::ERROR_TYPE, error.type_.into()),
            (datagram::ERROR_CODE, error.code.into()),
            (datagram::ERROR_INFO, error.info),
            (datagram::ERROR_DATA, error.data),
            (datagram::ERROR_RFC4884_LEN, error.rfc4884_len.into()),
            (datagram::ERROR_RFC4884_FLAGS, error.rfc4884_flags.into()),
        ],
    )
}

/// Reads what makes a datagram an error, if anything does.
pub(crate) fn parse(fields: &Fields<'_>) -> Result<Option<ErrorInfo>, Refusal> {
    if !fields.has(datagram::ERROR_ORIGIN) {
        if !ONLY.iter().any(|ty| fields.has(*ty)) {
            return Ok(None);
        }
        // The first of them is told.
        return match fields.types()?.find(|ty| ONLY.contains(ty)) {
            Some(ty) => Err(fields.wrong(EINVAL, ty, "belongs to an error, which has an origin")),
            None => Ok(None),
        };
    }
    let origin = fields.number(datagram::ERROR_ORIGIN)?;
    let origin = ErrorOrigin::from_number(origin).ok_or_else(|| {
        fields.wrong(
            EOPNOTSUPP,
            datagram::ERROR_ORIGIN,
            "no such error is carried",
        )
    })?;

    let has_device =
        fields.has(datagram::PKTINFO_IFNAME) || fields.number(datagram::PKTINFO_IFINDEX)? != 0;
    let shape = Shape::of(origin, has_device);
    if let Some(ty) = fields.types()?.find(|ty| !shape.has(*ty)) {
        return Err(fields.wrong(EINVAL, ty, "does not belong to an error of this origin"));
    }
    for ty in shape.must() {
        fields.required(ty, "an error of this origin has more to it")?;
    }

    Ok(Some(ErrorInfo {
        origin,
        errno: fields.number(datagram::ERROR_ERRNO)?,
        // CAST: The policy has a byte for these.
        type_: fields.number(datagram::ERROR_TYPE)? as u8,
        code: fields.number(datagram::ERROR_CODE)? as u8,
        info: fields.number(datagram::ERROR_INFO)?,
        data: fields.number(datagram::ERROR_DATA)?,
        rfc4884_len: fields.size(datagram::ERROR_RFC4884_LEN, 0)?,
        rfc4884_flags: fields.number(datagram::ERROR_RFC4884_FLAGS)? as u8,
        dest: fields.endpoint(datagram::ERROR_ADDR, datagram::ERROR_PORT)?,
    }))
}

/// Refuses an error that the kernel would not make.
pub(crate) fn check(
    error: &ErrorInfo,
    info: &DatagramInfo,
    fields: &Fields<'_>,
) -> Result<(), Refusal> {
    if info.len > NewError::MAX_LEN {
        return Err(fields.wrong(ERANGE, datagram::LEN, "longer than a packet can be"));
    }
    match error.is_possible(info) {
        true => Ok(()),
        false => Err(fields.wrong(
            EINVAL,
            datagram::ERROR_ORIGIN,
            "no error of this origin has such a length, number or code",
        )),
    }
}
