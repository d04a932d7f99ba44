// SPDX-License-Identifier: GPL-2.0
//! Many sockets at once.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use command_fds::{CommandFdExt as _, FdMapping};
use inetcr::{Client, Image, Record, Scope, Snapshot};
use rustix::net::sockopt::set_socket_reuseport;
use rustix::net::{AddressFamily, SocketType, bind, socket};

use crate::tool::{
    File, inetcr, inode, not_restored, printed, refused, table, text, unconnected, verified, words,
};

fn image(text: &str) -> Vec<Snapshot> {
    Image::from_json(text).unwrap().sockets
}

/// As what dumps of one each have.
#[test]
#[ignore = "needs a kernel with CONFIG_AF_INET_CR"]
fn all_bound_sockets_of_the_namespace_or_of_a_port() {
    let sockets = [0; 3].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.connect(sockets[0].local_addr().unwrap()).unwrap();
    peer.send(b"waits").unwrap();
    let all = image(&printed(&["dump", "--all", "--json"]));
    assert_eq!(all.len(), 4);
    for socket in sockets.iter().chain([&peer]) {
        let ino = inode(socket.as_raw_fd());
        let one = image(&printed(&["dump", "--inode", &ino, "--json"]));
        assert!(all.contains(&one[0]), "{one:?}");
    }
    let waiting = all.iter().filter(|one| !one.queue.is_empty());
    assert_eq!(waiting.count(), 1);
    let without = image(&printed(&["dump", "--all", "--no-queue", "--json"]));
    assert!(without.iter().all(|one| one.queue_len.is_none()));

    let address = sockets[1].local_addr().unwrap();
    let port = address.port().to_string();
    let shown = table(&["--all", "--port", &port]);
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert_eq!(words(&shown[0]), unconnected(address));
    for (filter, count) in [
        (&["--port", "1"][..], 0),
        (&["--local", &format!(":{port}")], 1),
        (&["--local", &address.to_string()], 1),
        (&["--local", "127.0.0.0/8"], 4),
        (&["--local", "10.0.0.0/8"], 0),
        (&["--state", "established"], 1),
        (&["--state", "unconn"], 3),
        (&["--peer", "127.0.0.1"], 1),
        (&["--peer", &format!("127.0.0.1:{port}")], 0),
        (&["--device", "lo"], 0),
    ] {
        let shown = table(&[&["--all"], filter].concat());
        assert_eq!(shown.len(), count, "{filter:?}: {shown:?}");
        let dump = [&["dump", "--all", "--json"], filter].concat();
        if count == 0 {
            let error = refused(&dump);
            assert!(
                error.contains("no image is written: no IPv4 UDP "),
                "{error}"
            );
        } else {
            assert_eq!(image(&printed(&dump)).len(), count, "{filter:?}");
        }
    }
}

/// Of a process and its descendants; one that several have is there once.
#[test]
#[ignore = "needs a kernel with CONFIG_AF_INET_CR"]
fn all_sockets_of_a_process_tree() {
    let own = UdpSocket::bind("127.0.0.1:0").unwrap();
    // A child of a child has it, and nobody else but its parent.
    let theirs = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = theirs.local_addr().unwrap();
    let mut child = Command::new("sh")
        .args(["-c", "sh -c 'echo ready; read line; :'; :"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .fd_mappings(vec![FdMapping {
            parent_fd: theirs.into(),
            child_fd: 7,
        }])
        .unwrap()
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut from = BufReader::new(child.stdout.take().unwrap());
    from.read_line(&mut line).unwrap();
    let of = |pid: u32| table(&["--tree", &pid.to_string()]);
    let below = of(child.id());
    assert_eq!(below.len(), 1, "{below:?}");
    assert_eq!(words(&below[0]), unconnected(address));
    assert!(below[0].contains(" fd:7 "), "{below:?}");
    let all = of(std::process::id());
    for address in [own.local_addr().unwrap(), address] {
        let found = all
            .iter()
            .filter(|line| words(line) == unconnected(address));
        assert_eq!(found.count(), 1, "{all:?}");
    }
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

/// Who takes it for an image would end the process next.
#[test]
#[ignore = "needs a kernel with CONFIG_AF_INET_CR"]
fn an_image_of_no_socket_is_not_written() {
    let file = File::new("none", "as it was");
    // It has the sockets by a child.
    let mut wrapper = Command::new("sh")
        .args(["-c", "read line; :"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = wrapper.id().to_string();
    for selector in ["--pid", "--tree"] {
        let which = [selector, &pid];
        for how in [&["-o", file.path()][..], &["-o", file.path(), "--json"]] {
            let error = refused(&[&["dump"], &which[..], how].concat());
            let begin = format!("inetcr: no image is written: process {pid} ");
            assert!(error.starts_with(&begin), "{error}");
            assert_eq!(error.contains("--tree looks"), selector == "--pid");
        }
        // Whoever looks sees that there is none.
        assert_eq!(table(&which), [""; 0]);
    }
    drop(wrapper.stdin.take());
    assert!(wrapper.wait().unwrap().success());

    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let pid = std::process::id().to_string();
    let error = refused(&["dump", "--pid", &pid, "--skip-refused", "-o", file.path()]);
    let said = "inetcr: no image is written: all sockets are refused\n";
    assert!(error.ends_with(said), "{error}");
    assert_eq!(std::fs::read_to_string(&file.0).unwrap(), "as it was");
    drop(tcp);
}

/// What cannot be dumped is named, and then there is no image unless it is wanted so.
#[test]
#[ignore = "needs a kernel with CONFIG_AF_INET_CR"]
fn all_sockets_of_a_process_or_none_in_the_image() {
    let file = File::new("process", "as it was");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let twice = socket.try_clone().unwrap();
    let unbound = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    );
    let unbound = unbound.unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let pid = std::process::id().to_string();

    let output = inetcr(&["dump", "--pid", &pid, "-o", file.path()]);
    assert_eq!(output.status.code(), Some(1));
    let errors = text(&output.stderr);
    let named = format!(
        "inetcr: refused: pid:{pid} fd:{} ino:{} ",
        tcp.as_raw_fd(),
        inode(tcp.as_raw_fd())
    );
    assert!(errors.starts_with(&named), "{errors}");
    assert!(errors.contains("EOPNOTSUPP: type SOCK_STREAM (TCP)"));
    assert!(errors.contains("1 of 4 sockets refused, no image is written"));
    assert_eq!(std::fs::read_to_string(&file.0).unwrap(), "as it was");
    // The table has the others.
    let output = inetcr(&["show", "--pid", &pid]);
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stdout);
    for fd in [socket.as_raw_fd(), twice.as_raw_fd(), unbound.as_raw_fd()] {
        assert_eq!(shown.matches(&format!(" fd:{fd} ")).count(), 1, "{shown}");
    }

    let args = ["dump", "--pid", &pid, "--skip-refused", "-o", file.path()];
    let output = inetcr(&args);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).starts_with(&named));
    let sockets = file.image().sockets;
    let order: Vec<_> = sockets.iter().map(|one| one.sock_fd).collect();
    let mut expected = [socket.as_raw_fd(), twice.as_raw_fd(), unbound.as_raw_fd()];
    expected.sort_unstable();
    assert_eq!(order, expected.map(|fd| u32::try_from(fd).ok()));
    let place = |fd| expected.iter().position(|one| *one == fd).unwrap() + 3;
    let places = [&socket, &twice].map(|one| place(one.as_raw_fd()));
    let other = place(unbound.as_raw_fd());
    drop((socket, twice, unbound));

    verified(3, &[file.path()]);
    // What was open twice is open twice again.
    let script = format!(
        r#"echo $LISTEN_FDS; a=$(readlink /proc/$$/fd/{}); b=$(readlink /proc/$$/fd/{})
           [ "$a" = "$b" ] && echo same; [ "$a" != "$(readlink /proc/$$/fd/{other})" ] && echo other"#,
        places[0], places[1]
    );
    let run = ["restore", file.path(), "--", "sh", "-c", &script];
    assert_eq!(printed(&run), "3\nsame\nother\n");
}

/// All or none: the second one cannot be had, and the first one is not kept.
#[test]
#[ignore = "needs a kernel with CONFIG_AF_INET_CR"]
fn an_image_is_restored_as_a_whole() {
    let sockets = [0; 2].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
    let file = File::new("whole", "");
    assert_eq!(printed(&["dump", "--all", "-o", file.path()]), "");
    let images = file.image().sockets;
    let [first, second] = sockets;
    let addresses = [first.local_addr().ok(), second.local_addr().ok()];
    // Keep the one that is restored last.
    let kept = if images[1].local() == addresses[0] {
        drop(second);
        first
    } else {
        drop(first);
        second
    };
    let taken = not_restored(&[file.path()]);
    assert!(
        taken.contains("socket 2 of 2: restore: EADDRINUSE"),
        "{taken}"
    );
    drop(kept);
    for address in addresses {
        drop(UdpSocket::bind(address.unwrap()).unwrap());
    }
    verified(2, &[file.path()]);
}

/// Sockets that share a port are counted as before, and are where the image has them.
#[test]
#[ignore = "needs a kernel with CONFIG_AF_INET_CR"]
fn a_group_comes_back_in_its_order() {
    let address: SocketAddr = "127.0.0.1:7117".parse().unwrap();
    let [first, second, third, fourth] = [(); 4].map(|()| {
        let socket = socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap();
        set_socket_reuseport(&socket, true).unwrap();
        bind(&socket, &address).unwrap();
        socket
    });
    // The last one takes its place.
    drop(first);
    let file = File::new("group", "");
    assert_eq!(printed(&["dump", "--all", "-o", file.path()]), "");
    drop([second, third, fourth]);
    let places = |sockets: &[Snapshot]| -> Vec<_> {
        let places = sockets.iter().map(|socket| socket.reuseport_index);
        places.collect()
    };
    let places_before = places(&file.image().sockets);
    assert!(!places_before.is_sorted(), "{places_before:?}");

    let script = format!("exec {} dump --json --pid $$", env!("CARGO_BIN_EXE_inetcr"));
    let restored = printed(&["restore", file.path(), "--", "sh", "-c", &script]);
    assert_eq!(places(&image(&restored)), places_before);
}

#[test]
#[ignore = "needs a kernel with CONFIG_AF_INET_CR"]
fn another_namespace_is_looked_into() {
    let file = File::new("netns", "");
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let address = socket.local_addr().unwrap();
    let ino = inode(socket.as_raw_fd());
    printed(&["dump", "--inode", &ino, "-o", file.path()]);
    drop(socket);
    let program = env!("CARGO_BIN_EXE_inetcr");
    // It is of another namespace than the process that has it, as one that leads to the journal is.
    let (unix, _other) = UnixDatagram::pair().unwrap();
    let mapping = FdMapping {
        parent_fd: unix.into(),
        child_fd: 9,
    };
    let mut there = Command::new("unshare")
        .args(["-n", program, "restore", file.path()])
        .args(["--", "sh", "-c", "echo ready; exec cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .fd_mappings(vec![mapping])
        .unwrap()
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut from = BufReader::new(there.stdout.take().unwrap());
    from.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");

    let pid = there.id().to_string();
    let netns = format!("/proc/{pid}/ns/net");
    assert_eq!(table(&["--all"]), [""; 0]);
    for (select, which) in [(&["--all"][..], " ino:"), (&["--pid", &pid], " fd:3 ino:")] {
        let shown = table(&[select, &["--netns", &netns]].concat());
        assert_eq!(shown.len(), 1, "{shown:?}");
        assert_eq!(words(&shown[0]), unconnected(address), "{shown:?}");
        assert!(shown[0].contains(which), "{shown:?}");
    }
    let error = refused(&["dump", "--pid", &pid]);
    assert!(
        error.contains(&format!("refused: pid:{pid} fd:3 ")),
        "{error}"
    );
    assert!(error.contains(": dump: ENOENT: "), "{error}");
    assert!(error.contains(&format!("--netns {netns} ")), "{error}");
    drop(there.stdin.take());
    assert!(there.wait().unwrap().success());
}

/// A program that is too long for the first message of the answer: the library asks again.
#[test]
#[ignore = "needs a kernel with CONFIG_AF_INET_CR"]
fn a_socket_that_is_too_large_is_dumped_by_itself() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let ino = inode(socket.as_raw_fd());
    let mut sockets = image(&printed(&["dump", "--inode", &ino, "--json"]));
    drop(socket);
    // "Return 1", by an image: that is the shortest way to attach a filter.
    let filter = [6, 0, 0, 0, 1, 0, 0, 0].repeat(2000);
    sockets[0].state.sockopt_filter = Some(filter.clone());
    let mut client = Client::new().unwrap();
    let copy = client.restore_snapshot(&sockets[0]).unwrap();

    let records = Client::new().unwrap().dump_many(Scope::Namespace).unwrap();
    let [Record::Dumped(state)] = records.as_slice() else {
        panic!("{records:?}");
    };
    assert_eq!(state.sockopt_filter.as_ref(), Some(&filter));
    assert_eq!(state.inode, Some(copy.inode));
    let me = rustix::process::getpid();
    let pidfd = rustix::process::pidfd_open(me, rustix::process::PidfdFlags::empty()).unwrap();
    let mut client = Client::new().unwrap();
    let records = client.dump_many(Scope::Process(pidfd.as_fd())).unwrap();
    let found = records.iter().find_map(|record| match record {
        Record::Dumped(state) => Some(state),
        Record::Refused(_) => None,
    });
    let found = found.unwrap();
    assert_eq!(found.sockopt_filter.as_ref(), Some(&filter));
    assert_eq!(found.sock_fd, u32::try_from(copy.fd.as_raw_fd()).ok());
}
