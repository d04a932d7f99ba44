// SPDX-License-Identifier: GPL-2.0

//! The tests inside the kernel: KUnit suites and doctests, which run at boot and print on the
//! console.

use crate::ctx::Ctx;
use anyhow::Result;
use fs_err as fs;
use ktap::{
    Parser,
    Report,
    Test,
    strip_printk, //
};
use std::collections::BTreeSet;
use wildmatch::WildMatch;

/// What the kernel is told to run. KUnit takes one pattern only; this one holds our suites and
/// few others, whose results are not counted.
pub const PARAMETERS: [&str; 3] = [
    "kunit.enable=1",
    "kunit.autorun=1",
    "kunit.filter_glob=[ar][fu]*",
];

/// The suite of all doctests.
const DOCTESTS: &str = "rust_doctests_kernel";

/// How the names of suites begin that are ours.
const SUITES: [&str; 3] = ["af_inet_cr", "rust_netlink", "rust_socket"];

/// Which of the kernel's tests are ours.
#[derive(Debug, Default)]
pub struct Ours {
    /// Beginnings of the names of doctests, one for each Rust file that we add or edit.
    doctests: BTreeSet<String>,
}

impl Ours {
    /// Goes by the files in `linux-patches/`.
    pub fn find(ctx: &Ctx) -> Result<Self> {
        let mut doctests = BTreeSet::new();
        let tree = ctx.repo("linux-patches/tree/rust/kernel");
        for entry in walkdir::WalkDir::new(&tree)
            .into_iter()
            .filter_map(Result::ok)
        {
            if let Ok(path) = entry.path().strip_prefix(&tree) {
                doctests.extend(path.to_str().and_then(doctest_name));
            }
        }
        for entry in walkdir::WalkDir::new(ctx.repo("linux-patches/edits")) {
            let Ok(entry) = entry else { continue };
            if entry.file_type().is_file() {
                let patch = fs::read_to_string(entry.path())?;
                let edited = patch
                    .lines()
                    .filter_map(|line| line.strip_prefix("+++ b/rust/kernel/"));
                doctests.extend(edited.filter_map(doctest_name));
            }
        }
        Ok(Self { doctests })
    }

    fn has(&self, suite: &str, case: &str) -> bool {
        if suite == DOCTESTS {
            return self.doctests.iter().any(|start| case.starts_with(start));
        }
        SUITES.iter().any(|start| suite.starts_with(start))
    }
}

/// `net/netlink.rs` gives `rust_doctest_kernel_net_netlink_rs_`, as the kernel's generator does.
fn doctest_name(file: &str) -> Option<String> {
    let name = file
        .trim()
        .strip_suffix(".rs")?
        .replace(['/', '.', '-'], "_");
    Some(format!("rust_doctest_kernel_{name}_rs_"))
}

/// Reads the results out of a console, without lines that other messages put between them.
///
/// Gives nothing if KUnit said nothing. Results of tests that are not ours are left out unless
/// they failed; of ours those that none of `filters` wants, if there are some.
pub fn read(console: &str, ours: &Ours, filters: &[String]) -> Option<Report> {
    let mut parser = Parser::new();
    let mut begun = false;
    for line in console.lines() {
        let line = strip_printk(line);
        begun |= line.trim_end() == "KTAP version 1";
        if begun && !parser.is_complete() {
            parser.feed(line);
        }
    }
    if !begun {
        return None;
    }
    let mut report = parser.finish();
    for suite in &mut report.tests {
        let name = suite.name.clone();
        suite
            .children
            .retain(|case| wanted(&name, case, ours, filters));
    }
    report
        .tests
        .retain(|suite| !suite.children.is_empty() || wanted("", suite, ours, filters));
    Some(report)
}

fn wanted(suite: &str, case: &Test, ours: &Ours, filters: &[String]) -> bool {
    // Also a case that is a summary of others (parameters), if one of those failed.
    let failed = case.status == ktap::Status::Failed;
    let full = format!("kunit::{suite}::{}", case.name);
    let is_wanted = |filter: &String| WildMatch::new(filter).matches(&full);
    let wanted = filters.is_empty() || filters.iter().any(is_wanted);
    failed || (ours.has(suite, &case.name) && wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = include_str!("complaints/fixtures/quiet-boot.log");

    fn names(report: &Report) -> Vec<String> {
        report.leaves().into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn ours_are_read_out_of_a_console() {
        let report = read(BOOT, &Ours::default(), &[]).unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
        assert_eq!(names(&report), ["rust_netlink::test_family_flags_bitfield"]);
        let report = read(BOOT, &Ours::default(), &["kunit::rust_socket*".into()]).unwrap();
        assert_eq!(names(&report), Vec::<String>::new());
        assert_eq!(
            read("[    0.1] no tests here\n", &Ours::default(), &[]),
            None
        );
    }

    #[test]
    fn a_failure_counts_whosever_it_is() {
        let boot = BOOT.replace(
            "    ok 1 test_ptr_formatting",
            "    not ok 1 test_ptr_formatting",
        );
        let boot = boot.replace("ok 1 rust_kernel_fmt", "not ok 1 rust_kernel_fmt");
        let report = read(&boot, &Ours::default(), &[]).unwrap();
        assert_eq!(report.totals().to_string(), "1 passed, 1 failed");
    }

    #[test]
    fn a_console_that_stops_within_the_tests_is_no_success() {
        let cut = BOOT.find("ok 2 rust_netlink").unwrap();
        let report = read(&BOOT[..cut], &Ours::default(), &[]).unwrap();
        assert!(!report.problems.is_empty());
    }

    #[test]
    fn doctests_go_by_their_file() {
        let ours = Ours {
            doctests: doctest_name("net/netlink/attr.rs").into_iter().collect(),
        };
        assert!(ours.has(DOCTESTS, "rust_doctest_kernel_net_netlink_attr_rs_0"));
        assert!(!ours.has(DOCTESTS, "rust_doctest_kernel_list_rs_3"));
    }
}
