// SPDX-License-Identifier: GPL-2.0

//! Who may do what.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use inetcr::{Client, Error, RawAttr};

use crate::cr::{self, Dump, Expected, attr};
use crate::observe::{observe, same};
use crate::options::{apply, remove_devices, rows, socket_with};
use crate::places::{PLACES, place};
use crate::rawnl::{RawNetlink, netlink_socket};
use crate::runner::{Test, skip};
use crate::sys::landlock::{self, Right};
use crate::sys::task::{self, End};
use crate::sys::{errno_name, namespace, socket};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("refusals::privilege::no_net_admin", no_net_admin),
        Test::new("refusals::privilege::dropped_later", dropped_later),
        Test::new("refusals::privilege::opened_by_another", opened_by_another),
        Test::new("refusals::privilege::opened_with_less", opened_with_less),
        Test::new(
            "refusals::privilege::opened_by_another_user",
            opened_by_another_user,
        ),
        Test::new("refusals::privilege::user_namespace_works", || {
            in_user_namespace(works_there)
        })
        .slow(),
        Test::new("refusals::privilege::user_namespace_gains_nothing", || {
            in_user_namespace(gains_nothing)
        }),
        Test::new(
            "refusals::privilege::user_namespace_gains_no_option",
            gains_no_option,
        )
        .slow(),
        Test::new("refusals::privilege::user_namespace_other_net", || {
            in_user_namespace(other_net)
        }),
        Test::new("refusals::privilege::priority", priority),
        Test::new("refusals::privilege::landlock", landlock),
    ]
}

/// A security module that lets a process bind to one port and connect to one lets it restore a
/// socket that has these, and no other one.
fn landlock() -> Result<()> {
    let mut client = cr::client()?;
    let bound = |port| -> Result<UdpSocket> { Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?) };
    let mut dump = |port, peer| -> Result<Dump> {
        let socket = bound(port)?;
        if let Some(peer) = peer {
            socket.connect((Ipv4Addr::LOCALHOST, peer))?;
        }
        cr::dump(&mut client, &socket)
    };
    let good = [dump(7000, None)?, dump(7000, Some(7001))?];
    let bad = [
        (dump(7002, None)?, attr::LOCAL_PORT),
        (dump(7000, Some(7003))?, attr::PEER_ADDR),
    ];
    let rights = [(Right::BindUdp, 7000), (Right::ConnectSendUdp, 7001)];
    match landlock::restrict(&rights) {
        Err(error) if Right::LACKS.contains(&error.raw_os_error().unwrap_or_default()) => {
            return skip("Landlock with rights for UDP");
        }
        result => result.context("Landlock")?,
    }
    let denied = bound(7002).err().context("Landlock does nothing")?;
    ensure!(denied.to_string().contains("denied"), "{denied}");
    for dump in &good {
        drop(cr::restore(&mut client, dump)?);
    }
    for (dump, number) in &bad {
        let expected = Expected::errno(&[libc::EACCES]).attribute(*number);
        cr::restore_refused(&mut client, dump, expected)?;
    }
    // Nothing holds a port that is refused only after it is bound.
    drop(bound(7000)?);
    Ok(())
}

/// Fails unless a request was answered with EPERM. Generic netlink itself says
/// it, without words.
fn not_permitted<T>(result: Result<T, Error>) -> Result<()> {
    match result {
        Ok(_) => anyhow::bail!("permitted"),
        Err(error) => {
            let errno = error.kernel().map(|kernel| kernel.errno);
            ensure!(errno == Some(libc::EPERM), "expected EPERM, got: {error}");
            Ok(())
        }
    }
}

fn neither(client: &mut Client, socket: &UdpSocket, dump: &Dump) -> Result<()> {
    let before = observe(socket);
    let files = cr::open_files();
    not_permitted(cr::dump_by(
        client,
        inetcr::Selector::Fd(socket.as_raw_fd()).into(),
    ))?;
    not_permitted(cr::restore(client, dump))?;
    ensure!(cr::open_files() == files, "the refusal left a descriptor");
    same("the refusal changed the socket", &before, &observe(socket))
}

/// The requester has no `CAP_NET_ADMIN`.
fn no_net_admin() -> Result<()> {
    let socket = socket::udp()?;
    let dump = cr::dump(&mut cr::client()?, &socket)?;
    task::drop_capabilities(&[task::CAP_NET_ADMIN])?;
    neither(&mut cr::client()?, &socket, &dump)
}

/// The netlink socket was opened with it, the request is sent without.
fn dropped_later() -> Result<()> {
    let socket = socket::udp()?;
    let mut client = cr::client()?;
    let dump = cr::dump(&mut client, &socket)?;
    task::drop_capabilities(&[task::CAP_NET_ADMIN])?;
    neither(&mut client, &socket, &dump)
}

/// The netlink socket was opened without it: a privileged process that is led
/// to write into it does no harm.
fn opened_by_another() -> Result<()> {
    let socket = socket::udp()?;
    let mut client = cr::client()?;
    let dump = cr::dump(&mut client, &socket)?;
    let prepare = || Ok(task::drop_capabilities(&[task::CAP_NET_ADMIN])?);
    with_one_of_another(&client, prepare, |raw| {
        let files = cr::open_files();
        let fd = RawAttr::u32(attr::SOCK_FD, socket.as_raw_fd().cast_unsigned());
        for (command, attrs) in [(cr::DUMP, vec![fd]), (cr::RESTORE, dump.0)] {
            raw.send(command, &RawAttr::encode_all(&attrs))?;
            let Err(error) = raw.answer() else {
                anyhow::bail!("command {command} is permitted");
            };
            let errno = error.downcast::<std::io::Error>()?.raw_os_error();
            ensure!(errno == Some(libc::EPERM), "command {command}: {errno:?}");
        }
        ensure!(cr::open_files() == files, "the refusal left a descriptor");
        Ok(())
    })
}

/// Uses a netlink socket that a process has opened when it had no more rights than `prepare` leaves
/// it.
pub fn with_one_of_another(
    client: &Client,
    prepare: impl FnOnce() -> Result<()>,
    body: impl FnOnce(&mut RawNetlink) -> Result<()>,
) -> Result<()> {
    let open = || {
        prepare()?;
        Ok(netlink_socket()?)
    };
    let meanwhile = |theirs| body(&mut RawNetlink::new(client, theirs)?);
    in_turns(open, meanwhile, |_| Ok(()))
}

/// A child opens a file, then the parent uses it, too, then the child goes on.
pub fn in_turns<T: AsRawFd>(
    first: impl FnOnce() -> Result<T>,
    meanwhile: impl FnOnce(OwnedFd) -> Result<()>,
    then: impl FnOnce(T) -> Result<()>,
) -> Result<()> {
    use std::io::{Read, Write};
    let (mut reader, mut writer) = std::io::pipe()?;
    let (mut back, mut done) = std::io::pipe()?;
    let mut child = task::fork(move || {
        let work = || -> Result<()> {
            let file = first()?;
            writer.write_all(&file.as_raw_fd().to_ne_bytes())?;
            back.read_exact(&mut [0])?;
            then(file)
        };
        match work() {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("{error:#}");
                1
            }
        }
    })?;
    let mut number = [0; 4];
    reader.read_exact(&mut number)?;
    meanwhile(task::take_descriptor(
        child.pidfd(),
        i32::from_ne_bytes(number),
    )?)?;
    done.write_all(&[0])?;
    let end = child.wait(Duration::from_secs(60))?;
    ensure!(end == End::Exited(0), "the child: {end:?}");
    Ok(())
}

/// The netlink socket was opened by who had fewer capabilities than the sender has: a privileged
/// process that is led to write into it does nothing with its own rights.
fn opened_with_less() -> Result<()> {
    let socket = socket::udp()?;
    let mut client = cr::client()?;
    let dump = cr::dump(&mut client, &socket)?;
    let fd = RawAttr::u32(attr::SOCK_FD, socket.as_raw_fd().cast_unsigned());
    // Or it is refused for that.
    let dump = dump.without(attr::UID);
    let ttl = dump.clone().without(attr::INODE).without(attr::COOKIE);
    let requests = [
        (cr::DUMP, vec![fd.clone()]),
        (cr::RESTORE, dump.0),
        (cr::AMEND, ttl.with(fd).0),
    ];
    let try_all = |raw: &mut RawNetlink| -> Result<()> {
        raw.ask_for_words()?;
        let files = cr::open_files();
        let before = observe(&socket);
        for (command, attrs) in &requests {
            let answers = raw.send_together(*command, std::slice::from_ref(attrs))?;
            let [Err(refusal)] = answers.as_slice() else {
                anyhow::bail!("command {command} is permitted");
            };
            ensure!(
                refusal.errno == libc::EPERM && refusal.message.contains("who opened"),
                "command {command}: {refusal:?}"
            );
        }
        ensure!(cr::open_files() == files, "the refusal left a descriptor");
        same("the refusal changed the socket", &before, &observe(&socket))
    };
    let no_ptrace = || Ok(task::drop_capabilities(&[task::CAP_SYS_PTRACE])?);
    with_one_of_another(&client, no_ptrace, try_all)?;
    let in_namespace = || {
        task::become_user(65_534)?;
        namespace::new_user_and_network()?;
        // So that the parent may take the netlink socket.
        Ok(task::set_dumpable()?)
    };
    with_one_of_another(&client, in_namespace, try_all)?;
    // The owner of a user namespace may do everything there, without a capability: what is done is
    // to be known here, where the root of that namespace is nobody.
    task::run_in_child(|| {
        task::become_user(65_534)?;
        let in_my_namespace = || {
            namespace::new_user_and_network()?;
            Ok(task::set_dumpable()?)
        };
        with_one_of_another(&client, in_my_namespace, try_all)
    })
}

/// Who is another user than the one that opened the netlink socket is refused, without a capability
/// more, unless that one could have become any user, or the kernel is named as the destination.
fn opened_by_another_user() -> Result<()> {
    for (opener_may_be_any, is_named) in [(false, false), (true, false), (false, true)] {
        task::run_in_child(|| {
            let socket = socket::udp()?;
            let client = cr::client()?;
            task::set_file_system_user(65_534)?;
            if !opener_may_be_any {
                task::drop_capabilities(&[task::CAP_SETUID])?;
            }
            let as_root = || Ok(task::set_file_system_user(0)?);
            with_one_of_another(&client, as_root, |raw| {
                raw.ask_for_words()?;
                if is_named {
                    raw.name_the_kernel();
                }
                let fd = RawAttr::u32(attr::SOCK_FD, socket.as_raw_fd().cast_unsigned());
                let answers = raw.send_together(cr::DUMP, &[vec![fd]])?;
                let [answer] = answers.as_slice() else {
                    anyhow::bail!("{} answers", answers.len());
                };
                match answer {
                    Ok(_) => ensure!(opener_may_be_any || is_named, "it is permitted"),
                    Err(refusal) => ensure!(
                        !opener_may_be_any
                            && !is_named
                            && refusal.errno == libc::EPERM
                            && refusal.message.contains("who opened"),
                        "{refusal:?}"
                    ),
                }
                Ok(())
            })
        })
        .with_context(|| format!("{opener_may_be_any}, {is_named}"))?;
    }
    Ok(())
}

/// Runs a body as an ordinary user that is root in a user namespace of its own.
pub fn in_user_namespace(body: impl FnOnce() -> Result<()>) -> Result<()> {
    task::run_in_child(|| {
        task::become_user(65_534)?;
        namespace::new_user_and_network()?;
        body()
    })
}

/// All that an ordinary socket can have goes round.
fn works_there() -> Result<()> {
    let mut client = cr::client()?;
    for place in PLACES {
        let socket = socket::udp()?;
        (place.go)(&socket).context(place.name)?;
        cr::round_trip(&mut client, socket).context(place.name)?;
    }
    let mut tried = 0;
    for row in rows() {
        for case in row.cases {
            if case.set.is_of_all() {
                continue;
            }
            // What setsockopt refuses here cannot be a socket's state.
            if let Ok(socket) = socket_with(row, case) {
                cr::round_trip(&mut client, socket)
                    .with_context(|| format!("{} {}", row.name, case.name))?;
                tried += 1;
                remove_devices();
            }
        }
    }
    ensure!(tried > 200, "only {tried} options could be set");
    Ok(())
}

/// What setsockopt would refuse, RESTORE refuses.
fn gains_nothing() -> Result<()> {
    let mut client = cr::client()?;
    let dump = cr::dump(&mut client, &socket::udp()?)?;
    let expected = Expected::errno(&[libc::EACCES]).attribute(attr::DEBUG);
    let bad = dump.clone().with(RawAttr::u32(attr::DEBUG, 1));
    cr::restore_refused(&mut client, &bad, expected).context("SO_DEBUG")?;
    for (number, sysctl) in [(attr::RCVBUF, "rmem_max"), (attr::SNDBUF, "wmem_max")] {
        let limit: u32 = limit(sysctl)?;
        // Twice the limit is what SO_RCVBUF gives.
        for size in [2 * limit, 2 * limit - 1, 2 * limit - 2] {
            let fine = dump.clone().with(RawAttr::u32(number, size));
            let copy = cr::restore(&mut client, &fine)
                .with_context(|| format!("attribute {number}: {size}"))?;
            ensure!(
                cr::dump(&mut client, &copy)?.u32(number) == Some(size),
                "another size"
            );
        }
        let expected = Expected::errno(&[libc::EPERM]).attribute(number);
        for size in [2 * limit + 1, 2 * limit + 2, 1 << 30, 0x7fff_fffe] {
            let bad = dump.clone().with(RawAttr::u32(number, size));
            cr::restore_refused(&mut client, &bad, expected)
                .with_context(|| format!("attribute {number}: {size}"))?;
        }
    }
    Ok(())
}

/// Each value of each option: what setsockopt refuses there, RESTORE refuses
/// there, and blames the option for it.
fn gains_no_option() -> Result<()> {
    let mut client = cr::client()?;
    let mut dumps = Vec::new();
    for row in rows() {
        for case in row.cases {
            if !case.set.is_of_all() && !case.set.is_of_other_device() {
                let dump = cr::dump(&mut client, &socket_with(row, case)?)?;
                dumps.push((row, case, dump));
            }
        }
    }
    in_user_namespace(|| {
        let mut client = cr::client()?;
        let mut refused = 0;
        for (row, case, dump) in &dumps {
            let name = || format!("{} {}", row.name, case.name);
            let Err(error) = apply(&socket::udp()?, row, case) else {
                cr::restore(&mut client, dump).with_context(name)?;
                continue;
            };
            let errno = [error.raw_os_error().unwrap_or_default()];
            let paths = [row.path];
            let expected = Expected::errno(&errno).paths(&paths);
            cr::restore_refused(&mut client, dump, expected).with_context(name)?;
            refused += 1;
        }
        ensure!(refused >= 5, "setsockopt refuses only {refused} of them");
        Ok(())
    })
}

/// `net.core.NAME`, which may not be visible in the namespace.
fn limit(name: &str) -> Result<u32> {
    let text = fs::read_to_string(format!("/proc/sys/net/core/{name}"))
        .with_context(|| format!("net.core.{name}"))?;
    Ok(text.trim().parse()?)
}

/// Root of a user namespace, in a network namespace that is not its own.
fn other_net() -> Result<()> {
    let socket = socket::udp()?;
    let dump = cr::dump(&mut cr::client()?, &socket)?;
    task::run_in_child(|| {
        // A new user namespace below, without a network namespace of its own.
        namespace::new_user()?;
        neither(&mut cr::client()?, &socket, &dump)
    })
}

/// `SO_PRIORITY` above 6 needs `CAP_NET_RAW` or `CAP_NET_ADMIN`; whoever may
/// restore has the second.
fn priority() -> Result<()> {
    let mut client = cr::client()?;
    task::drop_capabilities(&[task::CAP_NET_RAW])?;
    let original = socket::udp()?;
    (place("any_port").context("no such place")?.go)(&original)?;
    socket::set_int(&original, libc::SOL_SOCKET, libc::SO_PRIORITY, 1000)?;
    // A new socket needs no CAP_NET_RAW for a device either.
    socket::set(&original, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, b"lo")
        .or_else(|error| {
            // ... but one that has a device does.
            if error.raw_os_error() == Some(libc::EPERM) {
                Ok(())
            } else {
                Err(error)
            }
        })
        .map_err(|error| {
            anyhow::anyhow!("{}", errno_name(error.raw_os_error().unwrap_or_default()))
        })?;
    cr::round_trip(&mut client, original)?;
    Ok(())
}
