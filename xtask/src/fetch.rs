// SPDX-License-Identifier: GPL-2.0

//! `fetch`: the kernel sources, from the pin's Debian package or from `--linux`.

mod given;

use crate::{
    ctx::Ctx,
    exec, files,
    lock::Lock,
    pin::{
        self,
        Package,
        Pin, //
    },
    ui::{
        self,
        Step, //
    },
};
use anyhow::{
    Context,
    Result,
    ensure, //
};
use fs_err as fs;
use std::{
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        ExitCode, //
    },
};
use xshell::cmd;

/// By which keys Debian's lists are signed, if the machine has them where Debian puts them.
pub const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Unpatched kernel sources, which nobody writes to.
pub struct Source {
    pub dir: PathBuf,
    /// Names the content; trees and builds made from it carry this name.
    pub key: String,
    /// The commit of a git tree.
    pub commit: Option<String>,
}

pub fn run(ctx: &Ctx) -> Result<ExitCode> {
    let _lock = lock(ctx)?;
    let source = source(ctx)?;
    println!("{}", source.dir.display());
    Ok(ExitCode::SUCCESS)
}

/// The lock under which sources, trees and kernels are made.
pub fn lock(ctx: &Ctx) -> Result<Lock> {
    let why = format!(
        "{} of {}",
        std::env::args().skip(1).collect::<Vec<_>>().join(" "),
        ctx.repo.display()
    );
    Lock::take(&ctx.cache("lock/build"), &why)?.with_children()
}

/// The sources to build from. To be called under [`lock`].
pub fn source(ctx: &Ctx) -> Result<Source> {
    let pin = pin::load(ctx)?;
    match &ctx.linux {
        Some(dir) => given::given(ctx, &pin, dir),
        None => pinned(ctx, &pin),
    }
}

fn pinned(ctx: &Ctx, pin: &Pin) -> Result<Source> {
    let key = pin.package.tarball_sha256[..16].to_owned();
    let dir = ctx.cache("src").join(&key);
    // The name is given only to what was unpacked to the end.
    if !dir.exists() {
        let package = download(ctx, &pin.package)?;
        unpack(ctx, &pin.package, &package, &dir)?;
    }
    Ok(Source {
        dir,
        key,
        commit: None,
    })
}

/// Gets the package file into the cache, unless a good one is there.
fn download(ctx: &Ctx, package: &Package) -> Result<PathBuf> {
    let name = format!("{}_{}.deb", package.name, package.version);
    let path = ctx.cache("download").join(name);
    if path.exists() {
        if files::sha256_file(&path)? == package.sha256 {
            return Ok(path);
        }
        ui::warning(&format!(
            "{} is not what the pin says: downloading again",
            path.display()
        ));
        fs::remove_file(&path)?;
    }
    let step = Step::new(&format!("download {} {}", package.name, package.version));
    let work = files::temporary(&ctx.cache("download"))?;
    let got = apt_download(ctx, package, work.path(), &step).with_context(|| {
        format!(
            "cannot get the package {} from Debian's {}; \
             give a tree of Linux {} with --linux DIR, or put the file at {}",
            package.name,
            package.suite,
            package.version,
            path.display()
        )
    })?;
    let found = files::sha256_file(&got)?;
    ensure!(
        found == package.sha256,
        "the downloaded {} has the SHA-256 {found}, the pin says {}",
        package.name,
        package.sha256
    );
    fs::rename(&got, &path)?;
    step.done("");
    Ok(path)
}

/// `apt-get download` with a list of sources of its own: the machine's configuration is read for
/// the mirror and otherwise left alone, and so are its package lists.
fn apt_download(ctx: &Ctx, package: &Package, work: &Path, step: &Step) -> Result<PathBuf> {
    let mirror = mirror()?;
    for dir in ["state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(work.join(dir))?;
    }
    let signed = if Path::new(KEYRING).exists() {
        format!("[signed-by={KEYRING}] ")
    } else {
        String::new()
    };
    let list = work.join("sources.list");
    fs::write(
        &list,
        format!("deb {signed}{mirror} {} main\n", package.suite),
    )?;

    let options = [
        format!("Dir::Etc::SourceList={}", list.display()),
        "Dir::Etc::SourceParts=-".to_owned(),
        format!("Dir::State={}", work.join("state").display()),
        format!("Dir::Cache={}", work.join("cache").display()),
        "Dir::State::status=/dev/null".to_owned(),
        "Acquire::Languages=none".to_owned(),
        // Without this apt wants to download as a user who may not write here.
        "APT::Sandbox::User=root".to_owned(),
    ];
    let exact = format!("{}={}", package.name, package.version);
    for words in [&["update"][..], &["download", &exact]] {
        let mut apt = Command::new("apt-get");
        apt.current_dir(work).env("LC_ALL", "C");
        for option in &options {
            apt.arg("-o").arg(option);
        }
        apt.arg("-q").args(words);
        exec::logged(&mut apt, &exec::log_path(ctx, "fetch"), step, 0)?;
    }
    let deb = fs::read_dir(work)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|end| end == "deb"));
    deb.context("apt-get download left no package")
}

/// Where the machine has Debian from.
pub fn mirror() -> Result<String> {
    let format = "$(ORIGIN)|$(LABEL)|$(CREATED_BY)|$(REPO_URI)";
    let targets = exec::output("apt-get", &["indextargets", "--format", format])
        .context("apt-get is not there: this is not Debian")?;
    mirror_in(&targets).context("apt's configuration names no mirror of Debian itself")
}

/// The machine's Debian mirror, out of `apt-get indextargets`.
///
/// Origin and label are known only after an `apt-get update`; without one, the first archive
/// whose path ends as Debian's main archive does.
fn mirror_in(targets: &str) -> Option<String> {
    let rows = || {
        targets.lines().filter_map(|line| {
            let mut fields = line.split('|');
            let (origin, label) = (fields.next()?, fields.next()?);
            (fields.next()? == "Packages").then_some((origin, label, fields.next()?))
        })
    };
    rows()
        .find(|(origin, label, _)| *origin == "Debian" && *label == "Debian")
        .or_else(|| {
            // What is made from Debian may say whose it is, and end in the same way.
            let mut unknown = rows().filter(|(origin, ..)| origin.is_empty());
            unknown.find(|(.., uri)| uri.trim_end_matches('/').ends_with("/debian"))
        })
        .map(|(.., uri)| uri.to_owned())
}

/// A suite of Debian, and the lines of a list of sources that bring it and its updates.
#[derive(Debug, PartialEq, Eq)]
pub struct Suite {
    pub name: String,
    pub sources: Vec<String>,
}

/// The suite that the machine has Debian in, from where it has it.
pub fn suite() -> Result<Suite> {
    let mirror = mirror()?;
    let format = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)";
    let targets = exec::output(
        "apt-get",
        &["indextargets", "--format", format, "Created-By: Packages"],
    );
    suite_in(&targets.unwrap_or_default(), &mirror)
        .context("apt's configuration names no suite of Debian")
}

fn suite_in(targets: &str, mirror: &str) -> Option<Suite> {
    let rows: Vec<_> = targets
        .lines()
        .filter_map(|line| -> Option<[&str; 4]> {
            line.split('|').collect::<Vec<_>>().try_into().ok()
        })
        .filter(|[origin, uri, _, component]| {
            // Not known before an `apt-get update`.
            let archive = ["/debian", "/debian-security"];
            let debian = *origin == "Debian"
                || origin.is_empty()
                    && archive
                        .iter()
                        .any(|end| uri.trim_end_matches('/').ends_with(end));
            debian && *component == "main"
        })
        .collect();
    let name = rows.iter().find(|row| row[1] == mirror)?[2];
    let signed = if Path::new(KEYRING).exists() {
        format!("[signed-by={KEYRING}] ")
    } else {
        String::new()
    };
    let mut sources = Vec::new();
    for [_, uri, release, component] in rows {
        let line = format!("deb {signed}{uri} {release} {component}");
        let rest = release.strip_prefix(name);
        let of_suite = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        if of_suite && !sources.contains(&line) {
            sources.push(line);
        }
    }
    Some(Suite {
        name: name.to_owned(),
        sources,
    })
}

fn unpack(ctx: &Ctx, package: &Package, deb: &Path, dir: &Path) -> Result<()> {
    let sh = &ctx.sh;
    let step = Step::bar("unpack the kernel sources", package.files);
    let work = files::temporary(&ctx.cache("download"))?;
    let inside = work.path();
    cmd!(sh, "dpkg-deb -x {deb} {inside}").quiet().run()?;
    let tarball = inside.join(&package.tarball);
    let found = files::sha256_file(&tarball)?;
    ensure!(
        found == package.tarball_sha256,
        "{} has the SHA-256 {found}, the pin says {}",
        package.tarball,
        package.tarball_sha256
    );
    files::make_dir_atomic(dir, |new| {
        let mut tar = Command::new("tar");
        tar.args(["-x", "-v", "--strip-components=1", "--no-same-owner"]);
        tar.args(["-I", "xz -T0", "-f"])
            .arg(&tarball)
            .arg("-C")
            .arg(new);
        exec::logged(
            &mut tar,
            &exec::log_path(ctx, "unpack"),
            &step,
            package.files,
        )?;
        Ok(())
    })?;
    step.done(&dir.display().to_string());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_debians_main_archive() {
        let targets = "\
            Other|Other|Packages|http://other.example/debian\n\
            Debian|Debian-Security|Packages|http://mirror.example/debian-security/\n\
            Debian|Debian|Packages|http://mirror.example/debian/\n";
        assert_eq!(
            mirror_in(targets).as_deref(),
            Some("http://mirror.example/debian/")
        );
        let never_updated =
            "||Packages|http://m.example/debian-security\n||Packages|http://m.example/debian\n";
        assert_eq!(
            mirror_in(never_updated).as_deref(),
            Some("http://m.example/debian")
        );
        assert_eq!(mirror_in(""), None);
    }

    #[test]
    fn a_suite_has_its_updates_and_nothing_else() {
        let targets = "\
            Other|http://other.example/debian|bookworm|main\n\
            Debian|http://m.example/debian|bookworm|main\n\
            Debian|http://m.example/debian|bookworm|main\n\
            Debian|http://m.example/debian|bookworm|contrib\n\
            Debian|http://m.example/debian|bookworm-updates|main\n\
            |http://m.example/debian-security/|bookworm-security|main\n\
            |http://third.example/apt|bookworm|main\n\
            Debian|http://m.example/debian|sid|main\n";
        let suite = suite_in(targets, "http://m.example/debian").unwrap();
        assert_eq!(suite.name, "bookworm");
        let ends = [
            "http://m.example/debian bookworm main",
            "http://m.example/debian bookworm-updates main",
            "http://m.example/debian-security/ bookworm-security main",
        ];
        assert_eq!(suite.sources.len(), ends.len(), "{suite:?}");
        for (line, end) in suite.sources.iter().zip(ends) {
            assert!(line.starts_with("deb ") && line.ends_with(end), "{line}");
        }
        assert_eq!(suite_in(targets, "http://gone.example/debian"), None);
    }

    #[test]
    fn what_is_made_from_debian_has_no_mirror_of_it() {
        let derivative = "\
            Ubuntu|Ubuntu|Packages|http://m.example/ubuntu/\n\
            Raspbian|Raspbian|Packages|http://m.example/debian/\n";
        assert_eq!(mirror_in(derivative), None);
    }
}
