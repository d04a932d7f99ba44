// SPDX-License-Identifier: GPL-2.0

//! The tests of userspace, for commands that want to hear more of them than whether they pass.

use crate::{
    ctx::Ctx,
    flavour::Flavour,
    report::Folder,
    userspace::Programs,
    verdict::{
        self,
        InKernel,
        Verdict, //
    },
    vm::{
        Kernel,
        Machine,
        Root,
        accel,
        deadlines::Deadlines,
        guest::{
            Record,
            Way, //
        },
        run::Run, //
    },
    vm_test::{
        filter,
        job,
        screen::Screen, //
    },
};
use anyhow::Result;

/// What is to be run.
pub struct Suite<'a> {
    /// What the results are called.
    pub name: &'static str,
    pub flavour: &'a Flavour,
    pub kernel: &'a Kernel,
    pub programs: &'a Programs,
    /// Arguments of `roundtrip`, and which tests it is to run if not all.
    pub words: Vec<String>,
    pub filter: &'a [String],
    /// What lines begin with that are for the caller and nobody else.
    pub line: &'static str,
}

impl Suite<'_> {
    /// Runs it in a guest, and hands on the rest of each such line.
    pub fn run(self, ctx: &Ctx, take: &mut dyn FnMut(&str)) -> Result<Ran> {
        let accel = accel::choose(ctx, self.kernel, self.flavour, false)?;
        let deadlines = Deadlines::new(accel, self.flavour);
        let machine = Machine::new(self.kernel, self.programs, self.flavour, accel)?;
        let machine = machine.without_kunit();
        let mut words = self.words;
        words.extend(filter(self.filter).map(str::to_owned));
        let job = job(ctx, words, self.kernel, self.programs, &Root::Host)?;
        let folder = Folder::new(ctx, self.name, None, false)?;
        let mut run = Run::new(ctx, folder, self.kernel, &machine, deadlines, &job)?;
        let mut screen = Screen::new(&run.folder, self.flavour, accel)?;
        let record = run.go(
            "tests",
            &mut |way, line| match line.strip_prefix(self.line) {
                Some(rest) if way == Way::Output => take(rest),
                _ => screen.take(way, line),
            },
        )?;
        screen.end();
        let verdict = verdict::judge(&record, Some(screen.parser.finish()), InKernel::Without);
        Ok(Ran {
            run,
            record,
            verdict,
        })
    }
}

/// A suite that has run.
pub struct Ran {
    run: Run,
    record: Record,
    verdict: Verdict,
}

impl Ran {
    pub fn folder(&self) -> &Folder {
        &self.run.folder
    }

    /// Writes the results, whose page has all that is in the folder by now. Says how it ended in
    /// the words of `vm-test`, but for the last line.
    pub fn finish(self) -> Result<Verdict> {
        let summary = self.run.finish(&self.verdict, &self.record)?;
        print!("\n{summary}");
        Ok(self.verdict)
    }
}
