// SPDX-License-Identifier: GPL-2.0

//! The results folder: everything that a person or a CI needs to look at a run again.

mod html;
mod junit;

use crate::{
    complaints::Complaint,
    ctx::Ctx,
    exec,
    files,
    ui,
    verdict::{
        Outcome,
        RUN_ITSELF,
        Verdict, //
    },
    vm::guest::Record, //
};
use anyhow::Result;
use fs_err as fs;
use ktap::Status;
use serde_json::json;
use std::{
    env,
    io::{
        ErrorKind,
        Write as _, //
    },
    path::{
        Path,
        PathBuf, //
    },
    time::{
        Duration,
        SystemTime, //
    },
};

/// How many folders of earlier runs that passed are kept, and how many of others.
const KEPT: usize = 20;

/// The file that saves a folder from being cleaned up.
pub const KEEP: &str = "keep";

/// A link to the folder of the last run.
const LATEST: &str = "latest";

/// The results for programs.
const RESULTS: &str = "results.json";

/// The run as a page.
const PAGE: &str = "report.html";

/// What [`Folder::finish`] writes: the page last, which names all files.
const AT_END: [&str; 7] = [
    "console.log",
    "dmesg.log",
    "qemu.log",
    RESULTS,
    "junit.xml",
    "summary.txt",
    PAGE,
];

/// How much of a command's output is kept.
const MOST: usize = 16 << 20;

/// The folder of one run.
pub struct Folder {
    pub path: PathBuf,
}

impl Folder {
    /// Makes a new one among the results, or takes the one that was asked for.
    pub fn new(ctx: &Ctx, what: &str, asked: Option<&Path>, keep: bool) -> Result<Self> {
        let path = if let Some(path) = asked {
            std::path::absolute(path)?
        } else {
            clean_up(&ctx.results);
            let [date, time] = now().map(|part| part.replace(['-', ':'], ""));
            let name = format!("{date}-{time}-{what}-{}", std::process::id());
            ctx.results.join(name)
        };
        fs::create_dir_all(&path)?;
        // Those of an earlier run, in a folder that is used again, would be taken for this one's.
        for name in AT_END {
            match fs::remove_file(path.join(name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        if keep {
            fs::write(path.join(KEEP), "")?;
        }
        if asked.is_none() {
            let latest = ctx.results.join(LATEST);
            let _ = fs::remove_file(&latest);
            // Two runs at once: whoever is last is the latest.
            let _ = std::os::unix::fs::symlink(&path, &latest);
        }
        Ok(Self { path })
    }

    /// Lets it be cleaned up although it was to be kept.
    pub fn let_go(&self) -> Result<()> {
        match fs::remove_file(self.file(KEEP)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a log that is written as the run goes on.
    pub fn log(&self, name: &str) -> Result<Log> {
        let file = fs::File::create(self.file(name))?;
        Ok(Log { file, room: MOST })
    }

    /// Writes all that is known at the end.
    pub fn finish(
        &self,
        verdict: &Verdict,
        record: &Record,
        times: &Times,
        about: &About,
    ) -> Result<()> {
        let [console, dmesg, qemu, results, junit, text, page] = AT_END.map(|name| self.file(name));
        fs::write(console, &record.console)?;
        fs::write(dmesg, &record.facts.log)?;
        fs::write(qemu, &record.qemu)?;
        fs::write(results, json(verdict, times)?)?;
        fs::write(junit, junit::xml(verdict, times)?)?;
        fs::write(text, summary(verdict, record, times, &self.path))?;
        let files = files::list(&self.path)?;
        let files: Vec<_> = files
            .iter()
            .filter_map(|path| path.to_str())
            .filter(|name| ![KEEP, PAGE].contains(name))
            .map(str::to_owned)
            .collect();
        fs::write(page, html::page(verdict, record, times, about, &files)?)?;
        Ok(())
    }
}

/// What a reader of the page is told of a run.
pub struct About {
    /// The command, as it was typed.
    pub what: String,
    /// When it began.
    pub when: String,
    /// What it ran on, by names.
    pub facts: Vec<(&'static str, String)>,
    /// The kernel's configuration.
    pub config: String,
}

/// This command, as it was typed.
pub fn typed() -> String {
    let words: Vec<_> = env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    format!("cargo xtask {}", quoted(&words))
}

/// A command line for a shell.
pub fn quoted(words: &[String]) -> String {
    let quoted = shlex::try_join(words.iter().map(String::as_str));
    quoted.unwrap_or_else(|_| words.join(" "))
}

/// A log that must not stop the run if the disk is full.
#[derive(Debug)]
pub struct Log {
    file: fs::File,
    /// How much more of what comes in pieces is taken.
    room: usize,
}

impl Log {
    pub fn line(&mut self, line: &str) {
        let _ = writeln!(self.file, "{line}");
    }

    /// A piece of what may be of any size: the first of it is kept.
    pub fn piece(&mut self, bytes: &[u8]) {
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        let _ = self.file.write_all(&bytes[..taken]);
    }
}

/// How long the parts of a run took, in their order.
#[derive(Debug, Default)]
pub struct Times(pub Vec<(&'static str, Duration)>);

impl Times {
    pub fn add(&mut self, what: &'static str, time: Duration) {
        self.0.push((what, time));
    }

    pub fn total(&self) -> Duration {
        self.0.iter().map(|(_, time)| time).sum()
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (what, time) in &self.0 {
            write!(f, "{what} {}, ", ui::seconds(*time))?;
        }
        write!(f, "total {}", ui::seconds(self.total()))
    }
}

/// What a person reads at the end of a run; the line that counts is printed after it.
pub fn summary(verdict: &Verdict, record: &Record, times: &Times, folder: &Path) -> String {
    let mut text = String::new();
    let mut say = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    for complaint in &verdict.complaints {
        say(&excerpt(complaint));
    }
    if verdict.outcome >= Outcome::Lost && verdict.complaints.is_empty() {
        let last: Vec<_> = record.console.lines().rev().take(15).collect();
        say("the last of the console:");
        last.iter()
            .rev()
            .for_each(|line| say(&format!("    {line}")));
        record
            .qemu
            .lines()
            .for_each(|line| say(&format!("    qemu: {line}")));
    }
    for case in verdict
        .tests
        .iter()
        .filter(|case| case.status == Status::Failed)
    {
        say(&format!("FAILED {}", case.name));
        let (more, shown) = end_of(&case.text);
        if more > 0 {
            say(&format!(
                "    ({more} lines before these are in the ktap.log)"
            ));
        }
        for line in shown {
            say(&format!("    {line}"));
        }
    }
    for line in &verdict.passed_over {
        say(&format!("passed over: {line}"));
    }
    if !verdict.passed_over.is_empty() {
        say(&format!(
            "passed over: {} in all",
            verdict.passed_over.len()
        ));
    }
    for note in &record.facts.notes {
        say(&format!("guest: {note}"));
    }
    for problem in &verdict.problems {
        say(&format!("PROBLEM {problem}"));
    }
    if let Some(slowest) = slowest(verdict) {
        say(&slowest);
    }
    say(&format!("times: {times}"));
    say(&format!("results: {}", folder.display()));
    if verdict.failed.iter().any(|name| name == RUN_ITSELF) {
        say(&format!(
            "FAILED {RUN_ITSELF}: no single test, but the run as a whole"
        ));
    }
    if verdict.outcome != Outcome::Passed {
        say(&format!(
            "exit status {}: {}",
            verdict.status(),
            verdict.word()
        ));
    }
    text
}

/// What took the most of the time, where many tests ran.
fn slowest(verdict: &Verdict) -> Option<String> {
    const MANY: usize = 20;
    const SHOWN: usize = 5;

    let mut all: Vec<_> = verdict
        .tests
        .iter()
        .filter_map(|case| Some((case.took?, case.name.as_str())))
        .collect();
    if all.len() < MANY {
        return None;
    }
    all.sort_by_key(|(took, _)| std::cmp::Reverse(*took));
    let all: Vec<_> = all
        .iter()
        .take(SHOWN)
        .map(|(took, name)| format!("{name} {}", ui::seconds(*took)))
        .collect();
    Some(format!("slowest: {}", all.join(", ")))
}

fn excerpt(complaint: &Complaint) -> String {
    let mut text = format!(
        "KERNEL {} ({}:{})",
        complaint.kind, complaint.file, complaint.line
    );
    for line in &complaint.excerpt {
        text.push_str("\n  > ");
        text.push_str(line);
    }
    text
}

fn json(verdict: &Verdict, times: &Times) -> Result<String> {
    let tests: Vec<_> = verdict
        .tests
        .iter()
        .map(|case| {
            json!({
                "name": case.name,
                "status": word(case.status),
                "seconds": case.took.map(|took| took.as_secs_f64()),
                "text": case.text,
            })
        })
        .collect();
    let complaints: Vec<_> = verdict
        .complaints
        .iter()
        .map(|found| json!({ "kind": found.kind, "line": found.line, "excerpt": found.excerpt }))
        .collect();
    let times: serde_json::Map<_, _> = times
        .0
        .iter()
        .map(|(what, time)| ((*what).to_owned(), json!(time.as_secs_f64())))
        .collect();
    Ok(serde_json::to_string_pretty(&json!({
        "outcome": verdict.outcome as u8,
        "outcome_text": verdict.word(),
        "passed": verdict.totals.passed,
        "failed": verdict.totals.failed,
        "skipped": verdict.totals.skipped,
        "tests": tests,
        "complaints": complaints,
        "problems": verdict.problems,
        "passed_over": verdict.passed_over,
        "seconds": times,
    }))?)
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Passed => "passed",
        Status::Failed => "failed",
        Status::Skipped => "skipped",
        Status::ExpectedFailure => "expected failure",
    }
}

/// Removes all folders of runs but those that are to be kept, and those of runs that are not over;
/// gives how many these are. What else is there stays, and the directory with it: it may be one
/// that has other things in it.
pub fn remove_all(results: &Path) -> Result<usize> {
    if !results.exists() {
        return Ok(0);
    }
    let mut kept = 0;
    for entry in fs::read_dir(results)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_symlink() && entry.file_name() == LATEST {
            fs::remove_file(path)?;
        } else if kind.is_dir() && is_of_run(&path) {
            if path.join(KEEP).exists() || in_use(&path) {
                kept += 1;
            } else {
                fs::remove_dir_all(path)?;
            }
        }
    }
    if fs::read_dir(results)?.next().is_none() {
        fs::remove_dir(results)?;
    }
    Ok(kept)
}

/// Whether a folder has a name as [`Folder::new`] makes them: the date, the time, what runs, and
/// the number of the process.
fn is_of_run(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut words = name.split('-');
    let mut is_number = |length: usize| {
        let word = words.next().unwrap_or_default();
        word.len() == length && word.bytes().all(|byte| byte.is_ascii_digit())
    };
    is_number(8)
        && is_number(6)
        && words.next().is_some()
        && (words.next_back())
            .is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Removes the oldest folders: names begin with the time, so their order is that of time. Those of
/// runs that failed, or did not say how they ended, take no place from those that passed, and the
/// other way round: one may want to look at a failure after many runs more.
fn clean_up(results: &Path) {
    let Ok(entries) = fs::read_dir(results) else {
        return;
    };
    let mut folders: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| is_of_run(path) && path.is_dir())
        .filter(|path| !path.join(KEEP).exists() && !in_use(path))
        .collect();
    folders.sort();
    let (passed, others): (Vec<_>, Vec<_>) = folders.into_iter().partition(|path| passed(path));
    for folders in [passed, others] {
        let extra = folders.len().saturating_sub(KEPT);
        for folder in folders.into_iter().take(extra) {
            // Another run may be doing the same.
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// Whether the run of a folder has passed.
fn passed(folder: &Path) -> bool {
    let text = fs::read_to_string(folder.join(RESULTS)).unwrap_or_default();
    let results: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    results["outcome"] == Outcome::Passed as u8
}

/// Whether another process, whose number is in the folder's name, is still at work in it. This
/// one is done with all that it has made before.
fn in_use(folder: &Path) -> bool {
    let name = folder.to_string_lossy();
    let process = name.rsplit('-').next().and_then(|word| word.parse().ok());
    process.is_some_and(|process| process != std::process::id() && exec::lives(process))
}

/// The date and the time (UTC), as `2026-11-24` and `04:15:00`.
pub fn now() -> [String; 2] {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let (date, time) = now.split_once('T').unwrap_or((&now, ""));
    [date.to_owned(), time.trim_end_matches('Z').to_owned()]
}

/// The end of what a test said, where it says why it failed, and how many lines are before it.
fn end_of(text: &[String]) -> (usize, &[String]) {
    const SHOWN: usize = 20;
    let more = text.len().saturating_sub(SHOWN);
    (more, &text[more..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_long_output_the_end_is_shown() {
        let text = |lines: usize| (0..lines).map(|line| line.to_string()).collect::<Vec<_>>();
        assert_eq!(end_of(&text(2)), (0, &text(2)[..]));
        assert_eq!(end_of(&text(50)), (30, &text(50)[30..]));
    }

    /// No process has a number above 4194304.
    const ENDED: u32 = 4_194_305;

    #[test]
    fn what_failed_and_what_still_runs_does_not_go_for_what_passed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = |number: usize, process: u32, outcome: Option<u8>| {
            let path = dir
                .path()
                .join(format!("20260101-{number:06}-run-{process}"));
            fs::create_dir(&path).unwrap();
            if let Some(outcome) = outcome {
                let text = json!({ "outcome": outcome }).to_string();
                fs::write(path.join(RESULTS), text).unwrap();
            }
            path
        };
        let runs = folder(0, std::os::unix::process::parent_id(), None);
        let failed = folder(1, ENDED, Some(1));
        let killed = folder(2, ENDED, None);
        let mine = folder(3, std::process::id(), Some(0));
        let passed: Vec<_> = (4..4 + KEPT)
            .map(|number| folder(number, ENDED, Some(0)))
            .collect();
        clean_up(dir.path());
        assert!(runs.exists() && failed.exists() && killed.exists());
        assert!(passed.iter().all(|path| path.exists()));
        assert!(!mine.exists());
        for number in 100..100 + KEPT {
            folder(number, ENDED, Some(2));
        }
        clean_up(dir.path());
        assert!(!failed.exists() && !killed.exists());
        assert!(runs.exists() && passed.iter().all(|path| path.exists()));
    }

    #[test]
    fn the_oldest_go_first_and_what_is_kept_never() {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<_> = (0..KEPT + 3)
            .map(|number| format!("20260101-{number:06}-run-{ENDED}"))
            .collect();
        for name in &names {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::create_dir(dir.path().join("mine")).unwrap();
        fs::write(dir.path().join(&names[1]).join(KEEP), "").unwrap();
        clean_up(dir.path());
        let gone = |name: &&String| !dir.path().join(name).exists();
        let gone: Vec<_> = names.iter().filter(gone).collect();
        assert_eq!(gone, [&names[0], &names[2]]);
        assert!(dir.path().join("mine").exists());
    }

    #[test]
    fn what_is_of_no_run_stays_and_its_directory_too() {
        let dir = tempfile::tempdir().unwrap();
        let results = dir.path().join("results");
        let ctx = Ctx {
            results: results.clone(),
            ..Ctx::in_dir(dir.path()).unwrap()
        };
        let others = [
            "mine",
            "2024-photos",
            "20240101-photos",
            "20240101-120000-photos",
            "20240101-120000-7",
            "3",
        ];
        for name in others {
            fs::create_dir_all(results.join(name)).unwrap();
            fs::write(results.join(name).join("file"), "").unwrap();
        }
        fs::write(results.join("thesis.pdf"), "").unwrap();
        let folder = Folder::new(&ctx, "vm-test-debug", None, false).unwrap();
        assert!(results.join(LATEST).is_symlink());
        assert_eq!(remove_all(&results).unwrap(), 0);
        assert!(!folder.path.exists() && !results.join(LATEST).is_symlink());
        let left = files::list(&results).unwrap();
        assert_eq!(left.len(), others.len() + 1, "{left:?}");
        fs::remove_dir_all(&results).unwrap();
        Folder::new(&ctx, "run", None, false).unwrap();
        remove_all(&results).unwrap();
        assert!(!results.exists());
    }

    #[test]
    fn a_folder_is_kept_if_that_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        for keep in [false, true] {
            let asked = dir.path().join(keep.to_string());
            let ctx = Ctx::in_dir(dir.path()).unwrap();
            let folder = Folder::new(&ctx, "run", Some(&asked), keep).unwrap();
            assert_eq!(folder.file(KEEP).exists(), keep);
            folder.let_go().unwrap();
            assert!(!folder.file(KEEP).exists());
        }
    }

    #[test]
    fn a_folder_that_is_used_again_says_nothing_of_the_run_before() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = Ctx::in_dir(dir.path()).unwrap();
        let asked = dir.path().join("asked");
        let folder = Folder::new(&ctx, "run", Some(&asked), false).unwrap();
        for name in AT_END.iter().chain(&["mine"]) {
            fs::write(folder.file(name), "").unwrap();
        }
        Folder::new(&ctx, "run", Some(&asked), false).unwrap();
        assert_eq!(files::list(&asked).unwrap(), [PathBuf::from("mine")]);
    }

    #[test]
    fn of_what_has_no_end_the_first_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = Ctx::in_dir(dir.path()).unwrap();
        let folder = Folder::new(&ctx, "run", Some(dir.path()), false).unwrap();
        let mut log = folder.log("output.log").unwrap();
        log.piece(b"\xff\0 no text");
        log.piece(&vec![b'a'; MOST]);
        log.piece(b"more");
        let kept = fs::read(folder.file("output.log")).unwrap();
        assert!(kept.starts_with(b"\xff\0 no texta"));
        assert_eq!(kept.len(), MOST);
    }

    #[test]
    fn what_is_made_now_has_a_name_that_is_cleaned_up() {
        let [date, time] = now().map(|part| part.replace(['-', ':'], ""));
        assert_eq!((date.len(), time.len()), (8, 6));
        assert!(is_of_run(Path::new(&format!("{date}-{time}-run-1"))));
    }
}
