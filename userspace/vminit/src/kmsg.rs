// SPDX-License-Identifier: GPL-2.0
//! The kernel's own log. A serial console may lose characters of it; this way does not.

use rustix::fs::OFlags;
use std::{
    fs::{
        File,
        OpenOptions, //
    },
    io::{
        self,
        Read as _, //
    },
    os::unix::fs::OpenOptionsExt as _,
};

/// Longer than any record that the kernel gives out.
const RECORD: usize = 8192;

/// A reader that knows how far it has come.
pub struct Log(File);

impl Log {
    /// Begins at the oldest message.
    pub fn open() -> io::Result<Self> {
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open("/dev/kmsg")?;
        Ok(Self(file))
    }

    /// All messages since the last time, as `dmesg` prints them.
    pub fn rest(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut record = vec![0; RECORD];
        loop {
            match self.0.read(&mut record) {
                Ok(0) => return lines,
                Ok(length) => {
                    let text = record.get(..length).unwrap_or_default();
                    lines.extend(line(&String::from_utf8_lossy(text)));
                }
                Err(error) => match error.kind() {
                    // Messages were overwritten before they could be read.
                    io::ErrorKind::BrokenPipe => {
                        lines.push("[    0.000000] (messages lost)".to_owned());
                    }
                    io::ErrorKind::Interrupted => {}
                    _ => return lines,
                },
            }
        }
    }
}

/// `6,339,5140900,-;message` and lines of properties after it.
fn line(record: &str) -> Option<String> {
    let (head, message) = record.split_once(';')?;
    let time: u64 = head.split(',').nth(2)?.parse().ok()?;
    let message = message.lines().next().unwrap_or_default();
    Some(format!(
        "[{:5}.{:06}] {message}",
        time / 1_000_000,
        time % 1_000_000
    ))
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn a_record_as_dmesg_prints_it() {
        let record = "6,339,5140900,-;    ok 1 case\n SUBSYSTEM=x\n";
        assert_eq!(
            line(record).as_deref(),
            Some("[    5.140900]     ok 1 case")
        );
        assert_eq!(line("nonsense"), None);
    }
}
