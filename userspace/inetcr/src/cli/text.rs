// SPDX-License-Identifier: GPL-2.0
//! Output for people.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;

use inetcr::table::{AttributeInfo, Role};
use inetcr::{Image, State};

/// Prints to the standard output.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// All sockets of an image, with an empty line between two.
pub(crate) fn sockets(image: &Image) -> String {
    let sockets: Vec<_> = image.sockets.iter().map(socket).collect();
    sockets.join("\n")
}

/// One socket: a line that says which it is, then a line for each of the other attributes.
fn socket(state: &State) -> String {
    let mut text = headline(state);
    text.push('\n');
    let rows = state.describe();
    let rows = rows.iter().filter(|(row, _)| !in_headline(row));
    let width = rows.clone().map(|(row, _)| row.name.len()).max();
    for (row, value) in rows {
        let width = width.unwrap_or_default();
        let unit = unit(row.name);
        // Writing to a string does not fail.
        let _ = writeln!(text, "    {:width$}  {value}{unit}", row.name);
    }
    text
}

/// The socket in one line, in the order in which ss(8) has it.
pub(crate) fn headline(state: &State) -> String {
    let number = |number: Option<u32>| number.map_or("?".to_owned(), |number| number.to_string());
    let protocol = match (state.sock_family, state.sock_protocol) {
        (Some(2), Some(17)) => "udp".to_owned(),
        (family, protocol) => format!("family {} protocol {}", number(family), number(protocol)),
    };
    let kind = match state.sock_type {
        Some(2) => "dgram".to_owned(),
        kind => format!("type {}", number(kind)),
    };
    let sock_state = state.sock_state.map_or("?", |state| match state {
        inetcr::SockState::Established => "ESTAB",
        inetcr::SockState::Close => "UNCONN",
    });
    let mut line = format!(
        "{protocol} {kind} {sock_state} {} {}",
        endpoint(state.local()),
        endpoint(state.peer())
    );
    for (name, value) in [("ino", state.inode), ("cookie", state.cookie)] {
        if let Some(value) = value {
            let _ = write!(line, " {name}:{value}");
        }
    }
    line
}

fn endpoint(address: Option<SocketAddr>) -> String {
    address.map_or("*:*".to_owned(), |address| address.to_string())
}

/// Whether [`headline`] has it.
fn in_headline(row: &AttributeInfo) -> bool {
    let named = [
        "sock-family",
        "sock-protocol",
        "sock-type",
        "sock-state",
        "local-addr",
        "local-port",
        "peer-addr",
        "peer-port",
    ];
    row.role == Role::Identity || named.contains(&row.name)
}

fn unit(name: &str) -> &'static str {
    match name {
        "sockopt-rcvbuf" | "sockopt-sndbuf" => " bytes",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_one_line_and_a_table() {
        let json = r#"{
            "inode": 4242, "cookie": 7, "sock-family": 2, "sock-type": 2, "sock-protocol": 17,
            "sock-state": "close", "local-addr": "127.0.0.1", "local-port": 4000,
            "sockopt-broadcast": 1, "sockopt-linger": { "onoff": 0, "time": 5000000000 },
            "sockopt-rcvtimeo": -1, "sockopt-rcvbuf": 212992, "bind-locks": ["addr", "port"]
        }"#;
        let image = Image::new(vec![serde_json::from_str(json).unwrap()]);
        let expected = "\
udp dgram UNCONN 127.0.0.1:4000 *:* ino:4242 cookie:7
    sockopt-broadcast  on
    sockopt-linger     off, 5s
    sockopt-rcvtimeo   infinite
    sockopt-rcvbuf     212992 bytes
    bind-locks         addr,port
";
        assert_eq!(sockets(&image), expected);
    }
}
