// SPDX-License-Identifier: GPL-2.0

//! The command line of QEMU as virtme-ng gives it, and what is changed in it.

use anyhow::{
    Context,
    Result,
    bail, //
};
use std::path::Path;

/// A command line: the program, then options with or without a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    program: String,
    options: Vec<(String, Option<String>)>,
}

/// Where a way out of the guest ends on the host.
#[derive(Debug, Clone, Copy)]
pub enum End<'a> {
    /// A socket that somebody listens to.
    Socket(&'a Path),
    File(&'a Path),
    /// The terminal of this process. What is shown there may be kept in a file, too. All keys are
    /// the guest's, but for those that begin with Ctrl-A: they are the way out of one that hangs.
    Terminal(Option<&'a Path>),
}

/// Parameters of the kernel that virtme-ng sets for its own init and console.
const NOT_OURS: [&str; 11] = [
    "virtme",
    "init=",
    "console=",
    "earlyprintk=",
    "quiet",
    "loglevel=",
    "debug",
    "TERM=",
    "psmouse.",
    "nr_open=",
    "raid=",
];

impl Line {
    /// The program alone.
    pub fn new(program: &str) -> Self {
        Self {
            program: program.to_owned(),
            options: Vec::new(),
        }
    }

    /// Takes the last line of what `virtme-run --show-command` printed.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .context("nothing printed")?;
        let mut words = shlex::split(text)
            .context("unbalanced quotes")?
            .into_iter()
            .peekable();
        let program = words.next().context("nothing printed")?;
        if !program.contains("qemu") {
            bail!("{text:?}");
        }
        let mut options = Vec::new();
        while let Some(name) = words.next() {
            if !name.starts_with('-') {
                bail!("{name:?} in {text:?} belongs to no option");
            }
            options.push((name, words.next_if(|next| !next.starts_with('-'))));
        }
        Ok(Self { program, options })
    }

    /// Leaves the machine itself: no ways out of it but `ports`, behind which they will be, and
    /// nothing that only a person needs.
    pub fn machine_only(&mut self, ports: &str) {
        self.options.retain(|(name, value)| {
            let value = value.as_deref().unwrap_or_default();
            match name.as_str() {
                "-chardev" | "-serial" | "-echr" | "-mon" | "-object" | "-monitor" => false,
                "-device" => !["virtio-serial", "virtserialport", "virtconsole", "i6300esb"]
                    .iter()
                    .any(|device| value.starts_with(device)),
                _ => true,
            }
        });
        self.add("-no-reboot", None);
        self.add("-monitor", Some("none"));
        self.add("-device", Some(ports));
    }

    /// Adds an option.
    pub fn add(&mut self, name: &str, value: Option<&str>) {
        self.options
            .push((name.to_owned(), value.map(str::to_owned)));
    }

    /// A named port of the guest. (Nobody at its end would make its writer wait.)
    pub fn add_port(&mut self, name: &str, id: &str, end: End<'_>) {
        self.add_chardev(id, end);
        self.add(
            "-device",
            Some(&format!("virtserialport,name={name},chardev={id}")),
        );
    }

    /// The serial console.
    pub fn add_console(&mut self, id: &str, end: End<'_>) {
        self.add_chardev(id, end);
        self.add("-serial", Some(&format!("chardev:{id}")));
        if let End::Terminal(_) = end {
            self.add("-mon", Some(&format!("chardev={id},mode=readline")));
        }
    }

    fn add_chardev(&mut self, id: &str, end: End<'_>) {
        let chardev = match end {
            End::Socket(path) => format!("socket,id={id},path={}", path.display()),
            End::File(path) => format!("file,id={id},append=on,path={}", path.display()),
            End::Terminal(None) => format!("stdio,id={id},signal=off,mux=on"),
            End::Terminal(Some(log)) => {
                let log = log.display();
                format!("stdio,id={id},signal=off,mux=on,logfile={log}")
            }
        };
        self.add("-chardev", Some(&chardev));
    }

    /// Replaces what virtme-ng tells the kernel by `ours`, but for how to mount the root.
    pub fn set_kernel_parameters(&mut self, ours: &[String]) {
        let old = self.options.iter().position(|(name, _)| name == "-append");
        let old = old.map(|index| self.options.remove(index));
        let old = old.and_then(|(_, value)| value).unwrap_or_default();
        let mut words = shlex::split(&old).unwrap_or_default();
        words.retain(|word| !NOT_OURS.iter().any(|start| word.starts_with(start)));
        let named = |word: &String| word.split_once('=').map(|(name, _)| name.to_owned());
        words.retain(|word| {
            named(word)
                .is_none_or(|name| !ours.iter().any(|our| named(our).as_ref() == Some(&name)))
        });
        words.extend(ours.iter().cloned());
        self.add("-append", Some(&words.join(" ")));
    }

    /// The program and its arguments.
    pub fn words(&self) -> Vec<&str> {
        let mut words = vec![self.program.as_str()];
        for (name, value) in &self.options {
            words.push(name);
            words.extend(value.as_deref());
        }
        words
    }
}

/// As one would type it.
impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&shlex::try_join(self.words()).unwrap_or_else(|_| self.words().join(" ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What virtme-run 1.42 printed for `Machine::line`.
    const REAL: &str = include_str!("fixtures/virtme-run.txt");

    #[test]
    fn the_line_of_virtme_ng_becomes_ours() {
        let mut line = Line::parse(REAL).unwrap();
        line.machine_only("virtio-serial-pci");
        line.set_kernel_parameters(&["rootflags=mine".to_owned(), "init=/vminit".to_owned()]);
        line.add_port("inetcr.out", "out", End::Socket(Path::new("/run/out")));
        let words = line.words();
        assert_eq!(words[0], "/usr/bin/qemu-system-x86_64");
        assert!(words.contains(&"virtio-9p-pci,fsdev=virtfs3,mount_tag=/dev/root"));
        assert!(
            !words
                .iter()
                .any(|word| word.contains("stdio") || word.contains("/proc/self"))
        );
        assert!(words.contains(&"rootfstype=9p ro rootflags=mine init=/vminit"));
        assert!(words.contains(&"socket,id=out,path=/run/out"));
        assert!(
            line.to_string()
                .contains("-append 'rootfstype=9p ro rootflags=mine")
        );
    }

    #[test]
    fn a_person_at_the_terminal_has_a_way_out() {
        let words = |end| {
            let mut line = Line::parse(REAL).unwrap();
            line.machine_only("virtio-serial-pci");
            line.add_console("console", end);
            line.words().join(" ")
        };
        for log in [None, Some(Path::new("/run/log"))] {
            let words = words(End::Terminal(log));
            assert!(words.contains("stdio,id=console,signal=off,mux=on"));
            assert!(words.contains("-mon chardev=console,mode=readline"));
        }
        let words = words(End::File(Path::new("/run/log")));
        assert!(!words.contains("mux=on") && !words.contains("-mon "));
    }

    #[test]
    fn what_is_no_command_line_is_refused() {
        assert!(Line::parse("").is_err());
        assert!(Line::parse("virtme-run: no kernel").is_err());
        assert!(Line::parse("qemu stray -m 1").is_err());
    }
}
