// SPDX-License-Identifier: GPL-2.0

//! `AF_INET_CR_CMD_DUMP` as a netlink dump: many sockets, a message for each.

#![forbid(unsafe_code)]

use crate::{
    attr,
    dump::Dumpable,
    live::Patience,
    loss::{
        self,
        Losses, //
    },
    refusal::{
        self,
        Refusal, //
    },
    select, //
};

use kernel::{
    net::{
        netlink::{
            AttrWriter,
            Batch,
            DumpOperation,
            OpFlags,
            Policy,
            Request,
            GENLMSG_DEFAULT_SIZE, //
        },
        sock::consts,
        socket::{
            BoundFilter,
            BoundPlace,
            BoundSockets,
            ProcessSockets,
            Sock,
            SocketFile, //
        },
        Net, //
    },
    pid_namespace::PidNamespace,
    prelude::*,
    sync::aref::ARef,
    uapi, //
};

/// The policy.
static POLICY: [Policy; attr::FILTER_INODE as usize + 1] = {
    let mut table = [Policy::rejected(); attr::FILTER_INODE as usize + 1];
    table[attr::PIDFD as usize] = Policy::u32();
    table[attr::LOCAL_PORT as usize] = Policy::be16();
    table[attr::ALLOW_LOST as usize] = loss::policy();
    table[attr::FILTER_INODE as usize] = Policy::uint();
    table
};

/// The operation.
pub(crate) struct DumpMany;

/// The most room that a message about one of many sockets can have: two programs, and what is usual
/// beside them.
const ROOM_MAX: usize = 128 << 10;

/// What is dumped, and how far the dump has come.
pub(crate) struct State {
    wanted: Wanted,
    place: Place,
    /// What of a socket may be lost.
    losses: Losses,
    /// Where the requester numbers processes.
    pid_ns: ARef<PidNamespace>,
    /// How much room was asked for.
    reserved: usize,
}

/// Where the next socket is to be found.
enum Place {
    /// Behind this place among the bound sockets of the namespace.
    Namespace(BoundPlace),
    /// In this process, at this descriptor or a higher one.
    Process(ProcessSockets, u32),
}

/// Which of the sockets are wanted.
struct Wanted {
    /// Those on this local port.
    port: Option<u16>,
    /// Those with one of these inode numbers, in ascending order; all if there are none.
    inodes: KVVec<u64>,
}

impl DumpOperation for DumpMany {
    // CAST: A small number.
    const CMD: u8 = uapi::AF_INET_CR_CMD_DUMP as u8;
    const FLAGS: OpFlags = OpFlags::UNS_ADMIN_PERM;
    const POLICY: &'static [Policy] = &POLICY;

    type State = State;

    fn start(request: &Request<'_>) -> Result<State> {
        start(request).map_err(|refusal| refusal.tell(request))
    }

    fn dumpit(state: &mut State, batch: &mut Batch<'_>) -> Result {
        let net = batch.net();
        let mut writer = Writer {
            batch,
            losses: state.losses,
            pid_ns: &state.pid_ns,
            // Each batch waits for one socket in vain at the most.
            patience: Patience::some(),
            reserved: &mut state.reserved,
        };
        let wanted = &state.wanted;

        match &mut state.place {
            // Bound sockets have a port.
            Place::Namespace(_) if wanted.port == Some(0) => {}
            Place::Namespace(place) => {
                let mut sockets = BoundSockets::walk(net, wanted.as_filter(), *place);

                while let Some((sock, behind)) = sockets.next_sock()? {
                    // One that is not open any more is as good as gone.
                    if let Ok(file) = SocketFile::from_sock(&sock) {
                        writer.put(&file, None)?;
                    }
                    *place = behind;
                }
            }
            Place::Process(process, fd) => {
                writer.set_generation(process)?;

                while let Some((found, file)) = writer.next(process, *fd)? {
                    if wanted.contains(&file, net) {
                        writer.put(&file, Some(found))?;
                    }
                    match found.checked_add(1) {
                        Some(next) => *fd = next,
                        None => break,
                    }
                }
                // The end of the answer tells it, too.
                writer.set_generation(process)?;
            }
        }
        Ok(())
    }
}

/// Begins the dump.
fn start(request: &Request<'_>) -> Result<State, Refusal> {
    refusal::admit(request)?;
    // One that ends with its first messages makes room for the next, and each goes over all of the
    // sockets.
    if !request.is_last() {
        return Err(Refusal::new(
            EBUSY,
            "of several requests only the last may be for many sockets",
        ));
    }

    let place = match request.attr(attr::PIDFD) {
        Some(pidfd) => {
            let process =
                ProcessSockets::from_pidfd(pidfd.as_u32()?).map_err(select::pidfd_refused)?;
            // Tells it now, and not behind the messages that there are.
            process.next_from(0).map_err(select::pidfd_refused)?;
            Place::Process(process, 0)
        }
        None => Place::Namespace(BoundPlace::start()),
    };
    Ok(State {
        wanted: Wanted::parse(request)?,
        losses: Losses::allowed_by(request)?,
        place,
        pid_ns: current!().active_pid_ns().ok_or(ESRCH)?.into(),
        reserved: 0,
    })
}

impl Wanted {
    /// Reads which sockets are wanted.
    fn parse(request: &Request<'_>) -> Result<Wanted, Refusal> {
        let port = request.attr(attr::LOCAL_PORT).map(|attr| attr.as_be16());
        let mut inodes = KVVec::new();

        for attr in request.attrs() {
            if attr.type_() == attr::FILTER_INODE {
                inodes.push(attr.as_uint()?, GFP_KERNEL_ACCOUNT)?;
            }
        }
        inodes.sort_unstable();
        Ok(Wanted {
            port: port.transpose()?,
            inodes,
        })
    }

    /// Returns them as the bound sockets are filtered.
    fn as_filter(&self) -> BoundFilter<'_> {
        BoundFilter {
            family: consts::AF_INET,
            port: self.port.unwrap_or(0),
            inos: &self.inodes,
        }
    }

    /// Tells whether a socket is one of them. Of one of another namespace, the port is not told.
    fn contains(&self, sock: &Sock, net: &Net) -> bool {
        let has_port = |port| sock.inet().is_some_and(|inet| inet.num() == port);

        self.port
            .is_none_or(|port| sock.is_in_net(net) && has_port(port))
            && (self.inodes.is_empty() || self.inodes.binary_search(&sock.ino()).is_ok())
    }
}

/// Where the messages are put.
struct Writer<'a, 'b> {
    batch: &'a mut Batch<'b>,
    losses: Losses,
    pid_ns: &'a PidNamespace,
    patience: Patience,
    reserved: &'a mut usize,
}

impl Writer<'_, '_> {
    /// Returns the next socket of a process, or says why there is no way to know.
    fn next(&self, process: &ProcessSockets, fd: u32) -> Result<Option<(u32, SocketFile)>> {
        process.next_from(fd).map_err(|errno| self.end(errno))
    }

    /// Has the reader told if the process has become another program since the last time.
    fn set_generation(&mut self, process: &ProcessSockets) -> Result {
        let generation = process.generation().map_err(|errno| self.end(errno))?;

        self.batch.set_generation(generation);
        Ok(())
    }

    /// Says why the dump of a process ends before its end.
    fn end(&self, errno: Error) -> Error {
        select::pidfd_refused(errno).say(&self.batch.extack());
        errno
    }

    /// Puts the message about a socket into the batch: its state, or why there is none.
    fn put(&mut self, file: &SocketFile, fd: Option<u32>) -> Result {
        let net = self.batch.net();
        let mut room = 0;

        let state = find(file, net, &mut self.patience, self.losses).and_then(|socket| {
            room = Dumpable::PLAIN.saturating_add(socket.more_room()?);
            self.batch.put(|msg| {
                put_fd(fd, msg)?;
                socket.put(net, self.pid_ns, msg)
            })
        });
        let Err(refusal) = state else {
            return Ok(());
        };

        let refusal = match refusal.errno() {
            EMSGSIZE if room > ROOM_MAX => {
                Refusal::new(EMSGSIZE, "too large for an answer about many sockets")
            }
            // It fits into the next one, which has as much as this anyway.
            EMSGSIZE if !self.batch.is_empty() => {
                if room > GENLMSG_DEFAULT_SIZE {
                    self.batch.reserve(room);
                    *self.reserved = room.max(*self.reserved);
                }
                return Err(EMSGSIZE);
            }
            EMSGSIZE if room > *self.reserved => {
                Refusal::new(EMSGSIZE, "does not fit into the buffer of the reader")
            }
            // This is not about the socket.
            errno @ (ENOMEM | EINTR) => return Err(errno),
            _ => refusal,
        };
        self.batch.put(|msg| {
            put_fd(fd, msg)?;
            put_refused(file, net, &refusal, msg)
        })
    }
}

/// Finds out whether a socket can be dumped.
fn find<'a>(
    file: &'a SocketFile,
    net: &Net,
    patience: &mut Patience,
    losses: Losses,
) -> Result<Dumpable<'a>, Refusal> {
    select::permit(file, net)?;
    Dumpable::find(file, patience, losses)
}

/// Writes the descriptor of a socket in its process into a message.
fn put_fd(fd: Option<u32>, msg: &AttrWriter) -> Result {
    match fd {
        Some(fd) => msg.put_u32(attr::SOCK_FD, fd),
        None => Ok(()),
    }
}

/// Writes into a message which socket has been refused, and why.
///
/// Of one of another namespace nothing is told that `/proc/PID/fd` does not tell.
fn put_refused(file: &SocketFile, net: &Net, refusal: &Refusal, msg: &AttrWriter) -> Result {
    msg.put_uint(attr::INODE, file.ino())?;
    if file.is_in_net(net) {
        msg.put_uint(attr::COOKIE, file.cookie())?;
        msg.put_u32(attr::SOCK_FAMILY, file.family().into())?;
        msg.put_u32(attr::SOCK_TYPE, file.type_().into())?;
        msg.put_u32(attr::SOCK_PROTOCOL, file.protocol().into())?;
    }
    msg.nest(attr::REPORT, |nest| refusal.put(nest))
}
