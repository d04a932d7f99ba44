// SPDX-License-Identifier: GPL-2.0

//! What must be refused, with which error and with which words.

pub(super) mod attributes;
mod content;
mod messages;
pub(super) mod privileges;
pub(super) mod ranges;
mod resources;
mod states;

use crate::runner::Test;

pub fn tests() -> Vec<Test> {
    [
        states::tests(),
        attributes::tests(),
        messages::tests(),
        content::tests(),
        ranges::tests(),
        privileges::tests(),
        resources::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
