// SPDX-License-Identifier: GPL-2.0

//! The tables of our documents that a run has measured: nobody writes them by hand.

use crate::{
    ctx::Ctx,
    ui, //
};
use anyhow::{
    Context,
    Result, //
};
use fs_err as fs;

/// What is behind a table.
const END: &str = "<!-- end -->\n";

/// Writes the table of this name into a document of the repository.
pub fn update(ctx: &Ctx, document: &str, name: &str, table: &str) -> Result<()> {
    let path = ctx.repo(document);
    let text = fs::read_to_string(&path)?;
    fs::write(
        &path,
        with(&text, name, table).context(document.to_owned())?,
    )?;
    ui::note(&format!("{document}: written"));
    Ok(())
}

/// A document with another table.
fn with(text: &str, name: &str, table: &str) -> Result<String> {
    let begin = format!("<!-- {name} -->\n");
    let place = || format!("no place for the table `{name}`");
    let (before, rest) = text.split_once(&begin).with_context(place)?;
    let (_, behind) = rest.split_once(END).context("no end of a table")?;
    Ok(format!("{before}{begin}{table}{END}{behind}"))
}

/// Whether a document has this table.
#[cfg(test)]
pub fn has(text: &str, name: &str, table: &str) -> bool {
    with(text, name, table).is_ok_and(|updated| updated == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_table_of_that_name_changes() {
        let text = "a\n<!-- one -->\n1\n<!-- end -->\nb\n<!-- two -->\n2\n<!-- end -->\nc\n";
        let updated = with(text, "two", "3\n").unwrap();
        assert_eq!(updated, text.replace('2', "3"));
        assert!(with(text, "three", "3\n").is_err());
    }
}
