// SPDX-License-Identifier: GPL-2.0

//! The kernel crate with the files of ours where they are edited.
//!
//! They are copied into the kernel tree, and an editor that has `linux-patches/tree/rust/kernel/net/
//! sock.rs` open must not be told of the copy. A module's path cannot be changed from outside, and
//! `#[path]` on `mod NAME;` also moves the modules below it. On `mod NAME { }` it says where these
//! are: so `mod.rs` and whatever else of the kernel's own has modules of ours is written out into
//! the root of the crate, which lies beside the kernel's.

use anyhow::{
    Context,
    Result, //
};
use fs_err as fs;
use std::{
    fmt::Write as _,
    path::Path, //
};

/// The text of the root, of the kernel's `rust/kernel` and ours. Both are absolute.
pub fn text(kernel: &Path, ours: &Path) -> Result<String> {
    let text = fs::read_to_string(kernel.join("lib.rs"))?;
    let places = Places { kernel, ours };
    places.with_modules(&text, Path::new(""))
}

/// Where files of the kernel's crate and of ours are.
struct Places<'a> {
    kernel: &'a Path,
    ours: &'a Path,
}

impl Places<'_> {
    /// The text of a module whose modules are in `dir`, with those of them written out in which
    /// there are files of ours.
    fn with_modules(&self, text: &str, dir: &Path) -> Result<String> {
        let is_root = dir == Path::new("");
        // Where the files of its modules are looked for. rust-analyzer takes each path for one that
        // begins there.
        let base = if is_root {
            self.kernel.to_owned()
        } else {
            self.ours.join(dir)
        };
        let up = "../".repeat(base.components().count() - 1);
        let quoted = |path: &Path| -> Result<String> {
            let path = path.to_str().context("a path that is not UTF-8")?;
            Ok(format!("\"{up}{}\"", path.trim_start_matches('/')))
        };
        let mut all = String::new();
        for line in text.lines() {
            let Some((head, name)) = declaration(line) else {
                writeln!(all, "{line}")?;
                continue;
            };
            let below = dir.join(name);
            let (file, in_dir) = (below.with_extension("rs"), below.join("mod.rs"));
            let is_in = |dir: &Path| dir.join(&file).exists() || dir.join(&in_dir).exists();
            if is_in(self.ours) {
                writeln!(all, "{line}")?;
                continue;
            }
            let theirs = [&file, &in_dir].map(|path| self.kernel.join(path));
            let theirs = theirs.into_iter().find(|path| path.exists());
            match theirs {
                Some(path) if self.ours.join(&below).is_dir() => {
                    let text = fs::read_to_string(&path)?;
                    let text = self.with_modules(&text, &below)?;
                    let modules = quoted(&self.ours.join(&below))?;
                    writeln!(all, "#[path = {modules}]\n{head} {{\n{text}}}")?;
                }
                // Below the root it is not looked for there without a word.
                Some(path) if !is_root => {
                    writeln!(all, "#[path = {}]\n{line}", quoted(&path)?)?;
                }
                _ => writeln!(all, "{line}")?,
            }
        }
        Ok(all)
    }
}

/// `mod NAME` with what is before it, and the name, of a line that declares a module elsewhere.
fn declaration(line: &str) -> Option<(&str, &str)> {
    let head = line.trim().strip_suffix(';')?;
    let (visibility, name) = head.rsplit_once("mod ")?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_visibility = visibility.is_empty() || visibility.starts_with("pub");
    (is_visibility && name.chars().all(is_name)).then_some((head, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_are_found_where_they_are_edited() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let (kernel, ours) = (dir.path().join("kernel"), dir.path().join("ours"));
        for (path, text) in [
            (
                "kernel/lib.rs",
                "//! K.\npub mod sync;\n#[cfg(N)]\npub mod net;\n",
            ),
            (
                "kernel/net/mod.rs",
                "//! Net.\npub mod phy;\nmod sock;\npub(crate) mod netlink;\n",
            ),
            ("kernel/net/phy.rs", ""),
            ("kernel/net/sock.rs", "the copy"),
            ("kernel/net/netlink.rs", "mod attr;\nmod tests {\n}\n"),
            ("kernel/net/netlink/attr.rs", "the copy"),
            ("ours/net/sock.rs", "mod udp;"),
            ("ours/net/netlink/attr.rs", ""),
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().context("a parent")?)?;
            fs::write(path, text)?;
        }
        let up = |from: &Path| "../".repeat(from.components().count() - 1);
        let (from_root, from_net) = (up(&kernel), up(&ours.join("net")));
        let [net, phy, netlink] = ["ours/net", "kernel/net/phy.rs", "ours/net/netlink"]
            .map(|path| dir.path().join(path).display().to_string().split_off(1));
        let expected = format!(
            "//! K.\npub mod sync;\n#[cfg(N)]\n\
             #[path = \"{from_root}{net}\"]\npub mod net {{\n\
             //! Net.\n#[path = \"{from_net}{phy}\"]\npub mod phy;\nmod sock;\n\
             #[path = \"{from_net}{netlink}\"]\npub(crate) mod netlink {{\n\
             mod attr;\nmod tests {{\n}}\n}}\n}}\n"
        );
        assert_eq!(text(&kernel, &ours)?, expected);
        Ok(())
    }
}
