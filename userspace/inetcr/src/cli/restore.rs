// SPDX-License-Identifier: GPL-2.0
//! `inetcr restore`.

use std::collections::HashMap;
use std::ffi::OsString;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context as _, anyhow, bail};
use command_fds::{CommandFdExt as _, FdMapping};
use inetcr::{
    Client, Contents, DeviceName, Image, Losses, Maps, Restored, Selector, Snapshot, State,
};
use serde_json::json;

use super::{files, pass_on_warning, text};

/// The first descriptor of the socket-activation protocol.
const LISTEN_FDS_START: RawFd = 3;

/// Restore the sockets of an image.
///
/// Each restored socket is dumped again and compared with the image, and so are the datagrams that
/// wait in it. Then COMMAND is run in place of this program, with the sockets as descriptors 3, 4,
/// ... by the socket-activation protocol (LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES; see
/// sd_listen_fds(3)). With --fd they are descriptors N, N + 1, ..., and no variable says so.
///
/// All sockets of the image are restored, or none. They are in the order of the image, which is
/// that of the descriptors if it is of a process. A socket that the process had open twice is
/// restored once, and is open twice again.
///
/// Where a device or an address of the image is not the one of this place, --map-device and
/// --map-address say which one takes its place. Without them, a device or an address that is not
/// here is an error.
///
/// Without COMMAND, prints what was restored and closes it again: a test whether an image can be
/// restored here.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Image that `inetcr dump` wrote, `-` for the standard input.
    #[arg(value_name = "FILE")]
    image: PathBuf,

    /// Descriptor of the first socket, instead of the socket-activation protocol.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(i32).range(0..0x10_0000),
        requires = "command"
    )]
    fd: Option<RawFd>,

    /// Name of the sockets in LISTEN_FDNAMES.
    #[arg(long, default_value = "inetcr", conflicts_with = "fd", value_parser = listen_name)]
    name: String,

    /// Device NEW in the place of device OLD of the image, wherever a socket has it. Several can
    /// change places; one that no socket has is no error.
    #[arg(long, value_name = "OLD=NEW", value_parser = pair::<DeviceName>)]
    map_device: Vec<(DeviceName, DeviceName)>,

    /// Address NEW in the place of address OLD of the image, wherever a socket has it: as its own
    /// or its peer's, of a membership, and of what waits in it.
    #[arg(long, value_name = "OLD=NEW", value_parser = pair::<IpAddr>)]
    map_address: Vec<(IpAddr, IpAddr)>,

    /// Make the sockets those of the caller, whoever they belonged to. Without it a socket of
    /// another user takes the right to become that user (CAP_SETUID).
    #[arg(long)]
    as_caller: bool,

    /// Restore sockets although the dump has lost these parts of them, with commas between: see
    /// `inetcr dump --help`. COMMAND can give them to the sockets again.
    #[arg(long, value_name = "LOSS,...")]
    allow_lost: Option<Losses>,

    /// Print what was restored as JSON instead of a table.
    #[arg(long, conflicts_with = "command")]
    json: bool,

    /// Program to run with the sockets, and its arguments.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// A name in `LISTEN_FDNAMES`: the protocol puts colons between names.
fn listen_name(name: &str) -> Result<String, String> {
    if name.len() > 255 || name.contains(|c: char| c == ':' || c.is_control()) {
        return Err("a name has at most 255 bytes and no colon".to_owned());
    }
    Ok(name.to_owned())
}

/// What stands on both sides of `=`.
fn pair<T: FromStr<Err: ToString>>(text: &str) -> Result<(T, T), String> {
    let (old, new) = text.split_once('=').ok_or("it is not OLD=NEW")?;
    let one = |text: &str| text.parse().map_err(|error: T::Err| error.to_string());
    Ok((one(old)?, one(new)?))
}

/// A restored socket and what a dump of it says.
struct RestoredCopy {
    socket: Restored,
    state: State,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let maps = self.maps()?;
        let mut image = files::read(&self.image)?;
        if self.as_caller {
            for socket in &mut image.sockets {
                socket.state.uid = None;
            }
        }
        let copies = self.restore(&image, &maps)?;
        match self.command.split_first() {
            Some((program, arguments)) => self.exec(program, arguments, copies),
            None if self.json => text::print(&report_json(&copies)?),
            None => text::print(&report(&copies)),
        }
    }

    /// What is called otherwise here.
    fn maps(&self) -> anyhow::Result<Maps> {
        let mut maps = Maps::default();
        for (old, new) in &self.map_device {
            maps.add_device(*old, *new).context("--map-device")?;
        }
        for (old, new) in &self.map_address {
            maps.add_address(*old, *new).context("--map-address")?;
        }
        Ok(maps)
    }

    /// Restores all sockets or none: those that were made are closed on an error. A descriptor for what
    /// another one stands for, too, becomes such a descriptor again.
    fn restore(&self, image: &Image, maps: &Maps) -> anyhow::Result<Vec<RestoredCopy>> {
        if image.sockets.is_empty() {
            bail!("the image has no socket");
        }
        let mut client = Client::new()?;
        client.allow_lost(self.allow_lost.unwrap_or_default());
        let count = image.sockets.len();
        let mut copies = Vec::<RestoredCopy>::with_capacity(count);
        let mut places = HashMap::new();
        for (place, snapshot) in image.sockets.iter().enumerate() {
            let earlier = in_process(snapshot).and_then(|which| places.insert(which, place));
            let copy = match earlier.and_then(|earlier| copies.get(earlier)) {
                Some(earlier) => again(&earlier.socket),
                None => make(&mut client, snapshot, maps),
            };
            let here = maps.applied_to(snapshot);
            let copy = copy.and_then(|socket| compare(&mut client, &here, socket));
            let number = place + 1;
            copies.push(copy.with_context(|| format!("socket {number} of {count}"))?);
        }
        Ok(copies)
    }

    /// Becomes the command. Returns only if that fails.
    fn exec(
        &self,
        program: &OsString,
        arguments: &[OsString],
        copies: Vec<RestoredCopy>,
    ) -> anyhow::Result<()> {
        let first = self.fd.unwrap_or(LISTEN_FDS_START);
        let count = copies.len();
        let mut command = Command::new(program);
        command.args(arguments);
        if self.fd.is_none() {
            command
                .env("LISTEN_FDS", count.to_string())
                .env("LISTEN_PID", std::process::id().to_string())
                .env("LISTEN_FDNAMES", vec![self.name.as_str(); count].join(":"));
        }
        let mappings = copies
            .into_iter()
            .zip(first..)
            .map(|(copy, child_fd)| FdMapping {
                parent_fd: copy.socket.fd,
                child_fd,
            });
        command
            .fd_mappings(mappings.collect())
            .map_err(|_| anyhow!("two sockets for one descriptor"))?;
        let error = command.exec();
        Err(error).with_context(|| format!("cannot run {}", program.display()))
    }
}

/// Which socket it is that a process had open: inode number and cookie.
fn in_process(state: &State) -> Option<(u64, u64)> {
    state.sock_fd?;
    state.inode.zip(state.cookie)
}

fn make(client: &mut Client, snapshot: &Snapshot, maps: &Maps) -> anyhow::Result<Restored> {
    let socket = client.restore_snapshot_with(snapshot, maps)?;
    pass_on_warning(client);
    Ok(socket)
}

/// Another descriptor of a socket.
fn again(socket: &Restored) -> anyhow::Result<Restored> {
    let fd = socket.fd.try_clone().context("another descriptor")?;
    Ok(Restored { fd, ..*socket })
}

/// Dumps a restored socket, and sees that it is what the image has.
fn compare(
    client: &mut Client,
    image: &Snapshot,
    socket: Restored,
) -> anyhow::Result<RestoredCopy> {
    let selector = Selector::Fd(socket.fd.as_raw_fd());
    let target = selector.with_cookie(socket.cookie);
    let state = client.dump(target)?;
    // What has arrived in the meantime is not asked for: that takes CAP_NET_RAW.
    let Contents { queue, corked } = if image.queue.is_empty() && image.corked.is_none() {
        Contents::default()
    } else {
        client.contents(target)?
    };
    let copy = Snapshot {
        state,
        queue,
        corked,
    };
    let unmet = image.unmet_by(&copy);
    if !unmet.is_empty() {
        let unmet: Vec<_> = unmet.iter().map(ToString::to_string).collect();
        bail!(
            "the restored socket is not what the image has (image, socket): {}",
            unmet.join("; ")
        );
    }
    Ok(RestoredCopy {
        socket,
        state: copy.state,
    })
}

fn report(copies: &[RestoredCopy]) -> String {
    let mut report = String::new();
    for copy in copies {
        report.push_str(&text::headline(&copy.state));
        report.push('\n');
    }
    let plural = if copies.len() == 1 { "" } else { "s" };
    report
        + &format!(
            "{} socket{plural} restored, equal to the image\n",
            copies.len()
        )
}

fn report_json(copies: &[RestoredCopy]) -> anyhow::Result<String> {
    let restored: Vec<_> = copies
        .iter()
        .map(|copy| {
            json!({
                "inode": copy.socket.inode,
                "cookie": copy.socket.cookie,
                "equal": true,
                "state": copy.state.without_identity(),
            })
        })
        .collect();
    Ok(serde_json::to_string_pretty(&json!({ "restored": restored }))? + "\n")
}
