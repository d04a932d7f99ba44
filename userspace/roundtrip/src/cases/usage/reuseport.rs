// SPDX-License-Identifier: GPL-2.0

//! Copies that share a port.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, ensure};
use inetcr::RawAttr;
use libc::SOL_SOCKET;

use super::{HERE, bound, round_trip, sys};
use crate::cr::{self, Dump, Expected, attr};
use crate::places::{OTHER, PEER};
use crate::runner::Test;
use crate::sys::filter::{self, Instruction};

/// Chooses the socket that the first byte says.
const BY_FIRST_BYTE: [Instruction; 2] = [Instruction::FIRST_BYTE, Instruction::RETURN_IT];

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("usage::reuseport::group", group),
        Test::new("usage::reuseport::alone", alone),
        Test::new("usage::reuseport::switched_off", switched_off),
        Test::new("usage::reuseport::program", program),
        Test::new("usage::reuseport::order", order),
        Test::new("usage::reuseport::program_unbound", program_unbound),
        Test::new("usage::reuseport::program_long", program_long),
        Test::new("usage::reuseport::program_locked", program_locked),
        Test::new("usage::reuseport::program_of_others", program_of_others),
        Test::new("usage::reuseport::no_program", no_program),
        Test::new("usage::reuseport::program_ebpf", program_ebpf),
        Test::new(
            "usage::reuseport::program_of_others_ebpf",
            program_of_others_ebpf,
        ),
        Test::new("usage::reuseport::program_wrong", program_wrong),
    ]
}

fn sharing_unbound() -> Result<UdpSocket> {
    let socket = sys::udp()?;
    sys::set_int(&socket, SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    Ok(socket)
}

fn sharing() -> Result<UdpSocket> {
    let socket = sharing_unbound()?;
    sys::bind(&socket, HERE)?;
    Ok(socket)
}

fn attach(fd: &impl AsRawFd, program: &[Instruction]) -> Result<()> {
    filter::attach(fd, libc::SO_ATTACH_REUSEPORT_CBPF, program).context("attaching a program")
}

/// Fails unless each socket gets what the program has for it.
fn chosen(sockets: &[&UdpSocket]) -> Result<()> {
    let sender = UdpSocket::bind(PEER)?;
    for _ in 0..3 {
        for (index, socket) in sockets.iter().enumerate() {
            let payload = [u8::try_from(index)?; 9];
            sender.send_to(&payload, HERE)?;
            let (got, _) = sys::receive(*socket, libc::MSG_DONTWAIT)
                .with_context(|| format!("socket {index} received nothing"))?;
            ensure!(got == payload, "socket {index} received {got:?}");
        }
    }
    Ok(())
}

/// Who switches the option off stays in the group, but could not come into it again.
fn switched_off() -> Result<()> {
    let mut client = cr::client()?;
    let (first, second) = (sharing()?, sharing()?);
    sys::set_int(&first, SOL_SOCKET, libc::SO_REUSEPORT, 0)?;
    let expected = Expected::errno(&[libc::EOPNOTSUPP]).word("SO_REUSEPORT was switched off");
    cr::dump_refused(&mut client, &first, expected)?;
    cr::dump(&mut client, &second)?;
    sys::set_int(&first, SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    cr::dump(&mut client, &first)?;

    // One that is alone has nothing to come into; CRIU binds its sockets so.
    drop((first, second));
    let single = sharing()?;
    sys::set_int(&single, SOL_SOCKET, libc::SO_REUSEPORT, 0)?;
    cr::round_trip(&mut client, single)?;
    let alone = bound()?;
    for on in [1, 0] {
        sys::set_int(&alone, SOL_SOCKET, libc::SO_REUSEPORT, on)?;
        cr::dump(&mut client, &alone)?;
    }
    cr::round_trip(&mut client, alone)?;
    Ok(())
}

/// Two sockets that share a port come back and share what is sent there.
fn group() -> Result<()> {
    let mut client = cr::client()?;
    let originals = [sharing()?, sharing()?];
    let mut gone = Vec::new();
    for original in originals {
        gone.push(cr::checkpoint(&mut client, original)?);
    }
    let mut copies = Vec::new();
    for one in &gone {
        copies.push(cr::resurrect(&mut client, one)?);
    }
    // Each sender has a port of its own, and so a place in the hash.
    for _ in 0..60 {
        UdpSocket::bind((OTHER, 0))?.send_to(b"x", HERE)?;
    }
    let mut counts = [0, 0];
    for (copy, count) in copies.iter().zip(&mut counts) {
        while sys::receive(copy, libc::MSG_DONTWAIT).is_ok() {
            *count += 1;
        }
    }
    ensure!(
        counts[0] + counts[1] == 60 && counts[0] > 0 && counts[1] > 0,
        "the copies received {counts:?} of 60 datagrams"
    );
    Ok(())
}

/// Others can share the port of the copy, if they want it, too.
fn alone() -> Result<()> {
    let copy = round_trip(sharing()?)?;
    ensure!(bound().is_err(), "shared without SO_REUSEPORT");
    let other = sharing().context("sharing with the copy")?;
    drop(copy);
    drop(other);
    bound().context("the port is not free")?;
    Ok(())
}

/// The program of a group comes back, and the sockets are in the order in which it counts them.
fn program() -> Result<()> {
    let mut client = cr::client()?;
    let originals = [sharing()?, sharing()?, sharing()?];
    attach(&originals[1], &BY_FIRST_BYTE)?;
    chosen(&originals.each_ref())?;

    let mut gone = Vec::new();
    for original in originals {
        gone.push(cr::checkpoint(&mut client, original)?);
    }
    let mut copies = Vec::new();
    for one in &gone {
        copies.push(cr::resurrect(&mut client, one)?);
    }
    chosen(&copies.iter().collect::<Vec<_>>())
}

/// Dumps tell in which order a program counts the sockets, which is not always that of their making:
/// they are restored in it.
fn order() -> Result<()> {
    let mut client = cr::client()?;
    let alone = cr::dump(&mut client, &sharing_unbound()?)?;
    ensure!(alone.get(attr::REUSEPORT_INDEX).is_none(), "{alone:?}");

    let [first, second, third, fourth] = [sharing()?, sharing()?, sharing()?, sharing()?];
    attach(&first, &BY_FIRST_BYTE)?;
    // The last one takes its place.
    drop(first);
    chosen(&[&fourth, &second, &third])?;
    let mut dumps = Vec::new();
    for socket in [&second, &third, &fourth] {
        dumps.push(cr::dump(&mut client, socket)?);
    }
    drop((second, third, fourth));
    let places: Vec<_> = dumps
        .iter()
        .map(|dump| dump.u32(attr::REUSEPORT_INDEX))
        .collect();
    ensure!(places == [Some(1), Some(2), Some(0)], "{places:?}");

    dumps.sort_by_key(|dump| dump.u32(attr::REUSEPORT_INDEX));
    let mut copies = Vec::new();
    for dump in &dumps {
        copies.push(cr::restore(&mut client, dump)?);
    }
    chosen(&copies.iter().collect::<Vec<_>>())?;
    for (dump, copy) in dumps.iter().zip(&copies) {
        let place = cr::dump(&mut client, copy)?.u32(attr::REUSEPORT_INDEX);
        ensure!(place == dump.u32(attr::REUSEPORT_INDEX), "{place:?}");
    }
    Ok(())
}

/// A program that waits for a group is there when the group comes to be.
fn program_unbound() -> Result<()> {
    let original = sharing_unbound()?;
    attach(&original, &BY_FIRST_BYTE)?;
    let copy = round_trip(original)?;
    sys::bind(&copy, HERE)?;
    let second = sharing()?;
    chosen(&[&copy, &second])
}

/// The longest program is carried.
fn program_long() -> Result<()> {
    let mut program = vec![Instruction::NOTHING; 4094];
    program.extend(BY_FIRST_BYTE);
    let original = sharing()?;
    attach(&original, &program)?;
    let copy = round_trip(original)?;
    let second = sharing()?;
    chosen(&[&copy, &second])
}

/// It is attached before the lock of the filters is set.
fn program_locked() -> Result<()> {
    let original = sharing()?;
    attach(&original, &BY_FIRST_BYTE)?;
    sys::set_int(&original, SOL_SOCKET, libc::SO_LOCK_FILTER, 1)?;
    let copy = round_trip(original)?;
    ensure!(
        attach(&copy, &BY_FIRST_BYTE).is_err(),
        "the copy can get another program"
    );
    let second = sharing()?;
    chosen(&[&copy, &second])
}

/// A dumped socket of a group with a program.
fn dumped() -> Result<Dump> {
    let original = sharing()?;
    attach(&original, &BY_FIRST_BYTE)?;
    cr::dump(&mut cr::client()?, &original)
}

/// A socket does not come into a group with another program than it had, and leaves the group as it
/// is.
fn program_of_others() -> Result<()> {
    let dump = dumped()?;
    let mut client = cr::client()?;
    let expected = Expected::errno(&[libc::EADDRINUSE])
        .attribute(attr::REUSEPORT_FILTER)
        .word("another");

    let group = [sharing()?, sharing()?];
    cr::restore_refused(&mut client, &dump, expected).context("none")?;
    // It would choose the one that is refused.
    attach(&group[0], &[Instruction::taking(2)])?;
    cr::restore_refused(&mut client, &dump, expected).context("another one")?;
    attach(&group[0], &BY_FIRST_BYTE)?;
    chosen(&group.each_ref())?;

    let copy = cr::restore(&mut client, &dump).context("the same one")?;
    chosen(&[&group[0], &group[1], &copy])
}

/// A socket without a program joins any group.
fn no_program() -> Result<()> {
    let mut client = cr::client()?;
    let gone = cr::checkpoint(&mut client, sharing()?)?;
    ensure!(
        gone.dump.get(attr::REUSEPORT_FILTER).is_none(),
        "there is a program in the dump"
    );
    let first = sharing()?;
    attach(&first, &BY_FIRST_BYTE)?;
    let copy = cr::restore(&mut client, &gone.dump)?;
    chosen(&[&first, &copy])
}

fn program_ebpf() -> Result<()> {
    let socket = sharing()?;
    attach_ebpf(&socket)?;
    let expected = Expected::errno(&[libc::EOPNOTSUPP]).word("eBPF SO_REUSEPORT program");
    cr::dump_refused(&mut cr::client()?, &socket, expected)?;
    Ok(())
}

/// Gives the group of a socket an eBPF program.
fn attach_ebpf(socket: &UdpSocket) -> Result<()> {
    const SO_ATTACH_REUSEPORT_EBPF: i32 = 52;

    match filter::attach_ebpf(socket, SO_ATTACH_REUSEPORT_EBPF) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => crate::runner::skip("eBPF"),
        other => other.context("attaching a program"),
    }
}

/// Neither is one of eBPF the program that a socket had.
fn program_of_others_ebpf() -> Result<()> {
    let dump = dumped()?;
    let group = sharing()?;
    attach_ebpf(&group)?;
    let expected = Expected::errno(&[libc::EADDRINUSE])
        .attribute(attr::REUSEPORT_FILTER)
        .word("another");
    cr::restore_refused(&mut cr::client()?, &dump, expected)?;
    // The group has its own still.
    let expected = Expected::errno(&[libc::EOPNOTSUPP]).word("eBPF SO_REUSEPORT program");
    cr::dump_refused(&mut cr::client()?, &group, expected)?;
    Ok(())
}

/// Programs that setsockopt(2) would refuse.
fn program_wrong() -> Result<()> {
    let dump = dumped()?;
    let mut client = cr::client()?;
    let invalid = Expected::errno(&[libc::EINVAL]).attribute(attr::REUSEPORT_FILTER);
    let with = |program: &[u8]| {
        let program = RawAttr::new(attr::REUSEPORT_FILTER, program);
        dump.clone().with(program)
    };

    for (program, word) in [
        (&[][..], "whole instructions"),
        (&[0; 7], "whole instructions"),
        // It does not return.
        (&[0; 8], "cannot be set"),
        (&[0xff; 8], "cannot be set"),
    ] {
        cr::restore_refused(&mut client, &with(program), invalid.word(word))
            .with_context(|| format!("{program:?}"))?;
    }

    // The socket does not share its port.
    let alone = cr::dump(&mut client, &bound()?)?;
    let program = dump.all(attr::REUSEPORT_FILTER);
    let alone = alone.with_all(attr::REUSEPORT_FILTER, program);
    cr::restore_refused(&mut client, &alone, invalid.word("cannot be set"))
}
