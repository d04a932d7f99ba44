// SPDX-License-Identifier: GPL-2.0

//! Sockets that nobody has thought of.
//!
//! The seed is fixed, so that a run can be repeated; `--seed` gives another one,
//! `--cases` and `--histories` another number of cases.

mod history;
mod options;

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::runner::Test;

/// What is drawn, and how often.
#[derive(Clone, Copy, clap::Args)]
pub struct Random {
    /// Seed of the random tests.
    #[arg(long, env = "ROUNDTRIP_SEED", default_value_t = 20_070_607)]
    seed: u64,
    /// Number of sockets with random options.
    #[arg(long, env = "ROUNDTRIP_CASES", default_value_t = 60)]
    cases: u32,
    /// Number of sockets with a random history.
    #[arg(long, env = "ROUNDTRIP_HISTORIES", default_value_t = 100)]
    histories: u32,
}

impl Random {
    /// Who draws so many cases.
    fn runner(self, cases: u32) -> TestRunner {
        let Self { seed, .. } = self;
        println!("seed {seed}, {cases} cases");
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let config = Config {
            cases,
            max_shrink_iters: 300,
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
    }
}

pub fn tests(random: Random) -> Vec<Test> {
    vec![
        Test::new("random::round_trips", move || options::round_trips(random)).slow(),
        Test::new("random::histories", move || history::round_trips(random)).slow(),
        Test::new("random::find_a_loss", move || history::find_a_loss(random)).slow(),
    ]
}
