// SPDX-License-Identifier: GPL-2.0
//! `inetcr diff`.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgGroup;
use inetcr::{Difference, Image, Snapshot};
use serde_json::json;

use super::select::{OF_MACHINE, SELECTORS, Select};
use super::text;

/// Compare two images, or an image and sockets of the machine.
///
/// Sockets are compared that have the same addresses and ports, in their order; if there is one on
/// each side, these two. All counts but the numbers that say which socket it is (inode, cookie,
/// descriptor).
///
/// The exit status is that of diff(1): 0 if there is no difference, 1 if there is one, 2 if
/// something went wrong.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("socket").required(true).multiple(true).args(SOURCES))]
pub(crate) struct Args {
    /// Image that `inetcr dump` wrote, `-` for the standard input.
    #[arg(value_name = "FILE")]
    image: PathBuf,

    /// Image to compare it with.
    #[arg(value_name = "OTHER", conflicts_with_all = OF_MACHINE)]
    other: Option<PathBuf>,

    #[command(flatten)]
    select: Select,

    /// Print the differences as JSON.
    #[arg(long)]
    json: bool,
}

/// What the group of the command line has.
const SOURCES: [&str; 6] = {
    let [a, b, c, d, e] = SELECTORS;
    ["other", a, b, c, d, e]
};

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let left = self.select.filter.read(&self.image)?;
        let left = Image::new((left.sockets.into_iter()).map(|one| self.select.as_asked(one)));
        let right = if let Some(path) = &self.other {
            self.select.filter.read(path)?
        } else {
            let (image, outcome) = self.select.image()?;
            outcome.is_whole("")?;
            image
        };
        let changes = changes(&left.sockets, &right.sockets);
        if self.json {
            text::print(&report_json(&changes)?)?;
        } else {
            text::print(&report(&changes))?;
        }
        Ok(ExitCode::from(u8::from(!changes.is_empty())))
    }
}

/// What has become of a socket.
enum Change<'a> {
    Only(Side, &'a Snapshot),
    Other(&'a Snapshot, Vec<Difference>),
}

#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

fn changes<'a>(left: &'a [Snapshot], right: &'a [Snapshot]) -> Vec<Change<'a>> {
    let mut changes = Vec::new();
    let mut compare = |left: &'a Snapshot, right: &Snapshot| {
        let differences = left.differences(right);
        if !differences.is_empty() {
            changes.push(Change::Other(left, differences));
        }
    };
    if let ([left], [right]) = (left, right) {
        compare(left, right);
        return changes;
    }
    // The last is taken first: they are in reverse.
    let mut others = HashMap::<_, Vec<_>>::new();
    for (place, socket) in right.iter().enumerate().rev() {
        others.entry(ends(socket)).or_default().push(place);
    }
    let mut alone = vec![true; right.len()];
    let mut only = Vec::new();
    for socket in left {
        let other = others.get_mut(&ends(socket)).and_then(Vec::pop);
        match other.and_then(|place| Some((alone.get_mut(place)?, right.get(place)?))) {
            Some((alone, other)) => {
                *alone = false;
                compare(socket, other);
            }
            None => only.push(Change::Only(Side::Left, socket)),
        }
    }
    let added = right.iter().zip(alone).filter(|(_, alone)| *alone);
    only.extend(added.map(|(socket, _)| Change::Only(Side::Right, socket)));
    changes.extend(only);
    changes
}

/// What two sockets have to have alike to be compared.
fn ends(socket: &Snapshot) -> impl Eq + std::hash::Hash + use<> {
    let kind = (socket.sock_type, socket.sock_protocol);
    (kind, socket.local(), socket.peer())
}

fn report(changes: &[Change<'_>]) -> String {
    let mut report = String::new();
    for change in changes {
        // Writing to a string does not fail.
        let _ = match change {
            Change::Only(Side::Left, socket) => writeln!(report, "- {}", text::headline(socket)),
            Change::Only(Side::Right, socket) => writeln!(report, "+ {}", text::headline(socket)),
            Change::Other(socket, differences) => {
                let _ = writeln!(report, "  {}", text::headline(socket));
                differences.iter().try_for_each(|one| {
                    let side = |value: &Option<String>| value.clone().unwrap_or("absent".into());
                    let (left, right) = (side(&one.left), side(&one.right));
                    writeln!(
                        report,
                        "-     {}  {left}\n+     {}  {right}",
                        one.name, one.name
                    )
                })
            }
        };
    }
    report
}

fn report_json(changes: &[Change<'_>]) -> anyhow::Result<String> {
    let (mut removed, mut added, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for change in changes {
        match change {
            Change::Only(Side::Left, socket) => removed.push(*socket),
            Change::Only(Side::Right, socket) => added.push(*socket),
            Change::Other(socket, differences) => {
                let differences: Vec<_> = differences
                    .iter()
                    .map(|one| json!({ "what": one.name, "left": one.left, "right": one.right }))
                    .collect();
                others.push(json!({
                    "local": socket.local(),
                    "peer": socket.peer(),
                    "differences": differences,
                }));
            }
        }
    }
    let report = json!({ "removed": removed, "added": added, "changed": others });
    Ok(serde_json::to_string_pretty(&report)? + "\n")
}

#[cfg(test)]
mod tests {
    use inetcr::State;

    use super::*;

    fn socket(port: u16, tos: u32) -> Snapshot {
        let ip = inetcr::Ip {
            tos: Some(tos),
            ..inetcr::Ip::default()
        };
        let state = State {
            inode: Some(tos.into()),
            sock_type: Some(2),
            sock_protocol: Some(17),
            sock_family: Some(2),
            local_port: Some(port),
            ip: Some(ip),
            ..State::default()
        };
        state.into()
    }

    fn shown(left: &[Snapshot], right: &[Snapshot]) -> String {
        report(&changes(left, right))
    }

    #[test]
    fn one_and_one_are_compared_whatever_they_are() {
        let said = shown(&[socket(53, 1)], &[socket(54, 1)]);
        let expected = "  udp ? 0.0.0.0:53 *:* ino:1\n-     local-port  53\n+     local-port  54\n";
        assert_eq!(said, expected);
        assert_eq!(shown(&[socket(53, 1)], &[socket(53, 1)]), "");
    }

    #[test]
    fn many_are_compared_by_where_they_are_in_their_order() {
        let left = [socket(53, 1), socket(53, 2), socket(54, 1), socket(55, 1)];
        let right = [socket(56, 1), socket(53, 1), socket(54, 3), socket(53, 4)];
        let expected = "  udp ? 0.0.0.0:53 *:* ino:2\n-     ip.tos  0x2\n+     ip.tos  0x4\n  \
                        udp ? 0.0.0.0:54 *:* ino:1\n-     ip.tos  0x1\n+     ip.tos  0x3\n\
                        - udp ? 0.0.0.0:55 *:* ino:1\n+ udp ? 0.0.0.0:56 *:* ino:1\n";
        assert_eq!(shown(&left, &right), expected);
        let json: serde_json::Value =
            serde_json::from_str(&report_json(&changes(&left, &right)).unwrap()).unwrap();
        assert_eq!(json["removed"][0]["local-port"], 55);
        assert_eq!(json["added"][0]["local-port"], 56);
        assert_eq!(json["changed"][0]["differences"][0]["what"], "ip.tos");
    }
}
