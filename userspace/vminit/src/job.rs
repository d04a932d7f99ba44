// SPDX-License-Identifier: GPL-2.0
//! What the host wants done: a file of lines `key value`, in the order of use.

use std::{
    fs,
    io, //
};

/// The one thing that a VM is started for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Job {
    /// The program, by its path on the host.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What its environment has beside the usual.
    pub environment: Vec<(String, String)>,
    /// Whether it speaks with a person on the console, and to no port.
    pub console: bool,
    /// Whether leaks of memory are looked for afterwards, if the kernel can do that.
    pub kmemleak: bool,
}

impl Job {
    /// Reads the job that the kernel's command line names.
    pub fn read() -> io::Result<Self> {
        let cmdline = fs::read_to_string("/proc/cmdline")?;
        let path = parameter(&cmdline, "vminit.job=")
            .ok_or_else(|| io::Error::other("no vminit.job= on the kernel's command line"))?;
        Self::parse(&fs::read_to_string(path)?).map_err(io::Error::other)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut job = Self::default();
        for line in text.lines() {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            match key {
                "run" => value.clone_into(&mut job.program),
                "arg" => job.arguments.push(value.to_owned()),
                "env" => {
                    let (name, value) = value.split_once('=').unwrap_or((value, ""));
                    job.environment.push((name.to_owned(), value.to_owned()));
                }
                "console" => job.console = true,
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
        let job = Job::parse("run /bin/sh\narg -c\narg echo a b\nenv A=b=c\nkmemleak\n").unwrap();
        assert_eq!(job.program, "/bin/sh");
        assert_eq!(job.arguments, ["-c", "echo a b"]);
        assert_eq!(job.environment, [("A".to_owned(), "b=c".to_owned())]);
        assert!(job.kmemleak && !job.console);
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
