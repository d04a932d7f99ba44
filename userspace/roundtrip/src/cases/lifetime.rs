// SPDX-License-Identifier: GPL-2.0

//! Sockets that go, change or are locked while they are looked at.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use inetcr::{Client, Error, Selector};

use crate::cr::{self, Expected, attr};
use crate::places::PEER;
use crate::runner::Test;
use crate::sys::{errno_name, link, namespace, socket, task};

/// How often; enough to meet, few enough for an emulated machine.
const ROUNDS: u32 = 150;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("lifetime::descriptor_changes_hands", changes_hands).slow(),
        Test::new("lifetime::connects_and_disconnects", connects).slow(),
        Test::new("lifetime::options_change", options_change).slow(),
        Test::new("lifetime::owner_exits", owner_exits).slow(),
        Test::new("lifetime::namespace_exits", namespace_exits).slow(),
        Test::new("lifetime::two_at_once", two_at_once).slow(),
        Test::new("lifetime::locked_by_a_sender", locked_by_a_sender).slow(),
        Test::new("lifetime::namespace_goes_with_its_copy", goes_with_its_copy).slow(),
    ]
}

/// Runs `other` again and again in a thread, while `body` runs.
pub fn while_another<T>(other: impl Fn() + Sync, body: impl FnOnce() -> Result<T>) -> Result<T> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                other();
            }
        });
        let result = body();
        done.store(true, Ordering::Relaxed);
        result
    })
}

/// The error number of a refusal by the kernel.
fn errno(error: &Error) -> i32 {
    error.kernel().map_or(0, |kernel| kernel.errno)
}

fn bound(port: u16) -> Result<UdpSocket> {
    let socket = socket::udp()?;
    socket::bind(&socket, format!("127.0.0.1:{port}").parse()?)?;
    Ok(socket)
}

/// A descriptor names one socket, another one, a file, and nothing, in turns.
fn changes_hands() -> Result<()> {
    let mut client = cr::client()?;
    let (first, second) = (bound(7000)?, bound(7001)?);
    let file = std::fs::File::open("/proc/self/status")?;
    let slot = first.try_clone()?;
    let number = slot.as_raw_fd();
    let mut seen = [0_u32; 2];
    while_another(
        || {
            let _ = task::dup_onto(&first, number);
            let _ = task::dup_onto(&file, number);
            let _ = task::dup_onto(&second, number);
        },
        || {
            for _ in 0..ROUNDS {
                match cr::dump_by(&mut client, Selector::Fd(number).into()) {
                    Ok(dump) => {
                        let port = dump.get(attr::LOCAL_PORT).context("no port")?;
                        let port = u16::from_be_bytes(port.try_into()?);
                        let socket = [&first, &second][usize::from(port - 7000)];
                        cr::check_identity(&dump, socket)?;
                        seen[usize::from(port - 7000)] += 1;
                    }
                    Err(error) => {
                        let errno = errno(&error);
                        ensure!(
                            matches!(errno, libc::ENOTSOCK | libc::EBADF),
                            "{error} ({})",
                            errno_name(errno)
                        );
                    }
                }
            }
            Ok(())
        },
    )?;
    println!("dumped the first {} times, the second {}", seen[0], seen[1]);
    Ok(())
}

/// bind and connect take the socket's lock: a dump sees either the whole of a
/// connect or nothing of it.
fn connects() -> Result<()> {
    let mut client = cr::client()?;
    let original = bound(7000)?;
    while_another(
        || {
            let _ = socket::connect(&original, PEER);
            let _ = socket::disconnect(&original);
        },
        || {
            for _ in 0..ROUNDS {
                let dump = match cr::dump(&mut client, &original) {
                    Ok(dump) => dump,
                    Err(error) => match error.downcast_ref::<Error>() {
                        Some(error) if errno(error) == libc::EBUSY => continue,
                        _ => return Err(error),
                    },
                };
                let connected = dump.u32(attr::SOCK_STATE) == Some(1);
                let peer = dump.get(attr::PEER_ADDR).is_some();
                let port = dump.get(attr::PEER_PORT).is_some();
                ensure!(
                    connected == peer && peer == port,
                    "state {connected}, address {peer}, port {port}"
                );
            }
            Ok(())
        },
    )
}

/// Options are set without the lock: each is read once and is one of those
/// that were set.
fn options_change() -> Result<()> {
    let mut client = cr::client()?;
    let original = bound(7000)?;
    while_another(
        || {
            for (priority, size) in [(3, 2000), (5, 4000)] {
                let level = libc::SOL_SOCKET;
                let _ = socket::set_int(&original, level, libc::SO_PRIORITY, priority);
                let _ = socket::set_int(&original, level, libc::SO_RCVBUF, size);
            }
        },
        || {
            for _ in 0..ROUNDS {
                let dump = match cr::dump(&mut client, &original) {
                    Ok(dump) => dump,
                    Err(error) => match error.downcast_ref::<Error>() {
                        Some(error) if errno(error) == libc::EBUSY => continue,
                        _ => return Err(error),
                    },
                };
                let priority = dump.u32(13);
                ensure!(matches!(priority, Some(0 | 3 | 5)), "priority {priority:?}");
                let size = dump.u32(attr::RCVBUF).unwrap_or(0);
                let smallest = size == 2 * 2000 || size == 2 * 4000;
                ensure!(smallest || size > 100_000, "size {size}");
            }
            Ok(())
        },
    )
}

/// The only owner of a socket dies while the socket is looked for.
fn owner_exits() -> Result<()> {
    let mut client = cr::client()?;
    for round in 0..12_u64 {
        let (reader, writer) = std::io::pipe()?;
        let mut reader = std::fs::File::from(std::os::fd::OwnedFd::from(reader));
        let is_bound = round % 2 == 0;
        let mut child = task::fork(|| {
            let work = || -> Result<()> {
                let socket = if is_bound {
                    bound(7000)?
                } else {
                    socket::udp()?
                };
                let inode = socket::inode(&socket)?;
                std::io::Write::write_all(&mut &writer, &inode.to_ne_bytes())?;
                std::thread::sleep(Duration::from_micros(round * 700));
                Ok(())
            };
            i32::from(work().is_err())
        })?;
        let mut inode = [0; 8];
        std::io::Read::read_exact(&mut reader, &mut inode)?;
        let inode = u64::from_ne_bytes(inode);
        let mut tries = 0;
        loop {
            match cr::dump_by(&mut client, Selector::Inode(inode).into()) {
                Ok(dump) => ensure!(
                    dump.uint(attr::INODE) == Some(inode),
                    "found another socket"
                ),
                Err(error) if errno(&error) == libc::ENOENT => break,
                Err(error) if errno(&error) == libc::EBUSY => {}
                Err(error) => return Err(error.into()),
            }
            tries += 1;
            ensure!(tries < 100_000, "the socket is never gone");
        }
        child.wait(Duration::from_secs(5))?;
    }
    Ok(())
}

/// A network namespace goes while sockets in it are dumped and restored.
fn namespace_exits() -> Result<()> {
    for round in 0..6_u64 {
        let mut child = task::fork(|| {
            let work = || -> Result<()> {
                namespace::new_network()?;
                let mut client = cr::client()?;
                let mut socket = bound(7000)?;
                loop {
                    socket = cr::round_trip(&mut client, socket)?;
                }
            };
            if let Err(error) = work() {
                eprintln!("{error:#}");
            }
            1
        })?;
        if let task::End::Exited(code) = child.wait(Duration::from_millis(20 + 7 * round))? {
            bail!("the child ended by itself: {code}");
        }
        child.kill();
        child.wait(Duration::from_secs(5))?;
    }
    Ok(())
}

/// Two threads restore on netlink sockets of their own: every copy is whole,
/// and every descriptor another.
fn two_at_once() -> Result<()> {
    let dump = cr::dump(&mut cr::client()?, &socket::udp()?)?;
    let restore = || -> Result<Vec<UdpSocket>> {
        let mut client = cr::client()?;
        let mut copies = Vec::new();
        for _ in 0..40 {
            let copy = cr::restore(&mut client, &dump)?;
            cr::same_dump(&dump, &cr::dump(&mut client, &copy)?)?;
            copies.push(copy);
        }
        Ok(copies)
    };
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(restore);
        (restore(), other.join())
    });
    let second = second.map_err(|_| anyhow::anyhow!("the thread panicked"))?;
    let mut numbers: Vec<_> = [first?, second?]
        .iter()
        .flatten()
        .map(AsRawFd::as_raw_fd)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    ensure!(numbers.len() == 80, "{} descriptors", numbers.len());
    Ok(())
}

/// A socket whose send buffer is full of what nobody takes.
pub fn without_room() -> Result<UdpSocket> {
    link::add_silent("silent0", [10, 7, 0, 1].into())?;
    let socket = socket::udp()?;
    socket::connect(&socket, "10.7.0.2:9".parse()?)?;
    socket::set_int(&socket, libc::SOL_SOCKET, libc::SO_SNDBUF, 4096)?;
    while socket::send(&socket, &[0; 1000], libc::MSG_DONTWAIT).is_ok() {}
    Ok(socket)
}

/// How long it may take until a sender sleeps.
pub const TO_SLEEP: Duration = Duration::from_secs(8);

/// Does something while a sender waits for room in the buffer of such a socket, which it keeps
/// locked: a dump of it shows that, soon.
pub fn while_sender_sleeps<T>(
    socket: &UdpSocket,
    body: impl FnOnce(&mut Client) -> Result<T>,
) -> Result<T> {
    let mut client = cr::client()?;
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| socket::send(socket, &[0; 1000], libc::MSG_MORE));
        let start = Instant::now();
        let mut last = Ok(());
        // Until the sender sleeps, it is another refusal: of what is under way.
        while start.elapsed() < TO_SLEEP {
            let result = cr::dump_by(&mut client, Selector::Fd(socket.as_raw_fd()).into());
            let expected = Expected::errno(&[libc::EBUSY]).word("keeps the socket locked");
            last = cr::refused(result, expected).map(drop);
            if last.is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let done = last
            .context("while a sender waits with the socket locked")
            .and_then(|()| body(&mut client));
        // What waits for the neighbour goes, so that there is room again.
        let removed = link::remove("silent0");
        let _ = sender.join();
        removed?;
        done
    })
}

/// The answer is EBUSY, and not when the sender is done.
fn locked_by_a_sender() -> Result<()> {
    let original = without_room()?;
    while_sender_sleeps(&original, |_| Ok(()))
}

/// A copy keeps its network namespace, as every socket does, and no longer.
fn goes_with_its_copy() -> Result<()> {
    let home = namespace::Network::current()?;
    namespace::new_network()?;
    let copy = cr::round_trip(&mut cr::client()?, bound(7000)?)?;
    home.enter()?;
    // Nothing but the copy is left there.
    copy.send_to(b"x", "127.0.0.1:7000")?;
    let (payload, _) = socket::receive(&copy, libc::MSG_DONTWAIT)?;
    ensure!(payload == b"x", "another datagram");
    Ok(())
}
