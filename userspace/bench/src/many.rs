// SPDX-License-Identifier: GPL-2.0

//! What it takes to dump many sockets, here and by `sock_diag`, and to make many.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result, ensure};

use crate::cases::{image, number, restored, udp, with};
use crate::netlink::Family;
use crate::options::Which;
use crate::sys;
use crate::{ROUNDS, count_rounds};

/// The ports that a socket is bound to, on as many addresses as it takes.
const PORTS: std::ops::Range<u16> = 2_000..64_000;

/// How many sockets all rounds of a case may go over together, about: of many there are fewer rounds.
const SOCKETS: usize = 300_000;

/// The same for those that are made.
const MADE: usize = 20_000;

/// How many slots the hash table of the bound sockets has: as many as that of a machine with 1 GiB of
/// memory; and the most that there are, as with 128 GiB.
pub const FEW: u32 = 512;
pub const MOST: u32 = 65_536;

/// Bound sockets, in a namespace of their own, which this process has entered.
struct Sockets {
    all: Vec<OwnedFd>,
    home: OwnedFd,
}

impl Sockets {
    fn new(slots: u32, count: usize) -> Result<Self> {
        let home = sys::new_net(slots)?;
        let mut all = Vec::with_capacity(count);
        for (host, port) in (1..).flat_map(|host| PORTS.map(move |port| (host, port))) {
            if all.len() == count {
                break;
            }
            let socket = udp()?;
            sys::bind_at(&socket, host, port)?;
            all.push(socket);
        }
        Ok(Self { all, home })
    }

    /// What it takes for each, where an answer has so many bytes of each at the least.
    fn count(&self, least: usize, mut dump: impl FnMut() -> Result<usize>) -> Result<u64> {
        let sockets = self.all.len();
        let rounds = (SOCKETS / sockets).clamp(1, ROUNDS);
        let whole = count_rounds(rounds, 1, || {
            let len = dump()?;
            ensure!(len > sockets * least, "only {len} bytes");
            Ok(())
        })?;
        Ok(whole / u64::try_from(sockets)?)
    }
}

impl Sockets {
    /// Makes as many as there are descriptions, which all stay until the next round. What it takes for
    /// each: to close them is not counted.
    fn make<T>(
        &mut self,
        descriptions: &[T],
        mut one: impl FnMut(&T) -> Result<OwnedFd>,
    ) -> Result<u64> {
        let mut least = u64::MAX;
        for _ in 0..(MADE / descriptions.len()).clamp(1, ROUNDS) {
            self.all.clear();
            let start = sys::instructions();
            for description in descriptions {
                self.all.push(one(description)?);
            }
            least = least.min(sys::instructions() - start);
        }
        Ok(least / u64::try_from(descriptions.len())?)
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        sys::enter(&self.home).expect("it was here before");
    }
}

/// By a dump of the namespace.
pub fn namespace(slots: u32, count: usize) -> Result<u64> {
    let sockets = Sockets::new(slots, count)?;
    let mut family = Family::new()?;
    let message = family.multipart(number::DUMP, &[])?;
    sockets.count(200, || family.all(&message))
}

/// By `sock_diag`, with all that it tells of UDP sockets.
pub fn sock_diag(slots: u32, count: usize) -> Result<u64> {
    let sockets = Sockets::new(slots, count)?;
    let mut diag = Family::sock_diag()?;
    let message = diag.udp_sockets()?;
    sockets.count(100, || diag.all(&message))
}

/// How many bytes the kernel has in memory of an answer at the most, while it is read: what waits in
/// the netlink socket, as that is charged for it.
pub fn waiting(count: usize) -> Result<u64> {
    let _sockets = Sockets::new(FEW, count)?;
    let mut family = Family::new()?;
    let message = family.multipart(number::DUMP, &[])?;
    let mut most = 0;
    family.each(&message, |socket| {
        most = most.max(sys::charged(socket));
        Ok(())
    })?;
    Ok(most)
}

/// By a restore of each, bound and with nearly every option off its default.
pub fn restores(count: usize) -> Result<u64> {
    let mut sockets = Sockets::new(FEW, 0)?;
    let mut family = Family::new()?;
    let attrs = image(&mut family, Which::All, true)?;
    let request = |port: u16| {
        let mut attrs = attrs.clone();
        let mut local = attrs.iter_mut();
        let local = local.find(|attr| attr.number() == number::LOCAL_PORT);
        local.context("no port")?.payload = port.to_be_bytes().to_vec();
        family.request(number::RESTORE, &attrs)
    };
    let requests: Vec<_> = PORTS.take(count).map(request).collect::<Result<_>>()?;
    sockets.make(&requests, |request| restored(&mut family, request))
}

/// The same by plain calls.
pub fn made_by_calls(count: usize) -> Result<u64> {
    let mut sockets = Sockets::new(FEW, 0)?;
    let ports: Vec<_> = PORTS.take(count).collect();
    sockets.make(&ports, |port| {
        let socket = with(Which::All)?;
        sys::bind(&socket, *port)?;
        Ok(socket)
    })
}
