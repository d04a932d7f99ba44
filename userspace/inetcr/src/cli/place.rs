// SPDX-License-Identifier: GPL-2.0
//! Restoring an image here: what `restore` and `verify` have in common.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::bail;
use inetcr::{Checked, Client, DeviceName, Image, Losses, Maps, NotRestored, Restorer, Snapshot};

use super::select::Each;
use super::{WrongUsage, files, pass_on_warning, progress};

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Place {
    /// Image that `inetcr dump` wrote, `-` for the standard input.
    #[arg(value_name = "FILE")]
    image: PathBuf,

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
}

/// What stands on both sides of `=`.
pub(super) fn pair<T: FromStr<Err: ToString>>(text: &str) -> Result<(T, T), String> {
    let (old, new) = text.split_once('=').ok_or("it is not OLD=NEW")?;
    let one = |text: &str| text.parse().map_err(|error: T::Err| error.to_string());
    Ok((one(old)?, one(new)?))
}

impl Place {
    /// Reads the image. What is wrong with the maps is said first.
    pub(super) fn read(&self) -> anyhow::Result<Image> {
        self.maps()?;
        let mut image = files::read(&self.image)?;
        if self.as_caller {
            for socket in &mut image.sockets {
                socket.state.uid = None;
            }
        }
        Ok(image)
    }

    /// Reads the sockets of the image one by one.
    pub(super) fn each(&self, each: &mut Each<'_>) -> anyhow::Result<()> {
        files::each(&self.image, each)
    }

    /// Restores one socket after the other, until all are there or `failed` passes on an error.
    /// What is returned is there then, in the order of the image; the rest is closed.
    pub(super) fn restore(
        &self,
        image: &Image,
        mut failed: impl FnMut(anyhow::Error) -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<Checked>> {
        if image.sockets.is_empty() {
            bail!("the image has no socket");
        }
        let mut client = Client::new()?;
        client.allow_lost(self.allow_lost.unwrap_or_default());
        let count = image.sockets.len();
        let mut restorer = Restorer::new(&mut client, self.maps()?);
        let bar = progress::bar("restore", count);
        let mut places = Vec::with_capacity(count);
        for place in image.restore_order() {
            bar.inc(1);
            match one(&mut restorer, &image.sockets[place]) {
                Ok(()) => places.push(place),
                Err(error) => {
                    let error = error.context(format!("socket {} of {count}", place + 1));
                    bar.suspend(|| failed(error))?;
                }
            }
        }
        let mut copies: Vec<_> = places.into_iter().zip(restorer.finish()).collect();
        copies.sort_by_key(|(place, _)| *place);
        Ok(copies.into_iter().map(|(_, copy)| copy).collect())
    }

    /// What is called otherwise here.
    fn maps(&self) -> anyhow::Result<Maps> {
        let mut maps = Maps::default();
        for (old, new) in &self.map_device {
            maps.add_device(*old, *new)
                .map_err(|error| WrongUsage(format!("--map-device: {error}")))?;
        }
        for (old, new) in &self.map_address {
            maps.add_address(*old, *new)
                .map_err(|error| WrongUsage(format!("--map-address: {error}")))?;
        }
        Ok(maps)
    }
}

fn one(restorer: &mut Restorer<'_>, socket: &Snapshot) -> anyhow::Result<()> {
    match restorer.restore(socket) {
        Ok(_) => pass_on_warning(restorer.warning()),
        // By itself: what to do about it depends on what the kernel said.
        Err(NotRestored::Refused(error)) => return Err(error.into()),
        Err(other) => return Err(other.into()),
    }
    Ok(())
}
