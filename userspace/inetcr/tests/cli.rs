// SPDX-License-Identifier: GPL-2.0
//! The tool, as far as it goes without the kernel's help.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

const IMAGE: &str = r#"{
  "format": "af-inet-cr",
  "version": 1,
  "sockets": [
    {
      "sock-type": 2,
      "sock-family": 2,
      "sock-protocol": 17,
      "local-addr": "127.0.0.1",
      "local-port": 4000
    }
  ]
}
"#;

fn inetcr(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_inetcr"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The tool may end before it has read all: then it says why, and that is what counts.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn status(args: &[&str]) -> Option<i32> {
    inetcr(args, "").status.code()
}

#[test]
fn an_image_is_shown_and_passed_on() {
    let shown = inetcr(&["show", "-"], IMAGE);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert_eq!(text, "udp dgram ? 127.0.0.1:4000 *:*\n");
    let json = inetcr(&["show", "-", "--json"], IMAGE);
    assert_eq!(json.stdout, IMAGE.as_bytes());
}

#[test]
fn a_wrong_image_is_refused() {
    let refused = inetcr(&["show", "-"], "{}");
    assert_eq!(refused.status.code(), Some(1));
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(
        text.starts_with("inetcr: standard input: not an image of af-inet-cr"),
        "{text}"
    );
}

#[test]
fn maps_that_the_kernel_would_refuse_are_refused_before_it_is_asked() {
    for (args, words) in [
        (
            ["--map-device==a", "--map-device=b=c"],
            "--map-device: an empty name is no device",
        ),
        (
            ["--map-device=a=b", "--map-device=a=c"],
            "--map-device: a has a map already",
        ),
        (
            [
                "--map-address=10.0.0.1=10.0.0.2",
                "--map-address=10.0.0.3=224.0.0.1",
            ],
            "--map-address: 224.0.0.1 is not an IPv4 address that a host can have",
        ),
    ] {
        let refused = inetcr(&[&["restore", "-"][..], &args].concat(), IMAGE);
        assert_eq!(refused.status.code(), Some(1));
        let text = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(text, format!("inetcr: {words}\n"));
    }
}

#[test]
fn wrong_usage_is_status_2() {
    assert_eq!(status(&[]), Some(2));
    assert_eq!(status(&["dump"]), Some(2));
    assert_eq!(status(&["dump", "--pid", "1", "--all"]), Some(2));
    assert_eq!(status(&["dump", "--port", "53"]), Some(2));
    assert_eq!(status(&["restore", "-", "--fd", "4"]), Some(2));
    assert_eq!(
        status(&["restore", "-", "--name", "a:b", "--", "true"]),
        Some(2)
    );
    for wrong in [
        "--map-device=eth0",
        "--map-address=1.2.3.4=x",
        "--map-device=sixteencharacter=a",
        "--allow-lost=",
        "--allow-lost=xattr,encap",
    ] {
        assert_eq!(status(&["restore", "-", wrong]), Some(2), "{wrong}");
    }
    assert_eq!(status(&["--help"]), Some(0));
    assert_eq!(status(&["show", "/nonexistent"]), Some(1));
}
