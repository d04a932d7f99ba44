// SPDX-License-Identifier: GPL-2.0

//! Item by item, what CRIU keeps by itself and with the hook.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::items::{self, Item, Seen};
use super::process::holder;
use super::{Criu, Stuck};
use crate::cr;
use crate::observe::same;
use crate::sys::task;

/// What the lines of the table begin with, in what the test prints.
const LINE: &str = "table: ";

/// How many items CRIU has to lose by itself, for the test to have seen anything.
const LOST: usize = 30;

pub fn table(program: &Path) -> Result<()> {
    let alone = kept(&Criu::alone(program)?, false).context("by CRIU alone")?;
    let hooked = kept(&Criu::hooked(program, "--strict")?, true).context("with the hook")?;
    let items = items::all()?;
    for ((item, alone), hooked) in items.iter().zip(&alone).zip(&hooked) {
        let words = |kept: bool| if kept { "kept" } else { "lost" };
        println!(
            "{LINE}{} | {} | {}",
            item.name,
            words(*alone),
            words(*hooked)
        );
    }
    for (name, make) in items::refused() {
        let [alone, hooked] = [
            refusal(&Criu::alone(program)?, make)?,
            refusal(&Criu::hooked(program, "")?, make)?,
        ];
        println!("{LINE}{name} | {alone} | {hooked}");
    }
    items::clean();
    let lost = alone.iter().filter(|kept| !**kept).count();
    ensure!(lost > LOST, "CRIU alone loses only {lost} items");
    let names = items.iter().zip(&hooked).filter(|(_, kept)| !**kept);
    let names: Vec<_> = names.map(|(item, _)| &item.name).collect();
    ensure!(names.is_empty(), "lost with the hook: {names:?}");
    Ok(())
}

/// Has CRIU checkpoint and restore a process with a socket for each item, and says which of them the
/// new sockets have. If `all`, nothing else may be another thing.
fn kept(criu: &Criu<'_>, all: bool) -> Result<Vec<bool>> {
    let items = items::all()?;
    let mut sockets = Vec::new();
    let mut before = Vec::new();
    for (index, item) in items.iter().enumerate() {
        sockets.push(item.make(index)?);
    }
    let mut client = cr::client()?;
    for socket in &sockets {
        before.push(Seen::of(&mut client, socket)?);
    }
    drop(client);
    let numbers: Vec<_> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
    let mut child = holder()?;
    drop(sockets);
    let restored = criu.round_trip(&mut child)?;
    for line in criu.said("dump").iter().chain(&criu.said("restore")) {
        println!("{line}");
    }

    let mut client = cr::client()?;
    let mut kept = Vec::new();
    for ((item, before), number) in items.iter().zip(&before).zip(numbers) {
        let socket = UdpSocket::from(task::take_descriptor(&restored.pidfd, number)?);
        let after = Seen::of(&mut client, &socket)?;
        kept.push(has(item, before, &after));
        if all {
            same(&item.name, &before.plain, &after.plain)?;
            let differences = before.snapshot.differences(&after.snapshot);
            ensure!(differences.is_empty(), "{}: {differences:?}", item.name);
        }
    }
    Ok(kept)
}

fn has(item: &Item, before: &Seen, after: &Seen) -> bool {
    (item.value)(before) == (item.value)(after)
}

/// What CRIU says when it is to checkpoint and restore a process with such a socket.
fn refusal(criu: &Criu<'_>, make: fn() -> Result<UdpSocket>) -> Result<String> {
    let socket = make()?;
    let mut child = holder()?;
    drop(socket);
    Ok(match criu.round_trip(&mut child) {
        Ok(_) => "kept".to_owned(),
        // That says nothing of the socket.
        Err(error) if error.is::<Stuck>() => return Err(error),
        Err(error) => {
            println!("{error:#}");
            match error.to_string().as_str() {
                "dump" => "refuses the dump",
                _ => "fails to restore",
            }
            .to_owned()
        }
    })
}
