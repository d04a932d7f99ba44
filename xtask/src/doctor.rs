// SPDX-License-Identifier: GPL-2.0

//! `doctor`: what this machine has, what it lacks, and what brings it.

use crate::{
    ctx::Ctx,
    exec,
    needs::{
        self,
        Found,
        State, //
    },
    tools, //
};
use std::{
    path::Path,
    process::ExitCode, //
};

/// What the cache and `target` hold with the flavours `default` and `debug` built, in GiB.
const SPACE: u64 = 9;

/// The same of everything that `ci --full` builds.
const SPACE_OF_ALL: u64 = 25;

pub fn run(ctx: &Ctx) -> ExitCode {
    let needs = needs::all(ctx);
    println!(
        "{:8} {:21} {:12} {:10} state",
        "for", "what", "found", "needed"
    );
    let mut good = true;
    for need in &needs {
        let found = match &need.found {
            Found::Nothing => "-".to_owned(),
            Found::Something(text) if text.len() > 12 => "yes".to_owned(),
            Found::Something(text) | Found::Unfit(text) => text.clone(),
            Found::Version(version) => version.to_string(),
        };
        let minimum = need
            .minimum
            .map_or_else(|| "-".to_owned(), |version| version.to_string());
        let state = match need.state() {
            State::Ok => "ok".to_owned(),
            State::Missing => format!("missing: {}", need.fix.command(ctx)),
            State::TooOld => format!("too old: {}", need.fix.command(ctx)),
            State::Unfit => format!("unfit: {}", need.fix.command(ctx)),
        };
        good &= need.state() == State::Ok || need.group.is_extra();
        println!(
            "{:8} {:21} {found:12} {minimum:10} {state}",
            need.group.name(),
            need.name
        );
    }
    println!();
    for remark in remarks(ctx) {
        println!("{remark}");
    }
    if good {
        println!("Everything is there.");
        ExitCode::SUCCESS
    } else {
        println!("Something is missing: on Debian, `cargo xtask setup` as root brings it.");
        ExitCode::from(1)
    }
}

/// What is neither right nor wrong but good to know.
fn remarks(ctx: &Ctx) -> Vec<String> {
    let mut all = Vec::new();
    all.push(if Path::new("/dev/kvm").exists() {
        "KVM: /dev/kvm exists; it is used once a guest was seen alive under it.".to_owned()
    } else {
        "KVM: no /dev/kvm; guests run emulated (TCG), which is slower and works.".to_owned()
    });
    let first = tools::which("rustc");
    if let (Some(rust), Some(first)) = (tools::rust(), first)
        && first != rust.rustc
    {
        all.push(format!(
            "Rust: {} comes first on PATH, without library source; the kernel is built with {}.",
            first.display(),
            rust.rustc.display()
        ));
    }
    let mut dir = ctx.cache.as_path();
    while let (false, Some(parent)) = (dir.exists(), dir.parent()) {
        dir = parent;
    }
    let space = dir
        .to_str()
        .and_then(|dir| exec::output("df", &["--output=avail", "-B1G", dir]))
        .and_then(|text| text.lines().last()?.trim().parse::<u64>().ok());
    if let Some(space) = space {
        let short = if space < SPACE { "; NOT ENOUGH" } else { "" };
        all.push(format!(
            "Disk: {space} GiB free for {} (with target about {SPACE} needed for the flavours default \
             and debug, {SPACE_OF_ALL} for all){short}.",
            ctx.cache.display()
        ));
    }
    all
}
