// SPDX-License-Identifier: GPL-2.0
//! Shows a person a socket being checkpointed, closed and restored equal.
//!
//! `cargo xtask demo` runs this in a VM. The socket is dumped and restored by the tool `inetcr`,
//! each time in another process, and looked at by plain system calls only. Exit status: 0 if the
//! copy is equal and works, 1 if not.

#![forbid(unsafe_code)]

mod socket;

use anyhow::{
    Context,
    Result,
    bail,
    ensure, //
};
use nix::sys::socket::MsgFlags;
use socket::Observed;
use std::{
    env,
    io::{
        BufRead as _,
        BufReader,
        Lines, //
    },
    net::UdpSocket,
    os::fd::AsRawFd as _,
    process::{
        Child,
        ChildStdout,
        Command,
        ExitCode,
        Stdio, //
    },
    time::Duration,
};

const IMAGE: &str = "/tmp/socket.image";
const GREETING: &str = "hello, is it still you?";

fn main() -> ExitCode {
    let run = match env::args().nth(1).as_deref() {
        None => show(),
        Some("look") => look(),
        Some(other) => Err(anyhow::anyhow!(
            "unknown argument {other:?}: there is only `look`"
        )),
    };
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("\nFAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn show() -> Result<()> {
    step(
        1,
        "A process makes a UDP socket, sets options and binds it.",
    );
    let original = socket::make().context("cannot make the socket")?;
    let before = Observed::of(&original)?;
    println!(
        "    process {}, file descriptor {}",
        std::process::id(),
        original.as_raw_fd()
    );
    let address = original.local_addr()?;

    step(2, "Another process dumps it.");
    let pid = std::process::id().to_string();
    let fd = original.as_raw_fd().to_string();
    inetcr(&["dump", "--pid", &pid, "--fd", &fd, "-o", IMAGE])?;
    inetcr(&["show", "--extended", IMAGE])?;

    step(
        3,
        "The socket is closed. Nobody answers at its address any more.",
    );
    drop(original);
    let stranger = UdpSocket::bind("127.0.0.1:0")?;
    stranger.connect(address)?;
    nobody_answers(&stranger).context("the socket is closed, but somebody has its address")?;
    println!("    a datagram to {address}: connection refused");

    step(
        4,
        "A new process restores it from the image and looks at what it got.",
    );
    let me = env::current_exe()?;
    let me = me.to_str().context("this program's path is not UTF-8")?;
    let arguments = ["restore", IMAGE, "--at", "0", "--", me, "look"];
    say_command(&arguments);
    let mut child = Copy::start(&arguments)?;
    let after = child.observed()?;
    let differences = compare(&before, &after);
    ensure!(
        differences == 0,
        "{differences} of {} values differ",
        before.0.len()
    );

    step(
        5,
        "A datagram goes to the address of the old socket, and the new one has it.",
    );
    stranger.send(GREETING.as_bytes())?;
    let received = child.line("received ")?;
    println!("    sent      {GREETING:?}\n    received  {received:?}");
    ensure!(received == GREETING, "what arrived is not what was sent");
    child.end()?;

    step(
        6,
        "A name server is moved to another network namespace while its client keeps asking.",
    );
    name_server()?;
    println!(
        "\nThe socket was dumped, closed and restored; all {} values are equal. \
         Of the name server's, nothing was lost.",
        before.0.len()
    );
    Ok(())
}

/// Runs the test that moves a name server, and shows what it tells.
fn name_server() -> Result<()> {
    let mut test = Command::new("roundtrip")
        .args(["--live", "--filter", "name_server::moves"])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run roundtrip: is it on PATH?")?;
    let output = test.stdout.take().context("no output")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        let is_of_ktap = ["KTAP ", "1..", "ok ", "# "];
        if !is_of_ktap.iter().any(|start| line.starts_with(start)) {
            println!("    {line}");
        }
    }
    ensure!(test.wait()?.success(), "the test of it failed");
    Ok(())
}

/// The other side of step 4: looks at the socket that is its standard input.
fn look() -> Result<()> {
    let stdin = std::io::stdin();
    for (name, value) in Observed::of(&stdin)?.0 {
        println!("value {name}={value}");
    }
    println!("end of values");
    let mut bytes = [0; 100];
    let length = nix::sys::socket::recv(stdin.as_raw_fd(), &mut bytes, MsgFlags::empty())?;
    let text = bytes.get(..length).unwrap_or_default();
    println!("received {}", String::from_utf8_lossy(text));
    Ok(())
}

fn step(number: u32, text: &str) {
    println!("\n{number}. {text}");
}

fn say_command(arguments: &[&str]) {
    println!("    $ inetcr {}", arguments.join(" "));
}

/// Runs the tool as a person would, and shows what it prints.
fn inetcr(arguments: &[&str]) -> Result<()> {
    say_command(arguments);
    let output = Command::new("inetcr")
        .args(arguments)
        .output()
        .context("cannot run inetcr: is it on PATH?")?;
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        println!("    {line}");
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "inetcr {}: {}",
        arguments.join(" "),
        errors.trim()
    );
    Ok(())
}

fn nobody_answers(socket: &UdpSocket) -> Result<()> {
    socket.send(b"anybody there?")?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    match socket.recv(&mut [0; 10]) {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => bail!("an answer"),
    }
}

/// Shows both side by side; gives how many differ.
fn compare(before: &Observed, after: &Observed) -> usize {
    println!("\n    {:<22}{:<26}{:<26}", "", "original", "copy");
    let mut differences = 0;
    for (name, value) in &before.0 {
        let copy = after.get(name);
        let same = copy == Some(value);
        let mark = if same { "" } else { "DIFFERENT" };
        println!(
            "    {name:<22}{value:<26}{:<26}{mark}",
            copy.map_or("?", String::as_str)
        );
        differences += usize::from(!same);
    }
    differences
}

/// The process that has the copy.
struct Copy {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Copy {
    fn start(arguments: &[&str]) -> Result<Self> {
        let mut child = Command::new("inetcr")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run inetcr")?;
        let stdout = child.stdout.take().context("no pipe from inetcr")?;
        Ok(Self {
            child,
            lines: BufReader::new(stdout).lines(),
        })
    }

    /// The rest of the next line that begins with `start`.
    fn line(&mut self, start: &str) -> Result<String> {
        for line in self.lines.by_ref() {
            if let Some(rest) = line?.strip_prefix(start) {
                return Ok(rest.to_owned());
            }
        }
        bail!(
            "the process with the copy ended too early ({})",
            self.child.wait()?
        );
    }

    fn observed(&mut self) -> Result<Observed> {
        let mut values = Vec::new();
        for line in self.lines.by_ref() {
            let line = line?;
            if line == "end of values" {
                return Ok(Observed(values));
            }
            if let Some((name, value)) = line.strip_prefix("value ").and_then(|l| l.split_once('='))
            {
                values.push((name.to_owned(), value.to_owned()));
            }
        }
        bail!(
            "the process with the copy ended too early ({})",
            self.child.wait()?
        );
    }

    fn end(mut self) -> Result<()> {
        let status = self.child.wait()?;
        ensure!(
            status.success(),
            "the process with the copy ended with {status}"
        );
        Ok(())
    }
}
