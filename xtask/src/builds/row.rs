// SPDX-License-Identifier: GPL-2.0

//! The rows: each is a file in `images/builds/`.
//!
//! `images/builds/NAME.config` is a config fragment with a head, its lines that start with `#!`,
//! which are TOML ([`Head`] lists the keys).

use crate::{
    arch::Arch,
    config::Request,
    ctx::Ctx,
    flavour,
    needs::{
        self,
        Group, //
    },
    setup,
    tools::{
        self,
        Toolchain, //
    },
    tree::Tree,
};
use anyhow::{
    Context,
    Result,
    ensure, //
};
use fs_err as fs;
use serde::Deserialize;
use std::path::{
    Path,
    PathBuf, //
};

/// What make is told for gcc. An empty `LLVM` takes back the other one.
const GCC: [&str; 3] = ["LLVM=", tools::GCC, "HOSTCC=gcc"];

/// The head of a fragment.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    /// What it is for, in a line.
    help: String,
    /// What becomes of the options that no fragment names.
    #[serde(default)]
    rest: Rest,
    /// With what C is compiled.
    #[serde(default)]
    compiler: Compiler,
    /// For which architecture, if not that of this machine.
    #[serde(default = "Head::arch")]
    arch: Arch,
    /// Whether rustc and bindgen are the oldest that the kernel takes.
    #[serde(default)]
    oldest: bool,
    /// Whether the kernel is linked, and not only compiled in part.
    #[serde(default)]
    whole: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Rest {
    /// They are those of the flavour `series`.
    #[default]
    Series,
    /// They are off.
    Off,
    /// They are modules, or on.
    Modules,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Compiler {
    #[default]
    Clang,
    Gcc,
}

impl Head {
    const fn arch() -> Arch {
        Arch::OWN
    }
}

pub struct Row {
    pub name: String,
    head: Head,
}

impl Row {
    /// Where the fragments are.
    pub fn dir() -> Result<PathBuf> {
        Ok(flavour::dir()?.join("builds"))
    }

    /// All of them, by name.
    pub fn all(dir: &Path) -> Result<Vec<Self>> {
        let mut names = Vec::new();
        for file in fs::read_dir(dir)? {
            let name = file?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(".config"));
            names.extend(name.map(str::to_owned));
        }
        names.sort();
        names
            .into_iter()
            .map(|name| Self::load(dir, name))
            .collect()
    }

    fn load(dir: &Path, name: String) -> Result<Self> {
        let path = flavour::fragment(dir, &name);
        let head = flavour::head_of(&fs::read_to_string(&path)?);
        let head: Head = toml::from_str(&head)
            .with_context(|| format!("the head of {} (its lines with #!)", path.display()))?;
        Ok(Self { name, head })
    }

    pub fn help(&self) -> &str {
        &self.head.help
    }

    pub fn is_whole(&self) -> bool {
        self.head.whole
    }

    /// Whether much of another one is compiled in the same way.
    pub fn is_like(&self, other: &Self) -> bool {
        let key = |row: &Self| (row.head.rest, row.head.arch, row.head.compiler);
        self.name != other.name && key(self) == key(other)
    }

    /// What its build directory and its logs are called.
    pub fn place(&self) -> String {
        format!("builds-{}", self.name)
    }

    /// What its configuration is made from.
    pub fn request(&self) -> Result<Request> {
        let (dir, own) = (flavour::dir()?, Self::dir()?);
        let below = match self.head.rest {
            Rest::Series => Some(flavour::SERIES),
            Rest::Off | Rest::Modules => None,
        };
        let names = below.into_iter().chain([flavour::SUBJECT]);
        let mut fragments: Vec<_> = names.map(|name| flavour::fragment(&dir, name)).collect();
        fragments.push(flavour::fragment(&own, &self.name));
        Ok(Request {
            name: self.place(),
            rest: match self.head.rest {
                Rest::Modules => "allmodconfig",
                Rest::Series | Rest::Off => "allnoconfig",
            },
            fragments,
            below: Vec::new(),
        })
    }

    /// What it is built with, or why that cannot be had.
    pub fn toolchain(&self, ctx: &Ctx) -> Result<Toolchain> {
        setup::require(ctx, &self.head.arch.groups(&[]))?;
        let mut tools = Toolchain::find_for(ctx, self.head.arch)?;
        if self.head.compiler == Compiler::Gcc {
            ensure!(
                tools::which("gcc").is_some(),
                "there is no gcc: apt-get install gcc"
            );
            tools.words.extend(GCC);
        }
        if self.head.oldest {
            setup::require(ctx, &[Group::Oldest])?;
            let oldest = needs::oldest_rustc(ctx);
            tools.rust =
                tools::rust_of(oldest).with_context(|| format!("there is no rustc {oldest}"))?;
            tools.bindgen = tools::bindgen_of(ctx, needs::oldest_bindgen(ctx));
        }
        Ok(tools)
    }

    /// What programs of a user are compiled by, of C.
    pub fn compiler(&self, tools: &Toolchain) -> (String, &'static [&'static str]) {
        let program = match self.head.compiler {
            Compiler::Clang => tools.clang(),
            Compiler::Gcc => "gcc".to_owned(),
        };
        let machine: &[_] = match self.head.arch {
            Arch::I386 => &["-m32"],
            Arch::S390 => &["--target=s390x-linux-gnu"],
            _ => &[],
        };
        (program, machine)
    }
}

/// Why the kernel takes no Rust with these tools, in its own words.
pub fn why_no_rust(ctx: &Ctx, tools: &Toolchain, tree: &Tree, build: &Path) -> Option<String> {
    let mut make = tools.make(ctx, &tree.dir, build);
    let output = make.arg("rustavailable").output().ok()?;
    (!output.status.success()).then(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        let reason = said.lines().filter_map(|line| line.strip_prefix("*** "));
        let reason: Vec<_> = reason
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        format!("the kernel takes no Rust with it: {}", reason.join(" "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_file_with_a_head() {
        let dir = tempfile::tempdir().unwrap();
        let load = |text: &str| {
            fs::write(flavour::fragment(dir.path(), "x"), text).unwrap();
            Row::all(dir.path())
        };
        let rows = load("# Words.\n#! help = \"X.\"\n#! rest = \"modules\"\n").unwrap();
        assert_eq!((rows.len(), rows[0].name.as_str()), (1, "x"));
        assert_eq!((rows[0].help(), rows[0].is_whole()), ("X.", false));
        assert_eq!(rows[0].head.rest, Rest::Modules);
        for wrong in ["CONFIG_A=y\n", "#! help = \"X.\"\n#! compiler = \"icc\"\n"] {
            let error = load(wrong).err().unwrap().to_string();
            assert!(error.contains("x.config"), "{error}");
        }
    }
}
