// SPDX-License-Identifier: GPL-2.0

//! `builds`: what is ours, in the configurations and with the compilers that others use.

mod row;
mod table;

use crate::{
    build,
    config::{
        self,
        Options,
        is_on, //
    },
    ctx::Ctx,
    exec,
    fetch,
    files,
    lint::{
        self,
        Ours, //
    },
    manifest,
    needs::Group,
    setup,
    tools::Toolchain,
    tree::{
        self,
        Tree, //
    },
    ui::Step, //
};
use anyhow::{
    Result,
    bail, //
};
use fs_err as fs;
use row::Row;
use std::{
    collections::BTreeSet,
    path::Path,
    process::{
        Command,
        ExitCode, //
    },
    time::Instant, //
};
use table::{
    Outcome,
    Table, //
};

/// What the help ends with.
const EXAMPLES: &str = "\
Examples:
  cargo xtask builds --list             # what each row is for
  cargo xtask builds --only gcc --only small";

/// Compile what is ours as maintainers do: by gcc, for 32 bits, with options off, in allmodconfig.
///
/// Each row is a file in images/builds/: a fragment of a configuration, with a head that says by what
/// and from what it is built. All warnings are on (W=1, clippy); one that is about a file of ours
/// makes the row red. Only what is ours is compiled, and what that needs; the rows that say "whole"
/// link the kernel, which is the only way to see that a function is missing which an option takes
/// away. A row that was clean and of which nothing has changed is not built again.
///
/// A row that this machine cannot build (no compiler of that kind, no way to an old one) is
/// skipped, and says why.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only this row; can be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// List the rows and stop.
    #[arg(long)]
    list: bool,
}

/// Where the subsystem is.
const SUBSYSTEM: &str = "net/ipv4/af_inet_cr";

/// What is in a build directory if all in it is clean: what it was made from.
const STAMP: &str = ".clean";

/// How programs of a user may be compiled that include a header of ours.
const OF_USERS: [&str; 7] = [
    "-fsyntax-only",
    "-std=c90",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-x",
    "c",
];

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    let rows = Row::all(&Row::dir()?)?;
    if args.list {
        for row in chosen(&rows, &args.only)? {
            let whole = if row.is_whole() { " (whole)" } else { "" };
            println!("{:14} {}{whole}", row.name, row.help());
        }
        return Ok(ExitCode::SUCCESS);
    }
    setup::require(ctx, &[Group::Build, Group::Lint])?;
    let mut table = Table::default();
    for row in chosen(&rows, &args.only)? {
        let started = Instant::now();
        let outcome = outcome(ctx, row, &rows)?;
        table.add(&row.name, outcome, started.elapsed());
    }
    Ok(table.print())
}

/// The rows of these names; all, if there is no name.
fn chosen<'a>(rows: &'a [Row], names: &[String]) -> Result<Vec<&'a Row>> {
    if let Some(unknown) = names
        .iter()
        .find(|name| rows.iter().all(|row| row.name != **name))
    {
        let known: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
        bail!("no row {unknown}: the rows are {}", known.join(", "));
    }
    let is_chosen = |row: &&Row| names.is_empty() || names.contains(&row.name);
    Ok(rows.iter().filter(is_chosen).collect())
}

/// Builds one of the rows.
fn outcome(ctx: &Ctx, row: &Row, rows: &[Row]) -> Result<Outcome> {
    let tools = match row.toolchain(ctx) {
        Ok(tools) => tools,
        Err(why) => return Ok(Outcome::Impossible(format!("{why:#}"))),
    };
    let _lock = fetch::lock(ctx)?;
    let (manifest, present) = manifest::load(ctx)?;
    let tree = tree::prepare(ctx, false)?;
    let ours = lint::paths(ctx, &manifest, &present)?;
    let build = config::build_dir(ctx, &tree, &row.place());
    let request = row.request()?;
    if !build.exists() {
        // Much of Rust is compiled in the same way, and make finds out what is not.
        let alike = rows.iter().filter(|other| other.is_like(row));
        let mut alike = alike.map(|other| config::build_dir(ctx, &tree, &other.place()));
        if let Some(clean) = alike.find(|dir| dir.join(STAMP).exists()) {
            config::copy(&clean, &build)?;
        }
    }
    if request.wants("RUST")?
        && let Some(why) = row::why_no_rust(ctx, &tools, &tree, &build)
    {
        return Ok(Outcome::Impossible(why));
    }
    if let Err(error) = config::make_from(ctx, &tools, &tree, &build, &request) {
        return Ok(Outcome::Failed(format!("{error:#}")));
    }
    let options = config::made(&build)?;
    let targets = if row.is_whole() {
        vec![tools.arch.build().image.to_owned()]
    } else {
        parts(&ours, &options)
    };

    // Sources that are given by --linux change without a trace here.
    let inputs = ctx.linux.is_none().then(|| {
        let config = files::sha256(format!("{options:?}").as_bytes());
        let (words, tools) = (targets.join(" "), tools.fingerprint());
        let strict = [&lint::STRICT[..], &OF_USERS].concat().join(" ");
        format!("{}\n{config}\n{tools}\n{words}\n{strict}\n", tree.digest)
    });
    let stamp = build.join(STAMP);
    let last = fs::read_to_string(&stamp).ok();
    if last.is_some() && last == inputs {
        return Ok(Outcome::Unchanged(shown(&targets)));
    }
    // A compiler only speaks when it runs. What is there was clean if the row was.
    match last {
        Some(_) => fs::remove_file(&stamp)?,
        None => lint::objects(&ours).iter().for_each(|object| {
            let _ = fs::remove_file(build.join(object));
        }),
    }
    let outcome = built(ctx, row, &tools, &tree, &build, &ours, &targets);
    if let (Outcome::Clean(_), Some(inputs)) = (&outcome, inputs) {
        files::write_atomic(&stamp, inputs.as_bytes())?;
    }
    Ok(outcome)
}

/// What make is asked for to compile what is ours, as far as the options let it be compiled. All of
/// it are folders and objects: with another goal among them make begins anew for each.
fn parts(ours: &BTreeSet<String>, options: &Options) -> Vec<String> {
    let mut targets = Vec::new();
    if is_on(options, "RUST") {
        targets.push("rust/".to_owned());
    }
    if is_on(options, "AF_INET_CR") {
        targets.push(format!("{SUBSYSTEM}/"));
    }
    let needs = |object: &str| match object {
        _ if object.starts_with("net/ipv4/") => Some("INET"),
        _ if object.starts_with("net/") => Some("NET"),
        _ => None,
    };
    // What of Rust has objects in C is a part of `rust/`.
    targets.extend(
        lint::objects_in_c(ours)
            .into_iter()
            .filter(|object| !object.starts_with("rust/"))
            .filter(|object| needs(object).is_none_or(|option| is_on(options, option))),
    );
    targets
}

/// What was built, for the table.
fn shown(targets: &[String]) -> String {
    let targets = targets.iter().map(String::as_str);
    let (in_c, mut words): (Vec<_>, Vec<_>) = targets.partition(|target| target.ends_with(".o"));
    let count = format!("{} files in C", in_c.len());
    words.extend((!in_c.is_empty()).then_some(count.as_str()));
    words.join(", ")
}

/// Runs make, and looks at what it has made and said.
fn built(
    ctx: &Ctx,
    row: &Row,
    tools: &Toolchain,
    tree: &Tree,
    build: &Path,
    ours: &BTreeSet<String>,
    targets: &[String],
) -> Outcome {
    let goals = targets.iter().map(String::as_str);
    let words: Vec<_> = lint::STRICT.into_iter().chain(goals).collect();
    let result = build::make(ctx, tools, &tree.dir, build, &row.place(), &words)
        .and_then(|_| linked(row, build))
        .and_then(|()| headers(ctx, row, tools, tree, ours));
    let warnings = lint::warnings(&build::said(ctx, &row.place()), &Ours::in_tree(tree, ours));
    match result {
        Err(error) => Outcome::Failed(format!("{error:#}\n{}", warnings.join("\n"))),
        Ok(()) if warnings.is_empty() => Outcome::Clean(shown(targets)),
        Ok(()) => Outcome::Warnings(warnings),
    }
}

/// Sees that a kernel has the subsystem, or that nothing of it is in a kernel which is to be without.
fn linked(row: &Row, build: &Path) -> Result<()> {
    if !row.is_whole() {
        return Ok(());
    }
    let wanted = is_on(&config::made(build)?, "AF_INET_CR");
    let symbols = fs::read_to_string(build.join("System.map"))?;
    match (
        wanted,
        symbols.lines().find(|line| line.contains("af_inet_cr")),
    ) {
        (true, None) => bail!("CONFIG_AF_INET_CR=y, and no symbol of the kernel is of af_inet_cr"),
        (false, Some(symbol)) => bail!("without CONFIG_AF_INET_CR the kernel has {symbol}"),
        _ => Ok(()),
    }
}

/// Compiles the new headers of the interface as a program would that includes them.
fn headers(
    ctx: &Ctx,
    row: &Row,
    tools: &Toolchain,
    tree: &Tree,
    ours: &BTreeSet<String>,
) -> Result<()> {
    let (compiler, machine) = row.compiler(tools);
    for header in ours.iter().filter(|path| path.starts_with("include/uapi/")) {
        let mut command = Command::new(&compiler);
        command
            .args(machine)
            .args(OF_USERS)
            .arg(tree.dir.join(header));
        let log = exec::log_path(ctx, &format!("build-{}-header", row.place()));
        let step = Step::new(header);
        exec::logged(&mut command, &log, &step, 0)?;
        step.done("");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flavour::Flavour;

    fn ours() -> BTreeSet<String> {
        [
            "Documentation/networking/af_inet_cr.rst",
            "include/uapi/linux/af_inet_cr.h",
            "kernel/pid.c",
            "net/core/sock.c",
            "net/ipv4/af_inet_cr/dump.rs",
            "net/ipv4/udp.c",
            "rust/helpers/net/sock.c",
            "rust/kernel/net/sock.rs",
        ]
        .map(str::to_owned)
        .into()
    }

    #[test]
    fn only_what_the_options_allow_is_compiled() {
        let of = |on: &[&str]| {
            let options = on.iter().map(|name| ((*name).to_owned(), "y".to_owned()));
            parts(&ours(), &options.collect()).join(" ")
        };
        assert_eq!(of(&[]), "kernel/pid.o");
        assert_eq!(of(&["NET"]), "kernel/pid.o net/core/sock.o");
        assert_eq!(
            of(&["AF_INET_CR", "INET", "NET", "RUST"]),
            "rust/ net/ipv4/af_inet_cr/ kernel/pid.o net/core/sock.o net/ipv4/udp.o"
        );
        let of = |words: &str| shown(&words.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(of("vmlinux"), "vmlinux");
        assert_eq!(of("a.o"), "1 files in C");
        assert_eq!(of("rust/ a/ b.o c.o"), "rust/, a/, 2 files in C");
    }

    #[test]
    fn the_rows_that_are_there_are_right() {
        let rows = Row::all(&Row::dir().unwrap()).unwrap();
        for row in &rows {
            let request = row.request().unwrap();
            // A subsystem without Rust would not hold.
            let [ours, rust] = ["AF_INET_CR", "RUST"].map(|name| request.wants(name).unwrap());
            assert!(rust || !ours, "{}", row.name);
            // None is taken for a flavour, whose build directory is another's then.
            assert!(Flavour::named(&row.place()).is_err());
        }
        let names = |only: &[&str]| -> Result<Vec<&str>> {
            let only: Vec<_> = only.iter().map(|name| (*name).to_owned()).collect();
            let chosen = chosen(&rows, &only)?;
            Ok(chosen.iter().map(|row| row.name.as_str()).collect())
        };
        assert_eq!(names(&[]).unwrap().len(), rows.len());
        assert_eq!(names(&["small", "gcc"]).unwrap(), ["gcc", "small"]);
        let error = names(&["smal"]).unwrap_err().to_string();
        assert!(
            error.contains("no row smal: the rows are allmodconfig, "),
            "{error}"
        );
    }

    #[test]
    fn what_is_linked_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let rows = Row::all(&Row::dir().unwrap()).unwrap();
        let row = rows.iter().find(|row| row.is_whole()).unwrap();
        let says = |config: &str, symbols: &str| {
            fs::write(dir.path().join(".config"), config).unwrap();
            fs::write(dir.path().join("System.map"), symbols).unwrap();
            linked(row, dir.path()).is_ok()
        };
        let ours = "00 t _RNvCs1_10af_inet_cr4dump\n";
        assert!(says("CONFIG_AF_INET_CR=y\n", ours));
        assert!(!says("CONFIG_AF_INET_CR=y\n", "00 T udp_rcv\n"));
        assert!(says("", "00 T udp_rcv\n"));
        assert!(!says("", ours));
    }
}
