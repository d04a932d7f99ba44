// SPDX-License-Identifier: GPL-2.0

//! A small project with a small kernel, of which `series` makes two patches.

use super::{
    Form,
    Place,
    Series,
    compare,
    fetch,
    mail,
    rebase,
    write, //
};
use crate::{
    ctx::Ctx,
    files, //
};
use anyhow::Result;
use fs_err as fs;
use std::{
    fmt::Write as _,
    path::PathBuf,
    process::Command, //
};

const OLD: &str = "one\ntwo\nthree\nfour\nfive\nsix\nseven\n";
const NEW: &str = "a\nb\nc\nd\ne\nnew\nf\ng\nh\ni\n";
const EDIT: &str = "\
--- a/net/old.c
+++ b/net/old.c
@@ -1,4 +1,5 @@
 one
+and a half
 two
 three
 four
";

/// The form of a first version.
const FIRST: Form = Form {
    reroll_count: 1,
    rfc: false,
    to_cc: false,
    signoff: false,
};

struct Project {
    dir: tempfile::TempDir,
    ctx: Ctx,
}

impl Project {
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let path = |name: &str| dir.path().join(name);
        let put = |name: &str, text: &str| files::write_atomic(&path(name), text.as_bytes());
        put("linux/Kbuild", "")?;
        put("linux/rust/kernel/lib.rs", "")?;
        put("linux/net/old.c", OLD)?;
        let blob = files::blob_hash(OLD.as_bytes());
        put(
            "repo/linux-patches/pin.toml",
            &format!(
                "version = \"7\"\n[package]\nname = \"l\"\nversion = \"7-1\"\nsuite = \"s\"\n\
                 sha256 = \"\"\ntarball = \"\"\ntarball_sha256 = \"\"\nfiles = 1\n\
                 [blobs]\n\"net/old.c\" = \"{blob}\"\n"
            ),
        )?;
        let mut manifest =
            "cover = \"messages/0.md\"\nprefix = \"PATCH net-next\"\nassisted-by = \"LLM\"\n"
                .to_owned();
        for (number, claim) in ["patches = [\"edits/1.patch\"]", "files = [\"net/new.c\"]"]
            .iter()
            .enumerate()
        {
            let number = number + 1;
            write!(
                manifest,
                "[[commit]]\nid = \"{number}\"\nmessage = \"messages/{number}.md\"\n{claim}\n"
            )?;
        }
        put("repo/linux-patches/series.toml", &manifest)?;
        put("repo/linux-patches/edits/1.patch", EDIT)?;
        put("repo/net/new.c", NEW)?;
        put("repo/linux-patches/messages/0.md", "All\n\nWhy all.\n")?;
        put("repo/linux-patches/messages/1.md", "net: edit\n\nWhy.\n")?;
        put("repo/linux-patches/messages/2.md", "net: add\n\nWhy.\n")?;
        let ctx = Ctx {
            repo: path("repo"),
            linux: Some(path("linux")),
            ..Ctx::in_dir(dir.path())?
        };
        Ok(Self { dir, ctx })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, text: &str) -> Result<()> {
        files::write_atomic(&self.path(name), text.as_bytes())
    }

    /// What `series` makes into the folder `out`.
    fn make(&self, out: &str, change: impl FnOnce(&mut Form)) -> Result<Vec<(String, String)>> {
        self.make_branch(out, None, change)
    }

    /// The same, and a branch.
    fn make_branch(
        &self,
        out: &str,
        branch: Option<&str>,
        change: impl FnOnce(&mut Form),
    ) -> Result<Vec<(String, String)>> {
        let place = Place {
            out: Some(self.path(out)),
            branch: branch.map(str::to_owned),
        };
        let mut form = FIRST;
        change(&mut form);
        write(&self.ctx, &place, &form)?;
        let names = files::list(&self.path(out))?;
        names
            .iter()
            .map(|name| {
                let text = fs::read_to_string(self.path(out).join(name))?;
                Ok((name.display().to_string(), text))
            })
            .collect()
    }

    /// Makes the kernel a git tree; gives the commit.
    fn commit(&self, dir: &str) -> Result<String> {
        self.git(dir, &["init", "--quiet", "--initial-branch=main"])?;
        self.git(dir, &["add", "--all"])?;
        let who = ["-c", "user.name=A", "-c", "user.email=a@x"];
        self.git(
            dir,
            &[&who[..], &["commit", "--quiet", "--message=x"]].concat(),
        )?;
        self.git(dir, &["rev-parse", "HEAD"])
    }

    fn git(&self, dir: &str, args: &[&str]) -> Result<String> {
        let mut git = Command::new("git");
        git.arg("-C").arg(self.path(dir)).args(args);
        let text = String::from_utf8(super::git::good(&mut git)?)?;
        Ok(text.trim().to_owned())
    }
}

#[test]
fn what_is_made_twice_is_the_same() -> Result<()> {
    let project = Project::new()?;
    let once = project.make("one", |_| {})?;
    let names: Vec<_> = once.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "0000-cover-letter.patch",
            "0001-net-edit.patch",
            "0002-net-add.patch"
        ]
    );
    assert_eq!(once, project.make("two", |_| {})?);
    assert!(once[0].1.ends_with("\n\nbase: a tree like Linux 7\n"));
    assert!(once[1].1.contains("Why.\n\nAssisted-by: LLM\n---\n"));
    assert!(once.iter().all(|(_, text)| !text.contains("Signed-off-by")));
    Ok(())
}

#[test]
fn a_version_and_the_wish_for_comments_are_in_each_subject() -> Result<()> {
    let project = Project::new()?;
    project.make("out", |form| form.reroll_count = 2)?;
    let made = project.make("out", |form| {
        form.reroll_count = 3;
        form.rfc = true;
    })?;
    assert_eq!(made.len(), 3, "an older version is left: {made:?}");
    for (index, (name, text)) in made.iter().enumerate() {
        assert!(name.starts_with("v3-000"), "{name}");
        let subject = format!("Subject: [RFC PATCH net-next v3 {index}/2] ");
        assert!(text.contains(&subject), "{text}");
    }
    Ok(())
}

#[test]
fn a_branch_of_a_git_tree_has_what_is_built() -> Result<()> {
    let project = Project::new()?;
    let base = project.commit("linux")?;
    let made = project.make_branch("out", Some("cr"), |_| {})?;
    assert!(made[0].1.ends_with(&format!("\nbase-commit: {base}\n")));
    let show = |name: &str| project.git("linux", &["show", &format!("cr:{name}")]);
    assert_eq!(
        show("net/old.c")?,
        OLD.replace("two", "and a half\ntwo").trim()
    );
    assert_eq!(show("net/new.c")?, NEW.trim());
    assert_eq!(show("Kbuild")?, "");
    assert_eq!(project.git("linux", &["rev-parse", "cr~2"])?, base);
    // Neither what is checked out nor a branch that is there is touched.
    assert_eq!(project.git("linux", &["status", "--porcelain"])?, "");
    let again = project.make_branch("out", Some("cr"), |_| {});
    let error = format!("{:#}", again.unwrap_err());
    assert!(error.contains("has a branch cr already"), "{error}");
    Ok(())
}

#[test]
fn commits_that_do_not_lead_to_the_tree_are_refused() -> Result<()> {
    let project = Project::new()?;
    project.put(
        "repo/linux-patches/edits/1.patch",
        &EDIT.replace("two", "2"),
    )?;
    let error = format!("{:#}", project.make("out", |_| {}).unwrap_err());
    assert!(error.contains("edits/1.patch does not apply"), "{error}");
    Ok(())
}

#[test]
fn a_comparison_shows_the_patch_that_has_changed() -> Result<()> {
    let project = Project::new()?;
    project.make("older", |_| {})?;
    project.put("repo/net/new.c", &NEW.replace("new", "newer"))?;
    let args = compare::Args {
        older: project.path("older"),
        newer: None,
    };
    let text = compare::compare(&project.ctx, &args)?;
    assert!(text.contains(" = 1:  "), "{text}");
    assert!(
        text.contains(" ! 2:  ") && text.contains("+newer\n"),
        "{text}"
    );
    let args = compare::Args {
        older: project.path("repo"),
        newer: None,
    };
    let error = compare::compare(&project.ctx, &args).unwrap_err();
    assert!(format!("{error:#}").contains("no files of git format-patch"));
    Ok(())
}

/// A copy of the kernel with other content in a file.
fn other(project: &Project, name: &str, text: &str) -> Result<rebase::Onto> {
    project.put("other/Kbuild", "")?;
    project.put("other/rust/kernel/lib.rs", "")?;
    project.put("other/net/old.c", OLD)?;
    project.put(
        "other/Makefile",
        "VERSION = 8\nPATCHLEVEL = 0\nSUBLEVEL = 1\n",
    )?;
    project.put(&format!("other/{name}"), text)?;
    rebase::Onto::new(&project.path("other"))
}

#[test]
fn a_rebase_goes_over_changes_elsewhere() -> Result<()> {
    let project = Project::new()?;
    let changed = OLD.replace("one", "1").replace("seven", "7");
    let changed = format!("zero\n{changed}").replace('1', "one");
    let onto = other(&project, "net/old.c", &changed)?;
    let rebased = rebase::rebase(&project.ctx, &onto, &FIRST, &project.path("out"))?;
    assert!(rebased.conflict.is_none(), "{}", rebased.report());
    let patches = mail::find(&project.path("out"))?;
    assert_eq!(patches.len(), 2);
    let cover = fs::read_to_string(project.path("out/0000-cover-letter.patch"))?;
    assert!(cover.ends_with("\nbase: Linux 8.0.1\n"), "{cover}");
    // They are for the other kernel now.
    let blob = files::blob_hash(changed.as_bytes());
    assert!(fs::read_to_string(&patches[0])?.contains(&blob));
    Ok(())
}

#[test]
fn a_rebase_names_what_conflicts_and_what_was_not_tried() -> Result<()> {
    let project = Project::new()?;
    let onto = other(
        &project,
        "net/old.c",
        &OLD.replace("one\n", "one and more\n"),
    )?;
    let rebased = rebase::rebase(&project.ctx, &onto, &FIRST, &project.path("out"))?;
    let report = rebased.report();
    for part in [
        "CONFLICT   0001  net: edit\n",
        "net/old.c: changed on both sides, 1x, see ",
        "not tried  0002  net: add\n",
        "\n0 of 2 patches apply\n",
    ] {
        assert!(report.contains(part), "{part} not in:\n{report}");
    }
    assert!(mail::find(&project.path("out")).is_err());
    let kept = fs::read_to_string(project.path("out/conflicts/net/old.c"))?;
    assert!(kept.contains("<<<<<<< "));

    // A file that the other kernel has got meanwhile; the git tree says which.
    project.put("other/net/old.c", OLD)?;
    project.put("other/net/new.c", "theirs\n")?;
    let head = project.commit("other")?;
    let onto = rebase::Onto::new(&project.path("other"))?;
    let rebased = rebase::rebase(&project.ctx, &onto, &FIRST, &project.path("out"))?;
    let report = rebased.report();
    assert!(report.contains("applies    0001"), "{report}");
    assert!(
        report.contains("net/new.c: added on both sides"),
        "{report}"
    );
    assert_eq!(mail::find(&project.path("out"))?.len(), 1);
    let cover = fs::read_to_string(project.path("out/0000-cover-letter.patch"))?;
    assert!(cover.ends_with(&format!("\nbase-commit: {head}\n")));
    Ok(())
}

#[test]
fn a_signature_is_that_of_the_person_whom_git_knows() -> Result<()> {
    let project = Project::new()?;
    project.git("repo", &["init", "--quiet"])?;
    project.git("repo", &["config", "user.name", "A Person"])?;
    project.git("repo", &["config", "user.email", "person@x"])?;
    let made = project.make("out", |form| form.signoff = true)?;
    let tags = "\n\nAssisted-by: LLM\nSigned-off-by: A Person <person@x>\n---\n";
    assert!(made[1].1.contains(tags), "{}", made[1].1);
    assert!(!made[0].1.contains("Signed-off-by"));
    let source = fetch::source(&project.ctx)?;
    assert!(Series::make(&project.ctx, &source, false).is_ok());

    // So it is on another kernel, and the other wishes hold there as well.
    let onto = other(&project, "net/old.c", OLD)?;
    let form = Form {
        reroll_count: 2,
        rfc: true,
        signoff: true,
        ..FIRST
    };
    rebase::rebase(&project.ctx, &onto, &form, &project.path("rebased"))?;
    let patches = mail::find(&project.path("rebased"))?;
    let first = fs::read_to_string(&patches[0])?;
    assert!(first.contains(tags), "{first}");
    for line in [
        "\nFrom: A Person <person@x>\n",
        "\nSubject: [RFC PATCH net-next v2 1/2] net: edit\n",
    ] {
        assert!(first.contains(line), "{line} not in:\n{first}");
    }
    Ok(())
}

/// Numbers such as 14,210 in a text.
fn numbers(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_ascii_digit() && c != ',');
    let words = words.map(|word| word.trim_matches(','));
    words.filter(|word| word.contains(',')).collect()
}

#[test]
fn the_numbers_of_the_messages_are_those_of_the_readme() -> Result<()> {
    let repo = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = fs::read_to_string(repo.join("README.md"))?;
    let (_, rest) = readme.split_once("<!-- bench -->").unwrap();
    let (table, _) = rest.split_once("<!-- end -->").unwrap();
    let measured = numbers(table);
    let mut any = false;
    for name in files::list(&repo.join("linux-patches/messages"))? {
        let text = fs::read_to_string(repo.join("linux-patches/messages").join(&name))?;
        for number in numbers(&text) {
            any = true;
            let name = name.display();
            assert!(measured.contains(&number), "{name}: {number}");
        }
    }
    assert!(any, "no message says what it costs");
    Ok(())
}
