// SPDX-License-Identifier: GPL-2.0
//! `inetcr restore`.

use super::limit::FileLimit;
use super::place::Place;
use super::program::Program;

/// Restore the sockets of an image, and run a program with them.
///
/// Each restored socket is dumped again and compared with the image, and so are the datagrams that
/// wait in it. Then COMMAND is run in place of this program, with the sockets as descriptors 3, 4,
/// ... by the socket-activation protocol (LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES; see
/// sd_listen_fds(3)). With --at they are descriptors N, N + 1, ..., and no variable says so.
///
/// All sockets of the image are restored, or none. They are in the order of the image, which is
/// that of the descriptors if it is of a process. A socket that the process had open twice is
/// restored once, and is open twice again.
///
/// Where a device or an address of the image is not the one of this place, --map-device and
/// --map-address say which one takes its place. Without them, a device or an address that is not
/// here is an error. What is to be otherwise can be changed in the image: `inetcr show --json FILE`
/// prints one that this command takes as well. There, a membership or an option can be left out, and
/// with "freebind" among the flags of "ip" a socket is bound to an address that is not here (yet).
///
/// The sockets that were dumped must be gone, if they are of this network namespace: their addresses
/// are taken. Restore only images from those whom you trust; the checksum finds accidents, not forgers.
///
/// `inetcr verify` tells beforehand whether an image can be restored. On one host, `inetcr handover`
/// hands sockets from a program to the next without an image.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    program: Program,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let limit = FileLimit::raise()?;
        let image = self.place.read()?;
        self.program.check(image.sockets.len(), &limit)?;
        let copies = self.place.restore(&image, Err)?;
        let sockets = copies.into_iter().map(|copy| copy.socket.fd);
        self.program.prepare(sockets.collect(), limit)?.exec()
    }
}
