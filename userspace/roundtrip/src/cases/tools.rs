// SPDX-License-Identifier: GPL-2.0

//! The tools that people use: the kernel's own YNL client, which knows the family from its
//! specification alone, and `inetcr`, by tests of its own.
//!
//! Where they are is in the environment. `cargo xtask vm-test` says it.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use inetcr::RawAttr;
use serde_json::{Value, json};

use crate::cr;
use crate::groups::member;
use crate::places::{GROUP, place};
use crate::runner::{Test, skip};
use crate::sys::filter::{self, Instruction};
use crate::sys::socket;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("tools::ynl", ynl).slow(),
        Test::new("tools::inetcr", inetcr).slow(),
    ]
}

/// What a program prints, if it succeeds.
fn output(command: &mut Command) -> Result<String> {
    let output = command.output().context("starting it")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}: {errors}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// A dump by the command-line client, a restore and another dump by the library below it.
///
/// Without the schema, which takes most of the time: `cargo xtask lint spec` compares with it.
fn ynl() -> Result<()> {
    // The client closes what it got when it ends, so that all of it is one run.
    const RESTORE: &str = "
import json, sys
sys.path.append(sys.argv[1])
from lib import YnlFamily
family = YnlFamily(sys.argv[2], '')
restored = family.do('restore', json.loads(sys.argv[3]))
again = family.do('dump', {'sock-fd': restored['sock-fd']})
# Flags are sets, which the command-line client sorts, and bytes are shown in hex.
plain = lambda value: value.hex() if isinstance(value, bytes) else sorted(value)
print(json.dumps([restored, again], default=plain))
";
    let (Ok(python), Ok(client), Ok(spec)) = (
        env::var("YNL_PYTHON"),
        env::var("YNL"),
        env::var("YNL_SPEC"),
    ) else {
        return skip("YNL client in the environment (YNL_PYTHON, YNL, YNL_SPEC)");
    };
    let original = socket::udp()?;
    socket::set_int(&original, libc::SOL_IP, libc::IP_TTL, 9)?;
    socket::set_int(&original, libc::SOL_SOCKET, libc::SO_PRIORITY, 5)?;
    let filter = [Instruction::taking(u32::MAX)];
    filter::attach(&original, libc::SO_ATTACH_FILTER, &filter)?;
    member(GROUP).join(&original)?;
    (place("connected_addr_port").context("no such place")?.go)(&original)?;
    let expected = cr::dump(&mut cr::client()?, &original)?;

    let request = json!({ "inode": socket::inode(&original)? });
    let mut cli = Command::new(&python);
    cli.arg(format!("{client}/cli.py"))
        .args([
            "--spec",
            &spec,
            "--no-schema",
            "--do",
            "dump",
            "--output-json",
        ])
        .args(["--json", &request.to_string()]);
    let dumped: Value = serde_json::from_str(&output(&mut cli).context("cli.py --do dump")?)?;
    ensure!(dumped["sock-state"] == "established", "dumped {dumped}");
    ensure!(dumped["local-addr"] == "127.0.0.1", "dumped {dumped}");
    ensure!(dumped["sockopt-priority"] == 5, "dumped {dumped}");
    ensure!(dumped["ip"]["ttl"] == 9, "dumped {dumped}");
    ensure!(
        dumped["cookie"] == socket::cookie(&original)?,
        "dumped {dumped}"
    );
    drop(original);

    let mut restore = Command::new(&python);
    restore.args(["-c", RESTORE, &client, &spec, &dumped.to_string()]);
    let printed: Value = serde_json::from_str(&output(&mut restore).context("restore")?)?;
    let (restored, mut again) = (&printed[0], printed[1].clone());
    ensure!(
        restored["inode"] == again["inode"] && restored["cookie"] == again["cookie"],
        "restored {restored}, but dumped {again}"
    );
    for identity in ["inode", "cookie"] {
        ensure!(
            again[identity] != dumped[identity],
            "one {identity} of original and copy"
        );
        again[identity] = dumped[identity].clone();
    }
    ensure!(again == dumped, "{dumped} was restored as {again}");
    // One member for each attribute: the client knows them all.
    let mut numbers: Vec<_> = expected.0.iter().map(RawAttr::number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let members = dumped.as_object().map_or(0, serde_json::Map::len);
    ensure!(members == numbers.len(), "{members} of {}", numbers.len());
    Ok(())
}

/// The tests of the command-line tool that need the family.
fn inetcr() -> Result<()> {
    let Ok(tests) = env::var("INETCR_TESTS") else {
        return skip("tests of inetcr in the environment (INETCR_TESTS)");
    };
    let mut command = Command::new(tests);
    let printed = output(command.args(["--ignored", "--test-threads=1"]))?;
    println!("{printed}");
    ensure!(
        printed.contains("test result: ok.") && !printed.contains("ok. 0 passed"),
        "no test has passed"
    );
    Ok(())
}
