// SPDX-License-Identifier: GPL-2.0

//! Whether the disk image boots on BIOS and on UEFI by the lines that are printed, and the tests pass
//! in it. The image is not changed by that.

use super::{
    Image,
    boot::{
        self,
        Firmware, //
    },
};
use crate::{
    checks::Checks,
    complaints,
    ctx::Ctx,
    flavour::Flavour,
    report::Folder,
    ui::{
        self,
        Step, //
    },
    vm::{
        accel::{
            self,
            Accel, //
        },
        deadlines::Deadlines,
        qemu, //
    },
};
use anyhow::{
    Context,
    Result, //
};
use fs_err as fs;
use std::{
    io::{
        BufRead as _,
        BufReader, //
    },
    net::TcpListener,
    path::PathBuf,
    process::{
        Child,
        Command,
        ExitCode,
        Output,
        Stdio, //
    },
    thread,
    time::{
        Duration,
        Instant, //
    },
};

/// What the console shows when somebody is logged in there.
const PROMPT: &str = "root@inetcr:~#";

/// How often is looked whether something has come to pass.
const PAUSE: Duration = Duration::from_millis(200);

/// How much longer firmware, boot loader and Debian take than a kernel with our init.
const DEBIAN: u32 = 4;

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

pub fn run(ctx: &Ctx, image: &Image, flavour: &Flavour) -> Result<ExitCode> {
    let accel = accel::choose(ctx, &image.kernel, false)?;
    let mut checks = Checks::default();
    for firmware in Firmware::ALL {
        let folder = Folder::new(ctx, &format!("image-disk-{}", firmware.name()), None, false)?;
        let guest = Guest::start(image, flavour, accel, firmware, folder)?;
        guest.check(&mut checks)?;
    }
    Ok(checks.end())
}

/// A guest that boots from the image.
struct Guest {
    qemu: Child,
    started: Instant,
    firmware: Firmware,
    deadlines: Deadlines,
    /// How long it may take to get somewhere.
    patience: Duration,
    ssh: Vec<String>,
    console: PathBuf,
    folder: Folder,
}

impl Guest {
    fn start(
        image: &Image,
        flavour: &Flavour,
        accel: Accel,
        firmware: Firmware,
        folder: Folder,
    ) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut line = firmware.line(&image.disk, flavour.memory(), port);
        if accel == Accel::Kvm {
            line.add("-accel", Some("kvm"));
        }
        line.add("-snapshot", None);
        line.add("-no-reboot", None);
        fs::write(folder.file("qemu.txt"), format!("{line}\n"))?;
        let console = folder.file("console.log");
        let file = fs::File::create(&console)?.into_file();
        let qemu = qemu::command(&line)
            // QEMU takes the end of its input for nothing; a terminal it would change.
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .context("cannot start QEMU: `cargo xtask doctor` says what is missing")?;
        let deadlines = Deadlines::new(accel, flavour);
        Ok(Self {
            qemu,
            started: Instant::now(),
            firmware,
            deadlines,
            patience: deadlines.boot * DEBIAN,
            ssh: boot::ssh(&image.key, port),
            console,
            folder,
        })
    }

    fn check(mut self, checks: &mut Checks) -> Result<()> {
        let name = self.firmware.name();
        let step = Step::new(&format!("boot the image by {name}"));
        let there = self.wait(self.patience, |guest| Ok(guest.console()?.contains(PROMPT)))?;
        let time = step.done(if there { "logged in" } else { "no prompt" });
        let in_time = format!("{name}: boots to a prompt on the console");
        checks.say(&in_time, there, &self.last_words()?);
        if there {
            ui::note(&format!("{name}: a prompt after {}", ui::seconds(time)));
        }
        // sshd makes its key at the first boot, while somebody is logged in already.
        let reached = there
            && self.wait(self.patience, |guest| {
                Ok(guest.run("true")?.status.success())
            })?;
        checks.say(
            &format!("{name}: ssh lets in"),
            reached,
            &self.last_words()?,
        );
        if reached {
            for (what, command) in STATES {
                let output = self.run(command)?;
                let why =
                    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
                checks.say(&format!("{name}: {what}"), output.status.success(), &why);
            }
            self.run_tests(checks)?;
            self.run("systemctl poweroff")?;
        }
        let ended = reached && self.wait(self.patience, Guest::has_ended)?;
        let powers_off = format!("{name}: powers off");
        checks.say(&powers_off, ended, &self.last_words()?);
        let (found, _) = complaints::scan(&self.console()?, "console.log");
        let kinds: Vec<_> = found.iter().map(|complaint| complaint.kind).collect();
        let quiet = format!("{name}: the kernel does not complain");
        checks.say(&quiet, kinds.is_empty(), &kinds.join("\n"));
        ui::note(&format!("results: {}", self.folder.path.display()));
        Ok(())
    }

    /// Runs a sample of the tests in the guest, and counts them.
    fn run_tests(&self, checks: &mut Checks) -> Result<()> {
        let name = self.firmware.name();
        let tests = format!(
            "ROUNDTRIP_TIME_SCALE={} roundtrip --quick",
            self.deadlines.factor
        );
        let limit = self.deadlines.run;
        let errors = self.folder.file("stderr.log");
        let mut child = self
            .command(&tests, limit)
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&errors)?.into_file())
            .spawn()?;
        let mut log = self.folder.log("ktap.log")?;
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
        checks.say(&format!("{name}: the tests pass"), good, &why);
        Ok(())
    }

    /// Runs a command in the guest.
    fn run(&self, command: &str) -> Result<Output> {
        let mut command = self.command(command, self.patience);
        command.output().context("cannot run ssh")
    }

    fn command(&self, command: &str, limit: Duration) -> Command {
        let mut ssh = Command::new("timeout");
        ssh.args(["--kill-after=5", &limit.as_secs().to_string()])
            .args(&self.ssh[..1])
            .args(["-q", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"])
            .args(&self.ssh[1..])
            .arg(command)
            .stdin(Stdio::null());
        ssh
    }

    /// Waits until something is so, or the guest has ended, or the time is over; says whether it is
    /// so.
    fn wait(
        &mut self,
        limit: Duration,
        mut is_so: impl FnMut(&mut Self) -> Result<bool>,
    ) -> Result<bool> {
        let from = Instant::now();
        loop {
            if is_so(self)? {
                return Ok(true);
            }
            if from.elapsed() > limit || self.has_ended()? {
                return Ok(false);
            }
            thread::sleep(PAUSE);
        }
    }

    fn has_ended(&mut self) -> Result<bool> {
        Ok(self.qemu.try_wait()?.is_some())
    }

    fn console(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.console)?).into_owned())
    }

    /// The end of what the console shows.
    fn last_words(&self) -> Result<String> {
        let console = self.console()?;
        let lines: Vec<_> = console.lines().collect();
        let last = lines.len().saturating_sub(15);
        Ok(format!(
            "after {}\n{}",
            ui::seconds(self.started.elapsed()),
            lines[last..].join("\n")
        ))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}
