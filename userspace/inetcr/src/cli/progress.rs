// SPDX-License-Identifier: GPL-2.0
//! Progress of what takes long.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

/// Fewer sockets than this are done before anybody looks.
const MANY: usize = 500;

/// A bar on the standard error, if that is a terminal and there are many. It is gone when it is
/// dropped.
pub(super) fn bar(what: &'static str, count: usize) -> ProgressBar {
    if count < MANY {
        return ProgressBar::hidden();
    }
    let len = u64::try_from(count).unwrap_or(u64::MAX);
    let bar = ProgressBar::with_draw_target(Some(len), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {eta}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what)
        .with_finish(ProgressFinish::AndClear)
}
