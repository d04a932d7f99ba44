// SPDX-License-Identifier: GPL-2.0

//! `spec`: the YNL specification is the source of the interface; the uAPI header is made from it
//! by the kernel's own generator, and the names in Rust have to follow.

use crate::{
    ctx::Ctx,
    fetch,
    files,
    lint,
    manifest::Present,
    needs::Group,
    options,
    setup,
    tree,
    ui, //
};
use anyhow::{
    Context,
    Result,
    ensure, //
};
use fs_err as fs;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    path::Path,
    process::{
        Command,
        ExitCode, //
    },
};

/// The specification, in the tree.
pub const SPEC: &str = "Documentation/netlink/specs/af_inet_cr.yaml";
const HEADER: &str = "include/uapi/linux/af_inet_cr.h";

pub fn run(ctx: &Ctx) -> Result<ExitCode> {
    setup::require(ctx, &[Group::Build, Group::Vm])?;
    let _lock = fetch::lock(ctx)?;
    let tree = tree::prepare(ctx, false)?;
    let header = ctx.repo("linux-patches/tree").join(HEADER);
    let changed = files::write_if_changed(
        &header,
        &generate(&lint::python(ctx), &tree.dir, Path::new(SPEC))?,
    )?;
    ui::note(&format!(
        "{}: {}",
        ui::short(&ctx.repo, &header),
        if changed { "written" } else { "no change" }
    ));
    Ok(ExitCode::SUCCESS)
}

/// Whether specification, header and Rust agree; says where they do not.
pub fn check(ctx: &Ctx, tree: &Path, present: &Present) -> Result<bool> {
    let mut yamllint = Command::new("yamllint");
    yamllint
        .current_dir(tree.join("tools/net/ynl"))
        .arg("--strict")
        .arg(tree.join(SPEC));
    let mut good = lint::passes("yamllint of the specification", &mut yamllint)?;
    if generate(&lint::python(ctx), tree, Path::new(SPEC))? != fs::read(tree.join(HEADER))? {
        eprintln!("{HEADER} is not what {SPEC} gives: run `cargo xtask spec`");
        good = false;
    }
    let rust = rust(present)?;
    for name in unnamed(&parse(ctx, tree)?, &rust)? {
        eprintln!("{SPEC}: {name} is not named in net/ipv4/af_inet_cr/");
        good = false;
    }
    good &= options::check(tree)?;
    Ok(good)
}

/// The header, as the kernel's generator makes it of a specification. It searches upwards from
/// that for a tree. `python` is the one of [`lint::python`].
pub fn generate(python: &Path, tree: &Path, spec: &Path) -> Result<Vec<u8>> {
    let work = tempfile::tempdir()?;
    let out = work.path().join("header.h");
    let output = Command::new(python)
        .current_dir(tree)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args([
            "tools/net/ynl/pyynl/ynl_gen_c.py",
            "--mode",
            "uapi",
            "--header",
            "--spec",
        ])
        .arg(spec)
        .arg("-o")
        .arg(&out)
        .output()
        .context("cannot run the generator")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "the generator refuses {}: {}",
        spec.display(),
        said.trim()
    );
    Ok(fs::read(out)?)
}

/// The specification as JSON, by the parser that the kernel's tools use.
fn parse(ctx: &Ctx, tree: &Path) -> Result<Value> {
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let output = Command::new(lint::python(ctx))
        .args(["-c", script])
        .arg(tree.join(SPEC))
        .output()?;
    serde_json::from_slice(&output.stdout).with_context(|| format!("cannot read {SPEC}"))
}

/// The subsystem's Rust code, all of it.
fn rust(present: &Present) -> Result<String> {
    let mut all = String::new();
    for (name, path) in &present.files {
        if name.starts_with("net/ipv4/af_inet_cr/") && name.ends_with(".rs") {
            all += &fs::read_to_string(path)?;
        }
    }
    Ok(all)
}

/// The attributes of the operations that Rust serves, which it does not name.
fn unnamed(spec: &Value, rust: &str) -> Result<BTreeSet<String>> {
    let words: BTreeSet<_> = rust
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .collect();
    let upper = |name: &str| name.replace('-', "_").to_uppercase();
    let operations = spec["operations"]["list"]
        .as_array()
        .context("no operations")?;
    let mut missing = BTreeSet::new();
    for operation in operations {
        let command = upper(
            operation["name"]
                .as_str()
                .context("an operation without name")?,
        );
        if !words.contains(format!("AF_INET_CR_CMD_{command}").as_str()) {
            continue;
        }
        for side in ["request", "reply"] {
            let list = operation["do"][side]["attributes"].as_array();
            for name in list.into_iter().flatten().filter_map(Value::as_str) {
                let short = upper(name);
                let long = format!("AF_INET_CR_ATTR_{short}");
                if !words.contains(short.as_str()) && !words.contains(long.as_str()) {
                    missing.insert(name.to_owned());
                }
            }
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_that_rust_does_not_name_are_found() -> Result<()> {
        let spec = serde_json::json!({ "operations": { "list": [
            { "name": "dump", "do": {
                "request": { "attributes": ["sock-fd"] },
                "reply": { "attributes": ["cookie", "sockopt-linger"] },
            } },
            { "name": "amend", "do": { "request": { "attributes": ["later"] } } },
        ] } });
        let rust = "uapi::AF_INET_CR_CMD_DUMP; row!(SOCK_FD); AF_INET_CR_ATTR_COOKIE";
        assert_eq!(unnamed(&spec, rust)?, ["sockopt-linger".to_owned()].into());
        Ok(())
    }
}
