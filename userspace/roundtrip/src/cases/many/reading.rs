// SPDX-License-Identifier: GPL-2.0

//! However slowly an answer is read, by whatever pieces: nothing is lost, and nothing is kept.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use inetcr::RawAttr;

use super::{all_dumped, bound, inodes_of_table, me, of, on, on_one_port, without_netlink};
use crate::cr::{self, DUMP, Dump};
use crate::rawnl::RawNetlink;
use crate::runner::Test;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("many::reading::small_parts", || whole(SMALL, |_| Ok(()))),
        Test::new("many::reading::large_parts", || whole(65_536, |_| Ok(()))),
        // The kernel puts the end of a message where the buffer of the reader had its end.
        Test::new("many::reading::odd_parts", || whole(5001, |_| Ok(()))),
        Test::new("many::reading::slowly", || {
            whole(SMALL, |_| {
                std::thread::sleep(Duration::from_millis(2));
                Ok(())
            })
        }),
        Test::new("many::reading::little_room", || {
            whole(SMALL, |raw| Ok(raw.shrink_receive_buffer()?))
        }),
        Test::new("many::reading::given_up", given_up),
        Test::new("many::reading::keeps_no_socket", keeps_no_socket),
    ]
}

/// As little as the kernel takes for a part without being asked for more, and somewhat above.
pub const SMALL: usize = 4096;

/// An answer that is read part by part.
pub struct Reading {
    raw: RawNetlink,
    room: usize,
    /// What has come so far.
    pub records: Vec<Dump>,
    /// The error number at the end, 0 for a good one.
    pub end: Option<i32>,
    /// The answer says that it was interrupted.
    pub interrupted: bool,
}

impl Reading {
    /// Opens a netlink socket that reads so many bytes at once.
    pub fn open(room: usize) -> Result<Self> {
        Ok(Self {
            raw: RawNetlink::open(&cr::client()?)?,
            room,
            records: Vec::new(),
            end: None,
            interrupted: false,
        })
    }

    /// Sends the request. The first part of the answer is there when this returns, and each that is
    /// read makes another one.
    pub fn ask(&mut self, selection: &[RawAttr]) -> Result<()> {
        let request = RawAttr::encode_all(selection);
        Ok(self.raw.send_multipart(DUMP, &request)?)
    }

    /// Both.
    pub fn begin(selection: &[RawAttr], room: usize) -> Result<Self> {
        let mut reading = Self::open(room)?;
        reading.ask(selection)?;
        Ok(reading)
    }

    /// Reads one part, and says whether there are more.
    pub fn part(&mut self) -> Result<bool> {
        let mut buffer = vec![0; self.room];
        let len = self.raw.receive_part(&mut buffer)?;
        self.interrupted |= RawNetlink::is_interrupted(&buffer[..len]);
        let (messages, end) = RawNetlink::read_part(&buffer[..len])?;
        self.records.extend(messages.into_iter().map(Dump));
        self.end = end;
        Ok(end.is_none())
    }

    /// Reads all that is left.
    pub fn rest(&mut self) -> Result<()> {
        while self.end.is_none() {
            self.part()?;
        }
        Ok(())
    }

    /// Reads all that is left, and fails unless it ends well.
    pub fn whole(mut self) -> Result<Vec<Dump>> {
        self.rest()?;
        ensure!(self.end == Some(0), "ends with error {:?}", self.end);
        ensure!(!self.interrupted, "interrupted");
        Ok(self.records)
    }
}

/// Reads part by part, and does something before each.
fn whole(room: usize, mut before: impl FnMut(&RawNetlink) -> Result<()>) -> Result<()> {
    let mut sockets = on_one_port(50)?;
    for port in 7100..7150 {
        sockets.push(bound(port)?);
    }
    let me = me()?;
    for selection in [vec![], vec![of(&me)]] {
        let mut reading = Reading::open(room)?;
        reading.ask(&selection)?;
        let mut parts = 1;
        before(&reading.raw)?;
        while reading.part()? {
            before(&reading.raw)?;
            parts += 1;
        }
        ensure!(parts > 1, "one part is not enough for this test");
        let records = without_netlink(reading.whole()?);
        all_dumped(&mut cr::client()?, &records, &sockets)?;
    }
    Ok(())
}

/// At each point: what is left is looked for when the test ends.
fn given_up() -> Result<()> {
    let sockets: Vec<_> = (7100..7150).map(bound).collect::<Result<_>>()?;
    let me = me()?;
    for selection in [vec![], vec![of(&me)], vec![on(7120)]] {
        let mut parts = 0;
        loop {
            let mut reading = Reading::begin(&selection, SMALL)?;
            let mut more = true;
            for _ in 0..parts {
                more = more && reading.part()?;
            }
            drop(reading);
            if !more {
                break;
            }
            parts += 1;
        }
        ensure!(parts > 0, "ends before it begins");
    }
    drop(sockets);
    let left = inodes_of_table()?;
    ensure!(left.is_empty(), "still bound: {left:?}");
    Ok(())
}

/// One that is closed while the reader takes its time goes at once, and its port is free.
fn keeps_no_socket() -> Result<()> {
    let me = me()?;
    for selection in [vec![], vec![of(&me)]] {
        let sockets: Vec<_> = (7100..7160).map(bound).collect::<Result<_>>()?;
        let mut reading = Reading::begin(&selection, SMALL)?;
        reading.part()?;
        drop(sockets);
        let left = inodes_of_table()?;
        ensure!(left.is_empty(), "still bound: {left:?}");
        let again: Vec<_> = (7100..7160).map(bound).collect::<Result<_>>()?;
        drop(again);
        reading.whole().context("the rest")?;
    }
    Ok(())
}
