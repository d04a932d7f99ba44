// SPDX-License-Identifier: GPL-2.0
//! What the host wants done: a file of lines `key value`, in the order of use. In a value `\n` is
//! a line break, `\r` a carriage return (which would be lost at the end of a line), and `\\` a
//! backslash.

use std::{
    fs,
    io, //
};

/// The job of an image that is told nothing else.
const DEFAULT: &str = "/etc/vminit.job";

/// The one thing that a VM is started for.
#[derive(Debug, PartialEq, Eq)]
pub struct Job {
    /// The program, by its path on the host.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What its environment has beside the usual.
    pub environment: Vec<(String, String)>,
    /// Where it runs.
    pub dir: String,
    /// Whether it speaks with a person on the console, and to no port.
    pub console: bool,
    /// Whether what it has started and left behind is ended with it.
    pub end_rest: bool,
    /// Whether leaks of memory are looked for afterwards, if the kernel can do that.
    pub kmemleak: bool,
}

impl Job {
    /// Reads the job that the kernel's command line names, or that of the image.
    pub fn read() -> io::Result<Self> {
        let cmdline = fs::read_to_string("/proc/cmdline")?;
        let path = parameter(&cmdline, "vminit.job=").unwrap_or(DEFAULT);
        let text = fs::read_to_string(path)
            .map_err(|error| io::Error::other(format!("the job {path}: {error}")))?;
        Self::parse(&text).map_err(io::Error::other)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut job = Self {
            program: String::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            dir: "/tmp".to_owned(),
            console: false,
            end_rest: false,
            kmemleak: false,
        };
        for line in text.lines() {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            let value = unescaped(value);
            match key {
                "run" => job.program = value,
                "arg" => job.arguments.push(value),
                "env" => {
                    let (name, value) = value.split_once('=').unwrap_or((&value, ""));
                    job.environment.push((name.to_owned(), value.to_owned()));
                }
                "dir" => job.dir = value,
                "console" => job.console = true,
                "end-rest" => job.end_rest = true,
                "kmemleak" => job.kmemleak = true,
                other => return Err(format!("the job has a line {other:?}")),
            }
        }
        if job.program.is_empty() {
            return Err("the job names no program".to_owned());
        }
        Ok(job)
    }

    /// The kind of terminal that the console is connected to.
    pub fn terminal(&self) -> &str {
        let term = self.environment.iter().find(|(name, _)| name == "TERM");
        term.map_or("linux", |(_, value)| value)
    }
}

/// A value as it was before it was put on a line.
fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(char) = chars.next() {
        text.push(match char {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                other => other.unwrap_or('\\'),
            },
            char => char,
        });
    }
    text
}

fn parameter<'a>(cmdline: &'a str, key: &str) -> Option<&'a str> {
    cmdline
        .split_whitespace()
        .find_map(|word| word.strip_prefix(key))
}

/// Seconds since the kernel started, as the kernel prints them.
pub fn uptime() -> String {
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    uptime.split(' ').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_read() {
        let job = Job::parse(
            "run /bin/sh\narg -c\narg echo a b\nenv A=b=c\nkmemleak\narg a\\nb\\\\n\narg c\\r\n\
             dir /x\n",
        )
        .unwrap();
        assert_eq!(job.program, "/bin/sh");
        assert_eq!(job.arguments, ["-c", "echo a b", "a\nb\\n", "c\r"]);
        assert_eq!(job.environment, [("A".to_owned(), "b=c".to_owned())]);
        assert!(job.kmemleak && !job.console && !job.end_rest);
        assert_eq!(job.dir, "/x");
        assert!(Job::parse("arg -c\n").is_err());
        assert!(Job::parse("run x\nfly\n").is_err());
    }

    #[test]
    fn the_command_line_names_it() {
        assert_eq!(
            parameter("quiet vminit.job=/a/b ro", "vminit.job="),
            Some("/a/b")
        );
        assert_eq!(parameter("quiet", "vminit.job="), None);
    }
}
