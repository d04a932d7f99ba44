// SPDX-License-Identifier: GPL-2.0
//! Runs the tool, and makes what it works on.

use std::net::UdpSocket;
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
    let output = inetcr(args);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    assert_eq!(text(&output.stdout), "", "{args:?}");
    text(&output.stderr)
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

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
