// SPDX-License-Identifier: GPL-2.0

//! rust-project.json: what the kernel writes, made to be about ours.

use super::{
    CRATE_ROOT,
    Ours, //
};
use anyhow::{
    Context,
    Result,
    ensure, //
};
use serde_json::{
    Value,
    json, //
};
use std::{
    collections::BTreeMap,
    path::Path, //
};

/// The subsystem and the kernel's crate, as crates.
const CRATE: &str = "af_inet_cr";
const KERNEL: &str = "kernel";

/// What rust-analyzer finds by itself of Rust's library, and knows the built-in types' methods from
/// only then.
const LIBRARY: [&str; 4] = ["core", "alloc", "std", "proc_macro"];

/// The project with the files of ours in the place of their copies, with `root` as that of the
/// kernel's crate, and without what is not used.
pub fn with_ours(mut project: Value, root: &Path, ours: &Ours) -> Result<Value> {
    let crates = project["crates"].take();
    let crates: Vec<Value> =
        serde_json::from_value(crates).context("no crates in the kernel's rust-project.json")?;
    let find = |name: &str| {
        let one = crates.iter().find(|one| one["display_name"] == name);
        one.with_context(|| format!("no crate {name} in the kernel's rust-project.json"))
    };
    find(CRATE)?;
    find(KERNEL)?;
    if let Some(core) = find("core")?["root_module"].as_str() {
        let library = core.strip_suffix("/core/src/lib.rs");
        project["sysroot_src"] = json!(library.context("Rust's library has an unusual place")?);
    }

    // The subsystem is moved behind the kernel's crate; what else was there uses that, too.
    let is_used = |(_, one): &(usize, &Value)| {
        one["display_name"] != CRATE && LIBRARY.iter().all(|name| one["display_name"] != *name)
    };
    let used = crates.iter().enumerate().filter(is_used);
    let last = used
        .clone()
        .position(|(_, one)| one["display_name"] == KERNEL);
    let used = used.take(last.map_or(0, |last| last + 1));
    let at = crates.iter().position(|one| one["display_name"] == CRATE);
    let used = used.chain(at.map(|at| (at, &crates[at])));
    // A crate is known by its place.
    let mut places = BTreeMap::new();
    let mut kept = Vec::new();
    for (place, one) in used {
        kept.push(renumbered(one.clone(), &places)?);
        places.insert(place as u64, kept.len() - 1);
    }
    for one in &mut kept {
        let is = |name| one["display_name"] == name;
        let (is_subsystem, is_kernel) = (is(CRATE), is(KERNEL));
        // What else there is, nobody here edits.
        one["is_workspace_member"] = json!(is_subsystem || is_kernel);
        if is_subsystem {
            one["root_module"] = json!(ours.subsystem.join(CRATE_ROOT));
        }
        if is_kernel {
            one["root_module"] = json!(root);
            let dirs = one["source"]["include_dirs"].as_array_mut();
            dirs.context("the crate of the kernel has no source directories")?
                .push(json!(ours.kernel));
        }
    }
    project["crates"] = json!(kept);
    Ok(project)
}

/// A crate with those that it uses under the numbers that these have now.
fn renumbered(mut one: Value, places: &BTreeMap<u64, usize>) -> Result<Value> {
    let uses = one["deps"].as_array().cloned().unwrap_or_default();
    // The kernel says it on the command line of rustc.
    if uses.iter().all(|used| used["name"] != "std") {
        one["crate_attrs"] = json!(["no_std"]);
    }
    let mut now = Vec::new();
    for mut used in uses {
        if LIBRARY.iter().any(|name| used["name"] == *name) {
            continue;
        }
        let place = used["crate"].as_u64().and_then(|place| places.get(&place));
        ensure!(
            place.is_some(),
            "{} uses {}, which comes after the kernel's crate",
            one["display_name"],
            used["name"]
        );
        used["crate"] = json!(place);
        now.push(used);
    }
    one["deps"] = json!(now);
    Ok(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(uses: &Value) -> Value {
        let source = json!({ "include_dirs": ["/tree/rust/kernel"] });
        let uses_std = json!([{ "crate": 0, "name": "core" }, { "crate": 1, "name": "std" }]);
        let uses_macros = json!([{ "crate": 0, "name": "core" }, { "crate": 2, "name": "macros" }]);
        json!({
            "sysroot": "/usr",
            "crates": [
                { "display_name": "core", "root_module": "/usr/library/core/src/lib.rs" },
                { "display_name": "std", "root_module": "/usr/library/std/src/lib.rs" },
                { "display_name": "macros", "root_module": "/tree/m.rs", "deps": uses_std },
                {
                    "display_name": "kernel", "root_module": "/tree/lib.rs",
                    "source": source, "deps": uses_macros,
                },
                { "display_name": "rust_minimal", "root_module": "/tree/samples.rs" },
                { "display_name": "af_inet_cr", "root_module": "/tree/copy.rs", "deps": uses },
                { "display_name": "tyr", "root_module": "/tree/tyr.rs" },
            ],
        })
    }

    fn with_ours_of(made: Value) -> Result<Value> {
        with_ours(
            made,
            Path::new("/tree/.root.rs"),
            &Ours::in_dir(Path::new("/ours")),
        )
    }

    #[test]
    fn the_project_is_about_ours() -> Result<()> {
        let uses = json!([{ "crate": 0, "name": "core" }, { "crate": 3, "name": "kernel" }]);
        let project = with_ours_of(made(&uses))?;
        assert_eq!(project["sysroot_src"], "/usr/library");
        let crates = project["crates"].as_array().context("crates")?;
        let of = |field: &str| {
            crates
                .iter()
                .map(|one| one[field].clone())
                .collect::<Vec<_>>()
        };
        let subsystem = "/ours/net/ipv4/af_inet_cr/af_inet_cr.rs";
        assert_eq!(
            of("root_module"),
            ["/tree/m.rs", "/tree/.root.rs", subsystem]
        );
        assert_eq!(of("is_workspace_member"), [false, true, true]);
        let no_std = json!(["no_std"]);
        assert_eq!(of("crate_attrs"), [Value::Null, no_std.clone(), no_std]);
        assert_eq!(
            of("deps"),
            [
                json!([]),
                json!([{ "crate": 0, "name": "macros" }]),
                json!([{ "crate": 1, "name": "kernel" }])
            ]
        );
        let dirs = &crates[1]["source"]["include_dirs"];
        let ours = "/ours/linux-patches/tree/rust/kernel";
        assert_eq!(*dirs, json!(["/tree/rust/kernel", ours]));
        Ok(())
    }

    #[test]
    fn what_it_does_not_understand_is_named() {
        let error = |made| with_ours_of(made).unwrap_err().to_string();
        let later = made(&json!([{ "crate": 4, "name": "rust_minimal" }]));
        assert!(error(later).contains("comes after the kernel's"));
        assert!(error(json!({ "crates": [] })).contains("no crate af_inet_cr"));
        assert!(error(json!({})).contains("no crates"));
    }
}
