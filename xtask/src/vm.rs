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
pub mod terminal;

pub use crate::build::Kernel;

use crate::{
    arch::Arch,
    build,
    ctx::Ctx,
    flavour::{
        self,
        Flavour, //
    },
    image,
    needs::Group,
    report::Folder,
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
    vm::{
        accel::Accel,
        deadlines::Deadlines,
        line::Line, //
    },
};
use anyhow::{
    Context,
    Result,
    anyhow,
    bail, //
};
use fs_err as fs;
use std::{
    env, iter,
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        Stdio, //
    },
};

/// Which kernel a VM runs: what every command can be told that starts one.
#[derive(clap::Args)]
pub struct Choice {
    /// Which configuration of the kernel.
    #[arg(long, default_value = flavour::DEFAULT)]
    pub flavour: Flavour,
    /// Take the kernel and the programs as the last build left them.
    #[arg(long)]
    pub no_build: bool,
}

/// [`Choice`], for commands whose guest can be of any architecture.
#[derive(clap::Args)]
pub struct AnyChoice {
    #[command(flatten)]
    kernel: flavour::Choice,
    /// Take the kernel and the programs as the last build left them.
    #[arg(long)]
    pub no_build: bool,
    /// With the files of the small image (`cargo xtask image initramfs`) and none of this machine;
    /// of another architecture it is always so.
    #[arg(long)]
    image: bool,
}

impl AnyChoice {
    pub fn flavour(&self) -> Result<Flavour> {
        self.kernel.flavour()
    }

    /// [`parts`], from the image if that is asked for.
    pub fn parts(&self, ctx: &Ctx, flavour: &Flavour) -> Result<(Kernel, Programs, Root)> {
        if !self.image && flavour.arch() == Arch::OWN {
            let (kernel, programs) = parts(ctx, flavour, self.no_build)?;
            return Ok((kernel, programs, Root::Host));
        }
        let image = if self.no_build {
            image::latest(ctx, flavour)?
        } else {
            image::make(ctx, flavour, false)?
        };
        Ok((image.kernel, image.programs, Root::Image(image.initramfs)))
    }
}

/// Builds what a VM needs, or takes what the last build left.
pub fn parts(ctx: &Ctx, flavour: &Flavour, no_build: bool) -> Result<(Kernel, Programs)> {
    flavour.must_boot()?;
    let groups = [Group::Build, Group::Vm];
    if no_build {
        setup::require(ctx, &groups)?;
        let kernel = build::latest(ctx, flavour)?;
        userspace::warn(ctx)?;
        return Ok((kernel, userspace::built(ctx)));
    }
    setup::possible(ctx, &groups)?;
    // Side by side: what is brought, and a kernel that is built from nothing, leave a processor idle
    // for minutes.
    let (repo, target) = (&ctx.repo, &ctx.target);
    std::thread::scope(|scope| {
        let programs = scope.spawn(|| userspace::build(repo, target));
        setup::require(ctx, &groups)?;
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
        userspace::build(&ctx.repo, &ctx.target)
    }
}

/// Where a guest has its files from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// The root of this machine.
    Host,
    /// An initramfs.
    Image(PathBuf),
}

/// Processors of a guest. Two, so that races have a chance to show.
const CPUS: u32 = 2;

/// What tells the programs in a guest, also those that a person starts, how slow it is.
pub const TIME_SCALE: &str = "INETCR_TIME_SCALE";

/// The image with its job, in the folder of a run.
pub const INITRAMFS: &str = "initramfs.cpio";

/// What kind of machine.
#[derive(Debug, Clone)]
pub struct Machine {
    pub arch: Arch,
    /// The kernel image.
    pub kernel: PathBuf,
    /// The name of its configuration.
    pub flavour: String,
    /// With or without the processor's help.
    pub accel: Accel,
    /// What the deadlines of programs are to be multiplied by.
    pub time_scale: u32,
    /// Processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory: u32,
    /// Which messages of the kernel come to the console: 7 for all that is not for debugging.
    pub loglevel: u8,
    /// More parameters for the kernel.
    pub parameters: Vec<String>,
    /// Where the files are.
    pub root: Root,
    /// `vminit`, where the files are.
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
            arch: kernel.arch,
            kernel: kernel.image.clone(),
            flavour: flavour.name().to_owned(),
            accel,
            time_scale: Deadlines::new(accel, flavour).factor,
            cpus: CPUS,
            memory: flavour.memory(),
            loglevel: 7,
            parameters: Vec::new(),
            root: Root::Host,
            init: programs.get("vminit")?.clone(),
        })
    }

    /// Leaves out the tests in the kernel.
    pub fn without_kunit(mut self) -> Self {
        self.parameters.push("kunit.enable=0".to_owned());
        self
    }

    /// Puts the guest into an image, if that is the root.
    pub fn on(mut self, root: Root) -> Self {
        self.root = root;
        self
    }

    /// The directory of the person, for a job, if the guest has it.
    pub fn host_dir(&self) -> Result<Option<PathBuf>> {
        Ok(match self.root {
            Root::Host => Some(env::current_dir()?),
            Root::Image(_) => None,
        })
    }

    /// The command line of QEMU for this machine and a job, without ways out. What the guest reads
    /// is put into the folder of the run.
    pub fn line(&self, ctx: &Ctx, job: &Job, folder: &Folder) -> Result<Line> {
        let mut job = job.clone();
        job.environment
            .push((TIME_SCALE.to_owned(), self.time_scale.to_string()));
        let file = folder.file("job");
        fs::write(&file, job.text()?)?;
        let (mut line, file) = match &self.root {
            Root::Host => (self.described(ctx)?, plain(&file)?.to_owned()),
            Root::Image(image) => {
                let initramfs = folder.file(INITRAMFS);
                image::with_job(image, &job, &initramfs)?;
                let mut line =
                    base_line(self.arch, &self.kernel, &initramfs, self.memory, self.cpus)?;
                line.add("-display", Some("none"));
                if self.accel == Accel::Kvm {
                    line.add("-accel", Some("kvm"));
                }
                (line, image::JOB.to_owned())
            }
        };
        line.machine_only(self.arch.guest()?.ports);
        line.set_kernel_parameters(&self.kernel_parameters(&file)?);
        Ok(line)
    }

    /// The machine as virtme-ng describes it.
    fn described(&self, ctx: &Ctx) -> Result<Line> {
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
        Line::parse(&described)
            .with_context(|| format!("virtme-run gave no command line: {}", errors.trim()))
    }

    fn kernel_parameters(&self, job: &str) -> Result<Vec<String>> {
        let mut parameters = vec![format!("loglevel={}", self.loglevel)];
        parameters.extend(self::parameters(self.arch)?);
        parameters.push(format!("vminit.job={job}"));
        parameters.extend(self.parameters.iter().cloned());
        if self.root == Root::Host {
            // virtme-ng leaves this to a fallback that a kernel without block devices lacks.
            parameters.push("root=/dev/root".to_owned());
            // Without caching each page of each program crosses to the host again.
            parameters.push(
                "rootflags=version=9p2000.L,trans=virtio,access=any,msize=524288,cache=loose"
                    .to_owned(),
            );
            parameters.push(format!("init={}", plain(&self.init)?));
        }
        Ok(parameters)
    }
}

/// What the kernel of every guest is told.
fn parameters(arch: Arch) -> Result<Vec<String>> {
    let guest = arch.guest()?;
    // A kernel that died ends its VM at once.
    let all = ["panic=-1", "oops=panic"].iter().chain(guest.parameters);
    let all = all.map(|&word| word.to_owned());
    Ok(iter::once(format!("console={}", guest.console))
        .chain(all)
        .collect())
}

/// The command line of QEMU that boots an image, for a person: the console is the terminal. The
/// kernel may be told `more`.
pub fn boot_line(
    arch: Arch,
    kernel: &Path,
    initramfs: &Path,
    memory: u32,
    more: &[&str],
) -> Result<Line> {
    let mut line = base_line(arch, kernel, initramfs, memory, CPUS)?;
    line.add("-nographic", None);
    line.add("-no-reboot", None);
    let mut parameters = parameters(arch)?;
    let ours = ["loglevel=5", "kunit.enable=0"].iter().chain(more);
    parameters.extend(ours.map(|&word| word.to_owned()));
    line.add("-append", Some(&parameters.join(" ")));
    Ok(line)
}

fn base_line(arch: Arch, kernel: &Path, initramfs: &Path, memory: u32, cpus: u32) -> Result<Line> {
    let guest = arch.guest()?;
    let mut line = Line::new(guest.qemu);
    line.add("-machine", Some(guest.machine));
    line.add("-cpu", Some(guest.cpu));
    line.add("-smp", Some(&cpus.to_string()));
    line.add("-m", Some(&format!("{memory}M")));
    line.add("-nic", Some("none"));
    line.add("-kernel", Some(&kernel.to_string_lossy()));
    line.add("-initrd", Some(&initramfs.to_string_lossy()));
    Ok(line)
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

    /// What `vminit` reads.
    pub fn text(&self) -> Result<String> {
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
        let escaped = |line: String| {
            let line = line.replace('\\', "\\\\");
            line.replace('\n', "\\n").replace('\r', "\\r") + "\n"
        };
        Ok(lines.into_iter().map(escaped).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_all_of_a_line() {
        let mut job = Job::new(Path::new("/bin/echo"), ["a\r", "b\nc\\n"]);
        job.environment = vec![("A".to_owned(), "\r".to_owned())];
        assert_eq!(
            job.text().unwrap(),
            "run /bin/echo\narg a\\r\narg b\\nc\\\\n\nenv A=\\r\n"
        );
    }

    #[test]
    fn a_flavour_that_does_not_boot_is_refused_at_once() {
        let empty = tempfile::tempdir().unwrap();
        let ctx = Ctx::in_dir(empty.path()).unwrap();
        let series = Flavour::named(flavour::SERIES).unwrap();
        let errors = [
            parts(&ctx, &series, true).err(),
            image::latest(&ctx, &series).err(),
        ];
        for error in errors {
            let error = error.unwrap();
            assert!(error.to_string().contains("cannot boot"), "{error:#}");
        }
    }
}
