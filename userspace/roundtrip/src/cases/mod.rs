// SPDX-License-Identifier: GPL-2.0

//! The tests.

mod addresses;
mod faults;
mod lifetime;
mod lost;
mod memberships;
mod not_found;
mod options;
mod queue;
mod random;
mod refusals;
mod selectors;
mod selfcheck;
mod shutdown;
mod tools;
mod usage;

use crate::runner::Test;
pub use random::Random;

/// Every test, in the order in which they run.
pub fn all(random: Random) -> Vec<Test> {
    [
        selfcheck::tests(random),
        options::tests(),
        addresses::tests(),
        memberships::tests(),
        random::tests(random),
        selectors::tests(),
        not_found::tests(),
        usage::tests(),
        shutdown::tests(),
        lost::tests(),
        queue::tests(),
        refusals::tests(),
        lifetime::tests(),
        tools::tests(),
        faults::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
