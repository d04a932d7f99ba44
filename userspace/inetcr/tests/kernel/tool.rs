// SPDX-License-Identifier: GPL-2.0
//! Runs the tool, and makes what it works on.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::process::{Command, Output};

pub fn inetcr(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inetcr"));
    command.args(args).output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What a successful run prints.
pub fn printed(args: &[&str]) -> String {
    let output = inetcr(args);
    let errors = text(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    assert_eq!(errors, "", "{args:?}");
    text(&output.stdout)
}

/// What a failing run says.
pub fn refused(args: &[&str]) -> String {
    failed(1, args)
}

/// What a run says that fails with this status.
pub fn failed(status: i32, args: &[&str]) -> String {
    let output = inetcr(args);
    assert_eq!(output.status.code(), Some(status), "{args:?}");
    assert_eq!(text(&output.stdout), "", "{args:?}");
    text(&output.stderr)
}

/// What restoring an image says that is refused.
pub fn not_restored(args: &[&str]) -> String {
    refused(&[&["restore"], args, &["--", "true"]].concat())
}

/// Sees that an image can be restored here, so many sockets of it.
pub fn verified(count: usize, args: &[&str]) {
    let report = printed(&[&["verify"], args].concat());
    let plural = if count == 1 { "" } else { "s" };
    let equal = format!("\n{count} socket{plural} restored, equal to the image\n");
    assert!(report.starts_with("the image is whole: "), "{report}");
    assert!(report.ends_with(&equal), "{report}");
}

/// The lines of a table of sockets, without its head.
pub fn table(args: &[&str]) -> Vec<String> {
    let shown = printed(&[&["show"], args].concat());
    let mut lines = shown.lines().map(str::to_owned);
    assert!(lines.next().unwrap().starts_with("Netid State "), "{shown}");
    lines.collect()
}

/// The line of a socket that is bound and not connected, without what tells which one it is.
pub fn unconnected(address: SocketAddr) -> Vec<String> {
    let words = ["udp", "UNCONN", "0", "0", &address.to_string(), "*:*"];
    words.map(str::to_owned).to_vec()
}

/// The first words of a line.
pub fn words(line: &str) -> Vec<String> {
    let words = line.split_whitespace().take(6);
    words.map(str::to_owned).collect()
}

pub fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_broadcast(true).unwrap();
    let timeout = std::time::Duration::from_secs(3);
    socket.set_read_timeout(Some(timeout)).unwrap();
    rustix::net::sockopt::set_ip_tos(&socket, 0x10).unwrap();
    socket
}

/// Inode number, from the link in /proc.
pub fn inode(fd: RawFd) -> String {
    let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
    let link = link.to_str().unwrap();
    let number = link
        .strip_prefix("socket:[")
        .and_then(|rest| rest.strip_suffix(']'));
    number.unwrap().to_owned()
}

/// A file that is gone when the test is.
pub struct File(pub PathBuf);

impl File {
    pub fn new(name: &str, content: &str) -> Self {
        let name = format!("inetcr-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        Self(path)
    }

    pub fn image(&self) -> inetcr::Image {
        inetcr::Image::read(std::fs::File::open(&self.0).unwrap()).unwrap()
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
