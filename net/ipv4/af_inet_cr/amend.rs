// SPDX-License-Identifier: GPL-2.0

//! `AF_INET_CR_CMD_AMEND`: a state, or a part of it, for a socket that exists.
//!
//! The message is checked as a whole before anything is done. But then it is applied piece by
//! piece, since much cannot be undone: others may have used the socket meanwhile, and some options
//! have no way back. What fails is reported, and keeps nothing else from being done. (Datagrams and
//! errors, in the messages that follow: `staging.rs`.)

#![forbid(unsafe_code)]

use crate::{
    address::{
        self,
        Addresses, //
    },
    attr,
    codec::{
        Levels,
        Value, //
    },
    consts::{
        SOL_SOCKET,
        SO_TYPE, //
    },
    dump,
    file::File,
    filter::Filter,
    live::{
        self,
        Live, //
    },
    loss,
    map::{
        Destination,
        Maps, //
    },
    membership::{
        self,
        Membership, //
    },
    options::{
        Access,
        Phase,
        SocketOption,
        COUNT,
        ESP,
        OPTIONS, //
    },
    protocol::Protocol,
    refusal::{
        self,
        Refusal, //
    },
    restore,
    reuseport::Program,
    select,
    transaction::{
        self,
        Command,
        Transaction, //
    },
    user::User, //
};

use kernel::{
    net::{
        netlink::{
            AttrWriter,
            DoOperation,
            DoRequest,
            OpFlags,
            Policy,
            Request,
            GENLMSG_DEFAULT_SIZE, //
        },
        socket::SocketFile, //
    },
    pid_namespace::PidNamespace,
    prelude::*,
    uapi, //
};

/// The policy: that of a restore, but that the socket is selected, and that nothing is corked.
static POLICY: [Policy; restore::LAST + 1] = {
    let mut table = restore::POLICY;

    table[attr::PIDFD as usize] = Policy::u32();
    table[attr::CORK as usize] = Policy::rejected();
    table
};

/// What says that a socket has datagrams, and why they are not applied. The first two are, by a
/// transaction.
const LENGTHS: [(u16, &str); 3] = [
    (
        attr::QUEUE_LEN,
        "queued datagrams are put into a socket by a transaction",
    ),
    (
        attr::ERROR_QUEUE_LEN,
        "queued errors are put into a socket by a transaction",
    ),
    (
        attr::CORK_LEN,
        "a corked datagram is not put into a socket that exists",
    ),
];

/// What says nothing without the state.
const ADDRESSES: [u16; 5] = [
    attr::LOCAL_ADDR,
    attr::LOCAL_PORT,
    attr::PEER_ADDR,
    attr::PEER_PORT,
    attr::SOURCE_ADDR,
];

/// The operation.
pub(crate) struct Amend;

impl DoOperation for Amend {
    // CAST: A small number.
    const CMD: u8 = uapi::AF_INET_CR_CMD_AMEND as u8;
    const FLAGS: OpFlags = OpFlags::UNS_ADMIN_PERM;
    const POLICY: &'static [Policy] = &POLICY;

    type SockPriv = Transaction;

    fn doit(request: &DoRequest<'_, Transaction>) -> Result {
        amend(request).map_err(|refusal| refusal.tell(request))
    }
}

/// Answers a request.
fn amend(request: &DoRequest<'_, Transaction>) -> Result<(), Refusal> {
    refusal::admit(request)?;

    match request.attr(attr::TRANSACTION) {
        Some(part) => transaction::part(request, &part, Command::Amend),
        None => apply(request, false).map(drop),
    }
}

/// Applies the state that a request has, and answers with what was not applied.
///
/// Returns the socket and the maps. If the request `begins` a transaction, what waits in the socket
/// is still to come.
pub(crate) fn apply(request: &Request<'_>, begins: bool) -> Result<(SocketFile, Maps), Refusal> {
    for ty in [attr::DATAGRAM, attr::PAYLOAD] {
        if request.attr(ty).is_some() {
            return Err(Refusal::new(EINVAL, "does not belong to this request").at(ty));
        }
    }
    // Each may have to wait for the lock of the socket, and joins groups.
    if !request.is_last() {
        return Err(Refusal::new(
            EBUSY,
            "of several requests only the last may amend a socket",
        ));
    }
    if request.attr(attr::INODE).is_some() {
        return Err(
            Refusal::new(EINVAL, "a socket to amend is selected by a descriptor").at(attr::INODE),
        );
    }
    let Some(fd) = request.attr(attr::SOCK_FD) else {
        return Err(Refusal::missing(attr::SOCK_FD, "no socket is selected"));
    };
    let fd = fd.as_u32()?;

    let file = select::select_to_use(request)?;
    let protocol = Protocol::of(&file)?;
    let maps = Maps::parse(request)?;
    let mut amendment = Amendment::parse(request, Destination::new(request, &maps))?;
    if begins {
        amendment.leave_to_a_transaction();
    }
    amendment.check(protocol, &file)?;

    let current = current!();
    let pid_ns = current.active_pid_ns().ok_or(ESRCH)?;
    // There is room for all that could fail before anything is done.
    let reply = request.reply(GENLMSG_DEFAULT_SIZE.saturating_add(amendment.room()))?;
    put_identity(&file, &reply)?;

    amendment.apply(&file, fd, pid_ns, Report(&reply))?;
    reply.send()?;
    Ok((file, maps))
}

/// Writes which socket it is into a message.
pub(crate) fn put_identity(file: &SocketFile, msg: &AttrWriter) -> Result {
    msg.put_uint(attr::INODE, file.ino())?;
    msg.put_uint(attr::COOKIE, file.cookie())
}

/// Asks the security module whether the requester may amend a socket.
///
/// What no option sets, it has to allow as if one did.
pub(crate) fn permit(file: &SocketFile) -> Result<(), Refusal> {
    file.security_setsockopt(SOL_SOCKET, SO_TYPE)
        .map_err(|errno| Refusal::new(errno, "the security module refuses the options"))
}

/// Where it is said what has failed.
struct Report<'a>(&'a AttrWriter);

impl Report<'_> {
    /// Says it of what has failed, and tells whether it has not.
    fn check(&self, result: Result<(), Refusal>) -> Result<bool, Refusal> {
        match result {
            Ok(()) => Ok(true),
            Err(refusal) => {
                refusal.report(self.0)?;
                Ok(false)
            }
        }
    }
}

/// What a message says about a socket, all of which may be left out.
struct Amendment<'a> {
    /// The state and the addresses that the socket has to have.
    place: Option<(u32, Addresses)>,
    /// Which of the local address and port were chosen by the owner.
    locks: Option<u32>,
    /// The user that it is to belong to.
    user: User,
    /// What the open file is to be like.
    file: File,
    /// The classic filter.
    filter: Filter,
    /// The program of the group that shares the port.
    reuseport: Program,
    /// The multicast groups.
    memberships: KVVec<Membership>,
    /// The options, in the order of their table; [`None`] for those that are left out, and for
    /// those that have failed.
    values: KVec<Option<Value<'a>>>,
    /// What is said to wait in the socket.
    lengths: [bool; LENGTHS.len()],
}

impl<'a> Amendment<'a> {
    /// Reads a message, and refuses all that can be refused without the socket.
    ///
    /// It needs more of the stack than what comes after it.
    #[inline(never)]
    fn parse(request: &'a Request<'a>, there: Destination<'a>) -> Result<Amendment<'a>, Refusal> {
        loss::check(request)?;

        let place = match request.attr(attr::SOCK_STATE) {
            Some(state) => {
                let state = state.as_u32()?;
                Some((state, Addresses::parse(request, &there, state)?))
            }
            None if ADDRESSES.iter().any(|ty| request.attr(*ty).is_some()) => {
                return Err(Refusal::missing(
                    attr::SOCK_STATE,
                    "addresses without the state of the socket",
                ));
            }
            None => None,
        };
        let levels = Levels::open(request, there)?;
        let mut values = KVec::with_capacity(COUNT, GFP_KERNEL)?;
        for option in OPTIONS {
            values.push(option.parse(&levels)?, GFP_KERNEL)?;
        }
        let mut lengths = [false; LENGTHS.len()];
        for (is_there, (ty, _)) in lengths.iter_mut().zip(LENGTHS) {
            // An empty corked datagram is one.
            *is_there = match request.attr(ty) {
                Some(attr) => ty == attr::CORK_LEN || attr.as_u32()? != 0,
                None => false,
            };
        }

        Ok(Amendment {
            place,
            locks: address::parse_locks(request)?,
            user: User::parse(request)?,
            file: File::parse(request)?,
            filter: Filter::parse(request)?,
            reuseport: Program::parse(request)?,
            memberships: Membership::parse_all(request, &there)?,
            values,
            lengths,
        })
    }

    /// Leaves out what the other parts of a transaction will bring.
    fn leave_to_a_transaction(&mut self) {
        for (is_there, (ty, _)) in self.lengths.iter_mut().zip(LENGTHS) {
            *is_there &= ty == attr::CORK_LEN;
        }
    }

    /// Refuses a socket that is not the one that the message is about.
    ///
    /// What is found out about it here, the security module has to allow, as for a dump.
    fn check(&self, protocol: &Protocol, file: &SocketFile) -> Result<(), Refusal> {
        permit(file)?;

        let sock = live::Patience::some()
            .lock(file)
            .map_err(live::lock_refused)?;
        dump::permit(protocol, &sock)?;
        // Each one is looked for among all that it has.
        if !self.memberships.is_empty() {
            membership::check(&sock)?;
        }

        for (option, value) in self.options() {
            if option.access == Access::Get && !option.is(value, &sock)? {
                let refusal = Refusal::new(ESTALE, "of the socket is another one");
                return Err(option.blame(refusal.about(option.name)));
            }
        }
        match &self.place {
            Some((state, addresses)) => addresses.expect(*state, &sock),
            None => Ok(()),
        }
    }

    /// Returns the options that are not left out.
    fn options(&self) -> impl Iterator<Item = (&'static SocketOption, Value<'a>)> + '_ {
        OPTIONS
            .iter()
            .zip(&self.values)
            .filter_map(|(option, value)| Some((option, (*value)?)))
    }

    /// Returns how much room in a message it takes if all of it fails.
    fn room(&self) -> usize {
        /// What is neither an option nor a membership.
        const OTHERS: usize = 11;

        COUNT
            .saturating_add(OTHERS)
            .saturating_add(self.memberships.len())
            .saturating_mul(Refusal::ROOM)
    }

    /// Applies it, in the order of a restore.
    ///
    /// What fails here is the request as a whole, with no way to say what was done: no more than
    /// the reply itself.
    fn apply(
        mut self,
        file: &SocketFile,
        fd: u32,
        pid_ns: &PidNamespace,
        report: Report<'_>,
    ) -> Result<(), Refusal> {
        let mut live = Live::new(file);
        let wants = |which: fn(&SocketOption) -> bool| {
            let mut options = self.options();
            options.find_map(|(it, value)| which(it).then_some(value))
        };
        let wants_no_gro = wants(SocketOption::is_udp_gro) == Some(Value::Int(0));
        let wants_no_esp = wants(SocketOption::is_udp_encap).is_some_and(|value| value != ESP);

        report.check(self.user.amend(&live))?;
        // One that is alone in its group leaves that for a device which it sends by, but not with a
        // program. All others get theirs behind SO_REUSEPORT.
        let early = address::has_port(&live) && live.reuseport_len() == 1;
        let attached = !early || report.check(self.reuseport.amend(&live))?;

        self.set_options(&mut live, &report, |it| it.phase < Phase::AfterConnect)?;
        // UDP_ENCAP must not find it on if it is to be off.
        self.each(&report, |it, value| {
            match it.is_udp_gro() && value == Value::Int(0) {
                true => it.restore(value, &mut live),
                false => Ok(()),
            }
        })?;
        for (nth, membership) in self.memberships.iter().enumerate() {
            report.check(
                membership
                    .amend(&mut live)
                    .map_err(|refusal| refusal.of_list(nth)),
            )?;
        }
        let filter = report.check(self.filter.amend(&live))?;
        if let Some(locks) = self.locks {
            report.check(address::amend_locks(locks, &live))?;
        }
        // Also of one that has left its group for the device that it is bound to now.
        let program = attached && report.check(self.reuseport.amend(&live))?;
        self.each(&report, |it, value| {
            if it.phase < Phase::AfterConnect || it.phase >= Phase::FilterLock {
                return Ok(());
            }
            // It could not be set to what is wanted, as a sender was in the way.
            let other_is_in_the_way = match it.is_udp_gro() {
                true => wants_no_esp,
                false => wants_no_gro,
            };
            match other_is_in_the_way && it.begins_to_merge(value, &live) {
                true => {
                    let refusal = Refusal::new(ECANCELED, "would merge ESP packets for ever");
                    Err(it.blame(refusal.about(it.name)))
                }
                false => it.restore(value, &mut live),
            }
        })?;
        match filter && program {
            true => self.set_options(&mut live, &report, |it| it.phase == Phase::FilterLock)?,
            // There would be no second try.
            false => self.each(&report, |it, value| match it.phase == Phase::FilterLock {
                true if !it.is(value, &live)? => {
                    let refusal = Refusal::new(ECANCELED, "would keep the other filter");
                    Err(it.blame(refusal.about(it.name)))
                }
                _ => Ok(()),
            })?,
        }
        report.check(self.file.amend_owner(&live, pid_ns))?;
        report.check(self.file.amend_flags(&live, fd))?;

        for (is_there, (ty, reason)) in self.lengths.into_iter().zip(LENGTHS) {
            if is_there {
                report.check(Err(Refusal::new(EOPNOTSUPP, reason).at(ty)))?;
            }
        }
        self.verify(&live, &report)
    }

    /// Sets some of the options.
    fn set_options(
        &mut self,
        live: &mut Live<'_>,
        report: &Report<'_>,
        wanted: impl Fn(&SocketOption) -> bool,
    ) -> Result<(), Refusal> {
        self.each(report, |option, value| match wanted(option) {
            true => option.restore(value, live),
            false => Ok(()),
        })
    }

    /// Says of each option whether it has failed.
    fn each(
        &mut self,
        report: &Report<'_>,
        mut f: impl FnMut(&'static SocketOption, Value<'a>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        for (option, slot) in OPTIONS.iter().zip(&mut self.values) {
            if let Some(value) = *slot {
                // Each fails once.
                if !report.check(f(option, value))? {
                    *slot = None;
                }
            }
        }
        Ok(())
    }

    /// Says what the socket has not got although nothing has failed.
    fn verify(&mut self, live: &Live<'_>, report: &Report<'_>) -> Result<(), Refusal> {
        let sock = match live.locked() {
            Ok(sock) => sock,
            Err(errno) => {
                report.check(Err(Refusal::new(errno, "what was set cannot be read back")))?;
                return Ok(());
            }
        };
        self.each(report, |option, value| option.verify(value, &sock))
    }
}

#[cfg(CONFIG_AF_INET_CR_KUNIT_TEST)]
#[kernel::macros::kunit_tests(af_inet_cr_amend)]
mod tests {
    use super::*;
    use crate::options::Buffer;

    #[test]
    fn a_report_has_room() {
        let reasons = [
            Buffer::Receive.limit(),
            Buffer::Send.limit(),
            "is below the minimum of this kernel",
            "would keep the other filter",
            "was made by another address of the device",
        ];

        for option in OPTIONS {
            for reason in reasons {
                assert!(option.name.len() + 1 + reason.len() <= Refusal::WORDS);
            }
        }
        for (_, reason) in LENGTHS {
            assert!(reason.len() <= Refusal::WORDS);
        }
    }
}
