// SPDX-License-Identifier: GPL-2.0

use super::*;

fn kinds(console: &str) -> Vec<&'static str> {
    scan(console, "console.log")
        .0
        .iter()
        .map(|complaint| complaint.kind)
        .collect()
}

#[test]
fn a_quiet_boot_is_quiet() {
    let quiet = include_str!("fixtures/quiet-boot.log");
    assert_eq!(scan(quiet, "console.log"), (Vec::new(), Vec::new()));
}

#[test]
fn a_panic_is_found_where_it_begins() {
    let (complaints, _) = scan(include_str!("fixtures/panic.log"), "console.log");
    let [panic] = complaints.as_slice() else {
        panic!("{complaints:?}")
    };
    assert_eq!(panic.kind, "kernel panic");
    assert!(panic.excerpt[0].contains("sysrq triggered crash"));
    assert!(panic.excerpt.last().unwrap().ends_with(" </TASK>"));
}

#[test]
fn traces_and_warnings_are_told_apart() {
    let log = include_str!("fixtures/backtrace-and-warning.log");
    assert_eq!(kinds(log), ["stack trace", "stack trace", "WARNING"]);
}

#[test]
fn a_report_of_kasan_is_one_complaint_and_whole() {
    let (complaints, _) = scan(include_str!("fixtures/kasan.log"), "console.log");
    let [report] = complaints.as_slice() else {
        panic!("{complaints:?}")
    };
    assert_eq!((report.kind, report.line), ("KASAN", 2));
    assert!(report.excerpt.last().unwrap().ends_with("===="));
    assert!(
        report
            .excerpt
            .iter()
            .any(|line| line.contains("Freed by task"))
    );
}

#[test]
fn a_race_of_ours_is_a_complaint_and_one_of_the_kernel_is_told() {
    let (complaints, passed) = scan(include_str!("fixtures/races.log"), "console.log");
    let [report] = complaints.as_slice() else {
        panic!("{complaints:?}")
    };
    assert_eq!(report.kind, "KCSAN");
    assert!(report.excerpt[0].ends_with("4Sock8priority / sk_setsockopt"));
    assert!(report.excerpt.last().unwrap().ends_with("===="));
    let [others, known] = passed.as_slice() else {
        panic!("{passed:?}")
    };
    assert!(others.contains("calibrate_APIC_clock / lapic_cal_handler: no function of ours"));
    assert!(known.contains("ns_capable / rcu_core: a task notes in its own flags"));
}

#[test]
fn what_else_is_said_in_a_race_of_the_kernel_counts() {
    let log = include_str!("fixtures/races.log");
    let marker = "Reported by Kernel";
    let (before, after) = log.split_once(marker).unwrap();
    let oops = "[    0.211270] Oops: general protection fault\n";
    let (first, stamp) = before.rsplit_once('\n').unwrap();
    let log = format!("{first}\n{oops}{stamp}{marker}{after}");
    assert_eq!(kinds(&log).first(), Some(&"oops"));
}

#[test]
fn a_report_of_lockdep_is_one_complaint() {
    let (complaints, _) = scan(include_str!("fixtures/lockdep.log"), "console.log");
    let [report] = complaints.as_slice() else {
        panic!("{complaints:?}")
    };
    assert_eq!(report.kind, "lockdep: circular locking");
    assert!(report.excerpt.last().unwrap().ends_with("</TASK>"));
}

#[test]
fn an_injected_failure_is_passed_over_and_its_neighbours_are_not() {
    let (complaints, passed) = scan(include_str!("fixtures/warn.log"), "console.log");
    let found: Vec<_> = complaints.iter().map(|complaint| complaint.kind).collect();
    assert_eq!(found, ["reference count", "WARNING"]);
    let [reason] = passed.as_slice() else {
        panic!("{passed:?}")
    };
    assert!(reason.contains("a test asked for this failure"));
}

#[test]
fn single_lines() {
    let cases = [
        (
            "watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [sh:1]",
            "soft lockup",
        ),
        (
            "INFO: task roundtrip:91 blocked for more than 120 seconds.",
            "hung task",
        ),
        (
            "rcu: INFO: rcu_preempt self-detected stall on CPU",
            "RCU stall",
        ),
        (
            "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
            "RCU stall",
        ),
        (
            "rust_kernel: panicked at net/ipv4/af_inet_cr/dump.rs:10:5:",
            "Rust panic",
        ),
        (
            "kmemleak: 2 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
            "kmemleak",
        ),
        (
            "unregister_netdevice: waiting for lo to become free. Usage count = 2",
            "device reference leaked",
        ),
        (
            "ref_tracker: net notrefcnt@ff110000 has 1/1 users at",
            "reference tracker",
        ),
        (
            "BUG: sleeping function called from invalid context at net/core/sock.c:1",
            "sleep in atomic context",
        ),
        ("WARNING: suspicious RCU usage", "suspicious RCU usage"),
        (
            "Oops: general protection fault, probably for non-canonical address",
            "oops",
        ),
        (
            "BUG: kernel NULL pointer dereference, address: 0000000000000008",
            "BUG",
        ),
        (
            "BUG UDP (Not tainted): Objects remaining on __kmem_cache_shutdown()",
            "slab corruption",
        ),
        ("UBSAN: shift-out-of-bounds in net/ipv4/udp.c:1:2", "UBSAN"),
        (
            "roundtrip: page allocation failure: order:0",
            "page allocation failure",
        ),
    ];
    for (line, kind) in cases {
        assert_eq!(kinds(&format!("[    1.000000] {line}\n")), [kind], "{line}");
    }
}

#[test]
fn ordinary_messages_are_no_complaints() {
    for line in [
        "Spectre V2 : WARNING: Unprivileged eBPF is enabled",
        "workqueue: work func f enqueued on deprecated workqueue. Use system_percpu_wq instead.",
        "clocksource: timekeeping watchdog on CPU1: Marking clocksource 'tsc-early' as unstable",
        "CPU: 1 UID: 0 PID: 46 Comm: sh Not tainted 7.3.4 #1",
        "kmemleak: Kernel memory leak detector initialized (mem pool available: 15654)",
        "rcu: RCU lockdep checking is enabled.",
        "INFO: NMI handler (nmi_cpu_backtrace_handler) took too long to run: 4.099 msecs",
        "debug: unmapping init memory",
    ] {
        assert_eq!(
            kinds(&format!("[    1.000000] {line}\n")),
            Vec::<&str>::new(),
            "{line}"
        );
    }
}

#[test]
fn what_follows_from_an_injected_failure_hides_nothing() {
    let console = "\
[    1.000000] ref_tracker: memory allocation failure, unreliable refcount tracker.
[    1.100000] ref_tracker: net notrefcnt@00000000 has 1/1 users at
[    1.200000] roundtrip: vmalloc error: size 4096, vm_struct allocation failed
[    1.300000] CPU: 0 UID: 0 PID: 917 Comm: roundtrip
[    1.400000] Call Trace:
[    1.500000]  <TASK>
[    1.600000]  </TASK>
[    1.700000] Call Trace:
[    1.800000]  <TASK>
[    1.900000]  </TASK>
[    2.000000] a
[    2.000000] b
[    2.000000] c
[    2.000000] d
[    2.000000] e
[    2.000000] f
[    2.100000] Call Trace:
";
    assert_eq!(kinds(console), ["reference tracker", "stack trace"]);
}

#[test]
fn what_arm64_says_in_other_words_is_found() {
    let console = "\
[    1.000000] Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008
[    1.100000] Internal error: Oops: 0000000096000004 [#1]  SMP
[    1.200000] Call trace:
[    1.300000]  af_inet_cr_dump+0x10/0x20 (P)
[    1.400000] ---[ end trace 0000000000000000 ]---
[    2.000000] FAULT_INJECTION: forcing a failure.
[    2.100000] Call trace:
[    2.200000]  should_fail_ex+0x10/0x20 (C)
[    2.300000] a
[    2.400000] b
[    2.500000] c
[    2.600000] d
[    2.700000] e
[    2.800000] f
[    2.900000] g
[    3.000000] Call trace:
[    3.100000]  dump_stack+0x10/0x20 (C)
";
    assert_eq!(kinds(console), ["oops", "stack trace"]);
}

#[test]
fn what_s390_says_in_other_words_is_found() {
    let console = "\
[    1.000000] specification exception: 0006 ilc:2 [#1]SMP
[    1.100000] Krnl PSW : 0704c00180000000 000003ffe0123456 (af_inet_cr_dump+0x10/0x20)
[    1.200000] Call Trace:
[    1.300000]  [<000003ffe0123456>] af_inet_cr_dump+0x10/0x20
[    1.400000] Last Breaking-Event-Address:
[    1.500000]  [<000003ffe0123460>] af_inet_cr_dump+0x1a/0x20
[    1.600000] User process fault: interruption code 003b ilc:3 in roundtrip[1000]
";
    assert_eq!(kinds(console), ["oops"]);
}
