// SPDX-License-Identifier: GPL-2.0
//! The tool, as far as it goes without the kernel's help.

use std::fs::File;
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
    let expected = "\
Netid State Recv-Q Send-Q Local Address:Port Peer Address:Port Socket
udp   ?     0      0      127.0.0.1:4000     *:*
";
    assert_eq!(text, expected);
    let json = inetcr(&["show", "-", "--json"], IMAGE);
    assert_eq!(json.stdout, IMAGE.as_bytes());
}

#[test]
fn a_filter_is_about_images_too() {
    let lines = |args: &[&str]| {
        let shown = inetcr(&[&["show", "-"], args].concat(), IMAGE);
        assert!(shown.status.success(), "{args:?}");
        String::from_utf8(shown.stdout).unwrap().lines().count()
    };
    for there in [
        &["--port", "4000"][..],
        &["--local", "127.0.0.0/8"],
        &["--local", "127.0.0.1:4000", "--port=4000"],
    ] {
        assert_eq!(lines(there), 2, "{there:?}");
    }
    for elsewhere in [
        &["--port", "4001"][..],
        &["--local", "10.0.0.0/8"],
        &["--peer", "127.0.0.1"],
        &["--state", "established"],
        &["--device", "lo"],
        &["--local", ":4000", "--port=4001"],
    ] {
        assert_eq!(lines(elsewhere), 1, "{elsewhere:?}");
    }
}

/// The status says it all the same.
#[test]
fn an_error_that_nobody_can_read_is_no_other_error() {
    for (args, status) in [
        (&["show", "/nonexistent"][..], 1),
        (&["restore", "-", "--map-device==a", "--", "true"], 2),
        (&["show", "/dev/null"], 3),
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full");
        let mut command = Command::new(env!("CARGO_BIN_EXE_inetcr"));
        command
            .args(args)
            .stdin(Stdio::null())
            .stderr(full.unwrap());
        let ended = command.status().unwrap();
        assert_eq!(ended.code(), Some(status), "{args:?}");
    }
}

/// As diff(1) has it.
#[test]
fn the_status_of_diff_is_the_answer() {
    let other = std::env::temp_dir().join(format!("inetcr-diff-{}", std::process::id()));
    let path = other.to_str().unwrap();
    let diff = |content: &str, args: &[&str]| {
        std::fs::write(&other, content).unwrap();
        let output = inetcr(&[&["diff", "-", path], args].concat(), IMAGE);
        let said = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), said)
    };
    assert_eq!(diff(IMAGE, &[]), (Some(0), String::new()));
    let elsewhere = IMAGE.replace("4000", "4001");
    let expected = "  udp ? 127.0.0.1:4000 *:*\n-     local-port  4000\n+     local-port  4001\n";
    assert_eq!(diff(&elsewhere, &[]), (Some(1), expected.to_owned()));
    let (code, json) = diff(&elsewhere, &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let what = &json["changed"][0]["differences"][0];
    assert_eq!((code, &what["what"]), (Some(1), &"local-port".into()));
    assert_eq!(diff("{}", &[]), (Some(2), String::new()));
    std::fs::remove_file(&other).unwrap();
    assert_eq!(inetcr(&["diff", "-", path], IMAGE).status.code(), Some(2));
}

#[test]
fn an_image_is_checked_without_the_kernel() {
    let said = inetcr(&["verify", "--offline", "-"], IMAGE);
    assert_eq!(said.status.code(), Some(0));
    assert_eq!(said.stdout, b"the image is whole: 1 socket, 0 datagrams\n");
    let said = inetcr(&["verify", "--offline", "-"], &IMAGE[..40]);
    assert_eq!(said.status.code(), Some(3));
    assert_eq!(said.stdout, b"");
}

/// Who looks may have seen enough; who keeps has lost something.
#[test]
fn a_closed_pipe_is_an_error_but_for_what_people_look_at() {
    let path = std::env::temp_dir().join(format!("inetcr-pipe-{}", std::process::id()));
    std::fs::write(&path, IMAGE).unwrap();
    let errors = |args: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_inetcr"));
        let output = command.args(args).arg(&path).stdout(writer).output();
        String::from_utf8(output.unwrap().stderr).unwrap()
    };
    assert_eq!(errors(&["show"]), "");
    assert!(errors(&["verify", "--offline"]).contains("Broken pipe"));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn completions_and_manual_pages_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = inetcr(&["completions", shell], "");
        let script = String::from_utf8(script.stdout).unwrap();
        for word in ["handover", "skip-refused"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let dir = std::env::temp_dir().join(format!("inetcr-man-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    assert_eq!(status(&["man", dir.to_str().unwrap()]), Some(0));
    for (page, word) in [
        ("inetcr.1", "Exit status"),
        ("inetcr-dump.1", "LOSS"),
        ("inetcr-handover.1", "LISTEN_FDNAMES"),
    ] {
        let text = std::fs::read_to_string(dir.join(page)).unwrap();
        assert!(text.contains(word), "{page}: {word}");
    }
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!(status(&["man", dir.to_str().unwrap()]), Some(1));
}

#[test]
fn a_wrong_image_is_refused() {
    let refused = inetcr(&["show", "-"], "{}");
    assert_eq!(refused.status.code(), Some(3));
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(
        text.starts_with("inetcr: standard input: not an image of af-inet-cr"),
        "{text}"
    );
}

#[test]
fn what_a_wrong_image_says_is_not_obeyed() {
    let image = IMAGE.replace("sock-type", "\\u001b[2J");
    let refused = inetcr(&["show", "-"], &image);
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(text.contains("unknown field `\\u{1b}[2J`"), "{text}");
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
        let refused = inetcr(&[&["verify", "-"][..], &args].concat(), IMAGE);
        assert_eq!(refused.status.code(), Some(2));
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
    assert_eq!(status(&["restore", "-", "--at", "4"]), Some(2));
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
        let args = ["restore", "-", wrong, "--", "true"];
        assert_eq!(status(&args), Some(2), "{wrong}");
    }
    assert_eq!(status(&["--help"]), Some(0));
    assert_eq!(status(&["show", "/nonexistent"]), Some(1));
}

/// It is CRIU that runs it.
#[test]
fn a_hook_wants_to_know_what_for() {
    let run = |action: Option<&str>| {
        let mut hook = Command::new(env!("CARGO_BIN_EXE_inetcr"));
        hook.args(["criu-hook", "--strict"]);
        for name in ["CRTOOLS_IMAGE_DIR", "CRTOOLS_INIT_PID"] {
            hook.env_remove(name);
        }
        match action {
            Some(action) => hook.env("CRTOOLS_SCRIPT_ACTION", action),
            None => hook.env_remove("CRTOOLS_SCRIPT_ACTION"),
        };
        let output = hook.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    };
    let (status, said) = run(None);
    assert_eq!(status, Some(2));
    assert!(said.contains("CRTOOLS_SCRIPT_ACTION is not set"), "{said}");
    assert_eq!(run(Some("pre-dump")), (Some(0), String::new()));
    let (status, said) = run(Some("post-dump"));
    assert_eq!(status, Some(1));
    assert!(said.contains("CRIU has not set CRTOOLS_"), "{said}");
}

/// CRIU goes on, as if it was said.
#[test]
fn a_hook_that_cannot_say_what_is_wrong_does_not_fail_for_that() {
    let mut hook = Command::new(env!("CARGO_BIN_EXE_inetcr"));
    hook.arg("criu-hook")
        .env("CRTOOLS_SCRIPT_ACTION", "post-dump")
        .env("CRTOOLS_IMAGE_DIR", "/nonexistent")
        .env("CRTOOLS_INIT_PID", "1")
        .stderr(File::create("/dev/full").unwrap());
    assert_eq!(hook.status().unwrap().code(), Some(0));
}
