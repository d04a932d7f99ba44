// SPDX-License-Identifier: GPL-2.0

//! The open file of a socket: its flags, and its owner, who is told by a signal when something
//! happens.

#![forbid(unsafe_code)]

use crate::{
    attr,
    codec,
    live::Live,
    loss::{
        self,
        Losses, //
    },
    refusal::Refusal, //
};

use kernel::{
    fs::file::flags,
    net::{
        netlink::{
            AttrWriter,
            Policy,
            Request, //
        },
        socket::{
            NewOwner,
            Owner,
            OwnerId,
            OwnerType,
            Socket,
            SocketFile, //
        },
    },
    pid_namespace::PidNamespace,
    prelude::*,
    uapi, //
};

/// The flags (`O_*`), and their bits in `AF_INET_CR_ATTR_FILE_FLAGS`.
const FLAGS: [(u32, u32); 2] = [
    (
        flags::O_NONBLOCK,
        uapi::af_inet_cr_file_flag_AF_INET_CR_FILE_FLAG_NONBLOCK,
    ),
    (
        flags::O_ASYNC,
        uapi::af_inet_cr_file_flag_AF_INET_CR_FILE_FLAG_ASYNC,
    ),
];

/// The types of owners, and their numbers.
const TYPES: [(OwnerType, u32); 3] = [
    (
        OwnerType::Thread,
        uapi::af_inet_cr_owner_type_AF_INET_CR_OWNER_TYPE_TID,
    ),
    (
        OwnerType::Process,
        uapi::af_inet_cr_owner_type_AF_INET_CR_OWNER_TYPE_PID,
    ),
    (
        OwnerType::Group,
        uapi::af_inet_cr_owner_type_AF_INET_CR_OWNER_TYPE_PGRP,
    ),
];

/// The policy of `AF_INET_CR_ATTR_FILE_FLAGS`.
pub(crate) const fn policy() -> Policy {
    Policy::u32_mask(FLAGS[0].1 | FLAGS[1].1)
}

/// What is in `AF_INET_CR_ATTR_OWNER`.
pub(crate) static OWNER: [Policy; attr::owner::SIGNUM as usize + 1] = {
    let mut table = [Policy::rejected(); attr::owner::SIGNUM as usize + 1];
    // CAST: Small numbers.
    table[attr::owner::TYPE as usize] = Policy::u32_range(TYPES[0].1 as i16, TYPES[2].1 as i16);
    table[attr::owner::ID as usize] = Policy::u32();
    table[attr::owner::SIGNUM as usize] = Policy::u32();
    table
};

/// Writes what the open file of a socket is like into a message.
pub(crate) fn put(
    file: &SocketFile,
    pid_ns: &PidNamespace,
    losses: &mut Losses,
    msg: &AttrWriter,
) -> Result<(), Refusal> {
    let flags = file.file_flags();
    let bits = FLAGS
        .iter()
        .filter(|(flag, _)| flags & flag != 0)
        .fold(0, |bits, (_, bit)| bits | bit);

    msg.put_u32(attr::FILE_FLAGS, bits)?;
    put_owner(file, pid_ns, losses, msg)
}

/// Writes the owner of an open socket into a message, if it has ever had one.
fn put_owner(
    file: &SocketFile,
    pid_ns: &PidNamespace,
    losses: &mut Losses,
    msg: &AttrWriter,
) -> Result<(), Refusal> {
    let Some(owner) = file.owner(pid_ns) else {
        return Ok(());
    };
    let id = match owner.id {
        OwnerId::None => 0,
        OwnerId::Number(id) => id,
        OwnerId::Hidden => {
            return losses.lose(&loss::OWNER, "a process of F_SETOWN without a number here");
        }
    };
    let type_ = TYPES.iter().find(|(type_, _)| *type_ == owner.type_);

    msg.nest(attr::OWNER, |nest| {
        nest.put_u32(attr::owner::TYPE, type_.ok_or(EINVAL)?.1)?;
        nest.put_u32(attr::owner::ID, id)?;
        nest.put_u32(attr::owner::SIGNUM, owner.signum)
    })?;
    Ok(())
}

/// What an open file is to be like.
pub(crate) struct File {
    /// The flags (`O_*`), if they were saved.
    flags: Option<u32>,
    /// The owner, if it is to have one, and how it is found on an open file.
    owner: Option<(NewOwner, Owner)>,
}

impl File {
    /// Reads what is in a message.
    pub(crate) fn parse(request: &Request<'_>) -> Result<File, Refusal> {
        let bits = request.attr(attr::FILE_FLAGS).map(|attr| attr.as_u32());
        Ok(File {
            flags: bits.transpose()?.map(|bits| {
                FLAGS
                    .iter()
                    .filter(|(_, bit)| bits & bit != 0)
                    .fold(0, |flags, (flag, _)| flags | flag)
            }),
            owner: parse_owner(request)?,
        })
    }

    /// Makes an open file of a socket, which is to have the descriptor `fd`.
    pub(crate) fn open(&self, socket: Socket, fd: u32) -> Result<SocketFile, Refusal> {
        let flags = self.flags.unwrap_or(0);
        let file = socket
            .into_file(flags & flags::O_NONBLOCK)
            .map_err(|errno| match errno {
                ENFILE => Refusal::new(ENFILE, "fs.file-max allows no more open files"),
                errno => errno.into(),
            })?;
        let file = SocketFile::from_file(file)?;

        if let Some((owner, _)) = &self.owner {
            file.set_owner(owner)?;
        }
        if flags & flags::O_ASYNC != 0 {
            file.set_async(fd, true)?;
        }
        Ok(file)
    }

    /// Gives the open file of a socket in use this owner, unless it has it.
    pub(crate) fn amend_owner(
        &self,
        live: &Live<'_>,
        pid_ns: &PidNamespace,
    ) -> Result<(), Refusal> {
        let Some((owner, wanted)) = &self.owner else {
            return Ok(());
        };
        let file = live.file();

        if file.owner(pid_ns).as_ref() == Some(wanted) {
            return Ok(());
        }
        file.security_fcntl(uapi::F_SETOWN)
            .and_then(|()| file.set_owner(owner))
            .map_err(|errno| {
                Refusal::new(errno, "cannot be set")
                    .about("F_SETOWN")
                    .at(attr::OWNER)
            })
    }

    /// Gives the open file of a socket in use these flags, unless it has them. Signals tell the
    /// descriptor `fd`.
    pub(crate) fn amend_flags(&self, live: &Live<'_>, fd: u32) -> Result<(), Refusal> {
        let Some(wanted) = self.flags else {
            return Ok(());
        };
        let file = live.file();
        let changed = |flag| (file.file_flags() ^ wanted) & flag != 0;

        if !changed(flags::O_NONBLOCK | flags::O_ASYNC) {
            return Ok(());
        }
        let set = || {
            file.security_fcntl(uapi::F_SETFL)?;
            if changed(flags::O_ASYNC) {
                live.wait()?;
                file.set_async(fd, wanted & flags::O_ASYNC != 0)?;
            }
            if changed(flags::O_NONBLOCK) {
                file.set_nonblock(wanted & flags::O_NONBLOCK != 0);
            }
            Ok(())
        };
        set().map_err(|errno| {
            Refusal::new(errno, "cannot be set")
                .about("F_SETFL")
                .at(attr::FILE_FLAGS)
        })
    }
}

/// Reads the owner in a message.
fn parse_owner(request: &Request<'_>) -> Result<Option<(NewOwner, Owner)>, Refusal> {
    let Some(attr) = request.attr(attr::OWNER) else {
        return Ok(None);
    };
    let nest = codec::open_nest(&attr, &OWNER, &[])?;
    let required = |ty| -> Result<u32, Refusal> {
        let attr = codec::required(
            &attr,
            &nest,
            ty,
            "an owner is a type, a number and a signal",
        )?;
        Ok(attr.as_u32()?)
    };
    let (number, id, signum) = (
        required(attr::owner::TYPE)?,
        required(attr::owner::ID)?,
        required(attr::owner::SIGNUM)?,
    );
    let wrong = |errno, reason, ty| Refusal::new(errno, reason).inside(attr::OWNER, ty, &OWNER);
    let type_ = TYPES.iter().find(|(_, of_type)| *of_type == number);
    let (type_, _) = type_.ok_or(wrong(EINVAL, "no such type", attr::owner::TYPE))?;

    let owner = NewOwner::find(*type_, id, signum).map_err(|errno| match errno {
        ESRCH => wrong(ESRCH, "the owner is gone", attr::owner::ID),
        EINVAL => wrong(EINVAL, "no such signal", attr::owner::SIGNUM),
        errno => errno.into(),
    })?;
    let found = Owner {
        type_: *type_,
        id: match id {
            0 => OwnerId::None,
            id => OwnerId::Number(id),
        },
        signum,
    };
    Ok(Some((owner, found)))
}
