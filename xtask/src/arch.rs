// SPDX-License-Identifier: GPL-2.0

//! Architectures: how a kernel for one is built, and the machine that it runs on.
//!
//! Without `--arch` all is for x86-64, as the machine that this runs on is. For another one clang and
//! rustc are cross compilers by themselves, the guest is emulated, and its files are those of the
//! small image, as a root of that architecture is not at hand. What it takes is here, and a fragment
//! for its machine is `images/arch/NAME.config`.

use crate::{
    needs::{
        BUSYBOX_ARM64,
        BUSYBOX_S390,
        Group,
        Newer, //
    },
    version::Version, //
};
use anyhow::{
    Result,
    bail, //
};
use serde::Deserialize;
use std::fmt;

/// An architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// That of this machine.
    #[value(name = "x86_64")]
    #[serde(rename = "x86_64")]
    X86_64,
    /// Emulated, with the files of the small image.
    Arm64,
    /// The same, with the most significant byte first.
    S390,
    /// A program of this machine: only for `kunit`, by its flavour.
    #[value(skip)]
    Um,
    /// Only compiled, by a row of `builds`.
    #[value(skip)]
    I386,
}

/// What the kernel's Makefile has to know.
pub struct Build {
    /// What it calls the architecture, if it does not find out by itself.
    word: Option<&'static str>,
    /// The image that is started: the goal of make, and its name; and where make puts it.
    pub image: &'static str,
    pub image_dir: &'static str,
    /// The release of rustc that it needs, if that is newer than what others take.
    pub rust: Option<Version>,
}

/// The machine that QEMU is.
pub struct Guest {
    pub qemu: &'static str,
    pub machine: &'static str,
    pub cpu: &'static str,
    /// The device behind which the ways out are.
    pub ports: &'static str,
    /// The serial port, as the kernel calls it.
    pub console: &'static str,
    /// What one types there before a key for SysRq: a break by QEMU, where there is one.
    pub sysrq: &'static str,
    /// More that the kernel is told.
    pub parameters: &'static [&'static str],
    /// What Rust calls what its programs are built for.
    pub target: &'static str,
    /// What is needed for it if it is not the machine's own.
    pub cross: Option<&'static Cross>,
}

/// What it takes to have programs of another architecture, and to run them.
pub struct Cross {
    /// What of the prerequisites.
    pub group: Group,
    /// The C compiler that links them.
    pub linker: &'static str,
    /// What is in the image and not ours.
    pub busybox: &'static Newer,
}

static X86_64: Guest = Guest {
    qemu: "qemu-system-x86_64",
    machine: "q35",
    cpu: "max",
    ports: "virtio-serial-pci",
    console: "ttyS0",
    sysrq: "Ctrl-A b",
    // While the boot processor is identified, its features are cleared for a moment. An interrupt
    // then makes KASAN, which asks for LA57 each time, take good addresses for wild ones.
    parameters: &["no5lvl"],
    target: "x86_64-unknown-linux-gnu",
    cross: None,
};

static ARM64: Guest = Guest {
    qemu: "qemu-system-aarch64",
    machine: "virt",
    // Not `max`: its pointer authentication is slow to emulate.
    cpu: "neoverse-n1",
    ports: "virtio-serial-pci",
    console: "ttyAMA0",
    sysrq: "Ctrl-A b",
    parameters: &[],
    target: "aarch64-unknown-linux-gnu",
    cross: Some(&Cross {
        group: Group::Arm64,
        linker: "aarch64-linux-gnu-gcc",
        busybox: &BUSYBOX_ARM64,
    }),
};

static S390: Guest = Guest {
    qemu: "qemu-system-s390x",
    machine: "s390-ccw-virtio",
    // Without vectors, which QEMU 7.2 gets wrong: see `images/arch/s390.config`.
    cpu: "max,vx=off,vxeh=off",
    ports: "virtio-serial-ccw",
    console: "ttysclp0",
    sysrq: "Ctrl-O",
    parameters: &[],
    target: "s390x-unknown-linux-gnu",
    cross: Some(&Cross {
        group: Group::S390,
        linker: "s390x-linux-gnu-gcc",
        busybox: &BUSYBOX_S390,
    }),
};

/// What s390 needs by `scripts/min-tool-version.sh`.
pub const RUST_S390: Version = Version::new(1, 96, 0);

impl Arch {
    /// That of this machine: of a command that is told nothing.
    pub const OWN: Self = Self::X86_64;

    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
            Self::S390 => "s390",
            Self::Um => "um",
            Self::I386 => "i386",
        }
    }

    pub const fn build(self) -> Build {
        match self {
            // QEMU loads it as it is (`CONFIG_PVH`): nothing is compressed here and unpacked there.
            Self::X86_64 => Build {
                word: None,
                image: "vmlinux",
                image_dir: "",
                rust: None,
            },
            Self::Arm64 => Build {
                word: Some("ARCH=arm64"),
                image: "Image",
                image_dir: "arch/arm64/boot",
                rust: None,
            },
            Self::S390 => Build {
                word: Some("ARCH=s390"),
                image: "bzImage",
                image_dir: "arch/s390/boot",
                rust: Some(RUST_S390),
            },
            Self::Um => Build {
                word: Some("ARCH=um"),
                image: "linux",
                image_dir: "",
                rust: None,
            },
            Self::I386 => Build {
                word: Some("ARCH=i386"),
                image: "vmlinux",
                image_dir: "",
                rust: None,
            },
        }
    }

    /// What make is told.
    pub const fn make_word(self) -> Option<&'static str> {
        self.build().word
    }

    /// The machine that a kernel for it runs on, if it needs one.
    pub fn guest(self) -> Result<&'static Guest> {
        match self {
            Self::X86_64 => Ok(&X86_64),
            Self::Arm64 => Ok(&ARM64),
            Self::S390 => Ok(&S390),
            Self::Um => bail!("a kernel for {self} needs no machine: `cargo xtask kunit` runs it"),
            Self::I386 => bail!("a kernel for {self} is only compiled: `cargo xtask builds`"),
        }
    }

    /// What is needed if that is not this one.
    pub fn cross(self) -> Option<&'static Cross> {
        self.guest().ok()?.cross
    }

    /// What the small image of it takes, and the machine that it boots on.
    pub fn image_groups(self) -> Vec<Group> {
        let mut groups = self.groups(&[Group::Build, Group::Vm]);
        // Another one brings what is in its image.
        groups.extend(self.cross().is_none().then_some(Group::Image));
        groups
    }

    /// These prerequisites, and those that only this architecture has.
    pub fn groups(self, groups: &[Group]) -> Vec<Group> {
        let cross = self.cross().map(|cross| cross.group);
        groups.iter().copied().chain(cross).collect()
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_an_image_is_brought_for_its_architecture() {
        let has = |arch: Arch, group| arch.image_groups().contains(&group);
        assert!(has(Arch::OWN, Group::Image) && !has(Arch::OWN, Group::Arm64));
        assert!(has(Arch::Arm64, Group::Arm64) && !has(Arch::Arm64, Group::Image));
    }
}
