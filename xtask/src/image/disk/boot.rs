// SPDX-License-Identifier: GPL-2.0

//! The command lines that boot the disk image: QEMU as anybody has it, and a terminal.

use super::OVMF;
use crate::vm::line::Line;
use std::path::Path;

/// What somebody has to know whose system is not Debian.
pub const OVMF_ELSEWHERE: &str = "-bios names OVMF (UEFI for QEMU) where Debian and Ubuntu have it, \
    in their package ovmf; it is /usr/share/edk2/ovmf/OVMF_CODE.fd on Fedora and \
    /usr/share/edk2/x64/OVMF.4m.fd on Arch, both in edk2-ovmf, and edk2-x86_64-code.fd in the data of \
    a QEMU that was built from its sources";

/// What starts the boot loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// QEMU's own, on its default machine with the devices that it has by itself.
    Bios,
    /// OVMF, on a newer machine with virtio.
    Uefi,
}

impl Firmware {
    pub const ALL: [Self; 2] = [Self::Bios, Self::Uefi];

    pub fn name(self) -> &'static str {
        match self {
            Self::Bios => "BIOS",
            Self::Uefi => "UEFI",
        }
    }

    /// The line, as it works on any machine: without KVM. `port` of this machine leads to ssh.
    pub fn line(self, disk: &Path, memory: u32, port: u16) -> Line {
        // A comma in a value begins the next one, but for a doubled one.
        let disk = disk.to_string_lossy().replace(',', ",,");
        let ssh = format!("hostfwd=tcp:127.0.0.1:{port}-:22");
        let (machine, drive, nic) = match self {
            Self::Bios => ("pc", format!("file={disk}"), format!("user,{ssh}")),
            Self::Uefi => (
                "q35",
                format!("file={disk},if=virtio"),
                format!("user,model=virtio-net-pci,{ssh}"),
            ),
        };
        let mut line = Line::new("qemu-system-x86_64");
        line.add("-machine", Some(machine));
        line.add("-smp", Some("2"));
        line.add("-m", Some(&format!("{memory}M")));
        if self == Self::Uefi {
            line.add("-bios", Some(OVMF));
        }
        line.add("-drive", Some(&drive));
        line.add("-nic", Some(&nic));
        line.add("-nographic", None);
        line
    }
}

/// The words of ssh that reach a guest by `port` of this machine, before the command.
pub fn ssh(key: &Path, port: u16) -> Vec<String> {
    let mut words = vec!["ssh".to_owned(), "-i".to_owned()];
    words.push(key.display().to_string());
    words.extend(["-p".to_owned(), port.to_string()]);
    // The guest makes its own key at its first boot, so that nobody can know it.
    for option in ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"] {
        words.extend(["-o".to_owned(), option.to_owned()]);
    }
    words.push("root@127.0.0.1".to_owned());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(firmware: Firmware, disk: &str) -> String {
        firmware.line(Path::new(disk), 1024, 2222).to_string()
    }

    #[test]
    fn a_person_can_type_the_lines() {
        assert_eq!(
            line(Firmware::Bios, "disk.qcow2"),
            "qemu-system-x86_64 -machine pc -smp 2 -m 1024M \
             -drive 'file=disk.qcow2' -nic 'user,hostfwd=tcp:127.0.0.1:2222-:22' -nographic"
        );
        let uefi = line(Firmware::Uefi, "disk.qcow2");
        assert!(uefi.contains(" -machine q35 "), "{uefi}");
        assert!(uefi.contains(&format!(" -bios {OVMF} ")), "{uefi}");
        assert!(uefi.contains(" 'file=disk.qcow2,if=virtio' "), "{uefi}");
    }

    #[test]
    fn a_path_stays_one_path() {
        let line = line(Firmware::Bios, "/a b/c,d");
        assert!(line.contains("-drive 'file=/a b/c,,d'"), "{line}");
    }
}
