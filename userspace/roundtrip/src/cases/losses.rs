// SPDX-License-Identifier: GPL-2.0

//! Parts of a socket that are left out of a dump if the requester says so (`ALLOW_LOST`), and that
//! a restore goes without if its requester says so, too.
//!
//! What is left is compared with a twin that never had the part.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use inetcr::{Client, Error, RawAttr};
use libc::SOL_SOCKET;

use crate::cr::{self, Dump, Expected, Part, Queued, attr};
use crate::observe::{observe, same};
use crate::places::{PEER, PORT};
use crate::runner::{Test, skip};
use crate::sys::cgroup::Cgroup;
use crate::sys::{filter, link, socket, storage};

/// All that may be lost, by bit.
const ALL: u32 = 0x5f;

const EBPF_FILTER: u32 = 1;
const XATTR: u32 = 1 << 4;

/// A part that may be lost.
struct Loss {
    name: &'static str,
    /// What it is called in the specification.
    spec: &'static str,
    bit: u32,
    /// A word of the refusal.
    word: &'static str,
    /// What the kernel needs for it.
    needs: &'static str,
    /// Gives it to a socket that is bound. Hands over what keeps it there. `ENOPROTOOPT` where the
    /// kernel does not have it.
    give: fn(&UdpSocket) -> io::Result<Option<OwnedFd>>,
}

const LOSSES: &[Loss] = &[
    Loss {
        name: "ebpf_filter",
        spec: "ebpf-filter",
        bit: EBPF_FILTER,
        word: "an eBPF filter",
        needs: "CONFIG_BPF_SYSCALL",
        give: |s| without_bpf(filter::attach_ebpf(s, libc::SO_ATTACH_BPF)).map(|()| None),
    },
    Loss {
        name: "ebpf_reuseport",
        spec: "ebpf-reuseport",
        bit: 1 << 1,
        word: "an eBPF SO_REUSEPORT program",
        needs: "CONFIG_BPF_SYSCALL",
        give: |s| {
            const SO_ATTACH_REUSEPORT_EBPF: i32 = 52;
            without_bpf(filter::attach_ebpf(s, SO_ATTACH_REUSEPORT_EBPF)).map(|()| None)
        },
    },
    Loss {
        name: "bpf_storage",
        spec: "bpf-storage",
        bit: 1 << 2,
        word: "BPF storage",
        needs: "CONFIG_BPF_SYSCALL",
        give: |s| without_bpf(storage::keep(s)).map(Some),
    },
    Loss {
        name: "xfrm_policy",
        spec: "xfrm-policy",
        bit: 1 << 3,
        word: "an XFRM policy",
        needs: "CONFIG_XFRM_USER",
        give: |s| {
            // A struct xfrm_userpolicy_info: IPv4, what goes out, allowed.
            let mut policy = [0; 168];
            policy[40] = 2;
            policy[160] = 1;
            // A kernel that has the option and no key manager says otherwise.
            socket::set(s, libc::SOL_IP, 17, &policy)
                .map(|()| None)
                .map_err(|_| unknown())
        },
    },
    Loss {
        name: "xattr",
        spec: "xattr",
        bit: XATTR,
        word: "extended attribute",
        needs: "extended attributes of sockets",
        give: |s| socket::set_attribute(s, c"user.test", b"value").map(|()| None),
    },
];

fn unknown() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOPROTOOPT)
}

fn without_bpf<T>(result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| match error.raw_os_error() {
        Some(libc::ENOSYS) => unknown(),
        _ => error,
    })
}

pub fn tests() -> Vec<Test> {
    let each = LOSSES
        .iter()
        .map(|loss| Test::new(format!("losses::{}", loss.name), || lost(loss)));
    let others = [
        Test::new("losses::several", several),
        Test::new("losses::nothing", nothing),
        Test::new("losses::queue", queue),
        Test::new("losses::given_again", given_again),
        Test::new("losses::locked_filter", locked_filter),
        Test::new("losses::never", never),
        Test::new("losses::reserve_mem", reserve_mem),
        Test::new("losses::wrong", wrong),
    ];
    each.chain(others).collect()
}

fn bound() -> Result<UdpSocket> {
    let socket = socket::udp()?;
    socket::set_int(&socket, SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    socket::bind(&socket, SocketAddrV4::new(Ipv4Addr::LOCALHOST, PORT))?;
    Ok(socket)
}

/// Gives a socket a part.
fn give(loss: &Loss, socket: &UdpSocket) -> Result<Option<OwnedFd>> {
    match (loss.give)(socket) {
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {
            skip(&format!("{}: {}", loss.spec, loss.needs))
        }
        other => other.with_context(|| format!("setting up {}", loss.spec)),
    }
}

fn allowing(bits: u32) -> RawAttr {
    RawAttr::u32(attr::ALLOW_LOST, bits)
}

/// Dumps a socket that may lose something.
fn dump(client: &mut Client, socket: &UdpSocket, allowed: u32) -> Result<Dump, Error> {
    let fd = RawAttr::u32(attr::SOCK_FD, socket.as_raw_fd().cast_unsigned());
    client.raw(cr::DUMP, &[fd, allowing(allowed)]).map(Dump)
}

/// The message about a socket in an answer about many.
fn dump_of_many(client: &mut Client, socket: &UdpSocket, allowed: u32) -> Result<Dump> {
    let inode = RawAttr::uint(attr::FILTER_INODE, socket::inode(socket)?);
    let mut messages = client.raw_multipart(cr::DUMP, &[inode, allowing(allowed)])?;
    ensure!(messages.len() == 1, "{} messages", messages.len());
    Ok(Dump(messages.remove(0)))
}

fn with_allowed(dump: &Dump, bits: u32) -> Dump {
    dump.clone().with(allowing(bits))
}

/// Each is lost if it is allowed, and by nobody else: not by who dumps, not by who restores.
fn lost(loss: &Loss) -> Result<()> {
    let mut client = cr::client()?;
    let twin = bound()?;
    let seen_of_twin = observe(&twin);
    let dump_of_twin = cr::dump(&mut client, &twin)?;
    drop(twin);
    let original = bound()?;
    let _kept = give(loss, &original)?;
    let seen = observe(&original);

    let words = format!("allow-lost {}", loss.spec);
    let refusal = Expected::errno(&[libc::EOPNOTSUPP]);
    for word in [loss.word, &words] {
        cr::dump_refused(&mut client, &original, refusal.word(word))?;
    }
    let others = ALL & !loss.bit;
    cr::refused(dump(&mut client, &original, others), refusal.word(&words))?;
    let report = dump_of_many(&mut client, &original, others)?;
    let told = report.at(&[attr::REPORT, attr::report::MSG]);
    let told = String::from_utf8_lossy(&told.unwrap_or_default()).into_owned();
    ensure!(told.contains(&words), "of many: {told:?}");

    for allowed in [loss.bit, ALL] {
        for (what, dumped) in [
            ("dump", dump(&mut client, &original, allowed)?),
            (
                "dump of many",
                dump_of_many(&mut client, &original, allowed)?,
            ),
        ] {
            cr::check_identity(&dumped, &original)?;
            let bits = dumped.u32(attr::LOST);
            ensure!(bits == Some(loss.bit), "{what} has lost {bits:?}");
            cr::same_dump(&dump_of_twin, &dumped.without(attr::LOST)).context(what)?;
        }
    }
    same("the dumps changed it", &seen, &observe(&original))?;

    let dumped = dump(&mut client, &original, loss.bit)?;
    drop(original);
    let expected = Expected::errno(&[libc::EINVAL])
        .paths(&[&[attr::LOST]])
        .word(loss.spec);
    cr::restore_refused(&mut client, &dumped, expected)?;
    cr::restore_refused(&mut client, &with_allowed(&dumped, others), expected)?;
    for allowed in [loss.bit, ALL] {
        let copy = cr::restore(&mut client, &with_allowed(&dumped, allowed))?;
        same("twin != copy", &seen_of_twin, &observe(&copy))?;
        cr::same_dump(&dump_of_twin, &cr::dump(&mut client, &copy)?)?;
        UdpSocket::bind(PEER)?.send_to(b"works", socket::name(&copy)?)?;
        let soon = Duration::from_secs(5);
        ensure!(socket::readable(&copy, soon)?, "nothing arrives");
    }
    Ok(())
}

/// What is not allowed of several is told, one at a time.
fn several() -> Result<()> {
    let mut client = cr::client()?;
    let original = bound()?;
    let both = [EBPF_FILTER, XATTR];
    for loss in LOSSES.iter().filter(|loss| both.contains(&loss.bit)) {
        give(loss, &original)?;
    }
    let refusal = Expected::errno(&[libc::EOPNOTSUPP]);
    for (allowed, word) in [(EBPF_FILTER, "lost xattr"), (XATTR, "lost ebpf-filter")] {
        cr::refused(dump(&mut client, &original, allowed), refusal.word(word))?;
    }
    let bits = EBPF_FILTER | XATTR;
    let dumped = dump(&mut client, &original, bits)?;
    ensure!(dumped.u32(attr::LOST) == Some(bits), "{dumped:?}");
    drop(original);
    let refusal = Expected::errno(&[libc::EINVAL]).attribute(attr::LOST);
    for (allowed, word) in [(EBPF_FILTER, "xattr"), (XATTR, "ebpf-filter")] {
        let dump = with_allowed(&dumped, allowed);
        cr::restore_refused(&mut client, &dump, refusal.word(word))?;
    }
    cr::restore(&mut client, &with_allowed(&dumped, bits))?;
    Ok(())
}

/// A socket that has nothing to lose is dumped and restored as ever.
fn nothing() -> Result<()> {
    let mut client = cr::client()?;
    let original = bound()?;
    let plain = cr::dump(&mut client, &original)?;
    for allowed in [0, ALL] {
        for dumped in [
            dump(&mut client, &original, allowed)?,
            dump_of_many(&mut client, &original, allowed)?,
        ] {
            ensure!(dumped.get(attr::LOST).is_none(), "lost {dumped:?}");
            cr::same_dump(&plain, &dumped)?;
        }
    }
    drop(original);
    let none = RawAttr::u32(attr::LOST, 0);
    drop(cr::restore(&mut client, &plain.clone().with(none))?);
    cr::restore(&mut client, &with_allowed(&plain, ALL))?;
    Ok(())
}

/// In a transaction, the first part says what may be lost.
fn queue() -> Result<()> {
    let mut client = cr::client()?;
    let original = bound()?;
    UdpSocket::bind(PEER)?.send_to(b"waits", socket::name(&original)?)?;
    // The datagrams are those of any socket.
    let queue = Queued::of(&mut client, &original)?.queue;
    socket::set_attribute(&original, c"user.test", b"value")?;
    let dumped = dump(&mut client, &original, XATTR)?;
    drop(original);

    let refusal = Expected::errno(&[libc::EINVAL]).attribute(attr::LOST);
    let begin = Part::Begin.send(&mut client, &dumped.0);
    cr::refused(begin, refusal.word("xattr"))?;
    Part::Begin.send(&mut client, &with_allowed(&dumped, XATTR).0)?;
    let expected = Expected::errno(&[libc::EINVAL]).attribute(attr::ALLOW_LOST);
    let part = Part::Queue.send(&mut client, &[allowing(XATTR)]);
    cr::refused(part, expected.word("does not belong"))?;

    let dump = with_allowed(&dumped, XATTR);
    let copy = Queued { dump, queue }.restore(&mut client)?;
    let mut buffer = [0; 16];
    let len = copy.recv(&mut buffer)?;
    ensure!(buffer[..len] == *b"waits", "{:?}", &buffer[..len]);
    Ok(())
}

/// What was lost is given to the copy by whoever has it, and is there to be lost again.
fn given_again() -> Result<()> {
    let mut client = cr::client()?;
    for loss in LOSSES
        .iter()
        .filter(|one| one.bit != 1 << 3 && one.bit != 1 << 5)
    {
        let original = bound()?;
        let kept = give(loss, &original)?;
        let dumped = dump(&mut client, &original, loss.bit)?;
        drop((original, kept));
        let copy = cr::restore(&mut client, &with_allowed(&dumped, loss.bit))?;
        let _kept = give(loss, &copy)?;
        let again = dump(&mut client, &copy, loss.bit)?;
        cr::same_dump(&dumped, &again).with_context(|| loss.spec)?;
    }
    Ok(())
}

/// A filter that was locked is lost with the key: the copy can have none, unless the lock is left
/// out, too.
fn locked_filter() -> Result<()> {
    const LOCK: u32 = 1 << 6;
    let mut client = cr::client()?;
    let loss = &LOSSES[0];
    let original = bound()?;
    give(loss, &original)?;
    socket::set_int(&original, SOL_SOCKET, libc::SO_LOCK_FILTER, 1)?;
    let dumped = with_allowed(&dump(&mut client, &original, EBPF_FILTER)?, EBPF_FILTER);
    drop(original);
    let copy = cr::restore(&mut client, &dumped)?;
    let attached = filter::attach_ebpf(&copy, libc::SO_ATTACH_BPF);
    let errno = attached.err().and_then(|error| error.raw_os_error());
    ensure!(errno == Some(libc::EPERM), "attached: {errno:?}");
    drop(copy);
    let without_lock = |number| -> Result<RawAttr> {
        let bits = dumped.u32(number).context("no flags")?;
        Ok(RawAttr::u32(number, bits & !LOCK))
    };
    let open = dumped
        .clone()
        .with(without_lock(attr::SOCKOPT_FLAGS)?)
        .with(without_lock(attr::SOCKOPT_FLAGS_MASK)?);
    give(loss, &cr::restore(&mut client, &open)?)?;
    Ok(())
}

/// What makes another socket cannot be lost, whatever is allowed.
fn never() -> Result<()> {
    const IP_UNICAST_IF: i32 = 50;
    let mut client = cr::client()?;
    let refusal = Expected::errno(&[libc::EOPNOTSUPP]);
    let stream = socket::socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
    let result = dump(&mut client, &stream.into(), ALL);
    cr::refused(result, refusal.word("SOCK_STREAM"))?;
    let lost_its_device = bound()?;
    link::add_dummy("gone0")?;
    let index = link::index("gone0")?.to_be_bytes();
    socket::set(&lost_its_device, libc::SOL_IP, IP_UNICAST_IF, &index)?;
    link::remove("gone0")?;
    let result = dump(&mut client, &lost_its_device, ALL);
    cr::refused(result, refusal.word("a device that is gone"))?;
    Ok(())
}

/// Memory is set aside for TCP alone, so that nobody looks for it.
fn reserve_mem() -> Result<()> {
    const SO_RESERVE_MEM: i32 = 73;

    // A socket without a memory control group would be refused for that.
    let group = Cgroup::with_memory("reserve_mem")?;
    group.enter()?;
    let set = socket::set_int(&bound()?, SOL_SOCKET, SO_RESERVE_MEM, 100_000);
    let errno = set.err().and_then(|error| error.raw_os_error());
    ensure!(errno == Some(libc::EOPNOTSUPP), "{errno:?}");
    Ok(())
}

/// Bits that are none, and requests that have none.
fn wrong() -> Result<()> {
    let mut client = cr::client()?;
    let original = bound()?;
    let dumped = cr::dump(&mut client, &original)?;
    let invalid = Expected::errno(&[libc::EINVAL]);
    for bits in [1 << 5, 1 << 7, u32::MAX] {
        let result = dump(&mut client, &original, bits);
        cr::refused(result, invalid.attribute(attr::ALLOW_LOST))?;
        let result = client.raw_multipart(cr::DUMP, &[allowing(bits)]);
        cr::refused(result, invalid.attribute(attr::ALLOW_LOST))?;
        let restore = with_allowed(&dumped, bits);
        cr::restore_refused(&mut client, &restore, invalid.attribute(attr::ALLOW_LOST))?;
        let restore = with_allowed(&dumped, ALL).with(RawAttr::u32(attr::LOST, bits));
        cr::restore_refused(&mut client, &restore, invalid.attribute(attr::LOST))?;
    }
    let fd = RawAttr::u32(attr::SOCK_FD, original.as_raw_fd().cast_unsigned());
    let twice = [fd.clone(), allowing(1), allowing(1)];
    cr::refused(client.raw(cr::DUMP, &twice), invalid.word("repeated"))?;
    let of_dump = [fd.clone(), RawAttr::u32(attr::LOST, 1)];
    cr::refused(client.raw(cr::DUMP, &of_dump), invalid)?;
    let of_queue = [fd, allowing(1)];
    cr::refused(client.raw_multipart(cr::QUEUE, &of_queue), invalid)?;
    Ok(())
}
