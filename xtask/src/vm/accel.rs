// SPDX-License-Identifier: GPL-2.0

//! Whether KVM can be used. That `/dev/kvm` opens says little: there are machines where it makes
//! guests that die in their first second. So a guest is started once, and seen alive or not. As it may
//! be its kernel that is broken, only a second one that dies decides for all that follow.

use crate::{
    arch::Arch,
    ctx::Ctx,
    files, ui,
    vm::{
        Kernel,
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
        RecvTimeoutError,
        channel, //
    },
    thread,
    time::{
        Duration,
        Instant, //
    },
};

/// How long a guest under KVM may take to show that it lives; a second is usual.
const PATIENCE: Duration = Duration::from_secs(6);

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

    /// Learns what came of a kernel: what is wrong, or nothing if it lives.
    fn learn(&mut self, hash: String, wrong: Option<String>) {
        if let Some(reason) = wrong {
            self.reason = reason;
            self.died.insert(hash);
        } else {
            self.accel = Accel::Kvm;
        }
    }

    /// For a guest whose processor is not of this machine's architecture.
    fn another(arch: Arch) -> Self {
        Self {
            reason: format!("this machine has no processor of {arch}"),
            ..Self::unknown(String::new())
        }
    }
}

/// Finds out, or remembers; a guest without KVM is said aloud.
pub fn choose(ctx: &Ctx, kernel: &Kernel, require_kvm: bool) -> Result<Accel> {
    let answer = if kernel.arch == Arch::OWN {
        remembered_or_probed(ctx, &kernel.image)?
    } else {
        Answer::another(kernel.arch)
    };
    if answer.accel == Accel::Tcg {
        ensure!(!require_kvm, "{}", no_kvm(&answer.reason));
        ui::note(&format!(
            "no KVM ({}): QEMU's TCG, and longer deadlines",
            answer.reason
        ));
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

fn remembered_or_probed(ctx: &Ctx, kernel: &Path) -> Result<Answer> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let may_open = may_open();
    let key = format!("{} {may_open}", boot.trim());
    let path = ctx.cache("vm/accel.json");
    let known = fs::read(&path).unwrap_or_default();
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
        let wrong = probe(kernel)?;
        step.done(wrong.as_deref().unwrap_or("a guest lives"));
        answer.learn(hash, wrong);
        files::write_atomic(&path, &serde_json::to_vec_pretty(&answer)?)?;
    }
    Ok(answer)
}

/// Starts a guest under KVM; gives what is wrong, or nothing if it lives.
fn probe(kernel: &Path) -> Result<Option<String>> {
    let kernel = kernel.to_str().context("the kernel's path is not UTF-8")?;
    let append = "'console=ttyS0 earlyprintk=serial,ttyS0,115200 panic=-1'";
    let line = guest_line(kernel, append)?;
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
    let end = Instant::now() + PATIENCE;
    let wrong = wrong(|| {
        let left = end.checked_duration_since(Instant::now());
        // Also of one that never stops talking.
        receiver.recv_timeout(left.ok_or(RecvTimeoutError::Timeout)?)
    });
    let _ = child.kill();
    let _ = child.wait();
    Ok(wrong)
}

/// Listens to a guest until it is clear what becomes of it; gives what is wrong, or nothing if it
/// lives.
fn wrong(mut next: impl FnMut() -> Result<String, RecvTimeoutError>) -> Option<String> {
    let mut last = "nothing on its console".to_owned();
    let end = loop {
        let line = match next() {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => break "was not up in time",
            Err(RecvTimeoutError::Disconnected) => break "died",
        };
        if ALIVE.iter().any(|sign| line.contains(sign)) {
            return None;
        }
        if !line.trim().is_empty() {
            line.trim().clone_into(&mut last);
        }
        if line.contains("KVM internal error") {
            break "died";
        }
    };
    let last: String = last.chars().take(100).collect();
    Some(format!("a guest under it {end}; its last words: {last}"))
}

fn guest_line(kernel: &str, append: &str) -> Result<Line> {
    Line::parse(&format!(
        "qemu-system-x86_64 -machine q35 -accel kvm -cpu host -smp 2 -m 1G -nodefaults \
         -no-reboot -display none -serial stdio -kernel '{kernel}' -append {append}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_lives_when_its_kernel_is_through() {
        let heard = |lines: &[&str], end: RecvTimeoutError| {
            let mut lines = lines.iter();
            wrong(|| lines.next().map(|line| (*line).to_owned()).ok_or(end))
        };
        let quiet = RecvTimeoutError::Timeout;
        let gone = RecvTimeoutError::Disconnected;
        let panic = "VFS: Unable to mount root fs on unknown-block(0,0)";
        assert_eq!(heard(&["[0.1] Linux", panic], gone), None);
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
            let wrong = heard(lines, end).unwrap();
            assert!(wrong.contains(words), "{wrong}");
        }
    }

    #[test]
    fn one_kernel_that_dies_decides_for_itself_and_two_for_all() {
        let mut answer = Answer::unknown("a boot".to_owned());
        assert!(!answer.is_for("first"));
        answer.learn("first".to_owned(), Some("it died".to_owned()));
        assert!(answer.is_for("first") && !answer.is_for("second"));
        answer.learn("second".to_owned(), Some("it died, too".to_owned()));
        assert!(answer.is_for("third"));
        assert_eq!(
            (answer.accel, &*answer.reason),
            (Accel::Tcg, "it died, too")
        );

        let mut answer = Answer::unknown("a boot".to_owned());
        answer.learn("first".to_owned(), Some("it died".to_owned()));
        answer.learn("second".to_owned(), None);
        assert!(answer.is_for("third"));
        assert_eq!(answer.accel, Accel::Kvm);
    }
}
