// SPDX-License-Identifier: GPL-2.0

//! Long-running programs: their whole output in a file, their progress on the screen.

use crate::{
    ctx::Ctx,
    ui::Step, //
};
use anyhow::{
    Context,
    Result,
    bail, //
};
use fs_err as fs;
use object::read::elf::{
    ElfFile64,
    ProgramHeader as _, //
};
use std::{
    borrow::Cow,
    collections::VecDeque,
    env,
    ffi::OsStr,
    io::{
        BufRead as _,
        BufReader,
        Write as _, //
    },
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        Stdio, //
    },
};

/// How many of the last lines an error shows.
const LAST_LINES: usize = 15;

/// Where the logs of this checkout are.
pub fn log_path(ctx: &Ctx, name: &str) -> PathBuf {
    ctx.target.join("logs").join(format!("{name}.log"))
}

/// Runs a program to its end with stdout and stderr in `log`. Each line moves `step` on, of
/// `expected` (0: not known). Gives the number of lines; on failure the error holds the first
/// error line, the last lines and the path of the log.
pub fn logged(command: &mut Command, log: &Path, step: &Step, expected: u64) -> Result<u64> {
    if let Some(dir) = log.parent() {
        fs::create_dir_all(dir)?;
    }
    let mut file = fs::File::create(log)?;
    let words = describe(command);
    writeln!(file, "$ {words}")?;

    let (reader, writer) = std::io::pipe()?;
    command.stdin(Stdio::null());
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run {}", program(command)))?;
    // The command keeps its ends of the pipe open: without this there is no end of file.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let mut lines = 0;
    let mut first_error = None;
    let mut last = VecDeque::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line?;
        file.write_all(&line)?;
        file.write_all(b"\n")?;
        lines += 1;
        let text = String::from_utf8_lossy(&line).into_owned();
        step.at(lines, expected, text.trim());
        if first_error.is_none() && is_error(&text) {
            first_error = Some((lines, text.clone()));
        }
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(text);
    }

    let status = child.wait()?;
    if !status.success() {
        let last = last.make_contiguous().join("\n    ");
        let first = first_error.map_or_else(String::new, |(number, text)| {
            format!(
                "\n  first error (line {number} of the log): {}",
                text.trim()
            )
        });
        bail!(
            "{} failed ({status})\n  last lines:\n    {last}{first}\n  full log: {}",
            program(command),
            log.display()
        );
    }
    Ok(lines)
}

/// Whether a line of a compiler's, make's or apt's output reports an error.
fn is_error(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("error: ")
        || line.starts_with("error[")
        || line.starts_with("E: ")
        || line.starts_with("ld.lld: error")
        || line.contains(": error: ")
        || line.contains(": fatal error: ")
        || line.contains("***")
}

fn program(command: &Command) -> String {
    words(command)
        .first()
        .map_or_else(String::new, ToString::to_string)
}

/// A command line for a person to read.
pub fn describe(command: &Command) -> String {
    words(command).join(" ")
}

/// The words of a command line, without what [`bound`] puts before them.
fn words(command: &Command) -> Vec<Cow<'_, str>> {
    let words = command.get_args().map(|word| word.to_string_lossy());
    let mut words: Vec<_> = std::iter::once(command.get_program().to_string_lossy())
        .chain(words)
        .collect();
    if words[0] == SETPRIV {
        words.drain(..binding("").len());
    }
    words
}

const SETPRIV: &str = "/usr/bin/setpriv";

/// What goes before a command line so that its program gets a signal when the thread that starts it
/// ends, and so when this process does, however that is (`setpriv` is part of util-linux).
pub fn binding(signal: &str) -> Vec<&str> {
    if Path::new(SETPRIV).exists() {
        vec![SETPRIV, "--pdeathsig", signal, "--"]
    } else {
        Vec::new()
    }
}

/// A program that is told to end when this process does.
pub fn bound(program: &str) -> Command {
    let mut words = binding("TERM");
    words.push(program);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

/// A program that is ended if it takes longer than some seconds, or when this process ends: Ctrl-C
/// does not reach `timeout`, which has a process group of its own, but it hands on what it is told.
pub fn within(seconds: u64, program: impl AsRef<OsStr>) -> Command {
    let mut command = bound("timeout");
    command
        .args(["--kill-after=5", &seconds.to_string()])
        .arg(program);
    command
}

/// What runs a command that may give files to any user, and remove them: `env` for root, a user
/// namespace for others.
pub fn as_root() -> Command {
    if output("id", &["-u"]).is_some_and(|user| user == "0") {
        return Command::new("env");
    }
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--map-auto", "--"]);
    command
}

/// Whether the process of this number lives.
pub fn lives(process: u32) -> bool {
    Path::new("/proc").join(process.to_string()).exists()
}

/// cargo: the one that runs this program, if one does. `dir` says whose configuration counts.
pub fn cargo(dir: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(dir);
    cargo
}

/// A program's standard output, if it can be run and succeeds.
pub fn output(program: impl AsRef<OsStr>, args: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(args)
        // Set by cargo for xtask; it would give /usr/bin/rustc the libraries of another rustc.
        .env_remove("LD_LIBRARY_PATH")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether a program needs nothing beside itself: no loader, and so no library either.
pub fn is_static(program: &Path) -> bool {
    let needs_loader = || -> Result<bool> {
        let content = fs::read(program)?;
        let file = ElfFile64::<object::Endianness>::parse(&*content)?;
        let mut headers = file.elf_program_headers().iter();
        Ok(headers.any(|header| header.p_type(file.endian()) == object::elf::PT_INTERP))
    };
    matches!(needs_loader(), Ok(false))
}

/// What the name of a commit ends with if there is more than the commit.
pub const DIRTY: &str = "-dirty";

/// The commit that is checked out in `repo`; [`DIRTY`] if that is not all.
pub fn commit(repo: &Path) -> Option<String> {
    let repo = repo.to_str()?;
    output(
        "git",
        &["-C", repo, "describe", "--always", "--abbrev=40", "--dirty"],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::Read as _,
        thread,
        time::{
            Duration,
            Instant, //
        },
    };

    #[test]
    fn errors_are_told_from_names() {
        assert!(is_error("net/core/filter.c:12:3: error: expected ';'"));
        assert!(is_error("error[E0425]: cannot find value `x`"));
        assert!(is_error(
            "make[3]: *** [scripts/Makefile.build:373: x.o] Error 1"
        ));
        assert!(!is_error("  CC      lib/errname.o"));
        assert!(!is_error("  RUSTC L rust/core.o"));
    }

    #[test]
    fn what_is_limited_ends_with_who_started_it() {
        // `timeout` does not know its child yet when it has just made it: it has to wait for it.
        const SCRIPT: &str = "until grep -q '^State:.S' /proc/$PPID/status; do :; done
            echo begun
            exec sleep 60";

        let from = Instant::now();
        // The thread ends as this process would.
        let started = thread::spawn(|| {
            let mut sleep = within(60, "sh");
            sleep.args(["-c", SCRIPT]);
            let mut child = sleep.stdout(Stdio::piped()).spawn().unwrap();
            let mut output = BufReader::new(child.stdout.take().unwrap());
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            assert_eq!(line, "begun\n");
            (child, output)
        });
        let (mut child, mut output) = started.join().unwrap();
        // Until the last that could write has ended.
        output.read_to_end(&mut Vec::new()).unwrap();
        assert!(!child.wait().unwrap().success());
        assert!(from.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn an_error_names_the_program_and_not_what_binds_it() {
        let mut make = bound("make");
        make.arg("all");
        assert_eq!((&*program(&make), &*describe(&make)), ("make", "make all"));
    }

    #[test]
    fn a_failure_names_the_first_error_and_the_log() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let log = dir.path().join("log");
        let mut awk = Command::new("awk");
        awk.arg(r#"BEGIN { print "a"; print "f.c:1: error: bad"; print "z"; exit 2 }"#);
        let error = logged(&mut awk, &log, &Step::new("test"), 3).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("first error (line 2 of the log): f.c:1: error: bad"),
            "{text}"
        );
        assert!(text.contains(&log.display().to_string()));
        assert!(fs::read_to_string(&log)?.ends_with("a\nf.c:1: error: bad\nz\n"));
        Ok(())
    }

    #[test]
    fn what_needs_a_loader_is_not_static() -> Result<()> {
        const INTERP: u8 = 3;
        const LOAD: u8 = 1;
        let dir = tempfile::tempdir()?;
        // A program that is all headers: its own, and one of a segment.
        let program = |is_big: bool, kind: u8| -> Result<bool> {
            let mut bytes = vec![0; 64 + 56];
            let mut set = |at: usize, value: u8| bytes[at + usize::from(is_big)] = value;
            // Where the headers of segments are, how long one is, how many there are.
            set(if is_big { 38 } else { 32 }, 64);
            for (at, value) in [(52, 64), (54, 56), (56, 1)] {
                set(at, value);
            }
            set(if is_big { 66 } else { 64 }, kind);
            bytes[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1 + u8::from(is_big), 1]);
            let path = dir.path().join("program");
            fs::write(&path, bytes)?;
            Ok(is_static(&path))
        };
        for is_big in [false, true] {
            assert!(program(is_big, LOAD)?);
            assert!(!program(is_big, INTERP)?);
        }
        assert!(!is_static(&env::current_exe()?));
        assert!(!is_static(&dir.path().join("no such file")));
        Ok(())
    }
}
