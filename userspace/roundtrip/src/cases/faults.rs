// SPDX-License-Identifier: GPL-2.0

//! Every allocation of a request fails once: the request is refused, and
//! nothing is left of it.
//!
//! `/proc/thread-self/fail-nth` makes the n-th allocation from now on fail. A
//! request is done when send(2) returns, so that only send(2) is exposed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, bail, ensure};
use inetcr::{Client, RawAttr};

use crate::cr::{self, DUMP, Dump, Part, Queued, RESTORE, attr};
use crate::groups::ON_LOOPBACK;
use crate::leaks::{Counters, LONG_PATIENCE};
use crate::observe::{Observation, observe, same};
use crate::options::apply_all;
use crate::places::place;
use crate::rawnl::RawNetlink;
use crate::runner::{Test, skip};
use crate::sys::filter::{self, Instruction};
use crate::sys::signal::{self, OwnerType};
use crate::sys::{link, socket, task};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("faults::dump", dump).slow(),
        Test::new("faults::dump_by_inode", dump_by_inode).slow(),
        Test::new("faults::dump_by_pidfd", dump_by_pidfd).slow(),
        Test::new("faults::restore::unbound", || {
            restore("unbound", |_| Ok(()))
        })
        .slow(),
        Test::new("faults::restore::bound", || {
            restore("addr_port", |_| Ok(()))
        })
        .slow(),
        Test::new("faults::restore::without_port", || {
            restore("addr_without_port", |_| Ok(()))
        })
        .slow(),
        Test::new("faults::restore::everything", || {
            restore("connected_addr_port", |socket| {
                apply_all(socket)?;
                join_groups(socket)
            })
        })
        .slow(),
        Test::new("faults::restore::owner", || {
            restore("addr_port", give_owner)
        })
        .slow(),
        Test::new("faults::restore::group_program", || {
            restore("addr_port", give_group_program)
        })
        .slow(),
        Test::new("faults::refusal", refusal).slow(),
    ]
}

/// A socket as plain calls see it, and as its dump says what they do not.
pub struct Looks {
    seen: Observation,
    pub dump: Dump,
}

impl Looks {
    pub fn of(client: &mut Client, socket: &UdpSocket) -> Result<Self> {
        Ok(Self {
            seen: observe(socket),
            dump: cr::dump(client, socket)?,
        })
    }

    /// Fails unless another one looks the same.
    pub fn same(&self, what: &str, other: &Self) -> Result<()> {
        same(what, &self.seen, &other.seen)?;
        cr::same_dump(&self.dump, &other.dump).with_context(|| what.to_owned())
    }

    /// The same, with the memberships in any order: one that comes later is behind those that there
    /// are.
    pub fn same_members(&self, what: &str, other: &Self) -> Result<()> {
        let in_order = |looks: &Self| {
            let mut members = looks.dump.all(attr::MEMBERSHIP);
            members.sort_by(|one, other| one.payload.cmp(&other.payload));
            Self {
                seen: looks.seen.clone(),
                dump: looks.dump.clone().with_all(attr::MEMBERSHIP, members),
            }
        };
        in_order(self).same(what, &in_order(other))
    }
}

/// Makes allocations fail.
pub struct Fault(File);

impl Fault {
    pub fn open() -> Result<Self> {
        let path = "/proc/thread-self/fail-nth";
        let Ok(file) = File::options().read(true).write(true).open(path) else {
            return skip("fail-nth (CONFIG_FAULT_INJECTION)");
        };
        let debugfs = "/sys/kernel/debug";
        if fs::exists(format!("{debugfs}/failslab"))? {
            for (name, value) in [
                ("failslab/ignore-gfp-wait", "N"),
                ("failslab/verbose", "0"),
                ("fail_page_alloc/ignore-gfp-wait", "N"),
                ("fail_page_alloc/ignore-gfp-highmem", "N"),
                ("fail_page_alloc/min-order", "0"),
                ("fail_page_alloc/verbose", "0"),
                // What two processors say at once of it is no block that can be told from others.
                ("fail_usercopy/verbose", "0"),
            ] {
                match fs::write(format!("{debugfs}/{name}"), value) {
                    // Kinds other than the first can be left out of a kernel.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    other => other.context(name)?,
                }
            }
            Ok(Self(file))
        } else {
            skip("failslab (CONFIG_FAILSLAB, CONFIG_FAULT_INJECTION_DEBUG_FS)")
        }
    }

    /// The n-th allocation from now on fails.
    pub fn arm(&mut self, nth: u32) -> io::Result<()> {
        self.0.write_all(nth.to_string().as_bytes())
    }

    /// Ends that, and says whether one failed.
    pub fn disarm(&mut self) -> Result<bool> {
        // The file has no position that could be set. A failure that is still to come may hit this
        // call, or the next one: copies from and to user memory fail, too.
        let mut text = [0; 16];
        let injected = match self.0.read_at(&mut text, 0) {
            Ok(len) => text[..len].trim_ascii() == b"0",
            Err(error) if error.raw_os_error() == Some(libc::EFAULT) => false,
            Err(error) => return Err(error.into()),
        };
        self.arm(0).or_else(|_| self.arm(0))?;
        Ok(injected)
    }
}

/// Whether an error is what a failed allocation looks like to the requester.
pub fn is_want_of_memory(command: u8, errno: i32) -> bool {
    match errno {
        // The request itself is copied.
        libc::ENOMEM | libc::ENOBUFS | libc::EFAULT => true,
        // socket(2) makes ENFILE of no memory for the inode, bind(2) EADDRINUSE of none for the
        // group of SO_REUSEPORT. The filter of a group misses it (ESRCH) on a device that had no
        // room for it.
        libc::ENFILE | libc::EADDRINUSE | libc::ESRCH => command == RESTORE,
        _ => false,
    }
}

/// The error number of what was sent and answered, if it is an error.
pub fn errno<T>(result: Result<T>) -> Result<Result<T, i32>> {
    match result {
        Ok(answer) => Ok(Ok(answer)),
        Err(error) => {
            let errno = error.downcast::<io::Error>()?.raw_os_error();
            Ok(Err(errno.context("no error of a system call")?))
        }
    }
}

/// Makes each allocation of one part of a transaction fail: the part is refused, and with it the
/// whole transaction. A socket that comes back nevertheless has to be the whole one.
pub fn each_allocation_of_part(
    queued: &Queued,
    faulty: Part,
    mut is_whole: impl FnMut(UdpSocket) -> Result<()>,
) -> Result<()> {
    let client = cr::client()?;
    let mut fault = Fault::open()?;
    each(|nth| {
        let mut raw = RawNetlink::open(&client)?;
        let mut any = false;
        for part in [Part::Begin, Part::Queue, Part::Commit] {
            let attrs = match part {
                Part::Begin => queued.dump.0.as_slice(),
                Part::Queue => queued.queue.as_slice(),
                _ => &[],
            };
            let attrs = RawAttr::encode_all(&part.of(attrs));
            if part == faulty {
                fault.arm(nth)?;
            }
            let sent = raw.send(RESTORE, &attrs);
            let injected = part == faulty && fault.disarm()?;
            any |= injected;
            let answer = match sent {
                Ok(()) => raw.answer(),
                Err(error) => Err(error.into()),
            };
            let reply = match errno(answer)? {
                Ok(reply) => reply,
                Err(errno) => {
                    ensure!(injected, "{part:?}: error {errno} without a failure");
                    ensure!(is_want_of_memory(RESTORE, errno), "{part:?}: error {errno}");
                    // What was done and told stays, also if the acknowledgment is not.
                    match raw.reply_without_answer()? {
                        Some(reply) => reply,
                        None => return Ok(any),
                    }
                }
            };
            if part == Part::Commit {
                let fd = Dump(reply).u32(attr::SOCK_FD).context("no descriptor")?;
                is_whole(UdpSocket::from(task::adopt(fd.cast_signed())))?;
            }
        }
        Ok(any)
    })
}

/// Tries something until none of its allocations is left to fail. It gets the number of the one
/// that is to fail, and says whether one did.
pub fn each(mut attempt: impl FnMut(u32) -> Result<bool>) -> Result<()> {
    let mut before = Counters::inside();
    for nth in 1..2000 {
        let injected = attempt(nth).with_context(|| format!("allocation {nth}"))?;
        if let Some(leaked) = Counters::grown_since(Counters::inside, &before, LONG_PATIENCE) {
            bail!("allocation {nth}: leaked: {leaked}");
        }
        before.lower_to(&Counters::inside());
        if !injected {
            ensure!(nth > 1, "no allocation failed");
            return Ok(());
        }
    }
    bail!("never without a failure")
}

/// Asks for an answer of many messages until none of the allocations of one of the system calls
/// that it takes is left to fail. Hands over each answer; an error is one of want of memory.
///
/// The request, number 0, makes the first part of the answer, and each part that is read makes
/// another one.
pub fn each_allocation_of_step(
    faulty: usize,
    (command, request): (u8, &[RawAttr]),
    mut check: impl FnMut(io::Result<Vec<Vec<RawAttr>>>) -> Result<()>,
) -> Result<()> {
    let client = cr::client()?;
    let request = RawAttr::encode_all(request);
    let mut fault = Fault::open()?;
    // Only system calls are exposed: memory of this process would be missing, too.
    let mut buffer = vec![1; 4096];
    each(|nth| {
        let mut raw = RawNetlink::open(&client)?;
        let mut injected = false;
        let mut exposed = |step, call: &mut dyn FnMut() -> io::Result<usize>| -> Result<_> {
            if step != faulty {
                return Ok(call());
            }
            fault.arm(nth)?;
            let result = call();
            injected = fault.disarm()?;
            Ok(result)
        };
        let sent = exposed(0, &mut || raw.send_multipart(command, &request).map(|()| 0))?;
        let mut answer = sent.map(|_| Vec::new());
        let mut steps = 1..;
        while let (Ok(messages), Some(step)) = (&mut answer, steps.next()) {
            match exposed(step, &mut || raw.receive_part(&mut buffer))? {
                Err(error) => answer = Err(error),
                Ok(len) => {
                    let (more, end) = RawNetlink::read_part(&buffer[..len])?;
                    messages.extend(more);
                    match end {
                        None => {}
                        Some(0) => break,
                        Some(errno) => answer = Err(io::Error::from_raw_os_error(errno)),
                    }
                }
            }
        }
        if let Err(error) = &answer {
            ensure!(injected, "without a failure: {error}");
            let errno = error.raw_os_error().unwrap_or_default();
            ensure!(is_want_of_memory(command, errno), "error {errno}");
        }
        check(answer)?;
        Ok(injected)
    })
}

/// Sends a request until none of its allocations is left to fail. Gives the
/// attributes of the answer each time that there is a good one.
fn each_allocation(
    command: u8,
    attributes: &[RawAttr],
    mut good: impl FnMut(Dump) -> Result<()>,
) -> Result<()> {
    let mut fault = Fault::open()?;
    let client = cr::client()?;
    let mut raw = RawNetlink::open(&client)?;
    let bytes = RawAttr::encode_all(attributes);
    let mut before = Counters::inside();
    let mut failed = 0;
    for nth in 1..1000 {
        fault.arm(nth)?;
        let sent = raw.send(command, &bytes);
        let injected = fault.disarm()?;
        let answer = match sent {
            Ok(()) => raw.answer(),
            Err(error) => Err(error.into()),
        };
        match answer {
            Ok(answer) => {
                good(Dump(answer)).with_context(|| format!("allocation {nth}"))?;
                if !injected {
                    println!("{failed} of {} failing allocations are errors", nth - 1);
                    ensure!(failed > 0, "no allocation failed");
                    return Ok(());
                }
            }
            Err(error) => {
                // What was done and told stays, also if the acknowledgment is not.
                if let Some(reply) = raw.reply_without_answer()? {
                    good(Dump(reply)).with_context(|| format!("allocation {nth}, no answer"))?;
                }
                ensure!(injected, "without a failure: {error:#}");
                let errno = error.downcast::<io::Error>()?.raw_os_error();
                ensure!(
                    errno.is_some_and(|errno| is_want_of_memory(command, errno)),
                    "allocation {nth}: error {errno:?}"
                );
                failed += 1;
            }
        }
        if let Some(leaked) = Counters::grown_since(Counters::inside, &before, LONG_PATIENCE) {
            bail!("allocation {nth}: leaked: {leaked}");
        }
        before.lower_to(&Counters::inside());
        // What an overrun left behind.
        raw.drain();
    }
    bail!("never without a failure")
}

fn each_allocation_of_dump(original: &UdpSocket, selector: &[RawAttr]) -> Result<()> {
    let mut client = cr::client()?;
    let expected = cr::dump(&mut client, original)?;
    for number in [attr::OWNER, attr::REUSEPORT_FILTER, attr::MEMBERSHIP] {
        ensure!(expected.get(number).is_some(), "no {number}: {expected:?}");
    }
    let before = observe(original);
    drop(client);
    each_allocation(DUMP, selector, |dump| {
        ensure!(dump == expected, "{dump:?} != {expected:?}");
        Ok(())
    })?;
    same("the dumps changed the socket", &before, &observe(original))
}

fn bound() -> Result<UdpSocket> {
    let socket = socket::udp()?;
    // Who changes the device later leaves the group that shares the port.
    socket::set(&socket, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, b"lo")?;
    give_owner(&socket)?;
    give_group_program(&socket)?;
    socket::bind(&socket, "127.0.0.1:7000".parse()?)?;
    join_groups(&socket)?;
    Ok(socket)
}

/// Makes a socket a member of groups with filters: without one, that a device had no room for the
/// group is kept secret by the kernel.
pub fn join_groups(socket: &UdpSocket) -> Result<()> {
    for member in ON_LOOPBACK.iter().filter(|one| !one.sources.is_empty()) {
        member.join(socket)?;
    }
    Ok(())
}

/// Has this process told of what happens to a socket, by a signal that it ignores.
pub fn give_owner(socket: &UdpSocket) -> Result<()> {
    let me = std::process::id().cast_signed();
    signal::set_owner(socket, OwnerType::Process, me)?;
    signal::set_signal(socket, libc::SIGURG)?;
    socket::fcntl(socket, libc::F_SETFL, libc::O_ASYNC)?;
    Ok(())
}

/// Has a socket share its port, by a program.
pub fn give_group_program(socket: &UdpSocket) -> Result<()> {
    let program = [Instruction::FIRST_BYTE, Instruction::RETURN_IT];
    socket::set_int(socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    Ok(filter::attach(
        socket,
        libc::SO_ATTACH_REUSEPORT_CBPF,
        &program,
    )?)
}

fn dump() -> Result<()> {
    let original = bound()?;
    let fd = original.as_raw_fd().cast_unsigned();
    each_allocation_of_dump(&original, &[RawAttr::u32(attr::SOCK_FD, fd)])
}

fn dump_by_inode() -> Result<()> {
    let original = bound()?;
    let inode = socket::inode(&original)?;
    each_allocation_of_dump(&original, &[RawAttr::uint(attr::INODE, inode)])
}

fn dump_by_pidfd() -> Result<()> {
    let original = bound()?;
    let me = task::pidfd_open(std::process::id().cast_signed())?;
    let selector = [
        RawAttr::u32(attr::PIDFD, me.as_raw_fd().cast_unsigned()),
        RawAttr::u32(attr::SOCK_FD, original.as_raw_fd().cast_unsigned()),
    ];
    each_allocation_of_dump(&original, &selector)
}

/// A socket in that place that something is done to before.
fn restore(name: &str, prepare: fn(&UdpSocket) -> Result<()>) -> Result<()> {
    let original = socket::udp()?;
    prepare(&original)?;
    (place(name).context("no such place")?.go)(&original)?;
    let looks = Looks::of(&mut cr::client()?, &original)?;
    drop(original);
    each_allocation_of_restore(&looks.dump, &looks)
}

/// Makes each allocation of a restore fail: a copy that comes back nevertheless is a whole one.
pub fn each_allocation_of_restore(request: &Dump, expected: &Looks) -> Result<()> {
    each_allocation(RESTORE, &request.0, |answer| {
        let fd = answer.u32(attr::SOCK_FD).context("no descriptor")?;
        let copy = UdpSocket::from(task::adopt(fd.cast_signed()));
        let found = Looks::of(&mut cr::client()?, &copy)?;
        expected.same("original != copy", &found)
    })
}

/// A refusal, too, allocates: what it was about may get lost, not more.
fn refusal() -> Result<()> {
    link::add_dummy("dummy0")?;
    let mut fault = Fault::open()?;
    let client = cr::client()?;
    let mut raw = RawNetlink::open(&client)?;
    let mut before = Counters::inside();
    let name = RawAttr::string(attr::BINDTODEVICE, c"nothing0");
    let bytes = RawAttr::encode_all(&[name]);
    for nth in 1..1000 {
        fault.arm(nth)?;
        let sent = raw.send(RESTORE, &bytes);
        let injected = fault.disarm()?;
        if sent.is_ok() {
            ensure!(raw.answer().is_err(), "not refused");
        }
        if let Some(leaked) = Counters::grown_since(Counters::inside, &before, LONG_PATIENCE) {
            bail!("allocation {nth}: leaked: {leaked}");
        }
        before.lower_to(&Counters::inside());
        if !injected {
            link::remove("dummy0")?;
            return Ok(());
        }
        raw.drain();
    }
    bail!("never without a failure")
}
