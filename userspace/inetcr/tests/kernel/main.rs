// SPDX-License-Identifier: GPL-2.0
//! The tool with a kernel that has the family, as root: in the VM,
//! `cargo test -p inetcr --test kernel -- --ignored`.

mod many;
mod tool;

use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use inetcr::table::Command as Request;
use inetcr::{Client, Error, Failure, Image, Losses, RawAttr, Selector, SockState, State, Time};

use tool::{
    File, failed, inetcr, inode, not_restored, printed, refused, socket, table, text, unconnected,
    verified, words,
};

#[test]
#[ignore = "needs a kernel with CONFIG_AF_INET_CR"]
fn every_selector_finds_the_socket() {
    let socket = socket();
    let pid = std::process::id().to_string();
    let fd = socket.as_raw_fd().to_string();
    let ino = inode(socket.as_raw_fd());
    let by_pid = printed(&["dump", "--pid", &pid, "--fd", &fd, "--json"]);
    assert_eq!(printed(&["dump", "--inode", &ino, "--json"]), by_pid);

    let image = Image::from_json(&by_pid).unwrap();
    let [state] = image.sockets.as_slice() else {
        panic!("not one socket");
    };
    assert_eq!(state.inode.unwrap().to_string(), ino);
    assert_eq!(state.local(), socket.local_addr().ok());
    assert_eq!(state.sock_state, Some(SockState::Close));
    assert_eq!(state.sockopt_broadcast, Some(true));
    assert_eq!(state.sockopt_rcvtimeo, Time::from_nanos(3_000_000_000));
    assert_eq!(state.sockopt_sndtimeo, Some(Time::INFINITE));

    let cookie = state.cookie.unwrap();
    let right = cookie.to_string();
    assert_eq!(
        printed(&["dump", "--inode", &ino, "--cookie", &right, "--json"]),
        by_pid
    );
    let wrong = (cookie + 1).to_string();
    let error = refused(&["dump", "--inode", &ino, "--cookie", &wrong]);
    assert!(error.contains("(attribute cookie)"), "{error}");

    // A descriptor that is passed on to the tool.
    let inherited = rustix::io::dup(&socket).unwrap();
    let script = format!(
        "exec \"$0\" dump --fd 7 --json 7<&{}",
        inherited.as_raw_fd()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_inetcr")]);
    assert_eq!(text(&command.output().unwrap().stdout), by_pid);
}

#[test]
#[ignore = "needs a kernel with CONFIG_AF_INET_CR"]
fn the_table_is_for_people() {
    let socket = socket();
    let ino = inode(socket.as_raw_fd());
    let shown = table(&["--inode", &ino]);
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert_eq!(words(&shown[0]), unconnected(socket.local_addr().unwrap()));
    let shown = table(&["--inode", &ino, "--extended"]);
    let rows: Vec<Vec<_>> = shown
        .iter()
        .map(|line| line.split_whitespace().collect())
        .collect();
    for row in [
        ["sockopt-broadcast", "on"],
        ["sockopt-rcvtimeo", "3s"],
        ["ip.tos", "0x10"],
    ] {
        assert!(rows.contains(&row.to_vec()), "{shown:?}");
    }
    // What is as usual has no line.
    assert!(rows.iter().all(|row| row[0] != "ip.ttl"), "{shown:?}");
    // What waits.
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender
        .send_to(b"12345", socket.local_addr().unwrap())
        .unwrap();
    let queued = |args: &[&str]| {
        let shown = table(&[&["--inode", &ino], args].concat());
        words(&shown[0])[2].clone()
    };
    assert_eq!(queued(&[]), "5");
    assert_eq!(queued(&["--no-queue"]), "?");
}

#[test]
#[ignore = "needs a kernel with CONFIG_AF_INET_CR"]
fn an_image_comes_back_equal_and_is_handed_to_a_program() {
    let image = File::new("image", "");
    let socket = socket();
    let address = socket.local_addr().unwrap();
    let ino = inode(socket.as_raw_fd());
    assert_eq!(printed(&["dump", "--inode", &ino, "-o", image.path()]), "");

    let taken = not_restored(&[image.path()]);
    assert!(
        taken.contains("socket 1 of 1: restore: EADDRINUSE"),
        "{taken}"
    );
    let output = inetcr(&["verify", image.path()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("1 of 1 socket cannot be restored here"));
    drop(socket);

    verified(1, &[image.path()]);
    let json: serde_json::Value =
        serde_json::from_str(&printed(&["verify", image.path(), "--json"])).unwrap();
    let original = image.image();
    let copy: State = serde_json::from_value(json["restored"][0].clone()).unwrap();
    assert_eq!(copy, original.sockets[0].without_identity());

    let port = format!("0100007F:{:04X}", address.port());
    let script = format!(
        r#"[ "$LISTEN_PID" = $$ ] && echo "$LISTEN_FDS $LISTEN_FDNAMES"
           ino=$(readlink /proc/$$/fd/3); ino=${{ino#socket:[}}; ino=${{ino%]}}
           grep -c "{port} .* $ino " /proc/net/udp"#
    );
    let run = [
        "restore",
        image.path(),
        "--name",
        "dns",
        "--",
        "sh",
        "-c",
        &script,
    ];
    assert_eq!(printed(&run), "1 dns\n1\n");

    let script = "echo ${LISTEN_FDS-none}; readlink /proc/$$/fd/9 /proc/$$/fd/0 | cut -c1-8";
    let run = [
        "restore",
        image.path(),
        "--at",
        "9",
        "--",
        "sh",
        "-c",
        script,
    ];
    assert!(printed(&run).starts_with("none\nsocket:["));
    let nothing = failed(
        127,
        &["restore", image.path(), "--", "/nonexistent/program"],
    );
    assert!(
        nothing.contains("cannot run /nonexistent/program"),
        "{nothing}"
    );
}

#[test]
#[ignore = "needs a kernel with CONFIG_AF_INET_CR"]
fn what_waits_in_a_socket_comes_back_unless_it_is_left_out() {
    let (image, without) = (File::new("queue", ""), File::new("no-queue", ""));
    let socket = socket();
    let address = socket.local_addr().unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let large = vec![7; 40_000];
    for payload in [&b"first"[..], b"", &large] {
        peer.send_to(payload, address).unwrap();
    }
    let ino = inode(socket.as_raw_fd());
    let shown = printed(&["dump", "--inode", &ino, "-o", image.path()])
        + &printed(&["show", "--extended", image.path()]);
    let from = peer.local_addr().unwrap();
    for (len, count) in [(5, 1), (0, 1), (40_000, 1), (6, 0)] {
        let line = format!(" {from} -> {address}, {len} bytes, ");
        assert_eq!(shown.matches(&line).count(), count, "{shown}");
    }
    printed(&["dump", "--inode", &ino, "--no-queue", "-o", without.path()]);
    drop(socket);

    verified(1, &[image.path()]);
    let snapshot = |file: &File| file.image().sockets.remove(0);
    let mut client = Client::new().unwrap();
    let copy = UdpSocket::from(client.restore_snapshot(&snapshot(&image)).unwrap().fd);
    let mut buffer = vec![0; 65_536];
    for len in [5, 0, 40_000] {
        assert_eq!(copy.recv_from(&mut buffer).unwrap(), (len, from));
    }
    drop(copy);
    let without = snapshot(&without);
    assert_eq!((without.queue_len, without.queue.len()), (None, 0));
    let copy = UdpSocket::from(client.restore_snapshot(&without).unwrap().fd);
    copy.set_nonblocking(true).unwrap();
    assert!(copy.recv_from(&mut buffer).is_err());
}

/// From one program to the next, compressed or not, or as a document.
#[test]
#[ignore = "needs a kernel with CONFIG_AF_INET_CR"]
fn images_go_through_pipes() {
    let socket = socket();
    let address = socket.local_addr().unwrap();
    let ino = inode(socket.as_raw_fd());
    for form in ["", "--no-compress", "--json"] {
        let script = format!("\"$0\" dump --inode {ino} {form} | \"$0\" show -");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_inetcr")]);
        let shown = text(&command.output().unwrap().stdout);
        let line = shown.lines().nth(1).unwrap();
        assert_eq!(words(line), unconnected(address), "{form}");
    }
    // A file is its owner's alone, and what is none is written to.
    let image = File::new("piped", "");
    printed(&["dump", "--inode", &ino, "-o", image.path()]);
    let mode = std::fs::metadata(&image.0).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    printed(&["dump", "--inode", &ino, "-o", "/dev/null"]);
    assert_eq!(image.image().sockets.len(), 1);
}

#[test]
#[ignore = "needs a kernel with CONFIG_AF_INET_CR"]
fn an_image_is_compared_with_a_socket() {
    let socket = socket();
    let ino = inode(socket.as_raw_fd());
    let image = File::new("diff", "");
    printed(&["dump", "--inode", &ino, "-o", image.path()]);
    let diff = ["diff", image.path(), "--inode", &ino];
    assert_eq!(printed(&diff), "");
    rustix::net::sockopt::set_ip_ttl(&socket, 9).unwrap();
    let output = inetcr(&diff);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    let lines: Vec<_> = said.lines().skip(1).collect();
    assert_eq!(lines, ["-     ip.ttl  default", "+     ip.ttl  9"]);
    assert_eq!(text(&output.stderr), "");
    drop(socket);
    let error = failed(2, &diff);
    assert!(error.contains("(attribute inode)"), "{error}");
}

#[test]
#[ignore = "needs a kernel with CONFIG_AF_INET_CR"]
fn another_address_takes_the_place_of_one() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let here = socket.local_addr().unwrap();
    socket.send_to(b"waits", here).unwrap();
    let fd = socket.as_raw_fd();
    let image = File::new(
        "mapped",
        &printed(&["dump", "--inode", &inode(fd), "--json"]),
    );
    drop(socket);
    let maps = ["--map-address=127.0.0.1=127.0.0.9", "--map-device=eth7=lo"];
    // It is compared with what the image has in this place.
    verified(1, &[&[image.path()][..], &maps].concat());
    let show = ["--", "cat", "/proc/self/net/udp"];
    let sockets = printed(&[&["restore", image.path()][..], &maps, &show].concat());
    let there = format!("0900007F:{:04X}", here.port());
    assert!(sockets.contains(&there), "{sockets}");

    let error = not_restored(&[image.path(), "--map-device=eth7=nobody0"]);
    assert!(
        error.contains("ENODEV: no device has this name (attribute map.to-device)"),
        "{error}"
    );
    let error = not_restored(&[image.path(), "--map-address=127.0.0.1=192.0.2.1"]);
    assert!(
        error.contains("EADDRNOTAVAIL: the local address"),
        "{error}"
    );
}

#[test]
#[ignore = "needs a kernel with CONFIG_AF_INET_CR"]
fn a_socket_belongs_to_its_user_or_to_the_caller() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    rustix::fs::fchown(&socket, Some(rustix::fs::Uid::from_raw(4711)), None).unwrap();
    let dump = printed(&["dump", "--inode", &inode(socket.as_raw_fd()), "--json"]);
    let image = File::new("user", &dump);
    drop(socket);
    let whose = ["--", "stat", "-L", "-c", "%u", "/proc/self/fd/3"];
    let restore = ["restore", image.path()];
    assert_eq!(printed(&[&restore[..], &whose].concat()), "4711\n");
    let own = [&restore[..], &["--as-caller"], &whose].concat();
    assert_eq!(printed(&own), "0\n");

    // One that exists is given away.
    let here = Image::from_json(&dump).unwrap().sockets[0].local().unwrap();
    let socket = UdpSocket::bind(here).unwrap();
    let pid = std::process::id().to_string();
    let fd = socket.as_raw_fd().to_string();
    let report = printed(&["amend", image.path(), "--pid", &pid, "--fd", &fd]);
    assert!(report.ends_with(" amended\n"), "{report}");
    assert_eq!(rustix::fs::fstat(&socket).unwrap().st_uid, 4711);
    rustix::fs::fchown(&socket, Some(rustix::fs::Uid::ROOT), None).unwrap();
    let inherited = rustix::io::dup(&socket).unwrap();
    let amend = format!(
        "exec \"$0\" amend \"$1\" --fd 7 7<&{}",
        inherited.as_raw_fd()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &amend, env!("CARGO_BIN_EXE_inetcr"), image.path()]);
    assert!(command.output().unwrap().status.success());
    assert_eq!(rustix::fs::fstat(&socket).unwrap().st_uid, 4711);
}

#[test]
#[ignore = "needs a kernel with CONFIG_AF_INET_CR"]
fn what_is_lost_is_allowed_by_both_and_said() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let name = c"user.test";
    rustix::fs::fsetxattr(&socket, name, b"value", rustix::fs::XattrFlags::empty()).unwrap();
    let ino = inode(socket.as_raw_fd());
    let dump = ["dump", "--inode", &ino, "--json"];
    let error = refused(&dump);
    assert!(error.contains("allow-lost xattr"), "{error}");
    let error = refused(&[&dump[..], &["--allow-lost=owner,ebpf-filter"]].concat());
    assert!(error.contains("allow-lost xattr"), "{error}");

    let output = inetcr(&[&dump[..], &["--allow-lost=owner,xattr"]].concat());
    assert!(output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains("lost: xattr"), "{said}");
    let image = Image::from_json(&text(&output.stdout)).unwrap();
    assert_eq!(image.sockets[0].lost, Some(Losses::XATTR));
    let file = File::new("lost", &text(&output.stdout));
    assert!(printed(&["show", "-e", file.path()]).contains("lost "));
    drop(socket);

    let error = not_restored(&[file.path()]);
    assert!(error.contains("lost: xattr (attribute lost)"), "{error}");
    verified(1, &[file.path(), "--allow-lost=xattr"]);

    let socket = UdpSocket::bind(image.sockets[0].local().unwrap()).unwrap();
    let (pid, fd) = (
        std::process::id().to_string(),
        socket.as_raw_fd().to_string(),
    );
    let amend = ["amend", file.path(), "--pid", &pid, "--fd", &fd];
    let error = refused(&amend);
    assert!(error.contains("lost: xattr (attribute lost)"), "{error}");
    let report = printed(&[&amend[..], &["--allow-lost=xattr"]].concat());
    assert!(report.ends_with(" amended\n"), "{report}");
}

#[test]
#[ignore = "needs a kernel with CONFIG_AF_INET_CR"]
fn refusals_name_the_attribute() {
    let state = r#""sock-family": 2, "sock-type": 2, "sock-protocol": 17, "sock-state": "close""#;
    let restore = |name: &str, more: &str| {
        let content =
            format!(r#"{{"format":"af-inet-cr","version":1,"sockets":[{{{state}, {more}}}]}}"#);
        let image = File::new(name, &content);
        not_restored(&[image.path()])
    };
    let gone = restore("gone", r#""sockopt-bindtodevice": "nosuchdev""#);
    assert!(gone.contains("restore: ENODEV: "), "{gone}");
    assert!(gone.contains("(attribute sockopt-bindtodevice)"), "{gone}");
    let range = restore("range", r#""sockopt-reuseaddr": 3"#);
    assert!(
        range.contains("(attribute sockopt-reuseaddr, valid: 0 to 2)"),
        "{range}"
    );
    let elsewhere = restore(
        "elsewhere",
        r#""local-addr": "192.0.2.1", "local-port": 4000"#,
    );
    assert!(
        elsewhere.contains("restore: EADDRNOTAVAIL: "),
        "{elsewhere}"
    );

    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let error = refused(&["dump", "--inode", &inode(tcp.as_raw_fd())]);
    assert!(error.starts_with("inetcr: dump: "), "{error}");
    let nothing = refused(&["dump", "--inode", "4294967295"]);
    assert!(nothing.contains("(attribute inode)"), "{nothing}");
    let nobody = refused(&["dump", "--pid", "999999999", "--fd", "3"]);
    assert!(nobody.contains("process 999999999"), "{nobody}");
}

#[test]
#[ignore = "needs a kernel with CONFIG_AF_INET_CR"]
fn without_the_capability_the_kernel_refuses() {
    // Where the user below can reach it.
    let tool = File::new("tool", "");
    std::fs::copy(Path::new(env!("CARGO_BIN_EXE_inetcr")), &tool.0).unwrap();
    std::fs::set_permissions(&tool.0, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(&tool.0);
    let output = command
        .args(["dump", "--inode", "1"])
        .uid(65534)
        .gid(65534)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.starts_with("inetcr: dump: EPERM: "), "{error}");
    assert!(error.contains("CAP_NET_ADMIN"), "{error}");
}

#[test]
#[ignore = "needs a kernel with CONFIG_AF_INET_CR"]
fn the_library_sends_anything() {
    let mut client = Client::new().unwrap();
    assert_eq!(client.family_version(), 1);
    let errno = |answer: Result<Vec<RawAttr>, Error>| answer.unwrap_err().errno();
    let dump = Request::Dump.number();
    let socket = socket();
    let fd = socket.as_raw_fd().cast_unsigned();
    assert_eq!(
        client.raw(dump, &[RawAttr::u32(4, fd)]).unwrap()[0].number(),
        1
    );
    let error = client.raw(dump, &[RawAttr::new(4, [0])]).unwrap_err();
    assert_eq!(
        error.kernel().unwrap().attribute.as_ref().unwrap().name(),
        Some("sock-fd")
    );
    let error = client
        .raw(dump, &[RawAttr::u32(4, fd), RawAttr::u32(4000, 0)])
        .unwrap_err();
    let attribute = error.kernel().unwrap().attribute.clone();
    assert_eq!(attribute.map(|attribute| attribute.number()), Some(4000));
    assert!(
        client
            .raw(dump, &[RawAttr::u32(4, fd).claiming_len(400)])
            .is_err()
    );
    assert!(client.raw_bytes(dump, &[1, 2, 3]).is_err());
    assert_eq!(errno(client.raw(Request::Amend.number(), &[])), Some(22));
    assert_eq!(errno(client.raw(200, &[])), Some(95));
    let state = client.dump(Selector::Fd(socket.as_raw_fd())).unwrap();
    drop(socket);
    let restored = client.restore(&state).unwrap();
    let copy = UdpSocket::from(restored.fd);
    assert_eq!(copy.local_addr().ok(), state.local());
    let selector = Selector::Fd(copy.as_raw_fd()).with_cookie(restored.cookie);
    let again = client.dump(selector).unwrap();
    assert_eq!(again.without_identity(), state.without_identity());
}

#[test]
#[ignore = "needs a kernel with CONFIG_AF_INET_CR"]
fn an_image_is_applied_to_a_socket_that_exists() {
    let donor = socket();
    let address = donor.local_addr().unwrap();
    let image = printed(&["dump", "--inode", &inode(donor.as_raw_fd()), "--json"]);
    drop(donor);
    let image = File::new("amend.json", &image);
    let target = UdpSocket::bind(address).unwrap();
    let pid = std::process::id().to_string();
    let fd = target.as_raw_fd().to_string();
    let amend = ["amend", image.path(), "--pid", &pid, "--fd", &fd];
    let said = printed(&amend);
    let ino = inode(target.as_raw_fd());
    assert!(said.starts_with(&format!("ino:{ino} cookie:")), "{said}");
    assert!(said.ends_with(" amended\n"), "{said}");
    assert!(target.broadcast().unwrap());
    assert_eq!(rustix::net::sockopt::ip_tos(&target).unwrap(), 0x10);

    // What cannot be applied is named, and the rest is applied.
    let mut client = Client::new().unwrap();
    let selector = || Selector::Fd(target.as_raw_fd());
    let mut state = client.dump(selector()).unwrap();
    state.queue_len = Some(1);
    state.sockopt_broadcast = Some(false);
    let amended = client.amend(selector(), &state).unwrap();
    let failed: Vec<_> = amended.failed.iter().map(Failure::place).collect();
    assert_eq!(
        (failed, target.broadcast().unwrap()),
        (vec!["queue-len".to_owned()], false)
    );
    let image = Image::new([state]).to_json().unwrap();
    let image = File::new("amend-in-part.json", &image);
    for json in [false, true] {
        target.set_broadcast(true).unwrap();
        let mut args = vec!["amend", image.path(), "--pid", &pid, "--fd", &fd];
        args.extend(json.then_some("--json"));
        let output = tool::inetcr(&args);
        assert_eq!(output.status.code(), Some(1));
        let errors = text(&output.stderr);
        assert_eq!(errors, "inetcr: 1 part of the image was not applied\n");
        let said = text(&output.stdout);
        if json {
            let said: serde_json::Value = serde_json::from_str(&said).unwrap();
            assert_eq!(said["failed"][0]["what"], "queue-len", "{said}");
            assert_eq!(said["failed"][0]["error"], "EOPNOTSUPP", "{said}");
        } else {
            let first = "not applied: queue-len: EOPNOTSUPP: ";
            assert!(said.starts_with(first), "{said}");
        }
        assert!(!target.broadcast().unwrap());
    }

    // What waits in the image comes behind what waits in the socket.
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let donor = socket();
    sender.send_to(b"two", donor.local_addr().unwrap()).unwrap();
    let mut snapshot = client.snapshot(Selector::Fd(donor.as_raw_fd())).unwrap();
    (snapshot.state.local_addr, snapshot.state.local_port) = (None, None);
    snapshot.state.sock_state = None;
    let queue = Image::new([snapshot]).to_json().unwrap();
    let queue = File::new("amend-queue.json", &queue);
    sender.send_to(b"one", address).unwrap();
    let said = printed(&["amend", queue.path(), "--pid", &pid, "--fd", &fd]);
    assert!(said.ends_with(" amended\n"), "{said}");
    for expected in [b"one", b"two"] {
        let mut buffer = [0; 8];
        let len = target.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], expected);
    }

    // Another socket is refused as a whole.
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let fd = other.as_raw_fd().to_string();
    let said = refused(&["amend", image.path(), "--fd", &fd, "--pid", &pid]);
    assert!(
        said.contains("ESTALE") && said.contains("local-port"),
        "{said}"
    );
}
