// SPDX-License-Identifier: GPL-2.0

//! Whether the small image boots by what its manifest says, and is what that says.

use super::{
    Image,
    SHELL,
    TESTS,
    elsewhere::Elsewhere, //
};
use crate::{
    checks::Checks,
    ctx::Ctx,
    flavour::Flavour,
    report::Folder,
    ui::Step,
    vm::{
        accel::Accel,
        deadlines::Deadlines,
        terminal::Terminal, //
    },
};
use anyhow::Result;
use std::process::ExitCode;

/// How much longer than a boot it may take to get somewhere in the guest with the shell.
const PATIENCE: u32 = 3;

/// The end of the shell's prompt.
const PROMPT: &str = "[af_inet_cr image] ~ # ";

/// What is typed there at last, and what has to come of it.
const TYPED: &str = "inetcr show --fd 0; exit 7\n";
const ANSWERS: [&str; 2] = ["not a socket", "vminit: exit 7"];

/// Boots it to its shell, and `with_tests` also to its tests.
pub fn run(ctx: &Ctx, image: &Image, flavour: &Flavour, with_tests: bool) -> Result<ExitCode> {
    let mut checks = Checks::default();
    let elsewhere = Elsewhere::new(ctx, &image.dir())?;
    elsewhere.check(&mut checks);
    // The lines do without KVM.
    let deadlines = Deadlines::new(Accel::Tcg, flavour);
    shell(ctx, &elsewhere, deadlines, &mut checks)?;
    if with_tests {
        tests(ctx, &elsewhere, deadlines, &mut checks)?;
    }
    Ok(checks.end())
}

/// Waits for the prompt, types, and reads until the guest is gone.
fn shell(
    ctx: &Ctx,
    elsewhere: &Elsewhere,
    deadlines: Deadlines,
    checks: &mut Checks,
) -> Result<()> {
    let folder = Folder::new(ctx, "image-initramfs", None, false)?;
    let limit = deadlines.boot * PATIENCE;
    let step = Step::new("boot the image");
    let mut guest = Terminal::boot(&elsewhere.line(SHELL)?, elsewhere.path(), &folder)?;
    let booted = guest.shows(PROMPT, limit)?;
    step.done(if booted { "a prompt" } else { "no prompt" });
    checks.say("boots to a prompt", booted, &guest.last_words()?);
    if !booted {
        return Ok(());
    }
    guest.types(&format!("{}; {TYPED}", elsewhere.manifest.question()))?;
    let ended = guest.wait(limit, Terminal::has_ended)?;
    checks.say("exit powers off", ended, &guest.last_words()?);
    let said = guest.console()?;
    for answer in ANSWERS {
        let found = said.lines().any(|line| line.contains(answer));
        checks.say(&format!("says {answer:?}"), found, &guest.last_words()?);
    }
    elsewhere.manifest.check_answer(SHELL, &said, checks);
    guest.check_complaints(SHELL, checks)
}

/// Follows the tests until the guest is gone.
fn tests(
    ctx: &Ctx,
    elsewhere: &Elsewhere,
    deadlines: Deadlines,
    checks: &mut Checks,
) -> Result<()> {
    let folder = Folder::new(ctx, "image-initramfs-tests", None, false)?;
    let mut guest = Terminal::boot(&elsewhere.line(TESTS)?, elsewhere.path(), &folder)?;
    guest.check_tests(TESTS, deadlines.run, &folder, checks)?;
    let exit = guest.console()?.contains("vminit: exit 0");
    checks.say(
        "the program of the tests is content",
        exit,
        &guest.last_words()?,
    );
    guest.check_complaints(TESTS, checks)
}
