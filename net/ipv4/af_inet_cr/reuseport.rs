// SPDX-License-Identifier: GPL-2.0

//! The classic program of a group of sockets that share a port, and the place of a socket in it.
//!
//! The group comes back by itself when its sockets are restored on one port (`SO_REUSEPORT`), in
//! the order of their places. The first one brings the program. The others find it there: with one
//! of its own before it is bound, a socket cannot join.

#![forbid(unsafe_code)]

use crate::{
    attr,
    consts::{
        SOL_SOCKET,
        SO_ATTACH_REUSEPORT_CBPF, //
    },
    filter,
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
            Request, //
        },
        socket::{
            FilterInsn,
            LockedSocket,
            Sock,
            Socket, //
        },
    },
    prelude::*,
    transmute::AsBytes, //
};

/// What the program is called.
const NAME: &str = "SO_ATTACH_REUSEPORT_CBPF";

/// Returns whether a socket is in a group with others, or in one that has a program.
pub(crate) fn is_shared(sock: &Sock) -> bool {
    match sock.reuseport_len() {
        0 => false,
        1 => !matches!(sock.reuseport_filter(), Ok(None)),
        _ => true,
    }
}

/// The program of a group, if it has one.
pub(crate) struct Program(Option<KVec<FilterInsn>>);

impl Program {
    /// Returns the program of the group of a socket, or refuses the socket for its kind, unless
    /// that may be lost.
    pub(crate) fn of(sock: &Sock, losses: &mut Losses) -> Result<Program, Refusal> {
        match sock.reuseport_filter() {
            Ok(program) => Ok(Program(program)),
            Err(EACCES) => {
                losses.lose(&loss::EBPF_REUSEPORT, "an eBPF SO_REUSEPORT program")?;
                Ok(Program(None))
            }
            Err(EBUSY) => Err(Refusal::new(EBUSY, "is being replaced").about(NAME)),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Returns how much room in a message the program takes.
    pub(crate) fn room(&self) -> usize {
        self.bytes().len()
    }

    /// Writes the program into a message, and the place of the socket in its group.
    pub(crate) fn put(&self, sock: &Sock, msg: &AttrWriter) -> Result<(), Refusal> {
        if let Some(index) = sock.reuseport_index() {
            // It stays in the group without the option, but could not come into it, nor could
            // those behind it. One that is alone there has nothing to come into: CRIU makes such
            // sockets.
            if !sock.reuseport() {
                if sock.reuseport_len() == 1 && self.0.is_none() {
                    return Ok(());
                }
                let reason = "was switched off in a group that shares the port";
                return Err(Refusal::new(EOPNOTSUPP, reason).about("SO_REUSEPORT"));
            }
            // CAST: A group counts its sockets in 16 bits.
            msg.put_u32(attr::REUSEPORT_INDEX, index as u32)?;
        }
        if self.0.is_some() {
            msg.put_bytes(attr::REUSEPORT_FILTER, self.bytes())?;
        }
        Ok(())
    }

    /// Returns the instructions.
    fn bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default().as_bytes()
    }

    /// Reads the program in a message.
    pub(crate) fn parse(request: &Request<'_>) -> Result<Program, Refusal> {
        let attr = request.attr(attr::REUSEPORT_FILTER);
        let program = attr.map(|attr| filter::parse_insns(&attr)).transpose()?;
        Ok(Program(program))
    }

    /// Attaches the program to a new socket that has its address, unless there are others in its
    /// group: they have brought theirs.
    pub(crate) fn restore(&self, socket: &mut Socket) -> Result<(), Refusal> {
        let Some(insns) = &self.0 else {
            return Ok(());
        };
        // One that comes right after this gets the program: it has the same user, and could attach
        // one itself.
        if socket.reuseport_len() > 1 {
            return Ok(());
        }
        // The option itself takes the instructions from user memory.
        socket
            .security_setsockopt(SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF)
            .and_then(|()| socket.attach_reuseport_filter(insns))
            .map_err(cannot)
    }

    /// Attaches the program to the group of a socket in use, unless it has it. Any socket of the
    /// group may do so.
    pub(crate) fn amend(&self, live: &Live<'_>) -> Result<(), Refusal> {
        let Some(insns) = &self.0 else {
            return Ok(());
        };
        let mut sock = live.locked().map_err(cannot)?;

        if self.is_of(&sock).unwrap_or(false) {
            return Ok(());
        }
        live.file()
            .security_setsockopt(SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF)
            .and_then(|()| sock.attach_reuseport_filter(insns))
            .map_err(cannot)
    }

    /// Returns whether the group of a socket has this program. One that is no classic program is
    /// another one.
    fn is_of(&self, sock: &Sock) -> Result<bool> {
        match sock.reuseport_filter() {
            Ok(program) => Ok(Program(program).bytes() == self.bytes()),
            Err(EACCES) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Refuses a socket that has come into a group with another program.
    pub(crate) fn verify(&self, sock: &LockedSocket<'_>) -> Result<(), Refusal> {
        if self.0.is_some() && !self.is_of(sock).map_err(cannot)? {
            return Err(
                Refusal::new(EADDRINUSE, "of the group on this port is another one")
                    .about(NAME)
                    .at(attr::REUSEPORT_FILTER),
            );
        }
        Ok(())
    }
}

/// The refusal of a program that cannot be attached.
fn cannot(errno: Error) -> Refusal {
    filter::cannot_attach(errno)
        .about(NAME)
        .at(attr::REUSEPORT_FILTER)
}
