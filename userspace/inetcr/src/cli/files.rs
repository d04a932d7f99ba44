// SPDX-License-Identifier: GPL-2.0
//! Image files on disk and in pipes.

use std::fs::{self, File, Metadata};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use inetcr::{Image, ImageReader};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, fsync, linkat};
use rustix::io::Errno;
use rustix::process::geteuid;
use tempfile::NamedTempFile;

use super::say::say;
use super::select::Each;

/// What an image is read from, and its name for people.
fn open(path: &Path) -> anyhow::Result<(Box<dyn Read>, String)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin().lock()), "standard input".to_owned()));
    }
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
    Ok((Box::new(file), name))
}

/// Reads an image, `-` for the standard input.
pub(super) fn read(path: &Path) -> anyhow::Result<Image> {
    let (reader, name) = open(path)?;
    Image::read(reader).context(name)
}

/// Reads the sockets of an image one by one.
pub(super) fn each(path: &Path, each: &mut Each<'_>) -> anyhow::Result<()> {
    let (reader, name) = open(path)?;
    for socket in ImageReader::new(reader).context(name.clone())? {
        each(socket.context(name.clone())?)?;
    }
    Ok(())
}

/// Where an image is written to. A file is another one's name until the image is whole, and then
/// takes its place; it is readable by its owner only, as it has what others have sent.
pub(super) enum Output {
    Stdout(io::Stdout),
    /// No regular file, such as a pipe.
    Other(File),
    /// It has no name yet: nothing of it stays if this program is killed.
    Nameless(File, PathBuf),
    /// The file system has no such files.
    Named(NamedTempFile, PathBuf),
}

impl Output {
    /// `-` is the standard output, which must not be a terminal for what is no text.
    pub(super) fn create(path: &Path, is_text: bool) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            let stdout = io::stdout();
            for_terminal(&stdout, is_text)?;
            return Ok(Self::Stdout(stdout));
        }
        Self::create_file(path, is_text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn create_file(path: &Path, is_text: bool) -> anyhow::Result<Self> {
        let is_link = match fs::symlink_metadata(path) {
            Ok(found) if found.is_file() => false,
            Ok(found) => {
                if let Some(other) = Self::open_other(path, is_text)? {
                    return Ok(Self::Other(other));
                }
                found.is_symlink()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error.into()),
        };
        // In /tmp it may be another user's, and lead anywhere.
        if is_link {
            bail!("it is a link: name the file that it leads to, or `-` for the standard output");
        }
        let dir = dir_of(path);
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        match rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(Self::Nameless(file.into(), path.to_owned())),
            Err(Errno::OPNOTSUPP | Errno::ISDIR) => {
                Ok(Self::Named(NamedTempFile::new_in(dir)?, path.to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Opens what is no regular file, such as a pipe or a device; none if it is one.
    fn open_other(path: &Path, is_text: bool) -> anyhow::Result<Option<File>> {
        let Ok(found) = fs::metadata(path) else {
            return Ok(None);
        };
        if found.is_file() {
            return Ok(None);
        }
        let check = |found: &Metadata| {
            if found.uid() != 0 && found.uid() != geteuid().as_raw() {
                bail!("it is no file, and belongs to another user");
            }
            Ok(())
        };
        check(&found)?;
        let file = File::options().write(true).open(path)?;
        let found = file.metadata()?;
        // It may be another one by now.
        check(&found)?;
        if found.is_file() {
            bail!("it has become a file meanwhile");
        }
        for_terminal(&file, is_text)?;
        Ok(Some(file))
    }

    /// Keeps what was written.
    pub(super) fn keep(mut self) -> anyhow::Result<()> {
        self.flush()?;
        let what = |target: &Path| format!("cannot write {}", target.display());
        match self {
            Self::Stdout(stdout) => sync_if_file(&stdout).context("cannot write standard output"),
            Self::Other(_) => Ok(()),
            Self::Nameless(file, target) => name(&file, &target)
                .and_then(|()| sync_name(&target))
                .with_context(|| what(&target)),
            Self::Named(file, target) => {
                file.as_file().sync_all().with_context(|| what(&target))?;
                file.persist(&target).with_context(|| what(&target))?;
                sync_name(&target).with_context(|| what(&target))
            }
        }
    }

    /// What becomes of an image that does not become whole.
    pub(super) fn without_end(&self) -> &'static str {
        match self {
            Self::Nameless(..) | Self::Named(..) => "no image is written",
            Self::Stdout(_) | Self::Other(_) => "the image has no end",
        }
    }
}

/// Sees that what was written to a file that the shell has made stays, too.
fn sync_if_file(output: impl AsFd) -> io::Result<()> {
    match FileType::from_raw_mode(fstat(&output)?.st_mode) {
        FileType::RegularFile => Ok(fsync(output)?),
        _ => Ok(()),
    }
}

/// Gives a file a name, which may be that of another one until then.
fn name(file: &File, target: &Path) -> io::Result<()> {
    file.sync_all()?;
    let from = format!("/proc/self/fd/{}", file.as_raw_fd());
    let link =
        |to: &Path| linkat(CWD, &from, CWD, to, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from);
    // A link does not take the place of another file, a rename does.
    let named = tempfile::Builder::new().make_in(dir_of(target), link)?;
    named.persist(target)?;
    Ok(())
}

/// Sees that a file has its name also after the machine has lost its power: who writes an image may
/// end the sockets next. The file is there in any case: where a file system cannot do that, or who
/// may write to a directory may not read it, that is only said.
pub(super) fn sync_name(target: &Path) -> io::Result<()> {
    let Err(error) = File::open(dir_of(target)).and_then(|dir| dir.sync_all()) else {
        return Ok(());
    };
    if !matches!(
        Errno::from_io_error(&error),
        Some(Errno::INVAL | Errno::ACCESS)
    ) {
        return Err(error);
    }
    let target = target.display();
    say(format_args!(
        "{target} is written, and may be gone if the machine loses its power: its directory cannot \
         be synchronized: {error}"
    ));
    Ok(())
}

/// Where a file is.
fn dir_of(path: &Path) -> &Path {
    path.parent()
        .filter(|dir| *dir != Path::new(""))
        .unwrap_or(Path::new("."))
}

/// Sees that what is no text does not come to a terminal.
fn for_terminal(output: &impl IsTerminal, is_text: bool) -> anyhow::Result<()> {
    if !is_text && output.is_terminal() {
        bail!(
            "an image is nothing for a terminal: -o FILE writes it, --json prints it as text, \
             `inetcr show` shows it"
        );
    }
    Ok(())
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(to) => to.write(bytes),
            Self::Other(to) | Self::Nameless(to, _) => to.write(bytes),
            Self::Named(to, _) => to.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(to) => to.flush(),
            Self::Other(to) | Self::Nameless(to, _) => to.flush(),
            Self::Named(to, _) => to.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn standard_output_is_synchronized_if_it_is_a_file() {
        let (_reader, pipe) = io::pipe().unwrap();
        sync_if_file(&pipe).unwrap();
        sync_if_file(tempfile::tempfile().unwrap()).unwrap();
        // One that the kernel does not synchronize.
        let file = File::open("/proc/version").unwrap();
        assert!(sync_if_file(file).is_err());
    }

    #[test]
    fn a_directory_that_cannot_be_synchronized_is_no_error() {
        // EINVAL.
        assert!(File::open("/proc").unwrap().sync_all().is_err());
        sync_name(Path::new("/proc/version")).unwrap();
        assert!(sync_name(Path::new("/nonexistent/file")).is_err());
        // EACCES, but for who may read all.
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o300)).unwrap();
        let target = dir.path().join("target");
        let mut output = Output::create(&target, true).unwrap();
        output.write_all(b"image").unwrap();
        output.keep().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"image");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    }

    #[test]
    fn no_link_leads_to_a_file_and_no_device_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        let link = dir.path().join("link");
        fs::write(&target, "precious").unwrap();
        symlink(&target, &link).unwrap();
        let refused = |path: &Path| format!("{:#}", Output::create(path, true).err().unwrap());
        assert!(refused(&link).contains("it is a link"));
        fs::remove_file(&target).unwrap();
        assert!(refused(&link).contains("it is a link"));
        assert!(!target.exists());
        assert!(refused(dir.path()).contains("cannot write"));
        let mut output = Output::create(&target, true).unwrap();
        output.write_all(b"image").unwrap();
        let names = || fs::read_dir(dir.path()).unwrap().count();
        let before = names();
        if matches!(output, Output::Nameless(..)) {
            assert_eq!(before, 1, "the link alone");
        }
        output.keep().unwrap();
        assert_eq!(names(), 2);
        // It takes the place of what is there.
        let mut output = Output::create(&target, true).unwrap();
        output.write_all(b"image").unwrap();
        output.keep().unwrap();
        assert_eq!(names(), 2);
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&target).unwrap(), b"image");
        let null = dir.path().join("null");
        symlink("/dev/null", &null).unwrap();
        for null in [Path::new("/dev/null"), &null] {
            let output = Output::create(null, false).unwrap();
            assert!(matches!(output, Output::Other(_)));
        }
    }
}
