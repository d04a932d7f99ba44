// SPDX-License-Identifier: GPL-2.0

//! An image as somebody has it who was given it: in a folder of its own, with the files that its
//! manifest names and nothing else, and booted by what the manifest says.

use super::manifest::Manifest;
use crate::{
    checks::Checks,
    ctx::Ctx,
    files,
    vm::line::Line, //
};
use anyhow::{
    Context,
    Result, //
};
use fs_err as fs;
use std::path::Path;

pub struct Elsewhere {
    dir: files::Temporary,
    pub manifest: Manifest,
}

impl Elsewhere {
    /// Copies an image, so that what a guest does to it is done to nothing else.
    pub fn new(ctx: &Ctx, image: &Path) -> Result<Self> {
        let manifest = Manifest::read(image)?;
        // Beside the image: some file systems copy there without writing.
        let dir = files::temporary(&ctx.target.join("images"))?;
        for name in manifest.files.keys() {
            fs::copy(image.join(name), dir.path().join(name))?;
        }
        Ok(Self { dir, manifest })
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What the manifest says that one types.
    pub fn typed(&self, what: &str) -> Result<&str> {
        let line = self.manifest.boot.get(what);
        let line = line.with_context(|| format!("the manifest does not say how: {what}"))?;
        Ok(line)
    }

    /// The same, if that is a command line of QEMU.
    pub fn line(&self, what: &str) -> Result<Line> {
        Line::parse(self.typed(what)?)
    }

    /// Checks what was copied.
    pub fn check(&self, checks: &mut Checks) {
        self.manifest.check_files(self.path(), checks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        files,
        image::manifest, //
    };
    use std::path::PathBuf;

    #[test]
    fn only_what_the_manifest_names_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = Ctx::in_dir(dir.path()).unwrap();
        let image = ctx.target.join("images/some");
        fs::create_dir_all(&image).unwrap();
        let mut manifest = manifest::tests::manifest(&image);
        let line = "qemu-system-x86_64 -kernel disk".to_owned();
        manifest.boot.insert("shell".to_owned(), line);
        manifest.write(&image).unwrap();
        fs::write(image.join("other"), "").unwrap();

        let copy = Elsewhere::new(&ctx, &image).unwrap();
        assert_eq!(files::list(copy.path()).unwrap(), [PathBuf::from("disk")]);
        assert_eq!(copy.line("shell").unwrap().words()[2], "disk");
        let error = copy.line("tests").unwrap_err();
        assert!(error.to_string().contains("tests"), "{error}");
        fs::remove_file(image.join("disk")).unwrap();
        assert!(Elsewhere::new(&ctx, &image).is_err());
    }
}
