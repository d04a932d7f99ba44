// SPDX-License-Identifier: GPL-2.0

//! `linux-patches/pin.toml`: the kernel that everything is made for.

use crate::{
    ctx::Ctx,
    files, //
};
use anyhow::{
    Context,
    Result, //
};
use fs_err as fs;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{
        Path,
        PathBuf, //
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    pub version: String,
    pub package: Package,
    /// Kernel path to git's name for the pinned content.
    pub blobs: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub suite: String,
    pub sha256: String,
    pub tarball: String,
    pub tarball_sha256: String,
    pub files: u64,
}

fn path(ctx: &Ctx) -> PathBuf {
    ctx.repo("linux-patches/pin.toml")
}

pub fn load(ctx: &Ctx) -> Result<Pin> {
    let path = path(ctx);
    toml::from_str(&fs::read_to_string(&path)?)
        .with_context(|| format!("{} is not a pin", path.display()))
}

/// The files of `tree` that are not what `blobs` says, each with what it is instead.
pub fn differing(tree: &Path, blobs: &BTreeMap<String, String>) -> Vec<String> {
    blobs
        .iter()
        .filter_map(|(path, expected)| match fs::read(tree.join(path)) {
            Ok(content) => {
                let found = files::blob_hash(&content);
                (found != *expected)
                    .then(|| format!("{path}: is {found:.12}, pinned {expected:.12}"))
            }
            Err(_) => Some(format!("{path}: missing")),
        })
        .collect()
}

/// Rewrites the `[blobs]` part for `paths`, as they are in the pinned `source`.
pub fn update(ctx: &Ctx, source: &Path, paths: impl Iterator<Item = String>) -> Result<bool> {
    let file = path(ctx);
    let old = fs::read_to_string(&file)?;
    let (head, _) = old
        .split_once("[blobs]\n")
        .context("pin.toml has no [blobs]")?;
    let mut new = format!("{head}[blobs]\n");
    for path in paths {
        let content = fs::read(source.join(&path))?;
        writeln!(new, "\"{path}\" = \"{}\"", files::blob_hash(&content))?;
    }
    files::write_if_changed(&file, new.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differing_files_are_named() -> Result<()> {
        let dir = tempfile::tempdir()?;
        fs::write(dir.path().join("same"), "hello\n")?;
        fs::write(dir.path().join("other"), "HELLO\n")?;
        let hash = "ce013625030ba8dba906f756967f9e9ca394464a".to_owned();
        let blobs = ["same", "other", "gone"].map(|name| (name.to_owned(), hash.clone()));
        let found = differing(dir.path(), &blobs.into());
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("gone: missing"));
        assert!(found[1].starts_with("other: is "));
        Ok(())
    }
}
