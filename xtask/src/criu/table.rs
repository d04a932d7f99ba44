// SPDX-License-Identifier: GPL-2.0

//! What became of each item of a socket, and the tables of it.

use crate::{
    ctx::Ctx,
    measured,
    ui, //
};
use anyhow::{
    Context,
    Result, //
};
use fs_err as fs;
use serde::{
    Deserialize,
    Serialize, //
};
use std::fmt::Write as _;

/// What was found last, in the repository.
const PATH: &str = "userspace/roundtrip/criu.json";

/// Where the tables are, and the name of both.
const SHORT: &str = "README.md";
const WHOLE: &str = "docs/criu.md";
const NAME: &str = "criu";

/// The items in their order.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Table(Vec<Row>);

/// An item, and what CRIU does with it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    item: String,
    alone: String,
    hook: String,
}

impl Table {
    pub fn known(ctx: &Ctx) -> Result<Self> {
        let path = ctx.repo(PATH);
        serde_json::from_str(&fs::read_to_string(&path)?)
            .with_context(|| path.display().to_string())
    }

    /// Takes a line: `item | alone | with the hook`.
    pub fn add(&mut self, line: &str) {
        let mut words = line.split(" | ").map(|word| word.trim().to_owned());
        let mut next = || words.next().unwrap_or_default();
        self.0.push(Row {
            item: next(),
            alone: next(),
            hook: next(),
        });
    }

    /// Writes it into the repository, and into its documents.
    pub fn write(&self, ctx: &Ctx) -> Result<()> {
        fs::write(ctx.repo(PATH), serde_json::to_string_pretty(self)? + "\n")?;
        ui::note(&format!("{PATH}: written"));
        measured::update(ctx, SHORT, NAME, &self.short())?;
        measured::update(ctx, WHOLE, NAME, &self.whole())
    }

    /// What is otherwise than it was.
    pub fn changes(&self, known: &Self) -> Vec<String> {
        let of = |rows: &[Row], item: &str| {
            let row = rows.iter().find(|row| row.item == item);
            row.map_or_else(
                || "not there".to_owned(),
                |row| format!("{} and with the hook {}", row.alone, row.hook),
            )
        };
        let new = self.0.iter().map(|row| &row.item);
        let gone = known.0.iter().map(|row| &row.item);
        let gone = gone.filter(|item| self.0.iter().all(|row| row.item != **item));
        new.chain(gone)
            .filter_map(|item| {
                let (now, was) = (of(&self.0, item), of(&known.0, item));
                (now != was).then(|| format!("{item}: {now}, was {was} (--update writes it)"))
            })
            .collect()
    }

    /// Each item: the whole.
    fn whole(&self) -> String {
        let mut table = "| | CRIU alone | with the hook |\n|---|---|---|\n".to_owned();
        for row in &self.0 {
            // Writing to a string does not fail.
            let _ = writeln!(table, "| {} | {} | {} |", row.item, row.alone, row.hook);
        }
        table
    }

    /// A row for each pair of fates: how many options share it, and which of the other items.
    fn short(&self) -> String {
        let mut fates: Vec<(&str, &str)> = Vec::new();
        for row in &self.0 {
            let fate = row.fate();
            if !fates.contains(&fate) {
                fates.push(fate);
            }
        }
        let mut table = "| | CRIU alone | with the hook |\n|---|---|---|\n".to_owned();
        for fate in fates {
            let of_it = || self.0.iter().filter(|row| row.fate() == fate);
            let options = of_it().filter(|row| row.is_option()).count();
            let others = of_it().filter(|row| !row.is_option());
            let mut items: Vec<_> = others.map(|row| row.item.clone()).collect();
            match options {
                0 => {}
                1 => items.insert(0, "1 option".to_owned()),
                count => items.insert(0, format!("{count} options")),
            }
            let (alone, hook) = fate;
            let _ = writeln!(table, "| {} | {alone} | {hook} |", items.join("; "));
        }
        table
    }
}

impl Row {
    fn fate(&self) -> (&str, &str) {
        (&self.alone, &self.hook)
    }

    /// Whether the item has the name of an option, and not a description.
    fn is_option(&self) -> bool {
        !self.item.contains(char::is_lowercase)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Table {
        let mut table = Table::default();
        for line in lines {
            table.add(line);
        }
        table
    }

    #[test]
    fn items_that_share_a_fate_are_in_one_row() {
        let lines = [
            "SO_A | kept | kept",
            "SO_B | lost | kept",
            "SO_C | lost | kept",
            "what waits | lost | kept",
        ];
        let expected = "\
| | CRIU alone | with the hook |
|---|---|---|
| 1 option | kept | kept |
| 2 options; what waits | lost | kept |
";
        assert_eq!(of(&lines).short(), expected);
    }

    #[test]
    fn what_has_changed_is_told() {
        let known = of(&["A | kept | kept", "B | lost | kept"]);
        assert_eq!(known.changes(&known), [""; 0]);
        let now = of(&["A | kept | lost", "C | lost | kept"]);
        assert_eq!(now.changes(&known).len(), 3);
        assert_eq!(Table::default().changes(&known).len(), 2);
    }

    /// Nobody writes what became of an item by hand.
    #[test]
    fn the_documents_have_the_table_of_the_repository() {
        let known = include_str!("../../../userspace/roundtrip/criu.json");
        let known: Table = serde_json::from_str(known).unwrap();
        let (readme, whole) = (
            include_str!("../../../README.md"),
            include_str!("../../../docs/criu.md"),
        );
        assert!(measured::has(readme, NAME, &known.short()));
        assert!(measured::has(whole, NAME, &known.whole()));
    }
}
