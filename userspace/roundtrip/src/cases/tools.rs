// SPDX-License-Identifier: GPL-2.0

//! The tools that people use: the kernel's own YNL client, which knows the family from its
//! specification alone, and `inetcr`, by tests of its own.
//!
//! Where they are is in the environment. `cargo xtask vm-test` says it.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use inetcr::RawAttr;
use serde_json::{Value, json};

use crate::cases::many::others::Other;
use crate::cr;
use crate::groups::member;
use crate::places::{GROUP, OTHER, PEER, PORT, place};
use crate::runner::{Test, skip};
use crate::sys::filter::{self, Instruction};
use crate::sys::socket;
use crate::sys::task::{self, Child};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("tools::ynl", ynl).slow(),
        Test::new("tools::ynl_queue", ynl_queue).slow(),
        Test::new("tools::ynl_amend", ynl_amend).slow(),
        Test::new("tools::inetcr", inetcr).slow(),
        Test::new("tools::main_thread_has_ended", main_thread_has_ended).slow(),
        Test::new("tools::limit_above_nr_open", limit_above_nr_open)
            .slow()
            .alone(),
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
    // The client closes what it got when it ends, so that a restore and what follows are one run.
    // That the first dump is of the same run is for speed: an emulated machine starts a Python with
    // this client in two seconds. It waits for the dump to come back, and the original is closed.
    const CLIENT: &str = "
import json, runpy, sys
client, spec, request = sys.argv[1:]
sys.argv = ['cli.py', '--spec', spec, '--no-schema', '--do', 'dump', '--output-json', '--json', request]
runpy.run_path(client + '/cli.py', run_name='__main__')
dumped = json.loads(sys.stdin.readline())
from lib import YnlFamily
family = YnlFamily(spec, '')
restored = family.do('restore', dumped)
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
    let mut process = Command::new(&python)
        .args(["-u", "-c", CLIENT, &client, &spec, &request.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the client")?;
    let (Some(mut to), Some(from)) = (process.stdin.take(), process.stdout.take()) else {
        bail!("no pipes");
    };
    let mut from = BufReader::new(from);
    let mut answer = |what| -> Result<Value> {
        let mut line = String::new();
        from.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("{what}: {line:?}"))
    };
    let dumped = answer("cli.py --do dump")?;
    ensure!(dumped["sock-state"] == "established", "dumped {dumped}");
    ensure!(dumped["local-addr"] == "127.0.0.1", "dumped {dumped}");
    ensure!(dumped["sockopt-priority"] == 5, "dumped {dumped}");
    ensure!(dumped["ip"]["ttl"] == 9, "dumped {dumped}");
    ensure!(
        dumped["cookie"] == socket::cookie(&original)?,
        "dumped {dumped}"
    );
    drop(original);

    writeln!(to, "{dumped}")?;
    let printed = answer("restore")?;
    ensure!(process.wait()?.success(), "the client has failed");
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

/// What waits, dumped and restored by the library of the kernel's client, which knows nothing of
/// datagrams but the specification; and many sockets at once.
fn ynl_queue() -> Result<()> {
    const DUMP: &str = "
import json, sys
sys.path.append(sys.argv[1])
from lib import YnlFamily
family = YnlFamily(sys.argv[2], '')
inodes = json.loads(sys.argv[3])
request = {'inode': inodes[0]}
plain = lambda value: value.hex() if isinstance(value, bytes) else sorted(value)
# By the methods, although the family has an operation of the name of one.
one, queue = family.do('dump', request), family.dump('queue', request)
many = family.dump('dump', {'filter-inode': inodes, 'local-port': one['local-port']})
print(json.dumps([one, queue, many], default=plain))
";
    const RESTORE: &str = "
import json, socket, sys
sys.path.append(sys.argv[1])
from lib import YnlFamily
family = YnlFamily(sys.argv[2], '')
state, queue, maps = json.loads(sys.argv[3])
family.do('restore', {**state, 'map': maps, 'transaction': 'begin'})
for part in queue:
    family.do('restore', {**part, 'transaction': 'queue'})
copy = socket.socket(fileno=family.do('restore', {'transaction': 'commit'})['sock-fd'])
copy.settimeout(2)
received = [copy.recvfrom(65536) for _ in range(state['queue-len'])]
print(json.dumps([copy.getsockname(), *([payload.hex(), address] for payload, address in received)]))
";
    let (Ok(python), Ok(client), Ok(spec)) = (
        env::var("YNL_PYTHON"),
        env::var("YNL"),
        env::var("YNL_SPEC"),
    ) else {
        return skip("YNL client in the environment (YNL_PYTHON, YNL, YNL_SPEC)");
    };
    let run = |script: &str, argument: &str| -> Result<Value> {
        let mut command = Command::new(&python);
        command.args(["-c", script, &client, &spec, argument]);
        Ok(serde_json::from_str(&output(&mut command)?)?)
    };
    let original = socket::udp()?;
    (place("addr_port").context("no such place")?.go)(&original)?;
    let peer = UdpSocket::bind(PEER)?;
    let large = "07".repeat(20_000);
    for payload in [&b"one"[..], b"", &vec![7; 20_000]] {
        peer.send_to(payload, socket::name(&original)?)?;
    }
    // Another one on the port, which is refused.
    let refused = socket::udp()?;
    socket::bind(&refused, SocketAddrV4::new(OTHER, PORT))?;
    socket::set_attribute(&refused, c"user.test", b"value")?;
    let inodes = [&original, &refused].map(socket::inode);
    let [Ok(first), Ok(second)] = inodes else {
        bail!("no inode number");
    };
    let dumped = run(DUMP, &json!([first, second]).to_string()).context("dump")?;
    let (one, queue, many) = (&dumped[0], &dumped[1], &dumped[2]);
    let many = many.as_array().context("no list")?;
    ensure!(many.len() == 2 && many.contains(one), "dumped {dumped}");
    let report = many.iter().find_map(|one| one["report"][0].as_object());
    let report = report.context("no report")?;
    ensure!(
        report["errno"] == libc::EOPNOTSUPP && report["msg"].to_string().contains("attribute"),
        "reported {report:?}"
    );
    drop(original);
    // In another place: the address is no longer this one.
    let (here, there) = (PEER.ip().to_string(), "127.0.0.9");
    let maps = json!([
        { "addr": here, "to-addr": there },
        { "device": "no such", "to-device": "lo" },
    ]);
    let received = run(RESTORE, &json!([one, queue, maps]).to_string()).context("restore")?;
    let from = json!([there, PEER.port()]);
    let expected = ["6f6e65", "", large.as_str()].map(|payload| json!([payload, from]));
    let [one, two, three] = expected;
    let expected = json!([[there, PORT], one, two, three]);
    ensure!(received == expected, "received {received}");
    Ok(())
}

/// What the kernel's client dumped it applies to another socket, with what waits there, and it
/// understands the reports.
fn ynl_amend() -> Result<()> {
    const AMEND: &str = "
import json, socket, sys
sys.path.append(sys.argv[1])
from lib import YnlFamily
family = YnlFamily(sys.argv[2], '')
make = lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
donor, target = make(), make()
donor.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 9)
state = family.do('dump', {'sock-fd': donor.fileno()})
for identity in 'inode', 'cookie':
    del state[identity]
state['queue-len'] = 1
state['udp']['flags'] = state['udp']['flags-mask'] = {'cork'}
answer = family.do('amend', {**state, 'sock-fd': target.fileno()})
ttl = target.getsockopt(socket.IPPROTO_IP, socket.IP_TTL)
for one in donor, target:
    one.bind(('127.0.0.1', 0))
make().sendto(b'waits', donor.getsockname())
state, queue = family.do('dump', {'sock-fd': donor.fileno()}), family.dump('queue', {'sock-fd': donor.fileno()})
part = lambda part, attrs: family.do('amend', {**attrs, 'transaction': part})
part('begin', {'queue-len': state['queue-len'], 'sock-fd': target.fileno()})
for attrs in queue:
    part('queue', attrs)
done = part('commit', {})
target.settimeout(2)
print(json.dumps([answer, ttl, target.getsockopt(17, 1), target.recv(100).decode(), 'report' in done]))
";
    let (Ok(python), Ok(client), Ok(spec)) = (
        env::var("YNL_PYTHON"),
        env::var("YNL"),
        env::var("YNL_SPEC"),
    ) else {
        return skip("YNL client in the environment (YNL_PYTHON, YNL, YNL_SPEC)");
    };
    let mut command = Command::new(&python);
    let printed: Value =
        serde_json::from_str(&output(command.args(["-c", AMEND, &client, &spec]))?)?;
    ensure!(printed[1] == 9 && printed[2] == 1, "amended to {printed}");
    ensure!(
        printed[3] == "waits" && printed[4] == false,
        "queued {printed}"
    );
    let reports = &printed[0]["report"];
    ensure!(
        reports.as_array().is_some_and(|reports| reports.len() == 1)
            && reports[0]["attr"] == 70
            && reports[0]["errno"] == libc::EOPNOTSUPP,
        "reported {printed}"
    );
    Ok(())
}

/// Of the descendants, one that has ended has no sockets. One whose main thread has ended may have
/// some, and the kernel does not show them: they are not left out in silence.
fn main_thread_has_ended() -> Result<()> {
    let dump = |child: &Child| {
        let pid = child.pid().to_string();
        let mut command = Command::new("inetcr");
        command.args(["dump", "--tree", &pid, "--json"]).output()
    };
    let of_ended = Other::new(
        || {
            let ended = task::fork(|| 0)?;
            ensure!(socket::readable(ended.pidfd(), Duration::from_secs(5))?);
            // It is not asked how it ended.
            std::mem::forget(ended);
            Ok(vec![socket::udp()?])
        },
        || Ok(()),
    )?;
    let dumped = dump(&of_ended.child)?;
    let said = String::from_utf8(dumped.stderr)?;
    ensure!(dumped.status.success() && said.is_empty(), "{said}");
    let image: Value = serde_json::from_slice(&dumped.stdout)?;
    let sockets = image["sockets"].as_array().map_or(0, Vec::len);
    ensure!(sockets == 1, "dumped {image}");

    let of_living = Other::new(
        || {
            let child = task::fork(|| {
                let Ok(socket) = socket::udp() else { return 1 };
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_secs(600));
                    drop(socket);
                });
                task::end_thread()
            })?;
            let stat = format!("/proc/{}/stat", child.pid());
            while !fs::read_to_string(&stat)?.contains(") Z ") {
                std::thread::sleep(Duration::from_millis(1));
            }
            // It ends with its parent.
            std::mem::forget(child);
            Ok(vec![socket::udp()?])
        },
        || Ok(()),
    )?;
    let dumped = dump(&of_living.child)?;
    let said = String::from_utf8(dumped.stderr)?;
    ensure!(dumped.status.code() == Some(1), "{}: {said}", dumped.status);
    ensure!(said.contains("main thread is gone"), "{said}");
    ensure!(dumped.stdout.is_empty(), "an image was written");
    Ok(())
}

/// No limit of open files can be set that is above the sysctl, not even the one that a process has.
/// The tool does without, and leaves it to its program.
fn limit_above_nr_open() -> Result<()> {
    const NR_OPEN: &str = "/proc/sys/fs/nr_open";
    let limit = |which: &str| output(Command::new("sh").args(["-c", &format!("ulimit {which}")]));
    let hard: u64 = limit("-Hn")?.trim().parse().context("the hard limit")?;
    let socket = socket::udp()?;
    let (pid, fd) = (std::process::id(), socket.as_raw_fd());
    let found = fs::read_to_string(NR_OPEN)?;
    fs::write(NR_OPEN, (hard / 2).to_string())?;
    let mut command = Command::new("inetcr");
    command.args([
        "handover",
        "--pid",
        &pid.to_string(),
        "--fd",
        &fd.to_string(),
    ]);
    let printed = output(command.args(["--", "sh", "-c", "ulimit -Sn"]));
    fs::write(NR_OPEN, found.trim_end())?;
    let (printed, before) = (printed?, limit("-Sn")?);
    ensure!(printed == before, "{before} before, and then {printed}");
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
