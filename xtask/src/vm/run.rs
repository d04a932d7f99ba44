// SPDX-License-Identifier: GPL-2.0

//! One guest from its start to its results: what it is started with is written into a folder, and
//! so is what comes out of it.

use crate::{
    ctx::Ctx,
    report::{
        self,
        About,
        Folder,
        Times, //
    },
    verdict::Verdict,
    vm::{
        self, Job, Kernel, Machine, Root,
        deadlines::Deadlines,
        guest::{
            self,
            Outputs,
            Record,
            Way, //
        },
        line::{
            End,
            Line, //
        },
    },
};
use anyhow::Result;
use fs_err as fs;

/// A guest that is ready to be started.
pub struct Run {
    pub folder: Folder,
    pub times: Times,
    /// What becomes of the job's output; it is handed on by lines if nobody changes this.
    pub outputs: Outputs,
    line: Line,
    by_hand: Line,
    deadlines: Deadlines,
    about: About,
}

impl Run {
    /// Describes the guest in a folder.
    pub fn new(
        ctx: &Ctx,
        folder: Folder,
        kernel: &Kernel,
        machine: &Machine,
        deadlines: Deadlines,
        job: &Job,
    ) -> Result<Self> {
        let line = machine.line(ctx, job, &folder)?;
        let mut by_hand = line.clone();
        by_hand.add_console("console", End::Terminal(None));
        fs::write(folder.file("qemu.txt"), format!("{by_hand}\n"))?;
        fs::copy(&kernel.config, folder.file("config"))?;
        Ok(Self {
            about: about(kernel, machine, job, &by_hand)?,
            folder,
            times: Times::default(),
            outputs: Outputs::Lines,
            line,
            by_hand,
            deadlines,
        })
    }

    /// The command line of QEMU for a person, who has the console and what the job says on the
    /// terminal.
    pub fn by_hand(&self) -> &Line {
        &self.by_hand
    }

    /// Lets the guest live, and takes the time of its job, which is called `what`.
    pub fn go(&mut self, what: &'static str, take: &mut dyn FnMut(Way, &str)) -> Result<Record> {
        let record = guest::run(self.line.clone(), self.deadlines, &mut self.outputs, take)?;
        let around = record.boot + record.job;
        self.times.add("boot", record.boot);
        self.times.add(what, record.job);
        self.times
            .add("checks", record.total.saturating_sub(around));
        Ok(record)
    }

    /// Writes the results, and gives what a person reads of them.
    pub fn finish(&self, verdict: &Verdict, record: &Record) -> Result<String> {
        // A copy of the image, if there is one, and too big to be kept with each run.
        let _ = fs::remove_file(self.folder.file(vm::INITRAMFS));
        self.folder
            .finish(verdict, record, &self.times, &self.about)?;
        Ok(report::summary(
            verdict,
            record,
            &self.times,
            &self.folder.path,
        ))
    }
}

/// What a guest is started with, for a reader.
fn about(kernel: &Kernel, machine: &Machine, job: &Job, line: &Line) -> Result<About> {
    let size = format!(
        "{} processors, {} MiB, {}",
        machine.cpus,
        machine.memory,
        machine.accel.name()
    );
    let root = match &machine.root {
        Root::Host => "the root of the host, read only".to_owned(),
        Root::Image(image) => image.display().to_string(),
    };
    Ok(About {
        what: report::typed(),
        when: format!("{} UTC", report::now().join(" ")),
        facts: vec![
            ("flavour", machine.flavour.clone()),
            ("machine", size),
            ("files", root),
            ("program", report::quoted(&job.command)),
            ("commit", kernel.commit()),
            ("QEMU's command line", line.to_string()),
        ],
        config: fs::read_to_string(&kernel.config)?,
    })
}
