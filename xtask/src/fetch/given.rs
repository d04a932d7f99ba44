// SPDX-License-Identifier: GPL-2.0

//! A kernel that the user names by `--linux`.

use super::Source;
use crate::{
    ctx::Ctx,
    files,
    pin::{
        self,
        Pin, //
    },
    ui::{
        self,
        Step, //
    },
};
use anyhow::{
    Result,
    bail,
    ensure, //
};
use std::path::Path;
use xshell::cmd;

/// The tree that the user named: copied, so that it is never written to, and checked.
pub(super) fn given(ctx: &Ctx, pin: &Pin, dir: &Path) -> Result<Source> {
    ensure!(
        dir.join("Kbuild").exists() && dir.join("rust/kernel").exists(),
        "--linux {} is not a Linux tree with Rust",
        dir.display()
    );
    let source = if dir.join(".git").exists() {
        from_git(ctx, dir)?
    } else {
        from_directory(ctx, dir)?
    };
    let differing = pin::differing(&source.dir, &pin.blobs);
    if !differing.is_empty() {
        let list = differing.join("\n  ");
        let text = format!(
            "{} differs from the pin (Linux {}) in files that the patches edit:\n  {list}",
            dir.display(),
            pin.version
        );
        if !ctx.accept_changed {
            bail!(
                "{text}\n  Use Linux {}, or try with --accept-changed.",
                pin.version
            );
        }
        ui::warning(&text);
    }
    Ok(source)
}

/// What is committed in a git tree, under the name of the commit's tree.
fn from_git(ctx: &Ctx, dir: &Path) -> Result<Source> {
    let sh = &ctx.sh;
    let commit_tree = "HEAD^{tree}";
    let head = cmd!(sh, "git -C {dir} rev-parse {commit_tree}")
        .quiet()
        .read()?;
    if !cmd!(sh, "git -C {dir} status --porcelain --untracked-files=no")
        .quiet()
        .read()?
        .is_empty()
    {
        ui::warning("the tree given by --linux has changes that are not committed: not used");
    }
    let key = format!("git-{}", &head[..16]);
    let to = ctx.cache("src").join(&key);
    if !to.exists() {
        let step = Step::new(&format!("copy {} (commit {head:.12})", dir.display()));
        files::make_dir_atomic(&to, |new| {
            let work = files::temporary(&ctx.cache("src"))?;
            let tar = work.path().join("tree.tar");
            cmd!(sh, "git -C {dir} archive --format=tar --output={tar} HEAD")
                .quiet()
                .run()?;
            Ok(cmd!(sh, "tar -x --no-same-owner -f {tar} -C {new}")
                .quiet()
                .run()?)
        })?;
        step.done("");
    }
    let commit = cmd!(sh, "git -C {dir} rev-parse HEAD").quiet().read()?;
    Ok(Source {
        dir: to,
        key,
        commit: Some(commit),
    })
}

/// An unpacked tree: its own name is its path; what changed in it since is copied again, also
/// into the working tree. Who works on such a tree edits it, not the working tree.
fn from_directory(ctx: &Ctx, dir: &Path) -> Result<Source> {
    let key = format!(
        "dir-{}",
        &files::sha256(dir.as_os_str().as_encoded_bytes())[..16]
    );
    let to = ctx.cache("src").join(&key);
    let step = Step::new(&format!("copy {}", dir.display()));
    let changed = files::sync(dir, &to, |path| !is_built(path))?;
    step.done(&format!("{changed} files changed"));
    Ok(Source {
        dir: to,
        key,
        commit: None,
    })
}

/// Whether this path of a kernel tree comes from a build inside it.
fn is_built(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let built = [
        ".o", ".a", ".ko", ".cmd", ".mod", ".order", ".rmeta", ".so", ".symvers", ".builtin",
        ".modinfo",
    ];
    matches!(
        path,
        ".config" | ".config.old" | "include/config" | "include/generated" | ".git"
    ) || path.starts_with("arch/") && path.contains("/include/generated")
        || matches!(name, "vmlinux" | "System.map" | "bzImage")
        || built.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_build_left_is_not_source() {
        for path in [
            ".config",
            "kernel/fork.o",
            "arch/x86/include/generated",
            "vmlinux",
        ] {
            assert!(is_built(path), "{path}");
        }
        for path in [
            "kernel/fork.c",
            "include/linux/config.h",
            "Kconfig",
            ".clippy.toml",
        ] {
            assert!(!is_built(path), "{path}");
        }
    }
}
