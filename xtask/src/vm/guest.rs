// SPDX-License-Identifier: GPL-2.0

//! A running guest: its ways out, its deadlines, its end.
//!
//! Four ways lead out of a guest, each a socket of its own: the console (kernel messages only),
//! `vminit`'s reports, and the job's output and errors. What comes is handed on line by line as
//! it comes, so a reader sees a test's result when it falls. Of a command that a person runs, the
//! output and the errors go straight through, to the byte.

use crate::{
    report::Log,
    vm::{
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
    },
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

/// How much of the time between two looks at what has come counts as the guest's. If that is longer,
/// nobody took what this process writes, or it was stopped: the guest is not to blame for it.
const TURN: Duration = Duration::from_millis(200);

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
    /// Whether it is the job's.
    fn is_of_job(self) -> bool {
        matches!(self, Self::Output | Self::Errors)
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
#[derive(Debug)]
pub enum Outputs {
    /// They are handed on line by line.
    Lines,
    /// They become those of this process, and a log has them too, as they come.
    Through(Log),
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
    /// From start to end, but for what it waited for those who read what it writes.
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
    outputs: &mut Outputs,
    sink: &mut dyn FnMut(Way, &str),
) -> Result<Record> {
    let sockets = tempfile::Builder::new().prefix("inetcr-vm-").tempdir()?;
    let (sender, receiver) = sync_channel(UNREAD);
    let mut line = line;
    let through = matches!(outputs, Outputs::Through(_));
    let ways = [
        (Way::Console, "console", None),
        (Way::Control, "ctl", Some("inetcr.ctl")),
        (Way::Output, "out", Some("inetcr.out")),
        (Way::Errors, "err", Some("inetcr.err")),
    ];
    for (way, id, port) in ways {
        let path = sockets.path().join(id);
        listen(way, through && way.is_of_job(), &path, sender.clone())?;
        match port {
            Some(port) => line.add_port(port, id, line::End::Socket(&path)),
            None => line.add_console(id, line::End::Socket(&path)),
        }
    }
    drop(sender);
    let mut watch = Watch::new(receiver, deadlines, outputs, sink, ways.len());
    watch.sockets = Some(sockets);
    let mut qemu = Qemu::start(&line)?;
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
    let now = watch.clock;
    let (job_started, job_ended) = watch.job;
    Ok(Record {
        end,
        boot: job_started.unwrap_or(now),
        job: job_started.map_or(Duration::ZERO, |from| {
            job_ended.unwrap_or(now).saturating_sub(from)
        }),
        total: now,
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
    outputs: &'a mut Outputs,
    sink: &'a mut dyn FnMut(Way, &str),
    /// How long the guest had lived, as far as that counts, when it was last looked at what has come,
    /// and when that was.
    clock: Duration,
    looked: Instant,
    /// When the job last showed that it lives, by the clock.
    heard: Duration,
    /// When the job started and ended.
    job: (Option<Duration>, Option<Duration>),
    facts: Facts,
    console: String,
    /// Ways that have not ended.
    open: usize,
    /// Where the sockets are, until QEMU has connected to them.
    sockets: Option<TempDir>,
}

impl<'a> Watch<'a> {
    /// Of a guest that is just being started, with so many ways out.
    fn new(
        receiver: Receiver<Message>,
        deadlines: Deadlines,
        outputs: &'a mut Outputs,
        sink: &'a mut dyn FnMut(Way, &str),
        ways: usize,
    ) -> Self {
        Self {
            receiver,
            deadlines,
            outputs,
            sink,
            clock: Duration::ZERO,
            looked: Instant::now(),
            heard: Duration::ZERO,
            job: (None, None),
            facts: Facts::default(),
            console: String::new(),
            open: ways,
            sockets: None,
        }
    }

    /// What comes next, within a moment.
    fn next(&mut self) -> Result<Message, RecvTimeoutError> {
        let message = self.receiver.recv_timeout(TICK);
        let now = Instant::now();
        self.clock += (now - self.looked).min(TURN);
        self.looked = now;
        message
    }

    fn since(&self, from: Duration) -> Duration {
        self.clock.saturating_sub(from)
    }

    /// Until QEMU has ended or a limit is passed.
    fn until_end(&mut self, qemu: &mut Qemu) -> Result<Option<Limit>> {
        let mut done = None;
        loop {
            match self.next() {
                Ok(message) => self.take(message)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => thread::sleep(TICK),
            }
            if qemu.has_ended()? {
                return Ok(None);
            }
            if self.facts.done && self.since(*done.get_or_insert(self.clock)) > FAREWELL {
                // It did its work; that this machine cannot power off is another matter.
                return Ok(None);
            }
            if self.limit_passed().is_some() {
                self.catch_up()?;
                let limit = self.limit_passed();
                if limit.is_some() {
                    return Ok(limit);
                }
            }
        }
    }

    /// Takes what waits to be taken: the end of the job may be in it. What comes after that has to
    /// wait, as it may have no end.
    fn catch_up(&mut self) -> Result<()> {
        // Beside what is queued each way may hold one that does not fit in.
        for _ in 0..UNREAD + self.open {
            let Ok(message) = self.receiver.try_recv() else {
                break;
            };
            self.take(message)?;
        }
        Ok(())
    }

    fn limit_passed(&self) -> Option<Limit> {
        let over = |from, limit| self.since(from) > limit;
        let limits = &self.deadlines;
        match self.job {
            // It only has to end now.
            _ if self.facts.done => None,
            (None, None) if over(Duration::ZERO, limits.boot) => Some(Limit::Boot),
            (Some(started), None) if over(started, limits.job) => Some(Limit::Job),
            (Some(_), None) if over(self.heard, limits.idle) => Some(Limit::Idle),
            (_, Some(ended)) if over(ended, limits.checks) => Some(Limit::Checks),
            _ => over(Duration::ZERO, limits.run).then_some(Limit::Run),
        }
    }

    fn take(&mut self, (way, bytes): Message) -> Result<()> {
        let Some(bytes) = bytes else {
            self.open = self.open.saturating_sub(1);
            return Ok(());
        };
        // QEMU connects all ways before the guest begins; so whatever kills this process from now
        // on leaves no file behind.
        self.sockets = None;
        if let Outputs::Through(log) = &mut *self.outputs
            && way.is_of_job()
        {
            self.heard = self.clock;
            log.piece(&bytes);
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
                if self.facts.started.is_some() {
                    self.job.0.get_or_insert(self.clock);
                }
                if self.facts.exit.is_some() || self.facts.no_start.is_some() {
                    self.job.1.get_or_insert(self.clock);
                }
            }
            Way::Output | Way::Errors => {}
        }
        if way != Way::Console {
            self.heard = self.clock;
        }
        (self.sink)(way, line);
        Ok(())
    }

    /// Takes what is still on the way; QEMU has ended, so each way ends too.
    fn drain(&mut self) -> Result<()> {
        let mut from = self.clock;
        while self.open > 0 && self.since(from) < Duration::from_secs(2) {
            match self.next() {
                Ok(message) => {
                    self.take(message)?;
                    from = self.clock;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Limits that are not reached.
    const FAR: Deadlines = Deadlines {
        boot: Duration::MAX,
        idle: Duration::MAX,
        job: Duration::MAX,
        checks: Duration::MAX,
        run: Duration::MAX,
        factor: 1,
    };

    const GOOD: [(Way, &str); 5] = [
        (Way::Control, "start 1"),
        (Way::Output, "a"),
        (Way::Output, "b"),
        (Way::Control, "exit 0"),
        (Way::Control, "done 2"),
    ];

    /// Which limit a guest has passed that says this at once and lives for some seconds, if a reader
    /// takes so long for its first output.
    fn limit(says: &[(Way, &str)], life: &str, deadlines: Deadlines, reader: u64) -> Option<Limit> {
        let (sender, receiver) = sync_channel(UNREAD);
        for (way, line) in says {
            let bytes = format!("{line}\n").into_bytes();
            sender.send((*way, Some(bytes))).unwrap();
        }
        let mut sink = |_: Way, line: &str| {
            if line == "a" {
                thread::sleep(Duration::from_millis(reader));
            }
        };
        let mut qemu = Line::new("sleep");
        qemu.add(life, None);
        let mut qemu = Qemu::start(&qemu).unwrap();
        let mut lines = Outputs::Lines;
        let mut watch = Watch::new(receiver, deadlines, &mut lines, &mut sink, 4);
        watch.until_end(&mut qemu).unwrap()
    }

    #[test]
    fn a_reader_that_rests_is_not_the_guests_fault() {
        let deadlines = Deadlines {
            idle: TURN * 2,
            run: TURN * 5,
            ..FAR
        };
        assert_eq!(limit(&GOOD, "1.8", deadlines, 1_300), None);
    }

    #[test]
    fn a_job_that_has_ended_is_not_late() {
        let deadlines = Deadlines {
            job: Duration::ZERO,
            ..FAR
        };
        assert_eq!(limit(&GOOD, "0.2", deadlines, 0), None);
        assert_eq!(limit(&GOOD[..3], "9", deadlines, 0), Some(Limit::Job));
    }

    #[test]
    fn a_job_whose_output_has_no_end_has_a_limit() {
        let (sender, receiver) = sync_channel(UNREAD);
        let start = (Way::Control, Some(b"start 1\n".to_vec()));
        sender.send(start).unwrap();
        thread::spawn(move || while sender.send((Way::Output, Some(b"y\n".to_vec()))).is_ok() {});
        let mut qemu = Line::new("sleep");
        qemu.add("9", None);
        let mut qemu = Qemu::start(&qemu).unwrap();
        let deadlines = Deadlines {
            job: TURN / 2,
            ..FAR
        };
        let mut sink = |_: Way, _: &str| ();
        let mut lines = Outputs::Lines;
        let mut watch = Watch::new(receiver, deadlines, &mut lines, &mut sink, 4);
        assert_eq!(watch.until_end(&mut qemu).unwrap(), Some(Limit::Job));
    }

    #[test]
    fn each_part_of_a_life_has_its_limit() {
        let limits = [
            (0, Limit::Boot),
            (1, Limit::Idle),
            (3, Limit::Idle),
            (4, Limit::Checks),
        ];
        let deadlines = Deadlines {
            boot: TURN,
            idle: TURN,
            checks: TURN,
            ..FAR
        };
        for (says, expected) in limits {
            let passed = limit(&GOOD[..says], "9", deadlines, 0);
            assert_eq!(passed, Some(expected), "after {says} lines");
        }
    }
}
