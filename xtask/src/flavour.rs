// SPDX-License-Identifier: GPL-2.0

//! The flavours of the kernel: each is a file in `images/`.
//!
//! `images/NAME.config` is a config fragment. What makes it a flavour is a head that says what it
//! is for: its lines that start with `#!`, which are TOML ([`Head`] lists the keys). A fragment
//! without a head is a part of others. What a machine of an architecture has is in
//! `images/arch/ARCH.config`, which all have that boot; what a fragment asks for on one architecture
//! only is in `images/arch/ARCH-NAME.config`.

use crate::{
    arch::Arch,
    ctx, //
};
use anyhow::{
    Context,
    Result,
    bail,
    ensure, //
};
use clap::{
    builder::{
        PossibleValue,
        TypedValueParser,
        ValueParserFactory, //
    },
    error::ErrorKind, //
};
use fs_err as fs;
use serde::Deserialize;
use std::{
    ffi::OsStr,
    fmt,
    path::{
        Path,
        PathBuf, //
    },
};

/// Where the fragments are, in the checkout.
const DIR: &str = "images";

/// What a flavour's name ends with as a file.
const END: &str = ".config";

/// The flavour of a command that is told nothing.
pub const DEFAULT: &str = "default";

/// The fragment of what is ours, which counts least: a flavour may be one without it.
pub const SUBJECT: &str = "af_inet_cr";

/// The one that the commits of the series are built in.
pub const SERIES: &str = "series";

/// The fragment that a flavour adds to if its head does not say otherwise: the machine.
const BASE: &str = "base";

/// What a head says of a flavour that adds to nothing.
const NOTHING: &str = "nothing";

/// Which kernel, for the commands that build one for any architecture.
#[derive(clap::Args)]
pub struct Choice {
    /// Which configuration of the kernel.
    #[arg(long, default_value = DEFAULT)]
    flavour: Flavour,
    /// Which architecture [default: that of the flavour, or of this machine].
    #[arg(long, value_enum)]
    arch: Option<Arch>,
}

impl Choice {
    pub fn flavour(&self) -> Result<Flavour> {
        let flavour = self.flavour.clone();
        match self.arch {
            Some(arch) => flavour.of(arch),
            None => Ok(flavour),
        }
    }
}

/// Which kernel configuration: fragments in `images/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flavour {
    /// What it is called, as is what is built of it.
    name: String,
    head: Head,
    arch: Arch,
    /// The fragments that it builds on, the one that counts least first; it is the last itself.
    fragments: Vec<String>,
    /// Where they are.
    dir: PathBuf,
}

/// The head of a fragment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    /// What it is for, in a line.
    help: String,
    /// What it adds to: another flavour, `base`, or `nothing` for a kernel that is not to boot.
    #[serde(default = "Head::on")]
    on: String,
    /// Memory of the guest in MiB.
    #[serde(default = "Head::memory")]
    memory: u32,
    /// How much slower its guest is than one of the default flavour; deadlines are times that.
    #[serde(default = "Head::slowness")]
    slowness: u32,
    /// What rustc is told for it beside what the kernel's Makefile says.
    #[serde(default)]
    rust: Vec<String>,
    /// The only architecture that it is for, if its options are of one.
    arch: Option<Arch>,
}

impl Head {
    fn on() -> String {
        BASE.to_owned()
    }

    const fn memory() -> u32 {
        512
    }

    const fn slowness() -> u32 {
        1
    }

    /// Reads the head of a fragment, if it has one.
    fn read(text: &str) -> Result<Option<Self>> {
        let lines = head_of(text);
        if lines.is_empty() {
            return Ok(None);
        }
        let head: Self = toml::from_str(&lines)?;
        ensure!(!head.help.is_empty(), "`help` says nothing");
        ensure!(head.memory >= 64, "`memory` is in MiB, at least 64");
        ensure!(head.slowness >= 1, "`slowness` is 1 or more");
        Ok(Some(head))
    }
}

impl Flavour {
    /// The flavour of a command that has no choice.
    pub fn plain() -> Result<Self> {
        Self::named(DEFAULT)
    }

    /// The flavour of this name.
    pub fn named(name: &str) -> Result<Self> {
        Self::load(&dir()?, name)
    }

    fn load(dir: &Path, name: &str) -> Result<Self> {
        let head = head(dir, name)?;
        let mut fragments = vec![name.to_owned()];
        let mut on = head.on.clone();
        while on != NOTHING {
            ensure!(
                !fragments.contains(&on),
                "{name} builds on itself, by way of {on}"
            );
            let below = match on.as_str() {
                BASE => NOTHING.to_owned(),
                _ => self::head(dir, &on)?.on,
            };
            fragments.insert(0, std::mem::replace(&mut on, below));
        }
        Ok(Self {
            name: name.to_owned(),
            arch: head.arch.unwrap_or(Arch::OWN),
            head,
            fragments,
            dir: dir.to_owned(),
        })
    }

    /// The same for another architecture.
    pub fn of(mut self, arch: Arch) -> Result<Self> {
        if let Some(only) = self.head.arch {
            ensure!(
                only == arch,
                "the flavour {self} has options of {only}: there is none for {arch}"
            );
        } else {
            self.arch = arch;
            self.name = of_arch(&self.name, arch);
        }
        Ok(self)
    }

    pub fn arch(&self) -> Arch {
        self.arch
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The fragments beside that of the subject, the last one counting most.
    pub fn fragments(&self) -> Vec<String> {
        let mut all = Vec::new();
        for name in &self.fragments {
            all.push(name.clone());
            if name == BASE {
                all.push(format!("arch/{}", self.arch));
                continue;
            }
            let of_arch = format!("arch/{}-{name}", self.arch);
            if fragment(&self.dir, &of_arch).exists() {
                all.push(of_arch);
            }
        }
        all
    }

    /// The names of the flavours that it adds to, the next one first.
    pub fn below(&self) -> impl Iterator<Item = String> {
        let below = self.fragments.iter().rev().skip(1);
        below.map(|name| of_arch(name, self.arch))
    }

    /// Whether it has what a machine needs.
    fn boots(&self) -> bool {
        self.fragments.iter().any(|name| name == BASE)
    }

    /// Refuses one that does not boot, where that is wanted: before the build, which takes long, and
    /// not after it.
    pub fn must_boot(&self) -> Result<()> {
        // It says what runs one that is a program.
        self.arch.guest()?;
        ensure!(
            self.boots(),
            "a kernel of the flavour {self} cannot boot: it is only built"
        );
        Ok(())
    }

    /// Memory of the guest in MiB.
    pub fn memory(&self) -> u32 {
        self.head.memory
    }

    /// How much slower its guest is than one of the default flavour.
    pub fn slowness(&self) -> u32 {
        self.head.slowness
    }

    /// A word for make that has it tell rustc what the head says, if that is something.
    pub fn for_rust(&self) -> Option<String> {
        let flags = &self.head.rust;
        (!flags.is_empty()).then(|| format!("KRUSTFLAGS={}", flags.join(" ")))
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// What a flavour is called for an architecture.
fn of_arch(name: &str, arch: Arch) -> String {
    if arch == Arch::OWN {
        name.to_owned()
    } else {
        format!("{name}-{arch}")
    }
}

/// What the head of a fragment says, as TOML.
pub fn head_of(text: &str) -> String {
    let lines = text.lines().filter_map(|line| line.strip_prefix("#!"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The file of a fragment.
pub fn fragment(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}{END}"))
}

/// Where the fragments of this checkout are.
pub fn dir() -> Result<PathBuf> {
    Ok(ctx::checkout()?.join(DIR))
}

/// The head of a flavour.
fn head(dir: &Path, name: &str) -> Result<Head> {
    let path = fragment(dir, name);
    let known = || names(dir).join(", ");
    if !path.exists() {
        bail!(
            "no {}: the flavours are {}",
            path.display(),
            known() //
        );
    }
    Head::read(&fs::read_to_string(&path)?)
        .with_context(|| format!("the head of {} (its lines with #!)", path.display()))?
        .with_context(|| {
            format!(
                "{} is a part of flavours and has no head (lines with #!) that would make it one: \
                 the flavours are {}",
                path.display(),
                known()
            )
        })
}

/// The names of all flavours; also of one whose head is wrong, for an error to name the mistake.
fn names(dir: &Path) -> Vec<String> {
    let files = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<_> = files
        .filter_map(|file| {
            let name = file.file_name().to_str()?.strip_suffix(END)?.to_owned();
            let text = fs::read_to_string(file.path()).ok()?;
            (!matches!(Head::read(&text), Ok(None))).then_some(name)
        })
        .collect();
    // The one that needs no choice comes first.
    names.sort_by_key(|name| (name != DEFAULT, name.clone()));
    names
}

/// For clap: the values that `--flavour` takes are the files that are there.
#[derive(Clone)]
pub struct Parser;

impl ValueParserFactory for Flavour {
    type Parser = Parser;

    fn value_parser() -> Parser {
        Parser
    }
}

impl TypedValueParser for Parser {
    type Value = Flavour;

    fn parse_ref(
        &self,
        command: &clap::Command,
        _: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Flavour, clap::Error> {
        let found = dir().and_then(|dir| Flavour::load(&dir, &value.to_string_lossy()));
        found.map_err(|error| {
            command
                .clone()
                .error(ErrorKind::ValueValidation, format!("--flavour: {error:#}"))
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let dir = dir().ok()?;
        let names = names(&dir);
        Some(Box::new(names.into_iter().map(move |name| {
            let help = match head(&dir, &name) {
                Ok(head) => head.help,
                Err(error) => format!("{error:#}"),
            };
            PossibleValue::new(name).help(help)
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(fragment(dir.path(), name), text).unwrap();
        }
        dir
    }

    #[test]
    fn a_flavour_is_a_file_with_a_head() {
        let dir = with(&[
            ("base", "CONFIG_A=y\n"),
            ("default", "# Words.\n#! help = \"Lean.\"\n"),
            (
                "slow",
                "#! help = \"Slow.\"\n#! on = \"default\"\n#! memory = 1024\n#! slowness = 3\n\
                 #! rust = [\n#!     \"-Ca\",\n#!     \"-Cb\",\n#! ]\n",
            ),
        ]);
        assert_eq!(names(dir.path()), ["default", "slow"]);
        let slow = Flavour::load(dir.path(), "slow").unwrap();
        assert_eq!(slow.fragments(), ["base", "arch/x86_64", "default", "slow"]);
        assert_eq!(slow.below().collect::<Vec<_>>(), ["default", "base"]);
        assert_eq!((slow.memory(), slow.slowness()), (1024, 3));
        assert_eq!(slow.for_rust().unwrap(), "KRUSTFLAGS=-Ca -Cb");
        let lean = Flavour::load(dir.path(), "default").unwrap();
        assert_eq!((lean.memory(), lean.slowness()), (512, 1));
        assert_eq!(lean.for_rust(), None);
        assert!(lean.boots());
    }

    #[test]
    fn one_that_adds_to_nothing_does_not_boot() {
        let dir = with(&[
            ("base", "CONFIG_A=y\n"),
            ("bare", "#! help = \"Bare.\"\n#! on = \"nothing\"\n"),
        ]);
        let bare = Flavour::load(dir.path(), "bare").unwrap();
        assert_eq!(bare.fragments(), ["bare"]);
        assert!(!bare.boots());
    }

    #[test]
    fn another_architecture_has_a_name_and_a_machine_of_its_own() {
        let dir = with(&[
            ("base", "CONFIG_A=y\n"),
            ("default", "#! help = \"Lean.\"\n"),
            ("full", "#! help = \"Full.\"\n#! on = \"default\"\n"),
            ("disk", "#! help = \"Disk.\"\n#! arch = \"x86_64\"\n"),
            (
                "uml",
                "#! help = \"1\"\n#! on = \"nothing\"\n#! arch = \"um\"\n",
            ),
        ]);
        let load = |name, arch| Flavour::load(dir.path(), name)?.of(arch);
        let full = load("full", Arch::Arm64).unwrap();
        assert_eq!(full.name(), "full-arm64");
        assert_eq!(full.fragments(), ["base", "arch/arm64", "default", "full"]);
        assert_eq!(full.below().next().as_deref(), Some("default-arm64"));
        fs::create_dir(dir.path().join("arch")).unwrap();
        fs::write(fragment(dir.path(), "arch/arm64-default"), "CONFIG_B=y\n").unwrap();
        assert_eq!(
            full.fragments(),
            [
                "base",
                "arch/arm64",
                "default",
                "arch/arm64-default",
                "full"
            ]
        );
        assert_eq!(load("disk", Arch::X86_64).unwrap().name(), "disk");
        let uml = Flavour::load(dir.path(), "uml").unwrap();
        assert_eq!((uml.name(), uml.arch()), ("uml", Arch::Um));
        let error = load("disk", Arch::Arm64).unwrap_err().to_string();
        assert!(error.contains("disk has options of x86_64"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let dir = with(&[
            ("base", "CONFIG_A=y\n"),
            ("default", "#! help = \"Lean.\"\n"),
            ("broken", "#! help = \"X\"\n#! memories = 3\n"),
            ("one", "#! help = \"1\"\n#! on = \"two\"\n"),
            ("two", "#! help = \"2\"\n#! on = \"one\"\n"),
            ("lost", "#! help = \"3\"\n#! on = \"gone\"\n"),
        ]);
        let error = |name| format!("{:#}", Flavour::load(dir.path(), name).unwrap_err());
        assert!(error("debg").contains("the flavours are default, broken, lost, one, two"));
        assert!(error("base").contains("is a part of flavours"));
        assert!(error("broken").contains("memories"), "{}", error("broken"));
        assert!(error("one").contains("builds on itself"));
        assert!(error("lost").contains("gone.config"));
    }

    #[test]
    fn those_that_are_there_are_right() {
        let dir = dir().unwrap();
        for name in names(&dir) {
            Flavour::load(&dir, &name).unwrap();
        }
        assert!(Flavour::plain().unwrap().boots());
        assert!(!Flavour::named(SERIES).unwrap().boots());
        let error = |name| Flavour::named(name).unwrap().must_boot().unwrap_err();
        assert!(error(SERIES).to_string().contains("only built"));
        assert!(error("uml").to_string().contains("cargo xtask kunit"));
    }
}
