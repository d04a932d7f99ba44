// SPDX-License-Identifier: GPL-2.0

//! Whose a data race is that KCSAN reports.
//!
//! The kernel has some of its own, which come and go with the timing, and which no change here
//! mends. They are told and do not fail a run. That is so for no other complaint.

use ktap::strip_printk;

/// What a report of a race begins with. One of another kind (`assert: race`) always counts.
const RACE: &str = "BUG: KCSAN: data-race in ";

/// What ends a report, and stands before it.
const RULE: &str = "=====";

/// Names of functions of ours begin with this: those in Rust as they are mangled, which only we
/// run (the abstractions are ours, or run in our name), and the helpers in C that only Rust calls.
const OURS: [&str; 2] = ["_R", "rust_helper_"];

/// Where an interrupt begins. What is below in a stack has not called what is above, but is what it
/// came upon.
const INTERRUPTS: [&str; 2] = ["asm_sysvec_", "asm_common_interrupt"];

/// A race that a call of ours has its part in and that is the kernel's nevertheless.
struct Known {
    /// One of the two functions that it is between.
    function: &'static str,
    /// Why it does not count.
    reason: &'static str,
}

/// Kept short: each entry is a place where a race of ours could hide.
const KNOWN: [Known; 1] = [Known {
    function: "ns_capable",
    reason: "a task notes in its own flags that it has used a capability, and others read other bits",
}];

/// Why a report does not count, if it is one of a race and does not.
pub fn excuse(report: &[&str]) -> Option<&'static str> {
    let mut lines = report.iter().map(|line| strip_printk(line));
    let between = lines.next()?.strip_prefix(RACE)?;
    let known = KNOWN
        .iter()
        .find(|known| between.split(" / ").any(|name| name == known.function));
    if let Some(known) = known {
        return Some(known.reason);
    }
    are_of_others(lines).then_some("no function of ours is in it")
}

/// Whether the lines of a report that follow its title are all there, with no function of ours in
/// either stack.
fn are_of_others<'a>(lines: impl Iterator<Item = &'a str>) -> bool {
    let mut frames = 0;
    let mut interrupted = false;
    for line in lines {
        if line.starts_with(RULE) {
            // A report without a stack says nothing of whose it is.
            return frames > 0;
        }
        let Some(function) = line.strip_prefix(' ') else {
            // The next stack.
            interrupted = false;
            continue;
        };
        frames += 1;
        let begins = |names: &[&str]| names.iter().any(|name| function.starts_with(name));
        if !interrupted && begins(&OURS) {
            return false;
        }
        interrupted |= begins(&INTERRUPTS);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report<'a>(title: &'a str, lines: &[&'a str]) -> Vec<&'a str> {
        let mut report = vec![title];
        report.extend(lines);
        report
    }

    const TITLE: &str = "[   15.000001] BUG: KCSAN: data-race in udp_poll / udp_recvmsg";
    const READ: &str = "read to 0xff11000002a4d1c0 of 4 bytes by task 82 on cpu 0:";
    const END: &str = "==================================================================";

    fn is_of_others(report: &[&str]) -> bool {
        excuse(report).is_some()
    }

    #[test]
    fn a_function_of_ours_in_either_stack_makes_it_ours() {
        let dump = " _RNvNtCs8_10af_inet_cr4dump4dump+0x1c/0x40";
        let helper = " rust_helper_skb_shared+0x9/0x20";
        for ours in [dump, helper] {
            let first = report(TITLE, &[READ, ours, "", READ, " udp_poll+0x1/0x2", "", END]);
            let second = report(TITLE, &[READ, " udp_poll+0x1/0x2", "", READ, ours, "", END]);
            assert!(!is_of_others(&first) && !is_of_others(&second), "{ours}");
        }
        let neither = report(
            TITLE,
            &[READ, " a+0x1/0x2", "", READ, " b+0x1/0x2", "", END],
        );
        assert!(is_of_others(&neither));
    }

    #[test]
    fn what_an_interrupt_came_upon_is_not_in_the_race() {
        let dump = " _RNvNtCs8_10af_inet_cr4dump4dump+0x1c/0x40";
        let interrupt = " asm_sysvec_apic_timer_interrupt+0x1a/0x20";
        let in_it = [READ, " tick_do_timer+0x1/0x2", interrupt, dump, "", END];
        assert!(is_of_others(&report(TITLE, &in_it)));
        // It came upon the first, and the second is ours.
        let second = [READ, " a+0x1/0x2", interrupt, dump, "", READ, dump, "", END];
        assert!(!is_of_others(&report(TITLE, &second)));
    }

    #[test]
    fn one_that_is_known_is_told_by_either_function() {
        let dump = " _RNvNtCs8_10af_inet_cr4dump4dump+0x1c/0x40";
        let lines = [READ, " a+0x1/0x2", dump, "", READ, " b+0x1/0x2", "", END];
        let between = |names: &str| is_of_others(&report(&format!("{RACE}{names}"), &lines));
        assert!(between("ns_capable / rcu_core") && between("a / ns_capable"));
        assert!(!between("a / b") && !between("ns_capable_noaudit / b"));
    }

    #[test]
    fn what_does_not_say_whose_it_is_counts() {
        let stack = " a+0x1/0x2";
        assert!(!is_of_others(&report(TITLE, &[READ, stack])), "cut off");
        assert!(!is_of_others(&report(TITLE, &[READ, "", END])), "no stack");
        let other = "BUG: KCSAN: assert: race in a / b";
        assert!(!is_of_others(&report(other, &[READ, stack, END])));
        assert!(!is_of_others(&report("BUG: KASAN: a", &[READ, stack, END])));
    }
}
