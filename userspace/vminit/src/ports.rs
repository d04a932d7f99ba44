// SPDX-License-Identifier: GPL-2.0
//! The virtio ports to the host. There is no udev, so they are found in sysfs by their names. An
//! image that somebody boots by hand has none: the console takes their place.

use crate::kmsg::Log;
use std::{
    fs::{
        self,
        File,
        OpenOptions, //
    },
    io::{
        self,
        Write as _, //
    },
    process::Stdio,
};

/// Opens the port that the host calls `name`, for writing, if there is one.
fn open(name: &str) -> io::Result<Option<File>> {
    for entry in fs::read_dir("/sys/class/virtio-ports")
        .into_iter()
        .flatten()
    {
        let entry = entry?;
        let found = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        if found.trim() == name {
            let device = format!("/dev/{}", entry.file_name().to_string_lossy());
            return OpenOptions::new().write(true).open(device).map(Some);
        }
    }
    Ok(None)
}

/// Where a job writes to.
pub fn output(name: &str) -> io::Result<Stdio> {
    Ok(open(name)?.map_or_else(Stdio::inherit, Stdio::from))
}

/// The terminal behind the console, for a job that speaks with a person. Not `/dev/console`
/// itself: that cannot be the controlling terminal of a shell.
pub fn console() -> io::Result<File> {
    let active = fs::read_to_string("/sys/class/tty/console/active")?;
    let name = active.split_whitespace().last().unwrap_or("console");
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(format!("/dev/{name}"))
}

/// The line to the host.
///
/// `up T`, `note TEXT`, `taint-before N`, `start T`, `exit CODE`, `no-start TEXT`,
/// `taint-after N`, `sockets BEFORE AFTER`, `log LINE` (of the kernel's log), `kmemleak TEXT` (a line of its report),
/// `kmemleak-clean`, `done T`; T is the kernel's uptime in seconds. A person at the console is told
/// what a person wants to know.
pub struct Report(Option<File>);

impl Report {
    /// Finds the port.
    pub fn open() -> io::Result<Self> {
        open("inetcr.ctl").map(Self)
    }

    /// Says one thing. If the host no longer listens there is nobody left to tell.
    pub fn say(&mut self, key: &str, value: &str) {
        if let Some(port) = &mut self.0 {
            let _ = port.write_all(format!("{key} {value}\n").as_bytes());
        } else if matches!(key, "note" | "exit" | "no-start" | "kmemleak") {
            println!("vminit: {key} {value}");
        }
    }

    /// Passes on the kernel's log, at once because there is much of it.
    pub fn log(&mut self, log: &mut io::Result<Log>) {
        match (log, &mut self.0) {
            (Ok(log), Some(port)) => {
                let lines = log.rest().into_iter().map(|line| format!("log {line}\n"));
                let _ = port.write_all(lines.collect::<String>().as_bytes());
            }
            (Ok(_), None) => {}
            (Err(error), _) => self.say("note", &format!("cannot read /dev/kmsg: {error}")),
        }
    }
}
