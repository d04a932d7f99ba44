// SPDX-License-Identifier: GPL-2.0

//! Processes that change while their sockets are dumped: they end, become another program, or are
//! no longer to be looked into.

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use inetcr::Scope;

use super::reading::{Reading, SMALL};
use super::{descriptors_in, descriptors_of, of, without_netlink};
use crate::cr;
use crate::runner::Test;
use crate::sys::{socket, task};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("many::others::exits", exits),
        Test::new("many::others::another_program", another_program),
        Test::new("many::others::program_without_sockets", without_sockets),
        Test::new(
            "many::others::programs_one_after_the_other",
            one_after_the_other,
        )
        .slow(),
        Test::new("many::others::cannot_be_attached_to", cannot_be_attached_to),
    ]
}

/// A child with sockets, which does something when it is told to.
pub struct Other {
    pub child: task::Child,
    go: PipeWriter,
    done: PipeReader,
}

impl Other {
    /// Makes the sockets and what else is needed, and waits.
    pub fn new(
        make: impl FnOnce() -> Result<Vec<UdpSocket>>,
        then: impl FnOnce() -> Result<()>,
    ) -> Result<Self> {
        let (mut done, mut say) = std::io::pipe()?;
        let (mut wait, go) = std::io::pipe()?;
        let child = task::fork(move || {
            let work = || -> Result<()> {
                let sockets = make()?;
                say.write_all(&[0])?;
                wait.read_exact(&mut [0])?;
                then()?;
                say.write_all(&[0])?;
                std::thread::sleep(Duration::from_secs(600));
                drop(sockets);
                Ok(())
            };
            i32::from(work().is_err())
        })?;
        done.read_exact(&mut [0]).context("the child failed")?;
        Ok(Self { child, go, done })
    }

    /// Has it done. A child that becomes another program cannot say so, but closes what it would
    /// say it by.
    pub fn go(&mut self) -> Result<()> {
        self.go.write_all(&[0])?;
        let _ = self.done.read(&mut [0])?;
        Ok(())
    }
}

/// So many that they fill several parts. Every other one is kept by another program.
pub fn sockets() -> Result<Vec<UdpSocket>> {
    let mut sockets = Vec::new();
    for number in 0..90 {
        let socket = socket::udp()?;
        if number % 2 == 0 {
            socket::fcntl(&socket, libc::F_SETFD, 0)?;
        }
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Becomes a program that does nothing for a long time.
fn sleep() -> Result<()> {
    Err(Command::new("sleep").arg("600").exec()).context("sleep")
}

/// What has come stays, and the end says why there is no more.
fn exits() -> Result<()> {
    let mut other = Other::new(sockets, || Ok(()))?;
    let mut reading = Reading::begin(&[of(other.child.pidfd())], SMALL)?;
    ensure!(reading.part()?, "one part is not enough for this test");
    other.child.kill();
    other.child.wait(Duration::from_secs(5))?;
    reading.rest()?;
    ensure!(
        reading.end == Some(libc::ESRCH),
        "ends with {:?}",
        reading.end
    );
    let count = reading.records.len();
    ensure!(count > 0 && count < 90, "{count} messages");
    Ok(())
}

/// The answer says that it is about two programs, and each message is about a socket of one of
/// them.
fn another_program() -> Result<()> {
    let mut other = Other::new(sockets, sleep)?;
    let mut reading = Reading::begin(&[of(other.child.pidfd())], SMALL)?;
    ensure!(reading.part()?, "one part is not enough for this test");
    let pid = other.child.pid().to_string();
    let before = descriptors_of(&pid)?;
    other.go()?;
    let after = descriptors_of(&pid)?;
    ensure!(
        !after.is_empty() && after.len() < before.len(),
        "{} sockets before, {} after",
        before.len(),
        after.len()
    );
    reading.rest()?;
    ensure!(reading.end == Some(0), "ends with {:?}", reading.end);
    ensure!(reading.interrupted, "nothing says that it was interrupted");
    let found = descriptors_in(&reading.records)?;
    ensure!(found.iter().all(|one| before.contains(one)), "{found:?}");
    // What both have is there, as it is not bound to one of them.
    let missing = after.iter().find(|one| !found.contains(one));
    ensure!(missing.is_none(), "{missing:?} is not in {found:?}");
    Ok(())
}

/// There is no message that could say it, but for the end.
fn without_sockets() -> Result<()> {
    let all_go = || (0..90).map(|_| Ok(socket::udp()?)).collect();
    let mut other = Other::new(all_go, sleep)?;
    let mut reading = Reading::begin(&[of(other.child.pidfd())], SMALL)?;
    ensure!(reading.part()?, "one part is not enough for this test");
    other.go()?;
    reading.rest()?;
    ensure!(reading.end == Some(0), "ends with {:?}", reading.end);
    ensure!(reading.interrupted, "nothing says that it was interrupted");
    Ok(())
}

/// A process that does not come to rest: each answer is of one program, or says that it is not.
fn one_after_the_other() -> Result<()> {
    let again = || -> Result<()> {
        // A shell that becomes itself, a hundred times.
        let script = "[ $1 -gt 0 ] || exec sleep 600; exec sh -c \"$0\" \"$0\" $(($1 - 1))";
        let mut command = Command::new("sh");
        Err(command.args(["-c", script, script, "100"]).exec()).context("sh")
    };
    let mut other = Other::new(sockets, again)?;
    let mut client = cr::client()?;
    other.go()?;
    let (mut whole, mut interrupted) = (0, 0);
    for _ in 0..60 {
        let pidfd = other.child.pidfd().as_fd();
        match client.dump_many(Scope::Process(pidfd)) {
            Ok(records) => {
                ensure!(records.len() == 45, "{} of 45", records.len());
                whole += 1;
            }
            Err(inetcr::Error::Interrupted { .. }) => interrupted += 1,
            Err(error) => match error.errno() {
                // It has no rest now.
                Some(libc::EBUSY) => interrupted += 1,
                _ => return Err(error.into()),
            },
        }
    }
    println!("{whole} whole, {interrupted} interrupted");
    Ok(())
}

/// The requester may have attached to it in the beginning, and may not any more. That the reader
/// may is no matter.
fn cannot_be_attached_to() -> Result<()> {
    let as_equal = || -> Result<Vec<UdpSocket>> {
        task::drop_capabilities(&[task::CAP_SYS_PTRACE])?;
        sockets()
    };
    let mut other = Other::new(as_equal, || Ok(task::set_undumpable()?))?;
    let selection = [of(other.child.pidfd())];
    task::run_in_child(|| {
        task::drop_capabilities(&[task::CAP_SYS_PTRACE])?;
        let mut reading = Reading::begin(&selection, SMALL)?;
        ensure!(reading.part()?, "one part is not enough for this test");
        other.go()?;
        reading.rest()?;
        ensure!(
            reading.end == Some(libc::EPERM),
            "ends with {:?}",
            reading.end
        );
        let count = without_netlink(std::mem::take(&mut reading.records)).len();
        ensure!(count < 90, "all of them are there");
        Ok(())
    })?;
    // Who may attach to anybody.
    let reading = Reading::begin(&selection, SMALL)?;
    let count = without_netlink(reading.whole()?).len();
    if count != 90 {
        bail!("{count} of 90 for somebody who may attach to anybody");
    }
    Ok(())
}
