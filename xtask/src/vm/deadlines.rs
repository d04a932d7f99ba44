// SPDX-License-Identifier: GPL-2.0

//! How long a guest may take.

use crate::{
    flavour::Flavour,
    vm::accel::Accel, //
};
use std::{
    fmt,
    time::Duration, //
};

/// Limits for the parts of a guest's life.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Until the job starts.
    pub boot: Duration,
    /// Between two signs of life of the job.
    pub idle: Duration,
    /// The job, from its start on.
    pub job: Duration,
    /// From the end of the job to that of the checks behind it.
    pub checks: Duration,
    /// The whole life.
    pub run: Duration,
    /// How much slower this guest is than one under KVM with an ordinary kernel.
    pub factor: u32,
}

/// Which limit was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The job was never started.
    Boot,
    /// The job was silent for too long.
    Idle,
    /// The job took too long.
    Job,
    /// What is looked at after the job took too long.
    Checks,
    /// All together took too long.
    Run,
}

impl Deadlines {
    /// Limits under KVM with an ordinary kernel, times what makes this guest slower.
    pub fn new(accel: Accel, flavour: &Flavour) -> Self {
        let emulated = match accel {
            Accel::Kvm => 1,
            Accel::Tcg => 4,
        };
        Self::scaled(emulated * flavour.slowness())
    }

    fn scaled(factor: u32) -> Self {
        Self {
            boot: Duration::from_secs(15) * factor,
            idle: Duration::from_secs(15) * factor,
            job: Duration::MAX,
            checks: Duration::from_secs(60) * factor,
            run: Duration::from_secs(300) * factor,
            factor,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boot => "the guest did not start its job in time",
            Self::Idle => "the job in the guest was silent for too long",
            Self::Job => "the job took too long",
            Self::Checks => "the guest was not done in time after its job",
            Self::Run => "the whole run took too long",
        })
    }
}
