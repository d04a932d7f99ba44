// SPDX-License-Identifier: GPL-2.0

//! GRUB, put in place as `grub-install` does it, but on an image and without a mount. Debian's modules,
//! as one program for each firmware; the menu is in the root.

use super::layout::{
    LABEL,
    Layout,
    Part,
    SECTOR, //
};
use crate::{
    ctx::Ctx,
    exec,
    image::{
        manifest::Loader,
        package_of, //
    },
    ui::Step, //
};
use anyhow::{
    Result,
    ensure, //
};
use fs_err as fs;
use std::{
    path::{
        Path,
        PathBuf, //
    },
    process::Command,
};

/// Where the modules are, and those that are taken for any firmware.
pub const MODULES: &str = "/usr/lib/grub";
const USED: [&str; 11] = [
    "part_gpt",
    "ext2",
    "search_label",
    "normal",
    "linux",
    "echo",
    "sleep",
    "ls",
    "cat",
    "halt",
    "reboot",
];

/// The firmware that they are for, as GRUB calls it.
const BIOS: &str = "i386-pc";
const UEFI: &str = "x86_64-efi";

/// Of the first sector, what is code; behind it is the table of partitions.
const CODE: usize = 440;

/// Where the first sector has the place of what it loads.
const KERNEL_SECTOR: usize = 0x5c;

/// Where the first sector of what is loaded has the place of the others.
const BLOCK_LIST: usize = 512 - 12;

/// What is put on the disk, for both firmwares.
pub struct Grub {
    /// The code of the first sector.
    pub boot: Vec<u8>,
    /// What it loads.
    pub core: Vec<u8>,
    /// The EFI system partition, as a file.
    pub efi: PathBuf,
    /// The program in it.
    program: PathBuf,
}

impl Grub {
    /// Makes it, with files in the folder `work`.
    pub fn make(ctx: &Ctx, layout: &Layout, work: &Path) -> Result<Self> {
        let step = Step::new("make the boot loader");
        let log = exec::log_path(ctx, "image-grub");
        let early = work.join("early.cfg");
        fs::write(
            &early,
            format!("search.fs_label {LABEL} root\nset prefix=($root)/boot/grub\n"),
        )?;
        let made = |platform: &str, more: &[&str]| -> Result<PathBuf> {
            let to = work.join(platform);
            let mut mkimage = Command::new("grub-mkimage");
            mkimage
                .args(["-O", platform, "-p", "/boot/grub", "-c"])
                .arg(&early)
                .arg("-o")
                .arg(&to)
                .args(USED)
                .args(more);
            exec::logged(&mut mkimage, &log, &step, 0)?;
            Ok(to)
        };
        let mut boot = fs::read(Path::new(MODULES).join(BIOS).join("boot.img"))?;
        let mut core = fs::read(made(BIOS, &["biosdisk"])?)?;
        place(&mut boot, &mut core, layout.bios)?;

        let program = made(UEFI, &["fat"])?;
        let efi = work.join("efi.fat");
        let size = layout.efi.size.to_string();
        for words in [
            &[
                "mformat", "-C", "-T", &size, "-v", "EFI", "-N", "20070607", "-i",
            ][..],
            &["mmd", "-i"],
            &["mcopy", "-i"],
        ] {
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).arg(&efi);
            match words[0] {
                "mformat" => command.arg("::"),
                "mmd" => command.args(["::/EFI", "::/EFI/BOOT"]),
                _ => command.arg(&program).arg("::/EFI/BOOT/BOOTX64.EFI"),
            };
            exec::logged(&mut command, &log, &step, 0)?;
        }
        step.done("");
        Ok(Self {
            boot,
            core,
            efi,
            program,
        })
    }

    /// What the manifest says of it.
    pub fn loaders(&self) -> Result<Vec<Loader>> {
        let program = fs::read(&self.program)?;
        let parts = [
            ("the first sector, for BIOS", &self.boot, BIOS),
            ("the partition bios", &self.core, BIOS),
            ("/EFI/BOOT/BOOTX64.EFI in the partition efi", &program, UEFI),
        ];
        let loaders = parts.map(|(place, content, platform)| {
            let from = Path::new(MODULES).join(platform).join("kernel.img");
            Loader::new(place, content, package_of(&from))
        });
        Ok(loaders.into())
    }
}

/// Tells the first sector where the partition is, and the partition's first sector where the rest of
/// it is; leaves of the first sector what is code.
fn place(boot: &mut Vec<u8>, core: &mut [u8], part: Part) -> Result<()> {
    ensure!(
        boot.len() == BLOCK_LIST + 12 && core.len() > boot.len(),
        "GRUB's images are not what they were: {} and {} bytes",
        boot.len(),
        core.len()
    );
    ensure!(
        core.len() as u64 <= part.size * SECTOR,
        "GRUB has {} bytes, more than its partition",
        core.len()
    );
    boot[KERNEL_SECTOR..][..8].copy_from_slice(&part.start.to_le_bytes());
    boot.truncate(CODE);
    core[BLOCK_LIST..][..8].copy_from_slice(&(part.start + 1).to_le_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grub_is_told_where_it_is() {
        let part = Part {
            start: 0x0102_0304,
            size: 3,
        };
        let (mut boot, mut core) = (vec![0xff; 512], vec![0xee; 1100]);
        place(&mut boot, &mut core, part).unwrap();
        assert_eq!(boot.len(), 440);
        assert_eq!(boot[0x5b..0x65], [255, 4, 3, 2, 1, 0, 0, 0, 0, 255]);
        assert_eq!(core[499..509], [238, 5, 3, 2, 1, 0, 0, 0, 0, 238]);
        assert_eq!(core.len(), 1100);
    }

    #[test]
    fn what_starts_the_disk_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        fs::write(&program, "a").unwrap();
        let grub = Grub {
            boot: vec![0; CODE],
            core: vec![0; 1100],
            efi: PathBuf::new(),
            program,
        };
        let loaders = grub.loaders().unwrap();
        let sizes: Vec<_> = loaders.iter().map(|loader| loader.size).collect();
        assert_eq!(sizes, [CODE, 1100, 1]);
        assert!(loaders[2].place.contains("BOOTX64.EFI"));
        assert!(loaders[2].sha256.starts_with("ca978112ca1b"));
        // Each that this machine has is of a package, if packages are what it is made of.
        for (loader, platform) in loaders.iter().zip([BIOS, BIOS, UEFI]) {
            let there = Path::new(MODULES)
                .join(platform)
                .join("kernel.img")
                .exists();
            let is_debian = crate::tools::which("dpkg-query").is_some();
            assert_eq!(loader.package.is_some(), there && is_debian, "{loader:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let part = Part { start: 1, size: 2 };
        let error = |boot: usize, core: usize| {
            let placed = place(&mut vec![0; boot], &mut vec![0; core], part);
            placed.unwrap_err().to_string()
        };
        assert!(error(512, 1025).contains("1025 bytes, more than its partition"));
        assert!(error(511, 1024).contains("511 and 1024"));
    }
}
