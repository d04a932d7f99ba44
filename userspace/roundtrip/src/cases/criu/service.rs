// SPDX-License-Identifier: GPL-2.0

//! A name server that CRIU checkpoints and restores while its client keeps asking.

use std::fs;
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use inetcr::Selector;
use libc::SOL_SOCKET;

use super::Criu;
use crate::cases::name_server::{
    Asked, Asking, CLIENT, FAR, NEAR, SERVER, all_received, beside, received, router_knows,
};
use crate::cases::recipe::{RCVBUF, with_a_plug};
use crate::cr::{self, attr};
use crate::sys::link::{self, Plug};
use crate::sys::namespace::{self, Network};
use crate::sys::{signal, socket, task};

/// What became of what the client has sent.
struct Told {
    asked: Asked,
    /// By the server before and after.
    received: [u32; 2],
    /// In the socket, at the dump.
    waited: u32,
}

impl Told {
    fn sent(&self) -> u32 {
        self.asked.once + self.asked.again
    }

    /// Fails unless all but so many have come, and each was answered in the end.
    fn check(&self, lost: u32) -> Result<()> {
        let [before, after] = self.received;
        println!(
            "{} questions were sent, {} of these again; the server received {before} before and \
             {after} after; {} waited in its socket; {lost} were lost; {} were answered",
            self.sent(),
            self.asked.again,
            self.waited,
            self.asked.answered
        );
        ensure!(
            before + after + lost == self.sent(),
            "something was lost, or came twice"
        );
        ensure!(
            self.asked.answered == self.asked.once,
            "something was never answered"
        );
        ensure!(self.waited >= 10, "only {} waited", self.waited);
        Ok(())
    }
}

/// In the namespaces that CRIU itself is in.
pub fn in_the_same_network(program: &Path) -> Result<()> {
    moves(&Criu::hooked(program, "--strict")?, false)?.check(0)
}

/// In a PID namespace and in a network namespace of its own, as that of a container; restored in
/// another network namespace.
pub fn in_another_network(program: &Path) -> Result<()> {
    moves(&Criu::hooked(program, "--strict")?, true)?.check(0)
}

/// CRIU alone loses what waits in the socket, and no more, as the way to it is plugged.
pub fn by_criu_alone(program: &Path) -> Result<()> {
    let told = moves(&Criu::alone(program)?, false)?;
    told.check(told.waited)
}

/// The descriptor by which CRIU gets the network namespace of the restore.
const NETWORK: RawFd = 100;

fn moves(criu: &Criu<'_>, own: bool) -> Result<Told> {
    let router = Network::current()?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    let of_client = beside("near0", NEAR, "client0", CLIENT)?;
    let of_server = beside("far0", FAR, "server0", *SERVER.ip())?;
    of_client.enter()?;
    with_a_plug("client0")?;

    of_server.enter()?;
    let socket = UdpSocket::bind(SERVER)?;
    socket::set_int(&socket, SOL_SOCKET, libc::SO_RCVBUFFORCE, RCVBUF)?;
    let mut server = serve(socket, own).context("starting nameserver")?;
    router_knows(&router)?;
    let client = Asking::start(&of_client)?;
    client.answered.grows_by(50).context("no answers")?;

    // As it would fall behind on a busy machine, so that something waits.
    let pid = i32::try_from(server.id())?;
    signal::send(pid, libc::SIGSTOP)?;
    client.asked.grows_by(30)?;
    of_client.enter()?;
    link::plug("client0", Plug::Buffer)?;
    let plugged = client.asked.get();
    of_server.enter()?;
    let waited = waiting(pid)?;
    let before = received()?;

    let external = format!(
        "net[{}]:network",
        fs::metadata(format!("/proc/{pid}/ns/net"))?.ino()
    );
    if own {
        router.enter()?;
        criu.dump(pid, &["--external", &external, "--network-lock", "skip"])
    } else {
        criu.dump(pid, &[])
    }
    .context("dump")?;
    server.wait()?;
    client.asked.grows_by(30)?;

    let (of_server, restored) = if own {
        link::remove("far0")?;
        drop(of_server);
        let of_server = beside("far1", FAR, "server1", *SERVER.ip())?;
        task::dup_onto(&of_server, NETWORK)?;
        let network = task::adopt(NETWORK);
        let inherit = format!("fd[{NETWORK}]:network");
        let restored = criu.restore(&["--inherit-fd", &inherit, "--network-lock", "skip"]);
        drop(network);
        of_server.enter()?;
        router_knows(&router)?;
        (of_server, restored)
    } else {
        (of_server, criu.restore(&[]))
    };
    let restored = restored.context("restore")?;
    of_server.enter()?;
    let base = if own { 0 } else { before };
    signal::send(restored.pid, libc::SIGCONT)?;
    let held_back = client.asked.get() - plugged;
    of_client.enter()?;
    link::plug("client0", Plug::ReleaseIndefinite)?;
    client.answered.grows_by(held_back)?;

    let asked = client.end()?;
    of_server.enter()?;
    let lost = if criu.hook.is_some() { 0 } else { waited };
    let after = all_received(base + asked.once + asked.again - before - lost)? - base;
    for line in criu.said("dump").iter().chain(&criu.said("restore")) {
        println!("{line}");
    }
    drop(restored);
    router.enter()?;
    Ok(Told {
        asked,
        received: [before, after],
        waited,
    })
}

/// Starts the server with its socket, in a session of its own, as CRIU wants it of the first process
/// of a namespace.
fn serve(socket: UdpSocket, own: bool) -> Result<Child> {
    let mut server = Command::new("setsid");
    server.arg("nameserver").stdin(OwnedFd::from(socket));
    server.stdout(Stdio::null()).stderr(Stdio::null());
    Ok(if own {
        namespace::in_new_pid(|| server.spawn())?
    } else {
        server.spawn()
    }?)
}

/// How many datagrams wait in the socket of the server.
fn waiting(pid: i32) -> Result<u32> {
    let pidfd = task::pidfd_open(pid)?;
    let selector = Selector::Pidfd {
        pidfd: pidfd.as_fd(),
        fd: 0,
    };
    let dump = cr::dump_by(&mut cr::client()?, selector.into())?;
    Ok(dump.u32(attr::QUEUE_LEN).unwrap_or(0))
}
