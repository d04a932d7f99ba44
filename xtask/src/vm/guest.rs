// SPDX-License-Identifier: GPL-2.0

//! A running guest: its ways out, its deadlines, its end.
//!
//! Four ways lead out of a guest, each a socket of its own: the console (kernel messages only),
//! `vminit`'s reports, and the job's output and errors. What comes is handed on line by line as
//! it comes, so a reader sees a test's result when it falls. Of a command that a person runs, the
//! output and the errors go straight through, to the byte.

use crate::vm::{
    deadlines::{
        Deadlines,
        Limit, //
    },
    facts::Facts,
    line::{
        self,
        Line, //
    },
    qemu::Qemu, //
};
use anyhow::{
    Context,
    Result, //
};
use std::{
    io::{
        self,
        BufRead as _,
        BufReader,
        Write as _, //
    },
    os::unix::net::{
        UnixListener,
        UnixStream, //
    },
    path::Path,
    sync::mpsc::{
        Receiver,
        RecvTimeoutError,
        SyncSender,
        sync_channel, //
    },
    thread,
    time::{
        Duration,
        Instant, //
    },
};
use tempfile::TempDir;

/// How often the clock is looked at while nothing comes.
const TICK: Duration = Duration::from_millis(50);

/// How long QEMU may take to end after the guest has said that it is done.
const FAREWELL: Duration = Duration::from_secs(20);

/// How many lines or pieces may wait here before the guest has to.
const UNREAD: usize = 1024;

/// A way out of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Kernel messages.
    Console,
    /// The reports of `vminit`.
    Control,
    /// The job's standard output.
    Output,
    /// The job's standard error.
    Errors,
}

impl Way {
    fn is_through(self, outputs: Outputs) -> bool {
        outputs == Outputs::Through && matches!(self, Self::Output | Self::Errors)
    }

    /// Writes to what is the same way of this process.
    fn pass_on(self, bytes: &[u8]) -> Result<()> {
        let written = if self == Self::Output {
            let mut stdout = io::stdout();
            stdout.write_all(bytes).and_then(|()| stdout.flush())
        } else {
            io::stderr().write_all(bytes)
        };
        written.context("nobody takes the output any more, so the guest was ended")
    }
}

/// What becomes of the job's output and errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    /// They are handed on line by line.
    Lines,
    /// They become those of this process.
    Through,
}

/// How a guest's life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It did its work and powered off.
    Done,
    /// It was gone before it had done its work.
    Lost,
    /// It was killed because it took too long.
    Deadline(Limit),
}

/// What is known of a guest after its end.
#[derive(Debug)]
pub struct Record {
    /// How it ended.
    pub end: End,
    /// What `vminit` reported.
    pub facts: Facts,
    /// The whole console.
    pub console: String,
    /// What QEMU itself had to say.
    pub qemu: String,
    /// Until the job started (or until the end, if it never did).
    pub boot: Duration,
    /// From there until the job ended.
    pub job: Duration,
    /// From start to end.
    pub total: Duration,
}

impl Record {
    /// The kernel's messages: its log if the guest could still hand that out, else the console,
    /// which may have lost characters.
    pub fn log(&self) -> &str {
        if self.facts.done {
            &self.facts.log
        } else {
            &self.console
        }
    }
}

/// A line or, of what goes through, a piece; or the end of a way.
type Message = (Way, Option<Vec<u8>>);

/// Starts the machine `line` and stays with it until its end; every line that comes is given to
/// `sink` at once.
pub fn run(
    line: Line,
    deadlines: Deadlines,
    outputs: Outputs,
    sink: &mut dyn FnMut(Way, &str),
) -> Result<Record> {
    let sockets = tempfile::Builder::new().prefix("inetcr-vm-").tempdir()?;
    let (sender, receiver) = sync_channel(UNREAD);
    let mut line = line;
    let ways = [
        (Way::Console, "console", None),
        (Way::Control, "ctl", Some("inetcr.ctl")),
        (Way::Output, "out", Some("inetcr.out")),
        (Way::Errors, "err", Some("inetcr.err")),
    ];
    for (way, id, port) in ways {
        let path = sockets.path().join(id);
        listen(way, way.is_through(outputs), &path, sender.clone())?;
        match port {
            Some(port) => line.add_port(port, id, line::End::Socket(&path)),
            None => line.add_console(id, line::End::Socket(&path)),
        }
    }
    drop(sender);
    let started = Instant::now();
    let mut qemu = Qemu::start(&line)?;
    let mut watch = Watch {
        receiver,
        deadlines,
        outputs,
        sink,
        started,
        heard: started,
        job: (None, None),
        facts: Facts::default(),
        console: String::new(),
        open: ways.len(),
        sockets: Some(sockets),
    };
    let limit = watch.until_end(&mut qemu)?;
    if let Some(sockets) = watch.sockets.take() {
        // QEMU never came to them. Without this they would be waited for without end.
        for (_, id, _) in ways {
            drop(UnixStream::connect(sockets.path().join(id)));
        }
    }
    let messages = qemu.end();
    watch.drain()?;
    let end = match limit {
        Some(limit) => End::Deadline(limit),
        None if watch.facts.done => End::Done,
        None => End::Lost,
    };
    let now = Instant::now();
    let (job_started, job_ended) = watch.job;
    Ok(Record {
        end,
        boot: job_started.unwrap_or(now) - started,
        job: job_started.map_or(Duration::ZERO, |from| job_ended.unwrap_or(now) - from),
        total: now - started,
        facts: watch.facts,
        console: watch.console,
        qemu: messages,
    })
}

/// Waits for QEMU on a socket and passes on what comes.
fn listen(way: Way, through: bool, path: &Path, sender: SyncSender<Message>) -> Result<()> {
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    thread::spawn(move || {
        if let Ok((stream, _)) = listener.accept() {
            let mut reader = BufReader::new(stream);
            loop {
                let mut bytes = Vec::new();
                let read = if through {
                    reader.fill_buf().map(|piece| bytes.extend(piece))
                } else {
                    reader.read_until(b'\n', &mut bytes).map(drop)
                };
                if read.is_err() || bytes.is_empty() {
                    break;
                }
                if through {
                    reader.consume(bytes.len());
                }
                if sender.send((way, Some(bytes))).is_err() {
                    return;
                }
            }
        }
        let _ = sender.send((way, None));
    });
    Ok(())
}

struct Watch<'a> {
    receiver: Receiver<Message>,
    deadlines: Deadlines,
    outputs: Outputs,
    sink: &'a mut dyn FnMut(Way, &str),
    started: Instant,
    /// When the job last showed that it lives.
    heard: Instant,
    /// When the job started and ended.
    job: (Option<Instant>, Option<Instant>),
    facts: Facts,
    console: String,
    /// Ways that have not ended.
    open: usize,
    /// Where the sockets are, until QEMU has connected to them.
    sockets: Option<TempDir>,
}

impl Watch<'_> {
    /// Until QEMU has ended or a limit is passed.
    fn until_end(&mut self, qemu: &mut Qemu) -> Result<Option<Limit>> {
        let mut done = None;
        loop {
            match self.receiver.recv_timeout(TICK) {
                Ok(message) => self.take(message)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => thread::sleep(TICK),
            }
            if qemu.has_ended()? {
                return Ok(None);
            }
            if self.facts.done && done.get_or_insert_with(Instant::now).elapsed() > FAREWELL {
                // It did its work; that this machine cannot power off is another matter.
                return Ok(None);
            }
            let limit = self.limit_passed();
            if limit.is_some() {
                return Ok(limit);
            }
        }
    }

    fn limit_passed(&self) -> Option<Limit> {
        let (job_started, job_ended) = self.job;
        if job_started.is_none() && self.started.elapsed() > self.deadlines.boot {
            return Some(Limit::Boot);
        }
        if let Some(from) = job_started.filter(|_| job_ended.is_none()) {
            if from.elapsed() > self.deadlines.job {
                return Some(Limit::Job);
            }
            if self.heard.elapsed() > self.deadlines.idle {
                return Some(Limit::Idle);
            }
        }
        (self.started.elapsed() > self.deadlines.run).then_some(Limit::Run)
    }

    fn take(&mut self, (way, bytes): Message) -> Result<()> {
        let Some(bytes) = bytes else {
            self.open = self.open.saturating_sub(1);
            return Ok(());
        };
        // QEMU connects all ways before the guest begins; so whatever kills this process from now
        // on leaves no file behind.
        self.sockets = None;
        if way.is_through(self.outputs) {
            self.heard = Instant::now();
            return way.pass_on(&bytes);
        }
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim_end_matches(['\r', '\n']);
        match way {
            Way::Console => {
                self.console.push_str(line);
                self.console.push('\n');
            }
            Way::Control => {
                self.facts.feed(line);
                let now = Instant::now();
                if self.facts.started.is_some() {
                    self.job.0.get_or_insert(now);
                }
                if self.facts.exit.is_some() || self.facts.no_start.is_some() {
                    self.job.1.get_or_insert(now);
                }
            }
            Way::Output | Way::Errors => {}
        }
        if way != Way::Console {
            self.heard = Instant::now();
        }
        (self.sink)(way, line);
        Ok(())
    }

    /// Takes what is still on the way; QEMU has ended, so each way ends too.
    fn drain(&mut self) -> Result<()> {
        let mut from = Instant::now();
        while self.open > 0 && from.elapsed() < Duration::from_secs(2) {
            match self.receiver.recv_timeout(TICK) {
                Ok(message) => {
                    self.take(message)?;
                    from = Instant::now();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(())
    }
}
