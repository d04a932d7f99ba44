// SPDX-License-Identifier: GPL-2.0

//! `series check --mistakes`: whether the checks see anything. A series with one mistake for each
//! of them, and one patch without, goes the way of the real one.

use super::{
    Finding,
    World,
    check, //
};
use crate::{
    ctx::Ctx,
    fetch, files,
    series::{
        Who,
        git::Git,
        mail::{
            self,
            Letter,
            Recipients, //
        },
    },
    tree,
};
use anyhow::Result;
use std::process::ExitCode;

/// A patch that has a mistake which one check has to see, and no other.
struct Mistake {
    check: &'static str,
    subject: &'static str,
    assisted_by: Option<&'static str>,
    path: &'static str,
    content: &'static str,
}

/// What the files of the tree say that the patches are looked up in.
const LISTS: [&str; 4] = [
    "Documentation/networking/index.rst",
    "MAINTAINERS",
    "tools/testing/selftests/net/Makefile",
    "tools/testing/selftests/net/config",
];

const COVER: &str = "EDITME: a cover letter that nobody has written\n\nWhy.\n";
const BODY: &str = "Say why this is done, in a line that is not too long.";
const CLEAN: &str = "\
// SPDX-License-Identifier: GPL-2.0

/**
 * xtask_clean() - Return what is given
 * @value: what is given
 *
 * Return: @value
 */
int xtask_clean(int value)
{
	return value;
}
";

const MISTAKES: [Mistake; 10] = [
    Mistake {
        check: "",
        subject: "net: add what is right",
        assisted_by: Some("LLM"),
        path: "net/core/xtask_clean.c",
        content: CLEAN,
    },
    Mistake {
        check: "form",
        subject: "net: end with a full stop.",
        assisted_by: Some("LLM"),
        path: "net/core/xtask_form.c",
        content: CLEAN,
    },
    Mistake {
        check: "tags",
        subject: "net: do not say by what this was assisted",
        assisted_by: None,
        path: "net/core/xtask_tags.c",
        content: CLEAN,
    },
    Mistake {
        check: "checkpatch",
        subject: "net: leave out spaces",
        assisted_by: Some("LLM"),
        path: "net/core/xtask_checkpatch.c",
        content: "\
// SPDX-License-Identifier: GPL-2.0

int xtask_checkpatch(int value)
{
	return value+1;
}
",
    },
    Mistake {
        check: "kernel-doc",
        subject: "net: do not describe a parameter",
        assisted_by: Some("LLM"),
        path: "net/core/xtask_kernel_doc.c",
        content: "\
// SPDX-License-Identifier: GPL-2.0

/**
 * xtask_kernel_doc() - Return what is given
 *
 * Return: what is given
 */
int xtask_kernel_doc(int value)
{
	return value;
}
",
    },
    Mistake {
        check: "rustfmt",
        subject: "rust: net: indent by two spaces",
        assisted_by: Some("LLM"),
        path: "rust/kernel/net/xtask.rs",
        content: "\
// SPDX-License-Identifier: GPL-2.0

//! What is not formatted.

/// Returns what is given.
pub fn xtask(value: u32) -> u32 {
  value
}
",
    },
    Mistake {
        check: "spec",
        subject: "netlink: specs: describe a family without a header",
        assisted_by: Some("LLM"),
        path: "Documentation/netlink/specs/xtask.yaml",
        content: "\
# SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause)
---
name: xtask

doc: A family that does nothing.

attribute-sets:
  -
    name: nothing
    attributes:
      -
        name: value
        type: u32

operations:
  list:
    -
      name: nothing
      doc: Do nothing.
      attribute-set: nothing
      do:
        request:
          attributes:
            - value
",
    },
    Mistake {
        check: "docs",
        subject: "Documentation: networking: break a title",
        assisted_by: Some("LLM"),
        path: "Documentation/networking/xtask.rst",
        content: "\
.. SPDX-License-Identifier: GPL-2.0

A title that is longer
======================

A title that is longer than its line
------

See Documentation/networking/not-there.rst.
",
    },
    Mistake {
        check: "maintainers",
        subject: "xtask: add a file that nobody maintains",
        assisted_by: Some("LLM"),
        path: "xtask/xtask.c",
        content: CLEAN,
    },
    Mistake {
        check: "selftest",
        subject: "selftests: net: add a test that nothing runs",
        assisted_by: Some("LLM"),
        path: "tools/testing/selftests/net/xtask.py",
        content: "#!/usr/bin/env python3\n# SPDX-License-Identifier: GPL-2.0\n",
    },
];

pub(super) fn run(ctx: &Ctx) -> Result<ExitCode> {
    let source = fetch::source(ctx)?;
    let lists = LISTS.map(str::to_owned).into();
    let scratch = tree::scratch(ctx, &source.dir, &lists)?;
    let git = Git::new(scratch, Who::new(ctx, false)?)?;
    for (index, mistake) in MISTAKES.iter().enumerate() {
        files::write_atomic(&git.dir().join(mistake.path), mistake.content.as_bytes())?;
        let message = format!("{}\n\n{BODY}\n", mistake.subject);
        git.commit(index + 1, &message, mistake.assisted_by)?;
    }
    let letter = Letter {
        prefix: "PATCH net-next".to_owned(),
        version: 1,
        cover: COVER.to_owned(),
        recipients: Recipients::default(),
        base: "base: nothing".to_owned(),
    };
    let mails = mail::write(&git, &letter, &ctx.target.join("series/mistakes"))?;
    let world = World::new(ctx, &git, true)?;
    let patches = world.patches(COVER, mails)?;
    let table = check(&world, &patches, ctx.jobs)?;
    println!("\n{}", table.text());
    let (mut passed, mut failed) = (0, 0);
    for (name, row, finding) in table.cells() {
        // The mistake of the cover letter is that nobody has written it.
        let mistake = match row.checked_sub(1) {
            None => "b4",
            Some(index) => MISTAKES[index].check,
        };
        let wrong = match finding {
            Finding::Red(_) if mistake == name => None,
            _ if mistake == name => Some("the mistake is not seen".to_owned()),
            Finding::Red(text) => Some(format!("red without a mistake: {text}")),
            _ => None,
        };
        match wrong {
            None => passed += 1,
            Some(wrong) => {
                failed += 1;
                println!("{row:04} {name}: {wrong}");
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(ExitCode::from(u8::from(failed > 0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::check::CHECKS;

    #[test]
    fn each_check_has_a_mistake() {
        for (name, _) in CHECKS {
            let found = MISTAKES.iter().any(|mistake| mistake.check == name);
            assert!(found || name == "b4", "{name}");
        }
    }
}
