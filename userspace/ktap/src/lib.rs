// SPDX-License-Identifier: GPL-2.0
//! KTAP version 1, the test output format of the Linux kernel.
//!
//! [`Writer`] prints a test run line by line, so that whoever reads sees each result as it
//! falls. [`Parser`] reads such a run line by line, from a pipe or out of a kernel console where
//! other messages stand between the lines, and judges it: a missing plan, a plan that was not
//! kept, a parent that is `ok` above a child that is not, all count against the run.
//!
//! The format is described in `Documentation/dev-tools/ktap.rst` of the kernel.
//!
//! ```
//! let mut out = Vec::new();
//! let mut writer = ktap::Writer::new(&mut out);
//! writer.begin(2)?;
//! writer.ok("dump::unbound")?;
//! writer.skip("dump::device", "no dummy device in this kernel")?;
//!
//! let mut parser = ktap::Parser::new();
//! for line in String::from_utf8_lossy(&out).lines() {
//!     parser.feed(line);
//! }
//! let report = parser.finish();
//! assert!(report.is_green());
//! assert_eq!(report.totals().to_string(), "1 passed, 0 failed, 1 skipped");
//! # Ok::<(), std::io::Error>(())
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod line;
mod parser;
mod report;
mod writer;

pub use line::{Line, ResultLine, classify, strip_printk};
pub use parser::{Event, Parser};
pub use report::{Report, Status, Test, Totals};
pub use writer::Writer;
