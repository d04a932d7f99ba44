// SPDX-License-Identifier: GPL-2.0

//! The classic filter of a socket.

#![forbid(unsafe_code)]

use crate::{
    attr,
    consts::{
        SOL_SOCKET,
        SO_ATTACH_FILTER, //
    },
    internals,
    live::Live,
    loss::{
        self,
        Losses, //
    },
    refusal::Refusal, //
};

use kernel::{
    net::{
        netlink::{
            AttrWriter,
            Attribute,
            Policy,
            Request, //
        },
        socket::{
            FilterInsn,
            LockedSocket,
            Socket, //
        },
    },
    prelude::*,
    transmute::AsBytes, //
};

/// The longest filter, in bytes.
const MAX_LEN: usize = FilterInsn::MAX * FilterInsn::SIZE;

/// The policy of `AF_INET_CR_ATTR_SOCKOPT_FILTER`.
pub(crate) const fn policy() -> Policy {
    // CAST: 32 KiB.
    Policy::binary_max(MAX_LEN as u16)
}

/// Reads the instructions of a classic program.
pub(crate) fn parse_insns(attr: &Attribute<'_>) -> Result<KVec<FilterInsn>, Refusal> {
    let chunks = attr.as_bytes().chunks_exact(FilterInsn::SIZE);
    if chunks.len() == 0 || !chunks.remainder().is_empty() {
        return Err(
            Refusal::new(EINVAL, "a filter is made of whole instructions").at(attr.type_()),
        );
    }

    let mut insns = KVec::with_capacity(chunks.len(), GFP_KERNEL)?;
    for bytes in chunks {
        let bytes = bytes.try_into().map_err(|_| EINVAL)?;
        insns.push(FilterInsn::from_ne_bytes(bytes), GFP_KERNEL)?;
    }
    Ok(insns)
}

/// The filter of a socket, if it has one.
pub(crate) struct Filter(Option<KVec<FilterInsn>>);

/// Refuses a socket for the kind of its filter, unless that may be lost.
pub(crate) fn check(sock: &LockedSocket<'_>, losses: &mut Losses) -> Result<(), Refusal> {
    match sock.filter() {
        Ok(_) => Ok(()),
        Err(EACCES) => losses.lose(&loss::EBPF_FILTER, "an eBPF filter"),
        Err(errno) => Err(errno.into()),
    }
}

/// Returns the bytes of the classic filter of a socket, if it has one.
fn of<'a>(sock: &'a LockedSocket<'_>) -> Option<&'a [u8]> {
    Some(sock.filter().ok()??.as_bytes())
}

/// Returns how much room in a message the filter of a socket takes.
pub(crate) fn room(sock: &LockedSocket<'_>) -> usize {
    of(sock).map_or(0, <[u8]>::len)
}

/// Writes the filter of a socket, which has passed [`check`], into a message.
pub(crate) fn put(sock: &LockedSocket<'_>, msg: &AttrWriter) -> Result {
    match of(sock) {
        Some(insns) => msg.put_bytes(attr::SOCKOPT_FILTER, insns),
        None => Ok(()),
    }
}

impl Filter {
    /// Reads the filter in a message.
    pub(crate) fn parse(request: &Request<'_>) -> Result<Filter, Refusal> {
        let attr = request.attr(attr::SOCKOPT_FILTER);
        Ok(Filter(attr.map(|attr| parse_insns(&attr)).transpose()?))
    }

    /// Attaches the filter to a new socket, in the place of the one that it has, if it has one.
    pub(crate) fn restore(&self, socket: &mut Socket) -> Result<(), Refusal> {
        let Some(insns) = &self.0 else {
            return Ok(());
        };
        // The option itself takes the instructions from user memory.
        socket
            .security_setsockopt(SOL_SOCKET, SO_ATTACH_FILTER)
            .and_then(|()| socket.attach_filter(insns))
            .map_err(cannot)
    }

    /// Attaches the filter to a socket in use, unless it has it.
    pub(crate) fn amend(&self, live: &Live<'_>) -> Result<(), Refusal> {
        let Some(insns) = &self.0 else {
            return Ok(());
        };
        let mut sock = live.locked().map_err(cannot)?;

        // One that is no classic filter is another one.
        if let Ok(Some(actual)) = sock.filter() {
            if actual.as_bytes() == insns.as_bytes() {
                return Ok(());
            }
        }
        live.file()
            .security_setsockopt(SOL_SOCKET, SO_ATTACH_FILTER)
            .and_then(|()| sock.attach_filter(insns))
            .map_err(cannot)
    }

    /// Attaches the filter in the place of the one that keeps everything out.
    pub(crate) fn replace(&self, socket: &mut Socket) -> Result<(), Refusal> {
        match self.0 {
            Some(_) => self.restore(socket)?,
            None => socket.detach_filter()?,
        }
        internals::forget_drops(socket);
        Ok(())
    }
}

/// The refusal of a filter that cannot be attached.
fn cannot(errno: Error) -> Refusal {
    cannot_attach(errno)
        .about("SO_ATTACH_FILTER")
        .at(attr::SOCKOPT_FILTER)
}

/// The refusal of a program that cannot be attached.
pub(crate) fn cannot_attach(errno: Error) -> Refusal {
    let reason = match errno {
        // One error for both.
        ENOMEM => "has no memory, or is above optmem_max",
        _ => "cannot be set",
    };
    Refusal::new(errno, reason)
}
