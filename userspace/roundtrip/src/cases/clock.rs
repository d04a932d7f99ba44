// SPDX-License-Identifier: GPL-2.0

//! The clock of a device that hardware time stamps are of (`SOF_TIMESTAMPING_BIND_PHC`), which is
//! known by its index.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use libc::SOL_SOCKET;

use crate::cr::{self, Expected, attr};
use crate::runner::{Test, skip};
use crate::sys::{link, socket};

pub fn tests() -> Vec<Test> {
    vec![Test::new("clock::of_a_device", of_a_device)]
}

const SO_TIMESTAMPING: i32 = 37;
/// `SOF_TIMESTAMPING_RX_HARDWARE`, `SOF_TIMESTAMPING_RAW_HARDWARE` and `SOF_TIMESTAMPING_BIND_PHC`.
const BY_CLOCK: i32 = 0x4 | 0x40 | 0x8000;

/// A device that has a clock: of netdevsim.
struct Device {
    /// Its number there.
    number: u32,
    name: String,
}

impl Device {
    /// Adds one to this network namespace.
    fn add() -> Result<Self> {
        let number = std::process::id();
        match fs::write("/sys/bus/netdevsim/new_device", format!("{number} 1")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return skip("netdevsim");
            }
            result => result.context("netdevsim")?,
        }
        // The other one is lo.
        let name = link::names()?.into_iter().find(|name| name != "lo");
        let device = Self {
            number,
            name: name.unwrap_or_default(),
        };
        link::up(&device.name).context("no device")?;
        Ok(device)
    }

    /// Has as many virtual clocks; gives the index of the last one. A socket can be of these only.
    fn clocks(&self, count: u32) -> Result<Option<u32>> {
        let device = format!("/sys/bus/netdevsim/devices/netdevsim{}/ptp", self.number);
        let clock = entries(Path::new(&device), "ptp")?
            .pop()
            .context("no clock")?;
        fs::write(clock.join("n_vclocks"), count.to_string()).context("n_vclocks")?;
        let clocks = entries(&clock, "ptp")?.into_iter();
        let indexes = clocks.filter_map(|clock| {
            let name = clock.file_name()?.to_str()?;
            name.strip_prefix("ptp")?.parse().ok()
        });
        Ok(indexes.max())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = fs::write("/sys/bus/netdevsim/del_device", self.number.to_string());
    }
}

/// What is in a directory and has a name that begins like this.
fn entries(dir: &Path, prefix: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn clock_of(socket: &UdpSocket) -> Result<Vec<u8>> {
    Ok(socket::get(socket, SOL_SOCKET, SO_TIMESTAMPING, 8)?)
}

/// The copy has the clock of the original; without it, there is no copy.
fn of_a_device() -> Result<()> {
    let device = Device::add()?;
    let index = device.clocks(2)?.context("no virtual clock")?;
    let set = [BY_CLOCK.cast_unsigned(), index]
        .map(u32::to_ne_bytes)
        .concat();
    let original = socket::udp()?;
    socket::set(
        &original,
        SOL_SOCKET,
        libc::SO_BINDTODEVICE,
        device.name.as_bytes(),
    )?;
    socket::set(&original, SOL_SOCKET, SO_TIMESTAMPING, &set)?;
    ensure!(clock_of(&original)? == set, "{:02x?}", clock_of(&original)?);

    let mut client = cr::client()?;
    let dump = cr::dump(&mut client, &original)?;
    let copy = cr::round_trip(&mut client, original)?;
    ensure!(clock_of(&copy)? == set, "{:02x?}", clock_of(&copy)?);
    // Amended as another one would be that has no clock yet.
    let target = socket::udp()?;
    socket::set(
        &target,
        SOL_SOCKET,
        libc::SO_BINDTODEVICE,
        device.name.as_bytes(),
    )?;
    let amended = client.amend_attrs(&super::amend::request(&dump, &target).0)?;
    ensure!(amended.failed.is_empty(), "{:?}", amended.failed);
    ensure!(clock_of(&target)? == set, "{:02x?}", clock_of(&target)?);

    device.clocks(0)?;
    let expected = Expected::errno(&[libc::EINVAL]).attribute(attr::TIMESTAMPING);
    cr::restore_refused(&mut client, &dump, expected)
}
