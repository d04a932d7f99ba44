// SPDX-License-Identifier: GPL-2.0

//! The checks that programs make: those of the kernel's tree, and those that it asks for. They are
//! given what the patch itself leaves, and not what the tree has.

use super::{
    File,
    Finding,
    Patch,
    World, //
};
use crate::{
    files,
    lint,
    spec, //
};
use anyhow::{
    Context,
    Result,
    ensure, //
};
use fs_err as fs;
use std::{
    collections::BTreeMap,
    io::Write as _,
    process::{
        Command,
        Stdio, //
    },
};

/// What checkpatch need not say. Who sends the series signs it; that MAINTAINERS has new files is
/// a check of its own.
const IGNORED: &str = "MISSING_SIGN_OFF,NO_AUTHOR_SIGN_OFF,FILE_PATH_CHANGES";

pub(super) fn checkpatch(world: &World<'_>, patch: &Patch) -> Result<Finding> {
    if patch.is_cover() {
        return Ok(Finding::Nothing);
    }
    let mut perl = Command::new("perl");
    perl.current_dir(&world.tree).env("LC_ALL", "C.UTF-8");
    perl.args(["scripts/checkpatch.pl", "--strict", "--codespell"]);
    perl.args(["--show-types", "--no-summary", "--quiet", "--color=never"]);
    perl.args(["--ignore", IGNORED]).arg(&patch.mail);
    said(&mut perl)
}

/// What kernel-doc says of a file that it did not say before.
pub(super) fn kernel_doc(world: &World<'_>, patch: &Patch) -> Result<Finding> {
    let mut problems = Vec::new();
    let mut any = false;
    for (file, after) in patch.files(&[".c", ".h"]) {
        any = true;
        let mut known = kernel_doc_of(world, file, file.before.as_deref())?;
        for (warning, count) in kernel_doc_of(world, file, Some(after))? {
            let more = count.saturating_sub(known.remove(&warning).unwrap_or(0));
            problems.extend((0..more).map(|_| format!("{}: {warning}", file.path)));
        }
    }
    Ok(Finding::of(any, &problems))
}

/// The warnings about a file, without the lines, and how often each is there.
fn kernel_doc_of(
    world: &World<'_>,
    file: &File,
    content: Option<&[u8]>,
) -> Result<BTreeMap<String, usize>> {
    let mut found = BTreeMap::new();
    let Some(content) = content else {
        return Ok(found);
    };
    let work = tempfile::tempdir()?;
    let name = file.path.rsplit('/').next().unwrap_or(&file.path);
    let path = work.path().join(name);
    fs::write(&path, content)?;
    let output = Command::new(&world.python)
        .current_dir(&world.tree)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["tools/docs/kernel-doc", "-none", "-Wall"])
        .arg(&path)
        .output()
        .context("cannot run kernel-doc")?;
    let text = String::from_utf8_lossy(&output.stderr);
    // It succeeds whatever it has to say of the file.
    ensure!(output.status.success(), "kernel-doc: {}", text.trim());
    let place = format!("{}:", path.display());
    for line in text.lines() {
        let rest = line.split_once(&place).map_or(line, |(_, rest)| rest);
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':' || c == ' ');
        *found.entry(rest.to_owned()).or_insert(0) += 1;
    }
    Ok(found)
}

/// rustfmt as the kernel's own `rustfmtcheck` runs it. Reading a file from a pipe it does not look
/// for the modules that the file names.
pub(super) fn rustfmt(world: &World<'_>, patch: &Patch) -> Result<Finding> {
    let mut problems = Vec::new();
    let mut any = false;
    for (file, after) in patch.files(&[".rs"]) {
        any = true;
        let mut command = Command::new(&world.rustfmt);
        command
            .current_dir(&world.tree)
            .env_remove("LD_LIBRARY_PATH");
        command.args(["--check", "--edition=2021", "--config-path=.rustfmt.toml"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot run rustfmt")?;
        let mut stdin = child.stdin.take().context("no pipe")?;
        let output = std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(after));
            child.wait_with_output()
        })?;
        // Of what comes from a pipe its exit status says nothing.
        if !output.status.success() || !output.stdout.is_empty() {
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            problems.push(format!("{}:\n{}", file.path, text.trim_end()));
        }
    }
    Ok(Finding::of(any, &problems))
}

/// yamllint, the schema, and the header that the generator makes of the specification.
pub(super) fn spec(world: &World<'_>, patch: &Patch) -> Result<Finding> {
    let mut problems = Vec::new();
    let mut any = false;
    for (file, after) in patch.files(&[".yaml"]) {
        let Some(name) = file.path.strip_prefix("Documentation/netlink/specs/") else {
            continue;
        };
        any = true;
        // The generator looks for its schema and for MAINTAINERS above the specification.
        let work = tempfile::tempdir()?;
        let spec = work.path().join(&file.path);
        files::write_atomic(&spec, after)?;
        fs::write(work.path().join("MAINTAINERS"), "")?;
        let schema = "Documentation/netlink/genetlink.yaml";
        fs::copy(world.tree.join(schema), work.path().join(schema))?;
        let mut yamllint = Command::new("yamllint");
        yamllint.current_dir(world.tree.join("tools/net/ynl"));
        problems.extend(red(said(yamllint.arg("--strict").arg(&spec))?));
        let header = format!("include/uapi/linux/{}", name.replace(".yaml", ".h"));
        match spec::generate(&world.python, &world.tree, &spec) {
            Err(refusal) => problems.push(format!("{refusal:#}")),
            Ok(made) => {
                if world.last(&header).map(String::into_bytes) != Some(made) {
                    problems.push(format!("{header} is not what {} gives", file.path));
                }
            }
        }
    }
    Ok(Finding::of(any, &problems))
}

/// docutils on each page, that an index lists it, and that the files which new files name are there.
pub(super) fn docs(world: &World<'_>, patch: &Patch) -> Result<Finding> {
    let mut problems = Vec::new();
    let mut any = false;
    for (file, after) in patch.files(&[""]) {
        let text = String::from_utf8_lossy(after);
        if file.before.is_none() {
            any = true;
            problems.extend(
                references(&text)
                    .filter(|name| !world.tree.join(name).exists() && world.last(name).is_none())
                    .map(|name| format!("{}: {name} is not there", file.path)),
            );
        }
        if lint::is_page(&file.path) {
            any = true;
            let work = tempfile::tempdir()?;
            let page = work.path().join("page.rst");
            fs::write(&page, after)?;
            problems.extend(red(said(&mut lint::docutils(&world.python, &page))?));
            problems.extend(unlisted(world, &file.path));
        }
    }
    Ok(Finding::of(any, &problems))
}

/// Whether the index of its folder lists a page.
fn unlisted(world: &World<'_>, page: &str) -> Option<String> {
    let (dir, name) = page.rsplit_once('/')?;
    let index = world.last(&format!("{dir}/index.rst")).unwrap_or_default();
    let name = name.trim_end_matches(".rst");
    let listed = index.lines().any(|line| line.trim() == name);
    (!listed).then(|| format!("{page}: {dir}/index.rst does not list {name}"))
}

/// The files below Documentation/ that a text names.
fn references(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    text.split(move |c| !is_part(c)).filter_map(|word| {
        let start = word.find("Documentation/")?;
        let name = word[start..].trim_end_matches(['.', '/']);
        let has_end = name.rsplit('/').next()?.contains('.');
        (has_end && (start == 0 || word[..start].ends_with('/'))).then_some(name)
    })
}

/// Clean if the program succeeds and red with what it printed if not.
pub(super) fn said(command: &mut Command) -> Result<Finding> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(Finding::Clean);
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    Ok(Finding::Red(if text.is_empty() {
        format!("{command:?}: {}", output.status)
    } else {
        text
    }))
}

fn red(finding: Finding) -> Option<String> {
    match finding {
        Finding::Red(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found() {
        let text = "See Documentation/a/b.rst. ``Documentation/c.yaml`` Documentation/dir/ \
                    MyDocumentation/x.rst [Documentation/d.rst]";
        let found: Vec<_> = references(text).collect();
        assert_eq!(
            found,
            [
                "Documentation/a/b.rst",
                "Documentation/c.yaml",
                "Documentation/d.rst"
            ]
        );
    }
}
