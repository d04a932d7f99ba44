// SPDX-License-Identifier: GPL-2.0
//! What is said beside the output.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Says something on the standard error. That it cannot be written there, as where the log of CRIU
/// has filled the disk, keeps nothing from being done.
pub(crate) fn say(text: impl Display) {
    // At once, so that nothing of another program comes in between.
    let line = format!("inetcr: {text}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}
