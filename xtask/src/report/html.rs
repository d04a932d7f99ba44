// SPDX-License-Identifier: GPL-2.0

//! The run as one page, for somebody who was not there. It needs nothing beside it, and no script.

use crate::{
    complaints::Complaint,
    report::{
        About,
        Times,
        junit,
        word, //
    },
    ui,
    verdict::{
        Case,
        Outcome,
        RUN_ITSELF,
        Verdict, //
    },
    vm::guest::Record, //
};
use anyhow::Result;
use askama::Template;
use ktap::{
    Status,
    Totals, //
};
use std::{
    fmt::Write as _,
    time::Duration, //
};

/// How many of the slowest tests are shown.
const SLOWEST: usize = 15;

/// How many lines of a console are shown: this many of its begin and of its end, ...
const ENDS: usize = 5_000;

/// ... and so many around each complaint that is shown.
const AROUND: usize = 200;

/// How many complaints are shown, of a kernel that cannot stop. All are in the other files.
const COMPLAINTS: usize = 50;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    word: &'static str,
    good: bool,
    status: u8,
    what: &'a str,
    when: &'a str,
    counts: Totals,
    total: String,
    complaints: Vec<Found>,
    /// How many more there are.
    more: usize,
    problems: Vec<String>,
    lost: bool,
    qemu: String,
    failed: Vec<Test>,
    alone: bool,
    environment: Vec<(&'a str, String)>,
    times: Vec<(&'static str, Vec<Bar>)>,
    groups: Vec<Group>,
    log: &'static str,
    passed_over: Vec<String>,
    console: Vec<Line>,
    /// Of the whole console.
    lines: usize,
    options: usize,
    config: String,
    files: &'a [String],
}

struct Found {
    kind: &'static str,
    line: usize,
    text: String,
}

struct Test {
    name: String,
    class: &'static str,
    word: &'static str,
    took: String,
    text: String,
}

struct Bar {
    name: String,
    time: String,
    /// Of the longest.
    percent: u32,
}

/// The tests of one area.
struct Group {
    name: String,
    bad: bool,
    counts: Totals,
    took: String,
    tests: Vec<Test>,
}

struct Line {
    number: usize,
    text: String,
    bad: bool,
    /// Whether lines before it are left out.
    after_gap: bool,
}

/// Writes the page; `files` are those of the folder.
pub fn page(
    verdict: &Verdict,
    record: &Record,
    times: &Times,
    about: &About,
    files: &[String],
) -> Result<String> {
    let (log, text) = match verdict.complaints.first() {
        Some(first) if first.file == "dmesg.log" => ("dmesg.log", &record.facts.log),
        _ => ("console.log", &record.console),
    };
    let shown = &verdict.complaints[..verdict.complaints.len().min(COMPLAINTS)];
    let set: Vec<_> = about
        .config
        .lines()
        .filter(|line| line.starts_with("CONFIG_"))
        .collect();
    let page = Page {
        word: verdict.word(),
        good: verdict.outcome == Outcome::Passed,
        status: verdict.status(),
        what: &about.what,
        when: &about.when,
        counts: verdict.totals,
        total: ui::seconds(times.total()),
        complaints: shown.iter().map(found).collect(),
        more: verdict.complaints.len() - shown.len(),
        problems: verdict.problems.iter().map(|text| visible(text)).collect(),
        lost: verdict.outcome >= Outcome::Lost,
        qemu: visible(record.qemu.trim()),
        failed: with_status(verdict, Status::Failed)
            .map(|case| test(&case.name, case, true))
            .collect(),
        alone: verdict.failed.iter().any(|name| name == RUN_ITSELF),
        environment: environment(about, record),
        times: bars(verdict, times),
        groups: groups(verdict),
        log,
        passed_over: verdict
            .passed_over
            .iter()
            .map(|line| visible(line))
            .collect(),
        console: console(text, &verdict.complaints, shown),
        lines: text.lines().count(),
        options: set.len(),
        config: set.join("\n"),
        files,
    };
    Ok(page.render()?)
}

fn with_status(verdict: &Verdict, status: Status) -> impl Iterator<Item = &Case> {
    verdict
        .tests
        .iter()
        .filter(move |case| case.status == status)
}

fn found(complaint: &Complaint) -> Found {
    Found {
        kind: complaint.kind,
        line: complaint.line,
        text: joined(&complaint.excerpt),
    }
}

fn test(name: &str, case: &Case, with_text: bool) -> Test {
    Test {
        name: visible(name),
        class: match case.status {
            Status::Passed => "good",
            Status::Failed => "bad",
            Status::Skipped | Status::ExpectedFailure => "soft",
        },
        word: word(case.status),
        took: case.took.map(ui::seconds).unwrap_or_default(),
        text: if with_text {
            joined(&case.text)
        } else {
            String::new()
        },
    }
}

fn environment<'a>(about: &'a About, record: &Record) -> Vec<(&'a str, String)> {
    let said = |words: &str| {
        let line = record.log().lines().find(|line| line.contains(words))?;
        Some(visible(line.split_once(words)?.1))
    };
    let kernel = said("Linux version ");
    let parameters = said("Kernel command line: ");
    let mut all = vec![("kernel", kernel.unwrap_or_else(|| "did not say".to_owned()))];
    all.extend(
        about
            .facts
            .iter()
            .map(|(name, value)| (*name, visible(value))),
    );
    all.extend(parameters.map(|text| ("kernel's command line", text)));
    let notes = record.facts.notes.iter();
    all.extend(notes.map(|note| ("the guest noted", visible(note))));
    all
}

fn bars(verdict: &Verdict, times: &Times) -> Vec<(&'static str, Vec<Bar>)> {
    let parts = times.0.iter().map(|(name, time)| (*name, *time)).collect();
    let mut tests: Vec<_> = verdict
        .tests
        .iter()
        .filter_map(|case| Some((case.name.as_str(), case.took?)))
        .collect();
    tests.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    tests.truncate(SLOWEST);
    let mut all = vec![("part of the run", scaled(parts))];
    if !tests.is_empty() {
        all.push(("slowest tests", scaled(tests)));
    }
    all
}

fn scaled(times: Vec<(&str, Duration)>) -> Vec<Bar> {
    let longest = times.iter().map(|(_, time)| *time).max();
    let longest = longest.unwrap_or_default().as_millis().max(1);
    let bar = |(name, time): (&str, Duration)| Bar {
        name: visible(name),
        time: ui::seconds(time),
        percent: u32::try_from(time.as_millis() * 100 / longest).unwrap_or(100),
    };
    times.into_iter().map(bar).collect()
}

/// The tests by areas; those in which a test failed come first, and in each what failed.
fn groups(verdict: &Verdict) -> Vec<Group> {
    let mut areas: Vec<(&str, Vec<(&str, &Case)>)> = Vec::new();
    for case in &verdict.tests {
        let (area, name) = junit::split(&case.name);
        match areas.iter_mut().find(|(known, _)| *known == area) {
            Some((_, cases)) => cases.push((name, case)),
            None => areas.push((area, vec![(name, case)])),
        }
    }
    let mut groups: Vec<_> = areas
        .into_iter()
        .map(|(area, mut cases)| {
            cases.sort_by_key(|(_, case)| case.status != Status::Failed);
            let count = |wanted: &[Status]| {
                let of = |case: &Case| wanted.contains(&case.status);
                cases.iter().filter(|(_, case)| of(case)).count()
            };
            let counts = Totals {
                passed: count(&[Status::Passed, Status::ExpectedFailure]),
                failed: count(&[Status::Failed]),
                skipped: count(&[Status::Skipped]),
            };
            let took: Duration = cases.iter().filter_map(|(_, case)| case.took).sum();
            Group {
                name: visible(area),
                bad: counts.failed > 0,
                counts,
                took: if took.is_zero() {
                    String::new()
                } else {
                    ui::seconds(took)
                },
                // What failed has its text above.
                tests: cases
                    .iter()
                    .map(|(name, case)| test(name, case, case.status != Status::Failed))
                    .collect(),
            }
        })
        .collect();
    groups.sort_by_key(|group| !group.bad);
    groups
}

/// The console by lines, with all complaints marked; of a very long one the ends, and what is around
/// those complaints that are shown.
fn console(text: &str, complaints: &[Complaint], shown: &[Complaint]) -> Vec<Line> {
    let total = text.lines().count();
    // Over each line once, however many complaints there are.
    let near = |complaints: &[Complaint], room: usize| {
        let mut lines = vec![false; total];
        for complaint in complaints {
            let begin = complaint.line - 1;
            let end = begin + complaint.excerpt.len() + room;
            lines[begin.saturating_sub(room)..end.min(total)].fill(true);
        }
        lines
    };
    let (bad, kept) = (near(complaints, 0), near(shown, AROUND));
    let mut lines: Vec<Line> = Vec::new();
    for (index, text) in text.lines().enumerate() {
        if index < ENDS || index + ENDS >= total || kept[index] {
            let number = index + 1;
            lines.push(Line {
                number,
                text: visible(text),
                bad: bad[index],
                after_gap: lines.last().map_or(0, |line| line.number) + 1 != number,
            });
        }
    }
    lines
}

fn joined(lines: &[String]) -> String {
    visible(&lines.join("\n"))
}

/// Text in which nothing is hidden, and nothing turns round what is beside it.
fn visible(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    for sign in text.chars() {
        let hidden = matches!(sign, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
            || sign.is_control() && !matches!(sign, '\n' | '\t');
        if hidden {
            let _ = write!(all, "{}", sign.escape_unicode());
        } else {
            all.push(sign);
        }
    }
    all
}

#[cfg(test)]
mod tests;
