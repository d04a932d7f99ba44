// SPDX-License-Identifier: GPL-2.0

//! `gdb`: the kernel under a debugger.

mod check;

use crate::{
    config,
    ctx::Ctx,
    files,
    flavour::Flavour,
    needs::Group,
    report::Folder,
    setup, shell, ui,
    vm::{
        self,
        Job,
        Kernel,
        Machine,
        accel,
        deadlines::Deadlines,
        line::{
            End,
            Line, //
        },
        qemu, //
    },
};
use anyhow::{
    Context,
    Result,
    bail,
    ensure, //
};
use fs_err as fs;
use std::{
    io::IsTerminal as _,
    os::unix::process::CommandExt as _,
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        ExitCode, //
    },
};

/// How deep gdb goes into a structure that it prints. What we have to print points to tables, and
/// gdb 13 dies of the pointers to functions in them (an `Option` of one that is something).
const DEPTH: u32 = 4;

/// The flavour with what a debugger needs.
const FLAVOUR: &str = "gdb";

/// How gdb shows the types of the kernel crate.
const PRINTERS: &str = include_str!("gdb/printers.py");

/// What the help ends with.
const EXAMPLES: &str = "\
Examples:
  cargo xtask gdb --break af_inet_cr::dump::dump
  cargo xtask gdb -- roundtrip --filter 'options::priority::*'
  cargo xtask gdb --shell               # gdb in another terminal";

/// Starts the kernel in a VM under gdb.
///
/// gdb has the symbols of the kernel and the kernel's own scripts (`help lx`), shows what a `KVec`,
/// `KBox`, `Arc` or `CString` has in it, and the guest stands at `start_kernel`. What the command in it writes comes out between what gdb prints (without a
/// terminal it goes to a file, as the console always does). To end the VM, leave gdb.
///
/// With `--break af_inet_cr::dump::dump` it comes to a prompt where the first socket is being
/// dumped. In a frame in Rust gdb finds nothing that is in C, which the kernel's scripts need: say
/// `set language c` before them there.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Which configuration of the kernel: one with the kernel's scripts for gdb (`GDB_SCRIPTS`).
    #[arg(long, default_value = FLAVOUR)]
    flavour: Flavour,
    /// Take the kernel and the programs as the last build left them.
    #[arg(long)]
    no_build: bool,
    /// Set a breakpoint and let the kernel run until there; can be given several times.
    #[arg(long = "break", value_name = "LOCATION")]
    breaks: Vec<String>,
    /// Do what this file of gdb commands says, and end (gdb's --batch). It begins at
    /// `start_kernel`, or with --break at the first breakpoint.
    #[arg(long, value_name = "FILE", value_parser = files::named())]
    script: Option<PathBuf>,
    /// Give this terminal to a shell in the guest, with the keys of `cargo xtask shell`, and print
    /// the command that starts gdb in another one.
    #[arg(long, conflicts_with_all = ["breaks", "script", "command"])]
    shell: bool,
    /// Check that gdb stops where a socket is being dumped, and knows what it sees there.
    #[arg(long, conflicts_with_all = ["breaks", "script", "shell", "command"])]
    check: bool,
    /// What runs in the guest [default: demo, which dumps and restores sockets].
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub fn run(ctx: &Ctx, args: &Args) -> Result<ExitCode> {
    setup::require(ctx, &[Group::Debug])?;
    if args.shell {
        shell::need_terminal()?;
    } else if args.script.is_none() && !args.check && !std::io::stdin().is_terminal() {
        bail!("gdb needs a terminal; --script FILE does without");
    }
    // Before a build, which takes long.
    ensure!(
        config::asks(&args.flavour, "GDB_SCRIPTS")?,
        "the flavour {} does not ask for the kernel's scripts for gdb (GDB_SCRIPTS): the flavour \
         gdb does, see images/gdb.config",
        args.flavour
    );
    let (kernel, programs) = vm::parts(ctx, &args.flavour, args.no_build)?;
    let accel = accel::choose(ctx, &kernel, &args.flavour, false)?;
    let mut machine = Machine::new(&kernel, &programs, &args.flavour, accel)?.without_kunit();
    // Symbols are where they were linked to.
    machine.parameters.push("nokaslr".to_owned());
    let folder = Folder::new(ctx, "gdb", None, false)?;
    if args.shell {
        return beside_a_shell(
            &kernel,
            &folder,
            shell::line(ctx, machine, &programs, &folder)?,
        );
    }

    let demo = programs.get("demo")?.to_string_lossy().into_owned();
    let mut words = args.command.iter();
    let mut job = Job::new(Path::new(words.next().unwrap_or(&demo)), words);
    job.environment = vec![("PATH".to_owned(), programs.path())];
    job.dir = machine.host_dir()?;
    let mut line = machine.line(ctx, &job, &folder)?;
    line.add_console("console", End::File(&folder.file("console.log")));
    line.add_port("inetcr.ctl", "ctl", End::File(&folder.file("vminit.log")));
    let output = output(args, &folder)?;
    for (port, id) in [("inetcr.out", "out"), ("inetcr.err", "err")] {
        line.add_port(port, id, End::File(&output));
    }
    let start = start_file(&kernel, &folder, line, Stub::Pipe)?;
    ui::note(&format!(
        "console: {}",
        ui::short(&ctx.repo, &folder.file("console.log"))
    ));
    if args.check {
        let deadlines = Deadlines::new(accel, &args.flavour);
        return check::run(&start, &output, &folder, deadlines.run);
    }
    let mut gdb = gdb(&start, &args.breaks, args.script.as_deref());
    // gdb takes the place of this program, so that Ctrl-C is for it alone.
    Err(gdb.exec()).context("cannot start gdb")
}

/// Where what the command writes goes: to the terminal that gdb is on, or to a file.
fn output(args: &Args, folder: &Folder) -> Result<PathBuf> {
    if std::io::stdout().is_terminal() && !args.check {
        return Ok(fs::read_link("/proc/self/fd/1")?);
    }
    let file = folder.file("output.log");
    fs::write(&file, "")?;
    Ok(file)
}

/// How gdb reaches QEMU.
#[derive(Clone, Copy)]
enum Stub<'a> {
    /// It starts it, and the two end together.
    Pipe,
    /// A socket.
    Socket(&'a Path),
}

/// The terminal is the guest's, and gdb comes from another one.
fn beside_a_shell(kernel: &Kernel, folder: &Folder, mut line: Line) -> Result<ExitCode> {
    // The path of a socket must be short.
    let dir = tempfile::Builder::new().prefix("inetcr-gdb-").tempdir()?;
    let socket = dir.path().join("gdb");
    let start = start_file(kernel, folder, line.clone(), Stub::Socket(&socket))?;
    line.add("-S", None);
    line.add(
        "-gdb",
        Some(&format!("unix:{},server=on,wait=off", socket.display())),
    );
    ui::note("the guest waits. In another terminal:");
    println!("gdb -x {}", start.display());
    shell::enter(&line, folder, kernel.arch)
}

/// gdb with a file to begin with, and what it does then: it lets the kernel run to a breakpoint, and
/// follows a script to its end.
fn gdb<S: AsRef<str>>(start: &Path, breaks: &[S], script: Option<&Path>) -> Command {
    let mut gdb = Command::new("gdb");
    // Set by cargo for us; Python in gdb would take libraries from there.
    gdb.env_remove("LD_LIBRARY_PATH");
    gdb.args(["-q", "-nx", "-x"]).arg(start);
    // It does all of this in the order in which it is told it.
    for location in breaks {
        gdb.arg("-ex").arg(format!("break {}", location.as_ref()));
    }
    if !breaks.is_empty() {
        gdb.args(["-ex", "continue"]);
    }
    if let Some(script) = script {
        gdb.arg("--batch").arg("-x").arg(script);
    }
    gdb
}

/// Writes what gdb does first: it loads the kernel with its scripts, and lets it run to where
/// memory is mapped as the symbols say.
fn start_file(kernel: &Kernel, folder: &Folder, mut line: Line, stub: Stub<'_>) -> Result<PathBuf> {
    let target = match stub {
        Stub::Pipe => {
            line.add("-S", None);
            line.add("-gdb", Some("stdio"));
            fs::write(folder.file("qemu.txt"), format!("{line}\n"))?;
            format!("| exec {}", qemu::for_shell(&line)?)
        }
        Stub::Socket(socket) => socket.display().to_string(),
    };
    let image = kernel.image.display();
    let scripts = kernel.image.with_file_name("");
    let printers = folder.file("printers.py");
    fs::write(&printers, PRINTERS)?;
    let text = format!(
        "set confirm off\n\
         set print pretty on\n\
         set print max-depth {DEPTH}\n\
         source {}\n\
         add-auto-load-safe-path {}\n\
         file {image}\n\
         target remote {target}\n\
         thbreak start_kernel\n\
         continue\n",
        printers.display(),
        scripts.display()
    );
    let path = folder.file("start.gdb");
    fs::write(&path, text)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_script_that_is_not_there_is_missed_before_a_build() {
        let parsed = |file| Typed::try_parse_from(["gdb", "--script", file]);
        let script = parsed("Cargo.toml").unwrap().args.script.unwrap();
        assert!(script.is_absolute());
        let error = parsed("no-such-file").err().unwrap().to_string();
        assert!(error.contains("no-such-file"), "{error}");
    }
}
