// SPDX-License-Identifier: GPL-2.0

//! A service that is moved while its client keeps sending, by the recipe of the documentation:
//! freeze the owner, plug the way to the socket, dump, close, restore, thaw, release. Nothing that
//! was sent is lost, and nothing comes twice.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use inetcr::Selector;
use libc::SOL_SOCKET;

use crate::cr::{self, Queued, attr};
use crate::places::PORT;
use crate::runner::Test;
use crate::sys::cgroup::Cgroup;
use crate::sys::link::{self, Plug};
use crate::sys::namespace::{self, Network};
use crate::sys::socket;
use crate::sys::task::{self, Child};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("recipe::nothing_is_lost", nothing_is_lost)
            .slow()
            .alone(),
        Test::new("recipe::without_the_plug", without_the_plug)
            .slow()
            .alone(),
    ]
}

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 1);
const SERVICE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 8, 0, 2), PORT);

/// Room for all that is sent in a test.
pub const RCVBUF: i32 = 16 << 20;
const PLUG_LIMIT: u32 = 64 << 20;

/// Has a device be ready to be plugged, and let packets pass until then.
///
/// Ahead of time: packets are dropped while a device gets another queueing discipline.
pub fn with_a_plug(device: &str) -> Result<()> {
    link::add_plug(device, PLUG_LIMIT).context("sch_plug")?;
    link::plug(device, Plug::ReleaseIndefinite)?;
    // No answer would come while the device is plugged.
    let reachable = format!("/proc/sys/net/ipv4/neigh/{device}/base_reachable_time_ms");
    Ok(std::fs::write(reachable, "3600000")?)
}

/// A number that processes share.
pub struct Shared(&'static AtomicU32);

impl Shared {
    pub fn new() -> Result<Self> {
        let [number] = task::shared(1)? else {
            unreachable!("not one number")
        };
        Ok(Self(number))
    }

    pub fn set(&self, number: u32) {
        self.0.store(number, Ordering::Relaxed);
    }

    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits until the number has grown by so much.
    pub fn grows_by(&self, more: u32) -> Result<()> {
        let (from, start) = (self.get(), Instant::now());
        while self.get() < from + more {
            ensure!(
                start.elapsed() < Duration::from_secs(20),
                "the client sends nothing any more"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// How far the service is to be behind the client.
const BEHIND: usize = 50;

/// A client that sends one number after the other, until it is told to stop. It makes a pause after
/// each, but for as long as the service keeps up.
struct Client {
    child: Child,
    sent: Shared,
    stop: Shared,
}

impl Client {
    fn start(log: &Log) -> Result<Self> {
        let (sent, stop) = (Shared::new()?, Shared::new()?);
        let child = task::fork(|| {
            let run = || -> std::io::Result<()> {
                // From another processor it would overtake itself, where the backlog of the first
                // one waits for its turn.
                task::stay_on_one_processor()?;
                let socket = UdpSocket::bind((CLIENT, 0))?;
                for number in 0_u32.. {
                    if stop.get() != 0 {
                        break;
                    }
                    // Those that are refused while there is no service are not counted.
                    while socket.send_to(&number.to_ne_bytes(), SERVICE).is_err() {}
                    sent.set(number + 1);
                    // On a busy machine, the pauses of both are as long as the turns of others.
                    if number as usize > log.len() + 2 * BEHIND {
                        std::thread::sleep(Duration::from_micros(200));
                    }
                }
                Ok(())
            };
            run().map_or(1, |()| 0)
        })?;
        Ok(Self { child, sent, stop })
    }

    /// Stops it, and tells how many it has sent.
    fn stop(mut self) -> Result<u32> {
        self.stop.set(1);
        let end = self.child.wait(Duration::from_secs(10))?;
        ensure!(end == task::End::Exited(0), "the client: {end:?}");
        Ok(self.sent.get())
    }
}

/// What services have received, one behind the other.
///
/// `recv(2)` itself writes it down: one that is frozen and killed has received a datagram and
/// written it down, or neither.
struct Log(&'static [AtomicU32]);

impl Log {
    /// Where nothing was written yet.
    const EMPTY: u32 = u32::MAX;

    fn new() -> Result<Self> {
        let numbers = task::shared(1 << 16)?;
        for number in numbers {
            number.store(Self::EMPTY, Ordering::Relaxed);
        }
        Ok(Self(numbers))
    }

    fn len(&self) -> usize {
        let is_there = |number: &AtomicU32| number.load(Ordering::Relaxed) != Self::EMPTY;
        self.0.partition_point(is_there)
    }

    fn receive(&self, socket: &UdpSocket) -> std::io::Result<()> {
        let free = self
            .0
            .get(self.len())
            .ok_or(std::io::ErrorKind::StorageFull)?;
        socket::recv_into(socket, free)
    }

    /// What was written down, once there are so many, or nothing more comes for a while.
    fn read(&self, count: u32) -> Result<Vec<u32>> {
        let count = usize::try_from(count)?;
        let (mut len, mut last) = (self.len(), Instant::now());
        while len < count && last.elapsed() < Duration::from_secs(3) {
            std::thread::sleep(Duration::from_millis(5));
            let now = self.len();
            if now > len {
                (len, last) = (now, Instant::now());
            }
        }
        let all = self.0.iter().take(self.len());
        Ok(all.map(|number| number.load(Ordering::Relaxed)).collect())
    }
}

/// Starts a service: it writes down what it receives, more slowly than the client sends.
fn serve(socket: &UdpSocket, log: &Log, cgroup: Option<&Cgroup>) -> Result<Child> {
    let child = task::fork(|| {
        let serve = || -> std::io::Result<std::convert::Infallible> {
            cgroup.map_or(Ok(()), Cgroup::enter)?;
            loop {
                log.receive(socket)?;
                std::thread::sleep(Duration::from_millis(2));
            }
        };
        serve().map_or(1, |never| match never {})
    })?;
    Ok(child)
}

/// Sends to the service until something arrives: the first packets wait for the device and for its
/// neighbour, and others overtake them.
fn warm_up(service: &UdpSocket) -> Result<()> {
    let (client, start) = (UdpSocket::bind((CLIENT, 0))?, Instant::now());
    while !socket::readable(service, Duration::from_millis(20))? {
        ensure!(
            start.elapsed() < Duration::from_secs(20),
            "nothing gets through"
        );
        let _ = client.send_to(b"is there anybody?", SERVICE);
    }
    while socket::readable(service, Duration::from_millis(100))? {
        service.recv(&mut [0; 32])?;
    }
    Ok(())
}

/// Waits until the service has received some, and many wait in its socket.
fn falls_behind(client: &Client, log: &Log) -> Result<()> {
    let start = Instant::now();
    loop {
        let (received, sent) = (log.len(), usize::try_from(client.sent.get())?);
        if received > 10 && sent > received + BEHIND {
            return Ok(());
        }
        ensure!(
            start.elapsed() < Duration::from_secs(20),
            "the service has received {received} of {sent}"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A service in a network namespace of its own, with a client here, and what they are made of.
struct Scene {
    here: Network,
    there: Network,
    log: Log,
    service: Child,
    fd: i32,
    client: Client,
    cgroup: Cgroup,
}

impl Scene {
    fn set() -> Result<Self> {
        let here = Network::current()?;
        namespace::new_network()?;
        let there = Network::current()?;
        here.enter()?;
        link::add_veth("client0", "service0", &there)?;
        link::address("client0", CLIENT)?;
        with_a_plug("client0")?;

        there.enter()?;
        link::address("service0", *SERVICE.ip())?;
        let socket = UdpSocket::bind(SERVICE)?;
        socket::set_int(&socket, SOL_SOCKET, libc::SO_RCVBUFFORCE, RCVBUF)?;
        here.enter()?;
        warm_up(&socket)?;

        let (cgroup, log) = (Cgroup::new("recipe").context("cgroup")?, Log::new()?);
        let service = serve(&socket, &log, Some(&cgroup))?;
        let fd = socket.as_raw_fd();
        drop(socket);
        let client = Client::start(&log)?;
        falls_behind(&client, &log)?;
        Ok(Self {
            here,
            there,
            log,
            service,
            fd,
            client,
            cgroup,
        })
    }

    /// Dumps the socket of the frozen service, and ends it.
    fn checkpoint(&mut self) -> Result<Queued> {
        self.there.enter()?;
        let mut client = cr::client()?;
        let selector = Selector::Pidfd {
            pidfd: self.service.pidfd().as_fd(),
            fd: self.fd,
        };
        let queued = Queued::by(&mut client, selector.into())?;
        self.here.enter()?;
        self.service.kill();
        self.service.wait(Duration::from_secs(5))?;
        Ok(queued)
    }

    /// Restores the socket, and starts the service again.
    fn restore(&mut self, queued: &Queued) -> Result<Child> {
        self.there.enter()?;
        let copy = queued.restore(&mut cr::client()?)?;
        self.here.enter()?;
        serve(&copy, &self.log, None)
    }
}

fn nothing_is_lost() -> Result<()> {
    let mut scene = Scene::set()?;

    scene.cgroup.freeze().context("freezing the service")?;
    link::plug("client0", Plug::Buffer)?;
    let plugged = scene.client.sent.get();

    let queued = scene.checkpoint()?;
    let waited = queued.dump.u32(attr::QUEUE_LEN).unwrap_or(0);
    // The client does not know of all this.
    scene.client.sent.grows_by(50)?;
    let service = scene.restore(&queued)?;
    let held_back = scene.client.sent.get() - plugged;
    link::plug("client0", Plug::ReleaseIndefinite)?;
    scene.client.sent.grows_by(50)?;

    let sent = scene.client.stop()?;
    let mut received = scene.log.read(sent)?;
    drop(service);
    link::remove("client0")?;
    // What the plug releases goes by another CPU than what is sent: some overtake others.
    received.sort_unstable();
    ensure!(
        received.iter().copied().eq(0..sent),
        "of {sent} datagrams {} came: {received:?}",
        received.len()
    );
    ensure!(waited > 0, "nothing waited in the socket");
    ensure!(held_back >= 50, "only {held_back} datagrams were held back");
    println!("{sent} sent and received, {waited} of them restored, {held_back} held back");
    Ok(())
}

/// What the plug is for: without it, what is sent while there is no socket is lost, and only that.
fn without_the_plug() -> Result<()> {
    let mut scene = Scene::set()?;
    scene.cgroup.freeze()?;
    let queued = scene.checkpoint()?;
    scene.client.sent.grows_by(50)?;
    let service = scene.restore(&queued)?;
    scene.client.sent.grows_by(50)?;
    let sent = scene.client.stop()?;
    let received = scene.log.read(sent)?;
    drop(service);
    link::remove("client0")?;
    ensure!(
        received.windows(2).all(|pair| pair[0] < pair[1]),
        "something came twice, or out of order: {received:?}"
    );
    ensure!(
        received.len() + 50 <= usize::try_from(sent)?,
        "of {sent} datagrams {} came",
        received.len()
    );
    let gaps = received.windows(2).filter(|pair| pair[0] + 1 != pair[1]);
    let gaps = gaps.count();
    ensure!(gaps == 1, "{gaps} gaps and not one: {received:?}");
    Ok(())
}
