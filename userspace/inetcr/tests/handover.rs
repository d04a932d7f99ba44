// SPDX-License-Identifier: GPL-2.0
//! Sockets are handed over as they are. No part of the kernel that is ours takes part in it.

use std::fs::Permissions;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Output, Stdio};

use command_fds::{CommandFdExt as _, FdMapping};

/// A process that has descriptors and does nothing. It ends with the test.
struct Holder(Child);

impl Holder {
    fn of(sockets: impl IntoIterator<Item = (OwnedFd, RawFd)>) -> Self {
        let mappings = sockets.into_iter();
        let mappings = mappings.map(|(parent_fd, child_fd)| FdMapping {
            parent_fd,
            child_fd,
        });
        let mut command = Command::new("sleep");
        command.arg("600").fd_mappings(mappings.collect()).unwrap();
        Self(command.spawn().unwrap())
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn handover(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inetcr"));
    command.arg("handover").args(args).stdin(Stdio::null());
    // As if it had been started by socket activation itself.
    command.env("LISTEN_FDS", "7").env("LISTEN_PIDFDID", "1");
    command.output().unwrap()
}

fn printed(args: &[&str]) -> String {
    let output = handover(args);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(status: i32, args: &[&str]) -> String {
    let output = handover(args);
    assert_eq!(output.status.code(), Some(status), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// `socket:[1234]`.
fn name(fd: &impl std::os::fd::AsFd) -> String {
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    let link = std::fs::read_link(path).unwrap();
    link.to_str().unwrap().to_owned()
}

#[test]
fn the_program_has_the_very_same_sockets() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let (unix, _other) = UnixDatagram::pair().unwrap();
    let names = [name(&udp), name(&tcp)];
    let holder = Holder::of([(unix.into(), 5), (tcp.into(), 9), (udp.into(), 7)]);
    let pid = holder.pid();
    let look = r#"[ "$LISTEN_PID" = $$ ] && echo "$LISTEN_FDS $LISTEN_FDNAMES ${LISTEN_PIDFDID-none}"
        readlink /proc/$$/fd/3 /proc/$$/fd/4; [ -e /proc/$$/fd/5 ] || echo no more"#;
    let run = ["--", "sh", "-c", look];
    // Those of the internet, in the order of the descriptors.
    let all = printed(&[&["--pid", &pid], &run[..]].concat());
    let [udp, tcp] = &names;
    assert_eq!(
        all,
        format!("2 inetcr:inetcr none\n{udp}\n{tcp}\nno more\n")
    );
    // Those that are named, in the order in which they are.
    let options = [
        "--pid",
        &pid,
        "--fd=9",
        "--fd=7",
        "--name=web",
        "--name=dns",
    ];
    let some = printed(&[&options[..], &run[..]].concat());
    assert_eq!(some, format!("2 web:dns none\n{tcp}\n{udp}\nno more\n"));
    // At a descriptor, and nothing says so.
    let look = "echo ${LISTEN_FDS-none}; readlink /proc/$$/fd/0 | cut -c1-7";
    let at = ["--pid", &pid, "--fd=7", "--at=0", "--", "sh", "-c", look];
    assert_eq!(printed(&at), "none\nsocket:\n");
}

#[test]
fn what_waits_stays_and_the_process_is_told_to_end() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut holder = Holder::of([(socket.into(), 3)]);
    sender.send_to(b"before", address).unwrap();
    let pid = holder.pid();
    let read = "dd bs=100 count=1 2>/dev/null; kill -0 $0 2>/dev/null && cat /proc/$0/stat";
    let run = ["--at=0", "--", "sh", "-c", read, &pid];
    let said = printed(&[&["--pid", &pid, "--stop"], &run[..]].concat());
    // It is dead, and waits to be seen by its parent.
    assert!(said.starts_with("before"), "{said}");
    assert!(said.contains("(sleep) Z "), "{said}");
    assert_eq!(holder.0.wait().unwrap().signal(), Some(15));
}

/// It would never take the signal.
#[test]
fn a_process_that_is_stopped_goes_on_to_end() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut holder = Holder::of([(socket.into(), 3)]);
    let pid = holder.pid();
    let stopped = Command::new("kill").args(["-STOP", &pid]).status();
    assert!(stopped.unwrap().success());
    let run = ["--stop", "--timeout=20", "--", "echo", "runs"];
    assert_eq!(printed(&[&["--pid", &pid], &run[..]].concat()), "runs\n");
    assert_eq!(holder.0.wait().unwrap().signal(), Some(15));
}

#[test]
fn what_cannot_be_handed_over_is_named() {
    let file = std::fs::File::open("/dev/null").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut holder = Holder::of([
        (file.into(), 3),
        (socket.as_fd().try_clone_to_owned().unwrap(), 4),
    ]);
    let pid = holder.pid();
    let none = Holder::of([]);
    let refused_with =
        |args: &[&str]| refused(1, &[&["--pid", &pid], args, &["--", "true"]].concat());
    let error = refused_with(&["--fd", "3"]);
    assert!(error.contains("descriptor 3 of process"), "{error}");
    assert!(error.contains("is no socket"), "{error}");
    let error = refused_with(&["--fd", "77"]);
    assert!(error.contains("descriptor 77 of process"), "{error}");
    let names = ["--pid", &pid, "--name", "a", "--name", "b", "--", "true"];
    let error = refused(2, &names);
    assert!(error.contains("2 names for 1 sockets"), "{error}");
    let error = refused(1, &["--pid", &none.pid(), "--", "true"]);
    assert!(
        error.contains("has no socket of IPv4 or IPv6 open that takes"),
        "{error}"
    );
    let error = refused(1, &["--pid", "999999999", "--", "true"]);
    assert!(error.contains("process 999999999"), "{error}");
    refused(127, &["--pid", &pid, "--", "/nonexistent"]);
    refused(126, &["--pid", &pid, "--", "/dev/null"]);
    // A program that is not there does not end the one that is.
    for (status, nowhere) in [(127, "/nonexistent"), (126, "/dev/null"), (127, "no such")] {
        refused(status, &["--pid", &pid, "--stop", "--", nowhere]);
    }
    // Nor do descriptors that it cannot have.
    let error = refused(1, &["--pid", &pid, "--stop", "--at=1048575", "--", "true"]);
    assert!(error.contains("`ulimit -n 1048576`"), "{error}");
    assert!(holder.0.try_wait().unwrap().is_none());
    // One that does not end keeps its sockets.
    let mut stubborn = Command::new("sh");
    stubborn.args(["-c", "trap '' TERM; echo ready; read line; :"]);
    stubborn.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mapping = FdMapping {
        parent_fd: socket.into(),
        child_fd: 5,
    };
    stubborn.fd_mappings(vec![mapping]).unwrap();
    let mut stubborn = stubborn.spawn().unwrap();
    let mut line = String::new();
    let mut from = std::io::BufReader::new(stubborn.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut from, &mut line).unwrap();
    let pid = stubborn.id().to_string();
    let stop = ["--stop", "--timeout", "1", "--", "true"];
    let error = refused(1, &[&["--pid", &pid], &stop[..]].concat());
    assert!(error.contains("has not ended in 1 s"), "{error}");
    assert!(error.contains("(SIGTERM) and may still do so"), "{error}");
    drop(stubborn.stdin.take());
    assert!(stubborn.wait().unwrap().success());
}

/// The kernel may refuse what looks like a program.
#[test]
fn an_error_is_not_written_into_a_socket() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script");
    std::fs::write(&script, "#!/nonexistent\n").unwrap();
    std::fs::set_permissions(&script, Permissions::from_mode(0o700)).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(peer.local_addr().unwrap()).unwrap();
    let holder = Holder::of([(socket.into(), 3)]);
    let script = script.to_str().unwrap();
    let error = refused(127, &["--pid", &holder.pid(), "--at=2", "--", script]);
    assert!(error.contains("cannot run"), "{error}");
    peer.set_nonblocking(true).unwrap();
    let written = peer.recv(&mut [0; 100]).unwrap_err();
    assert_eq!(written.kind(), std::io::ErrorKind::WouldBlock);
}

/// There is room for all of them beside those that the program gets, and it has the limit that it
/// would have had.
#[test]
fn many_sockets_are_handed_over_and_the_limit_stays() {
    let sockets = (3..603).map(|fd| (UdpSocket::bind("127.0.0.1:0").unwrap().into(), fd));
    let holder = Holder::of(sockets);
    let tool = env!("CARGO_BIN_EXE_inetcr");
    let run = format!(
        "ulimit -Sn 700; exec {tool} handover --pid {} -- sh -c 'ulimit -Sn; echo $LISTEN_FDS'",
        holder.pid()
    );
    let output = Command::new("sh").args(["-c", &run]).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.stdout, b"700\n600\n", "{errors}");
    // As many as it may have are not enough for both.
    let run = format!(
        "ulimit -n 700; exec {tool} handover --pid {} -- true",
        holder.pid()
    );
    let output = Command::new("sh").args(["-c", &run]).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    let words = "no descriptors are left for 600 sockets: it takes a higher `ulimit -Hn`";
    assert!(errors.contains(words), "{errors}");
}

/// A connection that was accepted is nothing that a new server takes as a socket to listen on.
#[test]
fn connections_are_handed_over_by_name_only() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let names = [name(&listener), name(&client)];
    let holder = Holder::of([(client.into(), 4), (listener.into(), 5)]);
    let pid = holder.pid();
    let run = ["--", "sh", "-c", "readlink /proc/$$/fd/3"];
    let all = printed(&[&["--pid", &pid], &run[..]].concat());
    assert_eq!(all.trim_end(), names[0]);
    let by_number = printed(&[&["--pid", &pid, "--fd=4"], &run[..]].concat());
    assert_eq!(by_number.trim_end(), names[1]);
}
