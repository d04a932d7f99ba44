// SPDX-License-Identifier: GPL-2.0

//! The cells that take long: each commit is built, and the documentation at the end.

use super::{
    File,
    Finding,
    Patch,
    table::Table, //
};
use crate::{
    build, config,
    ctx::Ctx,
    exec,
    flavour::{
        self,
        Flavour, //
    },
    lint::{
        self,
        Ours, //
    },
    manifest,
    tools::{
        self,
        Toolchain, //
    },
    tree,
    ui::{
        self,
        Step, //
    },
};
use anyhow::{
    Result,
    anyhow,
    ensure, //
};
use fs_err as fs;
use std::{
    collections::BTreeSet,
    process::Command, //
};

/// Has sparse look at what is compiled already. Of all C files it would take as long as the compiler.
const SPARSE: &str = "C=2";

/// The name of the build directory and of the log. Not that of the flavour, which others build from
/// the tree that has all of the series.
const BUILD: &str = "series-check";

/// The parts of the documentation that the series is in.
const SPHINXDIRS: &str = "SPHINXDIRS=networking netlink/specs";

/// Adds the columns.
pub(super) fn each(ctx: &Ctx, patches: &[Patch], from: usize, table: &mut Table) -> Result<()> {
    ensure!(
        (1..patches.len()).contains(&from),
        "--from: the series has {} commits",
        patches.len() - 1
    );
    table.add("build", commits(ctx, patches, from)?);
    table.add("htmldocs", documentation(ctx, patches)?);
    Ok(())
}

/// Builds the kernel after each commit, in a tree and a build directory of its own.
fn commits(ctx: &Ctx, patches: &[Patch], from: usize) -> Result<Vec<Finding>> {
    let tools = Toolchain::find(ctx)?;
    let (manifest, present) = manifest::load(ctx)?;
    let flavour = Flavour::named(flavour::SERIES)?;
    let mut found = vec![Finding::Nothing];
    for patch in &patches[1..] {
        if patch.number < from {
            found.push(Finding::Unable("--from begins behind it".to_owned()));
            continue;
        }
        ui::note(&format!("commit {} of {}", patch.name(), patches.len() - 1));
        let tree = tree::prepare_commits(ctx, &manifest.commits[..patch.number], &present)?;
        let build = config::build_dir(ctx, &tree, BUILD);
        config::make(ctx, &tools, &tree, &build, &flavour)?;
        let touched: BTreeSet<_> = patch.files.iter().map(|file| file.path.clone()).collect();
        // A compiler only speaks when it runs.
        for object in lint::objects(&touched) {
            let _ = fs::remove_file(build.join(object));
        }
        let mut text = String::new();
        let mut make = |name: &str, words: &[&str]| -> Result<()> {
            let words = [&lint::STRICT[..], words].concat();
            let result = build::make(ctx, &tools, &tree.dir, &build, name, &words);
            text.push_str(&build::said(ctx, name));
            result.map(drop)
        };
        let mut result = make(BUILD, &[build::IMAGE]);
        let for_sparse = for_sparse(&touched);
        if result.is_ok() && !for_sparse.is_empty() {
            // The rule of this one has a look at it only after it was compiled.
            let _ = fs::remove_file(build.join(lint::HELPERS));
            let mut words = vec![SPARSE];
            words.extend(for_sparse.iter().map(String::as_str));
            result = make(&format!("{BUILD}-sparse"), &words);
        }
        let files = patch.files.iter().map(|file| {
            let File {
                path,
                before,
                after,
                ..
            } = file;
            (path.clone(), before.clone(), after.clone())
        });
        let mut warnings = lint::warnings(&text, &Ours::of(files));
        if result.is_ok() {
            warnings.extend(lint::unchecked(&text, &touched));
        }
        found.push(built(warnings, result.err()));
    }
    Ok(found)
}

/// What make is asked for to have sparse look at these files.
fn for_sparse(touched: &BTreeSet<String>) -> BTreeSet<String> {
    let target = |object: String| match object.strip_prefix("rust/") {
        // These are no targets by themselves.
        Some(_) => "rust/".to_owned(),
        None => object,
    };
    lint::objects_in_c(touched)
        .into_iter()
        .map(target)
        .collect()
}

/// What is to be said of a build: warnings about the files of the patch, and that it failed.
fn built(mut problems: Vec<String>, error: Option<anyhow::Error>) -> Finding {
    problems.extend(error.map(|error| format!("{error:#}")));
    Finding::of(true, &problems)
}

/// The documentation, by the kernel's own Sphinx.
fn documentation(ctx: &Ctx, patches: &[Patch]) -> Result<Vec<Finding>> {
    let tree = tree::prepare(ctx, false)?;
    let build = config::build_dir(ctx, &tree, "docs");
    fs::create_dir_all(&build)?;
    let step = Step::new("make htmldocs");
    let log = exec::log_path(ctx, "htmldocs");
    let path = std::env::var("PATH").unwrap_or_default();
    let python = tools::b4(ctx).join("bin");
    let mut make = Command::new("make");
    make.env("PATH", format!("{}:{path}", python.display()))
        .env("LC_ALL", "C.UTF-8");
    make.arg("-C").arg(&tree.dir);
    make.arg(format!("O={}", build.display()));
    make.args([SPHINXDIRS, "htmldocs"]);
    let result = exec::logged(&mut make, &log, &step, 0);
    let failure = result.err().map(|error| format!("{error:#}"));
    let text = fs::read_to_string(&log)?;
    step.done("");
    let cell = |patch: &Patch| {
        let paths: Vec<_> = patch.files.iter().map(|file| file.path.as_str()).collect();
        if !paths.iter().any(|path| path.starts_with("Documentation/")) {
            return Finding::Nothing;
        }
        built(
            complaints(&text, &paths),
            failure.as_ref().map(|text| anyhow!("{text}")),
        )
    };
    Ok(patches.iter().map(cell).collect())
}

/// What Sphinx says of these files.
fn complaints(log: &str, paths: &[&str]) -> Vec<String> {
    let lines = log.lines().filter(|line| {
        let line = line.to_lowercase();
        line.contains("warning") || line.contains("error")
    });
    // An index is complained of for what is not built here; ours must be in the words then.
    lines
        .filter(|line| {
            paths
                .iter()
                .any(|path| line.contains(path) && !path.ends_with("/index.rst"))
        })
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_and_a_failure_are_red() {
        let log = "net/core/a.c:1:2: warning: unused variable 'x' [-Wunused]\n";
        let ours = |name: &str| Ours::of([(name.to_owned(), None, None)].into_iter());
        let of = |name, error| built(lint::warnings(log, &ours(name)), error);
        assert!(matches!(of("net/core/a.c", None), Finding::Red(_)));
        assert_eq!(of("net/core/b.c", None), Finding::Clean);
        let failed = Some(anyhow!("make failed"));
        assert!(matches!(of("net/core/b.c", failed), Finding::Red(_)));
    }

    #[test]
    fn the_build_directory_is_that_of_no_flavour() {
        assert!(Flavour::named(BUILD).is_err());
    }

    #[test]
    fn what_sparse_refused_to_look_at_is_red() {
        let log = "Makefile:1311: C=2 specified, but sparse is not available or not up to date\n";
        let touched = ["net/core/sock.c".to_owned()].into();
        let cell = built(lint::unchecked(log, &touched), None);
        assert!(matches!(cell, Finding::Red(_)), "{cell:?}");
    }

    #[test]
    fn sparse_looks_at_c_files() {
        let touched = [
            "net/core/sock.c",
            "net/ipv4/af_inet_cr/dump.rs",
            "rust/helpers/net/sock.c",
        ];
        assert_eq!(
            for_sparse(&touched.map(str::to_owned).into()),
            ["net/core/sock.o", "rust/"].map(str::to_owned).into()
        );
    }

    #[test]
    fn only_what_is_said_of_our_pages_counts() {
        let log = "\
reading sources... Documentation/networking/ours.rst
/tree/Documentation/networking/index.rst:4: WARNING: undefined label: 'x'
/tree/Documentation/networking/other.rst:380: WARNING: undefined label: 'y'
/tree/Documentation/networking/ours.rst:7: WARNING: Title underline too short.
";
        let paths = [
            "Documentation/networking/ours.rst",
            "Documentation/networking/index.rst",
        ];
        let found = complaints(log, &paths);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("ours.rst:7"));
    }
}
