// SPDX-License-Identifier: GPL-2.0

//! Everything at once: traffic, sockets that come and go, dumps of one and of all, restores that end
//! in each way there is, and network namespaces that go with what is left in them.
//!
//! Nearly everything may be refused here. What counts is that nothing else happens: a copy only has
//! what was sent to its original, the kernel does not complain, and nothing is left.

use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use inetcr::{Client, Error, RawAttr, Scope, Selector, Target};
use libc::{SOL_IP, SOL_SOCKET, SOL_UDP};

use super::errqueue::making::Icmp;
use super::queue::drain;
use crate::cr::{self, Part, QUEUE, Queued, attr};
use crate::places::GROUP;
use crate::runner::Test;
use crate::sys::{errno_name, namespace, socket, task};

pub fn tests() -> Vec<Test> {
    vec![Test::new("stress::everything", everything).slow()]
}

/// How often a socket is checkpointed, unless the time is up. What else happens goes on for as long.
const ROUNDS: u32 = 150;
const TIME: Duration = Duration::from_secs(10);

/// How long those rest who would keep all others from doing anything.
const REST: Duration = Duration::from_millis(2);

/// The ports of the originals, and how far those of their copies are from them.
const PORTS: std::ops::Range<u16> = 7100..7106;
const BESIDE: u16 = 100;

const UDP_CORK: i32 = 1;

/// What some of them have corked for the one beside them.
const CORKED: &[u8] = b"begun";

/// What may be refused, as a socket or a descriptor has gone, is in use, or has state that cannot
/// be told at the moment.
const REFUSED: &[i32] = &[
    libc::EBUSY,
    libc::EBADF,
    libc::ENOTSOCK,
    libc::ENOENT,
    libc::ESTALE,
    libc::EADDRINUSE,
    libc::ENOBUFS,
    libc::EOPNOTSUPP,
];

/// What ICMP may have told of: what the test makes it say, and that nobody has the port any more for
/// which something was corked.
const ERRORS: &[i32] = &[0, libc::EHOSTUNREACH, libc::ECONNREFUSED];

/// Sockets that anybody may take away.
struct Slots(Vec<Mutex<Option<Arc<UdpSocket>>>>);

impl Slots {
    fn new() -> Self {
        Self(PORTS.map(|_| Mutex::new(None)).collect())
    }

    fn get(&self, number: usize) -> Option<Arc<UdpSocket>> {
        let slot = self.0.get(number % self.0.len())?;
        slot.lock().ok()?.clone()
    }

    fn put(&self, number: usize, socket: Option<UdpSocket>) {
        if let Some(Ok(mut slot)) = self.0.get(number % self.0.len()).map(Mutex::lock) {
            *slot = socket.map(Arc::new);
        }
    }
}

/// Numbers without an order, the same each time.
struct Numbers(u32);

impl Numbers {
    fn next(&mut self) -> usize {
        // xorshift32
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        usize::try_from(self.0).unwrap_or_default()
    }
}

fn port_of(slot: usize) -> u16 {
    let slots = usize::from(PORTS.end - PORTS.start);
    PORTS.start + u16::try_from(slot % slots).unwrap_or_default()
}

fn addr_of(slot: usize) -> SocketAddrV4 {
    SocketAddrV4::new([127, 0, 0, 1].into(), port_of(slot))
}

/// A socket with some of the options that matter to what happens.
fn original(slot: usize, kind: usize) -> Result<UdpSocket> {
    let socket = socket::udp()?;
    socket::set_int(&socket, SOL_IP, libc::IP_RECVERR, 1)?;
    socket::set_int(&socket, SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
    let room = if kind.is_multiple_of(3) { 3000 } else { 20_000 };
    socket::set_int(&socket, SOL_SOCKET, libc::SO_RCVBUF, room)?;
    socket::bind(&socket, addr_of(slot))?;
    if kind.is_multiple_of(2) {
        let mreqn = [GROUP.octets(), [0; 4], 1_i32.to_ne_bytes()].concat();
        socket::set(&socket, SOL_IP, libc::IP_ADD_MEMBERSHIP, &mreqn)?;
    }
    if kind.is_multiple_of(5) {
        socket::set_int(&socket, SOL_UDP, UDP_CORK, 1)?;
        socket::send_to(&socket, CORKED, 0, addr_of(slot + 1))?;
    }
    Ok(socket)
}

/// What a thread does again and again.
type Body<'a> = Box<dyn FnMut(&mut Numbers) -> Result<()> + Send + 'a>;

/// What the test has seen happen.
#[derive(Default)]
struct Seen {
    committed: AtomicU32,
    given_up: AtomicU32,
    refused: AtomicU32,
    namespaces: AtomicU32,
    many: AtomicU32,
    datagrams: AtomicU32,
}

impl Seen {
    /// What has to happen at least once, and how often it did.
    fn all(&self) -> [(&'static str, &AtomicU32); 5] {
        [
            ("restored", &self.committed),
            ("given up", &self.given_up),
            ("namespaces gone", &self.namespaces),
            ("dumps of many", &self.many),
            ("datagrams carried", &self.datagrams),
        ]
    }

    /// What has not happened.
    fn missing(&self) -> Option<&'static str> {
        let mut all = self.all().into_iter();
        let (what, _) = all.find(|(_, number)| number.load(Ordering::Relaxed) == 0)?;
        Some(what)
    }
}

fn count(of: &AtomicU32) {
    of.fetch_add(1, Ordering::Relaxed);
}

/// Passes over what may be refused.
fn unless_refused<T>(seen: &Seen, result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            let kernel = error.chain().find_map(|cause| {
                let error = cause.downcast_ref::<Error>()?;
                Some(error.kernel().map_or(0, |kernel| kernel.errno))
            });
            match kernel {
                Some(errno) if REFUSED.contains(&errno) => {
                    count(&seen.refused);
                    Ok(None)
                }
                Some(errno) => Err(error).context(errno_name(errno)),
                None => Err(error),
            }
        }
    }
}

/// Sends to all, and has ICMP tell of what they have sent. The payload says where it goes.
fn traffic(numbers: &mut Numbers) -> Result<()> {
    let sender = socket::udp()?;
    for slot in 0..PORTS.len() {
        let to = addr_of(slot);
        let _ = sender.send_to(&to.port().to_be_bytes(), to);
    }
    let mut icmp = Icmp::new(3, 1, [0; 4], 20);
    let from = port_of(numbers.next()).to_be_bytes();
    icmp.quoted[20..22].copy_from_slice(&from);
    icmp.send(|_| Ok(()))?;
    std::thread::sleep(REST);
    Ok(())
}

/// One socket goes, one comes, and the owner of one reads, and lets go of what is corked.
fn owners(slots: &Slots, numbers: &mut Numbers) {
    let slot = numbers.next();
    slots.put(slot, None);
    // Its copy, or another holder, may have the port still.
    slots.put(slot, original(slot, numbers.next()).ok());
    if let Some(socket) = slots.get(numbers.next()) {
        let _ = drain(&socket);
        let _ = socket::set_int(&socket, SOL_UDP, UDP_CORK, 0);
    }
}

/// Dumps a socket, and then what waits in it, which may be more or less than that by then.
fn in_two_moments(client: &mut Client, socket: &UdpSocket) -> Result<Queued> {
    let target = Target::from(Selector::Fd(socket.as_raw_fd()));
    let dump = cr::dump_by(client, target)?;
    let queue = client.raw_multipart(QUEUE, &target.to_attrs())?.concat();
    Ok(Queued { dump, queue })
}

/// Takes a socket round to a port beside its own, or gives up at some point of that.
fn checkpoint(
    client: &mut Client,
    slots: &Slots,
    seen: &Seen,
    at: usize,
    end: usize,
) -> Result<()> {
    let Some(socket) = slots.get(at) else {
        return Ok(());
    };
    let Some(mut queued) = unless_refused(seen, in_two_moments(client, &socket))? else {
        return Ok(());
    };
    drop(socket);
    // The one tells of another moment than the other: the owner is not frozen.
    let is_corked = queued.dump.get(attr::CORK_LEN).is_some();
    if is_corked != queued.queue.iter().any(|one| one.number() == attr::CORK) {
        count(&seen.refused);
        return Ok(());
    }
    let beside = RawAttr::be16(attr::LOCAL_PORT, port_of(at) + BESIDE);
    queued.dump = queued.dump.with(beside);
    let mut send = |part: Part, attrs: &[RawAttr]| {
        unless_refused(seen, part.send(client, attrs).map_err(Into::into))
    };
    if send(Part::Begin, &queued.dump.0)?.is_none() {
        return Ok(());
    }
    let queue = match end % 4 {
        // Half of it.
        0 => &queued.queue[..queued.queue.len() / 2],
        _ => &queued.queue[..],
    };
    if !queue.is_empty() && send(Part::Queue, queue)?.is_none() {
        return Ok(());
    }
    match end % 4 {
        // The netlink socket goes with the half-built one.
        0 => *client = cr::client()?,
        1 => drop(send(Part::Abort, &[])?),
        _ => {
            let commit = Part::commit(client).map_err(Into::into);
            let Some(copy) = unless_refused(seen, commit)? else {
                return Ok(());
            };
            let copy = UdpSocket::from(copy.fd);
            // Dumped before the queue was, and taken by the owner in between, it may be without the
            // message of ICMP that it came with.
            let error = socket::get_int(&copy, SOL_SOCKET, libc::SO_ERROR)?;
            ensure!(ERRORS.contains(&error), "pending: {}", errno_name(error));
            let messages = drain(&copy)?;
            for message in messages {
                let of_icmp = message.flags & libc::MSG_ERRQUEUE != 0;
                let payloads = [&port_of(at).to_be_bytes()[..], CORKED];
                let known = of_icmp || payloads.contains(&message.payload.as_slice());
                ensure!(known, "{message:02x?}");
                count(&seen.datagrams);
            }
            count(&seen.committed);
            return Ok(());
        }
    }
    count(&seen.given_up);
    Ok(())
}

/// Dumps all of the namespace, and all of the process.
fn many(client: &mut Client, seen: &Seen) -> Result<()> {
    let me = task::pidfd_open(i32::try_from(std::process::id())?)?;
    for scope in [Scope::Namespace, Scope::Process(me.as_fd())] {
        let all = client.dump_many(scope).map_err(Into::into);
        if unless_refused(seen, all)?.is_some() {
            count(&seen.many);
        }
    }
    Ok(())
}

/// A network namespace that goes while a transaction of it is open, and an answer half read.
fn namespace_goes(seen: &Seen) -> Result<()> {
    namespace::new_network()?;
    let mut client = cr::client()?;
    let socket = original(0, 0)?;
    socket.send_to(&port_of(0).to_be_bytes(), addr_of(0))?;
    let queued = Queued::of(&mut client, &socket)?;
    drop(socket);
    // A dump of the process may have the socket open a little longer, and thus its port.
    let begun = Part::Begin.send(&mut client, &queued.dump.0);
    if unless_refused(seen, begun.map_err(Into::into))?.is_some() {
        Part::Queue.send(&mut client, &queued.queue)?;
    }
    count(&seen.namespaces);
    std::thread::sleep(REST);
    Ok(())
}

fn everything() -> Result<()> {
    let (slots, seen) = (Slots::new(), Seen::default());
    let (done, start) = (AtomicBool::new(false), Instant::now());
    let failed = Mutex::new(None);
    let (slots, seen, done, failed) = (&slots, &seen, &done, &failed);
    let failure = |error: anyhow::Error| {
        done.store(true, Ordering::Relaxed);
        if let Ok(mut failed) = failed.lock() {
            failed.get_or_insert(error);
        }
    };

    std::thread::scope(|scope| {
        let bodies: [Body<'_>; 4] = [
            Box::new(traffic),
            Box::new(|numbers| {
                owners(slots, numbers);
                Ok(())
            }),
            Box::new(|_| namespace_goes(seen)),
            Box::new(|_| many(&mut cr::client()?, seen)),
        ];
        for (seed, mut body) in (1..).zip(bodies) {
            scope.spawn(move || {
                let mut numbers = Numbers(seed);
                while !done.load(Ordering::Relaxed) {
                    if let Err(error) = body(&mut numbers) {
                        failure(error);
                    }
                }
            });
        }
        for seed in [5, 6] {
            scope.spawn(move || {
                let mut numbers = Numbers(seed);
                let run = || -> Result<()> {
                    let mut client = cr::client()?;
                    for round in 0.. {
                        let is_over = round >= ROUNDS || start.elapsed() > TIME;
                        if is_over && (seen.missing().is_none() || start.elapsed() > TIME * 3) {
                            break;
                        }
                        let (at, end) = (numbers.next(), numbers.next());
                        checkpoint(&mut client, slots, seen, at, end)?;
                    }
                    Ok(())
                };
                let mut run = run;
                if let Err(error) = run() {
                    failure(error);
                }
                done.store(true, Ordering::Relaxed);
            });
        }
    });
    if let Ok(mut failed) = failed.lock()
        && let Some(error) = failed.take()
    {
        return Err(error);
    }

    for (what, number) in seen.all() {
        println!("{what}: {}", number.load(Ordering::Relaxed));
    }
    if let Some(what) = seen.missing() {
        bail!("{what}: none");
    }
    println!("refused: {}", seen.refused.load(Ordering::Relaxed));
    Ok(())
}
