// SPDX-License-Identifier: GPL-2.0

//! Whether rust-analyzer knows what an editor needs in the files of ours.
//!
//! It is asked for its diagnostics twice: of the files where they are, in which there is nothing
//! that it does not know, and of copies with a mistake in each. It can only see that one if it
//! knows the file, the crate that it is in, and a type of the kernel's crate with its methods: what
//! a completion or a way to a definition needs, too.

use super::{
    Kernel,
    Ours,
    PROJECT, //
};
use crate::{
    checks::Checks,
    ctx::Ctx,
    exec, files,
    ui::{
        self,
        Step, //
    },
};
use anyhow::{
    Context,
    Result,
    ensure, //
};
use fs_err as fs;
use std::{
    collections::BTreeSet,
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        ExitCode,
        Stdio, //
    },
};

/// The mistake, and what has to be said of it.
const MISTAKE: &str = "\nconst _: fn(&kernel::net::sock::Sock) = |sock| sock.mistake();\n";
const SAID: &str = "no method `mistake` on type `&Sock`";

/// The root of the kernel's crate with the copies.
const ROOT: &str = ".rust-analyzer-check.rs";

/// Types that do not match. rust-analyzer does not follow each conversion as rustc does, so that it
/// sees some where there are none; it has to know both types to say so.
const TYPES: &str = "E0308";

pub fn run(ctx: &Ctx, kernel: &Kernel) -> Result<ExitCode> {
    let mut checks = Checks::default();
    let errors = errors(ctx, &ctx.repo, "what is here")?;
    let unknown: Vec<_> = errors
        .iter()
        .filter(|error| error.path.starts_with(&ctx.repo) && error.code != TYPES)
        .map(|error| error.to_string(&ctx.repo))
        .collect();
    checks.say(
        "it knows everything in ours",
        unknown.is_empty(),
        &unknown.join("\n"),
    );

    let copy = tempfile::Builder::new()
        .prefix("inetcr-editor-")
        .tempdir()?;
    let made = copy_with_mistakes(&ctx.repo, copy.path())?;
    kernel.write(&Ours::in_dir(copy.path()), ROOT, &copy.path().join(PROJECT))?;
    let errors = self::errors(ctx, copy.path(), "copies with mistakes");
    fs::remove_file(kernel.source.join(ROOT))?;
    let found: BTreeSet<_> = errors?
        .into_iter()
        .filter(|error| error.text == SAID)
        .map(|error| error.path)
        .collect();
    let missed: Vec<_> = made
        .difference(&found)
        .map(|path| format!("nothing is said of it in {}", ui::short(copy.path(), path)))
        .collect();
    let what = format!("it finds a mistake in each of {} files", made.len());
    checks.say(
        &what,
        missed.is_empty() && !made.is_empty(),
        &missed.join("\n"),
    );
    Ok(checks.end())
}

/// Copies the files of ours, puts the mistake into each, and gives the copies.
fn copy_with_mistakes(from: &Path, to: &Path) -> Result<BTreeSet<PathBuf>> {
    let (from, to) = (Ours::in_dir(from), Ours::in_dir(to));
    let mut made = BTreeSet::new();
    for (from, to) in [(from.kernel, to.kernel), (from.subsystem, to.subsystem)] {
        for path in files::list(&from)? {
            if path.extension().is_none_or(|end| end != "rs") {
                continue;
            }
            let text = fs::read_to_string(from.join(&path))?;
            let path = to.join(path);
            files::write_if_changed(&path, (text + MISTAKE).as_bytes())?;
            made.insert(path);
        }
    }
    Ok(made)
}

/// An error that rust-analyzer sees.
#[derive(Debug, PartialEq, Eq)]
struct Error {
    path: PathBuf,
    line: u64,
    code: String,
    text: String,
}

impl Error {
    fn to_string(&self, repo: &Path) -> String {
        let (path, line) = (ui::short(repo, &self.path), self.line);
        format!("{path}:{line}: {} ({})", self.text, self.code)
    }
}

/// What rust-analyzer says of the project in a folder. It takes a minute.
fn errors(ctx: &Ctx, project: &Path, what: &str) -> Result<Vec<Error>> {
    let version = exec::output("rust-analyzer", &["--version"]).unwrap_or_default();
    let step = Step::new(&format!("look at {what} as {} does", version.trim()));
    let log = exec::log_path(ctx, "rust-analyzer-diagnostics");
    let file = fs::File::create(&log)?.into_file();
    // It fails where it finds errors, and there are some in the kernel that are its own.
    Command::new("rust-analyzer")
        .args(["diagnostics", "--severity", "error"])
        .arg(project)
        // cargo's, in which the server that runs the macros would find the libraries of another rustc.
        .env_remove("LD_LIBRARY_PATH")
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .context("cannot run rust-analyzer")?;
    let said = fs::read_to_string(&log)?;
    ensure!(
        said.contains("diagnostic scan complete"),
        "rust-analyzer did not come to an end: see {}",
        log.display()
    );
    let errors: Vec<_> = said.lines().filter_map(error).collect();
    step.done(&format!("{} errors", errors.len()));
    Ok(errors)
}

/// Reads a line of `rust-analyzer diagnostics`, which also has the progress in it.
fn error(line: &str) -> Option<Error> {
    let (_, rest) = line.rsplit_once("at crate ")?;
    let (_, rest) = rest.split_once(", file ")?;
    let (path, rest) = rest.split_once(": Error ")?;
    let (code, rest) = rest.split_once(" from LineCol { line: ")?;
    let (line, rest) = rest.split_once(',')?;
    let (_, text) = rest.split_once("}: ")?;
    Some(Error {
        path: path.into(),
        // It counts from 0.
        line: line.parse::<u64>().ok()? + 1,
        code: code.split('"').nth(1).unwrap_or(code).to_owned(),
        text: text.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says_is_understood() {
        let line = "7/255 2% processing /a/time.rs\u{8}\u{8}  \u{8}\u{8}at crate ours, file \
                    /a/time.rs: Error RustcHardError(\"E0599\") from LineCol { line: 199, col: 5 } \
                    to LineCol { line: 199, col: 9 }: no method `x` on type `&S`";
        let found = error(line).expect("an error");
        assert_eq!(
            found.to_string(Path::new("/a")),
            "time.rs:200: no method `x` on type `&S` (E0599)"
        );
        assert_eq!(error("8/255 3% processing /a/b.rs"), None);
    }
}
