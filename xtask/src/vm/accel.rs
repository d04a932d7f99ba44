// SPDX-License-Identifier: GPL-2.0

//! Whether KVM can be used. That `/dev/kvm` opens says little: there are machines where it makes
//! guests that die in their first second. So a guest is started once, and seen alive or not.

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
    bail, //
};
use fs_err as fs;
use serde::{
    Deserialize,
    Serialize, //
};
use std::{
    io::{
        BufRead as _,
        BufReader, //
    },
    path::Path,
    process::Stdio,
    sync::mpsc::channel,
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

/// What a probe found, and where that holds.
#[derive(Serialize, Deserialize)]
struct Answer {
    key: String,
    accel: Accel,
    reason: String,
}

impl Answer {
    /// For a guest whose processor is not of this machine's architecture.
    fn another(arch: Arch) -> Self {
        Self {
            key: String::new(),
            accel: Accel::Tcg,
            reason: format!("this machine has no processor of {arch}"),
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
        if require_kvm {
            bail!(
                "--require-kvm, but KVM is of no use here: {}",
                answer.reason
            );
        }
        ui::note(&format!(
            "no KVM ({}): QEMU's TCG, deadlines times 4",
            answer.reason
        ));
    }
    Ok(answer.accel)
}

fn remembered_or_probed(ctx: &Ctx, kernel: &Path) -> Result<Answer> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let may_open = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .is_ok();
    let key = format!("{} {may_open}", boot.trim());
    let path = ctx.cache("vm/accel.json");
    if let Ok(text) = fs::read(&path)
        && let Ok(answer) = serde_json::from_slice::<Answer>(&text)
        && answer.key == key
    {
        return Ok(answer);
    }
    let (accel, reason) = if may_open {
        let step = ui::Step::new("try KVM");
        let found = probe(kernel)?;
        step.done(found.as_deref().unwrap_or("a guest lives"));
        found.map_or((Accel::Kvm, String::new()), |reason| (Accel::Tcg, reason))
    } else {
        (Accel::Tcg, "/dev/kvm cannot be opened".to_owned())
    };
    let answer = Answer { key, accel, reason };
    files::write_atomic(&path, &serde_json::to_vec_pretty(&answer)?)?;
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
    let started = Instant::now();
    let mut alive = false;
    let mut last = "nothing on its console".to_owned();
    while let Some(left) = PATIENCE.checked_sub(started.elapsed()) {
        let Ok(line) = receiver.recv_timeout(left) else {
            break;
        };
        if ALIVE.iter().any(|sign| line.contains(sign)) {
            alive = true;
            break;
        }
        if !line.trim().is_empty() {
            line.trim().clone_into(&mut last);
        }
        if line.contains("KVM internal error") {
            break;
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    let last: String = last.chars().take(100).collect();
    Ok((!alive).then(|| format!("a guest under it died: {last}")))
}

fn guest_line(kernel: &str, append: &str) -> Result<Line> {
    Line::parse(&format!(
        "qemu-system-x86_64 -machine q35 -accel kvm -cpu host -smp 2 -m 256M -nodefaults \
         -no-reboot -display none -serial stdio -kernel '{kernel}' -append {append}"
    ))
}
