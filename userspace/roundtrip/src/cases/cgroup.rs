// SPDX-License-Identifier: GPL-2.0

//! The control group that a socket belongs to, that of who has made it; and the one that pays for
//! what waits, that of who asks.

use std::fs;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use inetcr::RawAttr;

use super::amend::request;
use super::queue::traffic::{HERE, holding, payload, peer};
use crate::cr::{self, AMEND, Dump, Part, QUEUE, Queued, RESTORE, attr};
use crate::places::PORT;
use crate::rawnl::RawNetlink;
use crate::runner::{self, Test};
use crate::sys::cgroup::Cgroup;
use crate::sys::socket;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("cgroup::of_the_restorer", of_the_restorer),
        Test::new("cgroup::memory::of_a_dump", of_a_dump).slow(),
        Test::new("cgroup::memory::of_a_restore", of_a_restore).slow(),
        Test::new("cgroup::memory::of_an_amendment", of_an_amendment).slow(),
    ]
}

/// Whether sockets of this kernel know their control group.
fn is_known() -> Result<bool> {
    let symbols = fs::read_to_string("/proc/kallsyms").context("/proc/kallsyms")?;
    Ok(symbols.contains(" cgroup_sk_alloc\n"))
}

/// A dump says where the original is; the copy is where its maker is, wherever that was.
fn of_the_restorer() -> Result<()> {
    let mut client = cr::client()?;
    if !is_known()? {
        let dump = cr::dump(&mut client, &UdpSocket::bind(("127.0.0.1", PORT))?)?;
        ensure!(dump.get(attr::CGROUP).is_none(), "{dump:?}");
        return runner::skip("control groups of sockets");
    }
    let (group, other) = (Cgroup::new("maker")?, Cgroup::new("restorer")?);
    group.enter()?;
    let original = UdpSocket::bind(("127.0.0.1", PORT))?;
    other.enter()?;
    let dump = cr::dump(&mut client, &original)?;
    ensure!(dump.uint(attr::CGROUP) == Some(group.id()?), "{dump:?}");
    drop(original);
    let copy = cr::restore(&mut client, &dump)?;
    let of_copy = cr::dump(&mut client, &copy)?.uint(attr::CGROUP);
    ensure!(of_copy == Some(other.id()?), "{of_copy:?}");
    Ok(())
}

/// How many datagrams wait, and how long each of them is. All other memory that a test gets
/// meanwhile is little beside them: it asks for all that is large before.
const COUNT: u32 = 160;
const LEN: usize = 60_000;

/// What the control group has more as long as they are held, at least, and at the most when they
/// are not any more. Their payload is 9.6 MB. What has been given back is kept for each processor
/// for a while, some hundred KiB at the most.
const HELD: u64 = 8 << 20;
const LEFT: u64 = 4 << 20;

/// The memory of a control group that this process has just entered.
struct Memory {
    group: Cgroup,
    before: u64,
}

impl Memory {
    fn enter(name: &str) -> Result<Self> {
        let group = Cgroup::with_memory(name)?;
        if group.memory()?.is_none() {
            return runner::skip("control groups of memory");
        }
        group.enter()?;
        let before = group.memory()?.context("memory.current is gone")?;
        Ok(Self { group, before })
    }

    /// How much it has more than at the beginning.
    fn more(&self) -> Result<u64> {
        let now = self.group.memory()?.context("memory.current is gone")?;
        Ok(now.saturating_sub(self.before))
    }

    fn holds_the_queue(&self) -> Result<()> {
        let more = self.more()?;
        ensure!(more >= HELD, "only {more} bytes are charged");
        Ok(())
    }

    /// A socket goes some time after it was closed (RCU).
    fn has_given_it_back(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            match self.more()? {
                more if more < LEFT => return Ok(()),
                more if start.elapsed() > Duration::from_secs(10) => {
                    bail!("{more} bytes are still charged")
                }
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

/// Has a socket take more than all of them.
fn enlarge(socket: &UdpSocket) -> Result<()> {
    const SO_RCVBUFFORCE: i32 = 33;
    Ok(socket::set_int(
        socket,
        libc::SOL_SOCKET,
        SO_RCVBUFFORCE,
        1 << 26,
    )?)
}

/// What a dump of the queue has not given out yet is charged to who reads it.
fn of_a_dump() -> Result<()> {
    let mut client = cr::client()?;
    let original = holding(&[])?;
    enlarge(&original)?;
    let (peer, datagram) = (peer()?, payload(1, LEN));
    for count in 1..=COUNT {
        peer.send_to(&datagram, HERE)?;
        let start = Instant::now();
        while cr::dump(&mut client, &original)?.u32(attr::QUEUE_LEN) != Some(count) {
            ensure!(start.elapsed() < Duration::from_secs(5), "it does not come");
        }
    }
    let mut raw = RawNetlink::open(&client)?;
    let fd = RawAttr::u32(attr::SOCK_FD, original.as_raw_fd().cast_unsigned());
    let request = RawAttr::encode_all(&[fd]);

    let memory = Memory::enter("memory_of_a_dump")?;
    raw.send_multipart(QUEUE, &request)?;
    memory.holds_the_queue()?;
    // Nothing of it is kept here.
    let end = loop {
        if let (_, Some(end)) = raw.part(65_536)? {
            break end;
        }
    };
    ensure!(end == 0, "error {end}");
    memory.has_given_it_back()
}

/// Sends all parts of a transaction but the last one, which is an end without a socket.
fn held(name: &str, command: u8, begin: &[RawAttr], queue: &[RawAttr]) -> Result<()> {
    let [begin, queue, abort] = [
        Part::Begin.of(begin),
        Part::Queue.of(queue),
        Part::Abort.of(&[]),
    ]
    .map(|attrs| RawAttr::encode_all(&attrs));
    let mut raw = RawNetlink::open(&cr::client()?)?;
    let mut send = |part: &[u8]| -> Result<()> {
        raw.send(command, part)?;
        raw.answer().map(drop)
    };

    let memory = Memory::enter(name)?;
    send(&begin)?;
    for _ in 0..COUNT {
        send(&queue)?;
    }
    memory.holds_the_queue()?;
    send(&abort)?;
    memory.has_given_it_back()
}

/// A socket with one of the datagrams, and its dump with the datagram.
fn with_one() -> Result<(UdpSocket, Dump, Vec<RawAttr>)> {
    let original = holding(&[&payload(1, LEN)])?;
    enlarge(&original)?;
    let Queued { dump, queue } = Queued::of(&mut cr::client()?, &original)?;
    ensure!(!queue.is_empty(), "nothing waits");
    Ok((original, dump, queue))
}

/// What waits in a socket that is not handed out yet is memory of a socket of who restores it.
fn of_a_restore() -> Result<()> {
    let (original, dump, queue) = with_one()?;
    drop(original);
    held("memory_of_a_restore", RESTORE, &dump.0, &queue)
}

/// What is to come to a socket is charged to who sends it, and not to whose socket it is.
fn of_an_amendment() -> Result<()> {
    let (original, dump, queue) = with_one()?;
    let begin = request(&dump, &original);
    held("memory_of_an_amendment", AMEND, &begin.0, &queue)
}
