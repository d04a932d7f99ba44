// SPDX-License-Identifier: GPL-2.0

//! Patches and checks, crossed.

use super::{
    Finding,
    log, //
};
use crate::{
    ctx::Ctx,
    exec,
    files,
    ui, //
};
use anyhow::Result;
use fs_err as fs;
use std::{
    fmt::Write as _,
    process::ExitCode, //
};

/// How much of a subject is shown.
const WIDTH: usize = 52;

pub(super) struct Table {
    rows: Vec<String>,
    columns: Vec<(&'static str, Vec<Finding>)>,
}

impl Table {
    pub(super) fn new(rows: Vec<String>) -> Self {
        Self {
            rows,
            columns: Vec::new(),
        }
    }

    /// Adds a column, with a finding for each row.
    pub(super) fn add(&mut self, name: &'static str, found: Vec<Finding>) {
        self.columns.push((name, found));
    }

    /// Each cell: its column, its row and what was found.
    pub(super) fn cells(&self) -> impl Iterator<Item = (&'static str, usize, &Finding)> {
        self.columns.iter().flat_map(|(name, found)| {
            let cells = found.iter().enumerate();
            cells.map(move |(row, finding)| (*name, row, finding))
        })
    }

    pub(super) fn text(&self) -> String {
        let mut text = " ".repeat(WIDTH);
        for (name, _) in &self.columns {
            let _ = write!(text, "  {name}");
        }
        text.push('\n');
        for (row, name) in self.rows.iter().enumerate() {
            let name: String = name.chars().take(WIDTH).collect();
            let _ = write!(text, "{name:WIDTH$}");
            for (column, found) in &self.columns {
                let word = match found.get(row) {
                    None | Some(Finding::Nothing) => "-",
                    Some(Finding::Clean) => "ok",
                    Some(Finding::Unable(_)) => "skip",
                    Some(Finding::Red(_)) => "RED",
                };
                let _ = write!(text, "  {word:^0$}", column.len());
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        text
    }

    /// Prints the table and writes a log for each red cell, in a folder called `run`.
    pub(super) fn print(&self, ctx: &Ctx, run: &str) -> Result<ExitCode> {
        let folder = exec::log_path(ctx, run).with_extension("");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        println!("\n{}", self.text());
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        for (name, row, finding) in self.cells() {
            match finding {
                Finding::Nothing => {}
                Finding::Clean => passed += 1,
                Finding::Unable(why) => {
                    skipped += 1;
                    println!("skip {row:04} {name}: {why}");
                }
                Finding::Red(text) => {
                    failed += 1;
                    let log = log(ctx, run, row, name);
                    files::write_atomic(&log, format!("{}\n", text.trim_end()).as_bytes())?;
                    let first = text.lines().find(|line| !line.trim().is_empty());
                    println!(
                        "RED  {row:04} {name}: {}\n     {}",
                        first.unwrap_or_default(),
                        ui::short(&ctx.repo, &log)
                    );
                }
            }
        }
        println!("{passed} passed, {failed} failed, {skipped} skipped");
        // A table without a cell proves nothing.
        Ok(ExitCode::from(u8::from(failed > 0 || passed == 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_red_cell_is_seen() {
        let mut table = Table::new(vec!["0000 a".to_owned(), "0001 b".to_owned()]);
        table.add("form", vec![Finding::Clean, Finding::Red("x".to_owned())]);
        table.add("tags", vec![Finding::Nothing]);
        let text = table.text();
        let words = |row: usize| text.lines().nth(row).map(|line| line[WIDTH..].to_owned());
        assert_eq!(words(1).as_deref(), Some("   ok    -"));
        assert_eq!(words(2).as_deref(), Some("  RED    -"));
        assert_eq!(table.cells().count(), 3);
    }
}
