// SPDX-License-Identifier: GPL-2.0

//! What was counted as a page, for somebody who was not there.

use super::{
    Figures,
    beside_c::{
        self,
        Found,
        Pair, //
    },
    plot,
    readme::thousands, //
};
use anyhow::Result;
use askama::Template;

#[derive(Template)]
#[template(path = "bench.html")]
struct Page<'a> {
    facts: &'a [(&'static str, String)],
    plots: Vec<Plot>,
    groups: Vec<Group<'a>>,
    pairs: Vec<Pair>,
    found: Option<&'a Found>,
}

struct Plot {
    title: &'static str,
    svg: String,
}

/// Cases whose names begin alike.
struct Group<'a> {
    name: &'a str,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    name: &'a str,
    now: String,
    was: String,
    /// By how much it is dearer, if it has changed.
    change: String,
}

/// Writes it: what was counted, in this order, and the figures of the repository.
pub fn page(
    counted: &[(String, u64)],
    known: &Figures,
    facts: &[(&'static str, String)],
    found: Option<&Found>,
) -> Result<String> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (case, now) in counted {
        let (group, name) = case.split_once(": ").unwrap_or((case, case));
        let row = row(name, *now, known.get(case).copied());
        match groups.iter_mut().find(|known| known.name == group) {
            Some(known) => known.rows.push(row),
            None => groups.push(Group {
                name: group,
                rows: vec![row],
            }),
        }
    }
    // A plot may need cases that only a longer run counts.
    let mut figures = known.clone();
    figures.extend(counted.iter().cloned());
    let plots = plot::ALL.iter().map(|plot| {
        Ok(Plot {
            title: plot.title,
            svg: plot.svg(&figures)?,
        })
    });
    let plots = plots.collect::<Result<_>>()?;
    Ok(Page {
        facts,
        plots,
        groups,
        pairs: beside_c::pairs(&figures),
        found,
    }
    .render()?)
}

fn row(name: &str, now: u64, was: Option<u64>) -> Row<'_> {
    Row {
        name,
        now: thousands(now),
        was: was.map_or("-".to_owned(), thousands),
        change: was
            .filter(|was| *was != now && *was != 0)
            .map(|was| change(now, was))
            .unwrap_or_default(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is for people")]
fn change(now: u64, was: u64) -> String {
    format!("{:+.1} %", 100.0 * (now as f64 / was as f64 - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_is_told() {
        let known = include_str!("../../../userspace/bench/figures.json");
        let known: Figures = serde_json::from_str(known).unwrap();
        let mut counted: Vec<_> = known.clone().into_iter().collect();
        let same = page(&counted, &known, &[("machine", "<one>".to_owned())], None).unwrap();
        assert!(same.contains("<svg") && !same.contains("<one>") && !same.contains(" %"));

        let dearer = counted
            .iter_mut()
            .find(|(name, _)| name == "dump: new socket");
        dearer.unwrap().1 *= 2;
        let page = page(&counted, &known, &[], None).unwrap();
        assert!(page.contains("+100.0 %"));
    }
}
