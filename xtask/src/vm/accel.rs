// SPDX-License-Identifier: GPL-2.0

//! Whether KVM can be used. That `/dev/kvm` opens says little: there are machines where it makes
//! guests that die in their first second. So a guest is started once, and seen alive or not. As it may
//! be its kernel that is broken, only a second one that dies decides for all that follow, and one
//! that ends in a panic of its own decides nothing.

use crate::{
    arch::Arch,
    ctx::Ctx,
    files,
    flavour::Flavour,
    ui,
    vm::{
        Kernel,
        deadlines::Deadlines,
        line::Line,
        qemu, //
    },
};
use anyhow::{
    Context,
    Result,
    ensure, //
};
use fs_err as fs;
use serde::{
    Deserialize,
    Serialize, //
};
use std::{
    collections::BTreeSet,
    io::{
        BufRead as _,
        BufReader, //
    },
    path::Path,
    process::Stdio,
    sync::mpsc::{
        Receiver,
        RecvTimeoutError,
        channel, //
    },
    thread,
    time::{
        Duration,
        Instant, //
    },
};

/// Where what was found is kept.
const FILE: &str = "vm/accel.json";

/// What the kernel prints when it is through its start, with or without a root to mount.
const ALIVE: [&str; 3] = [
    "Unable to mount root",
    "Freeing unused kernel",
    "No working init",
];

/// What drives a guest's processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// The host's processor.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

impl Accel {
    /// As a person calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "KVM",
            Self::Tcg => "TCG",
        }
    }
}

/// What probes found, and where that holds.
#[derive(Clone, Serialize, Deserialize)]
struct Answer {
    key: String,
    accel: Accel,
    reason: String,
    /// The kernels that did not live under KVM, by their hashes.
    died: BTreeSet<String>,
    /// Whether it is for now only, and nothing has to be removed to have KVM tried again.
    #[serde(skip)]
    passing: bool,
}

/// After so many kernels that did not live under KVM no other is tried.
const ENOUGH: usize = 2;

impl Answer {
    /// Before anything was tried.
    fn unknown(key: String) -> Self {
        Self {
            key,
            accel: Accel::Tcg,
            reason: "/dev/kvm cannot be opened".to_owned(),
            died: BTreeSet::new(),
            passing: true,
        }
    }

    /// Whether it is one for all kernels.
    fn is_final(&self) -> bool {
        self.accel == Accel::Kvm || self.died.len() >= ENOUGH
    }

    /// Whether it is one for a kernel of this hash.
    fn is_for(&self, hash: &str) -> bool {
        self.is_final() || self.died.contains(hash)
    }

    /// Learns what came of a kernel.
    fn learn(&mut self, hash: &str, seen: Seen) {
        self.passing = matches!(seen, Seen::Panicked(_));
        match seen {
            Seen::Alive => self.accel = Accel::Kvm,
            Seen::Panicked(reason) => self.reason = reason,
            Seen::Dead(reason) => {
                self.reason = reason;
                self.died.insert(hash.to_owned());
            }
        }
    }

    /// Why there is no KVM, and what has it tried again.
    fn why(&self, file: &Path) -> String {
        let again = if self.passing {
            String::new()
        } else {
            format!("; remove {} to try again", file.display())
        };
        format!("{}{again}", self.reason)
    }

    /// What is said at each start: one line, and so without what a guest said last.
    fn note(&self, file: &Path) -> String {
        let why = if self.passing {
            let (why, _) = self
                .reason
                .split_once(LAST_WORDS)
                .unwrap_or((&self.reason, ""));
            why.to_owned()
        } else {
            format!("no guest lived under KVM (rm {} to retry)", file.display())
        };
        format!("QEMU's TCG, longer deadlines: {why}")
    }

    /// For a guest whose processor is not of this machine's architecture.
    fn another(arch: Arch) -> Self {
        Self {
            reason: format!("this machine has no processor of {arch}"),
            ..Self::unknown(String::new())
        }
    }
}

/// Finds out, or remembers, and says which it is.
pub fn choose(ctx: &Ctx, kernel: &Kernel, flavour: &Flavour, require_kvm: bool) -> Result<Accel> {
    let file = ctx.cache(FILE);
    let answer = if kernel.arch == Arch::OWN {
        remembered_or_probed(&file, &kernel.image, flavour)?
    } else {
        Answer::another(kernel.arch)
    };
    match answer.accel {
        Accel::Kvm => ui::note("KVM: this machine's processor runs the guest"),
        Accel::Tcg => {
            ensure!(!require_kvm, "{}", no_kvm(&answer.why(&file)));
            ui::note(&answer.note(&file));
        }
    }
    Ok(answer.accel)
}

/// Refuses `--require-kvm` where that can be told without a kernel.
pub fn may_be_required(arch: Arch) -> Result<()> {
    ensure!(
        arch == Arch::OWN,
        "{}",
        no_kvm(&Answer::another(arch).reason)
    );
    ensure!(
        may_open(),
        "{}",
        no_kvm("/dev/kvm cannot be opened: is it there, and are you of its group?")
    );
    Ok(())
}

fn no_kvm(reason: &str) -> String {
    format!("--require-kvm, but KVM is of no use here: {reason}; without the option it is emulated")
}

fn may_open() -> bool {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).open("/dev/kvm").is_ok()
}

fn remembered_or_probed(file: &Path, kernel: &Path, flavour: &Flavour) -> Result<Answer> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let may_open = may_open();
    let key = format!("{} {may_open}", boot.trim());
    let known = fs::read(file).unwrap_or_default();
    let mut answer = serde_json::from_slice::<Answer>(&known)
        .ok()
        .filter(|answer| answer.key == key)
        .unwrap_or_else(|| Answer::unknown(key));
    if !may_open || answer.is_final() {
        return Ok(answer);
    }
    let hash = files::sha256_file(kernel)?;
    if !answer.is_for(&hash) {
        let step = ui::Step::new("try KVM");
        let seen = probe(kernel, Deadlines::new(Accel::Kvm, flavour).boot)?;
        step.done(match &seen {
            Seen::Alive => "a guest lives",
            Seen::Panicked(reason) | Seen::Dead(reason) => reason,
        });
        answer.learn(&hash, seen);
        if answer.is_for(&hash) {
            files::write_atomic(file, &serde_json::to_vec_pretty(&answer)?)?;
        }
    }
    Ok(answer)
}

/// What came of a guest under KVM, and by what that was seen.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Alive,
    /// Its kernel ended itself, as it may do anywhere.
    Panicked(String),
    Dead(String),
}

/// Starts a guest under KVM, and waits as long as one may take to boot.
fn probe(kernel: &Path, patience: Duration) -> Result<Seen> {
    let kernel = kernel.to_str().context("the kernel's path is not UTF-8")?;
    let line = guest_line(kernel)?;
    let (reader, writer) = std::io::pipe()?;
    let mut command = qemu::command(&line);
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = command.spawn().context("cannot start QEMU")?;
    drop(command);
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
            if sender
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
        }
    });
    let end = Instant::now() + patience;
    let seen = watch(|| {
        next(&receiver, end, || {
            let _ = child.kill();
        })
    });
    let _ = child.kill();
    let _ = child.wait();
    Ok(seen)
}

/// The next line of a guest. When the time is over, what it has said by then still counts: this
/// process may have had no turn to hear it. That has an end, as the guest is stopped first.
fn next(
    lines: &Receiver<String>,
    end: Instant,
    stop: impl FnOnce(),
) -> Result<String, RecvTimeoutError> {
    let left = end.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        match lines.recv_timeout(left) {
            Err(RecvTimeoutError::Timeout) => {}
            heard => return heard,
        }
    }
    stop();
    lines.recv().map_err(|_| RecvTimeoutError::Timeout)
}

/// What stands before what a guest said last.
const LAST_WORDS: &str = "; its last words: ";

/// Listens to a guest until it is clear what becomes of it.
fn watch(mut next: impl FnMut() -> Result<String, RecvTimeoutError>) -> Seen {
    let mut last = "nothing on its console".to_owned();
    let (seen, end): (fn(String) -> Seen, _) = loop {
        let line = match next() {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => break (Seen::Dead, "was not up in time"),
            Err(RecvTimeoutError::Disconnected) => break (Seen::Dead, "died"),
        };
        if ALIVE.iter().any(|sign| line.contains(sign)) {
            return Seen::Alive;
        }
        if !line.trim().is_empty() {
            line.trim().clone_into(&mut last);
        }
        if line.contains("Kernel panic") {
            break (Seen::Panicked, "panicked");
        }
        if line.contains("KVM internal error") {
            break (Seen::Dead, "died");
        }
    };
    let last: String = last.chars().take(100).collect();
    seen(format!("a guest under KVM {end}{LAST_WORDS}{last}"))
}

fn guest_line(kernel: &str) -> Result<Line> {
    // Its own tests would take their time.
    Line::parse(&format!(
        "qemu-system-x86_64 -machine q35 -accel kvm -cpu host -smp 2 -m 1G -nodefaults \
         -no-reboot -display none -serial stdio -kernel '{kernel}' -append \
         'console=ttyS0 earlyprintk=serial,ttyS0,115200 panic=-1 kunit.enable=0'"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_lives_when_its_kernel_is_through() {
        let heard = |lines: &[&str], end: RecvTimeoutError| {
            let mut lines = lines.iter();
            watch(|| lines.next().map(|line| (*line).to_owned()).ok_or(end))
        };
        let quiet = RecvTimeoutError::Timeout;
        let gone = RecvTimeoutError::Disconnected;
        let panic =
            "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)";
        assert_eq!(heard(&["[0.1] Linux", panic], gone), Seen::Alive);
        let own = "[0.2] Kernel panic - not syncing: stack-protector";
        let seen = heard(&["[0.1] Linux", own, "more"], gone);
        assert!(
            matches!(&seen, Seen::Panicked(why) if why.ends_with(own)),
            "{seen:?}"
        );
        for (lines, end, words) in [
            (
                &[][..],
                quiet,
                "was not up in time; its last words: nothing",
            ),
            (
                &["[0.1] Linux", " "],
                gone,
                "died; its last words: [0.1] Linux",
            ),
            (
                &["KVM internal error. Suberror: 1", panic],
                quiet,
                "died; its last words: KVM int",
            ),
        ] {
            let seen = heard(lines, end);
            assert!(
                matches!(&seen, Seen::Dead(why) if why.contains(words)),
                "{seen:?}"
            );
        }
    }

    #[test]
    fn what_was_said_in_time_counts_when_it_is_heard_late() {
        let seen = |lines: &[&str]| {
            let (sender, receiver) = channel();
            let mut sender = Some(sender);
            // Nothing of it has been read when the time is over.
            let mut stop = || {
                if let Some(sender) = sender.take() {
                    for line in lines {
                        sender.send((*line).to_owned()).unwrap();
                    }
                }
            };
            let end = Instant::now() + Duration::from_millis(1);
            watch(|| next(&receiver, end, &mut stop))
        };
        assert_eq!(seen(&["[0.1] Linux", "Freeing unused kernel"]), Seen::Alive);
        for lines in [&[][..], &["[0.1] Linux"]] {
            let seen = seen(lines);
            assert!(
                matches!(&seen, Seen::Dead(why) if why.contains("was not up in time")),
                "{seen:?}"
            );
        }
    }

    #[test]
    fn what_is_said_at_each_start_is_one_short_line() {
        let words = "x".repeat(1000);
        let heard = |line: &str| {
            let line = format!("{line}{words}");
            let mut lines = std::iter::once(line);
            watch(|| lines.next().ok_or(RecvTimeoutError::Timeout))
        };
        let file = Path::new("/home/somebody/.cache/af-inet-cr/vm/accel.json");
        for line in ["Kernel panic - not syncing: ", "[0.1] Linux"] {
            let mut answer = Answer::unknown("a boot".to_owned());
            answer.learn("first", heard(line));
            let note = answer.note(file);
            assert!(note.len() < 120 && !note.contains(line), "{note}");
            assert!(answer.why(file).contains(line));
        }
    }

    #[test]
    fn one_kernel_that_dies_decides_for_itself_and_two_for_all() {
        let mut answer = Answer::unknown("a boot".to_owned());
        let file = Path::new("accel.json");
        assert!(!answer.is_for("first"));
        for kernel in ["one", "two", "three"] {
            answer.learn(kernel, Seen::Panicked("it gave up".to_owned()));
            assert!(!answer.is_for(kernel));
        }
        assert_eq!(answer.why(file), "it gave up");
        answer.learn("first", Seen::Dead("it died".to_owned()));
        assert!(answer.is_for("first") && !answer.is_for("second"));
        let again = "it died; remove accel.json to try again";
        assert_eq!(answer.why(file), again);
        assert!(answer.note(file).contains("rm accel.json"));
        let read = serde_json::to_vec(&answer).unwrap();
        let read: Answer = serde_json::from_slice(&read).unwrap();
        assert_eq!(read.why(file), again);
        // Nothing is kept of one that ends itself, also if another has died before.
        answer.learn("another", Seen::Panicked("it gave up".to_owned()));
        assert_eq!(answer.why(file), "it gave up");
        assert!(!answer.note(file).contains("rm accel.json"));
        answer.learn("second", Seen::Dead("it died, too".to_owned()));
        assert!(answer.is_for("third"));
        assert_eq!(
            (answer.accel, &*answer.reason),
            (Accel::Tcg, "it died, too")
        );

        let mut answer = Answer::unknown("a boot".to_owned());
        answer.learn("first", Seen::Dead("it died".to_owned()));
        answer.learn("second", Seen::Alive);
        assert!(answer.is_for("third"));
        assert_eq!(answer.accel, Accel::Kvm);
    }

    #[test]
    fn a_kernel_does_not_test_itself_while_it_is_looked_at() {
        let line = guest_line("/a kernel").unwrap();
        let words = line.words();
        assert!(words.contains(&"/a kernel"));
        assert!(words.last().unwrap().ends_with("kunit.enable=0"));
    }
}
