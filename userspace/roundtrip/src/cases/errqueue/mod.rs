// SPDX-License-Identifier: GPL-2.0

//! What waits in the error queue comes back as it is: errors, time stamps of what was sent, and what
//! tells of completed `MSG_ZEROCOPY` sends.

mod forged;
pub mod kinds;
pub mod making;
mod order;
mod refusals;
mod selfcheck;
mod zerocopy;

use crate::runner::Test;

pub use making::errors_of_each_kind;

pub fn tests() -> Vec<Test> {
    [
        selfcheck::tests(),
        kinds::tests(),
        order::tests(),
        zerocopy::tests(),
        refusals::tests(),
        forged::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
