// SPDX-License-Identifier: GPL-2.0

//! Whether a copy of the disk image boots on BIOS and on UEFI as its manifest says, is what that says,
//! and the tests pass in it.

use super::{
    Firmware,
    Image,
    PORT,
    SSH, //
};
use crate::{
    checks::Checks,
    ctx::Ctx,
    exec,
    flavour::Flavour,
    image::elsewhere::Elsewhere,
    report::Folder,
    ui::{
        self,
        Step, //
    },
    vm::{
        TIME_SCALE,
        accel::{
            self,
            Accel, //
        },
        deadlines::Deadlines,
        line::Line,
        terminal::Terminal, //
    },
};
use anyhow::{
    Context,
    Result,
    ensure, //
};
use fs_err as fs;
use std::{
    collections::BTreeMap,
    io::{
        BufRead as _,
        BufReader, //
    },
    net::TcpListener,
    path::Path,
    process::{
        Command,
        ExitCode,
        Output,
        Stdio, //
    },
    time::Duration, //
};

/// What the console shows when somebody is logged in there.
const PROMPT: &str = "root@inetcr:~#";

/// What GRUB's menu shows for the tests, and the key that starts them.
const MENU: &str = "power off (t)";
const KEY: &str = "t";

/// How much longer firmware, boot loader and Debian take than a kernel with our init.
const DEBIAN: u32 = 4;

/// Where everything that boots it is, of its root. No package of Debian has a file there.
const BOOT: &str = "/boot";

/// What has to be so in a guest that is up: a name, and a shell command that succeeds.
const STATES: [(&str, &str); 3] = [
    (
        "no unit of systemd has failed",
        "systemctl is-system-running --wait; systemctl --failed --no-legend; \
         test -z \"$(systemctl --failed --no-legend)\"",
    ),
    ("the network leads out", "ping -c 1 -W 10 10.0.2.2"),
    ("inetcr lists sockets", "inetcr show --all"),
];

/// Logs in on either firmware, and has a sample of the tests run on the first one; the other one runs
/// all of them, as GRUB's menu offers.
pub fn run(ctx: &Ctx, image: &Image, flavour: &Flavour) -> Result<ExitCode> {
    let accel = accel::choose(ctx, &image.kernel, flavour, false)?;
    let deadlines = Deadlines::new(accel, flavour);
    let mut checks = Checks::default();
    for firmware in Firmware::ALL {
        let elsewhere = Elsewhere::new(ctx, image.dir())?;
        elsewhere.check(&mut checks);
        let folder = |what: &str| {
            let what = format!("image-disk-{}{what}", firmware.name());
            Folder::new(ctx, &what, None, false)
        };
        let boot = Boot {
            elsewhere: &elsewhere,
            firmware,
            accel,
            deadlines,
        };
        boot.log_in(&folder("")?, &mut checks)?;
        if firmware == Firmware::Uefi {
            boot.run_tests(&folder("-tests")?, &mut checks)?;
        }
    }
    Ok(checks.end())
}

/// A way to boot a copy of the image.
struct Boot<'a> {
    elsewhere: &'a Elsewhere,
    firmware: Firmware,
    accel: Accel,
    deadlines: Deadlines,
}

impl Boot<'_> {
    /// How long it may take to get somewhere.
    fn patience(&self) -> Duration {
        self.deadlines.boot * DEBIAN
    }

    /// Starts it by the manifest's line, but for what this machine has: a port that is free, and KVM.
    fn start(&self, port: u16, folder: &Folder) -> Result<Terminal> {
        let line = self.elsewhere.typed(self.firmware.name())?;
        let mut line = Line::parse(&with_port(line, port)?)?;
        if self.accel == Accel::Kvm {
            line.add("-accel", Some("kvm"));
        }
        line.add("-no-reboot", None);
        Terminal::boot(&line, self.elsewhere.path(), folder)
    }

    fn log_in(&self, folder: &Folder, checks: &mut Checks) -> Result<()> {
        let name = self.firmware.name();
        let port = free_port()?;
        let ssh = Ssh::new(self.elsewhere, port)?;
        let step = Step::new(&format!("boot the image by {name}"));
        let mut guest = self.start(port, folder)?;
        let there = guest.shows(PROMPT, self.patience())?;
        let time = step.done(if there { "logged in" } else { "no prompt" });
        let in_time = format!("{name}: boots to a prompt on the console");
        checks.say(&in_time, there, &guest.last_words()?);
        if there {
            ui::note(&format!("{name}: a prompt after {}", ui::seconds(time)));
        }
        // sshd makes its key at the first boot, while somebody is logged in already.
        let reached = there
            && guest.wait(self.patience(), |_| {
                Ok(ssh.run("true", self.patience())?.status.success())
            })?;
        let lets_in = format!("{name}: ssh lets in");
        checks.say(&lets_in, reached, &guest.last_words()?);
        if reached {
            for (what, command) in STATES {
                let output = ssh.run(command, self.patience())?;
                let why = both(&output);
                checks.say(&format!("{name}: {what}"), output.status.success(), &why);
            }
            self.check_manifest(&ssh, checks)?;
            if self.firmware == Firmware::Bios {
                self.run_sample(&ssh, folder, checks)?;
            }
            ssh.run("systemctl poweroff", self.patience())?;
        }
        let ended = reached && guest.wait(self.patience(), Terminal::has_ended)?;
        let powers_off = format!("{name}: powers off");
        checks.say(&powers_off, ended, &guest.last_words()?);
        guest.check_complaints(name, checks)?;
        ui::note(&format!("results: {}", folder.path.display()));
        Ok(())
    }

    /// Compares what is in the guest with what the manifest says.
    fn check_manifest(&self, ssh: &Ssh<'_>, checks: &mut Checks) -> Result<()> {
        let name = self.firmware.name();
        let manifest = &self.elsewhere.manifest;
        let answer = ssh.run(&manifest.question(), self.patience())?;
        manifest.check_answer(name, &both(&answer), checks);
        let answer = ssh.run(&format!("find {BOOT} -type f"), self.patience())?;
        manifest.check_folder(name, BOOT, &both(&answer), checks);
        let installed = ssh.run(
            "dpkg-query --show --showformat='${Package} ${Version}\n'",
            self.patience(),
        )?;
        let installed = String::from_utf8_lossy(&installed.stdout).into_owned();
        let installed: BTreeMap<_, _> = installed
            .lines()
            .filter_map(|line| line.split_once(' '))
            .collect();
        let debian = manifest.debian.as_ref().context("no packages")?;
        let wanted: BTreeMap<_, _> = debian
            .packages
            .iter()
            .map(|(name, version)| (name.as_str(), version.as_str()))
            .collect();
        checks.say(
            &format!("{name}: the packages in it are the manifest's"),
            installed == wanted,
            &format!("in the guest {installed:?},\nin the manifest {wanted:?}"),
        );
        Ok(())
    }

    /// Runs a sample of the tests in the guest, and counts them.
    fn run_sample(&self, ssh: &Ssh<'_>, folder: &Folder, checks: &mut Checks) -> Result<()> {
        let name = self.firmware.name();
        let tests = format!("{TIME_SCALE}={} roundtrip --quick", self.deadlines.factor);
        let errors = folder.file("stderr.log");
        let mut child = ssh
            .command(&tests, self.deadlines.run)
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&errors)?.into_file())
            .spawn()?;
        let mut log = folder.log("ktap.log")?;
        let mut parser = ktap::Parser::new();
        let stdout = child.stdout.take().context("no pipe")?;
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            log.line(&line);
            let event = parser.feed(&line);
            if !matches!(event, ktap::Event::Started | ktap::Event::Took) {
                println!("{line}");
            }
        }
        let status = child.wait()?;
        let report = parser.finish();
        checks.totals.add(report.totals());
        let good = status.success() && report.is_green();
        let why = format!(
            "{status}\n{}\n{}",
            report.problems.join("\n"),
            fs::read_to_string(errors)?
        );
        checks.say(&format!("{name}: a sample of the tests passes"), good, &why);
        Ok(())
    }

    /// Chooses the tests in GRUB's menu, as a person does at the console, and follows them.
    fn run_tests(&self, folder: &Folder, checks: &mut Checks) -> Result<()> {
        let name = self.firmware.name();
        let mut guest = self.start(free_port()?, folder)?;
        let offered = guest.shows(MENU, self.patience())?;
        let offers = format!("{name}: GRUB offers the tests");
        checks.say(&offers, offered, &guest.last_words()?);
        if offered {
            guest.types(KEY)?;
            guest.check_tests(name, self.deadlines.run, folder, checks)?;
        }
        guest.check_complaints(name, checks)?;
        ui::note(&format!("results: {}", folder.path.display()));
        Ok(())
    }
}

/// The way into a guest.
struct Ssh<'a> {
    words: Vec<String>,
    dir: &'a Path,
}

impl<'a> Ssh<'a> {
    /// By the manifest's line.
    fn new(elsewhere: &'a Elsewhere, port: u16) -> Result<Self> {
        let line = with_port(elsewhere.typed(SSH)?, port)?;
        Ok(Self {
            words: shlex::split(&line).context("unbalanced quotes")?,
            dir: elsewhere.path(),
        })
    }

    /// Runs a command in the guest.
    fn run(&self, command: &str, limit: Duration) -> Result<Output> {
        let mut command = self.command(command, limit);
        command.output().context("cannot run ssh")
    }

    fn command(&self, command: &str, limit: Duration) -> Command {
        let (program, words) = (&self.words[0], &self.words[1..]);
        let mut ssh = exec::within(limit.as_secs(), program);
        ssh.args(["-q", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"])
            .args(words)
            .arg(command)
            .current_dir(self.dir)
            .stdin(Stdio::null());
        ssh
    }
}

/// What a command has printed.
fn both(output: &Output) -> String {
    let text = [&*output.stdout, &output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A line of the manifest with another port of this machine.
fn with_port(line: &str, port: u16) -> Result<String> {
    let old = PORT.to_string();
    ensure!(line.contains(&old), "no port {old} in {line:?}");
    Ok(line.replace(&old, &port.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_port_of_a_line_is_another() {
        let line = Firmware::Bios.line(Path::new("disk.qcow2"), 1024, PORT);
        let other = with_port(&line.to_string(), 5555).unwrap();
        let expected = Firmware::Bios.line(Path::new("disk.qcow2"), 1024, 5555);
        assert_eq!(other, expected.to_string());
        assert!(with_port("ssh root@127.0.0.1", 5555).is_err());
    }
}
