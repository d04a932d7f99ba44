// SPDX-License-Identifier: GPL-2.0

//! The prerequisites: one table, which `doctor` shows and `setup` works off.

use crate::{
    arch::RUST_S390,
    ctx::Ctx,
    exec,
    image::disk,
    tools,
    version::Version, //
};
use fs_err as fs;
use std::path::{
    Path,
    PathBuf, //
};

/// What a prerequisite is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// To get, patch and build the kernel.
    Build,
    /// To boot it.
    Vm,
    /// To make the small image of this machine's architecture.
    Image,
    /// To look into it while it runs.
    Debug,
    /// To see what an editor sees. Only the command that does so brings it.
    Editor,
    /// To check code before it is sent.
    Lint,
    /// To checkpoint whole processes. Only the command that does so brings it.
    Criu,
    /// To make disk images. Only the command that does so brings it.
    Disk,
    /// To have programs of arm64, and a machine. Only `--arch arm64` brings it.
    Arm64,
    /// To build with the oldest programs that the kernel takes. Only the command that does so brings
    /// it.
    Oldest,
    /// The same for s390, and a newer Rust. Only `--arch s390` brings it.
    S390,
    /// Only `setup` by name brings these.
    Comfort,
}

impl Group {
    pub fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Vm => "vm",
            Self::Image => "image",
            Self::Debug => "debug",
            Self::Editor => "editor",
            Self::Lint => "lint",
            Self::Criu => "criu",
            Self::Disk => "disk",
            Self::Arm64 => "arm64",
            Self::Oldest => "oldest",
            Self::S390 => "s390",
            Self::Comfort => "comfort",
        }
    }

    /// Whether everything else works without it.
    pub fn is_extra(self) -> bool {
        matches!(
            self,
            Self::Editor
                | Self::Criu
                | Self::Disk
                | Self::Arm64
                | Self::S390
                | Self::Oldest
                | Self::Comfort
        )
    }
}

/// What brings a prerequisite.
#[derive(Clone, Copy)]
pub enum Fix {
    /// Debian packages; the first of these sets that the machine's suites have.
    Apt(&'static [&'static [&'static str]]),
    /// A version of bindgen, by cargo, into the cache.
    Bindgen(Version),
    /// A component of the toolchain, by rustup.
    Component(&'static str),
    /// The library for a target of the toolchain, by rustup.
    Target(&'static str),
    /// A release of rustc with the source of its library, by rustup.
    Release(Version),
    /// Python programs, by pip, in their own virtual environment in the cache.
    Venv(&'static Venv),
    /// cargo-make, by cargo, where cargo puts programs.
    CargoMake,
    /// A program of a newer Debian, by apt, into the cache.
    Newer(&'static Newer),
}

impl Fix {
    /// The command as a person would type it.
    pub fn command(self, ctx: &Ctx) -> String {
        match self {
            Self::Apt(sets) => format!("apt-get install {}", sets[0].join(" ")),
            Self::Bindgen(version) => format!(
                "cargo install --locked --version {version} --root {} bindgen-cli",
                tools::bindgen_root(ctx, version).display()
            ),
            Self::Component(name) => format!("rustup component add {name}"),
            Self::Target(name) => format!("rustup target add {name}"),
            Self::Release(version) => {
                format!(
                    "rustup toolchain install {version} --profile minimal \
                     --component rust-src,clippy"
                )
            }
            Self::Venv(_) | Self::Newer(_) => "cargo xtask setup".to_owned(),
            Self::CargoMake => format!("cargo install --locked {}", tools::CARGO_MAKE.join(" ")),
        }
    }
}

/// What was found of a prerequisite.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    Nothing,
    /// There, in a version that does not matter.
    Something(String),
    /// There, and not good enough, whatever its version is.
    Unfit(String),
    Version(Version),
}

pub struct Need {
    pub name: &'static str,
    pub group: Group,
    pub found: Found,
    /// The oldest version that will do.
    pub minimum: Option<Version>,
    pub fix: Fix,
}

#[derive(Debug, PartialEq, Eq)]
pub enum State {
    Ok,
    Missing,
    TooOld,
    Unfit,
}

impl Need {
    pub fn state(&self) -> State {
        match (&self.found, self.minimum) {
            (Found::Nothing, _) => State::Missing,
            (Found::Unfit(_), _) => State::Unfit,
            (Found::Version(found), Some(minimum)) if *found < minimum => State::TooOld,
            _ => State::Ok,
        }
    }
}

const V: fn(u32, u32, u32) -> Version = Version::new;

/// Looks at the machine. Takes a few tenths of a second.
pub fn all(ctx: &Ctx) -> Vec<Need> {
    let mut all = build();
    all.extend(compilers(ctx));
    all.extend(vm(ctx));
    all.push(Need {
        name: "busybox",
        group: Group::Image,
        found: static_program(Path::new("/bin/busybox")),
        minimum: None,
        // It takes the place of `busybox`, which needs the machine's libraries.
        fix: Fix::Apt(&[&["busybox-static"]]),
    });
    all.push(program(
        Group::Debug,
        "gdb",
        &["--version"],
        V(12, 0, 0),
        &[&["gdb"]],
    ));
    all.push(rust_analyzer());
    all.extend(lint(ctx));
    all.push(Need {
        name: CRIU.name,
        group: Group::Criu,
        found: version_of(CRIU.program_in(&tools::criu(ctx)), &["--version"]),
        minimum: Some(V(4, 2, 1)),
        fix: Fix::Newer(&CRIU),
    });
    all.extend(disk());
    all.extend(ARM64.needs(ctx));
    all.extend(oldest(ctx));
    all.extend(S390.needs(ctx));
    all.push(rust_of_s390());
    all.push(Need {
        name: "cargo make",
        group: Group::Comfort,
        found: there(tools::which("cargo-make").map(drop), "yes"),
        minimum: None,
        fix: Fix::CargoMake,
    });
    all
}

fn build() -> Vec<Need> {
    vec![
        program(
            Group::Build,
            "git",
            &["--version"],
            V(2, 20, 0),
            &[&["git"]],
        ),
        program(
            Group::Build,
            "tar",
            &["--version"],
            V(1, 28, 0),
            &[&["tar"]],
        ),
        program(
            Group::Build,
            "xz",
            &["--version"],
            V(5, 2, 0),
            &[&["xz-utils"]],
        ),
        program(
            Group::Build,
            "make",
            &["--version"],
            V(4, 0, 0),
            &[&["make"]],
        ),
        program(
            Group::Build,
            "flex",
            &["--version"],
            V(2, 5, 35),
            &[&["flex"]],
        ),
        program(
            Group::Build,
            "bison",
            &["--version"],
            V(2, 0, 0),
            &[&["bison"]],
        ),
        program(Group::Build, "bc", &["--version"], V(1, 6, 95), &[&["bc"]]),
        program(
            Group::Build,
            "perl",
            &["-e", "printf '%vd', $^V"],
            V(5, 8, 0),
            &[&["perl"]],
        ),
        program(
            Group::Build,
            "python3",
            &["--version"],
            V(3, 9, 0),
            &[&["python3"]],
        ),
        file(
            Group::Build,
            "libelf",
            "/usr/include/gelf.h",
            &[&["libelf-dev"]],
        ),
    ]
}

fn compilers(ctx: &Ctx) -> Vec<Need> {
    vec![
        Need {
            name: "clang, lld, llvm",
            group: Group::Build,
            found: tools::llvm().map_or(Found::Nothing, |(_, version)| Found::Version(version)),
            minimum: Some(minimum(ctx, "llvm", V(17, 0, 1))),
            fix: Fix::Apt(&[&["clang-19", "lld-19", "llvm-19"]]),
        },
        Need {
            name: "rustc with rust-src",
            group: Group::Build,
            found: tools::rust().map_or(Found::Nothing, |rust| Found::Version(rust.version)),
            minimum: Some(oldest_rustc(ctx)),
            fix: Fix::Apt(&[&["rustc-web", "rust-web-src"], &["rustc", "rust-src"]]),
        },
        Need {
            name: "bindgen",
            group: Group::Build,
            found: tools::bindgen(ctx).map_or(Found::Nothing, |(_, v)| Found::Version(v)),
            minimum: Some(oldest_bindgen(ctx)),
            fix: Fix::Bindgen(tools::BINDGEN),
        },
    ]
}

fn vm(ctx: &Ctx) -> Vec<Need> {
    vec![
        program(
            Group::Vm,
            "qemu-system-x86_64",
            &["--version"],
            V(6, 0, 0),
            &[&["qemu-system-x86"]],
        ),
        // The kernel's selftests make network namespaces with it.
        program(Group::Vm, "ip", &["-V"], V(4, 0, 0), &[&["iproute2"]]),
        Need {
            name: "python3 venv",
            group: Group::Vm,
            found: there(
                exec::output(python(), &["-c", "import venv, ensurepip"]),
                "yes",
            ),
            minimum: None,
            fix: Fix::Apt(&[&["python3-venv"]]),
        },
        venv(ctx, Group::Vm, &VIRTME_NG),
    ]
}

fn rust_analyzer() -> Need {
    // rustup has it on PATH where it is not installed, too, and only says so.
    let version = exec::output("rust-analyzer", &["--version"]);
    let version = version.and_then(|text| Version::find(&text));
    Need {
        name: "rust-analyzer",
        group: Group::Editor,
        found: version.map_or(Found::Nothing, Found::Version),
        minimum: None,
        fix: Fix::Component("rust-analyzer"),
    }
}

fn lint(ctx: &Ctx) -> [Need; 6] {
    let beside = |name| {
        tools::rust()
            .map(|rust| rust.rustc.with_file_name(name))
            .filter(|p| p.exists())
    };
    let rust = |name, tool, fix| Need {
        name,
        group: Group::Lint,
        found: there(beside(tool), "yes"),
        minimum: None,
        fix: Fix::Apt(fix),
    };
    [
        rust("rustfmt", "rustfmt", &[&["rustfmt-web"], &["rustfmt"]]),
        rust(
            "clippy",
            "clippy-driver",
            &[&["rust-web-clippy"], &["rust-clippy"]],
        ),
        Need {
            name: SPARSE.name,
            group: Group::Lint,
            found: sparse(&tools::sparses(ctx)),
            minimum: None,
            fix: Fix::Newer(&SPARSE),
        },
        program(
            Group::Lint,
            "yamllint",
            &["--version"],
            V(1, 0, 0),
            &[&["yamllint"]],
        ),
        program(
            Group::Lint,
            "codespell",
            &["--version"],
            V(2, 0, 0),
            &[&["codespell"]],
        ),
        venv(ctx, Group::Lint, &B4),
    ]
}

fn disk() -> Vec<Need> {
    let grub = |platform: &str| format!("{}/{platform}/kernel.img", disk::MODULES);
    vec![
        program(
            Group::Disk,
            "mmdebstrap",
            &["--version"],
            V(1, 0, 0),
            // It becomes root in a namespace by the second.
            &[&["mmdebstrap", "uidmap"]],
        ),
        file(Group::Disk, "mke2fs", "/usr/sbin/mke2fs", &[&["e2fsprogs"]]),
        program(
            Group::Disk,
            "sfdisk",
            &["--version"],
            V(2, 26, 0),
            &[&["fdisk"]],
        ),
        program(
            Group::Disk,
            "mformat",
            &["--version"],
            V(4, 0, 0),
            &[&["mtools"]],
        ),
        program(
            Group::Disk,
            "grub-mkimage",
            &["--version"],
            V(2, 0, 0),
            &[&["grub-common"]],
        ),
        file(
            Group::Disk,
            "GRUB for BIOS",
            &grub("i386-pc"),
            &[&["grub-pc-bin"]],
        ),
        file(
            Group::Disk,
            "GRUB for UEFI",
            &grub("x86_64-efi"),
            &[&["grub-efi-amd64-bin"]],
        ),
        program(
            Group::Disk,
            "qemu-img",
            &["--version"],
            V(6, 0, 0),
            &[&["qemu-utils"]],
        ),
        file(Group::Disk, "OVMF", disk::OVMF, &[&["ovmf"]]),
        file(Group::Disk, "ssh", "/usr/bin/ssh", &[&["openssh-client"]]),
    ]
}

/// The oldest rustc and bindgen that the kernel takes, beside those that it is built with here.
fn oldest(ctx: &Ctx) -> [Need; 2] {
    let (rustc, bindgen) = (oldest_rustc(ctx), oldest_bindgen(ctx));
    [
        Need {
            name: "rustc, oldest",
            group: Group::Oldest,
            found: tools::rust_of(rustc)
                .map_or(Found::Nothing, |rust| Found::Version(rust.version)),
            minimum: Some(rustc),
            fix: Fix::Release(rustc),
        },
        Need {
            name: "bindgen, oldest",
            group: Group::Oldest,
            found: version_of(tools::bindgen_of(ctx, bindgen), &["--version"]),
            minimum: Some(bindgen),
            fix: Fix::Bindgen(bindgen),
        },
    ]
}

/// What it takes to build for another architecture, and to emulate it.
struct Cross {
    group: Group,
    qemu: &'static str,
    qemu_packages: &'static [&'static [&'static str]],
    gcc: &'static str,
    gcc_packages: &'static [&'static [&'static str]],
    libc: &'static str,
    libc_path: &'static str,
    libc_packages: &'static [&'static [&'static str]],
    rust: &'static str,
    rust_target: &'static str,
    busybox: &'static Newer,
}

static ARM64: Cross = Cross {
    group: Group::Arm64,
    qemu: "qemu-system-aarch64",
    qemu_packages: &[&["qemu-system-arm"]],
    gcc: "aarch64-linux-gnu-gcc",
    gcc_packages: &[&["gcc-aarch64-linux-gnu"]],
    libc: "libc of arm64",
    libc_path: "/usr/aarch64-linux-gnu/lib/libc.a",
    libc_packages: &[&["libc6-dev-arm64-cross"]],
    rust: "Rust for arm64",
    rust_target: "aarch64-unknown-linux-gnu",
    busybox: &BUSYBOX_ARM64,
};

static S390: Cross = Cross {
    group: Group::S390,
    qemu: "qemu-system-s390x",
    qemu_packages: &[&["qemu-system-misc"], &["qemu-system-s390x"]],
    gcc: "s390x-linux-gnu-gcc",
    gcc_packages: &[&["gcc-s390x-linux-gnu"]],
    libc: "libc of s390x",
    libc_path: "/usr/s390x-linux-gnu/lib/libc.a",
    libc_packages: &[&["libc6-dev-s390x-cross"]],
    rust: "Rust for s390x",
    rust_target: "s390x-unknown-linux-gnu",
    busybox: &BUSYBOX_S390,
};

impl Cross {
    fn needs(&self, ctx: &Ctx) -> [Need; 5] {
        let busybox = self.busybox.program_in(&(self.busybox.place)(ctx));
        [
            program(
                self.group,
                self.qemu,
                &["--version"],
                V(6, 0, 0),
                self.qemu_packages,
            ),
            program(
                self.group,
                self.gcc,
                &["--version"],
                V(9, 0, 0),
                self.gcc_packages,
            ),
            file(self.group, self.libc, self.libc_path, self.libc_packages),
            Need {
                name: self.rust,
                group: self.group,
                found: there(tools::rust_std(self.rust_target), self.rust_target),
                minimum: None,
                fix: Fix::Target(self.rust_target),
            },
            Need {
                name: self.busybox.name,
                group: self.group,
                found: match self.busybox.version(ctx).filter(|_| busybox.exists()) {
                    None => Found::Nothing,
                    Some(version) => Found::Something(version),
                },
                minimum: None,
                fix: Fix::Newer(self.busybox),
            },
        ]
    }
}

/// The rustc that the kernel of s390 takes.
fn rust_of_s390() -> Need {
    Need {
        name: "rustc for its kernel",
        group: Group::S390,
        found: tools::rust_release(RUST_S390)
            .map_or(Found::Nothing, |rust| Found::Version(rust.version)),
        minimum: None,
        fix: Fix::Release(RUST_S390),
    }
}

/// What there is of sparse. The version does not tell: Debian's snapshots call themselves by that
/// of the release before them.
fn sparse(all: &[PathBuf]) -> Found {
    let of = |path: &PathBuf| version_of(path.clone(), &["--version"]);
    match (tools::fit_sparse(all), all.first()) {
        (Some(path), _) => of(path),
        (None, Some(path)) => match of(path) {
            Found::Version(version) => Found::Unfit(version.to_string()),
            _ => Found::Unfit("yes".to_owned()),
        },
        (None, None) => Found::Nothing,
    }
}

/// A program of a newer Debian than the machine's, with all that it depends on: also the C library,
/// as it needs one that is as new. Or one of another architecture, which is static.
pub struct Newer {
    pub name: &'static str,
    pub package: &'static str,
    /// As Debian calls it.
    pub arch: &'static str,
    pub place: fn(&Ctx) -> PathBuf,
    /// Where it is in the package.
    pub program: &'static str,
    /// What a person can do where Debian has none that will do, or the machine is not Debian.
    pub otherwise: &'static str,
}

/// What checks C code. The releases up to 0.6.4 do not know `__typeof_unqual__`, which the kernel's
/// headers are full of.
pub static SPARSE: Newer = Newer {
    name: "sparse",
    package: "sparse",
    arch: Newer::OWN,
    place: tools::sparse_root,
    program: "usr/bin/sparse",
    otherwise: "put a sparse on PATH that knows `__typeof_unqual__`, which is later than 0.6.4 \
                (Documentation/dev-tools/sparse.rst of the kernel says where to get it)",
};

/// What checkpoints processes. Older ones than 4.2.1 do not dump sockets on a kernel of today.
pub static CRIU: Newer = Newer {
    name: "criu",
    package: "criu",
    arch: Newer::OWN,
    place: tools::criu,
    program: "usr/sbin/criu",
    otherwise: "run this on a machine of Debian (the tests of `inetcr criu-hook` that `vm-test` has \
                take no CRIU)",
};

/// The shell of an image of arm64.
pub static BUSYBOX_ARM64: Newer = Newer {
    name: "busybox",
    package: "busybox-static",
    arch: "arm64",
    place: tools::arm64,
    program: "usr/bin/busybox",
    otherwise: "run this on a machine of Debian",
};

/// That of s390.
pub static BUSYBOX_S390: Newer = Newer {
    name: "busybox",
    package: "busybox-static",
    arch: "s390x",
    place: tools::s390,
    program: "usr/bin/busybox",
    otherwise: "run this on a machine of Debian",
};

impl Newer {
    /// The architecture of this machine.
    pub const OWN: &'static str = "amd64";

    /// Which version of its package it is of, once it was brought.
    pub fn version(&self, ctx: &Ctx) -> Option<String> {
        let list = fs::read_to_string((self.place)(ctx).join(Self::LIST)).ok()?;
        let mut lines = list.lines().filter_map(|line| line.split_once(' '));
        lines.find_map(|(name, version)| (name == self.package).then(|| version.to_owned()))
    }

    /// In its place, the packages that are there, with their versions.
    pub const LIST: &'static str = "packages";

    /// What starts it. It is alone in its directory, which can be put on PATH.
    pub fn program_in(&self, place: &Path) -> PathBuf {
        place.join("bin").join(self.name)
    }
}

/// A virtual environment of Python.
pub struct Venv {
    pub name: &'static str,
    pub place: fn(&Ctx) -> PathBuf,
    /// What pip is asked for. Also the text of the stamp that says it is complete.
    pub packages: &'static str,
}

/// virtme-ng, what the kernel's netlink tools (`tools/net/ynl/pyynl`) import, and what reads the
/// documentation.
pub static VIRTME_NG: Venv = Venv {
    name: "virtme-ng",
    place: tools::virtme_ng,
    packages: "virtme-ng==1.42 pyyaml==6.0.3 jsonschema==4.26.0 docutils==0.23",
};

/// By what series are sent, and by what the kernel's documentation is built.
pub static B4: Venv = Venv {
    name: "b4, sphinx",
    place: tools::b4,
    packages: "b4==0.16.0 sphinx==9.0.4 pyyaml==6.0.3",
};

impl Venv {
    pub fn stamp(&self, ctx: &Ctx) -> PathBuf {
        (self.place)(ctx).join(".complete")
    }
}

fn venv(ctx: &Ctx, group: Group, venv: &'static Venv) -> Need {
    let stamp = fs::read_to_string(venv.stamp(ctx)).ok();
    Need {
        name: venv.name,
        group,
        found: there(stamp.filter(|s| s == venv.packages), venv.packages),
        minimum: None,
        fix: Fix::Venv(venv),
    }
}

/// Debian's own Python, which has `python3-venv`, before another on PATH.
pub fn python() -> &'static str {
    if Path::new("/usr/bin/python3").exists() {
        "/usr/bin/python3"
    } else {
        "python3"
    }
}

fn there<T>(found: Option<T>, text: &str) -> Found {
    found.map_or(Found::Nothing, |_| Found::Something(text.to_owned()))
}

fn program(
    group: Group,
    name: &'static str,
    args: &[&str],
    minimum: Version,
    packages: &'static [&'static [&'static str]],
) -> Need {
    Need {
        name,
        group,
        found: tools::which(name).map_or(Found::Nothing, |path| version_of(path, args)),
        minimum: Some(minimum),
        fix: Fix::Apt(packages),
    }
}

/// What a program that is there says of itself.
fn version_of(path: PathBuf, args: &[&str]) -> Found {
    if !path.exists() {
        return Found::Nothing;
    }
    let version = exec::output(path, args).and_then(|text| Version::find(&text));
    version.map_or_else(|| Found::Something("yes".to_owned()), Found::Version)
}

/// What there is of a program that goes into an image.
fn static_program(path: &Path) -> Found {
    if exec::is_static(path) {
        Found::Something(path.display().to_string())
    } else if path.exists() {
        Found::Unfit("not static".to_owned())
    } else {
        Found::Nothing
    }
}

fn file(
    group: Group,
    name: &'static str,
    path: &str,
    packages: &'static [&'static [&'static str]],
) -> Need {
    let found = there(Path::new(path).exists().then_some(()), path);
    Need {
        name,
        group,
        found,
        minimum: None,
        fix: Fix::Apt(packages),
    }
}

/// What the kernel itself says it needs; before there is a tree, what 7.3.4 says.
fn minimum(ctx: &Ctx, tool: &str, pinned: Version) -> Version {
    let trees = fs::read_dir(ctx.cache("src")).into_iter().flatten();
    let script = trees
        .filter_map(|entry| Some(entry.ok()?.path().join("scripts/min-tool-version.sh")))
        .find(|path| path.exists());
    let said = script.and_then(|path| exec::output("sh", &[path.to_str()?, tool]));
    said.and_then(|text| Version::find(&text)).unwrap_or(pinned)
}

pub fn oldest_rustc(ctx: &Ctx) -> Version {
    minimum(ctx, "rustc", V(1, 85, 0))
}

pub fn oldest_bindgen(ctx: &Ctx) -> Version {
    minimum(ctx, "bindgen", V(0, 71, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_too_old_are_told_apart() {
        let need = |found| Need {
            name: "x",
            group: Group::Build,
            found,
            minimum: Some(V(1, 85, 0)),
            fix: Fix::Bindgen(tools::BINDGEN),
        };
        assert_eq!(need(Found::Nothing).state(), State::Missing);
        assert_eq!(need(Found::Version(V(1, 63, 0))).state(), State::TooOld);
        assert_eq!(need(Found::Version(V(1, 85, 0))).state(), State::Ok);
        assert_eq!(need(Found::Something("yes".to_owned())).state(), State::Ok);
        let unfit = Found::Unfit("9.0.0".to_owned());
        assert_eq!(need(unfit).state(), State::Unfit);
    }

    #[test]
    fn a_program_for_an_image_is_static() {
        let dynamic = std::env::current_exe().unwrap();
        assert!(matches!(static_program(&dynamic), Found::Unfit(_)));
        let none = dynamic.with_file_name("no such file");
        assert_eq!(static_program(&none), Found::Nothing);
    }

    #[test]
    fn only_an_image_takes_a_static_busybox() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let all = all(&Ctx::in_dir(dir.path())?);
        let mut of_images = all.iter().filter(|need| need.name == "busybox");
        assert!(of_images.all(|need| need.group != Group::Vm));
        Ok(())
    }

    #[test]
    fn a_sparse_that_does_not_do_is_not_taken() {
        // One takes everything, the other has an error to tell of each C file.
        let [does, does_not] = ["true", "sh"].map(|name| tools::which(name).unwrap());
        assert_eq!(sparse(&[]), Found::Nothing);
        let old = sparse(std::slice::from_ref(&does_not));
        assert!(matches!(old, Found::Unfit(_)), "{old:?}");
        let both = [does_not, does.clone()];
        assert!(!matches!(sparse(&both), Found::Nothing | Found::Unfit(_)));
        assert_eq!(tools::fit_sparse(&both), Some(&does));
    }
}
