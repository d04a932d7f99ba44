// SPDX-License-Identifier: GPL-2.0

//! `config`: the kernel's configuration out of the fragments in `images/`.

use crate::{
    build,
    ctx::Ctx,
    exec, fetch, files,
    flavour::{
        self,
        Choice,
        Flavour, //
    },
    tools::Toolchain,
    tree::{
        self,
        Tree, //
    },
    ui::Step,
};
use anyhow::{
    Context,
    Result,
    bail,
    ensure, //
};
use fs_err as fs;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        ExitCode, //
    },
};

/// What the help ends with.
const EXAMPLES: &str = "\
Examples:
  cargo xtask config --flavour debug    # prints where the .config is
  cargo xtask config --arch arm64";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    kernel: Choice,
}

/// Options by name (without `CONFIG_`), each with its value; `n` for off.
pub type Options = BTreeMap<String, String>;

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    let flavour = args.kernel.flavour()?;
    let _lock = fetch::lock(ctx)?;
    let tree = tree::prepare(ctx, false)?;
    let build = build_dir(ctx, &tree, flavour.name());
    let tools = Toolchain::find_for(ctx, flavour.arch())?;
    make(ctx, &tools, &tree, &build, &flavour)?;
    println!("{}", build.join(".config").display());
    Ok(ExitCode::SUCCESS)
}

/// Where the objects of a tree go.
pub fn build_dir(ctx: &Ctx, tree: &Tree, name: &str) -> PathBuf {
    ctx.cache("build")
        .join(format!("{}-{name}", tree.source.key))
}

/// What a configuration is made from.
pub struct Request {
    /// What it is called: to the reader, and in the name of the log.
    pub name: String,
    /// The goal of make that says what becomes of options that no fragment names.
    pub rest: &'static str,
    /// The fragments, the last one counting most.
    pub fragments: Vec<PathBuf>,
    /// The build directories to begin with a copy of, the first one that is whole.
    pub below: Vec<PathBuf>,
}

impl Request {
    /// Whether it wants an option (named without `CONFIG_`) to be on.
    pub fn wants(&self, option: &str) -> Result<bool> {
        Ok(is_on(&requested(&self.fragments)?, option))
    }

    /// The names of its fragments.
    fn shown(&self) -> String {
        let names = self.fragments.iter().filter_map(|path| path.file_stem());
        let names: Vec<_> = names.map(|name| name.to_string_lossy()).collect();
        names.join(", ")
    }
}

/// Whether a flavour asks for an option (named without `CONFIG_`), whatever the kernel.
pub fn asks(flavour: &Flavour, option: &str) -> Result<bool> {
    let dir = flavour::dir()?;
    let fragments = flavour.fragments().into_iter();
    let fragments: Vec<_> = fragments
        .map(|name| flavour::fragment(&dir, &name))
        .collect();
    Ok(is_on(&requested(&fragments)?, option))
}

/// Configures `build` for a flavour.
pub fn make(
    ctx: &Ctx,
    tools: &Toolchain,
    tree: &Tree,
    build: &Path,
    flavour: &Flavour,
) -> Result<()> {
    let dir = flavour::dir()?;
    let fragments = fragments(&tree.dir, flavour)?;
    let fragments = fragments.iter().map(|name| flavour::fragment(&dir, name));
    let below = flavour.below();
    let request = Request {
        name: flavour.name().to_owned(),
        rest: "allnoconfig",
        fragments: fragments.collect(),
        below: below.map(|name| build_dir(ctx, tree, &name)).collect(),
    };
    make_from(ctx, tools, tree, build, &request)
}

/// Configures `build`. Does nothing if nothing has changed that the result depends on; leaves
/// the time of `.config` alone if the result is the same.
pub fn make_from(
    ctx: &Ctx,
    tools: &Toolchain,
    tree: &Tree,
    build: &Path,
    request: &Request,
) -> Result<()> {
    let Request { name, rest, .. } = request;
    let requested = requested(&request.fragments)?;
    let text = write(&requested);
    let config = build.join(".config");
    let stamp = build.join(".config-made-from");
    let inputs = || -> Result<String> {
        let config = files::sha256(&fs::read(&config).unwrap_or_default());
        let kconfig = files::sha256(tree.kconfig.as_bytes());
        Ok(format!(
            "{config}\n{kconfig}\n{}\n{rest}\n{text}",
            tools.fingerprint()
        ))
    };
    if fs::read_to_string(&stamp).is_ok_and(|old| inputs().is_ok_and(|new| old == new)) {
        return Ok(());
    }
    begin(build, &request.below)?;
    let step = Step::new(&format!("configure ({name})"));
    let all = build.join(".config-requested");
    files::write_atomic(&all, text.as_bytes())?;
    let mut make = tools.make(ctx, &tree.dir, build);
    make.arg(rest).env("KCONFIG_ALLCONFIG", &all);
    exec::logged(
        &mut make,
        &exec::log_path(ctx, &format!("config-{name}")),
        &step,
        0,
    )?;
    let lost = lost(&requested, &read(&fs::read_to_string(&config)?)?);
    if !lost.is_empty() {
        bail!(
            "the kernel does not take over what the fragments of {name} ({}) ask for:\n  {}\n  An \
             option needs others (see `depends on` in its Kconfig), or is selected by others, or \
             does not exist.",
            request.shown(),
            lost.join("\n  ")
        );
    }
    files::write_atomic(&stamp, inputs()?.as_bytes())?;
    step.done(&format!("{} options as requested", requested.len()));
    Ok(())
}

/// Makes the build directory of a flavour, as a copy of that of the next one that it adds to, if
/// one was built: most objects are the same, and make finds out which are not.
fn begin(build: &Path, below: &[PathBuf]) -> Result<()> {
    if build.exists() {
        return Ok(());
    }
    let Some(below) = below.iter().find(|dir| build::is_whole(dir)) else {
        return Ok(fs::create_dir_all(build)?);
    };
    copy(below, build)
}

/// Makes a build directory as a copy of another one.
pub fn copy(below: &Path, build: &Path) -> Result<()> {
    let name = |dir: &Path| dir.file_name().unwrap_or_default().display().to_string();
    let step = Step::new(&format!("begin with what is built of {}", name(below)));
    // What is half copied has another name.
    let half = build.with_file_name(format!(".{}", name(build)));
    if half.exists() {
        fs::remove_dir_all(&half)?;
    }
    let copied = Command::new("cp")
        .args(["--archive", "--reflink=auto", "--"])
        .args([below, half.as_path()])
        .status()
        .context("cannot run cp")?;
    ensure!(copied.success(), "cp: {copied}");
    fs::rename(&half, build)?;
    step.done("");
    Ok(())
}

/// The fragments of a flavour, the last one counting most.
fn fragments(tree: &Path, flavour: &Flavour) -> Result<Vec<String>> {
    let mut names = flavour.fragments();
    // A tree that has only the first commits of the series does not know the option yet.
    if fs::read_to_string(tree.join("net/ipv4/Kconfig"))?.contains("af_inet_cr/Kconfig") {
        // First, as a flavour may be one without it.
        names.insert(0, flavour::SUBJECT.to_owned());
    }
    Ok(names)
}

/// The configuration that was made in `build`.
pub fn made(build: &Path) -> Result<Options> {
    read(&fs::read_to_string(build.join(".config"))?)
}

/// Whether an option is built in.
pub fn is_on(options: &Options, name: &str) -> bool {
    options.get(name).is_some_and(|value| value == "y")
}

/// What the fragments ask for.
fn requested(fragments: &[PathBuf]) -> Result<Options> {
    let mut all = Options::new();
    for path in fragments {
        let options = read(&fs::read_to_string(path)?)
            .with_context(|| format!("{} is not a config fragment", path.display()))?;
        all.extend(options);
    }
    Ok(all)
}

/// Reads a fragment or a `.config`.
fn read(text: &str) -> Result<Options> {
    let mut options = Options::new();
    for line in text.lines().map(str::trim) {
        let off = line
            .strip_prefix("# CONFIG_")
            .and_then(|rest| rest.strip_suffix(" is not set"));
        let (name, value) = if let Some(name) = off {
            (name, "n")
        } else if line.is_empty() || line.starts_with('#') {
            continue;
        } else {
            line.strip_prefix("CONFIG_")
                .and_then(|rest| rest.split_once('='))
                .with_context(|| format!("not an option: {line}"))?
        };
        options.insert(name.to_owned(), value.to_owned());
    }
    Ok(options)
}

fn write(options: &Options) -> String {
    options
        .iter()
        .fold(String::new(), |mut text, (name, value)| {
            let _ = if value == "n" {
                writeln!(text, "# CONFIG_{name} is not set")
            } else {
                writeln!(text, "CONFIG_{name}={value}")
            };
            text
        })
}

/// The requests that the configuration does not fulfil.
fn lost(requested: &Options, actual: &Options) -> Vec<String> {
    requested
        .iter()
        .filter_map(|(name, wanted)| {
            let found = actual.get(name).map_or("n", String::as_str);
            (found != wanted).then(|| format!("CONFIG_{name}: requested {wanted}, is {found}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flavour_asks_for_what_its_fragments_have() {
        let asks = |name| asks(&Flavour::named(name).unwrap(), "GDB_SCRIPTS").unwrap();
        assert!(asks("gdb"));
        assert!(!asks("default"));
    }

    #[test]
    fn a_flavour_can_be_without_the_subject() -> Result<()> {
        let tree = tempfile::tempdir()?;
        let kconfig = tree.path().join("net/ipv4/Kconfig");
        fs::create_dir_all(kconfig.parent().unwrap())?;
        let has = |name: &str, kconfig_text: &str| -> Result<bool> {
            fs::write(&kconfig, kconfig_text)?;
            let dir = flavour::dir()?;
            let names = fragments(tree.path(), &Flavour::named(name)?)?;
            let paths: Vec<_> = names
                .iter()
                .map(|name| flavour::fragment(&dir, name))
                .collect();
            Ok(is_on(&requested(&paths)?, "AF_INET_CR"))
        };
        let source = "source \"net/ipv4/af_inet_cr/Kconfig\"\n";
        assert!(has("default", source)?);
        assert!(!has("default", "")?);
        assert!(!has("off", source)?);
        Ok(())
    }

    #[test]
    fn a_build_begins_with_the_next_one_below_that_is_whole() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let of = |name: &str| dir.path().join(name);
        for (name, files) in [
            ("key-half", &[".building", build::IMAGE][..]),
            ("key-empty", &[]),
            ("key-whole", &[build::IMAGE]),
            ("key-far", &[build::IMAGE]),
        ] {
            fs::create_dir(of(name))?;
            for file in files {
                fs::write(of(name).join(file), name)?;
            }
        }
        let below = |names: &[&str]| names.iter().map(|name| of(name)).collect::<Vec<_>>();
        let image = |name: &str| fs::read_to_string(of(name).join(build::IMAGE));

        let all = below(&["key-none", "key-half", "key-empty", "key-whole", "key-far"]);
        // What a copy that was interrupted has left is nothing to go by.
        fs::create_dir(of(".key-new"))?;
        fs::write(of(".key-new").join("old"), "")?;
        begin(&of("key-new"), &all)?;
        assert_eq!(image("key-new")?, "key-whole");
        assert!(!of("key-new").join("old").exists());
        let time = |name: &str| fs::metadata(of(name).join(build::IMAGE))?.modified();
        assert_eq!(time("key-new")?, time("key-whole")?);
        // Once begun, it is its own.
        begin(&of("key-new"), &below(&["key-far"]))?;
        assert_eq!(image("key-new")?, "key-whole");
        begin(&of("key-first"), &below(&["key-half"]))?;
        assert!(of("key-first").exists() && image("key-first").is_err());
        Ok(())
    }

    #[test]
    fn a_fragment_is_read_and_written() -> Result<()> {
        let text =
            "# a comment\nCONFIG_A=y\n\n# CONFIG_B is not set\nCONFIG_C=\"x=y\"\nCONFIG_D=n\n";
        let options = read(text)?;
        assert_eq!(
            write(&options),
            "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"x=y\"\n# CONFIG_D is not set\n"
        );
        assert!(read("RUST=y\n").is_err());
        Ok(())
    }

    #[test]
    fn lost_options_are_named() -> Result<()> {
        let requested = read("CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=n\nCONFIG_D=n\nCONFIG_HZ=250\n")?;
        let actual = read("CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_D=y\nCONFIG_HZ=100\n")?;
        assert_eq!(
            lost(&requested, &actual),
            [
                "CONFIG_B: requested y, is n",
                "CONFIG_D: requested n, is y",
                "CONFIG_HZ: requested 250, is 100"
            ]
        );
        Ok(())
    }
}
