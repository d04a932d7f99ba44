// SPDX-License-Identifier: GPL-2.0

//! The tests.

mod addresses;
mod amend;
mod cgroup;
mod clock;
mod cork;
pub mod criu;
mod encap;
mod errqueue;
mod faults;
mod forgotten;
mod lifetime;
mod losses;
mod many;
mod maps;
mod memberships;
mod name_server;
mod not_found;
mod options;
mod owner;
mod queue;
mod random;
mod recipe;
mod refusals;
mod selectors;
mod selfcheck;
mod shutdown;
mod stress;
mod tools;
mod usage;
mod user;

use std::io::{self, Read as _};
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::places::PORT;
use crate::runner::Test;
use crate::sys::socket;
use crate::sys::task::{self, Child};
pub use random::Random;

/// Every test, in the order in which they run.
pub fn all(random: Random) -> Vec<Test> {
    [
        selfcheck::tests(random),
        options::tests(),
        addresses::tests(),
        memberships::tests(),
        random::tests(random),
        selectors::tests(),
        not_found::tests(),
        usage::tests(),
        encap::tests(),
        shutdown::tests(),
        owner::tests(),
        user::tests(),
        cgroup::tests(),
        clock::tests(),
        forgotten::tests(),
        losses::tests(),
        queue::tests(),
        cork::tests(),
        errqueue::tests(),
        many::tests(),
        maps::tests(),
        recipe::tests(),
        name_server::tests(),
        amend::tests(),
        refusals::tests(),
        lifetime::tests(),
        stress::tests(),
        tools::tests(),
        criu::script::tests(),
        faults::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Sends this to an address as fast as it can, from a socket that `sender` makes, until it is
/// dropped.
///
/// It begins when the original is where it shall be: what comes before that is no stranger's.
fn flood<E>(
    to: (Ipv4Addr, u16),
    bytes: &[u8],
    sender: impl FnOnce() -> Result<UdpSocket, E>,
) -> io::Result<Child> {
    let (mut open, theirs) = io::pipe()?;
    let child = task::fork(|| {
        // It must not keep a port.
        let (Ok(()), Ok(sender)) = (task::close_all_but_standard(), sender()) else {
            return 1;
        };
        loop {
            let _ = sender.send_to(bytes, to);
        }
    })?;
    drop(theirs);
    // It ends when the child has closed what it has of ours.
    open.read_to_end(&mut Vec::new())?;
    Ok(child)
}

/// [`flood`] of the port by a stranger on this machine.
fn flood_by_a_stranger() -> io::Result<Child> {
    let localhost = Ipv4Addr::LOCALHOST;
    flood((localhost, PORT), b"let me in", || {
        UdpSocket::bind((localhost, 0))
    })
}

/// Fails unless a socket without a peer gets something of the flood, when the other one is closed.
fn is_flooded() -> Result<()> {
    let witness = UdpSocket::bind((Ipv4Addr::LOCALHOST, PORT))?;
    ensure!(
        socket::readable(&witness, Duration::from_secs(5))?,
        "nothing was sent"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;
    use wildmatch::WildMatch;

    use super::{Random, all};
    use crate::runner::{MACHINE, NAMESPACES};

    #[derive(Parser)]
    struct Default {
        #[command(flatten)]
        random: Random,
    }

    /// What the kernel carries beside the options of the table of options here, and tests of it.
    const OTHERS: &[(&str, &str)] = &[
        ("SO_DOMAIN", "refusals::range::sock_family::*"),
        ("SO_TYPE", "refusals::range::sock_type::*"),
        ("SO_PROTOCOL", "refusals::range::sock_protocol::*"),
        ("encap_rcv of UDP_ENCAP", "encap::histories::*"),
        ("gro_receive of UDP_ENCAP", "encap::histories::*"),
        ("the pacing rate", "options::pacing_rate::*"),
        ("SO_BUF_LOCK", "options::*buf_ulock::*"),
        ("SOCK_TIMESTAMP", "usage::socket::stamp"),
        ("SIOCGSTAMP", "usage::socket::stamp"),
        ("SOF_TIMESTAMPING_OPT_ID", "cork::stamps::numbered"),
        ("MSG_ZEROCOPY", "errqueue::goes_on"),
        ("SO_ERROR", "forgotten::pending_error"),
        ("a soft error", "amend::errors"),
        ("shutdown()", "shutdown::*"),
        ("the count of drops", "queue::arrivals::told_of_drops"),
    ];

    /// A row of the kernel's table of options has a row of that name in the one here, or it is
    /// known where else it is tested.
    #[test]
    fn what_the_kernel_carries_is_tested() {
        let tests = all(Default::parse_from([""]).random);
        let text = include_str!("../../../../net/ipv4/af_inet_cr/options.rs");
        let table = text.split("static OPTIONS: &[SocketOption] = &[\n").nth(1);
        let table = table.and_then(|table| table.split("\n];\n").next());
        let table = table.expect("no table of options");
        // The only text of a row is its name, and its first line calls a function.
        let names: Vec<_> = table.split('"').skip(1).step_by(2).collect();
        let first = |line: &&str| {
            line.strip_prefix("    ")
                .is_some_and(|row| row.starts_with(|first: char| first.is_ascii_lowercase()))
        };
        assert_eq!(
            names.len(),
            table.lines().filter(first).count(),
            "{names:?}"
        );
        assert!(names.len() > 60, "{names:?}");
        for (name, _) in OTHERS {
            assert!(names.contains(name), "the kernel carries no {name}");
        }
        for name in names {
            let row = name.strip_prefix("SO_").unwrap_or(name).to_lowercase();
            let other = OTHERS.iter().find(|other| other.0 == name);
            let pattern = other.map_or_else(|| format!("options::{row}::*"), |it| it.1.into());
            let matcher = WildMatch::new(&pattern);
            assert!(
                tests.iter().any(|test| matcher.matches(&test.name)),
                "nothing tests {name}: no test is called {pattern}"
            );
        }
    }

    /// The documentation names tests as proofs: by patterns that match some.
    #[test]
    fn the_documentation_names_tests_that_exist() {
        let tests = all(Default::parse_from([""]).random);
        let pages = [
            include_str!("../../../../docs/rfc-2007.md"),
            include_str!("../../../README.md"),
        ];
        let (in_kernel, patterns): (Vec<_>, Vec<_>) = pages
            .iter()
            .flat_map(|page| page.split('`'))
            .filter(|code| code.contains("::") && !code.contains(['(', ' ', '/']))
            .filter(|code| code.starts_with(|first: char| first.is_ascii_lowercase()))
            // They are a suite of their own.
            .filter(|code| !code.starts_with("criu::"))
            .partition(|code| code.starts_with("kunit::"));
        assert!(patterns.len() > 30, "{patterns:?}");
        for pattern in patterns {
            let matcher = WildMatch::new(pattern);
            let mut names = tests
                .iter()
                .map(|test| &*test.name)
                .chain([MACHINE, NAMESPACES]);
            assert!(
                names.any(|name| matcher.matches(name)),
                "no test is called {pattern}"
            );
        }

        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let kernel = ["net", "linux-patches/tree/rust"].map(|dir| sources(&root.join(dir)));
        assert!(in_kernel.len() > 5, "{in_kernel:?}");
        for name in in_kernel {
            let parts: Vec<_> = name.split("::").skip(1).collect();
            let [suite, test] = parts[..] else { continue };
            let line = match test {
                "*" => format!("kunit_tests({suite})]"),
                _ => format!("fn {test}("),
            };
            assert!(
                kernel.iter().any(|text| text.contains(&line)),
                "nothing in the kernel has {line}, for {name}"
            );
        }
    }

    /// All files below a directory, one behind the other.
    fn sources(dir: &Path) -> String {
        let entries = std::fs::read_dir(dir).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let texts = paths.map(|path| {
            if path.is_dir() {
                sources(&path)
            } else {
                std::fs::read_to_string(&path).unwrap()
            }
        });
        texts.collect()
    }
}
