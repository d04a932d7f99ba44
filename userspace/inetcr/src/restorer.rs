// SPDX-License-Identifier: GPL-2.0
//! Restores the sockets of an image, and sees that each is what the image has.

use std::collections::HashMap;
use std::os::fd::AsRawFd as _;

use crate::client::{Client, Restored, Selector};
use crate::diff::Difference;
use crate::error::Error;
use crate::map::Maps;
use crate::queue::Contents;
use crate::snapshot::Snapshot;
use crate::state::State;

/// A socket that was restored, dumped again and found to be what the image has.
#[derive(Debug)]
pub struct Checked {
    /// The socket.
    pub socket: Restored,
    /// What the dump of it says.
    pub state: State,
}

/// Why a socket is not there, or not what it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotRestored {
    /// It could not be restored, or not be dumped again.
    #[error(transparent)]
    Refused(#[from] Error),
    /// It is another one.
    #[error(
        "the restored socket is not what the image has (image, socket): {}",
        list(.0)
    )]
    Different(Vec<Difference>),
}

fn list(differences: &[Difference]) -> String {
    let all: Vec<_> = differences.iter().map(ToString::to_string).collect();
    all.join("; ")
}

/// Restores the sockets of an image one after the other, best in [`Image::restore_order`].
///
/// [`Image::restore_order`]: crate::Image::restore_order
///
/// A socket that a process had open twice comes twice in its image. It is restored once, and its
/// second descriptor is another one of the same socket.
///
/// ```no_run
/// use inetcr::{Client, Image, Maps, Restorer};
///
/// let image = Image::read(std::fs::File::open("sockets.image")?)?;
/// let mut client = Client::new()?;
/// let mut restorer = Restorer::new(&mut client, Maps::default());
/// for place in image.restore_order() {
///     let copy = restorer.restore(&image.sockets[place])?;
///     println!("{:?} is back", copy.state.local());
/// }
/// let all_of_them = restorer.finish();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Restorer<'a> {
    client: &'a mut Client,
    maps: Maps,
    copies: Vec<Checked>,
    /// Where in `copies` a socket is, by what it was: inode number and cookie.
    places: HashMap<(u64, u64), usize>,
}

impl<'a> Restorer<'a> {
    /// Restores in the client's network namespace, with these maps.
    pub fn new(client: &'a mut Client, maps: Maps) -> Self {
        Self {
            client,
            maps,
            copies: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// Restores a socket, or finds it among those that were restored.
    pub fn restore(&mut self, socket: &Snapshot) -> Result<&Checked, NotRestored> {
        let which = in_process(socket);
        let earlier = which.and_then(|which| self.copies.get(*self.places.get(&which)?));
        let restored = match earlier {
            Some(earlier) => again(&earlier.socket)?,
            None => self.client.restore_snapshot_with(socket, &self.maps)?,
        };
        let here = self.maps.applied_to(socket);
        let copy = compare(self.client, &here, restored)?;
        if let Some(which) = which {
            self.places.entry(which).or_insert(self.copies.len());
        }
        let place = self.copies.len();
        self.copies.push(copy);
        Ok(&self.copies[place])
    }

    /// What the kernel remarked on the last restore.
    pub fn warning(&self) -> Option<&str> {
        self.client.warning()
    }

    /// All sockets that were restored, in the order in which they were.
    pub fn finish(self) -> Vec<Checked> {
        self.copies
    }
}

/// Which socket it is that a process had open.
fn in_process(state: &State) -> Option<(u64, u64)> {
    state.sock_fd?;
    state.inode.zip(state.cookie)
}

/// Another descriptor of a socket.
fn again(socket: &Restored) -> Result<Restored, Error> {
    let fd = socket.fd.try_clone();
    let fd = fd.map_err(Error::io("another descriptor of a socket"))?;
    Ok(Restored { fd, ..*socket })
}

/// Dumps a restored socket, and sees that it is what the image has.
fn compare(
    client: &mut Client,
    image: &Snapshot,
    socket: Restored,
) -> Result<Checked, NotRestored> {
    let selector = Selector::Fd(socket.fd.as_raw_fd());
    let target = selector.with_cookie(socket.cookie);
    // The remark on the restore is the one that counts.
    let warning = client.warning.take();
    let state = client.dump(target)?;
    // What has arrived in the meantime is not asked for: that takes CAP_NET_RAW.
    let Contents { queue, corked } = if image.queue.is_empty() && image.corked.is_none() {
        Contents::default()
    } else {
        client.contents(target)?
    };
    client.warning = warning;
    let copy = Snapshot {
        state,
        queue,
        corked,
    };
    let unmet = image.unmet_by(&copy);
    if !unmet.is_empty() {
        return Err(NotRestored::Different(unmet));
    }
    let Snapshot { state, .. } = copy;
    Ok(Checked { socket, state })
}
