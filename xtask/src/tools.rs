// SPDX-License-Identifier: GPL-2.0

//! The programs that build the kernel, and how make is called with them.

use crate::{
    arch::Arch,
    ctx::Ctx,
    exec,
    needs::SPARSE,
    version::Version, //
};
use anyhow::{
    Context,
    Result, //
};
use std::{
    env,
    io::Write as _,
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        Stdio, //
    },
};

/// What `setup` installs, each in a directory of its own in the cache.
pub const BINDGEN: Version = Version::new(0, 73, 2);
pub const VIRTME_NG: &str = "1.42";
pub const B4: &str = "0.16.0";

/// How bindgen is built: in half of the time that a release of all of it takes, while it reads the
/// kernel's headers a fifth slower.
pub const BINDGEN_BUILD: [&str; 9] = [
    "--no-default-features",
    "--features",
    "runtime",
    "--config",
    "profile.release.opt-level=1",
    "--config",
    "profile.release.lto='off'",
    "--config",
    "profile.release.codegen-units=64",
];

/// What `cargo install` is told to get cargo-make. It calls xtask and does no more, so that it need
/// not be fast, and needs no network: thus it is there in a third of the time.
pub const CARGO_MAKE: [&str; 3] = ["--debug", "--no-default-features", "cargo-make"];

/// LLVM's major versions in the order of preference: first the one that is tested here.
const LLVM: [u32; 6] = [19, 20, 21, 22, 18, 17];

/// What make is told to have C compiled by gcc.
pub const GCC: &str = "CC=gcc";

/// A Rust compiler together with the formatter and the linter of the same version.
pub struct Rust {
    pub rustc: PathBuf,
    pub version: Version,
}

/// Everything that the kernel's Makefile has to be told.
pub struct Toolchain {
    pub rust: Rust,
    pub bindgen: PathBuf,
    /// What `LLVM=` takes: a suffix such as `-19`.
    pub llvm: String,
    /// What it builds for.
    pub arch: Arch,
    /// What make is told beside, which counts more than all that it is told here.
    pub words: Vec<&'static str>,
}

impl Toolchain {
    /// For a kernel of this machine's architecture, or for none.
    pub fn find(ctx: &Ctx) -> Result<Self> {
        Self::find_for(ctx, Arch::OWN)
    }

    pub fn find_for(ctx: &Ctx, arch: Arch) -> Result<Self> {
        let hint = "`cargo xtask doctor` says how to get it";
        let rust = arch.build().rust.map_or_else(rust, rust_release);
        Ok(Self {
            rust: rust.with_context(|| format!("no rustc with its library source; {hint}"))?,
            bindgen: bindgen(ctx)
                .with_context(|| format!("no bindgen; {hint}"))?
                .0,
            llvm: llvm()
                .with_context(|| format!("no clang with lld; {hint}"))?
                .0,
            arch,
            words: Vec::new(),
        })
    }

    /// One line that names the versions: part of what a build depends on.
    pub fn fingerprint(&self) -> String {
        let clang = exec::output(self.clang(), &["--version"]);
        let bindgen = exec::output(&self.bindgen, &["--version"]);
        let mut text = format!(
            "{} {} {} {}",
            self.rust.rustc.display(),
            self.rust.version,
            clang.unwrap_or_default().lines().next().unwrap_or_default(),
            bindgen.unwrap_or_default()
        );
        for word in self.arch.make_word().iter().chain(&self.words) {
            text.push(' ');
            text.push_str(word);
        }
        if self.words.contains(&GCC) {
            let gcc = exec::output("gcc", &["--version"]).unwrap_or_default();
            text.push(' ');
            text.push_str(gcc.lines().next().unwrap_or_default());
        }
        text
    }

    /// A program of this LLVM, as PATH has it.
    pub fn tool(&self, name: &str) -> String {
        match self.llvm.strip_prefix('-') {
            Some(major) => format!("{name}-{major}"),
            None => name.to_owned(),
        }
    }

    /// The C compiler.
    pub fn clang(&self) -> String {
        self.tool("clang")
    }

    /// `make` for a tree with its objects in `build`, in an environment that holds nothing by
    /// chance: neither what cargo sets for xtask (its `LD_LIBRARY_PATH` would give one rustc the
    /// libraries of another) nor make variables of the user.
    pub fn make(&self, ctx: &Ctx, tree: &Path, build: &Path) -> Command {
        let mut make = exec::bound("make");
        make.env_clear();
        for name in [
            "PATH",
            "HOME",
            "USER",
            "TERM",
            "TMPDIR",
            "RUSTUP_HOME",
            "CARGO_HOME",
        ] {
            if let Some(value) = env::var_os(name) {
                make.env(name, value);
            }
        }
        make.env("LC_ALL", "C")
            // The same input gives the same image, to the byte.
            .env("KBUILD_BUILD_TIMESTAMP", "Thu Jan 1 00:00:00 UTC 1970")
            .env("KBUILD_BUILD_USER", "af_inet_cr")
            .env("KBUILD_BUILD_HOST", "localhost")
            .env("KBUILD_BUILD_VERSION", "1");
        let lib = PathBuf::from(format!("/usr/lib/llvm{}/lib", self.llvm));
        if lib.exists() {
            make.env("LIBCLANG_PATH", lib);
        }
        let rustc = &self.rust.rustc;
        make.arg("-C").arg(tree);
        make.arg(format!("O={}", build.display()));
        make.arg(format!("-j{}", ctx.jobs));
        make.arg(format!("LLVM={}", self.llvm));
        make.arg(format!("RUSTC={}", rustc.display()));
        make.arg(format!(
            "RUSTDOC={}",
            rustc.with_file_name("rustdoc").display()
        ));
        make.arg(format!(
            "RUSTFMT={}",
            rustc.with_file_name("rustfmt").display()
        ));
        make.arg(format!(
            "CLIPPY_DRIVER={}",
            rustc.with_file_name("clippy-driver").display()
        ));
        make.arg(format!("BINDGEN={}", self.bindgen.display()));
        if let Some(sparse) = fit_sparse(&sparses(ctx)) {
            make.arg(format!("CHECK={}", sparse.display()));
        }
        make.args(self.arch.make_word()).args(&self.words);
        make
    }
}

/// The first rustc with the source of its library: Debian's, then the one on PATH (rustup's, if
/// it has the component rust-src).
pub fn rust() -> Option<Rust> {
    ["/usr/bin/rustc", "rustc"]
        .into_iter()
        .find_map(rust_with_source)
}

/// This rustc, if the source of its library is there.
fn rust_with_source(rustc: &str) -> Option<Rust> {
    let version = exec::output(rustc, &["--version"])?;
    let sysroot = exec::output(rustc, &["--print", "sysroot"])?;
    let library = Path::new(&sysroot).join("lib/rustlib/src/rust/library/core/src/lib.rs");
    let rustc = which(rustc)?;
    library.exists().then_some(Rust {
        version: Version::find(&version)?,
        rustc,
    })
}

/// bindgen: ours, then the one on PATH.
pub fn bindgen(ctx: &Ctx) -> Option<(PathBuf, Version)> {
    let ours = bindgen_of(ctx, BINDGEN);
    [Some(ours), which("bindgen")]
        .into_iter()
        .flatten()
        .find_map(|path| {
            let version = Version::find(&exec::output(&path, &["--version"])?)?;
            Some((path, version))
        })
}

/// Where `setup` puts a version of it.
pub fn bindgen_root(ctx: &Ctx, version: Version) -> PathBuf {
    ctx.cache("tools").join(format!("bindgen-{version}"))
}

/// The program of a version that `setup` has brought, or will.
pub fn bindgen_of(ctx: &Ctx, version: Version) -> PathBuf {
    bindgen_root(ctx, version).join("bin/bindgen")
}

/// The suffix of an LLVM that is there with all its parts, and its version.
pub fn llvm() -> Option<(String, Version)> {
    LLVM.into_iter()
        .map(|major| format!("-{major}"))
        .chain([String::new()])
        .find_map(|suffix| {
            ["ld.lld", "llvm-ar", "llvm-objcopy"]
                .into_iter()
                .try_for_each(|tool| which(&format!("{tool}{suffix}")).map(drop))?;
            let text = exec::output(format!("clang{suffix}"), &["--version"])?;
            let version = Version::find(&text)?;
            // Without a suffix make wants to hear `1`.
            Some((
                if suffix.is_empty() {
                    "1".to_owned()
                } else {
                    suffix
                },
                version,
            ))
        })
}

/// virtme-ng's virtual environment. `vng` is `bin/vng` in it, a Python with the modules of the
/// kernel's netlink tools (yaml, jsonschema) `bin/python3`.
pub fn virtme_ng(ctx: &Ctx) -> PathBuf {
    ctx.cache("tools").join(format!("virtme-ng-{VIRTME_NG}"))
}

/// b4's virtual environment, in which Sphinx is, too.
pub fn b4(ctx: &Ctx) -> PathBuf {
    ctx.cache("tools").join(format!("b4-{B4}"))
}

/// Each sparse that there is: the one on PATH, and the one that `setup` has brought.
pub fn sparses(ctx: &Ctx) -> Vec<PathBuf> {
    let ours = Some(SPARSE.program_in(&sparse_root(ctx))).filter(|path| path.exists());
    which("sparse").into_iter().chain(ours).collect()
}

/// The first sparse that make takes: it asks each in the way of `scripts/checker-valid.sh`, and goes
/// on without one that has no good answer.
pub fn fit_sparse(all: &[PathBuf]) -> Option<&PathBuf> {
    all.iter()
        .find(|sparse| knows_headers(&mut Command::new(sparse)).unwrap_or(false))
}

/// Whether a sparse knows what the kernel's headers are made of.
fn knows_headers(sparse: &mut Command) -> Result<bool> {
    const HEADER: &str = "\
static inline int copy(const int *from)
{
	__typeof_unqual__(*from) to = *from;

	return to;
}
";
    let mut file = tempfile::Builder::new().suffix(".c").tempfile()?;
    file.write_all(HEADER.as_bytes())?;
    let output = sparse
        .arg(file.path())
        .env_remove("LD_LIBRARY_PATH")
        .stdin(Stdio::null())
        .output()?;
    // It may exit with 0 though it found errors.
    let said = [output.stdout, output.stderr].concat();
    Ok(output.status.success() && !String::from_utf8_lossy(&said).contains("error"))
}

pub fn sparse_root(ctx: &Ctx) -> PathBuf {
    ctx.cache("tools/sparse")
}

/// CRIU with all that it needs.
pub fn criu(ctx: &Ctx) -> PathBuf {
    ctx.cache("tools/criu")
}

/// Programs of arm64.
pub fn arm64(ctx: &Ctx) -> PathBuf {
    ctx.cache("tools/arm64")
}

/// The same of s390.
pub fn s390(ctx: &Ctx) -> PathBuf {
    ctx.cache("tools/s390")
}

/// A release of rustc that rustup has, with the source of its library and clippy.
pub fn rust_release(version: Version) -> Option<Rust> {
    let name = version.to_string();
    let rustc = exec::output("rustup", &["which", "--toolchain", &name, "rustc"])?;
    rust_with_source(&rustc).filter(|rust| rust.rustc.with_file_name("clippy-driver").exists())
}

/// A rustc of this version: the one that kernels are built with, if it is that, or rustup's.
pub fn rust_of(version: Version) -> Option<Rust> {
    rust()
        .filter(|rust| rust.version == version)
        .or_else(|| rust_release(version))
}

/// Where cargo's rustc has its library for a target.
pub fn rust_std(target: &str) -> Option<PathBuf> {
    let words = ["--print", "target-libdir", "--target", target];
    let dir = exec::output(
        env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()),
        &words,
    )?;
    Some(PathBuf::from(dir)).filter(|dir| dir.exists())
}

/// Where PATH has a program.
pub fn which(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| path.exists());
    }
    let path = env::var_os("PATH")?;
    // Debian keeps some for root only.
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(more)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparse_is_asked_as_make_asks_it() {
        let says = |script: &str| {
            let mut sparse = Command::new("sh");
            sparse.args(["-c", script, "sparse"]);
            knows_headers(&mut sparse).unwrap()
        };
        assert!(says("grep -q __typeof_unqual__ \"$1\""));
        assert!(says("echo \"$1:1:1: warning: x\" >&2"));
        assert!(!says("echo \"$1:3:9: error: undefined identifier\" >&2"));
        assert!(!says("exit 1"));
    }

    #[test]
    fn a_rustc_of_a_version_may_be_the_one_that_is_there() {
        let own = rust().unwrap();
        assert_eq!(rust_of(own.version).unwrap().rustc, own.rustc);
        assert!(rust_of(Version::new(0, 1, 0)).is_none());
    }

    fn toolchain(llvm: &str, words: &[&'static str]) -> Toolchain {
        Toolchain {
            rust: Rust {
                rustc: PathBuf::new(),
                version: BINDGEN,
            },
            bindgen: PathBuf::new(),
            llvm: llvm.to_owned(),
            arch: Arch::OWN,
            words: words.to_vec(),
        }
    }

    #[test]
    fn another_gcc_is_another_toolchain() {
        let version = exec::output("gcc", &["--version"]).unwrap();
        let version = version.lines().next().unwrap();
        let has = |words: &[&'static str]| toolchain("1", words).fingerprint().contains(version);
        assert!(has(&[GCC]));
        assert!(!has(&[]));
    }

    #[test]
    fn a_program_of_llvm_is_called_as_it_is_installed() {
        assert_eq!(toolchain("-19", &[]).tool("llvm-nm"), "llvm-nm-19");
        // What make wants to hear where they have no suffix.
        assert_eq!(toolchain("1", &[]).tool("llvm-nm"), "llvm-nm");
    }
}
