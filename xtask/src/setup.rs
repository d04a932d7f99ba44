// SPDX-License-Identifier: GPL-2.0

//! `setup`: bring what is missing.

mod newer;

use crate::{
    ctx::Ctx,
    exec,
    lock::Lock,
    needs::{
        self,
        Fix,
        Group,
        Need,
        State,
        Venv, //
    },
    tools,
    ui::{
        self,
        Step, //
    },
    version::Version, //
};
use anyhow::{
    Context,
    Result,
    bail,
    ensure, //
};
use fs_err as fs;
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::Path,
    process::{
        Command,
        ExitCode, //
    },
};

pub fn run(ctx: &Ctx) -> Result<ExitCode> {
    bring(
        ctx,
        &[
            Group::Build,
            Group::Vm,
            Group::Image,
            Group::Debug,
            Group::Lint,
            Group::Comfort,
        ],
    )?;
    ui::note("everything is there");
    Ok(ExitCode::SUCCESS)
}

/// Fails as [`require`] does where nothing can be brought, but brings nothing yet.
pub fn possible(ctx: &Ctx, groups: &[Group]) -> Result<()> {
    let is_packaged = |need: &Need| matches!(need.fix, Fix::Apt(_));
    ensure!(
        may_install(ctx) || !missing(ctx, groups).iter().any(is_packaged),
        "{}",
        refusal(ctx, groups)
    );
    Ok(())
}

/// Makes sure that everything of these groups is there before a command begins: brings it where
/// that is possible, otherwise names all that is missing with the command that brings it.
pub fn require(ctx: &Ctx, groups: &[Group]) -> Result<()> {
    let missing = missing(ctx, groups);
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|need| need.name).collect();
    ui::note(&format!("missing: {}; setting up first", names.join(", ")));
    bring(ctx, groups)
}

fn missing(ctx: &Ctx, groups: &[Group]) -> Vec<Need> {
    let mut all = needs::all(ctx);
    all.retain(|need| need.state() != State::Ok && groups.contains(&need.group));
    all
}

fn bring(ctx: &Ctx, groups: &[Group]) -> Result<()> {
    if missing(ctx, groups).is_empty() {
        return Ok(());
    }
    possible(ctx, groups)?;
    let _lock = Lock::take(&ctx.cache("lock/setup"), "setup")?;
    // Another run may have brought something while this one waited.
    let packaged: Vec<_> = missing(ctx, groups)
        .into_iter()
        .filter_map(|need| match need.fix {
            Fix::Apt(sets) => Some((need.name, sets)),
            _ => None,
        })
        .collect();
    if !packaged.is_empty() {
        apt(ctx, &packaged)?;
    }
    for need in missing(ctx, groups) {
        match need.fix {
            Fix::Apt(_) => bail!(
                "{} is still missing, too old or unfit after its packages were installed; \
                 see `cargo xtask doctor`",
                need.name
            ),
            Fix::Bindgen(version) => bindgen(ctx, version)?,
            Fix::Component(name) => rustup(ctx, &["component", "add"], name)?,
            Fix::Target(name) => rustup(ctx, &["target", "add"], name)?,
            Fix::Release(version) => {
                let words = [
                    "toolchain",
                    "install",
                    "--profile=minimal",
                    "--component=rust-src,clippy",
                ];
                rustup(ctx, &words, &version.to_string())?;
            }
            Fix::Venv(venv) => install(ctx, venv)?,
            Fix::CargoMake => cargo_make(ctx)?,
            Fix::Newer(newer) => newer::bring(ctx, newer)?,
        }
    }
    let left = missing(ctx, groups);
    for need in &left {
        if let Fix::Newer(newer) = need.fix {
            bail!(
                "{} is too old for this kernel even in Debian's newest suites: {}",
                newer.name,
                newer.otherwise
            );
        }
    }
    ensure!(left.is_empty(), "{}", refusal(ctx, groups));
    Ok(())
}

/// Whether this is Debian (or made from it) and we are root.
fn may_install(_: &Ctx) -> bool {
    tools::which("apt-get").is_some() && exec::output("id", &["-u"]).is_some_and(|user| user == "0")
}

/// All that is missing, each with the command that brings it.
fn refusal(ctx: &Ctx, groups: &[Group]) -> String {
    let mut text =
        "missing, and only root on Debian can be helped by `cargo xtask setup`:".to_owned();
    for need in missing(ctx, groups) {
        let _ = write!(text, "\n  {}: {}", need.name, need.fix.command(ctx));
    }
    text
}

fn apt(ctx: &Ctx, wanted: &[(&str, &[&[&str]])]) -> Result<()> {
    let choose = |names: &mut Vec<String>| {
        let mut packages = BTreeSet::new();
        for (name, sets) in wanted {
            match sets
                .iter()
                .find(|set| set.iter().all(|package| known(package)))
            {
                Some(set) => packages.extend(set.iter().copied()),
                None => names.push((*name).to_owned()),
            }
        }
        packages
    };
    let mut unknown = Vec::new();
    let mut packages = choose(&mut unknown);
    if !unknown.is_empty() {
        let step = Step::new("update apt's package lists");
        run_apt(ctx, &["update"], &step)?;
        step.done("");
        unknown.clear();
        packages = choose(&mut unknown);
    }
    ensure!(
        unknown.is_empty(),
        "this machine's Debian suites have no package for: {}",
        unknown.join(", ")
    );
    let list: Vec<_> = packages.into_iter().collect();
    let step = Step::new(&format!("install {}", list.join(" ")));
    let words = [&["install", "--no-install-recommends", "--yes"][..], &list].concat();
    if run_apt(ctx, &words, &step).is_err() {
        // The lists may be older than what the mirror still has.
        run_apt(ctx, &["update"], &step)?;
        run_apt(ctx, &words, &step)?;
    }
    step.done("");
    Ok(())
}

fn known(package: &str) -> bool {
    exec::output("apt-cache", &["policy", package])
        .is_some_and(|text| text.contains("Candidate: ") && !text.contains("Candidate: (none)"))
}

fn run_apt(ctx: &Ctx, words: &[&str], step: &Step) -> Result<()> {
    let log = exec::log_path(ctx, "setup-apt");
    exec::logged(&mut apt_get(words), &log, step, 0)?;
    Ok(())
}

fn apt_get(words: &[&str]) -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C");
    apt.args(["-q", "-o", "DPkg::Lock::Timeout=300"])
        .args(words);
    apt
}

fn bindgen(ctx: &Ctx, version: Version) -> Result<()> {
    let root = tools::bindgen_root(ctx, version);
    let root = root
        .to_str()
        .context("the cache has a name that is not text")?;
    cargo_install(
        ctx,
        &[
            &["--version", &version.to_string(), "--root", root][..],
            &tools::BINDGEN_BUILD,
            &["bindgen-cli"],
        ]
        .concat(),
    )
}

fn rustup(ctx: &Ctx, words: &[&str], name: &str) -> Result<()> {
    let step = Step::new(&format!("install {name}"));
    let mut add = Command::new("rustup");
    add.args(words).arg(name);
    exec::logged(
        &mut add,
        &exec::log_path(ctx, &format!("setup-{name}")),
        &step,
        0,
    )?;
    step.done("");
    Ok(())
}

fn cargo_make(ctx: &Ctx) -> Result<()> {
    cargo_install(ctx, &tools::CARGO_MAKE)
}

fn cargo_install(ctx: &Ctx, words: &[&str]) -> Result<()> {
    let name = words.last().context("nothing to install")?;
    let step = Step::new(&format!("build {name}"));
    // Not ours: the tools are not part of the workspace.
    let mut install = exec::cargo(Path::new("/"));
    install.args(["install", "--locked", "--force"]).args(words);
    install.env_remove("CARGO_TARGET_DIR");
    exec::logged(
        &mut install,
        &exec::log_path(ctx, &format!("setup-{name}")),
        &step,
        0,
    )?;
    step.done("");
    Ok(())
}

fn install(ctx: &Ctx, venv: &Venv) -> Result<()> {
    let step = Step::new(&format!(
        "install {} in an environment of its own",
        venv.packages
    ));
    let place = (venv.place)(ctx);
    let log = exec::log_path(ctx, &format!("setup-{}", venv.name.replace(", ", "-")));
    // Its scripts hold its path, so it cannot be made elsewhere and renamed: the stamp comes last.
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    let mut create = Command::new(needs::python());
    create.args(["-m", "venv"]).arg(&place);
    exec::logged(&mut create, &log, &step, 0)?;
    let mut pip = Command::new(place.join("bin/pip"));
    pip.args(["install", "--disable-pip-version-check", "--no-input"]);
    pip.args(venv.packages.split(' '));
    exec::logged(&mut pip, &log, &step, 0)?;
    fs::write(venv.stamp(ctx), venv.packages)?;
    step.done("");
    Ok(())
}
