// SPDX-License-Identifier: GPL-2.0

//! Virtual machines: virtme-ng describes the machine, this module starts, watches and ends it.
//!
//! virtme-ng gives the command line for QEMU: the host's root over 9p, the processor, the devices.
//! It is not left to run QEMU itself, because what it offers for a script mixes the script's
//! output with the console and cannot tell a guest that was lost from one that failed. The
//! console and the job's output leave the guest on ways of their own (see [`guest`]), and the
//! first process is `vminit`, which starts in a tenth of the time of virtme-ng's own.

pub mod accel;
pub mod deadlines;
pub mod facts;
pub mod guest;
pub mod line;
pub mod qemu;
pub mod run;

pub use crate::build::Kernel;

use crate::{
    build,
    ctx::Ctx,
    flavour::Flavour,
    needs::Group,
    setup,
    tools::{
        self,
        VIRTME_NG, //
    },
    ui::Step,
    userspace::{
        self,
        Programs, //
    },
    vm::accel::Accel, //
};
use anyhow::{
    Context,
    Result,
    anyhow,
    bail, //
};
use fs_err as fs;
use std::{
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        Stdio, //
    },
};

/// Builds what a VM needs, or takes what the last build left.
pub fn parts(ctx: &Ctx, flavour: &Flavour, no_build: bool) -> Result<(Kernel, Programs)> {
    // Before the build, which takes long, and not after it.
    setup::require(ctx, &[Group::Build, Group::Vm])?;
    if no_build {
        return Ok((build::latest(ctx, flavour)?, userspace::built(ctx)));
    }
    // Side by side: a kernel that is built from nothing leaves a processor idle for minutes.
    let repo = &ctx.repo;
    std::thread::scope(|scope| {
        let programs = scope.spawn(|| userspace::build(repo));
        let kernel = build::kernel(ctx, flavour)?;
        let step = Step::new("build the programs for the guest");
        let programs = programs.join().map_err(|_| anyhow!("a panic"))??;
        step.done("");
        Ok((kernel, programs))
    })
}

/// Builds the programs for the guest, or takes those of the last build.
pub fn programs(ctx: &Ctx, no_build: bool) -> Result<Programs> {
    if no_build {
        Ok(userspace::built(ctx))
    } else {
        userspace::build(&ctx.repo)
    }
}

/// What kind of machine.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The kernel image.
    pub kernel: PathBuf,
    /// With or without the processor's help.
    pub accel: Accel,
    /// Processors. Two, so that races have a chance to show.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory: u32,
    /// Which messages of the kernel come to the console: 7 for all that is not for debugging.
    pub loglevel: u8,
    /// More parameters for the kernel.
    pub parameters: Vec<String>,
    /// `vminit`, on the host.
    pub init: PathBuf,
}

impl Machine {
    /// The machine for a flavour of the kernel.
    pub fn new(
        kernel: &Kernel,
        programs: &Programs,
        flavour: &Flavour,
        accel: Accel,
    ) -> Result<Self> {
        Ok(Self {
            kernel: kernel.image.clone(),
            accel,
            cpus: 2,
            memory: flavour.memory(),
            loglevel: 7,
            parameters: Vec::new(),
            init: programs.get("vminit")?.clone(),
        })
    }

    /// Leaves out the tests in the kernel.
    pub fn without_kunit(mut self) -> Self {
        self.parameters.push("kunit.enable=0".to_owned());
        self
    }

    /// The command line of QEMU for this machine and a job in the file `job`, without ways out.
    pub fn line(&self, ctx: &Ctx, job: &Path) -> Result<line::Line> {
        let virtme = tools::virtme_ng(ctx).join("bin/virtme-run");
        if !virtme.exists() {
            bail!(
                "virtme-ng {VIRTME_NG} is missing ({}): run `cargo xtask setup`",
                virtme.display()
            );
        }
        let mut command = Command::new(&virtme);
        command.arg("--kimg").arg(&self.kernel);
        command.args([
            "--mods",
            "none",
            "--force-9p",
            "--disable-microvm",
            "--disable-monitor",
        ]);
        command.args(["--memory", &format!("{}M", self.memory)]);
        command.args(["--cpus", &self.cpus.to_string()]);
        if self.accel == Accel::Tcg {
            command.arg("--disable-kvm");
        }
        let output = command
            .args(["--dry-run", "--show-command"])
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {}", virtme.display()))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("virtme-run --dry-run failed: {}", errors.trim());
        }
        let described = String::from_utf8_lossy(&output.stdout);
        let mut line = line::Line::parse(&described)
            .with_context(|| format!("virtme-run gave no command line: {}", errors.trim()))?;
        line.machine_only();
        line.set_kernel_parameters(&self.kernel_parameters(job)?);
        Ok(line)
    }

    fn kernel_parameters(&self, job: &Path) -> Result<Vec<String>> {
        let mut parameters = vec![
            "console=ttyS0".to_owned(),
            // virtme-ng leaves this to a fallback that a kernel without block devices lacks.
            "root=/dev/root".to_owned(),
            // Without caching each page of each program crosses to the host again.
            "rootflags=version=9p2000.L,trans=virtio,access=any,msize=524288,cache=loose"
                .to_owned(),
            format!("loglevel={}", self.loglevel),
            // A kernel that died ends its VM at once.
            "panic=-1".to_owned(),
            "oops=panic".to_owned(),
            // While the boot processor is identified, its features are cleared for a moment. An
            // interrupt then makes KASAN, which asks for LA57 each time, take good addresses for
            // wild ones.
            "no5lvl".to_owned(),
            format!("vminit.job={}", plain(job)?),
        ];
        parameters.extend(self.parameters.iter().cloned());
        parameters.push(format!("init={}", plain(&self.init)?));
        Ok(parameters)
    }
}

/// A path as the kernel's command line can hold it.
fn plain(path: &Path) -> Result<&str> {
    let text = path
        .to_str()
        .filter(|text| !text.contains([' ', '"', '\t', '\n']));
    text.with_context(|| {
        format!(
            "{} has a space or a quote in it: the kernel's command line cannot name it",
            path.display()
        )
    })
}

/// What a VM is started for.
#[derive(Debug, Clone, Default)]
pub struct Job {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// What its environment has beside the usual.
    pub environment: Vec<(String, String)>,
    /// Where it runs; `/tmp` if that is nothing.
    pub dir: Option<PathBuf>,
    /// Whether a person sits at the console.
    pub console: bool,
    /// Whether what it has started and left behind is ended with it.
    pub end_rest: bool,
    /// Whether leaks of memory are looked for afterwards.
    pub kmemleak: bool,
}

impl Job {
    /// Runs one program.
    pub fn new<I, S>(program: &Path, arguments: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        let mut command = vec![program.to_string_lossy().into_owned()];
        command.extend(arguments.into_iter().map(Into::into));
        Self {
            command,
            ..Self::default()
        }
    }

    /// Writes the file that `vminit` reads.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut words = self.command.iter();
        let mut lines = vec![format!(
            "run {}",
            words.next().context("a job without a program")?
        )];
        lines.extend(words.map(|word| format!("arg {word}")));
        lines.extend(
            self.environment
                .iter()
                .map(|(name, value)| format!("env {name}={value}")),
        );
        if let Some(dir) = &self.dir {
            let dir = dir.to_str().context("a directory that is not UTF-8")?;
            lines.push(format!("dir {dir}"));
        }
        lines.extend(self.console.then(|| "console".to_owned()));
        lines.extend(self.end_rest.then(|| "end-rest".to_owned()));
        lines.extend(self.kmemleak.then(|| "kmemleak".to_owned()));
        // A value is all of its line.
        let escaped = |line: String| line.replace('\\', "\\\\").replace('\n', "\\n") + "\n";
        fs::write(path, lines.into_iter().map(escaped).collect::<String>())?;
        Ok(())
    }
}
