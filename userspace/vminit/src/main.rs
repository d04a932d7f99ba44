// SPDX-License-Identifier: GPL-2.0
//! The first process of a test VM.
//!
//! The VM's root is the host's, read-only, or an initramfs. This program mounts what a process
//! expects to find, runs the one job that it finds in a file (`vminit.job=` on the kernel's command
//! line), looks at what the kernel has to say afterwards, and powers off. It stands in for a full init
//! because that takes longer to start than all the tests need.
//!
//! What it reports goes over a virtio port of its own, one line each, so that neither the tests'
//! output nor the console can be mistaken for it; `ports::Report` lists the lines.

#![forbid(unsafe_code)]

mod checks;
mod job;
mod kmsg;
mod loopback;
mod mounts;
mod ports;
mod rest;

use job::Job;
use ports::Report;
use rustix::{
    process::{
        Pid,
        WaitOptions, //
    },
    system::RebootCommand, //
};
use std::{
    io,
    os::unix::process::CommandExt as _,
    process::{
        Command,
        Stdio, //
    },
    time::Duration,
};

fn main() {
    if std::process::id() != 1 {
        eprintln!("vminit is the first process of a test VM; `cargo xtask vm-test` starts it.");
        std::process::exit(4);
    }
    if let Err(error) = run() {
        // The console is all that is left to speak to.
        println!("vminit: {error}");
    }
    rustix::fs::sync();
    let _ = rustix::system::reboot(RebootCommand::PowerOff);
    // Only if the kernel cannot power off: the host sees that nothing comes any more.
    std::thread::sleep(Duration::MAX);
}

fn run() -> io::Result<()> {
    let mut problems = mounts::all();
    // As others that are the first do: what is in no session cannot be checkpointed, for one.
    rustix::process::setsid()?;
    if let Err(error) = loopback::up() {
        problems.push(format!("the loopback device stays off: {error}"));
    }
    let mut report = Report::open()?;
    report.say("up", &job::uptime());
    for problem in problems {
        report.say("note", &problem);
    }
    let mut log = kmsg::Log::open();
    let job = Job::read()?;
    let before = checks::Counters::settled();
    report.say("taint-before", &before.taint);
    // Now, while the messages of the boot are still there.
    report.log(&mut log);

    let ended = start(&job).and_then(|child| {
        report.say("start", &job::uptime());
        wait(child)
    });
    match ended {
        Ok(status) => report.say("exit", &status.to_string()),
        Err(error) => report.say("no-start", &format!("{:?}: {error}", job.program)),
    }

    if job.end_rest {
        rest::end();
    }
    checks::after(&before, &job, &mut report);
    report.log(&mut log);
    report.say("done", &job::uptime());
    Ok(())
}

/// Starts the job with its output on the ports, in a session of its own.
fn start(job: &Job) -> io::Result<Pid> {
    std::env::set_current_dir(&job.dir)
        .map_err(|error| io::Error::other(format!("the directory {:?}: {error}", job.dir)))?;
    let mut command = Command::new(&job.program);
    command
        .args(&job.arguments)
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("HOME", "/root")
        .env("TERM", "dumb")
        .envs(job.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null());
    if job.console {
        let tty = ports::console()?;
        command
            .stdin(tty.try_clone()?)
            .stdout(tty.try_clone()?)
            .stderr(tty);
        command.env("TERM", job.terminal());
        // Not the leader of a group, so that setsid(1) need not leave it behind.
    } else {
        command
            .stdout(ports::output("inetcr.out")?)
            .stderr(ports::output("inetcr.err")?);
        command.process_group(0);
    }
    let child = command.spawn()?;
    i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::Error::other("the job has no process id"))
}

/// Waits for the job; whatever else dies meanwhile is an orphan, which only this process can reap.
fn wait(child: Pid) -> io::Result<i32> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == child => {
                if let Some(code) = status.exit_status() {
                    return Ok(code);
                }
                // As a shell reports it.
                if let Some(signal) = status.terminating_signal() {
                    return Ok(signal.saturating_add(128));
                }
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
