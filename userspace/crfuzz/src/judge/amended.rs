// SPDX-License-Identifier: GPL-2.0

//! The rules of AMEND.
//!
//! - after an error number the socket is what it was;
//! - what no report is about is in a dump afterwards, as the message has it;
//! - what the message does not name stays, but for what an option that it names changes, too;
//! - a report is about something that the message has, and says why in words;
//! - datagrams are reported;
//! - the answer names the socket that was meant.
//!
//! They hold while nobody else uses the socket.

use anyhow::Result;

use crate::attrs;
use crate::grammar::{Grammar, MESSAGE};

use super::Wrong;
use super::state::{Group, Key, Reading, State, key};

/// What traffic changes, or what counts for more if it comes from there.
const VOLATILE: &[&str] = &[
    "queue-len",
    "error-queue-len",
    "error",
    "soft-error",
    "sockopt-incoming-cpu",
];

/// What is no state of the socket, in a request.
const NO_STATE: &[&str] = &[
    "inode",
    "cookie",
    "sock-fd",
    "pidfd",
    "cgroup",
    "reuseport-index",
    "lost",
    "allow-lost",
    "report",
];

/// What says that datagrams wait.
const LENGTHS: &[&str] = &["queue-len", "error-queue-len", "cork-len"];

/// Options that change others, too.
const EFFECTS: &[(&str, &[&str])] = &[
    // IP_TOS sets the priority.
    ("ip.tos", &["sockopt-priority"]),
    // They share flags. The one starts to count anew, the other begins to note the time, which is
    // told from then on.
    (
        "sockopt-timestamping.flags",
        &["sockopt-timestamp", "tskey"],
    ),
    (
        "sockopt-timestamp",
        &["sockopt-timestamping.new", TIMESTAMP, STAMP],
    ),
    ("sockopt-flags", &[STAMP]),
    // Each lowers the other.
    ("pacing-rate", &["sockopt-max-pacing-rate"]),
    ("sockopt-max-pacing-rate", &["pacing-rate"]),
    // One is there in the place of the other. Groups of SO_REUSEPORT are of a device.
    (
        "sockopt-bindtodevice",
        &["bound-ifindex", "reuseport-filter"],
    ),
    (
        "bound-ifindex",
        &["sockopt-bindtodevice", "reuseport-filter"],
    ),
    // A datagram that is let go has its number, and is not there any more. With UDP_ENCAP, UDP_GRO
    // leaves gro-receive behind.
    ("udp.flags", &["cork-len", "tskey", GRO_RECEIVE]),
    ("udp.encap", &[ENCAP_RCV, GRO_RECEIVE]),
];

/// Whether the time is noted, and what was noted last.
const TIMESTAMP: &str = "sockopt-flags bit 0x800";
const STAMP: &str = "stamp";

/// What is told of who has noted none, if he was to do so.
const NO_STAMP: i64 = -1_000_000_000;

/// What `UDP_ENCAP` leaves behind.
const ENCAP_RCV: &str = "udp.flags bit 0x10";
const GRO_RECEIVE: &str = "udp.flags bit 0x20";

/// Two attributes of one value: a report about the first is about both.
const PAIRS: &[(&str, &str)] = &[
    ("ip.multicast-ifname", "ip.multicast-addr"),
    ("sockopt-bindtodevice", "bound-ifindex"),
];

/// What is rounded up to the clock of the kernel: by less than this.
const ROUNDED: &[&str] = &["sockopt-rcvtimeo", "sockopt-sndtimeo"];
const JIFFY: i64 = 10_000_000;

/// An error number that may come when all was done: there is no room for the answer.
const NO_ROOM: &[i32] = &[libc::EAGAIN, libc::ENOBUFS];

/// What was not applied.
#[derive(Debug, Default)]
struct Report {
    attr: Option<u16>,
    nest: u16,
    index: usize,
    bit: u32,
    errno: u32,
    words: bool,
}

impl Report {
    /// Whether it is about a value.
    fn is_about(&self, key: Key) -> bool {
        let Some(attr) = self.attr else {
            // The socket as a whole.
            return true;
        };
        let bit = self.bit == 0 || self.bit == key.bit;
        (attr == key.nest && self.nest == 0) || ((self.nest, attr) == (key.nest, key.attr) && bit)
    }
}

/// What was asked, and what came of it.
#[derive(Clone, Copy, Debug)]
pub struct Amended<'a> {
    /// The attributes of the request.
    pub request: &'a [u8],
    /// The error number.
    pub errno: i32,
    /// The attributes of the answer.
    pub answer: &'a [u8],
    /// What was dumped of the socket before and after.
    pub before: &'a [u8],
    pub after: &'a [u8],
}

/// The rules.
#[derive(Debug)]
pub struct Rules<'g> {
    grammar: &'g Grammar,
    reading: Reading<'g>,
    volatile: Vec<Key>,
    no_state: Vec<Key>,
    lengths: Vec<Key>,
    stamp: Key,
    effects: Vec<(Key, Vec<Key>)>,
    pairs: Vec<(Key, Key)>,
    rounded: Vec<Key>,
    identity: Vec<u16>,
    which: [u16; 2],
    membership: u16,
    report: u16,
}

impl<'g> Rules<'g> {
    pub fn new(grammar: &'g Grammar) -> Result<Self> {
        let list = |paths: &[&str]| {
            let keys = paths.iter().map(|path| key(grammar, path));
            keys.collect::<Result<Vec<_>>>()
        };
        let number = |name| grammar.number(MESSAGE, name);
        let effects = EFFECTS.iter().map(|(of, on)| {
            let of = key(grammar, of)?;
            Ok((of, list(on)?))
        });
        let pairs = PAIRS.iter().map(|(one, other)| {
            let one = key(grammar, one)?;
            Ok((one, key(grammar, other)?))
        });
        Ok(Self {
            grammar,
            reading: Reading::new(grammar)?,
            volatile: list(VOLATILE)?,
            no_state: list(NO_STATE)?,
            lengths: list(LENGTHS)?,
            effects: effects.collect::<Result<_>>()?,
            pairs: pairs.collect::<Result<_>>()?,
            rounded: list(ROUNDED)?,
            stamp: key(grammar, STAMP)?,
            identity: grammar.identity()?,
            which: [number("inode")?, number("cookie")?],
            membership: number("membership")?,
            report: number("report")?,
        })
    }

    /// Gives the values that were applied, and whether that changed them, or says what is wrong.
    pub fn judge(&self, what: Amended<'_>) -> Result<Vec<(Key, bool)>, Wrong> {
        let dump = |bytes| self.reading.dump(&attrs::without(bytes, &self.identity));
        let (before, after) = (dump(what.before), dump(what.after));
        if what.errno != 0 {
            if NO_ROOM.contains(&what.errno) {
                return Ok(Vec::new());
            }
            let nothing = State::default();
            self.unchanged(&before, &after, &nothing).map_err(|wrong| {
                format!(
                    "an amendment is refused with errno {}, and something was done: {wrong}",
                    what.errno
                )
            })?;
            return Ok(Vec::new());
        }
        for number in &self.which {
            let value = |bytes: &[u8]| {
                attrs::get(bytes, *number).map(|found| bytes[found.payload()..found.end()].to_vec())
            };
            if value(what.answer) != value(what.after) {
                return Err("the answer to an amendment is about another socket".to_owned());
            }
        }
        let reports = self.reports(what.answer);
        reports_are_good(&reports, what.request)?;
        let wanted = self.reading.state(what.request);
        let done = self.applied(&wanted, &after, &reports)?;
        self.unchanged(&before, &after, &wanted)
            .map_err(|wrong| format!("an amendment did more than it was asked for: {wrong}"))?;
        let changed = |key| before.values.get(&key) != after.values.get(&key);
        Ok(done.into_iter().map(|key| (key, changed(key))).collect())
    }

    /// Whether a message names a value, or what changes it, too.
    fn names(&self, wanted: &State, key: Key) -> bool {
        let has = |one: &Key| {
            let mut keys = wanted.values.keys();
            keys.any(|key| (one.nest, one.attr) == (key.nest, key.attr))
        };
        let effect = |(of, on): &(Key, Vec<Key>)| on.contains(&key) && has(of);
        let pair =
            |(one, other): &(Key, Key)| (key == *one && has(other)) || (key == *other && has(one));
        wanted.values.contains_key(&key)
            || self.effects.iter().any(effect)
            || self.pairs.iter().any(pair)
    }

    fn reports(&self, answer: &[u8]) -> Vec<Report> {
        let set = self.grammar.nested(MESSAGE, self.report);
        let all = attrs::all(answer).filter(|one| one.number() == self.report);
        let read = all.map(|nest| {
            let mut report = Report::default();
            for found in attrs::walk(answer, nest.payload(), nest.end()) {
                let word = attrs::word(answer, found.payload());
                let half = u16::try_from(word).unwrap_or_default();
                let known = set.and_then(|set| self.grammar.attribute(set, found.number()));
                match known.map(|one| one.name.as_str()) {
                    Some("attr") => report.attr = Some(half),
                    Some("nest") => report.nest = half,
                    Some("index") => report.index = usize::try_from(word).unwrap_or_default(),
                    Some("bit") => report.bit = word,
                    Some("errno") => report.errno = word,
                    Some("msg") => report.words = found.len > 1,
                    _ => {}
                }
            }
            report
        });
        read.collect()
    }

    /// All that no report is about is in a dump.
    fn applied(
        &self,
        wanted: &State,
        after: &State,
        reports: &[Report],
    ) -> Result<Vec<Key>, Wrong> {
        let reported = |key: Key| {
            let pair = self.pairs.iter().find_map(|(one, other)| match key {
                key if key == *other => Some(*one),
                key if key == *one => Some(*other),
                _ => None,
            });
            let is_about = |key| reports.iter().any(|report| report.is_about(key));
            is_about(key) || pair.is_some_and(is_about)
        };
        let mut done = Vec::new();
        for (key, value) in &wanted.values {
            if self.lengths.contains(key) {
                let some = attrs::word(value, 0) != 0 || Some(key) == self.lengths.last();
                if some && !reported(*key) {
                    return Err(format!(
                        "an amendment says nothing of {}",
                        self.reading.name(*key)
                    ));
                }
                continue;
            }
            if self.no_state.contains(key) || self.volatile.contains(key) || reported(*key) {
                continue;
            }
            if !self.is(*key, value, after.values.get(key)) {
                return Err(format!(
                    "an amendment says nothing of {}, which was to be {value:02x?} and is {:02x?}",
                    self.reading.name(*key),
                    after.values.get(key)
                ));
            }
            done.push(*key);
        }
        for (nth, group) in wanted.groups.iter().enumerate() {
            let about = |report: &Report| {
                report.attr.is_none()
                    || (report.attr == Some(self.membership) && report.index == nth)
            };
            // Of two that are about one group, the last counts.
            let later = &wanted.groups[nth + 1..];
            if reports.iter().any(about) || later.iter().any(|one| one.key == group.key) {
                continue;
            }
            if !after.groups.contains(group) {
                return Err(format!(
                    "an amendment says nothing of membership {nth}, which was to be {group:02x?}: \
                     {:02x?}",
                    after.groups
                ));
            }
            done.push(Key {
                nest: 0,
                attr: self.membership,
                bit: 0,
            });
        }
        Ok(done)
    }

    /// Whether a socket has a value.
    fn is(&self, key: Key, wanted: &[u8], actual: Option<&Vec<u8>>) -> bool {
        let long = |bytes: &[u8]| bytes.try_into().map(i64::from_ne_bytes).ok();
        let Some(actual) = actual else {
            let int = |bytes: &[u8]| bytes.try_into().map(i32::from_ne_bytes).ok();
            let wanted = long(wanted).or_else(|| int(wanted).map(i64::from));
            return key == self.stamp && wanted == Some(NO_STAMP);
        };
        match (long(wanted), long(actual)) {
            (Some(wanted), Some(actual)) if self.rounded.contains(&key) => {
                (0..JIFFY).contains(&actual.saturating_sub(wanted))
            }
            _ => wanted == actual,
        }
    }

    /// What a message does not name is what it was.
    fn unchanged(&self, before: &State, after: &State, wanted: &State) -> Result<(), Wrong> {
        for key in before.values.keys().chain(after.values.keys()) {
            let (was, is) = (before.values.get(key), after.values.get(key));
            if was != is && !self.volatile.contains(key) && !self.names(wanted, *key) {
                return Err(format!(
                    "{} was {was:02x?} and is {is:02x?}",
                    self.reading.name(*key)
                ));
            }
        }
        let others = |state: &State| {
            let named = |group: &Group| wanted.groups.iter().any(|one| one.key == group.key);
            let groups = state.groups.iter().filter(|group| !named(group));
            groups.cloned().collect::<Vec<_>>()
        };
        let (was, is) = (others(before), others(after));
        if was != is {
            return Err(format!("the memberships were {was:02x?} and are {is:02x?}"));
        }
        Ok(())
    }
}

/// Each report is about something that was asked for, and says why.
fn reports_are_good(reports: &[Report], request: &[u8]) -> Result<(), Wrong> {
    for report in reports {
        if !(1..512).contains(&report.errno) {
            return Err(format!("a report with the error number {}", report.errno));
        }
        if !report.words && report.errno != libc::ENOMEM.unsigned_abs() {
            return Err(format!("a report without a word: {report:?}"));
        }
        let Some(attr) = report.attr else {
            continue;
        };
        let top = if report.nest == 0 { attr } else { report.nest };
        let mut all = attrs::all(request).filter(|one| one.number() == top);
        if all.nth(report.index).is_none() {
            return Err(format!("a report about what nobody asked for: {report:?}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"["inode","05000000"],["cookie","06000000"],
        ["sock-state","07000000"],["bind-locks","00000000"],["sockopt-mark","00000000"],
        ["sockopt-priority","00000000"],["sockopt-rcvtimeo","ffffffff"],
        ["sockopt-flags","01000000"],["sockopt-flags-mask","ff070000"],
        ["ip",[["flags","00000000"],["flags-mask","ffff0000"],["tos","00000000"],
               ["options","01010100"],["multicast-ifname","00"],["multicast-addr","00000000"]]],
        ["udp",[["flags","00000000"],["flags-mask","3f000000"],["encap","00000000"]]],
        ["membership",[["group","ef010203"],["ifname","6c6f00"],["exclude","01000000"]]]"#;

    /// Attributes, as they are written in cases.
    fn attrs(text: &str) -> Vec<u8> {
        let grammar = Grammar::load().unwrap();
        let line = format!(r#"[{{"send":[{{"op":"amend","attrs":[{text}]}}]}}]"#);
        let case = crate::text::read(&grammar, &line).unwrap();
        case.0[0].requests[0].attrs.clone()
    }

    /// What is said of a request, an answer, and a dump that differs from the one before.
    fn verdict(
        request: &str,
        errno: i32,
        reports: &[&str],
        changes: &[(&str, &str)],
    ) -> Result<usize, Wrong> {
        let grammar = Grammar::load().unwrap();
        let after = changes.iter().fold(BEFORE.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        });
        let reports = reports.iter().map(|one| format!(r#",["report",[{one}]]"#));
        let reports: String = reports.collect();
        let answer = format!(r#"["inode","05000000"],["cookie","06000000"]{reports}"#);
        let rules = Rules::new(&grammar).unwrap();
        let done = rules.judge(Amended {
            request: &attrs(&format!(r#"["sock-fd","64000000"],{request}"#)),
            errno,
            answer: &attrs(&answer),
            before: &attrs(BEFORE),
            after: &attrs(&after),
        });
        done.map(|done| done.len())
    }

    const MARK: &str = r#"["sockopt-mark","07000000"]"#;
    const MARKED: (&str, &str) = (r#""sockopt-mark","00"#, r#""sockopt-mark","07"#);

    fn wrong(found: Result<usize, Wrong>, says: &str) {
        let found = found.unwrap_err();
        assert!(found.contains(says), "{found}");
    }

    #[test]
    fn what_was_asked_for_is_done() {
        assert_eq!(verdict(MARK, 0, &[], &[MARKED]), Ok(1));
        assert_eq!(verdict(MARK, 22, &[], &[]), Ok(0));
        // A bit with its mask, a time that is rounded, an effect, a name by a map.
        let flags = r#"["sockopt-flags","00000000"],["sockopt-flags-mask","01000000"]"#;
        let changed = [(r#"flags","01"#, r#"flags","00"#)];
        assert_eq!(verdict(flags, 0, &[], &changed), Ok(1));
        let time = r#"["sockopt-rcvtimeo","01000000"]"#;
        let changed = [(r#"timeo","ffffffff"#, r#"timeo","40420f00"#)];
        assert_eq!(verdict(time, 0, &[], &changed), Ok(1));
        let tos = r#"["ip",[["tos","10000000"]]]"#;
        let changed = [
            (r#"tos","00"#, r#"tos","10"#),
            (r#"priority","00"#, r#"priority","06"#),
        ];
        assert_eq!(verdict(tos, 0, &[], &changed), Ok(1));
        let none = r#"["ip",[["options",""]]]"#;
        let changed = [(r#"["options","01010100"],"#, "")];
        assert_eq!(verdict(none, 0, &[], &changed), Ok(1));
        wrong(
            verdict(MARK, 0, &[], &[MARKED, changed[0]]),
            "ip.options was",
        );
        wrong(verdict(none, 0, &[], &[]), "says nothing of ip.options");
        let name = r#"["ip",[["multicast-ifname","653700"]]],
            ["map",[["device","653700"],["to-device","6c6f00"]]]"#;
        let changed = [(r#"multicast-ifname","00"#, r#"multicast-ifname","6c6f00"#)];
        assert_eq!(verdict(name, 0, &[], &changed), Ok(2));
        let encap = r#"["udp",[["encap","02000000"]]]"#;
        let changed = [
            (r#""encap","00"#, r#""encap","02"#),
            (
                r#"["flags","00000000"],["flags-mask","3f"#,
                r#"["flags","10000000"],["flags-mask","3f"#,
            ),
        ];
        assert_eq!(verdict(encap, 0, &[], &changed), Ok(1));
        // No other bit is changed by that.
        let more = [
            changed[0],
            (changed[1].0, r#"["flags","14000000"],["flags-mask","3f"#),
        ];
        wrong(verdict(encap, 0, &[], &more), "udp.flags bit 0x4");
    }

    #[test]
    fn what_was_not_done_is_found() {
        wrong(verdict(MARK, 0, &[], &[]), "says nothing of sockopt-mark");
        wrong(verdict(MARK, 22, &[], &[MARKED]), "something was done");
        let flags = r#"["sockopt-flags","00000000"],["sockopt-flags-mask","01000000"]"#;
        wrong(verdict(flags, 0, &[], &[]), "sockopt-flags bit 0x1");
        let group = r#"["membership",[["group","ef010203"],["ifname","6c6f00"],
            ["exclude","00000000"],["source","7f000001"]]]"#;
        wrong(verdict(group, 0, &[], &[]), "says nothing of membership 0");
        wrong(
            verdict(r#"["queue-len","02000000"]"#, 0, &[], &[]),
            "of queue-len",
        );
        let other = [MARKED, (r#"priority","00"#, r#"priority","06"#)];
        wrong(verdict(MARK, 0, &[], &other), "more than it was asked for");
        let cookie = [MARKED, (r#""cookie","06"#, r#""cookie","07"#)];
        wrong(verdict(MARK, 0, &[], &cookie), "about another socket");
    }

    #[test]
    fn what_is_reported_need_not_be_done() {
        let grammar = Grammar::load().unwrap();
        let mark = key(&grammar, "sockopt-mark").unwrap();
        let about = format!(r#"["attr","{:02x}000000"]"#, mark.attr);
        let good = format!(r#"{about},["errno","01000000"],["msg","6e6f00"]"#);
        assert_eq!(verdict(MARK, 0, &[&good], &[]), Ok(0));
        let silent = format!(r#"{about},["errno","01000000"]"#);
        wrong(verdict(MARK, 0, &[&silent], &[]), "without a word");
        let zero = format!(r#"{about},["errno","00000000"],["msg","6e6f00"]"#);
        wrong(verdict(MARK, 0, &[&zero], &[]), "the error number 0");
        let tos = r#"["ip",[["tos","00000000"]]]"#;
        wrong(verdict(tos, 0, &[&good], &[]), "what nobody asked for");
    }
}
