// SPDX-License-Identifier: GPL-2.0

//! What is shown and kept while the guest runs.

use crate::{
    flavour::Flavour,
    report::{
        Folder,
        Log, //
    },
    ui::{
        self,
        Step, //
    },
    vm::{
        accel::Accel,
        guest::Way, //
    },
};
use anyhow::Result;
use std::io::Write as _;

/// The terminal and the logs.
pub struct Screen {
    pub parser: ktap::Parser,
    ktap: Log,
    errors: Log,
    control: Log,
    /// Written at once, so that it can be read while the guest runs.
    console: Log,
    boot: Option<Step>,
}

impl Screen {
    /// Begins with the boot.
    pub fn new(folder: &Folder, flavour: &Flavour, accel: Accel) -> Result<Self> {
        let what = format!("boot the {flavour} kernel ({})", accel.name());
        Ok(Self {
            parser: ktap::Parser::new(),
            ktap: folder.log("ktap.log")?,
            errors: folder.log("stderr.log")?,
            control: folder.log("vminit.log")?,
            console: folder.log("console.log")?,
            boot: Some(Step::new(&what)),
        })
    }

    /// Takes a line as it comes.
    pub fn take(&mut self, way: Way, line: &str) {
        match way {
            Way::Output => {
                self.booted();
                self.ktap.line(line);
                // Which tests have begun is for the log, and for the verdict if they do not end;
                // how long they took is for the results.
                let event = self.parser.feed(line);
                if !matches!(event, ktap::Event::Started | ktap::Event::Took) {
                    println!("{line}");
                    let _ = std::io::stdout().flush();
                }
            }
            Way::Errors => {
                self.errors.line(line);
                ui::note(line);
            }
            // The kernel's log has a file of its own.
            Way::Control if line.starts_with("log ") => {}
            Way::Control => {
                self.control.line(line);
                if line.starts_with("start ") {
                    self.booted();
                }
            }
            Way::Console => self.console.line(line),
        }
    }

    /// The guest has ended; a boot that did not come to its end failed.
    pub fn end(&mut self) {
        self.boot = None;
    }

    fn booted(&mut self) {
        if let Some(step) = self.boot.take() {
            step.done("");
        }
    }
}
