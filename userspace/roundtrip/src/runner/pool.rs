// SPDX-License-Identifier: GPL-2.0

//! The processes that run the tests.
//!
//! Each worker takes the next test from a queue that all share, and tells the runner over a pipe of
//! its own what it does. Workers are processes and not threads because a test is a fork of its
//! worker, and a process with several threads cannot fork safely.

use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::one::Ended;
use super::{Outcome, Runner, Test};
use crate::sys::task;

/// What a pipe holds, see pipe(7).
const PIPE_SIZE: usize = 65_536;

/// A part of what a guest may be silent for.
pub const SILENCE: Duration = Duration::from_secs(3);

/// What a worker tells, each in a line; tests by their index.
#[derive(Serialize, Deserialize)]
pub enum Message {
    Started(usize),
    Ended(usize, Outcome, Duration),
}

/// Runs tests in so many workers, and hands on what they tell until all of them are gone; `None` for
/// each [`SILENCE`] in which they told nothing, as long as a test may take.
///
/// A test that is not told of has not ended: whoever calls this has to look.
pub fn run(
    runner: &Runner,
    tests: &[&Test],
    jobs: usize,
    mut tell: impl FnMut(Option<Message>) -> Result<()>,
) -> Result<()> {
    let queue = Queue::new(tests.len()).context("making a queue")?;
    let mut workers = Vec::new();
    let mut pipes = Vec::new();
    for _ in 0..jobs.min(tests.len()) {
        let (reader, writer) = io::pipe()?;
        let worker = task::fork(|| match work(runner, tests, jobs == 1, &queue, &writer) {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("a worker gives up: {error:#}");
                1
            }
        });
        workers.push(worker.context("fork")?);
        pipes.push(reader);
    }
    let longest = tests.iter().map(|test| test.time).max();
    let longest = longest.unwrap_or_default() * runner.scale;
    std::thread::scope(|scope| {
        // If this fails, they go before the threads are waited for, which read until they do.
        let _workers = workers;
        let (sender, receiver) = mpsc::channel();
        for pipe in pipes {
            let sender = sender.clone();
            scope.spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        drop(sender);
        let mut told = Instant::now();
        loop {
            match receiver.recv_timeout(SILENCE) {
                Ok(line) => {
                    told = Instant::now();
                    // A worker that is killed can leave half a line.
                    if let Ok(message) = serde_json::from_str(&line) {
                        tell(Some(message))?;
                    }
                }
                // Past this a test hangs that cannot even be killed.
                Err(RecvTimeoutError::Timeout) if told.elapsed() < longest => tell(None)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    })
}

/// What a worker does.
fn work(
    runner: &Runner,
    tests: &[&Test],
    alone: bool,
    queue: &Queue,
    mut pipe: &PipeWriter,
) -> Result<()> {
    let mut say = |message: &Message| -> Result<()> {
        let line = serde_json::to_string(message)? + "\n";
        Ok(pipe.write_all(line.as_bytes())?)
    };
    // What a test has left is looked at when the next one has run: RCU takes its time.
    let mut last: Option<(usize, Result<Ended>)> = None;
    loop {
        let next = queue.next()?;
        let next = match next {
            None => None,
            Some(index) => {
                say(&Message::Started(index))?;
                Some((index, runner.start(tests[index], alone)))
            }
        };
        let is_end = next.is_none();
        if let Some((index, ended)) = std::mem::replace(&mut last, next) {
            let took = ended.as_ref().map_or(Duration::ZERO, |ended| ended.took);
            let outcome = ended
                .and_then(|ended| runner.settle(ended))
                .unwrap_or_else(|error| Outcome::Failed(format!("cannot be run: {error:#}")));
            say(&Message::Ended(index, outcome, took))?;
        }
        if is_end {
            return Ok(());
        }
    }
}

/// Numbers from 0 on, each of which one worker gets: a pipe with all of them in it.
struct Queue(PipeReader);

impl Queue {
    fn new(len: usize) -> Result<Self> {
        let (reader, mut writer) = io::pipe()?;
        let numbers: Vec<u8> = (0..u32::try_from(len)?)
            .flat_map(u32::to_ne_bytes)
            .collect();
        ensure!(numbers.len() <= PIPE_SIZE, "{len} tests are too many");
        writer.write_all(&numbers)?;
        Ok(Self(reader))
    }

    fn next(&self) -> Result<Option<usize>> {
        let mut number = [0; 4];
        match (&self.0).read(&mut number)? {
            0 => Ok(None),
            _ => Ok(Some(usize::try_from(u32::from_ne_bytes(number))?)),
        }
    }
}
