// SPDX-License-Identifier: GPL-2.0

//! `lint`: everything that can be checked without running the kernel. Only what is ours counts:
//! Linux has warnings of its own.

use crate::{
    config,
    ctx::Ctx,
    exec, fetch,
    flavour::Flavour,
    manifest::{
        self,
        Manifest,
        Present, //
    },
    needs::Group,
    setup, spec,
    tools::{
        self,
        Toolchain, //
    },
    tree::{
        self,
        Tree, //
    },
    ui::Step,
};
use anyhow::{
    Context,
    Result, //
};
use fs_err as fs;
use similar::{
    Algorithm,
    DiffOp,
    DiffTag, //
};
use std::{
    collections::{
        BTreeMap,
        BTreeSet, //
    },
    path::Path,
    process::{
        Command,
        ExitCode, //
    },
};

#[derive(clap::Args)]
pub struct Args {
    /// Only these checks (default: all).
    #[arg(value_enum)]
    only: Vec<Check>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Check {
    /// cargo fmt and clippy on the workspace.
    Host,
    /// rustfmt on the kernel's Rust files that are ours or edited.
    Format,
    /// The specification, the header generated from it, the names that Rust uses, and that no socket
    /// option of the kernel is forgotten.
    Spec,
    /// The documentation, as reStructuredText.
    Docs,
    /// The kernel's compilers with CLIPPY=1 W=1, and sparse (C=1) on edited C files.
    Kernel,
}

const ALL: [Check; 5] = [
    Check::Host,
    Check::Format,
    Check::Spec,
    Check::Docs,
    Check::Kernel,
];

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    let checks = if args.only.is_empty() {
        &ALL[..]
    } else {
        &args.only
    };
    // virtme-ng's environment has the Python modules that the generator imports.
    setup::require(ctx, &[Group::Build, Group::Vm, Group::Lint])?;
    let mut good = true;
    if checks.contains(&Check::Host) {
        good &= host(ctx)?;
    }
    let _lock = fetch::lock(ctx)?;
    let (manifest, present) = manifest::load(ctx)?;
    let tree = tree::prepare(ctx, false)?;
    let ours = paths(ctx, &manifest, &present)?;
    if checks.contains(&Check::Format) {
        good &= format(ctx, &tree, &ours)?;
    }
    if checks.contains(&Check::Spec) {
        good &= spec::check(ctx, &tree.dir, &present)?;
    }
    if checks.contains(&Check::Docs) {
        good &= docs(ctx, &tree, &ours)?;
    }
    if checks.contains(&Check::Kernel) {
        good &= kernel(ctx, &tree, &ours, &present)?;
    }
    if !good {
        eprintln!("lint: something is to be corrected (see above)");
    }
    Ok(ExitCode::from(u8::from(!good)))
}

/// The files of the kernel that are new or edited.
pub fn paths(ctx: &Ctx, manifest: &Manifest, present: &Present) -> Result<BTreeSet<String>> {
    let mut paths = tree::touched(ctx, &manifest.commits)?;
    paths.extend(present.files.keys().cloned());
    Ok(paths)
}

/// Runs one program as a check; what it said is shown if it found something.
pub fn passes(what: &str, command: &mut Command) -> Result<bool> {
    let step = Step::new(what);
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    if output.status.success() {
        step.done("clean");
    } else {
        step.done("FOUND");
        for text in [output.stdout, output.stderr] {
            eprint!("{}", String::from_utf8_lossy(&text));
        }
    }
    Ok(output.status.success())
}

fn host(ctx: &Ctx) -> Result<bool> {
    let cargo = |args: &[&str]| {
        let mut cargo = exec::cargo(&ctx.repo);
        cargo.args(args);
        cargo
    };
    let format = passes("cargo fmt", &mut cargo(&["fmt", "--all", "--check"]))?;
    let mut clippy = cargo(&["clippy", "--quiet", "--workspace", "--all-targets"]);
    let clippy = passes("cargo clippy", clippy.args(["--", "-D", "warnings"]))?;
    Ok(format && clippy)
}

fn format(ctx: &Ctx, tree: &Tree, ours: &BTreeSet<String>) -> Result<bool> {
    let rustfmt = Toolchain::find(ctx)?.rust.rustc.with_file_name("rustfmt");
    let mut command = Command::new(rustfmt);
    command.current_dir(&tree.dir).env_remove("LD_LIBRARY_PATH");
    // As the kernel's own `rustfmtcheck` does it.
    command.args(["--check", "--edition=2021", "--config-path=.rustfmt.toml"]);
    command.args(ours.iter().filter(|path| path.ends_with(".rs")));
    passes("rustfmtcheck", &mut command)
}

/// Reads the documentation without the kernel's Sphinx, which takes longer than all else. So it must
/// do without what only Sphinx knows.
fn docs(ctx: &Ctx, tree: &Tree, ours: &BTreeSet<String>) -> Result<bool> {
    let mut good = true;
    for page in ours.iter().filter(|path| is_page(path)) {
        good &= passes(page, &mut docutils(&python(ctx), &tree.dir.join(page)))?;
    }
    Ok(good)
}

/// The reader of reStructuredText that Sphinx is made from.
pub fn docutils(python: &Path, page: &Path) -> Command {
    let mut docutils = Command::new(python);
    docutils.args(["-m", "docutils", "--report=info", "--exit-status=info"]);
    docutils.arg("--writer=null").arg(page);
    docutils
}

/// A page, and not the index that lists the pages.
pub fn is_page(path: &str) -> bool {
    path.ends_with(".rst") && !path.ends_with("/index.rst")
}

/// Compiles what is ours again, with all warnings, in a build directory of its own.
fn kernel(ctx: &Ctx, tree: &Tree, ours: &BTreeSet<String>, present: &Present) -> Result<bool> {
    let tools = Toolchain::find(ctx)?;
    let build = config::build_dir(ctx, tree, "lint");
    config::make(ctx, &tools, tree, &build, &Flavour::plain()?)?;
    let objects = objects(ours);
    let subsystem = "net/ipv4/af_inet_cr";
    let mut targets = vec!["prepare".to_owned(), "rust/".to_owned()];
    if present
        .files
        .keys()
        .any(|path| path == &format!("{subsystem}/Makefile"))
    {
        targets.push(format!("{subsystem}/"));
    }
    // The compiler only speaks when it runs.
    for object in &objects {
        let _ = fs::remove_file(build.join(object));
    }
    targets.extend(
        objects
            .into_iter()
            .filter(|path| !path.starts_with("rust/")),
    );

    let step = Step::new("kernel with CLIPPY=1 W=1 C=1");
    let log = exec::log_path(ctx, "lint-kernel");
    let mut make = tools.make(ctx, &tree.dir, &build);
    make.args(["CLIPPY=1", "W=1", "C=1"]).args(targets);
    let result = exec::logged(&mut make, &log, &step, 0);
    let text = fs::read_to_string(&log)?;
    let mut found = warnings(&text, &Ours::in_tree(tree, ours));
    if result.is_ok() {
        found.extend(unchecked(&text, ours));
    }
    let good = found.is_empty() && result.is_ok();
    step.done(if good { "clean" } else { "FOUND" });
    for warning in &found {
        eprintln!("{warning}");
    }
    if found.is_empty() {
        result?;
    }
    Ok(good)
}

/// What make is told for all warnings. W=1 would also run kernel-doc on each C file of Linux, which
/// takes longer than to compile it; of those that the series edits, `series check` looks at that.
pub const STRICT: [&str; 3] = ["CLIPPY=1", "W=1", "cmd_checkdoc="];

/// What all of Rust's helpers in C are compiled into.
pub const HELPERS: &str = "rust/helpers/helpers.o";

/// The objects that are compiled from these files.
pub fn objects(paths: &BTreeSet<String>) -> BTreeSet<String> {
    let object = |path: &String| {
        let (stem, end) = path.rsplit_once('.')?;
        Some(match (path.split('/').next()?, end) {
            ("rust", "rs") => "rust/kernel.o".to_owned(),
            ("rust", "c") => HELPERS.to_owned(),
            ("net", "rs") => "net/ipv4/af_inet_cr/af_inet_cr.o".to_owned(),
            ("net" | "kernel", "c") => format!("{stem}.o"),
            _ => return None,
        })
    };
    paths.iter().filter_map(object).collect()
}

/// The objects that are compiled from those of these files that are in C.
pub fn objects_in_c(paths: &BTreeSet<String>) -> BTreeSet<String> {
    let in_c = paths.iter().filter(|path| path.ends_with(".c"));
    objects(&in_c.cloned().collect())
}

/// Of the C files among these, those that sparse has not looked at, though make was told to have it
/// do so: make goes on without one that is too old for the kernel, and only says so.
pub fn unchecked(log: &str, paths: &BTreeSet<String>) -> Vec<String> {
    let checked: BTreeSet<_> = log
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("CHECK "))
        .map(str::trim)
        .collect();
    let refused = log
        .lines()
        .find(|line| line.contains("is not available or not up to date"));
    let why = refused.map_or_else(String::new, |line| format!(" (make says: {line})"));
    objects_in_c(paths)
        .iter()
        .map(|object| Path::new(object).with_extension("c"))
        .filter(|file| !checked.contains(file.to_string_lossy().as_ref()))
        .map(|file| format!("{}: not checked by sparse{why}", file.display()))
        .collect()
}

/// The files of which something is ours, with the lines (from 1) that are, if that is not all.
///
/// The compilers have nothing to say of Linux's own files, so that whatever they say there counts.
/// Sparse has much: of it only what is about our lines does.
pub struct Ours(BTreeMap<String, Option<BTreeSet<usize>>>);

impl Ours {
    /// Of files as they were, if they were there, and as they are.
    pub fn of(files: impl Iterator<Item = (String, Option<Vec<u8>>, Option<Vec<u8>>)>) -> Self {
        let lines = |before: Vec<u8>, after: Vec<u8>| {
            let [before, after] = [&before, &after].map(|text| text.split(|byte| *byte == b'\n'));
            let [before, after] = [before, after].map(|lines| lines.collect::<Vec<_>>());
            let changes = similar::capture_diff_slices(Algorithm::Myers, &before, &after);
            changes
                .iter()
                .filter(|change| change.tag() != DiffTag::Equal)
                .flat_map(DiffOp::new_range)
                .map(|index| index + 1)
                .collect()
        };
        let of = |(path, before, after)| {
            let whole = (path, None);
            match (before, after) {
                (Some(before), Some(after)) => (whole.0, Some(lines(before, after))),
                _ => whole,
            }
        };
        Self(files.map(of).collect())
    }

    /// Of these files of a tree.
    pub fn in_tree(tree: &Tree, paths: &BTreeSet<String>) -> Self {
        Self::of(paths.iter().map(|path| {
            let read = |dir: &Path| fs::read(dir.join(path)).ok();
            (path.clone(), read(&tree.source.dir), read(&tree.dir))
        }))
    }

    /// Whether a message about `file:line:column` counts.
    fn have(&self, place: &str, of_compiler: bool) -> bool {
        let mut parts = place.split(':');
        let file = Path::new(parts.next().unwrap_or(place));
        let line = parts.next().and_then(|line| line.parse().ok());
        let mut known = self.0.iter();
        known.any(|(path, lines)| {
            let ours = |lines: &BTreeSet<_>| line.is_none_or(|line: usize| lines.contains(&line));
            file.ends_with(path) && (of_compiler || lines.as_ref().is_none_or(ours))
        })
    }
}

/// The warnings and errors of compilers, clippy and sparse that are about `ours`.
pub fn warnings(log: &str, ours: &Ours) -> Vec<String> {
    let mut found = Vec::new();
    // rustc says what it is first, and where on the next line.
    let mut said = "";
    for line in log.lines() {
        let text = line.trim_start();
        if text.starts_with("warning") || text.starts_with("error") {
            said = text;
        }
        let (place, what) = match text.strip_prefix("--> ") {
            Some(place) => (place, std::mem::take(&mut said)),
            None if text.contains(": warning: ") || text.contains(": error: ") => {
                (text.split(": ").next().unwrap_or(text), text)
            }
            None => continue,
        };
        // Compilers say which option brings a warning. What they call an error fails the build.
        let of_compiler = text != what || what.ends_with(']');
        if ours.have(place, of_compiler) && !what.is_empty() {
            found.push(if text == what {
                text.to_owned()
            } else {
                format!("{place}: {what}")
            });
        }
    }
    found
}

/// The Python that has what the kernel's netlink tools import.
pub fn python(ctx: &Ctx) -> std::path::PathBuf {
    tools::virtme_ng(ctx).join("bin/python3")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compiled_from_a_file_is_known() {
        for (path, object) in [
            ("rust/kernel/net/sock.rs", "rust/kernel.o"),
            ("rust/helpers/net/sock.c", "rust/helpers/helpers.o"),
            ("net/core/filter.c", "net/core/filter.o"),
            (
                "net/ipv4/af_inet_cr/dump.rs",
                "net/ipv4/af_inet_cr/af_inet_cr.o",
            ),
        ] {
            assert_eq!(
                objects(&[path.to_owned()].into()),
                [object.to_owned()].into()
            );
        }
        assert!(
            objects(
                &["MAINTAINERS", "include/net/udp.h"]
                    .map(str::to_owned)
                    .into()
            )
            .is_empty()
        );
    }

    #[test]
    fn only_our_warnings_count() {
        let log = "\
  CC      net/core/filter.o
/tree/net/core/filter.c:12:3: warning: unused variable 'x' [-Wunused]
../net/core/sock.c:1:1: warning: not ours
warning: unused import
  --> /tree/net/ipv4/af_inet_cr/dump.rs:3:5
   |
error: this could be shorter
  --> rust/kernel/sync.rs:9:1
  --> /tree/net/ipv4/af_inet_cr/dump.rs:30:5
";
        let ours = Ours::of(
            ["net/core/filter.c", "net/ipv4/af_inet_cr/dump.rs"]
                .into_iter()
                .map(|path| (path.to_owned(), None, None)),
        );
        assert_eq!(
            warnings(log, &ours),
            [
                "/tree/net/core/filter.c:12:3: warning: unused variable 'x' [-Wunused]",
                "/tree/net/ipv4/af_inet_cr/dump.rs:3:5: warning: unused import",
            ]
        );
    }

    #[test]
    fn what_sparse_did_not_look_at_is_red() {
        let ours = [
            "net/core/sock.c",
            "net/ipv4/af_inet_cr/dump.rs",
            "rust/helpers/net/sock.c",
        ];
        let ours = ours.map(str::to_owned).into();
        let log = "\
  CC      net/core/sock.o
  CHECK   net/core/sock.c
  CHECK   rust/helpers/helpers.c
";
        assert!(unchecked(log, &ours).is_empty());
        // As make says it, and goes on.
        let log = "\
/tree/Makefile:1311: C=1 specified, but /tools/sparse is not available or not up to date
  CC      net/core/sock.o
";
        let found = unchecked(log, &ours);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("net/core/sock.c: not checked by sparse (make says: "));
        assert!(
            found[1].starts_with("rust/helpers/helpers.c: "),
            "{found:?}"
        );
    }

    #[test]
    fn sparse_counts_where_a_line_is_ours() {
        let file = |text: &str| Some(text.as_bytes().to_vec());
        let ours = Ours::of(
            [(
                "net/core/sock.c".to_owned(),
                file("a\nb\nc\n"),
                file("a\nours\nb\nc\n"),
            )]
            .into_iter(),
        );
        let of_sparse = |line| format!("/tree/net/core/sock.c:{line}:1: warning: wrong type\n");
        assert!(warnings(&of_sparse(1), &ours).is_empty());
        assert_eq!(warnings(&of_sparse(2), &ours).len(), 1);
        assert!(warnings(&of_sparse(3), &ours).is_empty());
        let of_clang = "net/core/sock.c:3:1: warning: unused function 'c' [-Wunused-function]\n";
        assert_eq!(warnings(of_clang, &ours).len(), 1);
    }
}
