// SPDX-License-Identifier: GPL-2.0

//! Where everything is on the disk: a GPT with a partition for GRUB on BIOS, one for UEFI, and the
//! root.

use std::fmt::Write as _;

/// The name of the root partition, and the label of its file system.
pub const LABEL: &str = "af_inet_cr";

/// The same in each image: nothing has to be told which one it is in.
pub const ROOT_UUID: &str = "c0de0001-2007-4c52-8001-0af1e7c00003";
const DISK_UUID: &str = "c0de0001-2007-4c52-8001-0af1e7c00000";

/// Of a sector, in bytes.
pub const SECTOR: u64 = 512;

/// Of a MiB, in sectors: partitions begin at a whole one.
const MIB: u64 = 2048;

/// A partition, in sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub start: u64,
    pub size: u64,
}

impl Part {
    /// Where it begins, in bytes.
    pub fn offset(self) -> u64 {
        self.start * SECTOR
    }

    fn end(self) -> u64 {
        self.start + self.size
    }

    fn after(before: Self, mib: u64) -> Self {
        Self {
            start: before.end(),
            size: mib * MIB,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// What GRUB's first sector loads on BIOS.
    pub bios: Part,
    /// The EFI system partition.
    pub efi: Part,
    pub root: Part,
}

impl Layout {
    /// With a root of this many MiB.
    pub fn new(root: u64) -> Self {
        let bios = Part {
            start: MIB,
            size: MIB,
        };
        let efi = Part::after(bios, 8);
        let root = Part::after(efi, root);
        Self { bios, efi, root }
    }

    /// The whole disk, in bytes: behind the last partition is a copy of the table.
    pub fn disk(&self) -> u64 {
        (self.root.end() + MIB) * SECTOR
    }

    /// What `sfdisk` makes the table of.
    pub fn script(&self) -> String {
        let mut script = format!("label: gpt\nlabel-id: {DISK_UUID}\n");
        // Types by their GUIDs: which names sfdisk has for them depends on its version.
        let parts = [
            (self.bios, "21686148-6449-6e6f-744e-656564454649", "bios", 1),
            (self.efi, "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "efi", 2),
            (self.root, "4f68bce3-e8cd-4db1-96e7-fbcaf984b709", LABEL, 3),
        ];
        for (Part { start, size }, kind, name, number) in parts {
            let uuid = &DISK_UUID[..DISK_UUID.len() - 1];
            let _ = writeln!(
                script,
                "start={start}, size={size}, type={kind}, name={name}, uuid={uuid}{number}"
            );
        }
        script
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_lie_one_behind_the_other() {
        let layout = Layout::new(100);
        // The table itself takes 34 sectors at the start and 33 at the end.
        assert!(layout.bios.start >= 34);
        assert_eq!(layout.bios.end(), layout.efi.start);
        assert_eq!(layout.efi.end(), layout.root.start);
        assert_eq!(layout.root.size * SECTOR, 100 << 20);
        assert!(layout.disk() >= (layout.root.end() + 33) * SECTOR);
        for part in [layout.bios, layout.efi, layout.root] {
            assert_eq!(part.offset() % (1 << 20), 0);
        }
    }

    #[test]
    fn the_script_says_the_same() {
        let script = Layout::new(100).script();
        let lines: Vec<_> = script.lines().collect();
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[0], "label: gpt");
        assert!(lines[2].starts_with("start=2048, size=2048, "), "{script}");
        assert!(lines[3].starts_with("start=4096, size=16384, "), "{script}");
        assert!(
            lines[4].starts_with("start=20480, size=204800, "),
            "{script}"
        );
        assert!(lines[4].contains("name=af_inet_cr, "), "{script}");
    }
}
