// SPDX-License-Identifier: GPL-2.0

//! A name server that is moved to another network namespace while its client keeps asking.
//!
//! The server is one that people use, in a process that knows nothing of this. By the recipe of the
//! documentation, nothing that is sent to it is lost: what waits in its socket comes to the new one,
//! and what is on its way is held back until that is there. What the old server has in its hands
//! when it is frozen goes with it, as with any server that dies: the client asks again.
//!
//! It is also what `cargo xtask demo` shows: each step is told.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use inetcr::Selector;
use libc::SOL_SOCKET;

use super::recipe::{RCVBUF, Shared, with_a_plug};
use crate::cr::{self, Queued, attr};
use crate::runner::Test;
use crate::sys::cgroup::Cgroup;
use crate::sys::link::{self, Plug};
use crate::sys::namespace::{self, Network};
use crate::sys::{socket, task};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("name_server::moves", moves).slow().alone(),
        Test::new("name_server::is_replaced", is_replaced)
            .slow()
            .alone(),
    ]
}

/// The client, and the router on its side.
pub(super) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 1);
pub(super) const NEAR: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 2);
/// The router on the side of the servers, and they.
pub(super) const FAR: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
pub(super) const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 9, 0, 2), 53);

/// What the server has for every name.
const ADDRESS: [u8; 4] = [192, 0, 2, 7];

/// When a client asks again, as resolvers do.
const AGAIN: Duration = Duration::from_secs(4);

/// A network namespace with a veth pair to the one that the caller is in.
pub(super) fn beside(
    here: &str,
    here_addr: Ipv4Addr,
    there: &str,
    addr: Ipv4Addr,
) -> Result<Network> {
    let home = Network::current()?;
    namespace::new_network()?;
    let network = Network::current()?;
    home.enter()?;
    link::add_veth(here, there, &network)?;
    link::address(here, here_addr)?;
    network.enter()?;
    link::address(there, addr)?;
    link::default_route(here_addr)?;
    home.enter()?;
    Ok(network)
}

/// A question for the address of a name that has the number in it.
fn question(number: u16) -> Vec<u8> {
    let label = format!("n{number}");
    let mut message = number.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in [label.as_str(), "example", ""] {
        message.push(u8::try_from(label.len()).unwrap_or_default());
        message.extend(label.as_bytes());
    }
    message.extend([0, 1, 0, 1]);
    message
}

/// The number of the question, if it is answered by the address.
fn answered(message: &[u8]) -> Option<u16> {
    let [high, low, flags, code, _, _, 0, 1] = *message.first_chunk()? else {
        return None;
    };
    let has_address = message.windows(4).any(|bytes| bytes == ADDRESS);
    (flags & 0x80 != 0 && code % 16 == 0 && has_address).then(|| u16::from_be_bytes([high, low]))
}

/// A client that keeps asking, and asks again for what is not answered.
pub(super) struct Asking {
    child: task::Child,
    pub(super) asked: Shared,
    pub(super) answered: Shared,
    again: Shared,
    stop: Shared,
}

impl Asking {
    pub(super) fn start(network: &Network) -> Result<Self> {
        let [asked, answers, again, stop] = [(); 4].map(|()| Shared::new());
        let (asked, answers, again, stop) = (asked?, answers?, again?, stop?);
        let child = task::fork(|| {
            let ask = || -> Result<()> {
                network.enter()?;
                ask(&asked, &answers, &again, &stop)
            };
            ask().map_or(1, |()| 0)
        })?;
        Ok(Self {
            child,
            asked,
            answered: answers,
            again,
            stop,
        })
    }
}

/// What the client has sent, and what came back.
pub(super) struct Asked {
    pub(super) once: u32,
    pub(super) again: u32,
    pub(super) answered: u32,
}

impl Asking {
    /// Has it ask no more, and waits until all is answered.
    pub(super) fn end(mut self) -> Result<Asked> {
        self.stop.set(1);
        let end = self.child.wait(Duration::from_secs(20))?;
        ensure!(end == task::End::Exited(0), "the client: {end:?}");
        Ok(Asked {
            once: self.asked.get(),
            again: self.again.get(),
            answered: self.answered.get(),
        })
    }
}

/// What the client does, until all is answered after it was told to stop.
fn ask(asked: &Shared, answers: &Shared, again: &Shared, stop: &Shared) -> Result<()> {
    let client = UdpSocket::bind((CLIENT, 0))?;
    client.connect(SERVER)?;
    client.set_nonblocking(true)?;
    // What the plug holds back is charged to it.
    socket::set_int(&client, SOL_SOCKET, libc::SO_SNDBUFFORCE, RCVBUF)?;
    let mut open = BTreeMap::new();
    let (mut next, mut answer) = (0_u16, [0; 512]);
    loop {
        while let Ok(len) = client.recv(&mut answer) {
            let number = answered(answer.get(..len).unwrap_or_default());
            // One that was asked for again is answered again.
            if number.is_some_and(|number| open.remove(&number).is_some()) {
                answers.set(answers.get() + 1);
            }
        }
        if stop.get() == 0 && next < u16::MAX {
            client.send(&question(next))?;
            open.insert(next, Instant::now());
            next += 1;
            asked.set(u32::from(next));
        } else if open.is_empty() {
            return Ok(());
        }
        for (number, since) in &mut open {
            if since.elapsed() > AGAIN {
                client.send(&question(*number))?;
                *since = Instant::now();
                again.set(again.get() + 1);
            }
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// Starts the server with a socket, in the network namespace that the caller is in.
fn serve(socket: UdpSocket) -> Result<Child> {
    Command::new("nameserver")
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .spawn()
        .context("starting nameserver")
}

/// How many datagrams were received by their owners in the network namespace of the caller.
pub(super) fn received() -> Result<u32> {
    let text = fs::read_to_string("/proc/thread-self/net/snmp")?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, numbers) = (lines.next(), lines.next());
    let (names, numbers) = names.zip(numbers).context("no counters of UDP")?;
    let mut both = names.split(' ').zip(numbers.split(' '));
    let found = both.find(|(name, _)| *name == "InDatagrams");
    Ok(found.context("no InDatagrams")?.1.parse()?)
}

/// Has the router know the server that is in the network namespace of the caller: while it looks for
/// a neighbour, it keeps few packets, and drops the others.
pub(super) fn router_knows(router: &Network) -> Result<()> {
    let (server, start) = (Network::current()?, Instant::now());
    UdpSocket::bind((*SERVER.ip(), 0))?.send_to(b"", (FAR, SERVER.port()))?;
    router.enter()?;
    let is_known = || -> Result<bool> {
        let table = fs::read_to_string("/proc/thread-self/net/arp")?;
        let ip = SERVER.ip().to_string();
        Ok(table.lines().any(|row| {
            let mut words = row.split_whitespace();
            words.next() == Some(&ip) && words.nth(1) == Some("0x2")
        }))
    };
    while !is_known()? {
        ensure!(start.elapsed() < Duration::from_secs(20), "no ARP");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(server.enter()?)
}

/// The same when it is so many, or does not become so many: what was asked again waits to be
/// received when all is answered.
pub(super) fn all_received(count: u32) -> Result<u32> {
    let start = Instant::now();
    loop {
        let found = received()?;
        if found >= count || start.elapsed() > Duration::from_secs(20) {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn moves() -> Result<()> {
    let router = Network::current()?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    let of_client = beside("near0", NEAR, "client0", CLIENT)?;
    let of_old = beside("far0", FAR, "server0", *SERVER.ip())?;
    // The plug stays where it is, whichever way the router knows.
    of_client.enter()?;
    with_a_plug("client0")?;

    of_old.enter()?;
    let socket = UdpSocket::bind(SERVER)?;
    socket::set_int(&socket, SOL_SOCKET, libc::SO_RCVBUFFORCE, RCVBUF)?;
    let mut old = serve(socket)?;
    router.enter()?;
    println!("A name server runs in a network namespace, at {SERVER}.");
    let client = Asking::start(&of_client)?;
    client.answered.grows_by(50).context("no answers")?;
    println!(
        "A client in another one asks it: {} answers so far.",
        client.answered.get()
    );

    let cgroup = Cgroup::new("name_server").context("cgroup")?;
    let pid = i32::try_from(old.id())?;
    cgroup.take(pid)?;
    cgroup.freeze().context("freezing the server")?;
    client.asked.grows_by(30)?;
    of_client.enter()?;
    link::plug("client0", Plug::Buffer)?;
    let plugged = client.asked.get();
    println!("The server is frozen, and then the way to it plugged. The client does not know.");

    of_old.enter()?;
    let pidfd = task::pidfd_open(pid)?;
    let selector = Selector::Pidfd {
        pidfd: pidfd.as_fd(),
        fd: 0,
    };
    let queued = Queued::by(&mut cr::client()?, selector.into())?;
    let waited = queued.dump.u32(attr::QUEUE_LEN).unwrap_or(0);
    let by_old = received()?;
    old.kill()?;
    old.wait()?;
    router.enter()?;
    link::remove("far0")?;
    drop(of_old);
    println!(
        "Its socket is dumped, with {waited} questions in it. It is killed, and its network gone."
    );

    let of_new = beside("far1", FAR, "server1", *SERVER.ip())?;
    of_new.enter()?;
    let copy = queued.restore(&mut cr::client()?)?;
    let mut new = serve(copy)?;
    println!("The socket is restored in a new network namespace, and a new server has it.");
    router_knows(&router)?;
    client.asked.grows_by(30)?;
    let held_back = client.asked.get() - plugged;
    of_client.enter()?;
    link::plug("client0", Plug::ReleaseIndefinite)?;
    client.answered.grows_by(held_back)?;

    let Asked {
        once: asked,
        again,
        answered: answers,
    } = client.end()?;
    of_new.enter()?;
    let by_new = all_received(asked + again - by_old)?;
    new.kill()?;
    new.wait()?;
    router.enter()?;
    println!(
        "{asked} questions and {again} that were repeated were sent; the servers received {by_old} \
         and {by_new}, {waited} of these from the socket that was restored and {held_back} that \
         were held back; {answers} were answered."
    );
    ensure!(
        asked + again == by_old + by_new,
        "something was lost, or came twice"
    );
    ensure!(answers == asked, "something was never answered");
    ensure!(waited >= 10, "only {waited} waited in the socket");
    Ok(())
}

/// On one host, the server is replaced by another one that gets the very same socket: by `inetcr
/// handover`, as a person would do it. There is nothing to freeze, to plug or to dump.
fn is_replaced() -> Result<()> {
    let router = Network::current()?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    let of_client = beside("near0", NEAR, "client0", CLIENT)?;
    let of_servers = beside("far0", FAR, "server0", *SERVER.ip())?;
    of_servers.enter()?;
    let socket = UdpSocket::bind(SERVER)?;
    socket::set_int(&socket, SOL_SOCKET, libc::SO_RCVBUFFORCE, RCVBUF)?;
    let mut old = serve(socket)?;
    router_knows(&router)?;
    let before = received()?;
    let client = Asking::start(&of_client)?;
    client.answered.grows_by(50).context("no answers")?;

    let pid = old.id().to_string();
    let mut new = Command::new("inetcr")
        .args(["handover", "--pid", &pid, "--fd", "0", "--stop"])
        .args(["--at", "0", "--", "nameserver"])
        .spawn()
        .context("starting inetcr")?;
    let end = old.wait()?;
    let by_old = received()? - before;
    ensure!(
        end.signal() == Some(libc::SIGTERM),
        "the old server: {end:?}"
    );
    client
        .answered
        .grows_by(50)
        .context("no answers any more")?;
    ensure!(new.try_wait()?.is_none(), "the new server has ended");

    let asked = client.end()?;
    let sent = asked.once + asked.again;
    let all = all_received(before + sent)? - before;
    new.kill()?;
    new.wait()?;
    router.enter()?;
    println!(
        "{sent} questions were sent, {} of these again, and {all} received, {by_old} by the old \
         server",
        asked.again
    );
    ensure!(all == sent, "something was lost, or came twice");
    ensure!(all > by_old, "nothing came to the new server");
    ensure!(asked.answered == asked.once, "something was never answered");
    Ok(())
}
