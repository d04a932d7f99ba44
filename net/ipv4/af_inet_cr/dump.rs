// SPDX-License-Identifier: GPL-2.0

//! `AF_INET_CR_CMD_DUMP`: a socket as a message.

#![forbid(unsafe_code)]

use crate::{
    address::Addresses,
    attr,
    codec::Value,
    options::{
        COUNT,
        OPTIONS, //
    },
    protocol::Protocol,
    refusal::{
        self,
        Refusal, //
    },
    select, //
};

use kernel::{
    fs::file::flags,
    net::{
        netlink::{
            DoOperation,
            GenlMsg,
            OpFlags,
            Policy,
            Request,
            GENLMSG_DEFAULT_SIZE, //
        },
        socket::SocketFile,
        Net, //
    },
    prelude::*,
    uapi, //
};

/// The operation.
pub(crate) struct Dump;

impl DoOperation for Dump {
    // CAST: A small number.
    const CMD: u8 = uapi::AF_INET_CR_CMD_DUMP as u8;
    const FLAGS: OpFlags = OpFlags::UNS_ADMIN_PERM;
    const POLICY: &'static [Policy] = &select::POLICY;

    fn doit(request: &Request<'_>) -> Result {
        dump(request).map_err(|refusal| refusal.tell(request))
    }
}

/// Answers a request.
fn dump(request: &Request<'_>) -> Result<(), Refusal> {
    refusal::repeated(request)?;

    let file = select::select(request)?;
    let snapshot = Snapshot::take(&file)?;

    let mut reply = request.reply(GENLMSG_DEFAULT_SIZE)?;
    snapshot.put(request.net(), &mut reply)?;
    Ok(reply.send()?)
}

/// What a socket was at one moment.
struct Snapshot {
    /// `sk_ino`.
    inode: u64,
    /// `sk_cookie`.
    cookie: u64,
    /// `sk_state`.
    state: u32,
    /// The flags of the open file, in the bits of the interface.
    file_flags: u32,
    /// Addresses and ports.
    addresses: Addresses,
    /// The options, in the order of their table.
    values: [Value; COUNT],
}

impl Snapshot {
    /// Takes a snapshot of a socket that can be dumped as a whole.
    ///
    /// All of it is read with the socket's lock held. The lock keeps away `bind()`, `connect()`, and
    /// what else takes it; the options that are set without it are each read once.
    fn take(file: &SocketFile) -> Result<Snapshot, Refusal> {
        let protocol = Protocol::of(file)?;

        let sock = file.try_lock().map_err(|errno| match errno {
            EBUSY => Refusal::new(EBUSY, "a sender keeps the socket locked, freeze its owner"),
            errno => errno.into(),
        })?;
        if sock.is_dead() {
            return Err(Refusal::new(ENOENT, "the socket is being closed"));
        }
        for level in protocol.uncovered {
            level.permit(&sock)?;
        }
        for level in protocol.uncovered {
            level.check(file, &sock)?;
        }

        let mut values = [Value::Int(0); COUNT];
        for (option, value) in OPTIONS.iter().zip(&mut values) {
            *value = option.read(&sock);
        }

        Ok(Snapshot {
            inode: sock.ino(),
            cookie: sock.cookie(),
            state: sock.state().into(),
            file_flags: match file.file_flags() & flags::O_NONBLOCK {
                0 => 0,
                _ => uapi::af_inet_cr_file_flag_AF_INET_CR_FILE_FLAG_NONBLOCK,
            },
            addresses: Addresses::read(&sock)?,
            values,
        })
    }

    /// Writes the snapshot into a message.
    fn put(&self, net: &Net, msg: &mut GenlMsg) -> Result<(), Refusal> {
        msg.put_uint(attr::INODE, self.inode)?;
        msg.put_uint(attr::COOKIE, self.cookie)?;
        msg.put_u32(attr::SOCK_STATE, self.state)?;
        msg.put_u32(attr::FILE_FLAGS, self.file_flags)?;
        self.addresses.put(msg)?;

        for (option, value) in OPTIONS.iter().zip(self.values) {
            option.put(value, net, msg)?;
        }
        Ok(())
    }
}
